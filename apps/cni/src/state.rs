//! What is remembered of each pod, and who may work on it now?
//!
//! One JSON file for each attachment, and one lock for each container. Written by the plugin, read by the
//! node agent.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// A pod's attachment as it was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PodState {
    pub(crate) container: String,
    /// As the runtime names it.
    pub(crate) ifname: String,
    /// The interface that is tied.
    pub(crate) interface: String,
    pub(crate) network: String,
    pub(crate) netns: PathBuf,
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) uid: String,
    pub(crate) tunnelled: bool,
    /// `tunnelled`, or why not.
    pub(crate) reason: String,
    /// A sentence for people; empty when there is nothing to add.
    pub(crate) message: String,
    pub(crate) failure_mode: String,
    pub(crate) address: Option<Ipv4Addr>,
    pub(crate) mtu: Option<u32>,
    pub(crate) made_clsact: bool,
    /// RFC 3339.
    pub(crate) since: String,
}

/// Holds a container's lock until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Waits until nobody else works on the container.
    pub(crate) fn take(directory: &Path, container: &str) -> Result<Self> {
        let folder = directory.join("locks");
        fs::create_dir_all(&folder).with_context(|| format!("make `{}`", folder.display()))?;
        let path = folder.join(container);
        loop {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
            let file = file.with_context(|| format!("open the lock `{}`", path.display()))?;
            flock(&file, FlockOperation::LockExclusive).context("take a lock")?;
            // Whoever held it may have removed the file: then this is no longer the lock.
            let held = file.metadata().context("look at a lock")?.ino();
            if fs::metadata(&path).is_ok_and(|there| there.ino() == held) {
                return Ok(Self { file, path });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _gone_already = fs::remove_file(&self.path);
        let _closing_unlocks = flock(&self.file, FlockOperation::Unlock);
    }
}

/// Keeps a pod's state; whole or not at all.
pub(crate) fn write(directory: &Path, key: &str, state: &PodState) -> Result<()> {
    let path = path(directory, key);
    let folder = directory.join("pods");
    fs::create_dir_all(&folder).with_context(|| format!("make `{}`", folder.display()))?;
    let fresh = path.with_extension("new");
    let text = serde_json::to_vec_pretty(state).context("write a pod's state")?;
    fs::write(&fresh, text).with_context(|| format!("write `{}`", fresh.display()))?;
    fs::rename(&fresh, &path).with_context(|| format!("write `{}`", path.display()))
}

/// What is kept of a pod; nothing when the file is not there or cannot be understood.
pub(crate) fn read(directory: &Path, key: &str) -> Option<PodState> {
    serde_json::from_slice(&fs::read(path(directory, key)).ok()?).ok()
}

/// Forgets a pod.
pub(crate) fn remove(directory: &Path, key: &str) -> Result<()> {
    let path = path(directory, key);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

/// All pods, by key.
pub(crate) fn all(directory: &Path) -> Vec<(String, PodState)> {
    let Ok(entries) = fs::read_dir(directory.join("pods")) else { return Vec::new() };
    let mut all: Vec<(String, PodState)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let key = name.strip_suffix(".json")?.to_owned();
            let state = read(directory, &key)?;
            Some((key, state))
        })
        .collect();
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    all
}

fn path(directory: &Path, key: &str) -> PathBuf {
    directory.join("pods").join(format!("{key}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_lets_one_in_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let inside = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _lock = Lock::take(folder.path(), "c1").unwrap();
                        assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(folder.path().join("locks")).unwrap().count(), 0);
    }
}
