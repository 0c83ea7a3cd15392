//! Does a pod that nobody has told about yet wait, and does nobody else?

#![expect(clippy::unwrap_used, reason = "a test")]

use std::net::IpAddr;

use bartizan_playbook::cluster::{Labels, Pod, Snapshot};
use bartizan_playbook::trial::Trial;
use bartizan_playbook::{Checked, Ranges, Settings, check, translate};
use serde_json::json;

fn snapshot() -> Snapshot {
    let labels = Labels::from([("kubernetes.io/metadata.name".to_owned(), "shop".to_owned())]);
    let pod = |name: &str, address: &str| Pod {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        addresses: std::iter::once(address.parse().unwrap()).collect(),
        ..Pod::default()
    };
    let pods = vec![pod("a", "10.244.0.5"), pod("b", "10.244.1.6"), pod("six", "fd00:244::5")];
    Snapshot { namespaces: [("shop".to_owned(), labels)].into(), pods, ..Snapshot::default() }
}

#[test]
fn who_has_a_pods_address_and_is_not_known_waits() {
    let deny = json!({"metadata": {"name": "quiet", "namespace": "shop", "uid": "u"},
        "spec": {"podSelector": {"matchLabels": {"app": "quiet"}}, "policyTypes": ["Egress"]}});
    let checked = check(&serde_json::from_value(deny).unwrap()).unwrap();
    let settings = Settings { cluster: "c".to_owned(), zones: Vec::new(), allow_the_rest: true, rules_max: 100 };
    let snapshot = snapshot();
    let plan = translate(&settings, &[checked], &snapshot).unwrap();
    let allows = |ranges: &[&str], from: &str, to: &str| {
        let trial = Trial::new(&plan, &snapshot).among(Ranges::read(ranges.iter().copied()).unwrap());
        let ends: (IpAddr, IpAddr) = (from.parse().unwrap(), to.parse().unwrap());
        trial.compiled(None).unwrap().fate(ends, (6, 80)).unwrap().allowed
    };
    let v4 = &["10.244.0.0/16"][..];
    for (from, to, is_open) in [
        ("10.244.0.5", "10.244.1.6", true),
        ("10.244.0.5", "203.0.113.9", true),
        ("203.0.113.9", "10.244.0.5", true),
        // One that has just started.
        ("10.244.0.9", "10.244.1.6", false),
        ("10.244.1.6", "10.244.0.9", false),
        ("203.0.113.9", "10.244.0.9", false),
        ("10.243.255.255", "10.244.1.6", true),
        ("10.245.0.0", "10.244.1.6", true),
        ("fd00:244::9", "fd00:244::5", true),
    ] {
        assert_eq!(allows(v4, from, to), is_open, "{from} to {to}");
    }
    assert!(allows(&[], "10.244.0.9", "10.244.1.6"), "without ranges the isolated pod speaks until it is known");
    assert!(!allows(&["10.244.0.0/16", "fd00:244::/64"], "fd00:244::9", "fd00:244::5"));
}

#[test]
fn the_rules_stand_first_and_without_a_group_of_all_pods_there_are_none() {
    let snapshot = snapshot();
    let made = |allow_the_rest| {
        let settings =
            Settings { cluster: "c".to_owned(), zones: vec!["pods".to_owned()], allow_the_rest, rules_max: 100 };
        let plan = translate::<Checked>(&settings, &[], &snapshot).unwrap();
        let mut objects = plan.render();
        plan.refuse_unknown(&mut objects, &Ranges::read(["10.244.0.0/16"]).unwrap());
        objects.rules.into_iter().map(|(name, _)| name.rsplit_once('.').unwrap().0.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(made(true), ["np.c.unknown-out", "np.c.unknown-in", "np.c.rest-out", "np.c.rest-in"]);
    assert!(made(false).is_empty());
}

#[test]
fn what_is_no_prefix_is_told_with_all_others() {
    assert_eq!(
        Ranges::read(["10.244/16", "10.0.0.0/8", "0.0.0.0/0", "x"]),
        Err(["10.244/16", "0.0.0.0/0", "x"].map(String::from).to_vec())
    );
}
