//! VXLAN (RFC 7348): which segment does this Ethernet frame belong to?

use crate::bytes::u32_at;
use crate::tunnel::BadTunnel;

/// Length of the header; an Ethernet frame follows.
pub const HEADER_BYTES: usize = 8;

/// The flag that says that there is a network identifier.
const IDENTIFIED: u8 = 0x08;

/// A virtual network identifier, 24 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vni(u32);

impl Vni {
    /// The largest there is.
    pub const MAX: u32 = 0x00ff_ffff;

    /// `None` for a number that has more than 24 bits.
    pub fn new(number: u32) -> Option<Self> {
        (number <= Self::MAX).then_some(Self(number))
    }

    /// Its number.
    pub fn number(self) -> u32 {
        self.0
    }

    /// From the word it is the upper 24 bits of.
    pub(crate) fn of_word(word: u32) -> Self {
        Self(word >> 8)
    }

    /// The word it is the upper 24 bits of, the lower eight zero.
    pub(crate) fn word(self) -> u32 {
        self.0 << 8
    }
}

/// Reads the header at the start of a UDP payload. Reserved bits are ignored, as the RFC asks.
///
/// # Errors
/// When it is cut short or names no network.
pub fn read(payload: &[u8]) -> Result<Vni, BadTunnel> {
    let Some(header) = payload.first_chunk::<HEADER_BYTES>() else { return Err(BadTunnel::Truncated) };
    if header[0] & IDENTIFIED == 0 {
        return Err(BadTunnel::NoIdentifier);
    }
    Ok(Vni::of_word(u32_at(header, 4)))
}

/// The header for a network.
pub fn header(vni: Vni) -> [u8; HEADER_BYTES] {
    let [a, b, c, _] = vni.word().to_be_bytes();
    [IDENTIFIED, 0, 0, 0, a, b, c, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_made() {
        let vni = Vni::new(0x12_3456).unwrap();
        assert_eq!(header(vni), [8, 0, 0, 0, 0x12, 0x34, 0x56, 0]);
        assert_eq!(read(&header(vni)), Ok(vni));
        assert_eq!(Vni::new(Vni::MAX + 1), None);
    }

    #[test]
    fn without_identifier_or_cut_short_it_is_refused() {
        assert_eq!(read(&[0; 8]), Err(BadTunnel::NoIdentifier));
        assert_eq!(read(&[8; 7]), Err(BadTunnel::Truncated));
    }
}
