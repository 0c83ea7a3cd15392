//! The AWS reference deployment: one trust interface by DHCP behind a Gateway Load Balancer, its endpoints in the
//! VPCs' route tables, pods behind two headers, and the same with a second arm to the internet.
//!
//! ```text
//!   app1 10.20.0.10 ─┐        ┌─ vpce-apps    ─┐
//!   app2 10.30.0.10 ─┤        ├─ vpce-transit ─┤
//!   node 10.40.0.20 ─┼─ vpc ──┼─ vpce-eks     ─┼─ gwlb 10.0.2.9
//!    ├ pod 10.100.0.10     │  └─ vpce-new     ─┘     │
//!    └ backend 10.100.1.10 │                         │
//!      service 10.110.0.5  ├─ trust 10.0.1.1 ────────┴─ eth1 10.0.1.4 fw
//!                          ├─ public 10.0.3.1 ───────── eth2 10.0.3.4 fw
//!                          └─ igw ── web 198.51.100.10
//! ```
//!
//! `vpc` stands where the cloud's fabric stands: subnet gateways, route tables, transit and internet gateway,
//! DHCP. `gwlb` runs `bartizan_lab::cloud`, which drops what comes back with another bit in its GENEVE header.
//! Needs what the demo needs, and `ethtool`.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test itself does")]

mod fabric;

use bartizan_lab::Namespace;
use bartizan_lab::api::field;
use bartizan_lab::cloud::{Balancer, Provider, run};

use crate::fabric::{Aws, ENDPOINTS, NEW_ENDPOINT, WEB};

/// The process of the load balancer: started by the tests below in the namespace `gwlb`.
#[test]
#[ignore = "a load balancer, which runs until it is ended"]
fn load_balancer() {
    let balancer = Balancer::new(Provider::Aws, "10.0.2.9".parse().unwrap(), "10.0.1.4".parse().unwrap(), [10, 20, 0]);
    run(balancer, &ENDPOINTS).unwrap();
}

#[test]
fn with_one_arm_everything_goes_back_to_the_load_balancer() {
    let aws = Aws::start();
    the_interface_is_the_guide_s(&aws);
    the_target_is_healthy_and_shows_nothing_else(&aws);
    endpoints_are_inspected(&aws);
    pods_are_inspected(&aws);
    an_endpoint_without_an_object_is_named_until_it_has_one(&aws);
    for rules in ["nat rules all", "security rules all"] {
        let hits = aws.ask(&format!("show rule-hit-count vsys vsys-name vsys1 rule-base {rules}"));
        for rule in hits["rules"].as_array().unwrap() {
            let default = rule["name"].as_str().unwrap().ends_with("-default");
            assert!(rule["count"].as_u64().unwrap() > 0 || default, "{rule}");
        }
    }
    aws.end();
}

/// Rows 41, 44 to 48, 59 to 62, 70: `eth1/1` by a variable, in zone and router, with its lease and routes.
fn the_interface_is_the_guide_s(aws: &Aws) {
    let shown = aws.ask("show interface eth1/1");
    assert_eq!(
        (&shown[0]["name"], &shown[0]["zone"], &shown[0]["router"]),
        (&"ethernet1/1".into(), &"trust".into(), &"vr-private".into()),
        "{shown}"
    );
    for (destination, gateway) in [("10.100.0.10", "10.0.1.1"), ("10.110.0.5", "10.0.1.1"), ("203.0.113.9", "10.0.1.1")]
    {
        let words = format!("test routing fib-lookup ip {destination} virtual-router vr-private");
        let found = aws.house.on_firewall(&words.split(' ').collect::<Vec<_>>()).unwrap();
        assert!(found.contains(gateway) && found.contains("ethernet1/1"), "{destination}: {found}");
    }
}

/// Rows 50, 51, 92, 93: the target group's checks are answered, from where they come and to what they ask.
fn the_target_is_healthy_and_shows_nothing_else(aws: &Aws) {
    let status = |host: &Namespace, url: &str| {
        let words = ["curl", "-sSk", "--max-time", "2", "-o", "/dev/null", "-w", "%{http_code}", url];
        host.try_run(&words).unwrap().stdout
    };
    assert_eq!(aws.gwlb.try_run(&["nc", "-z", "-w", "3", "10.0.1.4", "443"]).unwrap().code, Some(0));
    for path in ["", "php/login.php"] {
        let words = ["curl", "-sSk", "--max-time", "5", &format!("https://10.0.1.4/{path}")];
        assert_eq!(aws.gwlb.run(&words).unwrap(), "healthy\n", "{path}");
    }
    assert_eq!(status(&aws.gwlb, "https://10.0.1.4/api/?type=keygen"), "404");
    assert_eq!(status(&aws.gwlb, "http://10.0.1.4/"), "000", "the profile has HTTPS only");
    assert_eq!(status(&aws.app1, "https://10.0.1.4/"), "000", "a workload is not among the permitted addresses");
    let sessions = aws.ask("show session all filter source 10.0.2.9 destination-port 443");
    let probe = &sessions["sessions"][0];
    assert_eq!(probe["rule"], "allow-health-checks", "{sessions}");
    let shown = aws.ask(&format!("show session id {}", probe["id"]));
    assert_eq!((&shown["ingress"], &shown["egress"]), (&"ethernet1/1".into(), &"ethernet1/1".into()), "{shown}");
}

/// Rows 59, 80 to 82, 91, 94: outbound, inbound and east-west, each by its endpoint, none translated.
fn endpoints_are_inspected(aws: &Aws) {
    let say = |host: &Namespace, server: &str| aws.fetch(host, &format!("http://{server}/"));
    assert_eq!(say(&aws.app1, WEB), "internet answers 10.20.0.10", "{}", aws.report());
    aws.downloads(&aws.app1, WEB);
    aws.app1.run(&["ping", "-c", "2", "-i", "0.2", "-W", "2", WEB]).unwrap();
    assert_eq!(say(&aws.internet, "10.20.0.10"), format!("app1 answers {WEB}"));
    assert_eq!(say(&aws.app1, "10.30.0.10"), "app2 answers 10.20.0.10");
    aws.downloads(&aws.app1, "10.30.0.10");
    // What is refused: with a reset that finds back by the tunnel, or silently.
    let tried = |host: &Namespace, address: &str, port: &str| {
        host.try_run(&["nc", "-vz", "-w", "2", address, port]).unwrap().stderr
    };
    assert!(tried(&aws.app1, WEB, "25").contains("refused"));
    assert!(tried(&aws.app2, "10.20.0.10", "80").contains("timed out"));
    for (source, destination, rule) in [
        ("10.20.0.10", WEB, "outbound"),
        (WEB, "10.20.0.10", "inbound-web"),
        ("10.20.0.10", "10.30.0.10", "east-west"),
        ("10.30.0.10", "10.20.0.10", "no-lateral-movement"),
    ] {
        let query = format!("( addr.src in {source} ) and ( addr.dst in {destination} ) and ( port.dst eq 80 )");
        aws.is_logged(&query, rule);
    }
    let objects = aws.ask("show traffic-objects");
    for (name, zone) in [("apps", "trust"), ("transit", "east-west")] {
        let object = objects["objects"].as_array().unwrap().iter().find(|object| object["name"] == name).unwrap();
        assert_eq!((&object["zone_ingress"], &object["zone_egress"]), (&zone.into(), &zone.into()), "{object}");
        assert!(object["sent_packets"].as_u64().unwrap() > 100, "{object}");
    }
}

/// Rows 70, 88, 95: pods reach the internet, services and other pods by the router, and are answered behind both
/// headers.
fn pods_are_inspected(aws: &Aws) {
    for (address, name) in [(WEB, "internet"), ("10.110.0.5", "backend"), ("10.100.1.10", "backend")] {
        let said = aws.fetch(&aws.pod, &format!("http://{address}/"));
        assert_eq!(said, format!("{name} answers 10.0.1.4"), "{}", aws.report());
        aws.downloads(&aws.pod, address);
    }
    let record = aws.is_logged("( addr.src in 10.100.0.10 ) and ( addr.dst in 10.110.0.5 )", "pods-out");
    assert_eq!((field(&record, "from"), field(&record, "to")), ("pods", "trust"), "{record}");
    let sessions = aws.ask("show session all filter source 10.100.0.10 nat-rule pods2trust");
    assert_ne!(sessions["total"], 0, "{sessions}");
}

fn an_endpoint_without_an_object_is_named_until_it_has_one(aws: &Aws) {
    assert!(aws.fetch(&aws.app2, &format!("http://{WEB}/")).contains("timed out"));
    assert!(aws.counter("unmapped-endpoint") > 0);
    let objects = aws.ask("show traffic-objects");
    assert!(objects["unmapped"][0]["tunnel"].as_str().unwrap().contains(NEW_ENDPOINT), "{objects}");
    let shown = aws.house.on_firewall(&["show", "traffic-objects"]).unwrap();
    assert!(shown.contains(NEW_ENDPOINT), "{shown}");
    let record = aws.is_logged("( addr.src in 10.0.2.9 ) and ( port.dst eq 6081 )", "");
    assert!(record.contains("unmapped-endpoint"), "{record}");

    aws.set_network(
        "vsys/entry[@name='vsys1']/traffic-object",
        &format!(
            "<entry name='data'><vpc><vpce-id>{NEW_ENDPOINT}</vpce-id><network>\
             <logical-router>vr-private</logical-router><zone-ingress>trust</zone-ingress>\
             <interface><member>$eth1</member></interface></network></vpc></entry>"
        ),
    );
    aws.set_policy("pre-rulebase/security/rules/entry[@name='outbound']/source", "<member>data-vpc</member>");
    aws.enforce();
    assert_eq!(aws.fetch(&aws.app2, &format!("http://{WEB}/")), "internet answers 10.30.0.10", "{}", aws.report());
}

#[test]
fn with_two_arms_the_inside_is_routed_and_translated() {
    let aws = Aws::start();
    aws.second_arm();
    let default = "test routing fib-lookup ip 203.0.113.9 virtual-router vr-private";
    let found = aws.house.on_firewall(&default.split(' ').collect::<Vec<_>>()).unwrap();
    assert!(found.contains("10.0.3.1") && found.contains("ethernet1/2"), "{found}");
    let routes = aws.ask("show routing route");
    let defaults = routes.as_array().unwrap().iter().filter(|route| route["destination"] == "0.0.0.0/0").count();
    assert_eq!(defaults, 1, "the lease of ethernet1/1 makes none any more: {routes}");

    // Outbound leaves by the second interface and its address, whether out of one header or two; answers go into
    // the tunnel behind the headers of the client.
    for host in [&aws.app1, &aws.pod] {
        assert_eq!(aws.fetch(host, &format!("http://{WEB}/")), "internet answers 10.0.3.4", "{}", aws.report());
        aws.downloads(host, WEB);
    }
    aws.app1.run(&["ping", "-c", "2", "-i", "0.2", "-W", "2", WEB]).unwrap();
    let record = aws.is_logged(
        &format!("( addr.src in 10.20.0.10 ) and ( addr.dst in {WEB} ) and ( port.dst eq 80 )"),
        "outbound-internet",
    );
    assert_eq!((field(&record, "natsrc"), field(&record, "to")), ("10.0.3.4", "untrust"), "{record}");
    assert_eq!(field(&record, "outbound_if"), "ethernet1/2", "{record}");

    // Inbound to the public address: both addresses are translated, and it is no flow of the load balancer's.
    assert_eq!(aws.fetch(&aws.internet, "http://10.0.3.4/"), "app1 answers 10.0.1.4", "{}", aws.report());
    aws.downloads(&aws.internet, "10.0.3.4");
    let sessions = aws.ask("show session all filter nat both rule public-web");
    let session = &sessions["sessions"][0];
    assert_eq!((&session["client"]["source"], &session["client"]["destination"]), (&WEB.into(), &"10.0.3.4".into()));
    assert_eq!(
        (&session["server"]["source"], &session["server"]["destination"]),
        (&"10.20.0.10".into(), &"10.0.1.4".into()),
        "{sessions}"
    );

    // What the router sends out by the tunnel's own interface goes back into the tunnel, untranslated.
    assert_eq!(aws.fetch(&aws.internet, "http://10.20.0.10/"), format!("app1 answers {WEB}"), "{}", aws.report());
    // An endpoint without overlay routing is a wire as before, and services are where they were.
    assert_eq!(aws.fetch(&aws.app1, "http://10.30.0.10/"), "app2 answers 10.20.0.10");
    assert_eq!(aws.fetch(&aws.pod, "http://10.110.0.5/"), "backend answers 10.0.1.4", "{}", aws.report());
    aws.end();
}
