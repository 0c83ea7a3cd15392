//! What do packets see of a configuration?
//!
//! Immutable once compiled and shared by every worker behind an `Arc`. Ids are stable from one
//! generation to the next ([`Ids`] only grows), so that a session installed under an older generation
//! still names the right interface, zone and rule.

use std::net::IpAddr;
use std::sync::Arc;

use bartizan_model::device::{Action, Distribution, NatSettings, ServiceTimeouts, SessionSettings, ZoneProtection};
use bartizan_model::diagnostic::{Diagnostic, Origin};
use ipnet::IpNet;

pub use crate::names::{Ids, Names};
use crate::nat::{self, NatTable};
use crate::routing::{Entry, Hop, Routers, Source, State};
use crate::security::SecurityTable;
use crate::tunnels::{Tunnel, Tunnels};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $int);

        impl $name {
            /// Position in the table of its kind.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

id!(/** An interface, by position in [`Compiled::interfaces`]. */ IfaceId(u16));
id!(/** A zone, by position in [`Ids::zones`]. */ ZoneId(u16));
id!(/** A router, by position in [`Ids::routers`]. */ RouterId(u16));
id!(/** A security rule's name, by position in [`Ids::rules`]; stable when rules move. */ RuleId(u32));
id!(/** A NAT rule's name, by position in [`Ids::nat_rules`]. */ NatRuleId(u32));

/// One direction of a conversation, as policy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Where the packet came in.
    pub ingress: IfaceId,
    /// Source address.
    pub source: IpAddr,
    /// Destination address, before NAT.
    pub destination: IpAddr,
    /// IP protocol number (1 ICMP, 6 TCP, 17 UDP, 58 ICMPv6).
    pub protocol: u8,
    /// Source port; the identifier for ICMP echo; 0 where there is none.
    pub source_port: u16,
    /// Destination port; 0 where there is none.
    pub destination_port: u16,
}

/// An interface that exists in this generation.
#[derive(Clone, Debug, Default)]
pub struct Interface {
    /// `ethernet1/1`, `loopback.1`.
    pub name: Arc<str>,
    /// No port: it holds addresses only, or is a side of a traffic object.
    pub loopback: bool,
    /// The traffic object it is a side of.
    pub tunnel: Option<Tunnel>,
    /// Its zone; packets of an interface without one are dropped.
    pub zone: Option<ZoneId>,
    /// Its router; packets of an interface without one are dropped.
    pub router: Option<RouterId>,
    /// The port that a subinterface is a part of, and its 802.1Q tag there.
    pub vlan: Option<(IfaceId, u16)>,
    /// Largest IP packet in bytes.
    pub mtu_bytes: u16,
    /// Largest TCP segment that a handshake may agree on, over IPv4 and IPv6, where that is enforced.
    pub mss_bytes: Option<(u16, u16)>,
    /// Own addresses with their connected networks.
    pub addresses: Vec<IpNet>,
    /// Its IPv4 address comes by DHCP: replies of servers are for it.
    pub dhcp: bool,
    /// IPv6 addresses come by router advertisement: those of its link are for it.
    pub autoconf: bool,
    /// Answers ICMP echo.
    pub ping: bool,
    /// Answers the HTTP health check.
    pub http: bool,
    /// Answers the HTTPS health check.
    pub https: bool,
    /// Sources whose ping and health checks are answered; empty means everyone.
    pub permitted: Vec<IpNet>,
    /// Addresses that are not the interface's own but are answered for in ARP and NDP: NAT pools and
    /// translated destinations inside its connected networks, and loopbacks of the same router there.
    pub proxy: Vec<(IpAddr, IpAddr)>,
}

impl Interface {
    /// Whether this source may use the interface's services.
    pub fn permits(&self, source: IpAddr) -> bool {
        self.permitted.is_empty() || self.permitted.iter().any(|network| network.contains(&source))
    }

    /// What answers this flow at an address of the interface.
    ///
    /// # Errors
    /// Why nothing does: the flow is dropped as `local-service`.
    pub fn service(&self, source: IpAddr, protocol: u8, port: u16) -> Result<Service, NoService> {
        let service = match (protocol, port, source) {
            (1, _, IpAddr::V4(_)) | (58, _, IpAddr::V6(_)) => Service::Ping,
            (6, HTTP_PORT, _) => Service::Http,
            (6, HTTPS_PORT, _) => Service::Https,
            _ => return Err(NoService::NotOffered),
        };
        let enabled = match service {
            Service::Ping => self.ping,
            Service::Http => self.http,
            Service::Https => self.https,
        };
        if !enabled {
            return Err(NoService::Disabled(service));
        }
        if !self.permits(source) {
            return Err(NoService::NotPermitted(service));
        }
        Ok(service)
    }
}

/// Port of the HTTP health check.
const HTTP_PORT: u16 = 80;
/// Port of the HTTPS health check.
const HTTPS_PORT: u16 = 443;

/// What the firewall's own addresses offer, where the interface's management profile says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// ICMP echo.
    Ping,
    /// The HTTP health check.
    Http,
    /// The HTTPS health check.
    Https,
}

impl Service {
    /// Spelling of the management profile.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Why one of the firewall's own addresses does not answer a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoService {
    /// It is neither ping nor TCP to port 80 or 443.
    NotOffered,
    /// The interface has no management profile with the service.
    Disabled(Service),
    /// The management profile does not permit this source.
    NotPermitted(Service),
    /// NAT leads to an own address, or translates what goes to one.
    Translated,
}

/// Where a route look-up ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// One of the firewall's own addresses, on this interface.
    Local {
        /// The interface that holds the address.
        iface: IfaceId,
    },
    /// Out by an interface.
    Via {
        /// Outgoing interface.
        iface: IfaceId,
        /// The neighbour to send to: the gateway, or the destination itself when attached.
        next_hop: IpAddr,
        /// The router whose table had the last word (differs from the first after next-router hops).
        router: RouterId,
    },
    /// A discard route.
    Discard,
    /// No route, or a route whose next hop is not reachable by an interface that is up.
    None,
    /// More next-router hops than [`ROUTER_HOPS_MAX`]; compile refuses such tables.
    Loop,
}

/// What chooses among routes of equal cost.
#[derive(Clone, Copy, Debug)]
pub enum Among {
    /// The first of them: for questions that concern no flow.
    First,
    /// The one for this flow, addresses and ports as its first packet had them before NAT.
    Flow {
        /// Source address.
        source: IpAddr,
        /// Destination address.
        destination: IpAddr,
        /// Source port.
        source_port: u16,
        /// Destination port.
        destination_port: u16,
    },
    /// The one that leaves by this interface, if there is one.
    Interface(IfaceId),
}

impl Among {
    /// For this flow.
    pub fn of(flow: &Flow) -> Self {
        Self::Flow {
            source: flow.source,
            destination: flow.destination,
            source_port: flow.source_port,
            destination_port: flow.destination_port,
        }
    }
}

/// Next-router hops that one look-up follows.
pub const ROUTER_HOPS_MAX: usize = 8;

/// How a source address is translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceNat {
    /// A port (ICMP: an identifier) on one of these addresses.
    DynamicIpAndPort {
        /// The addresses.
        pool: PortPool,
        /// The client's address and port keep their translation whatever the destination.
        persistent: bool,
    },
    /// One of these addresses for each client, the port unchanged.
    DynamicIp {
        /// Inclusive address ranges, all of the flow's family.
        pool: Ranges,
        /// For clients that find no address.
        fallback: Option<PortPool>,
    },
    /// This address, the port unchanged.
    Static {
        /// New source.
        address: IpAddr,
    },
}

/// Inclusive address ranges.
pub type Ranges = Arc<[(IpAddr, IpAddr)]>;

/// Addresses whose ports sessions leave with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortPool {
    /// Inclusive address ranges, all of the flow's family.
    pub ranges: Ranges,
    /// They are an interface's: a session does not outlive its address.
    pub of_interface: bool,
}

impl PortPool {
    /// Whether an address belongs to it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.ranges.iter().any(|(first, last)| *first <= address && address <= *last)
    }
}

/// The pools of a NAT rule, for `show running ippool`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulePool<'t> {
    /// The rule.
    pub rule: NatRuleId,
    /// `Dynamic IP/Port`, `Dynamic IP` and the like.
    pub kind: &'static str,
    /// Each session has a port of these.
    pub ports: Vec<&'t Ranges>,
    /// Each client has an address of these.
    pub hosts: Vec<&'t Ranges>,
}

/// How a destination is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DestinationNat {
    /// New destination address.
    pub address: IpAddr,
    /// New destination port.
    pub port: Option<u16>,
    /// How it was chosen, if there are several; sessions there are counted.
    pub spread: Option<Distribution>,
}

/// Everything a session needs that is allowed to go on.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Source zone.
    pub from: ZoneId,
    /// Destination zone, after NAT.
    pub to: ZoneId,
    /// The NAT rule that matched, translating or not.
    pub nat_rule: Option<NatRuleId>,
    /// Source translation.
    pub source_nat: Option<SourceNat>,
    /// Destination translation.
    pub destination_nat: Option<DestinationNat>,
    /// Where the packet goes: never `Discard`, `None` or `Loop`.
    pub route: Route,
    /// The security rule.
    pub rule: RuleId,
    /// What the rule says.
    pub verdict: RuleVerdict,
    /// How long the session lives by the service that the rule names for it.
    pub timeouts: ServiceTimeouts,
}

/// What a security rule does with its flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleVerdict {
    /// What happens.
    pub action: Action,
    /// Answer a refusal with ICMP unreachable.
    pub icmp_unreachable: bool,
    /// Log the start.
    pub log_start: bool,
    /// Log the end.
    pub log_end: bool,
}

/// The answer for one flow.
#[derive(Clone, Debug)]
pub enum Decision {
    /// A security rule had its say (allow or one of the refusals): see `verdict.action`.
    Ruled(Forward),
    /// A stage before the rules ended it.
    Dropped(DropCause),
}

/// Why a flow ends before any security rule is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropCause {
    /// The ingress interface does not exist in this generation or has no zone.
    NoZone,
    /// The ingress interface has no router.
    NoRouter,
    /// No route to the (translated) destination.
    NoRoute,
    /// The route says discard.
    RouteDiscard,
    /// Too many next-router hops.
    RouterLoop,
    /// The egress interface has no zone.
    NoEgressZone,
}

/// What `explain` reports for one stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// `zone`, `route`, `nat`, `security`, ...
    pub stage: &'static str,
    /// One sentence in the operator's words.
    pub text: String,
    /// Where the deciding thing is configured.
    pub origin: Option<Origin>,
}

/// One generation of the configuration in the form packets see.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// Number of the commit, given by the caller.
    pub generation: u64,
    /// Interfaces by [`IfaceId`]; `None` where an earlier generation had one.
    pub interfaces: Vec<Option<Interface>>,
    /// What is accepted but not in force, or looks unintended.
    pub warnings: Vec<Diagnostic>,
    /// What holds for all sessions.
    pub session: SessionSettings,
    /// Zone protection profiles by [`ZoneId`]; `None` for a zone without one.
    pub(crate) protections: Vec<Option<Arc<ZoneProtection>>>,
    pub(crate) ids: Arc<Ids>,
    pub(crate) tunnels: Tunnels,
    pub(crate) routers: Routers,
    pub(crate) nat: NatTable,
    /// Device-wide settings of NAT.
    pub nat_settings: NatSettings,
    pub(crate) security: SecurityTable,
}

/// What the logs and the rule list say about a rule.
#[derive(Clone, Copy, Debug)]
pub struct RuleInfo<'a> {
    /// Place in the rule base, from 1; the default rules come last.
    pub position: usize,
    /// What the rule says; `None` for a NAT rule.
    pub verdict: Option<RuleVerdict>,
    /// Where it is configured.
    pub origin: &'a Origin,
}

/// A line of `show routing route`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRow {
    /// Router.
    pub router: RouterId,
    /// Destination.
    pub destination: IpNet,
    /// Gateway, `router x`, `discard`; the own address for connected networks and hosts.
    pub next_hop: String,
    /// Metric.
    pub metric: u16,
    /// `A` when in force, then `S`tatic, `C`onnected or `H`ost; `E` when it shares its prefix with routes of
    /// equal cost, `D` when its monitored path is dead,
    /// `L` when it was learned.
    pub flags: &'static str,
    /// Outgoing interface.
    pub interface: Option<IfaceId>,
}

impl Compiled {
    /// The interface behind an id, if this generation has it.
    pub fn interface(&self, id: IfaceId) -> Option<&Interface> {
        self.interfaces.get(id.index())?.as_ref()
    }

    /// Interfaces of this generation.
    pub fn interfaces(&self) -> impl Iterator<Item = (IfaceId, &Interface)> {
        let slots = self.interfaces.iter().enumerate();
        slots.filter_map(|(at, interface)| Some((IfaceId(at as u16), interface.as_ref()?)))
    }

    /// The protection profile of a zone.
    pub fn protection(&self, zone: ZoneId) -> Option<&Arc<ZoneProtection>> {
        self.protections.get(zone.index())?.as_ref()
    }

    /// Names as of this generation.
    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// `ethernet1/1`; empty for an id that was never given out.
    pub fn interface_name(&self, id: IfaceId) -> &str {
        self.ids.interfaces.name(id.index())
    }

    /// Name of a zone.
    pub fn zone_name(&self, id: ZoneId) -> &str {
        self.ids.zones.name(id.index())
    }

    /// Name of a router.
    pub fn router_name(&self, id: RouterId) -> &str {
        self.ids.routers.name(id.index())
    }

    /// Name of a security rule.
    pub fn rule_name(&self, id: RuleId) -> &str {
        self.ids.rules.name(id.index())
    }

    /// Name of a NAT rule.
    pub fn nat_rule_name(&self, id: NatRuleId) -> &str {
        self.ids.nat_rules.name(id.index())
    }

    /// The interface of that name, known now or in an earlier generation.
    pub fn interface_id(&self, name: &str) -> Option<IfaceId> {
        self.ids.interfaces.position(name).map(|at| IfaceId(at as u16))
    }

    /// The zone of that name.
    pub fn zone_id(&self, name: &str) -> Option<ZoneId> {
        self.ids.zones.position(name).map(|at| ZoneId(at as u16))
    }

    /// The router of that name.
    pub fn router_id(&self, name: &str) -> Option<RouterId> {
        self.ids.routers.position(name).map(|at| RouterId(at as u16))
    }

    /// Place and verdict of a security rule; `None` when this generation has no such rule.
    pub fn rule(&self, id: RuleId) -> Option<RuleInfo<'_>> {
        self.security.info(id)
    }

    /// Place of a NAT rule; `None` when this generation has no such rule.
    pub fn nat_rule(&self, id: NatRuleId) -> Option<RuleInfo<'_>> {
        self.nat.info(id)
    }

    /// The pools of the NAT rules, in the order of evaluation.
    pub fn rule_pools(&self) -> impl Iterator<Item = RulePool<'_>> {
        self.nat.rules.iter().filter_map(nat::Rule::pools)
    }

    /// Memory of the security rules' look-up tables, in bytes.
    pub fn rule_bytes(&self) -> usize {
        self.security.bytes()
    }

    /// Where a packet for this address goes from this router.
    pub fn route(&self, router: RouterId, destination: IpAddr, among: &Among) -> Route {
        self.routers.route(router, destination, among)
    }

    /// Where a static route leads, in force or not: its interface, and the neighbour where it names one.
    /// `None` for routes that leave by no interface, or by none that exists.
    pub fn exit(&self, router: RouterId, v6: bool, route: &str) -> Option<(IfaceId, Option<IpAddr>)> {
        let table = self.routers.0.get(router.index())?.as_ref()?;
        let wanted = |entry: &&Entry| {
            entry.source == Source::Static && entry.name == route && entry.destination.addr().is_ipv6() == v6
        };
        match table.entries.iter().find(wanted)?.hop? {
            Hop::Attached(iface) => Some((iface, None)),
            Hop::Gateway(iface, gateway) => Some((iface, Some(gateway))),
            Hop::Local(_) | Hop::Router(_) | Hop::Discard => None,
        }
    }

    /// Where a packet that came by `ingress` goes: by the router's table, or back into its tunnel.
    pub fn way(&self, ingress: &Interface, router: RouterId, destination: IpAddr, among: &Among) -> Route {
        crate::tunnels::way(ingress, router, destination, || self.route(router, destination, among))
    }

    /// Every route of every router, those that are not in force included.
    pub fn routes(&self) -> impl Iterator<Item = RouteRow> {
        let tables = self.routers.0.iter().enumerate();
        let tables = tables.filter_map(|(at, table)| Some((RouterId(at as u16), table.as_ref()?)));
        tables.flat_map(|(router, table)| {
            table.entries.iter().map(move |entry| RouteRow {
                router,
                destination: entry.destination,
                next_hop: entry.next_hop.clone(),
                metric: entry.metric,
                flags: match (entry.state, entry.source) {
                    (State::Active, Source::Static) => "A S",
                    (State::Equal, _) => "A S E",
                    (State::Active, Source::Learned) => "A S L",
                    (State::Active, Source::Connected) => "A C",
                    (State::Active, Source::Local) => "A H",
                    (State::Down, _) => "  S D",
                    (State::Idle, Source::Static) => "  S",
                    (State::Idle, Source::Learned) => "  S L",
                    (State::Idle, Source::Connected) => "  C",
                    (State::Idle, Source::Local) => "  H",
                },
                interface: match entry.hop {
                    Some(Hop::Local(id) | Hop::Attached(id) | Hop::Gateway(id, _)) => Some(id),
                    Some(Hop::Router(_) | Hop::Discard) | None => None,
                },
            })
        })
    }
}
