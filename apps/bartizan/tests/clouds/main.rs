//! The firewall behind the clouds' load balancers and the CNI plugin's tunnels: real packets, the real binary.
//!
//! ```text
//!   consumer 10.0.0.10 ── cloud ── service 198.51.100.10
//!                           │ 10.0.1.9
//!                  eth1 10.0.1.4 │
//!                          fw ── eth2 203.0.113.1 ── internet 203.0.113.2
//! ```
//!
//! `cloud` runs `bartizan_lab::cloud`, which drops what a real load balancer would drop. Needs what the
//! stand-alone tests need, and `ethtool`.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test itself does")]

mod setting;

use bartizan_lab::cloud::{Balancer, PEERS, Provider, run};

use crate::setting::{Objects, Setting};

/// The process of the load balancer: started by the tests below in the namespace `cloud`.
#[test]
#[ignore = "a load balancer, which runs until it is ended"]
fn load_balancer() {
    let provider = match std::env::var("PROVIDER").unwrap().as_str() {
        "aws" => Provider::Aws,
        "google" => Provider::Google,
        other => panic!("provider `{other}`"),
    };
    let address = |text: &str| text.parse().unwrap();
    run(Balancer::new(provider, address("10.0.1.9"), address("10.0.1.4"), [10, 0, 0]), &PEERS).unwrap();
}

/// The same for Azure, whose tests name it.
#[test]
#[ignore = "a load balancer, which runs until it is ended"]
fn azure_load_balancer() {
    let address = |text: &str| text.parse().unwrap();
    run(Balancer::new(Provider::Azure, address("10.0.1.9"), address("10.0.1.4"), [10, 0, 0]), &PEERS).unwrap();
}

#[test]
fn aws_with_one_arm_gets_everything_back_as_it_went() {
    let mut setting = Setting::start("aws", &Objects::aws(false));
    setting.fetches_from_the_service();
    setting.refuses_what_no_rule_allows();
    // TCP, HTTP and HTTPS health checks of the target group, to the interface's address.
    setting.answers_probes("10.0.1.9", "10.0.1.4");
    let objects = setting.json("show traffic-objects");
    let object = &objects["objects"][0];
    assert_eq!((&object["name"], &object["zone_egress"]), (&"apps".into(), &"untrust".into()));
    assert!(object["sent_packets"].as_u64().unwrap() > 100, "{objects}");
    assert_eq!(objects["unmapped"].as_array().unwrap().len(), 0, "{objects}");
    setting.end();
}

#[test]
fn aws_with_two_arms_routes_what_was_inside() {
    let mut setting = Setting::start("aws", &Objects::aws(true));
    // Outbound: by eth2 with its address, and the answers into the tunnel; what the server's card was to cut
    // is cut on the way.
    setting.fetches_from_the_internet();
    // Inbound: the router sends it to the tunnel's interface, so it goes back into the tunnel.
    setting.service_fetches_from_the_consumer();
    setting.end();
}

#[test]
fn google_cloud_intercept_gets_everything_back_as_it_went() {
    let mut setting = Setting::start("google", &Objects::google());
    setting.fetches_from_the_service();
    // Health checks of the internal load balancer, to its address on the loopback.
    for prober in ["35.191.0.1", "130.211.0.1"] {
        setting.answers_probes(prober, "10.0.1.100");
    }
    setting.end();
}

#[test]
fn azure_gateway_load_balancer_gets_everything_back_by_the_other_tunnel() {
    let mut setting = Setting::start("azure", &Objects::azure());
    setting.fetches_from_the_service();
    setting.service_fetches_from_the_consumer();
    setting.answers_probes("168.63.129.16", "10.0.1.4");
    setting.end();
}

#[test]
fn two_clusters_with_the_same_addresses_reach_the_internet() {
    let mut setting = Setting::start("none", &Objects::clusters());
    let pods = [setting.pod("red", "10.0.1.21", 1), setting.pod("blue", "10.0.1.22", 2)];
    for pod in &pods {
        setting.downloads(pod, "http://203.0.113.2/large");
    }
    let stranger = setting.pod("green", "10.0.1.23", 77);
    assert!(setting.fetch(&stranger, "http://203.0.113.2/").is_err());
    let objects = setting.json("show traffic-objects");
    assert_eq!(objects["unmapped"][0]["tunnel"], "vni 77 on port 6080", "{objects}");
    assert!(setting.counter("unmapped-vni") > 0);
    setting.end();
}

#[test]
fn pods_behind_a_gateway_load_balancer_have_two_headers() {
    let mut setting = Setting::start("aws", &Objects::aws_and_clusters());
    let pod = setting.consumer_is_a_pod();
    setting.downloads(&pod, "http://203.0.113.2/large");
    setting.end();
}
