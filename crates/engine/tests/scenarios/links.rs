//! Neighbours, offloads, MTU, TTL, ICMP errors and the local link.

use bartizan_engine::settings::{Limits, Settings};
use bartizan_engine::verdict::DropReason;
use bartizan_packet::arp::{Arp, Operation};
use bartizan_packet::ethernet;
use bartizan_packet::frame::{Checksum, Meta, Segmentation};
use bartizan_packet::ndp;

use crate::house::{dynamic, house, inbound, rule};
use crate::lab::{Lab, icmp, neighbor_mac, port_mac};

fn open() -> String {
    house("", &rule("all", "any", "any", "allow"))
}

fn natted() -> String {
    house(&dynamic("trust", "untrust", "192.0.2.10"), &rule("all", "any", "any", "allow"))
}

#[test]
fn own_and_pool_addresses_are_answered_for_and_no_others() {
    let mut lab = Lab::new(&natted());
    let asker = [2, 0x0a, 192, 0, 2, 77];
    let ask = |target: &str| Arp::request(asker, "192.0.2.77".parse().unwrap(), target.parse().unwrap());
    for (target, answered) in [("192.0.2.1", true), ("192.0.2.10", true), ("192.0.2.99", false), ("10.1.0.1", false)] {
        let out = lab.inject("e2", ask(target), Meta::default());
        let expected = if answered { format!("e2 arp Reply {target} > 192.0.2.77") } else { String::new() };
        assert_eq!(out, expected, "asked for {target}");
    }
    let (_, bytes, _) = lab.last();
    let reply = Arp::read(bytes).unwrap();
    assert_eq!((reply.operation, reply.sender_mac), (Operation::Reply, port_mac("e2")));
    assert_eq!(lab.counters().neighbor_answers, 2);
}

#[test]
fn neighbour_solicitations_are_answered_for_both_kinds_of_address() {
    let mut lab = Lab::new(&open());
    let asker: std::net::Ipv6Addr = "2001:db8:1::77".parse().unwrap();
    for target in ["2001:db8:1::1".parse().unwrap(), ndp::link_local(port_mac("e1"))] {
        let question = ndp::solicit(neighbor_mac(asker.into()), asker, target);
        assert_eq!(lab.inject("e1", question, Meta::default()), format!("e1 icmp 136 {target} > 2001:db8:1::77"));
    }
    // A duplicate-address check is answered to everybody.
    let probe =
        ndp::solicit(neighbor_mac(asker.into()), std::net::Ipv6Addr::UNSPECIFIED, "2001:db8:1::1".parse().unwrap());
    let refused = lab.inject("e1", probe, Meta::default());
    assert_eq!(refused, "drop bad-neighbor-message", "it must not carry a MAC");
}

#[test]
fn frames_wait_for_the_neighbour_and_leave_in_order() {
    let mut lab = Lab::new(&open());
    let gateway = "192.0.2.254".parse().unwrap();
    lab.silent.insert(std::net::IpAddr::V4(gateway));
    lab.check("e1 udp 10.1.0.5:40000 > 198.51.100.9:53 len=1", "");
    lab.check("e1 udp 10.1.0.5:40000 > 198.51.100.9:53 len=2", "");
    let mac = neighbor_mac(gateway.into());
    let answer = Arp::request(port_mac("e2"), "192.0.2.1".parse().unwrap(), gateway);
    let out = lab.inject("e2", Arp::read(&answer).unwrap().reply(mac), Meta::default());
    assert_eq!(out.lines().count(), 2);
    let (_, bytes, _) = lab.last();
    assert_eq!(ethernet::destination(bytes), mac);
    assert_eq!(bytes.len(), 14 + 20 + 8 + 2, "the second frame came last");
    lab.check("e1 udp 10.1.0.5:40000 > 198.51.100.9:53", "e2 udp 10.1.0.5:40000 > 198.51.100.9:53");
}

#[test]
fn a_silent_neighbour_costs_its_frames() {
    let limits = Limits { waiting_per_neighbor: 2, ..Limits::default() };
    let mut lab = Lab::with(&open(), Settings { limits, ..Settings::default() });
    lab.silent.insert("192.0.2.254".parse().unwrap());
    lab.check("e1 udp 10.1.0.5:40000 > 198.51.100.9:53", "");
    lab.check("e1 udp 10.1.0.5:40000 > 198.51.100.9:53", "");
    lab.check("e1 udp 10.1.0.5:40000 > 198.51.100.9:53", "drop queue-full");
    lab.pass(4);
    assert_eq!(lab.dropped(DropReason::NeighborUnresolved), 2);
    assert_eq!(lab.counters().neighbor_requests, 3);
    lab.check("e1 udp 10.1.0.5:40000 > 198.51.100.9:53", "drop neighbor-unresolved");
}

#[test]
fn partial_checksums_are_translated_as_such() {
    let mut lab = Lab::new(&natted());
    lab.check("e1 tcp 10.1.0.5:40000 > 198.51.100.9:443 S partial", "e2 tcp 192.0.2.10:* > 198.51.100.9:443 S");
    assert_eq!(lab.last().2.checksum, Checksum::Partial { start: 34, offset: 16 });
    lab.check_reply("SA partial", "e1 tcp 198.51.100.9:443 > 10.1.0.5:40000 SA");
    lab.check("e1 udp 10.1.0.5:40000 > 198.51.100.9:53 partial len=9", "e2 udp 192.0.2.10:* > 198.51.100.9:53");
    lab.check("e1 udp 10.1.0.5:40001 > 198.51.100.9:53 nosum", "e2 udp 192.0.2.10:* > 198.51.100.9:53");
}

#[test]
fn offloaded_frames_pass_whole_and_count_as_their_segments() {
    let mut lab = Lab::new(&natted());
    lab.send("e1 tcp 10.1.0.5:40000 > 198.51.100.9:443 S");
    lab.reply("SA");
    lab.send("e1 tcp 10.1.0.5:40000 > 198.51.100.9:443 A");
    let before = lab.session().sent;
    lab.check(
        "e1 tcp 10.1.0.5:40000 > 198.51.100.9:443 PA len=14600 gso=1460 partial",
        "e2 tcp 192.0.2.10:* > 198.51.100.9:443 PA",
    );
    let (_, bytes, meta) = lab.last();
    assert_eq!((bytes.len(), meta.segmentation, meta.segment_bytes), (14 + 40 + 14_600, Segmentation::TcpV4, 1460));
    let after = lab.session().sent;
    assert_eq!((after.0 - before.0, after.1 - before.1), (10, 10 * 1500));
    // Its segments, not the frame, are held against the MTU.
    lab.send("e1 tcp 10.1.0.5:41000 > 10.3.0.9:443 S");
    lab.reply("SA");
    lab.check(
        "e1 tcp 10.1.0.5:41000 > 10.3.0.9:443 A len=5000 gso=1460",
        "drop too-big\ne1 icmp 3/4 10.1.0.1 > 10.1.0.5 about 10.1.0.5:41000 > 10.3.0.9:443",
    );
    lab.check("e1 tcp 10.1.0.5:41000 > 10.3.0.9:443 A len=5000 gso=1360", "e3 tcp 10.1.0.5:41000 > 10.3.0.9:443 A");
}

#[test]
fn packets_beyond_the_mtu_are_reported_to_their_sender() {
    let mut lab = Lab::new(&open());
    lab.check(
        "e1 udp 10.1.0.5:40000 > 10.3.0.9:53 len=1400",
        "drop too-big\ne1 icmp 3/4 10.1.0.1 > 10.1.0.5 about 10.1.0.5:40000 > 10.3.0.9:53",
    );
    let (_, bytes, _) = lab.last();
    assert_eq!(u16::from_be_bytes([bytes[40], bytes[41]]), 1400, "the MTU to use");
    lab.check(
        "e1 udp [2001:db8:1::5]:40000 > [2001:db8:3::9]:53 len=1400",
        "drop too-big\ne1 icmp 2/0 2001:db8:1::1 > 2001:db8:1::5 about [2001:db8:1::5]:40000 > [2001:db8:3::9]:53",
    );
}

#[test]
fn the_last_hop_is_reported_to_the_sender_before_translation() {
    let mut lab = Lab::new(&natted());
    lab.check(
        "e1 udp 10.1.0.5:40000 > 198.51.100.9:53 ttl=1",
        "drop ttl-expired\ne1 icmp 11/0 10.1.0.1 > 10.1.0.5 about 10.1.0.5:40000 > 198.51.100.9:53",
    );
    lab.check("e1 udp 10.1.0.5:40000 > 198.51.100.9:53 ttl=2", "e2 udp 192.0.2.10:* > 198.51.100.9:53");
    assert_eq!(lab.last().1[22], 1);
    // What ends at the firewall needs no hop.
    lab.check("e1 ping 10.1.0.5 > 10.1.0.1 id=1 ttl=1", "e1 pong 10.1.0.1 > 10.1.0.5 id=1");
}

#[test]
fn errors_find_their_session_through_source_nat() {
    let mut lab = Lab::new(&natted());
    for line in ["e1 udp 10.1.0.5:40000 > 198.51.100.9:53 len=12", "e1 tcp 10.1.0.5:40000 > 198.51.100.9:53 S"] {
        lab.send(line);
        let (port, error) = lab.error_about_last("192.0.2.254", 3, 1, 0);
        assert_eq!(
            lab.inject(&port, error, Meta::default()),
            "e1 icmp 3/1 192.0.2.254 > 10.1.0.5 about 10.1.0.5:40000 > 198.51.100.9:53"
        );
    }
    lab.send("e1 ping 10.1.0.5 > 198.51.100.9 id=7");
    let (port, error) = lab.error_about_last("192.0.2.254", 11, 0, 0);
    assert_eq!(
        lab.inject(&port, error, Meta::default()),
        "e1 icmp 11/0 192.0.2.254 > 10.1.0.5 about 10.1.0.5:7 > 198.51.100.9:0"
    );
}

#[test]
fn errors_from_behind_destination_nat_hide_the_server() {
    let nat = inbound("192.0.2.50", "untrust", "10.3.0.9", 8080);
    let mut lab = Lab::new(&house(&nat, &rule("all", "any", "any", "allow")));
    lab.send("e2 tcp 198.51.100.9:50000 > 192.0.2.50:80 S");
    let (port, error) = lab.error_about_last("10.3.0.9", 3, 3, 0);
    assert_eq!(
        lab.inject(&port, error, Meta::default()),
        "e2 icmp 3/3 192.0.2.50 > 198.51.100.9 about 198.51.100.9:50000 > 192.0.2.50:80"
    );
    // And the client's own errors about replies reach the server.
    lab.send("e2 tcp 198.51.100.9:50000 > 192.0.2.50:80 S");
    lab.reply("SA");
    let (port, error) = lab.error_about_last("198.51.100.1", 11, 0, 0);
    assert_eq!(
        lab.inject(&port, error, Meta::default()),
        "e3 icmp 11/0 198.51.100.1 > 10.3.0.9 about 10.3.0.9:8080 > 198.51.100.9:50000"
    );
}

#[test]
fn errors_about_nothing_and_broken_ones_are_dropped() {
    let mut lab = Lab::new(&natted());
    lab.send("e1 udp 10.1.0.5:40000 > 198.51.100.9:53 len=12");
    let (port, mut broken) = lab.error_about_last("192.0.2.254", 3, 1, 0);
    let last = broken.len() - 1;
    broken[last] ^= 1;
    assert_eq!(lab.inject(&port, broken, Meta::default()), "drop bad-checksum");
    let (_, frame, _) = lab.packet("e2 udp 192.0.2.10:5 > 198.51.100.9:53 len=12");
    let stray = icmp("e2", "192.0.2.254".parse().unwrap(), "192.0.2.10".parse().unwrap(), 3, 1, 0, &frame[14..]);
    assert_eq!(lab.inject("e2", stray, Meta::default()), "drop icmp-unrelated");
    let (_, real) = lab.error_about_last("192.0.2.254", 3, 1, 0);
    let quoted = real[42..].to_vec();
    let forged = icmp("e2", "192.0.2.254".parse().unwrap(), "10.1.0.5".parse().unwrap(), 3, 1, 0, &quoted);
    assert_eq!(lab.inject("e2", forged, Meta::default()), "drop icmp-unrelated", "not for whom it quotes");
}

#[test]
fn six_is_forwarded_like_four() {
    let mut lab = Lab::new(&open());
    lab.check(
        "e1 tcp [2001:db8:1::5]:40000 > [2001:db8:100::9]:443 S",
        "e2 tcp [2001:db8:1::5]:40000 > [2001:db8:100::9]:443 S",
    );
    lab.check_reply("SA", "e1 tcp [2001:db8:100::9]:443 > [2001:db8:1::5]:40000 SA");
    assert_eq!(lab.last().1[21], 63, "hop limit");
    lab.check("e1 ping 2001:db8:1::5 > 2001:db8:1::1 id=9", "e1 pong 2001:db8:1::1 > 2001:db8:1::5 id=9");
    lab.check("e1 ping 2001:db8:1::5 > 2001:db8:100::9 id=9", "e2 ping 2001:db8:1::5 > 2001:db8:100::9 id=9");
    let (port, error) = lab.error_about_last("2001:db8:2::fe", 1, 0, 0);
    assert_eq!(
        lab.inject(&port, error, Meta::default()),
        "e1 icmp 1/0 2001:db8:2::fe > 2001:db8:1::5 about [2001:db8:1::5]:9 > [2001:db8:100::9]:0"
    );
    let own = ndp::link_local(port_mac("e1"));
    lab.check(&format!("e1 ping fe80::5 > {own} id=1"), &format!("e1 pong {own} > fe80::5 id=1"));
    lab.check("e1 udp [fe80::5]:1 > [2001:db8:100::9]:2", "drop link-local");
}

#[test]
fn health_checks_end_at_the_host_and_come_back() {
    let mut lab = Lab::new(&open());
    lab.check("e1 tcp 10.1.0.5:40000 > 10.1.0.1:80 S ttl=1", "local tcp token > 198.18.0.1:8080 S");
    lab.check_reply("SA", "e1 tcp 10.1.0.1:80 > 10.1.0.5:40000 SA");
    lab.check("e1 tcp 10.1.0.5:40000 > 10.1.0.1:80 A", "local tcp token > 198.18.0.1:8080 A");
    lab.check("e1 tcp 10.1.0.5:40000 > 10.1.0.1:80 FA", "local tcp token > 198.18.0.1:8080 FA");
    lab.check_reply("FA ack=1002", "e1 tcp 10.1.0.1:80 > 10.1.0.5:40000 FA");
    lab.check("e1 tcp [2001:db8:1::5]:40000 > [2001:db8:1::1]:80 S", "local tcp token > [2001:2::1]:8080 S");
    lab.check_reply("SA", "e1 tcp [2001:db8:1::1]:80 > [2001:db8:1::5]:40000 SA");
    lab.check("e1 tcp [2001:db8:1::5]:40000 > [2001:db8:1::1]:443 S", "local tcp token > [2001:2::1]:8443 S");
    lab.check("e1 tcp 10.1.0.5:40000 > 10.1.0.1:22 S", "drop local-service");
    lab.check("e2 tcp 192.0.2.9:40000 > 192.0.2.1:80 S", "drop local-service");
    lab.check("local tcp 198.18.0.1:5555 > 198.18.0.9:80 S", "drop local-unrelated");
    // The host finds the engine behind each token.
    let ask = Arp::request(neighbor_mac("198.18.0.1".parse().unwrap()), [198, 18, 0, 1].into(), [198, 19, 3, 4].into());
    assert_eq!(lab.inject("local", ask, Meta::default()), "local arp Reply 198.19.3.4 > 198.18.0.1");
    let (asker, token): (std::net::Ipv6Addr, _) = ("2001:2::1".parse().unwrap(), "2001:2:0:1::4".parse().unwrap());
    let ask = ndp::solicit(neighbor_mac(asker.into()), asker, token);
    assert_eq!(lab.inject("local", ask, Meta::default()), "local icmp 136 2001:2:0:1::4 > 2001:2::1");
    // A commit that takes the profile away ends what it allowed.
    lab.send("e1 tcp 10.1.0.5:40009 > 10.1.0.1:80 S");
    lab.commit(&open().replace("<http>yes</http>", ""));
    lab.pass(0);
    assert!(lab.sessions().iter().all(|session| session.client.source_port != 40_009));
}

#[test]
fn replies_leave_where_the_client_came_in_even_without_a_route_back() {
    // The client's network is not routed by the interface it uses.
    let mut lab = Lab::new(&open());
    let (port, mut bytes, meta) = lab.packet("e3 udp 198.51.100.77:40000 > 10.1.0.5:53");
    ethernet::address(&mut bytes, port_mac("e3"), [2, 9, 9, 9, 9, 9]);
    assert_eq!(lab.inject(&port, bytes, meta), "e1 udp 198.51.100.77:40000 > 10.1.0.5:53");
    lab.check_reply("", "e3 udp 10.1.0.5:53 > 198.51.100.77:40000");
    assert_eq!(ethernet::destination(&lab.last().1), [2, 9, 9, 9, 9, 9]);
}

#[test]
fn a_detached_port_drops_and_a_returning_one_serves() {
    let mut lab = Lab::new(&open());
    let e2 = lab.port("e2");
    lab.send("e1 udp 10.1.0.5:40000 > 198.51.100.9:53");
    lab.engine.detach(e2);
    lab.check("e1 udp 10.1.0.5:40000 > 198.51.100.9:53", "drop port-down");
    lab.engine.attach(e2, port_mac("e2"));
    lab.check("e1 udp 10.1.0.5:40000 > 198.51.100.9:53", "e2 udp 10.1.0.5:40000 > 198.51.100.9:53");
}
