//! What happens to a frame, in order?
//!
//! Each stage is a file of its name and either goes on or ends the frame with a verdict. The order below
//! is the order of the code in this file. Plain packets of sessions that are up are asked all of it in one
//! go, see [`crate::plain`], and come here only when something is not as usual.

use bartizan_packet::frame::{Frame, Meta};
use bartizan_packet::parse::{Layer4, Packet, Parsed, parse};

use crate::engine::Engine;
use crate::ingress::Arrival;
use crate::key::Key;
use crate::relay::{Handshake, shift, unshifted};
use crate::rematch::Rematch;
use crate::screen::is_link_local;
use crate::session::{Direction, Kind};
use crate::table::Slot;
use crate::verdict::{DropReason, EndReason, Port, Verdict};

/// The stages: name and what each does. `packet` in the third place marks what every packet goes
/// through, `first` what only the first packet of a session does.
pub const STAGES: &[(&str, &str, &str)] = &[
    ("parse", "packet", "lengths, header checksum, offsets; what cannot be read is dropped"),
    ("tunnel", "packet", "VXLAN and GENEVE for us: the packet inside goes on, by a side of its traffic object"),
    (
        "ingress",
        "packet",
        "is the frame for us, by a port with zone and router; ARP, NDP, router advertisements and DHCP replies end here",
    ),
    (
        "protection",
        "packet",
        "what the zone's protection profile refuses: headers, blocked sources; of first packets also floods, scans and spoofed sources",
    ),
    ("fragments", "packet", "fragments wait for the rest of their datagram, which goes on as one packet"),
    ("lookup", "packet", "the session of the flow, here or at another worker"),
    ("icmp", "packet", "errors belong to the session of the packet they quote"),
    ("screen", "first", "LAND, spoofed sources, groups, TCP that opens nothing"),
    ("decide", "first", "destination NAT, route, zones and security rule, by the compiled tables"),
    ("nat", "first", "an address and port for the source"),
    ("host", "first", "own addresses: ping and health checks, nothing else"),
    ("relay", "first", "after a SYN cookie came back the server is asked; later packets have its numbers moved"),
    ("install", "first", "both directions enter the session table; refused flows enter as such"),
    ("rematch", "packet", "a session older than the tables is asked again"),
    ("reject", "packet", "refused: drop, and answer with a reset or ICMP error if the rule says so"),
    ("hop", "packet", "TTL and MTU; what is too big leaves in fragments, if it may"),
    ("tcp", "packet", "connection state"),
    ("rewrite", "packet", "addresses, ports, TTL and their checksums"),
    ("mss", "packet", "TCP handshakes agree on no larger segments than the interfaces allow"),
    ("forward", "packet", "the neighbour's MAC, or wait for it"),
];

/// A stage that goes on gives its result; one that ends the frame gives the verdict.
pub(crate) type Staged<T> = Result<T, Verdict>;

/// Ends a frame.
pub(crate) fn drop<T>(reason: DropReason) -> Staged<T> {
    Err(Verdict::Drop(reason))
}

/// Where a flow's session is.
pub(crate) enum Place {
    Here(Slot, Direction),
    /// A packet that the firewall seems to have sent to its receiver, in this direction of a session.
    Returning(Slot, Direction),
    Elsewhere(u16),
    Nowhere,
    /// Another session's packets leave like this one looks, and not by a way it could have come from.
    Taken,
}

impl Engine {
    /// A frame that came by an interface.
    pub(crate) fn run(&mut self, port: Port, frame: &mut Frame<'_>) -> Verdict {
        let headroom = frame.meta.headroom;
        let meta = Meta { headroom: 0, ..frame.meta };
        let bytes = frame.bytes.get_mut(usize::from(headroom)..).unwrap_or_default();
        let parsed = match parse(bytes, meta) {
            Ok(parsed) => parsed,
            Err(malformed) => {
                self.counters.rx_packets += 1;
                let reason = crate::ingress::malformed(malformed);
                self.counters.drop_packets(reason, 1);
                return Verdict::Drop(reason);
            }
        };
        if let Parsed::Ip(packet) = &parsed
            && let Some(encapsulation) = self.tunnel_packet(port, bytes, packet)
        {
            return self.run_tunnel(port, frame, packet, encapsulation);
        }
        let mut view = Frame { bytes, meta };
        let verdict = self.run_parsed(port, &mut view, &parsed);
        frame.meta = Meta { headroom, ..view.meta };
        match (verdict, &parsed) {
            (Verdict::Transmit(side), Parsed::Ip(packet)) if self.is_tunnel(side) => {
                let start = usize::from(headroom);
                self.enter_tunnel(side, frame, start + packet.network, start + packet.end)
            }
            _ => verdict,
        }
    }

    /// A frame without headroom, from the stages to the counters.
    pub(crate) fn run_parsed(&mut self, port: Port, frame: &mut Frame<'_>, parsed: &Parsed) -> Verdict {
        // The fragments of a datagram were counted when they came in.
        let reassembled = frame.meta.fragment_bytes != 0;
        let wire = match parsed {
            Parsed::Ip(packet) => packet.wire(frame.meta),
            Parsed::Arp | Parsed::Other(_) => (1, 0),
        };
        let verdict = self.stages(port, frame, parsed, wire).unwrap_or_else(|verdict| verdict);
        if let Verdict::Handoff(_) = verdict {
            // It is received where it is handled.
            self.counters.handoffs += 1;
            return verdict;
        }
        if !reassembled {
            self.counters.rx_packets += wire.0;
            self.counters.rx_bytes += wire.1;
        }
        match verdict {
            Verdict::Transmit(port) if frame.meta.fragment_bytes != 0 => {
                self.send_fragments(port, frame.bytes, frame.meta);
                self.tunnels.forget_way();
                return Verdict::Consumed;
            }
            // What goes into a tunnel is counted there.
            Verdict::Transmit(port) if self.is_tunnel(port) => {}
            Verdict::Transmit(_) => {
                self.counters.tx_packets += wire.0;
                self.counters.tx_bytes += wire.1;
            }
            Verdict::Drop(reason) => {
                self.counters.drop_packets(reason, wire.0);
                self.log_drop(reason, port, parsed, wire);
            }
            Verdict::Consumed => {
                if let Some(whole) = self.reassembly.take_whole() {
                    return self.run_whole(port, whole);
                }
            }
            Verdict::Handoff(_) => {}
        }
        verdict
    }

    fn stages(&mut self, port: Port, frame: &mut Frame<'_>, parsed: &Parsed, wire: (u64, u64)) -> Staged<Verdict> {
        let (arrival, packet) = self.ingress(port, frame, parsed, wire)?;
        if packet.fragment {
            return self.collect(&arrival, frame, packet);
        }
        if packet.layer4 == Layer4::IcmpError {
            return self.icmp_error(&arrival, frame, packet);
        }
        let key = Key::of(packet, arrival.realm);
        match self.lookup_arrived(&key, &arrival) {
            Place::Here(slot, direction) => self.established(slot, direction, &arrival, frame, packet, &key),
            Place::Elsewhere(worker) => Ok(Verdict::Handoff(worker)),
            Place::Returning(slot, direction) => self.come_back(slot, direction, &arrival, frame, packet, &key),
            Place::Nowhere => self.open(&arrival, frame, packet, &key),
            Place::Taken => drop(DropReason::NatCollision),
        }
    }

    /// The first packet of a session.
    pub(crate) fn open(
        &mut self,
        arrival: &Arrival,
        frame: &mut Frame<'_>,
        packet: &Packet,
        key: &Key,
    ) -> Staged<Verdict> {
        if let Some(verdict) = self.hear_echo(arrival, frame, packet) {
            return Ok(verdict);
        }
        let (iface, handshake) = self.screen(arrival, packet, key)?;
        if is_link_local(packet.destination) {
            return self.reply_to_echo(arrival, frame, packet);
        }
        let decision = self.decide(iface, packet)?;
        if handshake == Handshake::Ask && decision.may_be_relayed() {
            return self.ask_back(arrival, frame, packet, key, &decision);
        }
        self.hits.count(&decision.0, self.now);
        if decision.refuses() {
            return self.refuse(arrival, iface, frame, packet, key, &decision);
        }
        if let Handshake::Proven(proof) = handshake {
            return self.open_relay(arrival, iface, packet, key, &decision, proof);
        }
        let plan = self.plan(iface, packet, key, &decision)?;
        let slot = self.install_session(arrival, iface, packet, key, &decision, plan);
        self.session_packet(slot, Direction::ClientToServer, arrival, frame, packet, key)
    }

    /// A packet of a session that exists.
    fn established(
        &mut self,
        slot: Slot,
        direction: Direction,
        arrival: &Arrival,
        frame: &mut Frame<'_>,
        packet: &Packet,
        key: &Key,
    ) -> Staged<Verdict> {
        // A pod said that this client sent it something; now the client's own tunnel tells.
        if direction == Direction::ClientToServer
            && self.is_hairpin(self.table.record(slot).ingress)
            && !self.tunnels.is_hairpin()
        {
            self.end(slot, EndReason::Moved);
            return self.open(arrival, frame, packet, key);
        }
        if self.table[slot].generation != self.generation {
            match self.rematch(slot) {
                Rematch::Kept => {}
                // A packet of its server's came here for this session only.
                Rematch::Gone => {
                    return match self.elsewhere(key) {
                        Some(worker) => Ok(Verdict::Handoff(worker)),
                        None => self.open(arrival, frame, packet, key),
                    };
                }
            }
        }
        self.session_packet(slot, direction, arrival, frame, packet, key)
    }

    fn session_packet(
        &mut self,
        slot: Slot,
        direction: Direction,
        arrival: &Arrival,
        frame: &mut Frame<'_>,
        packet: &Packet,
        key: &Key,
    ) -> Staged<Verdict> {
        let kind = self.table[slot].kind;
        if kind == Kind::Refused {
            return self.reject(slot, direction, arrival, frame, packet);
        }
        if kind == Kind::LocalEcho {
            return self.answer_echo(slot, arrival, frame, packet);
        }
        let relayed = self.relay_of(slot);
        if let Some(verdict) = self.await_server(slot, relayed, direction, arrival, packet)? {
            return Ok(verdict);
        }
        let ahead = relayed.and_then(|relay| relay.ahead());
        // A packet that ends here says nothing to the other side, so it does not move the connection.
        self.hop(slot, direction, arrival, frame, packet)?;
        let shifted;
        let seen = match ahead {
            None => packet,
            Some(ahead) => {
                shifted = unshifted(direction, packet, ahead);
                &shifted
            }
        };
        if !self.follow(slot, direction, seen)? {
            self.reopened = self.table.record(slot).lease;
            self.end(slot, EndReason::TcpFin);
            let verdict = self.open(arrival, frame, packet, key);
            self.reopened = None;
            return verdict;
        }
        self.touch(slot, direction, arrival.wire);
        if kind != Kind::Wire {
            self.refresh_tunnel(slot, direction);
        }
        self.rewrite(slot, direction, frame, packet);
        if let Some(ahead) = ahead {
            shift(direction, frame, packet, ahead);
        }
        self.clamp_mss(slot, direction, arrival.port, frame, packet);
        self.forward(slot, direction, frame)
    }
}
