//! Large packets through translation and two workers: fragments, path MTU discovery, traceroute.

use bartizan_lab::iperf3;

use crate::edge::{Edge, configuration};

/// Both interfaces let 1400 bytes pass, their neighbours' links 1500.
fn narrow() -> String {
    configuration("").replace("<layer3><ip>", "<layer3><mtu>1400</mtu><ip>")
}

#[test]
fn large_pings_pass_in_fragments_or_their_sender_is_told() {
    let edge = Edge::start(&narrow(), &["--workers", "2"]);
    // Cut to 1500 by its sender, to 1400 by the firewall; the answer as well.
    let answer = edge.client.run(&["ping", "-M", "dont", "-c", "3", "-i", "0.2", "-s", "4000", "203.0.113.2"]).unwrap();
    assert!(answer.contains(" 0% packet loss"), "{answer}");
    // The first ones are lost until both hosts know the MTU.
    let words = ["ping", "-c", "5", "-i", "0.2", "-W", "1", "-s", "4000", "2001:db8:2::2"];
    let answer = edge.client.run(&words).unwrap();
    assert!(answer.contains("4008 bytes from 2001:db8:2::2"), "{answer}");
    // The firewall itself.
    let answer = edge.client.run(&["ping", "-c", "2", "-i", "0.2", "-s", "4000", "10.0.1.1"]).unwrap();
    assert!(answer.contains(" 0% packet loss"), "{answer}");

    let told = edge.client.try_run(&["ping", "-M", "do", "-c", "1", "-W", "1", "-s", "1450", "203.0.113.2"]).unwrap();
    assert!(told.stdout.contains("From 10.0.1.1") && told.stdout.contains("mtu = 1400"), "{}", told.stdout);
    let answer = edge.client.run(&["ping", "-M", "do", "-c", "1", "-s", "1372", "203.0.113.2"]).unwrap();
    assert!(answer.contains(" 0% packet loss"), "exactly 1400 bytes: {answer}");
    assert!(edge.counter("datagrams-reassembled") >= 8);
    assert!(edge.counter("too-big") >= 1);
}

#[test]
fn downloads_and_uploads_find_the_mtu_of_their_path() {
    let mut edge = Edge::start(&narrow(), &["--workers", "2"]);
    edge.serve(&["iperf3", "-s"], 5201);
    for target in ["203.0.113.2", "2001:db8:2::2"] {
        for direction in [&[][..], &["-R"]] {
            iperf3::carried(&edge.client, target, direction, 3 << 20).unwrap();
        }
    }
    assert!(edge.counter("too-big") >= 4, "each sender was told");
}

#[test]
fn traceroute_sees_the_firewall_and_what_is_behind_its_translation() {
    let edge = Edge::start(&configuration(""), &["--workers", "2"]);
    for (target, hops) in
        [("203.0.113.2", ["10.0.1.1", "203.0.113.2"]), ("2001:db8:2::2", ["2001:db8:1::1", "2001:db8:2::2"])]
    {
        let answer = edge.client.run(&["traceroute", "-n", "-w", "2", "-q", "2", "-m", "4", target]).unwrap();
        let lines: Vec<_> = answer.lines().skip(1).collect();
        assert_eq!(lines.len(), 2, "{answer}");
        for (line, hop) in lines.iter().zip(hops) {
            assert!(line.contains(hop), "{hop} in {answer}");
        }
    }
}
