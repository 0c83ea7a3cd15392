//! What do the cluster's policies say, whom do they mean, and what is the manager to be told of them?
//!
//! The manager makes the rules; here the policies are translated by the same code only to know the groups that the rules
//! will speak of, because their members are tags, and tags are told first. A tag stays as long as a rule may need it: groups
//! of before linger until the manager says that what it was told is enforced, and the manager's own groups are tagged, too,
//! which differ where it keeps an earlier form of a policy.

mod members;
mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bartizan_playbook::cluster::{self, NamedPort, Snapshot};
use bartizan_playbook::cluster_policy::ClusterNetworkPolicy;
use bartizan_playbook::policy::NetworkPolicy;
use bartizan_playbook::{Checked, Group, Protocol, Settings, check, check_cluster, translate};
use serde::{Deserialize as _, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::catalogue::Translation;
use crate::labels::Labels;
use crate::objects::{Key, Kind, Object, Pod};
use crate::services::Services;
use members::Members;
pub(crate) use read::{cluster_policy, name_of, network_policy};

/// How long a group of before stays when the manager does not say that it is of no use any more.
const LINGER: Duration = Duration::from_secs(60);
/// Most groups of before.
const LINGERING_MAX: usize = 20_000;
/// Most rules, unless the manager says another number.
const RULES_MAX: usize = 20_000;
/// Largest state that the manager takes, in bytes.
pub const STATE_MAX: usize = 32 << 20;
/// The label that the API server gives each namespace (from Kubernetes 1.21 on).
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// A named port: name, protocol, number.
type NamedShape = (String, &'static str, u16);
/// What translation sees of a pod: namespace, labels, named ports.
type Shape = (String, Labels, Vec<NamedShape>);
/// Groups by their tag.
pub type Groups = BTreeMap<Arc<str>, Group>;

/// The whole state that the manager is to have.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// SHA-256, hex, of the text.
    pub digest: String,
    /// A JSON object.
    pub text: String,
    /// NetworkPolicies and ClusterNetworkPolicies.
    pub policies: usize,
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Policies.
    pub policies: usize,
    /// Policies that are at fault.
    pub faulty: usize,
    /// Groups whose members are tagged.
    pub groups: usize,
    /// The rules are more than there may be.
    pub too_many: bool,
}

/// A policy that the cluster has.
#[derive(Debug)]
struct Written {
    object: Arc<Value>,
    /// What it says, when it has no fault.
    checked: Option<Checked>,
}

impl Written {
    fn of(kind: Kind, object: Arc<Value>) -> Self {
        let checked = if kind == Kind::ClusterPolicy {
            ClusterNetworkPolicy::deserialize(&*object).ok().and_then(|policy| check_cluster(&policy).ok())
        } else {
            NetworkPolicy::deserialize(&*object).ok().and_then(|policy| check(&policy).ok())
        };
        Self { object, checked }
    }
}

/// What the manager is told, as JSON.
#[derive(Serialize)]
struct State<'a> {
    namespaces: &'a BTreeMap<String, Labels>,
    pods: Vec<Value>,
    policies: Vec<&'a Value>,
    cluster_policies: Vec<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    services: Option<Vec<Value>>,
}

/// The policies of a cluster.
#[derive(Debug)]
pub struct Policies {
    settings: Settings,
    members: Members,
    objects: BTreeMap<Key, Written>,
    /// How many pods are alike.
    shapes: BTreeMap<Shape, usize>,
    services: Services,
    /// The manager wants to know of services.
    tells_services: bool,
    listed: BTreeSet<Kind>,
    stale: bool,
    namespaces_changed: bool,
    ours: Groups,
    theirs: Option<Groups>,
    lingering: BTreeMap<Arc<str>, (Group, Instant)>,
    wanted: Option<Wanted>,
    is_settled: bool,
    counts: Counts,
}

impl Policies {
    /// Nothing is known of that cluster's.
    pub fn of_cluster(name: &str) -> Self {
        let settings =
            Settings { cluster: name.to_owned(), zones: Vec::new(), allow_the_rest: true, rules_max: RULES_MAX };
        Self {
            settings,
            members: Members::default(),
            objects: BTreeMap::new(),
            shapes: BTreeMap::new(),
            services: Services::default(),
            tells_services: false,
            listed: BTreeSet::new(),
            stale: true,
            namespaces_changed: false,
            ours: Groups::new(),
            theirs: None,
            lingering: BTreeMap::new(),
            wanted: None,
            is_settled: false,
            counts: Counts::default(),
        }
    }

    /// The administrator's settings are these.
    pub(crate) fn set(&mut self, translation: Translation) {
        let Translation { allow_the_rest, rules_max, service_objects } = translation;
        let settings = Settings { allow_the_rest, rules_max, ..self.settings.clone() };
        self.stale |= settings != self.settings || service_objects != self.tells_services;
        self.settings = settings;
        self.tells_services = service_objects;
    }

    /// Labels of each namespace, when they changed since this was asked.
    pub(crate) fn take_namespaces(&mut self) -> Option<BTreeMap<String, Labels>> {
        std::mem::take(&mut self.namespaces_changed).then(|| self.members.namespaces().clone())
    }

    /// Learns of an object of the cluster, or that it is gone.
    pub(crate) fn learn(&mut self, key: &Key, before: Option<&Object>, object: Option<&Object>) {
        match (key.kind, object) {
            (Kind::Policy | Kind::ClusterPolicy, Some(Object::Policy(told))) => {
                self.objects.insert(key.clone(), Written::of(key.kind, told.clone()));
                self.stale = true;
            }
            (Kind::Policy | Kind::ClusterPolicy, _) => {
                self.objects.remove(key);
                self.stale = true;
            }
            (Kind::Namespace, object) => {
                let labels = object.map(|object| {
                    let Object::Namespace(namespace) = object else { return Labels::new() };
                    let mut labels = namespace.labels.clone();
                    labels.insert(NAME_LABEL.to_owned(), key.name.clone());
                    labels
                });
                let is_new = self.members.put_namespace(&key.name, labels);
                self.stale |= is_new;
                self.namespaces_changed |= is_new;
            }
            (Kind::Pod, object) => {
                let of = |object: Option<&Object>| match object {
                    Some(Object::Pod(pod)) if pod.in_cluster => Some(pod.clone()),
                    _ => None,
                };
                let (before, pod) = (of(before), of(object));
                self.count(key, before.as_ref(), false);
                self.count(key, pod.as_ref(), true);
                let place = (key.namespace.clone(), key.name.clone());
                self.members.put_pod(&place, pod.as_ref().map(|pod| read::pod(key, pod)));
            }
            (Kind::Node, object) => {
                let node = object.and_then(|object| read::node(key, object));
                self.members.put_node(&key.name, node);
            }
            (Kind::Service | Kind::Slice, object) => self.services.learn(key, object),
        }
    }

    /// Counts pods by what translation sees of them.
    fn count(&mut self, key: &Key, pod: Option<&Pod>, comes: bool) {
        let Some(pod) = pod.filter(|pod| !pod.ports.is_empty()) else { return };
        let ports = pod.ports.iter().map(|port| (port.name.clone(), name_of(port.protocol), port.number));
        let shape = (key.namespace.clone(), pod.labels.clone(), ports.collect());
        let count = self.shapes.entry(shape.clone()).or_default();
        *count = if comes { *count + 1 } else { count.saturating_sub(1) };
        let (is_new, is_gone) = (comes && *count == 1, *count == 0);
        if is_gone {
            self.shapes.remove(&shape);
        }
        self.stale |= is_new || is_gone;
    }

    /// All objects of a kind were listed.
    pub(crate) fn listed(&mut self, kind: Kind) {
        if self.listed.insert(kind) {
            self.stale = true;
        }
    }

    /// Whether everything was listed that policies and their groups depend on.
    pub fn is_listed(&self) -> bool {
        let needed =
            [Kind::Policy, Kind::ClusterPolicy, Kind::Namespace, Kind::Pod, Kind::Node, Kind::Service, Kind::Slice];
        needed.iter().all(|kind| self.listed.contains(kind))
    }

    /// Translates if something changed, and lets go of groups whose time is over.
    pub fn refresh(&mut self, now: Instant) {
        if self.is_listed() {
            let has_other_services = self.services.take_changed() && self.tells_services;
            let is_stale = std::mem::take(&mut self.stale);
            if is_stale {
                self.translate(now);
            }
            if is_stale || has_other_services {
                self.wanted = Some(self.state());
            }
        }
        let is_over = |since: Instant| now.saturating_duration_since(since) >= LINGER;
        if self.theirs.is_some() && self.lingering.values().any(|(_, since)| is_over(*since)) {
            self.lingering.retain(|_, (_, since)| !is_over(*since));
            self.tag();
        }
    }

    /// When [`Self::refresh`] has something to do without any event.
    pub fn wakes(&self) -> Option<Instant> {
        let first = self.lingering.values().map(|(_, since)| *since + LINGER).min();
        first.filter(|_| self.theirs.is_some())
    }

    fn translate(&mut self, now: Instant) {
        let checked: Vec<&Checked> = self.objects.values().filter_map(|written| written.checked.as_ref()).collect();
        let faulty = self.objects.len() - checked.len();
        let snapshot = self.snapshot();
        let plan = translate(&self.settings, &checked, &snapshot);
        self.counts = Counts { policies: self.objects.len(), faulty, too_many: plan.is_err(), ..self.counts };
        // With too many the manager stays at what it has, and says which groups that needs.
        let Ok(plan) = plan else { return };
        // Without any policy no pod needs a tag, unless the manager says so.
        let groups = plan.groups().into_iter().filter(|_| !self.objects.is_empty());
        let ours: Groups = groups.map(|(tag, group)| (tag.into(), group.clone())).collect();
        for (tag, group) in std::mem::replace(&mut self.ours, ours) {
            if !self.ours.contains_key(&tag) && self.lingering.len() < LINGERING_MAX {
                self.lingering.insert(tag, (group, now));
            }
        }
        self.lingering.retain(|tag, _| !self.ours.contains_key(tag));
        self.tag();
    }

    fn tag(&mut self) {
        let theirs = self.theirs.iter().flatten().map(|(tag, group)| (tag.clone(), group.clone()));
        let lingering = self.lingering.iter().map(|(tag, (group, _))| (tag.clone(), group.clone()));
        let mut groups: Groups = lingering.chain(theirs).collect();
        groups.extend(self.ours.iter().map(|(tag, group)| (tag.clone(), group.clone())));
        self.counts.groups = groups.len();
        self.members.put_groups(groups);
    }

    /// What translation sees of the cluster: for its named ports, one pod stands for all that are alike.
    fn snapshot(&self) -> Snapshot {
        let pod = |(namespace, labels, ports): &Shape| {
            let named = |(name, protocol, number): &NamedShape| {
                let protocol = Protocol::read(protocol)?;
                Some(NamedPort { name: name.clone(), protocol, number: *number })
            };
            let (namespace, labels) = (namespace.clone(), labels.clone());
            let ports = ports.iter().filter_map(named).collect();
            cluster::Pod { namespace, labels, ports, ..cluster::Pod::default() }
        };
        let (namespaces, pods) = (self.members.namespaces().clone(), self.shapes.keys().map(pod).collect());
        Snapshot { namespaces, pods, ..Snapshot::default() }
    }

    fn state(&self) -> Wanted {
        let mut names = BTreeSet::new();
        self.objects.values().for_each(|written| read::ports_named(&written.object, &mut names));
        let named = |ports: &'_ [NamedShape]| -> Vec<NamedShape> {
            ports.iter().filter(|(name, ..)| names.contains(name.as_str())).cloned().collect()
        };
        let shapes: BTreeSet<Shape> = self
            .shapes
            .keys()
            .map(|(namespace, labels, ports)| (namespace.clone(), labels.clone(), named(ports)))
            .filter(|(.., ports)| !ports.is_empty())
            .collect();
        let port =
            |(name, protocol, number): &NamedShape| json!({ "name": name, "protocol": protocol, "number": number });
        let pod = |(namespace, labels, ports): &Shape| json!({ "namespace": namespace, "labels": labels, "ports": ports.iter().map(port).collect::<Vec<_>>() });
        let of_kind = |kind| -> Vec<&Value> {
            self.objects.iter().filter(|(key, _)| key.kind == kind).map(|(_, written)| &*written.object).collect()
        };
        let state = State {
            namespaces: self.members.namespaces(),
            pods: shapes.iter().map(pod).collect(),
            policies: of_kind(Kind::Policy),
            cluster_policies: of_kind(Kind::ClusterPolicy),
            services: self.tells_services.then(|| self.services.told()),
        };
        // Texts and numbers: nothing in it can fail to serialise.
        let text = serde_json::to_string(&state).unwrap_or_default();
        let digest = Sha256::digest(text.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        Wanted { digest, text, policies: self.objects.len() }
    }

    /// The manager says which groups its rules speak of (if it does), and which state is enforced on all devices.
    pub fn heard(&mut self, theirs: Option<Groups>, enforced: Option<&str>) {
        let is_enforced = self.wanted.as_ref().is_some_and(|wanted| enforced == Some(&wanted.digest));
        self.is_settled |= is_enforced || theirs.is_some();
        let lets_go = is_enforced && !self.lingering.is_empty();
        if lets_go {
            self.lingering.clear();
        }
        let is_news = theirs.is_some() && self.theirs != theirs;
        if is_news {
            self.theirs = theirs;
        }
        if lets_go || is_news {
            self.tag();
        }
    }

    /// What the manager is to have; `None` until everything was listed.
    pub fn wanted(&self) -> Option<&Wanted> {
        self.wanted.as_ref()
    }

    /// An object's identity at the API server, to be named by others: `apiVersion`, `kind`, `metadata`.
    pub fn object(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key).map(|written| &written.object)
    }

    /// What is counted.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether a tag that the manager has of before stays, because a rule may need it: what was before is not known yet.
    pub(crate) fn keeps(&self, tag: &str) -> bool {
        !self.is_settled && bartizan_model::registered::is_policy_tag(tag) && !self.members.has_group(tag)
    }

    /// Whether the manager said what it needs: then [`Self::keeps`] keeps nothing any more.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_settled
    }

    pub(crate) fn tags(&self, address: IpAddr) -> impl Iterator<Item = &str> {
        self.members.tags(address)
    }

    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.members.addresses()
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.members.is_dirty()
    }

    pub(crate) fn take_dirty(&mut self) -> BTreeSet<IpAddr> {
        self.members.take_dirty()
    }
}

#[cfg(test)]
mod tests;
