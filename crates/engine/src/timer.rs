//! Which sessions are due?
//!
//! One wheel of 268 ms ticks over a little more than an hour, the longest timeout. A session sits in the
//! slot of a time at which it *may* be due; packets that arrive meanwhile do not move it, it is asked
//! again when its slot comes up. Only a timeout that becomes shorter moves it.

use crate::table::Slot;
use crate::verdict::Time;

/// 2^28 ns.
const TICK_SHIFT: u32 = 28;
const TICKS: u64 = 16_384;
const NONE: Slot = Slot::MAX;

#[derive(Clone, Copy)]
struct Link {
    previous: Slot,
    next: Slot,
    tick: u16,
    linked: bool,
}

const UNLINKED: Link = Link { previous: NONE, next: NONE, tick: 0, linked: false };

/// The timer wheel of one worker's sessions.
pub(crate) struct Wheel {
    heads: Vec<Slot>,
    occupied: Vec<u64>,
    links: Vec<Link>,
    /// First tick that was not collected yet.
    current: u64,
    len: usize,
}

impl Wheel {
    /// One for up to so many sessions.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            heads: vec![NONE; TICKS as usize],
            occupied: vec![0; (TICKS / 64) as usize],
            links: Vec::with_capacity(max),
            current: 0,
            len: 0,
        }
    }

    /// Puts a session where it will be asked once `at` has passed, and takes it from where it was.
    pub(crate) fn schedule(&mut self, slot: Slot, at: Time) {
        self.cancel(slot);
        if self.links.len() <= slot as usize {
            self.links.resize(slot as usize + 1, UNLINKED);
        }
        // Beyond the wheel's span a session is asked once per turn.
        let tick = (at.0 >> TICK_SHIFT).clamp(self.current, self.current + TICKS - 1);
        let position = (tick % TICKS) as usize;
        let next = self.heads[position];
        self.links[slot as usize] = Link { previous: NONE, next, tick: position as u16, linked: true };
        if next != NONE {
            self.links[next as usize].previous = slot;
        }
        self.heads[position] = slot;
        self.occupied[position / 64] |= 1 << (position % 64);
        self.len += 1;
    }

    pub(crate) fn cancel(&mut self, slot: Slot) {
        let Some(link) = self.links.get(slot as usize).copied().filter(|link| link.linked) else { return };
        self.links[slot as usize] = UNLINKED;
        if link.next != NONE {
            self.links[link.next as usize].previous = link.previous;
        }
        let position = usize::from(link.tick);
        if link.previous == NONE {
            self.heads[position] = link.next;
            if link.next == NONE {
                self.occupied[position / 64] &= !(1 << (position % 64));
            }
        } else {
            self.links[link.previous as usize].next = link.next;
        }
        self.len -= 1;
    }

    /// One session whose tick is over, taken from the wheel.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<Slot> {
        let due = now.0 >> TICK_SHIFT;
        if self.len == 0 {
            self.current = self.current.max(due);
            return None;
        }
        while self.current < due {
            let head = self.heads[(self.current % TICKS) as usize];
            if head != NONE {
                self.cancel(head);
                return Some(head);
            }
            let next = self.next_tick().unwrap_or(due);
            self.current = next.min(due);
        }
        None
    }

    /// When `pop_due` will have something.
    pub(crate) fn next_due(&self) -> Option<Time> {
        if self.len == 0 {
            return None;
        }
        self.next_tick().map(|tick| Time((tick + 1) << TICK_SHIFT))
    }

    /// The first occupied tick from the current one on.
    fn next_tick(&self) -> Option<u64> {
        let start = self.current % TICKS;
        let words = TICKS / 64;
        for step in 0..=words {
            let word = (start / 64 + step) % words;
            let mut bits = self.occupied[word as usize];
            if step == 0 {
                bits &= u64::MAX << (start % 64);
            } else if step == words {
                bits &= !(u64::MAX << (start % 64));
            }
            if bits != 0 {
                let position = word * 64 + u64::from(bits.trailing_zeros());
                return Some(self.current + (position + TICKS - start) % TICKS);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::SECOND;

    fn due(wheel: &mut Wheel, seconds: u64) -> Vec<Slot> {
        let mut slots: Vec<_> = std::iter::from_fn(|| wheel.pop_due(Time(seconds * SECOND))).collect();
        slots.sort_unstable();
        slots
    }

    #[test]
    fn sessions_come_up_after_their_time_and_within_a_tick() {
        let mut wheel = Wheel::new(100);
        for slot in 0..100 {
            wheel.schedule(slot, Time(u64::from(slot) * SECOND));
        }
        let mut seen = 0;
        for second in 0..=101 {
            for slot in due(&mut wheel, second) {
                assert!(u64::from(slot) <= second && second <= u64::from(slot) + 1, "slot {slot} at {second} s");
                seen += 1;
            }
        }
        assert_eq!(seen, 100);
        assert_eq!(wheel.next_due(), None);
    }

    #[test]
    fn next_due_is_when_something_is_due() {
        let mut wheel = Wheel::new(100);
        for start in [0, 77, 5000, 9999] {
            let mut wheel_at = Wheel::new(100);
            assert_eq!(due(&mut wheel_at, start), []);
            wheel_at.schedule(7, Time((start + 3600) * SECOND));
            let next = wheel_at.next_due().unwrap();
            assert_eq!(wheel_at.pop_due(Time(next.0 - 1)), None);
            assert_eq!(wheel_at.pop_due(next), Some(7));
        }
        wheel.schedule(1, Time(10 * SECOND));
        wheel.schedule(1, Time(2 * SECOND));
        assert_eq!(due(&mut wheel, 3), [1]);
        wheel.schedule(1, Time(10 * SECOND));
        wheel.cancel(1);
        assert_eq!(due(&mut wheel, 60), []);
    }

    #[test]
    fn a_time_beyond_the_wheel_is_asked_once_per_turn() {
        let mut wheel = Wheel::new(100);
        wheel.schedule(1, Time(100_000 * SECOND));
        let first = wheel.next_due().unwrap();
        assert!(first.0 > 4000 * SECOND && first.0 < 5000 * SECOND);
    }
}
