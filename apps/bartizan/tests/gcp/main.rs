//! The Google Cloud reference deployment: both interfaces by DHCP with host addresses, load balancers as
//! next hop and in front, their probes, workloads, pods and services behind.
//!
//! ```text
//!   app1 10.20.0.10 ─┐
//!   node 10.20.0.20 ─┴─ vpc ── 10.10.2.0/24 ── eth2 fw eth1 ── 10.10.1.0/24 ── edge ── web 198.51.100.10
//!    ├ pod 10.100.0.10   (gateway .1, ILB 10.10.2.100)    (gateway .1, NLB 203.0.113.20)
//!    └ service 10.110.0.5
//! ```
//!
//! `vpc` and `edge` stand where the cloud's fabric stands: subnet gateways, DHCP servers that give host
//! addresses, the load balancers' forwarding, and the sources of their probes.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test itself does")]

use std::time::Duration;

use bartizan_lab::process::eventually;
use bartizan_lab::servers::{await_listener, dhcp, nginx};
use bartizan_lab::standalone::Standalone;
use bartizan_lab::{Lab, Namespace, Process};

const BINARY: &str = env!("CARGO_BIN_EXE_bartizan");
const LIMIT: Duration = Duration::from_secs(30);
/// Frontend of the internal load balancer, held by `loopback.1`.
const PRIVATE_FRONTEND: &str = "10.10.2.100";
/// Frontend of the external load balancer, held by `loopback.2`.
const PUBLIC_FRONTEND: &str = "203.0.113.20";
/// A prober of each side (Google's published ranges).
const PROBES: [&str; 2] = ["35.191.0.10", "130.211.0.9"];
const WEB: &str = "198.51.100.10";

struct Gcp {
    app1: Namespace,
    pod: Namespace,
    vpc: Namespace,
    edge: Namespace,
    internet: Namespace,
    firewall: Standalone,
    _servers: Vec<Process>,
    /// Dropped after what runs in it.
    _lab: Lab,
}

impl Gcp {
    fn start() -> Self {
        let lab = Lab::new().unwrap();
        let [app1, node, pod, vpc, firewall, edge, internet] =
            ["app1", "node", "pod", "vpc", "fw", "edge", "internet"].map(|name| lab.namespace(name).unwrap());
        lab.link((&vpc, "subnet"), (&firewall, "eth2")).unwrap();
        lab.link((&edge, "subnet"), (&firewall, "eth1")).unwrap();
        lab.link((&edge, "uplink"), (&internet, "eth0")).unwrap();
        lab.link((&vpc, "app1"), (&app1, "eth0")).unwrap();
        lab.link((&vpc, "node"), (&node, "eth0")).unwrap();
        lab.link((&node, "pods"), (&pod, "eth0")).unwrap();
        for (host, device, address) in [
            (&vpc, "subnet", "10.10.2.1/24"),
            (&vpc, "app1", "10.20.0.1/28"),
            (&vpc, "node", "10.20.0.17/28"),
            (&app1, "eth0", "10.20.0.10/28"),
            (&node, "eth0", "10.20.0.20/28"),
            (&node, "pods", "10.100.0.1/24"),
            (&pod, "eth0", "10.100.0.10/24"),
            (&pod, "lo", "10.110.0.5/32"),
            (&edge, "subnet", "10.10.1.1/24"),
            (&edge, "uplink", "198.51.100.1/24"),
            (&internet, "eth0", "198.51.100.10/24"),
        ] {
            host.address(device, address).unwrap();
        }
        for host in [&vpc, &edge] {
            for probe in PROBES {
                host.address("lo", &format!("{probe}/32")).unwrap();
            }
        }
        for host in [&vpc, &node, &edge] {
            host.forwarding().unwrap();
        }
        for (host, route) in [
            (&app1, "default via 10.20.0.1"),
            (&node, "default via 10.20.0.17"),
            (&pod, "default via 10.100.0.1"),
            (&internet, "default via 198.51.100.1"),
            (&node, "10.110.0.0/20 via 10.100.0.10"),
            (&vpc, "10.100.0.0/16 via 10.20.0.20"),
            (&vpc, "10.110.0.0/20 via 10.20.0.20"),
            // The static route whose next hop is the internal load balancer.
            (&vpc, "default via 10.10.2.4"),
            (&vpc, "10.10.2.100/32 via 10.10.2.4"),
            // The external load balancer keeps the frontend as the destination.
            (&edge, "203.0.113.20/32 via 10.10.1.4"),
        ] {
            host.route(route).unwrap();
        }
        let dir = lab.dir();
        let mut servers = Vec::new();
        for (host, address, gateway) in [(&vpc, "10.10.2.4", "10.10.2.1"), (&edge, "10.10.1.4", "10.10.1.1")] {
            // A host address, and a gateway beside it.
            servers.push(dhcp(dir, host, "subnet", (address, "255.255.255.255"), gateway).unwrap());
        }
        for host in [&app1, &pod, &internet] {
            servers.push(nginx(dir, host, &["80"]).unwrap());
            await_listener(host, 80).unwrap();
        }
        let firewall = Standalone::start(BINARY, dir, &firewall, include_str!("gcp.xml"), &[]).unwrap();
        Self { app1, pod, vpc, edge, internet, firewall, _servers: servers, _lab: lab }
    }

    fn operate(&self, words: &str) -> String {
        self.firewall.operate(words).unwrap().stdout
    }
}

fn fetch(host: &Namespace, url: &str) -> String {
    let finished = host.try_run(&["curl", "-sS", "--max-time", "5", url]).unwrap();
    format!("{}{}", finished.stdout, finished.stderr).trim().to_owned()
}

fn probe(host: &Namespace, source: &str, url: &str) -> String {
    let words =
        ["curl", "-sSk", "--interface", source, "--max-time", "5", "-o", "/dev/null", "-w", "%{http_code}", url];
    let finished = host.try_run(&words).unwrap();
    format!("{}{}", finished.stdout, finished.stderr)
}

#[test]
fn the_google_cloud_deployment_works_as_its_guide_says() {
    let gcp = Gcp::start();
    for (interface, address) in [("ethernet1/1", "10.10.1.4/32"), ("ethernet1/2", "10.10.2.4/32")] {
        eventually("a lease", LIMIT, || {
            let shown = gcp.operate(&format!("show dhcp client state {interface}"));
            anyhow::ensure!(shown.contains(address), "{shown}");
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error:#}\n{}", gcp.firewall.output()));
    }
    // The default route is the one of the interface that asks for it, through a gateway beside its network.
    let fib = gcp.operate("show routing fib logical-router default");
    let default: Vec<_> = fib.lines().filter(|line| line.contains(" 0.0.0.0/0 ")).collect();
    assert!(matches!(default[..], [only] if only.contains("10.10.1.1") && only.contains("ethernet1/1")), "{fib}");
    for (destination, interface) in [
        ("10.20.0.10", "ethernet1/2"),
        ("10.100.0.10", "ethernet1/2"),
        ("10.110.0.5", "ethernet1/2"),
        ("35.191.0.10", "ethernet1/2"),
        (WEB, "ethernet1/1"),
    ] {
        let looked = gcp.operate(&format!("test routing fib-lookup ip {destination} virtual-router default"));
        assert!(looked.contains(interface), "{destination}: {looked}");
    }

    // Outbound leaves by the address of ethernet1/1, from workloads and from pods.
    for host in [&gcp.app1, &gcp.pod] {
        assert_eq!(fetch(host, &format!("http://{WEB}/")), "internet answers 10.10.1.4", "{}", host.name());
    }
    // Inbound comes to the workload from the address of ethernet1/2.
    assert_eq!(fetch(&gcp.internet, &format!("http://{PUBLIC_FRONTEND}/")), "app1 answers 10.10.2.4");

    // Both load balancers see a healthy backend, by HTTP and HTTPS, at the paths of the guide.
    for (host, frontend) in [(&gcp.vpc, PRIVATE_FRONTEND), (&gcp.edge, PUBLIC_FRONTEND)] {
        for source in PROBES {
            for path in ["http://{}/php/login.php", "http://{}/", "https://{}/"] {
                let url = path.replace("{}", frontend);
                assert_eq!(probe(host, source, &url), "200", "{source} {url}");
            }
        }
    }
    // Nobody else gets an answer there, and nothing is behind the answer.
    assert_ne!(probe(&gcp.vpc, "10.10.2.1", &format!("http://{PRIVATE_FRONTEND}/")), "200");
    assert_eq!(probe(&gcp.vpc, PROBES[0], &format!("http://{PRIVATE_FRONTEND}/api/")), "404");

    let sessions = gcp.operate("show session all filter destination 203.0.113.20");
    assert!(sessions.contains("untrust2trust") && sessions.contains("inbound-web"), "{sessions}");
}
