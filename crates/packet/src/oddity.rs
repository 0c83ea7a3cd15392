//! What is unusual about a packet's headers?
//!
//! Most packets have no oddity at all: whoever refuses some of them asks one word.

use crate::bytes::u8_at;

macro_rules! oddities {
    ($($(#[doc = $doc:literal])+ $variant:ident,)*) => {
        /// Something that ordinary packets do not have.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Oddity { $($(#[doc = $doc])+ $variant,)* }

        impl Oddity {
            /// All of them, in the order of their bits.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
        }
    };
}

oddities! {
    /// A fragment.
    Fragment,
    /// IPv4 option 137 (RFC 791).
    StrictSourceRouting,
    /// IPv4 option 131 (RFC 791).
    LooseSourceRouting,
    /// IPv4 option 68 (RFC 791).
    Timestamp,
    /// IPv4 option 7 (RFC 791).
    RecordRoute,
    /// IPv4 options 130 and 133 (RFC 1108).
    Security,
    /// IPv4 option 136 (RFC 791, ended by RFC 6814).
    StreamId,
    /// An IPv4 option that is none of those with a meaning.
    UnknownOption,
    /// IPv4 options with a length that cannot be.
    MalformedOption,
    /// A SYN with payload.
    SynWithData,
    /// A SYN-ACK with payload.
    SynAckWithData,
    /// An echo with identifier 0.
    PingZeroId,
    /// A fragment of an ICMP message.
    IcmpFragment,
    /// An ICMP message of more than [`ICMP_BYTES_MAX`].
    IcmpLarge,
    /// An ICMP error.
    IcmpError,
    /// An IPv6 routing header of type 0 (ended by RFC 5095).
    RoutingHeader0,
    /// An IPv6 routing header of type 1 (Nimrod, ended by RFC 5871).
    RoutingHeader1,
    /// An IPv6 routing header of type 3 (RFC 6554).
    RoutingHeader3,
    /// An IPv6 routing header of a type from 4 to 252.
    RoutingHeader4To252,
    /// An IPv6 routing header of type 253 (experiments).
    RoutingHeader253,
    /// An IPv6 routing header of type 254 (experiments).
    RoutingHeader254,
    /// An IPv6 routing header of type 255.
    RoutingHeader255,
    /// An IPv6 routing header of any type.
    RoutingHeader,
    /// A hop-by-hop options header.
    HopByHopHeader,
    /// A destination options header.
    DestinationOptions,
    /// An address of `::/96` other than `::` and `::1`.
    Ipv4Compatible,
    /// A fragment header on a packet that is whole (RFC 6946).
    NeedlessFragmentHeader,
    /// A reserved field of a fragment header that is not zero.
    ReservedField6,
    /// IPv6 options with a length that cannot be.
    InvalidOption6,
    /// An ICMPv6 "packet too big" of less than the smallest MTU (RFC 8201 section 4).
    TooBigSmallMtu,
}

/// ICMP messages larger than this many bytes are odd.
pub const ICMP_BYTES_MAX: usize = 1024;

/// A set of [`Oddity`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oddities(u32);

impl Oddities {
    /// Adds one.
    pub fn insert(&mut self, oddity: Oddity) {
        self.0 |= 1 << oddity as u8;
    }

    /// Takes one away.
    pub fn remove(&mut self, oddity: Oddity) {
        self.0 &= !(1 << oddity as u8);
    }

    /// Adds one on a condition.
    pub(crate) fn insert_if(&mut self, condition: bool, oddity: Oddity) {
        self.0 |= u32::from(condition) << oddity as u8;
    }

    /// Whether it is among them.
    pub fn contains(self, oddity: Oddity) -> bool {
        self.0 & 1 << oddity as u8 != 0
    }

    /// Those of `refused` that are here.
    #[must_use]
    pub fn of(self, refused: Self) -> Self {
        Self(self.0 & refused.0)
    }

    /// The first in the order of [`Oddity::ALL`].
    pub fn first(self) -> Option<Oddity> {
        Oddity::ALL.get(self.0.trailing_zeros() as usize).copied()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds those of another set.
    pub(crate) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// What the options of an IPv4 header ask for. A broken option ends the reading, as routers do not act on
/// what follows it.
pub(crate) fn ipv4_options(mut options: &[u8]) -> Oddities {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    let mut found = Oddities::default();
    while let [kind, rest @ ..] = options {
        if *kind == END {
            break;
        }
        if *kind == NO_OPERATION {
            options = rest;
            continue;
        }
        let (oddity, shortest) = match *kind {
            7 => (Some(Oddity::RecordRoute), 3),
            68 => (Some(Oddity::Timestamp), 4),
            130 | 133 => (Some(Oddity::Security), 3),
            131 => (Some(Oddity::LooseSourceRouting), 3),
            136 => (Some(Oddity::StreamId), 4),
            137 => (Some(Oddity::StrictSourceRouting), 3),
            // Router alert (RFC 2113) and Quick-Start (RFC 4782), which mean no harm.
            148 => (None, 4),
            25 => (None, 8),
            _ => (Some(Oddity::UnknownOption), 2),
        };
        oddity.into_iter().for_each(|oddity| found.insert(oddity));
        let length = rest.first().map_or(0, |length| usize::from(*length));
        match options.get(length..) {
            Some(next) if length >= shortest => options = next,
            _ => {
                found.insert(Oddity::MalformedOption);
                break;
            }
        }
    }
    found
}

/// Whether the options of an IPv6 hop-by-hop or destination options header end where it ends.
pub(crate) fn ipv6_options_are_valid(header: &[u8]) -> bool {
    const PAD1: u8 = 0;
    let mut options = header.get(2..).unwrap_or_default();
    while let [kind, ..] = options {
        let length = if *kind == PAD1 { 1 } else { 2 + usize::from(u8_at(options, 1)) };
        if *kind != PAD1 && options.len() < 2 {
            return false;
        }
        match options.get(length..) {
            Some(next) => options = next,
            None => return false,
        }
    }
    true
}

/// What a routing header is.
pub(crate) fn routing_header(kind: u8) -> Oddities {
    let mut found = Oddities::default();
    found.insert(Oddity::RoutingHeader);
    match kind {
        0 => found.insert(Oddity::RoutingHeader0),
        1 => found.insert(Oddity::RoutingHeader1),
        // Type 2 is that of Mobile IPv6 (RFC 6275).
        2 => {}
        3 => found.insert(Oddity::RoutingHeader3),
        4..=252 => found.insert(Oddity::RoutingHeader4To252),
        253 => found.insert(Oddity::RoutingHeader253),
        254 => found.insert(Oddity::RoutingHeader254),
        255 => found.insert(Oddity::RoutingHeader255),
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(found: Oddities) -> Vec<Oddity> {
        Oddity::ALL.iter().copied().filter(|oddity| found.contains(*oddity)).collect()
    }

    #[test]
    fn options_are_told_apart() {
        use Oddity::*;
        for (options, expected) in [
            (&[1, 1, 1, 0][..], vec![]),
            (&[131, 3, 4, 0], vec![LooseSourceRouting]),
            (&[1, 137, 3, 4], vec![StrictSourceRouting]),
            (&[7, 7, 4, 0, 0, 0, 0, 0], vec![RecordRoute]),
            (&[68, 4, 5, 0, 130, 3, 0, 0], vec![Timestamp, Security]),
            (&[136, 4, 0, 1], vec![StreamId]),
            (&[148, 4, 0, 0], vec![]),
            (&[77, 4, 0, 0], vec![UnknownOption]),
            (&[77, 1, 0, 0], vec![UnknownOption, MalformedOption]),
            (&[7, 9, 4, 0], vec![RecordRoute, MalformedOption]),
            (&[0, 131, 3, 4], vec![]),
            (&[131], vec![LooseSourceRouting, MalformedOption]),
            (&[], vec![]),
        ] {
            assert_eq!(names(ipv4_options(options)), expected, "{options:?}");
        }
    }

    #[test]
    fn ipv6_options_end_with_their_header() {
        for (options, valid) in [
            (&[6, 0, 1, 4, 0, 0, 0, 0][..], true),
            (&[6, 0, 0, 0, 0, 0, 0, 0], true),
            (&[6, 0, 1, 5, 0, 0, 0, 0], false),
            (&[6, 0, 1, 3, 0, 0, 0, 5], false),
            (&[6, 0, 1, 3, 0, 0, 0, 0], true),
        ] {
            assert_eq!(ipv6_options_are_valid(options), valid, "{options:?}");
        }
    }

    #[test]
    fn the_first_of_the_refused_is_named() {
        let mut refused = Oddities::default();
        refused.insert(Oddity::IcmpLarge);
        refused.insert(Oddity::IcmpError);
        let mut packet = Oddities::default();
        assert_eq!(packet.of(refused).first(), None);
        packet.insert(Oddity::Fragment);
        packet.insert(Oddity::IcmpError);
        assert_eq!(packet.of(refused).first(), Some(Oddity::IcmpError));
        assert_eq!(packet.first(), Some(Oddity::Fragment));
    }
}
