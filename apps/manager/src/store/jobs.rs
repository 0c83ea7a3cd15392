//! Jobs as they are kept: a number and a record.

use super::{Store, from_db, to_db};

/// Finished jobs that are kept; the oldest make room. Numbers are never used twice.
pub(crate) const JOBS_MAX: i64 = 2000;

impl Store {
    /// A new job number, with a record that `record` makes from it.
    pub(crate) async fn add_job(&self, record: impl FnOnce(u64) -> String) -> sqlx::Result<u64> {
        let mut transaction = self.writer.begin().await?;
        let id = sqlx::query("INSERT INTO jobs (record) VALUES ('')").execute(&mut *transaction).await?;
        let id = id.last_insert_rowid();
        sqlx::query("UPDATE jobs SET record = ? WHERE id = ?")
            .bind(record(from_db(id)))
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("DELETE FROM jobs WHERE id <= ?").bind(id - JOBS_MAX).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(from_db(id))
    }

    /// Replaces a job's record.
    pub(crate) async fn put_job(&self, id: u64, record: &str) -> sqlx::Result<()> {
        put(&mut *self.writer.acquire().await?, id, record).await
    }

    /// All records, oldest first.
    pub(crate) async fn jobs(&self) -> sqlx::Result<Vec<String>> {
        sqlx::query_scalar("SELECT record FROM jobs ORDER BY id").fetch_all(&self.reader).await
    }
}

/// Replaces a job's record within a transaction of the caller.
pub(super) async fn put(connection: &mut sqlx::SqliteConnection, id: u64, record: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE jobs SET record = ? WHERE id = ?").bind(record).bind(to_db(id)).execute(connection).await?;
    Ok(())
}
