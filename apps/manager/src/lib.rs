//! The manager: where administrators write the configuration and from where firewalls get it.
//!
//! A request comes in by [`http`], is answered by [`xmlapi`] or [`json`], changes the [`configuration`] or becomes one
//! of the [`jobs`]; pushes and logs travel over the [`fleet`]'s streams; the [`store`] survives.

mod accounts;
mod app;
mod approvals;
mod automation;
pub mod backup;
mod certificates;
mod configuration;
mod coverage;
pub mod device;
mod files;
mod fleet;
mod forwarding;
mod http;
mod inventory;
mod jobs;
mod json;
mod locks;
mod logs;
mod migration;
pub mod outside;
mod pki;
mod random;
mod refusal;
mod rules;
mod schedules;
mod secrets;
mod selective;
mod store;
mod sync;
mod tags;
mod times;
mod tls;
mod topology;
mod variables;
mod web;
mod xmlapi;

pub use json::{Access, endpoints as json_endpoints};
pub use store::DatabaseUrl;
pub use xmlapi::endpoints;

use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use app::App;
use store::{Member, Store};

/// Environment variable with the first administrator's password.
pub const PASSWORD_VARIABLE: &str = "BARTIZAN_ADMIN_PASSWORD";

/// How long a manager that lost its database waits before it tries to have it again.
const RETRY: Duration = Duration::from_secs(1);

/// Bytes of a GiB.
pub const GIB: u64 = 1 << 30;

/// How long a manager that leads waits for its listen address.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(20);

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
    /// Traffic log records that are kept.
    pub traffic_logs_max: u64,
    /// Bytes on the disk for logs; the configuration says which share the traffic log has.
    pub log_storage: u64,
    /// How long a device has to put a pushed configuration in force.
    pub push_timeout: Duration,
    /// How long a device that took a push back has to come back and say so, beyond the window that it had.
    pub confirm_grace: Duration,
    /// How long a device has to answer an operational command.
    pub command_timeout: Duration,
    /// Whether everybody who reaches the port may read `/metrics`.
    pub metrics_open: bool,
}

/// A manager that listens, but does not serve yet.
pub struct Manager {
    app: Arc<App>,
    listener: TcpListener,
    log_writer: logs::Writer,
    stop: watch::Sender<bool>,
    lock: files::DirectoryLock,
}

/// How a manager ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was asked to.
    Asked,
    /// The database's server ended its session, so that another manager may lead.
    Lost,
}

/// Runs a manager until SIGTERM or SIGINT. One that lost its database stands by until it may lead again.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (asked, _) = watch::channel(false);
    let stop = asked.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
        stop.send_replace(true);
    });
    let asked = async || drop(asked.subscribe().wait_for(|asked| *asked).await);
    let mut has_led = false;
    loop {
        let started = tokio::select! {
            started = Manager::start(settings.clone()) => started,
            () = asked() => return Ok(()),
        };
        match started {
            Ok(manager) => match manager.serve(asked()).await? {
                End::Asked => return Ok(()),
                End::Lost => has_led = true,
            },
            Err(error) if has_led => tracing::error!("{error:#}; trying again"),
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => (),
            () = asked() => return Ok(()),
        }
    }
}

impl Settings {
    /// The usual limits.
    pub fn new(data_dir: impl Into<PathBuf>, listen: SocketAddr) -> Self {
        Self {
            data_dir: data_dir.into(),
            database: None,
            listen,
            admin_password: None,
            traffic_logs_max: 200_000_000,
            log_storage: 20 * GIB,
            push_timeout: Duration::from_secs(60),
            confirm_grace: Duration::from_secs(30),
            command_timeout: Duration::from_secs(20),
            metrics_open: false,
        }
    }
}

impl Manager {
    /// Opens the data directory, the database and the listener. Where several managers share a database, it returns
    /// when this one leads.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        files::make_private_dir(&settings.data_dir)?;
        let lock = files::lock_directory(&settings.data_dir)?;
        let store = open_store(&settings).await?;
        let listener = listen(&settings).await.with_context(|| format!("cannot listen on `{}`", settings.listen))?;
        let (stop, stopping) = watch::channel(false);
        let password = settings.admin_password.clone().or_else(|| std::env::var(PASSWORD_VARIABLE).ok());
        let (app, log_writer, made) = App::open(settings, store, Some(password.as_deref()), None, stopping).await?;
        accounts::show_password(made)?;
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
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<End> {
        let Self { app, listener, log_writer, stop, lock } = self;
        tracing::info!(listen = %listener.local_addr()?, fingerprint = app.pki.fingerprint(), "the manager serves");
        let jobs = tokio::spawn(jobs::work(app.clone()));
        let deliveries = tokio::spawn(jobs::deliver::work(app.clone()));
        let schedules = tokio::spawn(schedules::run::watch(app.clone()));
        let logs = tokio::spawn(log_writer.run());
        let forwarding = tokio::spawn(forwarding::run(app.clone()));
        let expiring = tokio::spawn(tags::run(app.clone()));
        let automating = tokio::spawn(automation::run(app.clone()));
        let stopping = stop.subscribe();
        let serving = http::serve(app.clone(), listener, stopping);
        tokio::pin!(serving);
        let served = tokio::select! {
            served = &mut serving => served.map(|()| End::Asked),
            () = shutdown => {
                tracing::info!("the manager stops");
                stop.send_replace(true);
                serving.await.map(|()| End::Asked)
            }
            () = app.store.lost() => {
                tracing::error!("the database is lost: this manager serves nobody until it leads again");
                stop.send_replace(true);
                serving.await.map(|()| End::Lost)
            }
        };
        deliveries.abort();
        forwarding.abort();
        expiring.abort();
        automating.abort();
        schedules.abort();
        jobs.abort();
        logs.abort();
        app.store.close().await;
        drop(lock);
        served
    }
}

/// A leader before us that has lost the database may still have the address: it lets its connections finish.
async fn listen(settings: &Settings) -> std::io::Result<TcpListener> {
    let until = Instant::now() + LISTEN_TIMEOUT;
    loop {
        match TcpListener::bind(settings.listen).await {
            Err(error)
                if error.kind() == ErrorKind::AddrInUse && settings.database.is_some() && Instant::now() < until =>
            {
                tokio::time::sleep(RETRY).await;
            }
            bound => return bound,
        }
    }
}

async fn open_store(settings: &Settings) -> anyhow::Result<Store> {
    let Some(url) = &settings.database else {
        return Store::open(&settings.data_dir, None).await;
    };
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = format!("{}, {}", host.trim(), settings.listen);
    let authority = pki::fingerprint_in(&settings.data_dir)?;
    Store::open(&settings.data_dir, Some(Member { url, name: &name, authority: authority.as_deref() })).await
}

/// Locks; a panic of another thread while it held the lock left the data as it was between two statements,
/// which none of our critical sections minds.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
