//! Is there something of a cluster that was not taken up?

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::Basis;
use super::state::{Cluster, PolicyState, Status};
use super::told::{Key, Told};
use super::translate::{Translated, Verdict, translate};
use crate::app::App;
use crate::store::now_us;

/// Reason of what is not known at this moment.
const PENDING: &str = "Pending";

/// Takes up what was told since, or what the configuration says otherwise now.
pub(super) async fn look(app: &Arc<App>, name: &str) -> anyhow::Result<()> {
    let Some(cluster) = app.automation.cluster(name) else { return Ok(()) };
    let running = app.configuration.snapshot().running.clone();
    let (owned, reading) = (name.to_owned(), running.clone());
    let basis = tokio::task::spawn_blocking(move || Basis::of(&reading, &owned)).await?;
    if !cluster.is_behind() && cluster.basis == basis.digest {
        return Ok(());
    }
    if let Some(settings) = &basis.settings {
        tokio::time::sleep(settings.window).await;
    }
    let Some(cluster) = app.automation.cluster(name) else { return Ok(()) };
    let told = cluster.told.clone();
    let translated = translated(&cluster, &told, &basis).await?;
    let taken = app.automation.change(&app.store, name, |cluster| take(cluster, &told, &basis, &translated)).await?;
    if taken.is_over() {
        app.automation.forget(&app.store, name).await?;
    }
    Ok(())
}

/// What the policies become; computing takes a thread of its own.
async fn translated(cluster: &Arc<Cluster>, told: &Arc<Told>, basis: &Basis) -> anyhow::Result<Translated> {
    let (name, told, basis) = (cluster.name.clone(), told.clone(), basis.clone());
    let accepted = |(key, state): (&Key, &Arc<PolicyState>)| Some((key.clone(), state.accepted.clone()?));
    let before: BTreeMap<Key, Value> = cluster.policies.iter().filter_map(accepted).collect();
    let work = move || translate(&name, &told, basis.settings.as_ref(), &basis.catalogue, &before);
    Ok(tokio::task::spawn_blocking(work).await?)
}

/// Notes what became of each policy.
fn take(cluster: &mut Cluster, told: &Arc<Told>, basis: &Basis, translated: &Translated) {
    let now = now_us();
    cluster.taken = Some(told.clone());
    cluster.taken_by = cluster.told_by.clone();
    cluster.basis.clone_from(&basis.digest);
    let wanted: BTreeMap<Key, _> = told.written().map(|written| (written.key.clone(), written)).collect();
    cluster.policies.retain(|key, _| wanted.contains_key(key));
    for (key, written) in &wanted {
        let Some(verdict) = translated.verdicts.get(key) else { continue };
        cluster.change(key, |state| {
            state.uid.clone_from(&written.uid);
            state.generation = written.generation;
            state.content = written.content();
            if verdict.is_good {
                state.accepted = Some(written.object.clone());
            }
            judge(state, verdict, basis, now);
        });
    }
}

/// The conditions of a policy that was looked at.
fn judge(state: &mut PolicyState, verdict: &Verdict, basis: &Basis, now: i64) {
    let status = if verdict.is_good { Status::True } else { Status::False };
    state.translated.become_now(now, status, &verdict.reason, verdict.message.clone());
    state.rules.clone_from(&verdict.rules);
    state.trace.clone_from(&verdict.trace);
    let why = match &basis.settings {
        None => Some((
            "NoSettings",
            "the manager has no settings for this cluster: configure \
             `plugins/kubernetes/policy-automation/entry` with the cluster's name and its device group",
        )),
        Some(settings) if settings.disabled => {
            Some(("Disabled", "the settings of the cluster say that nothing is done (`disabled`)"))
        }
        Some(_) => None,
    };
    match why {
        Some((reason, message)) => {
            state.committed.become_now(now, Status::False, reason, message);
            state.enforced.become_now(now, Status::False, "NotCommitted", "");
        }
        None => {
            state.committed.become_now(now, Status::Unknown, PENDING, "");
            state.enforced.become_now(now, Status::Unknown, PENDING, "");
        }
    }
}
