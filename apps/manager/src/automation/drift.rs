//! Did somebody edit what was generated?
//!
//! Looked at whenever the running configuration is another one. What differs from what the policies say was committed by
//! somebody, who is named; the settings say whether it becomes again what it was, stays, or is only told.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::plan::{line, name_of, place, planned, wanted_digest};
use super::services::besides_left_over;
use super::settings::{AUTHOR, Drift};
use super::state::{Cluster, PolicyState, Status};
use super::take::translated;
use super::{Basis, settle};
use crate::app::App;
use crate::lock;
use crate::store::incidents::NewIncident;
use crate::store::now_us;
use crate::store::runs::{NewRun, RunRow};

/// Changed objects that an incident names.
const NAMED_MAX: usize = 20;
/// Edits that are looked at for who made them.
const EDITS_MAX: usize = 20;

/// Looks for drift; whether a run was made because of it.
pub(super) async fn look(app: &Arc<App>, cluster: &Arc<Cluster>, basis: &Basis, run: &RunRow) -> anyhow::Result<bool> {
    let running = app.configuration.snapshot().running.clone();
    let Some(settings) = basis.settings.as_ref().filter(|settings| !settings.disabled) else { return Ok(false) };
    // What is rolled back, rejected or not committed is meant to differ.
    let differs = |reason: &str| matches!(reason, "RolledBack" | "Rejected" | "Held" | "Failed" | "Conflict");
    let is_meant = cluster.policies.values().any(|state| differs(&state.committed.reason));
    if run.state != "done" || cluster.committed == 0 || is_meant {
        return Ok(false);
    }
    if lock(&app.automation.looked).get(&cluster.name).is_some_and(|looked| Arc::ptr_eq(looked, &running)) {
        return Ok(false);
    }
    let translated = translated(app, cluster, basis).await?;
    let found = planned(app, &running, cluster, settings, translated.objects.clone()).await?;
    lock(&app.automation.looked).insert(cluster.name.clone(), running);
    let (places, lines): (BTreeSet<String>, Vec<String>) = match &found {
        Ok(planned) => {
            besides_left_over(&planned.changes).map(|change| (place(change).to_owned(), line(change))).unzip()
        }
        Err(lines) => (BTreeSet::new(), lines.clone()),
    };
    if lines.is_empty() {
        gone(app, cluster).await?;
        return Ok(false);
    }
    let names: BTreeSet<&str> = places.iter().map(|place| name_of(place)).collect();
    let who = who(app, &names).await?;
    let mut message = format!("{who} what was generated; to be as the policies say it needs: {}", {
        let shown: Vec<&str> = lines.iter().take(NAMED_MAX).map(String::as_str).collect();
        shown.join(", ")
    });
    if lines.len() > NAMED_MAX {
        message += &format!(" and {} more", lines.len() - NAMED_MAX);
    }
    tracing::warn!(cluster = cluster.name, "drift: {message}");
    let incident =
        NewIncident { kind: "drift", severity: "warning", subject: subject(&names), message: message.clone() };
    if settings.drift == Drift::Heal {
        return heal(app, cluster, incident).await.map(|()| true);
    }
    let open = app.store.incidents((&cluster.name, "open"), i64::MAX, 100).await?;
    let is_known = open.iter().any(|known| known.r#type == "drift" && known.message == message);
    let number = if is_known { 0 } else { app.store.open_incident(&cluster.name, incident).await? };
    let now = now_us();
    let keeps = settings.drift == Drift::Keep;
    let changed = app.automation.change(&app.store, &cluster.name, |cluster| {
        if keeps {
            cluster.kept.extend(places.iter().map(|place| (place.clone(), wanted_digest(&translated.objects, place))));
        }
        let is_edited = |state: &PolicyState| state.rules.iter().any(|rule| names.contains(rule.as_str()));
        cluster.change_where(is_edited, |state| {
            state.enforced.become_now(now, Status::False, "Drift", message.clone());
            if number != 0 {
                state.incident = number;
            }
        });
    });
    changed.await?;
    app.automation.tell_all();
    Ok(false)
}

fn subject(names: &BTreeSet<&str>) -> String {
    let mut names = names.iter();
    match (names.next(), names.len()) {
        (None, _) => "names of generated objects".to_owned(),
        (Some(first), 0) => (*first).to_owned(),
        (Some(first), more) => format!("{first} and {more} more"),
    }
}

/// Who committed an edit of one of them last, besides us.
async fn who(app: &App, names: &BTreeSet<&str>) -> sqlx::Result<String> {
    for name in names.iter().take(NAMED_MAX) {
        let edits = app.store.edits_that_name(name, i64::MAX, EDITS_MAX).await?;
        if let Some(edit) = edits.iter().find(|edit| edit.author != AUTHOR) {
            return Ok(format!("`{}` changed in version {}", edit.author, edit.version));
        }
    }
    Ok("somebody changed".to_owned())
}

/// A run brings back what was.
async fn heal(app: &Arc<App>, cluster: &Cluster, incident: NewIncident) -> anyhow::Result<()> {
    let newest = app.automation.playbooks.newest(&app.store, "drift").await?;
    let Some((row, playbook)) = newest else { anyhow::bail!("there is no playbook `drift`") };
    let inputs = json!({ "trigger": "drift", "requesters": [AUTHOR] });
    let new = NewRun {
        cluster: cluster.name.clone(),
        playbook: row.name,
        version: row.version,
        task: playbook.start.clone(),
        requester: AUTHOR.to_owned(),
        inputs: inputs.to_string(),
        incidents: vec![incident],
        instead_of: 0,
    };
    app.automation.begin(&app.store, &new, |_, _, _| ()).await?;
    Ok(())
}

/// Everything is as it should be: nobody is told of drift any more.
async fn gone(app: &App, cluster: &Cluster) -> anyhow::Result<()> {
    let is_drift = |state: &PolicyState| state.enforced.reason == "Drift";
    if !cluster.kept.is_empty() || !cluster.policies.values().any(|state| is_drift(state)) {
        return Ok(());
    }
    let now = now_us();
    let changed = app.automation.change(&app.store, &cluster.name, |cluster| {
        cluster.change_where(is_drift, |state| {
            state.enforced.become_now(now, Status::Unknown, super::take::PENDING, "");
        });
    });
    changed.await?;
    let open = app.store.incidents((&cluster.name, "open"), i64::MAX, 1000).await?;
    let drifts: Vec<String> =
        open.into_iter().filter(|one| one.r#type == "drift" && one.run == 0).map(|one| one.subject).collect();
    app.store.close_older(&cluster.name, &drifts, i64::MAX).await?;
    settle::enforced(app, &cluster.name).await?;
    Ok(())
}
