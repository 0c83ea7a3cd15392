//! How large are the segments that a TCP handshake agrees on, and how is that lowered?

use crate::bytes::{put_u16, u8_at, u16_at};
use crate::checksum::Delta;
use crate::parse::{Layer4, Packet};

const END: u8 = 0;
const NO_OPERATION: u8 = 1;
/// Maximum segment size (RFC 9293 section 3.7.1).
const MSS: u8 = 2;
const MSS_BYTES: usize = 4;
/// Length of a header without options.
const HEADER_BYTES: usize = 20;
const CHECKSUM_AT: usize = 16;

/// Where the option's value stands in the frame; `None` when the packet opens no connection, has no such
/// option, or its options are broken.
fn position(frame: &[u8], packet: &Packet) -> Option<usize> {
    let Layer4::Tcp(tcp) = packet.layer4 else { return None };
    if !tcp.flags.syn() || packet.fragment {
        return None;
    }
    let end = packet.transport + usize::from(tcp.header_bytes);
    let mut at = packet.transport + HEADER_BYTES;
    while at < end.min(frame.len()) {
        let length = usize::from(u8_at(frame, at + 1));
        match u8_at(frame, at) {
            END => return None,
            NO_OPERATION => at += 1,
            MSS if length == MSS_BYTES && at + MSS_BYTES <= end => return Some(at + 2),
            _ if length >= 2 => at += length,
            _ => return None,
        }
    }
    None
}

/// Lowers the segment size of a SYN to `limit_bytes`, its checksum kept right; whether it was larger.
pub fn clamp(frame: &mut [u8], packet: &Packet, limit_bytes: u16) -> bool {
    let Some(at) = position(frame, packet) else { return false };
    let old = u16_at(frame, at);
    if old <= limit_bytes {
        return false;
    }
    put_u16(frame, at, limit_bytes);
    // A checksum that the sender's NIC was to finish holds no part of the options so far.
    if !packet.partial {
        // The value may stand at an odd offset of the segment: then its bytes count swapped.
        let (old, new) = match (at - packet.transport) % 2 {
            0 => (old, limit_bytes),
            _ => (old.swap_bytes(), limit_bytes.swap_bytes()),
        };
        Delta::word(old, new).apply(frame, packet.transport + CHECKSUM_AT);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{Link, ip_frame};
    use crate::checksum;
    use crate::frame::Meta;
    use crate::parse::{Parsed, TCP, parse};
    use std::net::IpAddr;

    /// A segment with these flags and options, its checksum right.
    fn segment(v6: bool, flags: u8, options: &[u8]) -> Vec<u8> {
        let (source, destination): (IpAddr, IpAddr) = match v6 {
            false => ([10, 0, 0, 1].into(), [10, 0, 0, 2].into()),
            true => ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap()),
        };
        let mut bytes = vec![0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0];
        bytes.extend([((20 + options.len() as u8) / 4) << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
        bytes.extend(options);
        let value = checksum::transport(source, destination, TCP, &bytes);
        put_u16(&mut bytes, 16, value);
        ip_frame(Link { source: [2; 6], destination: [4; 6] }, source, destination, TCP, 64, &bytes)
    }

    fn read(frame: &[u8]) -> Packet {
        let Ok(Parsed::Ip(packet)) = parse(frame, Meta::default()) else { panic!("not IP") };
        packet
    }

    fn is_intact(frame: &[u8]) -> bool {
        let packet = read(frame);
        checksum::transport(packet.source, packet.destination, TCP, &frame[packet.transport..packet.end]) == 0
    }

    #[test]
    fn what_is_too_large_is_lowered_and_the_checksum_stays_right() {
        for v6 in [false, true] {
            for (options, at) in [
                (&[2, 4, 0x05, 0xb4][..], 2),
                (&[1, 1, 4, 2, 2, 4, 0x05, 0xb4, 1, 1, 1, 0][..], 6),
                (&[1, 2, 4, 0x05, 0xb4, 3, 3, 7][..], 3),
            ] {
                for flags in [0x02, 0x12] {
                    let mut frame = segment(v6, flags, options);
                    let packet = read(&frame);
                    assert!(!clamp(&mut frame, &packet, 1460), "it fits");
                    assert!(clamp(&mut frame, &packet, 1300));
                    assert_eq!(u16_at(&frame, packet.transport + 20 + at), 1300);
                    assert!(is_intact(&frame), "{options:?}");
                }
            }
        }
    }

    #[test]
    fn other_segments_and_broken_options_are_left_alone() {
        for (flags, options) in [
            (0x10, &[2, 4, 0x05, 0xb4][..]),
            (0x02, &[0, 4, 2, 4, 0x05, 0xb4, 0, 0][..]),
            (0x02, &[3, 1, 2, 4, 0x05, 0xb4, 0, 0][..]),
            (0x02, &[1, 1, 1, 2][..]),
            (0x02, &[1, 1, 2, 4][..]),
            (0x02, &[2, 3, 0x05, 1][..]),
            (0x02, &[][..]),
        ] {
            let mut frame = segment(false, flags, options);
            let before = frame.clone();
            let packet = read(&frame);
            assert!(!clamp(&mut frame, &packet, 100), "{flags:#x} {options:?}");
            assert_eq!(frame, before);
        }
    }

    #[test]
    fn a_checksum_left_to_the_nic_is_not_touched() {
        let mut frame = segment(false, 0x02, &[2, 4, 0x05, 0xb4]);
        let packet = Packet { partial: true, ..read(&frame) };
        let field = packet.transport + 16;
        let before = u16_at(&frame, field);
        assert!(clamp(&mut frame, &packet, 1300));
        assert_eq!(u16_at(&frame, field), before);
    }
}
