//! Enrolment: how does a new firewall become one the manager knows?
//!
//! The auth key's fingerprint is checked in the TLS handshake, before the key's secret is sent. The
//! private key is made here and stays here.

use anyhow::{Context, Result, bail};
use bartizan_api::fleet::enrollment_client::EnrollmentClient;
use bartizan_api::fleet::fleet_client::FleetClient;
use bartizan_api::fleet::{EnrollRequest, RenewRequest};
use rcgen::{CertificateParams, CertificateSigningRequest, KeyPair};
use tonic::transport::Channel;

use super::tls::{client_config, connect_pinned};
use crate::auth_key::{AuthKey, Fingerprint};
use crate::store::Identity;

/// Asks the manager at this address for a certificate; `serial` is the number of an earlier enrolment,
/// or empty.
///
/// # Errors
/// When the manager cannot be reached, is another one, or refuses the key.
pub(super) async fn enrol(address: &str, key: &AuthKey, hostname: &str, serial: &str) -> Result<Identity> {
    let (private, request) = new_key()?;
    let channel = connect_pinned(address, key.fingerprint()).await?;
    let response = EnrollmentClient::new(channel)
        .enroll(EnrollRequest {
            auth_key: key.as_str().to_owned(),
            certificate_signing_request: request.der().to_vec(),
            hostname: hostname.to_owned(),
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
            serial: serial.to_owned(),
        })
        .await
        .map_err(|status| anyhow::anyhow!("the manager refused: {}", status.message()))?
        .into_inner();
    if Fingerprint::of(&response.ca_certificate) != key.fingerprint() {
        bail!("the manager sent another CA certificate than the auth key names");
    }
    if response.serial.is_empty() {
        bail!("the manager assigned no serial number");
    }
    let certificate = response.certificate_chain.into_iter().next().context("the manager sent no certificate")?;
    let identity =
        Identity { serial: response.serial, key: private.serialize_der(), certificate, ca: response.ca_certificate };
    client_config(&identity).context("the manager's answer cannot be used")?;
    Ok(identity)
}

/// A new key for a device, certified over a connection that stands by the old one.
///
/// # Errors
/// When the manager refuses, or its answer is of no use. The old key goes on being good then.
pub(super) async fn renew(channel: Channel, identity: &Identity) -> Result<Identity> {
    let (private, request) = new_key()?;
    let request = RenewRequest { certificate_signing_request: request.der().to_vec() };
    let response = FleetClient::new(channel)
        .renew(request)
        .await
        .map_err(|status| anyhow::anyhow!("the manager refused: {}", status.message()))?
        .into_inner();
    let certificate = response.certificate_chain.into_iter().next().context("the manager sent no certificate")?;
    let renewed = Identity { key: private.serialize_der(), certificate, ..identity.clone() };
    client_config(&renewed).context("the manager's answer cannot be used")?;
    Ok(renewed)
}

fn new_key() -> Result<(KeyPair, CertificateSigningRequest)> {
    let private = KeyPair::generate().context("make a private key")?;
    let request = CertificateParams::new(Vec::new())
        .and_then(|parameters| parameters.serialize_request(&private))
        .context("make a certificate signing request")?;
    Ok((private, request))
}
