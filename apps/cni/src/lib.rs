//! Kubernetes nodes: which pods' traffic goes to the firewall, and who keeps it so?
//!
//! [`run`] is the whole program. Called by a container runtime (`CNI_COMMAND` is set) it is the chained CNI
//! plugin of `plugin.rs`.

mod api;
mod datapath;
mod decide;
mod info;
mod invocation;
mod journal;
mod kubeconfig;
mod plugin;
mod settings;
mod state;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

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
        None => {
            print("bartizan-cni is a CNI plugin: a container runtime calls it with CNI_COMMAND set\n");
            ExitCode::from(64)
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
