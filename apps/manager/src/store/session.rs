//! The one connection by which a manager writes to PostgreSQL, and which is never replaced.
//!
//! The server lets the session hold the writer's lock for as long as the session lives. A manager whose session
//! is gone therefore cannot write any more, and whoever writes next starts from what the database holds.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};
use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio::time::timeout;

/// A statement that takes longer has met a server or a network that is gone.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);
/// How often an idle session is asked whether it lives.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// How long it has to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// The session, for all who write.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    inner: Arc<Mutex<Inner>>,
    lost: watch::Sender<bool>,
}

#[derive(Debug)]
struct Inner {
    /// `None` once it is closed or lost.
    connection: Option<PgConnection>,
    /// A transaction was begun, and nobody has ended it yet.
    begun: bool,
}

/// The session in one hand: a statement, or a transaction.
pub(crate) struct Unit {
    inner: OwnedMutexGuard<Inner>,
    lost: watch::Sender<bool>,
}

impl Session {
    /// Over a connection that holds the writer's lock.
    pub(crate) fn new(connection: PgConnection) -> Self {
        let inner = Inner { connection: Some(connection), begun: false };
        Self { inner: Arc::new(Mutex::new(inner)), lost: watch::Sender::new(false) }
    }

    /// Waits for the session to be free; undoes what was dropped halfway.
    pub(crate) async fn lock(&self) -> sqlx::Result<Unit> {
        let mut unit = Unit { inner: self.inner.clone().lock_owned().await, lost: self.lost.clone() };
        if unit.inner.begun {
            unit.run(async |connection| connection.execute("ROLLBACK").await).await?;
            unit.inner.begun = false;
        }
        Ok(unit)
    }

    /// Begins a transaction.
    pub(crate) async fn begin(&self) -> sqlx::Result<Unit> {
        let mut unit = self.lock().await?;
        unit.inner.begun = true;
        unit.run(async |connection| connection.execute("BEGIN").await).await?;
        Ok(unit)
    }

    /// Waits for whoever has it and closes it.
    pub(crate) async fn close(&self) {
        let connection = self.inner.lock().await.connection.take();
        if let Some(connection) = connection {
            let _ = timeout(PING_TIMEOUT, connection.close()).await;
        }
    }

    /// Returns when the session is gone.
    pub(crate) async fn lost(&self) {
        let mut lost = self.lost.subscribe();
        loop {
            if timeout(PING_INTERVAL, lost.wait_for(|lost| *lost)).await.is_ok() {
                return;
            }
            // Whoever has the session right now finds out by its own statement.
            if let Ok(inner) = self.inner.clone().try_lock_owned() {
                let mut unit = Unit { inner, lost: self.lost.clone() };
                let _ = unit.run_within(PING_TIMEOUT, async |connection| connection.ping().await).await;
            }
        }
    }
}

impl Unit {
    /// Runs a statement.
    pub(crate) async fn run<T>(
        &mut self,
        statement: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        self.run_within(STATEMENT_TIMEOUT, statement).await
    }

    /// Ends the transaction: it lasts.
    pub(crate) async fn commit(mut self) -> sqlx::Result<()> {
        self.run(async |connection| connection.execute("COMMIT").await).await?;
        self.inner.begun = false;
        Ok(())
    }

    async fn run_within<T>(
        &mut self,
        time: Duration,
        statement: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        let connection = self.inner.connection.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        let done = timeout(time, statement(connection)).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        if let Err(error) = &done
            && ends_session(error)
        {
            tracing::error!(%error, "the session with the database is lost");
            self.inner.connection = None;
            self.lost.send_replace(true);
        }
        done
    }
}

/// Whether nothing can be said to the server any more, as against: it refused a statement.
fn ends_session(error: &sqlx::Error) -> bool {
    match error {
        // 57P01 to 57P05: the administrator or a crash ends the session.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("57P")),
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::PoolTimedOut => true,
        _ => false,
    }
}
