//! Which pods of this node are inspected, and why are the others not?
//!
//! The judgement is pure; the facts go into the ConfigMap `pan-cni-coverage-NODE`, where `bartizan k8s coverage`
//! reads them.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Shared;
use super::endpoints::Choice;
use crate::api::{Metadata, Object};
use crate::decide::{self, Decision, Facts};
use crate::settings::Settings;
use crate::state::{self, PodState};

/// Pods that a ConfigMap tells about (it holds 1 MiB); uninspected ones come first.
const MAXIMUM: usize = 1000;

/// A pod, as far as it matters here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Pod {
    pub(crate) metadata: Metadata,
    pub(crate) spec: Spec,
    pub(crate) status: Status,
}

/// Of a pod's specification.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Spec {
    host_network: bool,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Container {
    name: String,
    security_context: Option<SecurityContext>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct SecurityContext {
    privileged: Option<bool>,
    capabilities: Option<Capabilities>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Capabilities {
    add: Option<Vec<String>>,
}

/// Of a pod's status.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Status {
    pub(crate) phase: String,
    #[serde(rename = "podIP")]
    pub(crate) ip: String,
}

/// What is said of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Fact {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) inspected: bool,
    pub(crate) code: String,
    pub(crate) reason: String,
    pub(crate) since: String,
}

/// All that is said of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Coverage {
    pub(crate) node: String,
    pub(crate) firewall: Option<String>,
    pub(crate) inspected: usize,
    pub(crate) not_inspected: BTreeMap<String, usize>,
    /// Pods that are not listed because there are too many.
    pub(crate) unlisted: usize,
    pub(crate) pods: Vec<Fact>,
}

/// What is said of the node now; nothing before pods and namespaces are known.
pub(super) fn facts(shared: &Shared) -> Option<Coverage> {
    let settings = &shared.environment.settings;
    let states = state::all(&settings.places.state);
    let known = shared.known();
    if !known.pods_listed || !known.namespaces_listed {
        return None;
    }
    let mut facts: Vec<Fact> = known
        .pods
        .values()
        .filter(|pod| !matches!(pod.status.phase.as_str(), "Succeeded" | "Failed"))
        .map(|pod| {
            let namespace = known.namespaces.get(&format!("/{}", pod.metadata.namespace));
            judge(settings, pod, namespace, state_of(&states, pod), known.choice.as_ref())
        })
        .collect();
    facts.sort_by(|one, other| {
        (one.inspected, &one.namespace, &one.name).cmp(&(other.inspected, &other.namespace, &other.name))
    });
    let mut not_inspected = BTreeMap::new();
    for fact in facts.iter().filter(|fact| !fact.inspected) {
        *not_inspected.entry(fact.code.clone()).or_default() += 1;
    }
    let inspected = facts.iter().filter(|fact| fact.inspected).count();
    let unlisted = facts.len().saturating_sub(MAXIMUM);
    facts.truncate(MAXIMUM);
    Some(Coverage {
        node: shared.environment.node.clone(),
        firewall: known.choice.as_ref().map(|choice| choice.address.to_string()),
        inspected,
        not_inspected,
        unlisted,
        pods: facts,
    })
}

fn state_of<'a>(states: &'a [(String, PodState)], pod: &Pod) -> Option<&'a PodState> {
    let own = |state: &&PodState| {
        state.namespace == pod.metadata.namespace
            && state.pod == pod.metadata.name
            && (state.uid.is_empty() || state.uid == pod.metadata.uid)
    };
    let mut found: Vec<&PodState> = states.iter().map(|(_, state)| state).filter(own).collect();
    // A pod that was recreated under its name: the attachment of now.
    found.sort_by(|one, other| (one.tunnelled, &one.since).cmp(&(other.tunnelled, &other.since)));
    found.pop()
}

fn judge(
    settings: &Settings,
    pod: &Pod,
    namespace: Option<&Object>,
    state: Option<&PodState>,
    firewall: Option<&Choice>,
) -> Fact {
    let facts = Facts {
        namespace: pod.metadata.namespace.clone(),
        pod: pod.metadata.annotations.clone(),
        of_namespace: namespace.map(|namespace| namespace.metadata.annotations.clone()).unwrap_or_default(),
    };
    let (inspected, code, reason) = if pod.spec.host_network {
        (false, "host-network".to_owned(), "it is in its node's network".to_owned())
    } else {
        match state {
            Some(state) if state.tunnelled => {
                let (inspected, code, mut reason) = tunnelled(state, firewall);
                if let Some(container) = pod.spec.could_free_itself() {
                    reason += &format!("; its container `{container}` has the rights to free it from that");
                }
                (inspected, code, reason)
            }
            other => plain(settings, pod, &facts, other),
        }
    };
    Fact {
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        inspected,
        code,
        reason,
        since: state.map(|state| state.since.clone()).unwrap_or_default(),
    }
}

impl Spec {
    /// A container that may change the pod's network, and so take the programs off.
    fn could_free_itself(&self) -> Option<&str> {
        let able = |context: &SecurityContext| {
            let added = context.capabilities.iter().flat_map(|capabilities| capabilities.add.iter().flatten());
            context.privileged == Some(true)
                || added
                    .map(|name| name.trim_start_matches("CAP_"))
                    .any(|name| matches!(name, "ALL" | "NET_ADMIN" | "SYS_ADMIN"))
        };
        let mut all = self.containers.iter().chain(&self.init_containers);
        all.find(|container| container.security_context.as_ref().is_some_and(able)).map(|container| &*container.name)
    }
}

fn tunnelled(state: &PodState, firewall: Option<&Choice>) -> (bool, String, String) {
    let open = state.failure_mode == "open";
    match firewall {
        Some(_) if open => (true, "tunnelled".to_owned(), "tunnelled; its IPv6 passes uninspected".to_owned()),
        Some(_) => (true, "tunnelled".to_owned(), "tunnelled".to_owned()),
        None if open => (
            false,
            "failure-mode-open".to_owned(),
            "no firewall is well, and its failure mode is open: its packets pass uninspected".to_owned(),
        ),
        None => (
            true,
            "failure-mode-closed".to_owned(),
            "no firewall is well, and its failure mode is closed: its packets are dropped".to_owned(),
        ),
    }
}

fn plain(settings: &Settings, pod: &Pod, facts: &Facts, state: Option<&PodState>) -> (bool, String, String) {
    let told = |code: &str, reason: String| (false, code.to_owned(), reason);
    match (decide::decide(settings, facts), state) {
        (Decision::Plain(plain), _) => told(plain.code(), plain.to_string()),
        (_, Some(state))
            if !matches!(state.reason.as_str(), "not-annotated" | "opted-out" | "excluded-namespace" | "teardown") =>
        {
            told(&state.reason, state.message.clone())
        }
        (_, Some(_)) => told("started-before-annotation", "it started before it was annotated: restart it".to_owned()),
        (Decision::Fault(fault), None) if pod.status.ip.is_empty() => told("annotation", fault.message),
        (_, None) if pod.status.ip.is_empty() => told("starting", "it has not started yet".to_owned()),
        (_, None) => {
            told("started-before-plugin", "it started before the plugin was on its node: restart it".to_owned())
        }
    }
}

/// Writes the ConfigMap. It goes when the DaemonSet does.
pub(super) fn write(shared: &Shared, coverage: &Coverage) -> Result<()> {
    let environment = &shared.environment;
    let client = environment.client()?;
    let name = format!("pan-cni-coverage-{}", environment.node);
    let mut value = serde_json::to_value(coverage).context("write the coverage facts")?;
    value["written"] = json!(crate::journal::now());
    let data = json!({"coverage.json": value.to_string()});
    let folder = format!("/api/v1/namespaces/{}/configmaps", environment.namespace);
    if client.merge(&format!("{folder}/{name}"), &json!({"data": data}))? {
        return Ok(());
    }
    let own = format!("/api/v1/namespaces/{}/pods/{}", environment.namespace, environment.pod);
    let owners: Vec<Value> =
        client.get::<Object>(&own).ok().flatten().map(|pod| pod.metadata.owners).unwrap_or_default();
    let labels = json!({"app.kubernetes.io/name": "pan-cni"});
    let metadata =
        json!({"name": name, "namespace": environment.namespace, "labels": labels, "ownerReferences": owners});
    client.create(&folder, &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::endpoints::Nearness;
    use crate::settings::tests::chart;

    fn pod(annotations: &Value, more: &Value) -> Pod {
        let mut value = json!({"metadata": {"namespace": "shop", "name": "p", "uid": "u", "annotations": annotations},
                               "status": {"phase": "Running", "podIP": "10.0.0.9"}});
        for (key, part) in more.as_object().unwrap() {
            value[key] = part.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    fn state(tunnelled: bool, reason: &str, mode: &str) -> PodState {
        PodState {
            container: "c".to_owned(),
            ifname: "eth0".to_owned(),
            interface: "eth0".to_owned(),
            network: "n".to_owned(),
            netns: "/run/netns/x".into(),
            namespace: "shop".to_owned(),
            pod: "p".to_owned(),
            uid: "u".to_owned(),
            tunnelled,
            reason: reason.to_owned(),
            message: format!("said: {reason}"),
            failure_mode: mode.to_owned(),
            address: None,
            mtu: None,
            made_clsact: true,
            since: "2026-11-26T20:00:00Z".to_owned(),
        }
    }

    #[test]
    fn each_pod_has_its_reason() {
        let on = json!({"paloaltonetworks.com/firewall": "pan-fw"});
        let (none, nothing) = (json!({}), json!({}));
        let host = json!({"spec": {"hostNetwork": true}});
        let waiting = json!({"status": {"phase": "Pending"}});
        let wrong = json!({"paloaltonetworks.com/firewall": "yes"});
        let firewall = Choice { address: "192.0.2.1".parse().unwrap(), nearness: Nearness::Zone };
        let with = Some(&firewall);
        let (tied, open) = (state(true, "tunnelled", "closed"), state(true, "tunnelled", "open"));
        let (plain, failed) = (state(false, "not-annotated", "closed"), state(false, "datapath", "open"));
        let cases = [
            (&on, &nothing, Some(&tied), with, "true tunnelled"),
            (&on, &nothing, Some(&tied), None, "true failure-mode-closed"),
            (&on, &nothing, Some(&open), None, "false failure-mode-open"),
            (&on, &host, None, with, "false host-network"),
            (&none, &nothing, Some(&plain), with, "false not-annotated"),
            (&on, &nothing, Some(&plain), with, "false started-before-annotation"),
            (&on, &nothing, None, with, "false started-before-plugin"),
            (&on, &waiting, None, with, "false starting"),
            (&wrong, &waiting, None, with, "false annotation"),
            (&on, &nothing, Some(&failed), with, "false datapath"),
        ];
        for (annotations, more, state, firewall, expected) in cases {
            let fact = judge(&chart(), &pod(annotations, more), None, state, firewall);
            assert_eq!(format!("{} {}", fact.inspected, fact.code), expected);
        }
        let able = json!({"spec": {"containers": [{"name": "app"}, {"name": "mesh",
            "securityContext": {"privileged": null, "capabilities": {"add": ["NET_ADMIN"]}}}]}});
        assert_eq!(
            judge(&chart(), &pod(&on, &able), None, Some(&tied), with).reason,
            "tunnelled; its container `mesh` has the rights to free it from that"
        );
        let mut settings = chart();
        settings.excluded_namespaces.push("shop".to_owned());
        assert_eq!(judge(&settings, &pod(&on, &nothing), None, None, with).code, "excluded-namespace");
    }
}
