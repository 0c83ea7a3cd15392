//! Which records of the traffic log does a query ask for?
//!
//! Slices are asked one after the other, in the order of the time their records are of, until there are enough: what
//! lies outside of the query's time is not touched. In a full slice SQLite is told by which index to go. Each condition
//! that has one is tried on it, up to so many entries; the one with the fewest wins, unless another one has all that the
//! query looks at. Without any the records are read in the order of time where many fit, and as they lie where few do,
//! which a sample tells. PostgreSQL knows by its statistics.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::super::Store;
use super::super::db::{Statement, sql};
use super::super::traffic::TrafficRow;
use super::{INDEXES, Index, Slice, WORD_COLUMNS, index_name, records_table, words_table};
use crate::logs::filter::{Filter, Kind, Operator, Value};
use crate::logs::query::Query;

/// Entries of an index that are looked at to know how many there are. With more, the order of time is as good.
const PROBE_MAX: i64 = 20_000;
/// Records of a slice, the last ones, that are looked at to know how many fit.
const SAMPLE: i64 = 4_000;
/// Records that are read in the order of time, each somewhere else, in the time that a whole slice of 250,000 takes as it
/// lies: 13 us each against 160 ms, both from a disk (measured, SQLite, 50 million records).
const BY_TIME_MAX: i64 = 12_000;
/// Records that are read by their numbers at once.
const IDS_AT_ONCE: usize = 500;
/// Columns of a record.
const COLUMNS: &str = "id, serial, received_us, generated_us, subtype, source_key, destination_key, nat_source_key, \
    nat_destination_key, rule, nat_rule, application, from_zone, to_zone, inbound_interface, outbound_interface, \
    session_id, source_port, destination_port, nat_source_port, nat_destination_port, protocol, action, bytes_sent, \
    bytes_received, packets_sent, packets_received, start_us, elapsed_s, session_end_reason, cluster_id, \
    source_tags, destination_tags";

/// A query, by what its conditions look at.
pub(super) struct Parts<'a> {
    /// Numbers and keys alone.
    records: Vec<&'a Filter>,
    /// Names alone.
    words: Vec<&'a Filter>,
    /// Both.
    mixed: Vec<&'a Filter>,
    serials: Option<&'a BTreeSet<String>>,
    newest: i64,
    /// When the records were made, and when they came: from, until.
    made: (i64, i64),
    came: (i64, i64),
}

/// A way through a slice: by an index, with a condition that it fits, for what is not a condition of the query.
pub(super) struct Way {
    by: By,
    also: Option<Filter>,
}

#[derive(Clone, Copy)]
enum By {
    /// As the database thinks.
    Statistics,
    /// The order of the records' numbers.
    Number,
    Index(Index),
}

/// A condition as an index sees it.
enum Candidate<'a> {
    Filter(Filter),
    Part(&'a Filter),
    Words,
    Time,
}

/// A record that fits: its time, number, and slice.
type Key = (i64, i64, i64);

/// What was found as long as the query's patience lasted.
#[derive(Debug)]
pub(crate) struct TrafficPage {
    /// The records.
    pub(crate) rows: Vec<TrafficRow>,
    /// Where to go on, if the log was not read to the query's end.
    pub(crate) further: Option<Further>,
}

/// Where a query goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Further {
    /// The query's `beyond`: all records that fit and are before this time, in its direction, were found.
    pub(crate) beyond: i64,
    /// The query's `skip`.
    pub(crate) skip: u32,
}

impl<'a> Parts<'a> {
    pub(super) fn of(query: &'a Query) -> Self {
        let mut parts = Self {
            records: Vec::new(),
            words: Vec::new(),
            mixed: Vec::new(),
            serials: query.serials.as_ref(),
            newest: query.newest,
            made: (i64::MIN, i64::MAX),
            came: (i64::MIN, i64::MAX),
        };
        for part in query.filter.parts() {
            let (mut of_words, mut of_records) = (false, false);
            part.columns(&mut |column| {
                let is_word = WORD_COLUMNS.iter().any(|(name, _)| *name == column);
                of_words |= is_word;
                of_records |= !is_word;
            });
            match (of_words, of_records) {
                (true, false) => parts.words.push(part),
                (true, true) => parts.mixed.push(part),
                _ => parts.records.push(part),
            }
            parts.narrow(part);
        }
        parts
    }

    /// Takes the bounds of time out of a condition.
    fn narrow(&mut self, part: &Filter) {
        let Filter::Compare(Kind::Time(column), operator, Value::Number(time)) = part else { return };
        let (from, until) = if *column == "generated_us" { &mut self.made } else { &mut self.came };
        if matches!(operator, Operator::AtLeast | Operator::Equal) {
            *from = (*from).max(*time);
        }
        if matches!(operator, Operator::AtMost | Operator::Equal) {
            *until = (*until).min(*time);
        }
    }

    fn has_words(&self) -> bool {
        !self.words.is_empty() || self.serials.is_some()
    }

    /// Whether a slice may have what is asked for.
    pub(super) fn may_be_in(&self, slice: &Slice) -> bool {
        slice.first_id <= self.newest
            && slice.newest_us >= self.made.0
            && slice.oldest_us <= self.made.1
            && slice.written_us >= self.came.0
            && slice.begun_us <= self.came.1
    }

    /// Whether records of a slice are outside of the query's time.
    fn bounds(&self, slice: &Slice) -> bool {
        slice.oldest_us < self.made.0 || slice.newest_us > self.made.1
    }

    /// Conditions that an index of a slice may fit; each with the parts of which one has to hold.
    fn candidates(&self, slice: &Slice) -> Vec<Vec<(Index, Candidate<'a>)>> {
        let mut candidates = Vec::new();
        if self.bounds(slice) {
            candidates.push(vec![(Index::Time, Candidate::Time)]);
        }
        if self.has_words() {
            candidates.push(vec![(Index::Words, Candidate::Words)]);
        }
        for part in &self.records {
            let Filter::Compare(kind, Operator::Equal, value) = part else { continue };
            let one =
                |column| Candidate::Filter(Filter::Compare(Kind::Address(column), Operator::Equal, value.clone()));
            match *kind {
                Kind::Address("source_key") => candidates.push(vec![(Index::Source, Candidate::Part(part))]),
                Kind::Address("destination_key") => candidates.push(vec![(Index::Destination, Candidate::Part(part))]),
                Kind::Number("destination_port") => candidates.push(vec![(Index::Port, Candidate::Part(part))]),
                Kind::EitherAddress(first, second) => {
                    candidates.push(vec![(Index::Source, one(first)), (Index::Destination, one(second))]);
                }
                _ => {}
            }
        }
        candidates
    }

    /// Whether an index has all columns that the query looks at, so that no record needs to be read.
    fn has_all(&self, index: Index) -> bool {
        let Some((_, columns)) = INDEXES.iter().find(|(known, _)| *known == index) else { return false };
        let mut has_all = self.mixed.is_empty() && !self.has_words();
        for part in &self.records {
            part.columns(&mut |column| has_all &= columns.split(", ").any(|known| known == column));
        }
        has_all
    }

    fn push_time(&self, statement: &mut Statement) {
        statement.push("generated_us >= ").push_bind(self.made.0);
        statement.push(" AND generated_us <= ").push_bind(self.made.1);
    }

    /// `words IN (...)`
    fn push_words(&self, statement: &mut Statement, number: i64) {
        statement.push("words IN (SELECT word FROM ").push(&words_table(number)).push(" WHERE TRUE");
        if let Some(serials) = self.serials {
            statement.push(" AND serial IN (''");
            for serial in serials {
                statement.push(", ").push_bind(serial);
            }
            statement.push(")");
        }
        for part in &self.words {
            statement.push(" AND ");
            part.push_to(statement);
        }
        statement.push(")");
    }

    /// `SELECT` and `FROM` and `WHERE` of a slice, by a way.
    fn select(&self, columns: &str, with_words: bool, number: i64, way: &Way) -> Statement {
        let mut statement = sql("SELECT ");
        statement.push(columns);
        self.push_from(&mut statement, with_words, number, way);
        statement
    }

    /// `FROM` and `WHERE` of a slice, by a way.
    pub(super) fn push_from(&self, statement: &mut Statement, with_words: bool, number: i64, way: &Way) {
        statement.push(" FROM ").push(&records_table(number));
        match way.by {
            By::Statistics => {}
            By::Number => {
                statement.push(" NOT INDEXED");
            }
            By::Index(index) => {
                statement.push(" INDEXED BY ").push(&index_name(number, index));
            }
        }
        let joined = with_words || !self.mixed.is_empty();
        if joined {
            // In this order, which a `JOIN` leaves to SQLite.
            statement.push(" CROSS JOIN ").push(&words_table(number));
        }
        statement.push(" WHERE id <= ").push_bind(self.newest);
        if joined {
            statement.push(" AND word = words");
        }
        if self.has_words() {
            statement.push(" AND ");
            self.push_words(statement, number);
        }
        for part in self.records.iter().chain(&self.mixed).copied().chain(&way.also) {
            statement.push(" AND ");
            part.push_to(statement);
        }
    }
}

impl Candidate<'_> {
    fn push_to(&self, statement: &mut Statement, parts: &Parts<'_>, number: i64) {
        match self {
            Self::Filter(filter) => filter.push_to(statement),
            Self::Part(part) => part.push_to(statement),
            Self::Words => parts.push_words(statement, number),
            Self::Time => parts.push_time(statement),
        }
    }
}

impl Store {
    /// The records that a query asks for, in its order; all of them, whatever its patience.
    pub(crate) async fn traffic(&self, query: &Query) -> sqlx::Result<Vec<TrafficRow>> {
        match query.after {
            Some(after) => self.traffic_after(query, after).await,
            None if query.patience.is_none() => Ok(self.traffic_page(query).await?.rows),
            None => Ok(self.traffic_page(&Query { patience: None, ..query.clone() }).await?.rows),
        }
    }

    /// Starts of spans of time, and how many records each has, from one time until before another.
    pub(crate) async fn traffic_counts(
        &self,
        query: &Query,
        from_us: i64,
        until_us: i64,
        span_us: i64,
    ) -> sqlx::Result<Vec<(i64, i64)>> {
        let mut parts = Parts::of(query);
        let time = |operator, time| Filter::Compare(Kind::Time("generated_us"), operator, Value::Number(time));
        let (from, until) = (time(Operator::AtLeast, from_us), time(Operator::AtMost, until_us - 1));
        for bound in [&from, &until] {
            parts.records.push(bound);
            parts.narrow(bound);
        }
        let mut counts = BTreeMap::new();
        for slice in self.slices().await?.into_iter().filter(|slice| parts.may_be_in(slice)) {
            let Some(way) = self.only_way(&slice, &parts).await? else { continue };
            let start = format!("generated_us - generated_us % {span_us} AS start, count(*) AS lines");
            let mut statement = parts.select(&start, false, slice.number, &way);
            statement.push(" GROUP BY start");
            let found = statement.fetch_all::<(i64, i64)>(&self.reader).await;
            for (start, lines) in self.unless_dropped(found, slice.number).await? {
                *counts.entry(start).or_default() += lines;
            }
        }
        Ok(counts.into_iter().collect())
    }

    /// In the order of their numbers, the smallest first.
    async fn traffic_after(&self, query: &Query, after: i64) -> sqlx::Result<Vec<TrafficRow>> {
        let parts = Parts::of(query);
        let mut rows = Vec::new();
        let wanted = query.rows as usize;
        for slice in self.slices().await?.into_iter().filter(|slice| slice.last_id > after && parts.may_be_in(slice)) {
            if rows.len() >= wanted {
                break;
            }
            let mut statement = parts.select(COLUMNS, true, slice.number, &self.way(By::Number));
            statement.push(" AND id > ").push_bind(after).push(" ORDER BY id LIMIT ");
            statement.push_bind(i64::try_from(wanted - rows.len()).unwrap_or(i64::MAX));
            let found = statement.fetch_all(&self.reader).await;
            rows.extend(self.unless_dropped(found, slice.number).await?);
        }
        Ok(rows)
    }

    /// The records that a query asks for, by time, as long as its patience lasts. At least one slice is read, so that
    /// whoever goes on comes to the end.
    pub(crate) async fn traffic_page(&self, query: &Query) -> sqlx::Result<TrafficPage> {
        let begun = Instant::now();
        let mut parts = Parts::of(query);
        let operator = if query.backward { Operator::AtMost } else { Operator::AtLeast };
        let bound = query.beyond.map(|time| Filter::Compare(Kind::Time("generated_us"), operator, Value::Number(time)));
        if let Some(bound) = &bound {
            parts.records.push(bound);
            parts.narrow(bound);
        }
        let mut beyond = None;
        let mut longest: Option<Duration> = None;
        let wanted = query.skip as usize + query.rows as usize;
        let mut slices = self.slices().await?;
        slices.retain(|slice| parts.may_be_in(slice));
        let mut keys: Vec<Key> = Vec::new();
        if query.backward {
            slices.sort_by_key(|slice| std::cmp::Reverse((slice.newest_us, slice.number)));
        } else {
            slices.sort_by_key(|slice| (slice.oldest_us, slice.number));
        }
        for slice in &slices {
            let is_beyond =
                |last: &Key| if query.backward { slice.newest_us < last.0 } else { slice.oldest_us > last.0 };
            if keys.len() >= wanted && keys.last().is_none_or(is_beyond) {
                break;
            }
            let (edge, is_further) = match query.backward {
                true => (slice.newest_us, slice.newest_us < parts.made.1),
                false => (slice.oldest_us, slice.oldest_us > parts.made.0),
            };
            // The next one will take as long as the ones before it.
            let is_over = |longest| query.patience.is_some_and(|patience| begun.elapsed() + longest >= patience);
            if is_further && longest.is_some_and(is_over) {
                beyond = Some(edge);
                break;
            }
            let slice_begun = Instant::now();
            for mut way in self.ways(slice, &parts).await?.unwrap_or_default() {
                let is_by_time = matches!(way.by, By::Index(Index::Time)) && !parts.bounds(slice);
                if is_by_time && self.is_sparse(slice, &parts, wanted).await? {
                    way.by = By::Number;
                }
                let mut statement = parts.select("generated_us, id", false, slice.number, &way);
                let order = if query.backward { " DESC" } else { " ASC" };
                statement.push(" ORDER BY generated_us").push(order).push(", id").push(order).push(" LIMIT ");
                statement.push_bind(i64::try_from(wanted).unwrap_or(i64::MAX));
                let found = statement.fetch_all::<(i64, i64)>(&self.reader).await;
                let found = self.unless_dropped(found, slice.number).await?;
                keys.extend(found.into_iter().map(|(time, id)| (time, id, slice.number)));
            }
            keys.sort_unstable();
            keys.dedup();
            if query.backward {
                keys.reverse();
            }
            keys.truncate(wanted);
            longest = longest.max(Some(slice_begun.elapsed()));
        }
        // Others of that time, or from then on, may be where nobody has looked yet.
        if let Some(edge) = beyond {
            keys.retain(|key| if query.backward { key.0 > edge } else { key.0 < edge });
        }
        let skip = query.skip.saturating_sub(u32::try_from(keys.len()).unwrap_or(u32::MAX));
        let further = beyond.filter(|_| keys.len() < wanted).map(|beyond| Further { beyond, skip });
        Ok(TrafficPage { rows: self.records(keys.get(query.skip as usize..).unwrap_or_default()).await?, further })
    }

    /// The records of keys, in their order; without those that have made room meanwhile.
    async fn records(&self, keys: &[Key]) -> sqlx::Result<Vec<TrafficRow>> {
        let mut ids: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for (_, id, slice) in keys {
            ids.entry(*slice).or_default().push(*id);
        }
        let mut rows = HashMap::with_capacity(keys.len());
        for (number, ids) in ids {
            for chunk in ids.chunks(IDS_AT_ONCE) {
                let mut statement = sql("SELECT ");
                statement.push(COLUMNS).push(" FROM ").push(&records_table(number)).push(" CROSS JOIN ");
                statement.push(&words_table(number)).push(" WHERE word = words AND id IN (");
                for (index, id) in chunk.iter().enumerate() {
                    statement.push(if index == 0 { "" } else { "," }).push_bind(*id);
                }
                statement.push(")");
                let found = statement.fetch_all::<TrafficRow>(&self.reader).await;
                rows.extend(self.unless_dropped(found, number).await?.into_iter().map(|row| (row.id, row)));
            }
        }
        Ok(keys.iter().filter_map(|(_, id, _)| rows.remove(id)).collect())
    }

    /// Whether so few records of a slice fit that it is read sooner as it lies than in the order of time until there are
    /// enough.
    async fn is_sparse(&self, slice: &Slice, parts: &Parts<'_>, wanted: usize) -> sqlx::Result<bool> {
        let mut statement = parts.select("count(*)", false, slice.number, &self.way(By::Number));
        statement.push(" AND id > ").push_bind(slice.last_id.min(parts.newest) - SAMPLE);
        let fit = statement.fetch_all::<(i64,)>(&self.reader).await;
        let fit = self.unless_dropped(fit, slice.number).await?.first().map_or(0, |(fit,)| *fit);
        Ok(fit * BY_TIME_MAX < SAMPLE * i64::try_from(wanted).unwrap_or(i64::MAX / SAMPLE))
    }

    /// How to go through a slice; `None` when nothing there fits.
    async fn ways(&self, slice: &Slice, parts: &Parts<'_>) -> sqlx::Result<Option<Vec<Way>>> {
        if self.reader.is_postgres() || slice.indexed == 0 {
            return Ok(Some(vec![self.by_time()]));
        }
        let (mut best, mut fewest) = (None, PROBE_MAX);
        let mut candidates = parts.candidates(slice);
        let has_all = |candidate: &[(Index, Candidate<'_>)]| candidate.iter().all(|(index, _)| parts.has_all(*index));
        candidates.sort_by_key(|candidate| !has_all(candidate));
        for candidate in candidates {
            let mut entries = 0;
            for (index, condition) in &candidate {
                let mut statement = sql("SELECT count(*) FROM (SELECT 1 FROM ");
                statement.push(&records_table(slice.number)).push(" INDEXED BY ");
                statement.push(&index_name(slice.number, *index)).push(" WHERE ");
                condition.push_to(&mut statement, parts, slice.number);
                statement.push(" LIMIT ").push_bind(PROBE_MAX).push(")");
                let count = statement.fetch_all::<(i64,)>(&self.reader).await;
                entries += self.unless_dropped(count, slice.number).await?.first().map_or(0, |(count,)| *count);
            }
            if entries == 0 {
                return Ok(None);
            }
            if entries < fewest {
                let is_best = has_all(&candidate);
                (best, fewest) = (Some(candidate), entries);
                if is_best {
                    break;
                }
            }
        }
        let ways = best.map(|best| {
            let way = |(index, condition): (Index, Candidate<'_>)| {
                let also = match condition {
                    Candidate::Filter(filter) => Some(filter),
                    _ => None,
                };
                Way { by: By::Index(index), also }
            };
            best.into_iter().map(way).collect()
        });
        Ok(Some(ways.unwrap_or_else(|| vec![self.by_time()])))
    }

    /// The same for what is counted: a record that two ways lead to must not be counted twice.
    pub(super) async fn only_way(&self, slice: &Slice, parts: &Parts<'_>) -> sqlx::Result<Option<Way>> {
        let Some(mut ways) = self.ways(slice, parts).await? else { return Ok(None) };
        Ok(Some(if ways.len() == 1 { ways.swap_remove(0) } else { self.by_time() }))
    }

    fn by_time(&self) -> Way {
        self.way(By::Index(Index::Time))
    }

    fn way(&self, by: By) -> Way {
        Way { by: if self.reader.is_postgres() { By::Statistics } else { by }, also: None }
    }

    /// What was found in a slice; nothing when it was dropped while it was read.
    pub(super) async fn unless_dropped<T>(&self, found: sqlx::Result<Vec<T>>, number: i64) -> sqlx::Result<Vec<T>> {
        match found {
            Err(error) if self.slices().await?.iter().any(|slice| slice.number == number) => Err(error),
            Err(_) => Ok(Vec::new()),
            found => found,
        }
    }
}
