//! In which order do the policies of one direction decide?
//!
//! Admin tier, NetworkPolicies, Baseline tier (ClusterNetworkPolicy API); in a tier by priority, in a policy by the order of
//! its rules; the first that means a flow decides. Two things do not fit into a list in which the first match decides, and
//! are made to fit by writing out, before them, what comes after:
//!
//! - **Pass** leaves its tier: what it means is given the list of the later tiers, restricted to it. A Pass that no later
//!   rule of its tier meets needs nothing.
//! - **A DNS name** means no pods, whatever addresses a name server tells: so flows to pods are given the rest of the list
//!   first, and only what goes elsewhere is left for the name.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::attributes::Attributes;
use crate::checked::{Checked, Tier};
use crate::clause::{Clause, Direction, Peer, Peers, Verdict};
use crate::group::Group;
use crate::ports::Ports;
use crate::reach::Reach;

/// A part of the list.
#[derive(Clone, Debug)]
pub(crate) enum Part<C> {
    /// A rule.
    One(C),
    /// What some rules allow in any order, and what is refused besides: everything that any of them is about.
    Isolated { allow: Vec<C>, rest: C },
}

impl<C> Part<C> {
    pub(crate) fn map<D>(self, mut change: impl FnMut(C) -> D) -> Part<D> {
        match self {
            Self::One(clause) => Part::One(change(clause)),
            Self::Isolated { allow, rest } => {
                Part::Isolated { allow: allow.into_iter().map(&mut change).collect(), rest: change(rest) }
            }
        }
    }
}

/// The list of a direction.
pub(crate) fn list(policies: &[&Checked], direction: Direction, reach: &Reach<'_>) -> Vec<Part<Clause>> {
    let mut policies = policies.to_vec();
    policies.sort_by_key(|policy| (policy.priority, &policy.namespace, &policy.name));
    let tier = |tier: Tier| -> Vec<Clause> {
        let of_tier = policies.iter().filter(|policy| policy.tier == tier);
        of_tier.flat_map(|policy| policy.clauses(direction, reach)).collect()
    };
    let mut parts = namespaced(&policies, tier(Tier::Namespaced), direction);
    parts.extend(over(&tier(Tier::Baseline), Vec::new(), reach));
    over(&tier(Tier::Admin), parts, reach)
}

fn namespaced(policies: &[&Checked], clauses: Vec<Clause>, direction: Direction) -> Vec<Part<Clause>> {
    let (refuse, mut allow): (Vec<Clause>, Vec<Clause>) =
        clauses.into_iter().partition(|clause| clause.verdict == Verdict::Refuse);
    let mut parts: Vec<Part<Clause>> = refuse.into_iter().map(Part::One).collect();
    // What is looked at more closely goes first where two allow the same.
    allow.sort_by_key(|clause| std::cmp::Reverse(clause.attributes.weight()));
    let isolated = policies.iter().filter(|policy| policy.isolates.contains(&direction));
    let mut subjects: Vec<Group> = isolated.map(|policy| policy.subject.clone()).collect();
    subjects.sort();
    subjects.dedup();
    if subjects.is_empty() {
        return parts;
    }
    let name = if direction == Direction::Ingress { "default-deny-ingress" } else { "default-deny-egress" };
    let rest = Clause {
        subjects,
        peers: Peers::Anybody,
        ports: Ports::All,
        verdict: Verdict::Refuse,
        attributes: Arc::default(),
        readable: name.into(),
        origin: "What no NetworkPolicy allows of pods that policies are about".into(),
        is_rest: true,
    };
    parts.push(if allow.is_empty() { Part::One(rest) } else { Part::Isolated { allow, rest } });
    parts
}

/// A tier before the later ones.
fn over(clauses: &[Clause], later: Vec<Part<Clause>>, reach: &Reach<'_>) -> Vec<Part<Clause>> {
    let mut parts: VecDeque<Part<Clause>> = later.iter().cloned().collect();
    // The subject of DNS names for which the flows to pods are written out already, and the place behind that.
    let mut names: Option<(&Clause, usize)> = None;
    for (index, clause) in clauses.iter().enumerate().rev() {
        let mut before: Vec<Part<Clause>> = Vec::new();
        if clause.verdict == Verdict::Pass {
            let decides = |other: &&Clause| other.verdict != Verdict::Pass && clause.overlaps(other, reach);
            if clauses.iter().skip(index + 1).find(decides).is_none() {
                continue;
            }
            before.extend(restricted(clause, &later, reach));
            before.push(Part::One(passed(clause)));
            names = None;
        } else if clause.peers.has_domain() {
            if let Some((_, place)) = names.filter(|(known, _)| is_alike(known, clause)) {
                parts.insert(place, Part::One(clause.clone()));
                continue;
            }
            let pods = to_pods(clause);
            let after: Vec<Part<Clause>> = parts.iter().cloned().collect();
            before.extend(restricted(&pods, &after, reach));
            before.push(Part::One(pods));
            names = Some((clause, before.len()));
            before.push(Part::One(clause.clone()));
        } else {
            before.push(Part::One(clause.clone()));
            names = None;
        }
        before.into_iter().rev().for_each(|part| parts.push_front(part));
    }
    parts.into()
}

/// Whether what is written out for the names of one serves for those of the other.
fn is_alike(one: &Clause, other: &Clause) -> bool {
    let applications = |clause: &Clause| clause.attributes.applications.clone();
    one.subjects == other.subjects && one.ports == other.ports && applications(one) == applications(other)
}

fn restricted(to: &Clause, parts: &[Part<Clause>], reach: &Reach<'_>) -> Vec<Part<Clause>> {
    let mut found = Vec::new();
    for part in parts {
        match part {
            Part::One(clause) => found.extend(to.restrict(clause, reach).map(Part::One)),
            Part::Isolated { allow, rest } => {
                let Some(rest) = to.restrict(rest, reach) else { continue };
                let allow: Vec<Clause> = allow.iter().filter_map(|clause| to.restrict(clause, reach)).collect();
                found.push(if allow.is_empty() { Part::One(rest) } else { Part::Isolated { allow, rest } });
            }
        }
    }
    found
}

/// What a Pass means and no later tier decides about.
fn passed(clause: &Clause) -> Clause {
    let attributes = Attributes { applications: clause.attributes.applications.clone(), ..Attributes::default() };
    Clause { verdict: Verdict::Allow, attributes: Arc::new(attributes), ..clause.clone() }
}

/// The flows to pods beside those to names.
fn to_pods(clause: &Clause) -> Clause {
    let readable = format!("{}.pods", clause.readable).into();
    Clause { peers: Peers::Of(vec![Peer::Pods(Group::every_pod())]), readable, ..passed(clause) }
}
