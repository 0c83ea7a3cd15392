//! How is a refused packet answered?

use bartizan_model::device::Action;
use bartizan_packet::answer::{Link, Problem, Reset};
use bartizan_packet::frame::Frame;
use bartizan_packet::parse::Packet;
use bartizan_policy::tables::RuleVerdict;

use crate::engine::Engine;
use crate::ingress::Arrival;
use crate::neighbor::Found;
use crate::path::{NextHop, PathRef};
use crate::pipeline::{Staged, drop};
use crate::session::Direction;
use crate::table::Slot;
use crate::verdict::{DropReason, Port, Verdict};

impl Engine {
    /// Drops a packet of a refused session, with the answer the rule asks for.
    pub(crate) fn reject(
        &mut self,
        slot: Slot,
        direction: Direction,
        arrival: &Arrival,
        frame: &mut Frame<'_>,
        packet: &Packet,
    ) -> Staged<Verdict> {
        self.count_refused(slot, direction, arrival);
        if direction == Direction::ServerToClient {
            return drop(DropReason::Policy);
        }
        let verdict = self.table.record(slot).verdict;
        self.answer_refusal(&verdict, arrival, frame, packet);
        drop(DropReason::Policy)
    }

    /// The answer the rule asks for, to the sender of a refused packet.
    pub(crate) fn answer_refusal(
        &mut self,
        verdict: &RuleVerdict,
        arrival: &Arrival,
        frame: &mut Frame<'_>,
        packet: &Packet,
    ) {
        let resets_client = matches!(verdict.action, Action::ResetClient | Action::ResetBoth);
        match Reset::answering(packet).filter(|_| resets_client) {
            Some(reset) => self.send_reset(arrival, &reset),
            None if verdict.icmp_unreachable => self.report(arrival, frame, packet, Problem::Prohibited),
            None => {}
        }
    }

    /// Tells both ends of an open connection, as far as the action says so, that it is over.
    pub(crate) fn reset_session(&mut self, slot: Slot, action: Action) {
        if matches!(action, Action::ResetClient | Action::ResetBoth) {
            self.reset_towards(slot, Direction::ServerToClient);
        }
        if matches!(action, Action::ResetServer | Action::ResetBoth) {
            self.reset_towards(slot, Direction::ClientToServer);
        }
    }

    /// Sends a reset as if it were the next segment of `direction`.
    fn reset_towards(&mut self, slot: Slot, direction: Direction) {
        let session = &self.table[slot];
        let Some((mut sequence, acknowledgment)) = session.tcp.reset_towards(direction.other()) else { return };
        if direction == Direction::ServerToClient {
            let ahead = self.relay_of(slot).and_then(|relay| relay.ahead());
            sequence = sequence.wrapping_add(ahead.unwrap_or(0));
        }
        let says = session.leaving(direction);
        // The path is that of the session's last packet, or the one its first came by.
        let untold = session.sides[direction.index()].path == PathRef::NONE;
        if untold && self.is_hairpin(self.table.record(slot).ingress) && self.find_path(slot, direction).is_err() {
            return;
        }
        let session = &self.table[slot];
        let record = self.table.record(slot);
        let (port, next_hop) = match (self.paths.get(session.sides[direction.index()].path), direction) {
            (Some(path), _) => (path.port, path.next_hop),
            (None, Direction::ServerToClient) => (Port::Data(record.ingress), NextHop::Station(record.client_mac)),
            (None, Direction::ClientToServer) => return,
        };
        let Some(mac) = self.mac_of(port) else { return };
        let reset = Reset {
            source: says.source,
            destination: says.destination,
            source_port: says.source_port,
            destination_port: says.destination_port,
            sequence,
            acknowledgment: Some(acknowledgment),
        };
        // A neighbour that nobody knows gets none.
        let station = match next_hop {
            NextHop::Station(station) => Some(station),
            NextHop::Address(address) => match self.find_neighbor(port, address) {
                Found::Known(_, station) => Some(station),
                Found::Asked(_) | Found::Unasked(_) | Found::Silent | Found::Full => None,
            },
        };
        if let Some(destination) = station {
            self.counters.rejections += 1;
            let bytes = reset.frame(Link { source: mac, destination });
            if self.is_tunnel(port) {
                self.send_into_tunnel(port, Some((slot, direction)), &bytes);
            } else {
                self.send(port, bytes);
            }
        }
    }

    fn send_reset(&mut self, arrival: &Arrival, reset: &Reset) {
        let Some(source) = self.mac_of(arrival.port) else { return };
        if !self.answers.take(self.now, self.settings.limits.answers_per_second) {
            self.counters.rejections_suppressed += 1;
            return;
        }
        self.counters.rejections += 1;
        self.send(arrival.port, reset.frame(Link { source, destination: arrival.station }));
    }

    fn count_refused(&mut self, slot: Slot, direction: Direction, arrival: &Arrival) {
        let count = &mut self.table[slot].sides[direction.index()].counts;
        count.0 += arrival.wire.0;
        count.1 += arrival.wire.1;
    }
}
