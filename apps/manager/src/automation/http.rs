//! How does a run tell another system something: a ticket, a chat?
//!
//! By a server of an HTTP profile of the configuration, which has the address, whom to believe, and who asks. One answer
//! within the time of that; the first server that answers counts.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request};
use serde_json::{Value, json};

use crate::app::App;
use crate::forwarding::http::ask;
use crate::forwarding::plan::http_servers;

/// Largest body of a request.
const BODY_MAX: usize = 1 << 20;

/// Makes the request; status and body of the answer.
pub(super) async fn request(app: &App, with: &BTreeMap<String, String>) -> anyhow::Result<Value> {
    let told = |name: &str| with.get(name).map(String::as_str);
    let profile = told("server").unwrap_or_default();
    let running = app.configuration.snapshot().running.clone();
    let servers = http_servers(&running, profile);
    if servers.is_empty() {
        bail!("there is no HTTP server profile `{profile}` with a server: add it below `panorama/log-settings/http`");
    }
    let path = told("path").unwrap_or_default();
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let body = told("body").unwrap_or_default().to_owned();
    if body.len() > BODY_MAX {
        bail!("the body has {} bytes, at most {BODY_MAX} are sent", body.len());
    }
    let method = told("method").unwrap_or("POST");
    let method: Method = method.parse().with_context(|| format!("`{method}` is no method of HTTP"))?;
    let kind = told("content-type").unwrap_or("application/json");
    let mut last = None;
    for server in &servers {
        let request = Request::builder().method(method.clone()).uri(&path).header(CONTENT_TYPE, kind);
        let request = request.body(Full::new(Bytes::from(body.clone()))).context("the request cannot be made")?;
        match ask(server, &app.secrets, request).await {
            Ok((status, answer)) => {
                let expected = told("expect").map(|text| text.split([',', ' ']).any(|one| one == status.as_str()));
                if !expected.unwrap_or_else(|| status.is_success()) {
                    let text = String::from_utf8_lossy(&answer);
                    bail!("the server answers {status}: {}", text.chars().take(500).collect::<String>());
                }
                let text = String::from_utf8_lossy(&answer).into_owned();
                let answer = serde_json::from_slice(&answer).unwrap_or(Value::String(text));
                return Ok(json!({ "status": status.as_u16(), "answer": answer }));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("no server answers")))
}
