//! What would a Kubernetes API server answer? One without a cluster, whose objects the test makes and changes.
//!
//! It speaks what clients depend on: lists in pages, watches as chunked lines from a resource version on, bookmarks, 410 for
//! what it does not have any more, conflicts, statuses, and connections that break.

mod one;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_stream::wrappers::ReceiverStream;

type Body = BoxBody<Bytes, std::io::Error>;

/// The server.
pub struct ApiServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    serving: Option<JoinHandle<()>>,
    runtime: Option<Runtime>,
}

struct Shared {
    world: Mutex<World>,
    news: watch::Sender<u64>,
    /// Versions of the API of endpoint slices.
    discovery: Vec<String>,
}

/// One change.
struct Event {
    version: u64,
    plural: String,
    kind: &'static str,
    object: Value,
}

#[derive(Default)]
struct World {
    version: u64,
    /// By plural, namespace and name.
    objects: BTreeMap<(String, String, String), Value>,
    history: Vec<Event>,
    /// Changes up to this version are forgotten.
    forgotten: u64,
    /// Times that all watches were cut.
    cuts: u64,
    /// Times that bookmarks were sent.
    bookmarks: u64,
    /// Whether there are ClusterNetworkPolicies.
    has_cluster_policies: bool,
    lists: BTreeMap<String, usize>,
    watches: BTreeMap<String, usize>,
}

impl ApiServer {
    /// One on a free port, whose endpoint slices are of these versions.
    ///
    /// # Panics
    /// When there is no port.
    pub fn start(discovery: &[&str]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on_elsewhere(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            world: Mutex::new(World { version: 1, ..World::default() }),
            news: watch::Sender::new(0),
            discovery: discovery.iter().map(|version| (*version).to_owned()).collect(),
        });
        let serving = runtime.spawn(serve(listener, shared.clone()));
        Self { shared, address, serving: Some(serving), runtime: Some(runtime) }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A kubeconfig for it.
    pub fn kubeconfig(&self) -> String {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{ "name": "lab", "cluster": { "server": self.url() } }],
            "users": [{ "name": "lab", "user": {} }],
            "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": "lab", "namespace": "kube-system" } }]
        });
        config.to_string()
    }

    /// Makes an object, or another one of it; watches hear of it.
    pub fn put(&self, plural: &str, object: Value) {
        self.shared.put(plural, object);
    }

    /// Removes an object.
    pub fn delete(&self, plural: &str, namespace: &str, name: &str) {
        self.shared.delete(plural, namespace, name);
    }

    /// From now on the cluster has ClusterNetworkPolicies, or has none any more.
    pub fn have_cluster_policies(&self, has: bool) {
        self.shared.world().has_cluster_policies = has;
    }

    /// All objects of a kind.
    pub fn all(&self, plural: &str) -> Vec<Value> {
        let world = self.shared.world();
        world.objects.iter().filter(|((of, ..), _)| of == plural).map(|(_, object)| object.clone()).collect()
    }

    /// An object as it is.
    pub fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = (plural.to_owned(), namespace.to_owned(), name.to_owned());
        self.shared.world().objects.get(&key).cloned()
    }

    /// Cuts all watches, in the middle of whatever they send.
    pub fn cut(&self) {
        self.shared.world().cuts += 1;
        self.shared.tell();
    }

    /// Forgets what happened before: who wants to go on from there has to list anew.
    pub fn forget(&self) {
        let mut world = self.shared.world();
        world.forgotten = world.version;
        world.history.clear();
    }

    /// Sends a bookmark to every watch.
    pub fn bookmark(&self) {
        self.shared.world().bookmarks += 1;
        self.shared.tell();
    }

    /// How often the objects were listed from the beginning, and how often watched.
    pub fn asked(&self, plural: &str) -> (usize, usize) {
        let world = self.shared.world();
        let count = |of: &BTreeMap<String, usize>| of.get(plural).copied().unwrap_or_default();
        (count(&world.lists), count(&world.watches))
    }

    /// Ends every connection and answers nobody, until [`Self::come_back`].
    pub fn go_away(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            while !serving.is_finished() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Answers again, at the same place, with all that was changed meanwhile.
    ///
    /// # Panics
    /// When somebody else took the port.
    pub fn come_back(&mut self) {
        let Some(runtime) = &self.runtime else { return };
        let listener = loop {
            match runtime.block_on_elsewhere(TcpListener::bind(self.address)) {
                Ok(listener) => break listener,
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        self.serving = Some(runtime.spawn(serve(listener, self.shared.clone())));
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        // A runtime that is dropped within another one must not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Waits for what a runtime does, from within another one as well.
trait BlockOnElsewhere {
    fn block_on_elsewhere<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T;
}

impl BlockOnElsewhere for Runtime {
    fn block_on_elsewhere<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let (tell, told) = std::sync::mpsc::channel();
        self.spawn(async move {
            let _ = tell.send(work.await);
        });
        told.recv().expect("the runtime runs")
    }
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.news.send_modify(|number| *number += 1);
    }

    fn delete(&self, plural: &str, namespace: &str, name: &str) {
        let mut world = self.world();
        let key = (plural.to_owned(), namespace.to_owned(), name.to_owned());
        if let Some(mut object) = world.objects.remove(&key) {
            world.version += 1;
            object["metadata"]["resourceVersion"] = json!(world.version.to_string());
            let version = world.version;
            world.history.push(Event { version, plural: plural.to_owned(), kind: "DELETED", object });
        }
        drop(world);
        self.tell();
    }

    fn put(&self, plural: &str, mut object: Value) -> Value {
        let mut world = self.world();
        let of = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let key = (plural.to_owned(), of("namespace"), of("name"));
        world.version += 1;
        let version = world.version;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let kind = if world.objects.contains_key(&key) { "MODIFIED" } else { "ADDED" };
        world.objects.insert(key, object.clone());
        world.history.push(Event { version, plural: plural.to_owned(), kind, object: object.clone() });
        drop(world);
        self.tell();
        object
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with the task, they end.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        let service = hyper::service::service_fn(move |request| answer(shared.clone(), request));
        connections.spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let query: BTreeMap<String, String> =
        parts.uri.query().into_iter().flat_map(|query| query.split('&')).filter_map(pair).collect();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let steps: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (api_version, rest) = match steps.as_slice() {
        ["apis"] => return Ok(say(StatusCode::OK, &groups(&shared))),
        ["api", version, rest @ ..] => ((*version).to_owned(), rest),
        ["apis", group, version, rest @ ..] => (format!("{group}/{version}"), rest),
        _ => return Ok(unknown(&path)),
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        rest => ("", rest),
    };
    let [plural, rest @ ..] = rest else { return Ok(unknown(&path)) };
    if !shared.has(&api_version, plural) {
        return Ok(unknown(&path));
    }
    Ok(match (rest, &parts.method) {
        ([], &Method::GET) => many(&shared, &api_version, plural, &query),
        ([], &Method::POST) => {
            let which = one::Which { plural, namespace, name: None, is_status: false };
            one::answer(&shared, &parts.method, &which, &body)
        }
        ([name, rest @ ..], method) => {
            let which = one::Which { plural, namespace, name: Some(name), is_status: rest == ["status"] };
            one::answer(&shared, method, &which, &body)
        }
        _ => unknown(&path),
    })
}

fn unknown(path: &str) -> Response<Body> {
    status(StatusCode::NOT_FOUND, "NotFound", &format!("there is no `{path}`"))
}

fn pair(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    Some((name.to_owned(), value.replace("%3A", ":")))
}

/// Groups of the API with their versions, and what is in them.
const API: [(&str, &str, &[&str]); 7] = [
    ("", "v1", &["pods", "services", "nodes", "namespaces"]),
    ("coordination.k8s.io", "v1", &["leases"]),
    ("networking.k8s.io", "v1", &["networkpolicies"]),
    ("policy.networking.k8s.io", "v1alpha2", &["clusternetworkpolicies"]),
    ("events.k8s.io", "v1", &["events"]),
    ("bartizan.io", "v1", &["firewallpolicystates", "clusterfirewallpolicystates"]),
    ("discovery.k8s.io", "", &["endpointslices"]),
];
/// The group that a cluster may be without.
const OPTIONAL: &str = "policy.networking.k8s.io";

impl Shared {
    fn versions(&self, group: &str, version: &str) -> Vec<String> {
        match group {
            "discovery.k8s.io" => self.discovery.clone(),
            OPTIONAL if !self.world().has_cluster_policies => Vec::new(),
            _ => vec![version.to_owned()],
        }
    }

    fn has(&self, api_version: &str, plural: &str) -> bool {
        API.iter().any(|(group, version, plurals)| {
            let spelled =
                |version: &String| if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
            plurals.contains(&plural) && self.versions(group, version).iter().any(|one| spelled(one) == api_version)
        })
    }
}

fn groups(shared: &Shared) -> Value {
    let group = |(group, version, _): &(&str, &str, &[&str])| {
        let told = |version: &String| json!({ "groupVersion": format!("{group}/{version}"), "version": version });
        let versions: Vec<Value> = shared.versions(group, version).iter().map(told).collect();
        let preferred = versions.first().filter(|_| !group.is_empty())?;
        Some(json!({ "name": group, "versions": versions, "preferredVersion": preferred }))
    };
    let groups: Vec<Value> = API.iter().filter_map(group).collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

/// A list, or a watch.
fn many(shared: &Arc<Shared>, api_version: &str, plural: &str, query: &BTreeMap<String, String>) -> Response<Body> {
    let is_watch = query.get("watch").is_some_and(|watch| watch == "true" || watch == "1");
    if is_watch { follow(shared, api_version, plural, query) } else { list(shared, api_version, plural, query) }
}

fn kind_of(plural: &str) -> &'static str {
    match plural {
        "pods" => "Pod",
        "services" => "Service",
        "nodes" => "Node",
        "namespaces" => "Namespace",
        "networkpolicies" => "NetworkPolicy",
        "clusternetworkpolicies" => "ClusterNetworkPolicy",
        "firewallpolicystates" => "FirewallPolicyState",
        "clusterfirewallpolicystates" => "ClusterFirewallPolicyState",
        "events" => "Event",
        "leases" => "Lease",
        _ => "EndpointSlice",
    }
}

fn list(shared: &Shared, api_version: &str, plural: &str, query: &BTreeMap<String, String>) -> Response<Body> {
    let mut world = shared.world();
    // A page goes on from where the one before ended, of the same version.
    let (version, skip) = match query.get("continue").and_then(|token| token.split_once(':')) {
        Some((version, skip)) => (version.parse().unwrap_or(0), skip.parse().unwrap_or(0)),
        None => {
            *world.lists.entry(plural.to_owned()).or_default() += 1;
            (world.version, 0)
        }
    };
    // Of what was changed since there is no older state here.
    let has_changed = world.history.iter().any(|event| event.version > version && event.plural == plural);
    if version < world.forgotten || has_changed {
        return status(StatusCode::GONE, "Expired", "the provided continue parameter is too old");
    }
    let limit = query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
    let of_kind = world.objects.iter().filter(|((of, ..), _)| of == plural).map(|(_, object)| object);
    let mut rest = of_kind.skip(skip);
    let items: Vec<Value> = rest.by_ref().take(limit).cloned().collect();
    let mut metadata = json!({ "resourceVersion": version.to_string() });
    if rest.next().is_some() {
        metadata["continue"] = json!(format!("{version}:{}", skip + items.len()));
    }
    let list = format!("{}List", kind_of(plural));
    let list = json!({ "kind": list, "apiVersion": api_version, "metadata": metadata, "items": items });
    say(StatusCode::OK, &list)
}

fn follow(shared: &Arc<Shared>, api_version: &str, plural: &str, query: &BTreeMap<String, String>) -> Response<Body> {
    let since = query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
    let (chunks, body) = mpsc::channel(64);
    let (api_version, plural) = (api_version.to_owned(), plural.to_owned());
    *shared.world().watches.entry(plural.clone()).or_default() += 1;
    tokio::spawn(stream(shared.clone(), api_version, plural, since, chunks));
    let body = StreamBody::new(ReceiverStream::new(body));
    let mut response = Response::new(BodyExt::boxed(body));
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    response
}

/// Sends what happened since that version, and what happens.
async fn stream(
    shared: Arc<Shared>,
    api_version: String,
    plural: String,
    mut since: u64,
    chunks: mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>,
) {
    let mut news = shared.news.subscribe();
    let (cuts, mut bookmarks) = {
        let world = shared.world();
        (world.cuts, world.bookmarks)
    };
    loop {
        news.borrow_and_update();
        let (lines, is_cut, is_gone) = {
            let world = shared.world();
            let happened = world.history.iter().filter(|event| event.version > since && event.plural == plural);
            let line = |event: &Event| json!({ "type": event.kind, "object": event.object }).to_string();
            let mut lines: Vec<String> = happened.map(line).collect();
            let is_gone = since < world.forgotten;
            if is_gone {
                let object = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                    "message": "too old resource version", "reason": "Expired", "code": 410 });
                lines = vec![json!({ "type": "ERROR", "object": object }).to_string()];
            }
            since = world.version;
            if world.bookmarks != bookmarks {
                bookmarks = world.bookmarks;
                let metadata = json!({ "resourceVersion": since.to_string(), "creationTimestamp": null });
                let object = json!({ "kind": kind_of(&plural), "apiVersion": api_version, "metadata": metadata });
                lines.push(json!({ "type": "BOOKMARK", "object": object }).to_string());
            }
            (lines, world.cuts != cuts, is_gone)
        };
        for (number, line) in lines.iter().enumerate() {
            // A line comes in pieces, as it may; of a cut one only the first does.
            let (first, second) = line.as_bytes().split_at(line.len() / 2);
            let last = is_cut && number + 1 == lines.len();
            let pieces = if last { vec![first.to_vec()] } else { vec![first.to_vec(), [second, b"\n"].concat()] };
            for piece in pieces {
                if chunks.send(Ok(Frame::data(piece.into()))).await.is_err() {
                    return;
                }
            }
        }
        if is_cut {
            let _ = chunks.send(Err(std::io::ErrorKind::ConnectionReset.into())).await;
            return;
        }
        if is_gone {
            return;
        }
        tokio::select! {
            changed = news.changed() => if changed.is_err() { return },
            () = chunks.closed() => return,
        }
    }
}

fn status(code: StatusCode, reason: &str, message: &str) -> Response<Body> {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code.as_u16() });
    say(code, &status)
}

fn say(code: StatusCode, value: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(value.to_string())).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    response
}

/// A pod that runs.
pub fn pod(namespace: &str, name: &str, address: &str, labels: &[(&str, &str)]) -> Value {
    let labels: BTreeMap<&str, &str> = labels.iter().copied().collect();
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": { "name": name, "namespace": namespace, "uid": format!("{namespace}-{name}"), "labels": labels,
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": true }] },
        "spec": { "containers": [{ "name": "main", "image": "example/web:1" }], "nodeName": "node-1" },
        "status": { "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }] }
    })
}

/// A part of a service's endpoints: addresses and their pods.
pub fn slice(api_version: &str, namespace: &str, service: &str, endpoints: &[(&str, &str)]) -> Value {
    let endpoint = |(address, pod): &(&str, &str)| {
        json!({ "addresses": [address], "conditions": { "ready": true },
            "targetRef": { "kind": "Pod", "namespace": namespace, "name": pod } })
    };
    let endpoints: Vec<Value> = endpoints.iter().map(endpoint).collect();
    json!({ "kind": "EndpointSlice", "apiVersion": format!("discovery.k8s.io/{api_version}"), "addressType": "IPv4",
        "metadata": { "name": format!("{service}-1"), "namespace": namespace,
            "labels": { "kubernetes.io/service-name": service } },
        "endpoints": endpoints, "ports": [] })
}

/// A NetworkPolicy with a specification.
pub fn network_policy(namespace: &str, name: &str, spec: Value) -> Value {
    json!({ "kind": "NetworkPolicy", "apiVersion": "networking.k8s.io/v1",
        "metadata": { "name": name, "namespace": namespace, "uid": format!("{namespace}-{name}"), "generation": 1 },
        "spec": spec })
}

/// A namespace with labels.
pub fn namespace(name: &str, labels: &[(&str, &str)]) -> Value {
    let labels: BTreeMap<&str, &str> = labels.iter().copied().collect();
    json!({ "kind": "Namespace", "apiVersion": "v1", "metadata": { "name": name, "uid": name, "labels": labels } })
}
