//! Which tags has a pod, or a node?
//!
//! Most groups are of one namespace that is known by its name, and those of others need not be asked: so one pod's tags cost
//! the groups of its namespace, and those of any.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use crate::cluster::{Node, Pod, Snapshot};
use crate::rules::Tagged;

/// Groups that are asked about pods.
#[derive(Clone, Debug, Default)]
pub struct Members {
    /// Groups of one namespace, by its name.
    at_home: HashMap<String, Vec<Arc<Tagged>>>,
    /// Groups of pods that may be of any namespace.
    anywhere: Vec<Arc<Tagged>>,
    /// Groups of nodes.
    nodes: Vec<Arc<Tagged>>,
}

impl Members {
    /// Groups to be asked: of a plan, by [`crate::Plan::tagged`], or of several.
    pub fn new(groups: impl IntoIterator<Item = Arc<Tagged>>) -> Self {
        let mut found = Self::default();
        for tagged in groups {
            let list = match tagged.group.home() {
                _ if tagged.group.is_of_nodes() => &mut found.nodes,
                Some(home) => found.at_home.entry(home.to_owned()).or_default(),
                None => &mut found.anywhere,
            };
            list.push(tagged);
        }
        found
    }

    /// The tags of each of a pod's addresses. Of the snapshot, only the labels of the pod's namespace matter.
    pub fn of_pod<'a>(&'a self, snapshot: &Snapshot, pod: &Pod) -> BTreeMap<IpAddr, BTreeSet<&'a str>> {
        let mut found: BTreeMap<IpAddr, BTreeSet<&str>> = BTreeMap::new();
        for tagged in self.at_home.get(&pod.namespace).into_iter().flatten().chain(&self.anywhere) {
            for address in tagged.group.addresses_of(snapshot, pod) {
                found.entry(address).or_default().insert(&tagged.tag);
            }
        }
        found
    }

    /// The tags of each of a node's addresses.
    pub fn of_node<'a>(&'a self, node: &Node) -> BTreeMap<IpAddr, BTreeSet<&'a str>> {
        let mut found: BTreeMap<IpAddr, BTreeSet<&str>> = BTreeMap::new();
        for tagged in &self.nodes {
            for address in tagged.group.addresses_of_node(node) {
                found.entry(address).or_default().insert(&tagged.tag);
            }
        }
        found
    }

    /// The tags of every address.
    pub fn all(&self, snapshot: &Snapshot) -> BTreeMap<IpAddr, BTreeSet<String>> {
        let mut found: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
        let pods = snapshot.pods.iter().map(|pod| self.of_pod(snapshot, pod));
        for (address, tags) in pods.chain(snapshot.nodes.iter().map(|node| self.of_node(node))).flatten() {
            found.entry(address).or_default().extend(tags.into_iter().map(str::to_owned));
        }
        found
    }
}
