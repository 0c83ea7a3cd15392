//! How do the firewalls' logs reach the disk, and who finds them again?
//!
//! Batches of all devices go through one bounded queue to one writer, which stores what has gathered in
//! one transaction; only then is it acknowledged. The tables are bounded: the oldest records make room, counted.

pub(crate) mod export;
pub(crate) mod filter;
pub(crate) mod map;
pub(crate) mod query;
pub(crate) mod report;
pub(crate) mod retention;
pub(crate) mod summary;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::configuration::Configuration;
use crate::store::slices::{Open, SLICE_ROWS};
use crate::store::traffic::{LogBatch, LogsStored};
use crate::store::{Store, now_us};
use retention::Bounds;

/// Batches that wait for the writer; devices wait beyond that, and spool.
const QUEUE_MAX: usize = 64;
/// Batches in one transaction.
const BATCHES_AT_ONCE: usize = 32;
/// Records that are no traffic before it is looked whether there are too many.
const EVENTS_BETWEEN: u64 = 10_000;
/// How often what is too old goes, when no records come.
const UPKEEP: Duration = Duration::from_secs(60);

type Waiting = (LogBatch, oneshot::Sender<()>);

/// The way in.
pub(crate) struct Logs {
    queue: mpsc::Sender<Waiting>,
    counters: Arc<Counters>,
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
    configuration: Arc<Configuration>,
    room: Room,
    /// The slice that was written to last.
    open: Option<Open>,
    /// Records that are no traffic since room was made.
    events: u64,
    counters: Arc<Counters>,
}

/// What a manager is set up to keep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Records of the traffic log.
    pub(crate) rows_max: u64,
    /// Bytes of all logs.
    pub(crate) storage: u64,
}

impl Room {
    /// What the running configuration makes of it.
    pub(crate) fn bounds(self, configuration: &Configuration) -> Bounds {
        Bounds::read(&configuration.snapshot().running, self.rows_max, self.storage, now_us())
    }

    /// Records of one slice: a part of what is kept, so that much stays when one goes.
    fn slice_rows(self) -> u64 {
        (self.rows_max / 4).clamp(1, SLICE_ROWS)
    }
}

impl Logs {
    /// The way in and the writer, to be run.
    pub(crate) fn new(store: Store, configuration: Arc<Configuration>, room: Room) -> (Self, Writer) {
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        let counters = Arc::<Counters>::default();
        let writer = Writer { queue, store, configuration, room, open: None, events: 0, counters: counters.clone() };
        (Self { queue: sender, counters }, writer)
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
            events: 0,
            has_turned: false,
        }
    }
}

impl Writer {
    /// Writes until nobody can send any more.
    pub(crate) async fn run(mut self) {
        let mut gathered = Vec::with_capacity(BATCHES_AT_ONCE);
        let mut upkeep = tokio::time::interval(UPKEEP);
        loop {
            tokio::select! {
                count = self.queue.recv_many(&mut gathered, BATCHES_AT_ONCE) => match count {
                    0 => return,
                    _ => self.write(&mut gathered).await,
                },
                _ = upkeep.tick() => {
                    self.make_room().await;
                    self.index().await;
                }
            }
        }
    }

    async fn write(&mut self, gathered: &mut Vec<Waiting>) {
        let (batches, waiting): (Vec<_>, Vec<_>) = gathered.drain(..).unzip();
        match self.store.add_logs(&mut self.open, &batches, self.room.slice_rows()).await {
            Ok(done) => {
                self.count(done);
                self.events += done.events;
                if done.has_turned || self.events >= EVENTS_BETWEEN {
                    self.make_room().await;
                }
                for waiting in waiting {
                    let _ = waiting.send(());
                }
                if done.has_turned {
                    self.index().await;
                }
            }
            Err(error) => tracing::error!(%error, batches = batches.len(), "logs cannot be stored"),
        }
    }

    async fn make_room(&mut self) {
        self.events = 0;
        let bounds = self.room.bounds(&self.configuration);
        let mut deleted = match self.store.drop_slices(&bounds).await {
            Ok(deleted) => deleted,
            Err(error) => return tracing::error!(%error, "old logs cannot be dropped"),
        };
        match self.store.bound_events().await {
            Ok(much) => deleted += much,
            Err(error) => tracing::error!(%error, "too many logs cannot be deleted"),
        }
        for (log, since) in bounds.events_since_us {
            match self.store.expire_events(log, since).await {
                Ok(expired) => deleted += expired,
                Err(error) => tracing::error!(%error, log, "old logs cannot be deleted"),
            }
        }
        self.counters.deleted.fetch_add(deleted, Ordering::Relaxed);
    }

    async fn index(&self) {
        if let Err(error) = self.store.index_slices().await {
            tracing::error!(%error, "logs cannot be indexed");
        }
    }

    fn count(&self, done: LogsStored) {
        self.counters.stored.fetch_add(done.stored, Ordering::Relaxed);
        self.counters.repeated.fetch_add(done.repeated, Ordering::Relaxed);
        self.counters.deleted.fetch_add(done.deleted, Ordering::Relaxed);
    }
}
