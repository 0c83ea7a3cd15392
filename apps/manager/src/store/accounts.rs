//! Who are the administrators of the manager's own database, and which API keys are theirs?

use super::db::sql;
use super::{Store, digest, now_us};

/// Keys an administrator may hold; the one unused for longest makes room for a new one.
pub(crate) const KEYS_PER_ADMINISTRATOR_MAX: i64 = 1000;

/// Uses of a key closer together than this are not written down.
const USE_RESOLUTION_US: i64 = 3_600_000_000;

/// Keys that are listed at once.
const LISTED_MAX: i64 = 1000;

/// A line of the list of keys.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct KeyRow {
    pub(crate) digest: Vec<u8>,
    pub(crate) administrator: String,
    pub(crate) created_us: i64,
    pub(crate) used_us: i64,
}

/// A stored key.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct StoredKey {
    /// Whose key it is.
    pub(crate) administrator: String,
    /// Digest of the password hash under which it was made.
    pub(crate) credential: Vec<u8>,
    /// When it was made, microseconds since the Unix epoch.
    pub(crate) created_us: i64,
    used_us: i64,
}

impl Store {
    /// Whether there is any administrator yet.
    pub(crate) async fn has_administrators(&self) -> sqlx::Result<bool> {
        sql("SELECT EXISTS (SELECT 1 FROM administrators)").fetch_value(&self.writer).await
    }

    /// Adds an administrator or replaces the password.
    pub(crate) async fn put_administrator(&self, name: &str, password_hash: &str) -> sqlx::Result<()> {
        sql("INSERT INTO administrators (name, password_hash, created_us) VALUES ($1, $2, $3) \
             ON CONFLICT (name) DO UPDATE SET password_hash = excluded.password_hash")
        .bind(name)
        .bind(password_hash)
        .bind(now_us())
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// The argon2id hash of an administrator's password.
    pub(crate) async fn password_hash(&self, name: &str) -> sqlx::Result<Option<String>> {
        let row: Option<(String,)> = sql("SELECT password_hash FROM administrators WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.reader)
            .await?;
        Ok(row.map(|(hash,)| hash))
    }

    /// Stores a key by its digest.
    pub(crate) async fn add_key(&self, key: &str, administrator: &str, credential: &[u8]) -> sqlx::Result<()> {
        let mut transaction = self.writer.begin().await?;
        sql("DELETE FROM api_keys WHERE digest IN (SELECT digest FROM api_keys WHERE administrator = $1 \
             ORDER BY used_us DESC LIMIT $2 OFFSET $3)")
        .bind(administrator)
        .bind(i64::MAX)
        .bind(KEYS_PER_ADMINISTRATOR_MAX - 1)
        .execute(&mut transaction)
        .await?;
        sql(
            "INSERT INTO api_keys (digest, administrator, credential, created_us, used_us) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(digest(key.as_bytes()))
        .bind(administrator)
        .bind(credential)
        .bind(now_us())
        .bind(now_us())
        .execute(&mut transaction)
        .await?;
        transaction.commit().await
    }

    /// Ends one key.
    pub(crate) async fn end_key(&self, key: &str) -> sqlx::Result<u64> {
        self.end_key_of(&digest(key.as_bytes())).await
    }

    /// Ends the key that has this digest.
    pub(crate) async fn end_key_of(&self, digest: &[u8]) -> sqlx::Result<u64> {
        sql("DELETE FROM api_keys WHERE digest = $1").bind(digest).execute(&self.writer).await
    }

    /// The keys of an administrator, or of all, the one that was used last first.
    pub(crate) async fn keys(&self, administrator: Option<&str>) -> sqlx::Result<Vec<KeyRow>> {
        let mut statement = sql("SELECT digest, administrator, created_us, used_us FROM api_keys");
        if let Some(name) = administrator {
            statement.push(" WHERE administrator = ").push_bind(name);
        }
        statement.push(" ORDER BY used_us DESC, created_us DESC LIMIT ").push_bind(LISTED_MAX);
        statement.fetch_all(&self.reader).await
    }

    /// Ends the keys of an administrator, or of all; how many there were.
    pub(crate) async fn end_keys(&self, administrator: Option<&str>) -> sqlx::Result<u64> {
        match administrator {
            Some(name) => sql("DELETE FROM api_keys WHERE administrator = $1").bind(name).execute(&self.writer).await,
            None => sql("DELETE FROM api_keys").execute(&self.writer).await,
        }
    }

    /// Makes all keys look older than they are.
    #[cfg(test)]
    pub(crate) async fn age_keys(&self, by_us: i64) -> sqlx::Result<u64> {
        sql("UPDATE api_keys SET created_us = created_us - $1").bind(by_us).execute(&self.writer).await
    }

    /// Looks a key up and notes its use.
    pub(crate) async fn key(&self, key: &str) -> sqlx::Result<Option<StoredKey>> {
        let digest = digest(key.as_bytes());
        let found: Option<StoredKey> =
            sql("SELECT administrator, credential, created_us, used_us FROM api_keys WHERE digest = $1")
                .bind(digest)
                .fetch_optional(&self.reader)
                .await?;
        if let Some(found) = &found
            && now_us() - found.used_us > USE_RESOLUTION_US
        {
            sql("UPDATE api_keys SET used_us = $1 WHERE digest = $2")
                .bind(now_us())
                .bind(digest)
                .execute(&self.writer)
                .await?;
        }
        Ok(found)
    }
}
