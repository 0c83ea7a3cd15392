//! Jobs as they are kept: a number and a record.

use super::db::{On, sql};
use super::{Store, from_db, schedule_runs, to_db};

/// Finished jobs that are kept; the oldest make room. Numbers are never used twice.
pub(crate) const JOBS_MAX: i64 = 2000;

impl Store {
    /// A new job number, with a record that `record` makes from it. With one time of a schedule, only if that had
    /// no job before.
    pub(crate) async fn add_job(
        &self,
        occurrence: Option<(&str, i64)>,
        record: impl FnOnce(u64) -> String,
    ) -> sqlx::Result<Option<u64>> {
        let mut transaction = self.writer.begin().await?;
        let id: i64 = sql("INSERT INTO jobs (record) VALUES ('') RETURNING id").fetch_value(&mut transaction).await?;
        if let Some(occurrence) = occurrence
            && !schedule_runs::take(&mut transaction, occurrence, from_db(id)).await?
        {
            return Ok(None);
        }
        sql("UPDATE jobs SET record = $1 WHERE id = $2")
            .bind(record(from_db(id)))
            .bind(id)
            .execute(&mut transaction)
            .await?;
        sql("DELETE FROM jobs WHERE id <= $1").bind(id - JOBS_MAX).execute(&mut transaction).await?;
        transaction.commit().await?;
        Ok(Some(from_db(id)))
    }

    /// Replaces a job's record.
    pub(crate) async fn put_job(&self, id: u64, record: &str) -> sqlx::Result<()> {
        put(&self.writer, id, record).await
    }

    /// All records, oldest first.
    pub(crate) async fn jobs(&self) -> sqlx::Result<Vec<String>> {
        let rows: Vec<(String,)> = sql("SELECT record FROM jobs ORDER BY id").fetch_all(&self.reader).await?;
        Ok(rows.into_iter().map(|(record,)| record).collect())
    }
}

/// Replaces a job's record, within a transaction of the caller or alone.
pub(super) async fn put<'a>(on: impl Into<On<'a>>, id: u64, record: &str) -> sqlx::Result<()> {
    sql("UPDATE jobs SET record = $1 WHERE id = $2").bind(record).bind(to_db(id)).execute(on).await?;
    Ok(())
}
