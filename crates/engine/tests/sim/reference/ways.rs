//! How do the packets of a session leave, and what fits there?

use bartizan_model::device::DeviceConfig;

use super::super::frames::{Packet, Tuple};
use super::super::generate::interface_name;
use super::super::host as local;
use super::super::tunnels::{EGRESS, Header, STATION};
use super::decision::{Way, is_side, mtu_of, side_of, way_from};
use super::hairpin::is_hairpin;
use super::paths::Among;
use super::session::Kind;
use super::{Reference, Station};

impl Reference {
    /// Whether the firewall is a hop for a session's packets: no end of it is one that tunnels lead to by themselves.
    pub(super) fn is_hop(&self, at: usize) -> bool {
        matches!(&self.sessions[at].kind, Kind::Forward { exit, .. } if !is_side(&self.config, exit))
    }

    /// What is around a packet of a session that leaves by an interface.
    pub(super) fn around(&self, at: usize, from_client: bool, exit: &str) -> Option<Header> {
        if !is_side(&self.config, exit) {
            return None;
        }
        let given_back = !from_client && is_hairpin(&self.sessions[at].ingress);
        let learned = self.learned(at, usize::from(from_client)).filter(|_| !given_back).map(|learned| learned.header);
        if self.passes(at, from_client) { self.header } else { learned.or(self.sessions[at].header) }
    }

    /// How long the fragments may be of what is around a packet that only passes: as they came.
    pub(super) fn turned_longest(&self, at: usize, from_client: bool) -> Option<usize> {
        self.outer_longest.filter(|_| self.header.is_some() && self.passes(at, from_client))
    }

    /// The longest packet of a session that fits an interface.
    pub(super) fn room(&self, at: usize, from_client: bool, exit: &str) -> u16 {
        let around = self.around(at, from_client, exit);
        match (self.tunnel, side_of(&self.config, exit), around) {
            _ if exit == local::NAME => u16::MAX,
            (Some(_), Some(_), _) if self.passes(at, from_client) => u16::MAX,
            (Some(tunnel), Some((object, _)), Some(header)) => {
                mtu_of(&self.config, &object.interfaces[0]) - tunnel.overhead(header) as u16
            }
            _ => mtu_of(&self.config, exit),
        }
    }

    /// What fits an interface that a packet does not fit and must not be cut for.
    pub(super) fn too_big(&self, at: usize, from_client: bool, exit: &str, packet: &Packet) -> Option<u16> {
        let room = self.room(at, from_client, exit);
        let length = self.longest.min(packet.bytes().len());
        (length > usize::from(room) && !packet.fragmentable).then_some(room)
    }

    /// How packets of one direction of a session leave, and what they say then; `None` when they cannot.
    pub(super) fn way(&self, at: usize, from_client: bool) -> Option<(Tuple, String, Station)> {
        let session = &self.sessions[at];
        let says = if from_client { session.server.tuple } else { session.client.tuple }.reversed();
        if !from_client && is_hairpin(&session.ingress) {
            let egress = interface_name(EGRESS);
            let station = self.passes_to(at, from_client, &egress)?;
            return Some((says, egress, station));
        }
        if self.learned(at, usize::from(from_client)).is_some() {
            return Some((says, interface_name(EGRESS), Station::Mac(STATION)));
        }
        Some(match &session.kind {
            Kind::Forward { exit, next_hop } if from_client => {
                let station = self.passes_to(at, from_client, exit).unwrap_or(Station::Neighbor(*next_hop));
                (session.server.tuple.reversed(), exit.clone(), station)
            }
            Kind::Host { .. } if from_client => {
                let tuple = session.server.tuple.reversed();
                (tuple, local::NAME.into(), Station::Neighbor(tuple.destination))
            }
            kind => {
                let client = session.client.tuple.source;
                let passes = matches!(kind, Kind::Forward { exit, .. } if is_side(&self.config, exit));
                let back = way_from(self.read(), &session.ingress, client, Among::Interface(&session.ingress));
                let station = match back {
                    _ if passes => self.passes_to(at, false, &session.ingress).unwrap_or(Station::Mac(session.station)),
                    Way::Out(interface, next_hop) if interface == session.ingress => Station::Neighbor(next_hop),
                    _ => Station::Mac(session.station),
                };
                (session.client.tuple.reversed(), session.ingress.clone(), station)
            }
        })
    }

    /// Whom a frame is for that leaves by the side of the tunnel it came by, if it does.
    pub(super) fn turned(&self, ingress: &str, exit: &str) -> Option<Station> {
        (ingress == exit && is_side(&self.config, exit)).then_some(Station::Mac(STATION))
    }

    /// Whom a frame is for that goes into a tunnel, if it does: as it says when it only passes.
    fn passes_to(&self, at: usize, from_client: bool, exit: &str) -> Option<Station> {
        let tunnel = self.tunnel.filter(|_| is_side(&self.config, exit))?;
        Some(Station::Mac(if self.passes(at, from_client) { tunnel.passes_to(self.header) } else { STATION }))
    }
}

/// The largest segment that an interface lets a handshake agree on.
pub(super) fn segment_limit(config: &DeviceConfig, interface: &str, v4: bool) -> Option<u16> {
    let interface = config.interfaces.iter().find(|known| known.name == interface)?;
    let adjust = interface.tcp_mss?;
    Some(interface.mtu_bytes.unwrap_or(1500) - if v4 { adjust.v4_bytes } else { adjust.v6_bytes })
}
