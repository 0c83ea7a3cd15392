//! What does the packet say when it leaves?

use bartizan_packet::frame::Frame;
use bartizan_packet::parse::Packet;
use bartizan_packet::rewrite;

use crate::engine::Engine;
use crate::session::{Direction, Kind};
use crate::table::Slot;

impl Engine {
    /// Addresses, ports and TTL, with their checksums.
    #[inline]
    pub(crate) fn rewrite(&mut self, slot: Slot, direction: Direction, frame: &mut Frame<'_>, packet: &Packet) {
        let session = &self.table[slot];
        if session.translated {
            session.sides[direction.index()].change.apply(frame.bytes, packet, &session.leaving(direction));
            // Hosts behind one address do not agree on identifications.
            if frame.meta.fragment_bytes != 0 && session.leaving(direction).source != packet.source {
                self.identify(frame, packet);
            }
        }
        let session = &self.table[slot];
        // Between a client and the host's own TCP the firewall is the end, not a hop.
        if session.kind == Kind::Forward {
            rewrite::hop(frame.bytes, packet);
        }
    }
}
