//! What can be said to `bartizan k8s`.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::remote::arguments::{Form, Server};

/// The verbs about a Kubernetes cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum Kubernetes {
    /// May the chart be installed here, and is what was installed ready? Names each prerequisite.
    Preflight(Preflight),
    /// Which pods are not inspected, and why?
    Coverage(Coverage),
    /// Where does the path of one pod's traffic end: annotation, plugin, tunnel, endpoint, traffic object, zone, rule? Or
    /// that of a policy: pods, controller, manager, rules of each firewall?
    Doctor(Box<Doctor>),
    /// Which clusters told the manager something: id, controller, when it was heard, tags, policies, and what is wrong?
    Clusters(Clusters),
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
    #[arg(value_name = "NAMESPACE/POD", value_parser = pod, required_unless_present = "policy")]
    pub(crate) pod: Option<(String, String)>,

    /// A NetworkPolicy instead, or without a namespace a ClusterNetworkPolicy.
    #[arg(long, value_name = "[NAMESPACE/]NAME", value_parser = policy, conflicts_with_all = ["pod", "to", "port"])]
    pub(crate) policy: Option<Policy>,

    /// The cluster's name at the manager; the one with the chart's cluster id when absent.
    #[arg(long, value_name = "NAME", requires = "policy")]
    pub(crate) cluster: Option<String>,

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

/// Arguments of `bartizan k8s clusters`.
#[derive(Args, Debug)]
pub(crate) struct Clusters {
    #[command(flatten)]
    pub(crate) common: crate::remote::arguments::Common,
}

/// A NetworkPolicy, or without a namespace a ClusterNetworkPolicy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Its namespace.
    pub(crate) namespace: Option<String>,
    /// Its name.
    pub(crate) name: String,
}

impl Policy {
    /// Where the cluster's API has it.
    pub(crate) fn path(&self) -> String {
        match &self.namespace {
            Some(place) => format!("/apis/networking.k8s.io/v1/namespaces/{place}/networkpolicies/{}", self.name),
            None => format!("/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies/{}", self.name),
        }
    }

    fn kind(&self) -> &'static str {
        if self.namespace.is_some() { "NetworkPolicy" } else { "ClusterNetworkPolicy" }
    }

    /// What the manager says of it, among what it says of all.
    pub(crate) fn of<'a>(&self, states: &'a Value) -> Option<&'a Value> {
        let place = self.namespace.as_deref().unwrap_or_default();
        let is_it = |state: &&Value| {
            state["kind"] == self.kind() && state["namespace"] == place && state["name"] == self.name.as_str()
        };
        states["policies"].as_array()?.iter().find(is_it)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(place) => write!(f, "{} `{place}/{}`", self.kind(), self.name),
            None => write!(f, "{} `{}`", self.kind(), self.name),
        }
    }
}

fn policy(text: &str) -> Result<Policy, String> {
    let (namespace, name) = match text.split_once('/') {
        Some((namespace, name)) => (Some(namespace.to_owned()), name),
        None => (None, text),
    };
    let is_name =
        |text: &str| !text.is_empty() && text.chars().all(|one| one.is_ascii_alphanumeric() || "-.".contains(one));
    match is_name(name) && namespace.as_deref().is_none_or(is_name) {
        true => Ok(Policy { namespace, name: name.to_owned() }),
        false => {
            Err("write the namespace and the name, as in `shop/allow-db`, or the name of a ClusterNetworkPolicy"
                .to_owned())
        }
    }
}

fn pod(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err("write the namespace and the pod, as in `shop/web-7d9c`".to_owned()),
    }
}
