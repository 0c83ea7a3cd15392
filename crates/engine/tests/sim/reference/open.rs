//! What does the first packet of a flow begin?

use std::net::IpAddr;

use bartizan_engine::verdict::DropReason;
use bartizan_model::device::{Action, Check, Distribution, TrafficKind, TrafficObject};

use super::super::frames::{ACK, Body, FIN, Mac, Packet, RST, SYN, Tuple};
use super::super::host as local;
use super::decision::{NewSource, Ruling, Way, decide, realm_of, route, router_of, side_of, zone_of};
use super::hairpin::is_hairpin;
use super::host::is_link_local;
use super::nat::Unlearned;
use super::paths::Among;
use super::protection::{Admission, profile};
use super::session::{Kind, Session, Side, discard_timeout, idle_timeout, tcp_timeout};
use super::tcp::{Clock, Connection};
use super::{DROP, Expected, Reference, refusal};

impl Reference {
    pub(super) fn open(&mut self, ingress: &str, realm: &str, station: Mac, packet: &Packet) -> Expected {
        let tuple = packet.tuple();
        let mut proof = None;
        match &packet.body {
            Body::Tcp { flags, .. } if flags & (SYN | ACK | RST | FIN) != SYN => {
                let kind = flags & (SYN | ACK | RST | FIN);
                let senseless = kind & SYN != 0 && kind & (FIN | RST) != 0 || kind == FIN || kind == 0;
                proof = self.redeem(ingress, realm, packet).filter(|_| !senseless);
                let picked_up = !senseless && kind & RST == 0 && !self.config.session.reject_non_syn;
                if proof.is_none() && !picked_up {
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
        let to_pod = is_hairpin(ingress);
        let to_own =
            to_pod && matches!(route(self.read(), router, tuple.destination, Among::Interface(ingress)), Way::Own(_));
        if own || to_own || self.is_spoofed(ingress, tuple.source, &back) {
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
            expires: self.now + discard_timeout(&self.config, tuple.protocol),
            idle: discard_timeout(&self.config, tuple.protocol),
            service: ruling.service,
            tcp: None,
            generation: self.generation,
            unlearned: None,
            pooled: false,
            of_interface: false,
            keeps_header: false,
            learned: [None; 2],
            column: self.column,
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
            let tells = ruling.icmp_unreachable && self.speaks(ingress, packet.source.is_ipv4());
            let answer = refusal(ruling.action, tells, packet);
            self.named = Some(DropReason::Policy);
            if self.forgets_refused() {
                self.note("refused flow not remembered");
                return Expected::Drop(answer);
            }
            self.note("refused flow remembered");
            self.sessions.push(session);
            self.count(self.sessions.len() - 1, true, packet);
            return Expected::Drop(answer);
        }
        if proof.is_some() && matches!(ruling.way, Way::Own(_)) {
            return DROP;
        }
        if let Some(reason) = self.no_room() {
            self.named = Some(reason);
            return DROP;
        }
        if to_pod && ruling.destination.is_some_and(|(address, _)| address != tuple.destination) {
            self.note("translated away from its pod");
            return DROP;
        }
        session.keeps_header = self.header.is_some();
        if to_pod {
            self.note("session opened on the way to a pod");
        }
        match &ruling.way {
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
                    NewSource::OneOf { ranges, kept, of_interface } => {
                        session.unlearned = Some(Unlearned { of_interface, ..Unlearned::port(ranges, kept) });
                    }
                    NewSource::Own { ranges, fallback, of_interface, rule } => {
                        let keeper = Some(rule);
                        session.unlearned = Some(Unlearned { ranges, fallback, keeper, of_interface, own: true });
                    }
                    NewSource::Same | NewSource::Fixed(_) => {
                        if session.server == session.client || self.is_taken(&tuple, &session.server) {
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
        let own_address = session.unlearned.as_ref().is_some_and(|may| may.is_own());
        let persistent = session.unlearned.as_ref().is_some_and(|may| may.is_kept()) && !own_address;
        for (what, is) in [
            ("session opened", true),
            ("source translated one to one", fixed && !to_host),
            ("source of a pool", of_pool),
            ("source of a persistent pool", persistent),
            ("address of one's own", own_address),
            ("destination translated", ruling.destination.is_some()),
            ("destination port translated", matches!(ruling.destination, Some((_, Some(_))))),
            ("health check", to_host),
            ("ping of the firewall", session.kind == Kind::Echo),
        ] {
            if is {
                self.note(what);
            }
        }
        match ruling.spread {
            Some(Distribution::RoundRobin) => self.note("spread by round-robin"),
            Some(Distribution::LeastSessions) => self.note("spread by least-sessions"),
            Some(Distribution::IpModulo) => self.note("spread by ip-modulo"),
            Some(Distribution::IpHash) => self.note("spread by ip-hash"),
            Some(Distribution::SourceIpHash) => self.note("spread by source-ip-hash"),
            None => {}
        }
        self.unseen += usize::from(session.unlearned.is_some());
        session.idle = idle_timeout(&self.config, tuple.protocol, &session.service);
        if let Body::Tcp { .. } = packet.body {
            session.idle = tcp_timeout(&self.config, Clock::Asked, &session.service);
            session.tcp = Some(Connection::default());
        }
        session.expires = self.now + session.idle;
        self.sessions.push(session);
        let at = self.sessions.len() - 1;
        self.opens = true;
        if let Some(proof) = proof {
            self.note("cookie brought back");
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
        self.protection.admits(zone, profile, packet, self.now, (gives, proven))
    }

    /// Whether answers go back by the tunnel behind an interface, whatever the routes say.
    pub(super) fn goes_back(&self, ingress: &str) -> bool {
        let cluster = |object: &TrafficObject| matches!(object.kind, TrafficKind::K8sCluster { .. });
        side_of(&self.config, ingress).is_some_and(|(object, _)| !cluster(object))
    }

    /// Whether the zone of an interface wants its sources to have another way back.
    fn is_spoofed(&self, ingress: &str, source: IpAddr, back: &Way) -> bool {
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
        (profile.checks.contains(Check::SpoofedSource) && other_zone)
            || (profile.checks.contains(Check::StrictAddress) && (exit != Some(ingress) || broadcast))
    }

    /// Whether the answers of a new session would be taken for another's. A flow that is only remembered
    /// as refused makes way.
    fn is_taken(&mut self, client: &Tuple, server: &Side) -> bool {
        let found = self.find(&server.realm, &server.tuple);
        if let Some(at) = found
            && self.home(&self.sessions[at].client.tuple) != self.home(client)
        {
            self.ambiguous = true;
        }
        match found {
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
