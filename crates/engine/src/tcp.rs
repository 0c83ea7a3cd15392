//! Does this packet fit its session, and how long may the session now be silent?

pub(crate) mod tracking;

use bartizan_packet::parse::{Layer4, Packet};

use crate::engine::Engine;
use crate::pipeline::{Staged, drop};
use crate::session::Direction;
use crate::table::Slot;
use crate::tcp::tracking::{Judgement, flags_are_sane};
use crate::verdict::{DropReason, EndReason, SessionState};

impl Engine {
    /// Follows the connection. `false` when the packet opens a new one in the place of a closed one.
    pub(crate) fn follow(&mut self, slot: Slot, direction: Direction, packet: &Packet) -> Staged<bool> {
        let session = &mut self.table[slot];
        let Layer4::Tcp(tcp) = packet.layer4 else {
            if direction == Direction::ServerToClient {
                session.state = SessionState::Active;
            }
            return Ok(true);
        };
        if !flags_are_sane(&tcp) {
            return drop(DropReason::TcpState);
        }
        let checked = self.tables.as_ref().is_none_or(|tables| !tables.session.bypass_asymmetric);
        let before = session.tcp.clock();
        match session.tcp.follow(direction, &tcp, checked) {
            Judgement::Pass => {}
            Judgement::Refuse => return drop(DropReason::TcpState),
            Judgement::OutOfWindow => return drop(DropReason::TcpOutOfWindow),
            Judgement::Reset(reason) => self.table.record_mut(slot).end = Some(reason),
            Judgement::Finished => self.table.record_mut(slot).end = Some(EndReason::TcpFin),
            Judgement::Reopen => return Ok(false),
        }
        let session = &mut self.table[slot];
        session.state = session.tcp.state();
        let clock = session.tcp.clock();
        if clock != before {
            let timeouts = self.timeouts.of_service(&self.table.record(slot).timeouts);
            let session = &mut self.table[slot];
            session.set_timeout(clock.timeout(&timeouts));
            session.last = self.now;
            let expires = session.expires();
            self.wheel.schedule(slot, expires);
        }
        Ok(true)
    }

    /// The session was used. A closed one is not kept longer by late packets.
    #[inline]
    pub(crate) fn touch(&mut self, slot: Slot, direction: Direction, wire: (u64, u64)) {
        let session = &mut self.table[slot];
        if session.state != SessionState::Closed {
            session.last = self.now;
        }
        let count = &mut session.sides[direction.index()].counts;
        count.0 += wire.0;
        count.1 += wire.1;
    }
}
