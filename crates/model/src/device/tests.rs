//! Is a configuration read as it was meant, and are all of its mistakes reported at once?

use std::fmt::Write;

use expect_test::{Expect, expect};

use super::{Action, InterfaceKind, NextHop, PortPool, Report, Scope, Severity, SourceTranslation, read};
use crate::edit;
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
        Some(SourceTranslation::DynamicIpAndPort {
            pool: PortPool::Interface {
                interface: "ethernet1/1".to_owned(),
                address: Some("10.0.1.4/24".parse().unwrap()),
            },
            persistent: false,
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

/// The codes that a fragment gives, set at a path of the reference configuration.
fn codes(edits: &[(&str, &str)]) -> String {
    let mut root = std::sync::Arc::new(parse(AZURE).unwrap());
    for (xpath, element) in edits {
        let xpath = format!("/config/{xpath}")
            .replace("NET", "devices/entry/network")
            .replace("VSYS", "devices/entry/vsys/entry");
        let outcome = if element.is_empty() {
            edit::delete(&mut root, &xpath)
        } else if let Some(element) = element.strip_prefix('=') {
            edit::edit(&mut root, &xpath, element)
        } else {
            edit::set(&mut root, &xpath, element)
        };
        assert!(outcome.unwrap().changed, "{xpath} {element}");
    }
    // Written and read again, so that what a test says about text also has its places.
    let report = read(&parse(&crate::xml::write(&root)).unwrap(), Scope::Device);
    let refused = report.diagnostics.iter().any(|one| one.severity == Severity::Error);
    assert_eq!(report.config.is_none(), refused);
    for diagnostic in &report.diagnostics {
        assert!(diagnostic.origin.xpath.starts_with("/config/"), "{diagnostic}");
    }
    report.diagnostics.iter().map(|one| one.code).collect::<Vec<_>>().join(" ")
}

const RULE: &str = "VSYS/rulebase/security/rules/entry[@name='outbound']";
const NAT: &str = "VSYS/rulebase/nat/rules/entry[@name='inbound-web']";
const ETH1: &str = "NET/interface/ethernet/entry[@name='ethernet1/1']";
const ZP: &str = "NET/profiles/zone-protection-profile/entry[@name='strict']";
const LR: &str = "NET/logical-router/entry[@name='vr-private']/vrf/entry";
const ROUTE: &str =
    "NET/logical-router/entry[@name='vr-private']/vrf/entry/routing-table/ip/static-route/entry[@name='app-vnet']";

#[test]
fn each_mistake_has_its_code() {
    let at = |parent: &str, rest: &str| format!("{parent}/{rest}");
    let mut surprises = Vec::new();
    for (xpath, element, expected) in [
        // Interfaces and profiles.
        (at(ETH1, "layer3/ip"), "<entry name='10.0.1.0/24'/>", "invalid-address"),
        (at(ETH1, "layer3/ip"), "<entry name='10.0.1.255/24'/>", "invalid-address"),
        (at(ETH1, "layer3/ip"), "<entry name='224.0.0.1/24'/>", "invalid-address"),
        (at(ETH1, "layer3/ip"), "<entry name='2001:db8::1/64'/>", "invalid-address"),
        (at(ETH1, "layer3/ip"), "<entry name='no-such-object'/>", "invalid-address"),
        (at(ETH1, "layer3/ip"), "<entry name='web-server'/>", ""),
        (at(ETH1, "layer3/ip"), "<entry name='$ip'/>", "unresolved-variable"),
        (at(ETH1, "layer3/ip"), "<entry name='10.0.1.100/24'/>", "duplicate-address"),
        (at(ETH1, "layer3/mtu"), "9217", "invalid-number"),
        (at(ETH1, "layer3/mtu"), "+9000", "invalid-number"),
        (at(ETH1, "layer3/interface-management-profile"), "allow-health-check", "unknown-profile"),
        (at(ETH1, "layer3/ipv6"), "<enabled>yes</enabled><address><entry name='2001:db8::4/64'/></address>", ""),
        (at(ETH1, "layer3/ipv6"), "<address><entry name='2001:db8::4/64'/></address>", "not-enforced"),
        (at(ETH1, "layer3/ipv6"), "<enabled>maybe</enabled>", "invalid-enum"),
        (at(ETH1, "layer3/adjust-tcp-mss"), "<enable>yes</enable>", ""),
        (at(ETH1, "layer3/adjust-tcp-mss"), "<ipv4-mss-adjustment>39</ipv4-mss-adjustment>", "invalid-number"),
        (
            at(ETH1, "layer3/units"),
            "<entry name='ethernet1/1.7'><tag>7</tag></entry>",
            "interface-without-zone interface-without-router",
        ),
        (at(ETH1, "layer3/units"), "<entry name='ethernet1/2.7'><tag>7</tag></entry>", "invalid-name"),
        (at(ETH1, "layer3/units"), "<entry name='ethernet1/1.0'><tag>7</tag></entry>", "invalid-name"),
        ("NET/interface/ethernet".to_owned(), "<entry name='eth1/1'><layer3/></entry>", "duplicate-name"),
        ("NET/interface/ethernet".to_owned(), "<entry name='port7'/>", "invalid-name"),
        (
            "NET/interface/ethernet".to_owned(),
            "<entry name='ethernet1/3'><layer3/></entry>",
            "interface-without-zone interface-without-router",
        ),
        ("NET/interface/loopback/units".to_owned(), "<entry name='loopback'/>", "invalid-name"),
        (
            "NET/interface/loopback/units/entry[@name='loopback.1']/ip".to_owned(),
            "<entry name='10.9.0.1/24'/>",
            "loopback-prefix",
        ),
        (
            "NET/profiles/interface-management-profile/entry/permitted-ip".to_owned(),
            "<entry name='10.0.0.0/33'/>",
            "invalid-address",
        ),
        ("NET/profiles/interface-management-profile/entry/ping".to_owned(), "ja", "invalid-enum"),
        // Zones.
        ("VSYS/zone/entry[@name='untrust']/network/layer3".to_owned(), "<member>ethernet1/1</member>", "two-zones"),
        ("VSYS/zone/entry[@name='untrust']/network/layer3".to_owned(), "<member>eth1/7</member>", "unknown-interface"),
        ("VSYS/zone/entry[@name='tap']/network/tap".to_owned(), "<member>ethernet1/1</member>", "zone-type"),
        ("VSYS/import/network/interface/member[text()='loopback.1']".to_owned(), "", "not-imported"),
        ("VSYS/zone/entry[@name='untrust']/network/zone-protection-profile".to_owned(), "strct", "unknown-profile"),
        // Zone protection profiles.
        (at(ZP, "discard-ip-spoof"), "true", "invalid-enum"),
        (at(ZP, "flood/udp/red/maximal-rate"), "2000001", "invalid-number"),
        (at(ZP, "scan/entry[@name='8001']/interval"), "1", "invalid-number"),
        (at(ZP, "scan/entry[@name='8006']"), "<action><alert/></action>", "not-enforced"),
        (at(ZP, "scan/entry[@name='8001']/action/block-ip/duration"), "3601", "invalid-number"),
        (at(ZP, "scan/entry[@name='8001']/action/block-ip/track-by"), "target", "invalid-enum"),
        (at(ZP, "tcp-reject-non-syn"), "no", "not-enforced"),
        (at(ZP, "tcp-reject-non-syn"), "global", ""),
        (at(ZP, "asymmetric-path"), "bypass", "not-enforced"),
        (at(ZP, "asymmetric-path"), "drop", ""),
        (at(ZP, "remove-tcp-timestamp"), "yes", "not-enforced"),
        (at(ZP, "discard-overlapping-tcp-segment-mismatch"), "yes", "not-enforced"),
        (at(ZP, "non-ip-protocol/list-type"), "exclude", "not-enforced"),
        (at(ZP, "ipv6/routing-header-0"), "yes", ""),
        // Routers.
        (at(LR, "interface"), "<member>ethernet1/2</member>", "two-routers"),
        (at(LR, "interface"), "<member>ethernet9/9</member>", "unknown-interface"),
        (at(ROUTE, "destination"), "10.1.0.0/33", "invalid-address"),
        (at(ROUTE, "destination"), "2001:db8::/32", "invalid-address"),
        (at(ROUTE, "destination"), "10.1.2.3/16", "host-bits"),
        (at(ROUTE, "destination"), "$app", "unresolved-variable"),
        (at(ROUTE, "destination"), "", "missing-member"),
        (at(ROUTE, "metric"), "0", "invalid-number"),
        (at(ROUTE, "admin-dist"), "9", "invalid-number"),
        (at(ROUTE, "interface"), "ethernet1/2", "route-interface-foreign next-hop-unreachable"),
        (at(ROUTE, "interface"), "ethernet1/x", "unknown-interface"),
        (at(ROUTE, "nexthop/next-lr"), "vr-private", "router-self"),
        (at(ROUTE, "nexthop/next-lr"), "vr-pubic", "unknown-router"),
        (at(ROUTE, "nexthop/ip-address"), "10.0.1.0/24", "invalid-address"),
        (at(ROUTE, "nexthop/ip-address"), "10.7.0.1", "next-hop-unreachable"),
        (at(ROUTE, "nexthop/ip-address"), "2001:db8::1", "next-hop-family"),
        (at(ROUTE, "nexthop/fqdn"), "gw.example", "not-enforced"),
        (at(ROUTE, "nexthop"), "", ""),
        ("NET/virtual-router/entry[@name='vr-private']".to_owned(), "<interface/>", "duplicate-name"),
        // Objects.
        ("VSYS/address/entry[@name='x']".to_owned(), "<ip-range>10.0.0.9-10.0.0.1</ip-range>", "invalid-address"),
        ("VSYS/address/entry[@name='x']".to_owned(), "<ip-netmask>web</ip-netmask>", "invalid-address"),
        ("VSYS/address/entry[@name='x']".to_owned(), "<fqdn>a b</fqdn>", "invalid-address"),
        ("VSYS/address/entry[@name='x']".to_owned(), "<description>d</description>", "missing-member"),
        ("VSYS/address/entry[@name='applications']".to_owned(), "<ip-netmask>10.0.0.1</ip-netmask>", "duplicate-name"),
        ("VSYS/address/entry[@name='any']".to_owned(), "<ip-netmask>10.0.0.1</ip-netmask>", "invalid-name"),
        (
            "VSYS/address/entry[@name='x']".to_owned(),
            "<ip-netmask>10.0.0.1</ip-netmask><tag><member>t</member></tag>",
            "unknown-tag",
        ),
        (
            "VSYS/address-group/entry[@name='applications']/static".to_owned(),
            "<member>applications</member>",
            "group-cycle",
        ),
        (
            "VSYS/address-group/entry[@name='g']".to_owned(),
            "<dynamic><filter>'a' und 'b'</filter></dynamic>",
            "invalid-filter",
        ),
        ("VSYS/address-group/entry[@name='g']".to_owned(), "<description>d</description>", "missing-member"),
        ("VSYS/address-group/entry[@name='g']/static".to_owned(), "<member>app-vnett</member>", "unknown-address"),
        ("VSYS/service/entry[@name='s']/protocol/tcp/port".to_owned(), "80-70", "invalid-port"),
        ("VSYS/service/entry[@name='s']/protocol/tcp/port".to_owned(), "65536", "invalid-port"),
        ("VSYS/service/entry[@name='s']/protocol".to_owned(), "<tcp/>", "missing-member"),
        ("VSYS/service/entry[@name='s']".to_owned(), "<description>d</description>", "missing-member"),
        ("VSYS/service-group/entry[@name='s']/members".to_owned(), "<member>service-htp</member>", "unknown-service"),
        ("VSYS/service-group/entry[@name='s']".to_owned(), "<members/>", "missing-member"),
        // Security rules.
        (at(RULE, "from"), "<member>any</member>", "any-not-alone"),
        (at(RULE, "source"), "<member>10.0.0.0/240</member>", "invalid-address"),
        (at(RULE, "source"), "<member>10.2.0.0/16</member><member>10.3.0.1-10.3.0.9</member>", ""),
        (at(RULE, "negate-destination"), "yes", "negated-any"),
        (at(RULE, "negate-source"), "yes", ""),
        (at(RULE, "service"), "<member>application-default</member>", "any-not-alone"),
        (at(RULE, "service"), "=<service><member>application-default</member></service>", ""),
        (at(RULE, "service"), "=<service><member>http</member></service>", "unknown-service"),
        (at(RULE, "rule-type"), "transzone", "invalid-enum"),
        (at(RULE, "application"), "=<application><member>ssl</member></application>", "not-enforced"),
        (at(RULE, "source-user"), "<member>any</member>", ""),
        (at(RULE, "source-user"), "<member>alice</member>", "not-enforced"),
        (at(RULE, "schedule"), "weekend", "unknown-schedule"),
        (at(RULE, "schedule"), "none", ""),
        (at(RULE, "profile-setting/group"), "<member>strict</member>", "not-enforced"),
        (at(RULE, "description"), "$5 for this", ""),
        (at(RULE, "destinaton"), "<member>x</member>", "not-enforced"),
        (at(RULE, "to"), "", "missing-member"),
        (
            "panorama/vsys/entry[@name='vsys1']/pre-rulebase/security/rules/entry[@name='outbound']".to_owned(),
            "<from><member>any</member></from><to><member>any</member></to><source><member>any</member></source><destination><member>any</member></destination><application><member>any</member></application><service><member>any</member></service>",
            "duplicate-name",
        ),
        (
            "VSYS/rulebase/default-security-rules/rules/entry[@name='intrazone']".to_owned(),
            "<action>deny</action>",
            "unknown-rule",
        ),
        // NAT rules.
        (at(NAT, "destination"), "=<destination><member>any</member></destination>", "nat-size-mismatch"),
        (at(NAT, "destination-translation/translated-address"), "10.1.0.0/24", "nat-size-mismatch"),
        (at(NAT, "destination-translation/translated-port"), "8080", ""),
        (at(NAT, "destination-translation/translated-port"), "0", "invalid-number"),
        (at(NAT, "service"), "web", "unknown-service"),
        (at(NAT, "to-interface"), "ethernet1/2", ""),
        (at(NAT, "to-interface"), "ethernet1/8", "unknown-interface"),
        (at(NAT, "nat-type"), "nat64", "not-enforced"),
        (at(NAT, "source-translation/dynamic-ip-and-port/interface-address/ip"), "10.0.1.5/24", "nat-without-address"),
        (
            at(NAT, "source-translation/dynamic-ip-and-port/translated-address"),
            "<member>nowhere</member>",
            "unknown-address",
        ),
        (
            at(NAT, "source-translation/dynamic-ip-and-port/translated-address"),
            "<member>192.0.2.1-192.0.2.9</member>",
            "",
        ),
        (at(NAT, "source-translation/dynamic-ip/translated-address"), "<member>192.0.2.1</member>", ""),
        (at(NAT, "source-translation/dynamic-ip/fallback"), "<translated-address/>", "missing-member"),
        (
            at(NAT, "source-translation/persistent-dynamic-ip-and-port/translated-address"),
            "<member>192.0.2.1</member>",
            "",
        ),
        ("devices/entry/deviceconfig/setting/nat/dipp-oversub".to_owned(), "4x", ""),
        ("devices/entry/deviceconfig/setting/nat/dipp-oversub".to_owned(), "3x", "invalid-enum"),
        (at(NAT, "source-translation/static-ip/translated-address"), "192.0.2.1", "nat-size-mismatch"),
        (at(NAT, "source-translation"), "=<source-translation/>", "missing-member"),
        // Whole parts.
        ("NET/ike".to_owned(), "<gateway/>", "not-enforced"),
        ("VSYS/rulebase/decryption/rules".to_owned(), "<entry name='d'/>", "not-enforced"),
        ("devices/entry/vsys/entry[@name='vsys2']/zone".to_owned(), "<entry name='z'/>", "not-enforced"),
        ("devices/entry[@name='second']".to_owned(), "<network/>", "not-enforced"),
    ] {
        let (path, vsys1) = (xpath.as_str(), xpath.replace("VSYS", "devices/entry/vsys/entry[@name='vsys1']"));
        let found = codes(&[(&vsys1, element)]);
        if found != expected {
            surprises.push(format!("{path} {element}: `{found}` instead of `{expected}`"));
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}

#[test]
fn mistakes_in_several_places_have_their_codes() {
    let eth3 = "NET/interface/ethernet/entry[@name='ethernet1/3']";
    let in_use = [
        (eth3, "<layer3/>"),
        ("VSYS/import/network/interface", "<member>ethernet1/3</member>"),
        ("VSYS/zone/entry[@name='trust']/network/layer3", "<member>eth1/3</member>"),
        ("NET/logical-router/entry[@name='vr-private']/vrf/entry/interface", "<member>ethernet1/3</member>"),
    ];
    let with = |more: &[(&str, &str)]| codes(&[&in_use, more].concat());
    assert_eq!(with(&[]), "");
    assert_eq!(with(&[(&format!("{eth3}/layer3"), "<dhcp-client/>")]), "");
    let hostname = "<send-hostname><hostname>not a name</hostname></send-hostname>";
    assert_eq!(with(&[(&format!("{eth3}/layer3/dhcp-client"), hostname)]), "invalid-name");
    let units = "<entry name='eth1/3.1'><tag>7</tag></entry><entry name='ethernet1/3.2'><tag>7</tag></entry>";
    let found = with(&[(&format!("{eth3}/layer3/units"), units)]);
    assert!(found.contains("duplicate-tag"), "{found}");
    let found = with(&[(&format!("{eth3}/layer3/units"), "<entry name='ethernet1/3.1'><tag>4095</tag></entry>")]);
    assert!(found.contains("invalid-number"), "{found}");
    let found = with(&[(&format!("{eth3}/layer3/units"), "<entry name='ethernet1/3.1'/>")]);
    assert!(found.contains("missing-member"), "{found}");
    assert_eq!(
        with(&[
            ("NET/interface/ethernet", "<entry name='ethernet1/4'><layer2/></entry>"),
            ("VSYS/zone/entry[@name='trust']/network/layer3", "<member>ethernet1/4</member>")
        ]),
        "not-enforced zone-type"
    );
    let nat = "VSYS/rulebase/nat/rules/entry[@name='outbound-internet']";
    assert_eq!(
        with(&[(&format!("{nat}/source-translation/dynamic-ip-and-port/interface-address/interface"), "ethernet1/3")]),
        "nat-without-address"
    );
    assert_eq!(
        codes(&[
            (
                &format!("{nat}/destination-translation"),
                "<translated-address>10.0.0.1</translated-address><translated-port>80</translated-port>"
            ),
            (&format!("{nat}/destination"), "=<destination><member>10.0.0.9</member></destination>")
        ]),
        "nat-without-port"
    );
    // Azure's health probe has one address: one router cannot lead back to it on two sides.
    let loopback = "NET/logical-router/entry[@name='vr-public']/vrf/entry/interface/member[text()='loopback.2']";
    assert_eq!(
        codes(&[(loopback, ""), (LR_INTERFACES, "<member>loopback.2</member>")]),
        "one-router-two-load-balancers"
    );
}

const LR_INTERFACES: &str = "NET/logical-router/entry[@name='vr-private']/vrf/entry/interface";

#[test]
fn what_is_not_enforced_says_what_happens_instead() {
    let report = azure_with(&[
        (
            "<application><member>any</member></application>",
            "<application><member>ssl</member><member>web</member></application><log-setting>x</log-setting>",
        ),
        ("<log-start>yes</log-start>", "<log-setting>x</log-setting><source-user><member>alice</member></source-user>"),
        (
            "<action>allow</action>\n                  <log-setting>",
            "<action>deny</action>\n                  <log-setting>",
        ),
        ("<ip-netmask>10.1.0.10</ip-netmask>", "<ip-wildcard>10.1.0.0/0.0.255.0</ip-wildcard>"),
        ("<member>pod-cidr</member>", "<member>US</member>"),
        ("<mtu>1500</mtu>", "<mtu>1500</mtu><ipv6><dhcp-client><v6-options/></dhcp-client></ipv6>"),
    ]);
    check(
        &report,
        expect![[r#"
        warning[not-enforced]: `v6-options` is stored but not enforced: DHCPv6 is not spoken, addresses come by router advertisement
          --> ../network/interface/ethernet/entry[@name='ethernet1/1']/layer3/ipv6/dhcp-client/v6-options
        warning[not-enforced]: `ip-wildcard` is stored but not enforced: it matches no address yet
          --> ../vsys/entry[@name='vsys1']/address/entry[@name='web-server']/ip-wildcard
        warning[not-enforced]: region `US` is stored but not enforced: it matches no address yet
          --> ../vsys/entry[@name='vsys1']/address-group/entry[@name='applications']/static/member[text()='US']
        warning[not-enforced]: application `ssl`, `web` of rule `health-checks` is not evaluated yet: the rule allows nothing
          --> ../vsys/entry[@name='vsys1']/rulebase/security/rules/entry[@name='health-checks']/application
          help: use `any` for `application` if the rule is to be enforced by its other criteria
        warning[not-enforced]: `log-setting` is stored but not enforced (here and in 1 more place)
          --> ../vsys/entry[@name='vsys1']/rulebase/security/rules/entry[@name='health-checks']/log-setting
        warning[not-enforced]: source-user `alice` of rule `inbound-web` is not evaluated yet: the rule matches as if it named none
          --> ../vsys/entry[@name='vsys1']/rulebase/security/rules/entry[@name='inbound-web']/source-user
          help: use `any` for `source-user` if the rule is to be enforced by its other criteria
    "#]],
    );
    let config = report.config.unwrap();
    assert_eq!(config.security_rules[0].unevaluated, ["application ssl, web"]);
    assert_eq!(config.names().address_values("US"), Some(Vec::new()), "a region matches nothing, not everything");
}

#[test]
fn an_address_that_is_not_known_is_never_let_through_by_exclusion() {
    let report = azure_with(&[
        ("<ip-netmask>10.1.0.0/16</ip-netmask>", "<ip-wildcard>10.1.0.0/0.0.255.0</ip-wildcard>"),
        (
            "<source><member>applications</member></source>\n                  <destination><member>any</member></destination>\n                  <application>",
            "<source><member>applications</member></source><negate-source>yes</negate-source>\n                  <destination><member>any</member></destination>\n                  <application>",
        ),
    ]);
    let config = report.config.unwrap();
    assert_eq!(config.security_rules[2].unevaluated, ["negated source applications"]);
}

#[test]
fn cycles_are_reported_once_and_depth_is_bounded() {
    let group =
        |name: &str, member: &str| format!("<entry name='{name}'><static><member>{member}</member></static></entry>");
    let read_groups = |groups: &str| {
        let text = format!("<config><shared><address-group>{groups}</address-group></shared></config>");
        let report = read(&parse(&text).unwrap(), Scope::Device);
        report.diagnostics.iter().map(|one| one.message.clone()).collect::<Vec<_>>()
    };
    let ring =
        [group("a", "b"), group("b", "c"), group("c", "a"), group("outside", "b"), group("self", "self")].concat();
    assert_eq!(
        read_groups(&ring),
        [
            "address group `a` contains itself: `a` > `b` > `c` > `a`",
            "address group `self` contains itself: `self` > `self`"
        ]
    );
    let chain = |length: usize| {
        let groups: String = (1..length).map(|index| group(&format!("g{index}"), &format!("g{}", index + 1))).collect();
        groups + &group(&format!("g{length}"), "10.0.0.1")
    };
    assert!(read_groups(&chain(super::GROUP_DEPTH_MAX)).is_empty());
    assert_eq!(
        read_groups(&chain(super::GROUP_DEPTH_MAX + 1)),
        ["address group `g1` is nested 65 deep, at most 64 are followed"]
    );
    // Long chains are no danger to the stack.
    assert_eq!(read_groups(&chain(20_000)).len(), 1);
}

#[test]
fn the_nearest_object_of_a_name_is_meant() {
    let report = read(
        &parse(
            "<config><devices><entry name='fw'><vsys><entry name='vsys1'><address><entry name='a'><ip-netmask>10.0.0.1</ip-netmask></entry></address></entry></vsys></entry></devices>\
             <shared><address-group><entry name='a'><static><member>10.0.0.2</member></static></entry></address-group>\
             <tag><entry name='t'/></tag><address><entry name='b'><ip-netmask>10.0.0.3</ip-netmask><tag><member>t</member></tag></entry></address></shared>\
             <panorama><vsys><entry name='vsys1'><address><entry name='b'><ip-netmask>10.0.0.4</ip-netmask></entry></address>\
             <address-group><entry name='d'><dynamic><filter>t</filter></dynamic></entry></address-group></entry></vsys></panorama></config>",
        )
        .unwrap(),
        Scope::Device,
    );
    let config = report.config.unwrap();
    let values = |name: &str| format!("{:?}", config.names().address_values(name).unwrap());
    assert_eq!(values("a"), "[Prefix(10.0.0.1/32)]");
    assert_eq!(values("b"), "[Prefix(10.0.0.3/32)]");
    assert_eq!(values("d"), "[Prefix(10.0.0.3/32)]");
    assert_eq!(values("10.0.0.0/8"), "[Prefix(10.0.0.0/8)]");
    assert!(config.names().address_values("nothing").is_none());
}
