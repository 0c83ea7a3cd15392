//! How does the one listener speak TLS?
//!
//! Everybody may connect; a firewall also shows the certificate that this manager gave it. Who shows none
//! is a client of the XML API or a device that wants to enrol; a certificate of another authority is refused.
//! Firewalls ask for the manager by its own name, and get the certificate of its own authority. Everybody else gets
//! what the SSL/TLS service profile says that the running configuration gives the manager.

pub(crate) mod profile;

use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use bartizan_model::tree::Element;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::pki::{Pki, SERVER_NAME};
use crate::secrets::Secrets;
use crate::{certificates, lock};
use profile::Profile;

/// TLS sessions that can be resumed, for each configuration of the listener.
const SESSIONS_MAX: usize = 4096;

/// What the listener shows to whom.
pub(crate) struct Listener {
    own: Arc<ServerConfig>,
    roots: Arc<RootCertStore>,
    secrets: Arc<Secrets>,
    /// What others than firewalls get, by the running configuration that says so.
    others: Mutex<Option<(Arc<Element>, Arc<ServerConfig>)>>,
}

impl Listener {
    /// The server's side of TLS 1.2 and 1.3, for gRPC (h2) and the XML API (h2 or http/1.1).
    pub(crate) fn new(pki: &Pki, secrets: Arc<Secrets>) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(pki.ca().clone()).context("the manager's own certificate authority is not usable")?;
        let roots = Arc::new(roots);
        let key = certificates::fits(pki.server_chain(), &pki.server_key()).map_err(|error| anyhow::anyhow!(error))?;
        let own = server_config(&roots, key, ring::default_provider(), rustls::ALL_VERSIONS)?;
        Ok(Self { own, roots, secrets, others: Mutex::default() })
    }

    /// For a client that asks for this name.
    pub(crate) fn for_name(&self, name: Option<&str>, running: &Arc<Element>) -> Arc<ServerConfig> {
        if name == Some(SERVER_NAME) {
            return self.own.clone();
        }
        let mut others = lock(&self.others);
        match &*others {
            Some((of, config)) if Arc::ptr_eq(of, running) => config.clone(),
            _ => {
                let config = self.of_profile(running).unwrap_or_else(|error| {
                    tracing::error!("the SSL/TLS service profile is not in effect: {error:#}");
                    None
                });
                let config = config.unwrap_or_else(|| self.own.clone());
                *others = Some((running.clone(), config.clone()));
                config
            }
        }
    }

    /// `None` when the manager has no profile.
    fn of_profile(&self, running: &Element) -> anyhow::Result<Option<Arc<ServerConfig>>> {
        let Some(name) = profile::own_name(running) else { return Ok(None) };
        let entry = profile::find(running, &name).with_context(|| format!("there is no profile `{name}`"))?;
        let profile = Profile::read(entry).map_err(|error| anyhow::anyhow!(error))?;
        let key = certificates::certified(running, &profile.certificate, &self.secrets);
        let key = key.map_err(|error| anyhow::anyhow!(error))?;
        let provider = CryptoProvider { cipher_suites: profile.suites(), ..ring::default_provider() };
        server_config(&self.roots, key, provider, &profile.protocols()).map(Some)
    }
}

fn server_config(
    roots: &Arc<RootCertStore>,
    key: CertifiedKey,
    provider: CryptoProvider,
    versions: &[&'static SupportedProtocolVersion],
) -> anyhow::Result<Arc<ServerConfig>> {
    let provider = Arc::new(provider);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
        .allow_unauthenticated()
        .build()
        .context("cannot verify device certificates")?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
    Ok(Arc::new(config))
}
