//! Security rules.

use bartizan_model::device::GROUP_DEPTH_MAX;
use bartizan_policy::explain::explain;
use expect_test::expect;

use crate::{check, check_diagnostics, check_explained, device, interface, members, router, via, zone};

/// Inside 10.1.0.0/16, a DMZ, and the world.
pub(crate) fn office(objects: &str, rules: &str) -> String {
    let interfaces = [
        interface("ethernet1/1", &["10.1.0.1/16"]),
        interface("ethernet1/2", &["203.0.113.2/24"]),
        interface("ethernet1/3", &["10.9.0.1/24"]),
    ];
    let world = router(
        "default",
        &["ethernet1/1", "ethernet1/2", "ethernet1/3"],
        &[("default", "0.0.0.0/0", &via("203.0.113.1"))],
    );
    let zones = zone("trust", &["ethernet1/1"]) + &zone("untrust", &["ethernet1/2"]) + &zone("dmz", &["ethernet1/3"]);
    device(
        &format!(
            "<interface><ethernet>{}</ethernet></interface><virtual-router>{world}</virtual-router>",
            interfaces.concat()
        ),
        &format!("<zone>{zones}</zone>{objects}<rulebase><security><rules>{rules}</rules></security></rulebase>"),
    )
}

/// A rule; what is not given is any.
pub(crate) fn rule(name: &str, action: &str, fields: &[(&str, &[&str])], more: &str) -> String {
    let mut xml = format!("<entry name='{name}'><action>{action}</action>{more}");
    for field in ["from", "to", "source", "destination", "service", "application"] {
        let given = fields.iter().find(|(name, _)| *name == field).map_or(&["any"][..], |(_, names)| names);
        xml += &format!("<{field}>{}</{field}>", members(given));
    }
    xml + "</entry>"
}

const WEB: &str = "ethernet1/1 10.1.0.5:40000 -> 1.1.1.1:443 tcp";

#[test]
fn the_first_match_wins_over_a_more_specific_one() {
    let rules = rule("block-all-web", "deny", &[("from", &["trust"]), ("service", &["service-https"])], "")
        + &rule("allow-one-host", "allow", &[("source", &["10.1.0.5"]), ("service", &["service-https"])], "");
    check(
        &office("", &rules),
        &[WEB],
        expect![[r#"
        ethernet1/1 10.1.0.5:40000 -> 1.1.1.1:443 tcp: deny by `block-all-web` (1), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default)
    "#]],
    );
}

#[test]
fn without_a_match_flows_inside_a_zone_pass_and_flows_between_zones_do_not() {
    check(
        &office("", ""),
        &["ethernet1/1 10.1.0.5 -> 10.1.0.6", "ethernet1/1 10.1.0.5 -> 10.9.0.6", "ethernet1/1 10.1.0.5 -> 10.1.0.1"],
        expect![[r#"
            ethernet1/1 10.1.0.5 -> 10.1.0.6: allow by `intrazone-default` (1), trust -> trust, out ethernet1/1 to 10.1.0.6 (default)
            ethernet1/1 10.1.0.5 -> 10.9.0.6: deny by `interzone-default` (2), trust -> dmz, out ethernet1/3 to 10.9.0.6 (default)
            ethernet1/1 10.1.0.5 -> 10.1.0.1: allow by `intrazone-default` (1), trust -> trust, to the firewall on ethernet1/1
        "#]],
    );
}

#[test]
fn negated_lists_match_everything_else_of_both_families() {
    let rules =
        rule(
            "not-internal",
            "allow",
            &[("destination", &["10.0.0.0/8"])],
            "<negate-destination>yes</negate-destination>",
        ) + &rule("not-these", "deny", &[("source", &["10.1.0.5", "10.1.0.7"])], "<negate-source>yes</negate-source>");
    check(
        &office("", &rules),
        &[
            WEB,
            "ethernet1/1 10.1.0.5 -> 10.9.0.5",
            "ethernet1/1 10.1.0.6 -> 10.9.0.5",
            "ethernet1/1 10.1.0.7 -> 10.9.0.5",
        ],
        expect![[r#"
            ethernet1/1 10.1.0.5:40000 -> 1.1.1.1:443 tcp: allow by `not-internal` (1), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default)
            ethernet1/1 10.1.0.5 -> 10.9.0.5: deny by `interzone-default` (4), trust -> dmz, out ethernet1/3 to 10.9.0.5 (default)
            ethernet1/1 10.1.0.6 -> 10.9.0.5: deny by `not-these` (2), trust -> dmz, out ethernet1/3 to 10.9.0.5 (default)
            ethernet1/1 10.1.0.7 -> 10.9.0.5: deny by `interzone-default` (4), trust -> dmz, out ethernet1/3 to 10.9.0.5 (default)
        "#]],
    );
}

#[test]
fn groups_nest_and_dynamic_groups_follow_tags() {
    let objects = "<address>\
         <entry name='web-1'><ip-netmask>10.9.0.5</ip-netmask><tag><member>web</member></tag></entry>\
         <entry name='web-2'><ip-range>10.9.0.20-10.9.0.29</ip-range><tag><member>web</member><member>old</member></tag></entry>\
         <entry name='db'><ip-netmask>10.9.0.64/26</ip-netmask></entry></address>\
         <address-group><entry name='servers'><static><member>databases</member><member>web-1</member></static></entry>\
         <entry name='databases'><static><member>db</member></static></entry>\
         <entry name='current-web'><dynamic><filter>'web' and not 'old'</filter></dynamic></entry></address-group>\
         <tag><entry name='web'/><entry name='old'/></tag>";
    let rules = rule("web", "allow", &[("destination", &["current-web"])], "")
        + &rule("servers", "reset-both", &[("destination", &["servers"])], "");
    check(
        &office(objects, &rules),
        &[
            "ethernet1/1 10.1.0.5 -> 10.9.0.5",
            "ethernet1/1 10.1.0.5 -> 10.9.0.25",
            "ethernet1/1 10.1.0.5 -> 10.9.0.70",
            "ethernet1/1 10.1.0.5 -> 10.9.0.128",
        ],
        expect![[r#"
            ethernet1/1 10.1.0.5 -> 10.9.0.5: allow by `web` (1), trust -> dmz, out ethernet1/3 to 10.9.0.5 (default)
            ethernet1/1 10.1.0.5 -> 10.9.0.25: deny by `interzone-default` (4), trust -> dmz, out ethernet1/3 to 10.9.0.25 (default)
            ethernet1/1 10.1.0.5 -> 10.9.0.70: reset-both by `servers` (2), trust -> dmz, out ethernet1/3 to 10.9.0.70 (default)
            ethernet1/1 10.1.0.5 -> 10.9.0.128: deny by `interzone-default` (4), trust -> dmz, out ethernet1/3 to 10.9.0.128 (default)
        "#]],
    );
}

#[test]
fn intrazone_and_interzone_rules_keep_to_their_kind() {
    let rules = rule("inside", "drop", &[("from", &["trust", "dmz"])], "<rule-type>intrazone</rule-type>")
        + &rule(
            "across",
            "allow",
            &[("from", &["trust"]), ("to", &["trust", "dmz"])],
            "<rule-type>interzone</rule-type>",
        );
    check(
        &office("", &rules),
        &["ethernet1/1 10.1.0.5 -> 10.1.0.6", "ethernet1/1 10.1.0.5 -> 10.9.0.6", "ethernet1/3 10.9.0.6 -> 10.1.0.5"],
        expect![[r#"
            ethernet1/1 10.1.0.5 -> 10.1.0.6: drop by `inside` (1), trust -> trust, out ethernet1/1 to 10.1.0.6 (default)
            ethernet1/1 10.1.0.5 -> 10.9.0.6: allow by `across` (2), trust -> dmz, out ethernet1/3 to 10.9.0.6 (default)
            ethernet1/3 10.9.0.6 -> 10.1.0.5: deny by `interzone-default` (4), dmz -> trust, out ethernet1/1 to 10.1.0.5 (default)
        "#]],
    );
}

#[test]
fn services_say_protocol_and_both_ports_and_never_mean_icmp() {
    let objects = "<service>\
         <entry name='dns'><protocol><udp><port>53</port></udp></protocol></entry>\
         <entry name='legacy'><protocol><tcp><port>1000-1999,3000</port><source-port>512-1023</source-port></tcp></protocol></entry>\
         </service><service-group><entry name='both'><members><member>dns</member><member>legacy</member></members></entry></service-group>";
    let rules = rule("both", "allow", &[("service", &["both"])], "");
    check(
        &office(objects, &rules),
        &[
            "ethernet1/1 10.1.0.5:40000 -> 1.1.1.1:53 udp",
            "ethernet1/1 10.1.0.5:40000 -> 1.1.1.1:53 tcp",
            "ethernet1/1 10.1.0.5:600 -> 1.1.1.1:3000 tcp",
            "ethernet1/1 10.1.0.5:40000 -> 1.1.1.1:3000 tcp",
            "ethernet1/1 10.1.0.5 -> 1.1.1.1",
        ],
        expect![[r#"
            ethernet1/1 10.1.0.5:40000 -> 1.1.1.1:53 udp: allow by `both` (1), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default)
            ethernet1/1 10.1.0.5:40000 -> 1.1.1.1:53 tcp: deny by `interzone-default` (3), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default)
            ethernet1/1 10.1.0.5:600 -> 1.1.1.1:3000 tcp: allow by `both` (1), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default)
            ethernet1/1 10.1.0.5:40000 -> 1.1.1.1:3000 tcp: deny by `interzone-default` (3), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default)
            ethernet1/1 10.1.0.5 -> 1.1.1.1: deny by `interzone-default` (3), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default)
        "#]],
    );
}

#[test]
fn what_cannot_be_evaluated_never_widens_what_is_allowed() {
    let objects = "<address><entry name='site'><fqdn>www.example.com</fqdn></entry></address>";
    let rules = rule("allow-app", "allow", &[("application", &["web-browsing"])], "")
        + &rule("allow-site", "allow", &[("destination", &["site", "10.9.0.9"])], "")
        + &rule(
            "allow-but-site",
            "allow",
            &[("destination", &["site"])],
            "<negate-destination>yes</negate-destination>",
        )
        + &rule("deny-site", "deny", &[("destination", &["site"]), ("service", &["service-http"])], "")
        + &rule("deny-app", "drop", &[("application", &["ssl"]), ("service", &["service-https"])], "")
        + &rule("rest", "allow", &[], "");
    let config = office(objects, &rules);
    check(
        &config,
        &[
            "ethernet1/1 10.1.0.5:4000 -> 10.9.0.9:80 tcp",
            "ethernet1/1 10.1.0.5:4000 -> 10.9.0.8:80 tcp",
            "ethernet1/1 10.1.0.5:4000 -> 10.9.0.8:443 tcp",
            "ethernet1/1 10.1.0.5:4000 -> 10.9.0.8:22 tcp",
        ],
        expect![[r#"
            ethernet1/1 10.1.0.5:4000 -> 10.9.0.9:80 tcp: allow by `allow-site` (2), trust -> dmz, out ethernet1/3 to 10.9.0.9 (default)
            ethernet1/1 10.1.0.5:4000 -> 10.9.0.8:80 tcp: allow by `rest` (6), trust -> dmz, out ethernet1/3 to 10.9.0.8 (default)
            ethernet1/1 10.1.0.5:4000 -> 10.9.0.8:443 tcp: drop by `deny-app` (5), trust -> dmz, out ethernet1/3 to 10.9.0.8 (default)
            ethernet1/1 10.1.0.5:4000 -> 10.9.0.8:22 tcp: allow by `rest` (6), trust -> dmz, out ethernet1/3 to 10.9.0.8 (default)
        "#]],
    );
    check_diagnostics(&config, expect![""]);
}

#[test]
fn a_disabled_rule_takes_no_part() {
    let rules = rule("off", "allow", &[], "<disabled>yes</disabled>");
    check(
        &office("", &rules),
        &[WEB],
        expect![[r#"
        ethernet1/1 10.1.0.5:40000 -> 1.1.1.1:443 tcp: deny by `interzone-default` (3), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default)
    "#]],
    );
}

#[test]
fn explain_names_the_rule_and_why_earlier_ones_did_not_match() {
    let rules = rule("http", "allow", &[("from", &["trust"]), ("service", &["service-http"])], "")
        + &rule("from-dmz", "allow", &[("from", &["dmz"])], "")
        + &rule("off", "allow", &[], "<disabled>yes</disabled>")
        + &rule("web", "allow", &[("from", &["trust"]), ("to", &["untrust"])], "");
    check_explained(
        &office("", &rules),
        WEB,
        expect![[r#"
        ingress: `ethernet1/1` is in zone `trust` and router `default`
        route: router `default`: route `default` (0.0.0.0/0) leads to 203.0.113.1 on `ethernet1/2`
        zone: NAT rules see destination zone `untrust`
        nat: no NAT rule matches, addresses stay as they are
        security: rule `http` does not match: service is tcp 443 from port 40000
        security: rule `from-dmz` does not match: source zone is `trust`
        security: rule `off` does not match: it is disabled
        security: from zone `trust` to zone `untrust`: rule `web` (4 of 6) says allow
        result: forwarded out by `ethernet1/2` to 203.0.113.1
    "#]],
    );
}

#[test]
fn explain_names_the_closest_rule_when_none_matches() {
    let many: String =
        (0..8).map(|at| rule(&format!("dmz-{at}"), "allow", &[("from", &["dmz"]), ("to", &["trust"])], "")).collect();
    let rules =
        many + &rule("web", "allow", &[("from", &["trust"]), ("to", &["untrust"]), ("source", &["10.1.0.6"])], "");
    check_explained(
        &office("", &rules),
        WEB,
        expect![[r#"
            ingress: `ethernet1/1` is in zone `trust` and router `default`
            route: router `default`: route `default` (0.0.0.0/0) leads to 203.0.113.1 on `ethernet1/2`
            zone: NAT rules see destination zone `untrust`
            nat: no NAT rule matches, addresses stay as they are
            security: rule `dmz-0` does not match: source zone is `trust`
            security: rule `dmz-1` does not match: source zone is `trust`
            security: rule `dmz-2` does not match: source zone is `trust`
            security: rule `dmz-3` does not match: source zone is `trust`
            security: rule `dmz-4` does not match: source zone is `trust`
            security: 4 more rules do not match: 3 because source zone is `trust`, 1 because source is 10.1.0.5
            security: no rule of the rulebase matches; closest: `web`, but source is 10.1.0.5
            security: from zone `trust` to zone `untrust`: default rule `interzone-default` (11 of 11) decides: deny
            result: refused (deny) by rule `interzone-default`
        "#]],
    );
}

#[test]
fn explain_asks_the_management_profile_at_the_own_addresses() {
    let office = office("", &rule("all", "allow", &[], ""))
        .replace(
            "<entry name='ethernet1/1'><layer3>",
            "<entry name='ethernet1/1'><layer3><interface-management-profile>probes</interface-management-profile>",
        )
        .replace(
            "<network><interface>",
            "<network><profiles><interface-management-profile><entry name='probes'><ping>yes</ping><http>yes</http>\
             <permitted-ip><entry name='10.1.0.0/24'/></permitted-ip></entry></interface-management-profile></profiles>\
             <interface>",
        );
    let tables = crate::compiled(&office).unwrap();
    let ends = |text: &str| {
        let steps = explain(&tables, &crate::flow(&tables, text)).steps;
        let last: String =
            steps[steps.len() - 2..].iter().map(|step| format!("{}: {}\n", step.stage, step.text)).collect();
        format!("{text}\n{last}")
    };
    let flows = [
        "ethernet1/1 10.1.0.5 -> 10.1.0.1",
        "ethernet1/1 10.1.0.5:40000 -> 10.1.0.1:80 tcp",
        "ethernet1/1 10.1.0.5:40000 -> 10.1.0.1:443 tcp",
        "ethernet1/1 10.1.0.5:40000 -> 10.1.0.1:22 tcp",
        "ethernet1/1 10.1.7.5:40000 -> 10.1.0.1:80 tcp",
        "ethernet1/1 10.1.0.5:40000 -> 10.9.0.1:80 tcp",
    ];
    expect![[r#"
        ethernet1/1 10.1.0.5 -> 10.1.0.1
        host: `ethernet1/1` answers `ping` for this source
        result: delivered to the firewall itself on `ethernet1/1`
        ethernet1/1 10.1.0.5:40000 -> 10.1.0.1:80 tcp
        host: `ethernet1/1` answers `http` for this source
        result: delivered to the firewall itself on `ethernet1/1`
        ethernet1/1 10.1.0.5:40000 -> 10.1.0.1:443 tcp
        host: `ethernet1/1` does not answer: the interface has no management profile that offers `https`
        result: dropped by the firewall itself (`local-service`), although the rule allows it
        ethernet1/1 10.1.0.5:40000 -> 10.1.0.1:22 tcp
        host: `ethernet1/1` does not answer: the firewall's own addresses answer nothing but ping and the health checks at TCP ports 80 and 443
        result: dropped by the firewall itself (`local-service`), although the rule allows it
        ethernet1/1 10.1.7.5:40000 -> 10.1.0.1:80 tcp
        host: `ethernet1/1` does not answer: the management profile offers `http`, but not to this source
        result: dropped by the firewall itself (`local-service`), although the rule allows it
        ethernet1/1 10.1.0.5:40000 -> 10.9.0.1:80 tcp
        host: `ethernet1/3` does not answer: the interface has no management profile that offers `http`
        result: dropped by the firewall itself (`local-service`), although the rule allows it
    "#]].assert_eq(&flows.map(ends).concat());
}

#[test]
fn groups_may_nest_as_deep_as_the_model_reads_them() {
    let nested = |depth: usize| {
        let group = |kind: &str, at: usize, last: &str| {
            let member = if at == depth { last.to_owned() } else { format!("g{}", at + 1) };
            format!("<entry name='g{at}'>{}</entry>", kind.replace("MEMBER", &format!("<member>{member}</member>")))
        };
        let all = |kind, last| (1..=depth).map(|at| group(kind, at, last)).collect::<String>();
        let objects = format!(
            "<address-group>{}</address-group><service-group>{}</service-group>",
            all("<static>MEMBER</static>", "10.1.0.5"),
            all("<members>MEMBER</members>", "service-https")
        );
        office(&objects, &rule("nested", "allow", &[("source", &["g1"]), ("service", &["g1"])], ""))
    };
    check(
        &nested(GROUP_DEPTH_MAX),
        &[WEB],
        expect![[r#"
        ethernet1/1 10.1.0.5:40000 -> 1.1.1.1:443 tcp: allow by `nested` (1), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default)
    "#]],
    );
    assert!(crate::compiled(&nested(GROUP_DEPTH_MAX + 1)).is_err());
}
