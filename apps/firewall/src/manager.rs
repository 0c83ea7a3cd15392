//! The link to the manager: one long-lived stream, dialled from here, over mutual TLS.
//!
//! The persisted configuration is in force before the manager is contacted, and stays in force while it
//! is away. What it sends is carried out in order; what it has to be told waits here, bounded. A push that cuts
//! this device from the manager is taken back: see `recovery`.

mod backoff;
mod enrol;
mod health;
mod recovery;
pub mod tls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bartizan_api::fleet::fleet_client::FleetClient;
use bartizan_api::fleet::{
    self, ApiRequest, ApiResponse, DeviceMessage, Hello, Logs, ManagerMessage, device_message, manager_message,
};
use bartizan_model::diagnostic::{Diagnostic, Severity};
use bartizan_model::tree::Element;
use bartizan_model::xml;
use tokio::sync::{Notify, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tracing::{error, info, warn};

use self::backoff::Backoff;
use self::recovery::Recovery;
use crate::api::Api;
use crate::auth_key::{AuthKey, Fingerprint};
use crate::firewall::Firewall;
use crate::logs::spool::Spool;
use crate::store::{Identity, Store};

/// Messages that wait for the stream.
const OUTBOX_MAX: usize = 64;
/// Logs leave this many places of the outbox to answers.
const OUTBOX_RESERVE: usize = OUTBOX_MAX / 2;
/// Configurations are as large as `model::xml::TEXT_BYTES_MAX`, and a little more with their envelope.
const MESSAGE_BYTES_MAX: usize = (64 << 20) + (1 << 20);
/// Largest answer that is sent; the manager takes no message of 32 MiB.
const ANSWER_BYTES_MAX: usize = 31 << 20;
/// A sign of health this often.
const HEALTH_INTERVAL: Duration = Duration::from_secs(5);
/// How long the manager may take to certify a new key.
const RENEWAL_LIMIT: Duration = Duration::from_secs(10);
/// How often the spool is looked at while the firewall waits to end.
const EMPTY_POLL: Duration = Duration::from_millis(20);
/// A stream that stood this long was a success: the next attempt is not delayed as after a failure.
const STEADY: Duration = Duration::from_secs(10);

/// Where the manager is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `HOST:PORT`.
    pub address: String,
    /// For enrolment; not needed once enrolled.
    pub auth_key: Option<AuthKey>,
    /// What this device calls itself.
    pub hostname: String,
}

/// Logs for the manager, shared with who writes them.
#[derive(Debug)]
pub struct LogQueue {
    spool: std::sync::Mutex<Spool>,
    news: Notify,
}

impl LogQueue {
    /// An empty queue.
    pub fn new(spool: Spool) -> Self {
        Self { spool: std::sync::Mutex::new(spool), news: Notify::new() }
    }

    /// Adds records.
    pub fn push(&self, records: impl IntoIterator<Item = fleet::LogRecord>) {
        self.with(|spool| records.into_iter().for_each(|record| spool.push(record)));
        self.news.notify_one();
    }

    /// Waits until records came since it was waited last.
    pub async fn some(&self) {
        self.news.notified().await;
    }

    /// Waits until the manager has stored everything.
    pub async fn emptied(&self) {
        while !self.with(|spool| spool.is_empty()) {
            tokio::time::sleep(EMPTY_POLL).await;
        }
    }

    /// Does something with the spool.
    pub fn with<T>(&self, work: impl FnOnce(&mut Spool) -> T) -> T {
        // Nothing panics while the lock is held; if it did, the spool would still be consistent.
        work(&mut self.spool.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// The link.
pub struct Link {
    /// Where to.
    pub settings: Settings,
    /// What survives restarts.
    pub store: Arc<Store>,
    /// What is managed.
    pub firewall: Arc<Firewall>,
    /// What it logs.
    pub logs: Arc<LogQueue>,
    /// Who answers the requests that the manager passes on.
    pub api: Option<Arc<dyn Api>>,
    /// Identifies this process among its predecessors.
    pub boot_id: String,
    /// Turns true when the firewall ends.
    pub stop: watch::Receiver<bool>,
}

impl Link {
    /// Keeps the link up until told to stop.
    pub async fn run(mut self) {
        let (store, firewall, logs) = (self.store.clone(), self.firewall.clone(), self.logs.clone());
        let recovery = Recovery::new(&self.settings.address, store, firewall, logs);
        if let Err(error) = recovery.resume().await {
            error!("whether the configuration is confirmed is not known: {error:#}");
        }
        self.keep_up(&recovery).await;
        recovery.end().await;
    }

    async fn keep_up(&mut self, recovery: &Arc<Recovery>) {
        let mut backoff = Backoff::default();
        let mut stop = self.stop.clone();
        while !*stop.borrow() {
            let start = Instant::now();
            let outcome = tokio::select! {
                outcome = self.connect_once(recovery) => outcome,
                () = recovery.reconnect.notified() => {
                    backoff.reset();
                    continue;
                }
                _ = stop.changed() => return,
            };
            if start.elapsed() >= STEADY {
                backoff.reset();
            }
            let pause = backoff.pause(rand::random());
            match outcome {
                Ok(()) => info!("the manager closed the connection; next attempt in {} ms", pause.as_millis()),
                Err(error) => {
                    warn!("manager {}: {error:#}; next attempt in {} ms", self.settings.address, pause.as_millis());
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = recovery.reconnect.notified() => backoff.reset(),
                _ = stop.changed() => return,
            }
        }
    }

    async fn connect_once(&mut self, recovery: &Arc<Recovery>) -> Result<()> {
        let identity = self.identity().await?;
        let channel = tls::connect_enrolled(&self.settings.address, &identity).await?;
        let (outbox, messages) = mpsc::channel(OUTBOX_MAX);
        say(&outbox, device_message::Body::Hello(self.hello(&identity, recovery).await?)).await?;
        let mut inbox = FleetClient::new(channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .attach(ReceiverStream::new(messages))
            .await
            .map_err(|status| anyhow::anyhow!("the manager refused: {}", status.message()))?
            .into_inner();
        info!("connected to the manager {} as {}", self.settings.address, identity.serial);
        self.logs.with(Spool::rewind);
        self.converse(&outbox, &mut inbox, (&channel, recovery)).await
    }

    /// Who this device is: from the store, or by enrolment.
    async fn identity(&self) -> Result<Identity> {
        let kept = self.store.identity()?;
        let key = &self.settings.auth_key;
        let serial = match (&kept, key) {
            (Some(identity), Some(key)) if Fingerprint::of(&identity.ca) != key.fingerprint() => {
                info!("the auth key is for another manager than the one that enrolled this device: enrolling anew");
                identity.serial.clone()
            }
            (Some(identity), _) => return Ok(identity.clone()),
            (None, _) => String::new(),
        };
        let key = key.as_ref().context("this device is not enrolled: start it with `--auth-key`")?;
        let identity =
            enrol::enrol(&self.settings.address, key, &self.settings.hostname, &serial).await.context("enrol")?;
        self.store.keep_identity(&identity)?;
        info!("enrolled with serial number {}", identity.serial);
        Ok(identity)
    }

    async fn hello(&self, identity: &Identity, recovery: &Recovery) -> Result<Hello> {
        // Asked first: while a push comes into force, this waits for it.
        let unconfirmed_push_id = recovery.unconfirmed_push_id().await;
        Ok(Hello {
            serial: identity.serial.clone(),
            hostname: self.settings.hostname.clone(),
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
            running_digest: pushed_digest(&self.firewall),
            uptime_s: i64::try_from(self.firewall.clock().uptime().as_secs()).unwrap_or(i64::MAX),
            management_address: local_address(&self.settings.address).unwrap_or_default(),
            take_back: recovery.untold()?,
            unconfirmed_push_id,
            tagged_addresses: self.firewall.gatherers().map_or(0, |gatherers| gatherers.tags.from_manager()),
        })
    }

    async fn converse(
        &self,
        outbox: &mpsc::Sender<DeviceMessage>,
        inbox: &mut tonic::Streaming<ManagerMessage>,
        (channel, recovery): (&Channel, &Arc<Recovery>),
    ) -> Result<()> {
        let mut health = tokio::time::interval(HEALTH_INTERVAL);
        loop {
            self.send_logs(outbox);
            tokio::select! {
                message = inbox.message() => match message {
                    Ok(Some(message)) => self.hear(message, outbox, (channel, recovery)).await?,
                    Ok(None) => return Ok(()),
                    Err(status) => anyhow::bail!("the connection broke: {}", status.message()),
                },
                _ = health.tick() => {
                    let body = device_message::Body::Health(self.health().await?);
                    say(outbox, body).await?;
                }
                () = self.logs.news.notified() => {}
            }
        }
    }

    async fn hear(
        &self,
        message: ManagerMessage,
        outbox: &mpsc::Sender<DeviceMessage>,
        (channel, recovery): (&Channel, &Arc<Recovery>),
    ) -> Result<()> {
        match message.body {
            Some(manager_message::Body::Push(push)) => {
                // A task of its own: it comes to its end also when the connection does not live to see it.
                let pushing = tokio::spawn(Arc::clone(recovery).push(push, Instant::now()));
                let result = pushing.await.context("a push ended unexpectedly")?;
                say(outbox, device_message::Body::PushResult(result)).await
            }
            Some(manager_message::Body::ApiRequest(request)) => {
                self.answer(request, outbox);
                Ok(())
            }
            Some(manager_message::Body::LogsStored(stored)) => {
                self.logs.with(|spool| spool.stored(stored.sequence));
                Ok(())
            }
            Some(manager_message::Body::TakeBackNoted(noted)) => recovery.noted(noted.push_id),
            Some(manager_message::Body::RegisteredTags(told)) => {
                if let Some(gatherers) = self.firewall.gatherers() {
                    gatherers.tags.hear(told, jiff::Timestamp::now());
                }
                Ok(())
            }
            Some(manager_message::Body::RenewCertificate(_)) => {
                self.renew(channel, recovery).await;
                Ok(())
            }
            None => {
                warn!("the manager sent a message this version does not know");
                Ok(())
            }
        }
    }

    /// Gets this device a new key, and connects anew with it. When that fails it stays with the old one, and the manager
    /// asks again.
    async fn renew(&self, channel: &Channel, recovery: &Recovery) {
        let renewal = async {
            let identity = self.store.identity()?.context("this device is not enrolled")?;
            let renewing = enrol::renew(channel.clone(), &identity);
            let renewed =
                tokio::time::timeout(RENEWAL_LIMIT, renewing).await.context("the manager does not answer")??;
            self.store.keep_identity(&renewed)
        };
        match renewal.await {
            Ok(()) => {
                info!("this device has a new certificate");
                recovery.reconnect.notify_one();
            }
            Err(error) => error!("this device keeps its certificate: {error:#}"),
        }
    }

    /// Answers when the answer is there; what comes in the meantime is heard.
    fn answer(&self, request: ApiRequest, outbox: &mpsc::Sender<DeviceMessage>) {
        let (api, outbox) = (self.api.clone(), outbox.clone());
        tokio::spawn(async move {
            let id = request.id;
            let mut response = match api {
                Some(api) => api.answer(request).await,
                None => refusal("the XML API of this firewall could not be started; its own log says why"),
            };
            if response.body.len() > ANSWER_BYTES_MAX {
                response =
                    refusal(&format!("the answer is larger than the {ANSWER_BYTES_MAX} bytes that a message holds"));
            }
            response.id = id;
            // When the connection is gone, so is whoever asked.
            let _ = outbox.send(DeviceMessage { body: Some(device_message::Body::ApiResponse(response)) }).await;
        });
    }

    async fn health(&self) -> Result<fleet::Health> {
        let vitals = self.firewall.vitals().await?;
        Ok(fleet::Health {
            uptime_s: i64::try_from(self.firewall.clock().uptime().as_secs()).unwrap_or(i64::MAX),
            sessions: vitals.sessions,
            packets: vitals.packets,
            drops: vitals.drops,
            logs_lost: self.logs.with(|spool| spool.lost()) + self.firewall.logs_lost(),
        })
    }

    /// Sends what is spooled, as far as the stream takes it.
    fn send_logs(&self, outbox: &mpsc::Sender<DeviceMessage>) {
        while outbox.capacity() > OUTBOX_RESERVE {
            let Some(batch) = self.logs.with(Spool::next_batch) else { return };
            let body = device_message::Body::Logs(Logs {
                sequence: batch.sequence,
                records: batch.records,
                boot_id: self.boot_id.clone(),
            });
            // Cannot fail for want of room; when the stream is gone everything is sent again later.
            let _ = outbox.try_send(DeviceMessage { body: Some(body) });
        }
    }
}

/// An answer of the XML API that says why there is no other.
fn refusal(why: &str) -> ApiResponse {
    let line = Element::leaf("line", why);
    let body = format!("<response status=\"error\" code=\"14\"><msg>{}</msg></response>", xml::write(&line));
    ApiResponse { status: 200, body: body.into(), ..ApiResponse::default() }
}

async fn say(outbox: &mpsc::Sender<DeviceMessage>, body: device_message::Body) -> Result<()> {
    outbox.send(DeviceMessage { body: Some(body) }).await.context("the connection broke")
}

/// What of the running configuration the manager pushed.
fn pushed_digest(firewall: &Firewall) -> String {
    let pushed = firewall.running().and_then(|running| running.parts.pushed.clone());
    pushed.map_or_else(String::new, |pushed| pushed.digest.clone())
}

/// The address this host uses towards the manager. Connecting a UDP socket sends nothing.
fn local_address(manager: &str) -> Option<String> {
    let socket = std::net::UdpSocket::bind("[::]:0").or_else(|_| std::net::UdpSocket::bind("0.0.0.0:0")).ok()?;
    socket.connect(manager).ok()?;
    Some(socket.local_addr().ok()?.ip().to_canonical().to_string())
}

/// A diagnostic for the wire.
fn diagnostic(one: &Diagnostic) -> fleet::Diagnostic {
    fleet::Diagnostic {
        error: one.severity == Severity::Error,
        code: one.code.to_owned(),
        xpath: one.origin.xpath.clone(),
        owner: one.origin.owner.clone().unwrap_or_default(),
        message: one.message.clone(),
        help: one.help.clone().unwrap_or_default(),
    }
}
