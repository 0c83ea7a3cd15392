//! How is a certificate made: signed by itself, by another one of the configuration, or asked for elsewhere?
//!
//! Keys are elliptic. RSA keys come from elsewhere: the library that signs here makes none.

use anyhow::Context as _;
use bartizan_model::tree::Element;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SignatureAlgorithm,
};
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::text;
use crate::pki::{serial_number, set_validity};

/// Days that a certificate lasts from today when nobody says (PAN-OS administrator's guide, "Generate a Certificate").
const DAYS: i64 = 365;
/// The longest that is asked for, some 20 years.
const DAYS_MAX: i64 = 7300;

/// Names of the subject besides the common name, by their elements.
const NAMES: [(&str, DnType); 5] = [
    ("country-code", DnType::CountryName),
    ("state", DnType::StateOrProvinceName),
    ("locality", DnType::LocalityName),
    ("organization", DnType::OrganizationName),
    ("organization-unit", DnType::OrganizationalUnitName),
];

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Wanted {
    params: CertificateParams,
    algorithm: &'static SignatureAlgorithm,
    days: i64,
    /// Whether it may sign others.
    ca: bool,
}

/// What was made, as PEM.
#[derive(Debug)]
pub(crate) struct Made {
    /// The certificate, or the request for one.
    pub(crate) pem: String,
    /// Its key.
    pub(crate) key: String,
}

impl Wanted {
    /// Reads `request certificate generate`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn read(command: &Element) -> Result<Self, Vec<String>> {
        let mut wrong = Vec::new();
        let mut names = DistinguishedName::new();
        let common_name = text(command, "name");
        if common_name.is_empty() {
            wrong.push("`name` is missing: the common name".to_owned());
        }
        names.push(DnType::CommonName, common_name);
        for (tag, kind) in NAMES {
            let list = command.child(tag).map(|child| child.members().chain([child.text()]).collect::<Vec<_>>());
            list.into_iter().flatten().filter(|name| !name.is_empty()).for_each(|name| names.push(kind.clone(), name));
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = names;
        for (tag, kind) in [("hostname", "host name"), ("ip", "IP address"), ("alt-email", "e-mail address")] {
            for name in
                command.child(tag).into_iter().flat_map(|list| list.members().chain([list.text()]).collect::<Vec<_>>())
            {
                if name.is_empty() {
                    continue;
                }
                match alternative(tag, &name) {
                    Some(name) => params.subject_alt_names.push(name),
                    None => wrong.push(format!("`{name}` is no {kind}")),
                }
            }
        }
        let algorithm = algorithm(command).map_err(|line| wrong.push(line)).ok();
        let days = match text(command, "days-till-expiry").as_str() {
            "" => DAYS,
            days => days.parse().ok().filter(|days| (1..=DAYS_MAX).contains(days)).unwrap_or_else(|| {
                wrong.push(format!("`{days}` is no number of days from 1 to {DAYS_MAX}"));
                DAYS
            }),
        };
        let ca = text(command, "ca") == "yes";
        purpose(&mut params, ca);
        match algorithm {
            Some(algorithm) if wrong.is_empty() => Ok(Self { params, algorithm, days, ca }),
            _ => Err(wrong),
        }
    }

    /// Signs it: by `issuer`, or by itself.
    pub(crate) fn sign(mut self, issuer: Option<(&CertificateDer<'_>, KeyPair)>) -> anyhow::Result<Made> {
        set_validity(&mut self.params, self.days + 1)?;
        let key = KeyPair::generate_for(self.algorithm)?;
        let certificate = match issuer {
            Some((certificate, issuer)) => {
                self.params.signed_by(&key, &Issuer::from_ca_cert_der(certificate, issuer)?)?
            }
            None => self.params.self_signed(&key)?,
        };
        Ok(Made { pem: certificate.pem(), key: key.serialize_pem() })
    }

    /// A request that an authority elsewhere signs (PKCS #10).
    pub(crate) fn request(mut self) -> anyhow::Result<Made> {
        let key = KeyPair::generate_for(self.algorithm)?;
        self.params.serial_number = None;
        self.params.use_authority_key_identifier_extension = false;
        if !self.ca {
            self.params.is_ca = IsCa::NoCa;
        }
        Ok(Made { pem: self.params.serialize_request(&key)?.pem()?, key: key.serialize_pem() })
    }
}

/// A certificate with the same names and key as another one, which lasts so many days from now.
///
/// # Errors
/// When the old one has something that is not carried over.
pub(crate) fn renew(
    old: &CertificateDer<'_>,
    key: &KeyPair,
    issuer: Option<(&CertificateDer<'_>, KeyPair)>,
    days: i64,
) -> anyhow::Result<String> {
    let mut params = same(old)?;
    set_validity(&mut params, days + 1)?;
    let certificate = match issuer {
        Some((certificate, issuer)) => params.signed_by(key, &Issuer::from_ca_cert_der(certificate, issuer)?)?,
        None => params.self_signed(key)?,
    };
    Ok(certificate.pem())
}

/// Names and purpose of a certificate.
fn same(old: &CertificateDer<'_>) -> anyhow::Result<CertificateParams> {
    let (_, old) = X509Certificate::from_der(old)?;
    let mut params = CertificateParams::default();
    let mut names = DistinguishedName::new();
    for attribute in old.subject().iter_attributes() {
        let kind = DnType::from_oid(&attribute.attr_type().iter().context("a name is of no kind")?.collect::<Vec<_>>());
        names.push(kind, attribute.as_str()?);
    }
    params.distinguished_name = names;
    if let Some(alternatives) = old.subject_alternative_name()? {
        for name in &alternatives.value.general_names {
            params.subject_alt_names.push(match name {
                GeneralName::DNSName(name) => SanType::DnsName((*name).to_owned().try_into()?),
                GeneralName::RFC822Name(name) => SanType::Rfc822Name((*name).to_owned().try_into()?),
                GeneralName::IPAddress(bytes) => SanType::IpAddress(match bytes.len() {
                    4 => <[u8; 4]>::try_from(*bytes)?.into(),
                    _ => <[u8; 16]>::try_from(*bytes)?.into(),
                }),
                other => anyhow::bail!("the name {other} of it cannot be carried over; make a new certificate"),
            });
        }
    }
    purpose(&mut params, old.is_ca());
    Ok(params)
}

/// Number and usages.
fn purpose(params: &mut CertificateParams, ca: bool) {
    params.serial_number = Some(serial_number());
    params.use_authority_key_identifier_extension = true;
    if ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    } else {
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    }
}

/// Days of a renewal, from its text.
///
/// # Errors
/// When it is no number of days.
pub(crate) fn days(text: &str) -> Result<i64, String> {
    let days = text.parse().ok().filter(|days| (1..=DAYS_MAX).contains(days));
    days.ok_or_else(|| format!("`{text}` is no number of days from 1 to {DAYS_MAX}"))
}

fn alternative(tag: &str, name: &str) -> Option<SanType> {
    match tag {
        "hostname" => Some(SanType::DnsName(name.to_owned().try_into().ok()?)),
        "ip" => Some(SanType::IpAddress(name.parse().ok()?)),
        _ => Some(SanType::Rfc822Name(name.to_owned().try_into().ok()?)),
    }
}

fn algorithm(command: &Element) -> Result<&'static SignatureAlgorithm, String> {
    let Some(kind) = command.child("algorithm").and_then(|algorithm| algorithm.elements().next().cloned()) else {
        return Ok(&rcgen::PKCS_ECDSA_P256_SHA256);
    };
    match (&*kind.name, &*text(&kind, "ecdsa-nbits")) {
        ("ECDSA", "" | "256") => Ok(&rcgen::PKCS_ECDSA_P256_SHA256),
        ("ECDSA", "384") => Ok(&rcgen::PKCS_ECDSA_P384_SHA384),
        ("ECDSA", bits) => Err(format!("`ecdsa-nbits` {bits} is not made; there are 256 and 384")),
        ("RSA", _) => Err("RSA keys are not made here; choose `ECDSA`, or import a key pair".to_owned()),
        (other, _) => Err(format!("`{other}` is no algorithm; there is `ECDSA`")),
    }
}
