//! Cloud load balancers and the CNI plugin: what comes out of a tunnel is judged like any packet, and goes
//! back with the headers it came with.

#![expect(clippy::unwrap_used, reason = "a test that cannot build its packet fails")]

use std::net::IpAddr;

use bartizan_engine::settings::{Limits, Settings};
use bartizan_engine::verdict::{DropReason, Event};
use bartizan_packet::answer::{Link, ip_frame};
use bartizan_packet::arp::{Arp, Operation};
use bartizan_packet::bytes::{put_u16, u16_at};
use bartizan_packet::ethernet;
use bartizan_packet::fragment;
use bartizan_packet::frame::{Frame, Meta};
use bartizan_packet::geneve::{self, AWS, GOOGLE};
use bartizan_packet::parse::{Layer4, Packet, Parsed, UDP, parse, parse_as};
use bartizan_packet::tunnel::{Capsule, Carries, Encapsulation, checksum_is_right};
use bartizan_packet::vxlan::{self, Vni};
use bartizan_policy::tunnels::Unmapped;

use crate::house::{dynamic, house, rule, rule_with};
use crate::lab::{Lab, neighbor_mac, port_mac};

pub(crate) const ENDPOINT: u64 = 0x0a1b_2c3d_4e5f_6071;
const ENDPOINT_NAME: &str = "vpce-00a1b2c3d4e5f6071";
pub(crate) const BALANCER: &str = "10.1.0.9";
const POD: &str = "10.244.1.7";
pub(crate) const POD_MAC: [u8; 6] = [0x0e, 0, 0, 0, 0, 7];

/// The house with traffic objects; their zones are `pods` and `vpc`.
pub(crate) fn cloud(objects: &str, nat: &str, security: &str) -> String {
    let zones = "<entry name='pods'><network><layer3/></network></entry>\
                 <entry name='vpc'><network><layer3/></network></entry>";
    house(nat, security)
        .replace("<zone>", &format!("<zone>{zones}"))
        .replace("<rulebase>", &format!("<traffic-object>{objects}</traffic-object><rulebase>"))
}

fn object(name: &str, tunnel: &str, settings: &str, ingress: &str, egress: &str) -> String {
    format!(
        "<entry name='{name}'><{tunnel}>{settings}<network><logical-router>lr</logical-router>\
         <zone-ingress>{ingress}</zone-ingress><zone-egress>{egress}</zone-egress>\
         <interface><member>ethernet1/1</member></interface></network></{tunnel}></entry>"
    )
}

pub(crate) fn vpc(overlay: bool) -> String {
    let overlay = if overlay { "<overlay-routing>yes</overlay-routing>" } else { "" };
    object("apps", "vpc", &format!("<vpce-id>{ENDPOINT_NAME}</vpce-id>{overlay}"), "vpc", "trust")
}

pub(crate) fn cluster(name: &str, id: u32) -> String {
    object(name, "k8s-cluster", &format!("<cluster-id>{id}</cluster-id>"), "pods", "pods")
}

pub(crate) fn everything() -> String {
    rule("all", "any", "any", "allow")
}

/// AWS's options, in the order of these positions.
pub(crate) fn aws(endpoint: u64, cookie: [u8; 4], order: [usize; 3], kind: u16) -> Vec<u8> {
    let endpoint = endpoint.to_be_bytes();
    let options: [(u16, u8, &[u8]); 3] = [(AWS, 1, &endpoint), (AWS, 2, &[7; 8]), (AWS, 3, &cookie)];
    geneve::header(kind, Vni::default(), &order.map(|at| options[at])).unwrap()
}

fn google(network: u32, kind: u16) -> Vec<u8> {
    let word = (network << 4 | 1).to_be_bytes();
    geneve::header(kind, Vni::default(), &[(GOOGLE, 3, &[3; 8]), (GOOGLE, 2, &[9; 20]), (GOOGLE, 1, &word)]).unwrap()
}

pub(crate) fn udp(link: Link, ends: (&str, &str), ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let (source, destination): (IpAddr, IpAddr) = (ends.0.parse().unwrap(), ends.1.parse().unwrap());
    let mut message = [ports.0.to_be_bytes(), ports.1.to_be_bytes(), [0; 2], [0; 2]].concat();
    message.extend(payload);
    let length = message.len() as u16;
    put_u16(&mut message, 4, length);
    if source.is_ipv6() {
        let value = bartizan_packet::checksum::transport(source, destination, UDP, &message);
        put_u16(&mut message, 6, value);
    }
    ip_frame(link, source, destination, UDP, 30, &message)
}

/// The address that packets on this family's underlay are sent to.
pub(crate) fn outer(peer: &str, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let own = if peer.contains(':') { "2001:db8:1::1" } else { "10.1.0.1" };
    let link = Link { source: neighbor_mac(peer.parse().unwrap()), destination: port_mac("e1") };
    udp(link, (peer, own), ports, payload)
}

impl Lab {
    /// The inner packet of a line, behind a GENEVE header.
    fn geneve(&mut self, header: &[u8], source_port: u16, line: &str) -> String {
        let (_, inner, _) = self.packet(&format!("e1 {line}"));
        let payload = [header, &inner[14..]].concat();
        self.known_ports.extend([source_port, 6081]);
        self.inject("e1", outer(BALANCER, (source_port, 6081), &payload), Meta::default())
    }

    pub(crate) fn vxlan_frame(&mut self, vni: u32, line: &str) -> Vec<u8> {
        let (_, mut inner, _) = self.packet(&format!("e1 {line}"));
        self.known_ports.extend([33_000, 6080, 6081, 50_001]);
        ethernet::address(&mut inner, [2, 0x62, 0x7a, 0, 0, 9], POD_MAC);
        [vxlan::header(Vni::new(vni).unwrap()).as_slice(), &inner].concat()
    }

    /// The inner packet of a line, out of a VXLAN tunnel of a peer.
    pub(crate) fn vxlan(&mut self, peer: &str, ports: (u16, u16), vni: u32, line: &str) -> String {
        let payload = self.vxlan_frame(vni, line);
        self.inject("e1", outer(peer, ports, &payload), Meta::default())
    }

    pub(crate) fn last_outer(&self) -> (Vec<u8>, Packet) {
        let (port, bytes, _) = self.last().clone();
        assert_eq!(port, "e1", "tunnels are on e1");
        let Ok(Parsed::Ip(packet)) = parse(&bytes, Meta::default()) else { panic!("not IP") };
        assert!(checksum_is_right(&bytes, &packet));
        (bytes, packet)
    }

    /// What the last tunnel packet carries, and its tunnel header.
    pub(crate) fn inside(&self, encapsulation: Encapsulation) -> (String, Vec<u8>) {
        let (bytes, packet) = self.last_outer();
        let capsule = Capsule::open(&bytes, &packet, encapsulation).unwrap();
        let header = bytes[packet.transport + 8..capsule.inner].to_vec();
        (self.carried(&bytes, &packet, &capsule), header)
    }

    pub(crate) fn carried(&self, bytes: &[u8], outer: &Packet, capsule: &Capsule) -> String {
        let mut frame = vec![0; 14];
        let kind = match capsule.carries {
            Carries::Ethernet => u16_at(bytes, capsule.inner + 12),
            Carries::Ip(kind) => kind,
        };
        put_u16(&mut frame, 12, kind);
        frame.extend(&bytes[capsule.inner_network()..outer.end]);
        self.describe(&frame, Meta::default())
    }

    /// A reply to what left last by e2, and where it goes: as the balancer sees it.
    fn reply_inside(&mut self, words: &str, encapsulation: Encapsulation) -> (String, Vec<u8>) {
        self.reply(words);
        self.inside(encapsulation)
    }
}

/// A connection through the wire, of the client of these tests.
fn connected(lab: &mut Lab, header: &[u8]) {
    lab.geneve(header, 50_001, "tcp 10.1.0.50:40000 > 198.51.100.9:443 S");
    lab.geneve(header, 50_001, "tcp 198.51.100.9:443 > 10.1.0.50:40000 SA server");
    lab.geneve(header, 50_001, "tcp 10.1.0.50:40000 > 198.51.100.9:443 A");
}

#[test]
fn a_gateway_load_balancer_gets_its_packets_back_with_the_same_header() {
    let mut lab = Lab::new(&cloud(&vpc(false), "", &everything()));
    for (n, order) in [[0, 1, 2], [2, 0, 1], [1, 2, 0]].into_iter().enumerate() {
        let port = 40_000 + n as u16;
        let header = aws(ENDPOINT, [0xc0, 0, 1, n as u8], order, ethernet::IPV4);
        let client = format!("10.1.0.50:{port} > 198.51.100.9:443");
        let server = format!("198.51.100.9:443 > 10.1.0.50:{port}");
        for (line, words) in [(&client, "S"), (&server, "SA server"), (&client, "A"), (&client, "PA len=100")] {
            let out = lab.geneve(&header, 50_001, &format!("tcp {line} {words}"));
            assert_eq!(out, "e1 udp 10.1.0.1:50001 > 10.1.0.9:6081", "after {line} {words}");
            let flags = words.split(' ').next().unwrap();
            assert_eq!(lab.inside(Encapsulation::Geneve), (format!("tcp {line} {flags}"), header.clone()));
            assert_eq!(ethernet::destination(&lab.last().1), neighbor_mac(BALANCER.parse().unwrap()));
        }
    }
    let sessions = lab.sessions();
    assert_eq!(sessions.len(), 3);
    let names = |zone: Option<_>| lab.tables.zone_name(zone.unwrap()).to_owned();
    assert_eq!((names(sessions[0].from), names(sessions[0].to)), ("vpc".into(), "trust".into()));
    assert_eq!(lab.tables.interface_name(sessions[0].ingress), "apps.ingress");
    assert_eq!((sessions[0].sent.0, sessions[0].received.0), (3, 1));
    let traffic = lab.engine.tunnel_traffic(sessions[0].ingress);
    assert_eq!(traffic.received.0, 12);
}

#[test]
fn the_wire_is_no_hop_and_carries_both_families_and_ping() {
    let mut lab = Lab::new(&cloud(&vpc(false), "", &everything()));
    let four = aws(ENDPOINT, [1; 4], [0, 1, 2], ethernet::IPV4);
    let six = aws(ENDPOINT, [2; 4], [0, 1, 2], ethernet::IPV6);
    lab.geneve(&four, 50_002, "udp 10.1.0.50:5353 > 198.51.100.9:53 ttl=1");
    assert_eq!(lab.inside(Encapsulation::Geneve).0, "udp 10.1.0.50:5353 > 198.51.100.9:53");
    let (bytes, outer) = lab.last_outer();
    assert_eq!(bytes[outer.transport + 8 + 40 + 8], 1, "the inner TTL is as it was");
    lab.geneve(&six, 50_003, "tcp [2001:db8:9::5]:4000 > [2001:db8:77::1]:443 S");
    assert_eq!(lab.inside(Encapsulation::Geneve), ("tcp [2001:db8:9::5]:4000 > [2001:db8:77::1]:443 S".into(), six));
    lab.geneve(&four, 50_004, "ping 10.1.0.50 > 198.51.100.9 id=9");
    assert_eq!(lab.inside(Encapsulation::Geneve).0, "ping 10.1.0.50 > 198.51.100.9 id=9");
}

#[test]
fn a_client_behind_the_wire_may_have_an_address_that_the_firewall_has_too() {
    let mut lab = Lab::new(&cloud(&vpc(false), "", &everything()));
    let header = aws(ENDPOINT, [3; 4], [0, 1, 2], ethernet::IPV4);
    for line in ["udp 10.1.0.1:5353 > 198.51.100.9:53", "udp 198.51.100.9:53 > 10.1.0.1:5353"] {
        lab.geneve(&header, 50_002, line);
        assert_eq!(lab.inside(Encapsulation::Geneve), (line.to_owned(), header.clone()));
    }
    assert_eq!(lab.session().received.0, 1);
}

#[test]
fn refusals_are_answered_inside_of_the_tunnel() {
    let rules = rule("nothing", "any", "any", "reset-client");
    let mut lab = Lab::new(&cloud(&vpc(false), "", &rules));
    let header = aws(ENDPOINT, [9; 4], [0, 1, 2], ethernet::IPV4);
    let out = lab.geneve(&header, 50_001, "tcp 10.1.0.50:40000 > 198.51.100.9:443 S");
    assert_eq!(out, "drop policy-deny\ne1 udp 10.1.0.1:50001 > 10.1.0.9:6081");
    let expected = "tcp 198.51.100.9:443 > 10.1.0.50:40000 RA";
    assert_eq!(lab.inside(Encapsulation::Geneve), (expected.into(), header));
}

#[test]
fn a_commit_that_refuses_a_session_resets_both_ends_behind_its_tunnel() {
    let mut lab = Lab::new(&cloud(&vpc(false), "", &everything()));
    let header = aws(ENDPOINT, [9; 4], [0, 1, 2], ethernet::IPV4);
    connected(&mut lab, &header);
    lab.commit(&cloud(&vpc(false), "", &rule("nothing", "any", "any", "reset-both")));
    lab.pass(1);
    lab.settle();
    assert_eq!(lab.counters().rejections, 2);
    let (last, echoed) = lab.inside(Encapsulation::Geneve);
    assert_eq!((last.as_str(), echoed), ("tcp 10.1.0.50:40000 > 198.51.100.9:443 RA", header));
}

#[test]
fn the_clients_of_an_object_that_becomes_a_cluster_are_spoken_to_in_their_own_tunnels() {
    let inside = cluster("apps", 1)
        .replace("</k8s-cluster>", "<cluster-cidr><member>198.51.100.0/24</member></cluster-cidr></k8s-cluster>");
    let mut lab = Lab::new(&cloud(&vpc(false), "", &everything()));
    connected(&mut lab, &aws(ENDPOINT, [9; 4], [0, 1, 2], ethernet::IPV4));
    lab.commit(&cloud(&inside, "", &everything()));
    lab.vxlan("10.1.0.21", (33_000, 6080), 1, "tcp 10.1.0.50:40000 > 198.51.100.9:443 PA len=10");
    assert_eq!(lab.inside(Encapsulation::Vxlan).0, "tcp 10.1.0.50:40000 > 198.51.100.9:443 PA");
    lab.commit(&cloud(&inside, "", &rule("nothing", "any", "any", "reset-client")));
    lab.pass(1);
    lab.settle();
    let (_, outer) = lab.last_outer();
    assert_eq!((outer.destination.to_string(), outer.ports().1), ("10.1.0.21".into(), 6080));
    assert_eq!(lab.inside(Encapsulation::Vxlan).0, "tcp 198.51.100.9:443 > 10.1.0.50:40000 RA");
}

#[test]
fn a_session_ends_when_a_commit_takes_its_packets_out_of_the_wire() {
    let mut lab = Lab::new(&cloud(&vpc(false), "", &everything()));
    connected(&mut lab, &aws(ENDPOINT, [9; 4], [0, 1, 2], ethernet::IPV4));
    lab.commit(&cloud(&cluster("apps", 1), "", &everything()));
    lab.pass(1);
    assert_eq!(lab.sessions(), [], "routed now, by the firewall as a hop");
}

#[test]
fn overlay_routing_sends_to_the_internet_and_brings_answers_back_into_the_tunnel() {
    let nat = dynamic("vpc", "untrust", "192.0.2.77");
    let mut lab = Lab::new(&cloud(&vpc(true), &nat, &everything()));
    let header = aws(ENDPOINT, [0xaa, 1, 2, 3], [2, 1, 0], ethernet::IPV4);
    let syn = "tcp 10.9.0.5:40000 > 198.51.100.9:443 S";
    assert_eq!(lab.geneve(&header, 50_007, syn), "e2 tcp 192.0.2.77:* > 198.51.100.9:443 S");
    let answer = "tcp 198.51.100.9:443 > 10.9.0.5:40000 SA";
    assert_eq!(lab.reply_inside("SA", Encapsulation::Geneve), (answer.into(), header.clone()));
    let (_, outer) = lab.last_outer();
    assert_eq!((outer.ports(), outer.destination.to_string()), ((50_007, 6081), BALANCER.to_owned()));
    // The load balancer moved the flow: its new cookie and port count from now on.
    let moved = aws(ENDPOINT, [0xbb, 1, 2, 3], [2, 1, 0], ethernet::IPV4);
    assert_eq!(lab.geneve(&moved, 50_008, &syn.replace(" S", " A")), "e2 tcp 192.0.2.77:* > 198.51.100.9:443 A");
    assert_eq!(lab.reply_inside("PA len=64", Encapsulation::Geneve).1, moved);
    assert_eq!(lab.last_outer().1.ports(), (50_008, 6081));
    // What the router would send out by the tunnel's own interface goes back into the tunnel.
    let inbound = "tcp 198.51.100.50:1234 > 10.1.0.60:80 S";
    assert_eq!(lab.geneve(&header, 50_009, inbound), "e1 udp 10.1.0.1:50009 > 10.1.0.9:6081");
    assert_eq!(lab.inside(Encapsulation::Geneve), (inbound.into(), header));
}

#[test]
fn google_cloud_gets_its_options_back_in_its_own_order() {
    let one = object("net", "gcp-nsi", "<network-id>4660</network-id>", "vpc", "trust");
    let any = object("rest", "gcp-nsi", "", "pods", "pods");
    let mut lab = Lab::new(&cloud(&(one + &any), "", &everything()));
    for (network, name) in [(4660, "net.ingress"), (77, "rest.ingress")] {
        let header = google(network, ethernet::IPV4);
        let line = format!("udp 10.128.0.5:{network} > 10.132.0.9:53");
        assert_eq!(lab.geneve(&header, 61_000, &line), "e1 udp 10.1.0.1:61000 > 10.1.0.9:6081");
        assert_eq!(lab.inside(Encapsulation::Geneve), (line, header));
        let session = lab.sessions().into_iter().max_by_key(|session| session.id).unwrap();
        assert_eq!(lab.tables.interface_name(session.ingress), name);
    }
}

#[test]
fn azure_takes_back_by_the_other_tunnel() {
    let pair = object("gwlb", "azure-gwlb", "", "untrust", "trust");
    let mut lab = Lab::new(&cloud(&pair, "", &everything()));
    let balancer = "10.1.0.200";
    let request = "tcp 203.0.113.9:55000 > 20.1.2.3:443 S";
    lab.vxlan(balancer, (47_000, 2001), 801, request);
    let (_, outer) = lab.last_outer();
    assert_eq!((outer.ports(), outer.destination.to_string()), ((47_000, 2000), balancer.to_owned()));
    assert_eq!(lab.inside(Encapsulation::Vxlan), (request.into(), vxlan::header(Vni::new(800).unwrap()).to_vec()));
    let (bytes, outer) = lab.last_outer();
    assert_eq!(ethernet::source(&bytes[outer.transport + 16..]), POD_MAC, "the inner frame is as it was");
    let answer = "tcp 20.1.2.3:443 > 203.0.113.9:55000 SA";
    lab.vxlan(balancer, (47_001, 2000), 800, &format!("{answer} server"));
    assert_eq!(lab.last_outer().1.ports(), (47_001, 2001));
    assert_eq!(lab.inside(Encapsulation::Vxlan), (answer.into(), vxlan::header(Vni::new(801).unwrap()).to_vec()));
    let session = lab.session();
    let zone = |zone: Option<_>| lab.tables.zone_name(zone.unwrap()).to_owned();
    assert_eq!((zone(session.from), zone(session.to)), ("untrust".into(), "trust".into()));
    assert_eq!((session.sent.0, session.received.0), (1, 1));
}

#[test]
fn two_clusters_with_the_same_addresses_do_not_meet() {
    let nat = dynamic("pods", "untrust", "192.0.2.77");
    let mut lab = Lab::new(&cloud(&(cluster("red", 1) + &cluster("blue", 2)), &nat, &everything()));
    let line = "tcp 10.244.1.7:40000 > 198.51.100.9:443 S";
    let mut seen = Vec::new();
    for (node, vni) in [("10.1.0.21", 1), ("10.1.0.22", 2)] {
        assert_eq!(lab.vxlan(node, (33_000, 6080), vni, line), "e2 tcp 192.0.2.77:* > 198.51.100.9:443 S");
        seen.push((node, vni, lab.answer("SA")));
    }
    assert_eq!(lab.sessions().len(), 2);
    for (node, vni, (port, bytes, meta)) in seen {
        lab.inject(&port, bytes, meta);
        let (_, outer) = lab.last_outer();
        assert_eq!((outer.destination.to_string(), outer.ports().1), (node.to_owned(), 6080));
        let header = vxlan::header(Vni::new(vni).unwrap()).to_vec();
        let answer = "tcp 198.51.100.9:443 > 10.244.1.7:40000 SA".to_owned();
        assert_eq!(lab.inside(Encapsulation::Vxlan), (answer, header));
        let (bytes, outer) = lab.last_outer();
        assert_eq!(ethernet::destination(&bytes[outer.transport + 16..]), POD_MAC);
    }
}

#[test]
fn a_pod_that_is_behind_a_tunnel_itself_answers_a_pod() {
    let mut lab = Lab::new(&cloud(&cluster("red", 1), "", &everything()));
    lab.vxlan("10.1.0.21", (33_000, 6080), 1, "tcp 10.244.1.7:40000 > 10.3.0.8:80 S");
    assert_eq!(lab.last().0, "e3", "routed to the pod");
    lab.vxlan("10.1.0.22", (33_001, 6080), 1, "tcp 10.3.0.8:80 > 10.244.1.7:40000 SA server");
    let (_, outer) = lab.last_outer();
    assert_eq!(outer.destination.to_string(), "10.1.0.21", "into the tunnel of the pod that asked");
    assert_eq!(lab.inside(Encapsulation::Vxlan).0, "tcp 10.3.0.8:80 > 10.244.1.7:40000 SA");
    assert_eq!(lab.session().received.0, 1);
}

#[test]
fn vxlan_inside_of_geneve_goes_back_behind_both_headers() {
    let nat = dynamic("pods", "untrust", "192.0.2.77");
    let mut lab = Lab::new(&cloud(&(vpc(false) + &cluster("red", 1)), &nat, &everything()));
    let header = aws(ENDPOINT, [5; 4], [0, 1, 2], ethernet::IPV4);
    let vxlan = lab.vxlan_frame(1, "udp 10.244.1.7:5353 > 198.51.100.9:53 len=20");
    let link = Link { source: [0; 6], destination: [0; 6] };
    let nested = udp(link, (POD, "10.1.9.9"), (33_000, 6080), &vxlan);
    let payload = [header.as_slice(), &nested[14..]].concat();
    let out = lab.inject("e1", outer(BALANCER, (50_001, 6081), &payload), Meta::default());
    assert_eq!(out, "e2 udp 192.0.2.77:* > 198.51.100.9:53");
    lab.reply("len=40");
    let (bytes, outer) = lab.last_outer();
    assert_eq!((outer.ports(), outer.destination.to_string()), ((50_001, 6081), BALANCER.to_owned()));
    let outside = Capsule::open(&bytes, &outer, Encapsulation::Geneve).unwrap();
    assert_eq!(&bytes[outer.transport + 8..outside.inner], header.as_slice());
    let Ok(Parsed::Ip(inside)) = parse_as(&bytes[outside.inner - 14..], ethernet::IPV4, Meta::default()) else {
        panic!("not IP inside");
    };
    assert_eq!(inside.layer4, Layer4::Ports { source: 6080, destination: 33_000 }, "the flow the balancer knows");
    assert_eq!((inside.source.to_string(), inside.destination.to_string()), ("10.1.9.9".into(), POD.into()));
    let base = outside.inner - 14;
    let inside =
        Packet { network: inside.network + base, transport: inside.transport + base, end: inside.end + base, ..inside };
    let innermost = outside.open_nested(&bytes, &inside, Encapsulation::Vxlan).unwrap();
    assert_eq!(innermost.vni(&bytes), Vni::new(1));
    assert_eq!(lab.carried(&bytes, &outer, &innermost), "udp 198.51.100.9:53 > 10.244.1.7:5353");
}

#[test]
fn tunnels_over_ipv6_have_whole_checksums() {
    let nat = dynamic("pods", "untrust", "192.0.2.77");
    let mut lab = Lab::new(&cloud(&cluster("red", 1), &nat, &everything()));
    let node = "2001:db8:1::21";
    lab.vxlan(node, (33_000, 6080), 1, "tcp 10.244.1.7:40000 > 198.51.100.9:443 S");
    assert_eq!(lab.reply_inside("SA", Encapsulation::Vxlan).0, "tcp 198.51.100.9:443 > 10.244.1.7:40000 SA");
    let (bytes, outer) = lab.last_outer();
    assert_eq!(outer.destination.to_string(), node);
    assert_ne!(u16_at(&bytes, outer.transport + 6), 0);
}

#[test]
fn what_a_card_was_to_cut_and_finish_is_cut_and_finished() {
    let nat = dynamic("pods", "untrust", "192.0.2.77");
    let mut lab = Lab::new(&cloud(&cluster("red", 1), &nat, &everything()));
    lab.vxlan("10.1.0.21", (33_000, 6080), 1, "tcp 10.244.1.7:40000 > 198.51.100.9:443 S");
    lab.reply("SA");
    lab.vxlan("10.1.0.21", (33_000, 6080), 1, "tcp 10.244.1.7:40000 > 198.51.100.9:443 A");
    assert_eq!(
        lab.reply_inside("PA len=500 partial", Encapsulation::Vxlan).0,
        "tcp 198.51.100.9:443 > 10.244.1.7:40000 PA"
    );
    lab.vxlan("10.1.0.21", (33_000, 6080), 1, "tcp 10.244.1.7:40000 > 198.51.100.9:443 A ack=5501");
    let out = lab.reply("PA seq=5501 ack=1001 len=3000 partial gso=1400");
    assert_eq!(out.lines().count(), 3, "{out}");
    assert_eq!(lab.counters().tunnel_segments, 3);
    assert_eq!(lab.last_outer().1.ip_bytes(), 50 + 40 + 200);
    assert_eq!(lab.inside(Encapsulation::Vxlan).0, "tcp 198.51.100.9:443 > 10.244.1.7:40000 PA");
}

#[test]
fn the_tunnels_headers_count_against_the_mtu() {
    let nat = dynamic("pods", "untrust", "192.0.2.77");
    let mut lab = Lab::new(&cloud(&cluster("red", 1), &nat, &everything()));
    lab.vxlan("10.1.0.21", (33_000, 6080), 1, "udp 10.244.1.7:4000 > 198.51.100.9:53");
    let (fits, too_long) = (lab.answer("len=1422"), lab.answer("len=1423"));
    assert_eq!(lab.inject(&fits.0, fits.1, fits.2), "e1 udp 10.1.0.1:33000 > 10.1.0.21:6080");
    assert_eq!(lab.last_outer().1.ip_bytes(), 1500);
    let out = lab.inject(&too_long.0, too_long.1, too_long.2);
    assert!(out.starts_with("drop too-big\ne2 icmp 3/4 192.0.2.1 > 198.51.100.9"), "{out}");
    assert_eq!(u16_at(&lab.last().1, 14 + 20 + 6), 1450, "the MTU it is told");
}

#[test]
fn a_pod_asks_by_arp_and_pings_the_firewall_through_its_tunnel() {
    let mut lab = Lab::new(&cloud(&cluster("red", 1), "", &everything()));
    let request = Arp::request(POD_MAC, POD.parse().unwrap(), "169.254.1.1".parse().unwrap());
    let payload = [vxlan::header(Vni::new(1).unwrap()).as_slice(), &request].concat();
    lab.known_ports.extend([33_000, 6080]);
    let out = lab.inject("e1", outer("10.1.0.21", (33_000, 6080), &payload), Meta::default());
    assert_eq!(out, "e1 udp 10.1.0.1:33000 > 10.1.0.21:6080");
    let (bytes, packet) = lab.last_outer();
    let inner = &bytes[packet.transport + 16..packet.end];
    let arp = Arp::read(inner).unwrap();
    assert_eq!((arp.operation, arp.sender.to_string()), (Operation::Reply, "169.254.1.1".to_owned()));
    assert_eq!(ethernet::destination(inner), POD_MAC);
    lab.vxlan("10.1.0.21", (33_000, 6080), 1, "ping 10.244.1.7 > 10.1.0.1 id=4");
    assert_eq!(lab.inside(Encapsulation::Vxlan).0, "pong 10.1.0.1 > 10.244.1.7 id=4");
}

#[test]
fn a_health_check_through_the_tunnel_reaches_the_responder_and_returns() {
    let mut lab = Lab::new(&cloud(&cluster("red", 1), "", &everything()));
    let out = lab.vxlan("10.1.0.21", (33_000, 6080), 1, "tcp 10.244.1.7:40000 > 10.1.0.1:80 S");
    assert_eq!(out, "local tcp token > 198.18.0.1:8080 S");
    assert_eq!(lab.reply_inside("SA", Encapsulation::Vxlan).0, "tcp 10.1.0.1:80 > 10.244.1.7:40000 SA");
}

#[test]
fn tunnels_that_no_object_is_for_are_named() {
    let mut lab = Lab::new(&cloud(&(vpc(false) + &cluster("red", 1)), "", &everything()));
    let header = aws(0x99, [1; 4], [0, 1, 2], ethernet::IPV4);
    assert_eq!(lab.geneve(&header, 50_001, "udp 10.9.0.5:1 > 198.51.100.9:2"), "drop unmapped-endpoint");
    for _ in 0..2 {
        let out = lab.vxlan("10.1.0.21", (33_000, 6080), 7, "udp 10.244.1.7:1 > 198.51.100.9:2");
        assert_eq!(out, "drop unmapped-vni");
    }
    assert_eq!(lab.geneve(&google(5, ethernet::IPV4), 1, "udp 10.9.0.5:1 > 198.51.100.9:2"), "drop unmapped-endpoint");
    let seen: Vec<_> = lab.engine.unmapped_tunnels().iter().map(|one| (one.tunnel, one.packets)).collect();
    let expected = [(Unmapped::VpcEndpoint(0x99), 1), (Unmapped::Vni(6080, 7), 2), (Unmapped::Network(5), 1)];
    assert_eq!(seen, expected);
    assert_eq!(lab.dropped(DropReason::UnmappedVni), 2);
    assert!(lab.logs()[0].starts_with("drop 10.1.0.9 > 10.1.0.1"));
}

#[test]
fn the_list_of_unmapped_tunnels_is_bounded() {
    let limits = Limits { unmapped_tunnels: 3, ..Limits::default() };
    let mut lab = Lab::with(&cloud(&cluster("red", 1), "", &everything()), Settings { limits, ..Settings::default() });
    for vni in 10..20 {
        lab.vxlan("10.1.0.21", (33_000, 6080), vni, "udp 10.244.1.7:1 > 198.51.100.9:2");
        lab.pass(1);
    }
    let mut seen: Vec<_> = lab.engine.unmapped_tunnels().iter().map(|one| one.tunnel).collect();
    seen.sort();
    assert_eq!(seen, [17, 18, 19].map(|vni| Unmapped::Vni(6080, vni)));
}

#[test]
fn each_drop_of_a_tunnel_packet_has_its_reason() {
    let limits = Limits { tunnel_sessions: 1, ..Limits::default() };
    let objects = cluster("red", 1) + &vpc(false);
    let mut lab = Lab::with(&cloud(&objects, "", &everything()), Settings { limits, ..Settings::default() });
    let inner = lab.vxlan_frame(1, "udp 10.244.1.7:1 > 198.51.100.9:2");
    let mut no_identifier = inner.clone();
    no_identifier[0] = 0;
    let out = lab.inject("e1", outer("10.1.0.21", (1, 6080), &no_identifier), Meta::default());
    assert_eq!(out, "drop tunnel-header");
    assert_eq!(lab.inject("e1", outer("10.1.0.21", (1, 6081), &[0; 40]), Meta::default()), "drop tunnel-header");
    let mut wrong = outer("2001:db8:1::21", (1, 6080), &inner);
    let last = wrong.len() - 1;
    wrong[last] ^= 1;
    assert_eq!(lab.inject("e1", wrong, Meta::default()), "drop bad-checksum");
    // By e3, which the objects do not name, whoever is there cannot speak for a pod.
    let link = Link { source: [2; 6], destination: port_mac("e3") };
    let foreign = udp(link, ("10.3.0.9", "10.3.0.1"), (1, 6080), &inner);
    assert_eq!(lab.inject("e3", foreign, Meta::default()), "drop tunnel-foreign");
    assert!(lab.vxlan("10.1.0.21", (1, 6080), 1, "udp 10.244.1.7:1 > 198.51.100.9:2").starts_with("e2 udp"));
    let full = lab.vxlan("10.1.0.21", (1, 6080), 1, "udp 10.244.1.7:1 > 198.51.100.9:3");
    assert_eq!(full, "drop tunnel-table-full");
    lab.engine.clear(0..u32::MAX, |_| true, lab.now);
    assert!(lab.vxlan("10.1.0.21", (1, 6080), 1, "udp 10.244.1.7:1 > 198.51.100.9:3").starts_with("e2 udp"));
}

#[test]
fn a_packet_that_is_too_long_is_told_through_the_tunnel() {
    let mut lab = Lab::new(&cloud(&cluster("red", 1), "", &everything()));
    let out = lab.vxlan("10.1.0.21", (1, 6080), 1, "udp 10.244.1.7:1 > 10.3.0.9:2 len=1390");
    assert_eq!(out, "drop too-big\ne1 udp 10.1.0.1:1 > 10.1.0.21:6080");
    assert_eq!(lab.inside(Encapsulation::Vxlan).0, "icmp 3/4 10.1.0.1 > 10.244.1.7 about 10.244.1.7:1 > 10.3.0.9:2");
}

#[test]
fn rules_see_the_zones_of_the_object() {
    let rules = rule_with("pods-out", "pods", "untrust", "allow", "<log-start>yes</log-start>");
    let mut lab = Lab::new(&cloud(&cluster("red", 1), "", &rules));
    assert!(lab.vxlan("10.1.0.21", (1, 6080), 1, "udp 10.244.1.7:1 > 198.51.100.9:2").starts_with("e2 udp"));
    assert_eq!(lab.vxlan("10.1.0.21", (1, 6080), 1, "udp 10.244.1.7:1 > 10.3.0.9:2"), "drop policy-deny");
    assert_eq!(lab.logs()[0], "start 10.244.1.7 > 198.51.100.9 pods>untrust allow pods-out -");
}

#[test]
fn a_datagram_inside_of_a_tunnel_leaves_in_fragments_if_it_came_in_some_at_whichever_worker() {
    let config = cloud(&vpc(false), "", &everything());
    let settings = |worker| Settings { worker, workers: 2, ..Settings::default() };
    let mut labs = [0, 1].map(|worker| Lab::with(&config, settings(worker)));
    let header = aws(ENDPOINT, [1; 4], [0, 1, 2], ethernet::IPV4);
    let mut handed_on = 0;
    for port in 5353..5361 {
        let (_, bytes, meta) = labs[0].packet(&format!("e1 udp 10.1.0.50:{port} > 198.51.100.9:53 len=1300"));
        let Ok(Parsed::Ip(packet)) = parse(&bytes, meta) else { panic!("not IP") };
        for piece in fragment::cut(&bytes, &packet, 1000, port) {
            let frame = outer(BALANCER, (50_001, 6081), &[header.as_slice(), &piece[14..]].concat());
            let taken = labs.iter_mut().map(|lab| lab.inject("e1", frame.clone(), Meta::default()));
            assert_eq!(taken.filter(|out| out.starts_with("handoff")).count(), 1, "one of them takes it");
        }
        let told = labs.iter_mut().flat_map(|lab| std::mem::take(&mut lab.messages));
        let handed = told.into_iter().find_map(|event| match event {
            Event::HandOver { to, bytes, meta, .. } => Some((to, bytes, meta)),
            _ => None,
        });
        let Some((to, mut bytes, meta)) = handed else { continue };
        handed_on += 1;
        let owner = &mut labs[usize::from(to)];
        owner.known_ports.extend([50_001, 6081]);
        let (id, now) = (owner.port("e1"), owner.now);
        let received = owner.counters().rx_packets;
        let _ = owner.engine.handle_frame(id, &mut Frame { bytes: &mut bytes, meta }, now);
        let twice = "e1 udp 10.1.0.1:50001 > 10.1.0.9:6081";
        assert_eq!(owner.settle(), [twice, twice]);
        assert_eq!(owner.counters().rx_packets, received, "its fragments were counted where they came in");
    }
    assert!(handed_on > 1, "some belong to another worker than their fragments: {handed_on}");
}

#[test]
fn fragments_inside_and_outside_of_tunnels_pass() {
    let nat = dynamic("pods", "untrust", "192.0.2.77");
    let mut lab = Lab::new(&cloud(&(vpc(false) + &cluster("red", 1)), &nat, &everything()));
    // Inside: each fragment comes behind its own header, and leaves behind one.
    let header = aws(ENDPOINT, [1; 4], [0, 1, 2], ethernet::IPV4);
    let (_, bytes, meta) = lab.packet("e1 udp 10.1.0.50:5353 > 198.51.100.9:53 len=2000 nodf");
    let Ok(Parsed::Ip(packet)) = parse(&bytes, meta) else { panic!("not IP") };
    lab.known_ports.extend([50_001, 6081, 33_000, 6080]);
    let mut out = Vec::new();
    for piece in fragment::cut(&bytes, &packet, 1200, 7) {
        let payload = [header.as_slice(), &piece[14..]].concat();
        out.push(lab.inject("e1", outer(BALANCER, (50_001, 6081), &payload), Meta::default()));
    }
    let twice = "e1 udp 10.1.0.1:50001 > 10.1.0.9:6081";
    assert_eq!(out, ["".to_owned(), format!("{twice}\n{twice}")]);
    assert_eq!(lab.inside(Encapsulation::Geneve).1, header);
    assert_eq!(lab.counters().fragments_sent, 2);
    // Outside: the tunnel packet itself came in two.
    let payload = lab.vxlan_frame(1, "udp 10.244.1.7:4000 > 198.51.100.9:53 len=1400");
    let mut whole = outer("10.1.0.21", (33_000, 6080), &payload);
    whole[20] = 0;
    whole[24..26].fill(0);
    let value = bartizan_packet::checksum::checksum(&whole[14..34]);
    put_u16(&mut whole, 24, value);
    let Ok(Parsed::Ip(packet)) = parse(&whole, Meta::default()) else { panic!("not IP") };
    let pieces: Vec<_> = fragment::cut(&whole, &packet, 1000, 9).collect();
    let out: Vec<_> = pieces.into_iter().map(|piece| lab.inject("e1", piece, Meta::default())).collect();
    assert_eq!(out, ["", "e2 udp 192.0.2.77:* > 198.51.100.9:53"]);
}
