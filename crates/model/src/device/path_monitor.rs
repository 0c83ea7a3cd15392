//! Which destinations say whether a static route's path is alive?

use std::net::IpAddr;

use super::DeviceConfig;
use super::context::{Context, NAME_LENGTH_MAX};
use super::interface::network_value;
use super::node::Node;
use crate::codes;

/// Destinations that one route may watch (PAN-OS).
pub const MONITOR_DESTINATIONS_MAX: usize = 8;
/// Minutes that a path must be alive again before its route comes back (PAN-OS).
const HOLD_MINUTES: u16 = 2;
/// Seconds between probes of one destination (PAN-OS).
const INTERVAL_S: u8 = 3;
/// Unanswered probes in a row after which a destination is dead (PAN-OS).
const COUNT: u8 = 5;

/// Path monitoring of one static route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathMonitor {
    /// The path is dead when every destination is; otherwise when any is.
    pub all_must_fail: bool,
    /// Minutes that the path must be alive before its route comes back, 0 to 1440.
    pub hold_minutes: u16,
    /// What is probed, at least one.
    pub destinations: Vec<MonitorDestination>,
}

/// One probed address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitorDestination {
    /// Name.
    pub name: String,
    /// Own address to probe from; nothing for the one of the outgoing interface.
    pub source: Option<IpAddr>,
    /// Address that is pinged.
    pub destination: IpAddr,
    /// Seconds between probes, 1 to 60.
    pub interval_s: u8,
    /// Unanswered probes in a row after which the destination is dead, 3 to 10.
    pub count: u8,
}

/// Reads `path-monitor` of a route; nothing when it is absent, off or wrong.
pub(super) fn read(context: &mut Context, config: &DeviceConfig, route: &Node<'_>, v6: bool) -> Option<PathMonitor> {
    let node = route.child("path-monitor")?;
    if context.yes_no(&node, "enable") != Some(true) {
        return None;
    }
    let all_must_fail = context.word(&node, "failure-condition", &[("any", false), ("all", true)]).unwrap_or(false);
    let hold_minutes = context.number(&node, "hold-time", 0..=1440).unwrap_or(HOLD_MINUTES);
    let entries = node.entries_at(&["monitor-destinations"]);
    let count = entries.len();
    let mut destinations = Vec::new();
    for entry in entries {
        if context.yes_no(&entry, "enable") != Some(false) {
            destinations.extend(destination(context, config, &entry, v6));
        }
    }
    if count > MONITOR_DESTINATIONS_MAX {
        let message = format!("{count} monitored destinations are more than the {MONITOR_DESTINATIONS_MAX} possible");
        context.error(codes::INVALID_PATH_MONITOR, &node, message);
        context.help("keep those that say most about the path");
        return None;
    }
    if destinations.is_empty() && count == 0 {
        let message = format!("path monitoring of route `{}` has no destination, so nothing is watched", route.name());
        context.error(codes::INVALID_PATH_MONITOR, &node, message);
        context.help("add an entry below `monitor-destinations`, or set `enable` to `no`");
    }
    (!destinations.is_empty()).then_some(PathMonitor { all_must_fail, hold_minutes, destinations })
}

fn destination(context: &mut Context, config: &DeviceConfig, entry: &Node<'_>, v6: bool) -> Option<MonitorDestination> {
    let name = context.entry_name(entry, NAME_LENGTH_MAX)?;
    let interval_s = context.number(entry, "interval", 1..=60).unwrap_or(INTERVAL_S);
    let count = context.number(entry, "count", 3..=10).unwrap_or(COUNT);
    let Some(leaf) = entry.child("destination") else {
        context.error(codes::MISSING_MEMBER, entry, format!("monitored destination `{name}` has no `destination`"));
        context.help("write the address that is pinged, e.g. `<destination>192.0.2.1</destination>`");
        return None;
    };
    let destination = host(context, config, &leaf, v6)?;
    let source = match entry.child("source") {
        Some(leaf) if !matches!(leaf.text().as_str(), "" | "DHCP" | "PPPOE") => Some(host(context, config, &leaf, v6)?),
        _ => None,
    };
    Some(MonitorDestination { name, source, destination, interval_s, count })
}

fn host(context: &mut Context, config: &DeviceConfig, leaf: &Node<'_>, v6: bool) -> Option<IpAddr> {
    let text = leaf.text();
    let address = network_value(context, config, leaf, &text)?.addr();
    if address.is_ipv6() == v6 {
        return Some(address);
    }
    let message = format!("`{text}` is of another address family than the route");
    context.error(codes::INVALID_PATH_MONITOR, leaf, message);
    context.help("probe an address of the route's own family");
    None
}
