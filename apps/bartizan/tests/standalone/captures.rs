//! Packet capture with real packets: what is in the files is what was on the wire, and what became of it.

use std::path::PathBuf;

use bartizan_lab::process::eventually;

use crate::edge::{Edge, LIMIT, configuration, rule};

const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

fn capture(edge: &Edge, words: &str) -> serde_json::Value {
    edge.json(&format!("debug dataplane packet-diag {words}"))
}

/// All four stages, into files of their names.
fn stages(edge: &Edge, limits: &str) {
    for stage in ["receive", "firewall", "transmit", "drop"] {
        capture(edge, &format!("set capture stage {stage} file {stage}.pcapng {limits}"));
    }
}

fn file(edge: &Edge, stage: &str) -> PathBuf {
    edge.firewall.dir.join(format!("state/captures/{stage}.pcapng"))
}

/// The packets of a file, as tcpdump reads them.
fn packets(edge: &Edge, stage: &str, options: &str) -> Vec<String> {
    let read = edge.firewall.host.sh(&format!("tcpdump -nn {options} -r {} 2>/dev/null", file(edge, stage).display()));
    read.unwrap().lines().map(str::to_owned).collect()
}

/// What is written beside the packets of a file.
fn says(edge: &Edge, stage: &str, words: &str) -> bool {
    let bytes = std::fs::read(file(edge, stage)).unwrap();
    assert!(bytes.starts_with(&PCAPNG));
    bytes.windows(words.len()).any(|part| part == words.as_bytes())
}

#[test]
fn a_filter_takes_both_directions_of_a_translated_flow_at_every_stage_and_nothing_else() {
    let mut edge = Edge::start(&configuration(&rule("no-telnet", "tcp-23", "deny")), &["--workers", "2"]);
    edge.serve_http();
    for filter in
        ["source 10.0.1.10 destination-port 80 protocol tcp", "destination-port 23 ingress-interface ethernet1/1"]
    {
        capture(&edge, &format!("set filter match {filter}"));
    }
    capture(&edge, "set filter on");
    stages(&edge, "");
    assert_eq!(capture(&edge, "set capture on")["capture"], "on");
    assert_eq!(edge.fetch("http://203.0.113.2/index.html").unwrap(), "behind the firewall\n");
    assert!(edge.client.try_run(&["nc", "-z", "-w", "1", "203.0.113.2", "23"]).unwrap().code != Some(0));
    edge.client.run(&["ping", "-c", "2", "-i", "0.2", "203.0.113.2"]).unwrap();
    let shown = capture(&edge, "set capture off");
    assert_eq!((&shown["capture"], &shown["lost"]), (&"off".into(), &0.into()), "{shown}");

    let received = packets(&edge, "receive", "");
    let transmitted = packets(&edge, "transmit", "");
    let seen = |packets: &[String], words: &str| packets.iter().filter(|line| line.contains(words)).count();
    assert_eq!(seen(&received, "203.0.113.2.23"), seen(&packets(&edge, "drop", ""), "203.0.113.2.23"));
    assert!(
        seen(&received, "> 203.0.113.2.80") >= 4 && seen(&received, "203.0.113.2.80 > 203.0.113.1.") >= 3,
        "{received:?}"
    );
    assert!(seen(&transmitted, "203.0.113.1.") >= 4, "as they leave: {transmitted:?}");
    assert!(seen(&transmitted, "203.0.113.2.80 > 10.0.1.10.") >= 3, "{transmitted:?}");
    assert_eq!(seen(&received, "ICMP") + seen(&transmitted, "ICMP"), 0, "no filter is for pings");
    assert_eq!(seen(&transmitted, "10.0.1.10.") + seen(&transmitted, "203.0.113.1."), transmitted.len());
    let through = packets(&edge, "firewall", "");
    assert_eq!(through.len(), transmitted.len(), "what is of a session left");
    assert!(says(&edge, "transmit", ", rule allow-out, NAT rule outbound"));
    assert!(says(&edge, "drop", "drop: policy-deny ("));
    assert!(says(&edge, "drop", ", rule no-telnet"));
    for (row, stage) in shown["stages"].as_array().unwrap().iter().zip(["receive", "firewall", "transmit", "drop"]) {
        let size = std::fs::metadata(file(&edge, stage)).unwrap().len();
        assert_eq!((&row["stage"], row["bytes"].as_u64()), (&stage.into(), Some(size)), "{row}");
        assert_eq!(row["packets"].as_u64(), Some(packets(&edge, stage, "").len() as u64), "{row}");
    }
    let refused = edge.operate("debug dataplane packet-diag set filter match");
    assert!(refused.stderr.contains("give at least one condition"), "{}", refused.stderr);
}

#[test]
fn frames_that_a_card_was_to_cut_are_as_on_the_wire_and_bounded_by_the_limits() {
    let mut edge = Edge::start(&configuration(""), &["--workers", "1"]);
    edge.serve_http();
    let page = edge.firewall.dir.join("web/large");
    std::fs::write(&page, vec![7; 4 << 20]).unwrap();
    let fetch =
        || edge.client.run(&["curl", "-sS", "-m", "10", "-o", "/dev/null", "http://203.0.113.2/large"]).unwrap();
    stages(&edge, "packet-count 500");
    capture(&edge, "set capture snaplen 128");
    capture(&edge, "set capture on");
    fetch();
    let full = |stage: usize| capture(&edge, "show setting")["stages"][stage]["packets"].clone();
    eventually("all packets that may", LIMIT, || {
        anyhow::ensure!([0, 1, 2].map(full) == [500, 500, 500], "not yet");
        Ok(())
    })
    .unwrap();
    let refused = edge.operate("debug dataplane packet-diag set capture snaplen 0");
    assert!(refused.stderr.contains("a capture is on: turn it off first"), "{}", refused.stderr);
    let refused = edge.operate("debug dataplane packet-diag clear file receive.pcapng");
    assert!(refused.stderr.contains("`receive.pcapng` is being written"), "{}", refused.stderr);
    capture(&edge, "set capture off");
    for stage in ["receive", "transmit"] {
        let lines = packets(&edge, stage, "-e");
        assert_eq!(lines.len(), 500);
        let lengths =
            lines.iter().filter_map(|line| line.split("length ").nth(1)?.split(':').next()?.parse::<u32>().ok());
        let lengths: Vec<u32> = lengths.collect();
        assert!(lengths.len() == 500 && lengths.iter().all(|length| *length <= 1514), "{lengths:?}");
        assert!(lengths.contains(&1514), "{stage}: {lengths:?}");
    }

    // Whole, and with every checksum right; the last stage ends the capture.
    capture(&edge, "clear all");
    capture(&edge, "set capture stage transmit file transmit.pcapng packet-count 500");
    capture(&edge, "set capture on");
    fetch();
    let ended = eventually("the capture ends", LIMIT, || {
        let shown = capture(&edge, "show setting");
        anyhow::ensure!(shown["capture"] == "off", "{shown}");
        Ok(shown)
    });
    let ended = ended.unwrap();
    assert_eq!((&ended["ended_because"], &ended["snaplen"]), (&"every stage is full".into(), &0.into()), "{ended}");
    let verbose = packets(&edge, "transmit", "-v").join("\n");
    assert!(verbose.matches("(correct)").count() >= 490, "{verbose}");
    assert!(!verbose.contains("incorrect") && !verbose.contains("bad cksum"), "{verbose}");

    let files = capture(&edge, "show setting")["files"].as_array().unwrap().len();
    assert_eq!(files, 4);
    let deleted = capture(&edge, "clear file drop.pcapng");
    assert_eq!(deleted["files"].as_array().unwrap().len(), 3);
    let unknown = edge.operate("debug dataplane packet-diag clear file drop.pcapng");
    assert!(
        unknown.stderr.contains("there is no capture file `drop.pcapng`; known: `firewall.pcapng`"),
        "{}",
        unknown.stderr
    );
    let escape = edge.operate("debug dataplane packet-diag set capture stage drop file ../../x");
    assert!(escape.stderr.contains("`../../x` is no name of a capture file"), "{}", escape.stderr);
}
