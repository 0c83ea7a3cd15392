//! Is a wrong configuration refused whole, with every mistake named at its place?

use std::path::Path;

use bartizan_lab::api::between;
use bartizan_lab::azure::Azure;
use bartizan_lab::azure::configuration::{device_group, security_rule, template_device};

#[test]
fn five_mistakes_are_five_diagnostics_and_nothing_changes() {
    let azure = Azure::start(Path::new(env!("CARGO_BIN_EXE_bartizan"))).unwrap();
    azure.configure().unwrap();
    let before = azure.house.api.op("<show><config><running/></config></show>").unwrap();

    let (group, device) = (device_group(), template_device());
    let rules = format!("{group}/pre-rulebase/security/rules");
    azure.house.api.set(&rules, &security_rule("one", "trusst", "untrust", "any", "any", "any", "allow")).unwrap();
    azure.house.api.set(&rules, &security_rule("two", "trust", "untrust", "app-vnett", "any", "any", "allow")).unwrap();
    azure
        .house
        .api
        .set(&rules, &security_rule("three", "trust", "untrust", "any", "any", "service-htttp", "allow"))
        .unwrap();
    azure
        .house.api
        .set(
            &format!("{device}/network/logical-router/entry[@name='vr-private']/vrf/entry[@name='default']/routing-table/ip/static-route"),
            "<entry name=\"four\"><destination>10.50.0.0/16</destination><nexthop><next-lr>vr-publik</next-lr></nexthop></entry>",
        )
        .unwrap();
    azure
        .house.api
        .set(
            &format!("{device}/network/interface/loopback/units"),
            "<entry name=\"loopback.2\"><interface-management-profile>allow-helth-checks</interface-management-profile></entry>",
        )
        .unwrap();

    let refused = format!("{:#}", azure.house.api.commit().unwrap_err());
    let details = between(&refused, "<details>", "</details>").unwrap();
    let errors: Vec<String> = details
        .split("<line>")
        .filter(|line| line.contains("--&gt;"))
        .map(|line| line.replace("&apos;", "'").replace("&#39;", "'"))
        .collect();
    assert_eq!(errors.len(), 5, "{refused}");
    for (mistake, suggestion, place) in [
        ("trusst", "`trust`", "entry[@name='one']/from"),
        ("app-vnett", "`app-vnet`", "entry[@name='two']/source"),
        ("service-htttp", "`service-http`", "entry[@name='three']/service"),
        ("vr-publik", "`vr-public`", "entry[@name='four']/nexthop"),
        ("allow-helth-checks", "`allow-health-checks`", "entry[@name='loopback.2']/interface-management-profile"),
    ] {
        assert!(
            errors.iter().any(|line| line.contains(mistake) && line.contains(suggestion) && line.contains(place)),
            "no diagnostic names `{mistake}`, {suggestion} and {place}:\n{refused}"
        );
    }
    let after = azure.house.api.op("<show><config><running/></config></show>").unwrap();
    assert_eq!(before, after, "the running configuration changed");
}
