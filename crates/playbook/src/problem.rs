//! What is wrong with a policy, where, and what instead?

use std::fmt;

/// One thing that is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `namespace/name` of the policy.
    pub policy: String,
    /// The field, as `kubectl explain` spells it, with positions: `spec.ingress[0].from[1].ipBlock.cidr`.
    pub field: String,
    /// What is wrong there, and what can be there instead.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NetworkPolicy {}: {}: {}", self.policy, self.field, self.what)
    }
}

/// Gathers the problems of one policy.
#[derive(Debug)]
pub(crate) struct Problems {
    policy: String,
    pub(crate) found: Vec<Problem>,
}

impl Problems {
    pub(crate) fn of(policy: String) -> Self {
        Self { policy, found: Vec::new() }
    }

    pub(crate) fn add(&mut self, field: impl Into<String>, what: impl Into<String>) {
        self.found.push(Problem { policy: self.policy.clone(), field: field.into(), what: what.into() });
    }
}
