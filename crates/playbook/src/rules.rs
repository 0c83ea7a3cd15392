//! Which ordered rules decide as the policies do?
//!
//! Kubernetes asks two questions of a flow, and both answers must be yes: may it leave its source, and may it enter its
//! destination? A list in which the first match decides has one answer. The sections of the list, in this order, make
//! one of two:
//!
//! - For each rule of the egress list ([`crate::order`]) that allows: with each rule of the ingress list in its order, what
//!   both mean, allowed or refused as the ingress list says; then what the egress rule means, allowed. The destination is
//!   meant by no ingress rule then.
//! - For each rule of the egress list that refuses: that.
//! - Behind the egress list, for flows from nobody that it means: the ingress list.
//! - The pods that no policy is about: allowed, if [`Settings::allow_the_rest`].
//!
//! Rules that allow in any order, as those of NetworkPolicies, go together: the ingress list is asked once for all of them,
//! and what it refuses is refused of everything that NetworkPolicies isolate; so refusals do not multiply. What the ingress
//! list refuses before it allows anything comes before all, once.
//!
//! So there is no need of rules for what is *not* a group, and only pairs multiply. Pairs that cannot meet, because their
//! namespaces, labels, ports or applications exclude one another, are left out.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use crate::attributes::Attributes;
use crate::block::Block;
use crate::checked::Checked;
use crate::clause::{Clause, Direction, Peer, Peers, Verdict};
use crate::cluster::Snapshot;
use crate::group::Group;
use crate::members::Members;
use crate::names;
use crate::order::{self, Part};
use crate::ports::Ports;
use crate::reach::{Reach, Spaces};

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
    /// Pods, or nodes.
    Pods(Arc<Tagged>),
    /// Addresses.
    Block(Block),
    /// The hosts behind a DNS name.
    Domain(String),
}

/// A group and its tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tagged {
    /// The tag of its members, which is the name of its address group, too.
    pub tag: String,
    /// Who belongs to it.
    pub group: Group,
}

/// For people: a group's condition in brackets.
impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pods(tagged) => write!(f, "[{}]", tagged.group),
            Self::Block(block) => write!(f, "[{block}]"),
            Self::Domain(name) => f.write_str(name),
        }
    }
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
pub fn translate<P: Borrow<Checked>>(
    settings: &Settings,
    policies: &[P],
    snapshot: &Snapshot,
) -> Result<Plan, TooMany> {
    let (dry, live): (Vec<&Checked>, Vec<&Checked>) =
        policies.iter().map(Borrow::borrow).partition(|policy| policy.attributes.dry_run);
    let reach = Reach::new(snapshot);
    let dry = Maker::new(settings, &reach).of(&dry)?;
    let mut maker = Maker::new(settings, &reach);
    let every = vec![maker.pods(&Group::every_pod())];
    if settings.allow_the_rest {
        let rest = |name: &str, source, destination| Rule {
            name: names::rule(&settings.cluster, name, name),
            source,
            destination,
            ports: Ports::All,
            action: "allow".to_owned(),
            attributes: Arc::default(),
            description: "Pods that no policy is about may talk, as in Kubernetes".to_owned(),
        };
        maker.last = vec![rest("rest-out", every.clone(), Vec::new()), rest("rest-in", Vec::new(), every)];
    }
    let rules = maker.of(&live)?;
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
    reach: &'a Reach<'a>,
    groups: RefCell<HashMap<Group, Arc<Tagged>>>,
    rules: Vec<Rule>,
    /// Behind all others.
    last: Vec<Rule>,
}

/// A clause, and where its pods can be.
struct Seen {
    clause: Clause,
    subjects: Spaces,
    peers: Spaces,
}

impl<'a> Maker<'a> {
    fn new(settings: &'a Settings, reach: &'a Reach<'a>) -> Self {
        Self { settings, reach, groups: RefCell::default(), rules: Vec::new(), last: Vec::new() }
    }

    fn list(&self, policies: &[&Checked], direction: Direction) -> Vec<Part<Seen>> {
        let seen = |clause: Clause| Seen {
            subjects: self.reach.any(&clause.subjects),
            peers: self.reach.peers(&clause.peers),
            clause,
        };
        order::list(policies, direction, self.reach).into_iter().map(|part| part.map(seen)).collect()
    }

    fn of(mut self, policies: &[&Checked]) -> Result<Vec<Rule>, TooMany> {
        let out = self.list(policies, Direction::Egress);
        let into = self.list(policies, Direction::Ingress);
        let (out_first, out) = out.split_at(refusals(&out));
        let (into_first, into) = into.split_at(refusals(&into));
        for part in out_first {
            self.part(part, Direction::Egress)?;
        }
        for part in into_first {
            self.part(part, Direction::Ingress)?;
        }
        for part in out {
            for other in into {
                self.meeting(part, other)?;
            }
            self.part(part, Direction::Egress)?;
        }
        for part in into {
            self.part(part, Direction::Ingress)?;
        }
        for rule in std::mem::take(&mut self.last) {
            self.add(rule)?;
        }
        Ok(self.rules)
    }

    /// What a part of the egress list and one of the ingress list both mean.
    fn meeting(&mut self, out: &Part<Seen>, into: &Part<Seen>) -> Result<(), TooMany> {
        let (allow, rest) = match out {
            Part::One(seen) if seen.clause.verdict == Verdict::Refuse => return Ok(()),
            Part::One(seen) => (std::slice::from_ref(seen), seen),
            Part::Isolated { allow, rest } => (allow.as_slice(), rest),
        };
        match into {
            Part::One(i) if i.clause.verdict == Verdict::Refuse => self.pair(rest, i),
            Part::One(i) => allow.iter().try_for_each(|e| self.pair(e, i)),
            Part::Isolated { allow: those, rest: refused } => {
                for e in allow {
                    those.iter().try_for_each(|i| self.pair(e, i))?;
                }
                self.pair(rest, refused)
            }
        }
    }

    /// What a part means, whoever is at the other end.
    fn part(&mut self, part: &Part<Seen>, direction: Direction) -> Result<(), TooMany> {
        match part {
            Part::One(seen) => self.one(&seen.clause, direction),
            Part::Isolated { allow, rest } => {
                allow.iter().try_for_each(|seen| self.one(&seen.clause, direction))?;
                self.one(&rest.clause, direction)
            }
        }
    }

    fn pods(&self, group: &Group) -> End {
        if let Some(known) = self.groups.borrow().get(group) {
            return End::Pods(Arc::clone(known));
        }
        let tagged = Arc::new(Tagged { tag: group.tag(&self.settings.cluster), group: group.clone() });
        self.groups.borrow_mut().insert(group.clone(), Arc::clone(&tagged));
        End::Pods(tagged)
    }

    fn ends(&self, peers: &Peers) -> Option<Vec<End>> {
        let Peers::Of(peers) = peers else { return Some(Vec::new()) };
        let possible = peers.iter().filter_map(|peer| match peer {
            Peer::Pods(group) if !self.reach.is_possible(group) => None,
            Peer::Pods(group) => Some(self.pods(group)),
            Peer::Block(block) if block.prefixes().is_empty() => None,
            Peer::Block(block) => Some(End::Block(block.clone())),
            Peer::Domain(name) => Some(End::Domain(name.clone())),
        });
        let ends: BTreeSet<End> = possible.collect();
        (!ends.is_empty()).then(|| ends.into_iter().collect())
    }

    fn one(&mut self, clause: &Clause, direction: Direction) -> Result<(), TooMany> {
        let Some(peers) = self.ends(&clause.peers) else { return Ok(()) };
        let subjects = clause.subjects.iter().map(|group| self.pods(group)).collect();
        let (source, destination) = if direction == Direction::Egress { (subjects, peers) } else { (peers, subjects) };
        let identity = if clause.is_rest {
            clause.readable.to_string()
        } else {
            identity(&clause.readable, &clause.ports, &source, &destination)
        };
        self.add(Rule {
            name: names::rule(&self.settings.cluster, &clause.readable, &identity),
            source,
            destination,
            ports: clause.ports.clone(),
            action: action(clause.verdict, &clause.attributes),
            attributes: Arc::clone(&clause.attributes),
            description: names::description(clause.origin.to_string()),
        })
    }

    /// What both mean, as the ingress rule decides it.
    fn pair(&mut self, egress: &Seen, ingress: &Seen) -> Result<(), TooMany> {
        if !egress.subjects.meets(&ingress.peers) || !ingress.subjects.meets(&egress.peers) {
            return Ok(());
        }
        let (e, i) = (&egress.clause, &ingress.clause);
        let Some(ports) = e.ports.and(&i.ports) else { return Ok(()) };
        let attributes = match i.verdict {
            Verdict::Allow | Verdict::Pass => i.attributes.and(&e.attributes),
            Verdict::Refuse => i.attributes.refuses(&e.attributes),
        };
        let Some(attributes) = attributes else { return Ok(()) };
        let Some(source) = self.meet(&e.subjects, &i.peers) else { return Ok(()) };
        let Some(destination) = self.meet(&i.subjects, &e.peers) else { return Ok(()) };
        let is_rest = e.is_rest && i.is_rest;
        let readable = if is_rest { "default-deny".to_owned() } else { format!("{}.both", i.readable) };
        let both = format!("{} {}", e.readable, i.readable);
        let identity = if is_rest { both } else { identity(&both, &ports, &source, &destination) };
        let description = if is_rest { i.origin.to_string() } else { format!("{} and {}", i.origin, e.origin) };
        self.add(Rule {
            name: names::rule(&self.settings.cluster, &readable, &identity),
            source,
            destination,
            ports,
            action: action(i.verdict, &attributes),
            attributes: Arc::new(attributes),
            description: names::description(description),
        })
    }

    /// The pods of one policy that the other one means by its peers.
    fn meet(&self, subjects: &[Group], peers: &Peers) -> Option<Vec<End>> {
        let groups: BTreeSet<End> = match peers {
            Peers::Anybody => subjects.iter().map(|subject| self.pods(subject)).collect(),
            Peers::Of(peers) => {
                let peers: Vec<Group> = peers.iter().filter_map(Peer::pods).collect();
                let pairs = subjects.iter().flat_map(|subject| peers.iter().map(move |peer| (subject, peer)));
                let both =
                    pairs.filter(|(subject, peer)| !subject.excludes(peer)).map(|(subject, peer)| subject.and(peer));
                both.filter(|group| self.reach.is_possible(group)).map(|group| self.pods(&group)).collect()
            }
        };
        (!groups.is_empty()).then(|| groups.into_iter().collect())
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

/// How many parts at the beginning of a list refuse.
fn refusals(parts: &[Part<Seen>]) -> usize {
    let refuses = |part: &&Part<Seen>| matches!(part, Part::One(seen) if seen.clause.verdict == Verdict::Refuse);
    parts.iter().take_while(refuses).count()
}

fn action(verdict: Verdict, attributes: &Attributes) -> String {
    match verdict {
        Verdict::Allow | Verdict::Pass => "allow".to_owned(),
        Verdict::Refuse => attributes.refuse.clone().unwrap_or_else(|| "deny".to_owned()),
    }
}

/// What a rule is, for its name.
fn identity(readable: &str, ports: &Ports, source: &[End], destination: &[End]) -> String {
    let mut text = readable.to_owned();
    match ports {
        Ports::All => text.push_str(" any"),
        Ports::Of(ranges) => ranges.iter().for_each(|range| text.push_str(&format!(" {range}"))),
    }
    for end in [source, destination] {
        text.push_str(" |");
        for part in end {
            match part {
                End::Pods(tagged) => text.push_str(&format!(" {}", tagged.tag)),
                other => text.push_str(&format!(" {other}")),
            }
        }
    }
    text
}

impl Plan {
    /// The groups that rules speak of, by their tag.
    pub fn groups(&self) -> BTreeMap<String, &Group> {
        self.tagged().into_values().map(|tagged| (tagged.tag.clone(), &tagged.group)).collect()
    }

    /// The same, each with its tag.
    pub fn tagged(&self) -> BTreeMap<&str, &Arc<Tagged>> {
        let ends = self.rules.iter().flat_map(|rule| rule.source.iter().chain(&rule.destination));
        let groups = ends.filter_map(|end| if let End::Pods(tagged) = end { Some(tagged) } else { None });
        groups.map(|tagged| (tagged.tag.as_str(), tagged)).collect()
    }

    /// The tags of each address: who belongs to which group now. For one pod that changes, ask [`Members`].
    pub fn members(&self, snapshot: &Snapshot) -> BTreeMap<IpAddr, BTreeSet<String>> {
        Members::new(self.tagged().into_values().cloned()).all(snapshot)
    }
}
