//! How does a policy of a Kubernetes cluster become a rule that firewalls enforce?
//!
//! A controller tells the whole of what its cluster wants ([`told`]); that is on disk when it is answered. What differs from
//! what was taken up before is taken up together with whatever comes within the window of the cluster's [`settings`]:
//! a run of a playbook ([`playbooks`], [`execute`]) checks every policy against the [`catalogue`], translates all
//! ([`translate`]), commits what differs ([`plan`], [`actions`]) and pushes it; [`state`] says what became of each policy,
//! and incidents what a person may want to look at. Nothing depends on who was told what when: the wanted state and what
//! is there decide.

mod actions;
pub(crate) mod catalogue;
pub(crate) mod devices;
mod drift;
mod execute;
mod http;
pub(crate) mod orders;
pub(crate) mod plan;
pub(crate) mod playbooks;
mod services;
pub(crate) mod settings;
mod settle;
pub(crate) mod state;
mod take;
pub(crate) mod told;
pub(crate) mod translate;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bartizan_model::manager;
use bartizan_model::tree::Element;
use bartizan_playbook::{Catalogue, Objects};
use tokio::sync::{Mutex as AsyncMutex, Notify, watch};

use crate::app::App;
use crate::lock;
use crate::store::runs::NewRun;
use crate::store::{Store, hex_digest, now_us};
use crate::tags::CLUSTERS_MAX;
use playbooks::Playbooks;
use settings::{Read, Settings};
use state::{Cluster, Spoken};
use told::{Key, Told};
use translate::Translated;

/// How often it is looked whether something changed that nobody tells.
const TICK: Duration = Duration::from_secs(1);
/// Changes of jobs are looked at together for so long.
const GATHER: Duration = Duration::from_millis(200);

/// What clusters want, for all who ask.
pub(crate) struct Automation {
    clusters: Mutex<BTreeMap<String, Arc<Cluster>>>,
    /// Changes go to the disk one after the other.
    turn: AsyncMutex<()>,
    news: watch::Sender<u64>,
    work: Notify,
    /// Playbooks that were read.
    pub(crate) playbooks: Playbooks,
    /// The run whose edits are in the candidate, and their digest. Held while edits are made and committed.
    staged: AsyncMutex<Option<(i64, String)>>,
    /// Clusters that somebody sees to.
    tending: Mutex<BTreeSet<String>>,
    /// By cluster, what the configuration says of it.
    bases: Mutex<BTreeMap<String, Reading>>,
    /// By cluster, what its policies became, the newest first: of what, by which basis.
    translations: Mutex<BTreeMap<String, VecDeque<Translation>>>,
    /// By cluster, the edits that were planned last.
    plans: Mutex<BTreeMap<String, plan::Kept>>,
    /// By cluster, the configuration that was looked at for drift.
    looked: Mutex<BTreeMap<String, Arc<Element>>>,
}

/// What a configuration says of a cluster.
type Reading = (Arc<Element>, Arc<Basis>);

/// What policies became, and of what.
#[derive(Clone)]
struct Translation {
    told: Arc<Told>,
    basis: String,
    translated: Arc<Translated>,
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
        let told =
            settings.as_ref().map(|settings| (settings.allow_the_rest, settings.rules_max, settings.service_objects));
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
        for (cluster, tag, members, in_force) in store.policy_groups().await? {
            if let Some(cluster) = clusters.get_mut(&cluster) {
                let spoken = Spoken { group: serde_json::from_str(&members)?, in_force: in_force != 0 };
                Arc::make_mut(&mut cluster.groups).insert(tag, spoken);
            }
        }
        let clusters = clusters.into_iter().map(|(name, cluster)| (name, Arc::new(cluster))).collect();
        playbooks::install(store).await?;
        let automation = Self {
            clusters: Mutex::new(clusters),
            turn: AsyncMutex::default(),
            news: watch::Sender::new(0),
            work: Notify::new(),
            playbooks: Playbooks::default(),
            staged: AsyncMutex::default(),
            tending: Mutex::default(),
            bases: Mutex::default(),
            translations: Mutex::default(),
            plans: Mutex::default(),
            looked: Mutex::default(),
        };
        // What was left over is looked at at once.
        automation.knock();
        Ok(automation)
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

    /// Whoever follows looks again.
    pub(crate) fn tell_all(&self) {
        self.news.send_modify(|count| *count += 1);
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
        mut told: Told,
        by: &str,
    ) -> sqlx::Result<Result<i64, String>> {
        let mut seen = BTreeSet::new();
        for written in told.written() {
            if !seen.insert(&written.key) {
                return Ok(Err(format!("{} is there twice", written.key)));
            }
        }
        if self.cluster(name).is_none() && lock(&self.clusters).len() >= CLUSTERS_MAX {
            return Ok(Err(format!(
                "{CLUSTERS_MAX} clusters told policies, which is as many as there can be: forget one"
            )));
        }
        if let Some(before) = self.cluster(name) {
            told.go_on(&before.told);
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
        self.tell_all();
        Ok(cluster)
    }

    /// Makes a run, and what it means for its cluster, all or nothing. `change` gets the run's number, and those of its
    /// incidents by subject.
    pub(crate) async fn begin(
        &self,
        store: &Store,
        new: &NewRun,
        change: impl FnOnce(&mut Cluster, i64, &BTreeMap<String, i64>),
    ) -> sqlx::Result<i64> {
        let _turn = self.turn.lock().await;
        let before = self.cluster(&new.cluster);
        let mut made = None;
        let run = store
            .begin_run(new, |run, numbers| {
                let mut cluster = Cluster::clone(before.as_deref()?);
                cluster.run = run;
                change(&mut cluster, run, numbers);
                let change = cluster.since(before.as_deref());
                made = Some(cluster);
                change
            })
            .await?;
        if let Some(cluster) = made {
            lock(&self.clusters).insert(new.cluster.clone(), Arc::new(cluster));
        }
        self.tell_all();
        Ok(run)
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
            // What was computed for it keeps whole configurations alive.
            lock(&self.bases).remove(name);
            lock(&self.translations).remove(name);
            lock(&self.plans).remove(name);
            lock(&self.looked).remove(name);
            self.tell_all();
        }
        Ok(())
    }
}

/// What the running configuration says of a cluster.
pub(crate) async fn basis(app: &App, name: &str) -> anyhow::Result<Arc<Basis>> {
    let running = app.configuration.snapshot().running.clone();
    if let Some((root, basis)) = lock(&app.automation.bases).get(name)
        && Arc::ptr_eq(root, &running)
    {
        return Ok(basis.clone());
    }
    let (root, owned) = (running.clone(), name.to_owned());
    let basis = Arc::new(tokio::task::spawn_blocking(move || Basis::of(&root, &owned)).await?);
    lock(&app.automation.bases).insert(name.to_owned(), (running, basis.clone()));
    Ok(basis)
}

/// What of a device group carries the owner's tag, in some version of the configuration.
fn recalled(root: &Element, group: &str, owner: &str) -> Objects {
    let group = manager::container(root, "device-group").and_then(|groups| groups.entry_named(group));
    let of = |path: &[&str]| -> Vec<(String, Element)> {
        let list = group.and_then(|group| group.descend(path)).into_iter().flat_map(Element::entries);
        let is_ours = |entry: &Element| entry.child("tag").is_some_and(|tags| tags.members().any(|tag| tag == owner));
        list.filter(|(_, entry)| is_ours(entry)).map(|(name, entry)| (name.to_owned(), Element::clone(entry))).collect()
    };
    let tag = group.and_then(|group| group.child("tag")).and_then(|tags| tags.entry_named(owner));
    Objects {
        owner: owner.to_owned(),
        tags: tag.map(|tag| (owner.to_owned(), Element::clone(tag))).into_iter().collect(),
        addresses: of(&["address"]).into_iter().collect(),
        groups: of(&["address-group"]).into_iter().collect(),
        services: of(&["service"]).into_iter().collect(),
        rules: of(&["pre-rulebase", "security", "rules"]),
    }
}

/// Sees to all clusters, and goes on with what was under way, as long as the manager runs.
pub(crate) async fn run(app: Arc<App>) {
    match app.store.open_runs().await {
        Ok(runs) => {
            for run in runs.into_iter().filter(|run| run.cluster.is_empty()) {
                go(&app, run.id);
            }
        }
        Err(error) => tracing::error!(%error, "runs that were under way cannot be read"),
    }
    let mut jobs = app.jobs.changes();
    loop {
        tokio::select! {
            () = app.automation.work.notified() => {}
            _ = jobs.changed() => {
                let _ = tokio::time::timeout(GATHER, app.automation.work.notified()).await;
                jobs.mark_unchanged();
            }
            () = tokio::time::sleep(TICK) => {}
        }
        for cluster in app.automation.all() {
            if !lock(&app.automation.tending).insert(cluster.name.clone()) {
                continue;
            }
            let (app, name) = (app.clone(), cluster.name.clone());
            tokio::spawn(async move {
                let tended = take::tend(&app, &name).await;
                lock(&app.automation.tending).remove(&name);
                match tended {
                    // Somebody may have knocked meanwhile.
                    Ok(true) => app.automation.knock(),
                    Ok(false) => {}
                    Err(error) => {
                        tracing::error!(
                            error = format!("{error:#}"),
                            cluster = name,
                            "the policies of a cluster have to wait"
                        );
                    }
                }
            });
        }
    }
}

/// Goes on with a run that is of no cluster.
pub(crate) fn go(app: &Arc<App>, run: i64) {
    let app = app.clone();
    tokio::spawn(async move {
        if let Err(error) = execute::execute(&app, run).await {
            tracing::error!(error = format!("{error:#}"), run, "a run has to wait");
        }
    });
}
