//! Policies of Kubernetes clusters: what their controllers want, what they may name, and what became of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use bartizan_model::registered::is_cluster_name;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::problem::Problem;
use super::route::{Access, Call, Json, Nothing, Route};
use super::tags::refuse_part;
use crate::app::App;
use crate::automation::state::{Cluster, Condition, PolicyState};
use crate::automation::told::{Key, Told};
use crate::automation::{Basis, basis, devices};
use crate::times;

/// The longest wait of one request.
const WAIT_MAX_S: u64 = 30;
/// Longest word that a controller has for a state.
const DIGEST_MAX: usize = 128;

pub(super) fn routes() -> Vec<Route> {
    let telling = Access::Type("user-id");
    vec![
        Route::new(
            Method::PUT,
            "/kubernetes/clusters/{name}/policies",
            telling,
            "A controller tells all policies of its cluster",
            tell,
        ),
        Route::new(
            Method::GET,
            "/kubernetes/clusters/{name}/policies",
            telling,
            "What became of the policies of a cluster, when that is news or the wait is over",
            states,
        ),
        Route::new(
            Method::GET,
            "/kubernetes/clusters/{name}/catalogue",
            telling,
            "What the policies of a cluster may name",
            catalogue,
        ),
    ]
}

/// What the manager has.
#[derive(JsonSchema, Serialize)]
struct Accepted {
    /// The word for it.
    digest: String,
    /// It is on disk.
    accepted: bool,
    /// The version of the cluster's state.
    version: i64,
}

async fn tell(call: Call<Nothing, Told>) -> Result<Json<Accepted>, Problem> {
    refuse_part(&call.caller)?;
    let name = call.name("name").to_owned();
    if !is_cluster_name(&name) {
        return Err(Problem::parameter("name", "the name of a cluster is 1 to 20 of A-Z a-z 0-9 _ -"));
    }
    let (app, told) = (call.app, call.body);
    if told.digest.is_empty() || told.digest.len() > DIGEST_MAX {
        let message = format!("`digest` is missing or longer than {DIGEST_MAX} bytes: SHA-256, hex, of the rest");
        return Err(Problem::parameter("digest", message));
    }
    let digest = told.digest.clone();
    let version = app.automation.tell(&app.store, &name, told, &call.caller.name).await.map_err(anyhow::Error::from)?;
    let version = version.map_err(|why| Problem::parameter("policies", why))?;
    Ok(Json(Accepted { digest, accepted: true, version }))
}

/// What is news.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StatesQuery {
    /// Answer when the version is a later one.
    after: Option<i64>,
    /// Seconds to wait for that, at most 30; 0 when absent.
    #[serde(default)]
    wait: u64,
    /// Only policies that changed after that version.
    #[serde(default)]
    changed: bool,
}

/// What became of policies.
#[derive(JsonSchema, Serialize)]
struct States {
    /// Another one after every change.
    version: i64,
    /// What was told last.
    digest: String,
    /// What is enforced on all devices.
    enforced_digest: String,
    /// Another one when the catalogue or the settings changed that a controller has to know.
    catalogue_digest: String,
    /// The device group with the rules; empty when there are none.
    device_group: String,
    /// Its firewalls.
    devices: Vec<Device>,
    /// Groups whose members have to have their tags, because a firewall may have rules of them; missing where they are as
    /// they were at the version that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<BTreeMap<String, Value>>,
    /// How many policies there are.
    count: usize,
    /// The policies.
    policies: Vec<Policy>,
}

/// A firewall.
#[derive(JsonSchema, Serialize)]
struct Device {
    /// Its serial number.
    serial: String,
    /// Its host name.
    name: String,
    /// SHA-256, hex, of the configuration that it enforces.
    digest: String,
    /// Whether that holds all that was committed.
    enforced: bool,
    /// Whether it is connected.
    connected: bool,
}

/// A policy.
#[derive(JsonSchema, Serialize)]
struct Policy {
    /// `NetworkPolicy` or `ClusterNetworkPolicy`.
    kind: String,
    /// Its namespace; empty when it is of the whole cluster.
    namespace: String,
    /// Its name.
    name: String,
    /// Its identity.
    uid: String,
    /// The generation that this is about.
    generation: i64,
    /// When it changed last.
    version: i64,
    /// `Translated`, `Committed` and `Enforced`.
    conditions: Vec<StateCondition>,
    /// Names of its rules.
    rules: Vec<String>,
    /// The incident about its last change.
    incident: Option<String>,
    /// The run of its last change.
    run: Option<String>,
}

/// A condition, as objects of Kubernetes have them.
#[derive(JsonSchema, Serialize)]
struct StateCondition {
    /// Its type.
    r#type: String,
    /// `True`, `False` or `Unknown`.
    status: String,
    /// Why, in a word.
    reason: String,
    /// Why, for people.
    message: String,
    /// Since when the status is what it is.
    since: String,
}

fn policy(key: &Key, state: &PolicyState) -> Policy {
    let condition = |name: &str, condition: &Condition| StateCondition {
        r#type: name.to_owned(),
        status: condition.status.as_str().to_owned(),
        reason: condition.reason.clone(),
        message: condition.message.clone(),
        since: times::rfc3339(condition.since_us),
    };
    let number = |number: i64| (number != 0).then(|| number.to_string());
    Policy {
        kind: key.kind.clone(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        uid: state.uid.clone(),
        generation: state.generation,
        version: state.version,
        conditions: vec![
            condition("Translated", &state.translated),
            condition("Committed", &state.committed),
            condition("Enforced", &state.enforced),
        ],
        rules: state.rules.clone(),
        incident: number(state.incident),
        run: number(state.run),
    }
}

/// The cluster, as soon as its version is beyond `after` or the time is over.
async fn wait(app: &App, name: &str, after: Option<i64>, wait_s: u64) -> Option<Arc<Cluster>> {
    let mut news = app.automation.follow();
    let mut stop = app.stop.clone();
    let is_news = async {
        loop {
            let cluster = app.automation.cluster(name);
            let is_late = cluster.is_none_or(|cluster| after.is_none_or(|after| cluster.version > after));
            if is_late || news.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = is_news => {}
        () = tokio::time::sleep(Duration::from_secs(wait_s.min(WAIT_MAX_S))) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    app.automation.cluster(name)
}

async fn states(call: Call<StatesQuery>) -> Result<Json<States>, Problem> {
    refuse_part(&call.caller)?;
    let (app, name, StatesQuery { after, wait: wait_s, changed }) = (&call.app, call.name("name"), &call.query);
    let cluster = wait(app, name, *after, *wait_s).await;
    let cluster = cluster.ok_or_else(|| Problem::not_found(format!("cluster `{name}` told no policies")))?;
    let basis = basis(app, name).await?;
    let device = |one: devices::Enforcer| Device {
        serial: one.serial,
        name: one.name,
        digest: one.digest,
        enforced: one.enforced,
        connected: one.connected,
    };
    let devices = devices::of(app, &cluster).await?.into_iter().map(device).collect();
    let since = if *changed { after.unwrap_or(0) } else { 0 };
    let policies = cluster.policies.iter().filter(|(_, state)| state.version > since);
    let in_force = || -> serde_json::Result<BTreeMap<String, Value>> {
        let all = cluster.groups.iter().filter(|(_, spoken)| spoken.in_force);
        all.map(|(tag, spoken)| Ok((tag.clone(), serde_json::to_value(&spoken.group)?))).collect()
    };
    let groups =
        (since == 0 || cluster.groups_version > since).then(in_force).transpose().map_err(anyhow::Error::from)?;
    Ok(Json(States {
        groups,
        count: cluster.policies.len(),
        version: cluster.version,
        digest: cluster.told.digest.clone(),
        enforced_digest: cluster.enforced_digest.clone(),
        catalogue_digest: basis.catalogue_digest.clone(),
        device_group: cluster.placed.clone(),
        devices,
        policies: policies.map(|(key, state)| policy(key, state)).collect(),
    }))
}

/// What policies may name.
#[derive(JsonSchema, Serialize)]
struct CatalogueAnswer {
    /// As `bartizan policy lint --catalogue` reads it.
    catalogue: Value,
    /// What of the settings a translation needs.
    settings: TranslationSettings,
    /// Another one when any of it changed.
    digest: String,
}

/// What of the settings a translation needs.
#[derive(JsonSchema, Serialize)]
struct TranslationSettings {
    /// Pods that no policy is about may talk.
    allow_the_rest: bool,
    /// Most rules.
    rules_max: usize,
    /// Services are to be told: they become service objects.
    service_objects: bool,
}

async fn catalogue(call: Call) -> Result<Json<CatalogueAnswer>, Problem> {
    refuse_part(&call.caller)?;
    let (name, running) = (call.name("name").to_owned(), call.app.configuration.snapshot().running.clone());
    let read = tokio::task::spawn_blocking(move || Basis::of(&running, &name)).await;
    let Basis { settings, catalogue, catalogue_digest, .. } = read.map_err(anyhow::Error::from)?;
    Ok(Json(CatalogueAnswer {
        catalogue: serde_json::to_value(&catalogue).map_err(anyhow::Error::from)?,
        settings: TranslationSettings {
            service_objects: settings.as_ref().is_some_and(|settings| settings.service_objects),
            allow_the_rest: settings.as_ref().is_none_or(|settings| settings.allow_the_rest),
            rules_max: settings.map_or(crate::automation::settings::RULES_MAX, |settings| settings.rules_max),
        },
        digest: catalogue_digest,
    }))
}
