//! Logs of the firewalls: stored once each, in batches, and only so many.

use std::net::{IpAddr, Ipv6Addr};

use bartizan_api::fleet::log_record::Line;
use bartizan_api::fleet::{LogRecord, TrafficLog};

use super::db::{Statement, Transaction, Value, sql};
use super::{Store, events, from_db, now_us, to_db};

/// Processes of one firewall whose log position is remembered.
const BOOTS_PER_DEVICE: i64 = 8;

/// Records in one statement.
const ROWS_AT_ONCE: usize = 16;

/// Records of one firewall process, in order.
#[derive(Debug)]
pub(crate) struct LogBatch {
    /// Which device.
    pub(crate) serial: String,
    /// Which process of it.
    pub(crate) boot_id: String,
    /// Sequence number of the last record.
    pub(crate) sequence: u64,
    /// The records.
    pub(crate) records: Vec<LogRecord>,
}

/// What storing batches did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogsStored {
    /// Records written.
    pub(crate) stored: u64,
    /// Records that were stored already.
    pub(crate) repeated: u64,
    /// Oldest records deleted to make room.
    pub(crate) deleted: u64,
}

/// A stored record.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct TrafficRow {
    pub(crate) id: i64,
    pub(crate) serial: String,
    pub(crate) received_us: i64,
    pub(crate) generated_us: i64,
    pub(crate) subtype: String,
    pub(crate) source: String,
    pub(crate) destination: String,
    pub(crate) nat_source: String,
    pub(crate) nat_destination: String,
    pub(crate) rule: String,
    pub(crate) nat_rule: String,
    pub(crate) application: String,
    pub(crate) from_zone: String,
    pub(crate) to_zone: String,
    pub(crate) inbound_interface: String,
    pub(crate) outbound_interface: String,
    pub(crate) session_id: i64,
    pub(crate) source_port: i64,
    pub(crate) destination_port: i64,
    pub(crate) nat_source_port: i64,
    pub(crate) nat_destination_port: i64,
    pub(crate) protocol: i64,
    pub(crate) action: String,
    pub(crate) bytes_sent: i64,
    pub(crate) bytes_received: i64,
    pub(crate) packets_sent: i64,
    pub(crate) packets_received: i64,
    pub(crate) start_us: i64,
    pub(crate) elapsed_s: i64,
    pub(crate) session_end_reason: String,
}

impl Store {
    /// Stores batches in one transaction and keeps the traffic log within `rows_max`.
    pub(crate) async fn add_logs(&self, batches: &[LogBatch], rows_max: u64) -> sqlx::Result<LogsStored> {
        let mut transaction = self.writer.begin().await?;
        let mut done = LogsStored::default();
        for batch in batches {
            let fresh = advance(&mut transaction, batch).await?;
            done.repeated += (batch.records.len() - fresh) as u64;
            let mut traffic = Vec::new();
            for record in &batch.records[batch.records.len() - fresh..] {
                match &record.line {
                    Some(Line::Traffic(line)) => traffic.push(line),
                    Some(Line::Event(line)) => events::insert(&mut transaction, &batch.serial, line).await?,
                    // A newer firewall's log, which this manager does not have.
                    None => {}
                }
                done.stored += 1;
            }
            insert(&mut transaction, &batch.serial, &traffic).await?;
        }
        done.deleted = sql("DELETE FROM traffic_logs WHERE id <= (SELECT max(id) FROM traffic_logs) - $1")
            .bind(to_db(rows_max))
            .execute(&mut transaction)
            .await?
            + events::bound(&mut transaction).await?;
        transaction.commit().await?;
        Ok(done)
    }

    /// Records that fulfil a condition compiled by the log filter.
    pub(crate) async fn traffic(&self, query: Statement) -> sqlx::Result<Vec<TrafficRow>> {
        query.fetch_all(&self.reader).await
    }

    /// Starts of spans of time, and how many lines each has.
    pub(crate) async fn log_counts(&self, query: Statement) -> sqlx::Result<Vec<(i64, i64)>> {
        query.fetch_all(&self.reader).await
    }

    /// The newest record's number: a query that starts now does not see later ones.
    pub(crate) async fn newest_traffic(&self) -> sqlx::Result<i64> {
        sql("SELECT coalesce(max(id), 0) FROM traffic_logs").fetch_value(&self.reader).await
    }
}

/// The key under which an address sorts: 16 bytes, IPv4 mapped. What is no address sorts as `::`.
pub(crate) fn address_key(text: &str) -> [u8; 16] {
    match text.parse() {
        Ok(IpAddr::V4(address)) => address.to_ipv6_mapped().octets(),
        Ok(IpAddr::V6(address)) => address.octets(),
        Err(_) => Ipv6Addr::UNSPECIFIED.octets(),
    }
}

/// Moves a process's position forward; how many of the batch's records (its last ones) are new.
async fn advance(transaction: &mut Transaction, batch: &LogBatch) -> sqlx::Result<usize> {
    let position: Option<(i64,)> = sql("SELECT sequence FROM log_positions WHERE serial = $1 AND boot_id = $2")
        .bind(&batch.serial)
        .bind(&batch.boot_id)
        .fetch_optional(&mut *transaction)
        .await?;
    let position = position.map_or(0, |(position,)| from_db(position));
    let ahead = usize::try_from(batch.sequence.saturating_sub(position)).unwrap_or(usize::MAX);
    if ahead == 0 {
        return Ok(0);
    }
    sql("INSERT INTO log_positions (serial, boot_id, sequence, updated_us) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (serial, boot_id) DO UPDATE SET sequence = excluded.sequence, updated_us = excluded.updated_us")
    .bind(&batch.serial)
    .bind(&batch.boot_id)
    .bind(to_db(batch.sequence))
    .bind(now_us())
    .execute(&mut *transaction)
    .await?;
    if position == 0 {
        sql("DELETE FROM log_positions WHERE serial = $1 AND boot_id NOT IN \
             (SELECT boot_id FROM log_positions WHERE serial = $1 ORDER BY updated_us DESC LIMIT $2)")
        .bind(&batch.serial)
        .bind(BOOTS_PER_DEVICE)
        .execute(&mut *transaction)
        .await?;
    }
    Ok(ahead.min(batch.records.len()))
}

/// Writes records in the order they came, many by one statement: a server's answer is waited for once.
async fn insert(transaction: &mut Transaction, serial: &str, records: &[&TrafficLog]) -> sqlx::Result<()> {
    let (full, rest) = records.as_chunks::<ROWS_AT_ONCE>();
    // Two lengths only, so that the database need not prepare a statement for every length there is.
    let chunks = full.iter().map(<[_; _]>::as_slice).chain(rest.chunks(1));
    for chunk in chunks {
        let mut statement = sql(
            "INSERT INTO traffic_logs (serial, received_us, generated_us, subtype, source, destination, nat_source, \
             nat_destination, source_key, destination_key, nat_source_key, nat_destination_key, rule, nat_rule, \
             application, from_zone, to_zone, inbound_interface, outbound_interface, session_id, source_port, \
             destination_port, nat_source_port, nat_destination_port, protocol, action, bytes_sent, bytes_received, \
             packets_sent, packets_received, start_us, elapsed_s, session_end_reason) VALUES ",
        );
        for (index, record) in chunk.iter().enumerate() {
            statement.push(if index == 0 { "(" } else { "), (" });
            for (index, value) in row(serial, record).into_iter().enumerate() {
                statement.push(if index == 0 { "" } else { "," }).push_bind(value);
            }
        }
        statement.push(")");
        statement.execute(&mut *transaction).await?;
    }
    Ok(())
}

fn row(serial: &str, record: &TrafficLog) -> [Value; 33] {
    [
        serial.into(),
        now_us().into(),
        record.time_generated_us.into(),
        (&record.subtype).into(),
        (&record.source).into(),
        (&record.destination).into(),
        (&record.nat_source).into(),
        (&record.nat_destination).into(),
        address_key(&record.source).into(),
        address_key(&record.destination).into(),
        address_key(&record.nat_source).into(),
        address_key(&record.nat_destination).into(),
        (&record.rule).into(),
        (&record.nat_rule).into(),
        (&record.application).into(),
        (&record.from_zone).into(),
        (&record.to_zone).into(),
        (&record.inbound_interface).into(),
        (&record.outbound_interface).into(),
        to_db(record.session_id).into(),
        record.source_port.into(),
        record.destination_port.into(),
        record.nat_source_port.into(),
        record.nat_destination_port.into(),
        record.protocol.into(),
        (&record.action).into(),
        to_db(record.bytes_sent).into(),
        to_db(record.bytes_received).into(),
        to_db(record.packets_sent).into(),
        to_db(record.packets_received).into(),
        record.start_us.into(),
        record.elapsed_s.into(),
        (&record.session_end_reason).into(),
    ]
}
