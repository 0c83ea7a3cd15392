//! How does a private key come in and go out?
//!
//! As PEM: in clear, or encrypted under a passphrase (PKCS #8, RFC 5958 and RFC 8018).

use bartizan_model::tree::Element;
use pkcs8::der::pem::LineEnding;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, SecretDocument};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use super::text;
use crate::secrets::Secrets;

const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// Reads the key of a PEM text.
///
/// # Errors
/// When there is none, or the passphrase is not the right one.
pub(crate) fn read(pem: &str, passphrase: Option<&str>) -> Result<PrivateKeyDer<'static>, String> {
    if pem.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(
            "it is encrypted in the old form of OpenSSL; `openssl pkcs8 -topk8` makes one that is read".to_owned()
        );
    }
    let begin = format!("-----BEGIN {ENCRYPTED}-----");
    let Some(at) = pem.find(&begin) else {
        return PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| format!("it holds no private key: {error}"));
    };
    let passphrase =
        passphrase.ok_or_else(|| "the private key is encrypted, and `passphrase` is missing".to_owned())?;
    let end = format!("-----END {ENCRYPTED}-----");
    let length = pem[at..].find(&end).ok_or_else(|| "the private key is cut off".to_owned())? + end.len();
    let (_, document) = SecretDocument::from_pem(&pem[at..at + length])
        .map_err(|error| format!("the private key is not PEM: {error}"))?;
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
        .map_err(|error| format!("the private key is not PKCS #8: {error}"))?;
    let key = encrypted.decrypt(passphrase).map_err(|_| "the passphrase does not open the private key".to_owned())?;
    Ok(PrivateKeyDer::Pkcs8(key.as_bytes().to_vec().into()))
}

/// The key of an entry.
///
/// # Errors
/// When it has none, or one that another manager sealed.
pub(crate) fn of(entry: &Element, secrets: &Secrets) -> Result<PrivateKeyDer<'static>, String> {
    let sealed = text(entry, "private-key");
    if sealed.is_empty() {
        return Err("it has no private key".to_owned());
    }
    let pem = secrets
        .open(&sealed)
        .ok_or_else(|| "its private key was not sealed by this manager; import the key again".to_owned())?;
    read(&pem, None)
}

/// In clear.
pub(crate) fn to_pem(key: &PrivateKeyDer<'_>) -> String {
    let (label, der) = match key {
        PrivateKeyDer::Pkcs1(key) => ("RSA PRIVATE KEY", key.secret_pkcs1_der()),
        PrivateKeyDer::Sec1(key) => ("EC PRIVATE KEY", key.secret_sec1_der()),
        _ => ("PRIVATE KEY", key.secret_der()),
    };
    pem(label, der)
}

/// Under a passphrase.
///
/// # Errors
/// When the key is not PKCS #8.
pub(crate) fn to_encrypted_pem(key: &PrivateKeyDer<'_>, passphrase: &str) -> Result<String, String> {
    let info = PrivateKeyInfoRef::try_from(key.secret_der())
        .map_err(|_| "the private key is in an old form; import it as PKCS #8 to export it".to_owned())?;
    let encrypted =
        info.encrypt(passphrase).map_err(|error| format!("the private key cannot be encrypted: {error}"))?;
    Ok(pem(ENCRYPTED, encrypted.as_bytes()))
}

/// A PEM text (RFC 7468).
pub(super) fn pem(label: &'static str, der: &[u8]) -> String {
    let encoded = pkcs8::der::pem::encode_string(label, LineEnding::LF, der);
    // It fails for labels that are no labels only.
    encoded.unwrap_or_default()
}
