//! From `kubectl apply` to real connections: a scripted API server, the controller, the manager, and a firewall with pods
//! behind its ports.

use std::collections::BTreeSet;

use bartizan_lab::kubernetes::{ApiServer, namespace, network_policy, pod};
use serde_json::{Value, json};

use crate::house::{House, LOCALHOST, Running, is_inside};
use crate::pods::{PORT, Pods, SERVER};

const WEB: &str = "10.244.1.10";
const JOB: &str = "10.244.1.11";

/// A cluster with three pods, all of it.
struct Shop {
    api: ApiServer,
    house: House,
    pods: Pods,
    controller: Option<Running>,
}

impl Shop {
    /// With these settings of policy automation.
    fn open(settings: &str) -> Self {
        let api = ApiServer::start(&["v1"]);
        api.put("namespaces", namespace("shop", &[]));
        for (app, address) in [("web", WEB), ("job", JOB), ("db", SERVER)] {
            api.put("pods", pod("shop", app, address, &[("app", app)]));
        }
        let folder = tempfile::tempdir().unwrap().keep();
        let pods = Pods::start(&folder, &[WEB, JOB]);
        let house = House::wired();
        house.automate(&format!("<zone><member>pods</member></zone>{settings}"));
        let controller = Some(house.start_controller(&api));
        let shop = Self { api, house, pods, controller };
        shop.until_connections("web job");
        shop
    }

    fn start_controller(&mut self) {
        self.controller = Some(self.house.start_controller(&self.api));
    }

    fn put(&self, name: &str, spec: Value, attributes: Value) {
        let mut policy = network_policy("shop", name, spec);
        policy["metadata"]["labels"] = attributes;
        self.api.put("networkpolicies", policy);
    }

    fn deny_all(&self) {
        self.put("deny-all", json!({ "podSelector": {}, "policyTypes": ["Ingress"] }), json!({}));
    }

    /// Lets an app's pods reach the database.
    fn admit(&self, name: &str, app: &str, attributes: Value) {
        let of = |app: &str| json!({ "matchLabels": { "app": app } });
        let from = json!([{ "from": [{ "podSelector": of(app) }], "ports": [{ "port": PORT }] }]);
        self.put(name, json!({ "podSelector": of("db"), "ingress": from }), attributes);
    }

    /// A condition of what stands beside a policy: status, reason, message.
    fn condition(&self, name: &str, kind: &str) -> String {
        let state = self.api.get("firewallpolicystates", "shop", name).unwrap_or_default();
        let mut of = state["status"]["conditions"].as_array().into_iter().flatten();
        let text = |one: &Value, field: &str| one[field].as_str().unwrap_or_default().to_owned();
        let found = of.find(|one| one["type"] == kind);
        found.map(|one| ["status", "reason", "message"].map(|field| text(one, field)).join(" ")).unwrap_or_default()
    }

    fn until(&self, name: &str, kind: &str, begins: &str) {
        self.house.until(&format!("{kind} of {name} is {begins}"), || self.condition(name, kind).starts_with(begins));
    }

    fn until_enforced(&self, name: &str) {
        self.until(name, "Enforced", "True Enforced");
    }

    /// Which clients' connections come about.
    fn connections(&self) -> String {
        let all = [("web", WEB), ("job", JOB)];
        all.into_iter().filter(|(_, from)| self.pods.connects(from)).map(|(app, _)| app).collect::<Vec<_>>().join(" ")
    }

    fn until_connections(&self, expected: &str) {
        self.house.until(&format!("connections of `{expected}`"), || self.connections() == expected);
    }

    /// The generated rules, each of which is there once.
    fn rules(&self) -> BTreeSet<String> {
        let group = self.house.running(&format!("{LOCALHOST}/device-group/entry[@name='cloud']/pre-rulebase"));
        let names: Vec<String> =
            group.split("<entry name=\"").skip(1).map(|part| part.split('"').next().unwrap().to_owned()).collect();
        let once: BTreeSet<String> = names.iter().cloned().collect();
        assert_eq!(once.len(), names.len(), "a rule is there twice: {names:?}");
        once.into_iter().filter(|name| name.starts_with("np.lab.")).collect()
    }

    /// The run of a policy's last change.
    fn run_of(&self, name: &str) -> Value {
        let states = self.house.json("/kubernetes/clusters/lab/policies");
        let mut policies = states["policies"].as_array().into_iter().flatten();
        let run = policies.find(|policy| policy["name"] == name).and_then(|policy| policy["run"].as_str());
        self.house.json(&format!("/automation/runs/{}", run.unwrap_or_default()))
    }
}

#[test]
fn policies_that_are_applied_decide_about_real_connections_and_go_without_a_trace_whoever_is_killed() {
    if !is_inside(
        "enforced::policies_that_are_applied_decide_about_real_connections_and_go_without_a_trace_whoever_is_killed",
    ) {
        return;
    }
    let mut shop = Shop::open("<auto-commit>yes</auto-commit>");
    assert_eq!(shop.rules(), BTreeSet::new());
    shop.deny_all();
    shop.until_enforced("deny-all");
    assert_eq!(shop.connections(), "", "what worked is refused");
    let attributes = json!({ "np.panw.com/spyware": "strict", "np.panw.com/vuln-protection": "strict" });
    shop.admit("web-to-db", "web", attributes);
    shop.until_enforced("web-to-db");
    assert_eq!(shop.connections(), "web", "what the policy means is let in again, and nothing else");
    let query = "/logs/traffic?query=(tag.src%20eq%20k8s.cl_lab.ns_shop.app.web)%20and%20(tag.dst%20contains%20app.db)";
    shop.house.until("lines of the log are found by the pods' labels", || {
        shop.house.json(query)["lines"][0]["fields"]["src"] == WEB
    });
    let group = shop.house.running(&format!("{LOCALHOST}/device-group/entry[@name='cloud']/pre-rulebase"));
    for profile in
        ["<spyware><member>strict</member></spyware>", "<vulnerability><member>strict</member></vulnerability>"]
    {
        assert!(group.contains(profile), "{profile}: {group}");
    }

    // The manager is killed as soon as there is something new; then the controller, while policies come and go.
    shop.admit("job-to-db", "job", json!({}));
    shop.house.manager = None;
    shop.house.start_manager();
    shop.until_connections("web job");
    shop.until_enforced("job-to-db");
    let with_all = shop.rules();
    shop.controller = None;
    shop.api.delete("networkpolicies", "shop", "web-to-db");
    shop.admit("job-to-db", "web", json!({}));
    shop.start_controller();
    shop.house.manager = None;
    shop.house.start_manager();
    shop.until_connections("web");
    shop.house.until("the rules of before are gone", || {
        shop.rules().is_disjoint(&with_all) || shop.rules().len() < with_all.len()
    });

    // All are deleted while nobody is there to see it: what was made of them goes, and nothing else.
    shop.controller = None;
    shop.house.manager = None;
    shop.api.delete("networkpolicies", "shop", "deny-all");
    shop.api.delete("networkpolicies", "shop", "job-to-db");
    shop.house.start_manager();
    shop.start_controller();
    shop.until_connections("web job");
    let group = || shop.house.running(&format!("{LOCALHOST}/device-group/entry[@name='cloud']"));
    shop.house.until("no generated object is left", || !group().contains("np.lab"));
    assert!(group().contains("<entry name=\"web-pods\"") && group().contains("<entry name=\"db-pods\""), "{}", group());
}

#[test]
fn a_run_waits_for_approval_or_fails_with_the_reason_and_goes_on_when_the_cause_is_gone() {
    if !is_inside("enforced::a_run_waits_for_approval_or_fails_with_the_reason_and_goes_on_when_the_cause_is_gone") {
        return;
    }
    let mut shop = Shop::open("<batch-window>1</batch-window>");
    // Without auto-commit nothing is enforced until somebody has seen the difference.
    shop.deny_all();
    shop.until("deny-all", "Committed", "False Held");
    let run = shop.run_of("deny-all");
    assert_eq!((&run["run"]["state"], &run["run"]["task"]), (&json!("waiting"), &json!("approve")), "{run}");
    let diff = run["steps"].as_array().unwrap().iter().find(|step| step["task"] == "diff").unwrap();
    assert!(diff["outputs"]["text"].as_str().unwrap().contains("np.lab.default-deny-ingress."), "{diff}");
    assert_eq!((shop.connections().as_str(), shop.rules()), ("web job", BTreeSet::new()));
    let path = format!("/automation/runs/{}/approve", run["run"]["id"]);
    shop.house.send("POST", &path, &json!({ "comment": "seen" }));
    shop.until_enforced("deny-all");
    assert_eq!(shop.connections(), "");

    // A profile that does not exist: the state says which, and the policy lets nobody in. Then there is one.
    shop.house.automate("<auto-commit>yes</auto-commit>");
    shop.admit("job-to-db", "job", json!({ "np.panw.com/spyware": "house" }));
    shop.until("job-to-db", "Translated", "False ObjectNotFound");
    let why = shop.condition("job-to-db", "Translated");
    assert!(why.contains("np.panw.com/spyware") && why.contains("`house`"), "{why}");
    assert_eq!(shop.connections(), "");
    let group = format!("{LOCALHOST}/device-group/entry[@name='cloud']");
    shop.house.set(&format!("{group}/profiles/spyware"), "<entry name='house'><rules/></entry>");
    shop.house.job(&[("type", "commit"), ("cmd", "<commit/>")]);
    shop.until_enforced("job-to-db");
    assert_eq!(shop.connections(), "job");

    // The firewall is away: the run fails where it pushes, and ends when the firewall is there again.
    shop.house.firewall = None;
    shop.admit("web-to-db", "web", json!({}));
    shop.until("web-to-db", "Enforced", "False DeviceOffline");
    let run = shop.run_of("web-to-db");
    let failed = run["steps"].as_array().unwrap().iter().find(|step| step["state"] == "failed").unwrap();
    assert_eq!((&run["run"]["state"], &failed["task"]), (&json!("failed"), &json!("push")), "{run}");
    assert!(failed["error"].as_str().unwrap().contains("not connected"), "{failed}");
    shop.house.start_firewall();
    shop.until_enforced("web-to-db");
    shop.until_connections("web job");
    let again = shop.run_of("web-to-db");
    assert_eq!((&again["run"]["id"], &again["run"]["state"]), (&run["run"]["id"], &json!("done")), "{again}");
}
