//! What is inside of a tunnel packet, and how does a packet get into a tunnel?
//!
//! A packet out of a tunnel arrives by a side of its traffic object, an interface that is no port; from
//! there on it is a packet like others. What leaves by such an interface goes into the tunnel: a packet
//! that only passes is turned where it lies, with its own headers; any other gets those by which the
//! packets of the end come that is behind the tunnel. They are remembered in a table of their own.

mod known;

use bartizan_packet::bytes::{put_u16, u8_at, u16_at};
use bartizan_packet::ethernet;
use bartizan_packet::frame::{Checksum, Frame, Meta, Segmentation};
use bartizan_packet::parse::{Layer4, Packet, Parsed, UDP, parse_as};
use bartizan_packet::segment::{Segments, complete};
use bartizan_packet::tunnel::{Capsule, Carries, Encapsulation, Prefix, Turn, checksum_is_right};
use bartizan_packet::vxlan::Vni;
use bartizan_policy::tables::{Among, IfaceId, Route, RouterId};
use bartizan_policy::tunnels::Unmapped;

use self::known::{Current, Return};
pub(crate) use self::known::{Learned, ReturnRef, Tunnels};
use crate::engine::Engine;
use crate::session::{Direction, Kind};
use crate::table::Slot;
use crate::verdict::{DropReason, Port, TunnelTraffic, UnmappedTunnel, Verdict};

/// A tunnel packet that was opened.
pub(crate) struct Opened {
    pub(crate) capsule: Capsule,
    /// The side of its traffic object.
    pub(crate) iface: IfaceId,
}

/// Why one was not.
pub(crate) struct Refused(DropReason, Option<Unmapped>);

impl From<DropReason> for Refused {
    fn from(reason: DropReason) -> Self {
        Self(reason, None)
    }
}

impl Engine {
    /// What went through a side of a traffic object.
    pub fn tunnel_traffic(&self, iface: IfaceId) -> TunnelTraffic {
        self.tunnels.traffic.get(iface.index()).copied().unwrap_or_default()
    }

    /// Tunnels lately seen that no traffic object is for, so many and no more.
    pub fn unmapped_tunnels(&self) -> &[UnmappedTunnel] {
        &self.tunnels.unmapped
    }

    /// Whether frames that leave by this port go into a tunnel.
    #[inline]
    pub(crate) fn is_tunnel(&self, port: Port) -> bool {
        match port {
            Port::Data(iface) => self.links.get(iface.index()).is_some_and(|link| link.tunnel),
            Port::Local => false,
        }
    }

    /// The encapsulation of a packet that is for us to open.
    #[inline]
    pub(crate) fn tunnel_packet(&mut self, port: Port, frame: &[u8], packet: &Packet) -> Option<Encapsulation> {
        let (Layer4::Ports { destination: udp_port, .. }, UDP, Port::Data(iface)) =
            (packet.layer4, packet.protocol, port)
        else {
            return None;
        };
        let geneve = self.tables.as_ref()?.tunnels().port(udp_port)?;
        let link = self.links.get(iface.index())?;
        if link.tunnel || packet.fragment || packet.source_routed || link.mac != Some(ethernet::destination(frame)) {
            return None;
        }
        let own = Some((self.generation, iface, packet.destination));
        if self.tunnels.own != own {
            let router = RouterId(link.router?);
            let route = self.tables.as_ref()?.route(router, packet.destination, &Among::First);
            if !matches!(route, Route::Local { .. }) {
                return None;
            }
            self.tunnels.own = own;
        }
        Some(if geneve { Encapsulation::Geneve } else { Encapsulation::Vxlan })
    }

    /// A tunnel packet: `frame` is its buffer, the frame in it begins behind the headroom.
    pub(crate) fn run_tunnel(
        &mut self,
        port: Port,
        frame: &mut Frame<'_>,
        packet: &Packet,
        encapsulation: Encapsulation,
    ) -> Verdict {
        let Port::Data(lower) = port else { return Verdict::Drop(DropReason::LocalUnrelated) };
        let start = usize::from(frame.meta.headroom);
        let bytes = frame.bytes.get(start..start + packet.end).unwrap_or_default();
        let opened = match self.open_tunnel(lower, bytes, frame.meta, packet, encapsulation) {
            Ok(opened) => opened,
            Err(Refused(reason, unmapped)) => {
                if let Some(tunnel) = unmapped {
                    self.tunnels.note(tunnel, packet.source, lower, self.now);
                }
                return self.drop_unopened(reason, port, packet, frame.meta);
            }
        };
        let Opened { capsule, iface } = opened;
        self.tunnels.head.clear();
        self.tunnels.head.extend_from_slice(bytes.get(..capsule.inner_network()).unwrap_or_default());
        self.tunnels.current = Some(Current { lower, iface, capsule, hairpin: false });
        let reassembled = frame.meta.fragment_bytes != 0;
        let verdict = self.run_inside(iface, frame, start, packet.end, &capsule);
        self.tunnels.current = None;
        self.tunnels.forget_way();
        match verdict {
            // The frame that came in was only the last fragment of this one.
            Verdict::Transmit(port) if reassembled => {
                let bytes = frame.bytes.get(usize::from(frame.meta.headroom)..).unwrap_or_default().to_vec();
                self.transmit(port, bytes, Meta { headroom: 0, ..frame.meta });
                Verdict::Consumed
            }
            verdict => verdict,
        }
    }

    /// The inner packet through the stages, and what becomes of the frame around it.
    fn run_inside(
        &mut self,
        iface: IfaceId,
        frame: &mut Frame<'_>,
        start: usize,
        end: usize,
        capsule: &Capsule,
    ) -> Verdict {
        let base = capsule.inner_network() - ethernet::HEADER_BYTES;
        let meta = inner_meta(frame.meta, base);
        let Some(inside) = frame.bytes.get_mut(start + base..start + end) else {
            return Verdict::Drop(DropReason::TunnelHeader);
        };
        let kind = inner_kind(capsule, inside);
        let mut inner = Frame { bytes: inside, meta };
        let parsed = match parse_as(inner.bytes, kind, meta) {
            Ok(parsed) => parsed,
            Err(malformed) => {
                self.counters.rx_packets += 1;
                let reason = crate::ingress::malformed(malformed);
                self.counters.drop_packets(reason, 1);
                return Verdict::Drop(reason);
            }
        };
        let hairpin = match &parsed {
            Parsed::Ip(packet) => self.hairpin_of(iface, capsule, packet),
            Parsed::Arp | Parsed::Other(_) => None,
        };
        let iface = hairpin.unwrap_or(iface);
        if let Some(current) = &mut self.tunnels.current {
            (current.iface, current.hairpin) = (iface, hairpin.is_some());
        }
        // The fragments of a datagram were counted when they came in.
        let counted = meta.fragment_bytes != 0;
        let verdict = self.run_parsed(Port::Data(iface), &mut inner, &parsed);
        let meta = inner.meta;
        if let (Parsed::Ip(packet), false) = (&parsed, counted || matches!(verdict, Verdict::Handoff(_))) {
            self.tunnels.count(iface, packet.wire(meta), true);
        }
        match (verdict, &parsed) {
            (Verdict::Transmit(port), Parsed::Ip(packet)) if self.is_tunnel(port) => {
                let at = start + base;
                if self.tunnels.into != ReturnRef::NONE || meta.segmentation != Segmentation::None {
                    frame.meta = Meta { headroom: at as u16, ..meta };
                    return self.enter_tunnel(port, frame, at + packet.network, at + packet.end);
                }
                self.turn(port, Port::Data(iface), frame, (start, end), packet, (base, meta))
            }
            (Verdict::Transmit(port), _) => {
                frame.meta = Meta { headroom: (start + base) as u16, ..meta };
                Verdict::Transmit(port)
            }
            _ => verdict,
        }
    }

    /// Sends the tunnel packet in hand back with its own headers; what was inside is as it leaves.
    fn turn(
        &mut self,
        port: Port,
        arrived: Port,
        frame: &mut Frame<'_>,
        (start, end): (usize, usize),
        packet: &Packet,
        (base, mut meta): (usize, Meta),
    ) -> Verdict {
        let Some(Current { lower, capsule, .. }) = self.tunnels.current else {
            return Verdict::Drop(DropReason::TunnelHeader);
        };
        if self.mac_of(Port::Data(lower)).is_none() {
            return self.drop_leaving(DropReason::PortDown);
        }
        let outer = frame.bytes.get_mut(start..start + end).unwrap_or_default();
        complete(outer.get_mut(base..base + packet.end).unwrap_or_default(), &mut meta);
        capsule.turn(outer, end, Turn { other: self.leaves_as(port), inner_addresses: port == arrived });
        let fragment_bytes = frame.meta.fragment_bytes;
        frame.meta = Meta { headroom: start as u16, fragment_bytes, ..Meta::default() };
        let wire = packet.wire(Meta::default());
        self.count_leaving(port, wire);
        self.count_sent(wire);
        Verdict::Transmit(Port::Data(lower))
    }

    /// Puts the IP packet at `network..end` of a buffer into the tunnel of the session in hand. The
    /// checksum that a network card was to finish is finished here, and what it was to cut is cut: no card
    /// does either behind these headers.
    pub(crate) fn enter_tunnel(&mut self, port: Port, frame: &mut Frame<'_>, network: usize, end: usize) -> Verdict {
        let reference = std::mem::replace(&mut self.tunnels.into, ReturnRef::NONE);
        // Taken out while it is in use, and put back: a copy would be memory for each packet.
        let entry = match reference {
            ReturnRef::NONE => self.tunnels.answer(self.is_arrival(port)),
            reference => self.tunnels.returns.get_mut(reference.0 as usize).and_then(Option::take),
        };
        let Some(entry) = entry else { return self.drop_leaving(DropReason::TunnelHeader) };
        let verdict = self.enter_by(&entry, port, frame, network, end);
        if reference != ReturnRef::NONE {
            self.tunnels.set(reference, Some(entry));
        }
        verdict
    }

    fn enter_by(&mut self, entry: &Return, port: Port, frame: &mut Frame<'_>, network: usize, end: usize) -> Verdict {
        let out = Port::Data(entry.lower);
        if self.mac_of(out).is_none() {
            return self.drop_leaving(DropReason::PortDown);
        }
        let other = self.leaves_as(port);
        let at = network - ethernet::HEADER_BYTES;
        let mut meta = Meta { headroom: 0, ..frame.meta };
        let Some(inner) = frame.bytes.get_mut(at..end) else { return self.drop_leaving(DropReason::TunnelHeader) };
        set_kind(inner);
        if meta.segmentation != Segmentation::None {
            return self.enter_in_segments(port, entry, inner, meta);
        }
        complete(inner, &mut meta);
        let length = (end - network) as u64;
        if let Some(start) = entry.prefix.write(frame.bytes, network, end, other) {
            frame.meta = Meta { headroom: start as u16, ..Meta::default() };
            self.count_leaving(port, (1, length));
            self.count_sent((1, length));
            return Verdict::Transmit(out);
        }
        let copy = frame.bytes.get(network..end).unwrap_or_default();
        let Some(bytes) = in_front(&entry.prefix, copy, other) else {
            return self.drop_leaving(DropReason::TooBig);
        };
        self.count_leaving(port, (1, length));
        self.outbox.transmit(out, bytes, Meta::default(), &mut self.counters);
        Verdict::Consumed
    }

    fn enter_in_segments(&mut self, port: Port, entry: &Return, inner: &[u8], meta: Meta) -> Verdict {
        let Some(mut segments) = Segments::of(inner, meta) else {
            return self.drop_leaving(DropReason::Malformed);
        };
        let other = self.leaves_as(port);
        while let Some(length) = segments.next_bytes() {
            let room = entry.prefix.header_bytes() - ethernet::HEADER_BYTES;
            let mut bytes = vec![0; room + length];
            if segments.write(bytes.get_mut(room..).unwrap_or_default()).is_none() {
                break;
            }
            let end = bytes.len();
            if entry.prefix.write(&mut bytes, entry.prefix.header_bytes(), end, other).is_none() {
                return self.drop_leaving(DropReason::TooBig);
            }
            self.counters.tunnel_segments += 1;
            self.count_leaving(port, (1, (length - ethernet::HEADER_BYTES) as u64));
            self.outbox.transmit(Port::Data(entry.lower), bytes, Meta::default(), &mut self.counters);
        }
        Verdict::Consumed
    }

    /// Whether the packet in hand came by this side of its traffic object.
    fn is_arrival(&self, port: Port) -> bool {
        self.tunnels.current.is_some_and(|current| Port::Data(current.iface) == port)
    }

    /// A packet on its way through, in a buffer of its own, into the tunnel of the session in hand or back
    /// into that of the packet in hand.
    pub(crate) fn pass_into_tunnel(&mut self, port: Port, bytes: &[u8]) {
        let entry = match self.tunnels.into {
            ReturnRef::NONE => self.tunnels.answer(self.is_arrival(port)),
            reference => self.tunnels.get(reference).cloned(),
        };
        if let Some(entry) = entry {
            self.send_behind(&entry, port, bytes);
        }
    }

    fn send_behind(&mut self, entry: &Return, port: Port, bytes: &[u8]) {
        let packet = bytes.get(ethernet::HEADER_BYTES..).unwrap_or_default();
        if let Some(bytes) = in_front(&entry.prefix, packet, self.leaves_as(port)) {
            self.count_leaving(port, (1, packet.len() as u64));
            self.outbox.transmit(Port::Data(entry.lower), bytes, Meta::default(), &mut self.counters);
        }
    }

    /// A frame of our own into the tunnel of a session, or of the packet in hand.
    pub(crate) fn send_into_tunnel(&mut self, port: Port, session: Option<(Slot, Direction)>, bytes: &[u8]) {
        let entry = match session.map(|(slot, direction)| self.tunnel_towards(slot, direction)) {
            Some(reference) => self.tunnels.get(reference).cloned(),
            None => self.tunnels.answer(true),
        };
        let Some(entry) = entry else { return };
        if ethernet::kind(bytes) == ethernet::ARP {
            let Some(bytes) = entry.prefix.around(bytes) else { return };
            self.outbox.transmit(Port::Data(entry.lower), bytes, Meta::default(), &mut self.counters);
            return;
        }
        self.send_behind(&entry, port, bytes);
    }

    /// The tunnel that packets of a direction go into: where the firewall is a wire, both ends are behind one, and a
    /// pod gives back to its node what is for its client.
    fn tunnel_towards(&self, slot: Slot, direction: Direction) -> ReturnRef {
        let end = match self.table[slot].kind {
            Kind::Wire => Direction::ClientToServer,
            Kind::Node if direction == Direction::ServerToClient || self.passes(slot, direction) => {
                Direction::ClientToServer
            }
            Kind::Node | Kind::Hairpin => Direction::ServerToClient,
            Kind::Forward | Kind::LocalService | Kind::LocalEcho | Kind::Refused => direction.other(),
        };
        self.table.record(slot).tunnels[end.index()]
    }

    /// The packet in hand goes into the tunnel of its receiver; whether that is known.
    pub(crate) fn choose_tunnel_of(&mut self, slot: Slot, direction: Direction) -> bool {
        self.tunnels.into = self.tunnel_towards(slot, direction);
        self.tunnels.into != ReturnRef::NONE
    }

    /// A packet out of the tunnel of its sender, or on its way to its receiver, says how to get into that tunnel.
    #[inline]
    pub(crate) fn refresh_tunnel(&mut self, slot: Slot, direction: Direction) {
        if self.tunnels.is_inside() {
            let behind = if self.tunnels.is_hairpin() { direction.other() } else { direction };
            let reference = self.table.record(slot).tunnels[behind.index()];
            self.tunnels.refresh(reference, self.now);
        }
    }

    /// The largest packet of a direction that fits the tunnel it goes into; 0 without a limit.
    pub(crate) fn tunnel_mtu(&self, slot: Slot, direction: Direction) -> u16 {
        let Some(entry) = self.tunnels.get(self.tunnel_towards(slot, direction)) else { return 0 };
        let lower = self.links.get(entry.lower.index()).map_or(0, |link| link.mtu_bytes);
        lower.saturating_sub(entry.prefix.overhead_bytes() as u16)
    }

    pub(crate) fn open_tunnel(
        &self,
        lower: IfaceId,
        frame: &[u8],
        meta: Meta,
        packet: &Packet,
        encapsulation: Encapsulation,
    ) -> Result<Opened, Refused> {
        let Some(tables) = &self.tables else { return Err(DropReason::NoZone.into()) };
        let tunnels = tables.tunnels();
        // What the sender's card was to finish is a checksum further in: this one follows from it.
        if meta.checksum == Checksum::Complete
            && meta.segmentation == Segmentation::None
            && !checksum_is_right(frame, packet)
        {
            return Err(DropReason::BadChecksum.into());
        }
        let bad = |_| Refused::from(DropReason::TunnelHeader);
        let mut capsule = Capsule::open(frame, packet, encapsulation).map_err(bad)?;
        let (_, mut udp_port) = packet.ports();
        let found = if encapsulation == Encapsulation::Geneve {
            let facts = capsule.geneve(frame).and_then(|geneve| geneve.facts()).map_err(bad)?;
            match nested(frame, meta, &capsule).filter(|inside| tunnels.nests(inside.ports().1)) {
                Some(inside) => {
                    capsule = capsule.open_nested(frame, &inside, Encapsulation::Vxlan).map_err(bad)?;
                    udp_port = inside.ports().1;
                    None
                }
                None => Some(tunnels.geneve(facts.aws_endpoint, facts.google_network.map(|network| network.id()))),
            }
        } else {
            None
        };
        let found = match (found, capsule.vni(frame)) {
            (Some(found), _) => found,
            (None, Some(vni)) => tunnels.vxlan(udp_port, vni.number()),
            (None, None) => return Err(DropReason::TunnelHeader.into()),
        };
        let iface = found.map_err(|unmapped| {
            let reason = match unmapped {
                Unmapped::Vni(..) => DropReason::UnmappedVni,
                Unmapped::VpcEndpoint(_) | Unmapped::Network(_) | Unmapped::Unnamed => DropReason::UnmappedEndpoint,
            };
            Refused(reason, Some(unmapped))
        })?;
        let tunnel = tables.interface(iface).and_then(|interface| interface.tunnel.as_ref());
        if tunnel.is_none_or(|tunnel| !tunnel.lower.contains(&lower)) {
            return Err(DropReason::TunnelForeign.into());
        }
        Ok(Opened { capsule, iface })
    }

    fn leaves_as(&self, port: Port) -> Option<(u16, Vni)> {
        let Port::Data(iface) = port else { return None };
        self.links.get(iface.index())?.leaves_as
    }

    fn count_leaving(&mut self, port: Port, wire: (u64, u64)) {
        if let Port::Data(iface) = port {
            self.tunnels.count(iface, wire, false);
        }
    }

    fn count_sent(&mut self, (packets, bytes): (u64, u64)) {
        self.counters.tx_packets += packets;
        self.counters.tx_bytes += bytes;
    }

    /// A packet of which the stages thought it would leave.
    fn drop_leaving(&mut self, reason: DropReason) -> Verdict {
        self.counters.drop_packets(reason, 1);
        Verdict::Drop(reason)
    }

    fn drop_unopened(&mut self, reason: DropReason, port: Port, packet: &Packet, meta: Meta) -> Verdict {
        let wire = packet.wire(meta);
        self.counters.rx_packets += wire.0;
        self.counters.rx_bytes += wire.1;
        self.counters.drop_packets(reason, wire.0);
        self.log_drop(reason, port, &Parsed::Ip(*packet), wire);
        Verdict::Drop(reason)
    }
}

/// The Ethernet type of a frame whose IP packet stands at its place, by that packet's version.
pub(crate) fn set_kind(frame: &mut [u8]) {
    let kind = if u8_at(frame, ethernet::HEADER_BYTES) >> 4 == 6 { ethernet::IPV6 } else { ethernet::IPV4 };
    put_u16(frame, 12, kind);
}

/// Offload state of the inner packet, whose frame begins `base` bytes into the outer one.
pub(crate) fn inner_meta(meta: Meta, base: usize) -> Meta {
    let checksum = match meta.checksum {
        // The outer checksum was to be finished; we make our own.
        Checksum::Partial { start, .. } if usize::from(start) < base => Checksum::Complete,
        Checksum::Partial { start, offset } => Checksum::Partial { start: start - base as u16, offset },
        Checksum::Complete => Checksum::Complete,
    };
    Meta {
        checksum,
        header_bytes: meta.header_bytes.saturating_sub(base as u16),
        headroom: 0,
        fragment_bytes: meta.inner_fragment_bytes,
        inner_fragment_bytes: 0,
        ..meta
    }
}

/// The Ethernet type of what a capsule carries.
pub(crate) fn inner_kind(capsule: &Capsule, inside: &[u8]) -> u16 {
    match capsule.carries {
        Carries::Ethernet => u16_at(inside, 12),
        Carries::Ip(kind) => kind,
    }
}

/// The UDP packet in a capsule of IP, with offsets from the start of the frame.
pub(crate) fn nested(frame: &[u8], meta: Meta, capsule: &Capsule) -> Option<Packet> {
    let Carries::Ip(kind) = capsule.carries else { return None };
    let base = capsule.inner_network() - ethernet::HEADER_BYTES;
    let Ok(Parsed::Ip(packet)) = parse_as(frame.get(base..)?, kind, inner_meta(meta, base)) else { return None };
    let found =
        Packet { network: packet.network + base, transport: packet.transport + base, end: packet.end + base, ..packet };
    (packet.protocol == UDP && !packet.fragment).then_some(found)
}

/// A frame of its own with an IP packet behind these headers.
fn in_front(prefix: &Prefix, packet: &[u8], other: Option<(u16, Vni)>) -> Option<Vec<u8>> {
    let mut bytes = vec![0; prefix.header_bytes()];
    bytes.extend_from_slice(packet);
    let end = bytes.len();
    prefix.write(&mut bytes, prefix.header_bytes(), end, other)?;
    Some(bytes)
}
