//! Who listens, and what may one connection cost?
//!
//! One TLS listener for everything: `/api` (and `/api/`, never a redirect between them), and where it is a manager's, the
//! JSON API below `/api/v1`, the gRPC services of the fleet and the web page at every other path. Connections, handshakes and bodies are bounded in number,
//! time and size.

pub(crate) mod parameters;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Extension, Request, State};
use axum::response::Response;
use axum::routing::any;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::server::Acceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::app::App;
use crate::{fleet, json, pki, web, xmlapi};

/// Connections held at once; further ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 12_288;
/// A TLS handshake must be done by then.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// The head of the next HTTP/1 request must be there by then. Clients keep connections for reuse, and one
/// that is closed under a request is an error to them, so this is longer than their own idle time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);
/// An HTTP/2 peer (a firewall, mostly) is asked for a sign of life this often, and has as long to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Requests one HTTP/2 connection may have under way.
const STREAMS_MAX: u32 = 64;
/// Connections get this long to finish what is under way when the manager stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Address.
    pub(crate) address: SocketAddr,
    /// The certificate of a device, verified against the manager's authority.
    pub(crate) device: Option<DeviceIdentity>,
}

/// What a verified device certificate says.
#[derive(Clone, Debug)]
pub(crate) struct DeviceIdentity {
    /// Its common name.
    pub(crate) serial: String,
    /// SHA-256, hex, of the certificate.
    pub(crate) certificate_digest: String,
}

/// Accepts connections until `stop` says so, then drains them.
pub(crate) async fn serve(app: Arc<App>, listener: TcpListener, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
    let router = router(app.clone());
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let slot = tokio::select! {
            slot = slots.clone().acquire_owned() => slot?,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, usually: closing connections helps, spinning does not.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (app, router, stop) = (app.clone(), router.clone(), stop.clone());
        connections.spawn(async move {
            if let Err(error) = connection(stream, address, app, router, stop).await {
                tracing::debug!(%address, %error, "connection ended");
            }
            drop(slot);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let drained = tokio::time::timeout(DRAIN, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(connections = connections.len(), "connections were cut: they did not finish in time");
    }
    Ok(())
}

fn router(app: Arc<App>) -> Router {
    let api = any(api).layer(DefaultBodyLimit::max(parameters::BODY_MAX));
    let router = Router::new().route("/api", api.clone()).route("/api/", api);
    if app.device.is_some() {
        return router.with_state(app);
    }
    router
        .merge(json::router())
        .route_service("/bartizan.fleet.v1.Enrollment/{*method}", fleet::enrollment_service(app.clone()))
        .route_service("/bartizan.fleet.v1.Fleet/{*method}", fleet::fleet_service(app.clone()))
        .fallback(web::answer)
        .with_state(app)
}

async fn api(State(app): State<Arc<App>>, Extension(peer): Extension<Peer>, request: Request) -> Response {
    xmlapi::handle(&app, &peer, request).await
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    app: Arc<App>,
    router: Router,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake(stream, &app)).await??;
    drop(app);
    let peer = Peer { address, device: device_identity(&stream) };
    let inner = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        inner.call(request)
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .max_concurrent_streams(STREAMS_MAX);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        done = connection.as_mut() => return done.map_err(|error| anyhow::anyhow!("{error}")),
        _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    connection.await.map_err(|error| anyhow::anyhow!("{error}"))
}

/// What the server shows depends on the name that the client asks for.
async fn handshake(stream: TcpStream, app: &App) -> std::io::Result<TlsStream<TcpStream>> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let config = app.listener.for_name(start.client_hello().server_name(), &app.configuration.snapshot().running);
    start.into_stream(config).await
}

fn device_identity(stream: &TlsStream<TcpStream>) -> Option<DeviceIdentity> {
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    Some(DeviceIdentity {
        serial: pki::subject_of(certificate)?,
        certificate_digest: crate::store::hex_digest(certificate),
    })
}
