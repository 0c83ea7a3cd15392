//! How is a NetworkPolicy written?
//!
//! The types of `networking.k8s.io/v1`, as strict as the API server: a field of the specification that is not known is
//! an error, because to leave it out would allow what it was to refuse.

use std::collections::BTreeMap;

use serde::Deserialize;

pub use crate::selector::{Expression, LabelSelector};

/// A NetworkPolicy.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct NetworkPolicy {
    /// Who it is.
    #[serde(default)]
    pub metadata: Metadata,
    /// What it says.
    pub spec: Spec,
}

/// What of an object's metadata matters here.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct Metadata {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// Identity over renames and re-creations; empty in a file.
    pub uid: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// A policy's specification.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Spec {
    /// The pods it is about, in its namespace.
    pub pod_selector: LabelSelector,
    /// `Ingress`, `Egress`; when it is empty, `Ingress`, and `Egress` if there are egress rules.
    pub policy_types: Option<Vec<String>>,
    /// What may come in.
    pub ingress: Option<Vec<Ingress>>,
    /// What may go out.
    pub egress: Option<Vec<Egress>>,
}

/// An ingress rule.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Ingress {
    /// From whom; empty means anybody.
    pub from: Option<Vec<Peer>>,
    /// To which ports; empty means all of all protocols.
    pub ports: Option<Vec<Port>>,
}

/// An egress rule.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Egress {
    /// To whom; empty means anybody.
    pub to: Option<Vec<Peer>>,
    /// To which ports; empty means all of all protocols.
    pub ports: Option<Vec<Port>>,
}

/// A peer: pods, all pods of namespaces, pods of namespaces, or addresses.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Peer {
    /// Pods; of the policy's namespace unless `namespaceSelector` is there.
    pub pod_selector: Option<LabelSelector>,
    /// Namespaces.
    pub namespace_selector: Option<LabelSelector>,
    /// Addresses.
    pub ip_block: Option<IpBlock>,
}

/// Addresses.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct IpBlock {
    /// A prefix.
    pub cidr: String,
    /// Parts of it that are not meant.
    pub except: Option<Vec<String>>,
}

/// Ports.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Port {
    /// `TCP` (also when it is missing), `UDP` or `SCTP`.
    pub protocol: Option<String>,
    /// A number or a name; missing means all of the protocol.
    pub port: Option<PortName>,
    /// The last one, when it is a range.
    pub end_port: Option<i64>,
}

/// A port's number or name.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum PortName {
    /// A number.
    Number(i64),
    /// The name of a container's port, which may be another number for each pod.
    Name(String),
}
