//! Does opening, turning and answering any tunnel packet keep its promises?
//!
//! The bytes are a frame; both encapsulations are tried at every UDP packet, nested ones inside.

#![no_main]

use bartizan_packet::bytes::u16_at;
use bartizan_packet::ethernet;
use bartizan_packet::frame::Meta;
use bartizan_packet::parse::{Packet, Parsed, UDP, parse, parse_as};
use bartizan_packet::tunnel::{Capsule, Carries, Encapsulation, Prefix, Turn, checksum_is_right};
use libfuzzer_sys::fuzz_target;

const BOTH: [Encapsulation; 2] = [Encapsulation::Vxlan, Encapsulation::Geneve];

fuzz_target!(|bytes: &[u8]| {
    let Ok(Parsed::Ip(packet)) = parse(bytes, Meta::default()) else { return };
    if packet.protocol != UDP || packet.fragment {
        return;
    }
    for encapsulation in BOTH {
        let Ok(capsule) = Capsule::open(bytes, &packet, encapsulation) else { continue };
        check(bytes, &packet, &capsule);
        let Some(inside) = inner(bytes, &capsule) else { continue };
        if inside.protocol == UDP && !inside.fragment {
            for encapsulation in BOTH {
                if let Ok(nested) = capsule.open_nested(bytes, &inside, encapsulation) {
                    check(bytes, &packet, &nested);
                }
            }
        }
    }
});

/// The inner packet, with offsets from the start of the frame.
fn inner(frame: &[u8], capsule: &Capsule) -> Option<Packet> {
    let kind = match capsule.carries {
        Carries::Ethernet => u16_at(frame, capsule.inner + 12),
        Carries::Ip(kind) => kind,
    };
    let base = capsule.inner_network() - ethernet::HEADER_BYTES;
    match parse_as(frame.get(base..)?, kind, Meta::default()) {
        Ok(Parsed::Ip(packet)) => Some(Packet {
            network: packet.network + base,
            transport: packet.transport + base,
            end: packet.end + base,
            ..packet
        }),
        _ => None,
    }
}

fn check(frame: &[u8], packet: &Packet, capsule: &Capsule) {
    if let Ok(geneve) = capsule.geneve(frame) {
        assert!(geneve.options().count() <= 63);
        let _ = geneve.facts();
    }
    let mut turned = frame.to_vec();
    capsule.turn(&mut turned, packet.end, Turn::default());
    let Ok(Parsed::Ip(back)) = parse(&turned, Meta::default()) else { panic!("a turned packet cannot be read") };
    assert_eq!((back.source, back.destination), (packet.destination, packet.source));
    assert_eq!(back.ports(), packet.ports());
    assert!(checksum_is_right(&turned, &back));
    let prefix = Prefix::answering(frame, capsule, true);
    assert!(prefix.answers(frame, capsule, true));
    let mut buffer = vec![0; 2048];
    let network = 1500;
    if let Some(start) = prefix.write(&mut buffer, network, 1600, None) {
        assert_eq!(start + prefix.header_bytes(), network);
        let Ok(Parsed::Ip(sent)) = parse(&buffer[start..1600], Meta::default()) else { panic!("cannot be read") };
        assert_eq!((sent.source, sent.destination), (packet.destination, packet.source));
        assert!(checksum_is_right(&buffer[start..1600], &sent));
    }
}
