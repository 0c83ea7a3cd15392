//! Is the path of one monitored route alive?
//!
//! A destination is dead after so many unanswered probes in a row, and alive again with the next answer. A
//! route whose path was dead comes back when the path has been alive for the hold time without a break.

use std::net::IpAddr;

use bartizan_engine::settings::SECOND;
use bartizan_engine::verdict::Time;
use bartizan_model::device::{MonitorDestination, PathMonitor};

/// One probed destination.
#[derive(Clone, Debug)]
pub struct Target {
    /// What is configured.
    pub settings: MonitorDestination,
    /// Identifier of its echo requests.
    pub identifier: u16,
    /// Unanswered probes in a row.
    pub missed: u8,
    /// Whether it counts as alive.
    pub alive: bool,
    /// Nanoseconds from the last answered probe to its answer.
    pub round_trip_ns: Option<u64>,
    /// When the last answer came.
    pub heard: Option<Time>,
    due: Time,
    waiting: Option<(u16, Time)>,
}

/// A probe to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Own address to probe from, if one is configured.
    pub source: Option<IpAddr>,
    /// Where to.
    pub destination: IpAddr,
    /// ICMP identifier.
    pub identifier: u16,
    /// ICMP sequence number.
    pub sequence: u16,
}

/// Whether a route is in force as far as its path goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The path is alive.
    Up,
    /// The path is dead.
    Down,
    /// The path is alive again since then, and the route still held back.
    Held(Time),
}

impl Standing {
    /// Spelling in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Held(_) => "held",
        }
    }
}

/// The watch over one route.
#[derive(Clone, Debug)]
pub struct Monitor {
    settings: PathMonitor,
    targets: Vec<Target>,
    standing: Standing,
}

impl Monitor {
    /// A path counts as alive until it is found dead. `identifiers` has one for each destination.
    pub fn new(settings: PathMonitor, identifiers: impl IntoIterator<Item = u16>, now: Time) -> Self {
        let target = |(settings, identifier): (&MonitorDestination, u16)| Target {
            settings: settings.clone(),
            identifier,
            missed: 0,
            alive: true,
            round_trip_ns: None,
            heard: None,
            due: now,
            waiting: None,
        };
        let targets = settings.destinations.iter().zip(identifiers).map(target).collect();
        Self { settings, targets, standing: Standing::Up }
    }

    /// What is configured.
    pub fn settings(&self) -> &PathMonitor {
        &self.settings
    }

    /// What is probed.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// How the route stands.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// When [`Self::tick`] has something to do.
    pub fn due(&self) -> Option<Time> {
        let held = match self.standing {
            Standing::Held(since) => Some(self.hold_ends(since)),
            Standing::Up | Standing::Down => None,
        };
        self.targets.iter().map(|target| target.due).chain(held).min()
    }

    /// Counts what was not answered, and says what to send now; `random` numbers the probes, so that an
    /// answer cannot be made up by whoever does not see them.
    pub fn tick(&mut self, now: Time, mut random: impl FnMut() -> u16) -> Vec<Probe> {
        let mut probes = Vec::new();
        for target in self.targets.iter_mut().filter(|target| target.due <= now) {
            if target.waiting.take().is_some() {
                target.missed = target.missed.saturating_add(1);
                target.alive &= target.missed < target.settings.count;
            }
            let sequence = random();
            target.waiting = Some((sequence, now));
            target.due = Time(now.0 + u64::from(target.settings.interval_s) * SECOND);
            let MonitorDestination { source, destination, .. } = target.settings;
            probes.push(Probe { source, destination, identifier: target.identifier, sequence });
        }
        self.judge(now);
        probes
    }

    /// An answer came.
    pub fn hear(&mut self, identifier: u16, sequence: u16, now: Time) {
        let Some(target) = self.targets.iter_mut().find(|target| target.identifier == identifier) else { return };
        if let Some((_, sent)) = target.waiting.take_if(|(expected, _)| *expected == sequence) {
            target.round_trip_ns = Some(now.0.saturating_sub(sent.0));
            target.heard = Some(now);
            target.missed = 0;
            target.alive = true;
            self.judge(now);
        }
    }

    fn judge(&mut self, now: Time) {
        let dead = |target: &Target| !target.alive;
        let dead = match self.settings.all_must_fail {
            true => self.targets.iter().all(dead),
            false => self.targets.iter().any(dead),
        };
        self.standing = match (self.standing, dead) {
            (_, true) => Standing::Down,
            (Standing::Up, false) => Standing::Up,
            (Standing::Down, false) if self.settings.hold_minutes == 0 => Standing::Up,
            (Standing::Down, false) => Standing::Held(now),
            (Standing::Held(since), false) if now >= self.hold_ends(since) => Standing::Up,
            (held @ Standing::Held(_), false) => held,
        };
    }

    fn hold_ends(&self, since: Time) -> Time {
        Time(since.0 + u64::from(self.settings.hold_minutes) * 60 * SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn monitor(all_must_fail: bool, hold_minutes: u16, count: usize) -> Monitor {
        let destination = |at: usize| MonitorDestination {
            name: format!("d{at}"),
            source: None,
            destination: format!("192.0.2.{at}").parse().unwrap(),
            interval_s: 3,
            count: 5,
        };
        let destinations = (1..=count).map(destination).collect();
        Monitor::new(PathMonitor { all_must_fail, hold_minutes, destinations }, 1.., Time(0))
    }

    /// Sends what is due at this second, and answers the probes of the identifiers.
    fn second(monitor: &mut Monitor, at: u64, answered: &[u16]) -> Standing {
        for probe in monitor.tick(Time(at * SECOND), || at as u16) {
            if answered.contains(&probe.identifier) {
                monitor.hear(probe.identifier, probe.sequence, Time(at * SECOND + 1_000_000));
            }
        }
        monitor.standing()
    }

    #[test]
    fn a_path_is_dead_after_so_many_unanswered_probes_and_not_before() {
        let mut monitor = monitor(false, 0, 1);
        assert_eq!(second(&mut monitor, 0, &[1]), Standing::Up);
        assert_eq!(monitor.targets()[0].round_trip_ns, Some(1_000_000));
        // Probes leave at 3, 6, 9, 12 and 15 s; the fifth is counted when the next one is due.
        for at in 1..18 {
            assert_eq!(second(&mut monitor, at, &[]), Standing::Up, "{at} s");
        }
        assert_eq!(second(&mut monitor, 18, &[]), Standing::Down);
        for at in 19..21 {
            assert_eq!(second(&mut monitor, at, &[]), Standing::Down);
        }
        assert_eq!(second(&mut monitor, 21, &[1]), Standing::Up, "without hold time it is back with the first answer");
    }

    #[test]
    fn a_route_comes_back_when_the_path_was_alive_for_the_hold_time() {
        let mut monitor = monitor(false, 1, 1);
        for at in 0..=15 {
            second(&mut monitor, at, &[]);
        }
        assert_eq!(monitor.standing(), Standing::Down);
        for at in 16..60 {
            second(&mut monitor, at, &[1]);
        }
        let Standing::Held(since) = monitor.standing() else { panic!("{:?}", monitor.standing()) };
        // Dead again meanwhile: the hold time begins anew.
        for at in 60..90 {
            second(&mut monitor, at, &[]);
        }
        assert_eq!(monitor.standing(), Standing::Down);
        let mut back = None;
        for at in 90..170 {
            if second(&mut monitor, at, &[1]) == Standing::Up {
                back.get_or_insert(at);
            }
        }
        assert!(since < Time(60 * SECOND));
        assert!((150..155).contains(&back.unwrap()), "{back:?}");
    }

    #[test]
    fn any_or_all_destinations_must_fail() {
        for (all_must_fail, expected) in [(false, Standing::Down), (true, Standing::Up)] {
            let mut monitor = monitor(all_must_fail, 0, 2);
            for at in 0..30 {
                second(&mut monitor, at, &[2]);
            }
            assert_eq!(monitor.standing(), expected);
            for at in 30..60 {
                second(&mut monitor, at, &[]);
            }
            assert_eq!(monitor.standing(), Standing::Down);
        }
    }

    #[test]
    fn made_up_and_late_answers_are_no_answers() {
        let mut monitor = monitor(false, 0, 1);
        for at in (0..=15).step_by(3) {
            let probes = monitor.tick(Time(at * SECOND), || 1000 + at as u16);
            assert_eq!(probes.len(), 1);
            monitor.hear(1, 77, Time(at * SECOND));
            monitor.hear(1, 1000 + at as u16 - 3, Time(at * SECOND));
            monitor.hear(9, 1000 + at as u16, Time(at * SECOND));
        }
        assert_eq!(monitor.standing(), Standing::Down);
    }
}
