//! Configurations saved under a name.

use super::db::sql;
use super::versions::checked;
use super::{Store, hex_digest, now_us};

/// Configurations that are kept under a name.
pub(crate) const SNAPSHOTS_MAX: i64 = 1000;

/// One of them, without its text.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct SnapshotLine {
    /// Its name.
    pub(crate) name: String,
    /// When it was saved.
    pub(crate) time_us: i64,
    /// By whom.
    pub(crate) author: String,
}

impl Store {
    /// Saves a configuration, in the place of one of that name. `false`: there are too many.
    pub(crate) async fn save_snapshot(&self, name: &str, author: &str, configuration: &str) -> sqlx::Result<bool> {
        let mut transaction = self.writer.begin().await?;
        let others: i64 =
            sql("SELECT count(*) FROM snapshots WHERE name <> $1").bind(name).fetch_value(&mut transaction).await?;
        if others >= SNAPSHOTS_MAX {
            return Ok(false);
        }
        sql("INSERT INTO snapshots (name, time_us, author, digest, configuration) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (name) DO UPDATE SET time_us = excluded.time_us, author = excluded.author, \
             digest = excluded.digest, configuration = excluded.configuration")
        .bind(name)
        .bind(now_us())
        .bind(author)
        .bind(hex_digest(configuration.as_bytes()))
        .bind(configuration)
        .execute(&mut transaction)
        .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// All that are saved, by name.
    pub(crate) async fn snapshots(&self) -> sqlx::Result<Vec<SnapshotLine>> {
        sql("SELECT name, time_us, author FROM snapshots ORDER BY name").fetch_all(&self.writer).await
    }

    /// The text of one.
    pub(crate) async fn snapshot(&self, name: &str) -> anyhow::Result<Option<String>> {
        let row: Option<(String, String)> = sql("SELECT configuration, digest FROM snapshots WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.writer)
            .await?;
        row.map(|(text, digest)| checked(text, &digest, &format!("the saved configuration `{name}`"))).transpose()
    }

    /// Forgets one; `false` when there is none.
    pub(crate) async fn delete_snapshot(&self, name: &str) -> sqlx::Result<bool> {
        let done = sql("DELETE FROM snapshots WHERE name = $1").bind(name).execute(&self.writer).await?;
        Ok(done > 0)
    }
}
