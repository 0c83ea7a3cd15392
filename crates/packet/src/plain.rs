//! Is this one of the plain packets that nearly all are, and of which flow?
//!
//! Plain is TCP in an open connection or UDP, in one piece, right behind an IPv4 header without options or
//! an IPv6 header without extensions. What is not plain is left to [`mod@crate::parse`], which reads the same in
//! plain ones and takes longer, because it looks for everything else as well.
//!
//! Readers are inlined whatever the compiler thinks of it: a result that goes through memory in pieces is
//! waited for when it is read as a whole, which takes as long as the reading.

use crate::bytes::{u16_at, u32_at};
use crate::ethernet;
use crate::frame::{Checksum, Meta, Segmentation};
use crate::parse::{Flags, TCP, Tcp, UDP};

const V4_TRANSPORT: usize = ethernet::HEADER_BYTES + 20;
const V6_TRANSPORT: usize = ethernet::HEADER_BYTES + 40;
/// The ports, and whatever else of a transport header is looked at in both protocols.
const TRANSPORT_BYTES: usize = 8;
const TCP_HEADER_BYTES: usize = 20;
const UDP_HEADER_BYTES: usize = 8;

/// A plain packet of a frame; offsets are from the frame's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain {
    /// IPv4: source and destination in the first word. IPv6: two words each.
    pub addresses: [u64; 4],
    /// Source port in the upper half, destination port in the lower.
    pub ports: u32,
    /// [`TCP`] or [`UDP`].
    pub protocol: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Not IPv6.
    pub v4: bool,
    /// The transport checksum covers only the pseudo-header so far.
    pub partial: bool,
    /// End of the IP packet.
    pub end: u32,
}

impl Plain {
    /// Reads a frame; `None` for what is not plain, or not even right.
    #[inline(always)]
    pub fn read(frame: &[u8], meta: Meta) -> Option<Self> {
        Self::read_as(frame, ethernet::kind(frame), meta)
    }

    /// Reads a frame as if its Ethernet type were `kind`, as [`crate::parse::parse_as`] does.
    #[inline(always)]
    pub fn read_as(frame: &[u8], kind: u16, meta: Meta) -> Option<Self> {
        match kind {
            ethernet::IPV4 => Self::read_v4(frame, meta),
            ethernet::IPV6 => Self::read_v6(frame, meta),
            _ => None,
        }
    }

    #[inline(always)]
    fn read_v4(frame: &[u8], meta: Meta) -> Option<Self> {
        let header: &[u8; V4_TRANSPORT + TRANSPORT_BYTES] = frame.first_chunk()?;
        let ip = &header[ethernet::HEADER_BYTES..];
        let end = ethernet::HEADER_BYTES + usize::from(u16_at(ip, 2));
        let in_pieces = u16_at(ip, 6) & 0x3fff != 0;
        if ip[0] != 0x45 || in_pieces || end > frame.len() || !header_is_intact(ip) {
            return None;
        }
        let plain = Self {
            addresses: [u64::from(u32_at(ip, 12)) << 32 | u64::from(u32_at(ip, 16)), 0, 0, 0],
            ports: u32_at(ip, 20),
            protocol: ip[9],
            ttl: ip[8],
            v4: true,
            partial: false,
            end: end as u32,
        };
        plain.with_transport(frame.get(V4_TRANSPORT..end)?, meta)
    }

    #[inline(always)]
    fn read_v6(frame: &[u8], meta: Meta) -> Option<Self> {
        let header: &[u8; V6_TRANSPORT + TRANSPORT_BYTES] = frame.first_chunk()?;
        let ip = &header[ethernet::HEADER_BYTES..];
        let payload = usize::from(u16_at(ip, 4));
        let end = V6_TRANSPORT + payload;
        if ip[0] >> 4 != 6 || payload == 0 || end > frame.len() {
            return None;
        }
        let word = |at| u64::from(u32_at(ip, at)) << 32 | u64::from(u32_at(ip, at + 4));
        let addresses = [word(8), word(16), word(24), word(32)];
        // IPv4-compatible addresses are among these.
        if addresses[0] == 0 || addresses[2] == 0 {
            return None;
        }
        let plain = Self {
            addresses,
            ports: u32_at(ip, 40),
            protocol: ip[6],
            ttl: ip[7],
            v4: false,
            partial: false,
            end: end as u32,
        };
        plain.with_transport(frame.get(V6_TRANSPORT..end)?, meta)
    }

    #[inline(always)]
    fn with_transport(mut self, message: &[u8], meta: Meta) -> Option<Self> {
        let offloaded = meta.segmentation != Segmentation::None;
        let is_plain = match self.protocol {
            UDP => {
                let length = usize::from(u16_at(message, 4));
                message.len() >= UDP_HEADER_BYTES && (offloaded || (UDP_HEADER_BYTES..=message.len()).contains(&length))
            }
            TCP => is_plain_tcp(message),
            _ => false,
        };
        if !is_plain || (offloaded && meta.segment_bytes == 0) {
            return None;
        }
        if let Checksum::Partial { start, offset } = meta.checksum {
            if usize::from(start) != self.transport() || usize::from(offset) != self.checksum_field() {
                return None;
            }
            self.partial = true;
        }
        Some(self)
    }

    /// Offset of the transport header.
    #[inline]
    pub fn transport(&self) -> usize {
        if self.v4 { V4_TRANSPORT } else { V6_TRANSPORT }
    }

    /// Where the transport keeps its checksum, from the start of its header.
    #[inline]
    pub(crate) fn checksum_field(&self) -> usize {
        if self.protocol == TCP { 16 } else { 6 }
    }

    /// Length of the IP packet.
    #[inline]
    pub fn ip_bytes(&self) -> usize {
        self.end as usize - ethernet::HEADER_BYTES
    }

    /// Packets and IP bytes this is on a wire, and the largest of them: as [`Packet::wire`] and
    /// [`Packet::wire_packet_bytes`] say for a frame that was not put together from fragments.
    ///
    /// [`Packet::wire`]: crate::parse::Packet::wire
    /// [`Packet::wire_packet_bytes`]: crate::parse::Packet::wire_packet_bytes
    #[inline]
    pub fn wire(&self, frame: &[u8], meta: Meta) -> ((u64, u64), usize) {
        let total = self.ip_bytes();
        if meta.segmentation == Segmentation::None {
            return ((1, total as u64), total);
        }
        self.segments(frame, meta)
    }

    fn segments(&self, frame: &[u8], meta: Meta) -> ((u64, u64), usize) {
        let transport = match self.protocol {
            TCP => usize::from(u16_at(frame, self.transport() + 12) >> 12) * 4,
            _ => UDP_HEADER_BYTES,
        };
        let (total, payload) = (self.ip_bytes(), usize::from(meta.segment_bytes).max(1));
        let headers = self.transport() - ethernet::HEADER_BYTES + transport;
        let segments = total.saturating_sub(headers).div_ceil(payload).max(1);
        let largest = total.min(headers + usize::from(meta.segment_bytes));
        ((segments as u64, (total + (segments - 1) * headers) as u64), largest)
    }

    /// What its TCP header says, if it has one.
    #[inline]
    pub fn tcp(&self, frame: &[u8]) -> Option<Tcp> {
        if self.protocol != TCP {
            return None;
        }
        let header: &[u8; TCP_HEADER_BYTES] = frame.get(self.transport()..)?.first_chunk()?;
        let header_bytes = (header[12] >> 4) * 4;
        Some(Tcp {
            source_port: (self.ports >> 16) as u16,
            destination_port: self.ports as u16,
            sequence: u32_at(header, 4),
            acknowledgment: u32_at(header, 8),
            flags: Flags(header[13] & 0x3f),
            payload_bytes: self.end - self.transport() as u32 - u32::from(header_bytes),
            header_bytes,
            window: u16_at(header, 14),
            window_shift: None,
        })
    }
}

/// A segment of an open connection: neither its beginning nor its end.
#[inline]
fn is_plain_tcp(message: &[u8]) -> bool {
    let Some(header) = message.first_chunk::<TCP_HEADER_BYTES>() else { return false };
    let header_bytes = usize::from(header[12] >> 4) * 4;
    let flags = header[13] & (Flags::ACK | Flags::SYN | Flags::FIN | Flags::RST);
    flags == Flags::ACK && (TCP_HEADER_BYTES..=message.len()).contains(&header_bytes)
}

/// Whether the checksum of an IPv4 header without options is right.
#[inline]
fn header_is_intact(ip: &[u8]) -> bool {
    let sum: u64 = (0..5).map(|word| u64::from(u32_at(ip, word * 4))).sum();
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum == 0xffff
}
