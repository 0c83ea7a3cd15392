//! How does a new firewall become one of ours?
//!
//! It shows an auth key; its public key is signed under a serial; it is in the inventory from then on.
//! What it gets to enforce is decided by configuration: the device group and stack that name its serial.

use std::sync::Arc;

use bartizan_api::fleet::enrollment_server::Enrollment;
use bartizan_api::fleet::{EnrollRequest, EnrollResponse};
use tonic::{Request, Response, Status};

use super::TEXT_MAX;
use crate::app::App;
use crate::http::Peer;
use crate::random;
use crate::store::devices::{DEVICES_MAX, Device, Enrolment};
use crate::store::now_us;

/// Longest serial a device may wish for.
const SERIAL_MAX: usize = 32;

pub(crate) struct Service {
    pub(super) app: Arc<App>,
}

#[tonic::async_trait]
impl Enrollment for Service {
    async fn enroll(&self, request: Request<EnrollRequest>) -> Result<Response<EnrollResponse>, Status> {
        let peer = request.extensions().get::<Peer>().cloned().ok_or_else(|| Status::internal("no peer"))?;
        let app = self.app.clone();
        // A task of its own: a device that hangs up must not leave a used key without a recorded device.
        tokio::spawn(async move { enrol(&app, &peer, request.into_inner()).await })
            .await
            .map_err(|error| Status::internal(error.to_string()))?
            .map(Response::new)
    }
}

async fn enrol(app: &App, peer: &Peer, request: EnrollRequest) -> Result<EnrollResponse, Status> {
    check_texts(&request)?;
    let serial = choose_serial(app, &request.serial).await?;
    let signed = app
        .pki
        .sign_device(&request.certificate_signing_request, &serial)
        .map_err(|error| Status::invalid_argument(format!("{error:#}")))?;
    check_wait(app, peer)?;
    let device = Device {
        serial: serial.clone(),
        certificate_digest: signed.digest,
        certificate_expiry_us: signed.expiry_us,
        hostname: request.hostname,
        software_version: request.software_version,
        management_address: peer.address.ip().to_string(),
        enrolled_us: now_us(),
        last_seen_us: now_us(),
        ..Device::default()
    };
    // The key is `<secret>.<fingerprint of the authority>`; only the secret is ours to check.
    let secret = request.auth_key.split_once('.').map_or(&*request.auth_key, |(secret, _)| secret);
    let enrolment = app.store.enrol_device(&device, secret).await.map_err(|error| internal(&error))?;
    check_enrolment(app, peer, enrolment, &serial)?;
    // A device that had the serial before has a certificate that is worth nothing now.
    app.fleet.end(&serial);
    tracing::info!(serial, hostname = device.hostname, address = %peer.address, "a device enrolled");
    let ca = app.pki.ca().to_vec();
    Ok(EnrollResponse { serial, certificate_chain: vec![signed.certificate, ca.clone()], ca_certificate: ca })
}

fn check_texts(request: &EnrollRequest) -> Result<(), Status> {
    for (what, text) in [("hostname", &request.hostname), ("software version", &request.software_version)] {
        if text.len() > TEXT_MAX || text.chars().any(char::is_control) {
            return Err(Status::invalid_argument(format!(
                "the {what} must be at most {TEXT_MAX} printable characters"
            )));
        }
    }
    let letters = request.serial.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if request.serial.len() > SERIAL_MAX || !letters {
        return Err(Status::invalid_argument(format!(
            "the serial must be at most {SERIAL_MAX} letters, digits and `-`"
        )));
    }
    Ok(())
}

/// A device that names a serial wants to keep it.
async fn choose_serial(app: &App, wish: &str) -> Result<String, Status> {
    if !wish.is_empty() {
        return Ok(wish.to_owned());
    }
    loop {
        let serial = format!("BZT{}", random::digits(12));
        if app.store.device(&serial).await.map_err(|error| internal(&error))?.is_none() {
            return Ok(serial);
        }
    }
}

fn check_wait(app: &App, peer: &Peer) -> Result<(), Status> {
    let address = peer.address.ip();
    match app.accounts.wait(address) {
        None => Ok(()),
        Some(wait) => Err(Status::resource_exhausted(format!(
            "too many wrong auth keys from `{address}`, try again in {} s",
            wait.as_secs() + 1
        ))),
    }
}

fn check_enrolment(app: &App, peer: &Peer, enrolment: Enrolment, serial: &str) -> Result<(), Status> {
    match enrolment {
        Enrolment::Done => Ok(()),
        Enrolment::WrongKey => {
            app.accounts.failed(peer.address.ip());
            Err(Status::unauthenticated("the auth key is unknown, expired or used up; make a new one on the manager"))
        }
        Enrolment::Taken => {
            tracing::warn!(serial, address = %peer.address, "an enrolment under a known serial was refused");
            Err(Status::already_exists(format!(
                "the serial `{serial}` is in the inventory already; allow it once with `request device re-enrol serial \
                 {serial}` on the manager, or enrol without a serial"
            )))
        }
        Enrolment::Full => {
            Err(Status::resource_exhausted(format!("the inventory is full: it holds {DEVICES_MAX} devices")))
        }
    }
}

fn internal(error: &dyn std::fmt::Display) -> Status {
    tracing::error!(%error, "an enrolment failed");
    Status::internal("internal error; the manager's log says more")
}
