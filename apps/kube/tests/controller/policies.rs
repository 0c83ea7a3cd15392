//! Are the policies told whole, after the tags of those whom they mean, whoever is killed or away in between?

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use bartizan_lab::kubernetes::{ApiServer, namespace, network_policy, pod};
use bartizan_playbook::cluster::{Pod, Snapshot};
use bartizan_playbook::{Settings, check, translate};
use serde_json::{Value, json};

use super::{Manager, Running, until};

fn names(told: &Value, list: &str) -> Vec<String> {
    let of = |one: &Value| one["metadata"]["name"].as_str().unwrap().to_owned();
    told[list].as_array().unwrap().iter().map(of).collect()
}

/// Every address has the tags of its groups that rules of this state speak of.
fn is_tagged(told: &Value, tags: &BTreeMap<IpAddr, BTreeSet<String>>, pods: &[Pod]) {
    let namespaces = serde_json::from_value(told["namespaces"].clone()).unwrap();
    let snapshot = Snapshot { namespaces, pods: pods.to_vec(), ..Snapshot::default() };
    let policies = told["policies"].as_array().unwrap();
    let checked: Vec<_> =
        policies.iter().map(|one| check(&serde_json::from_value(one.clone()).unwrap()).unwrap()).collect();
    let settings = Settings { cluster: "lab".to_owned(), zones: Vec::new(), allow_the_rest: true, rules_max: 1000 };
    for (address, needed) in translate(&settings, &checked, &snapshot).unwrap().members(&snapshot) {
        let has = tags.get(&address).cloned().unwrap_or_default();
        assert!(has.is_superset(&needed), "{address} has {has:?}, not {needed:?}, as {told} is told");
    }
}

fn from_app(app: &str) -> Value {
    json!({ "podSelector": { "matchLabels": { "app": "db" } },
        "ingress": [{ "from": [{ "podSelector": { "matchLabels": { "app": app } } }] }] })
}

struct Shop {
    api: ApiServer,
    manager: Manager,
    pods: Vec<Pod>,
}

impl Shop {
    async fn start() -> Self {
        let api = ApiServer::start(&["v1"]);
        api.put("namespaces", namespace("shop", &[("team", "a")]));
        let mut pods = Vec::new();
        for (number, app) in ["web", "db", "web", "cache", "job"].into_iter().enumerate() {
            let address = format!("10.0.0.{}", number + 1);
            api.put("pods", pod("shop", &format!("p{number}"), &address, &[("app", app)]));
            pods.push(Pod {
                namespace: "shop".to_owned(),
                name: format!("p{number}"),
                labels: [("app".to_owned(), app.to_owned())].into(),
                addresses: [address.parse().unwrap()].into(),
                ..Pod::default()
            });
        }
        Self { api, manager: Manager::start().await, pods }
    }

    fn put(&self, name: &str, spec: Value) {
        self.api.put("networkpolicies", network_policy("shop", name, spec));
    }

    fn told(&self) -> Vec<(Value, BTreeMap<IpAddr, BTreeSet<String>>)> {
        self.manager.kept.lock().unwrap().told.clone()
    }

    async fn until_told(&self, names_told: &[&str]) {
        let last = || self.told().last().map(|(told, _)| names(told, "policies")).unwrap_or_default();
        until(&format!("{names_told:?} are told"), || last() == names_told).await;
    }

    /// Tags of policies, by address, as the policies of now have them.
    async fn until_tagged(&self) {
        let state = self.told().last().unwrap().0.clone();
        let namespaces = serde_json::from_value(state["namespaces"].clone()).unwrap();
        let snapshot = Snapshot { namespaces, pods: self.pods.clone(), ..Snapshot::default() };
        let policies = state["policies"].as_array().unwrap();
        let checked: Vec<_> =
            policies.iter().map(|one| check(&serde_json::from_value(one.clone()).unwrap()).unwrap()).collect();
        let settings = Settings { cluster: "lab".to_owned(), zones: Vec::new(), allow_the_rest: true, rules_max: 1000 };
        let wanted = translate(&settings, &checked, &snapshot).unwrap().members(&snapshot);
        let has = || -> BTreeMap<IpAddr, BTreeSet<String>> {
            let kept = self.manager.kept.lock().unwrap();
            let of = |tags: Vec<&String>| tags.into_iter().filter(|tag| tag.starts_with("np.lab.")).cloned().collect();
            let all = kept.tags.entries().iter().map(|(ip, entry)| (*ip, of(entry.tags.keys().collect())));
            all.filter(|(_, tags): &(_, BTreeSet<String>)| !tags.is_empty()).collect()
        };
        until("tags are those of the policies of now", || has() == wanted).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_told_whole_and_after_the_tags_of_their_groups() {
    let mut shop = Shop::start().await;
    shop.put("db", from_app("web"));
    let running = Running::start(&shop.api, &shop.manager, "one").await;
    shop.until_told(&["db"]).await;
    let (told, tags) = shop.told().remove(0);
    is_tagged(&told, &tags, &shop.pods);
    assert_eq!(told["controller"], json!("one"));
    assert_eq!(told["namespaces"]["shop"]["team"], json!("a"));
    let policy = &told["policies"][0];
    assert_eq!((&policy["kind"], &policy["apiVersion"]), (&json!("NetworkPolicy"), &json!("networking.k8s.io/v1")));
    assert_eq!((&policy["metadata"]["uid"], &policy["spec"]), (&json!("shop-db"), &from_app("web")));
    shop.until_tagged().await;

    // What changes no rule is not told; a label moves tags alone.
    let before = shop.told().len();
    shop.api.put("pods", pod("shop", "p3", "10.0.0.4", &[("app", "web")]));
    shop.pods[3].labels.insert("app".to_owned(), "web".to_owned());
    shop.until_tagged().await;
    assert_eq!(shop.told().len(), before);
    shop.put("cache", from_app("job"));
    shop.until_told(&["cache", "db"]).await;
    // A manager that is busy is told when it is not, and one that lost everything is told again.
    shop.manager.kept.lock().unwrap().refuses = true;
    shop.api.delete("networkpolicies", "shop", "db");
    tokio::time::sleep(Duration::from_millis(400)).await;
    shop.manager.kept.lock().unwrap().refuses = false;
    shop.until_told(&["cache"]).await;
    shop.until_tagged().await;
    let before = shop.told().len();
    shop.manager.kept.lock().unwrap().has.clear();
    until("the manager has it again", || shop.told().len() == before + 1).await;
    shop.manager.go_away().await;
    shop.put("late", from_app("cache"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    shop.manager.come_back().await;
    shop.until_told(&["cache", "late"]).await;
    for (told, tags) in shop.told().iter().skip(before) {
        is_tagged(told, tags, &shop.pods);
    }
    let metrics = running.told("/metrics").await.1;
    for line in ["_objects{kind=\"policies\"} 2", "_policies_faulty 0", "_policies_too_many 0"] {
        assert!(metrics.contains(&format!("bartizan_controller{line}\n")), "{line}\n{metrics}");
    }
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_policies_are_told_where_the_cluster_has_them() {
    let shop = Shop::start().await;
    shop.api.have_cluster_policies(true);
    let spec = json!({ "tier": "Admin", "priority": 10, "subject": { "namespaces": {} },
        "ingress": [{ "name": "no", "action": "Deny", "from": [{ "namespaces": {} }] }] });
    shop.api.put(
        "clusternetworkpolicies",
        json!({ "kind": "ClusterNetworkPolicy", "apiVersion": "policy.networking.k8s.io/v1alpha2",
            "metadata": { "name": "guard", "uid": "g" }, "spec": spec }),
    );
    let running = Running::start(&shop.api, &shop.manager, "one").await;
    let last = || shop.told().last().map(|(told, _)| told.clone()).unwrap_or_default();
    until("it is told", || last()["cluster_policies"][0]["spec"] == spec).await;
    assert_eq!(last()["cluster_policies"][0]["apiVersion"], json!("policy.networking.k8s.io/v1alpha2"));
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_is_killed_at_any_point_loses_and_doubles_nothing() {
    let shop = Shop::start().await;
    let mut there: BTreeSet<String> = BTreeSet::new();
    for turn in 0..24_u64 {
        let running = Running::start(&shop.api, &shop.manager, "one").await;
        let name = format!("p{}", turn % 5);
        if there.remove(&name) {
            shop.api.delete("networkpolicies", "shop", &name);
        } else {
            shop.put(&name, from_app(["web", "cache", "job"][usize::try_from(turn % 3).unwrap()]));
            there.insert(name);
        }
        tokio::time::sleep(Duration::from_millis(turn * 7 % 90)).await;
        running.kill().await;
    }
    let running = Running::start(&shop.api, &shop.manager, "one").await;
    let there: Vec<&str> = there.iter().map(String::as_str).collect();
    shop.until_told(&there).await;
    shop.until_tagged().await;
    for (told, tags) in shop.told() {
        is_tagged(&told, &tags, &shop.pods);
        let names = names(&told, "policies");
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
    }
    running.end().await;
}
