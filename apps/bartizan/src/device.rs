//! The firewall's own XML API: the manager's implementation of it in front, the firewall behind.
//!
//! The two crates do not know each other. Here one gets what the other wants: the API a device that puts a committed
//! configuration in force, and the firewall an API for what its manager passes on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bartizan_api::fleet::{ApiRequest, ApiResponse};
use bartizan_firewall::api::{Api, Future, Start};
use bartizan_firewall::capture::Order;
use bartizan_firewall::control;
use bartizan_firewall::firewall::Firewall;
use bartizan_firewall::logs::spool::{BYTES_MAX, RECORDS_MAX, Spool};
use bartizan_firewall::manager::LogQueue;
use bartizan_firewall::store::{Local, Store};
use bartizan_manager::device::{Device, DeviceApi, Parts, Settings};
use bartizan_model::diagnostic::Diagnostic;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Where in the state directory the API keeps what it has.
const DIRECTORY: &str = "api";
const NO_CAPTURE: &str = "packet capture has not been started";

/// What starts the API once the firewall is up. Without an address only the manager asks, and the logs are its.
pub(crate) fn start(state_directory: PathBuf, listen: Option<SocketAddr>) -> Start {
    Box::new(move |firewall, store| {
        Box::pin(async move {
            let device = Arc::new(Enforcer { firewall, store });
            let settings = Settings::new(state_directory.join(DIRECTORY), listen);
            // Migrations are a future that the compiler cannot prove to be `Send` (rust-lang/rust#100013).
            let started = || Handle::current().block_on(DeviceApi::start(settings, device));
            let api = Arc::new(tokio::task::block_in_place(started)?);
            let logs = listen.map(|_| LogKeeper::start(&api));
            Ok(Arc::new(Served { api, logs }) as Arc<dyn Api>)
        })
    })
}

/// The firewall, as the API wants it.
struct Enforcer {
    firewall: Arc<Firewall>,
    store: Arc<Store>,
}

impl Device for Enforcer {
    fn serial(&self) -> Option<String> {
        let identity = self.store.identity().inspect_err(|error| tracing::error!("the serial number: {error:#}"));
        identity.ok().flatten().map(|identity| identity.serial)
    }

    fn hostname(&self) -> String {
        bartizan_firewall::hostname()
    }

    fn check(&self, local: Option<String>) -> Future<Vec<Diagnostic>> {
        let firewall = Arc::clone(&self.firewall);
        Box::pin(async move {
            let (Ok(diagnostics) | Err(diagnostics)) = firewall.check_local(local.map(own)).await;
            diagnostics
        })
    }

    fn enforce(&self, local: Option<String>) -> Future<Result<Vec<Diagnostic>, Vec<Diagnostic>>> {
        let (firewall, store) = (Arc::clone(&self.firewall), Arc::clone(&self.store));
        Box::pin(async move {
            let done = firewall.enforce_local(local.map(own), |local| store.keep_local(local)).await?;
            tracing::info!("the firewall's own configuration is enforced ({} us)", done.swap.as_micros());
            Ok(done.warnings)
        })
    }

    fn parts(&self) -> Future<Parts> {
        let firewall = Arc::clone(&self.firewall);
        Box::pin(async move {
            let parts = firewall.parts().await;
            Parts {
                pushed: parts.pushed.map(|pushed| pushed.text.clone()),
                local: parts.local.map(|local| local.text.clone()),
                effective: firewall.running().map(|running| running.text.to_string()),
            }
        })
    }

    fn command(&self, command: String) -> Future<Result<String, String>> {
        let firewall = Arc::clone(&self.firewall);
        Box::pin(async move { control::answer_xml(&command, &firewall).await })
    }

    fn captures(&self) -> Future<Result<Vec<String>, String>> {
        let firewall = Arc::clone(&self.firewall);
        Box::pin(async move {
            let view = firewall.capture().ok_or(NO_CAPTURE)?.order(Order::Show).await?;
            Ok(view.files.into_iter().map(|file| file.name).collect())
        })
    }

    fn captured(&self, name: String) -> Future<Result<Vec<u8>, String>> {
        let firewall = Arc::clone(&self.firewall);
        Box::pin(async move { firewall.capture().ok_or(NO_CAPTURE)?.read(&name).await })
    }
}

fn own(text: String) -> Local {
    Local { text }
}

/// The API, as the firewall wants it.
struct Served {
    api: Arc<DeviceApi>,
    logs: Option<LogKeeper>,
}

impl Api for Served {
    fn answer(&self, request: ApiRequest) -> Future<ApiResponse> {
        let api = Arc::clone(&self.api);
        Box::pin(async move { api.answer(request).await })
    }

    fn logs(&self) -> Option<Arc<LogQueue>> {
        self.logs.as_ref().map(|logs| Arc::clone(&logs.queue))
    }

    fn stop(&self) -> Future<()> {
        let api = Arc::clone(&self.api);
        if let Some(logs) = &self.logs {
            logs.task.abort();
        }
        Box::pin(async move { api.stop().await })
    }
}

/// Puts the firewall's log records into the API's database.
struct LogKeeper {
    queue: Arc<LogQueue>,
    task: JoinHandle<()>,
}

impl LogKeeper {
    fn start(api: &Arc<DeviceApi>) -> Self {
        let queue = Arc::new(LogQueue::new(Spool::new(RECORDS_MAX, BYTES_MAX)));
        let task = tokio::spawn(keep(Arc::clone(api), Arc::clone(&queue)));
        Self { queue, task }
    }
}

async fn keep(api: Arc<DeviceApi>, queue: Arc<LogQueue>) {
    let boot_id = bartizan_firewall::boot_id();
    loop {
        queue.some().await;
        while let Some(batch) = queue.with(Spool::next_batch) {
            if api.store_logs(&boot_id, batch.sequence, batch.records).await {
                queue.with(|spool| spool.stored(batch.sequence));
            } else {
                // The database says why in the log; they are tried again with the next ones.
                queue.with(Spool::rewind);
                break;
            }
        }
    }
}
