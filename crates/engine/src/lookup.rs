//! Which session does this packet belong to, and is it ours to handle?

use crate::engine::Engine;
use crate::ingress::Arrival;
use crate::key::Key;
use crate::pipeline::Place;
use crate::verdict::{EndReason, FlowKey, PeerMessage, Port};

/// Messages per second that heal steering; where frames are spread without regard to the hash, each one
/// handed over looks like a flow to heal.
const UNSTEERS_PER_SECOND: u32 = 100;

impl Engine {
    /// The session of a flow, or the worker that has to be asked. A session that is past its time is
    /// over, whether or not its timer came up.
    pub(crate) fn lookup(&mut self, key: &Key) -> Place {
        if let Some((slot, direction)) = self.table.find(key) {
            if self.table[slot].expires() > self.now {
                return Place::Here(slot, direction);
            }
            self.end(slot, EndReason::AgedOut);
        }
        self.elsewhere(key).map_or(Place::Nowhere, Place::Elsewhere)
    }

    /// [`Self::lookup`] for a packet that arrived. A session that was routed out of a tunnel may be answered
    /// by a host that is behind a tunnel itself: its packets are looked for among those of the router, too.
    pub(crate) fn lookup_arrived(&mut self, key: &Key, arrival: &Arrival) -> Place {
        let Port::Data(iface) = arrival.port else { return self.lookup(key) };
        if !self.links.get(iface.index()).is_some_and(|link| link.routed) {
            return self.lookup(key);
        }
        let routed = key.in_realm(arrival.router);
        if !self.table.contains(key) && self.table.contains(&routed) {
            return self.lookup(&routed);
        }
        match self.lookup(key) {
            Place::Nowhere => self.lookup(&routed),
            place => place,
        }
    }

    /// The worker a flow without a session here belongs to, if it is not this one.
    pub(crate) fn elsewhere(&mut self, key: &Key) -> Option<u16> {
        if self.settings.workers <= 1 {
            return None;
        }
        let flow = key.steered();
        if let Some(owner) = self.steering.owner(&flow) {
            return Some(owner);
        }
        let home = key.worker(self.settings.workers);
        if home == self.settings.worker {
            return None;
        }
        // If it was steered here, its session is gone and the message saying so was lost: without this
        // the frame would travel between the two workers for ever.
        if self.unsteers.take(self.now, UNSTEERS_PER_SECOND) {
            let message = PeerMessage::Unsteer { flow, owner: self.settings.worker };
            self.outbox.tell(Some(home), message, &mut self.counters);
        }
        Some(home)
    }

    /// Tells the worker at which the server's packets arrive that they belong here. The client's arrive
    /// here by themselves: sessions open where the first packet's hash says.
    pub(crate) fn steer(&mut self, server: &Key) -> bool {
        let steered = self.tell_home(server, |flow, owner| PeerMessage::Steer { flow, owner });
        self.counters.steered += u64::from(steered);
        steered
    }

    /// Tells it that they do not any more.
    pub(crate) fn unsteer(&mut self, server: &Key) {
        self.tell_home(server, |flow, owner| PeerMessage::Unsteer { flow, owner });
    }

    fn tell_home(&mut self, key: &Key, message: fn(FlowKey, u16) -> PeerMessage) -> bool {
        let worker = self.settings.worker;
        let home = key.worker(self.settings.workers);
        if home == worker {
            return false;
        }
        self.outbox.tell(Some(home), message(key.steered(), worker), &mut self.counters);
        true
    }
}
