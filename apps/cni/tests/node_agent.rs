//! The DaemonSet's program on a node: does the plugin get in, stay in and go, and do pods follow the firewalls?

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod support;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bartizan_lab::process::eventually;
use serde_json::{Value, json};
use support::{FIREWALL, OTHER_FIREWALL, PATIENCE, PEER, World, hears_nothing, world};

const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices";
const OLDER_SLICES: &str = "/apis/discovery.k8s.io/v1beta1/namespaces/kube-system/endpointslices";
const DAEMON_SET: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets/pan-cni";
/// What issue and manual promise.
const SWAP: Duration = Duration::from_secs(3);

fn cluster(world: &World) {
    world.point_at(None);
    world
        .api
        .put("/api/v1/nodes/n1", &json!({"metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "a"}}}));
    world.api.put(DAEMON_SET, &json!({"metadata": {"name": "pan-cni"}}));
    world.api.collection("/api/v1/pods");
    world.api.set("/api/v1/namespaces", json!({"metadata": {"name": "shop"}}));
}

fn slice(zones: &[(&str, &str)]) -> Value {
    let endpoints: Vec<Value> = zones
        .iter()
        .map(|(address, zone)| json!({"addresses": [address], "conditions": {"ready": true}, "zone": zone}))
        .collect();
    json!({"metadata": {"name": "pan-ngfw-svc-endpoints"}, "addressType": "IPv4", "endpoints": endpoints})
}

/// Waits until pods are tunnelled there, and says how long that took.
fn used(world: &World, address: &str) -> Duration {
    let begun = Instant::now();
    let line = format!("pan_cni_firewall_used{{address=\"{address}\"");
    eventually("the firewall in use", PATIENCE * 2, || -> Result<()> {
        let told = world.told("/metrics");
        ensure!(told.contains(&line), "{told}");
        Ok(())
    })
    .unwrap();
    begun.elapsed()
}

#[test]
fn pods_follow_the_firewalls_health_and_their_failure_mode_within_three_seconds() {
    let Some(world) = world() else { return };
    cluster(&world);
    world.api.set(SLICES, slice(&[("192.168.50.2", "a"), ("192.168.50.3", "b")]));
    let (near, far) = (world.answers_at(FIREWALL, 8443), world.answers_at(OTHER_FIREWALL, 8443));
    let _agent = world.install();
    used(&world, "192.168.50.2");
    let closed = world.inspected_pod("closed-0");
    let open =
        world.pod("open-0", &json!({"paloaltonetworks.com/firewall": "pan-fw", "bartizan.io/failure-mode": "open"}));
    let peer = world.peer_udp(PEER, 9999);
    let (from_closed, from_open) = (world.udp(&closed, 5000), world.udp(&open, 5000));
    from_closed.send_to(b"hello", (PEER, 9999)).unwrap();
    assert_eq!(world.at_firewall().inner(), Some((closed.address, PEER)));

    drop(near);
    let swap = used(&world, "192.168.50.3");
    assert!(swap < SWAP, "to the other zone's firewall: {swap:?}");
    drop(far);
    let begun = Instant::now();
    peer.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let plain = loop {
        from_open.send_to(b"plain", (PEER, 9999)).unwrap();
        if peer.recv_from(&mut [0; 16]).is_ok() {
            break begun.elapsed();
        }
        assert!(begun.elapsed() < PATIENCE, "the open pod never got through");
    };
    assert!(plain < SWAP, "into failure mode open: {plain:?}");
    while world.firewall_within(Duration::from_millis(50)).is_some() {}
    from_closed.send_to(b"closed", (PEER, 9999)).unwrap();
    hears_nothing(&peer);
    world.nothing_at_firewall();

    let begun = Instant::now();
    let _back = world.answers_at(FIREWALL, 8443);
    used(&world, "192.168.50.2");
    let back = begun.elapsed();
    assert!(back < SWAP, "and back: {back:?}");
    println!("swap {swap:?}, failure mode {plain:?}, recovery {back:?}");
    from_closed.send_to(b"again", (PEER, 9999)).unwrap();
    assert_eq!(world.at_firewall().inner(), Some((closed.address, PEER)));
    let log = world.log();
    assert!(log.contains("no firewall is well: each pod's failure mode holds"), "{log}");
    assert!(
        world
            .told("/metrics")
            .contains("pan_cni_packets_total{namespace=\"shop\",pod=\"closed-0\",what=\"tunnelled\"}")
    );
}

#[test]
fn changes_of_endpoints_arrive_through_every_interruption() {
    let Some(world) = world() else { return };
    cluster(&world);
    // A server without v1, as Kubernetes 1.20 is.
    world.api.set(OLDER_SLICES, slice(&[("192.168.50.2", "a")]));
    let (_one, _other) = (world.answers_at(FIREWALL, 8443), world.answers_at(OTHER_FIREWALL, 8443));
    let _agent = world.install();
    used(&world, "192.168.50.2");
    world.api.set(OLDER_SLICES, slice(&[("192.168.50.3", "a")]));
    used(&world, "192.168.50.3");
    let before = world.api.watches(OLDER_SLICES);
    world.api.forget();
    eventually("a watch from a fresh list", PATIENCE, || -> Result<()> {
        ensure!(world.api.watches(OLDER_SLICES) > before);
        Ok(())
    })
    .unwrap();
    world.api.set(OLDER_SLICES, slice(&[("192.168.50.2", "a")]));
    used(&world, "192.168.50.2");
    world.api.set_away(true);
    world.api.set(OLDER_SLICES, slice(&[("192.168.50.3", "a")]));
    std::thread::sleep(Duration::from_millis(1500));
    used(&world, "192.168.50.2");
    world.api.set_away(false);
    used(&world, "192.168.50.3");
    assert!(world.log().contains("endpoints cannot be watched: the API server answers 503"), "{}", world.log());
}

#[test]
fn the_plugin_gets_in_stays_in_and_leaves_no_trace() {
    let Some(world) = world() else { return };
    cluster(&world);
    let mut agent = world.install();
    let dir = world.lab.dir().to_owned();
    let list = dir.join("net.d/10-primary.conflist");
    let text = r#"{"cniVersion":"1.1.0","name":"pods","plugins":[{"type":"bridge"}]}"#;
    assert_eq!(eventually_told(&world, "/readyz"), "the plugin is not in the CNI configuration\n");
    let plugins = || -> Vec<String> {
        let value: Value = serde_json::from_str(&std::fs::read_to_string(&list).unwrap()).unwrap();
        value["plugins"].as_array().unwrap().iter().map(|one| one["type"].as_str().unwrap().to_owned()).collect()
    };
    let put_in = || {
        eventually("the plugin in the list", PATIENCE, || -> Result<()> {
            ensure!(plugins() == ["bridge", "pan-cni"]);
            Ok(())
        })
        .unwrap();
    };
    std::fs::write(&list, text).unwrap();
    put_in();
    // The primary plugin's installer comes again.
    std::fs::write(&list, text).unwrap();
    put_in();
    eventually("readiness", PATIENCE, || -> Result<()> {
        ensure!(world.told("/readyz") == "ok\n" && world.told("/healthz") == "ok\n");
        Ok(())
    })
    .unwrap();
    assert!(dir.join("log/pan-cni-ready").is_dir());
    let program = std::fs::read(support::plugin()).unwrap();
    assert!(std::fs::read(dir.join("bin/pan-cni")).unwrap() == program);
    let kubeconfig = || std::fs::read_to_string(dir.join("net.d/ZZZ-pan-cni-kubeconfig")).unwrap();
    assert!(kubeconfig().contains("\"token\": \"sesame\""));
    std::fs::write(dir.join("account/token"), "rotated").unwrap();
    eventually("the rotated token", PATIENCE, || -> Result<()> {
        ensure!(kubeconfig().contains("\"token\": \"rotated\""));
        Ok(())
    })
    .unwrap();
    world.api.service_account(&dir.join("account"));

    // An agent that is only replaced leaves everything in place.
    world.uninstall();
    agent.signal("TERM").unwrap();
    assert_eq!(agent.wait(PATIENCE).unwrap(), Some(0), "{}", agent.output());
    assert_eq!(plugins(), ["bridge", "pan-cni"]);
    let mut agent = world.install();
    eventually_told(&world, "/healthz");
    world.api.remove(DAEMON_SET);
    world.uninstall();
    assert_eq!(plugins(), ["bridge"]);
    // The container lives on until its preStop hook is done.
    std::thread::sleep(Duration::from_millis(2500));
    assert!(agent.is_running());
    agent.signal("TERM").unwrap();
    assert_eq!(agent.wait(PATIENCE).unwrap(), Some(0), "{}", agent.output());
    assert_eq!(plugins(), ["bridge"]);
    assert_eq!(world.files("net.d"), ["10-primary.conflist"]);
    assert!(world.files("bin").is_empty());
    assert_eq!(world.files("log"), ["pan-cni.log"]);
    assert!(!world.bpf().exists());
    assert_eq!(world.files("state"), ["uninstalled"]);
}

#[test]
fn each_pod_of_the_node_is_told_with_the_reason() {
    let Some(world) = world() else { return };
    cluster(&world);
    world.api.set(SLICES, slice(&[("192.168.50.2", "a")]));
    let _firewall = world.answers_at(FIREWALL, 8443);
    let _agent = world.install();
    used(&world, "192.168.50.2");
    let on = json!({"paloaltonetworks.com/firewall": "pan-fw"});
    world.inspected_pod("cart-0");
    world.pod("late-0", &json!({}));
    let list = |name: &str, annotations: &Value, spec: &Value| {
        let uid = format!("uid-{name}");
        let metadata = json!({"name": name, "namespace": "shop", "uid": uid, "annotations": annotations});
        let status = json!({"phase": "Running", "podIP": "10.244.1.9"});
        world.api.set("/api/v1/pods", json!({"metadata": metadata, "spec": spec, "status": status}));
    };
    list("cart-0", &on, &json!({}));
    list("late-0", &on, &json!({}));
    list("old-0", &on, &json!({}));
    list("proxy-0", &on, &json!({"hostNetwork": true}));
    list("plain-0", &json!({}), &json!({}));
    let map = "/api/v1/namespaces/kube-system/configmaps/pan-cni-coverage-n1";
    let coverage = eventually("the coverage facts", PATIENCE * 3, || -> Result<Value> {
        let text =
            world.api.object(map).unwrap_or_default()["data"]["coverage.json"].as_str().unwrap_or_default().to_owned();
        let value: Value = serde_json::from_str(&text)?;
        ensure!(value["pods"].as_array().is_some_and(|pods| pods.len() == 5), "{value}");
        Ok(value)
    })
    .unwrap();
    let told: Vec<String> = coverage["pods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pod| format!("{} {} {}", pod["name"].as_str().unwrap(), pod["inspected"], pod["code"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            "late-0 false started-before-annotation",
            "old-0 false started-before-plugin",
            "plain-0 false not-annotated",
            "proxy-0 false host-network",
            "cart-0 true tunnelled",
        ]
    );
    assert_eq!((&coverage["node"], &coverage["firewall"]), (&json!("n1"), &json!("192.168.50.2")));
    assert!(world.told("/metrics").contains("pan_cni_pods{inspected=\"true\",reason=\"tunnelled\"} 1"));
    let now: Value = serde_json::from_str(&world.told("/coverage")).unwrap();
    assert_eq!(now["pods"], coverage["pods"]);
}

fn eventually_told(world: &World, path: &str) -> String {
    eventually("an answer of the agent", PATIENCE, || -> Result<String> {
        let told = world.told(path);
        ensure!(!told.is_empty());
        Ok(told)
    })
    .unwrap()
}
