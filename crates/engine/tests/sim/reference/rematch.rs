//! Does a session survive a commit?

use bartizan_model::device::Action;

use super::super::frames::Tuple;
use super::super::host as local;
use super::Reference;
use super::decision::{Now, Way, decide, realm_of, way_from, zone_of};
use super::farm::{Asked, Farm};
use super::paths::Among;
use super::session::{Kind, Session, discard_timeout};

impl Reference {
    /// Asks the rules again about a session older than the configuration; `false` when it is over.
    pub(super) fn rematch(&mut self, at: usize) -> bool {
        let session = &self.sessions[at];
        if session.generation == self.generation {
            return true;
        }
        if realm_of(&self.config, &session.ingress).as_ref() != Some(&session.client.realm) {
            return false;
        }
        let asked = Asked::Again { rule: session.nat.as_deref(), server: session.server.tuple.source };
        let now = Now { farm: Farm { asked, ..self.read().farm }, ..self.read() };
        let Some(ruling) = decide(now, &session.ingress, &session.client.tuple) else { return false };
        let generation = self.generation;
        if ruling.action != Action::Allow {
            let now = self.now;
            self.resets.extend(resets(&self.sessions[at], ruling.action));
            let session = &mut self.sessions[at];
            if !matches!(session.kind, Kind::Refused { .. }) {
                session.expires = now + discard_timeout(session.client.tuple.protocol);
            }
            session.kind = Kind::Refused { action: ruling.action, icmp_unreachable: ruling.icmp_unreachable };
            (session.rule, session.generation, session.spread) = (ruling.rule, generation, false);
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
        (session.kind, session.rule, session.generation) = (kind, ruling.rule, generation);
        session.zones = [ruling.from, ruling.to];
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
