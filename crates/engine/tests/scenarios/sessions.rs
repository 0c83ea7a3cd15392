//! How sessions open, live, are refused and end.

use bartizan_engine::hits::RuleBase;
use bartizan_engine::settings::{Limits, Settings};
use bartizan_engine::verdict::{DropReason, EndReason, Event, PeerMessage, SessionState, Verdict};

use crate::house::{dynamic, house, inbound, rule, rule_with};
use crate::lab::Lab;

fn open() -> String {
    house("", &rule("all", "any", "any", "allow"))
}

fn handshake(lab: &mut Lab, client: &str, server: &str) {
    lab.send(&format!("e1 tcp {client} > {server} S"));
    assert!(lab.reply("SA").ends_with("SA"));
    assert!(lab.send(&format!("e1 tcp {client} > {server} A")).ends_with(" A"));
}

#[test]
fn a_connection_from_syn_to_time_wait() {
    let mut lab = Lab::new(&open());
    lab.check("e1 tcp 10.1.0.5:40000 > 198.51.100.9:443 S", "e2 tcp 10.1.0.5:40000 > 198.51.100.9:443 S");
    assert_eq!(lab.session().state, SessionState::Opening);
    lab.check_reply("SA", "e1 tcp 198.51.100.9:443 > 10.1.0.5:40000 SA");
    lab.check("e1 tcp 10.1.0.5:40000 > 198.51.100.9:443 A", "e2 tcp 10.1.0.5:40000 > 198.51.100.9:443 A");
    assert_eq!(lab.session().state, SessionState::Active);
    lab.check("e1 tcp 10.1.0.5:40000 > 198.51.100.9:443 FA", "e2 tcp 10.1.0.5:40000 > 198.51.100.9:443 FA");
    assert_eq!(lab.session().state, SessionState::Closing);
    lab.check_reply("FA ack=1002", "e1 tcp 198.51.100.9:443 > 10.1.0.5:40000 FA");
    assert_eq!(lab.session().state, SessionState::Closed);
    lab.pass(14);
    assert_eq!(lab.sessions().len(), 1, "late segments still find it");
    lab.pass(2);
    assert_eq!(lab.logs(), ["end 10.1.0.5 > 198.51.100.9 trust>untrust allow all tcp-fin"]);
    assert_eq!(lab.counters().sessions_active, 0);
}

#[test]
fn silence_ends_sessions_by_what_they_were() {
    let cases: [(&[&str], u64); 7] = [
        (&["tcp 10.1.0.5:40000 > 198.51.100.9:443 S"], 5),
        (&["tcp 10.1.0.5:40000 > 198.51.100.9:443 S", "<SA"], 10),
        (&["tcp 10.1.0.5:40000 > 198.51.100.9:443 S", "<SA", "tcp 10.1.0.5:40000 > 198.51.100.9:443 A"], 3600),
        (
            &[
                "tcp 10.1.0.5:40000 > 198.51.100.9:443 S",
                "<SA",
                "tcp 10.1.0.5:40000 > 198.51.100.9:443 A",
                "tcp 10.1.0.5:40000 > 198.51.100.9:443 FA",
            ],
            120,
        ),
        (&["udp 10.1.0.5:40000 > 198.51.100.9:53"], 30),
        (&["ping 10.1.0.5 > 198.51.100.9 id=1"], 6),
        (&["proto 10.1.0.5 > 198.51.100.9 proto=47"], 30),
    ];
    for (lines, seconds) in cases {
        let mut lab = Lab::new(&open());
        for line in lines {
            match line.strip_prefix('<') {
                Some(words) => lab.reply(words),
                None => lab.send(&format!("e1 {line}")),
            };
        }
        lab.pass(seconds - 1);
        assert_eq!(lab.sessions().len(), 1, "{lines:?} is over before {seconds} s");
        lab.pass(2);
        assert_eq!(lab.sessions().len(), 0, "{lines:?} lives after {seconds} s");
        assert_eq!(lab.logs(), ["end 10.1.0.5 > 198.51.100.9 trust>untrust allow all aged-out"]);
    }
}

#[test]
fn a_session_past_its_time_is_over_even_if_no_timer_ran() {
    let mut lab = Lab::new(&open());
    lab.send("e1 udp 10.1.0.5:40000 > 198.51.100.9:53");
    let first = lab.session().id;
    lab.now.0 += 31_000_000_000;
    lab.check("e1 udp 10.1.0.5:40000 > 198.51.100.9:53", "e2 udp 10.1.0.5:40000 > 198.51.100.9:53");
    assert_ne!(lab.session().id, first);
    assert_eq!(lab.logs(), ["end 10.1.0.5 > 198.51.100.9 trust>untrust allow all aged-out"]);
}

#[test]
fn resets_end_and_forged_ones_do_not() {
    let mut lab = Lab::new(&open());
    handshake(&mut lab, "10.1.0.5:40000", "198.51.100.9:443");
    lab.check_reply("R seq=99999999", "drop tcp-out-of-window");
    assert_eq!(lab.session().state, SessionState::Active);
    lab.check_reply("R seq=5001", "e1 tcp 198.51.100.9:443 > 10.1.0.5:40000 R");
    assert_eq!(lab.session().state, SessionState::Closed);
    // A new connection on the same ports opens a new session at once.
    lab.check("e1 tcp 10.1.0.5:40000 > 198.51.100.9:443 S", "e2 tcp 10.1.0.5:40000 > 198.51.100.9:443 S");
    assert_eq!(lab.session().state, SessionState::Opening);
    assert_eq!(
        lab.logs(),
        [
            "drop 198.51.100.9 > 10.1.0.5 untrust>- drop - tcp-out-of-window",
            "end 10.1.0.5 > 198.51.100.9 trust>untrust allow all tcp-rst-from-server",
        ]
    );
}

#[test]
fn a_rule_that_resets_answers_each_syn() {
    let mut lab = Lab::new(&house("", &rule("no", "trust", "untrust", "reset-client")));
    for _ in 0..2 {
        let expected = "drop policy-deny\ne1 tcp 198.51.100.9:443 > 10.1.0.5:40000 RA";
        lab.check("e1 tcp 10.1.0.5:40000 > 198.51.100.9:443 S", expected);
    }
    lab.check("e1 udp 10.1.0.5:40000 > 198.51.100.9:53", "drop policy-deny");
    assert_eq!(lab.counters().rejections, 2);
    assert!(lab.sessions().iter().all(|session| session.state == SessionState::Discard));
    lab.pass(61);
    assert_eq!(lab.sessions().len(), 1, "UDP is forgotten after 60 s, TCP after 90 s");
    lab.pass(30);
    assert_eq!(lab.sessions().len(), 0);
}

#[test]
fn a_rule_may_answer_with_unreachable() {
    let rules = rule_with("no", "trust", "untrust", "drop", "<icmp-unreachable>yes</icmp-unreachable>");
    let mut lab = Lab::new(&house("", &rules));
    lab.check(
        "e1 udp 10.1.0.5:40000 > 198.51.100.9:53 len=20",
        "drop policy-deny\ne1 icmp 3/13 10.1.0.1 > 10.1.0.5 about 10.1.0.5:40000 > 198.51.100.9:53",
    );
    lab.check(
        "e1 udp [2001:db8:1::5]:40000 > [2001:db8:100::9]:53 len=20",
        "drop policy-deny\ne1 icmp 1/1 2001:db8:1::1 > 2001:db8:1::5 about [2001:db8:1::5]:40000 > [2001:db8:100::9]:53",
    );
}

#[test]
fn an_error_quotes_what_would_have_been_on_the_wire_even_if_its_checksum_was_left_to_the_card() {
    let rules = rule_with("no", "trust", "untrust", "drop", "<icmp-unreachable>yes</icmp-unreachable>");
    let mut lab = Lab::new(&house("", &rules));
    let mut quoted = |words: &str| {
        lab.send(&format!("e1 udp 10.1.0.5:40000 > 198.51.100.9:53 len=20 {words}"));
        lab.last().1[42..].to_vec()
    };
    assert_eq!(quoted("partial"), quoted(""));
}

#[test]
fn answers_are_bounded() {
    let limits = Limits { answers_per_second: 3, ..Limits::default() };
    let mut lab =
        Lab::with(&house("", &rule("no", "any", "any", "reset-both")), Settings { limits, ..Settings::default() });
    for port in 0..10 {
        lab.send(&format!("e1 tcp 10.1.0.5:{} > 198.51.100.9:443 S", 40_000 + port));
    }
    assert_eq!((lab.counters().rejections, lab.counters().rejections_suppressed), (3, 7));
}

#[test]
fn a_commit_that_refuses_ends_open_sessions_with_resets() {
    let mut lab = Lab::new(&open());
    handshake(&mut lab, "10.1.0.5:40000", "198.51.100.9:443");
    lab.commit(&house("", &rule("no", "any", "any", "reset-both")));
    lab.pass(0);
    let resets = lab.settle();
    assert_eq!(resets, ["e1 tcp 198.51.100.9:443 > 10.1.0.5:40000 RA", "e2 tcp 10.1.0.5:40000 > 198.51.100.9:443 RA"]);
    assert_eq!(lab.logs(), ["end 10.1.0.5 > 198.51.100.9 trust>untrust allow all policy-deny"]);
    assert_eq!(lab.session().state, SessionState::Discard);
    lab.check("e1 tcp 10.1.0.5:40000 > 198.51.100.9:443 R", "drop policy-deny");
}

#[test]
fn a_commit_asks_with_the_next_packet_if_the_sweep_was_not_there_yet() {
    let mut lab = Lab::new(&open());
    lab.send("e1 udp 10.1.0.5:40000 > 198.51.100.9:53");
    let id = lab.session().id;
    lab.commit(&house("", &rule("other-name", "any", "any", "allow")));
    lab.check("e1 udp 10.1.0.5:40000 > 198.51.100.9:53", "e2 udp 10.1.0.5:40000 > 198.51.100.9:53");
    let session = lab.session();
    assert_eq!(session.id, id, "an allowed session goes on");
    assert_eq!(lab.tables.rule_name(session.rule.unwrap()), "other-name");
    lab.commit(&house("", &rule("no", "any", "any", "drop")));
    lab.check_reply("", "drop policy-deny");
    lab.commit(&open());
    lab.check("e1 udp 10.1.0.5:40000 > 198.51.100.9:53", "e2 udp 10.1.0.5:40000 > 198.51.100.9:53");
    assert_ne!(lab.session().id, id, "a lifted refusal opens a new session");
}

#[test]
fn a_commit_keeps_the_nat_mapping() {
    let allow = rule("all", "any", "any", "allow");
    let mut lab = Lab::new(&house(&dynamic("trust", "untrust", "192.0.2.10"), &allow));
    lab.check("e1 udp 10.1.0.5:40000 > 198.51.100.9:53", "e2 udp 192.0.2.10:* > 198.51.100.9:53");
    let server = lab.session().server;
    lab.commit(&house(&dynamic("trust", "untrust", "192.0.2.20"), &allow));
    lab.check("e1 udp 10.1.0.5:40000 > 198.51.100.9:53", "e2 udp 192.0.2.10:* > 198.51.100.9:53");
    assert_eq!(lab.session().server, server);
    lab.check("e1 udp 10.1.0.5:40001 > 198.51.100.9:53", "e2 udp 192.0.2.20:* > 198.51.100.9:53");
}

#[test]
fn a_session_whose_interface_is_gone_ends() {
    let mut lab = Lab::new(&open());
    lab.check("e3 udp 10.3.0.9:40000 > 10.1.0.5:53", "e1 udp 10.3.0.9:40000 > 10.1.0.5:53");
    let without_dmz = open()
        .replace("<member>ethernet1/3</member>", "")
        .replace(r#"<entry name="dmz"><network><layer3></layer3></network></entry>"#, "");
    lab.commit(&without_dmz);
    lab.pass(0);
    assert_eq!(lab.sessions(), []);
    assert_eq!(lab.logs(), ["end 10.3.0.9 > 10.1.0.5 dmz>trust allow all configuration-change"]);
}

#[test]
fn a_session_to_an_address_that_was_the_firewalls_once_is_no_session_of_it() {
    let before =
        open().replace("<entry name=\"10.1.0.1/24\"/>", "<entry name=\"10.1.0.1/24\"/><entry name=\"10.1.0.9/32\"/>");
    let mut lab = Lab::new(&before);
    lab.check("e1 ping 10.1.0.5 > 10.1.0.9 id=7", "e1 pong 10.1.0.9 > 10.1.0.5 id=7");
    lab.commit(&open());
    lab.check("e1 udp 10.1.0.5:4000 > 10.1.0.9:53", "e1 udp 10.1.0.5:4000 > 10.1.0.9:53");
    // The sweep of the commit before has not come by.
    lab.commit(&open());
    lab.check("e1 udp 10.1.0.5:4000 > 10.1.0.9:53", "e1 udp 10.1.0.5:4000 > 10.1.0.9:53");
    lab.pass(0);
    assert_eq!((lab.sessions().len(), lab.counters().sessions_address_lost), (1, 1), "only the ping's is over");
}

#[test]
fn clear_and_shutdown_log_every_session() {
    let limits = Limits { events: 4, ..Limits::default() };
    let mut lab = Lab::with(&open(), Settings { limits, ..Settings::default() });
    for port in 0..10 {
        lab.send(&format!("e1 udp 10.1.0.5:{} > 198.51.100.9:53", 40_000 + port));
    }
    let now = lab.now;
    assert_eq!(lab.engine.clear(0..u32::MAX, |session| session.client.source_port == 40_003, now), 1);
    assert_eq!(lab.logs(), ["end 10.1.0.5 > 198.51.100.9 trust>untrust allow all cleared"]);
    lab.engine.shutdown(now);
    let ends = lab.logs();
    assert_eq!(ends.len(), 9, "more than the event queue holds");
    assert!(ends.iter().all(|line| line.ends_with(EndReason::Shutdown.as_str())));
    assert_eq!(lab.counters().sessions_active, 0);
    assert_eq!(lab.counters().log_overflow, 0);
}

#[test]
fn a_full_table_refuses_new_sessions_and_serves_the_old() {
    let mut lab = Lab::with(&open(), Settings { sessions_max: 2, ..Settings::default() });
    lab.send("e1 udp 10.1.0.5:40000 > 198.51.100.9:53");
    lab.send("e1 udp 10.1.0.5:40001 > 198.51.100.9:53");
    lab.check("e1 udp 10.1.0.5:40002 > 198.51.100.9:53", "drop session-table-full");
    lab.check("e1 udp 10.1.0.5:40001 > 198.51.100.9:53", "e2 udp 10.1.0.5:40001 > 198.51.100.9:53");
    lab.pass(31);
    lab.check("e1 udp 10.1.0.5:40002 > 198.51.100.9:53", "e2 udp 10.1.0.5:40002 > 198.51.100.9:53");
}

#[test]
fn a_pool_runs_dry_and_ports_come_back() {
    let nat = dynamic("trust", "untrust", "192.0.2.10");
    let config = house(&nat, &rule("all", "any", "any", "allow"));
    let settings = Settings { sessions_max: 100_000, workers: 1, ..Settings::default() };
    let mut lab = Lab::with(&config, settings);
    lab.send("e1 udp 10.1.0.5:9 > 198.51.100.9:53");
    let mut ports = std::collections::BTreeSet::new();
    for client in 0..64_512 {
        let line = format!("e1 udp 10.1.0.{}:{} > 198.51.100.9:53", 5 + client / 60_000, 1000 + client % 60_000);
        let (port, mut bytes, meta) = lab.packet(&line);
        let mut frame = bartizan_packet::frame::Frame { bytes: &mut bytes, meta };
        let verdict = lab.engine.handle_frame(lab.port(&port), &mut frame, lab.now);
        if client < 64_511 {
            assert!(matches!(verdict, Verdict::Transmit(_)), "client {client}: {verdict:?}");
            let port = u16::from_be_bytes([bytes[34], bytes[35]]);
            assert!(port >= 1024 && ports.insert(port), "port {port} twice");
        } else {
            assert_eq!(verdict, Verdict::Drop(DropReason::NatPoolExhausted));
        }
    }
    lab.pass(31);
    assert!(lab.send("e1 udp 10.1.0.5:40002 > 198.51.100.9:53").starts_with("e2 udp 192.0.2.10:"));
}

#[test]
fn destination_nat_with_a_port() {
    let nat = inbound("192.0.2.50", "untrust", "10.3.0.9", 8080)
        + &inbound("192.0.2.51", "untrust", "10.3.0.9", 8080).replace("'in'", "'in2'");
    let mut lab = Lab::new(&house(&nat, &rule("all", "any", "any", "allow")));
    lab.check("e2 tcp 198.51.100.9:50000 > 192.0.2.50:80 S", "e3 tcp 198.51.100.9:50000 > 10.3.0.9:8080 S");
    lab.check_reply("SA", "e2 tcp 192.0.2.50:80 > 198.51.100.9:50000 SA");
    // The same server by another public address would be the same flow behind.
    lab.check("e2 tcp 198.51.100.9:50000 > 192.0.2.51:80 S", "drop nat-collision");
}

#[test]
fn two_hosts_may_ping_one_another_with_the_same_identifier() {
    let rules = rule("out", "trust", "untrust", "allow") + &rule("in", "untrust", "trust", "drop");
    let mut lab = Lab::new(&house("", &rules));
    lab.check("e1 ping 10.1.0.5 > 192.0.2.9 id=1", "e2 ping 10.1.0.5 > 192.0.2.9 id=1");
    lab.check("e2 ping 192.0.2.9 > 10.1.0.5 id=1", "drop policy-deny");
    lab.check("e2 pong 192.0.2.9 > 10.1.0.5 id=1", "e1 pong 192.0.2.9 > 10.1.0.5 id=1");
    lab.check("e2 pong 192.0.2.9 > 10.1.0.5 id=2", "drop icmp-unrelated");
}

#[test]
fn workers_hand_frames_over_and_steer_what_translation_moved() {
    let nat = dynamic("trust", "untrust", "192.0.2.10");
    let config = house(&nat, &rule("all", "any", "any", "allow"));
    let line = "e1 ping 10.1.0.5 > 198.51.100.9 id=77";
    let mut labs: Vec<Lab> =
        (0..4).map(|worker| Lab::with(&config, Settings { worker, workers: 4, ..Settings::default() })).collect();
    let home: usize = labs
        .iter_mut()
        .enumerate()
        .map(|(worker, lab)| match lab.send(line) {
            sent if sent.starts_with("e2") => worker,
            handed => {
                assert!(handed.starts_with("handoff"), "{handed}");
                usize::MAX
            }
        })
        .filter(|worker| *worker != usize::MAX)
        .sum();
    let (port, reply, _) = labs[home].answer("");
    let steer = labs[home].messages.iter().find_map(|event| match event {
        Event::Tell { to: Some(to), message } if matches!(message, PeerMessage::Steer { .. }) => Some((*to, *message)),
        _ => None,
    });
    // Echo has no ports to choose, so the reply arrives elsewhere unless chance has it.
    let (elsewhere, message) = steer.expect("this flow's reply hashes to another worker");
    let other = usize::from(elsewhere);
    assert_eq!(labs[other].inject(&port, reply.clone(), Default::default()), "drop icmp-unrelated");
    let now = labs[other].now;
    labs[other].engine.handle_peer(message, now);
    assert_eq!(labs[other].inject(&port, reply.clone(), Default::default()), format!("handoff {home}"));
    assert_eq!(labs[home].inject(&port, reply.clone(), Default::default()), "e1 pong 198.51.100.9 > 10.1.0.5 id=77");
    labs[home].messages.clear();
    // A commit leaves the session no way: what its server sends is none of this worker's any more.
    labs[home].commit(&config.replace("0.0.0.0/0", "203.0.114.0/24"));
    assert_eq!(labs[home].inject(&port, reply, Default::default()), format!("handoff {other}"));
    let gone = labs[home].messages.iter().any(
        |event| matches!(event, Event::Tell { to, message: PeerMessage::Unsteer { .. } } if *to == Some(elsewhere)),
    );
    assert!(gone, "the other worker is told that the session is gone");
}

#[test]
fn with_ports_to_choose_replies_come_back_to_the_same_worker() {
    let nat = dynamic("trust", "untrust", "192.0.2.10");
    let config = house(&nat, &rule("all", "any", "any", "allow"));
    let mut lab = Lab::with(&config, Settings { worker: 1, workers: 4, ..Settings::default() });
    for port in 40_000..40_200 {
        lab.send(&format!("e1 udp 10.1.0.5:{port} > 198.51.100.9:53"));
    }
    assert!(lab.sessions().len() > 20, "a quarter of the flows is this worker's");
    assert_eq!(lab.counters().steered, 0);
}

#[test]
fn a_refused_flow_does_not_stand_in_the_way_of_the_other_direction() {
    let rules = rule("out", "trust", "untrust", "drop") + &rule("in", "untrust", "trust", "allow");
    let mut lab = Lab::new(&house("", &rules));
    lab.check("e1 udp 10.1.0.5:500 > 192.0.2.9:500", "drop policy-deny");
    lab.check("e2 udp 192.0.2.9:500 > 10.1.0.5:500", "e1 udp 192.0.2.9:500 > 10.1.0.5:500");
}

#[test]
fn refused_flows_take_half_of_the_table_at_most() {
    let rules = rule("no", "untrust", "any", "drop") + &rule("yes", "trust", "any", "allow");
    let mut lab = Lab::with(&house("", &rules), Settings { sessions_max: 10, ..Settings::default() });
    for port in 1..=20 {
        lab.check(&format!("e2 udp 192.0.2.9:{port} > 10.1.0.5:53"), "drop policy-deny");
    }
    assert_eq!((lab.counters().sessions_active, lab.counters().sessions_refused), (5, 5));
    assert_eq!(lab.logs().len(), 15, "ten lines a second for those without a session");
    lab.check("e1 udp 10.1.0.5:53 > 192.0.2.9:53", "e2 udp 10.1.0.5:53 > 192.0.2.9:53");
    lab.pass(61);
    lab.check("e2 udp 192.0.2.9:1 > 10.1.0.5:53", "drop policy-deny");
    assert_eq!(lab.counters().sessions_active, 1, "room again");
}

#[test]
fn nobody_answers_pings_in_the_firewalls_name() {
    let mut lab = Lab::new(&open());
    lab.check("e1 ping 10.1.0.5 > 10.1.0.1 id=3", "e1 pong 10.1.0.1 > 10.1.0.5 id=3");
    lab.check("e1 pong 10.1.0.1 > 10.1.0.5 id=3", "drop icmp-unrelated");
}

#[test]
fn a_reopened_connection_keeps_its_translated_port() {
    let nat = dynamic("trust", "untrust", "192.0.2.10");
    let mut lab = Lab::new(&house(&nat, &rule("all", "any", "any", "allow")));
    handshake(&mut lab, "10.1.0.5:40000", "198.51.100.9:443");
    let port = lab.session().server.destination_port;
    for round in 0..5 {
        lab.send("e1 tcp 10.1.0.5:40000 > 198.51.100.9:443 FA");
        lab.reply("FA ack=1002");
        assert_eq!(lab.session().state, SessionState::Closed);
        handshake(&mut lab, "10.1.0.5:40000", "198.51.100.9:443");
        assert_eq!(lab.session().server.destination_port, port, "round {round}");
    }
    lab.check("e1 tcp 10.1.0.5:40001 > 198.51.100.9:443 S", "e2 tcp 192.0.2.10:* > 198.51.100.9:443 S");
    let ports: Vec<_> = lab.sessions().iter().map(|session| session.server.destination_port).collect();
    assert_ne!(ports[0], ports[1]);
}

#[test]
fn session_ids_are_short_and_no_two_workers_give_out_the_same() {
    let ids = |worker| {
        let settings = Settings { worker, workers: 3, ..Settings::default() };
        let mut lab = Lab::with(&house("", ""), settings);
        // Those of other workers are handed over.
        for port in 1..1000 {
            if lab.sessions().len() < 3 {
                lab.send(&format!("e1 udp 10.1.0.5:{port} > 198.51.100.9:2"));
            }
        }
        let mut ids: Vec<_> = lab.sessions().iter().map(|session| session.id).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!([ids(0), ids(1), ids(2)], [[1, 4, 7], [2, 5, 8], [3, 6, 9]]);
}

#[test]
fn rules_count_the_flows_they_decide_across_commits() {
    let rules = rule("web", "trust", "untrust", "allow") + &rule("rest", "any", "any", "deny");
    let text = house(&dynamic("trust", "untrust", "192.0.2.7"), &rules);
    let mut lab = Lab::new(&text);
    let count = |lab: &Lab, base, name: &str| {
        let ids = lab.tables.ids();
        let names = if base == RuleBase::Nat { &ids.nat_rules } else { &ids.rules };
        lab.engine.hits().of(base, names.position(name).unwrap())
    };
    let start = lab.now;
    handshake(&mut lab, "10.1.0.5:40000", "198.51.100.9:443");
    lab.pass(3);
    lab.send("e1 udp 10.1.0.5:40000 > 198.51.100.9:53");
    lab.check("e3 udp 10.3.0.5:40000 > 198.51.100.9:53", "drop policy-deny");
    let web = count(&lab, RuleBase::Security, "web");
    assert_eq!((web.count, web.first, web.last), (2, Some(start), Some(lab.now)));
    assert_eq!(count(&lab, RuleBase::Nat, "out"), web);
    assert_eq!(count(&lab, RuleBase::Security, "rest").count, 1);
    assert_eq!(count(&lab, RuleBase::Security, "interzone-default").count, 0);
    lab.commit(&house(&dynamic("trust", "untrust", "192.0.2.7"), &(rule("new", "dmz", "dmz", "allow") + &rules)));
    lab.send("e1 tcp 10.1.0.5:40000 > 198.51.100.9:443 A");
    assert_eq!(count(&lab, RuleBase::Security, "web"), web, "the rule moved, its session was asked again");
    let web_id = lab.tables.ids().rules.position("web").unwrap();
    lab.engine.clear_hits(RuleBase::Security, |rule| rule == web_id, lab.now);
    let web = count(&lab, RuleBase::Security, "web");
    assert_eq!((web.count, web.first, web.reset), (0, None, Some(lab.now)));
    assert_eq!(count(&lab, RuleBase::Security, "rest").count, 1);
    assert_eq!(count(&lab, RuleBase::Nat, "out").count, 2);
}

/// Everything allowed, with these settings of the device.
fn set(setting: &str) -> String {
    let all = format!("<deviceconfig><setting>{setting}</setting></deviceconfig><network>");
    open().replacen("<network>", &all, 1)
}

#[test]
fn idle_times_are_those_of_the_configuration() {
    let seconds = |lab: &Lab| lab.sessions().iter().map(|session| session.expires.since(lab.now) / 1_000_000_000).max();
    let config = set("<session><timeout-tcp>7200</timeout-tcp><timeout-tcpinit>7</timeout-tcpinit>\
         <timeout-tcphandshake>17</timeout-tcphandshake><timeout-tcp-half-closed>70</timeout-tcp-half-closed>\
         <timeout-tcp-time-wait>8</timeout-tcp-time-wait><timeout-udp>40</timeout-udp>\
         <timeout-icmp>9</timeout-icmp><timeout-default>50</timeout-default></session>");
    let mut lab = Lab::new(&config);
    lab.send("e1 tcp 10.1.0.5:40000 > 198.51.100.9:443 S");
    assert_eq!(seconds(&lab), Some(7));
    lab.reply("SA");
    assert_eq!(seconds(&lab), Some(17));
    lab.send("e1 tcp 10.1.0.5:40000 > 198.51.100.9:443 A");
    assert_eq!(seconds(&lab), Some(7200));
    lab.pass(7199);
    assert_eq!(lab.sessions().len(), 1, "longer than a turn of the timer wheel");
    lab.send("e1 tcp 10.1.0.5:40000 > 198.51.100.9:443 FA");
    assert_eq!(seconds(&lab), Some(70));
    lab.reply("FA ack=1002");
    assert_eq!(seconds(&lab), Some(8));
    lab.pass(9);
    for (line, idle) in [
        ("e1 udp 10.1.0.5:40000 > 198.51.100.9:53", 40),
        ("e1 ping 10.1.0.5 > 198.51.100.9 id=5", 9),
        ("e1 proto 10.1.0.5 > 198.51.100.9 proto=50", 50),
    ] {
        lab.send(line);
        assert_eq!(seconds(&lab), Some(idle), "{line}");
        lab.pass(idle + 1);
        assert_eq!(lab.sessions(), [], "{line}");
    }
    // A later configuration: open sessions follow it from their next change on.
    handshake(&mut lab, "10.1.0.5:40001", "198.51.100.9:443");
    lab.commit(&open());
    lab.pass(0);
    assert_eq!(seconds(&lab), Some(7200));
    lab.send("e1 tcp 10.1.0.5:40001 > 198.51.100.9:443 FA");
    assert_eq!(seconds(&lab), Some(120));
}

#[test]
fn services_have_idle_times_of_their_own() {
    let seconds = |lab: &Lab| lab.sessions().iter().map(|session| session.expires.since(lab.now) / 1_000_000_000).max();
    let services = "<service><entry name='slow'><protocol><tcp><port>443</port><override><yes><timeout>9000</timeout>\
         <halfclose-timeout>33</halfclose-timeout><timewait-timeout>4</timewait-timeout></yes></override></tcp></protocol></entry>\
         <entry name='quick'><protocol><udp><port>53</port><override><yes><timeout>5</timeout></yes></override></udp></protocol>\
         </entry><entry name='plain'><protocol><udp><port>50-60</port><override><no/></override></udp></protocol></entry></service>\
         <service-group><entry name='both'><members><member>slow</member><member>quick</member></members></entry></service-group>";
    let config = |services: &str| {
        let member = |name: &str| format!("<service><member>{name}</member><member>plain</member></service>");
        open().replacen("<service><member>any</member></service>", &member("both"), 1).replacen(
            "<rulebase>",
            &format!("{services}<rulebase>"),
            1,
        )
    };
    let mut lab = Lab::new(&config(services));
    handshake(&mut lab, "10.1.0.5:40000", "198.51.100.9:443");
    assert_eq!(seconds(&lab), Some(9000));
    lab.send("e1 tcp 10.1.0.5:40000 > 198.51.100.9:443 FA");
    assert_eq!(seconds(&lab), Some(33));
    lab.reply("FA ack=1002");
    assert_eq!(seconds(&lab), Some(4));
    lab.pass(5);
    for (port, idle) in [(53, 5), (54, 30)] {
        lab.send(&format!("e1 udp 10.1.0.5:40000 > 198.51.100.9:{port}"));
        assert_eq!(seconds(&lab), Some(idle), "port {port}");
        lab.pass(idle + 1);
    }
    // A later configuration counts from the next change of state on.
    handshake(&mut lab, "10.1.0.5:40001", "198.51.100.9:443");
    lab.commit(&config(&services.replace("33", "44")));
    lab.pass(0);
    lab.send("e1 tcp 10.1.0.5:40001 > 198.51.100.9:443 FA");
    assert_eq!(seconds(&lab), Some(44));
}

#[test]
fn refused_flows_are_forgotten_when_the_configuration_says() {
    let times = "<session><timeout-discard-tcp>11</timeout-discard-tcp><timeout-discard-udp>12</timeout-discard-udp>\
                 <timeout-discard-default>13</timeout-discard-default></session>";
    let mut lab = Lab::new(&set(times).replace("<action>allow</action>", "<action>drop</action>"));
    for (line, idle) in [
        ("e1 tcp 10.1.0.5:40000 > 198.51.100.9:443 S", 11),
        ("e1 udp 10.1.0.5:40000 > 198.51.100.9:53", 12),
        ("e1 ping 10.1.0.5 > 198.51.100.9 id=5", 13),
    ] {
        lab.check(line, "drop policy-deny");
        lab.pass(idle - 1);
        assert_eq!(lab.sessions().len(), 1, "{line}");
        lab.pass(2);
        assert_eq!(lab.sessions(), [], "{line}");
    }
}

#[test]
fn segments_out_of_window_are_dropped_unless_the_way_is_asymmetric() {
    for (setting, out) in [
        ("", "drop tcp-out-of-window"),
        ("<tcp><asymmetric-path>drop</asymmetric-path></tcp>", "drop tcp-out-of-window"),
        ("<tcp><asymmetric-path>bypass</asymmetric-path></tcp>", "e2 tcp 10.1.0.5:40000 > 198.51.100.9:443 A"),
    ] {
        let mut lab = Lab::new(&set(setting));
        handshake(&mut lab, "10.1.0.5:40000", "198.51.100.9:443");
        lab.check("e1 tcp 10.1.0.5:40000 > 198.51.100.9:443 A seq=200000 len=10", out);
        lab.check("e1 tcp 10.1.0.5:40000 > 198.51.100.9:443 A ack=90000", out);
        let dropped = lab.dropped(DropReason::TcpOutOfWindow);
        assert_eq!(dropped, if out.starts_with("drop") { 2 } else { 0 }, "{setting}");
    }
}

#[test]
fn connections_are_picked_up_in_their_midst_if_they_may_be() {
    let mut lab = Lab::new(&set("<session><tcp-reject-non-syn>no</tcp-reject-non-syn></session>"));
    let line = "e1 tcp 10.1.0.5:40000 > 198.51.100.9:443 A len=10";
    lab.check(line, "e2 tcp 10.1.0.5:40000 > 198.51.100.9:443 A");
    assert_eq!(lab.session().state, SessionState::Active);
    lab.check_reply("A seq=77777777 len=10", "e1 tcp 198.51.100.9:443 > 10.1.0.5:40000 A");
    lab.pass(3000);
    assert_eq!(lab.sessions().len(), 1);
    lab.check("e1 tcp 10.1.0.5:40001 > 198.51.100.9:443 R", "drop tcp-not-syn");
    let mut strict = Lab::new(&set("<session><tcp-reject-non-syn>yes</tcp-reject-non-syn></session>"));
    strict.check(line, "drop tcp-not-syn");
}

#[test]
fn a_table_is_walked_in_steps() {
    let mut lab = Lab::new(&open());
    for port in 0..10 {
        lab.send(&format!("e1 udp 10.1.0.5:{} > 198.51.100.9:53", 40_000 + port));
    }
    let now = lab.now;
    assert_eq!(lab.engine.clear(3..5, |_| true, now), 2);
    let slots = lab.engine.session_slots();
    assert_eq!(slots, 10);
    let steps: Vec<usize> = (0..slots).step_by(4).map(|from| lab.engine.sessions_in(from..from + 4).count()).collect();
    assert_eq!(steps, [3, 3, 2]);
    assert_eq!(lab.engine.sessions_in(10..20).count(), 0);
}
