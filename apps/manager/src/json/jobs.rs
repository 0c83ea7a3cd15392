//! Jobs: all of them, one of them, and waiting for its end.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::events::Events;
use super::problem::Problem;
use super::route::{Access, Call, Json, Route};
use crate::app::App;
use crate::jobs::{self, DeviceResult, Outcome};
use crate::times;

/// Jobs that are listed when nobody says how many.
const PAGE: usize = 100;
/// The longest wait of one request.
const WAIT_MAX_S: u64 = 300;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/jobs", Access::Command("show jobs"), "Jobs, the newest first", all),
        Route::new(
            Method::GET,
            "/jobs/{id}",
            Access::Command("show jobs"),
            "One job, when it has ended or the wait is over",
            one,
        ),
        Route::new(
            Method::GET,
            "/jobs/{id}/events",
            Access::Command("show jobs"),
            "A job with every change, until it has ended",
            follow,
        ),
    ]
}

/// Which jobs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct JobsQuery {
    /// Only those that have not ended, or that have.
    state: Option<JobFilter>,
    /// Jobs that are left out before the first.
    #[serde(default)]
    offset: usize,
    /// Jobs at most, 100 when absent.
    limit: Option<usize>,
}

/// Which jobs.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum JobFilter {
    /// They wait or are done at this moment.
    Pending,
    /// They have ended.
    Done,
}

/// Some jobs.
#[derive(JsonSchema, Serialize)]
struct JobList {
    /// How many there are.
    total: usize,
    /// A page of them, the newest first, without the lines of devices.
    jobs: Vec<Job>,
}

/// A job.
#[derive(JsonSchema, Serialize)]
pub(super) struct Job {
    /// Its number.
    id: u64,
    /// What it does: `Commit`, `Validate`, `CommitAll` (a push), `ValidateAll`, `RevertConfig` or `Move-DG`.
    kind: String,
    /// Who asked for it.
    user: String,
    /// What the asker wrote about it.
    description: String,
    /// How far it is.
    state: JobState,
    /// How it ended.
    result: JobResult,
    /// 100 only when it has ended.
    progress: usize,
    /// Its place in the queue; 0 when it does not wait.
    position: usize,
    /// Whether it can be cancelled.
    stoppable: bool,
    /// When it was asked for.
    enqueued: String,
    /// When it was begun.
    started: Option<String>,
    /// When it ended.
    finished: Option<String>,
    /// What it did, or why not.
    details: Vec<String>,
    /// What is worth knowing although it went well.
    warnings: Vec<String>,
    /// What a push pushes.
    scope: Option<Scope>,
    /// What became of each device of a push.
    devices: Vec<JobDevice>,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum JobState {
    /// It waits.
    Waiting,
    /// It is being done.
    Running,
    /// It has ended.
    Done,
}

/// How a job, or its part for one device, ended.
#[derive(Clone, Copy, Debug, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum JobResult {
    /// Not yet.
    Pending,
    /// As asked.
    Ok,
    /// Not as asked.
    Failed,
}

/// What a push pushes.
#[derive(JsonSchema, Serialize)]
struct Scope {
    /// `shared-policy`, `template` or `template-stack`.
    kind: String,
    /// Names of the device groups, or of the template or stack.
    name: String,
}

/// What became of one device.
#[derive(JsonSchema, Serialize)]
struct JobDevice {
    /// Its serial number.
    serial: String,
    /// Its host name.
    hostname: String,
    /// Its device group.
    device_group: String,
    /// How it ended.
    result: JobResult,
    /// When it was begun.
    started: String,
    /// When it ended.
    finished: Option<String>,
    /// Why it failed.
    errors: Vec<String>,
    /// What is worth knowing.
    warnings: Vec<String>,
    /// What happened.
    notes: Vec<String>,
}

impl From<Outcome> for JobResult {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Pending => Self::Pending,
            Outcome::Ok => Self::Ok,
            Outcome::Fail => Self::Failed,
        }
    }
}

impl Job {
    /// A job as it is now.
    pub(super) fn of(app: &App, job: &jobs::Job) -> Self {
        Self { devices: job.devices.iter().map(device).collect(), ..Self::summary(app, job) }
    }

    fn summary(app: &App, job: &jobs::Job) -> Self {
        Self {
            id: job.id,
            kind: job.kind.as_str().to_owned(),
            user: job.user.clone(),
            description: job.description.clone(),
            state: match (job.started_us, job.finished_us) {
                (_, Some(_)) => JobState::Done,
                (Some(_), None) => JobState::Running,
                (None, None) => JobState::Waiting,
            },
            result: job.outcome.into(),
            progress: job.progress(),
            position: app.jobs.position(job.id),
            stoppable: job.is_stoppable(),
            enqueued: times::rfc3339(job.enqueued_us),
            started: job.started_us.map(times::rfc3339),
            finished: job.finished_us.map(times::rfc3339),
            details: job.details.clone(),
            warnings: job.warnings.clone(),
            scope: job.scope.as_ref().map(|scope| Scope { kind: scope.push_type.clone(), name: scope.name.clone() }),
            devices: Vec::new(),
        }
    }
}

fn device(device: &DeviceResult) -> JobDevice {
    JobDevice {
        serial: device.serial.clone(),
        hostname: device.hostname.clone(),
        device_group: device.device_group.clone(),
        result: device.outcome.into(),
        started: times::rfc3339(device.started_us),
        finished: device.finished_us.map(times::rfc3339),
        errors: device.errors.clone(),
        warnings: device.warnings.clone(),
        notes: device.notes.clone(),
    }
}

async fn all(call: Call<JobsQuery>) -> Result<Json<JobList>, Problem> {
    let JobsQuery { state, offset, limit } = call.query;
    let jobs: Vec<Arc<jobs::Job>> = call.app.jobs.all();
    let wanted =
        |job: &&Arc<jobs::Job>| state.is_none_or(|state| job.finished_us.is_some() == (state == JobFilter::Done));
    let jobs: Vec<_> = jobs.iter().filter(wanted).collect();
    let page = jobs.iter().skip(offset).take(limit.unwrap_or(PAGE)).map(|job| Job::summary(&call.app, job));
    Ok(Json(JobList { total: jobs.len(), jobs: page.collect() }))
}

/// How long to wait.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WaitQuery {
    /// Seconds that the answer may wait for the end of the job, at most 300; 0 when absent.
    #[serde(default)]
    wait: u64,
}

async fn one(call: Call<WaitQuery>) -> Result<Json<Job>, Problem> {
    let id = call.number("id")?;
    let job = wait(&call.app, id, call.query.wait).await;
    let job = job.ok_or_else(|| Problem::not_found(format!("job {id} not found")))?;
    Ok(Json(Job::of(&call.app, &job)))
}

async fn follow(call: Call) -> Result<Events<Job>, Problem> {
    let id = call.number("id")?;
    if call.app.jobs.job(id).is_none() {
        return Err(Problem::not_found(format!("job {id} not found")));
    }
    let (sender, jobs) = mpsc::channel(1);
    let app = call.app.clone();
    tokio::spawn(async move {
        let mut changes = app.jobs.changes();
        let mut stop = app.stop.clone();
        let mut last = None;
        while let Some(job) = app.jobs.job(id) {
            // Changes of other jobs are not told.
            if last.as_ref().is_none_or(|last| !Arc::ptr_eq(last, &job)) {
                if sender.send(Job::of(&app, &job)).await.is_err() || job.finished_us.is_some() {
                    return;
                }
                last = Some(job);
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = sender.closed() => return,
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    });
    Events::new(ReceiverStream::new(jobs))
}

/// The job, as soon as it has ended or the time is over.
pub(super) async fn wait(app: &App, id: u64, wait_s: u64) -> Option<Arc<jobs::Job>> {
    let patience = Duration::from_secs(wait_s.min(WAIT_MAX_S));
    let mut changes = app.jobs.changes();
    let mut stop = app.stop.clone();
    let ended = async {
        loop {
            let job = app.jobs.job(id);
            if job.as_ref().is_none_or(|job| job.finished_us.is_some()) || changes.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = ended => {}
        () = tokio::time::sleep(patience) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    app.jobs.job(id)
}
