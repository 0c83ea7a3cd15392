//! The VPCs, their endpoints and route tables, and the firewall among them.

use std::path::Path;
use std::time::Duration;

use bartizan_lab::api::field;
use bartizan_lab::cloud::{APPLIANCE_MAC, BALANCER_MAC, CONSUMER_MAC, Place, Side};
use bartizan_lab::managed::Managed;
use bartizan_lab::process::eventually;
use bartizan_lab::servers::{await_listener, dhcp, large, nginx};
use bartizan_lab::{Lab, Namespace, Process};
use serde_json::Value;

pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// A web server on the internet.
pub(crate) const WEB: &str = "198.51.100.10";
const DEVICES: &str = "/config/devices/entry[@name='localhost.localdomain']";
pub(crate) const DEVICE_GROUP: &str = "aws";

/// The endpoints, by their interfaces in the load balancer's namespace: of the application VPC, of the transit
/// gateway's VPC, of the cluster's, and one that nobody told the firewall of.
pub(crate) const ENDPOINTS: [Place; 4] = [
    ("vpce-apps", Side::Endpoint(0x0a1b_2c3d_4e5f_0001), CONSUMER_MAC),
    ("vpce-transit", Side::Endpoint(0x0a1b_2c3d_4e5f_0002), CONSUMER_MAC),
    ("vpce-eks", Side::Endpoint(0x0a1b_2c3d_4e5f_0003), CONSUMER_MAC),
    ("vpce-new", Side::Endpoint(0x0a1b_2c3d_4e5f_0004), CONSUMER_MAC),
];
/// What the firewall calls the last of them.
pub(crate) const NEW_ENDPOINT: &str = "vpce-00a1b2c3d4e5f0004";
/// The address of the cluster's endpoint, `endpoints1` in the chart's values.
const EKS_ENDPOINT: &str = "10.40.9.9";

pub(crate) struct Aws {
    pub(crate) app1: Namespace,
    pub(crate) app2: Namespace,
    pub(crate) pod: Namespace,
    pub(crate) gwlb: Namespace,
    pub(crate) internet: Namespace,
    pub(crate) house: Managed,
    balancer: Process,
    _servers: Vec<Process>,
    /// Dropped after what runs in it.
    lab: Lab,
}

impl Aws {
    /// Hosts, servers, the load balancer, and the firewall with its configuration and lease.
    pub(crate) fn start() -> Self {
        let lab = Lab::new().unwrap();
        let [app1, app2, node, pod, backend, vpc, gwlb, firewall, internet, manager] =
            ["app1", "app2", "node", "pod", "backend", "vpc", "gwlb", "fw", "internet", "manager"]
                .map(|name| lab.namespace(name).unwrap());
        for (left, right) in [
            ((&vpc, "app1"), (&app1, "eth0")),
            ((&vpc, "app2"), (&app2, "eth0")),
            ((&vpc, "node"), (&node, "eth0")),
            ((&node, "pod"), (&pod, "eth0")),
            ((&node, "backend"), (&backend, "eth0")),
            ((&vpc, "igw"), (&internet, "eth0")),
            ((&vpc, "to-gwlb"), (&gwlb, "appliance")),
            ((&vpc, "to-fw"), (&firewall, "eth1")),
            ((&vpc, "public"), (&firewall, "eth2")),
        ] {
            lab.link(left, right).unwrap();
        }
        for (endpoint, _, _) in ENDPOINTS {
            lab.link((&vpc, endpoint), (&gwlb, endpoint)).unwrap();
            set_mac(&vpc, endpoint, CONSUMER_MAC);
            set_mac(&gwlb, endpoint, BALANCER_MAC);
        }
        set_mac(&gwlb, "appliance", BALANCER_MAC);
        set_mac(&firewall, "eth1", APPLIANCE_MAC);
        vpc.sh("ip link add trust type bridge && ip link set trust up && for port in to-gwlb to-fw; do
                ip link set $port mtu 9000 master trust; done && ip link set trust mtu 9000")
            .unwrap();
        for (host, device) in [(&gwlb, "appliance"), (&firewall, "eth1")] {
            host.run(&["ip", "link", "set", device, "mtu", "9000"]).unwrap();
        }
        // The balancer is a program: it has no card that would finish and cut packets for it.
        for host in [&app1, &app2, &pod, &internet] {
            host.run(&["ethtool", "-K", "eth0", "tx", "off", "tso", "off", "gso", "off"]).unwrap();
        }
        for (host, device, address) in [
            (&app1, "eth0", "10.20.0.10/24"),
            (&vpc, "app1", "10.20.0.1/24"),
            (&app2, "eth0", "10.30.0.10/24"),
            (&vpc, "app2", "10.30.0.1/24"),
            (&node, "eth0", "10.40.0.20/24"),
            (&vpc, "node", "10.40.0.1/24"),
            (&node, "pod", "10.100.0.1/24"),
            (&pod, "eth0", "10.100.0.10/24"),
            (&node, "backend", "10.100.1.1/24"),
            (&backend, "eth0", "10.100.1.10/24"),
            (&backend, "lo", "10.110.0.5/32"),
            (&internet, "eth0", "198.51.100.10/24"),
            (&vpc, "igw", "198.51.100.1/24"),
            (&vpc, "trust", "10.0.1.1/24"),
            (&vpc, "public", "10.0.3.1/24"),
            // The load balancer's node is in another zone's subnet than the firewall.
            (&gwlb, "appliance", "10.0.2.9/24"),
        ] {
            host.address(device, address).unwrap();
        }
        for host in [&vpc, &node] {
            host.forwarding().unwrap();
        }
        for (host, route) in [
            (&app1, "default via 10.20.0.1"),
            (&app2, "default via 10.30.0.1"),
            (&node, "default via 10.40.0.1"),
            (&backend, "default via 10.100.1.1"),
            (&node, "10.110.0.0/20 via 10.100.1.10"),
            (&internet, "default via 198.51.100.1"),
            (&vpc, "10.100.0.0/16 via 10.40.0.20"),
            (&vpc, "10.110.0.0/20 via 10.40.0.20"),
            (&vpc, "10.0.2.0/24 dev trust"),
            (&gwlb, "10.0.1.0/24 dev appliance"),
        ] {
            host.route(route).unwrap();
        }
        route_tables(&vpc);
        tunnel(&pod);
        let dir = lab.dir().to_owned();
        let mut servers = vec![
            dhcp(&dir, &vpc, "trust", ("10.0.1.4", "255.255.255.0"), "10.0.1.1").unwrap(),
            dhcp(&dir, &vpc, "public", ("10.0.3.4", "255.255.255.0"), "10.0.3.1").unwrap(),
        ];
        for host in [&app1, &app2, &backend, &internet] {
            servers.push(nginx(&dir, host, &["80"]).unwrap());
            await_listener(host, 80).unwrap();
        }
        let own = std::env::current_exe().unwrap().display().to_string();
        let words = [own.as_str(), "--exact", "load_balancer", "--ignored", "--nocapture"];
        let mut balancer = gwlb.spawn(&words, &[], &dir.join("balancer.log")).unwrap();
        balancer.wait_for("ready", LIMIT).unwrap();
        let house = Managed::start(&lab, &manager, &firewall, Path::new(env!("CARGO_BIN_EXE_bartizan"))).unwrap();
        let aws = Self { app1, app2, pod, gwlb, internet, house, balancer, _servers: servers, lab };
        aws.configure();
        aws.await_lease("ethernet1/1", "10.0.1.4/24");
        aws
    }

    /// The deployment of the guide, through the XML API.
    fn configure(&self) {
        let (api, serial) = (&self.house.api, &self.house.serial);
        api.set(&template_device(), include_str!("network.xml")).unwrap();
        api.set(
            &format!("{DEVICES}/template/entry[@name='aws-network']/variable"),
            "<entry name='$eth1'><type><interface>ethernet1/1</interface></type></entry>",
        )
        .unwrap();
        api.set("/config/mgt-config/devices", &format!("<entry name='{serial}'/>")).unwrap();
        for (kind, element) in [
            ("template-stack", "<entry name='aws-stack'><templates><member>aws-network</member></templates>"),
            ("device-group", "<entry name='aws'>"),
        ] {
            let element = format!("{element}<devices><entry name='{serial}'/></devices></entry>");
            api.set(&format!("{DEVICES}/{kind}"), &element).unwrap();
        }
        api.set(&device_group(), include_str!("policy.xml")).unwrap();
        self.enforce();
    }

    /// The way to the internet by `ethernet1/2`, the inside of `apps` routed; committed and pushed.
    pub(crate) fn second_arm(&self) {
        let router = "network/logical-router/entry[@name='vr-private']/vrf/entry[@name='default']";
        self.set_network(
            "network/interface/ethernet/entry[@name='eth1/1']/layer3/dhcp-client",
            "<create-default-route>no</create-default-route>",
        );
        self.set_network("network/interface/ethernet", "<entry name='eth1/2'><layer3><dhcp-client/></layer3></entry>");
        self.set_network(&format!("{router}/interface"), "<member>eth1/2</member>");
        for (name, destination) in [("security-vpc", "10.0.0.0/16"), ("app-vpc", "10.20.0.0/16")] {
            self.set_network(
                &format!("{router}/routing-table/ip/static-route"),
                &format!(
                    "<entry name='{name}'><destination>{destination}</destination><nexthop>\
                     <ip-address>10.0.1.1</ip-address></nexthop><interface>$eth1</interface></entry>"
                ),
            );
        }
        let vsys = "vsys/entry[@name='vsys1']";
        self.set_network(&format!("{vsys}/import/network/interface"), "<member>eth1/2</member>");
        self.set_network(
            &format!("{vsys}/zone"),
            "<entry name='untrust'><network><layer3><member>eth1/2</member></layer3></network></entry>",
        );
        self.set_network(
            &format!("{vsys}/traffic-object/entry[@name='apps']/vpc"),
            "<overlay-routing>yes</overlay-routing>",
        );
        self.set_policy("pre-rulebase", include_str!("second-arm.xml"));
        self.enforce();
        self.await_lease("ethernet1/2", "10.0.3.4/24");
    }

    /// Sets an element below the template's device.
    pub(crate) fn set_network(&self, below: &str, element: &str) {
        self.house.api.set(&format!("{}/{below}", template_device()), element).unwrap();
    }

    /// Sets an element below the device group.
    pub(crate) fn set_policy(&self, below: &str, element: &str) {
        self.house.api.set(&format!("{}/{below}", device_group()), element).unwrap();
    }

    /// Commits and pushes.
    pub(crate) fn enforce(&self) {
        let done = self.house.api.commit().and_then(|_| self.house.api.push(DEVICE_GROUP));
        done.unwrap_or_else(|error| panic!("{error:#}\nfirewall: {}", self.house.firewall.output()));
    }

    pub(crate) fn await_lease(&self, interface: &str, address: &str) {
        eventually("a lease", LIMIT, || {
            let shown = self.ask(&format!("show dhcp client state {interface}"));
            anyhow::ensure!(shown[0]["address"] == address, "{shown}");
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error:#}\n{}", self.report()));
    }

    /// `bartizan WORDS` on the firewall's host, as JSON.
    pub(crate) fn ask(&self, words: &str) -> Value {
        self.house.ask(words).unwrap()
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        let counters = self.ask("show counter global");
        let found = counters.as_array().unwrap().iter().find(|counter| counter["name"] == name);
        found.map_or(0, |counter| counter["value"].as_u64().unwrap())
    }

    /// What a host gets from a web server, or curl's complaint.
    pub(crate) fn fetch(&self, host: &Namespace, url: &str) -> String {
        let finished = host.try_run(&["curl", "-sS", "--max-time", "3", url]).unwrap();
        format!("{}{}", finished.stdout, finished.stderr).trim().to_owned()
    }

    /// The large page of a web server, whole.
    pub(crate) fn downloads(&self, host: &Namespace, server: &str) {
        let to = self.lab.dir().join(format!("got-{}", host.name()));
        let words = ["curl", "-sS", "--max-time", "20", "-o", to.to_str().unwrap(), &format!("http://{server}/large")];
        let finished = host.try_run(&words).unwrap();
        assert_eq!(finished.code, Some(0), "{} from {server}: {}\n{}", host.name(), finished.stderr, self.report());
        assert!(std::fs::read(&to).unwrap() == large(), "{} from {server} got something else", host.name());
    }

    /// Waits for a line of the manager's traffic log; the rule it names must be this one.
    pub(crate) fn is_logged(&self, query: &str, rule: &str) -> String {
        eventually("a log line", LIMIT, || {
            let records = self.house.api.traffic_log(query)?;
            let record = records.first().ok_or_else(|| anyhow::anyhow!("nothing is logged for {query}"))?;
            anyhow::ensure!(field(record, "rule") == rule, "{query}: {record}");
            Ok(record.clone())
        })
        .unwrap()
    }

    /// The load balancer had nothing to complain of.
    pub(crate) fn end(mut self) {
        assert!(self.balancer.is_running(), "the load balancer ended");
        let said = self.balancer.output();
        assert!(!said.contains("dropped:"), "{said}");
    }

    /// What everybody said, for a test that fails.
    pub(crate) fn report(&self) -> String {
        let counters = self.ask("show counter global");
        let counted: Vec<_> = counters
            .as_array()
            .unwrap()
            .iter()
            .filter(|counter| counter["value"] != 0)
            .map(|counter| format!("{} {}", counter["name"], counter["value"]))
            .collect();
        format!(
            "balancer: {}\nfirewall: {}\n{}",
            self.balancer.output(),
            self.house.firewall.output(),
            counted.join("\n")
        )
    }
}

/// Route tables as the guide has them: a VPC's subnets lead to its endpoint, and so does the way in from the
/// internet gateway; what comes out of an endpoint goes to where it is meant for.
fn route_tables(vpc: &Namespace) {
    let mut script = String::new();
    for (number, (endpoint, _, _)) in ENDPOINTS.iter().enumerate() {
        // A link-local next hop with a fixed station: an endpoint answers no ARP here.
        script += &format!(
            "ip address add 169.254.{number}.1/30 dev {endpoint}
             ip neighbour add 169.254.{number}.2 lladdr 02:0c:00:00:00:09 dev {endpoint} nud permanent\n"
        );
    }
    for (table, from, routes) in [
        // The security VPC itself is reached by the transit gateway, as it is.
        (11, "app1", &["default via 169.254.0.2", "10.30.0.0/16 via 169.254.1.2", "10.0.1.0/24 dev trust"][..]),
        (12, "app2", &["default via 169.254.3.2", "10.20.0.0/16 via 169.254.1.2"]),
        (13, "igw", &["10.20.0.0/16 via 169.254.0.2", "10.30.0.0/16 via 169.254.3.2"]),
    ] {
        script += &format!("ip rule add iif {from} lookup {table}\n");
        for route in routes {
            script += &format!("ip route add {route} table {table}\n");
        }
    }
    script += &format!("ip route add {EKS_ENDPOINT}/32 via 169.254.2.2\n");
    vpc.sh(&script).unwrap();
}

/// What the CNI plugin makes of a pod: everything goes into VXLAN 6080, to the endpoint, from the pod's address.
fn tunnel(pod: &Namespace) {
    // One source port, so that answers to it reach the device: behind a load balancer they are answers of the
    // flow it knows.
    pod.sh(&format!(
        "ip route add {EKS_ENDPOINT}/32 via 10.100.0.1
         ip link add vxlan0 type vxlan id 1 dstport 6080 srcport 6080 6081 remote {EKS_ENDPOINT} dev eth0
         ip link set vxlan0 mtu 1430 up
         ip route add default dev vxlan0 src 10.100.0.10"
    ))
    .unwrap();
}

fn template_device() -> String {
    format!("{DEVICES}/template/entry[@name='aws-network']/config/devices/entry[@name='localhost.localdomain']")
}

fn device_group() -> String {
    format!("{DEVICES}/device-group/entry[@name='{DEVICE_GROUP}']")
}

fn set_mac(host: &Namespace, device: &str, mac: [u8; 6]) {
    let text = mac.map(|byte| format!("{byte:02x}")).join(":");
    host.sh(&format!("ip link set {device} down && ip link set {device} address {text} && ip link set {device} up"))
        .unwrap();
}
