//! What waits for its turn? First come, first served, a bounded number; whoever waits can be taken out again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::lock;

/// Work by the number of its job.
pub(super) struct Queue<T> {
    waiting: Mutex<VecDeque<Waiting<T>>>,
    places: Arc<Semaphore>,
    news: Notify,
}

struct Waiting<T> {
    id: u64,
    work: T,
    _place: OwnedSemaphorePermit,
}

impl<T> Queue<T> {
    /// An empty queue for so many.
    pub(super) fn new(places: usize) -> Self {
        Self { waiting: Mutex::default(), places: Arc::new(Semaphore::new(places)), news: Notify::new() }
    }

    /// A place, if there is one left. It is free again when it is dropped, or what got it has left the queue.
    pub(super) fn reserve(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// Puts work at the end.
    pub(super) fn put(&self, place: OwnedSemaphorePermit, id: u64, work: T) {
        lock(&self.waiting).push_back(Waiting { id, work, _place: place });
        self.news.notify_one();
    }

    /// The first one, once there is one. For one worker.
    pub(super) async fn next(&self) -> (u64, T) {
        loop {
            if let Some(first) = lock(&self.waiting).pop_front() {
                return (first.id, first.work);
            }
            self.news.notified().await;
        }
    }

    /// Takes a job's work out; whether it was still there.
    pub(super) fn remove(&self, id: u64) -> bool {
        let mut waiting = lock(&self.waiting);
        let at = waiting.iter().position(|one| one.id == id);
        at.and_then(|at| waiting.remove(at)).is_some()
    }

    /// How many have to go before it and with it.
    pub(super) fn position(&self, id: u64) -> Option<usize> {
        lock(&self.waiting).iter().position(|one| one.id == id).map(|at| at + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_comes_in_order_and_only_so_much_and_can_be_taken_out() {
        let queue = Queue::new(3);
        for id in 1..=3 {
            queue.put(queue.reserve().unwrap(), id, ());
        }
        assert!(queue.reserve().is_none());
        assert_eq!((queue.position(1), queue.position(3), queue.position(4)), (Some(1), Some(3), None));
        assert!(queue.remove(2) && !queue.remove(2));
        assert_eq!(queue.position(3), Some(2));
        drop(queue.reserve().unwrap());
        assert_eq!((queue.next().await.0, queue.next().await.0), (1, 3));
        assert!(tokio::time::timeout(std::time::Duration::from_millis(1), queue.next()).await.is_err());
        assert_eq!((0..4).filter_map(|_| queue.reserve()).collect::<Vec<_>>().len(), 3);
    }
}
