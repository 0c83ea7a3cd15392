//! How do many small changes reach the disk at the price of one?
//!
//! Whoever has something to write adds it and waits for the turn; who gets it writes all that was added meanwhile in one
//! transaction, and tells the others what became of theirs.

use std::sync::Mutex;

use tokio::sync::{Mutex as AsyncMutex, oneshot};

use crate::lock;

type Tell = oneshot::Sender<Result<bool, String>>;

/// Changes that wait for the disk.
#[derive(Debug)]
pub(super) struct Together<T> {
    waiting: Mutex<Vec<(T, Tell)>>,
    turn: AsyncMutex<()>,
}

impl<T> Default for Together<T> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), turn: AsyncMutex::default() }
    }
}

impl<T> Together<T> {
    /// Returns when the change is on disk, with what it made of it. `write` gets all that wait, and gives an outcome for
    /// each.
    ///
    /// # Errors
    /// When they could not be written: none of them was.
    pub(super) async fn write(
        &self,
        change: T,
        write: impl AsyncFnOnce(&[T]) -> sqlx::Result<Vec<bool>>,
    ) -> sqlx::Result<bool> {
        let (tell, mut told) = oneshot::channel();
        lock(&self.waiting).push((change, tell));
        let _turn = self.turn.lock().await;
        match told.try_recv() {
            Ok(outcome) => return outcome.map_err(sqlx::Error::Protocol),
            Err(oneshot::error::TryRecvError::Closed) => return Err(sqlx::Error::WorkerCrashed),
            Err(oneshot::error::TryRecvError::Empty) => {}
        }
        let (changes, tells): (Vec<T>, Vec<Tell>) = std::mem::take(&mut *lock(&self.waiting)).into_iter().unzip();
        let written = write(&changes).await.map_err(|error| error.to_string());
        let outcome = |at: usize| match &written {
            Ok(outcomes) => Ok(outcomes.get(at).copied().unwrap_or_default()),
            Err(error) => Err(error.clone()),
        };
        for (at, tell) in tells.into_iter().enumerate() {
            let _ = tell.send(outcome(at));
        }
        told.try_recv().map_err(|_| sqlx::Error::WorkerCrashed)?.map_err(sqlx::Error::Protocol)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_waits_is_written_at_once_and_fails_at_once() {
        let together = Together::default();
        let writes = AtomicUsize::new(0);
        let write = async |number: u32| {
            together
                .write(number, async |numbers: &[u32]| {
                    writes.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                    if numbers.contains(&9) {
                        return Err(sqlx::Error::PoolClosed);
                    }
                    Ok(numbers.iter().map(|number| number % 2 == 0).collect())
                })
                .await
        };
        let (one, two, three) = tokio::join!(write(1), write(2), write(3));
        assert_eq!((one.unwrap(), two.unwrap(), three.unwrap()), (false, true, false));
        assert!(writes.load(Ordering::Relaxed) <= 2, "the second and the third went together");
        let (four, five, nine) = tokio::join!(write(4), write(5), write(9));
        assert!(nine.is_err() && (four.is_ok() || five.is_err()));
        assert!(write(6).await.unwrap());
    }
}
