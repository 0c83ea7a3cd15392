//! A label of a pod, from a scripted API server by controller and manager to the group that a firewall enforces; and what
//! happens when one of them goes away in between.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod enforced;
mod house;
mod pods;
mod policies;

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use bartizan_lab::kubernetes::{ApiServer, pod, slice};
use house::{House, is_inside};

#[test]
fn a_label_reaches_the_enforced_group_whatever_goes_away_in_between() {
    if !is_inside("a_label_reaches_the_enforced_group_whatever_goes_away_in_between") {
        return;
    }
    let mut api = ApiServer::start(&["v1"]);
    let tier = |api: &ApiServer, tier: &str| api.put("pods", pod("shop", "web-1", "10.0.0.1", &[("tier", tier)]));
    tier(&api, "web");
    api.put("endpointslices", slice("v1", "shop", "web", &[("10.0.0.1", "web-1"), ("10.0.0.2", "web-2")]));
    let mut house = House::start();
    let controller = house.start_controller(&api);
    house.until_decided("10.0.0.1", "web-pods");
    let shown = house.ask("show object registered-ip all --xml");
    let entry = "<entry ip=\"10.0.0.1\" from_agent=\"1\" persistent=\"1\"><tag><member>k8s.cl_lab.ns_shop</member>\
        <member>k8s.cl_lab.ns_shop.rs_web</member><member>k8s.cl_lab.ns_shop.svc_web</member><member>k8s.cl_lab.ns_shop.tier.web</member>";
    assert!(shown.contains(entry), "{shown}");
    assert!(!house.rule_of("10.0.0.2").contains("web-pods"), "no pod has that address");
    tier(&api, "db");
    house.until_decided("10.0.0.1", "db-pods");
    let group = house.ask("show object dynamic-address-group name db-pods --xml");
    assert!(group.contains("<entry name=\"10.0.0.1\" type=\"registered-ip\"/>"), "{group}");
    let status = house.op("<show><plugins><kubernetes><status/></kubernetes></plugins></show>");
    assert!(
        status.contains(
            "<entry name=\"lab\"><cluster-id>7</cluster-id><state>connected</state><controller>one</controller>"
        ),
        "{status}"
    );
    assert!(status.contains("<device-group><member>cloud</member></device-group><warnings/>"), "{status}");

    // The manager dies. The firewall keeps what it knows, also over its own restart.
    house.until("the firewall has it on disk", || {
        fs::read_to_string(house.path("state/registered-ip-manager.json")).unwrap_or_default().contains("tier.db")
    });
    house.manager = None;
    tier(&api, "web");
    api.put("pods", pod("shop", "web-2", "10.0.0.2", &[("tier", "db")]));
    house.firewall = None;
    house.start_firewall();
    house.until_decided("10.0.0.1", "db-pods");
    house.start_manager();
    house.until_decided("10.0.0.1", "web-pods");
    house.until_decided("10.0.0.2", "db-pods");

    // The API server dies, and forgets what was before.
    api.go_away();
    api.delete("pods", "shop", "web-2");
    tier(&api, "db");
    api.forget();
    sleep(Duration::from_secs(1));
    assert!(house.rule_of("10.0.0.2").contains("db-pods"), "nothing is taken away meanwhile");
    api.come_back();
    house.until_decided("10.0.0.1", "db-pods");
    house.until("the pod that went has no tags", || !house.rule_of("10.0.0.2").contains("db-pods"));

    // The controller dies; another one goes on.
    drop(controller);
    tier(&api, "web");
    let _next = house.start_controller(&api);
    house.until_decided("10.0.0.1", "web-pods");
}
