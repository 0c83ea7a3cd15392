//! The namespace lab: hosts, links and real programs on one machine, gone without trace when dropped.
//!
//! A [`Lab`] holds one process that is the first of its own mount, network and PID namespaces (and of a
//! user namespace when the caller is not root). Its hosts are network namespaces inside; every program
//! runs in them. When the lab is dropped, or its owner is killed, that first process ends and the kernel
//! ends everything else.

pub mod api;
pub mod azure;
pub mod cloud;
pub mod iperf3;
pub mod kubernetes;
pub mod managed;
pub mod perf;
pub mod postgres;
pub mod probe;
pub mod process;
pub mod servers;
pub mod soak;
pub mod standalone;
pub mod table;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

pub use process::{Finished, Process};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A private set of hosts.
#[derive(Debug)]
pub struct Lab {
    holder: Child,
    /// Held open: when this pipe closes (the owner drops it or dies), the holder ends all programs,
    /// removes the lab's folder and exits, and the kernel takes the namespaces down.
    alive: Option<ChildStdin>,
    rootless: bool,
    dir: PathBuf,
}

impl Lab {
    /// Makes an empty lab. Needs root, or a kernel that lets this user make user namespaces.
    ///
    /// # Errors
    /// When the namespaces cannot be made; says which right is missing.
    pub fn new() -> Result<Self> {
        let rootless = !is_root()?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("bartizan-lab-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).with_context(|| format!("make the lab's folder `{}`", dir.display()))?;

        let mut command = Command::new("unshare");
        if rootless {
            command.args(["--user", "--map-root-user"]);
        }
        // `/run` is the lab's own, so that `ip netns` names cannot meet those of another lab. What a test mounted in the
        // lab's folder would keep the folder.
        command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]);
        command.arg("mount -t tmpfs lab /run && mkdir /run/netns && ip link set lo up && echo ready && { read _; kill -9 -1; umount -l \"$0\"/*; rm -rf \"$0\"; }");
        command.arg(&dir);
        // Own process group: Ctrl-C reaches the lab's owner alone, which then ends the lab in order.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut holder = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start `unshare` (package util-linux)")?;
        let alive = holder.stdin.take().context("the holder has no stdin")?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take().context("the holder has no stdout")?).read_line(&mut line)?;
        if line.trim() != "ready" {
            let output = holder.wait_with_output()?;
            bail!(
                "cannot make namespaces: {}; run as root, or allow unprivileged user namespaces \
                 (`sysctl kernel.unprivileged_userns_clone=1`)",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(Self { holder, alive: Some(alive), rootless, dir })
    }

    /// A folder of the lab's own, removed with it, also when the owner is killed.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Adds a host.
    ///
    /// # Errors
    /// When the namespace cannot be made.
    pub fn namespace(&self, name: &str) -> Result<Namespace> {
        self.command(&["ip", "netns", "add", name]).run()?;
        let namespace = Namespace { name: name.to_owned(), holder: self.holder.id(), rootless: self.rootless };
        namespace
            .sh("ip link set lo up; sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
             net.ipv6.conf.default.accept_dad=0 net.ipv4.ping_group_range='0 0'")?;
        Ok(namespace)
    }

    /// Runs a shell script in the lab's own namespaces, outside of every host. What it mounts stays.
    ///
    /// # Errors
    /// When it cannot be started or ends with another code than 0.
    pub fn sh(&self, script: &str) -> Result<String> {
        self.command(&["sh", "-ec", script]).run()
    }

    /// A path of the lab's mount namespace, as it is seen from outside.
    ///
    /// # Errors
    /// When the lab has ended.
    pub fn outside(&self, path: &str) -> Result<PathBuf> {
        let first = process::only_child(self.holder.id()).context("the lab has ended")?;
        Ok(PathBuf::from(format!("/proc/{first}/root{path}")))
    }

    /// Joins two hosts by a veth pair and brings both ends up.
    ///
    /// # Errors
    /// When the link cannot be made.
    pub fn link(&self, left: (&Namespace, &str), right: (&Namespace, &str)) -> Result<()> {
        self.command(&[
            "ip",
            "link",
            "add",
            left.1,
            "netns",
            &left.0.name,
            "type",
            "veth",
            "peer",
            "name",
            right.1,
            "netns",
            &right.0.name,
        ])
        .run()?;
        left.0.run(&["ip", "link", "set", left.1, "up"])?;
        right.0.run(&["ip", "link", "set", right.1, "up"])?;
        Ok(())
    }

    fn command(&self, words: &[&str]) -> Enter {
        Enter::new(self.holder.id(), self.rootless, words)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.alive = None;
        let _ = self.holder.wait();
    }
}

/// A host of the lab.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
    holder: u32,
    rootless: bool,
}

impl Namespace {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a program to its end and hands back what it printed.
    ///
    /// # Errors
    /// When it cannot be started or ends with another code than 0 (with its standard error).
    pub fn run(&self, words: &[&str]) -> Result<String> {
        self.enter(words).run()
    }

    /// Runs a program to its end, whatever its exit code.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn try_run(&self, words: &[&str]) -> Result<Finished> {
        self.enter(words).finish()
    }

    /// Runs a shell script to its end.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn sh(&self, script: &str) -> Result<String> {
        self.run(&["sh", "-ec", script])
    }

    /// Starts a program whose output goes to `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self, words: &[&str], environment: &[(&str, &str)], log: &Path) -> Result<Process> {
        let mut enter = self.enter(words);
        enter.command.envs(environment.iter().copied());
        enter.spawn(log)
    }

    /// The command that runs `words` in this host, for callers that wire up its standard streams.
    pub fn command(&self, words: &[&str]) -> Command {
        self.enter(words).command
    }

    /// Gives a device an address.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn address(&self, device: &str, address: &str) -> Result<()> {
        self.run(&["ip", "address", "add", address, "dev", device, "nodad"])
            .or_else(|_| self.run(&["ip", "address", "add", address, "dev", device]))?;
        Ok(())
    }

    /// Adds a route, e.g. `"default via 10.0.0.1"`.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn route(&self, route: &str) -> Result<()> {
        let mut words = vec!["ip"];
        if route.contains(':') {
            words.push("-6");
        }
        words.extend(["route", "replace"]);
        words.extend(route.split_whitespace());
        self.run(&words)?;
        Ok(())
    }

    /// Lets the host's kernel forward packets.
    ///
    /// # Errors
    /// When `sysctl` refuses.
    pub fn forwarding(&self) -> Result<()> {
        self.run(&["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])?;
        Ok(())
    }

    fn enter(&self, words: &[&str]) -> Enter {
        let mut all = vec!["ip", "netns", "exec", self.name.as_str()];
        all.extend_from_slice(words);
        Enter::new(self.holder, self.rootless, &all)
    }
}

/// A command that starts inside the lab.
struct Enter {
    command: Command,
    text: String,
}

impl Enter {
    fn new(holder: u32, rootless: bool, words: &[&str]) -> Self {
        // The holder's child is the namespaces' first process: `unshare --fork` itself stays outside.
        let first = process::only_child(holder).unwrap_or(holder).to_string();
        let mut command = Command::new("nsenter");
        if rootless {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.args(["--target", &first, "--net", "--mount", "--pid", "--"]).args(words);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.stdin(Stdio::null());
        Self { command, text: words.join(" ") }
    }

    fn finish(mut self) -> Result<Finished> {
        let output = self.command.output().with_context(|| format!("start `{}`", self.text))?;
        Ok(Finished {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    fn run(self) -> Result<String> {
        let text = self.text.clone();
        let finished = self.finish()?;
        if finished.code != Some(0) {
            bail!("`{text}` ended with {:?}: {}{}", finished.code, finished.stderr.trim(), finished.stdout.trim());
        }
        Ok(finished.stdout)
    }

    fn spawn(mut self, log: &Path) -> Result<Process> {
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("open `{}`", log.display()))?;
        self.command.stdout(file.try_clone()?).stderr(file);
        let child = self.command.spawn().with_context(|| format!("start `{}`", self.text))?;
        Ok(Process::new(child, self.text, log.to_owned()))
    }
}

/// A line on standard output. Who cannot read it is not there any more.
pub(crate) fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn is_root() -> Result<bool> {
    let status = std::fs::read_to_string("/proc/self/status").context("read /proc/self/status")?;
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")).and_then(|rest| rest.split_whitespace().nth(1));
    Ok(uid == Some("0"))
}
