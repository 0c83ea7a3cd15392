//! How do the firewalls' logs reach the disk, and who finds them again?
//!
//! Batches of all devices go through one bounded queue to one writer, which stores what has gathered in
//! one transaction; only then is it acknowledged. The tables are bounded: the oldest rows make room, counted.

pub(crate) mod filter;
pub(crate) mod query;

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::store::Store;
use crate::store::traffic::{LogBatch, LogsStored};

/// Batches that wait for the writer; devices wait beyond that, and spool.
const QUEUE_MAX: usize = 64;
/// Batches in one transaction.
const BATCHES_AT_ONCE: usize = 32;

type Waiting = (LogBatch, oneshot::Sender<()>);

/// The way in.
pub(crate) struct Logs {
    queue: mpsc::Sender<Waiting>,
    counters: std::sync::Arc<Counters>,
}

/// What happened to records since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    stored: AtomicU64,
    repeated: AtomicU64,
    deleted: AtomicU64,
}

/// The batch was not stored; the device sends it again.
#[derive(Debug, thiserror::Error)]
#[error("the logs could not be stored")]
pub(crate) struct NotStored;

/// The writer's end.
pub(crate) struct Writer {
    queue: mpsc::Receiver<Waiting>,
    store: Store,
    rows_max: u64,
    counters: std::sync::Arc<Counters>,
}

impl Logs {
    /// The way in and the writer, to be run.
    pub(crate) fn new(store: Store, rows_max: u64) -> (Self, Writer) {
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        let counters = std::sync::Arc::<Counters>::default();
        (Self { queue: sender, counters: counters.clone() }, Writer { queue, store, rows_max, counters })
    }

    /// Stores a batch; returns when it is on disk.
    pub(crate) async fn store(&self, batch: LogBatch) -> Result<(), NotStored> {
        let (done, waiting) = oneshot::channel();
        self.queue.send((batch, done)).await.map_err(|_| NotStored)?;
        waiting.await.map_err(|_| NotStored)
    }

    /// What happened since the start.
    pub(crate) fn counters(&self) -> LogsStored {
        LogsStored {
            stored: self.counters.stored.load(Ordering::Relaxed),
            repeated: self.counters.repeated.load(Ordering::Relaxed),
            deleted: self.counters.deleted.load(Ordering::Relaxed),
        }
    }
}

impl Writer {
    /// Writes until nobody can send any more.
    pub(crate) async fn run(mut self) {
        let mut gathered = Vec::with_capacity(BATCHES_AT_ONCE);
        while self.queue.recv_many(&mut gathered, BATCHES_AT_ONCE).await > 0 {
            let (batches, waiting): (Vec<_>, Vec<_>) = gathered.drain(..).unzip();
            match self.store.add_logs(&batches, self.rows_max).await {
                Ok(done) => {
                    self.count(done);
                    for waiting in waiting {
                        let _ = waiting.send(());
                    }
                }
                Err(error) => tracing::error!(%error, batches = batches.len(), "logs cannot be stored"),
            }
        }
    }

    fn count(&self, done: LogsStored) {
        self.counters.stored.fetch_add(done.stored, Ordering::Relaxed);
        self.counters.repeated.fetch_add(done.repeated, Ordering::Relaxed);
        self.counters.deleted.fetch_add(done.deleted, Ordering::Relaxed);
    }
}
