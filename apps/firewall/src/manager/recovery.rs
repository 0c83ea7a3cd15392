//! Does the firewall still reach its manager under what was pushed? If not, the configuration of before comes back.
//!
//! PAN-OS calls it automated commit recovery. A push is confirmed over a connection made after it came into
//! force, because the stream that brought it may live on where a new one would not come up. Until then it is
//! unconfirmed, on disk, and when its window ends so it is taken back.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bartizan_api::fleet::fleet_client::FleetClient;
use bartizan_api::fleet::{ConfirmRequest, EventLog, LogRecord, Push, PushResult, TakeBack, log_record};
use bartizan_model::device::Validated;
use bartizan_model::diagnostic::Diagnostic;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;
use tonic::Code;
use tracing::{error, info, warn};

use super::health::{self, Checks};
use super::{LogQueue, diagnostic, tls};
use crate::firewall::Firewall;
use crate::store::{Enforced, Store, TakenBack, Unconfirmed};

/// An attempt to reach the manager may take so long.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(3);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(250);
/// Between two attempts to put the configuration of before in force.
const RETRY: Duration = Duration::from_secs(1);

/// Takes pushes in, and back.
pub(super) struct Recovery {
    address: String,
    store: Arc<Store>,
    firewall: Arc<Firewall>,
    logs: Arc<LogQueue>,
    /// Held while a push comes into force or is taken back.
    unconfirmed: Mutex<Option<Unconfirmed>>,
    /// A push was taken back: connections made under it are worth nothing.
    pub(super) reconnect: Notify,
    watches: std::sync::Mutex<JoinSet<()>>,
}

/// Why a push is not confirmed.
enum Failure {
    /// The manager is not reached.
    Manager(anyhow::Error),
    /// The firewall is not well.
    Health(String),
}

impl Failure {
    fn reason(&self, window: Duration) -> String {
        let seconds = window.as_secs();
        match self {
            Self::Manager(error) => format!("the manager was not reached within {seconds} s: {error:#}"),
            Self::Health(what) => format!("not well within {seconds} s: {what}"),
        }
    }
}

impl Recovery {
    pub(super) fn new(address: &str, store: Arc<Store>, firewall: Arc<Firewall>, logs: Arc<LogQueue>) -> Arc<Self> {
        let (unconfirmed, reconnect, watches) = (Mutex::new(None), Notify::new(), std::sync::Mutex::default());
        Arc::new(Self { address: address.to_owned(), store, firewall, logs, unconfirmed, reconnect, watches })
    }

    /// Goes on with what the process before left: a push to be confirmed, a take-back to be told.
    pub(super) async fn resume(self: &Arc<Self>) -> Result<()> {
        if let Some(taken) = self.store.taken_back()? {
            self.tell(&taken);
        }
        let Some(push) = self.store.unconfirmed()? else { return Ok(()) };
        info!("configuration version {} is not confirmed yet", push.version);
        *self.unconfirmed.lock().await = Some(push.clone());
        if self.pushed().is_none_or(|pushed| pushed.digest != push.digest) {
            self.take_back(&push, "it is refused after a restart".to_owned()).await;
        } else {
            let checks = Checks { since: self.firewall.clock().now(), ..Checks::default() };
            self.begin_watch(push, checks);
        }
        Ok(())
    }

    /// Puts a push in force; when it is worth watching, the watch has begun.
    pub(super) async fn push(self: Arc<Self>, push: Push, received: Instant) -> PushResult {
        let digest = crate::hex::sha256(&push.configuration);
        if digest != push.digest {
            let message = format!("the configuration arrived damaged: its digest is {digest}, not {}", push.digest);
            return refusal(&push, &[Diagnostic::error("damaged-configuration", Default::default(), message)]);
        }
        let mut unconfirmed = self.unconfirmed.lock().await;
        let before = self.before(unconfirmed.as_ref());
        let paths = health::answering(&self.firewall);
        let enforced = Enforced { version: push.version, digest, text: push.configuration.clone() };
        let mut pending = None;
        let keep = |enforced: &Enforced, config: &Validated| {
            pending = to_confirm(push.id, enforced, config, before);
            match &pending {
                Some(pending) => self.store.keep_unconfirmed(pending)?,
                None => self.store.forget_unconfirmed()?,
            }
            self.store.keep_enforced(enforced)
        };
        match self.firewall.enforce(enforced, keep, received).await {
            Ok(done) => {
                info!("configuration version {} is enforced ({} us)", push.version, done.swap.as_micros());
                let window_s = pending.as_ref().map_or(0, |pending| pending.window_s);
                unconfirmed.clone_from(&pending);
                if let Some(pending) = pending {
                    let checks = Checks { since: self.firewall.clock().now(), paths };
                    self.begin_watch(pending, checks);
                }
                PushResult {
                    id: push.id,
                    enforced: true,
                    digest: push.digest,
                    diagnostics: done.warnings.iter().map(diagnostic).collect(),
                    swap_us: i64::try_from(done.swap.as_micros()).unwrap_or(i64::MAX),
                    confirm_window_s: window_s,
                }
            }
            Err(diagnostics) => {
                warn!("configuration version {} is refused; the running one stays", push.version);
                refusal(&push, &diagnostics)
            }
        }
    }

    /// The push that the manager is told to be unconfirmed; 0 when there is none.
    pub(super) async fn unconfirmed_push_id(&self) -> u64 {
        self.unconfirmed.lock().await.as_ref().map_or(0, |push| push.push_id)
    }

    /// The take-back that the manager does not know of yet.
    pub(super) fn untold(&self) -> Result<Option<TakeBack>> {
        Ok(self.store.taken_back()?.map(|taken| TakeBack {
            push_id: taken.push_id,
            digest: taken.digest,
            version: taken.version,
            reason: taken.reason,
            time_us: taken.time_us,
        }))
    }

    /// The manager knows of it now.
    pub(super) fn noted(&self, push_id: u64) -> Result<()> {
        match self.store.taken_back()? {
            Some(taken) if taken.push_id == push_id => self.store.forget_taken_back(),
            _ => Ok(()),
        }
    }

    /// What a push that comes now would be taken back to: the last one that was confirmed.
    fn before(&self, unconfirmed: Option<&Unconfirmed>) -> Option<Enforced> {
        match unconfirmed {
            Some(push) => push.before.clone(),
            None => self.pushed().map(|pushed| (*pushed).clone()),
        }
    }

    /// The push that is in force.
    fn pushed(&self) -> Option<Arc<Enforced>> {
        self.firewall.running()?.parts.pushed.clone()
    }

    fn begin_watch(self: &Arc<Self>, push: Unconfirmed, checks: Checks) {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        while watches.try_join_next().is_some() {}
        watches.spawn(Arc::clone(self).watch(push, checks));
    }

    /// Ends the watches; what is not confirmed is so on disk.
    pub(super) async fn end(&self) {
        let mut watches = std::mem::take(&mut *self.watches.lock().unwrap_or_else(PoisonError::into_inner));
        watches.shutdown().await;
    }

    /// Tries to confirm a push until its window ends, and takes it back then.
    async fn watch(self: Arc<Self>, push: Unconfirmed, checks: Checks) {
        let window = Duration::from_secs(push.window_s.into());
        let deadline = Instant::now() + window;
        loop {
            let failure = match self.attempt(&push, &checks, deadline).await {
                Ok(()) => return self.confirmed(&push).await,
                Err(failure) => failure,
            };
            if !self.is_current(&push).await {
                return;
            }
            if Instant::now() >= deadline {
                return self.take_back(&push, failure.reason(window)).await;
            }
            tokio::time::sleep(PAUSE.min(deadline.saturating_duration_since(Instant::now()))).await;
        }
    }

    async fn attempt(&self, push: &Unconfirmed, checks: &Checks, deadline: Instant) -> Result<(), Failure> {
        checks.run(&self.firewall).await.map_err(Failure::Health)?;
        // The last attempt gets a little time even when it begins at the end.
        let limit = ATTEMPT_LIMIT.min(deadline.saturating_duration_since(Instant::now()).max(PAUSE));
        let attempt = tokio::time::timeout(limit, self.confirm(push)).await;
        attempt.unwrap_or_else(|_| Err(anyhow::anyhow!("{} did not answer", self.address))).map_err(Failure::Manager)
    }

    /// Tells the manager over a new connection that its push is in force.
    async fn confirm(&self, push: &Unconfirmed) -> Result<()> {
        let identity = self.store.identity()?.context("this device is not enrolled")?;
        let channel = tls::connect_enrolled(&self.address, &identity).await?;
        let request = ConfirmRequest { push_id: push.push_id, digest: push.digest.clone() };
        match FleetClient::new(channel).confirm(request).await {
            Ok(_) => Ok(()),
            // The manager, which proved itself, does not want to hear of it: that is no fault of the way there.
            Err(status) if is_an_answer(status.code()) => {
                warn!("the manager does not take the confirmation of a push: {}", status.message());
                Ok(())
            }
            Err(status) => bail!("{}", status.message()),
        }
    }

    async fn is_current(&self, push: &Unconfirmed) -> bool {
        self.unconfirmed.lock().await.as_ref().is_some_and(|current| current.push_id == push.push_id)
    }

    async fn confirmed(&self, push: &Unconfirmed) {
        let mut unconfirmed = self.unconfirmed.lock().await;
        if unconfirmed.take_if(|current| current.push_id == push.push_id).is_none() {
            return;
        }
        info!("configuration version {} is confirmed", push.version);
        if let Err(error) = tokio::task::block_in_place(|| self.store.forget_unconfirmed()) {
            error!("that version {} is confirmed cannot be kept: {error:#}", push.version);
        }
    }

    /// Puts the configuration of before in force again, and says so.
    async fn take_back(&self, push: &Unconfirmed, reason: String) {
        let mut unconfirmed = self.unconfirmed.lock().await;
        if unconfirmed.as_ref().is_none_or(|current| current.push_id != push.push_id) {
            return;
        }
        let taken = TakenBack::new(push, reason);
        if let Err(error) = tokio::task::block_in_place(|| self.store.keep_taken_back(&taken)) {
            error!("that version {} is taken back cannot be kept: {error:#}", push.version);
        }
        while let Err(reason) = self.go_back(push).await {
            error!("the configuration of before cannot be put back yet: {reason}");
            tokio::time::sleep(RETRY).await;
        }
        *unconfirmed = None;
        self.tell(&taken);
        self.reconnect.notify_one();
    }

    async fn go_back(&self, push: &Unconfirmed) -> Result<(), String> {
        let done = match push.before.clone() {
            Some(before) => {
                let keep = |_: &Enforced, _: &Validated| self.store.go_back(push);
                self.firewall.enforce(before, keep, Instant::now()).await.map(drop)
            }
            None => self.firewall.withdraw(|| self.store.go_back(push)).await,
        };
        done.map_err(|diagnostics| diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }

    /// A line of the system log.
    fn tell(&self, taken: &TakenBack) {
        let now = match taken.back_to {
            Some(version) => format!("version {version} is enforced again"),
            None => "nothing is enforced again, as before".to_owned(),
        };
        let description = format!("configuration version {} was reverted ({}); {now}", taken.version, taken.reason);
        error!("{description}");
        let line = EventLog {
            time_generated_us: taken.time_us,
            log: "system".to_owned(),
            subtype: "general".to_owned(),
            severity: "critical".to_owned(),
            event: "commit-recovery".to_owned(),
            object: taken.version.to_string(),
            description,
            ..EventLog::default()
        };
        self.logs.push([LogRecord { line: Some(log_record::Line::Event(line)) }]);
    }
}

/// Whether a status comes from the other side, and would come again.
fn is_an_answer(code: Code) -> bool {
    matches!(code, Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented | Code::NotFound)
}

/// What has to be confirmed of a push: nothing when it changes nothing, or when the configuration says so.
fn to_confirm(push_id: u64, pushed: &Enforced, config: &Validated, before: Option<Enforced>) -> Option<Unconfirmed> {
    let recovery = config.recovery;
    let same = before.as_ref().is_some_and(|before| before.digest == pushed.digest);
    (recovery.enabled && !same).then(|| Unconfirmed {
        push_id,
        version: pushed.version,
        digest: pushed.digest.clone(),
        window_s: u32::try_from(recovery.window().as_secs()).unwrap_or(u32::MAX),
        starts: 0,
        before,
    })
}

fn refusal(push: &Push, diagnostics: &[Diagnostic]) -> PushResult {
    PushResult {
        id: push.id,
        enforced: false,
        digest: push.digest.clone(),
        diagnostics: diagnostics.iter().map(diagnostic).collect(),
        swap_us: 0,
        confirm_window_s: 0,
    }
}
