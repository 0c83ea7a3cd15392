//! How do devices get their configuration?
//!
//! All devices of a push are served at once, a bounded number at a time. Each gets one whole
//! configuration; the part that is not pushed is rendered from the version it has. What a device accepted
//! is recorded only after it says that it enforces exactly that.

use std::collections::BTreeSet;
use std::sync::Arc;

use bartizan_api::fleet::PushResult;
use bartizan_model::diagnostic::Severity;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::commit::lines;
use super::{DeviceResult, Outcome};
use crate::app::App;
use crate::store::devices::{Device, Pushed};
use crate::store::now_us;
use crate::sync::{Rendering, trees};
use crate::topology::Topology;

/// Devices that are rendered for and awaited at once.
const AT_ONCE: usize = 64;
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
}

/// Does it.
pub(super) async fn run(app: &Arc<App>, id: u64, request: PushRequest) {
    let snapshot = app.configuration.snapshot();
    let topology = Topology::read(&snapshot.running);
    let request = Arc::new(request);
    let started = now_us();
    app.jobs.update(id, |job| {
        job.devices = request.devices.iter().map(|serial| waiting(app, &topology, serial, started)).collect();
    });
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut pushes = JoinSet::new();
    for serial in request.devices.clone() {
        let (app, request, places) = (app.clone(), request.clone(), places.clone());
        let version = snapshot.version;
        pushes.spawn(async move {
            let _place = places.acquire().await;
            let end = push(&app, &request, version, &serial).await;
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
    let summary = match (failed, devices.len()) {
        (_, 0) => "no device belongs to what was pushed".to_owned(),
        (0, count) => format!("Version {} on {count} device(s)", snapshot.version),
        (failed, count) => format!("{failed} of {count} device(s) failed"),
    };
    app.jobs.finish(id, outcome, |job| job.details = vec![summary]).await;
}

/// How the push to one device ended.
#[derive(Debug, Default)]
struct End {
    ok: bool,
    errors: Vec<String>,
    warnings: Vec<String>,
    notes: Vec<String>,
}

impl End {
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

async fn push(app: &App, request: &PushRequest, version: u64, serial: &str) -> End {
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
    let (policy, templates) = versions(request, version, &device);
    let (policy_tree, template_tree) = match trees(app, policy, templates).await {
        Ok(trees) => trees,
        Err(error) => return End::failed(format!("{error:#}")),
    };
    let owned = serial.to_owned();
    let rendered = tokio::task::spawn_blocking(move || Rendering::new(&policy_tree, &template_tree, &owned)).await;
    let rendering = match rendered {
        Ok(rendering) => rendering,
        Err(error) => return End::failed(format!("the configuration cannot be rendered: {error}")),
    };
    let diagnostics = rendering.diagnostics();
    let lines = |severity| lines(&diagnostics, severity, LINES_MAX);
    let warnings = [lines(Severity::Warning), lines(Severity::Info)].concat();
    if rendering.is_refused() {
        let mut errors = vec!["Validation Error:".to_owned()];
        errors.extend(lines(Severity::Error));
        return End { errors, warnings, ..End::default() };
    }
    if request.validate_only {
        return End { ok: true, warnings, notes: vec!["Configuration is valid".into()], ..End::default() };
    }
    let sent = match app.fleet.link(serial) {
        Ok(link) => {
            let (text, digest) = (rendering.configuration, rendering.digest.clone());
            link.push(version, text, digest, app.settings.push_timeout).await
        }
        Err(error) => Err(error),
    };
    let result = match sent {
        Ok(result) => result,
        Err(error) => return End { warnings, ..End::failed(error) },
    };
    let pushed = Pushed { serial, policy_version: policy, template_version: templates, digest: &rendering.digest };
    settle(app, &pushed, result, warnings).await
}

/// The first push is of everything, whatever was asked.
fn versions(request: &PushRequest, running: u64, device: &Device) -> (u64, u64) {
    match (device.policy_version(), device.template_version()) {
        (Some(policy), Some(templates)) => {
            (if request.policy { running } else { policy }, if request.templates { running } else { templates })
        }
        _ => (running, running),
    }
}

/// Records what the device says.
async fn settle(app: &App, pushed: &Pushed<'_>, result: PushResult, mut warnings: Vec<String>) -> End {
    let (errors, notes): (Vec<_>, Vec<_>) = result.diagnostics.iter().partition(|diagnostic| diagnostic.error);
    warnings.extend(notes.into_iter().map(device_line));
    warnings.sort();
    warnings.dedup();
    if !result.enforced {
        let mut lines = vec!["client device phase 1 failure".to_owned(), "Commit failed".to_owned()];
        lines.extend(errors.into_iter().map(|error| format!("Error: {}", device_line(error))));
        return End { errors: lines, warnings, ..End::default() };
    }
    if result.digest != pushed.digest {
        let line = format!(
            "the device says it enforces `{}`, which is not what it was sent (`{}`)",
            result.digest, pushed.digest
        );
        return End { warnings, ..End::failed(line) };
    }
    if let Err(error) = app.store.record_push(pushed).await {
        return End {
            warnings,
            ..End::failed(format!("the device enforces it, but that cannot be recorded: {error}"))
        };
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
