//! Where does the path of one policy end: in the cluster, at the controller, at the manager, or at a firewall?
//!
//! The policy and its pods are asked of the cluster; what became of it, of the manager; its rules, of each firewall.

use bartizan_model::tree::{Child, Element};
use bartizan_model::xml;
use bartizan_playbook::LabelSelector;
use serde_json::{Value, json};

use super::super::arguments::{Doctor, Policy};
use super::super::cluster::Cluster;
use super::super::coverage::{Told, told};
use super::super::findings::{Finding, State, tell};
use super::super::preflight::scope;
use crate::remote::client::Client;
use crate::remote::output::list;
use crate::{FAILURE, Failure};

/// Rules that a firewall is asked about at once.
const RULES_MAX: usize = 20;

/// What is known of the policy.
#[derive(Default)]
struct Facts {
    policy: Value,
    /// Pods of its namespace; of one for the whole cluster nothing.
    pods: Option<Vec<Value>>,
    told: Told,
    /// Id of the chart that is installed.
    id: Option<u16>,
    /// Why no manager was asked.
    unasked: Option<String>,
    /// What the manager says of the cluster.
    cluster: Option<Value>,
    /// What it says of its policies.
    states: Value,
    /// What firewalls say of its rules.
    firewalls: Vec<Firewall>,
}

/// A firewall that is to enforce it.
struct Firewall {
    serial: String,
    /// Packets' rules: how many flows each decided; or why that is not known.
    hits: Result<u64, String>,
}

/// Walks the path.
pub(in super::super) async fn run(arguments: &Doctor, policy: &Policy) -> Result<(), Failure> {
    let facts = gather(arguments, policy).await?;
    let of = json!({ "namespace": policy.namespace, "policy": policy.name });
    tell(&judge(&facts, policy), arguments.common.output, &of)
}

async fn gather(arguments: &Doctor, policy: &Policy) -> Result<Facts, Failure> {
    let (cluster, namespace) = (Cluster::reach(&arguments.common).await?, &*arguments.common.namespace);
    let Some(found) = cluster.find(&policy.path()).await? else {
        return Err(Failure::new(FAILURE, format!("error: the cluster has no {policy}")));
    };
    let pods = match &policy.namespace {
        Some(place) => Some(cluster.list(&format!("/api/v1/namespaces/{place}/pods")).await?),
        None => None,
    };
    let mut facts = Facts {
        policy: found,
        pods,
        told: told(&cluster.list(&format!("/api/v1/namespaces/{namespace}/configmaps")).await?),
        id: scope(&cluster, namespace).await?.map(|scope| scope.cluster_id),
        ..Facts::default()
    };
    match Client::new(&arguments.server) {
        Ok(client) => ask(&client, arguments, policy, &mut facts).await?,
        Err(failure) => {
            let text = failure.text.trim_start_matches("error: ").lines().next().unwrap_or_default().to_owned();
            facts.unasked = Some(text);
        }
    }
    Ok(facts)
}

/// Asks the manager, and firewalls by it.
async fn ask(client: &Client, arguments: &Doctor, policy: &Policy, facts: &mut Facts) -> Result<(), Failure> {
    let clusters = client.get("/kubernetes/clusters", &[]).await?;
    let is_ours = |cluster: &&Value| match &arguments.cluster {
        Some(name) => cluster["name"] == name.as_str(),
        None => facts.id.is_some_and(|id| cluster["cluster_id"] == id),
    };
    facts.cluster = list(&clusters, "clusters").iter().find(is_ours).cloned();
    let Some(name) = facts.cluster.as_ref().and_then(|cluster| cluster["name"].as_str()) else { return Ok(()) };
    facts.states = client.find(&format!("/kubernetes/clusters/{name}/policies"), &[]).await?.unwrap_or_default();
    let rules: Vec<String> = match policy.of(&facts.states) {
        Some(state) => list(state, "rules").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        None => return Ok(()),
    };
    for device in list(&facts.states, "devices") {
        let serial = device["serial"].as_str().unwrap_or_default();
        let is_asked = arguments.device.as_ref().is_none_or(|asked| asked == serial);
        if !is_asked || rules.is_empty() {
            continue;
        }
        let hits = match device["connected"] == true {
            true => hits(&client.command(serial, &question(&rules)).await?),
            false => Err("it is not connected".to_owned()),
        };
        facts.firewalls.push(Firewall { serial: serial.to_owned(), hits });
    }
    Ok(())
}

fn node(mut element: Element, children: Vec<Element>) -> Element {
    element.children.extend(children.into_iter().map(|child| Child::Element(child.into())));
    element
}

/// How often did these rules decide?
fn question(rules: &[String]) -> String {
    let members = rules.iter().take(RULES_MAX).map(|rule| Element::leaf("member", rule)).collect();
    let rules = node(Element::new("rules"), vec![node(Element::new("list"), members)]);
    let base = node(Element::new("rule-base"), vec![node(Element::entry("security"), vec![rules])]);
    let vsys = node(Element::new("vsys-name"), vec![node(Element::entry("vsys1"), vec![base])]);
    let hits = node(Element::new("rule-hit-count"), vec![node(Element::new("vsys"), vec![vsys])]);
    xml::write(&node(Element::new("show"), vec![hits]))
}

/// How many flows the rules decided together; or what the firewall says instead.
fn hits(answer: &str) -> Result<u64, String> {
    let root = xml::parse(answer).map_err(|_| "its answer cannot be read".to_owned())?;
    if root.attribute("status") != Some("success") {
        let mut words = String::new();
        texts(&root, &mut words);
        return Err(words.trim().to_owned());
    }
    let mut sum = 0;
    add(&root, &mut sum);
    Ok(sum)
}

fn texts(element: &Element, words: &mut String) {
    for child in &element.children {
        match child {
            Child::Text(text) => {
                words.push_str(text.trim());
                words.push(' ');
            }
            Child::Element(child) => texts(child, words),
            _ => {}
        }
    }
}

fn add(element: &Element, sum: &mut u64) {
    for child in element.elements() {
        if &*child.name == "hit-count" {
            *sum += child.text().trim().parse().unwrap_or(0);
        }
        add(child, sum);
    }
}

fn judge(facts: &Facts, policy: &Policy) -> Vec<Finding> {
    let generation = &facts.policy["metadata"]["generation"];
    let mut findings = vec![Finding::ok("policy", format!("{policy}, generation {generation}"))];
    findings.extend(pods(facts));
    if let Some(why) = &facts.unasked {
        let unasked = |check| Finding::new(check, State::Unknown, "no manager was asked", why.clone());
        findings.extend(["controller", "told", "translated", "committed", "enforced", "rules"].map(unasked));
        return findings;
    }
    findings.push(controller(facts));
    if facts.cluster.is_none() {
        return findings;
    }
    let Some(state) = policy.of(&facts.states) else {
        let text = "the manager does not know the policy";
        let help = "the controller tells all policies, tags first: its log says what it waits for";
        findings.push(Finding::new("told", State::Failed, text, help));
        return findings;
    };
    findings.push(is_told(&facts.policy, state));
    let conditions = list(state, "conditions");
    for (check, kind) in [("translated", "Translated"), ("committed", "Committed"), ("enforced", "Enforced")] {
        findings.extend(conditions.iter().find(|one| one["type"] == kind).map(|one| condition(check, one, state)));
    }
    findings.extend(rules(facts, state));
    findings
}

/// Whom it is about, and whether rules can be about them: packets of others do not come to a firewall.
fn pods(facts: &Facts) -> Option<Finding> {
    let pods = facts.pods.as_ref()?;
    let written =
        serde_json::from_value::<LabelSelector>(facts.policy["spec"]["podSelector"].clone()).unwrap_or_default();
    // One that cannot be read is told by the state.
    let selector = written.compile().ok()?;
    let selected: Vec<&Value> = pods
        .iter()
        .filter(|pod| {
            let labels = serde_json::from_value(pod["metadata"]["labels"].clone()).unwrap_or_default();
            selector.matches(&labels)
        })
        .collect();
    let is_inspected = |pod: &&&Value| {
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        facts.told.get(uid).is_some_and(|known| known["inspected"] == true)
    };
    let inspected = selected.iter().filter(is_inspected).count();
    let text = format!("it selects {} of {} pods of its namespace, {inspected} inspected", selected.len(), pods.len());
    Some(match (selected.len(), inspected) {
        (0, _) => Finding::new("pods", State::Warning, text, "no pod has the labels of its `podSelector`"),
        (all, some) if some < all => {
            let help = "what is not inspected is not decided by rules: `bartizan k8s coverage` says why";
            Finding::new("pods", State::Warning, text, help)
        }
        _ => Finding::ok("pods", text),
    })
}

fn controller(facts: &Facts) -> Finding {
    let Some(cluster) = &facts.cluster else {
        let text = match facts.id {
            Some(id) => format!("the manager knows no cluster with the id {id}"),
            None => "which cluster it is at the manager is not known".to_owned(),
        };
        let help = "`bartizan k8s clusters` lists those that it knows: name one by `--cluster`; the chart runs the controller with \
                    `controller.enabled`";
        return Finding::new("controller", State::Failed, text, help);
    };
    let word = |name: &str| cluster[name].as_str().unwrap_or_default().to_owned();
    let (name, by, silent) = (word("name"), word("controller"), cluster["silent_s"].as_u64().unwrap_or_default());
    let text = format!("`{name}`, heard {silent} s ago from `{by}`");
    if cluster["expired"] == true {
        return Finding::new("controller", State::Failed, text, "the controller is silent for too long: see its log");
    }
    match list(cluster, "warnings").first().and_then(Value::as_str) {
        Some(warning) => Finding::new("controller", State::Warning, text, warning),
        None => Finding::ok("controller", text),
    }
}

/// Whether the manager has the policy as it is now.
fn is_told(policy: &Value, state: &Value) -> Finding {
    let metadata = &policy["metadata"];
    let (wanted, has) = (&metadata["generation"], &state["generation"]);
    if metadata["uid"] != state["uid"] {
        let text = "the manager has an earlier policy of that name";
        return Finding::new("told", State::Failed, text, "the controller's log says what it waits for");
    }
    if wanted != has {
        let text = format!("the manager has generation {has}, the cluster {wanted}");
        return Finding::new("told", State::Failed, text, "the controller's log says what it waits for");
    }
    Finding::ok("told", format!("the manager has generation {has}"))
}

fn condition(check: &'static str, condition: &Value, state: &Value) -> Finding {
    let word = |name: &str| condition[name].as_str().unwrap_or_default().to_owned();
    let (status, reason, message) = (word("status"), word("reason"), word("message"));
    let text = if message.is_empty() { reason.clone() } else { format!("{reason}: {message}") };
    let run = state["run"].as_str().unwrap_or("N");
    let (kind, help) = match (&*status, &*reason) {
        ("True", _) => return Finding::ok(check, text),
        ("Unknown", _) => (State::Unknown, format!("it is on its way: `bartizan automation show {run}`")),
        (_, "DryRun") => (State::Warning, "take `np.panw.com/dry-run` away to have it enforced".to_owned()),
        (_, "Held") => {
            (State::Warning, format!("look at it and approve: `bartizan automation show {run}`, `approve {run}`"))
        }
        (_, "Invalid" | "ObjectNotFound" | "NotAllowed" | "TooMany") => {
            (State::Failed, "put the policy right: the message says what and where".to_owned())
        }
        (_, "NoSettings" | "Disabled") => {
            (State::Failed, "see `policy-automation` of the manager's configuration".to_owned())
        }
        (_, "Drift") => (State::Failed, "somebody edited the rules; the incident names who".to_owned()),
        // What follows from the line before says nothing new.
        (_, "NotTranslated" | "NotCommitted") => (State::Failed, String::new()),
        _ => (State::Failed, format!("`bartizan automation show {run}` has every step; `rerun {run}` goes on")),
    };
    Finding::new(check, kind, text, help)
}

/// What each firewall says.
fn rules(facts: &Facts, state: &Value) -> Vec<Finding> {
    let all = list(state, "rules").len();
    if all == 0 {
        return vec![Finding::new("rules", State::Warning, "it became no rule", "")];
    }
    if facts.firewalls.is_empty() {
        let text = format!("no firewall is to enforce its {all} rules");
        return vec![Finding::new(
            "rules",
            State::Failed,
            text,
            "put a firewall into the device group, and push to it",
        )];
    }
    let asked = all.min(RULES_MAX);
    let one = |firewall: &Firewall| {
        let Firewall { serial, hits } = firewall;
        match hits {
            Ok(hits) => Finding::ok(
                "rules",
                format!("{asked} of {all} rules looked for, all in force at {serial}; they decided {hits} flows"),
            ),
            Err(why) => {
                Finding::new("rules", State::Failed, format!("{serial}: {why}"), "is it connected? `bartizan devices`")
            }
        }
    };
    facts.firewalls.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy { namespace: Some("shop".to_owned()), name: "db".to_owned() }
    }

    fn facts() -> Facts {
        let condition = |kind: &str| json!({ "type": kind, "status": "True", "reason": kind, "message": "" });
        let pod = |uid: &str, app: &str| json!({ "metadata": { "uid": uid, "labels": { "app": app } } });
        Facts {
            policy: json!({ "metadata": { "uid": "u", "generation": 2 },
                "spec": { "podSelector": { "matchLabels": { "app": "db" } } } }),
            pods: Some(vec![pod("1", "db"), pod("2", "web")]),
            told: [("1".to_owned(), json!({ "inspected": true }))].into(),
            id: Some(7),
            unasked: None,
            cluster: Some(
                json!({ "name": "lab", "cluster_id": 7, "controller": "one", "silent_s": 3, "expired": false, "warnings": [] }),
            ),
            states: json!({ "policies": [{ "kind": "NetworkPolicy", "namespace": "shop", "name": "db", "uid": "u", "generation": 2,
                "run": "9", "rules": ["np.lab.shop.db.i0"],
                "conditions": [condition("Translated"), condition("Committed"), condition("Enforced")] }] }),
            firewalls: vec![Firewall { serial: "BZT1".to_owned(), hits: Ok(4) }],
        }
    }

    #[test]
    fn the_path_of_a_policy_is_walked_and_each_break_is_named() {
        let good = judge(&facts(), &policy());
        let checks: Vec<&str> = good.iter().map(|finding| finding.check).collect();
        assert_eq!(checks, ["policy", "pods", "controller", "told", "translated", "committed", "enforced", "rules"]);
        assert!(good.iter().all(|finding| finding.state == State::Ok), "{good:#?}");
        assert_eq!(good[0].text, "NetworkPolicy `shop/db`, generation 2");
        assert_eq!(good[7].text, "1 of 1 rules looked for, all in force at BZT1; they decided 4 flows");

        let check = |check: &str, state: State, words: &str, change: &dyn Fn(&mut Facts)| {
            let mut facts = facts();
            change(&mut facts);
            let findings = judge(&facts, &policy());
            let finding =
                findings.iter().find(|finding| finding.check == check).unwrap_or_else(|| panic!("{findings:#?}"));
            let text = format!("{} / {}", finding.text, finding.help);
            assert!(finding.state == state && text.contains(words), "{check}: {:?} {text}", finding.state);
        };
        let say = |kind: usize, status: &'static str, reason: &'static str| {
            move |facts: &mut Facts| {
                let condition = &mut facts.states["policies"][0]["conditions"][kind];
                (condition["status"], condition["reason"]) = (json!(status), json!(reason));
            }
        };
        check("pods", State::Warning, "selects 0 of 1", &|facts| drop(facts.pods.as_mut().unwrap().remove(0)));
        check("pods", State::Warning, "coverage", &|facts| facts.told.clear());
        check("controller", State::Failed, "no cluster with the id 7", &|facts| facts.cluster = None);
        check("controller", State::Failed, "silent", &|facts| facts.cluster.as_mut().unwrap()["expired"] = json!(true));
        check("controller", State::Warning, "twice", &|facts| {
            facts.cluster.as_mut().unwrap()["warnings"] = json!(["the id is there twice"]);
        });
        check("controller", State::Unknown, "no login", &|facts| facts.unasked = Some("no login".to_owned()));
        check("told", State::Failed, "does not know", &|facts| facts.states = json!({}));
        check("told", State::Failed, "generation 2, the cluster 3", &|facts| {
            facts.policy["metadata"]["generation"] = json!(3);
        });
        check("told", State::Failed, "earlier", &|facts| facts.policy["metadata"]["uid"] = json!("v"));
        check("translated", State::Failed, "put the policy right", &say(0, "False", "NotAllowed"));
        check("translated", State::Unknown, "automation show 9", &say(0, "Unknown", "Pending"));
        check("committed", State::Warning, "approve 9", &say(1, "False", "Held"));
        check("committed", State::Warning, "dry-run", &say(1, "False", "DryRun"));
        check("committed", State::Failed, "policy-automation", &say(1, "False", "NoSettings"));
        check("enforced", State::Failed, "rerun 9", &say(2, "False", "PushFailed"));
        check("enforced", State::Failed, "names who", &say(2, "False", "Drift"));
        check("rules", State::Warning, "no rule", &|facts| facts.states["policies"][0]["rules"] = json!([]));
        check("rules", State::Failed, "no firewall", &|facts| facts.firewalls.clear());
        check("rules", State::Failed, "BZT1: gone", &|facts| facts.firewalls[0].hits = Err("gone".to_owned()));
    }

    #[test]
    fn firewalls_are_asked_for_the_rules_by_name() {
        assert_eq!(
            question(&["a".to_owned(), "b".to_owned()]),
            "<show><rule-hit-count><vsys><vsys-name><entry name=\"vsys1\"><rule-base><entry name=\"security\"><rules><list>\
             <member>a</member><member>b</member></list></rules></entry></rule-base></entry></vsys-name></vsys></rule-hit-count></show>"
        );
        let rule = |count: u32| format!("<entry name=\"a\"><latest>yes</latest><hit-count>{count}</hit-count></entry>");
        let answer = format!(
            "<response status=\"success\"><result><rule-hit-count><vsys><entry name=\"vsys1\"><rule-base><entry name=\"security\">\
             <rules>{}{}</rules></entry></rule-base></entry></vsys></rule-hit-count></result></response>",
            rule(3),
            rule(4)
        );
        assert_eq!(hits(&answer), Ok(7));
        let refused =
            "<response status=\"error\"><msg><line>the security rule base has no rule `a`</line></msg></response>";
        assert_eq!(hits(refused), Err("the security rule base has no rule `a`".to_owned()));
        assert!(hits("no XML").is_err());
    }
}
