//! The controller of one Kubernetes cluster: what do the firewalls have to know of its addresses?
//!
//! It watches ([`watch`]) the objects on which tags depend, works out which tags each address is to have ([`cluster`]), and
//! tells the manager ([`register`]), which gives them to the firewalls. Then it tells the policies ([`policies`], [`tell`]), of
//! which the manager makes rules, and writes beside them what became of them ([`states`]). It dials both; nothing dials it but
//! whoever looks at its health, and the API server, which asks whether a policy is good ([`webhook`]).

mod catalogue;
pub mod cluster;
mod health;
pub mod labels;
pub mod lease;
mod manager;
pub mod objects;
pub mod policies;
mod register;
mod said;
mod services;
mod states;
pub mod tags;
mod tell;
mod watch;
pub mod webhook;

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch as channel};
use tokio::task::JoinHandle;

use crate::cluster::{Change, Cluster, Tagging};
use crate::health::Status;
use crate::lease::{Election, Role};
pub use crate::manager::Connector;
use crate::manager::{Manager, Renewal, Standing};
use crate::register::Registrar;
use crate::tell::Teller;

/// Events that are taken at once before the manager is told.
const EVENTS: usize = 4096;
/// What happens within this time of an event is told together with it.
const TOGETHER: Duration = Duration::from_millis(10);

/// How a controller is set up.
pub struct Settings {
    /// Where the cluster is.
    pub api: kube::Config,
    /// Where the manager is: `https://HOST:PORT`.
    pub manager: String,
    /// What connects to it.
    pub connector: Connector,
    /// A file with an API key.
    pub key_file: PathBuf,
    /// The cluster's name.
    pub cluster: String,
    /// The id of its tunnels.
    pub cluster_id: Option<u16>,
    /// Which tags there are.
    pub tagging: Tagging,
    /// How long the manager keeps the tags of a controller that is silent.
    pub ttl: Duration,
    /// Namespace and name of the Lease.
    pub lease: (String, String),
    /// The own name in the Lease.
    pub identity: String,
    /// Where health and metrics are told.
    pub listen: SocketAddr,
    /// Where the API server asks about policies, if it does.
    pub webhook: Option<webhook::Settings>,
}

/// A controller that is about to run.
pub struct Controller {
    settings: Settings,
    client: Client,
    listener: TcpListener,
    webhook: Option<TcpListener>,
}

/// Where the cluster is: by a kubeconfig, or within a pod by its service account.
///
/// # Errors
/// When there is none, or it cannot be read.
pub async fn api(kubeconfig: Option<&Path>) -> anyhow::Result<kube::Config> {
    let Some(path) = kubeconfig else {
        return kube::Config::incluster()
            .context("this is no pod with a service account: name a kubeconfig by `--kubeconfig`");
    };
    let read = Kubeconfig::read_from(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let options = KubeConfigOptions::default();
    kube::Config::from_custom_kubeconfig(read, &options)
        .await
        .with_context(|| format!("`{}` does not say where the cluster is", path.display()))
}

impl Controller {
    /// Listens for those who look at its health; nothing else is asked yet.
    ///
    /// # Errors
    /// When it cannot listen, or the place of the cluster makes no sense.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let client = Client::try_from(settings.api.clone()).context("the cluster's API server cannot be asked")?;
        let listener = bind(settings.listen).await?;
        let webhook = match &settings.webhook {
            Some(webhook) => Some(bind(webhook.listen).await?),
            None => None,
        };
        Ok(Self { settings, client, listener, webhook })
    }

    /// Where it listens; of use when the port was given as 0.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Where the API server asks about policies; of use when the port was given as 0.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn webhook_addr(&self) -> anyhow::Result<Option<SocketAddr>> {
        Ok(self.webhook.as_ref().map(TcpListener::local_addr).transpose()?)
    }

    /// Runs until `shutdown` is ready. The tags stay at the manager until their time is over.
    ///
    /// # Errors
    /// When health cannot be told any more, or policies not be judged.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { settings, client, listener, webhook } = self;
        let status = Arc::new(Status::default());
        let (stop, stopping) = channel::channel(false);
        let router = health::router(status.clone());
        let health = tokio::spawn(async move { axum::serve(listener, router).await });
        let (role, election) = elect(&settings, &client, stopping);
        let (changes, mut watches) = watch::all(&client, &status);
        let manager = Arc::new(Manager::new(&settings.manager, settings.connector.clone(), settings.key_file.clone()));
        let (say, standing) = channel::channel(None);
        watches.spawn(tell::listen(manager.clone(), settings.cluster.clone(), role.clone(), say));
        let writer = states::Writer {
            client,
            cluster: settings.cluster.clone(),
            me: settings.identity.clone(),
            status: status.clone(),
        };
        watches.spawn(writer.run(role.clone(), standing.clone()));
        let (say, catalogue) = channel::channel(None);
        watches.spawn(catalogue::ask(manager.clone(), settings.cluster.clone(), say));
        let basis = Arc::new(webhook::Basis::of_cluster(&settings.cluster));
        let judging = judge(settings.webhook.clone().zip(webhook), basis.clone(), status.clone());
        let now = Instant::now();
        let teller = Teller::new(manager.clone(), &settings.cluster, &settings.identity, status.clone(), now);
        let registrar = registrar(manager, &settings, &status);
        let following = Following {
            cluster: Cluster::new(settings.tagging),
            registrar,
            teller,
            changes,
            role,
            standing,
            catalogue,
            basis,
            status: status.clone(),
        };
        let outcome = tokio::select! {
            () = following.run() => Ok(()),
            ended = judging => ended.context("policies cannot be judged any more"),
            ended = health => ended.context("the listener ended")?.context("health cannot be told any more"),
            () = shutdown => Ok(()),
        };
        tracing::info!("the controller stops; the tags stay at the manager");
        drop(watches);
        stop.send_replace(true);
        let _ = tokio::time::timeout(Duration::from_secs(5), election).await;
        outcome
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on `{address}`"))
}

/// Judges policies, if it is to.
async fn judge(
    webhook: Option<(webhook::Settings, TcpListener)>,
    basis: Arc<webhook::Basis>,
    status: Arc<Status>,
) -> anyhow::Result<()> {
    match webhook {
        Some((settings, listener)) => webhook::run(settings, listener, basis, status).await,
        None => std::future::pending().await,
    }
}

fn elect(
    settings: &Settings,
    client: &Client,
    stopping: channel::Receiver<bool>,
) -> (channel::Receiver<Role>, JoinHandle<()>) {
    let (namespace, name) = settings.lease.clone();
    let election = Election { api: Api::namespaced(client.clone(), &namespace), name, me: settings.identity.clone() };
    let (say, role) = channel::channel(Role::Unsure);
    (role, tokio::spawn(async move { election.run(&say, stopping).await }))
}

fn registrar(manager: Arc<Manager>, settings: &Settings, status: &Arc<Status>) -> Registrar {
    let renewal = Renewal {
        cluster_id: settings.cluster_id,
        controller: settings.identity.clone(),
        ttl_s: settings.ttl.as_secs(),
        objects: Default::default(),
    };
    Registrar::new(manager, &settings.cluster, renewal, status.clone(), Instant::now())
}

/// Who learns what happens, and tells it.
struct Following {
    cluster: Cluster,
    registrar: Registrar,
    teller: Teller,
    changes: mpsc::Receiver<Change>,
    role: channel::Receiver<Role>,
    standing: channel::Receiver<Option<Arc<Standing>>>,
    catalogue: channel::Receiver<Option<Arc<catalogue::Told>>>,
    basis: Arc<webhook::Basis>,
    status: Arc<Status>,
}

impl Following {
    /// Until nothing happens any more.
    async fn run(mut self) {
        loop {
            let now = *self.role.borrow_and_update();
            self.status.is(now);
            if now != Role::Leader {
                self.registrar.forget();
                self.teller.forget();
            }
            let wakes = self.wakes(now == Role::Leader);
            tokio::select! {
                change = self.changes.recv() => {
                    let Some(change) = change else { return };
                    self.cluster.learn(change);
                    let taken = 1 + take(&mut self.cluster, &mut self.changes).await;
                    self.status.happened(taken, self.cluster.is_listed());
                }
                () = tokio::time::sleep_until(wakes.into()), if now != Role::Standby => {}
                changed = self.role.changed() => if changed.is_err() { return },
                changed = self.standing.changed() => {
                    if changed.is_err() { return }
                    self.hear();
                }
                changed = self.catalogue.changed() => {
                    if changed.is_err() { return }
                    self.hear_catalogue();
                }
            }
            if let Some(namespaces) = self.cluster.policies.take_namespaces() {
                let namespaces = Arc::new(namespaces);
                self.basis.learn(|known| known.namespaces = namespaces);
            }
            self.cluster.policies.refresh(Instant::now());
            self.status.policies(self.cluster.policies.counts());
            let now = *self.role.borrow();
            if now != Role::Standby {
                self.work(now == Role::Leader).await;
            }
        }
    }

    fn wakes(&self, tells: bool) -> Instant {
        let mut wakes = self.registrar.wakes(&self.cluster, tells);
        if tells && self.registrar.has_told(&self.cluster) {
            wakes = self.teller.wakes(&self.cluster.policies).map_or(wakes, |telling| telling.min(wakes));
        }
        self.cluster.policies.wakes().map_or(wakes, |letting_go| letting_go.min(wakes))
    }

    fn hear(&mut self) {
        let Some(standing) = self.standing.borrow_and_update().clone() else { return };
        let groups = standing
            .groups
            .as_ref()
            .map(|groups| groups.iter().map(|(tag, group)| (Arc::<str>::from(tag.as_str()), group.clone())).collect());
        self.cluster.policies.heard(groups, standing.enforced());
    }

    fn hear_catalogue(&mut self) {
        let Some(told) = self.catalogue.borrow_and_update().clone() else { return };
        self.cluster.policies.set(told.settings);
        let catalogue = Arc::new(told.catalogue.clone());
        self.basis.learn(|known| known.catalogue = Some(catalogue));
    }

    /// Tags first: when the manager makes rules of what it is told, their groups have members.
    async fn work(&mut self, tells: bool) {
        self.registrar.work(&mut self.cluster, tells).await;
        if let Some(digest) = self.registrar.take_policies_digest() {
            self.teller.heard(digest);
        }
        if tells && self.registrar.has_told(&self.cluster) {
            self.teller.work(&self.cluster.policies).await;
        }
    }
}

/// Takes what comes at the same time.
async fn take(cluster: &mut Cluster, changes: &mut mpsc::Receiver<Change>) -> usize {
    let until = tokio::time::Instant::now() + TOGETHER;
    let mut taken = 0;
    while taken < EVENTS {
        match tokio::time::timeout_at(until, changes.recv()).await {
            Ok(Some(change)) => cluster.learn(change),
            Ok(None) | Err(_) => break,
        }
        taken += 1;
    }
    taken
}
