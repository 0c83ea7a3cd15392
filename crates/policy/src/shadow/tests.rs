//! What is called shadowed is what no flow reaches, and the other way round.

use std::net::Ipv4Addr;
use std::sync::Arc;

use bartizan_model::device::{Action, DeviceConfig, SecurityRule, Service, ServiceProtocol, ServiceTimeouts, Zone};
use expect_test::{Expect, expect};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::compile::compile_device;
use crate::decide::security_match;
use crate::facts::Facts;
use crate::names::Ids;

const ZONES: [&str; 3] = ["a", "b", "c"];

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().filter(|name| **name != "any").map(|name| (*name).to_owned()).collect()
}

pub(crate) fn rule(name: String, kind: RuleKind, fields: [&[&str]; 5]) -> SecurityRule {
    let [from, to, source, destination, service] = fields.map(texts);
    SecurityRule {
        name,
        kind,
        from,
        to,
        source,
        destination,
        service,
        action: Action::Allow,
        ..SecurityRule::default()
    }
}

pub(crate) fn config(rules: Vec<SecurityRule>) -> DeviceConfig {
    let service = |name: &str, protocol, ports, source_ports| Service {
        name: name.to_owned(),
        origin: Origin::default(),
        protocol,
        ports,
        source_ports,
        timeouts: ServiceTimeouts::default(),
    };
    DeviceConfig {
        zones: ZONES.map(|name| Zone { name: name.to_owned(), ..Zone::default() }).into(),
        services: vec![
            service("low", ServiceProtocol::Tcp, vec![(1, 2)], vec![]),
            service("high", ServiceProtocol::Tcp, vec![(0, 0), (3, u16::MAX)], vec![]),
            service("udp", ServiceProtocol::Udp, vec![(2, 3)], vec![]),
            service("from-1", ServiceProtocol::Tcp, vec![(1, 3)], vec![(1, 1)]),
        ],
        security_rules: rules.into_iter().map(Arc::new).collect(),
        ..DeviceConfig::default()
    }
}

fn compiled(rules: Vec<SecurityRule>) -> Compiled {
    compile_device(&config(rules), &Facts::default(), &mut Ids::default(), 1, None, &mut Vec::new()).unwrap()
}

/// Rules as `name kind from to source destination service`, lists joined by commas.
fn check(rules: &[&str], expected: Expect) {
    let rules = rules.iter().map(|line| {
        let words: Vec<Vec<&str>> = line.split_whitespace().map(|word| word.split(',').collect()).collect();
        let [name, from, to, source, destination, service] = &words[..] else { panic!("not a rule: {line}") };
        rule(name[0].to_owned(), RuleKind::Universal, [from, to, source, destination, service])
    });
    let warnings = warnings(&compiled(rules.collect()));
    expected.assert_eq(&warnings.iter().map(|warning| format!("{}\n", warning.message)).collect::<String>());
}

#[test]
fn a_rule_behind_a_wider_one_is_shadowed() {
    check(
        &["wide any any 10.0.0.0/8 any any", "narrow a b 10.1.0.0/16 any low", "other a b 11.0.0.0/8 any low"],
        expect![[r#"
            rule `narrow` never matches: `wide` before it take all its flows
        "#]],
    );
}

#[test]
fn a_flow_that_goes_to_an_earlier_rule_is_told() {
    let any: &[&str] = &["any"];
    let wide = rule("wide".into(), RuleKind::Universal, [any, any, &["10.0.0.0/8"], any, any]);
    let narrow = rule("narrow".into(), RuleKind::Universal, [&["a"], &["b"], &["10.1.0.0/16"], any, &["low"]]);
    let open = rule("open".into(), RuleKind::Intrazone, [&["a"], any, &["10.2.0.0/16"], any, any]);
    let help: Vec<String> = warnings(&compiled(vec![wide, narrow, open]))
        .iter()
        .map(|warning| warning.help.clone().unwrap_or_default())
        .collect();
    expect![[r#"
        move the rule up, or remove it; `wide` takes tcp to port 1 from 10.1.0.0 in `a` to 0.0.0.0 in `b`, for one
        move the rule up, or remove it; `wide` takes tcp to port 443 from 10.2.0.0 in `a` to 0.0.0.0 in `a`, for one
    "#]]
    .assert_eq(&format!("{}\n", help.join("\n")));
}

#[test]
fn several_rules_shadow_together_and_all_are_named() {
    check(
        &[
            "left any any 10.0.0.0/9 any any",
            "elsewhere any any 172.16.0.0/12 any any",
            "right any any 10.128.0.0/9 any low,high",
            "udp any any 10.128.0.0/9 any udp",
            "half any any 10.0.0.0/8 any udp,low",
            "reached any any 10.0.0.0/8 any any",
        ],
        expect![[r#"
            rule `half` never matches: `left`, `right`, `udp` before it take all its flows
        "#]],
    );
}

#[test]
fn a_rule_that_is_shadowed_in_one_family_or_in_part_is_not_shadowed() {
    check(&["v4 any any 0.0.0.0/0 any any", "both any any any any any"], expect![[""]]);
    check(&["some any any any any from-1", "all any any any any low"], expect![[""]]);
    check(
        &["both any any any any any", "v6 any any ::/0 any any"],
        expect![[r#"
        rule `v6` never matches: `both` before it take all its flows
    "#]],
    );
}

#[test]
fn a_rule_that_is_too_intricate_is_left_undecided() {
    // Each host on its own, so that no large piece ever goes.
    let hosts: Vec<String> = (0..2000).map(|at| format!("10.0.{}.{}", at / 256, at % 256)).collect();
    let mut rules: Vec<SecurityRule> = hosts
        .iter()
        .map(|host| rule(host.clone(), RuleKind::Universal, [&["any"], &["any"], &[host.as_str()], &["any"], &["any"]]))
        .collect();
    rules.push(rule(
        "last".into(),
        RuleKind::Universal,
        [&["any"], &["any"], &["10.0.0.0-10.0.7.207"], &["any"], &["any"]],
    ));
    let tables = compiled(rules);
    let found = shadows(&tables);
    assert_eq!((found.shadowed.len(), found.undecided), (0, 1));
    assert!(warnings(&tables)[0].message.contains("1 rules"));
}

#[test]
fn the_flow_that_reaches_a_rule_is_told() {
    let any = ["any"];
    let first = rule("first".into(), RuleKind::Universal, [&any, &any, &["10.0.0.0/25"], &any, &any]);
    let second = rule("second".into(), RuleKind::Universal, [&any, &any, &["10.0.0.0/24"], &any, &any]);
    let tables = compiled(vec![first, second]);
    let id = |name| RuleId(tables.ids().rules.position(name).unwrap() as u32);
    let Some(Reach::Flow(flow)) = reach(&tables, id("second")) else { panic!("not reached") };
    assert_eq!(flow.source, IpAddr::V4(Ipv4Addr::new(10, 0, 0, 128)));
    assert_eq!(security_match(&tables, &flow).0, id("second"));
    assert!(reach(&tables, RuleId(99)).is_none());
}

fn list(choices: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    prop_oneof![1 => Just(vec!["any"]), 3 => prop::sample::subsequence(choices, 1..=2)]
}

const ADDRESSES: &[&str] = &[
    "10.0.0.0",
    "10.0.0.1",
    "10.0.0.2-10.0.0.3",
    "10.0.0.0/31",
    "0.0.0.0-10.0.0.1",
    "10.0.0.2-255.255.255.255",
    "::/0",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn shadowed_is_what_no_flow_reaches(
        fields in prop::collection::vec(
            (
                select(vec![RuleKind::Universal, RuleKind::Intrazone, RuleKind::Interzone]),
                list(&ZONES), list(&ZONES), list(ADDRESSES), list(ADDRESSES), list(&["low", "high", "udp", "from-1"]),
            ),
            1..12,
        ),
    ) {
        let rules = fields.iter().zip(0..).map(|((kind, from, to, source, destination, service), at): (_, usize)| {
            rule(format!("rule-{at}"), *kind, [from, to, source, destination, service])
        });
        let tables = compiled(rules.collect());
        let shadowed: BTreeSet<RuleId> = shadows(&tables).shadowed.into_iter().map(|(rule, _)| rule).collect();
        let mut reached = BTreeSet::new();
        for flow in flows() {
            reached.insert(security_match(&tables, &flow).0);
        }
        for (at, rule) in tables.security.rules.iter().enumerate() {
            // A rule that stands for no flow at all is not shadowed by others.
            let some = flows().any(|flow| rule.misses(&flow.query()).is_empty());
            prop_assert_eq!(shadowed.contains(&rule.id), some && !reached.contains(&rule.id), "rule {}", at);
        }
    }
}

/// One flow of each kind that the rules above can tell apart.
fn flows() -> impl Iterator<Item = ZoneFlow> {
    let ips =
        ["9.9.9.9", "10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "11.0.0.0"].map(|ip| ip.parse::<IpAddr>().unwrap());
    let v4 = ips.into_iter().flat_map(move |source| ips.map(|destination| (source, destination)));
    let v6: IpAddr = "2001:db8::1".parse().unwrap();
    let zones = (0..9).map(|pair| (ZoneId(pair / 3), ZoneId(pair % 3)));
    let ports = [(47, 0, 0)].into_iter().chain([6, 17, 132].into_iter().flat_map(|protocol| {
        [0, 1, 2].into_iter().flat_map(move |source| (0..5).map(move |port| (protocol, source, port)))
    }));
    let ports: Vec<(u8, u16, u16)> = ports.collect();
    let zones: Vec<_> = zones.collect();
    v4.chain([(v6, v6)]).flat_map(move |(source, destination)| {
        let ports = ports.clone();
        zones.clone().into_iter().flat_map(move |(from, to)| {
            ports.clone().into_iter().map(move |(protocol, source_port, destination_port)| ZoneFlow {
                from,
                to,
                source,
                destination,
                protocol,
                source_port,
                destination_port,
            })
        })
    })
}
