//! Which objects and security rules are configured?

use super::super::random::Random;
use super::settings::of_service;
use super::{Network, address, host};

pub(super) const ADDRESSES: usize = 8;
/// External dynamic lists.
const LISTS: usize = 2;
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

pub(super) fn objects(random: &mut Random, network: &Network) -> String {
    let mut addresses = String::new();
    for at in 0..ADDRESSES {
        let v6 = random.percent(20);
        let ip = address(random, network, v6);
        let value = match random.below(12) {
            0 => format!("<fqdn>{}.example.com</fqdn>", random.pick(&["www", "api"])),
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
    for (at, (last, v6)) in [(12, false), (10, false), (11, true), (10, true)].into_iter().enumerate() {
        let server = host(1 + random.below(network.interfaces), false, last, v6);
        addresses += &format!("<entry name='f{at}'><ip-netmask>{server}</ip-netmask></entry>");
    }
    let list = |at| format!("<entry name='l{at}'><type><ip><url>http://lists/{at}</url></ip></type></entry>");
    let lists: String = (0..LISTS).map(list).collect();
    let schedule = "<entry name='sc'><schedule-type><recurring><daily><member>08:00-18:00</member></daily></recurring>\
                    </schedule-type></entry>";
    let filter = *random.pick(&["'red'", "'red' and not 'blue'", "'red' or 'blue'"]);
    let services: String = SERVICES
        .iter()
        .enumerate()
        .map(|(at, protocol)| {
            let tcp = protocol.starts_with("<tcp>");
            let (ports, close) = protocol.split_at(protocol.len() - "</tcp>".len());
            format!("<entry name='s{at}'><protocol>{ports}{}{close}</protocol></entry>", of_service(random, tcp))
        })
        .collect();
    format!(
        "<address>{addresses}</address><address-group>\
         <entry name='g0'><static><member>a{}</member><member>g1</member></static></entry>\
         <entry name='g1'><static><member>a{}</member></static></entry>\
         <entry name='farm'><static><member>f0</member><member>f1</member><member>f2</member><member>f3</member>\
         </static></entry><entry name='g2'><dynamic><filter>{filter}</filter></dynamic></entry></address-group>\
         <external-list>{lists}</external-list><schedule>{schedule}</schedule>\
         <service>{services}</service><service-group><entry name='sg'><members><member>s{}</member><member>s2</member>\
         </members></entry></service-group><tag><entry name='red'/><entry name='blue'/></tag>",
        random.below(ADDRESSES),
        random.below(ADDRESSES),
        *random.pick(&[0, 1, 3, 4, 5]),
    )
}

pub(super) fn prefix(random: &mut Random, network: &Network, v6: bool) -> String {
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

pub(super) fn member(name: &str) -> String {
    format!("<member>{name}</member>")
}

/// Any, or one or two of the names `choose` gives.
pub(super) fn list(random: &mut Random, any: usize, mut choose: impl FnMut(&mut Random) -> String) -> String {
    if random.percent(any) {
        return member("any");
    }
    let first = choose(random);
    let second = choose(random);
    if random.percent(30) && second != first { member(&first) + &member(&second) } else { member(&first) }
}

pub(super) fn zone(random: &mut Random, zones: usize) -> String {
    format!("z{}", random.below(zones))
}

/// An object, a group or a literal.
fn address_name(random: &mut Random, network: &Network) -> String {
    let v6 = random.percent(25);
    match random.below(11) {
        0..=3 => format!("a{}", random.below(ADDRESSES)),
        4 | 5 => format!("g{}", random.below(3)),
        6 | 7 => prefix(random, network, v6),
        8 => format!("l{}", random.below(LISTS)),
        _ => address(random, network, v6).to_string(),
    }
}

pub(super) fn service_name(random: &mut Random) -> String {
    match random.below(8) {
        0 => "sg".into(),
        1 => "service-http".into(),
        _ => format!("s{}", random.below(SERVICES.len())),
    }
}

pub(super) fn security_rule(random: &mut Random, network: &Network, zones: usize, at: usize) -> String {
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
    if random.percent(10) {
        more += "<schedule>sc</schedule>";
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

pub(super) fn default_rules(random: &mut Random) -> String {
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
