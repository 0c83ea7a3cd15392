//! Pods as a runtime makes them: does every packet of a protected pod go through a firewall, and nothing else
//! into it?

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use support::{FIREWALL, NODE, PATIENCE, PEER, TRUSTED_PEER, World, heard, hears_nothing, world};

#[test]
fn packets_go_into_the_tunnel_with_the_pods_own_address_and_answers_come_back() {
    let Some(world) = world() else { return };
    let pod = world.inspected_pod("cart-0");
    in_netns(&world, &pod.name, "sysctl -qw net.ipv4.conf.all.rp_filter=1");
    let socket = world.udp(&pod, 5000);
    socket.send_to(b"hello", (PEER, 9999)).unwrap();
    let packet = world.at_firewall();
    assert_eq!(packet.outer_source(), format!("{}:6080", pod.address), "one port for all flows");
    assert_eq!(packet.cluster(), support::CLUSTER);
    assert_eq!(packet.inner(), Some((pod.address, PEER)));
    assert_eq!(&packet.transport()[8..], b"hello");
    world.firewall_sends(&pod, &packet.swapped());
    assert_eq!(heard(&socket), ("hello".to_owned(), SocketAddr::from((PEER, 9999))));
    assert_eq!((world.counter(&pod, "tunnelled"), world.counter(&pod, "from_tunnel")), (1, 1));
    let told = format!("{} is tunnelled to the firewall with cluster id 7, MTU 1450, failure mode closed", pod.address);
    assert!(world.log().contains(&format!("ADD shop/cart-0 (c-cart-0, eth0): {told}")), "{}", world.log());
}

#[test]
fn tcp_fits_into_the_tunnel() {
    let Some(world) = world() else { return };
    let pod = world.inspected_pod("cart-0");
    world.in_pod(&pod, || {
        let _nobody_answers = TcpStream::connect_timeout(&(PEER, 80).into(), Duration::from_millis(50));
    });
    let packet = world.at_firewall();
    let tcp = packet.transport();
    assert_eq!((tcp[13], &tcp[20..22]), (0x02, [2, 4].as_slice()), "a SYN with its segment size first");
    assert_eq!(u16::from_be_bytes([tcp[22], tcp[23]]), 1450 - 40);
}

/// Behind the vendor's tunnel, nothing from the node's own namespace reaches the pod.
#[test]
fn the_kubelets_probes_stay_green() {
    let Some(world) = world() else { return };
    let pod = world.inspected_pod("cart-0");
    let listener = world.in_pod(&pod, || TcpListener::bind("0.0.0.0:8080").unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, from) = listener.accept().unwrap();
        stream.write_all(b"ok").unwrap();
        from.ip()
    });
    let mut answer = String::new();
    let mut probe = world.in_node(|| TcpStream::connect_timeout(&(pod.address, 8080).into(), PATIENCE).unwrap());
    probe.read_to_string(&mut answer).unwrap();
    assert_eq!((answer.as_str(), server.join().unwrap().to_string().as_str()), ("ok", NODE));
    world.nothing_at_firewall();
    assert_eq!(world.counter(&pod, "tunnelled"), 0);
}

#[test]
fn ranges_that_pass_go_straight_there_and_back() {
    let Some(world) = world() else { return };
    let pod = world.inspected_pod("cart-0");
    let (socket, peer) = (world.udp(&pod, 5000), world.peer_udp(TRUSTED_PEER, 9999));
    socket.send_to(b"out", (TRUSTED_PEER, 9999)).unwrap();
    assert_eq!(heard(&peer), ("out".to_owned(), SocketAddr::from((pod.address, 5000))));
    peer.send_to(b"back", (pod.address, 5000)).unwrap();
    assert_eq!(heard(&socket).0, "back");
    world.nothing_at_firewall();
}

/// Only the node knows where a service's address leads: what a firewall gives back as it is goes on to it.
#[test]
fn what_the_firewall_gives_back_leaves_the_pod_for_its_node() {
    let Some(world) = world() else { return };
    let pod = world.inspected_pod("cart-0");
    let (socket, peer) = (world.udp(&pod, 5000), world.peer_udp(PEER, 9999));
    socket.send_to(b"hello", (PEER, 9999)).unwrap();
    let packet = world.at_firewall();
    world.firewall_sends(&pod, &packet.given_back());
    assert_eq!(heard(&peer), ("hello".to_owned(), SocketAddr::from((pod.address, 5000))));
    assert_eq!((world.counter(&pod, "tunnelled"), world.counter(&pod, "returned_to_node")), (1, 1));
    // The answer is not of the firewall's making, and goes through it first.
    peer.send_to(b"back", (pod.address, 5000)).unwrap();
    let packet = world.at_firewall();
    assert_eq!(packet.inner(), Some((PEER, pod.address)));
    world.firewall_sends(&pod, &packet.turned());
    assert_eq!(heard(&socket).0, "back");
}

#[test]
fn a_plain_packet_to_the_pod_is_sent_through_the_firewall_first() {
    let Some(world) = world() else { return };
    let pod = world.inspected_pod("cart-0");
    let (socket, peer) = (world.udp(&pod, 5000), world.peer_udp(PEER, 9999));
    peer.send_to(b"knock", (pod.address, 5000)).unwrap();
    hears_nothing(&socket);
    let packet = world.at_firewall();
    assert_eq!(packet.outer_source(), format!("{}:6080", pod.address));
    assert_eq!((packet.cluster(), packet.inner()), (support::CLUSTER, Some((PEER, pod.address))));
    for back in [packet.returned(), packet.turned(), packet.payload().to_vec()] {
        world.firewall_sends(&pod, &back);
        assert_eq!(heard(&socket), ("knock".to_owned(), SocketAddr::from((PEER, 9999))));
    }
    assert_eq!((world.counter(&pod, "hairpinned"), world.counter(&pod, "from_tunnel")), (1, 3));
}

#[test]
fn nobody_but_a_firewall_puts_packets_into_the_tunnel() {
    let Some(world) = world() else { return };
    let pod = world.inspected_pod("cart-0");
    let other = world.pod("evil-0", &json!({}));
    let (socket, peer) = (world.udp(&pod, 5000), world.peer_udp(PEER, 9999));
    peer.send_to(b"knock", (pod.address, 5000)).unwrap();
    let packet = world.at_firewall();
    let evil = world.udp(&other, 6080);
    evil.send_to(packet.payload(), (pod.address, 6080)).unwrap();
    hears_nothing(&socket);
    assert_eq!(world.counter(&pod, "dropped_forged_tunnel"), 1);
    let mut foreign = packet.returned();
    foreign[6] = 8;
    world.firewall_sends(&pod, &foreign);
    hears_nothing(&socket);
    assert_eq!(world.counter(&pod, "dropped_cluster_id"), 1);
    // Nor does the pod itself write outer packets.
    socket.send_to(packet.payload(), (FIREWALL, 6080)).unwrap();
    world.nothing_at_firewall();
    assert_eq!(world.counter(&pod, "dropped_forged_tunnel"), 2);
    world.firewall_sends(&pod, &packet.returned());
    assert_eq!(heard(&socket).0, "knock");
}

#[test]
fn without_a_firewall_the_failure_mode_decides_until_one_is_back() {
    let Some(world) = world() else { return };
    let closed = world.inspected_pod("closed-0");
    let open =
        world.pod("open-0", &json!({"paloaltonetworks.com/firewall": "pan-fw", "bartizan.io/failure-mode": "open"}));
    let peer = world.peer_udp(PEER, 9999);
    let (from_closed, from_open) = (world.udp(&closed, 5000), world.udp(&open, 5000));
    world.point_at(None);
    from_closed.send_to(b"closed", (PEER, 9999)).unwrap();
    hears_nothing(&peer);
    peer.send_to(b"in", (closed.address, 5000)).unwrap();
    hears_nothing(&from_closed);
    assert_eq!(world.counter(&closed, "dropped_no_firewall"), 2);
    from_open.send_to(b"open", (PEER, 9999)).unwrap();
    assert_eq!(heard(&peer), ("open".to_owned(), SocketAddr::from((open.address, 5000))));
    peer.send_to(b"in", (open.address, 5000)).unwrap();
    assert_eq!(heard(&from_open).0, "in");
    assert_eq!(world.counter(&open, "failed_open"), 2);
    world.point_at(Some(FIREWALL));
    for (socket, pod) in [(&from_closed, &closed), (&from_open, &open)] {
        socket.send_to(b"again", (PEER, 9999)).unwrap();
        assert_eq!(world.at_firewall().inner(), Some((pod.address, PEER)));
    }
}

#[test]
fn ports_of_a_port_info_and_their_answers_bypass_and_nothing_else_does() {
    let Some(world) = world() else { return };
    let info = json!({"spec": {"portinfo": "UDP:9999,TCP:8080"}});
    world.api.put("/apis/paloaltonetworks.com/v1/namespaces/shop/portinfos/metrics", &info);
    let pod = world.pod(
        "cart-0",
        &json!({"paloaltonetworks.com/firewall": "pan-fw", "paloaltonetworks.com/bypassfirewall": "shop/metrics"}),
    );
    let (socket, peer) = (world.udp(&pod, 5000), world.peer_udp(PEER, 9999));
    // An "answer" that nobody asked for.
    peer.send_to(b"unasked", (pod.address, 5000)).unwrap();
    assert_eq!(world.at_firewall().inner(), Some((PEER, pod.address)));
    socket.send_to(b"ask", (PEER, 9999)).unwrap();
    assert_eq!(heard(&peer).0, "ask");
    peer.send_to(b"answer", (pod.address, 5000)).unwrap();
    assert_eq!(heard(&socket).0, "answer");
    socket.send_to(b"other", (PEER, 9998)).unwrap();
    assert_eq!(world.at_firewall().inner(), Some((pod.address, PEER)));
    assert_eq!(world.counter(&pod, "bypassed_port"), 2);
}

#[test]
fn ranges_of_a_subnet_info_bypass_both_ways() {
    let Some(world) = world() else { return };
    let info = json!({"spec": {"subnetinfo": "BYPASS:203.0.113.0/28"}});
    world.api.put("/apis/paloaltonetworks.com/v1/namespaces/shop/subnetinfos/near", &info);
    world.api.put(
        "/api/v1/namespaces/shop",
        &json!({"metadata": {"name": "shop", "annotations": {"paloaltonetworks.com/subnetfirewall": "shop/near"}}}),
    );
    let pod = world.pod("cart-0", &json!({}));
    let socket = world.udp(&pod, 5000);
    // 203.0.113.1 is the node as well; .14 is nobody, and goes nowhere near the firewall.
    socket.send_to(b"near", (Ipv4Addr::new(203, 0, 113, 14), 9999)).unwrap();
    world.nothing_at_firewall();
    assert_eq!(world.counter(&pod, "bypassed_subnet"), 1);
    socket.send_to(b"far", (PEER, 9999)).unwrap();
    assert_eq!(world.at_firewall().inner(), Some((pod.address, PEER)));
}

/// The vendor's plugin fails such a pod without a word to its owner.
#[test]
fn a_subnet_info_of_another_namespace_is_told_and_follows_the_failure_mode() {
    let Some(world) = world() else { return };
    let wrong = "ns-secure/bypassfirewall";
    let annotations = json!({"paloaltonetworks.com/firewall": "pan-fw", "paloaltonetworks.com/subnetfirewall": wrong});
    world.announce("cart-0", &annotations);
    let pod = world.bare_pod("cart-0");
    let refused = world.ours("ADD", &pod);
    let said = "names a SubnetInfo of namespace `ns-secure`: a pod of `shop` can only use one of its own namespace";
    assert!(!refused.ok);
    assert_eq!(refused.value["code"], 100);
    assert!(refused.value["msg"].as_str().unwrap().contains(said), "{}", refused.value);
    assert!(world.api.events()[0].contains(said), "{:?}", world.api.events());
    assert!(world.api.events()[0].ends_with("the pod does not start (failure mode closed)"));
    assert!(!world.ours("ADD", &pod).ok, "the runtime tries again");
    assert_eq!(world.api.events().len(), 1, "and says it once");

    let mut open = annotations;
    open["bartizan.io/failure-mode"] = json!("open");
    let pod = world.pod("cart-1", &open);
    let (socket, peer) = (world.udp(&pod, 5000), world.peer_udp(PEER, 9999));
    socket.send_to(b"plain", (PEER, 9999)).unwrap();
    assert_eq!(heard(&peer).0, "plain");
    assert!(world.api.events()[1].ends_with("the pod runs without inspection (failure mode open)"));
    assert!(world.log().contains("ADD shop/cart-1 (c-cart-1, eth0): NOT INSPECTED although it was to be"));
}

#[test]
fn an_api_server_that_is_away_lets_no_pod_slip_through() {
    let Some(world) = world() else { return };
    world.announce("cart-0", &json!({"paloaltonetworks.com/firewall": "pan-fw"}));
    let pod = world.bare_pod("cart-0");
    world.api.set_away(true);
    let refused = world.ours("ADD", &pod);
    assert_eq!((refused.ok, &refused.value["code"]), (false, &json!(11)));
    assert!(refused.value["msg"].as_str().unwrap().contains("503"), "{}", refused.value);
    world.api.set_away(false);
    assert!(world.ours("ADD", &pod).ok, "the runtime tries again");
}

#[test]
fn another_pod_of_the_same_name_is_not_taken_for_this_one_but_a_static_pods_copy_is() {
    let Some(world) = world() else { return };
    let mut pod = world.inspected_pod("cart-0");
    pod.uid = "other".to_owned();
    let refused = world.ours("ADD", &pod);
    assert!(refused.value["msg"].as_str().unwrap().contains("was replaced by another"), "{}", refused.value);
    let annotations = json!({"paloaltonetworks.com/firewall": "pan-fw", "kubernetes.io/config.hash": "other"});
    world.announce("cart-0", &annotations);
    assert!(world.ours("ADD", &pod).ok);
}

#[test]
fn pods_without_an_annotation_are_not_touched() {
    let Some(world) = world() else { return };
    let pod = world.pod("plain-0", &json!({}));
    assert_eq!(links(&world, &pod.name), ["lo", "eth0"]);
    let (socket, peer) = (world.udp(&pod, 5000), world.peer_udp(PEER, 9999));
    socket.send_to(b"plain", (PEER, 9999)).unwrap();
    assert_eq!(heard(&peer).0, "plain");
    assert!(world.ours("CHECK", &pod).ok);
    assert!(world.ours("DEL", &pod).ok);
    assert!(world.files("state/pods").is_empty());
}

/// Release notes 1.0.7 of the vendor's plugin: DEL has to give the pod its networking back.
#[test]
fn delete_gives_the_pod_its_networking_back_and_may_be_repeated() {
    let Some(world) = world() else { return };
    let pod = world.inspected_pod("cart-0");
    assert_eq!(links(&world, &pod.name), ["lo", "eth0", "vxlan0"]);
    assert!(routes(&world, &pod.name).contains("mtu 1450"));
    assert!(world.ours("ADD", &pod).ok, "adding again gives the same");
    assert!(world.ours("CHECK", &pod).ok);
    in_netns(&world, &pod.name, "ip link del vxlan0");
    let checked = world.ours("CHECK", &pod);
    assert_eq!(checked.value["msg"], "the pod lacks the tunnel device `vxlan0`");
    assert!(world.ours("ADD", &pod).ok, "and mends what is gone");
    for _ in 0..2 {
        let deleted = world.ours("DEL", &pod);
        assert!(deleted.ok, "{}", deleted.value);
    }
    assert_eq!(links(&world, &pod.name), ["lo", "eth0"]);
    assert!(!routes(&world, &pod.name).contains("mtu"));
    assert_eq!(in_netns(&world, &pod.name, "tc qdisc show dev eth0 clsact"), "");
    let (socket, peer) = (world.udp(&pod, 5000), world.peer_udp(PEER, 9999));
    socket.send_to(b"plain", (PEER, 9999)).unwrap();
    assert_eq!(heard(&peer).0, "plain");
    assert!(!world.ours("CHECK", &pod).ok);
}

#[test]
fn garbage_collection_forgets_pods_that_the_runtime_does_not_know() {
    let Some(world) = world() else { return };
    let (kept, gone) = (world.inspected_pod("kept-0"), world.inspected_pod("gone-0"));
    let mut config = world.config.clone();
    config["cniVersion"] = json!("1.1.0");
    config["cni.dev/valid-attachments"] = json!([{"containerID": kept.id, "ifname": "eth0"}]);
    let collected = world.call(&support::plugin(), "GC", &kept, &config);
    assert!(collected.ok, "{}", collected.value);
    assert_eq!(world.files("state/pods"), ["c-kept-0-eth0.json"]);
    assert_eq!(links(&world, &gone.name), ["lo", "eth0"]);
    assert!(bartizan_cni::counters(&world.bpf(), "c-gone-0-eth0").unwrap().is_none());
    assert_eq!(world.counter(&kept, "tunnelled"), 0);
}

/// As Multus calls a network of its own: nobody was before.
#[test]
fn alone_the_plugin_ties_the_pods_own_interface() {
    let Some(world) = world() else { return };
    world.announce("cart-0", &json!({"paloaltonetworks.com/firewall": "pan-fw"}));
    let pod = world.bare_pod("cart-0");
    let added = world.call(&support::plugin(), "ADD", &pod, &world.config);
    assert!(added.ok, "{}", added.value);
    assert_eq!((&added.value["cniVersion"], &added.value["ips"]), (&json!("1.0.0"), &json!([])));
    world.udp(&pod, 5000).send_to(b"hello", (PEER, 9999)).unwrap();
    assert_eq!(world.at_firewall().inner(), Some((pod.address, PEER)));
}

#[test]
fn the_first_pods_of_a_node_may_all_start_at_once() {
    let Some(mut world) = world() else { return };
    // No maps yet: whoever comes first makes them.
    world.config["bpf_dir"] = json!(world.lab.dir().join("bpf/fresh"));
    let pods: Vec<_> = (0..8)
        .map(|number| {
            let name = format!("cart-{number}");
            world.announce(&name, &json!({"paloaltonetworks.com/firewall": "pan-fw"}));
            world.bare_pod(&name)
        })
        .collect();
    let together = |verb: &str| {
        std::thread::scope(|scope| {
            let calls: Vec<_> = pods.iter().map(|pod| scope.spawn(|| world.ours(verb, pod))).collect();
            calls.into_iter().map(|call| call.join().unwrap()).find(|answered| !answered.ok).map(|failed| failed.value)
        })
    };
    assert_eq!(together("ADD"), None);
    assert_eq!(together("CHECK"), None);
    assert_eq!(together("DEL"), None);
    assert!(world.files("state/pods").is_empty());
}

#[test]
fn a_hundred_pods_leave_nothing_behind() {
    let Some(world) = world() else { return };
    let before = links(&world, "node");
    let pod = world.inspected_pod("cart-0");
    world.ours("DEL", &pod);
    for _ in 0..99 {
        let added = world.ours("ADD", &pod);
        assert!(added.ok, "{}", added.value);
        assert!(world.ours("DEL", &pod).ok);
    }
    assert_eq!(links(&world, &pod.name), ["lo", "eth0"]);
    let bridge_and_pod = links(&world, "node").len() - before.len();
    assert_eq!(bridge_and_pod, 2, "the node's namespace has what the primary plugin made");
    for folder in ["state/pods", "state/locks"] {
        assert!(world.files(folder).is_empty(), "{folder}: {:?}", world.files(folder));
    }
    let pins = std::fs::read_dir(world.bpf().join("pods")).unwrap().count();
    assert_eq!(pins, 0);
    let mut took: Vec<f64> = world.log().lines().filter_map(milliseconds).collect();
    took.sort_by(f64::total_cmp);
    println!("ADD of {} pods: median {} ms, p99 {} ms", took.len(), took[took.len() / 2], took[took.len() * 99 / 100]);
    assert_eq!(took.len(), 100);
}

fn milliseconds(line: &str) -> Option<f64> {
    line.contains(" ADD ").then_some(())?;
    line.strip_suffix(" ms")?.rsplit_once("; ")?.1.parse().ok()
}

fn links(world: &World, host: &str) -> Vec<String> {
    let text = in_netns(world, host, "ip -json link show");
    let value: Value = serde_json::from_str(&text).unwrap();
    value.as_array().unwrap().iter().map(|link| link["ifname"].as_str().unwrap().to_owned()).collect()
}

fn routes(world: &World, host: &str) -> String {
    in_netns(world, host, "ip route show")
}

fn in_netns(world: &World, host: &str, script: &str) -> String {
    world.lab.sh(&format!("ip netns exec {host} {script}")).unwrap()
}
