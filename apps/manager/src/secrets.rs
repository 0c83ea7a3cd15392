//! How are keys and passwords in the configuration kept, so that neither its readers nor the database have them?
//!
//! One is sealed (AES-256-GCM) before the edit that brings it is written down, with a key that comes from the
//! authority's and is not in the database. In the tree, in answers and in files stands only what was sealed; it begins
//! as an encrypted value of PAN-OS does.

use bartizan_model::schema::SEALED;
use bartizan_model::tree::{Child, Element};
use bartizan_model::xml;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::random;

/// Elements whose text is sealed, wherever they stand.
const TAGS: [&str; 8] = [
    "authpwd",
    "bind-password",
    "password",
    "private-key",
    "privpwd",
    "secret",
    "secure-proxy-password",
    "uninstall-password",
];
/// A parent, and its child whose text is sealed.
const WITHIN: (&str, &str) = ("pre-shared-key", "key");

/// What holds elements that come without a root.
const FRAGMENT: &str = "fragment";

/// Seals and opens.
#[derive(Debug)]
pub(crate) struct Secrets {
    key: LessSafeKey,
}

impl Secrets {
    /// With a key of 32 bytes.
    ///
    /// # Errors
    /// Never with this length.
    pub(crate) fn new(key: &[u8; 32]) -> anyhow::Result<Self> {
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|error| anyhow::anyhow!("no key for secrets: {error}"))?;
        Ok(Self { key: LessSafeKey::new(key) })
    }

    /// A text that only a manager with the same authority can read.
    pub(crate) fn seal(&self, text: &str) -> anyhow::Result<String> {
        let nonce = random::bytes::<NONCE_LEN>();
        let mut sealed = text.as_bytes().to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed)
            .map_err(|error| anyhow::anyhow!("a secret cannot be sealed: {error}"))?;
        Ok(format!("{SEALED}{}", BASE64.encode([&nonce[..], &sealed].concat())))
    }

    /// The text again; `None` when it was sealed by somebody else, or never.
    pub(crate) fn open(&self, sealed: &str) -> Option<String> {
        let mut bytes = BASE64.decode(sealed.trim().strip_prefix(SEALED)?).ok()?;
        if bytes.len() < NONCE_LEN {
            return None;
        }
        let mut text = bytes.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&bytes).ok()?;
        let text = self.key.open_in_place(nonce, Aad::empty(), &mut text).ok()?;
        String::from_utf8(text.to_vec()).ok()
    }

    /// An element as text, with its secrets sealed; `None` when there is none to be sealed, or it is not XML. `parent`
    /// is the path of what it is put into.
    pub(crate) fn seal_within(&self, text: &str, parent: &str) -> anyhow::Result<Option<String>> {
        let parent = if parent.trim_end().ends_with(WITHIN.0) { WITHIN.0 } else { "" };
        if parent.is_empty() && !TAGS.iter().chain([&WITHIN.0]).any(|tag| text.contains(tag)) {
            return Ok(None);
        }
        let Ok(root) = xml::parse(&format!("<{FRAGMENT}>{text}</{FRAGMENT}>")).or_else(|_| xml::parse(text)) else {
            return Ok(None);
        };
        let Some(sealed) = self.sealed(&root, parent)? else { return Ok(None) };
        if &*sealed.name == FRAGMENT {
            return Ok(Some(sealed.elements().map(|child| xml::write(child)).collect()));
        }
        Ok(Some(xml::write(&sealed)))
    }

    /// `None` when it stays as it is.
    fn sealed(&self, element: &Element, parent: &str) -> anyhow::Result<Option<Element>> {
        let name = &*element.name;
        if (TAGS.contains(&name) || (parent, name) == WITHIN) && element.elements().next().is_none() {
            let text = element.text();
            if text.is_empty() || text.starts_with(SEALED) {
                return Ok(None);
            }
            let children = vec![Child::Text(self.seal(&text)?.into())];
            return Ok(Some(Element { children, ..element.clone() }));
        }
        let mut copy: Option<Element> = None;
        for (index, child) in element.children.iter().enumerate() {
            if let Child::Element(child) = child
                && let Some(sealed) = self.sealed(child, if name == FRAGMENT { parent } else { name })?
            {
                copy.get_or_insert_with(|| element.clone()).children[index] = Child::Element(sealed.into());
            }
        }
        Ok(copy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_again_and_only_for_the_same_key() {
        let (ours, theirs) = (Secrets::new(&[1; 32]).unwrap(), Secrets::new(&[2; 32]).unwrap());
        let sealed = ours.seal("a key").unwrap();
        assert!(sealed.starts_with("-AQ==") && !sealed.contains("key"), "{sealed}");
        assert_ne!(sealed, ours.seal("a key").unwrap(), "no two look alike");
        assert_eq!(ours.open(&sealed).as_deref(), Some("a key"));
        for wrong in [&*sealed.replace("-AQ==", ""), "-AQ==", "-AQ==!", "-AQ==AAAA", ""] {
            assert_eq!(ours.open(wrong), None, "{wrong}");
        }
        assert_eq!(theirs.open(&sealed), None);
    }

    #[test]
    fn only_secrets_are_sealed_and_only_once() {
        let secrets = Secrets::new(&[1; 32]).unwrap();
        let text =
            "<entry name=\"a\"><private-key>K</private-key><public-key>P</public-key></entry><entry name=\"b\"/>";
        let sealed = secrets.seal_within(text, "").unwrap().unwrap();
        assert!(sealed.contains("<public-key>P<") && !sealed.contains(">K<") && sealed.contains("\"b\""), "{sealed}");
        assert_eq!(secrets.seal_within(&sealed, "").unwrap(), None);
        for none in [
            "<public-key>P</public-key>",
            "<private-key/>",
            "private-key",
            "<private-key><x/></private-key>",
            "<password-change><expiration-period>7</expiration-period></password-change>",
            "<key>K</key>",
        ] {
            assert_eq!(secrets.seal_within(none, "/config/shared").unwrap(), None, "{none}");
        }
        for (text, parent) in [
            ("<server><entry name=\"a\"><secret>S3</secret></entry></server>", "/config/shared/radius"),
            ("<pre-shared-key><key>S3</key></pre-shared-key>", "/config/gateway/authentication"),
            ("<key>S3</key>", "/config/gateway/authentication/pre-shared-key"),
        ] {
            let sealed = secrets.seal_within(text, parent).unwrap().unwrap();
            assert!(sealed.contains(">-AQ==") && !sealed.contains("S3<"), "{sealed}");
        }
    }
}
