//! How much is there of what in a log? Records are grouped by some of their fields, and others are added up.
//!
//! Slices are grouped one after the other, and what they say is put together here: so many groups at most. Names are grouped
//! by the number of their combination first, of which a slice has few.

use std::collections::HashMap;

use super::super::Store;
use super::super::db::{Statement, sql};
use super::super::traffic::address_text;
use super::find::{Parts, Way};
use super::{WORD_COLUMNS, words_table};
use crate::logs::query::Query;

/// Fields to group by, at most.
pub(crate) const KEYS_MAX: usize = 10;
/// Fields that are added up, at most.
pub(crate) const SUMS_MAX: usize = 4;
/// Groups that are held at once.
pub(crate) const GROUPS_MAX: usize = 200_000;

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

/// Ten keys and four sums.
#[rustfmt::skip]
type Row = (
    String, String, String, String, String, String, String, String, String, String,
    i64, i64, i64, i64,
);

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

impl Column {
    /// Whether it is in the table of names.
    pub(crate) fn is_name(self) -> bool {
        matches!(self, Self::Plain(text) if names_a_word(text))
    }
}

impl Grouping {
    /// The statement that groups the records of a slice.
    fn of_slice(&self, parts: &Parts<'_>, number: i64, way: &Way, postgres: bool) -> Statement {
        let mut statement = sql("SELECT ");
        if self.is_of_names() {
            let sums = (0..SUMS_MAX).map(|index| if index < self.sums.len() { SUMMED[index] } else { "0" });
            statement.push(&self.columns(postgres, sums)).push(" FROM (SELECT words AS combination");
            for (sum, name) in self.sums.iter().zip(SUMMED) {
                statement.push(", sum(").push(sum).push(") AS ").push(name);
            }
            parts.push_from(&mut statement, false, number, way);
            statement.push(" GROUP BY words) AS combined CROSS JOIN ").push(&words_table(number));
            statement.push(" WHERE word = combination");
        } else {
            statement.push(&self.select(postgres));
            parts.push_from(&mut statement, true, number, way);
        }
        self.push_group(&mut statement);
        statement
    }

    /// Whether names alone are grouped by, and none is added up.
    fn is_of_names(&self) -> bool {
        self.keys.iter().all(|key| key.is_name()) && !self.sums.iter().any(|sum| names_a_word(sum))
    }

    /// The columns of a statement that groups.
    fn select(&self, postgres: bool) -> String {
        self.columns(postgres, (0..SUMS_MAX).map(|index| self.sums.get(index).copied().unwrap_or("0")))
    }

    fn columns(&self, postgres: bool, sums: impl Iterator<Item = &'static str>) -> String {
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
        columns.extend(sums.map(|sum| format!("CAST(coalesce(sum({sum}), 0) AS BIGINT)")));
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
        let mut texts = vec![row.0, row.1, row.2, row.3, row.4, row.5, row.6, row.7, row.8, row.9];
        texts.truncate(self.keys.len());
        for (text, key) in texts.iter_mut().zip(&self.keys) {
            match key {
                Column::Plain(_) => {}
                Column::Address(_) => *text = address_text(&bytes(text)),
                Column::Time(..) => *text = crate::times::date_time(text.parse().unwrap_or_default()),
            }
        }
        (texts, [row.10, row.11, row.12, row.13])
    }
}

/// What sums are called while combinations are joined with their names.
const SUMMED: [&str; SUMS_MAX] = ["sum_0", "sum_1", "sum_2", "sum_3"];

/// Whether an expression is about a column of the table of names.
fn names_a_word(expression: &str) -> bool {
    let mut parts = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    parts.any(|part| WORD_COLUMNS.iter().any(|(name, _)| *name == part))
}

/// What hexadecimal digits stand for.
fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks_exact(2);
    pairs.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

impl Store {
    /// The groups of the records that a query asks for, in no order.
    pub(crate) async fn log_groups(&self, query: &Query, grouping: &Grouping) -> Result<Vec<Group>, NoGroups> {
        let mut groups: HashMap<Vec<String>, [i64; SUMS_MAX]> = HashMap::new();
        let fold = |(key, sums): Group| {
            let group = groups.entry(key).or_default();
            for (sum, more) in group.iter_mut().zip(sums) {
                *sum = sum.saturating_add(more);
            }
            groups.len() <= GROUPS_MAX
        };
        self.each_group(query, grouping, fold).await?;
        Ok(groups.into_iter().collect())
    }

    /// Hands over the groups of each slice, so that one may come several times, until `each` says that it has too many.
    pub(crate) async fn each_group(
        &self,
        query: &Query,
        grouping: &Grouping,
        mut each: impl FnMut(Group) -> bool,
    ) -> Result<(), NoGroups> {
        let postgres = self.reader.is_postgres();
        let mut statements = Vec::new();
        match query.log.table() {
            Some(table) => {
                let mut statement = query.select(&grouping.select(postgres), table);
                grouping.push_group(&mut statement);
                statements.push((0, statement));
            }
            None => {
                let parts = Parts::of(query);
                for slice in self.slices().await?.into_iter().filter(|slice| parts.may_be_in(slice)) {
                    if let Some(way) = self.only_way(&slice, &parts).await? {
                        statements.push((slice.number, grouping.of_slice(&parts, slice.number, &way, postgres)));
                    }
                }
            }
        }
        for (number, statement) in statements {
            let done = statement.fetch_each(&self.reader, |row: Row| match each(grouping.texts(row)) {
                true => Ok(()),
                false => Err(sqlx::Error::RowNotFound),
            });
            match done.await {
                Err(sqlx::Error::RowNotFound) => return Err(NoGroups::TooMany),
                done if number > 0 => drop(self.unless_dropped(done.map(|()| Vec::<()>::new()), number).await?),
                done => done?,
            }
        }
        Ok(())
    }
}
