//! What does a controller say that its cluster wants?
//!
//! The whole of it, each time. Policies are kept as they were written, so that one that cannot be read is known by name
//! and told what is wrong with it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bartizan_playbook::cluster::{NamedPort, Pod, Snapshot};
use bartizan_playbook::cluster_policy::ClusterNetworkPolicy;
use bartizan_playbook::policy::NetworkPolicy;
use bartizan_playbook::{Checked, Problem, Protocol, check, check_cluster};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::store::hex_digest;

/// What a cluster wants.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
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
    #[serde(serialize_with = "write", deserialize_with = "network_policies")]
    #[schemars(with = "Vec<Value>")]
    pub(crate) policies: Vec<Arc<Manifest>>,
    /// ClusterNetworkPolicies, as the cluster has them.
    #[serde(serialize_with = "write", deserialize_with = "cluster_policies")]
    #[schemars(with = "Vec<Value>")]
    pub(crate) cluster_policies: Vec<Arc<Manifest>>,
    /// Services with their ports, when the cluster's settings want service objects.
    pub(crate) services: Vec<ToldService>,
    #[serde(skip)]
    surroundings: OnceLock<String>,
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

fn write<S: Serializer>(manifests: &[Arc<Manifest>], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(manifests.iter().map(|manifest| &*manifest.object))
}

fn network_policies<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Arc<Manifest>>, D::Error> {
    read(NETWORK_POLICY, from)
}

fn cluster_policies<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Arc<Manifest>>, D::Error> {
    read(CLUSTER_NETWORK_POLICY, from)
}

fn read<'de, D: Deserializer<'de>>(kind: &str, from: D) -> Result<Vec<Arc<Manifest>>, D::Error> {
    let objects = Vec::<Value>::deserialize(from)?;
    Ok(objects.into_iter().map(|object| Arc::new(Manifest::new(kind, object.into()))).collect())
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

/// A policy as it was told, with what follows of that alone. It is the same one for as long as the same is told.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// Which.
    pub(crate) key: Key,
    /// Its identity.
    pub(crate) uid: String,
    /// Counts the changes of its specification.
    pub(crate) generation: i64,
    /// All of it.
    pub(crate) object: Arc<Value>,
    content: OnceLock<String>,
    checked: OnceLock<Result<Checked, Fault>>,
}

/// What is wrong with a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Reason of its condition.
    pub(crate) reason: String,
    /// Why, for people.
    pub(crate) message: String,
}

impl Fault {
    /// Of all problems; the gravest one gives the reason.
    pub(crate) fn of(problems: &[Problem]) -> Self {
        let reason = problems.iter().map(|problem| problem.reason).min().map(|reason| reason.to_string());
        let lines: Vec<String> =
            problems.iter().map(|problem| format!("{}: {}", problem.field, problem.what)).collect();
        Self { reason: reason.unwrap_or_default(), message: lines.join("; ") }
    }

    fn invalid(error: serde_json::Error) -> Self {
        Self { reason: "Invalid".to_owned(), message: error.to_string() }
    }
}

/// Kinds of policies.
pub(crate) const NETWORK_POLICY: &str = "NetworkPolicy";
/// The one of whole clusters.
pub(crate) const CLUSTER_NETWORK_POLICY: &str = "ClusterNetworkPolicy";

impl Told {
    /// All policies, of both kinds.
    pub(crate) fn written(&self) -> impl Iterator<Item = &Arc<Manifest>> {
        self.policies.iter().chain(&self.cluster_policies)
    }

    /// Policies that are as they were told before are the same ones.
    pub(crate) fn go_on(&mut self, before: &Self) {
        for (own, old) in
            [(&mut self.policies, &before.policies), (&mut self.cluster_policies, &before.cluster_policies)]
        {
            let known: BTreeMap<&Key, &Arc<Manifest>> = old.iter().map(|manifest| (&manifest.key, manifest)).collect();
            for manifest in own {
                if let Some(old) = known.get(&manifest.key).filter(|old| old.object == manifest.object) {
                    *manifest = Arc::clone(old);
                }
            }
        }
        if (&self.namespaces, &self.pods, &self.services) == (&before.namespaces, &before.pods, &before.services) {
            self.surroundings = before.surroundings.clone();
        }
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
    pub(crate) fn surroundings(&self) -> &str {
        // Strings and numbers: nothing in it can fail to serialise.
        let digest =
            || hex_digest(&serde_json::to_vec(&(&self.namespaces, &self.pods, &self.services)).unwrap_or_default());
        self.surroundings.get_or_init(digest)
    }
}

impl Manifest {
    /// Of an object of that kind.
    pub(crate) fn new(kind: &str, object: Arc<Value>) -> Self {
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
            content: OnceLock::new(),
            checked: OnceLock::new(),
            object,
        }
    }

    /// SHA-256, hex, of what of it means something: who it is, labels, annotations and specification.
    pub(crate) fn content(&self) -> &str {
        self.content.get_or_init(|| {
            let metadata = &self.object["metadata"];
            let parts = (&self.uid, &metadata["labels"], &metadata["annotations"], &self.object["spec"]);
            hex_digest(&serde_json::to_vec(&parts).unwrap_or_default())
        })
    }

    /// What it says, when it has no fault of its own.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub(crate) fn checked(&self) -> Result<&Checked, &Fault> {
        let check = || {
            if self.key.kind == CLUSTER_NETWORK_POLICY {
                let policy = ClusterNetworkPolicy::deserialize(&*self.object).map_err(Fault::invalid)?;
                return check_cluster(&policy).map_err(|problems| Fault::of(&problems));
            }
            let policy = NetworkPolicy::deserialize(&*self.object).map_err(Fault::invalid)?;
            check(&policy).map_err(|problems| Fault::of(&problems))
        };
        self.checked.get_or_init(check).as_ref()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(resource_version: &str, label: &str) -> Told {
        let policy = |name: &str, label: &str| {
            json!({"metadata": {"name": name, "namespace": "shop", "uid": "u", "generation": 2, "labels": {"a": label},
                    "resourceVersion": resource_version}, "spec": {"podSelector": {}}})
        };
        serde_json::from_value(json!({"policies": [policy("p", label), policy("q", "same")]})).unwrap()
    }

    #[test]
    fn what_means_nothing_is_no_change() {
        let content = |told: &Told| told.written().next().unwrap().content().to_owned();
        assert_eq!(content(&told("1", "x")), content(&told("2", "x")));
        assert_ne!(content(&told("1", "x")), content(&told("1", "y")));
        let one = told("1", "x");
        let written = one.written().next().unwrap();
        assert_eq!((written.key.to_string(), written.generation), ("NetworkPolicy shop/p".to_owned(), 2));
    }

    #[test]
    fn what_is_told_again_is_the_same_one_and_is_written_as_it_was() {
        let one = told("1", "x");
        let mut two = told("1", "y");
        two.go_on(&one);
        let same: Vec<bool> = one.written().zip(two.written()).map(|(one, two)| Arc::ptr_eq(one, two)).collect();
        assert_eq!(same, [false, true]);
        let text = serde_json::to_value(&two).unwrap();
        assert_eq!(text["policies"], serde_json::to_value(told("1", "y")).unwrap()["policies"]);
        assert_eq!(text["policies"][0]["metadata"]["labels"]["a"], "y");
        assert!(two.written().all(|manifest| manifest.checked().is_ok()));
    }
}
