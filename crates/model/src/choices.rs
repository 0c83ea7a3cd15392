//! Which elements exclude one another?
//!
//! Choice nodes of PAN-OS: setting one branch removes its siblings. Here are those of the parts of the tree that
//! this project gives a meaning to; of the others [`schema`] knows.

use crate::schema;

/// Values of an address object.
pub const ADDRESS: &[&str] = &["ip-netmask", "ip-range", "ip-wildcard", "fqdn"];
/// Members of an address group.
pub const ADDRESS_GROUP: &[&str] = &["static", "dynamic"];
/// Protocols of a service.
pub const SERVICE: &[&str] = &["tcp", "udp", "sctp"];
/// Types of an Ethernet interface.
pub const INTERFACE: &[&str] =
    &["layer3", "layer2", "tap", "virtual-wire", "ha", "aggregate-group", "decrypt-mirror", "log-card"];
/// Where an interface gets its IPv4 address.
pub const INTERFACE_ADDRESS: &[&str] = &["ip", "dhcp-client", "pppoe"];
/// Next hops of a static route.
pub const NEXT_HOP: &[&str] = &["ip-address", "ipv6-address", "next-vr", "next-lr", "discard", "fqdn", "receive"];
/// What spreads flows over equal routes.
pub const ECMP_ALGORITHM: &[&str] = &["ip-modulo", "ip-hash", "weighted-round-robin", "balanced-round-robin"];
/// Types of a zone.
pub const ZONE: &[&str] = &["layer3", "layer2", "tap", "virtual-wire", "external", "tunnel"];
/// Tunnels of a traffic object.
pub const TRAFFIC_OBJECT: &[&str] = &["k8s-cluster", "vpc", "gcp-nsi", "azure-gwlb"];
/// The router of a traffic object.
pub const ANY_ROUTER: &[&str] = &["logical-router", "virtual-router"];
/// Kinds of source translation.
pub const SOURCE_TRANSLATION: &[&str] =
    &["dynamic-ip-and-port", "persistent-dynamic-ip-and-port", "dynamic-ip", "static-ip"];
/// Where a source pool gets its addresses.
pub const SOURCE_POOL: &[&str] = &["interface-address", "translated-address"];
/// Kinds of destination translation.
pub const DESTINATION_TRANSLATION: &[&str] = &["destination-translation", "dynamic-destination-translation"];
/// Types of an external list.
pub const EXTERNAL_LIST: &[&str] = &["ip", "domain", "url", "imei", "imsi", "predefined-ip", "predefined-url"];
/// How often an external list is fetched.
pub const EXTERNAL_LIST_RECURRING: &[&str] = &["five-minute", "hourly", "daily", "weekly", "monthly"];
/// Kinds of a schedule.
pub const SCHEDULE: &[&str] = &["recurring", "non-recurring"];
/// Kinds of a recurring schedule.
pub const SCHEDULE_RECURRING: &[&str] = &["daily", "weekly"];
/// What happens to SYNs above a rate.
pub const SYN_FLOOD: &[&str] = &["red", "syn-cookies"];
/// What follows a scan.
pub const SCAN_ACTION: &[&str] = &["allow", "alert", "block", "block-ip"];
/// Types of a template variable.
pub const VARIABLE: &[&str] = &[
    "ip-netmask",
    "ip-range",
    "fqdn",
    "group-id",
    "device-priority",
    "device-id",
    "interface",
    "as-number",
    "qos-profile",
    "egress-max",
    "link-tag",
];

/// End of the path of the element that holds the branches, and the branches.
const TABLE: &[(&str, &[&str])] = &[
    ("address/entry", ADDRESS),
    ("address-group/entry", ADDRESS_GROUP),
    ("service/entry/protocol", SERVICE),
    ("tcp/override", &["no", "yes"]),
    ("udp/override", &["no", "yes"]),
    ("ethernet/entry", INTERFACE),
    ("entry/layer3", INTERFACE_ADDRESS),
    ("layer3/units/entry", INTERFACE_ADDRESS),
    ("static-route/entry/nexthop", NEXT_HOP),
    ("ecmp/algorithm", ECMP_ALGORITHM),
    ("zone/entry/network", ZONE),
    ("traffic-object/entry", TRAFFIC_OBJECT),
    ("k8s-cluster/network", ANY_ROUTER),
    ("vpc/network", ANY_ROUTER),
    ("gcp-nsi/network", ANY_ROUTER),
    ("azure-gwlb/network", ANY_ROUTER),
    ("source-translation", SOURCE_TRANSLATION),
    ("dynamic-ip-and-port", SOURCE_POOL),
    ("persistent-dynamic-ip-and-port", SOURCE_POOL),
    ("dynamic-ip/fallback", SOURCE_POOL),
    ("interface-address", &["ip", "floating-ip"]),
    ("nat/rules/entry", DESTINATION_TRANSLATION),
    ("decryption/rules/entry/type", &["ssl-forward-proxy", "ssh-proxy", "ssl-inbound-inspection"]),
    ("rules/entry/profile-setting", &["group", "profiles"]),
    ("qos/marking", &["ip-dscp", "ip-precedence", "follow-c2s-flow"]),
    ("flood/tcp-syn", SYN_FLOOD),
    ("scan/entry/action", SCAN_ACTION),
    ("variable/entry/type", VARIABLE),
    ("external-list/entry/type", EXTERNAL_LIST),
    ("external-list/entry/type/ip/recurring", EXTERNAL_LIST_RECURRING),
    ("schedule/entry/schedule-type", SCHEDULE),
    ("schedule-type/recurring", SCHEDULE_RECURRING),
    ("admin-role/entry/role", &["device", "vsys", "panorama", "device-group"]),
];

/// The branches that `tag` excludes as a child of the element with this path of tags, itself among them;
/// empty when it is no choice.
pub fn branches(path: &[&str], tag: &str) -> &'static [&'static str] {
    let fits = |end: &str| {
        end.rsplit('/')
            .zip(path.iter().rev().map(Some).chain(std::iter::repeat(None)))
            .all(|(wanted, here)| here == Some(&wanted))
    };
    let enforced = TABLE.iter().find(|(end, branches)| branches.contains(&tag) && fits(end));
    enforced.map_or_else(|| schema::branches(path, tag), |(_, branches)| branches)
}

#[cfg(test)]
mod tests {
    use super::branches;

    #[test]
    fn branches_exclude_one_another_where_they_are_a_choice() {
        assert_eq!(branches(&["config", "shared", "address", "entry"], "fqdn").len(), 4);
        assert_eq!(branches(&["config", "shared", "address", "entry"], "tag").len(), 0);
        assert_eq!(branches(&["entry"], "fqdn").len(), 0);
        assert_eq!(branches(&["network", "interface", "ethernet", "entry", "layer3"], "ip").len(), 3);
    }
}
