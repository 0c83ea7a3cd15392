//! An interface whose address comes from an unmodified dnsmasq.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use bartizan_lab::Process;
use bartizan_lab::process::eventually;
use serde_json::Value;

use crate::edge::{Edge, LIMIT, configuration};

/// The edge with the address, and the default route, of ethernet1/2 by DHCP.
fn leased(settings: &str) -> String {
    let text = configuration("");
    let own = "<ip><entry name=\"203.0.113.1/24\"/></ip>";
    assert!(text.contains(own));
    let route = text.find("<entry name=\"internet\">").unwrap();
    let end = route + text[route..].find("</entry>").unwrap() + "</entry>".len();
    format!("{}{}", &text[..route], &text[end..]).replace(own, &format!("<dhcp-client>{settings}</dhcp-client>"))
}

/// dnsmasq on the server, with this one address to give; renewal is due after 4 s.
struct Dnsmasq {
    process: Process,
    log: PathBuf,
}

impl Dnsmasq {
    fn start(edge: &Edge, address: &str) -> Self {
        let log = edge.firewall.dir.join(format!("dnsmasq-{address}.log"));
        let leases = edge.firewall.dir.join(format!("leases-{address}")).display().to_string();
        let range = format!("--dhcp-range={address},{address},255.255.255.0,2m");
        let leases = format!("--dhcp-leasefile={leases}");
        let words = [
            &["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--port=0"][..],
            &["--interface=eth0", "--bind-interfaces", "--dhcp-authoritative", "--log-dhcp", "--log-facility=-"],
            &["--dhcp-option=option:router,203.0.113.2", "--dhcp-option=option:T1,4", "--dhcp-option=option:T2,100"],
            &["--no-ping", "--pid-file=", &range, &leases],
        ]
        .concat();
        let mut process = edge.server.spawn(&words, &[], &log).unwrap();
        process.wait_for("DHCP, IP range", LIMIT).unwrap();
        Self { process, log }
    }

    /// How often it said this.
    fn said(&self, text: &str) -> usize {
        std::fs::read_to_string(&self.log).unwrap_or_default().matches(text).count()
    }

    fn stop(&mut self) {
        self.process.signal("TERM").unwrap();
        self.process.wait(LIMIT).unwrap();
    }
}

fn client(edge: &Edge) -> Value {
    edge.json("show dhcp client state eth1/2")[0].clone()
}

fn await_address(edge: &Edge, address: &str) {
    eventually("the lease", LIMIT, || -> Result<()> {
        let client = client(edge);
        ensure!(client["address"] == address, "{client}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_leased_address_is_used_renewed_moved_and_given_back() {
    let hostname = "<send-hostname><hostname>edge-7</hostname></send-hostname>";
    let mut edge = Edge::start(&leased(hostname), &["--workers", "2"]);
    let web_log = edge.serve_http();
    let shown = edge.operate("show interface ethernet1/2").stdout;
    assert!(shown.contains("(no DHCP lease)"), "{shown}");
    assert_eq!(edge.json("test routing fib-lookup ip 8.8.8.8 virtual-router default")["kind"], "none");

    let mut dnsmasq = Dnsmasq::start(&edge, "203.0.113.100");
    edge.operate("request dhcp client renew eth1/2");
    await_address(&edge, "203.0.113.100/24");
    let bound = client(&edge);
    assert_eq!((&bound["state"], &bound["gateway"]), (&"Bound".into(), &"203.0.113.2".into()), "{bound}");
    assert!((110..=120).contains(&bound["leased_until_s"].as_u64().unwrap()), "{bound}");
    assert!(dnsmasq.said("edge-7") > 0, "the server was told the host name");
    let shown = edge.json("show interface ethernet1/2");
    assert!(shown[0]["addresses"].as_array().unwrap().contains(&"203.0.113.100/24".into()), "{shown}");
    let routes = edge.json("show routing route");
    let route = routes.as_array().unwrap().iter().find(|route| route["destination"] == "0.0.0.0/0").unwrap();
    assert_eq!((&route["flags"], &route["metric"]), (&"A S L".into(), &10.into()), "{route}");

    // Traffic leaves by the leased address.
    assert_eq!(edge.fetch("http://203.0.113.2/index.html").unwrap(), "behind the firewall\n");
    assert!(std::fs::read_to_string(&web_log).unwrap().contains("203.0.113.100"));

    // Half of the lease, as the server has it, is 4 s: the same server says yes.
    let acks = dnsmasq.said("DHCPACK");
    eventually("a renewal", LIMIT, || -> Result<()> {
        ensure!(dnsmasq.said("DHCPACK") > acks, "no renewal");
        Ok(())
    })
    .unwrap();
    assert_eq!(dnsmasq.said("DHCPDISCOVER"), 1, "a renewal is no new search");

    // Its successor refuses the address and gives another one: sessions that used the old one end, the
    // others stay.
    edge.fetch("http://203.0.113.2/index.html").unwrap();
    edge.client.sh("echo x | nc -u -w 1 203.0.113.2 9999").unwrap();
    dnsmasq.stop();
    let dnsmasq = Dnsmasq::start(&edge, "203.0.113.150");
    edge.operate("request dhcp client renew ethernet1/2");
    await_address(&edge, "203.0.113.150/24");
    assert!(dnsmasq.said("DHCPNAK") > 0);
    assert_eq!(edge.fetch("http://203.0.113.2/index.html").unwrap(), "behind the firewall\n");
    assert!(std::fs::read_to_string(&web_log).unwrap().contains("203.0.113.150"));
    assert!(edge.counter("nat-address-gone") > 0);
    let ends = edge.traffic();
    let lost: Vec<_> = ends.iter().filter(|line| line["session_end_reason"] == "nat-address-gone").collect();
    assert!(!lost.is_empty() && lost.iter().all(|line| line["natsrc"] == "203.0.113.100"), "{lost:?}");

    let released = edge.json("request dhcp client release ethernet1/2");
    assert_eq!((&released[0]["state"], &released[0]["address"]), (&"Released".into(), &"".into()), "{released}");
    eventually("the release", LIMIT, || -> Result<()> {
        ensure!(dnsmasq.said("DHCPRELEASE") == 1, "not released");
        Ok(())
    })
    .unwrap();
    assert!(edge.fetch("http://203.0.113.2/").is_err());
    assert_eq!(edge.operate("show dhcp client state ethernet1/1").code, Some(1), "it has no client");
    assert_eq!(edge.end(), Some(0));
}

#[test]
fn a_restart_asks_for_the_same_address_and_an_unrenewed_one_expires() {
    let mut edge = Edge::start(&leased("<create-default-route>no</create-default-route>"), &["--workers", "1"]);
    let mut dnsmasq = Dnsmasq::start(&edge, "203.0.113.100");
    edge.operate("request dhcp client renew ethernet1/2");
    await_address(&edge, "203.0.113.100/24");
    let routes = edge.json("show routing route");
    assert!(routes.as_array().unwrap().iter().all(|route| route["destination"] != "0.0.0.0/0"), "{routes}");

    assert_eq!(edge.end(), Some(0));
    let discovers = dnsmasq.said("DHCPDISCOVER");
    edge.start_again();
    await_address(&edge, "203.0.113.100/24");
    assert_eq!(dnsmasq.said("DHCPDISCOVER"), discovers, "the address was asked for by name");

    // With the server gone, and 16 s of the lease left, it is used unasked and then no more.
    assert_eq!(edge.end(), Some(0));
    dnsmasq.stop();
    let path = edge.firewall.dir.join("state/leases.json");
    let mut kept: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    for (time, after) in [("renew_at_s", 14), ("rebind_at_s", 15), ("expires_s", 16)] {
        kept["ethernet1/2"][time] = (now + after).into();
    }
    std::fs::write(&path, kept.to_string()).unwrap();
    edge.start_again();
    assert_eq!(client(&edge)["state"], "Rebooting");
    await_address(&edge, "203.0.113.100/24");
    edge.client.run(&["ping", "-c", "1", "-W", "3", "203.0.113.2"]).unwrap();
    await_address(&edge, "");
    assert_eq!(client(&edge)["state"], "Selecting");
    assert!(edge.operate("show interface ethernet1/2").stdout.contains("(no DHCP lease)"));
    assert_eq!(edge.end(), Some(0));
}
