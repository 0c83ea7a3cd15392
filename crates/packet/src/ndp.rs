//! Neighbour discovery for IPv6 (RFC 4861): who has this address?

use std::net::{IpAddr, Ipv6Addr};

use crate::answer::{Link, ip_frame};
use crate::bytes::{ipv6_at, mac_at, put_u16, u8_at, u16_at, u32_at};
use crate::checksum;
use crate::ethernet::Mac;
use crate::parse::{ICMPV6, Packet};
use crate::rewrite::icmp_is_intact;

/// ICMPv6 type of a router solicitation.
pub const ROUTER_SOLICITATION: u8 = 133;
/// ICMPv6 type of a router advertisement.
pub const ROUTER_ADVERTISEMENT: u8 = 134;
/// ICMPv6 type of a neighbour solicitation.
pub const SOLICITATION: u8 = 135;
/// ICMPv6 type of a neighbour advertisement.
pub const ADVERTISEMENT: u8 = 136;

/// Hop limit of all neighbour discovery: what crossed a router has less and is refused.
const HOP_LIMIT: u8 = 255;
/// Options that are looked at before the rest is ignored.
const OPTIONS_MAX: usize = 16;

const PREFIX_INFORMATION: u8 = 3;
const SOURCE_LINK_ADDRESS: u8 = 1;
const TARGET_LINK_ADDRESS: u8 = 2;

/// A neighbour discovery message that keeps the rules of RFC 4861 section 7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Who has `target`?
    Solicitation {
        /// Address asked for.
        target: Ipv6Addr,
        /// MAC of the asker; absent when it checks for duplicates.
        mac: Option<Mac>,
    },
    /// `target` is at `mac`.
    Advertisement {
        /// Whose address.
        target: Ipv6Addr,
        /// Where it is; may be absent in an answer to a unicast question.
        mac: Option<Mac>,
        /// It answers a question.
        solicited: bool,
    },
}

impl Message {
    /// Reads an ICMPv6 packet of type 135 or 136. `None` when it breaks the rules.
    pub fn read(frame: &[u8], packet: &Packet) -> Option<Self> {
        let message = frame.get(packet.transport..packet.end)?;
        let valid = packet.ttl == HOP_LIMIT
            && packet.protocol == ICMPV6
            && message.len() >= 24
            && u8_at(message, 1) == 0
            && icmp_is_intact(frame, packet);
        let target = ipv6_at(message, 8);
        if !valid || target.is_multicast() {
            return None;
        }
        let options = message.get(24..)?;
        match u8_at(message, 0) {
            SOLICITATION => {
                let mac = link_address(options, SOURCE_LINK_ADDRESS)?;
                let unspecified = packet.source == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
                // A duplicate-address check must not claim a MAC.
                (!(unspecified && mac.is_some())).then_some(Self::Solicitation { target, mac })
            }
            ADVERTISEMENT => {
                let solicited = u8_at(message, 4) & 0x40 != 0;
                let to_group = matches!(packet.destination, IpAddr::V6(v6) if v6.is_multicast());
                let mac = link_address(options, TARGET_LINK_ADDRESS)?;
                (!(to_group && solicited)).then_some(Self::Advertisement { target, mac, solicited })
            }
            _ => None,
        }
    }
}

/// What a router says about its link (RFC 4861 section 4.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouterAdvertisement {
    /// How long it may be the default router; 0 means that it is none.
    pub lifetime_s: u16,
    /// The link's networks, as many as options are looked at.
    pub prefixes: Vec<Prefix>,
}

/// A network of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Its address, with whatever bits beyond its length were sent.
    pub network: Ipv6Addr,
    /// Its length in bits, at most 128.
    pub length: u8,
    /// Its hosts are neighbours.
    pub on_link: bool,
    /// Hosts make themselves an address in it.
    pub autonomous: bool,
    /// How long an address in it may be used; `u32::MAX` is for ever.
    pub valid_s: u32,
    /// How long such an address is preferred.
    pub preferred_s: u32,
}

impl RouterAdvertisement {
    /// Reads the ICMPv6 message of a packet that keeps the rules of RFC 4861 section 6.1.2.
    pub fn of(frame: &[u8], packet: &Packet) -> Option<Self> {
        let from_router = matches!(packet.source, IpAddr::V6(source) if source.is_unicast_link_local());
        let valid =
            packet.ttl == HOP_LIMIT && packet.protocol == ICMPV6 && from_router && icmp_is_intact(frame, packet);
        if valid { Self::read(frame.get(packet.transport..packet.end)?) } else { None }
    }

    /// Reads an ICMPv6 message of type 134 whose packet was found right.
    pub fn read(message: &[u8]) -> Option<Self> {
        if message.len() < 16 || message[0] != ROUTER_ADVERTISEMENT || message[1] != 0 {
            return None;
        }
        let mut prefixes = Vec::new();
        let mut options = message.get(16..)?;
        for _ in 0..OPTIONS_MAX {
            if options.is_empty() {
                break;
            }
            let length = usize::from(u8_at(options, 1)) * 8;
            let option = options.get(..length).filter(|option| !option.is_empty())?;
            if u8_at(option, 0) == PREFIX_INFORMATION && length == 32 && u8_at(option, 2) <= 128 {
                prefixes.push(Prefix {
                    network: ipv6_at(option, 16),
                    length: u8_at(option, 2),
                    on_link: u8_at(option, 3) & 0x80 != 0,
                    autonomous: u8_at(option, 3) & 0x40 != 0,
                    valid_s: u32_at(option, 4),
                    preferred_s: u32_at(option, 8),
                });
            }
            options = options.get(length..)?;
        }
        Some(Self { lifetime_s: u16_at(message, 6), prefixes })
    }
}

/// The question to all routers of a link.
pub fn solicit_routers(mac: Mac) -> Vec<u8> {
    let (source, group) = (link_local(mac), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2));
    let mut bytes = vec![ROUTER_SOLICITATION, 0, 0, 0, 0, 0, 0, 0, SOURCE_LINK_ADDRESS, 1];
    bytes.extend(mac);
    let value = checksum::transport(source.into(), group.into(), ICMPV6, &bytes);
    put_u16(&mut bytes, 2, value);
    let link = Link { source: mac, destination: [0x33, 0x33, 0, 0, 0, 2] };
    ip_frame(link, source.into(), group.into(), ICMPV6, HOP_LIMIT, &bytes)
}

/// The option's MAC, if it is there; `None` outside when an option is broken.
fn link_address(mut options: &[u8], kind: u8) -> Option<Option<Mac>> {
    let mut found = None;
    for _ in 0..OPTIONS_MAX {
        if options.is_empty() {
            break;
        }
        let length = usize::from(u8_at(options, 1)) * 8;
        if length == 0 || length > options.len() {
            return None;
        }
        if u8_at(options, 0) == kind && length == 8 {
            found = Some(mac_at(options, 2));
        }
        options = options.get(length..)?;
    }
    Some(found)
}

/// The question for `target`, to its solicited-node group.
pub fn solicit(mac: Mac, source: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let [.., a, b, c] = target.octets();
    let group = Ipv6Addr::from_bits(
        (0xff02_0000_0000_0000_0000_0001_ff00_0000_u128 & !0xff_ffff) | u128::from(u32::from_be_bytes([0, a, b, c])),
    );
    let link = Link { source: mac, destination: [0x33, 0x33, 0xff, a, b, c] };
    message(link, source, group, [SOLICITATION, 0], 0, target, (SOURCE_LINK_ADDRESS, mac))
}

/// The answer that `target` is at `mac`; to all nodes when the asker has no address yet.
pub fn advertise(mac: Mac, asker_mac: Mac, asker: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let anonymous = asker.is_unspecified();
    let (destination, destination_mac) = if anonymous {
        (Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), [0x33, 0x33, 0, 0, 0, 1])
    } else {
        (asker, asker_mac)
    };
    // Router and override always; solicited only towards somebody.
    let flags = if anonymous { 0xa0 } else { 0xe0 };
    let link = Link { source: mac, destination: destination_mac };
    message(link, target, destination, [ADVERTISEMENT, 0], flags, target, (TARGET_LINK_ADDRESS, mac))
}

fn message(
    link: Link,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    kind: [u8; 2],
    flags: u8,
    target: Ipv6Addr,
    option: (u8, Mac),
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32);
    bytes.extend(kind);
    bytes.extend([0, 0, flags, 0, 0, 0]);
    bytes.extend(target.octets());
    bytes.extend([option.0, 1]);
    bytes.extend(option.1);
    let value = checksum::transport(source.into(), destination.into(), ICMPV6, &bytes);
    put_u16(&mut bytes, 2, value);
    ip_frame(link, source.into(), destination.into(), ICMPV6, HOP_LIMIT, &bytes)
}

/// The link-local address of an interface: fe80::/64 with the modified EUI-64 of its MAC (RFC 4291).
pub fn link_local(mac: Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac;
    let identifier = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    Ipv6Addr::from_bits((0xfe80_u128 << 112) | u128::from(identifier))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Meta;
    use crate::parse::{Parsed, parse};

    const US: Mac = [2, 0, 0, 0, 0, 1];
    const THEM: Mac = [2, 0, 0, 0, 0, 2];

    fn read(frame: &[u8]) -> Option<Message> {
        let Ok(Parsed::Ip(packet)) = parse(frame, Meta::default()) else { panic!("not IP") };
        Message::read(frame, &packet)
    }

    #[test]
    fn question_and_answer() {
        let target: Ipv6Addr = "2001:db8::2".parse().unwrap();
        let asker: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let question = solicit(US, asker, target);
        assert_eq!(&question[..6], [0x33, 0x33, 0xff, 0, 0, 2]);
        assert_eq!(read(&question), Some(Message::Solicitation { target, mac: Some(US) }));
        let answer = advertise(THEM, US, asker, target);
        assert_eq!(read(&answer), Some(Message::Advertisement { target, mac: Some(THEM), solicited: true }));
    }

    #[test]
    fn an_advertisement_is_read_with_its_prefixes_and_broken_ones_are_not() {
        let mut message = vec![ROUTER_ADVERTISEMENT, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
        message.extend([1, 1, 2, 0, 0, 0, 0, 9]);
        message.extend([3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x07, 0x08, 0, 0, 0, 0]);
        message.extend("2001:db8:7::".parse::<Ipv6Addr>().unwrap().octets());
        let found = RouterAdvertisement::read(&message).unwrap();
        assert_eq!(found.lifetime_s, 1800);
        assert_eq!(
            found.prefixes,
            [Prefix {
                network: "2001:db8:7::".parse().unwrap(),
                length: 64,
                on_link: true,
                autonomous: true,
                valid_s: 3600,
                preferred_s: 1800
            }]
        );
        for length in 0..message.len() {
            // Cut between options it is shorter, anywhere else it is broken.
            assert_eq!(RouterAdvertisement::read(&message[..length]).is_some(), matches!(length, 16 | 24), "{length}");
        }
        let mut loops = message.clone();
        loops[17] = 0;
        assert_eq!(RouterAdvertisement::read(&loops), None, "an option without length");
    }

    #[test]
    fn routers_are_asked_as_a_group() {
        let question = solicit_routers(US);
        let Ok(Parsed::Ip(packet)) = parse(&question, Meta::default()) else { panic!("not IP") };
        assert_eq!((packet.ttl, packet.destination.to_string()), (255, "ff02::2".to_owned()));
        assert!(icmp_is_intact(&question, &packet));
    }

    #[test]
    fn a_routed_message_is_refused() {
        let mut question = solicit(US, "2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        question[21] = 254;
        assert_eq!(read(&question), None);
    }

    #[test]
    fn a_corrupt_message_is_refused() {
        let mut question = solicit(US, "2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        question[70] ^= 1;
        assert_eq!(read(&question), None);
    }

    #[test]
    fn link_local_by_the_rfc_example() {
        // RFC 2464 section 4: 34-56-78-9A-BC-DE.
        assert_eq!(
            link_local([0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde]),
            "fe80::3656:78ff:fe9a:bcde".parse::<Ipv6Addr>().unwrap()
        );
    }
}
