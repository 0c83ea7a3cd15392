//! Does the whole house work: an administrator's configuration, committed and pushed, decides about
//! real packets?

#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::time::Duration;

use bartizan_lab::api::field;
use bartizan_lab::azure::configuration::{DEVICE_GROUP, device_group, template_device};
use bartizan_lab::azure::{
    Azure, PRIVATE_ADDRESS, PRIVATE_FRONTEND, PROBE, PUBLIC_ADDRESS, PUBLIC_FRONTEND, WEB, flows,
};
use bartizan_lab::process::eventually;

fn azure() -> Azure {
    let azure = Azure::start(Path::new(env!("CARGO_BIN_EXE_bartizan"))).unwrap();
    azure.configure().unwrap_or_else(|error| panic!("{error:#}\nfirewall: {}", azure.house.firewall.output()));
    azure
}

#[test]
fn every_flow_of_the_azure_deployment_goes_as_the_policy_says() {
    let azure = azure();
    let table = flows::run(&azure).unwrap();
    assert!(table.held(), "{table}\nfirewall: {}", azure.house.firewall.output());
}

#[test]
fn a_session_shows_both_directions_with_zones_nat_and_rule() {
    let azure = azure();
    let body = flows::http(&azure.hosts.internet, &format!("http://{PUBLIC_FRONTEND}/")).unwrap();
    assert!(body.contains(&format!("app1 answers {PRIVATE_ADDRESS}")), "{body}");
    let body = flows::http(&azure.hosts.pod, &format!("http://{WEB}/")).unwrap();
    assert!(body.contains(&format!("internet answers {PUBLIC_ADDRESS}")), "{body}");

    let shown = azure.house.on_firewall(&["show", "session", "all"]).unwrap();
    for part in [
        "inbound-web",
        "outbound-web",
        "outbound-internet",
        "trust",
        "untrust",
        PRIVATE_ADDRESS,
        PUBLIC_ADDRESS,
        PUBLIC_FRONTEND,
        "172.16.0.10",
    ] {
        assert!(shown.contains(part), "`{part}` is missing in:\n{shown}");
    }
    // The same through the manager, as XML, with `target`.
    let shown = azure.house.api.at(&azure.house.serial).op("<show><session><all/></session></show>").unwrap();
    for part in [
        "<from>untrust</from>",
        "<to>trust</to>",
        "<source>172.16.0.10</source>",
        &format!("<xsource>{PUBLIC_ADDRESS}</xsource>"),
    ] {
        assert!(shown.contains(part), "`{part}` is missing in:\n{shown}");
    }
}

/// The two tables of the deployment guide: router, destination, next hop, interface.
const GUIDE: [[&str; 4]; 8] = [
    ["vr-private", "0.0.0.0/0", "router vr-public", ""],
    ["vr-private", "10.1.0.0/24", "10.0.1.1", "ethernet1/1"],
    ["vr-private", "168.63.129.16/32", "10.0.1.1", "ethernet1/1"],
    ["vr-private", "172.16.0.0/24", "10.0.1.1", "ethernet1/1"],
    ["vr-public", "0.0.0.0/0", "10.0.2.1", "ethernet1/2"],
    ["vr-public", "10.1.0.0/24", "router vr-private", ""],
    ["vr-public", "168.63.129.16/32", "10.0.2.1", "ethernet1/2"],
    ["vr-public", "172.16.0.0/24", "router vr-private", ""],
];

#[test]
fn both_routers_have_the_routes_of_the_guide_and_answer_their_own_probes() {
    let azure = azure();
    let routes = azure.house.ask("show routing route").unwrap();
    let field = |route: &serde_json::Value, name: &str| route[name].as_str().unwrap().to_owned();
    let mut rows: Vec<[String; 4]> = routes
        .as_array()
        .unwrap()
        .iter()
        .filter(|route| route["flags"] == "A S")
        .map(|route| ["router", "destination", "next_hop", "interface"].map(|name| field(route, name)))
        .collect();
    rows.sort();
    assert_eq!(rows, GUIDE, "{routes}");

    for (host, frontend, zone, interface) in [
        (&azure.hosts.vnet, PRIVATE_FRONTEND, "trust", "ethernet1/1"),
        (&azure.hosts.edge, PUBLIC_FRONTEND, "untrust", "ethernet1/2"),
    ] {
        host.run(&["curl", "-sSk", "--interface", PROBE, "--max-time", "5", &format!("https://{frontend}/")]).unwrap();
        let sessions = azure.house.ask(&format!("show session all filter destination {frontend}")).unwrap();
        let probe = &sessions["sessions"][0];
        for (field, expected) in [("from", zone), ("to", zone), ("ingress", interface), ("rule", "allow-health-checks")]
        {
            assert_eq!(probe[field], expected, "{field}: {sessions}");
        }
    }
    let hits = azure
        .house
        .ask("show rule-hit-count vsys vsys-name vsys1 rule-base security rules list allow-health-checks")
        .unwrap();
    assert_eq!(hits["rules"][0]["count"], 2, "{hits}");
}

#[test]
fn a_renamed_object_is_renamed_in_every_rule_and_traffic_goes_on() {
    let azure = azure();
    let api = &azure.house.api;
    let xpath = format!("{}/address/entry[@name='app-vnet']", device_group());
    api.call(&[("type", "config"), ("action", "rename"), ("xpath", &xpath), ("newname", "workload-net")]).unwrap();
    api.commit().unwrap();
    api.push(DEVICE_GROUP).unwrap();
    let running = azure.house.on_firewall(&["show", "config", "running"]).unwrap();
    assert!(!running.contains("<member>app-vnet</member>"), "{running}");
    assert!(running.matches("<member>workload-net</member>").count() >= 3, "NAT, group and rules: {running}");
    let body = flows::http(&azure.hosts.app1, &format!("http://{WEB}/")).unwrap();
    assert!(body.contains(&format!("internet answers {PUBLIC_ADDRESS}")), "{body}");
}

#[test]
fn a_flood_and_a_scan_are_in_the_manager_s_threat_log() {
    let azure = azure();
    let (api, device) = (&azure.house.api, template_device());
    api.set(
        &format!("{device}/network/profiles/zone-protection-profile"),
        "<entry name=\"strict\"><flood><udp><enable>yes</enable><red><alarm-rate>20</alarm-rate>\
         <activate-rate>100000</activate-rate><maximal-rate>200000</maximal-rate></red></udp></flood>\
         <scan><entry name=\"8003\"><interval>10</interval><threshold>30</threshold><action><alert/></action></entry>\
         </scan></entry>",
    )
    .unwrap();
    api.set(
        &format!("{device}/vsys/entry[@name='vsys1']/zone/entry[@name='trust']/network"),
        "<zone-protection-profile>strict</zone-protection-profile>",
    )
    .unwrap();
    api.commit().unwrap();
    api.push(DEVICE_GROUP).unwrap();
    let send = "import socket, time\nfor port in range(2000, 2400):\n    socket.socket(socket.AF_INET, \
                socket.SOCK_DGRAM).sendto(b'x', ('198.51.100.53', port)); time.sleep(0.002)";
    azure.hosts.app1.run(&["python3", "-c", send]).unwrap();
    for (query, threat, source) in [
        ("( subtype eq flood ) and ( zone.src eq trust )", "UDP Flood", ""),
        ("( subtype eq scan ) and ( addr.src in 10.1.0.10 )", "SCAN: UDP Port Scan", "10.1.0.10"),
    ] {
        let record = eventually("the alarm", Duration::from_secs(20), || {
            let records = api.log("threat", query)?;
            records.into_iter().next().ok_or_else(|| anyhow::anyhow!("nothing is logged for {query}"))
        })
        .unwrap_or_else(|error| panic!("{error:#}\n{}", azure.house.firewall.output()));
        assert_eq!((field(&record, "threatid"), field(&record, "src")), (threat, source), "{record}");
        assert_eq!(field(&record, "action"), "alert", "{record}");
        // The firewall's own log says the same.
        assert!(azure.house.firewall.output().contains(field(&record, "misc")), "{record}");
    }
}

#[test]
fn the_firewall_explains_its_tables() {
    let azure = azure();
    let routes = azure.house.on_firewall(&["show", "routing", "route"]).unwrap();
    for part in ["vr-private", "vr-public", "168.63.129.16/32", "172.16.0.0/24", "0.0.0.0/0"] {
        assert!(routes.contains(part), "`{part}` is missing in:\n{routes}");
    }
    let rule = azure
        .house
        .on_firewall(&[
            "test",
            "security-policy-match",
            "from",
            "trust",
            "to",
            "untrust",
            "source",
            "10.1.0.10",
            "destination",
            WEB,
            "protocol",
            "6",
            "destination-port",
            "80",
        ])
        .unwrap();
    assert!(rule.contains("outbound-web"), "{rule}");
    let rule = azure
        .house
        .on_firewall(&[
            "test",
            "nat-policy-match",
            "from",
            "untrust",
            "to",
            "untrust",
            "source",
            WEB,
            "destination",
            PUBLIC_FRONTEND,
            "protocol",
            "6",
            "destination-port",
            "80",
        ])
        .unwrap();
    assert!(rule.contains("inbound-web"), "{rule}");
    let counters = azure.house.on_firewall(&["show", "counter", "global"]).unwrap();
    assert!(counters.contains("session"), "{counters}");
}
