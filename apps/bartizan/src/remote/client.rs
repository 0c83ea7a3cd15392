//! How is a manager asked?
//!
//! HTTPS with the API key of the environment or of the login file. The manager is known by the host's authorities, by
//! the authority in a file, or by the fingerprint of its own authority, whatever its address is.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bartizan_firewall::auth_key::Fingerprint;
use bartizan_firewall::manager::tls::{SERVER_NAME, pinned};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;

use super::arguments::Server;
use super::files::{self, Login};
use crate::{Failure, USAGE, VALIDATION};

/// Environment variable with an API key.
const KEY_VARIABLE: &str = "BARTIZAN_KEY";
/// A manager that says nothing for so long beyond what it was asked to wait is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// A manager.
pub(crate) struct Client {
    http: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    key: Option<String>,
    wanted: Option<Fingerprint>,
    seen: Option<Arc<OnceLock<Fingerprint>>>,
}

/// Where a manager is, and by what it is known.
pub(super) fn place(server: &Server, login: Option<&Login>) -> Result<Login, Failure> {
    let url = server.server.clone().or_else(|| login.map(|login| login.server.clone()));
    let Some(url) = url else {
        let text = "error: which manager? Give `--server https://HOST:PORT`, set BARTIZAN_SERVER, or log in by `bartizan login`";
        return Err(Failure::new(USAGE, text));
    };
    let url = url.trim_end_matches('/').to_owned();
    if !url.starts_with("https://") {
        return Err(Failure::new(
            USAGE,
            format!("error: `{url}` is no address of a manager: it begins with `https://`"),
        ));
    }
    // What the file says is for its own manager.
    let login = login.filter(|login| login.server == url);
    let ca = match &server.ca {
        Some(path) => Some(
            std::fs::read_to_string(path)
                .map_err(|error| Failure::new(1, format!("error: read `{}`: {error}", path.display())))?,
        ),
        None => None,
    };
    let said = ca.is_some() || server.fingerprint.is_some();
    Ok(Login {
        server: url,
        ca: ca.or_else(|| login.and_then(|login| login.ca.clone()).filter(|_| !said)),
        fingerprint: server
            .fingerprint
            .clone()
            .or_else(|| login.and_then(|login| login.fingerprint.clone()).filter(|_| !said)),
        key: login.and_then(|login| login.key.clone()),
    })
}

/// What connects to managers.
pub(crate) struct Connector {
    pub(crate) https: HttpsConnector<HttpConnector>,
    /// The authority that the manager is known by.
    wanted: Option<Fingerprint>,
    /// Another one that was met.
    seen: Option<Arc<OnceLock<Fingerprint>>>,
}

/// To a manager that is known by the fingerprint of its authority, by an authority in PEM, or by the host's.
pub(crate) fn connector(fingerprint: Option<&str>, ca: Option<&str>) -> Result<Connector, Failure> {
    let (mut wanted, mut seen) = (None, None);
    let builder = HttpsConnectorBuilder::new();
    let https = match (fingerprint, ca) {
        (Some(text), _) => {
            let fingerprint = Fingerprint::parse(&text.to_ascii_lowercase().replace(':', ""));
            let Some(fingerprint) = fingerprint else {
                return Err(Failure::new(
                    USAGE,
                    "error: a fingerprint has 64 hex digits: those behind the `.` of an auth key",
                ));
            };
            let (config, other) = pinned(fingerprint)?;
            (wanted, seen) = (Some(fingerprint), Some(other));
            let name = ServerName::try_from(SERVER_NAME).map_err(anyhow::Error::from)?;
            let builder = builder.with_tls_config(config).https_only();
            builder.with_server_name_resolver(FixedServerNameResolver::new(name)).enable_http1().build()
        }
        (None, Some(pem)) => builder.with_tls_config(trusting(pem)?).https_only().enable_http1().build(),
        (None, None) => {
            let builder = builder.with_native_roots();
            let builder = builder
                .map_err(|error| Failure::new(1, format!("error: the host has no certificate authorities: {error}")))?;
            builder.https_only().enable_http1().build()
        }
    };
    Ok(Connector { https, wanted, seen })
}

impl Client {
    /// The manager that the options, the environment or the login file name.
    pub(crate) fn new(server: &Server) -> Result<Self, Failure> {
        let login = files::read_login(server.login_file.as_deref())?;
        let mut place = place(server, login.as_ref())?;
        place.key = std::env::var(KEY_VARIABLE).ok().filter(|key| !key.is_empty()).or(place.key);
        if place.key.is_none() {
            let text = format!(
                "error: there is no key for `{}`: set {KEY_VARIABLE}, or log in by `bartizan login`",
                place.server
            );
            return Err(Failure::new(1, text));
        }
        Self::at(&place)
    }

    /// A manager, with or without a key.
    pub(super) fn at(place: &Login) -> Result<Self, Failure> {
        let Connector { https, wanted, seen } = connector(place.fingerprint.as_deref(), place.ca.as_deref())?;
        let http = legacy::Client::builder(TokioExecutor::new()).build(https);
        Ok(Self { http, base: place.server.clone(), key: place.key.clone(), wanted, seen })
    }

    /// What is at a path below `/api/v1`.
    pub(crate) async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, Failure> {
        self.ask(Method::GET, &with_query(path, parameters), None).await
    }

    /// The same, or nothing when it is not there.
    pub(crate) async fn find(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Option<Value>, Failure> {
        let response = self.send(Method::GET, &with_query(path, parameters), None).await?;
        if response.status() == hyper::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.read(response).await.map(Some)
    }

    /// Has something done.
    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let response = self.send(method, path, body).await?;
        self.read(response).await
    }

    /// Reads server-sent events until they end or `take` has enough.
    pub(super) async fn follow(
        &self,
        path: &str,
        mut take: impl FnMut(Value) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let response = self.send(Method::GET, path, None).await?;
        if !response.status().is_success() {
            return self.read(response).await.map(drop);
        }
        let mut body = response.into_body();
        let mut text = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.broken(&error))?;
            text.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                if let Some(data) = line.strip_prefix(b"data: ") {
                    take(serde_json::from_slice(data).map_err(anyhow::Error::from)?)?;
                }
            }
        }
        Ok(())
    }

    /// Writes what is at a path, as it comes.
    pub(super) async fn download(&self, path: &str, out: &mut impl std::io::Write) -> Result<(), Failure> {
        let response = self.send(Method::GET, path, None).await?;
        if !response.status().is_success() {
            return self.read(response).await.map(drop);
        }
        let mut body = response.into_body();
        let ended = |error: std::io::Error| Failure::new(1, format!("error: the file cannot be written: {error}"));
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.broken(&error))?;
            out.write_all(frame.data_ref().map_or(&[], |data| data)).map_err(ended)?;
        }
        out.flush().map_err(ended)
    }

    /// Has a firewall answer an operational command in XML, by the XML API.
    pub(crate) async fn command(&self, serial: &str, command: &str) -> Result<String, Failure> {
        let query = [("type", "op"), ("target", serial), ("cmd", command)];
        let uri = with_query(&format!("{}/api/", self.base), &query);
        let mut request = Request::builder().uri(uri);
        if let Some(key) = &self.key {
            request = request.header("x-pan-key", key);
        }
        let request = request.body(Full::default()).map_err(anyhow::Error::from)?;
        let answer = tokio::time::timeout(PATIENCE, self.http.request(request)).await;
        let answer = answer.map_err(|_| Failure::new(1, format!("error: `{}` does not answer", self.base)))?;
        let body = answer.map_err(|error| self.broken(&error))?.into_body();
        let body = body.collect().await.map_err(|error| self.broken(&error))?.to_bytes();
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::builder().method(method).uri(format!("{}/api/v1{path}", self.base));
        if let Some(key) = &self.key {
            request = request.header("x-pan-key", key);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = request.body(Full::new(body)).map_err(|error| {
            Failure::new(USAGE, format!("error: `{}` is no address of a manager: {error}", self.base))
        })?;
        let answer = tokio::time::timeout(PATIENCE + asked_wait(path), self.http.request(request)).await;
        let answer = answer.map_err(|_| Failure::new(1, format!("error: `{}` does not answer", self.base)))?;
        answer.map_err(|error| self.broken(&error))
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Value, Failure> {
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| self.broken(&error))?.to_bytes();
        if body.is_empty() && status.is_success() {
            return Ok(Value::Null);
        }
        let value: Value = serde_json::from_slice(&body).map_err(|_| {
            Failure::new(1, format!("error: `{}` answers {status}, and that is no manager's JSON", self.base))
        })?;
        if status.is_success() { Ok(value) } else { Err(refusal(&value)) }
    }

    fn broken(&self, error: &(dyn std::error::Error + 'static)) -> Failure {
        if let (Some(wanted), Some(other)) = (&self.wanted, self.seen.as_ref().and_then(|seen| seen.get())) {
            return Failure::new(
                1,
                format!(
                    "error: `{}` is another manager: its authority has the fingerprint {other}, not {wanted}",
                    self.base
                ),
            );
        }
        let mut text = format!("error: `{}` cannot be asked: {error}", self.base);
        let mut cause = error.source();
        while let Some(one) = cause {
            text += &format!(": {one}");
            cause = one.source();
        }
        if text.contains("UnknownIssuer") {
            text += "\nhelp: give the manager's own authority, by `--ca pki/ca.pem` or by `--fingerprint HEX`";
        }
        Failure::new(1, text)
    }
}

fn trusting(pem: &str) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate =
            certificate.map_err(|error| Failure::new(1, format!("error: read the authority: {error}")))?;
        roots.add(certificate).map_err(anyhow::Error::from)?;
    }
    if roots.is_empty() {
        return Err(Failure::new(1, "error: the file of the authority has no certificate in PEM"));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(anyhow::Error::from)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// A path with parameters; empty ones are left out.
pub(super) fn with_query(path: &str, parameters: &[(&str, &str)]) -> String {
    let said: Vec<_> = parameters.iter().filter(|(_, value)| !value.is_empty()).collect();
    if said.is_empty() {
        return path.to_owned();
    }
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(said).finish();
    format!("{path}?{query}")
}

/// How long the manager was asked to wait with its answer.
fn asked_wait(path: &str) -> Duration {
    let seconds = path.split_once("wait=").and_then(|(_, rest)| rest.split('&').next()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}

/// A problem of the API as a letter, with everything that is wrong.
fn refusal(problem: &Value) -> Failure {
    let code = match problem["type"].as_str().and_then(|kind| kind.rsplit(':').next()) {
        Some("invalid-object" | "invalid-configuration") => VALIDATION,
        Some("invalid-request" | "invalid-xpath") => USAGE,
        _ => 1,
    };
    let mut text = String::new();
    for error in problem["errors"].as_array().into_iter().flatten() {
        let member = |name: &str| error[name].as_str().filter(|text| !text.is_empty());
        text += &format!("error: {}\n", member("message").unwrap_or_default());
        for (before, name) in [("  --> ", "xpath"), ("  help: ", "help")] {
            if let Some(value) = member(name) {
                text += &format!("{before}{value}\n");
            }
        }
    }
    if text.is_empty() {
        text = format!("error: {}", problem["detail"].as_str().unwrap_or("the manager refuses"));
    }
    Failure::new(code, text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_tells_everything_and_its_kind_decides_the_exit_code() {
        let problem = json!({ "type": "urn:bartizan:problem:invalid-object", "detail": "x", "errors": [
            { "message": "one", "xpath": "/config/a", "help": "do two" }, { "message": "three" }] });
        let failure = refusal(&problem);
        assert_eq!(
            (failure.code, &*failure.text),
            (VALIDATION, "error: one\n  --> /config/a\n  help: do two\nerror: three\n")
        );
        assert_eq!(refusal(&json!({ "type": "urn:bartizan:problem:invalid-request", "detail": "d" })).code, USAGE);
        assert_eq!(refusal(&json!({ "type": "urn:bartizan:problem:forbidden", "detail": "d" })).code, 1);
    }

    #[test]
    fn what_the_login_file_says_is_for_its_own_manager() {
        let login =
            Login { server: "https://a:1".into(), ca: None, fingerprint: Some("f".into()), key: Some("k".into()) };
        let at = |url: &str| place(&Server { server: Some(url.into()), ..Server::default() }, Some(&login)).unwrap();
        assert_eq!(
            (at("https://a:1/").key.as_deref(), at("https://a:1").fingerprint.as_deref()),
            (Some("k"), Some("f"))
        );
        assert_eq!((at("https://b:1").key, at("https://b:1").fingerprint), (None, None));
        assert_eq!(place(&Server::default(), Some(&login)).unwrap().server, "https://a:1");
        assert_eq!(place(&Server::default(), None).unwrap_err().code, USAGE);
        let http = Server { server: Some("http://a".into()), ..Server::default() };
        assert_eq!(place(&http, None).unwrap_err().code, USAGE);
    }

    #[test]
    fn a_wait_is_waited_for() {
        assert_eq!(asked_wait("/jobs/7?wait=30&x=1"), Duration::from_secs(30));
        assert_eq!(
            with_query("/logs/traffic", &[("query", "( a eq b )"), ("cursor", "")]),
            "/logs/traffic?query=%28+a+eq+b+%29"
        );
    }
}
