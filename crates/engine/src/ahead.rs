//! What can be known of a burst before its first frame is handled?
//!
//! The sessions of a burst are somewhere in a few hundred megabytes: one by one, each frame would wait for
//! memory three times. Read ahead for all of them, in passes of their own, they wait together. What comes
//! out are guesses, which the stages check: a frame may end the session of the next one.

use bartizan_packet::frame::Frame;

use crate::engine::Engine;
use crate::plain::Seen;
use crate::session::Direction;
use crate::table::Slot;
use crate::verdict::{Port, Time, Verdict};

/// Frames that are looked at ahead at a time; more than a worker takes from a port at once is of no use.
pub(crate) const BURST_MAX: usize = 64;

/// A frame that was looked at: the plain packet in it, and where its session seems to be.
type Looked = Option<(Seen, Option<(Slot, Direction)>)>;

/// Room for what was seen of a burst.
pub(crate) struct Burst {
    seen: [Looked; BURST_MAX],
    /// What each flow hashes to; 0 for what is none.
    hashes: [u32; BURST_MAX],
    slots: [Slot; BURST_MAX],
}

impl Default for Burst {
    fn default() -> Self {
        Self { seen: [None; BURST_MAX], hashes: [0; BURST_MAX], slots: [0; BURST_MAX] }
    }
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
            let verdict = self.handle_one(port, frame);
            return done(0, frame, verdict);
        }
        let mut burst = self.burst.take().unwrap_or_default();
        for (start, frames) in (0..).step_by(BURST_MAX).zip(frames.chunks_mut(BURST_MAX)) {
            self.look_ahead(port, frames, &mut burst);
            for (position, (frame, seen)) in frames.iter_mut().zip(&burst.seen).enumerate() {
                let usual = match seen {
                    Some((seen, Some((slot, direction)))) => self.carry_on(frame, seen, *slot, *direction),
                    _ => None,
                };
                let verdict = usual.unwrap_or_else(|| self.between_tags(port, frame));
                done(start + position, frame, verdict);
            }
        }
        self.burst = Some(burst);
    }

    /// One frame, without a look at others.
    #[inline]
    pub(crate) fn handle_one(&mut self, port: Port, frame: &mut Frame<'_>) -> Verdict {
        self.carry_on_alone(port, frame).unwrap_or_else(|| self.between_tags(port, frame))
    }

    /// Three passes: read and hash; touch the index; touch the sessions. The second and the third do next to
    /// nothing else, so that the processor is ahead of the memory by many frames.
    fn look_ahead(&self, port: Port, frames: &[Frame<'_>], burst: &mut Burst) {
        let Burst { seen, hashes, slots } = burst;
        for ((frame, seen), hash) in frames.iter().zip(seen.iter_mut()).zip(hashes.iter_mut()) {
            *seen = self.read_plain(port, frame).map(|seen| (seen, None));
            *hash = seen.as_ref().map_or(0, |(seen, _)| self.table.hash(&seen.key()));
        }
        let touched = hashes.iter().take(frames.len()).fold(0, |all, hash| all ^ self.table.touch_index(*hash));
        std::hint::black_box(touched);
        let mut found = 0;
        for (seen, hash) in seen.iter_mut().zip(hashes.iter()).take(frames.len()) {
            let Some((_, place)) = seen else { continue };
            *place = self.table.guess(*hash);
            if let (Some((slot, _)), Some(next)) = (*place, slots.get_mut(found)) {
                *next = slot;
                found += 1;
            }
        }
        let read = slots.iter().take(found).fold(0, |all, slot| all ^ self.table.touch(*slot));
        // Without a use the reads would be left out.
        std::hint::black_box(read);
    }
}
