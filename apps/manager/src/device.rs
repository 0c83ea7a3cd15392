//! What is different where the XML API answers at a firewall's own address?
//!
//! Everything that is not in here is as on the manager: candidate, commit, versions, jobs, locks, administrators and
//! logs. A firewall's configuration is one device's; a commit hands it to the [`Device`], which puts it in force, and a
//! command that is not known here is one of the firewall's own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Context as _;
use bartizan_api::fleet::{ApiRequest, ApiResponse, LogRecord};
use bartizan_model::diagnostic::Diagnostic;
use bartizan_model::edit::overriding as overriding_element;
use bartizan_model::tree::{Child, Element};
use bartizan_model::xml;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use crate::accounts::{Caller, Door, Role};
use crate::app::App;
use crate::configuration::ApplyError;
use crate::configuration::edit::Edit;
use crate::http::parameters::Parameters;
use crate::store::Store;
use crate::store::traffic::LogBatch;
use crate::{PASSWORD_VARIABLE, accounts, files, http, jobs, logs, xmlapi};

/// The configuration of a firewall that was never touched: nothing of it is in force.
const FIRST_CONFIGURATION: &str = "<config version=\"11.2.0\" urldb=\"paloaltonetworks\">\
    <mgt-config><users><entry name=\"admin\"><permissions><role-based><superuser>yes</superuser></role-based>\
    </permissions></entry></users></mgt-config><shared/>\
    <devices><entry name=\"localhost.localdomain\"><vsys><entry name=\"vsys1\"/></vsys></entry></devices></config>";

/// What is awaited.
pub type Future<T> = Pin<Box<dyn std::future::Future<Output = T> + Send>>;

/// The firewall behind the API.
pub trait Device: Send + Sync {
    /// The serial number that its manager gave it, once it did.
    fn serial(&self) -> Option<String>;

    /// The host's name.
    fn hostname(&self) -> String;

    /// What is wrong with its own configuration together with what was pushed, and what is not enforced of it. `None`
    /// when it has none of its own.
    fn check(&self, local: Option<String>) -> Future<Vec<Diagnostic>>;

    /// Puts it in force, and has it kept; the warnings, or why nothing has changed.
    fn enforce(&self, local: Option<String>) -> Future<Result<Vec<Diagnostic>, Vec<Diagnostic>>>;

    /// What is in force, and what it consists of.
    fn parts(&self) -> Future<Parts>;

    /// Answers an operational command, or a `uid-message`, with the inner XML of `result`; or says what is wrong.
    fn command(&self, command: String) -> Future<Result<String, String>>;

    /// Names of the files with captured packets.
    fn captures(&self) -> Future<Result<Vec<String>, String>>;

    /// One of them; or says why it cannot be had.
    fn captured(&self, name: String) -> Future<Result<Vec<u8>, String>>;
}

/// Texts of configurations.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// What the manager pushed.
    pub pushed: Option<String>,
    /// The firewall's own.
    pub local: Option<String>,
    /// Both together, as they are in force.
    pub effective: Option<String>,
}

/// How the API of a firewall is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where candidate, versions, administrators and logs are kept.
    pub data_dir: PathBuf,
    /// Where clients connect to. Without it only the firewall's manager asks.
    pub listen: Option<SocketAddr>,
    /// Password of the first administrator, as for the manager.
    pub admin_password: Option<String>,
    /// Traffic log records that are kept.
    pub traffic_logs_max: u64,
}

/// The API of a firewall, which runs until it is stopped.
pub struct DeviceApi {
    app: Arc<App>,
    local_addr: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    _lock: files::DirectoryLock,
}

impl Settings {
    /// The usual limits.
    pub fn new(data_dir: impl Into<PathBuf>, listen: Option<SocketAddr>) -> Self {
        Self { data_dir: data_dir.into(), listen, admin_password: None, traffic_logs_max: 1_000_000 }
    }
}

impl DeviceApi {
    /// Opens the data directory, has in force what was committed last, and listens.
    ///
    /// # Errors
    /// When something of it cannot be had.
    pub async fn start(settings: Settings, device: Arc<dyn Device>) -> anyhow::Result<Self> {
        files::make_private_dir(&settings.data_dir)?;
        let lock = files::lock_directory(&settings.data_dir)?;
        let store = Store::open(&settings.data_dir, None).await?;
        let listener = match settings.listen {
            Some(address) => {
                Some(TcpListener::bind(address).await.with_context(|| format!("cannot listen on `{address}`"))?)
            }
            None => None,
        };
        let (stop, stopping) = watch::channel(false);
        let (app, log_writer) = open(settings, store, device, stopping.clone()).await?;
        catch_up(&app).await?;
        let mut tasks = vec![tokio::spawn(jobs::work(app.clone())), tokio::spawn(log_writer.run())];
        let mut local_addr = None;
        if let Some(listener) = listener {
            let address = listener.local_addr()?;
            tracing::info!("the XML API answers at https://{address}/api/");
            local_addr = Some(address);
            let app = app.clone();
            tasks.insert(
                0,
                tokio::spawn(async move {
                    if let Err(error) = http::serve(app, listener, stopping).await {
                        tracing::error!("the XML API ends: {error:#}");
                    }
                }),
            );
        }
        Ok(Self { app, local_addr, stop, tasks: Mutex::new(tasks), _lock: lock })
    }

    /// Where it listens; of use when the port was given as 0.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// Answers a request that the manager passes on.
    pub async fn answer(&self, request: ApiRequest) -> ApiResponse {
        let ApiRequest { id, administrator, host, role, rights, parameters } = request;
        let host = host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let caller = Caller { name: administrator, role: Role::from_wire(&role, &rights), host, door: Door::Xml };
        let parameters: Parameters = parameters.into_iter().map(|one| (one.name, one.value)).collect();
        let reply = xmlapi::answer_caller(&self.app, &caller, &parameters).await;
        ApiResponse { id, status: reply.status.into(), body: reply.body, file: reply.file.unwrap_or_default() }
    }

    /// Stores log records of this firewall; whether they are on disk.
    pub async fn store_logs(&self, boot_id: &str, sequence: u64, records: Vec<LogRecord>) -> bool {
        let serial = self.app.serial();
        let batch = LogBatch { serial, boot_id: boot_id.to_owned(), sequence, records };
        self.app.logs.store(batch).await.is_ok()
    }

    /// Lets connections finish and closes the database.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let mut tasks = self.tasks.lock().await.drain(..).collect::<Vec<_>>();
        if self.local_addr.is_some() && !tasks.is_empty() {
            let serving = tasks.remove(0);
            if serving.await.is_err() {
                tracing::error!("the XML API had panicked");
            }
        }
        tasks.iter().for_each(JoinHandle::abort);
        self.app.store.close().await;
    }
}

async fn open(
    settings: Settings,
    store: Store,
    device: Arc<dyn Device>,
    stopping: watch::Receiver<bool>,
) -> anyhow::Result<(Arc<App>, logs::Writer)> {
    let password = settings.admin_password.clone().or_else(|| std::env::var(PASSWORD_VARIABLE).ok());
    let first = settings.listen.is_some().then_some(password.as_deref());
    // Nobody connects to the address that stands for none.
    let listen = settings.listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let mut general = crate::Settings::new(&settings.data_dir, listen);
    general.traffic_logs_max = settings.traffic_logs_max;
    general.log_storage = u64::MAX;
    let (app, log_writer, made) = App::open(general, store, first, Some(device), stopping).await?;
    accounts::show_password(made)?;
    Ok((Arc::new(app), log_writer))
}

/// A crash between the firewall's disk and the database leaves one of them behind: what the database says was
/// committed is what is in force.
async fn catch_up(app: &App) -> anyhow::Result<()> {
    let Some(device) = &app.device else { return Ok(()) };
    let running = local_text(&app.configuration.snapshot().running);
    if device.parts().await.local == running {
        return Ok(());
    }
    match device.enforce(running).await {
        Ok(_) => tracing::info!("what was committed last is in force again"),
        Err(diagnostics) => {
            let lines: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
            tracing::error!("what was committed last is refused: {}", lines.join("; "));
        }
    }
    Ok(())
}

/// Edits of a firewall's own configuration; what overrides something that was pushed is compared with that. A manager's
/// are as they were.
///
/// # Errors
/// When there is nothing of that kind to override.
pub(crate) async fn overriding(app: &App, mut edits: Vec<Edit>) -> Result<Vec<Edit>, ApplyError> {
    let Some(device) = &app.device else { return Ok(edits) };
    if !edits.iter().any(|edit| matches!(edit, Edit::Override { .. })) {
        return Ok(edits);
    }
    let pushed = device.parts().await.pushed.unwrap_or_else(|| "<config/>".to_owned());
    let pushed = xml::parse(&pushed).map_err(|error| ApplyError::Store(anyhow::anyhow!("{error}")))?;
    let candidate = app.configuration.snapshot().candidate.clone();
    for (index, edit) in edits.iter_mut().enumerate() {
        if let Edit::Override { xpath, element, is_checked } = edit {
            *element = overriding_element(&candidate, Some(&pushed), xpath, element)
                .map_err(|error| ApplyError::Edit { index, failure: error.into() })?;
            *is_checked = true;
        }
    }
    Ok(edits)
}

/// The configuration of a firewall that nobody has touched.
pub(crate) fn first_configuration() -> &'static str {
    FIRST_CONFIGURATION
}

/// What of a firewall's tree is for the firewall: everything but who administers it. `None` while nothing was
/// committed.
pub(crate) fn local_text(tree: &Element) -> Option<String> {
    let without = |tree: &Element| {
        let mut tree = tree.clone();
        tree.children.retain(|child| !matches!(child, Child::Element(child) if &*child.name == "mgt-config"));
        xml::write(&tree)
    };
    let text = without(tree);
    let first = xml::parse(FIRST_CONFIGURATION).map(|first| without(&first)).ok();
    (first.as_ref() != Some(&text)).then_some(text)
}
