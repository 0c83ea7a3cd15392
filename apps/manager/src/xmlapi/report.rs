//! `type=report`: a report becomes a job, and the job is collected.
//!
//! `dynamic` ones have a name and a period, or are described in `cmd`; `predefined` ones are about the last calendar
//! day; `custom` ones stand in the running configuration. With `async=no` the report is the answer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bartizan_model::diagnostic::closest;
use bartizan_model::tree::Element;
use bartizan_model::xml;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::element::{Build as _, element};
use super::reply::{Reply, code};
use crate::accounts::Caller;
use crate::app::App;
use crate::http::parameters::Parameters;
use crate::lock;
use crate::logs::report::{Line, Report, Wanted};
use crate::store::now_us;
use crate::times;

/// Reports that can be collected; the oldest is forgotten.
const REPORTS_MAX: usize = 64;
/// Reports that are made at the same time.
const AT_ONCE: usize = 2;
/// Reports that the caller describes.
const DESCRIBED: &str = "custom-dynamic-report";

/// The reports that can be collected.
pub(crate) struct Reports {
    kept: Mutex<(u64, VecDeque<Kept>)>,
    turn: Arc<Semaphore>,
}

#[derive(Clone)]
struct Kept {
    id: u64,
    admin: String,
    asked_us: i64,
    done_us: i64,
    report: Report,
    outcome: Option<Result<Vec<Line>, String>>,
}

impl Default for Reports {
    fn default() -> Self {
        Self { kept: Mutex::default(), turn: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Reports {
    /// One's turn to read much of a log; `None` when the manager stops.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turn.acquire().await.ok()
    }

    fn add(&self, admin: &str, report: Report) -> u64 {
        let (last, kept) = &mut *lock(&self.kept);
        *last += 1;
        if kept.len() >= REPORTS_MAX {
            kept.pop_front();
        }
        let admin = admin.to_owned();
        kept.push_back(Kept { id: *last, admin, asked_us: now_us(), done_us: 0, report, outcome: None });
        *last
    }

    fn end(&self, id: u64, outcome: Result<Vec<Line>, String>) {
        let kept = &mut lock(&self.kept).1;
        if let Some(kept) = kept.iter_mut().find(|kept| kept.id == id) {
            kept.done_us = now_us();
            kept.outcome = Some(outcome);
        }
    }

    fn find(&self, id: u64, admin: &str) -> Option<Kept> {
        lock(&self.kept).1.iter().find(|kept| kept.id == id && kept.admin == admin).cloned()
    }
}

pub(super) async fn answer(app: &Arc<App>, caller: &Caller, parameters: &Parameters) -> Reply {
    match parameters.get("action") {
        None | Some("") => ask(app, caller, parameters).await,
        Some("get") => collect(app, caller, parameters),
        Some(action) => Reply::bad_request(&format!("Illegal value for parameter \"action\" [{action}].")),
    }
}

async fn ask(app: &Arc<App>, caller: &Caller, parameters: &Parameters) -> Reply {
    let report = match wanted(app, parameters) {
        Ok(wanted) => match Report::new(&wanted, now_us()) {
            Ok(report) => report,
            Err(why) => return Reply::error(code::INVALID_OBJECT, &[why]),
        },
        Err(reply) => return reply,
    };
    if parameters.get("async") == Some("no") {
        return match make(app, &report).await {
            Ok(lines) => {
                let inner = described(&report, "result", now_us()).with_all(lines.iter().map(entry));
                let outer = element("report").attr("reportname", &report.name).attr("logtype", &report.database);
                Reply::xml(&element("response").attr("status", "success").with(outer.with(inner)))
            }
            Err(why) => Reply::error(code::NOT_POSSIBLE, &[why]),
        };
    }
    let id = app.reports.add(&caller.name, report.clone());
    let app = app.clone();
    tokio::spawn(async move {
        let outcome = make(&app, &report).await;
        app.reports.end(id, outcome);
    });
    Reply::job(id, &format!("Report job enqueued with jobid {id}"))
}

async fn make(app: &App, report: &Report) -> Result<Vec<Line>, String> {
    let Some(_turn) = app.reports.turn().await else { return Err("the manager stops".to_owned()) };
    report.make(&app.store).await.map_err(|error| error.to_string())
}

/// What a request asks for.
fn wanted(app: &App, parameters: &Parameters) -> Result<Wanted, Reply> {
    let text = |name: &str| parameters.get(name).unwrap_or_default().to_owned();
    let Some(name) = parameters.get("reportname").filter(|name| !name.is_empty()) else {
        return Err(Reply::bad_request("Missing value for parameter \"reportname\"."));
    };
    let mut wanted = match parameters.get("reporttype").unwrap_or("dynamic") {
        "dynamic" if name == DESCRIBED => {
            let cmd = xml::parse(&format!("<report>{}</report>", text("cmd")));
            let cmd = cmd.map_err(|error| Reply::error(code::MALFORMED_COMMAND, &[error.message]))?;
            described_by(name, &cmd)?
        }
        "dynamic" => Wanted::dynamic(name).ok_or_else(|| unknown(name, Wanted::names(false)))?,
        "predefined" => Wanted::predefined(name).ok_or_else(|| unknown(name, Wanted::names(true)))?,
        "custom" => {
            let running = app.configuration.snapshot().running.clone();
            let reports = running.descend(&["shared", "reports"]);
            let found = reports.and_then(|reports| reports.entry_named(name).cloned());
            let names = reports.into_iter().flat_map(|reports| reports.entries()).map(|(name, _)| name);
            match found {
                Some(found) => described_by(name, &found)?,
                None => return Err(unknown(name, names)),
            }
        }
        other => return Err(Reply::bad_request(&format!("Illegal value for parameter \"reporttype\" [{other}]."))),
    };
    if parameters.get("reporttype") != Some("predefined") {
        for (field, name) in [
            (&mut wanted.period, "period"),
            (&mut wanted.start, "start-time"),
            (&mut wanted.end, "end-time"),
            (&mut wanted.top, "topn"),
        ] {
            if let Some(given) = parameters.get(name).filter(|given| !given.is_empty()) {
                given.clone_into(field);
            }
        }
    }
    let more = text("query");
    if !more.is_empty() {
        wanted.query = if wanted.query.is_empty() { more } else { format!("({}) and ({more})", wanted.query) };
    }
    Ok(wanted)
}

/// A report as a configuration or a command describes it.
fn described_by(name: &str, report: &Element) -> Result<Wanted, Reply> {
    let Some(database) = report.child("type").and_then(|kind| kind.elements().next()) else {
        let line = "the report names no database: `<type><traffic><aggregate-by><member>app</member></aggregate-by><values><member>bytes</member></values></traffic></type>`";
        return Err(Reply::error(code::INVALID_OBJECT, &[line]));
    };
    let text = |of: &Element, name: &str| of.child(name).map(|child| child.text()).unwrap_or_default();
    let list = |name: &str| database.child(name).into_iter().flat_map(|list| list.members()).collect();
    let either = |name: &str| {
        let inner = text(database, name);
        if inner.is_empty() { text(report, name) } else { inner }
    };
    Ok(Wanted {
        name: name.to_owned(),
        caption: text(report, "caption"),
        database: database.name.to_string(),
        aggregate_by: list("aggregate-by"),
        group_by: either("group-by"),
        values: list("values"),
        sort_by: either("sortby"),
        period: text(report, "period"),
        start: text(report, "start-time"),
        end: text(report, "end-time"),
        query: text(report, "query"),
        top: text(report, "topn"),
    })
}

fn unknown<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Reply {
    let names: Vec<&str> = names.collect();
    let help = match closest(name, names.iter().copied()) {
        Some(close) => format!("; did you mean `{close}`?"),
        None if names.is_empty() => "; none is configured".to_owned(),
        None => format!("; there are `{}`", names.join("`, `")),
    };
    Reply::error(code::NOT_PRESENT, &[format!("there is no report `{name}`{help}")])
}

fn collect(app: &App, caller: &Caller, parameters: &Parameters) -> Reply {
    let id = parameters.get("job-id").or_else(|| parameters.get("jobid"));
    let Some(id) = id else { return Reply::bad_request("Missing value for parameter \"job-id\".") };
    let Some(kept) = id.parse().ok().and_then(|id| app.reports.find(id, &caller.name)) else {
        return Reply::error(code::NOT_PRESENT, &[format!("report job {id} not found")]);
    };
    let done = match &kept.outcome {
        None => ("ACT", "0", ""),
        Some(_) => ("FIN", "100", &*times::clock(kept.done_us)),
    };
    let asked = times::clock(kept.asked_us);
    let job = element("job")
        .leaf("tenq", &asked)
        .leaf("tdeq", &asked)
        .leaf("tlast", done.2)
        .leaf("status", done.0)
        .leaf("id", &kept.id.to_string())
        .leaf("percent", done.1);
    let result = element("result").with(job);
    match kept.outcome {
        None => Reply::result(result),
        Some(Err(why)) => Reply::error(code::NOT_POSSIBLE, &[why]),
        Some(Ok(lines)) => {
            let report = described(&kept.report, "report", kept.done_us);
            let report = report.attr("reportname", &kept.report.name).with_all(lines.iter().map(entry));
            Reply::result(result.with(report))
        }
    }
}

/// An element that tells which report it is, and of what time.
fn described(report: &Report, name: &str, made_us: i64) -> Element {
    let (start, end) = report.seconds;
    let time = |seconds: i64| times::date_time(seconds * 1_000_000);
    element(name)
        .attr("name", &report.caption)
        .attr("logtype", &report.database)
        .attr("start", &time(start))
        .attr("start-epoch", &start.to_string())
        .attr("end", &time(end))
        .attr("end-epoch", &end.to_string())
        .attr("generated-at", &times::date_time(made_us))
        .attr("generated-at-epoch", &(made_us / 1_000_000).to_string())
        .attr("range", &format!("{} - {}", time(start), time(end)))
}

fn entry(line: &Line) -> Element {
    line.iter().fold(element("entry"), |entry, (name, value)| entry.leaf(name, value))
}
