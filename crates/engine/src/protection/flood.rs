//! How many new flows come in a second, and which of them are too many?

use bartizan_model::device::Flood;

use crate::settings::SECOND;
use crate::verdict::Time;

/// Counts events, for a rate over the last second: all of the current second, and of the one before the
/// part that is not a second ago.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    second: u64,
    current: u32,
    previous: u32,
}

impl Meter {
    /// Counts one event; gives the rate with it.
    pub(crate) fn count(&mut self, now: Time) -> u32 {
        let second = now.0 / SECOND;
        if second != self.second {
            self.previous = if second == self.second + 1 { self.current } else { 0 };
            (self.second, self.current) = (second, 0);
        }
        self.current = self.current.saturating_add(1);
        self.rate(now)
    }

    /// Events in the last second.
    pub(crate) fn rate(&self, now: Time) -> u32 {
        let (current, previous) = match (now.0 / SECOND).saturating_sub(self.second) {
            0 => (self.current, self.previous),
            1 => (0, self.current),
            _ => (0, 0),
        };
        let left = SECOND - now.0 % SECOND;
        current.saturating_add((u64::from(previous) * left / SECOND) as u32)
    }
}

/// What becomes of a new flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It may come in.
    Pass,
    /// It may come in after it has answered a SYN cookie.
    Cookie,
    /// It is too much.
    Drop,
}

/// Judges one new flow at a rate; `dice` is a random number.
pub(crate) fn judge(flood: &Flood, rate: u32, dice: u64) -> Outcome {
    if rate > flood.maximal {
        return Outcome::Drop;
    }
    // An activate rate of 0 is always on.
    if rate <= flood.activate && flood.activate > 0 {
        return Outcome::Pass;
    }
    if flood.syn_cookies {
        return Outcome::Cookie;
    }
    // Random early drop: from none at the activate rate to all at the maximal rate.
    let (above, span) = (u64::from(rate - flood.activate), u64::from(flood.maximal - flood.activate));
    if dice % span.max(1) < above { Outcome::Drop } else { Outcome::Pass }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_second() {
        let mut meter = Meter::default();
        for at in 0..100 {
            assert_eq!(meter.count(Time(10 * SECOND + at * SECOND / 100)), at as u32 + 1);
        }
        assert_eq!(meter.rate(Time(11 * SECOND)), 100);
        assert_eq!(meter.rate(Time(11 * SECOND + SECOND / 4)), 75);
        assert_eq!(meter.count(Time(11 * SECOND + SECOND / 2)), 51);
        assert_eq!(meter.rate(Time(12 * SECOND)), 1);
        assert_eq!(meter.rate(Time(13 * SECOND)), 0);
        assert_eq!(meter.count(Time(20 * SECOND)), 1);
    }

    #[test]
    fn drops_grow_from_the_activate_to_the_maximal_rate() {
        let red = Flood { syn_cookies: false, alarm: 0, activate: 100, maximal: 200 };
        let dropped = |rate| (0..1000).filter(|dice| judge(&red, rate, *dice) == Outcome::Drop).count();
        assert_eq!([100, 101, 150, 200, 201].map(dropped), [0, 10, 500, 1000, 1000]);
        let cookies = Flood { syn_cookies: true, ..red };
        assert_eq!(judge(&cookies, 100, 0), Outcome::Pass);
        assert_eq!(judge(&cookies, 101, 0), Outcome::Cookie);
        assert_eq!(judge(&cookies, 201, 0), Outcome::Drop);
        let always = Flood { activate: 0, ..cookies };
        assert_eq!(judge(&always, 1, 0), Outcome::Cookie);
        let wall = Flood { syn_cookies: false, alarm: 0, activate: 100, maximal: 50 };
        assert_eq!([50, 51, 101].map(|rate| judge(&wall, rate, 0)), [Outcome::Pass, Outcome::Drop, Outcome::Drop]);
    }
}
