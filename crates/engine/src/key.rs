//! How does the session table spell one direction of a conversation?
//!
//! A fixed 40 bytes for both families, so that comparing is five words and hashing an IPv4 flow is two.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bartizan_packet::parse::{Embedded, Layer4, Packet};
use bartizan_packet::plain::Plain;
use bartizan_packet::rewrite::Tuple;

use crate::steer::worker_for;
use crate::verdict::FlowKey;

/// The realm of flows on the link to the host's own TCP.
pub(crate) const LOCAL_REALM: u16 = u16::MAX;

const V6: u64 = 1 << 0;
/// Echo requests and replies of the same identifier are different flows: two hosts may ping one another
/// with the same one.
const ECHO_REPLY: u64 = 1 << 1;

/// A [`FlowKey`], packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Key {
    /// Realm 16, source port 16, destination port 16, protocol 8, flags 8.
    meta: u64,
    /// IPv4: both addresses in the first word. IPv6: source, destination.
    words: [u64; 4],
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [first, rest @ ..] = self.words;
        state.write_u64(self.meta);
        state.write_u64(first);
        if self.meta & V6 != 0 {
            rest.into_iter().for_each(|word| state.write_u64(word));
        }
    }
}

impl Key {
    pub(crate) fn new(flow: &FlowKey, echo_reply: bool) -> Self {
        let FlowKey { realm, source, destination, protocol, source_port, destination_port } = *flow;
        Self::pack(realm, (source, destination), protocol, (source_port, destination_port), echo_reply)
    }

    /// The flow a packet belongs to.
    #[inline]
    pub(crate) fn of(packet: &Packet, realm: u16) -> Self {
        let reply = matches!(packet.layer4, Layer4::Echo { reply: true, .. });
        Self::pack(realm, (packet.source, packet.destination), packet.protocol, packet.ports(), reply)
    }

    /// The same for a plain packet.
    #[inline]
    pub(crate) fn of_plain(plain: &Plain, realm: u16) -> Self {
        let family = if plain.v4 { 0 } else { V6 };
        let meta = u64::from(realm) << 48 | u64::from(plain.ports) << 16 | u64::from(plain.protocol) << 8 | family;
        Self { meta, words: plain.addresses }
    }

    #[inline]
    fn pack(
        realm: u16,
        addresses: (IpAddr, IpAddr),
        protocol: u8,
        (source_port, destination_port): (u16, u16),
        echo_reply: bool,
    ) -> Self {
        let mut meta = u64::from(realm) << 48
            | u64::from(source_port) << 32
            | u64::from(destination_port) << 16
            | u64::from(protocol) << 8;
        if echo_reply {
            meta |= ECHO_REPLY;
        }
        let words = match addresses {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                [u64::from(source.to_bits()) << 32 | u64::from(destination.to_bits()), 0, 0, 0]
            }
            (source, destination) => {
                meta |= V6;
                let (source, destination) = (v6_bits(source), v6_bits(destination));
                [(source >> 64) as u64, source as u64, (destination >> 64) as u64, destination as u64]
            }
        };
        Self { meta, words }
    }

    /// The flow that answers the packet quoted in an ICMP error: the error travels with it.
    pub(crate) fn answering(quoted: &Embedded, realm: u16) -> Self {
        let echo = matches!(quoted.protocol, 1 | 58);
        let (source_port, destination_port) =
            if echo { (quoted.source_port, 0) } else { (quoted.destination_port, quoted.source_port) };
        let flow = FlowKey {
            realm,
            source: quoted.destination,
            destination: quoted.source,
            protocol: quoted.protocol,
            source_port,
            destination_port,
        };
        Self::new(&flow, echo && !quoted.echo_reply)
    }

    /// The flow that answers this one.
    pub(crate) fn answer(&self) -> Self {
        let Tuple { source, destination, source_port, destination_port } = self.answered();
        let reply = matches!(self.protocol(), 1 | 58) && self.meta & ECHO_REPLY == 0;
        Self::pack(self.realm(), (source, destination), self.protocol(), (source_port, destination_port), reply)
    }

    pub(crate) fn flow(&self) -> FlowKey {
        let (source, destination) = self.addresses();
        FlowKey {
            realm: self.realm(),
            source,
            destination,
            protocol: self.protocol(),
            source_port: (self.meta >> 32) as u16,
            destination_port: (self.meta >> 16) as u16,
        }
    }

    /// The flow as workers speak of it. Hosts that ping one another with the same identifier have two sessions: a
    /// reply has destination port 1, so that it is not taken for the other's request.
    pub(crate) fn steered(&self) -> FlowKey {
        let flow = self.flow();
        let reply = u16::from(self.meta & ECHO_REPLY != 0);
        FlowKey { destination_port: flow.destination_port | reply, ..flow }
    }

    pub(crate) fn tuple(&self) -> Tuple {
        let flow = self.flow();
        Tuple {
            source: flow.source,
            destination: flow.destination,
            source_port: flow.source_port,
            destination_port: flow.destination_port,
        }
    }

    /// What packets say that this flow answers.
    #[inline]
    pub(crate) fn answered(&self) -> Tuple {
        answer(self.protocol(), &self.tuple())
    }

    /// [`Self::answered`] for TCP and UDP, as the addresses and ports of a [`Plain`].
    #[inline]
    pub(crate) fn answered_plain(&self) -> ([u64; 4], u32) {
        let [a, b, c, d] = self.words;
        let addresses = if self.meta & V6 == 0 { [a.rotate_left(32), 0, 0, 0] } else { [c, d, a, b] };
        (addresses, ((self.meta >> 16) as u32).rotate_left(16))
    }

    #[inline]
    pub(crate) fn realm(&self) -> u16 {
        (self.meta >> 48) as u16
    }

    /// The same flow in another realm.
    pub(crate) fn in_realm(mut self, realm: u16) -> Self {
        self.meta = (self.meta & (u64::MAX >> 16)) | u64::from(realm) << 48;
        self
    }

    pub(crate) fn protocol(&self) -> u8 {
        (self.meta >> 8) as u8
    }

    /// The worker that frames of this flow arrive at.
    pub(crate) fn worker(&self, workers: u16) -> u16 {
        let flow = self.flow();
        worker_for(flow.source, flow.destination, flow.protocol, flow.source_port, flow.destination_port, workers)
    }

    fn addresses(&self) -> (IpAddr, IpAddr) {
        let [a, b, c, d] = self.words;
        if self.meta & V6 == 0 {
            return (Ipv4Addr::from_bits((a >> 32) as u32).into(), Ipv4Addr::from_bits(a as u32).into());
        }
        let join = |high: u64, low: u64| Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)).into();
        (join(a, b), join(c, d))
    }
}

fn v6_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The flow that answers one with this tuple.
pub(crate) fn reverse(realm: u16, protocol: u8, tuple: &Tuple) -> Key {
    let Tuple { source, destination, source_port, destination_port } = answer(protocol, tuple);
    let flow = FlowKey { realm, source, destination, protocol, source_port, destination_port };
    Key::new(&flow, matches!(protocol, 1 | 58))
}

/// The tuple of an answer. An echo keeps its identifier in the source port.
#[inline]
fn answer(protocol: u8, tuple: &Tuple) -> Tuple {
    let echo = matches!(protocol, 1 | 58);
    let (source_port, destination_port) =
        if echo { (tuple.source_port, 0) } else { (tuple.destination_port, tuple.source_port) };
    Tuple { source: tuple.destination, destination: tuple.source, source_port, destination_port }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(source: &str, destination: &str, protocol: u8) -> FlowKey {
        FlowKey {
            realm: 3,
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            protocol,
            source_port: 40_000,
            destination_port: 443,
        }
    }

    #[test]
    fn nothing_is_lost_in_packing() {
        for flow in [flow("10.0.0.5", "192.0.2.9", 6), flow("2001:db8::5", "2001:db8:1::9", 17)] {
            assert_eq!(Key::new(&flow, false).flow(), flow);
        }
    }

    #[test]
    fn mapped_addresses_are_not_their_ipv4_twins() {
        let v4 = Key::new(&flow("10.0.0.5", "192.0.2.9", 6), false);
        let mapped = Key::new(&flow("::ffff:10.0.0.5", "::ffff:192.0.2.9", 6), false);
        assert_ne!(v4, mapped);
    }

    #[test]
    fn echo_requests_and_replies_differ() {
        let mut echo = flow("10.0.0.5", "192.0.2.9", 1);
        echo.destination_port = 0;
        assert_ne!(Key::new(&echo, false), Key::new(&echo, true));
        assert_ne!(Key::new(&echo, false).steered(), Key::new(&echo, true).steered());
        assert_eq!(reverse(3, 1, &Key::new(&echo, false).tuple()).flow().source_port, 40_000);
        let request = Key::new(&echo, false);
        assert_eq!((request.answer(), request.answer().answer()), (reverse(3, 1, &request.tuple()), request));
    }
}
