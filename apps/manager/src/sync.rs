//! What would a device get, and does it have that already?

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock};

use bartizan_model::device::{self, CommitRecovery};
use bartizan_model::diagnostic::Diagnostic;
use bartizan_model::render::origin::to_manager;
use bartizan_model::tree::Element;
use bartizan_model::{render, xml};
use bartizan_policy::compile::compile;
use bartizan_policy::facts::Facts;
use bartizan_policy::names::Ids;
use bartizan_policy::shadow;

use crate::app::App;
use crate::lock;
use crate::store::devices::Device;
use crate::store::hex_digest;

/// Digests of renderings that are remembered; beyond that they are all forgotten.
const REMEMBERED_MAX: usize = 50_000;
/// Pairs of versions whose renderings are kept at hand.
const PLANS_MAX: usize = 3;

/// A device's configuration as it would be pushed.
#[derive(Clone, Debug)]
pub(crate) struct Rendering {
    /// The text; empty when there are errors.
    pub(crate) configuration: String,
    /// SHA-256, hex, of the text.
    pub(crate) digest: String,
    /// What rendering and reading it say, with places in the manager's own tree.
    pub(crate) read: Vec<Diagnostic>,
    /// What compiling it says.
    pub(crate) compiled: Vec<Diagnostic>,
    /// How long the device may be out of reach under it.
    pub(crate) recovery: CommitRecovery,
}

/// What of a device is as it should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SyncState {
    /// Its device group's part.
    pub(crate) policy: bool,
    /// Its stack's part.
    pub(crate) templates: bool,
}

/// What was rendered already.
#[derive(Default)]
pub(crate) struct Renderings {
    /// Digests by device and versions.
    digests: Mutex<HashMap<(String, u64, u64), String>>,
    /// By versions of policy and templates, the newest first.
    plans: Mutex<VecDeque<Arc<Plan>>>,
}

/// What all devices get of two versions. Devices that are alike share a rendering, which is made when the first of them
/// asks.
pub(crate) struct Plan {
    versions: (u64, u64),
    policy: Arc<Element>,
    templates: Arc<Element>,
    classes: HashMap<String, usize>,
    renderings: Vec<OnceLock<Arc<Rendering>>>,
}

impl Plan {
    fn new(versions: (u64, u64), policy: Arc<Element>, templates: Arc<Element>) -> Self {
        let found = render::classes(&policy, &templates);
        let renderings = found.iter().map(|_| OnceLock::new()).collect();
        let numbered = found.into_iter().enumerate();
        let classes = numbered.flat_map(|(at, class)| class.into_iter().map(move |device| (device.serial, at)));
        Self { versions, classes: classes.collect(), policy, templates, renderings }
    }

    /// A device's rendering. It takes its time when it is the first of its kind.
    pub(crate) fn rendering(&self, serial: &str) -> Arc<Rendering> {
        let render = || Arc::new(Rendering::new(&self.policy, &self.templates, serial));
        match self.classes.get(serial).and_then(|class| self.renderings.get(*class)) {
            Some(shared) => shared.get_or_init(render).clone(),
            // It is in no group and no stack.
            None => render(),
        }
    }
}

/// What all devices get of two versions.
pub(crate) async fn plan(app: &App, policy: u64, templates: u64) -> anyhow::Result<Arc<Plan>> {
    let versions = (policy, templates);
    let known = || lock(&app.renderings.plans).iter().find(|plan| plan.versions == versions).cloned();
    if let Some(plan) = known() {
        return Ok(plan);
    }
    let (policy, templates) = trees(app, policy, templates).await?;
    let plan = tokio::task::spawn_blocking(move || Arc::new(Plan::new(versions, policy, templates))).await?;
    if let Some(made) = known() {
        return Ok(made);
    }
    let mut plans = lock(&app.renderings.plans);
    plans.push_front(plan.clone());
    plans.truncate(PLANS_MAX);
    Ok(plan)
}

impl Rendering {
    /// Renders for one device, and proves that a firewall will accept it: policy from one tree, templates
    /// from another.
    pub(crate) fn new(policy: &Arc<Element>, templates: &Arc<Element>, serial: &str) -> Self {
        let rendered = match render::render(policy, templates, serial) {
            Ok(rendered) => rendered,
            Err(diagnostics) => return Self::refused(diagnostics, Vec::new()),
        };
        let at_manager = |mut diagnostic: Diagnostic| {
            diagnostic.origin = to_manager(diagnostic.origin, templates, Some(serial));
            diagnostic
        };
        let report = device::read(&rendered, device::Scope::Device);
        let read = report.diagnostics.into_iter().map(at_manager).collect();
        let Some(config) = report.config else {
            return Self::refused(read, Vec::new());
        };
        let compiled = match compile(&config, &Facts::default(), &mut Ids::default(), 1) {
            Ok(compiled) => {
                let shadows = shadow::warnings(&compiled);
                compiled.warnings.into_iter().chain(shadows).map(at_manager).collect()
            }
            Err(diagnostics) => return Self::refused(read, diagnostics.into_iter().map(at_manager).collect()),
        };
        let configuration = xml::write(&rendered);
        let recovery = config.recovery;
        Self { digest: hex_digest(configuration.as_bytes()), configuration, read, compiled, recovery }
    }

    fn refused(read: Vec<Diagnostic>, compiled: Vec<Diagnostic>) -> Self {
        let recovery = CommitRecovery::default();
        Self { configuration: String::new(), digest: String::new(), read, compiled, recovery }
    }

    /// Everything worth saying about it.
    pub(crate) fn diagnostics(&self) -> Vec<Diagnostic> {
        self.read.iter().chain(&self.compiled).cloned().collect()
    }

    /// Whether there is nothing to push.
    pub(crate) fn is_refused(&self) -> bool {
        self.configuration.is_empty()
    }
}

/// Compares what a device accepted with what the running configuration would give it.
pub(crate) async fn state(app: &App, device: &Device) -> anyhow::Result<SyncState> {
    let (Some(policy), Some(templates)) = (device.policy_version(), device.template_version()) else {
        return Ok(SyncState::default());
    };
    // It enforces something else: it went back, or somebody else wrote to it.
    if device.running_digest != device.pushed_digest {
        return Ok(SyncState::default());
    }
    let running = app.configuration.snapshot().version;
    Ok(SyncState {
        policy: policy == running || digest(app, &device.serial, running, templates).await? == device.pushed_digest,
        templates: templates == running || digest(app, &device.serial, policy, running).await? == device.pushed_digest,
    })
}

async fn digest(app: &App, serial: &str, policy: u64, templates: u64) -> anyhow::Result<String> {
    let key = (serial.to_owned(), policy, templates);
    if let Some(digest) = lock(&app.renderings.digests).get(&key) {
        return Ok(digest.clone());
    }
    let plan = plan(app, policy, templates).await?;
    let serial = serial.to_owned();
    let rendering = tokio::task::spawn_blocking(move || plan.rendering(&serial)).await?;
    let mut digests = lock(&app.renderings.digests);
    if digests.len() >= REMEMBERED_MAX {
        digests.clear();
    }
    digests.insert(key, rendering.digest.clone());
    Ok(rendering.digest.clone())
}

/// The trees of two versions.
pub(crate) async fn trees(app: &App, policy: u64, templates: u64) -> anyhow::Result<(Arc<Element>, Arc<Element>)> {
    let tree = async |number: u64| {
        let tree = app.configuration.version(number).await?;
        tree.ok_or_else(|| anyhow::anyhow!("version {number} is not in the database any more; push everything"))
    };
    Ok((tree(policy).await?, tree(templates).await?))
}
