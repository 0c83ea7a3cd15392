//! Which devices have yet to get what was pushed?
//!
//! Written when a push begins, for all its devices; gone when a device has it, refuses it, or is sent something newer.
//! What is left is delivered when the device comes, also by a manager that was restarted meanwhile.

use super::db::{Transaction, sql};
use super::{Store, now_us, to_db};

/// Rows in one statement.
const ROWS_AT_ONCE: usize = 100;

/// A push that a device did not get.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct PendingPush {
    /// Which device.
    pub(crate) serial: String,
    /// The job that pushes it.
    pub(crate) job: i64,
    /// Of which version it is.
    pub(crate) version: i64,
    /// Whether its policy is.
    pub(crate) policy: i64,
    /// Whether its templates are.
    pub(crate) templates: i64,
    /// Who pushed.
    pub(crate) admin: String,
    /// When.
    pub(crate) time_us: i64,
    /// Of whom the edits are, as JSON; of everybody when empty.
    pub(crate) of_admins: String,
}

/// What is asked for.
const COLUMNS: &str = "SELECT serial, job, version, policy, templates, admin, time_us, of_admins FROM pending_pushes";

impl Store {
    /// Notes a push to devices, in the place of older ones.
    pub(crate) async fn note_pending(&self, serials: &[&String], push: &PendingPush) -> sqlx::Result<()> {
        let mut transaction = self.writer.begin().await?;
        let now = now_us();
        for serials in serials.chunks(ROWS_AT_ONCE) {
            let mut statement = sql(
                "INSERT INTO pending_pushes (serial, job, version, policy, templates, admin, time_us, of_admins) VALUES ",
            );
            for (index, serial) in serials.iter().enumerate() {
                statement.push(if index == 0 { "(" } else { ", (" }).push_bind(*serial);
                for number in [push.job, push.version, push.policy, push.templates] {
                    statement.push(", ").push_bind(number);
                }
                statement.push(", ").push_bind(&push.admin).push(", ").push_bind(now);
                statement.push(", ").push_bind(&push.of_admins).push(")");
            }
            statement.push(
                " ON CONFLICT (serial) DO UPDATE SET job = excluded.job, version = excluded.version, \
                 policy = excluded.policy, templates = excluded.templates, admin = excluded.admin, \
                 time_us = excluded.time_us, of_admins = excluded.of_admins",
            );
            statement.execute(&mut transaction).await?;
        }
        transaction.commit().await
    }

    /// All that is pending, by serial.
    pub(crate) async fn pending_pushes(&self) -> sqlx::Result<Vec<PendingPush>> {
        let mut statement = sql(COLUMNS);
        statement.push(" ORDER BY serial");
        statement.fetch_all(&self.writer).await
    }

    /// What is pending for one device.
    pub(crate) async fn pending_push(&self, serial: &str) -> sqlx::Result<Option<PendingPush>> {
        let mut statement = sql(COLUMNS);
        statement.push(" WHERE serial = ").push_bind(serial);
        statement.fetch_optional(&self.writer).await
    }

    /// A device needs a job's push no more.
    pub(crate) async fn forget_pending(&self, serial: &str, job: u64) -> sqlx::Result<()> {
        sql("DELETE FROM pending_pushes WHERE serial = $1 AND job = $2")
            .bind(serial)
            .bind(to_db(job))
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Nobody gets a job's push any more; for how many devices it was pending.
    pub(crate) async fn cancel_pending(&self, job: u64) -> sqlx::Result<u64> {
        sql("DELETE FROM pending_pushes WHERE job = $1").bind(to_db(job)).execute(&self.writer).await
    }
}

/// A device that is no more needs nothing.
pub(super) async fn forget_device(transaction: &mut Transaction, serial: &str) -> sqlx::Result<()> {
    sql("DELETE FROM pending_pushes WHERE serial = $1").bind(serial).execute(transaction).await?;
    Ok(())
}
