//! What is in a frame, and whose session is it part of? For whoever watches packets; nothing is changed by looking.

use bartizan_packet::ethernet;
use bartizan_packet::frame::Meta;
use bartizan_packet::parse::{Embedded, Layer4, Packet, Parsed, UDP, parse, parse_as};
use bartizan_packet::tunnel::{Capsule, Encapsulation};
use bartizan_policy::tables::IfaceId;

use crate::engine::Engine;
use crate::key::{Key, LOCAL_REALM};
use crate::tunnel::{inner_kind, inner_meta, nested};
use crate::verdict::{Port, SessionView};

/// What was seen in a frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// The interface, after its VLAN tag; out of a tunnel the side of the traffic object. `None` on the local link and
    /// for a tag that no interface has.
    pub iface: Option<IfaceId>,
    /// The IP packet, out of its tunnel. `None` when there is none that can be read.
    pub packet: Option<Packet>,
    /// The session that the packet, or what an ICMP error quotes, is part of.
    pub session: Option<SessionView>,
}

impl Engine {
    /// Looks at a frame as it comes in, before it is handled.
    pub fn look_at_arriving(&mut self, port: Port, frame: &[u8], meta: Meta) -> Look {
        let Some(arrival) = self.untag(port, meta) else { return Look::default() };
        let iface = data(arrival);
        let Ok(Parsed::Ip(packet)) = parse(frame, meta) else { return Look { iface, ..Look::default() } };
        if let (Some(lower), Some(encapsulation)) = (iface, self.tunnel_packet(arrival, frame, &packet))
            && let Some(look) = self.look_inside(lower, frame, meta, &packet, encapsulation)
        {
            return look;
        }
        let keys = self.realm_of(arrival).map(|realm| Key::of(&packet, realm));
        let session = self.part_of(keys, arrival, frame, &packet);
        Look { iface, packet: Some(packet), session }
    }

    /// The session that a packet of this port and VLAN belongs to.
    pub fn session_of(&self, port: Port, vlan: u16, packet: &Packet) -> Option<SessionView> {
        let arrival = self.untag(port, Meta { vlan, ..Meta::default() })?;
        self.find_first(self.realm_of(arrival).map(|realm| Key::of(packet, realm)))
    }

    /// Looks at a frame as it leaves: its session is the one that its answer would be part of.
    pub fn look_at_leaving(&self, port: Port, frame: &[u8], meta: Meta) -> Look {
        let leaves = self.untag(port, meta).unwrap_or(port);
        let iface = data(leaves);
        let Ok(Parsed::Ip(packet)) = parse(frame, meta) else { return Look { iface, ..Look::default() } };
        if let Some(inside) = self.open_leaving(frame, meta, &packet) {
            let sides = self.links.iter().filter(|link| link.tunnel).filter_map(|link| link.realm);
            let session = self.find_first(sides.map(|realm| Key::of(&inside, realm).answer()));
            return Look { iface, packet: Some(inside), session };
        }
        let session = self.find_first(self.realm_of(leaves).map(|realm| Key::of(&packet, realm).answer()));
        Look { iface, packet: Some(packet), session }
    }

    fn look_inside(
        &self,
        lower: IfaceId,
        frame: &[u8],
        meta: Meta,
        outer: &Packet,
        encapsulation: Encapsulation,
    ) -> Option<Look> {
        let frame = frame.get(..outer.end)?;
        let opened = self.open_tunnel(lower, frame, meta, outer, encapsulation).ok()?;
        let (inside, packet) = inner(frame, meta, &opened.capsule)?;
        let iface = self.hairpin_of(opened.iface, &opened.capsule, &packet).unwrap_or(opened.iface);
        let link = self.links.get(iface.index())?;
        let key = Key::of(&packet, link.realm?);
        // A packet on its way to a pod may be found as it would arrive otherwise, or as it would leave.
        let others = link.router.filter(|_| link.hairpin).map(|router| {
            let answer = key.answer();
            [key.in_realm(router), answer, answer.in_realm(router)]
        });
        let keys = [key].into_iter().chain(others.into_iter().flatten());
        let session = self.part_of(keys, Port::Data(iface), inside, &packet);
        Some(Look { iface: Some(iface), packet: Some(packet), session })
    }

    /// What is inside of a tunnel packet that leaves.
    fn open_leaving(&self, frame: &[u8], meta: Meta, packet: &Packet) -> Option<Packet> {
        let (Layer4::Ports { destination, .. }, UDP) = (packet.layer4, packet.protocol) else { return None };
        let tunnels = self.tables.as_ref()?.tunnels();
        let encapsulation = if tunnels.port(destination)? { Encapsulation::Geneve } else { Encapsulation::Vxlan };
        let frame = frame.get(..packet.end)?;
        let mut capsule = Capsule::open(frame, packet, encapsulation).ok()?;
        if let Some(inside) = nested(frame, meta, &capsule).filter(|inside| tunnels.nests(inside.ports().1)) {
            capsule = capsule.open_nested(frame, &inside, Encapsulation::Vxlan).ok()?;
        }
        inner(frame, meta, &capsule).map(|(_, packet)| packet)
    }

    fn realm_of(&self, port: Port) -> Option<u16> {
        match port {
            Port::Data(iface) => self.links.get(iface.index())?.realm,
            Port::Local => Some(LOCAL_REALM),
        }
    }

    /// The session of the first key that is one's, or of what the packet quotes as an ICMP error.
    fn part_of(
        &self,
        keys: impl IntoIterator<Item = Key>,
        port: Port,
        frame: &[u8],
        packet: &Packet,
    ) -> Option<SessionView> {
        if packet.layer4 == Layer4::IcmpError {
            let quoted = Embedded::read(frame, packet).ok()?;
            return self.find_first(self.realm_of(port).map(|realm| Key::answering(&quoted, realm)));
        }
        self.find_first(keys)
    }

    fn find_first(&self, keys: impl IntoIterator<Item = Key>) -> Option<SessionView> {
        keys.into_iter().find_map(|key| self.table.find(&key)).map(|(slot, _)| self.view(slot))
    }
}

/// The frame in a capsule, and the IP packet in that.
fn inner<'a>(frame: &'a [u8], meta: Meta, capsule: &Capsule) -> Option<(&'a [u8], Packet)> {
    let base = capsule.inner_network().checked_sub(ethernet::HEADER_BYTES)?;
    let inside = frame.get(base..)?;
    match parse_as(inside, inner_kind(capsule, inside), inner_meta(meta, base)) {
        Ok(Parsed::Ip(packet)) => Some((inside, packet)),
        _ => None,
    }
}

fn data(port: Port) -> Option<IfaceId> {
    match port {
        Port::Data(iface) => Some(iface),
        Port::Local => None,
    }
}
