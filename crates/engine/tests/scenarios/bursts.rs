//! Is a burst the same as its frames one after the other?
//!
//! Few flows, so that frames of one burst open, close, refuse and reopen one another's sessions.

use bartizan_engine::Settings;
use bartizan_engine::verdict::Verdict;
use bartizan_packet::frame::Frame;

use crate::house::{house, rule};
use crate::lab::Lab;

fn random(state: &mut u64, below: usize) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize % below
}

/// Frames by `e1` and by `e2`.
fn lines() -> [Vec<String>; 2] {
    let mut sides = [Vec::new(), Vec::new()];
    for port in 1..=4 {
        for words in ["S", "A", "A len=100", "FA", "R", "S seq=90000"] {
            sides[0].push(format!("e1 tcp 10.1.0.5:{port} > 198.51.100.9:443 {words}"));
            sides[0].push(format!("e1 tcp [2001:db8:1::5]:{port} > [2001:db8:100::9]:443 {words}"));
        }
        for words in ["SA server", "A server", "FA server", "R server"] {
            sides[1].push(format!("e2 tcp 198.51.100.9:443 > 10.1.0.5:{port} {words}"));
            sides[1].push(format!("e2 tcp [2001:db8:100::9]:443 > [2001:db8:1::5]:{port} {words}"));
        }
        sides[0].push(format!("e1 udp 10.1.0.5:{port} > 198.51.100.9:53 len=9"));
        sides[1].push(format!("e2 udp 198.51.100.9:53 > 10.1.0.5:{port} len=9"));
        sides[0].push(format!("e1 ping 10.1.0.5 > 10.1.0.1 id={port}"));
        sides[1].push(format!("e2 udp 198.51.100.9:99 > 10.1.0.5:{port} len=9"));
        sides[0].push(format!("e1 udp 10.1.0.5:{port} > 198.51.100.9:99 len=9"));
    }
    sides
}

#[test]
fn a_burst_is_its_frames_one_after_the_other() {
    // Replies of one flow are refused until its client opens it: `back` lets only `out` through.
    let config = house("", &(rule("out", "trust", "untrust", "allow") + &rule("back", "untrust", "trust", "deny")));
    let lab = || Lab::with(&config, Settings { sessions_max: 12, ..Settings::default() });
    let (mut together, mut singly) = (lab(), lab());
    for lab in [&mut together, &mut singly] {
        // Afterwards the neighbours are known.
        lab.send("e1 udp 10.1.0.5:7 > 198.51.100.9:7 len=1");
        lab.reply("udp");
        lab.send("e1 udp [2001:db8:1::5]:7 > [2001:db8:100::9]:7 len=1");
        lab.reply("udp");
    }
    // Both labs print the ports of these lines.
    lines().iter().flatten().for_each(|line| drop(singly.packet(line)));
    let pool = lines().map(|lines| lines.iter().map(|line| together.packet(line)).collect::<Vec<_>>());
    let (mut state, mut forwarded) = (1, 0);
    for burst in 0..2000 {
        let side = &pool[random(&mut state, 2)];
        let count = 1 + random(&mut state, 100);
        let mut chosen: Vec<_> = (0..count).map(|_| side[random(&mut state, side.len())].clone()).collect();
        let port = together.port(&chosen[0].0);
        let mut expected = Vec::new();
        for (_, bytes, meta) in &chosen {
            let mut bytes = bytes.clone();
            let verdict = singly.engine.handle_frame(port, &mut Frame { bytes: &mut bytes, meta: *meta }, singly.now);
            forwarded += usize::from(matches!(verdict, Verdict::Transmit(_)));
            expected.push((verdict, bytes));
        }
        let mut verdicts = Vec::new();
        let mut frames: Vec<_> = chosen.iter_mut().map(|(_, bytes, meta)| Frame { bytes, meta: *meta }).collect();
        together.engine.handle_burst(port, &mut frames, together.now, |at, _, verdict| {
            assert_eq!(at, verdicts.len());
            verdicts.push(verdict);
        });
        let got: Vec<_> = verdicts.into_iter().zip(chosen.into_iter().map(|(_, bytes, _)| bytes)).collect();
        assert_eq!(got, expected, "burst {burst}");
        assert_eq!(together.settle(), singly.settle(), "burst {burst}");
        let seconds = [0, 0, 1, 20][random(&mut state, 4)];
        together.pass(seconds);
        singly.pass(seconds);
    }
    assert_eq!(together.counters(), singly.counters());
    assert_eq!(together.sessions(), singly.sessions());
    assert!(forwarded > 20_000, "{forwarded} frames passed");
    assert!(together.counters().sessions_closed > 1000, "{} sessions", together.counters().sessions_closed);
}
