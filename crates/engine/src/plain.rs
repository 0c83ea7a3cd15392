//! What becomes of a plain packet of a session that is up?
//!
//! Nearly all packets are such, and for them the stages (see [`crate::pipeline`]) have nothing to say but
//! "goes on": what they would ask is asked here in one go. At the first answer that is not the usual one
//! nothing has been changed, and the stages handle the packet from its beginning. So do those of a tunnel
//! through which the firewall is a wire; what leaves a tunnel or enters one goes by the stages.

use std::net::{IpAddr, Ipv4Addr};

use bartizan_packet::bytes::u16_at;
use bartizan_packet::ethernet;
use bartizan_packet::frame::{Checksum, Frame, Meta, Segmentation};
use bartizan_packet::parse::UDP;
use bartizan_packet::plain::Plain;
use bartizan_packet::tunnel::{Encapsulation, Named, PlainCapsule};
use bartizan_policy::tables::IfaceId;

use crate::engine::{Engine, Link};
use crate::key::Key;
use crate::path::Path;
use crate::session::{Direction, Kind, Session};
use crate::table::Slot;
use crate::verdict::{Port, SessionState, Verdict};

/// A plain packet that came by an interface; a cache line, because there is one for each frame of a burst.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    plain: Plain,
    realm: u16,
    tunnel: Option<Tunnel>,
}

/// The tunnel it came out of.
#[derive(Clone, Copy, Debug)]
struct Tunnel {
    /// The port.
    lower: IfaceId,
    /// The side of the traffic object.
    iface: IfaceId,
    around: PlainCapsule,
}

impl Seen {
    /// The flow it belongs to.
    #[inline]
    pub(crate) fn key(&self) -> Key {
        Key::of_plain(&self.plain, self.realm)
    }
}

const DHCP_REPLY: u32 = 67 << 16 | 68;

impl Link {
    /// Packets that come by it are looked for among the sessions.
    #[inline]
    fn is_usual(&self) -> bool {
        self.configured && self.zone.is_some() && self.router.is_some() && !self.routed
    }
}

impl Engine {
    /// A frame as it came by an attached port, if it is a plain packet of a session that is up.
    #[inline]
    pub(crate) fn carry_on_alone(&mut self, port: Port, frame: &mut Frame<'_>) -> Option<Verdict> {
        let seen = self.read_plain(port, frame)?;
        let (slot, direction) = self.table.find(&seen.key())?;
        self.carry_on(frame, &seen, slot, direction)
    }

    /// A plain packet that came by an attached port.
    #[inline(always)]
    pub(crate) fn read_plain(&self, port: Port, frame: &Frame<'_>) -> Option<Seen> {
        let Port::Data(iface) = self.untag(port, frame.meta)? else { return None };
        let link = self.links.get(iface.index())?;
        let bytes = frame.bytes.get(usize::from(frame.meta.headroom)..)?;
        if link.mac != Some(ethernet::destination(bytes)) || frame.meta.fragment_bytes != 0 {
            return None;
        }
        let plain = Plain::read(bytes, frame.meta)?;
        if plain.protocol == UDP {
            if plain.ports == DHCP_REPLY {
                return None;
            }
            let tunnels = self.tables.as_ref()?.tunnels();
            if let Some(geneve) = tunnels.port(plain.ports as u16) {
                let encapsulation = if geneve { Encapsulation::Geneve } else { Encapsulation::Vxlan };
                return self.read_inside(iface, bytes, frame.meta, &plain, encapsulation);
            }
        }
        if !link.is_usual() {
            return None;
        }
        Some(Seen { plain, realm: link.realm?, tunnel: None })
    }

    /// The plain packet inside of a tunnel packet: with an outer header that has no checksum of its own, to the
    /// address that tunnel packets came for last.
    #[inline(always)]
    fn read_inside(
        &self,
        lower: IfaceId,
        bytes: &[u8],
        meta: Meta,
        outer: &Plain,
        encapsulation: Encapsulation,
    ) -> Option<Seen> {
        let own = IpAddr::V4(Ipv4Addr::from_bits(outer.addresses[0] as u32));
        let unsummed = u16_at(bytes, outer.transport() + 6) == 0;
        let whole = meta.checksum == Checksum::Complete
            && meta.segmentation == Segmentation::None
            && meta.inner_fragment_bytes == 0;
        if !outer.v4 || !unsummed || !whole || self.tunnels.own != Some((self.generation, lower, own)) {
            return None;
        }
        let tables = self.tables.as_ref()?;
        let tunnels = tables.tunnels();
        let (around, named) = PlainCapsule::open(bytes, outer, encapsulation)?;
        let iface = match named {
            Named::Network(vni) => tunnels.vxlan(outer.ports as u16, vni.number()),
            Named::Endpoint(endpoint) => tunnels.geneve(Some(endpoint), None),
            Named::Google(network) => tunnels.geneve(None, Some(network)),
        };
        let iface = iface.ok()?;
        let (link, tunnel) = (self.links.get(iface.index())?, tables.interface(iface)?.tunnel.as_ref()?);
        if !link.is_usual() || !tunnel.lower.contains(&lower) {
            return None;
        }
        let inside = bytes.get(around.inner_network() - ethernet::HEADER_BYTES..outer.end as usize)?;
        let plain = Plain::read_as(inside, around.kind(bytes), Meta::default())?;
        let nests = encapsulation == Encapsulation::Geneve && tunnels.nests(plain.ports as u16);
        if plain.protocol == UDP && (nests || plain.ports == DHCP_REPLY) {
            return None;
        }
        let tunnel = Tunnel { lower, iface, around };
        Some(Seen { plain, realm: link.realm?, tunnel: Some(tunnel) })
    }

    /// A plain packet of the session that seems to be in a slot.
    #[inline]
    pub(crate) fn carry_on(
        &mut self,
        frame: &mut Frame<'_>,
        seen: &Seen,
        slot: Slot,
        direction: Direction,
    ) -> Option<Verdict> {
        let session = self.table.get(slot)?;
        if !self.is_usual(session, slot, direction, &seen.key()) {
            return None;
        }
        let path = *self.paths.get(session.sides[direction.index()].path)?;
        match &seen.tunnel {
            None => self.carry_bare(frame, &seen.plain, slot, direction, &path),
            Some(tunnel) => self.carry_inside(frame, &seen.plain, slot, direction, path.port, tunnel),
        }
    }

    /// Whether nobody but the session has a say about its packets, and it is not to be asked itself.
    #[inline]
    fn is_usual(&self, session: &Session, slot: Slot, direction: Direction, key: &Key) -> bool {
        session.sides[direction.index()].key == *key
            && session.live
            && session.generation == self.generation
            && session.expires() > self.now
            && (self.relays.is_empty() || !self.relays.contains_key(&slot))
            && !self.protection.is_blocking(self.now)
    }

    #[inline]
    fn carry_bare(
        &mut self,
        frame: &mut Frame<'_>,
        plain: &Plain,
        slot: Slot,
        direction: Direction,
        path: &Path,
    ) -> Option<Verdict> {
        let meta = frame.meta;
        let bytes = frame.bytes.get_mut(usize::from(meta.headroom)..)?;
        let Port::Data(exit) = path.port else { return None };
        let link = self.links.get(exit.index())?;
        let (own_mac, tag, mtu_bytes) = (link.mac?, link.vlan, usize::from(link.mtu_bytes));
        let (wire, largest) = plain.wire(bytes, meta);
        if link.tunnel
            || self.table[slot].kind != Kind::Forward
            || plain.ttl <= 1
            || (mtu_bytes != 0 && largest > mtu_bytes)
        {
            return None;
        }
        let station = self.neighbors.mac(path.neighbor)?;
        self.follow_plain(slot, direction, plain, bytes)?;
        let session = &self.table[slot];
        let (addresses, ports) = session.sides[direction.other().index()].key.answered_plain();
        session.sides[direction.index()].change.carry_on(bytes, plain, addresses, ports);
        ethernet::address(bytes, station, own_mac);
        self.count_carried(slot, direction, wire);
        let (exit, vlan) = tag.unwrap_or((exit, 0));
        frame.meta.vlan = vlan;
        Some(Verdict::Transmit(Port::Data(exit)))
    }

    /// The tunnel packet goes back with its own headers; what is in it stays as it is.
    #[inline]
    fn carry_inside(
        &mut self,
        frame: &mut Frame<'_>,
        plain: &Plain,
        slot: Slot,
        direction: Direction,
        port: Port,
        tunnel: &Tunnel,
    ) -> Option<Verdict> {
        let Tunnel { lower, iface, around } = *tunnel;
        let Port::Data(exit) = port else { return None };
        let session = &self.table[slot];
        let exit_link = self.links.get(exit.index())?;
        let (through, leaves_as) = (exit_link.tunnel && exit != iface, exit_link.leaves_as);
        let link = self.links.get(lower.index())?;
        if session.kind != Kind::Wire || session.translated || !through || link.mac.is_none() {
            return None;
        }
        let tag = link.vlan;
        let bytes = frame.bytes.get_mut(usize::from(frame.meta.headroom)..)?;
        let base = around.inner_network() - ethernet::HEADER_BYTES;
        self.follow_plain(slot, direction, plain, bytes.get(base..)?)?;
        around.turn(bytes, leaves_as);
        let wire = (1, plain.ip_bytes() as u64);
        self.count_carried(slot, direction, wire);
        self.tunnels.count(iface, wire, true);
        self.tunnels.count(exit, wire, false);
        let (exit, vlan) = tag.unwrap_or((lower, 0));
        frame.meta = Meta { headroom: frame.meta.headroom, vlan, ..Meta::default() };
        Some(Verdict::Transmit(Port::Data(exit)))
    }

    /// Follows the connection, or says that the stages have to.
    #[inline]
    fn follow_plain(&mut self, slot: Slot, direction: Direction, plain: &Plain, bytes: &[u8]) -> Option<()> {
        let checked = self.tables.as_ref().is_none_or(|tables| !tables.session.bypass_asymmetric);
        let session = &mut self.table[slot];
        match plain.tcp(bytes) {
            Some(tcp) => session.tcp.carry_on(direction, &tcp, checked).then_some(()),
            None => {
                if direction == Direction::ServerToClient {
                    session.state = SessionState::Active;
                }
                Some(())
            }
        }
    }

    #[inline]
    fn count_carried(&mut self, slot: Slot, direction: Direction, wire: (u64, u64)) {
        self.touch(slot, direction, wire);
        self.counters.rx_packets += wire.0;
        self.counters.rx_bytes += wire.1;
        self.counters.tx_packets += wire.0;
        self.counters.tx_bytes += wire.1;
    }
}
