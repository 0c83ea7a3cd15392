//! Tags of addresses after events, as they would be told of a cluster by hand; and compared with a second, naive way.

use proptest::prelude::*;

use super::*;
use crate::tags::Workload;

fn tagging() -> Tagging {
    let selectors = vec![LabelSelector::parse("pci:*:pod:tier in (db,pay)").unwrap()];
    Tagging { names: Names::of_cluster("c").unwrap(), filter: Filter::All, selectors }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn key(kind: Kind, name: &str) -> Key {
    Key { kind, namespace: "shop".to_owned(), name: name.to_owned() }
}

fn pod(name: &str, address: &str, labels: &[(&str, &str)]) -> Change {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let owner = Some((Workload::ReplicaSet, "web".to_owned()));
    let addresses = if address.is_empty() { Vec::new() } else { vec![ip(address)] };
    Change::Apply(key(Kind::Pod, name), Object::Pod(Pod { addresses, labels, owner, ..Pod::default() }))
}

fn slice(name: &str, endpoints: &[(&str, &str)]) -> Change {
    let endpoints = endpoints.iter().map(|(address, pod)| (ip(address), Some((*pod).to_owned()))).collect();
    Change::Apply(
        key(Kind::Slice, name),
        Object::Slice(Slice { service: "web".to_owned(), endpoints, ..Slice::default() }),
    )
}

fn told(cluster: &Cluster, address: &str) -> Vec<String> {
    let (tags, more) = cluster.tags(ip(address));
    assert_eq!(more, 0);
    tags.into_iter().map(|tag| tag.replace("k8s.cl_c.", "")).collect()
}

#[test]
fn an_address_has_what_any_object_says_of_it() {
    let mut cluster = Cluster::new(tagging());
    cluster.learn(slice("web-a", &[("10.0.0.1", "web-1"), ("10.0.0.2", "web-2")]));
    assert!(!cluster.is_dirty(), "no pod has the address yet");
    cluster.learn(pod("web-1", "10.0.0.1", &[("tier", "pay")]));
    assert_eq!(cluster.take_dirty(), [ip("10.0.0.1")].into());
    let all = ["ns_shop", "ns_shop.rs_web", "ns_shop.svc_web", "ns_shop.tier.pay", "pci"];
    assert_eq!(told(&cluster, "10.0.0.1"), all);
    cluster.learn(pod("web-1", "10.0.0.1", &[("tier", "web")]));
    assert_eq!(told(&cluster, "10.0.0.1"), ["ns_shop", "ns_shop.rs_web", "ns_shop.svc_web", "ns_shop.tier.web"]);
    let service = Service {
        addresses: vec![ip("10.96.0.1")],
        external: vec![ip("203.0.113.1")],
        labels: [("app".to_owned(), "web".to_owned())].into(),
        ..Service::default()
    };
    cluster.learn(Change::Apply(key(Kind::Service, "web"), Object::Service(service)));
    assert_eq!(told(&cluster, "10.96.0.1"), ["ns_shop", "ns_shop.app.web", "ns_shop.svc_web"]);
    assert_eq!(told(&cluster, "203.0.113.1"), ["ns_shop.exsvc_web"]);
    let node = Node { internal: vec![ip("192.0.2.1")], external: vec![ip("203.0.113.7")], ..Node::default() };
    cluster.learn(Change::Apply(key(Kind::Node, "n"), Object::Node(node)));
    assert_eq!(
        (told(&cluster, "192.0.2.1"), told(&cluster, "203.0.113.7")),
        (vec!["nodes".into()], vec!["ex_nodes".into()])
    );
}

#[test]
fn an_address_is_free_of_tags_before_another_pod_has_it() {
    let mut cluster = Cluster::new(tagging());
    cluster.learn(slice("web-a", &[("10.0.0.1", "web-1")]));
    cluster.learn(pod("web-1", "10.0.0.1", &[]));
    cluster.take_dirty();
    // It has ended; the slice still names it.
    cluster.learn(pod("web-1", "", &[]));
    assert_eq!(cluster.take_dirty(), [ip("10.0.0.1")].into());
    assert!(told(&cluster, "10.0.0.1").is_empty());
    cluster.learn(pod("db-1", "10.0.0.1", &[("tier", "db")]));
    cluster.learn(Change::Delete(key(Kind::Pod, "web-1")));
    assert_eq!(told(&cluster, "10.0.0.1"), ["ns_shop", "ns_shop.rs_web", "ns_shop.tier.db", "pci"]);
}

#[test]
fn what_a_new_list_does_not_name_is_gone_once_it_is_whole() {
    let mut cluster = Cluster::new(tagging());
    cluster.learn(pod("a", "10.0.0.1", &[]));
    cluster.learn(pod("b", "10.0.0.2", &[]));
    cluster.learn(Change::ListBegins(Kind::Pod));
    cluster.learn(pod("b", "10.0.0.2", &[("x", "y")]));
    assert_eq!(told(&cluster, "10.0.0.1").len(), 2, "the list is not whole yet");
    // The connection was cut: it begins anew.
    cluster.learn(Change::ListBegins(Kind::Pod));
    cluster.learn(pod("a", "10.0.0.1", &[]));
    cluster.learn(Change::ListEnds(Kind::Pod));
    assert!(told(&cluster, "10.0.0.2").is_empty() && !told(&cluster, "10.0.0.1").is_empty());
    assert!(!cluster.is_listed());
    Kind::OF_TAGS.into_iter().for_each(|kind| cluster.learn(Change::ListEnds(kind)));
    assert!(cluster.is_listed() && told(&cluster, "10.0.0.1").is_empty());
}

#[test]
fn of_too_many_tags_those_of_the_cluster_stay() {
    let mut cluster = Cluster::new(tagging());
    let labels: Vec<(String, String)> = (0..40).map(|at| (format!("a{at:02}"), "x".to_owned())).collect();
    let mut labels: Vec<(&str, &str)> = labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    labels.push(("tier", "db"));
    cluster.learn(slice("web-a", &[("10.0.0.1", "web-1")]));
    cluster.learn(pod("web-1", "10.0.0.1", &labels));
    let (tags, more) = cluster.tags(ip("10.0.0.1"));
    assert_eq!((tags.len(), more), (TAGS_MAX, 45 - TAGS_MAX));
    for predefined in ["ns_shop", "ns_shop.rs_web", "ns_shop.svc_web", "pci", "ns_shop.a00.x"] {
        assert!(tags.contains(&format!("k8s.cl_c.{predefined}")), "{predefined}");
    }
}

/// What would be known of the cluster if it were read at once.
fn naive(objects: &HashMap<Key, Object>) -> BTreeMap<IpAddr, BTreeSet<String>> {
    let mut fresh = Cluster::new(tagging());
    let mut keys: Vec<&Key> = objects.keys().collect();
    // Pods come first, so that nothing has to be said twice.
    keys.sort();
    for key in keys {
        fresh.learn(Change::Apply(key.clone(), objects[key].clone()));
    }
    all(&fresh)
}

fn all(cluster: &Cluster) -> BTreeMap<IpAddr, BTreeSet<String>> {
    cluster.addresses().map(|address| (address, cluster.tags(address).0)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_order_of_events_ends_as_if_all_were_read_at_once(
        events in prop::collection::vec((0..4_u8, 0..5_u8, 0..4_u8, 0..3_u8), 1..60)
    ) {
        let mut cluster = Cluster::new(tagging());
        let mut objects: HashMap<Key, Object> = HashMap::new();
        let mut told: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
        for (what, name, address, label) in events {
            let label = [("tier", ["db", "pay", "web"][usize::from(label)])];
            let address = if address == 0 { String::new() } else { format!("10.0.0.{address}") };
            let name = format!("p{name}");
            let change = match what {
                0 => Change::Delete(key(Kind::Pod, &name)),
                1 if !address.is_empty() => slice("s", &[(&address, &name)]),
                _ => pod(&name, &address, &label),
            };
            match &change {
                Change::Apply(key, object) => drop(objects.insert(key.clone(), object.clone())),
                Change::Delete(key) => drop(objects.remove(key)),
                _ => {}
            }
            cluster.learn(change);
            // Who only looks at what was said to have changed knows everything.
            for address in cluster.take_dirty() {
                told.insert(address, cluster.tags(address).0);
            }
        }
        told.retain(|_, tags| !tags.is_empty());
        prop_assert_eq!(&told, &all(&cluster));
        prop_assert_eq!(told, naive(&objects));
    }
}
