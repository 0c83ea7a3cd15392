//! What does a person read of a policy: the rules that it becomes, or everything that is wrong with it?

#![expect(clippy::unwrap_used, reason = "a test")]

use std::fmt::Write as _;

use bartizan_playbook::cluster::{Labels, NamedPort, Pod, Snapshot};
use bartizan_playbook::policy::NetworkPolicy;
use bartizan_playbook::{End, Ports, Protocol, Settings, check, translate};
use expect_test::{Expect, expect};
use serde_json::{Value, json};

fn problems(written: Value, expected: Expect) {
    let policy: NetworkPolicy = serde_json::from_value(written).unwrap();
    let mut text = String::new();
    for problem in check(&policy).unwrap_err() {
        writeln!(text, "{problem}").unwrap();
    }
    expected.assert_eq(&text);
}

fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::default();
    let labels = |pairs: &[(&str, &str)]| -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    for namespace in ["shop", "data"] {
        snapshot.namespaces.insert(namespace.to_owned(), labels(&[("kubernetes.io/metadata.name", namespace)]));
    }
    let pod = |namespace: &str, name: &str, tier: &str, address: &str, port: u16| Pod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        labels: labels(&[("tier", tier)]),
        addresses: std::iter::once(address.parse().unwrap()).collect(),
        ports: vec![NamedPort { name: "db".to_owned(), protocol: Protocol::Tcp, number: port }],
        ..Pod::default()
    };
    snapshot.pods.push(pod("shop", "web-0", "web", "10.1.0.2", 80));
    snapshot.pods.push(pod("shop", "cache-0", "cache", "10.1.0.3", 6379));
    snapshot.pods.push(pod("data", "db-0", "db", "10.1.1.2", 5432));
    snapshot.pods.push(pod("data", "db-1", "db", "10.1.1.3", 5433));
    snapshot
}

fn rules(written: &[Value], expected: Expect) {
    let policies: Vec<_> = written
        .iter()
        .map(|written| check(&serde_json::from_value::<NetworkPolicy>(written.clone()).unwrap()).unwrap())
        .collect();
    let settings = Settings { cluster: "c1".to_owned(), zones: Vec::new(), allow_the_rest: false, rules_max: 100 };
    let plan = translate(&settings, &policies, &snapshot()).unwrap();
    let end = |parts: &[End]| -> String {
        let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
        if parts.is_empty() { "any".to_owned() } else { parts.join(" ") }
    };
    let mut text = String::new();
    for rule in plan.rules.iter().chain(&plan.dry) {
        let ports = match &rule.ports {
            Ports::All => "any".to_owned(),
            Ports::Of(ranges) => ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        };
        let mut carried = String::new();
        if !rule.attributes.applications.is_empty() {
            write!(carried, " app {:?}", rule.attributes.applications).unwrap();
        }
        if !rule.attributes.profiles.is_empty() {
            write!(carried, " profiles {:?}", rule.attributes.profiles).unwrap();
        }
        let (source, destination) = (end(&rule.source), end(&rule.destination));
        writeln!(text, "{}\n  {source} -> {destination} {ports}: {}{carried}", rule.name, rule.action).unwrap();
    }
    expected.assert_eq(&text);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    problems(
        json!({
            "metadata": {"name": "bad", "namespace": "shop", "labels": {"np.panw.com/antivrus": "default"},
                "annotations": {"np.panw.com/action": "block", "np.panw.com/spyware": "a b", "np.panw.com/appid": "any ssl",
                    "np.panw.com/profile-group": "g", "np.panw.com/wildfire": "w", "np.panw.com/schedule": ""}},
            "spec": {
                "podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}, {"key": "b", "operator": "Like"}]},
                "policyTypes": ["Ingres"],
                "ingress": [{"from": [{}, {"ipBlock": {"cidr": "10.0.0/8", "except": ["10.1.0.0/16"]}},
                        {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}, "podSelector": {}}],
                    "ports": [{"port": 0}, {"port": 90, "endPort": 80}, {"port": "http", "endPort": 80}, {"protocol": "ICMP"}]}]
            }
        }),
        expect![[r#"
            NetworkPolicy shop/bad: metadata.labels[np.panw.com/antivrus]: `antivrus` is no attribute of a firewall rule: did you mean `antivirus`?
            NetworkPolicy shop/bad: metadata.annotations[np.panw.com/schedule]: has no value; leave it out, or write `none` for no profile
            NetworkPolicy shop/bad: metadata.annotations[np.panw.com/action]: `block` is no action: it is one of allow, deny, drop, reset-client, reset-server, reset-both
            NetworkPolicy shop/bad: metadata.annotations[np.panw.com/appid]: names `any` beside others: keep one of them
            NetworkPolicy shop/bad: metadata.annotations[np.panw.com/spyware]: takes one value, not 2: a, b
            NetworkPolicy shop/bad: metadata.annotations[np.panw.com/profile-group]: a rule has a profile group or profiles of its own, not both: keep one of them
            NetworkPolicy shop/bad: spec.podSelector.matchExpressions[0].values: `In` needs at least one value
            NetworkPolicy shop/bad: spec.podSelector.matchExpressions[1].operator: `Like` is no operator of a selector: `In`, `NotIn`, `Exists` and `DoesNotExist` are the operators
            NetworkPolicy shop/bad: spec.policyTypes[0]: `Ingres` is no type of a policy: they are `Ingress` and `Egress`
            NetworkPolicy shop/bad: spec.ingress[0].from[0]: is empty: give it `podSelector`, `namespaceSelector` or `ipBlock` (`podSelector: {}` is all pods)
            NetworkPolicy shop/bad: spec.ingress[0].from[1].ipBlock.cidr: `10.0.0/8` is no prefix: write it as `10.0.0.0/8` or `fd00::/8`
            NetworkPolicy shop/bad: spec.ingress[0].from[2]: has `ipBlock` beside a selector: make two peers of it
            NetworkPolicy shop/bad: spec.ingress[0].from[2].ipBlock.except[0]: `11.0.0.0/16` is no true part of `10.0.0.0/8`: except takes parts of the block alone
            NetworkPolicy shop/bad: spec.ingress[0].ports[0].port: 0 is no port: they go from 1 to 65535
            NetworkPolicy shop/bad: spec.ingress[0].ports[1].endPort: 80 is below `port`, which is 90
            NetworkPolicy shop/bad: spec.ingress[0].ports[2].endPort: needs a number as `port`
            NetworkPolicy shop/bad: spec.ingress[0].ports[3].protocol: `ICMP` is no protocol here: `TCP`, `UDP` and `SCTP` are
        "#]],
    );
}

#[test]
fn names_that_nothing_can_have_are_told() {
    problems(
        json!({
            "metadata": {"name": "Bäd", "namespace": "a b", "annotations": {"np.panw.com/spyware": "<strict>"}},
            "spec": {"podSelector": {"matchLabels": {"a b": "c d"}}, "ingress": [{"ports": [{"port": "no name"}]}]}
        }),
        expect![[r#"
            NetworkPolicy a b/Bäd: metadata.name: `Bäd` is no name of an object: it has at most 253 small letters, digits, `-` and `.`, a letter or digit first and last
            NetworkPolicy a b/Bäd: metadata.namespace: `a b` is no name of an object: it has at most 63 small letters, digits, `-` and `.`, a letter or digit first and last
            NetworkPolicy a b/Bäd: metadata.annotations[np.panw.com/spyware]: `<strict>` is no name of an object: they have letters, digits, `-`, `_` and `.`
            NetworkPolicy a b/Bäd: spec.podSelector.matchLabels[a b]: `a b` cannot be the key of a label: it is a name of at most 63 letters, digits, `-`, `_` and `.`, with a domain and `/` before it or without
            NetworkPolicy a b/Bäd: spec.podSelector.matchLabels[a b]: `c d` cannot be the value of a label: it has at most 63 letters, digits, `-`, `_` and `.`, a letter or digit first and last
            NetworkPolicy a b/Bäd: spec.ingress[0].ports[0].port: `no name` is no name of a port: it has at most 15 small letters, digits and `-`, a letter among them
        "#]],
    );
}

#[test]
fn a_field_that_is_not_known_is_no_policy() {
    let written = json!({"metadata": {"name": "n"}, "spec": {"podSelector": {}, "ingres": []}});
    let refused = serde_json::from_value::<NetworkPolicy>(written).unwrap_err().to_string();
    assert!(refused.contains("unknown field `ingres`"), "{refused}");
}

#[test]
fn the_sample_of_deny_all_is_one_rule() {
    rules(
        &[
            json!({"metadata": {"name": "deny-all", "namespace": "shop"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}),
        ],
        expect![[r#"
            np.c1.default-deny-ingress.8081ab8a
              any -> [pods of shop] any: deny
        "#]],
    );
}

#[test]
fn attributes_named_ports_and_both_sides_come_together() {
    rules(
        &[
            json!({"metadata": {"name": "web", "namespace": "shop", "annotations": {"np.panw.com/vuln-protection": "strict"}},
                "spec": {"podSelector": {"matchLabels": {"tier": "web"}}, "policyTypes": ["Egress"],
                    "egress": [{"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "data"}}},
                        {"ipBlock": {"cidr": "203.0.113.0/24", "except": ["203.0.113.0/26"]}}]}]}}),
            json!({"metadata": {"name": "db", "namespace": "data", "labels": {"np.panw.com/appid": "postgres"}},
                "spec": {"podSelector": {"matchLabels": {"tier": "db"}},
                    "ingress": [{"from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"tier": "web"}}}],
                        "ports": [{"port": "db"}]}]}}),
        ],
        expect![[r#"
            np.c1.data.db.i0.both.084e08e4
              [(pods of shop with tier=web) and (pods with tier=web)] -> [(pods of data with tier=db) and (in 203.0.113.0/24 except 203.0.113.0/26) and (with port db = tcp/5432)] [(pods of data with tier=db) and (pods of namespaces kubernetes.io/metadata.name=data) and (with port db = tcp/5432)] tcp-5432: allow app {"postgres"} profiles {"vulnerability": "strict"}
            np.c1.data.db.i0.both.a7757a1c
              [(pods of shop with tier=web) and (pods with tier=web)] -> [(pods of data with tier=db) and (pods of namespaces kubernetes.io/metadata.name=data) and (with port db = tcp/5433)] [(pods of data with tier=db) and (in 203.0.113.0/24 except 203.0.113.0/26) and (with port db = tcp/5433)] tcp-5433: allow app {"postgres"} profiles {"vulnerability": "strict"}
            np.c1.default-deny.2012a0c9
              [pods of shop with tier=web] -> [pods of data with tier=db] any: deny
            np.c1.shop.web.e0.6a29b5d6
              [pods of shop with tier=web] -> [pods of namespaces kubernetes.io/metadata.name=data] [203.0.113.0/24 except 203.0.113.0/26] any: allow profiles {"vulnerability": "strict"}
            np.c1.default-deny-egress.83fb5ec9
              [pods of shop with tier=web] -> any any: deny
            np.c1.data.db.i0.e2f06b41
              [pods with tier=web] -> [(pods of data with tier=db) and (with port db = tcp/5432)] tcp-5432: allow app {"postgres"}
            np.c1.data.db.i0.489ef437
              [pods with tier=web] -> [(pods of data with tier=db) and (with port db = tcp/5433)] tcp-5433: allow app {"postgres"}
            np.c1.default-deny-ingress.8081ab8a
              any -> [pods of data with tier=db] any: deny
        "#]],
    );
}

#[test]
fn a_dry_run_changes_no_rule() {
    rules(
        &[
            json!({"metadata": {"name": "deny-all", "namespace": "shop", "annotations": {"np.panw.com/dry-run": "true"}},
            "spec": {"podSelector": {}}}),
        ],
        expect![[r#"
            np.c1.default-deny-ingress.8081ab8a
              any -> [pods of shop] any: deny
        "#]],
    );
}

#[test]
fn a_policy_that_refuses_comes_first_and_isolates_nobody() {
    rules(
        &[
            json!({"metadata": {"name": "no-ssh", "namespace": "shop", "annotations": {"np.panw.com/action": "reset-both"}},
            "spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 22}]}]}}),
        ],
        expect![[r#"
            np.c1.shop.no-ssh.i0.421e26bb
              any -> [pods of shop] tcp-22: reset-both
        "#]],
    );
}
