//! Is there something to do for a cluster: a run that is under way, something told or set that was not taken up, drift?

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::settings::AUTHOR;
use super::state::{Cluster, PolicyState, Status};
use super::told::{Key, Told};
use super::translate::{Translated, translate};
use super::{Basis, Translation, basis, drift, execute, orders, settle};
use crate::app::App;
use crate::lock;
use crate::store::incidents::NewIncident;
use crate::store::now_us;
use crate::store::runs::{NewRun, RunRow};

/// Reason of what is not known at this moment.
pub(super) const PENDING: &str = "Pending";

/// Does what there is to do; whether there was something.
pub(super) async fn tend(app: &Arc<App>, name: &str) -> anyhow::Result<bool> {
    let mut did = false;
    loop {
        let Some(cluster) = app.automation.cluster(name) else { return Ok(did) };
        let run = if cluster.run == 0 { None } else { app.store.run(cluster.run).await? };
        if let Some(run) = run.as_ref().filter(|run| run.state == "running") {
            execute::execute(app, run.id).await?;
            did = true;
            continue;
        }
        let basis = basis(app, name).await?;
        if cluster.is_behind() || cluster.basis != basis.digest {
            take(app, &cluster, run.as_ref()).await?;
            did = true;
            continue;
        }
        if cluster.is_over() && run.as_ref().is_none_or(|run| run.state != "waiting") {
            app.automation.forget(&app.store, name).await?;
            return Ok(did);
        }
        if let Some(run) = run {
            arrived(app, &cluster, &run).await?;
            if drift::look(app, &cluster, &basis, &run).await? {
                did = true;
                continue;
            }
        }
        return Ok(did);
    }
}

/// A run that failed because a firewall was away goes on when all have it.
async fn arrived(app: &Arc<App>, cluster: &Cluster, run: &RunRow) -> anyhow::Result<()> {
    let is_behind = |state: &Arc<PolicyState>| state.committed.holds() && !state.enforced.holds();
    let waits_for_devices = run.state == "failed" && matches!(run.task.as_str(), "push" | "verify");
    if !waits_for_devices && !cluster.policies.values().any(is_behind) {
        return Ok(());
    }
    if settle::enforced(app, &cluster.name).await? && waits_for_devices {
        orders::resume(app, run.clone(), None).await?;
    }
    Ok(())
}

/// What the policies become; computing takes a thread of its own.
pub(super) async fn translated(app: &App, cluster: &Cluster, basis: &Basis) -> anyhow::Result<Arc<Translated>> {
    let told = cluster.taken.clone().unwrap_or_default();
    translated_as(app, cluster, &told, basis).await
}

async fn translated_as(
    app: &App,
    cluster: &Cluster,
    told: &Arc<Told>,
    basis: &Basis,
) -> anyhow::Result<Arc<Translated>> {
    if let Some(known) = lock(&app.automation.translations).get(&cluster.name)
        && Arc::ptr_eq(&known.told, told)
        && known.basis == basis.digest
    {
        return Ok(known.translated.clone());
    }
    let (name, wanted, by) = (cluster.name.clone(), told.clone(), basis.clone());
    let accepted = |(key, state): (&Key, &Arc<PolicyState>)| Some((key.clone(), state.accepted.clone()?));
    let before: BTreeMap<Key, Value> = cluster.policies.iter().filter_map(accepted).collect();
    let work = move || translate(&name, &wanted, by.settings.as_ref(), &by.catalogue, &before);
    let translated = Arc::new(tokio::task::spawn_blocking(work).await?);
    let known = Translation { told: told.clone(), basis: basis.digest.clone(), translated: translated.clone() };
    lock(&app.automation.translations).insert(cluster.name.clone(), known);
    Ok(translated)
}

/// What differs from what was taken up before.
#[derive(Debug, Default)]
struct Differences {
    created: Vec<Key>,
    changed: Vec<Key>,
    deleted: Vec<Key>,
    /// Namespaces or named ports.
    surroundings: bool,
    /// Settings or catalogue.
    basis: bool,
}

impl Differences {
    fn of(cluster: &Cluster, told: &Told, basis: &Basis) -> Self {
        // What was never taken up is new, and not otherwise than before.
        let is_other = !cluster.basis.is_empty() && cluster.basis != basis.digest;
        let mut found = Self { basis: is_other, ..Self::default() };
        let mut wanted = BTreeSet::new();
        for written in told.written() {
            match cluster.policies.get(&written.key) {
                None => found.created.push(written.key.clone()),
                Some(state) if state.content != written.content() => found.changed.push(written.key.clone()),
                Some(_) => {}
            }
            wanted.insert(written.key);
        }
        found.deleted = cluster.policies.keys().filter(|key| !wanted.contains(*key)).cloned().collect();
        let before = cluster.taken.as_ref().map(|taken| taken.surroundings());
        found.surroundings = before.is_none_or(|before| before != told.surroundings());
        found
    }

    fn is_about_policies(&self) -> bool {
        !(self.created.is_empty() && self.changed.is_empty() && self.deleted.is_empty())
    }

    fn playbook(&self) -> &'static str {
        match (self.created.is_empty(), self.changed.is_empty() && !self.basis, self.deleted.is_empty()) {
            (false, true, true) => "apply",
            (true, true, false) => "delete",
            _ => "change",
        }
    }

    fn incidents(&self) -> Vec<NewIncident> {
        let of = |kind: &'static str, keys: &[Key]| -> Vec<NewIncident> {
            let one =
                |key: &Key| NewIncident { kind, severity: "info", subject: key.to_string(), message: String::new() };
            keys.iter().map(one).collect()
        };
        let mut incidents = of("policy-created", &self.created);
        incidents.extend(of("policy-changed", &self.changed));
        incidents.extend(of("policy-deleted", &self.deleted));
        if incidents.is_empty() {
            let message = match self.basis {
                true => "settings, catalogue or the objects that policies may name changed",
                false => "namespaces or named ports changed",
            };
            let subject = "the cluster".to_owned();
            incidents.push(NewIncident {
                kind: "cluster-changed",
                severity: "info",
                subject,
                message: message.to_owned(),
            });
        }
        incidents
    }
}

/// Takes up what was told since, or what the configuration says otherwise now.
async fn take(app: &Arc<App>, cluster: &Arc<Cluster>, open: Option<&RunRow>) -> anyhow::Result<()> {
    let name = cluster.name.as_str();
    let by = basis(app, name).await?;
    if let Some(settings) = by.settings.as_ref().filter(|_| cluster.is_behind()) {
        // From when it was told, so that what waited for a run already does not wait again.
        let passed = u64::try_from(now_us() - cluster.told_us).unwrap_or(0);
        tokio::time::sleep(settings.window.saturating_sub(Duration::from_micros(passed))).await;
    }
    let Some(cluster) = app.automation.cluster(name) else { return Ok(()) };
    let (told, by) = (cluster.told.clone(), basis(app, name).await?);
    let differences = Differences::of(&cluster, &told, &by);
    if by.settings.as_ref().is_none_or(|settings| settings.disabled) {
        let translated = translated_as(app, &cluster, &told, &by).await?;
        app.automation.change(&app.store, name, |cluster| shelve(cluster, &told, &by, &translated)).await?;
        return Ok(());
    }
    if !differences.is_about_policies() && cluster.run != 0 && is_same(app, &cluster, &told, &by).await? {
        app.automation.change(&app.store, name, |cluster| pass(cluster, &told, &by)).await?;
        return Ok(());
    }
    let kind = differences.playbook();
    let newest = app.automation.playbooks.newest(&app.store, kind).await?;
    let Some((row, playbook)) = newest else { anyhow::bail!("there is no playbook `{kind}`") };
    let requester = if cluster.is_behind() { cluster.told_by.clone() } else { AUTHOR.to_owned() };
    let mut requesters = orders::requesters(open.filter(|run| run.state != "done" && run.state != "rejected"));
    requesters.insert(requester.clone());
    let inputs = json!({ "trigger": kind, "digest": told.digest, "requesters": requesters });
    let new = NewRun {
        cluster: name.to_owned(),
        playbook: row.name,
        version: row.version,
        task: playbook.start.clone(),
        requester,
        inputs: inputs.to_string(),
        incidents: differences.incidents(),
        instead_of: cluster.run,
    };
    let begun = app.automation.begin(&app.store, &new, |cluster, run, numbers| {
        pass(cluster, &told, &by);
        note(cluster, &told, &differences, run, numbers);
    });
    let run = begun.await?;
    tracing::info!(cluster = name, run, playbook = kind, incidents = new.incidents.len(), "policies are taken up");
    let last = new.incidents.iter().map(|incident| incident.subject.clone()).collect::<Vec<_>>();
    let first = app.automation.cluster(name).and_then(|cluster| {
        cluster.policies.values().filter(|state| state.run == run).map(|state| state.incident).min()
    });
    if let Some(first) = first {
        app.store.close_older(name, &last, first).await?;
    }
    Ok(())
}

/// Whether namespaces and settings that changed make no other rules, and the policies no other verdicts.
async fn is_same(app: &App, cluster: &Cluster, told: &Arc<Told>, by: &Basis) -> anyhow::Result<bool> {
    let old = lock(&app.automation.translations).get(&cluster.name).map(|known| known.translated.clone());
    let Some(old) = old else { return Ok(false) };
    let new = translated_as(app, cluster, told, by).await?;
    // Where the rules go is of the settings, too.
    let group = by.settings.as_ref().map(|settings| settings.device_group.as_str()).unwrap_or_default();
    let placed = cluster.placed == group || cluster.policies.is_empty();
    Ok(placed && old.objects == new.objects && old.verdicts == new.verdicts)
}

/// It is taken up.
fn pass(cluster: &mut Cluster, told: &Arc<Told>, by: &Basis) {
    let before = cluster.taken.as_ref().map(|taken| taken.digest.clone());
    if before.is_some_and(|before| before == cluster.enforced_digest) {
        cluster.enforced_digest.clone_from(&told.digest);
    }
    cluster.taken = Some(told.clone());
    cluster.taken_by = cluster.told_by.clone();
    cluster.basis.clone_from(&by.digest);
}

/// Policies that are new or changed are looked at; those that are gone are known no more.
fn note(cluster: &mut Cluster, told: &Told, differences: &Differences, run: i64, numbers: &BTreeMap<String, i64>) {
    let now = now_us();
    // What is not in force yet is only then.
    cluster.enforced_digest.clear();
    for key in &differences.deleted {
        cluster.policies.remove(key);
    }
    let news: BTreeSet<&Key> = differences.created.iter().chain(&differences.changed).collect();
    for written in told.written().filter(|written| news.contains(&written.key)) {
        cluster.change(&written.key, |state| {
            state.uid.clone_from(&written.uid);
            state.generation = written.generation;
            state.content = written.content();
            state.run = run;
            state.incident = numbers.get(&written.key.to_string()).copied().unwrap_or_default();
            for condition in [&mut state.translated, &mut state.committed, &mut state.enforced] {
                condition.become_now(now, Status::Unknown, PENDING, "");
            }
        });
    }
}

/// Without settings, or with those that say so, nothing is made of the policies; what is wrong with them is told.
fn shelve(cluster: &mut Cluster, told: &Arc<Told>, by: &Basis, translated: &Translated) {
    let now = now_us();
    pass(cluster, told, by);
    let wanted: BTreeMap<Key, _> = told.written().map(|written| (written.key.clone(), written)).collect();
    cluster.policies.retain(|key, _| wanted.contains_key(key));
    let (reason, message) = match &by.settings {
        None => (
            "NoSettings",
            "the manager has no settings for this cluster: configure \
             `plugins/kubernetes/policy-automation/entry` with the cluster's name and its device group",
        ),
        Some(_) => ("Disabled", "the settings of the cluster say that nothing is done (`disabled`)"),
    };
    for (key, written) in &wanted {
        let Some(verdict) = translated.verdicts.get(key) else { continue };
        cluster.change(key, |state| {
            state.uid.clone_from(&written.uid);
            state.generation = written.generation;
            state.content = written.content();
            if verdict.is_good {
                state.accepted = Some(written.object.clone());
            }
            let status = if verdict.is_good { Status::True } else { Status::False };
            state.translated.become_now(now, status, &verdict.reason, verdict.message.clone());
            state.committed.become_now(now, Status::False, reason, message);
            state.enforced.become_now(now, Status::False, "NotCommitted", "");
        });
    }
}
