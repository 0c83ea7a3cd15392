//! A client, a firewall and a server in namespaces: `client 10.0.1.10 - eth1 fw eth2 - 203.0.113.2 server`.

use std::path::PathBuf;
use std::time::Duration;

use bartizan_lab::process::eventually;
use bartizan_lab::standalone::Standalone;
use bartizan_lab::{Finished, Lab, Namespace, Process};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_bartizan");
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// The lab with a running firewall.
pub(crate) struct Edge {
    pub(crate) client: Namespace,
    pub(crate) server: Namespace,
    pub(crate) firewall: Standalone,
    servers: Vec<Process>,
    /// Dropped after what runs in it.
    _lab: Lab,
}

impl Edge {
    /// Hosts and links, and the firewall with this configuration.
    pub(crate) fn start(configuration: &str, arguments: &[&str]) -> Self {
        Self::prepared(":", configuration, arguments)
    }

    /// As [`Self::start`], with a script that is run on the firewall's host before.
    pub(crate) fn prepared(script: &str, configuration: &str, arguments: &[&str]) -> Self {
        let lab = Lab::new().unwrap();
        let [client, firewall, server] = ["client", "fw", "server"].map(|name| lab.namespace(name).unwrap());
        lab.link((&client, "eth0"), (&firewall, "eth1")).unwrap();
        lab.link((&server, "eth0"), (&firewall, "eth2")).unwrap();
        client.address("eth0", "10.0.1.10/24").unwrap();
        client.address("eth0", "2001:db8:1::10/64").unwrap();
        client.route("default via 10.0.1.1").unwrap();
        client.route("default via 2001:db8:1::1").unwrap();
        server.address("eth0", "203.0.113.2/24").unwrap();
        server.address("eth0", "2001:db8:2::2/64").unwrap();
        server.route("2001:db8:1::/64 via 2001:db8:2::1").unwrap();
        firewall.sh(script).unwrap();
        let firewall = Standalone::start(BINARY, lab.dir(), &firewall, configuration, arguments).unwrap();
        Self { client, server, firewall, servers: Vec::new(), _lab: lab }
    }

    /// Starts the firewall again, after it was ended.
    pub(crate) fn start_again(&mut self) {
        self.firewall.start_again().unwrap();
    }

    /// A web server on the server, which writes who asked to its log.
    pub(crate) fn serve_http(&mut self) -> PathBuf {
        let (web, log) = (self.firewall.dir.join("web"), self.firewall.dir.join("web.log"));
        std::fs::create_dir_all(&web).unwrap();
        std::fs::write(web.join("index.html"), "behind the firewall\n").unwrap();
        let words = ["python3", "-u", "-m", "http.server", "80", "--bind", "::", "-d", web.to_str().unwrap()];
        self.servers.push(self.server.spawn(&words, &[], &log).unwrap());
        self.await_listener(80);
        log
    }

    /// A program on the server that listens on a port.
    pub(crate) fn serve(&mut self, words: &[&str], port: u16) {
        let log = self.firewall.dir.join(format!("server-{port}.log"));
        self.servers.push(self.server.spawn(words, &[], &log).unwrap());
        self.await_listener(port);
    }

    fn await_listener(&self, port: u16) {
        eventually("the server listens", LIMIT, || {
            let sockets = self.server.sh("cat /proc/net/tcp /proc/net/tcp6")?;
            // Local port in hex, state 0A: LISTEN.
            let wanted = format!(":{port:04X}");
            let listens = |line: &str| {
                let fields: Vec<_> = line.split_whitespace().collect();
                fields.get(1).is_some_and(|local| local.ends_with(&wanted)) && fields.get(3) == Some(&"0A")
            };
            anyhow::ensure!(sockets.lines().any(listens), "nothing listens on port {port}");
            Ok(())
        })
        .unwrap();
    }

    /// The client fetches a page; the body, or curl's complaint.
    pub(crate) fn fetch(&self, url: &str) -> Result<String, String> {
        let finished = self.client.try_run(&["curl", "-gsSk", "--max-time", "5", url]).unwrap();
        if finished.code == Some(0) { Ok(finished.stdout) } else { Err(finished.stderr) }
    }

    /// `bartizan WORDS` on the firewall's host.
    pub(crate) fn operate(&self, words: &str) -> Finished {
        self.firewall.operate(words).unwrap()
    }

    /// As [`Self::operate`], as JSON, which must succeed.
    pub(crate) fn json(&self, words: &str) -> serde_json::Value {
        self.firewall.json(words).unwrap()
    }

    /// A counter of `show counter global`.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.firewall.counter(name).unwrap()
    }

    /// Lines of the traffic log so far.
    pub(crate) fn traffic(&self) -> Vec<serde_json::Value> {
        self.firewall.traffic().unwrap()
    }

    /// Replaces the configuration file and has it read again; waits for what the firewall says about it.
    pub(crate) fn reload(&mut self, configuration: &str, says: &str) {
        self.firewall.reload(configuration, says).unwrap();
    }

    /// Ends the firewall in order; its exit code.
    pub(crate) fn end(&mut self) -> Option<i32> {
        self.firewall.end().unwrap()
    }
}

/// The configuration; `rules` come before `allow-out`.
pub(crate) fn configuration(rules: &str) -> String {
    include_str!("edge.xml").replace("<!-- RULES -->", rules)
}

/// A security rule from trust to untrust.
pub(crate) fn rule(name: &str, service: &str, action: &str) -> String {
    format!(
        "<entry name=\"{name}\"><from><member>trust</member></from><to><member>untrust</member></to>\
         <source><member>any</member></source><destination><member>any</member></destination>\
         <application><member>any</member></application><service><member>{service}</member></service>\
         <action>{action}</action></entry>"
    )
}
