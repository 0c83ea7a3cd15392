//! What can be known of a burst before its first frame is handled?
//!
//! The sessions of a burst are somewhere in a few hundred megabytes: one by one, each frame would wait for
//! memory three times. Read ahead for all of them, in passes of their own, they wait together. What comes
//! out are guesses, which the stages check: a frame may end the session of the next one.

use bartizan_packet::frame::Frame;
use bartizan_packet::parse::{Malformed, Parsed};

use crate::engine::Engine;
use crate::key::{Key, LOCAL_REALM};
use crate::pipeline::parse_behind;
use crate::session::Direction;
use crate::table::Slot;
use crate::verdict::{Port, Time, Verdict};

/// Frames that are looked at ahead at a time; more than a worker takes from a port at once is of no use.
pub(crate) const BURST_MAX: usize = 64;

/// A frame that was looked at.
pub(crate) struct Seen {
    parsed: Result<Parsed, Malformed>,
    /// What its flow hashes to, if it is a packet of one.
    hash: Option<u32>,
    guess: Option<Guess>,
}

/// Where the session of a frame seems to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guess {
    pub(crate) key: Key,
    pub(crate) slot: Slot,
    pub(crate) direction: Direction,
}

impl Engine {
    /// Frames of one port in their order, each rewritten in place if it is to be sent on. `done` gets the
    /// verdict of each, with its position and the frame.
    pub fn handle_burst(
        &mut self,
        port: Port,
        frames: &mut [Frame<'_>],
        now: Time,
        mut done: impl FnMut(usize, &Frame<'_>, Verdict),
    ) {
        self.advance(now);
        if let [frame] = frames {
            let verdict = self.between_tags(port, frame, Self::run);
            return done(0, frame, verdict);
        }
        let mut seen = std::mem::take(&mut self.seen);
        for (start, burst) in (0..).step_by(BURST_MAX).zip(frames.chunks_mut(BURST_MAX)) {
            self.look_ahead(port, burst, &mut seen);
            for (position, (frame, seen)) in burst.iter_mut().zip(&seen).enumerate() {
                // The guess is for the port itself, not for a VLAN on it.
                let guess = seen.guess.as_ref().filter(|_| frame.meta.vlan == 0);
                let run = |engine: &mut Self, port: Port, frame: &mut Frame<'_>| {
                    engine.run_seen(port, frame, &seen.parsed, guess)
                };
                let verdict = self.between_tags(port, frame, run);
                done(start + position, frame, verdict);
            }
            seen.clear();
        }
        self.seen = seen;
    }

    /// Three passes: read and hash; touch the index; touch the sessions.
    fn look_ahead(&self, port: Port, burst: &[Frame<'_>], seen: &mut Vec<Seen>) {
        let realm = match port {
            Port::Local => LOCAL_REALM,
            Port::Data(iface) => self.links.get(iface.index()).and_then(|link| link.realm).unwrap_or(LOCAL_REALM),
        };
        for frame in burst {
            let parsed = parse_behind(frame);
            seen.push(Seen { parsed, hash: None, guess: None });
        }
        let mut touched = 0;
        for one in seen.iter_mut() {
            let Ok(Parsed::Ip(packet)) = &one.parsed else { continue };
            let key = Key::of(packet, realm);
            let hash = self.table.hash(&key);
            one.hash = Some(hash);
            one.guess = Some(Guess { key, slot: 0, direction: Direction::ClientToServer });
            touched ^= self.table.touch_index(hash);
        }
        let mut read = u64::from(touched);
        for one in seen.iter_mut() {
            let (Some(hash), Some(guess)) = (one.hash, one.guess.as_mut()) else { continue };
            match self.table.guess(hash) {
                Some((slot, direction)) => {
                    (guess.slot, guess.direction) = (slot, direction);
                    read ^= self.table.touch(slot);
                }
                None => one.guess = None,
            }
        }
        // Without a use the reads would be left out.
        std::hint::black_box(read);
    }
}
