//! NAT rules.

use expect_test::expect;

use crate::{check, check_diagnostics, check_explained, compiled, device, interface, members, router, via, zone};

/// A network with two uplinks, v4 and v6, where everything is allowed.
fn site(rules: &str) -> String {
    let interfaces = [
        interface("ethernet1/1", &["10.1.0.1/16"]),
        interface("ethernet1/2", &["203.0.113.2/24"]),
        interface("ethernet1/3", &["192.0.2.2/28"]),
    ];
    let six = "<entry name='ethernet1/4'><layer3><ip><entry name='10.6.0.1/24'/></ip>\
         <ipv6><enabled>yes</enabled><address><entry name='2001:db8:6::1/64'/></address></ipv6></layer3></entry>";
    let loopback =
        "<loopback><units><entry name='loopback.1'><ip><entry name='203.0.113.80'/></ip></entry></units></loopback>";
    let router = router(
        "default",
        &["ethernet1/1", "ethernet1/2", "ethernet1/3", "ethernet1/4", "loopback.1"],
        &[("default", "0.0.0.0/0", &via("203.0.113.1")), ("partner", "198.51.100.0/24", &via("192.0.2.1"))],
    );
    let zones = zone("trust", &["ethernet1/1", "ethernet1/4"])
        + &zone("untrust", &["ethernet1/2", "ethernet1/3", "loopback.1"]);
    let allow = "<security><rules><entry name='all'><from><member>any</member></from><to><member>any</member></to>\
         <source><member>any</member></source><destination><member>any</member></destination>\
         <service><member>any</member></service><application><member>any</member></application>\
         <action>allow</action></entry></rules></security>";
    device(
        &format!(
            "<interface><ethernet>{}{six}</ethernet>{loopback}</interface><virtual-router>{router}</virtual-router>",
            interfaces.concat()
        ),
        &format!("<zone>{zones}</zone><rulebase>{allow}<nat><rules>{rules}</rules></nat></rulebase>"),
    )
}

fn rule(name: &str, fields: &[(&str, &[&str])], more: &str) -> String {
    let mut xml = format!("<entry name='{name}'>{more}");
    for field in ["from", "to", "source", "destination"] {
        let given = fields.iter().find(|(name, _)| *name == field).map_or(&["any"][..], |(_, names)| names);
        xml += &format!("<{field}>{}</{field}>", members(given));
    }
    if !more.contains("<service>") {
        xml += "<service>any</service>";
    }
    xml + "</entry>"
}

const OUT: &str = "ethernet1/1 10.1.0.5:40000 -> 1.1.1.1:443 tcp";
const INTERFACE: &str = "<source-translation><dynamic-ip-and-port><interface-address><interface>ethernet1/2</interface>\
     </interface-address></dynamic-ip-and-port></source-translation>";

fn pool(addresses: &[&str]) -> String {
    let addresses = members(addresses);
    format!(
        "<source-translation><dynamic-ip-and-port><translated-address>{addresses}</translated-address>\
         </dynamic-ip-and-port></source-translation>"
    )
}

fn fixed(address: &str, bidirectional: bool) -> String {
    let both = if bidirectional { "<bi-directional>yes</bi-directional>" } else { "" };
    format!(
        "<source-translation><static-ip><translated-address>{address}</translated-address>{both}</static-ip>\
         </source-translation>"
    )
}

fn to(address: &str, port: &str) -> String {
    let port = if port.is_empty() { String::new() } else { format!("<translated-port>{port}</translated-port>") };
    format!(
        "<destination-translation><translated-address>{address}</translated-address>{port}</destination-translation>"
    )
}

#[test]
fn the_first_rule_wins_even_if_it_translates_nothing() {
    let rules = rule("exempt", &[("source", &["10.1.0.5"])], "") + &rule("hide", &[("from", &["trust"])], INTERFACE);
    check(
        &site(&rules),
        &[OUT, "ethernet1/1 10.1.0.6:40000 -> 1.1.1.1:443 tcp"],
        expect![[r#"
        ethernet1/1 10.1.0.5:40000 -> 1.1.1.1:443 tcp: allow by `all` (1), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default), nat `exempt`
        ethernet1/1 10.1.0.6:40000 -> 1.1.1.1:443 tcp: allow by `all` (1), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default), nat `hide`, source of 203.0.113.2-203.0.113.2
    "#]],
    );
}

#[test]
fn a_rule_for_one_interface_leaves_the_other_uplink_alone() {
    let only = "<to-interface>ethernet1/3</to-interface>";
    let rules = rule("partner", &[("to", &["untrust"])], &(only.to_owned() + &pool(&["192.0.2.5"])))
        + &rule("hide", &[("to", &["untrust"])], INTERFACE);
    check(
        &site(&rules),
        &[OUT, "ethernet1/1 10.1.0.5:40000 -> 198.51.100.9:443 tcp"],
        expect![[r#"
        ethernet1/1 10.1.0.5:40000 -> 1.1.1.1:443 tcp: allow by `all` (1), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default), nat `hide`, source of 203.0.113.2-203.0.113.2
        ethernet1/1 10.1.0.5:40000 -> 198.51.100.9:443 tcp: allow by `all` (1), trust -> untrust, out ethernet1/3 to 192.0.2.1 (default), nat `partner`, source of 192.0.2.5-192.0.2.5
    "#]],
    );
}

#[test]
fn a_rule_is_for_the_families_it_can_translate() {
    let rules = rule("pool", &[], &pool(&["203.0.113.10-203.0.113.12", "203.0.113.20"]));
    check(
        &site(&rules),
        &[OUT, "ethernet1/4 [2001:db8:6::5]:4000 -> [2001:db8:6::7]:80 tcp"],
        expect![[r#"
        ethernet1/1 10.1.0.5:40000 -> 1.1.1.1:443 tcp: allow by `all` (1), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default), nat `pool`, source of 203.0.113.10-203.0.113.12 203.0.113.20-203.0.113.20
        ethernet1/4 [2001:db8:6::5]:4000 -> [2001:db8:6::7]:80 tcp: allow by `all` (1), trust -> trust, out ethernet1/4 to 2001:db8:6::7 (default)
    "#]],
    );
}

#[test]
fn static_networks_map_host_by_host_and_back() {
    let rules = rule(
        "one-to-one",
        &[("from", &["trust"]), ("to", &["untrust"]), ("source", &["10.1.7.0/28"])],
        &fixed("203.0.113.64/28", true),
    );
    check(
        &site(&rules),
        &[
            "ethernet1/1 10.1.7.3:40000 -> 1.1.1.1:443 tcp",
            "ethernet1/2 1.1.1.1:40000 -> 203.0.113.67:443 tcp",
            "ethernet1/1 10.1.7.16:40000 -> 1.1.1.1:443 tcp",
        ],
        expect![[r#"
            ethernet1/1 10.1.7.3:40000 -> 1.1.1.1:443 tcp: allow by `all` (1), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default), nat `one-to-one`, source 203.0.113.67
            ethernet1/2 1.1.1.1:40000 -> 203.0.113.67:443 tcp: allow by `all` (1), untrust -> trust, out ethernet1/1 to 10.1.7.3 (default), nat `one-to-one`, destination 10.1.7.3
            ethernet1/1 10.1.7.16:40000 -> 1.1.1.1:443 tcp: allow by `all` (1), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default)
        "#]],
    );
}

#[test]
fn the_reverse_of_a_bidirectional_rule_comes_right_after_it() {
    let rules = rule(
        "web",
        &[("from", &["trust"]), ("to", &["untrust"]), ("source", &["10.1.7.3"])],
        &fixed("203.0.113.67", true),
    ) + &rule("forward", &[("destination", &["203.0.113.67"])], &to("10.1.7.99", ""));
    check(
        &site(&rules),
        &["ethernet1/2 1.1.1.1:40000 -> 203.0.113.67:443 tcp"],
        expect![[r#"
        ethernet1/2 1.1.1.1:40000 -> 203.0.113.67:443 tcp: allow by `all` (1), untrust -> trust, out ethernet1/1 to 10.1.7.3 (default), nat `web`, destination 10.1.7.3
    "#]],
    );
    check_explained(
        &site(&rules),
        "ethernet1/2 1.1.1.1:40000 -> 203.0.113.67:443 tcp",
        expect![[r#"
        ingress: `ethernet1/2` is in zone `untrust` and router `default`
        route: router `default`: 203.0.113.0/24 is attached to `ethernet1/2`
        zone: NAT rules see destination zone `untrust`
        nat: rule `web` does not match: source zone is `untrust`
        nat: rule `web` (reverse direction): destination becomes 10.1.7.3
        route: router `default`: 10.1.0.0/16 is attached to `ethernet1/1`
        security: from zone `untrust` to zone `trust`: rule `all` (1 of 3) says allow
        result: forwarded out by `ethernet1/1` to 10.1.7.3
    "#]],
    );
}

#[test]
fn destinations_map_to_hosts_networks_and_ports() {
    let service = "<service>service-http</service>";
    let rules = rule("port", &[("destination", &["203.0.113.50"])], &(service.to_owned() + &to("10.1.0.80", "8080")))
        + &rule("host", &[("destination", &["203.0.113.50"])], &to("10.1.0.81", ""))
        + &rule("network", &[("destination", &["203.0.113.96/28"])], &to("10.1.8.16/28", ""));
    check(
        &site(&rules),
        &[
            "ethernet1/2 1.1.1.1:40000 -> 203.0.113.50:80 tcp",
            "ethernet1/2 1.1.1.1:40000 -> 203.0.113.50:22 tcp",
            "ethernet1/2 1.1.1.1 -> 203.0.113.50",
            "ethernet1/2 1.1.1.1 -> 203.0.113.98",
        ],
        expect![[r#"
            ethernet1/2 1.1.1.1:40000 -> 203.0.113.50:80 tcp: allow by `all` (1), untrust -> trust, out ethernet1/1 to 10.1.0.80 (default), nat `port`, destination 10.1.0.80:8080
            ethernet1/2 1.1.1.1:40000 -> 203.0.113.50:22 tcp: allow by `all` (1), untrust -> trust, out ethernet1/1 to 10.1.0.81 (default), nat `host`, destination 10.1.0.81
            ethernet1/2 1.1.1.1 -> 203.0.113.50: allow by `all` (1), untrust -> trust, out ethernet1/1 to 10.1.0.81 (default), nat `host`, destination 10.1.0.81
            ethernet1/2 1.1.1.1 -> 203.0.113.98: allow by `all` (1), untrust -> trust, out ethernet1/1 to 10.1.8.18 (default), nat `network`, destination 10.1.8.18
        "#]],
    );
}

#[test]
fn security_sees_the_zone_behind_the_translation_and_the_address_before_it() {
    let rules = rule("in", &[("to", &["untrust"]), ("destination", &["203.0.113.50"])], &to("10.1.0.80", ""));
    check_explained(
        &site(&rules),
        "ethernet1/2 1.1.1.1:40000 -> 203.0.113.50:80 tcp",
        expect![[r#"
        ingress: `ethernet1/2` is in zone `untrust` and router `default`
        route: router `default`: 203.0.113.0/24 is attached to `ethernet1/2`
        zone: NAT rules see destination zone `untrust`
        nat: rule `in`: destination becomes 10.1.0.80
        route: router `default`: 10.1.0.0/16 is attached to `ethernet1/1`
        security: from zone `untrust` to zone `trust`: rule `all` (1 of 3) says allow
        result: forwarded out by `ethernet1/1` to 10.1.0.80
    "#]],
    );
}

#[test]
fn translations_that_cannot_work_are_refused() {
    let rules = rule("sizes", &[("source", &["10.1.7.0/24"])], &fixed("203.0.113.64/28", false))
        + &rule("everyone", &[], &fixed("203.0.113.64", false))
        + &rule("families", &[("source", &["2001:db8::/64"])], &pool(&["203.0.113.64"]));
    check_diagnostics(
        &site(&rules),
        expect![[r#"
        error[nat-size-mismatch]: 256 original source addresses become 16 translated ones
          --> /vsys/entry[@name='vsys1']/rulebase/nat/rules/entry[@name='sizes']/source-translation/static-ip/translated-address
          help: use prefixes of equal length on both sides
        error[nat-size-mismatch]: `203.0.113.64` cannot stand for every source address
          --> /vsys/entry[@name='vsys1']/rulebase/nat/rules/entry[@name='everyone']/source-translation/static-ip/translated-address
          help: name the original addresses in `source`, as many as are translated to
    "#]],
    );
}

#[test]
fn the_firewall_answers_arp_for_translated_addresses_but_not_for_gateways_or_whole_networks() {
    let rules = rule("pool", &[("to", &["untrust"])], &pool(&["203.0.113.0-203.0.113.9", "198.51.100.77"]))
        + &rule("in", &[("to", &["untrust"]), ("destination", &["203.0.113.50"])], &to("10.1.0.80", ""))
        + &rule("whole", &[("to", &["untrust"]), ("destination", &["192.0.2.0/28"])], &to("10.1.0.80/28", ""));
    let tables = compiled(&site(&rules)).unwrap();
    let proxy: String =
        tables.interfaces().map(|(_, interface)| format!("{} {:?}\n", interface.name, interface.proxy)).collect();
    expect![[r#"
        ethernet1/1 []
        ethernet1/2 [(203.0.113.0, 203.0.113.0), (203.0.113.3, 203.0.113.9), (203.0.113.50, 203.0.113.50), (203.0.113.80, 203.0.113.80)]
        ethernet1/3 []
        ethernet1/4 []
        loopback.1 []
    "#]].assert_eq(&proxy);
    check_diagnostics(
        &site(&rules),
        expect![[r#"
        warning[nat-claims-network]: a NAT rule claims all of `192.0.2.0/28`, the network of `ethernet1/3`; ARP and NDP requests for it are not answered
          --> /vsys/entry[@name='vsys1']/rulebase/nat/rules/entry[@name='whole']
          help: name only the addresses that the firewall translates
    "#]],
    );
}

fn dynamic_ip(addresses: &str, fallback: &str) -> String {
    format!(
        "<source-translation><dynamic-ip><translated-address>{}</translated-address>{fallback}</dynamic-ip>\
         </source-translation>",
        members(&[addresses])
    )
}

fn spread(addresses: &str, by: &str) -> String {
    format!(
        "<dynamic-destination-translation><translated-address>{addresses}</translated-address>\
         <distribution>{by}</distribution></dynamic-destination-translation>"
    )
}

#[test]
fn clients_have_addresses_or_ports_to_themselves() {
    let fallback = "<fallback><interface-address><interface>ethernet1/2</interface></interface-address></fallback>";
    let persistent = INTERFACE.replace("dynamic-ip-and-port", "persistent-dynamic-ip-and-port");
    let rules = rule("hosts", &[("source", &["10.1.0.5"])], &dynamic_ip("203.0.113.16/28", fallback))
        + &rule("dry", &[("source", &["10.1.0.6"])], &dynamic_ip("203.0.113.32/28", ""))
        + &rule("keep", &[("source", &["10.1.0.7"])], &persistent);
    let flow = |last: u8| format!("ethernet1/1 10.1.0.{last}:40000 -> 1.1.1.1:443 tcp");
    check(
        &site(&rules),
        &[&flow(5), &flow(6), &flow(7)],
        expect![[r#"
        ethernet1/1 10.1.0.5:40000 -> 1.1.1.1:443 tcp: allow by `all` (1), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default), nat `hosts`, own source of 203.0.113.16-203.0.113.31 or of 203.0.113.2-203.0.113.2
        ethernet1/1 10.1.0.6:40000 -> 1.1.1.1:443 tcp: allow by `all` (1), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default), nat `dry`, own source of 203.0.113.32-203.0.113.47
        ethernet1/1 10.1.0.7:40000 -> 1.1.1.1:443 tcp: allow by `all` (1), trust -> untrust, out ethernet1/2 to 203.0.113.1 (default), nat `keep`, kept source of 203.0.113.2-203.0.113.2
    "#]],
    );
    check_explained(
        &site(&rules),
        &flow(5),
        expect![[r#"
        ingress: `ethernet1/1` is in zone `trust` and router `default`
        route: router `default`: route `default` (0.0.0.0/0) leads to 203.0.113.1 on `ethernet1/2`
        zone: NAT rules see destination zone `untrust`
        nat: rule `hosts`: source becomes one of 203.0.113.16 to 203.0.113.31, one for each client, or 203.0.113.2 with a new port when all are taken
        security: from zone `trust` to zone `untrust`: rule `all` (1 of 3) says allow
        result: forwarded out by `ethernet1/2` to 203.0.113.1
    "#]],
    );
}

#[test]
fn a_flow_is_led_to_one_of_several_servers() {
    let rules = rule("farm", &[("destination", &["203.0.113.50"])], &spread("10.1.0.81-10.1.0.83", "ip-modulo"))
        + &rule("turns", &[("destination", &["203.0.113.51"])], &spread("10.1.0.81-10.1.0.83", "round-robin"));
    check(
        &site(&rules),
        &[
            "ethernet1/2 1.1.1.1:40000 -> 203.0.113.50:80 tcp",
            "ethernet1/2 1.1.1.3:40000 -> 203.0.113.50:80 tcp",
            "ethernet1/2 1.1.1.2:40000 -> 203.0.113.51:80 tcp",
        ],
        expect![[r#"
            ethernet1/2 1.1.1.1:40000 -> 203.0.113.50:80 tcp: allow by `all` (1), untrust -> trust, out ethernet1/1 to 10.1.0.81 (default), nat `farm`, destination 10.1.0.81
            ethernet1/2 1.1.1.3:40000 -> 203.0.113.50:80 tcp: allow by `all` (1), untrust -> trust, out ethernet1/1 to 10.1.0.82 (default), nat `farm`, destination 10.1.0.82
            ethernet1/2 1.1.1.2:40000 -> 203.0.113.51:80 tcp: allow by `all` (1), untrust -> trust, out ethernet1/1 to 10.1.0.81 (default), nat `turns`, destination 10.1.0.81
        "#]],
    );
}

#[test]
fn pools_and_farms_are_bounded() {
    let rules = rule("hosts", &[], &dynamic_ip("10.64.0.0/14", ""))
        + &rule("farm", &[("destination", &["203.0.113.50"])], &spread("10.1.0.0/20", "ip-hash"));
    check_diagnostics(
        &site(&rules),
        expect![[r#"
        error[nat-size-mismatch]: NAT rule `hosts`: a dynamic-IP pool has 32768 addresses at most
          --> /vsys/entry[@name='vsys1']/rulebase/nat/rules/entry[@name='hosts']
          help: translate to fewer addresses, or use `dynamic-ip-and-port`
        error[nat-size-mismatch]: NAT rule `farm`: `10.1.0.0/20` stands for more than 1024 destinations
          --> /vsys/entry[@name='vsys1']/rulebase/nat/rules/entry[@name='farm']
          help: name the servers one by one
    "#]],
    );
}

#[test]
fn hosts_inside_reach_their_own_service_by_its_public_address() {
    // U-turn: both translations in one rule, so that the server answers the firewall and not its neighbour.
    let rules = rule(
        "u-turn",
        &[("from", &["trust"]), ("destination", &["203.0.113.50"])],
        &(INTERFACE.replace("ethernet1/2", "ethernet1/1") + &to("10.1.0.80", "")),
    );
    check(
        &site(&rules),
        &["ethernet1/1 10.1.0.5:40000 -> 203.0.113.50:80 tcp"],
        expect![[r#"
        ethernet1/1 10.1.0.5:40000 -> 203.0.113.50:80 tcp: allow by `all` (1), trust -> trust, out ethernet1/1 to 10.1.0.80 (default), nat `u-turn`, source of 10.1.0.1-10.1.0.1, destination 10.1.0.80
    "#]],
    );
}

#[test]
fn a_reverse_rule_is_suggested_where_there_is_none() {
    let one = [("from", &["trust"][..]), ("to", &["untrust"]), ("source", &["10.1.7.3"])];
    check_diagnostics(
        &site(&rule("web", &one, &fixed("203.0.113.67", false))),
        expect![[r#"
        info[nat-reverse-suggested]: NAT rule `web` gives `10.1.7.3` the address `203.0.113.67` outside, but no rule leads new flows to that address back, so that nobody outside can open one
          --> /vsys/entry[@name='vsys1']/rulebase/nat/rules/entry[@name='web']
          help: if somebody should, set `bi-directional` to `yes`; replies need no rule
    "#]],
    );
    check_diagnostics(&site(&rule("web", &one, &fixed("203.0.113.67", true))), expect![""]);
    let back = rule("back", &[("destination", &["203.0.113.67"])], &to("10.1.7.3", ""));
    check_diagnostics(&site(&(rule("web", &one, &fixed("203.0.113.67", false)) + &back)), expect![""]);
}
