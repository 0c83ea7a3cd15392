//! Rules whose meaning comes with time: names, lists, tags, schedules.

use std::fmt::Write as _;

use bartizan_policy::decide::decide;
use bartizan_policy::explain::explain;
use bartizan_policy::facts::Facts;
use expect_test::{Expect, expect};

use crate::rules::{office, rule};
use crate::{compiled_with, flow, line, without_path};

/// The warnings, then what becomes of each flow.
fn check(text: &str, facts: &Facts, flows: &[&str], expected: Expect) {
    let tables = compiled_with(text, facts).unwrap();
    let mut told: String = tables.warnings.iter().map(|warning| format!("{}\n", without_path(warning))).collect();
    for text in flows {
        let decision = decide(&tables, &flow(&tables, text));
        writeln!(told, "{text}: {}", line(&tables, &decision)).unwrap();
    }
    expected.assert_eq(&told);
}

const OBJECTS: &str = "<address><entry name='updates'><fqdn>Updates.Example.com</fqdn></entry></address>\
    <external-list><entry name='bad'><type><ip><url>http://lists.example/bad.txt</url></ip></type></entry></external-list>\
    <address-group><entry name='pods'><dynamic><filter>'app.web' and not 'quarantine'</filter></dynamic></entry></address-group>\
    <schedule><entry name='nights'><schedule-type><recurring><daily><member>22:00-06:00</member></daily></recurring></schedule-type></entry></schedule>";

fn facts() -> Facts {
    Facts { gathered: true, ..Facts::default() }
}

fn named(name: &str, addresses: &[&str]) -> Facts {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Facts { names: [(name.to_owned(), addresses)].into(), ..facts() }
}

const TO_UPDATES: &[&str] =
    &["ethernet1/1 10.1.0.5:40000 -> 198.51.100.7:443 tcp", "ethernet1/1 10.1.0.5:40000 -> 198.51.100.8:443 tcp"];

#[test]
fn a_name_stands_for_the_addresses_it_resolves_to() {
    let text = office(OBJECTS, &rule("updates", "allow", &[("destination", &["updates"])], ""));
    check(
        &text,
        &named("updates.example.com", &["198.51.100.7", "2001:db8::7"]),
        TO_UPDATES,
        expect![[r#"
        ethernet1/1 10.1.0.5:40000 -> 198.51.100.7:443 tcp: allow by `updates` (1), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default)
        ethernet1/1 10.1.0.5:40000 -> 198.51.100.8:443 tcp: deny by `interzone-default` (3), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default)
    "#]],
    );
}

#[test]
fn a_name_that_does_not_resolve_allows_nothing_and_says_so() {
    let rules = rule("updates", "allow", &[("destination", &["updates"])], "")
        + &rule(
            "not-updates",
            "allow",
            &[("destination", &["updates"])],
            "<negate-destination>yes</negate-destination>",
        )
        + &rule("block", "deny", &[("destination", &["updates"])], "");
    check(
        &office(OBJECTS, &rules),
        &named("updates.example.com", &[]),
        TO_UPDATES,
        expect![[r#"
        warning[unresolved-address]: rule `updates`: FQDN object `updates` has no known address yet, so the rule never matches
          --> /vsys/entry[@name='vsys1']/rulebase/security/rules/entry[@name='updates']
        warning[unresolved-address]: rule `not-updates`: FQDN object `updates` has no known address yet, so the rule never matches
          --> /vsys/entry[@name='vsys1']/rulebase/security/rules/entry[@name='not-updates']
        warning[unresolved-address]: rule `block`: FQDN object `updates` has no known address yet, so the rule refuses nothing by it until it has one
          --> /vsys/entry[@name='vsys1']/rulebase/security/rules/entry[@name='block']
        ethernet1/1 10.1.0.5:40000 -> 198.51.100.7:443 tcp: deny by `interzone-default` (5), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default)
        ethernet1/1 10.1.0.5:40000 -> 198.51.100.8:443 tcp: deny by `interzone-default` (5), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default)
    "#]],
    );
}

#[test]
fn a_list_that_was_never_fetched_is_no_address_and_one_that_was_is_its_members() {
    let rules = rule("bad", "drop", &[("destination", &["bad"])], "")
        + &rule("others", "allow", &[("destination", &["bad"])], "<negate-destination>yes</negate-destination>");
    let text = office(OBJECTS, &rules);
    check(
        &text,
        &facts(),
        TO_UPDATES,
        expect![[r#"
        warning[unresolved-address]: rule `bad`: external list `bad` has no known address yet, so the rule refuses nothing by it until it has one
          --> /vsys/entry[@name='vsys1']/rulebase/security/rules/entry[@name='bad']
        warning[unresolved-address]: rule `others`: external list `bad` has no known address yet, so the rule never matches
          --> /vsys/entry[@name='vsys1']/rulebase/security/rules/entry[@name='others']
        ethernet1/1 10.1.0.5:40000 -> 198.51.100.7:443 tcp: deny by `interzone-default` (4), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default)
        ethernet1/1 10.1.0.5:40000 -> 198.51.100.8:443 tcp: deny by `interzone-default` (4), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default)
    "#]],
    );
    let lists = [("bad".to_owned(), vec!["198.51.100.8/32".parse().unwrap()])].into();
    check(
        &text,
        &Facts { lists, ..facts() },
        TO_UPDATES,
        expect![[r#"
        ethernet1/1 10.1.0.5:40000 -> 198.51.100.7:443 tcp: allow by `others` (2), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default)
        ethernet1/1 10.1.0.5:40000 -> 198.51.100.8:443 tcp: drop by `bad` (1), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default)
    "#]],
    );
}

#[test]
fn a_dynamic_group_has_the_addresses_whose_tags_fit() {
    let text = office(OBJECTS, &rule("pods", "allow", &[("source", &["pods"])], ""));
    let tags = |ip: &str, tags: &[&str]| (ip.parse().unwrap(), tags.iter().map(|tag| (*tag).to_owned()).collect());
    let tags = [tags("10.1.0.5", &["app.web"]), tags("10.1.0.6", &["app.web", "quarantine"])].into();
    check(
        &text,
        &Facts { tags, ..facts() },
        &["ethernet1/1 10.1.0.5 -> 1.1.1.1", "ethernet1/1 10.1.0.6 -> 1.1.1.1", "ethernet1/1 10.1.0.7 -> 1.1.1.1"],
        expect![[r#"
            ethernet1/1 10.1.0.5 -> 1.1.1.1: allow by `pods` (1), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default)
            ethernet1/1 10.1.0.6 -> 1.1.1.1: deny by `interzone-default` (3), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default)
            ethernet1/1 10.1.0.7 -> 1.1.1.1: deny by `interzone-default` (3), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default)
        "#]],
    );
}

#[test]
fn a_rule_is_on_while_its_schedule_is() {
    let text = office(OBJECTS, &rule("backup", "allow", &[], "<schedule>nights</schedule>"));
    let flows = &["ethernet1/1 10.1.0.5 -> 1.1.1.1"];
    check(
        &text,
        &facts(),
        flows,
        expect![[r#"
        ethernet1/1 10.1.0.5 -> 1.1.1.1: deny by `interzone-default` (3), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default)
    "#]],
    );
    check(
        &text,
        &Facts { schedules_on: ["nights".to_owned()].into(), ..facts() },
        flows,
        expect![[r#"
        ethernet1/1 10.1.0.5 -> 1.1.1.1: allow by `backup` (1), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default)
    "#]],
    );
    let tables = compiled_with(&text, &facts()).unwrap();
    let steps = explain(&tables, &flow(&tables, flows[0])).steps;
    assert!(steps.iter().any(|step| step.text == "rule `backup` does not match: its schedule `nights` is off"));
}
