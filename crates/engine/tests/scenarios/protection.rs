//! What does a zone protection profile keep out of the house?

#![expect(clippy::unwrap_used, reason = "a test that cannot build its packet fails")]

use bartizan_engine::protection::ProtectionView;
use bartizan_engine::settings::{Limits, Settings};
use bartizan_engine::verdict::{DropReason, Event, PeerMessage, Threat, Verdict};
use bartizan_model::device::{Check, FloodKind, ScanAction, ScanKind};
use bartizan_packet::answer::{Link, ip_frame};
use bartizan_packet::bytes::put_u16;
use bartizan_packet::checksum;
use bartizan_packet::frame::{Frame, Meta};

use crate::house::{house, rule};
use crate::lab::{Lab, neighbor_mac, port_mac};

/// A house where everything is allowed and `trust` has a protection profile with these settings.
pub(crate) fn protected(profile: &str) -> String {
    house("", &rule("all", "any", "any", "allow"))
        .replacen(
            "<network>\n <profiles>",
            &format!(
                "<network>\n <profiles><zone-protection-profile><entry name='strict'>{profile}</entry>\
                 </zone-protection-profile>"
            ),
            1,
        )
        .replacen(
            "<member>ethernet1/1</member></layer3></network></entry>",
            "<member>ethernet1/1</member></layer3><zone-protection-profile>strict</zone-protection-profile>\
             </network></entry>",
            1,
        )
}

fn view(lab: &Lab) -> ProtectionView {
    lab.engine.protection(lab.tables.zone_id("trust").unwrap(), lab.now).unwrap()
}

/// How often each check of `trust` discarded something, those that never did left out.
fn discarded(lab: &Lab) -> Vec<(&'static str, u64)> {
    let view = view(lab);
    let counts = Check::ALL.iter().map(|check| (check.path(), view.discarded[*check as usize]));
    counts.filter(|(_, count)| *count > 0).collect()
}

/// The setting of a check, on.
fn on(path: &str) -> String {
    let mut steps: Vec<&str> = path.split('/').collect();
    let leaf = steps.pop().unwrap();
    let inner = format!("<{leaf}>yes</{leaf}>");
    steps.iter().rev().fold(inner, |inner, step| format!("<{step}>{inner}</{step}>"))
}

/// Defaults that would speak before others are off.
fn off(paths: &[&str]) -> String {
    paths.iter().map(|path| on(path).replace("yes", "no")).collect()
}

/// An IPv4 packet with options.
fn with_options(options: &[u8]) -> Vec<u8> {
    let source = "10.1.0.5".parse().unwrap();
    let link = Link { source: neighbor_mac(source), destination: port_mac("e1") };
    let udp = [0, 1, 0, 2, 0, 8, 0, 0];
    let mut bytes = ip_frame(link, source, "198.51.100.9".parse().unwrap(), 17, 64, &udp);
    bytes.splice(34..34, options.iter().copied());
    bytes[14] = 0x45 + (options.len() / 4) as u8;
    let total = (28 + options.len()) as u16;
    put_u16(&mut bytes, 16, total);
    put_u16(&mut bytes, 24, 0);
    let header = checksum::checksum(&bytes[14..34 + options.len()]);
    put_u16(&mut bytes, 24, header);
    bytes
}

/// An IPv6 packet whose extension headers, the first of them `kind`, end with UDP.
fn with_extension(kind: u8, headers: &[u8]) -> Vec<u8> {
    let source = "2001:db8:1::5".parse().unwrap();
    let destination = "2001:db8:100::9".parse().unwrap();
    let link = Link { source: neighbor_mac(source), destination: port_mac("e1") };
    let mut udp = vec![0, 1, 0, 2, 0, 8, 0, 0];
    let value = checksum::transport(source, destination, 17, &udp);
    put_u16(&mut udp, 6, value);
    ip_frame(link, source, destination, kind, 64, &[headers, &udp].concat())
}

#[track_caller]
fn refused(path: &str, frame: Vec<u8>, reason: &str) {
    // A check that is off lets it pass, or leaves it to the checks that every packet has.
    let mut open = Lab::new(&protected(&off(&[path])));
    let passed = open.inject("e1", frame.clone(), Meta::default());
    assert!(!passed.contains("drop zone-"), "{path} is off: {passed}");
    let mut lab = Lab::new(&protected(&on(path)));
    assert_eq!(lab.inject("e1", frame, Meta::default()), format!("drop {reason}"), "{path}");
    assert_eq!(discarded(&lab), [(path, 1)]);
}

#[test]
fn ipv4_options_are_refused_one_by_one() {
    for (path, options) in [
        ("discard-strict-source-routing", [137, 3, 4, 0]),
        ("discard-loose-source-routing", [131, 3, 4, 0]),
        ("discard-timestamp", [68, 4, 5, 0]),
        ("discard-record-route", [7, 3, 4, 0]),
        ("discard-security", [130, 3, 0, 0]),
        ("discard-stream-id", [136, 4, 0, 1]),
        ("discard-unknown-option", [77, 4, 0, 0]),
        ("discard-malformed-option", [148, 9, 0, 0]),
    ] {
        refused(path, with_options(&options), "zone-ip-option");
    }
}

#[test]
fn ipv6_headers_are_refused_one_by_one() {
    let routing = |kind: u8| vec![17, 0, kind, 0, 0, 0, 0, 0];
    for (path, first, header) in [
        ("ipv6/routing-header-0", 43, routing(0)),
        ("ipv6/routing-header-1", 43, routing(1)),
        ("ipv6/routing-header-3", 43, routing(3)),
        ("ipv6/routing-header-4-252", 43, routing(4)),
        ("ipv6/routing-header-253", 43, routing(253)),
        ("ipv6/routing-header-254", 43, routing(254)),
        ("ipv6/routing-header-255", 43, routing(255)),
        ("ipv6/filter-ext-hdr/routing-hdr", 43, routing(2)),
        ("ipv6/filter-ext-hdr/hop-by-hop-hdr", 0, vec![17, 0, 1, 4, 0, 0, 0, 0]),
        ("ipv6/filter-ext-hdr/dest-option-hdr", 60, vec![17, 0, 1, 4, 0, 0, 0, 0]),
        ("ipv6/options-invalid-ipv6-discard", 60, vec![17, 0, 1, 9, 0, 0, 0, 0]),
        ("ipv6/needless-fragment-hdr", 44, vec![17, 0, 0, 0, 0, 0, 0, 1]),
        ("ipv6/reserved-field-set-discard", 44, vec![17, 5, 0, 0, 0, 0, 0, 1]),
    ] {
        refused(path, with_extension(first, &header), "zone-ipv6-header");
    }
    let mut lab = Lab::new(&protected(&on("ipv6/ipv4-compatible-address")));
    lab.check("e1 udp [2001:db8:1::5]:1 > [::10.9.8.7]:2", "drop zone-ipv6-header");
    lab.check("e1 udp [2001:db8:1::5]:1 > [2001:db8:100::9]:2", "e2 udp [2001:db8:1::5]:1 > [2001:db8:100::9]:2");
}

#[test]
fn tcp_and_icmp_are_refused_by_what_they_carry() {
    for (line, path, reason) in [
        ("e1 tcp 10.1.0.5:1 > 198.51.100.9:2 S len=10", "discard-tcp-syn-with-data", "zone-tcp-data"),
        ("e1 tcp 10.1.0.5:1 > 198.51.100.9:2 SA len=10", "discard-tcp-synack-with-data", "zone-tcp-data"),
        ("e1 ping 10.1.0.5 > 198.51.100.9 id=0", "discard-icmp-ping-zero-id", "zone-icmp"),
        ("e1 ping 10.1.0.5 > 198.51.100.9 id=1 len=1017", "discard-icmp-large-packet", "zone-icmp"),
        ("e1 ping [2001:db8:1::5]:0 > [2001:db8:100::9]:0 id=1 len=1017", "discard-icmp-large-packet", "zone-icmp"),
    ] {
        let (_, frame, _) = Lab::new(&protected("")).packet(line);
        refused(path, frame, reason);
    }
    let mut lab = Lab::new(&protected(&on("discard-icmp-large-packet")));
    lab.check("e1 ping 10.1.0.5 > 198.51.100.9 id=1 len=1016", "e2 ping 10.1.0.5 > 198.51.100.9 id=1");
}

#[test]
fn icmp_errors_and_small_mtus_are_refused() {
    let error = |config: &str, kind: u8, word: u32, v6: bool| {
        let mut lab = Lab::new(config);
        let (client, server, router) = match v6 {
            false => ("10.1.0.5:1", "198.51.100.9:2", "10.1.0.5"),
            true => ("[2001:db8:1::5]:1", "[2001:db8:100::9]:2", "2001:db8:1::5"),
        };
        lab.send(&format!("e1 udp {client} > {server}"));
        lab.reply("");
        let (_, bytes) = lab.error_about_last(router, kind, 0, word);
        lab.inject("e1", bytes, Meta::default())
    };
    let errors = protected(&on("discard-icmp-error"));
    assert_eq!(error(&errors, 3, 0, false), "drop zone-icmp");
    assert_eq!(error(&errors, 1, 0, true), "drop zone-icmp");
    let small = protected(&on("ipv6/icmpv6-too-big-small-mtu-discard"));
    assert_eq!(error(&small, 2, 1279, true), "drop zone-icmp");
    assert!(error(&small, 2, 1280, true).starts_with("e2 icmp 2/0"));
    assert!(error(&small, 3, 0, false).starts_with("e2 icmp 3/0"));
}

#[test]
fn fragments_are_refused_before_anything_else_sees_them() {
    let fragment = || {
        let (_, mut frame, _) = Lab::new(&protected("")).packet("e1 ping 10.1.0.5 > 198.51.100.9 id=1 len=40");
        put_u16(&mut frame, 20, 0x2000);
        put_u16(&mut frame, 24, 0);
        let header = checksum::checksum(&frame[14..34]);
        put_u16(&mut frame, 24, header);
        frame
    };
    for (path, reason) in [("discard-ip-frag", "zone-fragment"), ("discard-icmp-frag", "zone-icmp")] {
        refused(path, fragment(), reason);
    }
    let mut lab = Lab::new(&protected(&on("discard-ip-frag")));
    let six = with_extension(44, &[17, 0, 0, 1, 0, 0, 0, 1]);
    assert_eq!(lab.inject("e1", six, Meta::default()), "drop zone-fragment");
    assert_eq!(lab.dropped(DropReason::ZoneFragment), 1);
}

#[test]
fn a_source_comes_by_the_zone_that_its_route_leads_to() {
    let mut lab = Lab::new(&protected(&on("discard-ip-spoof")));
    // By its own network, and by nothing else.
    lab.check("e1 udp 10.1.0.5:1 > 198.51.100.9:2", "e2 udp 10.1.0.5:1 > 198.51.100.9:2");
    lab.check("e1 udp 10.3.0.5:1 > 198.51.100.9:2", "drop zone-spoofed-source");
    lab.check("e1 udp 198.51.100.9:1 > 10.3.0.9:2", "drop zone-spoofed-source");
    lab.check("e1 udp [2001:db8:3::5]:1 > [2001:db8:100::9]:2", "drop zone-spoofed-source");
    lab.check("e1 udp [3fff::5]:1 > [2001:db8:100::9]:2", "drop zone-spoofed-source");
    assert_eq!(discarded(&lab), [("discard-ip-spoof", 4)]);
    // The zone without a profile does not ask.
    lab.check("e3 udp 10.1.0.77:1 > 198.51.100.9:2", "e2 udp 10.1.0.77:1 > 198.51.100.9:2");
    assert_eq!(
        lab.logs().iter().filter(|line| line.ends_with("zone-spoofed-source")).count(),
        4,
        "drops are in the traffic log"
    );
}

#[test]
fn strict_checks_want_the_very_interface() {
    // Two interfaces of one zone: the spoof check is content, the strict one is not.
    let both = |profile: &str| {
        protected(profile)
            .replacen(
                "<member>ethernet1/1</member></layer3>",
                "<member>ethernet1/1</member><member>ethernet1/3</member></layer3>",
                1,
            )
            .replacen(
                "<entry name=\"dmz\"><network><layer3><member>ethernet1/3</member></layer3></network></entry>",
                "",
                1,
            )
    };
    let line = "e1 udp 10.3.0.5:1 > 198.51.100.9:2";
    Lab::new(&both(&on("discard-ip-spoof"))).check(line, "e2 udp 10.3.0.5:1 > 198.51.100.9:2");
    let mut lab = Lab::new(&both(&on("strict-ip-check")));
    lab.check(line, "drop zone-strict-ip");
    lab.check("e1 udp 10.1.0.255:1 > 198.51.100.9:2", "drop zone-strict-ip");
    lab.check("e1 udp 10.1.0.5:1 > 198.51.100.9:2", "e2 udp 10.1.0.5:1 > 198.51.100.9:2");
    assert_eq!(discarded(&lab), [("strict-ip-check", 2)]);
    let mut lab = Lab::new(&protected(&on("ipv6/anycast-source")));
    lab.check("e1 udp [2001:db8:1::]:1 > [2001:db8:100::9]:2", "drop zone-strict-ip");
    assert_eq!(discarded(&lab), [("ipv6/anycast-source", 1)]);
}

#[test]
fn a_zone_may_be_kept_in_the_dark() {
    let line = "e1 udp 10.1.0.5:1 > 198.51.100.9:2 ttl=1";
    assert_eq!(Lab::new(&protected("")).send(line).lines().count(), 2, "the drop and the ICMP error");
    let silent = protected("<suppress-icmp-timeexceeded>yes</suppress-icmp-timeexceeded>");
    Lab::new(&silent).check(line, "drop ttl-expired");
    let large = "e1 udp 10.1.0.5:1 > 10.3.0.9:2 len=1390";
    assert_eq!(Lab::new(&protected("")).send(large).lines().count(), 2);
    let silent = protected("<suppress-icmp-needfrag>yes</suppress-icmp-needfrag>");
    Lab::new(&silent).check(large, "drop too-big");
}

#[test]
fn a_commit_keeps_the_counts_and_changes_the_checks() {
    let line = "e1 ping 10.1.0.5 > 198.51.100.9 id=0";
    let mut lab = Lab::new(&protected(&on("discard-icmp-ping-zero-id")));
    lab.check(line, "drop zone-icmp");
    lab.commit(&protected(""));
    lab.check(line, "e2 ping 10.1.0.5 > 198.51.100.9 id=0");
    assert_eq!(discarded(&lab), [("discard-icmp-ping-zero-id", 1)]);
}

/// Flood protection of one kind.
fn red(kind: &str, alarm: u32, activate: u32, maximal: u32) -> String {
    format!(
        "<flood><{kind}><enable>yes</enable><red><alarm-rate>{alarm}</alarm-rate>\
         <activate-rate>{activate}</activate-rate><maximal-rate>{maximal}</maximal-rate></red></{kind}></flood>"
    )
}

/// Sends this many packets that each open a flow, within an instant; how many were dropped.
fn flood(lab: &mut Lab, kind: &str, flows: std::ops::Range<usize>) -> usize {
    let dropped = flows.filter(|at| {
        let line = match kind {
            "tcp-syn" => format!("e1 tcp 10.1.0.5:{} > 198.51.100.9:2 S", 1000 + at),
            "udp" => format!("e1 udp [2001:db8:1::5]:{} > [2001:db8:100::9]:2", 1000 + at),
            "icmp" => format!("e1 ping 10.1.0.5 > 198.51.100.9 id={}", 1000 + at),
            "icmpv6" => format!("e1 ping 2001:db8:1::5 > 2001:db8:100::9 id={}", 1000 + at),
            _ => format!("e1 proto 10.1.{}.{} > 198.51.100.9 proto=47", at / 250, 2 + at % 250),
        };
        lab.send(&line) == format!("drop flood-{kind}")
    });
    dropped.count()
}

#[test]
fn floods_of_each_kind_are_dropped_above_the_maximal_rate() {
    for (kind, reason) in [
        ("tcp-syn", DropReason::FloodTcpSyn),
        ("udp", DropReason::FloodUdp),
        ("icmp", DropReason::FloodIcmp),
        ("icmpv6", DropReason::FloodIcmpv6),
        ("other-ip", DropReason::FloodOtherIp),
    ] {
        let mut lab = Lab::new(&protected(&red(kind, 1000, 20, 20)));
        assert_eq!(flood(&mut lab, kind, 0..50), 30, "{kind}");
        assert_eq!((lab.dropped(reason), lab.engine.sessions().count()), (30, 20));
        let at = FloodKind::ALL.iter().position(|one| one.as_str() == kind).unwrap();
        let seen = view(&lab).floods[at];
        assert_eq!((seen.rate, seen.dropped), (50, 30));
        // Another kind is not limited, and open flows are not counted.
        let other = if kind == "tcp-syn" { "icmp" } else { "tcp-syn" };
        assert_eq!(flood(&mut lab, other, 0..50), 0);
        assert_eq!(view(&lab).floods[at].rate, 50);
        lab.pass(2);
        assert_eq!((view(&lab).floods[at].rate, flood(&mut lab, kind, 50..70)), (0, 0));
    }
}

#[test]
fn between_activate_and_maximal_rate_some_are_dropped() {
    let mut lab = Lab::new(&protected(&red("udp", 1000, 100, 300)));
    let dropped = flood(&mut lab, "udp", 0..300);
    // From none at 100 to all at 300: about half of 200.
    assert!((70..130).contains(&dropped), "{dropped} of 300");
    assert_eq!(flood(&mut lab, "udp", 300..310), 10);
}

#[test]
fn a_flood_is_told_about_once_in_ten_seconds() {
    let mut lab = Lab::new(&protected(&red("udp", 10, 1000, 2000)));
    flood(&mut lab, "udp", 0..10);
    assert_eq!(lab.alarms.len(), 0);
    flood(&mut lab, "udp", 10..30);
    let [alarm] = lab.alarms[..] else { panic!("{:?}", lab.alarms) };
    assert_eq!(alarm.threat, Threat::Flood { kind: FloodKind::Udp, rate: 11 });
    assert_eq!(lab.tables.zone_name(alarm.zone), "trust");
    lab.pass(9);
    flood(&mut lab, "udp", 30..60);
    assert_eq!(lab.alarms.len(), 1);
    lab.pass(1);
    flood(&mut lab, "udp", 60..90);
    assert_eq!((lab.alarms.len(), lab.counters().alarms), (2, 2));
}

/// Protection from scans of one kind.
fn scan(id: u32, threshold: u32, action: &str) -> String {
    format!(
        "<scan><entry name='{id}'><action>{action}</action><interval>10</interval>\
         <threshold>{threshold}</threshold></entry></scan>"
    )
}

const PASSED: &str = "e2 tcp 10.1.0.5:* > 198.51.100.9:* S";

/// Opens a connection to a port.
fn knock(lab: &mut Lab, port: u16) -> String {
    let out = lab.send(&format!("e1 tcp 10.1.0.5:4000 > 198.51.100.9:{port} S"));
    if out.starts_with("e2") { PASSED.to_owned() } else { out }
}

#[test]
fn a_port_scan_is_told_about() {
    let mut lab = Lab::new(&protected(&scan(8001, 5, "<alert/>")));
    // One port again and again is none.
    for source in 0..20 {
        lab.send(&format!("e1 tcp 10.1.0.5:{} > 198.51.100.9:443 S", 5000 + source));
    }
    assert_eq!(lab.alarms.len(), 0);
    assert!((1..20).all(|port| knock(&mut lab, port) == PASSED));
    let [alarm] = lab.alarms[..] else { panic!("{:?}", lab.alarms) };
    let (source, destination) = ("10.1.0.5".parse().unwrap(), "198.51.100.9".parse().unwrap());
    let kind = ScanKind::TcpPorts;
    assert_eq!(alarm.threat, Threat::Scan { kind, source, destination, targets: 5, action: ScanAction::Alert });
    assert_eq!((view(&lab).scans, view(&lab).blocked), ([1, 0, 0], 0));
    // A slow one is not seen.
    lab.pass(60);
    for port in 1..20 {
        assert_eq!(knock(&mut lab, port), PASSED);
        lab.pass(3);
    }
    assert_eq!(lab.alarms.len(), 1);
}

#[test]
fn a_scanner_is_not_heard_for_the_rest_of_the_interval() {
    let mut lab = Lab::new(&protected(&scan(8001, 5, "<block/>")));
    assert_eq!(knock(&mut lab, 1), PASSED);
    lab.pass(4);
    assert!((2..5).all(|port| knock(&mut lab, port) == PASSED));
    assert_eq!(knock(&mut lab, 5), "drop zone-blocked-source");
    // Nor are the connections it has.
    lab.check("e1 tcp 10.1.0.5:4000 > 198.51.100.9:1 A", "drop zone-blocked-source");
    // Other hosts, and itself towards others, are.
    lab.check("e1 udp 10.1.0.5:1 > 198.51.100.77:2", "e2 udp 10.1.0.5:1 > 198.51.100.77:2");
    lab.check("e1 udp 10.1.0.6:1 > 198.51.100.9:2", "e2 udp 10.1.0.6:1 > 198.51.100.9:2");
    assert_eq!((view(&lab).blocked, lab.engine.blocks(lab.now).count()), (2, 1));
    lab.pass(6);
    assert_eq!((knock(&mut lab, 6), lab.engine.blocks(lab.now).count()), (PASSED.to_owned(), 0));
}

#[test]
fn udp_ports_of_a_host_and_hosts_of_both_families_are_counted() {
    let action = "<block-ip><track-by>source-and-destination</track-by><duration>60</duration></block-ip>";
    let mut lab = Lab::new(&protected(&scan(8003, 3, action)));
    let udp = |host: u8, port: u8| format!("e1 udp [2001:db8:1::5]:1 > [2001:db8:100::{host}]:{port}");
    for (host, port) in [(1, 1), (1, 2), (2, 3), (2, 4)] {
        assert!(lab.send(&udp(host, port)).starts_with("e2"));
    }
    lab.check(&udp(1, 3), "drop zone-blocked-source");
    assert!(lab.send(&udp(2, 1)) == "drop zone-blocked-source", "the third port of another host");
    lab.pass(30);
    lab.check(&udp(1, 1), "drop zone-blocked-source");
    lab.pass(30);
    assert!(lab.send(&udp(1, 1)).starts_with("e2"));

    let action = "<block-ip><track-by>source</track-by><duration>60</duration></block-ip>";
    let mut lab = Lab::new(&protected(&scan(8002, 4, action)));
    for (at, expected) in [(1, true), (2, true), (2, true), (3, true), (4, false), (1, false)] {
        let out = lab.send(&format!("e1 ping 10.1.0.5 > 198.51.100.{at} id=1"));
        assert_eq!(out.starts_with("e2"), expected, "{at}: {out}");
    }
    lab.check("e1 udp 10.1.0.5:1 > 10.3.0.9:2", "drop zone-blocked-source");
    let zone = lab.tables.zone_id("trust").unwrap();
    let block = lab.engine.blocks(lab.now).next().unwrap();
    assert_eq!((block.zone, block.destination, block.kind), (zone, None, ScanKind::Hosts));
    assert_eq!(lab.engine.unblock(|_| true, lab.now), 1);
    assert!(lab.send("e1 udp 10.1.0.5:1 > 10.3.0.9:2").starts_with("e3"));
}

#[test]
fn an_allowed_scan_is_nothing() {
    let mut lab = Lab::new(&protected(&scan(8001, 3, "<allow/>")));
    assert!((1..20).all(|port| knock(&mut lab, port) == PASSED));
    assert_eq!((lab.alarms.len(), view(&lab).scans), (0, [0, 0, 0]));
}

#[test]
fn many_scanners_fill_no_memory() {
    let limits = Limits { scan_sources: 64, scan_targets: 64, blocked_sources: 64, ..Limits::default() };
    let settings = Settings { limits, ..Settings::default() };
    let action = "<block-ip><track-by>source</track-by><duration>60</duration></block-ip>";
    let mut lab = Lab::with(&protected(&scan(8002, 2, action)), settings);
    for source in 0..1000_u32 {
        let [.., high, low] = source.to_be_bytes();
        for host in 1..3 {
            lab.send(&format!("e1 ping 10.1.{}.{} > 198.51.100.{host} id=1", high + 1, low.max(2)));
        }
    }
    let blocked = lab.engine.blocks(lab.now).count();
    assert!((32..=64).contains(&blocked), "{blocked}");
    assert!(lab.counters().scan_evictions > 500 && lab.counters().block_evictions > 500);
    assert_eq!(lab.counters().alarms, 10, "alarms a second");
    assert!(lab.counters().alarms_suppressed > 500);
}

#[test]
fn workers_count_their_share_and_tell_one_another_whom_they_block() {
    let config = protected(&scan(8001, 10, "<block-ip><track-by>source</track-by></block-ip>"));
    let workers = |worker| Settings { worker, workers: 2, ..Settings::default() };
    let mut lab = Lab::with(&config, workers(0));
    let mut port = 0;
    let out = loop {
        port += 1;
        let out = knock(&mut lab, port);
        if out.starts_with("drop") {
            break out;
        }
    };
    assert_eq!(out, "drop zone-blocked-source");
    assert!((5..=20).contains(&port), "about half of the ports are this worker's: {port}");
    let told = lab.messages.iter().find_map(|event| match event {
        Event::Tell { to: None, message: message @ PeerMessage::Block(_) } => Some(*message),
        _ => None,
    });
    let mut other = Lab::with(&config, workers(1));
    other.engine.handle_peer(told.unwrap(), other.now);
    let (_, mut frame, _) = other.packet("e1 udp 10.1.0.5:1 > 198.51.100.9:2");
    let port = other.port("e1");
    let verdict = other.engine.handle_frame(port, &mut Frame::new(&mut frame), other.now);
    assert_eq!(verdict, Verdict::Drop(DropReason::ZoneBlocked));
}
