//! Logs of the firewalls: stored once each, in batches.

use std::net::{IpAddr, Ipv6Addr};

use bartizan_api::fleet::LogRecord;
use bartizan_api::fleet::log_record::Line;

use super::db::{Transaction, sql};
use super::slices::Open;
use super::{Store, events, from_db, now_us, to_db};

/// Processes of one firewall whose log position is remembered.
const BOOTS_PER_DEVICE: i64 = 8;

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
    /// Records of them that are no traffic.
    pub(crate) events: u64,
    /// A slice of the traffic log has become full.
    pub(crate) has_turned: bool,
}

/// A stored record.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct TrafficRow {
    pub(crate) id: i64,
    pub(crate) serial: String,
    pub(crate) received_us: i64,
    pub(crate) generated_us: i64,
    pub(crate) subtype: String,
    #[sqlx(rename = "source_key", try_from = "Vec<u8>")]
    pub(crate) source: Address,
    #[sqlx(rename = "destination_key", try_from = "Vec<u8>")]
    pub(crate) destination: Address,
    #[sqlx(rename = "nat_source_key", try_from = "Vec<u8>")]
    pub(crate) nat_source: Address,
    #[sqlx(rename = "nat_destination_key", try_from = "Vec<u8>")]
    pub(crate) nat_destination: Address,
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
    /// Of Kubernetes; 0 for none.
    pub(crate) cluster_id: i64,
    /// With commas between them.
    pub(crate) source_tags: String,
    pub(crate) destination_tags: String,
}

/// An address as it is written; empty when there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address(pub(crate) String);

impl From<Vec<u8>> for Address {
    fn from(key: Vec<u8>) -> Self {
        Self(address_text(&key))
    }
}

impl Store {
    /// Stores batches in one transaction. `open` is the slice that was written to last, if that is known.
    pub(crate) async fn add_logs(
        &self,
        open: &mut Option<Open>,
        batches: &[LogBatch],
        slice_rows: u64,
    ) -> sqlx::Result<LogsStored> {
        let mut transaction = self.writer.begin().await?;
        // What is not committed must not be known.
        let mut slice = match open.take() {
            Some(slice) => slice,
            None => Open::load(&mut transaction).await?,
        };
        let mut done = LogsStored::default();
        for batch in batches {
            let fresh = advance(&mut transaction, batch).await?;
            done.repeated += (batch.records.len() - fresh) as u64;
            let mut traffic = Vec::new();
            for record in &batch.records[batch.records.len() - fresh..] {
                match &record.line {
                    Some(Line::Traffic(line)) => traffic.push(line),
                    Some(Line::Event(line)) => {
                        events::insert(&mut transaction, &batch.serial, line).await?;
                        done.events += 1;
                    }
                    // A newer firewall's log, which this manager does not have.
                    None => {}
                }
                done.stored += 1;
            }
            done.has_turned |= slice.add(&mut transaction, &batch.serial, &traffic, slice_rows).await?;
        }
        slice.keep(&mut transaction).await?;
        transaction.commit().await?;
        *open = Some(slice);
        Ok(done)
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

/// The address of a key: the way back from [`address_key`].
pub(super) fn address_text(key: &[u8]) -> String {
    match <[u8; 16]>::try_from(key).map(Ipv6Addr::from) {
        Ok(address) => address.to_ipv4_mapped().map_or_else(|| address.to_string(), |address| address.to_string()),
        Err(_) => String::new(),
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
