//! Can this packet open a session at all?

use std::net::{IpAddr, Ipv4Addr};

use bartizan_packet::parse::{Layer4, Packet, Tcp};
use bartizan_policy::tables::{Among, IfaceId, Route, RouterId};

use crate::engine::Engine;
use crate::ingress::Arrival;
use crate::key::Key;
use crate::pipeline::{Staged, drop};
use crate::protection::flood::Outcome;
use crate::relay::Handshake;
use crate::tcp::tracking::flags_are_sane;
use crate::verdict::{DropReason, Port};

impl Engine {
    /// The interface the packet came by, if the packet may open a session, and how.
    pub(crate) fn screen(&mut self, arrival: &Arrival, packet: &Packet, key: &Key) -> Staged<(IfaceId, Handshake)> {
        let Port::Data(iface) = arrival.port else { return drop(DropReason::LocalUnrelated) };
        let mut handshake = Handshake::Through;
        match packet.layer4 {
            Layer4::Tcp(tcp) if !flags_are_sane(&tcp) => return drop(DropReason::TcpState),
            Layer4::Tcp(tcp) if !tcp.flags.syn() || tcp.flags.ack() => match self.redeem(iface, packet, key) {
                Some(proof) => handshake = Handshake::Proven(proof),
                None if self.opens(&tcp) => {}
                None => return drop(DropReason::TcpNotSyn),
            },
            Layer4::Echo { reply: true, .. } => return drop(DropReason::IcmpUnrelated),
            Layer4::IcmpOther { .. } => return drop(DropReason::IcmpUnsupported),
            Layer4::Tcp(_) | Layer4::Ports { .. } | Layer4::Echo { .. } | Layer4::IcmpError | Layer4::Other => {}
        }
        if packet.source == packet.destination {
            return drop(DropReason::Land);
        }
        if !may_be_source(packet.source) {
            return drop(DropReason::Spoofed);
        }
        if !may_be_destination(packet.destination) {
            return drop(DropReason::BadDestination);
        }
        if is_link_local(packet.source) || is_link_local(packet.destination) {
            return self.screen_link_local(arrival, iface, packet).map(|iface| (iface, handshake));
        }
        if handshake != Handshake::Through {
            self.admit_proven(iface, packet)?;
        } else if self.admit(iface, packet)? == Outcome::Cookie {
            handshake = Handshake::Ask;
        }
        let among = Among::Interface(iface);
        let back = self.tables.as_ref().map(|tables| tables.route(RouterId(arrival.router), packet.source, &among));
        let Some(back) = back else { return drop(DropReason::NoRoute) };
        // Behind a load balancer's tunnel the firewall's addresses may be other hosts', too: what comes out of it
        // goes back by it.
        let passes = self.links.get(iface.index()).is_some_and(|link| link.tunnel && !link.routed);
        if !passes && matches!(back, Route::Local { .. }) {
            return drop(DropReason::Spoofed);
        }
        // A pod does not have an address of the firewall.
        if self.is_hairpin(iface) && self.is_own(arrival.router, packet.destination) {
            return drop(DropReason::Spoofed);
        }
        self.check_source(iface, packet, back)?;
        Ok((iface, handshake))
    }

    fn is_own(&self, router: u16, address: IpAddr) -> bool {
        let route = self.tables.as_ref().map(|tables| tables.route(RouterId(router), address, &Among::First));
        matches!(route, Some(Route::Local { .. }))
    }

    /// Whether a segment may open a session: a SYN, or anything but a reset where the configuration lets
    /// connections be picked up in their midst.
    fn opens(&self, tcp: &Tcp) -> bool {
        let opening = tcp.flags.syn() && !tcp.flags.ack();
        let strict = self.tables.as_ref().is_none_or(|tables| tables.session.reject_non_syn);
        opening || !(strict || tcp.flags.rst())
    }

    /// Of link-local traffic only ping of the interface itself is of use; it needs no session.
    fn screen_link_local(&self, arrival: &Arrival, iface: IfaceId, packet: &Packet) -> Staged<IfaceId> {
        let own = self.mac_of(arrival.port).map(|mac| IpAddr::V6(bartizan_packet::ndp::link_local(mac)));
        let ping = matches!(packet.layer4, Layer4::Echo { reply: false, .. });
        if own == Some(packet.destination) && ping && self.may_ping(iface, packet.source) {
            return Ok(iface);
        }
        drop(DropReason::LinkLocal)
    }
}

/// Whether a packet for this link-local address may not be routed.
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    // 169.254.0.0/16 is left alone: clouds route their metadata services there.
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

fn may_be_source(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(is_reserved(v4) || v4.is_multicast()),
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_loopback() || v6.is_multicast()),
    }
}

fn may_be_destination(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !is_reserved(v4),
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_loopback()),
    }
}

/// "This network", loopback and the former class E with broadcast (RFC 1122 section 3.2.1.3).
fn is_reserved(address: Ipv4Addr) -> bool {
    matches!(address.octets()[0], 0 | 127 | 240..)
}
