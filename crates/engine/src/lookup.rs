//! Which session does this packet belong to, and is it ours to handle?

use crate::engine::Engine;
use crate::ingress::Arrival;
use crate::key::Key;
use crate::pipeline::Place;
use crate::session::Direction;
use crate::table::Slot;
use crate::verdict::{EndReason, FlowKey, PeerMessage, Port};

/// Messages per second that heal steering; where frames are spread without regard to the hash, each one
/// handed over looks like a flow to heal.
const UNSTEERS_PER_SECOND: u32 = 100;

impl Engine {
    /// The session of a flow, or the worker that has to be asked. A session that is past its time is
    /// over, whether or not its timer came up.
    pub(crate) fn lookup(&mut self, key: &Key) -> Place {
        if let Some((slot, direction)) = self.find_live(key) {
            return Place::Here(slot, direction);
        }
        self.elsewhere(key).map_or(Place::Nowhere, Place::Elsewhere)
    }

    /// The session of a flow in this worker's table.
    pub(crate) fn find_live(&mut self, key: &Key) -> Option<(Slot, Direction)> {
        let (slot, direction) = self.table.find(key)?;
        if self.table[slot].expires() > self.now {
            return Some((slot, direction));
        }
        self.end(slot, EndReason::AgedOut);
        None
    }

    /// [`Self::lookup`] for a packet that arrived. A session that was routed out of a tunnel may be answered
    /// by a host that is behind a tunnel itself: its packets are looked for among those of the router, too.
    pub(crate) fn lookup_arrived(&mut self, key: &Key, arrival: &Arrival) -> Place {
        let Port::Data(iface) = arrival.port else { return self.lookup(key) };
        match self.links.get(iface.index()) {
            Some(link) if link.hairpin => return self.lookup_hairpin(key, arrival),
            Some(link) if link.routed => {}
            _ => return self.lookup(key),
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
        self.steered_to(key).or_else(|| self.homewards(std::slice::from_ref(key)))
    }

    /// The worker that said a flow is its own.
    pub(crate) fn steered_to(&self, key: &Key) -> Option<u16> {
        if self.settings.workers <= 1 { None } else { self.steering.owner(&key.steered()) }
    }

    /// The worker at which flows arrive that nobody said are its own, if it is not this one; all of them arrive at
    /// the same.
    pub(crate) fn homewards(&mut self, keys: &[Key]) -> Option<u16> {
        if self.settings.workers <= 1 {
            return None;
        }
        let home = keys.first()?.worker(self.settings.workers);
        if home == self.settings.worker {
            return None;
        }
        // If one was steered here, its session is gone and the message saying so was lost: without this
        // the frame would travel between the two workers for ever.
        if self.unsteers.take(self.now, UNSTEERS_PER_SECOND) {
            for key in keys {
                let message = PeerMessage::Unsteer { flow: key.steered(), owner: self.settings.worker };
                self.outbox.tell(Some(home), message, &mut self.counters);
            }
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
