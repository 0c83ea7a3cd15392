//! How is the manager told?
//!
//! Tags by its XML API (`type=user-id`), the rest by its JSON API. The key is read from its file each time: a Secret that is
//! mounted may change.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bartizan_model::tree::{Child, Element};
use bartizan_model::xml;
use bartizan_playbook::Group;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};

/// What connects to the manager, and knows by what it is to be trusted.
pub type Connector = HttpsConnector<HttpConnector>;
/// Tags by address.
pub(crate) type Tags = BTreeMap<IpAddr, BTreeSet<String>>;

/// How long the manager may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Largest answer.
const ANSWER_MAX: usize = 64 << 20;

/// Why the manager did not do something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// It cannot be reached, or said nothing.
    #[error("the manager does not answer: {0}")]
    Away(String),
    /// It said no.
    #[error("the manager refuses: {0}")]
    Refused(String),
}

/// The manager.
pub(crate) struct Manager {
    http: Client<Connector, Full<Bytes>>,
    base: String,
    key_file: PathBuf,
}

/// What it is told of the cluster.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Renewal {
    /// Id of its tunnels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cluster_id: Option<u16>,
    /// Who tells.
    pub(crate) controller: String,
    /// Seconds of silence after which the tags go.
    pub(crate) ttl_s: u64,
    /// What the cluster has.
    pub(crate) objects: Objects,
}

/// Objects of the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Objects {
    /// Pods.
    pub(crate) pods: usize,
    /// Services.
    pub(crate) services: usize,
    /// Nodes.
    pub(crate) nodes: usize,
    /// Namespaces.
    pub(crate) namespaces: usize,
    /// Those whose pods are inspected.
    pub(crate) protected_namespaces: usize,
}

/// What it has of the cluster.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Renewed {
    /// SHA-256, hex, of the tags.
    pub(crate) digest: String,
    /// What is not as it should be.
    pub(crate) warnings: Vec<String>,
    /// Digest of the policies that it was told last; of a manager that takes none, nothing.
    #[serde(default)]
    pub(crate) policies_digest: Option<String>,
}

/// What is news of the policies.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct News {
    /// Those that changed; all, where `count` is missing.
    policies: Vec<PolicyState>,
    /// How many there are.
    count: Option<usize>,
    devices: Vec<Device>,
    /// Number of this answer; 0 is none.
    pub(crate) version: u64,
    enforced_digest: Option<String>,
    /// If they are others than before.
    groups: Option<BTreeMap<String, Group>>,
}

/// What became of the policies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// In the order of their kinds, namespaces and names. One that did not change is the same one.
    pub(crate) policies: Vec<Arc<PolicyState>>,
    /// The firewalls that are to enforce them.
    pub(crate) devices: Vec<Device>,
    /// Number of the answer; 0 is none.
    pub(crate) version: u64,
    /// Digest of the state that is enforced on all devices.
    pub(crate) enforced_digest: Option<String>,
    /// Groups that its rules speak of, by their tags.
    pub(crate) groups: Option<Arc<BTreeMap<String, Group>>>,
}

impl Standing {
    /// What it is with these news; nothing, when policies are gone and it has to be told all of them.
    pub(crate) fn with(&self, news: News) -> Option<Self> {
        let mut policies: BTreeMap<_, Arc<PolicyState>> = BTreeMap::new();
        if news.count.is_some() && self.version != 0 {
            policies.extend(self.policies.iter().map(|policy| (policy.which(), policy.clone())));
        }
        let known: BTreeMap<_, &Arc<PolicyState>> =
            self.policies.iter().map(|policy| (policy.which(), policy)).collect();
        for policy in news.policies {
            let same = known.get(&policy.which()).filter(|known| ****known == policy);
            let policy = same.map_or_else(|| Arc::new(policy), |same| Arc::clone(same));
            policies.insert(policy.which(), policy);
        }
        if news.count.is_some_and(|count| count != policies.len()) {
            return None;
        }
        Some(Self {
            policies: policies.into_values().collect(),
            devices: news.devices,
            version: news.version,
            enforced_digest: news.enforced_digest,
            groups: news.groups.map(Arc::new).or_else(|| self.groups.clone()),
        })
    }

    /// Digest of the state that is enforced as it was told. A policy with a fault may be in force in its form of before,
    /// whose groups only the manager knows: then nothing is.
    pub(crate) fn enforced(&self) -> Option<&str> {
        let has_fault = |policy: &Arc<PolicyState>| {
            policy.conditions.iter().any(|condition| condition.kind == "Translated" && condition.status == "False")
        };
        self.enforced_digest.as_deref().filter(|_| !self.policies.iter().any(has_fault))
    }
}

/// What became of a policy.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub(crate) struct PolicyState {
    /// `NetworkPolicy` or `ClusterNetworkPolicy`.
    pub(crate) kind: String,
    /// Its namespace; of one for the whole cluster nothing.
    #[serde(default)]
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
    /// Its identity.
    pub(crate) uid: String,
    /// The generation that this is about.
    pub(crate) generation: i64,
    /// How far it is.
    pub(crate) conditions: Vec<Condition>,
    /// Names of its rules.
    #[serde(default)]
    pub(crate) rules: Vec<String>,
    /// The incident of its last change.
    pub(crate) incident: Option<String>,
    /// The run of its last change.
    pub(crate) run: Option<String>,
}

impl PolicyState {
    /// Which policy it is of: kind, namespace and name.
    fn which(&self) -> (String, String, String) {
        (self.kind.clone(), self.namespace.clone(), self.name.clone())
    }

    /// `apiVersion` of the policy.
    pub(crate) fn api_version(&self) -> &'static str {
        if self.kind == "NetworkPolicy" { "networking.k8s.io/v1" } else { "policy.networking.k8s.io/v1alpha2" }
    }
}

/// A condition, as objects of Kubernetes have them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub(crate) struct Condition {
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// `True`, `False` or `Unknown`.
    pub(crate) status: String,
    /// Why, in a word.
    pub(crate) reason: String,
    /// Why, for people.
    pub(crate) message: String,
    /// Since when it is so (RFC 3339).
    pub(crate) since: String,
}

/// A firewall.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Device {
    /// Serial number.
    pub(crate) serial: String,
    /// Host name.
    pub(crate) name: String,
    /// SHA-256, hex, of the configuration that it enforces.
    pub(crate) digest: String,
    /// Whether that holds all that was committed.
    pub(crate) enforced: bool,
}

#[derive(Deserialize)]
struct Kept {
    addresses: Tags,
}

/// What is to change of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Tags that come.
    pub(crate) come: Vec<String>,
    /// Tags that go.
    pub(crate) go: Vec<String>,
}

impl Manager {
    /// The one at `https://HOST:PORT`.
    pub(crate) fn new(base: &str, connector: Connector, key_file: PathBuf) -> Self {
        let http = Client::builder(TokioExecutor::new()).pool_idle_timeout(Duration::from_secs(60)).build(connector);
        Self { http, base: base.trim_end_matches('/').to_owned(), key_file }
    }

    /// Changes tags; what it did not do of it, in words. Each address may be asked for again.
    pub(crate) async fn change(&self, changes: &BTreeMap<IpAddr, Difference>) -> Result<Vec<String>, Failure> {
        let form = form(&xml::write(&message(changes)));
        let (_, body) = self.send(Method::POST, "/api/", "application/x-www-form-urlencoded", form).await?;
        refusals(&String::from_utf8_lossy(&body))
    }

    /// Says that the cluster is there.
    pub(crate) async fn renew(&self, cluster: &str, renewal: &Renewal) -> Result<Renewed, Failure> {
        let body = serde_json::to_vec(renewal).map_err(|error| Failure::Refused(error.to_string()))?;
        let path = format!("/api/v1/kubernetes/clusters/{cluster}/renew");
        read(&self.send(Method::POST, &path, "application/json", body).await?.1)
    }

    /// What it has of the cluster.
    pub(crate) async fn tags(&self, cluster: &str) -> Result<Tags, Failure> {
        let path = format!("/api/v1/kubernetes/clusters/{cluster}/tags");
        let kept: Kept = read(&self.send(Method::GET, &path, "application/json", Vec::new()).await?.1)?;
        Ok(kept.addresses)
    }

    /// Tells all policies of the cluster, and what they are about.
    pub(crate) async fn tell_policies(&self, cluster: &str, body: String) -> Result<(), Failure> {
        let path = format!("/api/v1/kubernetes/clusters/{cluster}/policies");
        self.send(Method::PUT, &path, "application/json", body.into_bytes()).await.map(|_| ())
    }

    /// What policies may name.
    pub(crate) async fn catalogue(&self, cluster: &str) -> Result<crate::catalogue::Told, Failure> {
        let path = format!("/api/v1/kubernetes/clusters/{cluster}/catalogue");
        read(&self.send(Method::GET, &path, "application/json", Vec::new()).await?.1)
    }

    /// What became of the policies since the answer with that number, as soon as there is something.
    pub(crate) async fn standing(&self, cluster: &str, after: u64, wait: Duration) -> Result<News, Failure> {
        let query = format!("after={after}&wait={}&changed=true", wait.as_secs());
        let path = format!("/api/v1/kubernetes/clusters/{cluster}/policies?{query}");
        let sent = self.send_within(wait + PATIENCE, Method::GET, &path, "application/json", Vec::new());
        read(&sent.await?.1)
    }

    async fn send(&self, method: Method, path: &str, kind: &str, body: Vec<u8>) -> Result<(u16, Bytes), Failure> {
        self.send_within(PATIENCE, method, path, kind, body).await
    }

    async fn send_within(
        &self,
        patience: Duration,
        method: Method,
        path: &str,
        kind: &str,
        body: Vec<u8>,
    ) -> Result<(u16, Bytes), Failure> {
        let away = |error: &dyn std::error::Error| Failure::Away(with_causes(error));
        let key = tokio::fs::read_to_string(&self.key_file)
            .await
            .map_err(|error| Failure::Refused(format!("`{}` cannot be read: {error}", self.key_file.display())))?;
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("x-pan-key", key.trim())
            .header("content-type", kind)
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Failure::Refused(error.to_string()))?;
        let exchange = async {
            let response = self.http.request(request).await.map_err(|error| away(&error))?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
            let body = body.map_err(|error| away(&*error))?.to_bytes();
            if (200..300).contains(&status) {
                return Ok((status, body));
            }
            let text: String = String::from_utf8_lossy(&body).chars().take(500).collect();
            let why = format!("HTTP {status}: {text}");
            // What is not the request's fault will be over some time.
            if status >= 500 { Err(Failure::Away(why)) } else { Err(Failure::Refused(why)) }
        };
        let answer = tokio::time::timeout(patience, exchange).await;
        answer.unwrap_or_else(|_| Err(Failure::Away(format!("it said nothing for {} s", patience.as_secs()))))
    }
}

fn read<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::Refused(format!("its answer cannot be read: {error}")))
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn form(message: &str) -> Vec<u8> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("type", "user-id").append_pair("cmd", message).finish().into_bytes()
}

/// A `uid-message`. What goes stands first: an address has room for what comes then.
fn message(changes: &BTreeMap<IpAddr, Difference>) -> Element {
    let entry = |address: &IpAddr, tags: &[String]| {
        let mut entry = Element::new("entry");
        entry.attributes.push(("ip".into(), address.to_string().as_str().into()));
        entry.attributes.push(("persistent".into(), "1".into()));
        node(entry, vec![node(Element::new("tag"), tags.iter().map(|tag| Element::leaf("member", tag)).collect())])
    };
    let part = |name: &str, tags: fn(&Difference) -> &Vec<String>| {
        let entries = changes.iter().filter(|(_, change)| !tags(change).is_empty());
        let entries: Vec<_> = entries.map(|(address, change)| entry(address, tags(change))).collect();
        (!entries.is_empty()).then(|| node(Element::new(name), entries))
    };
    let parts = [part("unregister", |change| &change.go), part("register", |change| &change.come)];
    let payload = node(Element::new("payload"), parts.into_iter().flatten().collect());
    let children = vec![Element::leaf("version", "2.0"), Element::leaf("type", "update"), payload];
    node(Element::new("uid-message"), children)
}

fn node(mut element: Element, children: Vec<Element>) -> Element {
    element.children.extend(children.into_iter().map(|child| Child::Element(child.into())));
    element
}

/// What an answer says was not done; that a tag was there already, or was not, is what was wanted.
fn refusals(answer: &str) -> Result<Vec<String>, Failure> {
    let root = xml::parse(answer)
        .map_err(|diagnostic| Failure::Refused(format!("its answer cannot be read: {}", diagnostic.message)))?;
    if root.attribute("status") == Some("success") {
        return Ok(Vec::new());
    }
    let Some(payload) = root.descend(&["msg", "line", "uid-response", "payload"]) else {
        let text: String = answer.chars().take(500).collect();
        return Err(Failure::Refused(text));
    };
    let entries = payload.elements().flat_map(|part| part.elements());
    let refused = entries.filter_map(|entry| {
        let message = entry.attribute("message").unwrap_or_default();
        let is_done = message.ends_with("already exists, ignore") || message.ends_with("does not exist, ignore unreg");
        (!is_done).then(|| format!("{}: {message}", entry.attribute("ip").unwrap_or_default()))
    });
    Ok(refused.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_a_policy_has_a_fault_the_tags_of_its_form_of_before_stay() {
        let standing = |status: &str| -> Standing {
            let news = serde_json::from_value(serde_json::json!({"version": 1, "enforced_digest": "d", "policies": [
                {"kind": "NetworkPolicy", "namespace": "shop", "name": "web", "uid": "u", "generation": 2, "conditions": [
                    {"type": "Translated", "status": status, "reason": "NotAllowed", "message": "", "since": ""}]}]}));
            Standing::default().with(news.unwrap()).unwrap()
        };
        assert_eq!(standing("True").enforced(), Some("d"));
        assert_eq!(standing("False").enforced(), None);
    }

    #[test]
    fn news_are_put_together_with_what_was_known() {
        let policy = |name: &str, generation: u32| {
            serde_json::json!({"kind": "NetworkPolicy", "namespace": "shop", "name": name, "uid": name,
                "generation": generation, "conditions": [], "incident": null, "run": null})
        };
        let news = |version: u32, count: usize, policies: &[serde_json::Value]| -> News {
            serde_json::from_value(serde_json::json!({"version": version, "count": count, "policies": policies}))
                .unwrap()
        };
        let first = Standing::default().with(news(3, 2, &[policy("b", 1), policy("a", 1)])).unwrap();
        let second = first.with(news(4, 2, &[policy("b", 2)])).unwrap();
        let told: Vec<_> = second.policies.iter().map(|policy| (policy.name.as_str(), policy.generation)).collect();
        assert_eq!((told, second.version), (vec![("a", 1), ("b", 2)], 4));
        assert!(Arc::ptr_eq(&first.policies[0], &second.policies[0]), "what did not change is the same one");
        assert!(second.with(news(5, 1, &[])).is_none(), "which one is gone is not told");
        let all = Standing { version: 0, ..second.clone() }.with(news(5, 1, &[policy("b", 2)])).unwrap();
        assert!(all.policies.len() == 1 && Arc::ptr_eq(&all.policies[0], &second.policies[1]));
    }

    #[test]
    fn changes_are_one_message() {
        let change = |come: &[&str], go: &[&str]| Difference {
            come: come.iter().map(|tag| (*tag).to_owned()).collect(),
            go: go.iter().map(|tag| (*tag).to_owned()).collect(),
        };
        let changes = [
            ("10.0.0.1".parse().unwrap(), change(&["a", "b<c"], &[])),
            ("fd00::1".parse().unwrap(), change(&["d"], &["a"])),
        ];
        assert_eq!(
            xml::write(&message(&changes.into())),
            "<uid-message><version>2.0</version><type>update</type><payload><unregister><entry ip=\"fd00::1\" persistent=\"1\">\
             <tag><member>a</member></tag></entry></unregister><register><entry ip=\"10.0.0.1\" persistent=\"1\"><tag><member>a</member>\
             <member>b&lt;c</member></tag></entry><entry ip=\"fd00::1\" persistent=\"1\"><tag><member>d</member></tag></entry>\
             </register></payload></uid-message>"
        );
    }

    #[test]
    fn what_is_so_already_is_no_refusal() {
        assert!(refusals("<response status=\"success\"><result/></response>").unwrap().is_empty());
        let answer = "<response status=\"error\"><msg><line><uid-response><version>2.0</version><payload><register>\
            <entry ip=\"10.0.0.1\" message=\"tag a already exists, ignore\"/><entry ip=\"10.0.0.2\" message=\"too many\"/></register>\
            <unregister><entry ip=\"10.0.0.3\" message=\"tag b does not exist, ignore unreg\"/></unregister></payload></uid-response>\
            </line></msg></response>";
        assert_eq!(refusals(answer).unwrap(), ["10.0.0.2: too many"]);
        assert!(refusals("<response status=\"error\" code=\"16\"><msg><line>no</line></msg></response>").is_err());
        assert!(refusals("not XML").is_err());
    }
}
