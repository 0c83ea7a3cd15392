//! A Kubernetes API server as far as the plugin and the agent ask it, over real TLS.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

const TOKEN: &str = "sesame";

#[derive(Clone)]
pub(crate) struct ApiServer {
    address: SocketAddr,
    authority: String,
    objects: Arc<Mutex<BTreeMap<String, Value>>>,
    events: Arc<Mutex<Vec<Value>>>,
    away: Arc<Mutex<bool>>,
}

impl ApiServer {
    /// Serves at an address of the calling thread's network namespace.
    pub(crate) fn start(address: &str) -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![address.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind((address, 0)).unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            authority: authority.pem(),
            objects: Arc::default(),
            events: Arc::default(),
            away: Arc::default(),
        };
        let (serving, config) = (server.clone(), Arc::new(config));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (server, config) = (serving.clone(), Arc::clone(&config));
                std::thread::spawn(move || server.serve(stream, config));
            }
        });
        server
    }

    pub(crate) fn kubeconfig(&self) -> String {
        json!({
            "clusters": [{"name": "c", "cluster": {
                "server": format!("https://{}", self.address),
                "certificate-authority-data": base64(self.authority.as_bytes()),
            }}],
            "users": [{"name": "u", "user": {"token": TOKEN}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        })
        .to_string()
    }

    pub(crate) fn put(&self, path: &str, object: &Value) {
        self.objects.lock().unwrap().insert(path.to_owned(), object.clone());
    }

    /// Messages of the events so far.
    pub(crate) fn events(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let told = |event: &Value| {
            format!(
                "{}/{}: {}",
                event["involvedObject"]["namespace"].as_str().unwrap(),
                event["involvedObject"]["name"].as_str().unwrap(),
                event["message"].as_str().unwrap()
            )
        };
        events.iter().map(told).collect()
    }

    /// Every request is answered with 503, or no longer.
    pub(crate) fn set_away(&self, away: bool) {
        *self.away.lock().unwrap() = away;
    }

    fn serve(&self, stream: TcpStream, config: Arc<ServerConfig>) {
        let connection = ServerConnection::new(config).unwrap();
        let mut stream = BufReader::new(StreamOwned::new(connection, stream));
        while let Some((method, path, authorized, body)) = request(&mut stream) {
            let (status, answer) = if *self.away.lock().unwrap() {
                (503, json!({"kind": "Status", "message": "the server is starting"}))
            } else if !authorized {
                (401, json!({"kind": "Status", "message": "Unauthorized"}))
            } else {
                self.answer(&method, &path, body)
            };
            let answer = answer.to_string();
            let head = format!(
                "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                answer.len()
            );
            if stream.get_mut().write_all(format!("{head}{answer}").as_bytes()).is_err() {
                return;
            }
        }
    }

    fn answer(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        match method {
            "GET" => match self.objects.lock().unwrap().get(path) {
                Some(object) => (200, object.clone()),
                None => (404, json!({"kind": "Status", "message": format!("{path} not found")})),
            },
            "POST" if path.ends_with("/events") => {
                self.events.lock().unwrap().push(body.clone());
                (201, body)
            }
            _ => (405, json!({"kind": "Status", "message": "no such method"})),
        }
    }
}

/// Method, path, whether the token is right, body.
fn request(stream: &mut impl BufRead) -> Option<(String, String, bool, Value)> {
    let mut first = String::new();
    stream.read_line(&mut first).ok().filter(|read| *read > 0)?;
    let mut words = first.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut authorized) = (0, false);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "authorization" => authorized = value.trim() == format!("Bearer {TOKEN}"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((method, path, authorized, serde_json::from_slice(&body).unwrap_or_default()))
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
