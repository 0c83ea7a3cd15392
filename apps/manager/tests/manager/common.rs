//! A real manager on a free loopback port, and a client that verifies its certificate.

// Benches have this file elsewhere in their tree.
#[path = "common/api.rs"]
pub(crate) mod api;
#[path = "common/device.rs"]
pub(crate) mod device;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use bartizan_lab::postgres::{Durability, Postgres};
use bartizan_manager::{DatabaseUrl, Manager, Settings};
use base64::Engine as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) const PASSWORD: &str = "correct horse battery";

/// Set to `postgres`, it makes every manager of these tests keep its data there.
pub(crate) const STORE_VARIABLE: &str = "BARTIZAN_TEST_STORE";

/// A manager that runs in this process.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) key: String,
    database: Option<DatabaseUrl>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut server = Self {
            address: "127.0.0.1:0".parse().unwrap(),
            directory,
            key: String::new(),
            database: database(),
            stop: None,
            task: None,
        };
        server.launch(change).await;
        let answer = server.send(&[("type", "keygen"), ("user", "admin"), ("password", PASSWORD)], &[]).await;
        server.key = between(&answer.body, "<key>", "</key>").to_owned();
        server
    }

    /// Starts a manager on data that are there, whose API key is known.
    pub(crate) async fn on(directory: tempfile::TempDir, database: Option<DatabaseUrl>, key: &str) -> Self {
        let address = "127.0.0.1:0".parse().unwrap();
        let mut server = Self { address, directory, key: key.to_owned(), database, stop: None, task: None };
        server.launch(|_| ()).await;
        server
    }

    /// Stops it and starts another one on the same data.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// After it was stopped.
    pub(crate) async fn start_again(&mut self) {
        self.launch(|_| ()).await;
    }

    pub(crate) fn database(&self) -> Option<&DatabaseUrl> {
        self.database.as_ref()
    }

    pub(crate) async fn stop(&mut self) {
        drop(self.stop.take());
        self.task.take().unwrap().await.unwrap();
    }

    /// Starts another one on the same data, after [`Self::stop`].
    pub(crate) async fn begin(&mut self) {
        self.launch(|_| ()).await;
    }

    async fn launch(&mut self, change: impl FnOnce(&mut Settings)) {
        let mut settings = Settings::new(self.directory.path(), "127.0.0.1:0".parse().unwrap());
        settings.admin_password = Some(PASSWORD.to_owned());
        settings.database = self.database.clone();
        change(&mut settings);
        let manager = Manager::start(settings).await.unwrap();
        self.address = manager.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        self.stop = Some(stop);
        self.task = Some(tokio::spawn(async move {
            manager.serve(async { drop(stopped.await) }).await.unwrap();
        }));
    }

    /// A request with the server's key.
    pub(crate) async fn api(&self, parameters: &[(&str, &str)]) -> Answer {
        self.send(parameters, &[("x-pan-key", &self.key)]).await
    }

    /// The body of a request with the server's key.
    pub(crate) async fn body(&self, parameters: &[(&str, &str)]) -> String {
        self.api(parameters).await.body
    }

    pub(crate) async fn op(&self, command: &str) -> String {
        self.body(&[("type", "op"), ("cmd", command)]).await
    }

    pub(crate) async fn set(&self, xpath: &str, element: &str) {
        let body = self.body(&[("type", "config"), ("action", "set"), ("xpath", xpath), ("element", element)]).await;
        assert!(body.contains("command succeeded"), "set {xpath}: {body}");
    }

    pub(crate) async fn get(&self, xpath: &str) -> String {
        self.body(&[("type", "config"), ("action", "get"), ("xpath", xpath)]).await
    }

    /// Commits and waits for the job.
    pub(crate) async fn commit(&self) -> String {
        let body = self.body(&[("type", "commit"), ("cmd", "<commit/>")]).await;
        self.wait(between(&body, "<job>", "</job>")).await
    }

    /// Pushes and waits for the job.
    pub(crate) async fn commit_all(&self, command: &str) -> String {
        let body = self.body(&[("type", "commit"), ("action", "all"), ("cmd", command)]).await;
        assert!(body.contains("<job>"), "{body}");
        self.wait(between(&body, "<job>", "</job>")).await
    }

    /// Polls a job, as clients do, until it is finished.
    pub(crate) async fn wait(&self, job: &str) -> String {
        loop {
            let body = self.op(&format!("<show><jobs><id>{job}</id></jobs></show>")).await;
            if body.contains("<status>FIN</status>") {
                return body;
            }
            tokio::task::yield_now().await;
        }
    }

    /// A POST with urlencoded parameters.
    pub(crate) async fn send(&self, parameters: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        self.request("POST", "/api/", &form_headers(headers), form(parameters)).await
    }

    pub(crate) async fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        self.try_request(method, path, headers, body).await.unwrap()
    }

    pub(crate) async fn try_request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, Box<dyn std::error::Error>> {
        let stream = self.connect(None, b"http/1.1").await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driving = tokio::spawn(connection);
        let mut request = hyper::Request::builder().method(method).uri(path).header("host", "manager.bartizan");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = sender.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        driving.abort();
        let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        Ok(Answer {
            status: parts.status.as_u16(),
            content_type: header("content-type").unwrap_or_default(),
            disposition: header("content-disposition").unwrap_or_default(),
            body: String::from_utf8(body.to_vec())?,
        })
    }

    /// A TLS connection that trusts only the manager's own authority.
    pub(crate) async fn connect(
        &self,
        identity: Option<&Identity>,
        protocol: &[u8],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder.with_client_auth_cert(identity.chain.clone(), identity.key.clone_key()).unwrap(),
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("manager.bartizan").unwrap(), stream).await
    }

    pub(crate) fn ca(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.file("pki/ca.pem")).unwrap()
    }

    pub(crate) fn file(&self, name: &str) -> std::path::PathBuf {
        Path::new(self.directory.path()).join(name)
    }
}

/// A new database, when these tests run on PostgreSQL.
pub(crate) fn database() -> Option<DatabaseUrl> {
    // It goes away with this process.
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    (std::env::var(STORE_VARIABLE).as_deref() == Ok("postgres")).then(|| {
        let server = SERVER.get_or_init(|| Postgres::start(Durability::None).unwrap());
        DatabaseUrl::parse(&server.database().unwrap()).unwrap()
    })
}

/// A device's certificate and key.
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) disposition: String,
    pub(crate) body: String,
}

fn form(parameters: &[(&str, &str)]) -> Vec<u8> {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish().into_bytes()
}

fn form_headers<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
    headers.extend(more);
    headers
}

pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// The text between two markers.
#[track_caller]
pub(crate) fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let Some((_, rest)) = text.split_once(before) else {
        panic!("no `{before}` in {text}");
    };
    rest.split_once(after).unwrap_or_else(|| panic!("no `{after}` in {text}")).0
}
