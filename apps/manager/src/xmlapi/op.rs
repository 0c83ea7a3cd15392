//! `type=op`: which operational commands are there?
//!
//! One table, by the words of the command. At a firewall's own address what is not in it goes to the firewall's own
//! commands.

mod api_keys;
mod approvals;
pub(crate) mod authkey;
mod automation;
mod candidate;
pub(super) mod certificates;
mod config_log;
mod device;
pub(crate) mod devices;
mod enrolment;
mod forwarding;
mod groups;
mod jobs;
mod locks;
mod migration;
mod push_scope;
pub(crate) mod rules;
mod schedules;
pub(crate) mod snapshots;
mod tags;

use std::sync::Arc;

use bartizan_model::tree::Element;
use bartizan_model::xml;

use super::element::{Build as _, element};
use super::endpoints::{COMMANDS, Need, OF_MANAGERS};
use super::reply::{Reply, code};
use super::{commit, refuse_change, refuse_reading, refuse_whole, system};
use crate::accounts::{Caller, Right, hash_password, policy};
use crate::app::App;
use crate::http::parameters::Parameters;
use crate::locks::LockKind;
use crate::store::now_us;
use crate::times;

pub(super) async fn answer(app: &Arc<App>, caller: &Caller, parameters: &Parameters) -> Reply {
    let Some(text) = parameters.get("cmd") else {
        return Reply::bad_request("Missing value for parameter \"cmd\".");
    };
    let command = match xml::parse(text) {
        Ok(command) => command,
        Err(diagnostic) => return Reply::error(code::MALFORMED_COMMAND, &[diagnostic.message]),
    };
    let words = words(&command);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (need, device) = match &app.device {
        None => match need_of(&words) {
            Some((_, need)) => (need, None),
            None => return unknown(&words),
        },
        Some(device) => match need_at_device(&words) {
            (need, true) => (need, None),
            (need, false) => (need, Some(device)),
        },
    };
    if let Some(refusal) = refuse(caller, need) {
        return refusal;
    }
    if let Some(refusal) = refuse_whole(caller, need_of(&words).map_or("", |(command, _)| command)) {
        return refusal;
    }
    match device {
        Some(device) => device::run(device, text, &words).await,
        None => run(app, caller, parameters, &command, &words).await,
    }
}

/// `None`, or why the caller must not give that command to a firewall.
pub(super) fn refuse_at_device(caller: &Caller, command: &str) -> Option<Reply> {
    // One that is no XML is refused there; until then it is a change.
    let need = match xml::parse(command) {
        Ok(command) => {
            let words = words(&command);
            need_at_device(&words.iter().map(String::as_str).collect::<Vec<_>>()).0
        }
        Err(_) => Need::Change,
    };
    refuse(caller, need)
}

/// Does what a command says, for somebody who may.
pub(crate) async fn obey(app: &Arc<App>, caller: &Caller, parameters: &Parameters, command: &Element) -> Reply {
    let words = words(command);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    run(app, caller, parameters, command, &words).await
}

async fn run(app: &Arc<App>, caller: &Caller, parameters: &Parameters, command: &Element, words: &[&str]) -> Reply {
    match words {
        ["show", "system", "info", ..] => system::info(app),
        ["show", "clock", ..] => Reply::text(&format!("{}\n", times::unix_date(now_us()))),
        ["show", "admins", ..] => system::admins(app, caller),
        ["show", "chassis-ready"] => Reply::text("yes"),
        ["show", "object", "registered-ip", ..] => tags::registered(app, command),
        ["show", "plugins", "kubernetes", ..] => tags::clusters(app),
        ["show", "plugins", "packages"] => Reply::result(element("result").with(element("plugins"))),
        ["show", "high-availability", ..] => Reply::result(element("result").leaf("enabled", "no")),
        ["show", "logging-status"] => system::logging(app).await,
        ["show", "config-log-integrity", ..] => config_log::integrity(app, command).await,
        ["show", "log-forwarding"] => forwarding::show(app),
        ["show", "config-report", ..] => migration::report(app, caller, command).await,
        ["request", "import-firewall", ..] => migration::import(app, caller, command).await,
        ["show", "config-locks", ..] => locks::show(app, LockKind::Config),
        ["show", "commit-locks", ..] => locks::show(app, LockKind::Commit),
        ["request", "config-lock", ..] => locks::change(app, caller, command, parameters, LockKind::Config).await,
        ["request", "commit-lock", ..] => locks::change(app, caller, command, parameters, LockKind::Commit).await,

        ["show", "jobs", "id", ..] => jobs::one(app, command),
        ["show", "scheduled-config-push", ..] => schedules::show(app, command).await,
        ["request", "scheduled-config-push", "run", ..] => schedules::run_now(app, caller, command).await,
        ["clear", "job", ..] => jobs::cancel(app, caller, command).await,
        ["show", "jobs", "all" | "pending" | "processed"] => jobs::all(app, words[2]),

        ["show", "devices", filter @ ("all" | "connected")] => devices::show(app, caller, filter).await,
        ["request", "device", "re-enrol", ..] => enrolment::allow(app, caller, command).await,
        ["request", "device", "renew-certificate", ..] => enrolment::renew(app, caller, command).await,
        ["request", "device", "remove", ..] => enrolment::remove(app, caller, command).await,
        ["show", "devicegroups", ..] => groups::device_groups(app, caller, command).await,
        ["show", "templates", ..] => groups::templates(app, caller, command).await,
        ["show", "template-stack", ..] => groups::stacks(app, caller, command).await,
        ["show", "dg-hierarchy", ..] => groups::hierarchy(app, caller),
        ["request", "move-dg", ..] => groups::move_group(app, caller, command).await,

        ["check", "pending-changes", ..] => candidate::pending(app, command).await,
        ["check", "full-commit-required"] => Reply::text("no"),
        ["save", "config", ..] => snapshots::save(app, caller, command).await,
        ["delete", "config", "saved", ..] => snapshots::delete(app, command).await,
        [
            "show",
            "config",
            part @ ("merged" | "pushed-template" | "pushed-shared-policy" | "effective-running"),
            ..,
        ] if app.device.is_some() => device::parts(app, caller, part).await,
        ["show", "config", "push-scope", ..] if app.device.is_none() => push_scope::show(app, caller, command).await,
        ["show", "approvals", ..] => approvals::show(app).await,
        ["request", "approval", "approve", ..] => approvals::decide(app, caller, command, true).await,
        ["request", "approval", "refuse", ..] => approvals::decide(app, caller, command, false).await,
        ["show", "automation", ..] => automation::show(app, command).await,
        ["request", "automation", verb @ ("run" | "approve" | "comment" | "playbook"), ..] => {
            automation::request(app, caller, command, verb).await
        }
        ["set", "audit-comment", ..] => rules::comment(app, caller, command).await,
        ["show", "config", "list", "audit-comments", ..] => rules::pending(app, caller, command).await,
        ["show", "config", "rule-history", ..] => rules::show(app, caller, command).await,
        ["show", "config", "list", "change-summary", ..] => push_scope::summary(app, caller, command).await,
        ["show", "config", "saved", ..] => snapshots::show(app, caller, command).await,
        ["show", "config", ..] => candidate::show(app, caller, command, &words[2..]).await,
        ["load", "config", ..] => candidate::load(app, caller, command).await,
        ["revert", "config", ..] => candidate::revert(app, caller, command).await,
        ["validate", ..] => validate(app, caller, command).await,

        ["request", "bootstrap", "vm-auth-key", ..] => authkey::bootstrap(app, command).await,
        ["request", "authkey", "add", ..] => authkey::add(app, command).await,
        ["request", "authkey", "list", ..] => authkey::list(app).await,
        ["request", "authkey", "delete", ..] => authkey::delete(app, command).await,
        ["request", "api-key", "expire", ..] => api_keys::expire(app, caller, command).await,
        ["request", "certificate", "generate", ..] => certificates::generate(app, caller, command).await,
        ["request", "certificate", "renew", ..] => certificates::renew(app, caller, command).await,
        ["request", "certificate", "show", ..] => certificates::show(app, command),
        ["request", "password-hash", ..] => password_hash(app, command),
        _ => unknown(words),
    }
}

/// Whether a command for a firewall shows or changes the firewall's configuration. One that is no XML is refused there.
pub(super) fn is_about_configuration(command: &str) -> bool {
    let Ok(command) = xml::parse(command) else { return false };
    let words = words(&command);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    need_at_device(&words).0 == Need::Editing || words.starts_with(&["show", "config"])
}

/// The command of our list that these words begin with, and what it needs.
fn need_of(words: &[&str]) -> Option<(&'static str, Need)> {
    let begins = |command: &str| command.split(' ').zip(words).filter(|(one, other)| one == *other).count();
    COMMANDS.iter().find(|(command, _)| begins(command) == command.split(' ').count()).copied()
}

/// What a command needs at a firewall, and whether it is of our list. What only the firewall itself has is told apart
/// by its first word.
fn need_at_device(words: &[&str]) -> (Need, bool) {
    match (need_of(words), words.first()) {
        (Some((command, need)), _) if !OF_MANAGERS.contains(&command) => (need, true),
        (_, Some(&("show" | "check" | "test" | "explain"))) => (Need::Reading, false),
        _ if words.starts_with(&["debug", "dataplane", "packet-diag", "show"]) => (Need::Reading, false),
        _ => (Need::Change, false),
    }
}

fn refuse(caller: &Caller, need: Need) -> Option<Reply> {
    match need {
        Need::Reading => refuse_reading(caller, Right::Operate),
        Need::Change => refuse_change(caller, Right::Operate),
        Need::Editing => refuse_change(caller, Right::Operate).or_else(|| refuse_change(caller, Right::Config)),
    }
}

/// The config log tells that an operational command changed something.
async fn note(app: &App, caller: &Caller, cmd: &str, path: String) {
    if let Err(error) = app.store.add_audit(&[caller.did(cmd, path)]).await {
        tracing::error!(%error, "the config log cannot be written");
    }
}

/// The chain of first children: `<show><jobs><id>4</id></jobs></show>` is `show jobs id`.
fn words(command: &Element) -> Vec<String> {
    let mut words = vec![command.name.to_string()];
    let mut here = command;
    while let Some(child) = here.elements().next() {
        words.push(child.name.to_string());
        here = child;
    }
    words
}

/// `<validate><full/></validate>` and `<validate><partial>...`.
async fn validate(app: &App, caller: &Caller, command: &Element) -> Reply {
    match command.child("full") {
        Some(full) => commit::commit(app, caller, full, true).await,
        None => commit::commit(app, caller, command, true).await,
    }
}

/// `request password-hash password P [username U]`
fn password_hash(app: &App, command: &Element) -> Reply {
    let given = |tag: &str| command.descend(&["password-hash", tag]).map(Element::text);
    let (password, user) = (given("password").unwrap_or_default(), given("username"));
    let weaknesses = policy::weaknesses(&app.configuration.snapshot().candidate, user.as_deref(), &password);
    if !weaknesses.is_empty() {
        return Reply::error(code::INVALID_OBJECT, &weaknesses);
    }
    match hash_password(&password) {
        Ok(hash) => Reply::result(element("result").leaf("phash", &hash)),
        Err(error) => Reply::error(code::INVALID_OBJECT, &[error.to_string()]),
    }
}

fn unknown(words: &[&str]) -> Reply {
    let command = words.join(" ");
    Reply::error(
        code::INVALID_COMMAND,
        &["invalid client cli".to_owned(), format!("`{command}` is not a command of this manager")],
    )
}

/// The name that a command gives as text, as `<entry name=...>` or as `<member>`.
fn argument(element: Option<&Element>) -> Option<String> {
    let element = element?;
    let named = element.entries().next().map(|(name, _)| name.to_owned());
    named.or_else(|| element.members().next()).or_else(|| Some(element.text())).filter(|name| !name.is_empty())
}
