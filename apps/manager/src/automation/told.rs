//! What does a controller say that its cluster wants?
//!
//! The whole of it, each time. Policies are kept as they were written, so that one that cannot be read is known by name
//! and told what is wrong with it.

use std::collections::BTreeMap;

use bartizan_playbook::cluster::{NamedPort, Pod, Snapshot};
use bartizan_playbook::{Protocol, policy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::store::hex_digest;

/// What a cluster wants.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Told {
    /// Which process tells.
    pub(crate) controller: String,
    /// A word of the controller that is another one when anything of it is: SHA-256, hex.
    pub(crate) digest: String,
    /// Labels of each namespace.
    pub(crate) namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Pods that have named ports: one for each combination of namespace, labels and ports.
    pub(crate) pods: Vec<ToldPod>,
    /// NetworkPolicies, as the cluster has them.
    pub(crate) policies: Vec<Value>,
    /// ClusterNetworkPolicies, as the cluster has them.
    pub(crate) cluster_policies: Vec<Value>,
    /// Services with their ports, when the cluster's settings want service objects.
    pub(crate) services: Vec<ToldService>,
}

/// A service.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ToldService {
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
    /// Its ports.
    pub(crate) ports: Vec<ServicePort>,
}

/// A port of a service.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServicePort {
    /// Whose number it is.
    pub(crate) kind: PortKind,
    /// `TCP`, `UDP` or `SCTP`.
    pub(crate) protocol: String,
    /// Its number.
    pub(crate) number: u16,
}

/// Whose port it is.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum PortKind {
    /// The service's own.
    Port,
    /// That of the pods behind it.
    TargetPort,
    /// That of the nodes.
    NodePort,
}

impl PortKind {
    /// As Kubernetes calls it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Port => "port",
            Self::TargetPort => "targetPort",
            Self::NodePort => "nodePort",
        }
    }
}

/// Pods that are alike.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ToldPod {
    /// Their namespace.
    namespace: String,
    /// Their labels.
    labels: BTreeMap<String, String>,
    /// Their named ports.
    ports: Vec<ToldPort>,
}

/// A named port.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
struct ToldPort {
    /// Its name.
    name: String,
    /// `TCP`, `UDP` or `SCTP`.
    protocol: String,
    /// Its number.
    number: u16,
}

/// Which policy.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(crate) struct Key {
    /// `NetworkPolicy` or `ClusterNetworkPolicy`.
    pub(crate) kind: String,
    /// Its namespace; empty when it is of the whole cluster.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let slash = if self.namespace.is_empty() { "" } else { "/" };
        write!(f, "{} {}{slash}{}", self.kind, self.namespace, self.name)
    }
}

/// A policy as it was told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Written<'a> {
    /// Which.
    pub(crate) key: Key,
    /// Its identity.
    pub(crate) uid: String,
    /// Counts the changes of its specification.
    pub(crate) generation: i64,
    /// All of it.
    pub(crate) object: &'a Value,
}

/// Kinds of policies.
pub(crate) const NETWORK_POLICY: &str = "NetworkPolicy";
/// The one of whole clusters.
pub(crate) const CLUSTER_NETWORK_POLICY: &str = "ClusterNetworkPolicy";

impl Told {
    /// All policies, of both kinds.
    pub(crate) fn written(&self) -> impl Iterator<Item = Written<'_>> {
        let of = |kind: &'static str, object| Written::of(kind, object);
        let own = self.policies.iter().map(move |object| of(NETWORK_POLICY, object));
        own.chain(self.cluster_policies.iter().map(move |object| of(CLUSTER_NETWORK_POLICY, object)))
    }

    /// What translating looks at besides the policies.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let port = |port: &ToldPort| {
            let protocol = Protocol::read(&port.protocol)?;
            Some(NamedPort { name: port.name.clone(), protocol, number: port.number })
        };
        let pod = |pod: &ToldPod| Pod {
            namespace: pod.namespace.clone(),
            labels: pod.labels.clone(),
            ports: pod.ports.iter().filter_map(port).collect(),
            ..Pod::default()
        };
        Snapshot {
            namespaces: self.namespaces.clone(),
            pods: self.pods.iter().map(pod).collect(),
            ..Snapshot::default()
        }
    }

    /// SHA-256, hex, of what is no policy: namespaces, named ports and services.
    pub(crate) fn surroundings(&self) -> String {
        // Strings and numbers: nothing in it can fail to serialise.
        hex_digest(&serde_json::to_vec(&(&self.namespaces, &self.pods, &self.services)).unwrap_or_default())
    }
}

impl<'a> Written<'a> {
    fn of(kind: &str, object: &'a Value) -> Self {
        let metadata = &object["metadata"];
        let text = |name: &str| metadata[name].as_str().unwrap_or_default().to_owned();
        let namespace = match (kind, text("namespace")) {
            (CLUSTER_NETWORK_POLICY, _) => String::new(),
            (_, empty) if empty.is_empty() => "default".to_owned(),
            (_, namespace) => namespace,
        };
        Self {
            key: Key { kind: kind.to_owned(), namespace, name: text("name") },
            uid: text("uid"),
            generation: metadata["generation"].as_i64().unwrap_or_default(),
            object,
        }
    }

    /// SHA-256, hex, of what of it means something: who it is, labels, annotations and specification.
    pub(crate) fn content(&self) -> String {
        let metadata = &self.object["metadata"];
        let parts = (&self.uid, &metadata["labels"], &metadata["annotations"], &self.object["spec"]);
        hex_digest(&serde_json::to_vec(&parts).unwrap_or_default())
    }

    /// The policy, when it can be read.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub(crate) fn policy(&self) -> Result<policy::NetworkPolicy, String> {
        policy::NetworkPolicy::deserialize(self.object).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_means_nothing_is_no_change() {
        let told = |resource_version: &str, label: &str| Told {
            policies: vec![json!({
                "metadata": {"name": "p", "namespace": "shop", "uid": "u", "generation": 2, "labels": {"a": label},
                    "resourceVersion": resource_version},
                "spec": {"podSelector": {}},
            })],
            ..Told::default()
        };
        let content = |told: &Told| told.written().next().unwrap().content();
        assert_eq!(content(&told("1", "x")), content(&told("2", "x")));
        assert_ne!(content(&told("1", "x")), content(&told("1", "y")));
        let one = told("1", "x");
        let written = one.written().next().unwrap();
        assert_eq!((written.key.to_string(), written.generation), ("NetworkPolicy shop/p".to_owned(), 2));
    }
}
