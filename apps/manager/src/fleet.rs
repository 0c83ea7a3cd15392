//! Which firewalls are attached, and how does one talk to them?
//!
//! The firewall dials. Its stream is a [`Link`] here: messages to it go through a bounded channel, and its
//! answers find whoever waits for them by number.

mod attach;
mod enrolment;
mod tags;
pub(crate) mod verdict;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bartizan_api::fleet::enrollment_server::EnrollmentServer;
use bartizan_api::fleet::fleet_server::FleetServer;
use bartizan_api::fleet::manager_message::Body;
use bartizan_api::fleet::{ApiRequest, ApiResponse, Health, Hello, ManagerMessage, Push, PushResult, RenewCertificate};
use tokio::sync::{Notify, mpsc, oneshot};
use tonic::Status;

use crate::app::App;
use crate::jobs::deliver::Arrivals;
use crate::{lock, store};

/// Answers that may be awaited from one device.
const AWAITED_MAX: usize = 256;
/// Longest text a device may say of itself: host name, version, address.
const TEXT_MAX: usize = 255;
/// Largest message from a device: the answer to `show session all`, in practice.
const MESSAGE_MAX: usize = 32 << 20;

/// Why a device did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LinkError {
    /// It is not attached.
    #[error("{0} not connected")]
    NotConnected(String),
    /// It went away in between.
    #[error("{0} disconnected before it answered")]
    Disconnected(String),
    /// It took too long.
    #[error("{serial} did not answer within {seconds} s")]
    Timeout {
        /// Which device.
        serial: String,
        /// How long it had.
        seconds: u64,
    },
    /// Too many answers are awaited.
    #[error("{0} has {AWAITED_MAX} requests to answer already")]
    Busy(String),
}

/// The attached devices.
#[derive(Default)]
pub(crate) struct Fleet {
    links: Mutex<HashMap<String, Arc<Link>>>,
    /// Pushes that are not final yet.
    pub(crate) verdicts: verdict::Verdicts,
    /// Devices that came, for whom something may be pending.
    pub(crate) arrivals: Arrivals,
}

/// One attached device.
pub(crate) struct Link {
    /// What it said when it came.
    pub(crate) hello: Hello,
    /// Where it came from.
    pub(crate) address: SocketAddr,
    /// When it came.
    pub(crate) since_us: i64,
    health: Mutex<Option<Health>>,
    /// When the store was last told that the device is alive.
    touched_us: AtomicI64,
    /// When its certificate ends.
    certificate_expiry_us: AtomicI64,
    /// When it was asked for a new key last; 0: never.
    renewal_asked_us: AtomicI64,
    sender: mpsc::Sender<Result<ManagerMessage, Status>>,
    next: AtomicU64,
    pushes: Mutex<HashMap<u64, oneshot::Sender<PushResult>>>,
    requests: Mutex<HashMap<u64, oneshot::Sender<ApiResponse>>>,
    closing: Notify,
}

/// The service a device without a certificate may call.
pub(crate) fn enrollment_service(app: Arc<App>) -> EnrollmentServer<enrolment::Service> {
    EnrollmentServer::new(enrolment::Service { app })
}

/// The service of enrolled devices.
pub(crate) fn fleet_service(app: Arc<App>) -> FleetServer<attach::Service> {
    FleetServer::new(attach::Service { app }).max_decoding_message_size(MESSAGE_MAX)
}

impl Fleet {
    /// The device, if it is attached.
    pub(crate) fn link(&self, serial: &str) -> Result<Arc<Link>, LinkError> {
        lock(&self.links).get(serial).cloned().ok_or_else(|| LinkError::NotConnected(serial.to_owned()))
    }

    /// How many devices are attached.
    pub(crate) fn attached(&self) -> usize {
        lock(&self.links).len()
    }

    /// Ends the stream of a device whose certificate is not worth anything any more.
    pub(crate) fn end(&self, serial: &str) {
        if let Some(link) = lock(&self.links).remove(serial) {
            link.close();
        }
    }

    /// A device came; an older stream of it is closed.
    fn attach(&self, link: &Arc<Link>) {
        if let Some(older) = lock(&self.links).insert(link.hello.serial.clone(), link.clone()) {
            older.close();
        }
    }

    /// A stream ended.
    fn detach(&self, link: &Arc<Link>) {
        let mut links = lock(&self.links);
        if links.get(&link.hello.serial).is_some_and(|attached| Arc::ptr_eq(attached, link)) {
            links.remove(&link.hello.serial);
        }
        drop(links);
        link.close();
    }
}

impl Link {
    fn new(hello: Hello, address: SocketAddr, sender: mpsc::Sender<Result<ManagerMessage, Status>>) -> Self {
        Self {
            hello,
            address,
            since_us: store::now_us(),
            health: Mutex::default(),
            touched_us: AtomicI64::new(store::now_us()),
            certificate_expiry_us: AtomicI64::new(i64::MAX),
            renewal_asked_us: AtomicI64::new(0),
            sender,
            // Numbers of an earlier stream are not used again, so that a late answer finds nobody.
            next: AtomicU64::new(store::now_us().unsigned_abs()),
            pushes: Mutex::default(),
            requests: Mutex::default(),
            closing: Notify::new(),
        }
    }

    /// The last health report.
    pub(crate) fn health(&self) -> Option<Health> {
        *lock(&self.health)
    }

    /// A number for the next message.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends a configuration and waits for whether it came into force.
    pub(crate) async fn push(&self, push: Push, timeout: Duration) -> Result<PushResult, LinkError> {
        self.ask(&self.pushes, push.id, Body::Push(push), timeout).await
    }

    /// Sends a request of the XML API and waits for its answer; its number is given here.
    pub(crate) async fn request(&self, request: ApiRequest, timeout: Duration) -> Result<ApiResponse, LinkError> {
        let id = self.number();
        self.ask(&self.requests, id, Body::ApiRequest(ApiRequest { id, ..request }), timeout).await
    }

    /// Asks the device to make itself a new key and have it certified.
    pub(crate) fn renew_certificate(&self) -> Result<(), LinkError> {
        let message = ManagerMessage { body: Some(Body::RenewCertificate(RenewCertificate {})) };
        self.sender.try_send(Ok(message)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => LinkError::Busy(self.hello.serial.clone()),
            mpsc::error::TrySendError::Closed(_) => LinkError::Disconnected(self.hello.serial.clone()),
        })
    }

    async fn ask<T>(
        &self,
        awaited: &Mutex<HashMap<u64, oneshot::Sender<T>>>,
        id: u64,
        body: Body,
        timeout: Duration,
    ) -> Result<T, LinkError> {
        let serial = || self.hello.serial.clone();
        let (answer, answered) = oneshot::channel();
        {
            let mut awaited = lock(awaited);
            // Whoever stopped waiting left a closed channel.
            awaited.retain(|_, answer| !answer.is_closed());
            if awaited.len() >= AWAITED_MAX {
                return Err(LinkError::Busy(serial()));
            }
            awaited.insert(id, answer);
        }
        let exchange = async {
            let message = ManagerMessage { body: Some(body) };
            self.sender.send(Ok(message)).await.map_err(|_| LinkError::Disconnected(serial()))?;
            answered.await.map_err(|_| LinkError::Disconnected(serial()))
        };
        tokio::time::timeout(timeout, exchange)
            .await
            .unwrap_or_else(|_| Err(LinkError::Timeout { serial: serial(), seconds: timeout.as_secs() }))
    }

    fn close(&self) {
        lock(&self.pushes).clear();
        lock(&self.requests).clear();
        self.closing.notify_one();
    }
}
