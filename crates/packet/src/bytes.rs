//! How is a number read from or written to a place in a packet, whatever the packet's length?
//!
//! Reads beyond the end give zero and writes beyond it do nothing, so that no arithmetic on hostile
//! lengths can panic; callers check lengths first and get the truth.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One byte.
pub fn u8_at(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// Two bytes, network order.
#[inline]
pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    array_at(bytes, at).map_or(0, u16::from_be_bytes)
}

/// Four bytes, network order.
#[inline]
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    array_at(bytes, at).map_or(0, u32::from_be_bytes)
}

/// A MAC address.
#[inline]
pub fn mac_at(bytes: &[u8], at: usize) -> [u8; 6] {
    array_at(bytes, at).unwrap_or([0; 6])
}

/// An IPv4 address.
#[inline]
pub fn ipv4_at(bytes: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32_at(bytes, at))
}

/// An IPv6 address.
#[inline]
pub fn ipv6_at(bytes: &[u8], at: usize) -> Ipv6Addr {
    Ipv6Addr::from_bits(array_at(bytes, at).map_or(0, u128::from_be_bytes))
}

/// Overwrites bytes in place.
#[inline]
pub fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = at.checked_add(value.len()).and_then(|end| bytes.get_mut(at..end)) {
        place.copy_from_slice(value);
    }
}

/// Overwrites two bytes, network order.
#[inline]
pub fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    put(bytes, at, &value.to_be_bytes());
}

/// Overwrites an address of either family.
#[inline]
pub fn put_address(bytes: &mut [u8], at: usize, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => put(bytes, at, &v4.octets()),
        IpAddr::V6(v6) => put(bytes, at, &v6.octets()),
    }
}

#[inline]
fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}
