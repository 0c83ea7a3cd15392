//! Pods with real connections: hosts in network namespaces of their own, behind the ports of the firewall.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::house::PORTS;

/// Where the server listens.
pub(crate) const SERVER: &str = "10.244.2.10";
pub(crate) const PORT: u16 = 8080;
const LIMIT: Duration = Duration::from_secs(20);

/// A host, as long as this lives.
struct Host(Child);

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program that has to succeed.
fn run(words: &[&str]) {
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LIMIT, "not in time: {what}");
        sleep(Duration::from_millis(20));
    }
}

impl Host {
    /// One with these addresses of a network of 24 bits, whose gateway is the firewall at that device.
    fn start(device: &str, addresses: &[&str], gateway: &str) -> Self {
        let child = Command::new("unshare").args(["--net", "sleep", "infinity"]).spawn().unwrap();
        let host = Self(child);
        let process = host.0.id().to_string();
        let own = fs::read_link("/proc/self/ns/net").unwrap();
        let theirs = format!("/proc/{process}/ns/net");
        eventually("a host has its network", || fs::read_link(&theirs).is_ok_and(|network| network != own));
        run(&["ip", "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", &process]);
        run(&["ip", "link", "set", device, "up"]);
        host.must(&["ip", "link", "set", "lo", "up"]);
        host.must(&["ip", "link", "set", "eth0", "up"]);
        for address in addresses {
            host.must(&["ip", "address", "add", &format!("{address}/24"), "dev", "eth0"]);
        }
        host.must(&["ip", "route", "add", "default", "via", gateway]);
        host
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.0.id().to_string(), "--"]).args(words);
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    fn must(&self, words: &[&str]) {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Pods that ask, at 10.244.1.0/24, and the one that answers, [`SERVER`].
pub(crate) struct Pods {
    clients: Host,
    _server: Host,
    _nginx: Host,
}

impl Pods {
    /// Clients at these addresses. What the server needs is in that folder.
    pub(crate) fn start(folder: &Path, clients: &[&str]) -> Self {
        let clients = Host::start(PORTS[0], clients, "10.244.1.1");
        let server = Host::start(PORTS[1], &[SERVER], "10.244.2.1");
        let (path, configuration) = (folder.display(), folder.join("nginx.conf"));
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {path}/nginx-{name};"))
            .concat();
        let text = format!(
            "daemon off; master_process off; pid {path}/nginx.pid; error_log stderr; user root; events {{}}\n\
             http {{ access_log off; {temporary} server {{ listen {SERVER}:{PORT}; location / {{ return 200 \"$remote_addr\"; }} }} }}"
        );
        fs::write(&configuration, text).unwrap();
        let mut command = server.command(&["nginx", "-e", "stderr", "-c", &configuration.to_string_lossy()]);
        let nginx = command.stdin(Stdio::null()).spawn().unwrap();
        let sockets = || server.run(&["ss", "-Hltn", &format!("sport = :{PORT}")]).stdout;
        eventually("the server listens", || !sockets().is_empty());
        Self { clients, _server: server, _nginx: Host(nginx) }
    }

    /// Whether a TCP connection from a client's address comes about, and is answered.
    pub(crate) fn connects(&self, from: &str) -> bool {
        let url = format!("http://{SERVER}:{PORT}/");
        let words = ["curl", "-sS", "--interface", from, "--connect-timeout", "1", "--max-time", "3", &url];
        let output = self.clients.run(&words);
        output.status.success() && output.stdout == from.as_bytes()
    }
}
