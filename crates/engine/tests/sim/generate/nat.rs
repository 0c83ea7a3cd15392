//! Which NAT rules are configured?

use super::super::random::Random;
use super::rules::{ADDRESSES, list, member, prefix, service_name, zone};
use super::{Network, address, host, interface_name, outside};

/// A literal of one family, or a group of both.
fn family_name(random: &mut Random, network: &Network, v6: bool) -> String {
    match random.below(10) {
        0..=3 => prefix(random, network, v6),
        4..=7 => address(random, network, v6).to_string(),
        8 => format!("g{}", random.below(3)),
        _ => format!("a{}", random.below(ADDRESSES)),
    }
}

pub(super) fn nat_rule(random: &mut Random, network: &Network, zones: usize, at: usize) -> String {
    if at == 0 && random.percent(40) {
        return farm_rule(random, network, at);
    }
    let interface = 1 + random.below(network.interfaces);
    let from = list(random, 40, |random| zone(random, zones));
    let to = list(random, 30, |random| zone(random, zones));
    let v6 = random.percent(35);
    let mut source = list(random, 60, |random| family_name(random, network, v6));
    let mut destination = list(random, 80, |random| family_name(random, network, v6));
    let mut service = if random.percent(80) { "any".into() } else { service_name(random) };
    let mut translation = String::new();
    match random.below(10) {
        0 => {}
        1 | 2 => {
            translation = source_pool(random, network, v6);
            source = list(random, 80, |random| family_name(random, network, v6));
        }
        3..=5 => {
            // One address or four, to as many.
            let (bits, first) = if random.percent(40) { (0, 10) } else { (2, 8) };
            let length = if v6 { 128 } else { 32 } - bits;
            source = member(&format!("{}/{length}", host(1 + random.below(2), random.percent(20), first, v6)));
            let outside = host(1 + random.below(2), false, 100, v6);
            let both = if random.percent(60) { "<bi-directional>yes</bi-directional>" } else { "" };
            translation = format!(
                "<source-translation><static-ip><translated-address>{outside}/{length}</translated-address>{both}\
                 </static-ip></source-translation>"
            );
        }
        kind => {
            let original = match random.below(4) {
                0 if network.loopback && !v6 => "203.0.113.1".parse().expect("an address"),
                _ => outside(random, v6),
            };
            let inner = host(1 + random.below(network.interfaces), random.percent(30), 10 + random.below(3), v6);
            destination = member(&original.to_string());
            let mut port = String::new();
            if kind == 6 {
                service = "service-http".into();
                port = "<translated-port>8080</translated-port>".into();
            }
            translation = match kind {
                7 | 8 => servers(random, network, v6),
                _ => format!(
                    "<destination-translation><translated-address>{inner}</translated-address>{port}\
                     </destination-translation>"
                ),
            };
            if kind >= 8 || random.percent(20) {
                translation += &source_pool(random, network, v6);
            }
        }
    }
    let only = match random.below(6) {
        0 => format!("<to-interface>{}</to-interface>", interface_name(interface)),
        _ => String::new(),
    };
    format!(
        "<entry name='nat-{at}'><from>{from}</from><to>{to}</to>{only}<source>{source}</source>\
         <destination>{destination}</destination><service>{service}</service>{translation}</entry>"
    )
}

/// Several servers, of one network or of several, and how sessions are spread over them.
fn servers(random: &mut Random, network: &Network, v6: bool) -> String {
    let interface = 1 + random.below(network.interfaces);
    let first = 10 + random.below(2);
    let addresses = match random.below(3) {
        0 => "farm".into(),
        _ => format!("{}-{}", host(interface, false, first, v6), host(interface, false, 12, v6)),
    };
    let ways = ["source-ip-hash", "ip-hash", "ip-modulo", "least-sessions", "round-robin", "round-robin"];
    // Several workers take turns and count sessions each for itself.
    let several = network.workers > 1;
    let by = *random.pick(if several { &ways[..3] } else { &ways });
    let by = if random.percent(10) && !several { String::new() } else { format!("<distribution>{by}</distribution>") };
    format!(
        "<dynamic-destination-translation><translated-address>{addresses}</translated-address>{by}\
         </dynamic-destination-translation>"
    )
}

/// A rule that spreads whatever comes for an outside address over servers.
fn farm_rule(random: &mut Random, network: &Network, at: usize) -> String {
    let v6 = random.percent(30);
    let first = host(1 + random.below(2), false, 100, v6);
    let length = if v6 { 127 } else { 31 };
    let source = if random.percent(30) { source_pool(random, network, v6) } else { String::new() };
    format!(
        "<entry name='nat-{at}'><from><member>any</member></from><to><member>any</member></to>\
         <source><member>any</member></source><destination><member>{first}/{length}</member></destination>\
         <service>any</service>{}{source}</entry>",
        servers(random, network, v6)
    )
}

fn source_pool(random: &mut Random, network: &Network, v6: bool) -> String {
    let kind = match random.below(10) {
        0..=4 => "dynamic-ip-and-port",
        5..=7 => "persistent-dynamic-ip-and-port",
        _ => {
            let addresses = pool_addresses(random, network, v6);
            let fallback = match random.below(2) {
                0 => format!("<fallback>{}</fallback>", port_pool(random, network, v6)),
                _ => String::new(),
            };
            return format!("<source-translation><dynamic-ip>{addresses}{fallback}</dynamic-ip></source-translation>");
        }
    };
    format!("<source-translation><{kind}>{}</{kind}></source-translation>", port_pool(random, network, v6))
}

fn port_pool(random: &mut Random, network: &Network, v6: bool) -> String {
    match random.below(3) {
        0 => {
            let interface = 1 + random.below(network.interfaces);
            format!("<interface-address><interface>{}</interface></interface-address>", interface_name(interface))
        }
        _ => pool_addresses(random, network, v6),
    }
}

fn pool_addresses(random: &mut Random, network: &Network, v6: bool) -> String {
    let interface = 1 + random.below(network.interfaces);
    let members = match (random.below(2), v6) {
        (0, _) => {
            let last = 101 + random.below(3);
            member(&format!("{}-{}", host(interface, false, 101, v6), host(interface, false, last, v6)))
        }
        (_, false) => member("192.0.2.0/30") + &member("192.0.2.9"),
        (_, true) => member("2001:db8::10/126") + &member("2001:db8::20"),
    };
    format!("<translated-address>{members}</translated-address>")
}
