//! Which administrators keep others from editing or committing?

use super::db::sql;
use super::{Store, now_us};
use crate::times;

/// A lock as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct LockRow {
    /// `config` or `commit`.
    pub(crate) kind: String,
    /// What is locked.
    pub(crate) scope: String,
    /// Who holds it.
    pub(crate) admin: String,
    /// Why.
    pub(crate) comment: String,
    /// Since when.
    pub(crate) created_us: i64,
}

impl LockRow {
    /// Who holds it since when, and why.
    pub(crate) fn describe(&self) -> String {
        let why = if self.comment.is_empty() { String::new() } else { format!(": {}", self.comment) };
        let since = times::date_time(self.created_us);
        format!("`{}` holds the {} lock of {} since {since}{why}", self.admin, self.kind, self.scope)
    }
}

impl Store {
    /// All locks, oldest first.
    pub(crate) async fn locks(&self) -> sqlx::Result<Vec<LockRow>> {
        sql("SELECT kind, scope, admin, comment, created_us FROM locks ORDER BY created_us")
            .fetch_all(&self.writer)
            .await
    }

    /// Takes a lock that nobody has; gives back when.
    pub(crate) async fn add_lock(&self, kind: &str, scope: &str, admin: &str, comment: &str) -> sqlx::Result<i64> {
        let now = now_us();
        sql("INSERT INTO locks (kind, scope, admin, comment, created_us) VALUES ($1, $2, $3, $4, $5)")
            .bind(kind)
            .bind(scope)
            .bind(admin)
            .bind(comment)
            .bind(now)
            .execute(&self.writer)
            .await?;
        Ok(now)
    }

    /// Ends one lock.
    pub(crate) async fn remove_lock(&self, kind: &str, scope: &str) -> sqlx::Result<()> {
        sql("DELETE FROM locks WHERE kind = $1 AND scope = $2").bind(kind).bind(scope).execute(&self.writer).await?;
        Ok(())
    }

    /// Ends all locks of an administrator.
    pub(crate) async fn remove_locks_of(&self, admin: &str) -> sqlx::Result<()> {
        sql("DELETE FROM locks WHERE admin = $1").bind(admin).execute(&self.writer).await?;
        Ok(())
    }
}
