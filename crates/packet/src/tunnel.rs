//! Tunnels over UDP: where does the inner packet begin, and how is a packet sent back the way another came?
//!
//! A [`Capsule`] is where the headers around an inner packet stand in a frame that was received. Turning it
//! swaps the ends and keeps everything else, options bit for bit; a [`Prefix`] is a turned copy of the
//! headers, to be put in front of packets that came another way.

use std::net::IpAddr;

use crate::bytes::{ipv4_at, ipv6_at, mac_at, put, put_u16, u8_at, u16_at};
use crate::checksum::{self, Delta};
use crate::ethernet;
use crate::geneve::{self, Geneve};
use crate::parse::{Packet, UDP};
use crate::plain::Plain;
use crate::vxlan::{self, Vni};

/// TTL and hop limit of packets that carry others.
const TTL: u8 = 64;
const UDP_HEADER_BYTES: usize = 8;
/// The UDP header behind a plain IPv4 header.
const PLAIN_TRANSPORT: usize = ethernet::HEADER_BYTES + 20;
/// Encapsulations around one packet: VXLAN, GENEVE, or VXLAN inside of GENEVE.
pub const LAYERS_MAX: usize = 2;

/// Why a tunnel packet is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadTunnel {
    /// Shorter than its headers claim.
    Truncated,
    /// VXLAN without a network identifier.
    NoIdentifier,
    /// A version of GENEVE that is not known.
    Version,
    /// A GENEVE message for the tunnel's ends, not a packet.
    Control,
    /// It carries neither Ethernet nor IP.
    Protocol,
    /// A GENEVE option that is cut short, of the wrong length, there twice, or critical and unknown.
    Option,
}

/// The two encapsulations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encapsulation {
    /// RFC 7348.
    Vxlan,
    /// RFC 8926.
    Geneve,
}

/// One encapsulation: offsets from the start of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its IP header.
    pub network: usize,
    /// Its UDP header.
    pub transport: usize,
    /// Its IP header is IPv4.
    pub v4: bool,
    /// What follows the UDP header.
    pub encapsulation: Encapsulation,
}

/// What a capsule carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// A whole Ethernet frame.
    Ethernet,
    /// An IP packet of this Ethernet type.
    Ip(u16),
}

/// The headers around an inner packet, by where they stand in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capsule {
    first: Layer,
    nested: Option<Layer>,
    /// Where what it carries begins.
    pub inner: usize,
    /// What it carries.
    pub carries: Carries,
}

/// Whose tunnel packet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// Of a VXLAN network.
    Network(Vni),
    /// Of an AWS endpoint.
    Endpoint(u64),
    /// Of a Google Cloud network.
    Google(u32),
}

/// A [`Capsule`] of one encapsulation right behind a plain IPv4 header, in less space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainCapsule {
    inner: u16,
    /// Ethernet type of what it carries.
    kind: u16,
}

impl PlainCapsule {
    /// Opens a plain UDP packet of the frame; `None` for what is not plain or cannot be read.
    #[inline(always)]
    pub fn open(frame: &[u8], plain: &Plain, encapsulation: Encapsulation) -> Option<(Self, Named)> {
        let header = PLAIN_TRANSPORT + UDP_HEADER_BYTES;
        let payload = frame.get(header..plain.end as usize).filter(|_| plain.v4)?;
        let (header_bytes, kind, named) = match encapsulation {
            Encapsulation::Vxlan => (vxlan::HEADER_BYTES, geneve::ETHERNET, Named::Network(vxlan::read(payload).ok()?)),
            Encapsulation::Geneve => {
                let (geneve, facts) = Geneve::read_facts(payload).ok()?;
                let named = match (facts.aws_endpoint, facts.google_network) {
                    (Some(endpoint), _) => Named::Endpoint(endpoint),
                    (None, Some(network)) => Named::Google(network.id()),
                    (None, None) => return None,
                };
                (geneve.header_bytes(), geneve.protocol, named)
            }
        };
        Some((Self { inner: u16::try_from(header + header_bytes).ok()?, kind }, named))
    }

    /// Ethernet type of the inner packet.
    #[inline]
    pub fn kind(&self, frame: &[u8]) -> u16 {
        if self.kind == geneve::ETHERNET { u16_at(frame, usize::from(self.inner) + 12) } else { self.kind }
    }

    /// Where the inner IP header begins.
    #[inline]
    pub fn inner_network(&self) -> usize {
        usize::from(self.inner) + if self.kind == geneve::ETHERNET { ethernet::HEADER_BYTES } else { 0 }
    }

    /// [`Capsule::turn`] of a frame whose UDP checksum is 0; inner Ethernet addresses stay.
    #[inline]
    pub fn turn(&self, frame: &mut [u8], other: Option<(u16, Vni)>) {
        let Some(header) = frame.first_chunk_mut::<PLAIN_TRANSPORT>() else { return };
        let (macs, ip) = header.split_at_mut(ethernet::HEADER_BYTES);
        if let Some(macs) = macs.first_chunk_mut::<12>() {
            let [a, b, c, d, e, f, rest @ ..] = *macs;
            macs[..6].copy_from_slice(&rest);
            macs[6..].copy_from_slice(&[a, b, c, d, e, f]);
        }
        if let Some(ip) = ip.first_chunk_mut::<20>() {
            let old = u16_at(ip, 8);
            let new = u16::from(TTL) << 8 | (old & 0xff);
            ip[8] = TTL;
            Delta::word(old, new).apply(ip, 10);
            if let Some(addresses) = ip.last_chunk_mut::<8>() {
                *addresses = u64::from_ne_bytes(*addresses).rotate_left(32).to_ne_bytes();
            }
        }
        if let Some((port, vni)) = other {
            put_u16(frame, PLAIN_TRANSPORT + 2, port);
            put(frame, PLAIN_TRANSPORT + UDP_HEADER_BYTES, &vxlan::header(vni));
        }
    }
}

/// What changes when a capsule is turned, beside its ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// It goes on by another tunnel of the same peer: UDP port and network there.
    pub other: Option<(u16, Vni)>,
    /// The inner Ethernet addresses change places too: it goes back to the inner sender.
    pub inner_addresses: bool,
}

impl Capsule {
    /// Opens a UDP packet of the frame.
    ///
    /// # Errors
    /// When its tunnel header cannot be read.
    pub fn open(frame: &[u8], packet: &Packet, encapsulation: Encapsulation) -> Result<Self, BadTunnel> {
        let Packet { network, transport, end, .. } = *packet;
        Self::open_behind(frame, Layer { network, transport, v4: packet.is_v4(), encapsulation }, end)
    }

    fn open_behind(frame: &[u8], first: Layer, end: usize) -> Result<Self, BadTunnel> {
        let payload = frame.get(first.header()..end).ok_or(BadTunnel::Truncated)?;
        match first.encapsulation {
            Encapsulation::Geneve => Self::behind_geneve(first, payload, &Geneve::read(payload)?),
            Encapsulation::Vxlan => {
                vxlan::read(payload)?;
                Self::behind(first, payload, vxlan::HEADER_BYTES, Carries::Ethernet)
            }
        }
    }

    #[inline]
    fn behind_geneve(first: Layer, payload: &[u8], geneve: &Geneve<'_>) -> Result<Self, BadTunnel> {
        let carries = match geneve.protocol {
            geneve::ETHERNET => Carries::Ethernet,
            kind => Carries::Ip(kind),
        };
        Self::behind(first, payload, geneve.header_bytes(), carries)
    }

    #[inline]
    fn behind(first: Layer, payload: &[u8], header_bytes: usize, carries: Carries) -> Result<Self, BadTunnel> {
        let least = if carries == Carries::Ethernet { ethernet::HEADER_BYTES } else { 20 };
        if payload.len() < header_bytes + least {
            return Err(BadTunnel::Truncated);
        }
        Ok(Self { first, nested: None, inner: first.header() + header_bytes, carries })
    }

    /// Opens the tunnel packet inside of this one; `packet` was read from the same frame.
    ///
    /// # Errors
    /// When its tunnel header cannot be read.
    pub fn open_nested(&self, frame: &[u8], packet: &Packet, encapsulation: Encapsulation) -> Result<Self, BadTunnel> {
        let inside = Self::open(frame, packet, encapsulation)?;
        Ok(Self { first: self.first, nested: Some(inside.first), ..inside })
    }

    /// The encapsulations, the outermost first.
    #[inline]
    pub fn layers(&self) -> impl DoubleEndedIterator<Item = Layer> {
        [Some(self.first), self.nested].into_iter().flatten()
    }

    /// The headers of a received frame, not turned, around another IP packet; `None` when it is too long.
    pub fn around(&self, headers: &[u8], packet: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = headers.get(..self.inner_network())?.to_vec();
        bytes.extend_from_slice(packet);
        let end = Some(bytes.len()).filter(|end| *end <= usize::from(u16::MAX))?;
        for layer in self.layers().rev() {
            layer.set_lengths(&mut bytes, end);
            layer.finish(&mut bytes, end);
        }
        Some(bytes)
    }

    /// The outermost GENEVE header.
    ///
    /// # Errors
    /// When the frame is not the one the capsule was opened in.
    #[inline]
    pub fn geneve<'f>(&self, frame: &'f [u8]) -> Result<Geneve<'f>, BadTunnel> {
        Geneve::read(frame.get(self.first.header()..).unwrap_or_default())
    }

    /// Who sent the innermost tunnel packet.
    #[inline]
    pub fn sender(&self, frame: &[u8]) -> IpAddr {
        let layer = self.nested.unwrap_or(self.first);
        match layer.v4 {
            true => ipv4_at(frame, layer.network + 12).into(),
            false => ipv6_at(frame, layer.network + 8).into(),
        }
    }

    /// The network of the innermost encapsulation, if that is VXLAN.
    #[inline]
    pub fn vni(&self, frame: &[u8]) -> Option<Vni> {
        let layer = self.nested.unwrap_or(self.first);
        let header = frame.get(layer.header()..)?;
        (layer.encapsulation == Encapsulation::Vxlan).then(|| vxlan::read(header).ok()).flatten()
    }

    /// Where the inner IP header begins.
    #[inline]
    pub fn inner_network(&self) -> usize {
        match self.carries {
            Carries::Ethernet => self.inner + ethernet::HEADER_BYTES,
            Carries::Ip(_) => self.inner,
        }
    }

    /// Turns the headers in place: the frame goes back to the station and the address it came from, with
    /// all options. The outermost UDP ports stay, since a load balancer tells flows by the port it chose;
    /// the ports of a nested tunnel change places, since it is a flow to that load balancer. `end` is where
    /// the inner packet ends.
    #[inline]
    pub fn turn(&self, frame: &mut [u8], end: usize, turn: Turn) {
        let (source, destination) = (ethernet::source(frame), ethernet::destination(frame));
        ethernet::address(frame, source, destination);
        if let Some(nested) = self.nested {
            nested.swap_ports(frame);
        }
        if let Some((port, vni)) = turn.other {
            put_u16(frame, self.first.transport + 2, port);
            put(frame, self.first.header(), &vxlan::header(vni));
        }
        if turn.inner_addresses && self.carries == Carries::Ethernet {
            let (to, from) = (mac_at(frame, self.inner), mac_at(frame, self.inner + 6));
            put(frame, self.inner, &from);
            put(frame, self.inner + 6, &to);
        }
        for layer in self.layers().rev() {
            layer.swap_addresses(frame);
            layer.finish(frame, end);
        }
    }
}

impl Layer {
    fn header(self) -> usize {
        self.transport + UDP_HEADER_BYTES
    }

    fn swap_ports(self, frame: &mut [u8]) {
        let (source, destination) = (u16_at(frame, self.transport), u16_at(frame, self.transport + 2));
        put_u16(frame, self.transport, destination);
        put_u16(frame, self.transport + 2, source);
    }

    /// Length and place of the addresses.
    fn addresses(self) -> (usize, usize, usize) {
        if self.v4 { (4, self.network + 12, self.network + 16) } else { (16, self.network + 8, self.network + 24) }
    }

    #[inline]
    fn swap_addresses(self, frame: &mut [u8]) {
        let (length, source, destination) = self.addresses();
        if let Some(both) = frame.get_mut(source..destination + length) {
            let (left, right) = both.split_at_mut(length);
            left.swap_with_slice(right);
        }
        self.set_ttl(frame);
    }

    #[inline]
    fn set_ttl(self, frame: &mut [u8]) {
        if !self.v4 {
            return put(frame, self.network + 7, &[TTL]);
        }
        let old = u16_at(frame, self.network + 8);
        let new = u16::from(TTL) << 8 | (old & 0xff);
        put_u16(frame, self.network + 8, new);
        Delta::word(old, new).apply(frame, self.network + 10);
    }

    /// Identification 0 and "do not fragment" (RFC 6864): every packet gets a copy of these bytes.
    fn make_atomic(self, frame: &mut [u8]) {
        for (at, new) in [(self.network + 4, 0), (self.network + 6, 0x4000)] {
            let old = u16_at(frame, at);
            put_u16(frame, at, new);
            Delta::word(old, new).apply(frame, self.network + 10);
        }
    }

    /// Lengths for an inner packet that ends at `end`.
    fn set_lengths(self, frame: &mut [u8], end: usize) {
        let (at, length) = if self.v4 {
            (self.network + 2, end.saturating_sub(self.network))
        } else {
            (self.network + 4, end.saturating_sub(self.network + 40))
        };
        let old = u16_at(frame, at);
        put_u16(frame, at, length as u16);
        if self.v4 {
            Delta::word(old, length as u16).apply(frame, self.network + 10);
        }
        put_u16(frame, self.transport + 4, end.saturating_sub(self.transport) as u16);
    }

    /// The UDP checksum: none over IPv4, where the inner packet has its own (RFC 7348 section 4, RFC 8926
    /// section 3.3); whole over IPv6.
    #[inline]
    fn finish(self, frame: &mut [u8], end: usize) {
        put_u16(frame, self.transport + 6, 0);
        if self.v4 {
            return;
        }
        let source = ipv6_at(frame, self.network + 8);
        let destination = ipv6_at(frame, self.network + 24);
        let message = frame.get(self.transport..end).unwrap_or_default();
        let value = match checksum::transport(source.into(), destination.into(), UDP, message) {
            0 => 0xffff,
            value => value,
        };
        put_u16(frame, self.transport + 6, value);
    }
}

/// Whether the UDP checksum of a packet is right, or there is none where there need not be.
pub fn checksum_is_right(frame: &[u8], packet: &Packet) -> bool {
    let message = frame.get(packet.transport..packet.end).unwrap_or_default();
    // RFC 6935: a tunnel may go without over IPv6, too.
    u16_at(message, 6) == 0 || checksum::transport(packet.source, packet.destination, UDP, message) == 0
}

/// Headers to put in front of an inner IP packet.
#[derive(Clone, Debug)]
pub struct Prefix {
    bytes: Vec<u8>,
    capsule: Capsule,
}

impl Prefix {
    /// The headers of a received frame, turned; the inner Ethernet addresses too, unless what follows only
    /// passes.
    pub fn answering(frame: &[u8], capsule: &Capsule, inner_addresses: bool) -> Self {
        let mut bytes = frame.get(..capsule.inner_network()).unwrap_or_default().to_vec();
        let end = bytes.len();
        capsule.turn(&mut bytes, end, Turn { other: None, inner_addresses });
        for layer in capsule.layers().filter(|layer| layer.v4) {
            layer.make_atomic(&mut bytes);
        }
        Self { bytes, capsule: *capsule }
    }

    /// Length of the headers, Ethernet included.
    pub fn header_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// How much larger the outermost IP packet is than the inner one.
    pub fn overhead_bytes(&self) -> usize {
        self.bytes.len() - ethernet::HEADER_BYTES
    }

    /// Whether it is what a frame with this capsule would be answered with; as [`Self::answering`].
    pub fn answers(&self, frame: &[u8], capsule: &Capsule, inner_addresses: bool) -> bool {
        if self.capsule != *capsule || mac_at(&self.bytes, 0) != ethernet::source(frame) {
            return false;
        }
        let alike = |at: usize, other: usize, length: usize| {
            self.bytes.get(at..at + length) == frame.get(other..other + length)
        };
        let mut ends = capsule.layers().chain(None).map(|layer| {
            let (length, source, destination) = layer.addresses();
            let ports = if Some(layer) == capsule.nested {
                alike(layer.transport, layer.transport + 2, 2) && alike(layer.transport + 2, layer.transport, 2)
            } else {
                alike(layer.transport, layer.transport, 4)
            };
            ports && alike(source, destination, length) && alike(destination, source, length)
        });
        let options = match capsule.first.encapsulation {
            Encapsulation::Vxlan => vxlan::HEADER_BYTES,
            Encapsulation::Geneve => {
                geneve::HEADER_BYTES + usize::from(u8_at(frame, capsule.first.header()) & 0x3f) * 4
            }
        };
        let receiver = capsule.inner + if inner_addresses { 6 } else { 0 };
        let station = capsule.carries != Carries::Ethernet || alike(capsule.inner, receiver, 6);
        let nested = capsule.nested.is_none_or(|layer| alike(layer.header(), layer.header(), vxlan::HEADER_BYTES));
        ends.all(|same| same) && alike(capsule.first.header(), capsule.first.header(), options) && station && nested
    }

    /// A whole inner Ethernet frame behind the headers, as a frame of its own; `None` when the tunnel carries
    /// no Ethernet.
    pub fn around(&self, inner: &[u8]) -> Option<Vec<u8>> {
        if self.capsule.carries != Carries::Ethernet {
            return None;
        }
        let mut bytes = self.bytes.get(..self.capsule.inner)?.to_vec();
        bytes.extend_from_slice(inner);
        let end = bytes.len();
        for layer in self.capsule.layers().rev() {
            layer.set_lengths(&mut bytes, end);
            layer.finish(&mut bytes, end);
        }
        Some(bytes)
    }

    /// Writes the headers in front of the IP packet at `network..end` of a buffer, for the tunnel it was made
    /// for or the peer's other one. Gives back where the frame starts, or `None` when there is no room in
    /// front, or a length would not fit its field.
    pub fn write(&self, buffer: &mut [u8], network: usize, end: usize, other: Option<(u16, Vni)>) -> Option<usize> {
        let start = network.checked_sub(self.bytes.len())?;
        let length = end.checked_sub(start).filter(|length| *length <= usize::from(u16::MAX))?;
        let frame = buffer.get_mut(start..end)?;
        let kind = if u8_at(frame, self.bytes.len()) >> 4 == 6 { ethernet::IPV6 } else { ethernet::IPV4 };
        put(frame, 0, &self.bytes);
        if let Some((port, vni)) = other {
            put_u16(frame, self.capsule.first.transport + 2, port);
            put(frame, self.capsule.first.header(), &vxlan::header(vni));
        }
        match self.capsule.carries {
            Carries::Ethernet => put_u16(frame, self.bytes.len() - 2, kind),
            Carries::Ip(_) => put_u16(frame, self.capsule.first.header() + 2, kind),
        }
        for layer in self.capsule.layers().rev() {
            layer.set_lengths(frame, length);
            layer.finish(frame, length);
        }
        Some(start)
    }
}
