//! `request config-lock`, `request commit-lock`, `show config-locks`, `show commit-locks`.

use bartizan_model::tree::Element;

use super::super::element::{Build as _, element, entry};
use super::super::refuse_part;
use super::super::reply::{Reply, code};
use super::argument;
use crate::accounts::{Caller, Right};
use crate::app::App;
use crate::http::parameters::Parameters;
use crate::locks::{EVERYTHING, LockKind};
use crate::times;
use crate::topology::Topology;

/// Longest comment.
const COMMENT_MAX: usize = 512;

/// `show config-locks` and `show commit-locks`
pub(super) fn show(app: &App, kind: LockKind) -> Reply {
    let rows = app.configuration.locks.list(kind);
    let entries = rows.iter().map(|row| {
        entry(&row.admin)
            .leaf("name", &row.scope)
            .leaf("type", if row.scope == EVERYTHING { EVERYTHING } else { "device-group" })
            .leaf("loggedin", "yes")
            .leaf("created", &times::date_time(row.created_us))
            .leaf("last-activity", &times::date_time(row.created_us))
            .leaf("comment", &row.comment)
    });
    Reply::result(element("result").with(element(&format!("{}-locks", kind.as_str())).with_all(entries)))
}

/// `request config-lock add` and `remove`, and the same for `commit-lock`
pub(super) async fn change(
    app: &App,
    caller: &Caller,
    command: &Element,
    parameters: &Parameters,
    kind: LockKind,
) -> Reply {
    let Some(action) = command.elements().next().and_then(|lock| lock.elements().next().cloned()) else {
        return Reply::error(code::INVALID_COMMAND, &["a lock is changed by `add` or `remove`"]);
    };
    let scope = match scope(app, caller, parameters) {
        Ok(scope) => scope,
        Err(refusal) => return refusal,
    };
    let outcome = match &*action.name {
        "add" => {
            let comment = argument(action.child("comment").map(|comment| &**comment)).unwrap_or_else(|| action.text());
            if comment.len() > COMMENT_MAX {
                let line =
                    format!(" comment can be at most {COMMENT_MAX} characters, but current length: {}", comment.len());
                return Reply::error(code::INVALID_OBJECT, &[line]);
            }
            app.configuration.locks.add(kind, &scope, &caller.name, &comment).await
        }
        "remove" => {
            let owner = argument(action.child("admin").map(|admin| &**admin)).unwrap_or_else(|| caller.name.clone());
            app.configuration.locks.remove(kind, &scope, &owner).await
        }
        other => {
            let line = format!("`{other}` is no change of a lock; there are `add` and `remove`");
            return Reply::error(code::INVALID_COMMAND, &["invalid client cli".to_owned(), line]);
        }
    };
    match outcome {
        Ok(Ok(())) => Reply::text(&done(kind, &action.name, &scope)),
        Ok(Err(refusal)) => Reply::error(code::DENIED, &refusal),
        Err(error) => Reply::internal(&error),
    }
}

fn done(kind: LockKind, action: &str, scope: &str) -> String {
    match (kind, action) {
        (LockKind::Config, "add") => format!(
            "Successfully acquired lock. Other administrators will not be able to modify configuration for scope {scope}"
        ),
        (LockKind::Commit, "add") => format!(
            "Successfully acquired commit lock. Other administrators will not be able to commit for scope {scope}"
        ),
        (LockKind::Config, _) => format!("Config lock released for scope {scope}"),
        (LockKind::Commit, _) => format!("Commit lock released for scope {scope}"),
    }
}

/// What `vsys=` names: nothing is everything.
fn scope(app: &App, caller: &Caller, parameters: &Parameters) -> Result<String, Reply> {
    let Some(name) = parameters.get("vsys").filter(|name| !matches!(*name, "" | "all" | EVERYTHING)) else {
        return refuse_part(caller, "a lock of everything").map_or_else(|| Ok(EVERYTHING.to_owned()), Err);
    };
    let reach = caller.role.reach(Right::Config);
    let topology = Topology::read(&app.configuration.snapshot().candidate).within(reach.as_ref());
    let groups = topology.groups.iter().map(|group| &group.name);
    let stacks = topology.stacks.iter().map(|stack| &stack.name);
    if groups.chain(&topology.templates).chain(stacks).any(|known| known == name) {
        return Ok(name.to_owned());
    }
    let line = format!("{name} is invalid vsys");
    let help = format!("`{name}` is no device group, template or template stack of the candidate");
    Err(Reply::error(code::INVALID_COMMAND, &[line, help]))
}
