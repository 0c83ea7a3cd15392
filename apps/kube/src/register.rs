//! How does the manager come to have the tags that the cluster says?
//!
//! What it has is known: it was asked once, and each change that it took is noted. So an event becomes the difference of the
//! addresses that it touched; what could not be told stays to be told. Each renewal compares the digests, and where they differ
//! the manager is asked again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bartizan_model::registered::lines;
use sha2::{Digest as _, Sha256};

use crate::cluster::Cluster;
use crate::health::Status;
use crate::manager::{Difference, Failure, Manager, Objects, Renewal, Tags};
use crate::objects::Kind;

/// Addresses of one message.
const ADDRESSES: usize = 500;
/// Tags of one message, beyond which no further address is put into it.
const TAGS: usize = 10_000;
/// A renewal at least so often, so that what is wrong is known soon.
const RENEW_MAX: Duration = Duration::from_secs(30);
/// How long the manager is left alone after a failure; it doubles up to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// Tells the manager.
pub(crate) struct Registrar {
    manager: Arc<Manager>,
    cluster: String,
    renewal: Renewal,
    status: Arc<Status>,
    /// What the manager has; unknown until it was asked.
    kept: Option<Tags>,
    renew_at: Instant,
    quiet_until: Instant,
    pause: Duration,
    warnings: Vec<String>,
    /// What the last renewal said of policies.
    policies_digest: Option<String>,
    /// What the manager has of before was compared with what policies need.
    is_swept: bool,
}

impl Registrar {
    /// Tells of that cluster.
    pub(crate) fn new(
        manager: Arc<Manager>,
        cluster: &str,
        renewal: Renewal,
        status: Arc<Status>,
        now: Instant,
    ) -> Self {
        Self {
            manager,
            cluster: cluster.to_owned(),
            renewal,
            status,
            kept: None,
            renew_at: now,
            quiet_until: now,
            pause: BACKOFF.0,
            warnings: Vec::new(),
            policies_digest: None,
            is_swept: false,
        }
    }

    /// Somebody else may have told the manager: it has to be asked.
    pub(crate) fn forget(&mut self) {
        self.kept = None;
    }

    /// When there is something to do, without any event.
    pub(crate) fn wakes(&self, cluster: &Cluster, tells: bool) -> Instant {
        let has_to_tell = tells && cluster.is_listed() && (cluster.is_dirty() || self.kept.is_none());
        if has_to_tell { self.quiet_until } else { self.renew_at.max(self.quiet_until) }
    }

    /// What the manager said since this was asked of the policies that it has.
    pub(crate) fn take_policies_digest(&mut self) -> Option<String> {
        self.policies_digest.take()
    }

    /// Whether the manager has all tags.
    pub(crate) fn has_told(&self, cluster: &Cluster) -> bool {
        self.kept.is_some() && cluster.is_listed() && !cluster.is_dirty()
    }

    /// Does what there is to do: renews, and when this controller `tells`, tells what has changed.
    pub(crate) async fn work(&mut self, cluster: &mut Cluster, tells: bool) {
        if Instant::now() < self.quiet_until {
            return;
        }
        let outcome = self.work_once(cluster, tells).await;
        self.status.manager_answered(outcome.as_ref().err());
        match outcome {
            Ok(()) => self.pause = BACKOFF.0,
            Err(failure) => {
                tracing::warn!(again_in_ms = self.pause.as_millis(), "{failure}");
                self.quiet_until = Instant::now() + self.pause;
                self.pause = (self.pause * 2).min(BACKOFF.1);
            }
        }
    }

    async fn work_once(&mut self, cluster: &mut Cluster, tells: bool) -> Result<(), Failure> {
        if tells && cluster.is_listed() {
            self.tell(cluster).await?;
        }
        if Instant::now() >= self.renew_at {
            self.renew(cluster).await?;
        }
        Ok(())
    }

    async fn renew(&mut self, cluster: &Cluster) -> Result<(), Failure> {
        self.renewal.objects = Objects {
            pods: cluster.count(Kind::Pod),
            services: cluster.count(Kind::Service),
            nodes: cluster.count(Kind::Node),
            namespaces: cluster.count(Kind::Namespace),
            protected_namespaces: cluster.protected_namespaces(),
        };
        self.status.counted(self.renewal.objects);
        let renewed = self.manager.renew(&self.cluster, &self.renewal).await?;
        self.renew_at = Instant::now() + RENEW_MAX.min(Duration::from_secs(self.renewal.ttl_s) / 3);
        if self.kept.as_ref().is_some_and(|kept| digest(kept) != renewed.digest) {
            tracing::warn!("the manager has other tags of this cluster than it was told: it is asked again");
            self.kept = None;
        }
        for warning in renewed.warnings.iter().filter(|warning| !self.warnings.contains(warning)) {
            tracing::warn!("{warning}");
        }
        self.status.warned(renewed.warnings.len());
        self.warnings = renewed.warnings;
        self.policies_digest = renewed.policies_digest;
        Ok(())
    }

    async fn tell(&mut self, cluster: &mut Cluster) -> Result<(), Failure> {
        let kept = match &mut self.kept {
            Some(kept) => kept,
            kept => {
                let tags = self.manager.tags(&self.cluster).await?;
                let all: Vec<IpAddr> = cluster.addresses().chain(tags.keys().copied()).collect();
                cluster.touch(all);
                kept.insert(tags)
            }
        };
        if !self.is_swept && cluster.policies.is_settled() {
            self.is_swept = true;
            let all: Vec<IpAddr> = kept.keys().copied().collect();
            cluster.touch(all);
        }
        let mut dirty = cluster.take_dirty().into_iter().peekable();
        let mut left_out = 0;
        while dirty.peek().is_some() {
            let mut changes = BTreeMap::new();
            let mut after = Vec::new();
            let mut tags = 0;
            while changes.len() < ADDRESSES && tags < TAGS {
                let Some(address) = dirty.next() else { break };
                let (mut wanted, more) = cluster.tags(address);
                left_out += more;
                let has = kept.get(&address).cloned().unwrap_or_default();
                if !wanted.is_empty() {
                    wanted.extend(has.iter().filter(|tag| cluster.policies.keeps(tag)).cloned());
                }
                if wanted != has {
                    let come: Vec<String> = wanted.difference(&has).cloned().collect();
                    let go: Vec<String> = has.difference(&wanted).cloned().collect();
                    tags += come.len() + go.len();
                    changes.insert(address, Difference { come, go });
                    after.push((address, wanted));
                }
            }
            if changes.is_empty() {
                continue;
            }
            let refused = match self.manager.change(&changes).await {
                Ok(refused) => refused,
                Err(failure) => {
                    // It may have done it: each is compared again, and asked for again.
                    cluster.touch(changes.keys().copied().chain(dirty));
                    self.kept = None;
                    return Err(failure);
                }
            };
            for line in refused.iter().take(10) {
                tracing::error!("the manager does not take the tags of {line}");
            }
            self.status.told(changes.len(), tags, refused.len());
            for (address, tags) in after {
                if tags.is_empty() {
                    kept.remove(&address)
                } else {
                    kept.insert(address, tags)
                };
            }
        }
        self.status.tagged(kept.len(), left_out);
        Ok(())
    }
}

/// As the manager reckons it.
fn digest(kept: &Tags) -> String {
    let mut digest = Sha256::new();
    lines(kept.iter().flat_map(|(address, tags)| tags.iter().map(move |tag| (address, tag))), |line| {
        digest.update(line);
    });
    digest.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
