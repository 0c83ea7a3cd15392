//! Which edits are on their way to the disk?
//!
//! Edits are applied one after the other, each to what those before made of the candidate, and then wait for the disk
//! together: whoever has the turn writes all that wait. When that fails they are undone, all of them, and so are those
//! that were applied on top meanwhile.

use std::sync::{Arc, Mutex};

use anyhow::anyhow;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard, oneshot};

use super::Snapshot;
use crate::lock;
use crate::store::versions::Entries;

/// The edits that wait, and what they make of the candidate.
pub(super) struct Staged {
    inner: Mutex<Inner>,
    turn: AsyncMutex<()>,
}

struct Inner {
    tip: Arc<Snapshot>,
    waiting: Vec<Waiting>,
    /// Counts the times that edits were undone.
    failures: u64,
}

struct Waiting {
    entries: Entries,
    /// What there is when they are on disk; nothing if that is what there was.
    after: Option<Arc<Snapshot>>,
    tell: oneshot::Sender<Result<(), String>>,
}

/// What the next edit is applied to.
pub(super) struct Tip {
    pub(super) snapshot: Arc<Snapshot>,
    failures: u64,
}

/// Tells what became of edits.
pub(super) struct Written(oneshot::Receiver<Result<(), String>>);

/// What is written at once.
pub(super) struct Batch(Vec<Waiting>);

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entries> {
        self.0.iter().map(|waiting| &waiting.entries)
    }
}

impl Written {
    /// Nothing while it is not known.
    pub(super) fn outcome(mut self) -> Option<anyhow::Result<()>> {
        self.0.try_recv().ok().map(|outcome| outcome.map_err(|error| anyhow!(error)))
    }
}

impl Staged {
    pub(super) fn new(now: Arc<Snapshot>) -> Self {
        let inner = Inner { tip: now, waiting: Vec::new(), failures: 0 };
        Self { inner: Mutex::new(inner), turn: AsyncMutex::default() }
    }

    pub(super) fn tip(&self) -> Tip {
        let inner = lock(&self.inner);
        Tip { snapshot: inner.tip.clone(), failures: inner.failures }
    }

    /// Adds edits that were applied to a tip.
    ///
    /// # Errors
    /// When that was undone meanwhile.
    pub(super) fn add(&self, tip: &Tip, entries: Entries, after: Option<Arc<Snapshot>>) -> anyhow::Result<Written> {
        let mut inner = lock(&self.inner);
        anyhow::ensure!(inner.failures == tip.failures, "edits before these could not be stored");
        let (tell, written) = oneshot::channel();
        if let Some(after) = &after {
            inner.tip = after.clone();
        }
        inner.waiting.push(Waiting { entries, after, tell });
        Ok(Written(written))
    }

    /// To be held by whoever writes.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// All that waits.
    pub(super) fn take(&self) -> Batch {
        Batch(std::mem::take(&mut lock(&self.inner).waiting))
    }

    /// A batch is on disk. `publish` lets everybody see what there is then, and gives it back as it is known now.
    pub(super) fn done(&self, batch: Batch, publish: impl FnOnce(&Snapshot) -> Arc<Snapshot>) {
        let last = batch.0.iter().rev().find_map(|waiting| waiting.after.as_ref());
        if let Some(last) = last {
            let now = publish(last);
            let mut inner = lock(&self.inner);
            if Arc::ptr_eq(&inner.tip, last) {
                inner.tip = now;
            }
        }
        for waiting in batch.0 {
            let _ = waiting.tell.send(Ok(()));
        }
    }

    /// A batch cannot be written: what there is, is `now`.
    pub(super) fn failed(&self, batch: Batch, now: &Arc<Snapshot>, error: &str) {
        let later = {
            let mut inner = lock(&self.inner);
            inner.tip = now.clone();
            inner.failures += 1;
            std::mem::take(&mut inner.waiting)
        };
        for waiting in batch.0.into_iter().chain(later) {
            let _ = waiting.tell.send(Err(error.to_owned()));
        }
    }

    /// What there is changed otherwise; nothing waits.
    pub(super) fn reset(&self, now: Arc<Snapshot>) {
        lock(&self.inner).tip = now;
    }
}
