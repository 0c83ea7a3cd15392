//! The internet checksum: what is it over these bytes, and how does it change when a field changes?
//!
//! Incremental updates follow RFC 1624, equation 3. A [`Delta`] is computed once per session and applied
//! to each of its packets.

use std::net::IpAddr;

use crate::bytes::{put_u16, u16_at};

/// The one's complement sum of bytes, folded to 16 bits, not complemented.
pub fn sum(bytes: &[u8]) -> u16 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut total: u64 = words.iter().map(|word| u64::from(u32::from_be_bytes(*word))).sum();
    let mut last = [0; 4];
    if let Some(place) = last.get_mut(..rest.len()) {
        place.copy_from_slice(rest);
    }
    total += u64::from(u32::from_be_bytes(last));
    fold(total)
}

/// The checksum of bytes whose checksum field is zero; 0 when the field holds a right checksum.
pub fn checksum(bytes: &[u8]) -> u16 {
    !sum(bytes)
}

/// The sum of the pseudo-header of TCP, UDP and ICMPv6 (RFC 9293 section 3.1, RFC 8200 section 8.1).
pub fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> u16 {
    let addresses = u64::from(address_sum(source)) + u64::from(address_sum(destination));
    fold(addresses + u64::from(protocol) + length as u64)
}

/// The checksum of a transport message with its field zeroed.
pub fn transport(source: IpAddr, destination: IpAddr, protocol: u8, message: &[u8]) -> u16 {
    let pseudo = pseudo_header(source, destination, protocol, message.len());
    !fold(u64::from(pseudo) + u64::from(sum(message)))
}

/// A change of a one's complement sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta(u16);

impl Delta {
    /// What a hop does to the IPv4 header: the TTL, the upper half of its word, goes down by one.
    pub const HOP: Self = Self(!0x0100);

    /// One 16-bit field went from `old` to `new`.
    pub fn word(old: u16, new: u16) -> Self {
        Self(fold(u64::from(!old) + u64::from(new)))
    }

    /// A 32-bit field went from `old` to `new`.
    pub fn long(old: u32, new: u32) -> Self {
        Self::word(fold(u64::from(old)), fold(u64::from(new)))
    }

    /// The same change in a field that begins at an odd byte (RFC 1071 section 2).
    #[must_use]
    pub fn swapped(self) -> Self {
        Self(self.0.swap_bytes())
    }

    /// An address of one family was replaced by another of the same family.
    pub fn address(old: IpAddr, new: IpAddr) -> Self {
        Self::word(address_sum(old), address_sum(new))
    }

    /// Both changes.
    #[inline]
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(fold(u64::from(self.0) + u64::from(other.0)))
    }

    /// The checksum after the change.
    #[inline]
    pub fn checksum(self, old: u16) -> u16 {
        !fold(u64::from(!old) + u64::from(self.0))
    }

    /// The sum (not complemented) after the change: for fields that hold only a pseudo-header sum.
    #[inline]
    pub fn sum(self, old: u16) -> u16 {
        fold(u64::from(old) + u64::from(self.0))
    }

    /// Updates a whole checksum in place.
    #[inline]
    pub fn apply(self, bytes: &mut [u8], at: usize) {
        let new = self.checksum(u16_at(bytes, at));
        put_u16(bytes, at, new);
    }
}

fn address_sum(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(v4) => fold(u64::from(v4.to_bits())),
        IpAddr::V6(v6) => sum(&v6.octets()),
    }
}

#[inline]
fn fold(total: u64) -> u16 {
    let total = (total >> 32) + (total & 0xffff_ffff);
    let total = (total >> 16) + (total & 0xffff);
    let total = (total >> 16) + (total & 0xffff);
    let total = (total >> 16) + (total & 0xffff);
    total as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_1071_example() {
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
    }

    #[test]
    fn odd_length_pads_with_zero() {
        assert_eq!(sum(&[1, 2, 3]), sum(&[1, 2, 3, 0]));
    }

    #[test]
    fn rfc_1624_corner_case() {
        // The example of RFC 1624 section 4: 0xDD2F with the field 0x5555 -> 0x3285 gives 0x0000.
        assert_eq!(Delta::word(0x5555, 0x3285).checksum(0xdd2f), 0x0000);
    }

    #[test]
    fn hop_is_ttl_minus_one() {
        assert_eq!(Delta::HOP, Delta::word(0x4006, 0x3f06));
    }
}
