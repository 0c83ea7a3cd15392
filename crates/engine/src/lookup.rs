//! Which session does this packet belong to, and is it ours to handle?

use crate::engine::Engine;
use crate::key::{Key, LOCAL_ROUTER};
use crate::pipeline::Place;
use crate::verdict::{EndReason, PeerMessage};

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

    /// The worker a flow without a session here belongs to, if it is not this one.
    fn elsewhere(&mut self, key: &Key) -> Option<u16> {
        if self.settings.workers <= 1 {
            return None;
        }
        let flow = key.flow();
        if let Some(owner) = self.steering.owner(&flow) {
            return Some(owner);
        }
        let home = key.worker(self.settings.workers);
        if home == self.settings.worker {
            return None;
        }
        // If it was steered here, its session is gone and the message saying so was lost: without this
        // the frame would travel between the two workers for ever.
        let message = PeerMessage::Unsteer { flow, owner: self.settings.worker };
        self.outbox.tell(Some(home), message, &mut self.counters);
        Some(home)
    }

    /// Tells the workers at which the session's flows arrive that they belong here.
    pub(crate) fn steer(&mut self, keys: &[Key]) {
        self.tell_homes(keys, |flow, owner| PeerMessage::Steer { flow, owner });
    }

    /// Tells them that they do not any more.
    pub(crate) fn unsteer(&mut self, keys: &[Key]) {
        self.tell_homes(keys, |flow, owner| PeerMessage::Unsteer { flow, owner });
    }

    fn tell_homes(&mut self, keys: &[Key], message: fn(crate::verdict::FlowKey, u16) -> PeerMessage) {
        if self.settings.workers <= 1 {
            return;
        }
        let worker = self.settings.worker;
        for key in keys.iter().filter(|key| key.router() != LOCAL_ROUTER || key.protocol() != 0) {
            let home = key.worker(self.settings.workers);
            if home != worker {
                self.counters.steered += 1;
                self.outbox.tell(Some(home), message(key.flow(), worker), &mut self.counters);
            }
        }
    }
}
