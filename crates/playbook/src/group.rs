//! Which pods are meant?
//!
//! A group is a condition on a pod, not a list of pods: pods come and go without a new rule. Its canonical text is its
//! identity, so that the same condition in two policies is one dynamic address group.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::block::Block;
use crate::cluster::{Node, Pod, Snapshot};
use crate::names;
use crate::ports::Protocol;
use crate::selector::Selector;

/// The label that the API server gives each namespace.
pub(crate) const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// A condition on a pod that policies can speak about (no host network, not ended), or on a node.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Pods with labels.
    Pods(Pods),
    /// Pods with an address in the block.
    In(Block),
    /// Pods with a named port of that number.
    Serves(String, Protocol, u16),
    /// Nodes with labels: their addresses, not those of pods.
    Nodes(Selector),
    /// All of the conditions hold.
    All(BTreeSet<Group>),
}

/// Pods with labels.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Pods {
    pub(crate) namespaces: Namespaces,
    pub(crate) pods: Selector,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Namespaces {
    Named(String),
    Selected(Selector),
}

impl Namespaces {
    pub(crate) fn matches(&self, snapshot: &Snapshot, name: &str) -> bool {
        match self {
            Self::Named(named) => named == name,
            Self::Selected(selector) => snapshot.namespaces.get(name).is_some_and(|labels| selector.matches(labels)),
        }
    }
}

impl Group {
    /// Every pod of the cluster.
    pub(crate) fn every_pod() -> Self {
        Self::Pods(Pods { namespaces: Namespaces::Selected(Selector::default()), pods: Selector::default() })
    }

    pub(crate) fn and(&self, other: &Self) -> Self {
        let mut parts = BTreeSet::new();
        for side in [self, other] {
            match side {
                Self::All(inner) => parts.extend(inner.iter().cloned()),
                one => {
                    parts.insert(one.clone());
                }
            }
        }
        let mut parts = merged(parts);
        match parts.pop_first() {
            Some(only) if parts.is_empty() => only,
            first => {
                parts.extend(first);
                Self::All(parts)
            }
        }
    }

    /// Whether nothing can be of both, as far as names of namespaces and labels tell without putting them together.
    pub(crate) fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pods(one), Self::Pods(other)) => {
                let names = (&one.namespaces, &other.namespaces);
                let is_elsewhere = matches!(names, (Namespaces::Named(one), Namespaces::Named(other)) if one != other);
                is_elsewhere || one.pods.excludes(&other.pods)
            }
            (Self::All(parts), other) | (other, Self::All(parts)) => parts.iter().any(|part| part.excludes(other)),
            _ => false,
        }
    }

    /// The one namespace that its pods are of, if it is known by its name; none of nodes.
    pub(crate) fn home(&self) -> Option<&str> {
        match self {
            Self::Pods(Pods { namespaces: Namespaces::Named(name), .. }) => Some(name),
            Self::Pods(Pods { namespaces: Namespaces::Selected(selector), .. }) => selector.only(NAME_LABEL),
            Self::All(parts) => parts.iter().find_map(Self::home),
            Self::In(_) | Self::Serves(..) | Self::Nodes(_) => None,
        }
    }

    /// Whether the pod is of the group.
    pub fn contains(&self, snapshot: &Snapshot, pod: &Pod) -> bool {
        pod.is_selectable() && self.holds(snapshot, pod)
    }

    fn holds(&self, snapshot: &Snapshot, pod: &Pod) -> bool {
        match self {
            Self::Pods(Pods { namespaces, pods }) => {
                namespaces.matches(snapshot, &pod.namespace) && pods.matches(&pod.labels)
            }
            Self::In(block) => pod.addresses.iter().any(|address| block.contains(*address)),
            Self::Serves(name, protocol, number) => {
                let is = |port: &crate::cluster::NamedPort| {
                    port.name == *name && port.protocol == *protocol && port.number == *number
                };
                pod.ports.iter().any(is)
            }
            Self::Nodes(_) => false,
            Self::All(parts) => parts.iter().all(|part| part.holds(snapshot, pod)),
        }
    }

    /// Whether the pod would be of the group if its addresses fitted: rules do not follow addresses, members do.
    pub(crate) fn may_contain(&self, snapshot: &Snapshot, pod: &Pod) -> bool {
        match self {
            Self::In(_) => true,
            Self::All(parts) => parts.iter().all(|part| part.may_contain(snapshot, pod)),
            Self::Pods(_) | Self::Serves(..) | Self::Nodes(_) => self.contains(snapshot, pod),
        }
    }

    fn holds_node(&self, node: &Node) -> bool {
        match self {
            Self::Pods(_) | Self::Serves(..) => false,
            Self::In(block) => node.addresses.iter().any(|address| block.contains(*address)),
            Self::Nodes(selector) => selector.matches(&node.labels),
            Self::All(parts) => parts.iter().all(|part| part.holds_node(node)),
        }
    }

    /// Whether its members are nodes.
    pub(crate) fn is_of_nodes(&self) -> bool {
        match self {
            Self::Nodes(_) => true,
            Self::All(parts) => parts.iter().any(Self::is_of_nodes),
            Self::Pods(_) | Self::In(_) | Self::Serves(..) => false,
        }
    }

    /// The addresses by which a pod is of the group; none when it is not. Of the snapshot, only the labels of the pod's
    /// namespace matter.
    pub fn addresses_of<'a>(
        &'a self,
        snapshot: &Snapshot,
        pod: &'a Pod,
    ) -> impl Iterator<Item = std::net::IpAddr> + use<'a> {
        let addresses = self.contains(snapshot, pod).then_some(&pod.addresses);
        addresses.into_iter().flatten().copied().filter(|address| self.means(*address))
    }

    /// The addresses by which a node is of the group; none when it is not, or the group is of pods.
    pub fn addresses_of_node<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = std::net::IpAddr> + use<'a> {
        let addresses = (self.is_of_nodes() && self.holds_node(node)).then_some(&node.addresses);
        addresses.into_iter().flatten().copied().filter(|address| self.means(*address))
    }

    /// Its tag in a cluster, which is the name of its address group, too.
    pub fn tag(&self, cluster: &str) -> String {
        names::group(cluster, &self.to_string())
    }

    fn means(&self, address: std::net::IpAddr) -> bool {
        match self {
            Self::In(block) => block.contains(address),
            Self::All(parts) => parts.iter().all(|part| part.means(address)),
            Self::Pods(_) | Self::Serves(..) | Self::Nodes(_) => true,
        }
    }
}

/// Conditions on labels in the same named namespace are one condition.
fn merged(parts: BTreeSet<Group>) -> BTreeSet<Group> {
    let mut kept: BTreeSet<Group> = BTreeSet::new();
    for part in parts {
        let Group::Pods(new) = &part else {
            kept.insert(part);
            continue;
        };
        let same =
            kept.iter().find(|known| matches!(known, Group::Pods(old) if old.namespaces == new.namespaces)).cloned();
        if let Some(Group::Pods(old)) = &same {
            let both = Pods { namespaces: old.namespaces.clone(), pods: old.pods.and(&new.pods) };
            kept.remove(&Group::Pods(old.clone()));
            kept.insert(Group::Pods(both));
        } else {
            kept.insert(part);
        }
    }
    kept
}

/// The canonical text.
impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pods(Pods { namespaces, pods }) => {
                match namespaces {
                    Namespaces::Named(name) => write!(f, "pods of {name}")?,
                    Namespaces::Selected(selector) if selector.is_everything() => f.write_str("pods")?,
                    Namespaces::Selected(selector) => write!(f, "pods of namespaces {selector}")?,
                }
                if pods.is_everything() { Ok(()) } else { write!(f, " with {pods}") }
            }
            Self::In(block) => write!(f, "in {block}"),
            Self::Serves(name, protocol, number) => write!(f, "with port {name} = {}/{number}", protocol.tag()),
            Self::Nodes(selector) if selector.is_everything() => f.write_str("nodes"),
            Self::Nodes(selector) => write!(f, "nodes with {selector}"),
            Self::All(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { " and " })?;
                    write!(f, "({part})")?;
                }
                Ok(())
            }
        }
    }
}
