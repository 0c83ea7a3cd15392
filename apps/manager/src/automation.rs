//! How does a policy of a Kubernetes cluster become a rule that firewalls enforce?
//!
//! A controller tells the whole of what its cluster wants ([`told`]); that is on disk when it is answered. What differs from
//! what was taken up before is taken up together with whatever comes within the window of the cluster's [`settings`]:
//! every policy is checked against the [`catalogue`] and translated ([`translate`]), and its [`state`] says what became of
//! it. Nothing depends on who was told what when: the wanted state and what is there decide.

pub(crate) mod catalogue;
pub(crate) mod devices;
pub(crate) mod settings;
pub(crate) mod state;
mod take;
pub(crate) mod told;
pub(crate) mod translate;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bartizan_model::tree::Element;
use bartizan_playbook::Catalogue;
use tokio::sync::{Mutex as AsyncMutex, Notify, watch};

use crate::app::App;
use crate::lock;
use crate::store::{Store, hex_digest, now_us};
use crate::tags::CLUSTERS_MAX;
use settings::{Read, Settings};
use state::Cluster;
use told::{Key, Told};

/// How often it is looked whether something changed that nobody tells.
const TICK: Duration = Duration::from_secs(1);

/// What clusters want, for all who ask.
pub(crate) struct Automation {
    clusters: Mutex<BTreeMap<String, Arc<Cluster>>>,
    /// Changes go to the disk one after the other.
    turn: AsyncMutex<()>,
    news: watch::Sender<u64>,
    work: Notify,
}

/// What of the configuration decides about a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Basis {
    /// Its settings, if it has some.
    pub(crate) settings: Option<Settings>,
    /// What its policies may name.
    pub(crate) catalogue: Catalogue,
    /// SHA-256, hex, of both.
    pub(crate) digest: String,
    /// The same of the catalogue and of the settings that a controller has to know.
    pub(crate) catalogue_digest: String,
}

impl Basis {
    /// Reads a configuration.
    pub(crate) fn of(root: &Element, cluster: &str) -> Self {
        let settings = Read::of(root).clusters.remove(cluster);
        let group = settings.as_ref().map(|settings| settings.device_group.as_str());
        let catalogue = catalogue::read(root, cluster, group);
        // Names and flags: nothing in it can fail to serialise.
        let text = serde_json::to_string(&catalogue).unwrap_or_default();
        let told = settings.as_ref().map(|settings| (settings.allow_the_rest, settings.rules_max));
        let catalogue_digest = hex_digest(format!("{text} {told:?}").as_bytes());
        let digest = hex_digest(format!("{text} {settings:?}").as_bytes());
        Self { settings, catalogue, digest, catalogue_digest }
    }
}

impl Automation {
    /// With what the store has.
    pub(crate) async fn open(store: &Store) -> anyhow::Result<Self> {
        let mut clusters = BTreeMap::new();
        for row in store.policy_clusters().await? {
            let cluster = Cluster::of(row)?;
            clusters.insert(cluster.name.clone(), cluster);
        }
        for (cluster, kind, namespace, name, state) in store.policy_states().await? {
            if let Some(cluster) = clusters.get_mut(&cluster) {
                let state = Arc::new(serde_json::from_str(&state)?);
                cluster.policies.insert(Key { kind, namespace, name }, state);
            }
        }
        let clusters = clusters.into_iter().map(|(name, cluster)| (name, Arc::new(cluster))).collect();
        let (news, work) = (watch::Sender::new(0), Notify::new());
        // What was left over is looked at at once.
        work.notify_one();
        Ok(Self { clusters: Mutex::new(clusters), turn: AsyncMutex::default(), news, work })
    }

    /// A cluster as it is now.
    pub(crate) fn cluster(&self, name: &str) -> Option<Arc<Cluster>> {
        lock(&self.clusters).get(name).cloned()
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Arc<Cluster>> {
        lock(&self.clusters).values().cloned().collect()
    }

    /// The controller's word for what a cluster wants; empty when it told nothing.
    pub(crate) fn digest(&self, name: &str) -> String {
        self.cluster(name).map(|cluster| cluster.told.digest.clone()).unwrap_or_default()
    }

    /// Turns over when something changed.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Has somebody look whether there is something to do.
    pub(crate) fn knock(&self) {
        self.work.notify_one();
    }

    /// A controller tells what its cluster wants: it is on disk then. The cluster's version, or why it is refused.
    pub(crate) async fn tell(
        &self,
        store: &Store,
        name: &str,
        told: Told,
        by: &str,
    ) -> sqlx::Result<Result<i64, String>> {
        let mut seen = BTreeSet::new();
        for written in told.written() {
            if !seen.insert(written.key.clone()) {
                return Ok(Err(format!("{} is there twice", written.key)));
            }
        }
        if self.cluster(name).is_none() && lock(&self.clusters).len() >= CLUSTERS_MAX {
            return Ok(Err(format!(
                "{CLUSTERS_MAX} clusters told policies, which is as many as there can be: forget one"
            )));
        }
        let told = Arc::new(told);
        let changed = self.change(store, name, |cluster| {
            if cluster.told_us == 0 || cluster.told.digest != told.digest {
                cluster.told = told;
                by.clone_into(&mut cluster.told_by);
                cluster.told_us = now_us();
            }
        });
        let version = changed.await?.version;
        self.knock();
        Ok(Ok(version))
    }

    /// Changes what is known of a cluster, which is on disk then; it becomes known if it is not.
    pub(crate) async fn change(
        &self,
        store: &Store,
        name: &str,
        change: impl FnOnce(&mut Cluster),
    ) -> sqlx::Result<Arc<Cluster>> {
        let _turn = self.turn.lock().await;
        let before = self.cluster(name);
        let mut cluster = match &before {
            Some(before) => Cluster::clone(before),
            None => Cluster { name: name.to_owned(), ..Cluster::default() },
        };
        change(&mut cluster);
        let Some(change) = cluster.since(before.as_deref()) else { return Ok(before.unwrap_or_default()) };
        store.keep_policies(&change).await?;
        let cluster = Arc::new(cluster);
        lock(&self.clusters).insert(name.to_owned(), cluster.clone());
        self.news.send_modify(|count| *count += 1);
        Ok(cluster)
    }

    /// A cluster is not to be known any more: it wants nothing, and is forgotten when nothing of it is left. Whether it was
    /// known.
    pub(crate) async fn abandon(&self, store: &Store, name: &str, by: &str) -> sqlx::Result<bool> {
        if self.cluster(name).is_none() {
            return Ok(false);
        }
        let changed = self.change(store, name, |cluster| {
            cluster.told = Arc::default();
            by.clone_into(&mut cluster.told_by);
            cluster.told_us = now_us();
        });
        changed.await?;
        self.knock();
        Ok(true)
    }

    /// Forgets a cluster of which nothing is left.
    async fn forget(&self, store: &Store, name: &str) -> sqlx::Result<()> {
        let _turn = self.turn.lock().await;
        // It may have been told anew meanwhile.
        if self.cluster(name).is_some_and(|cluster| cluster.is_over()) {
            store.forget_policies(name).await?;
            lock(&self.clusters).remove(name);
            self.news.send_modify(|count| *count += 1);
        }
        Ok(())
    }
}

/// Takes up what was told, as long as the manager runs.
pub(crate) async fn run(app: Arc<App>) {
    loop {
        let _ = tokio::time::timeout(TICK, app.automation.work.notified()).await;
        for cluster in app.automation.all() {
            if let Err(error) = take::look(&app, &cluster.name).await {
                tracing::error!(%error, cluster = cluster.name, "the policies of a cluster have to wait");
            }
        }
    }
}
