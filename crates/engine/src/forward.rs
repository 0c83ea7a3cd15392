//! By which port, to which station?
//!
//! A session's way is looked up once per direction and generation. Frames for a neighbour whose MAC is
//! not known wait for it, so many and no more.

use std::net::{IpAddr, Ipv4Addr};

use bartizan_packet::arp::Arp;
use bartizan_packet::ethernet::{self, Mac};
use bartizan_packet::frame::Frame;
use bartizan_packet::ndp;
use bartizan_policy::tables::{Among, IfaceId, Route};

use crate::engine::{Engine, local_host};
use crate::neighbor::{Due, Found, NeighborRef, Waiting};
use crate::path::{NextHop, Path, PathRef};
use crate::pipeline::{Staged, drop};
use crate::session::{Direction, Kind};
use crate::table::Slot;
use crate::tunnel::set_kind;
use crate::verdict::{DropReason, EndReason, Port, Verdict};

/// The station of paths into tunnels, whose headers say where they go.
const NOBODY: Mac = [0; 6];
/// The engine's own address on the local link, to ask from.
const LOCAL_SELF: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

impl Engine {
    /// Sends a rewritten frame of a session on its way.
    #[inline]
    pub(crate) fn forward(&mut self, slot: Slot, direction: Direction, frame: &mut Frame<'_>) -> Staged<Verdict> {
        let reference = self.table[slot].sides[direction.index()].path;
        // `hop` has found it before.
        let Some(&Path { port, next_hop, neighbor, .. }) = self.paths.get(reference) else {
            return drop(DropReason::NoRoute);
        };
        if self.is_tunnel(port) {
            if !self.passes(slot, direction) {
                if !self.choose_tunnel_of(slot, direction) {
                    return drop(DropReason::TunnelTableFull);
                }
                if self.tunnels.is_inside() {
                    set_kind(frame.bytes);
                }
            }
            return Ok(Verdict::Transmit(port));
        }
        let Some(own_mac) = self.mac_of(port) else { return drop(DropReason::PortDown) };
        if self.tunnels.is_inside() {
            set_kind(frame.bytes);
        }
        let station = match self.neighbors.mac(neighbor) {
            Some(station) => station,
            None => match next_hop {
                NextHop::Station(station) => station,
                NextHop::Address(address) => match self.find_neighbor(port, address) {
                    Found::Known(neighbor, station) => {
                        self.paths.found(reference, neighbor);
                        station
                    }
                    Found::Asked(reference) | Found::Unasked(reference) => {
                        ethernet::address(frame.bytes, [0; 6], own_mac);
                        return self.wait(reference, frame);
                    }
                    Found::Silent => return drop(DropReason::NeighborUnresolved),
                    Found::Full => return drop(DropReason::QueueFull),
                },
            },
        };
        ethernet::address(frame.bytes, station, own_mac);
        Ok(Verdict::Transmit(port))
    }

    /// Looks up the way of one direction in the tables now installed.
    pub(crate) fn find_path(&mut self, slot: Slot, direction: Direction) -> Staged<()> {
        let session = &self.table[slot];
        let (port, next_hop) = match (direction, session.kind) {
            (Direction::ClientToServer, Kind::LocalService) => {
                (Port::Local, NextHop::Address(local_host(session.client().flow().destination)))
            }
            (Direction::ClientToServer, _) => self.way_to_server(slot)?,
            (Direction::ServerToClient, _) => self.way_to_client(slot)?,
        };
        let (port, next_hop) = match self.learned_way(slot, direction) {
            Some(side) => (Port::Data(side), NextHop::Station(NOBODY)),
            None => (port, next_hop),
        };
        let path = self.paths.take(port, next_hop);
        self.leave_path(slot, direction);
        self.table[slot].sides[direction.index()].path = path;
        Ok(())
    }

    /// Forgets the way of one direction: its next packet looks it up.
    pub(crate) fn leave_path(&mut self, slot: Slot, direction: Direction) {
        let path = &mut self.table[slot].sides[direction.index()].path;
        let left = std::mem::replace(path, PathRef::NONE);
        self.paths.give_back(left);
    }

    /// The route of the server's (translated) address. A session whose server is now reached by another
    /// router is over: its replies would be looked for in the wrong one.
    fn way_to_server(&mut self, slot: Slot) -> Staged<(Port, NextHop)> {
        let session = &self.table[slot];
        let server = session.server();
        let client = session.client();
        let flow = client.flow();
        let among = Among::Flow {
            source: flow.source,
            destination: flow.destination,
            source_port: flow.source_port,
            destination_port: flow.destination_port,
        };
        let route = self.way(self.table.record(slot).ingress, server.flow().source, &among);
        if let Route::Via { iface, next_hop, .. } = route
            && self.links.get(iface.index()).and_then(|link| link.realm) == Some(server.realm())
        {
            self.table.record_mut(slot).egress = iface;
            return Ok((Port::Data(iface), self.next_hop(iface, next_hop)));
        }
        self.end(slot, EndReason::ConfigurationChange);
        drop(DropReason::NoRoute)
    }

    /// Replies leave by the interface the client came in by. If no route leads back there, they go to the
    /// station the client's first packet came from.
    fn way_to_client(&mut self, slot: Slot) -> Staged<(Port, NextHop)> {
        let record = self.table.record(slot);
        let ingress = record.ingress;
        let client = self.table[slot].client();
        // What a pod answers to what came for it leaves by its node, where the question came: a node that tracks
        // connections has to see both.
        if self.is_hairpin(ingress) {
            let side = self.side_into_tunnels(ingress).map(|side| (Port::Data(side), NextHop::Station(NOBODY)));
            return side.map_or(drop(DropReason::TunnelHeader), Ok);
        }
        let port = Port::Data(ingress);
        let next_hop = match self.way(ingress, client.flow().source, &Among::Interface(ingress)) {
            _ if self.is_tunnel(port) => NextHop::Station(NOBODY),
            Route::Via { iface, next_hop, .. } if iface == ingress => NextHop::Address(next_hop),
            _ => NextHop::Station(record.client_mac),
        };
        Ok((port, next_hop))
    }

    /// Where packets of a session that came by `ingress` go.
    fn way(&self, ingress: IfaceId, destination: IpAddr, among: &Among) -> Route {
        let found = self.tables.as_ref().and_then(|tables| {
            let interface = tables.interface(ingress)?;
            Some(tables.way(interface, interface.router?, destination, among))
        });
        found.unwrap_or(Route::None)
    }

    /// Whom a frame is sent to that leaves by an interface: nobody in particular, if that is a tunnel's.
    pub(crate) fn next_hop(&self, egress: IfaceId, address: IpAddr) -> NextHop {
        if self.is_tunnel(Port::Data(egress)) { NextHop::Station(NOBODY) } else { NextHop::Address(address) }
    }

    /// The neighbour with an address; one that nobody asked for is asked.
    pub(crate) fn find_neighbor(&mut self, port: Port, address: IpAddr) -> Found {
        let found = self.neighbors.find(port, address, self.now);
        if let Found::Unasked(_) = found {
            self.ask(port, address);
        }
        found
    }

    fn wait(&mut self, reference: NeighborRef, frame: &Frame<'_>) -> Staged<Verdict> {
        let waiting = Waiting { bytes: frame.bytes.to_vec(), meta: frame.meta };
        if self.neighbors.wait(reference, waiting) { Ok(Verdict::Consumed) } else { drop(DropReason::QueueFull) }
    }

    /// Sends a neighbour question.
    fn ask(&mut self, port: Port, address: IpAddr) {
        let Some(mac) = self.mac_of(port) else { return };
        let question = match address {
            IpAddr::V4(target) => {
                let sender = match port {
                    Port::Local => LOCAL_SELF,
                    Port::Data(iface) => match self.own_address(iface, address) {
                        Some(IpAddr::V4(own)) => own,
                        _ => Ipv4Addr::UNSPECIFIED,
                    },
                };
                Arp::request(mac, sender, target)
            }
            IpAddr::V6(target) => ndp::solicit(mac, ndp::link_local(mac), target),
        };
        self.counters.neighbor_requests += 1;
        self.send(port, question);
    }

    /// A neighbour said where it is; gives back whether that is news. Believed only from networks
    /// connected to the port, or when somebody here asked.
    pub(crate) fn learn_neighbor(&mut self, port: Port, address: IpAddr, mac: Mac) -> bool {
        if !self.is_on_link(port, address) && !self.neighbors.knows(port, address) {
            return false;
        }
        let Some(waiting) = self.neighbors.learn(port, address, mac, self.now) else { return false };
        for frame in waiting {
            let mut bytes = frame.bytes;
            let Some(own_mac) = self.mac_of(port) else { continue };
            ethernet::address(&mut bytes, mac, own_mac);
            self.transmit(port, bytes, frame.meta);
        }
        true
    }

    pub(crate) fn expire_neighbors(&mut self) {
        while let Some(due) = self.neighbors.pop_due(self.now) {
            match due {
                Due::Ask(port, address) => self.ask(port, address),
                Due::GaveUp(frames) => self.counters.drop_packets(DropReason::NeighborUnresolved, frames as u64),
            }
        }
    }
}
