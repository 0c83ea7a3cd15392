//! What does a network card do with a frame that was left to it: how is it cut, and its checksum finished?
//!
//! For ports without such a card. A cut frame is what Linux makes of it (`tcp_gso_segment`,
//! `__udp_gso_segment`, `inet_gso_segment`): sequence numbers and IPv4 identifications count up, FIN and
//! PSH stay with the last segment, CWR with the first, each has its own lengths and whole checksums.

use crate::bytes::{put, put_u16, u8_at, u16_at};
use crate::checksum;
use crate::frame::{Checksum, Meta, Segmentation};
use crate::parse::{Flags, Layer4, Packet, Parsed, TCP, UDP, checksum_field, parse};

/// ECN's "congestion window reduced", which is about the first segment (RFC 3168).
const CWR: u8 = 0x80;

/// The frames that an offloaded frame is cut into.
#[derive(Debug)]
pub struct Segments<'a> {
    frame: &'a [u8],
    packet: Packet,
    /// End of the headers that every segment repeats.
    headers: usize,
    segment_bytes: usize,
    /// Position of the payload that comes next.
    at: usize,
    /// Segments so far.
    count: u16,
}

impl<'a> Segments<'a> {
    /// The segments of a frame; `None` when it is not to be cut, or not of a kind that can be.
    pub fn of(frame: &'a [u8], meta: Meta) -> Option<Self> {
        if meta.segmentation == Segmentation::None || meta.segment_bytes == 0 {
            return None;
        }
        let Ok(Parsed::Ip(packet)) = parse(frame, meta) else { return None };
        let fits = match (meta.segmentation, packet.layer4) {
            (Segmentation::TcpV4, Layer4::Tcp(_)) => packet.is_v4(),
            (Segmentation::TcpV6, Layer4::Tcp(_)) => !packet.is_v4(),
            (Segmentation::Udp, Layer4::Ports { .. }) => packet.protocol == UDP,
            _ => false,
        };
        let headers = packet.network + packet.header_bytes();
        (fits && headers <= packet.end && packet.end <= frame.len()).then_some(Self {
            frame,
            packet,
            headers,
            segment_bytes: usize::from(meta.segment_bytes),
            at: headers,
            count: 0,
        })
    }

    /// Length of the frame that comes next; `None` after the last.
    pub fn next_bytes(&self) -> Option<usize> {
        let rest = self.packet.end.checked_sub(self.at)?;
        // A frame without payload is one segment.
        (rest > 0 || self.count == 0).then_some(self.headers + rest.min(self.segment_bytes))
    }

    /// Writes the next frame to the front of `out`; its length. `None` after the last, or when `out` is too
    /// short for it.
    pub fn write(&mut self, out: &mut [u8]) -> Option<usize> {
        let length = self.next_bytes()?;
        let payload = length - self.headers;
        let out = out.get_mut(..length)?;
        put(out, 0, self.frame.get(..self.headers)?);
        put(out, self.headers, self.frame.get(self.at..self.at + payload)?);
        self.fix_ip(out);
        self.fix_transport(out, self.at + payload >= self.packet.end);
        self.at += payload;
        self.count = self.count.wrapping_add(1);
        Some(length)
    }

    fn fix_ip(&self, out: &mut [u8]) {
        let network = self.packet.network;
        if !self.packet.is_v4() {
            put_u16(out, network + 4, (out.len() - network - 40) as u16);
            return;
        }
        let identification = u16_at(out, network + 4).wrapping_add(self.count);
        put_u16(out, network + 2, (out.len() - network) as u16);
        put_u16(out, network + 4, identification);
        put_u16(out, network + 10, 0);
        let options_end = network + usize::from(u8_at(out, network) & 0x0f) * 4;
        let sum = checksum::checksum(out.get(network..options_end).unwrap_or_default());
        put_u16(out, network + 10, sum);
    }

    fn fix_transport(&self, out: &mut [u8], last: bool) {
        let start = self.packet.transport;
        let length = out.len() - start;
        if self.packet.protocol == TCP {
            let sequence = crate::bytes::u32_at(out, start + 4).wrapping_add((self.at - self.headers) as u32);
            put(out, start + 4, &sequence.to_be_bytes());
            let mut flags = u8_at(out, start + 13);
            if !last {
                flags &= !(Flags::FIN | Flags::PSH);
            }
            if self.count > 0 {
                flags &= !CWR;
            }
            put(out, start + 13, &[flags]);
        } else {
            put_u16(out, start + 4, length as u16);
        }
        let Some(field) = checksum_field(self.packet.protocol) else { return };
        put_u16(out, start + field, 0);
        let message = out.get(start..).unwrap_or_default();
        let sum = checksum::transport(self.packet.source, self.packet.destination, self.packet.protocol, message);
        put_u16(out, start + field, nonzero(sum));
    }
}

/// Finishes the checksum of a frame that holds only the pseudo-header's sum.
pub fn complete(frame: &mut [u8], meta: &mut Meta) {
    let Checksum::Partial { start, offset } = meta.checksum else { return };
    meta.checksum = Checksum::Complete;
    let (start, field) = (usize::from(start), usize::from(start) + usize::from(offset));
    // Padding behind the packet is not part of it.
    let end = match parse(frame, Meta::default()) {
        Ok(Parsed::Ip(packet)) => packet.end,
        _ => frame.len(),
    };
    if let Some(covered) = frame.get(start..end)
        && field + 2 <= end
    {
        let sum = checksum::checksum(covered);
        put_u16(frame, field, nonzero(sum));
    }
}

/// What the checksum field of a TCP or UDP packet holds, where nobody tells: a pseudo-header's sum, if that is
/// what stands there. One whole checksum in 65536 looks like it; finishing that one gives the same value.
pub fn guess_checksum(frame: &[u8]) -> Checksum {
    let Ok(Parsed::Ip(packet)) = parse(frame, Meta::default()) else { return Checksum::Complete };
    let field = match packet.layer4 {
        Layer4::Tcp(_) => 16,
        Layer4::Ports { .. } if packet.protocol == UDP => 6,
        _ => return Checksum::Complete,
    };
    let pseudo = checksum::pseudo_header(
        packet.source,
        packet.destination,
        packet.protocol,
        packet.end.saturating_sub(packet.transport),
    );
    if u16_at(frame, packet.transport + field) == pseudo {
        Checksum::Partial { start: packet.transport as u16, offset: field as u16 }
    } else {
        Checksum::Complete
    }
}

/// 0 would say that there is no checksum (RFC 768); it and its complement are the same number.
fn nonzero(sum: u16) -> u16 {
    if sum == 0 { 0xffff } else { sum }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::answer::{Link, ip_frame};
    use crate::ethernet::HEADER_BYTES;

    fn link() -> Link {
        Link { source: [2, 0, 0, 0, 0, 1], destination: [2, 0, 0, 0, 0, 2] }
    }

    fn ends(v6: bool) -> (IpAddr, IpAddr) {
        if v6 {
            ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap())
        } else {
            ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap())
        }
    }

    /// A frame as a sender with offloads makes it: only the pseudo-header's sum in the checksum field.
    fn offloaded(v6: bool, protocol: u8, flags: u8, payload: usize, segment_bytes: u16) -> (Vec<u8>, Meta) {
        let (source, destination) = ends(v6);
        let mut message = vec![0x9c, 0x40, 0x01, 0xbb];
        if protocol == TCP {
            message.extend(0xffff_ff00_u32.to_be_bytes());
            message.extend([0, 0, 0, 7, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        } else {
            message.extend(((8 + payload) as u16).to_be_bytes());
            message.extend([0, 0]);
        }
        let field = checksum_field(protocol).unwrap();
        message.extend((0..payload).map(|at| at as u8));
        let sum = checksum::pseudo_header(source, destination, protocol, message.len());
        put_u16(&mut message, field, sum);
        let mut frame = ip_frame(link(), source, destination, protocol, 64, &message);
        if !v6 {
            put_u16(&mut frame, HEADER_BYTES + 4, 0xffff);
            put_u16(&mut frame, HEADER_BYTES + 10, 0);
            let sum = checksum::checksum(&frame[HEADER_BYTES..HEADER_BYTES + 20]);
            put_u16(&mut frame, HEADER_BYTES + 10, sum);
        }
        let start = HEADER_BYTES + if v6 { 40 } else { 20 };
        let segmentation = match (protocol, v6) {
            (TCP, false) => Segmentation::TcpV4,
            (TCP, true) => Segmentation::TcpV6,
            _ => Segmentation::Udp,
        };
        let checksum = Checksum::Partial { start: start as u16, offset: field as u16 };
        (frame, Meta { checksum, segmentation, segment_bytes, header_bytes: start as u16, ..Meta::default() })
    }

    fn cut(frame: &[u8], meta: Meta) -> Vec<Vec<u8>> {
        let mut segments = Segments::of(frame, meta).unwrap();
        let mut all = Vec::new();
        let mut buffer = vec![0; 70_000];
        while let Some(length) = segments.write(&mut buffer) {
            all.push(buffer[..length].to_vec());
        }
        all
    }

    fn read(frame: &[u8]) -> Packet {
        let Ok(Parsed::Ip(packet)) = parse(frame, Meta::default()) else { panic!("not IP") };
        packet
    }

    /// The transport checksum is right; `parse` has looked at the IPv4 header's.
    fn is_intact(frame: &[u8], packet: &Packet) -> bool {
        let message = &frame[packet.transport..packet.end];
        checksum::transport(packet.source, packet.destination, packet.protocol, message) == 0
    }

    #[test]
    fn fin_and_psh_stay_with_the_last_segment_and_cwr_with_the_first() {
        let flags = CWR | Flags::ACK | Flags::PSH | Flags::FIN;
        let (frame, meta) = offloaded(false, TCP, flags, 2500, 1000);
        let segments = cut(&frame, meta);
        let flags: Vec<u8> = segments.iter().map(|frame| frame[HEADER_BYTES + 20 + 13]).collect();
        assert_eq!(flags, [CWR | Flags::ACK, Flags::ACK, Flags::ACK | Flags::PSH | Flags::FIN]);
        let numbers: Vec<u16> = segments.iter().map(|frame| u16_at(frame, HEADER_BYTES + 4)).collect();
        assert_eq!(numbers, [0xffff, 0, 1], "identifications count up and around");
        let lengths: Vec<usize> = segments.iter().map(Vec::len).collect();
        assert_eq!(lengths, [1054, 1054, 554]);
    }

    #[test]
    fn a_short_buffer_gets_nothing_and_loses_nothing() {
        let (frame, meta) = offloaded(true, UDP, 0, 1500, 1000);
        let mut segments = Segments::of(&frame, meta).unwrap();
        assert_eq!(segments.write(&mut [0; 1061]), None);
        assert_eq!(segments.next_bytes(), Some(1062));
        assert_eq!(segments.write(&mut [0; 1062]), Some(1062));
    }

    #[test]
    fn what_is_not_to_be_cut_is_not() {
        let (frame, meta) = offloaded(false, TCP, 0, 100, 1000);
        assert!(Segments::of(&frame, Meta { segmentation: Segmentation::None, ..meta }).is_none());
        assert!(Segments::of(&frame, Meta { segmentation: Segmentation::TcpV6, ..meta }).is_none());
        assert!(Segments::of(&frame, Meta { segmentation: Segmentation::Udp, ..meta }).is_none());
        assert_eq!(cut(&frame, meta).len(), 1);
    }

    proptest! {
        #[test]
        fn segments_are_whole_and_carry_the_payload(
            v6: bool, tcp: bool, payload in 0_usize..9000, segment_bytes in 1_u16..3000,
        ) {
            let (frame, meta) = offloaded(v6, if tcp { TCP } else { UDP }, Flags::ACK, payload, segment_bytes);
            let segments = cut(&frame, meta);
            prop_assert_eq!(segments.len() as u64, read(&frame).wire(meta).0);
            let mut carried = Vec::new();
            for segment in &segments {
                let packet = read(segment);
                prop_assert_eq!(packet.end, segment.len());
                prop_assert!(is_intact(segment, &packet));
                if let Layer4::Tcp(header) = packet.layer4 {
                    prop_assert_eq!(header.sequence, 0xffff_ff00_u32.wrapping_add(carried.len() as u32));
                }
                carried.extend_from_slice(&segment[packet.network + packet.header_bytes()..]);
            }
            prop_assert_eq!(carried, &frame[read(&frame).network + read(&frame).header_bytes()..]);
        }

        #[test]
        fn a_guessed_and_finished_checksum_is_right(v6: bool, tcp: bool, payload in 0_usize..1400) {
            let (mut frame, meta) = offloaded(v6, if tcp { TCP } else { UDP }, Flags::ACK, payload, 1400);
            prop_assert_eq!(guess_checksum(&frame), meta.checksum);
            let mut meta = Meta { checksum: meta.checksum, ..Meta::default() };
            frame.extend([0x77; 3]);
            complete(&mut frame, &mut meta);
            prop_assert_eq!(meta.checksum, Checksum::Complete);
            prop_assert!(is_intact(&frame, &read(&frame)));
        }

        #[test]
        fn no_bytes_bring_it_to_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0_u8..4, size: u16, start: u16, offset: u16,
        ) {
            let segmentation =
                [Segmentation::None, Segmentation::TcpV4, Segmentation::TcpV6, Segmentation::Udp][usize::from(kind)];
            let checksum = Checksum::Partial { start, offset };
            let mut meta = Meta { checksum, segmentation, segment_bytes: size, ..Meta::default() };
            if let Some(mut segments) = Segments::of(&bytes, meta) {
                let mut buffer = vec![0; 300];
                while segments.write(&mut buffer).is_some() {}
            }
            guess_checksum(&bytes);
            let mut bytes = bytes.clone();
            complete(&mut bytes, &mut meta);
        }
    }
}
