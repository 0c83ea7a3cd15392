//! What did the kernel leave undone in this frame? `struct virtio_net_hdr` to [`Meta`] and back.
//!
//! Layout from the virtio specification 1.2, section 5.1.6, in native byte order (legacy), as packet
//! sockets use it: flags u8, gso_type u8, hdr_len u16, gso_size u16, csum_start u16, csum_offset u16.

use bartizan_packet::frame::{Checksum, Meta, Segmentation};

/// Size of the header in front of each frame.
pub const HEADER_BYTES: usize = 10;

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`
const NEEDS_CHECKSUM: u8 = 1;
/// `VIRTIO_NET_HDR_GSO_TCPV4`
const GSO_TCP_V4: u8 = 1;
/// `VIRTIO_NET_HDR_GSO_TCPV6`
const GSO_TCP_V6: u8 = 4;
/// `VIRTIO_NET_HDR_GSO_UDP_L4`
const GSO_UDP: u8 = 5;
/// `VIRTIO_NET_HDR_GSO_ECN`: the first segment carries CWR. Kept in place, the engine need not know.
const GSO_ECN: u8 = 0x80;

/// Reads a header; `None` for a segmentation kind this version does not know.
pub fn decode(header: &[u8]) -> Option<Meta> {
    let field = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
    let segmentation = match header[1] & !GSO_ECN {
        0 => Segmentation::None,
        GSO_TCP_V4 => Segmentation::TcpV4,
        GSO_TCP_V6 => Segmentation::TcpV6,
        GSO_UDP => Segmentation::Udp,
        _ => return None,
    };
    let checksum = if header[0] & NEEDS_CHECKSUM == 0 {
        Checksum::Complete
    } else {
        Checksum::Partial { start: field(6), offset: field(8) }
    };
    Some(Meta { checksum, segmentation, segment_bytes: field(4), header_bytes: field(2), ..Meta::default() })
}

/// Writes a header over what was there, keeping its ECN bit.
pub fn encode(meta: &Meta, header: &mut [u8]) {
    let (flags, start, offset) = match meta.checksum {
        Checksum::Complete => (0, 0, 0),
        Checksum::Partial { start, offset } => (NEEDS_CHECKSUM, start, offset),
    };
    let kind = match meta.segmentation {
        Segmentation::None => 0,
        Segmentation::TcpV4 => GSO_TCP_V4 | (header[1] & GSO_ECN),
        Segmentation::TcpV6 => GSO_TCP_V6 | (header[1] & GSO_ECN),
        Segmentation::Udp => GSO_UDP,
    };
    let (length, size) = if kind == 0 { (0, 0) } else { (meta.header_bytes, meta.segment_bytes) };
    header[0] = flags;
    header[1] = kind;
    header[2..4].copy_from_slice(&length.to_ne_bytes());
    header[4..6].copy_from_slice(&size.to_ne_bytes());
    header[6..8].copy_from_slice(&start.to_ne_bytes());
    header[8..10].copy_from_slice(&offset.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_the_round_trip_with_its_ecn_bit() {
        let meta = Meta {
            checksum: Checksum::Partial { start: 34, offset: 16 },
            segmentation: Segmentation::TcpV4,
            segment_bytes: 1448,
            header_bytes: 66,
            ..Meta::default()
        };
        let mut header = [0; HEADER_BYTES];
        header[1] = GSO_ECN;
        encode(&meta, &mut header);
        assert_eq!(header[1], GSO_TCP_V4 | GSO_ECN);
        assert_eq!(decode(&header), Some(meta));
    }

    #[test]
    fn unknown_segmentation_is_refused_not_guessed() {
        let mut header = [0; HEADER_BYTES];
        header[1] = 3; // UFO, which kernels since 4.14 do not produce
        assert_eq!(decode(&header), None);
    }

    #[test]
    fn data_valid_without_needs_checksum_is_a_complete_checksum() {
        let mut header = [0; HEADER_BYTES];
        header[0] = 2;
        assert_eq!(decode(&header), Some(Meta::default()));
    }
}
