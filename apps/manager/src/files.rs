//! How are files with secrets written, and who may have the data directory?

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, bail};

/// Locked by the manager that runs on a data directory.
const LOCK: &str = "lock";

/// Mode bits of everybody but the owner.
const OTHERS: u32 = 0o077;
/// Mode bit of a directory where everybody may put files.
const STICKY: u32 = 0o1000;

/// Keeps other managers away from a data directory until it is dropped; the kernel lets go of it when the
/// process ends, however it does.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    file: File,
}

impl Drop for DirectoryLock {
    /// Unlocks. Closing alone would not do: a child that was just started and has not yet become its own program
    /// holds the open file too.
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            tracing::warn!("the data directory could not be unlocked: {error}");
        }
    }
}

/// Takes a data directory for this manager alone.
pub(crate) fn lock_directory(directory: &Path) -> anyhow::Result<DirectoryLock> {
    let path = directory.join(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("cannot open `{}`", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(DirectoryLock { file }),
        Err(TryLockError::WouldBlock) => bail!(
            "another manager uses the data directory `{}`; stop it, or give this one a directory of its own",
            directory.display()
        ),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock `{}`", path.display())),
    }
}

/// Makes a directory only its owner can enter, and its parents; one that is there already and open to
/// others is closed to them.
pub(crate) fn make_private_dir(path: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make the directory `{}`", path.display()))?;
    let mode = fs::metadata(path).with_context(|| format!("cannot look at `{}`", path.display()))?.permissions().mode();
    if mode & STICKY != 0 {
        bail!("`{}` is a directory for everybody (like /tmp); give the manager one of its own", path.display());
    }
    if mode & OTHERS == 0 {
        return Ok(());
    }
    let restricted = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
    let path = path.display();
    match restricted {
        Ok(()) => tracing::warn!("`{path}` was open to others (mode {:o}); it is 700 now", mode & 0o7777),
        // A mounted volume may belong to somebody else; the files in it are closed on their own.
        Err(error) => tracing::warn!("`{path}` is open to others (mode {:o}) and stays so: {error}", mode & 0o7777),
    }
    Ok(())
}

/// Makes an empty file that only its owner may read, or restricts the one that is there.
pub(crate) fn make_private_file(path: &Path) -> anyhow::Result<()> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot make the file `{}`", path.display()))?;
    file.set_permissions(fs::Permissions::from_mode(0o600))
        .with_context(|| format!("cannot restrict the permissions of `{}`", path.display()))
}

/// Writes a file with mode 0600: whole or not at all, also when the power fails.
pub(crate) fn write_private(path: &Path, content: &str) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let temporary = path.with_extension("new");
        let _ = fs::remove_file(&temporary);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        if let Some(directory) = path.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    };
    write().with_context(|| format!("cannot write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_free_once_its_lock_is_dropped_whoever_else_holds_the_file_open() {
        let directory = tempfile::tempdir().unwrap();
        let lock = lock_directory(directory.path()).unwrap();
        let child = lock.file.try_clone().unwrap();
        assert!(lock_directory(directory.path()).unwrap_err().to_string().starts_with("another manager uses"));
        drop(lock);
        lock_directory(directory.path()).unwrap();
        drop(child);
    }
}
