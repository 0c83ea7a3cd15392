//! What does the first packet of a flow begin?

use std::net::IpAddr;

use bartizan_model::device::{Action, Check, Distribution, TrafficKind, TrafficObject};

use super::super::frames::{ACK, Body, FIN, Mac, Packet, RST, SYN, Tuple};
use super::super::host as local;
use super::decision::{NewSource, Ruling, Way, decide, realm_of, route, router_of, side_of, zone_of};
use super::host::is_link_local;
use super::nat::Unlearned;
use super::paths::Among;
use super::protection::{Admission, profile};
use super::session::{Kind, Session, Side, discard_timeout, idle_timeout};
use super::tcp::Connection;
use super::{DROP, Expected, Reference, SECOND, refusal};

impl Reference {
    pub(super) fn open(&mut self, ingress: &str, realm: &str, station: Mac, packet: &Packet) -> Expected {
        let tuple = packet.tuple();
        let mut proof = None;
        match &packet.body {
            Body::Tcp { flags, .. } if flags & (SYN | ACK | RST | FIN) != SYN => {
                proof = self.redeem(ingress, realm, packet);
                if proof.is_none() {
                    return DROP;
                }
            }
            Body::Echo { reply: true, .. } => return DROP,
            _ => {}
        }
        if tuple.source != tuple.destination && [tuple.source, tuple.destination].into_iter().any(is_link_local) {
            return self.on_the_link(ingress, packet);
        }
        let admission = match tuple.source == tuple.destination {
            true => Admission::Drop,
            false => self.admits(ingress, packet, proof.is_some()),
        };
        if admission == Admission::Drop {
            return DROP;
        }
        let Some(router) = router_of(&self.config, ingress) else { return DROP };
        let back = route(self.read(), router, tuple.source, Among::Interface(ingress));
        let own = matches!(back, Way::Own(_)) && !self.goes_back(ingress);
        if own || self.is_spoofed(ingress, tuple.source, &back) {
            return DROP;
        }
        let Some(ruling) = decide(self.first(), ingress, &tuple) else { return DROP };
        let client = Side { realm: realm.into(), tuple };
        let mut session = Session {
            kind: Kind::Refused { action: ruling.action, icmp_unreachable: ruling.icmp_unreachable },
            server: Side { realm: realm.into(), tuple: tuple.reversed() },
            client,
            ingress: ingress.into(),
            station,
            header: self.header,
            rule: ruling.rule.clone(),
            zones: [ruling.from.clone(), ruling.to.clone()],
            counts: [(0, 0); 2],
            nat: ruling.nat.clone(),
            spread: false,
            expires: self.now + discard_timeout(tuple.protocol),
            tcp: None,
            generation: self.generation,
            unlearned: None,
            relay: None,
            keeper: None,
            one_way: true,
        };
        if let (Admission::Cookie, Action::Allow, Way::Out(exit, _)) = (admission, ruling.action, &ruling.way) {
            if let (Some(Distribution::RoundRobin), Some(rule)) = (ruling.spread, &ruling.nat) {
                self.first().farm.give_back(rule);
            }
            return self.cookie(ingress, exit, packet);
        }
        if ruling.action != Action::Allow {
            let answer = refusal(ruling.action, ruling.icmp_unreachable, packet);
            self.sessions.push(session);
            self.count(self.sessions.len() - 1, true, packet);
            return Expected::Drop(answer);
        }
        match &ruling.way {
            Way::Own(_) if proof.is_some() => return DROP,
            Way::Own(interface) => {
                if ruling.source != NewSource::Same || ruling.destination.is_some() {
                    return DROP;
                }
                let Some(kind) = self.own_service(interface, &tuple) else { return DROP };
                session.kind = kind.clone();
                if let Kind::Host { port } = kind {
                    let v4 = tuple.source.is_ipv4();
                    let to_host = Tuple { destination: local::address(v4), destination_port: port, ..tuple };
                    session.server = Side { realm: local::NAME.into(), tuple: to_host.reversed() };
                    session.unlearned = Some(Unlearned::port(vec![local::clients(v4)], None));
                    session.one_way = false;
                }
            }
            Way::Out(exit, next_hop) => {
                let Some(realm) = realm_of(&self.config, exit) else { return DROP };
                session.server = Side { realm, tuple: translated(&tuple, &ruling).reversed() };
                session.kind = Kind::Forward { exit: exit.clone(), next_hop: *next_hop };
                (session.one_way, session.spread) = (false, ruling.spread.is_some());
                match ruling.source {
                    NewSource::OneOf { ranges, kept } => session.unlearned = Some(Unlearned::port(ranges, kept)),
                    NewSource::Own { ranges, fallback, rule } => {
                        session.unlearned = Some(Unlearned { ranges, fallback, keeper: Some(rule), own: true });
                    }
                    NewSource::Same | NewSource::Fixed(_) => {
                        if session.server == session.client || self.is_taken(&session.server) {
                            return DROP;
                        }
                    }
                }
            }
            Way::None => return DROP,
        }
        let to_host = matches!(session.kind, Kind::Host { .. });
        let of_pool = session.unlearned.is_some() && !to_host;
        let fixed = session.server.tuple.destination != tuple.source;
        let new_destination = ruling.destination.is_some();
        self.spread += usize::from(session.spread);
        for (count, is) in self.translations.iter_mut().zip([fixed && !to_host, of_pool, new_destination, to_host]) {
            *count += usize::from(is);
        }
        session.expires = self.now + idle_timeout(tuple.protocol);
        if let Body::Tcp { .. } = packet.body {
            let connection = Connection::default();
            session.expires = self.now + connection.timeout_s() * SECOND;
            session.tcp = Some(connection);
        }
        self.sessions.push(session);
        let at = self.sessions.len() - 1;
        self.opens = true;
        if let Some(proof) = proof {
            self.count(at, true, packet);
            return self.ask(at, proof, packet);
        }
        self.continues(at, true, ingress, realm, station, packet)
    }

    /// Whether the zone of an interface lets another flow in.
    fn admits(&mut self, ingress: &str, packet: &Packet, proven: bool) -> Admission {
        let gives = self.gives_cookies(ingress);
        let Some(zone) = zone_of(&self.config, ingress) else { return Admission::Pass };
        let Some(profile) = profile(&self.config, zone) else { return Admission::Pass };
        let admitted = self.protection.admits(zone, profile, packet, self.now, (gives, proven));
        self.protected += usize::from(admitted == Admission::Drop);
        admitted
    }

    /// Whether answers go back by the tunnel behind an interface, whatever the routes say.
    pub(super) fn goes_back(&self, ingress: &str) -> bool {
        let cluster = |object: &TrafficObject| matches!(object.kind, TrafficKind::K8sCluster { .. });
        side_of(&self.config, ingress).is_some_and(|(object, _)| !cluster(object))
    }

    /// Whether the zone of an interface wants its sources to have another way back.
    fn is_spoofed(&mut self, ingress: &str, source: IpAddr, back: &Way) -> bool {
        let Some(zone) = zone_of(&self.config, ingress) else { return false };
        let Some(profile) = profile(&self.config, zone) else { return false };
        if self.goes_back(ingress) {
            return false;
        }
        let exit = if let Way::Out(exit, _) = back { Some(exit.as_str()) } else { None };
        let networks = self.config.interfaces.iter().filter(|known| known.name == ingress);
        let mut networks = networks.flat_map(|interface| &interface.addresses);
        let broadcast = networks.any(|network| source.is_ipv4() && network.broadcast() == source);
        let other_zone = exit.and_then(|exit| zone_of(&self.config, exit)) != Some(zone);
        let spoofed = (profile.checks.contains(Check::SpoofedSource) && other_zone)
            || (profile.checks.contains(Check::StrictAddress) && (exit != Some(ingress) || broadcast));
        self.protected += usize::from(spoofed);
        spoofed
    }

    /// Whether the answers of a new session would be taken for another's. A flow that is only remembered
    /// as refused makes way.
    fn is_taken(&mut self, server: &Side) -> bool {
        match self.find(&server.realm, &server.tuple) {
            Some(at) if matches!(self.sessions[at].kind, Kind::Refused { .. }) => {
                self.sessions.remove(at);
                false
            }
            found => found.is_some(),
        }
    }
}

/// What a client's packet says when it leaves; a source still to be learned stays as it is.
fn translated(tuple: &Tuple, ruling: &Ruling) -> Tuple {
    let mut tuple = *tuple;
    if let NewSource::Fixed(source) = ruling.source {
        tuple.source = source;
    }
    if let Some((address, port)) = ruling.destination {
        tuple.destination = address;
        tuple.destination_port = port.unwrap_or(tuple.destination_port);
    }
    tuple
}
