//! Zone protection profiles: what must not enter by a zone, how often, and from whom?

use super::context::Context;
use super::node::Node;
use super::{DeviceConfig, Scope};
use crate::diagnostic::Origin;
use crate::{choices, codes};

/// Longest name of a zone protection profile in PAN-OS.
const PROFILE_NAME_LENGTH_MAX: usize = 31;
/// Range of the rates of flood protection in PAN-OS, in new connections per second.
const RATE: std::ops::RangeInclusive<u32> = 0..=2_000_000;
/// Range of the interval of scan protection in PAN-OS, in seconds.
const INTERVAL_S: std::ops::RangeInclusive<u32> = 2..=65_535;
/// Range of the threshold of scan protection in PAN-OS.
const THRESHOLD: std::ops::RangeInclusive<u32> = 2..=65_535;
/// Range of the duration of `block-ip` in PAN-OS, in seconds.
const DURATION_S: std::ops::RangeInclusive<u32> = 1..=3600;

/// A zone protection profile.
#[derive(Clone, Debug, Default)]
pub struct ZoneProtection {
    /// Name.
    pub name: String,
    /// Where it is written.
    pub origin: Origin,
    /// Packets that are discarded for what their headers say.
    pub checks: Checks,
    /// Limits for new flows, in the order of [`FloodKind::ALL`].
    pub floods: [Option<Flood>; FloodKind::ALL.len()],
    /// Scans that are looked for, in the order of [`ScanKind::ALL`].
    pub scans: [Option<Scan>; ScanKind::ALL.len()],
    /// Sources of the zone are not told that a TTL ran out.
    pub suppress_time_exceeded: bool,
    /// Sources of the zone are not told that a packet is too large.
    pub suppress_too_big: bool,
}

macro_rules! checks {
    ($($(#[doc = $doc:literal])+ $variant:ident = $path:literal, $default:literal;)*) => {
        /// Something about a packet's headers that a profile may refuse. The order is the order of asking.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Check { $($(#[doc = $doc])+ $variant,)* }

        impl Check {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its place in the profile, e.g. `ipv6/routing-header-0`.
            pub fn path(self) -> &'static str {
                match self { $(Self::$variant => $path,)* }
            }

            /// Whether a profile that does not mention it has it (as in PAN-OS).
            pub fn is_default(self) -> bool {
                match self { $(Self::$variant => $default,)* }
            }
        }
    };
}

checks! {
    /// No route leads back to the source, or one by another zone.
    SpoofedSource = "discard-ip-spoof", false;
    /// The route back to the source does not leave by the interface the packet came by, or the source is
    /// the broadcast address of that interface's network.
    StrictAddress = "strict-ip-check", false;
    /// A fragment.
    Fragment = "discard-ip-frag", false;
    /// IPv4 option 137.
    StrictSourceRouting = "discard-strict-source-routing", true;
    /// IPv4 option 131.
    LooseSourceRouting = "discard-loose-source-routing", true;
    /// IPv4 option 68.
    Timestamp = "discard-timestamp", false;
    /// IPv4 option 7.
    RecordRoute = "discard-record-route", false;
    /// IPv4 options 130 and 133.
    Security = "discard-security", false;
    /// IPv4 option 136.
    StreamId = "discard-stream-id", false;
    /// An IPv4 option of a class or number that no RFC defines.
    UnknownOption = "discard-unknown-option", false;
    /// IPv4 options with lengths that cannot be.
    MalformedOption = "discard-malformed-option", true;
    /// A SYN with payload.
    SynWithData = "discard-tcp-syn-with-data", true;
    /// A SYN-ACK with payload.
    SynAckWithData = "discard-tcp-synack-with-data", true;
    /// A ping with identifier 0.
    PingZeroId = "discard-icmp-ping-zero-id", false;
    /// An ICMP message in fragments.
    IcmpFragment = "discard-icmp-frag", false;
    /// An ICMP message of more than 1024 bytes.
    IcmpLarge = "discard-icmp-large-packet", false;
    /// An ICMP error.
    IcmpError = "discard-icmp-error", false;
    /// An IPv6 routing header of type 0.
    RoutingHeader0 = "ipv6/routing-header-0", true;
    /// An IPv6 routing header of type 1.
    RoutingHeader1 = "ipv6/routing-header-1", true;
    /// An IPv6 routing header of type 3.
    RoutingHeader3 = "ipv6/routing-header-3", false;
    /// An IPv6 routing header of a type from 4 to 252.
    RoutingHeader4To252 = "ipv6/routing-header-4-252", true;
    /// An IPv6 routing header of type 253.
    RoutingHeader253 = "ipv6/routing-header-253", false;
    /// An IPv6 routing header of type 254.
    RoutingHeader254 = "ipv6/routing-header-254", false;
    /// An IPv6 routing header of type 255.
    RoutingHeader255 = "ipv6/routing-header-255", true;
    /// An address of `::/96` (RFC 4291 section 2.5.5.1).
    Ipv4Compatible = "ipv6/ipv4-compatible-address", false;
    /// The source is the subnet-router anycast address of the interface's network.
    AnycastSource = "ipv6/anycast-source", false;
    /// A fragment header on a packet that is whole.
    NeedlessFragmentHeader = "ipv6/needless-fragment-hdr", false;
    /// An ICMPv6 "packet too big" of less than 1280 bytes.
    TooBigSmallMtu = "ipv6/icmpv6-too-big-small-mtu-discard", false;
    /// Options of an IPv6 extension header with lengths that cannot be.
    InvalidOption6 = "ipv6/options-invalid-ipv6-discard", false;
    /// A reserved field of an IPv6 fragment header that is not zero.
    ReservedField6 = "ipv6/reserved-field-set-discard", false;
    /// A hop-by-hop options header.
    HopByHopHeader = "ipv6/filter-ext-hdr/hop-by-hop-hdr", false;
    /// A routing header of any type.
    RoutingHeader = "ipv6/filter-ext-hdr/routing-hdr", false;
    /// A destination options header.
    DestinationOptions = "ipv6/filter-ext-hdr/dest-option-hdr", false;
}

/// A set of [`Check`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checks(u64);

impl Checks {
    /// Adds one.
    pub fn insert(&mut self, check: Check) {
        self.0 |= 1 << check as u8;
    }

    /// Whether it is among them.
    pub fn contains(self, check: Check) -> bool {
        self.0 & 1 << check as u8 != 0
    }

    /// All that are, in order.
    pub fn iter(self) -> impl Iterator<Item = Check> {
        Check::ALL.iter().copied().filter(move |check| self.contains(*check))
    }
}

/// What new flows are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum FloodKind {
    /// TCP connections.
    TcpSyn,
    /// UDP flows.
    Udp,
    /// ICMP flows over IPv4.
    Icmp,
    /// ICMPv6 flows.
    Icmpv6,
    /// Flows of other protocols.
    OtherIp,
}

impl FloodKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::TcpSyn, Self::Udp, Self::Icmp, Self::Icmpv6, Self::OtherIp];

    /// PAN-OS spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TcpSyn => "tcp-syn",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
            Self::Icmpv6 => "icmpv6",
            Self::OtherIp => "other-ip",
        }
    }
}

/// Limits of one kind of new flows of a zone, per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flood {
    /// Answer SYNs with cookies above `activate`, instead of dropping some.
    pub syn_cookies: bool,
    /// Above this rate the administrator is told.
    pub alarm: u32,
    /// Above this rate something is done.
    pub activate: u32,
    /// Above this rate everything is dropped.
    pub maximal: u32,
}

impl Flood {
    /// Random early drop, with the rates PAN-OS assumes.
    pub const RED: Self = Self { syn_cookies: false, alarm: 10_000, activate: 10_000, maximal: 40_000 };
    /// SYN cookies, with the rates PAN-OS assumes.
    pub const COOKIES: Self = Self { syn_cookies: true, alarm: 10_000, activate: 0, maximal: 1_000_000 };
}

/// What a scan goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ScanKind {
    /// TCP ports of one host.
    TcpPorts,
    /// Hosts.
    Hosts,
    /// UDP ports of one host.
    UdpPorts,
}

impl ScanKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::TcpPorts, Self::Hosts, Self::UdpPorts];

    /// The threat id by which PAN-OS names it.
    pub fn threat_id(self) -> u32 {
        match self {
            Self::TcpPorts => 8001,
            Self::Hosts => 8002,
            Self::UdpPorts => 8003,
        }
    }

    /// What PAN-OS calls it in the threat log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TcpPorts => "SCAN: TCP Port Scan",
            Self::Hosts => "SCAN: Host Sweep",
            Self::UdpPorts => "SCAN: UDP Port Scan",
        }
    }
}

/// When something is a scan, and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Seconds that are looked at together.
    pub interval_s: u32,
    /// That many different ports or hosts are a scan.
    pub threshold: u32,
    /// What follows.
    pub action: ScanAction,
}

/// What follows a scan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScanAction {
    /// Nothing.
    Allow,
    /// The administrator is told.
    #[default]
    Alert,
    /// Told, and the source is not heard for the rest of the interval.
    Block,
    /// Told, and the source is not heard for a while.
    BlockIp {
        /// Only towards the host it scanned.
        by_destination: bool,
        /// How long, in seconds.
        duration_s: u32,
    },
}

impl ScanAction {
    /// PAN-OS spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Alert => "alert",
            Self::Block => "block",
            Self::BlockIp { .. } => "block-ip",
        }
    }
}

/// Reads the profiles.
pub(super) fn read(context: &mut Context, config: &mut DeviceConfig, network: &Node<'_>) {
    for node in network.entries_at(&["profiles", "zone-protection-profile"]) {
        let Some(name) = context.entry_name(&node, PROFILE_NAME_LENGTH_MAX) else { continue };
        warn_of_unenforced(context, &node);
        config.zone_protections.push(ZoneProtection {
            name,
            origin: node.origin(),
            checks: checks(context, &node),
            floods: FloodKind::ALL.map(|kind| flood(context, &node, kind)),
            scans: scans(context, &node),
            suppress_time_exceeded: context.yes_no(&node, "suppress-icmp-timeexceeded").unwrap_or(false),
            suppress_too_big: context.yes_no(&node, "suppress-icmp-needfrag").unwrap_or(false),
        });
    }
}

/// The profile that a zone names.
pub(super) fn reference(context: &mut Context, config: &DeviceConfig, zone: &Node<'_>) -> Option<String> {
    let network = zone.child("network")?;
    let name = context.text(&network, "zone-protection-profile")?;
    if context.scope == Scope::Device && config.zone_protection(&name).is_none() {
        let at = network.child("zone-protection-profile")?;
        let known = config.zone_protections.iter().map(|profile| profile.name.as_str());
        let message = format!("no zone protection profile `{name}` is defined");
        context.unknown(codes::UNKNOWN_PROFILE, &at, message, &name, known);
        return None;
    }
    Some(name)
}

/// Settings whose harmless values are more than one.
fn warn_of_unenforced(context: &mut Context, profile: &Node<'_>) {
    for (tag, value, instead) in [
        ("tcp-reject-non-syn", "no", "the setting of the device decides"),
        ("asymmetric-path", "bypass", "the setting of the device decides"),
    ] {
        let Some(leaf) = profile.child(tag).filter(|leaf| leaf.text() == value) else { continue };
        context.warning(codes::NOT_ENFORCED, &leaf, format!("`{tag}` is stored but not enforced: {instead}"));
    }
}

fn checks(context: &mut Context, profile: &Node<'_>) -> Checks {
    let mut checks = Checks::default();
    for check in Check::ALL {
        let mut path: Vec<&str> = check.path().split('/').collect();
        let leaf = path.pop().unwrap_or_default();
        let written = profile.descend(&path).and_then(|parent| context.yes_no(&parent, leaf));
        if written.unwrap_or(check.is_default()) {
            checks.insert(*check);
        }
    }
    checks
}

fn flood(context: &mut Context, profile: &Node<'_>, kind: FloodKind) -> Option<Flood> {
    let node = profile.descend(&["flood", kind.as_str()])?;
    let enabled = context.yes_no(&node, "enable").unwrap_or(false);
    let branches = if kind == FloodKind::TcpSyn { choices::SYN_FLOOD } else { &["red"] };
    let branch = context.choice(&node, branches);
    let mut flood = match &branch {
        Some(branch) if branch.tag() == "syn-cookies" => Flood::COOKIES,
        _ => Flood::RED,
    };
    if let Some(branch) = branch {
        let Flood { alarm, activate, maximal, .. } = &mut flood;
        for (tag, rate) in [("alarm-rate", alarm), ("activate-rate", activate), ("maximal-rate", maximal)] {
            *rate = context.number(&branch, tag, RATE).unwrap_or(*rate);
        }
    }
    enabled.then_some(flood)
}

fn scans(context: &mut Context, profile: &Node<'_>) -> [Option<Scan>; ScanKind::ALL.len()] {
    let mut scans = [None; ScanKind::ALL.len()];
    for entry in profile.entries_at(&["scan"]) {
        let Some(kind) = ScanKind::ALL.iter().find(|kind| kind.threat_id().to_string() == entry.name()) else {
            let message = format!("scans of kind `{}` are stored but not looked for", entry.name());
            context.warning(codes::NOT_ENFORCED, &entry, message);
            context.help("known are `8001` (TCP ports), `8002` (hosts) and `8003` (UDP ports)");
            continue;
        };
        scans[*kind as usize] = Some(Scan {
            interval_s: context.number(&entry, "interval", INTERVAL_S).unwrap_or(2),
            threshold: context.number(&entry, "threshold", THRESHOLD).unwrap_or(100),
            action: scan_action(context, &entry),
        });
    }
    scans
}

fn scan_action(context: &mut Context, entry: &Node<'_>) -> ScanAction {
    let Some(branch) = entry.child("action").and_then(|action| context.choice(&action, choices::SCAN_ACTION)) else {
        return ScanAction::default();
    };
    match branch.tag() {
        "allow" => ScanAction::Allow,
        "block" => ScanAction::Block,
        "block-ip" => ScanAction::BlockIp {
            by_destination: context
                .word(&branch, "track-by", &[("source", false), ("source-and-destination", true)])
                .unwrap_or(false),
            duration_s: context.number(&branch, "duration", DURATION_S).unwrap_or(300),
        },
        _ => ScanAction::Alert,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::read;
    use crate::xml::parse;

    fn profile(settings: &str) -> ZoneProtection {
        let text = format!(
            "<config><devices><entry name='localhost.localdomain'><network><profiles><zone-protection-profile>\
             <entry name='strict'>{settings}</entry></zone-protection-profile></profiles></network>\
             <vsys><entry name='vsys1'><zone><entry name='z'><network><layer3/>\
             <zone-protection-profile>strict</zone-protection-profile></network></entry></zone></entry></vsys>\
             </entry></devices></config>"
        );
        let report = read(&parse(&text).unwrap(), Scope::Device);
        let config = report.config.unwrap_or_else(|| panic!("{:?}", report.diagnostics));
        let name = config.zone("z").unwrap().protection.clone().unwrap();
        config.zone_protection(&name).unwrap().clone()
    }

    #[test]
    fn an_empty_profile_has_the_defaults_of_pan_os() {
        let profile = profile("");
        let on: Vec<&str> = profile.checks.iter().map(Check::path).collect();
        assert_eq!(
            on,
            [
                "discard-strict-source-routing",
                "discard-loose-source-routing",
                "discard-malformed-option",
                "discard-tcp-syn-with-data",
                "discard-tcp-synack-with-data",
                "ipv6/routing-header-0",
                "ipv6/routing-header-1",
                "ipv6/routing-header-4-252",
                "ipv6/routing-header-255",
            ]
        );
        assert_eq!((profile.floods, profile.scans), ([None; 5], [None; 3]));
    }

    #[test]
    fn every_check_is_read_where_it_is_written() {
        for check in Check::ALL {
            let value = if check.is_default() { "no" } else { "yes" };
            let mut xml = value.to_owned();
            for step in check.path().rsplit('/') {
                xml = format!("<{step}>{xml}</{step}>");
            }
            let checks = profile(&xml).checks;
            for other in Check::ALL {
                assert_eq!(checks.contains(*other), other.is_default() != (other == check), "{}", check.path());
            }
        }
    }

    #[test]
    fn floods_and_scans_have_their_rates_and_actions() {
        let read = profile(
            "<flood><tcp-syn><enable>yes</enable><syn-cookies><alarm-rate>5</alarm-rate></syn-cookies></tcp-syn>\
             <udp><enable>yes</enable><red><activate-rate>7</activate-rate><maximal-rate>9</maximal-rate></red></udp>\
             <icmp><enable>no</enable><red/></icmp></flood>\
             <scan><entry name='8001'><action><block-ip><track-by>source-and-destination</track-by>\
             <duration>60</duration></block-ip></action><interval>10</interval><threshold>20</threshold></entry>\
             <entry name='8002'/></scan>",
        );
        let [syn, udp, icmp, icmpv6, other] = read.floods;
        assert_eq!(syn, Some(Flood { syn_cookies: true, alarm: 5, activate: 0, maximal: 1_000_000 }));
        assert_eq!(udp, Some(Flood { syn_cookies: false, alarm: 10_000, activate: 7, maximal: 9 }));
        assert_eq!((icmp, icmpv6, other), (None, None, None));
        let [ports, hosts, udp] = read.scans;
        let action = ScanAction::BlockIp { by_destination: true, duration_s: 60 };
        assert_eq!(ports, Some(Scan { interval_s: 10, threshold: 20, action }));
        assert_eq!(hosts, Some(Scan { interval_s: 2, threshold: 100, action: ScanAction::Alert }));
        assert_eq!(udp, None);
    }
}
