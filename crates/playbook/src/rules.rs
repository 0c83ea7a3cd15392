//! Which ordered rules decide as the policies do?
//!
//! Kubernetes asks two questions of a flow, and both answers must be yes: may it leave its source, and may it enter its
//! destination? A list in which the first match decides has one answer. The sections of the list, in this order, make
//! one of two:
//!
//! 1. what policies with a refusing `action` refuse;
//! 2. isolated source, isolated destination: what an egress rule and an ingress rule both allow, pair by pair;
//! 3. everything else between these two: refused;
//! 4. isolated source: what its egress rules allow. The destination is not isolated, or 3 had decided;
//! 5. everything else from an isolated source: refused;
//! 6. isolated destination: what its ingress rules allow. The source is not isolated, or 5 had decided;
//! 7. everything else to an isolated destination: refused;
//! 8. the pods that no policy is about: allowed, if [`Settings::allow_the_rest`].
//!
//! So there is no need of rules for what is *not* a group, and only pairs multiply. Pairs that cannot meet, because their
//! namespaces, labels, ports or applications exclude one another, are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::attributes::Attributes;
use crate::block::Block;
use crate::clause::{Checked, Clause, Direction, Peer, Peers};
use crate::cluster::Snapshot;
use crate::group::Group;
use crate::names;
use crate::ports::Ports;

/// What is the same for all rules of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The cluster's name in tags and names, at most 20 characters (the limit of cluster names in tags).
    pub cluster: String,
    /// Zones of the cluster's traffic; empty means any.
    pub zones: Vec<String>,
    /// A last rule allows what no policy is about, as Kubernetes does; without it the rules behind decide.
    pub allow_the_rest: bool,
    /// Most rules that may come out. Only pairs of egress and ingress rules can become so many.
    pub rules_max: usize,
}

/// One end of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Pods.
    Pods(Group),
    /// Addresses.
    Block(Block),
}

/// A rule. An end without parts is anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name: at most 63 characters, the same for the same policy rule.
    pub name: String,
    /// From whom.
    pub source: Vec<End>,
    /// To whom.
    pub destination: Vec<End>,
    /// Which ports.
    pub ports: Ports,
    /// `allow` or how it refuses: `deny`, `drop`, `reset-client`, `reset-server`, `reset-both`.
    pub action: String,
    /// What it carries besides.
    pub attributes: Arc<Attributes>,
    /// Which policies it is from.
    pub description: String,
}

/// The rules of a cluster, in order, and the groups they speak of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The settings it was made with.
    pub settings: Settings,
    /// The rules; the first that matches decides.
    pub rules: Vec<Rule>,
    /// What policies with `dry-run` would add, for a reader; in no order with the others.
    pub dry: Vec<Rule>,
}

/// There are more rules than [`Settings::rules_max`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// So many at least.
    pub rules: usize,
    /// So many may be.
    pub rules_max: usize,
}

impl std::fmt::Display for TooMany {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the policies need more than {} rules, because many egress and ingress rules can meet: name namespaces in \
             `namespaceSelector` (label `kubernetes.io/metadata.name`), or give fewer policies the type Egress",
            self.rules_max
        )
    }
}

impl std::error::Error for TooMany {}

/// Makes the rules of all policies of a cluster.
///
/// # Errors
/// When there are too many.
pub fn translate(settings: &Settings, policies: &[Checked], snapshot: &Snapshot) -> Result<Plan, TooMany> {
    let (dry, live): (Vec<&Checked>, Vec<&Checked>) = policies.iter().partition(|policy| policy.attributes.dry_run);
    let dry = Maker::new(settings, snapshot).of(&dry)?;
    let mut rules = Maker::new(settings, snapshot).of(&live)?;
    if settings.allow_the_rest {
        let every = vec![End::Pods(Group::every_pod())];
        let rest = |name: &str, source, destination| Rule {
            name: names::rule(&settings.cluster, name, name),
            source,
            destination,
            ports: Ports::All,
            action: "allow".to_owned(),
            attributes: Arc::default(),
            description: "Pods that no NetworkPolicy is about may talk, as in Kubernetes".to_owned(),
        };
        rules.push(rest("rest-out", every.clone(), Vec::new()));
        rules.push(rest("rest-in", Vec::new(), every));
    }
    Ok(Plan { settings: settings.clone(), rules: unique(&settings.cluster, rules), dry })
}

/// Two rules with the same name: the digest of one gets another text.
fn unique(cluster: &str, mut rules: Vec<Rule>) -> Vec<Rule> {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for rule in &mut rules {
        let mut turn = 1;
        while !seen.insert(rule.name.clone()) {
            rule.name = names::rule(cluster, "same", &format!("{} {turn}", rule.name));
            turn += 1;
        }
    }
    rules
}

struct Maker<'a> {
    settings: &'a Settings,
    snapshot: &'a Snapshot,
    rules: Vec<Rule>,
}

impl<'a> Maker<'a> {
    fn new(settings: &'a Settings, snapshot: &'a Snapshot) -> Self {
        Self { settings, snapshot, rules: Vec::new() }
    }

    fn of(mut self, policies: &[&Checked]) -> Result<Vec<Rule>, TooMany> {
        let mut policies = policies.to_vec();
        policies.sort_by_key(|policy| (&policy.namespace, &policy.name));
        let (refusing, allowing): (Vec<&Checked>, Vec<&Checked>) =
            policies.into_iter().partition(|policy| policy.attributes.refuse.is_some());
        let clauses = |policies: &[&Checked], direction| -> Vec<Clause> {
            policies.iter().flat_map(|policy| policy.clauses(direction, self.snapshot)).collect()
        };
        let refused = (clauses(&refusing, Direction::Egress), clauses(&refusing, Direction::Ingress));
        let mut egress = clauses(&allowing, Direction::Egress);
        let mut ingress = clauses(&allowing, Direction::Ingress);
        // What is looked at more closely goes first where two allow the same.
        egress.sort_by_key(|clause| std::cmp::Reverse(clause.attributes.weight()));
        ingress.sort_by_key(|clause| std::cmp::Reverse(clause.attributes.weight()));
        let isolated = |direction| -> Option<End> {
            let subjects = allowing.iter().filter(|policy| policy.isolates.contains(&direction));
            let subjects: BTreeSet<Group> = subjects.map(|policy| policy.subject.clone()).collect();
            (!subjects.is_empty()).then(|| End::Pods(Group::any(subjects)))
        };
        let (out, into) = (isolated(Direction::Egress), isolated(Direction::Ingress));

        for clause in &refused.0 {
            self.one(clause, Direction::Egress)?;
        }
        for clause in &refused.1 {
            self.one(clause, Direction::Ingress)?;
        }
        if let (Some(out), Some(into)) = (&out, &into) {
            for e in &egress {
                for i in &ingress {
                    self.pair(e, i)?;
                }
            }
            self.refuse("default-deny", Some(out), Some(into));
        }
        if let Some(out) = &out {
            for clause in &egress {
                self.one(clause, Direction::Egress)?;
            }
            self.refuse("default-deny-egress", Some(out), None);
        }
        if let Some(into) = &into {
            for clause in &ingress {
                self.one(clause, Direction::Ingress)?;
            }
            self.refuse("default-deny-ingress", None, Some(into));
        }
        Ok(self.rules)
    }

    fn ends(&self, peers: &Peers) -> Option<Vec<End>> {
        let Peers::Of(peers) = peers else { return Some(Vec::new()) };
        let possible = peers.iter().filter_map(|peer| match peer {
            Peer::Pods(group) if group.is_impossible(self.snapshot) => None,
            Peer::Pods(group) => Some(End::Pods(group.clone())),
            Peer::Block(block) if block.prefixes().is_empty() => None,
            Peer::Block(block) => Some(End::Block(block.clone())),
        });
        let ends: BTreeSet<End> = possible.collect();
        (!ends.is_empty()).then(|| ends.into_iter().collect())
    }

    fn one(&mut self, clause: &Clause, direction: Direction) -> Result<(), TooMany> {
        let Some(peers) = self.ends(&clause.peers) else { return Ok(()) };
        let subject = vec![End::Pods(clause.subject.clone())];
        let (source, destination) = if direction == Direction::Egress { (subject, peers) } else { (peers, subject) };
        let action = clause.attributes.refuse.clone().unwrap_or_else(|| "allow".to_owned());
        let identity = format!("{} {:?} {source:?} {destination:?}", clause.readable, clause.ports);
        self.add(Rule {
            name: names::rule(&self.settings.cluster, &clause.readable, &identity),
            source,
            destination,
            ports: clause.ports.clone(),
            action,
            attributes: Arc::clone(&clause.attributes),
            description: names::description(clause.origin.clone()),
        })
    }

    /// What both allow.
    fn pair(&mut self, egress: &Clause, ingress: &Clause) -> Result<(), TooMany> {
        let Some(ports) = egress.ports.and(&ingress.ports) else { return Ok(()) };
        let Some(attributes) = ingress.attributes.and(&egress.attributes) else { return Ok(()) };
        let Some(source) = self.meet(&egress.subject, &ingress.peers) else { return Ok(()) };
        let Some(destination) = self.meet(&ingress.subject, &egress.peers) else { return Ok(()) };
        let identity = format!("{} {} {ports:?} {source:?} {destination:?}", egress.readable, ingress.readable);
        self.add(Rule {
            name: names::rule(&self.settings.cluster, &format!("{}.both", ingress.readable), &identity),
            source,
            destination,
            ports,
            action: "allow".to_owned(),
            attributes: Arc::new(attributes),
            description: names::description(format!("{} and {}", ingress.origin, egress.origin)),
        })
    }

    /// The pods of one policy that the other one means by its peers.
    fn meet(&self, subject: &Group, peers: &Peers) -> Option<Vec<End>> {
        let groups: BTreeSet<Group> = match peers {
            Peers::Anybody => BTreeSet::from([subject.clone()]),
            Peers::Of(peers) => peers
                .iter()
                .map(|peer| match peer {
                    Peer::Pods(group) => subject.and(group),
                    Peer::Block(block) => subject.and(&Group::In(block.clone())),
                })
                .filter(|group| !group.is_impossible(self.snapshot))
                .collect(),
        };
        (!groups.is_empty()).then(|| groups.into_iter().map(End::Pods).collect())
    }

    fn refuse(&mut self, name: &str, source: Option<&End>, destination: Option<&End>) {
        self.rules.push(Rule {
            name: names::rule(&self.settings.cluster, name, name),
            source: source.into_iter().cloned().collect(),
            destination: destination.into_iter().cloned().collect(),
            ports: Ports::All,
            action: "deny".to_owned(),
            attributes: Arc::default(),
            description: "What no NetworkPolicy allows of pods that policies are about".to_owned(),
        });
    }

    fn add(&mut self, rule: Rule) -> Result<(), TooMany> {
        let rules_max = self.settings.rules_max;
        if self.rules.len() >= rules_max {
            return Err(TooMany { rules: self.rules.len() + 1, rules_max });
        }
        self.rules.push(rule);
        Ok(())
    }
}

impl Plan {
    /// The groups that rules speak of, by their tag.
    pub fn groups(&self) -> BTreeMap<String, &Group> {
        let ends = self.rules.iter().flat_map(|rule| rule.source.iter().chain(&rule.destination));
        let groups = ends.filter_map(|end| if let End::Pods(group) = end { Some(group) } else { None });
        groups.map(|group| (names::group(&self.settings.cluster, &group.to_string()), group)).collect()
    }

    /// The tags of each address: who belongs to which group now.
    pub fn members(&self, snapshot: &Snapshot) -> BTreeMap<IpAddr, BTreeSet<String>> {
        let mut found: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
        for (tag, group) in self.groups() {
            for address in group.addresses(snapshot) {
                found.entry(address).or_default().insert(tag.clone());
            }
        }
        found
    }
}
