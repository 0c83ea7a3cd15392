//! What does a person do with runs and incidents, and who may?

use std::collections::BTreeSet;
use std::sync::Arc;

use bartizan_playbook::graph::{Next, Outcome, What};
use serde_json::{Value, json};

use super::execute::outputs;
use super::{basis, go, playbooks};
use crate::accounts::{Caller, Right};
use crate::app::App;
use crate::approvals;
use crate::refusal::Refusal;
use crate::store::audit::AuditLine;
use crate::store::incidents::{IncidentRow, TimelineRow};
use crate::store::now_us;
use crate::store::runs::{NewRun, RunRow};
use crate::xmlapi::reply::code;

/// Longest comment, in bytes.
const COMMENT_MAX: usize = 4096;
/// Severities of incidents.
pub(crate) const SEVERITIES: [&str; 3] = ["info", "warning", "error"];
/// What a person makes of an incident's status.
pub(crate) const STATUSES: [&str; 2] = ["open", "closed"];

fn denied(line: impl Into<String>) -> Refusal {
    Refusal::new(code::DENIED, [line.into()])
}

fn impossible(line: impl Into<String>) -> Refusal {
    Refusal::new(code::NOT_POSSIBLE, [line.into()])
}

/// Whose changes a run holds.
pub(super) fn requesters(run: Option<&RunRow>) -> BTreeSet<String> {
    let Some(run) = run else { return BTreeSet::new() };
    let inputs: Value = serde_json::from_str(&run.inputs).unwrap_or_default();
    let names = inputs["requesters"].as_array().into_iter().flatten().filter_map(Value::as_str);
    names.map(str::to_owned).chain([run.requester.clone()]).collect()
}

async fn the_run(app: &App, id: i64) -> Result<RunRow, Refusal> {
    app.store.run(id).await?.ok_or_else(|| Refusal::new(code::NOT_PRESENT, [format!("run {id} not found")]))
}

/// The config log tells what a person did.
async fn note(app: &App, caller: &Caller, cmd: &str, path: String, after: &str) -> Result<(), Refusal> {
    let line = AuditLine { after: after.to_owned(), ..caller.did(cmd, path) };
    Ok(app.store.add_audit(&[line]).await?)
}

/// A run may go on only while its cluster was not given another one.
fn is_current(app: &App, run: &RunRow) -> bool {
    run.cluster.is_empty() || app.automation.cluster(&run.cluster).is_some_and(|cluster| cluster.run == run.id)
}

fn wake(app: &Arc<App>, run: &RunRow) {
    app.automation.tell_all();
    if run.cluster.is_empty() { go(app, run.id) } else { app.automation.knock() }
}

/// Approves or rejects what a run waits for.
pub(crate) async fn decide(
    app: &Arc<App>,
    caller: &Caller,
    id: i64,
    is_approved: bool,
    comment: &str,
) -> Result<(), Refusal> {
    let mut run = the_run(app, id).await?;
    if run.state != "waiting" || !is_current(app, &run) {
        return Err(impossible(format!("run {id} is {}: it does not wait for anybody", run.state)));
    }
    if caller.role.scope().is_some() || !caller.role.may_change(Right::Commit) {
        return Err(denied(format!("the role of `{}` does not allow to commit everything", caller.name)));
    }
    let watched = approvals::are_commits_watched(app) || approvals::are_pushes_watched(app);
    if watched && let Some(why) = approvals::why_no_approver(app, caller) {
        return Err(denied(why));
    }
    let four_eyes = match run.cluster.as_str() {
        "" => false,
        cluster => basis(app, cluster).await?.settings.as_ref().is_some_and(|settings| settings.four_eyes),
    };
    if is_approved && (watched || four_eyes) && requesters(Some(&run)).contains(&caller.name) {
        return Err(denied(format!("`{}` told or asked for the change: it takes somebody else", caller.name)));
    }
    let playbook = app.automation.playbooks.get(&app.store, &run.playbook, run.version).await?;
    let mut steps = app.store.steps(id).await?;
    let Some(step) = steps.last_mut().filter(|step| step.state == "waiting" && step.task == run.task) else {
        return Err(impossible(format!("run {id} does not wait for anybody")));
    };
    let outcome = if is_approved { Outcome::Done } else { Outcome::Rejected };
    "done".clone_into(&mut step.state);
    let by = if is_approved { "approved_by" } else { "rejected_by" };
    step.outputs = json!({ by: caller.name, "comment": cut(comment) }).to_string();
    step.finished_us = Some(now_us());
    let known = Value::Object(outputs(std::slice::from_ref(step)));
    "running".clone_into(&mut run.state);
    match playbook.after(&run.task, outcome, &known) {
        Ok(Next::Task(next)) => run.task = next,
        // It ends there: the run is taken up once more to say so.
        Ok(Next::End(_)) => {
            "rejected".clone_into(&mut run.state);
            run.finished_us = Some(now_us());
        }
        Ok(Next::Stop) => return Err(impossible("the playbook does not say what comes next")),
        Err(why) => return Err(impossible(why)),
    }
    app.store.keep_run(&run, &[step]).await?;
    let path = format!("run {id}: {} of cluster {}", run.playbook, run.cluster);
    note(app, caller, if is_approved { "approve" } else { "reject" }, path, comment).await?;
    if run.state == "rejected" {
        app.store.settle_incidents(id, ("closed", None), "").await?;
        super::settle::rejected(app, &run).await?;
    } else {
        app.store.settle_incidents(id, ("open", None), "").await?;
    }
    wake(app, &run);
    Ok(())
}

fn cut(comment: &str) -> String {
    let mut end = comment.len().min(COMMENT_MAX);
    while !comment.is_char_boundary(end) {
        end -= 1;
    }
    comment[..end].to_owned()
}

/// A run goes on where it failed, or at another task.
pub(super) async fn resume(app: &Arc<App>, mut run: RunRow, task: Option<String>) -> sqlx::Result<()> {
    if let Some(task) = task {
        run.task = task;
    }
    "running".clone_into(&mut run.state);
    run.error.clear();
    run.finished_us = None;
    app.store.keep_run(&run, &[]).await?;
    app.store.settle_incidents(run.id, ("open", Some("info")), "").await?;
    wake(app, &run);
    Ok(())
}

/// Has a run that failed go on.
pub(crate) async fn rerun(app: &Arc<App>, caller: &Caller, id: i64, task: Option<&str>) -> Result<(), Refusal> {
    let run = the_run(app, id).await?;
    if run.state != "failed" || !is_current(app, &run) {
        return Err(impossible(format!(
            "run {id} is {}: only one that failed, and has no successor, is run again",
            run.state
        )));
    }
    let playbook = app.automation.playbooks.get(&app.store, &run.playbook, run.version).await?;
    if let Some(task) = task.filter(|task| !playbook.tasks.contains_key(*task)) {
        let names: Vec<&str> = playbook.tasks.keys().map(String::as_str).collect();
        return Err(impossible(format!(
            "playbook `{}` has no task `{task}`: it has {}",
            run.playbook,
            names.join(", ")
        )));
    }
    // Whoever is past the question was answered; nobody goes there by another way.
    if let Some(task) = task
        && !app.store.steps(id).await?.iter().any(|step| step.task == task)
        && !matches!(playbook.tasks.get(task).map(|task| &task.what), Some(What::Ask { .. }))
        && task != playbook.start
    {
        return Err(impossible(format!("run {id} was not at task `{task}`: name one that it did")));
    }
    note(app, caller, "rerun", format!("run {id}: {}", task.unwrap_or(&run.task)), "").await?;
    Ok(resume(app, run, task.map(str::to_owned)).await?)
}

/// What somebody wants run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Start {
    /// The playbook.
    pub(crate) playbook: String,
    /// The cluster; empty for none.
    pub(crate) cluster: String,
    /// What it is told: `run.NAME` in the playbook.
    pub(crate) inputs: serde_json::Map<String, Value>,
}

/// Starts a run; its number.
pub(crate) async fn start(app: &Arc<App>, caller: &Caller, start: Start) -> Result<i64, Refusal> {
    let newest = app.automation.playbooks.newest(&app.store, &start.playbook).await?;
    let Some((row, playbook)) = newest else {
        return Err(Refusal::new(code::NOT_PRESENT, [format!("there is no playbook `{}`", start.playbook)]));
    };
    let mut instead_of = 0;
    if !start.cluster.is_empty() {
        let Some(cluster) = app.automation.cluster(&start.cluster) else {
            return Err(Refusal::new(code::NOT_PRESENT, [format!("cluster `{}` told no policies", start.cluster)]));
        };
        instead_of = cluster.run;
        if instead_of != 0 && app.store.run(instead_of).await?.is_some_and(|run| run.state == "running") {
            return Err(impossible(format!("run {instead_of} of cluster `{}` is under way", start.cluster)));
        }
    }
    let mut inputs = start.inputs;
    inputs.insert("trigger".to_owned(), json!("request"));
    inputs.insert("requesters".to_owned(), json!([caller.name]));
    let new = NewRun {
        cluster: start.cluster.clone(),
        playbook: row.name,
        version: row.version,
        task: playbook.start.clone(),
        requester: caller.name.clone(),
        inputs: Value::Object(inputs).to_string(),
        incidents: Vec::new(),
        instead_of,
    };
    let run = app.automation.begin(&app.store, &new, |_, _, _| ()).await?;
    note(app, caller, "run", format!("run {run}: {} of cluster {}", start.playbook, start.cluster), "").await?;
    wake(app, &RunRow { id: run, cluster: start.cluster, ..RunRow::default() });
    Ok(run)
}

/// What a person says of an incident, or makes of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remark {
    /// Something to be read.
    pub(crate) comment: Option<String>,
    /// Who takes care of it; empty for nobody.
    pub(crate) owner: Option<String>,
    /// How bad it is.
    pub(crate) severity: Option<String>,
    /// `open` or `closed`.
    pub(crate) status: Option<String>,
}

/// Notes it.
pub(crate) async fn remark(app: &App, caller: &Caller, id: i64, remark: &Remark) -> Result<IncidentRow, Refusal> {
    let missing = || Refusal::new(code::NOT_PRESENT, [format!("incident {id} not found")]);
    let mut incident = app.store.incident(id).await?.ok_or_else(missing)?;
    let one_of = |what: &str, value: &Option<String>, known: &[&str]| match value {
        Some(value) if !known.contains(&value.as_str()) => {
            Err(impossible(format!("`{value}` is no {what}: it is one of {}", known.join(", "))))
        }
        _ => Ok(()),
    };
    one_of("severity", &remark.severity, &SEVERITIES)?;
    one_of("status", &remark.status, &STATUSES)?;
    let users = app.configuration.snapshot();
    let users = users.candidate.descend(&["mgt-config", "users"]);
    if let Some(owner) = remark.owner.as_deref().filter(|owner| !owner.is_empty())
        && users.is_none_or(|users| users.entry_named(owner).is_none())
    {
        return Err(impossible(format!("`{owner}` is no administrator")));
    }
    let mut lines = Vec::new();
    let now = now_us();
    for (kind, text) in [
        ("comment", &remark.comment),
        ("owner", &remark.owner),
        ("severity", &remark.severity),
        ("status", &remark.status),
    ] {
        let Some(text) = text else { continue };
        let who = caller.name.clone();
        lines.push(TimelineRow { id: 0, incident: id, time_us: now, who, kind: kind.to_owned(), text: cut(text) });
    }
    if lines.is_empty() {
        return Err(impossible("there is nothing to note: give a comment, an owner, a severity or a status"));
    }
    incident.owner = remark.owner.clone().unwrap_or(incident.owner);
    incident.severity = remark.severity.clone().unwrap_or(incident.severity);
    if let Some(status) = &remark.status {
        incident.closed_us = (status == "closed").then_some(now);
        incident.status.clone_from(status);
    }
    if !app.store.note_incident(&incident, &lines).await? {
        return Err(impossible(format!("incident {id} has as many lines as there can be")));
    }
    for line in &lines {
        note(app, caller, "incident", format!("incident {id}: {}", line.kind), &line.text).await?;
    }
    app.automation.tell_all();
    Ok(incident)
}

/// Has another version of a playbook used from now on; its number. Without a text, that of the program.
pub(crate) async fn write(app: &App, caller: &Caller, name: &str, text: Option<&str>) -> Result<i64, Refusal> {
    let built_in = playbooks::BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
    let Some(text) = text.or(built_in) else {
        return Err(impossible(format!("`{name}` is no playbook of the program: there is none to go back to")));
    };
    if text.len() > playbooks::TEXT_MAX {
        return Err(impossible(format!("a playbook has at most {} bytes", playbooks::TEXT_MAX)));
    }
    playbooks::read_as(name, text).map_err(|faults| {
        Refusal::new(code::INVALID_OBJECT, faults.iter().map(ToString::to_string).collect::<Vec<_>>())
    })?;
    let known = app.store.playbooks().await?;
    if known.len() >= playbooks::PLAYBOOKS_MAX && !known.iter().any(|row| row.name == name) {
        return Err(impossible(format!("there are {} playbooks, which is as many as there can be", known.len())));
    }
    let author = if Some(text) == built_in { "" } else { caller.name.as_str() };
    let version = app.store.add_playbook(name, author, text).await?;
    note(app, caller, "playbook", format!("playbook {name}: version {version}"), "").await?;
    Ok(version)
}
