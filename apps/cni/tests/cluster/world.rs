//! Two nodes with pods, routes between them, a firewall in front of the internet.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bartizan_lab::process::eventually;
use bartizan_lab::standalone::Standalone;
use bartizan_lab::{Lab, Namespace, Process};
use nix::sched::CloneFlags;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};

use super::api::ApiServer;

pub(crate) const FIREWALL: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
pub(crate) const PUBLISHED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 80);
pub(crate) const INTERNET: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
pub(crate) const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
const LIST: &str = "net.d/10-primary.conflist";
/// The first address that the primary plugin gives on the first node.
const FIRST_POD: &str = "10.244.1.2";
const REFERENCE_PLUGINS: &str = "/usr/lib/cni";
const PROGRAM: &str = env!("CARGO_BIN_EXE_bartizan-cni");

const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices";
const DAEMON_SET: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets/pan-cni";
/// More than a window and many packets.
const PAGE_BYTES: usize = 300_000;
/// Long enough for a packet on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// The plugin, or another build of it that `BARTIZAN_CNI` names.
fn plugin() -> String {
    std::env::var("BARTIZAN_CNI").unwrap_or_else(|_| PROGRAM.to_owned())
}

pub(crate) struct Node {
    pub(crate) host: Namespace,
    /// Of its pods' addresses.
    number: u8,
    dir: PathBuf,
    bpf: PathBuf,
    /// What a program enters.
    entrance: PathBuf,
    /// The lab's own namespaces.
    lab: PathBuf,
    agent: Option<Process>,
}

pub(crate) struct World {
    pub(crate) nodes: [Node; 2],
    pub(crate) firewall: Standalone,
    pub(crate) api: ApiServer,
    /// Dropped after what runs in it.
    pub(crate) lab: Lab,
}

/// A pod that the runtime started.
#[derive(Clone)]
pub(crate) struct Pod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) node: usize,
    previous: Value,
}

/// None, with a word of why, where the kernel lets nobody load programs.
pub(crate) fn world() -> Option<World> {
    if !rustix::process::geteuid().is_root() {
        super::say("skipped: BPF needs root in the initial user namespace");
        return None;
    }
    Some(World::new())
}

impl World {
    fn new() -> Self {
        let lab = Lab::new().unwrap();
        let [fabric, internet, firewall] = ["fabric", "internet", "fw"].map(|name| lab.namespace(name).unwrap());
        let mut nodes = [1, 2].map(|number| Node::new(&lab, &fabric, number));
        lab.link((&fabric, "fw"), (&firewall, "eth1")).unwrap();
        lab.link((&firewall, "eth2"), (&internet, "eth0")).unwrap();
        fabric.address("fw", "10.0.1.1/24").unwrap();
        fabric.route("default via 10.0.1.4").unwrap();
        fabric.forwarding().unwrap();
        internet.address("eth0", "203.0.113.2/24").unwrap();
        let api = inside(&nodes[0].entrance, || ApiServer::start(&nodes[0].address()));
        let binary = Path::new(PROGRAM).with_file_name("bartizan");
        assert!(binary.exists(), "`{}` is not there: build the workspace", binary.display());
        let configuration = include_str!("firewall.xml").replace("PUBLISHED", FIRST_POD);
        let binary = binary.display().to_string();
        let firewall = Standalone::start(&binary, &lab.dir().join("fw"), &firewall, &configuration, &[]).unwrap();
        api.collection("/api/v1/pods");
        api.collection("/api/v1/namespaces");
        api.put(DAEMON_SET, &json!({"metadata": {"name": "pan-cni"}}));
        let endpoint = json!({"addresses": [FIREWALL], "conditions": {"ready": true, "serving": true}});
        let slice =
            json!({"metadata": {"name": "pan-ngfw-svc-endpoints"}, "addressType": "IPv4", "endpoints": [endpoint]});
        api.set(SLICES, slice);
        for node in &mut nodes {
            node.install(&api);
        }
        Self { nodes, firewall, api, lab }
    }

    /// Takes the plugin off the nodes, as when the chart is uninstalled.
    pub(crate) fn uninstall(&mut self) {
        self.api.remove(DAEMON_SET);
        for node in &mut self.nodes {
            node.uninstall(&self.api);
        }
    }

    /// The cluster's namespaces, with annotations.
    pub(crate) fn namespace(&self, name: &str, annotations: &Value) {
        let metadata = json!({"name": name, "uid": format!("uid-{name}"), "annotations": annotations});
        self.api.put(&format!("/api/v1/namespaces/{name}"), &json!({"metadata": metadata}));
        self.api.set("/api/v1/namespaces", json!({"metadata": metadata}));
    }

    /// A pod as a runtime starts it: its network namespace, then the chain of plugins.
    pub(crate) fn pod(&self, node: usize, namespace: &str, name: &str, annotations: &Value) -> Pod {
        self.lab.namespace(name).unwrap();
        self.announce(namespace, name, annotations);
        self.add(node, namespace, name)
    }

    pub(crate) fn announce(&self, namespace: &str, name: &str, annotations: &Value) {
        let metadata =
            json!({"name": name, "namespace": namespace, "uid": format!("uid-{name}"), "annotations": annotations});
        self.api.put(&format!("/api/v1/namespaces/{namespace}/pods/{name}"), &json!({"metadata": metadata}));
    }

    /// The chain of plugins, in the order of the node's list.
    pub(crate) fn add(&self, node: usize, namespace: &str, name: &str) -> Pod {
        let mut pod = Pod {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            address: Ipv4Addr::UNSPECIFIED,
            node,
            previous: Value::Null,
        };
        for plugin in self.nodes[node].list()["plugins"].as_array().unwrap() {
            pod.previous = self.call(plugin, "ADD", &pod).unwrap();
        }
        let address = pod.previous["ips"][0]["address"].as_str().unwrap();
        pod.address = address.split('/').next().unwrap().parse().unwrap();
        pod
    }

    /// The chain backwards.
    pub(crate) fn delete(&self, pod: &Pod) {
        for plugin in self.nodes[pod.node].list()["plugins"].as_array().unwrap().iter().rev() {
            self.call(plugin, "DEL", pod).unwrap();
        }
    }

    /// Our plugin alone.
    pub(crate) fn release(&self, pod: &Pod) {
        self.call(&self.nodes[pod.node].list()["plugins"][1], "DEL", pod).unwrap();
    }

    /// One plugin of the chain, called as a runtime does.
    fn call(&self, plugin: &Value, verb: &str, pod: &Pod) -> Result<Value, String> {
        let node = &self.nodes[pod.node];
        let name = plugin["type"].as_str().unwrap();
        let mut config = plugin.clone();
        (config["cniVersion"], config["name"]) = (json!("1.0.0"), json!("pods"));
        if !pod.previous.is_null() {
            config["prevResult"] = pod.previous.clone();
        }
        let folder =
            if name == "bridge" { REFERENCE_PLUGINS.to_owned() } else { node.dir.join("bin").display().to_string() };
        let mut command = Command::new(format!("{folder}/{name}"));
        command
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", format!("c-{}", pod.name))
            .env("CNI_NETNS", format!("/run/netns/{}", pod.name))
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", REFERENCE_PLUGINS)
            .env("CNI_ARGS", format!("IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={}", pod.namespace, pod.name))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = node.as_runtime(|| command.spawn().unwrap());
        child.stdin.take().unwrap().write_all(config.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            return Err(format!("{name} {verb} of {}: {text}{}", pod.name, String::from_utf8_lossy(&output.stderr)));
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// What a program prints on a host.
    pub(crate) fn run(&self, host: &str, program: &str) -> String {
        self.lab.sh(&format!("ip netns exec {host} {program}")).unwrap()
    }

    pub(crate) fn links(&self, host: &str) -> Vec<String> {
        let value: Value = serde_json::from_str(&self.run(host, "ip -json link show")).unwrap();
        value.as_array().unwrap().iter().map(|link| link["ifname"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn entrance(&self, host: &str) -> PathBuf {
        self.lab.outside(&format!("/run/netns/{host}")).unwrap()
    }

    /// Serves a page that says who asked, on every address of a host.
    pub(crate) fn serve(&self, host: &str, port: u16) {
        let listener = inside(&self.entrance(host), || TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap());
        let name = host.to_owned();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let Ok(SocketAddr::V4(from)) = stream.peer_addr() else { continue };
                let page = format!("{name} {}\n{}", from.ip(), "x".repeat(PAGE_BYTES));
                let _client_gone = stream.write_all(page.as_bytes());
            }
        });
    }

    /// The page of an address, as somebody gets it: who served it, and who it says asked.
    pub(crate) fn fetch(&self, host: &str, address: Ipv4Addr, port: u16) -> Result<(String, Ipv4Addr), String> {
        self.fetch_within(host, (address, port), PATIENCE)
    }

    pub(crate) fn fetch_within(
        &self,
        host: &str,
        to: (Ipv4Addr, u16),
        limit: Duration,
    ) -> Result<(String, Ipv4Addr), String> {
        let failed = |error: std::io::Error| format!("{host} to {to:?}: {error}");
        let mut stream =
            inside(&self.entrance(host), || TcpStream::connect_timeout(&to.into(), limit)).map_err(failed)?;
        stream.set_read_timeout(Some(limit)).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).map_err(failed)?;
        let (head, page) = text.split_once('\n').ok_or("an empty page")?;
        let (name, asked) = head.split_once(' ').unwrap();
        assert_eq!(page.len(), PAGE_BYTES, "the whole page");
        Ok((name.to_owned(), asked.parse().unwrap()))
    }

    /// The sessions that the firewall logged between two addresses.
    pub(crate) fn logged(&self, source: Ipv4Addr, destination: Ipv4Addr) -> Vec<Value> {
        self.lines("start", source, destination)
    }

    fn lines(&self, subtype: &str, source: Ipv4Addr, destination: Ipv4Addr) -> Vec<Value> {
        let lines = self.firewall.traffic().unwrap();
        let (source, destination) = (source.to_string(), destination.to_string());
        lines
            .into_iter()
            .filter(|line| line["subtype"] == subtype && line["src"] == source && line["dst"] == destination)
            .collect()
    }

    /// Waits until the firewall has logged a session, and gives back the interfaces and zones it was between, and the id
    /// of the cluster that it was with.
    pub(crate) fn seen(&self, source: Ipv4Addr, destination: Ipv4Addr) -> ([String; 4], Option<u64>) {
        self.wait_for("start", source, destination)
    }

    /// The same of a session's end.
    pub(crate) fn ended(&self, source: Ipv4Addr, destination: Ipv4Addr) -> ([String; 4], Option<u64>) {
        self.wait_for("end", source, destination)
    }

    fn wait_for(&self, subtype: &str, source: Ipv4Addr, destination: Ipv4Addr) -> ([String; 4], Option<u64>) {
        let begun = Instant::now();
        loop {
            if let Some(line) = self.lines(subtype, source, destination).last() {
                let sides = ["inbound_if", "outbound_if", "from", "to"]
                    .map(|field| line[field].as_str().unwrap_or_default().to_owned());
                return (sides, line["k8s_cluster_id"].as_u64());
            }
            assert!(begun.elapsed() < PATIENCE, "the firewall never saw {source} > {destination}: {subtype}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What a pod's programs counted.
    pub(crate) fn counters(&self, pod: &Pod) -> BTreeMap<&'static str, u64> {
        let node = &self.nodes[pod.node];
        bartizan_cni::counters(&node.bpf, &format!("c-{}-eth0", pod.name)).unwrap().unwrap()
    }
}

impl Node {
    fn new(lab: &Lab, fabric: &Namespace, number: u8) -> Self {
        let name = format!("node{number}");
        let host = lab.namespace(&name).unwrap();
        let dir = lab.dir().join(&name);
        std::fs::create_dir_all(&dir).unwrap();
        let bpf = dir.join("bpf").display().to_string();
        lab.sh(&format!("mkdir {bpf} && mount -t bpf bpf {bpf}")).unwrap();
        let bpf = lab.outside(&format!("{bpf}/pan-cni")).unwrap();
        let side = format!("n{number}");
        lab.link((fabric, &side), (&host, "eth0")).unwrap();
        let entrance = lab.outside(&format!("/run/netns/{name}")).unwrap();
        let root = lab.outside("").unwrap();
        let own = root.with_file_name("ns");
        let node = Self { host, number, dir, bpf, entrance, lab: own, agent: None };
        fabric.address(&side, &format!("192.168.{number}.1/24")).unwrap();
        node.host.address("eth0", &format!("{}/24", node.address())).unwrap();
        node.host.route(&format!("default via 192.168.{number}.1")).unwrap();
        fabric.route(&format!("10.244.{number}.0/24 via {}", node.address())).unwrap();
        node.host.forwarding().unwrap();
        // As kube-proxy's rules: a node that saw one direction of a connection only drops the other.
        let chain = "ip tracked forward";
        node.host
            .sh(&format!(
                "nft add table ip tracked && nft 'add chain {chain} {{ type filter hook forward priority 0; }}'"
            ))
            .unwrap();
        node.host.sh(&format!("nft add rule {chain} ct state invalid drop")).unwrap();
        node
    }

    pub(crate) fn address(&self) -> String {
        format!("192.168.{0}.1{0}", self.number)
    }

    /// Starts the DaemonSet's program, and waits until it has put the plugin behind the primary one and found
    /// the firewall well.
    fn install(&mut self, api: &ApiServer) {
        for folder in ["net.d", "bin"] {
            std::fs::create_dir_all(self.dir.join(folder)).unwrap();
        }
        api.service_account(&self.dir.join("account"));
        let name = self.host.name();
        api.put(&format!("/api/v1/nodes/{name}"), &json!({"metadata": {"name": name, "labels": {}}}));
        let primary = json!({
            "type": "bridge", "bridge": "cni0", "isGateway": true,
            "ipam": {"type": "host-local", "dataDir": self.dir.join("ipam"),
                     "ranges": [[{"subnet": format!("10.244.{}.0/24", self.number)}]],
                     "routes": [{"dst": "0.0.0.0/0"}]},
        });
        let list = json!({"cniVersion": "1.0.0", "name": "pods", "plugins": [primary]});
        std::fs::write(self.dir.join(LIST), list.to_string()).unwrap();
        let environment = self.environment(api);
        let pairs: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.agent =
            Some(self.host.spawn(&[plugin().as_str(), "install"], &pairs, &self.dir.join("install.log")).unwrap());
        let used = format!("pan_cni_firewall_used{{address=\"{FIREWALL}\"");
        eventually("the plugin in its place and a firewall that is well", PATIENCE * 3, || -> Result<()> {
            ensure!(self.types() == ["bridge", "pan-cni"], "{:?}", self.types());
            ensure!(self.told("/metrics").contains(&used), "{}", self.told("/metrics"));
            Ok(())
        })
        .unwrap();
    }

    fn uninstall(&mut self, api: &ApiServer) {
        let mut command = self.host.command(&[plugin().as_str(), "uninstall"]);
        let output = command.envs(self.environment(api)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut agent = self.agent.take().unwrap();
        agent.signal("TERM").unwrap();
        assert_eq!(agent.wait(PATIENCE).unwrap(), Some(0), "{}", agent.output());
    }

    fn environment(&self, api: &ApiServer) -> Vec<(&'static str, String)> {
        let path = |name: &str| self.dir.join(name).display().to_string();
        let config = json!({
            "cniVersion": "1.0.0", "name": "pan-cni", "type": "pan-cni", "mode": "service",
            "traffic_object_id": "7", "firewall": ["pan-fw"], "interfaces": ["eth0"],
            "passiprange": "", "fwtrustcidr": "", "override_mtu": "", "health_check_port": "80",
            "appinfo_dir": path("log"), "state_dir": path("state"), "bpf_dir": path("bpf/pan-cni"),
            "kubernetes": {"kubeconfig": "__KUBECONFIG_FILEPATH__", "security_namespaces": ["kube-system"]},
        });
        vec![
            ("CNI_NETWORK_CONFIG", config.to_string()),
            ("CNI_NET_DIR", path("net.d")),
            ("HOST_CNI_NET_DIR", path("net.d")),
            ("HOST_CNI_BIN_DIR", path("bin")),
            ("SERVICE_ACCOUNT_DIR", path("account")),
            ("KUBERNETES_SERVICE_HOST", "192.168.1.11".to_owned()),
            ("KUBERNETES_SERVICE_PORT", api.port().to_string()),
            ("MY_POD_NAMESPACE", "kube-system".to_owned()),
            ("MY_POD_NAME", format!("pan-cni-{}", self.number)),
            ("MY_NODE_NAME", self.host.name().to_owned()),
            ("CNI_READY_DELAY", "0".to_owned()),
            ("METRICS_LISTEN", "127.0.0.1:9406".to_owned()),
        ]
    }

    /// Starts a program as the node's runtime does: from the node's namespaces, with nothing between.
    fn as_runtime<T: Send>(&self, start: impl FnOnce() -> T + Send) -> T {
        let entrances = [self.lab.join("mnt"), self.lab.join("pid"), self.entrance.clone()];
        // Opened before the first is entered: the paths are those of here.
        let entrances = entrances.map(|path| File::open(path).unwrap());
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                nix::sched::unshare(CloneFlags::CLONE_FS).unwrap();
                for entrance in &entrances {
                    nix::sched::setns(entrance, CloneFlags::empty()).unwrap();
                }
                start()
            });
            thread.join().unwrap()
        })
    }

    /// The list of plugins that the runtime reads.
    fn list(&self) -> Value {
        serde_json::from_str(&std::fs::read_to_string(self.dir.join(LIST)).unwrap()).unwrap()
    }

    /// The chain as it stands.
    pub(crate) fn types(&self) -> Vec<String> {
        let list = self.list();
        list["plugins"].as_array().unwrap().iter().map(|plugin| plugin["type"].as_str().unwrap().to_owned()).collect()
    }

    /// What the agent answers.
    fn told(&self, path: &str) -> String {
        self.host.try_run(&["curl", "-s", &format!("http://127.0.0.1:9406{path}")]).unwrap().stdout
    }

    /// What kube-proxy does for a service: one pod behind its address. Who comes from beyond the node has the
    /// node's address then.
    pub(crate) fn forward_service(&self, to: &Pod, port: u16) {
        let script = format!(
            "nft -f - <<'END'\n\
             table ip kube {{\n\
               chain prerouting {{\n\
                 type nat hook prerouting priority -100;\n\
                 ip daddr {SERVICE} tcp dport 80 iifname \"eth0\" meta mark set 0x4000\n\
                 ip daddr {SERVICE} tcp dport 80 dnat to {}:{port}\n\
               }}\n\
               chain postrouting {{ type nat hook postrouting priority 100; meta mark 0x4000 masquerade; }}\n\
             }}\n\
             END",
            to.address
        );
        self.host.sh(&script).unwrap();
    }

    /// Counts packets of pods that leave the node outside of a tunnel.
    pub(crate) fn watch_for_plain_packets(&self) {
        let pods = format!("10.244.{}.0/24", self.number);
        let script = format!(
            "nft -f - <<'END'\n\
             table ip watch {{\n\
               chain forward {{\n\
                 type filter hook forward priority 0;\n\
                 oifname \"eth0\" ip saddr {pods} udp dport 6080 ip daddr {FIREWALL} return\n\
                 oifname \"eth0\" ip saddr {pods} counter\n\
               }}\n\
             }}\n\
             END"
        );
        self.host.sh(&script).unwrap();
    }

    pub(crate) fn plain_packets(&self) -> u64 {
        let text = self.host.run(&["nft", "-j", "list", "chain", "ip", "watch", "forward"]).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        let rules = value["nftables"].as_array().unwrap();
        let counters = rules.iter().flat_map(|entry| entry["rule"]["expr"].as_array().into_iter().flatten());
        counters.filter_map(|part| part["counter"]["packets"].as_u64()).sum()
    }

    /// Names in a folder of what the plugins keep.
    pub(crate) fn files(&self, folder: &str) -> Vec<String> {
        names(&self.dir.join(folder))
    }

    /// Pods with pinned maps.
    pub(crate) fn pinned(&self) -> Vec<String> {
        names(&self.bpf.join("pods"))
    }

    /// Whether the node has maps of ours.
    pub(crate) fn has_maps(&self) -> bool {
        self.bpf.exists()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

pub(crate) fn inside<T: Send>(path: &Path, work: impl FnOnce() -> T + Send) -> T {
    let file = File::open(path).unwrap();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}
