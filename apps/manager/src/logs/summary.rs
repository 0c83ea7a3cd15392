//! What is most of a log, by several fields at once?
//!
//! Groupings by names alone are answered by one pass over the log: it is grouped by all those names together, of which there
//! are few combinations, and the answers are added up from that. Every other grouping is a pass of its own.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::filter::{Filter, Kind, Operator, Value, protocol_name};
use super::query::{Log, Query};
use super::report::{find, keys_of};
use crate::store::Store;
use crate::store::slices::groups::{Column, Group, Grouping, KEYS_MAX, NoGroups, SUMS_MAX};

/// Groupings of one summary.
pub(crate) const GROUPINGS_MAX: usize = 16;
/// The field that is the time, cut to spans.
const TIME: &str = "time";
/// The field that says whether it was allowed.
const ACTION: &str = "action";

/// What is added up of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Lines of the log.
    pub(crate) lines: i64,
    /// Bytes of them, in both directions.
    pub(crate) bytes: i64,
    /// Lines that say something else than `allow`.
    pub(crate) refused: i64,
}

/// A summary to be made.
#[derive(Debug)]
pub(crate) struct Summary {
    query: Query,
    /// Names and columns of each grouping.
    groupings: Vec<Vec<(String, Column)>>,
    order: Order,
    top: usize,
}

/// What makes a group large.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "SummaryOrder")]
pub(crate) enum Order {
    /// Lines.
    #[default]
    Lines,
    /// Bytes.
    Bytes,
}

/// One grouping of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Grouped {
    /// By which fields.
    pub(crate) by: Vec<String>,
    /// The largest groups; of a time all, in their order.
    pub(crate) groups: Vec<(Vec<String>, Sums)>,
    /// How many others there are, and their sums; nothing when there are too many to be told apart.
    pub(crate) others: Option<(usize, Sums)>,
}

impl Sums {
    fn of(sums: [i64; SUMS_MAX]) -> Self {
        Self { lines: sums[0], bytes: sums[1], refused: sums[2] }
    }

    pub(crate) fn add(&mut self, more: Self) {
        self.lines = self.lines.saturating_add(more.lines);
        self.bytes = self.bytes.saturating_add(more.bytes);
        self.refused = self.refused.saturating_add(more.refused);
    }
}

/// What is added up, in the order of [`Sums`].
pub(super) fn sums(log: Log) -> Vec<&'static str> {
    match log {
        Log::Traffic => {
            vec!["1", "bytes_sent + bytes_received", "CASE WHEN action = 'allow' THEN 0 ELSE 1 END"]
        }
        // An alert lets pass.
        _ => vec!["1", "0", "CASE WHEN action IN ('allow', 'alert') THEN 0 ELSE 1 END"],
    }
}

/// Only lines that were made from one time on until before another.
pub(super) fn within(mut query: Query, from_us: i64, until_us: i64) -> Query {
    let time = |operator, time| Filter::Compare(Kind::Time("generated_us"), operator, Value::Number(time));
    let bounds = [time(Operator::AtLeast, from_us), time(Operator::AtMost, until_us - 1)];
    query.filter = Filter::And(bounds.into_iter().chain([query.filter]).collect());
    query
}

impl Summary {
    /// Reads groupings such as `app;src,dst;time,action`; `times` is from when until when, in spans of how long.
    ///
    /// # Errors
    /// What of them cannot be had.
    pub(crate) fn new(
        query: Query,
        times: (i64, i64, i64),
        by: &str,
        order: Order,
        top: usize,
    ) -> Result<Self, String> {
        let (from_us, until_us, span_us) = times;
        let known = keys_of(query.log);
        if known.is_empty() {
            return Err(format!("the log `{}` is not summed up; `traffic` and `threat` are", query.log.name()));
        }
        let column = |name: &str| match name {
            TIME => Ok((TIME.to_owned(), Column::Time("generated_us", span_us))),
            name => Ok((name.to_owned(), find(known, name, "grouped by")?)),
        };
        let mut groupings = Vec::new();
        for grouping in by.split(';') {
            let columns = grouping.split(',').map(column).collect::<Result<Vec<_>, String>>()?;
            if columns.len() > KEYS_MAX {
                return Err(format!("`{grouping}` has {} fields, at most {KEYS_MAX} are possible", columns.len()));
            }
            groupings.push(columns);
        }
        if groupings.len() > GROUPINGS_MAX {
            return Err(format!("these are {} groupings, at most {GROUPINGS_MAX} are possible", groupings.len()));
        }
        Ok(Self { query: within(query, from_us, until_us), groupings, order, top })
    }

    /// Makes it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn make(&self, store: &Store) -> sqlx::Result<Vec<Grouped>> {
        let (names, together) = self.names(store).await?;
        let mut made = Vec::new();
        for columns in &self.groupings {
            let places: Option<Vec<usize>> =
                columns.iter().map(|column| names.iter().position(|name| name == column)).collect();
            let groups = match (&together, places) {
                (Some(together), Some(places)) => Some(projected(together, &places)),
                _ => self
                    .groups(store, columns, sums(self.query.log))
                    .await?
                    .map(|groups| groups.into_iter().map(|(texts, sums)| (texts, Sums::of(sums))).collect::<Vec<_>>()),
            };
            made.push(self.grouped(columns, groups));
        }
        Ok(made)
    }

    /// The names that are grouped by, and the log by all of them: how much there is, and whether it was allowed.
    async fn names(&self, store: &Store) -> sqlx::Result<(Vec<(String, Column)>, Option<Vec<(Vec<String>, Sums)>>)> {
        let mut names: Vec<(String, Column)> = vec![(ACTION.to_owned(), Column::Plain(ACTION))];
        for column in
            self.groupings.iter().filter(|columns| columns.iter().all(|(_, column)| column.is_name())).flatten()
        {
            if !names.contains(column) && names.len() < KEYS_MAX {
                names.push(column.clone());
            }
        }
        // One pass for one grouping is that grouping's own.
        if self.query.log != Log::Traffic || names.len() < 2 {
            return Ok((Vec::new(), None));
        }
        let groups = self.groups(store, &names, sums(self.query.log)[..2].to_vec()).await?;
        let with_verdict = |(texts, [lines, bytes, ..]): Group| {
            let refused = if texts[0] == "allow" { 0 } else { lines };
            (texts, Sums { lines, bytes, refused })
        };
        Ok((names, groups.map(|groups| groups.into_iter().map(with_verdict).collect())))
    }

    /// `None` when there are too many.
    async fn groups(
        &self,
        store: &Store,
        columns: &[(String, Column)],
        sums: Vec<&'static str>,
    ) -> sqlx::Result<Option<Vec<Group>>> {
        let grouping = Grouping { keys: columns.iter().map(|(_, column)| *column).collect(), sums };
        match store.log_groups(&self.query, &grouping).await {
            Ok(groups) => Ok(Some(groups)),
            Err(NoGroups::TooMany) => Ok(None),
            Err(NoGroups::Store(error)) => Err(error),
        }
    }

    fn grouped(&self, columns: &[(String, Column)], groups: Option<Vec<(Vec<String>, Sums)>>) -> Grouped {
        let by: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
        let Some(mut groups) = groups else { return Grouped { by, groups: Vec::new(), others: None } };
        if let Some(place) = by.iter().position(|name| name == "proto") {
            for (texts, _) in &mut groups {
                if let Ok(number) = texts[place].parse() {
                    texts[place] = protocol_name(number);
                }
            }
        }
        if by.first().is_some_and(|name| name == TIME) {
            groups.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            return Grouped { by, groups, others: Some((0, Sums::default())) };
        }
        let size = |sums: Sums| if self.order == Order::Bytes { sums.bytes } else { sums.lines };
        groups.sort_unstable_by(|a, b| size(b.1).cmp(&size(a.1)).then_with(|| a.0.cmp(&b.0)));
        let others = groups.split_off(self.top.min(groups.len()));
        let mut sums = Sums::default();
        others.iter().for_each(|(_, more)| sums.add(*more));
        Grouped { by, groups, others: Some((others.len(), sums)) }
    }
}

/// Groups by some of the fields of others.
fn projected(groups: &[(Vec<String>, Sums)], places: &[usize]) -> Vec<(Vec<String>, Sums)> {
    let mut added: HashMap<Vec<&str>, Sums> = HashMap::new();
    for (texts, sums) in groups {
        added.entry(places.iter().map(|place| texts[*place].as_str()).collect()).or_default().add(*sums);
    }
    added.into_iter().map(|(texts, sums)| (texts.into_iter().map(str::to_owned).collect(), sums)).collect()
}
