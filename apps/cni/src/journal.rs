//! What did the plugin do, in a line that a person can read?

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Bytes after which a log file is put aside; one that was put aside is kept.
const MAXIMUM_BYTES: u64 = 10 * 1024 * 1024;

/// The file `pan-cni.log` of a folder.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    maximum: u64,
}

impl Journal {
    pub(crate) fn new(directory: &Path) -> Self {
        Self { path: directory.join("pan-cni.log"), maximum: MAXIMUM_BYTES }
    }

    /// Adds a line. A log that cannot be written does not stop a pod: the line goes to standard error then.
    pub(crate) fn line(&self, text: &str) {
        let line = format!("{} {}\n", now(), text.replace(['\n', '\r'], " "));
        if self.append(line.as_bytes()).is_err() {
            let _nobody_listens = io::stderr().write_all(line.as_bytes());
        }
    }

    fn append(&self, line: &[u8]) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        loop {
            let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            flock(&file, FlockOperation::LockExclusive)?;
            if !self.is_current(&file) {
                continue;
            }
            if file.metadata()?.len() >= self.maximum {
                fs::rename(&self.path, self.path.with_extension("log.1"))?;
                continue;
            }
            return file.write_all(line);
        }
    }

    /// Somebody else may have put the file aside while this one waited for it.
    fn is_current(&self, file: &File) -> bool {
        match (file.metadata(), fs::metadata(&self.path)) {
            (Ok(held), Ok(there)) => held.ino() == there.ino(),
            _ => false,
        }
    }
}

/// The moment, as RFC 3339 in whole seconds.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_is_put_aside_and_nothing_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal { path: folder.path().join("pan-cni.log"), maximum: 2000 };
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let journal = &journal;
                scope.spawn(move || (0..20).for_each(|line| journal.line(&format!("writer {writer} line {line}"))));
            }
        });
        let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        assert!(text("pan-cni.log.1").len() >= 2000);
        let lines = format!("{}{}", text("pan-cni.log.1"), text("pan-cni.log"));
        assert_eq!(lines.lines().count(), 80);
        assert!(lines.lines().all(|line| line.contains("Z writer ")));
    }
}
