//! A node with a bridge, pods as the reference plugins make them, an API server and a firewall's end.

#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod api;

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bartizan_lab::{Lab, Namespace, Process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};

use api::ApiServer;

pub(crate) const CLUSTER: u32 = 7;
pub(crate) const NODE: &str = "10.244.1.1";
pub(crate) const FIREWALL: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 2);
pub(crate) const OTHER_FIREWALL: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 3);
pub(crate) const PEER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 20);
/// In the range that passes.
pub(crate) const TRUSTED_PEER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 5);
const REFERENCE_PLUGINS: &str = "/usr/lib/cni";
/// Long enough for a packet on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How long nothing has to come before it counts as never.
const SILENCE: Duration = Duration::from_millis(300);

pub(crate) struct World {
    pub(crate) lab: Lab,
    pub(crate) node: Namespace,
    pub(crate) api: ApiServer,
    firewall: UdpSocket,
    peer: Namespace,
    pub(crate) config: Value,
}

/// A pod that the runtime started.
pub(crate) struct Pod {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) uid: String,
    pub(crate) address: Ipv4Addr,
    previous: Value,
}

/// An inner packet at the firewall's end of a tunnel.
pub(crate) struct Tunnelled {
    from: SocketAddr,
    payload: Vec<u8>,
}

/// What a plugin answered.
pub(crate) struct Answered {
    pub(crate) ok: bool,
    pub(crate) value: Value,
}

/// The program, or another build of it that `BARTIZAN_CNI` names.
pub(crate) fn plugin() -> String {
    std::env::var("BARTIZAN_CNI").unwrap_or_else(|_| env!("CARGO_BIN_EXE_bartizan-cni").to_owned())
}

/// None, with a word of why, where the kernel lets nobody load programs.
pub(crate) fn world() -> Option<World> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: BPF needs root in the initial user namespace");
        return None;
    }
    Some(World::new())
}

impl World {
    fn new() -> Self {
        let lab = Lab::new().unwrap();
        let dir = lab.dir().to_owned();
        lab.sh(&format!("mkdir {0}/bpf && mount -t bpf bpf {0}/bpf", dir.display())).unwrap();
        let node = lab.namespace("node").unwrap();
        let firewall = lab.namespace("fw").unwrap();
        let peer = lab.namespace("peer").unwrap();
        lab.link((&node, "tofw"), (&firewall, "eth0")).unwrap();
        lab.link((&node, "topeer"), (&peer, "eth0")).unwrap();
        node.address("tofw", "192.168.50.1/24").unwrap();
        firewall.address("eth0", "192.168.50.2/24").unwrap();
        firewall.address("eth0", "192.168.50.3/24").unwrap();
        firewall.route("default via 192.168.50.1").unwrap();
        node.address("topeer", "203.0.113.1/24").unwrap();
        node.address("topeer", "198.51.100.1/24").unwrap();
        peer.address("eth0", "203.0.113.20/24").unwrap();
        peer.address("eth0", "198.51.100.5/24").unwrap();
        peer.route("10.244.0.0/16 via 203.0.113.1").unwrap();
        node.forwarding().unwrap();
        let api = inside(&path(&lab, "node"), || ApiServer::start("192.168.50.1"));
        std::fs::write(dir.join("kubeconfig"), api.kubeconfig()).unwrap();
        let firewall = inside(&path(&lab, "fw"), || UdpSocket::bind("0.0.0.0:6080").unwrap());
        api.put("/api/v1/namespaces/shop", &json!({"metadata": {"name": "shop", "uid": "n1"}}));
        let config = json!({
            "cniVersion": "1.0.0", "name": "pods", "type": "pan-cni", "mode": "service",
            "traffic_object_id": CLUSTER.to_string(), "firewall": ["pan-fw"], "interfaces": ["eth0"],
            "passiprange": "198.51.100.0/24", "fwtrustcidr": "", "override_mtu": "",
            "health_check_port": "8443",
            "appinfo_dir": dir.join("log"), "state_dir": dir.join("state"), "bpf_dir": dir.join("bpf/pan-cni"),
            "kubernetes": {"kubeconfig": dir.join("kubeconfig"), "security_namespaces": ["kube-system"]},
        });
        let world = Self { lab, node, api, firewall, peer, config };
        world.point_at(Some(FIREWALL));
        world
    }

    pub(crate) fn point_at(&self, endpoint: Option<Ipv4Addr>) {
        bartizan_cni::point_at(&self.bpf(), endpoint).unwrap();
    }

    pub(crate) fn bpf(&self) -> PathBuf {
        self.lab.outside(self.lab.dir().join("bpf/pan-cni").to_str().unwrap()).unwrap()
    }

    pub(crate) fn counter(&self, pod: &Pod, name: &str) -> u64 {
        bartizan_cni::counters(&self.bpf(), &format!("{}-eth0", pod.id)).unwrap().unwrap()[name]
    }

    /// Tells the API server of a pod with these annotations.
    pub(crate) fn announce(&self, name: &str, annotations: &Value) {
        let metadata =
            json!({"name": name, "namespace": "shop", "uid": format!("uid-{name}"), "annotations": annotations});
        self.api.put(&format!("/api/v1/namespaces/shop/pods/{name}"), &json!({"metadata": metadata}));
    }

    /// A pod of the namespace `shop`, attached by the bridge plugin and then by ours.
    pub(crate) fn pod(&self, name: &str, annotations: &Value) -> Pod {
        self.announce(name, annotations);
        let pod = self.bare_pod(name);
        let added = self.ours("ADD", &pod);
        assert!(added.ok, "{}", added.value);
        assert_eq!(added.value, pod.previous, "the previous result is passed on unchanged");
        pod
    }

    pub(crate) fn inspected_pod(&self, name: &str) -> Pod {
        self.pod(name, &json!({"paloaltonetworks.com/firewall": "pan-fw"}))
    }

    /// What the runtime has after the primary plugin.
    pub(crate) fn bare_pod(&self, name: &str) -> Pod {
        self.lab.namespace(name).unwrap();
        let id = format!("c-{name}");
        let pod = Pod {
            id,
            name: name.to_owned(),
            namespace: "shop".to_owned(),
            uid: format!("uid-{name}"),
            address: Ipv4Addr::UNSPECIFIED,
            previous: Value::Null,
        };
        let bridge = json!({
            "cniVersion": "1.0.0", "name": "pods", "type": "bridge", "bridge": "cni0", "isGateway": true,
            "ipam": {"type": "host-local", "dataDir": self.lab.dir().join("ipam"), "ranges": [[{"subnet": "10.244.1.0/24"}]],
                     "routes": [{"dst": "0.0.0.0/0"}]},
        });
        let added = self.call(&format!("{REFERENCE_PLUGINS}/bridge"), "ADD", &pod, &bridge);
        assert!(added.ok, "the bridge plugin (package containernetworking-plugins): {}", added.value);
        let address = added.value["ips"][0]["address"].as_str().unwrap().split('/').next().unwrap().parse().unwrap();
        Pod { address, previous: added.value, ..pod }
    }

    /// Calls our plugin with what the previous one answered.
    pub(crate) fn ours(&self, verb: &str, pod: &Pod) -> Answered {
        let mut config = self.config.clone();
        config["prevResult"] = pod.previous.clone();
        self.call(&plugin(), verb, pod, &config)
    }

    pub(crate) fn call(&self, plugin: &str, verb: &str, pod: &Pod, config: &Value) -> Answered {
        let mut command = self.node.command(&[plugin]);
        command
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", &pod.id)
            .env("CNI_NETNS", format!("/run/netns/{}", pod.name))
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", REFERENCE_PLUGINS)
            .env(
                "CNI_ARGS",
                format!(
                    "IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={};K8S_POD_UID={}",
                    pod.namespace, pod.name, pod.uid
                ),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(config.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let value = serde_json::from_str(&text)
            .unwrap_or_else(|_| Value::String(format!("{text}{}", String::from_utf8_lossy(&output.stderr))));
        Answered { ok: output.status.success(), value }
    }

    /// A socket of a pod.
    pub(crate) fn udp(&self, pod: &Pod, port: u16) -> UdpSocket {
        self.socket(&pod.name, Ipv4Addr::UNSPECIFIED, port)
    }

    pub(crate) fn peer_udp(&self, address: Ipv4Addr, port: u16) -> UdpSocket {
        self.socket(self.peer.name(), address, port)
    }

    pub(crate) fn in_pod<T: Send>(&self, pod: &Pod, work: impl FnOnce() -> T + Send) -> T {
        inside(&path(&self.lab, &pod.name), work)
    }

    pub(crate) fn in_node<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        inside(&path(&self.lab, "node"), work)
    }

    fn socket(&self, host: &str, address: Ipv4Addr, port: u16) -> UdpSocket {
        let socket = inside(&path(&self.lab, host), || UdpSocket::bind((address, port)).unwrap());
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// The next IPv4 packet that comes to the firewall through a tunnel.
    pub(crate) fn at_firewall(&self) -> Tunnelled {
        self.firewall_within(PATIENCE).expect("no packet came through a tunnel")
    }

    pub(crate) fn nothing_at_firewall(&self) {
        if let Some(packet) = self.firewall_within(SILENCE) {
            panic!("{:?} came through a tunnel from {}", packet.inner(), packet.from);
        }
    }

    /// Within a time.
    pub(crate) fn firewall_within(&self, limit: Duration) -> Option<Tunnelled> {
        self.firewall.set_read_timeout(Some(limit)).unwrap();
        loop {
            let mut buffer = [0; 65536];
            let (length, from) = self.firewall.recv_from(&mut buffer).ok()?;
            let packet = Tunnelled { from, payload: buffer[..length].to_vec() };
            // Multicast reports of a kernel that joins a group are no traffic of the pod's programs.
            if packet.inner().is_some_and(|(_, to)| !to.is_multicast()) {
                return Some(packet);
            }
        }
    }

    /// Sends a tunnel packet as a firewall does.
    pub(crate) fn firewall_sends(&self, pod: &Pod, payload: &[u8]) {
        self.firewall.send_to(payload, (pod.address, 6080)).unwrap();
    }

    /// Starts the installer and agent, as the DaemonSet does.
    pub(crate) fn install(&self) -> Process {
        let dir = self.lab.dir();
        self.api.service_account(&dir.join("account"));
        for folder in ["net.d", "bin"] {
            std::fs::create_dir_all(dir.join(folder)).unwrap();
        }
        let environment = self.environment();
        let pairs: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.node.spawn(&[&plugin(), "install"], &pairs, &dir.join("install.log")).unwrap()
    }

    pub(crate) fn uninstall(&self) {
        let mut command = self.node.command(&[&plugin(), "uninstall"]);
        let output = command.envs(self.environment()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let dir = self.lab.dir().display();
        vec![
            ("CNI_NETWORK_CONFIG", self.config.to_string()),
            ("CNI_NET_DIR", "/etc/cni/net.d".to_owned()),
            ("HOST_CNI_NET_DIR", format!("{dir}/net.d")),
            ("HOST_CNI_BIN_DIR", format!("{dir}/bin")),
            ("SERVICE_ACCOUNT_DIR", format!("{dir}/account")),
            ("KUBERNETES_SERVICE_HOST", "192.168.50.1".to_owned()),
            ("KUBERNETES_SERVICE_PORT", self.api.port().to_string()),
            ("MY_POD_NAMESPACE", "kube-system".to_owned()),
            ("MY_POD_NAME", "pan-cni-x1".to_owned()),
            ("MY_NODE_NAME", "n1".to_owned()),
            ("CNI_READY_DELAY", "0".to_owned()),
            ("METRICS_LISTEN", "127.0.0.1:9406".to_owned()),
        ]
    }

    /// What the agent answers on the node.
    pub(crate) fn told(&self, path: &str) -> String {
        let output = self.node.try_run(&["curl", "-s", &format!("http://127.0.0.1:9406{path}")]).unwrap();
        output.stdout
    }

    /// Something of the firewall's host that health checks meet.
    pub(crate) fn answers_at(&self, address: Ipv4Addr, port: u16) -> TcpListener {
        inside(&path(&self.lab, "fw"), || TcpListener::bind((address, port)).unwrap())
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.lab.dir().join("log/pan-cni.log")).unwrap_or_default()
    }

    pub(crate) fn files(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.lab.dir().join(folder)) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Tunnelled {
    /// Address and port of the pod's end of the tunnel.
    pub(crate) fn outer_source(&self) -> String {
        self.from.to_string()
    }

    pub(crate) fn cluster(&self) -> u32 {
        assert_eq!(self.payload[0] & 0x08, 0x08, "the VXLAN header says that it has an identifier");
        u32::from_be_bytes([0, self.payload[4], self.payload[5], self.payload[6]])
    }

    /// Source and destination of the inner packet.
    pub(crate) fn inner(&self) -> Option<(Ipv4Addr, Ipv4Addr)> {
        let ip = self.payload.get(22..42)?;
        let address = |at: usize| Ipv4Addr::new(ip[at], ip[at + 1], ip[at + 2], ip[at + 3]);
        (self.payload[20..22] == [8, 0]).then(|| (address(12), address(16)))
    }

    /// What the inner TCP or UDP packet is, from its transport header on.
    pub(crate) fn transport(&self) -> &[u8] {
        &self.payload[42..]
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The same packet the other way: addresses and ports change places, which no checksum sees.
    pub(crate) fn swapped(&self) -> Vec<u8> {
        let mut back = self.payload.clone();
        back[8..20].rotate_left(6);
        back[34..42].rotate_left(4);
        back[42..46].rotate_left(2);
        back
    }

    /// The same packet as it is.
    pub(crate) fn given_back(&self) -> Vec<u8> {
        self.payload.clone()
    }

    /// The same packet with its hardware addresses turned round.
    pub(crate) fn turned(&self) -> Vec<u8> {
        let mut back = self.payload.clone();
        back[8..20].rotate_left(6);
        back
    }

    /// The same packet with hardware addresses of a firewall's making.
    pub(crate) fn returned(&self) -> Vec<u8> {
        let mut back = self.payload.clone();
        back[8..20].copy_from_slice(&[2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8]);
        back
    }
}

pub(crate) fn heard(socket: &UdpSocket) -> (String, SocketAddr) {
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer).expect("a datagram");
    (String::from_utf8_lossy(&buffer[..length]).into_owned(), from)
}

pub(crate) fn hears_nothing(socket: &UdpSocket) {
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    let mut buffer = [0; 2048];
    let heard = socket.recv_from(&mut buffer);
    assert!(heard.is_err(), "heard {heard:?}");
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
}

fn path(lab: &Lab, host: &str) -> PathBuf {
    lab.outside(&format!("/run/netns/{host}")).unwrap()
}

fn inside<T: Send>(path: &Path, work: impl FnOnce() -> T + Send) -> T {
    let file = File::open(path).unwrap();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}
