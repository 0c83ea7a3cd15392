//! What does one rule of a policy allow, in terms of groups and ports?

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::attributes::Attributes;
use crate::block::Block;
use crate::cluster::Snapshot;
use crate::group::{Group, Namespaces, Pods};
use crate::policy::{self, NetworkPolicy, PortName};
use crate::ports::{PortRange, Ports, Protocol};
use crate::problem::{Kind, Problem, Problems};
use crate::selector::Selector;

/// Which way a rule looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Into the pods it is about.
    Ingress,
    /// Out of them.
    Egress,
}

/// A policy without a fault.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its identity; empty in a file.
    pub uid: String,
    /// What its rules carry.
    pub attributes: Arc<Attributes>,
    /// Where each attribute is written, by its key: `metadata.labels[np.panw.com/antivirus]`.
    pub(crate) places: BTreeMap<String, String>,
    pub(crate) subject: Group,
    /// The directions it isolates its pods in.
    pub(crate) isolates: Vec<Direction>,
    rules: Vec<Written>,
}

/// A rule of a policy as it was written.
#[derive(Clone, Debug)]
struct Written {
    direction: Direction,
    index: usize,
    peers: Peers,
    /// `None` for all.
    ports: Option<Vec<WrittenPort>>,
}

#[derive(Clone, Debug)]
enum WrittenPort {
    Range(PortRange),
    Named(String, Protocol),
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
}

/// Who may talk with whom, in numbers of ports only.
#[derive(Clone, Debug)]
pub(crate) struct Clause {
    pub(crate) subject: Group,
    pub(crate) peers: Peers,
    pub(crate) ports: Ports,
    pub(crate) attributes: Arc<Attributes>,
    /// `namespace.policy.i0`, for names.
    pub(crate) readable: String,
    /// `NetworkPolicy namespace/policy (uid) spec.ingress[0]`, for descriptions.
    pub(crate) origin: String,
}

/// Reads a policy.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check(written: &NetworkPolicy) -> Result<Checked, Vec<Problem>> {
    let metadata = &written.metadata;
    let namespace = if metadata.namespace.is_empty() { "default" } else { &metadata.namespace };
    let mut problems = Problems::of(Kind::NetworkPolicy, format!("{namespace}/{}", metadata.name));
    if metadata.name.is_empty() {
        problems.add("metadata.name", "is missing");
    }
    let (attributes, places) = Attributes::read(metadata, &mut problems);
    let spec = &written.spec;
    let subject = Selector::read(&spec.pod_selector, "spec.podSelector", &mut problems);
    let isolates = directions(spec, &mut problems);
    let mut rules = Vec::new();
    for (index, rule) in spec.ingress.iter().flatten().enumerate() {
        let place = Place { namespace, direction: Direction::Ingress, index };
        rules.push(read(&place, ("from", rule.from.as_deref()), rule.ports.as_deref(), &mut problems));
    }
    for (index, rule) in spec.egress.iter().flatten().enumerate() {
        let place = Place { namespace, direction: Direction::Egress, index };
        rules.push(read(&place, ("to", rule.to.as_deref()), rule.ports.as_deref(), &mut problems));
    }
    rules.retain(|rule| isolates.contains(&rule.direction));
    if !problems.found.is_empty() {
        return Err(problems.found);
    }
    let subject = Group::Pods(Pods { namespaces: Namespaces::Named(namespace.to_owned()), pods: subject });
    Ok(Checked {
        namespace: namespace.to_owned(),
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
        attributes: Arc::new(attributes),
        places,
        subject,
        isolates,
        rules,
    })
}

fn directions(spec: &policy::Spec, problems: &mut Problems) -> Vec<Direction> {
    let types: Vec<&String> = spec.policy_types.iter().flatten().collect();
    if types.is_empty() {
        // As the API server fills it in.
        let has_egress = spec.egress.as_ref().is_some_and(|rules| !rules.is_empty());
        return if has_egress { vec![Direction::Ingress, Direction::Egress] } else { vec![Direction::Ingress] };
    }
    let mut found = Vec::new();
    for (index, name) in types.into_iter().enumerate() {
        match name.as_str() {
            "Ingress" => found.push(Direction::Ingress),
            "Egress" => found.push(Direction::Egress),
            other => {
                let what = format!("`{other}` is no type of a policy: they are `Ingress` and `Egress`");
                problems.add(format!("spec.policyTypes[{index}]"), what);
            }
        }
    }
    found
}

struct Place<'a> {
    namespace: &'a str,
    direction: Direction,
    index: usize,
}

impl Place<'_> {
    fn field(&self) -> String {
        let direction = if self.direction == Direction::Ingress { "ingress" } else { "egress" };
        format!("spec.{direction}[{}]", self.index)
    }
}

fn read(
    place: &Place<'_>,
    (side, peers): (&str, Option<&[policy::Peer]>),
    ports: Option<&[policy::Port]>,
    problems: &mut Problems,
) -> Written {
    let field = place.field();
    let mut found = Vec::new();
    for (index, peer) in peers.unwrap_or_default().iter().enumerate() {
        found.extend(read_peer(peer, place.namespace, &format!("{field}.{side}[{index}]"), problems));
    }
    let peers = if peers.unwrap_or_default().is_empty() { Peers::Anybody } else { Peers::Of(found) };
    let mut numbers = Vec::new();
    for (index, port) in ports.unwrap_or_default().iter().enumerate() {
        numbers.extend(read_port(port, &format!("{field}.ports[{index}]"), problems));
    }
    let ports = (!ports.unwrap_or_default().is_empty()).then_some(numbers);
    Written { direction: place.direction, index: place.index, peers, ports }
}

fn read_peer(peer: &policy::Peer, namespace: &str, field: &str, problems: &mut Problems) -> Option<Peer> {
    let policy::Peer { pod_selector, namespace_selector, ip_block } = peer;
    if let Some(block) = ip_block {
        if pod_selector.is_some() || namespace_selector.is_some() {
            problems.add(field, "has `ipBlock` beside a selector: make two peers of it");
        }
        return Block::read(block, &format!("{field}.ipBlock"), problems).map(Peer::Block);
    }
    if pod_selector.is_none() && namespace_selector.is_none() {
        problems.add(
            field,
            "is empty: give it `podSelector`, `namespaceSelector` or `ipBlock` (`podSelector: {}` is all pods)",
        );
        return None;
    }
    let pods = pod_selector.as_ref().map(|written| Selector::read(written, &format!("{field}.podSelector"), problems));
    let namespaces = match namespace_selector {
        Some(written) => Namespaces::Selected(Selector::read(written, &format!("{field}.namespaceSelector"), problems)),
        None => Namespaces::Named(namespace.to_owned()),
    };
    Some(Peer::Pods(Group::Pods(Pods { namespaces, pods: pods.unwrap_or_default() })))
}

fn read_port(written: &policy::Port, field: &str, problems: &mut Problems) -> Option<WrittenPort> {
    let name = written.protocol.as_deref().unwrap_or("TCP");
    let Some(protocol) = Protocol::read(name) else {
        problems.add(format!("{field}.protocol"), format!("`{name}` is no protocol here: `TCP`, `UDP` and `SCTP` are"));
        return None;
    };
    let number = |value: i64, field: String, problems: &mut Problems| {
        let number = u16::try_from(value).ok().filter(|number| *number > 0);
        if number.is_none() {
            problems.add(field, format!("{value} is no port: they go from 1 to 65535"));
        }
        number
    };
    match (&written.port, written.end_port) {
        (None, None) => Some(WrittenPort::Range(PortRange { protocol, low: 0, high: u16::MAX })),
        (None | Some(PortName::Name(_)), Some(_)) => {
            problems.add(format!("{field}.endPort"), "needs a number as `port`");
            None
        }
        (Some(PortName::Name(name)), None) => Some(WrittenPort::Named(name.clone(), protocol)),
        (Some(PortName::Number(low)), end) => {
            let low = number(*low, format!("{field}.port"), problems)?;
            let high = match end {
                Some(end) => number(end, format!("{field}.endPort"), problems)?,
                None => low,
            };
            if high < low {
                problems.add(format!("{field}.endPort"), format!("{high} is below `port`, which is {low}"));
                return None;
            }
            Some(WrittenPort::Range(PortRange { protocol, low, high }))
        }
    }
}

impl Checked {
    /// Which kind it is of.
    pub fn kind(&self) -> Kind {
        Kind::NetworkPolicy
    }

    /// `namespace/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Whether it allows anything.
    pub(crate) fn allows(&self) -> bool {
        self.attributes.refuse.is_none() && !self.rules.is_empty()
    }

    /// The rules of one direction. A named port becomes a clause for each of its numbers, for the pods that have it.
    pub(crate) fn clauses(&self, direction: Direction, snapshot: &Snapshot) -> Vec<Clause> {
        let mut found = Vec::new();
        for rule in self.rules.iter().filter(|rule| rule.direction == direction) {
            let letter = if direction == Direction::Ingress { 'i' } else { 'e' };
            let field = Place { namespace: &self.namespace, direction, index: rule.index }.field();
            let clause = Clause {
                subject: self.subject.clone(),
                peers: rule.peers.clone(),
                ports: Ports::All,
                attributes: Arc::clone(&self.attributes),
                readable: format!("{}.{}.{letter}{}", self.namespace, self.name, rule.index),
                origin: format!("NetworkPolicy {}/{} {} {field}", self.namespace, self.name, self.uid)
                    .replace("  ", " "),
            };
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
                    found.extend(clause.named(direction, name, *protocol, snapshot));
                }
            }
        }
        found
    }
}

impl Clause {
    /// For each number that pods with that named port have, where the packets go: those pods.
    fn named(&self, direction: Direction, name: &str, protocol: Protocol, snapshot: &Snapshot) -> Vec<Self> {
        let ends: Vec<Group> = match (direction, &self.peers) {
            (Direction::Ingress, _) => vec![self.subject.clone()],
            (Direction::Egress, Peers::Anybody) => vec![Group::every_pod()],
            (Direction::Egress, Peers::Of(peers)) => peers
                .iter()
                .map(|peer| match peer {
                    Peer::Pods(group) => group.clone(),
                    // A pod has the port also when it is meant by its address.
                    Peer::Block(block) => Group::In(block.clone()),
                })
                .collect(),
        };
        let mut numbers = std::collections::BTreeSet::new();
        for pod in snapshot.pods.iter().filter(|pod| ends.iter().any(|end| end.contains(snapshot, pod))) {
            let named = pod.ports.iter().filter(|port| port.name == name && port.protocol == protocol);
            numbers.extend(named.map(|port| port.number));
        }
        let clause = |number: u16| {
            let serves = Group::Serves(name.to_owned(), protocol, number);
            let mut clause = self.clone();
            clause.ports = Ports::Of(vec![PortRange { protocol, low: number, high: number }]);
            if direction == Direction::Ingress {
                clause.subject = clause.subject.and(&serves);
            } else {
                clause.peers = Peers::Of(ends.iter().map(|end| Peer::Pods(end.and(&serves))).collect());
            }
            clause
        };
        numbers.into_iter().map(clause).collect()
    }
}
