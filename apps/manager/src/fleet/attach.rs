//! What happens on the stream of an attached firewall?

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bartizan_api::fleet::device_message::Body;
use bartizan_api::fleet::fleet_server::Fleet as FleetService;
use bartizan_api::fleet::{
    ConfirmRequest, ConfirmResponse, DeviceMessage, Hello, Logs, LogsStored, ManagerMessage, RenewRequest,
    RenewResponse, TakeBackNoted, manager_message,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::{Link, TEXT_MAX, tags, verdict};
use crate::app::App;
use crate::http::{DeviceIdentity, Peer};
use crate::store::now_us;
use crate::store::traffic::LogBatch;
use crate::{lock, pki};

/// Messages that wait to be sent to one device.
const OUTBOX_MAX: usize = 32;
/// A device says who it is by then.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Devices that may be attached at once.
const ATTACHED_MAX: usize = 10_000;
/// Bytes of the reason for a take-back.
const REASON_MAX: usize = 4096;
/// Between two notes that a device is alive.
const TOUCH_INTERVAL_US: i64 = 60_000_000;
/// Between two requests for a new key.
const RENEWAL_INTERVAL_US: i64 = 3600 * 1_000_000;
const DAY_US: i64 = 24 * 3600 * 1_000_000;

pub(crate) struct Service {
    pub(super) app: Arc<App>,
}

type Outbox = Pin<Box<dyn Stream<Item = Result<ManagerMessage, Status>> + Send>>;

#[tonic::async_trait]
impl FleetService for Service {
    type AttachStream = Outbox;

    async fn attach(&self, request: Request<Streaming<DeviceMessage>>) -> Result<Response<Outbox>, Status> {
        let (peer, identity) = who(&request)?;
        check_identity(&self.app, &identity).await?;
        if self.app.fleet.attached() >= ATTACHED_MAX {
            return Err(Status::resource_exhausted(format!("{ATTACHED_MAX} devices are attached already")));
        }
        let (sender, outbox) = mpsc::channel(OUTBOX_MAX);
        let app = self.app.clone();
        // The answer's head is sent at once; the device may wait for it before it says hello.
        tokio::spawn(async move {
            if let Err(status) = follow(&app, &peer, &identity, request.into_inner(), sender.clone()).await {
                tracing::info!(serial = identity.serial, address = %peer.address, %status, "a device was let go");
                let _ = sender.try_send(Err(status));
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outbox))))
    }

    async fn confirm(&self, request: Request<ConfirmRequest>) -> Result<Response<ConfirmResponse>, Status> {
        let (_, identity) = who(&request)?;
        check_identity(&self.app, &identity).await?;
        let ConfirmRequest { push_id, digest } = request.into_inner();
        verdict::confirm(&self.app, &identity.serial, push_id, &digest).await.map_err(|error| {
            tracing::error!(%error, "the confirmation of a push cannot be written down");
            Status::unavailable("the confirmation cannot be written down")
        })?;
        Ok(Response::new(ConfirmResponse {}))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let (_, identity) = who(&request)?;
        check_identity(&self.app, &identity).await?;
        renew(&self.app, &identity, request.get_ref()).await.map(Response::new)
    }
}

fn who<T>(request: &Request<T>) -> Result<(Peer, DeviceIdentity), Status> {
    let peer = request.extensions().get::<Peer>().cloned().ok_or_else(|| Status::internal("no peer"))?;
    let identity = peer.device.clone().ok_or_else(|| {
        Status::unauthenticated("attaching needs the certificate that this manager gave the device; enrol first")
    })?;
    Ok((peer, identity))
}

/// The certificate must be the one that the device used last, or the one that it was given since. When it ends.
async fn check_identity(app: &App, identity: &DeviceIdentity) -> Result<i64, Status> {
    let DeviceIdentity { serial, certificate_digest } = identity;
    let unavailable = |error: sqlx::Error| {
        tracing::error!(%error, "the inventory cannot be read");
        Status::unavailable("the inventory cannot be read")
    };
    let known = async || {
        let device = app.store.device(serial).await.map_err(unavailable)?;
        let device = device.filter(|device| device.certificate_digest == *certificate_digest);
        Ok::<_, Status>(device.map(|device| device.certificate_expiry_us))
    };
    if let Some(expiry_us) = known().await? {
        return Ok(expiry_us);
    }
    if app.store.adopt_certificate(serial, certificate_digest).await.map_err(unavailable)? {
        // A stream that the one before opened is not worth more than that.
        app.fleet.end(serial);
        tracing::info!(serial, "a device uses its new certificate, the one before has ended");
    }
    known().await?.ok_or_else(|| {
        Status::permission_denied(format!("the certificate of `{serial}` was replaced or revoked; enrol again"))
    })
}

/// Signs the new key of a device.
async fn renew(app: &App, identity: &DeviceIdentity, request: &RenewRequest) -> Result<RenewResponse, Status> {
    let signed = app
        .pki
        .sign_device(&request.certificate_signing_request, &identity.serial)
        .map_err(|error| Status::invalid_argument(format!("{error:#}")))?;
    let next = (signed.digest.as_str(), signed.expiry_us);
    match app.store.offer_certificate(&identity.serial, &identity.certificate_digest, next).await {
        Ok(true) => Ok(RenewResponse { certificate_chain: vec![signed.certificate, app.pki.ca().to_vec()] }),
        Ok(false) => Err(Status::permission_denied("the certificate was replaced or revoked meanwhile")),
        Err(error) => {
            tracing::error!(%error, "a new certificate cannot be written down");
            Err(Status::unavailable("the new certificate cannot be written down"))
        }
    }
}

async fn follow(
    app: &Arc<App>,
    peer: &Peer,
    identity: &DeviceIdentity,
    mut messages: Streaming<DeviceMessage>,
    sender: mpsc::Sender<Result<ManagerMessage, Status>>,
) -> Result<(), Status> {
    let hello = read_hello(&mut messages, identity).await?;
    app.store
        .greet_device(
            &hello.serial,
            &hello.hostname,
            &hello.software_version,
            &hello.management_address,
            &hello.running_digest,
        )
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let heard = verdict::hear(app, &peer.address.ip().to_string(), &hello)
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    if let Some(taken) = &hello.take_back {
        let body = manager_message::Body::TakeBackNoted(TakeBackNoted { push_id: taken.push_id });
        let _ = sender.send(Ok(ManagerMessage { body: Some(body) })).await;
    }
    let link = Arc::new(Link::new(hello, peer.address, sender));
    app.fleet.attach(&link);
    // Whoever hears it may send the next push at once, and finds the new link.
    app.fleet.verdicts.tell_all(&identity.serial, heard);
    app.fleet.arrivals.add(&identity.serial);
    tracing::info!(serial = identity.serial, address = %peer.address, "a device is connected");
    let telling = tokio::spawn(tags::follow(app.clone(), link.clone()));
    // Again, now that whoever ends the certificate finds the link.
    let ended = match check_identity(app, identity).await {
        Ok(expiry_us) => {
            link.certificate_expiry_us.store(expiry_us, Ordering::Relaxed);
            ask_to_renew(&link);
            read_messages(app, &link, &mut messages).await
        }
        Err(status) => Err(status),
    };
    telling.abort();
    app.fleet.detach(&link);
    tracing::info!(serial = identity.serial, "a device is disconnected");
    let _ = app.store.touch_device(&identity.serial).await;
    ended
}

async fn read_hello(messages: &mut Streaming<DeviceMessage>, identity: &DeviceIdentity) -> Result<Hello, Status> {
    let first = tokio::time::timeout(HELLO_TIMEOUT, messages.next())
        .await
        .map_err(|_| Status::deadline_exceeded(format!("no hello within {} s", HELLO_TIMEOUT.as_secs())))?;
    let Some(Body::Hello(hello)) = first.transpose()?.and_then(|message| message.body) else {
        return Err(Status::invalid_argument("the first message must be a hello"));
    };
    if hello.take_back.as_ref().is_some_and(|taken| taken.reason.len() > REASON_MAX || taken.digest.len() > TEXT_MAX) {
        return Err(Status::invalid_argument(format!("a reason must be at most {REASON_MAX} bytes")));
    }
    for text in [&hello.hostname, &hello.software_version, &hello.management_address, &hello.running_digest] {
        if text.len() > TEXT_MAX || text.chars().any(char::is_control) {
            return Err(Status::invalid_argument(format!(
                "the texts of a hello must be at most {TEXT_MAX} printable characters"
            )));
        }
    }
    if hello.serial != identity.serial {
        return Err(Status::permission_denied(format!(
            "the hello says `{}`, the certificate says `{}`",
            hello.serial, identity.serial
        )));
    }
    Ok(hello)
}

async fn read_messages(
    app: &Arc<App>,
    link: &Arc<Link>,
    messages: &mut Streaming<DeviceMessage>,
) -> Result<(), Status> {
    let mut stop = app.stop.clone();
    loop {
        let message = tokio::select! {
            message = messages.next() => message,
            () = link.closing.notified() => return Err(Status::aborted("the device attached again, or its certificate ended")),
            _ = stop.wait_for(|stop| *stop) => return Err(Status::unavailable("the manager is stopping")),
        };
        let Some(message) = message.transpose()? else {
            return Ok(());
        };
        match message.body {
            Some(Body::PushResult(result)) => {
                if let Some(waiting) = lock(&link.pushes).remove(&result.id) {
                    let _ = waiting.send(result);
                }
            }
            Some(Body::ApiResponse(response)) => {
                if let Some(waiting) = lock(&link.requests).remove(&response.id) {
                    let _ = waiting.send(response);
                }
            }
            Some(Body::Logs(logs)) => store_logs(app, link, logs).await?,
            Some(Body::Health(health)) => {
                *lock(&link.health) = Some(health);
                touch(app, link).await;
            }
            Some(Body::Hello(_)) => return Err(Status::invalid_argument("a second hello")),
            // A kind of message that a newer firewall knows and this manager does not.
            None => tracing::debug!(serial = link.hello.serial, "an unknown message was skipped"),
        }
    }
}

/// Asks for a new key when the certificate ends soon; again and again, for a device may fail to write it down.
fn ask_to_renew(link: &Link) {
    let (now, soon) = (now_us(), pki::DEVICE_RENEW_DAYS * DAY_US);
    let asked_us = link.renewal_asked_us.load(Ordering::Relaxed);
    if link.certificate_expiry_us.load(Ordering::Relaxed) - now < soon && now - asked_us > RENEWAL_INTERVAL_US {
        link.renewal_asked_us.store(now, Ordering::Relaxed);
        if link.renew_certificate().is_err() {
            tracing::debug!(serial = link.hello.serial, "a device has no time to be asked for a new key");
        }
    }
}

/// A device reports its health every few seconds; the disk hears of it now and then.
async fn touch(app: &App, link: &Link) {
    let now = now_us();
    if now - link.touched_us.load(Ordering::Relaxed) < TOUCH_INTERVAL_US {
        return;
    }
    link.touched_us.store(now, Ordering::Relaxed);
    ask_to_renew(link);
    if let Err(error) = app.store.touch_device(&link.hello.serial).await {
        tracing::warn!(%error, "the inventory cannot be written");
    }
}

/// Acknowledged only when they are on disk.
async fn store_logs(app: &Arc<App>, link: &Arc<Link>, logs: Logs) -> Result<(), Status> {
    if logs.boot_id.len() > TEXT_MAX {
        return Err(Status::invalid_argument(format!("the boot id must be at most {TEXT_MAX} characters")));
    }
    let sequence = logs.sequence;
    let batch = LogBatch {
        serial: link.hello.serial.clone(),
        boot_id: logs.boot_id,
        sequence: logs.sequence,
        records: logs.records,
    };
    app.logs.store(batch).await.map_err(|error| Status::unavailable(error.to_string()))?;
    let body = manager_message::Body::LogsStored(LogsStored { sequence });
    let message = ManagerMessage { body: Some(body) };
    link.sender.send(Ok(message)).await.map_err(|_| Status::cancelled("the device went away"))
}
