//! Device groups, templates and stacks, and the pushes that happen by themselves.

use axum::http::Method;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::jobs::JobResult;
use super::problem::Problem;
use super::route::{Access, Call, Json, Nothing, Route};
use crate::accounts::Right;
use crate::schedules;
use crate::store::from_db;
use crate::times;
use crate::topology::Topology;
use crate::xmlapi::files::{bring_variables, variable_table};

/// Times of the past that are shown of one schedule.
const RUNS_MAX: usize = 100;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/device-groups",
            Access::Command("show devicegroups"),
            "Device groups and their parents",
            groups,
        ),
        Route::new(Method::GET, "/templates", Access::Command("show templates"), "Templates and stacks", templates),
        Route::new(
            Method::GET,
            "/template-stacks/{name}/variables",
            Access::Config("get"),
            "The values that the devices of a stack have for its variables, as a table",
            variables,
        ),
        Route::new(
            Method::PUT,
            "/template-stacks/{name}/variables",
            Access::Config("set"),
            "Give the devices of a stack the values of a table",
            set_variables,
        ),
        Route::new(
            Method::GET,
            "/schedules",
            Access::Command("show scheduled-config-push"),
            "Scheduled pushes of the running configuration",
            schedules,
        ),
    ]
}

/// Device groups.
#[derive(JsonSchema, Serialize)]
struct Groups {
    /// In the order of the candidate.
    groups: Vec<Group>,
}

/// A device group.
#[derive(JsonSchema, Serialize)]
struct Group {
    /// Name.
    name: String,
    /// The group above it; without one it is below Shared.
    parent: Option<String>,
    /// Serial numbers of its own devices.
    devices: Vec<String>,
}

async fn groups(call: Call) -> Result<Json<Groups>, Problem> {
    let reach = call.caller.role.reach(Right::Operate);
    let topology = Topology::read(&call.app.configuration.snapshot().candidate).within(reach.as_ref());
    let group =
        |group: crate::topology::DeviceGroup| Group { name: group.name, parent: group.parent, devices: group.devices };
    Ok(Json(Groups { groups: topology.groups.into_iter().map(group).collect() }))
}

/// Templates and stacks.
#[derive(JsonSchema, Serialize)]
struct Templates {
    /// Names of the templates.
    templates: Vec<String>,
    /// The stacks.
    stacks: Vec<Stack>,
}

/// A template stack.
#[derive(JsonSchema, Serialize)]
struct Stack {
    /// Name.
    name: String,
    /// Its templates, the winning one first.
    templates: Vec<String>,
    /// Serial numbers of its devices.
    devices: Vec<String>,
}

async fn templates(call: Call) -> Result<Json<Templates>, Problem> {
    let reach = call.caller.role.reach(Right::Operate);
    let topology = Topology::read(&call.app.configuration.snapshot().candidate).within(reach.as_ref());
    let stack = |stack: crate::topology::TemplateStack| Stack {
        name: stack.name,
        templates: stack.templates,
        devices: stack.devices,
    };
    Ok(Json(Templates { templates: topology.templates, stacks: topology.stacks.into_iter().map(stack).collect() }))
}

/// The table of a stack's variables.
#[derive(Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
struct VariableTable {
    /// Comma-separated values: `serial`, `hostname` and `$name:type` at the heads, a line for each device,
    /// `#inherited#` for a value that is not its own.
    csv: String,
}

async fn variables(call: Call) -> Result<Json<VariableTable>, Problem> {
    let candidate = call.caller.view(&call.app.configuration.snapshot().candidate);
    Ok(Json(VariableTable { csv: variable_table(&call.app, &candidate, call.name("name"))? }))
}

/// What a table did.
#[derive(JsonSchema, Serialize)]
struct VariablesSet {
    /// Values that are others now.
    changed: usize,
}

async fn set_variables(call: Call<Nothing, VariableTable>) -> Result<Json<VariablesSet>, Problem> {
    let changed = bring_variables(&call.app, &call.caller, call.name("name"), &call.body.csv).await?;
    Ok(Json(VariablesSet { changed }))
}

/// Scheduled pushes.
#[derive(JsonSchema, Serialize)]
struct Schedules {
    /// In the order of the configuration.
    schedules: Vec<Schedule>,
}

/// A scheduled push.
#[derive(JsonSchema, Serialize)]
struct Schedule {
    /// Name.
    name: String,
    /// Whether it is only written down.
    disabled: bool,
    /// When it happens next.
    next: Option<String>,
    /// What became of its last times, the newest first.
    history: Vec<Run>,
}

/// One time of a schedule.
#[derive(JsonSchema, Serialize)]
struct Run {
    /// When it was to be.
    due: String,
    /// When it was.
    begun: String,
    /// Its job.
    job: u64,
    /// How that ended; nothing when the job is not kept any more.
    result: Option<JobResult>,
}

async fn schedules(call: Call) -> Result<Json<Schedules>, Problem> {
    let runs = call.app.store.schedule_runs().await?;
    let schedule = |schedule: schedules::Schedule| {
        let history = runs.iter().filter(|run| run.schedule == schedule.name).take(RUNS_MAX).map(|run| Run {
            due: times::rfc3339(run.due_us),
            begun: times::rfc3339(run.begun_us),
            job: from_db(run.job),
            result: call.app.jobs.job(from_db(run.job)).map(|job| job.outcome.into()),
        });
        let next = schedule.next(Timestamp::now()).filter(|_| !schedule.disabled);
        Schedule {
            history: history.collect(),
            next: next.map(|next| next.to_string()),
            disabled: schedule.disabled,
            name: schedule.name,
        }
    };
    let all = schedules::all(&call.app.configuration.snapshot().running);
    Ok(Json(Schedules { schedules: all.into_iter().map(schedule).collect() }))
}
