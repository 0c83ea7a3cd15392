//! Answers load balancers' health checks: is this firewall alive?
//!
//! HTTP and HTTPS on the local link only, with one constant answer and no management content. Everything
//! a client could hold on to is bounded: connections, their lifetime, the size of a request.

use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::warn;

/// Connections at a time, HTTP and HTTPS together; more are closed at once.
const CONNECTIONS_MAX: usize = 256;
/// A connection ends after this, whatever it does.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);
/// A request's headers must have come by then.
const HEADERS_LIMIT: Duration = Duration::from_secs(5);
/// Largest request head; hyper's smallest allowed buffer.
const HEAD_BYTES_MAX: usize = 8192;
/// What load balancers ask for: the root by default, and the pages by which deployment guides for PAN-OS
/// probe a firewall (Azure, then Google Cloud). None of them shows a login form here.
const PATHS: &[&str] = &["/", "/unauth/php/health.php", "/php/login.php"];

/// Where the responder listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Plain HTTP.
    pub http: u16,
    /// HTTPS with a certificate of its own making.
    pub https: u16,
    /// On the same ports of the IPv6 address, too.
    pub ipv6: bool,
}

/// Starts the responder on these addresses, and on this device only when one is named. It ends with the
/// runtime. Without IPv6 on the host it answers over IPv4 alone.
///
/// # Errors
/// When a port or the certificate cannot be had.
pub fn start(v4: Ipv4Addr, v6: Ipv6Addr, device: Option<&str>) -> Result<Ports> {
    let acceptor = TlsAcceptor::from(Arc::new(tls()?));
    let (http, https) = (listen((v4, 0).into(), device)?, listen((v4, 0).into(), device)?);
    let mut ports = Ports { http: http.local_addr()?.port(), https: https.local_addr()?.port(), ipv6: false };
    let both =
        listen((v6, ports.http).into(), device).and_then(|http| Ok((http, listen((v6, ports.https).into(), device)?)));
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    match both {
        Ok((http, https)) => {
            ports.ipv6 = true;
            tokio::spawn(accept(http, Arc::clone(&slots), None));
            tokio::spawn(accept(https, Arc::clone(&slots), Some(acceptor.clone())));
        }
        Err(error) => warn!("health checks are answered over IPv4 alone: {error:#}"),
    }
    tokio::spawn(accept(http, Arc::clone(&slots), None));
    tokio::spawn(accept(https, slots, Some(acceptor)));
    Ok(ports)
}

fn listen(address: SocketAddr, device: Option<&str>) -> Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(device) = device {
        socket
            .bind_device(Some(device.as_bytes()))
            .with_context(|| format!("bind the health responder to `{device}`"))?;
    }
    socket.bind(address).with_context(|| format!("bind the health responder to {address}"))?;
    Ok(socket.listen(CONNECTIONS_MAX as u32)?)
}

/// A certificate nobody is asked to trust: probes do not verify it, and it says nothing.
fn tls() -> Result<ServerConfig> {
    let signed = rcgen::generate_simple_self_signed(vec!["health.invalid".to_owned()])
        .context("make a certificate for the HTTPS health check")?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

async fn accept(listener: TcpListener, slots: Arc<Semaphore>, acceptor: Option<TlsAcceptor>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: wait for connections to end.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // A client that errs or dawdles loses its connection; there is nobody to tell.
            let _ = timeout(CONNECTION_LIMIT, connection(stream, acceptor)).await;
            drop(slot);
        });
    }
}

async fn connection(stream: TcpStream, acceptor: Option<TlsAcceptor>) -> Result<()> {
    match acceptor {
        None => serve(stream).await,
        Some(acceptor) => serve(acceptor.accept(stream).await?).await,
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<()> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_LIMIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .await?;
    Ok(())
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(respond(request.method(), request.uri().path()))
}

fn respond(method: &Method, path: &str) -> Response<Full<Bytes>> {
    let (status, body) = match (method, path) {
        (&Method::GET | &Method::HEAD, path) if PATHS.contains(&path) => (StatusCode::OK, "healthy\n"),
        (&Method::GET | &Method::HEAD, _) => (StatusCode::NOT_FOUND, "only health checks are answered\n"),
        _ => (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered\n"),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn ask(port: u16, request: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_probe_is_told_healthy_and_nothing_else() {
        let ports = start(Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST, None).unwrap();
        let close = "host: x\r\nconnection: close\r\n\r\n";
        let answer = ask(ports.http, &format!("GET / HTTP/1.1\r\n{close}")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nhealthy\n"), "{answer}");
        let answer = ask(ports.http, &format!("HEAD / HTTP/1.1\r\n{close}")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
        for path in ["/unauth/php/health.php", "/php/login.php", "/php/login.php?probe=1"] {
            let answer = ask(ports.http, &format!("GET {path} HTTP/1.1\r\n{close}")).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhealthy\n"), "{answer}");
        }
        let answer = ask(ports.http, &format!("GET /api/?type=keygen HTTP/1.1\r\n{close}")).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        let answer = ask(ports.http, &format!("DELETE / HTTP/1.1\r\n{close}")).await;
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    }

    #[tokio::test]
    async fn an_oversized_head_is_refused() {
        let ports = start(Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST, None).unwrap();
        let answer = ask(ports.http, &format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(HEAD_BYTES_MAX))).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}
