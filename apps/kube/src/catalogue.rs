//! What may policies name?
//!
//! The manager says so; it is asked from time to time, by every replica, because each may be asked by the API server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bartizan_playbook::Catalogue;
use serde::Deserialize;
use tokio::sync::watch;

use crate::labels::Labels;
use crate::manager::Manager;

/// How often the manager is asked.
const EVERY: Duration = Duration::from_secs(15);

/// What policies are judged by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// What the manager lets be named; unknown until it said so.
    pub(crate) catalogue: Option<Arc<Catalogue>>,
    /// Labels of each namespace.
    pub(crate) namespaces: Arc<BTreeMap<String, Labels>>,
}

/// What the manager says.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Told {
    /// What may be named.
    pub(crate) catalogue: Catalogue,
    /// What a translation needs.
    pub(crate) settings: Translation,
    /// Another one when any of it changed.
    pub(crate) digest: String,
}

/// What a translation needs to know of the administrator's settings.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub(crate) struct Translation {
    /// Pods that no policy is about may talk.
    pub(crate) allow_the_rest: bool,
    /// Most rules.
    pub(crate) rules_max: usize,
    /// Services become service objects.
    #[serde(default)]
    pub(crate) service_objects: bool,
}

/// Asks as long as somebody listens.
pub(crate) async fn ask(manager: Arc<Manager>, cluster: String, say: watch::Sender<Option<Arc<Told>>>) {
    while !say.is_closed() {
        match manager.catalogue(&cluster).await {
            Ok(told) => {
                say.send_if_modified(|known| {
                    let is_news = known.as_ref().is_none_or(|known| known.digest != told.digest);
                    if is_news {
                        *known = Some(Arc::new(told));
                    }
                    is_news
                });
            }
            Err(failure) => tracing::debug!("what policies may name is not known: {failure}"),
        }
        tokio::time::sleep(EVERY).await;
    }
}
