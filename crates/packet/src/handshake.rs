//! Segments of a TCP handshake that the firewall takes part in, and the options they carry.

use std::net::IpAddr;

use crate::answer::{Link, TTL, ip_frame};
use crate::bytes::{put, put_address, put_u16, u8_at, u16_at};
use crate::checksum;
use crate::frame::{Frame, Meta};
use crate::parse::{Layer4, Packet, TCP};

/// The largest segment of a host that does not say (RFC 9293 section 3.7.1).
pub const MSS_DEFAULT: u16 = 536;

const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MAXIMUM_SEGMENT_SIZE: u8 = 2;

/// A segment without payload, to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Whom it seems to come from.
    pub source: IpAddr,
    /// Whom it is for, of the same family.
    pub destination: IpAddr,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgment number; counts if the flags say so.
    pub acknowledgment: u32,
    /// See [`crate::parse::Flags`].
    pub flags: u8,
    /// Receive window.
    pub window: u16,
    /// Maximum segment size option.
    pub mss: Option<u16>,
}

impl Segment {
    /// The whole frame.
    pub fn frame(&self, link: Link) -> Vec<u8> {
        let mut segment = [0; HEADER_BYTES_MAX];
        let length = self.write(&mut segment);
        let segment = segment.get(..length).unwrap_or_default();
        ip_frame(link, self.source, self.destination, TCP, TTL, segment)
    }

    /// Turns a frame that holds an IP packet of the same family into this segment, in place; what is left
    /// of the longer packet becomes padding. The option is left out if there is no room for it. The
    /// Ethernet addresses are left to the caller.
    pub fn replace(mut self, frame: &mut Frame<'_>, packet: &Packet) {
        let ip_bytes = if packet.is_v4() { 20 } else { 40 };
        let room = frame.bytes.len().saturating_sub(packet.network + ip_bytes);
        if room < HEADER_BYTES_MAX {
            self.mss = None;
        }
        let mut segment = [0; HEADER_BYTES_MAX];
        let length = self.write(&mut segment);
        let total = ip_bytes + length;
        let rest = frame.bytes.get_mut(packet.network..).unwrap_or_default();
        if rest.len() < total {
            return;
        }
        rest.fill(0);
        if packet.is_v4() {
            put(rest, 0, &[0x45]);
            put_u16(rest, 2, total as u16);
            // Identification 0 and "do not fragment": an atomic datagram (RFC 6864).
            put(rest, 6, &[0x40, 0, TTL, TCP]);
            put_address(rest, 12, self.source);
            put_address(rest, 16, self.destination);
            let header = checksum::checksum(rest.get(..20).unwrap_or_default());
            put_u16(rest, 10, header);
        } else {
            put(rest, 0, &[0x60]);
            put_u16(rest, 4, length as u16);
            put(rest, 6, &[TCP, TTL]);
            put_address(rest, 8, self.source);
            put_address(rest, 24, self.destination);
        }
        put(rest, ip_bytes, segment.get(..length).unwrap_or_default());
        frame.meta = Meta::default();
    }

    /// Writes the TCP header; gives back its length.
    fn write(&self, segment: &mut [u8; HEADER_BYTES_MAX]) -> usize {
        let length = if self.mss.is_some() { HEADER_BYTES_MAX } else { 20 };
        put_u16(segment, 0, self.source_port);
        put_u16(segment, 2, self.destination_port);
        put(segment, 4, &self.sequence.to_be_bytes());
        put(segment, 8, &self.acknowledgment.to_be_bytes());
        put(segment, 12, &[(length as u8 / 4) << 4, self.flags]);
        put_u16(segment, 14, self.window);
        if let Some(mss) = self.mss {
            put(segment, 20, &[MAXIMUM_SEGMENT_SIZE, 4]);
            put_u16(segment, 22, mss);
        }
        let whole = segment.get(..length).unwrap_or_default();
        let value = checksum::transport(self.source, self.destination, TCP, whole);
        put_u16(segment, 16, value);
        length
    }
}

/// A TCP header with the one option that these segments have.
const HEADER_BYTES_MAX: usize = 24;

/// The maximum segment size that a SYN offers.
pub fn mss(frame: &[u8], packet: &Packet) -> Option<u16> {
    let (at, length) =
        options(frame, packet).find(|(kind, ..)| *kind == MAXIMUM_SEGMENT_SIZE).map(|one| (one.1, one.2))?;
    (length == 4).then(|| u16_at(frame, at + 2))
}

/// The options of a TCP header: kind, position in the frame, length. A broken one ends the list.
pub(crate) fn options<'f>(frame: &'f [u8], packet: &Packet) -> impl Iterator<Item = (u8, usize, usize)> + use<'f> {
    let header_bytes = match packet.layer4 {
        Layer4::Tcp(tcp) => usize::from(tcp.header_bytes),
        _ => 0,
    };
    let end = packet.transport + header_bytes;
    let mut at = packet.transport + 20;
    std::iter::from_fn(move || {
        while at < end && u8_at(frame, at) == NO_OPERATION {
            at += 1;
        }
        if at >= end || u8_at(frame, at) == END {
            return None;
        }
        let (kind, length, here) = (u8_at(frame, at), usize::from(u8_at(frame, at + 1)), at);
        if length < 2 || here + length > end {
            return None;
        }
        at += length;
        Some((kind, here, length))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Flags, Parsed, parse};

    const LINK: Link = Link { source: [2; 6], destination: [4; 6] };

    fn syn(v6: bool, mss: Option<u16>) -> Segment {
        let (source, destination) = match v6 {
            false => ("10.0.0.5".parse().unwrap(), "192.0.2.9".parse().unwrap()),
            true => ("2001:db8::5".parse().unwrap(), "2001:db8::9".parse().unwrap()),
        };
        Segment {
            source,
            destination,
            source_port: 40_000,
            destination_port: 443,
            sequence: 7,
            acknowledgment: 0,
            flags: Flags::SYN,
            window: 64_000,
            mss,
        }
    }

    fn read(frame: &[u8]) -> Packet {
        let Ok(Parsed::Ip(packet)) = parse(frame, Meta::default()) else { panic!("no packet") };
        let message = &frame[packet.transport..packet.end];
        assert_eq!(checksum::transport(packet.source, packet.destination, TCP, message), 0);
        packet
    }

    #[test]
    fn a_segment_says_what_it_was_told() {
        for v6 in [false, true] {
            let frame = syn(v6, Some(1460)).frame(LINK);
            let packet = read(&frame);
            let Layer4::Tcp(tcp) = packet.layer4 else { panic!("no TCP") };
            assert_eq!((tcp.sequence, tcp.flags, tcp.payload_bytes), (7, Flags(Flags::SYN), 0));
            assert_eq!((mss(&frame, &packet), tcp.window), (Some(1460), 64_000));
            let bare = syn(v6, None).frame(LINK);
            assert_eq!(mss(&bare, &read(&bare)), None);
        }
    }

    #[test]
    fn an_answer_takes_the_place_of_the_question() {
        for v6 in [false, true] {
            for (mss_asked, expected) in [(Some(1400), Some(1300)), (None, None)] {
                let mut bytes = syn(v6, mss_asked).frame(LINK);
                let packet = read(&bytes);
                let length = bytes.len();
                let asked = syn(v6, None);
                let answer = Segment {
                    source: asked.destination,
                    destination: asked.source,
                    flags: Flags::SYN | Flags::ACK,
                    mss: Some(1300),
                    ..asked
                };
                answer.replace(&mut Frame::new(&mut bytes), &packet);
                let packet = read(&bytes);
                assert_eq!((packet.source, packet.destination), (asked.destination, asked.source));
                assert_eq!((mss(&bytes, &packet), bytes.len()), (expected, length));
            }
        }
    }

    #[test]
    fn broken_options_end_the_list() {
        for options in [[2, 0, 0, 0], [2, 1, 0, 0], [2, 9, 5, 180], [0, 2, 4, 5], [1, 1, 1, 2]] {
            let mut frame = syn(false, Some(1460)).frame(LINK);
            let at = frame.len() - 4;
            frame[at..].copy_from_slice(&options);
            let Ok(Parsed::Ip(packet)) = parse(&frame, Meta::default()) else { panic!("no packet") };
            assert_eq!(mss(&frame, &packet), None, "{options:?}");
        }
    }
}
