//! What of a policy, and of a pod, has to do with rules?

use std::collections::BTreeSet;
use std::sync::Arc;

use bartizan_playbook::{Protocol, cluster};
use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::objects::{Key, Object, Pod};

/// The whole object once more, as kubectl leaves it behind.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A NetworkPolicy.
pub(crate) fn network_policy(object: DynamicObject) -> Object {
    policy(object, "networking.k8s.io/v1", "NetworkPolicy")
}

/// A ClusterNetworkPolicy.
pub(crate) fn cluster_policy(object: DynamicObject) -> Object {
    policy(object, "policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy")
}

/// A policy as it was written, without what the API server keeps for itself. Its fields stay, known or not: who translates
/// refuses what it does not know.
fn policy(object: DynamicObject, api_version: &str, kind: &str) -> Object {
    let metadata = object.metadata;
    let mut annotations = metadata.annotations.unwrap_or_default();
    annotations.remove(LAST_APPLIED);
    let spec = object.data.get("spec").cloned().unwrap_or_else(|| json!({}));
    let mut told = json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": metadata.name.unwrap_or_default(),
            "uid": metadata.uid.unwrap_or_default(),
            "generation": metadata.generation.unwrap_or_default(),
            "creationTimestamp": metadata.creation_timestamp,
            "labels": metadata.labels.unwrap_or_default(),
            "annotations": annotations,
        },
        "spec": spec,
    });
    if let Some(namespace) = metadata.namespace {
        told["metadata"]["namespace"] = json!(namespace);
    }
    Object::Policy(Arc::new(told))
}

/// A pod as groups see it.
pub(super) fn pod(key: &Key, pod: &Pod) -> cluster::Pod {
    cluster::Pod {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        labels: pod.labels.clone(),
        addresses: pod.addresses.iter().copied().collect(),
        ports: pod.ports.clone(),
        ..cluster::Pod::default()
    }
}

/// A node as groups see it.
pub(super) fn node(key: &Key, object: &Object) -> Option<cluster::Node> {
    let Object::Node(node) = object else { return None };
    let addresses = node.internal.iter().chain(&node.external).copied().collect();
    Some(cluster::Node { name: key.name.clone(), labels: node.labels.clone(), addresses })
}

/// A protocol as Kubernetes spells it.
pub(crate) fn name_of(protocol: Protocol) -> &'static str {
    Protocol::NAMES.iter().find(|(_, known)| *known == protocol).map_or("TCP", |(name, _)| name)
}

/// The ports that a policy means by name: `port` of a NetworkPolicy, `destinationNamedPort` of a ClusterNetworkPolicy.
pub(super) fn ports_named<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "port" || name == "destinationNamedPort" => {
                        found.insert(text);
                    }
                    other => ports_named(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| ports_named(item, found)),
        _ => {}
    }
}
