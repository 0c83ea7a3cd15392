//! Routers and static routes: where does a packet go?
//!
//! Virtual routers and the `default` VRF of logical routers are one model here.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::context::{Context, NAME_LENGTH_MAX};
use super::interface::{OtherInterfaces, network_value};
use super::node::Node;
use super::value::interface_name;
use super::{DeviceConfig, InterfaceKind, NextHop, Router, Scope, StaticRoute};
use super::{ecmp, path_monitor};
use crate::diagnostic::Diagnostic;
use crate::{choices, codes};

/// Administrative distance and metric of a static route in PAN-OS.
const STATIC_ADMIN_DISTANCE: u8 = 10;
const METRIC: u16 = 10;
/// Where Azure's load balancers probe from; one router cannot answer them on both sides.
const AZURE_PROBE: &str = "168.63.129.16/32";

/// Reads routers; zones and interfaces are known by now.
pub(super) fn read(context: &mut Context, config: &mut DeviceConfig, network: &Node<'_>, others: &OtherInterfaces) {
    let mut found: Vec<(Router, Node<'_>)> = Vec::new();
    for (node, table) in router_nodes(network) {
        let Some(name) = context.entry_name(&node, NAME_LENGTH_MAX) else { continue };
        if let Some((_, other)) = found.iter().find(|(router, _)| router.name == name)
            && node.parent().map(Node::tag) != other.parent().map(Node::tag)
        {
            context.error(codes::DUPLICATE_NAME, &node, format!("`{name}` is already in use by a virtual router"));
            context.help("virtual and logical routers share their names; rename one of the two");
        }
        let interfaces = interfaces(context, config, others, &table);
        let ecmp = ecmp::read(context, &table);
        found.push((Router { name, origin: node.origin(), interfaces, routes: Vec::new(), ecmp }, table));
    }
    check_single(context, &found);
    let names: Vec<String> = found.iter().map(|(router, _)| router.name.clone()).collect();
    for (router, table) in &mut found {
        let reader = RouteReader { config, others, names: &names, router };
        let routes = reader.routes(context, table);
        router.routes = routes;
    }
    config.routers = found.into_iter().map(|(router, _)| router).collect();
    if context.scope == Scope::Device {
        warn_without_router(context, config);
        warn_two_load_balancers(context, config);
    }
}

/// Each router with the node that holds its interfaces and routes.
fn router_nodes<'a>(network: &Node<'a>) -> Vec<(Node<'a>, Node<'a>)> {
    let mut nodes: Vec<_> =
        network.entries_at(&["virtual-router"]).into_iter().map(|node| (node.clone(), node)).collect();
    for node in network.entries_at(&["logical-router"]) {
        let vrf = node.entries_at(&["vrf"]).into_iter().find(|vrf| vrf.name() == "default");
        nodes.push((node.clone(), vrf.unwrap_or(node)));
    }
    nodes
}

fn interfaces(context: &mut Context, config: &DeviceConfig, others: &OtherInterfaces, table: &Node<'_>) -> Vec<String> {
    let Some(list) = table.child("interface") else { return Vec::new() };
    let mut names = Vec::new();
    for member in list.members() {
        let text = member.text();
        let name = interface_name(&text);
        if context.is_variable(&member, &text) {
            continue;
        }
        if context.scope != Scope::Device || config.interface(&name).is_some() {
            names.push(name);
        } else if let Some(what) = others.get(&name) {
            let message = format!("`{name}` is {what}, which is not enforced: the router does not use it");
            context.warning(codes::NOT_ENFORCED, &member, message);
        } else {
            let known = config.interfaces.iter().map(|interface| interface.name.as_str());
            let message = format!("no interface `{text}` is configured");
            context.unknown(codes::UNKNOWN_INTERFACE, &member, message, &name, known);
        }
    }
    names
}

fn check_single(context: &mut Context, found: &[(Router, Node<'_>)]) {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for (router, table) in found {
        for interface in &router.interfaces {
            let Some(other) = owners.insert(interface, &router.name).filter(|other| *other != router.name) else {
                continue;
            };
            let at = table
                .child("interface")
                .and_then(|list| list.members().find(|member| interface_name(&member.text()) == *interface));
            let message = format!("`{interface}` is in router `{other}` and in router `{}`", router.name);
            context.error(codes::TWO_ROUTERS, at.as_ref().unwrap_or(table), message);
            context.help("remove it from one of the two");
        }
    }
}

struct RouteReader<'r> {
    config: &'r DeviceConfig,
    others: &'r OtherInterfaces,
    names: &'r [String],
    router: &'r Router,
}

impl RouteReader<'_> {
    fn routes(&self, context: &mut Context, table: &Node<'_>) -> Vec<StaticRoute> {
        let distances = table.child("admin-dists");
        let mut distance = |tag: &str| {
            let node = distances.as_ref()?;
            context.number::<u8>(node, tag, 10..=240)
        };
        let v4 = distance("static").unwrap_or(STATIC_ADMIN_DISTANCE);
        let v6 = distance("static-ipv6").unwrap_or(STATIC_ADMIN_DISTANCE);
        let mut routes = Vec::new();
        for (family, is_v6, distance) in [("ip", false, v4), ("ipv6", true, v6)] {
            for node in table.entries_at(&["routing-table", family, "static-route"]) {
                routes.extend(self.route(context, &node, is_v6, distance));
            }
        }
        routes
    }

    fn route(&self, context: &mut Context, node: &Node<'_>, v6: bool, distance: u8) -> Option<StaticRoute> {
        let name = context.entry_name(node, NAME_LENGTH_MAX);
        let destination = self.destination(context, node, v6);
        let interface = self.interface(context, node);
        let next_hop = self.next_hop(context, node, v6, interface.as_ref().ok().and_then(Option::as_deref));
        let metric = context.number(node, "metric", 1..=65535).unwrap_or(METRIC);
        let admin_distance = context.number(node, "admin-dist", 10..=240).unwrap_or(distance);
        let path_monitor = path_monitor::read(context, self.config, node, v6);
        Some(StaticRoute {
            name: name?,
            origin: node.origin(),
            destination: destination?,
            interface: interface.ok()?,
            next_hop: next_hop?,
            metric,
            admin_distance,
            path_monitor,
        })
    }

    fn destination(&self, context: &mut Context, node: &Node<'_>, v6: bool) -> Option<IpNet> {
        let Some(leaf) = node.child("destination") else {
            context.error(codes::MISSING_MEMBER, node, format!("route `{}` has no `destination`", node.name()));
            context.help("write e.g. `<destination>0.0.0.0/0</destination>`");
            return None;
        };
        let text = leaf.text();
        let net = network_value(context, self.config, &leaf, &text)?;
        if matches!(net, IpNet::V6(_)) != v6 {
            context.error(codes::INVALID_ADDRESS, &leaf, format!("`{text}` is of the other address family"));
            context.help("write IPv4 routes below `routing-table/ip`, IPv6 below `routing-table/ipv6`");
            return None;
        }
        if net.trunc() != net {
            context.warning(codes::HOST_BITS, &leaf, format!("`{text}` has host bits, which are ignored"));
            context.help(format!("write `{}`", net.trunc()));
        }
        Some(net.trunc())
    }

    /// The outgoing interface; `Err` when the route cannot be used because of it.
    fn interface(&self, context: &mut Context, node: &Node<'_>) -> Result<Option<String>, ()> {
        let Some(leaf) = node.child("interface") else { return Ok(None) };
        let text = leaf.text();
        if text.is_empty() || text.eq_ignore_ascii_case("none") {
            return Ok(None);
        }
        if context.is_variable(&leaf, &text) {
            return Err(());
        }
        let name = interface_name(&text);
        if context.scope != Scope::Device {
            return Ok(Some(name));
        }
        if self.config.interface(&name).is_none() {
            if let Some(what) = self.others.get(&name) {
                let message = format!("`{name}` is {what}, which is not enforced: the route is left out");
                context.warning(codes::NOT_ENFORCED, &leaf, message);
            } else {
                let known = self.config.interfaces.iter().map(|interface| interface.name.as_str());
                let message = format!("no interface `{text}` is configured");
                context.unknown(codes::UNKNOWN_INTERFACE, &leaf, message, &name, known);
            }
            return Err(());
        }
        if !self.router.interfaces.contains(&name) {
            self.report_foreign(context, node, &leaf, &name);
        }
        Ok(Some(name))
    }

    /// Towards a next router the interface says nothing, so a foreign one is only suspicious.
    fn report_foreign(&self, context: &mut Context, node: &Node<'_>, leaf: &Node<'_>, name: &str) {
        let message = format!("`{name}` does not belong to router `{}`", self.router.name);
        let onward = node.child("nexthop").is_some_and(|hop| {
            ["next-vr", "next-lr", "discard"].into_iter().any(|tag| hop.element().child(tag).is_some())
        });
        if onward {
            context.warning(codes::ROUTE_INTERFACE_FOREIGN, leaf, message);
            context.help("remove `interface`; a route to another router needs none");
        } else {
            context.error(codes::ROUTE_INTERFACE_FOREIGN, leaf, message);
            context.help(format!("add `{name}` to the router, or lead the route to the router that has it"));
        }
    }

    fn next_hop(&self, context: &mut Context, node: &Node<'_>, v6: bool, interface: Option<&str>) -> Option<NextHop> {
        let branch = node.child("nexthop").and_then(|hop| context.choice(&hop, choices::NEXT_HOP));
        let Some(branch) = branch else {
            let has_interface =
                node.child("interface").is_some_and(|leaf| !matches!(leaf.text().as_str(), "" | "None" | "none"));
            if !has_interface {
                let message = format!("route `{}` has neither a next hop nor an interface", node.name());
                context.error(codes::ROUTE_WITHOUT_INTERFACE, node, message);
                context.help("add `nexthop/ip-address`, another next hop, or the interface it is attached to");
                return None;
            }
            return Some(NextHop::Interface);
        };
        let text = branch.text();
        match branch.tag() {
            "discard" => Some(NextHop::Discard),
            "next-vr" | "next-lr" => self.next_router(context, &branch, &text),
            "ip-address" | "ipv6-address" => self.neighbour(context, &branch, &text, v6, interface),
            // `fqdn` and `receive` are reported by the list of what is enforced.
            _ => None,
        }
    }

    fn next_router(&self, context: &mut Context, leaf: &Node<'_>, text: &str) -> Option<NextHop> {
        if context.is_variable(leaf, text) {
            return None;
        }
        if text == self.router.name {
            context.error(codes::ROUTER_SELF, leaf, format!("router `{text}` forwards to itself"));
            context.help("name another router, or a next hop address");
            return None;
        }
        if context.scope == Scope::Device && !self.names.iter().any(|name| name == text) {
            let known = self.names.iter().map(String::as_str).filter(|name| *name != self.router.name);
            context.unknown(codes::UNKNOWN_ROUTER, leaf, format!("no router `{text}` is configured"), text, known);
            return None;
        }
        Some(NextHop::Router(text.to_owned()))
    }

    fn neighbour(
        &self,
        context: &mut Context,
        leaf: &Node<'_>,
        text: &str,
        v6: bool,
        interface: Option<&str>,
    ) -> Option<NextHop> {
        let net = network_value(context, self.config, leaf, text)?;
        let address = net.addr();
        if net.prefix_len() != net.max_prefix_len() {
            context.error(codes::INVALID_ADDRESS, leaf, format!("next hop `{text}` is a network, not one address"));
            return None;
        }
        if address.is_ipv6() != v6 {
            let message = format!("next hop `{text}` is of another address family than the destination");
            context.error(codes::NEXT_HOP_FAMILY, leaf, message);
            return None;
        }
        if context.scope == Scope::Device && !self.is_attached(context, address, interface) {
            let place = interface.map_or_else(|| format!("router `{}`", self.router.name), |name| format!("`{name}`"));
            let message = format!("next hop `{text}` is in no network that {place} is attached to");
            context.warning(codes::NEXT_HOP_UNREACHABLE, leaf, message);
            context.help("the route is used only once an interface has an address in the next hop's network");
        }
        Some(NextHop::Address(address))
    }

    fn is_attached(&self, context: &Context, address: IpAddr, interface: Option<&str>) -> bool {
        let link_local = match address {
            IpAddr::V6(address) => address.is_unicast_link_local(),
            IpAddr::V4(_) => false,
        };
        self.router
            .interfaces
            .iter()
            .filter(|name| interface.is_none_or(|wanted| wanted == *name))
            .filter_map(|name| self.config.interface(name))
            .any(|interface| {
                interface.dhcp.is_some()
                    || link_local
                    || context.doubtful.contains(&interface.name)
                    || interface.addresses.iter().any(|net| net.contains(&address))
            })
    }
}

fn warn_without_router(context: &mut Context, config: &DeviceConfig) {
    for interface in config.interfaces.iter().filter(|interface| !config.only_carries_parts(interface)) {
        if !config.routers.iter().any(|router| router.interfaces.contains(&interface.name)) {
            let message = format!("`{}` belongs to no router, so its packets are dropped", interface.name);
            let origin = interface.origin.clone();
            context.diagnostics.push(
                Diagnostic::warning(codes::INTERFACE_WITHOUT_ROUTER, origin, message)
                    .with_help("add it to `interface` of a logical or virtual router"),
            );
        }
    }
}

/// Azure probes every load balancer from one address; a router has one route back to it, so the answers
/// for one of two load balancers leave by the wrong side.
fn warn_two_load_balancers(context: &mut Context, config: &DeviceConfig) {
    for router in &config.routers {
        let probed = router.routes.iter().any(|route| route.destination.to_string() == AZURE_PROBE);
        let loopbacks = router
            .interfaces
            .iter()
            .filter(|name| config.interface(name).is_some_and(|interface| interface.kind == InterfaceKind::Loopback));
        let mut zones: Vec<&str> =
            loopbacks.filter_map(|name| config.zone_of(name)).map(|zone| zone.name.as_str()).collect();
        zones.sort_unstable();
        zones.dedup();
        if let (true, [first, second, ..]) = (probed, zones.as_slice()) {
            let message = format!(
                "router `{}` serves load balancers in zones `{first}` and `{second}`, but has one route to the Azure probe",
                router.name
            );
            context.diagnostics.push(
                Diagnostic::warning(codes::ONE_ROUTER_TWO_LOAD_BALANCERS, router.origin.clone(), message)
                    .with_help("use one router per load balancer, each with its own route to 168.63.129.16/32"),
            );
        }
    }
}
