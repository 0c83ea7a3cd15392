//! The auth key an operator carries from the manager to a new firewall: `<secret>.<fingerprint>`.
//!
//! The fingerprint is the SHA-256 of the manager's CA certificate, so that the firewall knows whom it
//! tells the secret to before it tells it.

use std::fmt;

use anyhow::{Result, bail};
use sha2::{Digest, Sha256};

use crate::hex;

/// Longest secret accepted.
const SECRET_CHARS_MAX: usize = 256;

/// A parsed auth key.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthKey {
    whole: String,
    fingerprint: Fingerprint,
}

/// SHA-256 of a certificate in DER.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl AuthKey {
    /// Reads a key, strictly: nothing is trimmed or folded.
    ///
    /// # Errors
    /// Says what is wrong with the form; never repeats the secret.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((secret, fingerprint)) = text.split_once('.') else {
            bail!("the auth key has no `.`: it looks like `<secret>.<64 hex digits>`, copy it whole from the manager");
        };
        if secret.is_empty() || secret.len() > SECRET_CHARS_MAX {
            bail!(
                "the secret before the `.` of the auth key has {} characters, not 1 to {SECRET_CHARS_MAX}",
                secret.len()
            );
        }
        if !secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
            bail!("the secret before the `.` of the auth key has a character other than letters, digits, `-` and `_`");
        }
        let Some(fingerprint) = Fingerprint::parse(fingerprint) else {
            bail!(
                "what follows the `.` of the auth key is not 64 lower-case hex digits, but {} characters",
                fingerprint.len()
            );
        };
        Ok(Self { whole: text.to_owned(), fingerprint })
    }

    /// The key as it goes to the manager.
    pub fn as_str(&self) -> &str {
        &self.whole
    }

    /// Which CA the manager must have.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

impl fmt::Debug for AuthKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthKey(***.{})", self.fingerprint)
    }
}

impl Fingerprint {
    /// Of a certificate.
    pub fn of(certificate_der: &[u8]) -> Self {
        Self(Sha256::digest(certificate_der).into())
    }

    /// Reads 64 lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        hex::decode(text)?.try_into().ok().map(Self)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint() -> String {
        Fingerprint::of(b"a certificate").to_string()
    }

    #[test]
    fn a_key_copied_whole_is_accepted_and_names_the_ca() {
        let key = AuthKey::parse(&format!("s3cret-_x.{}", fingerprint())).unwrap();
        assert_eq!(key.fingerprint(), Fingerprint::of(b"a certificate"));
        assert_eq!(key.as_str(), format!("s3cret-_x.{}", fingerprint()));
    }

    #[test]
    fn every_other_form_is_refused_without_repeating_the_secret() {
        let good = fingerprint();
        for bad in [
            String::new(),
            "hushhush".to_owned(),
            format!(".{good}"),
            "hushhush.".to_owned(),
            format!("hushhush.{}", &good[1..]),
            format!("hushhush.{good}0"),
            format!("hushhush.{}", good.to_uppercase()),
            format!("hushhush.{good}.x"),
            format!("hushhush. {good}"),
            format!("hush hush.{good}"),
            format!("hushhush.{good}\n"),
            format!("hushhush.+{}", &good[1..]),
            format!("{}.{good}", "h".repeat(257)),
        ] {
            let error = AuthKey::parse(&bad).expect_err(&format!("`{bad}` was accepted")).to_string();
            assert!(!error.contains("hushhush"), "{error}");
        }
    }

    #[test]
    fn the_secret_is_not_printed() {
        let key = AuthKey::parse(&format!("hushhush.{}", fingerprint())).unwrap();
        assert!(!format!("{key:?}").contains("hushhush"));
    }
}
