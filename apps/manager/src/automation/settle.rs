//! What do the conditions of a cluster's policies become when a run waits, fails or ends?

use super::state::{PolicyState, Status};
use super::{basis, devices, take, translate};
use crate::app::App;
use crate::store::now_us;
use crate::store::runs::RunRow;

/// Changes the policies that a run is to bring about: without a fault, and not in force.
async fn change(app: &App, run: &RunRow, mut change: impl FnMut(&mut PolicyState)) -> sqlx::Result<()> {
    if run.cluster.is_empty() || app.automation.cluster(&run.cluster).is_none() {
        return Ok(());
    }
    let changed = app.automation.change(&app.store, &run.cluster, |cluster| {
        let is_on_its_way = |state: &PolicyState| {
            state.translated.holds() && state.translated.reason != translate::DRY_RUN && !state.enforced.holds()
        };
        cluster.change_where(is_on_its_way, &mut change);
    });
    changed.await.map(drop)
}

/// Somebody has to approve.
pub(super) async fn held(app: &App, run: &RunRow, message: &str) -> sqlx::Result<()> {
    let now = now_us();
    change(app, run, |state| {
        if !state.committed.holds() {
            state.committed.become_now(now, Status::False, "Held", message);
            state.enforced.become_now(now, Status::False, "NotCommitted", "");
        }
    })
    .await
}

/// The run stays where it failed.
pub(super) async fn failed(app: &App, run: &RunRow, reason: &str, message: &str) -> sqlx::Result<()> {
    let now = now_us();
    change(app, run, |state| {
        if reason == "TooMany" {
            state.translated.become_now(now, Status::False, reason, message);
        }
        if state.committed.holds() {
            let reason = if reason == "DeviceOffline" { reason } else { "PushFailed" };
            state.enforced.become_now(now, Status::False, reason, message);
        } else {
            let reason = match reason {
                "Conflict" | "Held" | "NoSettings" => reason,
                _ => "Failed",
            };
            state.committed.become_now(now, Status::False, reason, message);
            state.enforced.become_now(now, Status::False, "NotCommitted", "");
        }
    })
    .await
}

/// Somebody does not want it.
pub(super) async fn rejected(app: &App, run: &RunRow) -> sqlx::Result<()> {
    let now = now_us();
    let message = format!("run {} was rejected; the next change makes another one", run.id);
    change(app, run, |state| {
        if !state.committed.holds() {
            state.committed.become_now(now, Status::False, "Rejected", message.clone());
            state.enforced.become_now(now, Status::False, "NotCommitted", "");
        }
    })
    .await
}

/// The run ended as it should.
pub(super) async fn done(app: &App, run: &RunRow) -> anyhow::Result<()> {
    let Some(cluster) = app.automation.cluster(&run.cluster) else { return Ok(()) };
    let is_enforced = enforced(app, &run.cluster).await?;
    // A run that was of another kind brought about nothing that was told.
    let is_committed = cluster.policies.values().all(|state| {
        state.committed.holds() || !state.translated.holds() || state.translated.reason == translate::DRY_RUN
    });
    if is_committed && cluster.run == run.id {
        let basis = basis(app, &run.cluster).await?;
        let groups = take::translated(app, &cluster, &basis).await?.groups.clone();
        let changed = app.automation.change(&app.store, &run.cluster, |cluster| {
            cluster.enforced_digest = cluster.taken.as_ref().map(|taken| taken.digest.clone()).unwrap_or_default();
            if is_enforced {
                cluster.speak_only_of(&groups);
            }
        });
        changed.await?;
    }
    Ok(())
}

/// What is committed is enforced, when all firewalls do. Whether that is so.
pub(super) async fn enforced(app: &App, name: &str) -> anyhow::Result<bool> {
    let Some(cluster) = app.automation.cluster(name) else { return Ok(false) };
    if cluster.committed == 0 {
        return Ok(false);
    }
    let all = devices::of(app, &cluster).await?;
    let behind = all.iter().any(|device| !device.enforced);
    if behind {
        return Ok(false);
    }
    let now = now_us();
    let (status, reason, message) = match all.is_empty() {
        true => (Status::False, "NoDevices", format!("device group `{}` has no firewall", cluster.placed)),
        false => (Status::True, "Enforced", format!("by {} firewall(s)", all.len())),
    };
    let changed = app.automation.change(&app.store, name, |cluster| {
        let differs = |state: &PolicyState| {
            let is_drift = state.enforced.reason == "Drift";
            let is_same = state.enforced.status == status && state.enforced.reason == reason;
            state.committed.holds() && !is_drift && !is_same
        };
        cluster.change_where(differs, |state| state.enforced.become_now(now, status, reason, message.clone()));
    });
    changed.await?;
    Ok(true)
}
