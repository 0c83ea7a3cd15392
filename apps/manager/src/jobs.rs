//! What was asked to be done, how far is it, and what came of it?
//!
//! Jobs are numbered from 1 for ever. Those of the configuration (commit, validate) run one at a time, so
//! do pushes; both queues are bounded, and who waits in one can be taken out. A job is stored when it is made and
//! when it is finished; polling reads memory only.

pub(crate) mod check;
pub(crate) mod commit;
pub(crate) mod deliver;
pub(crate) mod push;
mod queue;
mod record;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use queue::Queue;
use tokio::sync::watch;

use crate::app::App;
use crate::store::Store;
use crate::store::from_db;
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

/// Why a job is not cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CancelError {
    /// There is none of that number.
    #[error("job {0} not found")]
    Unknown(u64),
    /// It is done.
    #[error("job {0} is finished already")]
    Finished(u64),
    /// It is past the point up to which it could be stopped: what it commits is being put in force.
    #[error("job {0} is being put in force and cannot be stopped any more")]
    Running(u64),
}

/// All jobs.
pub(crate) struct Jobs {
    store: Store,
    jobs: Mutex<BTreeMap<u64, Arc<Job>>>,
    commits: Queue<Work>,
    pushes: Queue<Work>,
    /// Running pushes that are to send nothing more, commits that are to commit nothing, and who said so.
    stopped: Mutex<HashMap<u64, String>>,
    /// Counts the changes of jobs, for those who wait.
    changed: watch::Sender<u64>,
}

impl Jobs {
    /// Reads the stored jobs. What was not finished when the manager ended has failed.
    pub(crate) async fn open(store: Store) -> anyhow::Result<Self> {
        let mut jobs = BTreeMap::new();
        let pending = store.pending_pushes().await?;
        for record in store.jobs().await? {
            let Ok(mut job) = serde_json::from_str::<Job>(&record) else {
                tracing::warn!(record, "a stored job cannot be read and is not shown");
                continue;
            };
            if job.finished_us.is_none() {
                job.details.push("the manager was restarted before this job was done".into());
                if pending.iter().any(|push| from_db(push.job) == job.id) {
                    job.details.push("a device that did not get it gets it when it is connected again".into());
                }
                job.finish(Outcome::Fail);
                store.put_job(job.id, &job.to_json()).await?;
            }
            jobs.insert(job.id, Arc::new(job));
        }
        let (commits, pushes) = (Queue::new(QUEUE_MAX), Queue::new(QUEUE_MAX));
        let changed = watch::Sender::new(0);
        Ok(Self { store, jobs: Mutex::new(jobs), commits, pushes, stopped: Mutex::default(), changed })
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
        let id = self.enqueue_once(kind, user, description, scope, work, None).await?;
        id.ok_or(EnqueueError::QueueFull)
    }

    /// As [`Self::enqueue`], at one time of a schedule; nothing when that had its job.
    pub(crate) async fn enqueue_once(
        &self,
        kind: JobKind,
        user: &str,
        description: &str,
        scope: Option<PushScope>,
        work: Work,
        occurrence: Option<(&str, i64)>,
    ) -> Result<Option<u64>, EnqueueError> {
        let queue = match work {
            Work::Commit(_) => &self.commits,
            Work::Push(_) => &self.pushes,
        };
        if matches!(work, Work::Commit(_)) && self.commit_in_progress() {
            return Err(EnqueueError::CommitInProgress);
        }
        let place = queue.reserve().ok_or(EnqueueError::QueueFull)?;
        let job = Job::new(kind, user, description, scope);
        let id = self.add(job, occurrence).await?;
        if let Some(id) = id {
            queue.put(place, id, work);
        }
        Ok(id)
    }

    /// Takes a waiting job out of its queue, or has a running push send nothing more; what was done, in words.
    pub(crate) async fn cancel(&self, id: u64, by: &str) -> Result<String, CancelError> {
        let job = self.job(id).ok_or(CancelError::Unknown(id))?;
        if job.finished_us.is_some() {
            return self.cancel_rest(id).await;
        }
        if self.commits.remove(id) || self.pushes.remove(id) {
            let detail = format!("cancelled by {by} before it began");
            self.finish(id, Outcome::Fail, |job| job.details = vec![detail.clone()]).await;
            return Ok(format!("job {id} {detail}"));
        }
        {
            let mut stopped = lock(&self.stopped);
            // Under the lock, so that it is either stopped or goes on.
            if !self.job(id).is_some_and(|job| job.is_stoppable()) {
                return Err(CancelError::Running(id));
            }
            stopped.insert(id, by.to_owned());
        }
        // It may have come to its end in between.
        if self.job(id).is_none_or(|job| job.finished_us.is_some()) {
            lock(&self.stopped).remove(&id);
            return Err(CancelError::Finished(id));
        }
        Ok(match job.kind.is_push() {
            true => format!("job {id} is stopped: devices that were not sent anything yet keep what they have"),
            false => format!("job {id} is stopped: it commits nothing"),
        })
    }

    /// What a finished push left undone is not made up for any more.
    async fn cancel_rest(&self, id: u64) -> Result<String, CancelError> {
        match self.store.cancel_pending(id).await {
            Ok(0) => Err(CancelError::Finished(id)),
            Ok(devices) => {
                Ok(format!("job {id} is finished; what it left pending for {devices} device(s) is cancelled"))
            }
            Err(error) => {
                tracing::error!(%error, id, "pending pushes cannot be cancelled");
                Err(CancelError::Finished(id))
            }
        }
    }

    /// A commit is checked and goes on to what cannot be stopped.
    ///
    /// # Errors
    /// Who stopped it.
    pub(crate) fn pass(&self, id: u64) -> Result<(), String> {
        let stopped = lock(&self.stopped);
        match stopped.get(&id) {
            Some(who) => Err(who.clone()),
            None => {
                self.update(id, |job| job.is_final = true);
                Ok(())
            }
        }
    }

    /// Who stopped a running job, if anybody did.
    pub(crate) fn stopped_by(&self, id: u64) -> Option<String> {
        lock(&self.stopped).get(&id).cloned()
    }

    /// The place of a job in its queue; 0 when it does not wait.
    pub(crate) fn position(&self, id: u64) -> usize {
        self.commits.position(id).or_else(|| self.pushes.position(id)).unwrap_or(0)
    }

    /// A job that is done already.
    pub(crate) async fn add_finished(&self, kind: JobKind, user: &str, detail: &str) -> Result<u64, EnqueueError> {
        let mut job = Job::new(kind, user, "", None);
        job.started_us = Some(store::now_us());
        job.details.push(detail.to_owned());
        job.finish(Outcome::Ok);
        self.add(job, None).await?.ok_or(EnqueueError::QueueFull)
    }

    /// One job.
    pub(crate) fn job(&self, id: u64) -> Option<Arc<Job>> {
        lock(&self.jobs).get(&id).cloned()
    }

    /// All jobs, newest first.
    pub(crate) fn all(&self) -> Vec<Arc<Job>> {
        lock(&self.jobs).values().rev().cloned().collect()
    }

    /// Tells of every change of a job, from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Changes a job in memory.
    pub(crate) fn update(&self, id: u64, change: impl FnOnce(&mut Job)) -> Option<Arc<Job>> {
        let job = {
            let mut jobs = lock(&self.jobs);
            let job = jobs.get_mut(&id)?;
            change(Arc::make_mut(job));
            job.clone()
        };
        self.tell();
        Some(job)
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
        self.put(job);
    }

    /// Takes over a finished job, whose record is on disk.
    fn put(&self, job: Job) {
        let id = job.id;
        lock(&self.jobs).insert(id, Arc::new(job));
        lock(&self.stopped).remove(&id);
        self.tell();
    }

    /// Whether a commit or validation waits or runs.
    pub(crate) fn commit_in_progress(&self) -> bool {
        lock(&self.jobs).values().rev().any(|job| job.kind.is_commit() && job.finished_us.is_none())
    }

    async fn add(&self, mut job: Job, occurrence: Option<(&str, i64)>) -> Result<Option<u64>, EnqueueError> {
        let stored = job.clone();
        let id = self
            .store
            .add_job(occurrence, |id| {
                let mut stored = stored;
                stored.id = id;
                stored.to_json()
            })
            .await?;
        let Some(id) = id else { return Ok(None) };
        job.id = id;
        let mut jobs = lock(&self.jobs);
        jobs.insert(id, Arc::new(job));
        let oldest_kept = id.saturating_sub(JOBS_MAX.unsigned_abs());
        *jobs = jobs.split_off(&(oldest_kept + 1));
        drop(jobs);
        self.tell();
        Ok(Some(id))
    }
}

/// Works the queues off until the manager stops.
pub(crate) async fn work(app: Arc<App>) {
    let serve = async |queue: &Queue<Work>| {
        loop {
            let (id, work) = queue.next().await;
            run(&app, id, work).await;
        }
    };
    tokio::join!(serve(&app.jobs.commits), serve(&app.jobs.pushes));
}

async fn run(app: &Arc<App>, id: u64, work: Work) {
    app.jobs.update(id, |job| job.started_us = Some(store::now_us()));
    match work {
        Work::Commit(request) => commit::run(app, id, request).await,
        Work::Push(request) => push::run(app, id, request).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn running(kind: JobKind) -> (tempfile::TempDir, Jobs, u64) {
        let place = tempfile::tempdir().unwrap();
        let jobs = Jobs::open(Store::open(place.path(), None).await.unwrap()).await.unwrap();
        let id = jobs.add(Job::new(kind, "alice", "", None), None).await.unwrap().unwrap();
        jobs.update(id, |job| job.started_us = Some(store::now_us()));
        (place, jobs, id)
    }

    #[tokio::test]
    async fn a_commit_is_stopped_until_it_is_put_in_force_and_not_after() {
        let (_place, jobs, id) = running(JobKind::Commit).await;
        assert!(jobs.job(id).unwrap().is_stoppable());
        assert_eq!(jobs.cancel(id, "bob").await, Ok(format!("job {id} is stopped: it commits nothing")));
        assert_eq!(jobs.pass(id), Err("bob".to_owned()));

        let (_place, jobs, id) = running(JobKind::Commit).await;
        assert_eq!(jobs.pass(id), Ok(()));
        assert!(!jobs.job(id).unwrap().is_stoppable());
        assert_eq!(jobs.cancel(id, "bob").await, Err(CancelError::Running(id)));
        jobs.finish(id, Outcome::Ok, |_| ()).await;
        assert_eq!(jobs.cancel(id, "bob").await, Err(CancelError::Finished(id)));
    }
}
