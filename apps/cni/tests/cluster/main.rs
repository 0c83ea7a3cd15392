//! Two nodes, the real chain of plugins and the real firewall: is all traffic of annotated pods inspected, and
//! that of others left alone?

#![expect(clippy::unwrap_used, reason = "a test")]

#[path = "../support/api.rs"]
#[expect(dead_code, reason = "shared with the plugin's own tests, which use more of it")]
mod api;
mod churn;
mod world;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::json;

use world::{INTERNET, OUTSIDE, PUBLISHED, Pod, SERVICE, World, world};

const WEB: u16 = 8080;
/// How long nobody answers.
const SILENCE: Duration = Duration::from_millis(700);
/// In which pods have to follow the firewall.
const SWAP: Duration = Duration::from_secs(3);

/// Pods of three namespaces on both nodes.
struct Pods {
    /// Annotated by their namespace `shop`.
    cart: Pod,
    db: Pod,
    /// Annotated itself, and rather open than silent.
    api: Pod,
    /// Not annotated.
    probe: Pod,
    other: Pod,
}

fn pods(world: &World) -> Pods {
    world.namespace("shop", &json!({"paloaltonetworks.com/firewall": "pan-fw"}));
    world.namespace("pay", &json!({}));
    world.namespace("plain", &json!({}));
    let open = json!({"paloaltonetworks.com/firewall": "pan-fw", "bartizan.io/failure-mode": "open"});
    let pods = Pods {
        cart: world.pod(0, "shop", "cart", &json!({})),
        api: world.pod(0, "pay", "api", &open),
        probe: world.pod(0, "plain", "probe", &json!({})),
        db: world.pod(1, "shop", "db", &json!({})),
        other: world.pod(1, "plain", "other", &json!({})),
    };
    for name in ["cart", "db", "api", "probe", "other"] {
        world.serve(name, WEB);
    }
    world.serve("internet", 80);
    for node in &world.nodes {
        node.forward_service(&pods.db, WEB);
    }
    pods
}

impl World {
    /// A pod gets another's page; the other sees it with its own address, or with this one.
    #[track_caller]
    fn reaches(&self, from: &Pod, to: (&str, Ipv4Addr, u16), with: Ipv4Addr) {
        let got = self.fetch(&from.name, to.1, to.2).unwrap();
        assert_eq!(got, (to.0.to_owned(), with), "{} to {to:?}", from.name);
    }

    /// How long it takes until a pod gets another's page again.
    fn until_reached(&self, from: &Pod, to: &Pod, since: Instant) -> Duration {
        loop {
            let got = self.fetch_within(&from.name, (to.address, WEB), Duration::from_millis(250));
            if got.is_ok() {
                return since.elapsed();
            }
            assert!(since.elapsed() < SWAP * 5, "{} never reached {} again: {got:?}", from.name, to.name);
        }
    }
}

#[test]
fn every_way_to_and_from_an_annotated_pod_leads_through_the_firewall() {
    let Some(world) = world() else { return };
    let Pods { cart, db, api, probe, other } = pods(&world);
    let sides = |sides: [&str; 4]| sides.map(str::to_owned);
    let inward = (sides(["shop.ingress", "shop.egress", "pods", "pods"]), Some(7));
    for peer in [&api, &db, &other] {
        world.reaches(&cart, (&peer.name, peer.address, WEB), cart.address);
        assert_eq!(world.seen(cart.address, peer.address), inward, "to {}", peer.name);
    }
    // A service is seen as what the pod asked for, and again at the pod behind it, which knows who asks.
    let before = world.logged(cart.address, db.address).len();
    assert_eq!(world.fetch("cart", SERVICE, 80).unwrap(), ("db".to_owned(), cart.address));
    assert_eq!(world.seen(cart.address, SERVICE), inward);
    let hairpin = (sides(["shop.hairpin", "shop.egress", "pods", "pods"]), Some(7));
    assert_eq!(world.seen(cart.address, db.address), hairpin);
    assert_eq!(world.logged(cart.address, db.address).len(), before + 1);
    world.reaches(&cart, ("internet", INTERNET, 80), OUTSIDE);
    let outward = (sides(["shop.ingress", "ethernet1/2", "pods", "untrust"]), Some(7));
    assert_eq!(world.seen(cart.address, INTERNET), outward);
    let got = world.fetch("internet", PUBLISHED, 80).unwrap();
    assert_eq!(got, ("cart".to_owned(), INTERNET), "the pod sees the client's own address");
    // Its first packet left by the routes; by the end the firewall knows whose pod it came to.
    let published = sides(["ethernet1/2", "ethernet1/1", "untrust", "trust"]);
    assert_eq!(world.seen(INTERNET, PUBLISHED), (published.clone(), None));
    world.firewall.json(&format!("clear session all filter destination {PUBLISHED}")).unwrap();
    assert_eq!(world.ended(INTERNET, PUBLISHED), (published, Some(7)));
    // From pods that are not annotated, on the same node and another.
    for (from, to) in [(&probe, &cart), (&probe, &db), (&other, &cart)] {
        world.reaches(from, (&to.name, to.address, WEB), from.address);
        assert_eq!(world.seen(from.address, to.address), hairpin, "{} to {}", from.name, to.name);
    }
    // Each page once: what the firewall sent itself and got back is no second session.
    assert_eq!(world.logged(cart.address, api.address).len(), 1);
    assert_eq!(world.logged(INTERNET, cart.address).len(), 0);
    assert!(world.firewall.counter("hairpins-returned").unwrap() >= 3);
    let objects = world.firewall.json("show traffic-objects").unwrap();
    let object = &objects["objects"][0];
    assert_eq!((object["name"].as_str(), object["tunnel"].as_str()), (Some("shop"), Some("cluster-id 7")), "{objects}");
    // A rule refuses, on the way out and on the way in.
    for from in [&cart, &other] {
        assert!(world.fetch(&from.name, db.address, 25).unwrap_err().contains("refused"));
    }
    for pod in [&cart, &db] {
        let counters = world.counters(pod);
        assert_eq!(counters["failed_open"], 0);
        assert!(counters["tunnelled"] > 0 && counters["hairpinned"] > 0, "{}: {counters:?}", pod.name);
    }
}

#[test]
fn probes_stay_green_and_pods_that_are_not_annotated_are_not_touched() {
    let Some(world) = world() else { return };
    let Pods { cart, db, probe, other, .. } = pods(&world);
    for (node, pod) in world.nodes.iter().zip([&cart, &db]) {
        let got = world.fetch(node.host.name(), pod.address, WEB).unwrap();
        assert_eq!(got.0, pod.name);
        let counters = world.counters(pod);
        assert_eq!((counters["tunnelled"], counters["hairpinned"]), (0, 0), "{counters:?}");
        assert!(world.logged(got.1, pod.address).is_empty());
    }
    world.reaches(&probe, ("other", other.address, WEB), probe.address);
    let got = world.fetch("other", SERVICE, 80).unwrap();
    assert_eq!(got.0, "db");
    assert!(world.logged(probe.address, other.address).is_empty());
    assert_eq!(world.links("probe"), ["lo", "eth0"]);
    assert_eq!(world.links("cart"), ["lo", "eth0", "vxlan0"]);
}

#[test]
fn when_the_firewall_dies_each_pod_follows_its_failure_mode_until_it_is_back() {
    let Some(mut world) = world() else { return };
    let Pods { cart, api, other, .. } = pods(&world);
    world.reaches(&cart, ("other", other.address, WEB), cart.address);
    let begun = Instant::now();
    world.firewall.signal("KILL").unwrap();
    let plain = world.until_reached(&api, &other, begun);
    assert!(world.fetch_within("cart", (other.address, WEB), SILENCE).is_err());
    assert!(world.fetch_within("other", (cart.address, WEB), SILENCE).is_err());
    world.reaches(&other, ("api", api.address, WEB), other.address);
    assert_eq!(world.counters(&cart)["failed_open"], 0);
    assert!(world.counters(&api)["failed_open"] > 0);
    world.firewall.wait(SWAP).unwrap();
    world.firewall.start_again().unwrap();
    let begun = Instant::now();
    let back = world.until_reached(&cart, &other, begun);
    say(&format!("failure mode after {plain:?}, back after {back:?}"));
    assert!(plain < SWAP && back < SWAP, "{plain:?}, {back:?}");
    let before = world.logged(api.address, other.address).len();
    world.reaches(&api, ("other", other.address, WEB), api.address);
    world.reaches(&other, ("cart", cart.address, WEB), other.address);
    world.seen(other.address, cart.address);
    assert!(world.logged(api.address, other.address).len() > before);
}

#[test]
fn nothing_is_left_when_the_plugin_goes() {
    let Some(mut world) = world() else { return };
    let Pods { cart, db, api, probe, other } = pods(&world);
    world.reaches(&cart, ("db", db.address, WEB), cart.address);
    for pod in [&cart, &db, &api, &probe, &other] {
        world.release(pod);
        assert_eq!(world.links(&pod.name), ["lo", "eth0"], "{}", pod.name);
        assert!(!world.run(&pod.name, "ip route show").contains("mtu"));
        assert_eq!(world.run(&pod.name, "tc qdisc show dev eth0 clsact"), "");
    }
    world.uninstall();
    for node in &world.nodes {
        let left = [node.files("state/pods"), node.files("state/locks"), node.pinned(), node.files("bin")].concat();
        assert!(left.is_empty() && !node.has_maps(), "{left:?}");
        assert_eq!((node.types(), node.files("net.d")), (vec!["bridge".into()], vec!["10-primary.conflist".into()]));
        assert_eq!(node.files("log"), ["pan-cni.log"]);
    }
    // Pods that still run talk without a firewall.
    world.reaches(&cart, ("other", other.address, WEB), cart.address);
    world.reaches(&other, ("cart", cart.address, WEB), other.address);
    assert!(world.logged(cart.address, other.address).is_empty());
}

/// A line on standard output. Who cannot read it is not there any more.
fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}
