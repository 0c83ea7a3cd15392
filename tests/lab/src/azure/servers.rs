//! The real servers behind the firewall and on the internet: nginx, dnsmasq, iperf3.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{DNS, Hosts, WEB};
use crate::process::eventually;
use crate::{Lab, Namespace, Process};

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
        servers.push(nginx(lab, host, &listen)?);
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
        eventually(&format!("port {port} on `{}` listens", host.name()), Duration::from_secs(10), || {
            let listening = host.run(&["ss", "-Hltn", &format!("sport = :{port}")])?;
            (!listening.is_empty()).then_some(()).context("nobody listens")
        })?;
    }
    Ok(servers)
}

/// nginx on one host; each page says who asks.
///
/// # Errors
/// When it cannot be started.
pub fn nginx(lab: &Lab, host: &Namespace, listen: &[&str]) -> Result<Process> {
    let name = host.name();
    let dir = lab.dir().join(format!("nginx-{name}"));
    std::fs::create_dir_all(&dir)?;
    let path = dir.display();
    let listen: String = listen.iter().map(|address| format!("listen {address};")).collect();
    let configuration = dir.join("nginx.conf");
    std::fs::write(
        &configuration,
        format!(
            "daemon off; master_process off; pid {path}/pid; error_log stderr; user root;
events {{}}
http {{
  access_log off; client_body_temp_path {path}/body; proxy_temp_path {path}/proxy; fastcgi_temp_path {path}/fastcgi;
  uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi; default_type text/plain;
  server {{ {listen} location / {{ return 200 \"{name} answers $remote_addr\\n\"; }} }}
}}
"
        ),
    )?;
    host.spawn(
        &["nginx", "-e", "stderr", "-c", &configuration.to_string_lossy()],
        &[],
        &lab.dir().join(format!("nginx-{name}.log")),
    )
}
