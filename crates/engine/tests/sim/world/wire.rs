//! How do frames get from the engine to the reference, and whose are they?

use std::net::IpAddr;

use bartizan_engine::Engine;
use bartizan_engine::verdict::{DropReason, Port, Verdict};
use bartizan_packet::frame::{Meta, Segmentation};
use bartizan_policy::tables::{Compiled, IfaceId};

use super::super::frames::{Joined, Mac, Packet, join, neighbor_answer};
use super::super::generate::{interface_name, interface_number, own_mac};
use super::super::host;
use super::super::offload::finish;
use super::super::tunnels::{Header, INGRESS, LOWER};
use super::workers::Raw;
use super::{Sent, World};

/// Number of an interface, and what was around a packet that left by it.
type Place = (usize, Option<Header>);

/// How a packet left: the longest piece of what was joined, of itself or of the packet around it.
#[derive(Clone, Copy, PartialEq)]
struct Left {
    place: Place,
    pieces: Option<usize>,
    /// A card is to cut it into segments with so much payload; 0 if not.
    segment_bytes: u16,
}

impl World {
    /// All frames the engine has for the world, questions to neighbours answered.
    pub(super) fn drain(&mut self, first: Option<Raw>) -> Result<Vec<Sent>, String> {
        let mut frames: Vec<_> = first.into_iter().collect();
        while let Some(transmit) = self.engines.iter_mut().find_map(Engine::poll_transmit) {
            let vlan = transmit.meta.vlan;
            match neighbor_answer(&transmit.bytes, mac) {
                Some((address, _)) if self.is_deserted(transmit.port, vlan, address) => {}
                Some((address, bytes)) => {
                    let meta = Meta { vlan, ..Meta::default() };
                    let (verdict, _) = self.deliver(Raw { port: transmit.port, meta, bytes })?;
                    self.log.push(format!("            {address} answers: {verdict:?}"));
                    // An interface that lost its zone or router has nothing to say to its neighbours any more.
                    let silent = matches!(verdict, Verdict::Drop(DropReason::NoZone | DropReason::NoRouter));
                    if silent {
                        self.deserted.insert(address);
                    } else if verdict != Verdict::Consumed {
                        return Err(format!("the answer of a neighbour came to {verdict:?}"));
                    }
                }
                None => frames.push(Raw { port: transmit.port, meta: transmit.meta, bytes: transmit.bytes }),
            }
        }
        self.hear()?;
        let finished = frames.into_iter().map(|Raw { port, meta, mut bytes }| {
            finish(&mut bytes, &meta);
            let segment_bytes = if meta.segmentation == Segmentation::None { 0 } else { meta.segment_bytes };
            ((port, meta.vlan, segment_bytes), bytes)
        });
        let frames = join(finished.collect())?;
        let inner: Result<Vec<_>, String> = frames.into_iter().map(|(by, joined)| self.unwrap(by, joined)).collect();
        join(inner?)?.into_iter().map(|(left, joined)| self.read(left, &joined)).collect()
    }

    /// The number of the interface a frame left by, and what was around it.
    fn unwrap(
        &self,
        (port, vlan, segment_bytes): (Port, u16, u16),
        (bytes, longest): Joined,
    ) -> Result<(Left, Vec<u8>), String> {
        let name = match port {
            Port::Local => host::NAME,
            Port::Data(_) => {
                let id = behind(&self.tables, port, vlan).ok_or("a tag that is nobody's")?;
                self.tables.interface_name(id)
            }
        };
        if bytes[6..12] != own_mac(name) {
            return Err("a frame with somebody else's source MAC".into());
        }
        let number = interface_number(name).ok_or("an interface without a number")?;
        let unwrapped = match self.network.tunnel.filter(|_| number == LOWER) {
            Some(tunnel) => tunnel.unwrap(&bytes)?,
            None => None,
        };
        let pieces = (longest < bytes.len() - 14).then_some(longest);
        Ok(match unwrapped {
            Some(inside) => (Left { place: (inside.side, Some(inside.header)), pieces, segment_bytes }, inside.frame),
            None => (Left { place: (number, None), pieces, segment_bytes }, bytes),
        })
    }

    fn is_deserted(&mut self, port: Port, vlan: u16, address: IpAddr) -> bool {
        let interface = behind(&self.tables, port, vlan).and_then(|id| self.tables.interface(id));
        let claimed = interface.is_some_and(|interface| {
            interface.proxy.iter().any(|(first, last)| *first <= address && address <= *last)
                || interface.addresses.iter().any(|own| own.addr() == address)
        });
        if claimed {
            self.deserted.insert(address);
        }
        self.deserted.contains(&address)
    }

    fn read(&self, left: Left, (bytes, longest): &Joined) -> Result<Sent, String> {
        let (number, header) = left.place;
        let (longest, outer_longest) = match header {
            Some(_) => (*longest, left.pieces),
            None => (left.pieces.unwrap_or(*longest), None),
        };
        let interface = interface_name(number);
        let packet = Packet::read(&bytes[14..])?;
        let longest = match left.segment_bytes {
            0 => longest,
            payload => longest.min(packet.header_bytes() + usize::from(payload)),
        };
        let segment_bytes = left.segment_bytes;
        let destination = bytes[..6].try_into().map_err(|_| "no frame")?;
        Ok(Sent { interface, destination, packet, longest, outer_longest, header, segment_bytes })
    }

    /// The name of an interface as frames that leave by it show it.
    pub(super) fn shown(&self, interface: &str) -> String {
        let side = self.network.tunnel.and_then(|tunnel| Some(tunnel.side(interface_number(interface)?)));
        side.map_or_else(|| interface.to_owned(), interface_name)
    }
}

/// The MAC of whoever has an address.
pub(super) fn mac(ip: IpAddr) -> Mac {
    match ip {
        host if host == host::address(host.is_ipv4()) => host::MAC,
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            [2, a, b, c, d, 4]
        }
        IpAddr::V6(ip) => {
            let octets = ip.octets();
            [2, octets[1], octets[7], octets[14], octets[15], 6]
        }
    }
}

/// Port and tag of an interface on the wire.
pub(super) fn wire(tables: &Compiled, interface: &str) -> (Port, u16) {
    if interface == host::NAME {
        return (Port::Local, 0);
    }
    let carrier = interface_name(LOWER);
    let inside = interface_number(interface).is_some_and(|number| number >= INGRESS);
    let interface = if inside { &carrier } else { interface };
    let id = tables.interface_id(interface).expect("a configured interface");
    let (port, tag) = tables.interface(id).and_then(|interface| interface.vlan).unwrap_or((id, 0));
    (Port::Data(port), tag)
}

/// The interface of a port and tag.
fn behind(tables: &Compiled, port: Port, tag: u16) -> Option<IfaceId> {
    let Port::Data(id) = port else { return None };
    let mut parts = tables.interfaces();
    match tag {
        0 => Some(id),
        _ => parts.find(|(_, part)| part.vlan == Some((id, tag))).map(|(part, _)| part),
    }
}
