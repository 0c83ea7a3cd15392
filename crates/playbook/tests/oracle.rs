//! Do the rules decide every flow as the text of Kubernetes does?
//!
//! Random clusters, policies of both kinds with every field, and all flows between their pods and some addresses outside. The rules go
//! the whole way: rendered, read, compiled by the code that enforces, and asked. The reference beside them follows the
//! two APIs' reference and nothing else. `BARTIZAN_ORACLE_SEEDS=FIRST..LAST` runs other seeds than the first ones.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[path = "oracle/generate.rs"]
mod generate;
#[path = "oracle/reference.rs"]
mod reference;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bartizan_playbook::cluster::Snapshot;
use bartizan_playbook::trial::Trial;
use bartizan_playbook::{Group, Plan, Settings, check, check_cluster, translate};

use crate::generate::{Chance, cluster, cluster_policies, flows, names, policies};
use crate::reference::World;

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
    /// ClusterNetworkPolicies decided at one end at least, or passed the flow on.
    admin: usize,
    baseline: usize,
    passed: usize,
    /// Accepted by a ClusterNetworkPolicy at one end, refused by a NetworkPolicy at the other.
    crossed: usize,
}

impl Tally {
    fn count(&mut self, expected: &reference::Verdict) {
        let (out, into) = (&expected.source, &expected.destination);
        let both = out.isolated && into.isolated;
        let either = |is: fn(&reference::Side) -> bool| is(out) || is(into);
        let is_crossed = |one: &reference::Side, other: &reference::Side| {
            one.by_admin && !one.refused && other.isolated && other.refused
        };
        for (counter, counts) in [
            (&mut self.flows, true),
            (&mut self.allowed, expected.allowed),
            (&mut self.both_isolated, both),
            (&mut self.allowed_by_pair, both && expected.allowed),
            (&mut self.outside, expected.outside),
            (&mut self.admin, either(|side| side.by_admin)),
            (&mut self.baseline, either(|side| side.by_baseline)),
            (&mut self.passed, either(|side| side.passed)),
            (&mut self.crossed, is_crossed(out, into) || is_crossed(into, out)),
        ] {
            *counter += usize::from(counts);
        }
    }
}

/// Also with groups that came as JSON from whoever made the plan.
fn who_tags_pod_by_pod_tags_the_same(plan: &Plan, snapshot: &Snapshot) {
    let mut found: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
    for (tag, group) in plan.groups() {
        let told: Group = serde_json::from_str(&serde_json::to_string(group).unwrap()).unwrap();
        assert_eq!((&told, told.tag(&plan.settings.cluster)), (group, tag.clone()));
        let pods = snapshot.pods.iter().flat_map(|pod| told.addresses_of(snapshot, pod));
        for address in pods.chain(snapshot.nodes.iter().flat_map(|node| told.addresses_of_node(node))) {
            found.entry(address).or_default().insert(tag.clone());
        }
    }
    assert_eq!(found, plan.members(snapshot));
}

#[test]
fn rules_decide_as_the_text_of_kubernetes() {
    let mut tally = Tally::default();
    let names = names();
    for seed in seeds() {
        let mut chance = Chance::new(seed);
        let snapshot = cluster(&mut chance);
        let policies = policies(&mut chance, &snapshot);
        let cluster_policies = cluster_policies(&mut chance);
        let mut checked: Vec<_> = policies.iter().map(|policy| check(policy).unwrap()).collect();
        checked.extend(cluster_policies.iter().map(|policy| check_cluster(policy).unwrap()));
        let plan = translate(&settings(), &checked, &snapshot).unwrap();
        // Whoever has no addresses makes the same rules.
        let mut unaddressed = snapshot.clone();
        unaddressed.pods.iter_mut().for_each(|pod| pod.addresses.clear());
        assert_eq!(translate(&settings(), &checked, &unaddressed).unwrap(), plan);
        who_tags_pod_by_pod_tags_the_same(&plan, &snapshot);
        let enforced = Trial::new(&plan, &snapshot).resolving(names.clone()).compiled(None).unwrap();
        let world =
            World { snapshot: &snapshot, policies: &policies, cluster_policies: &cluster_policies, names: &names };
        for flow in flows(&mut chance, &snapshot) {
            let expected = reference::verdict(&world, &flow);
            let fate = enforced.fate((flow.source, flow.destination), (flow.protocol, flow.port)).unwrap();
            assert_eq!(
                fate.allowed, expected.allowed,
                "seed {seed}: {flow:?} by {:?}\n{snapshot:#?}\n{policies:#?}\n{cluster_policies:#?}\n{}",
                fate.rule, enforced.text
            );
            tally.count(&expected);
        }
    }
    println!("{tally:?}");
    if seeds() == SEEDS {
        assert!(tally.flows >= FLOWS_MIN, "{tally:?}");
        // Each kind is a good part of the whole.
        let Tally { flows, allowed, both_isolated, allowed_by_pair, outside, admin, baseline, passed, crossed } = tally;
        for kind in [allowed, flows - allowed, both_isolated, outside, admin, baseline] {
            assert!(kind > flows / 50, "{tally:?}");
        }
        for kind in [allowed_by_pair, passed, crossed] {
            assert!(kind > flows / 500, "{tally:?}");
        }
    }
}
