//! Policies of Kubernetes clusters: what is told is kept, and what became of it is told back.

use serde_json::{Value, json};

use crate::common::Server;
use crate::common::device::Device;
use crate::fleet::{LOCALHOST, place};

pub(crate) const POLICIES: &str = "/api/v1/kubernetes/clusters/prod/policies";

/// A NetworkPolicy of the namespace `shop`.
pub(crate) fn policy(name: &str, generation: i64, spec: Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": spec, "metadata": {"name": name,
        "namespace": "shop", "uid": format!("uid-{name}"), "generation": generation, "resourceVersion": "7"}})
}

/// One that lets port `port` in.
pub(crate) fn lets_in(name: &str, generation: i64, port: u16) -> Value {
    policy(name, generation, json!({"podSelector": {}, "ingress": [{"ports": [{"port": port}]}]}))
}

/// What a controller tells.
pub(crate) fn told(digest: &str, policies: &[Value]) -> Value {
    let labels = json!({"kubernetes.io/metadata.name": "shop", "team": "shop"});
    json!({"controller": "one", "digest": digest, "namespaces": {"shop": labels}, "pods": [], "policies": policies,
        "cluster_policies": []})
}

pub(crate) async fn tell(server: &Server, digest: &str, policies: &[Value]) {
    let answer = server.json("PUT", POLICIES, Some(told(digest, policies))).await;
    assert_eq!((answer.status, &answer.body["accepted"]), (200, &json!(true)), "{}", answer.body);
}

/// The settings of the cluster, which has its rules in the device group `dg`; committed.
pub(crate) async fn configure(server: &Server, settings: &str) {
    let plugin = format!(
        "<setup><notify-group><entry name='all'><device-group><member>dg</member></device-group></entry></notify-group></setup>\
         <monitoring-definition><entry name='prod'><cluster>prod</cluster><notify-group>all</notify-group></entry>\
         </monitoring-definition><policy-automation><entry name='prod'><device-group>dg</device-group>{settings}</entry>\
         </policy-automation>"
    );
    server.set(&format!("{LOCALHOST}/plugins/kubernetes"), &plugin).await;
    let job = server.commit().await;
    assert!(job.contains("<result>OK</result>") && !job.contains("plugins"), "{job}");
}

/// `Translated Committed Enforced` of a policy, each as status and reason.
pub(crate) fn conditions(states: &Value, name: &str) -> String {
    let policies = states["policies"].as_array().unwrap();
    let Some(policy) = policies.iter().find(|policy| policy["name"] == name) else { return "absent".to_owned() };
    let line = |one: &Value| format!("{}={}", one["status"].as_str().unwrap(), one["reason"].as_str().unwrap());
    policy["conditions"].as_array().unwrap().iter().map(line).collect::<Vec<_>>().join(" ")
}

/// The states, as soon as `is_so`.
pub(crate) async fn until(server: &Server, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let begun = std::time::Instant::now();
    let mut version = 0;
    loop {
        let states = server.told(&format!("{POLICIES}?after={version}&wait=1")).await;
        if is_so(&states) {
            return states;
        }
        assert!(begun.elapsed().as_secs() < 40, "not in time: {what}: {states:#}");
        version = states["version"].as_i64().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_controller_tells_is_kept_and_told_back_with_what_became_of_it() {
    let mut server = Server::start().await;
    assert_eq!(server.json("GET", POLICIES, None).await.status, 404);
    let renewal = json!({ "controller": "one", "ttl_s": 900 });
    let renewed = server.json("POST", "/api/v1/kubernetes/clusters/prod/renew", Some(renewal.clone())).await;
    assert_eq!(renewed.body["policies_digest"], "");
    let bad = policy("bad", 1, json!({"podSelector": {}, "ingres": []}));
    tell(&server, "d1", &[lets_in("web", 3, 80), bad.clone()]).await;
    let states = until(&server, "they are looked at", |states| conditions(states, "web") != "absent").await;
    assert_eq!(conditions(&states, "web"), "True=Translated False=NoSettings False=NotCommitted");
    assert_eq!(conditions(&states, "bad"), "False=Invalid False=NoSettings False=NotCommitted");
    let shown = states["policies"].as_array().unwrap().iter().find(|policy| policy["name"] == "web").unwrap();
    assert_eq!((&shown["uid"], &shown["generation"]), (&json!("uid-web"), &json!(3)));
    let message = shown["conditions"][1]["message"].as_str().unwrap();
    assert!(message.contains("plugins/kubernetes/policy-automation"), "{message}");
    assert_eq!((&states["digest"], &states["enforced_digest"]), (&json!("d1"), &json!("")));

    // The same again is no news; it outlives a restart.
    let version = states["version"].as_i64().unwrap();
    tell(&server, "d1", &[lets_in("web", 3, 80), bad.clone()]).await;
    server.restart().await;
    let again = server.told(&format!("{POLICIES}?after={version}&wait=0")).await;
    assert_eq!((again["version"].as_i64(), &again["policies"]), (Some(version), &states["policies"]));
    let renewed = server.json("POST", "/api/v1/kubernetes/clusters/prod/renew", Some(renewal)).await;
    assert_eq!(renewed.body["policies_digest"], "d1");

    // Whoever waits hears of a change, and of that alone.
    let path = format!("{POLICIES}?after={version}&wait=20&changed=true");
    let same = [lets_in("web", 3, 80), bad];
    let (news, ()) = tokio::join!(server.told(&path), tell(&server, "d2", &same));
    assert!(news["version"].as_i64().unwrap() > version && news["policies"] == json!([]), "{news}");
    tell(&server, "d3", &[lets_in("web", 4, 81)]).await;
    let states = until(&server, "one is gone", |states| conditions(states, "bad") == "absent").await;
    assert_eq!(states["policies"][0]["generation"], 4);
    assert_eq!(server.json("DELETE", "/api/v1/kubernetes/clusters/prod", None).await.status, 204);
    while server.json("GET", POLICIES, None).await.status != 404 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_is_refused_with_the_reason() {
    let server = Server::start().await;
    let twice = told("d", &[lets_in("web", 1, 80), lets_in("web", 1, 81)]);
    let mut unknown = told("d", &[]);
    unknown["extra"] = json!(1);
    for (path, body, part) in [
        (POLICIES, twice, "NetworkPolicy shop/web is there twice"),
        (POLICIES, told("", &[]), "`digest` is missing"),
        (POLICIES, unknown, "unknown field `extra`"),
        ("/api/v1/kubernetes/clusters/a.b/policies", told("d", &[]), "the name of a cluster is"),
    ] {
        let answer = server.json("PUT", path, Some(body)).await;
        assert!(answer.status == 400 && answer.body.to_string().contains(part), "{part}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_says_what_may_be_named_and_policies_are_held_to_it() {
    let server = Server::start().await;
    let device = Device::join(&server).await;
    place(&server, &device.serial).await;
    let group = format!("{LOCALHOST}/device-group/entry[@name='dg']");
    server.set(&format!("{group}/profiles/spyware"), "<entry name='own'><rules/></entry>").await;
    configure(&server, "<disabled>yes</disabled><allow-the-rest>no</allow-the-rest><rules-max>500</rules-max>").await;
    let path = "/api/v1/kubernetes/clusters/prod/catalogue";
    let first = server.told(path).await;
    assert_eq!(first["settings"], json!({"allow_the_rest": false, "rules_max": 500}));
    assert_eq!(first["catalogue"]["known"]["profiles"]["spyware"], json!(["default", "own", "strict"]));

    let named = |name: &str, profile: &str| {
        let mut policy = lets_in(name, 1, 80);
        policy["metadata"]["labels"] = json!({"np.panw.com/spyware": profile});
        policy
    };
    tell(&server, "d1", &[named("own", "own"), named("strict", "strict"), named("odd", "strickt")]).await;
    let states = until(&server, "they are looked at", |states| conditions(states, "own") != "absent").await;
    assert_eq!(conditions(&states, "own"), "True=Translated False=Disabled False=NotCommitted");
    assert!(conditions(&states, "odd").starts_with("False=ObjectNotFound"), "{states}");
    assert_eq!(states["catalogue_digest"], first["digest"]);

    let entry = "<entry name='shop'><namespace-selector>team=shop</namespace-selector><profiles><spyware><member>own</member>\
        </spyware></profiles></entry>";
    server.set(&format!("{LOCALHOST}/plugins/kubernetes/policy-catalogue"), entry).await;
    let job = server.commit().await;
    assert!(job.contains("<result>OK</result>") && !job.contains("plugins"), "{job}");
    // The configuration alone decides anew.
    let states =
        until(&server, "the catalogue counts", |states| conditions(states, "strict").starts_with("False=NotAllowed"))
            .await;
    assert!(conditions(&states, "own").starts_with("True=Translated"), "{states}");
    assert_ne!(states["catalogue_digest"], first["digest"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cannot_work_refuse_the_commit_with_all_reasons() {
    let server = Server::start().await;
    let entries = "<policy-automation><entry name='prod'><device-group>gone</device-group></entry>\
        </policy-automation><policy-catalogue><entry name='c'><namespace-selector>team in (</namespace-selector></entry>\
        </policy-catalogue>";
    server.set(&format!("{LOCALHOST}/plugins/kubernetes"), entries).await;
    let job = server.commit().await;
    for part in [
        "device group `gone` of cluster `prod` does not exist [unknown-device-group]",
        "the namespaces of catalogue entry `c` cannot be told",
    ] {
        assert!(job.contains(part), "{part}: {job}");
    }
}
