//! What waits for somebody else's approval, and what became of it?

use super::db::sql;
use super::{Store, now_us};

/// Requests that are kept; the oldest make room.
pub(crate) const APPROVALS_MAX: i64 = 1000;

/// A request for approval.
#[derive(Clone, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Approval {
    /// Number.
    pub(crate) id: i64,
    /// `commit` or `push`.
    pub(crate) kind: String,
    /// SHA-256, hex, of what it is about.
    pub(crate) digest: String,
    /// Who wants it done.
    pub(crate) requester: String,
    /// Whose edits they are, as JSON.
    pub(crate) authors: String,
    /// What it is about, in lines.
    pub(crate) summary: String,
    /// Since when.
    pub(crate) created_us: i64,
    /// `pending`, `approved`, `refused` or `used`.
    pub(crate) state: String,
    /// Who decided.
    pub(crate) decided_by: String,
    /// When.
    pub(crate) decided_us: Option<i64>,
    /// What was said about it.
    pub(crate) comment: String,
}

impl Store {
    /// Asks for an approval; its number.
    pub(crate) async fn add_approval(&self, approval: &Approval) -> sqlx::Result<i64> {
        let mut transaction = self.writer.begin().await?;
        let (id,): (i64,) =
            sql("INSERT INTO approvals (kind, digest, requester, authors, summary, created_us, state, \
             decided_by, comment) VALUES ($1, $2, $3, $4, $5, $6, 'pending', '', '') RETURNING id")
            .bind(&approval.kind)
            .bind(&approval.digest)
            .bind(&approval.requester)
            .bind(&approval.authors)
            .bind(&approval.summary)
            .bind(now_us())
            .fetch_one(&mut transaction)
            .await?;
        sql("DELETE FROM approvals WHERE id <= $1").bind(id - APPROVALS_MAX).execute(&mut transaction).await?;
        transaction.commit().await?;
        Ok(id)
    }

    /// All that are kept, the newest first.
    pub(crate) async fn approvals(&self) -> sqlx::Result<Vec<Approval>> {
        sql("SELECT * FROM approvals ORDER BY id DESC").fetch_all(&self.writer).await
    }

    /// One of them.
    pub(crate) async fn approval(&self, id: i64) -> sqlx::Result<Option<Approval>> {
        sql("SELECT * FROM approvals WHERE id = $1").bind(id).fetch_optional(&self.writer).await
    }

    /// The newest one about exactly this.
    pub(crate) async fn approval_of(&self, kind: &str, digest: &str) -> sqlx::Result<Option<Approval>> {
        sql("SELECT * FROM approvals WHERE kind = $1 AND digest = $2 ORDER BY id DESC LIMIT 1")
            .bind(kind)
            .bind(digest)
            .fetch_optional(&self.writer)
            .await
    }

    /// Decides a request that is pending; `false` when it is not.
    pub(crate) async fn decide(&self, id: i64, state: &str, by: &str, comment: &str) -> sqlx::Result<bool> {
        let count = sql("UPDATE approvals SET state = $1, decided_by = $2, decided_us = $3, comment = $4 \
             WHERE id = $5 AND state = 'pending'")
        .bind(state)
        .bind(by)
        .bind(now_us())
        .bind(comment)
        .bind(id)
        .execute(&self.writer)
        .await?;
        Ok(count > 0)
    }

    /// What was approved is done: the approval is good for nothing more.
    pub(crate) async fn use_approval(&self, id: i64) -> sqlx::Result<()> {
        sql("UPDATE approvals SET state = 'used' WHERE id = $1").bind(id).execute(&self.writer).await?;
        Ok(())
    }
}
