//! What of a frame did its sender leave to a network card: the checksum, and cutting it into segments?

use std::net::IpAddr;

use bartizan_packet::frame::{Checksum, Meta, Segmentation};

use super::frames::{Body, Packet, sum};
use super::random::Random;

/// Segments that every interface takes: what UDP sends in larger ones is dropped.
const SEGMENT_MAX: usize = 1200;

/// What is left to do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Offload {
    pub(crate) checksum: bool,
    /// Bytes of payload of each segment, if it is to be cut.
    pub(crate) segment_bytes: u16,
}

impl Offload {
    /// What may be left to do of a packet.
    pub(crate) fn some(random: &mut Random, packet: &Packet, may_be_cut: bool) -> Self {
        let summed = matches!(packet.body, Body::Tcp { .. } | Body::Udp { summed: true, .. });
        if !summed || !random.percent(30) {
            return Self::default();
        }
        let cut = may_be_cut && packet.payload.len() > 1 && random.percent(60);
        let least = packet.payload.len() / 8;
        let most = packet.payload.len().min(SEGMENT_MAX - least);
        let segment_bytes = if cut { 1 + least + random.below(most) } else { 0 };
        Self { checksum: true, segment_bytes: segment_bytes as u16 }
    }

    /// Leaves it to be done: the packet begins at a place of the frame.
    pub(crate) fn apply(self, bytes: &mut [u8], at: usize, packet: &Packet, meta: &mut Meta) {
        if !self.checksum {
            return;
        }
        let v4 = packet.source.is_ipv4();
        let start = at + if v4 { 20 } else { 40 };
        let offset = if packet.protocol() == 6 { 16 } else { 6 };
        let pseudo = pseudo(packet, bytes.len() - start);
        bytes[start + offset..start + offset + 2].copy_from_slice(&pseudo.to_be_bytes());
        meta.checksum = Checksum::Partial { start: start as u16, offset: offset as u16 };
        if self.segment_bytes > 0 {
            meta.segmentation = match (packet.protocol(), v4) {
                (6, true) => Segmentation::TcpV4,
                (6, false) => Segmentation::TcpV6,
                _ => Segmentation::Udp,
            };
            meta.segment_bytes = self.segment_bytes;
            meta.header_bytes = (at + packet.header_bytes()) as u16;
        }
    }
}

/// Finishes the checksum as the card would that sends the frame.
pub(crate) fn finish(bytes: &mut [u8], meta: &Meta) {
    let Checksum::Partial { start, offset } = meta.checksum else { return };
    let (start, field) = (usize::from(start), usize::from(start) + usize::from(offset));
    let value = match !sum(&bytes[start..]) {
        0 if offset == 6 => 0xffff,
        value => value,
    };
    bytes[field..field + 2].copy_from_slice(&value.to_be_bytes());
}

/// The sum of what is not in the message: addresses, protocol and length.
fn pseudo(packet: &Packet, length: usize) -> u16 {
    let mut bytes = Vec::new();
    for address in [packet.source, packet.destination] {
        match address {
            IpAddr::V4(address) => bytes.extend(address.octets()),
            IpAddr::V6(address) => bytes.extend(address.octets()),
        }
    }
    bytes.extend((length as u32).to_be_bytes());
    bytes.extend([0, 0, 0, packet.protocol()]);
    sum(&bytes)
}
