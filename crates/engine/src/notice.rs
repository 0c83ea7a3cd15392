//! What does the network say to the firewall itself, and what does the firewall say on its own account?
//!
//! Replies of DHCP servers and advertisements of routers are for whoever configures the interface: they leave as bounded events. Its
//! own messages come in whole and leave by the port, like any other frame of the engine's making.

use std::net::{IpAddr, Ipv4Addr};

use bartizan_packet::bytes::u16_at;
use bartizan_packet::checksum;
use bartizan_packet::ethernet;
use bartizan_packet::frame::{Frame, Meta};
use bartizan_packet::ndp;
use bartizan_packet::parse::{ICMPV6, Layer4, Packet, UDP};
use bartizan_policy::tables::{IfaceId, Interface};

use crate::engine::Engine;
use crate::neighbor::{Found, Waiting};
use crate::verdict::{DropReason, Notice, NoticeKind, Port, Time, Verdict};

/// Ports of DHCP (RFC 2131 section 4.1).
const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;
const UDP_HEADER_BYTES: usize = 8;

impl Engine {
    /// Takes a DHCP reply out of the stream; `None` when the packet is something else.
    pub(crate) fn hear_dhcp(&mut self, port: Port, frame: &Frame<'_>, packet: &Packet) -> Option<Verdict> {
        let Port::Data(iface) = port else { return None };
        let reply = packet.protocol == UDP
            && packet.layer4 == (Layer4::Ports { source: DHCP_SERVER, destination: DHCP_CLIENT })
            && !packet.fragment;
        if !reply || !self.tables.as_ref()?.interface(iface).is_some_and(|interface| awaits(interface, packet)) {
            return None;
        }
        if !udp_is_intact(frame, packet) {
            return Some(Verdict::Drop(DropReason::BadChecksum));
        }
        let payload = frame.bytes.get(packet.transport + UDP_HEADER_BYTES..packet.end).unwrap_or_default();
        Some(self.notice(Notice { kind: NoticeKind::Dhcp, iface, source: packet.source, bytes: payload.to_vec() }))
    }

    /// Takes a router's advertisement out of the stream, where the interface listens to such.
    pub(crate) fn hear_router(&mut self, port: Port, frame: &Frame<'_>, packet: &Packet) -> Option<Verdict> {
        let Port::Data(iface) = port else { return None };
        let advertisement = Layer4::IcmpOther { kind: ndp::ROUTER_ADVERTISEMENT };
        if packet.protocol != ICMPV6 || packet.layer4 != advertisement {
            return None;
        }
        if !self.tables.as_ref()?.interface(iface).is_some_and(|interface| interface.autoconf) {
            return None;
        }
        // RFC 6980: never in fragments.
        if frame.meta.fragment_bytes != 0 || ndp::RouterAdvertisement::of(frame.bytes, packet).is_none() {
            return Some(Verdict::Drop(DropReason::BadNeighborMessage));
        }
        let message = frame.bytes.get(packet.transport..packet.end).unwrap_or_default();
        let kind = NoticeKind::RouterAdvertisement;
        Some(self.notice(Notice { kind, iface, source: packet.source, bytes: message.to_vec() }))
    }

    /// Says it to the caller, so many times a second.
    pub(crate) fn notice(&mut self, notice: Notice) -> Verdict {
        if !self.notices.take(self.now, self.settings.limits.notices_per_second) || !self.outbox.note(notice) {
            return Verdict::Drop(DropReason::QueueFull);
        }
        self.counters.notices += 1;
        Verdict::Consumed
    }

    /// Sends a frame of the caller's making by an interface: to the station of `next_hop`, which is asked
    /// for when it is not known, or to the destination that stands in the frame.
    ///
    /// # Errors
    /// Why it was not sent; it is counted under the same reason.
    pub fn originate(
        &mut self,
        iface: IfaceId,
        next_hop: Option<IpAddr>,
        mut frame: Vec<u8>,
        now: Time,
    ) -> Result<(), DropReason> {
        self.now = self.now.max(now);
        let sent = self.send_own(Port::Data(iface), next_hop, &mut frame);
        if let Err(reason) = sent {
            self.counters.drop_packets(reason, 1);
        }
        sent
    }

    pub(crate) fn send_own(
        &mut self,
        port: Port,
        next_hop: Option<IpAddr>,
        frame: &mut Vec<u8>,
    ) -> Result<(), DropReason> {
        let own = self.mac_of(port).ok_or(DropReason::PortDown)?;
        if frame.len() < ethernet::HEADER_BYTES {
            return Err(DropReason::Malformed);
        }
        let mut station = ethernet::destination(frame);
        if let Some(address) = next_hop {
            station = match self.find_neighbor(port, address) {
                Found::Known(_, station) => station,
                Found::Asked(reference) | Found::Unasked(reference) => {
                    ethernet::address(frame, [0; 6], own);
                    let waiting = Waiting { bytes: std::mem::take(frame), meta: Meta::default() };
                    return self.neighbors.wait(reference, waiting).then_some(()).ok_or(DropReason::QueueFull);
                }
                Found::Silent => return Err(DropReason::NeighborUnresolved),
                Found::Full => return Err(DropReason::QueueFull),
            };
        }
        ethernet::address(frame, station, own);
        self.send(port, std::mem::take(frame));
        Ok(())
    }
}

/// Whether a reply to this address may be meant for the interface's client. Servers send to the address
/// they offer before the interface holds it; once it holds one, replies to others are passing through.
fn awaits(interface: &Interface, packet: &Packet) -> bool {
    let mut own = interface.addresses.iter().map(ipnet::IpNet::addr).filter(IpAddr::is_ipv4).peekable();
    interface.dhcp
        && packet.is_v4()
        && (packet.destination == IpAddr::V4(Ipv4Addr::BROADCAST)
            || own.peek().is_none()
            || own.any(|own| own == packet.destination))
}

/// Whether the UDP checksum is right, where there is one.
fn udp_is_intact(frame: &Frame<'_>, packet: &Packet) -> bool {
    let datagram = frame.bytes.get(packet.transport..packet.end).unwrap_or_default();
    packet.partial
        || u16_at(datagram, 6) == 0
        || checksum::transport(packet.source, packet.destination, UDP, datagram) == 0
}
