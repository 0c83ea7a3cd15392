//! The firewall alone with a configuration file: real packets, real clients, the real binary.
//!
//! Needs root, or user namespaces, and `ip`, `ethtool`, `ping`, `curl`, `nc`, `iperf3`,
//! `python3`, `dnsmasq`, `tcpdump`, `traceroute`.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test itself does")]

mod backends;
mod captures;
mod dhcp;
mod edge;
mod flood;
mod mtu;
mod paths;
mod ports;
mod routers;
mod vlans;

use bartizan_lab::Lab;
use bartizan_lab::iperf3;

use crate::edge::{Edge, configuration, rule};

#[test]
fn a_flow_is_translated_shown_logged_and_nothing_stays_behind() {
    let mut edge = Edge::start(&configuration(""), &["--workers", "1"]);
    let web_log = edge.serve_http();
    assert_eq!(edge.fetch("http://203.0.113.2/index.html").unwrap(), "behind the firewall\n");
    let asked = std::fs::read_to_string(web_log).unwrap();
    assert!(asked.contains("203.0.113.1"), "the server saw the firewall's address: {asked}");

    let sessions = edge.json("show session all filter destination-port 80");
    assert_eq!(sessions["total"], 1, "{sessions}");
    let session = &sessions["sessions"][0];
    assert_eq!(session["rule"], "allow-out");
    assert_eq!(session["nat_rule"], "outbound");
    assert_eq!((&session["from"], &session["to"]), (&"trust".into(), &"untrust".into()));
    assert_eq!(session["server"]["destination"], "203.0.113.1");
    let id = session["id"].as_u64().unwrap();
    assert_eq!(edge.json(&format!("show session id {id}"))["client"]["source"], "10.0.1.10");
    let xml = edge.operate(&format!("show session id {id} --xml")).stdout;
    assert!(xml.starts_with("<c2s><source>10.0.1.10</source><source-zone>trust</source-zone>"), "{xml}");

    assert_eq!(edge.end(), Some(0));
    let ends: Vec<_> = edge.traffic().into_iter().filter(|line| line["sessionid"] == id).collect();
    assert_eq!(ends.len(), 1, "{ends:?}");
    let end = &ends[0];
    assert_eq!((&end["subtype"], &end["rule"], &end["action"]), (&"end".into(), &"allow-out".into(), &"allow".into()));
    assert_eq!(
        (&end["natsrc"], &end["dst"], &end["dport"]),
        (&"203.0.113.1".into(), &"203.0.113.2".into(), &80.into())
    );
    assert_eq!((&end["from"], &end["to"]), (&"trust".into(), &"untrust".into()));
    assert!(end["bytes_received"].as_u64().unwrap() > 100, "{end}");
    assert!(edge.firewall.host.run(&["ip", "link", "show", "bzl1"]).is_err(), "the local link is gone");
    assert!(!edge.firewall.dir.join("state/control.sock").exists());
}

#[test]
fn a_denied_flow_goes_nowhere_is_logged_once_and_held_as_discard() {
    let mut edge = Edge::start(&configuration(&rule("no-web", "service-http", "deny")), &["--workers", "1"]);
    let web_log = edge.serve_http();
    assert!(edge.fetch("http://203.0.113.2/").is_err());
    assert_eq!(std::fs::read_to_string(web_log).unwrap().matches("GET").count(), 0);
    let sessions = edge.json("show session all filter state discard");
    assert_eq!(sessions["sessions"][0]["rule"], "no-web", "{sessions}");
    assert!(edge.counter("policy-deny") >= 2, "the SYN was repeated");
    let denied: Vec<_> = edge.traffic().into_iter().filter(|line| line["subtype"] == "deny").collect();
    assert_eq!(denied.len(), 1, "{denied:?}");
    assert_eq!((&denied[0]["rule"], &denied[0]["dport"]), (&"no-web".into(), &80.into()));

    // Nobody but trust may open anything.
    let answer = edge.server.try_run(&["nc", "-z", "-w", "1", "10.0.1.10", "80"]).unwrap();
    assert_ne!(answer.code, Some(0));
}

#[test]
fn ping_and_health_checks_are_answered_where_the_profile_says_so() {
    let edge = Edge::start(&configuration(""), &[]);
    for address in ["10.0.1.1", "2001:db8:1::1", "203.0.113.2", "2001:db8:2::2"] {
        let answer = edge.client.run(&["ping", "-c", "2", "-i", "0.2", "-W", "3", address]);
        assert!(answer.is_ok(), "{address}: {answer:?}");
    }
    assert_eq!(edge.fetch("http://10.0.1.1/").unwrap(), "healthy\n");
    assert_eq!(edge.fetch("https://10.0.1.1/").unwrap(), "healthy\n");
    for path in ["unauth/php/health.php", "php/login.php"] {
        assert_eq!(edge.fetch(&format!("https://[2001:db8:1::1]/{path}")).unwrap(), "healthy\n", "{path}");
    }
    assert_eq!(edge.fetch("http://[2001:db8:1::1]/").unwrap(), "healthy\n");
    assert_eq!(edge.fetch("http://10.0.1.1/api/?type=keygen").unwrap(), "only health checks are answered\n");
    // The untrust side has no profile.
    let answer = edge.server.try_run(&["ping", "-c", "1", "-W", "1", "203.0.113.1"]).unwrap();
    assert_ne!(answer.code, Some(0));
    let answer = edge.server.try_run(&["curl", "-s", "--max-time", "1", "http://203.0.113.1/"]).unwrap();
    assert_ne!(answer.code, Some(0));
}

#[test]
fn a_changed_file_is_enforced_on_sighup_and_a_wrong_one_is_not() {
    let mut edge = Edge::start(&configuration(""), &["--workers", "1"]);
    edge.serve_http();
    assert!(edge.fetch("http://203.0.113.2/").is_ok());
    edge.reload(&configuration(&rule("no-web", "service-http", "deny")), "edge.xml` is enforced");
    assert!(edge.fetch("http://203.0.113.2/").is_err());

    let wrong = configuration(&rule("no-web", "service-htp", "deny").replace("<member>trust", "<member>trusd"));
    edge.reload(&wrong, "the configuration is refused, the running one stays");
    let said = edge.firewall.output();
    for part in ["edge.xml:", "`trusd`", "did you mean `trust`?", "`service-htp`", "2 errors"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(edge.fetch("http://203.0.113.2/").is_err(), "the running configuration stays");
    edge.reload(&configuration(""), "edge.xml` is enforced");
    assert!(edge.fetch("http://203.0.113.2/").is_ok(), "the flow is allowed again");
}

#[test]
fn a_file_that_is_wrong_from_the_start_ends_with_3_and_every_mistake() {
    let lab = Lab::new().unwrap();
    let host = lab.namespace("fw").unwrap();
    let path = lab.dir().join("edge.xml");
    std::fs::write(&path, configuration(&rule("a", "nothing", "allow")).replace("203.0.113.2<", "203.0.113.999<"))
        .unwrap();
    let state = lab.dir().join("state");
    let words = [env!("CARGO_BIN_EXE_bartizan"), "firewall", "--config", path.to_str().unwrap(), "--state-dir"];
    let finished = host.try_run(&[&words[..], &[state.to_str().unwrap()]].concat()).unwrap();
    assert_eq!(finished.code, Some(3), "{}", finished.stderr);
    for part in ["error[", "edge.xml:", "`nothing`", "203.0.113.999", "2 errors"] {
        assert!(finished.stderr.contains(part), "{part} is not in {}", finished.stderr);
    }
    assert!(!state.exists(), "nothing was touched");
}

#[test]
fn many_connections_and_bulk_traffic_pass_two_workers() {
    let mut edge = Edge::start(&configuration(""), &["--workers", "2"]);
    edge.serve_http();
    let urls = "http://203.0.113.2/?[1-300]";
    let words = ["curl", "-sS", "--no-keepalive", "-H", "Connection: close", "--max-time", "20", "--parallel"];
    let words = [&words[..], &["--parallel-max", "30", "-o", "/dev/null", "-w", "%{http_code}\n", urls]].concat();
    let answers = edge.client.run(&words).unwrap();
    assert_eq!(answers.lines().filter(|line| *line == "200").count(), 300, "{answers}");

    edge.serve(&["iperf3", "-s"], 5201);
    for direction in [&["-P", "4"][..], &["-P", "4", "-R"], &["-u", "-b", "20M"]] {
        iperf3::carried(&edge.client, "203.0.113.2", direction, 1_000_000).unwrap();
    }
    assert_eq!(edge.counter("io-peer-ring-full"), 0);
    assert_eq!(edge.counter("io-send-refused"), 0);
    let cleared = edge.json("clear session all");
    assert!(cleared["cleared"].as_u64().unwrap() >= 300, "{cleared}");
    assert_eq!(edge.json("show session info")["active"], 0);
}

#[test]
fn questions_are_answered_the_same_live_and_from_the_file() {
    let edge = Edge::start(&configuration(&rule("no-web", "service-http", "deny")), &[]);
    let file = format!("--config {}", edge.firewall.dir.join("edge.xml").display());
    let flow = "source 10.0.1.10 destination 203.0.113.2 protocol 6 destination-port 80";
    for (question, answer) in [
        (format!("test security-policy-match from trust to untrust {flow}"), "deny by rule `no-web` (number 1)\n"),
        (
            format!("test nat-policy-match from trust to untrust {flow}"),
            "rule `outbound`, source becomes a port of 203.0.113.1\n",
        ),
        (
            "test routing fib-lookup ip 8.8.8.8 virtual-router default".to_owned(),
            "to 203.0.113.2 by `ethernet1/2` (router `default`)\n",
        ),
    ] {
        let live = edge.operate(&question);
        assert_eq!(live.stdout, answer, "{}", live.stderr);
        assert_eq!(edge.operate(&format!("{question} {file}")).stdout, answer);
    }
    let steps = edge.json(&format!("explain from trust {flow}"));
    assert_eq!((&steps["outcome"], &steps["rule"]), (&"deny".into(), &"no-web".into()));
    assert_eq!(steps, edge.json(&format!("explain from trust {flow} {file}")));

    let wrong = edge.operate("show sesion all");
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.starts_with("error: `sesion` cannot follow `show`; possible here:\n"), "{}", wrong.stderr);
    assert_eq!(edge.operate("show session id 99").code, Some(1));
}
