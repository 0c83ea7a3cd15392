//! A NetworkPolicy, from a scripted API server by the controller to a real manager, with the tags of its groups at a real
//! firewall; and what happens when one of them is killed in between.

use std::collections::BTreeSet;

use bartizan_lab::kubernetes::{ApiServer, namespace, network_policy, pod, slice};
use serde_json::{Value, json};

use crate::house::{House, LOCALHOST, is_inside};

const STATES: &str = "/kubernetes/clusters/lab/policies";

fn db_from(app: &str) -> Value {
    json!({ "podSelector": { "matchLabels": { "app": "db" } },
        "ingress": [{ "from": [{ "podSelector": { "matchLabels": { "app": app } } }], "ports": [{ "port": 5432 }] }] })
}

/// Policies that the manager knows, with the status of `Translated`.
fn known(house: &House) -> BTreeSet<String> {
    let states = house.json(STATES);
    let one = |policy: &Value| {
        let translated = policy["conditions"].as_array().into_iter().flatten().find(|one| one["type"] == "Translated");
        let status = translated.map(|condition| condition["status"].as_str().unwrap_or_default()).unwrap_or_default();
        format!("{} {} {status}", policy["name"].as_str().unwrap_or_default(), policy["generation"])
    };
    states["policies"].as_array().into_iter().flatten().map(one).collect()
}

fn until_known(house: &House, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|one| (*one).to_owned()).collect();
    house.until(&format!("the manager knows {expected:?}"), || known(house) == expected);
}

/// Tags of groups that the firewall has for an address.
fn groups_of(house: &House, address: &str) -> usize {
    let shown = house.ask(&format!("show object registered-ip ip {address} --xml"));
    shown.matches("<member>np.lab.").count()
}

#[test]
fn policies_are_at_the_manager_once_whoever_was_killed() {
    if !is_inside("policies::policies_are_at_the_manager_once_whoever_was_killed") {
        return;
    }
    let mut api = ApiServer::start(&["v1"]);
    api.put("namespaces", namespace("shop", &[]));
    for (number, app) in ["web", "db", "job"].into_iter().enumerate() {
        let address = format!("10.0.0.{}", number + 1);
        api.put("pods", pod("shop", &format!("p{number}"), &address, &[("app", app)]));
    }
    let put = |api: &ApiServer, name: &str, generation: u32, spec: Value| {
        let mut policy = network_policy("shop", name, spec);
        policy["metadata"]["generation"] = json!(generation);
        api.put("networkpolicies", policy);
    };
    put(&api, "db", 1, db_from("web"));
    let mut house = House::start();
    house.automate("");
    let mut controller = house.start_controller(&api);
    until_known(&house, &["db 1 True"]);
    // The source and the destination of its rule; the job is of no group but that of all.
    house.until("the firewall knows the groups", || groups_of(&house, "10.0.0.1") > groups_of(&house, "10.0.0.3"));
    assert!(groups_of(&house, "10.0.0.2") > groups_of(&house, "10.0.0.3") && groups_of(&house, "10.0.0.3") > 0);

    // What people see of all that; nothing is committed without them.
    let (code, told) = house.tell(&["clusters"]);
    assert!(code == 0 && told["clusters"][0]["tags"].as_u64() > Some(0), "{told}");
    assert_eq!(told["clusters"][0]["policies"], json!({"told": 1, "with_fault": 0, "committed": 0, "enforced": 0}));
    let (_, told) = house.tell(&["doctor", "--policy", "shop/db", "--cluster", "lab"]);
    let found: Vec<(&str, &str)> = told["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["check"].as_str().unwrap(), one["state"].as_str().unwrap()))
        .collect();
    let first = [("policy", "ok"), ("pods", "warning"), ("controller", "ok"), ("told", "ok"), ("translated", "ok")];
    assert!(found.starts_with(&first), "{told}");

    // The controller dies while policies come, change and go.
    drop(controller);
    put(&api, "db", 2, db_from("job"));
    put(&api, "late", 1, json!({ "podSelector": {} }));
    controller = house.start_controller(&api);
    until_known(&house, &["db 2 True", "late 1 True"]);
    house.until("tags follow", || groups_of(&house, "10.0.0.3") > 1);

    // The manager dies; so does the API server, which forgets.
    house.manager = None;
    put(&api, "odd", 1, json!({ "podSelector": {}, "newField": 1 }));
    api.go_away();
    api.delete("networkpolicies", "shop", "late");
    api.forget();
    house.start_manager();
    api.come_back();
    until_known(&house, &["db 2 True", "odd 1 False"]);

    // All at once, and nobody has the policies any more.
    drop(controller);
    house.manager = None;
    api.delete("networkpolicies", "shop", "db");
    api.delete("networkpolicies", "shop", "odd");
    house.start_manager();
    let _next = house.start_controller(&api);
    until_known(&house, &[]);
}

#[test]
fn ports_of_services_are_service_objects_at_the_manager() {
    if !is_inside("policies::ports_of_services_are_service_objects_at_the_manager") {
        return;
    }
    let api = ApiServer::start(&["v1"]);
    api.put("namespaces", namespace("shop", &[]));
    api.put("pods", pod("shop", "web-1", "10.0.0.1", &[("app", "web")]));
    let ports = json!([{ "name": "http", "port": 80, "targetPort": "http", "nodePort": 30080 }]);
    let web = json!({ "kind": "Service", "apiVersion": "v1", "metadata": { "name": "web", "namespace": "shop" },
        "spec": { "clusterIP": "10.96.0.1", "ports": ports } });
    api.put("services", web);
    let mut behind = slice("v1", "shop", "web", &[("10.0.0.1", "web-1")]);
    behind["ports"] = json!([{ "name": "http", "protocol": "TCP", "port": 8080 }]);
    api.put("endpointslices", behind);
    let house = House::start();
    let plugin = format!("{LOCALHOST}/plugins/kubernetes");
    let settings =
        "<device-group>cloud</device-group><auto-commit>yes</auto-commit><service-objects>yes</service-objects>";
    house.set(&format!("{plugin}/policy-automation/entry[@name='lab']"), settings);
    house.job(&[("type", "commit"), ("cmd", "<commit/>")]);
    let _controller = house.start_controller(&api);
    let xpath = format!("{LOCALHOST}/device-group/entry[@name='cloud']/service");
    let objects = || house.api(&[("type", "config"), ("action", "show"), ("xpath", &xpath)]);
    let names = ["shop-web-port-80-", "shop-web-targetPort-8080-", "shop-web-nodePort-30080-"];
    house.until("all ports are objects", || names.iter().all(|name| objects().contains(name)));
    house.until("the firewall has them", || {
        let states = house.json(STATES);
        states["enforced_digest"] == states["digest"] && states["devices"][0]["enforced"] == true
    });
    // A policy besides: its rules are at the firewall, and the doctor counts what they decided.
    api.put("networkpolicies", network_policy("shop", "db", db_from("web")));
    house.until("its rules are enforced", || {
        let (code, told) = house.tell(&["doctor", "--policy", "shop/db", "--cluster", "lab"]);
        let rules = told["checks"].as_array().into_iter().flatten().find(|one| one["check"] == "rules");
        code == 0 && rules.is_some_and(|one| one["text"].as_str().unwrap().contains("all in force"))
    });
    api.delete("services", "shop", "web");
    house.until("the objects are gone", || !objects().contains("shop-web-"));
}
