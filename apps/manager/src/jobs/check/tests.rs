//! After any edits, what was remembered gives the answers of a check from nothing.

use bartizan_model::edit::{self, Destination};
use bartizan_model::xml;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

const DEVICES: &str = "/config/devices/entry[@name='localhost.localdomain']";
/// A parent, its child with devices, and a group without any.
const CONFIGURATION: &str = "<config><mgt-config><users/></mgt-config>\
    <shared><address><entry name='db'><ip-netmask>10.0.0.7</ip-netmask></entry>\
    <entry name='net'><ip-netmask>10.0.0.0/8</ip-netmask></entry>\
    <entry name='odd'><ip-wildcard>10.0.0.0/0.0.255.0</ip-wildcard></entry></address>\
    <tag><entry name='blue'/></tag>\
    <pre-rulebase><security><rules/></security></pre-rulebase><post-rulebase><security><rules/></security></post-rulebase></shared>\
    <readonly><devices><entry name='localhost.localdomain'><device-group><entry name='child'><parent-dg>parent</parent-dg></entry></device-group></entry></devices></readonly>\
    <devices><entry name='localhost.localdomain'>\
    <template><entry name='net'><variable><entry name='$inside'><type><ip-netmask>10.0.0.1/24</ip-netmask></type></entry></variable>\
    <config><devices><entry name='localhost.localdomain'><network><interface><ethernet>\
    <entry name='ethernet1/1'><layer3><ip><entry name='$inside'/></ip></layer3></entry></ethernet></interface>\
    <virtual-router><entry name='default'><interface><member>ethernet1/1</member></interface></entry></virtual-router></network>\
    <vsys><entry name='vsys1'><zone><entry name='a'><network><layer3><member>ethernet1/1</member></layer3></network></entry>\
    <entry name='b'><network><layer3/></network></entry></zone></entry></vsys></entry></devices></config></entry></template>\
    <template-stack><entry name='stack'><templates><member>net</member></templates><devices><entry name='001'/><entry name='002'/>\
    <entry name='003'/><entry name='004'><variable><entry name='$inside'><type><ip-netmask>10.9.0.1/24</ip-netmask></type></entry></variable></entry></devices></entry></template-stack>\
    <device-group>\
    <entry name='parent'><devices><entry name='003'/></devices><pre-rulebase><security><rules/></security></pre-rulebase><post-rulebase><security><rules/></security></post-rulebase></entry>\
    <entry name='child'><devices><entry name='001'/><entry name='002'/><entry name='004'/></devices><pre-rulebase><security><rules/></security></pre-rulebase></entry>\
    <entry name='empty'><pre-rulebase><security><rules/></security></pre-rulebase></entry>\
    </device-group></entry></devices></config>";

const PLACES: [&str; 6] = [
    "/config/shared/pre-rulebase/security/rules",
    "/config/shared/post-rulebase/security/rules",
    "/config/devices/entry[@name='localhost.localdomain']/device-group/entry[@name='parent']/pre-rulebase/security/rules",
    "/config/devices/entry[@name='localhost.localdomain']/device-group/entry[@name='parent']/post-rulebase/security/rules",
    "/config/devices/entry[@name='localhost.localdomain']/device-group/entry[@name='child']/pre-rulebase/security/rules",
    "/config/devices/entry[@name='localhost.localdomain']/device-group/entry[@name='empty']/pre-rulebase/security/rules",
];

#[derive(Clone, Debug)]
enum Change {
    Rule {
        place: usize,
        name: usize,
        rule: String,
    },
    Delete {
        place: usize,
        at: Index,
    },
    Move {
        place: usize,
        at: Index,
        to: Option<Index>,
    },
    Rename {
        place: usize,
        at: Index,
        name: usize,
    },
    /// Something else than a rule.
    Address(&'static str),
}

/// Mostly right; some name what is not there, or what is not enforced.
fn rule() -> impl Strategy<Value = String> {
    let address = || {
        prop_oneof![
            60 => select(vec!["any", "db", "net", "10.0.0.0/24", "10.0.0.7", "10.0.0.8-10.0.0.9", "172.16.0.1"]),
            6 => select(vec!["odd", "DE"]),
            1 => select(vec!["nowhere", "$inside"]),
        ]
    };
    let zone = || prop_oneof![60 => select(vec!["any", "a", "b"]), 1 => Just("c")];
    let more = prop_oneof![
        6 => Just(""),
        2 => select(vec![
            "<disabled>yes</disabled>", "<tag><member>blue</member></tag>", "<tag><member>green</member></tag>",
            "<profile-setting><group><member>default</member></group></profile-setting>", "<strange>x</strange>",
            "<negate-source>yes</negate-source>", "<category><member>news</member></category>",
            "<target><devices><entry name='001'/></devices></target>",
            "<target><devices><entry name='002'/></devices><negate>yes</negate></target>",
            "<rule-type>intrazone</rule-type>", "<description>$inside</description>",
        ]),
    ];
    let application = prop_oneof![5 => Just("any"), 1 => Just("ssl")];
    let fields = (zone(), zone(), address(), address(), application, select(vec!["allow", "deny"]), more);
    fields.prop_map(|(from, to, source, destination, application, action, more)| {
        format!(
            "<from><member>{from}</member></from><to><member>{to}</member></to><source><member>{source}</member></source>\
             <destination><member>{destination}</member></destination><service><member>any</member></service>\
             <application><member>{application}</member></application><action>{action}</action>{more}"
        )
    })
}

fn change() -> impl Strategy<Value = Change> {
    let place = || 0..PLACES.len();
    let index = any::<Index>;
    prop_oneof![
        8 => (place(), 0_usize..20, rule()).prop_map(|(place, name, rule)| Change::Rule { place, name, rule }),
        2 => (place(), index()).prop_map(|(place, at)| Change::Delete { place, at }),
        2 => (place(), index(), prop::option::of(index())).prop_map(|(place, at, to)| Change::Move { place, at, to }),
        1 => (place(), index(), 0_usize..20).prop_map(|(place, at, name)| Change::Rename { place, at, name }),
        1 => select(vec!["10.0.0.7", "10.0.0.9"]).prop_map(Change::Address),
    ]
}

/// Does it, if it can be done.
fn make(root: &mut Arc<Element>, change: &Change) {
    let named = |root: &Element, place: usize, at: &Index| -> Option<String> {
        let rules = edit::get(root, PLACES[place]).ok()?.first()?.to_element();
        let names: Vec<_> = rules.entries().map(|(name, _)| name.to_owned()).collect();
        (!names.is_empty()).then(|| at.get(&names).clone())
    };
    let xpath = |place: usize, name: &str| format!("{}/entry[@name='{name}']", PLACES[place]);
    match change {
        Change::Rule { place, name, rule } => {
            let name = format!("r{name}");
            let element = format!("<entry name='{name}'>{rule}</entry>");
            drop(edit::edit(root, &xpath(*place, &name), &element));
        }
        Change::Delete { place, at } => {
            if let Some(name) = named(root, *place, at) {
                drop(edit::delete(root, &xpath(*place, &name)));
            }
        }
        Change::Move { place, at, to } => {
            let Some(name) = named(root, *place, at) else { return };
            let to = to.and_then(|to| named(root, *place, &to)).filter(|to| *to != name);
            let to = match &to {
                Some(to) => Destination::parse("before", Some(to)),
                None => Destination::parse("bottom", None),
            };
            drop(edit::move_entry(root, &xpath(*place, &name), &to.unwrap()));
        }
        Change::Rename { place, at, name } => {
            if let Some(old) = named(root, *place, at) {
                drop(edit::rename(root, &xpath(*place, &old), &format!("r{name}")));
            }
        }
        Change::Address(value) => {
            drop(edit::edit(
                root,
                "/config/shared/address/entry[@name='db']/ip-netmask",
                &format!("<ip-netmask>{value}</ip-netmask>"),
            ));
        }
    }
}

fn sorted(mut diagnostics: Vec<Diagnostic>) -> Vec<String> {
    // Once each: so do the lines of a job.
    diagnostics.sort();
    let mut lines: Vec<String> = diagnostics.iter().map(Diagnostic::to_string).collect();
    lines.dedup();
    lines
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn answers_are_those_of_a_check_from_nothing(changes in prop::collection::vec(prop::collection::vec(change(), 1..4), 1..12)) {
        let checker = Checker::default();
        let running = xml::parse(CONFIGURATION).unwrap();
        let mut candidate = Arc::new(running.clone());
        for changes in changes {
            for change in &changes {
                make(&mut candidate, change);
            }
            let found = sorted(checker.diagnose(&running, &candidate));
            prop_assert_eq!(found, sorted(Checker::default().diagnose(&running, &candidate)));
        }
    }
}

#[test]
fn a_changed_rule_is_followed_and_a_changed_object_is_not() {
    let running = xml::parse(CONFIGURATION).unwrap();
    let mut candidate = Arc::new(running.clone());
    let rule = |source: &str| {
        format!(
            "<entry name='r1'><from><member>any</member></from><to><member>any</member></to><source><member>{source}</member></source>\
             <destination><member>any</member></destination><service><member>any</member></service>\
             <application><member>any</member></application><action>allow</action></entry>"
        )
    };
    let xpath = format!("{DEVICES}/device-group/entry[@name='child']/pre-rulebase/security/rules/entry[@name='r1']");
    edit::edit(&mut candidate, &xpath, &rule("db")).unwrap();
    let checker = Checker::default();
    assert!(!is_broken(&checker.diagnose(&running, &candidate)));
    let followed = |candidate: &Arc<Element>| lock(&checker.last).take().unwrap().follow(candidate);
    edit::edit(&mut candidate, &xpath, &rule("net")).unwrap();
    let checked = followed(&candidate).expect("one rule changed");
    // Two of the devices are alike, a third has a variable of its own, a fourth is in another group.
    assert_eq!(checked.compiled.len(), 3);
    *lock(&checker.last) = Some(checked);
    make(&mut candidate, &Change::Address("10.0.0.9"));
    assert!(followed(&candidate).is_none(), "an address changed");
}
