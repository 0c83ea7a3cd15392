//! Which addresses are of which group now?
//!
//! An event costs as much as what it concerns: a pod or node is asked of all groups, a new group of all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use bartizan_playbook::cluster::{Node, Pod, Snapshot};

use super::Groups;
use crate::labels::Labels;

/// Namespace and name; a node is in no namespace.
type Place = (String, String);

/// Who may belong to a group.
#[derive(Debug)]
enum Member {
    Pod(Pod),
    Node(Node),
}

/// Who belongs to which group.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// Only the labels of its namespaces.
    snapshot: Snapshot,
    members: BTreeMap<Place, Member>,
    groups: Groups,
    /// What each member says of its addresses, in order.
    said: HashMap<Place, Vec<(IpAddr, Arc<str>)>>,
    /// What is said of each address, how often.
    addresses: HashMap<IpAddr, BTreeMap<Arc<str>, u32>>,
    dirty: BTreeSet<IpAddr>,
}

impl Members {
    pub(super) fn namespaces(&self) -> &BTreeMap<String, Labels> {
        &self.snapshot.namespaces
    }

    pub(super) fn has_group(&self, tag: &str) -> bool {
        self.groups.contains_key(tag)
    }

    pub(super) fn tags(&self, address: IpAddr) -> impl Iterator<Item = &str> {
        self.addresses.get(&address).into_iter().flat_map(|tags| tags.keys().map(|tag| &**tag))
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.keys().copied()
    }

    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    pub(super) fn take_dirty(&mut self) -> BTreeSet<IpAddr> {
        std::mem::take(&mut self.dirty)
    }

    /// A pod is there, or another one than before, or gone.
    pub(super) fn put_pod(&mut self, place: &Place, pod: Option<Pod>) {
        self.put(place, pod.map(Member::Pod));
    }

    /// A node is there, or another one than before, or gone.
    pub(super) fn put_node(&mut self, name: &str, node: Option<Node>) {
        self.put(&(String::new(), name.to_owned()), node.map(Member::Node));
    }

    fn put(&mut self, place: &Place, member: Option<Member>) {
        match member {
            Some(member) => self.members.insert(place.clone(), member),
            None => self.members.remove(place),
        };
        self.say(place);
    }

    /// A namespace has these labels, or is gone; whether that is new.
    pub(super) fn put_namespace(&mut self, name: &str, labels: Option<Labels>) -> bool {
        if self.snapshot.namespaces.get(name) == labels.as_ref() {
            return false;
        }
        match labels {
            Some(labels) => self.snapshot.namespaces.insert(name.to_owned(), labels),
            None => self.snapshot.namespaces.remove(name),
        };
        let from = (name.to_owned(), String::new());
        let places: Vec<Place> =
            self.members.range(from..).map(|(place, _)| place).take_while(|(of, _)| of == name).cloned().collect();
        places.iter().for_each(|place| self.say(place));
        true
    }

    /// These groups there are, and no others.
    pub(super) fn put_groups(&mut self, groups: Groups) {
        let before = std::mem::replace(&mut self.groups, groups);
        let gone: BTreeSet<&Arc<str>> = before.keys().filter(|tag| !self.groups.contains_key(*tag)).collect();
        let new: Groups = self
            .groups
            .iter()
            .filter(|(tag, _)| !before.contains_key(*tag))
            .map(|(tag, group)| (tag.clone(), group.clone()))
            .collect();
        if gone.is_empty() && new.is_empty() {
            return;
        }
        let places: Vec<Place> = self.members.keys().cloned().collect();
        for place in places {
            let mut said = self.said.get(&place).cloned().unwrap_or_default();
            said.retain(|(_, tag)| !gone.contains(tag));
            said.extend(self.of(&place, &new));
            self.replace(&place, said);
        }
    }

    fn say(&mut self, place: &Place) {
        let said = self.of(place, &self.groups);
        self.replace(place, said);
    }

    fn of(&self, place: &Place, groups: &Groups) -> Vec<(IpAddr, Arc<str>)> {
        let mut found = Vec::new();
        for (tag, group) in groups {
            let add = |address| found.push((address, tag.clone()));
            match self.members.get(place) {
                Some(Member::Pod(pod)) => group.addresses_of(&self.snapshot, pod).for_each(add),
                Some(Member::Node(node)) => group.addresses_of_node(node).for_each(add),
                None => {}
            }
        }
        found
    }

    fn replace(&mut self, place: &Place, mut after: Vec<(IpAddr, Arc<str>)>) {
        after.sort_unstable();
        let before = self.said.remove(place).unwrap_or_default();
        if before != after {
            for (address, tag) in &after {
                *self.addresses.entry(*address).or_default().entry(tag.clone()).or_default() += 1;
                self.dirty.insert(*address);
            }
            for (address, tag) in before {
                self.dirty.insert(address);
                let Some(said) = self.addresses.get_mut(&address) else { continue };
                if let Some(count) = said.get_mut(&tag) {
                    *count -= 1;
                    if *count == 0 {
                        said.remove(&tag);
                    }
                }
                if said.is_empty() {
                    self.addresses.remove(&address);
                }
            }
        }
        if !after.is_empty() {
            self.said.insert(place.clone(), after);
        }
    }
}
