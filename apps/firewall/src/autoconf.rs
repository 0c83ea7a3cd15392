//! Keeps the IPv6 addresses and default routers that links give by advertisement.
//!
//! One task: it follows the running configuration, asks routers, hears what the workers pass on, and tells the
//! firewall what it learned.

pub mod link;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use bartizan_engine::verdict::{Notice, Time};
use bartizan_packet::ndp::{RouterAdvertisement, solicit_routers};
use bartizan_policy::facts::Facts;
use bartizan_policy::tables::IfaceId;
use ipnet::{IpNet, Ipv6Net};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use self::link::Link;
use crate::clock::sleep_until;
use crate::firewall::Firewall;

/// Listens to routers until the workers end.
pub async fn run(firewall: Arc<Firewall>, mut notices: mpsc::Receiver<Notice>) {
    let clock = firewall.clock();
    let mut running = firewall.follow();
    let mut service = Service { firewall, links: BTreeMap::new() };
    service.follow().await;
    loop {
        let due = service.links.values().filter_map(|entry| entry.link.due()).min();
        tokio::select! {
            changed = running.changed() => match changed {
                Ok(()) => service.follow().await,
                Err(_) => return,
            },
            notice = notices.recv() => match notice {
                Some(notice) => service.hear(&notice).await,
                None => return,
            },
            () = sleep_until(clock, due) => service.tick().await,
        }
    }
}

struct Service {
    firewall: Arc<Firewall>,
    links: BTreeMap<String, Entry>,
}

struct Entry {
    iface: IfaceId,
    mac: [u8; 6],
    link: Link,
    /// What the tables know of.
    told: (Vec<Ipv6Net>, Vec<Ipv6Addr>),
}

impl Service {
    fn now(&self) -> Time {
        self.firewall.clock().now()
    }

    /// Begins and ends to listen by the configuration that is in force.
    async fn follow(&mut self) {
        let Some(running) = self.firewall.running() else { return };
        let tables = &running.compiled;
        let wanted: BTreeMap<String, IfaceId> = tables
            .interfaces()
            .filter(|(_, interface)| interface.autoconf)
            .map(|(id, interface)| (interface.name.to_string(), id))
            .collect();
        let gone: Vec<String> = self.links.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
        for name in gone {
            self.links.remove(&name);
            self.tell(&name, (Vec::new(), Vec::new())).await;
        }
        let now = self.now();
        for (name, iface) in wanted {
            if self.links.contains_key(&name) {
                continue;
            }
            if let Some(mac) = self.firewall.mac_of(tables, iface) {
                let entry = Entry { iface, mac, link: Link::new(mac, now), told: (Vec::new(), Vec::new()) };
                self.links.insert(name, entry);
            }
        }
        self.tick().await;
    }

    async fn hear(&mut self, notice: &Notice) {
        let now = self.now();
        let (IpAddr::V6(router), Some(said)) = (notice.source, RouterAdvertisement::read(&notice.bytes)) else {
            return;
        };
        let Some((name, entry)) = self.links.iter_mut().find(|(_, entry)| entry.iface == notice.iface) else { return };
        entry.link.hear(router, &said, now);
        let name = name.clone();
        self.settle(&name).await;
    }

    async fn tick(&mut self) {
        let now = self.now();
        for name in self.links.keys().cloned().collect::<Vec<_>>() {
            let Some(entry) = self.links.get_mut(&name) else { continue };
            if entry.link.tick(now) {
                let (iface, question) = (entry.iface, solicit_routers(entry.mac));
                let sent = self.firewall.dataplane();
                // What is not sent is counted by the engine, and asked again.
                let sent = sent.on_one(move |inside| inside.engine.originate(iface, None, question, inside.now)).await;
                if let Err(error) = sent {
                    warn!("the routers of `{name}` were not asked: {error:#}");
                }
            }
            self.settle(&name).await;
        }
    }

    /// Tells what a link has now, when that is news.
    async fn settle(&mut self, name: &str) {
        let Some(entry) = self.links.get_mut(name) else { return };
        let learned = entry.link.learned();
        if learned == entry.told {
            return;
        }
        entry.told.clone_from(&learned);
        let own: Vec<_> = learned.0.iter().map(ToString::to_string).collect();
        let routers: Vec<_> = learned.1.iter().map(ToString::to_string).collect();
        info!("`{name}` has [{}] by router advertisement, routers [{}]", own.join(", "), routers.join(", "));
        self.tell(name, learned).await;
    }

    async fn tell(&self, name: &str, learned: (Vec<Ipv6Net>, Vec<Ipv6Addr>)) {
        if let Err(diagnostics) = self.firewall.learn(|facts| learn(facts, name, learned)).await {
            for diagnostic in diagnostics {
                error!("what routers told on `{name}` is not in force: {diagnostic}");
            }
        }
    }
}

/// Replaces what IPv6 had learned on one interface.
fn learn(facts: &mut Facts, name: &str, (own, routers): (Vec<Ipv6Net>, Vec<Ipv6Addr>)) {
    let known = facts.interfaces.entry(name.to_owned()).or_default();
    known.addresses.retain(|address| address.addr().is_ipv4());
    known.gateways.retain(IpAddr::is_ipv4);
    known.addresses.extend(own.into_iter().map(IpNet::V6));
    known.gateways.extend(routers.into_iter().map(IpAddr::V6));
    if known.addresses.is_empty() && known.gateways.is_empty() {
        facts.interfaces.remove(name);
    }
}
