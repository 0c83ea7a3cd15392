//! What becomes of a plain packet of a session that is up?
//!
//! Nearly all packets are such, and for them the stages (see [`crate::pipeline`]) have nothing to say but
//! "goes on": what they would ask is asked here in one go. At the first answer that is not the usual one
//! nothing has been changed, and the stages handle the packet from its beginning.

use bartizan_packet::ethernet;
use bartizan_packet::frame::Frame;
use bartizan_packet::parse::UDP;
use bartizan_packet::plain::Plain;

use crate::engine::{Engine, Link};
use crate::key::Key;
use crate::session::{Direction, Kind};
use crate::table::Slot;
use crate::verdict::{Port, SessionState, Verdict};

impl Link {
    /// What comes by it needs no look at a tunnel.
    fn is_plain(&self) -> bool {
        self.configured && self.zone.is_some() && self.router.is_some() && !self.tunnel
    }
}

impl Engine {
    /// A frame as it came by an attached port, if it is a plain packet of a session that is up.
    #[inline]
    pub(crate) fn carry_on_alone(&mut self, port: Port, frame: &mut Frame<'_>) -> Option<Verdict> {
        let (plain, key) = self.read_plain(port, frame)?;
        let (slot, direction) = self.table.find(&key)?;
        self.carry_on(port, frame, &plain, &key, slot, direction)
    }

    /// A plain packet that came by an attached port, and its flow.
    #[inline]
    pub(crate) fn read_plain(&self, port: Port, frame: &Frame<'_>) -> Option<(Plain, Key)> {
        let Port::Data(iface) = self.untag(port, frame.meta)? else { return None };
        let realm = self.links.get(iface.index())?.realm?;
        let bytes = frame.bytes.get(usize::from(frame.meta.headroom)..)?;
        let plain = Plain::read(bytes, frame.meta)?;
        Some((plain, Key::of_plain(&plain, realm)))
    }

    /// A plain packet of the session that seems to be in a slot.
    #[inline]
    pub(crate) fn carry_on(
        &mut self,
        port: Port,
        frame: &mut Frame<'_>,
        plain: &Plain,
        key: &Key,
        slot: Slot,
        direction: Direction,
    ) -> Option<Verdict> {
        let meta = frame.meta;
        let Port::Data(iface) = self.untag(port, meta)? else { return None };
        let link = self.links.get(iface.index())?;
        let bytes = frame.bytes.get_mut(usize::from(meta.headroom)..)?;
        if !link.is_plain()
            || link.mac != Some(ethernet::destination(bytes))
            || !self.is_usual(plain, frame.meta.fragment_bytes)
        {
            return None;
        }
        let session = &self.table[slot];
        let side = &session.sides[direction.index()];
        if side.key != *key
            || !session.live
            || session.kind != Kind::Forward
            || session.generation != self.generation
            || session.expires() <= self.now
            || (!self.relays.is_empty() && self.relays.contains_key(&slot))
        {
            return None;
        }
        let path = self.paths.get(side.path)?;
        let Port::Data(exit) = path.port else { return None };
        let exit_link = self.links.get(exit.index())?;
        let (wire, largest) = plain.wire(bytes, meta);
        if exit_link.tunnel
            || plain.ttl <= 1
            || (exit_link.mtu_bytes != 0 && largest > usize::from(exit_link.mtu_bytes))
        {
            return None;
        }
        let (own_mac, tag) = (exit_link.mac?, exit_link.vlan);
        let station = self.neighbors.mac(path.neighbor)?;
        let checked = self.tables.as_ref().is_none_or(|tables| !tables.session.bypass_asymmetric);
        let session = &mut self.table[slot];
        match plain.tcp(bytes) {
            Some(tcp) => {
                if !session.tcp.carry_on(direction, &tcp, checked) {
                    return None;
                }
            }
            None if direction == Direction::ServerToClient => session.state = SessionState::Active,
            None => {}
        }
        let (addresses, ports) = session.sides[direction.other().index()].key.answered_plain();
        session.sides[direction.index()].change.carry_on(bytes, plain, addresses, ports);
        ethernet::address(bytes, station, own_mac);
        self.touch(slot, direction, wire);
        self.counters.rx_packets += wire.0;
        self.counters.rx_bytes += wire.1;
        self.counters.tx_packets += wire.0;
        self.counters.tx_bytes += wire.1;
        let (exit, vlan) = match tag {
            Some((port, vlan)) => (port, vlan),
            None => (exit, 0),
        };
        frame.meta.vlan = vlan;
        Some(Verdict::Transmit(Port::Data(exit)))
    }

    /// Whether nobody but its session has a say about a plain packet.
    #[inline]
    fn is_usual(&self, plain: &Plain, fragment_bytes: u16) -> bool {
        const DHCP_REPLY: u32 = 67 << 16 | 68;
        let for_tunnel = || {
            let tables = self.tables.as_ref();
            tables.is_none_or(|tables| tables.tunnels().port(plain.ports as u16).is_some())
        };
        fragment_bytes == 0
            && !self.protection.is_blocking(self.now)
            && (plain.protocol != UDP || (plain.ports != DHCP_REPLY && !for_tunnel()))
    }
}
