//! What does a packet cost the engine, without any I/O?
//!
//! `cargo bench -p bartizan-engine` prints a JSON object a line: processor time and allocations of a packet
//! by its class, of a look-up among many rules, and with `-- memory` what a million sessions take of
//! memory (in a process of its own). Processor time and not the clock's, and several rounds, because the
//! machine may have other things to do; quote the minimum.

#![expect(clippy::print_stdout, reason = "figures are what a bench is for")]

use std::hint::black_box;

use bartizan_engine::Engine;
use bartizan_packet::frame::{Frame, Meta};
use bartizan_packet::parse::parse;

use self::counting::allocations;
use self::traffic::{BURST, Class, Copies, NOW, TRUST, engine, many_rules, open, random, with_sessions};

#[path = "../tests/counting/mod.rs"]
mod counting;
#[path = "../tests/scenarios/house.rs"]
#[expect(dead_code, reason = "shared with the scenarios, which use more of it")]
mod house;
#[path = "../tests/scenarios/lab.rs"]
#[expect(dead_code, reason = "shared with the scenarios, which use more of it")]
mod lab;
#[path = "engine/traffic.rs"]
mod traffic;

const ROUNDS: usize = 15;
const MILLION: usize = 1_000_000;

fn main() {
    // Cargo adds `--bench`.
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match asked.first().map(String::as_str) {
        Some("memory") => memory(),
        Some(part) => all(part),
        None => all(""),
    }
}

/// The benches whose name has `part` in it.
fn all(part: &str) {
    let wanted = |name: &str| name.contains(part);
    for class in Class::ALL {
        let name = class.name();
        if wanted(&format!("parse/{name}")) {
            read(class);
        }
        if wanted(&format!("first-packet/{name}")) {
            first_packet(class);
        }
        if wanted(&format!("established/{name}/256")) {
            established(class, 256);
        }
    }
    if wanted("established/udp4/1000000") {
        established(Class::Udp4, MILLION);
    }
    for rules in [1, 5000, 50_000] {
        if wanted(&format!("first-match/{rules}")) {
            first_match(rules);
        }
    }
}

/// One round: how many packets, and the processor time they took.
type Round = (usize, f64);

/// Runs the rounds and prints what a packet took at least, in the middle and at most.
fn report(name: &str, allocated: u64, rounds: impl Iterator<Item = Round>) {
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

fn timed(work: impl FnOnce()) -> f64 {
    let start = processor_time();
    work();
    processor_time() - start
}

/// Nanoseconds this thread was running.
fn processor_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn read(class: Class) {
    const PACKETS: usize = 1 << 16;
    let frames: Vec<Vec<u8>> = (0..256).map(|flow| class.frame(flow)).collect();
    let allocated = allocations(|| {
        black_box(parse(&frames[0], Meta::default())).expect("it is well-formed");
    });
    let rounds = (0..ROUNDS).map(|_| {
        let time = timed(|| {
            for at in 0..PACKETS {
                black_box(parse(&frames[at % 256], Meta::default())).expect("it is well-formed");
            }
        });
        (PACKETS, time)
    });
    report(&format!("parse/{}", class.name()), allocated, rounds);
}

/// Opening a session, and ending it later.
fn first_packet(class: Class) {
    const PACKETS: usize = 4096;
    let frames: Vec<Vec<u8>> = (0..PACKETS as u32).map(|flow| class.frame(flow)).collect();
    let mut engine = engine(1, PACKETS);
    let run = |engine: &mut Engine| {
        for frame in &frames {
            open(engine, frame);
        }
        engine.clear(0..u32::MAX, |_| true, NOW);
        while engine.poll_event().is_some() {}
    };
    run(&mut engine);
    let allocated = allocations(|| run(&mut engine));
    let rounds = (0..ROUNDS).map(|_| (PACKETS, timed(|| run(&mut engine))));
    report(&format!("first-packet/{}", class.name()), allocated / PACKETS as u64, rounds);
}

/// Packets of open sessions in random order, in bursts as a worker takes them from a port, less what
/// moving the same bursts through memory takes.
fn established(class: Class, flows: usize) {
    const BURSTS: usize = 4096;
    let (mut engine, frames) = with_sessions(class, flows);
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
    report(&format!("established/{}/{flows}", class.name()), allocated, rounds);
}

fn forward(engine: &mut Engine, burst: &mut [Frame<'_>]) -> usize {
    let mut forwarded = 0;
    engine.handle_burst(TRUST, burst, NOW, |_, _, verdict| {
        forwarded += usize::from(matches!(verdict, bartizan_engine::verdict::Verdict::Transmit(_)));
    });
    forwarded
}

/// The whole decision about flows of which each is meant for another of many rules.
fn first_match(rules: u32) {
    const FLOWS: usize = 4096;
    let (tables, flows) = many_rules(rules, FLOWS);
    let run = || {
        for flow in &flows {
            black_box(bartizan_policy::decide::decide(&tables, flow));
        }
    };
    let allocated = allocations(run);
    let rounds = (0..ROUNDS).map(|_| (FLOWS, timed(run)));
    report(&format!("first-match/{rules}"), allocated / FLOWS as u64, rounds);
}

/// Resident memory before and after a million sessions, half of them TCP.
fn memory() {
    let mut engine = engine(1, MILLION);
    let before = resident_kib();
    for flow in 0..MILLION as u32 {
        let class = if flow % 2 == 0 { Class::Udp4 } else { Class::Tcp4 };
        open(&mut engine, &class.frame(flow));
        while engine.poll_event().is_some() {}
    }
    let sessions = engine.counters().sessions_active;
    assert_eq!(sessions, MILLION as u64);
    let bytes = (resident_kib() - before) * 1024;
    println!(
        "{{\"bench\":\"memory/1000000-sessions\",\"unit\":\"MB\",\"min\":{0:.1},\"median\":{0:.1},\"max\":{0:.1},\"allocations\":0}}",
        bytes as f64 / 1e6
    );
}

#[expect(clippy::disallowed_methods, reason = "the kernel says in a file how large a process is")]
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a mounted /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a VmRSS line");
    line.trim().trim_end_matches(" kB").parse().expect("a number of kB")
}
