//! Which core does a busy worker run on?
//!
//! The scheduler counts a thread, and not what the kernel does beside it on a core: interrupts of a network card, or the
//! sockets and timers of programs on the same host. Left to it, a busy worker is moved to where those are, and is in their
//! way there for tenths of a second. So a busy one keeps its core, and leaves it when what it receives comes in there and
//! another core is free of that. Nothing is kept for longer than [`KEPT`], so that the scheduler has a say, and nothing by
//! a worker that mostly sleeps: it wakes soonest wherever there is an idle core.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

use crate::port::CORES_MAX;

/// How long a worker is looked at before it is called busy or idle. One that keeps a core sleeps no longer, so that it
/// gives the core back.
pub(super) const WINDOW: Duration = Duration::from_millis(10);
/// How long a core is kept at most. Of it, a window is the scheduler's.
const KEPT: Duration = Duration::from_secs(1);
/// Bytes of a window that are worth a move: 80 Mbit/s.
const BYTES_MIN: u64 = 100_000;
/// Windows in a row after which a worker leaves a core: what is in the way for one may be gone by itself.
const PATIENCE: u32 = 2;

/// The cores that the workers of a process share.
#[derive(Debug)]
pub struct Cores {
    /// Those that the process may use.
    all: CpuSet,
    /// Which of them a worker keeps.
    kept: [AtomicBool; CORES_MAX],
}

impl Cores {
    /// Those of the calling thread; `None` where nobody knows which ones.
    pub fn shared() -> Option<Arc<Self>> {
        let all = sched_getaffinity(None).ok()?;
        Some(Arc::new(Self { all, kept: [const { AtomicBool::new(false) }; CORES_MAX] }))
    }

    fn allowed(&self) -> impl Iterator<Item = usize> {
        (0..CORES_MAX).filter(|core| self.all.is_set(*core))
    }

    /// Takes a core, unless somebody has it.
    fn take(&self, core: usize) -> bool {
        self.all.is_set(core) && self.kept.get(core).is_some_and(|kept| !kept.swap(true, Ordering::Relaxed))
    }

    fn give_back(&self, core: usize) {
        if let Some(kept) = self.kept.get(core) {
            kept.store(false, Ordering::Relaxed);
        }
    }
}

/// The place of the calling thread.
pub(super) struct Place {
    cores: Option<Arc<Cores>>,
    /// The core that is kept, and since when.
    kept: Option<(usize, Instant)>,
    since: Instant,
    slept: Duration,
    /// What had come in on each core at the last look.
    arrived: [u64; CORES_MAX],
    /// Windows in a row in which the worker was in the way of what it receives.
    crowded: u32,
}

impl Place {
    /// A place among those cores.
    pub(super) fn new(cores: Option<Arc<Cores>>, now: Instant) -> Self {
        Self { cores, kept: None, since: now, slept: Duration::ZERO, arrived: [0; CORES_MAX], crowded: 0 }
    }

    /// Whether the worker is busy and has a core of its own.
    pub(super) fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// To be told how long the worker slept.
    pub(super) fn slept(&mut self, time: Duration) {
        self.slept += time;
    }

    /// To be asked now and then. `add` adds the bytes that the worker received since the start to those of the cores that
    /// they came in on.
    pub(super) fn look(&mut self, now: Instant, add: impl Fn(&mut [u64; CORES_MAX])) {
        let window = now - self.since;
        if window < WINDOW {
            return;
        }
        let is_busy = self.slept < window / 2;
        (self.since, self.slept) = (now, Duration::ZERO);
        let Some(cores) = self.cores.clone() else { return };
        match self.kept {
            Some((core, since)) if !is_busy || now - since >= KEPT => {
                self.kept = None;
                cores.give_back(core);
                // Refused here and below, the thread stays where it may be, which is as good.
                let _ = sched_setaffinity(None, &cores.all);
            }
            Some((core, since)) => {
                let arrived = self.arrivals(add);
                if let Some(better) = self.better(&cores, core, &arrived) {
                    cores.give_back(core);
                    self.keep(better, since);
                }
            }
            None if is_busy => {
                let here = sched_getcpu();
                if cores.take(here) {
                    self.arrivals(add);
                    self.crowded = 0;
                    self.keep(here, now);
                }
            }
            None => {}
        }
    }

    fn keep(&mut self, core: usize, since: Instant) {
        self.kept = Some((core, since));
        let mut set = CpuSet::new();
        set.set(core);
        let _ = sched_setaffinity(None, &set);
    }

    /// Bytes that came in on each core since the last time.
    fn arrivals(&mut self, add: impl Fn(&mut [u64; CORES_MAX])) -> [u64; CORES_MAX] {
        let mut all = [0; CORES_MAX];
        add(&mut all);
        let before = std::mem::replace(&mut self.arrived, all);
        std::array::from_fn(|core| all[core].saturating_sub(before[core]))
    }

    /// The core to go to, taken, when most of what came in did so on the worker's own for a while.
    fn better(&mut self, cores: &Cores, own: usize, arrived: &[u64; CORES_MAX]) -> Option<usize> {
        let all: u64 = arrived.iter().sum();
        if all < BYTES_MIN || arrived[own] * 4 < all * 3 {
            self.crowded = 0;
            return None;
        }
        self.crowded += 1;
        if self.crowded < PATIENCE {
            return None;
        }
        self.crowded = 0;
        let mut others: Vec<usize> = cores.allowed().filter(|core| arrived[*core] * 4 < arrived[own]).collect();
        others.sort_by_key(|core| arrived[*core]);
        others.into_iter().find(|core| cores.take(*core))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let (Some(cores), Some((core, _))) = (&self.cores, self.kept) {
            cores.give_back(core);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker, and time that goes by for it.
    struct Lived {
        place: Place,
        now: Instant,
        /// What came in, by core.
        arrived: [u64; CORES_MAX],
    }

    impl Lived {
        fn new(cores: &Arc<Cores>) -> Self {
            let now = Instant::now();
            Self { place: Place::new(Some(Arc::clone(cores)), now), now, arrived: [0; CORES_MAX] }
        }

        /// Where the worker may run after a window of which it slept so much.
        fn window(&mut self, slept: Duration) -> CpuSet {
            self.now += WINDOW;
            self.place.slept(slept);
            let arrived = self.arrived;
            self.place.look(self.now, |by_core| *by_core = arrived);
            sched_getaffinity(None).unwrap()
        }
    }

    fn only(set: &CpuSet) -> Option<usize> {
        (0..CORES_MAX).find(|core| set.is_set(*core)).filter(|_| set.count() == 1)
    }

    #[test]
    fn a_busy_worker_keeps_a_core_for_a_while_and_one_that_sleeps_has_all() {
        let cores = Cores::shared().unwrap();
        let mut worker = Lived::new(&cores);
        let own = only(&worker.window(WINDOW / 3)).unwrap();
        assert!(worker.place.is_kept());
        assert_eq!(only(&worker.window(Duration::ZERO)), Some(own));
        assert_eq!(worker.window(WINDOW * 2 / 3), cores.all);
        assert!(!worker.place.is_kept());
        assert!(only(&worker.window(Duration::ZERO)).is_some());
        worker.now += KEPT;
        assert_eq!(worker.window(Duration::ZERO), cores.all, "the scheduler has a say");
        assert!(only(&worker.window(Duration::ZERO)).is_some());
    }

    #[test]
    fn a_core_is_kept_by_one() {
        let cores = Cores::shared().unwrap();
        for core in cores.allowed() {
            assert!(cores.take(core));
        }
        let mut worker = Lived::new(&cores);
        assert_eq!(worker.window(Duration::ZERO), cores.all);
        for core in cores.allowed() {
            cores.give_back(core);
        }
        assert!(only(&worker.window(Duration::ZERO)).is_some());
        drop(worker);
        assert!(cores.allowed().all(|core| cores.take(core)), "what ends gives back what it kept");
    }

    #[test]
    fn a_worker_leaves_the_core_where_its_frames_come_in() {
        let cores = Cores::shared().unwrap();
        let mut worker = Lived::new(&cores);
        let own = only(&worker.window(Duration::ZERO)).unwrap();
        worker.arrived[own] += BYTES_MIN;
        assert_eq!(only(&worker.window(Duration::ZERO)), Some(own), "once is no reason");
        worker.arrived[own] += BYTES_MIN;
        let moved = only(&worker.window(Duration::ZERO)).unwrap();
        assert_eq!(moved != own, cores.allowed().count() > 1);
        for _ in 0..3 {
            worker.arrived[own] += BYTES_MIN;
            assert_eq!(only(&worker.window(Duration::ZERO)), Some(moved), "they come in elsewhere now");
        }
    }

    #[test]
    fn a_worker_stays_where_others_are_in_the_way_as_much_or_nothing_comes() {
        let cores = Cores::shared().unwrap();
        let mut worker = Lived::new(&cores);
        let own = only(&worker.window(Duration::ZERO)).unwrap();
        let other = cores.allowed().find(|core| *core != own).unwrap_or(own);
        for (here, there) in [(BYTES_MIN, BYTES_MIN), (BYTES_MIN / 2, 0)] {
            for _ in 0..5 {
                worker.arrived[own] += here;
                worker.arrived[other] += there;
                assert_eq!(only(&worker.window(Duration::ZERO)), Some(own), "{here} {there}");
            }
        }
    }
}
