//! Ethernet: who is a frame for, and what does it carry?

use crate::bytes::{mac_at, put, put_u16, u16_at};

/// A MAC address.
pub type Mac = [u8; 6];

/// Every station on the link.
pub const BROADCAST: Mac = [0xff; 6];

/// Length of the header without a VLAN tag.
pub const HEADER_BYTES: usize = 14;

/// Ethernet type of IPv4.
pub const IPV4: u16 = 0x0800;
/// Ethernet type of ARP.
pub const ARP: u16 = 0x0806;
/// Ethernet type of IPv6.
pub const IPV6: u16 = 0x86dd;

/// Destination of a frame.
#[inline]
pub fn destination(frame: &[u8]) -> Mac {
    mac_at(frame, 0)
}

/// Source of a frame.
#[inline]
pub fn source(frame: &[u8]) -> Mac {
    mac_at(frame, 6)
}

/// Ethernet type of a frame.
#[inline]
pub fn kind(frame: &[u8]) -> u16 {
    u16_at(frame, 12)
}

/// Whether the address names a group of stations.
#[inline]
pub fn is_group(mac: Mac) -> bool {
    mac[0] & 1 == 1
}

/// Rewrites both addresses.
#[inline]
pub fn address(frame: &mut [u8], destination: Mac, source: Mac) {
    put(frame, 0, &destination);
    put(frame, 6, &source);
}

/// A new frame: header, then `capacity` bytes of room.
pub fn frame(destination: Mac, source: Mac, kind: u16, capacity: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + capacity);
    bytes.resize(HEADER_BYTES, 0);
    address(&mut bytes, destination, source);
    put_u16(&mut bytes, 12, kind);
    bytes
}
