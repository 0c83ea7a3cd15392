//! What can be said to a manager on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::automation::Automation;

/// The verbs that ask a manager.
#[derive(Debug, Subcommand)]
pub(crate) enum Remote {
    /// Manager: log in, and keep a key in a file that only you can read.
    Login(Login),
    /// Manager: end the key of the login file, and forget it.
    Logout(Server),
    /// Manager: read the configuration, e.g. `get device-group branch address`.
    Get(Get),
    /// Manager: set something in the candidate, e.g. `set shared address web ip-netmask 10.0.0.1`.
    Set(Words),
    /// Manager: delete something from the candidate.
    Delete(Words),
    /// Manager: what two configurations differ in; running and candidate unless others are named.
    Diff(Diff),
    /// Manager: make the candidate the running configuration.
    Commit(Commit),
    /// Manager: send devices the running configuration.
    Push(Push),
    /// Manager: commit an older version again.
    Rollback(Rollback),
    /// Manager: jobs, or one of them.
    Jobs(Jobs),
    /// Manager: lines of a log.
    Logs(Logs),
    /// Manager: devices with their state.
    Devices(Devices),
    /// Manager: make the candidate say what files declare.
    Apply(Apply),
    /// Manager: a whole configuration.
    Export(Export),
    /// Manager: runs of playbooks, incidents, playbooks.
    #[command(subcommand)]
    Automation(Automation),
}

/// Which manager, and how it is known.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Server {
    /// Where the manager listens, as in `https://manager.example:8443`.
    #[arg(long, value_name = "URL", env = "BARTIZAN_SERVER")]
    pub(crate) server: Option<String>,

    /// The authority of the manager's certificate, in PEM.
    #[arg(long, value_name = "FILE", env = "BARTIZAN_CA", conflicts_with = "fingerprint")]
    pub(crate) ca: Option<PathBuf>,

    /// Instead: the fingerprint of the manager's own authority, which ends every auth key.
    #[arg(long, value_name = "HEX", env = "BARTIZAN_FINGERPRINT")]
    pub(crate) fingerprint: Option<String>,

    /// The file of `bartizan login` [default: bartizan/login.json below $XDG_CONFIG_HOME or ~/.config].
    #[arg(long, value_name = "FILE", env = "BARTIZAN_LOGIN")]
    pub(crate) login_file: Option<PathBuf>,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people.
    #[default]
    Table,
    /// As the API has it.
    Json,
    /// The same as YAML.
    Yaml,
}

/// Which manager, and how its answer is written.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) server: Server,

    /// How the answer is written.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    pub(crate) output: Form,
}

/// How long to wait for a job.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// Wait until the job has ended.
    #[arg(long)]
    pub(crate) wait: bool,

    /// Seconds to wait at most; the job goes on after that.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) timeout: u64,
}

/// Arguments of `bartizan login`.
#[derive(Args, Debug)]
pub(crate) struct Login {
    #[command(flatten)]
    pub(crate) server: Server,

    /// The administrator.
    #[arg(long, value_name = "NAME", default_value = "admin")]
    pub(crate) user: String,

    /// Read the password from standard input. Otherwise it is the value of BARTIZAN_PASSWORD, or asked for.
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

/// Arguments of `bartizan get`.
#[derive(Args, Debug)]
pub(crate) struct Get {
    #[command(flatten)]
    pub(crate) common: Common,

    /// Where, in the words of the command line.
    #[arg(value_name = "WORD")]
    pub(crate) words: Vec<String>,

    /// Where, as an XPath.
    #[arg(long, value_name = "XPATH", conflicts_with = "words")]
    pub(crate) xpath: Option<String>,

    /// `candidate`, `running`, `version:N`, `saved:NAME`, `device:SERIAL`, `candidate-device:SERIAL`,
    /// `candidate-stack:NAME`, `pushed:SERIAL`.
    #[arg(long, default_value = "candidate")]
    pub(crate) source: String,
}

/// Arguments of `bartizan set` and `bartizan delete`.
#[derive(Args, Debug)]
pub(crate) struct Words {
    #[command(flatten)]
    pub(crate) server: Server,

    /// The rest of the line; several values stand in `[ ]`.
    #[arg(value_name = "WORD", required = true)]
    pub(crate) words: Vec<String>,
}

/// Arguments of `bartizan diff`.
#[derive(Args, Debug)]
pub(crate) struct Diff {
    #[command(flatten)]
    pub(crate) common: Common,

    /// The older configuration, a source as for `get`.
    #[arg(long, value_name = "SOURCE", default_value = "running")]
    pub(crate) from: String,

    /// The newer one.
    #[arg(long, value_name = "SOURCE", default_value = "candidate")]
    pub(crate) to: String,

    /// As `set`, `delete` and `move` lines.
    #[arg(long)]
    pub(crate) set: bool,
}

/// Arguments of `bartizan commit`.
#[derive(Args, Debug)]
pub(crate) struct Commit {
    #[command(flatten)]
    pub(crate) common: Common,

    /// What you write about it.
    #[arg(short = 'm', long, value_name = "TEXT", default_value = "")]
    pub(crate) description: String,

    /// Only the edits of this administrator; may be repeated.
    #[arg(long = "admin", value_name = "NAME")]
    pub(crate) admins: Vec<String>,

    /// Only the edits in this device group; may be repeated.
    #[arg(long = "device-group", value_name = "NAME")]
    pub(crate) device_groups: Vec<String>,

    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

/// Arguments of `bartizan push`.
#[derive(Args, Debug)]
pub(crate) struct Push {
    #[command(flatten)]
    pub(crate) common: Common,

    /// Device groups; all when neither they nor templates are named.
    #[arg(value_name = "GROUP")]
    pub(crate) groups: Vec<String>,

    /// Instead: the templates of this stack.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["groups", "template"])]
    pub(crate) stack: Option<String>,

    /// Instead: this template.
    #[arg(long, value_name = "NAME", conflicts_with = "groups")]
    pub(crate) template: Option<String>,

    /// Only to this device; may be repeated.
    #[arg(long = "device", value_name = "SERIAL")]
    pub(crate) devices: Vec<String>,

    /// Without the templates of the groups' devices.
    #[arg(long)]
    pub(crate) without_templates: bool,

    /// Only render and check.
    #[arg(long)]
    pub(crate) validate_only: bool,

    /// What you write about it.
    #[arg(short = 'm', long, value_name = "TEXT", default_value = "")]
    pub(crate) description: String,

    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

/// Arguments of `bartizan rollback`.
#[derive(Args, Debug)]
pub(crate) struct Rollback {
    #[command(flatten)]
    pub(crate) common: Common,

    /// The version; the one before the running one when absent.
    #[arg(value_name = "VERSION")]
    pub(crate) version: Option<u64>,

    /// Also when edits are pending, which are lost.
    #[arg(long)]
    pub(crate) force: bool,

    /// Seconds to wait at most; the job goes on after that.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) timeout: u64,
}

/// Arguments of `bartizan jobs`.
#[derive(Args, Debug)]
pub(crate) struct Jobs {
    #[command(flatten)]
    pub(crate) common: Common,

    /// One job; its end decides about the exit code.
    #[arg(value_name = "ID")]
    pub(crate) id: Option<u64>,

    /// Only those that have not ended.
    #[arg(long, conflicts_with = "id")]
    pub(crate) pending: bool,

    /// Cancel it.
    #[arg(long, requires = "id")]
    pub(crate) cancel: bool,

    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

/// Arguments of `bartizan logs`.
#[derive(Args, Debug)]
pub(crate) struct Logs {
    #[command(flatten)]
    pub(crate) common: Common,

    /// `traffic`, `threat`, `system`, `iptag` or `config`.
    #[arg(value_name = "LOG", default_value = "traffic")]
    pub(crate) log: String,

    /// Only lines that fit, e.g. `( addr.src in 10.0.0.0/8 ) and ( action neq allow )`.
    #[arg(short, long, value_name = "QUERY", default_value = "")]
    pub(crate) query: String,

    /// Lines at most.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub(crate) lines: u32,

    /// Go on with lines as they come.
    #[arg(short, long)]
    pub(crate) follow: bool,

    /// All lines that fit, the oldest first, as a file: CSV, or a line of JSON for each.
    #[arg(long, value_name = "FORMAT", conflicts_with_all = ["follow", "output", "lines"])]
    pub(crate) export: Option<FileForm>,
}

/// How a log is written into a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileForm {
    /// Comma-separated values.
    Csv,
    /// Lines of JSON.
    Json,
}

/// Arguments of `bartizan devices`.
#[derive(Args, Debug)]
pub(crate) struct Devices {
    #[command(flatten)]
    pub(crate) common: Common,

    /// One device.
    #[arg(value_name = "SERIAL")]
    pub(crate) serial: Option<String>,

    /// Only those of this device group.
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Option<String>,

    /// Only those that are not in sync.
    #[arg(long)]
    pub(crate) out_of_sync: bool,
}

/// Arguments of `bartizan apply`.
#[derive(Args, Debug)]
pub(crate) struct Apply {
    #[command(flatten)]
    pub(crate) common: Common,

    /// A folder with `.xml` and `.set` files, or one such file.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) file: PathBuf,

    /// Under which name the manager remembers what is declared: what goes is what was declared under this name before.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) owner: String,

    /// Only say what would be done.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Commit what was edited here.
    #[arg(long)]
    pub(crate) commit: bool,

    /// What you write about the commit.
    #[arg(short = 'm', long, value_name = "TEXT", default_value = "bartizan apply")]
    pub(crate) description: String,

    /// Seconds to wait for the commit at most; it goes on after that.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) timeout: u64,
}

/// Arguments of `bartizan export`.
#[derive(Args, Debug)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) server: Server,

    /// Which configuration, a source as for `get`.
    #[arg(long, default_value = "running")]
    pub(crate) source: String,

    /// How it is written.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    pub(crate) output: ExportForm,
}

/// How a configuration is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportForm {
    /// As the XML API has it, one element a line.
    #[default]
    Xml,
    /// As lines that `apply` and `set` read.
    Set,
    /// As the JSON API has it.
    Json,
    /// The same as YAML.
    Yaml,
}
