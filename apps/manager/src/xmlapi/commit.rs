//! `type=commit`: commits, validations and pushes become jobs.

use std::collections::BTreeSet;

use bartizan_model::diagnostic::closest;
use bartizan_model::tree::Element;
use bartizan_model::xml;

use super::reply::{Reply, code};
use crate::accounts::{Caller, Right};
use crate::app::App;
use crate::configuration::Snapshot;
use crate::configuration::partial::Selection;
use crate::http::parameters::Parameters;
use crate::jobs::commit::CommitRequest;
use crate::jobs::push::PushRequest;
use crate::jobs::{EnqueueError, JobKind, PushScope, Work};
use crate::topology::Topology;

pub(super) async fn answer(app: &App, caller: &Caller, parameters: &Parameters) -> Reply {
    let Some(text) = parameters.get("cmd") else {
        return Reply::bad_request("Missing value for parameter \"cmd\".");
    };
    let command = match xml::parse(text) {
        Ok(command) => command,
        Err(diagnostic) => return Reply::error(code::MALFORMED_COMMAND, &[diagnostic.message]),
    };
    match &*command.name {
        "commit" => match command.child("validate") {
            // pan-python asks for a validation in this form.
            Some(validate) => commit(app, caller, validate, true).await,
            None => commit(app, caller, &command, false).await,
        },
        "validate" => commit(app, caller, &command, true).await,
        "commit-all" if app.device.is_none() => commit_all(app, caller, &command).await,
        other => Reply::error(code::INVALID_COMMAND, &[format!(" {other} unexpected here")]),
    }
}

/// `<commit>` and `<validate>`.
pub(crate) async fn commit(app: &App, caller: &Caller, command: &Element, validate_only: bool) -> Reply {
    const KNOWN: [&str; 4] = ["description", "partial", "force", "full"];
    if let Some(other) = command.elements().find(|element| !KNOWN.contains(&&*element.name)) {
        return unexpected(&[&command.name, &other.name], "unexpected here");
    }
    let force = command.child("force");
    let partial = command.child("partial").or_else(|| force.and_then(|force| force.child("partial")));
    let selection = match partial.map(|partial| Selection::read(partial)).transpose() {
        Ok(selection) => selection.flatten(),
        Err(lines) => return Reply::error(code::INVALID_OBJECT, &lines),
    };
    let selection = match Selection::within(selection, caller) {
        Ok(selection) => selection,
        Err(line) => return Reply::unauthorized(&line),
    };
    if !validate_only && let Some(lock) = app.configuration.locks.in_the_way_of_commit(&caller.name) {
        let line = format!("Other administrators are holding commit locks: {}", lock.admin);
        return Reply::error(code::DENIED, &[line, lock.describe()]);
    }
    let description = command.child("description").or_else(|| partial.and_then(|partial| partial.child("description")));
    let description = description.map(|description| description.text()).unwrap_or_default();
    let pending = match app.configuration.pending(selection.as_ref()).await {
        Ok(pending) => pending,
        Err(error) => return Reply::internal(&error),
    };
    if !validate_only && force.is_none() && !pending && !app.jobs.commit_in_progress() {
        return Reply::message(code::DATA, "There are no changes to commit.");
    }
    let kind = if validate_only { JobKind::Validate } else { JobKind::Commit };
    let request = CommitRequest {
        caller: caller.clone(),
        comment: description.clone(),
        selection,
        validate_only,
        is_looked_at: false,
    };
    let text = if validate_only { "Validate" } else { "Commit" };
    enqueue(app, caller, kind, &description, None, Work::Commit(request), text).await
}

pub(crate) async fn commit_all(app: &App, caller: &Caller, command: &Element) -> Reply {
    let Some(what) = command.elements().next() else {
        return unexpected(&["commit-all"], "is missing a scope: shared-policy, template or template-stack");
    };
    let snapshot = app.configuration.snapshot();
    let reach = caller.role.reach(Right::Commit);
    let read = |root| Topology::read(root).within(reach.as_ref());
    let topologies = Topologies { running: read(&snapshot.running), candidate: read(&snapshot.candidate) };
    let request = match &*what.name {
        "shared-policy" => shared_policy(what, &topologies),
        "template" | "template-stack" => templates(what, &topologies),
        other => Err(unexpected(&["commit-all", other], "unexpected here")),
    };
    let (scope, mut request) = match request {
        Ok(request) => request,
        Err(refusal) => return refusal,
    };
    request.validate_only = yes(what, "validate-only");
    request.caller = Some(caller.clone());
    request.remarks = UNDONE.iter().filter(|(name, _)| yes(what, name)).map(|(_, remark)| *remark).collect();
    request.admins = match admins(what, &snapshot) {
        Ok(admins) => admins,
        Err(refusal) => return refusal,
    };
    let description = what.child("description").map(|description| description.text()).unwrap_or_default();
    let kind = if request.validate_only { JobKind::ValidateAll } else { JobKind::CommitAll };
    enqueue(app, caller, kind, &description, Some(scope), Work::Push(request), "CommitAll").await
}

/// Elements of a push that change nothing when they say yes, and what its job says then.
const UNDONE: [(&str, &str); 2] = [
    (
        "force-template-values",
        "Warning: `force-template-values` has no effect: what a firewall overrides itself stays; delete it there \
         (`target`), and commit",
    ),
    (
        "merge-with-candidate-cfg",
        "Warning: `merge-with-candidate-cfg` has no effect: what a firewall's own candidate holds stays there, and is \
         not committed by a push",
    ),
];

/// What is pushed, and what would be after a commit.
struct Topologies {
    running: Topology,
    candidate: Topology,
}

fn shared_policy(what: &Element, topologies: &Topologies) -> Result<(PushScope, PushRequest), Reply> {
    const KNOWN: &[&str] = &[
        "device-group",
        "device",
        "vsys",
        "description",
        "admin",
        "include-template",
        "force-template-values",
        "merge-with-candidate-cfg",
        "validate-only",
    ];
    check_children(what, KNOWN)?;
    let mut names = Vec::new();
    let mut wanted = BTreeSet::new();
    if let Some(groups) = what.child("device-group") {
        names.extend(groups.entries().map(|(name, _)| name.to_owned()));
        names.extend(groups.members());
        // The old form: the name as text.
        names.extend(Some(groups.text()).filter(|name| !name.is_empty()));
        for (_, group) in groups.entries() {
            wanted.extend(serials(group.child("devices").map(|list| &**list)));
        }
    }
    wanted.extend(serials(what.child("device").map(|list| &**list)));
    let everything = names.is_empty() && wanted.is_empty();
    let groups: Vec<_> = topologies
        .running
        .groups
        .iter()
        .filter(|group| everything || names.is_empty() || names.contains(&group.name))
        .collect();
    if let Some(unknown) = names.iter().find(|name| groups.iter().all(|group| group.name != **name)) {
        let known = |topology: &Topology| topology.groups.iter().map(|group| group.name.clone()).collect();
        return Err(not_running(&["commit-all", "shared-policy", "device-group"], unknown, topologies, known));
    }
    let devices = groups.iter().flat_map(|group| &group.devices).cloned().collect();
    let devices = subset(devices, &wanted, &["commit-all", "shared-policy", "device-group", "devices"])?;
    let scope = PushScope { push_type: "shared-policy".into(), name: names.join(", ") };
    let request =
        PushRequest { devices, policy: true, templates: yes(what, "include-template"), ..PushRequest::default() };
    Ok((scope, request))
}

fn templates(what: &Element, topologies: &Topologies) -> Result<(PushScope, PushRequest), Reply> {
    const KNOWN: &[&str] = &[
        "name",
        "device",
        "description",
        "admin",
        "force-template-values",
        "merge-with-candidate-cfg",
        "validate-only",
    ];
    check_children(what, KNOWN)?;
    let kind = &*what.name;
    let name = what.child("name").map(|name| name.text()).unwrap_or_default();
    let stacks: Vec<_> = topologies
        .running
        .stacks
        .iter()
        .filter(|stack| match kind {
            "template" => stack.templates.contains(&name),
            _ => stack.name == name,
        })
        .collect();
    let known = |topology: &Topology| -> Vec<String> {
        match kind {
            "template" => topology.templates.clone(),
            _ => topology.stacks.iter().map(|stack| stack.name.clone()).collect(),
        }
    };
    if !known(&topologies.running).contains(&name) {
        return Err(not_running(&["commit-all", kind, "name"], &name, topologies, known));
    }
    let devices = stacks.iter().flat_map(|stack| &stack.devices).cloned().collect();
    let wanted = serials(what.child("device").map(|list| &**list)).into_iter().collect();
    let devices = subset(devices, &wanted, &["commit-all", kind, "device"])?;
    let scope = PushScope { push_type: kind.to_owned(), name };
    Ok((scope, PushRequest { devices, templates: true, ..PushRequest::default() }))
}

/// Serials, or other names, as members, as entries or as text.
fn serials(list: Option<&Element>) -> Vec<String> {
    let Some(list) = list else {
        return Vec::new();
    };
    let entries = list.entries().map(|(name, _)| name.to_owned());
    let text = Some(list.text()).filter(|text| !text.is_empty());
    entries.chain(list.members()).chain(text).filter(|serial| !serial.is_empty()).collect()
}

fn subset(devices: BTreeSet<String>, wanted: &BTreeSet<String>, path: &[&str]) -> Result<BTreeSet<String>, Reply> {
    if let Some(stranger) = wanted.iter().find(|serial| !devices.contains(*serial)) {
        let near = did_you_mean(stranger, &devices.iter().cloned().collect::<Vec<_>>());
        return Err(invalid_reference(path, stranger, format!("`{stranger}` is no device of what is pushed{near}")));
    }
    Ok(if wanted.is_empty() { devices } else { wanted.clone() })
}

fn check_children(what: &Element, known: &[&str]) -> Result<(), Reply> {
    for child in what.elements() {
        let name = &*child.name;
        if !known.contains(&name) {
            return Err(unexpected(&["commit-all", &what.name, name], "unexpected here"));
        }
    }
    Ok(())
}

/// Whose edits are pushed; of everybody when nobody is named.
fn admins(what: &Element, snapshot: &Snapshot) -> Result<BTreeSet<String>, Reply> {
    let named = what.child("admin").map(|list| serials(Some(list))).unwrap_or_default();
    let users = |root: &Element| -> Vec<String> {
        let users = root.descend(&["mgt-config", "users"]);
        users.into_iter().flat_map(|users| users.entries().map(|(name, _)| name.to_owned())).collect()
    };
    let known: Vec<String> = [users(&snapshot.running), users(&snapshot.candidate)].concat();
    if let Some(stranger) = named.iter().find(|name| !known.contains(name)) {
        let why = format!("there is no administrator `{stranger}`{}", did_you_mean(stranger, &known));
        return Err(invalid_reference(&["commit-all", &what.name, "admin"], stranger, why));
    }
    Ok(named.into_iter().collect())
}

/// A name that the running configuration does not have; `known` gives the names that a configuration has.
fn not_running(path: &[&str], name: &str, topologies: &Topologies, known: impl Fn(&Topology) -> Vec<String>) -> Reply {
    let why = if known(&topologies.candidate).iter().any(|known| known == name) {
        format!("`{name}` is not part of the running configuration yet; commit it before it is pushed")
    } else {
        let kind = path.iter().rfind(|step| **step != "name").map_or_else(String::new, |step| step.replace('-', " "));
        format!("{kind} `{name}` does not exist{}", did_you_mean(name, &known(&topologies.running)))
    };
    invalid_reference(path, name, why)
}

fn did_you_mean(name: &str, known: &[String]) -> String {
    let near = closest(name, known.iter().map(String::as_str));
    near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

fn invalid_reference(path: &[&str], name: &str, why: String) -> Reply {
    let path = path.join(" -> ");
    let lines = [format!(" {path} '{name}' is not a valid reference"), format!(" {path} is invalid"), why];
    Reply::error(code::INVALID_OBJECT, &lines)
}

/// The chain of lines with which PAN-OS refuses an element.
fn unexpected(path: &[&str], what: &str) -> Reply {
    let mut lines = vec![format!(" {} {what}", path.join(" -> "))];
    for end in (1..path.len()).rev() {
        lines.push(format!(" {}  is unexpected", path[..end].join(" -> ")));
    }
    Reply::error(code::INVALID_OBJECT, &lines)
}

fn yes(parent: &Element, name: &str) -> bool {
    parent.child(name).is_some_and(|child| child.text() == "yes")
}

async fn enqueue(
    app: &App,
    caller: &Caller,
    kind: JobKind,
    description: &str,
    scope: Option<PushScope>,
    work: Work,
    text: &str,
) -> Reply {
    match app.jobs.enqueue(kind, &caller.name, description, scope, work).await {
        Ok(id) => Reply::job(id, &format!("{text} job enqueued with jobid {id}")),
        Err(EnqueueError::Store(error)) => Reply::internal(&error),
        Err(error) => Reply::error(code::NOT_POSSIBLE, &[error.to_string()]),
    }
}
