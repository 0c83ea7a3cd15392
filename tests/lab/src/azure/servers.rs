//! The real servers behind the firewall and on the internet: nginx, dnsmasq, iperf3.

use anyhow::Result;

use super::{DNS, Hosts, WEB};
use crate::servers::{await_listener, nginx};
use crate::{Lab, Process};

/// Starts all of them and waits until they listen.
///
/// # Errors
/// When one does not come up; with what it printed.
pub fn start(lab: &Lab, hosts: &Hosts) -> Result<Vec<Process>> {
    let mut servers = Vec::new();
    // Each page says who asks, so that a client can see the address it arrives with.
    for (host, listen) in [
        (&hosts.app1, vec!["10.1.0.10:80"]),
        (&hosts.app2, vec!["10.1.0.11:80"]),
        (&hosts.internet, vec!["198.51.100.10:80", "198.51.100.10:8081"]),
    ] {
        servers.push(nginx(lab.dir(), host, &listen)?);
    }
    servers.push(hosts.internet.spawn(
        &[
            "dnsmasq",
            // Debug mode: the one in which it keeps its user, which it could not change in a user namespace.
            "--no-daemon",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--pid-file=",
            "--bind-interfaces",
            &format!("--listen-address={DNS}"),
            &format!("--address=/web.example.test/{WEB}"),
        ],
        &[],
        &lab.dir().join("dnsmasq.log"),
    )?);
    servers.push(hosts.internet.spawn(&["iperf3", "--server", "--bind", WEB], &[], &lab.dir().join("iperf3.log"))?);
    servers.push(hosts.app2.spawn(&["iperf3", "--server"], &[], &lab.dir().join("iperf3-app2.log"))?);
    for (host, port) in [
        (&hosts.app1, 80),
        (&hosts.app2, 80),
        (&hosts.internet, 53),
        (&hosts.internet, 80),
        (&hosts.internet, 5201),
        (&hosts.app2, 5201),
    ] {
        await_listener(host, port)?;
    }
    Ok(servers)
}
