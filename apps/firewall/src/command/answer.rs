//! Answers to commands, and their three forms: text, JSON, and the inner XML of a PAN-OS `<result>`.

pub mod capture;
mod gathered;
pub mod protection;
mod shadows;
mod table;
mod xml;

use serde::Serialize;

pub use self::gathered::{Gathered, Group};
pub use self::shadows::{Shadowed, Shadows};

/// Which form is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Tables for people.
    #[default]
    Text,
    /// For scripts.
    Json,
    /// As PAN-OS answers.
    Xml,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// `show session all`
    Sessions(Sessions),
    /// `show session id`
    Session(Box<Session>),
    /// `show session info`
    SessionInfo(SessionInfo),
    /// `show counter global`
    Counters(Vec<Counter>),
    /// `show routing route`
    Routes(Vec<Route>),
    /// `show routing path-monitor`
    PathMonitors(Vec<MonitoredPath>),
    /// `show interface`
    Interfaces(Vec<Interface>),
    /// `show arp`
    Neighbors(Vec<Neighbor>),
    /// `show dhcp client state`, `request dhcp client`
    DhcpClients(Vec<DhcpClient>),
    /// `show traffic-objects`
    TrafficObjects(TrafficObjects),
    /// `show config running`
    Configuration(Configuration),
    /// `show system info`
    System(System),
    /// `test security-policy-match`
    SecurityMatch(SecurityMatch),
    /// `test nat-policy-match`
    NatMatch(NatMatch),
    /// `test routing fib-lookup`
    Fib(Fib),
    /// `test routing first-usable`
    FirstUsable(FirstUsable),
    /// `clear session`
    Cleared(Cleared),
    /// `show running ippool` and `show running nat-rule-ippool`
    IpPools(Vec<IpPool>),
    /// `show running nat-policy`
    NatPolicy(String),
    /// `show zone-protection`
    ZoneProtection(Vec<protection::ZoneProtection>),
    /// `show dos-block-table`
    Blocks(Vec<protection::Block>),
    /// `clear dos-block-table`
    Unblocked(Cleared),
    /// `debug dataplane packet-diag`
    PacketCapture(Box<capture::PacketCapture>),
    /// `show rule-hit-count`
    RuleHits(RuleHits),
    /// `clear rule-hit-count`: so many rules.
    RuleHitsCleared(usize),
    /// `show shadow-warning`
    Shadows(Shadows),
    /// Names, lists, tags and dynamic groups.
    Gathered(Gathered),
    /// `explain`
    Explained(Explained),
}

impl Answer {
    /// Renders it.
    pub fn render(&self, form: Form) -> String {
        match form {
            Form::Text => table::render(self),
            Form::Json => serde_json::to_string_pretty(self).unwrap_or_default() + "\n",
            Form::Xml => xml::render(self),
        }
    }
}

/// Sessions that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sessions {
    /// How many there are.
    pub total: usize,
    /// As many as an answer holds, by id.
    pub sessions: Vec<Session>,
    /// Only their number was asked for.
    pub counted: bool,
}

/// A session with both directions.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Session {
    /// Its id.
    pub id: u64,
    /// `ACTIVE`, `OPENING`, ...
    pub state: &'static str,
    /// IP protocol number.
    pub protocol: u8,
    /// As the client sends.
    pub client: Direction,
    /// As the server sends, after translation.
    pub server: Direction,
    /// Where the client's packets come in.
    pub ingress: String,
    /// Where they go out.
    pub egress: String,
    /// Source zone.
    pub from: String,
    /// Destination zone.
    pub to: String,
    /// Security rule.
    pub rule: String,
    /// NAT rule; empty when none matched.
    pub nat_rule: String,
    /// The source is translated.
    pub source_nat: bool,
    /// The destination is translated.
    pub destination_nat: bool,
    /// What the rule says.
    pub action: &'static str,
    /// When it was installed, wall clock.
    pub start: String,
    /// Seconds since then.
    pub age_s: u64,
    /// Seconds it may be silent.
    pub timeout_s: u64,
    /// Seconds it will still live when nothing comes.
    pub expires_s: u64,
    /// What PAN-OS would call the application, as far as known.
    pub application: &'static str,
    /// Id of the Kubernetes cluster that it is with.
    pub cluster_id: Option<u32>,
}

/// One direction of a session.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Direction {
    /// Source address.
    pub source: String,
    /// Source port.
    pub source_port: u16,
    /// Destination address.
    pub destination: String,
    /// Destination port.
    pub destination_port: u16,
    /// Packets so far.
    pub packets: u64,
    /// Bytes so far.
    pub bytes: u64,
}

/// How many sessions there are.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SessionInfo {
    /// In the tables now.
    pub active: u64,
    /// At most.
    pub max: u64,
    /// Installed since the start.
    pub installed: u64,
    /// TCP.
    pub tcp: u64,
    /// UDP.
    pub udp: u64,
    /// ICMP and ICMPv6.
    pub icmp: u64,
    /// Refused, kept so that they are logged once.
    pub discard: u64,
    /// Idle times in seconds, by the names of PAN-OS.
    pub timeouts_s: Vec<(&'static str, u64)>,
    /// TCP sessions begin with a SYN only.
    pub reject_non_syn: bool,
}

/// A counter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Counter {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: u64,
    /// `info` or `drop`.
    pub severity: &'static str,
    /// `flow`, `io`, `port`, `log`.
    pub category: &'static str,
    /// What it counts.
    pub description: String,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Route {
    /// Router.
    pub router: String,
    /// Destination.
    pub destination: String,
    /// Next hop.
    pub next_hop: String,
    /// Metric.
    pub metric: u16,
    /// `A S` and the like.
    pub flags: &'static str,
    /// Outgoing interface.
    pub interface: String,
}

/// One destination that says whether a static route's path is alive.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MonitoredPath {
    /// Router.
    pub router: String,
    /// Route.
    pub route: String,
    /// Destination of the route.
    pub destination: String,
    /// Where the probes leave: the next hop, or the interface of an attached network; empty while the
    /// route leads nowhere.
    pub next_hop: String,
    /// Of the route: `up`, `down`, or `held` while the path is alive again but the hold time is not over.
    pub status: &'static str,
    /// `any` or `all` destinations must fail for the path to be dead.
    pub failure_condition: &'static str,
    /// Address that is probed.
    pub monitored: String,
    /// Whether it answers: `alive` or `dead`.
    pub monitored_status: &'static str,
    /// Seconds between probes.
    pub interval_s: u8,
    /// Unanswered probes in a row, and how many make it dead.
    pub missed: u8,
    /// Unanswered probes that make it dead.
    pub count: u8,
    /// Microseconds to the last answer.
    pub round_trip_us: Option<u64>,
}

/// An interface with its port.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// Device behind it; empty when there is none.
    pub device: String,
    /// `up`, `down`, `no port`.
    pub state: &'static str,
    /// MAC address.
    pub mac: String,
    /// Zone.
    pub zone: String,
    /// Router.
    pub router: String,
    /// Addresses.
    pub addresses: Vec<String>,
    /// The IPv4 address comes by DHCP.
    pub dhcp: bool,
    /// 802.1Q tag of a subinterface; 0 of a port.
    pub vlan: u16,
    /// MTU.
    pub mtu_bytes: u16,
    /// Frames received; `None` for a subinterface, whose frames its port counts.
    pub received: Option<u64>,
    /// Frames sent.
    pub sent: Option<u64>,
    /// Frames lost before the engine.
    pub lost: Option<u64>,
    /// What its frames come by: `af-packet`, or `af-xdp` with its mode; empty when there is no port.
    pub io: &'static str,
    /// Why by that.
    pub io_reason: String,
}

/// A neighbour.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Neighbor {
    /// Interface it is on.
    pub interface: String,
    /// Address.
    pub address: String,
    /// MAC; empty while it is asked for.
    pub mac: String,
    /// `complete`, `incomplete`.
    pub status: &'static str,
}

/// What an interface learned by DHCP.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DhcpClient {
    /// The interface.
    pub interface: String,
    /// `Bound`, `Selecting`, ...
    pub state: &'static str,
    /// The address with the length of its network; empty without a lease.
    pub address: String,
    /// The gateway; empty when there is none.
    pub gateway: String,
    /// Who gave the lease.
    pub server: String,
    /// Seconds that the address may still be used; `None` without a lease, or when it is for ever.
    pub leased_until_s: Option<u64>,
    /// Seconds until the lease is renewed.
    pub renewed_in_s: Option<u64>,
}

/// Traffic objects, and tunnels that belong to none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrafficObjects {
    /// Those of the configuration.
    pub objects: Vec<TrafficObject>,
    /// Tunnels lately seen that none of them is for.
    pub unmapped: Vec<UnmappedRow>,
}

/// A traffic object; packets and bytes by what was inside.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrafficObject {
    /// Name.
    pub name: String,
    /// Which tunnel it is for.
    pub tunnel: String,
    /// Zone of what comes out of the tunnel.
    pub zone_ingress: String,
    /// Zone of what goes into it.
    pub zone_egress: String,
    /// Router.
    pub router: String,
    /// Packets out of the tunnel.
    pub received_packets: u64,
    /// Bytes out of the tunnel.
    pub received_bytes: u64,
    /// Packets into the tunnel.
    pub sent_packets: u64,
    /// Bytes into the tunnel.
    pub sent_bytes: u64,
}

/// A tunnel that no traffic object is for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UnmappedRow {
    /// What it says of itself.
    pub tunnel: String,
    /// Interface it came by.
    pub interface: String,
    /// Who sent its last packet.
    pub peer: String,
    /// Packets so far.
    pub packets: u64,
    /// Seconds since its last packet.
    pub last_s: u64,
}

/// A configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Configuration {
    /// Version.
    pub version: u64,
    /// Digest.
    pub digest: String,
    /// The text.
    pub xml: String,
}

/// The system.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct System {
    /// Host name.
    pub hostname: String,
    /// Version.
    pub software_version: String,
    /// Since the start.
    pub uptime_s: u64,
    /// Workers.
    pub workers: usize,
    /// Version of the configuration.
    pub configuration_version: u64,
    /// Digest of the configuration; empty when there is none.
    pub configuration_digest: String,
}

/// The security rule for a flow.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SecurityMatch {
    /// Name.
    pub rule: String,
    /// Place in the rule base.
    pub position: usize,
    /// What it says.
    pub action: &'static str,
    /// Where it is configured.
    pub origin: String,
}

/// The NAT rule for a flow.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NatMatch {
    /// Name; `None` when no rule matches.
    pub rule: Option<String>,
    /// The reverse direction of a bidirectional rule.
    pub reverse: bool,
    /// New source, in words.
    pub source: Option<String>,
    /// New destination, in words.
    pub destination: Option<String>,
}

/// Where packets go.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Fib {
    /// `forward`, `local`, `discard`, `none`, `loop`.
    pub kind: &'static str,
    /// Outgoing interface.
    pub interface: String,
    /// Neighbour.
    pub next_hop: String,
    /// Router whose table had the last word.
    pub router: String,
}

/// The first address of a network that a host can have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FirstUsable {
    /// The network.
    pub network: String,
    /// Its first usable address.
    pub address: String,
}

/// Sessions or blocks were ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cleared {
    /// How many.
    pub cleared: usize,
}

/// How full the addresses of a NAT rule are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IpPool {
    /// The rule.
    pub rule: String,
    /// `Dynamic IP/Port`, `Dynamic IP` and the like.
    pub kind: &'static str,
    /// Sessions with a port, of the protocol that has the most; for `Dynamic IP`, clients with an address.
    pub used: u64,
    /// How many more there may be.
    pub available: u64,
    /// Sessions that may use a port at once.
    pub ratio: u8,
    /// `normal`, `high` or `exhausted`: that of the fullest address.
    pub state: &'static str,
    /// The addresses in use, when one rule was asked for.
    pub addresses: Vec<IpPoolAddress>,
}

/// How full one address is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IpPoolAddress {
    /// The address.
    pub address: String,
    /// `tcp`, `udp`, ...
    pub protocol: String,
    /// Sessions with a port.
    pub used: u64,
    /// How many more there may be.
    pub available: u64,
    /// Sessions that had a port since the address came into use.
    pub allocates: u64,
    /// `normal`, `high` or `exhausted`.
    pub state: &'static str,
}

/// How often the rules of one rule base decided.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleHits {
    /// Virtual system.
    pub vsys: &'static str,
    /// `security` or `nat`.
    pub rule_base: &'static str,
    /// The rules in the order of evaluation.
    pub rules: Vec<RuleHit>,
}

/// How often a rule decided since the start of the firewall, or since it was cleared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleHit {
    /// Its name.
    pub name: String,
    /// New flows it decided.
    pub count: u64,
    /// The first of them, in seconds of Unix time.
    pub first_s: Option<i64>,
    /// The last of them, in seconds of Unix time.
    pub last_s: Option<i64>,
    /// When it was cleared, in seconds of Unix time.
    pub reset_s: Option<i64>,
}

/// What happens to a flow.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explained {
    /// `allow`, `deny`, ... or why it is dropped before the rules.
    pub outcome: String,
    /// Security rule; empty when none was asked.
    pub rule: String,
    /// Stage by stage.
    pub steps: Vec<Step>,
}

/// A stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Its name.
    pub stage: String,
    /// What it found.
    pub text: String,
    /// Where that is configured.
    pub origin: String,
}
