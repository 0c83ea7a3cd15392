//! Which scheduled push is due now? Each time has one job, whoever looks and however often.
//!
//! The job and the row that says that this time had its job are stored in one transaction, and the row is
//! unique: neither a restart nor a second manager makes a second one.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Schedule;
use crate::app::App;
use crate::jobs::{EnqueueError, JobKind, Work};
use crate::topology::Topology;

/// How long the configuration is not looked at for new schedules.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How often it is written down up to when was looked.
const NOTE_INTERVAL: SignedDuration = SignedDuration::from_secs(15);
/// A time that passed while no manager ran is made up for within this.
const LATE_MAX: SignedDuration = SignedDuration::from_mins(15);
/// Under this name the database knows up to when was looked, microseconds since the Unix epoch.
const LOOKED: &str = "schedules-looked-us";

/// Looks until the manager stops.
pub(crate) async fn watch(app: Arc<App>) {
    let mut looked = begin(&app).await;
    let mut noted = looked;
    loop {
        let now = Timestamp::now();
        let schedules = super::all(&app.configuration.snapshot().running);
        let enabled = || schedules.iter().filter(|schedule| !schedule.disabled);
        for schedule in enabled() {
            for due in schedule.due(looked, now) {
                if let Err(error) = push(&app, schedule, due).await {
                    tracing::error!(schedule = schedule.name, %error, "a scheduled push is not begun");
                }
            }
        }
        looked = looked.max(now);
        if looked.duration_since(noted) >= NOTE_INTERVAL {
            match app.store.note(LOOKED, &looked.as_microsecond().to_string()).await {
                Ok(()) => noted = looked,
                Err(error) => tracing::error!(%error, "up to when schedules were looked at cannot be stored"),
            }
        }
        let next = enabled().filter_map(|schedule| schedule.next(looked)).min();
        let wait = next.map(|next| next.duration_since(Timestamp::now()).try_into().unwrap_or(Duration::ZERO));
        tokio::time::sleep(wait.unwrap_or(LOOK_INTERVAL).min(LOOK_INTERVAL)).await;
    }
}

/// From when on to look: the end of the last look, and not too long ago.
async fn begin(app: &App) -> Timestamp {
    let now = Timestamp::now();
    let text = app.store.fact(LOOKED, || now.as_microsecond().to_string()).await;
    let looked = text.ok().and_then(|text| text.parse().ok()).and_then(|at| Timestamp::from_microsecond(at).ok());
    looked.map_or(now, |looked| looked.clamp(now - LATE_MAX, now))
}

/// Makes the job of one time, unless it has one; its number.
pub(crate) async fn push(app: &App, schedule: &Schedule, due: Timestamp) -> Result<Option<u64>, EnqueueError> {
    let (scope, request) = schedule.request(&Topology::read(&app.configuration.snapshot().running));
    let user = format!("scheduled-config-push {}", schedule.name);
    let description = format!("scheduled for {due}");
    let occurrence = Some((schedule.name.as_str(), due.as_microsecond()));
    let id = app
        .jobs
        .enqueue_once(JobKind::CommitAll, &user, &description, Some(scope), Work::Push(request), occurrence)
        .await?;
    if let Some(id) = id {
        tracing::info!(schedule = schedule.name, %due, job = id, "a scheduled push begins");
    }
    Ok(id)
}
