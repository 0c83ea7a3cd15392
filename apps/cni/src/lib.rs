//! Kubernetes nodes: which pods' traffic goes to the firewall, and who keeps it so?
//!
//! [`run`] is the whole program. Called by a container runtime (`CNI_COMMAND` is set) it is the chained CNI
//! plugin of `plugin.rs`. As `install` it is the DaemonSet's main program: installer and node agent.

mod agent;
mod api;
mod datapath;
mod decide;
mod info;
mod install;
mod invocation;
mod journal;
mod kubeconfig;
pub mod outside;
mod plugin;
mod settings;
mod state;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use install::environment::Environment;

const USAGE: &str = "bartizan-cni install           put the plugin on this node, and stay as its agent
bartizan-cni uninstall [--now] take it away, when the DaemonSet is being removed (--now: in any case)
A container runtime calls it as `pan-cni`, with CNI_COMMAND set. The environment is that of the Helm chart.
";

/// Bytes of a network configuration; a previous result with hundreds of addresses fits.
const MAXIMUM_CONFIGURATION: u64 = 1024 * 1024;

/// Does what the environment and the arguments ask for.
pub fn run() -> ExitCode {
    let variable = |name: &str| std::env::var(name).ok();
    match variable("CNI_COMMAND") {
        Some(command) => {
            let mut text = String::new();
            let read = io::stdin().take(MAXIMUM_CONFIGURATION).read_to_string(&mut text);
            let answer = match read {
                Ok(_) => plugin::answer(&command, &text, variable),
                Err(error) => plugin::unreadable(&error),
            };
            print(&answer.text);
            if answer.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        None => verb(std::env::args().nth(1).as_deref(), variable),
    }
}

fn verb(word: Option<&str>, variable: impl Fn(&str) -> Option<String>) -> ExitCode {
    let done = match word {
        Some("install") => Environment::read(variable).and_then(|environment| install::install(&environment)),
        Some("uninstall") => {
            Environment::read(variable).and_then(|environment| match std::env::args().nth(2).as_deref() {
                Some("--now") => install::uninstall(&environment),
                _ => install::uninstall_if_removed(&environment),
            })
        }
        _ => {
            print(USAGE);
            return ExitCode::from(64);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _nobody_listens = io::stderr().write_all(format!("bartizan-cni: {error:#}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}

/// Tells all pods of the node which firewall is well; none when no firewall is.
///
/// # Errors
/// When the maps in the BPF file system cannot be made or written.
pub fn point_at(bpf_directory: &Path, endpoint: Option<Ipv4Addr>) -> Result<()> {
    datapath::node::Node::open(bpf_directory)?.point_at(endpoint)
}

/// What a pod's programs counted, by name; none for a pod that is not tunnelled. The key is the container's id,
/// a hyphen and the interface.
///
/// # Errors
/// When the kernel refuses.
pub fn counters(bpf_directory: &Path, key: &str) -> Result<Option<BTreeMap<&'static str, u64>>> {
    datapath::node::read_counters(bpf_directory, key)
}

fn print(text: &str) {
    let _nobody_listens = io::stdout().write_all(text.as_bytes());
}
