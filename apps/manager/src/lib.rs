//! The manager: where administrators write the configuration and from where firewalls get it.
//!
//! A request comes in by [`http`], is answered by [`xmlapi`], changes the [`configuration`] or becomes one
//! of the [`jobs`]; pushes and logs travel over the [`fleet`]'s streams; the [`store`] survives.

mod accounts;
mod app;
mod configuration;
mod files;
mod fleet;
mod http;
mod jobs;
mod locks;
mod logs;
pub mod outside;
mod pki;
mod random;
mod store;
mod sync;
mod times;
mod tls;
mod topology;
mod xmlapi;

pub use store::DatabaseUrl;
pub use xmlapi::endpoints;

use std::future::Future;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use app::App;

/// Environment variable with the first administrator's password.
pub const PASSWORD_VARIABLE: &str = "BARTIZAN_ADMIN_PASSWORD";

/// How a manager is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// The PostgreSQL server with the database; without, it is a file in `data_dir`.
    pub database: Option<DatabaseUrl>,
    /// Where clients and firewalls connect to.
    pub listen: SocketAddr,
    /// Password of the first administrator, `admin`, at the first start. When absent, [`PASSWORD_VARIABLE`]
    /// is read, and when that is absent too, a password is made and printed once.
    pub admin_password: Option<String>,
    /// Traffic log rows that are kept.
    pub traffic_logs_max: u64,
    /// How long a device has to put a pushed configuration in force.
    pub push_timeout: Duration,
    /// How long a device that took a push back has to come back and say so, beyond the window that it had.
    pub confirm_grace: Duration,
    /// How long a device has to answer an operational command.
    pub command_timeout: Duration,
}

/// A manager that listens, but does not serve yet.
pub struct Manager {
    app: Arc<App>,
    listener: TcpListener,
    log_writer: logs::Writer,
    stop: watch::Sender<bool>,
    lock: files::DirectoryLock,
}

/// Runs a manager until SIGTERM or SIGINT.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let manager = Manager::start(settings).await?;
    manager
        .serve(async move {
            tokio::select! {
                _ = terminate.recv() => (),
                _ = interrupt.recv() => (),
            }
        })
        .await
}

impl Settings {
    /// The usual limits.
    pub fn new(data_dir: impl Into<PathBuf>, listen: SocketAddr) -> Self {
        Self {
            data_dir: data_dir.into(),
            database: None,
            listen,
            admin_password: None,
            traffic_logs_max: 1_000_000,
            push_timeout: Duration::from_secs(60),
            confirm_grace: Duration::from_secs(30),
            command_timeout: Duration::from_secs(20),
        }
    }
}

impl Manager {
    /// Opens the data directory and the listener.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        files::make_private_dir(&settings.data_dir)?;
        let lock = files::lock_directory(&settings.data_dir)?;
        let listener = TcpListener::bind(settings.listen)
            .await
            .with_context(|| format!("cannot listen on `{}`", settings.listen))?;
        let (stop, stopping) = watch::channel(false);
        let password = settings.admin_password.clone().or_else(|| std::env::var(PASSWORD_VARIABLE).ok());
        let (app, log_writer, made) = App::open(settings, password.as_deref(), stopping).await?;
        if let Some(password) = made {
            writeln!(
                std::io::stdout(),
                "first start: administrator `{}` has the password `{password}` (shown only now)",
                accounts::FIRST_ADMINISTRATOR
            )?;
        }
        Ok(Self { app: Arc::new(app), listener, log_writer, stop, lock })
    }

    /// Where it listens; of use when the port was given as 0.
    pub fn local_addr(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// SHA-256, hex, of the certificate of the manager's authority.
    pub fn fingerprint(&self) -> String {
        self.app.pki.fingerprint()
    }

    /// Serves until `shutdown` is ready, then lets connections finish.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { app, listener, log_writer, stop, lock } = self;
        tracing::info!(listen = %listener.local_addr()?, fingerprint = app.pki.fingerprint(), "the manager serves");
        let jobs = tokio::spawn(jobs::work(app.clone()));
        let logs = tokio::spawn(log_writer.run());
        let stopping = stop.subscribe();
        let serving = http::serve(app.clone(), listener, stopping);
        tokio::pin!(serving);
        let served = tokio::select! {
            served = &mut serving => served,
            () = shutdown => {
                tracing::info!("the manager stops");
                stop.send_replace(true);
                serving.await
            }
            () = app.store.lost() => Err(anyhow::anyhow!("the connection to the database is lost")),
        };
        jobs.abort();
        logs.abort();
        app.store.close().await;
        drop(lock);
        served
    }
}

/// Locks; a panic of another thread while it held the lock left the data as it was between two statements,
/// which none of our critical sections minds.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
