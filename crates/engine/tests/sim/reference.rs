//! What should the firewall do? A second firewall, naive and obvious, that works from the configuration as
//! it is written: the engine is judged by it.
//!
//! It cannot know which port the engine picks for a translated source. It learns the port from the first
//! packet of a session and holds the engine to it from then on.

#[path = "reference/cookies.rs"]
mod cookies;
#[path = "reference/decision.rs"]
pub(crate) mod decision;
#[path = "reference/errors.rs"]
mod errors;
#[path = "reference/farm.rs"]
mod farm;
#[path = "reference/full.rs"]
mod full;
#[path = "reference/hairpin.rs"]
mod hairpin;
#[path = "reference/home.rs"]
mod home;
#[path = "reference/host.rs"]
pub(crate) mod host;
#[path = "reference/nat.rs"]
mod nat;
#[path = "reference/open.rs"]
mod open;
#[path = "reference/paths.rs"]
mod paths;
#[path = "reference/ports.rs"]
mod ports;
#[path = "reference/protection.rs"]
pub(crate) mod protection;
#[path = "reference/reassembly.rs"]
pub(crate) mod reassembly;
#[path = "reference/rematch.rs"]
mod rematch;
#[path = "reference/session.rs"]
mod session;
#[path = "reference/tags.rs"]
mod tags;
#[path = "reference/tcp.rs"]
pub(crate) mod tcp;
#[path = "reference/ways.rs"]
mod ways;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use bartizan_engine::verdict::DropReason;
use bartizan_model::device::{Action, Check, DeviceConfig, Distribution, NatRule, Validated, ZoneProtection};
use bartizan_policy::facts::Facts;

use self::cookies::{Given, Made};
use self::decision::{Now, is_side, realm_of, router_of, zone_of};
use self::farm::{Asked, Farm, Turns};
use self::full::Late;
use self::hairpin::{Found, is_cluster, is_hairpin};
use self::nat::Unlearned;
use self::protection::{Protection, profile, refuses};
use self::reassembly::Reassembly;
pub(crate) use self::session::View;
use self::session::{Kind, Session, tcp_timeout};
use self::ways::segment_limit;
use super::bounds::Bounds;
use super::frames::{Body, Mac, Packet, RST, SYN, Tuple};
use super::generate::{Network, interface_name};
use super::host::{self as local, Host};
use super::tally::Column;
use super::tunnels::{Header, LOWER, Tunnel};

/// Virtual time in nanoseconds.
pub(crate) type Time = u64;

/// How late the engine may be to end a session: 2^28 ns.
const TIMER_TICK: Time = 1 << 28;

const SECOND: Time = 1_000_000_000;

/// What should happen to one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// It ends here; with one of these answers or, when `may` only, perhaps.
    Drop(Answer),
    /// The firewall answers an echo request itself, by the interface it came from.
    EchoReply(Packet),
    /// It answers a SYN with a cookie, which is the sequence number.
    Cookie(Packet),
    /// It tells both ends, or one, of a connection that began with a cookie.
    Handshake(Made),
    /// It goes on.
    Forward(Forward),
}

/// What a sender is told about a packet that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Nothing,
    Reset,
    Unreachable,
    TimeExceeded,
    /// With the size that fits.
    TooBig(u16),
}

/// How a packet goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Forward {
    pub(crate) interface: String,
    pub(crate) station: Station,
    /// As it should leave; its source is still the original one where `source` is not known yet.
    pub(crate) packet: Packet,
    /// No IP packet it leaves in is longer than this.
    pub(crate) longest: usize,
    /// No fragment of what is around it is longer than this, if it may leave in some.
    pub(crate) outer_longest: Option<usize>,
    /// What is around the packet when it leaves into a tunnel.
    pub(crate) header: Option<Header>,
    /// A card is to cut it into segments with so much payload; 0 if not.
    pub(crate) segment_bytes: u16,
    /// The session is new and its source is to be one of these.
    pub(crate) source: Option<Unlearned>,
    session: usize,
}

/// Whom a frame is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Station {
    /// Whoever has this address on the link.
    Neighbor(IpAddr),
    /// Where the client's first packet came from.
    Mac(Mac),
}

/// The firewall that is right.
pub(crate) struct Reference {
    config: DeviceConfig,
    /// Own addresses that are gone, by router, and the last generation that had them.
    lost: Vec<(String, IpAddr, usize)>,
    facts: Facts,
    generation: usize,
    now: Time,
    sessions: Vec<Session>,
    resets: Vec<(String, Tuple)>,
    pub(crate) protection: Protection,
    given: Vec<Given>,
    /// The sessions as they were before time went on.
    before: Vec<Session>,
    tunnel: Option<Tunnel>,
    host: Option<Host>,
    /// The packet at hand opened a session, the last one.
    pub(crate) opens: bool,
    /// What is around the packet at hand.
    pub(crate) header: Option<Header>,
    /// The packet at hand came in more than one IP packet.
    pub(crate) in_fragments: bool,
    /// The longest of the fragments that what is around the packet at hand came in.
    pub(crate) outer_longest: Option<usize>,
    /// The longest IP packet that the packet at hand came in.
    longest: usize,
    bounds: Bounds,
    /// Sessions that were over when time last went on.
    late: Vec<Late>,
    /// Addresses of pools that ever had a port in use, with its protocol.
    port_addresses: BTreeSet<(IpAddr, u8)>,
    /// New sessions with a source of a pool that was not seen, also if they are over.
    unseen: usize,
    /// Fragments that wait for others.
    pub(crate) reassembly: Reassembly,
    /// A card is to cut the packet at hand into segments with so much payload; 0 if not.
    pub(crate) segment_bytes: u16,
    /// Why the packet at hand has to be dropped, where no other reason will do.
    pub(crate) named: Option<DropReason>,
    /// The column of the packet at hand, and what was met.
    pub(crate) column: Column,
    pub(crate) met: Vec<(&'static str, Column)>,
    pub(crate) workers: u16,
    /// Two workers have flows that look the same.
    pub(crate) ambiguous: bool,
    /// When the last session was over whose client had its address to itself, and that counted as its server's.
    own_until: Time,
    spread_until: Time,
    turns: Turns,
}

impl Reference {
    pub(crate) fn new(config: Validated, facts: Facts, network: &Network) -> Self {
        Self {
            config: with_leases(&config, &facts),
            lost: Vec::new(),
            facts,
            generation: 1,
            now: 0,
            sessions: Vec::new(),
            resets: Vec::new(),
            protection: Protection::default(),
            given: Vec::new(),
            before: Vec::new(),
            tunnel: network.tunnel,
            host: network.host,
            opens: false,
            header: None,
            in_fragments: false,
            outer_longest: None,
            longest: 0,
            bounds: network.bounds,
            late: Vec::new(),
            port_addresses: BTreeSet::new(),
            unseen: 0,
            reassembly: Reassembly::new(network.bounds.fragments),
            segment_bytes: 0,
            named: None,
            column: Column::default(),
            met: Vec::new(),
            workers: network.workers,
            ambiguous: false,
            own_until: 0,
            spread_until: 0,
            turns: Turns::default(),
        }
    }

    /// Resets that the firewall may have sent, by which interface and of which tuple: both ends of a
    /// connection that a commit refuses are told if the rule says so and they are known.
    pub(crate) fn take_resets(&mut self) -> Vec<(String, Tuple)> {
        std::mem::take(&mut self.resets)
    }

    /// The packet at hand met something.
    fn note(&mut self, what: &'static str) {
        self.met.push((what, self.column));
    }

    /// A commit. Sessions are asked again when they are next used or when time goes on.
    pub(crate) fn install(&mut self, config: Validated, facts: Facts, now: Time) {
        self.now = now;
        let config = with_leases(&config, &facts);
        let lost = own_addresses(&self.config).map(|(router, address)| (router, address, self.generation));
        let lost: Vec<_> = self.lost.drain(..).chain(lost).collect();
        self.lost = lost;
        self.lost.retain(|(_, address, _)| own_addresses(&config).all(|(_, own)| own != *address));
        self.config = config;
        self.facts = facts;
        self.generation += 1;
    }

    /// Time goes on: what is over leaves, the rest is asked again.
    pub(crate) fn advance(&mut self, now: Time) {
        self.now = now;
        self.before.clone_from(&self.sessions);
        self.reassembly.expire(now);
        self.late.retain(|late| now < late.since + TIMER_TICK);
        for session in self.sessions.iter().filter(|session| session.expires <= now) {
            self.met.push(("session aged out", session.column));
            let refused = matches!(session.kind, Kind::Refused { .. });
            self.late.push(Late { since: session.expires, refused, tunnels: session.tunnels() });
            if session.has_own_address() {
                self.own_until = self.own_until.max(session.expires);
            }
            if session.spread {
                self.spread_until = self.spread_until.max(session.expires);
            }
        }
        self.sessions.retain(|session| session.expires > now);
        let mut at = 0;
        while at < self.sessions.len() {
            if self.rematch(at) {
                at += 1;
            } else {
                self.sessions.remove(at);
            }
        }
        self.lost.clear();
    }

    /// Sessions that live, if none is still to be asked again.
    pub(crate) fn sessions(&self) -> Option<Vec<View>> {
        let view = |session: &Session| View {
            client: session.client.tuple,
            server: session.unlearned.is_none().then_some(session.server.tuple),
            refused: matches!(session.kind, Kind::Refused { .. }),
            rule: session.rule.clone(),
            expires: session.expires,
            zones: session.zones.clone(),
            counts: session.counts,
        };
        let current = self.sessions.iter().all(|session| session.generation == self.generation);
        current.then(|| self.sessions.iter().map(view).collect())
    }

    /// One packet from an interface, sent by `station`, in IP packets of which none is longer than `longest`.
    pub(crate) fn packet(&mut self, ingress: &str, station: Mac, packet: &Packet, longest: usize) -> Expected {
        (self.longest, self.opens, self.named) = (longest, false, None);
        if ingress == local::NAME {
            return self.packet_of_host(station, packet);
        }
        if self.header.is_some() && self.outer_longest.is_some() && !self.lets_fragments_in(&interface_name(LOWER)) {
            return DROP;
        }
        if self.blocks_around(packet) {
            return DROP;
        }
        let Some(realm) = realm_of(&self.config, ingress) else { return DROP };
        let Some(zone) = zone_of(&self.config, ingress).map(str::to_owned) else { return DROP };
        if self.refuses(ingress, packet) || self.protection.blocks(&zone, packet, self.now) {
            return DROP;
        }
        if let Body::Error { quoted, .. } = &packet.body {
            return self.error(ingress, packet, quoted);
        }
        let (at, found) = match self.find_arrived(ingress, &packet.tuple()) {
            Found::Session(at, found) => (at, found),
            Found::Returning(at, to_server) => return self.come_back((at, to_server), ingress, packet),
            Found::Taken => return DROP,
            Found::Nowhere => return self.open(ingress, &realm, station, packet),
        };
        let from_client = self.sessions[at].is_client(&found, &packet.tuple());
        if from_client && is_hairpin(&self.sessions[at].ingress) && !is_hairpin(ingress) {
            self.note("client turned out to be behind a tunnel");
            self.sessions.remove(at);
            return self.open(ingress, &realm, station, packet);
        }
        if !self.rematch(at) {
            self.sessions.remove(at);
            return self.open(ingress, &realm, station, packet);
        }
        self.continues(at, from_client, ingress, &realm, station, packet)
    }

    /// Whether an interface is in a zone that does not refuse fragments.
    fn lets_fragments_in(&self, interface: &str) -> bool {
        let Some(zone) = zone_of(&self.config, interface) else { return false };
        !profile(&self.config, zone).is_some_and(|profile| profile.checks.contains(Check::Fragment))
    }

    /// Whether the zone of an interface refuses a packet for what its headers say.
    pub(crate) fn refuses(&self, ingress: &str, packet: &Packet) -> bool {
        let profile = zone_of(&self.config, ingress).and_then(|zone| profile(&self.config, zone));
        profile.is_some_and(|profile| refuses(profile, packet, self.in_fragments))
    }

    /// Follows the connection, if a session is one.
    fn follow(&mut self, at: usize, from_client: bool, packet: &Packet) -> tcp::Verdict {
        let session = &mut self.sessions[at];
        let Some(connection) = &mut session.tcp else { return tcp::Verdict::Pass };
        let before = connection.clock();
        let verdict = connection.follow(from_client, packet, !self.config.session.bypass_asymmetric);
        let clock = connection.clock();
        if clock != before {
            session.idle = tcp_timeout(&self.config, clock, &session.service);
            self.met.push((connection.clock_name(), session.column));
        }
        verdict
    }

    /// A session was used. A closed connection is not kept longer by what still comes.
    fn used(&mut self, at: usize) {
        let session = &mut self.sessions[at];
        if !session.tcp.as_ref().is_some_and(tcp::Connection::keeps_its_end) {
            session.expires = self.now + session.idle;
        }
    }

    /// A packet of a session was seen; one that came in fragments counts as what they make.
    fn count(&mut self, at: usize, from_client: bool, packet: &Packet) {
        let (packets, bytes) = &mut self.sessions[at].counts[usize::from(!from_client)];
        let segments = match self.segment_bytes {
            0 => 1,
            payload => packet.payload.len().div_ceil(payload.into()) as u64,
        };
        *packets += segments;
        *bytes += packet.bytes().len() as u64 + (segments - 1) * packet.header_bytes() as u64;
    }

    /// Within what addresses behind an interface are unique.
    pub(crate) fn realm(&self, interface: &str) -> Option<String> {
        if interface == local::NAME { Some(local::NAME.into()) } else { realm_of(&self.config, interface) }
    }

    /// What is configured and known, for a session that there is: what it says of servers is the session's.
    fn read(&self) -> Now<'_> {
        let asked = Asked::Again { rule: None, server: Ipv4Addr::UNSPECIFIED.into() };
        let farm = Farm { turns: &self.turns, sessions: &self.sessions, asked };
        Now { config: &self.config, facts: &self.facts, farm }
    }

    /// The same for a new session.
    fn first(&self) -> Now<'_> {
        Now { farm: Farm { asked: Asked::First, ..self.read().farm }, ..self.read() }
    }

    /// Whether the engine may count a session that is over, for where new ones go.
    pub(crate) fn counts_late(&self) -> bool {
        let counts = |rule: &NatRule| {
            let translation = rule.destination_translation.as_ref();
            translation.is_some_and(|translation| translation.distribution == Some(Distribution::LeastSessions))
        };
        self.now < self.spread_until + TIMER_TICK && self.config.nat_rules.iter().any(counts)
    }

    fn find(&self, realm: &str, tuple: &Tuple) -> Option<usize> {
        self.sessions.iter().position(|session| session.is_client(realm, tuple) || session.is_server(realm, tuple))
    }

    /// The session of a packet that came by an interface, and in which realm. Behind a tunnel whose packets are
    /// routed there may be the answers to what was routed.
    fn find_arrived(&mut self, ingress: &str, tuple: &Tuple) -> Found {
        if is_hairpin(ingress) {
            return self.find_hairpin(ingress, tuple);
        }
        let Some(realm) = self.realm(ingress) else { return Found::Nowhere };
        let found = self.find(&realm, tuple).map(|at| (at, realm));
        let found = found.or_else(|| {
            let router = router_of(&self.config, ingress).filter(|_| is_cluster(&self.config, ingress))?;
            Some((self.find(router, tuple)?, router.to_owned()))
        });
        found.map_or(Found::Nowhere, |(at, realm)| Found::Session(at, realm))
    }

    /// Whether an interface has an address to speak from; over IPv6 it always has that of its link.
    fn speaks(&self, ingress: &str, v4: bool) -> bool {
        let lower = interface_name(LOWER);
        let speaker = if is_side(&self.config, ingress) { &lower } else { ingress };
        let mut interfaces = self.config.interfaces.iter().filter(|interface| interface.name == speaker);
        !v4 || interfaces.any(|interface| interface.addresses.iter().any(|own| own.addr().is_ipv4()))
    }

    /// Whether the zone of an interface is not told about something.
    fn is_silent(&self, ingress: &str, v4: bool, suppresses: fn(&ZoneProtection) -> bool) -> bool {
        if !self.speaks(ingress, v4) {
            return true;
        }
        zone_of(&self.config, ingress).and_then(|zone| profile(&self.config, zone)).is_some_and(suppresses)
    }

    /// A packet of a refused flow.
    fn refuse(&mut self, at: usize, from_client: bool, ingress: &str, packet: &Packet) -> Expected {
        let Kind::Refused { action, icmp_unreachable } = self.sessions[at].kind else { return DROP };
        self.count(at, from_client, packet);
        let tells = icmp_unreachable && self.speaks(ingress, packet.source.is_ipv4());
        Expected::Drop(if from_client { refusal(action, tells, packet) } else { Answer::Nothing })
    }

    fn continues(
        &mut self,
        at: usize,
        from_client: bool,
        ingress: &str,
        realm: &str,
        station: Mac,
        packet: &Packet,
    ) -> Expected {
        if let Kind::Refused { .. } = self.sessions[at].kind {
            return self.refuse(at, from_client, ingress, packet);
        }
        if let Some(expected) = self.await_server(at, from_client, packet) {
            return expected;
        }
        self.forget_tunnel(at, from_client, true);
        let (passes, hop) = (self.passes(at, from_client), self.is_hop(at));
        let Some((_, exit, _)) = self.way(at, from_client) else { return DROP };
        if packet.ttl <= 1 && hop {
            let told = !self.is_silent(ingress, packet.source.is_ipv4(), |profile| profile.suppress_time_exceeded);
            return Expected::Drop(if told { Answer::TimeExceeded } else { Answer::Nothing });
        }
        if self.sessions[at].kind != Kind::Echo
            && let Some(mtu) = self.too_big(at, from_client, &exit, packet)
        {
            let told = !self.is_silent(ingress, packet.source.is_ipv4(), |profile| profile.suppress_too_big);
            return Expected::Drop(if told { Answer::TooBig(mtu) } else { Answer::Nothing });
        }
        let relay = self.sessions[at].relay;
        let seen = relay.map_or_else(|| packet.clone(), |relay| relay.unshifted(from_client, packet));
        match self.follow(at, from_client, &seen) {
            tcp::Verdict::Pass => {}
            tcp::Verdict::Drop => return DROP,
            tcp::Verdict::Reopen => {
                self.note("closed connection reopened");
                self.sessions.remove(at);
                return self.open(ingress, realm, station, packet);
            }
        }
        self.count(at, from_client, packet);
        self.used(at);
        let session = &mut self.sessions[at];
        if session.kind == Kind::Echo {
            self.count(at, false, packet);
            return Expected::EchoReply(echo_reply(packet));
        }
        if is_cluster(&self.config, ingress) || from_client && !passes && is_side(&self.config, ingress) {
            self.refresh(at, from_client, ingress);
        }
        let Some((tuple, interface, station)) = self.way(at, from_client) else { return DROP };
        let station = self.turned(ingress, &interface).unwrap_or(station);
        let seen = relay.map_or(seen.clone(), |relay| relay.shifted(from_client, &seen));
        let mut packet = seen.with_tuple(&tuple);
        packet.ttl -= u8::from(hop);
        if matches!(packet.body, Body::Tcp { flags, .. } if flags & SYN != 0) {
            let before = packet.mss;
            packet.mss = [ingress, &interface]
                .iter()
                .filter_map(|name| segment_limit(&self.config, name, packet.source.is_ipv4()))
                .fold(packet.mss, u16::min);
            if packet.mss < before {
                self.note("segment size lowered");
            }
        }
        let source = self.sessions[at].unlearned.clone().filter(|_| from_client);
        let longest = self.longest.min(self.room(at, from_client, &interface).into());
        let header = self.around(at, from_client, &interface);
        Expected::Forward(Forward {
            interface,
            station,
            packet,
            longest,
            outer_longest: self.turned_longest(at, from_client),
            header,
            segment_bytes: self.segment_bytes,
            source,
            session: at,
        })
    }
}

/// The configuration with the addresses that interfaces got by DHCP.
fn with_leases(config: &DeviceConfig, facts: &Facts) -> DeviceConfig {
    let mut config = config.clone();
    for interface in &mut config.interfaces {
        let learned = facts.interfaces.get(&interface.name).filter(|_| interface.dhcp.is_some());
        interface.addresses.extend(learned.into_iter().flat_map(|learned| learned.addresses.iter().copied()));
    }
    config
}

/// All own addresses, with their routers.
fn own_addresses(config: &DeviceConfig) -> impl Iterator<Item = (String, IpAddr)> {
    config.interfaces.iter().flat_map(|interface| {
        let router = router_of(config, &interface.name);
        let own = interface.addresses.iter().map(|own| own.addr());
        router.into_iter().flat_map(move |router| own.clone().map(move |own| (router.to_owned(), own)))
    })
}

const DROP: Expected = Expected::Drop(Answer::Nothing);

fn refusal(action: Action, icmp_unreachable: bool, packet: &Packet) -> Answer {
    match &packet.body {
        Body::Tcp { flags, .. } if flags & RST == 0 && matches!(action, Action::ResetClient | Action::ResetBoth) => {
            Answer::Reset
        }
        _ if icmp_unreachable => Answer::Unreachable,
        _ => Answer::Nothing,
    }
}

fn echo_reply(packet: &Packet) -> Packet {
    let mut reply = packet.with_tuple(&packet.tuple().reversed());
    reply.ttl = 64;
    if let Body::Echo { reply, .. } = &mut reply.body {
        *reply = true;
    }
    reply
}
