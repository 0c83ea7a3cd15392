//! The running firewall: the workers and the configuration they enforce.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Result;
use bartizan_engine::verdict::Port;
use bartizan_model::device::Validated;
use bartizan_model::diagnostic::{Diagnostic, Origin};
use bartizan_policy::compile::recompile;
use bartizan_policy::facts::Facts;
use bartizan_policy::names::Ids;
use bartizan_policy::shadow;
use bartizan_policy::tables::{Compiled, IfaceId};
use tokio::sync::{Mutex, watch};

use crate::capture;
use crate::clock::Clock;
use crate::dataplane::Dataplane;
use crate::dhcp;
use crate::gather::Gatherers;
use crate::hex;
use crate::load::{Loaded, effective, load, reload};
use crate::pathmon;
use crate::port::Losses;
use crate::store::{Enforced, Local};
use crate::worker::IoCounters;

/// What is enforced.
#[derive(Clone, Debug)]
pub struct Running {
    /// SHA-256, hex, of the text.
    pub digest: String,
    /// Version number of the manager's; 0 for a file and for what the device has of its own.
    pub version: u64,
    /// The whole configuration.
    pub text: Arc<str>,
    /// What it was put together from.
    pub parts: Parts,
    /// What it says.
    pub config: Arc<Validated>,
    /// Its tables, and the names in them.
    pub compiled: Arc<Compiled>,
}

/// Where a configuration comes from. Either part is replaced without the other, in any order.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// The manager's last push, or the file.
    pub pushed: Option<Arc<Enforced>>,
    /// The device's own, which was committed at its XML API.
    pub local: Option<Arc<Local>>,
}

impl Parts {
    /// The text of both together.
    ///
    /// # Errors
    /// When one of them is no XML.
    pub fn text(&self) -> Result<String, Vec<Diagnostic>> {
        let local = self.local.as_ref().map(|local| local.text.as_str());
        effective(self.pushed.as_ref().map(|pushed| pushed.text.as_str()), local)
    }

    fn is_empty(&self) -> bool {
        self.pushed.is_none() && self.local.is_none()
    }
}

/// The firewall.
pub struct Firewall {
    dataplane: Dataplane,
    running: watch::Sender<Option<Arc<Running>>>,
    /// The DHCP clients, once they are started.
    dhcp: OnceLock<dhcp::Handle>,
    /// The watch over monitored paths, once it is started.
    path_monitor: OnceLock<pathmon::Handle>,
    /// Packet capture, once it is started.
    capture: OnceLock<capture::Handle>,
    /// Held while a configuration is put in force: one after the other.
    compiler: Mutex<Compiler>,
    gatherers: OnceLock<Gatherers>,
}

/// What outlives the generations.
#[derive(Debug, Default)]
struct Compiler {
    ids: Ids,
    facts: Facts,
    generation: u64,
    /// What the configuration consists of.
    parts: Parts,
}

/// A configuration is in force.
#[derive(Clone, Debug)]
pub struct Done {
    /// What is accepted but not in force.
    pub warnings: Vec<Diagnostic>,
    /// From receipt to the first packet boundary under the new tables on every worker.
    pub swap: Duration,
}

/// How the firewall is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vitals {
    /// Sessions in the tables.
    pub sessions: u64,
    /// Packets received.
    pub packets: u64,
    /// Packets dropped, for whatever reason.
    pub drops: u64,
}

impl Firewall {
    /// A firewall that enforces nothing yet: it forwards nothing. `ids` has the interfaces that ports are
    /// attached to.
    pub fn new(dataplane: Dataplane, ids: Ids) -> Self {
        let facts = Facts { gathered: true, ..Facts::default() };
        let compiler = Compiler { ids, facts, ..Compiler::default() };
        Self {
            dataplane,
            running: watch::Sender::new(None),
            dhcp: OnceLock::new(),
            path_monitor: OnceLock::new(),
            capture: OnceLock::new(),
            compiler: Mutex::new(compiler),
            gatherers: OnceLock::new(),
        }
    }

    /// Begins to gather what the configuration leaves to the moment; what was kept is in this directory.
    pub fn gather(self: &Arc<Self>, directory: &Path) {
        if self.gatherers.set(Gatherers::open(directory)).is_ok() {
            Gatherers::start(self);
        }
    }

    /// What gathers facts; `None` before [`gather`](Self::gather).
    pub fn gatherers(&self) -> Option<&Gatherers> {
        self.gatherers.get()
    }

    /// Puts a pushed configuration in force together with the device's own, and has it kept. When anything is wrong,
    /// also with keeping it, nothing has changed.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn enforce(
        &self,
        enforced: Enforced,
        keep: impl FnOnce(&Enforced, &Validated) -> Result<()>,
        received: Instant,
    ) -> Result<Done, Vec<Diagnostic>> {
        let mut compiler = self.compiler.lock().await;
        let enforced = Arc::new(enforced);
        let parts = Parts { pushed: Some(Arc::clone(&enforced)), ..compiler.parts.clone() };
        self.put(&mut compiler, parts, |config| keep(&enforced, config), received).await
    }

    /// The same for the device's own configuration, together with what was pushed; `None` when it has none.
    ///
    /// # Errors
    /// As [`Self::enforce`].
    pub async fn enforce_local(
        &self,
        local: Option<Local>,
        keep: impl FnOnce(Option<&Local>) -> Result<()>,
    ) -> Result<Done, Vec<Diagnostic>> {
        let mut compiler = self.compiler.lock().await;
        let local = local.map(Arc::new);
        let parts = Parts { local: local.clone(), ..compiler.parts.clone() };
        self.put(&mut compiler, parts, |_| keep(local.as_deref()), Instant::now()).await
    }

    /// Begins with what was kept. It counts also when it is refused: what comes next is put together with it.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn begin(&self, parts: Parts) -> Result<Done, Vec<Diagnostic>> {
        let mut compiler = self.compiler.lock().await;
        compiler.parts = parts.clone();
        self.put(&mut compiler, parts, |_| Ok(()), Instant::now()).await
    }

    /// What the device's own configuration would be together with what is pushed: the warnings.
    ///
    /// # Errors
    /// Everything that is wrong with it, warnings included.
    pub async fn check_local(&self, local: Option<Local>) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
        let parts = Parts { local: local.map(Arc::new), ..self.compiler.lock().await.parts.clone() };
        tokio::task::block_in_place(|| {
            let loaded = load(&parts.text()?, &Facts::default(), &mut Ids::default(), 1)?;
            let shadows = shadow::warnings(&loaded.compiled);
            Ok(loaded.warnings.into_iter().chain(shadows).collect())
        })
    }

    /// What the configuration consists of, also when it was refused at the start.
    pub async fn parts(&self) -> Parts {
        self.compiler.lock().await.parts.clone()
    }

    /// Compiles, installs, keeps.
    async fn put(
        &self,
        compiler: &mut Compiler,
        parts: Parts,
        keep: impl FnOnce(&Validated) -> Result<()>,
        received: Instant,
    ) -> Result<Done, Vec<Diagnostic>> {
        compiler.generation += 1;
        let Compiler { ids, facts, generation, .. } = &mut *compiler;
        let before = self.running().map(|running| Arc::clone(&running.compiled));
        // Compiling a large rule base takes a while; the threads of this runtime are few.
        let (text, loaded) = tokio::task::block_in_place(|| {
            let text = parts.text()?;
            let loaded = reload(&text, facts, ids, before.as_deref(), *generation)?;
            Ok::<_, Vec<Diagnostic>>((text, loaded))
        })?;
        let Loaded { config, compiled, mut warnings } = loaded;
        let compiled = Arc::new(compiled);
        self.dataplane.install(Arc::clone(&compiled)).await.map_err(|error| failure("install-failed", &error))?;
        let swap = received.elapsed();
        if let Err(error) = tokio::task::block_in_place(|| keep(&config)) {
            self.take_back().await;
            return Err(failure("not-persisted", &error));
        }
        compiler.parts = parts.clone();
        if parts.is_empty() {
            self.running.send_replace(None);
            return Ok(Done { warnings, swap });
        }
        warnings.extend(self.without_port(&compiled));
        let digest = match &parts.pushed {
            Some(pushed) if parts.local.is_none() => pushed.digest.clone(),
            _ => hex::sha256(&text),
        };
        let version = parts.pushed.as_ref().map_or(0, |pushed| pushed.version);
        let running = Running { digest, version, text: text.into(), parts, config: Arc::new(config), compiled };
        self.running.send_replace(Some(Arc::new(running)));
        Ok(Done { warnings, swap })
    }

    /// Takes in what was learned of the network, names, lists, tags, times or paths, and puts the running
    /// configuration in force with it; whether anything was new.
    ///
    /// # Errors
    /// When the configuration cannot be in force with the new facts: the tables of before stay.
    pub async fn learn(&self, change: impl FnOnce(&mut Facts)) -> Result<bool, Vec<Diagnostic>> {
        let mut compiler = self.compiler.lock().await;
        let mut facts = compiler.facts.clone();
        change(&mut facts);
        if facts == compiler.facts {
            return Ok(false);
        }
        compiler.facts = facts;
        let Some(running) = self.running() else { return Ok(true) };
        compiler.generation += 1;
        let Compiler { ids, facts, generation, .. } = &mut *compiler;
        let compiled =
            tokio::task::block_in_place(|| recompile(&running.config, facts, ids, &running.compiled, *generation))?;
        let compiled = Arc::new(compiled);
        self.dataplane.install(Arc::clone(&compiled)).await.map_err(|error| failure("install-failed", &error))?;
        self.running.send_replace(Some(Arc::new(Running { compiled, ..(*running).clone() })));
        Ok(true)
    }

    /// Follows what is enforced: each new configuration, and each time its tables change.
    pub fn follow(&self) -> watch::Receiver<Option<Arc<Running>>> {
        self.running.subscribe()
    }

    /// Enforces nothing that was pushed again, as before the first push, and has that kept.
    ///
    /// # Errors
    /// When a worker does not take it or it cannot be kept: what is enforced stays.
    pub async fn withdraw(&self, keep: impl FnOnce() -> Result<()>) -> Result<(), Vec<Diagnostic>> {
        let mut compiler = self.compiler.lock().await;
        let parts = Parts { pushed: None, ..compiler.parts.clone() };
        self.put(&mut compiler, parts, |_| keep(), Instant::now()).await.map(drop)
    }

    /// Puts the tables of before back under the workers.
    async fn take_back(&self) {
        let tables = match self.running() {
            Some(running) => Arc::clone(&running.compiled),
            None => match nothing() {
                Ok(nothing) => Arc::new(nothing),
                Err(_) => return,
            },
        };
        if let Err(error) = self.dataplane.install(tables).await {
            tracing::error!("the previous configuration could not be put back: {error:#}");
        }
    }

    /// What is enforced now.
    pub fn running(&self) -> Option<Arc<Running>> {
        self.running.borrow().clone()
    }

    /// The workers.
    pub fn dataplane(&self) -> &Dataplane {
        &self.dataplane
    }

    /// Makes the DHCP clients known to the commands; the first ones stay.
    pub fn set_dhcp(&self, handle: dhcp::Handle) {
        // Nobody starts them twice.
        let _ = self.dhcp.set(handle);
    }

    /// The DHCP clients, once they are started.
    pub fn dhcp(&self) -> Option<&dhcp::Handle> {
        self.dhcp.get()
    }

    /// Makes the watch over paths known to the commands; the first one stays.
    pub fn set_path_monitor(&self, handle: pathmon::Handle) {
        // Nobody starts it twice.
        let _ = self.path_monitor.set(handle);
    }

    /// The watch over monitored paths, once it is started.
    pub fn path_monitor(&self) -> Option<&pathmon::Handle> {
        self.path_monitor.get()
    }

    /// Makes packet capture known to the commands; the first one stays.
    pub fn set_capture(&self, handle: capture::Handle) {
        // Nobody starts it twice.
        let _ = self.capture.set(handle);
    }

    /// Packet capture, once it is started.
    pub fn capture(&self) -> Option<&capture::Handle> {
        self.capture.get()
    }

    /// The hardware address by which an interface speaks, while a device is attached for it: a subinterface
    /// by its port's.
    pub fn mac_of(&self, tables: &Compiled, iface: IfaceId) -> Option<[u8; 6]> {
        let part = tables.interface(iface).and_then(|interface| interface.vlan);
        let wire = Port::Data(part.map_or(iface, |(port, _)| port));
        self.dataplane.attachments().iter().find(|one| one.port == wire).map(|one| one.device.mac)
    }

    /// The workers' clock.
    pub fn clock(&self) -> Clock {
        self.dataplane.clock()
    }

    /// Log lines lost between workers and here.
    pub fn logs_lost(&self) -> u64 {
        self.dataplane.logs_lost()
    }

    /// How it is.
    ///
    /// # Errors
    /// When a worker does not answer.
    pub async fn vitals(&self) -> Result<Vitals> {
        let mut vitals = Vitals::default();
        let counters = self.dataplane.on_all(|inside| (inside.engine.counters().clone(), inside.io.clone())).await?;
        for (counters, io) in counters {
            vitals.sessions += counters.sessions_active;
            vitals.packets += counters.rx_packets;
            vitals.drops += counters.dropped_total() + lost(&io);
        }
        Ok(vitals)
    }

    /// Ends the workers.
    pub fn stop(&self) {
        self.dataplane.stop();
    }

    /// Interfaces of a configuration that no device is attached for.
    fn without_port(&self, compiled: &Compiled) -> Vec<Diagnostic> {
        let attached: BTreeMap<_, _> = self.dataplane.attachments().iter().map(|one| (one.port, &one.device)).collect();
        let mut warnings = Vec::new();
        for (id, interface) in compiled.interfaces().filter(|(_, interface)| !interface.loopback) {
            let xpath = format!("/config/devices/entry/network/interface/ethernet/entry[@name='{}']", interface.name);
            let (wire, port) = match interface.vlan {
                Some((wire, _)) => (wire, compiled.interface_name(wire)),
                None => (id, &*interface.name),
            };
            match attached.get(&Port::Data(wire)) {
                None => warnings.push(
                    Diagnostic::warning(
                        "interface-without-port",
                        Origin::xpath(xpath),
                        format!("no network device is attached as `{}`: it neither receives nor sends", interface.name),
                    )
                    .with_help(format!("start the firewall with `--port {port}=DEVICE`")),
                ),
                Some(device) if device.mtu_bytes < u32::from(interface.mtu_bytes) => warnings.push(
                    Diagnostic::warning(
                        "mtu-above-device",
                        Origin::xpath(xpath),
                        format!(
                            "`{}` has an MTU of {} bytes, but its device `{}` takes only {}: larger packets will be lost",
                            interface.name, interface.mtu_bytes, device.name, device.mtu_bytes
                        ),
                    )
                    .with_help(format!("set the MTU of the interface to {}, or raise the device's", device.mtu_bytes)),
                ),
                Some(_) => {}
            }
        }
        warnings
    }
}

/// Tables that forward nothing.
fn nothing() -> Result<Compiled, Vec<Diagnostic>> {
    load("<config/>", &Facts::default(), &mut Ids::default(), 0).map(|nothing| nothing.compiled)
}

/// Frames that were lost around the engine.
fn lost(io: &IoCounters) -> u64 {
    let ports: u64 = io.losses.iter().map(Losses::total).sum();
    ports + io.send_refused + io.port_missing + io.ownerless + io.peer_ring_full
}

fn failure(code: &'static str, error: &anyhow::Error) -> Vec<Diagnostic> {
    vec![Diagnostic::error(code, Origin::default(), format!("{error:#}"))]
}
