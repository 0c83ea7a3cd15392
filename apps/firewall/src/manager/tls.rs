//! TLS to the manager: whom do we talk to, and as whom?
//!
//! Before enrolment only the fingerprint of the manager's CA is known (from the auth key); afterwards
//! the CA itself and a client certificate are. Either way the manager proves the fixed name
//! `manager.bartizan`, whatever host name or address it is reached by.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hyper_util::rt::TokioIo;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::auth_key::Fingerprint;
use crate::store::Identity;

/// The name in the manager's certificate.
pub const SERVER_NAME: &str = "manager.bartizan";
/// TCP and TLS must stand after this.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// A silent connection is asked for a sign of life this often, and given up after as long again.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// A channel to a manager of whose CA only the fingerprint is known.
///
/// # Errors
/// When it cannot be reached, or is another manager.
pub(super) async fn connect_pinned(address: &str, fingerprint: Fingerprint) -> Result<Channel> {
    let (config, seen) = pinned(fingerprint)?;
    let channel = connect(address, config).await;
    if let (Err(_), Some(other)) = (&channel, seen.get()) {
        bail!(
            "the auth key belongs to another manager: it names the CA with fingerprint {fingerprint}, but {address} \
             answers with {other}. Take a key from this manager, or give the other one's address as `--manager`"
        );
    }
    channel
}

/// TLS to a manager of whose CA only the fingerprint is known. Where its chain ends in another CA, that one's
/// fingerprint is put down.
///
/// # Errors
/// When the cryptography at hand knows no usual version of TLS.
pub fn pinned(fingerprint: Fingerprint) -> Result<(ClientConfig, Arc<OnceLock<Fingerprint>>)> {
    let provider = provider();
    let seen = Arc::new(OnceLock::new());
    let verifier = PinnedCa { fingerprint, seen: Arc::clone(&seen), provider: Arc::clone(&provider) };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok((config, seen))
}

/// A channel with mutual TLS.
///
/// # Errors
/// When the manager cannot be reached or is not the one that enrolled this device.
pub(super) async fn connect_enrolled(address: &str, identity: &Identity) -> Result<Channel> {
    connect(address, client_config(identity)?).await
}

/// Checks that key, certificate and CA of an identity can be used together.
///
/// # Errors
/// When one is damaged or the certificate is for another key.
pub(super) fn client_config(identity: &Identity) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(identity.ca.clone())).context("read the manager's CA certificate")?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.clone()));
    let chain = vec![CertificateDer::from(identity.certificate.clone())];
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .context("use this device's certificate and key")
}

async fn connect(address: &str, mut config: ClientConfig) -> Result<Channel> {
    config.alpn_protocols = vec![b"h2".to_vec()];
    let dialer = Dialer { address: address.to_owned(), config: Arc::new(config) };
    // tonic only sees the stream behind TLS, hence the scheme.
    Endpoint::from_static("http://manager.bartizan")
        .connect_timeout(CONNECT_LIMIT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .connect_with_connector(dialer)
        .await
        .map_err(|error| anyhow::anyhow!(causes(&error)))
}

/// tonic's errors say `transport error` and keep what happened in their sources.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.ends_with(&words) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&words);
        }
        cause = error.source();
    }
    if text.is_empty() { error.to_string() } else { text }
}

/// Opens TLS connections for tonic.
#[derive(Clone)]
struct Dialer {
    address: String,
    config: Arc<ClientConfig>,
}

impl Dialer {
    async fn dial(self) -> Result<TokioIo<TlsStream<TcpStream>>> {
        let attempt = async {
            let stream =
                TcpStream::connect(&self.address).await.with_context(|| format!("connect to {}", self.address))?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from(SERVER_NAME)?;
            let stream = TlsConnector::from(self.config)
                .connect(name, stream)
                .await
                .with_context(|| format!("speak TLS with {}", self.address))?;
            if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                bail!("{} is no bartizan manager: it does not speak HTTP/2", self.address);
            }
            Ok(TokioIo::new(stream))
        };
        match tokio::time::timeout(CONNECT_LIMIT, attempt).await {
            Ok(result) => result,
            Err(_) => bail!("{} did not answer within {} s", self.address, CONNECT_LIMIT.as_secs()),
        }
    }
}

impl tower_service::Service<Uri> for Dialer {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move { dialer.dial().await.map_err(|error| DialError(format!("{error:#}"))) })
    }
}

/// Why a connection does not stand, in one line.
#[derive(Debug)]
struct DialError(String);

impl std::fmt::Display for DialError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DialError {}

/// Accepts a server whose chain ends in the one CA that has the fingerprint.
#[derive(Debug)]
struct PinnedCa {
    fingerprint: Fingerprint,
    /// The fingerprint of the CA that was presented instead.
    seen: Arc<OnceLock<Fingerprint>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedCa {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(ca) = intermediates.iter().find(|certificate| Fingerprint::of(certificate) == self.fingerprint) else {
            self.seen.get_or_init(|| Fingerprint::of(intermediates.last().unwrap_or(end_entity)));
            return Err(CertificateError::UnknownIssuer.into());
        };
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[cfg(test)]
mod tests {
    use rustls::ServerConfig;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    #[tokio::test]
    async fn a_key_of_another_manager_is_refused_with_both_fingerprints() {
        let signed = rcgen::generate_simple_self_signed(vec![SERVER_NAME.to_owned()]).unwrap();
        let certificate = signed.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der()));
        let server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::new(server));
            while let Ok((stream, _)) = listener.accept().await {
                // The client hangs up: that is what is tested.
                let _ = acceptor.accept(stream).await;
            }
        });
        let expected = Fingerprint::of(b"the CA of another manager");
        let refused = connect_pinned(&address, expected).await.unwrap_err().to_string();
        assert_eq!(
            refused,
            format!(
                "the auth key belongs to another manager: it names the CA with fingerprint {expected}, but {address} \
                 answers with {}. Take a key from this manager, or give the other one's address as `--manager`",
                Fingerprint::of(&certificate)
            )
        );
    }
}
