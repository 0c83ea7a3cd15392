//! How do addresses, ports and TTL change in place, with every checksum kept right?
//!
//! A [`Change`] is computed once for a direction of a session: applying it is a few stores and at most
//! two additions. Checksums that were wrong stay wrong, so that corruption is never hidden.

use std::net::IpAddr;

use crate::bytes::{put_address, put_u16, u16_at};
use crate::checksum::{self, Delta};
use crate::ethernet;
use crate::parse::{Embedded, ICMP, ICMPV6, Packet, TCP, UDP, checksum_field};
use crate::plain::Plain;

/// Addresses and ports of one direction. For ICMP echo both ports are the identifier's place: the
/// source port holds it, the destination port is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Source port, or echo identifier.
    pub source_port: u16,
    /// Destination port, or 0.
    pub destination_port: u16,
}

/// What the checksums of each packet of one direction gain. Four bytes, because there are two for each
/// session; the addresses and ports themselves stand in the key of the other direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    addresses: Delta,
    ports: Delta,
}

impl Change {
    /// From what arrives to what leaves; both of one family.
    pub fn new(old: &Tuple, new: &Tuple) -> Self {
        let (mut addresses, mut ports) = (Delta::default(), Delta::default());
        if (old.source, old.destination) != (new.source, new.destination) {
            addresses = Delta::address(old.source, new.source).and(Delta::address(old.destination, new.destination));
        }
        if (old.source_port, old.destination_port) != (new.source_port, new.destination_port) {
            ports = Delta::word(old.source_port, new.source_port)
                .and(Delta::word(old.destination_port, new.destination_port));
        }
        Self { addresses, ports }
    }

    /// Rewrites a packet whose addresses and ports are the old tuple's to say the new one.
    #[inline]
    pub fn apply(self, frame: &mut [u8], packet: &Packet, new: &Tuple) {
        self.apply_addresses(frame, packet, new);
        let at = packet.transport;
        match packet.protocol {
            TCP | UDP => {
                put_u16(frame, at, new.source_port);
                put_u16(frame, at + 2, new.destination_port);
            }
            ICMP | ICMPV6 => put_u16(frame, at + 4, new.source_port),
            _ => return,
        }
        self.fix_transport(frame, packet);
    }

    /// Rewrites only the addresses: for packets without ports, such as ICMP errors.
    #[inline]
    pub fn apply_addresses(self, frame: &mut [u8], packet: &Packet, new: &Tuple) {
        if packet.is_v4() {
            put_address(frame, packet.network + 12, new.source);
            put_address(frame, packet.network + 16, new.destination);
            self.addresses.apply(frame, packet.network + 10);
        } else {
            put_address(frame, packet.network + 8, new.source);
            put_address(frame, packet.network + 24, new.destination);
        }
    }

    /// [`Self::apply`] and [`hop`] in one for a plain packet: addresses and ports are spelled as it spells its own.
    #[inline]
    pub fn carry_on(self, frame: &mut [u8], plain: &Plain, addresses: [u64; 4], ports: u32) {
        if plain.v4 {
            let Some(header) = frame.get_mut(ethernet::HEADER_BYTES..).and_then(<[u8]>::first_chunk_mut::<24>) else {
                return;
            };
            header[8] = plain.ttl.saturating_sub(1);
            let old = u16::from_be_bytes([header[10], header[11]]);
            header[10..12].copy_from_slice(&self.addresses.and(Delta::HOP).checksum(old).to_be_bytes());
            header[12..20].copy_from_slice(&addresses[0].to_be_bytes());
            header[20..24].copy_from_slice(&ports.to_be_bytes());
        } else {
            let Some(header) = frame.get_mut(ethernet::HEADER_BYTES..).and_then(<[u8]>::first_chunk_mut::<44>) else {
                return;
            };
            header[7] = plain.ttl.saturating_sub(1);
            for (word, place) in addresses.iter().zip(header[8..40].as_chunks_mut::<8>().0) {
                *place = word.to_be_bytes();
            }
            header[40..44].copy_from_slice(&ports.to_be_bytes());
        }
        let at = plain.transport() + plain.checksum_field();
        let old = u16_at(frame, at);
        let new = match (plain.partial, plain.protocol) {
            (true, _) => self.addresses.sum(old),
            (false, UDP) => udp(self.addresses.and(self.ports), old, plain.v4),
            (false, _) => self.addresses.and(self.ports).checksum(old),
        };
        put_u16(frame, at, new);
    }

    #[inline]
    fn fix_transport(self, frame: &mut [u8], packet: &Packet) {
        let Some(field) = checksum_field(packet.protocol) else { return };
        let at = packet.transport + field;
        let old = u16_at(frame, at);
        // ICMPv4 has no pseudo-header; a partial checksum is nothing but one.
        let new = match (packet.partial, packet.protocol) {
            (true, ICMP) => old,
            (true, _) => self.addresses.sum(old),
            (false, ICMP) => self.ports.checksum(old),
            (false, UDP) => udp(self.addresses.and(self.ports), old, packet.is_v4()),
            (false, _) => self.addresses.and(self.ports).checksum(old),
        };
        put_u16(frame, at, new);
    }
}

/// Takes one from the TTL or hop limit, which the caller knows to be above zero.
#[inline]
pub fn hop(frame: &mut [u8], packet: &Packet) {
    let at = packet.network + if packet.is_v4() { 8 } else { 7 };
    if let Some(ttl) = frame.get_mut(at) {
        *ttl = ttl.saturating_sub(1);
    }
    if packet.is_v4() {
        Delta::HOP.apply(frame, packet.network + 10);
    }
}

/// Rewrites the packet quoted in an ICMP error to `new`, then makes the error's own checksum right.
/// The caller has made sure that it was right before.
pub fn embedded(frame: &mut [u8], packet: &Packet, quoted: &Embedded, new: &Tuple) {
    let old = Tuple {
        source: quoted.source,
        destination: quoted.destination,
        source_port: quoted.source_port,
        destination_port: quoted.destination_port,
    };
    let change = Change::new(&old, new);
    change.apply_addresses(frame, &Packet { network: quoted.network, ..*packet }, new);
    let at = quoted.transport;
    match quoted.protocol {
        TCP | UDP => {
            put_u16(frame, at, new.source_port);
            put_u16(frame, at + 2, new.destination_port);
        }
        ICMP | ICMPV6 => put_u16(frame, at + 4, new.source_port),
        _ => {}
    }
    if let Some(field) = checksum_field(quoted.protocol)
        && at + field + 2 <= quoted.end
    {
        let old = u16_at(frame, at + field);
        let fixed = match quoted.protocol {
            ICMP => change.ports.checksum(old),
            UDP => udp(change.addresses.and(change.ports), old, packet.is_v4()),
            _ => change.addresses.and(change.ports).checksum(old),
        };
        put_u16(frame, at + field, fixed);
    }
    finish_icmp(frame, packet);
}

/// Writes the ICMP or ICMPv6 checksum of a packet from scratch, by the addresses now in it.
pub fn finish_icmp(frame: &mut [u8], packet: &Packet) {
    put_u16(frame, packet.transport + 2, 0);
    let value = icmp_checksum(frame, packet);
    put_u16(frame, packet.transport + 2, value);
}

/// Finishes a checksum of which only the pseudo-header's part is there, over the packet that ends at `end`.
pub fn finish_partial(frame: &mut [u8], start: usize, field: usize, end: usize) {
    let value = match checksum::checksum(frame.get(start..end).unwrap_or_default()) {
        // UDP's zero means that there is none (RFC 768); to the others both zeros are the same.
        0 => 0xffff,
        value => value,
    };
    put_u16(frame, start + field, value);
}

/// Whether the checksum of an ICMP or ICMPv6 packet, which is still as it was parsed, is right.
pub fn icmp_is_intact(frame: &[u8], packet: &Packet) -> bool {
    icmp_checksum(frame, packet) == 0
}

fn icmp_checksum(frame: &[u8], packet: &Packet) -> u16 {
    let message = frame.get(packet.transport..packet.end).unwrap_or_default();
    if packet.is_v4() {
        return checksum::checksum(message);
    }
    let source = crate::bytes::ipv6_at(frame, packet.network + 8);
    let destination = crate::bytes::ipv6_at(frame, packet.network + 24);
    checksum::transport(source.into(), destination.into(), ICMPV6, message)
}

/// A UDP checksum of 0 over IPv4 means none was made; a computed 0 is sent as 0xffff (RFC 768).
#[inline]
fn udp(delta: Delta, old: u16, v4: bool) -> u16 {
    if old == 0 && v4 {
        return 0;
    }
    match delta.checksum(old) {
        0 => 0xffff,
        new => new,
    }
}
