//! Where does the node agent run, and what is it to put in? The environment of the chart's DaemonSet.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::api::Client;
use crate::kubeconfig::Access;
use crate::settings::{Settings, Written};

/// The kubeconfig's file, last in the folder so that no runtime takes it for a configuration.
pub(crate) const KUBECONFIG: &str = "ZZZ-pan-cni-kubeconfig";
const PLACEHOLDER: &str = "__KUBECONFIG_FILEPATH__";
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What the DaemonSet says.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    /// The plugin's object, with the kubeconfig's path as the node sees it.
    pub(crate) plugin: Value,
    pub(crate) settings: Settings,
    /// Wait for this file of the CNI configuration; none: the first one.
    pub(crate) conf_name: Option<String>,
    /// The folders as this container sees them.
    pub(crate) net_dir: PathBuf,
    pub(crate) bin_dir: PathBuf,
    /// False: a network of Multus, in a file of its own.
    pub(crate) chained: bool,
    pub(crate) ready_delay: Duration,
    pub(crate) listen: SocketAddr,
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) node: String,
    account: PathBuf,
    server: String,
}

impl Environment {
    /// Reads the variables.
    ///
    /// # Errors
    /// Names the variable that is missing or unusable.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let get = |name: &str| variable(name).filter(|value| !value.is_empty());
        let net = get("CNI_NET_DIR").unwrap_or_else(|| "/etc/cni/net.d".to_owned());
        let text = get("CNI_NETWORK_CONFIG").context("`CNI_NETWORK_CONFIG` is missing: the plugin's configuration")?;
        let text = text.replace(PLACEHOLDER, &Path::new(&net).join(KUBECONFIG).to_string_lossy());
        let plugin = serde_json::from_str(&text).context("`CNI_NETWORK_CONFIG` is no JSON")?;
        let settings = Written::parse(&text).and_then(|written| written.settings());
        let settings = settings.map_err(|problems| anyhow::anyhow!("`CNI_NETWORK_CONFIG`: {problems}"))?;
        let bin = get("CNI_BIN_DIR").unwrap_or_else(|| "/opt/cni/bin".to_owned());
        let listen = get("METRICS_LISTEN").unwrap_or_else(|| "127.0.0.1:9406".to_owned());
        let delay = get("CNI_READY_DELAY").unwrap_or_else(|| "30".to_owned());
        Ok(Self {
            plugin,
            settings,
            conf_name: get("CNI_CONF_NAME"),
            net_dir: get("HOST_CNI_NET_DIR").unwrap_or(net).into(),
            bin_dir: get("HOST_CNI_BIN_DIR").unwrap_or(bin).into(),
            chained: get("CHAINED_CNI_PLUGIN").is_none_or(|value| value != "false"),
            ready_delay: Duration::from_secs(delay.parse().context("`CNI_READY_DELAY` is a number of seconds")?),
            listen: listen.parse().context("`METRICS_LISTEN` is an address and a port")?,
            namespace: get("MY_POD_NAMESPACE").unwrap_or_else(|| "kube-system".to_owned()),
            pod: get("MY_POD_NAME").unwrap_or_default(),
            node: get("MY_NODE_NAME").or_else(|| get("NODE_NAME")).context("`MY_NODE_NAME` is missing")?,
            account: get("SERVICE_ACCOUNT_DIR").unwrap_or_else(|| ACCOUNT.to_owned()).into(),
            server: server(get("KUBERNETES_SERVICE_HOST"), get("KUBERNETES_SERVICE_PORT"))?,
        })
    }

    /// How to reach the API server now: the token rotates.
    ///
    /// # Errors
    /// When the service account's files cannot be read.
    pub(crate) fn access(&self) -> Result<Access> {
        let file = |name: &str| {
            let path = self.account.join(name);
            std::fs::read(&path).with_context(|| format!("read `{}`", path.display()))
        };
        let token = String::from_utf8_lossy(&file("token")?).trim().to_owned();
        Ok(Access { server: self.server.clone(), authority: Some(file("ca.crt")?), token: Some(token) })
    }

    /// A client with the token of now.
    pub(crate) fn client(&self) -> Result<Client> {
        Client::new(&self.access()?)
    }
}

fn server(host: Option<String>, port: Option<String>) -> Result<String> {
    let host = host.context("`KUBERNETES_SERVICE_HOST` is missing: not a pod of a cluster")?;
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Ok(format!("https://{host}:{}", port.unwrap_or_else(|| "443".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::CHART;

    #[test]
    fn the_charts_variables_are_understood() {
        let text = CHART.replace("/etc/cni/net.d/ZZZ-pan-cni-kubeconfig", PLACEHOLDER);
        let variable = |name: &str| match name {
            "CNI_NETWORK_CONFIG" => Some(text.clone()),
            "CNI_NET_DIR" => Some("/etc/cni/net.d".to_owned()),
            "HOST_CNI_NET_DIR" => Some("/host/etc/cni/net.d".to_owned()),
            "CHAINED_CNI_PLUGIN" => Some("true".to_owned()),
            "KUBERNETES_SERVICE_HOST" => Some("fd00::1".to_owned()),
            "MY_NODE_NAME" => Some("n1".to_owned()),
            _ => None,
        };
        let environment = Environment::read(variable).unwrap();
        assert_eq!(environment.settings.kubeconfig, Path::new("/etc/cni/net.d/ZZZ-pan-cni-kubeconfig"));
        assert_eq!(environment.plugin["kubernetes"]["kubeconfig"], "/etc/cni/net.d/ZZZ-pan-cni-kubeconfig");
        assert_eq!(environment.net_dir, Path::new("/host/etc/cni/net.d"));
        assert!(environment.chained);
        assert_eq!(environment.server, "https://[fd00::1]:443");
        let error = Environment::read(|_| None).unwrap_err().to_string();
        assert_eq!(error, "`CNI_NETWORK_CONFIG` is missing: the plugin's configuration");
    }
}
