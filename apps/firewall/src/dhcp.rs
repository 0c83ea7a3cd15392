//! Keeps the leases of the interfaces whose address comes by DHCP.
//!
//! One task: it follows the running configuration, hears what the workers pass on, sends by them, tells the
//! firewall what it learned, and keeps the leases on disk, so that a restart asks for the same address.

pub mod client;
pub mod wire;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bartizan_engine::settings::SECOND;
use bartizan_engine::verdict::{Notice, Time};
use bartizan_model::device::{DhcpClient, DhcpHostname};
use bartizan_packet::ethernet::Mac;
use bartizan_policy::facts::Facts;
use bartizan_policy::tables::IfaceId;
use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info, warn};

use self::client::{Client, Lease, Standing};
use self::wire::Message;
use crate::clock::sleep_until;
use crate::firewall::Firewall;
use crate::store::Store;

/// Orders that wait at most.
const ORDERS_MAX: usize = 16;

/// The leases as they are kept: by interface.
pub type Kept = BTreeMap<String, KeptLease>;

/// A lease on disk, with wall-clock times in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptLease {
    /// The address with the length of its network.
    pub network: Ipv4Net,
    /// The gateway.
    pub gateway: Option<Ipv4Addr>,
    /// Who gave it.
    pub server: Ipv4Addr,
    /// The hardware address it was given to.
    pub mac: Mac,
    /// When to renew it.
    pub renew_at_s: i64,
    /// When to rebind it.
    pub rebind_at_s: i64,
    /// When it ends; `None` is never.
    pub expires_s: Option<i64>,
}

/// What one client is at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Its interface.
    pub interface: String,
    /// Where it stands.
    pub standing: Standing,
    /// The address that may be used now.
    pub lease: Option<Lease>,
}

/// What an operator can have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Ask for more time, or for an address, at once.
    Renew,
    /// Give the address back, and ask for none until told to renew.
    Release,
}

/// An order for the client of an interface, and where the answer goes.
type Ordered = (String, Order, oneshot::Sender<Result<View, String>>);

/// The way to the clients.
#[derive(Clone, Debug)]
pub struct Handle {
    orders: mpsc::Sender<Ordered>,
    views: watch::Receiver<Vec<View>>,
}

impl Handle {
    /// All clients, by interface.
    pub fn views(&self) -> Vec<View> {
        self.views.borrow().clone()
    }

    /// Has something done by one client; what it is at then.
    ///
    /// # Errors
    /// When the interface has no client.
    pub async fn order(&self, interface: &str, order: Order) -> Result<View, String> {
        let (answer, answered) = oneshot::channel();
        let gone = || "the DHCP client has ended".to_owned();
        self.orders.send((interface.to_owned(), order, answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

/// Starts the clients. They end with the workers.
pub fn start(firewall: Arc<Firewall>, store: Arc<Store>, notices: mpsc::Receiver<Notice>) -> Handle {
    let kept = store.leases().unwrap_or_else(|error| {
        warn!("{error:#}; addresses are asked for anew");
        Kept::new()
    });
    let (orders, ordered) = mpsc::channel(ORDERS_MAX);
    let (published, views) = watch::channel(Vec::new());
    let service = Service { firewall, store, notices, orders: ordered, published, kept, clients: BTreeMap::new() };
    tokio::spawn(service.run());
    Handle { orders, views }
}

/// The task.
struct Service {
    firewall: Arc<Firewall>,
    store: Arc<Store>,
    notices: mpsc::Receiver<Notice>,
    orders: mpsc::Receiver<Ordered>,
    published: watch::Sender<Vec<View>>,
    kept: Kept,
    clients: BTreeMap<String, Entry>,
}

struct Entry {
    iface: IfaceId,
    mac: Mac,
    hostname: Option<String>,
    client: Client,
    /// The lease that the tables know of.
    told: Option<Lease>,
}

impl Service {
    async fn run(mut self) {
        let clock = self.firewall.clock();
        let mut running = self.firewall.follow();
        self.follow().await;
        loop {
            let due = self.clients.values().filter_map(|entry| entry.client.due()).min();
            tokio::select! {
                changed = running.changed() => match changed {
                    Ok(()) => self.follow().await,
                    Err(_) => return,
                },
                notice = self.notices.recv() => match notice {
                    Some(notice) => self.hear(&notice).await,
                    None => return,
                },
                Some((interface, order, answer)) = self.orders.recv() => {
                    // Whoever asked may have stopped waiting.
                    let _ = answer.send(self.carry_out(&interface, order).await);
                }
                () = sleep_until(clock, due) => self.tick().await,
            }
        }
    }

    fn now(&self) -> Time {
        self.firewall.clock().now()
    }

    /// Starts and ends clients by the configuration that is in force.
    async fn follow(&mut self) {
        let Some(running) = self.firewall.running() else { return };
        let wanted: BTreeMap<String, DhcpClient> = running
            .config
            .interfaces
            .iter()
            .filter_map(|interface| Some((interface.name.clone(), interface.dhcp.clone()?)))
            .collect();
        let gone: Vec<String> = self.clients.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
        for name in gone {
            if let Some(mut entry) = self.clients.remove(&name) {
                let lease = entry.client.lease().cloned();
                let message = entry.client.release(self.now());
                self.send(&entry, lease.as_ref(), message).await;
                self.keep(&name, None);
                self.tell(&name, None).await;
            }
        }
        for (name, settings) in wanted {
            let hostname = settings.hostname.map(|hostname| match hostname {
                DhcpHostname::System => crate::hostname(),
                DhcpHostname::Named(name) => name,
            });
            match self.clients.get_mut(&name) {
                Some(entry) => entry.hostname = hostname,
                None => self.add(&name, hostname),
            }
        }
        self.tick().await;
    }

    /// A client for an interface that has a port.
    fn add(&mut self, name: &str, hostname: Option<String>) {
        let Some(running) = self.firewall.running() else { return };
        let Some(iface) = running.compiled.interface_id(name) else { return };
        let Some(mac) = self.firewall.mac_of(&running.compiled, iface) else { return };
        let now = self.now();
        let remembered = self.kept.get(name).filter(|kept| kept.mac == mac).map(|kept| self.restore(kept, now));
        let client = Client::new(rand::random(), now, remembered);
        self.clients.insert(name.to_owned(), Entry { iface, mac, hostname, client, told: None });
    }

    async fn hear(&mut self, notice: &Notice) {
        let now = self.now();
        let Some((name, entry)) = self.clients.iter_mut().find(|(_, entry)| entry.iface == notice.iface) else {
            return;
        };
        let Some(reply) = wire::read(&notice.bytes, entry.mac) else { return };
        let (name, before) = (name.clone(), entry.client.lease().cloned());
        let message = entry.client.hear(&reply, now);
        self.after(&name, before, message).await;
    }

    async fn carry_out(&mut self, interface: &str, order: Order) -> Result<View, String> {
        let now = self.now();
        let known: Vec<_> = self.clients.keys().map(|name| format!("`{name}`")).collect();
        let Some(entry) = self.clients.get_mut(interface) else {
            return Err(format!("`{interface}` has no DHCP client; those that have: {}", known.join(", ")));
        };
        let before = entry.client.lease().cloned();
        let message = match order {
            Order::Renew => entry.client.renew(now),
            Order::Release => entry.client.release(now),
        };
        self.after(interface, before, message).await;
        let view = self.clients.get(interface).map(|entry| entry.view(interface));
        view.ok_or_else(|| format!("`{interface}` has no DHCP client any more"))
    }

    async fn tick(&mut self) {
        let now = self.now();
        let due: Vec<String> = self
            .clients
            .iter()
            .filter(|(_, entry)| entry.client.due().is_some_and(|due| due <= now))
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            let Some(entry) = self.clients.get_mut(&name) else { continue };
            let before = entry.client.lease().cloned();
            let message = entry.client.tick(now);
            self.after(&name, before, message).await;
        }
        self.publish();
    }

    /// What a client said is sent, and what it has now is told and kept.
    async fn after(&mut self, name: &str, before: Option<Lease>, message: Option<Message>) {
        if let Some(entry) = self.clients.get(name) {
            self.send(entry, before.as_ref(), message).await;
        }
        let Some(entry) = self.clients.get_mut(name) else { return };
        let lease = entry.client.lease().cloned();
        if lease != entry.told {
            entry.told.clone_from(&lease);
            match &lease {
                Some(lease) => info!("`{name}` has {} by DHCP from {}", lease.network, lease.server),
                None => info!("`{name}` has no DHCP lease any more"),
            }
            self.keep(name, lease.as_ref());
            self.tell(name, lease.as_ref()).await;
        }
        self.publish();
    }

    /// Sends a message by the interface; to its server by way of the lease's gateway where that is needed.
    async fn send(&self, entry: &Entry, lease: Option<&Lease>, message: Option<Message>) {
        let Some(message) = message else { return };
        let next_hop = message.to.map(|server| match lease {
            Some(lease) if !lease.network.contains(&server) => IpAddr::V4(lease.gateway.unwrap_or(server)),
            _ => IpAddr::V4(server),
        });
        let frame = match wire::frame(&message, entry.mac, entry.hostname.as_deref()) {
            Ok(frame) => frame,
            Err(reason) => return error!("a DHCP message cannot be written: {reason}"),
        };
        let iface = entry.iface;
        let sent = self.firewall.dataplane();
        // What is not sent is counted by the engine, and sent again when no answer comes.
        let sent = sent.on_one(move |inside| inside.engine.originate(iface, next_hop, frame, inside.now)).await;
        if let Err(error) = sent {
            warn!("a DHCP message was not sent: {error:#}");
        }
    }

    /// Puts what was learned into the tables.
    async fn tell(&self, name: &str, lease: Option<&Lease>) {
        let learned = lease.map(|lease| (IpNet::V4(lease.network), lease.gateway));
        if let Err(diagnostics) = self.firewall.learn(|facts| learn(facts, name, learned)).await {
            for diagnostic in diagnostics {
                error!("the lease of `{name}` is not in force: {diagnostic}");
            }
        }
    }

    /// Puts a lease on disk, or takes it off.
    fn keep(&mut self, name: &str, lease: Option<&Lease>) {
        let mac = self.clients.get(name).map(|entry| entry.mac);
        match lease.zip(mac) {
            Some((lease, mac)) => self.kept.insert(name.to_owned(), self.to_keep(lease, mac)),
            None => self.kept.remove(name),
        };
        if let Err(error) = tokio::task::block_in_place(|| self.store.keep_leases(&self.kept)) {
            warn!("{error:#}; after a restart another address may be given");
        }
    }

    fn to_keep(&self, lease: &Lease, mac: Mac) -> KeptLease {
        let clock = self.firewall.clock();
        let wall = |time: Time| clock.wall(time).as_second();
        KeptLease {
            network: lease.network,
            gateway: lease.gateway,
            server: lease.server,
            mac,
            renew_at_s: wall(lease.renew_at),
            rebind_at_s: wall(lease.rebind_at),
            expires_s: lease.expires.map(wall),
        }
    }

    fn restore(&self, kept: &KeptLease, now: Time) -> Lease {
        let wall = self.firewall.clock().wall(now).as_second();
        let time = |at_s: i64| now.after(u64::try_from(at_s.saturating_sub(wall)).unwrap_or(0).saturating_mul(SECOND));
        Lease {
            network: kept.network,
            gateway: kept.gateway,
            server: kept.server,
            renew_at: time(kept.renew_at_s),
            rebind_at: time(kept.rebind_at_s),
            expires: kept.expires_s.map(time),
        }
    }

    fn publish(&self) {
        let views: Vec<View> = self.clients.iter().map(|(name, entry)| entry.view(name)).collect();
        self.published.send_if_modified(|known| {
            let news = *known != views;
            *known = views;
            news
        });
    }
}

impl Entry {
    fn view(&self, interface: &str) -> View {
        View { interface: interface.to_owned(), standing: self.client.standing(), lease: self.client.lease().cloned() }
    }
}

/// Replaces what IPv4 had learned on one interface.
fn learn(facts: &mut Facts, name: &str, learned: Option<(IpNet, Option<Ipv4Addr>)>) {
    let known = facts.interfaces.entry(name.to_owned()).or_default();
    known.addresses.retain(|address| !address.addr().is_ipv4());
    known.gateways.retain(|gateway| !gateway.is_ipv4());
    if let Some((network, gateway)) = learned {
        known.addresses.push(network);
        known.gateways.extend(gateway.map(IpAddr::V4));
    }
    if known.addresses.is_empty() && known.gateways.is_empty() {
        facts.interfaces.remove(name);
    }
}
