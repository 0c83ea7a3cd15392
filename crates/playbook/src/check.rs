//! What does a NetworkPolicy say, or what is wrong with it?

mod cluster;

use std::sync::Arc;

pub use self::cluster::check_cluster;

use crate::attributes::Attributes;
use crate::block::Block;
use crate::checked::{Checked, Tier, Written, WrittenPort};
use crate::clause::{Direction, Peer, Peers, Verdict};
use crate::group::{Group, Namespaces, Pods};
use crate::policy::{self, NetworkPolicy, PortName};
use crate::ports::{PortRange, Protocol};
use crate::problem::{Kind, Problem, Problems};
use crate::selector::{Selector, wrong_name, wrong_port};

/// Longest name of an object, and of a namespace (Kubernetes, Object Names and IDs).
pub(crate) const OBJECT_NAME_MAX: usize = 253;
const NAMESPACE_MAX: usize = 63;

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
    } else if let Some(wrong) = wrong_name(&metadata.name, OBJECT_NAME_MAX) {
        problems.add("metadata.name", wrong);
    }
    if let Some(wrong) = wrong_name(namespace, NAMESPACE_MAX) {
        problems.add("metadata.namespace", wrong);
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
    if attributes.refuse.is_some() {
        rules.iter_mut().for_each(|rule| rule.verdict = Verdict::Refuse);
    }
    if !problems.found.is_empty() {
        return Err(problems.found);
    }
    let isolates = if attributes.refuse.is_some() { Vec::new() } else { isolates };
    let subject = Group::Pods(Pods { namespaces: Namespaces::Named(namespace.to_owned()), pods: subject });
    Ok(Checked {
        namespace: namespace.to_owned(),
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
        attributes: Arc::new(attributes),
        tier: Tier::Namespaced,
        priority: 0,
        closed: Vec::new(),
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

fn read(
    place: &Place<'_>,
    (side, peers): (&str, Option<&[policy::Peer]>),
    ports: Option<&[policy::Port]>,
    problems: &mut Problems,
) -> Written {
    let field = place.direction.field(place.index);
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
    Written {
        direction: place.direction,
        index: place.index,
        name: String::new(),
        verdict: Verdict::Allow,
        peers,
        ports,
    }
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
    match (&written.port, written.end_port) {
        (None, None) => Some(WrittenPort::Range(PortRange { protocol, low: 0, high: u16::MAX })),
        (None | Some(PortName::Name(_)), Some(_)) => {
            problems.add(format!("{field}.endPort"), "needs a number as `port`");
            None
        }
        (Some(PortName::Name(name)), None) => match wrong_port(name) {
            Some(wrong) => {
                problems.add(format!("{field}.port"), wrong);
                None
            }
            None => Some(WrittenPort::Named(name.clone(), protocol)),
        },
        (Some(PortName::Number(low)), end) => {
            let low = port_number(*low, format!("{field}.port"), problems)?;
            let high = match end {
                Some(end) => port_number(end, format!("{field}.endPort"), problems)?,
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

pub(crate) fn port_number(value: i64, field: String, problems: &mut Problems) -> Option<u16> {
    let number = u16::try_from(value).ok().filter(|number| *number > 0);
    if number.is_none() {
        problems.add(field, format!("{value} is no port: they go from 1 to 65535"));
    }
    number
}
