//! Which routers and routes are configured?

use super::super::random::Random;
use super::{GATEWAY, Network, host, interface_name};

pub(super) fn router(
    random: &mut Random,
    network: &Network,
    at: usize,
    all: &[Vec<usize>],
    loopback: Option<usize>,
) -> String {
    let (members, routers) = (&all[at], all.len());
    let owner = |interface: &usize| all.iter().position(|members| members.contains(interface)).unwrap_or(0);
    let mut routes = [String::new(), String::new()];
    for (family, v6) in [(0, false), (1, true)] {
        let mut entry = |destination: &str, next_hop: String, more: &str| {
            let name = format!("r{}", routes[family].matches("<entry").count());
            routes[family] +=
                &format!("<entry name='{name}'><destination>{destination}</destination>{next_hop}{more}</entry>");
        };
        let (ip, every) = if v6 { ("ipv6-address", "::/0") } else { ("ip-address", "0.0.0.0/0") };
        let via = |interface| format!("<nexthop><{ip}>{}</{ip}></nexthop>", host(interface, false, GATEWAY, v6));
        let other = |router: usize| format!("<nexthop><next-vr>vr{router}</next-vr></nexthop>");
        let net = |interface: usize, far: bool| match (v6, far) {
            (false, false) => format!("10.0.{interface}.0/24"),
            (false, true) => format!("172.16.{interface}.0/24"),
            (true, false) => format!("fd00:0:0:{interface}::/64"),
            (true, true) => format!("fd01:0:0:{interface}::/64"),
        };
        for member in members {
            if random.percent(if routers > 1 { 97 } else { 80 }) {
                entry(&net(*member, true), via(*member), "");
            }
        }
        match random.below(10) {
            0..=4 => {
                for _ in 0..=random.below(2) {
                    entry(every, via(*random.pick(members)), "");
                }
            }
            // Mostly towards the first router; that one rarely sends back.
            5..=7 if at > 0 || (routers > 1 && random.percent(20)) => {
                entry(every, other(if at > 0 { at - 1 } else { 1 }), "<metric>20</metric>");
            }
            8 => entry(every, "<nexthop><discard/></nexthop>".into(), ""),
            _ => {}
        }
        for interface in network.all().filter(|interface| !members.contains(interface)) {
            if routers > 1 && random.percent(60) {
                // Now and then a detour, or a circle.
                let next = if random.percent(95) { owner(&interface) } else { (at + 1) % routers };
                entry(&net(interface, false), other(next), "");
                if random.percent(70) {
                    entry(&net(interface, true), other(next), "");
                }
            }
        }
        if let Some(holder) = loopback.filter(|holder| !v6 && *holder != at && random.percent(40)) {
            entry("203.0.113.1/32", other(holder), "");
        }
        let narrow = match v6 {
            false => format!("172.16.{}.10/31", 1 + random.below(network.interfaces)),
            true => format!("fd01:0:0:{}::a/127", 1 + random.below(network.interfaces)),
        };
        // Several routes for one destination: distance, metric and order decide.
        for _ in 0..random.below(6).saturating_sub(1) {
            let next_hop = match random.below(3) {
                0 => "<nexthop><discard/></nexthop>".into(),
                _ => via(*random.pick(members)),
            };
            let more = [
                "",
                "<metric>5</metric>",
                "<admin-dist>20</admin-dist>",
                "<admin-dist>12</admin-dist><metric>1</metric>",
            ];
            let monitored = if random.percent(30) { monitor(v6) } else { String::new() };
            entry(&narrow, next_hop, &(more[random.below(4)].to_owned() + &monitored));
        }
    }
    let mut names: String = members.iter().map(|at| format!("<member>{}</member>", interface_name(*at))).collect();
    if loopback == Some(at) {
        names += "<member>loopback.1</member>";
    }
    let [v4, v6] = routes;
    format!(
        "<entry name='vr{at}'><interface>{names}</interface>{}<routing-table><ip><static-route>{v4}</static-route></ip>\
         <ipv6><static-route>{v6}</static-route></ipv6></routing-table></entry>",
        ecmp(random)
    )
}

/// Path monitoring; whether the path is dead is a matter of the moment.
fn monitor(v6: bool) -> String {
    let destination = if v6 { "fd09::9" } else { "172.31.0.9" };
    format!(
        "<path-monitor><enable>yes</enable><monitor-destinations><entry name='d'><enable>yes</enable>\
         <destination>{destination}</destination></entry></monitor-destinations></path-monitor>"
    )
}

fn ecmp(random: &mut Random) -> String {
    if random.percent(40) {
        return String::new();
    }
    let algorithm = match random.below(6) {
        0 => "<ip-modulo/>",
        1 => "<ip-hash><src-only>yes</src-only></ip-hash>",
        2 => "<ip-hash><use-port>yes</use-port><hash-seed>9</hash-seed></ip-hash>",
        3 => {
            "<weighted-round-robin><interface><entry name='ethernet1/2'><weight>255</weight></entry></interface>\
             </weighted-round-robin>"
        }
        4 => "<ip-hash/>",
        _ => "<balanced-round-robin/>",
    };
    let paths = 2 + random.below(3);
    format!("<ecmp><enable>yes</enable><max-path>{paths}</max-path><algorithm>{algorithm}</algorithm></ecmp>")
}
