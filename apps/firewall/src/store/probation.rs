//! The push that has yet to prove itself, on disk: what is taken back, and to what, also after a `kill -9`?
//!
//! The file of an unconfirmed push is written before the configuration that it is about, and taken away when
//! the push is confirmed. That a push was taken back is written down before the configuration of before is,
//! and taken away when the manager has noted it. So a crash at any step leaves one of two states, and
//! [`Store::begin`] tells them apart.

use std::fs::{self, File};
use std::io::ErrorKind;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{CONFIGURATION, Enforced, Store};

const UNCONFIRMED: &str = "unconfirmed.json";
const TAKEN_BACK: &str = "taken-back.json";
/// A longer reason is cut.
const REASON_BYTES_MAX: usize = 1000;
/// Starts of the firewall under a configuration that is not confirmed; with the next one it is taken back.
const STARTS_MAX: u32 = 3;

/// A push that is enforced, and taken back unless it is confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unconfirmed {
    /// Number of the push.
    pub push_id: u64,
    /// Version that it brought.
    pub version: u64,
    /// SHA-256, hex, of what it brought.
    pub digest: String,
    /// How long it has, seconds.
    pub window_s: u32,
    /// How often the firewall was started under it.
    pub starts: u32,
    /// What was enforced before; nothing if that was nothing.
    pub before: Option<Enforced>,
}

/// A push that was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TakenBack {
    /// Number of the push.
    pub push_id: u64,
    /// Version that it brought.
    pub version: u64,
    /// SHA-256, hex, of what it brought.
    pub digest: String,
    /// Version that is enforced again; nothing if nothing is.
    pub back_to: Option<u64>,
    /// Why, as one sentence.
    pub reason: String,
    /// Wall clock, microseconds since the Unix epoch.
    pub time_us: i64,
}

impl TakenBack {
    /// That this push is taken back now.
    pub fn new(push: &Unconfirmed, mut reason: String) -> Self {
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        Self {
            push_id: push.push_id,
            version: push.version,
            digest: push.digest.clone(),
            back_to: push.before.as_ref().map(|before| before.version),
            reason,
            time_us: Timestamp::now().as_microsecond(),
        }
    }
}

impl Store {
    /// The configuration to begin with. A take-back that a crash interrupted is brought to its end, and a
    /// push under which the firewall was started too often without being confirmed is taken back.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn begin(&self) -> Result<Option<Enforced>> {
        let enforced = self.enforced()?;
        let Some(mut push) = self.unconfirmed()? else { return Ok(enforced) };
        if enforced.as_ref().is_none_or(|enforced| enforced.digest != push.digest) {
            self.forget_unconfirmed()?;
            return Ok(enforced);
        }
        let interrupted = self.taken_back()?.is_some_and(|taken| taken.push_id == push.push_id);
        push.starts += 1;
        if !interrupted && push.starts <= STARTS_MAX {
            self.keep_unconfirmed(&push)?;
            return Ok(enforced);
        }
        if !interrupted {
            let reason = format!("the firewall was started {} times before the push was confirmed", push.starts);
            self.keep_taken_back(&TakenBack::new(&push, reason))?;
        }
        self.go_back(&push)?;
        Ok(push.before)
    }

    /// Makes the configuration before a push the kept one.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn go_back(&self, push: &Unconfirmed) -> Result<()> {
        match &push.before {
            Some(before) => self.keep_enforced(before)?,
            None => self.remove(CONFIGURATION)?,
        }
        self.forget_unconfirmed()
    }

    /// The push that is not confirmed.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub fn unconfirmed(&self) -> Result<Option<Unconfirmed>> {
        self.read(UNCONFIRMED)
    }

    /// Keeps that a push is not confirmed.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep_unconfirmed(&self, push: &Unconfirmed) -> Result<()> {
        self.replace(UNCONFIRMED, push)
    }

    /// The push is confirmed, or taken back.
    ///
    /// # Errors
    /// When the file cannot be taken away.
    pub fn forget_unconfirmed(&self) -> Result<()> {
        self.remove(UNCONFIRMED)
    }

    /// The take-back that the manager has not noted.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub fn taken_back(&self) -> Result<Option<TakenBack>> {
        self.read(TAKEN_BACK)
    }

    /// Keeps that a push was taken back.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep_taken_back(&self, taken: &TakenBack) -> Result<()> {
        self.replace(TAKEN_BACK, taken)
    }

    /// The manager has noted it.
    ///
    /// # Errors
    /// When the file cannot be taken away.
    pub fn forget_taken_back(&self) -> Result<()> {
        self.remove(TAKEN_BACK)
    }

    pub(super) fn remove(&self, name: &str) -> Result<()> {
        let path = self.directory.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| File::open(&self.directory)?.sync_all()),
        }
        .with_context(|| format!("take `{}` away", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enforced(version: u64) -> Enforced {
        Enforced { version, digest: format!("{version:064x}"), text: format!("<config><v>{version}</v></config>") }
    }

    fn pushed(before: Option<Enforced>) -> (tempfile::TempDir, Store, Unconfirmed) {
        let place = tempfile::tempdir().unwrap();
        let store = Store::open(place.path()).unwrap();
        if let Some(before) = &before {
            store.keep_enforced(before).unwrap();
        }
        let Enforced { version, digest, .. } = enforced(9);
        let push = Unconfirmed { push_id: 90, version, digest, window_s: 30, starts: 0, before };
        store.keep_unconfirmed(&push).unwrap();
        (place, store, push)
    }

    #[test]
    fn a_crash_before_the_new_configuration_was_kept_leaves_the_old_one_and_nothing_to_confirm() {
        let (_place, store, _) = pushed(Some(enforced(8)));
        assert_eq!(store.begin().unwrap(), Some(enforced(8)));
        assert_eq!(store.unconfirmed().unwrap(), None);
        let (_place, store, _) = pushed(None);
        assert_eq!((store.begin().unwrap(), store.unconfirmed().unwrap()), (None, None));
    }

    #[test]
    fn a_crash_in_the_window_begins_with_the_new_one_still_to_be_confirmed() {
        let (_place, store, push) = pushed(Some(enforced(8)));
        store.keep_enforced(&enforced(9)).unwrap();
        for starts in 1..=STARTS_MAX {
            assert_eq!(store.begin().unwrap(), Some(enforced(9)));
            assert_eq!(store.unconfirmed().unwrap(), Some(Unconfirmed { starts, ..push.clone() }));
        }
        // It does not stay up long enough to be confirmed.
        assert_eq!(store.begin().unwrap(), Some(enforced(8)));
        assert_eq!(store.enforced().unwrap(), Some(enforced(8)));
        let taken = store.taken_back().unwrap().unwrap();
        assert_eq!((taken.push_id, taken.version, taken.back_to), (90, 9, Some(8)));
        assert!(taken.reason.contains("was started 4 times"), "{}", taken.reason);
        assert_eq!(store.begin().unwrap(), Some(enforced(8)));
    }

    #[test]
    fn an_interrupted_take_back_is_brought_to_its_end() {
        for before in [Some(enforced(8)), None] {
            let (_place, store, push) = pushed(before.clone());
            store.keep_enforced(&enforced(9)).unwrap();
            let taken = TakenBack::new(&push, "no manager".to_owned());
            store.keep_taken_back(&taken).unwrap();
            assert_eq!(store.begin().unwrap(), before);
            assert_eq!((store.enforced().unwrap(), store.unconfirmed().unwrap()), (before, None));
            assert_eq!(store.taken_back().unwrap(), Some(taken));
            store.forget_taken_back().unwrap();
            assert_eq!(store.taken_back().unwrap(), None);
        }
    }
}
