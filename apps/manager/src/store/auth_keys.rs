//! Which secrets let a new device enrol, how often, and until when?

use super::db::{Transaction, sql};
use super::{Store, digest, now_us};

/// Keys that may exist at once, so that a script in a loop cannot fill the disk.
pub(crate) const AUTH_KEYS_MAX: i64 = 10_000;

/// A key as it is listed: never with its secret.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct AuthKey {
    /// Name its maker gave it.
    pub(crate) name: String,
    /// First characters of the secret.
    pub(crate) hint: String,
    /// When it was made.
    pub(crate) created_us: i64,
    /// When it ends.
    pub(crate) expires_us: i64,
    /// Devices it is still good for; `None` is any number.
    pub(crate) uses_left: Option<i64>,
}

impl Store {
    /// Stores a key by the digest of its secret. `false`: there are too many.
    pub(crate) async fn add_auth_key(&self, secret: &str, key: &AuthKey) -> sqlx::Result<bool> {
        let mut transaction = self.writer.begin().await?;
        sql("DELETE FROM auth_keys WHERE expires_us <= $1 OR uses_left = 0")
            .bind(now_us())
            .execute(&mut transaction)
            .await?;
        let count: i64 = sql("SELECT count(*) FROM auth_keys").fetch_value(&mut transaction).await?;
        if count >= AUTH_KEYS_MAX {
            return Ok(false);
        }
        sql(
            "INSERT INTO auth_keys (digest, name, hint, created_us, expires_us, uses_left) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(digest(secret.as_bytes()))
        .bind(&key.name)
        .bind(&key.hint)
        .bind(key.created_us)
        .bind(key.expires_us)
        .bind(key.uses_left)
        .execute(&mut transaction)
        .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Keys that still let a device enrol.
    pub(crate) async fn auth_keys(&self) -> sqlx::Result<Vec<AuthKey>> {
        sql("SELECT name, hint, created_us, expires_us, uses_left FROM auth_keys \
             WHERE expires_us > $1 AND (uses_left IS NULL OR uses_left > 0) ORDER BY created_us")
        .bind(now_us())
        .fetch_all(&self.reader)
        .await
    }

    /// Ends every key of that name; how many there were.
    pub(crate) async fn delete_auth_keys(&self, name: &str) -> sqlx::Result<u64> {
        sql("DELETE FROM auth_keys WHERE name = $1").bind(name).execute(&self.writer).await
    }
}

/// Takes one use of a key within a transaction of the caller. `false`: unknown, expired or used up.
pub(super) async fn use_key(transaction: &mut Transaction, secret: &str) -> sqlx::Result<bool> {
    let done = sql("UPDATE auth_keys SET uses_left = uses_left - 1 \
         WHERE digest = $1 AND expires_us > $2 AND (uses_left IS NULL OR uses_left > 0)")
    .bind(digest(secret.as_bytes()))
    .bind(now_us())
    .execute(transaction)
    .await?;
    Ok(done == 1)
}
