//! Log queries: asked for in one request, collected in the next ones.
//!
//! A query keeps only what was asked; its rows are read each time it is collected, up to the newest row
//! there was when it was asked, so that waiting results take no memory.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use super::filter::{self, Filter};
use crate::lock;
use crate::store::db::{Statement, sql};
use crate::store::now_us;

/// Queries that can be collected; the oldest is forgotten.
const QUERIES_MAX: usize = 256;
/// Rows of one answer, as PAN-OS bounds them.
pub(crate) const ROWS_MAX: u32 = 5000;
/// Rows that can be left out before the first.
pub(crate) const SKIP_MAX: u32 = 1_000_000;

/// Which log is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    /// Sessions.
    Traffic,
    /// Changes.
    Config,
    /// What happened to firewalls.
    System,
    /// Floods and scans.
    Threat,
    /// Tags of addresses.
    IpTag,
}

impl Log {
    /// All of them, by name.
    pub(crate) const ALL: &'static [(&'static str, Self)] = &[
        ("traffic", Self::Traffic),
        ("threat", Self::Threat),
        ("system", Self::System),
        ("iptag", Self::IpTag),
        ("config", Self::Config),
    ];

    /// The log of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, log)| *log)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, log)| *log == self).map_or("", |(name, _)| name)
    }

    /// What can be asked of it.
    pub(crate) fn fields(self) -> filter::Fields {
        match self {
            Self::Traffic => filter::TRAFFIC,
            Self::Config => filter::CONFIG,
            Self::System => filter::SYSTEM,
            Self::Threat => filter::THREAT,
            Self::IpTag => filter::IPTAG,
        }
    }

    /// Whether it is kept among the events of firewalls.
    pub(crate) fn is_of_events(self) -> bool {
        matches!(self, Self::System | Self::Threat | Self::IpTag)
    }

    /// The table and the condition that tells its lines apart; none for the traffic log, which has many.
    pub(crate) fn table(self) -> Option<&'static str> {
        match self {
            Self::Traffic => None,
            Self::Config => Some("audit WHERE TRUE"),
            Self::System => Some("event_logs WHERE log = 'system'"),
            Self::Threat => Some("event_logs WHERE log = 'threat'"),
            Self::IpTag => Some("event_logs WHERE log = 'iptag'"),
        }
    }

    /// The column with the time at which a line was made.
    fn time(self) -> &'static str {
        if self == Self::Config { "time_us" } else { "generated_us" }
    }
}

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    /// Its number.
    pub(crate) id: u64,
    /// Who asked.
    pub(crate) admin: String,
    /// Which log.
    pub(crate) log: Log,
    /// Of which firewalls; `None` for all.
    pub(crate) serials: Option<BTreeSet<String>>,
    /// Which rows.
    pub(crate) filter: Filter,
    /// How many.
    pub(crate) rows: u32,
    /// How many are left out before the first.
    pub(crate) skip: u32,
    /// Newest first.
    pub(crate) backward: bool,
    /// The newest row that is seen.
    pub(crate) newest: i64,
    /// Only rows after this one, in the order of their numbers; `None` for all, by time.
    pub(crate) after: Option<i64>,
    /// Of the traffic log by time: only rows up to this time, in the query's direction; what a page before has read.
    pub(crate) beyond: Option<i64>,
    /// Of the traffic log by time: how long it is read, as long as not all of it was; `None` until the end.
    pub(crate) patience: Option<Duration>,
    /// When it was asked.
    pub(crate) asked_us: i64,
}

/// The queries that can be collected.
#[derive(Default)]
pub(crate) struct Queries {
    waiting: Mutex<(u64, VecDeque<Query>)>,
}

impl Queries {
    /// Keeps a query and numbers it.
    pub(crate) fn add(&self, mut query: Query) -> u64 {
        let mut waiting = lock(&self.waiting);
        let (last, queries) = &mut *waiting;
        *last += 1;
        query.id = *last;
        query.asked_us = now_us();
        if queries.len() >= QUERIES_MAX {
            queries.pop_front();
        }
        queries.push_back(query);
        *last
    }

    /// An administrator's query.
    pub(crate) fn find(&self, id: u64, admin: &str) -> Option<Query> {
        lock(&self.waiting).1.iter().find(|query| query.id == id && query.admin == admin).cloned()
    }

    /// Forgets an administrator's query; whether there was one.
    pub(crate) fn remove(&self, id: u64, admin: &str) -> bool {
        let queries = &mut lock(&self.waiting).1;
        let before = queries.len();
        queries.retain(|query| query.id != id || query.admin != admin);
        queries.len() < before
    }
}

impl Query {
    /// Rows after one, up to another, in the order of their numbers.
    pub(crate) fn after(log: Log, filter: Filter, after: i64, newest: i64, rows: u32) -> Self {
        let (admin, asked_us, skip) = (String::new(), 0, 0);
        Self {
            id: 0,
            admin,
            log,
            serials: None,
            filter,
            rows,
            skip,
            backward: false,
            newest,
            after: Some(after),
            beyond: None,
            patience: None,
            asked_us,
        }
    }

    /// A statement that reads columns of its rows out of the log's table, in no order and all of them.
    pub(crate) fn select(&self, columns: &str, table: &str) -> Statement {
        let mut statement = sql("SELECT ");
        statement.push(columns).push(" FROM ");
        self.push_condition(&mut statement, table);
        statement
    }

    /// The statement that reads its rows out of the log's table.
    pub(crate) fn statement(&self, table: &str) -> Statement {
        let mut statement = sql("SELECT * FROM ");
        self.push_condition(&mut statement, table);
        // Lines of the config log are made in the order of their numbers.
        let time = match (self.log, self.after) {
            (Log::Config, _) | (_, Some(_)) => "id",
            (log, None) => log.time(),
        };
        let order = if self.backward { " DESC" } else { " ASC" };
        statement.push(" ORDER BY ").push(time).push(order).push(", id").push(order);
        statement.push(" LIMIT ").push_bind(self.rows).push(" OFFSET ").push_bind(self.skip);
        statement
    }

    /// The statement that counts its rows by time: `(start, rows)` for each span of so many microseconds that has any.
    pub(crate) fn counts(&self, table: &str, from_us: i64, until_us: i64, span_us: i64) -> Statement {
        let time = self.log.time();
        let mut statement = sql("SELECT ");
        let span = |statement: &mut Statement| {
            statement.push(time).push(" - ").push(time).push(" % ").push_bind(span_us);
        };
        span(&mut statement);
        statement.push(" AS start, count(*) AS lines FROM ");
        self.push_condition(&mut statement, table);
        statement.push(" AND ").push(time).push(" >= ").push_bind(from_us);
        statement.push(" AND ").push(time).push(" < ").push_bind(until_us);
        statement.push(" GROUP BY start ORDER BY start");
        statement
    }

    fn push_condition(&self, statement: &mut Statement, table: &str) {
        statement.push(table).push(" AND id <= ").push_bind(self.newest).push(" AND ");
        if let Some(after) = self.after {
            statement.push("id > ").push_bind(after).push(" AND ");
        }
        if let Some(serials) = &self.serials {
            statement.push("serial IN ('' ");
            for serial in serials {
                statement.push(", ").push_bind(serial.clone());
            }
            statement.push(") AND ");
        }
        self.filter.push_to(statement);
    }
}
