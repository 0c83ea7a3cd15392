//! Which firewall do the node's pods use now, and which pods use one? The node agent beside the installer.
//!
//! Three watches (endpoints, pods, namespaces), a loop that asks firewalls whether they are well and writes the
//! node's maps, one that tells coverage, and a small HTTP server.

pub(crate) mod coverage;
pub(crate) mod endpoints;
mod health;
mod metrics;
mod watch;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::api::Object;
use crate::datapath::netlink::Netlink;
use crate::datapath::node::{self, Node, Ranges};
use crate::install::{self, environment::Environment};
use crate::journal::Journal;
use coverage::Pod;
use endpoints::{Choice, Endpoint, Here, Slice};
use health::Watchers;

/// How often firewalls are asked. Two misses are enough, so pods know in less than three seconds.
const HEALTH_PERIOD: Duration = Duration::from_secs(1);
/// How often the coverage facts are written at most.
const COVERAGE_PERIOD: Duration = Duration::from_secs(5);
/// A loop that has not come round for so long is stuck.
const STUCK: Duration = Duration::from_secs(30);

/// The agent's threads.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    shared: Arc<Shared>,
}

/// What the threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    environment: Environment,
    journal: Journal,
    known: Mutex<Known>,
}

/// What is known now.
#[derive(Debug)]
struct Known {
    slices: BTreeMap<String, Slice>,
    pods: BTreeMap<String, Pod>,
    namespaces: BTreeMap<String, Object>,
    /// All three lists were read once.
    pods_listed: bool,
    namespaces_listed: bool,
    zone: Option<String>,
    endpoints: Vec<Endpoint>,
    well: BTreeMap<Ipv4Addr, bool>,
    choice: Option<Choice>,
    swaps: u64,
    repairs: u64,
    api_problems: u64,
    stands: bool,
    installer_seen: Instant,
    health_seen: Instant,
}

impl Agent {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the HTTP server's address is taken.
    pub(crate) fn start(environment: &Environment) -> Result<Self> {
        let known = Known {
            slices: BTreeMap::new(),
            pods: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            pods_listed: false,
            namespaces_listed: false,
            zone: None,
            endpoints: Vec::new(),
            well: BTreeMap::new(),
            choice: None,
            swaps: 0,
            repairs: 0,
            api_problems: 0,
            stands: false,
            installer_seen: Instant::now(),
            health_seen: Instant::now(),
        };
        let journal = Journal::new(&environment.settings.places.log);
        let shared = Arc::new(Shared { environment: environment.clone(), journal, known: Mutex::new(known) });
        metrics::serve(&shared).with_context(|| format!("listen at {}", environment.listen))?;
        for task in [watch_endpoints, watch_pods, watch_namespaces, keep_healthy, tell_coverage] {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || task(&shared));
        }
        Ok(Self { shared })
    }

    /// The installer has looked at its files.
    pub(crate) fn round_done(&self, stands: bool, repairs: u64) {
        let mut known = self.shared.known();
        known.installer_seen = Instant::now();
        (known.stands, known.repairs) = (stands, repairs);
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A watch could not be held; each kind of trouble is told once.
    fn trouble(&self, what: &str, said: &mut String, error: &anyhow::Error) {
        self.known().api_problems += 1;
        let text = format!("{what}: {error:#}");
        if *said != text {
            self.journal.line(&text);
            *said = text;
        }
    }

    fn alive(&self) -> bool {
        let known = self.known();
        known.installer_seen.elapsed() < STUCK && known.health_seen.elapsed() < STUCK
    }
}

fn watch_endpoints(shared: &Shared) {
    let settings = &shared.environment.settings;
    let paths = ["v1", "v1beta1"].map(|version| {
        format!("/apis/discovery.k8s.io/{version}/namespaces/{}/endpointslices", settings.service_namespace)
    });
    let selector = format!("labelSelector=kubernetes.io%2Fservice-name%3D{}", settings.service);
    watch::follow(shared, "endpoints", &paths, &selector, |slices: &BTreeMap<String, Slice>| {
        let zone = zone(shared);
        let mut known = shared.known();
        if zone.is_some() {
            known.zone = zone;
        }
        known.slices.clone_from(slices);
        known.endpoints = endpoints::endpoints(known.slices.values());
    });
}

/// The node's zone, as its labels have it.
fn zone(shared: &Shared) -> Option<String> {
    let path = format!("/api/v1/nodes/{}", shared.environment.node);
    let node = shared.environment.client().and_then(|client| client.get::<Object>(&path)).ok()??;
    let labels = ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"];
    labels.iter().find_map(|label| node.metadata.labels.get(*label).cloned())
}

fn watch_pods(shared: &Shared) {
    let selector = format!("fieldSelector=spec.nodeName%3D{}", shared.environment.node);
    watch::follow(shared, "pods", &["/api/v1/pods".to_owned()], &selector, |pods: &BTreeMap<String, Pod>| {
        let mut known = shared.known();
        known.pods_listed = true;
        known.pods.clone_from(pods);
    });
}

fn watch_namespaces(shared: &Shared) {
    let paths = ["/api/v1/namespaces".to_owned()];
    watch::follow(shared, "namespaces", &paths, "", |namespaces: &BTreeMap<String, Object>| {
        let mut known = shared.known();
        known.namespaces_listed = true;
        known.namespaces.clone_from(namespaces);
    });
}

/// Asks the firewalls, chooses, and writes the node's maps.
fn keep_healthy(shared: &Shared) {
    let mut watchers = Watchers::new(&shared.environment.settings.health);
    let mut before = Ranges::new();
    let mut said = String::new();
    loop {
        let begun = Instant::now();
        let endpoints = shared.known().endpoints.clone();
        let well = watchers.ask(&endpoints.iter().map(|endpoint| endpoint.address).collect::<Vec<_>>());
        let choice = choose(shared, &endpoints, well);
        let turn = install::turn(&shared.environment.settings.places);
        match turn.as_ref().map(|_turn| write_maps(shared, &endpoints, choice.as_ref(), &before)) {
            None => {}
            Some(Ok(ranges)) => {
                before = ranges;
                said.clear();
            }
            Some(Err(error)) => {
                let text = format!("the node's maps cannot be written: {error:#}");
                if said != text {
                    shared.journal.line(&text);
                    said = text;
                }
            }
        }
        drop(turn);
        shared.known().health_seen = Instant::now();
        std::thread::sleep(HEALTH_PERIOD.saturating_sub(begun.elapsed()));
    }
}

fn choose(shared: &Shared, endpoints: &[Endpoint], well: BTreeMap<Ipv4Addr, bool>) -> Option<Choice> {
    let mut known = shared.known();
    let here = Here { node: &shared.environment.node, zone: known.zone.as_deref() };
    let current = known.choice.as_ref().map(|choice| choice.address);
    let choice = endpoints::choose(endpoints, &well, &here, current);
    known.well = well;
    if choice == known.choice {
        return choice;
    }
    let line = match &choice {
        Some(choice) => format!("pods are tunnelled to {choice}"),
        None => "no firewall is well: each pod's failure mode holds".to_owned(),
    };
    known.choice.clone_from(&choice);
    known.swaps += 1;
    drop(known);
    shared.journal.line(&line);
    choice
}

fn write_maps(shared: &Shared, endpoints: &[Endpoint], choice: Option<&Choice>, before: &Ranges) -> Result<Ranges> {
    let settings = &shared.environment.settings;
    let node = Node::mounted(&settings.places.bpf)?;
    let own = Netlink::open()?.addresses(None)?;
    let addresses: Vec<Ipv4Addr> = endpoints.iter().map(|endpoint| endpoint.address).collect();
    let ranges = node::ranges(settings, &own, &addresses);
    node.reconcile(&ranges, before)?;
    let wanted = choice.map(|choice| choice.address);
    if node.endpoint()? != wanted {
        node.point_at(wanted)?;
    }
    Ok(ranges)
}

/// Writes the coverage facts whenever they change.
fn tell_coverage(shared: &Shared) {
    let mut written = None;
    let mut said = String::new();
    loop {
        std::thread::sleep(COVERAGE_PERIOD);
        let facts = coverage::facts(shared);
        let Some(facts) = facts.filter(|facts| Some(facts) != written.as_ref()) else { continue };
        match coverage::write(shared, &facts) {
            Ok(()) => {
                written = Some(facts);
                said.clear();
            }
            Err(error) => shared.trouble("the coverage facts cannot be written", &mut said, &error),
        }
    }
}
