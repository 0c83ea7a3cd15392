//! Which of several translated destinations is next?
//!
//! What `round-robin` and `least-sessions` depend on, for one worker: each worker takes turns of its own and
//! counts its own sessions, since flows are spread over the workers evenly.

use std::net::IpAddr;

use ahash::RandomState;
use bartizan_model::device::Distribution;
use bartizan_policy::decide::Choose;
use bartizan_policy::tables::NatRuleId;
use hashbrown::HashMap;

/// Turns of the rules, and sessions of the destinations. Bounded by the rules there were and by the
/// sessions there are.
pub(crate) struct Spreads {
    turns: HashMap<NatRuleId, usize, RandomState>,
    sessions: HashMap<IpAddr, u32, RandomState>,
    /// Where turns begin, so that workers do not begin at the same destination.
    first: usize,
}

impl Spreads {
    pub(crate) fn new(worker: u16, seed: u64) -> Self {
        let hasher = RandomState::with_seeds(seed, 17, 18, 19);
        let turns = HashMap::with_hasher(hasher.clone());
        Self { turns, sessions: HashMap::with_hasher(hasher), first: worker.into() }
    }

    /// A flow had its turn, but opens no session yet.
    pub(crate) fn give_back(&mut self, rule: NatRuleId) {
        if let Some(turn) = self.turns.get_mut(&rule) {
            *turn = turn.wrapping_sub(1);
        }
    }

    /// A session goes to this destination.
    pub(crate) fn add(&mut self, destination: IpAddr) {
        *self.sessions.entry(destination).or_insert(0) += 1;
    }

    /// It is over.
    pub(crate) fn remove(&mut self, destination: IpAddr) {
        if let Some(sessions) = self.sessions.get_mut(&destination) {
            *sessions -= 1;
            if *sessions == 0 {
                self.sessions.remove(&destination);
            }
        }
    }
}

impl Choose for Spreads {
    fn member(&mut self, rule: NatRuleId, distribution: Distribution, members: &[IpAddr]) -> Option<IpAddr> {
        match distribution {
            Distribution::LeastSessions => {
                let sessions = |member: &&IpAddr| self.sessions.get(*member).copied().unwrap_or(0);
                members.iter().min_by_key(sessions).copied()
            }
            Distribution::RoundRobin => {
                let turn = self.turns.entry(rule).or_insert(self.first);
                let member = members.get(*turn % members.len().max(1)).copied();
                *turn = turn.wrapping_add(1);
                member
            }
            // These depend on nothing but the flow.
            Distribution::SourceIpHash | Distribution::IpModulo | Distribution::IpHash => None,
        }
    }
}

/// A session that is asked about again stays where it is.
pub(crate) struct Staying {
    pub(crate) rule: Option<NatRuleId>,
    pub(crate) destination: IpAddr,
}

impl Choose for Staying {
    fn keep(&self, rule: NatRuleId) -> Option<IpAddr> {
        (self.rule == Some(rule)).then_some(self.destination)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBERS: [IpAddr; 3] = [
        IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)),
        IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)),
        IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 3)),
    ];

    #[test]
    fn turns_go_round_and_the_idlest_is_found() {
        let mut spreads = Spreads::new(1, 0);
        let mut next = |distribution| spreads.member(NatRuleId(4), distribution, &MEMBERS).unwrap();
        let turns: Vec<_> = (0..4).map(|_| next(Distribution::RoundRobin)).collect();
        assert_eq!(turns, [MEMBERS[1], MEMBERS[2], MEMBERS[0], MEMBERS[1]]);
        spreads.add(MEMBERS[0]);
        spreads.add(MEMBERS[1]);
        spreads.add(MEMBERS[1]);
        spreads.add(MEMBERS[2]);
        spreads.add(MEMBERS[2]);
        assert_eq!(spreads.member(NatRuleId(4), Distribution::LeastSessions, &MEMBERS), Some(MEMBERS[0]));
        spreads.remove(MEMBERS[2]);
        spreads.remove(MEMBERS[2]);
        assert_eq!(spreads.member(NatRuleId(4), Distribution::LeastSessions, &MEMBERS), Some(MEMBERS[2]));
    }
}
