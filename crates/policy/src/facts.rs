//! What does a configuration leave to the moment it is enforced?
//!
//! A configuration says "by DHCP", "whatever this name resolves to", "the hosts with this tag". What that
//! is right now comes in here, gathered by the firewall, so that compiling stays a function of its
//! arguments. Where a fact is missing the object matches no address, the interface has none, the route is
//! not in force. So an allow rule allows nothing by a missing object, and a refusal refuses nothing by it
//! until it is known.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

/// Everything that is known besides the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Somebody gathers the facts, so what is missing is worth a word. `false` where a configuration is
    /// only looked at.
    pub gathered: bool,
    /// What interfaces learned of their networks, by the interface's name.
    pub interfaces: BTreeMap<String, Learned>,
    /// Addresses behind each DNS name that an address object names, in lower case without a final dot.
    pub names: BTreeMap<String, BTreeSet<IpAddr>>,
    /// Members of the external dynamic lists, by the list's name.
    pub lists: BTreeMap<String, Vec<IpNet>>,
    /// Tags registered for addresses, beside those that address objects carry.
    pub tags: BTreeMap<IpAddr, BTreeSet<String>>,
    /// Schedules that are on now, by name.
    pub schedules_on: BTreeSet<String>,
    /// Monitored static routes whose path is down.
    pub routes_down: BTreeSet<RouteName>,
}

/// Which static route of which router.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteName {
    /// The router.
    pub router: String,
    /// A route of the IPv6 table: routes of the two families may share a name.
    pub v6: bool,
    /// The route.
    pub route: String,
}

/// What DHCP or router advertisements said on one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// Own addresses with their connected networks.
    pub addresses: Vec<IpNet>,
    /// Default gateways, best first; at most one of each family is used.
    pub gateways: Vec<IpAddr>,
}
