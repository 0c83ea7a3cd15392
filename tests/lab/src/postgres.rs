//! A real PostgreSQL server for tests: how does it come up without a port, and go away with its owner?
//!
//! It listens on a socket in its own folder. A shell stands between it and its owner: when the owner is gone, in
//! whatever way, the shell's input ends, and it ends the server and removes the folder.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::is_root;
use crate::process::eventually;

/// Where Debian keeps the programs of PostgreSQL 15.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
/// The server refuses to run as root; this user owns nothing.
const NOBODY: u32 = 65534;
const LIMIT: Duration = Duration::from_secs(30);
/// `$1` is the server's folder; what follows are its arguments.
const KEEPER: &str =
    r#"dir=$1; shift; "$0" "$@" </dev/null & server=$!; read _; kill -QUIT $server; wait $server; rm -rf "$dir""#;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// What the server does for the sake of a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: the fastest.
    None,
    /// As it comes from the package.
    Full,
}

/// A running server. Ended and removed when dropped.
#[derive(Debug)]
pub struct Postgres {
    keeper: Child,
    dir: PathBuf,
    durability: Durability,
    databases: AtomicU32,
}

impl Postgres {
    /// Makes a server with no database of ours.
    ///
    /// # Errors
    /// When PostgreSQL 15 is not installed, or does not come up.
    pub fn start(durability: Durability) -> Result<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("bartizan-pg-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).with_context(|| format!("make the server's folder `{}`", dir.display()))?;
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700))?;
        if is_root()? {
            std::os::unix::fs::chown(&dir, Some(NOBODY), Some(NOBODY))?;
        }
        let data = data_of(&dir);
        run(command("initdb")?
            .args(["--auth=trust", "--username=bartizan", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(data))?;
        let keeper = spawn(&dir, durability)?;
        let server = Self { keeper, dir, durability, databases: AtomicU32::new(0) };
        server.wait_ready()?;
        Ok(server)
    }

    /// A new, empty database; the URL by which a manager finds it.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn database(&self) -> Result<String> {
        let name = format!("manager{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(format!("postgres://bartizan@localhost/{name}?host={}", self.dir.display()))
    }

    /// Runs a statement as the server's superuser; its rows, a line each, columns parted by `|`.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn sql(&self, database: &str, statement: &str) -> Result<String> {
        run(command("psql")?.args(["-XqAt", "-U", "bartizan", "-d", database, "-c", statement, "-h"]).arg(&self.dir))
    }

    /// Kills the server with all its sessions, as a crash does, and starts it again on the same data.
    ///
    /// # Errors
    /// When it does not come up again.
    pub fn crash(&mut self) -> Result<()> {
        let pid_file = data_of(&self.dir).join("postmaster.pid");
        let text = std::fs::read_to_string(&pid_file).with_context(|| format!("read `{}`", pid_file.display()))?;
        let first = text.lines().next().unwrap_or_default().to_owned();
        let mut processes = vec![first.clone()];
        processes.extend(run(Command::new("pgrep").args(["-P", &first]))?.lines().map(str::to_owned));
        // The keeper first: it would remove the folder.
        self.keeper.kill()?;
        self.keeper.wait()?;
        // One that ended by itself in between is as good.
        Command::new("kill").args(["-s", "KILL"]).args(&processes).output()?;
        eventually("the server's processes end", LIMIT, || {
            let left = processes.iter().find(|id| Path::new("/proc").join(id).join("exe").exists());
            left.map_or(Ok(()), |left| bail!("process {left} is left"))
        })?;
        // Who was killed may stay a process of a name, until somebody asks how it ended.
        std::fs::remove_file(&pid_file)?;
        std::fs::remove_file(self.dir.join(".s.PGSQL.5432.lock"))?;
        self.keeper = spawn(&self.dir, self.durability)?;
        self.wait_ready()
    }

    fn wait_ready(&self) -> Result<()> {
        eventually("the database server answers", LIMIT, || self.sql("postgres", "SELECT 1").map(drop))
            .with_context(|| std::fs::read_to_string(self.dir.join("log")).unwrap_or_default())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

fn spawn(dir: &Path, durability: Durability) -> Result<Child> {
    let log = std::fs::File::options().create(true).append(true).open(dir.join("log"))?;
    let mut keeper = unprivileged(Command::new("sh"))?;
    keeper.args(["-c", KEEPER]).arg(program("postgres")).arg(dir);
    keeper.arg("-D").arg(data_of(dir)).arg("-k").arg(dir);
    keeper.args(["-c", "listen_addresses=", "-c", "max_connections=300", "-c", "shared_buffers=32MB", "-c", "jit=off"]);
    if durability == Durability::None {
        keeper.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
    }
    keeper.stdin(Stdio::piped()).stdout(Stdio::from(log.try_clone()?)).stderr(Stdio::from(log));
    keeper.spawn().context("start the database server")
}

fn data_of(dir: &Path) -> PathBuf {
    dir.join("data")
}

fn program(name: &str) -> PathBuf {
    Path::new(PROGRAMS).join(name)
}

fn command(name: &str) -> Result<Command> {
    let program = program(name);
    if !program.exists() {
        bail!("`{}` is missing: run `scripts/setup`, or install the package `postgresql-15`", program.display());
    }
    unprivileged(Command::new(program))
}

fn unprivileged(mut command: Command) -> Result<Command> {
    command.current_dir("/");
    if is_root()? {
        command.uid(NOBODY).gid(NOBODY);
    }
    Ok(command)
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}
