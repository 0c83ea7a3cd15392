//! What does the Kubernetes API server say about this?
//!
//! A small synchronous client: the few kinds that the plugin and the node agent read, with the few fields that
//! they look at.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io::BufReader;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use crate::kubeconfig::Access;

/// A whole request, but for a watch.
const PATIENCE: Duration = Duration::from_secs(5);
/// An object or a list.
const MAXIMUM_BYTES: u64 = 64 * 1024 * 1024;

/// A client for one server, with keep-alive.
#[derive(Debug)]
pub(crate) struct Client {
    agent: ureq::Agent,
    server: String,
    token: Option<String>,
}

/// What names an object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Metadata {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) uid: String,
    #[serde(rename = "resourceVersion")]
    pub(crate) version: String,
    #[serde(rename = "deletionTimestamp")]
    pub(crate) deleted: Option<String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(rename = "ownerReferences")]
    pub(crate) owners: Vec<Value>,
}

/// The server's answer, where it is no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    request: String,
    said: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the API server answers {} to `{}`{}", self.status, self.request, self.said)
    }
}

impl std::error::Error for Refusal {}

/// An object of which only the metadata matters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Object {
    pub(crate) metadata: Metadata,
}

/// A PortInfo or a SubnetInfo.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Info {
    pub(crate) spec: InfoSpec,
}

/// The one text of either.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct InfoSpec {
    #[serde(alias = "portinfo", alias = "subnetinfo")]
    pub(crate) text: String,
}

impl Client {
    /// # Errors
    /// When the authority's certificates cannot be read.
    pub(crate) fn new(access: &Access) -> Result<Self> {
        let mut roots = Vec::new();
        for item in parse_pem(access.authority.as_deref().unwrap_or_default()) {
            if let PemItem::Certificate(certificate) = item.context("read the certificate authority")? {
                roots.push(certificate);
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let config = ureq::Agent::config_builder()
            .tls_config(tls)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .http_status_as_error(false)
            .proxy(None)
            .user_agent("bartizan-cni")
            .build();
        Ok(Self { agent: config.new_agent(), server: access.server.clone(), token: access.token.clone() })
    }

    /// An object or a list; none when there is none.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses or answers something else.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        let request = self.authorized(self.agent.get(self.url(path))).config().timeout_global(Some(PATIENCE)).build();
        let mut response = request.call().with_context(|| format!("ask the API server for `{path}`"))?;
        match response.status().as_u16() {
            404 => return Ok(None),
            200..=299 => {}
            status => {
                let request = format!("GET {path}");
                bail!(Refusal { status, request, said: said(response.body_mut()) })
            }
        }
        let text = response.body_mut().with_config().limit(MAXIMUM_BYTES).read_to_vec();
        let text = text.with_context(|| format!("read the API server's answer to `GET {path}`"))?;
        serde_json::from_slice(&text).map(Some).with_context(|| format!("read the API server's answer to `GET {path}`"))
    }

    /// Creates an object; false when it is there already.
    pub(crate) fn create(&self, path: &str, object: &Value) -> Result<bool> {
        let request = self.authorized(self.agent.post(self.url(path)));
        self.send("POST", path, request, object, "application/json")
    }

    /// Changes fields of an object; false when there is none.
    pub(crate) fn merge(&self, path: &str, fields: &Value) -> Result<bool> {
        let request = self.authorized(self.agent.patch(self.url(path)));
        self.send("PATCH", path, request, fields, "application/merge-patch+json")
    }

    /// Opens a stream of changes, a JSON object a line, that ends after the given time at the latest.
    ///
    /// # Errors
    /// When the server cannot be reached, or its [`Refusal`].
    pub(crate) fn watch(&self, path: &str, longest: Duration) -> Result<BufReader<ureq::BodyReader<'static>>> {
        let request = self.authorized(self.agent.get(self.url(path))).config().timeout_recv_body(Some(longest)).build();
        let mut response = request.call().with_context(|| format!("watch `{path}`"))?;
        match response.status().as_u16() {
            200..=299 => Ok(BufReader::new(response.into_body().into_reader())),
            status => bail!(Refusal { status, request: format!("GET {path}"), said: said(response.body_mut()) }),
        }
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        request: ureq::RequestBuilder<ureq::typestate::WithBody>,
        object: &Value,
        kind: &str,
    ) -> Result<bool> {
        let request = request.content_type(kind).config().timeout_global(Some(PATIENCE)).build();
        let mut response = request.send(object.to_string()).with_context(|| format!("{method} `{path}`"))?;
        match response.status().as_u16() {
            200..=299 => Ok(true),
            404 | 409 => Ok(false),
            status => {
                let request = format!("{method} {path}");
                bail!(Refusal { status, request, said: said(response.body_mut()) })
            }
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server)
    }

    fn authorized<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }
}

/// The message of a `Status` object, if the answer is one.
fn said(body: &mut ureq::Body) -> String {
    #[derive(Deserialize)]
    struct Status {
        message: String,
    }
    let text = body.with_config().limit(64 * 1024).read_to_vec().unwrap_or_default();
    serde_json::from_slice::<Status>(&text).map(|status| format!(": {}", status.message)).unwrap_or_default()
}

/// Tells at a pod what `kubectl describe pod` shows. The same again only moves the time: a runtime tries for ever.
///
/// # Errors
/// As [`Client::create`].
pub(crate) fn tell(client: &Client, pod: &Metadata, node: &str, reason: &str, message: &str) -> Result<()> {
    let mut hash = DefaultHasher::new();
    (reason, message).hash(&mut hash);
    let name = format!("pan-cni.{}.{:x}", pod.uid, hash.finish());
    let now = crate::journal::now();
    let path = format!("/api/v1/namespaces/{}/events", pod.namespace);
    let value = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": pod.namespace},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "source": {"component": "pan-cni", "host": node},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    });
    if !client.create(&path, &value)? {
        client.merge(&format!("{path}/{name}"), &serde_json::json!({"lastTimestamp": now}))?;
    }
    Ok(())
}
