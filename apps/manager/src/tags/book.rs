//! Which tags are kept, by where they come from, and what has changed since when?
//!
//! Changes are numbered. Whoever follows them names the number up to which it knows, and hears of the addresses that
//! changed since, or that it has to begin anew because that is too long ago.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bartizan_model::registered::{Entry, Order, Registry, cluster_of, is_cluster_name};

use super::notify::Scope;
use crate::store::tags::{ClusterRow, TagRow};

/// Clusters that may have tags, as on Panorama.
pub(crate) const CLUSTERS_MAX: usize = 32;
/// Addresses with tags, of all sources together.
pub(crate) const ADDRESSES_MAX: usize = 300_000;
/// Changes that are remembered; a device that is further behind gets everything.
const LOG_MAX: usize = 100_000;

/// A source and an address.
pub(crate) type Place = (String, IpAddr);
/// What stood there before.
pub(super) type Undo = BTreeMap<Place, Option<Entry>>;

/// What a controller last said of its cluster.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    /// What is kept of it.
    pub(crate) row: ClusterRow,
    /// What it watches.
    pub(crate) counts: Counts,
    /// Since when it is silent; for one that is known from before the start, since the start.
    pub(super) heard: Instant,
    /// It was silent for too long, and its tags are gone.
    pub(crate) expired: bool,
}

/// Objects that a controller sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Pods.
    pub(crate) pods: u64,
    /// Services.
    pub(crate) services: u64,
    /// Nodes.
    pub(crate) nodes: u64,
    /// Namespaces.
    pub(crate) namespaces: u64,
    /// Namespaces whose annotation sends their pods through a firewall.
    pub(crate) protected_namespaces: u64,
}

/// Everything.
#[derive(Debug, Default)]
pub(super) struct Book {
    sources: BTreeMap<String, Registry>,
    pub(super) clusters: BTreeMap<String, Cluster>,
    log: VecDeque<Place>,
    /// Number of the change that comes next.
    end: u64,
}

impl Book {
    /// With what the store has.
    pub(super) fn of(tags: Vec<(Place, Entry)>, clusters: Vec<ClusterRow>, now: Instant) -> Self {
        let mut book = Self::default();
        for ((source, address), entry) in tags {
            book.sources.entry(source).or_default().put(address, Some(entry));
        }
        let cluster = |row: ClusterRow| Cluster { row, counts: Counts::default(), heard: now, expired: false };
        book.clusters = clusters.into_iter().map(|row| (row.name.clone(), cluster(row))).collect();
        book
    }

    /// Number of the change that comes next.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// What is registered, by source.
    pub(super) fn sources(&self) -> impl Iterator<Item = (&str, &Registry)> {
        self.sources.iter().map(|(source, registry)| (source.as_str(), registry))
    }

    /// What a source has registered.
    pub(super) fn source(&self, source: &str) -> Option<&Registry> {
        self.sources.get(source)
    }

    /// Carries out an order; `undo` learns what was there before.
    pub(super) fn carry_out(&mut self, order: &Order, now_s: i64, undo: &mut Undo) -> Result<(), String> {
        let mut by_source: BTreeMap<&str, Vec<(String, Option<i64>)>> = BTreeMap::new();
        for (tag, timeout) in &order.tags {
            let source = cluster_of(tag).filter(|name| is_cluster_name(name)).unwrap_or_default();
            by_source.entry(source).or_default().push((tag.clone(), *timeout));
        }
        if order.tags.is_empty() && !order.register {
            let with = self.sources.iter().filter(|(_, registry)| registry.entries().contains_key(&order.address));
            let names: Vec<String> = with.map(|(name, _)| name.clone()).collect();
            if names.is_empty() {
                return Err(format!("ip {} does not exist, ignore unreg", order.address));
            }
            return names.iter().try_for_each(|name| self.carry_out_at(name, order, now_s, undo));
        }
        if by_source.is_empty() {
            return Err("there is no tag to register".to_owned());
        }
        let mut first = Ok(());
        for (source, tags) in by_source {
            let part = Order { tags, ..order.clone() };
            let done = self.carry_out_at(source, &part, now_s, undo);
            first = first.and(done);
        }
        first
    }

    fn carry_out_at(&mut self, source: &str, order: &Order, now_s: i64, undo: &mut Undo) -> Result<(), String> {
        let known = self.sources.get(source);
        if order.register {
            let clusters = self.sources.keys().filter(|name| !name.is_empty()).count();
            if known.is_none() && !source.is_empty() && clusters >= CLUSTERS_MAX {
                return Err(format!("{CLUSTERS_MAX} clusters have tags, which is as many as there can be"));
            }
            let addresses: usize = self.sources.values().map(|registry| registry.entries().len()).sum();
            let is_there = known.is_some_and(|registry| registry.entries().contains_key(&order.address));
            if addresses >= ADDRESSES_MAX && !is_there {
                return Err(format!("{ADDRESSES_MAX} addresses are registered, which is as many as there can be"));
            }
        }
        let place = (source.to_owned(), order.address);
        let before = known.and_then(|registry| registry.entries().get(&order.address)).cloned();
        undo.entry(place).or_insert(before);
        let registry = self.sources.entry(source.to_owned()).or_default();
        let done = registry.carry_out(order, now_s, &mut Vec::new());
        if registry.entries().is_empty() {
            self.sources.remove(source);
        }
        done
    }

    /// Lets go what has expired, and the tags of clusters that are silent for too long; the names of those.
    pub(super) fn expire(&mut self, now_s: i64, now: Instant, undo: &mut Undo) -> Vec<String> {
        for (source, registry) in &mut self.sources {
            let ends = |entry: &Entry| entry.tags.values().flatten().any(|at| *at <= now_s);
            let ending: Vec<_> = registry.entries().iter().filter(|(_, entry)| ends(entry)).collect();
            if ending.is_empty() {
                continue;
            }
            undo.extend(ending.into_iter().map(|(ip, entry)| ((source.clone(), *ip), Some(entry.clone()))));
            registry.expire(now_s, &mut Vec::new());
        }
        self.sources.retain(|_, registry| !registry.entries().is_empty());
        let silent = |cluster: &Cluster| {
            let ttl = Duration::from_secs(cluster.row.ttl_s.unsigned_abs());
            !cluster.expired && now.saturating_duration_since(cluster.heard) > ttl
        };
        self.clusters.values().filter(|cluster| silent(cluster)).map(|cluster| cluster.row.name.clone()).collect()
    }

    /// Forgets the tags of a source; where there were some.
    pub(super) fn drop_source(&mut self, source: &str) -> Vec<Place> {
        let gone = self.sources.remove(source);
        let addresses = gone.iter().flat_map(|registry| registry.entries().keys());
        addresses.map(|address| (source.to_owned(), *address)).collect()
    }

    /// Rows of the store for places that were changed. What is not persistent is not kept.
    pub(super) fn rows<'a>(&self, places: impl Iterator<Item = &'a Place>) -> Vec<TagRow> {
        let row = |(source, address): &Place| {
            let entry = self.sources.get(source).and_then(|registry| registry.entries().get(address));
            let tags = entry.filter(|entry| entry.persistent).and_then(|entry| serde_json::to_string(&entry.tags).ok());
            TagRow { source: source.clone(), address: address.to_string(), tags }
        };
        places.map(row).collect()
    }

    /// Takes back what could not be kept.
    pub(super) fn take_back(&mut self, undo: Undo) {
        for ((source, address), entry) in undo {
            self.sources.entry(source).or_default().put(address, entry);
        }
        self.sources.retain(|_, registry| !registry.entries().is_empty());
    }

    /// Numbers changes.
    pub(super) fn publish(&mut self, places: impl IntoIterator<Item = Place>) -> u64 {
        for place in places {
            self.log.push_back(place);
            self.end += 1;
        }
        let too_many = self.log.len().saturating_sub(LOG_MAX);
        self.log.drain(..too_many);
        self.end
    }

    /// The addresses of which something that somebody gets to know changed since that number; `None` when that is too long
    /// ago.
    pub(super) fn since(&self, number: u64, scope: &Scope) -> Option<BTreeSet<IpAddr>> {
        let behind = usize::try_from(self.end.checked_sub(number)?).ok()?;
        let skipped = self.log.len().checked_sub(behind)?;
        let changed = self.log.iter().skip(skipped).filter(|(source, _)| scope.includes_some_of(source));
        Some(changed.map(|(_, address)| *address).collect())
    }

    /// What somebody gets to know of an address.
    pub(super) fn tags_of(&self, address: IpAddr, scope: &Scope) -> BTreeSet<&str> {
        let mut tags = BTreeSet::new();
        for (source, registry) in &self.sources {
            let Some(entry) = registry.entries().get(&address) else { continue };
            tags.extend(entry.tags.keys().map(String::as_str).filter(|tag| scope.includes(source, tag)));
        }
        tags
    }

    /// Every address of which somebody gets to know something.
    pub(super) fn addresses(&self, scope: &Scope) -> BTreeSet<IpAddr> {
        let within = self.sources.iter().filter(|(source, _)| scope.includes_some_of(source));
        within.flat_map(|(_, registry)| registry.entries().keys().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(register: bool, address: &str, tags: &[&str]) -> Order {
        let tags = tags.iter().map(|tag| ((*tag).to_owned(), None)).collect();
        Order { register, address: address.parse().unwrap(), persistent: true, tags }
    }

    fn told(book: &Book, scope: &Scope) -> String {
        let line = |ip: IpAddr| format!("{ip} {}", book.tags_of(ip, scope).into_iter().collect::<Vec<_>>().join(","));
        book.addresses(scope).into_iter().map(line).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn clusters_are_kept_apart_though_their_addresses_are_the_same() {
        let (mut book, mut undo) = (Book::default(), Undo::new());
        for tag in ["k8s.cl_a.ns_x", "k8s.cl_b.ns_y", "web"] {
            book.carry_out(&order(true, "10.0.0.1", &[tag]), 0, &mut undo).unwrap();
        }
        let places: Vec<&str> = undo.keys().map(|(source, _)| source.as_str()).collect();
        assert_eq!(places, ["", "a", "b"]);
        assert_eq!(told(&book, &Scope::of_clusters(&["a", "b"])), "10.0.0.1 k8s.cl_a.ns_x,k8s.cl_b.ns_y,web");
        assert_eq!(told(&book, &Scope::default()), "10.0.0.1 web");
        assert_eq!(book.rows(undo.keys())[1].tags.as_deref(), Some(r#"{"k8s.cl_a.ns_x":null}"#));
        let undone = std::mem::take(&mut undo);
        book.carry_out(&order(false, "10.0.0.1", &[]), 0, &mut undo).unwrap();
        assert_eq!(told(&book, &Scope::of_clusters(&["a", "b"])), "");
        assert!(book.carry_out(&order(false, "10.0.0.1", &[]), 0, &mut undo).is_err());
        book.take_back(undo);
        assert_eq!(told(&book, &Scope::default()), "10.0.0.1 web");
        book.take_back(undone);
        assert_eq!(told(&book, &Scope::of_clusters(&["a", "b"])), "");
    }

    #[test]
    fn who_follows_hears_what_changed_or_begins_anew() {
        let mut book = Book::default();
        let address = |last: u32| IpAddr::V4(last.into());
        let (all, plain) = (Scope::of_clusters(&["a"]), Scope::default());
        assert_eq!(book.publish([("a".to_owned(), address(1)), ("a".to_owned(), address(2))]), 2);
        assert_eq!(book.since(1, &all), Some([address(2)].into()));
        assert_eq!(book.since(0, &plain), Some(BTreeSet::new()), "of a cluster that it does not hear of");
        assert_eq!(book.since(2, &all), Some(BTreeSet::new()));
        assert_eq!(book.since(3, &all), None, "a number of another process");
        book.publish((0..u32::try_from(LOG_MAX).unwrap()).map(|last| (String::new(), address(last))));
        assert_eq!(book.since(1, &plain), None);
        assert_eq!(book.since(2, &plain).unwrap().len(), LOG_MAX);
    }

    #[test]
    fn sources_are_bounded() {
        let (mut book, mut undo) = (Book::default(), Undo::new());
        for number in 0..CLUSTERS_MAX {
            let tag = format!("k8s.cl_c{number}.nodes");
            book.carry_out(&order(true, "10.0.0.1", &[&tag]), 0, &mut undo).unwrap();
        }
        let refused = book.carry_out(&order(true, "10.0.0.1", &["k8s.cl_more.nodes"]), 0, &mut undo);
        assert_eq!(refused.unwrap_err(), "32 clusters have tags, which is as many as there can be");
        book.carry_out(&order(true, "10.0.0.1", &["web"]), 0, &mut undo).unwrap();
    }

    #[test]
    fn a_silent_cluster_is_told_once_its_time_is_over() {
        let now = Instant::now();
        let row = ClusterRow { name: "a".into(), cluster_id: 1, controller: "c".into(), ttl_s: 60, seen_us: 0 };
        let mut book = Book::of(Vec::new(), vec![row], now);
        let mut undo = Undo::new();
        book.carry_out(&order(true, "10.0.0.1", &["k8s.cl_a.nodes"]), 0, &mut undo).unwrap();
        assert!(book.expire(0, now + Duration::from_secs(60), &mut undo).is_empty());
        assert_eq!(book.expire(0, now + Duration::from_secs(61), &mut undo), ["a"]);
        assert_eq!(book.drop_source("a").len(), 1);
        assert_eq!(told(&book, &Scope::of_clusters(&["a", "b"])), "");
    }
}
