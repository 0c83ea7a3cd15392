//! Do both session tables hold the same?

use bartizan_engine::Engine;
use bartizan_engine::verdict::{FlowKey, SessionState};

use super::super::frames::Tuple;
use super::super::reference::View;
use super::World;

impl World {
    /// Both session tables hold the same, once all sessions were asked after a commit.
    pub(super) fn compare_sessions(&self) -> Result<(), String> {
        let Some(mut expected) = self.reference.sessions() else { return Ok(()) };
        let mut found: Vec<View> = self
            .engines
            .iter()
            .flat_map(Engine::sessions)
            .filter(|session| session.expires.0 > self.now)
            .map(|session| View {
                client: tuple(&session.client, false),
                server: Some(tuple(&session.server, matches!(session.server.protocol, 1 | 58))),
                refused: session.state == SessionState::Discard,
                rule: session.rule.map_or(String::new(), |rule| self.tables.rule_name(rule).to_owned()),
                expires: session.expires.0,
                zones: [session.from, session.to]
                    .map(|zone| zone.map_or(String::new(), |zone| self.tables.zone_name(zone).to_owned())),
                counts: [session.sent, session.received],
            })
            .collect();
        // Two realms may have the same client: who has a known server chooses first.
        expected.sort_by_key(|view| (view.client, view.server.is_none()));
        found.sort();
        let same = |expected: &View, found: &View| {
            let server = if expected.server.is_none() { None } else { found.server };
            *expected == View { server, ..found.clone() }
        };
        let mut left = found.clone();
        let all = expected.iter().all(|view| {
            let at = left.iter().position(|found| view.client == found.client && same(view, found));
            at.map(|at| left.remove(at)).is_some()
        });
        if all && left.is_empty() {
            return Ok(());
        }
        let only = |these: &[View], others: &[View]| -> Vec<String> {
            these.iter().filter(|view| !others.contains(view)).map(|view| format!("\n    {view:?}")).collect()
        };
        let (missing, extra) = (only(&expected, &found), only(&found, &expected));
        Err(format!("sessions differ\n  expected{}\n  found{}", missing.concat(), extra.concat()))
    }
}

fn tuple(flow: &FlowKey, reply: bool) -> Tuple {
    Tuple {
        source: flow.source,
        destination: flow.destination,
        protocol: flow.protocol,
        source_port: flow.source_port,
        destination_port: flow.destination_port,
        reply,
    }
}
