//! What would a manager keep? One that holds tags and policies as the real one does, and says what it was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use bartizan_model::registered::{Registry, lines, respond};
use bartizan_model::xml;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// What it was told.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) tags: Registry,
    pub(crate) messages: usize,
    pub(crate) renewals: Vec<Value>,
    /// Policies as they were told, with the tags that there were then.
    pub(crate) told: Vec<(Value, BTreeMap<IpAddr, BTreeSet<String>>)>,
    /// The digest of what it has; empty when it has nothing.
    pub(crate) has: String,
    /// Number of the answer to who asks what became of it.
    pub(crate) version: u64,
    /// What it says of policies: status and reason of each condition, by name.
    pub(crate) says: BTreeMap<String, Vec<(&'static str, &'static str, &'static str)>>,
    /// It refuses policies.
    pub(crate) refuses: bool,
}

/// The manager.
pub(crate) struct Manager {
    pub(crate) address: SocketAddr,
    pub(crate) kept: Arc<Mutex<Kept>>,
    serving: JoinHandle<()>,
}

impl Manager {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Arc::<Mutex<Kept>>::default();
        Self { address, serving: tokio::spawn(serve(listener, kept.clone())), kept }
    }

    /// Ends every connection, and answers nobody.
    pub(crate) async fn go_away(&mut self) {
        self.serving.abort();
        let _ = (&mut self.serving).await;
    }

    /// Answers again, with what it had.
    pub(crate) async fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serving = tokio::spawn(serve(listener, self.kept.clone()));
    }

    /// Tags without the cluster's name, by address.
    pub(crate) fn tags(&self) -> BTreeMap<String, Vec<String>> {
        let kept = self.kept.lock().unwrap();
        let short = |tag: &String| tag.replace("k8s.cl_lab.", "");
        let entries = kept.tags.entries().iter();
        entries.map(|(address, entry)| (address.to_string(), entry.tags.keys().map(short).collect())).collect()
    }
}

async fn serve(listener: TcpListener, kept: Arc<Mutex<Kept>>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let kept = kept.clone();
        let service = hyper::service::service_fn(move |request| answer(kept.clone(), request));
        connections.spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn states(kept: &Kept) -> Vec<Value> {
    let told = kept.told.last().map(|(told, _)| told["policies"].as_array().cloned().unwrap_or_default());
    let state = |policy: Value| {
        let metadata = &policy["metadata"];
        let says = kept.says.get(metadata["name"].as_str()?)?;
        let condition = |(kind, status, reason): &(&str, &str, &str)| {
            json!({ "type": kind, "status": status, "reason": reason, "message": "so it is",
                "since": "2026-11-26T20:00:00Z" })
        };
        let conditions: Vec<Value> = says.iter().map(condition).collect();
        Some(json!({ "kind": policy["kind"], "namespace": metadata["namespace"], "name": metadata["name"],
            "uid": metadata["uid"], "generation": metadata["generation"], "version": kept.version,
            "conditions": conditions, "rules": ["r1", "r2"], "incident": "17", "run": null }))
    };
    told.unwrap_or_default().into_iter().filter_map(state).collect()
}

/// What became of the policies: everything that was told is enforced.
async fn news(kept: &Mutex<Kept>, query: &str) -> Value {
    let query: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let start = std::time::Instant::now();
    loop {
        let (version, has, states) = {
            let kept = kept.lock().unwrap();
            (kept.version, kept.has.clone(), states(&kept))
        };
        if version.to_string() != query["after"] || start.elapsed().as_secs() >= query["wait"].parse().unwrap() {
            return json!({ "version": version, "digest": has, "enforced_digest": has, "count": states.len(), "policies": states,
                "devices": [{ "serial": "7", "name": "fw", "digest": "d", "enforced": true, "connected": true }] });
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

async fn answer(kept: Arc<Mutex<Kept>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.headers()["x-pan-key"], "the-key");
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let query = request.uri().query().unwrap_or_default().to_owned();
    if method == Method::GET && path.ends_with("/policies") {
        let answer = news(&kept, &query).await;
        return Ok(Response::new(Full::new(Bytes::from(answer.to_string()))));
    }
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mut kept = kept.lock().unwrap();
    let text = match path.as_str() {
        "/api/" => {
            kept.messages += 1;
            let form: BTreeMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
            let message = xml::parse(&form["cmd"]).unwrap();
            match respond(&message, |order| kept.tags.carry_out(&order, 0, &mut Vec::new())) {
                Ok(told) => format!("<response status=\"success\"><result>{}</result></response>", xml::write(&told)),
                Err(told) => {
                    format!("<response status=\"error\"><msg><line>{}</line></msg></response>", xml::write(&told))
                }
            }
        }
        "/api/v1/kubernetes/clusters/lab/renew" => {
            kept.renewals.push(serde_json::from_slice(&body).unwrap());
            let mut digest = Sha256::new();
            let entries = kept.tags.entries().iter();
            lines(entries.flat_map(|(ip, entry)| entry.tags.keys().map(move |tag| (ip, tag))), |line| {
                digest.update(line)
            });
            let digest: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "addresses": 0, "digest": digest, "device_groups": [], "warnings": ["no traffic object"],
                "policies_digest": kept.has })
            .to_string()
        }
        "/api/v1/kubernetes/clusters/lab/policies" if kept.refuses => {
            let mut answer = Response::new(Full::new(Bytes::from("no")));
            *answer.status_mut() = hyper::StatusCode::SERVICE_UNAVAILABLE;
            return Ok(answer);
        }
        "/api/v1/kubernetes/clusters/lab/policies" => {
            let told: Value = serde_json::from_slice(&body).unwrap();
            kept.has = told["digest"].as_str().unwrap().to_owned();
            kept.version += 1;
            let entries = kept.tags.entries().iter();
            let tags = entries.map(|(address, entry)| (*address, entry.tags.keys().cloned().collect())).collect();
            kept.told.push((told, tags));
            json!({ "accepted": true, "version": kept.version }).to_string()
        }
        "/api/v1/kubernetes/clusters/lab/catalogue" => {
            let known = json!({ "profiles": { "spyware": ["strict", "default"] } });
            json!({ "catalogue": { "entries": [], "known": known }, "digest": "1",
                "settings": { "allow_the_rest": true, "rules_max": 20000 } })
            .to_string()
        }
        "/api/v1/kubernetes/clusters/lab/tags" => {
            let entries = kept.tags.entries().iter();
            let tags: BTreeMap<String, Vec<&String>> =
                entries.map(|(ip, entry)| (ip.to_string(), entry.tags.keys().collect())).collect();
            json!({ "addresses": tags }).to_string()
        }
        other => panic!("{other}"),
    };
    Ok(Response::new(Full::new(Bytes::from(text))))
}
