//! Does a push stand? Devices confirm it, or say that they took it back; whoever waits for that is found here.

use std::collections::HashMap;
use std::sync::Mutex;

use bartizan_api::fleet::{EventLog, Hello, TakeBack};
use tokio::sync::oneshot;

use crate::app::App;
use crate::lock;
use crate::store::audit::AuditLine;
use crate::store::now_us;

/// What became of a push after it came into force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It stands.
    Confirmed,
    /// The device went back to what it had, for this reason.
    Reverted(String),
    /// The device came back and knows nothing of it.
    Unknown,
}

struct Waiting {
    push_id: u64,
    digest: String,
    tell: oneshot::Sender<Verdict>,
}

/// Whoever waits for a verdict, by serial: a device is pushed to once at a time.
#[derive(Default)]
pub(crate) struct Verdicts(Mutex<HashMap<String, Waiting>>);

impl Verdicts {
    /// To be asked for before the push is sent.
    pub(crate) fn expect(&self, serial: &str, push_id: u64, digest: &str) -> oneshot::Receiver<Verdict> {
        let (tell, verdict) = oneshot::channel();
        let mut waiting = lock(&self.0);
        // Whoever stopped waiting left a closed channel.
        waiting.retain(|_, one| !one.tell.is_closed());
        waiting.insert(serial.to_owned(), Waiting { push_id, digest: digest.to_owned(), tell });
        verdict
    }

    fn tell(&self, serial: &str, push_id: u64, verdict: Verdict) {
        let mut waiting = lock(&self.0);
        if waiting.get(serial).is_some_and(|one| one.push_id == push_id)
            && let Some(one) = waiting.remove(serial)
        {
            let _ = one.tell.send(verdict);
        }
    }

    /// Tells what [`hear`] heard.
    pub(super) fn tell_all(&self, serial: &str, heard: Vec<(u64, Verdict)>) {
        for (push_id, verdict) in heard {
            self.tell(serial, push_id, verdict);
        }
    }

    /// The push that somebody waits for although this device, which comes back, does not have it.
    fn missed(&self, hello: &Hello) -> Option<u64> {
        let waiting = lock(&self.0);
        let one = waiting.get(&hello.serial)?;
        (hello.running_digest != one.digest && hello.unconfirmed_push_id != one.push_id).then_some(one.push_id)
    }
}

/// A device reached this manager under what it was pushed.
pub(crate) async fn confirm(app: &App, serial: &str, push_id: u64, digest: &str) -> sqlx::Result<()> {
    write_down(app, serial, push_id, digest).await?;
    app.fleet.verdicts.tell(serial, push_id, Verdict::Confirmed);
    Ok(())
}

async fn write_down(app: &App, serial: &str, push_id: u64, digest: &str) -> sqlx::Result<()> {
    if app.store.confirm_push(serial, push_id, digest).await? {
        tracing::info!(serial, "a push is confirmed");
    }
    Ok(())
}

/// What a device that attaches says of its pushes, written down; to be told when it is attached.
pub(super) async fn hear(app: &App, address: &str, hello: &Hello) -> sqlx::Result<Vec<(u64, Verdict)>> {
    let serial = hello.serial.as_str();
    let mut heard = Vec::new();
    if let Some(taken) = &hello.take_back {
        note(app, address, hello, taken).await?;
        heard.push((taken.push_id, Verdict::Reverted(taken.reason.clone())));
    }
    // It was confirmed, and this manager could not write that down.
    if hello.unconfirmed_push_id == 0
        && let Some(push_id) = app.store.push_under_way(serial, &hello.running_digest).await?
    {
        let push_id = push_id.unsigned_abs();
        write_down(app, serial, push_id, &hello.running_digest).await?;
        heard.push((push_id, Verdict::Confirmed));
    }
    if let Some(push_id) = app.fleet.verdicts.missed(hello) {
        heard.push((push_id, Verdict::Unknown));
    }
    Ok(heard)
}

/// The config log and the manager's system log say that a push was taken back.
async fn note(app: &App, address: &str, hello: &Hello, taken: &TakeBack) -> sqlx::Result<()> {
    let line = AuditLine {
        admin: hello.serial.clone(),
        host: address.to_owned(),
        client: "DEVICE".into(),
        cmd: "revert".into(),
        path: "/config".into(),
        result: "Succeeded".into(),
        before: format!("version {}", taken.version),
        after: format!("reverted by commit recovery: {}", taken.reason),
        ..AuditLine::default()
    };
    let event = EventLog {
        time_generated_us: now_us(),
        log: "system".into(),
        subtype: "general".into(),
        severity: "critical".into(),
        event: "commit-recovery".into(),
        object: hello.serial.clone(),
        description: format!(
            "device {} ({}) reverted the push of version {}: {}",
            hello.serial, hello.hostname, taken.version, taken.reason
        ),
        ..EventLog::default()
    };
    if app.store.revert_push(&hello.serial, taken, line, (&app.serial(), &event)).await? {
        tracing::error!(serial = hello.serial, "{}", event.description);
    }
    Ok(())
}
