//! May the packet go one hop further: TTL and MTU?

use std::net::IpAddr;

use bartizan_packet::answer::{self, Link, Problem, icmp_error};
use bartizan_packet::frame::{Checksum, Frame, Segmentation};
use bartizan_packet::ndp;
use bartizan_packet::parse::Packet;
use bartizan_packet::rewrite;

use crate::engine::Engine;
use crate::ingress::Arrival;
use crate::path::PathRef;
use crate::pipeline::{Staged, drop};
use crate::session::{Direction, Kind};
use crate::table::Slot;
use crate::verdict::{DropReason, Port};

impl Engine {
    /// Checks TTL and MTU, and tells the sender what is wrong. Makes sure of the way on first.
    #[inline]
    pub(crate) fn hop(
        &mut self,
        slot: Slot,
        direction: Direction,
        arrival: &Arrival,
        frame: &mut Frame<'_>,
        packet: &Packet,
    ) -> Staged<()> {
        self.forget_silent(slot, direction);
        if self.table[slot].sides[direction.index()].path == PathRef::NONE {
            self.find_path(slot, direction)?;
        }
        let session = &self.table[slot];
        let path = self.paths.get(session.sides[direction.index()].path);
        let mtu_bytes = match path {
            Some(path) if self.is_tunnel(path.port) && self.passes(slot, direction) => 0,
            Some(path) if self.is_tunnel(path.port) => self.tunnel_mtu(slot, direction),
            Some(path) => self.mtu(path.port),
            None => 0,
        };
        if session.kind == Kind::Forward && packet.ttl <= 1 {
            self.report(arrival, frame, packet, Problem::TimeExceeded);
            return drop(DropReason::TtlExpired);
        }
        if mtu_bytes != 0 && packet.wire_packet_bytes(frame.meta) > usize::from(mtu_bytes) {
            return self.shrink(arrival, frame, packet, mtu_bytes);
        }
        Ok(())
    }

    /// What is too big for its way leaves in fragments, or, offloaded, in smaller segments. Where the sender
    /// forbids that, or the family does, it is told which size fits.
    fn shrink(&mut self, arrival: &Arrival, frame: &mut Frame<'_>, packet: &Packet, mtu_bytes: u16) -> Staged<()> {
        if packet.dont_fragment {
            self.report(arrival, frame, packet, Problem::TooBig { mtu_bytes });
            return drop(DropReason::TooBig);
        }
        match frame.meta.segmentation {
            Segmentation::None => frame.meta.fragment_bytes = mtu_bytes,
            Segmentation::TcpV4 | Segmentation::TcpV6 => {
                let room = usize::from(mtu_bytes).saturating_sub(packet.header_bytes());
                frame.meta.segment_bytes = room.max(1) as u16;
            }
            Segmentation::Udp => return drop(DropReason::TooBig),
        }
        Ok(())
    }

    /// Sends an ICMP error about a packet, as it came in, back to its sender. A checksum that was left to the network
    /// card is finished: the error quotes what would have been on a wire.
    pub(crate) fn report(&mut self, arrival: &Arrival, frame: &mut Frame<'_>, packet: &Packet, problem: Problem) {
        let Port::Data(iface) = arrival.port else { return };
        let Some(mac) = self.mac_of(arrival.port) else { return };
        if !answer::may_report(packet) || self.is_untold(iface, problem) {
            return;
        }
        let speaker = self.tunnels.lower().unwrap_or(iface);
        let Some(from) = self.own_address(speaker, packet.source) else { return };
        if !self.answers.take(self.now, self.settings.limits.answers_per_second) {
            self.counters.rejections_suppressed += 1;
            return;
        }
        self.counters.rejections += 1;
        if let Checksum::Partial { start, offset } = frame.meta.checksum {
            rewrite::finish_partial(frame.bytes, start.into(), offset.into(), packet.end);
            frame.meta.checksum = Checksum::Complete;
        }
        let link = Link { source: mac, destination: arrival.station };
        let bytes = icmp_error(link, from, frame.bytes, packet, problem);
        self.send(arrival.port, bytes);
    }

    /// The interface's address to speak to a neighbour from: the one of its network, else the first.
    pub(crate) fn own_address(&self, iface: bartizan_policy::tables::IfaceId, towards: IpAddr) -> Option<IpAddr> {
        let interface = self.tables.as_ref()?.interface(iface)?;
        let family = interface.addresses.iter().filter(|network| network.addr().is_ipv4() == towards.is_ipv4());
        let near = family.clone().find(|network| network.contains(&towards));
        near.or_else(|| family.clone().next()).map(ipnet::IpNet::addr).or_else(|| match towards {
            IpAddr::V4(_) => None,
            IpAddr::V6(_) => self.mac_of(Port::Data(iface)).map(|mac| ndp::link_local(mac).into()),
        })
    }
}
