//! Do captures run through the real engine, by their own clock, with a reason for every packet?

#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test itself does")]

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bartizan_firewall::load::load;
use bartizan_firewall::port::pcap::{Capture, Recorder};
use bartizan_firewall::port::virtio::HEADER_BYTES;
use bartizan_firewall::port::{Batch, Receiver, Sender};
use bartizan_firewall::replay::{Line, Request, Summary, replay};
use bartizan_packet::answer::{Link, ip_frame};
use bartizan_packet::arp::Arp;
use bartizan_packet::checksum;
use bartizan_packet::ethernet::{Mac, kind};
use bartizan_packet::frame::Meta;
use bartizan_packet::parse::{Parsed, TCP, parse};
use bartizan_policy::facts::Facts;
use bartizan_policy::names::Ids;
use bartizan_policy::tables::Compiled;
use expect_test::expect;

const INSIDE: Mac = [2, 0, 0, 0, 1, 1];
const OUTSIDE: Mac = [2, 0, 0, 0, 2, 1];
const CLIENT: Mac = [2, 0, 0, 0, 1, 10];
const SERVER: Mac = [2, 0, 0, 0, 2, 2];
const SECOND: u64 = 1_000_000_000;
/// 2026-01-01.
const START: u64 = 1_767_225_600 * SECOND;

fn tables() -> Arc<Compiled> {
    let telnet = "<entry name=\"no-telnet\"><from><member>trust</member></from><to><member>untrust</member></to><source><member>any</member></source>\
        <destination><member>any</member></destination><application><member>any</member></application><service><member>tcp-23</member></service><action>deny</action></entry>";
    let text = include_str!("../../bartizan/tests/standalone/edge.xml").replace("<!-- RULES -->", telnet);
    Arc::new(load(&text, &Facts::default(), &mut Ids::default(), 1).unwrap().compiled)
}

fn tcp(source: (&str, u16), destination: (&str, u16), flags: u8, payload: usize) -> Vec<u8> {
    let mut segment = [source.1.to_be_bytes(), destination.1.to_be_bytes()].concat();
    // Both sides begin at 1000, and a SYN takes one number.
    segment.extend(if flags & 2 == 0 { 1001_u32 } else { 1000 }.to_be_bytes());
    segment.extend(if flags & 0x10 == 0 { 0_u32 } else { 1001 }.to_be_bytes());
    segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(vec![0x5a; payload]);
    packet(source.0, destination.0, TCP, segment)
}

/// From the inside if the source is an inside address, else from the outside.
fn packet(source: &str, destination: &str, protocol: u8, mut message: Vec<u8>) -> Vec<u8> {
    let inside = source.starts_with("10.") || source.starts_with("2001:db8:1:");
    let (from, to) = if inside { (CLIENT, INSIDE) } else { (SERVER, OUTSIDE) };
    let (source, destination): (IpAddr, IpAddr) = (source.parse().unwrap(), destination.parse().unwrap());
    let (at, value) = match protocol {
        TCP => (16, checksum::transport(source, destination, protocol, &message)),
        _ => (2, checksum::checksum(&message)),
    };
    message[at..at + 2].copy_from_slice(&value.to_be_bytes());
    ip_frame(Link { source: from, destination: to }, source, destination, protocol, 64, &message)
}

fn write(path: &Path, frames: &[(u64, Vec<u8>)]) -> PathBuf {
    let mut recorder = Recorder::create(path).unwrap();
    for (after_ns, frame) in frames {
        recorder.set_time(START + after_ns);
        let mut sendable = [[0; HEADER_BYTES].as_slice(), frame].concat();
        assert_eq!(recorder.send(&mut std::iter::once(sendable.as_mut_slice())), 0);
    }
    recorder.finish().unwrap();
    path.to_owned()
}

fn run(request: &Request) -> (Vec<Line>, Summary) {
    let mut lines = Vec::new();
    let tell = &mut |line: &Line| {
        lines.push(line.clone());
        Ok(())
    };
    let summary = replay(&tables(), request, tell).unwrap();
    (lines, summary)
}

fn frames(path: &Path) -> Vec<Vec<u8>> {
    let mut capture = Capture::open(path).unwrap();
    let mut frames = Vec::new();
    while capture.peek().unwrap().is_some() {
        let mut batch = Batch::new();
        capture.receive(&mut batch);
        frames.extend(batch.into_slots().map(|mut slot| slot.frame().unwrap().view().to_vec()));
        capture.release();
    }
    frames
}

#[test]
fn each_packet_is_answered_for_and_what_left_is_on_file() {
    let folder = tempfile::tempdir().unwrap();
    let ping = packet("10.0.1.10", "10.0.1.1", 1, vec![8, 0, 0, 0, 0, 7, 0, 1]);
    let mut own = tcp(("203.0.113.2", 80), ("10.0.1.10", 40000), 0x12, 0);
    own[..12].copy_from_slice(&[CLIENT, INSIDE].concat());
    let question = Arp::request(CLIENT, [10, 0, 1, 10].into(), [10, 0, 1, 1].into());
    let inside = [
        (0, tcp(("10.0.1.10", 40000), ("203.0.113.2", 80), 2, 0)),
        (1_000_000, own),
        (2_000_000, tcp(("10.0.1.10", 40001), ("203.0.113.2", 23), 2, 0)),
        (3_000_000, ping),
        (4_000_000, question.clone()),
        (4_100_000, Arp::read(&question).unwrap().reply(INSIDE)),
        (5_000_000, tcp(("2001:db8:1::10", 40002), ("2001:db8:2::2", 443), 2, 0)),
        (7_000_000, tcp(("2001:db8:1::10", 40002), ("2001:db8:2::2", 443), 0x10, 4000)),
        (3700 * SECOND, tcp(("2001:db8:1::10", 40002), ("2001:db8:2::2", 443), 0x10, 0)),
    ];
    let reply = tcp(("2001:db8:2::2", 443), ("2001:db8:1::10", 40002), 0x12, 0);
    let outside = [(6_000_000, reply), (8_000_000, tcp(("203.0.113.2", 1234), ("10.0.1.10", 22), 2, 0))];
    let request = Request {
        inputs: vec![
            ("ethernet1/1".into(), write(&folder.path().join("in.pcap"), &inside)),
            ("ethernet1/2".into(), write(&folder.path().join("out.pcap"), &outside)),
        ],
        macs: Vec::new(),
        out: Some(folder.path().join("left")),
    };
    let (lines, summary) = run(&request);
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    expect![[r#"
        1 0.000000 ethernet1/1 tcp 10.0.1.10:40000 > 203.0.113.2:80 S: sent by ethernet1/2: tcp 203.0.113.1:47855 > 203.0.113.2:80 S (session 1, rule `allow-out`, NAT rule `outbound`)
        2 0.001000 ethernet1/1 tcp 203.0.113.2:80 > 10.0.1.10:40000 SA: sent by the firewall itself, not replayed
        3 0.002000 ethernet1/1 tcp 10.0.1.10:40001 > 203.0.113.2:23 S: dropped, policy-deny (session 2, rule `no-telnet`, NAT rule `outbound`)
        4 0.003000 ethernet1/1 echo request 10.0.1.10 > 10.0.1.1 id 7: sent by ethernet1/1: echo reply 10.0.1.1 > 10.0.1.10 id 7 (session 3, rule `intrazone-default`)
        5 0.004000 ethernet1/1 arp who has 10.0.1.1, tell 10.0.1.10: sent by ethernet1/1: arp 10.0.1.1 is at 02:00:00:00:01:01
        6 0.004100 ethernet1/1 arp 10.0.1.1 is at 02:00:00:00:01:01: sent by the firewall itself, not replayed
        7 0.005000 ethernet1/1 tcp [2001:db8:1::10]:40002 > [2001:db8:2::2]:443 S: sent by ethernet1/2: tcp [2001:db8:1::10]:40002 > [2001:db8:2::2]:443 S (session 4, rule `allow-out`)
        8 0.006000 ethernet1/2 tcp [2001:db8:2::2]:443 > [2001:db8:1::10]:40002 SA: sent by ethernet1/1: tcp [2001:db8:2::2]:443 > [2001:db8:1::10]:40002 SA (session 4, rule `allow-out`)
        9 0.007000 ethernet1/1 tcp [2001:db8:1::10]:40002 > [2001:db8:2::2]:443 A x3: sent by ethernet1/2: tcp [2001:db8:1::10]:40002 > [2001:db8:2::2]:443 A x3 (session 4, rule `allow-out`)
        10 0.008000 ethernet1/2 tcp 203.0.113.2:1234 > 10.0.1.10:22 S: dropped, policy-deny (session 5, rule `interzone-default`)
        11 3700.000000 ethernet1/1 tcp [2001:db8:1::10]:40002 > [2001:db8:2::2]:443 A: dropped, tcp-not-syn
    "#]].assert_eq(&text);
    expect![[r#"
        11 packets: 6 sent, 3 dropped, 0 consumed, 2 of the firewall's own
        policy-deny: 2 (first: 3). A security rule refused the flow (this packet or the session it belongs to).
          bartizan explain ingress ethernet1/1 source 10.0.1.10 destination 203.0.113.2 protocol 6 source-port 40001 destination-port 23
        tcp-not-syn: 1 (first: 11). A TCP packet that opens no connection belongs to no session.
          bartizan explain ingress ethernet1/1 source 2001:db8:1::10 destination 2001:db8:2::2 protocol 6 source-port 40002 destination-port 443
    "#]].assert_eq(&summary.to_string());
    assert_eq!(lines[0].time, "2026-01-01T00:00:00Z");

    let back = frames(&folder.path().join("left/ethernet1-1.pcap"));
    assert!(back.iter().any(|frame| frame[..6] == CLIENT && kind(frame) == 0x86dd), "the capture told the MAC");
    let left = frames(&folder.path().join("left/ethernet1-2.pcap"));
    for frame in &left {
        assert_eq!(frame[6..12], OUTSIDE);
        if let Parsed::Ip(packet) = parse(frame, Meta::default()).unwrap()
            && packet.protocol == TCP
        {
            let message = &frame[packet.transport..packet.end];
            assert_eq!(checksum::transport(packet.source, packet.destination, TCP, message), 0);
        }
    }
}

#[test]
fn a_capture_with_both_directions_of_one_neighbour_asks_which_end_is_ours() {
    let folder = tempfile::tempdir().unwrap();
    let there = tcp(("10.0.1.10", 40000), ("203.0.113.2", 80), 2, 0);
    let mut back = tcp(("203.0.113.2", 80), ("10.0.1.10", 40000), 0x12, 0);
    back[..12].copy_from_slice(&[CLIENT, INSIDE].concat());
    let capture = write(&folder.path().join("both.pcap"), &[(0, there), (1000, back)]);
    let mut request = Request { inputs: vec![("ethernet1/1".into(), capture)], ..Request::default() };
    let refused = replay(&tables(), &request, &mut |_| Ok(())).unwrap_err();
    expect!["name the MAC of `ethernet1/1`, as in `--mac ethernet1/1=02:00:00:00:00:01`: the capture has both directions between two stations, and either may be the interface"]
        .assert_eq(&format!("{refused:#}"));
    request.macs = vec![("ethernet1/1".into(), INSIDE)];
    let (_, summary) = run(&request);
    assert_eq!((summary.sent, summary.own), (1, 1));
}

#[test]
fn an_interface_that_is_not_configured_is_named_with_those_that_are() {
    let request = Request { inputs: vec![("ethernet1/7".into(), "none.pcap".into())], ..Request::default() };
    let refused = replay(&tables(), &request, &mut |_| Ok(())).unwrap_err().to_string();
    assert_eq!(refused, "the configuration has no interface `ethernet1/7`; it has: ethernet1/1, ethernet1/2");
}
