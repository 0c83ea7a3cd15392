//! Log queries: asked for in one request, collected in the next ones.
//!
//! A query keeps only what was asked; its rows are read each time it is collected, up to the newest row
//! there was when it was asked, so that waiting results take no memory.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;

use super::filter::Filter;
use crate::lock;
use crate::store::db::{Statement, sql};
use crate::store::now_us;

/// Queries that can be collected; the oldest is forgotten.
const QUERIES_MAX: usize = 256;
/// Rows of one answer, as PAN-OS bounds them.
pub(crate) const ROWS_MAX: u32 = 5000;

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
    /// The statement that reads its rows.
    pub(crate) fn statement(&self) -> Statement {
        let (table, time) = match self.log {
            Log::Traffic => ("SELECT * FROM traffic_logs WHERE id <= ", "generated_us"),
            Log::Config => ("SELECT * FROM audit WHERE id <= ", "id"),
            Log::System => ("SELECT * FROM event_logs WHERE log = 'system' AND id <= ", "generated_us"),
            Log::Threat => ("SELECT * FROM event_logs WHERE log = 'threat' AND id <= ", "generated_us"),
        };
        let mut statement = sql(table);
        statement.push_bind(self.newest).push(" AND ");
        if let Some(serials) = &self.serials {
            statement.push("serial IN ('' ");
            for serial in serials {
                statement.push(", ").push_bind(serial.clone());
            }
            statement.push(") AND ");
        }
        self.filter.push_to(&mut statement);
        let order = if self.backward { " DESC" } else { " ASC" };
        statement.push(" ORDER BY ").push(time).push(order).push(", id").push(order);
        statement.push(" LIMIT ").push_bind(self.rows).push(" OFFSET ").push_bind(self.skip);
        statement
    }
}
