//! The config log: who asked for which change, and what came of it?

use super::db::{Statement, Transaction, sql};
use super::seal::Sealer;
use super::{Store, now_us};

/// Characters kept of the element before and after a change.
const PREVIEW_MAX: usize = 2048;

/// Lines the config log holds; the oldest make room.
pub(crate) const AUDIT_ROWS_MAX: i64 = 200_000;

/// One line of the config log.
#[derive(Clone, Debug, Default, sqlx::FromRow)]
pub(crate) struct AuditLine {
    /// Number of the line.
    pub(crate) id: i64,
    /// When.
    pub(crate) time_us: i64,
    /// Who.
    pub(crate) admin: String,
    /// From which address.
    pub(crate) host: String,
    /// By which door: `XMLAPI` or `JSONAPI`.
    pub(crate) client: String,
    /// `set`, `delete`, `commit`, ...
    pub(crate) cmd: String,
    /// Which node.
    pub(crate) path: String,
    /// `Succeeded` or `Failed`.
    pub(crate) result: String,
    /// What was there, cut to a preview.
    pub(crate) before: String,
    /// What is there now, cut to a preview.
    pub(crate) after: String,
    /// The version with which an audit comment was committed; 0 for every other line.
    pub(crate) config_version: i64,
}

/// `cmd` of the audit comments that were committed.
pub(crate) const AUDIT_COMMENT: &str = "audit-comment";

impl Store {
    /// Writes lines down (their numbers and times are given here).
    pub(crate) async fn add_audit(&self, lines: &[AuditLine]) -> sqlx::Result<()> {
        let mut transaction = self.writer.begin().await?;
        insert(&mut transaction, &self.sealer, lines).await?;
        transaction.commit().await
    }

    /// Lines that fulfil a condition compiled by the log filter.
    pub(crate) async fn audit(&self, query: Statement) -> sqlx::Result<Vec<AuditLine>> {
        query.fetch_all(&self.reader).await
    }
}

/// Inserts within a transaction of the caller.
pub(super) async fn insert(transaction: &mut Transaction, sealer: &Sealer, lines: &[AuditLine]) -> sqlx::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let now = now_us();
    let last = sql("SELECT seal FROM audit ORDER BY id DESC LIMIT 1").fetch_optional(&mut *transaction).await?;
    let mut seal = last.map_or_else(String::new, |(seal,): (String,)| seal);
    for line in lines {
        let line = AuditLine {
            id: 0,
            time_us: now,
            path: preview(&line.path).to_owned(),
            before: preview(&line.before).to_owned(),
            after: preview(&line.after).to_owned(),
            ..line.clone()
        };
        seal = sealer.seal(&seal, &line);
        sql(
            "INSERT INTO audit (time_us, admin, host, client, cmd, path, result, before, after, seal, config_version) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(now)
        .bind(&line.admin)
        .bind(&line.host)
        .bind(&line.client)
        .bind(&line.cmd)
        .bind(&line.path)
        .bind(&line.result)
        .bind(&line.before)
        .bind(&line.after)
        .bind(&seal)
        .bind(line.config_version)
        .execute(&mut *transaction)
        .await?;
    }
    sql("DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - $1")
        .bind(AUDIT_ROWS_MAX)
        .execute(&mut *transaction)
        .await?;
    Ok(())
}

fn preview(text: &str) -> &str {
    let mut end = text.len().min(PREVIEW_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
