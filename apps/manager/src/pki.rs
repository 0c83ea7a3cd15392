//! Whom do clients and firewalls trust: the manager's own certificate authority, its server certificate
//! and the certificates it gives to devices.
//!
//! Made at the first start, kept in `pki/` of the data directory with mode 0600.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::Context as _;
use jiff::{Timestamp, ToSpan as _, civil, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SerialNumber,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::{files, random, store};

/// Name every server certificate carries, whatever the address.
pub(crate) const SERVER_NAME: &str = "manager.bartizan";

/// The authority outlives the devices' certificates.
const CA_YEARS: i64 = 20;
/// A device's certificate is bound to the inventory, where it can be revoked at once; a device that was away for less
/// than half of this comes back with the one it has.
const DEVICE_DAYS: i64 = 730;
/// A device is asked for a new key when its certificate ends sooner than this.
pub(crate) const DEVICE_RENEW_DAYS: i64 = 365;
/// The longest life that platform verifiers accept of a server certificate (Apple, since 2019).
const SERVER_DAYS: i64 = 825;
/// A server certificate is made anew at a start when it ends sooner than this.
const SERVER_RENEW_DAYS: i64 = 90;

/// The certificate authority and the server's own certificate.
pub(crate) struct Pki {
    issuer: Issuer<'static, KeyPair>,
    ca: CertificateDer<'static>,
    server: CertificateDer<'static>,
    server_key: PrivateKeyDer<'static>,
}

/// A certificate made for a device.
#[derive(Debug)]
pub(crate) struct DeviceCertificate {
    /// DER.
    pub(crate) certificate: Vec<u8>,
    /// SHA-256, hex.
    pub(crate) digest: String,
    /// When it ends.
    pub(crate) expiry_us: i64,
}

impl Pki {
    /// Reads the certificates, or makes what is missing or about to end.
    pub(crate) fn open(data_dir: &Path, listen: SocketAddr) -> anyhow::Result<Self> {
        let directory = data_dir.join("pki");
        files::make_private_dir(&directory)?;
        let (ca, issuer) = open_ca(&directory)?;
        let names = server_names(listen);
        let (server, server_key) = match read_pair(&directory, "server")? {
            Some((certificate, key)) if serves(&certificate, &ca, &names)? => (certificate, key),
            _ => make_server(&directory, &issuer, &names)?,
        };
        let server_key = PrivateKeyDer::from_pem_slice(server_key.as_bytes())
            .map_err(|error| anyhow::anyhow!("`{}/server.key` is not a private key: {error}", directory.display()))?;
        Ok(Self { issuer, ca, server, server_key })
    }

    /// The authority's certificate.
    pub(crate) fn ca(&self) -> &CertificateDer<'static> {
        &self.ca
    }

    /// SHA-256, hex, of the authority's certificate: the second half of an auth key.
    pub(crate) fn fingerprint(&self) -> String {
        store::hex_digest(&self.ca)
    }

    /// 32 bytes that only whoever has the authority's key can know, the same ones for the same purpose.
    pub(crate) fn secret(&self, purpose: &str) -> [u8; 32] {
        let key = self.issuer.key().serialize_der();
        store::digest(&[purpose.as_bytes(), &[0], &key].concat())
    }

    /// What the server shows: its own certificate, then the authority's.
    pub(crate) fn server_chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.server.clone(), self.ca.clone()]
    }

    /// The server's private key.
    pub(crate) fn server_key(&self) -> PrivateKeyDer<'static> {
        self.server_key.clone_key()
    }

    /// Signs the public key of a request for the device `serial`; nothing else of the request is used.
    pub(crate) fn sign_device(&self, request_der: &[u8], serial: &str) -> anyhow::Result<DeviceCertificate> {
        let request = read_request(request_der)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(serial);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial_number());
        let expiry = set_validity(&mut params, DEVICE_DAYS)?;
        let certificate = params.signed_by(&request.public_key, &self.issuer)?;
        Ok(DeviceCertificate {
            certificate: certificate.der().to_vec(),
            digest: store::hex_digest(certificate.der()),
            expiry_us: expiry.as_microsecond(),
        })
    }
}

/// SHA-256, hex, of the authority's certificate in a data directory, if it has one.
pub(crate) fn fingerprint_in(data_dir: &Path) -> anyhow::Result<Option<String>> {
    Ok(read_pair(&data_dir.join("pki"), "ca")?.map(|(certificate, _)| store::hex_digest(&certificate)))
}

/// SHA-256, hex, of a certificate in PEM.
pub(crate) fn fingerprint_of(pem: &str) -> anyhow::Result<String> {
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| anyhow::anyhow!("the authority is not a certificate: {error}"))?;
    Ok(store::hex_digest(&certificate))
}

/// Reads a certificate signing request, whose own signature is checked.
pub(crate) fn read_request(der: &[u8]) -> anyhow::Result<CertificateSigningRequestParams> {
    CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der))
        .context("the certificate signing request cannot be read")
}

/// The common name of a certificate: a device's serial.
pub(crate) fn subject_of(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?;
    Some(name.to_owned())
}

fn open_ca(directory: &Path) -> anyhow::Result<(CertificateDer<'static>, Issuer<'static, KeyPair>)> {
    let (certificate, key) = match read_pair(directory, "ca")? {
        Some(pair) => pair,
        None => make_ca(directory)?,
    };
    let key = KeyPair::from_pem(&key).with_context(|| format!("`{}/ca.key` is not a key", directory.display()))?;
    let issuer = Issuer::from_ca_cert_der(&certificate, key)
        .with_context(|| format!("`{}/ca.pem` is not a certificate authority", directory.display()))?;
    Ok((certificate, issuer))
}

fn make_ca(directory: &Path) -> anyhow::Result<(CertificateDer<'static>, String)> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    // The digits tell the authorities of two managers apart.
    params.distinguished_name = common_name(&format!("Bartizan manager CA {}", random::digits(8)));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(serial_number());
    set_validity(&mut params, 365 * CA_YEARS)?;
    let certificate = params.self_signed(&key)?;
    write_pair(directory, "ca", &certificate.pem(), &key.serialize_pem())?;
    Ok((certificate.der().clone(), key.serialize_pem()))
}

fn make_server(
    directory: &Path,
    issuer: &Issuer<'static, KeyPair>,
    names: &[String],
) -> anyhow::Result<(CertificateDer<'static>, String)> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name = common_name(SERVER_NAME);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(serial_number());
    set_validity(&mut params, SERVER_DAYS)?;
    let certificate = params.signed_by(&key, issuer)?;
    write_pair(directory, "server", &certificate.pem(), &key.serialize_pem())?;
    Ok((certificate.der().clone(), key.serialize_pem()))
}

/// A wildcard listen address names no host, so it adds nothing.
fn server_names(listen: SocketAddr) -> Vec<String> {
    let mut names = vec![SERVER_NAME.to_owned(), "localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let address = listen.ip().to_string();
    if !listen.ip().is_unspecified() && !names.contains(&address) {
        names.push(address);
    }
    names
}

/// Whether the certificate is the authority's, has all the names and lasts long enough.
fn serves(certificate: &[u8], ca: &[u8], names: &[String]) -> anyhow::Result<bool> {
    let (_, ca) = X509Certificate::from_der(ca).context("`ca.pem` in the data directory is not a certificate")?;
    let (_, certificate) =
        X509Certificate::from_der(certificate).context("`server.pem` in the data directory is not a certificate")?;
    let present: Vec<String> = certificate
        .subject_alternative_name()?
        .map(|extension| extension.value.general_names.iter().filter_map(name_text).collect())
        .unwrap_or_default();
    let ends = Timestamp::from_second(certificate.validity().not_after.timestamp())?;
    let needed = Timestamp::now() + (24 * SERVER_RENEW_DAYS).hours();
    Ok(certificate.issuer() == ca.subject() && ends > needed && names.iter().all(|name| present.contains(name)))
}

fn name_text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|octets| IpAddr::from(octets).to_string()),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|octets| IpAddr::from(octets).to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// From yesterday, for clocks that are behind, for so many days.
pub(crate) fn set_validity(params: &mut CertificateParams, days: i64) -> anyhow::Result<Timestamp> {
    let day = |timestamp: Timestamp| -> anyhow::Result<civil::Date> { Ok(timestamp.to_zoned(TimeZone::UTC).date()) };
    let from = day(Timestamp::now() - 24.hours())?;
    let until = from.checked_add(days.days())?;
    let as_rcgen = |date: civil::Date| -> anyhow::Result<_> {
        Ok(rcgen::date_time_ymd(date.year().into(), u8::try_from(date.month())?, u8::try_from(date.day())?))
    };
    params.not_before = as_rcgen(from)?;
    params.not_after = as_rcgen(until)?;
    Ok(until.to_zoned(TimeZone::UTC)?.timestamp())
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

pub(crate) fn serial_number() -> SerialNumber {
    let mut bytes = random::bytes::<16>();
    // Positive and not zero.
    bytes[0] = bytes[0] & 0x3f | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn write_pair(directory: &Path, name: &str, certificate: &str, key: &str) -> anyhow::Result<()> {
    files::write_private(&directory.join(format!("{name}.key")), key)?;
    files::write_private(&directory.join(format!("{name}.pem")), certificate)
}

/// The certificate is written after its key: when it is there, both are.
fn read_pair(directory: &Path, name: &str) -> anyhow::Result<Option<(CertificateDer<'static>, String)>> {
    let path = directory.join(format!("{name}.pem"));
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let certificate = CertificateDer::from_pem_slice(&text)
        .map_err(|error| anyhow::anyhow!("`{}` is not a certificate: {error}", path.display()))?;
    let path = directory.join(format!("{name}.key"));
    let key = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(Some((certificate, key)))
}
