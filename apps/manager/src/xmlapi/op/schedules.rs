//! `show scheduled-config-push`, `request scheduled-config-push run name NAME`

use bartizan_model::tree::Element;
use jiff::Timestamp;

use super::super::element::{Build as _, element, entry};
use super::super::reply::{Reply, code};
use crate::accounts::Caller;
use crate::app::App;
use crate::approvals::are_pushes_watched;
use crate::jobs::Outcome;
use crate::schedules::{self, Schedule, run};
use crate::store::from_db;
use crate::store::schedule_runs::Run;
use crate::times;

/// Times of the past that are shown of one schedule.
const SHOWN_MAX: usize = 100;

/// All schedules or one, each with its next time and what became of the last ones.
pub(super) async fn show(app: &App, command: &Element) -> Reply {
    let name = super::argument(command.child("scheduled-config-push").map(|inside| &**inside));
    let name = name.or_else(|| super::argument(command.descend(&["scheduled-config-push", "name"])));
    let schedules = schedules::all(&app.configuration.snapshot().running);
    let runs = match app.store.schedule_runs().await {
        Ok(runs) => runs,
        Err(error) => return Reply::internal(&error),
    };
    let shown = schedules.iter().filter(|schedule| name.as_ref().is_none_or(|name| *name == schedule.name));
    let entries: Vec<Element> = shown.map(|schedule| describe(app, schedule, &runs)).collect();
    match name {
        Some(name) if entries.is_empty() => not_found(&name),
        _ => Reply::result(element("result").with(element("scheduled-config-push").with_all(entries))),
    }
}

/// Pushes what a schedule would, now.
pub(super) async fn run_now(app: &App, caller: &Caller, command: &Element) -> Reply {
    let name = super::argument(command.descend(&["scheduled-config-push", "run", "name"])).unwrap_or_default();
    let schedules = schedules::all(&app.configuration.snapshot().running);
    let Some(schedule) = schedules.iter().find(|schedule| schedule.name == name) else { return not_found(&name) };
    if are_pushes_watched(app) {
        let line = "with four eyes on pushes nobody runs a schedule by hand; push what it would push instead";
        return Reply::error(code::NOT_POSSIBLE, &[line]);
    }
    match run::push(app, schedule, Timestamp::now()).await {
        Ok(Some(id)) => {
            tracing::info!(schedule = name, by = caller.name, "a scheduled push is run now");
            Reply::job(id, &format!("CommitAll job enqueued with jobid {id}"))
        }
        Ok(None) => Reply::error(code::NOT_POSSIBLE, &["it is being run at this moment"]),
        Err(error) => Reply::error(code::NOT_POSSIBLE, &[error.to_string()]),
    }
}

fn describe(app: &App, schedule: &Schedule, runs: &[Run]) -> Element {
    let next = schedule.next(Timestamp::now()).filter(|_| !schedule.disabled);
    let next = next.map(|next| times::date_time(next.as_microsecond())).unwrap_or_default();
    let history = runs.iter().filter(|run| run.schedule == schedule.name).take(SHOWN_MAX);
    entry(&schedule.name)
        .leaf("disabled", if schedule.disabled { "yes" } else { "no" })
        .leaf("next", &next)
        .with(element("history").with_all(history.map(|run| past(app, run))))
}

/// What became of one time; the result is gone when its job is.
fn past(app: &App, run: &Run) -> Element {
    let job = app.jobs.job(from_db(run.job));
    let devices = job.as_ref().map(|job| job.devices.clone()).unwrap_or_default();
    let count = |chosen: &dyn Fn(Outcome) -> bool| devices.iter().filter(|one| chosen(one.outcome)).count().to_string();
    let reverted = devices.iter().filter(|one| one.errors.iter().any(|line| line.contains("reverted"))).count();
    entry(&times::date_time(run.due_us))
        .leaf("begun", &times::date_time(run.begun_us))
        .leaf("job", &run.job.to_string())
        .leaf("result", job.as_ref().map_or("", |job| job.outcome.as_str()))
        .leaf("succeeded", &count(&|outcome| outcome == Outcome::Ok))
        .leaf("failed", &count(&|outcome| outcome == Outcome::Fail))
        .leaf("reverted", &reverted.to_string())
}

fn not_found(name: &str) -> Reply {
    let line = format!("there is no scheduled push `{name}` in the running configuration");
    Reply::error(code::NOT_PRESENT, &[line])
}
