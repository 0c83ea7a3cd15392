//! What does the text of Kubernetes say of a flow? As plainly as it can be written down.
//!
//! "By default, a pod is non-isolated for egress; all outbound connections are allowed. A pod is isolated for egress if
//! there is any NetworkPolicy that both selects the pod and has Egress in its policyTypes. […] For a connection from a
//! source pod to a destination pod to be allowed, both the egress policy on the source pod and the ingress policy on the
//! destination pod need to allow the connection." (Kubernetes documentation, Network Policies)

use std::collections::BTreeMap;
use std::net::IpAddr;

use bartizan_playbook::cluster::{Pod, Snapshot};
use bartizan_playbook::policy::{LabelSelector, NetworkPolicy, Peer, Port, PortName};

use crate::generate::Asked;

/// The answer, and what it was about.
pub(crate) struct Verdict {
    pub(crate) allowed: bool,
    pub(crate) source_isolated: bool,
    pub(crate) destination_isolated: bool,
    /// One end is no pod.
    pub(crate) outside: bool,
}

pub(crate) fn verdict(snapshot: &Snapshot, policies: &[NetworkPolicy], flow: &Asked) -> Verdict {
    let source = pod(snapshot, flow.source);
    let destination = pod(snapshot, flow.destination);
    let out = source.map(|pod| side(snapshot, policies, flow, pod, false));
    let into = destination.map(|pod| side(snapshot, policies, flow, pod, true));
    let isolated = |side: Option<Option<bool>>| side.flatten().is_some();
    let permits = |side: Option<Option<bool>>| side.flatten().unwrap_or(true);
    Verdict {
        allowed: permits(out) && permits(into),
        source_isolated: isolated(out),
        destination_isolated: isolated(into),
        outside: source.is_none() || destination.is_none(),
    }
}

fn pod(snapshot: &Snapshot, address: IpAddr) -> Option<&Pod> {
    snapshot.pods.iter().find(|pod| !pod.host_network && !pod.ended && pod.addresses.contains(&address))
}

/// Whether the policies of a pod let the flow in or out; `None` when it is not isolated.
fn side(snapshot: &Snapshot, policies: &[NetworkPolicy], flow: &Asked, pod: &Pod, ingress: bool) -> Option<bool> {
    let mut isolated = false;
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
        isolated = true;
        let namespace = &policy.metadata.namespace;
        let peer_address = if ingress { flow.source } else { flow.destination };
        let lets = |peers: &Option<Vec<Peer>>, ports: &Option<Vec<Port>>| {
            let peers = peers.as_deref().unwrap_or_default();
            let ports = ports.as_deref().unwrap_or_default();
            (peers.is_empty() || peers.iter().any(|peer| is_peer(snapshot, namespace, peer, peer_address)))
                && (ports.is_empty() || ports.iter().any(|port| is_port(snapshot, port, flow)))
        };
        let allowed = if ingress {
            policy.spec.ingress.iter().flatten().any(|rule| lets(&rule.from, &rule.ports))
        } else {
            egress_rules.iter().any(|rule| lets(&rule.to, &rule.ports))
        };
        if allowed {
            return Some(true);
        }
    }
    isolated.then_some(false)
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
