//! How often did each rule decide a new flow, and when first and last?
//!
//! Each worker counts for itself, by the rule's id, which outlives commits; whoever asks adds the workers
//! up. Counted is each new flow that a rule was found for, not each packet: a session counts once, and a
//! refused flow once for each time the rules were asked about it. A session asked again after a commit
//! does not count.

use bartizan_policy::tables::{Compiled, Forward};

use crate::verdict::Time;

/// A rule base with counters of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleBase {
    /// Security rules, the two default rules among them; by `RuleId`.
    Security,
    /// NAT rules; by `NatRuleId`.
    Nat,
}

/// What one rule did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hit {
    /// New flows it decided, since the start or since it was cleared.
    pub count: u64,
    /// The first of them.
    pub first: Option<Time>,
    /// The last of them.
    pub last: Option<Time>,
    /// When it was cleared last.
    pub reset: Option<Time>,
}

impl Hit {
    /// Adds what another worker counted for the same rule.
    pub fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.first = [self.first, other.first].into_iter().flatten().min();
        self.last = self.last.max(other.last);
        self.reset = self.reset.max(other.reset);
    }
}

/// The counters of one worker: as many as there were rule names since the start.
#[derive(Clone, Debug, Default)]
pub struct Hits {
    security: Vec<Hit>,
    nat: Vec<Hit>,
}

impl Hits {
    /// What the rule with this id did on this worker.
    pub fn of(&self, base: RuleBase, rule: usize) -> Hit {
        let hits = match base {
            RuleBase::Security => &self.security,
            RuleBase::Nat => &self.nat,
        };
        hits.get(rule).copied().unwrap_or_default()
    }

    /// Makes room for the rules of new tables, so that counting does not allocate.
    pub(crate) fn cover(&mut self, tables: &Compiled) {
        let ids = tables.ids();
        for (hits, rules) in [(&mut self.security, &ids.rules), (&mut self.nat, &ids.nat_rules)] {
            hits.resize(hits.len().max(rules.len()), Hit::default());
        }
    }

    /// A new flow was decided.
    pub(crate) fn count(&mut self, forward: &Forward, now: Time) {
        let security = self.security.get_mut(forward.rule.index());
        let nat = forward.nat_rule.and_then(|rule| self.nat.get_mut(rule.index()));
        for hit in [security, nat].into_iter().flatten() {
            hit.count += 1;
            hit.first.get_or_insert(now);
            hit.last = Some(now);
        }
    }

    /// Starts again from nothing for the rules that `chosen` picks by id.
    pub(crate) fn clear(&mut self, base: RuleBase, mut chosen: impl FnMut(usize) -> bool, now: Time) {
        let hits = match base {
            RuleBase::Security => &mut self.security,
            RuleBase::Nat => &mut self.nat,
        };
        for (_, hit) in hits.iter_mut().enumerate().filter(|(rule, _)| chosen(*rule)) {
            *hit = Hit { reset: Some(now), ..Hit::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_add_up_to_the_earliest_first_and_the_latest_last() {
        let seen = |count, first, last| Hit { count, first: Some(Time(first)), last: Some(Time(last)), reset: None };
        let mut sum = Hit::default();
        sum.add(&seen(2, 5, 9));
        sum.add(&Hit::default());
        sum.add(&Hit { reset: Some(Time(2)), ..seen(3, 4, 7) });
        assert_eq!(sum, Hit { reset: Some(Time(2)), ..seen(5, 4, 9) });
    }
}
