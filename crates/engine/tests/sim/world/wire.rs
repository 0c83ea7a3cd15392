//! How do frames get from the engine to the reference, and whose are they?

use std::net::IpAddr;

use bartizan_engine::verdict::{DropReason, Port, Time, Verdict};
use bartizan_packet::frame::{Frame, Meta};
use bartizan_policy::tables::{Compiled, IfaceId};

use super::super::frames::{Joined, Mac, Packet, join, neighbor_answer};
use super::super::generate::{interface_name, interface_number, own_mac};
use super::super::host;
use super::super::tunnels::{Header, INGRESS, LOWER};
use super::{Sent, World};

/// Number of an interface, and what was around a packet that left by it.
type Place = (usize, Option<Header>);

/// How a packet left: the longest piece of what was joined, of itself or of the packet around it.
#[derive(Clone, Copy, PartialEq)]
struct Left {
    place: Place,
    pieces: Option<usize>,
}

impl World {
    /// A fragment that does not complete its datagram.
    pub(super) fn swallow(&mut self, (port, vlan): (Port, u16), mut bytes: Vec<u8>) -> Result<(), String> {
        let mut frame = Frame { bytes: &mut bytes, meta: Meta { vlan, ..Meta::default() } };
        let verdict = self.engine.handle_frame(port, &mut frame, Time(self.now));
        let sent = self.drain(None)?.len();
        let ended = matches!(verdict, Verdict::Consumed | Verdict::Drop(_));
        if ended && sent == 0 {
            Ok(())
        } else {
            Err(format!("a fragment alone came to {verdict:?}, {sent} frames left"))
        }
    }

    /// All frames the engine has for the world, questions to neighbours answered.
    pub(super) fn drain(&mut self, first: Option<(Port, u16, Vec<u8>)>) -> Result<Vec<Sent>, String> {
        let mut frames: Vec<_> = first.into_iter().collect();
        while let Some(transmit) = self.engine.poll_transmit() {
            let vlan = transmit.meta.vlan;
            match neighbor_answer(&transmit.bytes, mac) {
                Some((address, _)) if self.is_deserted(transmit.port, vlan, address) => {}
                Some((address, mut answer)) => {
                    let frame = &mut Frame { bytes: &mut answer, meta: Meta { vlan, ..Meta::default() } };
                    let verdict = self.engine.handle_frame(transmit.port, frame, Time(self.now));
                    self.log.push(format!("            {address} answers: {verdict:?}"));
                    // An interface that lost its zone or router has nothing to say to its neighbours any more.
                    let silent = matches!(verdict, Verdict::Drop(DropReason::NoZone | DropReason::NoRouter));
                    if silent {
                        self.deserted.insert(address);
                    } else if verdict != Verdict::Consumed {
                        return Err(format!("the answer of a neighbour came to {verdict:?}"));
                    }
                }
                None => frames.push((transmit.port, vlan, transmit.bytes)),
            }
        }
        while self.engine.poll_event().is_some() {}
        let frames = join(frames.into_iter().map(|(port, vlan, bytes)| ((port, vlan), bytes)).collect())?;
        let inner: Result<Vec<_>, String> = frames.into_iter().map(|(by, joined)| self.unwrap(by, joined)).collect();
        join(inner?)?.into_iter().map(|(left, joined)| self.read(left, &joined)).collect()
    }

    /// The number of the interface a frame left by, and what was around it.
    fn unwrap(&self, (port, vlan): (Port, u16), (bytes, longest): Joined) -> Result<(Left, Vec<u8>), String> {
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
            Some(inside) => (Left { place: (inside.side, Some(inside.header)), pieces }, inside.frame),
            None => (Left { place: (number, None), pieces }, bytes),
        })
    }

    fn is_deserted(&mut self, port: Port, vlan: u16, address: IpAddr) -> bool {
        let interface = behind(&self.tables, port, vlan).and_then(|id| self.tables.interface(id));
        let claimed = interface
            .is_some_and(|interface| interface.proxy.iter().any(|(first, last)| *first <= address && address <= *last));
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
        let destination = bytes[..6].try_into().map_err(|_| "no frame")?;
        Ok(Sent { interface, destination, packet, longest, outer_longest, header })
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
