//! Pings what monitored static routes name, and takes routes with a dead path out of force.
//!
//! One task: it follows the running configuration, sends by the workers and hears replies from them. The
//! probes of a route leave by that route's own next hop, whether the route is in force or not, so a route
//! that was taken out is found alive again.

pub mod monitor;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bartizan_engine::probe::IDENTIFIERS_END;
use bartizan_engine::verdict::{Notice, Time};
use bartizan_model::device::PathMonitor;
use bartizan_packet::answer::{Link, echo_request};
use bartizan_packet::bytes::u16_at;
use bartizan_policy::facts::RouteName;
use bartizan_policy::tables::{Compiled, IfaceId, RouterId};
use ipnet::IpNet;
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use self::monitor::{Monitor, Probe, Standing};
use crate::firewall::Firewall;

/// How long the task sleeps at most.
const SLEEP_MAX: Duration = Duration::from_secs(3600);
/// When to try again what the workers were too busy for.
const RETRY: Duration = Duration::from_millis(200);

/// One monitored route, as it is now.
#[derive(Clone, Debug)]
pub struct View {
    /// The route.
    pub name: RouteName,
    /// Its destination.
    pub destination: IpNet,
    /// Where it leads, while it leads anywhere.
    pub exit: Option<Exit>,
    /// The watch over it.
    pub monitor: Monitor,
}

/// The interface a route leaves by, and the neighbour it leads to; nothing when all its destinations are
/// neighbours.
pub type Exit = (IfaceId, Option<IpAddr>);

/// What the watch knows.
#[derive(Clone, Debug)]
pub struct Handle(watch::Receiver<Vec<View>>);

impl Handle {
    /// All monitored routes.
    pub fn views(&self) -> Vec<View> {
        self.0.borrow().clone()
    }
}

/// Starts the watch. It ends with the workers.
pub fn start(firewall: Arc<Firewall>, echoes: mpsc::Receiver<Notice>) -> Handle {
    let (published, views) = watch::channel(Vec::new());
    let free = (1..IDENTIFIERS_END).collect();
    let service =
        Service { firewall, echoes, published, watches: BTreeMap::new(), free, told: None, down: BTreeSet::new() };
    tokio::spawn(service.run());
    Handle(views)
}

struct Watch {
    destination: IpNet,
    exit: Option<Exit>,
    monitor: Monitor,
}

struct Service {
    firewall: Arc<Firewall>,
    echoes: mpsc::Receiver<Notice>,
    published: watch::Sender<Vec<View>>,
    watches: BTreeMap<RouteName, Watch>,
    /// Identifiers that no destination has.
    free: BTreeSet<u16>,
    /// What the workers listen for.
    told: Option<Arc<BTreeMap<u16, IpAddr>>>,
    /// What the tables know to be down.
    down: BTreeSet<RouteName>,
}

impl Service {
    async fn run(mut self) {
        let mut running = self.firewall.follow();
        self.follow();
        loop {
            let sleep = self.tick().await;
            tokio::select! {
                changed = running.changed() => match changed {
                    Ok(()) => self.follow(),
                    Err(_) => return,
                },
                echo = self.echoes.recv() => match echo {
                    Some(echo) => self.hear(&echo),
                    None => return,
                },
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    fn now(&self) -> Time {
        self.firewall.clock().now()
    }

    /// Starts and ends watches by the configuration that is in force.
    fn follow(&mut self) {
        let Some(running) = self.firewall.running() else { return };
        let now = self.now();
        let mut before = std::mem::take(&mut self.watches);
        let mut fresh = Vec::new();
        for router in &running.config.routers {
            for route in &router.routes {
                let Some(settings) = &route.path_monitor else { continue };
                let v6 = route.destination.addr().is_ipv6();
                let name = RouteName { router: router.name.clone(), v6, route: route.name.clone() };
                let exit = exit(&running.compiled, &name);
                match before.remove(&name) {
                    Some(kept) if kept.monitor.settings() == settings => {
                        let watch = Watch { destination: route.destination, exit, ..kept };
                        self.watches.insert(name, watch);
                    }
                    gone => {
                        self.free.extend(gone.iter().flat_map(identifiers));
                        fresh.push((name, route.destination, exit, settings.clone()));
                    }
                }
            }
        }
        self.free.extend(before.values().flat_map(identifiers));
        for (name, destination, exit, settings) in fresh {
            if let Some(monitor) = self.monitor(settings, now) {
                self.watches.insert(name, Watch { destination, exit, monitor });
            }
        }
    }

    /// A new watch; the configuration was refused if there were not identifiers enough.
    fn monitor(&mut self, settings: PathMonitor, now: Time) -> Option<Monitor> {
        let wanted = settings.destinations.len();
        let identifiers: Vec<u16> = self.free.iter().copied().take(wanted).collect();
        if identifiers.len() < wanted {
            return None;
        }
        for identifier in &identifiers {
            self.free.remove(identifier);
        }
        Some(Monitor::new(settings, identifiers, now))
    }

    fn hear(&mut self, echo: &Notice) {
        let now = self.now();
        let (identifier, sequence) = (u16_at(&echo.bytes, 4), u16_at(&echo.bytes, 6));
        for watch in self.watches.values_mut() {
            watch.monitor.hear(identifier, sequence, now);
        }
    }

    /// Does what is due; gives back how long there is nothing to do.
    async fn tick(&mut self) -> Duration {
        if !self.listen().await {
            return RETRY;
        }
        let now = self.now();
        let mut probes = Vec::new();
        for watch in self.watches.values_mut() {
            let due = watch.monitor.tick(now, rand::random);
            probes.extend(watch.exit.into_iter().flat_map(|exit| due.iter().map(move |probe| (exit, *probe))));
        }
        self.send(probes).await;
        self.tell().await;
        self.publish();
        let due = self.watches.values().filter_map(|watch| watch.monitor.due()).min();
        due.map_or(SLEEP_MAX, |due| Duration::from_nanos(due.0.saturating_sub(self.now().0)))
    }

    /// Has every worker listen for what is probed; whether they do.
    async fn listen(&mut self) -> bool {
        let targets = self.watches.values().flat_map(|watch| watch.monitor.targets());
        let wanted: BTreeMap<u16, IpAddr> =
            targets.map(|target| (target.identifier, target.settings.destination)).collect();
        if self.told.as_ref().is_some_and(|told| **told == wanted) {
            return true;
        }
        let wanted = Arc::new(wanted);
        let heard = Arc::clone(&wanted);
        match self.firewall.dataplane().on_all(move |inside| inside.engine.watch_echoes(Arc::clone(&heard))).await {
            Ok(_) => self.told = Some(wanted),
            Err(error) => warn!("path monitoring waits: {error:#}"),
        }
        self.told.is_some()
    }

    async fn send(&self, probes: Vec<(Exit, Probe)>) {
        if probes.is_empty() {
            return;
        }
        let Some(running) = self.firewall.running() else { return };
        let tables = Arc::clone(&running.compiled);
        let sent = self.firewall.dataplane().on_one(move |inside| {
            for ((iface, gateway), probe) in &probes {
                let next_hop = gateway.unwrap_or(probe.destination);
                let Some(source) = probe.source.or_else(|| source(&tables, *iface, next_hop)) else { continue };
                let nowhere = Link { destination: [0; 6], source: [0; 6] };
                let frame = echo_request(nowhere, source, probe.destination, probe.identifier, probe.sequence);
                // What is not sent is counted by the engine, and not answered.
                let _ = inside.engine.originate(*iface, Some(next_hop), frame, inside.now);
            }
        });
        if let Err(error) = sent.await {
            warn!("path monitoring could not send its probes: {error:#}");
        }
    }

    /// Puts what was found out into the tables.
    async fn tell(&mut self) {
        let down: BTreeSet<RouteName> = self
            .watches
            .iter()
            .filter(|(_, watch)| watch.monitor.standing() != Standing::Up)
            .map(|(name, _)| name.clone())
            .collect();
        if down == self.down {
            return;
        }
        for name in down.difference(&self.down) {
            warn!("the path of route `{}` of router `{}` is dead: the route is out of force", name.route, name.router);
        }
        for name in self.down.difference(&down) {
            info!("route `{}` of router `{}` is back in force", name.route, name.router);
        }
        self.down.clone_from(&down);
        if let Err(diagnostics) = self.firewall.learn(|facts| facts.routes_down = down).await {
            for diagnostic in diagnostics {
                error!("the state of monitored paths is not in force: {diagnostic}");
            }
        }
    }

    fn publish(&self) {
        let view = |(name, watch): (&RouteName, &Watch)| View {
            name: name.clone(),
            destination: watch.destination,
            exit: watch.exit,
            monitor: watch.monitor.clone(),
        };
        self.published.send_replace(self.watches.iter().map(view).collect());
    }
}

fn identifiers(watch: &Watch) -> impl Iterator<Item = u16> {
    watch.monitor.targets().iter().map(|target| target.identifier)
}

fn exit(tables: &Compiled, name: &RouteName) -> Option<Exit> {
    let router: RouterId = tables.router_id(&name.router)?;
    tables.exit(router, name.v6, &name.route)
}

/// The own address that a neighbour on an interface is best asked from.
fn source(tables: &Compiled, iface: IfaceId, next_hop: IpAddr) -> Option<IpAddr> {
    let addresses = &tables.interface(iface)?.addresses;
    let of_family = || addresses.iter().filter(|own| own.addr().is_ipv4() == next_hop.is_ipv4());
    of_family().find(|own| own.contains(&next_hop)).or_else(|| of_family().next()).map(IpNet::addr)
}
