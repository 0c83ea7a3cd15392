//! What does a packet cost the engine, without any I/O?
//!
//! `cargo bench -p bartizan-engine`. Established packets are UDP with source NAT, out of as many flows as
//! the argument says, in random order; each iteration is 1024 packets.

use bartizan_engine::Engine;
use bartizan_engine::settings::Settings;
use bartizan_engine::verdict::{Port, Time, Verdict};
use bartizan_packet::answer::{Link, ip_frame};
use bartizan_packet::bytes::put_u16;
use bartizan_packet::checksum;
use bartizan_packet::frame::{Frame, Meta};
use bartizan_packet::parse::parse;
use bartizan_policy::tables::IfaceId;
use divan::counter::ItemsCount;
use std::hint::black_box;
use std::net::IpAddr;

#[path = "../tests/scenarios/house.rs"]
#[expect(dead_code, reason = "shared with the scenarios, which use more of it")]
mod house;
#[path = "../tests/scenarios/lab.rs"]
#[expect(dead_code, reason = "shared with the scenarios, which use more of it")]
mod lab;

const BATCH: usize = 1024;
const NOW: Time = Time(1_000_000_000_000);
const TRUST: Port = Port::Data(IfaceId(0));

fn main() {
    divan::main();
}

fn engine(nat: bool, rules: &str, sessions_max: usize) -> Engine {
    let nat = if nat { house::dynamic("trust", "untrust", "192.0.2.64/26") } else { String::new() };
    let config = house::house(&nat, rules);
    let lab = lab::Lab::with(&config, Settings { sessions_max, ..Settings::default() });
    assert_eq!(lab.port("e1"), TRUST);
    let mut engine = lab.engine;
    let gateway = IpAddr::from([192, 0, 2, 254]);
    let neighbor = bartizan_engine::verdict::PeerMessage::Neighbor {
        port: lab.tables.interface_id("ethernet1/2").map(Port::Data).expect("the house has it"),
        address: gateway,
        mac: lab::neighbor_mac(gateway),
    };
    engine.handle_peer(neighbor, NOW);
    engine
}

/// A UDP packet of 60 bytes on the wire; one flow for each number.
fn frame(flow: u32) -> [u8; 60] {
    let source = IpAddr::from([10, 1, (flow >> 20) as u8, 2 + (flow >> 14 & 63) as u8]);
    let destination = IpAddr::from([198, 51, 100, 9]);
    let mut message = Vec::from((1024 + (flow & 0x3fff) as u16).to_be_bytes());
    message.extend([0, 53, 0, 26, 0, 0]);
    message.extend([7; 18]);
    let value = checksum::transport(source, destination, 17, &message);
    put_u16(&mut message, 6, value);
    let link = Link { source: [2, 1, 1, 1, 1, 1], destination: lab::port_mac("e1") };
    ip_frame(link, source, destination, 17, 64, &message).try_into().expect("60 bytes")
}

fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

fn send(engine: &mut Engine, bytes: &[u8; 60]) -> Verdict {
    let mut copy = *bytes;
    black_box(engine.handle_frame(TRUST, &mut Frame { bytes: &mut copy, meta: Meta::default() }, NOW))
}

#[divan::bench(args = [256, 10_000, 1_000_000], sample_count = 30)]
fn established(bencher: divan::Bencher<'_, '_>, flows: usize) {
    let mut engine = engine(true, &house::rule("all", "any", "any", "allow"), flows);
    let frames: Vec<[u8; 60]> = (0..flows as u32).map(frame).collect();
    for bytes in &frames {
        assert!(matches!(send(&mut engine, bytes), Verdict::Transmit(_)));
    }
    let mut state = 1;
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        for _ in 0..BATCH {
            let bytes = &frames[random(&mut state) as usize % flows];
            let verdict = send(&mut engine, bytes);
            debug_assert!(matches!(verdict, Verdict::Transmit(_)));
        }
    });
}

/// The memory traffic of `established` without the engine: what to subtract.
#[divan::bench(args = [256, 10_000, 1_000_000], sample_count = 30)]
fn established_baseline(bencher: divan::Bencher<'_, '_>, flows: usize) {
    let frames: Vec<[u8; 60]> = (0..flows as u32).map(frame).collect();
    let mut state = 1;
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        for _ in 0..BATCH {
            let mut copy = frames[random(&mut state) as usize % flows];
            black_box(&mut copy);
        }
    });
}

#[divan::bench(args = [1, 100, 5000], sample_count = 30)]
fn first_packet(bencher: divan::Bencher<'_, '_>, rules: u32) {
    let mut text: String = (1..rules)
        .map(|n| {
            house::rule(&format!("r{n}"), "trust", "untrust", "allow").replacen(
                "<source><member>any</member></source>",
                &format!("<source><member>172.{}.{}.0/24</member></source>", 16 + n / 256, n % 256),
                1,
            )
        })
        .collect();
    text.push_str(&house::rule("all", "any", "any", "allow"));
    let frames: Vec<[u8; 60]> = (0..BATCH as u32).map(frame).collect();
    let mut engine = engine(true, &text, 2 * BATCH);
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        for bytes in &frames {
            let verdict = send(&mut engine, bytes);
            assert!(matches!(verdict, Verdict::Transmit(_)));
        }
        // Ending them is part of the price.
        engine.clear(0..u32::MAX, |_| true, NOW);
        while engine.poll_event().is_some() {}
    });
}

#[divan::bench]
fn read_a_frame(bencher: divan::Bencher<'_, '_>) {
    let frames: Vec<[u8; 60]> = (0..BATCH as u32).map(frame).collect();
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        for bytes in &frames {
            let _ = black_box(parse(black_box(bytes), Meta::default()));
        }
    });
}
