//! Routers and routes.

use expect_test::{Expect, expect};

use crate::{check, check_diagnostics, compiled, device, interface, next_router, router, via, zone};

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
    let tables = compiled(config).unwrap();
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
