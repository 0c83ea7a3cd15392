//! A firewall with a configuration file on a host of the lab: how is it started, asked and ended?

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::{Finished, Namespace, Process};

const LIMIT: Duration = Duration::from_secs(30);
/// Name of the configuration file in [`Standalone::dir`].
const FILE: &str = "edge.xml";

/// The running firewall; as its [`Process`], it can be signalled and waited for.
#[derive(Debug)]
pub struct Standalone {
    /// Its host.
    pub host: Namespace,
    /// Its files: `edge.xml`, `traffic.log`, and the folder `state`.
    pub dir: PathBuf,
    process: Process,
    words: Vec<String>,
}

impl Standalone {
    /// Starts `binary` on a host with this configuration and further arguments, and waits until it is up.
    ///
    /// # Errors
    /// When it does not come up; with what it printed.
    pub fn start(binary: &str, dir: &Path, host: &Namespace, configuration: &str, arguments: &[&str]) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        std::fs::write(dir.join(FILE), configuration)?;
        let path = |name: &str| dir.join(name).display().to_string();
        let (config, state, log) = (path(FILE), path("state"), path("traffic.log"));
        let mut words = vec![binary, "firewall", "--config", &config, "--state-dir", &state, "--traffic-log", &log];
        words.extend(["--ring-mib", "8"]);
        words.extend(arguments);
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        let process = spawn(host, &words, &dir.join("firewall.log"))?;
        Ok(Self { host: host.clone(), dir: dir.to_owned(), process, words })
    }

    /// Starts it again, after it was ended.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_again(&mut self) -> Result<()> {
        // What an earlier start said is not what this one says; there may be none.
        let log = self.dir.join("firewall-again.log");
        let _ = std::fs::remove_file(&log);
        self.process = spawn(&self.host, &self.words, &log)?;
        Ok(())
    }

    /// As [`Self::start_again`], with more arguments; of those that contradict each other the last one counts.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_again_with(&mut self, arguments: &[&str]) -> Result<()> {
        self.words.extend(arguments.iter().copied().map(str::to_owned));
        self.start_again()
    }

    /// `bartizan WORDS` on its host.
    ///
    /// # Errors
    /// When the command cannot be started.
    pub fn operate(&self, words: &str) -> Result<Finished> {
        let socket = self.dir.join("state/control.sock").display().to_string();
        let mut all = vec![self.words.first().map(String::as_str).unwrap_or_default()];
        all.extend(words.split_whitespace());
        all.extend(["--socket", &socket]);
        self.host.try_run(&all)
    }

    /// As [`Self::operate`], as JSON.
    ///
    /// # Errors
    /// When the command fails.
    pub fn json(&self, words: &str) -> Result<serde_json::Value> {
        let finished = self.operate(&format!("{words} --json"))?;
        ensure!(finished.code == Some(0), "{words}: {}", finished.stderr);
        Ok(serde_json::from_str(&finished.stdout)?)
    }

    /// A counter of `show counter global`.
    ///
    /// # Errors
    /// When the firewall does not answer, or has no such counter.
    pub fn counter(&self, name: &str) -> Result<u64> {
        let counters = self.json("show counter global")?;
        let found = counters.as_array().and_then(|all| all.iter().find(|counter| counter["name"] == name));
        found.and_then(|counter| counter["value"].as_u64()).with_context(|| format!("no counter `{name}`"))
    }

    /// Lines of the traffic log so far.
    ///
    /// # Errors
    /// When one is no JSON.
    pub fn traffic(&self) -> Result<Vec<serde_json::Value>> {
        let text = std::fs::read_to_string(self.dir.join("traffic.log")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    /// Replaces the configuration file and has it read again; waits for what the firewall says about it,
    /// whatever it said about earlier ones.
    ///
    /// # Errors
    /// When it does not say so in time.
    pub fn reload(&mut self, configuration: &str, says: &str) -> Result<()> {
        std::fs::write(self.dir.join(FILE), configuration)?;
        let earlier = self.output().len();
        self.signal("HUP")?;
        self.wait_for_after(earlier, says, LIMIT)
    }

    /// Ends it in order; its exit code.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn end(&mut self) -> Result<Option<i32>> {
        self.signal("TERM")?;
        self.wait(LIMIT)
    }
}

impl Deref for Standalone {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Standalone {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn spawn(host: &Namespace, words: &[String], log: &Path) -> Result<Process> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut process = host.spawn(&words, &[], log)?;
    process.wait_for("the firewall is up", LIMIT)?;
    Ok(process)
}
