//! What does an SSL/TLS service profile ask of a listener?
//!
//! Offered are what the TLS library has: TLS 1.2 and 1.3 with ephemeral keys and AEAD ciphers. A profile narrows that;
//! what it would allow beyond has no effect, and the commit says so.

use bartizan_model::tree::Element;
use rustls::crypto::ring;
use rustls::{CipherSuite, SupportedCipherSuite, SupportedProtocolVersion};

use crate::certificates::text;

/// Where the manager's own profile is named.
pub(crate) const OWN_PROFILE: &str =
    "/config/devices/entry[@name='localhost.localdomain']/deviceconfig/system/ssl-tls-service-profile";
/// From the oldest.
const VERSIONS: [&str; 4] = ["tls1-0", "tls1-1", "tls1-2", "tls1-3"];

/// What a profile says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    /// Name of the certificate.
    pub(crate) certificate: String,
    /// Indexes of [`VERSIONS`].
    versions: (usize, usize),
    /// The switches that are off.
    off: Vec<String>,
    /// The switches that are on.
    on: Vec<String>,
}

/// The name of the profile that the manager's listener has, if it has one.
pub(crate) fn own_name(root: &Element) -> Option<String> {
    let own = root.child("devices")?.entry_named("localhost.localdomain")?;
    let name = own.descend(&["deviceconfig", "system", "ssl-tls-service-profile"])?.text();
    (!name.is_empty()).then_some(name)
}

/// The entry of that name.
pub(crate) fn find<'a>(root: &'a Element, name: &str) -> Option<&'a Element> {
    let lists =
        ["panorama", "shared"].into_iter().filter_map(|place| root.descend(&[place, "ssl-tls-service-profile"]));
    lists.filter_map(|list| list.entry_named(name)).next().map(|entry| &**entry)
}

impl Profile {
    /// Reads an entry.
    ///
    /// # Errors
    /// When nothing would be left to offer.
    pub(crate) fn read(entry: &Element) -> Result<Self, String> {
        let settings = entry.child("protocol-settings");
        let of = |tag: &str| settings.map(|settings| text(settings, tag)).unwrap_or_default();
        let version = |tag: &str, absent: usize| match of(tag).as_str() {
            "" => Ok(absent),
            "max" => Ok(VERSIONS.len() - 1),
            given => VERSIONS
                .iter()
                .position(|version| *version == given)
                .ok_or_else(|| format!("`{given}` is no version; there are {} and max", VERSIONS.join(", "))),
        };
        let versions = (version("min-version", 2)?, version("max-version", VERSIONS.len() - 1)?);
        if versions.0 > versions.1 {
            return Err(format!("`min-version` {} is above `max-version` {}", of("min-version"), of("max-version")));
        }
        let switches = |wanted: &str| {
            let elements = settings.into_iter().flat_map(|settings| settings.elements());
            let named = elements.filter(|element| element.name.contains("-algo-") && element.text() == wanted);
            named.map(|element| element.name.to_string()).collect::<Vec<_>>()
        };
        let profile =
            Self { certificate: text(entry, "certificate"), versions, off: switches("no"), on: switches("yes") };
        if profile.protocols().is_empty() {
            return Err(format!(
                "`max-version` {} leaves nothing: TLS 1.2 is the oldest that is offered",
                of("max-version")
            ));
        }
        if profile.suites().is_empty() {
            return Err("its algorithms leave no cipher suite that is offered".to_owned());
        }
        Ok(profile)
    }

    /// Versions that are offered.
    pub(crate) fn protocols(&self) -> Vec<&'static SupportedProtocolVersion> {
        let within = |index: usize| self.versions.0 <= index && index <= self.versions.1;
        let offered = [(2, &rustls::version::TLS12), (3, &rustls::version::TLS13)];
        offered.into_iter().filter(|(index, _)| within(*index)).map(|(_, version)| version).collect()
    }

    /// Cipher suites that are offered, in the library's order.
    pub(crate) fn suites(&self) -> Vec<SupportedCipherSuite> {
        let versions: Vec<_> = self.protocols().iter().map(|version| version.version).collect();
        let kept = |suite: &SupportedCipherSuite| {
            versions.contains(&suite.version().version)
                && algorithms(suite).iter().all(|algorithm| !self.off.iter().any(|off| off == algorithm))
        };
        ring::ALL_CIPHER_SUITES.iter().copied().filter(kept).collect()
    }

    /// What of it has no effect.
    pub(crate) fn ignored(&self) -> Vec<String> {
        let mut ignored = Vec::new();
        if self.versions.0 < 2 {
            ignored.push(format!("`min-version` {}", VERSIONS[self.versions.0]));
        }
        let offered: Vec<_> = ring::ALL_CIPHER_SUITES.iter().flat_map(algorithms).collect();
        let foreign = self.on.iter().filter(|on| !offered.contains(&on.as_str()));
        ignored.extend(foreign.map(|on| format!("`{on}`")));
        ignored
    }
}

/// The switches that a suite depends on. Those of TLS 1.3 name neither key exchange nor hash to be switched.
fn algorithms(suite: &SupportedCipherSuite) -> Vec<&'static str> {
    let cipher = match suite.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "enc-algo-aes-128-gcm",
        CipherSuite::TLS13_AES_256_GCM_SHA384
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "enc-algo-aes-256-gcm",
        _ => "enc-algo-chacha20-poly1305",
    };
    if suite.version().version == rustls::ProtocolVersion::TLSv1_3 {
        return vec![cipher];
    }
    let hash = if cipher == "enc-algo-aes-256-gcm" { "auth-algo-sha384" } else { "auth-algo-sha256" };
    vec![cipher, hash, "keyxchg-algo-ecdhe"]
}

#[cfg(test)]
mod tests {
    use bartizan_model::xml;

    use super::*;

    fn profile(settings: &str) -> Result<Profile, String> {
        let entry = format!(
            "<entry name=\"p\"><certificate>c</certificate><protocol-settings>{settings}</protocol-settings></entry>"
        );
        Profile::read(&xml::parse(&entry).unwrap())
    }

    fn offered(settings: &str) -> (usize, usize) {
        let profile = profile(settings).unwrap();
        (profile.protocols().len(), profile.suites().len())
    }

    #[test]
    fn a_profile_narrows_what_is_offered() {
        assert_eq!(offered(""), (2, 9));
        assert_eq!(offered("<min-version>tls1-3</min-version><max-version>max</max-version>"), (1, 3));
        assert_eq!(offered("<max-version>tls1-2</max-version>"), (1, 6));
        assert_eq!(offered("<enc-algo-aes-128-gcm>no</enc-algo-aes-128-gcm>"), (2, 6));
        assert_eq!(offered("<keyxchg-algo-ecdhe>no</keyxchg-algo-ecdhe>"), (2, 3));
        assert_eq!(offered("<auth-algo-sha256>no</auth-algo-sha256>"), (2, 5));
    }

    #[test]
    fn what_leaves_nothing_is_wrong_and_what_is_not_offered_is_told() {
        for (settings, reason) in [
            ("<min-version>tls1-3</min-version><max-version>tls1-2</max-version>", "is above"),
            ("<min-version>tls1-0</min-version><max-version>tls1-1</max-version>", "leaves nothing"),
            ("<max-version>tls1-2</max-version><keyxchg-algo-ecdhe>no</keyxchg-algo-ecdhe>", "no cipher suite"),
            ("<min-version>ssl3</min-version>", "`ssl3` is no version"),
        ] {
            assert!(profile(settings).unwrap_err().contains(reason), "{settings}");
        }
        let settings =
            "<min-version>tls1-0</min-version><enc-algo-3des>yes</enc-algo-3des><enc-algo-rc4>no</enc-algo-rc4>";
        assert_eq!(profile(settings).unwrap().ignored(), ["`min-version` tls1-0", "`enc-algo-3des`"]);
    }
}
