//! What of a cluster do its policies speak about?

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::ports::Protocol;

/// Names and values.
pub type Labels = BTreeMap<String, String>;

/// A cluster at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Labels of each namespace. `kubernetes.io/metadata.name` is among them, as the API server puts it there.
    pub namespaces: BTreeMap<String, Labels>,
    /// The pods that have addresses.
    pub pods: Vec<Pod>,
    /// Its nodes.
    pub nodes: Vec<Node>,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// The addresses of its status.
    pub addresses: BTreeSet<IpAddr>,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Its addresses, of either family.
    pub addresses: BTreeSet<IpAddr>,
    /// Its named ports, of all containers.
    pub ports: Vec<NamedPort>,
    /// It has the node's network: policies do not select it, its addresses are the node's.
    pub host_network: bool,
    /// It has ended (phase `Succeeded` or `Failed`): its addresses may be another's already.
    pub ended: bool,
}

/// A port of a container that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPort {
    /// Its name.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
    pub number: u16,
}

impl Pod {
    /// `namespace/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Whether policies speak about it.
    pub(crate) fn is_selectable(&self) -> bool {
        !self.host_network && !self.ended
    }
}
