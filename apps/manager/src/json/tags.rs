//! Tags that the manager keeps, and the Kubernetes clusters that tell them.

use std::collections::BTreeMap;

use axum::http::Method;
use bartizan_model::registered::is_cluster_name;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::route::{Access, Call, Done, Json, Nothing, Route};
use crate::accounts::Caller;
use crate::app::App;
use crate::automation::state::Status;
use crate::store::from_db;
use crate::tags::{Cluster, Counts, Held, Renewal, warnings};
use crate::times;
use crate::xmlapi::why_not_part;

/// Addresses of one page.
const PAGE: usize = 500;
/// Most addresses of one page.
const PAGE_MAX: usize = 5000;
/// How long a cluster's tags may stay when its controller is silent, in seconds.
const TTL_S: std::ops::RangeInclusive<i64> = 10..=86_400;
/// Ids of tunnels, as the vendor's charts have them; 0 stands for none.
const CLUSTER_ID: std::ops::RangeInclusive<i64> = 0..=2048;

pub(super) fn routes() -> Vec<Route> {
    let clusters = Access::Command("show plugins kubernetes");
    let telling = Access::Type("user-id");
    vec![
        Route::new(
            Method::GET,
            "/registered-addresses",
            Access::Command("show object registered-ip"),
            "Addresses with the tags that the manager keeps",
            registered,
        ),
        Route::new(
            Method::GET,
            "/kubernetes/clusters",
            clusters,
            "Kubernetes clusters whose controllers tell tags",
            all,
        ),
        Route::new(
            Method::DELETE,
            "/kubernetes/clusters/{name}",
            telling,
            "Forget a Kubernetes cluster, its tags and what was made of its policies",
            forget,
        ),
        Route::new(
            Method::POST,
            "/kubernetes/clusters/{name}/renew",
            telling,
            "A controller says that it is there; the tags of its cluster stay for another while",
            renew,
        ),
        Route::new(
            Method::GET,
            "/kubernetes/clusters/{name}/tags",
            telling,
            "All tags of a Kubernetes cluster, by address",
            tags,
        ),
    ]
}

/// Which addresses.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RegisteredQuery {
    /// Only this address.
    address: Option<String>,
    /// Only those with this tag.
    tag: Option<String>,
    /// Skip so many.
    #[serde(default)]
    skip: usize,
    /// At most so many, up to 5000; 500 when absent.
    limit: Option<usize>,
}

/// Some of the addresses.
#[derive(JsonSchema, Serialize)]
struct RegisteredList {
    /// How many there are in all.
    total: usize,
    /// In their order.
    addresses: Vec<RegisteredAddress>,
}

/// An address.
#[derive(JsonSchema, Serialize)]
struct RegisteredAddress {
    /// The address.
    address: String,
    /// Whether its tags outlive a restart of the manager.
    persistent: bool,
    /// Its tags.
    tags: Vec<RegisteredTag>,
}

/// A tag.
#[derive(JsonSchema, Serialize)]
struct RegisteredTag {
    /// The tag.
    tag: String,
    /// When it ends by itself.
    expires: Option<String>,
}

async fn registered(call: Call<RegisteredQuery>) -> Result<Json<RegisteredList>, Problem> {
    let RegisteredQuery { address, tag, skip, limit } = &call.query;
    let mut rows = call.app.tags.rows();
    if let Some(address) = address {
        rows.retain(|row| row.address.to_string() == *address);
    }
    if let Some(tag) = tag {
        rows.retain(|row| row.tags.contains_key(tag));
    }
    let total = rows.len();
    let addresses = rows.into_iter().skip(*skip).take(limit.unwrap_or(PAGE).min(PAGE_MAX)).map(|row| {
        let expires = |at: Option<i64>| at.map(|at| times::rfc3339(at.saturating_mul(1_000_000)));
        RegisteredAddress {
            address: row.address.to_string(),
            persistent: row.persistent,
            tags: row.tags.into_iter().map(|(tag, at)| RegisteredTag { tag, expires: expires(at) }).collect(),
        }
    });
    Ok(Json(RegisteredList { total, addresses: addresses.collect() }))
}

/// What is known of clusters.
#[derive(JsonSchema, Serialize)]
struct ClusterList {
    /// By name.
    clusters: Vec<ClusterState>,
}

/// A cluster.
#[derive(JsonSchema, Serialize)]
struct ClusterState {
    /// Its name.
    name: String,
    /// The id of its tunnels.
    cluster_id: Option<u64>,
    /// Which process tells of it.
    controller: String,
    /// Whether that was silent for too long, so that the tags are gone.
    expired: bool,
    /// Seconds since it was heard, or since the manager was started.
    silent_s: u64,
    /// Seconds of silence after which its tags go.
    ttl_s: u64,
    /// Objects that it sees.
    objects: Objects,
    /// Addresses with tags.
    tagged_addresses: usize,
    /// Tags, of all addresses.
    tags: usize,
    /// Policies that it told.
    policies: PolicyCounts,
    /// Device groups that hear of its tags.
    device_groups: Vec<String>,
    /// What is not as it should be.
    warnings: Vec<String>,
}

/// How many policies there are.
#[derive(Clone, Copy, Debug, Default, JsonSchema, Serialize)]
struct PolicyCounts {
    /// In all, of both kinds.
    told: usize,
    /// Those with a fault.
    with_fault: usize,
    /// Those whose rules are in the running configuration.
    committed: usize,
    /// Those that all firewalls enforce.
    enforced: usize,
}

impl PolicyCounts {
    fn of(app: &App, cluster: &str) -> Self {
        let Some(cluster) = app.automation.cluster(cluster) else { return Self::default() };
        let states = || cluster.policies.values();
        Self {
            told: states().count(),
            with_fault: states().filter(|state| state.translated.status == Status::False).count(),
            committed: states().filter(|state| state.committed.holds()).count(),
            enforced: states().filter(|state| state.enforced.holds()).count(),
        }
    }
}

/// Objects that a controller sees.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Objects {
    /// Pods.
    pods: u64,
    /// Services.
    services: u64,
    /// Nodes.
    nodes: u64,
    /// Namespaces.
    namespaces: u64,
    /// Namespaces whose annotation sends their pods through a firewall.
    protected_namespaces: u64,
}

async fn all(call: Call) -> Result<Json<ClusterList>, Problem> {
    let app = &call.app;
    let notified = app.tags.notified(&app.configuration.snapshot().running);
    let state = |(cluster, silent_s, held): (Cluster, u64, Held)| {
        let Cluster { row, counts, expired, .. } = cluster;
        let Counts { pods, services, nodes, namespaces, protected_namespaces } = counts;
        ClusterState {
            cluster_id: Some(from_db(row.cluster_id)).filter(|id| *id != 0),
            controller: row.controller,
            expired,
            silent_s,
            ttl_s: from_db(row.ttl_s),
            objects: Objects { pods, services, nodes, namespaces, protected_namespaces },
            tagged_addresses: held.addresses,
            tags: held.tags,
            policies: PolicyCounts::of(app, &row.name),
            device_groups: notified.groups(&row.name).into_iter().collect(),
            warnings: warnings(app, &row.name, row.cluster_id),
            name: row.name,
        }
    };
    Ok(Json(ClusterList { clusters: app.tags.clusters().into_iter().map(state).collect() }))
}

/// A cluster's tags may be for any firewall.
pub(super) fn refuse_part(caller: &Caller) -> Result<(), Problem> {
    why_not_part(caller, "a cluster").map_or(Ok(()), |why| Err(Problem::forbidden(why)))
}

async fn forget(call: Call) -> Result<Done, Problem> {
    refuse_part(&call.caller)?;
    let name = call.name("name");
    let app = &call.app;
    let told = app.automation.abandon(&app.store, name, &call.caller.name).await.map_err(anyhow::Error::from)?;
    match app.tags.forget(&app.store, name).await.map_err(anyhow::Error::from)? || told {
        true => Ok(Done),
        false => Err(Problem::not_found(format!("no cluster `{name}` is known"))),
    }
}

/// What a controller says of its cluster.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RenewBody {
    /// The id of its tunnels, 1 to 2048.
    cluster_id: Option<i64>,
    /// Which process it is.
    controller: String,
    /// Seconds of silence after which the tags of the cluster go, 10 to 86400.
    ttl_s: i64,
    /// Objects that it sees.
    #[serde(default)]
    objects: Objects,
}

/// What the manager has of the cluster.
#[derive(JsonSchema, Serialize)]
struct Renewed {
    /// Addresses with tags.
    addresses: usize,
    /// SHA-256, hex, of a line `ADDRESS TAG` for each tag, in the order of addresses and tags.
    digest: String,
    /// The word for the policies that the controller told last; empty when it told none.
    policies_digest: String,
    /// Device groups that hear of them.
    device_groups: Vec<String>,
    /// What is not as it should be.
    warnings: Vec<String>,
}

async fn renew(call: Call<Nothing, RenewBody>) -> Result<Json<Renewed>, Problem> {
    refuse_part(&call.caller)?;
    let (app, name, body) = (&call.app, call.name("name"), &call.body);
    if !is_cluster_name(name) {
        return Err(Problem::parameter("name", "the name of a cluster is 1 to 20 of A-Z a-z 0-9 _ -"));
    }
    let cluster_id = body.cluster_id.unwrap_or(0);
    if !CLUSTER_ID.contains(&cluster_id) {
        return Err(Problem::parameter("cluster_id", "a cluster id is 1 to 2048"));
    }
    if !TTL_S.contains(&body.ttl_s) {
        return Err(Problem::parameter("ttl_s", "tags may stay for 10 to 86400 s"));
    }
    let Objects { pods, services, nodes, namespaces, protected_namespaces } = body.objects;
    let renewal = Renewal {
        cluster_id,
        controller: body.controller.chars().filter(|letter| !letter.is_control()).take(255).collect(),
        ttl_s: body.ttl_s,
        counts: Counts { pods, services, nodes, namespaces, protected_namespaces },
    };
    let known = app.tags.renew(&app.store, name, renewal).await.map_err(anyhow::Error::from)?;
    known.map_err(|line| Problem::parameter("name", line))?;
    let (addresses, digest) = app.tags.digest(name);
    let notified = app.tags.notified(&app.configuration.snapshot().running);
    Ok(Json(Renewed {
        addresses,
        digest,
        policies_digest: app.automation.digest(name),
        device_groups: notified.groups(name).into_iter().collect(),
        warnings: warnings(app, name, cluster_id),
    }))
}

/// The tags of a cluster.
#[derive(JsonSchema, Serialize)]
struct ClusterTags {
    /// Tags by address.
    addresses: BTreeMap<String, Vec<String>>,
}

async fn tags(call: Call) -> Result<Json<ClusterTags>, Problem> {
    refuse_part(&call.caller)?;
    let tags = call.app.tags.of_source(call.name("name")).into_iter();
    let addresses = tags.map(|(address, tags)| (address.to_string(), tags.into_iter().collect()));
    Ok(Json(ClusterTags { addresses: addresses.collect() }))
}
