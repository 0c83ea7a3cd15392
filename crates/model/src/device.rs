//! One firewall's effective configuration, typed: what do interfaces, zones, routers, objects and rules say?
//!
//! These structures hold what was *written* (names still unresolved); `policy` turns them into what
//! packets see. Only [`Validated`] reaches `policy::compile`: reading and checking happen here, once.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::diagnostic::Origin;

/// A device configuration that was read and checked without an error. Obtained only from `device::read`.
#[derive(Clone, Debug, Default)]
pub struct Validated(DeviceConfig);

impl std::ops::Deref for Validated {
    type Target = DeviceConfig;

    fn deref(&self) -> &DeviceConfig {
        &self.0
    }
}

/// Everything the firewall enforces.
#[derive(Clone, Debug, Default)]
pub struct DeviceConfig {
    /// Ethernet layer-3 and loopback interfaces.
    pub interfaces: Vec<Interface>,
    /// Interface management profiles.
    pub management_profiles: Vec<ManagementProfile>,
    /// Zones of vsys1.
    pub zones: Vec<Zone>,
    /// Logical routers and virtual routers, one model.
    pub routers: Vec<Router>,
    /// Address objects, nearest scope first; a name may appear again in a farther scope (shadowed).
    pub addresses: Vec<Address>,
    /// Address groups, nearest scope first.
    pub address_groups: Vec<AddressGroup>,
    /// Service objects, nearest scope first, the predefined `service-http` and `service-https` last.
    pub services: Vec<Service>,
    /// Service groups, nearest scope first.
    pub service_groups: Vec<ServiceGroup>,
    /// Tags.
    pub tags: Vec<Tag>,
    /// NAT rules in the order of evaluation (pre, local, post).
    pub nat_rules: Vec<NatRule>,
    /// Security rules in the order of evaluation (pre, local, post), without the default rules.
    pub security_rules: Vec<SecurityRule>,
    /// What `intrazone-default` does.
    pub intrazone_default: DefaultRule,
    /// What `interzone-default` does.
    pub interzone_default: DefaultRule,
}

/// A layer-3 interface.
#[derive(Clone, Debug, Default)]
pub struct Interface {
    /// `ethernet1/1` or `loopback.1`; the spelling `eth1/1` is normalised.
    pub name: String,
    /// Where it is written.
    pub origin: Origin,
    /// Ethernet or loopback.
    pub kind: InterfaceKind,
    /// Addresses with prefix length, v4 and v6.
    pub addresses: Vec<IpNet>,
    /// The IPv4 address comes by DHCP.
    pub dhcp: bool,
    /// Largest IP packet in bytes; 1500 when unset.
    pub mtu_bytes: Option<u16>,
    /// Name of an interface management profile.
    pub management_profile: Option<String>,
}

/// What kind of port an interface is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InterfaceKind {
    /// Moves frames.
    #[default]
    Ethernet,
    /// Only holds addresses.
    Loopback,
}

/// Which services an interface answers, and to whom.
#[derive(Clone, Debug, Default)]
pub struct ManagementProfile {
    /// Name.
    pub name: String,
    /// Where it is written.
    pub origin: Origin,
    /// Answers ICMP and ICMPv6 echo.
    pub ping: bool,
    /// Answers the HTTP health check on TCP 80.
    pub http: bool,
    /// Answers the HTTPS health check on TCP 443.
    pub https: bool,
    /// Sources that are answered; empty means everyone.
    pub permitted: Vec<IpNet>,
}

/// A security zone.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    /// Name.
    pub name: String,
    /// Where it is written.
    pub origin: Origin,
    /// Layer-3 interfaces in it.
    pub interfaces: Vec<String>,
}

/// A logical router (its `default` VRF) or a virtual router.
#[derive(Clone, Debug, Default)]
pub struct Router {
    /// Name.
    pub name: String,
    /// Where it is written.
    pub origin: Origin,
    /// Interfaces that forward by this table.
    pub interfaces: Vec<String>,
    /// Static routes, v4 and v6.
    pub routes: Vec<StaticRoute>,
}

/// A static route.
#[derive(Clone, Debug)]
pub struct StaticRoute {
    /// Name.
    pub name: String,
    /// Where it is written.
    pub origin: Origin,
    /// Destination.
    pub destination: IpNet,
    /// Outgoing interface; needed by no next hop but may narrow an address.
    pub interface: Option<String>,
    /// Where packets go.
    pub next_hop: NextHop,
    /// Lower wins among equal prefixes.
    pub metric: u16,
    /// Administrative distance; lower wins before the metric.
    pub admin_distance: u8,
}

/// Where a static route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// A neighbour's address.
    Address(IpAddr),
    /// Continue the look-up in that router (`next-vr`, `next-lr`).
    Router(String),
    /// Drop.
    Discard,
    /// Directly attached: no next hop, only an interface.
    Interface,
}

/// An address object.
#[derive(Clone, Debug)]
pub struct Address {
    /// Name.
    pub name: String,
    /// Where it is written.
    pub origin: Origin,
    /// What it stands for.
    pub value: AddressValue,
    /// Tags, matched by dynamic address groups.
    pub tags: Vec<String>,
}

/// What an address object, or a literal in a rule, stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressValue {
    /// A network or host. `10.0.0.5` is `10.0.0.5/32`; host bits are kept as written.
    Prefix(IpNet),
    /// First and last address, same family.
    Range(IpAddr, IpAddr),
    /// A DNS name (stored; resolves to nothing until FQDN objects are enforced, with a warning).
    Fqdn(String),
    /// `10.0.0.0/0.0.255.0` (stored; matches nothing until enforced, with a warning).
    Wildcard(String),
}

/// An address group.
#[derive(Clone, Debug)]
pub struct AddressGroup {
    /// Name.
    pub name: String,
    /// Where it is written.
    pub origin: Origin,
    /// Its members.
    pub members: GroupMembers,
}

/// How an address group gets its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupMembers {
    /// Names of addresses or groups.
    Static(Vec<String>),
    /// A tag filter, e.g. `'web' and not 'test'`, matched against the tags of address objects.
    Dynamic(String),
}

/// A service object.
#[derive(Clone, Debug)]
pub struct Service {
    /// Name.
    pub name: String,
    /// Where it is written.
    pub origin: Origin,
    /// TCP, UDP or (our extension for Kubernetes) SCTP.
    pub protocol: ServiceProtocol,
    /// Destination ports, inclusive ranges.
    pub ports: Vec<(u16, u16)>,
    /// Source ports, inclusive ranges; empty means any.
    pub source_ports: Vec<(u16, u16)>,
}

/// Layer-4 protocol of a service object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceProtocol {
    /// 6
    Tcp,
    /// 17
    Udp,
    /// 132
    Sctp,
}

/// A service group.
#[derive(Clone, Debug)]
pub struct ServiceGroup {
    /// Name.
    pub name: String,
    /// Where it is written.
    pub origin: Origin,
    /// Names of services or groups.
    pub members: Vec<String>,
}

/// A tag.
#[derive(Clone, Debug)]
pub struct Tag {
    /// Name.
    pub name: String,
    /// Where it is written.
    pub origin: Origin,
}

/// A NAT rule. Lists hold names or literals; `any` is the empty list.
#[derive(Clone, Debug, Default)]
pub struct NatRule {
    /// Name.
    pub name: String,
    /// Where it is written.
    pub origin: Origin,
    /// Not evaluated.
    pub disabled: bool,
    /// Source zones.
    pub from: Vec<String>,
    /// Destination zone (of the original destination).
    pub to: Vec<String>,
    /// Only for packets that leave by this interface.
    pub to_interface: Option<String>,
    /// Original source addresses.
    pub source: Vec<String>,
    /// Original destination addresses.
    pub destination: Vec<String>,
    /// One service or service group.
    pub service: Option<String>,
    /// What happens to the source.
    pub source_translation: Option<SourceTranslation>,
    /// What happens to the destination.
    pub destination_translation: Option<DestinationTranslation>,
}

/// Source translation of a NAT rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceTranslation {
    /// Dynamic IP and port on an interface's address (that one, or its first of the family).
    InterfaceAddress {
        /// Interface name.
        interface: String,
        /// One address of several.
        address: Option<IpNet>,
    },
    /// Dynamic IP and port on a pool (names or literals).
    Pool(Vec<String>),
    /// One to one; a prefix maps onto a prefix of equal length.
    Static {
        /// Name or literal.
        address: String,
        /// Also translates the destination of flows from outside.
        bidirectional: bool,
    },
}

/// Destination translation of a NAT rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationTranslation {
    /// Name or literal.
    pub address: String,
    /// New port; unchanged when absent.
    pub port: Option<u16>,
}

/// A security rule. Lists hold names or literals; `any` is the empty list.
#[derive(Clone, Debug, Default)]
pub struct SecurityRule {
    /// Name.
    pub name: String,
    /// Where it is written.
    pub origin: Origin,
    /// Not evaluated.
    pub disabled: bool,
    /// Which zone pairs it is for.
    pub kind: RuleKind,
    /// Source zones.
    pub from: Vec<String>,
    /// Destination zones.
    pub to: Vec<String>,
    /// Source addresses.
    pub source: Vec<String>,
    /// Matches sources that are *not* in the list.
    pub negate_source: bool,
    /// Destination addresses (before destination NAT).
    pub destination: Vec<String>,
    /// Matches destinations that are *not* in the list.
    pub negate_destination: bool,
    /// Services or service groups; `application-default` counts as any while `application` is any.
    pub service: Vec<String>,
    /// Criteria this version stores but cannot evaluate, e.g. `application web-browsing`. An allow rule
    /// that has one never matches, any other rule matches as if it were absent: what cannot be
    /// evaluated never widens what is allowed. Each was reported as a warning.
    pub unevaluated: Vec<String>,
    /// What happens.
    pub action: Action,
    /// Answer a drop or deny with an ICMP unreachable.
    pub icmp_unreachable: bool,
    /// Log when the session starts.
    pub log_start: bool,
    /// Log when the session ends; on unless switched off.
    pub log_end: bool,
}

/// Which zone pairs a security rule is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RuleKind {
    /// All of `from` x `to`.
    #[default]
    Universal,
    /// Inside each zone of `from`.
    Intrazone,
    /// Between different zones of `from` x `to`.
    Interzone,
}

/// Action of a security rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Action {
    /// Forward.
    #[default]
    Allow,
    /// Drop; the application's own way of refusing where one is known.
    Deny,
    /// Drop silently.
    Drop,
    /// Drop and send a TCP RST to the client.
    ResetClient,
    /// Drop and send a TCP RST to the server.
    ResetServer,
    /// Drop and send a TCP RST to both.
    ResetBoth,
}

impl Action {
    /// PAN-OS spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Drop => "drop",
            Self::ResetClient => "reset-client",
            Self::ResetServer => "reset-server",
            Self::ResetBoth => "reset-both",
        }
    }
}

/// A default rule after overrides.
#[derive(Clone, Debug, Default)]
pub struct DefaultRule {
    /// Where the override is written, if there is one.
    pub origin: Origin,
    /// What happens.
    pub action: Action,
    /// Log when the session starts.
    pub log_start: bool,
    /// Log when the session ends. Set for a default rule that refuses, so that no drop is silent.
    pub log_end: bool,
}
