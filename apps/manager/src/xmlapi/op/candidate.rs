//! Candidate, running and older versions: `show config`, `load config`, `revert config`.

use std::sync::Arc;

use bartizan_model::tree::Element;
use bartizan_model::xml;

use super::super::config::config_result;
use super::super::element::{Build as _, element, entry, leaf};
use super::super::reply::{Reply, code};
use super::snapshots;
use crate::accounts::Caller;
use crate::app::App;
use crate::configuration::edit::Edit;
use crate::configuration::partial::{Selection, is_meant};
use crate::configuration::{PartialError, difference};
use crate::jobs::JobKind;
use crate::times;

/// Versions that are listed.
const VERSIONS_SHOWN: u32 = 100;
/// Pending edits that are listed.
const CHANGES_SHOWN: usize = 10_000;

/// `check pending-changes`, of all or of those that `partial` selects
pub(super) async fn pending(app: &App, command: &Element) -> Reply {
    let selection = match selection(command.descend(&["pending-changes", "partial"])) {
        Ok(selection) => selection,
        Err(refusal) => return refusal,
    };
    match app.configuration.pending(selection.as_ref()).await {
        Ok(pending) => Reply::text(if pending { "yes" } else { "no" }),
        Err(error) => Reply::internal(&error),
    }
}

fn selection(partial: Option<&Element>) -> Result<Option<Selection>, Reply> {
    let read = partial.map(Selection::read).transpose();
    read.map(Option::flatten).map_err(|lines| Reply::error(code::INVALID_OBJECT, &lines))
}

/// `show config ...`
pub(super) async fn show(app: &App, caller: &Caller, command: &Element, words: &[&str]) -> Reply {
    let snapshot = app.configuration.snapshot();
    let (running, candidate) = (caller.view(&snapshot.running), caller.view(&snapshot.candidate));
    match words {
        ["running"] => config_result(running),
        ["candidate"] => config_result(candidate),
        ["diff", ..] => differ(command.descend(&["config", "diff"]), &running, &candidate),
        ["list", "changes", ..] => {
            changes(app, caller, command.descend(&["config", "list", "changes", "partial"])).await
        }
        ["list", "admins", ..] => admins(app).await,
        ["audit", "base-version", ..] => version_diff(app, caller, command).await,
        ["audit" | "versions", ..] => versions(app).await,
        ["version", ..] | ["audit-version", ..] => version(app, caller, command).await,
        _ => {
            let rest = words.join(" ");
            let line = format!(
                "`show config {rest}` is not a command of this manager; there are `running`, `candidate`, `diff`, \
                 `list changes`, `list change-summary`, `list admins`, `list audit-comments`, \
                 `push-scope`, `rule-history`, `versions`, `version N` and `audit base-version N`"
            );
            Reply::error(code::INVALID_COMMAND, &["invalid client cli".to_owned(), line])
        }
    }
}

/// `load config version N` (into the candidate), `load config from running-config.xml`
pub(super) async fn load(app: &App, caller: &Caller, command: &Element) -> Reply {
    let Some(config) = command.child("config") else {
        return Reply::error(code::INVALID_COMMAND, &["invalid client cli"]);
    };
    if let Some(partial) = config.child("partial") {
        return snapshots::load_part(app, caller, partial).await;
    }
    match super::argument(config.child("from").map(|from| &**from)).as_deref() {
        Some(snapshots::RUNNING) => {
            return match app.configuration.revert(caller, None).await {
                Ok(_) => Reply::line("Config loaded from running-config.xml"),
                Err(error) => refuse(error),
            };
        }
        Some(name) => return snapshots::load(app, caller, name).await,
        None => {}
    }
    let Some(number) = super::argument(config.child("version").map(|version| &**version)) else {
        let line = "load config needs `version N` or `from NAME`; `show config saved` lists the names";
        return Reply::error(code::INVALID_COMMAND, &[line]);
    };
    let tree = match read_version(app, &number).await {
        Ok(tree) => tree,
        Err(reply) => return reply,
    };
    let edit = Edit::Load { source: format!("version {number}"), configuration: xml::write(&tree) };
    match app.configuration.apply(caller, vec![edit]).await {
        Ok(_) => Reply::line(&format!("Config loaded from version {number}")),
        Err(error) => error.into(),
    }
}

/// `revert config`: the candidate becomes the running configuration, or the edits that `partial` selects are undone.
pub(super) async fn revert(app: &App, caller: &Caller, command: &Element) -> Reply {
    let selection = match selection(command.descend(&["config", "partial"]))
        .and_then(|selection| Selection::within(selection, caller).map_err(|line| Reply::unauthorized(&line)))
    {
        Ok(selection) => selection,
        Err(refusal) => return refusal,
    };
    let count = match app.configuration.revert(caller, selection).await {
        Ok(count) => count,
        Err(error) => return refuse(error),
    };
    let details = format!("Config reverted: {count} edit(s)");
    match app.jobs.add_finished(JobKind::RevertConfig, &caller.name, &details).await {
        Ok(id) => Reply::job(id, &format!("Revert job enqueued with jobid {id}")),
        Err(error) => Reply::internal(&error),
    }
}

fn refuse(error: PartialError) -> Reply {
    match error {
        PartialError::Conflict(conflict) => Reply::error(code::NOT_POSSIBLE, &conflict.0),
        PartialError::Store(error) => Reply::internal(&error),
    }
}

async fn changes(app: &App, caller: &Caller, partial: Option<&Element>) -> Reply {
    let selection = match selection(partial) {
        Ok(selection) => selection,
        Err(refusal) => return refusal,
    };
    let mut lines = match app.store.journal(CHANGES_SHOWN).await {
        Ok(lines) => lines,
        Err(error) => return Reply::internal(&error),
    };
    if let Some(selection) = selection {
        lines.retain(|line| is_meant(line, &selection));
    }
    if lines.is_empty() {
        return Reply::result(element("result"));
    }
    let entries = lines.iter().filter_map(|line| {
        let edit: Edit = serde_json::from_str(&line.edit).ok()?;
        if !caller.may_see(edit.xpath()) {
            return None;
        }
        let change = element("entry")
            .leaf("xpath", edit.xpath())
            .leaf("owner", &line.author)
            .leaf("action", &edit.name().to_uppercase())
            .leaf("admin-history", &line.author)
            .leaf("component-type", edit.component())
            .leaf("time", &times::date_time(line.time_us));
        Some(change)
    });
    Reply::result(element("result").with(element("journal").with_all(entries)))
}

async fn admins(app: &App) -> Reply {
    match app.store.journal_authors().await {
        Ok(names) => {
            let entries = names.iter().map(|name| leaf("entry", name));
            Reply::result(element("result").with(element("admins").with_all(entries)))
        }
        Err(error) => Reply::internal(&error),
    }
}

async fn versions(app: &App) -> Reply {
    match app.store.versions(VERSIONS_SHOWN).await {
        Ok(versions) => {
            let entries = versions.iter().map(|version| {
                entry(&version.number.to_string())
                    .leaf("version", &version.number.to_string())
                    .leaf("time", &times::date_time(version.time_us))
                    .leaf("admin", &version.author)
                    .leaf("description", &version.comment)
                    .leaf("digest", &version.digest)
            });
            Reply::result(element("result").with(element("versions").with_all(entries)))
        }
        Err(error) => Reply::internal(&error),
    }
}

/// `show config audit base-version N [version M]`: from N to M, or to what is running.
async fn version_diff(app: &App, caller: &Caller, command: &Element) -> Reply {
    let named = |tag: &str| super::argument(command.descend(&["config", "audit", tag]));
    let base = match read_version(app, &named("base-version").unwrap_or_default()).await {
        Ok(tree) => caller.view(&tree),
        Err(reply) => return reply,
    };
    let other = match named("version") {
        None => caller.view(&app.configuration.snapshot().running),
        Some(number) => match read_version(app, &number).await {
            Ok(tree) => caller.view(&tree),
            Err(reply) => return reply,
        },
    };
    differ(command.descend(&["config", "audit"]), &base, &other)
}

/// In the form that `format` asks for: `xml`, which is usual, or `set`.
fn differ(asked: Option<&Element>, old: &Arc<Element>, new: &Arc<Element>) -> Reply {
    let format = asked.and_then(|asked| asked.child("format")).map(|format| format.text());
    match format.as_deref() {
        None | Some("xml") => Reply::text(&difference(old, new, false)),
        Some("set") => Reply::text(&difference(old, new, true)),
        Some(other) => {
            Reply::error(code::INVALID_COMMAND, &[format!("`{other}` is no format; there are `xml` and `set`")])
        }
    }
}

async fn version(app: &App, caller: &Caller, command: &Element) -> Reply {
    let config = command.child("config");
    let asked = config.and_then(|config| config.child("version").or_else(|| config.child("audit-version")));
    let number = super::argument(asked.map(|asked| &**asked)).unwrap_or_default();
    match read_version(app, &number).await {
        Ok(tree) => config_result(caller.view(&tree)),
        Err(reply) => reply,
    }
}

async fn read_version(app: &App, number: &str) -> Result<Arc<Element>, Reply> {
    snapshots::read_version(app, number).await.map_err(Reply::from)
}
