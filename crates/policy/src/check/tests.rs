//! After any edits the warnings are those of a whole compilation.

use bartizan_model::device::{Action, Address, AddressValue, RuleKind};
use bartizan_model::diagnostic::Origin;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::shadow::tests::{config, rule};

const ZONES: &[&str] = &["a", "b", "c"];
const ADDRESSES: &[&str] = &["10.0.0.0", "10.0.0.1", "10.0.0.2-10.0.0.3", "10.0.0.0/31", "10.0.0.0/8", "wild", "www"];
const SERVICES: &[&str] = &["low", "high", "udp", "from-1"];

/// With a name, whose addresses change, and a wildcard, which is not resolved.
fn device(rules: Vec<SecurityRule>) -> DeviceConfig {
    let address =
        |name: &str, value| Address { name: name.to_owned(), origin: Origin::default(), value, tags: Vec::new() };
    let addresses = vec![
        address("wild", AddressValue::Wildcard("10.0.0.0/0.0.255.0".into())),
        address("www", AddressValue::Fqdn("www.example".into())),
    ];
    DeviceConfig { addresses, ..config(rules) }
}

fn whole(rules: &[Arc<SecurityRule>]) -> Vec<Diagnostic> {
    let config = device(rules.iter().map(|rule| SecurityRule::clone(rule)).collect());
    let tables = compile_device(&config, &Facts::default(), &mut Ids::default(), 1, None, &mut Vec::new()).unwrap();
    let mut warnings = tables.warnings.clone();
    warnings.extend(shadow::warnings(&tables));
    warnings.sort();
    warnings
}

fn check(rules: Vec<SecurityRule>) -> Check {
    Check::of(Arc::new(Box::new(device(rules)))).unwrap()
}

fn sorted(check: &Check) -> Vec<Diagnostic> {
    let mut warnings = check.warnings();
    warnings.sort();
    warnings
}

type Fields = (RuleKind, [Vec<&'static str>; 5], bool, Action);

fn list(choices: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    prop_oneof![1 => Just(vec!["any"]), 3 => subsequence(choices, 1..=2)]
}

fn fields() -> impl Strategy<Value = Fields> {
    let kinds = select(vec![RuleKind::Universal, RuleKind::Intrazone, RuleKind::Interzone]);
    let lists = (list(ZONES), list(ZONES), list(ADDRESSES), list(ADDRESSES), list(SERVICES));
    let lists = lists.prop_map(|(from, to, source, destination, service)| [from, to, source, destination, service]);
    (kinds, lists, prop::bool::weighted(0.1), select(vec![Action::Allow, Action::Deny]))
}

fn made(number: usize, (kind, lists, disabled, action): &Fields) -> SecurityRule {
    let [from, to, source, destination, service] = lists;
    let origin = Origin::xpath(format!("/rule/{number}"));
    let rule = rule(format!("rule-{number}"), *kind, [from, to, source, destination, service]);
    SecurityRule { disabled: *disabled, action: *action, origin, ..rule }
}

/// Where, how many go, what comes, and whether what comes has the names of what goes.
type Edit = (prop::sample::Index, usize, Vec<Fields>, bool);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn warnings_are_those_of_a_whole_compilation(
        first in prop::collection::vec(fields(), 1..14),
        edits in prop::collection::vec(
            (any::<prop::sample::Index>(), 0_usize..3, prop::collection::vec(fields(), 0..3), any::<bool>()), 1..12,
        ),
    ) {
        let edits: Vec<Edit> = edits;
        let mut number = first.len();
        let rules: Vec<SecurityRule> = first.iter().enumerate().map(|(at, fields)| made(at, fields)).collect();
        let mut check = check(rules);
        for (at, removed, new, keeps_names) in edits {
            let from = at.index(check.len() + 1);
            let removed = removed.min(check.len() - from);
            let names: Vec<String> =
                (from..from + removed).filter_map(|at| Some(check.source(at)?.name.clone())).collect();
            let inserted: Vec<Arc<SecurityRule>> = new.iter().enumerate().map(|(at, fields)| {
                number += 1;
                let mut rule = made(number, fields);
                if let Some(name) = names.get(at).filter(|_| keeps_names) {
                    rule.name.clone_from(name);
                }
                Arc::new(rule)
            }).collect();
            prop_assert!(check.replace(from, removed, &inserted));
            let now: Vec<Arc<SecurityRule>> = (0..check.len()).filter_map(|at| check.source(at).cloned()).collect();
            prop_assert_eq!(sorted(&check), whole(&now));
        }
    }
}

#[test]
fn many_changes_ask_for_new_tables() {
    let any: Fields = (RuleKind::Universal, std::array::from_fn(|_| vec!["any"]), false, Action::Allow);
    let mut check = check(vec![made(0, &any)]);
    let new: Vec<_> = (1..=BESIDE_MAX).map(|at| Arc::new(made(at, &any))).collect();
    assert!(check.replace(1, 0, &new));
    assert_eq!(check.warnings().len(), BESIDE_MAX, "all but the first are shadowed");
    assert!(!check.replace(0, 0, &[Arc::new(made(BESIDE_MAX + 1, &any))]));
    assert!(!check.replace(5000, 1, &[]), "there is no such rule");
}
