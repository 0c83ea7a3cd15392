//! How long does one changed policy of a thousand take to become edits, and one pod of ten thousand its tags?
//!
//! A hundred namespaces of a team each: everything closed, DNS open, tiers of an application that may talk, a neighbour's
//! namespace that may come in, and one that is gone to. What is measured is what a manager does when one policy changes:
//! read that one, translate all, render, compare with the device group. `make bench` keeps the figures.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that cannot be set up measures nothing")]
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "figures of the clock")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bartizan_model::tree::{Child, Element};
use bartizan_playbook::change::{self, Change, Place};
use bartizan_playbook::cluster::{Labels, NamedPort, Pod, Snapshot};
use bartizan_playbook::policy::NetworkPolicy;
use bartizan_playbook::{Checked, Members, Objects, Plan, Protocol, Settings, check, translate};
use serde_json::{Value, json};

const NAMESPACES: usize = 100;
const POLICIES: usize = 10;
const PODS: usize = 50;
const ROUNDS: usize = 21;
const GROUP: &str = "/config/devices/entry[@name='localhost.localdomain']/device-group/entry[@name='dg']";

fn named(namespace: usize) -> Value {
    json!({"matchLabels": {"kubernetes.io/metadata.name": format!("team-{namespace}")}})
}

fn tier(name: &str) -> Value {
    json!({"matchLabels": {"tier": name}})
}

/// The policies of a namespace; `variant` is what changes.
fn policies(namespace: usize, variant: u16) -> Vec<Value> {
    let before = named((namespace + NAMESPACES - 1) % NAMESPACES);
    let after = named((namespace + 1) % NAMESPACES);
    let ingress = |name: &str, from: Value, port: Value| json!({"podSelector": tier(name), "policyTypes": ["Ingress"], "ingress": [{"from": from, "ports": [{"port": port}]}]});
    let egress = |name: &str, to: Value, port: Value| json!({"podSelector": tier(name), "policyTypes": ["Egress"], "egress": [{"to": to, "ports": [port]}]});
    let specs = [
        json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}),
        json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"namespaceSelector":
            {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}], "ports": [{"protocol": "UDP", "port": 53}]}]}),
        ingress("web", json!([{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]), json!(8000 + variant)),
        ingress("app", json!([{"podSelector": tier("web")}]), json!("http")),
        ingress("db", json!([{"podSelector": tier("app")}]), json!(5432)),
        ingress("app", json!([{"namespaceSelector": before, "podSelector": tier("app")}]), json!("http")),
        egress("web", json!([{"podSelector": tier("app")}]), json!({"port": "http"})),
        egress("app", json!([{"podSelector": tier("db")}]), json!({"port": 5432})),
        egress("app", json!([{"namespaceSelector": after, "podSelector": tier("app")}]), json!({"port": "http"})),
        egress("app", json!([{"ipBlock": {"cidr": "203.0.113.0/24"}}]), json!({"port": 443})),
    ];
    let written = |(index, spec): (usize, &Value)| json!({"metadata": {"name": format!("p{index}"), "namespace": format!("team-{namespace}"), "uid": "u"}, "spec": spec});
    assert_eq!(specs.len(), POLICIES);
    specs.iter().enumerate().map(written).collect()
}

fn read(written: &Value) -> Checked {
    check(&serde_json::from_value::<NetworkPolicy>(written.clone()).unwrap()).unwrap()
}

fn cluster(pods: usize) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let names = (0..NAMESPACES).map(|n| format!("team-{n}")).chain(["kube-system".to_owned()]);
    for (n, name) in names.enumerate() {
        let labels = Labels::from([("kubernetes.io/metadata.name".to_owned(), name.clone())]);
        snapshot.namespaces.insert(name.clone(), labels);
        for p in 0..pods {
            let label = [("tier", ["web", "app", "db"][p % 3]), ("release", "stable")];
            let labels = label.map(|(key, value)| (key.to_owned(), value.to_owned()));
            let http = NamedPort { name: "http".to_owned(), protocol: Protocol::Tcp, number: 8080 };
            snapshot.pods.push(Pod {
                namespace: name.clone(),
                name: format!("p{p}"),
                labels: labels.into(),
                addresses: [format!("10.{n}.{}.{}", p / 250, p % 250 + 1).parse().unwrap()].into(),
                ports: vec![http],
                ..Pod::default()
            });
        }
    }
    snapshot
}

/// The device group once the objects are there.
fn group(objects: Objects) -> Element {
    let inside = |name: &str, children: Vec<Element>| {
        let mut outer = Element::new(name);
        outer.children.extend(children.into_iter().map(|child| Child::Element(Arc::new(child))));
        outer
    };
    let rules = inside("rules", objects.rules.into_iter().map(|(_, rule)| rule).collect());
    let parts = vec![
        inside("tag", objects.tags.into_values().collect()),
        inside("address-group", objects.groups.into_values().collect()),
        inside("service", objects.services.into_values().collect()),
        inside("pre-rulebase", vec![inside("security", vec![rules])]),
    ];
    let mut group = Element::entry("dg");
    group.children.extend(parts.into_iter().map(|child| Child::Element(Arc::new(child))));
    group
}

/// Each step of each round.
#[derive(Default)]
struct Taken {
    check: Vec<Duration>,
    translate: Vec<Duration>,
    render: Vec<Duration>,
    compare: Vec<Duration>,
    all: Vec<Duration>,
}

fn timed<T>(into: &mut Vec<Duration>, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    into.push(start.elapsed());
    done
}

/// The middle one, in milliseconds.
fn middle(taken: &mut [Duration]) -> f64 {
    taken.sort_unstable();
    taken[taken.len() / 2].as_secs_f64() * 1e3
}

fn changes(settings: &Settings, snapshot: &Snapshot) -> Plan {
    let written: Vec<Vec<Value>> = (0..NAMESPACES).map(|n| policies(n, 0)).collect();
    let mut checked: Vec<Checked> = written.iter().flatten().map(read).collect();
    let first = translate(settings, &checked, snapshot).unwrap();
    let group = group(first.render());
    let mut taken = Taken::default();
    let mut edits = 0;
    for round in 0..ROUNDS {
        let at = round * 37 % NAMESPACES;
        let changed = policies(at, 1).remove(2);
        let start = Instant::now();
        let place = at * POLICIES + 2;
        let before = std::mem::replace(&mut checked[place], timed(&mut taken.check, || read(&changed)));
        let plan = timed(&mut taken.translate, || translate(settings, &checked, snapshot).unwrap());
        let objects = timed(&mut taken.render, || plan.render());
        let changes: Vec<Change> =
            timed(&mut taken.compare, || change::plan(&group, GROUP, &objects, &Place::Bottom).unwrap());
        taken.all.push(start.elapsed());
        edits = changes.len();
        assert!((1..12).contains(&edits), "{changes:#?}");
        checked[place] = before;
    }
    let Taken { mut check, mut translate, mut render, mut compare, mut all } = taken;
    println!(
        "{}",
        json!({"bench": "policies", "policies": checked.len(), "pods": snapshot.pods.len(), "rules": first.rules.len(),
            "groups": first.groups().len(), "edits": edits, "check_ms": middle(&mut check),
            "translate_ms": middle(&mut translate), "render_ms": middle(&mut render), "compare_ms": middle(&mut compare),
            "all_ms": middle(&mut all), "slowest_ms": all.last().unwrap().as_secs_f64() * 1e3})
    );
    first
}

fn members(plan: &Plan) {
    let snapshot = cluster(2 * PODS);
    let mut all = Vec::new();
    for _ in 0..ROUNDS {
        let found = timed(&mut all, || plan.members(&snapshot));
        assert_eq!(found.len(), snapshot.pods.len());
    }
    let members = Members::new(plan.tagged().into_values().cloned());
    let mut one = Vec::new();
    for pod in &snapshot.pods {
        let tags = timed(&mut one, || members.of_pod(&snapshot, pod));
        assert_eq!(tags.len(), 1);
    }
    println!(
        "{}",
        json!({"bench": "members", "pods": snapshot.pods.len(), "groups": plan.groups().len(), "all_ms": middle(&mut all),
            "one_pod_ms": middle(&mut one), "slowest_pod_ms": one.last().unwrap().as_secs_f64() * 1e3})
    );
}

fn main() {
    let settings = Settings { cluster: "c1".to_owned(), zones: Vec::new(), allow_the_rest: true, rules_max: 50_000 };
    let plan = changes(&settings, &cluster(PODS));
    members(&plan);
}
