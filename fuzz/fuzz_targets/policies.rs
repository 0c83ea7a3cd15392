//! Are manifests, policies, their tests, catalogues and selectors read without panic, and is what they become always rules
//! that can be enforced, within the limits of names?
//!
//! The first byte chooses: manifests with a file of tests behind a line `%%`, a catalogue, a selector.
#![no_main]

use std::collections::BTreeSet;

use bartizan_playbook::manifests::{Source, read};
use bartizan_playbook::trial::Trial;
use bartizan_playbook::{Catalogue, Settings, parse_selector, translate};
use libfuzzer_sys::fuzz_target;

/// Tests of a folder that are run: each compiles all rules.
const TESTS_MAX: usize = 4;

fn folder(text: &str) {
    let (manifests, tests) = text.split_once("\n%%\n").unwrap_or((text, ""));
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let mut folder = read(&[source("a.yaml", manifests), source("a.test.yaml", tests)]);
    let settings =
        Settings { cluster: "c1".to_owned(), zones: vec!["k8s".to_owned()], allow_the_rest: true, rules_max: 200 };
    let Ok(plan) = translate(&settings, &folder.policies, &folder.snapshot) else { return };
    assert!(plan.rules.len() <= settings.rules_max);
    let names: BTreeSet<&String> = plan.rules.iter().map(|rule| &rule.name).collect();
    assert_eq!(names.len(), plan.rules.len(), "two rules of one name");
    let fits = |name: &str| name.len() <= 63 && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    assert!(names.iter().all(|name| fits(name)), "{names:?}");
    assert!(plan.rules.iter().all(|rule| rule.description.len() <= 1023));
    let objects = plan.render();
    assert!(
        objects.groups.keys().chain(objects.services.keys()).chain(objects.addresses.keys()).all(|name| fits(name))
    );
    let groups: BTreeSet<String> = objects.groups.keys().cloned().collect();
    assert!(plan.members(&folder.snapshot).values().all(|tags| tags.is_subset(&groups)));
    let trial = Trial::new(&plan, &folder.snapshot);
    if let Err(why) = trial.compiled(None) {
        panic!("what was made cannot be enforced: {why}");
    }
    for test in folder.tests.iter().take(TESTS_MAX) {
        trial.run(test);
    }
    folder.review("c1", &Catalogue::default());
}

fn catalogue(text: &str) {
    let Ok(catalogue) = serde_json::from_str::<Catalogue>(text) else { return };
    catalogue.faults();
    let again = serde_json::to_string(&catalogue).expect("it can be written");
    assert_eq!(serde_json::from_str::<Catalogue>(&again).expect("it can be read again"), catalogue);
}

fn selector(text: &str) {
    let Ok(selector) = parse_selector(text) else { return };
    let compiled = selector.compile().expect("what was read has no fault");
    let told = compiled.to_string();
    let again = if told == "*" { String::new() } else { told };
    assert_eq!(parse_selector(&again).expect("what is told can be read").compile(), Ok(compiled));
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    match kind % 3 {
        0 => folder(text),
        1 => catalogue(text),
        _ => selector(text),
    }
});
