//! `bartizan controller`: what is it set up with?

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bartizan_kube::cluster::Tagging;
use bartizan_kube::labels::{Filter, LabelSelector, Wanted};
use bartizan_kube::tags::Names;
use bartizan_kube::{Controller, Settings, webhook};
use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::remote::client::connector;
use crate::{Failure, USAGE, start};

/// Arguments of `bartizan controller`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The manager.
    #[arg(long, value_name = "https://HOST:PORT", env = "BARTIZAN_MANAGER", value_parser = address)]
    manager: String,

    /// File with an API key of an administrator who may register tags (`user-id`). It is read again at each request.
    #[arg(long, value_name = "FILE", env = "BARTIZAN_API_KEY_FILE")]
    api_key_file: PathBuf,

    /// The authority of the manager's certificate, PEM.
    #[arg(long, value_name = "FILE", env = "BARTIZAN_CA", conflicts_with = "fingerprint")]
    ca: Option<PathBuf>,

    /// Instead: the fingerprint of the manager's own authority, the part of an auth key behind the `.`.
    #[arg(long, value_name = "HEX", env = "BARTIZAN_FINGERPRINT")]
    fingerprint: Option<String>,

    /// What the cluster is called in its tags: 1 to 20 of A-Z a-z 0-9 _ -.
    #[arg(long, value_name = "NAME", env = "BARTIZAN_CLUSTER", value_parser = names)]
    cluster: String,

    /// The id of the cluster's tunnels, the chart's `clusterid`. The manager says when no traffic object is for it.
    #[arg(long, value_name = "N", env = "BARTIZAN_CLUSTER_ID", value_parser = clap::value_parser!(u16).range(1..=2048))]
    cluster_id: Option<u16>,

    /// Which labels become tags.
    #[arg(long, value_name = "WHICH", env = "BARTIZAN_LABELS", default_value = "all")]
    labels: Labels,

    /// With `--labels custom`: a label that becomes a tag, `*` for any text in each part; may be repeated.
    #[arg(long = "label", value_name = "NAMESPACE:KEY=VALUE", value_parser = Wanted::parse)]
    wanted: Vec<Wanted>,

    /// A tag for what a label selector selects, which is as kubectl's `-l`; may be repeated.
    #[arg(long = "selector", value_name = "NAME:NAMESPACE:pod|service|all:SELECTOR", value_parser = LabelSelector::parse)]
    selectors: Vec<LabelSelector>,

    /// Seconds that the manager keeps the tags when this controller is silent.
    #[arg(long, value_name = "SECONDS", env = "BARTIZAN_TTL", default_value_t = 900, value_parser = clap::value_parser!(u64).range(60..=86_400))]
    ttl: u64,

    /// Where `/healthz`, `/readyz` and `/metrics` are.
    #[arg(long, value_name = "ADDR:PORT", env = "BARTIZAN_LISTEN", default_value = "0.0.0.0:9405")]
    listen: SocketAddr,

    /// Where the API server asks whether a policy is good (validating webhook, by TLS).
    #[arg(long, value_name = "ADDR:PORT", env = "BARTIZAN_WEBHOOK_LISTEN", requires = "webhook_certificate")]
    webhook_listen: Option<SocketAddr>,

    /// The webhook's certificate with those above it, PEM. It is read again when it changes.
    #[arg(long, value_name = "FILE", env = "BARTIZAN_WEBHOOK_CERTIFICATE", requires = "webhook_key")]
    webhook_certificate: Option<PathBuf>,

    /// Its key, PEM.
    #[arg(long, value_name = "FILE", env = "BARTIZAN_WEBHOOK_KEY", requires = "webhook_listen")]
    webhook_key: Option<PathBuf>,

    /// The Lease by which one of several controllers tells the manager
    /// [default: bartizan-controller-CLUSTER in the own namespace].
    #[arg(long, value_name = "NAMESPACE/NAME", env = "BARTIZAN_LEASE", value_parser = lease)]
    lease: Option<(String, String)>,

    /// Its own name in the Lease [default: the host's name].
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    identity: Option<String>,

    /// Where the cluster is, for a controller outside of it [default: the pod's service account].
    #[arg(long, value_name = "FILE", env = "KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Labels {
    None,
    Custom,
    All,
}

fn address(text: &str) -> Result<String, String> {
    if text.starts_with("https://") { Ok(text.to_owned()) } else { Err("it begins with `https://`".to_owned()) }
}

fn names(text: &str) -> Result<String, String> {
    Names::of_cluster(text).map(|_| text.to_owned())
}

fn lease(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => Ok((namespace.into(), name.into())),
        _ => Err("write its namespace and its name, as in `kube-system/bartizan-controller`".to_owned()),
    }
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    start::log();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(1, format!("error: start the controller's threads: {error}")))?;
    runtime.block_on(async {
        let controller = Controller::start(settings(arguments).await?).await?;
        let (mut terminate, mut interrupt) = (asked(SignalKind::terminate())?, asked(SignalKind::interrupt())?);
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        Ok(controller.run(shutdown).await?)
    })
}

fn asked(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Failure> {
    signal(kind).map_err(|error| Failure::new(1, format!("error: follow signals: {error}")))
}

async fn settings(arguments: Arguments) -> Result<Settings, Failure> {
    let filter = match (arguments.labels, arguments.wanted.is_empty()) {
        (Labels::None, true) => Filter::None,
        (Labels::All, true) => Filter::All,
        (Labels::Custom, false) => Filter::Custom(arguments.wanted),
        (Labels::Custom, true) => {
            return Err(Failure::new(USAGE, "error: `--labels custom` needs a `--label NAMESPACE:KEY=VALUE`"));
        }
        (_, false) => return Err(Failure::new(USAGE, "error: `--label` goes with `--labels custom`")),
    };
    let read = |path: &PathBuf| {
        std::fs::read_to_string(path)
            .map_err(|error| Failure::new(1, format!("error: read `{}`: {error}", path.display())))
    };
    let ca = arguments.ca.as_ref().map(read).transpose()?;
    let api = bartizan_kube::api(arguments.kubeconfig.as_deref()).await?;
    let lease = arguments
        .lease
        .unwrap_or_else(|| (api.default_namespace.clone(), format!("bartizan-controller-{}", arguments.cluster)));
    let tagging = Tagging {
        names: Names::of_cluster(&arguments.cluster).map_err(|line| Failure::new(USAGE, format!("error: {line}")))?,
        filter,
        selectors: arguments.selectors,
    };
    let files = arguments.webhook_certificate.zip(arguments.webhook_key);
    let webhook = arguments.webhook_listen.zip(files);
    Ok(Settings {
        webhook: webhook.map(|(listen, (certificate, key))| webhook::Settings { listen, certificate, key }),
        api,
        manager: arguments.manager,
        connector: connector(arguments.fingerprint.as_deref(), ca.as_deref())?.https,
        key_file: arguments.api_key_file,
        cluster: arguments.cluster,
        cluster_id: arguments.cluster_id,
        tagging,
        ttl: Duration::from_secs(arguments.ttl),
        lease,
        identity: arguments.identity.unwrap_or_else(bartizan_firewall::hostname),
        listen: arguments.listen,
    })
}
