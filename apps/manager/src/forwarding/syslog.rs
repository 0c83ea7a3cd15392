//! How does a message get to a syslog server: by UDP (RFC 5426), TCP (RFC 6587) or TLS (RFC 5425)?

use std::time::Duration;

use anyhow::Context as _;
use rustls_pki_types::CertificateDer;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UdpSocket;

use super::connect::{self, Stream};

/// A connection, a handshake or a batch must be done by then.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest datagram that every IPv4 path carries whole; the end of a longer message is cut off, as RFC 5426 has it.
const DATAGRAM_MAX: usize = 8192;

/// Over what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
    Tls,
}

/// A server of a syslog profile.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// Name or address.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) transport: Transport,
    /// RFC 5424 instead of RFC 3164.
    pub(super) ietf: bool,
    /// Number of the facility.
    pub(super) facility: u8,
    /// Whom to believe.
    pub(super) authorities: Vec<CertificateDer<'static>>,
}

enum Way {
    Datagrams(UdpSocket),
    Stream(Box<dyn Stream>),
}

/// The way to one server.
pub(super) struct Sender {
    server: Server,
    way: Option<Way>,
}

impl Sender {
    pub(super) fn new(server: &Server) -> Self {
        Self { server: server.clone(), way: None }
    }

    /// The next message goes over a new connection.
    pub(super) fn forget(&mut self) {
        self.way = None;
    }

    /// Sends messages in order; returns when the system has them all.
    pub(super) async fn send(&mut self, messages: &[String]) -> anyhow::Result<()> {
        if messages.is_empty() {
            return Ok(());
        }
        let to = format!("syslog server {}:{}", self.server.host, self.server.port);
        let late = || format!("{to} does not answer within {} s", TIMEOUT.as_secs());
        let mut way = match self.way.take() {
            Some(way) => way,
            None => {
                let connecting = tokio::time::timeout(TIMEOUT, connect(&self.server));
                connecting.await.with_context(late)?.with_context(|| format!("no connection to {to}"))?
            }
        };
        let sending = tokio::time::timeout(TIMEOUT, send(&mut way, messages, self.server.ietf));
        sending.await.with_context(late)?.with_context(|| format!("{to} takes nothing"))?;
        self.way = Some(way);
        Ok(())
    }
}

async fn connect(server: &Server) -> anyhow::Result<Way> {
    let target = (server.host.as_str(), server.port);
    if server.transport == Transport::Udp {
        let address = tokio::net::lookup_host(target).await?.next().context("the name has no address")?;
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(address).await?;
        return Ok(Way::Datagrams(socket));
    }
    let authorities = (server.transport == Transport::Tls).then_some(&*server.authorities);
    Ok(Way::Stream(connect::connect(&server.host, server.port, authorities).await?))
}

async fn send(way: &mut Way, messages: &[String], counted: bool) -> std::io::Result<()> {
    match way {
        Way::Datagrams(socket) => {
            for message in messages {
                let mut end = message.len().min(DATAGRAM_MAX);
                while !message.is_char_boundary(end) {
                    end -= 1;
                }
                socket.send(&message.as_bytes()[..end]).await?;
            }
        }
        Way::Stream(stream) => {
            let mut bytes = Vec::new();
            for message in messages {
                if counted {
                    bytes.extend_from_slice(format!("{} ", message.len()).as_bytes());
                    bytes.extend_from_slice(message.as_bytes());
                } else {
                    bytes.extend_from_slice(message.as_bytes());
                    bytes.push(b'\n');
                }
            }
            stream.write_all(&bytes).await?;
            stream.flush().await?;
        }
    }
    Ok(())
}
