//! The Azure reference deployment as hosts on this machine.
//!
//! ```text
//!   app1 10.1.0.10 ─┐                                               ┌─ web 198.51.100.10
//!   app2 10.1.0.11 ─┤ 10.1.0.0/24                                   ├─ dns 198.51.100.53
//!   node 10.1.0.20 ─┴─ vnet ── 10.0.1.0/24 ── eth1 fw eth2 ── 10.0.2.0/24 ── edge ── internet
//!    └ pod 172.16.0.10   (gateway .1, private LB)   │     (gateway .1, public LB)
//!                                            eth0 10.255.0.0/24
//!                                                   │
//!                                                manager
//! ```
//!
//! `vnet` and `edge` stand where the cloud's fabric stands: they are the subnets' gateways, forward
//! what the load balancers would forward, and probe from 168.63.129.16 on both sides.

pub mod configuration;
pub mod flows;
pub mod servers;

use std::path::Path;

use anyhow::Result;

use crate::managed::Managed;
use crate::{Lab, Namespace, Process};

/// Frontend of the private load balancer, held by `loopback.1`.
pub const PRIVATE_FRONTEND: &str = "10.0.1.100";
/// Frontend of the public load balancer, held by `loopback.2`.
pub const PUBLIC_FRONTEND: &str = "203.0.113.10";
/// Source of Azure's health probes (Microsoft's documentation of the virtual public IP).
pub const PROBE: &str = "168.63.129.16";
/// The firewall's address on the private subnet.
pub const PRIVATE_ADDRESS: &str = "10.0.1.4";
/// The firewall's address on the public subnet: what outbound flows leave by.
pub const PUBLIC_ADDRESS: &str = "10.0.2.4";
/// A web server on the internet.
pub const WEB: &str = "198.51.100.10";
/// A DNS server on the internet.
pub const DNS: &str = "198.51.100.53";

/// The running deployment.
#[derive(Debug)]
pub struct Azure {
    /// Manager and firewall.
    pub house: Managed,
    /// Servers of the workloads and the internet.
    pub servers: Vec<Process>,
    /// Hosts.
    pub hosts: Hosts,
    /// Last, so that it is dropped after the processes in it.
    pub lab: Lab,
}

/// The hosts of the deployment.
#[derive(Clone, Debug)]
pub struct Hosts {
    /// Workload 1.
    pub app1: Namespace,
    /// Workload 2.
    pub app2: Namespace,
    /// Kubernetes node in front of the pods.
    pub node: Namespace,
    /// A pod.
    pub pod: Namespace,
    /// The virtual network's fabric.
    pub vnet: Namespace,
    /// The firewall.
    pub firewall: Namespace,
    /// The public side's fabric.
    pub edge: Namespace,
    /// The internet's servers.
    pub internet: Namespace,
    /// The manager.
    pub manager: Namespace,
}

impl Azure {
    /// Makes hosts and links, starts servers, manager and firewall, and enrols the firewall. The
    /// manager's configuration is still empty afterwards: see [`Self::configure`].
    ///
    /// # Errors
    /// When a part does not come up; with what it printed.
    pub fn start(binary: &Path) -> Result<Self> {
        let lab = Lab::new()?;
        let hosts = hosts(&lab)?;
        let servers = servers::start(&lab, &hosts)?;
        let house = Managed::start(&lab, &hosts.manager, &hosts.firewall, binary)?;
        Ok(Self { house, servers, hosts, lab })
    }

    /// Writes the whole deployment through the XML API, commits and pushes it.
    ///
    /// # Errors
    /// When a step is refused.
    pub fn configure(&self) -> Result<()> {
        let api = &self.house.api;
        configuration::write(api, &self.house.serial)?;
        api.commit()?;
        api.push(configuration::DEVICE_GROUP)?;
        Ok(())
    }
}

fn hosts(lab: &Lab) -> Result<Hosts> {
    let hosts = Hosts {
        app1: lab.namespace("app1")?,
        app2: lab.namespace("app2")?,
        node: lab.namespace("node")?,
        pod: lab.namespace("pod")?,
        vnet: lab.namespace("vnet")?,
        firewall: lab.namespace("fw")?,
        edge: lab.namespace("edge")?,
        internet: lab.namespace("internet")?,
        manager: lab.namespace("manager")?,
    };
    workloads(lab, &hosts)?;
    lab.link((&hosts.vnet, "private"), (&hosts.firewall, "eth1"))?;
    hosts.vnet.address("private", "10.0.1.1/24")?;
    hosts.vnet.address("lo", &format!("{PROBE}/32"))?;
    hosts.vnet.route(&format!("default via {PRIVATE_ADDRESS}"))?;

    lab.link((&hosts.edge, "public"), (&hosts.firewall, "eth2"))?;
    lab.link((&hosts.edge, "uplink"), (&hosts.internet, "eth0"))?;
    hosts.edge.address("public", "10.0.2.1/24")?;
    hosts.edge.address("uplink", "198.51.100.1/24")?;
    hosts.edge.address("lo", &format!("{PROBE}/32"))?;
    hosts.edge.forwarding()?;
    // The public load balancer keeps the frontend as the destination (floating IP).
    hosts.edge.route(&format!("{PUBLIC_FRONTEND}/32 via {PUBLIC_ADDRESS}"))?;
    for address in [WEB, DNS] {
        hosts.internet.address("eth0", &format!("{address}/24"))?;
    }
    hosts.internet.route("default via 198.51.100.1")?;
    Ok(hosts)
}

fn workloads(lab: &Lab, hosts: &Hosts) -> Result<()> {
    hosts.vnet.sh("ip link add app type bridge && ip link set app up")?;
    hosts.vnet.address("app", "10.1.0.1/24")?;
    hosts.vnet.forwarding()?;
    for (host, address) in [(&hosts.app1, "10.1.0.10/24"), (&hosts.app2, "10.1.0.11/24"), (&hosts.node, "10.1.0.20/24")]
    {
        lab.link((host, "eth0"), (&hosts.vnet, host.name()))?;
        hosts.vnet.run(&["ip", "link", "set", host.name(), "master", "app"])?;
        host.address("eth0", address)?;
        host.route("default via 10.1.0.1")?;
    }
    lab.link((&hosts.node, "pods"), (&hosts.pod, "eth0"))?;
    hosts.node.address("pods", "172.16.0.1/24")?;
    hosts.node.forwarding()?;
    hosts.pod.address("eth0", "172.16.0.10/24")?;
    hosts.pod.route("default via 172.16.0.1")?;
    hosts.vnet.route("172.16.0.0/24 via 10.1.0.20")?;
    Ok(())
}
