//! What does a worker do that finds nothing to do: look again, or sleep?
//!
//! Looking again saves the sleep and the wake-up, and the core is given away between two looks, since on a
//! machine with few cores the peer may be what is waited for. That is right as long as the core comes back at
//! once. Where somebody else has work for it, it comes back at the next tick of the scheduler, milliseconds
//! later, whatever has arrived meanwhile; a sleeper is woken by a frame and goes first.

use std::time::{Duration, Instant};

use super::Waiting;

/// How long a worker looks for more frames before it sleeps (dataplane measurements: a sleep and
/// wake-up costs about 30 us of round-trip time).
pub const SPIN: Duration = Duration::from_micros(50);
/// A core that was given away and is not back within this time is not the worker's alone.
const CROWDED: Duration = Duration::from_micros(100);
/// How long it is not given away then.
const CROWDED_FOR: Duration = Duration::from_secs(1);

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Give the core away for a moment, and look again.
    Yield,
    /// Sleep until there is something.
    Sleep,
}

/// Remembers what it takes to know.
#[derive(Debug)]
pub struct Patience {
    waiting: Waiting,
    last_work: Instant,
    crowded: Option<Instant>,
}

impl Patience {
    /// Of a worker that waits like this.
    pub fn new(waiting: Waiting, now: Instant) -> Self {
        Self { waiting, last_work: now, crowded: None }
    }

    /// There was something to do.
    pub fn worked(&mut self, now: Instant) {
        self.last_work = now;
    }

    /// There is nothing to do.
    pub fn pause(&mut self, now: Instant) -> Pause {
        self.crowded = self.crowded.filter(|since| now.duration_since(*since) < CROWDED_FOR);
        match self.waiting {
            Waiting::Spinning => Pause::Yield,
            Waiting::Adaptive if self.crowded.is_some() || now.duration_since(self.last_work) >= SPIN => Pause::Sleep,
            Waiting::Adaptive => Pause::Yield,
        }
    }

    /// The core was given away at `since`, and is back.
    pub fn yielded(&mut self, since: Instant, now: Instant) {
        if now.duration_since(since) > CROWDED {
            self.crowded = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(number: u64) -> Duration {
        Duration::from_micros(number)
    }

    #[test]
    fn a_worker_looks_again_for_a_moment_and_then_sleeps() {
        let start = Instant::now();
        let mut patience = Patience::new(Waiting::Adaptive, start);
        assert_eq!(patience.pause(start + us(49)), Pause::Yield);
        assert_eq!(patience.pause(start + us(50)), Pause::Sleep);
        patience.worked(start + us(60));
        assert_eq!(patience.pause(start + us(100)), Pause::Yield);
    }

    #[test]
    fn a_core_that_does_not_come_back_at_once_is_not_given_away_for_a_second() {
        let start = Instant::now();
        let mut patience = Patience::new(Waiting::Adaptive, start);
        patience.yielded(start, start + us(90));
        assert_eq!(patience.pause(start + us(10)), Pause::Yield);
        let back = start + us(4000);
        patience.yielded(start, back);
        patience.worked(back);
        assert_eq!(patience.pause(back), Pause::Sleep);
        let later = back + CROWDED_FOR;
        patience.worked(later);
        assert_eq!(patience.pause(later), Pause::Yield);
    }

    #[test]
    fn a_worker_with_a_core_of_its_own_never_sleeps() {
        let start = Instant::now();
        let mut patience = Patience::new(Waiting::Spinning, start);
        patience.yielded(start, start + us(4000));
        assert_eq!(patience.pause(start + us(1_000_000)), Pause::Yield);
    }
}
