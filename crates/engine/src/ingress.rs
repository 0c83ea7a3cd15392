//! Is this frame for us, and by which interface did it come?
//!
//! ARP and NDP are answered here and go no further; so do replies to the firewall's own DHCP requests.

use std::net::IpAddr;

use bartizan_packet::arp::{Arp, Operation};
use bartizan_packet::ethernet::{self, Mac};
use bartizan_packet::frame::{Frame, Meta};
use bartizan_packet::ndp;
use bartizan_packet::oddity::{Oddities, Oddity};
use bartizan_packet::parse::{ICMPV6, Layer4, Malformed, Packet, Parsed};
use bartizan_policy::tables::IfaceId;

use crate::engine::{Engine, local_host};
use crate::key::LOCAL_REALM;
use crate::pipeline::{Staged, drop};
use crate::verdict::{DropReason, PeerMessage, Port, Verdict};

/// How a packet came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) port: Port,
    /// Router of its interface; [`LOCAL_REALM`] on the local link.
    pub(crate) router: u16,
    /// Within what its addresses are unique.
    pub(crate) realm: u16,
    /// The station that sent it.
    pub(crate) station: Mac,
    /// Packets and IP bytes it is on a wire.
    pub(crate) wire: (u64, u64),
}

/// The counter for a frame that cannot be read.
pub(crate) fn malformed(malformed: Malformed) -> DropReason {
    match malformed {
        Malformed::Checksum => DropReason::BadChecksum,
        Malformed::Truncated | Malformed::Header | Malformed::Extensions | Malformed::Offload => DropReason::Malformed,
    }
}

/// What of a packet is refused. A datagram that was put together still has the fragment header it needed.
#[inline]
fn refused_oddity(frame: &Frame<'_>, packet: &Packet, refused: Oddities) -> Option<Oddity> {
    let mut found = packet.oddities.of(refused);
    if frame.meta.fragment_bytes != 0 {
        found.remove(Oddity::NeedlessFragmentHeader);
    }
    found.first()
}

impl Engine {
    /// The packet with how it came in.
    pub(crate) fn ingress<'p>(
        &mut self,
        port: Port,
        frame: &mut Frame<'_>,
        parsed: &'p Parsed,
        wire: (u64, u64),
    ) -> Staged<(Arrival, &'p Packet)> {
        let Some(mac) = self.mac_of(port) else { return drop(DropReason::PortDown) };
        let destination = ethernet::destination(frame.bytes);
        let to_group = ethernet::is_group(destination);
        let inside = self.tunnels.is_inside();
        if !inside && destination != mac && !to_group {
            return drop(DropReason::NotForUs);
        }
        let (router, realm, protected) = match port {
            Port::Local => (LOCAL_REALM, LOCAL_REALM, None),
            Port::Data(iface) => {
                let link = self.links.get(iface.index()).copied().unwrap_or_default();
                let Some(zone) = link.zone.filter(|_| link.configured) else { return drop(DropReason::NoZone) };
                let (Some(router), Some(realm)) = (link.router, link.realm) else { return drop(DropReason::NoRouter) };
                (router, realm, Some((zone, link.refused)))
            }
        };
        let packet = match parsed {
            Parsed::Arp if inside => return Err(self.answer_arp_inside(port, mac, frame.bytes)),
            Parsed::Arp => return Err(self.handle_arp(port, mac, frame.bytes)),
            Parsed::Other(_) => return drop(DropReason::UnsupportedProtocol),
            Parsed::Ip(packet) => packet,
        };
        let discovery = Layer4::IcmpOther { kind: ndp::SOLICITATION };
        let advertisement = Layer4::IcmpOther { kind: ndp::ADVERTISEMENT };
        if packet.protocol == ICMPV6 && (packet.layer4 == discovery || packet.layer4 == advertisement) {
            // RFC 6980: never in fragments. What a pod asks its neighbours is between them.
            if frame.meta.fragment_bytes != 0 || self.tunnels.is_hairpin() {
                return drop(DropReason::BadNeighborMessage);
            }
            return Err(self.handle_ndp(port, mac, frame.bytes, packet));
        }
        if let Some(verdict) = self.hear_dhcp(port, frame, packet).or_else(|| self.hear_router(port, frame, packet)) {
            return Err(verdict);
        }
        if is_group(packet.destination) {
            return drop(DropReason::Multicast);
        }
        if to_group && !inside {
            return drop(DropReason::NotForUs);
        }
        if let Some((zone, refused)) = protected {
            if let Some(oddity) = refused_oddity(frame, packet, refused) {
                return self.refuse_oddity(zone, oddity, wire.0);
            }
            if self.protection.is_blocked(zone, packet, self.now) {
                return self.refuse_blocked(zone, wire.0);
            }
        }
        if packet.source_routed {
            return drop(DropReason::SourceRoute);
        }
        let station = ethernet::source(frame.bytes);
        Ok((Arrival { port, router, realm, station, wire }, packet))
    }

    /// Behind a tunnel the firewall is the next station to everywhere.
    fn answer_arp_inside(&mut self, port: Port, mac: Mac, frame: &[u8]) -> Verdict {
        let Some(arp) = Arp::read(frame) else { return Verdict::Drop(DropReason::BadNeighborMessage) };
        if arp.operation == Operation::Request && !arp.sender.is_unspecified() && arp.sender != arp.target {
            self.counters.neighbor_answers += 1;
            self.send(port, arp.reply(mac));
        }
        Verdict::Consumed
    }

    fn handle_arp(&mut self, port: Port, mac: Mac, frame: &[u8]) -> Verdict {
        let Some(arp) = Arp::read(frame) else { return Verdict::Drop(DropReason::BadNeighborMessage) };
        let sender = IpAddr::V4(arp.sender);
        let probe = arp.sender.is_unspecified();
        let claims_ours = !probe && self.answers_for(port, mac, sender);
        if ethernet::is_group(arp.sender_mac) || claims_ours || (!probe && arp.sender_mac == mac) {
            return Verdict::Drop(DropReason::BadNeighborMessage);
        }
        let ours = self.answers_for(port, mac, IpAddr::V4(arp.target));
        // Without an address of its own the interface asks from none, and answers are for that.
        let asked = arp.operation == Operation::Reply && self.neighbors.knows(port, sender);
        if !probe && (ours || asked) {
            self.learn_and_tell(port, sender, arp.sender_mac, arp.operation == Operation::Reply);
        }
        if arp.operation == Operation::Request && ours {
            self.counters.neighbor_answers += 1;
            self.send(port, arp.reply(mac));
        }
        Verdict::Consumed
    }

    fn handle_ndp(&mut self, port: Port, mac: Mac, frame: &[u8], packet: &Packet) -> Verdict {
        let Some(message) = ndp::Message::read(frame, packet) else {
            return Verdict::Drop(DropReason::BadNeighborMessage);
        };
        let IpAddr::V6(asker) = packet.source else { return Verdict::Drop(DropReason::BadNeighborMessage) };
        let inside = self.tunnels.is_inside();
        if !inside && self.answers_for(port, mac, packet.source) {
            return Verdict::Drop(DropReason::BadNeighborMessage);
        }
        match message {
            ndp::Message::Solicitation { target, mac: asker_mac } => {
                if !inside && !self.answers_for(port, mac, IpAddr::V6(target)) {
                    return Verdict::Consumed;
                }
                if let Some(asker_mac) = asker_mac.filter(|_| !inside) {
                    self.learn_and_tell(port, packet.source, asker_mac, false);
                }
                self.counters.neighbor_answers += 1;
                let to = asker_mac.unwrap_or_else(|| ethernet::source(frame));
                self.send(port, ndp::advertise(mac, to, asker, target));
            }
            ndp::Message::Advertisement { .. } if inside => {}
            ndp::Message::Advertisement { target, mac: Some(target_mac), solicited } => {
                let target = IpAddr::V6(target);
                if self.answers_for(port, mac, target) || ethernet::is_group(target_mac) {
                    return Verdict::Drop(DropReason::BadNeighborMessage);
                }
                self.learn_and_tell(port, target, target_mac, solicited);
            }
            ndp::Message::Advertisement { .. } => {}
        }
        Verdict::Consumed
    }

    /// Whether an address is one that this port answers for.
    fn answers_for(&self, port: Port, mac: Mac, address: IpAddr) -> bool {
        let iface = match port {
            // The engine is everyone on the local link but the host.
            Port::Local => return is_local_link(address) && address != local_host(address),
            Port::Data(iface) => iface,
        };
        if address == IpAddr::V6(ndp::link_local(mac)) {
            return true;
        }
        let Some(interface) = self.tables.as_ref().and_then(|tables| tables.interface(iface)) else { return false };
        interface.addresses.iter().any(|own| own.addr() == address)
            || interface.proxy.iter().any(|(first, last)| in_range(address, *first, *last))
    }

    pub(crate) fn is_on_link(&self, port: Port, address: IpAddr) -> bool {
        match port {
            Port::Local => address == local_host(address),
            Port::Data(iface) => self.is_connected(iface, address),
        }
    }

    /// Whether an address is in a network that is connected to the interface.
    pub(crate) fn is_connected(&self, iface: IfaceId, address: IpAddr) -> bool {
        if let IpAddr::V6(v6) = address
            && v6.is_unicast_link_local()
        {
            return true;
        }
        let interface = self.tables.as_ref().and_then(|tables| tables.interface(iface));
        interface.is_some_and(|interface| interface.addresses.iter().any(|network| network.contains(&address)))
    }

    fn learn_and_tell(&mut self, port: Port, address: IpAddr, mac: Mac, answer: bool) {
        let news = self.learn_neighbor(port, address, mac);
        // An answer is told even when it is no news here: the question may be another worker's.
        if self.settings.workers > 1 && (news || answer) {
            self.outbox.tell(None, PeerMessage::Neighbor { port, address, mac }, &mut self.counters);
        }
    }

    pub(crate) fn send(&mut self, port: Port, bytes: Vec<u8>) {
        if let Port::Data(iface) = port
            && self.is_hairpin(iface)
        {
            return self.send_back(iface, bytes);
        }
        if self.is_tunnel(port) {
            return self.send_into_tunnel(port, None, &bytes);
        }
        self.outbox.transmit(port, bytes, Meta::default(), &mut self.counters);
    }
}

/// Whether an address is a multicast group or everyone on the link.
pub(crate) fn is_group(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_multicast(),
    }
}

fn in_range(address: IpAddr, first: IpAddr, last: IpAddr) -> bool {
    address.is_ipv4() == first.is_ipv4() && (first..=last).contains(&address)
}

/// 198.18.0.0/15 and 2001:2::/48.
pub(crate) fn is_local_link(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[0] == 198 && v4.octets()[1] & 0xfe == 18,
        IpAddr::V6(v6) => v6.segments()[..3] == [0x2001, 2, 0],
    }
}
