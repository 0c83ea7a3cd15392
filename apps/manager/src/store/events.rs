//! System and threat log of the firewalls: stored in the order of arrival, and only so many.

use bartizan_api::fleet::EventLog;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::traffic::address_key;
use super::{Store, now_us};

/// Lines of both logs together; the oldest make room.
const ROWS_MAX: i64 = 200_000;

/// A stored line.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct EventRow {
    pub(crate) id: i64,
    pub(crate) serial: String,
    pub(crate) received_us: i64,
    pub(crate) generated_us: i64,
    pub(crate) subtype: String,
    pub(crate) severity: String,
    pub(crate) event: String,
    pub(crate) object: String,
    pub(crate) description: String,
    pub(crate) source: String,
    pub(crate) destination: String,
    pub(crate) from_zone: String,
    pub(crate) action: String,
}

impl Store {
    /// Lines that fulfil a condition compiled by the log filter.
    pub(crate) async fn events(&self, mut query: QueryBuilder<Sqlite>) -> sqlx::Result<Vec<EventRow>> {
        query.build_query_as().fetch_all(&self.reader).await
    }

    /// The newest line's number: a query that starts now does not see later ones.
    pub(crate) async fn newest_event(&self) -> sqlx::Result<i64> {
        sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM event_logs").fetch_one(&self.reader).await
    }
}

/// Deletes what is too much; how many lines that were.
pub(super) async fn bound(connection: &mut SqliteConnection) -> sqlx::Result<u64> {
    let deleted = sqlx::query("DELETE FROM event_logs WHERE id <= (SELECT max(id) FROM event_logs) - ?")
        .bind(ROWS_MAX)
        .execute(connection)
        .await?;
    Ok(deleted.rows_affected())
}

pub(super) async fn insert(connection: &mut SqliteConnection, serial: &str, line: &EventLog) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO event_logs (serial, received_us, generated_us, log, subtype, severity, event, object, \
         description, source, destination, source_key, destination_key, from_zone, action) \
         VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    )
    .bind(serial)
    .bind(now_us())
    .bind(line.time_generated_us)
    .bind(&line.log)
    .bind(&line.subtype)
    .bind(&line.severity)
    .bind(&line.event)
    .bind(&line.object)
    .bind(&line.description)
    .bind(&line.source)
    .bind(&line.destination)
    .bind(address_key(&line.source).to_vec())
    .bind(address_key(&line.destination).to_vec())
    .bind(&line.from_zone)
    .bind(&line.action)
    .execute(connection)
    .await?;
    Ok(())
}
