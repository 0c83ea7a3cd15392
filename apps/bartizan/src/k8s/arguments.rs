//! What can be said to `bartizan k8s`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::remote::arguments::{Form, Server};

/// The verbs about a Kubernetes cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum Kubernetes {
    /// May the chart be installed here, and is what was installed ready? Names each prerequisite.
    Preflight(Preflight),
    /// Which pods are not inspected, and why?
    Coverage(Coverage),
    /// Where does the path of one pod's traffic end: annotation, plugin, tunnel, endpoint, traffic object, zone, rule?
    Doctor(Doctor),
}

/// Which cluster, and how the answer is written.
#[derive(Args, Clone, Debug)]
pub(crate) struct Common {
    /// How the cluster is reached [default: the variable KUBECONFIG, ~/.kube/config, or the pod's service account].
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Context of that file [default: its current one].
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,

    /// Where the chart is installed.
    #[arg(short, long, value_name = "NAME", default_value = "kube-system")]
    pub(crate) namespace: String,

    /// How the answer is written.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    pub(crate) output: Form,
}

/// Arguments of `bartizan k8s preflight`.
#[derive(Args, Debug)]
pub(crate) struct Preflight {
    #[command(flatten)]
    pub(crate) common: Common,

    /// Cluster id that the chart will have; the one of an installed chart when absent. Looked for in the other contexts
    /// of the kubeconfig, too, since each cluster has one of its own.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=2048))]
    pub(crate) cluster_id: Option<u16>,
}

/// Arguments of `bartizan k8s coverage`.
#[derive(Args, Debug)]
pub(crate) struct Coverage {
    #[command(flatten)]
    pub(crate) common: Common,

    /// List inspected pods, too.
    #[arg(long)]
    pub(crate) all: bool,
}

/// Arguments of `bartizan k8s doctor`.
#[derive(Args, Debug)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) common: Common,

    #[command(flatten)]
    pub(crate) server: Server,

    /// The pod.
    #[arg(value_name = "NAMESPACE/POD", value_parser = pod)]
    pub(crate) pod: (String, String),

    /// Ask this firewall of the manager; all that have the cluster's traffic object when absent.
    #[arg(long, value_name = "SERIAL")]
    pub(crate) device: Option<String>,

    /// Whom the pod talks to, for the rule that decides.
    #[arg(long, value_name = "ADDRESS", default_value = "198.51.100.1")]
    pub(crate) to: IpAddr,

    /// TCP port there.
    #[arg(long, value_name = "PORT", default_value_t = 443)]
    pub(crate) port: u16,
}

fn pod(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err("write the namespace and the pod, as in `shop/web-7d9c`".to_owned()),
    }
}
