//! A Kubernetes API server as far as the plugin and the agent ask it, over real TLS.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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
    lists: Arc<Mutex<Lists>>,
}

/// Collections that are listed and watched.
#[derive(Default)]
struct Lists {
    /// By path, the objects by name.
    items: BTreeMap<String, BTreeMap<String, Value>>,
    /// Path and event; the place is the version.
    changes: Vec<(String, Value)>,
    /// Versions before this one are forgotten.
    oldest: usize,
    /// Watches that were opened, by path.
    watches: BTreeMap<String, u32>,
}

type Stream = BufReader<StreamOwned<ServerConnection, TcpStream>>;

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
            lists: Arc::default(),
        };
        let (serving, config) = (server.clone(), Arc::new(config));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // As the API server's: an answer in two pieces does not wait for an acknowledgement, which takes 40 ms.
                stream.set_nodelay(true).unwrap();
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

    /// Makes a collection, empty.
    pub(crate) fn collection(&self, path: &str) {
        self.lists.lock().unwrap().items.entry(path.to_owned()).or_default();
    }

    /// Puts an object into a collection, and tells who watches.
    pub(crate) fn set(&self, path: &str, mut object: Value) {
        let mut lists = self.lists.lock().unwrap();
        let version = lists.changes.len() + 1;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let before = lists.items.entry(path.to_owned()).or_default().insert(name, object.clone());
        let kind = if before.is_some() { "MODIFIED" } else { "ADDED" };
        lists.changes.push((path.to_owned(), json!({"type": kind, "object": object})));
    }

    /// Forgets all changes so far: every watch from before has to list again.
    pub(crate) fn forget(&self) {
        let mut lists = self.lists.lock().unwrap();
        lists.changes.push((String::new(), Value::Null));
        lists.oldest = lists.changes.len();
    }

    pub(crate) fn watches(&self, path: &str) -> u32 {
        self.lists.lock().unwrap().watches.get(path).copied().unwrap_or_default()
    }

    pub(crate) fn object(&self, path: &str) -> Option<Value> {
        self.objects.lock().unwrap().get(path).cloned()
    }

    pub(crate) fn remove(&self, path: &str) {
        self.objects.lock().unwrap().remove(path);
    }

    /// The files of a pod's service account.
    pub(crate) fn service_account(&self, folder: &std::path::Path) {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("token"), TOKEN).unwrap();
        std::fs::write(folder.join("ca.crt"), &self.authority).unwrap();
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
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
            if authorized && path.contains("watch=true") && !*self.away.lock().unwrap() {
                return self.watch(&path, &mut stream);
            }
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

    /// Streams changes until the client goes, the versions are forgotten or the server is away.
    fn watch(&self, url: &str, stream: &mut Stream) {
        let (path, query) = url.split_once('?').unwrap();
        let from = query.split('&').find_map(|part| part.strip_prefix("resourceVersion=")).unwrap();
        let mut at: usize = from.parse().unwrap();
        *self.lists.lock().unwrap().watches.entry(path.to_owned()).or_default() += 1;
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
        let mut out = head.to_owned();
        while !*self.away.lock().unwrap() {
            let lists = self.lists.lock().unwrap();
            let gone = at < lists.oldest;
            if gone {
                out += "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"message\":\"too old\"}}\n";
            }
            for (_, event) in lists.changes.iter().skip(at).filter(|(of, _)| of == path) {
                out += &format!("{event}\n");
            }
            at = lists.changes.len();
            drop(lists);
            if stream.get_mut().write_all(out.as_bytes()).is_err() || stream.get_mut().flush().is_err() {
                return;
            }
            if gone {
                return;
            }
            out.clear();
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn answer(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let path = path.split('?').next().unwrap();
        match method {
            "GET" if self.lists.lock().unwrap().items.contains_key(path) => {
                let lists = self.lists.lock().unwrap();
                let items: Vec<&Value> = lists.items[path].values().collect();
                (200, json!({"metadata": {"resourceVersion": lists.changes.len().to_string()}, "items": items}))
            }
            "GET" => match self.objects.lock().unwrap().get(path) {
                Some(object) => (200, object.clone()),
                None => (404, json!({"kind": "Status", "message": format!("{path} not found")})),
            },
            "POST" if path.ends_with("/events") => {
                let mut events = self.events.lock().unwrap();
                if events.iter().any(|event| event["metadata"]["name"] == body["metadata"]["name"]) {
                    return (409, json!({"kind": "Status", "message": "already exists"}));
                }
                events.push(body.clone());
                (201, body)
            }
            "POST" => {
                let object = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
                self.put(&object, &body);
                (201, body)
            }
            "PATCH" if path.contains("/events/") => {
                assert!(body["lastTimestamp"].is_string(), "{body}");
                (200, body)
            }
            "PATCH" => match self.objects.lock().unwrap().get_mut(path) {
                Some(object) => {
                    object["data"] = body["data"].clone();
                    (200, object.clone())
                }
                None => (404, json!({"kind": "Status", "message": "not found"})),
            },
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
