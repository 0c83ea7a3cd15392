//! What is most of the logs, and who speaks with whom: what the Application Command Center shows.

use std::time::Duration;

use axum::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::logs::{asked, asked_of, times};
use super::problem::Problem;
use super::route::{Access, Call, Json, Route};
use crate::accounts::Right;
use crate::logs::map::{self, Level, Names, Placed, Way};
use crate::logs::query::Log;
use crate::logs::summary::{Grouped, Order, Summary, Sums};
use crate::times::rfc3339;

/// Groups of a grouping that are told.
const TOP: usize = 10;
const TOP_MAX: usize = 500;
/// Spans of time.
const SPANS: i64 = 60;
const SPANS_MAX: i64 = 1000;
/// Places of a map.
const PLACES: usize = 40;
const PLACES_MAX: usize = 500;
/// How long a log is read for one answer.
const DEADLINE: Duration = Duration::from_secs(30);

pub(super) fn routes() -> Vec<Route> {
    let log = Access::Type("log");
    vec![
        Route::new(
            Method::GET,
            "/logs/{log}/summary",
            log,
            "What is most of a log, by several fields at once",
            summary,
        ),
        Route::new(
            Method::GET,
            "/service-map",
            log,
            "Who speaks with whom, by the traffic log, and whether they may",
            service_map,
        ),
    ]
}

/// Which lines, and by what they are grouped.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SummaryQuery {
    /// A query of PAN-OS.
    query: Option<String>,
    /// From when on, as in `2026-11-26T10:00:00Z`; an hour before `until` when absent.
    from: Option<String>,
    /// Until when; now when absent.
    until: Option<String>,
    /// Groupings with `;` between them, each of one or more fields of reports with `,` between them: `app;src,dst`. The field
    /// `time` is the time that a line was made, cut to spans.
    by: String,
    /// What makes a group large: its lines when absent, or its bytes.
    #[serde(default)]
    order: Order,
    /// Groups of each that are told, the largest: 10 when absent, up to 500.
    top: Option<usize>,
    /// Spans of time at most: 60 when absent, up to 1000.
    spans: Option<i64>,
}

/// What is most of a log.
#[derive(JsonSchema, Serialize)]
struct LogSummary {
    /// From when on.
    from: String,
    /// Until when.
    until: String,
    /// Seconds of one span.
    span_s: f64,
    /// In the order that was asked for.
    groupings: Vec<LogGrouping>,
}

/// A log by some fields.
#[derive(JsonSchema, Serialize)]
struct LogGrouping {
    /// The fields.
    by: Vec<String>,
    /// The groups with most lines; of a time all that there are, in their order.
    groups: Vec<LogGroup>,
    /// The other groups together; nothing, and no groups either, when there are too many to be told apart.
    others: Option<OtherGroups>,
}

/// Lines that have the same values.
#[derive(JsonSchema, Serialize)]
struct LogGroup {
    /// The values, in the order of the fields.
    values: Vec<String>,
    /// How much that is.
    #[serde(flatten)]
    sums: LogSums,
}

/// What is left.
#[derive(JsonSchema, Serialize)]
struct OtherGroups {
    /// How many groups.
    groups: usize,
    /// How much that is.
    #[serde(flatten)]
    sums: LogSums,
}

/// How much there is.
#[derive(JsonSchema, Serialize)]
struct LogSums {
    /// Lines: sessions, of the traffic log.
    lines: i64,
    /// Bytes of sessions, in both directions.
    bytes: i64,
    /// Lines that say something else than `allow` (of the threat log, or `alert`).
    refused: i64,
}

impl From<Sums> for LogSums {
    fn from(Sums { lines, bytes, refused }: Sums) -> Self {
        Self { lines, bytes, refused }
    }
}

impl From<Grouped> for LogGrouping {
    fn from(grouped: Grouped) -> Self {
        let group = |(values, sums): (Vec<String>, Sums)| LogGroup { values, sums: sums.into() };
        Self {
            by: grouped.by,
            groups: grouped.groups.into_iter().map(group).collect(),
            others: grouped.others.map(|(groups, sums)| OtherGroups { groups, sums: sums.into() }),
        }
    }
}

async fn summary(call: Call<SummaryQuery>) -> Result<Json<LogSummary>, Problem> {
    let query = asked(&call, call.query.query.as_deref(), true).await?;
    let (from, until) = times(call.query.from.as_deref(), call.query.until.as_deref())?;
    let spans = call.query.spans.unwrap_or(SPANS).clamp(1, SPANS_MAX);
    let span_us = ((until - from + spans - 1) / spans).max(1);
    let top = call.query.top.unwrap_or(TOP).min(TOP_MAX);
    let summary = Summary::new(query, (from, until, span_us), &call.query.by, call.query.order, top);
    let summary = summary.map_err(|why| Problem::parameter("by", why))?;
    let made = in_time(&call.app, summary.make(&call.app.store)).await?;
    let groupings = made.into_iter().map(LogGrouping::from).collect();
    Ok(Json(LogSummary { from: rfc3339(from), until: rfc3339(until), span_s: span_us as f64 / 1e6, groupings }))
}

/// Which sessions, and what their ends are shown as.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MapQuery {
    /// A query of PAN-OS over the traffic log.
    query: Option<String>,
    /// From when on, as in `2026-11-26T10:00:00Z`; an hour before `until` when absent.
    from: Option<String>,
    /// Until when; now when absent.
    until: Option<String>,
    /// What an address is shown as.
    #[serde(default)]
    level: Level,
    /// Places that are told, the largest: 40 when absent, up to 500. The others are one for each zone.
    places: Option<usize>,
}

/// Who speaks with whom.
#[derive(JsonSchema, Serialize)]
struct ServiceMap {
    /// From when on.
    from: String,
    /// Until when.
    until: String,
    /// Who, the largest first.
    places: Vec<Placed>,
    /// With whom, the largest first: 200 at most.
    ways: Vec<Way>,
    /// Places that are counted with their zones.
    places_left_out: usize,
    /// Ways between places that are not among these.
    ways_left_out: usize,
}

async fn service_map(call: Call<MapQuery>) -> Result<Json<ServiceMap>, Problem> {
    let query = asked_of(&call, Log::Traffic.name(), call.query.query.as_deref(), true).await?;
    let (from, until) = times(call.query.from.as_deref(), call.query.until.as_deref())?;
    // What tags are registered is about the whole.
    let tags = call.caller.role.scope().is_none() && call.caller.role.may_read(Right::Operate);
    let names = Names::new(tags.then_some(&call.app.tags), call.query.level);
    let places = call.query.places.unwrap_or(PLACES).clamp(1, PLACES_MAX);
    let map = in_time(&call.app, map::read(&call.app.store, query, (from, until), names, places)).await?;
    let map::Map { places, ways, places_left_out, ways_left_out } = map;
    Ok(Json(ServiceMap { from: rfc3339(from), until: rfc3339(until), places, ways, places_left_out, ways_left_out }))
}

/// Waits for one's turn, as reports do, and not for ever.
async fn in_time<T>(app: &crate::app::App, reading: impl Future<Output = sqlx::Result<T>>) -> Result<T, Problem> {
    let Some(_turn) = app.reports.turn().await else { return Err(Problem::busy("the manager stops")) };
    match tokio::time::timeout(DEADLINE, reading).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Problem::late(format!(
            "there is too much to be added up within {} s: ask for a shorter time, or for less",
            DEADLINE.as_secs()
        ))),
    }
}
