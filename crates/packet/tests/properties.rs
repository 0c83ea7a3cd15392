//! Properties of reading and rewriting, with `etherparse` as an independent oracle.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bartizan_packet::answer::{self, Link, Problem, Reset, icmp_error, ip_frame};
use bartizan_packet::arp::Arp;
use bartizan_packet::bytes::{put_u16, u16_at};
use bartizan_packet::checksum;
use bartizan_packet::fragment::{Piece, cut, finish_whole, identify};
use bartizan_packet::frame::{Checksum, Meta, Segmentation};
use bartizan_packet::ndp::Message;
use bartizan_packet::oddity::Oddities;
use bartizan_packet::parse::{Embedded, Layer4, Packet, Parsed, checksum_field, parse};
use bartizan_packet::plain::Plain;
use bartizan_packet::rewrite::{self, Change, Tuple};
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use proptest::prelude::*;

const LINK: Link = Link { source: [2, 0, 0, 0, 0, 1], destination: [2, 0, 0, 0, 0, 2] };

#[derive(Clone, Copy, Debug)]
enum Protocol {
    Tcp,
    Udp,
    Echo,
}

#[derive(Clone, Debug)]
struct Flow {
    tuple: Tuple,
    protocol: Protocol,
    ttl: u8,
    payload: Vec<u8>,
}

fn addresses() -> impl Strategy<Value = [(IpAddr, IpAddr); 2]> {
    let v4 = any::<[u32; 4]>().prop_map(|words| words.map(|word| IpAddr::V4(Ipv4Addr::from_bits(word))));
    let v6 = any::<[u128; 4]>().prop_map(|words| words.map(|word| IpAddr::V6(Ipv6Addr::from_bits(word))));
    prop_oneof![v4, v6].prop_map(|[a, b, c, d]| [(a, b), (c, d)])
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Echo)]
}

/// A flow, and what it is to be rewritten to.
fn flow() -> impl Strategy<Value = (Flow, Tuple)> {
    let payload = prop::collection::vec(any::<u8>(), 0..200);
    (addresses(), any::<[u16; 4]>(), protocol(), 2_u8.., payload).prop_map(|(ends, ports, protocol, ttl, payload)| {
        let [(source, destination), (new_source, new_destination)] = ends;
        let [a, b, c, d] = ports;
        let echo = matches!(protocol, Protocol::Echo);
        let tuple = |source, destination, source_port, destination_port| Tuple {
            source,
            destination,
            source_port,
            destination_port: if echo { 0 } else { destination_port },
        };
        (
            Flow { tuple: tuple(source, destination, a, b), protocol, ttl, payload },
            tuple(new_source, new_destination, c, d),
        )
    })
}

/// The frame as etherparse builds it.
fn build(flow: &Flow) -> Vec<u8> {
    let Tuple { source, destination, source_port, destination_port } = flow.tuple;
    let ethernet = PacketBuilder::ethernet2(LINK.source, LINK.destination);
    let ip = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => ethernet.ipv4(source.octets(), destination.octets(), flow.ttl),
        (IpAddr::V6(source), IpAddr::V6(destination)) => ethernet.ipv6(source.octets(), destination.octets(), flow.ttl),
        _ => unreachable!("one family"),
    };
    let mut bytes = Vec::new();
    match flow.protocol {
        Protocol::Tcp => ip.tcp(source_port, destination_port, 7, 900).ack(3).write(&mut bytes, &flow.payload),
        Protocol::Udp => ip.udp(source_port, destination_port).write(&mut bytes, &flow.payload),
        Protocol::Echo if source.is_ipv4() => ip.icmpv4_echo_request(source_port, 1).write(&mut bytes, &flow.payload),
        Protocol::Echo => ip.icmpv6_echo_request(source_port, 1).write(&mut bytes, &flow.payload),
    }
    .expect("a vector takes all");
    bytes
}

fn read(bytes: &[u8], meta: Meta) -> Packet {
    match parse(bytes, meta) {
        Ok(Parsed::Ip(packet)) => packet,
        other => panic!("{other:?}"),
    }
}

/// The frame of a flow, all checksums made from scratch by etherparse.
fn rebuilt(flow: &Flow, new: Tuple) -> Vec<u8> {
    build(&Flow { tuple: new, ..flow.clone() })
}

/// Replaces the checksum by what a sender with offload leaves there.
fn make_partial(bytes: &mut [u8], packet: &Packet) -> Meta {
    let field = checksum_field(packet.protocol).expect("the protocol has a checksum");
    let length = packet.end - packet.transport;
    let pseudo = checksum::pseudo_header(packet.source, packet.destination, packet.protocol, length);
    put_u16(bytes, packet.transport + field, pseudo);
    Meta { checksum: Checksum::Partial { start: packet.transport as u16, offset: field as u16 }, ..Meta::default() }
}

proptest! {
    #[test]
    fn agrees_with_etherparse((flow, _) in flow()) {
        let bytes = build(&flow);
        let packet = read(&bytes, Meta::default());
        let oracle = SlicedPacket::from_ethernet(&bytes).expect("built by etherparse");
        let (source, destination): (IpAddr, IpAddr) = match oracle.net.expect("an IP packet") {
            NetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
            NetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
            NetSlice::Arp(_) => unreachable!("not built"),
        };
        prop_assert_eq!((packet.source, packet.destination, packet.ttl), (source, destination, flow.ttl));
        let payload = match oracle.transport.expect("a transport") {
            TransportSlice::Tcp(tcp) => {
                let Layer4::Tcp(ours) = packet.layer4 else { panic!("{packet:?}") };
                prop_assert_eq!((ours.source_port, ours.destination_port), (tcp.source_port(), tcp.destination_port()));
                prop_assert_eq!((ours.sequence, ours.acknowledgment), (tcp.sequence_number(), tcp.acknowledgment_number()));
                prop_assert_eq!((ours.flags.ack(), ours.flags.syn()), (tcp.ack(), tcp.syn()));
                tcp.payload().len()
            }
            TransportSlice::Udp(udp) => {
                prop_assert_eq!(packet.ports(), (udp.source_port(), udp.destination_port()));
                udp.payload().len()
            }
            TransportSlice::Icmpv4(icmp) => icmp.payload().len(),
            TransportSlice::Icmpv6(icmp) => icmp.payload().len(),
            TransportSlice::Igmp(_) => unreachable!("not built"),
        };
        prop_assert_eq!(packet.ip_bytes() - packet.header_bytes(), payload);
    }

    #[test]
    fn a_rewritten_packet_is_the_one_built_anew((flow, new) in flow()) {
        let mut bytes = build(&flow);
        let packet = read(&bytes, Meta::default());
        Change::new(&flow.tuple, &new).apply(&mut bytes, &packet, &new);
        rewrite::hop(&mut bytes, &packet);
        let expected = rebuilt(&Flow { ttl: flow.ttl - 1, ..flow.clone() }, new);
        prop_assert_eq!(bytes, expected);
    }

    #[test]
    fn a_partial_checksum_stays_the_pseudo_headers((flow, new) in flow()) {
        let mut bytes = build(&flow);
        let packet = read(&bytes, Meta::default());
        // Nobody leaves ICMPv4, which has no pseudo-header, to the card.
        prop_assume!(packet.protocol != 1);
        let meta = make_partial(&mut bytes, &packet);
        let packet = read(&bytes, meta);
        prop_assert!(packet.partial);
        Change::new(&flow.tuple, &new).apply(&mut bytes, &packet, &new);
        let mut expected = rebuilt(&flow, new);
        let there = read(&expected, Meta::default());
        make_partial(&mut expected, &there);
        prop_assert_eq!(bytes, expected);
    }

    #[test]
    fn back_and_forth_is_nothing((flow, new) in flow()) {
        let original = build(&flow);
        let mut bytes = original.clone();
        let packet = read(&bytes, Meta::default());
        Change::new(&flow.tuple, &new).apply(&mut bytes, &packet, &new);
        let packet = read(&bytes, Meta::default());
        Change::new(&new, &flow.tuple).apply(&mut bytes, &packet, &flow.tuple);
        prop_assert_eq!(bytes, original);
    }

    #[test]
    fn quotations_are_translated_whole((flow, new) in flow(), router in any::<u32>()) {
        let mut flow = flow;
        flow.tuple.source = match flow.tuple.source {
            IpAddr::V4(_) => IpAddr::from([10, 1, 2, 3]),
            IpAddr::V6(_) => "2001:db8::5".parse().expect("an address"),
        };
        let quoted = build(&flow);
        let inner = read(&quoted, Meta::default());
        let from = if inner.is_v4() { IpAddr::V4(Ipv4Addr::from_bits(router)) } else { "2001:db8::1".parse().expect("an address") };
        let mut error = icmp_error(LINK, from, &quoted, &inner, Problem::TimeExceeded);
        let outer = read(&error, Meta::default());
        prop_assert_eq!(outer.layer4, Layer4::IcmpError);
        prop_assert!(rewrite::icmp_is_intact(&error, &outer));
        let embedded = Embedded::read(&error, &outer).expect("we built it");
        prop_assert_eq!((embedded.source, embedded.source_port), (flow.tuple.source, flow.tuple.source_port));
        rewrite::embedded(&mut error, &outer, &embedded, &new);
        prop_assert!(rewrite::icmp_is_intact(&error, &read(&error, Meta::default())));
        let expected = rebuilt(&flow, new);
        let inside = &error[embedded.network..embedded.end];
        prop_assert_eq!(inside, &expected[14..14 + inside.len()]);
    }

    #[test]
    fn nothing_panics_on_any_bytes(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        kind in prop::sample::select(vec![[0x08, 0x00], [0x86, 0xdd], [0x08, 0x06]]),
        first in any::<u8>(),
        segment_bytes in any::<u16>(),
        start in 0_u16..100,
        offset in 0_u16..20,
    ) {
        let mut bytes = bytes;
        if bytes.len() > 14 {
            bytes[12..14].copy_from_slice(&kind);
            bytes[14] = if kind == [0x08, 0x00] { 0x40 | (first & 7) } else { 0x60 };
        }
        // Most random headers fail their checksum; make it right where it can be.
        if kind == [0x08, 0x00] && bytes.len() >= 14 + 20 {
            let header = 14 + usize::from(bytes[14] & 15) * 4;
            if bytes.len() >= header && header >= 34 {
                bytes[24..26].fill(0);
                let value = checksum::checksum(&bytes[14..header]);
                put_u16(&mut bytes, 24, value);
            }
        }
        let plain = Meta::default();
        let offloaded = Meta {
            segmentation: Segmentation::TcpV4,
            segment_bytes,
            checksum: Checksum::Partial { start, offset },
            header_bytes: 54,
            ..Meta::default()
        };
        for meta in [plain, offloaded] {
            let _ = Arp::read(&bytes);
            let Ok(Parsed::Ip(packet)) = parse(&bytes, meta) else { continue };
            prop_assert!(packet.network <= packet.transport && packet.transport <= packet.end);
            prop_assert!(packet.end <= bytes.len());
            let _ = (packet.wire(meta), packet.wire_packet_bytes(meta), Message::read(&bytes, &packet));
            let mut copy = bytes.clone();
            if let (Layer4::IcmpError, Ok(quoted)) = (packet.layer4, Embedded::read(&bytes, &packet)) {
                let new = Tuple {
                    source: quoted.destination,
                    destination: quoted.source,
                    source_port: 1,
                    destination_port: 2,
                };
                rewrite::embedded(&mut copy, &packet, &quoted, &new);
            }
            if answer::may_report(&packet) {
                let error = icmp_error(LINK, packet.destination, &bytes, &packet, Problem::Prohibited);
                prop_assert!(error.len() <= 14 + 1280);
            }
            if let Some(reset) = Reset::answering(&packet) {
                let frame = reset.frame(LINK);
                let back = read(&frame, Meta::default());
                prop_assert_eq!((back.source, back.destination), (packet.destination, packet.source));
            }
            answer::echo_reply(&mut copy, &packet);
        }
    }

    #[test]
    fn echo_replies_are_what_etherparse_builds((flow, _) in flow()) {
        let flow = Flow { protocol: Protocol::Echo, ..flow };
        let mut bytes = build(&flow);
        let packet = read(&bytes, Meta::default());
        answer::echo_reply(&mut bytes, &packet);
        let Tuple { source, destination, source_port, .. } = flow.tuple;
        let ethernet = PacketBuilder::ethernet2(LINK.source, LINK.destination);
        let mut expected = Vec::new();
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => ethernet
                .ipv4(destination.octets(), source.octets(), answer::TTL)
                .icmpv4_echo_reply(source_port, 1)
                .write(&mut expected, &flow.payload),
            (IpAddr::V6(source), IpAddr::V6(destination)) => ethernet
                .ipv6(destination.octets(), source.octets(), answer::TTL)
                .icmpv6_echo_reply(source_port, 1)
                .write(&mut expected, &flow.payload),
            _ => unreachable!("one family"),
        }
        .expect("a vector takes all");
        prop_assert_eq!(bytes, expected);
    }
}

#[test]
fn a_reset_answers_a_segment_as_the_rfc_says() {
    let flow = Flow {
        tuple: Tuple {
            source: IpAddr::from([10, 0, 0, 1]),
            destination: IpAddr::from([10, 0, 0, 2]),
            source_port: 4000,
            destination_port: 80,
        },
        protocol: Protocol::Tcp,
        ttl: 64,
        payload: vec![1; 10],
    };
    let bytes = build(&flow);
    let reset = Reset::answering(&read(&bytes, Meta::default())).expect("an answer");
    // etherparse's segment has sequence 7 and acknowledges 3.
    assert_eq!((reset.sequence, reset.acknowledgment), (3, None));
    assert_eq!((reset.source_port, reset.destination_port), (80, 4000));
    let frame = reset.frame(LINK);
    let back = read(&frame, Meta::default());
    assert_eq!(checksum::transport(back.source, back.destination, 6, &frame[back.transport..back.end]), 0);
    assert_eq!(Reset::answering(&back), None, "a reset is never answered");
}

#[test]
fn extension_headers_are_walked_so_far() {
    let source: IpAddr = "2001:db8::1".parse().expect("an address");
    let destination: IpAddr = "2001:db8::2".parse().expect("an address");
    let chain = |count: usize| {
        let mut message = Vec::new();
        for n in 0..count {
            let next = if n + 1 == count { 17 } else { 60 };
            message.extend([next, 0, 1, 4, 0, 0, 0, 0]);
        }
        message.extend([0, 53, 0, 99, 0, 8, 0, 0]);
        ip_frame(LINK, source, destination, if count == 0 { 17 } else { 60 }, 64, &message)
    };
    for count in 0..=8 {
        let packet = read(&chain(count), Meta::default());
        assert_eq!((packet.protocol, packet.ports()), (17, (53, 99)), "{count} headers");
        assert_eq!(packet.transport, 54 + 8 * count);
    }
    assert!(parse(&chain(9), Meta::default()).is_err());
}

#[test]
fn an_atomic_fragment_is_whole_and_others_are_not() {
    let source: IpAddr = "2001:db8::1".parse().expect("an address");
    let fragment = |field: u16| {
        let [high, low] = field.to_be_bytes();
        let message = [17, 0, high, low, 0, 0, 0, 9, 0, 53, 0, 99, 0, 8, 0, 0];
        read(&ip_frame(LINK, source, source, 44, 64, &message), Meta::default())
    };
    assert!(!fragment(0).fragment);
    assert_eq!(fragment(0).ports(), (53, 99));
    assert!(fragment(1).fragment, "more to come");
    assert!(fragment(8).fragment, "not the first");
}

#[test]
fn an_offloaded_frame_counts_as_its_segments() {
    let mut flow = Flow {
        tuple: Tuple {
            source: IpAddr::from([10, 0, 0, 1]),
            destination: IpAddr::from([10, 0, 0, 2]),
            source_port: 4000,
            destination_port: 80,
        },
        protocol: Protocol::Tcp,
        ttl: 64,
        payload: vec![1; 4000],
    };
    let meta = Meta { segmentation: Segmentation::TcpV4, segment_bytes: 1460, ..Meta::default() };
    let wire = |flow: &Flow| read(&build(flow), meta).wire(meta);
    assert_eq!(wire(&flow), (3, 4000 + 3 * 40));
    flow.payload.truncate(2920);
    assert_eq!(wire(&flow), (2, 2920 + 2 * 40));
    flow.payload.clear();
    assert_eq!(wire(&flow), (1, 40));
    assert_eq!(u16_at(&build(&flow), 16), 40);
}

#[test]
fn offload_data_must_fit_the_packet() {
    let source = IpAddr::from([10, 0, 0, 1]);
    let frame = |protocol: u8| ip_frame(LINK, source, IpAddr::from([10, 0, 0, 2]), protocol, 64, &[0x50; 40]);
    let partial = |start, offset| Meta { checksum: Checksum::Partial { start, offset }, ..Meta::default() };
    assert!(read(&frame(6), partial(34, 16)).partial);
    assert!(parse(&frame(6), partial(34, 6)).is_err(), "not where TCP has its checksum");
    assert!(!read(&frame(6), partial(62, 16)).partial, "a checksum inside the payload is not ours");
    assert!(read(&frame(132), partial(34, 8)).partial, "SCTP is left to the card");
    let empty_segments = Meta { segmentation: Segmentation::TcpV4, ..Meta::default() };
    assert!(parse(&frame(6), empty_segments).is_err());
}

/// A packet as the words of a [`Plain`].
fn words(tuple: &Tuple) -> ([u64; 4], u32) {
    let addresses = match (tuple.source, tuple.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            [u64::from(source.to_bits()) << 32 | u64::from(destination.to_bits()), 0, 0, 0]
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let (source, destination) = (source.to_bits(), destination.to_bits());
            [(source >> 64) as u64, source as u64, (destination >> 64) as u64, destination as u64]
        }
        _ => unreachable!("one family"),
    };
    (addresses, u32::from(tuple.source_port) << 16 | u32::from(tuple.destination_port))
}

/// What `parse` says of a packet that was read as a plain one.
fn assert_same(plain: &Plain, bytes: &[u8], meta: Meta) {
    let packet = read(bytes, meta);
    let (source_port, destination_port) = packet.ports();
    let tuple = Tuple { source: packet.source, destination: packet.destination, source_port, destination_port };
    assert_eq!((plain.addresses, plain.ports), words(&tuple));
    assert_eq!((plain.v4, plain.protocol, plain.ttl), (packet.is_v4(), packet.protocol, packet.ttl));
    assert_eq!((plain.transport(), plain.end as usize), (packet.transport, packet.end));
    assert_eq!(plain.partial, packet.partial);
    assert_eq!(plain.wire(bytes, meta), (packet.wire(meta), packet.wire_packet_bytes(meta)));
    assert!(!packet.fragment && !packet.source_routed);
    assert_eq!(packet.oddities, Oddities::default());
    match packet.layer4 {
        Layer4::Tcp(tcp) => {
            assert_eq!(plain.tcp(bytes), Some(tcp));
            assert!(tcp.flags.ack() && !(tcp.flags.syn() || tcp.flags.fin() || tcp.flags.rst()));
        }
        Layer4::Ports { .. } => assert_eq!(plain.tcp(bytes), None),
        other => panic!("{other:?} is not plain"),
    }
}

proptest! {
    #[test]
    fn a_plain_packet_is_read_and_rewritten_as_any_other((flow, new) in flow(), offload in 0..3, segment in 0_u16..90) {
        let mut bytes = build(&flow);
        let packet = read(&bytes, Meta::default());
        let mut meta = Meta::default();
        if offload > 0 && !matches!(flow.protocol, Protocol::Echo) {
            meta = make_partial(&mut bytes, &packet);
        }
        if offload > 1 {
            meta.segmentation = Segmentation::TcpV4;
            meta.segment_bytes = segment;
        }
        let plain = Plain::read(&bytes, meta);
        let compatible = |address: IpAddr| matches!(address, IpAddr::V6(v6) if v6.to_bits() >> 64 == 0);
        let odd = compatible(packet.source) || compatible(packet.destination) || (offload > 1 && segment == 0);
        prop_assert_eq!(plain.is_some(), !matches!(flow.protocol, Protocol::Echo) && !odd);
        let Some(plain) = plain else { return Ok(()) };
        assert_same(&plain, &bytes, meta);
        let packet = read(&bytes, meta);
        let change = Change::new(&flow.tuple, &new);
        let mut expected = bytes.clone();
        change.apply(&mut expected, &packet, &new);
        rewrite::hop(&mut expected, &packet);
        let (addresses, ports) = words(&new);
        change.carry_on(&mut bytes, &plain, addresses, ports);
        prop_assert_eq!(bytes, expected);
    }

    #[test]
    fn what_is_read_as_plain_is_nothing_else(
        (flow, _) in flow(),
        changes in prop::collection::vec((0_usize..80, any::<u8>()), 0..3),
        length in 0_usize..120,
        fix: bool,
        (offload, segment) in (0..3, 0_u16..90),
    ) {
        let mut bytes = build(&flow);
        let mut meta = Meta::default();
        if offload > 0 {
            meta = make_partial(&mut bytes, &read(&build(&flow), Meta::default()));
        }
        if offload > 1 {
            (meta.segmentation, meta.segment_bytes) = (Segmentation::Udp, segment);
        }
        for (at, value) in changes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        bytes.truncate(length.max(bytes.len() / 2));
        if fix && bytes.len() >= 34 {
            put_u16(&mut bytes, 24, 0);
            let value = checksum::checksum(&bytes[14..34]);
            put_u16(&mut bytes, 24, value);
        }
        if let Some(plain) = Plain::read(&bytes, meta) {
            assert_same(&plain, &bytes, meta);
        }
    }
}

/// A frame with more payload than one fragment of 68 bytes has.
fn long_flow() -> impl Strategy<Value = Flow> {
    (flow(), prop::collection::vec(any::<u8>(), 100..3000)).prop_map(|((flow, _), payload)| Flow { payload, ..flow })
}

proptest! {
    #[test]
    fn what_is_cut_is_put_together_again(flow in long_flow(), limit in 120_usize..1500, identification: u16) {
        let mut whole = build(&flow);
        let packet = read(&whole, Meta::default());
        if packet.is_v4() {
            identify(&mut whole, &packet, identification);
        }
        prop_assume!(packet.ip_bytes() > limit);
        let fragments: Vec<_> = cut(&whole, &packet, limit, identification.into()).collect();
        let mut together = Vec::new();
        for (at, bytes) in fragments.iter().enumerate() {
            let sliced = SlicedPacket::from_ethernet(bytes).expect("etherparse reads every fragment");
            let payload = sliced.ip_payload().expect("an IP packet");
            prop_assert!(payload.fragmented);
            let fragment = read(bytes, Meta::default());
            prop_assert!(fragment.fragment && fragment.ip_bytes() <= limit);
            let piece = Piece::read(bytes, &fragment).expect("a fragment");
            prop_assert_eq!(piece.identification, u32::from(identification));
            prop_assert_eq!(piece.more, at + 1 < fragments.len());
            if at == 0 {
                prop_assert!(piece.holds_headers(bytes, &fragment));
                together = piece.head(bytes, &fragment);
            }
            prop_assert_eq!(together.len(), packet.transport + piece.offset);
            together.extend(&bytes[piece.data..piece.end]);
        }
        finish_whole(&mut together);
        prop_assert_eq!(together, whole);
    }

    #[test]
    fn no_fragment_panics(mut bytes in prop::collection::vec(any::<u8>(), 14..200), limit in 0_usize..200, v6: bool) {
        bytes[12..14].copy_from_slice(if v6 { &[0x86, 0xdd] } else { &[8, 0] });
        if let Some(first) = bytes.get_mut(14) {
            *first = if v6 { 0x60 } else { 0x45 };
        }
        if v6 && bytes.len() > 20 {
            bytes[20] = 44;
            let length = bytes.len().saturating_sub(54) as u16;
            put_u16(&mut bytes, 18, length);
        } else if bytes.len() >= 34 {
            let length = (bytes.len() - 14) as u16;
            put_u16(&mut bytes, 16, length);
            put_u16(&mut bytes, 24, 0);
            let value = checksum::checksum(&bytes[14..34]);
            put_u16(&mut bytes, 24, value);
        }
        if let Ok(Parsed::Ip(packet)) = parse(&bytes, Meta::default()) {
            if let Ok(piece) = Piece::read(&bytes, &packet) {
                piece.holds_headers(&bytes, &packet);
                prop_assert!(piece.head(&bytes, &packet).len() <= bytes.len());
            }
            prop_assert!(cut(&bytes, &packet, limit, 1).count() <= 200);
        }
    }
}

#[test]
fn headers_before_the_fragment_header_are_repeated_and_those_after_are_not() {
    let source: IpAddr = "2001:db8::1".parse().expect("an address");
    // Hop-by-hop, destination options, routing (used up), destination options, UDP.
    let mut message = vec![60, 0, 1, 4, 0, 0, 0, 0];
    message.extend([43, 0, 1, 4, 0, 0, 0, 0]);
    message.extend([60, 0, 9, 0, 0, 0, 0, 0]);
    message.extend([17, 0, 1, 4, 0, 0, 0, 0]);
    message.extend([0, 53, 0, 99, 1, 0x98, 0, 0]);
    message.extend([7; 400]);
    let whole = ip_frame(LINK, source, source, 0, 64, &message);
    let packet = read(&whole, Meta::default());
    let fragments: Vec<_> = cut(&whole, &packet, 272, 5).collect();
    assert_eq!(fragments.len(), 3);
    let mut together = Vec::new();
    for bytes in &fragments {
        let fragment = read(bytes, Meta::default());
        let piece = Piece::read(bytes, &fragment).expect("a fragment");
        assert_eq!(piece.data, 54 + 24 + 8, "up to the routing header");
        if piece.offset == 0 {
            assert!(piece.holds_headers(bytes, &fragment));
            together = piece.head(bytes, &fragment);
        }
        together.extend(&bytes[piece.data..piece.end]);
    }
    finish_whole(&mut together);
    assert_eq!(together, whole);
}

#[test]
fn options_that_are_not_to_be_copied_stand_in_the_first_fragment_only() {
    let udp = [[0, 53, 0, 99, 0, 208, 0, 0].as_slice(), &[9; 200]].concat();
    let mut frame = ip_frame(LINK, [10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 17, 64, &udp);
    // Router alert, which is to be copied, and a timestamp, which is not.
    frame.splice(34..34, [148, 4, 0, 0, 68, 7, 5, 0, 1, 2, 3, 0]);
    frame[14] = 0x48;
    finish_whole(&mut frame);
    let packet = read(&frame, Meta::default());
    let fragments: Vec<_> = cut(&frame, &packet, 140, 0).collect();
    assert_eq!(fragments[0][34..46], [148, 4, 0, 0, 68, 7, 5, 0, 1, 2, 3, 0]);
    assert_eq!(fragments[1][34..46], [148, 4, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0]);
    assert_eq!(fragments.iter().map(|bytes| read(bytes, Meta::default()).end - 46).sum::<usize>(), 208);
}
