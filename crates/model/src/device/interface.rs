//! Interfaces and management profiles: which ports are there, with which addresses, answering what?

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::context::Context;
use super::node::Node;
use super::value;
use super::{
    AddressValue, Autoconf, DeviceConfig, DhcpClient, DhcpHostname, Interface, InterfaceKind, ManagementProfile, Scope,
    TcpMss,
};
use crate::{choices, codes};

/// Longest name of an interface management profile in PAN-OS.
const PROFILE_NAME_LENGTH_MAX: usize = 31;
/// Range of `mtu` in PAN-OS.
const MTU_BYTES: std::ops::RangeInclusive<u32> = 576..=9216;
/// Tags of 802.1Q that a VLAN can have.
const VLAN_TAG: std::ops::RangeInclusive<u32> = 1..=4094;
/// Range of `ipv4-mss-adjustment` in PAN-OS; its default is the start, the headers without options.
const MSS_V4_BYTES: std::ops::RangeInclusive<u32> = 40..=300;
/// The same of `ipv6-mss-adjustment`.
const MSS_V6_BYTES: std::ops::RangeInclusive<u32> = 60..=300;
/// Range of `default-route-metric` in PAN-OS.
const DHCP_METRIC: std::ops::RangeInclusive<u32> = 1..=65535;
/// The metric when nothing else is said.
const DHCP_METRIC_DEFAULT: u16 = 10;
/// Longest `send-hostname/hostname` in PAN-OS.
const HOSTNAME_BYTES_MAX: usize = 64;

/// Interfaces that exist in the configuration and move no packets: name and what they are.
pub(super) type OtherInterfaces = BTreeMap<String, String>;

/// Reads management profiles, then interfaces.
pub(super) fn read(context: &mut Context, config: &mut DeviceConfig, network: &Node<'_>) -> OtherInterfaces {
    for node in network.entries_at(&["profiles", "interface-management-profile"]) {
        if let Some(profile) = management_profile(context, config, &node) {
            config.management_profiles.push(profile);
        }
    }
    let mut others = OtherInterfaces::new();
    let mut seen = BTreeMap::new();
    for node in network.entries_at(&["interface", "ethernet"]) {
        read_ethernet(context, config, &mut others, &mut seen, &node);
    }
    for node in network.entries_at(&["interface", "loopback", "units"]) {
        read_loopback(context, config, &node);
    }
    for (container, kind) in [("tunnel", "a tunnel"), ("vlan", "a VLAN"), ("aggregate-ethernet", "an aggregate")] {
        let Some(parent) = network.descend(&["interface", container]) else { continue };
        let units = parent.entries_at(&["units"]);
        for node in parent.entries().chain(units) {
            others.insert(node.name().to_owned(), kind.to_owned());
        }
    }
    others
}

fn management_profile(context: &mut Context, config: &DeviceConfig, node: &Node<'_>) -> Option<ManagementProfile> {
    let name = context.entry_name(node, PROFILE_NAME_LENGTH_MAX)?;
    let mut permitted = Vec::new();
    for entry in node.entries_at(&["permitted-ip"]) {
        permitted.extend(network_value(context, config, &entry, entry.name()));
    }
    Some(ManagementProfile {
        name,
        origin: node.origin(),
        ping: context.yes_no(node, "ping").unwrap_or(false),
        http: context.yes_no(node, "http").unwrap_or(false),
        https: context.yes_no(node, "https").unwrap_or(false),
        permitted,
    })
}

fn read_ethernet(
    context: &mut Context,
    config: &mut DeviceConfig,
    others: &mut OtherInterfaces,
    seen: &mut BTreeMap<String, String>,
    node: &Node<'_>,
) {
    if context.is_variable(node, node.name()) {
        return;
    }
    let name = value::interface_name(node.name());
    if !value::is_ethernet(&name) {
        context.error(codes::INVALID_NAME, node, format!("`{}` is not the name of an Ethernet interface", node.name()));
        context.help("write e.g. `ethernet1/1`");
        return;
    }
    if let Some(other) = seen.insert(name.clone(), node.name().to_owned()) {
        // The same spelling twice is reported for every kind of entry.
        if other != node.name() {
            context.error(codes::DUPLICATE_NAME, node, format!("`{other}` and `{}` are one interface", node.name()));
            context.help("remove one of the two");
        }
        return;
    }
    match context.choice(node, choices::INTERFACE) {
        Some(mode) if mode.tag() == "layer3" => {
            let interface = interface(context, config, name, node, &mode, InterfaceKind::Ethernet);
            let port = (interface.name.clone(), interface.mtu_bytes);
            config.interfaces.push(interface);
            read_units(context, config, &mode, port);
        }
        Some(mode) => {
            others.insert(name, format!("an interface of type `{}`", mode.tag()));
        }
        None => {
            others.insert(name, "an interface without a type".to_owned());
        }
    }
}

/// The subinterfaces of a port, which is given by name and MTU.
fn read_units(context: &mut Context, config: &mut DeviceConfig, layer3: &Node<'_>, port: (String, Option<u16>)) {
    let mut tags: BTreeMap<u16, String> = BTreeMap::new();
    for node in layer3.entries_at(&["units"]) {
        if context.is_variable(&node, node.name()) {
            continue;
        }
        let name = value::interface_name(node.name());
        if !value::is_subinterface(&name, &port.0) {
            context.error(codes::INVALID_NAME, &node, format!("`{name}` is not the name of a part of `{}`", port.0));
            context.help(format!("write e.g. `{}.100`, with a number from 1 to 9999", port.0));
            continue;
        }
        if node.child("tag").is_none() {
            context.error(codes::MISSING_MEMBER, &node, format!("`{name}` has no `tag`"));
            context.help("give it the VLAN's number, from 1 to 4094");
        }
        let tag = context.number(&node, "tag", VLAN_TAG);
        if let Some(other) = tag.and_then(|tag| tags.insert(tag, name.clone())) {
            let at = node.child("tag").unwrap_or_else(|| node.clone());
            context.error(codes::DUPLICATE_TAG, &at, format!("`{other}` and `{name}` have the same VLAN tag"));
            context.help("give each subinterface of a port a tag of its own");
        }
        let mut interface = interface(context, config, name, &node, &node, InterfaceKind::Ethernet);
        interface.mtu_bytes = interface.mtu_bytes.or(port.1);
        // What has no valid tag was reported above; nothing is compiled then.
        interface.vlan = Some(tag.unwrap_or_default());
        config.interfaces.push(interface);
    }
}

fn read_loopback(context: &mut Context, config: &mut DeviceConfig, node: &Node<'_>) {
    let name = node.name().to_owned();
    if context.is_variable(node, &name) {
        return;
    }
    if !value::is_loopback(&name) {
        context.error(codes::INVALID_NAME, node, format!("`{name}` is not the name of a loopback interface"));
        context.help("write e.g. `loopback.1`, with a number from 1 to 9999");
        return;
    }
    let interface = interface(context, config, name, node, node, InterfaceKind::Loopback);
    config.interfaces.push(interface);
}

/// `node` is the entry, `layer3` where its layer-3 settings stand (the same node for a loopback).
fn interface(
    context: &mut Context,
    config: &DeviceConfig,
    name: String,
    node: &Node<'_>,
    layer3: &Node<'_>,
    kind: InterfaceKind,
) -> Interface {
    let dhcp = if kind == InterfaceKind::Ethernet { dhcp_client(context, layer3) } else { None };
    let found_before = context.diagnostics.len();
    let mut addresses = Vec::new();
    for entry in layer3.entries_at(&["ip"]) {
        addresses.extend(interface_address(context, config, &entry, kind, false));
    }
    addresses.extend(ipv6_addresses(context, config, layer3, kind));
    if context.diagnostics.len() > found_before {
        context.doubtful.insert(name.clone());
    }
    Interface {
        name,
        origin: node.origin(),
        kind,
        addresses,
        dhcp,
        autoconf: if kind == InterfaceKind::Ethernet { autoconf(context, layer3) } else { None },
        vlan: None,
        tcp_mss: tcp_mss(context, layer3),
        mtu_bytes: context.number(layer3, "mtu", MTU_BYTES),
        management_profile: profile_reference(context, config, layer3),
    }
}

/// What `adjust-tcp-mss` takes off, where it is switched on.
fn tcp_mss(context: &mut Context, layer3: &Node<'_>) -> Option<TcpMss> {
    let adjust = layer3.child("adjust-tcp-mss")?;
    let mss = TcpMss {
        v4_bytes: context.number(&adjust, "ipv4-mss-adjustment", MSS_V4_BYTES).unwrap_or(*MSS_V4_BYTES.start() as u16),
        v6_bytes: context.number(&adjust, "ipv6-mss-adjustment", MSS_V6_BYTES).unwrap_or(*MSS_V6_BYTES.start() as u16),
    };
    context.yes_no(&adjust, "enable").unwrap_or(false).then_some(mss)
}

/// An empty `<dhcp-client/>` is switched on.
fn dhcp_client(context: &mut Context, layer3: &Node<'_>) -> Option<DhcpClient> {
    let client = layer3.child("dhcp-client")?;
    if !context.yes_no(&client, "enable").unwrap_or(true) {
        return None;
    }
    context.choice(layer3, choices::INTERFACE_ADDRESS);
    Some(DhcpClient {
        default_route: context.yes_no(&client, "create-default-route").unwrap_or(true),
        default_route_metric: context
            .number(&client, "default-route-metric", DHCP_METRIC)
            .unwrap_or(DHCP_METRIC_DEFAULT),
        hostname: client.child("send-hostname").and_then(|send| dhcp_hostname(context, &send)),
    })
}

/// What `ipv6/dhcp-client` makes of router advertisements, where both are switched on.
fn autoconf(context: &mut Context, layer3: &Node<'_>) -> Option<Autoconf> {
    let ipv6 = layer3.child("ipv6")?;
    let client = ipv6.child("dhcp-client")?;
    let settings = Autoconf {
        default_route: context.yes_no(&client, "accept-ra-route").unwrap_or(true),
        default_route_metric: context
            .number(&client, "default-route-metric", DHCP_METRIC)
            .unwrap_or(DHCP_METRIC_DEFAULT),
    };
    let on = context.yes_no(&client, "enable").unwrap_or(true);
    (on && context.yes_no(&ipv6, "enabled").unwrap_or(false)).then_some(settings)
}

fn dhcp_hostname(context: &mut Context, send: &Node<'_>) -> Option<DhcpHostname> {
    if !context.yes_no(send, "enable").unwrap_or(true) {
        return None;
    }
    match context.text(send, "hostname") {
        None => Some(DhcpHostname::System),
        Some(name) if name == "system-hostname" => Some(DhcpHostname::System),
        Some(name) if name.len() <= HOSTNAME_BYTES_MAX && value::is_fqdn(&name) => Some(DhcpHostname::Named(name)),
        Some(name) => {
            let at = send.child("hostname")?;
            context.error(codes::INVALID_NAME, &at, format!("`{name}` is not a host name"));
            context.help(format!("write `system-hostname`, or a DNS name of at most {HOSTNAME_BYTES_MAX} characters"));
            None
        }
    }
}

fn ipv6_addresses(context: &mut Context, config: &DeviceConfig, layer3: &Node<'_>, kind: InterfaceKind) -> Vec<IpNet> {
    let Some(ipv6) = layer3.child("ipv6") else { return Vec::new() };
    let enabled = context.yes_no(&ipv6, "enabled").unwrap_or(false);
    let mut addresses = Vec::new();
    for entry in ipv6.entries_at(&["address"]) {
        let on = context.yes_no(&entry, "enable-on-interface").unwrap_or(true);
        let address = interface_address(context, config, &entry, kind, true);
        // With `prefix` or `anycast` the entry is not an address of this host; the list of what is
        // enforced reports both.
        let own = entry.child("prefix").is_none() && entry.child("anycast").is_none();
        addresses.extend(address.filter(|_| on && own));
    }
    if !enabled && !addresses.is_empty() {
        context.warning(codes::NOT_ENFORCED, &ipv6, "the IPv6 addresses are not used: `enabled` is not `yes`");
        context.help("set `ipv6/enabled` to `yes`, or remove the addresses");
        addresses.clear();
    }
    addresses
}

fn interface_address(
    context: &mut Context,
    config: &DeviceConfig,
    entry: &Node<'_>,
    kind: InterfaceKind,
    v6: bool,
) -> Option<IpNet> {
    let text = entry.name();
    let net = network_value(context, config, entry, text)?;
    let host_bits = net.max_prefix_len() - net.prefix_len();
    let problem = if matches!(net, IpNet::V6(_)) != v6 {
        let family = if v6 { "IPv6" } else { "IPv4" };
        Some((
            format!("`{text}` is not an {family} address"),
            "write IPv4 addresses below `ip`, IPv6 below `ipv6/address`",
        ))
    } else if net.addr().is_unspecified() || net.addr().is_multicast() {
        Some((
            format!("`{text}` cannot be the address of an interface"),
            "write a unicast address with its prefix length",
        ))
    } else if host_bits > 1 && net.addr() == net.network() && !v6 {
        Some((
            format!("`{text}` is the address of the network itself"),
            "write the interface's own address, e.g. `10.0.1.4/24`",
        ))
    } else if host_bits > 1 && net.addr() == net.broadcast() && !v6 {
        Some((
            format!("`{text}` is the broadcast address of its network"),
            "write the interface's own address, e.g. `10.0.1.4/24`",
        ))
    } else {
        None
    };
    if let Some((message, help)) = problem {
        context.error(codes::INVALID_ADDRESS, entry, message);
        context.help(help);
        return None;
    }
    if kind == InterfaceKind::Loopback && host_bits > 0 {
        let max = net.max_prefix_len();
        context.error(
            codes::LOOPBACK_PREFIX,
            entry,
            format!("`{text}` is a network; a loopback holds single addresses"),
        );
        context.help(format!("write `{}/{max}`", net.addr()));
        return None;
    }
    Some(net)
}

/// An address with prefix length: a literal, or the name of an address object that is one.
pub(super) fn network_value(context: &mut Context, config: &DeviceConfig, at: &Node<'_>, text: &str) -> Option<IpNet> {
    if context.is_variable(at, text) {
        return None;
    }
    let named = || match &config.address(text)?.value {
        AddressValue::Prefix(net) => Some(*net),
        AddressValue::Range(..) | AddressValue::Fqdn(_) | AddressValue::Wildcard(_) => None,
    };
    let net = value::prefix(text).or_else(named);
    if net.is_none() {
        context.error(codes::INVALID_ADDRESS, at, format!("`{text}` is not an address or prefix"));
        context.help("write e.g. `10.0.1.4/24`");
    }
    net
}

fn profile_reference(context: &mut Context, config: &DeviceConfig, layer3: &Node<'_>) -> Option<String> {
    let name = context.text(layer3, "interface-management-profile")?;
    if context.scope == Scope::Device && !config.management_profiles.iter().any(|profile| profile.name == name) {
        let at = layer3.child("interface-management-profile")?;
        let known = config.management_profiles.iter().map(|profile| profile.name.as_str());
        let message = format!("no interface management profile `{name}` is defined");
        context.unknown(codes::UNKNOWN_PROFILE, &at, message, &name, known);
        return None;
    }
    Some(name)
}

/// Two interfaces of one router cannot hold the same address.
pub(super) fn check_shared_addresses(context: &mut Context, config: &DeviceConfig) {
    for router in &config.routers {
        let mut owners: BTreeMap<IpAddr, &Interface> = BTreeMap::new();
        let interfaces = router.interfaces.iter().filter_map(|name| config.interface(name));
        for (interface, net) in
            interfaces.flat_map(|interface| interface.addresses.iter().map(move |net| (interface, net)))
        {
            let Some(other) = owners.insert(net.addr(), interface) else { continue };
            let message = if other.name == interface.name {
                format!("`{}` holds {} twice", interface.name, net.addr())
            } else {
                format!(
                    "`{}` and `{}` of router `{}` both hold {}",
                    other.name,
                    interface.name,
                    router.name,
                    net.addr()
                )
            };
            context.diagnostics.push(crate::diagnostic::Diagnostic::error(
                codes::DUPLICATE_ADDRESS,
                interface.origin.clone(),
                message,
            ));
        }
    }
}
