//! How is a ClusterNetworkPolicy written?
//!
//! The types of `policy.networking.k8s.io/v1alpha2` (kubernetes-sigs/network-policy-api). Where the API asks for a rule that
//! fails closed, a field that is not known is kept, so that the reader of the policy can do that; elsewhere it is an error.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::policy::Metadata;
use crate::selector::LabelSelector;

/// A ClusterNetworkPolicy.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct ClusterNetworkPolicy {
    /// Who it is.
    #[serde(default)]
    pub metadata: Metadata,
    /// What it says.
    pub spec: Spec,
}

/// A policy's specification.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Spec {
    /// `Admin` or `Baseline`.
    pub tier: String,
    /// 0 to 1000; the lowest decides first.
    pub priority: Option<i64>,
    /// The pods it is about.
    pub subject: Subject,
    /// What of what comes in is decided, in order.
    pub ingress: Option<Vec<Rule>>,
    /// What of what goes out is decided, in order.
    pub egress: Option<Vec<Rule>>,
}

/// The pods a policy is about: one of the two.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Subject {
    /// All pods of namespaces.
    pub namespaces: Option<LabelSelector>,
    /// Some of them.
    pub pods: Option<NamespacedPod>,
}

/// Pods of namespaces.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NamespacedPod {
    /// The namespaces; empty means all.
    pub namespace_selector: LabelSelector,
    /// The pods; empty means all.
    pub pod_selector: LabelSelector,
}

/// A rule.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct Rule {
    /// What a person calls it.
    pub name: Option<String>,
    /// `Accept`, `Deny` or `Pass`.
    pub action: String,
    /// From whom; of an ingress rule.
    pub from: Option<Vec<Peer>>,
    /// To whom; of an egress rule.
    pub to: Option<Vec<Peer>>,
    /// Protocols and ports; nothing means all.
    pub protocols: Option<Vec<ProtocolPorts>>,
    /// What is not known.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// A peer: one of the fields.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Peer {
    /// All pods of namespaces.
    pub namespaces: Option<LabelSelector>,
    /// Some of them.
    pub pods: Option<NamespacedPod>,
    /// Addresses, also those of pods.
    pub networks: Option<Vec<String>>,
    /// The addresses of nodes.
    pub nodes: Option<LabelSelector>,
    /// Hosts by their DNS names.
    pub domain_names: Option<Vec<String>>,
    /// What is not known.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// Ports of a protocol: one of the fields.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct ProtocolPorts {
    /// Of TCP.
    pub tcp: Option<Destination>,
    /// Of UDP.
    pub udp: Option<Destination>,
    /// Of SCTP.
    pub sctp: Option<Destination>,
    /// The port of that name, of whichever protocol it is.
    pub destination_named_port: Option<String>,
    /// What is not known.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// The ports that packets go to.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Destination {
    /// Which ones.
    pub destination_port: Option<Numbers>,
    /// What is not known.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// A port, or some of them: one of the two.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct Numbers {
    /// One.
    pub number: Option<i64>,
    /// All from one to another.
    pub range: Option<Range>,
    /// What is not known.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// Ports from one to another, both included.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The first.
    pub start: i64,
    /// The last.
    pub end: i64,
}
