//! What does a packet cost the engine, without any I/O?
//!
//! `cargo bench -p bartizan-engine` prints a JSON object a line: processor time and allocations of a packet
//! by its class, of a look-up among many rules, and with `-- memory` what a million sessions take of
//! memory (in a process of its own). Processor time and not the clock's, and several rounds, because the
//! machine may have other things to do; quote the minimum.

#![expect(clippy::print_stdout, reason = "figures are what a bench is for")]

use std::hint::black_box;

use bartizan_engine::Engine;
use bartizan_packet::frame::Meta;
use bartizan_packet::parse::parse;

use self::counting::allocations;
use self::measure::{ROUNDS, established, report, timed};
use self::traffic::{Class, NOW, engine, many_rules, open, with_sessions};

#[path = "../tests/counting/mod.rs"]
mod counting;
#[path = "../tests/scenarios/house.rs"]
#[expect(dead_code, reason = "shared with the scenarios, which use more of it")]
mod house;
#[path = "../tests/scenarios/lab.rs"]
#[expect(dead_code, reason = "shared with the scenarios, which use more of it")]
mod lab;
#[path = "engine/measure.rs"]
mod measure;
#[path = "engine/traffic.rs"]
mod traffic;

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
            open_sessions(class, 256);
        }
    }
    if wanted("established/udp4/1000000") {
        open_sessions(Class::Udp4, MILLION);
    }
    for rules in [1, 5000, 50_000] {
        if wanted(&format!("first-match/{rules}")) {
            first_match(rules);
        }
    }
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

fn open_sessions(class: Class, flows: usize) {
    let (engine, frames) = with_sessions(class, flows);
    established(&format!("established/{}/{flows}", class.name()), engine, &frames);
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
