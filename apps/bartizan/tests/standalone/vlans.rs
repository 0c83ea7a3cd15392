//! Interfaces as links really are: VLANs, router advertisements, and the tools that people look at them with.

use anyhow::{Context as _, Result, ensure};
use bartizan_lab::process::eventually;

use crate::edge::{Edge, LIMIT, configuration};

/// The edge with its outside on VLAN 200 of the second port; TCP segments stay 140 bytes below the MTU.
fn tagged() -> String {
    let text = configuration("");
    let outside = text.find("<entry name=\"ethernet1/2\"><layer3>").unwrap();
    let end = outside + text[outside..].find("</layer3></entry>").unwrap();
    let inner = text[outside..end].replace("<entry name=\"ethernet1/2\"><layer3>", "");
    let adjust = "<adjust-tcp-mss><enable>yes</enable><ipv4-mss-adjustment>140</ipv4-mss-adjustment></adjust-tcp-mss>";
    let unit = format!("<units><entry name=\"ethernet1/2.7\"><tag>200</tag>{adjust}{inner}</entry></units>");
    format!("{}<entry name=\"ethernet1/2\"><layer3>{unit}{}", &text[..outside], &text[end..])
        .replace("<member>ethernet1/2</member>", "<member>ethernet1/2.7</member>")
        .replace("<interface>ethernet1/2</interface>", "<interface>ethernet1/2.7</interface>")
}

#[test]
fn a_vlan_carries_what_people_do_with_a_link() {
    let mut edge = Edge::start(&tagged(), &["--workers", "2"]);
    edge.server
        .sh("ip address flush dev eth0; ip link add link eth0 name eth0.200 type vlan id 200; ip link set eth0.200 up")
        .unwrap();
    edge.server.address("eth0.200", "203.0.113.2/24").unwrap();
    edge.server.address("eth0.200", "2001:db8:2::2/64").unwrap();
    edge.server.route("2001:db8:1::/64 via 2001:db8:2::1").unwrap();
    let shown = edge.json("show interface ethernet1/2.7");
    assert_eq!(
        (&shown[0]["vlan"], &shown[0]["state"], &shown[0]["device"]),
        (&200.into(), &"up".into(), &"eth2".into())
    );

    let capture = edge.dir.join("tcpdump.log");
    let mut tcpdump = edge
        .server
        .spawn(&["tcpdump", "-enl", "-i", "eth0", "-c", "4", "vlan", "200", "and", "icmp"], &[], &capture)
        .unwrap();
    tcpdump.wait_for("listening on eth0", LIMIT).unwrap();
    for address in ["203.0.113.2", "2001:db8:2::2"] {
        let answer = edge.client.run(&["ping", "-c", "2", "-i", "0.2", "-W", "3", address]);
        assert!(answer.is_ok(), "{address}: {answer:?}");
    }
    assert_eq!(tcpdump.wait(LIMIT).unwrap(), Some(0));
    let seen = std::fs::read_to_string(&capture).unwrap();
    assert!(seen.contains("vlan 200") && seen.contains("203.0.113.1 > 203.0.113.2: ICMP echo request"), "{seen}");

    edge.serve_http();
    for url in ["http://203.0.113.2/index.html", "http://[2001:db8:2::2]/index.html"] {
        assert_eq!(edge.fetch(url).unwrap(), "behind the firewall\n");
    }
    // Bulk in frames of 64 KiB with their tag; both ends agree on segments that leave 140 bytes free.
    edge.serve(&["iperf3", "-s"], 5201);
    for direction in [&["-P", "2"][..], &["-R"], &["-u", "-b", "10M"]] {
        let words = [&["iperf3", "-J", "-t", "1", "-c", "203.0.113.2"][..], direction].concat();
        let report: serde_json::Value = serde_json::from_str(&edge.client.run(&words).unwrap()).unwrap();
        let end = &report["end"];
        let sum = if end["sum_received"].is_object() { &end["sum_received"] } else { &end["sum"] };
        assert!(sum["bytes"].as_u64().unwrap() > 500_000, "{direction:?}: {end}");
        if !direction.contains(&"-u") {
            let mss = report["start"]["tcp_mss_default"].as_u64().unwrap();
            assert!((1000..=1360).contains(&mss), "{direction:?}: {mss}");
        }
    }
    assert!(edge.counter("mss-lowered") > 0);
    // The firewall is a hop, and the server the next one.
    let path = edge.client.run(&["traceroute", "-n", "-q", "1", "-w", "2", "203.0.113.2"]).unwrap();
    let hops: Vec<_> = path.lines().skip(1).map(|line| line.split_whitespace().nth(1).unwrap_or_default()).collect();
    assert_eq!(hops, ["10.0.1.1", "203.0.113.2"], "{path}");

    // A frame of another VLAN is nobody's.
    edge.server
        .sh("ip link add link eth0 name eth0.201 type vlan id 201; ip link set eth0.201 up; \
             ip address add 203.0.113.9/24 dev eth0.201; ping -c 1 -W 1 -I eth0.201 203.0.113.1 || true")
        .unwrap();
    assert!(edge.counter("unknown-vlan") > 0);
    assert_eq!((edge.counter("io-send-refused"), edge.counter("io-vlan-tagged")), (0, 0));
    assert_eq!(edge.end(), Some(0));
}

/// The edge with the outside's IPv6 address by router advertisement.
fn advertised() -> String {
    let text = configuration("");
    let own = "<address><entry name=\"2001:db8:2::1/64\"/></address>";
    assert!(text.contains(own));
    text.replace(own, "<dhcp-client/>")
}

#[test]
fn an_advertised_address_and_route_are_used() {
    let edge = Edge::start(&advertised(), &["--workers", "2"]);
    let log = edge.dir.join("dnsmasq-ra.log");
    let leases = format!("--dhcp-leasefile={}", edge.dir.join("leases-ra").display());
    let words = [
        &["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--port=0"][..],
        &["--interface=eth0", "--bind-interfaces", "--log-facility=-", "--pid-file=", &leases],
        &["--enable-ra", "--dhcp-range=2001:db8:2::,ra-only,64,1h", "--ra-param=eth0,10,1800"],
    ]
    .concat();
    let _dnsmasq = edge.server.spawn(&words, &[], &log).unwrap();
    edge.server.sh("ip address add 3fff::7/128 dev lo").unwrap();
    let own = eventually("an address by advertisement", LIMIT, || -> Result<String> {
        let shown = edge.json("show interface ethernet1/2");
        let addresses = shown[0]["addresses"].as_array().context("no addresses")?;
        let own = addresses.iter().filter_map(|one| one.as_str()).find(|one| one.starts_with("2001:db8:2:"));
        own.map(str::to_owned)
            .with_context(|| format!("{shown}: {}", std::fs::read_to_string(&log).unwrap_or_default()))
    })
    .unwrap();
    let (address, length) = own.split_once('/').unwrap();
    assert_eq!(length, "64");
    edge.server.route(&format!("2001:db8:1::/64 via {address}")).unwrap();
    let routes = edge.json("show routing route");
    let route = routes.as_array().unwrap().iter().find(|route| route["destination"] == "::/0").unwrap();
    assert_eq!(route["flags"], "A S L");
    assert!(route["next_hop"].as_str().unwrap().starts_with("fe80:"), "{route}");
    // A host beyond the router, by the default route.
    let reached = eventually("the host beyond", LIMIT, || -> Result<()> {
        let ping = edge.client.try_run(&["ping", "-c", "1", "-W", "1", "3fff::7"])?;
        ensure!(ping.code == Some(0), "{}", ping.stdout);
        Ok(())
    });
    assert!(reached.is_ok(), "{reached:?}");
}
