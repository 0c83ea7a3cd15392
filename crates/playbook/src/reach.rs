//! In which namespaces can a group's pods be, and which ports do they have? Each asked once.
//!
//! Two groups that share no namespace cannot meet, and most pairs of rules of a cluster do not: that must cost nothing.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::clause::{Peer, Peers};
use crate::cluster::{Pod, Snapshot};
use crate::group::{Group, Namespaces, Pods};
use crate::ports::Protocol;
use crate::selector::Selector;

/// A set of namespaces, and whether nodes are meant: one bit each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spaces(Vec<u64>);

impl Spaces {
    fn set(&mut self, bit: usize) {
        if let Some(word) = self.0.get_mut(bit / 64) {
            *word |= 1 << (bit % 64);
        }
    }

    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn and(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= b);
    }

    fn or(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
    }
}

/// A snapshot that is asked about groups.
pub(crate) struct Reach<'a> {
    snapshot: &'a Snapshot,
    bits: HashMap<&'a str, usize>,
    /// Pods that have named ports, by the bit of their namespace.
    serving: Vec<Vec<&'a Pod>>,
    selected: RefCell<HashMap<Selector, Arc<Spaces>>>,
}

impl<'a> Reach<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot) -> Self {
        let bits: HashMap<&str, usize> =
            snapshot.namespaces.keys().enumerate().map(|(bit, name)| (name.as_str(), bit)).collect();
        let mut serving: Vec<Vec<&Pod>> = vec![Vec::new(); bits.len()];
        for pod in snapshot.pods.iter().filter(|pod| pod.is_selectable() && !pod.ports.is_empty()) {
            let of_namespace = bits.get(pod.namespace.as_str()).and_then(|bit| serving.get_mut(*bit));
            of_namespace.into_iter().for_each(|pods| pods.push(pod));
        }
        Self { snapshot, bits, serving, selected: RefCell::default() }
    }

    /// One bit more than there are namespaces: the last one is for nodes.
    fn none(&self) -> Spaces {
        Spaces(vec![0; self.bits.len() / 64 + 1])
    }

    fn all(&self) -> Spaces {
        let mut all = Spaces(vec![u64::MAX; self.bits.len() / 64 + 1]);
        if let Some(last) = all.0.last_mut() {
            // Bits behind the one for nodes say nothing.
            *last &= u64::MAX >> (63 - self.bits.len() % 64);
        }
        all
    }

    fn pods(&self) -> Spaces {
        let mut pods = self.all();
        if let Some(last) = pods.0.last_mut() {
            *last &= !(1 << (self.bits.len() % 64));
        }
        pods
    }

    fn selected(&self, selector: &Selector) -> Arc<Spaces> {
        if let Some(known) = self.selected.borrow().get(selector) {
            return Arc::clone(known);
        }
        let mut spaces = self.none();
        for (name, labels) in &self.snapshot.namespaces {
            if selector.matches(labels)
                && let Some(bit) = self.bits.get(name.as_str())
            {
                spaces.set(*bit);
            }
        }
        let spaces = Arc::new(spaces);
        self.selected.borrow_mut().insert(selector.clone(), Arc::clone(&spaces));
        spaces
    }

    fn of_pods(&self, pods: &Pods) -> Spaces {
        match &pods.namespaces {
            Namespaces::Named(name) => {
                let mut spaces = self.none();
                self.bits.get(name.as_str()).into_iter().for_each(|bit| spaces.set(*bit));
                spaces
            }
            Namespaces::Selected(selector) => self.selected(selector).as_ref().clone(),
        }
    }

    /// Where a group's members can be; nowhere when its labels contradict one another.
    pub(crate) fn spaces(&self, group: &Group) -> Spaces {
        match group {
            Group::Pods(pods) if pods.pods.is_impossible() => self.none(),
            Group::Pods(pods) => self.of_pods(pods),
            Group::Nodes(_) => {
                let mut spaces = self.none();
                spaces.set(self.bits.len());
                spaces
            }
            Group::In(_) => self.all(),
            Group::Serves(..) => self.pods(),
            Group::All(parts) => {
                let labels =
                    parts.iter().filter_map(|part| if let Group::Pods(pods) = part { Some(pods) } else { None });
                let labels = labels.fold(Selector::default(), |all, one| all.and(&one.pods));
                let mut spaces = if labels.is_impossible() { self.none() } else { self.all() };
                parts.iter().for_each(|part| spaces.and(&self.spaces(part)));
                spaces
            }
        }
    }

    /// Whether anything can be of the group, whatever pods come.
    pub(crate) fn is_possible(&self, group: &Group) -> bool {
        !self.spaces(group).is_empty()
    }

    /// Where one of several groups can be.
    pub(crate) fn any(&self, groups: &[Group]) -> Spaces {
        let mut spaces = self.none();
        groups.iter().for_each(|group| spaces.or(&self.spaces(group)));
        spaces
    }

    /// Where peers can be, as far as they are pods.
    pub(crate) fn peers(&self, peers: &Peers) -> Spaces {
        let mut spaces = self.none();
        match peers {
            Peers::Anybody => return self.pods(),
            Peers::Of(peers) => {
                let groups = peers.iter().filter_map(Peer::pods);
                groups.for_each(|group| spaces.or(&self.spaces(&group)));
            }
        }
        spaces.and(&self.pods());
        spaces
    }

    /// The numbers that a named port has at the pods of groups.
    pub(crate) fn numbers(&self, groups: &[Group], name: &str, protocol: Protocol) -> BTreeSet<u16> {
        let mut numbers = BTreeSet::new();
        for group in groups {
            let spaces = self.spaces(group);
            let has = |bit: usize| spaces.0.get(bit / 64).is_some_and(|word| word & (1 << (bit % 64)) != 0);
            let there = self.serving.iter().enumerate().filter(|(bit, _)| has(*bit));
            for pod in there.flat_map(|(_, pods)| pods) {
                let named = pod.ports.iter().filter(|port| port.name == name && port.protocol == protocol);
                let named: Vec<u16> = named.map(|port| port.number).collect();
                if !named.is_empty() && group.may_contain(self.snapshot, pod) {
                    numbers.extend(named);
                }
            }
        }
        numbers
    }
}
