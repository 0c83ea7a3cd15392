//! How long does a piece of work take, and what does it allocate?

use std::hint::black_box;

use bartizan_engine::Engine;
use bartizan_packet::frame::Frame;

use crate::counting::allocations;
use crate::traffic::{BURST, Copies, NOW, TRUST, random};

pub(crate) const ROUNDS: usize = 15;

/// One round: how many packets, and the processor time they took.
pub(crate) type Round = (usize, f64);

/// Runs the rounds and prints what a packet took at least, in the middle and at most.
pub(crate) fn report(name: &str, allocated: u64, rounds: impl Iterator<Item = Round>) {
    let mut each: Vec<f64> = rounds.map(|(packets, nanoseconds)| nanoseconds / packets as f64).collect();
    each.sort_by(f64::total_cmp);
    let at = |position: usize| each.get(position).copied().unwrap_or(f64::NAN);
    println!(
        "{{\"bench\":\"{name}\",\"unit\":\"ns\",\"min\":{:.2},\"median\":{:.2},\"max\":{:.2},\"allocations\":{allocated}}}",
        at(0),
        at(each.len() / 2),
        at(each.len() - 1),
    );
}

pub(crate) fn timed(work: impl FnOnce()) -> f64 {
    let start = processor_time();
    work();
    processor_time() - start
}

/// Nanoseconds this thread was running.
fn processor_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Packets of open sessions in random order, in bursts as a worker takes them from a port, less what
/// moving the same bursts through memory takes.
pub(crate) fn established(name: &str, mut engine: Engine, frames: &[Vec<u8>]) {
    const BURSTS: usize = 4096;
    let flows = frames.len();
    let mut copies = Copies::new();
    let mut state = 1;
    let mut run = |engine: &mut Engine| {
        let forwarded = copies.fill(|| &frames[random(&mut state, flows)], |burst| forward(engine, burst));
        assert_eq!(forwarded, BURST);
    };
    let allocated = allocations(|| run(&mut engine));
    let mut copied = Copies::new();
    let mut other = 1;
    let rounds = (0..ROUNDS).map(|_| {
        let moved = timed(|| {
            for _ in 0..BURSTS {
                copied.fill(|| &frames[random(&mut other, flows)], |burst| black_box(burst).len());
            }
        });
        let time = timed(|| (0..BURSTS).for_each(|_| run(&mut engine)));
        (BURSTS * BURST, time - moved)
    });
    report(name, allocated, rounds);
}

fn forward(engine: &mut Engine, burst: &mut [Frame<'_>]) -> usize {
    let mut forwarded = 0;
    engine.handle_burst(TRUST, burst, NOW, |_, _, verdict| {
        forwarded += usize::from(matches!(verdict, bartizan_engine::verdict::Verdict::Transmit(_)));
    });
    forwarded
}
