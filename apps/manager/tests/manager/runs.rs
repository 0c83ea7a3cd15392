//! Runs of playbooks: from a policy that is told to the rule that firewalls enforce, and whatever comes in between.

use std::sync::Arc;

use bartizan_api::fleet::manager_message::Body as ToDevice;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::common::device::Device;
use crate::common::{Identity, Server, between};
use crate::fleet::{LOCALHOST, place};
use crate::policies::{POLICIES, conditions, configure, lets_in, policy, tell, told, until};
use crate::together::bob;

const IN_FORCE: &str = "True=Translated True=Committed True=Enforced";
const PUSH_ALL: &str = "<commit-all><shared-policy><device-group><entry name='dg'/></device-group><include-template>yes\
    </include-template></shared-policy></commit-all>";

/// A firewall that takes every push, until it is let go.
struct Firewall {
    identity: Identity,
    serial: String,
    task: JoinHandle<()>,
}

impl Firewall {
    fn of(device: Device) -> Self {
        let (identity, serial) = (device.identity.clone(), device.serial.clone());
        let task = tokio::spawn(async move {
            let mut device = device;
            while let Some(Ok(message)) = device.receive().await {
                if let ToDevice::Push(push) = message {
                    device.answer(&push, 0).await;
                }
            }
        });
        Self { identity, serial, task }
    }

    /// It goes away, and the manager knows.
    async fn go(&self, server: &Server) {
        self.task.abort();
        while server.op("<show><devices><connected/></devices></show>").await.contains(&self.serial) {
            tokio::task::yield_now().await;
        }
    }

    async fn come_back(&self, server: &Server, digest: &str) -> Self {
        let device = Device::attach(server, self.identity.clone(), &self.serial, digest).await.unwrap();
        Self::of(device)
    }
}

/// A manager whose cluster `prod` has its rules in `dg`, with a firewall that has been pushed everything.
async fn house(settings: &str) -> (Server, Firewall) {
    let server = Server::start().await;
    let device = Device::join(&server).await;
    place(&server, &device.serial).await;
    configure(&server, settings).await;
    let firewall = Firewall::of(device);
    let job = server.commit_all(PUSH_ALL).await;
    assert!(job.contains("<result>OK</result>"), "{job}");
    (server, firewall)
}

const AUTO: &str = "<auto-commit>yes</auto-commit><batch-window>1</batch-window>";

async fn rules(server: &Server) -> Vec<String> {
    let xpath = format!("{GROUP}/pre-rulebase/security/rules");
    let text = server.body(&[("type", "config"), ("action", "show"), ("xpath", &xpath)]).await;
    text.split("<entry name=\"").skip(1).map(|part| part.split('"').next().unwrap().to_owned()).collect()
}

const GROUP: &str = "/config/devices/entry[@name='localhost.localdomain']/device-group/entry[@name='dg']";

async fn newest(server: &Server) -> Value {
    let runs = server.told("/api/v1/automation/runs?limit=1").await;
    let id = runs["runs"][0]["id"].as_i64().unwrap();
    server.told(&format!("/api/v1/automation/runs/{id}")).await
}

/// The newest run, when it is in that state.
async fn run_in(server: &Server, state: &str) -> Value {
    let begun = std::time::Instant::now();
    loop {
        let runs = server.told("/api/v1/automation/runs?limit=1").await;
        if runs["runs"][0]["state"] == state {
            // This one: another may have begun meanwhile.
            return server.told(&format!("/api/v1/automation/runs/{}", runs["runs"][0]["id"])).await;
        }
        assert!(begun.elapsed().as_secs() < 40, "no run is {state}: {:#}", newest(server).await);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn tasks(run: &Value) -> Vec<&str> {
    run["steps"].as_array().unwrap().iter().map(|step| step["task"].as_str().unwrap()).collect()
}

async fn open_incidents(server: &Server) -> Vec<Value> {
    let all = server.told("/api/v1/automation/incidents").await;
    let all = all["incidents"].as_array().unwrap().clone();
    all.into_iter().filter(|one| one["status"] != "closed").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_become_enforced_rules_change_and_go_without_touching_anything_else() {
    let (server, _firewall) = house(AUTO).await;
    // Somebody works on something else meanwhile.
    server.set("/config/shared/address", "<entry name='a'><fqdn>a.example</fqdn></entry>").await;
    server.set(&format!("{GROUP}/address"), "<entry name='b'><fqdn>b.example</fqdn></entry>").await;
    tell(&server, "d1", &[lets_in("web", 1, 80), lets_in("api", 1, 81)]).await;
    let states = until(&server, "both are enforced", |states| states["enforced_digest"] == "d1").await;
    assert_eq!((conditions(&states, "web"), conditions(&states, "api")), (IN_FORCE.to_owned(), IN_FORCE.to_owned()));
    assert_eq!(states["devices"][0]["enforced"], true);
    let run = run_in(&server, "done").await;
    let done = ["check", "translate", "diff", "edit", "commit", "push", "verify"];
    assert_eq!((&run["run"]["playbook"], tasks(&run)), (&json!("apply"), done.to_vec()));
    let found = rules(&server).await;
    let rule = |name: &str| found.iter().any(|rule| rule.starts_with(name));
    assert!(found[0] == "out" && rule("np.prod.shop.web.i0.") && rule("np.prod.shop.api.i0."), "{found:?}");
    let uncommitted = server.told("/api/v1/candidate").await;
    assert_eq!(uncommitted["pending"], 2, "the edits of others stay where they are: {uncommitted}");
    let version = server.told("/api/v1/versions").await;
    assert_eq!(version["versions"][0]["author"], "automation", "{version}");
    let opened = server.told("/api/v1/automation/incidents").await;
    let kinds: Vec<_> =
        opened["incidents"].as_array().unwrap().iter().map(|one| (&one["type"], &one["status"])).collect();
    assert_eq!(kinds, vec![(&json!("policy-created"), &json!("closed")); 2]);

    tell(&server, "d2", &[lets_in("web", 2, 8080), lets_in("api", 1, 81)]).await;
    until(&server, "the change is enforced", |states| states["enforced_digest"] == "d2").await;
    assert_eq!(run_in(&server, "done").await["run"]["playbook"], "change");
    let services = server.get(&format!("{GROUP}/service")).await;
    assert!(services.contains("np.prod.tcp-8080") && !services.contains("np.prod.tcp-80\""), "{services}");

    tell(&server, "d3", &[]).await;
    until(&server, "nothing is left", |states| states["enforced_digest"] == "d3").await;
    assert_eq!(run_in(&server, "done").await["run"]["playbook"], "delete");
    assert_eq!(rules(&server).await, ["out"]);
    let group = server.get(GROUP).await;
    assert!(!group.contains("np.prod") && !group.contains("k8s-np") && group.contains("b.example"), "{group}");
}

async fn remove(server: &Server, xpath: &str) {
    let answer = server.body(&[("type", "config"), ("action", "delete"), ("xpath", xpath)]).await;
    assert!(answer.contains("success"), "{answer}");
}

/// The names of the services of the device group that are no rule's.
async fn service_objects(server: &Server) -> Vec<String> {
    let text = server.get(&format!("{GROUP}/service")).await;
    let names = text.split("<entry name=\"").skip(1).map(|part| part.split('"').next().unwrap().to_owned());
    names.filter(|name| !name.starts_with("np.")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_of_services_are_objects_that_stay_while_somebody_names_them() {
    let (server, _firewall) = house(&format!("{AUTO}<service-objects>yes</service-objects>")).await;
    let settings = server.told("/api/v1/kubernetes/clusters/prod/catalogue").await;
    assert_eq!(settings["settings"]["service_objects"], true);
    let tell_services = async |digest: &str, services: Value, policies: &[Value]| {
        let mut body = told(digest, policies);
        body["services"] = services;
        let answer = server.json("PUT", POLICIES, Some(body)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        until(&server, "it is enforced", |states| states["enforced_digest"] == digest).await;
        service_objects(&server).await
    };
    let port = |kind: &str, number: u16| json!({"kind": kind, "protocol": "TCP", "number": number});
    let web = json!([{"namespace": "shop", "name": "web", "ports": [port("port", 80), port("targetPort", 8080)]}]);
    let names = tell_services("d1", web.clone(), &[]).await;
    assert!(names.len() == 2 && names[0].starts_with("shop-web-port-80-"), "{names:?}");
    assert!(names[1].starts_with("shop-web-targetPort-8080-"), "{names:?}");
    let entry = server.get(&format!("{GROUP}/service/entry[@name='{}']", names[0])).await;
    assert!(entry.contains("<tcp><port>80</port></tcp>") && entry.contains("<member>k8s-np.prod</member>"), "{entry}");
    // Somebody's own service is nobody else's.
    server
        .set(&format!("{GROUP}/service"), "<entry name='own'><protocol><tcp><port>9</port></tcp></protocol></entry>")
        .await;
    let users = format!("{GROUP}/service-group");
    server.set(&users, &format!("<entry name='g'><members><member>{}</member></members></entry>", names[0])).await;
    let left = tell_services("d2", json!([]), &[]).await;
    assert_eq!(left, [names[0].clone(), "own".to_owned()], "named by what nobody has committed yet");
    remove(&server, &format!("{users}/entry[@name='g']")).await;
    let left = tell_services("d3", json!([]), &[lets_in("web", 1, 80)]).await;
    assert_eq!(left, ["own"]);
    // With other settings they go.
    assert_eq!(tell_services("d4", web, &[lets_in("web", 1, 80)]).await.len(), 3);
    remove(&server, &format!("{LOCALHOST}/plugins/kubernetes/policy-automation/entry[@name='prod']/service-objects"))
        .await;
    server.commit().await;
    let begun = std::time::Instant::now();
    while service_objects(&server).await.len() > 1 {
        assert!(begun.elapsed().as_secs() < 40, "{:#}", newest(&server).await);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_auto_commit_a_run_waits_shows_its_difference_and_goes_on_when_somebody_else_approves() {
    let (server, _firewall) = house("<batch-window>1</batch-window><four-eyes>yes</four-eyes>").await;
    let key = bob(&server).await;
    tell(&server, "d1", &[lets_in("web", 1, 80)]).await;
    let states = until(&server, "it is held", |states| conditions(states, "web").contains("False=Held")).await;
    assert_eq!(conditions(&states, "web"), "True=Translated False=Held False=NotCommitted");
    let run = run_in(&server, "waiting").await;
    let id = run["run"]["id"].as_i64().unwrap();
    let diff = run["steps"].as_array().unwrap().iter().find(|step| step["task"] == "diff").unwrap();
    assert!(diff["outputs"]["text"].as_str().unwrap().contains("np.prod.shop.web.i0."), "{diff}");
    assert!(diff["outputs"]["lines"].to_string().contains("+ rule np.prod.shop.web.i0."), "{diff}");
    assert_eq!(open_incidents(&server).await[0]["status"], "waiting");

    // Another change takes its place, with both.
    tell(&server, "d2", &[lets_in("web", 1, 80), lets_in("api", 1, 81)]).await;
    let next = loop {
        let run = run_in(&server, "waiting").await;
        if run["run"]["id"] != id {
            break run;
        }
    };
    let id = next["run"]["id"].as_i64().unwrap();
    let path = format!("/api/v1/automation/runs/{id}/approve");
    let own = server.json("POST", &path, Some(json!({}))).await;
    assert!(own.status != 204 && own.body.to_string().contains("it takes somebody else"), "{}", own.body);
    // What is there is another configuration now: the difference is shown anew.
    server
        .set(
            &format!("{GROUP}/service"),
            "<entry name='np.prod.tcp-81'><protocol><tcp><port>81</port></tcp></protocol></entry>",
        )
        .await;
    assert!(server.commit().await.contains("<result>OK</result>"));
    assert_eq!(server.json_as(&key, "POST", &path, Some(json!({"comment": "fine"}))).await.status, 204);
    let failed = run_in(&server, "failed").await;
    let error = failed["run"]["error"].as_str().unwrap();
    assert!(
        error.starts_with("edit: ") && error.contains("np.prod.tcp-81") && error.contains("not its tag"),
        "{error}"
    );
    let states = server.told(POLICIES).await;
    assert!(conditions(&states, "web").contains("False=Conflict"), "{states}");

    // The cause goes; the run goes on from where it was, and what was approved is what is made.
    server
        .body(&[
            ("type", "config"),
            ("action", "delete"),
            ("xpath", &format!("{GROUP}/service/entry[@name='np.prod.tcp-81']")),
        ])
        .await;
    assert!(server.commit().await.contains("<result>OK</result>"));
    let again = server.json("POST", &format!("/api/v1/automation/runs/{id}/rerun"), Some(json!({}))).await;
    assert_eq!(again.status, 204, "{}", again.body);
    let states = until(&server, "it is enforced", |states| states["enforced_digest"] == "d2").await;
    assert_eq!(conditions(&states, "web"), IN_FORCE);
    let log = server.told("/api/v1/logs/config?limit=100").await.to_string();
    assert!(log.contains("approve") && log.contains("rerun"), "{log}");

    // What is rejected is not made.
    tell(&server, "d3", &[lets_in("web", 1, 80)]).await;
    let id = run_in(&server, "waiting").await["run"]["id"].as_i64().unwrap();
    let path = format!("/api/v1/automation/runs/{id}/reject");
    assert_eq!(server.json_as(&key, "POST", &path, Some(json!({"comment": "not now"}))).await.status, 204);
    run_in(&server, "rejected").await;
    assert!(rules(&server).await.iter().any(|rule| rule.starts_with("np.prod.shop.api")), "nothing was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_firewall_that_is_away_fails_the_run_which_ends_when_it_has_come_back() {
    let (server, firewall) = house(AUTO).await;
    tell(&server, "d1", &[lets_in("web", 1, 80)]).await;
    let states = until(&server, "it is enforced", |states| states["enforced_digest"] == "d1").await;
    let digest = states["devices"][0]["digest"].as_str().unwrap().to_owned();
    firewall.go(&server).await;
    tell(&server, "d2", &[lets_in("web", 1, 80), lets_in("api", 1, 81)]).await;
    let run = run_in(&server, "failed").await;
    assert_eq!(run["run"]["task"], "push");
    assert!(run["run"]["error"].as_str().unwrap().contains("not connected"), "{run}");
    let states = server.told(POLICIES).await;
    assert_eq!(conditions(&states, "api"), "True=Translated True=Committed False=DeviceOffline");
    assert_eq!(conditions(&states, "web"), IN_FORCE, "its rules are in force as before");
    let incident = &open_incidents(&server).await[0];
    assert_eq!((&incident["status"], &incident["severity"]), (&json!("failed"), &json!("error")));
    let firewall = firewall.come_back(&server, &digest).await;
    let states = until(&server, "it is enforced", |states| states["enforced_digest"] == "d2").await;
    assert_eq!(conditions(&states, "api"), IN_FORCE);
    assert_eq!(run_in(&server, "done").await["run"]["id"], run["run"]["id"], "the same run ended");
    assert_eq!(open_incidents(&server).await, Vec::<Value>::new());
    drop(firewall);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_with_a_fault_keeps_its_form_and_is_healed_when_the_cause_is_gone() {
    let (server, _firewall) = house(AUTO).await;
    tell(&server, "d1", &[lets_in("web", 1, 80)]).await;
    until(&server, "it is enforced", |states| states["enforced_digest"] == "d1").await;
    let mut named = lets_in("web", 2, 8080);
    named["metadata"]["labels"] = json!({"np.panw.com/spyware": "house"});
    tell(&server, "d2", &[named, lets_in("api", 1, 81)]).await;
    let states = until(&server, "the other one is enforced", |states| states["enforced_digest"] == "d2").await;
    assert_eq!(conditions(&states, "api"), IN_FORCE);
    assert_eq!(conditions(&states, "web"), "False=ObjectNotFound False=NotTranslated False=NotCommitted");
    let services = server.get(&format!("{GROUP}/service")).await;
    assert!(services.contains("np.prod.tcp-80\"") && !services.contains("8080"), "the form of before: {services}");
    let open = open_incidents(&server).await;
    assert_eq!(
        (open.len(), &open[0]["subject"], &open[0]["status"]),
        (1, &json!("NetworkPolicy shop/web"), &json!("failed"))
    );
    assert!(open[0]["message"].as_str().unwrap().contains("ObjectNotFound"), "{open:?}");

    server.set(&format!("{GROUP}/profiles/spyware"), "<entry name='house'><rules/></entry>").await;
    assert!(server.commit().await.contains("<result>OK</result>"));
    let is_healed = |states: &Value| conditions(states, "web") == IN_FORCE && states["enforced_digest"] == "d2";
    until(&server, "it is healed", is_healed).await;
    run_in(&server, "done").await;
    assert_eq!(open_incidents(&server).await, Vec::<Value>::new());
    let services = server.get(&format!("{GROUP}/service")).await;
    assert!(services.contains("8080") && !services.contains("np.prod.tcp-80\""), "{services}");
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_told_as_long_as_some_firewall_may_have_rules_of_them() {
    let (server, firewall) = house(AUTO).await;
    let web = |generation: i64, app: &str, profile: Option<&str>| {
        let spec = json!({"podSelector": {"matchLabels": {"app": app}}, "ingress": [{"ports": [{"port": 80}]}]});
        let mut policy = policy("web", generation, spec);
        if let Some(profile) = profile {
            policy["metadata"]["labels"] = json!({"np.panw.com/spyware": profile});
        }
        policy
    };
    // The apps that some group is about.
    let apps = |states: &Value| -> Vec<&'static str> {
        let groups = states["groups"].to_string();
        ["alpha", "beta", "gamma"].into_iter().filter(|app| groups.contains(&format!("\"{app}\""))).collect()
    };
    tell(&server, "d1", &[web(1, "alpha", None)]).await;
    let states = until(&server, "it is enforced", |states| states["enforced_digest"] == "d1").await;
    let digest = states["devices"][0]["digest"].as_str().unwrap().to_owned();
    assert_eq!((apps(&states), &states["count"]), (vec!["alpha"], &json!(1)));
    assert!(states["groups"].as_object().unwrap().keys().all(|tag| tag.starts_with("np.prod.")), "{states}");
    let again = server.told(&format!("{POLICIES}?after={}&changed=true", states["version"])).await;
    assert_eq!((&again["groups"], &again["policies"]), (&Value::Null, &json!([])), "what did not change is left out");

    // One that is refused keeps its form of before, and so its groups.
    tell(&server, "d2", &[web(2, "beta", Some("gone"))]).await;
    let states = until(&server, "the rest is enforced", |states| states["enforced_digest"] == "d2").await;
    assert_eq!(apps(&states), ["alpha"]);

    // While a firewall may still have the old rules, both are told; also by a manager that was started again.
    firewall.go(&server).await;
    tell(&server, "d3", &[web(3, "gamma", None)]).await;
    run_in(&server, "failed").await;
    assert_eq!(apps(&server.told(POLICIES).await), ["alpha", "gamma"]);
    let mut server = server;
    server.restart().await;
    assert_eq!(apps(&server.told(POLICIES).await), ["alpha", "gamma"]);
    let firewall = firewall.come_back(&server, &digest).await;
    let states = until(&server, "the change is enforced", |states| states["enforced_digest"] == "d3").await;
    assert_eq!(apps(&states), ["gamma"]);

    // Rules that come back need the tags of then.
    let version = states["version"].as_i64().unwrap();
    let versions = server.told("/api/v1/versions").await;
    let first =
        versions["versions"].as_array().unwrap().iter().rev().find(|one| one["author"] == "automation").unwrap();
    let run = json!({"playbook": "rollback", "cluster": "prod", "inputs": {"version": first["version"]}});
    let begun = server.json("POST", "/api/v1/automation/runs", Some(run)).await;
    assert_eq!(begun.status, 202, "{}", begun.body);
    let states = until(&server, "it is rolled back", |states| conditions(states, "web").contains("RolledBack")).await;
    assert!(states["version"].as_i64().unwrap() > version);
    assert_eq!(apps(&states), ["alpha", "gamma"]);
    drop(firewall);
}

/// Changes the generated rule of `web` by hand.
async fn tamper(server: &Server) -> String {
    let rule = rules(server).await.into_iter().find(|rule| rule.starts_with("np.prod.shop.web")).unwrap();
    let xpath = format!("{GROUP}/pre-rulebase/security/rules/entry[@name='{rule}']/action");
    let edit = [("type", "config"), ("action", "edit"), ("xpath", &*xpath), ("element", "<action>deny</action>")];
    assert!(server.body(&edit).await.contains("command succeeded"));
    assert!(server.commit().await.contains("<result>OK</result>"));
    rule
}

async fn action_of(server: &Server, rule: &str) -> String {
    let xpath = format!("{GROUP}/pre-rulebase/security/rules/entry[@name='{rule}']");
    let found = server.body(&[("type", "config"), ("action", "show"), ("xpath", &xpath)]).await;
    between(&found, "<action>", "</action>").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_told_with_who_made_it_and_healed_or_kept_by_the_settings() {
    let (server, _firewall) = house(AUTO).await;
    let web = || [lets_in("web", 1, 80), policy("other", 1, json!({"podSelector": {}, "ingress": [{}]}))];
    tell(&server, "d1", &web()).await;
    until(&server, "it is enforced", |states| states["enforced_digest"] == "d1").await;
    let rule = tamper(&server).await;
    let states = until(&server, "drift is told", |states| conditions(states, "web").ends_with("False=Drift")).await;
    assert_eq!(conditions(&states, "other"), IN_FORCE);
    let open = open_incidents(&server).await;
    assert_eq!((open.len(), &open[0]["type"], &open[0]["subject"]), (1, &json!("drift"), &json!(rule)));
    let message = open[0]["message"].as_str().unwrap();
    assert!(
        message.starts_with("`admin` changed in version ") && message.contains(&format!("~ rule {rule}")),
        "{message}"
    );
    assert_eq!(action_of(&server, &rule).await, "deny", "it is only told");

    // Somebody has it healed.
    let entry = format!("{LOCALHOST}/plugins/kubernetes/policy-automation/entry[@name='prod']");
    server.set(&entry, "<drift>heal</drift>").await;
    assert!(server.commit().await.contains("<result>OK</result>"));
    let states = until(&server, "it is healed", |states| conditions(states, "web") == IN_FORCE).await;
    assert_eq!((action_of(&server, &rule).await.as_str(), &states["enforced_digest"]), ("allow", &json!("d1")));
    let before = run_in(&server, "done").await["run"]["id"].as_i64();
    tamper(&server).await;
    let run = loop {
        let run = run_in(&server, "done").await;
        if run["run"]["id"].as_i64() > before {
            break run;
        }
    };
    assert_eq!(run["run"]["playbook"], "drift");
    assert_eq!(tasks(&run), ["diff", "edit", "commit", "push", "verify"]);
    assert_eq!(action_of(&server, &rule).await, "allow");

    // Or it stays, also when another policy changes, until this one does.
    let edit = [
        ("type", "config"),
        ("action", "edit"),
        ("xpath", &*format!("{entry}/drift")),
        ("element", "<drift>keep</drift>"),
    ];
    server.body(&edit).await;
    assert!(server.commit().await.contains("<result>OK</result>"));
    run_in(&server, "done").await;
    tamper(&server).await;
    until(&server, "drift is told", |states| conditions(states, "web").ends_with("False=Drift")).await;
    tell(&server, "d2", &[web()[0].clone(), web()[1].clone(), lets_in("api", 1, 81)]).await;
    until(&server, "another one is enforced", |states| conditions(states, "api") == IN_FORCE).await;
    assert_eq!(action_of(&server, &rule).await, "deny");
    tell(&server, "d3", &[lets_in("web", 2, 8080), web()[1].clone(), lets_in("api", 1, 81)]).await;
    until(&server, "it is as the policy says", |states| conditions(states, "web") == IN_FORCE).await;
    assert!(!rules(&server).await.contains(&rule));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_comes_back_and_the_next_change_goes_on_from_the_policies() {
    let (server, _firewall) = house(AUTO).await;
    tell(&server, "d1", &[lets_in("web", 1, 80)]).await;
    until(&server, "it is enforced", |states| states["enforced_digest"] == "d1").await;
    let version = server.told("/api/v1/versions").await["versions"][0]["version"].clone();
    tell(&server, "d2", &[lets_in("web", 2, 8080)]).await;
    until(&server, "the change is enforced", |states| states["enforced_digest"] == "d2").await;
    run_in(&server, "done").await;
    let body = json!({"playbook": "rollback", "cluster": "prod", "inputs": {"version": version}});
    let started = server.json("POST", "/api/v1/automation/runs", Some(body)).await;
    assert_eq!(started.status, 202, "{}", started.body);
    let states = until(&server, "it is back", |states| conditions(states, "web").contains("RolledBack")).await;
    assert_eq!(conditions(&states, "web"), "True=Translated False=RolledBack False=NotCommitted");
    run_in(&server, "done").await;
    let services = server.get(&format!("{GROUP}/service")).await;
    assert!(services.contains("np.prod.tcp-80\"") && !services.contains("8080"), "{services}");
    tell(&server, "d3", &[lets_in("web", 2, 8080), lets_in("api", 1, 81)]).await;
    let states = until(&server, "all are as they should be", |states| states["enforced_digest"] == "d3").await;
    assert_eq!(conditions(&states, "web"), IN_FORCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn incidents_are_taken_care_of_by_people_and_playbooks_are_theirs_to_write() {
    let (server, _firewall) = house(AUTO).await;
    let key = bob(&server).await;
    tell(&server, "d1", &[policy("bad", 1, json!({"podSelector": {}, "ingres": []}))]).await;
    until(&server, "it is looked at", |states| conditions(states, "bad").starts_with("False=Invalid")).await;
    run_in(&server, "done").await;
    let id = open_incidents(&server).await[0]["id"].as_i64().unwrap();
    let path = format!("/api/v1/automation/incidents/{id}");
    let nobody = server.json("POST", &path, Some(json!({"owner": "nobody"}))).await;
    assert!(nobody.body.to_string().contains("`nobody` is no administrator"), "{}", nobody.body);
    let noted = json!({"comment": "a typing error", "owner": "bob", "severity": "warning"});
    assert_eq!(server.json_as(&key, "POST", &path, Some(noted)).await.status, 200);
    assert_eq!(server.json("POST", &path, Some(json!({"status": "closed"}))).await.body["status"], "closed");
    let detail = server.told(&path).await;
    assert_eq!((&detail["incident"]["owner"], &detail["incident"]["severity"]), (&json!("bob"), &json!("warning")));
    let lines: Vec<String> = detail["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| format!("{} {} {}", line["who"], line["kind"], line["text"]))
        .collect();
    assert!(lines.contains(&"\"bob\" \"comment\" \"a typing error\"".to_owned()), "{lines:?}");
    assert!(lines.contains(&"\"admin\" \"status\" \"closed\"".to_owned()), "{lines:?}");
    let log = server.told("/api/v1/logs/config?limit=100").await.to_string();
    assert!(log.contains(&format!("incident {id}: comment")) && log.contains("a typing error"), "{log}");

    let wrong = json!({"text": "playbook: apply\nstart: a\ntasks:\n  a: {run: chek, next: b}\n"});
    let refused = server.json("PUT", "/api/v1/automation/playbooks/apply", Some(wrong)).await;
    assert!(
        refused.body.to_string().contains("line 4: `chek` is no action: did you mean `check`?"),
        "{}",
        refused.body
    );
    let own = "playbook: apply\nstart: sure\ntasks:\n  sure: {ask: 'really?', next: done}\n  done: {end: succeeded}\n";
    let written = server.json("PUT", "/api/v1/automation/playbooks/apply", Some(json!({"text": own}))).await;
    assert_eq!(written.body["version"], 2, "{}", written.body);
    tell(&server, "d2", &[policy("bad", 1, json!({"podSelector": {}, "ingres": []})), lets_in("web", 1, 80)]).await;
    let run = run_in(&server, "waiting").await;
    assert_eq!((&run["run"]["version"], &run["steps"][0]["inputs"]["text"]), (&json!(2), &json!("really?")));
    let back = server.json("DELETE", "/api/v1/automation/playbooks/apply", None).await;
    assert_eq!(back.body["version"], 3);
    let versions = server.told("/api/v1/automation/playbooks/apply").await;
    let authors: Vec<_> = versions["playbooks"].as_array().unwrap().iter().map(|one| one["author"].clone()).collect();
    assert_eq!(authors, [json!(null), json!("admin"), json!(null)]);
    let shown = server.op("<show><automation/></show>").await;
    assert!(shown.contains("<state>waiting</state>") && shown.contains("<type>policy-created</type>"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_system_starts_a_run_that_tells_a_third_one() {
    let server = Arc::new(Server::start().await);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let chat = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut text = String::new();
        while !text.contains("ticket 7") {
            let mut bytes = [0; 1024];
            let count = stream.read(&mut bytes).await.unwrap();
            text += std::str::from_utf8(&bytes[..count]).unwrap();
        }
        stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 11\r\n\r\n{\"id\": \"x\"}").await.unwrap();
        text
    });
    let profile = format!(
        "<entry name='chat'><server><entry name='one'><address>127.0.0.1</address><protocol>HTTP</protocol><port>{port}</port>\
         </entry></server></entry>"
    );
    server.set("/config/panorama/log-settings/http", &profile).await;
    assert!(server.commit().await.contains("<result>OK</result>"));
    let text = "playbook: tell\nstart: say\ntasks:\n  say: {run: http, with: {server: chat, path: /hooks/1, \
        body: '{\"text\": \"ticket ${run.data.number}\"}'}, next: which}\n  which:\n    choose:\n      - when: say.status == 201\n        \
        next: done\n      - next: sorry\n  done: {end: succeeded}\n  sorry: {end: failed}\n";
    let written = server.json("PUT", "/api/v1/automation/playbooks/tell", Some(json!({"text": text}))).await;
    assert_eq!(written.status, 200, "{}", written.body);
    let path = "/api/v1/automation/playbooks/tell/trigger";
    let started = server.json("POST", path, Some(json!({"number": 7}))).await;
    assert_eq!(started.status, 202, "{}", started.body);
    let run = run_in(&server, "done").await;
    assert_eq!(run["steps"][0]["outputs"], json!({"status": 201, "answer": {"id": "x"}}));
    let asked = chat.await.unwrap();
    assert!(
        asked.starts_with("POST /hooks/1 HTTP/1.1\r\n") && asked.contains("content-type: application/json"),
        "{asked}"
    );
    // Nobody listens there any more.
    server.json("POST", path, Some(json!({"number": 8}))).await;
    let failed = run_in(&server, "failed").await;
    assert!(failed["run"]["error"].as_str().unwrap().starts_with("say: no connection to HTTP server"), "{failed}");
}
