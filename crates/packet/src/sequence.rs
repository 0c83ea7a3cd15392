//! How do TCP sequence numbers change in place, with every checksum kept right?
//!
//! For connections whose handshake the firewall answered itself: the number it chose for the server is
//! not the server's, and stays apart from it for as long as the connection lasts.

use crate::bytes::{put, u32_at};
use crate::checksum::Delta;
use crate::handshake::options;
use crate::parse::{Embedded, Packet, TCP};

const SELECTIVE_ACKNOWLEDGMENT: u8 = 5;

/// Adds to the sequence number of a segment.
pub fn shift_sequence(frame: &mut [u8], packet: &Packet, by: u32) {
    let change = shift(frame, packet.transport, packet.transport + 4, by);
    fix(frame, packet, change);
}

/// Adds to what a segment acknowledges: its acknowledgment number, and the edges of what it acknowledges
/// selectively (RFC 2018).
pub fn shift_acknowledgment(frame: &mut [u8], packet: &Packet, by: u32) {
    let mut change = shift(frame, packet.transport, packet.transport + 8, by);
    // Four blocks of two edges are the most that fit.
    let blocks = options(frame, packet).find(|(kind, ..)| *kind == SELECTIVE_ACKNOWLEDGMENT);
    if let Some((_, at, length)) = blocks {
        for edge in 0..(length - 2) / 4 {
            change = change.and(shift(frame, packet.transport, at + 2 + edge * 4, by));
        }
    }
    fix(frame, packet, change);
}

/// Adds to the sequence number that an ICMP error quotes, and makes the error's own checksum right, which
/// the caller knows to have been right.
pub fn shift_quoted(frame: &mut [u8], packet: &Packet, quoted: &Embedded, by: u32) {
    if quoted.protocol != TCP {
        return;
    }
    let change = shift(frame, quoted.transport, quoted.transport + 4, by);
    // The quoted checksum, if it is quoted, would have to change by as much the other way: the sums cancel.
    if quoted.transport + 18 <= quoted.end {
        change.apply(frame, quoted.transport + 16);
        return;
    }
    change.apply(frame, packet.transport + 2);
}

/// Adds to the number at a place; the change of the sum over a message that begins at `start`.
fn shift(frame: &mut [u8], start: usize, at: usize, by: u32) -> Delta {
    let old = u32_at(frame, at);
    let new = old.wrapping_add(by);
    put(frame, at, &new.to_be_bytes());
    let change = Delta::long(old, new);
    // Options stand at any byte; the sum is over pairs of bytes.
    if (at - start).is_multiple_of(2) { change } else { change.swapped() }
}

/// A partial checksum covers none of this yet.
fn fix(frame: &mut [u8], packet: &Packet, change: Delta) {
    if !packet.partial {
        change.apply(frame, packet.transport + 16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{Link, ip_frame};
    use crate::checksum::transport;
    use crate::frame::Meta;
    use crate::parse::{Parsed, parse};

    const LINK: Link = Link { source: [2; 6], destination: [4; 6] };

    fn read(frame: &[u8]) -> Packet {
        let Ok(Parsed::Ip(packet)) = parse(frame, Meta::default()) else { panic!("no packet") };
        packet
    }

    /// A segment with options, its checksum right.
    fn segment(options: &[u8], payload: &[u8], v6: bool) -> Vec<u8> {
        let (source, destination) = match v6 {
            false => ("10.0.0.5".parse().unwrap(), "192.0.2.9".parse().unwrap()),
            true => ("2001:db8::5".parse().unwrap(), "2001:db8::9".parse().unwrap()),
        };
        let mut message = vec![0x9c, 0x40, 1, 0xbb, 0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 9, 0, 0x10, 1, 0, 0, 0, 0, 0];
        message[12] = (5 + options.len() as u8 / 4) << 4;
        message.extend(options);
        message.extend(payload);
        let value = transport(source, destination, TCP, &message);
        message[16..18].copy_from_slice(&value.to_be_bytes());
        ip_frame(LINK, source, destination, TCP, 64, &message)
    }

    fn is_intact(frame: &[u8]) -> bool {
        let packet = read(frame);
        transport(packet.source, packet.destination, TCP, &frame[packet.transport..packet.end]) == 0
    }

    #[test]
    fn numbers_move_round_the_end_and_checksums_with_them() {
        // A selective acknowledgment at an even and at an odd byte.
        let even = [1, 1, 5, 10, 0, 0, 0, 20, 0, 0, 0, 30];
        let odd = [1, 5, 10, 0xff, 0xff, 0xff, 0xff, 0, 0, 1, 30, 0];
        for (options, v6) in [(&[][..], false), (&even, false), (&odd, false), (&odd, true)] {
            for payload in [&b""[..], b"abc"] {
                let mut frame = segment(options, payload, v6);
                let before = frame.clone();
                let packet = read(&frame);
                shift_sequence(&mut frame, &packet, 0x1234_5678);
                assert!(is_intact(&frame));
                assert_eq!(u32_at(&frame, packet.transport + 4), 0xffff_fff0_u32.wrapping_add(0x1234_5678));
                shift_acknowledgment(&mut frame, &packet, 0xdead_beef);
                assert!(is_intact(&frame), "{options:?}");
                assert_eq!(u32_at(&frame, packet.transport + 8), 9_u32.wrapping_add(0xdead_beef));
                if let Some(at) = options.iter().position(|byte| *byte == 5) {
                    let edge = packet.transport + 20 + at + 2;
                    assert_eq!(u32_at(&frame, edge), u32_at(&before, edge).wrapping_add(0xdead_beef));
                }
                shift_sequence(&mut frame, &packet, 0x1234_5678_u32.wrapping_neg());
                shift_acknowledgment(&mut frame, &packet, 0xdead_beef_u32.wrapping_neg());
                assert_eq!(u32_at(&frame, packet.transport + 4), u32_at(&before, packet.transport + 4));
                assert_eq!(&frame[packet.transport + 20..], &before[packet.transport + 20..]);
            }
        }
    }

    #[test]
    fn what_the_card_is_to_sum_is_left_to_it() {
        let mut frame = segment(&[], b"abc", false);
        let packet = Packet { partial: true, ..read(&frame) };
        let field = frame[packet.transport + 16..packet.transport + 18].to_vec();
        shift_sequence(&mut frame, &packet, 77);
        assert_eq!(frame[packet.transport + 16..packet.transport + 18], field);
    }

    #[test]
    fn hostile_options_change_nothing_beyond_them() {
        for options in [[5, 0, 0, 0], [5, 1, 0, 0], [5, 200, 0, 0], [5, 3, 7, 7]] {
            let mut frame = segment(&options, b"abcdefgh", false);
            let packet = read(&frame);
            let payload = frame[packet.transport + 24..].to_vec();
            shift_acknowledgment(&mut frame, &packet, 77);
            assert!(is_intact(&frame));
            assert_eq!(frame[packet.transport + 24..], payload);
        }
    }
}
