//! How does the cluster show what became of its policies?
//!
//! A NetworkPolicy has no status, so each has a small object beside it, of the same name, which `kubectl get fps` prints and
//! which goes with it; and Events, not more than one for what changed. What is there already is read first, so that
//! whoever takes over writes nothing twice and says nothing again.

mod status;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::Status as Refusal;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::health::Status;
use crate::lease::Role;
use crate::manager::{PolicyState, Standing};

/// Group and version of the states.
const API_VERSION: &str = "bartizan.io/v1";
/// Names the cluster on each state.
const CLUSTER_LABEL: &str = "bartizan.io/cluster";
/// Who reports Events.
const REPORTER: &str = "bartizan.io/controller";
/// States are read again after so long, since somebody may have removed them.
const AGAIN: Duration = Duration::from_secs(300);
/// How long it takes until what could not be written is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Objects of one page.
const PAGE: u32 = 500;

/// Kind of the policy, namespace, name.
type Which = (String, String, String);

/// A state that is there: the identity of its policy, and its status.
#[derive(Clone, Debug)]
struct Written {
    uid: String,
    status: Value,
    /// What it was written of, when this process did or looked: then it is as it should be. Digests of firewalls change
    /// with every push, and are written again only together with something of the policy, or when all is read again.
    of: Option<Arc<PolicyState>>,
}

/// Writes states and Events.
pub(crate) struct Writer {
    /// The cluster.
    pub(crate) client: Client,
    /// Its name at the manager.
    pub(crate) cluster: String,
    /// The own name.
    pub(crate) me: String,
    /// For what is counted.
    pub(crate) status: Arc<Status>,
}

impl Writer {
    /// Follows what the manager says, as long as this controller leads.
    pub(crate) async fn run(
        self,
        mut role: watch::Receiver<Role>,
        mut standing: watch::Receiver<Option<Arc<Standing>>>,
    ) {
        loop {
            if role.wait_for(|role| *role == Role::Leader).await.is_err() {
                return;
            }
            let mut written = match self.read().await {
                Ok(written) => written,
                Err(error) => {
                    self.status.states_failed(&error);
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            };
            let until = tokio::time::Instant::now() + AGAIN;
            while *role.borrow() == Role::Leader && tokio::time::Instant::now() < until {
                let now = standing.borrow_and_update().clone();
                let is_done = match now {
                    Some(now) => self.write(&mut written, &now).await,
                    None => true,
                };
                let rest = if is_done { until } else { tokio::time::Instant::now() + RETRY };
                tokio::select! {
                    changed = standing.changed() => if changed.is_err() { return },
                    changed = role.changed() => if changed.is_err() { return },
                    () = tokio::time::sleep_until(rest) => {}
                }
            }
        }
    }

    fn api(&self, which: (&str, &str)) -> Api<DynamicObject> {
        let (kind, namespace) = which;
        let (kind, plural) = if kind == "NetworkPolicy" {
            ("FirewallPolicyState", "firewallpolicystates")
        } else {
            ("ClusterFirewallPolicyState", "clusterfirewallpolicystates")
        };
        let resource = ApiResource {
            group: "bartizan.io".to_owned(),
            version: "v1".to_owned(),
            api_version: API_VERSION.to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        };
        if namespace.is_empty() {
            return Api::all_with(self.client.clone(), &resource);
        }
        Api::namespaced_with(self.client.clone(), namespace, &resource)
    }

    async fn read(&self) -> kube::Result<HashMap<Which, Written>> {
        let mut written = HashMap::new();
        for kind in ["NetworkPolicy", "ClusterNetworkPolicy"] {
            let api = self.api((kind, ""));
            let mut page = ListParams::default().limit(PAGE);
            loop {
                let list = api.list(&page).await?;
                for object in list.items {
                    let metadata = object.metadata;
                    let owner = metadata.owner_references.into_iter().flatten().next();
                    let uid = owner.map(|owner| owner.uid).unwrap_or_default();
                    let status = object.data.get("status").cloned().unwrap_or_default();
                    let (namespace, name) = (metadata.namespace.unwrap_or_default(), metadata.name.unwrap_or_default());
                    written.insert((kind.to_owned(), namespace, name), Written { uid, status, of: None });
                }
                match list.metadata.continue_.filter(|token| !token.is_empty()) {
                    Some(token) => page = page.continue_token(&token),
                    None => break,
                }
            }
        }
        Ok(written)
    }

    /// Writes what differs; whether all of it could be.
    async fn write(&self, written: &mut HashMap<Which, Written>, standing: &Standing) -> bool {
        let mut is_done = true;
        for policy in &standing.policies {
            let which = (policy.kind.clone(), policy.namespace.clone(), policy.name.clone());
            let before = written.get(&which);
            if before.and_then(|before| before.of.as_ref()).is_some_and(|of| Arc::ptr_eq(of, policy)) {
                continue;
            }
            let (uid, status) = (policy.uid.clone(), status::of(policy, standing));
            let after = Written { uid, status, of: Some(policy.clone()) };
            if before.is_some_and(|before| before.uid == after.uid && before.status == after.status) {
                written.insert(which, after);
                continue;
            }
            match self.put(policy, before, &after).await {
                Ok(()) => {
                    self.status.state_written();
                    let event = status::event(before.map(|before| &before.status), policy, standing);
                    written.insert(which, after);
                    if let Some(event) = event
                        && let Err(error) = self.say(policy, &event).await
                    {
                        self.status.states_failed(&error);
                    }
                }
                Err(error) => {
                    self.status.states_failed(&error);
                    is_done = false;
                }
            }
        }
        let there: HashSet<(&str, &str, &str)> =
            standing.policies.iter().map(|one| (&*one.kind, &*one.namespace, &*one.name)).collect();
        written.retain(|(kind, namespace, name), _| there.contains(&(&**kind, &**namespace, &**name)));
        is_done
    }

    async fn put(&self, policy: &PolicyState, before: Option<&Written>, after: &Written) -> kube::Result<()> {
        let api = self.api((&policy.kind, policy.namespace.as_str()));
        let status = json!({ "status": after.status });
        // The object goes with its policy: one of before may be gone, or be about to go.
        if before.is_none_or(|before| before.uid != after.uid) {
            self.make(&api, policy).await?;
        }
        let patched = api.patch_status(&policy.name, &PatchParams::default(), &Patch::Merge(&status)).await;
        match patched {
            Err(kube::Error::Api(error)) if is(&error, 404) => {
                self.make(&api, policy).await?;
                api.patch_status(&policy.name, &PatchParams::default(), &Patch::Merge(&status)).await.map(drop)
            }
            other => other.map(drop),
        }
    }

    /// Makes the state of a policy, or makes one that is there belong to it.
    async fn make(&self, api: &Api<DynamicObject>, policy: &PolicyState) -> kube::Result<()> {
        let (api_version, kind) = (policy.api_version(), &policy.kind);
        let metadata = json!({
            "name": policy.name,
            "labels": { CLUSTER_LABEL: self.cluster },
            "ownerReferences": [{ "apiVersion": api_version, "kind": kind, "name": policy.name, "uid": policy.uid }],
        });
        let state = if kind == "NetworkPolicy" { "FirewallPolicyState" } else { "ClusterFirewallPolicyState" };
        let object = json!({ "apiVersion": API_VERSION, "kind": state, "metadata": metadata });
        let object: DynamicObject = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
        match api.create(&PostParams::default(), &object).await {
            Err(kube::Error::Api(error)) if is(&error, 409) => {
                let owned = json!({ "metadata": metadata });
                api.patch(&policy.name, &PatchParams::default(), &Patch::Merge(&owned)).await.map(drop)
            }
            other => other.map(drop),
        }
    }

    async fn say(&self, policy: &PolicyState, told: &status::Told) -> kube::Result<()> {
        let namespace = Some(policy.namespace.clone()).filter(|name| !name.is_empty());
        // Events of what is in no namespace are in this one, where kubectl looks for them.
        let of = namespace.clone().unwrap_or_else(|| "default".to_owned());
        let now = jiff::Timestamp::now();
        let mut regarding = json!({ "apiVersion": policy.api_version(), "kind": policy.kind, "name": policy.name,
            "uid": policy.uid });
        if let Some(namespace) = namespace {
            regarding["namespace"] = json!(namespace);
        }
        let event = json!({
            "metadata": { "name": format!("{}.{:x}", policy.name, now.as_nanosecond()), "namespace": of },
            "eventTime": format!("{now:.6}"),
            "type": told.kind,
            "reason": told.reason,
            "note": told.note,
            "action": "Automate",
            "reportingController": REPORTER,
            "reportingInstance": self.me,
            "regarding": regarding,
        });
        let event: Event = serde_json::from_value(event).map_err(kube::Error::SerdeError)?;
        let api = Api::<Event>::namespaced(self.client.clone(), &of);
        api.create(&PostParams::default(), &event).await?;
        self.status.event_said();
        Ok(())
    }
}

fn is(error: &Refusal, code: u16) -> bool {
    error.code == code
}
