//! How does a question come in? By TLS, from the API server.
//!
//! The certificate is mounted from a Secret, which may change: it is looked at again from time to time, and one that cannot
//! be read leaves the one of before.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::Settings;

/// Connections at a time.
const CONNECTIONS_MAX: usize = 64;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a connection may last; the API server keeps its connections.
const LIFE: Duration = Duration::from_secs(3600);
/// The certificate is looked at again so often.
const AGAIN: Duration = Duration::from_secs(30);
/// How long nobody is let in after the system refused a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// The certificate as it was read.
struct Identity {
    acceptor: TlsAcceptor,
    text: (Vec<u8>, Vec<u8>),
    looked: Instant,
}

impl Identity {
    fn read(settings: &Settings) -> anyhow::Result<Self> {
        let text = (read(&settings.certificate)?, read(&settings.key)?);
        Ok(Self { acceptor: acceptor(&text.0, &text.1)?, text, looked: Instant::now() })
    }

    fn look_again(&mut self, settings: &Settings) {
        if self.looked.elapsed() < AGAIN {
            return;
        }
        self.looked = Instant::now();
        match Self::read(settings) {
            Ok(new) if new.text == self.text => {}
            Ok(new) => {
                tracing::info!("the webhook has another certificate");
                *self = new;
            }
            Err(error) => tracing::warn!("the webhook keeps its certificate: {error:#}"),
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))
}

fn acceptor(certificate: &[u8], key: &[u8]) -> anyhow::Result<TlsAcceptor> {
    let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(certificate).collect();
    let chain = chain.context("the webhook's certificate is no PEM")?;
    let key = PrivateKeyDer::from_pem_slice(key).context("the webhook's key is no PEM")?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("the webhook's certificate and key do not belong together")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Lets connections in until it is dropped.
pub(super) async fn run(settings: &Settings, listener: TcpListener, router: Router) -> anyhow::Result<()> {
    let mut identity = Identity::read(settings)?;
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let permit = room.clone().acquire_owned().await?;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the webhook cannot let anybody in");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        identity.look_again(settings);
        let (acceptor, router) = (identity.acceptor.clone(), router.clone());
        connections.spawn(async move {
            let _ = tokio::time::timeout(LIFE, answer(stream, acceptor, router)).await;
            drop(permit);
        });
    }
}

async fn answer(stream: TcpStream, acceptor: TlsAcceptor, router: Router) {
    let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "a handshake with the webhook failed"),
        Err(_) => return,
    };
    let service = TowerToHyperService::new(router);
    let builder = Builder::new(TokioExecutor::new());
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection to the webhook broke");
    }
}
