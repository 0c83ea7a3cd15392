//! What does the protection profile of the zone refuse, and how often did it?
//!
//! What a header says is asked of every packet: one word of its oddities against one of the interface.
//! Where an address comes from, how many new flows there are and whether they are a scan is asked of the
//! first packet of a session.

mod cache;
pub(crate) mod cookie;
pub(crate) mod flood;
mod scan;

use std::net::IpAddr;
use std::sync::Arc;

use bartizan_model::device::{Check, Flood, FloodKind, Scan, ScanKind, ZoneProtection};
use bartizan_packet::answer::Problem;
use bartizan_packet::oddity::{Oddities, Oddity};
use bartizan_packet::parse::{Layer4, Packet, UDP};
use bartizan_policy::tables::{Compiled, IfaceId, Route, ZoneId};

use self::flood::{Meter, Outcome, judge};
use self::scan::{Block, Blocked, Found, Scans};
use crate::engine::Engine;
use crate::outbox::Allowance;
use crate::pipeline::{Staged, drop};
use crate::settings::{Limits, SECOND};
use crate::verdict::{Alarm, DropReason, PeerMessage, Threat, Time};

/// While a flood lasts it is told about this often.
const FLOOD_ALARM_INTERVAL: u64 = 10 * SECOND;

/// What the engine keeps of each zone, by position of its id; outlives the tables.
#[derive(Debug)]
pub(crate) struct Protection {
    zones: Vec<Zone>,
    scans: Scans,
    alarms: Allowance,
}

/// One zone.
#[derive(Clone, Debug)]
struct Zone {
    profile: Option<Arc<ZoneProtection>>,
    counts: ProtectionView,
    meters: [Meter; FloodKind::ALL.len()],
    /// When each kind of flood was last told about.
    told: [Option<Time>; FloodKind::ALL.len()],
}

impl Zone {
    fn new() -> Self {
        let counts = ProtectionView::default();
        Self { profile: None, counts, meters: Default::default(), told: Default::default() }
    }
}

/// What a zone's protection has done, on one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtectionView {
    /// Packets that each check discarded since the start, in the order of [`Check::ALL`].
    pub discarded: [u64; Check::ALL.len()],
    /// New flows, in the order of [`FloodKind::ALL`].
    pub floods: [FloodView; FloodKind::ALL.len()],
    /// Scans that were found, in the order of [`ScanKind::ALL`].
    pub scans: [u64; ScanKind::ALL.len()],
    /// Packets dropped because their source is blocked.
    pub blocked: u64,
}

impl Default for ProtectionView {
    fn default() -> Self {
        Self { discarded: [0; Check::ALL.len()], floods: Default::default(), scans: [0; 3], blocked: 0 }
    }
}

impl ProtectionView {
    /// Adds that of another worker.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.discarded.iter_mut().zip(other.discarded) {
            *mine += theirs;
        }
        for (mine, theirs) in self.floods.iter_mut().zip(other.floods) {
            mine.rate += theirs.rate;
            mine.dropped += theirs.dropped;
        }
        for (mine, theirs) in self.scans.iter_mut().zip(other.scans) {
            *mine += theirs;
        }
        self.blocked += other.blocked;
    }
}

/// New flows of one kind in a zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FloodView {
    /// In the last second; 0 unless a profile limits them.
    pub rate: u32,
    /// Packets dropped since the start.
    pub dropped: u64,
}

/// A source whose packets are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockView {
    /// The zone its packets come in by.
    pub zone: ZoneId,
    /// Who it is.
    pub source: IpAddr,
    /// Only what goes to this host; `None` for everything.
    pub destination: Option<IpAddr>,
    /// The scan it is blocked for.
    pub kind: ScanKind,
    /// When it ends.
    pub until: Time,
}

impl Protection {
    pub(crate) fn new(seed: u64) -> Self {
        Self { zones: Vec::new(), scans: Scans::new(seed), alarms: Allowance::default() }
    }

    /// Zones keep their counts from one generation to the next.
    pub(crate) fn install(&mut self, tables: &Compiled, limits: &Limits) {
        let zones = tables.ids().zones.len();
        self.zones.resize(self.zones.len().max(zones), Zone::new());
        let mut looks_for_scans = false;
        for (at, zone) in self.zones.iter_mut().enumerate() {
            zone.profile = tables.protection(ZoneId(at as u16)).cloned();
            looks_for_scans |= zone.profile.as_ref().is_some_and(|profile| profile.scans.iter().any(Option::is_some));
        }
        if looks_for_scans {
            self.scans.reserve(limits);
        }
    }

    /// What packets of a zone must not have.
    pub(crate) fn refused(&self, zone: Option<ZoneId>) -> Oddities {
        let mut refused = Oddities::default();
        let Some(profile) = zone.and_then(|zone| self.profile(zone)) else { return refused };
        for oddity in Oddity::ALL {
            if profile.checks.contains(check_of(*oddity)) {
                refused.insert(*oddity);
            }
        }
        refused
    }

    pub(crate) fn profile(&self, zone: ZoneId) -> Option<&Arc<ZoneProtection>> {
        self.zones.get(zone.index())?.profile.as_ref()
    }

    pub(crate) fn view(&self, zone: ZoneId, now: Time) -> Option<ProtectionView> {
        let zone = self.zones.get(zone.index())?;
        let mut view = zone.counts.clone();
        for (flood, meter) in view.floods.iter_mut().zip(&zone.meters) {
            flood.rate = meter.rate(now);
        }
        Some(view)
    }

    pub(crate) fn blocks(&self, now: Time) -> impl Iterator<Item = BlockView> {
        self.scans.blocks(now).map(|(key, block)| view_of(key, *block))
    }

    pub(crate) fn unblock(&mut self, mut chosen: impl FnMut(&BlockView) -> bool, now: Time) -> usize {
        self.scans.unblock(|key, block| chosen(&view_of(key, *block)), now)
    }

    /// Whether packets of a source may not come in by a zone. Nothing but a comparison while nobody is
    /// blocked.
    #[inline]
    pub(crate) fn is_blocked(&self, zone: ZoneId, packet: &Packet, now: Time) -> bool {
        self.scans.is_blocking(now) && self.scans.blocked(zone, packet, now)
    }

    /// Whether any source is.
    #[inline]
    pub(crate) fn is_blocking(&self, now: Time) -> bool {
        self.scans.is_blocking(now)
    }

    /// Ends a packet by a check of the zone.
    fn discard<T>(&mut self, zone: ZoneId, check: Check, packets: u64) -> Staged<T> {
        if let Some(zone) = self.zones.get_mut(zone.index()) {
            zone.counts.discarded[check as usize] += packets;
        }
        drop(reason_of(check))
    }
}

impl Engine {
    /// Ends a packet that has what the profile of its zone refuses.
    #[cold]
    pub(crate) fn refuse_oddity<T>(&mut self, zone: ZoneId, oddity: Oddity, packets: u64) -> Staged<T> {
        self.protection.discard(zone, check_of(oddity), packets)
    }

    /// Ends a packet of a blocked source.
    #[cold]
    pub(crate) fn refuse_blocked<T>(&mut self, zone: ZoneId, packets: u64) -> Staged<T> {
        if let Some(zone) = self.protection.zones.get_mut(zone.index()) {
            zone.counts.blocked += packets;
        }
        drop(DropReason::ZoneBlocked)
    }

    /// Whether another flow may come in: not too many of them, and not a scan.
    pub(crate) fn admit(&mut self, iface: IfaceId, packet: &Packet) -> Staged<Outcome> {
        let Some(zone) = self.zone_of(iface) else { return Ok(Outcome::Pass) };
        let Some(profile) = self.protection.profile(zone) else { return Ok(Outcome::Pass) };
        let kind = flood_kind(packet);
        let (flood, scans) = (profile.floods[kind as usize], profile.scans);
        if let Some(flood) = flood
            && self.limit(zone, kind, &flood)? == Outcome::Cookie
            && self.gives_cookies(iface)
            && matches!(packet.layer4, Layer4::Tcp(tcp) if tcp.flags.syn() && !tcp.flags.ack())
        {
            // Whose source it is will be known when the cookie comes back.
            return Ok(Outcome::Cookie);
        }
        self.watch(zone, &scans, packet)?;
        Ok(Outcome::Pass)
    }

    /// Whether a client that proved where it is may open a connection: it is not scanning.
    pub(crate) fn admit_proven(&mut self, iface: IfaceId, packet: &Packet) -> Staged<()> {
        let Some(zone) = self.zone_of(iface) else { return Ok(()) };
        let Some(scans) = self.protection.profile(zone).map(|profile| profile.scans) else { return Ok(()) };
        self.watch(zone, &scans, packet)
    }

    /// Whether SYNs of an interface may be answered by cookies. Those out of tunnels may not.
    pub(crate) fn gives_cookies(&self, iface: IfaceId) -> bool {
        let profile = self.zone_of(iface).and_then(|zone| self.protection.profile(zone));
        let flood = profile.and_then(|profile| profile.floods[FloodKind::TcpSyn as usize]);
        let tunnel = self.links.get(iface.index()).is_some_and(|link| link.tunnel);
        !tunnel && flood.is_some_and(|flood| flood.syn_cookies)
    }

    /// Counts a new flow; drops it when there are too many.
    fn limit(&mut self, zone: ZoneId, kind: FloodKind, flood: &Flood) -> Staged<Outcome> {
        let (now, at) = (self.now, kind as usize);
        let dice = self.random();
        let workers = u32::from(self.settings.workers.max(1));
        let Some(state) = self.protection.zones.get_mut(zone.index()) else { return Ok(Outcome::Pass) };
        // Flows spread over the workers by their hash: each sees its share of the rate.
        let rate = state.meters[at].count(now).saturating_mul(workers);
        let due = state.told[at].is_none_or(|told| now.since(told) >= FLOOD_ALARM_INTERVAL);
        let alarms = rate > flood.alarm && due;
        let outcome = judge(flood, rate, dice);
        if alarms {
            state.told[at] = Some(now);
        }
        if outcome == Outcome::Drop {
            state.counts.floods[at].dropped += 1;
        }
        if alarms {
            self.alarm(zone, Threat::Flood { kind, rate });
        }
        match outcome {
            Outcome::Pass | Outcome::Cookie => Ok(outcome),
            Outcome::Drop => drop(reason_of_flood(kind)),
        }
    }

    /// Counts the target of a new flow; ends it when its source is to be blocked for what it has done.
    fn watch(&mut self, zone: ZoneId, scans: &[Option<Scan>; ScanKind::ALL.len()], packet: &Packet) -> Staged<()> {
        if scans.iter().all(Option::is_none) {
            return Ok(());
        }
        let (now, workers) = (self.now, self.settings.workers);
        let found = self.protection.scans.watch(zone, scans, packet, workers, now);
        self.counters.scan_evictions = self.protection.scans.evicted;
        let mut blocked = false;
        for Found { kind, targets, action, news, block } in found.into_iter().flatten() {
            if news {
                if let Some(state) = self.protection.zones.get_mut(zone.index()) {
                    state.counts.scans[kind as usize] += 1;
                }
                let (source, destination) = (packet.source, packet.destination);
                self.alarm(zone, Threat::Scan { kind, source, destination, targets, action });
            }
            let Some((source, destination, until)) = block else { continue };
            let view = BlockView { zone, source, destination, kind, until };
            self.block(&view);
            if workers > 1 {
                self.outbox.tell(None, PeerMessage::Block(view), &mut self.counters);
            }
            blocked = true;
        }
        if blocked { self.refuse_blocked(zone, 1) } else { Ok(()) }
    }

    /// Drops what a source sends from now on.
    pub(crate) fn block(&mut self, view: &BlockView) {
        let BlockView { zone, source, destination, kind, until } = *view;
        self.protection.scans.block(Blocked { zone, source, destination }, Block { kind, until }, self.now);
        self.counters.block_evictions = self.protection.scans.blocks_evicted;
    }

    fn alarm(&mut self, zone: ZoneId, threat: Threat) {
        if !self.protection.alarms.take(self.now, self.settings.limits.alarms_per_second) {
            self.counters.alarms_suppressed += 1;
            return;
        }
        self.counters.alarms += 1;
        self.outbox.alarm(Alarm { time: self.now, zone, threat }, &mut self.counters);
    }

    /// Whether the first packet of a session may have the source it has; `back` is the route there.
    pub(crate) fn check_source(&mut self, iface: IfaceId, packet: &Packet, back: Route) -> Staged<()> {
        let Some(zone) = self.zone_of(iface) else { return Ok(()) };
        let Some(profile) = self.protection.profile(zone) else { return Ok(()) };
        let checks = profile.checks;
        // What passes a traffic object goes back by it, whatever the routes say.
        if self.links.get(iface.index()).is_some_and(|link| link.tunnel && !link.routed) {
            return Ok(());
        }
        let exit = match back {
            Route::Via { iface, .. } => Some(iface),
            Route::Local { .. } | Route::Discard | Route::None | Route::Loop => None,
        };
        let failed = if checks.contains(Check::SpoofedSource) && exit.and_then(|exit| self.zone_of(exit)) != Some(zone)
        {
            Check::SpoofedSource
        } else if checks.contains(Check::StrictAddress)
            && (exit != Some(iface) || self.is_network_end(iface, packet.source, true))
        {
            Check::StrictAddress
        } else if checks.contains(Check::AnycastSource) && self.is_network_end(iface, packet.source, false) {
            Check::AnycastSource
        } else {
            return Ok(());
        };
        self.protection.discard(zone, failed, 1)
    }

    /// Whether the profile of the sender's zone keeps a problem from it.
    pub(crate) fn is_untold(&self, iface: IfaceId, problem: Problem) -> bool {
        let profile = self.zone_of(iface).and_then(|zone| self.protection.profile(zone));
        profile.is_some_and(|profile| match problem {
            Problem::TimeExceeded => profile.suppress_time_exceeded,
            Problem::TooBig { .. } => profile.suppress_too_big,
            Problem::Prohibited => false,
        })
    }

    fn zone_of(&self, iface: IfaceId) -> Option<ZoneId> {
        self.links.get(iface.index())?.zone
    }

    /// Whether an address is the last of an IPv4 network of the interface (the broadcast address), or the
    /// first of an IPv6 one (the subnet-router anycast address, RFC 4291 section 2.6.1).
    fn is_network_end(&self, iface: IfaceId, address: IpAddr, last_v4: bool) -> bool {
        let interface = self.tables.as_ref().and_then(|tables| tables.interface(iface));
        let networks = interface.into_iter().flat_map(|interface| &interface.addresses);
        networks.into_iter().any(|network| {
            let host_bits = network.max_prefix_len() - network.prefix_len();
            let end = if last_v4 { network.broadcast() } else { network.network() };
            host_bits > 1 && last_v4 == address.is_ipv4() && end == address
        })
    }
}

fn view_of(key: &Blocked, block: Block) -> BlockView {
    let Blocked { zone, source, destination } = *key;
    BlockView { zone, source, destination, kind: block.kind, until: block.until }
}

fn flood_kind(packet: &Packet) -> FloodKind {
    match packet.layer4 {
        Layer4::Tcp(_) => FloodKind::TcpSyn,
        Layer4::Ports { .. } if packet.protocol == UDP => FloodKind::Udp,
        Layer4::Echo { .. } | Layer4::IcmpError | Layer4::IcmpOther { .. } if packet.is_v4() => FloodKind::Icmp,
        Layer4::Echo { .. } | Layer4::IcmpError | Layer4::IcmpOther { .. } => FloodKind::Icmpv6,
        Layer4::Ports { .. } | Layer4::Other => FloodKind::OtherIp,
    }
}

fn reason_of_flood(kind: FloodKind) -> DropReason {
    match kind {
        FloodKind::TcpSyn => DropReason::FloodTcpSyn,
        FloodKind::Udp => DropReason::FloodUdp,
        FloodKind::Icmp => DropReason::FloodIcmp,
        FloodKind::Icmpv6 => DropReason::FloodIcmpv6,
        FloodKind::OtherIp => DropReason::FloodOtherIp,
    }
}

/// The setting by which a profile refuses an oddity.
fn check_of(oddity: Oddity) -> Check {
    match oddity {
        Oddity::Fragment => Check::Fragment,
        Oddity::StrictSourceRouting => Check::StrictSourceRouting,
        Oddity::LooseSourceRouting => Check::LooseSourceRouting,
        Oddity::Timestamp => Check::Timestamp,
        Oddity::RecordRoute => Check::RecordRoute,
        Oddity::Security => Check::Security,
        Oddity::StreamId => Check::StreamId,
        Oddity::UnknownOption => Check::UnknownOption,
        Oddity::MalformedOption => Check::MalformedOption,
        Oddity::SynWithData => Check::SynWithData,
        Oddity::SynAckWithData => Check::SynAckWithData,
        Oddity::PingZeroId => Check::PingZeroId,
        Oddity::IcmpFragment => Check::IcmpFragment,
        Oddity::IcmpLarge => Check::IcmpLarge,
        Oddity::IcmpError => Check::IcmpError,
        Oddity::RoutingHeader0 => Check::RoutingHeader0,
        Oddity::RoutingHeader1 => Check::RoutingHeader1,
        Oddity::RoutingHeader3 => Check::RoutingHeader3,
        Oddity::RoutingHeader4To252 => Check::RoutingHeader4To252,
        Oddity::RoutingHeader253 => Check::RoutingHeader253,
        Oddity::RoutingHeader254 => Check::RoutingHeader254,
        Oddity::RoutingHeader255 => Check::RoutingHeader255,
        Oddity::RoutingHeader => Check::RoutingHeader,
        Oddity::HopByHopHeader => Check::HopByHopHeader,
        Oddity::DestinationOptions => Check::DestinationOptions,
        Oddity::Ipv4Compatible => Check::Ipv4Compatible,
        Oddity::NeedlessFragmentHeader => Check::NeedlessFragmentHeader,
        Oddity::ReservedField6 => Check::ReservedField6,
        Oddity::InvalidOption6 => Check::InvalidOption6,
        Oddity::TooBigSmallMtu => Check::TooBigSmallMtu,
    }
}

fn reason_of(check: Check) -> DropReason {
    match check {
        Check::SpoofedSource => DropReason::ZoneSpoofed,
        Check::StrictAddress | Check::AnycastSource => DropReason::ZoneAddress,
        Check::Fragment => DropReason::ZoneFragment,
        Check::StrictSourceRouting
        | Check::LooseSourceRouting
        | Check::Timestamp
        | Check::RecordRoute
        | Check::Security
        | Check::StreamId
        | Check::UnknownOption
        | Check::MalformedOption => DropReason::ZoneOption,
        Check::SynWithData | Check::SynAckWithData => DropReason::ZoneTcp,
        Check::PingZeroId | Check::IcmpFragment | Check::IcmpLarge | Check::IcmpError | Check::TooBigSmallMtu => {
            DropReason::ZoneIcmp
        }
        Check::RoutingHeader0
        | Check::RoutingHeader1
        | Check::RoutingHeader3
        | Check::RoutingHeader4To252
        | Check::RoutingHeader253
        | Check::RoutingHeader254
        | Check::RoutingHeader255
        | Check::Ipv4Compatible
        | Check::NeedlessFragmentHeader
        | Check::InvalidOption6
        | Check::ReservedField6
        | Check::HopByHopHeader
        | Check::RoutingHeader
        | Check::DestinationOptions => DropReason::ZoneIpv6,
    }
}
