//! `show jobs`, `clear job`

use bartizan_model::tree::Element;

use super::super::element::{Build as _, element};
use super::super::reply::{Reply, code};
use crate::accounts::Caller;
use crate::app::App;
use crate::jobs::{CancelError, Job};

/// `show jobs id N`
pub(super) fn one(app: &App, command: &Element) -> Reply {
    let text = super::argument(command.descend(&["jobs", "id"])).unwrap_or_default();
    match text.parse().ok().and_then(|id| app.jobs.job(id)) {
        Some(job) => Reply::result(element("result").with(job.to_element(app.jobs.position(job.id)))),
        None => not_found(&text),
    }
}

/// `clear job id N`
pub(super) async fn cancel(app: &App, caller: &Caller, command: &Element) -> Reply {
    let text = super::argument(command.descend(&["job", "id"])).unwrap_or_default();
    let Ok(id) = text.parse() else { return not_found(&text) };
    let foreign = |job: &Job| caller.role.scope().is_some() && job.user != caller.name;
    if app.jobs.job(id).is_some_and(|job| foreign(&job)) {
        return Reply::unauthorized(&format!(
            "job {id} is of somebody else; the role of `{}` is for a part",
            caller.name
        ));
    }
    match app.jobs.cancel(id, &caller.name).await {
        Ok(done) => {
            super::note(app, caller, "clear", format!("job {id}")).await;
            Reply::text(&done)
        }
        Err(CancelError::Unknown(_)) => not_found(&text),
        Err(error) => Reply::error(code::NOT_POSSIBLE, &[error.to_string()]),
    }
}

fn not_found(text: &str) -> Reply {
    Reply::error(code::NOT_PRESENT, &[format!("job {text} not found")])
}

/// `show jobs all`, `pending` or `processed`, newest first.
pub(super) fn all(app: &App, filter: &str) -> Reply {
    let jobs = app.jobs.all();
    let shown = jobs.iter().filter(|job| match filter {
        "pending" => job.finished_us.is_none(),
        "processed" => job.finished_us.is_some(),
        _ => true,
    });
    Reply::result(element("result").with_all(shown.map(|job| job.to_element(app.jobs.position(job.id)))))
}
