//! What is in this frame, and at which offsets?
//!
//! One pass at fixed offsets, no allocation; lengths are checked here once and trusted afterwards.
//! Payload is never looked at.

use std::net::{IpAddr, Ipv6Addr};

use crate::bytes::{ipv4_at, ipv6_at, u8_at, u16_at, u32_at};
use crate::checksum;
use crate::ethernet;
use crate::frame::{Checksum, Meta, Segmentation};
use crate::oddity::{self, Oddities, Oddity};

/// IP protocol number of ICMP.
pub const ICMP: u8 = 1;
/// IP protocol number of TCP.
pub const TCP: u8 = 6;
/// IP protocol number of UDP.
pub const UDP: u8 = 17;
/// IP protocol number of ICMPv6.
pub const ICMPV6: u8 = 58;
/// IP protocol number of SCTP.
pub const SCTP: u8 = 132;

/// IPv6 extension headers that are walked before the packet is refused.
pub const EXTENSION_HEADERS_MAX: usize = 8;

pub(crate) const HOP_BY_HOP: u8 = 0;
pub(crate) const ROUTING: u8 = 43;
pub(crate) const FRAGMENT: u8 = 44;
pub(crate) const DESTINATION_OPTIONS: u8 = 60;

/// Why a frame could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than its headers claim.
    Truncated,
    /// A version, header length or total length that cannot be.
    Header,
    /// The IPv4 header checksum is wrong.
    Checksum,
    /// More IPv6 extension headers than [`EXTENSION_HEADERS_MAX`].
    Extensions,
    /// The offload data that came with the frame does not fit it.
    Offload,
}

/// A frame that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// An ARP message, see [`crate::arp::Arp::read`].
    Arp,
    /// An IP packet.
    Ip(Packet),
    /// Another Ethernet type.
    Other(u16),
}

/// An IPv4 or IPv6 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Protocol of the transport, after extension headers.
    pub protocol: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Routers must not fragment it (always so for IPv6).
    pub dont_fragment: bool,
    /// A fragment of a packet; only the addresses are meaningful then.
    pub fragment: bool,
    /// It asks for a route by way of other hosts: an IPv4 option, or an IPv6 routing header with segments
    /// left, so that the destination is not the final one.
    pub source_routed: bool,
    /// What ordinary packets do not have.
    pub oddities: Oddities,
    /// The transport checksum covers only the pseudo-header so far.
    pub partial: bool,
    /// Offset of the IP header.
    pub network: usize,
    /// Offset of the transport header.
    pub transport: usize,
    /// End of the IP packet; the frame may be longer (padding).
    pub end: usize,
    /// What the transport header says.
    pub layer4: Layer4,
}

/// The transport header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer4 {
    /// TCP.
    Tcp(Tcp),
    /// UDP, and SCTP, of which only ports matter.
    Ports {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// ICMP or ICMPv6 echo.
    Echo {
        /// A reply, not a request.
        reply: bool,
        /// Identifier.
        identifier: u16,
    },
    /// An ICMP or ICMPv6 error, see [`Embedded::read`].
    IcmpError,
    /// Another ICMP or ICMPv6 message.
    IcmpOther {
        /// Message type.
        kind: u8,
    },
    /// A protocol without ports, or a fragment.
    Other,
}

/// What a TCP header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgment number.
    pub acknowledgment: u32,
    /// Flags.
    pub flags: Flags,
    /// Bytes after the header.
    pub payload_bytes: u32,
    /// Length of the header with options.
    pub header_bytes: u8,
    /// Window, as it is written.
    pub window: u16,
    /// Of a SYN: by how many bits the sender's windows are to be shifted later, if it offers that.
    pub window_shift: Option<u8>,
}

/// TCP flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Opens a connection.
    pub const SYN: u8 = 0x02;
    /// Ends it at once.
    pub const RST: u8 = 0x04;
    /// Data is to be handed on.
    pub const PSH: u8 = 0x08;
    /// The acknowledgment number counts.
    pub const ACK: u8 = 0x10;

    /// No more data from the sender.
    pub fn fin(self) -> bool {
        self.0 & Self::FIN != 0
    }
    /// Opens a connection.
    pub fn syn(self) -> bool {
        self.0 & Self::SYN != 0
    }
    /// Ends a connection at once.
    pub fn rst(self) -> bool {
        self.0 & Self::RST != 0
    }
    /// The acknowledgment number counts.
    pub fn ack(self) -> bool {
        self.0 & Self::ACK != 0
    }
}

impl Tcp {
    /// Sequence numbers the segment takes: payload, SYN and FIN.
    pub fn sequence_length(&self) -> u32 {
        self.payload_bytes + u32::from(self.flags.syn()) + u32::from(self.flags.fin())
    }
}

impl Packet {
    /// Whether the packet is IPv4.
    pub fn is_v4(&self) -> bool {
        self.source.is_ipv4()
    }

    /// Length from the IP header to the end of the payload.
    pub fn ip_bytes(&self) -> usize {
        self.end - self.network
    }

    /// Source and destination port; the identifier and 0 for an echo; zeros where there are none.
    pub fn ports(&self) -> (u16, u16) {
        match self.layer4 {
            Layer4::Tcp(tcp) => (tcp.source_port, tcp.destination_port),
            Layer4::Ports { source, destination } => (source, destination),
            Layer4::Echo { identifier, .. } => (identifier, 0),
            Layer4::IcmpError | Layer4::IcmpOther { .. } | Layer4::Other => (0, 0),
        }
    }

    /// Headers from the IP header up to the payload.
    pub fn header_bytes(&self) -> usize {
        let transport = match self.layer4 {
            Layer4::Tcp(tcp) => usize::from(tcp.header_bytes),
            Layer4::Ports { .. } | Layer4::Echo { .. } | Layer4::IcmpError | Layer4::IcmpOther { .. } => 8,
            Layer4::Other => 0,
        };
        self.transport - self.network + transport
    }

    /// Packets and IP bytes this is on a wire: an offloaded frame counts as its segments do.
    pub fn wire(&self, meta: Meta) -> (u64, u64) {
        let total = self.ip_bytes() as u64;
        if meta.segmentation == Segmentation::None || meta.segment_bytes == 0 {
            return (1, total);
        }
        let headers = self.header_bytes() as u64;
        let segments = total.saturating_sub(headers).div_ceil(u64::from(meta.segment_bytes)).max(1);
        (segments, total + (segments - 1) * headers)
    }

    /// The largest IP packet it will be on a wire.
    pub fn wire_packet_bytes(&self, meta: Meta) -> usize {
        if meta.fragment_bytes != 0 {
            return self.ip_bytes().min(usize::from(meta.fragment_bytes));
        }
        if meta.segmentation == Segmentation::None {
            return self.ip_bytes();
        }
        self.ip_bytes().min(self.header_bytes() + usize::from(meta.segment_bytes))
    }
}

/// Reads a frame.
pub fn parse(frame: &[u8], meta: Meta) -> Result<Parsed, Malformed> {
    if frame.len() < ethernet::HEADER_BYTES {
        return Err(Malformed::Truncated);
    }
    parse_as(frame, ethernet::kind(frame), meta)
}

/// Reads a frame as if its Ethernet type were `kind`: its first 14 bytes are not looked at, so that an IP
/// packet can be read in place behind whatever stands in front of it.
///
/// # Errors
/// As [`parse`].
pub fn parse_as(frame: &[u8], kind: u16, meta: Meta) -> Result<Parsed, Malformed> {
    match kind {
        ethernet::IPV4 => ipv4(frame, meta).map(Parsed::Ip),
        ethernet::IPV6 => ipv6(frame, meta).map(Parsed::Ip),
        ethernet::ARP => Ok(Parsed::Arp),
        other => Ok(Parsed::Other(other)),
    }
}

fn ipv4(frame: &[u8], meta: Meta) -> Result<Packet, Malformed> {
    let network = ethernet::HEADER_BYTES;
    let packet = frame.get(network..).unwrap_or_default();
    if packet.len() < 20 {
        return Err(Malformed::Truncated);
    }
    let header = usize::from(packet[0] & 0x0f) * 4;
    if packet[0] >> 4 != 4 || header < 20 {
        return Err(Malformed::Header);
    }
    let Some(header_bytes) = packet.get(..header) else { return Err(Malformed::Truncated) };
    let total = total_length(usize::from(u16_at(packet, 2)), packet.len(), meta)?;
    if total < header {
        return Err(Malformed::Header);
    }
    if checksum::checksum(header_bytes) != 0 {
        return Err(Malformed::Checksum);
    }
    let fragment = u16_at(packet, 6);
    let oddities = if header > 20 {
        oddity::ipv4_options(header_bytes.get(20..).unwrap_or_default())
    } else {
        Oddities::default()
    };
    Packet {
        source: ipv4_at(packet, 12).into(),
        destination: ipv4_at(packet, 16).into(),
        protocol: packet[9],
        ttl: packet[8],
        dont_fragment: fragment & 0x4000 != 0,
        fragment: fragment & 0x3fff != 0,
        source_routed: oddities.contains(Oddity::LooseSourceRouting) || oddities.contains(Oddity::StrictSourceRouting),
        oddities,
        partial: false,
        network,
        transport: network + header,
        end: network + total,
        layer4: Layer4::Other,
    }
    .with_transport(frame, meta)
}

fn ipv6(frame: &[u8], meta: Meta) -> Result<Packet, Malformed> {
    let network = ethernet::HEADER_BYTES;
    let packet = frame.get(network..).unwrap_or_default();
    if packet.len() < 40 {
        return Err(Malformed::Truncated);
    }
    if packet[0] >> 4 != 6 {
        return Err(Malformed::Header);
    }
    let claimed = match usize::from(u16_at(packet, 4)) {
        0 => 0,
        payload => payload + 40,
    };
    // A payload length of 0 is legal for a packet that is only a header, and what a jumbogram says.
    let total = if claimed == 0 && meta.segmentation == Segmentation::None {
        40
    } else {
        total_length(claimed, packet.len(), meta)?
    };
    let mut walk = walk_extensions(packet.get(..total).unwrap_or_default(), 40, packet[6])?;
    let compatible = is_ipv4_compatible(ipv6_at(packet, 8)) || is_ipv4_compatible(ipv6_at(packet, 24));
    walk.oddities.insert_if(compatible, Oddity::Ipv4Compatible);
    Packet {
        source: ipv6_at(packet, 8).into(),
        destination: ipv6_at(packet, 24).into(),
        protocol: walk.protocol,
        ttl: packet[7],
        dont_fragment: true,
        fragment: walk.fragment,
        source_routed: walk.source_routed,
        oddities: walk.oddities,
        partial: false,
        network,
        transport: network + walk.offset,
        end: network + total,
        layer4: Layer4::Other,
    }
    .with_transport(frame, meta)
}

/// The IP packet's length; an offloaded frame beyond 64 KiB says 0 and means the frame's.
fn total_length(claimed: usize, available: usize, meta: Meta) -> Result<usize, Malformed> {
    match claimed {
        0 if meta.segmentation != Segmentation::None => Ok(available),
        claimed if claimed > available => Err(Malformed::Truncated),
        claimed => Ok(claimed),
    }
}

/// What stands behind IPv6 extension headers.
pub(crate) struct Walk {
    pub(crate) protocol: u8,
    pub(crate) offset: usize,
    fragment: bool,
    /// It is a fragment, and not the first.
    later: bool,
    source_routed: bool,
    oddities: Oddities,
}

/// An address of `::/96` but for `::` and `::1`.
fn is_ipv4_compatible(address: Ipv6Addr) -> bool {
    let bits = address.to_bits();
    bits >> 32 == 0 && bits > 1
}

pub(crate) fn walk_extensions(packet: &[u8], start: usize, first: u8) -> Result<Walk, Malformed> {
    let oddities = Oddities::default();
    let mut walk =
        Walk { protocol: first, offset: start, fragment: false, later: false, source_routed: false, oddities };
    for _ in 0..=EXTENSION_HEADERS_MAX {
        let length = match walk.protocol {
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => 8 + usize::from(u8_at(packet, walk.offset + 1)) * 8,
            FRAGMENT => 8,
            _ => return Ok(walk),
        };
        let Some(header) = packet.get(walk.offset..walk.offset + length) else { return Err(Malformed::Truncated) };
        walk.source_routed |= walk.protocol == ROUTING && u8_at(header, 3) != 0;
        if walk.protocol == FRAGMENT {
            // RFC 6946: offset 0 with no more fragments is a whole packet.
            walk.fragment |= u16_at(header, 2) & 0xfff9 != 0;
            walk.later |= u16_at(header, 2) & 0xfff8 != 0;
        }
        walk.oddities.add(odd_extension(walk.protocol, header));
        walk.protocol = u8_at(header, 0);
        walk.offset += length;
        if walk.fragment {
            return Ok(walk);
        }
    }
    Err(Malformed::Extensions)
}

/// What is unusual about one extension header; that there is one at all, first of all.
fn odd_extension(protocol: u8, header: &[u8]) -> Oddities {
    let mut found = Oddities::default();
    match protocol {
        ROUTING => found = oddity::routing_header(u8_at(header, 2)),
        FRAGMENT => {
            found.insert_if(u16_at(header, 2) & 0xfff9 == 0, Oddity::NeedlessFragmentHeader);
            found.insert_if(u8_at(header, 1) != 0 || u16_at(header, 2) & 0x6 != 0, Oddity::ReservedField6);
        }
        HOP_BY_HOP => found.insert(Oddity::HopByHopHeader),
        _ => found.insert(Oddity::DestinationOptions),
    }
    if matches!(protocol, HOP_BY_HOP | DESTINATION_OPTIONS) && !oddity::ipv6_options_are_valid(header) {
        found.insert(Oddity::InvalidOption6);
    }
    found
}

impl Packet {
    fn with_transport(mut self, frame: &[u8], meta: Meta) -> Result<Self, Malformed> {
        let is_icmp = matches!((self.protocol, self.is_v4()), (ICMP, true) | (ICMPV6, false));
        if self.fragment {
            self.oddities.insert(Oddity::Fragment);
            self.oddities.insert_if(is_icmp, Oddity::IcmpFragment);
            return Ok(self);
        }
        let message = frame.get(self.transport..self.end).unwrap_or_default();
        self.layer4 = match self.protocol {
            TCP => tcp(message)?,
            UDP => udp(message, meta)?,
            SCTP if message.len() < 12 => return Err(Malformed::Truncated),
            SCTP => Layer4::Ports { source: u16_at(message, 0), destination: u16_at(message, 2) },
            ICMP if self.is_v4() => icmp(message, icmp_v4_kind)?,
            ICMPV6 if !self.is_v4() => icmp(message, icmp_v6_kind)?,
            _ => Layer4::Other,
        };
        if is_icmp {
            self.note_odd_icmp(message);
        }
        if let Layer4::Tcp(Tcp { flags, payload_bytes: 1.., .. }) = self.layer4
            && flags.syn()
        {
            self.oddities.insert(if flags.ack() { Oddity::SynAckWithData } else { Oddity::SynWithData });
        }
        if let Checksum::Partial { start, offset } = meta.checksum
            && usize::from(start) == self.transport
        {
            self.partial = true;
            // SCTP and others whose checksum has no pseudo-header pass as they are.
            if checksum_field(self.protocol).is_some_and(|field| field != usize::from(offset)) {
                return Err(Malformed::Offload);
            }
        }
        if meta.segmentation != Segmentation::None && meta.segment_bytes == 0 {
            return Err(Malformed::Offload);
        }
        Ok(self)
    }

    fn note_odd_icmp(&mut self, message: &[u8]) {
        let zero_id = matches!(self.layer4, Layer4::Echo { identifier: 0, .. });
        let too_big = !self.is_v4() && u8_at(message, 0) == 2;
        self.oddities.insert_if(zero_id, Oddity::PingZeroId);
        self.oddities.insert_if(message.len() > oddity::ICMP_BYTES_MAX, Oddity::IcmpLarge);
        self.oddities.insert_if(self.layer4 == Layer4::IcmpError, Oddity::IcmpError);
        self.oddities.insert_if(too_big && u32_at(message, 4) < 1280, Oddity::TooBigSmallMtu);
    }
}

/// Where a transport keeps its checksum, from the start of its header.
pub fn checksum_field(protocol: u8) -> Option<usize> {
    match protocol {
        TCP => Some(16),
        UDP => Some(6),
        ICMP | ICMPV6 => Some(2),
        _ => None,
    }
}

fn tcp(message: &[u8]) -> Result<Layer4, Malformed> {
    if message.len() < 20 {
        return Err(Malformed::Truncated);
    }
    let header_bytes = (message[12] >> 4) * 4;
    if header_bytes < 20 || usize::from(header_bytes) > message.len() {
        return Err(Malformed::Header);
    }
    let flags = Flags(message[13] & 0x3f);
    let options = message.get(20..usize::from(header_bytes)).unwrap_or_default();
    Ok(Layer4::Tcp(Tcp {
        source_port: u16_at(message, 0),
        destination_port: u16_at(message, 2),
        sequence: u32_at(message, 4),
        acknowledgment: u32_at(message, 8),
        flags,
        payload_bytes: (message.len() - usize::from(header_bytes)) as u32,
        header_bytes,
        window: u16_at(message, 14),
        window_shift: if flags.syn() { window_shift(options) } else { None },
    }))
}

/// The window scale option (RFC 7323 section 2), if it is among these options.
fn window_shift(mut options: &[u8]) -> Option<u8> {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const WINDOW_SCALE: u8 = 3;
    const SHIFT_MAX: u8 = 14;
    while let [kind, rest @ ..] = options {
        options = match (*kind, rest) {
            (END, _) => return None,
            (NO_OPERATION, rest) => rest,
            (WINDOW_SCALE, [3, shift, ..]) => return Some((*shift).min(SHIFT_MAX)),
            (_, [length, ..]) if *length >= 2 => options.get(usize::from(*length)..).unwrap_or_default(),
            _ => return None,
        };
    }
    None
}

fn udp(message: &[u8], meta: Meta) -> Result<Layer4, Malformed> {
    if message.len() < 8 {
        return Err(Malformed::Truncated);
    }
    let length = usize::from(u16_at(message, 4));
    let offloaded = meta.segmentation != Segmentation::None;
    if !offloaded && !(8..=message.len()).contains(&length) {
        return Err(Malformed::Header);
    }
    Ok(Layer4::Ports { source: u16_at(message, 0), destination: u16_at(message, 2) })
}

enum Kind {
    Echo { reply: bool },
    Error,
    Other,
}

fn icmp(message: &[u8], classify: fn(u8) -> Kind) -> Result<Layer4, Malformed> {
    if message.len() < 8 {
        return Err(Malformed::Truncated);
    }
    Ok(match classify(message[0]) {
        Kind::Echo { reply } => Layer4::Echo { reply, identifier: u16_at(message, 4) },
        Kind::Error => Layer4::IcmpError,
        Kind::Other => Layer4::IcmpOther { kind: message[0] },
    })
}

fn icmp_v4_kind(kind: u8) -> Kind {
    match kind {
        0 => Kind::Echo { reply: true },
        8 => Kind::Echo { reply: false },
        // Destination unreachable, time exceeded, parameter problem. Source quench is deprecated (RFC
        // 6633) and redirects are not forwarded (RFC 1812 section 5.2.7.2).
        3 | 11 | 12 => Kind::Error,
        _ => Kind::Other,
    }
}

fn icmp_v6_kind(kind: u8) -> Kind {
    match kind {
        1..=4 => Kind::Error,
        128 => Kind::Echo { reply: false },
        129 => Kind::Echo { reply: true },
        _ => Kind::Other,
    }
}

/// The packet that an ICMP error quotes; often cut after eight bytes of its transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Transport protocol.
    pub protocol: u8,
    /// Source port, or echo identifier.
    pub source_port: u16,
    /// Destination port, or 0.
    pub destination_port: u16,
    /// It is an echo reply.
    pub echo_reply: bool,
    /// Offset of its IP header in the frame.
    pub network: usize,
    /// Offset of its transport header in the frame.
    pub transport: usize,
    /// End of what was quoted.
    pub end: usize,
}

impl Embedded {
    /// Reads the packet quoted by `packet`, which is an [`Layer4::IcmpError`].
    pub fn read(frame: &[u8], packet: &Packet) -> Result<Self, Malformed> {
        let network = packet.transport + 8;
        let quoted = frame.get(network..packet.end).unwrap_or_default();
        let (source, destination, protocol, offset) = if packet.is_v4() {
            let header = usize::from(u8_at(quoted, 0) & 0x0f) * 4;
            if u8_at(quoted, 0) >> 4 != 4 || header < 20 {
                return Err(Malformed::Header);
            }
            if u16_at(quoted, 6) & 0x1fff != 0 {
                return Err(Malformed::Header);
            }
            (ipv4_at(quoted, 12).into(), ipv4_at(quoted, 16).into(), u8_at(quoted, 9), header)
        } else {
            if u8_at(quoted, 0) >> 4 != 6 || quoted.len() < 40 {
                return Err(Malformed::Header);
            }
            let walk = walk_extensions(quoted, 40, u8_at(quoted, 6))?;
            if walk.later {
                return Err(Malformed::Header);
            }
            (ipv6_at(quoted, 8).into(), ipv6_at(quoted, 24).into(), walk.protocol, walk.offset)
        };
        if quoted.len() < offset + 8 {
            return Err(Malformed::Truncated);
        }
        let mut embedded = Self {
            source,
            destination,
            protocol,
            source_port: 0,
            destination_port: 0,
            echo_reply: false,
            network,
            transport: network + offset,
            end: packet.end,
        };
        match protocol {
            TCP | UDP | SCTP => {
                embedded.source_port = u16_at(quoted, offset);
                embedded.destination_port = u16_at(quoted, offset + 2);
            }
            ICMP if packet.is_v4() => embedded.echo(quoted, offset, icmp_v4_kind)?,
            ICMPV6 if !packet.is_v4() => embedded.echo(quoted, offset, icmp_v6_kind)?,
            _ => {}
        }
        Ok(embedded)
    }

    fn echo(&mut self, quoted: &[u8], offset: usize, classify: fn(u8) -> Kind) -> Result<(), Malformed> {
        let Kind::Echo { reply } = classify(u8_at(quoted, offset)) else { return Err(Malformed::Header) };
        self.echo_reply = reply;
        self.source_port = u16_at(quoted, offset + 4);
        Ok(())
    }
}
