//! System, threat and IP-tag log of the firewalls: stored in the order of arrival, and only so many.

use bartizan_api::fleet::EventLog;

use super::db::{Statement, Transaction, sql};
use super::traffic::address_key;
use super::{Store, now_us};

/// Logs that are kept together, so that many tags do not take the place of threats; the oldest lines make room.
const TOGETHER: [(&str, i64); 2] = [("log = 'iptag'", 200_000), ("log <> 'iptag'", 200_000)];

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
    pub(crate) async fn events(&self, query: Statement) -> sqlx::Result<Vec<EventRow>> {
        query.fetch_all(&self.reader).await
    }

    /// The newest line's number: a query that starts now does not see later ones.
    pub(crate) async fn newest_event(&self) -> sqlx::Result<i64> {
        sql("SELECT coalesce(max(id), 0) FROM event_logs").fetch_value(&self.reader).await
    }
}

impl Store {
    /// Deletes what is too much; how many lines that were.
    pub(crate) async fn bound_events(&self) -> sqlx::Result<u64> {
        let mut deleted = 0;
        for (which, rows) in TOGETHER {
            let mut statement = sql("DELETE FROM event_logs WHERE ");
            statement.push(which).push(" AND id <= (SELECT id FROM event_logs WHERE ").push(which);
            statement.push(" ORDER BY id DESC LIMIT 1 OFFSET ").push_bind(rows).push(")");
            deleted += statement.execute(&self.writer).await?;
        }
        Ok(deleted)
    }

    /// Deletes lines of a log that came before; how many that were.
    pub(crate) async fn expire_events(&self, log: &str, before_us: i64) -> sqlx::Result<u64> {
        let statement = sql("DELETE FROM event_logs WHERE log = $1 AND received_us < $2").bind(log).bind(before_us);
        statement.execute(&self.writer).await
    }

    /// Starts of spans of time, and how many lines each has.
    pub(crate) async fn log_counts(&self, query: Statement) -> sqlx::Result<Vec<(i64, i64)>> {
        query.fetch_all(&self.reader).await
    }
}

pub(super) async fn insert(transaction: &mut Transaction, serial: &str, line: &EventLog) -> sqlx::Result<()> {
    sql("INSERT INTO event_logs (serial, received_us, generated_us, log, subtype, severity, event, object, \
         description, source, destination, source_key, destination_key, from_zone, action) \
         VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15)")
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
    .bind(address_key(&line.source))
    .bind(address_key(&line.destination))
    .bind(&line.from_zone)
    .bind(&line.action)
    .execute(transaction)
    .await?;
    Ok(())
}
