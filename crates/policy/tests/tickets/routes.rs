//! Routers and routes.

use bartizan_policy::facts::{Facts, Learned};
use expect_test::{Expect, expect};

use crate::{
    check, check_diagnostics, check_explained, compiled_with, device, interface, next_router, router, via, zone,
};

fn network(routers: &str) -> String {
    let interfaces = [
        interface("ethernet1/1", &["10.1.0.1/24", "10.1.1.1/24"]),
        interface("ethernet1/2", &["10.2.0.1/24"]),
        interface("ethernet1/3", &["10.3.0.1/32"]),
    ];
    let zones = zone("all", &["ethernet1/1", "ethernet1/2", "ethernet1/3"]);
    device(
        &format!(
            "<interface><ethernet>{}</ethernet></interface><virtual-router>{routers}</virtual-router>",
            interfaces.concat()
        ),
        &format!("<zone>{zones}</zone>"),
    )
}

fn check_routes(config: &str, expected: Expect) {
    check_routes_with(config, &Facts::default(), expected);
}

fn check_routes_with(config: &str, facts: &Facts, expected: Expect) {
    let tables = compiled_with(config, facts).unwrap();
    let rows = tables.routes().map(|row| {
        let interface = row.interface.map_or("-", |id| tables.interface_name(id));
        let router = tables.router_name(row.router);
        format!("{router} {} {} {} {} {interface}\n", row.flags, row.destination, row.next_hop, row.metric)
    });
    expected.assert_eq(&rows.collect::<String>());
}

const DISCARD: &str = "<nexthop><discard/></nexthop>";

#[test]
fn the_longest_prefix_wins_then_distance_then_metric() {
    let metric = |gateway: &str, metric: u16| via(gateway) + &format!("<metric>{metric}</metric>");
    let distance =
        |gateway: &str, distance: u8| via(gateway) + &format!("<admin-dist>{distance}</admin-dist><metric>1</metric>");
    let config = network(&router(
        "default",
        &["ethernet1/1", "ethernet1/2"],
        &[
            ("default", "0.0.0.0/0", &via("10.2.0.254")),
            ("bulk", "192.168.0.0/16", &metric("10.1.0.254", 20)),
            ("bulk-better", "192.168.0.0/16", &metric("10.1.1.254", 5)),
            ("bulk-far", "192.168.0.0/16", &distance("10.2.0.254", 200)),
            ("hole", "192.168.7.0/24", DISCARD),
            ("host", "192.168.7.7/32", &via("10.2.0.7")),
        ],
    ));
    check_routes(
        &config,
        expect![[r#"
        default A H 10.1.0.1/32 10.1.0.1 0 ethernet1/1
        default A C 10.1.0.0/24 10.1.0.1 0 ethernet1/1
        default A H 10.1.1.1/32 10.1.1.1 0 ethernet1/1
        default A C 10.1.1.0/24 10.1.1.1 0 ethernet1/1
        default A H 10.2.0.1/32 10.2.0.1 0 ethernet1/2
        default A C 10.2.0.0/24 10.2.0.1 0 ethernet1/2
        default A S 0.0.0.0/0 10.2.0.254 10 ethernet1/2
        default   S 192.168.0.0/16 10.1.0.254 20 ethernet1/1
        default A S 192.168.0.0/16 10.1.1.254 5 ethernet1/1
        default   S 192.168.0.0/16 10.2.0.254 1 ethernet1/2
        default A S 192.168.7.0/24 discard 10 -
        default A S 192.168.7.7/32 10.2.0.7 10 ethernet1/2
    "#]],
    );
    check(
        &config,
        &[
            "ethernet1/1 10.1.0.9 -> 192.168.1.1",
            "ethernet1/1 10.1.0.9 -> 192.168.7.1",
            "ethernet1/1 10.1.0.9 -> 192.168.7.7",
            "ethernet1/1 10.1.0.9 -> 10.2.0.77",
            "ethernet1/1 10.1.0.9 -> 10.1.1.1",
            "ethernet1/1 10.1.0.9 -> 9.9.9.9",
        ],
        expect![[r#"
            ethernet1/1 10.1.0.9 -> 192.168.1.1: allow by `intrazone-default` (1), all -> all, out ethernet1/1 to 10.1.1.254 (default)
            ethernet1/1 10.1.0.9 -> 192.168.7.1: dropped: RouteDiscard
            ethernet1/1 10.1.0.9 -> 192.168.7.7: allow by `intrazone-default` (1), all -> all, out ethernet1/2 to 10.2.0.7 (default)
            ethernet1/1 10.1.0.9 -> 10.2.0.77: allow by `intrazone-default` (1), all -> all, out ethernet1/2 to 10.2.0.77 (default)
            ethernet1/1 10.1.0.9 -> 10.1.1.1: allow by `intrazone-default` (1), all -> all, to the firewall on ethernet1/1
            ethernet1/1 10.1.0.9 -> 9.9.9.9: allow by `intrazone-default` (1), all -> all, out ethernet1/2 to 10.2.0.254 (default)
        "#]],
    );
}

#[test]
fn a_route_that_leads_nowhere_is_not_in_force() {
    let config = network(&router(
        "default",
        &["ethernet1/1", "ethernet1/3"],
        &[
            ("lost", "192.168.0.0/16", &via("10.2.0.254")),
            ("self", "192.168.1.0/24", &via("10.1.0.1")),
            ("on-link", "192.168.2.0/24", &(via("10.99.0.1") + "<interface>ethernet1/3</interface>")),
        ],
    ));
    check_diagnostics(
        &config,
        expect![[r#"
            warning[next-hop-unreachable]: route `self` of router `default` is not in force: next hop `10.1.0.1` is the firewall's own address
              --> /network/virtual-router/entry[@name='default']/routing-table/ip/static-route/entry[@name='self']
        "#]],
    );
    check(
        &config,
        &["ethernet1/1 10.1.0.9 -> 192.168.1.1", "ethernet1/1 10.1.0.9 -> 192.168.2.1"],
        expect![[r#"
        ethernet1/1 10.1.0.9 -> 192.168.1.1: dropped: NoRoute
        ethernet1/1 10.1.0.9 -> 192.168.2.1: allow by `intrazone-default` (1), all -> all, out ethernet1/3 to 10.99.0.1 (default)
    "#]],
    );
}

#[test]
fn routers_that_send_packets_in_circles_are_refused() {
    let routers = router(
        "a",
        &["ethernet1/1"],
        &[("to-b", "10.0.0.0/8", &next_router("b")), ("spare", "10.77.0.0/16", &via("10.1.0.254"))],
    ) + &router(
        "b",
        &["ethernet1/2"],
        &[("to-c", "10.64.0.0/10", &next_router("c")), ("default", "0.0.0.0/0", &next_router("c"))],
    ) + &router(
        "c",
        &["ethernet1/3"],
        &[("to-a", "10.78.0.0/15", &next_router("a")), ("back", "11.0.0.0/8", &next_router("b"))],
    );
    check_diagnostics(
        &network(&routers),
        expect![[r#"
        error[router-loop]: `10.78.0.0` goes in a circle: route `to-b` of router `a`, then route `to-c` of router `b`, then route `to-a` of router `c`, and again
          --> /network/virtual-router/entry[@name='a']/routing-table/ip/static-route/entry[@name='to-b']
          help: give one of these routers a route for this destination that leads to an interface or is discarded
        error[router-loop]: `11.0.0.0` goes in a circle: route `default` of router `b`, then route `back` of router `c`, and again
          --> /network/virtual-router/entry[@name='b']/routing-table/ip/static-route/entry[@name='default']
          help: give one of these routers a route for this destination that leads to an interface or is discarded
    "#]],
    );
}

#[test]
fn routers_that_overlap_without_meeting_are_accepted() {
    // b answers 10.77.0.0/16 itself, so that a's wider route does not come back.
    let routers = router("a", &["ethernet1/1"], &[("to-b", "10.77.0.0/16", &next_router("b"))])
        + &router(
            "b",
            &["ethernet1/2"],
            &[("to-a", "10.0.0.0/8", &next_router("a")), ("own", "10.77.0.0/16", &via("10.2.0.254"))],
        );
    let config = network(&routers);
    check_diagnostics(&config, expect![""]);
    check(
        &config,
        &[
            "ethernet1/1 10.1.0.9 -> 10.77.0.1",
            "ethernet1/2 10.2.0.9 -> 10.1.0.9",
            "ethernet1/2 10.2.0.9 -> 10.1.1.1",
            "ethernet1/2 10.2.0.9 -> 10.50.0.1",
        ],
        expect![[r#"
            ethernet1/1 10.1.0.9 -> 10.77.0.1: allow by `intrazone-default` (1), all -> all, out ethernet1/2 to 10.2.0.254 (b)
            ethernet1/2 10.2.0.9 -> 10.1.0.9: allow by `intrazone-default` (1), all -> all, out ethernet1/1 to 10.1.0.9 (a)
            ethernet1/2 10.2.0.9 -> 10.1.1.1: allow by `intrazone-default` (1), all -> all, to the firewall on ethernet1/1
            ethernet1/2 10.2.0.9 -> 10.50.0.1: dropped: NoRoute
        "#]],
    );
}

/// Two interfaces by DHCP in one router, and a static default route of metric 10.
fn leased(first: &str, second: &str, static_route: bool) -> String {
    let client = |name: &str, settings: &str| {
        format!("<entry name='{name}'><layer3><dhcp-client>{settings}</dhcp-client></layer3></entry>")
    };
    let interfaces = [client("ethernet1/1", first), client("ethernet1/2", second)].concat();
    let gateway = via("10.1.0.77");
    let routes: &[(&str, &str, &str)] = if static_route { &[("written", "0.0.0.0/0", &gateway)] } else { &[] };
    let routers = router("default", &["ethernet1/1", "ethernet1/2"], routes);
    device(
        &format!("<interface><ethernet>{interfaces}</ethernet></interface><virtual-router>{routers}</virtual-router>"),
        &format!("<zone>{}</zone>", zone("all", &["ethernet1/1", "ethernet1/2"])),
    )
}

fn leases() -> Facts {
    let learned = |own: &str, gateway: &str| Learned {
        addresses: vec![own.parse().unwrap()],
        gateways: vec![gateway.parse().unwrap()],
    };
    let mut facts = Facts::default();
    facts.interfaces.insert("ethernet1/1".into(), learned("10.1.0.9/24", "10.1.0.1"));
    // A cloud gives a host address and a gateway beside it.
    facts.interfaces.insert("ethernet1/2".into(), learned("10.2.0.9/32", "10.2.0.1"));
    facts
}

#[test]
fn a_lease_makes_a_default_route_only_where_it_is_wanted() {
    let no_route = "<create-default-route>no</create-default-route>";
    check_routes_with(
        &leased(no_route, "<default-route-metric>20</default-route-metric>", false),
        &leases(),
        expect![[r#"
            default A H 10.1.0.9/32 10.1.0.9 0 ethernet1/1
            default A C 10.1.0.0/24 10.1.0.9 0 ethernet1/1
            default A H 10.2.0.9/32 10.2.0.9 0 ethernet1/2
            default A S L 0.0.0.0/0 10.2.0.1 20 ethernet1/2
        "#]],
    );
    let config = leased(no_route, "", false);
    check_routes_with(&config, &Facts::default(), expect![[""]]);
}

#[test]
fn a_learned_default_route_competes_by_its_metric() {
    let metric = |metric: u16| format!("<default-route-metric>{metric}</default-route-metric>");
    let winner = |first: u16, second: u16| {
        let tables = compiled_with(&leased(&metric(first), &metric(second), true), &leases()).unwrap();
        let rows: Vec<_> = tables.routes().filter(|row| row.flags.starts_with("A S")).collect();
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows[0].next_hop.clone()
    };
    assert_eq!(winner(5, 20), "10.1.0.1");
    assert_eq!(winner(20, 5), "10.2.0.1");
    assert_eq!(winner(11, 12), "10.1.0.77", "the written one has 10");
    assert_eq!(winner(10, 10), "10.1.0.77", "of equals the written one");
}

#[test]
fn what_was_learned_counts_only_while_the_interface_asks_for_it() {
    let config = leased("<enable>no</enable>", "", false);
    check_routes_with(
        &config,
        &leases(),
        expect![[r#"
            default A H 10.2.0.9/32 10.2.0.9 0 ethernet1/2
            default A S L 0.0.0.0/0 10.2.0.1 10 ethernet1/2
        "#]],
    );
}

const MONITORED: &str = "<path-monitor><enable>yes</enable><monitor-destinations><entry name='far'>\
    <enable>yes</enable><destination>198.51.100.1</destination></entry></monitor-destinations></path-monitor>";

fn two_ways(ecmp: &str, more: &str) -> String {
    let first = via("10.1.0.254") + more;
    let routes = [
        ("first", "0.0.0.0/0", &*first),
        ("second", "0.0.0.0/0", &via("10.2.0.254")),
        ("again", "0.0.0.0/0", &via("10.2.0.254")),
        ("worse", "0.0.0.0/0", &(via("10.1.1.254") + "<metric>20</metric>")),
    ];
    let plain = router("default", &["ethernet1/1", "ethernet1/2"], &routes);
    network(&plain.replace("<routing-table>", &format!("{ecmp}<routing-table>")))
}

const ECMP: &str = "<ecmp><enable>yes</enable><algorithm><ip-modulo/></algorithm></ecmp>";

#[test]
fn equal_routes_share_only_where_the_router_says_so() {
    check_routes(
        &two_ways("", ""),
        expect![[r#"
            default A H 10.1.0.1/32 10.1.0.1 0 ethernet1/1
            default A C 10.1.0.0/24 10.1.0.1 0 ethernet1/1
            default A H 10.1.1.1/32 10.1.1.1 0 ethernet1/1
            default A C 10.1.1.0/24 10.1.1.1 0 ethernet1/1
            default A H 10.2.0.1/32 10.2.0.1 0 ethernet1/2
            default A C 10.2.0.0/24 10.2.0.1 0 ethernet1/2
            default A S 0.0.0.0/0 10.1.0.254 10 ethernet1/1
            default   S 0.0.0.0/0 10.2.0.254 10 ethernet1/2
            default   S 0.0.0.0/0 10.2.0.254 10 ethernet1/2
            default   S 0.0.0.0/0 10.1.1.254 20 ethernet1/1
        "#]],
    );
    check_diagnostics(&two_ways(ECMP, ""), expect![""]);
    check_routes(
        &two_ways(ECMP, ""),
        expect![[r#"
        default A H 10.1.0.1/32 10.1.0.1 0 ethernet1/1
        default A C 10.1.0.0/24 10.1.0.1 0 ethernet1/1
        default A H 10.1.1.1/32 10.1.1.1 0 ethernet1/1
        default A C 10.1.1.0/24 10.1.1.1 0 ethernet1/1
        default A H 10.2.0.1/32 10.2.0.1 0 ethernet1/2
        default A C 10.2.0.0/24 10.2.0.1 0 ethernet1/2
        default A S E 0.0.0.0/0 10.1.0.254 10 ethernet1/1
        default A S E 0.0.0.0/0 10.2.0.254 10 ethernet1/2
        default   S 0.0.0.0/0 10.2.0.254 10 ethernet1/2
        default   S 0.0.0.0/0 10.1.1.254 20 ethernet1/1
    "#]],
    );
    check_explained(
        &two_ways(ECMP, ""),
        "ethernet1/1 10.1.0.5:40000 -> 1.1.1.1:443 tcp",
        expect![[r#"
        ingress: `ethernet1/1` is in zone `all` and router `default`
        route: router `default`: route `second` (0.0.0.0/0) leads to 10.2.0.254 on `ethernet1/2`, chosen for this flow among routes of equal cost
        zone: NAT rules see destination zone `all`
        nat: no NAT rule matches, addresses stay as they are
        security: from zone `all` to zone `all`: default rule `intrazone-default` (1 of 2) decides: allow
        result: forwarded out by `ethernet1/2` to 10.2.0.254
    "#]],
    );
}

#[test]
fn a_dead_path_leaves_its_prefix_to_the_next_route() {
    let down = Facts { routes_down: [("default".into(), "first".into())].into(), ..Facts::default() };
    check_routes_with(
        &two_ways("", MONITORED),
        &down,
        expect![[r#"
        default A H 10.1.0.1/32 10.1.0.1 0 ethernet1/1
        default A C 10.1.0.0/24 10.1.0.1 0 ethernet1/1
        default A H 10.1.1.1/32 10.1.1.1 0 ethernet1/1
        default A C 10.1.1.0/24 10.1.1.1 0 ethernet1/1
        default A H 10.2.0.1/32 10.2.0.1 0 ethernet1/2
        default A C 10.2.0.0/24 10.2.0.1 0 ethernet1/2
        default   S D 0.0.0.0/0 10.1.0.254 10 ethernet1/1
        default A S 0.0.0.0/0 10.2.0.254 10 ethernet1/2
        default   S 0.0.0.0/0 10.2.0.254 10 ethernet1/2
        default   S 0.0.0.0/0 10.1.1.254 20 ethernet1/1
    "#]],
    );
    check_routes_with(
        &two_ways(ECMP, MONITORED),
        &down,
        expect![[r#"
        default A H 10.1.0.1/32 10.1.0.1 0 ethernet1/1
        default A C 10.1.0.0/24 10.1.0.1 0 ethernet1/1
        default A H 10.1.1.1/32 10.1.1.1 0 ethernet1/1
        default A C 10.1.1.0/24 10.1.1.1 0 ethernet1/1
        default A H 10.2.0.1/32 10.2.0.1 0 ethernet1/2
        default A C 10.2.0.0/24 10.2.0.1 0 ethernet1/2
        default   S D 0.0.0.0/0 10.1.0.254 10 ethernet1/1
        default A S 0.0.0.0/0 10.2.0.254 10 ethernet1/2
        default   S 0.0.0.0/0 10.2.0.254 10 ethernet1/2
        default   S 0.0.0.0/0 10.1.1.254 20 ethernet1/1
    "#]],
    );
    // What nobody watches any more is not dead.
    check_routes_with(
        &two_ways(ECMP, ""),
        &down,
        expect![[r#"
        default A H 10.1.0.1/32 10.1.0.1 0 ethernet1/1
        default A C 10.1.0.0/24 10.1.0.1 0 ethernet1/1
        default A H 10.1.1.1/32 10.1.1.1 0 ethernet1/1
        default A C 10.1.1.0/24 10.1.1.1 0 ethernet1/1
        default A H 10.2.0.1/32 10.2.0.1 0 ethernet1/2
        default A C 10.2.0.0/24 10.2.0.1 0 ethernet1/2
        default A S E 0.0.0.0/0 10.1.0.254 10 ethernet1/1
        default A S E 0.0.0.0/0 10.2.0.254 10 ethernet1/2
        default   S 0.0.0.0/0 10.2.0.254 10 ethernet1/2
        default   S 0.0.0.0/0 10.1.1.254 20 ethernet1/1
    "#]],
    );
}

#[test]
fn path_monitoring_that_watches_nothing_is_refused() {
    let nothing = "<path-monitor><enable>yes</enable></path-monitor>";
    let wrong = "<path-monitor><enable>yes</enable><failure-condition>some</failure-condition>\
        <monitor-destinations><entry name='six'><destination>2001:db8::1</destination><interval>0</interval></entry>\
        <entry name='none'/></monitor-destinations></path-monitor>";
    check_diagnostics(
        &two_ways("", nothing),
        expect![[r#"
        warning[interface-without-router]: `ethernet1/3` belongs to no router, so its packets are dropped
          --> /network/interface/ethernet/entry[@name='ethernet1/3']
          help: add it to `interface` of a logical or virtual router
        error[invalid-path-monitor]: path monitoring of route `first` has no destination, so nothing is watched
          --> /network/virtual-router/entry[@name='default']/routing-table/ip/static-route/entry[@name='first']/path-monitor
          help: add an entry below `monitor-destinations`, or set `enable` to `no`
        warning[not-enforced]: `path-monitor` is stored but not enforced
          --> /network/virtual-router/entry[@name='default']/routing-table/ip/static-route/entry[@name='first']/path-monitor
    "#]],
    );
    check_diagnostics(
        &two_ways("", wrong),
        expect![[r#"
        warning[interface-without-router]: `ethernet1/3` belongs to no router, so its packets are dropped
          --> /network/interface/ethernet/entry[@name='ethernet1/3']
          help: add it to `interface` of a logical or virtual router
        warning[not-enforced]: `path-monitor` is stored but not enforced
          --> /network/virtual-router/entry[@name='default']/routing-table/ip/static-route/entry[@name='first']/path-monitor
        error[invalid-enum]: `some` is not one of `any`, `all`
          --> /network/virtual-router/entry[@name='default']/routing-table/ip/static-route/entry[@name='first']/path-monitor/failure-condition
        error[invalid-path-monitor]: `2001:db8::1` is of another address family than the route
          --> /network/virtual-router/entry[@name='default']/routing-table/ip/static-route/entry[@name='first']/path-monitor/monitor-destinations/entry[@name='six']/destination
          help: probe an address of the route's own family
        error[invalid-number]: `0` is not a number from 1 to 60
          --> /network/virtual-router/entry[@name='default']/routing-table/ip/static-route/entry[@name='first']/path-monitor/monitor-destinations/entry[@name='six']/interval
        error[invalid-name]: `none` is a reserved word
          --> /network/virtual-router/entry[@name='default']/routing-table/ip/static-route/entry[@name='first']/path-monitor/monitor-destinations/entry[@name='none']
    "#]],
    );
    check_diagnostics(
        &two_ways("<ecmp><enable>yes</enable><max-path>9</max-path></ecmp>", ""),
        expect![[r#"
        warning[interface-without-router]: `ethernet1/3` belongs to no router, so its packets are dropped
          --> /network/interface/ethernet/entry[@name='ethernet1/3']
          help: add it to `interface` of a logical or virtual router
        error[invalid-number]: `9` is not a number from 2 to 4
          --> /network/virtual-router/entry[@name='default']/ecmp/max-path
    "#]],
    );
}
