//! A NetworkPolicy, from a scripted API server by the controller to a real manager, with the tags of its groups at a real
//! firewall; and what happens when one of them is killed in between.

use std::collections::BTreeSet;

use bartizan_lab::kubernetes::{ApiServer, namespace, network_policy, pod};
use serde_json::{Value, json};

use crate::house::{House, is_inside};

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
