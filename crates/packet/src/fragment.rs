//! What does one fragment say, and how are datagrams put together and cut again?
//!
//! RFC 791 section 3.2 and RFC 8200 section 4.5. Lengths are checked by [`Piece::read`] and trusted afterwards.

use crate::bytes::{put, put_u16, u8_at, u16_at, u32_at};
use crate::checksum::{self, Delta};
use crate::ethernet;
use crate::parse::{
    DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, ICMP, ICMPV6, Malformed, Packet, ROUTING, SCTP, TCP, UDP,
    walk_extensions,
};

/// Length of the IPv6 fragment header.
const FRAGMENT_HEADER_BYTES: usize = 8;
/// Largest value of a length field.
const LENGTH_MAX: usize = 65_535;
/// IPv4 flag: routers must not fragment.
const DONT_FRAGMENT: u16 = 0x4000;
/// IPv4 flag: more fragments follow.
const MORE: u16 = 0x2000;

/// One fragment, by offsets into its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What the fragments of one datagram have in common.
    pub identification: u32,
    /// Where its data belongs in the datagram, in bytes.
    pub offset: usize,
    /// It is not the last one.
    pub more: bool,
    /// Offset of its data in the frame.
    pub data: usize,
    /// End of its data in the frame.
    pub end: usize,
    /// End of the headers that every fragment repeats.
    headers: usize,
    /// IPv6: the byte that names what follows these headers.
    next_header: usize,
}

impl Piece {
    /// Reads a packet that is a fragment.
    ///
    /// # Errors
    /// [`Malformed::Header`] for a fragment without data, one that is not the last and does not end on eight
    /// bytes, and one that ends beyond the longest datagram.
    pub fn read(frame: &[u8], packet: &Packet) -> Result<Self, Malformed> {
        let (data, end) = (packet.transport, packet.end);
        let mut piece = if packet.is_v4() {
            let field = u16_at(frame, packet.network + 6);
            Self {
                identification: u32::from(u16_at(frame, packet.network + 4)),
                offset: usize::from(field & 0x1fff) * 8,
                more: field & MORE != 0,
                data,
                end,
                headers: data,
                next_header: 0,
            }
        } else {
            let header = data.saturating_sub(FRAGMENT_HEADER_BYTES);
            let field = u16_at(frame, header + 2);
            Self {
                identification: u32_at(frame, header + 4),
                offset: usize::from(field & 0xfff8),
                more: field & 1 != 0,
                data,
                end,
                headers: header,
                next_header: packet.network + 6,
            }
        };
        // The IPv6 length field does not count the fixed header.
        let fixed = if packet.is_v4() { 0 } else { 40 };
        let longest = LENGTH_MAX + fixed - (piece.headers - packet.network);
        let length = end.saturating_sub(data);
        if length == 0 || (piece.more && !length.is_multiple_of(8)) || piece.offset + length > longest {
            return Err(Malformed::Header);
        }
        if !packet.is_v4() {
            piece.next_header = before(frame, packet.network, piece.headers);
        }
        Ok(piece)
    }

    /// Whether a first fragment holds all headers up to and with the transport's, so that nobody has to guess
    /// what a later one will say there (RFC 1858, RFC 7112).
    pub fn holds_headers(&self, frame: &[u8], packet: &Packet) -> bool {
        let mut message = frame.get(self.data..self.end).unwrap_or_default();
        let mut protocol = packet.protocol;
        if !packet.is_v4() {
            let Ok(walk) = walk_extensions(message, 0, protocol) else { return false };
            protocol = walk.protocol;
            message = message.get(walk.offset..).unwrap_or_default();
        }
        let needed = match protocol {
            TCP => usize::from(u8_at(message, 12) >> 4).max(5) * 4,
            SCTP => 12,
            UDP | ICMP | ICMPV6 => 8,
            _ => 0,
        };
        message.len() >= needed
    }

    /// What every fragment repeats, from the Ethernet header on, changed to what it says in a whole datagram.
    pub fn head(&self, frame: &[u8], packet: &Packet) -> Vec<u8> {
        let mut head = frame.get(..self.headers).unwrap_or_default().to_vec();
        if packet.is_v4() {
            let field = u16_at(&head, packet.network + 6);
            put_u16(&mut head, packet.network + 6, field & DONT_FRAGMENT);
        } else {
            put(&mut head, self.next_header, &[packet.protocol]);
        }
        head
    }
}

/// Writes length and header checksum of a frame that [`Piece::head`] begins and the data completes.
pub fn finish_whole(frame: &mut [u8]) {
    let network = ethernet::HEADER_BYTES;
    let total = frame.len().saturating_sub(network);
    if u8_at(frame, network) >> 4 == 4 {
        put_u16(frame, network + 2, total.min(LENGTH_MAX) as u16);
        finish_v4_header(frame);
    } else {
        put_u16(frame, network + 4, total.saturating_sub(40).min(LENGTH_MAX) as u16);
    }
}

/// Whether a router on the way marked a packet as having met congestion (RFC 3168).
pub fn met_congestion(frame: &[u8], packet: &Packet) -> bool {
    congestion(frame, packet.network).is_some_and(|(at, bits)| u8_at(frame, at) & bits == bits)
}

/// Marks a whole datagram of which a fragment met congestion (RFC 3168 section 5.3), if its ends understand that.
/// To be called before [`finish_whole`].
pub fn mark_congestion(frame: &mut [u8]) {
    if let Some((at, bits)) = congestion(frame, ethernet::HEADER_BYTES) {
        let byte = u8_at(frame, at);
        if byte & bits != 0 {
            put(frame, at, &[byte | bits]);
        }
    }
}

/// Where a packet keeps its two congestion bits.
fn congestion(frame: &[u8], network: usize) -> Option<(usize, u8)> {
    match u8_at(frame, network) >> 4 {
        4 => Some((network + 1, 0x03)),
        6 => Some((network + 1, 0x30)),
        _ => None,
    }
}

/// Gives an IPv4 packet another identification.
pub fn identify(frame: &mut [u8], packet: &Packet, identification: u16) {
    let old = u16_at(frame, packet.network + 4);
    put_u16(frame, packet.network + 4, identification);
    Delta::word(old, identification).apply(frame, packet.network + 10);
}

/// The frames of a whole packet cut into IP packets of at most `limit` bytes. An IPv4 packet keeps its own
/// identification. Nothing where `limit` has no room for data.
pub fn cut<'a>(
    frame: &'a [u8],
    packet: &'a Packet,
    limit: usize,
    identification: u32,
) -> impl Iterator<Item = Vec<u8>> + 'a {
    let headers = if packet.is_v4() { packet.transport } else { repeated(frame, packet) };
    let added = if packet.is_v4() { 0 } else { FRAGMENT_HEADER_BYTES };
    let data = frame.get(headers..packet.end).unwrap_or_default();
    let room = limit.saturating_sub(headers - packet.network + added) / 8 * 8;
    let data = if room == 0 { &[] } else { data };
    let count = data.len().div_ceil(room.max(8));
    data.chunks(room.max(8)).enumerate().map(move |(at, chunk)| {
        let (offset, more) = (at * room, at + 1 < count);
        let mut bytes = Vec::with_capacity(headers + added + chunk.len());
        bytes.extend_from_slice(frame.get(..headers).unwrap_or_default());
        if packet.is_v4() {
            bytes.extend_from_slice(chunk);
            v4_fragment(&mut bytes, packet, offset, more);
        } else {
            v6_fragment(&mut bytes, packet, offset, more, identification);
            bytes.extend_from_slice(chunk);
            finish_whole(&mut bytes);
        }
        bytes
    })
}

fn v4_fragment(bytes: &mut [u8], packet: &Packet, offset: usize, more: bool) {
    let at = packet.network + 6;
    let kept = u16_at(bytes, at) & DONT_FRAGMENT;
    put_u16(bytes, at, kept | if more { MORE } else { 0 } | (offset / 8) as u16);
    if offset > 0 {
        blank_uncopied_options(bytes.get_mut(packet.network + 20..packet.transport).unwrap_or_default());
    }
    finish_whole(bytes);
}

fn v6_fragment(bytes: &mut Vec<u8>, packet: &Packet, offset: usize, more: bool, identification: u32) {
    let at = before(bytes, packet.network, bytes.len());
    let next = u8_at(bytes, at);
    put(bytes, at, &[FRAGMENT]);
    bytes.extend([next, 0]);
    bytes.extend((offset as u16 | u16::from(more)).to_be_bytes());
    bytes.extend(identification.to_be_bytes());
}

/// Options without the "copied" flag stand in the first fragment only (RFC 791 section 3.1).
fn blank_uncopied_options(options: &mut [u8]) {
    const COPIED: u8 = 0x80;
    const NO_OPERATION: u8 = 1;
    let mut at = 0;
    while at < options.len() {
        let kind = u8_at(options, at);
        let length = match kind {
            0 => return,
            NO_OPERATION => 1,
            _ => usize::from(u8_at(options, at + 1)).max(2),
        };
        if kind & COPIED == 0 {
            let end = (at + length).min(options.len());
            options.get_mut(at..end).unwrap_or_default().fill(NO_OPERATION);
        }
        at += length;
    }
}

/// End of the IPv6 headers that every fragment repeats: up to the last one that hosts on the way look at.
fn repeated(frame: &[u8], packet: &Packet) -> usize {
    let (mut at, mut next) = (packet.network + 40, u8_at(frame, packet.network + 6));
    let mut end = at;
    while matches!(next, HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS) && at < packet.transport {
        let length = 8 + usize::from(u8_at(frame, at + 1)) * 8;
        if next != DESTINATION_OPTIONS {
            end = at + length;
        }
        next = u8_at(frame, at);
        at += length;
    }
    end.min(packet.end)
}

/// The byte that names the header which begins at `end`.
fn before(frame: &[u8], network: usize, end: usize) -> usize {
    let (mut named, mut at) = (network + 6, network + 40);
    while at < end {
        named = at;
        at += 8 + usize::from(u8_at(frame, at + 1)) * 8;
    }
    named
}

fn finish_v4_header(frame: &mut [u8]) {
    let network = ethernet::HEADER_BYTES;
    let length = usize::from(u8_at(frame, network) & 0x0f) * 4;
    put_u16(frame, network + 10, 0);
    let value = checksum::checksum(frame.get(network..network + length).unwrap_or_default());
    put_u16(frame, network + 10, value);
}
