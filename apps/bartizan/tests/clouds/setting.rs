//! Hosts around a firewall that is behind a load balancer.

use std::time::Duration;

use bartizan_lab::cloud::{APPLIANCE_MAC, BALANCER_MAC, CONSUMER_MAC, SERVICE_MAC};
use bartizan_lab::servers::{await_listener, large, nginx};
use bartizan_lab::standalone::Standalone;
use bartizan_lab::{Lab, Namespace, Process};

const BINARY: &str = env!("CARGO_BIN_EXE_bartizan");
const LIMIT: Duration = Duration::from_secs(30);

/// The traffic objects of a configuration.
pub(crate) struct Objects(String);

impl Objects {
    pub(crate) fn aws(overlay: bool) -> Self {
        let overlay = if overlay { "<overlay-routing>yes</overlay-routing>" } else { "" };
        Self(object("apps", "vpc", &format!("<vpce-id>vpce-00a1b2c3d4e5f6071</vpce-id>{overlay}"), "trust", "untrust"))
    }

    pub(crate) fn google() -> Self {
        Self(object("apps", "gcp-nsi", "<network-id>4660</network-id>", "trust", "untrust"))
    }

    pub(crate) fn azure() -> Self {
        Self(object("apps", "azure-gwlb", "", "untrust", "trust"))
    }

    pub(crate) fn clusters() -> Self {
        let cluster = |name: &str, id: u32| {
            object(name, "k8s-cluster", &format!("<cluster-id>{id}</cluster-id>"), "trust", "trust")
        };
        Self(cluster("red", 1) + &cluster("blue", 2))
    }

    pub(crate) fn aws_and_clusters() -> Self {
        Self(Self::aws(false).0 + &Self::clusters().0)
    }
}

fn object(name: &str, tunnel: &str, settings: &str, ingress: &str, egress: &str) -> String {
    format!(
        "<entry name='{name}'><{tunnel}>{settings}<network><logical-router>lr</logical-router>\
         <zone-ingress>{ingress}</zone-ingress><zone-egress>{egress}</zone-egress>\
         <interface><member>ethernet1/1</member></interface></network></{tunnel}></entry>"
    )
}

/// The lab with a running firewall.
pub(crate) struct Setting {
    consumer: Namespace,
    cloud: Namespace,
    service: Namespace,
    firewall: Standalone,
    balancer: Option<Process>,
    _servers: Vec<Process>,
    /// Dropped after what runs in it.
    lab: Lab,
}

impl Setting {
    /// Hosts and links, the balancer of a provider (`none` for none), and the firewall with these objects.
    pub(crate) fn start(provider: &str, objects: &Objects) -> Self {
        let lab = Lab::new().unwrap();
        let [consumer, cloud, service, internet, firewall] =
            ["consumer", "cloud", "service", "internet", "fw"].map(|name| lab.namespace(name).unwrap());
        for (host, side, mac) in [(&consumer, "consumer", CONSUMER_MAC), (&service, "service", SERVICE_MAC)] {
            lab.link((host, "eth0"), (&cloud, side)).unwrap();
            set_mac(host, "eth0", mac);
            set_mac(&cloud, side, BALANCER_MAC);
            // The balancer is a program: it has no card that would finish and cut packets for it.
            host.run(&["ethtool", "-K", "eth0", "tx", "off", "tso", "off", "gso", "off"]).unwrap();
        }
        lab.link((&cloud, "appliance"), (&firewall, "eth1")).unwrap();
        lab.link((&firewall, "eth2"), (&internet, "eth0")).unwrap();
        set_mac(&cloud, "appliance", BALANCER_MAC);
        set_mac(&firewall, "eth1", APPLIANCE_MAC);
        cloud.sh("ip link set appliance mtu 9000").unwrap();
        firewall.sh("ip link set eth1 mtu 9000").unwrap();
        consumer.address("eth0", "10.0.0.10/24").unwrap();
        consumer.route("default via 10.0.0.1").unwrap();
        service.address("eth0", "198.51.100.10/24").unwrap();
        service.route("default via 198.51.100.1").unwrap();
        for (device, address) in
            [("consumer", "10.0.0.1/24"), ("service", "198.51.100.1/24"), ("appliance", "10.0.1.9/24")]
        {
            cloud.address(device, address).unwrap();
        }
        for prober in ["35.191.0.1/32", "130.211.0.1/32", "168.63.129.16/32"] {
            cloud.address("lo", prober).unwrap();
        }
        cloud.route("10.0.1.100/32 via 10.0.1.4").unwrap();
        internet.address("eth0", "203.0.113.2/24").unwrap();
        let dir = lab.dir();
        let configuration = include_str!("firewall.xml").replace("<!-- OBJECTS -->", &objects.0);
        let firewall = Standalone::start(BINARY, dir, &firewall, &configuration, &[]).unwrap();
        let balancer = (provider != "none").then(|| {
            let test = if provider == "azure" { "azure_load_balancer" } else { "load_balancer" };
            let own = std::env::current_exe().unwrap().display().to_string();
            let words = [own.as_str(), "--exact", test, "--ignored", "--nocapture"];
            let mut balancer = cloud.spawn(&words, &[("PROVIDER", provider)], &dir.join("balancer.log")).unwrap();
            balancer.wait_for("ready", LIMIT).unwrap();
            balancer
        });
        let mut servers = Vec::new();
        for host in [&service, &consumer, &internet] {
            servers.push(nginx(dir, host, &["80"]).unwrap());
            await_listener(host, 80).unwrap();
        }
        Self { consumer, cloud, service, firewall, balancer, _servers: servers, lab }
    }

    /// A pod in the network of the firewall's first interface: `name` is its namespace, `node` its address.
    /// Pods of all clusters have the same address behind their tunnels.
    pub(crate) fn pod(&self, name: &str, node: &str, cluster: u32) -> Namespace {
        let pod = self.lab.namespace(name).unwrap();
        // The balancer's host is the switch here.
        self.cloud
            .sh("ip link show nodes 2>/dev/null || { ip link add nodes type bridge && ip link set nodes up mtu 9000 \
                 && ip addr flush dev appliance && ip link set appliance master nodes; }")
            .unwrap();
        self.lab.link((&pod, "eth0"), (&self.cloud, name)).unwrap();
        self.cloud.run(&["ip", "link", "set", name, "master", "nodes"]).unwrap();
        pod.address("eth0", &format!("{node}/24")).unwrap();
        self.tunnel(&pod, "10.0.1.4", cluster);
        pod
    }

    /// The consumer becomes a pod whose tunnel goes to the load balancer's endpoint, beyond its gateway.
    pub(crate) fn consumer_is_a_pod(&self) -> Namespace {
        self.consumer.run(&["ip", "route", "del", "default"]).unwrap();
        self.consumer.route("10.0.9.9/32 via 10.0.0.1").unwrap();
        self.tunnel(&self.consumer, "10.0.9.9", 1);
        self.consumer.clone()
    }

    fn tunnel(&self, pod: &Namespace, endpoint: &str, cluster: u32) {
        // One source port, so that answers to it reach the device: behind a load balancer they are answers of
        // the flow it knows.
        pod.sh(&format!(
            "ip link add vxlan0 type vxlan id {cluster} dstport 6080 srcport 6080 6081 remote {endpoint} dev eth0 \
             && ip link set vxlan0 mtu 1400 up && ip addr add 10.244.1.7/32 dev vxlan0 && ip route add default dev vxlan0 src 10.244.1.7"
        ))
        .unwrap();
    }

    /// A small and a large page from the service.
    pub(crate) fn fetches_from_the_service(&self) {
        self.downloads(&self.consumer, "http://198.51.100.10/large");
    }

    pub(crate) fn fetches_from_the_internet(&self) {
        self.downloads(&self.consumer, "http://203.0.113.2/large");
    }

    pub(crate) fn service_fetches_from_the_consumer(&self) {
        self.downloads(&self.service, "http://10.0.0.10/large");
    }

    /// The large page, whole.
    pub(crate) fn downloads(&self, host: &Namespace, url: &str) {
        let to = self.lab.dir().join(format!("got-{}", host.name()));
        let got = host.run(&["curl", "-sS", "--max-time", "20", "-o", to.to_str().unwrap(), url]);
        assert!(got.is_ok(), "{got:?}; {}", self.report());
        assert!(std::fs::read(&to).unwrap() == large(), "{url} is another page; {}", self.report());
    }

    pub(crate) fn fetch(&self, host: &Namespace, url: &str) -> Result<String, String> {
        let finished = host.try_run(&["curl", "-sS", "--max-time", "3", url]).unwrap();
        if finished.code == Some(0) { Ok(finished.stdout) } else { Err(finished.stderr) }
    }

    pub(crate) fn refuses_what_no_rule_allows(&self) {
        let before = self.counter("policy-deny");
        assert!(self.fetch(&self.consumer, "http://198.51.100.10:25/").is_err());
        assert!(self.counter("policy-deny") > before);
    }

    /// HTTP and HTTPS health checks from an address of the cloud.
    pub(crate) fn answers_probes(&self, prober: &str, target: &str) {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{target}/");
            let words = ["curl", "-sSk", "--max-time", "5", "--interface", prober, &url];
            let answer = self.cloud.run(&words).unwrap_or_else(|error| panic!("{error}; {}", self.report()));
            assert_eq!(answer, "healthy\n", "{prober} asks {url}");
        }
    }

    /// `bartizan WORDS` on the firewall's host, as JSON.
    pub(crate) fn json(&self, words: &str) -> serde_json::Value {
        self.firewall.json(words).unwrap()
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.firewall.counter(name).unwrap()
    }

    /// Ends the firewall in order. The balancer had nothing to complain of.
    pub(crate) fn end(&mut self) {
        if let Some(balancer) = &self.balancer {
            let said = balancer.output();
            assert!(!said.contains("dropped:"), "{said}");
        }
        assert_eq!(self.firewall.end().unwrap(), Some(0));
    }

    /// What everybody said, for a test that fails.
    fn report(&self) -> String {
        let balancer = self.balancer.as_ref().map(Process::output).unwrap_or_default();
        let drops: Vec<_> = self
            .json("show counter global")
            .as_array()
            .unwrap()
            .iter()
            .filter(|counter| counter["value"] != 0)
            .map(|counter| format!("{} {}", counter["name"], counter["value"]))
            .collect();
        format!("balancer: {balancer}\nfirewall: {}\n{}", self.firewall.output(), drops.join("\n"))
    }
}

fn set_mac(host: &Namespace, device: &str, mac: [u8; 6]) {
    let text = mac.map(|byte| format!("{byte:02x}")).join(":");
    host.sh(&format!("ip link set {device} down && ip link set {device} address {text} && ip link set {device} up"))
        .unwrap();
}
