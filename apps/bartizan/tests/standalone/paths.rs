//! Two ways to the server, and one of them dies: does traffic follow?
//!
//! `client - fw - r1 - server`, `client - fw - r2 - server`; the server is 192.0.2.9 behind both routers.

use bartizan_lab::process::eventually;
use bartizan_lab::standalone::Standalone;
use bartizan_lab::{Lab, Namespace};

use crate::edge::{BINARY, LIMIT};

struct Ways {
    client: Namespace,
    firewall: Standalone,
    routers: [Namespace; 2],
    /// Dropped after what runs in it.
    _lab: Lab,
}

impl Ways {
    fn start(routes: &str, ecmp: &str) -> Self {
        let lab = Lab::new().unwrap();
        let [client, firewall, one, two, server] =
            ["client", "fw", "r1", "r2", "server"].map(|name| lab.namespace(name).unwrap());
        lab.link((&client, "eth0"), (&firewall, "eth1")).unwrap();
        client.address("eth0", "10.0.1.10/24").unwrap();
        client.route("default via 10.0.1.1").unwrap();
        server.sh("ip link set lo up; ip address add 192.0.2.9/32 dev lo").unwrap();
        for (at, router) in [(2, &one), (3, &two)] {
            lab.link((router, "in"), (&firewall, &format!("eth{at}"))).unwrap();
            lab.link((&server, &format!("eth{at}")), (router, "out")).unwrap();
            router.address("in", &format!("10.0.{at}.254/24")).unwrap();
            router.address("out", &format!("10.1.{at}.1/24")).unwrap();
            server.address(&format!("eth{at}"), &format!("10.1.{at}.9/24")).unwrap();
            router.forwarding().unwrap();
            router.route(&format!("192.0.2.9/32 via 10.1.{at}.9")).unwrap();
            router.route(&format!("10.0.1.0/24 via 10.0.{at}.1")).unwrap();
            server.route(&format!("10.0.{at}.0/24 via 10.1.{at}.1")).unwrap();
        }
        server.route("10.0.1.0/24 via 10.1.2.1 metric 1").unwrap();
        server.route("10.0.1.0/24 via 10.1.3.1 metric 2").unwrap();
        server.sh("sysctl -qw net.ipv4.conf.all.rp_filter=0").unwrap();
        let text = include_str!("paths.xml").replace("<!-- ROUTES -->", routes).replace("<!-- ECMP -->", ecmp);
        let firewall = Standalone::start(BINARY, lab.dir(), &firewall, &text, &["--workers", "2"]).unwrap();
        Self { client, firewall, routers: [one, two], _lab: lab }
    }

    fn operate(&self, words: &str) -> String {
        self.firewall.operate(words).unwrap().stdout
    }

    /// Waits until the watch says this of the route.
    fn await_status(&self, status: &str) {
        eventually(&format!("the path is {status}"), LIMIT, || {
            let rows = self.firewall.json("show routing path-monitor")?;
            anyhow::ensure!(rows[0]["status"] == status, "{rows}");
            Ok(())
        })
        .unwrap();
    }

    fn ping(&self) -> bool {
        self.client.try_run(&["ping", "-c", "1", "-W", "1", "192.0.2.9"]).unwrap().code == Some(0)
    }

    /// Packets for the server that came by a router.
    fn carried(&self, router: usize) -> u64 {
        let text = self.routers[router].sh("cat /sys/class/net/out/statistics/tx_packets").unwrap();
        text.trim().parse().unwrap()
    }
}

const MONITORED: &str = "<entry name='by-r1'><destination>192.0.2.0/24</destination>\
    <nexthop><ip-address>10.0.2.254</ip-address></nexthop><path-monitor><enable>yes</enable><hold-time>0</hold-time>\
    <monitor-destinations><entry name='server'><enable>yes</enable><source>10.0.2.1/24</source>\
    <destination>192.0.2.9</destination><interval>1</interval><count>3</count></entry></monitor-destinations>\
    </path-monitor></entry>\
    <entry name='by-r2'><destination>192.0.2.0/24</destination>\
    <nexthop><ip-address>10.0.3.254</ip-address></nexthop><metric>20</metric></entry>";

#[test]
fn a_route_whose_path_dies_is_withdrawn_and_comes_back() {
    let ways = Ways::start(MONITORED, "");
    assert!(ways.ping());
    ways.await_status("up");
    let shown = ways.operate("show routing path-monitor logical-router default");
    assert!(shown.contains("by-r1") && shown.contains("192.0.2.9"), "{shown}");
    // The link stays up and the router answers ARP; what is behind it is gone.
    ways.routers[0].sh("ip route del 192.0.2.9/32; ip route add blackhole 192.0.2.9/32").unwrap();
    ways.await_status("down");
    let routes = ways.operate("show routing fib virtual-router default");
    assert!(!routes.contains("10.0.2.254") && routes.contains("10.0.3.254"), "{routes}");
    let before = ways.carried(1);
    assert!(ways.ping(), "{}", ways.operate("show routing route"));
    assert!(ways.carried(1) > before, "the second way carries the traffic");
    ways.routers[0].sh("ip route del blackhole 192.0.2.9/32; ip route add 192.0.2.9/32 via 10.1.2.9").unwrap();
    ways.await_status("up");
    let routes = ways.operate("show routing fib");
    assert!(routes.contains("10.0.2.254") && !routes.contains("10.0.3.254"), "{routes}");
    assert!(ways.ping());
}

const EQUAL: &str = "<entry name='by-r1'><destination>192.0.2.0/24</destination>\
    <nexthop><ip-address>10.0.2.254</ip-address></nexthop></entry>\
    <entry name='by-r2'><destination>192.0.2.0/24</destination>\
    <nexthop><ip-address>10.0.3.254</ip-address></nexthop></entry>";
const ECMP: &str = "<ecmp><enable>yes</enable><algorithm><balanced-round-robin/></algorithm></ecmp>";

#[test]
fn equal_ways_both_carry_sessions() {
    let ways = Ways::start(EQUAL, ECMP);
    let before = [ways.carried(0), ways.carried(1)];
    // Each ping has an identifier of its own, hence a session.
    for _ in 0..24 {
        assert!(ways.ping());
    }
    for router in [0, 1] {
        let carried = ways.carried(router) - before[router];
        assert!(carried >= 3, "router {router} carried {carried} of 24 and more packets");
    }
}
