//! What does the running configuration leave to the moment, and how is it now?
//!
//! Names are resolved, lists fetched, tags registered and schedules looked at here; what comes of it reaches
//! the workers by [`Firewall::learn`]. Each gatherer follows the running configuration, so that a push
//! starts and ends work at once.

pub mod lists;
pub mod names;
pub mod schedules;
pub mod tags;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bartizan_policy::facts::Facts;
use tracing::error;

use crate::firewall::{Firewall, Running};

/// The gatherers of one firewall.
#[derive(Debug)]
pub struct Gatherers {
    /// DNS names.
    pub names: names::Names,
    /// External dynamic lists.
    pub lists: lists::Lists,
    /// Registered addresses.
    pub tags: tags::Tags,
}

impl Gatherers {
    /// With what was kept in the state directory.
    pub fn open(directory: &Path) -> Self {
        Self {
            names: names::Names::default(),
            lists: lists::Lists::open(&directory.join("external-lists")),
            tags: tags::Tags::open(&directory.join("registered-ip.json")),
        }
    }

    /// Starts them; they end with the runtime.
    pub fn start(firewall: &Arc<Firewall>) {
        tokio::spawn(names::run(Arc::clone(firewall)));
        tokio::spawn(lists::run(Arc::clone(firewall)));
        tokio::spawn(tags::run(Arc::clone(firewall)));
        tokio::spawn(schedules::run(Arc::clone(firewall)));
    }
}

/// The configuration that is followed, if there is one.
fn current(followed: &mut tokio::sync::watch::Receiver<Option<Arc<Running>>>) -> Option<Arc<Running>> {
    followed.borrow_and_update().clone()
}

/// Hands over what was found; a refusal leaves the tables as they are and is told.
async fn learn(firewall: &Firewall, what: &str, change: impl FnOnce(&mut Facts)) {
    if let Err(diagnostics) = firewall.learn(change).await {
        let reasons: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
        error!("what was learned of {what} cannot be put in force\n{}", reasons.join("\n"));
    }
}

/// Nothing panics while such a lock is held; if it did, what it guards would still be consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A moment for people, e.g. `2026/11/26 05:12:00`, in UTC.
pub(crate) fn moment(at: Option<jiff::Timestamp>) -> String {
    at.map_or_else(|| "never".to_owned(), |at| at.strftime("%Y/%m/%d %H:%M:%S").to_string())
}
