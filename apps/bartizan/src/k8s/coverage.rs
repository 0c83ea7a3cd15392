//! Which pods are not inspected, and why?
//!
//! The node agents know (ConfigMaps `pan-cni-coverage-NODE`). Of a pod that none of them tells about, the API's word is
//! taken for what it asks for, and not for what it gets.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::arguments::Coverage;
use super::asked::{Asked, Scope};
use super::cluster::Cluster;
use super::preflight::scope;
use crate::remote::output::{list, table, word, write};
use crate::{DIFFERENCES, Failure};

/// Where a node agent tells about its node.
pub(super) const CONFIG_MAP_PREFIX: &str = "pan-cni-coverage-";

/// One pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Pod {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) node: String,
    pub(super) ip: String,
    /// It asks to be inspected.
    pub(super) asked: bool,
    pub(super) inspected: bool,
    pub(super) reason: String,
    /// Since when, as the node agent says; empty when it does not.
    pub(super) since: String,
}

/// What node agents tell, by the pod's identity.
pub(super) type Told = BTreeMap<String, Value>;

/// Writes the pods.
pub(super) async fn run(arguments: &Coverage) -> Result<(), Failure> {
    let common = &arguments.common;
    let cluster = Cluster::reach(common).await?;
    let told = told(&cluster.list(&format!("/api/v1/namespaces/{}/configmaps", common.namespace)).await?);
    let scope = scope(&cluster, &common.namespace).await?;
    let places = cluster.list("/api/v1/namespaces").await?;
    let pods = judge(&cluster.list("/api/v1/pods").await?, &places, scope.as_ref(), &told);
    let (inspected, unmet) = (
        pods.iter().filter(|pod| pod.inspected).count(),
        pods.iter().filter(|pod| pod.asked && !pod.inspected).count(),
    );
    let shown: Vec<&Pod> = pods.iter().filter(|pod| arguments.all || !pod.inspected).collect();
    let answer = json!({ "pods": shown, "installed": scope.is_some(),
        "summary": { "pods": pods.len(), "inspected": inspected, "uninspected": pods.len() - inspected, "unmet": unmet } });
    write(&answer, common.output, text)?;
    if unmet > 0 { Err(Failure::new(DIFFERENCES, "")) } else { Ok(()) }
}

fn text(answer: &Value) -> String {
    let names = ["namespace", "name", "node", "asked", "inspected", "since", "reason"];
    let rows = list(answer, "pods").iter().map(|pod| names.iter().map(|name| word(&pod[name])).collect());
    let summary = &answer["summary"];
    let mut text = table(&["namespace", "pod", "node", "asked", "inspected", "since", "reason"], rows);
    text += &format!(
        "\n{} of {} pods are inspected; {} ask for it and are not",
        word(&summary["inspected"]),
        word(&summary["pods"]),
        word(&summary["unmet"])
    );
    if answer["installed"] == false {
        text += "\nthe chart is not installed in this namespace (`--namespace`)";
    }
    text
}

/// What the node agents' ConfigMaps tell.
pub(super) fn told(maps: &[Value]) -> Told {
    let mut told = Told::new();
    for map in maps {
        if !map["metadata"]["name"].as_str().is_some_and(|name| name.starts_with(CONFIG_MAP_PREFIX)) {
            continue;
        }
        let text = map["data"]["coverage.json"].as_str().unwrap_or_default();
        let Ok(coverage) = serde_json::from_str::<Value>(text) else { continue };
        for pod in list(&coverage, "pods") {
            if let Some(uid) = pod["uid"].as_str() {
                told.insert(uid.to_owned(), pod.clone());
            }
        }
    }
    told
}

/// Every pod that runs or is about to.
pub(super) fn judge(pods: &[Value], places: &[Value], scope: Option<&Scope>, told: &Told) -> Vec<Pod> {
    let place_of: BTreeMap<&str, &Value> =
        places.iter().filter_map(|place| Some((place["metadata"]["name"].as_str()?, place))).collect();
    let nothing = Scope { accepted: vec!["pan-fw".to_owned()], ..Scope::default() };
    let lives = |pod: &&Value| !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    pods.iter()
        .filter(lives)
        .map(|pod| {
            let field = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let namespace = field(&pod["metadata"]["namespace"]);
            let asked = scope.unwrap_or(&nothing).of(pod, place_of.get(&*namespace).copied());
            let known = pod["metadata"]["uid"].as_str().and_then(|uid| told.get(uid));
            let node = field(&pod["spec"]["nodeName"]);
            let inspected = known.is_some_and(|known| known["inspected"] == true);
            let reason = match (known, &asked) {
                (Some(known), _) => field(&known["reason"]),
                (None, Asked::No(why) | Asked::Mistaken(why)) => why.clone(),
                (None, Asked::Yes(_)) if scope.is_none() => "the chart is not installed".to_owned(),
                (None, Asked::Yes(_)) if node.is_empty() => "it has no node yet".to_owned(),
                (None, Asked::Yes(_)) => format!(
                    "the node agent of `{node}` does not know it: it started before the annotation or the agent, or no \
                     agent runs there; restart the pod"
                ),
            };
            Pod {
                name: field(&pod["metadata"]["name"]),
                ip: field(&pod["status"]["podIP"]),
                asked: !matches!(asked, Asked::No(_)),
                since: known.map(|known| field(&known["since"])).unwrap_or_default(),
                namespace,
                node,
                inspected,
                reason,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_agents_word_counts_and_annotations_where_there_is_none() {
        let pod = |name: &str, more: Value| {
            let mut pod = json!({ "metadata": { "namespace": "shop", "name": name, "uid": name },
                "spec": { "nodeName": "n1" }, "status": { "phase": "Running", "podIP": "10.1.0.9" } });
            for (key, value) in more.as_object().unwrap() {
                pod[key] = value.clone();
            }
            pod
        };
        let pods = [
            pod("web", json!({})),
            pod("old", json!({})),
            pod("gone", json!({ "status": { "phase": "Succeeded" } })),
            pod("proxy", json!({ "spec": { "hostNetwork": true, "nodeName": "n1" } })),
            pod("waits", json!({ "spec": {} })),
        ];
        let places =
            [json!({ "metadata": { "name": "shop", "annotations": { "paloaltonetworks.com/firewall": "pan-fw" } } })];
        let coverage = json!({ "node": "n1", "written": "2026-11-26T20:00:00Z", "pods": [
            { "uid": "web", "inspected": true, "reason": "annotation of the namespace", "since": "2026-11-26T19:00:00Z" }] });
        let maps = [
            json!({ "metadata": { "name": "pan-cni-coverage-n1" }, "data": { "coverage.json": coverage.to_string() } }),
            json!({ "metadata": { "name": "other" }, "data": { "coverage.json": "{" } }),
            json!({ "metadata": { "name": "pan-cni-coverage-n2" }, "data": { "coverage.json": "{" } }),
        ];
        let found = judge(&pods, &places, Some(&Scope::default()), &told(&maps));
        let seen: Vec<_> = found
            .iter()
            .map(|pod| (&*pod.name, pod.asked, pod.inspected, pod.reason.split(':').next().unwrap()))
            .collect();
        assert_eq!(
            seen,
            [
                ("web", true, true, "annotation of the namespace"),
                ("old", true, false, "the node agent of `n1` does not know it"),
                ("proxy", false, false, "it is in its node's network"),
                ("waits", true, false, "it has no node yet"),
            ]
        );
        assert_eq!(judge(&pods[..1], &places, None, &Told::new())[0].reason, "the chart is not installed");
    }
}
