//! Who puts the plugin on a node, keeps it there and takes it away? The main loop of the DaemonSet `pan-cni`.

pub(crate) mod conflist;
pub(crate) mod environment;
pub(crate) mod folder;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::agent::Agent;
use crate::api::{Object, Refusal};
use crate::journal::Journal;
use crate::kubeconfig;
use crate::settings::Places;
use crate::state::Lock;
use environment::{Environment, KUBECONFIG};
use folder::Tended;

/// How often the folders are looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// Application pods may mount this folder, so that they cannot start before the plugin stands.
const READY: &str = "pan-cni-ready";
/// Says to a running installer and agent that the plugin was taken out on purpose: they touch nothing any more. They
/// do not end before they are told to, since the container would end with them, and in it whoever takes the plugin out.
const UNINSTALLED: &str = "uninstalled";
/// Held by whoever writes the node's files or maps. No container is called so.
const TURN: &str = ".installer";
/// The DaemonSet whose removal takes the plugin out.
const DAEMON_SET: &str = "pan-cni";

/// Installs, and stays until it is told to go.
///
/// # Errors
/// When the plugin cannot be put in at all; what fails later is told in log and readiness, and tried again.
pub(crate) fn install(environment: &Environment) -> Result<()> {
    let journal = Journal::new(&environment.settings.places.log);
    let going = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&going)).context("listen for signals")?;
    }
    let uninstalled = environment.settings.places.state.join(UNINSTALLED);
    fs::create_dir_all(&environment.settings.places.state).context("make the state folder")?;
    folder::remove(&uninstalled)?;
    let program = std::env::current_exe().and_then(fs::read).context("read this program")?;
    folder::put_program(&environment.bin_dir, &program)?;
    drop(program);
    let agent = Agent::start(environment)?;
    journal.line(&format!("the node agent of `{}` has started", environment.node));
    let mut keeper = Keeper::new(environment, journal.clone());
    while !going.load(Ordering::Relaxed) {
        let stands = turn(&environment.settings.places).is_some_and(|_turn| keeper.round());
        agent.round_done(stands, keeper.repairs);
        std::thread::sleep(PERIOD);
    }
    if !uninstalled.exists() && removed(environment) {
        uninstall(environment)?;
    }
    journal.line(&format!("the node agent of `{}` has ended", environment.node));
    Ok(())
}

/// Lets nobody take the plugin out meanwhile; none when somebody has.
pub(crate) fn turn(places: &Places) -> Option<Lock> {
    let uninstalled = places.state.join(UNINSTALLED);
    if uninstalled.exists() {
        return None;
    }
    let lock = Lock::take(&places.state, TURN).ok()?;
    (!uninstalled.exists()).then_some(lock)
}

/// Takes the plugin out when the DaemonSet is being removed. When it is only replaced, everything stays: a pod that
/// starts meanwhile must not slip through.
pub(crate) fn uninstall_if_removed(environment: &Environment) -> Result<()> {
    if removed(environment) { uninstall(environment) } else { Ok(()) }
}

/// Takes the plugin out. Running pods keep their tunnels, without anybody who watches over the firewalls.
pub(crate) fn uninstall(environment: &Environment) -> Result<()> {
    let places = &environment.settings.places;
    fs::create_dir_all(&places.state).context("make the state folder")?;
    let _turn = Lock::take(&places.state, TURN)?;
    fs::write(places.state.join(UNINSTALLED), "").context("tell the installer to rest")?;
    folder::clear(&environment.net_dir)?;
    folder::remove(&environment.net_dir.join(KUBECONFIG))?;
    folder::remove(&environment.bin_dir.join(conflist::TYPE))?;
    let _not_there = fs::remove_dir(places.log.join(READY));
    for rest in [places.bpf.clone(), places.state.join("pods"), places.state.join("locks")] {
        if rest.exists() {
            fs::remove_dir_all(&rest).with_context(|| format!("remove `{}`", rest.display()))?;
        }
    }
    Journal::new(&places.log).line(&format!("the plugin was taken out of `{}`", environment.node));
    Ok(())
}

/// Whether the DaemonSet is gone or going. Who may not ask any more has been removed, too; who cannot ask has not.
fn removed(environment: &Environment) -> bool {
    let path = format!("/apis/apps/v1/namespaces/{}/daemonsets/{DAEMON_SET}", environment.namespace);
    match environment.client().and_then(|client| client.get::<Object>(&path)) {
        Ok(Some(object)) => object.metadata.deleted.is_some(),
        Ok(None) => true,
        Err(error) => error.downcast_ref::<Refusal>().is_some_and(|refusal| matches!(refusal.status, 401 | 403)),
    }
}

/// Keeps files as they should be, and says what changed.
struct Keeper<'a> {
    environment: &'a Environment,
    journal: Journal,
    begun: Instant,
    repairs: u64,
    kubeconfig: String,
    said: String,
}

impl<'a> Keeper<'a> {
    fn new(environment: &'a Environment, journal: Journal) -> Self {
        Self { environment, journal, begun: Instant::now(), repairs: 0, kubeconfig: String::new(), said: String::new() }
    }

    /// One look at everything; whether the plugin stands.
    fn round(&mut self) -> bool {
        match self.tend() {
            Ok(Tended::Stands(_)) => {
                self.said.clear();
                true
            }
            Ok(Tended::Put(name)) => {
                self.repairs += 1;
                self.say(&format!("the plugin was put into `{name}`"));
                true
            }
            Ok(Tended::Waiting) => {
                if self.begun.elapsed() >= self.environment.ready_delay {
                    let which =
                        self.environment.conf_name.as_deref().unwrap_or("a file of the cluster's own CNI plugin");
                    self.say(&format!("waiting for {which} in `{}`", self.environment.net_dir.display()));
                }
                false
            }
            Err(error) => {
                self.say(&format!("the plugin cannot be put in: {error:#}"));
                false
            }
        }
    }

    fn tend(&mut self) -> Result<Tended> {
        self.write_kubeconfig()?;
        let environment = self.environment;
        let tended = if environment.chained {
            folder::tend(&environment.net_dir, environment.conf_name.as_deref(), &environment.plugin)?
        } else {
            folder::tend_alone(&environment.net_dir, &environment.plugin)?
        };
        if tended != Tended::Waiting {
            let ready = environment.settings.places.log.join(READY);
            fs::create_dir_all(&ready).with_context(|| format!("make `{}`", ready.display()))?;
        }
        Ok(tended)
    }

    /// The plugin runs on the node, where the service account's files are not.
    fn write_kubeconfig(&mut self) -> Result<()> {
        let access = self.environment.access()?;
        let authority = access.authority.unwrap_or_default();
        let text = kubeconfig::text(&access.server, &authority, &access.token.unwrap_or_default());
        let there = self.environment.net_dir.join(KUBECONFIG).exists();
        if text != self.kubeconfig || !there {
            folder::write(&self.environment.net_dir, KUBECONFIG, text.as_bytes(), 0o600)?;
            self.kubeconfig = text;
        }
        Ok(())
    }

    /// Each thing once.
    fn say(&mut self, text: &str) {
        if self.said != text {
            self.journal.line(text);
            text.clone_into(&mut self.said);
        }
    }
}
