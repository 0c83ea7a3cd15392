//! Does the cluster show what became of its policies, once, whoever takes over?

use std::time::Duration;

use bartizan_lab::kubernetes::{ApiServer, namespace, network_policy, pod};
use serde_json::{Value, json};

use super::{Manager, Running, until};

const HELD: [(&str, &str, &str); 3] =
    [("Translated", "True", "Translated"), ("Committed", "False", "Held"), ("Enforced", "Unknown", "Pending")];
const ENFORCED: [(&str, &str, &str); 3] =
    [("Translated", "True", "Translated"), ("Committed", "True", "Committed"), ("Enforced", "True", "Enforced")];
const REFUSED: [(&str, &str, &str); 3] = [
    ("Translated", "False", "NotAllowed"),
    ("Committed", "False", "NotTranslated"),
    ("Enforced", "Unknown", "Pending"),
];

fn say(manager: &Manager, name: &str, says: [(&'static str, &'static str, &'static str); 3]) {
    let mut kept = manager.kept.lock().unwrap();
    kept.says.insert(name.to_owned(), says.to_vec());
    kept.version += 1;
}

fn state(api: &ApiServer, name: &str) -> Value {
    api.get("firewallpolicystates", "shop", name).unwrap_or_default()
}

fn condition(state: &Value, kind: &str) -> String {
    let of = state["status"]["conditions"].as_array().into_iter().flatten().find(|one| one["type"] == kind);
    of.map(|one| format!("{} {}", one["status"].as_str().unwrap(), one["reason"].as_str().unwrap())).unwrap_or_default()
}

/// Reasons of the Events of a policy, in their order.
fn events(api: &ApiServer, name: &str) -> Vec<String> {
    let mut of: Vec<Value> = api.all("events").into_iter().filter(|one| one["regarding"]["name"] == name).collect();
    of.sort_by_key(|one| one["eventTime"].as_str().unwrap().to_owned());
    of.iter().map(|one| one["reason"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_a_policy_stands_beside_it_and_is_said_once() {
    let api = ApiServer::start(&["v1"]);
    let manager = Manager::start().await;
    api.put("namespaces", namespace("shop", &[]));
    api.put("pods", pod("shop", "web-1", "10.0.0.1", &[("app", "web")]));
    api.put("networkpolicies", network_policy("shop", "web", json!({ "podSelector": {} })));
    say(&manager, "web", HELD);
    let running = Running::start(&api, &manager, "one").await;
    until("it is held", || condition(&state(&api, "web"), "Committed") == "False Held").await;
    let shown = state(&api, "web");
    let owner = &shown["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["name"], &owner["uid"]),
        (&json!("NetworkPolicy"), &json!("web"), &json!("shop-web"))
    );
    assert_eq!(shown["metadata"]["labels"]["bartizan.io/cluster"], json!("lab"));
    assert_eq!(
        (&shown["status"]["ruleCount"], &shown["status"]["incident"], &shown["status"]["devices"][0]["serial"]),
        (&json!(2), &json!("17"), &json!("7"))
    );
    until("it is said", || events(&api, "web") == ["Held"]).await;
    say(&manager, "web", ENFORCED);
    until("it is enforced", || condition(&state(&api, "web"), "Enforced") == "True Enforced").await;
    until("that is said", || events(&api, "web") == ["Held", "Enforced"]).await;
    let said = api.all("events").into_iter().find(|one| one["reason"] == "Enforced").unwrap();
    assert_eq!((&said["type"], &said["metadata"]["namespace"]), (&json!("Normal"), &json!("shop")));
    assert_eq!(said["note"], json!("2 rules on 1 firewalls (incident 17)"));

    // Another one takes over: it says nothing again, and writes what somebody removed.
    running.kill().await;
    api.delete("firewallpolicystates", "shop", "web");
    api.put("networkpolicies", network_policy("shop", "bad", json!({ "podSelector": {} })));
    say(&manager, "bad", REFUSED);
    let running = Running::start(&api, &manager, "one").await;
    until("it is there again", || condition(&state(&api, "web"), "Enforced") == "True Enforced").await;
    until("the refused one is shown", || condition(&state(&api, "bad"), "Translated") == "False NotAllowed").await;
    until("it fails", || events(&api, "bad") == ["Failed"]).await;
    running.kill().await;
    let before = api.all("events").len();
    let running = Running::start(&api, &manager, "one").await;
    say(&manager, "bad", ENFORCED);
    until("it is mended", || condition(&state(&api, "bad"), "Enforced") == "True Enforced").await;
    until("that is said, and nothing else", || api.all("events").len() > before).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        (events(&api, "bad"), api.all("events").len()),
        (vec!["Failed".to_owned(), "Enforced".to_owned()], before + 1)
    );
    let metrics = running.told("/metrics").await.1;
    assert!(metrics.contains("bartizan_controller_states_failed_total 0\n"), "{metrics}");

    // A policy of the same name that is another one has a state of its own.
    let mut other = network_policy("shop", "web", json!({ "podSelector": { "matchLabels": { "app": "x" } } }));
    other["metadata"]["uid"] = json!("another");
    api.put("networkpolicies", other);
    let owner = || state(&api, "web")["metadata"]["ownerReferences"][0]["uid"].clone();
    until("the state goes with the new one", || owner() == json!("another")).await;
    running.end().await;
}
