//! What do ClusterNetworkPolicies become, what is a person told who writes them wrong, and what fails closed?

#![expect(clippy::unwrap_used, reason = "a test")]

use std::fmt::Write as _;

use bartizan_playbook::cluster::{Labels, NamedPort, Pod, Snapshot};
use bartizan_playbook::cluster_policy::ClusterNetworkPolicy;
use bartizan_playbook::manifests::{Source, read};
use bartizan_playbook::policy::NetworkPolicy;
use bartizan_playbook::trial::Trial;
use bartizan_playbook::{Catalogue, Checked, End, Plan, Ports, Protocol, Settings, check, check_cluster, translate};
use expect_test::{Expect, expect};
use serde_json::{Value, json};

fn cluster_policy(written: &Value) -> Result<Checked, String> {
    let policy: ClusterNetworkPolicy = serde_json::from_value(written.clone()).unwrap();
    check_cluster(&policy).map_err(|problems| {
        problems.iter().fold(String::new(), |mut text, problem| {
            writeln!(text, "{problem}").unwrap();
            text
        })
    })
}

fn policy(written: &Value) -> Checked {
    check(&serde_json::from_value::<NetworkPolicy>(written.clone()).unwrap()).unwrap()
}

fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (n, namespace) in ["shop", "data", "ops"].into_iter().enumerate() {
        let labels = Labels::from([("kubernetes.io/metadata.name".to_owned(), namespace.to_owned())]);
        snapshot.namespaces.insert(namespace.to_owned(), labels);
        snapshot.pods.push(Pod {
            namespace: namespace.to_owned(),
            name: "p".to_owned(),
            addresses: std::iter::once(format!("10.1.{n}.2").parse().unwrap()).collect(),
            ports: vec![NamedPort { name: "web".to_owned(), protocol: Protocol::Tcp, number: 8080 }],
            ..Pod::default()
        });
    }
    snapshot
}

fn plan(policies: &[Checked], zones: &[&str]) -> Plan {
    let settings = Settings {
        cluster: "c1".to_owned(),
        zones: zones.iter().map(|zone| (*zone).to_owned()).collect(),
        allow_the_rest: false,
        rules_max: 100,
    };
    translate(&settings, policies, &snapshot()).unwrap()
}

fn rules(policies: &[Checked], expected: Expect) {
    let end = |parts: &[End]| -> String {
        let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
        if parts.is_empty() { "any".to_owned() } else { parts.join(" ") }
    };
    let mut text = String::new();
    for rule in &plan(policies, &[]).rules {
        let ports = match &rule.ports {
            Ports::All => "any".to_owned(),
            Ports::Of(ranges) => ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        };
        let name = rule.name.rsplit_once('.').unwrap().0;
        writeln!(text, "{} {name}: {} -> {} {ports}", rule.action, end(&rule.source), end(&rule.destination)).unwrap();
    }
    expected.assert_eq(&text);
}

fn named(name: &str) -> Value {
    json!({"matchLabels": {"kubernetes.io/metadata.name": name}})
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let peers: Vec<Value> = (0..26).map(|_| json!({"namespaces": {}})).collect();
    let told = cluster_policy(&json!({
        "metadata": {"name": "bad", "namespace": "shop", "annotations": {"np.panw.com/action": "drop", "np.panw.com/schedule": "s"}},
        "spec": {
            "tier": "Admn", "priority": 1001, "subject": {"namespaces": {}, "pods": {}},
            "ingress": [
                {"action": "Allow", "from": peers},
                {"name": "n".repeat(101), "action": "Pass", "to": [{"namespaces": {}}],
                 "from": [{"namespaces": {}, "pods": {"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}}],
                 "protocols": [{"tcp": {"destinationPort": {"number": 0}}}, {"udp": {"destinationPort": {"range": {"start": 9, "end": 9}}}},
                    {"tcp": {"destinationPort": {}}}, {"tcp": {}, "sctp": {}}]},
            ],
            "egress": [
                {"action": "Accept"},
                {"action": "Pass", "to": [{"networks": ["10.0.0/8"]}, {"domainNames": ["a b", "localhost"]}],
                 "protocols": [{"destinationNamedPort": "web"}]},
            ],
        },
    }));
    expect![[r#"
        ClusterNetworkPolicy bad: metadata.namespace: is there, but the kind has no namespaces: leave it out
        ClusterNetworkPolicy bad: spec.tier: `Admn` is no tier: did you mean `Admin`?
        ClusterNetworkPolicy bad: spec.priority: 1001 is no priority: they go from 0, which decides first, to 1000
        ClusterNetworkPolicy bad: spec.subject: needs one of `namespaces` and `pods`
        ClusterNetworkPolicy bad: spec.ingress[0].action: `Allow` is no action: they are Accept, Deny, Pass
        ClusterNetworkPolicy bad: spec.ingress[0].from: has 26 peers; 25 are the most: make two of it
        ClusterNetworkPolicy bad: spec.ingress[1].name: has more than 100 characters: make it shorter
        ClusterNetworkPolicy bad: spec.ingress[1].to: is of the other direction: here it is `from`
        ClusterNetworkPolicy bad: spec.ingress[1].from[0]: has more than one field: make a peer of each
        ClusterNetworkPolicy bad: spec.ingress[1].from[0].pods.podSelector.matchExpressions[0].values: `In` needs at least one value
        ClusterNetworkPolicy bad: spec.ingress[1].protocols[0].tcp.destinationPort.number: 0 is no port: they go from 1 to 65535
        ClusterNetworkPolicy bad: spec.ingress[1].protocols[1].udp.destinationPort.range: goes from 9 to 9: the end must be above the start
        ClusterNetworkPolicy bad: spec.ingress[1].protocols[2].tcp.destinationPort: needs one of `number` and `range`
        ClusterNetworkPolicy bad: spec.ingress[1].protocols[3]: has more than one field: make an item of each
        ClusterNetworkPolicy bad: spec.egress[0].to: needs at least one peer (`namespaces: {}` is all pods)
        ClusterNetworkPolicy bad: spec.egress[1].to[0].networks[0]: `10.0.0/8` is no prefix: write it as `10.0.0.0/8` or `fd00::/8`
        ClusterNetworkPolicy bad: spec.egress[1].to[1].domainNames: is for rules with `action: Accept` alone: deny `networks` below them
        ClusterNetworkPolicy bad: spec.egress[1].to[1].domainNames[0]: `a b` is no DNS name: write it as `www.example.com`
        ClusterNetworkPolicy bad: spec.egress[1].to[1].domainNames[1]: `localhost` is no DNS name: write it as `www.example.com`
        ClusterNetworkPolicy bad: spec.egress[1].protocols[0].destinationNamedPort: has no meaning at `networks`, `nodes` and `domainNames`: write the number, or another rule
    "#]].assert_eq(&told.unwrap_err());
    let unknown = json!({"spec": {"tier": "Admin", "priority": 1, "subject": {"nodes": {}}}});
    let told = serde_json::from_value::<ClusterNetworkPolicy>(unknown).unwrap_err().to_string();
    assert!(told.contains("unknown field `nodes`"), "{told}");
}

#[test]
fn what_is_not_known_fails_closed() {
    let checked = cluster_policy(&json!({
        "metadata": {"name": "new"},
        "spec": {"tier": "Admin", "priority": 1, "subject": {"namespaces": named("shop")},
            "ingress": [
                {"action": "Accept", "from": [{"namespaces": {}}, {"services": {}}]},
                {"action": "Accept", "from": [{"namespaces": {}}], "protocols": [{"quic": {}}]},
                {"action": "Pass", "from": [{"namespaces": named("ops")}], "when": "night"},
            ],
            "egress": [
                {"action": "Accept", "to": [{"domainNames": ["www.example.com.", "*.example.com"]}]},
                {"action": "Deny", "to": [{}]},
            ]},
    }))
    .unwrap();
    let closed: Vec<String> = checked.closed.iter().map(ToString::to_string).collect();
    expect![[r#"
        ClusterNetworkPolicy new: spec.ingress[0].from[1].services: is not known, so the rule is closed: what accepts by it matches nothing, what denies or passes denies everything
        ClusterNetworkPolicy new: spec.ingress[1].protocols[0].quic: is not known, so the rule is closed: what accepts by it matches nothing, what denies or passes denies everything
        ClusterNetworkPolicy new: spec.ingress[2].when: is not known, so the rule is closed: what accepts by it matches nothing, what denies or passes denies everything
        ClusterNetworkPolicy new: spec.egress[0].to[0].domainNames[1]: `*.example.com`: the firewall follows the addresses of whole names, not of all below one, so this name lets nothing out: write the names out, or their `networks`
        ClusterNetworkPolicy new: spec.egress[1].to[0]: is empty, as of a field that this version does not know, so the rule is closed: give it one of `namespaces`, `pods`, `networks`, `nodes` and `domainNames`"#]].assert_eq(&closed.join("\n"));
    rules(
        &[checked],
        expect![[r#"
        deny np.c1.cnp.new.e0.pods.cnp.new.e1: [pods of namespaces kubernetes.io/metadata.name=shop] -> [pods] any
        deny np.c1.cnp.new.i2: any -> [pods of namespaces kubernetes.io/metadata.name=shop] any
        allow np.c1.cnp.new.e0.pods: [pods of namespaces kubernetes.io/metadata.name=shop] -> [pods] any
        allow np.c1.cnp.new.e0: [pods of namespaces kubernetes.io/metadata.name=shop] -> www.example.com any
        deny np.c1.cnp.new.e1: [pods of namespaces kubernetes.io/metadata.name=shop] -> any any
    "#]],
    );
}

#[test]
fn the_admin_tier_is_before_networkpolicies_and_the_baseline_behind_them() {
    let monitoring = cluster_policy(&json!({
        "metadata": {"name": "monitoring", "annotations": {"np.panw.com/action": "reset-both", "np.panw.com/vuln-protection": "strict"}},
        "spec": {"tier": "Admin", "priority": 10, "subject": {"namespaces": {}},
            "ingress": [
                {"name": "scrape", "action": "Accept", "from": [{"namespaces": named("ops")}], "protocols": [{"destinationNamedPort": "web"}]},
                {"action": "Pass", "from": [{"namespaces": named("shop")}]},
                {"action": "Deny", "from": [{"namespaces": {}}], "protocols": [{"tcp": {"destinationPort": {"number": 22}}}]},
            ]},
    }));
    let baseline = cluster_policy(&json!({
        "metadata": {"name": "default"},
        "spec": {"tier": "Baseline", "priority": 1, "subject": {"namespaces": {}},
            "ingress": [{"action": "Deny", "from": [{"namespaces": {}}]}]},
    }));
    let database = policy(&json!({"metadata": {"name": "db", "namespace": "data"},
        "spec": {"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": named("shop")}]}]}}));
    let policies = [monitoring.unwrap(), baseline.unwrap(), database];
    rules(
        &policies,
        expect![[r#"
        allow np.c1.cnp.monitoring.i0: [pods of namespaces kubernetes.io/metadata.name=ops] -> [(pods) and (with port web = tcp/8080)] tcp-8080
        allow np.c1.cnp.monitoring.i1.data.db.i0: [pods of namespaces kubernetes.io/metadata.name=shop] -> [(pods of data) and (pods)] any
        deny np.c1.cnp.monitoring.i1.default-deny-ingress: [pods of namespaces kubernetes.io/metadata.name=shop] -> [(pods of data) and (pods)] any
        deny np.c1.cnp.monitoring.i1.cnp.default.i0: [(pods) and (pods of namespaces kubernetes.io/metadata.name=shop)] -> [pods] any
        allow np.c1.cnp.monitoring.i1: [pods of namespaces kubernetes.io/metadata.name=shop] -> [pods] any
        reset-both np.c1.cnp.monitoring.i2: [pods] -> [pods] tcp-22
        allow np.c1.data.db.i0: [pods of namespaces kubernetes.io/metadata.name=shop] -> [pods of data] any
        deny np.c1.default-deny-ingress: any -> [pods of data] any
        deny np.c1.cnp.default.i0: [pods] -> [pods] any
    "#]],
    );
    let plan = plan(&policies, &[]);
    assert!(plan.rules[0].description.ends_with("spec.ingress[0] scrape"), "{}", plan.rules[0].description);
    assert_eq!(plan.rules[0].attributes.profiles.len(), 1);
}

#[test]
fn a_pass_that_nothing_of_its_tier_follows_needs_no_rule() {
    let pass = |rules: Value| {
        cluster_policy(&json!({"metadata": {"name": "p"},
            "spec": {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}, "egress": rules}}))
        .unwrap()
    };
    let passes = json!({"action": "Pass", "to": [{"namespaces": named("shop")}]});
    assert_eq!(plan(&[pass(json!([passes]))], &[]).rules, []);
    let other = json!({"action": "Deny", "to": [{"namespaces": named("ops")}]});
    assert_eq!(plan(&[pass(json!([passes, other]))], &[]).rules.len(), 1);
    let all = json!({"action": "Deny", "to": [{"networks": ["10.0.0.0/8"]}]});
    assert_eq!(plan(&[pass(json!([passes, all]))], &[]).rules.len(), 2);
}

#[test]
fn a_name_is_an_object_and_means_no_pod() {
    let names = cluster_policy(&json!({
        "metadata": {"name": "out"},
        "spec": {"tier": "Admin", "priority": 1, "subject": {"namespaces": named("shop")},
            "egress": [
                {"action": "Accept", "to": [{"domainNames": ["api.example.com"]}], "protocols": [{"tcp": {"destinationPort": {"number": 443}}}]},
                {"action": "Deny", "to": [{"networks": ["0.0.0.0/0"]}]},
            ]},
    }));
    let plan = plan(&[names.unwrap()], &["k8s"]);
    let objects = plan.render();
    assert_eq!(objects.addresses.len(), 1);
    let (name, object) = objects.addresses.first_key_value().unwrap();
    assert_eq!(object.child("fqdn").unwrap().text(), "api.example.com");
    let (_, rule) = objects
        .rules
        .iter()
        .find(|(_, rule)| rule.child("destination").unwrap().members().any(|to| to == *name))
        .unwrap();
    // Pods are in the zones of the cluster, and a host outside may be in any.
    assert_eq!(rule.child("from").unwrap().members().collect::<Vec<_>>(), ["k8s"]);
    assert_eq!(rule.child("to").unwrap().members().collect::<Vec<_>>(), ["any"]);

    let snapshot = snapshot();
    let test = |text: &str| {
        serde_json::from_value(json!({"name": text, "from": "shop/p", "to": text, "port": 443, "expect": "allow"}))
            .unwrap()
    };
    let trial = Trial::new(&plan, &snapshot);
    for (to, failures) in [("api.example.com", 0), ("API.example.com.", 0), ("other.example.com", 1), ("data/p", 1)] {
        let outcome = trial.run(&test(to));
        assert_eq!(outcome.failures.len(), failures, "{outcome:?}");
    }
}

#[test]
fn the_catalogue_is_for_policies_of_the_whole_cluster_by_its_entries_for_all() {
    let catalogue: Catalogue = serde_json::from_value(json!({"entries": [
        {"name": "all", "allow": {"applications": ["dns"]}},
        {"name": "shop", "namespace-selector": "team=shop", "allow": {"applications": ["ssl"]}}]}))
    .unwrap();
    let checked = cluster_policy(&json!({
        "metadata": {"name": "p", "annotations": {"np.panw.com/appid": "dns,ssl"}},
        "spec": {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}, "egress": [{"action": "Accept", "to": [{"namespaces": {}}]}]},
    }));
    let problems = catalogue.review("c1", &Labels::new(), &checked.unwrap());
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    expect!["ClusterNetworkPolicy p: metadata.annotations[np.panw.com/appid]: application `ssl` may not be named: the catalogue's entries for policies of the whole cluster are `all`; there are `dns`"].assert_eq(&told.join("\n"));
}

#[test]
fn files_have_them_with_their_nodes() {
    let text = "\
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: nodes}
spec:
  tier: Admin
  priority: 5
  subject: {namespaces: {}}
  egress:
  - {action: Deny, to: [{nodes: {matchLabels: {role: control}}}], protocols: [tcp: {destinationPort: {number: 10250}}]}
---
kind: Node
metadata: {name: n1, labels: {role: control}}
status: {addresses: [{type: Hostname, address: n1}, {type: InternalIP, address: 192.168.0.1}]}
---
kind: Pod
metadata: {name: web, namespace: shop}
---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: old}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: open}
spec: {tier: Admin, priority: 5, subject: {namespaces: {}}, egress: [{action: Accept, to: [{domainNames: ['*.example.com']}]}]}
";
    let tests = "tests: [{name: node, from: shop/web, to: 192.168.0.1, port: 10250, expect: deny, policy: nodes},
        {name: other, from: shop/web, to: 192.168.0.2, port: 10250, expect: allow}]";
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let folder = read(&[source("a.yaml", text), source("a.test.yaml", tests)]);
    expect![[r#"
        a.yaml:18: AdminNetworkPolicy: is the kind of before: write a ClusterNetworkPolicy of `policy.networking.k8s.io/v1alpha2`
        a.yaml:22: ClusterNetworkPolicy open: spec.egress[0].to[0].domainNames[0]: `*.example.com`: the firewall follows the addresses of whole names, not of all below one, so this name lets nothing out: write the names out, or their `networks`"#]].assert_eq(&folder.problems.join("\n"));
    let settings = Settings { cluster: "c1".to_owned(), zones: Vec::new(), allow_the_rest: true, rules_max: 100 };
    let plan = translate(&settings, &folder.policies, &folder.snapshot).unwrap();
    let trial = Trial::new(&plan, &folder.snapshot);
    for test in &folder.tests {
        let outcome = trial.run(test);
        assert_eq!(outcome.failures, Vec::<String>::new(), "{outcome:?}");
    }
}
