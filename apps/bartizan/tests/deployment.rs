//! Does the whole house work: an administrator's configuration, committed and pushed, decides about
//! real packets?

#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

use bartizan_lab::azure::{Azure, PRIVATE_ADDRESS, PUBLIC_ADDRESS, PUBLIC_FRONTEND, WEB, flows};

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
    let shown = azure.house.api.op_on(&azure.house.serial, "<show><session><all/></session></show>").unwrap();
    for part in [
        "<from>untrust</from>",
        "<to>trust</to>",
        "<source>172.16.0.10</source>",
        &format!("<xsource>{PUBLIC_ADDRESS}</xsource>"),
    ] {
        assert!(shown.contains(part), "`{part}` is missing in:\n{shown}");
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
