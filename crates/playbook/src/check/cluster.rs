//! What does a ClusterNetworkPolicy say, or what is wrong with it?
//!
//! The limits are those of the API. What it leaves to the reader is done as it asks: a rule with a field that is not known
//! matches nothing when it accepts, and refuses everything of its subject when it denies or passes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bartizan_model::diagnostic::closest;
use serde_json::Value;

use crate::attributes::Attributes;
use crate::block::Block;
use crate::check::{OBJECT_NAME_MAX, port_number};
use crate::checked::{Checked, Tier, Written, WrittenPort};
use crate::clause::{Direction, Peer, Peers, Verdict};
use crate::cluster_policy::{ClusterNetworkPolicy, Destination, NamespacedPod, Numbers, ProtocolPorts, Rule};
use crate::cluster_policy::{Peer as WrittenPeer, Subject};
use crate::group::{Group, Namespaces, Pods};
use crate::ports::{PortRange, Protocol};
use crate::problem::{Kind, Problem, Problems};
use crate::selector::{LabelSelector, Selector, wrong_name, wrong_port};

/// Most rules of a direction, peers of a rule, protocols of a rule, networks and names of a peer.
const ITEMS_MAX: usize = 25;
/// Longest name of a rule.
const NAME_MAX: usize = 100;
/// The priority that is asked last.
const PRIORITY_MAX: i64 = 1000;

/// Reads a policy.
///
/// # Errors
/// Everything that is wrong with it. What only closes one of its rules is in [`Checked::closed`].
pub fn check_cluster(written: &ClusterNetworkPolicy) -> Result<Checked, Vec<Problem>> {
    let (metadata, spec) = (&written.metadata, &written.spec);
    let problems = |name: &str| Problems::of(Kind::ClusterNetworkPolicy, name.to_owned());
    let mut reader = Reader { problems: problems(&metadata.name), closed: problems(&metadata.name) };
    if metadata.name.is_empty() {
        reader.problems.add("metadata.name", "is missing");
    } else if let Some(wrong) = wrong_name(&metadata.name, OBJECT_NAME_MAX) {
        reader.problems.add("metadata.name", wrong);
    }
    if !metadata.namespace.is_empty() {
        reader.problems.add("metadata.namespace", "is there, but the kind has no namespaces: leave it out");
    }
    let (attributes, places) = Attributes::read(metadata, &mut reader.problems);
    let tier = reader.tier(&spec.tier);
    let priority = reader.priority(spec.priority);
    let subject = reader.subject(&spec.subject);
    let mut rules = Vec::new();
    for (direction, written) in [(Direction::Ingress, &spec.ingress), (Direction::Egress, &spec.egress)] {
        let written = written.as_deref().unwrap_or_default();
        let name = if direction == Direction::Ingress { "ingress" } else { "egress" };
        reader.within(&format!("spec.{name}"), written.len(), "rules");
        for (index, rule) in written.iter().enumerate() {
            rules.extend(reader.rule(direction, index, rule));
        }
    }
    reader.attributes(&attributes, &rules, &places);
    if !reader.problems.found.is_empty() {
        return Err(reader.problems.found);
    }
    Ok(Checked {
        namespace: String::new(),
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
        attributes: Arc::new(attributes),
        tier,
        priority,
        closed: reader.closed.found,
        places,
        subject,
        isolates: Vec::new(),
        rules,
    })
}

struct Reader {
    problems: Problems,
    /// What closes a rule.
    closed: Problems,
}

impl Reader {
    fn tier(&mut self, written: &str) -> Tier {
        match written {
            "Admin" => return Tier::Admin,
            "Baseline" => return Tier::Baseline,
            "" => self.problems.add("spec.tier", "is missing: it is `Admin` or `Baseline`"),
            other => {
                let near = closest(other, ["Admin", "Baseline"]).map(|near| format!("did you mean `{near}`?"));
                let near = near.unwrap_or_else(|| "they are `Admin` and `Baseline`".to_owned());
                self.problems.add("spec.tier", format!("`{other}` is no tier: {near}"));
            }
        }
        Tier::Admin
    }

    fn priority(&mut self, written: Option<i64>) -> u16 {
        match written.map(|priority| (priority, u16::try_from(priority))) {
            None => self.problems.add("spec.priority", format!("is missing: it goes from 0 to {PRIORITY_MAX}")),
            Some((number, Ok(priority))) if number <= PRIORITY_MAX => return priority,
            Some((number, _)) => {
                let what = format!("{number} is no priority: they go from 0, which decides first, to {PRIORITY_MAX}");
                self.problems.add("spec.priority", what);
            }
        }
        0
    }

    fn subject(&mut self, written: &Subject) -> Group {
        match (&written.namespaces, &written.pods) {
            (Some(namespaces), None) => self.namespaces(namespaces, "spec.subject.namespaces"),
            (None, Some(pods)) => self.pods(pods, "spec.subject.pods"),
            _ => {
                self.problems.add("spec.subject", "needs one of `namespaces` and `pods`");
                Group::every_pod()
            }
        }
    }

    fn namespaces(&mut self, written: &LabelSelector, field: &str) -> Group {
        let namespaces = Namespaces::Selected(Selector::read(written, field, &mut self.problems));
        Group::Pods(Pods { namespaces, pods: Selector::default() })
    }

    fn pods(&mut self, written: &NamespacedPod, field: &str) -> Group {
        let namespaces = format!("{field}.namespaceSelector");
        let namespaces = Selector::read(&written.namespace_selector, &namespaces, &mut self.problems);
        let pods = Selector::read(&written.pod_selector, &format!("{field}.podSelector"), &mut self.problems);
        Group::Pods(Pods { namespaces: Namespaces::Selected(namespaces), pods })
    }

    fn within(&mut self, field: &str, number: usize, what: &str) {
        if number > ITEMS_MAX {
            self.problems.add(field, format!("has {number} {what}; {ITEMS_MAX} are the most: make two of it"));
        }
    }

    /// What a rule becomes: nothing when it accepts and is closed, two when some of its peers are DNS names.
    fn rule(&mut self, direction: Direction, index: usize, rule: &Rule) -> Vec<Written> {
        let field = direction.field(index);
        let name = rule.name.clone().unwrap_or_default();
        if name.chars().count() > NAME_MAX {
            self.problems.add(format!("{field}.name"), format!("has more than {NAME_MAX} characters: make it shorter"));
        }
        let verdict = self.verdict(&format!("{field}.action"), &rule.action);
        let (side, peers, other) = match direction {
            Direction::Ingress => ("from", &rule.from, rule.to.as_ref().map(|_| "to")),
            Direction::Egress => ("to", &rule.to, rule.from.as_ref().map(|_| "from")),
        };
        let mut is_known = self.is_known(&field, &rule.unknown);
        if let Some(other) = other {
            self.problems.add(format!("{field}.{other}"), format!("is of the other direction: here it is `{side}`"));
        }
        let written = peers.as_deref().unwrap_or_default();
        if written.is_empty() {
            let all = "`namespaces: {}` is all pods";
            self.problems.add(format!("{field}.{side}"), format!("needs at least one peer ({all})"));
        }
        self.within(&format!("{field}.{side}"), written.len(), "peers");
        let mut peers = BTreeSet::new();
        for (at, peer) in written.iter().enumerate() {
            match self.peer(direction, &format!("{field}.{side}[{at}]"), verdict, peer) {
                Some(found) => peers.extend(found),
                None => is_known = false,
            }
        }
        let ports = self.ports(&field, rule, &mut is_known);
        let written = |peers: BTreeSet<Peer>| {
            let (name, ports) = (name.clone(), ports.clone());
            Written { direction, index, name, verdict, peers: Peers::Of(peers.into_iter().collect()), ports }
        };
        if is_known {
            let (names, others): (BTreeSet<Peer>, _) =
                peers.into_iter().partition(|peer| matches!(peer, Peer::Domain(_)));
            return [others, names].into_iter().filter(|peers| !peers.is_empty()).map(written).collect();
        }
        if verdict == Verdict::Allow {
            return Vec::new();
        }
        vec![Written { verdict: Verdict::Refuse, peers: Peers::Anybody, ports: None, ..written(BTreeSet::new()) }]
    }

    fn verdict(&mut self, field: &str, action: &str) -> Verdict {
        match action {
            "Accept" => Verdict::Allow,
            "Deny" => Verdict::Refuse,
            "Pass" => Verdict::Pass,
            other => {
                let known = ["Accept", "Deny", "Pass"];
                let near = closest(other, known).map(|near| format!("did you mean `{near}`?"));
                let near = near.unwrap_or_else(|| format!("they are {}", known.join(", ")));
                self.problems.add(field, format!("`{other}` is no action: {near}"));
                Verdict::Refuse
            }
        }
    }

    /// Whether there is no field but the known ones.
    fn is_known(&mut self, field: &str, unknown: &BTreeMap<String, Value>) -> bool {
        for name in unknown.keys() {
            let closes =
                "the rule is closed: what accepts by it matches nothing, what denies or passes denies everything";
            self.closed.add(format!("{field}.{name}"), format!("is not known, so {closes}"));
        }
        unknown.is_empty()
    }

    /// What a peer means; `None` when that is not known.
    fn peer(&mut self, direction: Direction, field: &str, verdict: Verdict, peer: &WrittenPeer) -> Option<Vec<Peer>> {
        let WrittenPeer { namespaces, pods, networks, nodes, domain_names, unknown } = peer;
        let outside =
            [("networks", networks.is_some()), ("nodes", nodes.is_some()), ("domainNames", domain_names.is_some())];
        let outside = outside.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name);
        let mut unknown = unknown.clone();
        if direction == Direction::Ingress {
            // The API has these for egress alone; for ingress they are fields like any that is not known.
            unknown.extend(outside.map(|name| (name.to_owned(), Value::Null)));
        }
        let is_known = self.is_known(field, &unknown);
        let there = [namespaces.is_some(), pods.is_some(), networks.is_some(), nodes.is_some(), domain_names.is_some()];
        let there = there.into_iter().filter(|is_there| *is_there).count();
        if there > 1 {
            self.problems.add(field, "has more than one field: make a peer of each");
        } else if there == 0 && is_known {
            let what = "is empty, as of a field that this version does not know, so the rule is closed: give it one of \
                        `namespaces`, `pods`, `networks`, `nodes` and `domainNames`";
            self.closed.add(field, what);
        }
        if there == 0 || !is_known {
            return None;
        }
        let mut found = Vec::new();
        found.extend(
            namespaces.iter().map(|written| Peer::Pods(self.namespaces(written, &format!("{field}.namespaces")))),
        );
        found.extend(pods.iter().map(|written| Peer::Pods(self.pods(written, &format!("{field}.pods")))));
        if let Some(written) = nodes {
            found.push(Peer::Pods(Group::Nodes(Selector::read(
                written,
                &format!("{field}.nodes"),
                &mut self.problems,
            ))));
        }
        found.extend(self.networks(&format!("{field}.networks"), networks.as_deref()));
        found.extend(self.names(&format!("{field}.domainNames"), verdict, domain_names.as_deref()));
        Some(found)
    }

    fn networks(&mut self, field: &str, written: Option<&[String]>) -> Vec<Peer> {
        let Some(written) = written else { return Vec::new() };
        if written.is_empty() {
            self.problems.add(field, "needs at least one network");
        }
        self.within(field, written.len(), "networks");
        let mut found = Vec::new();
        for (index, cidr) in written.iter().enumerate() {
            found.extend(Block::network(cidr, &format!("{field}[{index}]"), &mut self.problems).map(Peer::Block));
        }
        found
    }

    fn names(&mut self, field: &str, verdict: Verdict, written: Option<&[String]>) -> Vec<Peer> {
        let Some(written) = written else { return Vec::new() };
        if written.is_empty() {
            self.problems.add(field, "needs at least one name");
        }
        self.within(field, written.len(), "names");
        if verdict != Verdict::Allow {
            self.problems.add(field, "is for rules with `action: Accept` alone: deny `networks` below them");
        }
        let mut found = Vec::new();
        for (index, name) in written.iter().enumerate() {
            let field = format!("{field}[{index}]");
            let whole = name.strip_prefix("*.").unwrap_or(name);
            if !is_domain(whole) {
                self.problems.add(field, format!("`{name}` is no DNS name: write it as `www.example.com`"));
            } else if whole.len() < name.len() {
                let what = format!(
                    "`{name}`: the firewall follows the addresses of whole names, not of all below one, so this name lets \
                     nothing out: write the names out, or their `networks`"
                );
                self.closed.add(field, what);
            } else {
                found.push(Peer::Domain(name.trim_end_matches('.').to_ascii_lowercase()));
            }
        }
        found
    }

    fn ports(&mut self, field: &str, rule: &Rule, is_known: &mut bool) -> Option<Vec<WrittenPort>> {
        let written = rule.protocols.as_deref()?;
        let field = format!("{field}.protocols");
        if written.is_empty() {
            self.problems.add(&field, "is empty: leave it out to mean all");
        }
        self.within(&field, written.len(), "protocols");
        let is_outside =
            |peer: &WrittenPeer| peer.networks.is_some() || peer.nodes.is_some() || peer.domain_names.is_some();
        let has_names = rule.to.iter().flatten().any(is_outside);
        let mut found = Vec::new();
        for (index, protocol) in written.iter().enumerate() {
            let field = format!("{field}[{index}]");
            if has_names && protocol.destination_named_port.is_some() {
                let what = "has no meaning at `networks`, `nodes` and `domainNames`: write the number, or another rule";
                self.problems.add(format!("{field}.destinationNamedPort"), what);
            }
            match self.protocol(&field, protocol) {
                Some(ports) => found.extend(ports),
                None => *is_known = false,
            }
        }
        Some(found)
    }

    /// Ports; `None` when that is not known.
    fn protocol(&mut self, field: &str, written: &ProtocolPorts) -> Option<Vec<WrittenPort>> {
        let ProtocolPorts { tcp, udp, sctp, destination_named_port, unknown } = written;
        let numbered = [("tcp", Protocol::Tcp, tcp), ("udp", Protocol::Udp, udp), ("sctp", Protocol::Sctp, sctp)];
        let there = numbered.iter().filter(|(_, _, written)| written.is_some()).count();
        let there = there + usize::from(destination_named_port.is_some());
        let mut is_known = self.is_known(field, unknown);
        if there > 1 {
            self.problems.add(field, "has more than one field: make an item of each");
        } else if there == 0 && is_known {
            let what = "is empty, as of a field that this version does not know, so the rule is closed: give it one of \
                        `tcp`, `udp`, `sctp` and `destinationNamedPort`";
            self.closed.add(field, what);
            is_known = false;
        }
        let mut found = Vec::new();
        if let Some(name) = destination_named_port {
            if let Some(wrong) = wrong_port(name) {
                self.problems.add(format!("{field}.destinationNamedPort"), wrong);
            }
            found.extend(Protocol::NAMES.map(|(_, protocol)| WrittenPort::Named(name.clone(), protocol)));
        }
        for (name, protocol, written) in numbered {
            let Some(written) = written else { continue };
            match self.destination(&format!("{field}.{name}"), written) {
                Some(range) => {
                    found.extend(range.map(|(low, high)| WrittenPort::Range(PortRange { protocol, low, high })))
                }
                None => is_known = false,
            }
        }
        is_known.then_some(found)
    }

    /// First and last port, `Some(None)` when they are wrong; `None` when they are not known.
    fn destination(&mut self, field: &str, written: &Destination) -> Option<Option<(u16, u16)>> {
        let is_known = self.is_known(field, &written.unknown);
        let field = format!("{field}.destinationPort");
        let Some(Numbers { number, range, unknown }) = &written.destination_port else {
            if is_known {
                let what = "is missing, as of a field that this version does not know, so the rule is closed: give it \
                            `number` or `range`";
                self.closed.add(field, what);
            }
            return None;
        };
        if !self.is_known(&field, unknown) || !is_known {
            return None;
        }
        match (number, range) {
            (Some(number), None) => {
                Some(port_number(*number, format!("{field}.number"), &mut self.problems).map(|port| (port, port)))
            }
            (None, Some(range)) => {
                let low = port_number(range.start, format!("{field}.range.start"), &mut self.problems);
                let high = port_number(range.end, format!("{field}.range.end"), &mut self.problems);
                if low.zip(high).is_some_and(|(low, high)| low >= high) {
                    let what = format!("goes from {} to {}: the end must be above the start", range.start, range.end);
                    self.problems.add(format!("{field}.range"), what);
                }
                Some(low.zip(high))
            }
            _ => {
                self.problems.add(field, "needs one of `number` and `range`");
                Some(None)
            }
        }
    }

    /// What the attributes mean for rules that have actions of their own.
    fn attributes(&mut self, attributes: &Attributes, rules: &[Written], places: &BTreeMap<String, String>) {
        let field = |key: &str| places.get(key).cloned().unwrap_or_else(|| "metadata".to_owned());
        let has = |verdict| rules.iter().any(|rule| rule.verdict == verdict);
        if places.contains_key("action") && (attributes.refuse.is_none() || !has(Verdict::Refuse)) {
            let what = "here says how the rules with `action: Deny` refuse: `deny`, `drop`, `reset-client`, `reset-server` \
                        or `reset-both`; what accepts and passes the rules say themselves";
            self.problems.add(field("action"), what);
        }
        if attributes.schedule.is_some() && has(Verdict::Pass) {
            let what = "cannot be with rules that pass: what they pass would have to be on by two schedules at once";
            self.problems.add(field("schedule"), what);
        }
    }
}

/// A DNS name of at least two labels.
fn is_domain(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let is_label = |label: &str| {
        let ends = |c: char| c.is_ascii_alphanumeric();
        (1..=63).contains(&label.len()) && label.chars().all(fits) && label.starts_with(ends) && label.ends_with(ends)
    };
    name.len() <= 253 && name.contains('.') && name.split('.').all(is_label)
}
