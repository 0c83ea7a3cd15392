//! Properties of tunnels: what was put in is what comes out, and hostile bytes do no harm.

#![expect(clippy::unwrap_used, reason = "a test that cannot build its packet fails")]

use std::net::IpAddr;

use bartizan_packet::answer::{Link, ip_frame};
use bartizan_packet::bytes::{put_u16, u16_at};
use bartizan_packet::checksum;
use bartizan_packet::ethernet;
use bartizan_packet::frame::Meta;
use bartizan_packet::geneve::{self, Geneve};
use bartizan_packet::parse::{Packet, Parsed, UDP, parse, parse_as};
use bartizan_packet::plain::Plain;
use bartizan_packet::tunnel::{Capsule, Carries, Encapsulation, Named, PlainCapsule, Prefix, Turn, checksum_is_right};
use bartizan_packet::vxlan::{self, Vni};
use proptest::prelude::*;

const LINK: Link = Link { source: [2, 0, 0, 0, 0, 1], destination: [2, 0, 0, 0, 0, 2] };
const INNER_LINK: Link = Link { source: [2, 1, 0, 0, 0, 1], destination: [2, 1, 0, 0, 0, 2] };

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Vxlan,
    Geneve,
    Nested,
}

#[derive(Clone, Debug)]
struct Sent {
    kind: Kind,
    outer: (IpAddr, IpAddr),
    inner: (IpAddr, IpAddr),
    ports: (u16, u16),
    vni: Vni,
    options: Vec<(u16, u8, Vec<u8>)>,
    payload: Vec<u8>,
    checksum: bool,
}

fn family(v4: bool, seed: u128) -> (IpAddr, IpAddr) {
    if v4 {
        (IpAddr::from((seed as u32).to_be_bytes()), IpAddr::from(((seed >> 32) as u32).to_be_bytes()))
    } else {
        (IpAddr::from(seed.to_be_bytes()), IpAddr::from((!seed).to_be_bytes()))
    }
}

fn options() -> impl Strategy<Value = Vec<(u16, u8, Vec<u8>)>> {
    let words = prop::collection::vec(any::<[u8; 4]>(), 0..5).prop_map(|words| words.concat());
    prop::collection::vec((any::<u16>(), 0_u8..128, words), 0..6)
}

fn sent() -> impl Strategy<Value = Sent> {
    let kind = prop_oneof![Just(Kind::Vxlan), Just(Kind::Geneve), Just(Kind::Nested)];
    let payload = prop::collection::vec(any::<u8>(), 0..200);
    (kind, any::<[bool; 3]>(), any::<[u128; 2]>(), any::<(u16, u16)>(), 0..=Vni::MAX, options(), payload).prop_map(
        |(kind, [outer_v4, inner_v4, checksum], [outer, inner], ports, vni, options, payload)| Sent {
            kind,
            outer: family(outer_v4, outer),
            inner: family(inner_v4, inner),
            ports,
            vni: Vni::new(vni).unwrap(),
            options,
            payload,
            checksum,
        },
    )
}

impl Sent {
    fn inner_frame(&self) -> Vec<u8> {
        udp(INNER_LINK, self.inner, (1000, 2000), &self.payload, true)
    }

    fn header(&self, kind: u16) -> Vec<u8> {
        let options: Vec<(u16, u8, &[u8])> =
            self.options.iter().map(|(class, kind, data)| (*class, *kind, data.as_slice())).collect();
        geneve::header(kind, self.vni, &options).unwrap()
    }

    fn frame(&self) -> Vec<u8> {
        let inner = self.inner_frame();
        let vxlan = [vxlan::header(self.vni).as_slice(), &inner].concat();
        let payload = match self.kind {
            Kind::Vxlan => vxlan,
            Kind::Geneve => [self.header(ethernet::kind(&inner)), inner[14..].to_vec()].concat(),
            Kind::Nested => {
                let nested = udp(INNER_LINK, self.inner, (self.ports.1, 6080), &vxlan, self.checksum);
                [self.header(ethernet::kind(&nested)), nested[14..].to_vec()].concat()
            }
        };
        udp(LINK, self.outer, self.ports, &payload, self.checksum)
    }
}

fn udp(link: Link, (source, destination): (IpAddr, IpAddr), ports: (u16, u16), payload: &[u8], sum: bool) -> Vec<u8> {
    let mut message = [ports.0.to_be_bytes(), ports.1.to_be_bytes(), [0; 2], [0; 2]].concat();
    message.extend(payload);
    let length = message.len() as u16;
    put_u16(&mut message, 4, length);
    if sum {
        let value = checksum::transport(source, destination, UDP, &message);
        put_u16(&mut message, 6, if value == 0 { 0xffff } else { value });
    }
    ip_frame(link, source, destination, UDP, 9, &message)
}

fn read(bytes: &[u8]) -> Packet {
    match parse(bytes, Meta::default()) {
        Ok(Parsed::Ip(packet)) => packet,
        other => panic!("{other:?}"),
    }
}

fn read_inner(frame: &[u8], capsule: &Capsule) -> Option<Packet> {
    let kind = match capsule.carries {
        Carries::Ethernet => u16_at(frame, capsule.inner + 12),
        Carries::Ip(kind) => kind,
    };
    let base = capsule.inner_network() - ethernet::HEADER_BYTES;
    match parse_as(&frame[base..], kind, Meta::default()) {
        Ok(Parsed::Ip(packet)) => Some(Packet {
            network: packet.network + base,
            transport: packet.transport + base,
            end: packet.end + base,
            ..packet
        }),
        _ => None,
    }
}

fn open(frame: &[u8], kind: Kind) -> Capsule {
    let packet = read(frame);
    match kind {
        Kind::Vxlan => Capsule::open(frame, &packet, Encapsulation::Vxlan).unwrap(),
        Kind::Geneve => Capsule::open(frame, &packet, Encapsulation::Geneve).unwrap(),
        Kind::Nested => {
            let outside = Capsule::open(frame, &packet, Encapsulation::Geneve).unwrap();
            let inside = read_inner(frame, &outside).unwrap();
            outside.open_nested(frame, &inside, Encapsulation::Vxlan).unwrap()
        }
    }
}

/// The inner IP packet's bytes.
fn inside(frame: &[u8], kind: Kind) -> Vec<u8> {
    let capsule = open(frame, kind);
    let packet = read_inner(frame, &capsule).unwrap();
    frame[packet.network..packet.end].to_vec()
}

proptest! {
    #[test]
    fn what_was_put_in_comes_out(sent in sent()) {
        let frame = sent.frame();
        prop_assert!(checksum_is_right(&frame, &read(&frame)));
        prop_assert_eq!(inside(&frame, sent.kind), sent.inner_frame()[14..].to_vec());
        let capsule = open(&frame, sent.kind);
        if sent.kind == Kind::Geneve {
            let read = capsule.geneve(&frame).unwrap();
            let options: Vec<_> = read.options().map(|o| (o.class, o.kind, o.data.to_vec())).collect();
            prop_assert_eq!(options, sent.options);
        } else {
            prop_assert_eq!(capsule.vni(&frame), Some(sent.vni));
        }
    }

    #[test]
    fn turning_swaps_the_ends_and_keeps_the_rest(sent in sent()) {
        let frame = sent.frame();
        let capsule = open(&frame, sent.kind);
        let mut turned = frame.clone();
        capsule.turn(&mut turned, read(&frame).end, Turn::default());
        let packet = read(&turned);
        prop_assert_eq!((packet.source, packet.destination), (sent.outer.1, sent.outer.0));
        prop_assert_eq!(packet.ports(), sent.ports, "the load balancer knows the flow by its port");
        prop_assert!(checksum_is_right(&turned, &packet));
        prop_assert_eq!(ethernet::destination(&turned), LINK.source);
        prop_assert_eq!(inside(&turned, sent.kind), inside(&frame, sent.kind));
        let header = packet.transport + 8;
        let options = if sent.kind == Kind::Vxlan { 8 } else { capsule.geneve(&frame).unwrap().header_bytes() };
        prop_assert_eq!(&turned[header..header + options], &frame[header..header + options], "bit for bit");
        let mut back = turned.clone();
        capsule.turn(&mut back, packet.end, Turn::default());
        prop_assert_eq!(inside(&back, sent.kind), inside(&frame, sent.kind));
        prop_assert_eq!((read(&back).source, read(&back).destination), sent.outer);
    }

    #[test]
    fn another_packet_goes_back_behind_the_same_headers(sent in sent(), inner_v4: bool, length in 0_usize..300) {
        let frame = sent.frame();
        let capsule = open(&frame, sent.kind);
        let prefix = Prefix::answering(&frame, &capsule, true);
        prop_assert!(prefix.answers(&frame, &capsule, true));
        let answer = udp(INNER_LINK, family(inner_v4, 7), (1, 2), &vec![9; length], true);
        let mut buffer = vec![0xee; 400];
        buffer.extend(&answer);
        let end = buffer.len();
        let start = prefix.write(&mut buffer, 400 + 14, end, None).unwrap();
        prop_assert_eq!(start, 400 + 14 - prefix.header_bytes());
        let sent_back = &buffer[start..];
        let packet = read(sent_back);
        prop_assert_eq!((packet.source, packet.destination), (sent.outer.1, sent.outer.0));
        prop_assert_eq!(packet.ports(), sent.ports);
        prop_assert_eq!(packet.ip_bytes(), answer.len() - 14 + prefix.overhead_bytes());
        prop_assert!(checksum_is_right(sent_back, &packet));
        prop_assert_eq!(inside(sent_back, sent.kind), answer[14..].to_vec());
        prop_assert!(prefix.write(&mut buffer, prefix.header_bytes() - 1, end, None).is_none(), "no room in front");
    }

    #[test]
    fn a_changed_header_is_noticed(sent in sent(), at in any::<prop::sample::Index>()) {
        let frame = sent.frame();
        let capsule = open(&frame, sent.kind);
        let prefix = Prefix::answering(&frame, &capsule, true);
        let mut other = frame.clone();
        // Anything from the source port on, but lengths and checksums.
        let first = read(&frame).transport;
        let header = [0, 1, 2, 3].into_iter().chain(12..capsule.inner - first).map(|at| first + at);
        let places: Vec<usize> = if sent.kind == Kind::Nested { vec![first, first + 8 + 4] } else { header.collect() };
        other[*at.get(&places)] ^= 1;
        let Ok(changed) = Capsule::open(&other, &read(&other), Encapsulation::Geneve) else { return Ok(()) };
        if sent.kind != Kind::Vxlan && changed.inner == capsule.inner {
            prop_assert!(!prefix.answers(&other, &capsule, true));
        }
    }

    #[test]
    fn a_plain_tunnel_packet_is_read_and_turned_as_any_other(
        sent in sent(),
        // What the load balancers send, whole or a little changed, among other options or alone.
        cloud in prop::collection::vec((prop_oneof![Just(geneve::AWS), Just(geneve::GOOGLE)], 1_u8..4, 1_usize..4), 0..5),
        usual in 0..3,
        other in prop::option::of((any::<u16>(), 0..=Vni::MAX)),
    ) {
        let mut sent = Sent { checksum: false, ..sent };
        let cloud: Vec<_> = cloud.iter().map(|(class, kind, words)| (*class, *kind, vec![*kind; words * 4])).collect();
        let aws = [(geneve::AWS, 1, vec![1; 8]), (geneve::AWS, 2, vec![2; 8]), (geneve::AWS, 3, vec![3; 4])];
        match usual {
            0 => sent.options = aws.to_vec(),
            1 => sent.options = cloud,
            _ => sent.options.extend(cloud),
        }
        let frame = sent.frame();
        let plain = Plain::read(&frame, Meta::default()).filter(|plain| plain.v4);
        let encapsulation = if sent.kind == Kind::Vxlan { Encapsulation::Vxlan } else { Encapsulation::Geneve };
        let opened = plain.and_then(|plain| PlainCapsule::open(&frame, &plain, encapsulation));
        let packet = read(&frame);
        let Ok(capsule) = Capsule::open(&frame, &packet, encapsulation) else {
            prop_assert!(opened.is_none());
            return Ok(());
        };
        let named = match encapsulation {
            Encapsulation::Vxlan => capsule.vni(&frame).map(Named::Network),
            Encapsulation::Geneve => capsule.geneve(&frame).unwrap().facts().ok().and_then(|facts| {
                let google = facts.google_network.map(|network| Named::Google(network.id()));
                facts.aws_endpoint.map(Named::Endpoint).or(google)
            }),
        };
        prop_assert_eq!(opened.map(|(_, named)| named), named.filter(|_| packet.is_v4()));
        let Some((around, _)) = opened else { return Ok(()) };
        prop_assert_eq!(around.inner_network(), capsule.inner_network());
        let kind = match capsule.carries {
            Carries::Ethernet => u16_at(&frame, capsule.inner + 12),
            Carries::Ip(kind) => kind,
        };
        prop_assert_eq!(around.kind(&frame), kind);
        // GENEVE never goes on as another tunnel's.
        let other = other.filter(|_| sent.kind == Kind::Vxlan).map(|(port, vni)| (port, Vni::new(vni).unwrap()));
        let (mut turned, mut expected) = (frame.clone(), frame.clone());
        around.turn(&mut turned, other);
        capsule.turn(&mut expected, packet.end, Turn { other, inner_addresses: false });
        prop_assert_eq!(turned, expected);
    }

    #[test]
    fn hostile_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..400), ports: (u16, u16), v4: bool) {
        let _ = vxlan::read(&bytes);
        if let Ok(geneve) = Geneve::read(&bytes) {
            prop_assert!(geneve.options().count() <= 63);
            let _ = geneve.facts();
        }
        let frame = udp(LINK, family(v4, 5), ports, &bytes, true);
        let packet = read(&frame);
        for encapsulation in [Encapsulation::Vxlan, Encapsulation::Geneve] {
            let Ok(capsule) = Capsule::open(&frame, &packet, encapsulation) else { continue };
            let mut turned = frame.clone();
            capsule.turn(&mut turned, packet.end, Turn { other: None, inner_addresses: true });
            let inside = read_inner(&frame, &capsule);
            if let Some(inside) = inside {
                let _ = capsule.open_nested(&frame, &inside, Encapsulation::Vxlan);
            }
            let mut buffer = vec![0; 600];
            let _ = Prefix::answering(&frame, &capsule, true).write(&mut buffer, 400, 600, None);
            if let Some(plain) = Plain::read(&frame, Meta::default())
                && let Some((around, _)) = PlainCapsule::open(&frame, &plain, encapsulation)
            {
                prop_assert_eq!(around.inner_network(), capsule.inner_network());
                let _ = around.kind(&frame);
            }
        }
    }
}
