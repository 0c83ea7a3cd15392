//! Which of several servers does a session go to?

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;

use bartizan_model::device::Distribution;

use super::super::frames::Tuple;
use super::decision::number;
use super::session::Session;

/// By rule: how many sessions it had turns for.
pub(super) type Turns = RefCell<BTreeMap<String, usize>>;

/// What a choice depends on besides the flow.
#[derive(Clone, Copy)]
pub(crate) struct Farm<'a> {
    pub(super) turns: &'a Turns,
    pub(super) sessions: &'a [Session],
    pub(super) asked: Asked<'a>,
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    /// A new session.
    First,
    /// A session that there is, and went to this server by this rule.
    Again { rule: Option<&'a str>, server: IpAddr },
}

impl Farm<'_> {
    /// The server, of those there are of the family in order of their addresses.
    pub(crate) fn choose(&self, rule: &str, by: Distribution, servers: &[IpAddr], flow: &Tuple) -> Option<IpAddr> {
        let count = servers.len().max(1);
        let again = match self.asked {
            Asked::First => None,
            Asked::Again { rule: before, server } => Some((before, server)),
        };
        if let Some((Some(before), server)) = again
            && before == rule
            && servers.contains(&server)
        {
            return Some(server);
        }
        match by {
            Distribution::IpModulo => {
                let sum = number(flow.source) ^ number(flow.destination);
                servers.get((sum % count as u128) as usize).copied()
            }
            Distribution::SourceIpHash => highest(servers, number(flow.source)),
            Distribution::IpHash => highest(servers, number(flow.source).rotate_left(64) ^ number(flow.destination)),
            // Only new sessions take turns.
            _ if again.is_some() => servers.first().copied(),
            Distribution::RoundRobin => {
                let mut turns = self.turns.borrow_mut();
                let turn = turns.entry(rule.to_owned()).or_default();
                *turn += 1;
                servers.get((*turn - 1) % count).copied()
            }
            Distribution::LeastSessions => {
                let busy = |server: &&IpAddr| {
                    let here = |session: &&Session| session.spread && session.server.tuple.source == **server;
                    self.sessions.iter().filter(here).count()
                };
                servers.iter().min_by_key(busy).copied()
            }
        }
    }

    /// A session that had its turn does not begin yet.
    pub(crate) fn give_back(&self, rule: &str) {
        if let Some(turn) = self.turns.borrow_mut().get_mut(rule) {
            *turn -= 1;
        }
    }
}

/// The server that scores highest with a number made of the flow.
fn highest(servers: &[IpAddr], flow: u128) -> Option<IpAddr> {
    let score = |server: IpAddr| {
        let fold = |value: u128| (value >> 64) as u64 ^ value as u64;
        let a =
            fold(flow).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ fold(number(server)).wrapping_mul(0xd134_2543_de82_ef95);
        let b = (a ^ (a >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let c = (b ^ (b >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        c ^ (c >> 31)
    };
    let mut best = *servers.first()?;
    for server in servers {
        if score(*server) >= score(best) {
            best = *server;
        }
    }
    Some(best)
}
