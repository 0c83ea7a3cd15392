//! Packets a firewall sends on its own account: echo replies, resets, ICMP errors.

use std::net::IpAddr;

use crate::bytes::{put, put_u16, u8_at};
use crate::checksum::{self, Delta};
use crate::ethernet::{self, Mac};
use crate::parse::{Flags, ICMP, ICMPV6, Layer4, Packet, TCP, UDP};

/// TTL and hop limit of our own packets (RFC 1700).
pub const TTL: u8 = 64;

/// Longest ICMP error over IPv4 (RFC 1812 section 4.3.2.3).
const ICMP_V4_BYTES_MAX: usize = 576;
/// Longest ICMPv6 error: the minimum MTU (RFC 4443 section 2.4).
const ICMP_V6_BYTES_MAX: usize = 1280;

/// Both ends of an Ethernet hop, for a frame to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Who sends.
    pub source: Mac,
    /// Who gets it.
    pub destination: Mac,
}

/// Turns an echo request into its reply, in place; the Ethernet addresses are left to the caller.
pub fn echo_reply(frame: &mut [u8], packet: &Packet) {
    let (source_at, destination_at) = if packet.is_v4() { (12, 16) } else { (8, 24) };
    crate::bytes::put_address(frame, packet.network + source_at, packet.destination);
    crate::bytes::put_address(frame, packet.network + destination_at, packet.source);
    let (request, reply) = if packet.is_v4() { (8, 0) } else { (128, 129) };
    let code = u16::from(u8_at(frame, packet.transport + 1));
    put(frame, packet.transport, &[reply]);
    Delta::word((request << 8) | code, (u16::from(reply) << 8) | code).apply(frame, packet.transport + 2);
    if packet.is_v4() {
        let protocol = u16::from(ICMP);
        put(frame, packet.network + 8, &[TTL]);
        Delta::word((u16::from(packet.ttl) << 8) | protocol, (u16::from(TTL) << 8) | protocol)
            .apply(frame, packet.network + 10);
    } else {
        put(frame, packet.network + 7, &[TTL]);
    }
}

/// A TCP reset to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
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
    /// Acknowledgment number, if the ACK flag is to be set.
    pub acknowledgment: Option<u32>,
}

impl Reset {
    /// The answer to a segment that is refused (RFC 9293 section 3.10.7.1). `None` for a reset, which is
    /// never answered.
    pub fn answering(packet: &Packet) -> Option<Self> {
        let Layer4::Tcp(tcp) = packet.layer4 else { return None };
        if tcp.flags.rst() {
            return None;
        }
        let (sequence, acknowledgment) = if tcp.flags.ack() {
            (tcp.acknowledgment, None)
        } else {
            (0, Some(tcp.sequence.wrapping_add(tcp.sequence_length())))
        };
        Some(Self {
            source: packet.destination,
            destination: packet.source,
            source_port: tcp.destination_port,
            destination_port: tcp.source_port,
            sequence,
            acknowledgment,
        })
    }

    /// The whole frame.
    pub fn frame(&self, link: Link) -> Vec<u8> {
        let mut segment = Vec::with_capacity(20);
        segment.extend(self.source_port.to_be_bytes());
        segment.extend(self.destination_port.to_be_bytes());
        segment.extend(self.sequence.to_be_bytes());
        segment.extend(self.acknowledgment.unwrap_or(0).to_be_bytes());
        let ack = if self.acknowledgment.is_some() { Flags::ACK } else { 0 };
        segment.extend([5 << 4, Flags::RST | ack, 0, 0, 0, 0, 0, 0]);
        let value = checksum::transport(self.source, self.destination, TCP, &segment);
        put_u16(&mut segment, 16, value);
        ip_frame(link, self.source, self.destination, TCP, TTL, &segment)
    }
}

/// What an ICMP error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A policy refused the packet.
    Prohibited,
    /// The TTL or hop limit ran out.
    TimeExceeded,
    /// The packet does not fit the next link.
    TooBig {
        /// What does.
        mtu_bytes: u16,
    },
}

impl Problem {
    /// Type, code and the second word.
    fn header(self, v4: bool) -> (u8, u8, u32) {
        match (self, v4) {
            (Self::Prohibited, true) => (3, 13, 0),
            (Self::Prohibited, false) => (1, 1, 0),
            (Self::TimeExceeded, true) => (11, 0, 0),
            (Self::TimeExceeded, false) => (3, 0, 0),
            (Self::TooBig { mtu_bytes }, true) => (3, 4, u32::from(mtu_bytes)),
            (Self::TooBig { mtu_bytes }, false) => (2, 0, u32::from(mtu_bytes)),
        }
    }
}

/// Whether a packet may be answered with an ICMP error at all (RFC 1122 section 3.2.2, RFC 4443 section
/// 2.4): never another error, a fragment, or what came from or went to a group.
pub fn may_report(packet: &Packet) -> bool {
    let informational = !matches!(packet.layer4, Layer4::IcmpError | Layer4::IcmpOther { .. });
    let source_is_one_host = match packet.source {
        IpAddr::V4(v4) => !(v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast() || v4.is_loopback()),
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_multicast() || v6.is_loopback()),
    };
    let destination_is_one_host = match packet.destination {
        IpAddr::V4(v4) => !(v4.is_multicast() || v4.is_broadcast()),
        IpAddr::V6(v6) => !v6.is_multicast(),
    };
    informational && source_is_one_host && destination_is_one_host && !packet.fragment
}

/// The ICMP error about `packet`, quoting as much of it as is allowed; `from` is of its family.
pub fn icmp_error(link: Link, from: IpAddr, frame: &[u8], packet: &Packet, problem: Problem) -> Vec<u8> {
    let v4 = packet.is_v4();
    let room = if v4 { ICMP_V4_BYTES_MAX - 28 } else { ICMP_V6_BYTES_MAX - 48 };
    let end = packet.end.min(packet.network + room);
    let quoted = frame.get(packet.network..end).unwrap_or_default();
    let (kind, code, word) = problem.header(v4);
    let mut message = Vec::with_capacity(8 + quoted.len());
    message.extend([kind, code, 0, 0]);
    message.extend(word.to_be_bytes());
    message.extend(quoted);
    let protocol = if v4 { ICMP } else { ICMPV6 };
    let value =
        if v4 { checksum::checksum(&message) } else { checksum::transport(from, packet.source, ICMPV6, &message) };
    put_u16(&mut message, 2, value);
    ip_frame(link, from, packet.source, protocol, TTL, &message)
}

/// A UDP datagram of our own; source and destination are address and port, both of one family.
pub fn udp_frame(link: Link, source: (IpAddr, u16), destination: (IpAddr, u16), payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len()) as u16;
    let mut datagram = Vec::with_capacity(8 + payload.len());
    datagram.extend(source.1.to_be_bytes());
    datagram.extend(destination.1.to_be_bytes());
    datagram.extend(length.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    // A computed 0 is sent as 0xffff: 0 means that there is none (RFC 768).
    let value = match checksum::transport(source.0, destination.0, UDP, &datagram) {
        0 => 0xffff,
        value => value,
    };
    put_u16(&mut datagram, 6, value);
    ip_frame(link, source.0, destination.0, UDP, TTL, &datagram)
}

/// A frame with an IP packet around a transport message; both addresses of one family.
pub fn ip_frame(link: Link, source: IpAddr, destination: IpAddr, protocol: u8, ttl: u8, message: &[u8]) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut bytes = ethernet::frame(link.destination, link.source, ethernet::IPV4, 20 + message.len());
            let total = (20 + message.len()) as u16;
            bytes.extend([0x45, 0]);
            bytes.extend(total.to_be_bytes());
            // Identification 0 and "do not fragment": an atomic datagram (RFC 6864).
            bytes.extend([0, 0, 0x40, 0, ttl, protocol, 0, 0]);
            bytes.extend(source.octets());
            bytes.extend(destination.octets());
            let header = checksum::checksum(bytes.get(ethernet::HEADER_BYTES..).unwrap_or_default());
            put_u16(&mut bytes, ethernet::HEADER_BYTES + 10, header);
            bytes.extend(message);
            bytes
        }
        (source, destination) => {
            let mut bytes = ethernet::frame(link.destination, link.source, ethernet::IPV6, 40 + message.len());
            bytes.extend([0x60, 0, 0, 0]);
            bytes.extend((message.len() as u16).to_be_bytes());
            bytes.extend([protocol, ttl]);
            bytes.extend(v6_octets(source));
            bytes.extend(v6_octets(destination));
            bytes.extend(message);
            bytes
        }
    }
}

fn v6_octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}
