//! How much is there of what in a log? Records are grouped by some of their fields, and others are added up.
//!
//! Slices are grouped one after the other, and what they say is put together here: so many groups at most.

use std::collections::HashMap;

use super::super::Store;
use super::super::db::Statement;
use super::super::traffic::address_text;
use super::find::Parts;
use crate::logs::query::Query;

/// Fields to group by, at most.
pub(crate) const KEYS_MAX: usize = 4;
/// Fields that are added up, at most.
pub(crate) const SUMS_MAX: usize = 4;
/// Groups that are held at once.
const GROUPS_MAX: usize = 200_000;

/// A field to group by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// Text or a number.
    Plain(&'static str),
    /// An address key.
    Address(&'static str),
    /// A time, cut to so many microseconds.
    Time(&'static str, i64),
}

/// What is to be grouped.
#[derive(Clone, Debug)]
pub(crate) struct Grouping {
    /// By what.
    pub(crate) keys: Vec<Column>,
    /// What is added up.
    pub(crate) sums: Vec<&'static str>,
}

/// A group: its values as text, and its sums.
pub(crate) type Group = (Vec<String>, [i64; SUMS_MAX]);

type Row = (String, String, String, String, i64, i64, i64, i64);

/// Why there are no groups.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoGroups {
    /// The database's fault.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
    /// The question's.
    #[error("there are more than {GROUPS_MAX} groups: group by less, or ask for less")]
    TooMany,
}

impl Grouping {
    /// The columns of a statement that groups.
    fn select(&self, postgres: bool) -> String {
        let mut columns: Vec<String> = Vec::new();
        for index in 0..KEYS_MAX {
            columns.push(match self.keys.get(index) {
                None => "''".to_owned(),
                Some(Column::Plain(column)) => format!("CAST({column} AS TEXT)"),
                Some(Column::Address(column)) if postgres => format!("encode({column}, 'hex')"),
                Some(Column::Address(column)) => format!("hex({column})"),
                Some(Column::Time(column, span)) => format!("CAST({column} - {column} % {span} AS TEXT)"),
            });
        }
        for index in 0..SUMS_MAX {
            let sum = self.sums.get(index).copied().unwrap_or("0");
            columns.push(format!("CAST(coalesce(sum({sum}), 0) AS BIGINT)"));
        }
        columns.join(", ")
    }

    fn push_group(&self, statement: &mut Statement) {
        for (index, key) in self.keys.iter().enumerate() {
            let (Column::Plain(column) | Column::Address(column) | Column::Time(column, _)) = key;
            statement.push(if index == 0 { " GROUP BY " } else { ", " }).push(column);
            if let Column::Time(_, span) = key {
                statement.push(&format!(" - {column} % {span}"));
            }
        }
    }

    /// A group's values as they are written.
    fn texts(&self, row: Row) -> Group {
        let mut texts = vec![row.0, row.1, row.2, row.3];
        texts.truncate(self.keys.len());
        for (text, key) in texts.iter_mut().zip(&self.keys) {
            match key {
                Column::Plain(_) => {}
                Column::Address(_) => *text = address_text(&bytes(text)),
                Column::Time(..) => *text = crate::times::date_time(text.parse().unwrap_or_default()),
            }
        }
        (texts, [row.4, row.5, row.6, row.7])
    }
}

/// What hexadecimal digits stand for.
fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks_exact(2);
    pairs.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

impl Store {
    /// The groups of the records that a query asks for, in no order.
    pub(crate) async fn log_groups(&self, query: &Query, grouping: &Grouping) -> Result<Vec<Group>, NoGroups> {
        let columns = grouping.select(self.reader.is_postgres());
        let mut statements = Vec::new();
        match query.log.table() {
            Some(table) => statements.push((0, query.select(&columns, table))),
            None => {
                let parts = Parts::of(query);
                for slice in self.slices().await?.into_iter().filter(|slice| parts.may_be_in(slice)) {
                    if let Some(way) = self.only_way(&slice, &parts).await? {
                        statements.push((slice.number, parts.select(&columns, true, slice.number, &way)));
                    }
                }
            }
        }
        let mut groups: HashMap<Vec<String>, [i64; SUMS_MAX]> = HashMap::new();
        for (number, mut statement) in statements {
            grouping.push_group(&mut statement);
            let mut found = Vec::new();
            let done = statement.fetch_each(&self.reader, |row: Row| {
                found.push(grouping.texts(row));
                if found.len() > GROUPS_MAX { Err(sqlx::Error::RowNotFound) } else { Ok(()) }
            });
            match done.await {
                Err(sqlx::Error::RowNotFound) => return Err(NoGroups::TooMany),
                done if number > 0 => drop(self.unless_dropped(done.map(|()| Vec::<()>::new()), number).await?),
                done => done?,
            }
            for (key, sums) in found {
                let group = groups.entry(key).or_default();
                for (sum, more) in group.iter_mut().zip(sums) {
                    *sum = sum.saturating_add(more);
                }
            }
            if groups.len() > GROUPS_MAX {
                return Err(NoGroups::TooMany);
            }
        }
        Ok(groups.into_iter().collect())
    }
}
