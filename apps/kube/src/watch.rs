//! What happens in the cluster?
//!
//! One watch a kind: it lists, then follows from there, goes on after a cut from the last version that it saw, and lists
//! anew when the API server does not have that any more (410). Each event waits until it is taken. Kinds that not every
//! cluster has are looked for in what the API server says it has.

use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::cluster::Change;
use crate::health::Status;
use crate::objects::{Key, Kind, Object, Read, slice};
use crate::policies::{cluster_policy, network_policy};

/// Events that wait to be taken.
const CHANGES_MAX: usize = 1024;
/// How long it takes until the API server is asked again which versions it has, when it has none of those that are needed.
const AGAIN: Duration = Duration::from_secs(2);
/// The same of what a cluster may do without.
const AGAIN_OPTIONAL: Duration = Duration::from_secs(30);

/// A kind whose version the API server tells.
#[derive(Clone, Copy)]
struct Found {
    kind: Kind,
    group: &'static str,
    name: &'static str,
    /// The first of these that it has.
    versions: &'static [&'static str],
    read: fn(DynamicObject) -> Object,
    /// The cluster may be without: then there are no such objects.
    is_optional: bool,
}

const SLICES: Found = Found {
    kind: Kind::Slice,
    group: "discovery.k8s.io",
    name: "EndpointSlice",
    versions: &["v1", "v1beta1"],
    read: slice,
    is_optional: false,
};
const POLICIES: Found = Found {
    kind: Kind::Policy,
    group: "networking.k8s.io",
    name: "NetworkPolicy",
    versions: &["v1"],
    read: network_policy,
    is_optional: true,
};
const CLUSTER_POLICIES: Found = Found {
    kind: Kind::ClusterPolicy,
    group: "policy.networking.k8s.io",
    name: "ClusterNetworkPolicy",
    versions: &["v1alpha2"],
    read: cluster_policy,
    is_optional: true,
};

/// Watches all that tags and rules depend on; ends when what it returns is dropped.
pub(crate) fn all(client: &Client, status: &Arc<Status>) -> (mpsc::Receiver<Change>, JoinSet<()>) {
    let (changes, taken) = mpsc::channel(CHANGES_MAX);
    let mut watches = JoinSet::new();
    start::<v1::Pod>(&mut watches, client, Kind::Pod, &changes, status);
    start::<v1::Service>(&mut watches, client, Kind::Service, &changes, status);
    start::<v1::Node>(&mut watches, client, Kind::Node, &changes, status);
    start::<v1::Namespace>(&mut watches, client, Kind::Namespace, &changes, status);
    for found in [SLICES, POLICIES, CLUSTER_POLICIES] {
        watches.spawn(discovered(found, client.clone(), changes.clone(), status.clone()));
    }
    (taken, watches)
}

fn start<K>(
    watches: &mut JoinSet<()>,
    client: &Client,
    kind: Kind,
    changes: &mpsc::Sender<Change>,
    status: &Arc<Status>,
) where
    K: Resource<DynamicType = ()> + Read + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let (api, changes, status) = (Api::<K>::all(client.clone()), changes.clone(), status.clone());
    watches.spawn(async move {
        follow(api, kind, K::read, &changes, &status).await;
    });
}

/// A kind in the version that the cluster has; an upgrade of the cluster may change it, and what it does not have may come.
async fn discovered(found: Found, client: Client, changes: mpsc::Sender<Change>, status: Arc<Status>) {
    loop {
        let version = match version(&client, &found).await {
            Ok(version) => version,
            Err(error) => {
                status.watch_failed(found.kind.plural(), &error);
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        };
        if let Some(version) = version {
            let resource = ApiResource {
                group: found.group.to_owned(),
                version: version.to_owned(),
                api_version: format!("{}/{version}", found.group),
                kind: found.name.to_owned(),
                plural: found.kind.plural().to_owned(),
            };
            tracing::info!(version, "{} are watched", found.kind.plural());
            let api = Api::<DynamicObject>::all_with(client.clone(), &resource);
            if !follow(api, found.kind, found.read, &changes, &status).await {
                return;
            }
        }
        if !found.is_optional {
            tokio::time::sleep(AGAIN).await;
            continue;
        }
        // There are none.
        for change in [Change::ListBegins(found.kind), Change::ListEnds(found.kind)] {
            if changes.send(change).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(AGAIN_OPTIONAL).await;
    }
}

async fn version(client: &Client, found: &Found) -> kube::Result<Option<&'static str>> {
    let groups = client.list_api_groups().await?;
    let group = groups.groups.into_iter().find(|group| group.name == found.group);
    let versions = group.map(|group| group.versions).unwrap_or_default();
    Ok(found.versions.iter().copied().find(|name| versions.iter().any(|version| version.version == **name)))
}

/// Hands on what happens until the API server does not know the resource, or nobody takes it any more; whether somebody
/// does.
async fn follow<K>(
    api: Api<K>,
    kind: Kind,
    read: fn(K) -> Object,
    changes: &mpsc::Sender<Change>,
    status: &Status,
) -> bool
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut events = pin!(watcher(api, watcher::Config::default()).default_backoff());
    while let Some(event) = events.next().await {
        let change = match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => Change::Apply(key_of(kind, &object), read(object)),
            Ok(Event::Delete(object)) => Change::Delete(key_of(kind, &object)),
            Ok(Event::Init) => Change::ListBegins(kind),
            Ok(Event::InitDone) => Change::ListEnds(kind),
            Err(error) => {
                status.watch_failed(kind.plural(), &error);
                if is_unknown(&error) {
                    return true;
                }
                continue;
            }
        };
        if changes.send(change).await.is_err() {
            return false;
        }
    }
    true
}

fn is_unknown(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status)) => status.code == 404,
        _ => false,
    }
}

fn key_of<K: Resource>(kind: Kind, object: &K) -> Key {
    let metadata = object.meta();
    Key {
        kind,
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
    }
}
