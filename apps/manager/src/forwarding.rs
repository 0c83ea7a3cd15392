//! How do logs leave the manager?
//!
//! The log tables are the buffer. A lane is one entry of a match list and one server; it knows the number of the last
//! record that its server got, on disk, and goes on from there: a server that was away gets what came meanwhile, as
//! far as the table still has it. What made room before it was sent is counted.

mod connect;
mod format;
pub(crate) mod http;
pub(crate) mod plan;
mod syslog;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bartizan_model::tree::Element;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::lock;
use crate::logs::query::Query;
use crate::secrets::Secrets;
use crate::xmlapi::log::rows;
use plan::{Lane, Plan, Target};

/// How long a lane waits for new records.
const IDLE: Duration = Duration::from_millis(500);
/// Records that are read at once.
const BATCH: u32 = 500;
/// How long a lane waits after a failure; it doubles up to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What became of one lane.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// The last record that was looked at.
    pub(crate) position: i64,
    /// Records that were sent since the start.
    pub(crate) sent: u64,
    /// Records that made room before they were sent.
    pub(crate) lost: i64,
    /// Records that the server will never take, since the start.
    pub(crate) refused: u64,
    /// Why the server does not get any; empty when it does.
    pub(crate) error: String,
}

/// What became of records that were to be sent.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// The first so many are done with.
    done: usize,
    /// So many of these were refused for good.
    refused: u64,
    /// Why the others were not sent.
    error: Option<anyhow::Error>,
}

/// The way to the server of a lane.
enum Sender {
    Syslog(syslog::Sender),
    Http(http::Sender),
}

impl Sender {
    fn new(lane: &Lane, secrets: &Secrets) -> Self {
        match &lane.target {
            Target::Syslog(server, _) => Self::Syslog(syslog::Sender::new(server)),
            Target::Http(endpoint) => Self::Http(http::Sender::new(endpoint, secrets)),
        }
    }

    fn forget(&mut self) {
        match self {
            Self::Syslog(sender) => sender.forget(),
            Self::Http(sender) => sender.forget(),
        }
    }

    async fn send(&mut self, lane: &Lane, entries: &[&Element]) -> Sent {
        match self {
            Self::Http(sender) => sender.send(entries).await,
            Self::Syslog(sender) => {
                let messages: Vec<_> = entries.iter().map(|entry| lane.message(entry)).collect();
                match sender.send(&messages).await {
                    Ok(()) => Sent { done: messages.len(), ..Sent::default() },
                    Err(error) => Sent { error: Some(error), ..Sent::default() },
                }
            }
        }
    }
}

/// All lanes, for those who ask.
#[derive(Default)]
pub(crate) struct Forwarding {
    lanes: Mutex<BTreeMap<String, Progress>>,
}

impl Forwarding {
    /// What became of each lane, by its name.
    pub(crate) fn progress(&self) -> BTreeMap<String, Progress> {
        lock(&self.lanes).clone()
    }
}

/// Keeps the lanes that the running configuration asks for going.
pub(crate) async fn run(app: Arc<App>) {
    let mut following: Option<Arc<Element>> = None;
    let mut running: Vec<JoinHandle<()>> = Vec::new();
    let mut stop = watch::Sender::new(false);
    loop {
        let tree = app.configuration.snapshot().running.clone();
        if following.as_ref().is_none_or(|following| !Arc::ptr_eq(following, &tree)) {
            // A lane ends between two batches, so that none is sent twice.
            stop.send_replace(true);
            for lane in running.drain(..) {
                let _ = lane.await;
            }
            stop = watch::Sender::new(false);
            let plan = {
                let tree = tree.clone();
                tokio::task::spawn_blocking(move || Plan::read(&tree)).await
            };
            match plan {
                Ok(plan) => {
                    let names: Vec<&str> = plan.lanes.iter().map(|lane| lane.name.as_str()).collect();
                    lock(&app.forwarding.lanes).retain(|name, _| names.contains(&name.as_str()));
                    let start = |lane: Lane| tokio::spawn(drive(app.clone(), lane, stop.subscribe()));
                    running.extend(plan.lanes.into_iter().map(start));
                }
                Err(error) => tracing::error!(%error, "the log forwarding cannot be read"),
            }
            following = Some(tree);
        }
        tokio::time::sleep(IDLE).await;
    }
}

async fn drive(app: Arc<App>, lane: Lane, mut stop: watch::Receiver<bool>) {
    let mut sender = Sender::new(&lane, &app.secrets);
    let mut backoff = BACKOFF.0;
    while !*stop.borrow() {
        let mut pause = IDLE;
        match forward(&app, &lane, &mut sender).await {
            Ok(more) => {
                backoff = BACKOFF.0;
                if more {
                    continue;
                }
            }
            Err(error) => {
                let error = format!("{error:#}");
                let known = {
                    let mut lanes = lock(&app.forwarding.lanes);
                    std::mem::replace(&mut lanes.entry(lane.name.clone()).or_default().error, error.clone())
                };
                if known.is_empty() {
                    tracing::warn!(lane = lane.name, error, "logs are not forwarded; they wait");
                }
                sender.forget();
                pause = backoff;
                backoff = (2 * backoff).min(BACKOFF.1);
            }
        }
        // Nobody sends any more when the whole of it has ended.
        if tokio::time::timeout(pause, stop.wait_for(|stop| *stop)).await.is_ok_and(|ended| ended.is_err()) {
            return;
        }
    }
}

/// Sends what is there, a batch of it; whether there may be more.
async fn forward(app: &App, lane: &Lane, sender: &mut Sender) -> anyhow::Result<bool> {
    let (oldest, newest) = app.store.log_bounds(lane.log).await?;
    let (mut position, mut lost) = match app.store.lane(&lane.name).await? {
        // A log that was restored without its records begins anew.
        Some((position, lost)) => (position.min(newest), lost),
        // A new lane gets what comes from now on.
        None => {
            app.store.keep_lane(&lane.name, newest, 0).await?;
            (newest, 0)
        }
    };
    if oldest > position + 1 {
        lost += oldest - position - 1;
        position = oldest - 1;
    }
    let rows = if newest > position { read(app, lane, position, newest).await? } else { Vec::new() };
    let more = rows.len() == BATCH as usize;
    let mut reached = if more { rows.last().map_or(position, |(id, _)| *id) } else { newest.max(position) };
    let (ids, wanted): (Vec<i64>, Vec<&Element>) =
        rows.iter().filter(|(_, entry)| lane.wants(entry)).map(|(id, entry)| (*id, entry)).unzip();
    let sent = if wanted.is_empty() { Sent::default() } else { sender.send(lane, &wanted).await };
    if let Some(first) = ids.get(sent.done) {
        reached = first - 1;
    }
    if reached != position || lost > 0 {
        app.store.keep_lane(&lane.name, reached, lost).await?;
    }
    let mut lanes = lock(&app.forwarding.lanes);
    let progress = lanes.entry(lane.name.clone()).or_default();
    progress.sent += u64::try_from(sent.done).unwrap_or(u64::MAX).saturating_sub(sent.refused);
    progress.refused += sent.refused;
    (progress.position, progress.lost) = (reached, lost);
    if let Some(error) = sent.error {
        return Err(error);
    }
    if !std::mem::take(&mut progress.error).is_empty() {
        tracing::info!(lane = lane.name, "logs are forwarded again");
    }
    Ok(more)
}

/// Records after a position that the lane's filter lets through, with their numbers.
async fn read(app: &App, lane: &Lane, position: i64, newest: i64) -> anyhow::Result<Vec<(i64, Element)>> {
    let query = Query::after(lane.log, lane.filter.clone(), position, newest, BATCH);
    let number = |entry: &Element| entry.attribute("logid").and_then(|id| id.parse().ok()).unwrap_or(newest);
    Ok(rows(app, &query).await?.into_iter().map(|entry| (number(&entry), entry)).collect())
}
