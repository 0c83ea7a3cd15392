//! Random small configurations, as an administrator might write them.

#[path = "generate/nat.rs"]
mod nat;
#[path = "generate/routing.rs"]
mod routing;
#[path = "generate/rules.rs"]
mod rules;
#[path = "generate/settings.rs"]
mod settings;

use std::net::IpAddr;

use self::nat::nat_rule;
use self::routing::router;
pub(crate) use self::rules::{PORTS, SOURCE_PORTS};
use self::rules::{default_rules, objects, security_rule};

use super::bounds::Bounds;
use super::frames::Mac;
use super::host::{self, Host};
use super::random::Random;
use super::tunnels::{EGRESS, HAIRPIN, INGRESS, LOWER, Tunnel};

/// What stays the same in all configurations of a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    pub(crate) interfaces: usize,
    /// A loopback holds a public address.
    pub(crate) loopback: bool,
    /// A tunnel ends at one more interface.
    pub(crate) tunnel: Option<Tunnel>,
    /// Health checks are answered.
    pub(crate) host: Option<Host>,
    pub(crate) workers: u16,
    /// The second interface has its IPv4 address by DHCP.
    pub(crate) dhcp: bool,
    pub(crate) bounds: Bounds,
}

impl Network {
    pub(crate) fn new(random: &mut Random) -> Self {
        let interfaces = 2 + random.below(3);
        let (loopback, tunnel, host) = (random.percent(50), Tunnel::some(random), Host::some(random));
        let workers = if random.percent(30) { 2 + random.below(3) as u16 } else { 1 };
        // Each worker has tables of its own.
        let bounds = if workers == 1 { Bounds::some(random) } else { Bounds::usual() };
        let dhcp = random.percent(30);
        Self { interfaces, loopback, tunnel, host, workers, dhcp, bounds }
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
        host::NUMBER => host::NAME.into(),
        INGRESS => "t.ingress".into(),
        EGRESS => "t.egress".into(),
        HAIRPIN => "t.hairpin".into(),
        at => format!("ethernet1/{at}"),
    }
}

/// The number of an interface by its name.
pub(crate) fn interface_number(name: &str) -> Option<usize> {
    (1..=LOWER).chain([host::NUMBER, INGRESS, EGRESS, HAIRPIN]).find(|at| interface_name(*at) == name)
}

/// The MAC of an interface by its name: a part of a port has that of the port.
pub(crate) fn own_mac(interface: &str) -> Mac {
    let number = interface.strip_prefix("ethernet1/").and_then(|rest| rest.split('.').next()?.parse().ok());
    [2, 0xee, 0, 0, 0, number.unwrap_or(0)]
}

/// The address that a MAC has on its link (RFC 4291 appendix A).
pub(crate) fn link_local(mac: Mac) -> IpAddr {
    let [a, b, c, d, e, f] = mac.map(u16::from);
    [0xfe80, 0, 0, 0, (a ^ 2) << 8 | b, c << 8 | 0xff, 0xfe00 | d, e << 8 | f].into()
}

/// The interface that is a VLAN of the first port.
pub(crate) const PART: usize = 3;

/// The interface that may have its address by DHCP.
pub(crate) const DHCP: usize = 2;

/// Interface management profiles; not every interface has one.
const PROFILES: usize = 4;

/// An address of the firewall itself.
pub(crate) fn own_address(random: &mut Random, network: &Network, v6: bool) -> IpAddr {
    let interface = 1 + random.below(network.interfaces);
    match random.below(8) {
        0 | 1 if !v6 && network.loopback => "203.0.113.1".parse().expect("an address"),
        2 if !v6 => format!("10.9.{interface}.1").parse().expect("an address"),
        _ => host(interface, false, 1, v6),
    }
}

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
        let profile = match random.below(6) {
            at @ 0..PROFILES => format!("<interface-management-profile>m{at}</interface-management-profile>"),
            _ => String::new(),
        };
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
        let v4 = match at {
            DHCP if network.dhcp => {
                "<dhcp-client><enable>yes</enable><create-default-route>no</create-default-route></dhcp-client>".into()
            }
            _ => format!("<ip><entry name='10.0.{at}.1/24'/>{second}</ip>"),
        };
        let layer3 = format!(
            "{mtu}{v4}<ipv6><enabled>yes</enabled>\
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
             <interface-management-profile>m0</interface-management-profile></entry></units></loopback>"
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
            protections += &protection(rules, at, network.workers > 1);
            named = format!("<zone-protection-profile>p{at}</zone-protection-profile>");
        }
        zones_xml += &format!("<entry name='z{at}'><network><layer3>{members}</layer3>{named}</network></entry>");
    }
    let object = network.tunnel.map(|tunnel| {
        let router = random.below(routers);
        tunnel.object(router, [random.below(zones), random.below(zones)])
    });
    let profiles: String = (0..PROFILES).map(|at| management_profile(random, at)).collect();
    format!(
        "<config><devices><entry name='localhost.localdomain'>{}<network>\
         <profiles><interface-management-profile>{profiles}</interface-management-profile><zone-protection-profile>{protections}</zone-protection-profile></profiles>\
         <interface><ethernet>{interfaces}</ethernet>{loopback}</interface><virtual-router>{routing}</virtual-router>\
         </network><vsys><entry name='vsys1'><zone>{zones_xml}</zone>{}{}\
         <rulebase><nat><rules>{}</rules></nat><security><rules>{}</rules></security>{}</rulebase>\
         </entry></vsys></entry></devices></config>",
        settings::settings(rules),
        objects(rules, network),
        object.unwrap_or_default(),
        (0..rules.below(5)).map(|at| nat_rule(rules, network, zones, at)).collect::<String>(),
        (0..rules.below(13)).map(|at| security_rule(rules, network, zones, at)).collect::<String>(),
        default_rules(rules),
    )
}

/// What an interface answers, and whom.
fn management_profile(random: &mut Random, at: usize) -> String {
    let services: String = [("ping", 80), ("http", 70), ("https", 70), ("ssh", 30)]
        .iter()
        .map(|(service, chance)| {
            format!("<{service}>{}</{service}>", if random.percent(*chance) { "yes" } else { "no" })
        })
        .collect();
    let permitted = match random.below(4) {
        0 => "<permitted-ip><entry name='10.0.1.0/24'/><entry name='fd00:0:0:1::/64'/></permitted-ip>",
        1 => "<permitted-ip><entry name='172.16.0.0/12'/><entry name='10.0.2.10'/></permitted-ip>",
        _ => "",
    };
    format!("<entry name='m{at}'>{services}{permitted}</entry>")
}

/// A zone protection profile. Several workers count new flows each for itself: they have no limits here.
fn protection(random: &mut Random, at: usize, several: bool) -> String {
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
            let (activate, maximal) = if several { (0, 2_000_000) } else { (random.below(3), 4 + random.below(20)) };
            floods += &format!(
                "<tcp-syn><enable>yes</enable><syn-cookies><activate-rate>{activate}</activate-rate>\
                 <maximal-rate>{maximal}</maximal-rate></syn-cookies></tcp-syn>"
            );
        } else if random.percent(25) && !several {
            let activate = random.below(5);
            let maximal = activate + random.below(6);
            floods += &format!(
                "<{kind}><enable>yes</enable><red><activate-rate>{activate}</activate-rate>\
                 <maximal-rate>{maximal}</maximal-rate></red></{kind}>"
            );
        }
    }
    let mut scans = String::new();
    for id in [8001, 8002, 8003] {
        if random.percent(20) && !several {
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
