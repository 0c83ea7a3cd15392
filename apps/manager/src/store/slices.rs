//! How is the traffic log kept so that much can be written, found, and thrown away?
//!
//! By slices: so many records in the order in which they came, in two tables of their own. One has the records, as
//! numbers and keys; the other has each combination of names (rule, zones, application, ...) once. The newest slice is
//! written to and has an index by time alone. A full one gets its other indexes in one go, and the oldest ones are
//! dropped whole.

mod find;
pub(crate) mod groups;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use bartizan_api::fleet::TrafficLog;
use sha2::{Digest as _, Sha256};

use super::db::{On, Reader, Statement, Transaction, Value, Writer, sql};
use super::{Store, now_us, to_db};
use crate::logs::retention::Bounds;

/// Records in a slice. So many are read one by one at worst when a query meets the newest one.
pub(crate) const SLICE_ROWS: u64 = 250_000;
/// A slice is full after this time, however few records came, so that records can be dropped by their age.
const SLICE_TIME_US: i64 = 86_400_000_000;
/// Slices there are at most.
const SLICES_MAX: usize = 1000;
/// Records in one statement.
const ROWS_AT_ONCE: usize = 16;

/// Indexes that a full slice has besides the one by time, and their columns.
const INDEXES: [(Index, &str); 4] = [
    (Index::Source, "source_key, destination_port, generated_us"),
    (Index::Destination, "destination_key, destination_port, generated_us"),
    (Index::Port, "destination_port, generated_us"),
    (Index::Words, "words, generated_us"),
];

/// Columns of the table of records, in the order of their values, and their types.
const RECORD_COLUMNS: [(&str, Kind); 19] = [
    ("id", Kind::Key),
    ("received_us", Kind::Number),
    ("generated_us", Kind::Number),
    ("words", Kind::Number),
    ("source_key", Kind::Bytes),
    ("destination_key", Kind::Bytes),
    ("nat_source_key", Kind::Bytes),
    ("nat_destination_key", Kind::Bytes),
    ("session_id", Kind::Number),
    ("source_port", Kind::Number),
    ("destination_port", Kind::Number),
    ("nat_source_port", Kind::Number),
    ("nat_destination_port", Kind::Number),
    ("bytes_sent", Kind::Number),
    ("bytes_received", Kind::Number),
    ("packets_sent", Kind::Number),
    ("packets_received", Kind::Number),
    ("start_us", Kind::Number),
    ("elapsed_s", Kind::Number),
];

/// Columns of the table of names.
pub(crate) const WORD_COLUMNS: [(&str, Kind); 16] = [
    ("word", Kind::Key),
    ("serial", Kind::Text),
    ("subtype", Kind::Text),
    ("rule", Kind::Text),
    ("nat_rule", Kind::Text),
    ("application", Kind::Text),
    ("from_zone", Kind::Text),
    ("to_zone", Kind::Text),
    ("inbound_interface", Kind::Text),
    ("outbound_interface", Kind::Text),
    ("protocol", Kind::Number),
    ("action", Kind::Text),
    ("session_end_reason", Kind::Text),
    // Of Kubernetes; 0 for none.
    ("cluster_id", Kind::Later),
    ("source_tags", Kind::LaterText),
    ("destination_tags", Kind::LaterText),
];

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The number of the row.
    Key,
    Number,
    /// A number that slices of older managers do not have, and get as 0.
    Later,
    Text,
    /// A text that slices of older managers do not have, and get as an empty one.
    LaterText,
    Bytes,
}

/// An index of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Index {
    Time,
    Source,
    Destination,
    Port,
    Words,
}

/// A slice.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Slice {
    pub(crate) number: i64,
    pub(crate) first_id: i64,
    pub(crate) last_id: i64,
    pub(crate) oldest_us: i64,
    pub(crate) newest_us: i64,
    pub(crate) begun_us: i64,
    pub(crate) written_us: i64,
    pub(crate) bytes: i64,
    pub(crate) indexed: i64,
}

/// The slice that is written to, and the combinations of names that it has.
#[derive(Debug)]
pub(crate) struct Open {
    slice: Slice,
    /// Combinations of names by their digests: with tags, a combination may have two thousand bytes.
    words: HashMap<[u8; 32], i64>,
    /// The number of the last one.
    last_word: i64,
    /// A statement for [`ROWS_AT_ONCE`] records.
    insert: String,
}

impl Kind {
    fn sql(self, postgres: bool) -> &'static str {
        match (self, postgres) {
            (Self::Key, false) => "INTEGER PRIMARY KEY",
            (Self::Key, true) => "BIGINT PRIMARY KEY",
            (Self::Number, false) => "INTEGER NOT NULL",
            (Self::Number, true) => "BIGINT NOT NULL",
            (Self::Later, false) => "INTEGER NOT NULL DEFAULT 0",
            (Self::Later, true) => "BIGINT NOT NULL DEFAULT 0",
            (Self::Text, false) => "TEXT NOT NULL",
            (Self::Text, true) => "TEXT COLLATE \"C\" NOT NULL",
            (Self::LaterText, false) => "TEXT NOT NULL DEFAULT ''",
            (Self::LaterText, true) => "TEXT COLLATE \"C\" NOT NULL DEFAULT ''",
            (Self::Bytes, false) => "BLOB NOT NULL",
            (Self::Bytes, true) => "BYTEA NOT NULL",
        }
    }
}

impl Index {
    fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Source => "source",
            Self::Destination => "destination",
            Self::Port => "port",
            Self::Words => "words",
        }
    }
}

/// The table of a slice's records.
pub(crate) fn records_table(number: i64) -> String {
    format!("slice_{number}_logs")
}

/// The table of a slice's names.
pub(crate) fn words_table(number: i64) -> String {
    format!("slice_{number}_word_logs")
}

fn index_name(number: i64, index: Index) -> String {
    format!("slice_{number}_by_{}", index.name())
}

/// The number of the slice whose table that is.
pub(crate) fn number_of(table: &str) -> Option<i64> {
    let rest = table.strip_prefix("slice_")?;
    let number = rest.strip_suffix("_word_logs").or_else(|| rest.strip_suffix("_logs"))?;
    number.parse().ok()
}

/// The statements that make the tables of a slice.
pub(crate) fn tables(number: i64, postgres: bool) -> [String; 3] {
    let table = |name: String, columns: &[(&str, Kind)]| {
        let columns: Vec<_> = columns.iter().map(|(name, kind)| format!("{name} {}", kind.sql(postgres))).collect();
        let strict = if postgres { "" } else { " STRICT" };
        format!("CREATE TABLE IF NOT EXISTS {name} ({}){strict}", columns.join(", "))
    };
    let by_time = format!(
        "CREATE INDEX IF NOT EXISTS {} ON {} (generated_us)",
        index_name(number, Index::Time),
        records_table(number)
    );
    [table(records_table(number), &RECORD_COLUMNS), table(words_table(number), &WORD_COLUMNS), by_time]
}

/// The statements that make the indexes of a full slice.
pub(crate) fn indexes(number: i64) -> [String; 4] {
    let table = records_table(number);
    INDEXES.map(|(index, columns)| {
        format!("CREATE INDEX IF NOT EXISTS {} ON {table} ({columns})", index_name(number, index))
    })
}

impl Slice {
    /// Records in it.
    pub(crate) fn rows(&self) -> i64 {
        self.last_id - self.first_id + 1
    }

    fn is_full(&self, rows_max: i64, now: i64) -> bool {
        self.rows() >= rows_max || self.rows() > 0 && now - self.begun_us > SLICE_TIME_US
    }
}

impl Reader {
    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }
}

impl Writer {
    fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }
}

async fn run<'a>(text: &str, on: impl Into<On<'a>>) -> sqlx::Result<u64> {
    let mut statement = sql("");
    statement.push(text);
    statement.execute(on).await
}

impl Store {
    /// The slices, the oldest first.
    pub(crate) async fn slices(&self) -> sqlx::Result<Vec<Slice>> {
        sql("SELECT * FROM sliced_logs ORDER BY number").fetch_all(&self.reader).await
    }

    /// Gives slices of older managers the columns that they do not have yet.
    pub(super) async fn complete_slices(&self) -> sqlx::Result<()> {
        let postgres = self.writer.is_postgres();
        let catalogue = if postgres {
            "SELECT table_name::text, column_name::text FROM information_schema.columns \
             WHERE table_schema = current_schema()"
        } else {
            "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table'"
        };
        let mut known: HashMap<String, Vec<String>> = HashMap::new();
        for (table, column) in sql(catalogue).fetch_all::<(String, String)>(&self.reader).await? {
            if number_of(&table).is_some_and(|number| table == words_table(number)) {
                known.entry(table).or_default().push(column);
            }
        }
        let mut transaction = self.writer.begin().await?;
        for (table, columns) in known {
            for (name, kind) in WORD_COLUMNS.iter().filter(|(name, _)| columns.iter().all(|known| known != name)) {
                let text = format!("ALTER TABLE {table} ADD COLUMN {name} {}", kind.sql(postgres));
                run(&text, &mut transaction).await?;
            }
        }
        transaction.commit().await
    }

    /// The newest record's number: a query that starts now does not see later ones.
    pub(crate) async fn newest_traffic(&self) -> sqlx::Result<i64> {
        sql("SELECT coalesce(max(last_id), 0) FROM sliced_logs").fetch_value(&self.reader).await
    }

    /// Drops the oldest slices that are too much; how many records they had.
    pub(crate) async fn drop_slices(&self, bounds: &Bounds) -> sqlx::Result<u64> {
        let slices = self.slices().await?;
        let mut rows: i64 = slices.iter().map(Slice::rows).sum();
        let mut bytes: i64 = slices.iter().map(|slice| slice.bytes).sum();
        let mut dropped = 0;
        // The newest is written to.
        for (index, slice) in slices.iter().enumerate().take(slices.len().saturating_sub(1)) {
            let is_too_much = rows > to_db(bounds.rows_max)
                || bytes > to_db(bounds.bytes_max)
                || slice.written_us < bounds.traffic_since_us
                || slices.len() - index > SLICES_MAX;
            if !is_too_much {
                break;
            }
            let mut transaction = self.writer.begin().await?;
            run(&format!("DROP TABLE {}", records_table(slice.number)), &mut transaction).await?;
            run(&format!("DROP TABLE {}", words_table(slice.number)), &mut transaction).await?;
            sql("DELETE FROM sliced_logs WHERE number = $1").bind(slice.number).execute(&mut transaction).await?;
            transaction.commit().await?;
            rows -= slice.rows();
            bytes -= slice.bytes;
            dropped += super::from_db(slice.rows());
        }
        Ok(dropped)
    }

    /// Gives full slices their indexes, and measures them.
    pub(crate) async fn index_slices(&self) -> sqlx::Result<()> {
        let slices = self.slices().await?;
        let full = slices.iter().take(slices.len().saturating_sub(1)).filter(|slice| slice.indexed == 0);
        for slice in full {
            // One after the other, so that others write in between.
            for index in indexes(slice.number) {
                run(&index, &self.writer).await?;
            }
            let bytes = self.slice_bytes(slice.number).await?;
            sql("UPDATE sliced_logs SET indexed = 1, bytes = $1 WHERE number = $2")
                .bind(bytes)
                .bind(slice.number)
                .execute(&self.writer)
                .await?;
        }
        Ok(())
    }

    async fn slice_bytes(&self, number: i64) -> sqlx::Result<i64> {
        let names = [records_table(number), words_table(number)];
        let mut bytes = 0;
        if self.writer.is_postgres() {
            for name in names {
                run(&format!("ANALYZE {name}"), &self.writer).await?;
                let size = sql("SELECT pg_total_relation_size($1::text::regclass)").bind(name);
                bytes += size.fetch_value::<i64>(&self.writer).await?;
            }
            return Ok(bytes);
        }
        let all = [Index::Time, Index::Source, Index::Destination, Index::Port, Index::Words];
        for name in names.into_iter().chain(all.map(|index| index_name(number, index))) {
            let size = sql("SELECT pgsize FROM dbstat WHERE name = $1 AND aggregate = TRUE").bind(name);
            bytes += size.fetch_optional::<(i64,)>(&self.reader).await?.map_or(0, |(size,)| size);
        }
        Ok(bytes)
    }
}

impl Open {
    /// The newest slice, made when there is none.
    pub(super) async fn load(transaction: &mut Transaction) -> sqlx::Result<Self> {
        let newest = sql("SELECT * FROM sliced_logs ORDER BY number DESC LIMIT 1").fetch_optional(&mut *transaction);
        let Some(slice) = newest.await? else {
            return Self::begin(transaction, 1, 1).await;
        };
        let mut open = Self::of(slice);
        let mut statement = sql("SELECT ");
        statement.push(&word_columns()).push(" FROM ").push(&words_table(open.slice.number));
        for row in statement.fetch_all::<WordsRow>(&mut *transaction).await? {
            let texts = [
                row.serial.as_str(),
                &row.subtype,
                &row.rule,
                &row.nat_rule,
                &row.application,
                &row.from_zone,
                &row.to_zone,
                &row.inbound_interface,
                &row.outbound_interface,
                &row.action,
                &row.session_end_reason,
                &row.source_tags,
                &row.destination_tags,
            ];
            let key = key_of([row.protocol, row.cluster_id], &texts);
            open.last_word = open.last_word.max(row.word);
            open.words.insert(key, row.word);
        }
        Ok(open)
    }

    fn of(slice: Slice) -> Self {
        let mut insert = insert_records(slice.number);
        for row in 0..ROWS_AT_ONCE {
            insert.push_str(if row == 0 { "(" } else { "), (" });
            for column in 0..RECORD_COLUMNS.len() {
                let comma = if column == 0 { "" } else { "," };
                insert.push_str(&format!("{comma}${}", row * RECORD_COLUMNS.len() + column + 1));
            }
        }
        insert.push(')');
        Self { slice, words: HashMap::new(), last_word: 0, insert }
    }

    async fn begin(transaction: &mut Transaction, number: i64, first_id: i64) -> sqlx::Result<Self> {
        let postgres = matches!(transaction, Transaction::Postgres(_));
        for table in tables(number, postgres) {
            run(&table, &mut *transaction).await?;
        }
        let now = now_us();
        let slice = Slice {
            number,
            first_id,
            last_id: first_id - 1,
            oldest_us: i64::MAX,
            newest_us: i64::MIN,
            begun_us: now,
            written_us: now,
            bytes: 0,
            indexed: 0,
        };
        sql("INSERT INTO sliced_logs (number, first_id, last_id, oldest_us, newest_us, begun_us, written_us, bytes, \
             indexed) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0)")
        .bind(number)
        .bind(first_id)
        .bind(slice.last_id)
        .bind(slice.oldest_us)
        .bind(slice.newest_us)
        .bind(now)
        .bind(now)
        .execute(transaction)
        .await?;
        Ok(Self::of(slice))
    }

    /// Writes records in the order they came; whether the slice has become full and another one was begun.
    pub(super) async fn add(
        &mut self,
        transaction: &mut Transaction,
        serial: &str,
        records: &[&TrafficLog],
        rows_max: u64,
    ) -> sqlx::Result<bool> {
        let now = now_us();
        let mut rest = records;
        let mut has_turned = false;
        while !rest.is_empty() {
            if self.slice.is_full(to_db(rows_max), now) {
                self.keep(transaction).await?;
                *self = Self::begin(transaction, self.slice.number + 1, self.slice.last_id + 1).await?;
                has_turned = true;
            }
            let room = usize::try_from(to_db(rows_max) - self.slice.rows()).unwrap_or(0).max(1);
            let (fit, others) = rest.split_at(room.min(rest.len()));
            self.insert(transaction, serial, fit, now).await?;
            rest = others;
        }
        Ok(has_turned)
    }

    /// Notes how far the slice has come.
    pub(super) async fn keep(&self, transaction: &mut Transaction) -> sqlx::Result<()> {
        let Slice { number, last_id, oldest_us, newest_us, written_us, .. } = self.slice;
        sql("UPDATE sliced_logs SET last_id = $1, oldest_us = $2, newest_us = $3, written_us = $4 WHERE number = $5")
            .bind(last_id)
            .bind(oldest_us)
            .bind(newest_us)
            .bind(written_us)
            .bind(number)
            .execute(transaction)
            .await?;
        Ok(())
    }

    async fn insert(
        &mut self,
        transaction: &mut Transaction,
        serial: &str,
        records: &[&TrafficLog],
        now: i64,
    ) -> sqlx::Result<()> {
        // Two lengths only, so that the database need not prepare a statement for every length there is.
        let (full, rest) = records.as_chunks::<ROWS_AT_ONCE>();
        for chunk in full.iter().map(<[_; _]>::as_slice).chain(rest.chunks(1)) {
            let mut values = Vec::with_capacity(chunk.len() * RECORD_COLUMNS.len());
            for record in chunk {
                let word = self.word(transaction, serial, record).await?;
                self.slice.last_id += 1;
                self.slice.oldest_us = self.slice.oldest_us.min(record.time_generated_us);
                self.slice.newest_us = self.slice.newest_us.max(record.time_generated_us);
                values.extend(row(self.slice.last_id, now, word, record));
            }
            let statement = match chunk.len() {
                ROWS_AT_ONCE => Statement::of(self.insert.clone(), values),
                _ => {
                    let mut statement = sql("");
                    statement.push(&insert_records(self.slice.number));
                    for (index, value) in values.into_iter().enumerate() {
                        statement.push(if index == 0 { "(" } else { "," }).push_bind(value);
                    }
                    statement.push(")");
                    statement
                }
            };
            statement.execute(&mut *transaction).await?;
        }
        self.slice.written_us = now;
        Ok(())
    }

    /// The number of a record's combination of names.
    async fn word(&mut self, transaction: &mut Transaction, serial: &str, record: &TrafficLog) -> sqlx::Result<i64> {
        let texts = [
            serial,
            &record.subtype,
            &record.rule,
            &record.nat_rule,
            &record.application,
            &record.from_zone,
            &record.to_zone,
            &record.inbound_interface,
            &record.outbound_interface,
            &record.action,
            &record.session_end_reason,
            &record.source_tags,
            &record.destination_tags,
        ];
        let key = key_of([record.protocol.into(), record.k8s_cluster_id.into()], &texts);
        if let Some(word) = self.words.get(&key) {
            return Ok(*word);
        }
        self.last_word += 1;
        let word = self.last_word;
        let [
            serial,
            subtype,
            rule,
            nat_rule,
            application,
            from,
            to,
            inbound,
            outbound,
            action,
            reason,
            source,
            destination,
        ] = texts;
        let mut statement = sql("");
        statement.push(&format!("INSERT INTO {} ({}) VALUES (", words_table(self.slice.number), word_columns()));
        statement.push_bind(word);
        for text in [serial, subtype, rule, nat_rule, application, from, to, inbound, outbound] {
            statement.push(",").push_bind(text);
        }
        statement
            .push(",")
            .push_bind(record.protocol)
            .push(",")
            .push_bind(action)
            .push(",")
            .push_bind(reason)
            .push(",")
            .push_bind(record.k8s_cluster_id)
            .push(",")
            .push_bind(source)
            .push(",")
            .push_bind(destination)
            .push(")");
        statement.execute(transaction).await?;
        self.words.insert(key, word);
        Ok(word)
    }
}

#[derive(sqlx::FromRow)]
struct WordsRow {
    word: i64,
    serial: String,
    subtype: String,
    rule: String,
    nat_rule: String,
    application: String,
    from_zone: String,
    to_zone: String,
    inbound_interface: String,
    outbound_interface: String,
    protocol: i64,
    action: String,
    session_end_reason: String,
    cluster_id: i64,
    source_tags: String,
    destination_tags: String,
}

/// The digest (SHA-256) of a combination of names.
fn key_of(numbers: [i64; 2], texts: &[&str]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for number in numbers {
        digest.update(number.to_le_bytes());
    }
    for text in texts {
        digest.update(text.len().to_le_bytes());
        digest.update(text);
    }
    digest.finalize().into()
}

fn insert_records(number: i64) -> String {
    let columns: Vec<_> = RECORD_COLUMNS.iter().map(|(name, _)| *name).collect();
    format!("INSERT INTO {} ({}) VALUES ", records_table(number), columns.join(", "))
}

fn word_columns() -> String {
    WORD_COLUMNS.map(|(name, _)| name).join(", ")
}

fn row(id: i64, now: i64, word: i64, record: &TrafficLog) -> [Value; RECORD_COLUMNS.len()] {
    [
        id.into(),
        now.into(),
        record.time_generated_us.into(),
        word.into(),
        stored_key(&record.source),
        stored_key(&record.destination),
        stored_key(&record.nat_source),
        stored_key(&record.nat_destination),
        to_db(record.session_id).into(),
        record.source_port.into(),
        record.destination_port.into(),
        record.nat_source_port.into(),
        record.nat_destination_port.into(),
        to_db(record.bytes_sent).into(),
        to_db(record.bytes_received).into(),
        to_db(record.packets_sent).into(),
        to_db(record.packets_received).into(),
        record.start_us.into(),
        record.elapsed_s.into(),
    ]
}

/// An address as a column has it; nothing when there is none.
fn stored_key(address: &str) -> Value {
    if address.is_empty() { Value::Bytes(Some(Vec::new())) } else { super::traffic::address_key(address).into() }
}
