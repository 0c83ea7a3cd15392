//! How do datagrams pass that come, or have to leave, in fragments?
//!
//! Rules and sessions need ports, which only the first fragment has: a datagram is put together, goes through
//! the stages as one packet, and is cut again when it leaves, into fragments no longer than those it came in.
//!
//! All fragments of a datagram meet at the worker that their addresses name; the datagram is handed on from
//! there if its ports name another. Nobody is told that a datagram was given up: that is for the host it was
//! sent to (RFC 792, RFC 8200 section 4.5), which sees as many of its fragments as the firewall forwards: none.

pub(crate) mod reassembly;

use bartizan_packet::fragment::{self, Piece};
use bartizan_packet::frame::{Checksum, Frame, Meta};
use bartizan_packet::parse::{Packet, Parsed, parse};
use bartizan_packet::rewrite;

use crate::engine::Engine;
use crate::fragments::reassembly::{Id, Whole};
use crate::ingress::Arrival;
use crate::pipeline::{Staged, drop};
use crate::steer::fragment_worker_for;
use crate::tunnel::set_kind;
use crate::verdict::{DropReason, Port, Verdict};

impl Engine {
    /// Keeps a fragment until its datagram is whole; the reassembly then has it.
    pub(crate) fn collect(&mut self, arrival: &Arrival, frame: &mut Frame<'_>, packet: &Packet) -> Staged<Verdict> {
        let home = fragment_worker_for(packet.source, packet.destination, self.settings.workers);
        if home != self.settings.worker {
            return Ok(Verdict::Handoff(home));
        }
        self.counters.fragments_received += 1;
        if self.tunnels.is_inside() {
            set_kind(frame.bytes);
        }
        // Fragments of fragments do not exist, nor do fragments whose checksum the NIC is to finish.
        if frame.meta.fragment_bytes != 0 || frame.meta.checksum != Checksum::Complete {
            return drop(DropReason::Malformed);
        }
        let Ok(piece) = Piece::read(frame.bytes, packet) else { return drop(DropReason::Malformed) };
        if piece.offset == 0 && !piece.holds_headers(frame.bytes, packet) {
            return drop(DropReason::FragmentTiny);
        }
        let id = Id::of(arrival.port, packet, &piece);
        match self.reassembly.add(id, &piece, frame.bytes, packet, self.now, &mut self.counters) {
            Ok(()) => Ok(Verdict::Consumed),
            Err(reason) => drop(reason),
        }
    }

    /// Handles a datagram that has just become whole.
    pub(crate) fn run_whole(&mut self, port: Port, mut whole: Whole) -> Verdict {
        self.counters.datagrams_reassembled += 1;
        let meta = Meta { fragment_bytes: whole.fragment_bytes, ..Meta::default() };
        match self.run(port, &mut Frame { bytes: &mut whole.bytes, meta }) {
            Verdict::Handoff(to) if self.tunnels.is_inside() => {
                // The owner has to know the tunnel, too.
                if let Some((port, bytes)) = self.tunnels.put_back(&whole.bytes) {
                    let meta = Meta { inner_fragment_bytes: whole.fragment_bytes, ..Meta::default() };
                    self.outbox.hand_over(to, port, bytes, meta, &mut self.counters);
                }
                Verdict::Consumed
            }
            Verdict::Handoff(to) => {
                self.outbox.hand_over(to, port, whole.bytes, meta, &mut self.counters);
                Verdict::Consumed
            }
            verdict => verdict,
        }
    }

    /// Sends a finished frame, in fragments if it has to leave in them.
    pub(crate) fn transmit(&mut self, port: Port, mut bytes: Vec<u8>, meta: Meta) {
        if meta.fragment_bytes == 0 {
            self.outbox.transmit(port, bytes, meta, &mut self.counters);
        } else {
            self.send_fragments(port, &mut bytes, meta);
        }
    }

    /// Sends a finished frame in IP packets of at most `meta.fragment_bytes`.
    pub(crate) fn send_fragments(&mut self, port: Port, bytes: &mut [u8], meta: Meta) {
        if self.tunnels.is_inside() {
            set_kind(bytes);
        }
        let Ok(Parsed::Ip(packet)) = parse(bytes, meta) else { return };
        if let Checksum::Partial { start, offset } = meta.checksum {
            rewrite::finish_partial(bytes, usize::from(start), usize::from(offset), packet.end);
        }
        let limit = usize::from(meta.fragment_bytes);
        // Without its fragment headers an IPv6 datagram may fit.
        if packet.ip_bytes() <= limit {
            let whole = bytes.get(..packet.end).unwrap_or_default().to_vec();
            self.send_on(port, whole);
            return;
        }
        let identification = self.random() as u32;
        self.counters.datagrams_fragmented += 1;
        for fragment in fragment::cut(bytes, &packet, limit, identification) {
            self.counters.fragments_sent += 1;
            self.send_on(port, fragment);
        }
    }

    /// A packet on its way through: out by a port, or into the tunnel of the packet in hand.
    fn send_on(&mut self, port: Port, bytes: Vec<u8>) {
        if self.is_tunnel(port) {
            self.pass_into_tunnel(port, &bytes);
        } else {
            self.outbox.transmit(port, bytes, Meta::default(), &mut self.counters);
        }
    }

    /// Gives an IPv4 datagram an identification that no other one of the same address has for some time.
    pub(crate) fn identify(&mut self, frame: &mut Frame<'_>, packet: &Packet) {
        if packet.is_v4() {
            self.identifications = self.identifications.wrapping_add(1);
            let workers = self.settings.workers.max(1);
            let own = self.identifications.wrapping_mul(workers).wrapping_add(self.settings.worker);
            fragment::identify(frame.bytes, packet, own);
        }
    }
}
