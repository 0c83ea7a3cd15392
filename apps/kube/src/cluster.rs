//! Which tags is each address to have, by all that is known of the cluster?
//!
//! Each object says which addresses have which tags because of it; an address has what is said of it by any. So an event
//! costs as much as the object, whatever the size of the cluster. What was listed anew is compared with what was known:
//! objects that are not on the list are gone.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use crate::labels::{ApplyOn, Filter, LabelSelector};
use crate::objects::{Key, Kind, Namespace, Node, Object, Pod, Service, Slice};
use crate::policies::Policies;
use crate::said::Said;
use crate::tags::{Names, POLICY_TAGS_MAX, TAGS_MAX, Tag};

/// What happened in the cluster.
#[derive(Clone, Debug)]
pub enum Change {
    /// An object is there, or another one than before.
    Apply(Key, Object),
    /// It is gone.
    Delete(Key),
    /// All objects of a kind are listed from here on, each as an [`Change::Apply`].
    ListBegins(Kind),
    /// What was not listed is gone.
    ListEnds(Kind),
}

/// Which tags there are.
#[derive(Clone, Debug)]
pub struct Tagging {
    /// What they are called.
    pub names: Names,
    /// Which labels become tags.
    pub filter: Filter,
    /// Label selectors.
    pub selectors: Vec<LabelSelector>,
}

/// What is known of the cluster.
#[derive(Debug)]
pub struct Cluster {
    tagging: Tagging,
    objects: HashMap<Key, Object>,
    /// Endpoint slices that name a pod.
    slices_of: HashMap<Key, BTreeSet<Key>>,
    /// What each object says.
    said: Said<Key, Tag>,
    /// What a list under way has named.
    listing: BTreeMap<Kind, HashSet<Key>>,
    listed: BTreeSet<Kind>,
    /// What its policies say.
    pub policies: Policies,
}

impl Cluster {
    /// Nothing is known.
    pub fn new(tagging: Tagging) -> Self {
        let policies = Policies::of_cluster(tagging.names.cluster());
        Self {
            policies,
            tagging,
            objects: HashMap::new(),
            slices_of: HashMap::new(),
            said: Said::default(),
            listing: BTreeMap::new(),
            listed: BTreeSet::new(),
        }
    }

    /// Learns what happened.
    pub fn learn(&mut self, change: Change) {
        match change {
            Change::Apply(key, object) => {
                if let Some(named) = self.listing.get_mut(&key.kind) {
                    named.insert(key.clone());
                }
                self.put(key, Some(object));
            }
            Change::Delete(key) => self.put(key, None),
            Change::ListBegins(kind) => {
                self.listing.insert(kind, HashSet::new());
            }
            Change::ListEnds(kind) => {
                let named = self.listing.remove(&kind).unwrap_or_default();
                let gone: Vec<Key> =
                    self.objects.keys().filter(|key| key.kind == kind && !named.contains(key)).cloned().collect();
                gone.into_iter().for_each(|key| self.put(key, None));
                self.listed.insert(kind);
                self.policies.listed(kind);
            }
        }
    }

    /// Whether all objects that tags depend on were listed once: before, what is not known may be there.
    pub fn is_listed(&self) -> bool {
        Kind::OF_TAGS.iter().all(|kind| self.listed.contains(kind))
    }

    /// The addresses whose tags may have changed since this was asked last.
    pub fn take_dirty(&mut self) -> BTreeSet<IpAddr> {
        let mut dirty = self.said.take_dirty();
        dirty.extend(self.policies.take_dirty());
        dirty
    }

    /// Whether the tags of some address may have changed.
    pub fn is_dirty(&self) -> bool {
        self.said.is_dirty() || self.policies.is_dirty()
    }

    /// Addresses to look at again.
    pub fn touch(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.said.touch(addresses);
    }

    /// Every address that has tags.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.said.addresses().chain(self.policies.addresses())
    }

    /// The tags of an address, and how many more it would have. Those of policies do not count among the others: a rule
    /// without one of them would let through what it is to refuse.
    pub fn tags(&self, address: IpAddr) -> (BTreeSet<String>, usize) {
        let of_policies: Vec<&str> = self.policies.tags(address).collect();
        let mut more = of_policies.len().saturating_sub(POLICY_TAGS_MAX);
        let mut tags: BTreeSet<String> = of_policies.into_iter().take(POLICY_TAGS_MAX).map(str::to_owned).collect();
        let said = self.said.of(address);
        more += said.len().saturating_sub(TAGS_MAX);
        tags.extend(said.take(TAGS_MAX).map(|(_, tag)| tag.clone()));
        (tags, more)
    }

    /// How many objects of a kind there are.
    pub fn count(&self, kind: Kind) -> usize {
        self.objects.keys().filter(|key| key.kind == kind).count()
    }

    /// How many namespaces have their pods inspected.
    pub fn protected_namespaces(&self) -> usize {
        let is_protected = |object: &&Object| matches!(object, Object::Namespace(Namespace { is_protected: true, .. }));
        self.objects.values().filter(is_protected).count()
    }

    fn put(&mut self, key: Key, object: Option<Object>) {
        if self.objects.get(&key) == object.as_ref() {
            return;
        }
        self.index(&key, object.as_ref());
        self.policies.learn(&key, self.objects.get(&key), object.as_ref());
        match object {
            Some(object) => self.objects.insert(key.clone(), object),
            None => self.objects.remove(&key),
        };
        self.say(&key);
        // What a slice says of an address goes by the pod that has it.
        for slice in self.slices_of.get(&key).cloned().unwrap_or_default() {
            self.say(&slice);
        }
    }

    fn index(&mut self, key: &Key, object: Option<&Object>) {
        if key.kind != Kind::Slice {
            return;
        }
        if let Some(Object::Slice(before)) = self.objects.get(key) {
            for pod in pods_of(key, before) {
                if let Some(slices) = self.slices_of.get_mut(&pod) {
                    slices.remove(key);
                    if slices.is_empty() {
                        self.slices_of.remove(&pod);
                    }
                }
            }
        }
        if let Some(Object::Slice(after)) = object {
            for pod in pods_of(key, after) {
                self.slices_of.entry(pod).or_default().insert(key.clone());
            }
        }
    }

    /// Says anew what an object says.
    fn say(&mut self, key: &Key) {
        let after = match self.objects.get(key) {
            Some(Object::Pod(pod)) => self.of_pod(key, pod),
            Some(Object::Service(service)) => self.of_service(key, service),
            Some(Object::Slice(slice)) => self.of_slice(key, slice),
            Some(Object::Node(node)) => self.of_node(node),
            Some(Object::Namespace(_) | Object::Policy(_)) | None => Vec::new(),
        };
        self.said.say(key, after);
    }

    fn of_pod(&self, key: &Key, pod: &Pod) -> Vec<(IpAddr, Tag)> {
        let names = &self.tagging.names;
        let mut tags = vec![names.namespace(&key.namespace)];
        tags.extend(pod.owner.iter().map(|(kind, name)| names.workload(&key.namespace, *kind, name)));
        tags.extend(self.of_labels(ApplyOn::Pod, &key.namespace, &pod.labels));
        let mut said = each(&pod.addresses, &tags);
        for (interface, address) in &pod.interfaces {
            said.push((*address, names.namespace(&key.namespace)));
            said.push((*address, names.interface(&key.namespace, interface)));
        }
        said
    }

    fn of_service(&self, key: &Key, service: &Service) -> Vec<(IpAddr, Tag)> {
        let names = &self.tagging.names;
        let mut tags = vec![names.namespace(&key.namespace), names.service(&key.namespace, &key.name)];
        tags.extend(self.of_labels(ApplyOn::Service, &key.namespace, &service.labels));
        let mut said = each(&service.addresses, &tags);
        said.extend(each(&service.external, &[names.external_service(&key.namespace, &key.name)]));
        said
    }

    fn of_slice(&self, key: &Key, slice: &Slice) -> Vec<(IpAddr, Tag)> {
        if slice.service.is_empty() {
            return Vec::new();
        }
        let tag = self.tagging.names.service(&key.namespace, &slice.service);
        let has_it = |address: &IpAddr, pod: &Option<String>| {
            let Some(pod) = pod else { return true };
            let known = self.objects.get(&pod_key(&key.namespace, pod));
            matches!(known, Some(Object::Pod(known)) if known.addresses.contains(address))
        };
        let backing = slice.endpoints.iter().filter(|(address, pod)| has_it(address, pod));
        backing.map(|(address, _)| (*address, tag.clone())).collect()
    }

    fn of_node(&self, node: &Node) -> Vec<(IpAddr, Tag)> {
        let names = &self.tagging.names;
        let mut said = each(&node.internal, &[names.nodes()]);
        said.extend(each(&node.external, &[names.external_nodes()]));
        said
    }

    fn of_labels(&self, on: ApplyOn, namespace: &str, labels: &crate::labels::Labels) -> Vec<Tag> {
        let Tagging { names, filter, selectors } = &self.tagging;
        let wanted = labels.iter().filter(|(key, value)| filter.wants(namespace, key, value));
        let of_labels = wanted.map(|(key, value)| names.label(namespace, key, value));
        let selecting = selectors.iter().filter(|selector| selector.selects(on, namespace, labels));
        of_labels.chain(selecting.map(|selector| names.selector(&selector.name))).collect()
    }
}

fn each(addresses: &[IpAddr], tags: &[Tag]) -> Vec<(IpAddr, Tag)> {
    addresses.iter().flat_map(|address| tags.iter().map(|tag| (*address, tag.clone()))).collect()
}

fn pod_key(namespace: &str, name: &str) -> Key {
    Key { kind: Kind::Pod, namespace: namespace.to_owned(), name: name.to_owned() }
}

fn pods_of(slice: &Key, of: &Slice) -> BTreeSet<Key> {
    of.endpoints.iter().filter_map(|(_, pod)| pod.as_ref()).map(|pod| pod_key(&slice.namespace, pod)).collect()
}

#[cfg(test)]
mod tests;
