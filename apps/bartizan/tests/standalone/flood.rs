//! Does the web stay reachable by a zone that is flooded with SYNs from made-up sources?

use bartizan_lab::process::eventually;

use crate::edge::{Edge, configuration};

/// Sends SYNs to the web server, each from another address and port, until its time is over.
const FLOOD: &str = "
import random, socket, struct, sys, time

def checksum(data):
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff

raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
server = socket.inet_aton('203.0.113.2')
end = time.monotonic() + float(sys.argv[1])
sent = 0
print('flooding', flush=True)
while time.monotonic() < end:
    source = struct.pack('!BBBB', 10, 0, 1, random.randint(20, 250))
    tcp = struct.pack('!HHIIBBHHH', random.randint(1024, 65535), 80, random.getrandbits(32), 0, 5 << 4, 2, 64000, 0, 0)
    pseudo = source + server + struct.pack('!BBH', 0, 6, len(tcp))
    tcp = tcp[:16] + struct.pack('!H', checksum(pseudo + tcp)) + tcp[18:]
    ip = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0) + source + server
    raw.sendto(ip + tcp, ('203.0.113.2', 0))
    sent += 1
    if sent % 50 == 0:
        time.sleep(0.005)
print('sent', sent, flush=True)
";

/// SYN cookies for `trust` from a few new connections a second on.
fn protected() -> String {
    configuration("")
        .replacen(
            "</interface-management-profile></profiles>",
            "</interface-management-profile><zone-protection-profile><entry name=\"edge\"><flood><tcp-syn>\
             <enable>yes</enable><syn-cookies><alarm-rate>100</alarm-rate><activate-rate>5</activate-rate>\
             <maximal-rate>1000000</maximal-rate></syn-cookies></tcp-syn></flood></entry>\
             </zone-protection-profile></profiles>",
            1,
        )
        .replacen(
            "<member>ethernet1/1</member></layer3></network></entry>",
            "<member>ethernet1/1</member></layer3><zone-protection-profile>edge</zone-protection-profile>\
             </network></entry>",
            1,
        )
}

#[test]
fn a_syn_flood_from_made_up_sources_keeps_nobody_out() {
    let mut edge = Edge::start(&protected(), &["--workers", "1", "--sessions-max", "2000"]);
    edge.serve_http();
    assert_eq!(edge.fetch("http://203.0.113.2/index.html").unwrap(), "behind the firewall\n");
    let script = edge.firewall.dir.join("flood.py");
    std::fs::write(&script, FLOOD).unwrap();
    let words = ["python3", "-u", script.to_str().unwrap(), "30"];
    let mut flood = edge.client.spawn(&words, &[], &edge.firewall.dir.join("flood.log")).unwrap();
    flood.wait_for("flooding", crate::edge::LIMIT).unwrap();
    edge.firewall.wait_for("flood of `tcp-syn` by zone `trust`", crate::edge::LIMIT).unwrap();
    for url in ["http://203.0.113.2/index.html", "http://[2001:db8:2::2]/index.html"] {
        for _ in 0..4 {
            assert_eq!(edge.fetch(url).unwrap(), "behind the firewall\n", "{}", edge.firewall.output());
        }
    }
    let active = edge.json("show session info")["active"].as_u64().unwrap();
    assert!(flood.is_running(), "the flood was over too soon");
    let zones = edge.json("show zone-protection zone trust");
    assert_eq!(zones[0]["floods"][0]["action"], "syn-cookies", "{zones}");
    assert!(zones[0]["floods"][0]["current"].as_u64().unwrap() > 100, "{zones}");
    eventually("a thousand cookies", crate::edge::LIMIT, || {
        let sent = edge.counter("syn-cookies-sent");
        anyhow::ensure!(sent > 1000, "{sent} cookies sent");
        Ok(())
    })
    .unwrap();
    drop(flood);
    let (sent, accepted) = (edge.counter("syn-cookies-sent"), edge.counter("syn-cookies-accepted"));
    assert!((8..=9).contains(&accepted), "{sent} cookies sent, {accepted} came back");
    assert!(active < 100, "{active} sessions while {sent} SYNs were answered");
    assert!(edge.operate("show zone-protection zone trust").stdout.contains("Zone trust, vsys vsys1, profile edge"));
    assert_eq!(edge.operate("show dos-block-table all").stdout, "nobody is blocked\n");
    assert_eq!(edge.end(), Some(0));
}
