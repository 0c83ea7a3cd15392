//! Where does the path of one pod's traffic end, or that of a policy?
//!
//! Of a pod, annotation, plugin, tunnel and endpoint are asked of the cluster; traffic object, zone and rule of the manager, if
//! there is one to ask.

mod policy;

use std::net::IpAddr;

use bartizan_model::tree::Element;
use bartizan_model::xml;
use serde_json::{Value, json};

use super::arguments::Doctor;
use super::asked::{Asked, Scope};
use super::cluster::Cluster;
use super::coverage::{Told, told};
use super::endpoints::{Endpoint, endpoints, zone};
use super::findings::{Finding, State, tell};
use super::preflight::{scope, slices};
use crate::remote::client::Client;
use crate::remote::output::list;
use crate::{FAILURE, Failure};

/// Where a device keeps what belongs to tunnels and zones.
const VSYS: &str = "/config/devices/entry/vsys/entry";

/// What the cluster says about the pod.
struct Facts {
    pod: Value,
    place: Option<Value>,
    node: Option<Value>,
    agents: Vec<Value>,
    scope: Option<Scope>,
    told: Told,
    endpoints: Vec<Endpoint>,
    /// Address of a service that every cluster has.
    service: Option<IpAddr>,
}

/// Walks the path.
pub(super) async fn run(arguments: &Doctor) -> Result<(), Failure> {
    if let Some(policy) = &arguments.policy {
        return policy::run(arguments, policy).await;
    }
    // The command line has one of the two.
    let Some(asked) = &arguments.pod else { return Ok(()) };
    let facts = gather(arguments, asked).await?;
    let mut findings = judge(&facts);
    let id = facts.scope.as_ref().map_or(0, |scope| scope.cluster_id);
    let address = facts.pod["status"]["podIP"].as_str().unwrap_or_default();
    findings.extend(firewalls(arguments, id, address, facts.service).await?);
    let (namespace, name) = asked;
    tell(&findings, arguments.common.output, &json!({ "namespace": namespace, "pod": name }))
}

async fn gather(arguments: &Doctor, asked: &(String, String)) -> Result<Facts, Failure> {
    let (common, (place, name)) = (&arguments.common, asked);
    let (cluster, namespace) = (Cluster::reach(common).await?, &*common.namespace);
    let Some(pod) = cluster.find(&format!("/api/v1/namespaces/{place}/pods/{name}")).await? else {
        return Err(Failure::new(FAILURE, format!("error: there is no pod `{name}` in the namespace `{place}`")));
    };
    let node = match pod["spec"]["nodeName"].as_str() {
        Some(node) => cluster.find(&format!("/api/v1/nodes/{node}")).await?,
        None => None,
    };
    let service = cluster.find("/api/v1/namespaces/default/services/kubernetes").await?;
    Ok(Facts {
        service: service.and_then(|service| service["spec"]["clusterIP"].as_str()?.parse().ok()),
        place: cluster.find(&format!("/api/v1/namespaces/{place}")).await?,
        agents: cluster.list(&format!("/api/v1/namespaces/{namespace}/pods")).await?,
        scope: scope(&cluster, namespace).await?,
        told: told(&cluster.list(&format!("/api/v1/namespaces/{namespace}/configmaps")).await?),
        endpoints: endpoints(&slices(&cluster, namespace).await?),
        pod,
        node,
    })
}

fn judge(facts: &Facts) -> Vec<Finding> {
    vec![pod(&facts.pod), annotation(facts), plugin(facts), tunnel(facts), endpoint(facts)]
}

fn pod(pod: &Value) -> Finding {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let (phase, node, address) =
        (word(&pod["status"]["phase"]), word(&pod["spec"]["nodeName"]), word(&pod["status"]["podIP"]));
    match &*phase {
        "Running" => Finding::ok("pod", format!("{address} on `{node}`")),
        _ => Finding::new(
            "pod",
            State::Failed,
            format!("{phase} on `{node}`"),
            "`kubectl describe pod` tells what it waits for; an event of the plugin names what it refuses",
        ),
    }
}

fn annotation(facts: &Facts) -> Finding {
    let Some(scope) = &facts.scope else {
        let help = "install it, or name its namespace by `--namespace`";
        return Finding::new("annotation", State::Failed, "the chart is not installed in this namespace", help);
    };
    match scope.of(&facts.pod, facts.place.as_ref()) {
        Asked::Yes(why) => Finding::ok("annotation", why),
        Asked::No(why) => Finding::new(
            "annotation",
            State::Failed,
            format!("it does not ask to be inspected: {why}"),
            "annotate it or its namespace with `paloaltonetworks.com/firewall: pan-fw`, and restart it",
        ),
        Asked::Mistaken(why) => {
            let values = scope.accepted.join("`, `");
            Finding::new("annotation", State::Failed, why, format!("accepted are `{values}` and `none`"))
        }
    }
}

fn plugin(facts: &Facts) -> Finding {
    let node = facts.pod["spec"]["nodeName"].as_str().unwrap_or_default();
    let label = "app.kubernetes.io/component";
    let mut here = facts.agents.iter().filter(|agent| {
        agent["metadata"]["labels"][label] == "pan-cni" && agent["spec"]["nodeName"].as_str() == Some(node)
    });
    let Some(agent) = here.next() else {
        return Finding::new(
            "plugin",
            State::Failed,
            format!("no node agent runs on `{node}`"),
            "see the chart's `nodeSelector` and `tolerations`",
        );
    };
    let name = agent["metadata"]["name"].as_str().unwrap_or_default();
    let conditions = agent["status"]["conditions"].as_array();
    let ready = conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True");
    if ready {
        return Finding::ok("plugin", format!("in the CNI configuration of `{node}`, by `{name}`"));
    }
    let text = format!("`{name}` is not ready: the plugin is not in the CNI configuration of `{node}`");
    Finding::new("plugin", State::Failed, text, format!("`kubectl logs {name}` says what it waits for"))
}

fn tunnel(facts: &Facts) -> Finding {
    let uid = facts.pod["metadata"]["uid"].as_str().unwrap_or_default();
    let node = facts.pod["spec"]["nodeName"].as_str().unwrap_or_default();
    match facts.told.get(uid) {
        Some(known) if known["inspected"] == true => {
            let since = known["since"].as_str().unwrap_or_default();
            Finding::ok("tunnel", format!("up since {since}: {}", known["reason"].as_str().unwrap_or_default()))
        }
        Some(known) => Finding::new(
            "tunnel",
            State::Failed,
            format!("none: {}", known["reason"].as_str().unwrap_or_default()),
            "a pod gets its tunnel when it starts: put right what is named here, then restart it",
        ),
        None => Finding::new(
            "tunnel",
            State::Failed,
            format!("the node agent of `{node}` does not know the pod"),
            "a pod gets its tunnel when it starts: restart it",
        ),
    }
}

fn endpoint(facts: &Facts) -> Finding {
    let ready: Vec<&Endpoint> = facts.endpoints.iter().filter(|one| one.ready).collect();
    let Some(first) = ready.first() else {
        return Finding::new(
            "endpoint",
            State::Failed,
            format!("none of {} endpoints is ready", facts.endpoints.len()),
            "`bartizan k8s preflight` says more",
        );
    };
    let here = facts.node.as_ref().map(zone).unwrap_or_default();
    match ready.iter().find(|one| one.zone == here) {
        Some(own) if !here.is_empty() => Finding::ok("endpoint", format!("{} in the zone {here}", own.address)),
        _ if here.is_empty() || ready.iter().all(|one| one.zone.is_empty()) => {
            Finding::ok("endpoint", first.address.clone())
        }
        _ => Finding::new(
            "endpoint",
            State::Warning,
            format!("none in the node's zone {here}; the next is {} in {}", first.address, first.zone),
            "add `endpointsN` and `endpointsNzone`",
        ),
    }
}

/// What the manager says about the firewalls.
async fn firewalls(
    arguments: &Doctor,
    id: u16,
    address: &str,
    service: Option<IpAddr>,
) -> Result<Vec<Finding>, Failure> {
    let client = match Client::new(&arguments.server) {
        Ok(client) => client,
        Err(failure) => {
            let text = failure.text.trim_start_matches("error: ").lines().next().unwrap_or_default().to_owned();
            let unasked = |check| Finding::new(check, State::Unknown, "no manager was asked", text.clone());
            return Ok(vec![unasked("traffic object"), unasked("zone"), unasked("rule")]);
        }
    };
    let serials: Vec<String> = match &arguments.device {
        Some(serial) => vec![serial.clone()],
        None => {
            let devices = client.get("/devices", &[]).await?;
            let serials = list(&devices, "devices").iter().filter_map(|device| device["serial"].as_str());
            serials.map(str::to_owned).collect()
        }
    };
    let mut found = Vec::new();
    for serial in &serials {
        if let Some(object) = traffic_object(&client, serial, id).await? {
            found.push(object);
        }
    }
    if found.is_empty() {
        return Ok(vec![Finding::new(
            "traffic object",
            State::Failed,
            format!("none of {} firewalls was pushed a traffic object with the cluster id {id}", serials.len()),
            format!("add one to the template (`k8s-cluster`, `cluster-id` {id}), commit and push"),
        )]);
    }
    let mut findings = Vec::new();
    for object in &found {
        findings.extend(object.judge(id));
        let flow = (address, arguments.to, arguments.port);
        findings.push(rule(object, explain(&client, object, flow).await?.as_ref(), flow));
        if let Some(service) = service
            && let Some(explained) = explain(&client, object, (address, service, 443)).await?
        {
            findings.push(services(object, &explained, service));
        }
    }
    Ok(findings)
}

/// A traffic object of a firewall.
struct TrafficObject {
    serial: String,
    name: String,
    zone: String,
    zones: Vec<String>,
}

impl TrafficObject {
    fn judge(&self, id: u16) -> [Finding; 2] {
        let Self { serial, name, zone, zones } = self;
        let object = Finding::ok("traffic object", format!("`{name}` of {serial} has the cluster id {id}"));
        let there = if zone.is_empty() {
            let text = format!("`{name}` of {serial} has no `zone-ingress`");
            Finding::new("zone", State::Failed, text, "name the zone of the pods in its `network`")
        } else if zones.iter().any(|one| one == zone) {
            Finding::ok("zone", format!("`{zone}` of {serial}"))
        } else {
            let text = format!("{serial} has no zone `{zone}`, which `{name}` names");
            Finding::new("zone", State::Failed, text, "add the zone to the template")
        };
        [object, there]
    }
}

async fn traffic_object(client: &Client, serial: &str, id: u16) -> Result<Option<TrafficObject>, Failure> {
    for object in pushed(client, serial, "traffic-object/entry").await? {
        let cluster = object.child("k8s-cluster");
        let Some(cluster) = cluster.filter(|cluster| text(cluster, &["cluster-id"]) == id.to_string()) else {
            continue;
        };
        let zones = pushed(client, serial, "zone/entry").await?;
        let names = zones.iter().filter_map(|zone| zone.attribute("name")).map(str::to_owned);
        return Ok(Some(TrafficObject {
            serial: serial.to_owned(),
            name: object.attribute("name").unwrap_or_default().to_owned(),
            zone: text(cluster, &["network", "zone-ingress"]),
            zones: names.collect(),
        }));
    }
    Ok(None)
}

/// Elements of what a firewall was pushed last.
async fn pushed(client: &Client, serial: &str, place: &str) -> Result<Vec<Element>, Failure> {
    let (source, xpath) = (format!("pushed:{serial}"), format!("{VSYS}/{place}"));
    let parameters = [("source", &*source), ("xpath", &xpath), ("xml", "true")];
    let Some(found) = client.find("/config", &parameters).await? else { return Ok(Vec::new()) };
    let texts = list(&found, "nodes").iter().filter_map(|node| node["xml"].as_str());
    Ok(texts.filter_map(|text| xml::parse(text).ok()).collect())
}

/// What a firewall says about a flow.
struct Explained {
    outcome: String,
    rule: String,
    /// Stage and finding.
    steps: Vec<(String, String)>,
}

impl Explained {
    fn read(answer: &str) -> Option<Self> {
        let answer = xml::parse(answer).ok().filter(|answer| answer.attribute("status") == Some("success"))?;
        let steps = answer.descend(&["result", "steps"])?;
        Some(Self {
            outcome: text(&answer, &["result", "outcome"]),
            rule: text(&answer, &["result", "rule"]),
            steps: steps.elements().map(|step| (text(step, &["stage"]), text(step, &["text"]))).collect(),
        })
    }

    /// Does it go back to the pod's node?
    fn goes_back(&self) -> bool {
        self.steps.iter().any(|(stage, found)| stage == "route" && found.ends_with("back to the pod's node"))
    }

    /// Does the flow leave under another source address?
    fn has_source_nat(&self) -> bool {
        self.steps.iter().any(|(stage, found)| stage == "nat" && found.contains("source becomes"))
    }
}

/// How a flow of the pod is decided by a firewall; nothing when it does not say.
async fn explain(
    client: &Client,
    object: &TrafficObject,
    flow: (&str, IpAddr, u16),
) -> Result<Option<Explained>, Failure> {
    let (from, to, port) = flow;
    let command = format!(
        "<explain><from>{}</from><source>{from}</source><destination>{to}</destination><protocol>6</protocol>\
         <destination-port>{port}</destination-port></explain>",
        object.zone
    );
    Ok(Explained::read(&client.command(&object.serial, &command).await?))
}

fn rule(object: &TrafficObject, explained: Option<&Explained>, flow: (&str, IpAddr, u16)) -> Finding {
    let (serial, flow) = (&object.serial, format!("{} to {} port {}", flow.0, flow.1, flow.2));
    let Some(Explained { outcome, rule, .. }) = explained else {
        let text = format!("{serial} does not say what happens to {flow}");
        return Finding::new("rule", State::Unknown, text, "is it connected? `bartizan devices`");
    };
    if outcome == "allow" {
        return Finding::ok("rule", format!("`{rule}` of {serial} allows {flow}"));
    }
    let by = if rule.is_empty() { String::new() } else { format!(", by the rule `{rule}`") };
    Finding::new(
        "rule",
        State::Warning,
        format!("{serial} answers {flow} with {outcome}{by}"),
        "name whom the pod talks to by `--to` and `--port`; the traffic is inspected all the same",
    )
}

/// Only the pod's node knows what is behind a service; to another one it goes under the firewall's address only.
fn services(object: &TrafficObject, explained: &Explained, address: IpAddr) -> Finding {
    let serial = &object.serial;
    if explained.goes_back() {
        return Finding::ok(
            "services",
            format!("{serial} gives packets to services such as {address} back to the node"),
        );
    }
    if explained.has_source_nat() {
        return Finding::ok("services", format!("{serial} goes to services such as {address} by source NAT"));
    }
    Finding::new(
        "services",
        State::Warning,
        format!(
            "{serial} does not know that {address} is within the cluster, and has no source NAT towards it ({}): no answer comes \
             back",
            explained.outcome
        ),
        format!(
            "name the ranges of services, pods and nodes as `cluster-cidr` of the traffic object `{}`",
            object.name
        ),
    )
}

fn text(element: &Element, path: &[&str]) -> String {
    element.descend(path).map(Element::text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let labels = json!({ "app.kubernetes.io/component": "pan-cni" });
        Facts {
            pod: json!({ "metadata": { "namespace": "shop", "name": "web", "uid": "u" },
                "spec": { "nodeName": "n1" }, "status": { "phase": "Running", "podIP": "10.1.0.9" } }),
            place: Some(json!({ "metadata": { "annotations": { "paloaltonetworks.com/firewall": "pan-fw" } } })),
            node: Some(json!({ "metadata": { "labels": { "topology.kubernetes.io/zone": "a" } } })),
            agents: vec![json!({ "metadata": { "name": "pan-cni-x", "labels": labels }, "spec": { "nodeName": "n1" },
                "status": { "conditions": [{ "type": "Ready", "status": "True" }] } })],
            scope: Some(Scope { accepted: vec!["pan-fw".to_owned()], cluster_id: 7, ..Scope::default() }),
            told: [("u".to_owned(), json!({ "inspected": true, "reason": "namespace", "since": "now" }))].into(),
            endpoints: vec![Endpoint { address: "10.0.0.1".into(), zone: "a".into(), ready: true, silent: false }],
            service: None,
        }
    }

    #[test]
    fn the_path_is_walked_and_each_break_is_named() {
        assert!(judge(&facts()).iter().all(|finding| finding.state == State::Ok), "{:?}", judge(&facts()));
        let check = |check: &str, state: State, words: &str, change: &dyn Fn(&mut Facts)| {
            let mut facts = facts();
            change(&mut facts);
            let finding = judge(&facts).into_iter().find(|finding| finding.check == check).unwrap();
            let text = format!("{} / {}", finding.text, finding.help);
            assert!(finding.state == state && text.contains(words), "{check}: {:?} {text}", finding.state);
        };
        check("pod", State::Failed, "Pending", &|facts| facts.pod["status"]["phase"] = json!("Pending"));
        check("annotation", State::Failed, "not installed", &|facts| facts.scope = None);
        check("annotation", State::Failed, "does not ask", &|facts| facts.place = None);
        check("annotation", State::Failed, "not accepted / accepted are `pan-fw` and `none`", &|facts| {
            facts.pod["metadata"]["annotations"] = json!({ "paloaltonetworks.com/firewall": "fw" });
        });
        check("plugin", State::Failed, "no node agent runs on `n1`", &|facts| facts.agents.clear());
        check("plugin", State::Failed, "not ready", &|facts| facts.agents[0]["status"] = json!({}));
        check("tunnel", State::Failed, "restart it", &|facts| facts.told.clear());
        check("tunnel", State::Failed, "none: failure mode", &|facts| {
            facts.told.insert("u".to_owned(), json!({ "inspected": false, "reason": "failure mode" }));
        });
        check("endpoint", State::Failed, "none of 1", &|facts| facts.endpoints[0].ready = false);
        check("endpoint", State::Warning, "the next is 10.0.0.1 in b", &|facts| facts.endpoints[0].zone = "b".into());
    }

    #[test]
    fn a_traffic_object_without_its_zone_is_a_break() {
        let object = |zone: &str| TrafficObject {
            serial: "BZT1".into(),
            name: "apps".into(),
            zone: zone.into(),
            zones: vec!["pods".into()],
        };
        assert_eq!(object("pods").judge(7)[1].state, State::Ok);
        assert_eq!(object("gone").judge(7)[1].text, "BZT1 has no zone `gone`, which `apps` names");
        assert_eq!(object("").judge(7)[1].state, State::Failed);
    }

    #[test]
    fn what_a_firewall_says_of_a_flow_is_read() {
        let answer = |nat: &str, outcome: &str| {
            format!(
                "<response status=\"success\"><result><outcome>{outcome}</outcome><rule>web</rule><steps>\
                 <entry><stage>nat</stage><text>{nat}</text><origin/></entry></steps></result></response>"
            )
        };
        let object =
            TrafficObject { serial: "BZT1".into(), name: "apps".into(), zone: "pods".into(), zones: Vec::new() };
        let address: IpAddr = "10.96.0.1".parse().unwrap();
        let judge = |nat: &str, outcome: &str| {
            let explained = Explained::read(&answer(nat, outcome)).unwrap();
            let rule = rule(&object, Some(&explained), ("10.1.0.9", address, 443));
            (rule.state, rule.text, services(&object, &explained, address).state)
        };
        assert_eq!(
            judge("rule `out`: source becomes 10.0.0.1 with a new port", "allow"),
            (State::Ok, "`web` of BZT1 allows 10.1.0.9 to 10.96.0.1 port 443".to_owned(), State::Ok)
        );
        let route = answer("no rule matches", "allow").replace("<stage>nat</stage>", "<stage>route</stage>");
        let route = route.replace(
            "no rule matches",
            "10.96.0.1 is within the cluster: leaves by `apps.egress`, back to the pod's node",
        );
        assert_eq!(services(&object, &Explained::read(&route).unwrap(), address).state, State::Ok);
        let (state, text, services) = judge("no rule matches", "deny");
        assert_eq!((state, services), (State::Warning, State::Warning));
        assert_eq!(text, "BZT1 answers 10.1.0.9 to 10.96.0.1 port 443 with deny, by the rule `web`");
        assert!(Explained::read("<response status=\"error\"><msg/></response>").is_none());
        assert_eq!(rule(&object, None, ("10.1.0.9", address, 443)).state, State::Unknown);
    }
}
