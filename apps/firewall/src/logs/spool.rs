//! Logs on their way to the manager: what is still to be stored there?
//!
//! Records get sequence numbers in the order of arrival and stay until the manager has stored them.
//! While it is away the spool fills; then the *oldest* records make room and are counted as lost. A lost
//! record keeps its number, so the manager sees the gap.

use std::collections::VecDeque;

use bartizan_api::fleet::LogRecord;
use bartizan_api::fleet::log_record::Line;

/// Records a spool holds by default: ten minutes at 200 sessions a second.
pub const RECORDS_MAX: usize = 120_000;
/// Bytes a spool holds by default, as encoded.
pub const BYTES_MAX: usize = 32 << 20;
/// Records sent at once.
pub const BATCH_RECORDS_MAX: usize = 500;

/// The spool.
#[derive(Debug)]
pub struct Spool {
    records: VecDeque<(LogRecord, usize)>,
    /// Sequence number of the front record; numbers count from 1.
    front: u64,
    bytes: usize,
    /// Records `front..sent` went out on the current connection.
    sent: u64,
    lost: u64,
    records_max: usize,
    bytes_max: usize,
}

/// Records to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Number of the last record.
    pub sequence: u64,
    /// Consecutive records.
    pub records: Vec<LogRecord>,
}

impl Spool {
    /// An empty spool with these bounds.
    pub fn new(records_max: usize, bytes_max: usize) -> Self {
        Self { records: VecDeque::new(), front: 1, bytes: 0, sent: 1, lost: 0, records_max, bytes_max }
    }

    /// Adds a record, at the cost of the oldest ones when there is no room.
    pub fn push(&mut self, record: LogRecord) {
        let size = encoded_bytes(&record);
        self.bytes += size;
        self.records.push_back((record, size));
        while self.records.len() > self.records_max || self.bytes > self.bytes_max {
            self.drop_front();
            self.lost += 1;
        }
    }

    /// The next records that did not go out on this connection.
    pub fn next_batch(&mut self) -> Option<Batch> {
        self.sent = self.sent.max(self.front);
        let skip = usize::try_from(self.sent - self.front).ok()?;
        let records: Vec<_> =
            self.records.iter().skip(skip).take(BATCH_RECORDS_MAX).map(|(record, _)| record.clone()).collect();
        if records.is_empty() {
            return None;
        }
        self.sent += records.len() as u64;
        Some(Batch { sequence: self.sent - 1, records })
    }

    /// The manager has stored everything up to this number. A number that was never sent is nonsense
    /// and frees nothing.
    pub fn stored(&mut self, sequence: u64) {
        if sequence >= self.sent {
            return;
        }
        while self.front <= sequence && !self.records.is_empty() {
            self.drop_front();
        }
    }

    /// The connection is gone: everything that is not stored goes out again on the next one.
    pub fn rewind(&mut self) {
        self.sent = self.front;
    }

    /// Records that made room for newer ones.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Counts a record that was lost before it got here.
    pub fn count_lost(&mut self, records: u64) {
        self.lost += records;
    }

    /// Records not yet stored.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether everything is stored.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn drop_front(&mut self) {
        if let Some((_, size)) = self.records.pop_front() {
            self.bytes -= size;
            self.front += 1;
        }
    }
}

/// About what a record weighs: its strings and a constant for the rest.
fn encoded_bytes(record: &LogRecord) -> usize {
    let strings: usize = match &record.line {
        Some(Line::Traffic(line)) => [
            &line.subtype,
            &line.source,
            &line.destination,
            &line.nat_source,
            &line.nat_destination,
            &line.rule,
            &line.nat_rule,
            &line.application,
            &line.from_zone,
            &line.to_zone,
            &line.inbound_interface,
            &line.outbound_interface,
            &line.action,
            &line.session_end_reason,
        ]
        .map(String::len)
        .iter()
        .sum(),
        Some(Line::Event(line)) => [
            &line.log,
            &line.subtype,
            &line.severity,
            &line.event,
            &line.object,
            &line.description,
            &line.source,
            &line.destination,
            &line.from_zone,
            &line.action,
        ]
        .map(String::len)
        .iter()
        .sum(),
        None => 0,
    };
    size_of::<LogRecord>() + strings
}

#[cfg(test)]
mod tests {
    use bartizan_api::fleet::TrafficLog;

    use super::*;

    fn record(id: u64) -> LogRecord {
        LogRecord { line: Some(Line::Traffic(TrafficLog { session_id: id, ..TrafficLog::default() })) }
    }

    fn ids(batch: Option<Batch>) -> (u64, Vec<u64>) {
        let id = |record: &LogRecord| match &record.line {
            Some(Line::Traffic(line)) => line.session_id,
            _ => 0,
        };
        batch.map_or((0, Vec::new()), |batch| (batch.sequence, batch.records.iter().map(id).collect()))
    }

    #[test]
    fn records_go_out_once_per_connection_and_leave_when_stored() {
        let mut spool = Spool::new(100, usize::MAX);
        (1..=3).for_each(|id| spool.push(record(id)));
        assert_eq!(ids(spool.next_batch()), (3, vec![1, 2, 3]));
        assert_eq!(spool.next_batch(), None);
        spool.stored(2);
        assert_eq!(spool.len(), 1);
        spool.push(record(4));
        assert_eq!(ids(spool.next_batch()), (4, vec![4]));
    }

    #[test]
    fn what_was_not_stored_is_resent_after_a_reconnect_with_the_same_numbers() {
        let mut spool = Spool::new(100, usize::MAX);
        (1..=4).for_each(|id| spool.push(record(id)));
        assert_eq!(ids(spool.next_batch()).0, 4);
        spool.stored(1);
        spool.rewind();
        assert_eq!(ids(spool.next_batch()), (4, vec![2, 3, 4]));
    }

    #[test]
    fn a_full_spool_loses_its_oldest_records_and_counts_them() {
        let mut spool = Spool::new(3, usize::MAX);
        (1..=5).for_each(|id| spool.push(record(id)));
        assert_eq!((spool.len(), spool.lost()), (3, 2));
        assert_eq!(ids(spool.next_batch()), (5, vec![3, 4, 5]));
        (6..=9).for_each(|id| spool.push(record(id)));
        assert_eq!(ids(spool.next_batch()), (9, vec![7, 8, 9]));
        assert_eq!(spool.lost(), 6);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let size = encoded_bytes(&record(1));
        let mut spool = Spool::new(usize::MAX, 2 * size);
        (1..=3).for_each(|id| spool.push(record(id)));
        assert_eq!((spool.len(), spool.lost()), (2, 1));
    }

    #[test]
    fn a_manager_that_confirms_what_it_never_got_frees_nothing() {
        let mut spool = Spool::new(100, usize::MAX);
        (1..=2).for_each(|id| spool.push(record(id)));
        spool.stored(u64::MAX);
        assert_eq!(spool.len(), 2);
    }

    #[test]
    fn batches_are_bounded() {
        let mut spool = Spool::new(10_000, usize::MAX);
        (1..=1200).for_each(|id| spool.push(record(id)));
        let sizes: Vec<_> = std::iter::from_fn(|| spool.next_batch()).map(|batch| batch.records.len()).collect();
        assert_eq!(sizes, [500, 500, 200]);
    }
}
