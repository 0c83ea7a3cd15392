//! Logs: what can be asked of them, pages of lines, lines as they come, and how many there were over time.

use std::fmt;
use std::time::Duration;

use axum::http::Method;
use bartizan_model::tree::Element;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::events::Events;
use super::problem::Problem;
use super::route::{Access, Call, Json, Nothing, Route};
use crate::http::parameters::Parameters;
use crate::logs::filter::Kind;
use crate::logs::query::{Log, Query, ROWS_MAX, SKIP_MAX};
use crate::store::now_us;
use crate::times::rfc3339;
use crate::xmlapi::log::{query, rows, traffic_entry};

/// Lines of one page.
const PAGE: u32 = 100;
/// How long the traffic log is read for a page. First rows are to be there within a second.
const PATIENCE: Duration = Duration::from_millis(700);
/// How often the store is asked for new lines.
const TAIL_INTERVAL: Duration = Duration::from_millis(500);
/// New lines that are sent at once.
const TAIL_ROWS: u32 = 500;
/// Lines that wait for a slow reader.
const TAIL_QUEUE: usize = 64;
/// Spans of time that are counted at once.
const SPANS_MAX: i64 = 1000;
/// Spans when nobody says how many.
const SPANS: i64 = 60;
const HOUR_US: i64 = 3_600_000_000;

pub(super) fn routes() -> Vec<Route> {
    let log = Access::Type("log");
    vec![
        Route::new(Method::GET, "/logs", log, "The logs, and the fields of their queries", all),
        Route::new(Method::GET, "/logs/{log}", log, "A page of a log", page),
        Route::new(Method::GET, "/logs/{log}/tail", log, "Lines of a log as they come", tail),
        Route::new(Method::GET, "/logs/{log}/counts", log, "How many lines there were over time", counts),
    ]
}

/// The logs.
#[derive(JsonSchema, Serialize)]
struct Logs {
    /// All of them.
    logs: Vec<LogInfo>,
}

/// A log.
#[derive(JsonSchema, Serialize)]
struct LogInfo {
    /// Its name.
    name: String,
    /// What a query may ask of it.
    fields: Vec<LogField>,
}

/// A field of a query.
#[derive(JsonSchema, Serialize)]
struct LogField {
    /// Its name.
    name: String,
    /// `text`, `number`, `time`, `address` or `protocol`.
    kind: String,
    /// The operators that fit.
    operators: Vec<String>,
}

async fn all(_: Call<Nothing, Nothing>) -> Result<Json<Logs>, Problem> {
    let field = |(name, kind): &(&str, Kind)| {
        let (kind, operators): (_, &[&str]) = match kind {
            Kind::Text(_) | Kind::EitherText(..) | Kind::Members(_) | Kind::EitherMembers(..) => {
                ("text", &["eq", "neq", "contains"])
            }
            Kind::Number(_) | Kind::EitherNumber(..) => ("number", &["eq", "neq", "leq", "geq"]),
            Kind::Time(_) => ("time", &["eq", "neq", "leq", "geq"]),
            Kind::Address(_) | Kind::EitherAddress(..) => ("address", &["in", "notin"]),
            Kind::Protocol(_) => ("protocol", &["eq", "neq"]),
        };
        let operators = operators.iter().map(|word| (*word).to_owned()).collect();
        LogField { name: (*name).to_owned(), kind: kind.to_owned(), operators }
    };
    let info = |(name, log): &(&str, Log)| LogInfo {
        name: (*name).to_owned(),
        fields: log.fields().iter().map(field).collect(),
    };
    Ok(Json(Logs { logs: Log::ALL.iter().map(info).collect() }))
}

/// Which lines.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    /// A query of PAN-OS: `( addr.src in 10.0.0.0/8 ) and ( action neq allow )`.
    query: Option<String>,
    /// Lines at most: 100 when absent, up to 5000.
    limit: Option<u32>,
    /// The oldest first.
    #[serde(default)]
    forward: bool,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Lines of a log.
#[derive(JsonSchema, Serialize)]
struct Page {
    /// In the order that was asked for.
    lines: Vec<LogLine>,
    /// What `cursor` is for the next page; nothing behind the last one.
    next: Option<String>,
    /// Up to where the log was read, when that takes so long that it is told before there are `limit` lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    read_until: Option<String>,
}

/// A line of a log.
#[derive(JsonSchema, Serialize)]
pub(super) struct LogLine {
    /// Its number in the log.
    id: i64,
    /// Its fields, under the names that they have in the XML API.
    fields: IndexMap<String, String>,
}

impl LogLine {
    fn of(entry: &Element) -> Self {
        let id = entry.attribute("logid").and_then(|id| id.parse().ok()).unwrap_or_default();
        Self { id, fields: entry.elements().map(|field| (field.name.to_string(), field.text())).collect() }
    }
}

/// What is asked of the log that the path names.
pub(super) async fn asked<Q>(call: &Call<Q>, text: Option<&str>, forward: bool) -> Result<Query, Problem> {
    asked_of(call, call.name("log"), text, forward).await
}

/// What is asked of a log.
pub(super) async fn asked_of<Q>(
    call: &Call<Q>,
    name: &str,
    text: Option<&str>,
    forward: bool,
) -> Result<Query, Problem> {
    if Log::named(name).is_none() {
        return Err(Problem::not_found(format!("there is no log `{name}`")));
    }
    let direction = if forward { "forward" } else { "backward" };
    let parameters = [("log-type", name), ("query", text.unwrap_or_default()), ("dir", direction)];
    let asked = query(&call.app, &call.caller, &Parameters::from(parameters)).await;
    asked.map_err(|reply| match reply.refusal {
        Some(refusal) => refusal.into(),
        None => Problem::parameter("query", "the query cannot be read"),
    })
}

async fn page(call: Call<PageQuery>) -> Result<Json<Page>, Problem> {
    let mut query = asked(&call, call.query.query.as_deref(), call.query.forward).await?;
    query.rows = call.query.limit.unwrap_or(PAGE).min(ROWS_MAX);
    if let Some(cursor) = &call.query.cursor {
        let place = Place::read(cursor).ok_or_else(|| Problem::parameter("cursor", "it is no `next` of a page"))?;
        (query.newest, query.skip, query.beyond) = (place.newest, place.skip, place.beyond);
        if query.skip > SKIP_MAX {
            return Err(Problem::parameter("cursor", "that is too far from the first page: ask for another time"));
        }
    }
    let (entries, further) = match query.log {
        Log::Traffic => {
            query.patience = Some(PATIENCE);
            let page = call.app.store.traffic_page(&query).await?;
            (page.rows.iter().map(traffic_entry).collect(), page.further)
        }
        _ => (rows(&call.app, &query).await?, None),
    };
    let lines: Vec<LogLine> = entries.iter().map(LogLine::of).collect();
    let is_full = u32::try_from(lines.len()).is_ok_and(|count| count == query.rows && count > 0);
    let place = Place { newest: query.newest, skip: query.skip + query.rows, beyond: query.beyond };
    let next = match further {
        Some(further) => Some(Place { skip: further.skip, beyond: Some(further.beyond), ..place }),
        None => is_full.then_some(place),
    };
    let read_until = further.map(|further| rfc3339(further.beyond));
    Ok(Json(Page { lines, next: next.map(|next| next.to_string()), read_until }))
}

/// Where a page begins: `NEWEST.SKIP`, and `.BEYOND` when what is newer was read already.
struct Place {
    newest: i64,
    skip: u32,
    beyond: Option<i64>,
}

impl Place {
    fn read(cursor: &str) -> Option<Self> {
        let mut parts = cursor.splitn(3, '.');
        let (newest, skip) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let beyond = parts.next().map(str::parse).transpose().ok()?;
        Some(Self { newest, skip, beyond })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.newest, self.skip)?;
        self.beyond.map_or(Ok(()), |beyond| write!(f, ".{beyond}"))
    }
}

/// Which lines.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TailQuery {
    /// A query of PAN-OS.
    query: Option<String>,
}

async fn tail(call: Call<TailQuery>) -> Result<Events<LogLine>, Problem> {
    let mut query = asked(&call, call.query.query.as_deref(), true).await?;
    // Whoever follows a log begins behind its newest line, whether it fits or not.
    query.after = Some(call.app.store.log_bounds(query.log).await?.1);
    query.newest = i64::MAX;
    query.rows = TAIL_ROWS;
    let (sender, lines) = mpsc::channel(TAIL_QUEUE);
    let app = call.app.clone();
    let mut stop = app.stop.clone();
    tokio::spawn(async move {
        loop {
            let found = match rows(&app, &query).await {
                Ok(found) => found,
                Err(error) => return tracing::error!(%error, "a log cannot be followed any more"),
            };
            for line in found.iter().map(LogLine::of) {
                query.after = query.after.max(Some(line.id));
                if sender.send(line).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(TAIL_INTERVAL) => {}
                () = sender.closed() => return,
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    });
    Events::new(ReceiverStream::new(lines))
}

/// Which lines, and when.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CountsQuery {
    /// A query of PAN-OS.
    query: Option<String>,
    /// From when on, as in `2026-11-26T10:00:00Z`; an hour before `until` when absent.
    from: Option<String>,
    /// Until when; now when absent.
    until: Option<String>,
    /// Spans of time at most: 60 when absent, up to 1000.
    spans: Option<i64>,
}

/// How many lines there were.
#[derive(JsonSchema, Serialize)]
struct Counts {
    /// Seconds of one span.
    span_s: f64,
    /// The spans that have lines, in order.
    spans: Vec<Span>,
}

/// A span of time.
#[derive(JsonSchema, Serialize)]
struct Span {
    /// When it begins.
    start: String,
    /// Its lines.
    lines: i64,
}

/// From when on, and until before when: the last hour when nothing is said.
pub(super) fn times(from: Option<&str>, until: Option<&str>) -> Result<(i64, i64), Problem> {
    let time = |name: &str, text: Option<&str>| match text.map(str::parse::<jiff::Timestamp>) {
        None => Ok(None),
        Some(Ok(time)) => Ok(Some(time.as_microsecond())),
        Some(Err(_)) => Err(Problem::parameter(name, "it is no time like `2026-11-26T10:00:00Z`")),
    };
    let until = time("until", until)?.unwrap_or_else(now_us);
    let from = time("from", from)?.unwrap_or(until - HOUR_US);
    if from >= until {
        return Err(Problem::parameter("from", "it is not before `until`"));
    }
    Ok((from, until))
}

async fn counts(call: Call<CountsQuery>) -> Result<Json<Counts>, Problem> {
    let query = asked(&call, call.query.query.as_deref(), true).await?;
    let (from, until) = times(call.query.from.as_deref(), call.query.until.as_deref())?;
    let spans = call.query.spans.unwrap_or(SPANS).clamp(1, SPANS_MAX);
    let span_us = ((until - from + spans - 1) / spans).max(1);
    let store = &call.app.store;
    let found = match query.log.table() {
        Some(table) => store.log_counts(query.counts(table, from, until, span_us)).await?,
        None => store.traffic_counts(&query, from, until, span_us).await?,
    };
    let spans = found.into_iter().map(|(start, lines)| Span { start: rfc3339(start), lines });
    Ok(Json(Counts { span_s: span_us as f64 / 1e6, spans: spans.collect() }))
}
