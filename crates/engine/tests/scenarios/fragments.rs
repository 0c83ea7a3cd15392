//! Datagrams in fragments: put together, judged, translated, cut again; and what is refused.

use bartizan_engine::settings::{Limits, Settings};
use bartizan_engine::verdict::{DropReason, Event};
use bartizan_packet::bytes::{put_u16, u16_at};
use bartizan_packet::checksum;
use bartizan_packet::frame::{Checksum, Frame, Meta};
use bartizan_packet::parse::{Parsed, parse};

use crate::house::{dynamic, house, rule};
use crate::lab::Lab;

const V4: &str = "e1 udp 10.1.0.5:40000 > 198.51.100.9:53 len=3000";
const V6: &str = "e1 udp [2001:db8:1::5]:40000 > [2001:db8:100::9]:53 len=3000";

fn open() -> Lab {
    Lab::new(&house("", &rule("all", "any", "any", "allow")))
}

fn limited(limits: Limits) -> Lab {
    Lab::with(&house("", &rule("all", "any", "any", "allow")), Settings { limits, ..Settings::default() })
}

/// What the frames that left say once another engine's ingress has put them together.
fn together(lab: &mut Lab) -> String {
    let frames = std::mem::take(&mut lab.left);
    let mut beyond = open();
    let mut out = String::new();
    for mut bytes in frames {
        // On from the next router.
        bytes[0..6].copy_from_slice(&crate::lab::port_mac("e1"));
        out = beyond.inject("e1", bytes, Meta::default());
    }
    out
}

#[test]
fn a_datagram_passes_in_fragments_no_longer_than_it_came_in() {
    let mut lab = open();
    let out = lab.send_fragments(V4, 1500, 7);
    assert_eq!(out[..2], ["", ""]);
    assert_eq!(
        out[2],
        "e2 fragment 10.1.0.5 > 198.51.100.9 0-1480+\n\
         e2 fragment 10.1.0.5 > 198.51.100.9 1480-2960+\n\
         e2 fragment 10.1.0.5 > 198.51.100.9 2960-3008"
    );
    assert_eq!(u16_at(lab.left.last().unwrap(), 18), 7, "identification");
    assert_eq!(lab.session().sent, (1, 3028), "one packet for the rules and the log");
    let counters = lab.counters();
    assert_eq!((counters.fragments_received, counters.datagrams_reassembled, counters.fragments_sent), (3, 1, 3));
    assert_eq!((counters.rx_packets, counters.dropped_total()), (4, 0), "three, and the answer of a neighbour");
    lab.send_fragments(V4, 1000, 8);
    assert_eq!(lab.left.len(), 3 + 4);
    assert!(lab.left[3..].iter().all(|frame| frame.len() <= 14 + 1000));
}

#[test]
fn the_same_in_ipv6() {
    let mut lab = open();
    let out = lab.send_fragments(V6, 1280, 7);
    assert_eq!(
        out[2],
        "e2 fragment 2001:db8:1::5 > 2001:db8:100::9 0-1232+\n\
         e2 fragment 2001:db8:1::5 > 2001:db8:100::9 1232-2464+\n\
         e2 fragment 2001:db8:1::5 > 2001:db8:100::9 2464-3008"
    );
    assert!(lab.left.iter().all(|frame| frame.len() <= 14 + 1280));
    assert!(together(&mut lab).starts_with("e2 fragment 2001:db8:1::5"), "they are one datagram");
}

#[test]
fn order_does_not_matter_and_copies_are_ignored() {
    for order in [[2, 1, 0], [1, 2, 0], [0, 2, 1]] {
        let mut lab = open();
        let fragments = lab.fragments(V4, 1500, 7);
        for at in [order[0], order[0], order[1]] {
            assert_eq!(lab.inject("e1", fragments[at].clone(), Meta::default()), "");
        }
        assert!(lab.inject("e1", fragments[order[2]].clone(), Meta::default()).contains("2960-3008"), "{order:?}");
        assert_eq!(lab.counters().fragments_repeated, 1);
    }
}

#[test]
fn fragments_are_translated_and_their_checksum_is_right() {
    let nat = dynamic("trust", "untrust", "192.0.2.10");
    let mut lab = Lab::new(&house(&nat, &rule("all", "any", "any", "allow")));
    let mut identifications = Vec::new();
    for _ in 0..2 {
        let out = lab.send_fragments(V4, 1500, 7);
        assert!(out[2].starts_with("e2 fragment 192.0.2.10 > 198.51.100.9 0-1480+"), "{}", out[2]);
        identifications.push(u16_at(lab.left.last().unwrap(), 18));
        let end = lab.left.concat();
        assert_eq!(end.len(), 3 * 34 + 3008);
        let message = [&lab.left[0][34..], &lab.left[1][34..], &lab.left[2][34..]].concat();
        let (from, to) = ("192.0.2.10".parse().unwrap(), "198.51.100.9".parse().unwrap());
        assert_eq!(checksum::transport(from, to, 17, &message), 0);
        lab.left.clear();
    }
    assert_ne!(identifications[0], identifications[1], "hosts behind one address do not share identifications");
}

#[test]
fn large_pings_to_the_firewall_are_answered() {
    let mut lab = open();
    let out = lab.send_fragments("e1 ping 10.1.0.5 > 10.1.0.1 id=3 len=2000", 1500, 9);
    assert_eq!(out[1], "e1 fragment 10.1.0.1 > 10.1.0.5 0-1480+\ne1 fragment 10.1.0.1 > 10.1.0.5 1480-2008");
}

#[test]
fn what_is_too_big_leaves_in_fragments_if_it_may() {
    let mut lab = open();
    lab.check(
        "e1 udp 10.1.0.5:40000 > 10.3.0.9:53 len=1400 nodf",
        "e3 fragment 10.1.0.5 > 10.3.0.9 0-1376+\ne3 fragment 10.1.0.5 > 10.3.0.9 1376-1408",
    );
    // The NIC was to finish the checksum; now nobody else can.
    let (_, bytes, meta) = lab.packet("e1 udp 10.1.0.5:40000 > 10.3.0.9:53 len=1400 nodf partial");
    assert!(matches!(meta.checksum, Checksum::Partial { .. }));
    lab.left.clear();
    lab.inject("e1", bytes, meta);
    let message = [&lab.left[0][34..], &lab.left[1][34..]].concat();
    let (from, to) = ("10.1.0.5".parse().unwrap(), "10.3.0.9".parse().unwrap());
    assert_eq!(checksum::transport(from, to, 17, &message), 0);
    // Segments of an offloaded frame become smaller instead.
    lab.send("e1 tcp 10.1.0.5:41000 > 10.3.0.9:443 S");
    lab.reply("SA");
    let (_, bytes, meta) = lab.packet("e1 tcp 10.1.0.5:41000 > 10.3.0.9:443 A len=20000 gso=1460 nodf partial");
    lab.inject("e1", bytes, meta);
    assert_eq!(lab.last().2.segment_bytes, 1360);
}

#[test]
fn fragments_that_are_too_big_for_the_way_are_cut_smaller_or_reported() {
    let mut lab = open();
    let line = "e1 udp 10.1.0.5:40000 > 10.3.0.9:53 len=3000 nodf";
    let out = lab.send_fragments(line, 1500, 7);
    assert!(out[2].starts_with("e3 fragment 10.1.0.5 > 10.3.0.9 0-1376+"), "{}", out[2]);
    let out = lab.send_fragments("e1 udp 10.1.0.5:40000 > 10.3.0.9:53 len=3000", 1500, 8);
    assert_eq!(out[2], "drop too-big\ne1 icmp 3/4 10.1.0.1 > 10.1.0.5 about 10.1.0.5:40000 > 10.3.0.9:53");
    let out = lab.send_fragments("e1 udp [2001:db8:1::5]:4 > [2001:db8:3::9]:53 len=3000", 1500, 8);
    assert!(out[2].starts_with("drop too-big\ne1 icmp 2/0 2001:db8:1::1 > 2001:db8:1::5"), "{}", out[2]);
    let out = lab.send_fragments("e1 udp [2001:db8:1::5]:4 > [2001:db8:3::9]:53 len=3000", 1400, 9);
    assert!(out[2].starts_with("e3 fragment"), "{}", out[2]);
}

#[test]
fn fragments_wait_for_the_neighbour_as_one() {
    let mut lab = open();
    lab.silent.insert("10.3.0.9".parse().unwrap());
    let line = "e1 udp 10.1.0.5:40000 > 10.3.0.9:53 len=1400 nodf";
    lab.check(line, "");
    lab.silent.clear();
    let frames = {
        lab.pass(1);
        lab.settle()
    };
    assert_eq!(frames, ["e3 fragment 10.1.0.5 > 10.3.0.9 0-1376+", "e3 fragment 10.1.0.5 > 10.3.0.9 1376-1408"]);
}

#[test]
fn a_first_fragment_without_the_whole_header_is_refused() {
    let mut lab = open();
    let out = lab.send_fragments("e1 tcp 10.1.0.5:1 > 198.51.100.9:2 S len=40", 36, 7);
    assert_eq!(out[0], "drop fragment-tiny", "16 bytes of a TCP header");
    let out = lab.send_fragments("e1 tcp [2001:db8:1::5]:1 > [2001:db8:100::9]:2 S len=40", 64, 7);
    assert_eq!(out[0], "drop fragment-tiny");
    assert_eq!(lab.sessions(), []);
}

#[test]
fn overlaps_spoil_the_datagram_and_the_rest_of_it() {
    let mut lab = open();
    let fragments = lab.fragments(V4, 1500, 7);
    let shorter = lab.fragments(V4, 1000, 7);
    assert_eq!(lab.inject("e1", fragments[0].clone(), Meta::default()), "");
    assert_eq!(lab.inject("e1", shorter[1].clone(), Meta::default()), "drop fragment-overlap");
    for fragment in &fragments {
        assert_eq!(lab.inject("e1", fragment.clone(), Meta::default()), "drop fragment-overlap");
    }
    assert_eq!(lab.dropped(DropReason::FragmentOverlap), 5, "the first one as well");
    // The same bytes at the same place with another content is no copy.
    let mut lab = open();
    let mut other = fragments[1].clone();
    other[100] ^= 1;
    lab.inject("e1", fragments[1].clone(), Meta::default());
    assert_eq!(lab.inject("e1", other, Meta::default()), "drop fragment-overlap");
    // Two ends.
    let mut lab = open();
    let longer = lab.fragments(&V4.replace("3000", "3100"), 1500, 7);
    lab.inject("e1", fragments[2].clone(), Meta::default());
    assert_eq!(lab.inject("e1", longer[2].clone(), Meta::default()), "drop fragment-overlap");
}

#[test]
fn what_stays_incomplete_is_given_up() {
    let mut lab = open();
    let fragments = lab.fragments(V4, 1500, 7);
    lab.inject("e1", fragments[0].clone(), Meta::default());
    lab.inject("e1", fragments[2].clone(), Meta::default());
    lab.pass(29);
    assert_eq!(lab.dropped(DropReason::FragmentTimeout), 0);
    lab.pass(1);
    assert_eq!(lab.dropped(DropReason::FragmentTimeout), 2);
    assert_eq!(lab.settle(), Vec::<String>::new(), "nobody is told");
    assert_eq!(lab.inject("e1", fragments[1].clone(), Meta::default()), "");
    lab.pass(31);
    assert_eq!(lab.dropped(DropReason::FragmentTimeout), 3);
    assert_eq!(lab.engine.poll_timeout(), None);
}

#[test]
fn every_bound_has_its_reason() {
    let mut lab = limited(Limits { fragment_datagrams_per_source: 2, ..Limits::default() });
    for identification in 0..4 {
        let first = lab.fragments(V4, 1500, identification).remove(0);
        lab.inject("e1", first, Meta::default());
    }
    assert_eq!(lab.dropped(DropReason::FragmentSource), 2);
    let other = lab.fragments(&V4.replace("10.1.0.5", "10.1.0.6"), 1500, 9).remove(0);
    assert_eq!(lab.inject("e1", other, Meta::default()), "", "others are not affected");

    let mut lab = limited(Limits { fragments_per_datagram: 3, ..Limits::default() });
    let out = lab.send_fragments(V4, 700, 7);
    assert_eq!(out[3..], ["drop fragment-count", "drop fragment-count"]);

    let mut lab = limited(Limits { fragment_datagrams: 2, ..Limits::default() });
    let old = lab.fragments(V4, 1500, 1);
    lab.inject("e1", old[0].clone(), Meta::default());
    lab.inject("e1", old[1].clone(), Meta::default());
    for identification in 2..4 {
        let first = lab.fragments(V4, 1500, identification).remove(0);
        lab.inject("e1", first, Meta::default());
    }
    assert_eq!(lab.dropped(DropReason::FragmentTable), 2, "both fragments of the oldest");
    assert!(lab.send_fragments(V4, 1500, 9)[2].starts_with("e2 fragment"), "whole ones pass");

    let mut lab = limited(Limits { fragment_bytes: 10_000, ..Limits::default() });
    for identification in 0..20 {
        let first = lab.fragments(V4, 1500, identification).remove(0);
        lab.inject("e1", first, Meta::default());
    }
    assert_eq!(lab.dropped(DropReason::FragmentMemory), 14, "six of 1544 bytes are kept");
    assert!(lab.send_fragments(V4, 1500, 99)[2].starts_with("e2 fragment"), "whole ones pass");

    let mut lab = limited(Limits { fragment_datagrams: 0, ..Limits::default() });
    assert_eq!(lab.send_fragments(V4, 1500, 1)[0], "drop fragment-table-full");
}

#[test]
fn fragments_of_different_ports_do_not_meet() {
    let mut lab = open();
    let fragments = lab.fragments("e1 udp 10.9.0.5:40000 > 198.51.100.9:53 len=2000", 1500, 7);
    assert_eq!(lab.inject("e1", fragments[0].clone(), Meta::default()), "");
    let mut foreign = fragments[1].clone();
    foreign[0..6].copy_from_slice(&crate::lab::port_mac("e3"));
    assert_eq!(lab.inject("e3", foreign, Meta::default()), "");
    assert_eq!(lab.counters().datagrams_reassembled, 0);
}

#[test]
fn nonsense_is_refused() {
    let mut lab = open();
    let fragments = lab.fragments(V4, 1500, 7);
    let changed = |field: u16| {
        let mut bytes = fragments[1].clone();
        put_u16(&mut bytes, 20, field);
        put_u16(&mut bytes, 24, 0);
        let value = checksum::checksum(&bytes[14..34]);
        put_u16(&mut bytes, 24, value);
        bytes
    };
    assert_eq!(lab.inject("e1", changed(0x1fff), Meta::default()), "drop malformed", "beyond 64 KiB");
    let partial = Meta { checksum: Checksum::Partial { start: 34, offset: 6 }, ..Meta::default() };
    assert_eq!(lab.inject("e1", fragments[0].clone(), partial), "drop malformed");
    // A fragment within fragments, IPv6.
    let inner = lab.fragments(V6, 1280, 3).remove(0);
    let Ok(Parsed::Ip(packet)) = parse(&inner, Meta::default()) else { panic!("IP") };
    let mut nested = inner.clone();
    nested.truncate(54);
    let (first, second) = inner[54..packet.end].split_at(616);
    let piece = |more: u16, offset: u16, data: &[u8]| {
        let mut bytes = nested.clone();
        bytes.extend([44, 0]);
        bytes.extend((offset | more).to_be_bytes());
        bytes.extend([0, 0, 0, 9]);
        bytes.extend(data);
        let length = (bytes.len() - 54) as u16;
        put_u16(&mut bytes, 18, length);
        bytes
    };
    assert_eq!(lab.inject("e1", piece(1, 0, first), Meta::default()), "");
    assert_eq!(lab.inject("e1", piece(0, 616, second), Meta::default()), "drop malformed");
}

#[test]
fn fragments_meet_at_one_worker_and_the_datagram_goes_to_its_owner() {
    let config = house("", &rule("all", "any", "any", "allow"));
    let mut labs: Vec<Lab> =
        (0..4).map(|worker| Lab::with(&config, Settings { worker, workers: 4, ..Settings::default() })).collect();
    let mut handed_on = 0;
    for port in 40_000..40_016 {
        let line = format!("e1 udp 10.1.0.5:{port} > 198.51.100.9:53 len=2000");
        let fragments = labs[0].fragments(&line, 1500, port);
        let home = (0..4).find(|worker| labs[*worker].inject("e1", fragments[0].clone(), Meta::default()).is_empty());
        let home = home.expect("one worker takes them");
        for (worker, lab) in labs.iter_mut().enumerate().filter(|(worker, _)| *worker != home) {
            let out = lab.inject("e1", fragments[1].clone(), Meta::default());
            assert_eq!(out, format!("handoff {home}"), "worker {worker}");
        }
        let out = labs[home].inject("e1", fragments[1].clone(), Meta::default());
        let told = std::mem::take(&mut labs[home].messages);
        let handed = told.into_iter().find_map(|event| match event {
            Event::HandOver { to, bytes, meta, .. } => Some((to, bytes, meta)),
            _ => None,
        });
        let Some((to, mut bytes, meta)) = handed else {
            assert!(out.starts_with("e2 fragment"), "{out}");
            continue;
        };
        handed_on += 1;
        let owner = &mut labs[usize::from(to)];
        let (id, now) = (owner.port("e1"), owner.now);
        let _ = owner.engine.handle_frame(id, &mut Frame { bytes: &mut bytes, meta }, now);
        let lines = owner.settle();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("e2 fragment 10.1.0.5 > 198.51.100.9 0-1480+"));
    }
    assert!(handed_on > 4, "most datagrams belong to another worker than their fragments: {handed_on}");
}

/// The traffic class of an IP packet.
fn class(frame: &[u8]) -> u8 {
    if frame[14] >> 4 == 4 { frame[15] } else { frame[14] << 4 | frame[15] >> 4 }
}

/// Gives a frame a traffic class.
fn classify(frame: &mut [u8], class: u8) {
    if frame[14] >> 4 == 4 {
        frame[15] = class;
        put_u16(frame, 24, 0);
        let value = checksum::checksum(&frame[14..34]);
        put_u16(frame, 24, value);
    } else {
        frame[14] = 0x60 | class >> 4;
        frame[15] = class << 4 | frame[15] & 0xf;
    }
}

/// Expedited forwarding, by ends that understand congestion marks (ECT(0)); and the mark.
const MARKED: (u8, u8) = (46 << 2 | 2, 46 << 2 | 3);

#[test]
fn class_and_congestion_marks_are_kept_whole_and_in_fragments() {
    let nat = dynamic("trust", "untrust", "192.0.2.10");
    for line in [V4, V6] {
        let mut lab = Lab::new(&house(&nat, &rule("all", "any", "any", "allow")));
        let (_, mut bytes, meta) = lab.packet(&line.replace("3000", "100"));
        classify(&mut bytes, MARKED.1);
        lab.inject("e1", bytes, meta);
        assert_eq!(class(&lab.last().1), MARKED.1, "{line}");
        lab.left.clear();
        // Only one fragment met congestion: now all have.
        for (at, mut fragment) in lab.fragments(line, 1500, 7).into_iter().enumerate() {
            classify(&mut fragment, if at == 1 { MARKED.1 } else { MARKED.0 });
            lab.inject("e1", fragment, Meta::default());
        }
        assert_eq!(lab.left.iter().map(|frame| class(frame)).collect::<Vec<_>>(), [MARKED.1; 3], "{line}");
    }
}

#[test]
fn ends_that_do_not_understand_congestion_are_not_told_of_it() {
    let mut lab = open();
    for (at, mut fragment) in lab.fragments(V4, 1500, 7).into_iter().enumerate() {
        classify(&mut fragment, if at == 1 { 3 } else { 0 });
        lab.inject("e1", fragment, Meta::default());
    }
    assert_eq!(lab.left.iter().map(|frame| class(frame)).collect::<Vec<_>>(), [0; 3]);
}

#[test]
fn headers_that_nobody_knows_are_a_protocol_of_their_own() {
    let mut lab = open();
    // Mobility, host identity, experiments: what is behind them is not looked for.
    for protocol in [135, 139, 140, 253] {
        let line = format!("e1 proto 2001:db8:1::5 > 2001:db8:100::9 proto={protocol}");
        lab.check(&line, &format!("e2 proto {protocol} 2001:db8:1::5 > 2001:db8:100::9"));
    }
    assert_eq!(lab.sessions().len(), 4);
}
