//! How does the manager come to have the policies, and how is known what became of them?
//!
//! It is told the whole state whenever that differs from what it has, so it does not matter who was away when: what it has
//! it says by a digest, with each renewal. What became of it is asked by requests that wait for news.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::health::Status;
use crate::lease::Role;
use crate::manager::{Failure, Manager, Standing};
use crate::policies::{Policies, STATE_MAX};

/// How long the manager is left alone after a failure; it doubles up to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// The same after a refusal, which will not be over soon.
const REFUSED: Duration = Duration::from_secs(30);
/// How long a question waits for news.
const WAIT: Duration = Duration::from_secs(25);

/// Tells the manager the policies.
pub(crate) struct Teller {
    manager: Arc<Manager>,
    cluster: String,
    controller: String,
    status: Arc<Status>,
    /// Digest of what the manager has; unknown until it said so.
    has: Option<String>,
    quiet_until: Instant,
    pause: Duration,
}

impl Teller {
    /// Tells of that cluster.
    pub(crate) fn new(
        manager: Arc<Manager>,
        cluster: &str,
        controller: &str,
        status: Arc<Status>,
        now: Instant,
    ) -> Self {
        Self {
            manager,
            cluster: cluster.to_owned(),
            controller: controller.to_owned(),
            status,
            has: None,
            quiet_until: now,
            pause: BACKOFF.0,
        }
    }

    /// Somebody else may have told the manager.
    pub(crate) fn forget(&mut self) {
        self.has = None;
    }

    /// The manager says what it has.
    pub(crate) fn heard(&mut self, digest: String) {
        self.has = Some(digest);
    }

    /// When there is something to tell, without any event.
    pub(crate) fn wakes(&self, policies: &Policies) -> Option<Instant> {
        let wanted = policies.wanted()?;
        (self.has.as_deref() != Some(&wanted.digest)).then_some(self.quiet_until)
    }

    /// Tells what the manager does not have.
    pub(crate) async fn work(&mut self, policies: &Policies) {
        let Some(wanted) = policies.wanted().filter(|wanted| self.has.as_deref() != Some(&wanted.digest)) else {
            return;
        };
        if Instant::now() < self.quiet_until {
            return;
        }
        let mut body = serde_json::json!({ "controller": self.controller, "digest": wanted.digest }).to_string();
        // Both are objects: the second goes on where the first ends.
        body.pop();
        body.push(',');
        body.push_str(wanted.text.get(1..).unwrap_or_default());
        let outcome = if body.len() > STATE_MAX {
            let (size, policies) = (body.len() >> 20, wanted.policies);
            let why = format!("{policies} policies make {size} MiB, and it takes {}", STATE_MAX >> 20);
            Err(Failure::Refused(why))
        } else {
            self.manager.tell_policies(&self.cluster, body).await
        };
        self.status.policies_told(outcome.is_ok());
        match outcome {
            Ok(()) => {
                tracing::info!(policies = wanted.policies, digest = wanted.digest, "the manager has the policies");
                self.has = Some(wanted.digest.clone());
                self.pause = BACKOFF.0;
            }
            Err(failure) => {
                let pause = if matches!(failure, Failure::Refused(_)) { REFUSED } else { self.pause };
                tracing::warn!(again_in_ms = pause.as_millis(), "the policies are not told: {failure}");
                self.quiet_until = Instant::now() + pause;
                self.pause = (self.pause * 2).min(BACKOFF.1);
            }
        }
    }
}

/// Asks what became of the policies, as long as this controller leads.
pub(crate) async fn listen(
    manager: Arc<Manager>,
    cluster: String,
    mut role: watch::Receiver<Role>,
    say: watch::Sender<Option<Arc<Standing>>>,
) {
    let mut known = Standing::default();
    let mut pause = BACKOFF.0;
    loop {
        if role.wait_for(|role| *role == Role::Leader).await.is_err() {
            return;
        }
        match manager.standing(&cluster, known.version, WAIT).await {
            Ok(news) if news.version == known.version => {
                pause = BACKOFF.0;
                tokio::time::sleep(BACKOFF.0).await;
            }
            Ok(news) => {
                pause = BACKOFF.0;
                // One that has a new life counts anew.
                let goes_on = news.version > known.version;
                match known.with(news).filter(|_| goes_on) {
                    Some(next) => {
                        known = next;
                        say.send_replace(Some(Arc::new(known.clone())));
                    }
                    None => known.version = 0,
                }
            }
            Err(failure) => {
                known.version = 0;
                let rest = if matches!(failure, Failure::Refused(_)) { BACKOFF.1 } else { pause };
                tracing::debug!("what became of the policies is not known: {failure}");
                tokio::time::sleep(rest).await;
                pause = (pause * 2).min(BACKOFF.1);
            }
        }
    }
}
