//! How does a connection go on that the firewall opened by itself, after a SYN cookie came back?
//!
//! The client has an answer of the firewall's making, with a receive window of nothing, so that it waits.
//! The firewall asks the server in the client's name. When the server agrees, its sequence numbers are
//! moved to where the client believes them, and the client is told that it may send. From then on the
//! connection is like any other, but for that distance.

use bartizan_model::device::Distribution;
use bartizan_packet::answer::Link;
use bartizan_packet::ethernet;
use bartizan_packet::frame::Frame;
use bartizan_packet::handshake::{self, MSS_DEFAULT, Segment};
use bartizan_packet::parse::{Embedded, Flags, Layer4, Packet, Tcp};
use bartizan_packet::sequence;
use bartizan_policy::tables::{DestinationNat, IfaceId, Route};

use crate::decide::Ruled;
use crate::engine::Engine;
use crate::ingress::Arrival;
use crate::key::Key;
use crate::path::PathRef;
use crate::pipeline::{Staged, drop};
use crate::session::Direction;
use crate::settings::SECOND;
use crate::table::Slot;
use crate::verdict::{DropReason, EndReason, Port, Verdict};

/// How often a server is asked, and how long an answer may take before it is asked again.
const TRIES: u8 = 4;
pub(crate) const PATIENCE: u64 = SECOND;

/// Headers of the packets that an MSS is about.
const HEADERS_V4: u16 = 40;
const HEADERS_V6: u16 = 60;

/// A client that proved where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    /// The client's initial sequence number.
    client: u32,
    /// The firewall's.
    cookie: u32,
    mss: u16,
    /// What the client can take.
    window: u16,
}

/// What the first packet of a flow is to the firewall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// None of its business.
    Through,
    /// To be answered by a cookie.
    Ask,
    /// The answer to one.
    Proven(Proof),
}

/// What is special about a connection that began with a cookie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relay {
    proof: Proof,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The server was asked so many times.
    Asking(u8),
    /// The client sees the server's numbers this much ahead of what they are.
    Open(u32),
}

impl Engine {
    /// The cookie that an acknowledgment brings back, if it does.
    pub(crate) fn redeem(&mut self, iface: IfaceId, packet: &Packet, key: &Key) -> Option<Proof> {
        let Layer4::Tcp(tcp) = packet.layer4 else { return None };
        let plain = tcp.flags.ack() && !(tcp.flags.syn() || tcp.flags.fin() || tcp.flags.rst());
        if !plain || !self.gives_cookies(iface) {
            return None;
        }
        let (client, cookie) = (tcp.sequence.wrapping_sub(1), tcp.acknowledgment.wrapping_sub(1));
        match self.cookies.check(key, client, cookie, self.now) {
            Some(mss) => Some(Proof { client, cookie, mss, window: tcp.window }),
            None => {
                self.counters.cookies_refused += 1;
                None
            }
        }
    }

    /// Answers a SYN with a cookie, in its own frame, and forgets it.
    pub(crate) fn ask_back(
        &mut self,
        arrival: &Arrival,
        frame: &mut Frame<'_>,
        packet: &Packet,
        key: &Key,
        ruled: &Ruled,
    ) -> Staged<Verdict> {
        let Layer4::Tcp(tcp) = packet.layer4 else { return drop(DropReason::TcpState) };
        let Some(mac) = self.mac_of(arrival.port) else { return drop(DropReason::PortDown) };
        // The session takes its turn when the client has proven where it is.
        if let (Some(DestinationNat { spread: Some(Distribution::RoundRobin), .. }), Some(rule)) =
            (ruled.0.destination_nat, ruled.0.nat_rule)
        {
            self.spreads.give_back(rule);
        }
        let mss = handshake::mss(frame.bytes, packet).unwrap_or(MSS_DEFAULT);
        let headers = if packet.is_v4() { HEADERS_V4 } else { HEADERS_V6 };
        let exit = if let Route::Via { iface, .. } = ruled.0.route { Port::Data(iface) } else { Port::Local };
        let fits = self.mtu(arrival.port).saturating_sub(headers).max(MSS_DEFAULT);
        let answer = Segment {
            source: packet.destination,
            destination: packet.source,
            source_port: tcp.destination_port,
            destination_port: tcp.source_port,
            sequence: self.cookies.make(key, tcp.sequence, mss, self.now),
            acknowledgment: tcp.sequence.wrapping_add(1),
            flags: Flags::SYN | Flags::ACK,
            // The client waits until the server is there.
            window: 0,
            mss: self.mss_limit([arrival.port, exit], packet.is_v4()).into_iter().chain([fits]).min(),
        };
        answer.replace(frame, packet);
        ethernet::address(frame.bytes, arrival.station, mac);
        self.counters.cookies_sent += 1;
        Ok(Verdict::Transmit(arrival.port))
    }

    /// Opens the session of a client that proved where it is, and asks the server.
    pub(crate) fn open_relay(
        &mut self,
        arrival: &Arrival,
        iface: IfaceId,
        packet: &Packet,
        key: &Key,
        ruled: &Ruled,
        proof: Proof,
    ) -> Staged<Verdict> {
        let Layer4::Tcp(tcp) = packet.layer4 else { return drop(DropReason::TcpNotSyn) };
        if !ruled.may_be_relayed() {
            return drop(DropReason::TcpNotSyn);
        }
        let plan = self.plan(iface, packet, key, ruled)?;
        let slot = self.install_session(arrival, iface, packet, key, ruled, plan);
        self.counters.cookies_accepted += 1;
        let relay = Relay { proof, stage: Stage::Asking(0) };
        self.relays.insert(slot, relay);
        let syn = as_if(packet, &tcp, proof.client, 0, Flags::SYN);
        self.follow(slot, Direction::ClientToServer, &syn)?;
        self.touch(slot, Direction::ClientToServer, arrival.wire);
        self.ask_server(slot);
        Ok(Verdict::Consumed)
    }

    /// A packet of a relayed connection whose server has not agreed yet; `None` when it has.
    pub(crate) fn await_server(
        &mut self,
        slot: Slot,
        relayed: Option<Relay>,
        direction: Direction,
        arrival: &Arrival,
        packet: &Packet,
    ) -> Staged<Option<Verdict>> {
        let Some(relay) = relayed else { return Ok(None) };
        let (Stage::Asking(_), Layer4::Tcp(tcp)) = (relay.stage, packet.layer4) else { return Ok(None) };
        match direction {
            Direction::ClientToServer if tcp.flags.rst() && tcp.sequence == relay.proof.client.wrapping_add(1) => {
                self.end(slot, EndReason::TcpRstFromClient);
                Ok(Some(Verdict::Consumed))
            }
            Direction::ClientToServer => drop(DropReason::HandshakePending),
            Direction::ServerToClient => {
                self.follow(slot, direction, packet)?;
                self.touch(slot, direction, arrival.wire);
                if tcp.flags.rst() {
                    self.tell_client(slot, &relay, Flags::RST, relay.proof.client.wrapping_add(1), 0);
                } else if tcp.flags.syn() && tcp.flags.ack() {
                    self.join(slot, &relay, packet, &tcp)?;
                }
                Ok(Some(Verdict::Consumed))
            }
        }
    }

    /// What is special about a session, if anything is.
    #[inline]
    pub(crate) fn relay_of(&self, slot: Slot) -> Option<Relay> {
        if self.relays.is_empty() { None } else { self.relays.get(&slot).copied() }
    }

    /// Whether the server of a session is still to answer.
    pub(crate) fn is_asking(&self, slot: Slot) -> bool {
        self.relay_of(slot).is_some_and(|relay| matches!(relay.stage, Stage::Asking(_)))
    }

    /// Moves the number that an ICMP error quotes, if it quotes the server.
    pub(crate) fn shift_error(
        &self,
        slot: Slot,
        direction: Direction,
        frame: &mut Frame<'_>,
        packet: &Packet,
        quoted: &Embedded,
    ) {
        let ahead = self.relay_of(slot).and_then(|relay| relay.ahead());
        if let (Direction::ClientToServer, Some(ahead)) = (direction, ahead) {
            sequence::shift_quoted(frame.bytes, packet, quoted, ahead.wrapping_neg());
        }
    }

    /// Asks a server again that did not answer.
    pub(crate) fn ask_again(&mut self, slot: Slot) {
        if let Some(Relay { stage: Stage::Asking(1..TRIES), .. }) = self.relay_of(slot) {
            self.ask_server(slot);
        }
    }

    /// A SYN to the server, in the client's name.
    fn ask_server(&mut self, slot: Slot) {
        let Some(relay) = self.relays.get_mut(&slot) else { return };
        if let Stage::Asking(tries) = &mut relay.stage {
            *tries += 1;
        }
        let relay = *relay;
        let mut syn =
            self.segment(slot, Direction::ClientToServer, Flags::SYN, relay.proof.client, 0, relay.proof.window);
        let record = self.table.record(slot);
        let passed = [record.ingress, record.egress].map(Port::Data);
        syn.mss = self.mss_limit(passed, syn.source.is_ipv4()).into_iter().chain([relay.proof.mss]).min();
        self.send_along(slot, Direction::ClientToServer, &syn);
        self.wheel.schedule(slot, self.now.after(PATIENCE));
    }

    /// The server agreed: the handshake is completed, and the client may send.
    fn join(&mut self, slot: Slot, relay: &Relay, packet: &Packet, tcp: &Tcp) -> Staged<()> {
        let Proof { client, cookie, .. } = relay.proof;
        let (next, servers) = (client.wrapping_add(1), tcp.sequence.wrapping_add(1));
        let ack = as_if(packet, &Tcp { window: relay.proof.window, ..*tcp }, next, servers, Flags::ACK);
        self.follow(slot, Direction::ClientToServer, &ack)?;
        let ahead = cookie.wrapping_sub(tcp.sequence);
        if let Some(relay) = self.relays.get_mut(&slot) {
            relay.stage = Stage::Open(ahead);
        }
        let done = self.segment(slot, Direction::ClientToServer, Flags::ACK, next, servers, relay.proof.window);
        self.send_along(slot, Direction::ClientToServer, &done);
        self.tell_client(slot, relay, Flags::ACK, next, tcp.window);
        Ok(())
    }

    fn tell_client(&mut self, slot: Slot, relay: &Relay, flags: u8, acknowledgment: u32, window: u16) {
        let sequence = relay.proof.cookie.wrapping_add(1);
        let told = self.segment(slot, Direction::ServerToClient, flags, sequence, acknowledgment, window);
        self.send_along(slot, Direction::ServerToClient, &told);
    }

    fn segment(
        &self,
        slot: Slot,
        direction: Direction,
        flags: u8,
        sequence: u32,
        acknowledgment: u32,
        window: u16,
    ) -> Segment {
        let says = self.table[slot].leaving(direction);
        Segment {
            source: says.source,
            destination: says.destination,
            source_port: says.source_port,
            destination_port: says.destination_port,
            sequence,
            acknowledgment,
            flags,
            window,
            mss: None,
        }
    }

    /// Sends a segment the way the session's packets go.
    fn send_along(&mut self, slot: Slot, direction: Direction, segment: &Segment) {
        let unknown = self.table[slot].sides[direction.index()].path == PathRef::NONE;
        // Without a way the session is over, and with it what is to be sent.
        if unknown && self.find_path(slot, direction).is_err() {
            return;
        }
        let mut bytes = segment.frame(Link { source: [0; 6], destination: [0; 6] });
        if let Ok(Verdict::Transmit(port)) = self.forward(slot, direction, &mut Frame::new(&mut bytes)) {
            if self.is_tunnel(port) {
                self.pass_into_tunnel(port, &bytes);
                self.tunnels.forget_way();
            } else {
                self.send(port, bytes);
            }
        }
    }
}

impl Relay {
    /// How far ahead of the server's own numbers the client sees them, once the server has agreed.
    #[inline]
    pub(crate) fn ahead(&self) -> Option<u32> {
        match self.stage {
            Stage::Open(ahead) => Some(ahead),
            Stage::Asking(_) => None,
        }
    }
}

/// What the tracking is to see of a packet: the server's own numbers.
pub(crate) fn unshifted(direction: Direction, packet: &Packet, ahead: u32) -> Packet {
    match (packet.layer4, direction) {
        (Layer4::Tcp(tcp), Direction::ClientToServer) => {
            let acknowledgment = tcp.acknowledgment.wrapping_sub(ahead);
            Packet { layer4: Layer4::Tcp(Tcp { acknowledgment, ..tcp }), ..*packet }
        }
        _ => *packet,
    }
}

/// Moves the numbers of a packet that is forwarded.
pub(crate) fn shift(direction: Direction, frame: &mut Frame<'_>, packet: &Packet, ahead: u32) {
    match (packet.layer4, direction) {
        (Layer4::Tcp(_), Direction::ServerToClient) => sequence::shift_sequence(frame.bytes, packet, ahead),
        (Layer4::Tcp(tcp), Direction::ClientToServer) if tcp.flags.ack() => {
            sequence::shift_acknowledgment(frame.bytes, packet, ahead.wrapping_neg());
        }
        _ => {}
    }
}

/// A segment that nobody sent, for the tracking.
fn as_if(packet: &Packet, tcp: &Tcp, sequence: u32, acknowledgment: u32, flags: u8) -> Packet {
    let flags = Flags(flags);
    let tcp = Tcp { sequence, acknowledgment, flags, payload_bytes: 0, header_bytes: 20, ..*tcp };
    Packet { layer4: Layer4::Tcp(tcp), ..*packet }
}
