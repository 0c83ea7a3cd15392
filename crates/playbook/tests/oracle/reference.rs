//! What does the text of Kubernetes say of a flow? As plainly as it can be written down.
//!
//! "By default, a pod is non-isolated for egress; all outbound connections are allowed. A pod is isolated for egress if
//! there is any NetworkPolicy that both selects the pod and has Egress in its policyTypes. […] For a connection from a
//! source pod to a destination pod to be allowed, both the egress policy on the source pod and the ingress policy on the
//! destination pod need to allow the connection." (Kubernetes documentation, Network Policies)
//!
//! "Policies are evaluated in the following order: Admin tier, NetworkPolicy tier, Baseline tier. […] Accept: No further
//! ClusterNetworkPolicy or NetworkPolicy rules will be processed […]. Pass: Skips all further ClusterNetworkPolicy rules in
//! the current tier for the selected traffic, and passes evaluation to the next tier." (ClusterNetworkPolicy API)

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bartizan_playbook::cluster::{Pod, Snapshot};
use bartizan_playbook::cluster_policy::{
    ClusterNetworkPolicy, Destination, NamespacedPod, Peer as ClusterPeer, ProtocolPorts, Rule, Subject,
};
use bartizan_playbook::policy::{LabelSelector, NetworkPolicy, Peer, Port, PortName};

use crate::generate::Asked;

/// Everything that decides.
pub(crate) struct World<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) policies: &'a [NetworkPolicy],
    pub(crate) cluster_policies: &'a [ClusterNetworkPolicy],
    pub(crate) names: &'a BTreeMap<String, BTreeSet<IpAddr>>,
}

/// The answer, and what it was about.
pub(crate) struct Verdict {
    pub(crate) allowed: bool,
    pub(crate) source: Side,
    pub(crate) destination: Side,
    /// One end is no pod.
    pub(crate) outside: bool,
}

/// What the policies of a pod say of a flow in one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Side {
    pub(crate) refused: bool,
    /// NetworkPolicies isolate it.
    pub(crate) isolated: bool,
    /// Which tier decided, or that one was passed.
    pub(crate) by_admin: bool,
    pub(crate) by_baseline: bool,
    pub(crate) passed: bool,
}

pub(crate) fn verdict(world: &World<'_>, flow: &Asked) -> Verdict {
    let source = pod(world.snapshot, flow.source);
    let destination = pod(world.snapshot, flow.destination);
    let out = source.map(|pod| side(world, flow, pod, false)).unwrap_or_default();
    let into = destination.map(|pod| side(world, flow, pod, true)).unwrap_or_default();
    Verdict {
        allowed: !out.refused && !into.refused,
        source: out,
        destination: into,
        outside: source.is_none() || destination.is_none(),
    }
}

fn side(world: &World<'_>, flow: &Asked, pod: &Pod, ingress: bool) -> Side {
    let mut side = Side::default();
    match tier(world, flow, pod, ingress, "Admin") {
        Some("Accept") => return Side { by_admin: true, ..side },
        Some("Deny") => return Side { by_admin: true, refused: true, ..side },
        Some(_) => side.passed = true,
        None => {}
    }
    if let Some((allowed, isolated)) = namespaced(world.snapshot, world.policies, flow, pod, ingress) {
        return Side { refused: !allowed, isolated, ..side };
    }
    match tier(world, flow, pod, ingress, "Baseline") {
        Some("Accept") => side.by_baseline = true,
        Some("Deny") => side = Side { by_baseline: true, refused: true, ..side },
        Some(_) => side.passed = true,
        None => {}
    }
    side
}

/// The action of the first rule of a tier that means the flow.
fn tier<'a>(world: &World<'a>, flow: &Asked, pod: &Pod, ingress: bool, name: &str) -> Option<&'a str> {
    let mut policies: Vec<_> = world.cluster_policies.iter().filter(|policy| policy.spec.tier == name).collect();
    policies.sort_by_key(|policy| policy.spec.priority);
    for policy in policies {
        if !is_subject(world.snapshot, &policy.spec.subject, pod) {
            continue;
        }
        let rules = if ingress { &policy.spec.ingress } else { &policy.spec.egress };
        for rule in rules.iter().flatten() {
            // "For Accept rules, fail closed means: treat the rule as matching no traffic. For Deny and Pass rules, fail
            // closed means: treat the rule as a Deny all rule."
            if is_unknown(rule) {
                if rule.action == "Accept" {
                    continue;
                }
                return Some("Deny");
            }
            let peers = if ingress { &rule.from } else { &rule.to };
            let address = if ingress { flow.source } else { flow.destination };
            let is_peer = peers.iter().flatten().any(|peer| is_cluster_peer(world, peer, address));
            let ports = rule.protocols.as_deref();
            let is_port =
                ports.is_none_or(|ports| ports.iter().any(|port| is_cluster_port(world.snapshot, port, flow)));
            if is_peer && is_port {
                return Some(&rule.action);
            }
        }
    }
    None
}

fn is_unknown(rule: &Rule) -> bool {
    let empty = |peer: &ClusterPeer| {
        let ClusterPeer { namespaces, pods, networks, nodes, domain_names, unknown: _ } = peer;
        namespaces.is_none() && pods.is_none() && networks.is_none() && nodes.is_none() && domain_names.is_none()
    };
    rule.from.iter().chain(&rule.to).flatten().any(empty)
}

fn is_subject(snapshot: &Snapshot, subject: &Subject, pod: &Pod) -> bool {
    match (&subject.namespaces, &subject.pods) {
        (Some(selector), None) => matches(selector, &snapshot.namespaces[&pod.namespace]),
        (None, Some(pods)) => is_pod(snapshot, pods, pod),
        other => panic!("{other:?}"),
    }
}

fn is_pod(snapshot: &Snapshot, pods: &NamespacedPod, pod: &Pod) -> bool {
    matches(&pods.namespace_selector, &snapshot.namespaces[&pod.namespace]) && matches(&pods.pod_selector, &pod.labels)
}

fn is_cluster_peer(world: &World<'_>, peer: &ClusterPeer, address: IpAddr) -> bool {
    let pod = pod(world.snapshot, address);
    let node = || world.snapshot.nodes.iter().find(|node| node.addresses.contains(&address));
    if let Some(selector) = &peer.namespaces {
        pod.is_some_and(|pod| matches(selector, &world.snapshot.namespaces[&pod.namespace]))
    } else if let Some(pods) = &peer.pods {
        pod.is_some_and(|pod| is_pod(world.snapshot, pods, pod))
    } else if let Some(networks) = &peer.networks {
        networks.iter().any(|cidr| holds(cidr, address))
    } else if let Some(selector) = &peer.nodes {
        node().is_some_and(|node| matches(selector, &node.labels))
    } else {
        // A name is for what is outside of the cluster.
        let names = peer.domain_names.iter().flatten();
        pod.is_none() && names.into_iter().any(|name| world.names[name].contains(&address))
    }
}

fn is_cluster_port(snapshot: &Snapshot, port: &ProtocolPorts, flow: &Asked) -> bool {
    let is = |written: &Option<Destination>, number: u8| {
        let Some(port) = written.as_ref().and_then(|written| written.destination_port.as_ref()) else { return false };
        let ports = match (&port.number, &port.range) {
            (Some(number), None) => *number..=*number,
            (None, Some(range)) => range.start..=range.end,
            other => panic!("{other:?}"),
        };
        flow.protocol == number && ports.contains(&i64::from(flow.port))
    };
    if let Some(name) = &port.destination_named_port {
        return pod(snapshot, flow.destination).is_some_and(|pod| {
            pod.ports
                .iter()
                .any(|have| have.name == *name && have.protocol.number() == flow.protocol && have.number == flow.port)
        });
    }
    is(&port.tcp, 6) || is(&port.udp, 17) || is(&port.sctp, 132)
}

fn pod(snapshot: &Snapshot, address: IpAddr) -> Option<&Pod> {
    snapshot.pods.iter().find(|pod| !pod.host_network && !pod.ended && pod.addresses.contains(&address))
}

/// Whether the NetworkPolicies of a pod let the flow in or out, and whether they isolate it; `None` when they say nothing.
fn namespaced(
    snapshot: &Snapshot,
    policies: &[NetworkPolicy],
    flow: &Asked,
    pod: &Pod,
    ingress: bool,
) -> Option<(bool, bool)> {
    let mut isolated = false;
    let mut allowed = false;
    for policy in policies {
        if policy.metadata.namespace != pod.namespace || !matches(&policy.spec.pod_selector, &pod.labels) {
            continue;
        }
        let types = policy.spec.policy_types.as_deref().unwrap_or_default();
        let has = |name: &str| types.iter().any(|given| given == name);
        let egress_rules = policy.spec.egress.as_deref().unwrap_or_default();
        let applies = match (types.is_empty(), ingress) {
            (true, true) => true,
            (true, false) => !egress_rules.is_empty(),
            (false, true) => has("Ingress"),
            (false, false) => has("Egress"),
        };
        if !applies {
            continue;
        }
        let namespace = &policy.metadata.namespace;
        let peer_address = if ingress { flow.source } else { flow.destination };
        let means = |peers: &Option<Vec<Peer>>, ports: &Option<Vec<Port>>| {
            let peers = peers.as_deref().unwrap_or_default();
            let ports = ports.as_deref().unwrap_or_default();
            (peers.is_empty() || peers.iter().any(|peer| is_peer(snapshot, namespace, peer, peer_address)))
                && (ports.is_empty() || ports.iter().any(|port| is_port(snapshot, port, flow)))
        };
        let meant = if ingress {
            policy.spec.ingress.iter().flatten().any(|rule| means(&rule.from, &rule.ports))
        } else {
            egress_rules.iter().any(|rule| means(&rule.to, &rule.ports))
        };
        // Our own: what a policy with a refusing action means is refused before what others allow, and it isolates nobody.
        if policy.metadata.annotations.contains_key("np.panw.com/action") {
            if meant {
                return Some((false, false));
            }
            continue;
        }
        isolated = true;
        allowed |= meant;
    }
    isolated.then_some((allowed, true))
}

fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    equal
        && selector.match_expressions.iter().flatten().all(|expression| {
            let value = labels.get(&expression.key);
            let listed = value.is_some_and(|value| expression.values.iter().flatten().any(|given| given == value));
            match expression.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                other => panic!("{other}"),
            }
        })
}

fn is_peer(snapshot: &Snapshot, namespace: &str, peer: &Peer, address: IpAddr) -> bool {
    if let Some(block) = &peer.ip_block {
        let holds = |cidr: &str| holds(cidr, address);
        return holds(&block.cidr) && !block.except.iter().flatten().any(|part| holds(part));
    }
    let Some(pod) = pod(snapshot, address) else { return false };
    let in_namespace = match &peer.namespace_selector {
        Some(selector) => matches(selector, &snapshot.namespaces[&pod.namespace]),
        None => pod.namespace == namespace,
    };
    in_namespace && peer.pod_selector.as_ref().is_none_or(|selector| matches(selector, &pod.labels))
}

/// Whether the address begins with the bits of the prefix.
fn holds(cidr: &str, address: IpAddr) -> bool {
    let (network, bits) = cidr.split_once('/').unwrap();
    let bits: u32 = bits.parse().unwrap();
    let top = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    let network: IpAddr = network.parse().unwrap();
    let differs = (top(network) ^ top(address)).leading_zeros();
    network.is_ipv4() == address.is_ipv4() && differs >= bits
}

/// A named port is the one of the pod that the flow goes to.
fn is_port(snapshot: &Snapshot, port: &Port, flow: &Asked) -> bool {
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let number = match protocol {
        "TCP" => 6,
        "UDP" => 17,
        "SCTP" => 132,
        other => panic!("{other}"),
    };
    if number != flow.protocol {
        return false;
    }
    match (&port.port, port.end_port) {
        (None, _) => true,
        (Some(PortName::Number(first)), end) => (*first..=end.unwrap_or(*first)).contains(&i64::from(flow.port)),
        (Some(PortName::Name(name)), _) => pod(snapshot, flow.destination).is_some_and(|pod| {
            pod.ports
                .iter()
                .any(|have| have.name == *name && have.protocol.number() == flow.protocol && have.number == flow.port)
        }),
    }
}
