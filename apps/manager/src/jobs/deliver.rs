//! How does a device that was away get what was pushed meanwhile?
//!
//! What a push did not bring about is pending (`store/pending.rs`). When such a device comes, a push job goes on where
//! the other ended; devices that come together share one. It is of the version that was pushed, even when a newer one
//! was committed since: nobody pushed that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use super::push::PushRequest;
use super::{EnqueueError, JobKind, PushScope, Work};
use crate::app::App;
use crate::lock;
use crate::store::from_db;
use crate::store::pending::PendingPush;

/// Devices that come within this time share a job.
const GATHER: Duration = Duration::from_millis(300);
/// When the queue of pushes was full, or the database was not to be read.
const RETRY: Duration = Duration::from_secs(5);

/// Devices that came.
#[derive(Default)]
pub(crate) struct Arrivals {
    came: Mutex<BTreeSet<String>>,
    news: Notify,
}

impl Arrivals {
    /// A device is attached.
    pub(crate) fn add(&self, serial: &str) {
        lock(&self.came).insert(serial.to_owned());
        self.news.notify_one();
    }
}

/// Makes jobs for what is pending until the manager stops.
pub(crate) async fn work(app: Arc<App>) {
    loop {
        app.fleet.arrivals.news.notified().await;
        tokio::time::sleep(GATHER).await;
        let came = std::mem::take(&mut *lock(&app.fleet.arrivals.came));
        if let Err(error) = deliver(&app, &came).await {
            tracing::warn!(%error, "pending pushes have to wait");
            lock(&app.fleet.arrivals.came).extend(came);
            app.fleet.arrivals.news.notify_one();
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn deliver(app: &App, came: &BTreeSet<String>) -> Result<(), EnqueueError> {
    let mut groups: BTreeMap<(i64, i64), Vec<PendingPush>> = BTreeMap::new();
    for push in app.store.pending_pushes().await?.into_iter().filter(|push| came.contains(&push.serial)) {
        // It went again, or its job has yet to come to it.
        if app.fleet.link(&push.serial).is_err()
            || app.jobs.job(from_db(push.job)).is_some_and(|job| job.finished_us.is_none())
        {
            continue;
        }
        groups.entry((push.job, push.version)).or_default().push(push);
    }
    for ((job, version), pushes) in groups {
        let Some(first) = pushes.first() else { continue };
        let request = PushRequest {
            devices: pushes.iter().map(|push| push.serial.clone()).collect(),
            policy: first.policy != 0,
            templates: first.templates != 0,
            validate_only: false,
            goes_on_with: Some((from_db(job), from_db(version))),
            admins: serde_json::from_str(&first.of_admins).unwrap_or_default(),
            // Whoever pushed it was asked then.
            caller: None,
        };
        let name = pushes.iter().map(|push| push.serial.as_str()).collect::<Vec<_>>().join(", ");
        let scope =
            PushScope { push_type: if request.policy { "shared-policy" } else { "template-stack" }.into(), name };
        let description = format!("goes on with job {job}: devices that were away are back");
        app.jobs.enqueue(JobKind::CommitAll, &first.admin, &description, Some(scope), Work::Push(request)).await?;
    }
    Ok(())
}
