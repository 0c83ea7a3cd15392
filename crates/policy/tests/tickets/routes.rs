//! Routers and routes.

use expect_test::{Expect, expect};
use bartizan_policy::facts::{Facts, Learned};

use crate::{check, check_diagnostics, compiled_with, device, interface, next_router, router, via, zone};

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
    check_learned_routes(config, &Facts::default(), expected);
}

fn check_learned_routes(config: &str, facts: &Facts, expected: Expect) {
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
    let routes: &[_] = if static_route { &[("written", "0.0.0.0/0", &via("10.1.0.77"))] } else { &[] };
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
    check_learned_routes(
        &leased(no_route, "<default-route-metric>20</default-route-metric>", false),
        &leases(),
        expect![[r#"
            default A H 10.1.0.9/32 10.1.0.9 0 ethernet1/1
            default A C 10.1.0.0/24 10.1.0.9 0 ethernet1/1
            default A H 10.2.0.9/32 10.2.0.9 0 ethernet1/2
            default A S D 0.0.0.0/0 10.2.0.1 20 ethernet1/2
        "#]],
    );
    let config = leased(no_route, "", false);
    check_learned_routes(&config, &Facts::default(), expect![[""]]);
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
    check_learned_routes(
        &config,
        &leases(),
        expect![[r#"
            default A H 10.2.0.9/32 10.2.0.9 0 ethernet1/2
            default A S D 0.0.0.0/0 10.2.0.1 10 ethernet1/2
        "#]],
    );
}
