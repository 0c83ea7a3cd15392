//! Runs of playbooks, incidents, and the playbooks: read, decided, commented and followed.

use axum::http::Method;
use bartizan_playbook::graph::{Ending, Task, Way, What};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::events::Events;
use super::problem::Problem;
use super::route::{Accepted, Access, Call, Done, Json, Nothing, Route};
use crate::automation::orders::{self, Remark, Start};
use crate::automation::playbooks::read_as;
use crate::store::incidents::IncidentRow;
use crate::store::runs::{PlaybookRow, RunRow, StepRow};
use crate::times;

/// Rows of a page when nobody says how many.
const PAGE: i64 = 100;
/// Most rows of a page.
const PAGE_MAX: i64 = 1000;

pub(super) fn routes() -> Vec<Route> {
    let reading = Access::Command("show automation");
    let running = Access::Command("request automation run");
    let deciding = Access::Command("request automation approve");
    let noting = Access::Command("request automation comment");
    let writing = Access::Command("request automation playbook");
    let (get, post) = (Method::GET, Method::POST);
    vec![
        Route::new(get.clone(), "/automation/runs", reading, "Runs of playbooks, the newest first", runs),
        Route::new(post.clone(), "/automation/runs", running, "Run a playbook", start),
        Route::new(get.clone(), "/automation/runs/{id}", reading, "A run with what each of its tasks did", one_run),
        Route::new(post.clone(), "/automation/runs/{id}/approve", deciding, "Approve what a run waits for", approve),
        Route::new(post.clone(), "/automation/runs/{id}/reject", deciding, "Reject it", reject),
        Route::new(post.clone(), "/automation/runs/{id}/rerun", running, "Have a run that failed go on", rerun),
        Route::new(get.clone(), "/automation/incidents", reading, "Incidents, the newest first", incidents),
        Route::new(get.clone(), "/automation/incidents/{id}", reading, "An incident with its timeline", one_incident),
        Route::new(
            post.clone(),
            "/automation/incidents/{id}",
            noting,
            "Comment an incident, or change what it is",
            remark,
        ),
        Route::new(get.clone(), "/automation/playbooks", reading, "Playbooks in their newest versions", playbooks),
        Route::new(get.clone(), "/automation/playbooks/{name}", reading, "All versions of a playbook", one_playbook),
        Route::new(
            Method::PUT,
            "/automation/playbooks/{name}",
            writing,
            "Have another version of a playbook used",
            write,
        ),
        Route::new(Method::DELETE, "/automation/playbooks/{name}", writing, "Use the program's own again", restore),
        Route::new(
            post,
            "/automation/playbooks/{name}/trigger",
            running,
            "Another system starts a run: whatever it sends is `run.data` there",
            trigger,
        ),
        Route::new(
            get,
            "/automation/events/{cluster}",
            reading,
            "The newest run and incident of a cluster, with every change",
            follow,
        ),
    ]
}

/// Which rows.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Only those of this cluster.
    #[serde(default)]
    cluster: String,
    /// Only those in this state: of runs `running`, `waiting`, `failed`, `done`, `superseded` or `rejected`, of incidents
    /// `open`, `waiting`, `failed` or `closed`.
    #[serde(default)]
    state: String,
    /// Only those with a lower number.
    before: Option<i64>,
    /// At most so many, up to 1000; 100 when absent.
    limit: Option<i64>,
}

impl ListQuery {
    fn limit(&self) -> i64 {
        self.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX)
    }
}

/// Runs.
#[derive(JsonSchema, Serialize)]
struct Runs {
    /// The newest first.
    runs: Vec<Run>,
}

/// A run.
#[derive(JsonSchema, Serialize)]
struct Run {
    /// Its number.
    id: i64,
    /// The cluster; empty for none.
    cluster: String,
    /// The playbook.
    playbook: String,
    /// Which version of it.
    version: i64,
    /// `running`, `waiting`, `failed`, `done`, `superseded` or `rejected`.
    state: String,
    /// The task that is done, waits or failed.
    task: String,
    /// Whose change it is, or who asked for it.
    requester: String,
    /// What it is about.
    inputs: Value,
    /// Since when.
    started: String,
    /// Until when.
    finished: Option<String>,
    /// Why it failed.
    error: String,
}

impl From<RunRow> for Run {
    fn from(row: RunRow) -> Self {
        Self {
            id: row.id,
            cluster: row.cluster,
            playbook: row.playbook,
            version: row.version,
            state: row.state,
            task: row.task,
            requester: row.requester,
            inputs: serde_json::from_str(&row.inputs).unwrap_or_default(),
            started: times::rfc3339(row.started_us),
            finished: row.finished_us.map(times::rfc3339),
            error: row.error,
        }
    }
}

async fn runs(call: Call<ListQuery>) -> Result<Json<Runs>, Problem> {
    let query = &call.query;
    let before = query.before.unwrap_or(i64::MAX);
    let rows = call.app.store.runs((&query.cluster, &query.state), before, query.limit()).await?;
    Ok(Json(Runs { runs: rows.into_iter().map(Run::from).collect() }))
}

/// A run with its steps.
#[derive(JsonSchema, Serialize)]
struct RunDetail {
    /// The run.
    run: Run,
    /// What it did, in order.
    steps: Vec<Step>,
}

/// A task that was done once.
#[derive(JsonSchema, Serialize)]
struct Step {
    /// From 1.
    number: i64,
    /// The task.
    task: String,
    /// `running`, `waiting`, `failed` or `done`.
    state: String,
    /// What it was told.
    inputs: Value,
    /// What came of it.
    outputs: Value,
    /// Since when.
    started: String,
    /// Until when.
    finished: Option<String>,
    /// Why it failed.
    error: String,
}

impl From<StepRow> for Step {
    fn from(row: StepRow) -> Self {
        Self {
            number: row.number,
            task: row.task,
            state: row.state,
            inputs: serde_json::from_str(&row.inputs).unwrap_or_default(),
            outputs: serde_json::from_str(&row.outputs).unwrap_or_default(),
            started: times::rfc3339(row.started_us),
            finished: row.finished_us.map(times::rfc3339),
            error: row.error,
        }
    }
}

fn number<Q, B>(call: &Call<Q, B>) -> Result<i64, Problem> {
    i64::try_from(call.number("id")?).map_err(|_| Problem::not_found("there is no such number"))
}

async fn one_run(call: Call) -> Result<Json<RunDetail>, Problem> {
    let id = number(&call)?;
    let run = call.app.store.run(id).await?.ok_or_else(|| Problem::not_found(format!("run {id} not found")))?;
    let steps = call.app.store.steps(id).await?.into_iter().map(Step::from).collect();
    Ok(Json(RunDetail { run: run.into(), steps }))
}

/// What is to be run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StartBody {
    /// The playbook.
    playbook: String,
    /// The cluster; none when absent.
    #[serde(default)]
    cluster: String,
    /// What it is told: `run.NAME` in the playbook. `rollback` wants `version`, of the configuration.
    #[serde(default)]
    inputs: Map<String, Value>,
}

/// A run that was made.
#[derive(JsonSchema, Serialize)]
struct Started {
    /// Its number.
    run: i64,
}

async fn start(call: Call<Nothing, StartBody>) -> Result<Accepted<Started>, Problem> {
    let StartBody { playbook, cluster, inputs } = call.body;
    let run = orders::start(&call.app, &call.caller, Start { playbook, cluster, inputs }).await?;
    Ok(Accepted(Started { run }))
}

/// For which cluster.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TriggerQuery {
    /// The cluster; none when absent.
    #[serde(default)]
    cluster: String,
}

async fn trigger(call: Call<TriggerQuery, Value>) -> Result<Accepted<Started>, Problem> {
    let playbook = call.name("name").to_owned();
    let inputs = Map::from_iter([("data".to_owned(), call.body)]);
    let start = Start { playbook, cluster: call.query.cluster, inputs };
    let run = orders::start(&call.app, &call.caller, start).await?;
    Ok(Accepted(Started { run }))
}

/// What is said about a decision.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DecisionBody {
    /// Why.
    #[serde(default)]
    comment: String,
}

async fn approve(call: Call<Nothing, DecisionBody>) -> Result<Done, Problem> {
    orders::decide(&call.app, &call.caller, number(&call)?, true, &call.body.comment).await?;
    Ok(Done)
}

async fn reject(call: Call<Nothing, DecisionBody>) -> Result<Done, Problem> {
    orders::decide(&call.app, &call.caller, number(&call)?, false, &call.body.comment).await?;
    Ok(Done)
}

/// Where a run goes on.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RerunBody {
    /// The task; the one that failed when absent.
    task: Option<String>,
}

async fn rerun(call: Call<Nothing, RerunBody>) -> Result<Done, Problem> {
    orders::rerun(&call.app, &call.caller, number(&call)?, call.body.task.as_deref()).await?;
    Ok(Done)
}

/// Incidents.
#[derive(JsonSchema, Serialize)]
struct Incidents {
    /// The newest first.
    incidents: Vec<Incident>,
}

/// An incident.
#[derive(JsonSchema, Serialize)]
struct Incident {
    /// Its number.
    id: i64,
    /// The cluster.
    cluster: String,
    /// `policy-created`, `policy-changed`, `policy-deleted`, `cluster-changed` or `drift`.
    r#type: String,
    /// `info`, `warning` or `error`.
    severity: String,
    /// `open`, `waiting`, `failed` or `closed`.
    status: String,
    /// Who takes care of it.
    owner: String,
    /// What it is about.
    subject: String,
    /// What is to be known.
    message: String,
    /// The run that answers it.
    run: Option<i64>,
    /// Since when.
    opened: String,
    /// Until when.
    closed: Option<String>,
}

impl From<IncidentRow> for Incident {
    fn from(row: IncidentRow) -> Self {
        Self {
            id: row.id,
            cluster: row.cluster,
            r#type: row.r#type,
            severity: row.severity,
            status: row.status,
            owner: row.owner,
            subject: row.subject,
            message: row.message,
            run: Some(row.run).filter(|run| *run != 0),
            opened: times::rfc3339(row.opened_us),
            closed: row.closed_us.map(times::rfc3339),
        }
    }
}

async fn incidents(call: Call<ListQuery>) -> Result<Json<Incidents>, Problem> {
    let query = &call.query;
    let before = query.before.unwrap_or(i64::MAX);
    let rows = call.app.store.incidents((&query.cluster, &query.state), before, query.limit()).await?;
    Ok(Json(Incidents { incidents: rows.into_iter().map(Incident::from).collect() }))
}

/// An incident with its timeline.
#[derive(JsonSchema, Serialize)]
struct IncidentDetail {
    /// The incident.
    incident: Incident,
    /// What was done and said, in order: what its run did, and people.
    timeline: Vec<Line>,
}

/// A line of a timeline.
#[derive(JsonSchema, PartialEq, PartialOrd, Serialize)]
struct Line {
    /// When.
    time: String,
    /// Who; `automation` for runs.
    who: String,
    /// `comment`, `owner`, `severity`, `status`, or `task` of a run.
    kind: String,
    /// What was said, or what became of it.
    text: String,
}

async fn one_incident(call: Call) -> Result<Json<IncidentDetail>, Problem> {
    let (id, store) = (number(&call)?, &call.app.store);
    let incident = store.incident(id).await?;
    let incident = incident.ok_or_else(|| Problem::not_found(format!("incident {id} not found")))?;
    let mut lines: Vec<(i64, Line)> = Vec::new();
    for step in store.steps(incident.run).await? {
        let text = match step.error.as_str() {
            "" => format!("{} {}", step.task, step.state),
            error => format!("{} {}: {error}", step.task, step.state),
        };
        let time_us = step.finished_us.unwrap_or(step.started_us);
        let time = times::rfc3339(time_us);
        lines.push((time_us, Line { time, who: "automation".to_owned(), kind: "task".to_owned(), text }));
    }
    for row in store.timeline(id).await? {
        let time = times::rfc3339(row.time_us);
        lines.push((row.time_us, Line { time, who: row.who, kind: row.kind, text: row.text }));
    }
    lines.sort_by_key(|(time_us, _)| *time_us);
    let timeline = lines.into_iter().map(|(_, line)| line).collect();
    Ok(Json(IncidentDetail { incident: incident.into(), timeline }))
}

/// What is said of an incident, or made of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RemarkBody {
    /// Something to be read.
    comment: Option<String>,
    /// Who takes care of it; empty for nobody.
    owner: Option<String>,
    /// `info`, `warning` or `error`.
    severity: Option<String>,
    /// `open` or `closed`.
    status: Option<String>,
}

async fn remark(call: Call<Nothing, RemarkBody>) -> Result<Json<Incident>, Problem> {
    let id = number(&call)?;
    let RemarkBody { comment, owner, severity, status } = call.body;
    let remark = Remark { comment, owner, severity, status };
    Ok(Json(orders::remark(&call.app, &call.caller, id, &remark).await?.into()))
}

/// Playbooks.
#[derive(JsonSchema, Serialize)]
struct PlaybookList {
    /// By name, or the versions of one, the newest first.
    playbooks: Vec<PlaybookVersion>,
}

/// A version of a playbook.
#[derive(JsonSchema, Serialize)]
struct PlaybookVersion {
    /// Its name.
    name: String,
    /// From 1.
    version: i64,
    /// Who wrote it; nobody when it is the program's.
    author: Option<String>,
    /// Since when.
    time: String,
    /// YAML.
    text: String,
    /// What it is for.
    description: String,
    /// The graph: the first task first, each behind one that leads to it.
    tasks: Vec<PlaybookTask>,
}

/// A task of a playbook.
#[derive(JsonSchema, Serialize)]
struct PlaybookTask {
    /// Its name.
    name: String,
    /// `run`, `choose`, `ask` or `end`.
    kind: String,
    /// The action, what is asked, or how it ends; empty for a choice.
    what: String,
    /// What it is done for each of; nothing when it is done once.
    for_each: Option<String>,
    /// Ways out, in the order in which they are tried.
    ways: Vec<TaskWay>,
}

/// A way from a task to another one.
#[derive(JsonSchema, Serialize)]
struct TaskWay {
    /// The task.
    to: String,
    /// When it is taken: a condition, `rejected`, `failed`, or empty for always.
    when: String,
}

impl PlaybookTask {
    fn of(name: &str, task: &Task) -> Self {
        let (kind, what, for_each) = match &task.what {
            What::Run { action, for_each, .. } => ("run", action.clone(), for_each.clone()),
            What::Choose(_) => ("choose", String::new(), None),
            What::Ask { text, .. } => ("ask", text.clone(), None),
            What::End(Ending::Succeeded) => ("end", "succeeded".to_owned(), None),
            What::End(Ending::Failed) => ("end", "failed".to_owned(), None),
            What::End(Ending::Rejected) => ("end", "rejected".to_owned(), None),
        };
        let ways = task.ways().into_iter().map(|Way { to, when }| TaskWay { to, when }).collect();
        Self { name: name.to_owned(), kind: kind.to_owned(), what, for_each, ways }
    }
}

impl From<PlaybookRow> for PlaybookVersion {
    fn from(row: PlaybookRow) -> Self {
        // What stands in the store was read before it was let in.
        let playbook = read_as(&row.name, &row.text).ok();
        let tasks = playbook.iter().flat_map(|playbook| {
            playbook.in_order().into_iter().map(|name| PlaybookTask::of(name, &playbook.tasks[name]))
        });
        Self {
            tasks: tasks.collect(),
            description: playbook.map(|playbook| playbook.description).unwrap_or_default(),
            name: row.name,
            version: row.version,
            author: Some(row.author).filter(|author| !author.is_empty()),
            time: times::rfc3339(row.time_us),
            text: row.text,
        }
    }
}

async fn playbooks(call: Call) -> Result<Json<PlaybookList>, Problem> {
    let rows = call.app.store.playbooks().await?;
    Ok(Json(PlaybookList { playbooks: rows.into_iter().map(PlaybookVersion::from).collect() }))
}

async fn one_playbook(call: Call) -> Result<Json<PlaybookList>, Problem> {
    let rows = call.app.store.playbook_versions(call.name("name")).await?;
    if rows.is_empty() {
        return Err(Problem::not_found(format!("there is no playbook `{}`", call.name("name"))));
    }
    Ok(Json(PlaybookList { playbooks: rows.into_iter().map(PlaybookVersion::from).collect() }))
}

/// A playbook as it is to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WriteBody {
    /// YAML.
    text: String,
}

/// A version that was made.
#[derive(JsonSchema, Serialize)]
struct Written {
    /// Its number.
    version: i64,
}

async fn write(call: Call<Nothing, WriteBody>) -> Result<Json<Written>, Problem> {
    let version = orders::write(&call.app, &call.caller, call.name("name"), Some(&call.body.text)).await?;
    Ok(Json(Written { version }))
}

async fn restore(call: Call) -> Result<Json<Written>, Problem> {
    let version = orders::write(&call.app, &call.caller, call.name("name"), None).await?;
    Ok(Json(Written { version }))
}

/// That something changed.
#[derive(JsonSchema, Serialize)]
struct Change {
    /// Counts the changes since the manager was started.
    count: u64,
    /// The newest run.
    run: Option<Run>,
    /// The newest incident.
    incident: Option<Incident>,
}

async fn follow(call: Call) -> Result<Events<Change>, Problem> {
    let cluster = call.name("cluster").to_owned();
    if call.app.automation.cluster(&cluster).is_none() {
        return Err(Problem::not_found(format!("cluster `{cluster}` told no policies")));
    }
    let (sender, changes) = mpsc::channel(1);
    let app = call.app.clone();
    tokio::spawn(async move {
        let mut news = app.automation.follow();
        let mut stop = app.stop.clone();
        loop {
            let count = *news.borrow_and_update();
            let (runs, incidents) = tokio::join!(
                app.store.runs((&cluster, ""), i64::MAX, 1),
                app.store.incidents((&cluster, ""), i64::MAX, 1)
            );
            let run = runs.ok().and_then(|rows| rows.into_iter().next()).map(Run::from);
            let incident = incidents.ok().and_then(|rows| rows.into_iter().next()).map(Incident::from);
            if sender.send(Change { count, run, incident }).await.is_err() {
                return;
            }
            tokio::select! {
                changed = news.changed() => if changed.is_err() { return },
                () = sender.closed() => return,
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    });
    Events::new(ReceiverStream::new(changes))
}
