//! Which configuration does a request mean: candidate, running, an older one, or what a device has or would get?

use std::sync::Arc;

use bartizan_model::manager::template_stacks;
use bartizan_model::render::{render, render_stack};
use bartizan_model::tree::Element;
use bartizan_model::words;
use schemars::JsonSchema;
use serde::Deserialize;

use super::problem::{Finding, Problem};
use crate::accounts::{Caller, Right};
use crate::app::App;
use crate::refusal::Refusal;
use crate::sync::trees;
use crate::variables::unknown_stack;
use crate::xmlapi::op::snapshots;
use crate::xmlapi::reply::code;
use crate::xmlapi::why_not_device;

/// What the forms of a source are, for messages.
const FORMS: &str = "`candidate`, `running`, `version:N`, `saved:NAME`, `device:SERIAL`, `candidate-device:SERIAL`, `candidate-stack:NAME`, \
     `pushed:SERIAL`";

/// Which configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The one that is edited.
    Candidate,
    /// The one that was committed last.
    Running,
    /// One that was committed earlier.
    Version(u64),
    /// One that was saved under a name.
    Saved(String),
    /// What running gives a device.
    Device(String),
    /// What the candidate would give a device.
    CandidateDevice(String),
    /// What the templates of a stack make in the candidate, with its own settings over them.
    CandidateStack(String),
    /// What a device was pushed last.
    Pushed(String),
}

impl Source {
    /// Reads `candidate`, `version:7` and so on.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let unknown = || Problem::parameter("source", format!("`{text}` is no configuration; there are {FORMS}"));
        let named = |name: &str| Some(name.to_owned()).filter(|name| !name.is_empty()).ok_or_else(unknown);
        match text.split_once(':') {
            None if text == "candidate" => Ok(Self::Candidate),
            None if text == "running" => Ok(Self::Running),
            Some(("version", number)) => number.parse().map(Self::Version).map_err(|_| unknown()),
            Some(("saved", name)) => named(name).map(Self::Saved),
            Some(("device", serial)) => named(serial).map(Self::Device),
            Some(("candidate-device", serial)) => named(serial).map(Self::CandidateDevice),
            Some(("candidate-stack", name)) => named(name).map(Self::CandidateStack),
            Some(("pushed", serial)) => named(serial).map(Self::Pushed),
            _ => Err(unknown()),
        }
    }

    /// Its tree, as far as the caller may see it.
    pub(super) async fn tree(&self, app: &App, caller: &Caller) -> Result<Arc<Element>, Problem> {
        if let Self::Device(serial) | Self::CandidateDevice(serial) | Self::Pushed(serial) = self {
            return match why_no_device(caller, serial) {
                Some(why) => Err(Problem::forbidden(why)),
                None => self.whole(app).await,
            };
        }
        let view = caller.view(&self.whole(app).await?);
        match self {
            Self::CandidateStack(name) => of_stack(&view, name),
            _ => Ok(view),
        }
    }

    async fn whole(&self, app: &App) -> Result<Arc<Element>, Problem> {
        let snapshot = app.configuration.snapshot();
        match self {
            Self::Candidate | Self::CandidateStack(_) => Ok(snapshot.candidate.clone()),
            Self::Running => Ok(snapshot.running.clone()),
            Self::Version(number) => {
                let tree = app.configuration.version(*number).await?;
                tree.ok_or_else(|| Problem::not_found(format!("version {number} is not kept")))
            }
            Self::Saved(name) => Ok(snapshots::read(app, name).await?),
            Self::Device(serial) => rendered(&snapshot.running, &snapshot.running, serial).await,
            Self::CandidateDevice(serial) => rendered(&snapshot.candidate, &snapshot.candidate, serial).await,
            Self::Pushed(serial) => {
                let device = app.store.device(serial).await?;
                let device = device.ok_or_else(|| Problem::not_found(format!("`{serial}` is not in the inventory")))?;
                let (Some(policy), Some(templates)) = (device.policy_version(), device.template_version()) else {
                    return Err(Problem::not_found(format!("nothing was pushed to `{serial}` yet")));
                };
                let (policy, templates) = trees(app, policy, templates).await?;
                rendered(&policy, &templates, serial).await
            }
        }
    }
}

/// `None`, or why the caller may not see what a device has, which is made of more than its own groups and templates.
pub(super) fn why_no_device(caller: &Caller, serial: &str) -> Option<String> {
    why_not_device(caller, Right::Config, serial).or_else(|| hidden(caller, serial))
}

/// A role for paths says nothing about devices.
fn hidden(caller: &Caller, serial: &str) -> Option<String> {
    let is_for_paths = caller.role.scope().is_some() && caller.role.reach(Right::Config).is_none();
    is_for_paths.then(|| format!("the whole of `{serial}` is more than the role of `{}` may see", caller.name))
}

async fn rendered(policy: &Arc<Element>, templates: &Arc<Element>, serial: &str) -> Result<Arc<Element>, Problem> {
    if !bartizan_model::manager::devices(templates).iter().any(|device| device.serial == serial) {
        return Err(Problem::not_found(format!("`{serial}` is no device of that configuration")));
    }
    let (policy, templates, serial) = (policy.clone(), templates.clone(), serial.to_owned());
    let tree = tokio::task::spawn_blocking(move || render(&policy, &templates, &serial));
    match tree.await.map_err(anyhow::Error::from)? {
        Ok(tree) => Ok(Arc::new(tree)),
        Err(findings) => Err(Problem::of_findings(findings.iter().map(Finding::from).collect())),
    }
}

/// Made of what the caller may see, so that it tells no more than that.
fn of_stack(view: &Element, name: &str) -> Result<Arc<Element>, Problem> {
    if !template_stacks(view).iter().any(|stack| stack == name) {
        return Err(Problem::not_found(unknown_stack(view, name)));
    }
    Ok(Arc::new(render_stack(view, name)))
}

/// Which node of which configuration.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Place {
    /// `candidate` (when absent), `running`, `version:N`, `saved:NAME`, `device:SERIAL` (what running gives a device),
    /// `candidate-device:SERIAL`, `candidate-stack:NAME` (what its templates make, each node with its owner), or
    /// `pushed:SERIAL` (what it was pushed last).
    source: Option<String>,
    /// XPath of the node.
    xpath: Option<String>,
    /// Instead: the words of the command line, e.g. `device-group branch address web`.
    path: Option<String>,
}

impl Place {
    /// One in the candidate.
    pub(super) fn new(source: Option<String>, xpath: Option<String>, path: Option<String>) -> Self {
        Self { source, xpath, path }
    }

    /// The configuration.
    pub(super) async fn tree(&self, app: &App, caller: &Caller) -> Result<Arc<Element>, Problem> {
        Source::parse(self.source.as_deref().unwrap_or("candidate"))?.tree(app, caller).await
    }

    /// The XPath; that of the root when nothing is said.
    pub(super) fn xpath(&self, root: &Element) -> Result<String, Problem> {
        match (&self.xpath, &self.path) {
            (Some(_), Some(_)) => Err(Problem::parameter("path", "give `xpath` or `path`, not both")),
            (Some(xpath), None) => Ok(xpath.clone()),
            (None, Some(path)) => {
                let split = words::split(path)?;
                let split: Vec<&str> = split.iter().map(|word| word.text.as_str()).collect();
                Ok(words::xpath(root, &split)?)
            }
            (None, None) => Ok("/config".to_owned()),
        }
    }
}

/// Why a path leads to no single node.
pub(super) fn no_such_node(xpath: &str) -> Problem {
    Refusal::new(code::NOT_PRESENT, [format!("nothing is at {xpath}")]).into()
}
