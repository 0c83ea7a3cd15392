//! Random small configurations, as an administrator might write them.

use std::net::IpAddr;

use super::random::Random;
use super::tunnels::{EGRESS, INGRESS, LOWER, Tunnel};

/// What stays the same in all configurations of a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    pub(crate) interfaces: usize,
    /// A loopback holds a public address.
    pub(crate) loopback: bool,
    /// A tunnel ends at one more interface.
    pub(crate) tunnel: Option<Tunnel>,
}

impl Network {
    pub(crate) fn new(random: &mut Random) -> Self {
        Self { interfaces: 2 + random.below(3), loopback: random.percent(50), tunnel: Tunnel::some(random) }
    }

    /// The numbers of all interfaces.
    pub(crate) fn all(&self) -> impl Iterator<Item = usize> + Clone + use<> {
        (1..=self.interfaces).chain(self.tunnel.map(|_| LOWER))
    }
}

/// Name of the n-th interface, from 1.
pub(crate) fn interface_name(at: usize) -> String {
    match at {
        PART => format!("ethernet1/1.{PART}"),
        INGRESS => "t.ingress".into(),
        EGRESS => "t.egress".into(),
        at => format!("ethernet1/{at}"),
    }
}

/// The number of an interface by its name.
pub(crate) fn interface_number(name: &str) -> Option<usize> {
    (1..=LOWER).chain([INGRESS, EGRESS]).find(|at| interface_name(*at) == name)
}

/// The interface that is a VLAN of the first port.
pub(crate) const PART: usize = 3;

/// A host on the network of an interface (`far`: on one behind its gateway).
pub(crate) fn host(interface: usize, far: bool, number: usize, v6: bool) -> IpAddr {
    let text = match (v6, far) {
        (false, false) => format!("10.0.{interface}.{number}"),
        (false, true) => format!("172.16.{interface}.{number}"),
        (true, false) => format!("fd00:0:0:{interface}::{number:x}"),
        (true, true) => format!("fd01:0:0:{interface}::{number:x}"),
    };
    text.parse().expect("an address")
}

/// Last number of every gateway.
pub(crate) const GATEWAY: usize = 254;

/// An address that means something in these configurations, or nearly.
pub(crate) fn address(random: &mut Random, network: &Network, v6: bool) -> IpAddr {
    let interface = 1 + random.below(network.interfaces);
    let number = 10 + random.below(3);
    match random.below(20) {
        0..=6 => host(interface, false, number, v6),
        7..=9 => host(interface, true, number, v6),
        10..=15 => outside(random, v6),
        16 => host(interface, false, 1, v6),
        18 if !v6 => format!("10.9.{interface}.{number}").parse().expect("an address"),
        17 if !v6 && network.loopback => "203.0.113.1".parse().expect("an address"),
        17 | 18 if !v6 => format!("192.0.2.{}", random.below(16)).parse().expect("an address"),
        _ if v6 => format!("2001:db8::{:x}", 8 + random.below(2)).parse().expect("an address"),
        _ => format!("8.8.8.{}", 8 + random.below(2)).parse().expect("an address"),
    }
}

/// An address that rules translate to or from; few, so that flows meet rules.
fn outside(random: &mut Random, v6: bool) -> IpAddr {
    host(1 + random.below(2), false, 100 + random.below(2), v6)
}

/// A whole configuration. A commit may change only the rules: then the first dice are the same again.
pub(crate) fn config(random: &mut Random, rules: &mut Random, network: &Network) -> String {
    let zones = 1 + random.below(3);
    let routers = 1 + random.below(network.interfaces.min(3));
    let mut member_of_zone = vec![String::new(); zones];
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); routers];
    let mut interfaces = String::new();
    for at in network.all() {
        let profile =
            if random.percent(50) { "<interface-management-profile>ping</interface-management-profile>" } else { "" };
        // Some interfaces have a second network.
        let second = if random.percent(30) { format!("<entry name='10.9.{at}.1/24'/>") } else { String::new() };
        let mtu = match at {
            LOWER => ["<mtu>9000</mtu>", "", "<mtu>1500</mtu>", "<mtu>1450</mtu>"][random.below(4)],
            _ => ["", "", "<mtu>1280</mtu>", "<mtu>1400</mtu>"][random.below(4)],
        };
        let adjust = match random.below(4) {
            0 => "<adjust-tcp-mss><enable>yes</enable></adjust-tcp-mss>",
            1 => {
                "<adjust-tcp-mss><enable>yes</enable><ipv4-mss-adjustment>300</ipv4-mss-adjustment>\
                 <ipv6-mss-adjustment>120</ipv6-mss-adjustment></adjust-tcp-mss>"
            }
            _ => "",
        };
        let layer3 = format!(
            "{mtu}<ip><entry name='10.0.{at}.1/24'/>{second}</ip><ipv6><enabled>yes</enabled>\
             <address><entry name='fd00:0:0:{at}::1/64'/></address></ipv6>{adjust}{profile}"
        );
        let name = interface_name(at);
        if at == PART {
            let unit = format!("<units><entry name='{name}'><tag>{}</tag>{layer3}</entry></units>", 100 + at);
            interfaces = interfaces.replacen("</layer3>", &format!("{unit}</layer3>"), 1);
        } else {
            interfaces += &format!("<entry name='{name}'><layer3>{layer3}</layer3></entry>");
        }
        if random.percent(97) {
            member_of_zone[random.below(zones)] += &format!("<member>{name}</member>");
        }
        // Every router gets an interface first.
        let router = if at <= routers { at - 1 } else { random.below(routers) };
        members[router].push(at);
    }
    let mut loopback = String::new();
    let with_loopback = random.below(routers);
    if network.loopback {
        loopback = "<loopback><units><entry name='loopback.1'><ip><entry name='203.0.113.1'/></ip>\
             <interface-management-profile>ping</interface-management-profile></entry></units></loopback>"
            .into();
        member_of_zone[random.below(zones)] += "<member>loopback.1</member>";
    }
    let mut routing = String::new();
    for at in 0..routers {
        routing += &router(random, network, at, &members, network.loopback.then_some(with_loopback));
    }
    let mut protections = String::new();
    let mut zones_xml = String::new();
    for (at, members) in member_of_zone.iter().enumerate() {
        let mut named = String::new();
        if rules.percent(40) {
            protections += &protection(rules, at);
            named = format!("<zone-protection-profile>p{at}</zone-protection-profile>");
        }
        zones_xml += &format!("<entry name='z{at}'><network><layer3>{members}</layer3>{named}</network></entry>");
    }
    let object = network.tunnel.map(|tunnel| {
        let router = random.below(routers);
        tunnel.object(router, [random.below(zones), random.below(zones)])
    });
    let permitted = match random.below(3) {
        0 => "<permitted-ip><entry name='10.0.1.0/24'/><entry name='fd00:0:0:1::/64'/></permitted-ip>",
        _ => "",
    };
    format!(
        "<config><devices><entry name='localhost.localdomain'><network>\
         <profiles><interface-management-profile><entry name='ping'><ping>yes</ping>{permitted}</entry>\
         </interface-management-profile><zone-protection-profile>{protections}</zone-protection-profile></profiles>\
         <interface><ethernet>{interfaces}</ethernet>{loopback}</interface><virtual-router>{routing}</virtual-router>\
         </network><vsys><entry name='vsys1'><zone>{zones_xml}</zone>{}{}\
         <rulebase><nat><rules>{}</rules></nat><security><rules>{}</rules></security>{}</rulebase>\
         </entry></vsys></entry></devices></config>",
        objects(rules, network),
        object.unwrap_or_default(),
        (0..rules.below(5)).map(|at| nat_rule(rules, network, zones, at)).collect::<String>(),
        (0..rules.below(13)).map(|at| security_rule(rules, network, zones, at)).collect::<String>(),
        default_rules(rules),
    )
}

fn router(random: &mut Random, network: &Network, at: usize, all: &[Vec<usize>], loopback: Option<usize>) -> String {
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

/// A zone protection profile. Floods have one rate for all, so that no dice are thrown about them.
fn protection(random: &mut Random, at: usize) -> String {
    let mut settings = String::new();
    for (check, chance) in [
        ("discard-ip-spoof", 30),
        ("strict-ip-check", 10),
        ("discard-ip-frag", 15),
        ("discard-icmp-frag", 15),
        ("discard-icmp-large-packet", 20),
        ("discard-icmp-error", 15),
        ("discard-icmp-ping-zero-id", 40),
        ("suppress-icmp-timeexceeded", 30),
        ("suppress-icmp-needfrag", 30),
    ] {
        if random.percent(chance) {
            settings += &format!("<{check}>yes</{check}>");
        }
    }
    let mut floods = String::new();
    for kind in ["tcp-syn", "udp", "icmp", "icmpv6", "other-ip"] {
        if kind == "tcp-syn" && random.percent(40) {
            let (activate, maximal) = (random.below(3), 4 + random.below(20));
            floods += &format!(
                "<tcp-syn><enable>yes</enable><syn-cookies><activate-rate>{activate}</activate-rate>\
                 <maximal-rate>{maximal}</maximal-rate></syn-cookies></tcp-syn>"
            );
        } else if random.percent(25) {
            let rate = 1 + random.below(4);
            floods += &format!(
                "<{kind}><enable>yes</enable><red><activate-rate>{rate}</activate-rate>\
                 <maximal-rate>{rate}</maximal-rate></red></{kind}>"
            );
        }
    }
    let mut scans = String::new();
    for id in [8001, 8002, 8003] {
        if random.percent(20) {
            let action = *random.pick(&[
                "<allow/>",
                "<alert/>",
                "<block/>",
                "<block-ip><track-by>source</track-by><duration>7</duration></block-ip>",
                "<block-ip><track-by>source-and-destination</track-by><duration>20</duration></block-ip>",
            ]);
            scans += &format!(
                "<entry name='{id}'><action>{action}</action><interval>{}</interval><threshold>{}</threshold></entry>",
                2 + random.below(9),
                2 + random.below(3),
            );
        }
    }
    format!("<entry name='p{at}'>{settings}<flood>{floods}</flood><scan>{scans}</scan></entry>")
}

const ADDRESSES: usize = 8;
const SERVICES: [&str; 6] = [
    "<tcp><port>80</port></tcp>",
    "<tcp><port>22,1000-2000</port></tcp>",
    "<udp><port>53</port></udp>",
    "<udp><port>500-5000</port></udp>",
    "<tcp><port>443</port><source-port>1024-32000</source-port></tcp>",
    "<udp><port>53</port><source-port>1-1023,40000</source-port></udp>",
];

/// Destination ports that the services above tell apart.
pub(crate) const PORTS: [u16; 8] = [80, 22, 53, 443, 1000, 2000, 5000, 9999];
/// Source ports that they tell apart.
pub(crate) const SOURCE_PORTS: [u16; 5] = [40_000, 600, 1024, 32_000, 50_001];

fn objects(random: &mut Random, network: &Network) -> String {
    let mut addresses = String::new();
    for at in 0..ADDRESSES {
        let v6 = random.percent(20);
        let ip = address(random, network, v6);
        let value = match random.below(12) {
            0 => "<fqdn>www.example.com</fqdn>".into(),
            1 => "<ip-wildcard>10.0.0.10/0.0.255.0</ip-wildcard>".into(),
            2..=4 => format!("<ip-netmask>{}</ip-netmask>", prefix(random, network, v6)),
            5 if !v6 => {
                let interface = 1 + random.below(network.interfaces);
                format!(
                    "<ip-range>10.0.{interface}.{}-10.0.{interface}.{}</ip-range>",
                    10 + random.below(2),
                    11 + random.below(90)
                )
            }
            _ => format!("<ip-netmask>{ip}</ip-netmask>"),
        };
        let tags: String = ["red", "blue"]
            .iter()
            .filter(|_| random.percent(40))
            .map(|tag| format!("<member>{tag}</member>"))
            .collect();
        addresses += &format!("<entry name='a{at}'>{value}<tag>{tags}</tag></entry>");
    }
    let filter = *random.pick(&["'red'", "'red' and not 'blue'", "'red' or 'blue'"]);
    let services: String = SERVICES
        .iter()
        .enumerate()
        .map(|(at, protocol)| format!("<entry name='s{at}'><protocol>{protocol}</protocol></entry>"))
        .collect();
    format!(
        "<address>{addresses}</address><address-group>\
         <entry name='g0'><static><member>a{}</member><member>g1</member></static></entry>\
         <entry name='g1'><static><member>a{}</member></static></entry>\
         <entry name='g2'><dynamic><filter>{filter}</filter></dynamic></entry></address-group>\
         <service>{services}</service><service-group><entry name='sg'><members><member>s{}</member><member>s2</member>\
         </members></entry></service-group><tag><entry name='red'/><entry name='blue'/></tag>",
        random.below(ADDRESSES),
        random.below(ADDRESSES),
        *random.pick(&[0, 1, 3, 4, 5]),
    )
}

fn prefix(random: &mut Random, network: &Network, v6: bool) -> String {
    let interface = 1 + random.below(network.interfaces);
    match (v6, random.below(4)) {
        (false, 0) => "10.0.0.0/16".into(),
        (false, 1) => format!("10.0.{interface}.0/24"),
        (false, 2) => format!("172.16.{interface}.10/31"),
        (false, _) => format!("10.0.{interface}.96/28"),
        (true, 0) => "fd00::/16".into(),
        (true, 1) => format!("fd00:0:0:{interface}::/64"),
        (true, _) => format!("fd01:0:0:{interface}::a/127"),
    }
}

fn member(name: &str) -> String {
    format!("<member>{name}</member>")
}

/// Any, or one or two of the names `choose` gives.
fn list(random: &mut Random, any: usize, mut choose: impl FnMut(&mut Random) -> String) -> String {
    if random.percent(any) {
        return member("any");
    }
    let first = choose(random);
    let second = choose(random);
    if random.percent(30) && second != first { member(&first) + &member(&second) } else { member(&first) }
}

fn zone(random: &mut Random, zones: usize) -> String {
    format!("z{}", random.below(zones))
}

/// An object, a group or a literal.
fn address_name(random: &mut Random, network: &Network) -> String {
    let v6 = random.percent(25);
    match random.below(10) {
        0..=3 => format!("a{}", random.below(ADDRESSES)),
        4 | 5 => format!("g{}", random.below(3)),
        6 | 7 => prefix(random, network, v6),
        _ => address(random, network, v6).to_string(),
    }
}

fn service_name(random: &mut Random) -> String {
    match random.below(8) {
        0 => "sg".into(),
        1 => "service-http".into(),
        _ => format!("s{}", random.below(SERVICES.len())),
    }
}

fn security_rule(random: &mut Random, network: &Network, zones: usize, at: usize) -> String {
    let action = *random.pick(&[
        "allow",
        "allow",
        "allow",
        "allow",
        "allow",
        "deny",
        "drop",
        "reset-client",
        "reset-server",
        "reset-both",
    ]);
    let kind = match random.below(10) {
        0 => "intrazone",
        1 => "interzone",
        _ => "universal",
    };
    let from = list(random, 40, |random| zone(random, zones));
    let to = if kind == "intrazone" { from.clone() } else { list(random, 40, |random| zone(random, zones)) };
    let source = list(random, 50, |random| address_name(random, network));
    let destination = list(random, 50, |random| address_name(random, network));
    let mut more = String::new();
    for (side, members) in [("source", &source), ("destination", &destination)] {
        if !members.contains("any") && random.percent(15) {
            more += &format!("<negate-{side}>yes</negate-{side}>");
        }
    }
    if random.percent(5) {
        more += "<disabled>yes</disabled>";
    }
    if matches!(action, "deny" | "drop" | "reset-client" | "reset-both") && random.percent(30) {
        more += "<icmp-unreachable>yes</icmp-unreachable>";
    }
    let service = match random.below(10) {
        0 => member("application-default"),
        _ => list(random, 50, service_name),
    };
    let application = if random.percent(5) { "web-browsing" } else { "any" };
    format!(
        "<entry name='rule-{at}'><rule-type>{kind}</rule-type><from>{from}</from><to>{to}</to><source>{source}</source>\
         <destination>{destination}</destination><service>{service}</service>\
         <application><member>{application}</member></application><action>{action}</action>{more}</entry>"
    )
}

fn default_rules(random: &mut Random) -> String {
    let rule = |name: &str, action: &str| format!("<entry name='{name}'><action>{action}</action></entry>");
    let mut rules = String::new();
    if random.percent(50) {
        rules += &rule("interzone-default", "allow");
    }
    if random.percent(10) {
        rules += &rule("intrazone-default", "deny");
    }
    format!("<default-security-rules><rules>{rules}</rules></default-security-rules>")
}

/// A literal of one family, or a group of both.
fn family_name(random: &mut Random, network: &Network, v6: bool) -> String {
    match random.below(10) {
        0..=3 => prefix(random, network, v6),
        4..=7 => address(random, network, v6).to_string(),
        8 => format!("g{}", random.below(3)),
        _ => format!("a{}", random.below(ADDRESSES)),
    }
}

fn nat_rule(random: &mut Random, network: &Network, zones: usize, at: usize) -> String {
    let interface = 1 + random.below(network.interfaces);
    let from = list(random, 40, |random| zone(random, zones));
    let to = list(random, 30, |random| zone(random, zones));
    let v6 = random.percent(15);
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
                7 => {
                    let interface = 1 + random.below(network.interfaces);
                    let (first, last) = (host(interface, false, 10, v6), host(interface, false, 12, v6));
                    format!(
                        "<dynamic-destination-translation><translated-address>{first}-{last}</translated-address>\
                         <distribution>ip-modulo</distribution></dynamic-destination-translation>"
                    )
                }
                _ => format!(
                    "<destination-translation><translated-address>{inner}</translated-address>{port}\
                     </destination-translation>"
                ),
            };
            if kind >= 8 {
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
