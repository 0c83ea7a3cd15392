//! Which times of scheduled pushes had their job?

use super::db::{Transaction, sql};
use super::{Store, now_us, to_db};

/// Rows that are kept; the oldest make room.
const ROWS_MAX: i64 = 10_000;

/// One time of a schedule.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Run {
    /// Name of the schedule.
    pub(crate) schedule: String,
    /// When it was to be.
    pub(crate) due_us: i64,
    /// When it was.
    pub(crate) begun_us: i64,
    /// Its job.
    pub(crate) job: i64,
}

impl Store {
    /// The times that had a job, the newest first.
    pub(crate) async fn schedule_runs(&self) -> sqlx::Result<Vec<Run>> {
        sql("SELECT schedule, due_us, begun_us, job FROM schedule_runs ORDER BY due_us DESC, schedule")
            .fetch_all(&self.reader)
            .await
    }

    /// Keeps a fact about the manager itself in the place of what it was.
    pub(crate) async fn note(&self, key: &str, value: &str) -> sqlx::Result<()> {
        sql("INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value")
            .bind(key)
            .bind(value)
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}

/// Takes a time for a job, within the transaction that stores it. `false`: it has one.
pub(super) async fn take(transaction: &mut Transaction, run: (&str, i64), job: u64) -> sqlx::Result<bool> {
    let taken = sql("INSERT INTO schedule_runs (schedule, due_us, begun_us, job) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT DO NOTHING")
    .bind(run.0)
    .bind(run.1)
    .bind(now_us())
    .bind(to_db(job))
    .execute(&mut *transaction)
    .await?;
    sql("DELETE FROM schedule_runs WHERE due_us < (SELECT min(due_us) FROM (SELECT due_us FROM schedule_runs \
         ORDER BY due_us DESC LIMIT $1) AS kept)")
    .bind(ROWS_MAX)
    .execute(&mut *transaction)
    .await?;
    Ok(taken == 1)
}
