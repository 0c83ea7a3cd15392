//! How do devices get their configuration?
//!
//! All devices of a push are served at once, a bounded number at a time. Each gets one whole
//! configuration; the part that is not pushed is rendered from the version it has. A push is final when the
//! device says that it enforces exactly that and, unless its configuration says otherwise, when it has reached
//! this manager anew under it: until then it may go back by itself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bartizan_api::fleet::{Push, PushResult};
use bartizan_model::diagnostic::Severity;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;

use super::commit::lines;
use super::{DeviceResult, Outcome};
use crate::accounts::Caller;
use crate::app::App;
use crate::approvals;
use crate::fleet::verdict::Verdict;
use crate::fleet::{Link, LinkError};
use crate::forwarding;
use crate::selective::Selective;
use crate::store::devices::Device;
use crate::store::pending::PendingPush;
use crate::store::pushes::Pushed;
use crate::store::{now_us, to_db};
use crate::sync::plan;
use crate::topology::Topology;

/// Devices that are rendered for and sent to at once; one that has yet to confirm does not count.
const AT_ONCE: usize = 64;
/// How long the answer of a device may come after its confirmation.
const ANSWER_AFTER_VERDICT: Duration = Duration::from_secs(2);
/// Lines of errors, and of warnings, that a job keeps of one device.
const LINES_MAX: usize = 100;

/// What is to be pushed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PushRequest {
    /// To whom.
    pub(crate) devices: BTreeSet<String>,
    /// The device groups' part: rules and objects.
    pub(crate) policy: bool,
    /// The stacks' part: network and device settings.
    pub(crate) templates: bool,
    /// Only render and check.
    pub(crate) validate_only: bool,
    /// The job whose push it brings to an end, and the version of that. Devices that were pushed something newer since
    /// are left alone.
    pub(crate) goes_on_with: Option<(u64, u64)>,
    /// Only the edits of these; of everybody when empty.
    pub(crate) admins: BTreeSet<String>,
    /// Who asks for it at this moment.
    pub(crate) caller: Option<Caller>,
}

/// Does it.
pub(super) async fn run(app: &Arc<App>, id: u64, request: PushRequest) {
    let snapshot = app.configuration.snapshot();
    let topology = Topology::read(&snapshot.running);
    let version = request.goes_on_with.map_or(snapshot.version, |(_, version)| version);
    let approval = match approvals::for_push(app, &request, version).await {
        Ok(Ok(approval)) => approval,
        Ok(Err(lines)) => return app.jobs.finish(id, Outcome::Fail, |job| job.details = lines).await,
        Err(error) => {
            let line = format!("whether the push needs an approval cannot be told: {error:#}");
            return app.jobs.finish(id, Outcome::Fail, |job| job.details = vec![line]).await;
        }
    };
    let request = match begin(app, id, request, version).await {
        Ok(request) => Arc::new(request),
        Err(error) => {
            let line = format!("the push cannot be recorded: {error}");
            return app.jobs.finish(id, Outcome::Fail, |job| job.details = vec![line]).await;
        }
    };
    let started = now_us();
    app.jobs.update(id, |job| {
        job.devices = request.devices.iter().map(|serial| waiting(app, &topology, serial, started)).collect();
    });
    let selective = Arc::new(Selective::new(request.admins.clone(), version));
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut pushes = JoinSet::new();
    for serial in request.devices.clone() {
        let (app, request, places) = (app.clone(), request.clone(), places.clone());
        let selective = selective.clone();
        pushes.spawn(async move {
            // Nobody closes the semaphore.
            let place = places.acquire_owned().await.ok();
            let end = match app.jobs.stopped_by(id) {
                Some(who) => {
                    let reason = format!("cancelled by {who}: nothing was sent to this device");
                    End { is_done: true, ..End::failed(reason) }
                }
                None => push((&app, id), &request, (version, &selective), &serial, place).await,
            };
            let end = settle_pending(&app, id, &request, version, &serial, end).await;
            app.jobs.update(id, |job| {
                if let Some(device) = job.devices.iter_mut().find(|device| device.serial == serial) {
                    end.fill(device);
                }
            });
        });
    }
    while let Some(joined) = pushes.join_next().await {
        if let Err(error) = joined {
            tracing::error!(%error, "a push to a device ended unexpectedly");
        }
    }
    let devices = app.jobs.job(id).map(|job| job.devices.clone()).unwrap_or_default();
    let failed = devices.iter().filter(|device| device.outcome != Outcome::Ok).count();
    let outcome = if failed == 0 { Outcome::Ok } else { Outcome::Fail };
    let who = request.admins.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let summary = match (failed, devices.len()) {
        (_, 0) => "no device belongs to what was pushed".to_owned(),
        (0, count) if who.is_empty() => format!("Version {version} on {count} device(s)"),
        (0, count) => format!("The edits of {who} up to version {version} on {count} device(s)"),
        (failed, count) => format!("{failed} of {count} device(s) failed"),
    };
    if let Some(approval) = approval.filter(|_| outcome == Outcome::Ok)
        && let Err(error) = app.store.use_approval(approval).await
    {
        tracing::error!(%error, approval, "an approval stays that was used");
    }
    app.jobs.finish(id, outcome, |job| job.details = vec![summary]).await;
    // Who came while the job was under way was not told of what it left.
    for device in devices.iter().filter(|device| device.outcome != Outcome::Ok) {
        if app.fleet.link(&device.serial).is_ok_and(|link| link.since_us > started) {
            app.fleet.arrivals.add(&device.serial);
        }
    }
}

/// How the push to one device ended.
#[derive(Debug, Default)]
struct End {
    ok: bool,
    errors: Vec<String>,
    warnings: Vec<String>,
    notes: Vec<String>,
    /// The device has it, or said that it does not want it.
    is_done: bool,
}

/// Writes down that all of them are to get it. Of those that another job left, the ones that are still to get that.
async fn begin(app: &App, id: u64, mut request: PushRequest, version: u64) -> sqlx::Result<PushRequest> {
    if request.validate_only {
        return Ok(request);
    }
    if let Some((job, _)) = request.goes_on_with {
        let pending = app.store.pending_pushes().await?;
        let left = pending.into_iter().filter(|push| push.job == to_db(job)).map(|push| push.serial);
        let left: BTreeSet<String> = left.collect();
        request.devices.retain(|serial| left.contains(serial));
    }
    let admin = app.jobs.job(id).map(|job| job.user.clone()).unwrap_or_default();
    let push = PendingPush {
        serial: String::new(),
        job: to_db(id),
        version: to_db(version),
        policy: request.policy.into(),
        templates: request.templates.into(),
        admin,
        time_us: 0,
        of_admins: match request.admins.is_empty() {
            true => String::new(),
            false => serde_json::to_string(&request.admins).unwrap_or_default(),
        },
    };
    app.store.note_pending(&request.devices.iter().collect::<Vec<_>>(), &push).await?;
    Ok(request)
}

/// A device that has it, or will not have it, is to get it no more; of any other the job says that it is.
async fn settle_pending(app: &App, id: u64, request: &PushRequest, version: u64, serial: &str, mut end: End) -> End {
    if request.validate_only {
        return end;
    }
    // What stands was taken off the list when that was written down.
    if end.ok {
        return end;
    }
    if end.is_done {
        if let Err(error) = app.store.forget_pending(serial, id).await {
            tracing::error!(%error, serial, "a push stays pending that is done");
        }
        return end;
    }
    if app.store.pending_push(serial).await.is_ok_and(|push| push.is_some_and(|push| push.job == to_db(id))) {
        end.errors.push(format!(
            "version {version} is pending: the device gets it when it is connected again, unless job {id} is cleared \
             or it is pushed something else"
        ));
    }
    end
}

impl End {
    /// With these errors, and nothing more to be tried.
    fn refused(errors: Vec<String>, warnings: Vec<String>) -> Self {
        Self { errors, warnings, is_done: true, ..Self::default() }
    }

    fn failed(reason: impl ToString) -> Self {
        Self { errors: vec![reason.to_string()], ..Self::default() }
    }

    fn fill(self, device: &mut DeviceResult) {
        device.outcome = if self.ok { Outcome::Ok } else { Outcome::Fail };
        device.finished_us = Some(now_us());
        device.errors = self.errors;
        device.warnings = self.warnings;
        device.notes = self.notes;
    }
}

async fn push(
    (app, id): (&App, u64),
    request: &PushRequest,
    (version, selective): (u64, &Selective),
    serial: &str,
    place: Option<OwnedSemaphorePermit>,
) -> End {
    let device = match app.store.device(serial).await {
        Ok(Some(device)) => device,
        Ok(None) => return End::failed(format!("{serial} not connected: it never enrolled with this manager")),
        Err(error) => return End::failed(format!("the inventory cannot be read: {error}")),
    };
    if !request.validate_only
        && let Err(error) = app.fleet.link(serial)
    {
        return End::failed(error);
    }
    let (policy, templates) = match versions(app, request, (version, selective), &device).await {
        Ok(versions) => versions,
        Err(lines) => return End::refused(lines, Vec::new()),
    };
    let plan = match plan(app, policy, templates).await {
        Ok(plan) => plan,
        Err(error) => return End::refused(vec![format!("{error:#}")], Vec::new()),
    };
    let owned = serial.to_owned();
    let rendering = match tokio::task::spawn_blocking(move || plan.rendering(&owned)).await {
        Ok(rendering) => rendering,
        Err(error) => return End::failed(format!("the configuration cannot be rendered: {error}")),
    };
    let mut diagnostics = rendering.diagnostics();
    diagnostics.retain(|diagnostic| !forwarding::plan::is_done(diagnostic));
    let lines = |severity| lines(&diagnostics, severity, LINES_MAX);
    let warnings = [lines(Severity::Warning), lines(Severity::Info)].concat();
    if rendering.is_refused() {
        let mut errors = vec!["Validation Error:".to_owned()];
        errors.extend(lines(Severity::Error));
        return End::refused(errors, warnings);
    }
    if request.validate_only {
        return End { ok: true, warnings, notes: vec!["Configuration is valid".into()], ..End::default() };
    }
    let link = match app.fleet.link(serial) {
        Ok(link) => link,
        Err(error) => return End { warnings, ..End::failed(error) },
    };
    let push_id = link.number();
    let (policy_version, template_version) = (policy, templates);
    let pushed = Pushed { serial, job: id, push_id, policy_version, template_version, digest: &rendering.digest };
    if let Err(error) = app.store.begin_push(&pushed).await {
        return End { warnings, ..End::failed(format!("the push cannot be recorded: {error}")) };
    }
    let verdict = app.fleet.verdicts.expect(serial, push_id, &rendering.digest);
    let configuration = rendering.configuration.clone();
    let message = Push { id: push_id, configuration, digest: rendering.digest.clone(), version };
    let (answer, verdict) = send(app, &link, message, verdict).await;
    drop(place);
    let patience = rendering.recovery.window() + app.settings.confirm_grace;
    let verdict = match verdict {
        Ok(verdict) => Some(verdict),
        Err(verdict) => match &answer {
            // It is final, or was never in force.
            Ok(result) if result.confirm_window_s == 0 => None,
            // Whether it is in force is known when the device is back.
            Ok(_) | Err(LinkError::Disconnected(_) | LinkError::Timeout { .. }) if rendering.recovery.enabled => {
                tokio::time::timeout(patience, verdict).await.ok().and_then(Result::ok)
            }
            Ok(_) | Err(_) => None,
        },
    };
    settle(app, &pushed, answer, verdict, warnings).await
}

/// Sends, and waits for the answer or the verdict: whoever is cut off by the push does not answer, and a
/// confirmation takes another way than the answer.
async fn send(
    app: &App,
    link: &Link,
    message: Push,
    mut verdict: oneshot::Receiver<Verdict>,
) -> (Result<PushResult, LinkError>, Result<Verdict, oneshot::Receiver<Verdict>>) {
    let mut answer = std::pin::pin!(link.push(message, app.settings.push_timeout));
    tokio::select! {
        answer = &mut answer => (answer, Err(verdict)),
        Ok(early) = &mut verdict => {
            let late = || Err(LinkError::Disconnected(link.hello.serial.clone()));
            (tokio::time::timeout(ANSWER_AFTER_VERDICT, answer).await.unwrap_or_else(|_| late()), Ok(early))
        }
    }
}

/// What the device is to have. The first push is of everything, whatever was asked.
async fn versions(
    app: &App,
    request: &PushRequest,
    (running, selective): (u64, &Selective),
    device: &Device,
) -> Result<(u64, u64), Vec<String>> {
    let (Some(policy), Some(templates)) = (device.policy_version(), device.template_version()) else {
        if request.admins.is_empty() {
            return Ok((running, running));
        }
        let line = "Selective push is blocked since the device was never pushed, please perform a full push";
        return Err(vec![line.to_owned()]);
    };
    let mut parts = [policy, templates];
    for (part, is_pushed) in parts.iter_mut().zip([request.policy, request.templates]) {
        if is_pushed {
            *part = if request.admins.is_empty() { running } else { selective.onto(app, *part).await? };
        }
    }
    Ok(parts.into())
}

/// Records what the device says.
async fn settle(
    app: &App,
    pushed: &Pushed<'_>,
    answer: Result<PushResult, LinkError>,
    verdict: Option<Verdict>,
    mut warnings: Vec<String>,
) -> End {
    let result = match (answer, verdict) {
        (_, Some(Verdict::Reverted(reason))) => {
            let line = format!("the device reverted to the configuration of before: {reason}");
            return End::refused(vec!["Commit failed".to_owned(), line], warnings);
        }
        (Ok(result), Some(Verdict::Confirmed)) => Ok(result),
        (Err(_), Some(Verdict::Confirmed)) => {
            let notes = vec!["Configuration committed successfully".to_owned()];
            return End { ok: true, warnings, notes, ..End::default() };
        }
        (Ok(result), None) if result.enforced && result.confirm_window_s > 0 => {
            let line = format!(
                "the device enforces it, but did not confirm that it reaches this manager within {} s: it reverts by itself",
                result.confirm_window_s
            );
            return End::refused(vec![line], warnings);
        }
        (answer, _) => answer,
    };
    let result = match result {
        Ok(result) => result,
        Err(error) => return End { warnings, ..End::failed(error) },
    };
    let (errors, notes): (Vec<_>, Vec<_>) = result.diagnostics.iter().partition(|diagnostic| diagnostic.error);
    let notes = notes.into_iter().filter(|note| !forwarding::plan::is_managers(&note.code, &note.xpath));
    warnings.extend(notes.map(device_line));
    warnings.sort();
    warnings.dedup();
    if !result.enforced {
        let mut lines = vec!["client device phase 1 failure".to_owned(), "Commit failed".to_owned()];
        lines.extend(errors.into_iter().map(|error| format!("Error: {}", device_line(error))));
        return End::refused(lines, warnings);
    }
    if result.digest != pushed.digest {
        let line = format!(
            "the device says it enforces `{}`, which is not what it was sent (`{}`)",
            result.digest, pushed.digest
        );
        return End::refused(vec![line], warnings);
    }
    // Of no effect when it was confirmed before.
    if let Err(error) = app.store.confirm_push(pushed.serial, pushed.push_id, pushed.digest).await {
        let line = format!("the device enforces it, but that cannot be recorded: {error}");
        return End { warnings, ..End::failed(line) };
    }
    let note = format!("Configuration committed successfully; in force after {} us", result.swap_us);
    End { ok: true, warnings, notes: vec![note], ..End::default() }
}

fn device_line(diagnostic: &bartizan_api::fleet::Diagnostic) -> String {
    let mut line = format!(" {} [{}]", diagnostic.message, diagnostic.code);
    for (before, text) in [(" --> ", &diagnostic.xpath), (" from ", &diagnostic.owner), ("; help: ", &diagnostic.help)]
    {
        if !text.is_empty() {
            line = format!("{line}{before}{text}");
        }
    }
    line
}

fn waiting(app: &App, topology: &Topology, serial: &str, started_us: i64) -> DeviceResult {
    DeviceResult {
        serial: serial.to_owned(),
        hostname: app.fleet.link(serial).map_or_else(|_| serial.to_owned(), |link| link.hello.hostname.clone()),
        device_group: topology.group_of(serial).unwrap_or_default().to_owned(),
        outcome: Outcome::Pending,
        started_us,
        finished_us: None,
        errors: Vec::new(),
        warnings: Vec::new(),
        notes: Vec::new(),
    }
}
