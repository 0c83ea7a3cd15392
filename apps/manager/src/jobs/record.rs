//! What is known of one job, and how is it shown?
//!
//! Clients index into the answer: every key is always there, empty when there is nothing to say.

use bartizan_model::tree::Element;
use serde::{Deserialize, Serialize};

use crate::store::now_us;
use crate::times;
use crate::xmlapi::element::{Build as _, element, leaf};

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum JobKind {
    /// The candidate becomes the running configuration.
    Commit,
    /// The candidate is only checked.
    Validate,
    /// Devices get their configuration.
    CommitAll,
    /// Devices' configurations are only rendered and checked.
    ValidateAll,
    /// The candidate was thrown away or replaced.
    RevertConfig,
    /// A device group was moved in the hierarchy.
    MoveDeviceGroup,
}

/// How a job, or its part for one device, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// Not yet.
    Pending,
    /// As asked.
    Ok,
    /// Not as asked; the details say why.
    Fail,
}

/// What a push job pushes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PushScope {
    /// `shared-policy`, `template` or `template-stack`.
    pub(crate) push_type: String,
    /// Device groups, the template or the stack.
    pub(crate) name: String,
}

/// A push job's part for one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeviceResult {
    /// Which device.
    pub(crate) serial: String,
    /// Its host name, as far as it is known.
    pub(crate) hostname: String,
    /// Its device group, as far as it has one.
    pub(crate) device_group: String,
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// Start of the push to this device.
    pub(crate) started_us: i64,
    /// Its end.
    pub(crate) finished_us: Option<i64>,
    /// What went wrong, a line each.
    pub(crate) errors: Vec<String>,
    /// What the device or the rendering notes.
    pub(crate) warnings: Vec<String>,
    /// What went well.
    pub(crate) notes: Vec<String>,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Job {
    /// Number.
    pub(crate) id: u64,
    /// What it does.
    pub(crate) kind: JobKind,
    /// Who asked for it.
    pub(crate) user: String,
    /// What the asker wrote about it.
    pub(crate) description: String,
    /// When it was asked for.
    pub(crate) enqueued_us: i64,
    /// When it was begun.
    pub(crate) started_us: Option<i64>,
    /// When it was done.
    pub(crate) finished_us: Option<i64>,
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// What it did.
    pub(crate) details: Vec<String>,
    /// What is worth knowing although it went well.
    pub(crate) warnings: Vec<String>,
    /// What a push pushes.
    pub(crate) scope: Option<PushScope>,
    /// A push's devices.
    pub(crate) devices: Vec<DeviceResult>,
    /// A commit is checked, and being put in force.
    #[serde(default)]
    pub(crate) is_final: bool,
}

impl JobKind {
    /// As PAN-OS calls it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "Commit",
            Self::Validate => "Validate",
            Self::CommitAll => "CommitAll",
            Self::ValidateAll => "ValidateAll",
            Self::RevertConfig => "RevertConfig",
            Self::MoveDeviceGroup => "Move-DG",
        }
    }

    /// Whether only one such job may be under way.
    pub(crate) fn is_commit(self) -> bool {
        matches!(self, Self::Commit | Self::Validate)
    }

    /// Whether it is for devices.
    pub(crate) fn is_push(self) -> bool {
        matches!(self, Self::CommitAll | Self::ValidateAll)
    }
}

impl Outcome {
    /// As PAN-OS calls it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PEND",
            Self::Ok => "OK",
            Self::Fail => "FAIL",
        }
    }
}

impl Job {
    /// A job that waits. Its number comes with storing it.
    pub(crate) fn new(kind: JobKind, user: &str, description: &str, scope: Option<PushScope>) -> Self {
        Self {
            id: 0,
            kind,
            user: user.to_owned(),
            description: description.to_owned(),
            enqueued_us: now_us(),
            started_us: None,
            finished_us: None,
            outcome: Outcome::Pending,
            details: Vec::new(),
            warnings: Vec::new(),
            scope,
            devices: Vec::new(),
            is_final: false,
        }
    }

    /// It is done. No device is left pending, or clients would poll for ever.
    pub(crate) fn finish(&mut self, outcome: Outcome) {
        let now = now_us();
        self.outcome = outcome;
        self.finished_us = Some(now);
        self.started_us.get_or_insert(now);
        for device in &mut self.devices {
            if device.outcome == Outcome::Pending {
                device.outcome = Outcome::Fail;
                device.errors.push("the push ended before this device answered".into());
            }
            device.finished_us.get_or_insert(now);
        }
    }

    /// As it is stored.
    pub(crate) fn to_json(&self) -> String {
        // Strings, numbers and unit variants: nothing in it can fail to serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// As it is shown, with its place in the queue.
    pub(crate) fn to_element(&self, position: usize) -> Element {
        let status = match (self.started_us, self.finished_us) {
            (_, Some(_)) => "FIN",
            (Some(_), None) => "ACT",
            (None, None) => "PEND",
        };
        let begun = self.started_us.map_or_else(|| "null".to_owned(), times::clock);
        let mut job = element("job")
            .leaf("tenq", &times::date_time(self.enqueued_us))
            .leaf("tdeq", &begun)
            .leaf("id", &self.id.to_string())
            .leaf("user", &self.user)
            .leaf("type", self.kind.as_str())
            .leaf("status", status)
            .leaf("queued", if status == "PEND" { "YES" } else { "NO" })
            .leaf("stoppable", if self.is_stoppable() { "yes" } else { "no" })
            .leaf("result", self.outcome.as_str())
            .leaf("tfin", &self.finished_us.map(times::date_time).unwrap_or_default())
            .leaf("description", &self.description)
            .leaf("positionInQ", &position.to_string())
            .leaf("progress", &self.progress().to_string())
            .with(lines("warnings", &self.warnings))
            .with(lines("details", &self.details));
        if self.kind.is_push() {
            let scope = self.scope.as_ref();
            job = job
                .leaf("dgname", scope.map_or("", |scope| scope.name.as_str()))
                .leaf("push_type", scope.map_or("", |scope| scope.push_type.as_str()))
                .with(element("devices").with_all(self.devices.iter().map(|device| self.device_element(device))));
        }
        job
    }

    /// One that waits can be cancelled, a commit until it is checked, and of a push the part that was not sent yet.
    pub(crate) fn is_stoppable(&self) -> bool {
        let is_open = self.kind.is_push() || (self.kind.is_commit() && !self.is_final);
        self.finished_us.is_none() && (self.started_us.is_none() || is_open)
    }

    /// 100 only when it is done.
    pub(crate) fn progress(&self) -> usize {
        if self.finished_us.is_some() {
            return 100;
        }
        let done = self.devices.iter().filter(|device| device.finished_us.is_some()).count();
        (done * 100).checked_div(self.devices.len()).unwrap_or(0).min(99)
    }

    fn device_element(&self, device: &DeviceResult) -> Element {
        let status = match device.outcome {
            Outcome::Pending => "commit in progress",
            Outcome::Ok if device.warnings.is_empty() => "commit succeeded",
            Outcome::Ok => "commit succeeded with warnings",
            Outcome::Fail => "commit failed",
        };
        let mut message = element("msg")
            .attr("cmd", "push-data")
            .attr("dname", &device.hostname)
            .attr("dgname", &device.device_group)
            .attr("jobid", &self.id.to_string())
            .attr("result", device.outcome.as_str());
        message = message.with(lines("errors", &device.errors)).with(lines("warnings", &device.warnings));
        if !device.notes.is_empty() {
            message = message.with(lines("notes", &device.notes));
        }
        element("entry")
            .leaf("serial-no", &device.serial)
            .leaf("devicename", &device.hostname)
            .leaf("multi-vsys", "no")
            .leaf("vsys", "vsys1")
            .leaf("status", status)
            .leaf("result", device.outcome.as_str())
            .leaf("tstart", &times::clock(device.started_us))
            .leaf("tfin", &device.finished_us.map(times::clock).unwrap_or_default())
            .with(element("details").with(message))
    }
}

fn lines(name: &str, lines: &[String]) -> Element {
    element(name).with_all(lines.iter().map(|line| leaf("line", line)))
}
