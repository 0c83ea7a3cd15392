//! Which clusters, policies and flows?

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bartizan_playbook::Protocol;
use bartizan_playbook::cluster::{Labels, NamedPort, Node, Pod, Snapshot};
use bartizan_playbook::cluster_policy::ClusterNetworkPolicy;
use bartizan_playbook::policy::NetworkPolicy;
use serde_json::{Value, json};

/// A sequence of numbers that is the same for the same seed (SplitMix64, Steele and others 2014).
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// A flow that is asked about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asked {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// Number of the protocol.
    pub(crate) protocol: u8,
    /// 0 for a protocol without ports.
    pub(crate) port: u16,
}

const NAMESPACES: [&str; 3] = ["shop", "data", "ops"];
const KEYS: [&str; 2] = ["app", "tier"];
const VALUES: [&str; 3] = ["a", "b", "c"];
const PORT_NAMES: [&str; 2] = ["http", "metrics"];
const PORTS: [u16; 4] = [80, 8080, 8081, 9090];
const PROTOCOLS: [(&str, Protocol); 3] = Protocol::NAMES;
const OUTSIDE: [&str; 5] = ["203.0.113.5", "203.0.113.130", "198.51.100.7", "2001:db8:ffff::5", "10.1.0.250"];
const NODES: [&str; 3] = ["192.168.0.1", "192.168.0.2", "2001:db8:1::1"];
/// Names, and what a name server says of them: also addresses of pods, which a name never means.
const DOMAINS: [(&str, &[&str]); 3] = [
    ("api.example.com", &["203.0.113.5", "10.1.0.2"]),
    ("www.example.org", &["198.51.100.7", "2001:db8:ffff::5"]),
    ("all.example.net", &["203.0.113.130", "10.1.1.2", "fd00::0:2"]),
];
const BLOCKS: [(&str, &[&str]); 7] = [
    ("0.0.0.0/0", &["203.0.113.0/25"]),
    ("0.0.0.0/0", &[]),
    ("203.0.113.0/24", &["203.0.113.128/25"]),
    ("10.1.0.0/16", &["10.1.1.0/24", "10.1.0.0/30"]),
    ("10.1.0.0/24", &[]),
    ("::/0", &["2001:db8:ffff::/64"]),
    ("fd00::/8", &["fd00::1:0/112"]),
];

fn labels(chance: &mut Chance) -> Labels {
    let mut labels = Labels::new();
    for key in KEYS {
        if !chance.one_in(4) {
            labels.insert(key.to_owned(), (*chance.pick(&VALUES)).to_owned());
        }
    }
    labels
}

pub(crate) fn cluster(chance: &mut Chance) -> Snapshot {
    let mut namespaces = BTreeMap::new();
    for name in &NAMESPACES[..1 + chance.below(3) as usize] {
        let mut labels = labels(chance);
        labels.insert("kubernetes.io/metadata.name".to_owned(), (*name).to_owned());
        namespaces.insert((*name).to_owned(), labels);
    }
    let mut pods = Vec::new();
    for (n, name) in namespaces.keys().enumerate() {
        for p in 0..1 + chance.below(5) {
            let mut addresses = BTreeSet::from([format!("10.1.{n}.{}", p + 2).parse().unwrap()]);
            if chance.one_in(3) {
                addresses.insert(format!("fd00::{n}:{}", p + 2).parse().unwrap());
            }
            let mut ports = Vec::new();
            for port in PORT_NAMES {
                if !chance.one_in(3) {
                    let protocol = if chance.one_in(5) { Protocol::Udp } else { Protocol::Tcp };
                    ports.push(NamedPort { name: port.to_owned(), protocol, number: *chance.pick(&PORTS) });
                }
            }
            let pod = Pod {
                namespace: name.clone(),
                name: format!("p{p}"),
                labels: labels(chance),
                addresses,
                ports,
                ..Pod::default()
            };
            pods.push(Pod { host_network: chance.one_in(15), ended: chance.one_in(15), ..pod });
        }
    }
    let node = |(index, address): (usize, &&str)| Node {
        name: format!("n{index}"),
        labels: labels(chance),
        addresses: BTreeSet::from([address.parse().unwrap()]),
    };
    let nodes = NODES.iter().enumerate().map(node).collect();
    Snapshot { namespaces, pods, nodes }
}

pub(crate) fn names() -> BTreeMap<String, BTreeSet<IpAddr>> {
    let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    DOMAINS.iter().map(|(name, texts)| ((*name).to_owned(), addresses(texts))).collect()
}

fn selector(chance: &mut Chance) -> Value {
    let mut selector = serde_json::Map::new();
    if chance.one_in(2) {
        let (key, value) = (*chance.pick(&KEYS), *chance.pick(&VALUES));
        selector.insert("matchLabels".to_owned(), json!({ key: value }));
    }
    if chance.one_in(3) {
        let key = *chance.pick(&KEYS);
        let values = [*chance.pick(&VALUES), *chance.pick(&VALUES)];
        let expression = match chance.below(4) {
            0 => json!({"key": key, "operator": "In", "values": values}),
            1 => json!({"key": key, "operator": "NotIn", "values": values}),
            2 => json!({"key": key, "operator": "Exists"}),
            _ => json!({"key": key, "operator": "DoesNotExist"}),
        };
        selector.insert("matchExpressions".to_owned(), json!([expression]));
    }
    Value::Object(selector)
}

fn peer(chance: &mut Chance) -> Value {
    match chance.below(6) {
        0 | 1 => json!({"podSelector": selector(chance)}),
        2 => json!({"namespaceSelector": selector(chance)}),
        3 => json!({"namespaceSelector": selector(chance), "podSelector": selector(chance)}),
        4 => {
            let name = *chance.pick(&NAMESPACES);
            let named = json!({"matchLabels": {"kubernetes.io/metadata.name": name}});
            json!({"namespaceSelector": named, "podSelector": selector(chance)})
        }
        _ => {
            let (cidr, except) = *chance.pick(&BLOCKS);
            if except.is_empty() {
                json!({"ipBlock": {"cidr": cidr}})
            } else {
                json!({"ipBlock": {"cidr": cidr, "except": except}})
            }
        }
    }
}

fn port(chance: &mut Chance) -> Value {
    let (protocol, _) = *chance.pick(&PROTOCOLS);
    match chance.below(5) {
        0 => json!({"port": chance.pick(&PORTS)}),
        1 => json!({"protocol": protocol}),
        2 => json!({"protocol": protocol, "port": 8000, "endPort": 8080 + chance.below(2)}),
        3 => json!({"port": chance.pick(&PORT_NAMES)}),
        _ => json!({"protocol": protocol, "port": chance.pick(&PORT_NAMES)}),
    }
}

fn rules(chance: &mut Chance, side: &str) -> Value {
    let mut rules = Vec::new();
    for _ in 0..chance.below(4) {
        let mut rule = serde_json::Map::new();
        if !chance.one_in(5) {
            let peers: Vec<Value> = (0..1 + chance.below(2)).map(|_| peer(chance)).collect();
            rule.insert(side.to_owned(), json!(peers));
        }
        if chance.one_in(2) {
            let ports: Vec<Value> = (0..1 + chance.below(2)).map(|_| port(chance)).collect();
            rule.insert("ports".to_owned(), json!(ports));
        }
        rules.push(Value::Object(rule));
    }
    json!(rules)
}

pub(crate) fn policies(chance: &mut Chance, snapshot: &Snapshot) -> Vec<NetworkPolicy> {
    let names: Vec<&String> = snapshot.namespaces.keys().collect();
    let mut found = Vec::new();
    for index in 0..chance.below(7) {
        let mut spec = json!({"podSelector": selector(chance)});
        if chance.one_in(2) {
            let types = [json!(["Ingress"]), json!(["Egress"]), json!(["Ingress", "Egress"])];
            spec["policyTypes"] = chance.pick(&types).clone();
        }
        if !chance.one_in(4) {
            spec["ingress"] = rules(chance, "from");
        }
        if !chance.one_in(4) {
            spec["egress"] = rules(chance, "to");
        }
        let namespace = *chance.pick(&names);
        let mut written =
            json!({"metadata": {"name": format!("np{index}"), "namespace": namespace, "uid": "u"}, "spec": spec});
        if chance.one_in(8) {
            written["metadata"]["annotations"] = json!({"np.panw.com/action": "drop"});
        }
        found.push(serde_json::from_value(written).unwrap());
    }
    found
}

fn namespaces(chance: &mut Chance) -> Value {
    if chance.one_in(3) {
        json!({"matchLabels": {"kubernetes.io/metadata.name": chance.pick(&NAMESPACES)}})
    } else {
        selector(chance)
    }
}

fn namespaced_pod(chance: &mut Chance) -> Value {
    json!({"namespaceSelector": namespaces(chance), "podSelector": selector(chance)})
}

fn cluster_peer(chance: &mut Chance, egress: bool, action: &str, is_named: bool) -> Value {
    if chance.one_in(25) {
        return if chance.one_in(2) { json!({}) } else { json!({"future": {"a": 1}}) };
    }
    match chance.below(if egress && !is_named { 6 } else { 2 }) {
        0 => json!({"namespaces": namespaces(chance)}),
        2 | 3 => json!({"networks": [chance.pick(&BLOCKS).0, chance.pick(&BLOCKS).0]}),
        4 => json!({"nodes": selector(chance)}),
        5 if action == "Accept" => json!({"domainNames": [chance.pick(&DOMAINS).0, chance.pick(&DOMAINS).0]}),
        _ => json!({"pods": namespaced_pod(chance)}),
    }
}

fn cluster_port(chance: &mut Chance, is_named: bool) -> Value {
    let protocol = *chance.pick(&["tcp", "udp", "sctp"]);
    match chance.below(if is_named { 4 } else { 2 }) {
        0 => json!({protocol: {"destinationPort": {"number": chance.pick(&PORTS)}}}),
        1 => json!({"tcp": {"destinationPort": {"range": {"start": 8000, "end": 8080 + chance.below(2)}}}}),
        _ => json!({"destinationNamedPort": chance.pick(&PORT_NAMES)}),
    }
}

fn cluster_rules(chance: &mut Chance, egress: bool) -> Value {
    let mut rules = Vec::new();
    for _ in 0..chance.below(4) {
        let action = *chance.pick(&["Accept", "Deny", "Pass"]);
        let is_named = chance.one_in(4);
        let peers: Vec<Value> =
            (0..1 + chance.below(2)).map(|_| cluster_peer(chance, egress, action, is_named)).collect();
        let mut rule = json!({"action": action, (if egress { "to" } else { "from" }): peers});
        if is_named || chance.one_in(3) {
            let ports: Vec<Value> = (0..1 + chance.below(2)).map(|_| cluster_port(chance, is_named)).collect();
            rule["protocols"] = json!(ports);
        }
        rules.push(rule);
    }
    json!(rules)
}

pub(crate) fn cluster_policies(chance: &mut Chance) -> Vec<ClusterNetworkPolicy> {
    let mut found = Vec::new();
    for index in 0..chance.below(5) {
        let subject = if chance.one_in(2) {
            json!({"namespaces": namespaces(chance)})
        } else {
            json!({"pods": namespaced_pod(chance)})
        };
        let mut spec = json!({
            "tier": if chance.one_in(2) { "Admin" } else { "Baseline" },
            // Two of the same priority are decided in any order; so there are none.
            "priority": (index * 7 + 3) % 11,
            "subject": subject,
        });
        if !chance.one_in(3) {
            spec["ingress"] = cluster_rules(chance, false);
        }
        if !chance.one_in(3) {
            spec["egress"] = cluster_rules(chance, true);
        }
        let written = json!({"metadata": {"name": format!("cnp{index}"), "uid": "u"}, "spec": spec});
        found.push(serde_json::from_value(written).unwrap());
    }
    found
}

/// Flows between everybody, each with some ports.
pub(crate) fn flows(chance: &mut Chance, snapshot: &Snapshot) -> Vec<Asked> {
    let live = snapshot.pods.iter().filter(|pod| !pod.ended && !pod.host_network);
    let pods: Vec<IpAddr> = live.flat_map(|pod| pod.addresses.iter().copied()).collect();
    let mut outside: Vec<IpAddr> = (0..2).map(|_| chance.pick(&OUTSIDE).parse().unwrap()).collect();
    outside.push(chance.pick(&NODES).parse().unwrap());
    let all: Vec<IpAddr> = pods.iter().chain(&outside).copied().collect();
    let mut found = Vec::new();
    for source in &all {
        for destination in &all {
            let concerns_a_pod = pods.contains(source) || pods.contains(destination);
            let own =
                snapshot.pods.iter().any(|pod| pod.addresses.contains(source) && pod.addresses.contains(destination));
            if !concerns_a_pod || own || source.is_ipv4() != destination.is_ipv4() {
                continue;
            }
            for _ in 0..3 {
                let (_, protocol) = *chance.pick(&PROTOCOLS);
                let protocol = if chance.one_in(2) { Protocol::Tcp } else { protocol };
                let port = if chance.one_in(6) { 8000 + chance.below(100) as u16 } else { *chance.pick(&PORTS) };
                found.push(Asked { source: *source, destination: *destination, protocol: protocol.number(), port });
            }
            if chance.one_in(4) {
                let icmp = if source.is_ipv4() { 1 } else { 58 };
                found.push(Asked { source: *source, destination: *destination, protocol: icmp, port: 0 });
            }
        }
    }
    found
}
