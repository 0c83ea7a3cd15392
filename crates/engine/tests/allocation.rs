//! Does the established path allocate? It must not: not for NAT, not for IPv6, not for ping.

use bartizan_engine::verdict::Verdict;
use bartizan_packet::frame::Frame;

use crate::counting::allocations;

mod counting;
#[path = "scenarios/house.rs"]
#[expect(dead_code, reason = "shared with the scenarios, which use more of it")]
mod house;
#[path = "scenarios/lab.rs"]
#[expect(dead_code, reason = "shared with the scenarios, which use more of it")]
mod lab;

#[test]
fn the_counter_counts() {
    assert!(allocations(|| drop(std::hint::black_box(vec![1_u8; 100]))) > 0);
}

#[test]
fn packets_of_open_sessions_allocate_nothing() {
    let nat = house::dynamic("trust", "untrust", "192.0.2.10");
    let mut lab = lab::Lab::new(&house::house(&nat, &house::rule("all", "any", "any", "allow")));
    let mut frames = Vec::new();
    for line in [
        "e1 tcp 10.1.0.5:40000 > 198.51.100.9:443 S",
        "e1 udp 10.1.0.5:40000 > 198.51.100.9:53 len=100",
        "e1 udp [2001:db8:1::5]:40000 > [2001:db8:100::9]:53 len=100",
        "e1 ping 10.1.0.5 > 198.51.100.9 id=5",
        "e1 ping 10.1.0.5 > 10.1.0.1 id=5",
    ] {
        lab.send(line);
        frames.push(lab.packet(line));
        if !line.ends_with("10.1.0.1 id=5") {
            let answer = lab.answer("SA");
            lab.reply("SA");
            frames.push(answer);
        }
    }
    frames.push(lab.packet("e1 tcp 10.1.0.5:40000 > 198.51.100.9:443 A len=1000"));
    for (port, bytes, meta) in frames {
        let port = lab.port(&port);
        let mut copy = bytes.clone();
        let mut verdicts = [Verdict::Consumed; 3];
        let now = lab.now;
        let engine = &mut lab.engine;
        let count = allocations(|| {
            for verdict in &mut verdicts {
                copy.copy_from_slice(&bytes);
                *verdict = engine.handle_frame(port, &mut Frame { bytes: &mut copy, meta }, now);
            }
        });
        assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Transmit(_))), "{verdicts:?}");
        assert_eq!(count, 0, "allocations for a packet by {port:?}");
        let mut copies = [bytes.clone(), bytes.clone()];
        let mut burst = copies.each_mut().map(|bytes| Frame { bytes, meta });
        let mut forwarded = 0;
        let count = allocations(|| {
            engine.handle_burst(port, &mut burst, now, |_, _, verdict| {
                forwarded += usize::from(matches!(verdict, Verdict::Transmit(_)));
            });
        });
        assert_eq!((forwarded, count), (2, 0), "allocations for a burst by {port:?}");
    }
}
