//! One firewall's effective configuration, typed: what do interfaces, zones, routers, objects and rules say?
//!
//! These structures hold what was *written* (names still unresolved); `policy` turns them into what
//! packets see. Only [`Validated`] reaches `policy::compile`: reading and checking happen here, once.

mod context;
mod coverage;
mod ecmp;
mod external_list;
mod interface;
mod nat;
mod node;
mod objects;
mod path_monitor;
mod protection;
mod recovery;
mod references;
mod router;
mod rules;
mod schedule;
mod security;
mod service;
mod session;
mod standing;
#[cfg(test)]
mod tests;
pub mod traffic_object;
mod value;
mod zone;

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::codes;
use crate::diagnostic::{Diagnostic, Origin, Severity};
use crate::tree::Element;
use context::Context;
pub use ecmp::{Ecmp, EcmpAlgorithm};
pub use external_list::{ExternalList, Recurring};
use node::Node;
pub use objects::GROUP_DEPTH_MAX;
pub use path_monitor::{MONITOR_DESTINATIONS_MAX, MONITOR_DESTINATIONS_TOTAL_MAX, MonitorDestination, PathMonitor};
pub use protection::{Check, Checks, Flood, FloodKind, Scan, ScanAction, ScanKind, ZoneProtection};
pub use recovery::CommitRecovery;
pub use references::Names;
pub use schedule::{Hours, Times};
pub use service::{Service, ServiceGroup, ServiceProtocol, ServiceTimeouts};
pub use session::{SessionSettings, SessionTimeouts};
use standing::Parts;
pub use standing::{RuleRead, Standing};
pub use traffic_object::{TrafficKind, TrafficObject};
pub use value::interface_name;

/// Reads a firewall-shaped configuration, whose root is `<config>`.
///
/// Local settings stand below `devices/entry` and `shared`, what a manager pushed below
/// `panorama/vsys/entry[@name='vsys1']`, as on PAN-OS. Everything that is wrong is reported at once.
pub fn read(root: &Element, scope: Scope) -> Report {
    read_noting(root, scope, None)
}

/// [`read`]; `parts` gets what each security rule contributed, and the objects.
fn read_noting(root: &Element, scope: Scope, mut parts: Option<&mut Parts>) -> Report {
    let mut context = Context::new(scope);
    let mut config = DeviceConfig::default();
    let root = Node::root(root);
    let devices = root.entries_at(&["devices"]);
    if let Some(second) = devices.get(1) {
        context.warning(codes::NOT_ENFORCED, second, "a second device is stored but not enforced");
    }
    let device = devices.into_iter().next();
    let network = device.as_ref().and_then(|device| device.child("network"));
    if let Some(settings) = device.as_ref().and_then(|device| device.child("deviceconfig")) {
        config.session = session::read(&mut context, &settings);
        config.recovery = recovery::read(&mut context, &settings);
    }
    let vsys = device.as_ref().and_then(|device| vsys1(device));
    let pushed = root.child("panorama").and_then(|panorama| vsys1(&panorama));

    let scopes: Vec<Node<'_>> = [vsys.clone(), root.child("shared"), pushed.clone()].into_iter().flatten().collect();
    let objects = objects::read(&mut context, &mut config, &scopes);
    schedule::read(&mut context, &mut config, &scopes);
    config.timezone = device.as_ref().and_then(|device| timezone(&mut context, device));
    let others =
        network.as_ref().map(|network| interface::read(&mut context, &mut config, network)).unwrap_or_default();
    if let Some(network) = &network {
        protection::read(&mut context, &mut config, network);
    }
    if let Some(vsys) = &vsys {
        zone::read(&mut context, &mut config, vsys, &others);
    }
    if let Some(network) = &network {
        router::read(&mut context, &mut config, network, &others);
        interface::check_shared_addresses(&mut context, &config);
    }
    if let Some(vsys) = &vsys {
        traffic_object::read(&mut context, &mut config, vsys);
    }

    let local = vsys.and_then(|vsys| vsys.child("rulebase"));
    let pre = pushed.as_ref().and_then(|pushed| pushed.child("pre-rulebase"));
    let post = pushed.as_ref().and_then(|pushed| pushed.child("post-rulebase"));
    let rulebases: Vec<Node<'_>> = [pre, local.clone(), post.clone()].into_iter().flatten().collect();
    let known = rules::Known { config: &config, objects: &objects };
    let before_rules = context.diagnostics.len();
    let security_rules =
        security::read(&mut context, &known, &rulebases, parts.as_deref_mut().map(|parts| &mut parts.rules));
    let after_rules = context.diagnostics.len();
    let nat_rules = nat::read(&mut context, &known, &rulebases);
    config.security_rules = security_rules;
    config.nat_rules = nat_rules;
    if let Some(device) = &device {
        config.nat = nat::read_settings(&mut context, device);
    }
    let defaults: Vec<Node<'_>> = [local, post].into_iter().flatten().collect();
    security::read_defaults(&mut context, &mut config, &defaults);
    for region in objects::predefined_regions(&config) {
        if config.address(&region).is_none() && config.address_group(&region).is_none() {
            config.address_groups.push(objects::empty_group(&region));
        }
    }
    if let Some(parts) = parts.as_deref_mut() {
        parts.rest.extend_from_slice(&context.diagnostics[..before_rules]);
        parts.rest.extend_from_slice(&context.diagnostics[after_rules..]);
    }
    coverage::check(&mut context, &root, parts.as_deref_mut());
    if let Some(parts) = parts {
        parts.objects = objects;
    }

    let diagnostics = in_document_order(context.diagnostics);
    let refused = diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    let config = (!refused && scope == Scope::Device).then_some(Validated(config));
    Report { config, diagnostics }
}

/// What of a configuration can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One firewall's whole configuration: every check.
    Device,
    /// Policy and objects of a device group without a firewall: zones, interfaces and routers that rules
    /// name are not looked up.
    PolicyOnly,
    /// Network settings of a template or stack without a firewall: values are checked, references
    /// between them are not, and a variable without a value is only a warning.
    Template,
}

/// The outcome of [`read`].
#[derive(Clone, Debug)]
pub struct Report {
    /// The configuration: there if no diagnostic is an error and the scope was [`Scope::Device`], since
    /// only then is it complete enough to be enforced.
    pub config: Option<Validated>,
    /// Everything found, errors and warnings, in the order of the text as far as it is known.
    pub diagnostics: Vec<Diagnostic>,
}

/// The zone of the device's clock, checked against no list: the firewall has its own.
fn timezone(context: &mut Context, device: &Node<'_>) -> Option<String> {
    context.text(&device.descend(&["deviceconfig", "system"])?, "timezone")
}

fn vsys1<'a>(parent: &Node<'a>) -> Option<Node<'a>> {
    parent.child("vsys").and_then(|vsys| vsys.entries().find(|entry| entry.name() == "vsys1"))
}

/// Sorted by span where there is one; otherwise in the order they were found.
fn in_document_order(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    diagnostics.sort_by_key(|diagnostic| diagnostic.origin.span.map_or(usize::MAX, |span| span.start));
    diagnostics
}

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
    /// Zone protection profiles.
    pub zone_protections: Vec<ZoneProtection>,
    /// Zones of vsys1.
    pub zones: Vec<Zone>,
    /// Logical routers and virtual routers, one model.
    pub routers: Vec<Router>,
    /// Traffic objects of vsys1.
    pub traffic_objects: Vec<TrafficObject>,
    /// Address objects, nearest scope first; a name may appear again in a farther scope (shadowed).
    pub addresses: Vec<Address>,
    /// Address groups, nearest scope first.
    pub address_groups: Vec<AddressGroup>,
    /// External dynamic lists of addresses, nearest scope first; their names are those of addresses.
    pub external_lists: Vec<ExternalList>,
    /// Schedules, each name once: the nearest.
    pub schedules: Vec<Schedule>,
    /// Time zone of the device's clock, e.g. `Europe/Berlin`; UTC when unset.
    pub timezone: Option<String>,
    /// Service objects, nearest scope first, the predefined `service-http` and `service-https` last.
    pub services: Vec<Service>,
    /// Service groups, nearest scope first.
    pub service_groups: Vec<ServiceGroup>,
    /// Tags.
    pub tags: Vec<Tag>,
    /// NAT rules in the order of evaluation (pre, local, post).
    pub nat_rules: Vec<NatRule>,
    /// Settings of NAT.
    pub nat: NatSettings,
    /// Security rules in the order of evaluation (pre, local, post), without the default rules.
    /// They are shared, so that whoever compares two readings sees at once which are the same.
    pub security_rules: Vec<Arc<SecurityRule>>,
    /// What `intrazone-default` does.
    pub intrazone_default: DefaultRule,
    /// What `interzone-default` does.
    pub interzone_default: DefaultRule,
    /// What holds for all sessions.
    pub session: SessionSettings,
    /// Whether a push that cuts the device from its manager is taken back.
    pub recovery: CommitRecovery,
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
    /// The IPv4 address comes by DHCP, in this way.
    pub dhcp: Option<DhcpClient>,
    /// IPv6 addresses come by router advertisement, in this way.
    pub autoconf: Option<Autoconf>,
    /// The 802.1Q tag of a subinterface.
    pub vlan: Option<u16>,
    /// Largest IP packet in bytes; 1500 when unset.
    pub mtu_bytes: Option<u16>,
    /// By how much the segments of TCP stay below the MTU, where that is enforced.
    pub tcp_mss: Option<TcpMss>,
    /// Name of an interface management profile.
    pub management_profile: Option<String>,
}

impl Interface {
    /// The port that a subinterface is a part of: `ethernet1/1` of `ethernet1/1.100`.
    pub fn parent(&self) -> Option<&str> {
        self.vlan?;
        self.name.rsplit_once('.').map(|(parent, _)| parent)
    }
}

/// Bytes that TCP segments leave free in the MTU, by family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpMss {
    /// `ipv4-mss-adjustment`.
    pub v4_bytes: u16,
    /// `ipv6-mss-adjustment`.
    pub v6_bytes: u16,
}

/// How an interface asks for its IPv4 address, and what it makes of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhcpClient {
    /// The gateway of the lease becomes a default route of the interface's router.
    pub default_route: bool,
    /// Metric of that route.
    pub default_route_metric: u16,
    /// The name the server is told.
    pub hostname: Option<DhcpHostname>,
}

/// What an interface makes of router advertisements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Autoconf {
    /// The router becomes a default route of the interface's router.
    pub default_route: bool,
    /// Metric of that route.
    pub default_route_metric: u16,
}

/// The host name in a DHCP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DhcpHostname {
    /// The firewall's own.
    System,
    /// This one.
    Named(String),
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
    /// Name of a zone protection profile.
    pub protection: Option<String>,
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
    /// Equal-cost multi-path, where it is on.
    pub ecmp: Option<Ecmp>,
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
    /// What says whether the route's path is alive.
    pub path_monitor: Option<PathMonitor>,
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
    /// A DNS name: the addresses it has at the moment.
    Fqdn(String),
    /// `10.0.0.0/0.0.255.0` (stored; matches nothing until enforced, with a warning).
    Wildcard(String),
}

/// A schedule.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Name.
    pub name: String,
    /// Where it is written.
    pub origin: Origin,
    /// When it is on.
    pub times: Times,
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
    /// A tag filter, e.g. `'web' and not 'test'`, matched against the tags of address objects and those
    /// registered for addresses.
    Dynamic(String),
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
    /// Dynamic IP and port.
    DynamicIpAndPort {
        /// Whose ports.
        pool: PortPool,
        /// A client's address and port keep their translation whatever the destination.
        persistent: bool,
    },
    /// Each client has an address of its own for as long as it has sessions; ports are kept.
    DynamicIp {
        /// Names or literals.
        addresses: Vec<String>,
        /// Dynamic IP and port for those who find no address.
        fallback: Option<PortPool>,
    },
    /// One to one; a prefix maps onto a prefix of equal length.
    Static {
        /// Name or literal.
        address: String,
        /// Also translates the destination of flows from outside.
        bidirectional: bool,
    },
}

/// The addresses whose ports sessions leave with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortPool {
    /// An interface's address (that one, or its first of the family).
    Interface {
        /// Interface name.
        interface: String,
        /// One address of several.
        address: Option<IpNet>,
    },
    /// Names or literals.
    Addresses(Vec<String>),
}

/// Destination translation of a NAT rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationTranslation {
    /// Name or literal.
    pub address: String,
    /// New port; unchanged when absent.
    pub port: Option<u16>,
    /// How new sessions are spread over the addresses; one to one when absent.
    pub distribution: Option<Distribution>,
}

/// How new sessions are spread over several translated destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// One after the other.
    RoundRobin,
    /// By the source address.
    SourceIpHash,
    /// By source and destination address, combined by XOR, modulo the number of addresses.
    IpModulo,
    /// By source and destination address.
    IpHash,
    /// Where the fewest sessions are.
    LeastSessions,
}

impl Distribution {
    /// Spelling of the configuration, and what it means.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("round-robin", Self::RoundRobin),
        ("source-ip-hash", Self::SourceIpHash),
        ("ip-modulo", Self::IpModulo),
        ("ip-hash", Self::IpHash),
        ("least-sessions", Self::LeastSessions),
    ];

    /// Spelling of the configuration.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }
}

/// Device-wide settings of NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatSettings {
    /// Sessions to different destinations that may leave with the same address and port at once: 1, 2, 4
    /// or 8.
    pub oversubscription: u8,
}

impl Default for NatSettings {
    fn default() -> Self {
        Self { oversubscription: 1 }
    }
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
    /// The rule is on only while this schedule is.
    pub schedule: Option<String>,
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
