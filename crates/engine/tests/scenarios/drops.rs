//! Every reason for a drop: documented, and met by a packet.

use bartizan_engine::settings::{Limits, Settings};
use bartizan_engine::verdict::{DropReason, LogKind};
use bartizan_packet::bytes::put_u16;
use bartizan_packet::checksum;
use bartizan_packet::frame::Meta;
use bartizan_packet::ndp;

use crate::house::{dynamic, house, inbound, rule};
use crate::lab::{Lab, neighbor_mac};

const DOCUMENT: &str = include_str!("../../../../docs/drop-reasons.md");

#[test]
fn each_reason_has_its_row() {
    for reason in DropReason::ALL {
        let row = format!("| `{}` | {} |", reason.as_str(), reason.describe());
        assert!(DOCUMENT.contains(&row), "docs/drop-reasons.md lacks or differs in the row\n{row}");
    }
    let rows = DOCUMENT.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, DropReason::ALL.len(), "docs/drop-reasons.md has rows for reasons that do not exist");
}

fn open() -> Lab {
    Lab::new(&house("", &rule("all", "any", "any", "allow")))
}

/// Lines that are dropped by a house where everything is allowed.
const LINES: [(&str, &str); 27] = [
    ("e1.9 udp 10.1.0.5:1 > 198.51.100.9:2", "unknown-vlan"),
    ("e9 udp 10.1.0.5:1 > 198.51.100.9:2", "port-down"),
    ("e1 udp 10.1.0.5:1 > 224.0.0.9:2", "multicast"),
    ("e1 udp 10.1.0.5:1 > 255.255.255.255:2", "multicast"),
    ("e1 udp 10.1.0.5:1 > 10.3.0.255:2", "multicast"),
    ("e1 udp [2001:db8:1::5]:1 > [ff02::1]:2", "multicast"),
    ("e1 udp 10.1.0.5:1 > 10.1.0.5:1", "land"),
    ("e1 udp 127.0.0.1:1 > 198.51.100.9:2", "spoofed-source"),
    ("e1 udp 0.0.0.0:68 > 198.51.100.9:67", "spoofed-source"),
    ("e1 udp 224.0.0.1:1 > 198.51.100.9:2", "spoofed-source"),
    ("e1 udp 10.3.0.1:1 > 198.51.100.9:2", "spoofed-source"),
    ("e1 udp [::1]:1 > [2001:db8:100::9]:2", "spoofed-source"),
    ("e1 udp 10.1.0.5:1 > 127.0.0.1:2", "bad-destination"),
    ("e1 udp 10.1.0.5:1 > 0.0.0.0:2", "bad-destination"),
    ("e1 udp 10.1.0.5:1 > 245.1.1.1:2", "bad-destination"),
    ("e1 udp [2001:db8:1::5]:1 > [fe80::9]:2", "link-local"),
    ("e1 tcp 10.1.0.5:1 > 198.51.100.9:2 A", "tcp-not-syn"),
    ("e1 tcp 10.1.0.5:1 > 198.51.100.9:2 SA", "tcp-not-syn"),
    ("e1 tcp 10.1.0.5:1 > 198.51.100.9:2 SF", "tcp-state"),
    ("e1 tcp 10.1.0.5:1 > 198.51.100.9:2 F", "tcp-state"),
    ("e1 pong 10.1.0.5 > 198.51.100.9 id=3", "icmp-unrelated"),
    ("e1 udp 10.1.0.5:1 > 203.0.113.7:2", "route-discard"),
    ("e1 udp [2001:db8:1::5]:1 > [3fff::1]:2", "no-route"),
    ("e1 udp 10.1.0.5:1 > 10.1.0.1:2", "local-service"),
    ("e1 tcp [2001:db8:1::5]:1 > [2001:db8:1::1]:22 S", "local-service"),
    ("local udp 198.18.0.1:1 > 198.18.0.9:2", "local-unrelated"),
    ("e1 udp 10.1.0.5:1 > 198.51.100.9:2 ttl=0", "ttl-expired"),
];

#[test]
fn lines_that_are_dropped() {
    for (line, reason) in LINES {
        let mut lab = open();
        let out = lab.send(line);
        assert_eq!(out.lines().next(), Some(format!("drop {reason}").as_str()), "after `{line}`");
        let counted: Vec<_> = DropReason::ALL.iter().filter(|reason| lab.dropped(**reason) == 1).collect();
        assert_eq!(counted.len(), 1, "one counter after `{line}`: {counted:?}");
    }
}

/// Damages a good IPv4 frame.
fn damaged(damage: impl Fn(&mut Vec<u8>)) -> String {
    let mut lab = open();
    let (port, mut bytes, meta) = lab.packet("e1 udp 10.1.0.5:1 > 198.51.100.9:2 len=40");
    damage(&mut bytes);
    lab.inject(&port, bytes, meta)
}

fn fix_header(bytes: &mut [u8]) {
    bytes[24..26].fill(0);
    let length = usize::from(bytes[14] & 0xf) * 4;
    let value = checksum::checksum(&bytes[14..14 + length]);
    put_u16(bytes, 24, value);
}

#[test]
fn frames_that_are_dropped() {
    assert_eq!(damaged(|bytes| bytes.truncate(50)), "drop malformed");
    assert_eq!(damaged(|bytes| bytes.truncate(9)), "drop malformed");
    assert_eq!(damaged(|bytes| bytes[0] = 4), "drop not-for-us");
    assert_eq!(damaged(|bytes| bytes[0..6].fill(0xff)), "drop not-for-us", "a unicast packet in a broadcast frame");
    assert_eq!(damaged(|bytes| bytes[12..14].copy_from_slice(&[0x81, 0])), "drop unsupported-protocol");
    assert_eq!(damaged(|bytes| bytes[25] ^= 1), "drop bad-checksum");
    let fragment = damaged(|bytes| {
        bytes[20] = 0x20;
        bytes[17] -= 1;
        fix_header(bytes);
    });
    assert_eq!(fragment, "drop malformed", "more to come, but not on a boundary of eight bytes");
    let routed = damaged(|bytes| {
        // A loose source route of no hosts.
        bytes.splice(34..34, [131, 3, 4, 0]);
        bytes[14] = 0x46;
        bytes[17] += 4;
        fix_header(bytes);
    });
    assert_eq!(routed, "drop source-route");
    let redirect = damaged(|bytes| {
        bytes[23] = 1;
        bytes[34] = 5;
        fix_header(bytes);
    });
    assert_eq!(redirect, "drop icmp-unsupported");
}

#[test]
fn a_damaged_neighbour_message_is_dropped() {
    let mut lab = open();
    let asker: std::net::Ipv6Addr = "2001:db8:1::77".parse().unwrap();
    let mut question = ndp::solicit(neighbor_mac(asker.into()), asker, "2001:db8:1::1".parse().unwrap());
    question[60] ^= 1;
    assert_eq!(lab.inject("e1", question, Meta::default()), "drop bad-neighbor-message");
    // Somebody else claims the engine's own address.
    let claim = bartizan_packet::arp::Arp::request([2; 6], [10, 1, 0, 1].into(), [10, 1, 0, 1].into());
    assert_eq!(lab.inject("e1", claim, Meta::default()), "drop bad-neighbor-message");
}

#[test]
fn configurations_that_drop() {
    let allow = rule("all", "any", "any", "allow");
    let dmz = "<entry name=\"dmz\"><network><layer3><member>ethernet1/3</member></layer3></network></entry>";
    let no_zone = house("", &allow).replace(dmz, "");
    let mut lab = Lab::new(&no_zone);
    lab.check("e3 udp 10.3.0.9:1 > 10.1.0.5:2", "drop no-zone");
    lab.check("e1 udp 10.1.0.5:1 > 10.3.0.9:2", "drop no-egress-zone");

    let routed = "<interface><member>ethernet1/1</member><member>ethernet1/2</member><member>ethernet1/3</member>";
    let no_router = house("", &allow).replacen(routed, &routed.replace("<member>ethernet1/3</member>", ""), 1);
    Lab::new(&no_router).check("e3 udp 10.3.0.9:1 > 10.1.0.5:2", "drop no-router");

    Lab::new(&house("", "")).check("e1 udp 10.1.0.5:1 > 198.51.100.9:2", "drop policy-deny");

    let settings = Settings { sessions_max: 0, ..Settings::default() };
    Lab::with(&house("", &allow), settings).check("e1 udp 10.1.0.5:1 > 198.51.100.9:2", "drop session-table-full");

    let limits = Limits { nat_addresses: 0, ..Limits::default() };
    let pool = house(&dynamic("trust", "untrust", "192.0.2.10"), &allow);
    let mut dry = Lab::with(&pool, Settings { limits, ..Settings::default() });
    dry.check("e1 udp 10.1.0.5:1 > 198.51.100.9:2", "drop nat-pool-exhausted");

    let twice = inbound("192.0.2.50", "untrust", "10.3.0.9", 80)
        + &inbound("192.0.2.51", "untrust", "10.3.0.9", 80).replace("'in'", "'in2'");
    let mut lab = Lab::new(&house(&twice, &allow));
    lab.send("e2 tcp 198.51.100.9:5 > 192.0.2.50:80 S");
    lab.check("e2 tcp 198.51.100.9:5 > 192.0.2.51:80 S", "drop nat-collision");

    let limits = Limits { neighbors: 0, ..Limits::default() };
    let mut full = Lab::with(&house("", &allow), Settings { limits, ..Settings::default() });
    full.check("e1 udp 10.1.0.5:1 > 198.51.100.9:2", "drop queue-full");
}

#[test]
fn a_server_that_moved_to_another_router_ends_its_sessions() {
    let mut lab = Lab::new(crate::lab::AZURE);
    lab.check("e1 udp 10.1.0.10:4000 > 8.8.8.8:53", "e2 udp 10.0.2.4:* > 8.8.8.8:53");
    // The private router now has its own way out.
    let moved = crate::lab::AZURE.replacen(
        "<nexthop><next-lr>vr-public</next-lr></nexthop>",
        "<interface>ethernet1/1</interface><nexthop><ip-address>10.0.1.1</ip-address></nexthop>",
        1,
    );
    lab.commit(&moved);
    // The reply finds no session any more, and nothing at the firewall's own address.
    assert_eq!(lab.reply(""), "drop local-service");
    assert_eq!(lab.sessions(), []);
    assert!(lab.logs()[0].ends_with("configuration-change"));
    lab.check("e1 udp 10.1.0.10:4000 > 8.8.8.8:53", "e1 udp 10.1.0.10:4000 > 8.8.8.8:53");
}

#[test]
fn drops_are_logged_with_a_limit_per_reason() {
    let limits = Limits { drop_logs_per_second: 2, ..Limits::default() };
    let mut lab = Lab::with(&house("", ""), Settings { limits, ..Settings::default() });
    for _ in 0..5 {
        lab.send("e1 udp 10.1.0.5:1 > 203.0.113.7:2");
        lab.send("e1 tcp 10.1.0.5:1 > 198.51.100.9:2 A");
    }
    assert_eq!(
        lab.logs(),
        [
            "drop 10.1.0.5 > 203.0.113.7 trust>- drop - route-discard",
            "drop 10.1.0.5 > 198.51.100.9 trust>- drop - tcp-not-syn",
            "drop 10.1.0.5 > 203.0.113.7 trust>- drop - route-discard",
            "drop 10.1.0.5 > 198.51.100.9 trust>- drop - tcp-not-syn",
        ]
    );
    assert_eq!(lab.counters().drop_logs_suppressed, 6);
    lab.pass(1);
    lab.send("e1 udp 10.1.0.5:1 > 203.0.113.7:2");
    assert_eq!(lab.logs().len(), 1);
}

#[test]
fn what_quiet_links_say_to_groups_is_counted_but_not_logged() {
    let mut lab = Lab::new(&house("", ""));
    let groups = [
        "e1 udp 10.1.0.5:5353 > 224.0.0.251:5353",
        "e1 udp [fe80::5]:5353 > [ff02::fb]:5353",
        "e1 udp 0.0.0.0:68 > 255.255.255.255:67",
        "e1 udp 10.1.0.5:137 > 10.3.0.255:137",
    ];
    for line in groups {
        lab.check(line, "drop multicast");
    }
    assert_eq!(lab.dropped(DropReason::Multicast), 4);
    assert_eq!((lab.logs(), lab.counters().drop_logs_suppressed), (vec![], 0));
}

#[test]
fn a_denied_flow_is_logged_with_its_first_packet_and_where_it_would_have_gone() {
    let mut lab = Lab::new(&house("", ""));
    lab.check("e1 udp 10.1.0.5:1 > 198.51.100.9:2 len=40", "drop policy-deny");
    lab.check("e1 udp 10.1.0.5:1 > 203.0.113.7:2", "drop route-discard");
    let lines = lab.take_logs();
    let told: Vec<_> = lines.iter().map(|log| (log.kind, log.session.egress, log.session.sent.0)).collect();
    let untrust = lab.tables.interface_id("ethernet1/2");
    assert_eq!(told, [(LogKind::Deny, untrust, 1), (LogKind::Drop, None, 1)]);
    assert_eq!(lines[0].session.sent.1, 68);
    assert_eq!(lab.sessions()[0].sent, (1, 68), "the session counts it too, once");
}
