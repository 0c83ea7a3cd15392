//! What becomes of a packet that is on its way to a pod?
//!
//! The node of a protected pod hands the firewall what comes for it, in the pod's own tunnel: the tunnel packet's
//! source is the destination of the packet in it. That is either a packet which the firewall has not seen, and
//! which is judged like any other before it goes back into the tunnel; or one of the firewall's own making, which
//! it sent to the pod without knowing of the tunnel. That one was judged: it only goes back, and the session
//! remembers the tunnel, so that its next packets go straight into it. Whatever such a packet says, it goes into
//! the tunnel it came out of, or nowhere.

use std::net::IpAddr;

use bartizan_packet::frame::{Frame, Meta};
use bartizan_packet::parse::{Packet, Parsed, parse};
use bartizan_packet::tunnel::Capsule;
use bartizan_policy::tables::{Among, IfaceId, Route, RouterId};

use crate::engine::Engine;
use crate::ingress::Arrival;
use crate::key::Key;
use crate::pipeline::{Place, Staged, drop};
use crate::rematch::Rematch;
use crate::screen::is_link_local;
use crate::session::{Direction, Kind};
use crate::settings::SECOND;
use crate::table::Slot;
use crate::tunnel::{Learned, ReturnRef};
use crate::verdict::{DropReason, EndReason, Port, Verdict};

/// So long a session believes in a tunnel that nothing comes out of: the pod may be gone, and its address another's.
pub(crate) const SILENCE: u64 = 30 * SECOND;

impl Engine {
    /// The interface by which a packet out of a cluster's tunnel comes that is for the pod whose tunnel it is.
    pub(crate) fn hairpin_of(&self, iface: IfaceId, capsule: &Capsule, packet: &Packet) -> Option<IfaceId> {
        let tunnel = self.tables.as_ref()?.interface(iface)?.tunnel.as_ref()?;
        let hairpin = tunnel.hairpin?;
        let for_sender = self.tunnels.sender(capsule) == packet.destination;
        (for_sender && !is_link_local(packet.destination)).then_some(hairpin)
    }

    /// Whether packets that come by an interface are on their way to the pod whose tunnel they come out of.
    pub(crate) fn is_hairpin(&self, iface: IfaceId) -> bool {
        self.links.get(iface.index()).is_some_and(|link| link.hairpin)
    }

    /// The session of a packet on its way to a pod: by what it says, as it would arrive otherwise or as it would
    /// leave; behind the cluster's tunnels, and among those of the router.
    pub(crate) fn lookup_hairpin(&mut self, key: &Key, arrival: &Arrival) -> Place {
        let answer = key.answer();
        let keys = [*key, key.in_realm(arrival.router), answer, answer.in_realm(arrival.router)];
        for (at, key) in keys.iter().enumerate() {
            if let Some((slot, direction)) = self.find_live(key) {
                return match at {
                    0 | 1 if self.comes_by_hairpin(slot, direction) => Place::Here(slot, direction),
                    0 | 1 => Place::Returning(slot, direction),
                    _ if self.leaves_plainly(slot, direction.other()) => Place::Returning(slot, direction.other()),
                    _ => Place::Taken,
                };
            }
            if let Some(owner) = self.steered_to(key) {
                return Place::Elsewhere(owner);
            }
        }
        self.homewards(&keys).map_or(Place::Nowhere, Place::Elsewhere)
    }

    /// Whether packets of a direction first come to the firewall on their way to the pod.
    fn comes_by_hairpin(&self, slot: Slot, direction: Direction) -> bool {
        let ingress = self.table.record(slot).ingress;
        match direction {
            Direction::ClientToServer => self.is_hairpin(ingress),
            // The client is a pod: what is sent to it by the tunnel comes no second time.
            Direction::ServerToClient => self.is_tunnel(Port::Data(ingress)) && !self.is_hairpin(ingress),
        }
    }

    /// Whether packets of a direction leave, or left once, by the router's way.
    fn leaves_plainly(&self, slot: Slot, direction: Direction) -> bool {
        let reference = self.table.record(slot).tunnels[direction.other().index()];
        reference == ReturnRef::NONE || self.tunnels.learned(reference).is_some()
    }

    /// What a session is that came out of a tunnel and goes into one.
    pub(crate) fn wire_from(&self, ingress: IfaceId) -> Kind {
        match self.links.get(ingress.index()) {
            Some(link) if link.routed => Kind::Node,
            _ => Kind::Wire,
        }
    }

    /// Whether a packet of a direction goes back into the tunnel it came out of, as it is.
    pub(crate) fn passes(&self, slot: Slot, direction: Direction) -> bool {
        match self.table[slot].kind {
            Kind::Wire => true,
            // A protected pod at the other end is spoken to, and speaks, in its own tunnel.
            Kind::Node => match direction {
                Direction::ClientToServer => {
                    self.tunnels.learned(self.table.record(slot).tunnels[direction.other().index()]).is_none()
                }
                Direction::ServerToClient => self.tunnels.is_hairpin(),
            },
            Kind::Hairpin => {
                self.tunnels.is_inside() && self.tunnels.is_hairpin() == (direction == Direction::ClientToServer)
            }
            Kind::Forward | Kind::LocalService | Kind::LocalEcho | Kind::Refused => false,
        }
    }

    /// A packet that looks as if the firewall had sent it to the pod. If it has, it was judged and counted.
    pub(crate) fn come_back(
        &mut self,
        slot: Slot,
        direction: Direction,
        arrival: &Arrival,
        frame: &mut Frame<'_>,
        packet: &Packet,
        key: &Key,
    ) -> Staged<Verdict> {
        if self.table[slot].generation != self.generation && self.rematch(slot) == Rematch::Gone {
            return match self.elsewhere(key) {
                Some(worker) => Ok(Verdict::Handoff(worker)),
                None => self.open(arrival, frame, packet, key),
            };
        }
        match self.table[slot].kind {
            Kind::Refused => return self.reject(slot, direction, arrival, frame, packet),
            Kind::LocalEcho | Kind::LocalService => return drop(DropReason::LocalUnrelated),
            Kind::Forward | Kind::Wire | Kind::Node | Kind::Hairpin => {}
        }
        if !self.take_back(slot, direction, arrival)? {
            // Another firewall sent it: it is judged, but it says already what it has to say. The numbers of a
            // connection that began with a cookie are not those that were tracked.
            if self.relay_of(slot).is_none() && !self.follow(slot, direction, packet)? {
                self.end(slot, EndReason::TcpFin);
                return self.open(arrival, frame, packet, key);
            }
            self.touch(slot, direction, arrival.wire);
        }
        self.deliver(arrival)
    }

    /// Whether the firewall sent the packet in hand itself. The session knows the pod's tunnel from now on.
    pub(crate) fn take_back(&mut self, slot: Slot, direction: Direction, arrival: &Arrival) -> Staged<bool> {
        let end = direction.other().index();
        let packets = arrival.wire.0;
        let reference = self.table.record(slot).tunnels[end];
        if reference != ReturnRef::NONE {
            self.tunnels.refresh(reference, self.now);
            let own = self.tunnels.take_returning(reference, packets);
            self.counters.hairpins_returned += if own { packets } else { 0 };
            return Ok(own);
        }
        let Some(side) = self.side_behind(arrival) else { return drop(DropReason::TunnelHeader) };
        // So many may still come that left before the tunnel was known.
        let sent = self.table[slot].sides[direction.index()].counts.0;
        let returning = u32::try_from(sent.saturating_sub(packets)).unwrap_or(u32::MAX);
        let learned = Learned { side, returning, heard: self.now };
        let Some(reference) = self.tunnels.learn(learned) else { return drop(DropReason::TunnelTableFull) };
        self.table.record_mut(slot).tunnels[end] = reference;
        self.leave_path(slot, direction);
        self.counters.hairpins_returned += packets;
        Ok(true)
    }

    /// The packet in hand goes back into its tunnel as it came.
    pub(crate) fn deliver(&self, arrival: &Arrival) -> Staged<Verdict> {
        match self.side_behind(arrival) {
            Some(side) => Ok(Verdict::Transmit(Port::Data(side))),
            None => drop(DropReason::TunnelHeader),
        }
    }

    fn side_behind(&self, arrival: &Arrival) -> Option<IfaceId> {
        let Port::Data(iface) = arrival.port else { return None };
        self.side_into_tunnels(iface)
    }

    /// The side by which packets go into the tunnels of the cluster that packets of an interface come out of.
    pub(crate) fn side_into_tunnels(&self, iface: IfaceId) -> Option<IfaceId> {
        Some(self.tables.as_ref()?.interface(iface)?.tunnel.as_ref()?.other)
    }

    /// The side by which packets of a direction go into the tunnel that was learned for their receiver. A tunnel
    /// that a commit took away, or whose cluster is behind another router now, is forgotten. What a pod answers to what
    /// came for it needs none: it goes by its node.
    pub(crate) fn learned_way(&mut self, slot: Slot, direction: Direction) -> Option<IfaceId> {
        if self.table[slot].kind == Kind::Hairpin {
            return None;
        }
        let end = direction.other().index();
        let reference = self.table.record(slot).tunnels[end];
        let side = self.tunnels.learned(reference)?.side;
        let realm = self.table[slot].sides[end].key.realm();
        let link = self.links.get(side.index()).filter(|link| link.tunnel);
        if link.is_some_and(|link| [link.router, link.realm].contains(&Some(realm))) {
            return Some(side);
        }
        self.forget_tunnel(slot, end);
        None
    }

    /// Forgets a learned tunnel that nothing came out of for long: the next packet goes the router's way, and if
    /// the pod is there it comes back.
    pub(crate) fn forget_silent(&mut self, slot: Slot, direction: Direction) {
        let path = self.paths.get(self.table[slot].sides[direction.index()].path);
        if path.is_some_and(|path| !self.is_tunnel(path.port)) {
            return;
        }
        let end = direction.other().index();
        let learned = self.tunnels.learned(self.table.record(slot).tunnels[end]);
        if learned.is_some_and(|learned| learned.heard.after(SILENCE) <= self.now) {
            self.forget_tunnel(slot, end);
            self.leave_path(slot, direction);
        }
    }

    fn forget_tunnel(&mut self, slot: Slot, end: usize) {
        let known = std::mem::replace(&mut self.table.record_mut(slot).tunnels[end], ReturnRef::NONE);
        self.tunnels.give_back(known);
    }

    /// The way to whoever sent a packet to a pod, by the routes: it is not behind that pod's tunnel.
    pub(crate) fn way_back(&self, hairpin: IfaceId, sender: IpAddr) -> Staged<(IfaceId, IpAddr)> {
        let router = self.links.get(hairpin.index()).and_then(|link| link.router);
        let (Some(router), Some(tables)) = (router, &self.tables) else { return drop(DropReason::NoRouter) };
        let Route::Via { iface, next_hop, .. } = tables.route(RouterId(router), sender, &Among::Interface(hairpin))
        else {
            return drop(DropReason::NoRoute);
        };
        if self.links.get(iface.index()).is_none_or(|link| link.zone.is_none()) {
            return drop(DropReason::NoEgressZone);
        }
        Ok((iface, next_hop))
    }

    /// A frame of our own to whoever sent a packet to a pod.
    pub(crate) fn send_back(&mut self, hairpin: IfaceId, mut bytes: Vec<u8>) {
        let Ok(Parsed::Ip(packet)) = parse(&bytes, Meta::default()) else { return };
        let sent = match self.way_back(hairpin, packet.destination) {
            Ok((iface, next_hop)) => self.send_own(Port::Data(iface), Some(next_hop), &mut bytes),
            Err(Verdict::Drop(reason)) => Err(reason),
            Err(_) => Ok(()),
        };
        if let Err(reason) = sent {
            self.counters.drop_packets(reason, 1);
        }
    }
}
