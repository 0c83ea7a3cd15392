//! `action=multi-config`: many edits, all or none.

use bartizan_model::tree::{Child, Element};
use bartizan_model::xml;

use super::element::{Build as _, element};
use super::reply::{Reply, code, error_element, success};
use crate::accounts::Caller;
use crate::app::App;
use crate::configuration::edit::Edit;
use crate::configuration::partial::Selection;
use crate::configuration::{ApplyError, PartialError};
use crate::device;
use crate::http::parameters::Parameters;

/// Edits in one request.
const EDITS_MAX: usize = 20_000;

pub(super) async fn answer(app: &App, caller: &Caller, parameters: &Parameters) -> Reply {
    let Some(text) = parameters.get("element") else {
        return Reply::bad_request("Missing value for parameter \"element\".");
    };
    let (ids, edits): (Vec<_>, Vec<_>) = match read(text) {
        Ok(requests) => requests.into_iter().unzip(),
        Err(line) => return Reply::error(code::INVALID_OBJECT, &[line]),
    };
    if parameters.get("strict-transactional") == Some("yes")
        && let Some(refusal) = start_over(app, caller).await
    {
        return refusal;
    }
    let applied = match device::overriding(app, edits).await {
        Ok(edits) => app.configuration.apply(caller, edits).await,
        Err(error) => Err(error),
    };
    match applied {
        Ok(_) => {
            let done = |id: &String| success(code::DONE).attr("id", id).leaf("msg", "command succeeded");
            Reply::xml(&success(code::DONE).with_all(ids.iter().map(done)))
        }
        // Clients look at the last nested response.
        Err(ApplyError::Edit { index, failure }) => {
            let id = ids.get(index).map_or("", String::as_str);
            let nested = error_element(failure.code, &failure.lines).attr("id", id);
            let outer = element("response").attr("status", "error").attr("code", &failure.code.to_string());
            Reply::xml(&outer.with(nested))
        }
        Err(error) => error.into(),
    }
}

/// `strict-transactional`: the caller's earlier edits are dropped first.
async fn start_over(app: &App, caller: &Caller) -> Option<Reply> {
    if app.jobs.commit_in_progress() {
        return Some(Reply::error(code::DENIED, &["A commit is in progress."]));
    }
    match app.configuration.revert(caller, Some(Selection::of_admin(&caller.name))).await {
        Ok(_) => None,
        Err(PartialError::Conflict(conflict)) => Some(Reply::error(code::NOT_POSSIBLE, &conflict.0)),
        Err(PartialError::Store(error)) => Some(Reply::internal(&error)),
    }
}

/// Reads the edits with their ids; an error says what is wrong with the text.
pub(crate) fn read(text: &str) -> Result<Vec<(String, Edit)>, String> {
    let root = xml::parse(text).map_err(|diagnostic| diagnostic.message)?;
    if !matches!(&*root.name, "multi-config" | "multi-configure-request") {
        return Err(format!(" {} unexpected here", root.name));
    }
    let requests: Vec<_> = root.elements().collect();
    if requests.len() > EDITS_MAX {
        return Err(format!("{} edits in one request, at most {EDITS_MAX} are taken", requests.len()));
    }
    requests
        .into_iter()
        .enumerate()
        .map(|(index, request)| {
            let id = request.attribute("id").map_or_else(|| (index + 1).to_string(), str::to_owned);
            let content = content(request);
            let parameter = |name: &str| match name {
                "element" => Some(content.as_str()),
                _ => request.attribute(name),
            };
            let edit = Edit::from_request(&request.name, parameter).map_err(|what| format!("request {id}: {what}"))?;
            Ok((id, edit))
        })
        .collect()
}

/// What stands between the tags, as text again.
fn content(request: &Element) -> String {
    let text = |child: &Child| match child {
        Child::Element(element) => xml::write(element),
        Child::Text(_) | Child::Comment(_) => String::new(),
    };
    let elements: String = request.children.iter().map(text).collect();
    if elements.is_empty() { xml::escape(&request.text()) } else { elements }
}
