//! What is wrong with a policy, where, and what instead?

use std::fmt;

/// The kinds of policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `networking.k8s.io/v1`.
    NetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha2`.
    ClusterNetworkPolicy,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NetworkPolicy => "NetworkPolicy",
            Self::ClusterNetworkPolicy => "ClusterNetworkPolicy",
        })
    }
}

/// Of which sort a problem is: the reason of a policy's condition `Translated`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It is not written as it must be.
    Invalid,
    /// It names what does not exist.
    ObjectNotFound,
    /// It names what the catalogue does not let its team name.
    NotAllowed,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "Invalid",
            Self::ObjectNotFound => "ObjectNotFound",
            Self::NotAllowed => "NotAllowed",
        })
    }
}

/// One thing that is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The policy's kind.
    pub kind: Kind,
    /// `namespace/name` of the policy, or the name of a ClusterNetworkPolicy.
    pub policy: String,
    /// The field, as `kubectl explain` spells it, with positions: `spec.ingress[0].from[1].ipBlock.cidr`.
    pub field: String,
    /// Of which sort it is.
    pub reason: Reason,
    /// What is wrong there, and what can be there instead.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}: {}", self.kind, self.policy, self.field, self.what)
    }
}

/// Gathers the problems of one policy.
#[derive(Debug)]
pub(crate) struct Problems {
    kind: Kind,
    policy: String,
    pub(crate) found: Vec<Problem>,
}

impl Problems {
    pub(crate) fn of(kind: Kind, policy: String) -> Self {
        Self { kind, policy, found: Vec::new() }
    }

    /// It is not written as it must be.
    pub(crate) fn add(&mut self, field: impl Into<String>, what: impl Into<String>) {
        self.tell(Reason::Invalid, field, what);
    }

    pub(crate) fn tell(&mut self, reason: Reason, field: impl Into<String>, what: impl Into<String>) {
        let (policy, field, what) = (self.policy.clone(), field.into(), what.into());
        self.found.push(Problem { kind: self.kind, policy, field, reason, what });
    }
}
