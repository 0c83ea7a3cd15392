//! What does one rule of a policy decide, in terms of groups and ports?

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::attributes::Attributes;
use crate::block::Block;
use crate::group::Group;
use crate::ports::{PortRange, Ports, Protocol};
use crate::reach::Reach;

/// Which way a rule looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Into the pods it is about.
    Ingress,
    /// Out of them.
    Egress,
}

impl Direction {
    /// The rule's field.
    pub(crate) fn field(self, index: usize) -> String {
        let name = if self == Self::Ingress { "ingress" } else { "egress" };
        format!("spec.{name}[{index}]")
    }
}

/// What becomes of what a rule means, in its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Allow,
    Refuse,
    /// The next tier decides.
    Pass,
}

/// The other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peers {
    Anybody,
    Of(Vec<Peer>),
}

/// A part of the other end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    Pods(Group),
    Block(Block),
    /// Hosts behind a DNS name, which are no pods.
    Domain(String),
}

/// Who may talk with whom, in numbers of ports only.
#[derive(Clone, Debug)]
pub(crate) struct Clause {
    /// The pods it is about: of one of the groups. More than one only where [`Clause::is_rest`].
    pub(crate) subjects: Vec<Group>,
    pub(crate) peers: Peers,
    pub(crate) ports: Ports,
    pub(crate) verdict: Verdict,
    pub(crate) attributes: Arc<Attributes>,
    /// `namespace.policy.i0`, for names.
    pub(crate) readable: Arc<str>,
    /// `NetworkPolicy namespace/policy uid spec.ingress[0]`, for descriptions.
    pub(crate) origin: Arc<str>,
    /// What is refused because NetworkPolicies isolate and none allows it.
    pub(crate) is_rest: bool,
}

impl Clause {
    /// For each number that pods with that named port have, where the packets go: those pods.
    pub(crate) fn named(&self, direction: Direction, name: &str, protocol: Protocol, reach: &Reach<'_>) -> Vec<Self> {
        let ends: Vec<Group> = match (direction, &self.peers) {
            (Direction::Ingress, _) => self.subjects.clone(),
            (Direction::Egress, Peers::Anybody) => vec![Group::every_pod()],
            (Direction::Egress, Peers::Of(peers)) => peers.iter().filter_map(Peer::pods).collect(),
        };
        let clause = |number: u16| {
            let serves = Group::Serves(name.to_owned(), protocol, number);
            let ends = ends.iter().map(|end| end.and(&serves));
            let mut clause = self.clone();
            clause.ports = Ports::Of(vec![PortRange { protocol, low: number, high: number }]);
            if direction == Direction::Ingress {
                clause.subjects = ends.collect();
            } else {
                clause.peers = Peers::Of(ends.map(Peer::Pods).collect());
            }
            clause
        };
        reach.numbers(&ends, name, protocol).into_iter().map(clause).collect()
    }

    /// What both mean, of the same direction, with the verdict of `other`; `None` when that is nothing.
    ///
    /// A DNS name that is to be within addresses is left out: what cannot be told apart is not allowed.
    pub(crate) fn restrict(&self, other: &Self, reach: &Reach<'_>) -> Option<Self> {
        let ports = self.ports.and(&other.ports)?;
        let attributes = other.attributes.within(&self.attributes)?;
        let pairs = self.subjects.iter().flat_map(|a| other.subjects.iter().map(move |b| a.and(b)));
        let subjects: Vec<Group> = pairs.filter(|group| reach.is_possible(group)).collect();
        let peers = self.peers.and(&other.peers, reach)?;
        if subjects.is_empty() {
            return None;
        }
        Some(Self {
            subjects,
            peers,
            ports,
            verdict: other.verdict,
            attributes: Arc::new(attributes),
            readable: format!("{}.{}", self.readable, other.readable).into(),
            origin: format!("{} and {}", other.origin, self.origin).into(),
            is_rest: other.is_rest,
        })
    }

    /// Whether anything is meant by both, of the same direction.
    pub(crate) fn overlaps(&self, other: &Self, reach: &Reach<'_>) -> bool {
        // A DNS name may be any address.
        let is_name = |clause: &Self| clause.peers.has_domain();
        is_name(self) || is_name(other) || self.restrict(other, reach).is_some()
    }
}

impl Peer {
    /// The pods that it means; `None` when it means no pods.
    pub(crate) fn pods(&self) -> Option<Group> {
        match self {
            Self::Pods(group) => Some(group.clone()),
            // A pod is meant also by its address.
            Self::Block(block) => Some(Group::In(block.clone())),
            Self::Domain(_) => None,
        }
    }

    fn and(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Pods(group), Self::Block(block)) | (Self::Block(block), Self::Pods(group)) => {
                Some(Self::Pods(group.and(&Group::In(block.clone()))))
            }
            (Self::Pods(one), Self::Pods(other)) => Some(Self::Pods(one.and(other))),
            (Self::Block(one), Self::Block(other)) => one.and(other).map(Self::Block),
            (Self::Domain(one), Self::Domain(other)) => (one == other).then(|| self.clone()),
            (Self::Domain(_), _) | (_, Self::Domain(_)) => None,
        }
    }
}

impl Peers {
    pub(crate) fn has_domain(&self) -> bool {
        matches!(self, Self::Of(peers) if peers.iter().any(|peer| matches!(peer, Peer::Domain(_))))
    }

    /// What both mean; `None` for nobody.
    fn and(&self, other: &Self, reach: &Reach<'_>) -> Option<Self> {
        let (ours, theirs) = match (self, other) {
            (Self::Anybody, peers) | (peers, Self::Anybody) => return Some(peers.clone()),
            (Self::Of(ours), Self::Of(theirs)) => (ours, theirs),
        };
        let pairs = ours.iter().flat_map(|one| theirs.iter().filter_map(|other| one.and(other)));
        let both: BTreeSet<Peer> =
            pairs.filter(|peer| !matches!(peer, Peer::Pods(group) if !reach.is_possible(group))).collect();
        (!both.is_empty()).then(|| Self::Of(both.into_iter().collect()))
    }
}
