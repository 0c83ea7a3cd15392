//! What do the rules say about a flow? Read from the configuration as it is written, one loop per
//! question, without tables.

use std::net::IpAddr;

use bartizan_model::device::{
    Action, AddressValue, DeviceConfig, Distribution, GroupMembers, InterfaceKind, ManagementProfile, NatRule, NextHop,
    PortPool, RuleKind, SecurityRule, ServiceGroup, ServiceProtocol, ServiceTimeouts, SourceTranslation, StaticRoute,
    TrafficKind, TrafficObject,
};
use bartizan_policy::facts::Facts;
use ipnet::IpNet;

use super::super::frames::Tuple;
use super::farm::Farm;
use super::paths::{Among, Path, choose};

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The firewall's own address on this interface.
    Own(String),
    /// Out by this interface to this neighbour.
    Out(String, IpAddr),
    /// Nowhere.
    None,
}

/// What becomes of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NewSource {
    Same,
    /// This address with the same port.
    Fixed(IpAddr),
    /// One of these addresses, with a port nobody else has; `kept` by the client's sessions of this rule.
    OneOf {
        ranges: Vec<(IpAddr, IpAddr)>,
        kept: Option<String>,
        of_interface: bool,
    },
    /// One of these addresses that no other client has, with the same port; or one of the fallback's.
    Own {
        ranges: Vec<(IpAddr, IpAddr)>,
        fallback: Option<Vec<(IpAddr, IpAddr)>>,
        of_interface: bool,
        rule: String,
    },
}

/// Address and port that a destination becomes, if it is translated.
pub(crate) type NewDestination = Option<(IpAddr, Option<u16>)>;

/// What the rules say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ruling {
    pub(crate) rule: String,
    pub(crate) action: Action,
    pub(crate) icmp_unreachable: bool,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) way: Way,
    pub(crate) source: NewSource,
    pub(crate) destination: NewDestination,
    /// The NAT rule.
    pub(crate) nat: Option<String>,
    /// How the destination was chosen among several.
    pub(crate) spread: Option<Distribution>,
    /// The idle times of the service.
    pub(crate) service: ServiceTimeouts,
}

/// What is configured, and what is known besides.
#[derive(Clone, Copy)]
pub(crate) struct Now<'a> {
    pub(crate) config: &'a DeviceConfig,
    pub(crate) facts: &'a Facts,
    pub(crate) farm: Farm<'a>,
}

/// Asks the rules; `None` when the flow ends before they are asked.
pub(crate) fn decide(now: Now<'_>, ingress: &str, flow: &Tuple) -> Option<Ruling> {
    let config = now.config;
    let from = zone_of(config, ingress)?;
    router_of(config, ingress)?;
    let original = way_from(now, ingress, flow.destination, Among::Flow(flow));
    let original_exit = match &original {
        Way::Own(interface) | Way::Out(interface, _) => Some(interface.as_str()),
        Way::None => None,
    };
    let original_to = original_exit.and_then(|exit| zone_of(config, exit));
    let Translation { source, destination, nat, spread } = translate(now, from, original_to, original_exit, flow);
    let way = match destination {
        Some((address, _)) => way_from(now, ingress, address, Among::Flow(flow)),
        None => original,
    };
    let exit = match &way {
        Way::Own(interface) | Way::Out(interface, _) => interface,
        Way::None => return None,
    };
    let to = zone_of(config, exit)?;
    for written in &config.security_rules {
        if security_matches(now, written, from, to, flow) {
            let (rule, action, icmp_unreachable) = (written.name.clone(), written.action, written.icmp_unreachable);
            return Some(Ruling {
                rule,
                action,
                icmp_unreachable,
                from: from.into(),
                to: to.into(),
                way,
                source,
                destination,
                nat,
                spread,
                service: service_timeouts(config, &written.service, flow),
            });
        }
    }
    let (name, default) = if from == to {
        ("intrazone-default", &config.intrazone_default)
    } else {
        ("interzone-default", &config.interzone_default)
    };
    let (rule, action) = (name.into(), default.action);
    Some(Ruling {
        rule,
        action,
        icmp_unreachable: false,
        from: from.into(),
        to: to.into(),
        way,
        source,
        destination,
        nat,
        spread,
        service: ServiceTimeouts::default(),
    })
}

/// Where packets that came by an interface go: out of a tunnel not necessarily where the router says.
pub(crate) fn way_from(now: Now<'_>, ingress: &str, destination: IpAddr, among: Among<'_>) -> Way {
    let Some(router) = router_of(now.config, ingress) else { return Way::None };
    let routed = route(now, router, destination, among);
    let Some((object, [here, there, hairpin])) = side_of(now.config, ingress) else { return routed };
    let back = Way::Out(if ingress == there { here } else { there }, destination);
    match (object.kind, &routed) {
        (TrafficKind::K8sCluster { .. }, _) if ingress == hairpin => back,
        (TrafficKind::K8sCluster { .. }, _) if object.within.iter().any(|range| range.contains(&destination)) => back,
        (TrafficKind::K8sCluster { .. }, _) => routed,
        (TrafficKind::AzureGwlb { .. }, _) => back,
        (TrafficKind::Vpc { overlay_routing, .. } | TrafficKind::GcpNsi { overlay_routing, .. }, routed) => {
            match routed {
                _ if !overlay_routing => back,
                Way::Out(exit, _) if object.interfaces.contains(exit) => back,
                routed => routed.clone(),
            }
        }
    }
}

/// The traffic object that an interface is a side of, and the names of both sides and of what comes to pods.
pub(crate) fn side_of<'a>(config: &'a DeviceConfig, interface: &str) -> Option<(&'a TrafficObject, [String; 3])> {
    let mut objects = config.traffic_objects.iter().map(|object| {
        let sides = ["ingress", "egress", "hairpin"].map(|side| format!("{}.{side}", object.name));
        (object, sides)
    });
    objects.find(|(_, sides)| sides.iter().any(|side| side == interface))
}

/// Whether packets leave by an interface into a tunnel.
pub(crate) fn is_side(config: &DeviceConfig, interface: &str) -> bool {
    side_of(config, interface).is_some()
}

/// Within what addresses are unique: a traffic object, or a router.
pub(crate) fn realm_of(config: &DeviceConfig, interface: &str) -> Option<String> {
    let router = router_of(config, interface)?;
    Some(side_of(config, interface).map_or(router.to_owned(), |(object, _)| format!("behind {}", object.name)))
}

pub(crate) fn zone_of<'a>(config: &'a DeviceConfig, interface: &str) -> Option<&'a str> {
    if let Some((object, [_, egress, _])) = side_of(config, interface) {
        return Some(if interface == egress { &object.zone_egress } else { &object.zone_ingress });
    }
    let zone = config.zones.iter().find(|zone| zone.interfaces.iter().any(|name| name == interface))?;
    Some(&zone.name)
}

pub(crate) fn router_of<'a>(config: &'a DeviceConfig, interface: &str) -> Option<&'a str> {
    if let Some((object, _)) = side_of(config, interface) {
        return Some(&object.router);
    }
    let router = config.routers.iter().find(|router| router.interfaces.iter().any(|name| name == interface))?;
    Some(&router.name)
}

/// The longest IP packet that fits an interface.
pub(crate) fn mtu_of(config: &DeviceConfig, interface: &str) -> u16 {
    config.interfaces.iter().find(|known| known.name == interface).and_then(|known| known.mtu_bytes).unwrap_or(1500)
}

/// The profile by which an interface answers this source.
pub(crate) fn management<'a>(
    config: &'a DeviceConfig,
    interface: &str,
    source: IpAddr,
) -> Option<&'a ManagementProfile> {
    let interface = config.interfaces.iter().find(|known| known.name == interface)?;
    let name = interface.management_profile.as_ref()?;
    let profile = config.management_profiles.iter().find(|known| known.name == *name)?;
    let permitted = profile.permitted.is_empty() || profile.permitted.iter().any(|network| network.contains(&source));
    permitted.then_some(profile)
}

/// Looks a destination up, router after router.
pub(crate) fn route(now: Now<'_>, router: &str, destination: IpAddr, among: Among<'_>) -> Way {
    let mut here = router;
    for _ in 0..9 {
        match one_router(now, here, destination, among) {
            Next::End(way) => return way,
            Next::Router(next) => here = next,
        }
    }
    Way::None
}

#[derive(Clone)]
enum Next<'a> {
    End(Way),
    Router(&'a str),
}

/// Inverted prefix length, connected before static, distance, metric: the lowest wins.
type Rank = (u8, u8, u8, u16);

fn one_router<'a>(now: Now<'a>, router: &str, destination: IpAddr, among: Among<'_>) -> Next<'a> {
    let config = now.config;
    let Some(router) = config.routers.iter().find(|known| known.name == router) else { return Next::End(Way::None) };
    let members = || config.interfaces.iter().filter(|interface| router.interfaces.contains(&interface.name));
    for interface in members() {
        if interface.addresses.iter().any(|own| own.addr() == destination) {
            return Next::End(Way::Own(interface.name.clone()));
        }
    }
    let mut offers: Vec<(Rank, Next<'a>, Option<Path>)> = Vec::new();
    for interface in members().filter(|interface| interface.kind == InterfaceKind::Ethernet) {
        for network in interface.addresses.iter().filter(|network| network.contains(&destination)) {
            let next = Next::End(Way::Out(interface.name.clone(), destination));
            offers.push(((u8::MAX - network.prefix_len(), 0, 0, 0), next, None));
        }
    }
    for written in router.routes.iter().filter(|written| written.destination.contains(&destination)) {
        let down =
            now.facts.routes_down.iter().any(|down| {
                down.router == router.name && down.v6 == destination.is_ipv6() && down.route == written.name
            });
        let next = follow(config, &router.interfaces, written, destination);
        let Some(next) = next.filter(|_| !down || written.path_monitor.is_none()) else { continue };
        let path = match (&next, &written.next_hop) {
            (Next::End(Way::Out(interface, _)), NextHop::Address(gateway)) => Some((interface.clone(), Some(*gateway))),
            (Next::End(Way::Out(interface, _)), _) => Some((interface.clone(), None)),
            _ => None,
        };
        let rank = (u8::MAX - written.destination.prefix_len(), 1, written.admin_distance, written.metric);
        offers.push((rank, next, path));
    }
    let Some(best) = offers.iter().map(|(rank, ..)| *rank).min() else { return Next::End(Way::None) };
    offers.retain(|(rank, ..)| *rank == best);
    // Without an exit, the first one is the way for all.
    let (_, first, path) = &offers[0];
    let (Some(ecmp), Some(_)) = (&router.ecmp, path) else { return first.clone() };
    let equal: Vec<(Next<'a>, Path)> = offers.into_iter().filter_map(|(_, next, path)| Some((next, path?))).collect();
    let paths: Vec<Path> = equal.iter().map(|(_, path)| path.clone()).collect();
    equal[choose(ecmp, &paths, among)].0.clone()
}

/// Where one written route leads; `None` when its next hop cannot be reached.
fn follow<'a>(
    config: &'a DeviceConfig,
    members: &[String],
    written: &'a StaticRoute,
    destination: IpAddr,
) -> Option<Next<'a>> {
    match &written.next_hop {
        NextHop::Discard => Some(Next::End(Way::None)),
        NextHop::Router(name) => config.routers.iter().any(|router| router.name == *name).then_some(Next::Router(name)),
        NextHop::Interface => {
            let name = written.interface.as_ref().filter(|name| members.contains(name))?;
            Some(Next::End(Way::Out(name.clone(), destination)))
        }
        NextHop::Address(gateway) => {
            let mut holders = config.interfaces.iter().filter(|interface| {
                members.contains(&interface.name)
                    && interface.kind == InterfaceKind::Ethernet
                    && written.interface.as_ref().is_none_or(|name| *name == interface.name)
                    && interface.addresses.iter().any(|network| network.contains(gateway) && network.addr() != *gateway)
            });
            holders.next().map(|holder| Next::End(Way::Out(holder.name.clone(), *gateway)))
        }
    }
}

fn security_matches(now: Now<'_>, rule: &SecurityRule, from: &str, to: &str, flow: &Tuple) -> bool {
    let on = rule.schedule.as_ref().is_none_or(|schedule| now.facts.schedules_on.contains(schedule));
    if rule.disabled || !on || (rule.action == Action::Allow && !rule.unevaluated.is_empty()) {
        return false;
    }
    let zones = match rule.kind {
        RuleKind::Universal => holds_zone(&rule.from, from) && holds_zone(&rule.to, to),
        RuleKind::Interzone => holds_zone(&rule.from, from) && holds_zone(&rule.to, to) && from != to,
        RuleKind::Intrazone => holds_zone(&rule.from, from) && from == to,
    };
    let side = |names: &[String], negated: bool, ip: IpAddr| {
        let found = holds_address(now, names, ip);
        match rule.action {
            Action::Allow if found.unknown || found.pending => !negated && found.holds,
            // What will never be known does not narrow what is refused; what is not known yet refuses nothing.
            Action::Allow => found.holds != negated,
            _ => found.unknown || found.holds != negated,
        }
    };
    zones
        && side(&rule.source, rule.negate_source, flow.source)
        && side(&rule.destination, rule.negate_destination, flow.destination)
        && holds_service(now.config, &rule.service, flow)
}

fn holds_zone(names: &[String], zone: &str) -> bool {
    names.is_empty() || names.iter().any(|name| name == zone || name == "any")
}

#[derive(Clone, Copy, Default)]
struct Found {
    holds: bool,
    /// Some member's addresses cannot be known.
    unknown: bool,
    /// Some member's addresses are not known yet.
    pending: bool,
}

impl Found {
    fn or(self, other: Self) -> Self {
        Self {
            holds: self.holds || other.holds,
            unknown: self.unknown || other.unknown,
            pending: self.pending || other.pending,
        }
    }

    fn known(holds: bool) -> Self {
        Self { holds, ..Self::default() }
    }
}

fn holds_address(now: Now<'_>, names: &[String], ip: IpAddr) -> Found {
    if names.is_empty() || names.iter().any(|name| name == "any") {
        return Found::known(true);
    }
    let mut found = Found::default();
    for name in names {
        let member = holds_name(now, name, ip);
        found = found.or(member);
    }
    found
}

fn holds_name(now: Now<'_>, name: &str, ip: IpAddr) -> Found {
    let config = now.config;
    if let Some(object) = config.addresses.iter().find(|object| object.name == name) {
        return holds_value(now, &object.value, ip);
    }
    if let Some(group) = config.address_groups.iter().find(|group| group.name == name) {
        return match &group.members {
            GroupMembers::Static(names) if names.is_empty() => Found::default(),
            GroupMembers::Static(names) => holds_address(now, names, ip),
            GroupMembers::Dynamic(filter) => {
                let filter = super::tags::parse(filter);
                let mut registered = now.facts.tags.iter().filter(|(host, _)| **host == ip);
                let tagged = registered.any(|(_, tags)| filter(&tags.iter().cloned().collect::<Vec<_>>()));
                let mut found = Found::known(tagged);
                for object in config.addresses.iter().filter(|object| filter(&object.tags)) {
                    let member = holds_value(now, &object.value, ip);
                    found = found.or(member);
                }
                found
            }
        };
    }
    if config.external_lists.iter().any(|list| list.name == name) {
        let members = now.facts.lists.get(name);
        let holds = members.is_some_and(|members| members.iter().any(|network| network.contains(&ip)));
        return Found { pending: members.is_none(), ..Found::known(holds) };
    }
    let (first, last) = range_of(config, name).unwrap_or_else(|| panic!("`{name}` stands for nothing"));
    Found::known(inside((first, last), ip))
}

fn holds_value(now: Now<'_>, value: &AddressValue, ip: IpAddr) -> Found {
    match value {
        AddressValue::Prefix(network) => Found::known(network.contains(&ip)),
        AddressValue::Range(first, last) => Found::known(inside((*first, *last), ip)),
        AddressValue::Fqdn(name) => match now.facts.names.get(name) {
            Some(known) if !known.is_empty() => Found::known(known.contains(&ip)),
            _ => Found { pending: true, ..Found::default() },
        },
        AddressValue::Wildcard(_) => Found { unknown: true, ..Found::default() },
    }
}

fn inside((first, last): (IpAddr, IpAddr), ip: IpAddr) -> bool {
    first.is_ipv4() == ip.is_ipv4() && first <= ip && ip <= last
}

/// First and last address of a name or literal that stands for one range.
fn range_of(config: &DeviceConfig, name: &str) -> Option<(IpAddr, IpAddr)> {
    if let Some(object) = config.addresses.iter().find(|object| object.name == name) {
        return match &object.value {
            AddressValue::Prefix(network) => Some((network.network(), network.broadcast())),
            AddressValue::Range(first, last) => Some((*first, *last)),
            AddressValue::Fqdn(_) | AddressValue::Wildcard(_) => None,
        };
    }
    if let Ok(ip) = name.parse::<IpAddr>() {
        return Some((ip, ip));
    }
    if let Ok(network) = name.parse::<IpNet>() {
        return Some((network.network(), network.broadcast()));
    }
    let (first, last) = name.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

fn holds_service(config: &DeviceConfig, names: &[String], flow: &Tuple) -> bool {
    let any = |name: &String| name == "any" || name == "application-default";
    names.is_empty() || names.iter().any(any) || names.iter().any(|name| one_service(config, name, flow))
}

/// The idle times of the first service in a list that has some and that a flow is of.
fn service_timeouts(config: &DeviceConfig, names: &[String], flow: &Tuple) -> ServiceTimeouts {
    let own = |name: &String| {
        let group = config.service_groups.iter().find(|group| group.name == *name);
        let inside = |group: &ServiceGroup| service_timeouts(config, &group.members, flow);
        let named = config.services.iter().find(|service| service.name == *name);
        named.map(|service| service.timeouts).or(group.map(inside)).unwrap_or_default()
    };
    let of_flow = names.iter().filter(|name| one_service(config, name, flow));
    of_flow.map(own).find(|timeouts| *timeouts != ServiceTimeouts::default()).unwrap_or_default()
}

fn one_service(config: &DeviceConfig, name: &str, flow: &Tuple) -> bool {
    if let Some(service) = config.services.iter().find(|service| service.name == name) {
        let protocol = match service.protocol {
            ServiceProtocol::Tcp => 6,
            ServiceProtocol::Udp => 17,
            ServiceProtocol::Sctp => 132,
        };
        let within = |ports: &[(u16, u16)], port| ports.iter().any(|(first, last)| (*first..=*last).contains(&port));
        return flow.protocol == protocol
            && within(&service.ports, flow.destination_port)
            && (service.source_ports.is_empty() || within(&service.source_ports, flow.source_port));
    }
    let group = config.service_groups.iter().find(|group| group.name == name);
    group.is_some_and(|group| group.members.iter().any(|member| one_service(config, member, flow)))
}

/// What the NAT rules make of a flow.
struct Translation {
    source: NewSource,
    destination: NewDestination,
    nat: Option<String>,
    spread: Option<Distribution>,
}

/// The first NAT rule that matches says what the flow becomes, even if that is nothing.
fn translate(now: Now<'_>, from: &str, to: Option<&str>, exit: Option<&str>, flow: &Tuple) -> Translation {
    let config = now.config;
    let to_holds = |names: &[String]| match to {
        Some(to) => holds_zone(names, to),
        None => names.is_empty(),
    };
    for rule in config.nat_rules.iter().filter(|rule| !rule.disabled) {
        let service: Vec<String> = rule.service.iter().cloned().collect();
        let exits = rule.to_interface.as_deref().is_none_or(|only| only == "any" || exit == Some(only));
        let forward = holds_zone(&rule.from, from)
            && to_holds(&rule.to)
            && exits
            && holds_address(now, &rule.source, flow.source).holds
            && holds_address(now, &rule.destination, flow.destination).holds
            && holds_service(config, &service, flow);
        if forward && let Some(translated) = translated(now, rule, flow) {
            return translated;
        }
        // A bidirectional rule is followed by its own reverse, from anywhere to the zone it translates for.
        if let Some(SourceTranslation::Static { address, bidirectional: true }) = &rule.source_translation
            && let Some(outside) = range_of(config, address)
            && to_holds(&rule.to)
            && inside(outside, flow.destination)
            && holds_address(now, &rule.destination, flow.source).holds
        {
            let inner = only_range(config, &rule.source, outside.0.is_ipv4());
            let destination = Some((shift(flow.destination, outside, inner), None));
            return Translation { source: NewSource::Same, destination, nat: Some(rule.name.clone()), spread: None };
        }
    }
    Translation { source: NewSource::Same, destination: None, nat: None, spread: None }
}

/// What a rule makes of a flow; `None` when it cannot translate the flow's family.
fn translated(now: Now<'_>, rule: &NatRule, flow: &Tuple) -> Option<Translation> {
    let config = now.config;
    let v4 = flow.source.is_ipv4();
    let source = match &rule.source_translation {
        None => NewSource::Same,
        Some(SourceTranslation::DynamicIpAndPort { pool, persistent }) => {
            let kept = persistent.then(|| rule.name.clone());
            NewSource::OneOf { ranges: pool_of(config, pool, v4)?, kept, of_interface: is_of_interface(pool) }
        }
        Some(SourceTranslation::DynamicIp { addresses, fallback }) => {
            let of_interface = fallback.as_ref().is_some_and(is_of_interface);
            let fallback = fallback.as_ref().and_then(|pool| pool_of(config, pool, v4));
            let ranges = ranges_of(config, addresses, v4)?;
            NewSource::Own { ranges, fallback, of_interface, rule: rule.name.clone() }
        }
        Some(SourceTranslation::Static { address, .. }) => {
            let outside = range_of(config, address).filter(|(first, _)| first.is_ipv4() == v4)?;
            NewSource::Fixed(shift(flow.source, only_range(config, &rule.source, v4), outside))
        }
    };
    let destination = match &rule.destination_translation {
        None => None,
        Some(translation) if let Some(by) = translation.distribution => {
            let mut servers = members_of(config, &translation.address);
            servers.retain(|server| server.is_ipv4() == v4);
            servers.sort();
            servers.dedup();
            let address = now.farm.choose(&rule.name, by, &servers, flow)?;
            Some((address, translation.port.filter(|_| matches!(flow.protocol, 6 | 17 | 132))))
        }
        Some(translation) => {
            let inside = range_of(config, &translation.address).filter(|(first, _)| first.is_ipv4() == v4)?;
            let address = if inside.0 == inside.1 {
                inside.0
            } else {
                shift(flow.destination, only_range(config, &rule.destination, v4), inside)
            };
            let port = translation.port.filter(|_| matches!(flow.protocol, 6 | 17 | 132));
            Some((address, port))
        }
    };
    let spread = rule.destination_translation.as_ref().and_then(|translation| translation.distribution);
    Some(Translation { source, destination, nat: Some(rule.name.clone()), spread })
}

/// Whether a pool is whatever address an interface has.
fn is_of_interface(pool: &PortPool) -> bool {
    matches!(pool, PortPool::Interface { .. })
}

/// The addresses of a pool of ports.
fn pool_of(config: &DeviceConfig, pool: &PortPool, v4: bool) -> Option<Vec<(IpAddr, IpAddr)>> {
    match pool {
        PortPool::Interface { interface, address } => {
            let holder = config.interfaces.iter().find(|known| known.name == *interface)?;
            let mut own = holder.addresses.iter().map(|own| own.addr());
            let chosen = own.find(|own| own.is_ipv4() == v4 && address.is_none_or(|only| only.addr() == *own));
            // Until there is a lease, there is nothing to choose from.
            let awaited = v4 && holder.dhcp.is_some();
            chosen.map(|chosen| vec![(chosen, chosen)]).or(awaited.then(Vec::new))
        }
        PortPool::Addresses(names) => ranges_of(config, names, v4),
    }
}

fn ranges_of(config: &DeviceConfig, names: &[String], v4: bool) -> Option<Vec<(IpAddr, IpAddr)>> {
    let ranges = names.iter().filter_map(|name| range_of(config, name));
    let ranges: Vec<_> = ranges.filter(|(first, _)| first.is_ipv4() == v4).collect();
    (!ranges.is_empty()).then_some(ranges)
}

/// The one range a list stands for in a family.
fn only_range(config: &DeviceConfig, names: &[String], v4: bool) -> (IpAddr, IpAddr) {
    let mut ranges = names.iter().filter_map(|name| range_of(config, name)).filter(|(first, _)| first.is_ipv4() == v4);
    ranges.next().unwrap_or_else(|| panic!("a static translation of {names:?}"))
}

/// The addresses of a name or literal of a few.
fn members_of(config: &DeviceConfig, name: &str) -> Vec<IpAddr> {
    if let Some(group) = config.address_groups.iter().find(|group| group.name == name)
        && let GroupMembers::Static(names) = &group.members
    {
        return names.iter().flat_map(|name| members_of(config, name)).collect();
    }
    let Some((first, last)) = range_of(config, name) else { return Vec::new() };
    (0..size((first, last))).map(|offset| plus(first, offset)).collect()
}

/// The address so far behind another.
pub(crate) fn plus(ip: IpAddr, offset: u128) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => std::net::Ipv4Addr::from_bits(ip.to_bits() + offset as u32).into(),
        IpAddr::V6(ip) => std::net::Ipv6Addr::from_bits(ip.to_bits() + offset).into(),
    }
}

/// How many addresses there are in a range.
pub(crate) fn size((first, last): (IpAddr, IpAddr)) -> u128 {
    number(last) - number(first) + 1
}

pub(crate) fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits().into(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// The address as far into `to` as `ip` is into `from`.
fn shift(ip: IpAddr, from: (IpAddr, IpAddr), to: (IpAddr, IpAddr)) -> IpAddr {
    match (ip, from.0, to.0) {
        (IpAddr::V4(ip), IpAddr::V4(from), IpAddr::V4(to)) => {
            std::net::Ipv4Addr::from_bits(to.to_bits() + (ip.to_bits() - from.to_bits())).into()
        }
        (IpAddr::V6(ip), IpAddr::V6(from), IpAddr::V6(to)) => {
            std::net::Ipv6Addr::from_bits(to.to_bits() + (ip.to_bits() - from.to_bits())).into()
        }
        _ => panic!("a translation between families"),
    }
}
