//! What does a policy without a fault say?

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::attributes::Attributes;
use crate::clause::{Clause, Direction, Peers, Verdict};
use crate::group::Group;
use crate::ports::{PortRange, Ports, Protocol};
use crate::problem::{Kind, Problem};
use crate::reach::Reach;

/// Where a policy's rules stand among those of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// ClusterNetworkPolicies before all others.
    Admin,
    /// NetworkPolicies.
    Namespaced,
    /// ClusterNetworkPolicies for pods that no NetworkPolicy isolates.
    Baseline,
}

/// A policy without a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Its namespace; empty for a ClusterNetworkPolicy.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its identity; empty in a file.
    pub uid: String,
    /// What its rules carry.
    pub attributes: Arc<Attributes>,
    /// Where its rules stand.
    pub tier: Tier,
    /// Within the tier the lowest decides first; 0 for a NetworkPolicy.
    pub priority: u16,
    /// What of it is not understood or cannot be enforced, and how it fails closed: the rule or the name there lets nothing
    /// through. Empty for a NetworkPolicy, which is refused then.
    pub closed: Vec<Problem>,
    /// Where each attribute is written, by its key: `metadata.labels[np.panw.com/antivirus]`.
    pub(crate) places: BTreeMap<String, String>,
    pub(crate) subject: Group,
    /// The directions it isolates its pods in; none for a ClusterNetworkPolicy.
    pub(crate) isolates: Vec<Direction>,
    pub(crate) rules: Vec<Written>,
}

/// A rule of a policy as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) direction: Direction,
    pub(crate) index: usize,
    /// What a person calls it; empty when it has no name.
    pub(crate) name: String,
    pub(crate) verdict: Verdict,
    pub(crate) peers: Peers,
    /// `None` for all.
    pub(crate) ports: Option<Vec<WrittenPort>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WrittenPort {
    Range(PortRange),
    Named(String, Protocol),
}

impl Checked {
    /// Which kind it is of.
    pub fn kind(&self) -> Kind {
        if self.tier == Tier::Namespaced { Kind::NetworkPolicy } else { Kind::ClusterNetworkPolicy }
    }

    /// `namespace/name`, or the name of a ClusterNetworkPolicy.
    pub fn full_name(&self) -> String {
        if self.namespace.is_empty() { self.name.clone() } else { format!("{}/{}", self.namespace, self.name) }
    }

    /// Whether it allows anything.
    pub(crate) fn allows(&self) -> bool {
        self.rules.iter().any(|rule| rule.verdict == Verdict::Allow)
    }

    /// The rules of one direction. A named port becomes a clause for each of its numbers, for the pods that have it.
    pub(crate) fn clauses(&self, direction: Direction, reach: &Reach<'_>) -> Vec<Clause> {
        let mut found = Vec::new();
        for rule in self.rules.iter().filter(|rule| rule.direction == direction) {
            let clause = self.clause(rule);
            let Some(ports) = &rule.ports else {
                found.push(clause);
                continue;
            };
            let ranges =
                ports.iter().filter_map(|port| if let WrittenPort::Range(range) = port { Some(*range) } else { None });
            let ranges: Vec<PortRange> = ranges.collect();
            if !ranges.is_empty() {
                found.push(Clause { ports: Ports::of(ranges), ..clause.clone() });
            }
            for port in ports {
                if let WrittenPort::Named(name, protocol) = port {
                    found.extend(clause.named(direction, name, *protocol, reach));
                }
            }
        }
        found
    }

    fn clause(&self, rule: &Written) -> Clause {
        let letter = if rule.direction == Direction::Ingress { 'i' } else { 'e' };
        let scope = if self.namespace.is_empty() { "cnp" } else { &self.namespace };
        let mut origin = format!("{} {}", self.kind(), self.full_name());
        // One word each, whatever a person calls the rule: whoever reads it finds the policies by their words.
        let name: String = rule.name.chars().map(|c| if c.is_whitespace() { '_' } else { c }).collect();
        for part in [&self.uid, &rule.direction.field(rule.index), &name] {
            if !part.is_empty() {
                origin.push(' ');
                origin.push_str(part);
            }
        }
        let attributes = match rule.verdict {
            Verdict::Allow => Arc::clone(&self.attributes),
            Verdict::Refuse | Verdict::Pass => Arc::new(self.attributes.of_a_refusal()),
        };
        Clause {
            subjects: vec![self.subject.clone()],
            peers: rule.peers.clone(),
            ports: Ports::All,
            verdict: rule.verdict,
            attributes,
            readable: format!("{scope}.{}.{letter}{}", self.name, rule.index).into(),
            origin: origin.into(),
            is_rest: false,
        }
    }
}
