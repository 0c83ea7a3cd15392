//! What time is it? The one place that reads clocks for the engine and the logs.

use std::time::{Duration, Instant};

use bartizan_engine::verdict::Time;
use jiff::Timestamp;

/// Monotonic time for the engine, and its translation to wall-clock time for logs.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Since the start, for the engine.
    pub fn now(&self) -> Time {
        Time(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Since the start.
    pub fn uptime(&self) -> Duration {
        self.start.elapsed()
    }

    /// Wall-clock time of an engine time, as the wall clock stands now: a clock that is set right after
    /// the start sets the times of older sessions right too.
    pub fn wall(&self, time: Time) -> Timestamp {
        let (now, wall) = (self.now(), Timestamp::now());
        let microseconds = |nanoseconds: u64| i64::try_from(nanoseconds / 1000).unwrap_or(i64::MAX);
        let shifted = if time >= now {
            wall.as_microsecond().saturating_add(microseconds(time.0 - now.0))
        } else {
            wall.as_microsecond().saturating_sub(microseconds(now.0 - time.0))
        };
        Timestamp::from_microsecond(shifted).unwrap_or(wall)
    }
}

/// Waits until an engine time; without one, for ever.
pub async fn sleep_until(clock: Clock, due: Option<Time>) {
    match due {
        Some(due) => tokio::time::sleep(Duration::from_nanos(due.since(clock.now()))).await,
        None => std::future::pending().await,
    }
}
