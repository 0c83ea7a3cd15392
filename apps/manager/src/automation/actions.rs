//! What do the tasks of playbooks do?
//!
//! Each action can be done again after it was interrupted: it looks at what is there, and does what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bartizan_model::tree::Element;
use bartizan_playbook::{Objects, owner};
use serde_json::{Value, json};

use super::plan::{Planned, planned};
use super::settings::{AUTHOR, Settings};
use super::state::{Cluster, PolicyState, Status};
use super::take::translated;
use super::told::Manifest;
use super::translate::{DRY_RUN, Verdict};
use super::{Basis, devices, http};
use crate::accounts::{Caller, Door, Role};
use crate::app::App;
use crate::approvals;
use crate::configuration::partial::Selection;
use crate::configuration::{ApplyError, PartialError};
use crate::jobs::commit::CommitRequest;
use crate::jobs::push::PushRequest;
use crate::jobs::{EnqueueError, Job, JobKind, Outcome, PushScope, Work};
use crate::store::runs::RunRow;
use crate::store::{now_us, to_db};

/// One thing to do.
#[derive(Clone)]
pub(super) struct Act {
    /// The manager.
    pub(super) app: Arc<App>,
    /// The run.
    pub(super) run: RunRow,
    /// Which action.
    pub(super) action: String,
    /// What it is told.
    pub(super) with: BTreeMap<String, String>,
    /// What is known: outputs by task, `run`, `settings`, and `item`.
    pub(super) known: Value,
}

/// Why something was not done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Failure {
    /// The reason of the condition that does not hold.
    pub(super) reason: &'static str,
    /// Why, for people.
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error: anyhow::Error = error.into();
        Self::new("Failed", format!("{error:#}"))
    }
}

/// Who makes the edits.
pub(super) fn caller() -> Caller {
    let host = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    Caller { name: AUTHOR.to_owned(), role: Role::Superuser, host, door: Door::Automation }
}

/// Whether somebody has to approve before a run commits.
pub(super) fn is_held(app: &App, settings: &Settings) -> bool {
    !settings.auto_commit
        || settings.four_eyes
        || approvals::are_commits_watched(app)
        || approvals::are_pushes_watched(app)
}

impl Act {
    /// Does it.
    pub(super) async fn perform(self) -> Result<Value, Failure> {
        match self.action.as_str() {
            "check" => self.check().await,
            "translate" => self.translate().await,
            "recall" => self.recall().await,
            "diff" => self.diff().await,
            "edit" => self.edit().await,
            "commit" => self.commit().await,
            "push" => self.push().await,
            "verify" => self.verify().await,
            "wait" => self.wait().await,
            "http" => {
                http::request(&self.app, &self.with).await.map_err(|error| Failure::new("Failed", format!("{error:#}")))
            }
            other => Err(Failure::new("Failed", format!("`{other}` is no action of this version"))),
        }
    }

    fn cluster(&self) -> Result<Arc<Cluster>, Failure> {
        let name = &self.run.cluster;
        self.app
            .automation
            .cluster(name)
            .ok_or_else(|| Failure::new("Failed", format!("cluster `{name}` is not known")))
    }

    async fn basis(&self) -> Result<Arc<Basis>, Failure> {
        Ok(super::basis(&self.app, &self.run.cluster).await?)
    }

    fn settings<'b>(&self, basis: &'b Basis) -> Result<&'b Settings, Failure> {
        let name = &self.run.cluster;
        let settings = basis.settings.as_ref().filter(|settings| !settings.disabled);
        settings.ok_or_else(|| Failure::new("NoSettings", format!("cluster `{name}` has no settings, or is disabled")))
    }

    /// Every policy is checked: those with a fault are told, and do not stop the others.
    async fn check(&self) -> Result<Value, Failure> {
        let (cluster, basis) = (self.cluster()?, self.basis().await?);
        let translated = translated(&self.app, &cluster, &basis).await?;
        let now = now_us();
        let wanted = cluster.taken.clone().unwrap_or_default();
        let (mut faults, mut healed) = (Vec::new(), Vec::new());
        for (key, verdict) in &translated.verdicts {
            let Some(state) = cluster.policies.get(key) else { continue };
            if verdict.is_good && state.translated.status == Status::False {
                healed.push(key.to_string());
            } else if !verdict.is_good && state.incident != 0 {
                faults.push((state.incident, format!("{}: {}", verdict.reason, verdict.message)));
            }
        }
        let changed = self.app.automation.change(&self.app.store, &self.run.cluster, |cluster| {
            cluster.speak_of(&translated.groups);
            for written in wanted.written() {
                let Some(verdict) = translated.verdicts.get(&written.key) else { continue };
                if cluster.policies.get(&written.key).is_some_and(|state| is_known(state, written, verdict)) {
                    continue;
                }
                cluster.change(&written.key, |state| {
                    if verdict.is_good {
                        state.accepted = Some(written.object.clone());
                    }
                    let status = if verdict.is_good { Status::True } else { Status::False };
                    state.translated.become_now(now, status, &verdict.reason, verdict.message.clone());
                    if !verdict.is_good {
                        let text = "the policy has a fault; what is in force is its form of before, or nothing";
                        state.committed.become_now(now, Status::False, "NotTranslated", text);
                        state.enforced.become_now(now, Status::False, "NotCommitted", "");
                    } else if verdict.reason == DRY_RUN {
                        let text = "the policy says `dry-run`: it is translated, and not enforced";
                        state.committed.become_now(now, Status::False, DRY_RUN, text);
                        state.enforced.become_now(now, Status::False, DRY_RUN, text);
                    }
                });
            }
        });
        changed.await?;
        self.app.store.fail_incidents(&faults).await?;
        self.app.store.close_older(&self.run.cluster, &healed, i64::MAX).await?;
        let count = translated.verdicts.len();
        let kept = translated.verdicts.values().filter(|verdict| verdict.is_kept).count();
        let wrong = translated.verdicts.values().filter(|verdict| !verdict.is_good).count();
        Ok(json!({ "policies": count, "faults": wrong, "kept": kept }))
    }

    /// The rules of all, and which policies' rules are others now.
    async fn translate(&self) -> Result<Value, Failure> {
        let (cluster, basis) = (self.cluster()?, self.basis().await?);
        let translated = translated(&self.app, &cluster, &basis).await?;
        if let Some(why) = &translated.too_many {
            return Err(Failure::new("TooMany", why.clone()));
        }
        let now = now_us();
        let changed = self.app.automation.change(&self.app.store, &self.run.cluster, |cluster| {
            for (key, verdict) in &translated.verdicts {
                let Some(known) = cluster.policies.get(key) else { continue };
                if known.trace == verdict.trace && known.rules == verdict.rules && known.committed.holds() {
                    continue;
                }
                cluster.change(key, |state| {
                    state.rules.clone_from(&verdict.rules);
                    if state.trace != verdict.trace && verdict.is_good && verdict.reason != DRY_RUN {
                        state.committed.become_now(now, Status::Unknown, super::take::PENDING, "");
                        state.enforced.become_now(now, Status::Unknown, super::take::PENDING, "");
                    }
                    state.trace.clone_from(&verdict.trace);
                });
            }
        });
        changed.await?;
        let objects = &translated.objects;
        Ok(json!({
            "rules": objects.rules.len(), "groups": objects.groups.len(), "services": objects.services.len(),
            "services_left_out": translated.services_left_out, "digest": translated.digest,
        }))
    }

    /// The version of the configuration whose rules come back.
    async fn recall(&self) -> Result<Value, Failure> {
        let text = self.with.get("version").cloned().unwrap_or_else(|| self.known["run"]["version"].to_string());
        let number: u64 = text.trim_matches('"').parse().map_err(|_| {
            Failure::new("Failed", format!("`{text}` is no version of the configuration: start the run with `version`"))
        })?;
        let objects = self.recalled(number).await?;
        let changed = self.app.automation.change(&self.app.store, &self.run.cluster, |cluster| {
            cluster.speak_again_of(objects.groups.keys());
        });
        changed.await?;
        Ok(json!({ "version": number }))
    }

    async fn recalled(&self, number: u64) -> Result<Objects, Failure> {
        let basis = self.basis().await?;
        let tree = self.app.configuration.version(number).await?;
        let tree = tree.ok_or_else(|| Failure::new("Failed", format!("version {number} is not kept any more")))?;
        Ok(super::recalled(&tree, &self.settings(&basis)?.device_group, &owner(&self.run.cluster)))
    }

    /// What the device group is to have: what the policies say, or an older version said.
    async fn wanted(&self, cluster: &Arc<Cluster>, basis: &Arc<Basis>) -> Result<Arc<Objects>, Failure> {
        let translated = translated(&self.app, cluster, basis).await?;
        let Some(number) = self.known["recall"]["version"].as_u64() else {
            return match &translated.too_many {
                Some(why) => Err(Failure::new("TooMany", why.clone())),
                None => Ok(translated.objects.clone()),
            };
        };
        Ok(self.recalled(number).await?.into())
    }

    async fn plan(&self) -> Result<(Arc<Planned>, Arc<Element>), Failure> {
        let (cluster, basis) = (self.cluster()?, self.basis().await?);
        let settings = self.settings(&basis)?.clone();
        let objects = self.wanted(&cluster, &basis).await?;
        let now = self.app.configuration.snapshot();
        let running = now.running.clone();
        let planned = planned(&self.app, &running, &cluster, &settings, objects).await?;
        let planned = planned.map_err(|lines| Failure::new("Conflict", lines.join("; ")))?;
        let spared = planned.sparing([&running, &now.candidate]);
        Ok((spared.map_or(planned, Arc::new), running))
    }

    async fn diff(&self) -> Result<Value, Failure> {
        let (planned, running) = self.plan().await?;
        let basis = self.basis().await?;
        let held = is_held(&self.app, self.settings(&basis)?);
        let outputs = move || {
            let text = if held { planned.text(&running) } else { String::new() };
            let (changes, lines) = (planned.changes.len(), planned.lines());
            json!({ "changes": changes, "digest": planned.digest, "lines": lines, "text": text })
        };
        Ok(tokio::task::spawn_blocking(outputs).await?)
    }

    /// Whether somebody approved this run, and who.
    fn approved(&self) -> bool {
        let outputs = self.known.as_object().into_iter().flatten();
        outputs.into_iter().any(|(_, outputs)| outputs["approved_by"].is_string())
    }

    async fn edit(&self) -> Result<Value, Failure> {
        let mut staged = self.app.automation.staged.lock().await;
        *staged = None;
        let (planned, _) = self.plan().await?;
        if Some(&planned.digest) != self.with.get("digest") {
            return Ok(json!({ "stale": true, "edits": 0 }));
        }
        self.stage(&planned).await?;
        *staged = Some((self.run.id, planned.digest.clone()));
        Ok(json!({ "stale": false, "edits": planned.changes.len() }))
    }

    /// The edits are in the candidate, and no others of ours.
    async fn stage(&self, planned: &Planned) -> Result<(), Failure> {
        unstage(&self.app).await?;
        let done = self.app.configuration.apply(&caller(), planned.edits()).await;
        done.map(drop).map_err(|error| match error {
            ApplyError::Edit { failure, .. } => {
                Failure::new("Conflict", format!("the candidate does not take the edits: {}", failure.lines.join("; ")))
            }
            ApplyError::Store(error) => Failure::new("Failed", format!("{error:#}")),
        })
    }

    async fn commit(&self) -> Result<Value, Failure> {
        let app = &self.app;
        let mut staged = app.automation.staged.lock().await;
        let basis = self.basis().await?;
        let settings = self.settings(&basis)?;
        if is_held(app, settings) && !self.approved() {
            let message = "nobody approved this run, and the settings of the cluster or of the manager ask for that";
            return Err(Failure::new("Held", message));
        }
        let (planned, _) = self.plan().await?;
        if planned.changes.is_empty() {
            // It was done, and the manager ended before that was written down.
            return self.committed(settings, None).await;
        }
        if Some(&planned.digest) != self.with.get("digest") {
            unstage(app).await?;
            let message = "the configuration is another one than when the difference was made: run again from `diff`";
            return Err(Failure::new("Conflict", message));
        }
        if staged.take() != Some((self.run.id, planned.digest.clone())) {
            self.stage(&planned).await?;
        }
        if let Some(lock) = app.configuration.locks.in_the_way_of_commit(AUTHOR) {
            unstage(app).await?;
            return Err(Failure::new("Failed", lock.describe()));
        }
        let comment = format!("policies of cluster {}, run {}", self.run.cluster, self.run.id);
        let request = CommitRequest {
            caller: caller(),
            comment: comment.clone(),
            selection: Some(Selection::of_admin(AUTHOR)),
            validate_only: false,
            is_looked_at: true,
        };
        let id = enqueue(app, JobKind::Commit, &comment, None, || Work::Commit(request.clone())).await?;
        let job = finished(app, id).await;
        if job.outcome != Outcome::Ok {
            unstage(app).await?;
            let is_validation = job.details.iter().any(|line| line.contains("Validation Error"));
            let reason = if is_validation { "Failed" } else { "Conflict" };
            return Err(Failure::new(reason, format!("commit job {id}: {}", job.details.join("; "))));
        }
        self.committed(settings, Some(id)).await
    }

    /// The rules are in the running configuration.
    async fn committed(&self, settings: &Settings, job: Option<u64>) -> Result<Value, Failure> {
        let version = self.app.configuration.snapshot().version;
        let now = now_us();
        let recalled = self.known["recall"]["version"].as_u64();
        let changed = self.app.automation.change(&self.app.store, &self.run.cluster, |cluster| {
            cluster.committed = to_db(version);
            let services = cluster.taken.as_ref().is_some_and(|taken| !taken.services.is_empty());
            let is_empty = cluster.policies.is_empty() && !(services && settings.service_objects) && recalled.is_none();
            cluster.placed = if is_empty { String::new() } else { settings.device_group.clone() };
            let is_made = |state: &PolicyState| {
                let is_new = recalled.is_some() || !state.committed.holds();
                state.translated.holds() && state.translated.reason != DRY_RUN && is_new
            };
            cluster.change_where(is_made, |state| {
                if let Some(recalled) = recalled {
                    let text =
                        format!("the rules are those of version {recalled}; the next change brings all policies back");
                    state.committed.become_now(now, Status::False, "RolledBack", text);
                    state.enforced.become_now(now, Status::False, "NotCommitted", "");
                } else {
                    state.committed.become_now(now, Status::True, "Committed", format!("version {version}"));
                }
            });
        });
        changed.await?;
        Ok(json!({ "version": version, "job": job }))
    }

    async fn push(&self) -> Result<Value, Failure> {
        let app = &self.app;
        let cluster = self.cluster()?;
        let basis = self.basis().await?;
        let group = self.settings(&basis)?.device_group.clone();
        let running = app.configuration.snapshot().running.clone();
        let mut behind = BTreeSet::new();
        for serial in devices::of_group(&running, &group) {
            if !devices::is_up_to(app, &serial, cluster.committed).await? {
                behind.insert(serial);
            }
        }
        if behind.is_empty() {
            return Ok(json!({ "devices": 0, "job": null }));
        }
        let request = PushRequest {
            devices: behind.clone(),
            policy: true,
            admins: BTreeSet::from([AUTHOR.to_owned()]),
            ..PushRequest::default()
        };
        let text = format!("policies of cluster {}, run {}", self.run.cluster, self.run.id);
        let scope = PushScope { push_type: "shared-policy".to_owned(), name: group };
        let id = enqueue(app, JobKind::CommitAll, &text, Some(scope), || Work::Push(request.clone())).await?;
        let job = finished(app, id).await;
        if job.outcome == Outcome::Ok {
            return Ok(json!({ "devices": behind.len(), "job": id }));
        }
        let failed: Vec<String> = job
            .devices
            .iter()
            .filter(|device| device.outcome != Outcome::Ok)
            .map(|device| format!("{}: {}", device.serial, device.errors.join("; ")))
            .collect();
        let offline = behind.iter().any(|serial| app.fleet.link(serial).is_err());
        let reason = if offline { "DeviceOffline" } else { "PushFailed" };
        let lines = if failed.is_empty() { job.details.clone() } else { failed };
        Err(Failure::new(reason, format!("push job {id}: {}", lines.join("; "))))
    }

    /// A device enforces what was committed.
    async fn verify(&self) -> Result<Value, Failure> {
        let cluster = self.cluster()?;
        let serial = self.known["item"].as_str().unwrap_or_default().to_owned();
        let device = self.app.store.device(&serial).await?.unwrap_or_default();
        if devices::is_up_to(&self.app, &serial, cluster.committed).await? {
            return Ok(json!({ "digest": device.running_digest, "enforced": true }));
        }
        let reason = if self.app.fleet.link(&serial).is_err() { "DeviceOffline" } else { "PushFailed" };
        Err(Failure::new(reason, format!("{serial} does not enforce version {}", cluster.committed)))
    }

    async fn wait(&self) -> Result<Value, Failure> {
        let text = self.with.get("milliseconds").map(String::as_str).unwrap_or_default();
        let span =
            text.parse().map_err(|_| Failure::new("Failed", format!("`{text}` is no number of milliseconds")))?;
        tokio::time::sleep(Duration::from_millis(span)).await;
        Ok(json!({}))
    }
}

/// Whether what is known of a policy is what its verdict says.
fn is_known(state: &PolicyState, written: &Manifest, verdict: &Verdict) -> bool {
    verdict.is_good
        && verdict.reason != DRY_RUN
        && state.accepted.as_ref().is_some_and(|accepted| Arc::ptr_eq(accepted, &written.object))
        && state.translated.holds()
        && state.translated.reason == verdict.reason
        && state.translated.message == verdict.message
}

/// Takes our edits out of the candidate again, those of nobody else.
pub(super) async fn unstage(app: &App) -> Result<(), Failure> {
    if app.configuration.snapshot().pending == 0
        || !app.store.journal_authors().await?.iter().any(|name| name == AUTHOR)
    {
        return Ok(());
    }
    let reverted = app.configuration.revert(&caller(), Some(Selection::of_admin(AUTHOR))).await;
    reverted.map(drop).map_err(|error| match error {
        PartialError::Conflict(conflict) => {
            Failure::new("Conflict", format!("edits of a run before cannot be taken back: {}", conflict.0.join("; ")))
        }
        PartialError::Store(error) => Failure::new("Failed", format!("{error:#}")),
    })
}

/// Puts work into its queue, as soon as there is room.
async fn enqueue(
    app: &App,
    kind: JobKind,
    text: &str,
    scope: Option<PushScope>,
    work: impl Fn() -> Work,
) -> Result<u64, Failure> {
    let mut changes = app.jobs.changes();
    loop {
        match app.jobs.enqueue(kind, AUTHOR, text, scope.clone(), work()).await {
            Ok(id) => return Ok(id),
            Err(EnqueueError::CommitInProgress | EnqueueError::QueueFull) => {
                changes.changed().await?;
            }
            Err(error @ EnqueueError::Store(_)) => return Err(error.into()),
        }
    }
}

/// A job, when it has ended.
async fn finished(app: &App, id: u64) -> Arc<Job> {
    let mut changes = app.jobs.changes();
    loop {
        if let Some(job) = app.jobs.job(id).filter(|job| job.finished_us.is_some()) {
            return job;
        }
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
