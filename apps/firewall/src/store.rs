//! What must survive a restart: the device's identity, the configuration that was pushed and the device's own, whether
//! the former is confirmed, and its leases.
//!
//! Every file is replaced as a whole: written beside its place, synced, renamed over it, and the
//! directory synced. A crash leaves the old file or the new one, never half of one; the leftovers of an
//! interrupted write are ignored and overwritten.

mod probation;

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::dhcp::Kept;
use crate::port::claim::Taken;
pub use probation::{TakenBack, Unconfirmed};

const IDENTITY: &str = "identity.json";
const CONFIGURATION: &str = "running.json";
const LOCAL: &str = "local.json";
const LEASES: &str = "leases.json";
const LOCK: &str = "lock";

/// Largest file that is read back: a configuration at its largest, twice for JSON escapes.
const FILE_BYTES_MAX: u64 = 2 * (64 << 20) + (1 << 20);

/// The state directory, held by this process alone.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    /// Locked while open.
    lock: File,
}

/// Who this device is, after enrolment. The private key never leaves the state directory.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Serial number the manager knows it by.
    pub serial: String,
    /// Private key, PKCS#8 DER.
    #[serde(with = "crate::hex::bytes")]
    pub key: Vec<u8>,
    /// Certificate, DER.
    #[serde(with = "crate::hex::bytes")]
    pub certificate: Vec<u8>,
    /// The manager's CA, DER.
    #[serde(with = "crate::hex::bytes")]
    pub ca: Vec<u8>,
}

/// A configuration that was pushed and is enforced; a file's counts as pushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enforced {
    /// Version number of the manager's.
    pub version: u64,
    /// SHA-256, hex, of `text`.
    pub digest: String,
    /// The whole configuration, XML.
    pub text: String,
}

/// The device's own configuration, committed at its own XML API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Local {
    /// The whole of it, XML.
    pub text: String,
}

impl Drop for Store {
    /// Unlocks. Closing alone would not do: a child that was just started and has not yet become its own program
    /// holds the open file too.
    fn drop(&mut self) {
        if let Err(error) = self.lock.unlock() {
            tracing::warn!("the state directory could not be unlocked: {error}");
        }
    }
}

impl Store {
    /// Opens the directory, making it when it is not there.
    ///
    /// # Errors
    /// When it cannot be made; [`Taken`] when another firewall has it.
    pub fn open(directory: &Path) -> Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .with_context(|| format!("make the state directory `{}`", directory.display()))?;
        let path = directory.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("open `{}`", path.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { directory: directory.to_owned(), lock }),
            Err(TryLockError::WouldBlock) => {
                Err(Taken(format!("another firewall uses the state directory `{}`", directory.display())).into())
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock `{}`", path.display())),
        }
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Who this device is; `None` before enrolment.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub fn identity(&self) -> Result<Option<Identity>> {
        self.read(IDENTITY)
    }

    /// Keeps who this device is.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep_identity(&self, identity: &Identity) -> Result<()> {
        self.replace(IDENTITY, identity)
    }

    /// The configuration enforced last.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub fn enforced(&self) -> Result<Option<Enforced>> {
        self.read(CONFIGURATION)
    }

    /// Keeps a configuration. When this returns without an error it survives a power cut.
    ///
    /// # Errors
    /// When the file cannot be written; the old one is still there then.
    pub fn keep_enforced(&self, enforced: &Enforced) -> Result<()> {
        self.replace(CONFIGURATION, enforced)
    }

    /// The device's own configuration; `None` when it has none.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub fn local(&self) -> Result<Option<Local>> {
        self.read(LOCAL)
    }

    /// Keeps the device's own configuration, or that it has none.
    ///
    /// # Errors
    /// When the file cannot be written; the old one is still there then.
    pub fn keep_local(&self, local: Option<&Local>) -> Result<()> {
        match local {
            Some(local) => self.replace(LOCAL, local),
            None => self.remove(LOCAL),
        }
    }

    /// The DHCP leases of before; none when there is no file.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub fn leases(&self) -> Result<Kept> {
        Ok(self.read(LEASES)?.unwrap_or_default())
    }

    /// Keeps the DHCP leases.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep_leases(&self, leases: &Kept) -> Result<()> {
        self.replace(LEASES, leases)
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<Option<T>> {
        let path = self.directory.join(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("open `{}`", path.display())),
        };
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).with_context(|| format!("read `{}`", path.display()))?;
        serde_json::from_str(&text)
            .map(Some)
            .with_context(|| format!("`{}` is damaged; move it away to start without it", path.display()))
    }

    fn replace<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        let path = self.directory.join(name);
        self.write_beside(&path, serde_json::to_string(value)?.as_bytes())
            .and_then(|beside| fs::rename(beside, &path))
            .and_then(|()| File::open(&self.directory)?.sync_all())
            .with_context(|| format!("write `{}`", path.display()))
    }

    fn write_beside(&self, path: &Path, bytes: &[u8]) -> std::io::Result<PathBuf> {
        let beside = path.with_extension("new");
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(beside)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn enforced(version: u64) -> Enforced {
        Enforced { version, digest: format!("{version:064x}"), text: format!("<config><v>{version}</v></config>") }
    }

    #[test]
    fn what_was_kept_is_there_after_a_restart() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("deep/state");
        let store = Store::open(&directory).unwrap();
        assert_eq!(store.enforced().unwrap(), None);
        store.keep_enforced(&enforced(1)).unwrap();
        store.keep_enforced(&enforced(2)).unwrap();
        drop(store);
        assert_eq!(Store::open(&directory).unwrap().enforced().unwrap(), Some(enforced(2)));
    }

    #[test]
    fn only_the_owner_may_read_it() {
        let place = tempfile::tempdir().unwrap();
        let store = Store::open(&place.path().join("state")).unwrap();
        let identity = Identity { serial: "1".into(), key: vec![1], certificate: vec![2], ca: vec![3] };
        store.keep_identity(&identity).unwrap();
        assert!(store.identity().unwrap() == Some(identity));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(store.directory()), 0o700);
        assert_eq!(mode(&store.directory().join(IDENTITY)), 0o600);
    }

    #[test]
    fn a_crash_at_any_step_of_a_write_leaves_the_old_configuration_or_the_new() {
        let place = tempfile::tempdir().unwrap();
        let store = Store::open(place.path()).unwrap();
        store.keep_enforced(&enforced(1)).unwrap();
        let path = place.path().join(CONFIGURATION);
        let whole = serde_json::to_string(&enforced(2)).unwrap();
        // Cut off while writing, at every length: the file beside is whatever it is, nobody reads it.
        for length in 0..=whole.len() {
            store.write_beside(&path, &whole.as_bytes()[..length]).unwrap();
            assert_eq!(store.enforced().unwrap(), Some(enforced(1)), "after {length} bytes");
        }
        // Cut off after the rename: it is the new one.
        fs::rename(path.with_extension("new"), &path).unwrap();
        assert_eq!(store.enforced().unwrap(), Some(enforced(2)));
        // And the next write is not disturbed by leftovers.
        store.write_beside(&path, b"{\"half").unwrap();
        store.keep_enforced(&enforced(3)).unwrap();
        assert_eq!(store.enforced().unwrap(), Some(enforced(3)));
    }

    #[test]
    fn a_damaged_file_is_named() {
        let place = tempfile::tempdir().unwrap();
        let store = Store::open(place.path()).unwrap();
        fs::write(place.path().join(CONFIGURATION), "{").unwrap();
        let error = format!("{:#}", store.enforced().unwrap_err());
        assert!(error.contains("running.json") && error.contains("damaged"), "{error}");
    }

    #[test]
    fn two_firewalls_do_not_share_a_directory() {
        let place = tempfile::tempdir().unwrap();
        let first = Store::open(place.path()).unwrap();
        let child = first.lock.try_clone().unwrap();
        let error = Store::open(place.path()).unwrap_err().to_string();
        assert!(error.starts_with("another firewall uses the state directory"), "{error}");
        drop(first);
        Store::open(place.path()).unwrap();
        drop(child);
    }
}
