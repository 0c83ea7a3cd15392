//! How does the one listener speak TLS?
//!
//! Everybody may connect; a firewall also shows the certificate that this manager gave it. Who shows none
//! is a client of the XML API or a device that wants to enrol; a certificate of another authority is refused.

use std::sync::Arc;

use anyhow::Context as _;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::pki::Pki;

/// The server's side of TLS 1.2 and 1.3, for gRPC (h2) and the XML API (h2 or http/1.1).
pub(crate) fn server_config(pki: &Pki) -> anyhow::Result<Arc<ServerConfig>> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(pki.ca().clone()).context("the manager's own certificate authority is not usable")?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .context("cannot verify device certificates")?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(pki.server_chain(), pki.server_key())
        .context("the server certificate and its key do not fit")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
