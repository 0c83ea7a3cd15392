//! `show jobs`

use bartizan_model::tree::Element;

use super::super::element::{Build as _, element};
use super::super::reply::Reply;
use crate::app::App;

/// `show jobs id N`
pub(super) fn one(app: &App, command: &Element) -> Reply {
    let text = super::argument(command.descend(&["jobs", "id"])).unwrap_or_default();
    match text.parse().ok().and_then(|id| app.jobs.job(id)) {
        Some(job) => Reply::result(element("result").with(job.to_element())),
        None => {
            let line = format!("job {text} not found");
            let response = element("response").attr("status", "error").attr("code", "7");
            Reply::xml(&response.with(element("msg").leaf("line", &line)))
        }
    }
}

/// `show jobs all`, `pending` or `processed`, newest first.
pub(super) fn all(app: &App, filter: &str) -> Reply {
    let jobs = app.jobs.all();
    let shown = jobs.iter().filter(|job| match filter {
        "pending" => job.finished_us.is_none(),
        "processed" => job.finished_us.is_some(),
        _ => true,
    });
    Reply::result(element("result").with_all(shown.map(|job| job.to_element())))
}
