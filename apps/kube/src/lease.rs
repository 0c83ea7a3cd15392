//! Which of several controllers of one cluster tells the manager?
//!
//! The one that holds a Lease. Whether it is still held goes by the own clock: the time since the holder was seen to renew it.
//! While the API server cannot be asked, nobody is sure: then tags are kept alive, and none is changed.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use tokio::sync::watch;

/// How long a Lease lasts that is not renewed, in seconds.
const DURATION_S: i32 = 15;
/// How often the holder renews it.
const RENEW: Duration = Duration::from_secs(5);
/// How often the others look.
const LOOK: Duration = Duration::from_secs(2);
/// A holder that could not renew for so long does not act as one any more.
const DEADLINE: Duration = Duration::from_secs(10);

/// What this controller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It tells the manager.
    Leader,
    /// Another one does.
    Standby,
    /// Nobody knows.
    Unsure,
}

/// A Lease as it was seen.
#[derive(Debug, Default)]
struct Seen {
    holder: Option<String>,
    renewed: Option<MicroTime>,
    since: Option<Instant>,
}

/// What to do about a Lease.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Hold,
    Take,
    Wait,
}

impl Seen {
    fn judge(&mut self, lease: &LeaseSpec, me: &str, now: Instant) -> Step {
        let holder = lease.holder_identity.clone().filter(|holder| !holder.is_empty());
        if holder.as_deref() == Some(me) {
            return Step::Hold;
        }
        let since = match self.since {
            Some(since) if self.holder == holder && self.renewed == lease.renew_time => since,
            _ => {
                *self = Self { holder: holder.clone(), renewed: lease.renew_time.clone(), since: Some(now) };
                now
            }
        };
        let lasts = u64::try_from(lease.lease_duration_seconds.unwrap_or(DURATION_S)).unwrap_or_default();
        let is_over = now.saturating_duration_since(since) >= Duration::from_secs(lasts);
        if holder.is_none() || is_over { Step::Take } else { Step::Wait }
    }
}

/// Whose Lease it is.
pub(crate) struct Election {
    /// Leases of the namespace.
    pub(crate) api: Api<Lease>,
    /// Name of the Lease.
    pub(crate) name: String,
    /// The own name.
    pub(crate) me: String,
}

impl Election {
    /// Takes part until told to stop, then gives the Lease up.
    pub(crate) async fn run(self, role: &watch::Sender<Role>, mut stop: watch::Receiver<bool>) {
        let mut seen = Seen::default();
        let mut last = Instant::now();
        loop {
            let wait = match self.look(&mut seen).await {
                Ok(now) => {
                    last = Instant::now();
                    say(role, now, &self.me);
                    if now == Role::Leader { RENEW } else { LOOK }
                }
                Err(error) => {
                    tracing::warn!(
                        lease = self.name,
                        error = &error as &dyn std::error::Error,
                        "the lease cannot be had"
                    );
                    if last.elapsed() >= DEADLINE || *role.borrow() != Role::Leader {
                        say(role, Role::Unsure, &self.me);
                    }
                    LOOK
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        if *role.borrow() == Role::Leader
            && let Err(error) = self.give_up().await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "the lease is not given up, but ends");
        }
    }

    async fn look(&self, seen: &mut Seen) -> kube::Result<Role> {
        let Some(lease) = self.api.get_opt(&self.name).await? else {
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(self.held(&LeaseSpec::default())) };
            return self.settle(self.api.create(&PostParams::default(), &lease).await);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        match seen.judge(&spec, &self.me, Instant::now()) {
            Step::Wait => Ok(Role::Standby),
            // The version of what was read goes along: if it was changed meanwhile, somebody else was first.
            Step::Hold | Step::Take => {
                let lease = Lease { spec: Some(self.held(&spec)), ..lease };
                self.settle(self.api.replace(&self.name, &PostParams::default(), &lease).await)
            }
        }
    }

    fn settle(&self, written: kube::Result<Lease>) -> kube::Result<Role> {
        match written {
            Ok(_) => Ok(Role::Leader),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Role::Standby),
            Err(error) => Err(error),
        }
    }

    fn held(&self, before: &LeaseSpec) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let is_mine = before.holder_identity.as_deref() == Some(self.me.as_str());
        LeaseSpec {
            holder_identity: Some(self.me.clone()),
            lease_duration_seconds: Some(DURATION_S),
            renew_time: Some(now.clone()),
            acquire_time: if is_mine { before.acquire_time.clone() } else { Some(now) },
            lease_transitions: Some(before.lease_transitions.unwrap_or(0) + i32::from(!is_mine)),
            ..before.clone()
        }
    }

    async fn give_up(&self) -> kube::Result<()> {
        let Some(lease) = self.api.get_opt(&self.name).await? else { return Ok(()) };
        let spec = lease.spec.clone().unwrap_or_default();
        if spec.holder_identity.as_deref() == Some(self.me.as_str()) {
            let spec = LeaseSpec { holder_identity: Some(String::new()), ..spec };
            let lease = Lease { spec: Some(spec), ..lease };
            self.api.replace(&self.name, &PostParams::default(), &lease).await?;
        }
        Ok(())
    }
}

fn say(role: &watch::Sender<Role>, now: Role, me: &str) {
    let changed = role.send_if_modified(|before| std::mem::replace(before, now) != now);
    if changed {
        tracing::info!(role = ?now, me, "who tells the manager");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, second: i64) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            renew_time: Some(MicroTime(Timestamp::from_second(second).unwrap())),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_lease_is_taken_when_its_holder_was_not_seen_to_renew_it() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        // Its clock may be far off: what counts is when it was seen.
        assert_eq!(seen.judge(&lease("a", 5), "b", after(0)), Step::Wait);
        assert_eq!(seen.judge(&lease("a", 5), "b", after(14)), Step::Wait);
        assert_eq!(seen.judge(&lease("a", 6), "b", after(15)), Step::Wait);
        assert_eq!(seen.judge(&lease("a", 6), "b", after(29)), Step::Wait);
        assert_eq!(seen.judge(&lease("a", 6), "b", after(30)), Step::Take);
        assert_eq!(seen.judge(&lease("b", 7), "b", after(31)), Step::Hold);
        assert_eq!(seen.judge(&lease("", 7), "b", after(32)), Step::Take, "given up");
    }
}
