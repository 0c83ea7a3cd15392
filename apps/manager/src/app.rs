//! What does every request have at hand?

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use crate::accounts::Accounts;
use crate::automation::Automation;
use crate::configuration::{Configuration, FIRST_CONFIGURATION};
use crate::device::{Device, first_configuration};
use crate::fleet::Fleet;
use crate::forwarding::Forwarding;
use crate::jobs::Jobs;
use crate::jobs::check::Checker;
use crate::logs::query::Queries;
use crate::logs::{Logs, Room, Writer};
use crate::pki::Pki;
use crate::secrets::Secrets;
use crate::store::{AUTHORITY, Store};
use crate::sync::Renderings;
use crate::tags::Tags;
use crate::tls::Listener;
use crate::xmlapi::report::Reports;
use crate::{Settings, random};

/// The parts of a running manager.
pub(crate) struct App {
    /// How it is set up.
    pub(crate) settings: Settings,
    /// The database.
    pub(crate) store: Store,
    /// Certificates.
    pub(crate) pki: Pki,
    /// Keys in the configuration.
    pub(crate) secrets: Arc<Secrets>,
    /// What the listener shows.
    pub(crate) listener: Listener,
    /// Running and candidate.
    pub(crate) configuration: Arc<Configuration>,
    /// Administrators.
    pub(crate) accounts: Accounts,
    /// Jobs.
    pub(crate) jobs: Jobs,
    /// Checks of candidates.
    pub(crate) checker: Arc<Checker>,
    /// Attached devices.
    pub(crate) fleet: Fleet,
    /// Tags of addresses.
    pub(crate) tags: Tags,
    /// Policies of Kubernetes clusters.
    pub(crate) automation: Automation,
    /// The way of traffic logs to the disk.
    pub(crate) logs: Logs,
    /// What leaves of the logs.
    pub(crate) forwarding: Forwarding,
    /// Log queries under way.
    pub(crate) queries: Queries,
    /// Reports over the logs.
    pub(crate) reports: Reports,
    /// What devices would get, as far as it was asked already.
    pub(crate) renderings: Renderings,
    /// The firewall behind it, where this is a firewall's own API.
    pub(crate) device: Option<Arc<dyn Device>>,
    /// The manager's own serial number.
    serial: String,
    /// When it was started.
    pub(crate) started: Instant,
    /// Turns true when the manager stops.
    pub(crate) stop: watch::Receiver<bool>,
}

impl App {
    /// Opens what the data directory and the database hold; the first administrator gets the password, or one that is
    /// made, if anybody is to log in. Also returns what is to be run beside it, and the password that was made.
    pub(crate) async fn open(
        settings: Settings,
        store: Store,
        password: Option<Option<&str>>,
        device: Option<Arc<dyn Device>>,
        stop: watch::Receiver<bool>,
    ) -> anyhow::Result<(Self, Writer, Option<String>)> {
        let pki = Pki::open(&settings.data_dir, settings.listen)?;
        if settings.database.is_some() {
            store.fact(AUTHORITY, || pki.fingerprint()).await?;
        }
        store.seal_with(pki.secret("config log"));
        let serial = store
            .fact("serial", || format!("{}{}", if device.is_some() { "BZF" } else { "BZM" }, random::digits(12)))
            .await?;
        let first = if device.is_some() { first_configuration() } else { FIRST_CONFIGURATION };
        let secrets = Arc::new(Secrets::new(&pki.secret("configuration"))?);
        let listener = Listener::new(&pki, secrets.clone())?;
        let configuration = Arc::new(Configuration::open(store.clone(), secrets.clone(), first).await?);
        let (accounts, made) = Accounts::open(store.clone(), password).await?;
        let jobs = Jobs::open(store.clone()).await?;
        let tags = Tags::open(&store).await?;
        let automation = Automation::open(&store).await?;
        let room = Room { rows_max: settings.traffic_logs_max, storage: settings.log_storage };
        let (logs, writer) = Logs::new(store.clone(), configuration.clone(), room);
        let app = Self {
            settings,
            store,
            pki,
            secrets,
            listener,
            configuration,
            accounts,
            jobs,
            checker: Arc::default(),
            fleet: Fleet::default(),
            tags,
            automation,
            logs,
            forwarding: Forwarding::default(),
            queries: Queries::default(),
            reports: Reports::default(),
            renderings: Renderings::default(),
            device,
            serial,
            started: Instant::now(),
            stop,
        };
        Ok((app, writer, made))
    }

    /// What it is set up to keep of the logs.
    pub(crate) fn room(&self) -> Room {
        Room { rows_max: self.settings.traffic_logs_max, storage: self.settings.log_storage }
    }

    /// The own serial number: of a managed firewall what its manager gave it.
    pub(crate) fn serial(&self) -> String {
        self.device.as_ref().and_then(|device| device.serial()).unwrap_or_else(|| self.serial.clone())
    }
}
