//! Three hosts in a row, the middle one forwarding by the kernel or by Bartizan: how fast is each?

pub mod small;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::azure::flows::throughput;
use crate::process::eventually;
use crate::{Lab, Namespace, Process};

const SECONDS: &str = "3";

/// Client, forwarder and server.
#[derive(Debug)]
pub struct Row {
    client: Namespace,
    forwarder: Namespace,
    server: Namespace,
    _servers: Vec<Process>,
    /// The next port for a server that lives for one measurement.
    ports: Cell<u16>,
    binary: PathBuf,
    lab: Lab,
}

/// Who forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarder {
    /// The kernel, forwarding and nothing else.
    Plain,
    /// The kernel with conntrack, masquerade and that many rules that do not match, tried one by one.
    Kernel {
        /// Rules before the one that accepts.
        rules: usize,
    },
    /// Bartizan with source NAT and that many rules that do not match.
    Bartizan {
        /// Rules before the one that allows.
        rules: usize,
        /// More words of its command line.
        options: &'static [&'static str],
    },
}

/// A forwarder in place; gone when dropped.
#[derive(Debug)]
pub struct Running {
    firewall: Option<Process>,
}

impl Running {
    /// The firewall's process, if it is one.
    pub fn firewall(&self) -> Option<&Process> {
        self.firewall.as_ref()
    }
}

impl Row {
    /// Makes hosts, links and servers.
    ///
    /// # Errors
    /// When a part does not come up.
    pub fn new(binary: &Path) -> Result<Self> {
        let lab = Lab::new()?;
        let (client, forwarder, server) = (lab.namespace("client")?, lab.namespace("fw")?, lab.namespace("server")?);
        lab.link((&client, "c0"), (&forwarder, "f0"))?;
        lab.link((&server, "s0"), (&forwarder, "f1"))?;
        client.address("c0", "10.10.1.2/24")?;
        server.address("s0", "10.10.2.2/24")?;
        client.route("default via 10.10.1.1")?;
        server.route("10.10.1.0/24 via 10.10.2.1")?;
        client.sh("sysctl -qw net.ipv4.ip_local_port_range='1024 65000' net.ipv4.tcp_tw_reuse=1")?;
        server.sh("sysctl -qw net.core.somaxconn=8192")?;
        let binary = binary.canonicalize().with_context(|| format!("find `{}`", binary.display()))?;
        let probe = probe_program()?;
        let servers = vec![
            crate::servers::nginx(lab.dir(), &server, &["10.10.2.2:80 backlog=8192"])?,
            server.spawn(&[&probe, "echo", "10.10.2.2:7002"], &[], &lab.dir().join("echo.log"))?,
        ];
        Ok(Self { client, forwarder, server, _servers: servers, ports: Cell::new(5300), binary, lab })
    }

    /// Puts a forwarder in place and waits until packets pass.
    ///
    /// # Errors
    /// When they do not.
    pub fn with(&self, forwarder: Forwarder) -> Result<Running> {
        self.forwarder.sh(
            "nft flush ruleset; ip address flush dev f0; ip address flush dev f1; sysctl -qw net.ipv4.ip_forward=0",
        )?;
        for host in [&self.client, &self.server] {
            host.sh("ip neighbour flush all")?;
        }
        let firewall = match forwarder {
            Forwarder::Plain => {
                self.plain()?;
                None
            }
            Forwarder::Kernel { rules } => {
                self.plain()?;
                self.filter(rules)?;
                None
            }
            Forwarder::Bartizan { rules, options } => Some(self.bartizan(rules, options)?),
        };
        eventually("packets pass", Duration::from_secs(60), || {
            self.client.run(&["curl", "-sS", "--max-time", "1", "http://10.10.2.2/"])
        })
        .with_context(|| firewall.as_ref().map(Process::output).unwrap_or_default())?;
        Ok(Running { firewall })
    }

    fn plain(&self) -> Result<()> {
        self.forwarder.address("f0", "10.10.1.1/24")?;
        self.forwarder.address("f1", "10.10.2.1/24")?;
        self.forwarder.forwarding()
    }

    /// The rules of [`configuration`] as nftables knows them: interfaces for zones, source and service.
    fn filter(&self, rules: usize) -> Result<()> {
        let linear: String = (0..rules)
            .map(|rule| {
                let (high, low, port) = (16 + rule / 256 % 16, rule % 256, 1024 + rule);
                format!("iif f0 oif f1 ip saddr 172.{high}.{low}.0/24 tcp dport {port} drop\n")
            })
            .collect();
        let text = format!(
            "table ip t {{\nchain p {{\ntype nat hook postrouting priority srcnat;\noif f1 masquerade\n}}\n\
             chain f {{\ntype filter hook forward priority filter;\nct state established,related accept\n{linear}accept\n}}\n}}\n"
        );
        let file = self.lab.dir().join("rules.nft");
        std::fs::write(&file, text)?;
        self.forwarder.run(&["nft", "-f", &file.to_string_lossy()])?;
        Ok(())
    }

    /// A firewall that is up. One that ends instead says why, and only that is in its log.
    fn bartizan(&self, rules: usize, options: &[&str]) -> Result<Process> {
        let log = self.lab.dir().join("firewall.log");
        if log.exists() {
            std::fs::remove_file(&log)?;
        }
        let file = self.lab.dir().join("firewall.xml");
        std::fs::write(&file, configuration(rules))?;
        let state = self.lab.dir().join("state");
        let (binary, file, state) = (self.binary.to_string_lossy(), file.to_string_lossy(), state.to_string_lossy());
        let mut words = vec![&*binary, "firewall", "--config", &file, "--state-dir", &state];
        words.extend(["--port", "ethernet1/1=f0", "--port", "ethernet1/2=f1"]);
        words.extend(options);
        let mut firewall = self.forwarder.spawn(&words, &[], &log)?;
        firewall.wait_for("the firewall is up", Duration::from_secs(60))?;
        Ok(firewall)
    }

    /// The client.
    pub fn client(&self) -> &Namespace {
        &self.client
    }

    /// The host in the middle.
    pub fn forwarder(&self) -> &Namespace {
        &self.forwarder
    }

    /// The server.
    pub fn server(&self) -> &Namespace {
        &self.server
    }

    /// A folder that goes with the lab.
    pub fn dir(&self) -> &Path {
        self.lab.dir()
    }

    /// Asks the firewall an operator's question.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn ask(&self, words: &[&str]) -> Result<String> {
        let socket = self.lab.dir().join("state").join("control.sock");
        let (binary, socket) = (self.binary.to_string_lossy(), socket.to_string_lossy());
        self.forwarder.run(&[&[&*binary], words, &["--socket", &*socket]].concat())
    }

    /// One TCP stream, Gbit/s, with this congestion control or else the machine's own.
    ///
    /// # Errors
    /// When iperf3 reports none.
    pub fn tcp_gigabits(&self, congestion: Option<&str>) -> Result<f64> {
        let mut words = vec!["-t", SECONDS];
        if let Some(name) = congestion {
            words.extend(["-C", name]);
        }
        throughput(&self.iperf3(&words)?)
    }

    /// Switches the segmentation offload of client and server, which XDP at the other end of their links
    /// switches off, too.
    ///
    /// # Errors
    /// When `ethtool` refuses.
    pub fn offloads(&self, state: &str) -> Result<()> {
        self.client.sh(&format!("ethtool -K c0 tso {state} gso {state}"))?;
        self.server.sh(&format!("ethtool -K s0 tso {state} gso {state}"))?;
        Ok(())
    }

    /// A report of iperf3, as JSON. Each gets a server of its own: one whose client was cut off with the forwarder
    /// before would wait for it for minutes.
    fn iperf3(&self, options: &[&str]) -> Result<String> {
        let port = self.ports.get();
        self.ports.set(port + 1);
        let (port, log) = (port.to_string(), self.lab.dir().join(format!("iperf3-{port}.log")));
        let server = ["iperf3", "--server", "--one-off", "--forceflush", "--port", &port];
        let mut server = self.server.spawn(&server, &[], &log)?;
        server.wait_for("Server listening", Duration::from_secs(10))?;
        let words = [&["iperf3", "-c", "10.10.2.2", "-J", "-p", &port][..], options].concat();
        Ok(self.client.try_run(&words)?.stdout)
    }

    /// New TCP connections per second, each with one HTTP request, 64 in flight. The server has forgotten those that
    /// came by the forwarder before: it would take new ones from the same ports for them and have them asked for again,
    /// and a forwarder that was just put in place cannot know which ports those are.
    ///
    /// # Errors
    /// When wrk reports none.
    pub fn connections_per_second(&self) -> Result<f64> {
        self.server.run(&["ss", "-HtnK", "state", "time-wait"])?;
        let report = self.client.run(&[
            "wrk",
            "-t",
            "1",
            "-c",
            "64",
            "-d",
            SECONDS,
            "-H",
            "Connection: close",
            "http://10.10.2.2/",
        ])?;
        let line = report
            .lines()
            .find(|line| line.starts_with("Requests/sec:"))
            .with_context(|| format!("wrk reported {report}"))?;
        Ok(line.split_whitespace().nth(1).unwrap_or_default().parse()?)
    }

    /// Median round-trip time of a small datagram in microseconds, the next one `pause_us` after the
    /// answer to the last.
    ///
    /// # Errors
    /// When answers are missing.
    pub fn round_trip_us(&self, pause_us: u32) -> Result<f64> {
        let count = if pause_us == 0 { "20000" } else { "500" };
        let said = self.client.run(&[&probe_program()?, "ping", "10.10.2.2:7002", count, &pause_us.to_string()])?;
        Ok(said.trim().parse()?)
    }
}

/// The program of `probe.rs`, which lies beside this one.
///
/// # Errors
/// When it was not built.
pub fn probe_program() -> Result<String> {
    let own = std::env::current_exe().context("the path of this program")?;
    let path = own.with_file_name("probe");
    anyhow::ensure!(path.exists(), "`{}` is missing: build the whole package `bartizan-lab`", path.display());
    Ok(path.to_string_lossy().into_owned())
}

/// Ports that rules are about.
const PORTS: usize = 60_000;

fn configuration(rules: usize) -> String {
    let services: String = (0..rules.min(PORTS))
        .map(|rule| {
            format!("<entry name=\"s{rule}\"><protocol><tcp><port>{}</port></tcp></protocol></entry>", 1024 + rule)
        })
        .collect();
    let rule = |name: &str, source: &str, service: &str, action: &str| {
        format!(
            "<entry name=\"{name}\"><from><member>trust</member></from><to><member>untrust</member></to><source><member>{source}</member></source>\
             <destination><member>any</member></destination><application><member>any</member></application>\
             <service><member>{service}</member></service><log-end>no</log-end><action>{action}</action></entry>"
        )
    };
    let mut security: String = (0..rules)
        .map(|number| {
            rule(
                &format!("r{number}"),
                &format!("172.{}.{}.0/24", 16 + number / 256 % 16, number % 256),
                &format!("s{}", number % PORTS),
                "drop",
            )
        })
        .collect();
    security.push_str(&rule("out", "any", "any", "allow"));
    let interface = |name: &str, address: &str| {
        format!("<entry name=\"{name}\"><layer3><ip><entry name=\"{address}/24\"/></ip></layer3></entry>")
    };
    let zone = |name: &str, interface: &str| {
        format!("<entry name=\"{name}\"><network><layer3><member>{interface}</member></layer3></network></entry>")
    };
    format!(
        "<config><devices><entry name=\"localhost.localdomain\"><network><interface><ethernet>{}{}</ethernet></interface>\
         <logical-router><entry name=\"default\"><vrf><entry name=\"default\"><interface><member>ethernet1/1</member><member>ethernet1/2</member>\
         </interface></entry></vrf></entry></logical-router></network><vsys><entry name=\"vsys1\"><zone>{}{}</zone><service>{services}</service><rulebase>\
         <nat><rules><entry name=\"out\"><from><member>trust</member></from><to><member>untrust</member></to><source><member>any</member></source>\
         <destination><member>any</member></destination><service>any</service><source-translation><dynamic-ip-and-port><interface-address>\
         <interface>ethernet1/2</interface></interface-address></dynamic-ip-and-port></source-translation></entry></rules></nat>\
         <security><rules>{security}</rules></security></rulebase></entry></vsys></entry></devices></config>",
        interface("ethernet1/1", "10.10.1.1"),
        interface("ethernet1/2", "10.10.2.1"),
        zone("trust", "ethernet1/1"),
        zone("untrust", "ethernet1/2"),
    )
}
