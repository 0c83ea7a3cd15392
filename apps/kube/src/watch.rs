//! What happens in the cluster?
//!
//! One watch a kind: it lists, then follows from there, goes on after a cut from the last version that it saw, and lists
//! anew when the API server does not have that any more (410). Each event waits until it is taken.

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
use crate::objects::{Key, Read};

/// Events that wait to be taken.
const CHANGES_MAX: usize = 1024;
/// The API group of endpoint slices.
const DISCOVERY: &str = "discovery.k8s.io";
/// How long it takes until the API server is asked again which versions it has.
const AGAIN: Duration = Duration::from_secs(2);

/// Watches all that tags depend on; ends when what it returns is dropped.
pub(crate) fn all(client: &Client, status: &Arc<Status>) -> (mpsc::Receiver<Change>, JoinSet<()>) {
    let (changes, taken) = mpsc::channel(CHANGES_MAX);
    let mut watches = JoinSet::new();
    start::<v1::Pod>(&mut watches, client, &changes, status);
    start::<v1::Service>(&mut watches, client, &changes, status);
    start::<v1::Node>(&mut watches, client, &changes, status);
    start::<v1::Namespace>(&mut watches, client, &changes, status);
    watches.spawn(slices(client.clone(), changes, status.clone()));
    (taken, watches)
}

fn start<K>(watches: &mut JoinSet<()>, client: &Client, changes: &mpsc::Sender<Change>, status: &Arc<Status>)
where
    K: Resource<DynamicType = ()> + Read + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let (api, changes, status) = (Api::<K>::all(client.clone()), changes.clone(), status.clone());
    watches.spawn(async move {
        follow(api, &changes, &status).await;
    });
}

/// Endpoint slices, in the version that the cluster has; an upgrade of the cluster may change it.
async fn slices(client: Client, changes: mpsc::Sender<Change>, status: Arc<Status>) {
    loop {
        let version = match client.list_api_groups().await {
            Ok(groups) => {
                let group = groups.groups.into_iter().find(|group| group.name == DISCOVERY);
                let versions = group.map(|group| group.versions).unwrap_or_default();
                ["v1", "v1beta1"].into_iter().find(|name| versions.iter().any(|version| version.version == **name))
            }
            Err(error) => {
                status.watch_failed("endpointslices", &error);
                None
            }
        };
        if let Some(version) = version {
            let resource = ApiResource {
                group: DISCOVERY.to_owned(),
                version: version.to_owned(),
                api_version: format!("{DISCOVERY}/{version}"),
                kind: "EndpointSlice".to_owned(),
                plural: "endpointslices".to_owned(),
            };
            tracing::info!(version, "endpoint slices are watched");
            let api = Api::<DynamicObject>::all_with(client.clone(), &resource);
            if !follow(api, &changes, &status).await {
                return;
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Hands on what happens until the API server does not know the resource, or nobody takes it any more; whether somebody
/// does.
async fn follow<K>(api: Api<K>, changes: &mpsc::Sender<Change>, status: &Status) -> bool
where
    K: Resource + Read + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut events = pin!(watcher(api, watcher::Config::default()).default_backoff());
    while let Some(event) = events.next().await {
        let change = match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => Change::Apply(key_of(&object), object.read()),
            Ok(Event::Delete(object)) => Change::Delete(key_of(&object)),
            Ok(Event::Init) => Change::ListBegins(K::KIND),
            Ok(Event::InitDone) => Change::ListEnds(K::KIND),
            Err(error) => {
                status.watch_failed(K::KIND.plural(), &error);
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

fn key_of<K: Resource + Read>(object: &K) -> Key {
    let metadata = object.meta();
    Key {
        kind: K::KIND,
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
    }
}
