//! Do logs get to HTTP servers: as the template says, by OTLP, and again after the server was not well?

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::common::Server;
use crate::forwarding::{address, commit, lanes, shown};

const HTTP: &str = "/config/panorama/log-settings/http";
const CONFIG_LOG: &str = "/config/panorama/log-settings/config/match-list";

/// A request as it came.
#[derive(Debug)]
struct Got {
    line: String,
    headers: axum::http::HeaderMap,
    body: String,
}

/// A server that answers as it is told.
struct Receiver {
    port: u16,
    status: Arc<AtomicU16>,
    requests: mpsc::UnboundedReceiver<Got>,
}

type Shared = (Arc<AtomicU16>, mpsc::UnboundedSender<Got>);

async fn take(State((status, sender)): State<Shared>, request: Request) -> (StatusCode, &'static str) {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let line = format!("{} {}", head.method, head.uri);
    let body = String::from_utf8(body.to_vec()).unwrap();
    // Whoever hears of the request may change the answer to the next one.
    let status = StatusCode::from_u16(status.load(Ordering::Relaxed)).unwrap();
    sender.send(Got { line, headers: head.headers, body }).unwrap();
    (status, "{}")
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let status = Arc::new(AtomicU16::new(200));
        let (sender, requests) = mpsc::unbounded_channel();
        let router = Router::new().fallback(take).with_state((status.clone(), sender));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { port, status, requests }
    }

    async fn next(&mut self) -> Got {
        timeout(Duration::from_secs(30), self.requests.recv()).await.unwrap().unwrap()
    }

    fn answer(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    fn server(&self, more: &str) -> String {
        format!(
            "<server><entry name='s'><address>127.0.0.1</address><protocol>HTTP</protocol><port>{}</port>{more}</entry></server>",
            self.port
        )
    }
}

async fn match_sets(server: &Server, profile: &str) {
    let element = format!("<filter>(cmd eq set)</filter><send-http><member>{profile}</member></send-http>");
    server.set(&format!("{CONFIG_LOG}/entry[@name='to-{profile}']"), &element).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_becomes_the_request_of_its_template() {
    let server = Server::start().await;
    let mut receiver = Receiver::start().await;
    let login = "<http-method>PUT</http-method><username>log</username><password>pass</password>";
    let format = "<format><config><url-format>/hook/$cmd</url-format>\
        <headers><entry name='X-Admin'><value>$admin</value></entry></headers>\
        <params><entry name='path'><value>$path</value></entry></params>\
        <payload>{\"what\": \"$cmd\", \"after\": \"$after-change-preview\"}</payload></config></format>";
    server.set(&format!("{HTTP}/entry[@name='hook']"), &format!("{}{format}", receiver.server(login))).await;
    match_sets(&server, "hook").await;
    commit(&server).await;
    lanes(&server, 1).await;
    address(&server, "one").await;
    let got = receiver.next().await;
    assert_eq!(got.line, "PUT /hook/set?path=%2Fconfig%2Fshared%2Faddress");
    assert_eq!(got.headers["x-admin"], "admin");
    assert_eq!(got.headers["authorization"], "Basic bG9nOnBhc3M=");
    let body: Value = serde_json::from_str(&got.body).unwrap();
    assert!(body["what"] == "set" && body["after"].as_str().unwrap().contains("name='one'"), "{body}");

    // What the server will never take is counted; what it does not take now comes again, and in order.
    receiver.answer(422);
    address(&server, "two").await;
    receiver.next().await;
    shown(&server, |shown| shown.contains("<refused-since-start>1<")).await;
    receiver.answer(503);
    address(&server, "three").await;
    receiver.next().await;
    shown(&server, |shown| shown.contains("answers 503") && shown.contains("<state>waiting</state>")).await;
    address(&server, "four").await;
    receiver.answer(204);
    let mut seen = String::new();
    while !seen.contains("four") {
        seen.push_str(&receiver.next().await.body);
    }
    assert!(seen.contains("three") && !seen.contains("two"), "{seen}");
    shown(&server, |shown| shown.contains("<state>sending</state>") && shown.contains("<sent-since-start>3<")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_records_are_one_request_of_otlp() {
    let server = Server::start().await;
    let mut receiver = Receiver::start().await;
    server.set(&format!("{HTTP}/entry[@name='otel']"), &format!("<otlp>yes</otlp>{}", receiver.server(""))).await;
    match_sets(&server, "otel").await;
    commit(&server).await;
    lanes(&server, 1).await;
    receiver.answer(503);
    address(&server, "one").await;
    receiver.next().await;
    address(&server, "two").await;
    receiver.answer(200);
    let mut records = Vec::new();
    while records.len() < 2 {
        let got = receiver.next().await;
        assert_eq!(got.line, "POST /v1/logs");
        assert_eq!(got.headers["content-type"], "application/json");
        let body: Value = serde_json::from_str(&got.body).unwrap();
        let resource = body["resourceLogs"][0]["resource"]["attributes"].as_array().unwrap();
        assert!(resource.contains(&json!({ "key": "service.name", "value": { "stringValue": "bartizan" } })), "{body}");
        records = body["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap().clone();
    }
    let cmd = json!({ "key": "cmd", "value": { "stringValue": "set" } });
    for (record, name) in records.iter().zip(["one", "two"]) {
        assert!(record["attributes"].as_array().unwrap().contains(&cmd), "{record}");
        assert!(record.to_string().contains(name) && record["eventName"] == "config", "{record}");
        assert!(record["timeUnixNano"].as_str().unwrap().len() == 19, "{record}");
    }
    // A profile that is not there is an error, and a server that nobody vouches for a warning.
    match_sets(&server, "other").await;
    let job = server.commit().await;
    assert!(job.contains("the http server profile `other` does not exist"), "{job}");
    server
        .set(
            &format!("{HTTP}/entry[@name='other']"),
            "<server><entry name='s'><address>siem.example</address></entry></server>",
        )
        .await;
    let job = server.commit().await;
    assert!(job.contains("no certificate authority vouches for the server `siem.example`"), "{job}");
}
