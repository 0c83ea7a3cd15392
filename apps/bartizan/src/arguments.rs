//! What can be said on the command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use bartizan_firewall::auth_key::AuthKey;
use bartizan_firewall::settings::{IoWish, PortName, RING_MIB_DEFAULT, SESSIONS_DEFAULT, STATE_DIRECTORY, WORKERS_MAX};
use bartizan_manager::DatabaseUrl;
use clap::{Args, Parser, Subcommand};

use crate::k8s::arguments::Kubernetes;
use crate::policy::arguments::Policy;
use crate::remote::arguments::{Common, Remote};

/// An open firewall that speaks PAN-OS.
#[derive(Debug, Parser)]
#[command(name = "bartizan", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a firewall: from a configuration file, under a manager, or by its own XML API.
    Firewall(Box<Firewall>),
    /// Run a manager, or write or read its backup.
    Manager(Box<Manager>),
    /// Run the controller of a Kubernetes cluster: its labels, services and nodes become tags at a manager.
    Controller(Box<crate::controller::Arguments>),
    /// Check a configuration file, or the candidate of a manager, and report everything that is wrong with it.
    Validate {
        /// A configuration, XML as PAN-OS has it; the manager's candidate when absent.
        file: Option<PathBuf>,

        #[command(flatten)]
        common: Common,
    },
    /// Look at a running firewall, e.g. `show session all`.
    #[command(after_help = SHOW_EXAMPLES)]
    Show(Question),
    /// Ask what would happen, e.g. `test security-policy-match from trust to untrust ...`.
    #[command(after_help = TEST_EXAMPLES)]
    Test(Question),
    /// Remove something, e.g. `clear session id 7`.
    Clear(Question),
    /// Have something done, e.g. `request dhcp client renew ethernet1/2`, `request system fqdn refresh`.
    Request(Question),
    /// Look closer at a running firewall: capture packets, e.g. `debug dataplane packet-diag show setting`.
    #[command(after_help = DEBUG_EXAMPLES)]
    Debug(Question),
    /// Follow a flow through zones, routes, NAT and rules, step by step.
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(Question),
    /// Run captured packets through a configuration: what would be sent, what dropped, and why?
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(Replay),
    #[command(flatten)]
    Remote(Remote),
    /// NetworkPolicies in a folder of manifests: faults, the rules that they become, and tests. No cluster is needed.
    #[command(subcommand)]
    Policy(Policy),
    /// A Kubernetes cluster: prerequisites, pods that are not inspected, the path of one pod's traffic.
    #[command(subcommand)]
    K8s(Kubernetes),
    /// Completions of this command line for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

const DEBUG_EXAMPLES: &str = "\
Examples:
  bartizan debug dataplane packet-diag set filter match source 10.0.1.10 destination-port 443
  bartizan debug dataplane packet-diag set filter on
  bartizan debug dataplane packet-diag set capture stage drop file dropped.pcapng
  bartizan debug dataplane packet-diag set capture on
  bartizan debug dataplane packet-diag show setting
  bartizan debug dataplane packet-diag set capture off";

const SHOW_EXAMPLES: &str = "\
Examples:
  bartizan show session all
  bartizan show session all filter destination-port 443 to untrust
  bartizan show session id 17
  bartizan show counter global
  bartizan show routing route
  bartizan show interface all
  bartizan show arp all
  bartizan show dhcp client state all
  bartizan show config running";

const TEST_EXAMPLES: &str = "\
Examples:
  bartizan test security-policy-match from trust to untrust source 10.0.0.5 \\
      destination 192.0.2.9 protocol 6 destination-port 443
  bartizan test routing fib-lookup ip 192.0.2.9 virtual-router default --config edge.xml";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  bartizan explain from trust source 10.0.0.5 destination 192.0.2.9 protocol tcp destination-port 443
  bartizan explain ingress ethernet1/2 source 10.0.0.5 destination 192.0.2.9 protocol icmp --config edge.xml";

const REPLAY_EXAMPLES: &str = "\
Examples:
  bartizan replay --config edge.xml --in ethernet1/1=inside.pcap
  bartizan replay --config edge.xml --in ethernet1/1=in.pcap --in ethernet1/2=out.pcap --out left --json";

/// Arguments of `bartizan replay`.
#[derive(Args, Debug)]
pub(crate) struct Replay {
    /// The configuration to run the packets through.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,

    /// An interface and a capture of what it received, pcap or pcapng; may be repeated. Captures are merged by
    /// their time.
    #[arg(long = "in", value_name = "ethernet1/N=FILE", required = true, value_parser = capture)]
    pub(crate) inputs: Vec<(String, PathBuf)>,

    /// MAC of an interface, where the captures do not tell; may be repeated.
    #[arg(long = "mac", value_name = "ethernet1/N=MAC", value_parser = interface_mac)]
    pub(crate) macs: Vec<(String, [u8; 6])>,

    /// Write what left to one pcap file per interface in this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    /// One JSON object per packet, and a last one with the sums.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `bartizan firewall`.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("source").required(true).multiple(true).args(["config", "manager", "api_listen"]))]
pub(crate) struct Firewall {
    /// Stand alone: enforce this file. SIGHUP reads it again; a refused file leaves the running one.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["manager", "api_listen"])]
    pub(crate) config: Option<PathBuf>,

    /// Under a manager: where it listens. What it pushed last is enforced while it is away.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) manager: Option<String>,

    /// Answer the XML API here: clients configure this firewall by itself, alone or beside what its manager pushes.
    /// The first start takes the password of `admin` from the variable BARTIZAN_ADMIN_PASSWORD, or prints one.
    #[arg(long, value_name = "ADDR:PORT", value_parser = listen)]
    pub(crate) api_listen: Option<SocketAddr>,

    /// Auth key from the manager, for the first start. Better given by the variable, which `ps` does not show.
    #[arg(long, value_name = "KEY", env = "BARTIZAN_AUTH_KEY", hide_env_values = true, requires = "manager", value_parser = auth_key)]
    pub(crate) auth_key: Option<AuthKey>,

    /// An interface and the network device behind it; may be repeated. Without any, `ethernet1/N` is `ethN`,
    /// and `eth0` is left for management.
    #[arg(long = "port", value_name = "ethernet1/N=DEVICE", value_parser = port)]
    pub(crate) ports: Vec<PortName>,

    /// Where identity and configuration are kept.
    #[arg(long, value_name = "DIR", default_value = STATE_DIRECTORY)]
    pub(crate) state_dir: PathBuf,

    /// Socket for `bartizan show` and the like, for its owner only [default: control.sock in the state directory].
    #[arg(long, value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,

    /// Worker threads [default: one per core, at most 2].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(WORKERS_MAX)))]
    pub(crate) workers: Option<u16>,

    /// Sessions at a time, refused ones included.
    #[arg(long, value_name = "N", default_value_t = SESSIONS_DEFAULT, value_parser = sessions)]
    pub(crate) sessions_max: usize,

    /// Memory of the receive ring of each data port and worker.
    #[arg(long, value_name = "MIB", default_value_t = RING_MIB_DEFAULT, value_parser = ring)]
    pub(crate) ring_mib: usize,

    /// How an interface's frames come, or those of all: `af-packet`, `af-xdp` or `auto`; may be repeated
    /// [default: auto].
    #[arg(long, value_name = "[ethernet1/N=]WAY", value_parser = io)]
    pub(crate) io: Vec<IoWish>,

    /// Workers never sleep: the shortest round trips, at the cost of one core for each.
    #[arg(long)]
    pub(crate) latency: bool,

    /// Append traffic log lines, one JSON object each, to this file, or `-` for standard output. Off by default;
    /// a managed firewall sends its logs to the manager in any case.
    #[arg(long, value_name = "FILE")]
    pub(crate) traffic_log: Option<PathBuf>,
}

/// Arguments of `bartizan manager`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Manager {
    #[command(subcommand)]
    pub(crate) task: Option<ManagerTask>,

    /// Where everything is kept.
    #[arg(long, value_name = "DIR", required = true)]
    pub(crate) data_dir: Option<PathBuf>,

    /// PostgreSQL server with the database, `postgres://USER:PASSWORD@HOST/DATABASE` [default: a file in the data
    /// directory]. A password is better given by the variable, which `ps` does not show.
    #[arg(long, value_name = "URL", env = "BARTIZAN_DATABASE", hide_env_values = true, value_parser = database)]
    pub(crate) database: Option<DatabaseUrl>,

    /// Where clients and firewalls connect to.
    #[arg(long, value_name = "ADDR:PORT", required = true, value_parser = listen)]
    pub(crate) listen: Option<SocketAddr>,

    /// Space on the disk for logs, in GiB; the configuration says which share of it a log has.
    #[arg(long, value_name = "GIB", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) log_storage: u64,

    /// Let everybody who reaches the port read `/metrics`, without a key.
    #[arg(long)]
    pub(crate) metrics_open: bool,
}

/// What is done with a manager's data, besides running on them.
#[derive(Debug, Subcommand)]
pub(crate) enum ManagerTask {
    /// Write all of a manager into a new file, also while it runs. The file holds the key of its authority.
    Backup {
        #[command(flatten)]
        place: Place,

        /// Leave out the firewalls' logs.
        #[arg(long)]
        without_logs: bool,

        /// The file, which must not be there.
        file: PathBuf,
    },
    /// Begin a manager from a backup, on either database. No manager may run on the data.
    Restore {
        #[command(flatten)]
        place: Place,

        /// Remove what is there.
        #[arg(long)]
        replace: bool,

        /// The file.
        file: PathBuf,
    },
}

/// Where a manager's data are.
#[derive(Args, Debug)]
pub(crate) struct Place {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,

    /// PostgreSQL server with the database [default: a file in the data directory].
    #[arg(long, value_name = "URL", env = "BARTIZAN_DATABASE", hide_env_values = true, value_parser = database)]
    pub(crate) database: Option<DatabaseUrl>,
}

/// Arguments of the operator's verbs.
#[derive(Args, Debug)]
pub(crate) struct Question {
    /// The rest of the command, in PAN-OS spelling. An unknown word is answered with the possible ones.
    #[arg(value_name = "WORD")]
    pub(crate) words: Vec<String>,

    /// Control socket of the firewall.
    #[arg(long, value_name = "PATH", env = "BARTIZAN_CONTROL", default_value = "/var/lib/bartizan/control.sock")]
    pub(crate) socket: PathBuf,

    /// Answer from this configuration file instead of a running firewall.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Answer as JSON.
    #[arg(long, conflicts_with = "xml")]
    pub(crate) json: bool,

    /// Answer as the XML API does.
    #[arg(long)]
    pub(crate) xml: bool,
}

fn auth_key(text: &str) -> Result<AuthKey, String> {
    AuthKey::parse(text).map_err(|error| error.to_string())
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    Err(match text.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => {
            format!("the port is missing: write it behind the address, as in `{}`", SocketAddr::new(address, 8443))
        }
        Err(_) => "it takes an IP address and a port, as in `0.0.0.0:8443` or `[::]:8443`".to_owned(),
    })
}

fn database(text: &str) -> Result<DatabaseUrl, String> {
    DatabaseUrl::parse(text)
}

fn port(text: &str) -> Result<PortName, String> {
    PortName::parse(text).map_err(|error| error.to_string())
}

fn capture(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((interface, file)) if !interface.is_empty() && !file.is_empty() => Ok((interface.to_owned(), file.into())),
        _ => Err("write the interface and the file, as in `ethernet1/1=in.pcap`".to_owned()),
    }
}

fn interface_mac(text: &str) -> Result<(String, [u8; 6]), String> {
    let wrong = || "write the interface and its MAC, as in `ethernet1/1=02:00:00:00:00:01`".to_owned();
    let (interface, mac) = text.split_once('=').ok_or_else(wrong)?;
    let bytes: Result<Vec<u8>, _> = mac.split([':', '-']).map(|byte| u8::from_str_radix(byte, 16)).collect();
    let mac = bytes.ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(wrong)?;
    Ok((interface.to_owned(), mac))
}

fn io(text: &str) -> Result<IoWish, String> {
    IoWish::parse(text).map_err(|error| error.to_string())
}

fn sessions(text: &str) -> Result<usize, String> {
    in_range(text, 64, 64 << 20)
}

fn ring(text: &str) -> Result<usize, String> {
    in_range(text, 1, 1 << 10)
}

fn in_range(text: &str, least: usize, most: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("not a number from {least} to {most}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_firewall_needs_exactly_one_source() {
        let parse = |line: &str| Arguments::try_parse_from(line.split_whitespace());
        assert!(parse("bartizan firewall").is_err());
        assert!(parse("bartizan firewall --config a.xml --manager m:1").is_err());
        assert!(parse("bartizan firewall --config a.xml").is_ok());
        assert!(parse("bartizan firewall --config a.xml --port ethernet1/1=eth1 --port ethernet1/2=eth2").is_ok());
        assert!(parse("bartizan firewall --config a.xml --workers 0").is_err());
    }

    #[test]
    fn a_manager_runs_or_its_data_are_backed_up() {
        let parse = |line: &str| Arguments::try_parse_from(line.split_whitespace()).map(|arguments| arguments.verb);
        assert!(parse("bartizan manager --data-dir d").is_err());
        let Ok(Verb::Manager(run)) = parse("bartizan manager --data-dir d --listen 0.0.0.0:1") else { panic!() };
        assert!(run.task.is_none() && run.data_dir == Some("d".into()));
        let Ok(Verb::Manager(backup)) = parse("bartizan manager backup --data-dir d file") else { panic!() };
        assert!(matches!(backup.task, Some(ManagerTask::Backup { without_logs: false, .. })));
        let Ok(Verb::Manager(restore)) = parse("bartizan manager restore --data-dir d --replace file") else {
            panic!()
        };
        assert!(matches!(restore.task, Some(ManagerTask::Restore { replace: true, .. })));
        assert!(parse("bartizan manager backup file").is_err());
    }

    #[test]
    fn a_listen_address_without_its_port_is_told_what_is_missing() {
        assert_eq!(listen("127.0.0.1:443"), Ok("127.0.0.1:443".parse().unwrap()));
        for (text, example) in [("127.0.0.1", "`127.0.0.1:8443`"), ("::1", "`[::1]:8443`"), ("[::1]", "`[::1]:8443`")] {
            let refused = listen(text).unwrap_err();
            assert!(refused.starts_with("the port is missing") && refused.ends_with(example), "{refused}");
        }
        assert!(listen("localhost:443").unwrap_err().starts_with("it takes an IP address and a port"));
    }

    #[test]
    fn a_replay_names_interfaces_with_their_captures_and_macs() {
        assert_eq!(capture("ethernet1/1=a=b.pcap"), Ok(("ethernet1/1".to_owned(), "a=b.pcap".into())));
        assert!(capture("in.pcap").unwrap_err().contains("`ethernet1/1=in.pcap`"));
        assert_eq!(interface_mac("ethernet1/1=02:00:00:00:0a:01"), Ok(("ethernet1/1".to_owned(), [2, 0, 0, 0, 10, 1])));
        for wrong in ["ethernet1/1", "ethernet1/1=02:00:00:00:01", "ethernet1/1=02:00:00:00:00:01:02", "a=zz:0:0:0:0:0"]
        {
            assert!(interface_mac(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn options_may_stand_among_the_words() {
        let parsed = Arguments::try_parse_from(["bartizan", "show", "session", "all", "--json"]).unwrap();
        let Verb::Show(question) = parsed.verb else { panic!("not show") };
        assert_eq!(question.words, ["session", "all"]);
        assert!(question.json);
    }
}
