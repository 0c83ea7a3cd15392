//! Which tags does the manager keep for addresses, and how do firewalls hear of them?
//!
//! A `uid-message` changes the [`book`], and is answered when that is on disk. Each firewall's stream follows the book
//! (`fleet/tags.rs`), as far as the [`notify`] groups of the running configuration let it. Tags of a Kubernetes cluster
//! live as long as its controller is heard of.

mod book;
pub(crate) mod notify;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bartizan_model::registered::{Entry, lines, respond};
use bartizan_model::tree::Element;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Mutex as AsyncMutex, watch};

use crate::app::App;
use crate::lock;
use crate::store::tags::ClusterRow;
use crate::store::{Store, hex, now_us};
use book::{Book, Place, Undo};
pub(crate) use book::{CLUSTERS_MAX, Cluster, Counts};
use notify::{Notified, Scope};

/// How often it is looked whether something has expired.
const TICK: Duration = Duration::from_secs(1);
/// When a cluster was heard last is written down so often.
const SEEN_INTERVAL_US: i64 = 60_000_000;

/// The tags, for all who use them.
#[derive(Debug)]
pub(crate) struct Tags {
    book: Mutex<Book>,
    /// Changes go to the disk one after the other.
    turn: AsyncMutex<()>,
    news: watch::Sender<u64>,
    notified: Mutex<Option<(Arc<Element>, Arc<Notified>)>>,
}

/// What a controller says of its cluster.
#[derive(Clone, Debug)]
pub(crate) struct Renewal {
    /// Id of its tunnels; 0 for none.
    pub(crate) cluster_id: i64,
    /// Which process it is.
    pub(crate) controller: String,
    /// Seconds that its tags stay when it is silent.
    pub(crate) ttl_s: i64,
    /// What it sees.
    pub(crate) counts: Counts,
}

/// A line of `show object registered-ip`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Address.
    pub(crate) address: IpAddr,
    /// Outlives a restart.
    pub(crate) persistent: bool,
    /// Tags with when they end, in seconds since the Unix epoch.
    pub(crate) tags: BTreeMap<String, Option<i64>>,
}

/// What changed for a firewall.
pub(crate) struct News {
    /// It is everything; otherwise only what changed.
    pub(crate) whole: bool,
    /// Addresses with all tags that they have.
    pub(crate) addresses: Vec<(IpAddr, Vec<String>)>,
    /// Up to which change it is.
    pub(crate) end: u64,
}

/// What a cluster has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    /// Addresses with tags.
    pub(crate) addresses: usize,
    /// Tags, of all addresses.
    pub(crate) tags: usize,
}

impl Tags {
    /// With what the store has.
    pub(crate) async fn open(store: &Store) -> anyhow::Result<Self> {
        let mut tags = Vec::new();
        for (source, address, text) in store.tags().await? {
            let entry = Entry { persistent: true, tags: serde_json::from_str(&text)? };
            tags.push(((source, address.parse()?), entry));
        }
        let book = Book::of(tags, store.clusters().await?, Instant::now());
        Ok(Self {
            book: Mutex::new(book),
            turn: AsyncMutex::default(),
            news: watch::Sender::new(0),
            notified: Mutex::default(),
        })
    }

    /// Carries out a `uid-message`; it is on disk then. The `uid-response`, as an error when something of it could not be
    /// done.
    pub(crate) async fn update(&self, store: &Store, message: &Element) -> sqlx::Result<Result<Element, Element>> {
        let _turn = self.turn.lock().await;
        let (mut undo, now_s) = (Undo::new(), now_us() / 1_000_000);
        let answer = {
            let mut book = lock(&self.book);
            respond(message, |order| book.carry_out(&order, now_s, &mut undo))
        };
        self.settle(store, undo).await?;
        Ok(answer)
    }

    /// Writes down what was changed, and tells it; takes it back when it cannot be written.
    async fn settle(&self, store: &Store, undo: Undo) -> sqlx::Result<()> {
        let rows = lock(&self.book).rows(undo.keys());
        let places: Vec<Place> = undo.keys().cloned().collect();
        let kept = store.keep_tags(&rows).await;
        if kept.is_err() {
            lock(&self.book).take_back(undo);
        }
        self.publish(places);
        kept
    }

    fn publish(&self, places: Vec<Place>) {
        if !places.is_empty() {
            let end = lock(&self.book).publish(places);
            self.news.send_replace(end);
        }
    }

    /// A controller says that its cluster is there.
    pub(crate) async fn renew(&self, store: &Store, name: &str, renewal: Renewal) -> sqlx::Result<Result<(), String>> {
        let _turn = self.turn.lock().await;
        let row = ClusterRow {
            name: name.to_owned(),
            cluster_id: renewal.cluster_id,
            controller: renewal.controller,
            ttl_s: renewal.ttl_s,
            seen_us: now_us(),
        };
        let before = {
            let book = lock(&self.book);
            if !book.clusters.contains_key(name) && book.clusters.len() >= CLUSTERS_MAX {
                let line = format!("{CLUSTERS_MAX} clusters are known, which is as many as there can be: remove one");
                return Ok(Err(line));
            }
            book.clusters.get(name).map(|cluster| cluster.row.clone())
        };
        let is_old = before.is_none_or(|before| {
            row.seen_us - before.seen_us >= SEEN_INTERVAL_US
                || before != ClusterRow { seen_us: before.seen_us, ..row.clone() }
        });
        if is_old {
            store.keep_cluster(&row).await?;
        }
        let mut book = lock(&self.book);
        let seen_us = if is_old { row.seen_us } else { book.clusters.get(name).map_or(0, |old| old.row.seen_us) };
        let row = ClusterRow { seen_us, ..row };
        let cluster = Cluster { row, counts: renewal.counts, heard: Instant::now(), expired: false };
        book.clusters.insert(name.to_owned(), cluster);
        Ok(Ok(()))
    }

    /// Forgets a cluster and its tags; whether there was one.
    pub(crate) async fn forget(&self, store: &Store, name: &str) -> sqlx::Result<bool> {
        let _turn = self.turn.lock().await;
        store.forget_cluster(name).await?;
        let (known, places) = {
            let mut book = lock(&self.book);
            (book.clusters.remove(name).is_some(), book.drop_source(name))
        };
        let known = known || !places.is_empty();
        self.publish(places);
        Ok(known)
    }

    /// All clusters with how long ago their controllers were heard of, in seconds, and what they have.
    pub(crate) fn clusters(&self) -> Vec<(Cluster, u64, Held)> {
        let book = lock(&self.book);
        let held = |name: &str| {
            book.source(name).map_or(Held::default(), |registry| Held {
                addresses: registry.entries().len(),
                tags: registry.entries().values().map(|entry| entry.tags.len()).sum(),
            })
        };
        let told = |cluster: &Cluster| (cluster.clone(), cluster.heard.elapsed().as_secs(), held(&cluster.row.name));
        book.clusters.values().map(told).collect()
    }

    /// The tags of a cluster by address, or of none.
    pub(crate) fn of_source(&self, source: &str) -> BTreeMap<IpAddr, BTreeSet<String>> {
        let book = lock(&self.book);
        let entries = book.source(source).into_iter().flat_map(|registry| registry.entries());
        entries.map(|(address, entry)| (*address, entry.tags.keys().cloned().collect())).collect()
    }

    /// The tags of an address, each with its cluster or none; of this cluster alone, and of none, when one is named.
    pub(crate) fn of_address(&self, address: IpAddr, cluster: Option<&str>) -> Vec<(String, String)> {
        let book = lock(&self.book);
        let sources =
            book.sources().filter(|(source, _)| cluster.is_none_or(|one| source.is_empty() || *source == one));
        let entries = sources.filter_map(|(source, registry)| Some((source, registry.entries().get(&address)?)));
        entries.flat_map(|(source, entry)| entry.tags.keys().map(|tag| (source.to_owned(), tag.clone()))).collect()
    }

    /// Number of addresses with tags of a cluster, and SHA-256 in hex of their lines (`registered::lines`).
    pub(crate) fn digest(&self, source: &str) -> (usize, String) {
        let book = lock(&self.book);
        let Some(registry) = book.source(source) else { return (0, hex(&Sha256::digest([]))) };
        let mut digest = Sha256::new();
        let tags = registry.entries().iter().flat_map(|(ip, entry)| entry.tags.keys().map(move |tag| (ip, tag)));
        lines(tags, |line| digest.update(line));
        (registry.entries().len(), hex(&digest.finalize()))
    }

    /// Everything that is registered, in the order of addresses.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let book = lock(&self.book);
        let mut rows: BTreeMap<IpAddr, Row> = BTreeMap::new();
        for (_, registry) in book.sources() {
            for (address, entry) in registry.entries() {
                let row = rows.entry(*address).or_insert_with(|| Row {
                    address: *address,
                    persistent: true,
                    tags: BTreeMap::new(),
                });
                row.persistent &= entry.persistent;
                row.tags.extend(entry.tags.clone());
            }
        }
        rows.into_values().collect()
    }

    /// Turns over when something changed.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Who hears of what by this configuration, which is read once.
    pub(crate) fn notified(&self, running: &Arc<Element>) -> Arc<Notified> {
        let mut notified = lock(&self.notified);
        if let Some((read, notified)) = &*notified
            && Arc::ptr_eq(read, running)
        {
            return notified.clone();
        }
        let new = Arc::new(Notified::read(running));
        *notified = Some((running.clone(), new.clone()));
        new
    }

    /// What a firewall has to hear that knows everything up to `since`, or nothing.
    pub(crate) fn news(&self, since: Option<u64>, scope: &Scope) -> News {
        let book = lock(&self.book);
        let changed = since.and_then(|since| book.since(since, scope));
        let whole = changed.is_none();
        let addresses = changed.unwrap_or_else(|| book.addresses(scope)).into_iter();
        let told = |address| (address, book.tags_of(address, scope).into_iter().map(str::to_owned).collect::<Vec<_>>());
        let addresses = addresses.map(told).filter(|(_, tags)| !whole || !tags.is_empty()).collect();
        News { whole, addresses, end: book.end() }
    }

    async fn expire(&self, store: &Store) -> sqlx::Result<()> {
        let _turn = self.turn.lock().await;
        let mut undo = Undo::new();
        let silent = lock(&self.book).expire(now_us() / 1_000_000, Instant::now(), &mut undo);
        self.settle(store, undo).await?;
        for name in silent {
            store.drop_tags_of(&name).await?;
            let places = {
                let mut book = lock(&self.book);
                if let Some(cluster) = book.clusters.get_mut(&name) {
                    cluster.expired = true;
                }
                book.drop_source(&name)
            };
            let addresses = places.len();
            tracing::warn!(cluster = name, addresses, "the controller is silent: its tags are gone");
            self.publish(places);
        }
        Ok(())
    }
}

/// What an operator has to know of a cluster.
pub(crate) fn warnings(app: &App, name: &str, cluster_id: i64) -> Vec<String> {
    let notified = app.tags.notified(&app.configuration.snapshot().running);
    let mut warnings = Vec::new();
    if notified.definitions.iter().all(|definition| definition.cluster != name) {
        warnings.push(format!(
            "no monitoring definition of the running configuration names cluster `{name}`: its tags reach no firewall"
        ));
    } else if notified.devices(name).next().is_none() {
        warnings.push(format!("the device groups that hear of cluster `{name}` have no firewall"));
    }
    if cluster_id == 0 {
        return warnings;
    }
    if !notified.has_traffic_object(cluster_id) {
        warnings.push(format!(
            "no template has a traffic object for cluster id {cluster_id}: firewalls drop what comes by its tunnels"
        ));
    }
    for (other, ..) in app.tags.clusters() {
        if other.row.cluster_id == cluster_id && other.row.name != name {
            warnings.push(format!("cluster `{}` has cluster id {cluster_id}, too", other.row.name));
        }
    }
    warnings
}

/// Lets tags expire, as long as the manager runs.
pub(crate) async fn run(app: Arc<App>) {
    loop {
        tokio::time::sleep(TICK).await;
        if let Err(error) = app.tags.expire(&app.store).await {
            tracing::error!(%error, "tags that have expired cannot be removed");
        }
    }
}
