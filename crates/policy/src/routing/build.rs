//! Which routes of a configuration are in force?

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bartizan_model::codes::NEXT_HOP_UNREACHABLE;
use bartizan_model::device::{DeviceConfig, Ecmp, EcmpAlgorithm, NextHop, StaticRoute};
use bartizan_model::diagnostic::Diagnostic;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::equal::{Equal, Input, Member, identity};
use super::{Entry, Hop, Router, Routers, Source, State, loops};
use crate::facts::Facts;
use crate::ranges::{Address, ends, innermost};
use crate::tables::{IfaceId, Interface, RouterId};

/// Every IPv4 destination.
const ALL_V4: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0));
/// Every IPv6 destination.
const ALL_V6: IpNet = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0));
/// Administrative distance of a learned default route: that of a static one in PAN-OS.
const LEARNED_DISTANCE: u8 = 10;

/// What the routes of one router refer to.
struct Surroundings<'a> {
    id: RouterId,
    name: &'a str,
    config: &'a DeviceConfig,
    facts: &'a Facts,
    interfaces: &'a [Option<Interface>],
    interface_ids: &'a dyn Fn(&str) -> Option<IfaceId>,
    router_ids: &'a dyn Fn(&str) -> Option<RouterId>,
}

/// Why a route is not in force.
enum Inactive {
    /// Its next hop is in no network that is configured, which was said when the configuration was read.
    Reported,
    Because(String),
}

fn because(reason: impl Into<String>) -> Inactive {
    Inactive::Because(reason.into())
}

/// Builds the tables of all routers, and complains about routes that lead nowhere or in circles.
pub(crate) fn build(
    (config, facts): (&DeviceConfig, &Facts),
    interfaces: &[Option<Interface>],
    interface_ids: &dyn Fn(&str) -> Option<IfaceId>,
    router_ids: &dyn Fn(&str) -> Option<RouterId>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Routers {
    let mut tables = Routers::default();
    for router in &config.routers {
        let Some(id) = router_ids(&router.name) else { continue };
        let around = Surroundings { id, name: &router.name, config, facts, interfaces, interface_ids, router_ids };
        let mut entries = around.own();
        entries.extend(router.routes.iter().map(|route| around.entry(route, diagnostics)));
        entries.extend(around.learned());
        if tables.0.len() <= id.index() {
            tables.0.resize(id.index() + 1, None);
        }
        let path = |hop: Hop| around.path(router.ecmp.as_ref(), hop);
        tables.0[id.index()] = Some(table(entries, router.ecmp.as_ref(), &path));
    }
    loops::check(&tables, &config.routers, router_ids, diagnostics);
    tables
}

/// Chooses the best route of each prefix: source, then administrative distance, metric, and order. With
/// equal-cost multi-path, static routes that differ in nothing but order are in force together.
fn table(mut entries: Vec<Entry>, ecmp: Option<&Ecmp>, path: &dyn Fn(Hop) -> Option<Member>) -> Router {
    let mut best: BTreeMap<IpNet, usize> = BTreeMap::new();
    let usable = |entry: &Entry| entry.hop.is_some() && entry.state != State::Down;
    for (at, _) in entries.iter().enumerate().filter(|(_, entry)| usable(entry)) {
        let rank = |at: usize| {
            let entry: &Entry = &entries[at];
            (entry.source.rank(), entry.admin_distance, entry.metric, at)
        };
        let winner = best.entry(entries[at].destination).or_insert(at);
        if rank(at) < rank(*winner) {
            *winner = at;
        }
    }
    for at in best.values() {
        entries[*at].state = State::Active;
    }
    let equal = ecmp.map(|ecmp| equals(&mut entries, ecmp, &mut best, path)).unwrap_or_default();
    fn family<K: Address>(best: &BTreeMap<IpNet, usize>) -> crate::ranges::Cuts<K> {
        let prefixes = best.iter().filter_map(|(prefix, at)| {
            let (first, last) = ends(*prefix);
            Some((K::of(first)?, K::of(last)?, *at as u32))
        });
        innermost(prefixes.collect(), u32::MAX)
    }
    // An entry that is not in force is never the answer of a look-up; its hop only fills the place.
    let hops = entries.iter().map(|entry| entry.hop.unwrap_or(Hop::Discard)).collect();
    Router { hops, equal, v4: family(&best), v6: family(&best), entries }
}

/// Gathers the routes of equal cost, and leads their prefixes to them. Only routes out of an interface
/// share: a route to another router or into the void is one way for all.
fn equals(
    entries: &mut [Entry],
    ecmp: &Ecmp,
    best: &mut BTreeMap<IpNet, usize>,
    path: &dyn Fn(Hop) -> Option<Member>,
) -> Vec<Equal> {
    let (input, seed) = match &ecmp.algorithm {
        EcmpAlgorithm::IpModulo => (Input::Addresses, 0),
        EcmpAlgorithm::IpHash { ports: true, seed, .. } => (Input::Flow, *seed),
        EcmpAlgorithm::IpHash { source_only: true, seed, .. } => (Input::Source, *seed),
        EcmpAlgorithm::IpHash { seed, .. } => (Input::Addresses, *seed),
        EcmpAlgorithm::Weighted(_) | EcmpAlgorithm::Balanced => (Input::Flow, 0),
    };
    let mut candidates: BTreeMap<IpNet, Vec<Member>> = BTreeMap::new();
    for (at, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.state != State::Down) {
        let Some(winner) = best.get(&entry.destination).and_then(|winner| entries.get(*winner)) else { continue };
        let cost = |entry: &Entry| (entry.source.rank(), entry.admin_distance, entry.metric);
        if entry.source.rank() != Source::Static || cost(entry) != cost(winner) {
            continue;
        }
        if let Some(member) = entry.hop.and_then(path) {
            let paths = candidates.entry(entry.destination).or_default();
            if paths.len() < usize::from(ecmp.paths_max) && paths.iter().all(|known| known.identity != member.identity)
            {
                paths.push(Member { position: at, ..member });
            }
        }
    }
    let mut sets = Vec::new();
    for (prefix, members) in candidates {
        let Some(winner) = best.get_mut(&prefix) else { continue };
        if members.len() < 2 || members.first().is_none_or(|first| first.position != *winner) {
            continue;
        }
        for member in &members {
            entries[member.position].state = State::Equal;
        }
        *winner = entries.len() + sets.len();
        sets.push(Equal { members, input, seed });
    }
    sets
}

/// Link-local addresses mean nothing without their link, so they are not routed.
pub(crate) fn link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

impl Surroundings<'_> {
    /// What a route out of an interface is among routes of equal cost; nothing for any other.
    fn path(&self, ecmp: Option<&Ecmp>, hop: Hop) -> Option<Member> {
        const PLAIN: u8 = 100;
        let (id, gateway) = match hop {
            Hop::Attached(id) => (id, None),
            Hop::Gateway(id, gateway) => (id, Some(gateway)),
            Hop::Local(_) | Hop::Router(_) | Hop::Discard => return None,
        };
        let name = &self.interfaces.get(id.index())?.as_ref()?.name;
        let weights = match ecmp.map(|ecmp| &ecmp.algorithm) {
            Some(EcmpAlgorithm::Weighted(weights)) => weights.as_slice(),
            _ => &[],
        };
        let weight = weights.iter().find(|(known, _)| **known == **name).map_or(PLAIN, |(_, weight)| *weight);
        Some(Member { position: 0, interface: id, weight, identity: identity(name, gateway) })
    }

    /// The interfaces of this router.
    fn members(&self) -> impl Iterator<Item = (IfaceId, &Interface)> {
        self.interfaces
            .iter()
            .enumerate()
            .filter_map(|(at, interface)| Some((IfaceId(at as u16), interface.as_ref()?)))
            .filter(|(_, interface)| interface.router == Some(self.id))
    }

    /// Own addresses and the networks attached to them.
    fn own(&self) -> Vec<Entry> {
        let entry = |interface: &Interface, own: IpNet, source, destination, hop| Entry {
            name: interface.name.to_string(),
            origin: bartizan_model::diagnostic::Origin::default(),
            source,
            destination,
            next_hop: own.addr().to_string(),
            hop: Some(hop),
            metric: 0,
            admin_distance: 0,
            state: State::Idle,
        };
        let mut entries = Vec::new();
        for (id, interface) in self.members() {
            for address in interface.addresses.iter().filter(|address| !link_local(address.addr())) {
                entries.push(entry(interface, *address, Source::Local, IpNet::from(address.addr()), Hop::Local(id)));
                if !interface.loopback && address.prefix_len() < address.max_prefix_len() {
                    entries.push(entry(interface, *address, Source::Connected, address.trunc(), Hop::Attached(id)));
                }
            }
        }
        entries
    }

    /// Default routes by what interfaces learned, where the configuration wants them.
    fn learned(&self) -> impl Iterator<Item = Entry> + '_ {
        self.members().flat_map(|(id, interface)| {
            let written = self.config.interface(&interface.name);
            let known = self.facts.interfaces.get(&*interface.name);
            let dhcp = written.and_then(|written| written.dhcp.as_ref()).filter(|client| client.default_route);
            let autoconf = written.and_then(|written| written.autoconf.as_ref()).filter(|client| client.default_route);
            let wanted = [
                (dhcp.map(|client| client.default_route_metric), "dhcp", ALL_V4),
                (autoconf.map(|client| client.default_route_metric), "autoconf", ALL_V6),
            ];
            wanted.into_iter().filter_map(move |(metric, by, destination)| {
                let gateways = &known?.gateways;
                let same_family = |gateway: &&IpAddr| gateway.is_ipv4() == destination.addr().is_ipv4();
                let gateway = *gateways.iter().find(same_family)?;
                Some(Entry {
                    name: format!("{by} {}", interface.name),
                    origin: written?.origin.clone(),
                    source: Source::Learned,
                    destination,
                    next_hop: gateway.to_string(),
                    // It was learned on this link, so the gateway is there even beside the learned network.
                    hop: Some(Hop::Gateway(id, gateway)),
                    metric: metric?,
                    admin_distance: LEARNED_DISTANCE,
                    state: State::default(),
                })
            })
        })
    }

    fn entry(&self, route: &StaticRoute, diagnostics: &mut Vec<Diagnostic>) -> Entry {
        let hop = self.hop(route);
        if let Err(Inactive::Because(reason)) = &hop {
            let message = format!("route `{}` of router `{}` is not in force: {reason}", route.name, self.name);
            diagnostics.push(Diagnostic::warning(NEXT_HOP_UNREACHABLE, route.origin.clone(), message));
        }
        let down = route.path_monitor.is_some()
            && self.facts.routes_down.contains(&(self.name.to_owned(), route.name.clone()));
        let next_hop = match &route.next_hop {
            NextHop::Address(gateway) => gateway.to_string(),
            NextHop::Router(name) => format!("router {name}"),
            NextHop::Discard => "discard".into(),
            NextHop::Interface => String::new(),
        };
        Entry {
            name: route.name.clone(),
            origin: route.origin.clone(),
            source: Source::Static,
            destination: route.destination.trunc(),
            next_hop,
            hop: hop.ok(),
            metric: route.metric,
            admin_distance: route.admin_distance,
            state: if down { State::Down } else { State::Idle },
        }
    }

    fn hop(&self, route: &StaticRoute) -> Result<Hop, Inactive> {
        match &route.next_hop {
            NextHop::Discard => Ok(Hop::Discard),
            NextHop::Router(name) => {
                let missing = || because(format!("there is no router `{name}`"));
                (self.router_ids)(name).map(Hop::Router).ok_or_else(missing)
            }
            NextHop::Interface => {
                let name = route
                    .interface
                    .as_deref()
                    .ok_or_else(|| because("it names neither an interface nor a next hop"))?;
                let (id, interface) = self.member(name)?;
                if interface.loopback {
                    return Err(because(format!("nothing is attached to `{name}`")));
                }
                Ok(Hop::Attached(id))
            }
            NextHop::Address(gateway) => self.gateway(route, *gateway),
        }
    }

    fn member(&self, name: &str) -> Result<(IfaceId, &Interface), Inactive> {
        (self.interface_ids)(name)
            .and_then(|id| self.members().find(|(member, _)| *member == id))
            .ok_or_else(|| because(format!("interface `{name}` is not in router `{}`", self.name)))
    }

    /// The interface a gateway is attached to.
    fn gateway(&self, route: &StaticRoute, gateway: IpAddr) -> Result<Hop, Inactive> {
        if gateway.is_ipv4() != route.destination.addr().is_ipv4() {
            return Err(because(format!("`{gateway}` and `{}` are of different families", route.destination)));
        }
        if self.members().any(|(_, interface)| interface.addresses.iter().any(|own| own.addr() == gateway)) {
            return Err(because(format!("next hop `{gateway}` is the firewall's own address")));
        }
        if let Some(name) = &route.interface {
            let (id, interface) = self.member(name)?;
            if interface.loopback {
                return Err(because(format!("nothing is attached to `{name}`")));
            }
            // A cloud may hand out a host address and a gateway beside it: with the interface named,
            // the gateway is taken to be on its link, as link-local gateways always are.
            let on_link = link_local(gateway)
                || interface.addresses.iter().any(|own| {
                    own.contains(&gateway)
                        || (own.prefix_len() == own.max_prefix_len() && own.addr().is_ipv4() == gateway.is_ipv4())
                });
            return on_link.then_some(Hop::Gateway(id, gateway)).ok_or_else(|| self.unreachable(Some(name), gateway));
        }
        let attached = self.members().filter(|(_, interface)| !interface.loopback).flat_map(|(id, interface)| {
            let networks = interface.addresses.iter().filter(|own| own.contains(&gateway));
            networks.map(move |own| (own.prefix_len(), id))
        });
        attached
            .max_by_key(|(length, id)| (*length, std::cmp::Reverse(*id)))
            .map(|(_, id)| Hop::Gateway(id, gateway))
            .ok_or_else(|| self.unreachable(None, gateway))
    }

    /// Whether the next hop may yet turn up in a network that an interface gets by DHCP.
    fn unreachable(&self, interface: Option<&str>, gateway: IpAddr) -> Inactive {
        let considered = |name: &str| match interface {
            Some(only) => only == name,
            None => self.members().any(|(_, member)| &*member.name == name),
        };
        let mut waiting =
            self.config.interfaces.iter().filter(|written| written.dhcp.is_some() && considered(&written.name));
        match waiting.next() {
            None => Inactive::Reported,
            Some(written) => because(format!(
                "next hop `{gateway}` is in no connected network, unless `{}` gets one by DHCP",
                written.name
            )),
        }
    }
}
