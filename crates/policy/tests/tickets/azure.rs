//! A firewall between two Azure load balancers, as the deployment guide sets it up: the probes of both
//! come from one address, so each load balancer has a router of its own.

use expect_test::expect;

use crate::{check, check_explained};

const AZURE: &str = include_str!("azure.xml");

#[test]
fn inbound_web_is_translated_both_ways() {
    check(
        AZURE,
        &["ethernet1/2 198.51.100.7:50000 -> 20.0.0.10:80 tcp", "ethernet1/2 198.51.100.7:50000 -> 20.0.0.10:443 tcp"],
        expect![[r#"
            ethernet1/2 198.51.100.7:50000 -> 20.0.0.10:80 tcp: allow by `web-in` (2), untrust -> trust, out ethernet1/1 to 10.0.1.1 (vr-private), nat `inbound-web`, source of 10.0.1.4-10.0.1.4, destination 10.10.0.4:8080
            ethernet1/2 198.51.100.7:50000 -> 20.0.0.10:443 tcp: allow by `intrazone-default` (4), untrust -> untrust, to the firewall on loopback.2
        "#]],
    );
}

#[test]
fn outbound_leaves_by_the_public_router_with_the_interface_address() {
    check(
        AZURE,
        &["ethernet1/1 10.10.0.4:50000 -> 1.1.1.1:443 tcp", "ethernet1/1 172.16.0.9:50000 -> 1.1.1.1:443 udp"],
        expect![[r#"
            ethernet1/1 10.10.0.4:50000 -> 1.1.1.1:443 tcp: allow by `out` (3), trust -> untrust, out ethernet1/2 to 10.0.2.1 (vr-public), nat `outbound-internet`, source of 10.0.2.4-10.0.2.4
            ethernet1/1 172.16.0.9:50000 -> 1.1.1.1:443 udp: allow by `out` (3), trust -> untrust, out ethernet1/2 to 10.0.2.1 (vr-public), nat `outbound-internet`, source of 10.0.2.4-10.0.2.4
        "#]],
    );
}

#[test]
fn probes_of_both_load_balancers_are_answered_by_their_own_side() {
    check(
        AZURE,
        &[
            "ethernet1/1 168.63.129.16:50000 -> 10.0.1.4:443 tcp",
            "ethernet1/1 168.63.129.16:50000 -> 10.0.1.100:443 tcp",
            "ethernet1/2 168.63.129.16:50000 -> 10.0.2.4:443 tcp",
            "ethernet1/2 168.63.129.16:50000 -> 20.0.0.10:443 tcp",
        ],
        expect![[r#"
            ethernet1/1 168.63.129.16:50000 -> 10.0.1.4:443 tcp: allow by `health-checks` (1), trust -> trust, to the firewall on ethernet1/1, nat `no-nat-probes`
            ethernet1/1 168.63.129.16:50000 -> 10.0.1.100:443 tcp: allow by `health-checks` (1), trust -> trust, to the firewall on loopback.1, nat `no-nat-probes`
            ethernet1/2 168.63.129.16:50000 -> 10.0.2.4:443 tcp: allow by `health-checks` (1), untrust -> untrust, to the firewall on ethernet1/2, nat `no-nat-probes`
            ethernet1/2 168.63.129.16:50000 -> 20.0.0.10:443 tcp: allow by `health-checks` (1), untrust -> untrust, to the firewall on loopback.2, nat `no-nat-probes`
        "#]],
    );
}

#[test]
fn a_probe_with_one_router_would_leave_by_the_wrong_side() {
    // Each router answers its own probe, although the destination is the same.
    check(
        AZURE,
        &["ethernet1/1 10.10.0.4:50000 -> 168.63.129.16:80 tcp", "ethernet1/2 10.0.2.9:50000 -> 168.63.129.16:80 tcp"],
        expect![[r#"
            ethernet1/1 10.10.0.4:50000 -> 168.63.129.16:80 tcp: allow by `intrazone-default` (4), trust -> trust, out ethernet1/1 to 10.0.1.1 (vr-private)
            ethernet1/2 10.0.2.9:50000 -> 168.63.129.16:80 tcp: allow by `intrazone-default` (4), untrust -> untrust, out ethernet1/2 to 10.0.2.1 (vr-public)
        "#]],
    );
}

#[test]
fn traffic_between_virtual_networks_is_not_translated() {
    check(
        AZURE,
        &["ethernet1/1 10.10.0.4:50000 -> 10.20.0.4:443 tcp"],
        expect![[r#"
        ethernet1/1 10.10.0.4:50000 -> 10.20.0.4:443 tcp: allow by `intrazone-default` (4), trust -> trust, out ethernet1/1 to 10.0.1.1 (vr-private)
    "#]],
    );
}

#[test]
fn an_inbound_flow_is_explained_stage_by_stage() {
    check_explained(
        AZURE,
        "ethernet1/2 198.51.100.7:50000 -> 20.0.0.10:80 tcp",
        expect![[r#"
        ingress: `ethernet1/2` is in zone `untrust` and router `vr-public`
        route: router `vr-public`: 20.0.0.10 is the firewall's own address on `loopback.2`
        zone: NAT rules see destination zone `untrust`
        nat: rule `no-nat-probes` does not match: source is 198.51.100.7
        nat: rule `inbound-web`: destination becomes 10.10.0.4 port 8080, source becomes 10.0.1.4 with a new port
        route: router `vr-public`: route `app-vnet` (10.10.0.0/16) leads on to router `vr-private`
        route: router `vr-private`: route `app-vnet` (10.10.0.0/16) leads to 10.0.1.1 on `ethernet1/1`
        security: rule `health-checks` does not match: source is 198.51.100.7
        security: from zone `untrust` to zone `trust`: rule `web-in` (2 of 5) says allow
        result: forwarded out by `ethernet1/1` to 10.0.1.1
    "#]],
    );
}

#[test]
fn an_outbound_flow_is_explained_across_routers() {
    check_explained(
        AZURE,
        "ethernet1/1 10.10.0.4:50000 -> 1.1.1.1:443 tcp",
        expect![[r#"
        ingress: `ethernet1/1` is in zone `trust` and router `vr-private`
        route: router `vr-private`: route `default` (0.0.0.0/0) leads on to router `vr-public`
        route: router `vr-public`: route `default` (0.0.0.0/0) leads to 10.0.2.1 on `ethernet1/2`
        zone: NAT rules see destination zone `untrust`
        nat: rule `no-nat-probes` does not match: source is 10.10.0.4
        nat: rule `inbound-web` does not match: source zone is `trust`
        nat: rule `outbound-internet`: source becomes 10.0.2.4 with a new port
        security: rule `health-checks` does not match: source is 10.10.0.4
        security: rule `web-in` does not match: source zone is `trust`
        security: from zone `trust` to zone `untrust`: rule `out` (3 of 5) says allow
        result: forwarded out by `ethernet1/2` to 10.0.2.1
    "#]],
    );
}
