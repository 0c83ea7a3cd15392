//! Packets on their way to a protected pod: they go into the tunnel they came out of, judged once.

#![expect(clippy::unwrap_used, reason = "a test that cannot build its packet fails")]

use bartizan_engine::settings::{Limits, Settings};
use bartizan_engine::verdict::DropReason;
use bartizan_packet::answer::Link;
use bartizan_packet::bytes::u8_at;
use bartizan_packet::ethernet;
use bartizan_packet::fragment;
use bartizan_packet::frame::Meta;
use bartizan_packet::parse::{Packet, Parsed, parse, parse_as};
use bartizan_packet::tunnel::{Capsule, Encapsulation};
use bartizan_packet::vxlan::{self, Vni};

use bartizan_policy::explain::explain;
use bartizan_policy::tables::Flow;

use crate::house::{dynamic, inbound, rule, rule_with};
use crate::lab::Lab;
use crate::tunnels::{BALANCER, ENDPOINT, POD_MAC, aws, cloud, cluster, everything, outer, udp, vpc};

/// Behind its node's tunnel; e3 leads there otherwise.
const POD: &str = "10.3.0.8";
const INTO_POD: &str = "e1 udp 10.1.0.1:33000 > 10.3.0.8:6080";
const GATEWAY_MAC: [u8; 6] = [0x0e, 0, 0, 0, 0, 1];

impl Lab {
    /// The frame in the tunnel: the pod's node hands on what came for it.
    fn handed_on(&mut self, line: &str) -> Vec<u8> {
        let (_, mut inner, _) = self.packet(&format!("e1 {line}"));
        self.known_ports.extend([33_000, 6080, 6081, 50_001]);
        ethernet::address(&mut inner, POD_MAC, GATEWAY_MAC);
        [vxlan::header(Vni::new(1).unwrap()).as_slice(), &inner].concat()
    }

    /// The packet of a line, from the pod that it is for.
    fn hairpin(&mut self, line: &str) -> String {
        let (_, bytes, _) = self.packet(&format!("e1 {line}"));
        let Ok(Parsed::Ip(packet)) = parse(&bytes, Meta::default()) else { panic!("not IP") };
        let payload = self.handed_on(line);
        self.inject("e1", outer(&packet.destination.to_string(), (33_000, 6080), &payload), Meta::default())
    }

    /// The packet of a line out of the tunnel of the pod that sends it.
    fn speak(&mut self, pod: &str, line: &str) -> String {
        self.vxlan(pod, (33_000, 6080), 1, line)
    }

    /// What the last tunnel packet carries, to which station, with which TTL.
    fn arrived(&self) -> (String, [u8; 6], u8) {
        let (bytes, packet) = self.last_outer();
        let inner = packet.transport + 16;
        let v4 = u8_at(&bytes, inner + 14) >> 4 == 4;
        let ttl = u8_at(&bytes, inner + 14 + if v4 { 8 } else { 7 });
        (self.inside(Encapsulation::Vxlan).0, ethernet::destination(&bytes[inner..]), ttl)
    }

    fn names(&self) -> [String; 4] {
        let session = self.session();
        let zone = |zone: Option<_>| self.tables.zone_name(zone.unwrap()).to_owned();
        let name = |iface| self.tables.interface_name(iface).to_owned();
        [zone(session.from), zone(session.to), name(session.ingress), name(session.egress.unwrap())]
    }
}

fn pods() -> String {
    cloud(&cluster("red", 1), "", &everything())
}

/// HTTP for 192.0.2.80 goes to the pod's port 8080.
fn published() -> String {
    cloud(&cluster("red", 1), &inbound("192.0.2.80", "untrust", POD, 8080), &everything())
}

/// DNS for an address goes to the pod.
fn names(address: &str) -> String {
    let nat = inbound(address, "untrust", POD, 53).replace("service-http", "any");
    nat.replace("<translated-port>53</translated-port>", "")
}

#[test]
fn what_an_unprotected_host_sends_to_a_pod_is_judged_and_goes_into_the_pods_tunnel() {
    let mut lab = Lab::new(&pods());
    let there = "tcp 10.3.0.50:40000 > 10.3.0.8:80";
    for words in ["S", "A"] {
        assert_eq!(lab.hairpin(&format!("{there} {words}")), INTO_POD);
        assert_eq!(lab.arrived(), (format!("{there} {words}"), POD_MAC, 64), "no hop");
        let back = "tcp 10.3.0.8:80 > 10.3.0.50:40000";
        let flags = if words == "S" { "SA" } else { "A" };
        let out = lab.speak(POD, &format!("{back} {flags} server"));
        assert_eq!(out, INTO_POD, "answers leave by the node that saw the question");
        assert_eq!((lab.arrived().0, lab.arrived().2), (format!("{back} {flags}"), 64), "no hop");
    }
    assert_eq!(lab.names(), ["pods", "pods", "red.hairpin", "red.egress"]);
    assert_eq!((lab.session().sent.0, lab.session().received.0), (2, 2));
    assert_eq!(lab.counters().hairpins_returned, 0);
    assert_eq!(lab.hairpin("tcp 10.3.0.50:40000 > 10.3.0.8:80 A seq=70000000"), "drop tcp-out-of-window");
}

/// Only the pod's own node knows which pods are behind a service: it gets the packet back, out of the pod.
#[test]
fn what_a_pod_sends_to_a_service_goes_back_to_its_node_and_is_seen_again_at_the_pod_behind() {
    let services = "<cluster-cidr><member>10.96.0.0/16</member></cluster-cidr></k8s-cluster>";
    let config = pods().replace("</k8s-cluster>", services);
    let mut lab = Lab::new(&config);
    let (asked, seen) = ("tcp 10.3.0.8:40000 > 10.96.0.10:80", "tcp 10.3.0.8:40000 > 10.3.0.9:8080");
    for words in ["S", "A"] {
        assert_eq!(lab.speak(POD, &format!("{asked} {words}")), INTO_POD);
        assert_eq!((lab.arrived().0, lab.arrived().2), (format!("{asked} {words}"), 64), "no hop");
        // The node translated it, and the backend's node hands it on.
        assert_eq!(lab.hairpin(&format!("{seen} {words}")), "e1 udp 10.1.0.1:33000 > 10.3.0.9:6080");
        let flags = if words == "S" { "SA" } else { "A" };
        let back = format!("tcp 10.3.0.9:8080 > 10.3.0.8:40000 {flags}");
        let given_back = "e1 udp 10.1.0.1:33000 > 10.3.0.9:6080";
        assert_eq!(lab.speak("10.3.0.9", &format!("{back} server")), given_back, "by its own node to the client's");
        let back = format!("tcp 10.96.0.10:80 > 10.3.0.8:40000 {flags}");
        assert_eq!(lab.hairpin(&format!("{back} server")), INTO_POD, "which undoes the translation");
        assert_eq!(lab.arrived().0, back);
    }
    assert_eq!(lab.sessions().len(), 2);
    let flow = Flow {
        ingress: lab.tables.interface_id("red.ingress").unwrap(),
        source: POD.parse().unwrap(),
        destination: "10.96.0.10".parse().unwrap(),
        protocol: 6,
        source_port: 40_000,
        destination_port: 80,
    };
    let told: Vec<String> = explain(&lab.tables, &flow).steps.into_iter().map(|step| step.text).collect();
    let route = "10.96.0.10 is within the cluster: leaves by `red.egress`, back to the pod's node";
    assert!(told.iter().any(|text| text == route), "{told:#?}");
}

/// A node that tracks connections sees both directions of what pods say, or neither.
#[test]
fn within_the_cluster_a_pod_speaks_by_its_node_until_the_others_tunnel_is_known() {
    let within = "<cluster-cidr><member>10.3.0.0/24</member></cluster-cidr></k8s-cluster>";
    let mut lab = Lab::new(&pods().replace("</k8s-cluster>", within));
    assert_eq!(lab.speak(POD, "udp 10.3.0.8:40000 > 10.3.0.50:53"), INTO_POD);
    assert_eq!(lab.hairpin("udp 10.3.0.50:53 > 10.3.0.8:40000"), INTO_POD);
    assert_eq!(lab.names(), ["pods", "pods", "red.ingress", "red.egress"]);
    let (there, back) = ("tcp 10.3.0.8:40000 > 10.3.0.9:80", "tcp 10.3.0.9:80 > 10.3.0.8:40000");
    let into_server = "e1 udp 10.1.0.1:33000 > 10.3.0.9:6080";
    assert_eq!(lab.speak(POD, &format!("{there} S")), INTO_POD);
    assert_eq!(lab.hairpin(&format!("{there} S")), into_server, "the server's node hands it on");
    assert_eq!(lab.counters().hairpins_returned, 1);
    assert_eq!(lab.speak("10.3.0.9", &format!("{back} SA server")), INTO_POD, "answers into the client's tunnel");
    for _ in 0..2 {
        assert_eq!(lab.speak(POD, &format!("{there} A")), into_server);
        assert_eq!(lab.speak("10.3.0.9", &format!("{back} A server")), INTO_POD);
    }
    assert_eq!(lab.sessions().len(), 2);
    assert_eq!(lab.counters().hairpins_returned, 1);
}

#[test]
fn the_same_over_ipv6_and_for_ping() {
    let mut lab = Lab::new(&pods());
    assert_eq!(
        lab.hairpin("udp [2001:db8:3::50]:4000 > [2001:db8:3::8]:53"),
        "e1 udp [2001:db8:1::1]:33000 > [2001:db8:3::8]:6080"
    );
    assert_eq!(lab.arrived().0, "udp [2001:db8:3::50]:4000 > [2001:db8:3::8]:53");
    let out = lab.speak("2001:db8:3::8", "udp [2001:db8:3::8]:53 > [2001:db8:3::50]:4000");
    assert_eq!(out, "e1 udp [2001:db8:1::1]:33000 > [2001:db8:3::8]:6080");
    assert_eq!(lab.hairpin("ping 10.3.0.50 > 10.3.0.8 id=7"), INTO_POD);
    assert_eq!(lab.speak(POD, "pong 10.3.0.8 > 10.3.0.50 id=7"), INTO_POD);
    assert_eq!(lab.arrived().0, "pong 10.3.0.8 > 10.3.0.50 id=7");
    assert_eq!(lab.sessions().len(), 2);
}

#[test]
fn a_translated_packet_of_ours_comes_back_once_and_the_next_ones_go_straight_in() {
    let mut lab = Lab::new(&published());
    let client = "e2 tcp 198.51.100.9:40000 > 192.0.2.80:80";
    lab.check(&format!("{client} S"), "e3 tcp 198.51.100.9:40000 > 10.3.0.8:8080 S");
    assert_eq!(lab.hairpin("tcp 198.51.100.9:40000 > 10.3.0.8:8080 S ttl=63"), INTO_POD);
    assert_eq!(lab.arrived(), ("tcp 198.51.100.9:40000 > 10.3.0.8:8080 S".into(), POD_MAC, 63), "no second hop");
    assert_eq!((lab.session().sent.0, lab.counters().hairpins_returned), (1, 1), "counted once");
    assert_eq!(lab.session().learned, lab.tables.interface_id("red.egress"));
    let out = lab.speak(POD, "tcp 10.3.0.8:8080 > 198.51.100.9:40000 SA server");
    assert_eq!(out, "e2 tcp 192.0.2.80:80 > 198.51.100.9:40000 SA");
    lab.check(&format!("{client} A"), INTO_POD);
    assert_eq!(lab.arrived(), ("tcp 198.51.100.9:40000 > 10.3.0.8:8080 A".into(), POD_MAC, 63));
    assert_eq!(lab.names()[3], "ethernet1/3", "where the rules think the pod is");
    // None of ours is still out: what looks like it is judged.
    let forged = lab.hairpin("tcp 198.51.100.9:40000 > 10.3.0.8:8080 A seq=70000000");
    assert_eq!(forged, "drop tcp-out-of-window");
    assert_eq!(lab.counters().hairpins_returned, 1);
}

#[test]
fn as_many_of_our_packets_come_back_unjudged_as_left_before_the_tunnel_was_known() {
    let mut lab = Lab::new(&published());
    let client = "e2 tcp 198.51.100.9:40000 > 192.0.2.80:80";
    for _ in 0..3 {
        lab.check(&format!("{client} S"), "e3 tcp 198.51.100.9:40000 > 10.3.0.8:8080 S");
    }
    for _ in 0..3 {
        assert_eq!(lab.hairpin("tcp 198.51.100.9:40000 > 10.3.0.8:8080 S"), INTO_POD);
    }
    assert_eq!((lab.session().sent.0, lab.counters().hairpins_returned), (3, 3));
    assert_eq!(lab.hairpin("tcp 198.51.100.9:40000 > 10.3.0.8:8080 S"), INTO_POD, "a SYN again is none of ours");
    assert_eq!((lab.session().sent.0, lab.counters().hairpins_returned), (4, 3));
}

#[test]
fn a_source_that_is_translated_to_the_firewalls_address_comes_back_too() {
    let nat = inbound("192.0.2.80", "untrust", POD, 8080).replace(
        "<destination-translation>",
        "<source-translation><dynamic-ip-and-port><interface-address><interface>ethernet1/3</interface>\
         </interface-address></dynamic-ip-and-port></source-translation><destination-translation>",
    );
    let mut lab = Lab::new(&cloud(&cluster("red", 1), &nat, &everything()));
    let out = lab.send("e2 tcp 198.51.100.9:40000 > 192.0.2.80:80 S");
    assert_eq!(out, "e3 tcp 10.3.0.1:* > 10.3.0.8:8080 S");
    let Ok(Parsed::Ip(packet)) = parse(&lab.last().1, Meta::default()) else { panic!("not IP") };
    let port = packet.ports().0;
    assert_eq!(lab.hairpin(&format!("tcp 10.3.0.1:{port} > 10.3.0.8:8080 S")), INTO_POD);
    let out = lab.speak(POD, &format!("tcp 10.3.0.8:8080 > 10.3.0.1:{port} SA server"));
    assert_eq!(out, "e2 tcp 192.0.2.80:80 > 198.51.100.9:40000 SA");
    // Nobody else has the firewall's address.
    assert_eq!(lab.hairpin("tcp 10.3.0.1:7 > 10.3.0.8:8080 S"), "drop spoofed-source");
}

#[test]
fn two_protected_pods_talk_through_their_tunnels() {
    let mut lab = Lab::new(&pods());
    let (there, back) = ("tcp 10.3.0.7:40000 > 10.3.0.8:80", "tcp 10.3.0.8:80 > 10.3.0.7:40000");
    let into_client = "e1 udp 10.1.0.1:33000 > 10.3.0.7:6080";
    assert_eq!(lab.speak("10.3.0.7", &format!("{there} S")), format!("e3 {there} S"));
    assert_eq!(lab.hairpin(&format!("{there} S ttl=29")), INTO_POD);
    assert_eq!(lab.speak(POD, &format!("{back} SA server")), into_client);
    assert_eq!(lab.speak("10.3.0.7", &format!("{there} A")), INTO_POD);
    assert_eq!(lab.arrived(), (format!("{there} A"), POD_MAC, 63));
    assert_eq!(lab.names(), ["pods", "dmz", "red.ingress", "ethernet1/3"]);
    assert_eq!((lab.session().sent.0, lab.session().received.0), (2, 1));
    // The other way round is another session.
    let back = "tcp 10.3.0.8:50000 > 10.3.0.7:80 S";
    assert_eq!(lab.speak(POD, back), format!("e3 {back}"));
    assert_eq!(lab.hairpin(back), into_client);
    assert_eq!((lab.sessions().len(), lab.counters().hairpins_returned), (2, 2));
}

#[test]
fn what_an_unprotected_server_answers_a_pod_comes_by_the_pods_tunnel() {
    let mut lab = Lab::new(&pods());
    let (there, back) = ("tcp 10.3.0.8:40000 > 10.3.0.50:80", "tcp 10.3.0.50:80 > 10.3.0.8:40000");
    assert_eq!(lab.speak(POD, &format!("{there} S")), format!("e3 {there} S"));
    assert_eq!(lab.hairpin(&format!("{back} SA server")), INTO_POD);
    assert_eq!(lab.arrived(), (format!("{back} SA"), POD_MAC, 63));
    assert_eq!((lab.session().received.0, lab.counters().hairpins_returned), (1, 0), "it was not ours");
    let out = lab.hairpin(&format!("{back} A server seq=90000000"));
    assert_eq!(out, "drop tcp-out-of-window");
}

#[test]
fn a_pod_gets_packets_into_its_own_tunnel_only() {
    let nat = inbound("10.3.0.8", "pods", "10.3.0.9", 8080)
        .replace("<from><member>any</member>", "<from><member>pods</member>");
    let mut lab = Lab::new(&cloud(&cluster("red", 1), &nat, &everything()));
    let out = lab.hairpin("tcp 10.3.0.50:40000 > 10.3.0.8:80 S");
    assert_eq!((out.as_str(), lab.dropped(DropReason::HairpinTranslated)), ("drop hairpin-translated", 1));
    // The firewall's own addresses are no pods.
    assert_eq!(lab.hairpin("udp 10.3.0.50:1 > 10.1.0.1:2"), "drop spoofed-source");
    assert_eq!(lab.hairpin("udp 10.3.0.50:1 > 10.3.0.1:2"), "drop spoofed-source");
    // From somebody else's tunnel a packet is one that its sender sent: it is routed.
    assert_eq!(lab.speak("10.3.0.9", "udp 10.3.0.50:1 > 10.3.0.8:2"), "e3 udp 10.3.0.50:1 > 10.3.0.8:2");
    assert_eq!(lab.hairpin("udp 10.3.0.50:1 > 224.0.0.9:2"), "drop multicast");
}

#[test]
fn rules_have_their_say_and_a_refused_client_is_told_by_the_routers_way() {
    let reset = rule_with("no", "pods", "pods", "reset-client", "<log-start>yes</log-start>");
    let mut lab = Lab::new(&cloud(&cluster("red", 1), "", &reset));
    let out = lab.hairpin("tcp 10.3.0.50:40000 > 10.3.0.8:80 S");
    assert_eq!(out, "drop policy-deny\ne3 tcp 10.3.0.8:80 > 10.3.0.50:40000 RA");
    assert_eq!(lab.logs()[0], "deny 10.3.0.50 > 10.3.0.8 pods>pods reset-client no policy-deny");
    assert_eq!(lab.hairpin("udp 198.51.100.9:5 > 10.3.0.8:53"), "drop policy-deny");
}

#[test]
fn a_commit_that_refuses_it_tells_both_ends() {
    let mut lab = Lab::new(&pods());
    lab.hairpin("tcp 10.3.0.50:40000 > 10.3.0.8:80 S");
    lab.speak(POD, "tcp 10.3.0.8:80 > 10.3.0.50:40000 SA server");
    lab.hairpin("tcp 10.3.0.50:40000 > 10.3.0.8:80 A");
    lab.commit(&cloud(&cluster("red", 1), "", &rule("no", "any", "any", "reset-both")));
    lab.pass(1);
    assert_eq!(lab.settle(), [INTO_POD, INTO_POD], "both by the pod, one goes on to the node");
    assert_eq!(lab.arrived().0, "tcp 10.3.0.50:40000 > 10.3.0.8:80 RA");
}

#[test]
fn sessions_and_their_tunnels_survive_a_commit_unless_it_takes_the_cluster_away() {
    let mut lab = Lab::new(&published());
    let client = "e2 udp 198.51.100.9:40000 > 192.0.2.80:53";
    let nat = names("192.0.2.80");
    lab.commit(&cloud(&cluster("red", 1), &nat, &everything()));
    lab.check(client, "e3 udp 198.51.100.9:40000 > 10.3.0.8:53");
    lab.hairpin("udp 198.51.100.9:40000 > 10.3.0.8:53");
    lab.check(client, INTO_POD);
    lab.commit(&cloud(&cluster("red", 1), &nat, &rule("other", "any", "any", "allow")));
    lab.check(client, INTO_POD);
    lab.commit(&cloud(&cluster("blue", 2), &nat, &everything()));
    lab.check(client, "e3 udp 198.51.100.9:40000 > 10.3.0.8:53");
    assert_eq!(lab.sessions().len(), 1);
}

#[test]
fn a_pod_that_is_silent_for_long_is_looked_for_by_the_router() {
    let nat = names("192.0.2.80");
    let mut lab = Lab::new(&cloud(&cluster("red", 1), &nat, &everything()));
    let (client, plain) = ("e2 udp 198.51.100.9:40000 > 192.0.2.80:53", "e3 udp 198.51.100.9:40000 > 10.3.0.8:53");
    lab.check(client, plain);
    lab.hairpin("udp 198.51.100.9:40000 > 10.3.0.8:53");
    for _ in 0..2 {
        lab.pass(14);
        lab.check(client, INTO_POD);
    }
    lab.speak(POD, "udp 10.3.0.8:53 > 198.51.100.9:40000");
    lab.pass(20);
    lab.check(client, INTO_POD);
    lab.pass(10);
    lab.check(client, plain);
    assert_eq!(lab.sessions().len(), 1);
}

#[test]
fn a_client_that_gets_a_tunnel_of_its_own_begins_anew() {
    let mut lab = Lab::new(&pods());
    let there = "udp 10.3.0.7:40000 > 10.3.0.8:53";
    assert_eq!(lab.hairpin(there), INTO_POD);
    assert_eq!(lab.speak("10.3.0.7", there), format!("e3 {there}"));
    assert!(lab.logs()[0].starts_with("end 10.3.0.7 > 10.3.0.8 pods>pods allow all unknown"), "{:?}", lab.logs());
    assert_eq!(lab.names(), ["pods", "dmz", "red.ingress", "ethernet1/3"]);
    assert_eq!(lab.hairpin(there), INTO_POD);
    assert_eq!(lab.counters().hairpins_returned, 1);
}

#[test]
fn answers_reach_a_client_in_its_tunnel_by_the_nodes_of_both() {
    let mut lab = Lab::new(&pods());
    lab.hairpin("udp 10.3.0.7:40000 > 10.3.0.8:53");
    let answer = "udp 10.3.0.8:53 > 10.3.0.7:40000";
    assert_eq!(lab.speak(POD, answer), INTO_POD);
    let into_client = "e1 udp 10.1.0.1:33000 > 10.3.0.7:6080";
    assert_eq!(lab.hairpin(answer), into_client, "the client's node hands our own answer on to us");
    assert_eq!((lab.session().received.0, lab.counters().hairpins_returned), (1, 1));
    assert_eq!(lab.speak(POD, answer), INTO_POD);
}

#[test]
fn icmp_errors_find_their_sessions() {
    let mut lab = Lab::new(&published());
    lab.send("e2 udp 10.9.0.9:40000 > 10.3.0.8:53");
    lab.hairpin("udp 10.9.0.9:40000 > 10.3.0.8:53");
    assert_eq!(lab.speak(POD, "udp 10.3.0.8:53 > 10.9.0.9:40000"), "e2 udp 10.3.0.8:53 > 10.9.0.9:40000");
    // The client's error about the answer goes straight into the pod's tunnel.
    let (port, error) = lab.error_about_last("10.9.0.9", 3, 3, 0);
    assert_eq!(lab.inject(&port, error, Meta::default()), INTO_POD);
    // An error about a pod's own packet comes by its node.
    assert_eq!(lab.speak(POD, "udp 10.3.0.8:5000 > 10.3.0.50:53"), "e3 udp 10.3.0.8:5000 > 10.3.0.50:53");
    let (_, mut error) = lab.error_about_last("10.3.0.50", 3, 3, 0);
    ethernet::address(&mut error, POD_MAC, GATEWAY_MAC);
    let payload = [vxlan::header(Vni::new(1).unwrap()).as_slice(), &error].concat();
    assert_eq!(lab.inject("e1", outer(POD, (33_000, 6080), &payload), Meta::default()), INTO_POD);
    assert_eq!(lab.arrived().0, "icmp 3/3 10.3.0.50 > 10.3.0.8 about 10.3.0.8:5000 > 10.3.0.50:53");
}

#[test]
fn what_is_too_long_for_the_tunnel_is_told_once_it_is_known() {
    let mut lab = Lab::new(&published().replace("<mtu>1400</mtu>", ""));
    let client = "e2 udp 10.9.0.9:40000 > 10.3.0.8:53";
    lab.check(&format!("{client} len=1472"), "e3 udp 10.9.0.9:40000 > 10.3.0.8:53");
    assert_eq!(lab.hairpin("udp 10.9.0.9:40000 > 10.3.0.8:53 len=1472"), INTO_POD, "as it came");
    lab.check(&format!("{client} len=1422"), INTO_POD);
    let out = lab.send(&format!("{client} len=1423"));
    assert!(out.starts_with("drop too-big\ne2 icmp 3/4 192.0.2.1 > 10.9.0.9"), "{out}");
}

#[test]
fn fragments_on_their_way_to_a_pod_go_into_its_tunnel_in_fragments() {
    let mut lab = Lab::new(&pods());
    let (_, bytes, meta) = lab.packet("e1 udp 10.3.0.50:5353 > 10.3.0.8:53 len=2000 nodf");
    let Ok(Parsed::Ip(packet)) = parse(&bytes, meta) else { panic!("not IP") };
    lab.known_ports.extend([33_000, 6080]);
    let mut out = Vec::new();
    for mut piece in fragment::cut(&bytes, &packet, 1200, 7) {
        ethernet::address(&mut piece, POD_MAC, GATEWAY_MAC);
        let payload = [vxlan::header(Vni::new(1).unwrap()).as_slice(), &piece].concat();
        out.push(lab.inject("e1", outer(POD, (33_000, 6080), &payload), Meta::default()));
    }
    assert_eq!(out, ["".to_owned(), format!("{INTO_POD}\n{INTO_POD}")]);
    assert_eq!(lab.names()[2], "red.hairpin");
}

#[test]
fn inside_of_a_load_balancers_tunnel_the_pods_own_header_counts() {
    let mut lab = Lab::new(&cloud(&(vpc(false) + &cluster("red", 1)), "", &everything()));
    let header = aws(ENDPOINT, [5; 4], [0, 1, 2], ethernet::IPV4);
    let inner = lab.handed_on("udp 10.3.0.50:4000 > 10.3.0.8:53");
    let link = Link { source: [0; 6], destination: [0; 6] };
    let nested = udp(link, (POD, "10.1.9.9"), (33_000, 6080), &inner);
    let payload = [header.as_slice(), &nested[14..]].concat();
    let out = lab.inject("e1", outer(BALANCER, (50_001, 6081), &payload), Meta::default());
    assert_eq!(out, "e1 udp 10.1.0.1:50001 > 10.1.0.9:6081");
    assert_eq!(lab.names(), ["pods", "pods", "red.hairpin", "red.egress"]);
    let (bytes, outermost) = lab.last_outer();
    let outside = Capsule::open(&bytes, &outermost, Encapsulation::Geneve).unwrap();
    let Ok(Parsed::Ip(inside)) = parse_as(&bytes[outside.inner - 14..], ethernet::IPV4, Meta::default()) else {
        panic!("not IP inside");
    };
    assert_eq!((inside.source.to_string(), inside.destination.to_string()), ("10.1.9.9".into(), POD.into()));
    let base = outside.inner - 14;
    let inside =
        Packet { network: inside.network + base, transport: inside.transport + base, end: inside.end + base, ..inside };
    let innermost = outside.open_nested(&bytes, &inside, Encapsulation::Vxlan).unwrap();
    assert_eq!(lab.carried(&bytes, &outermost, &innermost), "udp 10.3.0.50:4000 > 10.3.0.8:53");
}

#[test]
fn where_no_tunnel_can_be_remembered_our_packets_are_dropped_with_the_reason() {
    let limits = Limits { tunnel_sessions: 1, ..Limits::default() };
    let mut lab = Lab::with(&published(), Settings { limits, ..Settings::default() });
    lab.hairpin("udp 10.3.0.50:1 > 10.3.0.8:2");
    lab.send("e2 tcp 198.51.100.9:40000 > 192.0.2.80:80 S");
    assert_eq!(lab.hairpin("tcp 198.51.100.9:40000 > 10.3.0.8:8080 S"), "drop tunnel-table-full");
    assert_eq!(lab.sessions().len(), 2);
}

#[test]
fn a_server_that_is_asked_in_a_clients_name_is_asked_in_its_tunnel() {
    let nat = dynamic("trust", "untrust", "192.0.2.77");
    let protection = "<zone-protection-profile>cookies</zone-protection-profile>";
    let profile = "<network><profiles><zone-protection-profile><entry name='cookies'><flood><tcp-syn><enable>yes</enable>\
        <syn-cookies><activate-rate>0</activate-rate><maximal-rate>1000000</maximal-rate></syn-cookies></tcp-syn>\
        </flood></entry></zone-protection-profile>";
    let text = cloud(&cluster("red", 1), &nat, &everything()).replace("<network>\n <profiles>", profile).replace(
        "<member>ethernet1/2</member></layer3></network>",
        &format!("<member>ethernet1/2</member></layer3>{protection}</network>"),
    );
    let mut lab = Lab::new(&text);
    let client = "e2 tcp 198.51.100.9:40000 > 10.3.0.8:80";
    lab.check(&format!("{client} S"), "e2 tcp 10.3.0.8:80 > 198.51.100.9:40000 SA");
    let Ok(Parsed::Ip(cookie)) = parse(&lab.last().1, Meta::default()) else { panic!("not IP") };
    let bartizan_packet::parse::Layer4::Tcp(tcp) = cookie.layer4 else { panic!("no TCP") };
    let ack = format!("{client} A ack={}", tcp.sequence.wrapping_add(1));
    lab.check(&ack, "e3 tcp 198.51.100.9:40000 > 10.3.0.8:80 S");
    assert_eq!(lab.hairpin("tcp 198.51.100.9:40000 > 10.3.0.8:80 S"), INTO_POD);
    lab.pass(2);
    assert_eq!(lab.settle(), [INTO_POD], "asked again, in the tunnel");
    let out = lab.speak(POD, "tcp 10.3.0.8:80 > 198.51.100.9:40000 SA server");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines, [INTO_POD, "e2 tcp 10.3.0.8:80 > 198.51.100.9:40000 A"]);
}

#[test]
fn what_is_explained_is_what_happens() {
    let rules = rule("to-pods", "pods", "pods", "allow") + &rule("rest", "any", "any", "deny");
    let lab = Lab::new(&cloud(&cluster("red", 1), "", &rules));
    let flow = Flow {
        ingress: lab.tables.interface_id("red.hairpin").unwrap(),
        source: "10.3.0.50".parse().unwrap(),
        destination: POD.parse().unwrap(),
        protocol: 6,
        source_port: 40_000,
        destination_port: 80,
    };
    let told: Vec<String> = explain(&lab.tables, &flow).steps.into_iter().map(|step| step.text).collect();
    let route = "what comes by `red.hairpin` leaves by `red.egress`, whatever the routes say";
    assert!(told.iter().any(|text| text == route), "{told:#?}");
    assert_eq!(told.last().unwrap(), "delivered into the tunnel of 10.3.0.8 by `red.egress`");
    let nat = inbound(POD, "pods", "10.3.0.9", 8080);
    let lab = Lab::new(&cloud(&cluster("red", 1), &nat, &rules));
    let told = explain(&lab.tables, &flow).steps.pop().unwrap().text;
    assert_eq!(told, "dropped by the firewall itself (`hairpin-translated`), although the rule allows it");
}
