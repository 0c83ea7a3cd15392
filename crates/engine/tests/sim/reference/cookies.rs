//! How does a connection begin in a zone that answers SYNs with cookies?
//!
//! A cookie cannot be foreseen: it is learned from the answer, and an acknowledgment is of a client that has
//! been given it if it brings one back that was given out. From then on the client sees the server's numbers
//! as far ahead as the cookie is of the server's own first number.

use std::net::IpAddr;

use super::super::frames::{ACK, Body, FIN, Packet, RST, SYN, Tuple};
use super::decision::{is_side, mtu_of, zone_of};
use super::hairpin::SERVER;
use super::protection::profile;
use super::session::{Kind, Session};
use super::tcp::Verdict;
use super::ways::segment_limit;
use super::{DROP, Expected, Forward, Reference, SECOND, Station, Time};

/// How long a key is in use; a cookie is good in its period and the next.
const PERIOD: Time = 64 * SECOND;

/// A client that was given a cookie.
#[derive(Clone, Debug)]
pub(super) struct Given {
    realm: String,
    tuple: Tuple,
    proof: Proof,
    at: Time,
}

/// What a client proves itself with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proof {
    /// The first numbers, the client's and the firewall's.
    client: u32,
    cookie: u32,
    /// The segment size that the cookie remembers.
    mss: u16,
}

/// What is special about a connection that began with a cookie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relay {
    proof: Proof,
    /// How far ahead of the server's own numbers the client sees them, once the server has agreed.
    pub(super) ahead: Option<u32>,
}

/// Segments that the firewall makes itself: by which interface, to whom.
pub(crate) type Made = Vec<(String, Station, Packet)>;

impl Reference {
    /// Whether SYNs of an interface may be answered by cookies.
    pub(super) fn gives_cookies(&self, ingress: &str) -> bool {
        let profile = zone_of(&self.config, ingress).and_then(|zone| profile(&self.config, zone));
        let floods = profile.and_then(|profile| profile.floods[0]);
        !is_side(&self.config, ingress) && floods.is_some_and(|flood| flood.syn_cookies)
    }

    /// What a segment proves, if it brings a cookie back.
    pub(super) fn redeem(&self, ingress: &str, realm: &str, packet: &Packet) -> Option<Proof> {
        let Body::Tcp { flags, sequence, acknowledgment, .. } = packet.body else { return None };
        if flags & (SYN | ACK | FIN | RST) != ACK || !self.gives_cookies(ingress) {
            return None;
        }
        let given = self.given.iter().find(|given| {
            let numbers = (given.proof.client.wrapping_add(1), given.proof.cookie.wrapping_add(1));
            given.realm == realm
                && given.tuple == packet.tuple()
                && numbers == (sequence, acknowledgment)
                && self.now / PERIOD <= given.at / PERIOD + 1
        });
        given.map(|given| given.proof)
    }

    /// The answer to a SYN, but for its sequence number.
    pub(super) fn cookie(&self, ingress: &str, exit: &str, packet: &Packet) -> Expected {
        let v4 = packet.source.is_ipv4();
        let mut answer = packet.with_tuple(&packet.tuple().reversed());
        let Body::Tcp { source, destination, sequence, .. } = answer.body else { return DROP };
        let acknowledgment = sequence.wrapping_add(1);
        answer.body = Body::Tcp { source, destination, flags: SYN | ACK, sequence: 0, acknowledgment };
        (answer.ttl, answer.class, answer.fragmentable) = (64, 0, false);
        let room = if packet.mss > 0 { 24 } else { 20 } + packet.payload.len();
        answer.payload.clear();
        let mss =
            self.clamped([ingress, exit], v4, (mtu_of(&self.config, ingress) - if v4 { 40 } else { 60 }).max(536));
        answer.mss = if room < 24 { 0 } else { mss };
        Expected::Cookie(answer)
    }

    /// A client was given a cookie.
    pub(crate) fn give(&mut self, realm: String, packet: &Packet, cookie: u32) {
        let Body::Tcp { sequence, .. } = packet.body else { return };
        let sizes: [u16; 4] = match packet.source {
            IpAddr::V4(_) => [536, 1300, 1440, 1460],
            IpAddr::V6(_) => [536, 1220, 1420, 1440],
        };
        let fits = sizes.into_iter().rev().find(|size| *size <= packet.mss);
        let proof = Proof { client: sequence, cookie, mss: fits.unwrap_or(sizes[0]) };
        self.given.push(Given { realm, tuple: packet.tuple(), proof, at: self.now });
    }

    /// A proven client's session: the server is asked in its name.
    pub(super) fn ask(&mut self, at: usize, proof: Proof, packet: &Packet) -> Expected {
        let Some((tuple, interface, station)) = self.way(at, true) else { return DROP };
        let mut syn = packet.with_tuple(&tuple);
        let Body::Tcp { source, destination, .. } = syn.body else { return DROP };
        syn.body = Body::Tcp { source, destination, flags: SYN, sequence: proof.client, acknowledgment: 0 };
        (syn.ttl, syn.class, syn.fragmentable) = (64, 0, false);
        syn.payload.clear();
        let ingress = self.sessions[at].ingress.clone();
        syn.mss = self.clamped([&ingress, &interface], packet.source.is_ipv4(), proof.mss);
        self.sessions[at].relay = Some(Relay { proof, ahead: None });
        self.follow(at, true, &syn);
        self.used(at);
        let source = self.sessions[at].unlearned.clone();
        let header = None;
        Expected::Forward(Forward {
            interface,
            station,
            packet: syn,
            longest: 64,
            outer_longest: None,
            header,
            segment_bytes: 0,
            source,
            session: at,
        })
    }

    /// A packet of a connection whose server has not agreed yet; `None` for any other.
    pub(super) fn await_server(&mut self, at: usize, from_client: bool, packet: &Packet) -> Option<Expected> {
        let Relay { proof, .. } = self.sessions[at].relay.filter(|relay| relay.ahead.is_none())?;
        let Body::Tcp { flags, sequence, .. } = packet.body else { return None };
        let next = proof.client.wrapping_add(1);
        if from_client {
            if flags & RST != 0 && sequence == next {
                self.sessions.remove(at);
            }
            return Some(DROP);
        }
        if self.follow(at, false, packet) != Verdict::Pass {
            return Some(DROP);
        }
        self.count(at, false, packet);
        let mut made = Made::new();
        if flags & RST != 0 {
            made.extend(self.made(at, false, RST, proof.cookie.wrapping_add(1), next));
        } else if flags & (SYN | ACK) == SYN | ACK {
            let servers = sequence.wrapping_add(1);
            let done = self.made(at, true, ACK, next, servers);
            made.extend(self.made(at, false, ACK, proof.cookie.wrapping_add(1), next));
            if let Some(done) = &done {
                self.follow(at, true, &done.2);
            }
            made.extend(done);
            let ahead = Some(proof.cookie.wrapping_sub(sequence));
            self.sessions[at].relay = Some(Relay { proof, ahead });
        }
        self.used(at);
        Some(if made.is_empty() { DROP } else { Expected::Handshake(made) })
    }

    /// A segment of the firewall's own, to one end of a session.
    fn made(
        &self,
        at: usize,
        to_server: bool,
        flags: u8,
        sequence: u32,
        acknowledgment: u32,
    ) -> Option<(String, Station, Packet)> {
        let (tuple, interface, station) = self.way(at, to_server)?;
        let (source, destination) = (tuple.source_port, tuple.destination_port);
        let body = Body::Tcp { source, destination, flags, sequence, acknowledgment };
        let (source, destination) = (tuple.source, tuple.destination);
        let packet =
            Packet { source, destination, ttl: 64, class: 0, fragmentable: false, body, mss: 0, payload: Vec::new() };
        Some((interface, station, packet))
    }

    /// A segment size within what interfaces allow.
    fn clamped(&self, interfaces: [&str; 2], v4: bool, mss: u16) -> u16 {
        interfaces.into_iter().filter_map(|name| segment_limit(&self.config, name, v4)).fold(mss, u16::min)
    }

    /// Whether a segment asks the server of a connection that began with a cookie: as often as it likes.
    pub(crate) fn may_ask(&self, interface: &str, packet: &Packet) -> bool {
        let asks = |session: &Session| {
            let exit = matches!(&session.kind, Kind::Forward { exit, .. } if exit == interface)
                || session.learned[SERVER].is_some() && is_side(&self.config, interface);
            exit && session.relay.is_some_and(|relay| relay.ahead.is_none())
                && session.server.tuple.reversed() == packet.tuple()
        };
        let syn = matches!(packet.body, Body::Tcp { flags: SYN, .. });
        syn && self.sessions.iter().chain(&self.before).any(asks)
    }
}

impl Relay {
    /// A packet as the server's side of the firewall sees it.
    pub(super) fn unshifted(&self, from_client: bool, packet: &Packet) -> Packet {
        let mut packet = packet.clone();
        if let (Body::Tcp { acknowledgment, flags, .. }, Some(ahead), true) =
            (&mut packet.body, self.ahead, from_client)
            && *flags & ACK != 0
        {
            *acknowledgment = acknowledgment.wrapping_sub(ahead);
        }
        packet
    }

    /// A packet of the server's as the client sees it.
    pub(super) fn shifted(&self, from_client: bool, packet: &Packet) -> Packet {
        let mut packet = packet.clone();
        if let (Body::Tcp { sequence, .. }, Some(ahead), false) = (&mut packet.body, self.ahead, from_client) {
            *sequence = sequence.wrapping_add(ahead);
        }
        packet
    }
}
