//! Is a configuration read as it was meant, and are all of its mistakes reported at once?

use std::fmt::Write;

use expect_test::{Expect, expect};

use super::{Action, InterfaceKind, NextHop, Report, Scope, SourceTranslation, read};
use crate::xml::parse;

const AZURE: &str = include_str!("../../tests/fixtures/azure-firewall.xml");

fn azure() -> Report {
    read(&parse(AZURE).unwrap(), Scope::Device)
}

/// The reference configuration with one text replaced by another.
fn azure_with(replacements: &[(&str, &str)]) -> Report {
    let mut text = AZURE.to_owned();
    for (old, new) in replacements {
        assert!(text.contains(old), "the fixture has no {old}");
        text = text.replacen(old, new, 1);
    }
    read(&parse(&text).unwrap(), Scope::Device)
}

fn check(report: &Report, expected: Expect) {
    let mut text = String::new();
    for diagnostic in &report.diagnostics {
        let short = diagnostic.to_string().replace("/config/devices/entry[@name='localhost.localdomain']", "..");
        writeln!(text, "{short}").unwrap();
    }
    expected.assert_eq(&text);
}

#[test]
fn the_azure_reference_configuration_is_clean() {
    let report = azure();
    check(&report, expect![[""]]);
    let config = report.config.unwrap();
    let interfaces: Vec<_> = config.interfaces.iter().map(|i| (i.name.as_str(), i.kind, i.addresses.len())).collect();
    assert_eq!(interfaces.len(), 4);
    assert_eq!(interfaces[0], ("ethernet1/1", InterfaceKind::Ethernet, 1));
    assert_eq!(interfaces[3], ("loopback.2", InterfaceKind::Loopback, 1));
    let router = config.router("vr-private").unwrap();
    assert_eq!(router.routes.len(), 5);
    assert_eq!(router.routes[0].next_hop, NextHop::Router("vr-public".to_owned()));
    assert_eq!(config.zone_of("loopback.2").unwrap().name, "untrust");
    let names: Vec<_> = config.nat_rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["no-nat-azure-probe", "inbound-web", "outbound-internet"]);
    assert_eq!(config.nat_rules[0].source_translation, None);
    assert_eq!(
        config.nat_rules[1].source_translation,
        Some(SourceTranslation::InterfaceAddress {
            interface: "ethernet1/1".to_owned(),
            address: Some("10.0.1.4/24".parse().unwrap()),
        })
    );
    assert_eq!(config.security_rules.len(), 3);
    assert!(config.security_rules[1].log_start && config.security_rules[1].log_end);
    assert_eq!(config.intrazone_default.action, Action::Allow);
    assert_eq!((config.interzone_default.action, config.interzone_default.log_end), (Action::Deny, true));
    assert_eq!(config.names().service_values("service-http").unwrap()[0].ports, [(80, 80), (8080, 8080)]);
}

#[test]
fn five_mistakes_are_five_diagnostics() {
    let report = azure_with(&[
        ("<entry name=\"10.0.2.4/24\"/>", "<entry name=\"10.0.2.400/24\"/>"),
        ("<next-lr>vr-public</next-lr>", "<next-lr>vr-publik</next-lr>"),
        ("<to><member>any</member></to>", "<to><member>untrusted</member></to>"),
        ("<application><member>any</member></application>", ""),
        ("<member>pod-cidr</member>", "<member>pod-cird</member>"),
    ]);
    check(
        &report,
        expect![[r#"
        error[invalid-address]: `10.0.2.400/24` is not an address or prefix
          --> ../network/interface/ethernet/entry[@name='ethernet1/2']/layer3/ip/entry[@name='10.0.2.400/24']
          help: write e.g. `10.0.1.4/24`
        error[unknown-router]: no router `vr-publik` is configured
          --> ../network/logical-router/entry[@name='vr-private']/vrf/entry[@name='default']/routing-table/ip/static-route/entry[@name='default']/nexthop/next-lr
          help: did you mean `vr-public`?
        error[unknown-address]: `pod-cird` is no address, address group or literal that is visible here
          --> ../vsys/entry[@name='vsys1']/address-group/entry[@name='applications']/static/member[text()='pod-cird']
          help: did you mean `pod-cidr`?
        error[unknown-zone]: no zone `untrusted` is configured
          --> ../vsys/entry[@name='vsys1']/rulebase/nat/rules/entry[@name='no-nat-azure-probe']/to/member[text()='untrusted']
          help: did you mean `untrust`?
        error[missing-member]: rule `health-checks` has no `application`
          --> ../vsys/entry[@name='vsys1']/rulebase/security/rules/entry[@name='health-checks']
          help: write `<application><member>any</member></application>` to match every one
    "#]],
    );
    assert!(report.config.is_none());
}
