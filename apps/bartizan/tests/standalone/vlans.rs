//! Interfaces as links really are: VLANs, router advertisements, and the tools that people look at them with.

use anyhow::{Context as _, Result, ensure};
use bartizan_lab::iperf3;
use bartizan_lab::process::eventually;
use bartizan_lab::standalone::Standalone;
use bartizan_lab::{Lab, Namespace};

use crate::edge::{BINARY, Edge, LIMIT, configuration};

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

/// The firewall at the other end of the trunk; no kernel is asked for VLANs.
const FAR: &str = r#"<config version="11.2.0"><devices><entry name="localhost.localdomain">
<network>
 <profiles><interface-management-profile><entry name="ping"><ping>yes</ping></entry></interface-management-profile></profiles>
 <interface><ethernet>
  <entry name="ethernet1/1"><layer3><units><entry name="ethernet1/1.9"><tag>200</tag>
   <ip><entry name="203.0.113.2/24"/></ip>
   <ipv6><enabled>yes</enabled><address><entry name="2001:db8:2::2/64"/></address></ipv6>
   <interface-management-profile>ping</interface-management-profile></entry></units></layer3></entry>
  <entry name="ethernet1/2"><layer3><ip><entry name="198.51.100.1/24"/></ip></layer3></entry>
 </ethernet></interface>
 <virtual-router><entry name="default">
  <interface><member>ethernet1/1.9</member><member>ethernet1/2</member></interface>
  <routing-table><ipv6><static-route><entry name="back"><destination>2001:db8:1::/64</destination>
   <nexthop><ipv6-address>2001:db8:2::1</ipv6-address></nexthop></entry></static-route></ipv6></routing-table>
 </entry></virtual-router>
</network>
<vsys><entry name="vsys1">
 <import><network><interface><member>ethernet1/1.9</member><member>ethernet1/2</member></interface></network></import>
 <zone><entry name="all"><network><layer3><member>ethernet1/1.9</member><member>ethernet1/2</member></layer3></network></entry></zone>
</entry></vsys></entry></devices></config>"#;

/// A firewall on a host, by its configuration.
fn firewall(lab: &Lab, host: &Namespace, configuration: &str) -> Standalone {
    let dir = lab.dir().join(host.name());
    Standalone::start(BINARY, &dir, host, configuration, &["--workers", "2"]).unwrap()
}

/// `client 10.0.1.10 - near - VLAN 200 - far - 198.51.100.2 server`
#[test]
fn a_vlan_carries_what_people_do_with_a_link() {
    let lab = Lab::new().unwrap();
    let [client, near, far, server] = ["client", "near", "far", "server"].map(|name| lab.namespace(name).unwrap());
    lab.link((&client, "eth0"), (&near, "eth1")).unwrap();
    lab.link((&near, "eth2"), (&far, "eth1")).unwrap();
    lab.link((&far, "eth2"), (&server, "eth0")).unwrap();
    client.address("eth0", "10.0.1.10/24").unwrap();
    client.address("eth0", "2001:db8:1::10/64").unwrap();
    client.route("default via 10.0.1.1").unwrap();
    client.route("default via 2001:db8:1::1").unwrap();
    server.address("eth0", "198.51.100.2/24").unwrap();
    server.route("default via 198.51.100.1").unwrap();
    let near = firewall(&lab, &near, &tagged());
    let far = firewall(&lab, &far, FAR);
    let shown = near.json("show interface ethernet1/2.7").unwrap();
    assert_eq!(
        (&shown[0]["vlan"], &shown[0]["state"], &shown[0]["device"]),
        (&200.into(), &"up".into(), &"eth2".into())
    );

    let capture = lab.dir().join("tcpdump.log");
    let words = ["tcpdump", "-enl", "-i", "eth1", "-c", "4", "vlan", "200", "and", "icmp"];
    let mut tcpdump = far.host.spawn(&words, &[], &capture).unwrap();
    tcpdump.wait_for("listening on eth1", LIMIT).unwrap();
    for address in ["203.0.113.2", "198.51.100.2", "2001:db8:2::2"] {
        let answer = client.run(&["ping", "-c", "2", "-i", "0.2", "-W", "3", address]);
        assert!(answer.is_ok(), "{address}: {answer:?}");
    }
    assert_eq!(tcpdump.wait(LIMIT).unwrap(), Some(0));
    let seen = std::fs::read_to_string(&capture).unwrap();
    assert!(seen.contains("vlan 200") && seen.contains("203.0.113.1 > 203.0.113.2: ICMP echo request"), "{seen}");

    // Bulk in frames of 64 KiB with their tag; both ends agree on segments that leave 140 bytes free.
    let _iperf3 = server.spawn(&["iperf3", "-s"], &[], &lab.dir().join("iperf3.log")).unwrap();
    for direction in [&["-P", "2"][..], &["-R"], &["-u", "-b", "10M"]] {
        let report = iperf3::carried(&client, "198.51.100.2", direction, 500_000).unwrap();
        if !direction.contains(&"-u") {
            let mss = report["start"]["tcp_mss_default"].as_u64().unwrap();
            assert!((1000..=1360).contains(&mss), "{direction:?}: {mss}");
        }
    }
    assert!(near.counter("mss-lowered").unwrap() > 0);
    let page = lab.dir().join("page");
    std::fs::create_dir_all(&page).unwrap();
    std::fs::write(page.join("index.html"), "beyond the trunk\n").unwrap();
    let words = ["python3", "-m", "http.server", "80", "--bind", "198.51.100.2", "-d", page.to_str().unwrap()];
    let _web = server.spawn(&words, &[], &lab.dir().join("web.log")).unwrap();
    let fetched =
        eventually("the page", LIMIT, || client.run(&["curl", "-sS", "-m", "5", "http://198.51.100.2/index.html"]));
    assert_eq!(fetched.unwrap(), "beyond the trunk\n");
    // Each firewall is a hop, and the server the last one.
    let path = client.run(&["traceroute", "-n", "-q", "1", "-N", "1", "-w", "2", "198.51.100.2"]).unwrap();
    let hops: Vec<_> = path.lines().skip(1).map(|line| line.split_whitespace().nth(1).unwrap_or_default()).collect();
    assert_eq!(hops, ["10.0.1.1", "203.0.113.2", "198.51.100.2"], "{path}");
    for host in [&near, &far] {
        for counter in ["io-send-refused", "io-vlan-tagged"] {
            assert_eq!(host.counter(counter).unwrap(), 0, "{counter}");
        }
    }
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
    let log = edge.firewall.dir.join("dnsmasq-ra.log");
    let leases = format!("--dhcp-leasefile={}", edge.firewall.dir.join("leases-ra").display());
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
