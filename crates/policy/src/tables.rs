//! What do packets see of a configuration?
//!
//! Immutable once compiled and shared by every worker behind an `Arc`. Ids are stable from one
//! generation to the next ([`Ids`] only grows), so that a session installed under an older generation
//! still names the right interface, zone and rule.

use std::net::IpAddr;
use std::sync::Arc;

use bartizan_model::device::Action;
use bartizan_model::diagnostic::Origin;
use ipnet::IpNet;

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
id!(/** A zone, by position in [`Compiled::zones`]. */ ZoneId(u16));
id!(/** A router, by position in [`Compiled::routers`]. */ RouterId(u16));
id!(/** A security rule's name, by position in [`Ids::rules`]; stable when rules move. */ RuleId(u32));
id!(/** A NAT rule's name, by position in [`Ids::nat_rules`]. */ NatRuleId(u32));

/// Names that have been seen, each with the id it keeps for the life of the process.
#[derive(Clone, Debug, Default)]
pub struct Names {
    names: Vec<Arc<str>>,
}

impl Names {
    /// The id of a name, new if it was not seen before.
    pub fn intern(&mut self, name: &str) -> usize {
        // Linear only over names that are new: compile keeps its own map of what it interned.
        if let Some(position) = self.position(name) {
            return position;
        }
        self.names.push(name.into());
        self.names.len() - 1
    }

    /// The id of a known name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| &**known == name)
    }

    /// The name behind an id; empty for an id that was never given out.
    pub fn name(&self, index: usize) -> &str {
        self.names.get(index).map_or("", |name| name)
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether no name was seen yet.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// The name tables of one firewall process; handed to each compile, only ever grows.
#[derive(Clone, Debug, Default)]
pub struct Ids {
    /// Interfaces.
    pub interfaces: Names,
    /// Zones.
    pub zones: Names,
    /// Routers.
    pub routers: Names,
    /// Security rules, `intrazone-default` and `interzone-default` among them.
    pub rules: Names,
    /// NAT rules.
    pub nat_rules: Names,
}

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
#[derive(Clone, Debug)]
pub struct Interface {
    /// `ethernet1/1`, `loopback.1`.
    pub name: Arc<str>,
    /// Holds addresses only.
    pub loopback: bool,
    /// Its zone; packets of an interface without one are dropped.
    pub zone: Option<ZoneId>,
    /// Its router; packets of an interface without one are dropped.
    pub router: Option<RouterId>,
    /// Largest IP packet in bytes.
    pub mtu_bytes: u16,
    /// Own addresses with their connected networks.
    pub addresses: Vec<IpNet>,
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

/// Next-router hops that one look-up follows.
pub const ROUTER_HOPS_MAX: usize = 8;

/// How a source address is translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceNat {
    /// A port (ICMP: an identifier) on one of these addresses, all of the flow's family.
    DynamicIpAndPort {
        /// Inclusive address ranges of the pool.
        pool: Arc<[(IpAddr, IpAddr)]>,
    },
    /// This address, the port unchanged.
    Static {
        /// New source.
        address: IpAddr,
    },
}

/// How a destination is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DestinationNat {
    /// New destination address.
    pub address: IpAddr,
    /// New destination port.
    pub port: Option<u16>,
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
