//! Do the edits bring a device group to what is wanted, whatever it was, and leave the administrator's alone?

#![expect(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use bartizan_model::edit;
use bartizan_model::tree::Element;
use bartizan_model::xml;
use bartizan_playbook::change::{Change, Place, plan};
use bartizan_playbook::cluster::{Labels, Pod, Snapshot};
use bartizan_playbook::policy::NetworkPolicy;
use bartizan_playbook::{Objects, Settings, check, translate};
use proptest::prelude::*;
use serde_json::json;

const GROUP: &str = "/config/devices/entry[@name='localhost.localdomain']/device-group/entry[@name='dg']";

fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::default();
    for namespace in ["shop", "data"] {
        let labels = Labels::from([("kubernetes.io/metadata.name".to_owned(), namespace.to_owned())]);
        snapshot.namespaces.insert(namespace.to_owned(), labels);
        snapshot.pods.push(Pod { namespace: namespace.to_owned(), name: "p".to_owned(), ..Pod::default() });
    }
    snapshot
}

/// A policy of a few that differ in name, order, ports and rules.
fn policy(number: u8, variant: u8) -> NetworkPolicy {
    let namespace = if number.is_multiple_of(2) { "shop" } else { "data" };
    let ports: Vec<_> = (0..variant % 3).map(|port| json!({"port": 80 + u16::from(port)})).collect();
    let from = json!([{"podSelector": {"matchLabels": {"app": format!("a{variant}")}}}]);
    let mut rules = vec![json!({"from": from, "ports": ports})];
    if variant % 4 == 3 {
        rules.insert(0, json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}));
    }
    let mut metadata = json!({"name": format!("p{number}"), "namespace": namespace, "uid": "u"});
    if variant % 5 == 4 {
        metadata["annotations"] = json!({"np.panw.com/appid": "ssl, web-browsing", "np.panw.com/spyware": "strict"});
    }
    let written = json!({"metadata": metadata, "spec": {"podSelector": {}, "ingress": rules}});
    serde_json::from_value(written).unwrap()
}

fn wanted(policies: &[(u8, u8)]) -> Objects {
    let settings =
        Settings { cluster: "c1".to_owned(), zones: vec!["pods".to_owned()], allow_the_rest: true, rules_max: 1000 };
    let checked: Vec<_> = policies.iter().map(|(number, variant)| check(&policy(*number, *variant)).unwrap()).collect();
    translate(&settings, &checked, &snapshot()).unwrap().render()
}

/// The administrator's own.
const FOREIGN: &str = "<address-group><entry name='mine'><static><member>x</member></static></entry></address-group>\
    <tag><entry name='blue'/></tag>\
    <pre-rulebase><security><rules><entry name='first'><action>deny</action></entry><entry name='second'>\
    <tag><member>blue</member></tag><action>allow</action></entry></rules></security></pre-rulebase>";

fn empty_group() -> Arc<Element> {
    let text = format!(
        "<config><devices><entry name='localhost.localdomain'><device-group><entry name='dg'>{FOREIGN}</entry>\
         </device-group></entry></devices></config>"
    );
    Arc::new(xml::parse(&text).unwrap())
}

fn group(tree: &Arc<Element>) -> Element {
    let found = edit::get(tree, GROUP).unwrap();
    found.first().unwrap().element().clone()
}

fn apply(tree: &mut Arc<Element>, changes: &[Change]) {
    for change in changes {
        match change {
            Change::Set { xpath, content } => edit::set(tree, xpath, content).unwrap(),
            Change::Edit { xpath, entry } => edit::edit(tree, xpath, entry).unwrap(),
            Change::Move { xpath, to } => edit::move_entry(tree, xpath, to).unwrap(),
            Change::Delete { xpath } => edit::delete(tree, xpath).unwrap(),
        };
    }
}

fn rule_names(tree: &Arc<Element>) -> Vec<String> {
    let group = group(tree);
    let rules = group.descend(&["pre-rulebase", "security", "rules"]).unwrap();
    rules.entries().map(|(name, _)| name.to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn edits_bring_any_state_to_the_wanted_one(
        states in proptest::collection::vec(proptest::collection::btree_map(0u8..8, 0u8..20, 0..7), 1..5),
        place in 0..4,
    ) {
        let place = match place {
            0 => Place::Top,
            1 => Place::Bottom,
            2 => Place::Before("second".to_owned()),
            _ => Place::After("first".to_owned()),
        };
        let mut tree = empty_group();
        for state in states {
            let state: Vec<(u8, u8)> = state.into_iter().collect();
            let wanted = wanted(&state);
            let changes = plan(&group(&tree), GROUP, &wanted, &place).unwrap();
            apply(&mut tree, &changes);
            let names = rule_names(&tree);
            let ours: Vec<&String> = names.iter().filter(|name| name.starts_with("np.")).collect();
            let expected: Vec<&String> = wanted.rules.iter().map(|(name, _)| name).collect();
            prop_assert_eq!(ours, expected);
            let foreign: Vec<&String> = names.iter().filter(|name| !name.starts_with("np.")).collect();
            prop_assert_eq!(foreign, ["first", "second"]);
            let again = plan(&group(&tree), GROUP, &wanted, &place).unwrap();
            prop_assert_eq!(again, Vec::new(), "nothing is left to do");
        }
        let settings = Objects { owner: "k8s-np.c1".to_owned(), ..Objects::default() };
        let last = plan(&group(&tree), GROUP, &settings, &place).unwrap();
        apply(&mut tree, &last);
        prop_assert!(!xml::write(&group(&tree)).contains("np.c1"), "{}", xml::write(&group(&tree)));
    }
}

#[test]
fn a_policy_that_comes_to_others_is_edits_of_its_own_only() {
    let mut tree = empty_group();
    let first = plan(&group(&tree), GROUP, &wanted(&[(0, 1), (2, 2)]), &Place::Top).unwrap();
    apply(&mut tree, &first);
    let next = plan(&group(&tree), GROUP, &wanted(&[(0, 1), (1, 6), (2, 2)]), &Place::Top).unwrap();
    let text = format!("{next:?}");
    assert!(!text.contains("rules/entry[@name='np.c1.shop") && !text.contains("Delete"), "{text}");
    // Two groups (itself and its peers), its rule, and its place; and the refusing rule speaks of its pods, too.
    assert_eq!(next.len(), 5, "{next:#?}");
}

#[test]
fn a_name_that_is_somebody_elses_stops_everything() {
    let objects = wanted(&[(0, 1)]);
    let (name, _) = objects.rules.first().unwrap();
    let mut tree = empty_group();
    let xpath = format!("{GROUP}/pre-rulebase/security/rules/entry[@name='{name}']");
    edit::set(&mut tree, &xpath, "<action>deny</action>").unwrap();
    let conflicts = plan(&group(&tree), GROUP, &objects, &Place::Top).unwrap_err();
    assert_eq!(conflicts.len(), 1);
    let told = conflicts.first().unwrap().to_string();
    assert!(told.starts_with(&xpath) && told.contains("not its tag `k8s-np.c1`"), "{told}");
}

#[test]
fn a_generated_rule_that_somebody_edited_is_edited_back_and_keeps_its_uuid() {
    let objects = wanted(&[(0, 1)]);
    let mut tree = empty_group();
    let made = plan(&group(&tree), GROUP, &objects, &Place::Top).unwrap();
    apply(&mut tree, &made);
    let (name, _) = objects.rules.first().unwrap();
    let xpath = format!("{GROUP}/pre-rulebase/security/rules/entry[@name='{name}']");
    edit::edit(&mut tree, &format!("{xpath}/action"), "<action>deny</action>").unwrap();
    let mut text = xml::write(&group(&tree));
    text = text.replacen(&format!("<entry name=\"{name}\">"), &format!("<entry name=\"{name}\" uuid=\"7\">"), 1);
    let drifted = xml::parse(&text).unwrap();
    let changes = plan(&drifted, GROUP, &objects, &Place::Top).unwrap();
    let [Change::Edit { xpath: edited, entry }] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!(*edited, xpath);
    assert!(entry.contains("uuid=\"7\"") && entry.contains("<action>allow</action>"), "{entry}");
}
