//! A manager and a firewall that is enrolled with it: how do they come up, and how is each asked?
//!
//! Every lab with a manager has the two on a link of their own: the manager is [`MANAGER`], at `eth0` of both.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::api::{Api, between};
use crate::process::eventually;
use crate::{Lab, Namespace, Process};

/// Where the manager listens.
pub const MANAGER: &str = "10.255.0.1:8443";
const LIMIT: Duration = Duration::from_secs(20);

/// The two processes, and the administrator's session.
#[derive(Debug)]
pub struct Managed {
    /// The manager process.
    pub manager: Process,
    /// The firewall process.
    pub firewall: Process,
    /// The administrator's session.
    pub api: Api,
    /// The firewall's serial number.
    pub serial: String,
    /// The administrator's password.
    pub password: String,
    binary: PathBuf,
    auth_key: String,
    manager_host: Namespace,
    firewall_host: Namespace,
    dir: PathBuf,
    /// Further arguments of the firewall.
    arguments: Vec<String>,
}

impl Managed {
    /// Links the two hosts, starts both processes and enrols the firewall; the manager's configuration is empty.
    ///
    /// # Errors
    /// When a part does not come up; with what it printed.
    pub fn start(lab: &Lab, manager_host: &Namespace, firewall_host: &Namespace, binary: &Path) -> Result<Self> {
        Self::start_with(lab, manager_host, firewall_host, binary, &[])
    }

    /// As [`Self::start`], with further arguments for the firewall. Its own XML API takes the same password.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(
        lab: &Lab,
        manager_host: &Namespace,
        firewall_host: &Namespace,
        binary: &Path,
        arguments: &[&str],
    ) -> Result<Self> {
        lab.link((manager_host, "eth0"), (firewall_host, "eth0"))?;
        manager_host.address("eth0", "10.255.0.1/24")?;
        firewall_host.address("eth0", "10.255.0.2/24")?;
        let dir = lab.dir().to_owned();
        let password = format!("lab-{}", std::process::id());
        let binary = binary.canonicalize().with_context(|| format!("find `{}`", binary.display()))?;
        let manager = start_manager(&dir, manager_host, &binary, &password)?;
        let api = eventually("the manager answers", LIMIT, || Api::login(manager_host, MANAGER, "admin", &password))
            .with_context(|| format!("the manager printed: {}", manager.output()))?;
        let answer = api.op("<request><bootstrap><vm-auth-key><generate><lifetime>24</lifetime></generate></vm-auth-key></bootstrap></request>")?;
        let auth_key = between(&answer, "VM auth key ", " generated")
            .with_context(|| format!("no auth key in `{answer}`"))?
            .to_owned();
        let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        let firewall = start_firewall(&dir, firewall_host, &binary, (&auth_key, &password), &arguments)?;
        let serial = eventually("the firewall enrols", LIMIT, || connected_serial(&api))
            .with_context(|| format!("the firewall printed: {}", firewall.output()))?;
        let (manager_host, firewall_host) = (manager_host.clone(), firewall_host.clone());
        Ok(Self {
            manager,
            firewall,
            api,
            serial,
            password,
            binary,
            auth_key,
            manager_host,
            firewall_host,
            dir,
            arguments,
        })
    }

    /// Starts the manager again on the same data.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn restart_manager(&mut self) -> Result<()> {
        self.manager = start_manager(&self.dir, &self.manager_host, &self.binary, &self.password)?;
        self.api = eventually("the manager answers again", LIMIT, || {
            Api::login(&self.manager_host, MANAGER, "admin", &self.password)
        })?;
        Ok(())
    }

    /// Starts the firewall again on the same state.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn restart_firewall(&mut self) -> Result<()> {
        let secrets = (&*self.auth_key, &*self.password);
        self.firewall = start_firewall(&self.dir, &self.firewall_host, &self.binary, secrets, &self.arguments)?;
        Ok(())
    }

    /// Waits until the manager sees the firewall.
    ///
    /// # Errors
    /// When it does not connect in time.
    pub fn wait_connected(&self) -> Result<()> {
        eventually("the firewall connects", LIMIT, || connected_serial(&self.api)).map(drop)
    }

    /// The firewall's state directory.
    pub fn firewall_state(&self) -> PathBuf {
        self.dir.join("firewall")
    }

    /// A `bartizan` command on the firewall's host, asked over the control socket.
    ///
    /// # Errors
    /// When it fails.
    pub fn on_firewall(&self, words: &[&str]) -> Result<String> {
        let binary = self.binary.to_string_lossy().into_owned();
        let socket = self.dir.join("firewall.sock").to_string_lossy().into_owned();
        let mut all = vec![binary.as_str()];
        all.extend_from_slice(words);
        all.extend(["--socket", &socket]);
        self.firewall_host.run(&all)
    }

    /// As [`Self::on_firewall`], words in one text, the answer as JSON.
    ///
    /// # Errors
    /// When it fails.
    pub fn ask(&self, words: &str) -> Result<serde_json::Value> {
        let words: Vec<&str> = words.split_whitespace().chain(["--json"]).collect();
        Ok(serde_json::from_str(&self.on_firewall(&words)?)?)
    }
}

fn start_manager(dir: &Path, host: &Namespace, binary: &Path, password: &str) -> Result<Process> {
    let data = dir.join("manager").to_string_lossy().into_owned();
    host.spawn(
        &[&binary.to_string_lossy(), "manager", "--data-dir", &data, "--listen", MANAGER],
        &[("BARTIZAN_ADMIN_PASSWORD", password)],
        &dir.join("manager.log"),
    )
}

fn start_firewall(
    dir: &Path,
    host: &Namespace,
    binary: &Path,
    (auth_key, password): (&str, &str),
    arguments: &[String],
) -> Result<Process> {
    let state = dir.join("firewall").to_string_lossy().into_owned();
    let socket = dir.join("firewall.sock").to_string_lossy().into_owned();
    let binary = binary.to_string_lossy();
    let mut words = [
        &[&*binary, "firewall", "--manager", MANAGER, "--auth-key", auth_key][..],
        &["--state-dir", &state, "--control", &socket],
    ]
    .concat();
    words.extend(arguments.iter().map(String::as_str));
    host.spawn(&words, &[("BARTIZAN_ADMIN_PASSWORD", password)], &dir.join("firewall.log"))
}

fn connected_serial(api: &Api) -> Result<String> {
    let answer = api.op("<show><devices><connected/></devices></show>")?;
    Ok(between(&answer, "<serial>", "</serial>")
        .with_context(|| format!("no connected device in `{answer}`"))?
        .to_owned())
}
