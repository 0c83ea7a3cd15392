//! Does a session survive a commit?

use std::net::IpAddr;

use bartizan_model::device::Action;

use super::super::frames::Tuple;
use super::super::generate::interface_name;
use super::super::host as local;
use super::super::tunnels::EGRESS;
use super::Reference;
use super::decision::{Now, Way, decide, realm_of, way_from, zone_of};
use super::farm::{Asked, Farm};
use super::hairpin::is_hairpin;
use super::paths::Among;
use super::session::{Kind, Session, discard_timeout};

impl Reference {
    /// How an own address that is gone ends a session.
    fn lost_address(&mut self, at: usize) -> Option<&'static str> {
        let session = &self.sessions[at];
        if matches!(session.kind, Kind::Refused { .. }) {
            return None;
        }
        let opened_to = (&session.client.realm, session.client.tuple.destination);
        let gone = |(router, address, generation): &(String, IpAddr, usize)| {
            (router, *address) == opened_to && *generation >= session.generation
        };
        if self.lost.iter().any(gone) {
            return Some("session ended with the address it was opened to");
        }
        let seen = session.of_interface.then_some(session.server.tuple.destination);
        let unseen = session.unlearned.as_ref().filter(|may| may.of_interface);
        let source = match unseen {
            // Whether it is the interface's nobody saw.
            Some(may) if may.own => {
                self.ambiguous = true;
                return None;
            }
            unseen => seen.or(unseen.and_then(|may| may.ranges.first()).map(|range| range.0))?,
        };
        let mut own = self.config.interfaces.iter().flat_map(|interface| &interface.addresses);
        let lost = own.all(|own| own.addr() != source);
        lost.then_some("session ended with the address it was translated to")
    }

    /// Asks the rules again about a session older than the configuration; `false` when it is over.
    pub(super) fn rematch(&mut self, at: usize) -> bool {
        let session = &self.sessions[at];
        if session.generation == self.generation {
            return true;
        }
        if let Some(how) = self.lost_address(at) {
            self.met.push((how, self.sessions[at].column));
            return false;
        }
        let session = &self.sessions[at];
        if realm_of(&self.config, &session.ingress).as_ref() != Some(&session.client.realm) {
            return false;
        }
        let asked = Asked::Again { rule: session.nat.as_deref(), server: session.server.tuple.source };
        let now = Now { farm: Farm { asked, ..self.read().farm }, ..self.read() };
        let Some(ruling) = decide(now, &session.ingress, &session.client.tuple) else { return false };
        let generation = self.generation;
        if ruling.action != Action::Allow {
            let now = self.now;
            self.met.push(("session refused by a commit", self.sessions[at].column));
            let mut resets = resets(&self.sessions[at], ruling.action);
            // Who is behind a tunnel, or sent something to a pod, is told elsewhere.
            let elsewhere: Vec<_> = self.config.interfaces.iter().map(|interface| interface.name.clone()).collect();
            let elsewhere = elsewhere.into_iter().chain([interface_name(EGRESS)]);
            if is_hairpin(&self.sessions[at].ingress) || self.sessions[at].learned.iter().any(Option::is_some) {
                let told: Vec<Tuple> = resets.iter().map(|(_, tuple)| *tuple).collect();
                resets.extend(elsewhere.flat_map(|name| told.iter().map(move |tuple| (name.clone(), *tuple))));
            }
            self.resets.extend(resets);
            let timeout = discard_timeout(&self.config, self.sessions[at].client.tuple.protocol);
            let session = &mut self.sessions[at];
            if !matches!(session.kind, Kind::Refused { .. }) {
                (session.expires, session.idle) = (now + timeout, timeout);
            }
            session.kind = Kind::Refused { action: ruling.action, icmp_unreachable: ruling.icmp_unreachable };
            (session.rule, session.generation, session.spread) = (ruling.rule, generation, false);
            session.service = ruling.service;
            session.zones = [ruling.from, ruling.to];
            return true;
        }
        let kind = match (&session.kind, &ruling.way) {
            (Kind::Forward { .. }, Way::Out(..)) => {
                let server = session.server.tuple.source;
                match way_from(self.read(), &session.ingress, server, Among::Flow(&session.client.tuple)) {
                    Way::Out(exit, next_hop)
                        if realm_of(&self.config, &exit).as_ref() == Some(&session.server.realm)
                            && zone_of(&self.config, &exit) == Some(&ruling.to) =>
                    {
                        Kind::Forward { exit, next_hop }
                    }
                    _ => return false,
                }
            }
            (kind @ (Kind::Echo | Kind::Host { .. }), Way::Own(interface))
                if self.own_service(interface, &session.client.tuple).as_ref() == Some(kind) =>
            {
                kind.clone()
            }
            _ => return false,
        };
        let session = &mut self.sessions[at];
        self.met.push(("session kept by a commit", session.column));
        (session.kind, session.rule, session.generation) = (kind, ruling.rule, generation);
        session.zones = [ruling.from, ruling.to];
        session.service = ruling.service;
        if let Kind::Forward { .. } = session.kind {
            self.forget_tunnel(at, true, false);
        }
        true
    }
}

fn resets(session: &Session, action: Action) -> Vec<(String, Tuple)> {
    let mut resets = Vec::new();
    let exit = match &session.kind {
        Kind::Forward { exit, .. } => exit,
        Kind::Host { .. } => local::NAME,
        Kind::Echo | Kind::Refused { .. } => return resets,
    };
    if session.tcp.is_some() {
        if matches!(action, Action::ResetClient | Action::ResetBoth) {
            resets.push((session.ingress.clone(), session.client.tuple.reversed()));
        }
        if matches!(action, Action::ResetServer | Action::ResetBoth) {
            resets.push((exit.to_owned(), session.server.tuple.reversed()));
        }
    }
    resets
}
