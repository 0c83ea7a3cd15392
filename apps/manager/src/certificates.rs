//! Which certificates does the configuration hold, and what may be made of them?
//!
//! A certificate is an entry below `certificate`, with the chain as PEM in `public-key` and the key, sealed, in
//! `private-key`. The other elements say what is in it; they are written here, never read.

pub(crate) mod check;
pub(crate) mod key;
pub(crate) mod make;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bartizan_model::tree::{Child, Element};
use rustls::crypto::ring;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};

use crate::secrets::Secrets;
use crate::times;

/// Where certificates of the manager itself stand.
pub(crate) const HOME: &str = "/config/panorama/certificate";
/// Where those of a firewall do.
pub(crate) const DEVICE_HOME: &str = "/config/shared/certificate";
/// Certificates of one chain.
const CHAIN_MAX: usize = 10;

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The subject's common name; empty without one.
    pub(crate) common_name: String,
    /// Subject.
    pub(crate) subject: String,
    /// Issuer.
    pub(crate) issuer: String,
    /// Whether it may sign others.
    pub(crate) ca: bool,
    /// When it begins, seconds since the Unix epoch.
    pub(crate) begins_s: i64,
    /// When it ends.
    pub(crate) ends_s: i64,
    /// `RSA`, `EC`, or the object identifier of another kind of key.
    pub(crate) algorithm: String,
}

/// The certificates of a PEM text, the first one's own first.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| format!("it is not PEM: {error}"))?;
    match chain.len() {
        0 => Err("there is no `BEGIN CERTIFICATE` in it".to_owned()),
        length if length > CHAIN_MAX => Err(format!("it holds {length} certificates, at most {CHAIN_MAX} are kept")),
        _ => chain.iter().try_for_each(|one| facts(one).map(|_| ())).map(|()| chain),
    }
}

/// What a certificate says.
///
/// # Errors
/// When it is none.
pub(crate) fn facts(certificate: &[u8]) -> Result<Facts, String> {
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|error| format!("it is no certificate: {error}"))?;
    let name = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let algorithm = match parsed.public_key().algorithm.algorithm.to_id_string().as_str() {
        // RFC 8017 and RFC 5480.
        "1.2.840.113549.1.1.1" => "RSA".to_owned(),
        "1.2.840.10045.2.1" => "EC".to_owned(),
        other => other.to_owned(),
    };
    let seconds = |time: ASN1Time| time.timestamp();
    Ok(Facts {
        common_name: name.unwrap_or_default().to_owned(),
        subject: parsed.subject().to_string(),
        issuer: parsed.issuer().to_string(),
        ca: parsed.is_ca(),
        begins_s: seconds(parsed.validity().not_before),
        ends_s: seconds(parsed.validity().not_after),
        algorithm,
    })
}

impl Facts {
    /// As elements of an entry.
    pub(crate) fn to_elements(&self) -> Vec<Element> {
        vec![
            Element::leaf("subject", &self.subject),
            Element::leaf("issuer", &self.issuer),
            Element::leaf("not-valid-before", &times::certificate_date(self.begins_s)),
            Element::leaf("common-name", &self.common_name),
            Element::leaf("expiry-epoch", &self.ends_s.to_string()),
            Element::leaf("ca", if self.ca { "yes" } else { "no" }),
            Element::leaf("not-valid-after", &times::certificate_date(self.ends_s)),
            Element::leaf("algorithm", &self.algorithm),
        ]
    }
}

/// An entry with a chain and perhaps its key, in clear: the edit that brings it seals it.
///
/// # Errors
/// When the chain cannot be read, or the key is another one's.
pub(crate) fn entry(name: &str, pem: &str, private_key: Option<&PrivateKeyDer<'static>>) -> Result<Element, String> {
    let chain = chain(pem)?;
    let facts = facts(&chain[0])?;
    let mut entry = Element::entry(name);
    let mut children = facts.to_elements();
    children.push(Element::leaf("public-key", pem.trim()));
    if let Some(private_key) = private_key {
        fits(chain, private_key)?;
        children.push(Element::leaf("private-key", &key::to_pem(private_key)));
    }
    entry.children = children.into_iter().map(|child| Child::Element(Arc::new(child))).collect();
    Ok(entry)
}

/// Chain and key, when they belong together.
///
/// # Errors
/// When they do not, or the key is of a kind that is not served.
pub(crate) fn fits(chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'static>) -> Result<CertifiedKey, String> {
    let signing =
        ring::sign::any_supported_type(key).map_err(|error| format!("the private key is not usable: {error}"))?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        Err(error) => Err(format!("the private key is not the certificate's: {error}")),
    }
}

/// The entry of that name.
pub(crate) fn find<'a>(root: &'a Element, name: &str) -> Option<&'a Element> {
    let lists = ["panorama", "shared"].into_iter().filter_map(|place| root.descend(&[place, "certificate"]));
    lists.filter_map(|list| list.entry_named(name)).next().map(|entry| &**entry)
}

/// What a server shows that has this entry: the chain, completed by the authorities beside it, and the key.
///
/// # Errors
/// What is missing or does not fit.
pub(crate) fn certified(root: &Element, name: &str, secrets: &Secrets) -> Result<CertifiedKey, String> {
    let entry = find(root, name).ok_or_else(|| format!("there is no certificate `{name}`"))?;
    let mut chain = chain(&text(entry, "public-key")).map_err(|error| format!("certificate `{name}`: {error}"))?;
    let key = key::of(entry, secrets).map_err(|error| format!("certificate `{name}`: {error}"))?;
    while chain.len() < CHAIN_MAX {
        let Some(above) = chain.last().and_then(|last| issuer_of(root, last)) else { break };
        chain.push(above);
    }
    fits(chain, &key).map_err(|error| format!("certificate `{name}`: {error}"))
}

/// The authority that signed a certificate, if it is here and is not the certificate itself.
fn issuer_of(root: &Element, certificate: &CertificateDer<'_>) -> Option<CertificateDer<'static>> {
    let below = facts(certificate).ok().filter(|facts| facts.subject != facts.issuer)?;
    let lists = ["panorama", "shared"].into_iter().filter_map(|place| root.descend(&[place, "certificate"]));
    let chains = lists.flat_map(Element::entries).filter_map(|(_, entry)| chain(&text(entry, "public-key")).ok());
    chains.flatten().find(|one| facts(one).is_ok_and(|facts| facts.ca && facts.subject == below.issuer))
}

/// The certificates of a PEM text and nothing else of it.
///
/// # Errors
/// When there are none.
pub(crate) fn only(pem: &str) -> Result<String, String> {
    Ok(chain(pem)?.iter().map(|one| key::pem("CERTIFICATE", one)).collect())
}

/// Every certificate that can be read, by name.
pub(crate) fn names(root: &Element) -> Vec<(String, Facts)> {
    let lists = ["panorama", "shared"].into_iter().filter_map(|place| root.descend(&[place, "certificate"]));
    let read = |(name, entry): (&str, &Arc<Element>)| {
        let chain = chain(&text(entry, "public-key")).ok()?;
        Some((name.to_owned(), facts(chain.first()?).ok()?))
    };
    lists.flat_map(Element::entries).filter_map(read).collect()
}

/// Text of a child; empty without one.
pub(crate) fn text(parent: &Element, tag: &str) -> String {
    parent.child(tag).map(|child| child.text()).unwrap_or_default()
}
