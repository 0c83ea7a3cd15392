//! Which session is this ICMP error about, and how must it be translated?
//!
//! An error quotes the packet it is about as that packet looked on the far side. It travels with the
//! opposite direction of the session, and the quotation is translated back, so that the receiver
//! recognises what it sent.

use bartizan_packet::frame::Frame;
use bartizan_packet::parse::{Embedded, Packet};
use bartizan_packet::rewrite::{self, Tuple};

use crate::engine::Engine;
use crate::ingress::Arrival;
use crate::key::Key;
use crate::pipeline::{Place, Staged, drop};
use crate::rematch::Rematch;
use crate::session::{Direction, Kind};
use crate::table::Slot;
use crate::verdict::{DropReason, Verdict};

impl Engine {
    /// Translates and forwards an error, or drops it when it is about no session.
    pub(crate) fn icmp_error(&mut self, arrival: &Arrival, frame: &mut Frame<'_>, packet: &Packet) -> Staged<Verdict> {
        let Ok(quoted) = Embedded::read(frame.bytes, packet) else { return drop(DropReason::Malformed) };
        if !packet.partial && !rewrite::icmp_is_intact(frame.bytes, packet) {
            return drop(DropReason::BadChecksum);
        }
        // An error goes to whoever sent the packet it is about, or it is forged.
        if quoted.source != packet.destination {
            return drop(DropReason::IcmpUnrelated);
        }
        let key = Key::answering(&quoted, arrival.realm);
        let (slot, direction) = match self.lookup_arrived(&key, arrival) {
            Place::Here(slot, direction) => (slot, direction),
            Place::Elsewhere(worker) => return Ok(Verdict::Handoff(worker)),
            Place::Returning(slot, direction) => return self.error_comes_back(slot, direction, arrival),
            Place::Nowhere | Place::Taken => return drop(DropReason::IcmpUnrelated),
        };
        if self.table[slot].generation != self.generation && self.rematch(slot) == Rematch::Gone {
            return drop(DropReason::IcmpUnrelated);
        }
        match self.table[slot].kind {
            Kind::Forward | Kind::Wire | Kind::Node | Kind::Hairpin | Kind::LocalService => {}
            Kind::LocalEcho => return drop(DropReason::IcmpUnrelated),
            Kind::Refused => return drop(DropReason::Policy),
        }
        self.hop(slot, direction, arrival, frame, packet)?;
        self.translate_error(slot, direction, frame, packet, &quoted);
        self.count(slot, direction, arrival);
        self.forward(slot, direction, frame)
    }

    /// An error that looks as if the firewall had sent it to the pod.
    fn error_comes_back(&mut self, slot: Slot, direction: Direction, arrival: &Arrival) -> Staged<Verdict> {
        if self.table[slot].generation != self.generation && self.rematch(slot) == Rematch::Gone {
            return drop(DropReason::IcmpUnrelated);
        }
        match self.table[slot].kind {
            Kind::Forward | Kind::Wire | Kind::Node | Kind::Hairpin => {}
            Kind::LocalEcho | Kind::LocalService => return drop(DropReason::IcmpUnrelated),
            Kind::Refused => return drop(DropReason::Policy),
        }
        if !self.take_back(slot, direction, arrival)? {
            self.count(slot, direction, arrival);
        }
        self.deliver(arrival)
    }

    fn translate_error(
        &mut self,
        slot: Slot,
        direction: Direction,
        frame: &mut Frame<'_>,
        packet: &Packet,
        quoted: &Embedded,
    ) {
        let session = &self.table[slot];
        let old = session.sides[direction.index()].key.tuple();
        let new = session.leaving(direction);
        let echo = matches!(quoted.protocol, 1 | 58);
        // A router on the way keeps its own address; if the server is hidden, so is the router.
        let source = if old.source == new.source { packet.source } else { new.source };
        let outer_old =
            Tuple { source: packet.source, destination: packet.destination, source_port: 0, destination_port: 0 };
        let outer_new = Tuple { source, destination: new.destination, source_port: 0, destination_port: 0 };
        rewrite::Change::new(&outer_old, &outer_new).apply_addresses(frame.bytes, packet, &outer_new);
        let quoted_new = Tuple {
            source: new.destination,
            destination: new.source,
            source_port: if echo { new.source_port } else { new.destination_port },
            destination_port: if echo { 0 } else { new.source_port },
        };
        rewrite::embedded(frame.bytes, packet, quoted, &quoted_new);
        self.shift_error(slot, direction, frame, packet, quoted);
        frame.meta.checksum = bartizan_packet::frame::Checksum::Complete;
        if session.kind == Kind::Forward {
            rewrite::hop(frame.bytes, packet);
        }
    }

    /// Errors are counted but keep no session alive.
    fn count(&mut self, slot: Slot, direction: Direction, arrival: &Arrival) {
        let count = &mut self.table[slot].sides[direction.index()].counts;
        count.0 += arrival.wire.0;
        count.1 += arrival.wire.1;
    }
}
