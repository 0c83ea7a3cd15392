//! A firewall as far as the manager can tell: it enrols, attaches and answers over real gRPC.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bartizan_api::fleet::device_message::Body as FromDevice;
use bartizan_api::fleet::enrollment_client::EnrollmentClient;
use bartizan_api::fleet::fleet_client::FleetClient;
use bartizan_api::fleet::log_record::Line;
use bartizan_api::fleet::manager_message::Body as ToDevice;
use bartizan_api::fleet::{
    ApiRequest, ApiResponse, ConfirmRequest, DeviceMessage, EnrollRequest, EnrollResponse, Hello, LogRecord, Logs,
    ManagerMessage, Push, PushResult, RenewRequest, TrafficLog,
};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{Identity, Server, between};

/// A manager that is silent for so long has forgotten us.
const PATIENCE: Duration = Duration::from_secs(20);

/// An attached device.
pub(crate) struct Device {
    pub(crate) serial: String,
    pub(crate) identity: Identity,
    sender: mpsc::Sender<DeviceMessage>,
    messages: Streaming<ManagerMessage>,
}

impl Device {
    /// Makes an auth key, enrols with it and attaches.
    pub(crate) async fn join(server: &Server) -> Self {
        let key = auth_key(server).await;
        let (identity, enrolled) = enrol(server, &key, "").await.unwrap();
        let device = Self::attach(server, identity, &enrolled.serial, "").await.unwrap();
        device.wait_until_known(server).await;
        device
    }

    /// The stream is there before the manager has read the hello.
    pub(crate) async fn wait_until_known(&self, server: &Server) {
        while !server.op("<show><devices><connected/></devices></show>").await.contains(&self.serial) {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn attach(
        server: &Server,
        identity: Identity,
        serial: &str,
        digest: &str,
    ) -> Result<Self, Status> {
        let hello = Hello {
            serial: serial.to_owned(),
            hostname: format!("host-{serial}"),
            software_version: "0.1.0".to_owned(),
            running_digest: digest.to_owned(),
            uptime_s: 1,
            management_address: "198.51.100.7".to_owned(),
            ..Hello::default()
        };
        Self::greet(server, identity, hello).await
    }

    /// As [`Self::attach`], with these first words.
    pub(crate) async fn greet(server: &Server, identity: Identity, hello: Hello) -> Result<Self, Status> {
        let serial = hello.serial.clone();
        let mut client = FleetClient::with_origin(channel(server, Some(&identity)).await, origin());
        let (sender, outgoing) = mpsc::channel(16);
        sender.send(DeviceMessage { body: Some(FromDevice::Hello(hello)) }).await.unwrap();
        let messages = client.attach(ReceiverStream::new(outgoing)).await?.into_inner();
        Ok(Self { serial, identity, sender, messages })
    }

    pub(crate) async fn next(&mut self) -> Option<Result<ToDevice, Status>> {
        tokio::time::timeout(PATIENCE, self.receive()).await.expect("the manager says nothing")
    }

    /// The next message, however long it takes.
    pub(crate) async fn receive(&mut self) -> Option<Result<ToDevice, Status>> {
        self.messages.next().await.map(|message| message.map(|message| message.body.unwrap()))
    }

    pub(crate) async fn next_push(&mut self) -> Push {
        match self.next().await {
            Some(Ok(ToDevice::Push(push))) => push,
            other => panic!("a push was expected, not {other:?}"),
        }
    }

    /// The next request of the XML API; its parameters by name.
    pub(crate) async fn next_request(&mut self) -> (ApiRequest, BTreeMap<String, String>) {
        match self.next().await {
            Some(Ok(ToDevice::ApiRequest(request))) => {
                let parameters = request.parameters.iter().map(|one| (one.name.clone(), one.value.clone())).collect();
                (request, parameters)
            }
            other => panic!("a request was expected, not {other:?}"),
        }
    }

    /// Answers a request.
    pub(crate) async fn respond(&self, request: &ApiRequest, status: u32, body: &str) {
        let response = ApiResponse { id: request.id, status, body: body.into(), file: String::new() };
        self.send(FromDevice::ApiResponse(response)).await;
    }

    pub(crate) async fn send(&self, body: FromDevice) {
        self.sender.send(DeviceMessage { body: Some(body) }).await.unwrap();
    }

    /// Takes a push and enforces it.
    pub(crate) async fn accept_push(&mut self) -> Push {
        self.enforce_push(0).await
    }

    /// Takes a push and enforces it; it is to be confirmed within so many seconds.
    pub(crate) async fn enforce_push(&mut self, confirm_window_s: u32) -> Push {
        let push = self.next_push().await;
        self.answer(&push, confirm_window_s).await;
        push
    }

    /// Says that a push is enforced.
    pub(crate) async fn answer(&self, push: &Push, confirm_window_s: u32) {
        let result = PushResult {
            id: push.id,
            enforced: true,
            digest: push.digest.clone(),
            diagnostics: Vec::new(),
            swap_us: 250,
            confirm_window_s,
        };
        self.send(FromDevice::PushResult(result)).await;
    }

    /// Confirms a push over a connection of its own.
    pub(crate) async fn confirm(&self, server: &Server, push: &Push) -> Result<(), Status> {
        let mut client = FleetClient::with_origin(channel(server, Some(&self.identity)).await, origin());
        let request = ConfirmRequest { push_id: push.id, digest: push.digest.clone() };
        client.confirm(request).await.map(drop)
    }

    /// A certificate for a new key, which takes the place of the one that it has when it attaches with it.
    pub(crate) async fn renew(&self, server: &Server) -> Result<Identity, Status> {
        let (pair, request) = new_key();
        let mut client = FleetClient::with_origin(channel(server, Some(&self.identity)).await, origin());
        let renewed = client.renew(RenewRequest { certificate_signing_request: request }).await?.into_inner();
        Ok(identity(&pair, &renewed.certificate_chain))
    }

    /// Sends logs and waits until they are acknowledged.
    pub(crate) async fn log(&mut self, boot_id: &str, sequence: u64, lines: Vec<TrafficLog>) {
        self.log_lines(boot_id, sequence, lines.into_iter().map(Line::Traffic).collect()).await;
    }

    /// As [`Self::log`], lines of any log.
    pub(crate) async fn log_lines(&mut self, boot_id: &str, sequence: u64, lines: Vec<Line>) {
        let records = lines.into_iter().map(|line| LogRecord { line: Some(line) }).collect();
        self.send(FromDevice::Logs(Logs { sequence, records, boot_id: boot_id.to_owned() })).await;
        match self.next().await {
            Some(Ok(ToDevice::LogsStored(stored))) => assert_eq!(stored.sequence, sequence),
            other => panic!("an acknowledgement was expected, not {other:?}"),
        }
    }
}

/// A key as an administrator makes it.
pub(crate) async fn auth_key(server: &Server) -> String {
    let answer = server
        .op("<request><bootstrap><vm-auth-key><generate><lifetime>24</lifetime></generate></vm-auth-key></bootstrap></request>")
        .await;
    between(&answer, "VM auth key ", " generated. Expires at: ").to_owned()
}

/// Enrols with a key pair made for it.
pub(crate) async fn enrol(server: &Server, key: &str, serial: &str) -> Result<(Identity, EnrollResponse), Status> {
    let (pair, request) = new_key();
    let request = EnrollRequest {
        auth_key: key.to_owned(),
        certificate_signing_request: request,
        hostname: "new".to_owned(),
        software_version: "0.1.0".to_owned(),
        serial: serial.to_owned(),
    };
    let mut client = EnrollmentClient::with_origin(channel(server, None).await, origin());
    let enrolled = client.enroll(request).await?.into_inner();
    Ok((identity(&pair, &enrolled.certificate_chain), enrolled))
}

/// A key pair, and a request to certify it, DER.
fn new_key() -> (rcgen::KeyPair, Vec<u8>) {
    let pair = rcgen::KeyPair::generate().unwrap();
    let request = rcgen::CertificateParams::default().serialize_request(&pair).unwrap();
    (pair, request.der().to_vec())
}

fn identity(pair: &rcgen::KeyPair, chain: &[Vec<u8>]) -> Identity {
    let chain = chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    Identity { chain, key: PrivateKeyDer::try_from(pair.serialize_der()).unwrap() }
}

fn origin() -> hyper::Uri {
    hyper::Uri::from_static("https://manager.bartizan")
}

/// One HTTP/2 connection as tonic wants it.
pub(crate) async fn channel(server: &Server, identity: Option<&Identity>) -> Channel {
    let stream = server.connect(identity, b"h2").await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    Channel(sender)
}

#[derive(Clone)]
pub(crate) struct Channel(http2::SendRequest<tonic::body::Body>);

impl tower_service::Service<hyper::Request<tonic::body::Body>> for Channel {
    type Response = hyper::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: hyper::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
