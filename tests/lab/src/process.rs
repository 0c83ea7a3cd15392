//! A program running in the lab: is it still there, what did it print, and how is it stopped?

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A program that ran to its end.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A program in the background. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    text: String,
    log: PathBuf,
}

impl Process {
    pub(crate) fn new(child: Child, text: String, log: PathBuf) -> Self {
        Self { child, text, log }
    }

    /// What it printed so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The program's own process number (the child is the `nsenter` that waits for it).
    ///
    /// # Errors
    /// When it has ended.
    pub fn id(&self) -> Result<u32> {
        // The child needs a moment to fork after it was started.
        eventually("a running program", Duration::from_secs(2), || {
            only_child(self.child.id()).with_context(|| format!("`{}` is not running", self.text))
        })
    }

    /// Sends a signal by name, e.g. `KILL`, `TERM`, `HUP`.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, name: &str) -> Result<()> {
        let id = self.id()?.to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status().context("start `kill`")?;
        if !status.success() {
            bail!("no signal {name} could be sent to `{}` (process {id})", self.text);
        }
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<i32>> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            if Instant::now() > deadline {
                bail!("`{}` did not end within {limit:?}:\n{}", self.text, self.output());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until its output holds `text`.
    ///
    /// # Errors
    /// When it ends first, or does not print it in time; with what it printed.
    pub fn wait_for(&mut self, text: &str, limit: Duration) -> Result<()> {
        self.wait_for_after(0, text, limit)
    }

    /// As [`Self::wait_for`], and what is in the first `earlier` bytes of its output does not count.
    ///
    /// # Errors
    /// As [`Self::wait_for`].
    pub fn wait_for_after(&mut self, earlier: usize, text: &str, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            if self.output().get(earlier..).is_some_and(|news| news.contains(text)) {
                return Ok(());
            }
            if !self.is_running() {
                bail!("`{}` ended before it printed `{text}`:\n{}", self.text, self.output());
            }
            if Instant::now() > deadline {
                bail!("`{}` did not print `{text}` within {limit:?}:\n{}", self.text, self.output());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// How long a killed process may take to give back its memory and its locks.
const LAST_WAIT: Duration = Duration::from_secs(10);

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            // Whoever entered the namespace for it ends with it, and only once it is gone is what it held free.
            if only_child(self.child.id()).is_some() && self.signal("KILL").is_ok() {
                let _ = self.wait(LAST_WAIT);
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The one child of a process, found by its parent number (kernels without `/proc/N/task/N/children` too).
pub(crate) fn only_child(parent: u32) -> Option<u32> {
    if let Ok(children) = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")) {
        return children.split_whitespace().next()?.parse().ok();
    }
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let id: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let after_name = stat.rsplit_once(") ")?.1;
        (after_name.split_whitespace().nth(1)?.parse::<u32>().ok()? == parent).then_some(id)
    })
}

/// Tries until it holds.
///
/// # Errors
/// The last failure, when the time is up.
pub fn eventually<T>(what: &str, limit: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() > deadline => {
                return Err(error.context(format!("{what}: not within {limit:?}")));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
