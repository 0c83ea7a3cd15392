//! A firewall that nobody manages is configured by its own XML API, from an empty one on.

use bartizan_lab::process::eventually;
use bartizan_lab::{Lab, Namespace, Process};

use crate::python::{Client, run};
use crate::{BINARY, LIMIT, PASSWORD};

/// `client 10.0.1.10 - eth1 fw eth2 - 203.0.113.2 server`, and the firewall without any configuration.
pub(crate) struct Alone {
    pub(crate) host: Namespace,
    client: Namespace,
    firewall: Process,
    _server: Process,
    lab: Lab,
}

impl Alone {
    /// Where the API listens, on the firewall's loopback.
    pub(crate) const PORT: &'static str = "8443";

    pub(crate) fn start() -> Self {
        let lab = Lab::new().unwrap();
        let [client, host, server] = ["client", "fw", "server"].map(|name| lab.namespace(name).unwrap());
        lab.link((&client, "eth0"), (&host, "eth1")).unwrap();
        lab.link((&server, "eth0"), (&host, "eth2")).unwrap();
        client.address("eth0", "10.0.1.10/24").unwrap();
        client.route("default via 10.0.1.1").unwrap();
        server.address("eth0", "203.0.113.2/24").unwrap();
        std::fs::write(lab.dir().join("index.html"), "behind the firewall\n").unwrap();
        let folder = lab.dir().display().to_string();
        let words = ["python3", "-m", "http.server", "80", "--bind", "203.0.113.2", "-d", &folder];
        let server = server.spawn(&words, &[], &lab.dir().join("server.log")).unwrap();
        let firewall = launch(&lab, &host, "firewall.log");
        Self { host, client, firewall, _server: server, lab }
    }

    /// `kill -9`, and another one in its place.
    fn restart(&mut self) {
        self.firewall.signal("KILL").unwrap();
        self.firewall.wait(LIMIT).unwrap();
        self.firewall = launch(&self.lab, &self.host, "firewall-again.log");
    }

    fn stage(&self, name: &str) {
        run(&self.host, Client::PanOsPython, "firewall_session.py", &[Self::PORT, PASSWORD, name]);
    }

    /// Whether the client gets the server's page.
    #[track_caller]
    fn wait_until(&self, what: &str, fetched: bool) {
        eventually(what, LIMIT, || {
            let words = ["curl", "-sS", "--max-time", "1", "http://203.0.113.2/index.html"];
            let answer = self.client.try_run(&words)?;
            anyhow::ensure!((answer.code == Some(0)) == fetched, "{answer:?}");
            Ok(())
        })
        .unwrap();
    }
}

fn launch(lab: &Lab, host: &Namespace, log: &str) -> Process {
    let state = lab.dir().join("state").display().to_string();
    let listen = format!("127.0.0.1:{}", Alone::PORT);
    let words = [BINARY, "firewall", "--api-listen", &listen, "--state-dir", &state, "--ring-mib", "8"];
    let mut firewall = host.spawn(&words, &[("BARTIZAN_ADMIN_PASSWORD", PASSWORD)], &lab.dir().join(log)).unwrap();
    firewall.wait_for("the firewall is up", LIMIT).unwrap();
    firewall
}

#[test]
fn a_firewall_is_configured_watched_and_tagged_by_pan_os_python_and_remembers_it() {
    let mut alone = Alone::start();
    alone.stage("build");
    alone.wait_until("what was committed is in force", true);
    alone.stage("look");
    alone.stage("tag");
    alone.wait_until("a tagged address is refused", false);
    alone.stage("untag");
    alone.wait_until("without the tag it is allowed", true);
    alone.stage("tag_for_a_second");
    alone.wait_until("a tag goes by itself", true);
    alone.stage("refuse");
    alone.wait_until("a refused commit changes nothing", true);
    alone.stage("two_administrators");

    alone.restart();
    alone.wait_until("what was committed is in force again", true);
    alone.stage("remember");
    assert_eq!(
        {
            alone.firewall.signal("TERM").unwrap();
            alone.firewall.wait(LIMIT).unwrap()
        },
        Some(0)
    );
}

#[test]
fn panxapi_works_a_firewall() {
    let alone = Alone::start();
    run(&alone.host, Client::PanPython, "panxapi_firewall.py", &[Alone::PORT, PASSWORD]);
}

#[test]
fn what_the_database_says_was_committed_is_in_force_whatever_the_firewall_kept() {
    let mut alone = Alone::start();
    alone.stage("build");
    alone.wait_until("what was committed is in force", true);
    // As after a crash between the two.
    std::fs::remove_file(alone.lab.dir().join("state/local.json")).unwrap();
    alone.restart();
    alone.wait_until("what was committed is in force again", true);
}
