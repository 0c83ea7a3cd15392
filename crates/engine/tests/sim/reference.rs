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
#[path = "reference/nat.rs"]
mod nat;
#[path = "reference/paths.rs"]
mod paths;
#[path = "reference/protection.rs"]
pub(crate) mod protection;
#[path = "reference/tags.rs"]
mod tags;
#[path = "reference/tcp.rs"]
pub(crate) mod tcp;

use std::net::IpAddr;

use bartizan_model::device::{Action, Check, TrafficKind, TrafficObject, Validated, ZoneProtection};
use bartizan_policy::facts::Facts;

use self::cookies::{Given, Made, Relay};
use self::decision::{
    NewSource, Now, Ruling, Way, answers_ping, decide, is_side, mtu_of, realm_of, route, router_of, side_of, way_from,
    zone_of,
};
use self::nat::Unlearned;
use self::paths::Among;
use self::protection::{Admission, Protection, profile, refuses};
use self::tcp::Connection;
use super::frames::{ACK, Body, Mac, Packet, RST, SYN, Tuple};
use super::tunnels::{Header, STATION, Tunnel};

/// Virtual time in nanoseconds.
pub(crate) type Time = u64;

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

/// One direction of a session: its realm and what its packets say.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Side {
    realm: String,
    tuple: Tuple,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Forward { exit: String, next_hop: IpAddr },
    Echo,
    Refused { action: Action, icmp_unreachable: bool },
}

/// A session as the reference knows it.
#[derive(Clone, Debug)]
struct Session {
    kind: Kind,
    client: Side,
    server: Side,
    ingress: String,
    station: Mac,
    /// What was around the client's last packet.
    header: Option<Header>,
    rule: String,
    expires: Time,
    tcp: Option<Connection>,
    generation: usize,
    /// The source is one of these; which one was not seen yet.
    unlearned: Option<Unlearned>,
    relay: Option<Relay>,
    /// The rule by which the client keeps the source, and whether other clients have others.
    keeper: Option<(String, bool)>,
    /// There is nobody at the other end: the firewall answers itself, or refused the flow at once.
    one_way: bool,
}

/// What the session table should show of one session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct View {
    pub(crate) client: Tuple,
    /// `None` while the reference has not seen the source the engine chose.
    pub(crate) server: Option<Tuple>,
    pub(crate) refused: bool,
    pub(crate) rule: String,
    pub(crate) expires: Time,
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
    /// The packet at hand opened a session, the last one.
    pub(crate) opens: bool,
    /// What is around the packet at hand.
    pub(crate) header: Option<Header>,
    /// The packet at hand came in more than one IP packet.
    pub(crate) in_fragments: bool,
    /// Packets that a protection profile refused.
    pub(crate) protected: usize,
    /// The longest IP packet that the packet at hand came in.
    longest: usize,
    /// New sessions with a fixed new source, one of a pool, a new destination.
    pub(crate) translations: [usize; 3],
    /// When the last session was over whose client had its address to itself.
    own_until: Time,
}

impl Reference {
    pub(crate) fn new(config: Validated, facts: Facts, tunnel: Option<Tunnel>) -> Self {
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
            tunnel,
            opens: false,
            header: None,
            in_fragments: false,
            protected: 0,
            longest: 0,
            translations: [0; 3],
            own_until: 0,
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
        let over = self.sessions.iter().filter(|session| session.expires <= now && session.has_own_address());
        self.own_until = over.map(|session| session.expires).chain([self.own_until]).max().unwrap_or(0);
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
        };
        let current = self.sessions.iter().all(|session| session.generation == self.generation);
        current.then(|| self.sessions.iter().map(view).collect())
    }

    /// One packet from an interface, sent by `station`, in IP packets of which none is longer than `longest`.
    pub(crate) fn packet(&mut self, ingress: &str, station: Mac, packet: &Packet, longest: usize) -> Expected {
        (self.longest, self.opens) = (longest, false);
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

    /// Within what addresses behind an interface are unique.
    pub(crate) fn realm(&self, interface: &str) -> Option<String> {
        realm_of(&self.config, interface)
    }

    fn read(&self) -> Now<'_> {
        Now { config: &self.config, facts: &self.facts }
    }

    fn find(&self, realm: &str, tuple: &Tuple) -> Option<usize> {
        self.sessions.iter().position(|session| session.is_client(realm, tuple) || session.is_server(realm, tuple))
    }

    /// The session of a packet that came by an interface, and in which realm. Behind a tunnel whose packets are
    /// routed there may be the answers to what was routed.
    fn find_arrived(&self, ingress: &str, tuple: &Tuple) -> Option<(usize, String)> {
        let realm = realm_of(&self.config, ingress)?;
        let found = self.find(&realm, tuple).map(|at| (at, realm));
        let routed = side_of(&self.config, ingress)
            .is_some_and(|(object, _)| matches!(object.kind, TrafficKind::K8sCluster { .. }));
        found.or_else(|| {
            let router = router_of(&self.config, ingress).filter(|_| routed)?;
            Some((self.find(router, tuple)?, router.to_owned()))
        })
    }

    fn open(&mut self, ingress: &str, realm: &str, station: Mac, packet: &Packet) -> Expected {
        let tuple = packet.tuple();
        let mut proof = None;
        match &packet.body {
            Body::Tcp { flags, .. } if flags & (SYN | ACK | RST | super::frames::FIN) != SYN => {
                proof = self.redeem(ingress, realm, packet);
                if proof.is_none() {
                    return DROP;
                }
            }
            Body::Echo { reply: true, .. } => return DROP,
            _ => {}
        }
        let admission = match tuple.source == tuple.destination {
            true => Admission::Drop,
            false => self.admits(ingress, packet, proof.is_some()),
        };
        if admission == Admission::Drop {
            return DROP;
        }
        let Some(router) = router_of(&self.config, ingress) else { return DROP };
        let back = route(self.read(), router, tuple.source, Among::Interface(ingress));
        let own = matches!(back, Way::Own(_)) && !self.goes_back(ingress);
        if own || self.is_spoofed(ingress, tuple.source, &back) {
            return DROP;
        }
        let Some(ruling) = decide(self.read(), ingress, &tuple) else { return DROP };
        let client = Side { realm: realm.into(), tuple };
        let mut session = Session {
            kind: Kind::Refused { action: ruling.action, icmp_unreachable: ruling.icmp_unreachable },
            server: Side { realm: realm.into(), tuple: tuple.reversed() },
            client,
            ingress: ingress.into(),
            station,
            header: self.header,
            rule: ruling.rule.clone(),
            expires: self.now + discard_timeout(tuple.protocol),
            tcp: None,
            generation: self.generation,
            unlearned: None,
            relay: None,
            keeper: None,
            one_way: true,
        };
        if let (Admission::Cookie, Action::Allow, Way::Out(exit, _)) = (admission, ruling.action, &ruling.way) {
            return self.cookie(ingress, exit, packet);
        }
        if ruling.action != Action::Allow {
            let answer = refusal(ruling.action, ruling.icmp_unreachable, packet);
            self.sessions.push(session);
            return Expected::Drop(answer);
        }
        match &ruling.way {
            Way::Own(_) if proof.is_some() => return DROP,
            Way::Own(interface) => {
                let translated = ruling.source != NewSource::Same || ruling.destination.is_some();
                let echo = matches!(packet.body, Body::Echo { .. });
                if translated || !echo || !answers_ping(&self.config, interface, tuple.source) {
                    return DROP;
                }
                session.kind = Kind::Echo;
            }
            Way::Out(exit, next_hop) => {
                let Some(realm) = realm_of(&self.config, exit) else { return DROP };
                session.server = Side { realm, tuple: translated(&tuple, &ruling).reversed() };
                session.kind = Kind::Forward { exit: exit.clone(), next_hop: *next_hop };
                session.one_way = false;
                match ruling.source {
                    NewSource::OneOf { ranges, kept } => session.unlearned = Some(Unlearned::port(ranges, kept)),
                    NewSource::Own { ranges, fallback, rule } => {
                        session.unlearned = Some(Unlearned { ranges, fallback, keeper: Some(rule), own: true });
                    }
                    NewSource::Same | NewSource::Fixed(_) => {
                        if session.server == session.client || self.is_taken(&session.server) {
                            return DROP;
                        }
                    }
                }
            }
            Way::None => return DROP,
        }
        let of_pool = session.unlearned.is_some();
        let fixed = session.server.tuple.destination != tuple.source;
        let new_destination = session.server.tuple.source != tuple.destination;
        for (count, is) in self.translations.iter_mut().zip([fixed, of_pool, new_destination]) {
            *count += usize::from(is);
        }
        session.expires = self.now + idle_timeout(tuple.protocol);
        if let Body::Tcp { .. } = packet.body {
            let connection = Connection::default();
            session.expires = self.now + connection.timeout_s() * SECOND;
            session.tcp = Some(connection);
        }
        self.sessions.push(session);
        let at = self.sessions.len() - 1;
        self.opens = true;
        if let Some(proof) = proof {
            return self.ask(at, proof, packet);
        }
        self.continues(at, true, ingress, realm, station, packet)
    }

    /// Whether the zone of an interface lets another flow in.
    fn admits(&mut self, ingress: &str, packet: &Packet, proven: bool) -> Admission {
        let gives = self.gives_cookies(ingress);
        let Some(zone) = zone_of(&self.config, ingress) else { return Admission::Pass };
        let Some(profile) = profile(&self.config, zone) else { return Admission::Pass };
        let admitted = self.protection.admits(zone, profile, packet, self.now, (gives, proven));
        self.protected += usize::from(admitted == Admission::Drop);
        admitted
    }

    /// Whether the zone of an interface is not told about something.
    fn is_silent(&self, ingress: &str, suppresses: fn(&ZoneProtection) -> bool) -> bool {
        zone_of(&self.config, ingress).and_then(|zone| profile(&self.config, zone)).is_some_and(suppresses)
    }

    /// Whether answers go back by the tunnel behind an interface, whatever the routes say.
    fn goes_back(&self, ingress: &str) -> bool {
        let cluster = |object: &TrafficObject| matches!(object.kind, TrafficKind::K8sCluster { .. });
        side_of(&self.config, ingress).is_some_and(|(object, _)| !cluster(object))
    }

    /// Whether the zone of an interface wants its sources to have another way back.
    fn is_spoofed(&mut self, ingress: &str, source: IpAddr, back: &Way) -> bool {
        let Some(zone) = zone_of(&self.config, ingress) else { return false };
        let Some(profile) = profile(&self.config, zone) else { return false };
        if self.goes_back(ingress) {
            return false;
        }
        let exit = if let Way::Out(exit, _) = back { Some(exit.as_str()) } else { None };
        let networks = self.config.interfaces.iter().filter(|known| known.name == ingress);
        let mut networks = networks.flat_map(|interface| &interface.addresses);
        let broadcast = networks.any(|network| source.is_ipv4() && network.broadcast() == source);
        let other_zone = exit.and_then(|exit| zone_of(&self.config, exit)) != Some(zone);
        let spoofed = (profile.checks.contains(Check::SpoofedSource) && other_zone)
            || (profile.checks.contains(Check::StrictAddress) && (exit != Some(ingress) || broadcast));
        self.protected += usize::from(spoofed);
        spoofed
    }

    /// Whether the answers of a new session would be taken for another's. A flow that is only remembered
    /// as refused makes way.
    fn is_taken(&mut self, server: &Side) -> bool {
        match self.find(&server.realm, &server.tuple) {
            Some(at) if matches!(self.sessions[at].kind, Kind::Refused { .. }) => {
                self.sessions.remove(at);
                false
            }
            found => found.is_some(),
        }
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
            let answer = if from_client { refusal(action, icmp_unreachable, packet) } else { Answer::Nothing };
            return Expected::Drop(answer);
        }
        if let Some(expected) = self.await_server(at, from_client, packet) {
            return expected;
        }
        let passes = self.passes(at);
        if packet.ttl <= 1 && self.sessions[at].kind != Kind::Echo && !passes {
            let told = !self.is_silent(ingress, |profile| profile.suppress_time_exceeded);
            return Expected::Drop(if told { Answer::TimeExceeded } else { Answer::Nothing });
        }
        if matches!(self.sessions[at].kind, Kind::Forward { .. })
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
        let session = &mut self.sessions[at];
        if !closed {
            session.expires = self.now + idle;
        }
        if session.kind == Kind::Echo {
            return Expected::EchoReply(echo_reply(packet));
        }
        if from_client && !passes && is_side(&self.config, ingress) {
            self.sessions[at].header = self.header;
        }
        let (tuple, interface, station) = self.way(at, from_client);
        let station = self.turned(ingress, &interface).unwrap_or(station);
        let seen = relay.map_or(seen.clone(), |relay| relay.shifted(from_client, &seen));
        let mut packet = seen.with_tuple(&tuple);
        packet.ttl -= u8::from(!passes);
        if matches!(packet.body, Body::Tcp { flags, .. } if flags & SYN != 0) {
            packet.mss = [ingress, &interface]
                .iter()
                .filter_map(|name| segment_limit(&self.config, name, packet.source.is_ipv4()))
                .fold(packet.mss, u16::min);
        }
        let source = self.sessions[at].unlearned.clone().filter(|_| from_client);
        let longest = self.longest.min(self.room(at, &interface).into());
        let header = self.around(at, &interface);
        Expected::Forward(Forward { interface, station, packet, longest, header, source, session: at })
    }

    /// Whether a session only passes a tunnel: both ends are behind it.
    fn passes(&self, at: usize) -> bool {
        matches!(&self.sessions[at].kind, Kind::Forward { exit, .. } if is_side(&self.config, exit))
    }

    /// What is around a packet of a session that leaves by an interface.
    fn around(&self, at: usize, exit: &str) -> Option<Header> {
        let into_tunnel = is_side(&self.config, exit);
        into_tunnel.then_some(if self.passes(at) { self.header } else { self.sessions[at].header })?
    }

    /// The longest packet of a session that fits an interface.
    fn room(&self, at: usize, exit: &str) -> u16 {
        match (self.tunnel, side_of(&self.config, exit)) {
            (Some(_), Some(_)) if self.passes(at) => u16::MAX,
            (Some(tunnel), Some((object, _))) => mtu_of(&self.config, &object.interfaces[0]) - tunnel.overhead() as u16,
            _ => mtu_of(&self.config, exit),
        }
    }

    /// What fits an interface that a packet does not fit and must not be cut for.
    fn too_big(&self, at: usize, exit: &str, packet: &Packet) -> Option<u16> {
        let room = self.room(at, exit);
        let length = self.longest.min(packet.bytes().len());
        (length > usize::from(room) && !packet.fragmentable).then_some(room)
    }

    /// How packets of one direction of a session leave, and what they say then.
    fn way(&self, at: usize, from_client: bool) -> (Tuple, String, Station) {
        let session = &self.sessions[at];
        match &session.kind {
            Kind::Forward { exit, next_hop } if from_client => {
                let station = self.passes_to(exit).unwrap_or(Station::Neighbor(*next_hop));
                (session.server.tuple.reversed(), exit.clone(), station)
            }
            kind => {
                let client = session.client.tuple.source;
                let passes = matches!(kind, Kind::Forward { exit, .. } if is_side(&self.config, exit));
                let back = way_from(self.read(), &session.ingress, client, Among::Interface(&session.ingress));
                let station = match back {
                    _ if passes => self.passes_to(&session.ingress).unwrap_or(Station::Mac(session.station)),
                    Way::Out(interface, next_hop) if interface == session.ingress => Station::Neighbor(next_hop),
                    _ => Station::Mac(session.station),
                };
                (session.client.tuple.reversed(), session.ingress.clone(), station)
            }
        }
    }

    /// Whom a frame is for that leaves by the side of the tunnel it came by, if it does.
    fn turned(&self, ingress: &str, exit: &str) -> Option<Station> {
        (ingress == exit && is_side(&self.config, exit)).then_some(Station::Mac(STATION))
    }

    /// Whom a frame is for that only passes a tunnel, if it does.
    fn passes_to(&self, exit: &str) -> Option<Station> {
        self.tunnel.filter(|_| is_side(&self.config, exit)).map(|tunnel| Station::Mac(tunnel.passes_to()))
    }

    /// Asks the rules again about a session older than the configuration; `false` when it is over.
    fn rematch(&mut self, at: usize) -> bool {
        let session = &self.sessions[at];
        if session.generation == self.generation {
            return true;
        }
        if realm_of(&self.config, &session.ingress).as_ref() != Some(&session.client.realm) {
            return false;
        }
        let Some(ruling) = decide(self.read(), &session.ingress, &session.client.tuple) else { return false };
        let generation = self.generation;
        if ruling.action != Action::Allow {
            let now = self.now;
            self.resets.extend(resets(&self.sessions[at], ruling.action));
            let session = &mut self.sessions[at];
            if !matches!(session.kind, Kind::Refused { .. }) {
                session.expires = now + discard_timeout(session.client.tuple.protocol);
            }
            session.kind = Kind::Refused { action: ruling.action, icmp_unreachable: ruling.icmp_unreachable };
            session.rule = ruling.rule;
            session.generation = generation;
            return true;
        }
        let kind = match (&session.kind, &ruling.way) {
            (Kind::Forward { .. }, Way::Out(..)) => {
                let server = session.server.tuple.source;
                match way_from(self.read(), &session.ingress, server, Among::Flow(&session.client.tuple)) {
                    Way::Out(exit, next_hop)
                        if realm_of(&self.config, &exit).as_ref() == Some(&session.server.realm)
                            && zone_of(&self.config, &exit) == Some(&ruling.to) =>
                    {
                        Kind::Forward { exit, next_hop }
                    }
                    _ => return false,
                }
            }
            (Kind::Echo, Way::Own(interface)) if answers_ping(&self.config, interface, session.client.tuple.source) => {
                Kind::Echo
            }
            _ => return false,
        };
        let session = &mut self.sessions[at];
        (session.kind, session.rule, session.generation) = (kind, ruling.rule, generation);
        true
    }
}

const DROP: Expected = Expected::Drop(Answer::Nothing);

impl Session {
    fn is_client(&self, realm: &str, tuple: &Tuple) -> bool {
        self.client.realm == realm && self.client.tuple == *tuple
    }

    fn is_server(&self, realm: &str, tuple: &Tuple) -> bool {
        !self.one_way && self.unlearned.is_none() && self.server.realm == realm && self.server.tuple == *tuple
    }
}

/// What a client's packet says when it leaves; a source still to be learned stays as it is.
fn translated(tuple: &Tuple, ruling: &Ruling) -> Tuple {
    let mut tuple = *tuple;
    if let NewSource::Fixed(source) = ruling.source {
        tuple.source = source;
    }
    if let Some((address, port)) = ruling.destination {
        tuple.destination = address;
        tuple.destination_port = port.unwrap_or(tuple.destination_port);
    }
    tuple
}

fn resets(session: &Session, action: Action) -> Vec<(String, Tuple)> {
    let mut resets = Vec::new();
    if let (Kind::Forward { exit, .. }, Some(_)) = (&session.kind, &session.tcp) {
        if matches!(action, Action::ResetClient | Action::ResetBoth) {
            resets.push((session.ingress.clone(), session.client.tuple.reversed()));
        }
        if matches!(action, Action::ResetServer | Action::ResetBoth) {
            resets.push((exit.clone(), session.server.tuple.reversed()));
        }
    }
    resets
}

fn refusal(action: Action, icmp_unreachable: bool, packet: &Packet) -> Answer {
    match &packet.body {
        Body::Tcp { flags, .. } if flags & RST == 0 && matches!(action, Action::ResetClient | Action::ResetBoth) => {
            Answer::Reset
        }
        _ if icmp_unreachable => Answer::Unreachable,
        _ => Answer::Nothing,
    }
}

/// The largest segment that an interface lets a handshake agree on.
fn segment_limit(config: &Validated, interface: &str, v4: bool) -> Option<u16> {
    let interface = config.interfaces.iter().find(|known| known.name == interface)?;
    let adjust = interface.tcp_mss?;
    Some(interface.mtu_bytes.unwrap_or(1500) - if v4 { adjust.v4_bytes } else { adjust.v6_bytes })
}

fn echo_reply(packet: &Packet) -> Packet {
    let mut reply = packet.with_tuple(&packet.tuple().reversed());
    reply.ttl = 64;
    if let Body::Echo { reply, .. } = &mut reply.body {
        *reply = true;
    }
    reply
}

/// Protocols whose flows can be told apart by a port or identifier that the firewall may change.
fn has_identity(protocol: u8) -> bool {
    matches!(protocol, 1 | 6 | 17 | 58)
}

fn discard_timeout(protocol: u8) -> Time {
    if protocol == 6 { 90 * SECOND } else { 60 * SECOND }
}

/// Idle time of what is not TCP.
fn idle_timeout(protocol: u8) -> Time {
    match protocol {
        1 | 58 => 6 * SECOND,
        _ => 30 * SECOND,
    }
}
