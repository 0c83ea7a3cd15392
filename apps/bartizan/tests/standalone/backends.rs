//! The same small suite over each way that frames can come by.

use bartizan_lab::iperf3;
use bartizan_lab::process::eventually;

use crate::edge::{Edge, LIMIT, configuration};

/// Whether XDP programs may be loaded here: with rights over the whole host, not only in a namespace.
fn may_load_programs() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.split_whitespace().nth(2) == Some("4294967295"))
        && std::fs::read_to_string("/proc/self/status")
            .is_ok_and(|status| status.lines().any(|line| line.starts_with("Uid:\t0\t")))
}

/// Ping, HTTP through NAT, health check and bulk both ways, over IPv4 and IPv6.
fn suite(edge: &mut Edge) {
    edge.serve_http();
    for address in ["10.0.1.1", "203.0.113.2", "2001:db8:1::1", "2001:db8:2::2"] {
        let answer = edge.client.run(&["ping", "-c", "2", "-i", "0.2", "-W", "3", address]);
        assert!(answer.is_ok(), "{address}: {answer:?}");
    }
    for url in ["http://203.0.113.2/index.html", "http://[2001:db8:2::2]/index.html"] {
        assert_eq!(edge.fetch(url).unwrap(), "behind the firewall\n", "{url}");
    }
    assert_eq!(edge.fetch("https://10.0.1.1/").unwrap(), "healthy\n");
    edge.serve(&["iperf3", "-s"], 5201);
    for (server, options) in [
        ("203.0.113.2", &["-P", "2"][..]),
        ("203.0.113.2", &["-R"]),
        ("2001:db8:2::2", &[]),
        ("2001:db8:2::2", &["-R"]),
        ("203.0.113.2", &["-u", "-b", "20M"]),
    ] {
        iperf3::carried(&edge.client, server, options, 1_000_000).unwrap();
    }
    assert_eq!(edge.counter("io-send-refused"), 0);
    assert_eq!(edge.counter("bad-checksum"), 0);
}

/// What drives ethernet1/1 and why.
fn driven_by(edge: &Edge) -> (String, String) {
    let rows = edge.json("show interface all");
    let row = rows.as_array().unwrap().iter().find(|row| row["name"] == "ethernet1/1").unwrap();
    (row["io"].as_str().unwrap().to_owned(), row["io_reason"].as_str().unwrap().to_owned())
}

#[test]
fn packet_sockets_carry_everything_and_are_chosen_for_virtual_links() {
    let mut edge = Edge::start(&configuration(""), &["--workers", "1"]);
    let (io, reason) = driven_by(&edge);
    assert_eq!(io, "af-packet");
    assert!(reason.contains("no af-xdp zero-copy"), "{reason}");
    suite(&mut edge);
}

#[test]
fn xdp_sockets_carry_everything() {
    let mut edge = Edge::start(&configuration(""), &["--workers", "1", "--io", "af-xdp"]);
    let (io, reason) = driven_by(&edge);
    if may_load_programs() {
        assert_eq!(io, "af-xdp native", "{reason}");
        assert!(reason.contains("the driver `veth` does not have it"), "{reason}");
    } else {
        assert_eq!(io, "af-packet", "{reason}");
        assert!(reason.contains("needs CAP_BPF"), "{reason}");
    }
    suite(&mut edge);
}

#[test]
fn two_workers_share_two_queues_and_hand_over_what_came_to_the_wrong_one() {
    let queues = "ethtool -L eth1 rx 2 tx 2; ethtool -L eth2 rx 2 tx 2";
    let mut edge = Edge::prepared(queues, &configuration(""), &["--workers", "2", "--io", "af-xdp"]);
    suite(&mut edge);
    assert!(edge.counter("io-handed-over") > 0 || !may_load_programs());
}

#[test]
fn a_killed_firewall_leaves_no_program_and_the_next_one_waits_for_its_end() {
    let mut edge = Edge::start(&configuration(""), &["--io", "af-xdp", "--latency"]);
    let has_program = |edge: &Edge| edge.firewall.host.run(&["ip", "link", "show", "eth1"]).unwrap().contains("xdp");
    assert_eq!(has_program(&edge), may_load_programs());
    edge.firewall.signal("KILL").unwrap();
    edge.firewall.start_again_with(&["--io", "af-packet"]).unwrap();
    assert_eq!(driven_by(&edge).0, "af-packet");
    eventually("the program is gone", LIMIT, || {
        anyhow::ensure!(!has_program(&edge), "eth1 still has a program");
        Ok(())
    })
    .unwrap();
    suite(&mut edge);
}

#[test]
fn a_device_has_as_many_queues_afterwards_as_before() {
    let queues = "ethtool -L eth1 rx 2 tx 2; ethtool -L eth2 rx 2 tx 2";
    let mut edge = Edge::prepared(queues, &configuration(""), &["--workers", "1", "--io", "af-xdp"]);
    let queues = |edge: &Edge| edge.firewall.host.sh("ls -d /sys/class/net/eth1/queues/rx-* | wc -l").unwrap();
    assert_eq!(queues(&edge).trim(), if may_load_programs() { "1" } else { "2" });
    assert_eq!(edge.firewall.end().unwrap(), Some(0));
    assert_eq!(queues(&edge).trim(), "2");
}

#[test]
fn a_worker_without_a_queue_still_sends_and_one_port_may_differ_from_another() {
    let io = ["--workers", "2", "--io", "af-packet", "--io", "ethernet1/1=af-xdp"];
    let mut edge = Edge::start(&configuration(""), &io);
    suite(&mut edge);
    if may_load_programs() {
        assert_eq!(driven_by(&edge).0, "af-xdp native");
        assert!(edge.counter("io-handed-over") > 0);
    }
}

#[test]
fn a_frame_that_is_longer_than_its_room_is_a_counted_drop() {
    let jumbo = "ip link set eth1 mtu 9000; ip link set eth2 mtu 9000";
    let configuration = configuration("").replace("<layer3><ip>", "<layer3><mtu>9000</mtu><ip>");
    let edge = Edge::prepared(jumbo, &configuration, &["--workers", "1", "--io", "af-xdp"]);
    if !may_load_programs() {
        assert_eq!(driven_by(&edge).0, "af-packet");
        return;
    }
    let (io, reason) = driven_by(&edge);
    assert_eq!(io, "af-xdp generic");
    assert!(reason.contains("an MTU of 9000 bytes needs frames of 9018, 3648 fit"), "{reason}");
    edge.client.sh("ip link set eth0 mtu 9000").unwrap();
    edge.server.sh("ip link set eth0 mtu 9000").unwrap();
    let ping = |bytes: &str| edge.client.try_run(&["ping", "-c", "1", "-W", "1", "-s", bytes, "203.0.113.2"]).unwrap();
    assert_eq!(ping("3600").code, Some(0));
    assert_ne!(ping("5000").code, Some(0));
    assert_eq!(edge.counter("io-truncated"), 1);
}
