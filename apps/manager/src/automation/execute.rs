//! How does a run go through its playbook?
//!
//! Task after task, as the graph says. Before a task begins and when it has ended its row is on disk, so whoever ends the
//! manager at any moment finds the run where it was: a task that was interrupted is done again, and each can be.

use std::sync::Arc;
use std::time::Duration;

use bartizan_playbook::graph::{Ending, Next, Outcome, Playbook, Task, What, fill};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use super::actions::{Act, Failure, is_held, unstage};
use super::{Basis, basis, devices, settle};
use crate::app::App;
use crate::store::now_us;
use crate::store::runs::{RunRow, StepRow};

/// Tasks of one run; more means that it goes round.
const STEPS_MAX: usize = 500;
/// Bytes of what a step keeps as its outputs.
const OUTPUTS_MAX: usize = 1 << 20;
/// Longest wait before a task is tried again.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// A run under way.
struct Execution {
    app: Arc<App>,
    run: RunRow,
    steps: Vec<StepRow>,
    /// How many of the steps are on disk as they are.
    kept: usize,
}

/// Goes on with a run until it ends, waits for a person, or stops at a failure.
pub(super) async fn execute(app: &Arc<App>, id: i64) -> anyhow::Result<()> {
    let Some(run) = app.store.run(id).await?.filter(|run| run.state == "running") else { return Ok(()) };
    let playbook = app.automation.playbooks.get(&app.store, &run.playbook, run.version).await;
    let mut steps = app.store.steps(id).await?;
    let mut kept = steps.len();
    if let Some(last) = steps.last_mut().filter(|last| last.state == "running") {
        "failed".clone_into(&mut last.state);
        "the manager ended while it was done; it is done again".clone_into(&mut last.error);
        last.finished_us = Some(now_us());
        kept -= 1;
    }
    let mut execution = Execution { app: app.clone(), run, steps, kept };
    match playbook {
        Ok(playbook) => execution.go(&playbook).await,
        Err(error) => execution.stop(Failure::new("Failed", format!("{error:#}"))).await,
    }
}

impl Execution {
    async fn go(&mut self, playbook: &Playbook) -> anyhow::Result<()> {
        loop {
            let name = self.run.task.clone();
            let Some(task) = playbook.tasks.get(&name) else {
                return self.stop(Failure::new("Failed", format!("the playbook has no task `{name}`"))).await;
            };
            if self.steps.len() >= STEPS_MAX {
                return self
                    .stop(Failure::new("Failed", format!("{STEPS_MAX} tasks were done, and there is no end")))
                    .await;
            }
            let known = self.known().await?;
            let outcome = match &task.what {
                What::End(ending) => return self.end(*ending).await,
                What::Choose(_) => Ok(Outcome::Done),
                What::Ask { text, .. } => {
                    return self.ask(&name, &fill(text, &known).unwrap_or_else(|_| text.clone())).await;
                }
                What::Run { .. } => self.work(&name, task, &known).await?,
            };
            let (outcome, failure) = match outcome {
                Ok(outcome) => (outcome, None),
                Err(failure) => (Outcome::Failed, Some(failure)),
            };
            let known = if matches!(task.what, What::Choose(_)) { known } else { self.known().await? };
            match playbook.after(&name, outcome, &known) {
                Ok(Next::Task(next)) => self.run.task = next,
                Ok(Next::End(ending)) => return self.end(ending).await,
                Ok(Next::Stop) => return self.stop(failure.unwrap_or_default()).await,
                Err(why) => return self.stop(Failure::new("Failed", why)).await,
            }
        }
    }

    /// What tasks can look at.
    async fn known(&self) -> anyhow::Result<Value> {
        let mut known = outputs(&self.steps);
        let mut run: Map<String, Value> = serde_json::from_str(&self.run.inputs).unwrap_or_default();
        run.insert("id".to_owned(), json!(self.run.id));
        run.insert("cluster".to_owned(), json!(self.run.cluster));
        run.insert("playbook".to_owned(), json!(self.run.playbook));
        run.insert("requester".to_owned(), json!(self.run.requester));
        run.insert("error".to_owned(), json!(self.steps.last().map(|step| step.error.clone()).unwrap_or_default()));
        known.insert("run".to_owned(), Value::Object(run));
        if !self.run.cluster.is_empty() {
            let basis = basis(&self.app, &self.run.cluster).await?;
            known.insert("settings".to_owned(), settings(&self.app, &basis));
        }
        Ok(Value::Object(known))
    }

    fn step(&mut self, task: &str, state: &str, inputs: &Value) -> usize {
        self.steps.push(StepRow {
            run: self.run.id,
            number: i64::try_from(self.steps.len()).unwrap_or(i64::MAX) + 1,
            task: task.to_owned(),
            state: state.to_owned(),
            inputs: inputs.to_string(),
            outputs: "{}".to_owned(),
            started_us: now_us(),
            finished_us: None,
            error: String::new(),
        });
        self.steps.len() - 1
    }

    /// Puts the run on disk as it is, and whoever follows it hears of it. `open` steps change again.
    async fn keep(&mut self, open: usize) -> anyhow::Result<()> {
        let steps: Vec<&StepRow> = self.steps.iter().skip(self.kept).collect();
        self.app.store.keep_run(&self.run, &steps).await?;
        self.kept = self.steps.len() - open;
        self.app.automation.tell_all();
        Ok(())
    }

    /// Does a task, as often as it may be tried.
    async fn work(&mut self, name: &str, task: &Task, known: &Value) -> anyhow::Result<Result<Outcome, Failure>> {
        let mut wait = Duration::from_millis(task.retry_after_ms);
        for attempt in 0..=task.retries {
            let told = told(&task.what, known);
            let inputs = match &told {
                Ok(told) => json!(told),
                Err(_) => json!({}),
            };
            let at = self.step(name, "running", &inputs);
            self.keep(1).await?;
            let done = match told {
                Err(why) => Err(Failure::new("Failed", why)),
                Ok(told) => {
                    let acting = self.act(&task.what, told, known);
                    match task.timeout_ms {
                        None => acting.await,
                        Some(span) => match tokio::time::timeout(Duration::from_millis(span), acting).await {
                            Ok(done) => done,
                            Err(_) => Err(Failure::new("Failed", format!("it took longer than {span} ms"))),
                        },
                    }
                }
            };
            let step = &mut self.steps[at];
            step.finished_us = Some(now_us());
            match done {
                Ok(outputs) => {
                    "done".clone_into(&mut step.state);
                    step.outputs = outputs.to_string();
                    if step.outputs.len() > OUTPUTS_MAX {
                        step.outputs = json!({ "left_out": "there was more than is kept" }).to_string();
                    }
                    return Ok(Ok(Outcome::Done));
                }
                Err(failure) => {
                    "failed".clone_into(&mut step.state);
                    step.error.clone_from(&failure.message);
                    if attempt == task.retries || is_for_good(failure.reason) {
                        return Ok(Err(failure));
                    }
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY_MAX);
        }
        Ok(Err(Failure::default()))
    }

    /// An action, or one for each member of a list.
    async fn act(
        &self,
        what: &What,
        told: std::collections::BTreeMap<String, String>,
        known: &Value,
    ) -> Result<Value, Failure> {
        let What::Run { action, for_each, at_once, .. } = what else { return Ok(json!({})) };
        let act = |item: Option<&str>| {
            let mut known = known.clone();
            if let Some(item) = item {
                known["item"] = json!(item);
            }
            let (app, run) = (self.app.clone(), self.run.clone());
            Act { app, run, action: action.clone(), with: told.clone(), known }
        };
        if for_each.is_none() {
            return act(None).perform().await;
        }
        let running = self.app.configuration.snapshot().running.clone();
        let group = known["settings"]["device_group"].as_str().unwrap_or_default();
        let members = devices::of_group(&running, group);
        let (mut outputs, mut failures) = (Map::new(), Vec::new());
        for some in members.chunks(*at_once) {
            let mut acting = JoinSet::new();
            for member in some {
                let (act, member) = (act(Some(member)), member.clone());
                acting.spawn(async move { (member, act.perform().await) });
            }
            while let Some(joined) = acting.join_next().await {
                match joined? {
                    (member, Ok(output)) => drop(outputs.insert(member, output)),
                    (_, Err(failure)) => failures.push(failure),
                }
            }
        }
        match failures.first() {
            None => Ok(json!({ "count": members.len(), "items": outputs })),
            Some(first) => {
                let lines: Vec<&str> = failures.iter().map(|failure| failure.message.as_str()).collect();
                Err(Failure::new(first.reason, lines.join("; ")))
            }
        }
    }

    /// A person is to look at it.
    async fn ask(&mut self, name: &str, text: &str) -> anyhow::Result<()> {
        self.step(name, "waiting", &json!({ "text": text }));
        "waiting".clone_into(&mut self.run.state);
        let message = format!("run {} waits for approval: {text}", self.run.id);
        self.app.store.settle_incidents(self.run.id, ("waiting", None), &message).await?;
        settle::held(&self.app, &self.run, &message).await?;
        self.keep(1).await
    }

    /// It stays where it failed.
    async fn stop(&mut self, failure: Failure) -> anyhow::Result<()> {
        let message = format!("{}: {}", self.run.task, failure.message);
        "failed".clone_into(&mut self.run.state);
        self.run.error.clone_from(&message);
        self.run.finished_us = Some(now_us());
        {
            let mut staged = self.app.automation.staged.lock().await;
            if staged.as_ref().is_some_and(|(run, _)| *run == self.run.id) {
                *staged = None;
                if let Err(failure) = unstage(&self.app).await {
                    tracing::error!(run = self.run.id, "{}", failure.message);
                }
            }
        }
        tracing::warn!(run = self.run.id, cluster = self.run.cluster, "a run failed: {message}");
        let text = format!("run {} failed at {message}", self.run.id);
        self.app.store.settle_incidents(self.run.id, ("failed", Some("error")), &text).await?;
        settle::failed(&self.app, &self.run, failure.reason, &text).await?;
        self.keep(0).await
    }

    async fn end(&mut self, ending: Ending) -> anyhow::Result<()> {
        if ending == Ending::Failed {
            let why = self.steps.last().map(|step| step.error.clone()).filter(|why| !why.is_empty());
            let why = why.unwrap_or_else(|| "the playbook ends so".to_owned());
            return self.stop(Failure::new("Failed", why)).await;
        }
        let state = if ending == Ending::Rejected { "rejected" } else { "done" };
        state.clone_into(&mut self.run.state);
        self.run.finished_us = Some(now_us());
        // Until it is written down that this is the end, it is come to again.
        self.app.store.settle_incidents(self.run.id, ("closed", None), "").await?;
        match ending {
            Ending::Rejected => settle::rejected(&self.app, &self.run).await?,
            _ => settle::done(&self.app, &self.run).await?,
        }
        self.keep(0).await
    }
}

/// Outputs of tasks by their names; of one that was done several times, the last.
pub(super) fn outputs(steps: &[StepRow]) -> Map<String, Value> {
    let done = steps.iter().filter(|step| step.state == "done");
    done.map(|step| (step.task.clone(), serde_json::from_str(&step.outputs).unwrap_or_default())).collect()
}

/// What an action is told, with outputs put in.
fn told(what: &What, known: &Value) -> Result<std::collections::BTreeMap<String, String>, String> {
    let What::Run { with, .. } = what else { return Ok(Default::default()) };
    with.iter().map(|(name, text)| Ok((name.clone(), fill(text, known)?))).collect()
}

/// To try again changes nothing about it.
fn is_for_good(reason: &str) -> bool {
    matches!(reason, "Held" | "TooMany" | "NoSettings" | "DeviceOffline")
}

/// The settings that conditions look at.
fn settings(app: &App, basis: &Basis) -> Value {
    let Some(settings) = &basis.settings else { return json!({ "hold": true, "device_group": "" }) };
    json!({
        "hold": is_held(app, settings),
        "device_group": settings.device_group,
        "auto_commit": settings.auto_commit,
        "four_eyes": settings.four_eyes,
        "drift": format!("{:?}", settings.drift).to_lowercase(),
    })
}
