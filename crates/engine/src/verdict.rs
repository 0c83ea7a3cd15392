//! What comes out of the engine: verdicts, frames of its own, logs, and messages to other workers.

use std::net::IpAddr;

use bartizan_model::device::{Action, FloodKind, ScanAction, ScanKind};
use bartizan_packet::frame::Meta;
use bartizan_policy::tables::{IfaceId, NatRuleId, RuleId, ZoneId};
use bartizan_policy::tunnels::Unmapped;

use crate::protection::BlockView;

/// Monotonic time in nanoseconds since a start the caller chose (not the wall clock).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

/// Where frames come from and go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Port {
    /// A data interface.
    Data(IfaceId),
    /// The link to the host's own TCP, where health checks (and later mediated sessions) end. It is an
    /// Ethernet link of its own with the host at the other end.
    Local,
}

/// What the caller does with the frame it handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// The frame was rewritten in place: send it by this port.
    Transmit(Port),
    /// The engine answered it or kept a copy: nothing is left to do with this frame.
    Consumed,
    /// The frame is untouched and belongs to another worker: hand it over, with the port it came by.
    Handoff(u16),
    /// The frame ends here, counted under this reason.
    Drop(DropReason),
}

/// A frame the engine made, or kept until a neighbour was resolved.
#[derive(Clone, Debug)]
pub struct Transmit {
    /// Where to send it.
    pub port: Port,
    /// The whole frame.
    pub bytes: Vec<u8>,
    /// Offload state.
    pub meta: Meta,
}

/// What the engine has to say. Queues are bounded; what did not fit is counted.
#[derive(Clone, Debug)]
pub enum Event {
    /// A line for the traffic log.
    Log(SessionLog),
    /// A message for whoever configures an interface.
    Notice(Notice),
    /// For the system log: a NAT pool is running dry, or is not any more.
    Pool(PoolAlarm),
    /// Something an administrator should know at once.
    Alarm(Alarm),
    /// For the other workers: `to` one of them, or all when `None`.
    Tell {
        /// The one worker that has to know.
        to: Option<u16>,
        /// What it has to know.
        message: PeerMessage,
    },
    /// A datagram put together here that belongs to another worker.
    HandOver {
        /// Whom it belongs to.
        to: u16,
        /// The port its fragments came by.
        port: Port,
        /// The whole frame.
        bytes: Vec<u8>,
        /// With the size of its fragments.
        meta: Meta,
    },
}

/// What a [`Notice`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    /// The payload of a DHCP reply.
    Dhcp,
    /// An ICMPv6 message by which a router advertises itself; its packet was found right.
    RouterAdvertisement,
    /// The ICMP message by which a host answers one of the firewall's own echo requests.
    EchoReply,
}

/// What the network said to the firewall itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What kind of message it is.
    pub kind: NoticeKind,
    /// Where it came in.
    pub iface: IfaceId,
    /// Who sent it.
    pub source: IpAddr,
    /// What was said.
    pub bytes: Vec<u8>,
}

/// How full the ports of a pool address are. Told once by whichever worker finds it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolAlarm {
    /// The pool's address.
    pub address: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// How full.
    pub level: PoolLevel,
    /// Sessions that have a port there.
    pub used: u32,
    /// Sessions that may have one.
    pub capacity: u32,
}

/// How full a pool address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PoolLevel {
    /// Ports enough.
    Normal,
    /// Above the alarm.
    High,
    /// A session was turned away.
    Exhausted,
}

impl PoolLevel {
    pub(crate) fn of(value: u8) -> Self {
        match value {
            0 => Self::Normal,
            1 => Self::High,
            _ => Self::Exhausted,
        }
    }

    /// One word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::High => "high",
            Self::Exhausted => "exhausted",
        }
    }
}

/// The ports of a pool address in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUse {
    /// The pool's address.
    pub address: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Sessions that have a port there.
    pub used: u32,
    /// Sessions that had one since it came into use.
    pub taken: u64,
    /// How full it is.
    pub level: PoolLevel,
}

/// What workers tell one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerMessage {
    /// A neighbour was resolved.
    Neighbor {
        /// The link it is on.
        port: Port,
        /// Its address.
        address: IpAddr,
        /// Its MAC.
        mac: [u8; 6],
    },
    /// Frames of this flow belong to worker `owner`, although their hash says otherwise.
    Steer {
        /// The flow as it arrives on the wire; that of an echo reply has destination port 1.
        flow: FlowKey,
        /// Who has the session.
        owner: u16,
    },
    /// The session behind a `Steer` is gone.
    Unsteer {
        /// The flow as it arrived on the wire.
        flow: FlowKey,
        /// Who had the session.
        owner: u16,
    },
    /// A source is blocked.
    Block(BlockView),
}

/// Something an administrator should know at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// When it was seen.
    pub time: Time,
    /// The zone it comes by.
    pub zone: ZoneId,
    /// What it is.
    pub threat: Threat,
}

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threat {
    /// More new flows a second than the alarm rate.
    Flood {
        /// Of which kind.
        kind: FloodKind,
        /// How many in the last second.
        rate: u32,
    },
    /// A scan.
    Scan {
        /// Of what.
        kind: ScanKind,
        /// Who scans.
        source: IpAddr,
        /// The host whose packet completed it.
        destination: IpAddr,
        /// Different ports or hosts so far.
        targets: u32,
        /// What follows.
        action: ScanAction,
    },
}

/// One direction of a session on the wire, as the session table looks it up. Within a realm, so that
/// overlapping networks in two routers, or behind two tunnels, do not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// Router of the ingress interface, or from 0x8000 on the traffic object whose tunnel the packet came out
    /// of; `u16::MAX` on the local link.
    pub realm: u16,
    /// Source.
    pub source: IpAddr,
    /// Destination.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Source port, or ICMP echo identifier.
    pub source_port: u16,
    /// Destination port, or 0 for ICMP echo.
    pub destination_port: u16,
}

/// Which moment of a session a log line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogKind {
    /// The session was installed.
    Start,
    /// The session is over.
    End,
    /// A rule refused it.
    Deny,
    /// A stage before the rules dropped it.
    Drop,
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Idle for its timeout.
    AgedOut,
    /// Both sides finished.
    TcpFin,
    /// The client reset it.
    TcpRstFromClient,
    /// The server reset it.
    TcpRstFromServer,
    /// A rule refused it, at its start or after a commit.
    PolicyDeny,
    /// Its interface, zone or route is gone after a commit.
    ConfigurationChange,
    /// The firewall's own address that it was opened to is gone, e.g. with its DHCP lease.
    AddressLost,
    /// Its interface lost the address that it was translated to.
    NatAddressGone,
    /// A pod said who sends it these packets, and now they come out of the sender's own tunnel.
    Moved,
    /// An administrator cleared it.
    Cleared,
    /// The firewall shuts down.
    Shutdown,
}

impl EndReason {
    /// Spelling of the `session_end_reason` log field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AgedOut => "aged-out",
            Self::TcpFin => "tcp-fin",
            Self::TcpRstFromClient => "tcp-rst-from-client",
            Self::TcpRstFromServer => "tcp-rst-from-server",
            Self::PolicyDeny => "policy-deny",
            Self::ConfigurationChange => "configuration-change",
            Self::AddressLost => "address-lost",
            Self::NatAddressGone => "nat-address-gone",
            Self::Moved => "unknown",
            Self::Cleared => "cleared",
            Self::Shutdown => "shutdown",
        }
    }
}

/// One line of the traffic log, ids still unresolved (names are in `policy::tables::Ids`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SessionLog {
    /// Start, end, deny or drop.
    pub kind: LogKind,
    /// The session as the browser shows it.
    pub session: SessionView,
    /// Why it is over, for `End`.
    pub end_reason: Option<EndReason>,
    /// Why it was dropped, for `Drop`.
    pub drop_reason: Option<DropReason>,
}

/// State of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// TCP handshake in progress, or one-way traffic so far.
    Opening,
    /// Both sides spoke.
    Active,
    /// One side finished.
    Closing,
    /// Over, kept for late segments.
    Closed,
    /// Refused: further packets of the flow are dropped without asking the rules again.
    Discard,
}

/// One session with both directions, for `show session` and the log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SessionView {
    /// Unique for the life of the firewall process: worker `w` of `n` gives out `w + 1`, `w + 1 + n`,
    /// `w + 1 + 2 n` and so on. 0 for a packet that never was a session.
    pub id: u64,
    /// Where it stands.
    pub state: SessionState,
    /// Client to server, as the client sent it.
    pub client: FlowKey,
    /// Server to client, as the server sends it (after NAT).
    pub server: FlowKey,
    /// Where the client's packets come in.
    pub ingress: IfaceId,
    /// Where they go out; the interface that owns the address for local delivery; where
    /// they would have gone when refused; `None` in a drop line.
    pub egress: Option<IfaceId>,
    /// Of a session with a pod whose own tunnel was found while it lived: where packets go into it.
    pub learned: Option<IfaceId>,
    /// Source zone.
    pub from: Option<ZoneId>,
    /// Destination zone.
    pub to: Option<ZoneId>,
    /// Security rule.
    pub rule: Option<RuleId>,
    /// NAT rule.
    pub nat_rule: Option<NatRuleId>,
    /// What the rule said.
    pub action: Action,
    /// When it was installed.
    pub start: Time,
    /// Last packet.
    pub last: Time,
    /// When it will age out if nothing comes.
    pub expires: Time,
    /// Client to server: packets, bytes (IP length; each segment of an offloaded frame counts).
    pub sent: (u64, u64),
    /// Server to client: packets, bytes.
    pub received: (u64, u64),
}

/// Packets and bytes that went through a side of a traffic object, by the inner packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunnelTraffic {
    /// Out of the tunnel.
    pub received: (u64, u64),
    /// Into the tunnel.
    pub sent: (u64, u64),
}

/// A tunnel that no traffic object is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnmappedTunnel {
    /// What it said of itself.
    pub tunnel: Unmapped,
    /// Who sent its last packet.
    pub peer: IpAddr,
    /// The interface it came by.
    pub lower: IfaceId,
    /// When its last packet came.
    pub last: Time,
    /// Packets so far.
    pub packets: u64,
}

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)*) => {
        /// Why a packet was dropped. Each has a counter of the same name and a row in
        /// `docs/drop-reasons.md`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum DropReason { $($(#[doc = $doc])+ $variant,)* }

        impl DropReason {
            /// All of them, in counter order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Counter name, kebab-case.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// One sentence for the operator.
            pub fn describe(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)* }
            }
        }
    };
}

drop_reasons! {
    /// The frame is shorter than its headers claim, or its headers are inconsistent.
    Malformed = "malformed",
    /// The Ethernet type or IP protocol is not one the engine forwards.
    UnsupportedProtocol = "unsupported-protocol",
    /// A checksum is wrong.
    BadChecksum = "bad-checksum",
    /// A first fragment that does not hold all headers, the transport's among them.
    FragmentTiny = "fragment-tiny",
    /// Fragments of one datagram overlap, or do not agree where it ends: none of it is forwarded.
    FragmentOverlap = "fragment-overlap",
    /// The rest of the datagram did not come in time.
    FragmentTimeout = "fragment-timeout",
    /// The datagram has more fragments than are kept for one.
    FragmentCount = "fragment-count",
    /// Too many datagrams of this source wait for their fragments.
    FragmentSource = "fragment-source",
    /// Too many datagrams wait for their fragments: the oldest made way.
    FragmentTable = "fragment-table-full",
    /// Too many bytes wait for missing fragments: the oldest datagram made way.
    FragmentMemory = "fragment-memory",
    /// The frame was not for the interface's MAC address.
    NotForUs = "not-for-us",
    /// No subinterface of the port has the frame's VLAN tag.
    UnknownVlan = "unknown-vlan",
    /// The interface is not configured, or has no zone.
    NoZone = "no-zone",
    /// The interface belongs to no router.
    NoRouter = "no-router",
    /// A source-routed packet: an IPv4 option or an IPv6 routing header that is not used up.
    SourceRoute = "source-route",
    /// Source and destination address are equal (LAND).
    Land = "land",
    /// The source is not a unicast address, or is one of the firewall's own.
    Spoofed = "spoofed-source",
    /// No route of its zone leads back to the source, and the zone's protection profile wants one.
    ZoneSpoofed = "zone-spoofed-source",
    /// The zone's protection profile checks addresses strictly, and the source fails.
    ZoneAddress = "zone-strict-ip",
    /// The zone's protection profile discards fragments.
    ZoneFragment = "zone-fragment",
    /// The zone's protection profile discards an IPv4 option of the packet.
    ZoneOption = "zone-ip-option",
    /// The zone's protection profile discards payload in a SYN or SYN-ACK.
    ZoneTcp = "zone-tcp-data",
    /// The zone's protection profile discards such ICMP messages.
    ZoneIcmp = "zone-icmp",
    /// The zone's protection profile discards an IPv6 header or address of the packet.
    ZoneIpv6 = "zone-ipv6-header",
    /// More new TCP connections a second than the zone's protection profile lets in.
    FloodTcpSyn = "flood-tcp-syn",
    /// More new UDP flows a second than the zone's protection profile lets in.
    FloodUdp = "flood-udp",
    /// More new ICMP flows a second than the zone's protection profile lets in.
    FloodIcmp = "flood-icmp",
    /// More new ICMPv6 flows a second than the zone's protection profile lets in.
    FloodIcmpv6 = "flood-icmpv6",
    /// More new flows of other protocols a second than the zone's protection profile lets in.
    FloodOtherIp = "flood-other-ip",
    /// The server has not yet answered a connection that a SYN cookie let in.
    HandshakePending = "handshake-pending",
    /// The source is blocked for a scan.
    ZoneBlocked = "zone-blocked-source",
    /// The destination is multicast or broadcast, which is not routed.
    Multicast = "multicast",
    /// The destination is not an address that packets are routed to (unspecified, loopback, reserved).
    BadDestination = "bad-destination",
    /// A link-local address does not leave its link.
    LinkLocal = "link-local",
    /// The TTL or hop limit ran out.
    TtlExpired = "ttl-expired",
    /// No route to the destination.
    NoRoute = "no-route",
    /// A discard route.
    RouteDiscard = "route-discard",
    /// Routers point at one another for this destination.
    RouterLoop = "router-loop",
    /// The egress interface has no zone.
    NoEgressZone = "no-egress-zone",
    /// A security rule refused the flow (this packet or the session it belongs to).
    Policy = "policy-deny",
    /// A TCP packet that opens no connection belongs to no session.
    TcpNotSyn = "tcp-not-syn",
    /// The TCP flags make no sense together, or not in the session's state.
    TcpState = "tcp-state",
    /// A TCP segment beyond what its receiver offered, older than what it can still want, or one that
    /// acknowledges what was never sent.
    TcpOutOfWindow = "tcp-out-of-window",
    /// An ICMP error or echo reply that belongs to no session.
    IcmpUnrelated = "icmp-unrelated",
    /// An ICMP message that is neither echo nor an error.
    IcmpUnsupported = "icmp-unsupported",
    /// The firewall's own address does not offer this service, or not to this source.
    LocalService = "local-service",
    /// A packet from the host's own TCP that belongs to no session.
    LocalUnrelated = "local-unrelated",
    /// The packet is larger than the egress MTU and must not be fragmented.
    TooBig = "too-big",
    /// The session table is full.
    SessionTableFull = "session-table-full",
    /// No free port or address in the NAT pool.
    NatPoolExhausted = "nat-pool-exhausted",
    /// The translated flow collides with an existing session.
    NatCollision = "nat-collision",
    /// The next hop did not answer ARP or NDP.
    NeighborUnresolved = "neighbor-unresolved",
    /// The port a packet came by or is to leave by is not attached, or its queue is full.
    PortDown = "port-down",
    /// An ARP or NDP message that breaks its protocol.
    BadNeighborMessage = "bad-neighbor-message",
    /// A tunnel packet whose VXLAN or GENEVE header or options cannot be read.
    TunnelHeader = "tunnel-header",
    /// A tunnel packet by an interface that its traffic object does not accept it by.
    TunnelForeign = "tunnel-foreign",
    /// The headers of another session's tunnel could not be remembered because the table for them is full.
    TunnelTableFull = "tunnel-table-full",
    /// A packet on its way to a pod that a rule would translate to another host.
    HairpinTranslated = "hairpin-translated",
    /// VXLAN with a network identifier that no traffic object is for.
    UnmappedVni = "unmapped-vni",
    /// GENEVE of an endpoint or network that no traffic object is for.
    UnmappedEndpoint = "unmapped-endpoint",
    /// An internal queue was full.
    QueueFull = "queue-full",
}
