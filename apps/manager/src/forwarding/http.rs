//! How does a record get to an HTTP server: as a template makes a request of it, or many at once by OTLP?
//!
//! OTLP is the one over HTTP with JSON (OpenTelemetry Protocol, 1.x). What a server will never take, by its answer, is
//! counted and left out; everything else waits.

use std::time::Duration;

use anyhow::{Context as _, bail};
use bartizan_model::tree::Element;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::Sent;
use super::connect::connect;
use super::format::Template;
use crate::logs::query::Log;
use crate::secrets::Secrets;
use crate::times;

/// A connection, or an answer, must be there by then.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const ANSWER_MAX: usize = 65_536;
/// The path of the logs (OTLP/HTTP request, "Default path").
const OTLP_PATH: &str = "/v1/logs";
/// Severity numbers of OpenTelemetry's log data model by those of PAN-OS.
const SEVERITIES: [(&str, u8); 5] = [("critical", 21), ("high", 17), ("medium", 13), ("low", 10), ("informational", 9)];

/// A server of an HTTP profile, and what it gets.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    /// Whom to believe; `None` without TLS.
    pub(super) authorities: Option<Vec<CertificateDer<'static>>>,
    pub(super) method: Method,
    /// Name and password.
    pub(super) login: Option<(String, String)>,
    pub(super) shape: Shape,
}

/// What a request is made of.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// A request for each record.
    Template(Box<Parts>),
    /// Many records in one.
    Otlp {
        path: String,
        log: Log,
        /// What the manager is called.
        host: String,
    },
}

/// The parts of a request for a record.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(super) path: Template,
    pub(super) headers: Vec<(String, Template)>,
    pub(super) parameters: Vec<(String, Template)>,
    /// All fields as JSON when there is none.
    pub(super) payload: Option<Template>,
}

/// The way to one server.
pub(super) struct Sender {
    endpoint: Endpoint,
    connection: Option<SendRequest<Full<Bytes>>>,
}

/// What a server said.
enum Answer {
    Taken,
    /// It took all but so many.
    Refused(u64),
}

impl Sender {
    pub(super) fn new(endpoint: &Endpoint, secrets: &Secrets) -> Self {
        let mut endpoint = endpoint.clone();
        // The configuration has it sealed, unless it stood there before passwords were.
        if let Some((_, password)) = &mut endpoint.login
            && let Some(opened) = secrets.open(password)
        {
            *password = opened;
        }
        Self { endpoint, connection: None }
    }

    /// The next request goes over a new connection.
    pub(super) fn forget(&mut self) {
        self.connection = None;
    }

    /// Sends records in order.
    pub(super) async fn send(&mut self, entries: &[&Element]) -> Sent {
        let mut sent = Sent::default();
        let at_once = match &self.endpoint.shape {
            Shape::Otlp { .. } => entries.len().max(1),
            Shape::Template(_) => 1,
        };
        for entries in entries.chunks(at_once) {
            match self.request(entries).await {
                Ok(Answer::Taken) => {}
                Ok(Answer::Refused(count)) => sent.refused += count,
                Err(error) => {
                    sent.error = Some(error);
                    break;
                }
            }
            sent.done += entries.len();
        }
        sent
    }

    async fn request(&mut self, entries: &[&Element]) -> anyhow::Result<Answer> {
        let Endpoint { host, port, .. } = &self.endpoint;
        let to = format!("HTTP server {host}:{port}");
        let late = || format!("{to} does not answer within {} s", TIMEOUT.as_secs());
        let request = self.endpoint.request(entries)?;
        let mut connection = match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => {
                let connecting = timeout(TIMEOUT, self.open());
                connecting.await.with_context(late)?.with_context(|| format!("no connection to {to}"))?
            }
        };
        let asking = exchange(&mut connection, request);
        let (status, body) =
            timeout(TIMEOUT, asking).await.with_context(late)?.with_context(|| format!("{to} takes nothing"))?;
        self.connection = Some(connection);
        let count = entries.len() as u64;
        match status {
            status if status.is_success() => Ok(match rejected(&body) {
                0 => Answer::Taken,
                rejected => Answer::Refused(rejected.min(count)),
            }),
            // Nothing about the record or the server's state would make these another answer later.
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY => Ok(Answer::Refused(count)),
            status => bail!("{to} answers {status}"),
        }
    }

    async fn open(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let Endpoint { host, port, authorities, .. } = &self.endpoint;
        let stream = connect(host, *port, authorities.as_deref()).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to an HTTP server ends");
            }
        });
        Ok(sender)
    }
}

/// One request to a server of a profile, as it is told; its answer.
///
/// # Errors
/// When there is none.
pub(crate) async fn ask(
    endpoint: &Endpoint,
    secrets: &Secrets,
    mut request: Request<Full<Bytes>>,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let sender = Sender::new(endpoint, secrets);
    sender.endpoint.address(&mut request)?;
    let to = format!("HTTP server {}:{}", endpoint.host, endpoint.port);
    let late = || format!("{to} does not answer within {} s", TIMEOUT.as_secs());
    let opened = timeout(TIMEOUT, sender.open()).await.with_context(late)?;
    let mut connection = opened.with_context(|| format!("no connection to {to}"))?;
    timeout(TIMEOUT, exchange(&mut connection, request)).await.with_context(late)?
}

/// A request and its answer.
async fn exchange(
    connection: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<(StatusCode, Bytes)> {
    connection.ready().await?;
    let response = connection.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("its answer cannot be read: {error}"))?.to_bytes();
    Ok((status, body))
}

/// Records that an OTLP server took the request without (`partialSuccess`). The number is text in JSON.
fn rejected(body: &[u8]) -> u64 {
    let Ok(answer) = serde_json::from_slice::<Value>(body) else { return 0 };
    let count = &answer["partialSuccess"]["rejectedLogRecords"];
    count.as_u64().or_else(|| count.as_str()?.parse().ok()).unwrap_or(0)
}

impl Endpoint {
    fn request(&self, entries: &[&Element]) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = match (&self.shape, entries) {
            (Shape::Template(parts), [entry]) => parts.request(&self.method, entry)?,
            (Shape::Otlp { path, log, host }, entries) => {
                let body = serde_json::to_vec(&otlp(entries, *log, host))?;
                let request =
                    Request::builder().method(Method::POST).uri(path).header(CONTENT_TYPE, "application/json");
                request.body(Full::new(body.into()))?
            }
            (Shape::Template(_), _) => bail!("one request is for one record"),
        };
        self.address(&mut request)?;
        Ok(request)
    }

    /// Whom a request is for, and who asks.
    fn address(&self, request: &mut Request<Full<Bytes>>) -> anyhow::Result<()> {
        let authority = match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        };
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_str(&authority)?);
        if let Some((name, password)) = &self.login {
            let login = format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}")));
            headers.entry(AUTHORIZATION).or_insert(HeaderValue::from_str(&login)?);
        }
        Ok(())
    }
}

impl Parts {
    fn request(&self, method: &Method, entry: &Element) -> anyhow::Result<Request<Full<Bytes>>> {
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let mut uri = self.path.fill_with(entry, encoded);
        if !uri.starts_with('/') {
            uri.insert(0, '/');
        }
        for (name, value) in &self.parameters {
            uri.push(if uri.contains('?') { '&' } else { '?' });
            uri.push_str(&format!("{}={}", encoded(name), encoded(&value.fill(entry))));
        }
        let (payload, kind) = match &self.payload {
            Some(template) => {
                (template.fill(entry), if template.is_json() { "application/json" } else { "text/plain" })
            }
            None => {
                let fields = entry.elements().map(|field| (field.name.to_string(), Value::String(field.text())));
                (Value::Object(fields.collect()).to_string(), "application/json")
            }
        };
        let mut request = Request::builder().method(method).uri(uri).body(Full::new(payload.into()))?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        for (name, value) in &self.headers {
            let value = HeaderValue::from_bytes(value.fill(entry).as_bytes())?;
            headers.insert(HeaderName::from_bytes(name.as_bytes())?, value);
        }
        Ok(request)
    }
}

/// `ExportLogsServiceRequest` of records.
fn otlp(entries: &[&Element], log: Log, host: &str) -> Value {
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let records: Vec<Value> = entries.iter().map(|entry| record(entry, log)).collect();
    json!({ "resourceLogs": [{
        "resource": { "attributes": [text("service.name", "bartizan"), text("host.name", host)] },
        "scopeLogs": [{
            "scope": { "name": "bartizan.logs", "version": env!("CARGO_PKG_VERSION") },
            "logRecords": records,
        }],
    }] })
}

fn record(entry: &Element, log: Log) -> Value {
    let field = |name: &str| entry.child(name).map(|field| field.text()).unwrap_or_default();
    let nanoseconds = |name: &str| {
        let time = times::parse_date_time(&field(name)).unwrap_or_default();
        (i128::from(time) * 1000).to_string()
    };
    let severity = field("severity");
    let number = SEVERITIES.iter().find(|(name, _)| *name == severity).map_or(9, |(_, number)| *number);
    let attributes: Vec<Value> = entry
        .elements()
        .map(|field| (field.name.to_string(), field.text()))
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| json!({ "key": name, "value": { "stringValue": value } }))
        .collect();
    json!({
        "timeUnixNano": nanoseconds("time_generated"),
        "observedTimeUnixNano": nanoseconds("receive_time"),
        "severityNumber": number,
        "severityText": if severity.is_empty() { "informational" } else { &severity },
        "eventName": log.name(),
        "body": { "stringValue": Template::new("", log, ("", "")).fill(entry) },
        "attributes": attributes,
    })
}

/// The path of an OTLP server, when the profile names none.
pub(super) fn otlp_path(given: &str) -> String {
    if given.is_empty() { OTLP_PATH.to_owned() } else { given.to_owned() }
}

#[cfg(test)]
mod tests {
    use bartizan_model::xml;

    use super::*;

    #[test]
    fn a_record_of_otlp_has_the_times_and_every_field() {
        let entry = xml::parse(
            "<entry logid='1'><receive_time>2026/11/26 10:00:01</receive_time><time_generated>2026/11/26 10:00:00</time_generated>\
             <severity>high</severity><eventid>x</eventid><object/></entry>",
        )
        .unwrap();
        let request = otlp(&[&entry], Log::System, "m1");
        let record = &request["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
        assert_eq!(record["timeUnixNano"], "1795687200000000000");
        assert_eq!((&record["severityNumber"], &record["eventName"]), (&json!(17), &json!("system")));
        assert_eq!(record["attributes"].as_array().unwrap().len(), 4);
        assert_eq!(rejected(br#"{"partialSuccess":{"rejectedLogRecords":"3"}}"#), 3);
        assert_eq!(rejected(b"{}") + rejected(b"no"), 0);
    }

    #[test]
    fn what_stands_in_a_request_is_encoded_for_its_place() {
        let entry = xml::parse("<entry><rule>a b&amp;\"c\"</rule><src>10.0.0.1</src></entry>").unwrap();
        let template = |text: &str, escaped| Template::new(text, Log::Traffic, ("\\", escaped));
        let parts = Parts {
            path: template("/in/$rule", ""),
            headers: vec![("X-Rule".to_owned(), template("$rule", ""))],
            parameters: vec![("from".to_owned(), template("$src!", ""))],
            payload: Some(template("{\"rule\": \"$rule\"}", "\"\\")),
        };
        let request = parts.request(&Method::PUT, &entry).unwrap();
        assert_eq!(request.uri(), "/in/a+b%26%22c%22?from=10.0.0.1%21");
        assert_eq!(request.headers()["x-rule"], "a b&\"c\"");
        assert_eq!(request.headers()["content-type"], "application/json");
    }
}
