//! Do the rules decide every flow as the text of Kubernetes does?
//!
//! Random clusters, policies with every field, and all flows between their pods and some addresses outside. The rules go
//! the whole way: rendered, read, compiled by the code that enforces, and asked. The reference beside them follows the
//! NetworkPolicy reference and nothing else. `BARTIZAN_ORACLE_SEEDS=FIRST..LAST` runs other seeds than the first ones.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[path = "oracle/generate.rs"]
mod generate;
#[path = "oracle/reference.rs"]
mod reference;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bartizan_playbook::cluster::Snapshot;
use bartizan_playbook::policy::NetworkPolicy;
use bartizan_playbook::trial::Trial;
use bartizan_playbook::{Group, Plan, Settings, check, translate};

use crate::generate::{Chance, cluster, flows, policies};

/// Clusters that a test run looks at. Each is asked about some hundred flows.
const SEEDS: std::ops::Range<u64> = 0..1_000;
/// Flows that have to be asked about at least.
const FLOWS_MIN: usize = 100_000;

pub(crate) fn settings() -> Settings {
    Settings { cluster: "c1".to_owned(), zones: Vec::new(), allow_the_rest: true, rules_max: 50_000 }
}

fn seeds() -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("BARTIZAN_ORACLE_SEEDS") else { return SEEDS };
    let (first, last) = text.split_once("..").unwrap();
    first.parse().unwrap()..last.parse().unwrap()
}

/// What the flows of a run had in common with what is to be looked at.
#[derive(Debug, Default)]
struct Tally {
    flows: usize,
    allowed: usize,
    /// Between pods that are isolated on both sides.
    both_isolated: usize,
    allowed_by_pair: usize,
    outside: usize,
}

/// Also with groups that came as JSON from whoever made the plan.
fn who_tags_pod_by_pod_tags_the_same(plan: &Plan, snapshot: &Snapshot) {
    let mut found: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
    for (tag, group) in plan.groups() {
        let told: Group = serde_json::from_str(&serde_json::to_string(group).unwrap()).unwrap();
        assert_eq!((&told, told.tag(&plan.settings.cluster)), (group, tag.clone()));
        for address in snapshot.pods.iter().flat_map(|pod| told.addresses_of(snapshot, pod)) {
            found.entry(address).or_default().insert(tag.clone());
        }
    }
    assert_eq!(found, plan.members(snapshot));
}

#[test]
fn rules_decide_as_the_text_of_kubernetes() {
    let mut tally = Tally::default();
    for seed in seeds() {
        let mut chance = Chance::new(seed);
        let snapshot = cluster(&mut chance);
        let written: Vec<NetworkPolicy> = policies(&mut chance, &snapshot);
        let checked: Vec<_> = written.iter().map(|policy| check(policy).unwrap()).collect();
        let plan = translate(&settings(), &checked, &snapshot).unwrap();
        who_tags_pod_by_pod_tags_the_same(&plan, &snapshot);
        let enforced = Trial::new(&plan, &snapshot).compiled(None).unwrap();
        for flow in flows(&mut chance, &snapshot) {
            let expected = reference::verdict(&snapshot, &written, &flow);
            let fate = enforced.fate((flow.source, flow.destination), (flow.protocol, flow.port)).unwrap();
            let allowed = fate.allowed;
            assert_eq!(
                allowed, expected.allowed,
                "seed {seed}: {flow:?}\n{snapshot:#?}\n{written:#?}\n{}",
                enforced.text
            );
            tally.flows += 1;
            tally.allowed += usize::from(allowed);
            let both = expected.source_isolated && expected.destination_isolated;
            tally.both_isolated += usize::from(both);
            tally.allowed_by_pair += usize::from(both && allowed);
            tally.outside += usize::from(expected.outside);
        }
    }
    println!("{tally:?}");
    if seeds() == SEEDS {
        assert!(tally.flows >= FLOWS_MIN, "{tally:?}");
        // Each kind is a good part of the whole.
        for kind in
            [tally.allowed, tally.flows - tally.allowed, tally.both_isolated, tally.allowed_by_pair, tally.outside]
        {
            assert!(kind > tally.flows / 50, "{tally:?}");
        }
    }
}
