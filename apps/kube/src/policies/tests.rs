//! Members and state after events, compared with a translation of everything at once.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::cluster::{Change, Cluster, Tagging};
use crate::labels::Filter;
use crate::objects::{Namespace, Node};
use crate::tags::Names;

fn cluster() -> Cluster {
    let mut cluster =
        Cluster::new(Tagging { names: Names::of_cluster("c").unwrap(), filter: Filter::None, selectors: Vec::new() });
    for kind in Kind::OF_TAGS.into_iter().chain([Kind::Policy, Kind::ClusterPolicy]) {
        cluster.learn(Change::ListBegins(kind));
        cluster.learn(Change::ListEnds(kind));
    }
    cluster
}

fn key(kind: Kind, namespace: &str, name: &str) -> Key {
    Key { kind, namespace: namespace.to_owned(), name: name.to_owned() }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn namespace(name: &str, team: &str) -> Change {
    let namespace = Namespace { labels: labels(&[("team", team)]), ..Namespace::default() };
    Change::Apply(key(Kind::Namespace, "", name), Object::Namespace(namespace))
}

fn a_pod(address: &str, app: &str, port: u16) -> Pod {
    let ports = vec![NamedPort { name: "http".to_owned(), protocol: Protocol::Tcp, number: port }];
    let addresses = vec![address.parse().unwrap()];
    Pod { addresses, labels: labels(&[("app", app)]), ports, in_cluster: true, ..Pod::default() }
}

fn pod(namespace: &str, name: &str, pod: Pod) -> Change {
    Change::Apply(key(Kind::Pod, namespace, name), Object::Pod(pod))
}

fn written(namespace: &str, name: &str, spec: Value) -> Value {
    json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": name, "namespace": namespace, "uid": name }, "spec": spec })
}

fn applied(told: &Value) -> Change {
    let of = |field: &str| told["metadata"][field].as_str().unwrap().to_owned();
    Change::Apply(key(Kind::Policy, &of("namespace"), &of("name")), Object::Policy(Arc::new(told.clone())))
}

fn deny(name: &str) -> Value {
    written("shop", name, json!({ "podSelector": { "matchLabels": { "app": name } } }))
}

fn tags(cluster: &Cluster, address: &str) -> BTreeSet<String> {
    cluster.policies.tags(address.parse().unwrap()).map(str::to_owned).collect()
}

#[test]
fn a_group_of_before_stays_until_what_was_told_is_enforced() {
    let mut cluster = cluster();
    let start = Instant::now();
    cluster.learn(namespace("shop", "a"));
    cluster.learn(pod("shop", "web-1", a_pod("10.0.0.1", "web", 80)));
    cluster.learn(applied(&deny("web")));
    cluster.policies.refresh(start);
    let before = tags(&cluster, "10.0.0.1");
    let enforced = cluster.policies.wanted().unwrap().digest.clone();
    cluster.policies.heard(None, Some(&enforced));
    assert!(!before.is_empty() && cluster.policies.lingering.is_empty());

    cluster.learn(Change::Delete(key(Kind::Policy, "shop", "web")));
    cluster.policies.refresh(start);
    assert!(tags(&cluster, "10.0.0.1").is_superset(&before), "the old rules are in force still");
    cluster.policies.heard(None, Some(&enforced));
    assert!(tags(&cluster, "10.0.0.1").is_superset(&before), "that is not what it was told last");
    cluster.policies.refresh(start + LINGER * 10);
    assert!(tags(&cluster, "10.0.0.1").is_superset(&before), "the manager does not say what it needs");
    let enforced = cluster.policies.wanted().unwrap().digest.clone();
    cluster.policies.heard(None, Some(&enforced));
    assert!(tags(&cluster, "10.0.0.1").is_empty(), "there is no policy any more");
}

#[test]
fn what_the_manager_needs_is_tagged_and_nothing_else_after_a_while() {
    let mut cluster = cluster();
    let start = Instant::now();
    cluster.learn(namespace("shop", "a"));
    cluster.learn(pod("shop", "web-1", a_pod("10.0.0.1", "web", 80)));
    let held = "np.c.0123456789abcdef";
    assert!(cluster.policies.keeps(held) && !cluster.policies.keeps("k8s.cl_c.ns_shop"));
    cluster.learn(applied(&deny("web")));
    cluster.policies.refresh(start);
    let before = tags(&cluster, "10.0.0.1");
    let theirs: Groups = cluster.policies.ours.clone();
    cluster.learn(Change::Delete(key(Kind::Policy, "shop", "web")));
    cluster.policies.refresh(start);
    cluster.policies.heard(Some(theirs), None);
    assert!(!cluster.policies.keeps(held), "now it is known what is needed");
    cluster.policies.refresh(start + LINGER);
    assert!(cluster.policies.lingering.is_empty());
    assert!(tags(&cluster, "10.0.0.1").is_superset(&before), "the manager holds the change for approval");
    cluster.policies.heard(Some(Groups::new()), None);
    assert!(tags(&cluster, "10.0.0.1").len() < before.len());
}

#[test]
fn the_state_changes_with_what_changes_rules_alone() {
    let mut cluster = cluster();
    let now = Instant::now();
    let digest = |cluster: &mut Cluster| {
        cluster.policies.refresh(now);
        cluster.policies.wanted().unwrap().digest.clone()
    };
    cluster.learn(namespace("shop", "a"));
    cluster.learn(applied(&deny("web")));
    let first = digest(&mut cluster);
    cluster.learn(pod("shop", "web-1", a_pod("10.0.0.1", "web", 80)));
    assert_eq!(digest(&mut cluster), first, "no policy names a port");
    let ports = json!({ "podSelector": {}, "ingress": [{ "ports": [{ "port": "http" }, { "port": 443 }] }] });
    cluster.learn(applied(&written("shop", "ports", ports)));
    let second = digest(&mut cluster);
    let state: Value = serde_json::from_str(&cluster.policies.wanted().unwrap().text).unwrap();
    let web = json!([{ "namespace": "shop", "labels": { "app": "web" },
        "ports": [{ "name": "http", "protocol": "TCP", "number": 80 }] }]);
    assert_eq!((&state["pods"], state["policies"].as_array().unwrap().len()), (&web, 2));
    assert_eq!(state["namespaces"]["shop"]["kubernetes.io/metadata.name"], json!("shop"));
    cluster.learn(pod("shop", "web-2", a_pod("10.0.0.2", "web", 80)));
    assert_eq!(digest(&mut cluster), second, "another one of the same");
    cluster.learn(pod("shop", "web-3", a_pod("10.0.0.3", "web", 8080)));
    assert_ne!(digest(&mut cluster), second);
    cluster.learn(Change::Delete(key(Kind::Pod, "shop", "web-3")));
    assert_eq!(digest(&mut cluster), second);
    cluster.learn(namespace("shop", "b"));
    assert_ne!(digest(&mut cluster), second);
}

#[test]
fn a_policy_with_a_fault_is_told_and_counted_and_stops_no_other() {
    let mut cluster = cluster();
    cluster.learn(namespace("shop", "a"));
    cluster.learn(pod("shop", "web-1", a_pod("10.0.0.1", "web", 80)));
    cluster.learn(applied(&deny("web")));
    cluster.learn(applied(&written("shop", "odd", json!({ "podSelector": {}, "newField": 1 }))));
    cluster.policies.refresh(Instant::now());
    let Counts { policies, faulty, too_many, .. } = cluster.policies.counts();
    assert_eq!((policies, faulty, too_many), (2, 1, false));
    assert!(cluster.policies.wanted().unwrap().text.contains("newField"));
    assert!(!tags(&cluster, "10.0.0.1").is_empty());
}

#[test]
fn tags_of_policies_do_not_compete_with_others() {
    let mut cluster =
        Cluster::new(Tagging { names: Names::of_cluster("c").unwrap(), filter: Filter::All, selectors: Vec::new() });
    for kind in Kind::OF_TAGS.into_iter().chain([Kind::Policy, Kind::ClusterPolicy]) {
        cluster.learn(Change::ListEnds(kind));
    }
    cluster.learn(namespace("shop", "a"));
    let mut many = a_pod("10.0.0.1", "web", 80);
    many.labels.extend((0..50).map(|at| (format!("l{at:02}"), "x".to_owned())));
    cluster.learn(pod("shop", "web-1", many));
    for at in 0..40 {
        let selector = json!({ "podSelector": { "matchLabels": { format!("l{at:02}"): "x" } } });
        cluster.learn(applied(&written("shop", &format!("p{at}"), selector)));
    }
    cluster.policies.refresh(Instant::now());
    let of_policies = tags(&cluster, "10.0.0.1");
    let (all, more) = cluster.tags("10.0.0.1".parse().unwrap());
    assert!(!of_policies.is_empty() && of_policies.is_subset(&all));
    assert_eq!((all.len() - of_policies.len(), more), (crate::tags::TAGS_MAX, 52 - crate::tags::TAGS_MAX));
}

/// Policies of a few kinds.
fn some(number: u8, variant: u8) -> Value {
    let app = format!("a{}", variant % 3);
    let peer = match variant % 4 {
        0 => json!({ "podSelector": { "matchLabels": { "app": app } } }),
        1 => json!({ "namespaceSelector": { "matchLabels": { "team": "a" } }, "podSelector": {} }),
        2 => {
            json!({ "namespaceSelector": { "matchExpressions": [{ "key": "team", "operator": "NotIn", "values": ["a"] }] } })
        }
        _ => json!({ "ipBlock": { "cidr": "10.0.0.0/8", "except": ["10.0.0.2/32"] } }),
    };
    let rule = json!({ "ports": [{ "port": if variant.is_multiple_of(2) { json!("http") } else { json!(80) } }] });
    let (mut ingress, mut egress) = (rule.clone(), rule);
    ingress["from"] = json!([peer]);
    egress["to"] = json!([peer]);
    let spec = json!({ "podSelector": { "matchLabels": { "app": format!("a{}", number % 2) } },
        "policyTypes": ["Ingress", "Egress"], "ingress": [ingress], "egress": [egress] });
    written(if number < 2 { "n0" } else { "n1" }, &format!("p{number}"), spec)
}

/// ClusterNetworkPolicies of a few kinds.
fn whole(number: u8, variant: u8) -> Value {
    let peer = match variant % 3 {
        0 => json!({ "namespaces": { "matchLabels": { "team": "a" } } }),
        1 => json!({ "pods": { "namespaceSelector": {}, "podSelector": { "matchLabels": { "app": "a1" } } } }),
        _ => json!({ "nodes": { "matchLabels": { "pool": "a" } } }),
    };
    let action = if variant.is_multiple_of(2) { "Accept" } else { "Deny" };
    json!({ "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
        "metadata": { "name": format!("c{number}"), "uid": "u" },
        "spec": { "tier": if number < 2 { "Admin" } else { "Baseline" }, "priority": variant,
            "subject": { "namespaces": { "matchLabels": { "team": "b" } } },
            "egress": [{ "action": action, "to": [peer] }] } })
}

fn naive(objects: &BTreeMap<Key, Object>) -> BTreeMap<IpAddr, BTreeSet<String>> {
    let mut snapshot = Snapshot::default();
    let mut checked = Vec::new();
    for (key, object) in objects {
        match object {
            Object::Namespace(namespace) => {
                let mut labels = namespace.labels.clone();
                labels.insert(NAME_LABEL.to_owned(), key.name.clone());
                snapshot.namespaces.insert(key.name.clone(), labels);
            }
            Object::Pod(pod) => snapshot.pods.push(read::pod(key, pod)),
            Object::Policy(told) if key.kind == Kind::ClusterPolicy => {
                checked.push(check_cluster(&serde_json::from_value(Value::clone(told)).unwrap()).unwrap());
            }
            Object::Policy(told) => {
                checked.push(check(&serde_json::from_value(Value::clone(told)).unwrap()).unwrap());
            }
            Object::Node(_) => snapshot.nodes.extend(read::node(key, object)),
            _ => {}
        }
    }
    if checked.is_empty() {
        return BTreeMap::new();
    }
    let settings = Settings { cluster: "c".to_owned(), zones: Vec::new(), allow_the_rest: true, rules_max: RULES_MAX };
    translate(&settings, &checked, &snapshot).unwrap().members(&snapshot)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn any_order_of_events_ends_as_if_all_were_translated_at_once(
        events in prop::collection::vec((0..9_u8, 0..4_u8, 0..12_u8), 1..50)
    ) {
        let mut cluster = cluster();
        let mut objects: BTreeMap<Key, Object> = BTreeMap::new();
        let mut told: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
        for (what, name, variant) in events {
            let namespace_name = format!("n{}", name % 2);
            let change = match what {
                0 => namespace(&namespace_name, if variant.is_multiple_of(2) { "a" } else { "b" }),
                1 => Change::Delete(key(Kind::Namespace, "", &namespace_name)),
                2 => {
                    let address = format!("10.0.0.{}", 1 + variant % 3);
                    let port = if variant.is_multiple_of(2) { 80 } else { 8080 };
                    pod(&namespace_name, &format!("p{name}"), a_pod(&address, &format!("a{}", variant % 3), port))
                }
                3 => Change::Delete(key(Kind::Pod, &namespace_name, &format!("p{name}"))),
                4 => applied(&some(name, variant)),
                5 => {
                    let labels = labels(&[("pool", if variant % 3 == 0 { "a" } else { "b" })]);
                    let internal = vec![format!("10.0.1.{}", 1 + variant % 2).parse().unwrap()];
                    let node = Node { internal, labels, ..Node::default() };
                    Change::Apply(key(Kind::Node, "", &format!("k{name}")), Object::Node(node))
                }
                6 => Change::Apply(
                    key(Kind::ClusterPolicy, "", &format!("c{name}")),
                    Object::Policy(Arc::new(whole(name, variant))),
                ),
                7 => Change::Delete(key(Kind::ClusterPolicy, "", &format!("c{name}"))),
                _ => Change::Delete(key(Kind::Policy, if name < 2 { "n0" } else { "n1" }, &format!("p{name}"))),
            };
            match &change {
                Change::Apply(key, object) => drop(objects.insert(key.clone(), object.clone())),
                Change::Delete(key) => drop(objects.remove(key)),
                _ => {}
            }
            cluster.learn(change);
            cluster.policies.refresh(Instant::now());
            let digest = cluster.policies.wanted().unwrap().digest.clone();
            cluster.policies.heard(None, Some(&digest));
            // Who only looks at what was said to have changed knows everything.
            for address in cluster.policies.take_dirty() {
                told.insert(address, cluster.policies.tags(address).map(str::to_owned).collect());
            }
        }
        told.retain(|_, tags| !tags.is_empty());
        prop_assert_eq!(told, naive(&objects));
    }
}

#[test]
fn services_are_told_to_a_manager_that_wants_them() {
    use crate::objects::{Behind, Service, ServicePort};

    let mut cluster = cluster();
    let now = Instant::now();
    let state = |cluster: &mut Cluster| -> Value {
        cluster.policies.refresh(now);
        serde_json::from_str(&cluster.policies.wanted().unwrap().text).unwrap()
    };
    let service = |number| {
        let (name, target) = (String::new(), Behind::Number(8080));
        let ports = vec![ServicePort { name, protocol: Protocol::Tcp, number, target, node: None }];
        Change::Apply(key(Kind::Service, "shop", "web"), Object::Service(Service { ports, ..Service::default() }))
    };
    cluster.learn(service(80));
    assert_eq!(state(&mut cluster)["services"], Value::Null);
    let wants = Translation { allow_the_rest: true, rules_max: RULES_MAX, service_objects: true };
    cluster.policies.set(wants);
    let told = state(&mut cluster);
    let ports = json!([{ "kind": "port", "protocol": "TCP", "number": 80 }, { "kind": "targetPort", "protocol": "TCP", "number": 8080 }]);
    assert_eq!(told["services"], json!([{ "namespace": "shop", "name": "web", "ports": ports }]));
    let before = cluster.policies.wanted().unwrap().digest.clone();
    cluster.learn(service(81));
    assert_eq!(state(&mut cluster)["services"][0]["ports"][0]["number"], 81);
    assert_ne!(cluster.policies.wanted().unwrap().digest, before);
    cluster.learn(Change::Delete(key(Kind::Service, "shop", "web")));
    assert_eq!(state(&mut cluster)["services"], json!([]));
}
