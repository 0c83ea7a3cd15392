//! A manager that does as it is told by a test: enrolment and the fleet stream over real TLS.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bartizan_api::fleet::enrollment_server::{Enrollment, EnrollmentServer};
use bartizan_api::fleet::fleet_server::{Fleet, FleetServer};
use bartizan_api::fleet::{
    ConfirmRequest, ConfirmResponse, DeviceMessage, EnrollRequest, EnrollResponse, ManagerMessage, RenewRequest,
    RenewResponse, device_message, manager_message,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, SerialNumber,
};
use rustls::pki_types::{CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

pub(crate) type Ca = CertifiedIssuer<'static, KeyPair>;

type Voice = mpsc::Sender<Result<ManagerMessage, Status>>;

/// The secret part of the one auth key that is accepted.
pub(crate) const SECRET: &str = "open-sesame";

pub(crate) fn ca(name: &str) -> Arc<Ca> {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Arc::new(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
}

/// What devices said, and where to answer.
#[derive(Clone)]
pub(crate) struct Manager {
    pub(crate) address: SocketAddr,
    pub(crate) ca: Arc<Ca>,
    enrolled: Arc<Mutex<Vec<EnrollRequest>>>,
    heard: Arc<Mutex<mpsc::Receiver<DeviceMessage>>>,
    voice: Arc<Mutex<Option<Voice>>>,
    hang_up: Arc<watch::Sender<u32>>,
    attached: Arc<Mutex<u32>>,
    renewals: Arc<Mutex<u32>>,
    refused: Arc<watch::Sender<u32>>,
    confirmed: Arc<Mutex<Vec<ConfirmRequest>>>,
    deaf: Arc<watch::Sender<bool>>,
}

#[derive(Clone)]
struct Service {
    manager: Manager,
    ears: mpsc::Sender<DeviceMessage>,
}

impl Manager {
    pub(crate) async fn start(ca: &Arc<Ca>) -> Self {
        Self::listen(ca, "127.0.0.1:0".parse().unwrap(), "manager.bartizan").await
    }

    pub(crate) async fn listen(ca: &Arc<Ca>, address: SocketAddr, name: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let (ears, heard) = mpsc::channel(1000);
        let manager = Self {
            address: listener.local_addr().unwrap(),
            ca: Arc::clone(ca),
            enrolled: Arc::default(),
            heard: Arc::new(Mutex::new(heard)),
            voice: Arc::default(),
            hang_up: Arc::new(watch::channel(0).0),
            attached: Arc::default(),
            renewals: Arc::default(),
            refused: Arc::new(watch::channel(0).0),
            confirmed: Arc::default(),
            deaf: Arc::new(watch::channel(false).0),
        };
        let service = Service { manager: manager.clone(), ears };
        let routes =
            tonic::service::Routes::new(EnrollmentServer::new(service.clone())).add_service(FleetServer::new(service));
        let acceptor = TlsAcceptor::from(Arc::new(server_tls(ca, name)));
        let (hang_up, refused) = (Arc::clone(&manager.hang_up), Arc::clone(&manager.refused));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, routes, mut gone) = (acceptor.clone(), routes.clone(), hang_up.subscribe());
                let refused = Arc::clone(&refused);
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        refused.send_modify(|count| *count += 1);
                        return;
                    };
                    let service = TowerToHyperService::new(routes);
                    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    tokio::select! {
                        _ = server.serve_connection(TokioIo::new(stream), service) => {}
                        _ = gone.changed() => {}
                    }
                });
            }
        });
        manager
    }

    pub(crate) fn auth_key(&self) -> String {
        let fingerprint = bartizan_firewall::auth_key::Fingerprint::of(self.ca.der());
        format!("{SECRET}.{fingerprint}")
    }

    pub(crate) fn enrolments(&self) -> Vec<EnrollRequest> {
        self.enrolled.lock().unwrap().clone()
    }

    pub(crate) fn renewals(&self) -> u32 {
        *self.renewals.lock().unwrap()
    }

    pub(crate) fn attachments(&self) -> u32 {
        *self.attached.lock().unwrap()
    }

    /// Waits until devices have broken off a handshake twice.
    pub(crate) async fn refused_twice(&self) {
        let twice = async { self.refused.subscribe().wait_for(|count| *count >= 2).await.map(drop) };
        tokio::time::timeout(Duration::from_secs(20), twice).await.expect("the device tries within 20 s").unwrap();
    }

    /// Whether confirmations of pushes get lost on their way.
    pub(crate) fn set_deaf(&self, deaf: bool) {
        self.deaf.send_replace(deaf);
    }

    /// The pushes that were confirmed.
    pub(crate) fn confirmed(&self) -> Vec<u64> {
        self.confirmed.lock().unwrap().iter().map(|request| request.push_id).collect()
    }

    /// Breaks every connection.
    pub(crate) fn hang_up(&self) {
        *self.voice.lock().unwrap() = None;
        self.hang_up.send_modify(|count| *count += 1);
    }

    pub(crate) async fn say(&self, body: manager_message::Body) {
        let voice = self.voice.lock().unwrap().clone().expect("a device is attached");
        voice.send(Ok(ManagerMessage { body: Some(body) })).await.unwrap();
    }

    /// The next message that `wanted` picks; others are passed over.
    pub(crate) async fn hear<T>(&self, wanted: impl Fn(device_message::Body) -> Option<T>) -> T {
        let heard = Arc::clone(&self.heard);
        let search = std::future::poll_fn(move |context| {
            let mut heard = heard.lock().unwrap();
            loop {
                match heard.poll_recv(context) {
                    std::task::Poll::Ready(Some(message)) => {
                        if let Some(found) = message.body.and_then(&wanted) {
                            return std::task::Poll::Ready(found);
                        }
                    }
                    std::task::Poll::Ready(None) => panic!("the manager ended"),
                    std::task::Poll::Pending => return std::task::Poll::Pending,
                }
            }
        });
        tokio::time::timeout(Duration::from_secs(20), search).await.expect("the device says it within 20 s")
    }
}

fn server_tls(ca: &Ca, name: &str) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = parameters.signed_by(&key, ca).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![certificate.der().clone(), ca.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

#[tonic::async_trait]
impl Enrollment for Service {
    async fn enroll(&self, request: Request<EnrollRequest>) -> Result<Response<EnrollResponse>, Status> {
        let request = request.into_inner();
        if request.auth_key != self.manager.auth_key() {
            return Err(Status::permission_denied("the auth key is not known"));
        }
        let signing = CertificateSigningRequestDer::from(request.certificate_signing_request.clone());
        let mut signing = CertificateSigningRequestParams::from_der(&signing).unwrap();
        signing.params.serial_number = Some(SerialNumber::from(7_u64));
        signing.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = signing.signed_by(&*self.manager.ca).unwrap();
        let serial = if request.serial.is_empty() { "BZ0001".to_owned() } else { request.serial.clone() };
        self.manager.enrolled.lock().unwrap().push(request);
        Ok(Response::new(EnrollResponse {
            serial,
            certificate_chain: vec![certificate.der().to_vec(), self.manager.ca.der().to_vec()],
            ca_certificate: self.manager.ca.der().to_vec(),
        }))
    }
}

#[tonic::async_trait]
impl Fleet for Service {
    type AttachStream = Pin<Box<dyn tokio_stream::Stream<Item = Result<ManagerMessage, Status>> + Send>>;

    async fn attach(&self, request: Request<Streaming<DeviceMessage>>) -> Result<Response<Self::AttachStream>, Status> {
        let (voice, messages) = mpsc::channel(16);
        *self.manager.voice.lock().unwrap() = Some(voice);
        *self.manager.attached.lock().unwrap() += 1;
        let (mut stream, ears) = (request.into_inner(), self.ears.clone());
        tokio::spawn(async move {
            while let Ok(Some(message)) = stream.message().await {
                if ears.send(message).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(messages))))
    }

    async fn confirm(&self, request: Request<ConfirmRequest>) -> Result<Response<ConfirmResponse>, Status> {
        if *self.manager.deaf.borrow() {
            return Err(Status::unavailable("nobody hears it"));
        }
        self.manager.confirmed.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ConfirmResponse {}))
    }

    /// This one keeps its devices as they are.
    async fn renew(&self, _: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        *self.manager.renewals.lock().unwrap() += 1;
        Err(Status::unavailable("the new certificate cannot be written down"))
    }
}
