//! What was asked to be done, how far is it, and what came of it?
//!
//! Jobs are numbered from 1 for ever. Those of the configuration (commit, validate) run one at a time, so
//! do pushes; both queues are bounded. A job is stored when it is made and when it is finished; polling
//! reads memory only.

pub(crate) mod commit;
pub(crate) mod push;
mod record;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use crate::app::App;
use crate::store::Store;
use crate::store::jobs::JOBS_MAX;
use crate::{lock, store};
pub(crate) use record::{DeviceResult, Job, JobKind, Outcome, PushScope};

/// Jobs that wait in one queue.
const QUEUE_MAX: usize = 64;

/// What a worker is to do.
#[derive(Debug)]
pub(crate) enum Work {
    /// Make the candidate the running configuration, or only check it.
    Commit(commit::CommitRequest),
    /// Send devices their configuration.
    Push(push::PushRequest),
}

/// Why there is no job.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnqueueError {
    /// One commit at a time.
    #[error("Another commit/validate is in progress. Please try again later")]
    CommitInProgress,
    /// The queue is at its bound.
    #[error("{QUEUE_MAX} jobs are waiting already; try again when some of them are done")]
    QueueFull,
    /// The job cannot be stored.
    #[error("the job cannot be stored: {0}")]
    Store(#[from] sqlx::Error),
}

/// All jobs.
pub(crate) struct Jobs {
    store: Store,
    jobs: Mutex<BTreeMap<u64, Arc<Job>>>,
    commits: mpsc::Sender<(u64, Work)>,
    pushes: mpsc::Sender<(u64, Work)>,
}

/// The workers' ends of the queues.
pub(crate) struct Queues {
    commits: mpsc::Receiver<(u64, Work)>,
    pushes: mpsc::Receiver<(u64, Work)>,
}

impl Jobs {
    /// Reads the stored jobs. What was not finished when the manager ended has failed.
    pub(crate) async fn open(store: Store) -> anyhow::Result<(Self, Queues)> {
        let mut jobs = BTreeMap::new();
        for record in store.jobs().await? {
            let Ok(mut job) = serde_json::from_str::<Job>(&record) else {
                tracing::warn!(record, "a stored job cannot be read and is not shown");
                continue;
            };
            if job.finished_us.is_none() {
                job.details.push("the manager was restarted before this job was done".into());
                job.finish(Outcome::Fail);
                store.put_job(job.id, &job.to_json()).await?;
            }
            jobs.insert(job.id, Arc::new(job));
        }
        let (commits, commit_queue) = mpsc::channel(QUEUE_MAX);
        let (pushes, push_queue) = mpsc::channel(QUEUE_MAX);
        let queues = Queues { commits: commit_queue, pushes: push_queue };
        Ok((Self { store, jobs: Mutex::new(jobs), commits, pushes }, queues))
    }

    /// Puts work into its queue; the number of its job.
    pub(crate) async fn enqueue(
        &self,
        kind: JobKind,
        user: &str,
        description: &str,
        scope: Option<PushScope>,
        work: Work,
    ) -> Result<u64, EnqueueError> {
        let queue = match work {
            Work::Commit(_) => &self.commits,
            Work::Push(_) => &self.pushes,
        };
        if matches!(work, Work::Commit(_)) && self.commit_in_progress() {
            return Err(EnqueueError::CommitInProgress);
        }
        let place = queue.try_reserve().map_err(|_| EnqueueError::QueueFull)?;
        let job = Job::new(kind, user, description, scope);
        let id = self.add(job).await?;
        place.send((id, work));
        Ok(id)
    }

    /// A job that is done already.
    pub(crate) async fn add_finished(&self, kind: JobKind, user: &str, detail: &str) -> Result<u64, EnqueueError> {
        let mut job = Job::new(kind, user, "", None);
        job.started_us = Some(store::now_us());
        job.details.push(detail.to_owned());
        job.finish(Outcome::Ok);
        self.add(job).await
    }

    /// One job.
    pub(crate) fn job(&self, id: u64) -> Option<Arc<Job>> {
        lock(&self.jobs).get(&id).cloned()
    }

    /// All jobs, newest first.
    pub(crate) fn all(&self) -> Vec<Arc<Job>> {
        lock(&self.jobs).values().rev().cloned().collect()
    }

    /// Changes a job in memory.
    pub(crate) fn update(&self, id: u64, change: impl FnOnce(&mut Job)) -> Option<Arc<Job>> {
        let mut jobs = lock(&self.jobs);
        let job = jobs.get_mut(&id)?;
        change(Arc::make_mut(job));
        Some(job.clone())
    }

    /// Finishes a job, in memory and on disk.
    pub(crate) async fn finish(&self, id: u64, outcome: Outcome, change: impl FnOnce(&mut Job)) {
        let Some(mut job) = self.job(id).map(|job| Job::clone(&job)) else {
            return;
        };
        change(&mut job);
        job.finish(outcome);
        if let Err(error) = self.store.put_job(id, &job.to_json()).await {
            tracing::error!(id, %error, "a finished job cannot be stored");
        }
        lock(&self.jobs).insert(job.id, Arc::new(job));
    }

    /// Whether a commit or validation waits or runs.
    pub(crate) fn commit_in_progress(&self) -> bool {
        lock(&self.jobs).values().rev().any(|job| job.kind.is_commit() && job.finished_us.is_none())
    }

    async fn add(&self, mut job: Job) -> Result<u64, EnqueueError> {
        let stored = job.clone();
        let id = self
            .store
            .add_job(|id| {
                let mut stored = stored;
                stored.id = id;
                stored.to_json()
            })
            .await?;
        job.id = id;
        let mut jobs = lock(&self.jobs);
        jobs.insert(id, Arc::new(job));
        let oldest_kept = id.saturating_sub(JOBS_MAX.unsigned_abs());
        *jobs = jobs.split_off(&(oldest_kept + 1));
        Ok(id)
    }
}

/// Works the queues off until the manager stops.
pub(crate) async fn work(app: Arc<App>, queues: Queues) {
    let Queues { mut commits, mut pushes } = queues;
    let pushing = app.clone();
    let push_worker = async move {
        while let Some((id, work)) = pushes.recv().await {
            run(&pushing, id, work).await;
        }
    };
    let commit_worker = async move {
        while let Some((id, work)) = commits.recv().await {
            run(&app, id, work).await;
        }
    };
    tokio::join!(push_worker, commit_worker);
}

async fn run(app: &Arc<App>, id: u64, work: Work) {
    app.jobs.update(id, |job| job.started_us = Some(store::now_us()));
    match work {
        Work::Commit(request) => commit::run(app, id, request).await,
        Work::Push(request) => push::run(app, id, request).await,
    }
}
