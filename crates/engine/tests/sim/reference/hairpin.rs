//! What becomes of a packet that comes out of the tunnel of the pod it is for?
//!
//! Either it is new to the firewall, or the firewall sent it itself and it came back: then it was judged.

use std::net::IpAddr;

use bartizan_engine::verdict::DropReason;
use bartizan_model::device::TrafficKind;

use super::super::frames::{Packet, Tuple};
use super::super::generate::interface_name;
use super::super::tunnels::{EGRESS, Header, LOWER, STATION};
use super::decision::{Way, is_side, realm_of, route, router_of, side_of, zone_of};
use super::paths::Among;
use super::session::{Kind, Session};
use super::{DROP, Expected, Forward, Reference, SECOND, Station, Time, tcp};

/// So long a tunnel is believed in that nothing comes out of.
const SILENCE: Time = 30 * SECOND;

/// A tunnel that a session did not know of when its packets first left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Learned {
    pub(super) header: Header,
    /// So many packets are still on their way back.
    returning: u64,
    heard: Time,
}

/// Where the session of such a packet is.
pub(super) enum Found {
    /// Its packets come this way, in a realm.
    Session(usize, String),
    /// Its packets leave looking like this; whether to the server.
    Returning(usize, bool),
    /// It would not come from there.
    Taken,
    Nowhere,
}

/// A session's ends.
pub(super) const CLIENT: usize = 0;
pub(super) const SERVER: usize = 1;

impl Session {
    /// The end whose tunnel was known from the beginning.
    fn known_end(&self) -> usize {
        usize::from(is_hairpin(&self.ingress))
    }
}

/// Whether packets that come by an interface are for the pod whose tunnel it is.
pub(super) fn is_hairpin(interface: &str) -> bool {
    interface.ends_with(".hairpin")
}

impl Reference {
    pub(super) fn find_hairpin(&mut self, ingress: &str, tuple: &Tuple) -> Found {
        let (Some(realm), Some(router)) = (self.realm(ingress), router_of(&self.config, ingress)) else {
            return Found::Nowhere;
        };
        let router = router.to_owned();
        let looks = [
            (*tuple, realm.clone(), false),
            (*tuple, router.clone(), false),
            (tuple.reversed(), realm, true),
            (tuple.reversed(), router, true),
        ];
        let found: Vec<_> = looks
            .into_iter()
            .filter_map(|(tuple, realm, leaves)| Some((self.find(&realm, &tuple)?, tuple, realm, leaves)))
            .collect();
        let homes = found.iter().map(|(at, ..)| self.home(&self.sessions[*at].client.tuple));
        if homes.clone().any(|home| Some(home) != homes.clone().next()) {
            self.ambiguous = true;
        }
        let Some((at, tuple, realm, leaves)) = found.into_iter().next() else { return Found::Nowhere };
        let of_client = self.sessions[at].is_client(&realm, &tuple);
        let session = &self.sessions[at];
        let from_pod = is_side(&self.config, &session.ingress) && !is_hairpin(&session.ingress);
        match leaves {
            false if of_client && is_hairpin(&session.ingress) => Found::Session(at, realm),
            false if !of_client && from_pod => Found::Session(at, realm),
            false => Found::Returning(at, of_client),
            true => {
                let to_server = !of_client;
                let known = session.keeps_header && (if to_server { is_hairpin(&session.ingress) } else { from_pod });
                if known { Found::Taken } else { Found::Returning(at, to_server) }
            }
        }
    }

    /// A packet that looks as if the firewall had sent it.
    pub(super) fn come_back(&mut self, (at, to_server): (usize, bool), ingress: &str, packet: &Packet) -> Expected {
        if !self.rematch(at) {
            self.sessions.remove(at);
            let Some(realm) = self.realm(ingress) else { return DROP };
            return self.open(ingress, &realm, STATION, packet);
        }
        match &self.sessions[at].kind {
            Kind::Refused { .. } => return self.refuse(at, to_server, ingress, packet),
            Kind::Echo | Kind::Host { .. } => return DROP,
            Kind::Forward { .. } => {}
        }
        match self.take_back(at, to_server) {
            None => return DROP,
            Some(true) => {}
            Some(false) => {
                let relayed = self.sessions[at].relay.is_some();
                match if relayed { tcp::Verdict::Pass } else { self.follow(at, to_server, packet) } {
                    tcp::Verdict::Pass => {}
                    tcp::Verdict::Drop => return DROP,
                    tcp::Verdict::Reopen => {
                        self.sessions.remove(at);
                        let Some(realm) = self.realm(ingress) else { return DROP };
                        return self.open(ingress, &realm, STATION, packet);
                    }
                }
                self.count(at, to_server, packet);
                self.used(at);
                self.note("another firewall's packet to a pod");
            }
        }
        self.delivered(at, packet)
    }

    /// An error that looks as if the firewall had sent it.
    pub(super) fn error_comes_back(&mut self, (at, to_server): (usize, bool), packet: &Packet) -> Expected {
        if !self.rematch(at) {
            self.sessions.remove(at);
            return DROP;
        }
        if !matches!(self.sessions[at].kind, Kind::Forward { .. }) {
            return DROP;
        }
        match self.take_back(at, to_server) {
            None => return DROP,
            Some(true) => {}
            Some(false) => self.count(at, to_server, packet),
        }
        self.delivered(at, packet)
    }

    /// Whether the packet at hand is the firewall's own; `None` when its tunnel cannot be remembered.
    fn take_back(&mut self, at: usize, to_server: bool) -> Option<bool> {
        let end = usize::from(to_server);
        let header = self.header?;
        let now = self.now;
        if let Some(learned) = &mut self.sessions[at].learned[end] {
            let own = learned.returning > 0;
            *learned = Learned { header, returning: learned.returning.saturating_sub(1), heard: now };
            if own {
                self.note("own packet came back late");
            }
            return Some(own);
        }
        if self.tunnels() >= self.bounds.tunnel_sessions {
            self.named = Some(DropReason::TunnelTableFull);
            return None;
        }
        let sent = self.sessions[at].counts[usize::from(!to_server)].0;
        let learned = Learned { header, returning: sent.saturating_sub(1), heard: now };
        self.sessions[at].learned[end] = Some(learned);
        self.note("own packet came back");
        Some(true)
    }

    /// The packet at hand goes where it came from.
    fn delivered(&mut self, at: usize, packet: &Packet) -> Expected {
        Expected::Forward(Forward {
            interface: interface_name(EGRESS),
            station: Station::Mac(STATION),
            packet: packet.clone(),
            longest: self.longest,
            outer_longest: self.outer_longest,
            header: self.header,
            segment_bytes: self.segment_bytes,
            source: None,
            session: at,
        })
    }

    /// Headers that are remembered.
    pub(super) fn tunnels(&self) -> usize {
        self.sessions.iter().map(Session::tunnels).sum()
    }

    /// The tunnel that was learned for one end, if a commit did not take it away.
    pub(super) fn learned(&self, at: usize, end: usize) -> Option<Learned> {
        let session = &self.sessions[at];
        let egress = interface_name(EGRESS);
        let realm = if end == CLIENT { &session.client.realm } else { &session.server.realm };
        let reached =
            router_of(&self.config, &egress) == Some(realm) || realm_of(&self.config, &egress).as_ref() == Some(realm);
        session.learned[end].filter(|_| reached && is_side(&self.config, &egress))
    }

    /// Forgets the tunnel of the end that a packet goes to, if it is not there any more.
    pub(super) fn forget_tunnel(&mut self, at: usize, to_server: bool, silent: bool) {
        let end = usize::from(to_server);
        let now = self.now;
        let learned = self.learned(at, end);
        let fresh = learned.filter(|learned| !silent || learned.heard + SILENCE > now);
        if learned.is_some() && fresh.is_none() {
            self.note("pod was silent for long");
        }
        self.sessions[at].learned[end] = fresh;
    }

    /// A packet of a session says how to get into the tunnel that it comes out of.
    pub(super) fn refresh(&mut self, at: usize, from_client: bool, ingress: &str) {
        let Some(header) = self.header else { return };
        let now = self.now;
        let behind = if is_hairpin(ingress) == from_client { SERVER } else { CLIENT };
        let session = &mut self.sessions[at];
        if let Some(learned) = &mut session.learned[behind] {
            (learned.header, learned.heard) = (header, now);
        } else if session.keeps_header && session.known_end() == behind {
            session.header = Some(header);
        }
    }

    /// Whether a session's packets only pass a tunnel in a direction.
    pub(super) fn passes(&self, at: usize, from_client: bool) -> bool {
        let session = &self.sessions[at];
        let through = matches!(&session.kind, Kind::Forward { exit, .. } if is_side(&self.config, exit));
        let to_pod = self.header.map(|header| header.pod.is_some());
        through
            && match side_of(&self.config, &session.ingress) {
                _ if is_hairpin(&session.ingress) => to_pod == Some(from_client),
                Some((object, _)) if matches!(object.kind, TrafficKind::K8sCluster { .. }) => {
                    if from_client {
                        self.learned(at, SERVER).is_none()
                    } else {
                        to_pod == Some(true)
                    }
                }
                _ => true,
            }
    }

    /// Where what goes to the sender of a packet to a pod leaves: not by the pod's tunnel.
    pub(super) fn way_back(&self, hairpin: &str, sender: IpAddr) -> Option<(String, IpAddr)> {
        let router = router_of(&self.config, hairpin)?;
        match route(self.read(), router, sender, Among::Interface(hairpin)) {
            Way::Out(exit, next_hop) if zone_of(&self.config, &exit).is_some() => Some((exit, next_hop)),
            _ => None,
        }
    }

    /// Where an answer to the packet at hand has to leave, if it leaves.
    pub(crate) fn answers_by(
        &self,
        ingress: &str,
        station: [u8; 6],
        packet: &Packet,
    ) -> Option<(String, Station, Option<Header>)> {
        if !is_hairpin(ingress) {
            return Some((ingress.to_owned(), Station::Mac(station), self.header));
        }
        let (exit, next_hop) = self.way_back(ingress, packet.source)?;
        Some((exit, Station::Neighbor(next_hop), None))
    }

    /// Whether the pieces of what is around a packet are refused for who sent them.
    pub(super) fn blocks_around(&self, packet: &Packet) -> bool {
        let (Some(source), Some(tunnel)) = (self.header.and_then(|header| header.pod), self.tunnel) else {
            return false;
        };
        if self.outer_longest.is_none() || !tunnel.is_bare() {
            return false;
        }
        let around = Packet { source, destination: tunnel.own(), ..packet.clone() };
        zone_of(&self.config, &interface_name(LOWER))
            .is_some_and(|zone| self.protection.blocks(zone, &around, self.now))
    }
}

/// Whether an object's packets are routed, and may be on their way to a pod.
pub(super) fn is_cluster(config: &bartizan_model::device::DeviceConfig, interface: &str) -> bool {
    side_of(config, interface).is_some_and(|(object, _)| matches!(object.kind, TrafficKind::K8sCluster { .. }))
}
