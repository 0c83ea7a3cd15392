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
#[path = "reference/host.rs"]
mod host;
#[path = "reference/nat.rs"]
mod nat;
#[path = "reference/open.rs"]
mod open;
#[path = "reference/paths.rs"]
mod paths;
#[path = "reference/protection.rs"]
pub(crate) mod protection;
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

use std::net::IpAddr;

use std::net::Ipv4Addr;

use bartizan_model::device::{Action, Check, Distribution, NatRule, TrafficKind, Validated, ZoneProtection};
use bartizan_policy::facts::Facts;

use self::cookies::{Given, Made};
use self::decision::{Now, is_side, realm_of, router_of, side_of, zone_of};
use self::farm::{Asked, Farm, Turns};
use self::nat::Unlearned;
use self::protection::{Protection, profile, refuses};
pub(crate) use self::session::View;
use self::session::{Kind, Session, idle_timeout};
use self::ways::segment_limit;
use super::frames::{Body, Mac, Packet, RST, SYN, Tuple};
use super::generate::{Network, interface_name};
use super::host::{self as local, Host};
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
    config: Validated,
    facts: Facts,
    generation: usize,
    now: Time,
    sessions: Vec<Session>,
    resets: Vec<(String, Tuple)>,
    protection: Protection,
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
    /// Packets that a protection profile refused.
    pub(crate) protected: usize,
    /// The longest IP packet that the packet at hand came in.
    longest: usize,
    /// New sessions with a fixed new source, one of a pool, a new destination, and those to the host.
    pub(crate) translations: [usize; 4],
    /// When the last session was over whose client had its address to itself, and that counted as its server's.
    own_until: Time,
    spread_until: Time,
    turns: Turns,
    /// New sessions whose server is one of several.
    pub(crate) spread: usize,
}

impl Reference {
    pub(crate) fn new(config: Validated, facts: Facts, network: &Network) -> Self {
        Self {
            config,
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
            protected: 0,
            longest: 0,
            translations: [0; 4],
            own_until: 0,
            spread_until: 0,
            turns: Turns::default(),
            spread: 0,
        }
    }

    /// Resets that the firewall may have sent, by which interface and of which tuple: both ends of a
    /// connection that a commit refuses are told if the rule says so and they are known.
    pub(crate) fn take_resets(&mut self) -> Vec<(String, Tuple)> {
        std::mem::take(&mut self.resets)
    }

    /// A commit. Sessions are asked again when they are next used or when time goes on.
    pub(crate) fn install(&mut self, config: Validated, facts: Facts, now: Time) {
        self.now = now;
        self.config = config;
        self.facts = facts;
        self.generation += 1;
    }

    /// Time goes on: what is over leaves, the rest is asked again.
    pub(crate) fn advance(&mut self, now: Time) {
        self.now = now;
        self.before.clone_from(&self.sessions);
        for session in self.sessions.iter().filter(|session| session.expires <= now) {
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
        (self.longest, self.opens) = (longest, false);
        if ingress == local::NAME {
            return self.packet_of_host(station, packet);
        }
        if self.header.is_some() && self.outer_longest.is_some() && !self.lets_fragments_in(&interface_name(LOWER)) {
            return DROP;
        }
        let Some(realm) = realm_of(&self.config, ingress) else { return DROP };
        let Some(zone) = zone_of(&self.config, ingress).map(str::to_owned) else { return DROP };
        let refused = profile(&self.config, &zone).is_some_and(|profile| refuses(profile, packet, self.in_fragments));
        if refused || self.protection.blocks(&zone, packet, self.now) {
            self.protected += 1;
            return DROP;
        }
        if let Body::Error { quoted, .. } = &packet.body {
            return self.error(ingress, packet, quoted);
        }
        let Some((at, found)) = self.find_arrived(ingress, &packet.tuple()) else {
            return self.open(ingress, &realm, station, packet);
        };
        if !self.rematch(at) {
            self.sessions.remove(at);
            return self.open(ingress, &realm, station, packet);
        }
        let from_client = self.sessions[at].is_client(&found, &packet.tuple());
        self.continues(at, from_client, ingress, &realm, station, packet)
    }

    /// Whether an interface is in a zone that does not refuse fragments.
    fn lets_fragments_in(&mut self, interface: &str) -> bool {
        let Some(zone) = zone_of(&self.config, interface) else { return false };
        let refuses = profile(&self.config, zone).is_some_and(|profile| profile.checks.contains(Check::Fragment));
        self.protected += usize::from(refuses);
        !refuses
    }

    /// A packet of a session was seen; one that came in fragments counts as what they make.
    fn count(&mut self, at: usize, from_client: bool, packet: &Packet) {
        let (packets, bytes) = &mut self.sessions[at].counts[usize::from(!from_client)];
        (*packets, *bytes) = (*packets + 1, *bytes + packet.bytes().len() as u64);
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
    fn find_arrived(&self, ingress: &str, tuple: &Tuple) -> Option<(usize, String)> {
        let realm = self.realm(ingress)?;
        let found = self.find(&realm, tuple).map(|at| (at, realm));
        let routed = side_of(&self.config, ingress)
            .is_some_and(|(object, _)| matches!(object.kind, TrafficKind::K8sCluster { .. }));
        found.or_else(|| {
            let router = router_of(&self.config, ingress).filter(|_| routed)?;
            Some((self.find(router, tuple)?, router.to_owned()))
        })
    }

    /// Whether the zone of an interface is not told about something.
    fn is_silent(&self, ingress: &str, suppresses: fn(&ZoneProtection) -> bool) -> bool {
        zone_of(&self.config, ingress).and_then(|zone| profile(&self.config, zone)).is_some_and(suppresses)
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
        if let Kind::Refused { action, icmp_unreachable } = self.sessions[at].kind {
            self.count(at, from_client, packet);
            let answer = if from_client { refusal(action, icmp_unreachable, packet) } else { Answer::Nothing };
            return Expected::Drop(answer);
        }
        if let Some(expected) = self.await_server(at, from_client, packet) {
            return expected;
        }
        let passes = self.passes(at);
        let hop = matches!(self.sessions[at].kind, Kind::Forward { .. }) && !passes;
        if packet.ttl <= 1 && hop {
            let told = !self.is_silent(ingress, |profile| profile.suppress_time_exceeded);
            return Expected::Drop(if told { Answer::TimeExceeded } else { Answer::Nothing });
        }
        if self.sessions[at].kind != Kind::Echo
            && let Some(mtu) = self.too_big(at, &self.way(at, from_client).1, packet)
        {
            let told = !self.is_silent(ingress, |profile| profile.suppress_too_big);
            return Expected::Drop(if told { Answer::TooBig(mtu) } else { Answer::Nothing });
        }
        let mut idle = idle_timeout(packet.protocol());
        let mut closed = false;
        let relay = self.sessions[at].relay;
        let seen = relay.map_or_else(|| packet.clone(), |relay| relay.unshifted(from_client, packet));
        if let Some(connection) = &mut self.sessions[at].tcp {
            match connection.follow(from_client, &seen) {
                tcp::Verdict::Pass => {}
                tcp::Verdict::Drop => return DROP,
                tcp::Verdict::Reopen => {
                    self.sessions.remove(at);
                    return self.open(ingress, realm, station, packet);
                }
            }
            idle = connection.timeout_s() * SECOND;
            closed = connection.keeps_its_end();
        }
        self.count(at, from_client, packet);
        let session = &mut self.sessions[at];
        if !closed {
            session.expires = self.now + idle;
        }
        if session.kind == Kind::Echo {
            self.count(at, false, packet);
            return Expected::EchoReply(echo_reply(packet));
        }
        if from_client && !passes && is_side(&self.config, ingress) {
            self.sessions[at].header = self.header;
        }
        let (tuple, interface, station) = self.way(at, from_client);
        let station = self.turned(ingress, &interface).unwrap_or(station);
        let seen = relay.map_or(seen.clone(), |relay| relay.shifted(from_client, &seen));
        let mut packet = seen.with_tuple(&tuple);
        packet.ttl -= u8::from(hop);
        if matches!(packet.body, Body::Tcp { flags, .. } if flags & SYN != 0) {
            packet.mss = [ingress, &interface]
                .iter()
                .filter_map(|name| segment_limit(&self.config, name, packet.source.is_ipv4()))
                .fold(packet.mss, u16::min);
        }
        let source = self.sessions[at].unlearned.clone().filter(|_| from_client);
        let longest = self.longest.min(self.room(at, &interface).into());
        let header = self.around(at, &interface);
        Expected::Forward(Forward {
            interface,
            station,
            packet,
            longest,
            outer_longest: self.turned_longest(at),
            header,
            source,
            session: at,
        })
    }
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
