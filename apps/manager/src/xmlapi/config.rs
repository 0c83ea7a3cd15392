//! `type=config`: reading and editing the configuration tree.

use std::sync::Arc;

use bartizan_model::schema;
use bartizan_model::tree::Element;

use super::element::{Build, element};
use super::endpoints::{CONFIG_ACTIONS, Need, need_of};
use super::reply::{Reply, code};
use super::{multi, refuse_change, refuse_reading};
use crate::accounts::{Caller, Right};
use crate::app::App;
use crate::configuration::ApplyError;
use crate::configuration::edit::{Applied, Edit, EditFailure, select};
use crate::device;
use crate::http::parameters::Parameters;

pub(super) async fn answer(app: &App, caller: &Caller, parameters: &Parameters) -> Reply {
    let Some(action) = parameters.get("action") else {
        return Reply::bad_request("Missing value for parameter \"action\".");
    };
    if let Some(refusal) = refuse(caller, action) {
        return refusal;
    }
    match action {
        "get" => get(app, caller, parameters),
        "show" => show(app, caller, parameters),
        "set" | "edit" | "override" | "delete" | "rename" | "clone" | "move" | "multi-move" | "multi-clone" => {
            match Edit::from_request(action, |name| parameters.get(name)) {
                Ok(edit) => change(app, caller, edit).await,
                Err(missing) => Reply::bad_request(&missing),
            }
        }
        "multi-config" => multi::answer(app, caller, parameters).await,
        "complete" => complete(app, caller, parameters),
        _ => Reply::bad_request(&format!("Illegal value for parameter \"action\" [{action}].")),
    }
}

/// `None`, or why the caller must not do that.
pub(super) fn refuse(caller: &Caller, action: &str) -> Option<Reply> {
    match need_of(CONFIG_ACTIONS, action) {
        None | Some(Need::Reading) => refuse_reading(caller, Right::Config),
        Some(Need::Change | Need::Editing) => refuse_change(caller, Right::Config),
    }
}

fn get(app: &App, caller: &Caller, parameters: &Parameters) -> Reply {
    let Some(xpath) = parameters.get("xpath") else {
        return Reply::bad_request("Missing value for parameter \"xpath\".");
    };
    match select(&caller.view(&app.configuration.snapshot().candidate), xpath) {
        Ok(nodes) => Reply::found(nodes),
        Err(failure) => failure.into(),
    }
}

/// What could stand at the end of an xpath: the entries of a list that are running.
fn complete(app: &App, caller: &Caller, parameters: &Parameters) -> Reply {
    let Some(xpath) = parameters.get("xpath") else {
        return Reply::bad_request("Missing value for parameter \"xpath\".");
    };
    let running = caller.view(&app.configuration.snapshot().running);
    let nodes = match select(&running, xpath) {
        Ok(nodes) => nodes,
        Err(failure) => return failure.into(),
    };
    let words = schema::keywords(xpath);
    if nodes.is_empty() && words.is_empty() {
        return Reply::error(code::INVALID_COMMAND, &["Invalid sequence"]);
    }
    let words = words.into_iter().map(|word| {
        let current = if nodes.iter().any(|node| node.text() == word) { "yes" } else { "no" };
        element("completion").attr("value", word).attr("current", current).attr("help-string", word)
    });
    let completions = nodes.iter().flat_map(|node| node.entries()).map(|(name, entry)| {
        element("completion")
            .attr("value", name)
            .attr("vxpath", &format!("{}/{}", xpath.trim_end_matches('/'), entry.step()))
            .attr("current", "yes")
            .attr("help-string", name)
    });
    Reply::xml(&super::reply::success(code::DATA).with(element("completions").with_all(completions.chain(words))))
}

fn show(app: &App, caller: &Caller, parameters: &Parameters) -> Reply {
    let xpath = parameters.get("xpath").filter(|xpath| !xpath.is_empty()).unwrap_or("/config");
    match select(&caller.view(&app.configuration.snapshot().running), xpath) {
        Ok(nodes) if nodes.is_empty() => no_such_node(),
        Ok(nodes) => Reply::result(nodes.into_iter().fold(element("result"), Build::share)),
        Err(failure) => failure.into(),
    }
}

fn no_such_node() -> Reply {
    Reply::xml(&element("response").attr("status", "error").with(element("msg").leaf("line", "No such node")))
}

async fn change(app: &App, caller: &Caller, edit: Edit) -> Reply {
    let edits = match device::overriding(app, vec![edit]).await {
        Ok(edits) => edits,
        Err(error) => return error.into(),
    };
    match app.configuration.apply(caller, edits).await {
        Ok(applied) if applied.contains(&Applied::Absent) => Reply::message(code::NOT_PRESENT, "Object doesn't exist"),
        Ok(_) => Reply::done(),
        Err(error) => error.into(),
    }
}

impl From<EditFailure> for Reply {
    fn from(failure: EditFailure) -> Self {
        Self::error(failure.code, &failure.lines)
    }
}

impl From<ApplyError> for Reply {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Edit { failure, .. } => failure.into(),
            ApplyError::Store(error) => Self::internal(&error),
        }
    }
}

/// Puts whole trees into an answer.
pub(super) fn config_result(tree: Arc<Element>) -> Reply {
    Reply::result(element("result").share(tree))
}
