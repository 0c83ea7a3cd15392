//! Does one NAT address carry all the flows it has ports for, each with a port of its own, and what of the next?

use bartizan_lab::process::eventually;

use crate::edge::{Edge, LIMIT, configuration};

/// Ports that an address gives to a protocol: 1024 to 65535.
const PORTS: u64 = 64_512;
const FLOWS: u64 = 66_000;

/// A program of `bartizan_lab::probe`, its words in `PROBE`: started by the test below on the hosts.
#[test]
#[ignore = "a traffic source or sink"]
fn probe() {
    let words: Vec<String> = std::env::var("PROBE").unwrap().split(' ').map(str::to_owned).collect();
    println!("{}", bartizan_lab::probe::run(&words).unwrap());
}

#[test]
fn an_address_carries_all_its_ports_and_the_next_flow_is_dropped_by_name() {
    let beyond = "<entry name=\"beyond\"><destination>10.0.9.0/24</destination><nexthop>\
                  <ip-address>10.0.1.10</ip-address></nexthop></entry><entry name=\"internet\">";
    // However slow the machine, the first flow is still there when the last one comes.
    let patient = "<deviceconfig><setting><session><timeout-udp>600</timeout-udp></session></setting></deviceconfig>\
                   <network>";
    let text = configuration("").replace("<entry name=\"internet\">", beyond).replacen("<network>", patient, 1);
    let mut edge = Edge::start(&text, &["--workers", "2"]);
    let own = std::env::current_exe().unwrap().display().to_string();
    let words = [own.as_str(), "--exact", "ports::probe", "--ignored", "--nocapture"];
    let dir = edge.firewall.dir.clone();
    let run = |host: &bartizan_lab::Namespace, name: &str, probe: &str| {
        host.spawn(&words, &[("PROBE", probe)], &dir.join(name)).unwrap()
    };
    let mut recorder = run(&edge.server, "recorder.log", "record 203.0.113.2:7000");
    recorder.wait_for("listening", LIMIT).unwrap();
    edge.client.run(&["ping", "-c", "1", "-W", "3", "10.0.1.1"]).unwrap();
    let neighbour = edge.client.run(&["ip", "neighbour", "show", "10.0.1.1"]).unwrap();
    let gateway = neighbour.split_whitespace().skip_while(|word| *word != "lladdr").nth(1).unwrap();

    let many = format!("many eth0 {gateway} 10.0.9.1 203.0.113.2:7000 {FLOWS}");
    let mut sender = run(&edge.client, "sender.log", &many);
    assert_eq!(sender.wait(LIMIT * 3).unwrap(), Some(0), "{}", sender.output());
    let report = || format!("{}{}{}", sender.output(), recorder.output(), edge.firewall.output());

    // Each flow has a tuple of its own, and what comes back to it is its flow's.
    let sources = recorder.output().lines().rfind(|line| line.contains(" sources, ")).map(str::to_owned);
    assert_eq!(sources, Some(format!("{PORTS} sources, 0 shared, 0 flows moved")), "{}", report());
    let answered = format!("{PORTS} answered, 0 by somebody else's answer");
    assert!(sender.output().contains(&answered), "{}", report());
    let count = edge.json("show session all filter nat-rule outbound count yes");
    assert_eq!(count["total"], PORTS, "{count}");

    // The others are dropped, counted, shown, logged, and the alarm says what to do.
    assert!(edge.counter("nat-pool-exhausted") >= FLOWS - PORTS);
    let pool = edge.json("show running ippool");
    assert_eq!((&pool[0]["used"], &pool[0]["available"]), (&PORTS.into(), &0.into()), "{pool}");
    assert!(edge.operate("show running ippool").stdout.contains("exhausted"), "{pool}");
    let said = edge.firewall.output();
    for alarm in ["protocol 17: 51610 of 64512 ports are in use", "no port is left for a new session ("] {
        assert!(said.contains(alarm), "{alarm}: {said}");
    }
    assert!(edge.counter("nat-pool-alarms") >= 2);
    let drop =
        |line: &serde_json::Value| line["subtype"] == "drop" && line["session_end_reason"] == "nat-pool-exhausted";
    assert!(edge.traffic().iter().any(drop), "{:?}", edge.traffic().last());

    // Ports of UDP come back at once.
    let cleared = edge.json("clear session all filter nat-rule outbound");
    assert_eq!(cleared["cleared"], PORTS, "{cleared}");
    let again = format!("many eth0 {gateway} 10.0.9.1 203.0.113.2:7000 1");
    let sender = run(&edge.client, "again.log", &again);
    eventually("a flow has a port again", LIMIT, || {
        anyhow::ensure!(sender.output().contains("1 answered"), "{}", sender.output());
        Ok(())
    })
    .unwrap();
    assert_eq!(edge.end(), Some(0));
}
