//! Which addresses are of which group now?
//!
//! An event costs as much as what it concerns: a pod or node is asked of the groups that may mean it, a new group of all of
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use bartizan_playbook::Tagged;
use bartizan_playbook::cluster::{Node, Pod, Snapshot};

use super::Groups;
use crate::labels::Labels;
use crate::said::Said;

/// Namespace and name; a node is in no namespace.
type Place = (String, String);

/// Who may belong to a group.
#[derive(Debug)]
enum Member {
    Pod(Pod),
    Node(Node),
}

/// Groups that are asked, and their tags: each once, however many addresses have it.
#[derive(Debug, Default)]
struct Asked {
    groups: bartizan_playbook::Members,
    tags: BTreeSet<Arc<str>>,
}

/// Who belongs to which group.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// Only the labels of its namespaces.
    snapshot: Snapshot,
    members: BTreeMap<Place, Member>,
    groups: Groups,
    asked: Asked,
    said: Said<Place, Arc<str>>,
}

impl Asked {
    fn of<'a>(groups: impl Iterator<Item = (&'a Arc<str>, &'a bartizan_playbook::Group)>) -> Self {
        let groups: Vec<_> = groups.collect();
        let tagged = |(tag, group): &(&Arc<str>, &bartizan_playbook::Group)| {
            Arc::new(Tagged { tag: tag.to_string(), group: (*group).clone() })
        };
        Self {
            groups: bartizan_playbook::Members::new(groups.iter().map(tagged)),
            tags: groups.into_iter().map(|(tag, _)| tag.clone()).collect(),
        }
    }

    /// The tags of a member's addresses.
    fn tags(&self, snapshot: &Snapshot, member: &Member) -> Vec<(IpAddr, Arc<str>)> {
        let found = match member {
            Member::Pod(pod) => self.groups.of_pod(snapshot, pod),
            Member::Node(node) => self.groups.of_node(node),
        };
        let mut all = Vec::new();
        for (address, tags) in found {
            all.extend(tags.into_iter().filter_map(|tag| Some((address, self.tags.get(tag)?.clone()))));
        }
        all
    }
}

impl Members {
    pub(super) fn namespaces(&self) -> &BTreeMap<String, Labels> {
        &self.snapshot.namespaces
    }

    pub(super) fn has_group(&self, tag: &str) -> bool {
        self.groups.contains_key(tag)
    }

    pub(super) fn tags(&self, address: IpAddr) -> impl Iterator<Item = &str> {
        self.said.of(address).map(|tag| &**tag)
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.said.addresses()
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.said.is_dirty()
    }

    pub(super) fn take_dirty(&mut self) -> BTreeSet<IpAddr> {
        self.said.take_dirty()
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
        let new = Asked::of(self.groups.iter().filter(|(tag, _)| !before.contains_key(*tag)));
        if gone.is_empty() && new.tags.is_empty() {
            return;
        }
        self.asked = Asked::of(self.groups.iter());
        for (place, member) in &self.members {
            let mut said = self.said.by(place).to_vec();
            said.retain(|(_, tag)| !gone.contains(tag));
            said.extend(new.tags(&self.snapshot, member));
            self.said.say(place, said);
        }
    }

    fn say(&mut self, place: &Place) {
        let said = self.members.get(place).map(|member| self.asked.tags(&self.snapshot, member));
        self.said.say(place, said.unwrap_or_default());
    }
}
