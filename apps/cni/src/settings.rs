//! What does the plugin's configuration say, and what is wrong with it?
//!
//! The object that stands in the conflist, with the names of the vendor's chart; the runtime hands it in on
//! standard input. Numbers are strings there, and ranges a list with commas.

use std::fmt;
use std::path::PathBuf;

use ipnet::Ipv4Net;
use serde::Deserialize;
use serde_json::Value;

/// Identifier of the cluster: the tunnel's VNI and the firewall's traffic object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClusterId(u16);

/// What happens to a pod's packets while no firewall is well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum FailureMode {
    /// They pass without inspection.
    Open,
    /// They are dropped.
    #[default]
    Closed,
}

/// Which pods are inspected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Those that are annotated.
    #[default]
    Annotated,
    /// All but those that are annotated `none`.
    All,
}

/// The plugin's configuration, read and judged.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) cluster_id: ClusterId,
    /// Values of the annotation that are accepted; empty: any that begins with `pan-fw`.
    pub(crate) accepted: Vec<String>,
    /// The pod's interface; none: whichever the runtime names.
    pub(crate) interface: Option<String>,
    pub(crate) override_mtu: Option<u32>,
    pub(crate) firewall_ranges: Vec<Ipv4Net>,
    pub(crate) pass_ranges: Vec<Ipv4Net>,
    pub(crate) failure_mode: FailureMode,
    pub(crate) scope: Scope,
    /// `mode: teardown`: nothing is tunnelled any more.
    pub(crate) teardown: bool,
    pub(crate) excluded_namespaces: Vec<String>,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) places: Places,
    /// STATUS fails while no firewall is well.
    pub(crate) status_follows_endpoints: bool,
    pub(crate) service: String,
    pub(crate) service_namespace: String,
    pub(crate) health: Health,
}

/// Where the plugin keeps what it has to remember.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) log: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) bpf: PathBuf,
}

/// How the node agent asks a firewall whether it is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) port: u16,
    /// A path asked by HTTP; none: a TCP connection suffices.
    pub(crate) path: Option<String>,
}

/// The configuration as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Written {
    #[serde(rename = "cniVersion", default)]
    pub(crate) cni_version: String,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(rename = "prevResult", default)]
    pub(crate) previous: Option<Value>,
    #[serde(rename = "cni.dev/valid-attachments", default)]
    pub(crate) valid_attachments: Option<Vec<Attachment>>,
    #[serde(default)]
    traffic_object_id: Value,
    #[serde(default)]
    firewall: Vec<String>,
    #[serde(default)]
    interfaces: Vec<String>,
    #[serde(default)]
    override_mtu: Value,
    #[serde(default)]
    fwtrustcidr: String,
    #[serde(default)]
    passiprange: String,
    #[serde(default)]
    failure_mode: Option<String>,
    #[serde(default)]
    inspect: Option<String>,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    appinfo_dir: Option<PathBuf>,
    #[serde(default)]
    state_dir: Option<PathBuf>,
    #[serde(default)]
    bpf_dir: Option<PathBuf>,
    #[serde(default)]
    status_follows_endpoints: bool,
    #[serde(default)]
    dpservicename: Option<String>,
    #[serde(default)]
    dpservicenamespace: Option<String>,
    #[serde(default)]
    health_check_port: Value,
    #[serde(default)]
    health_check_path: Option<String>,
    #[serde(default)]
    kubernetes: Kubernetes,
}

/// A container that the runtime still knows (GC).
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Attachment {
    #[serde(rename = "containerID")]
    pub(crate) container: String,
    pub(crate) ifname: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Kubernetes {
    #[serde(default)]
    kubeconfig: Option<PathBuf>,
    #[serde(default)]
    exclude_namespaces: Vec<String>,
    #[serde(default)]
    security_namespaces: Vec<String>,
}

impl ClusterId {
    /// # Errors
    /// When it is not between 1 and 2048.
    pub(crate) fn new(number: u32) -> Result<Self, String> {
        match u16::try_from(number) {
            Ok(small) if (1..=2048).contains(&small) => Ok(Self(small)),
            _ => Err(format!("`traffic_object_id`: {number} is not a cluster id from 1 to 2048")),
        }
    }

    pub(crate) fn number(self) -> u32 {
        self.0.into()
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FailureMode {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "open" | "failopen" => Some(Self::Open),
            "closed" | "failclose" => Some(Self::Closed),
            _ => None,
        }
    }
}

impl fmt::Display for FailureMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Closed => "closed",
        })
    }
}

impl Written {
    /// # Errors
    /// When it is no JSON object of this form.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| format!("the network configuration cannot be read: {error}"))
    }

    /// # Errors
    /// Everything that is wrong, in a sentence each.
    pub(crate) fn settings(&self) -> Result<Settings, String> {
        let mut problems = Vec::new();
        let cluster_id = match number(&self.traffic_object_id, "traffic_object_id") {
            Ok(Some(number)) => ClusterId::new(number),
            Ok(None) => Err("`traffic_object_id` is missing: the cluster id, from 1 to 2048".to_owned()),
            Err(problem) => Err(problem),
        };
        let cluster_id = keep(cluster_id, &mut problems);
        let override_mtu = keep(mtu(&self.override_mtu), &mut problems);
        let firewall_ranges = ranges(&self.fwtrustcidr, "fwtrustcidr", &mut problems);
        let pass_ranges = ranges(&self.passiprange, "passiprange", &mut problems);
        let failure_mode = keep(self.failure_mode(), &mut problems);
        let scope = keep(self.scope(), &mut problems);
        let interface = keep(self.interface(), &mut problems);
        let health = keep(self.health(), &mut problems);
        if self.mode.as_deref().is_some_and(|mode| !["service", "daemonset", "teardown"].contains(&mode)) {
            problems.push("`mode` is `service`, `daemonset` or `teardown`".to_owned());
        }
        let kubeconfig = match &self.kubernetes.kubeconfig {
            Some(path) if !path.as_os_str().is_empty() => path.clone(),
            _ => {
                problems.push("`kubernetes.kubeconfig` is missing: the path of the kubeconfig".to_owned());
                PathBuf::new()
            }
        };
        let (Some(cluster_id), Some(override_mtu), Some(failure_mode), Some(scope), Some(interface), Some(health)) =
            (cluster_id, override_mtu, failure_mode, scope, interface, health)
        else {
            return Err(problems.join("; "));
        };
        if !problems.is_empty() {
            return Err(problems.join("; "));
        }
        let excluded = self.kubernetes.exclude_namespaces.iter().chain(&self.kubernetes.security_namespaces);
        Ok(Settings {
            cluster_id,
            accepted: self.firewall.clone(),
            interface,
            override_mtu,
            firewall_ranges,
            pass_ranges,
            failure_mode,
            scope,
            teardown: self.mode.as_deref() == Some("teardown"),
            excluded_namespaces: excluded.cloned().collect(),
            kubeconfig,
            places: self.places(),
            status_follows_endpoints: self.status_follows_endpoints,
            service: self.dpservicename.clone().unwrap_or_else(|| "pan-ngfw-svc".to_owned()),
            service_namespace: self.dpservicenamespace.clone().unwrap_or_else(|| "kube-system".to_owned()),
            health,
        })
    }

    /// Readable whatever else is wrong: DEL must find what ADD left.
    pub(crate) fn places(&self) -> Places {
        let or = |path: &Option<PathBuf>, default: &str| path.clone().unwrap_or_else(|| PathBuf::from(default));
        Places {
            log: or(&self.appinfo_dir, "/var/log/pan-appinfo"),
            state: or(&self.state_dir, "/run/pan-cni"),
            bpf: or(&self.bpf_dir, "/sys/fs/bpf/pan-cni"),
        }
    }

    fn failure_mode(&self) -> Result<FailureMode, String> {
        match self.failure_mode.as_deref() {
            None | Some("") => Ok(FailureMode::default()),
            Some(text) => FailureMode::parse(text).ok_or_else(|| "`failure_mode` is `open` or `closed`".to_owned()),
        }
    }

    fn scope(&self) -> Result<Scope, String> {
        match self.inspect.as_deref() {
            None | Some("" | "annotated") => Ok(Scope::Annotated),
            Some("all") => Ok(Scope::All),
            Some(_) => Err("`inspect` is `annotated` or `all`".to_owned()),
        }
    }

    /// One interface of a pod is tunnelled: the tunnel's outer packets bear its address.
    fn interface(&self) -> Result<Option<String>, String> {
        match self.interfaces.as_slice() {
            [] => Ok(Some("eth0".to_owned())),
            [any] if any == "*" => Ok(None),
            [one] => Ok(Some(one.clone())),
            many => Err(format!("`interfaces` names {}: one interface of a pod is tunnelled", many.join(", "))),
        }
    }

    fn health(&self) -> Result<Health, String> {
        let port = number(&self.health_check_port, "health_check_port")?.unwrap_or(443);
        let port = u16::try_from(port).ok().filter(|port| *port != 0);
        let port = port.ok_or_else(|| "`health_check_port` is a port from 1 to 65535".to_owned())?;
        let path = self.health_check_path.clone().filter(|path| !path.is_empty());
        if path.as_deref().is_some_and(|path| !path.starts_with('/')) {
            return Err("`health_check_path` begins with `/`".to_owned());
        }
        Ok(Health { port, path })
    }
}

fn keep<T>(result: Result<T, String>, problems: &mut Vec<String>) -> Option<T> {
    result.map_err(|problem| problems.push(problem)).ok()
}

/// A number, bare or in quotes; nothing and the empty string are none.
fn number(value: &Value, name: &str) -> Result<Option<u32>, String> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    };
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| format!("`{name}`: `{text}` is no number"))
}

fn mtu(value: &Value) -> Result<Option<u32>, String> {
    match number(value, "override_mtu")? {
        Some(mtu) if !(576..=65485).contains(&mtu) => Err(format!("`override_mtu`: {mtu} is not from 576 to 65485")),
        other => Ok(other),
    }
}

fn ranges(text: &str, name: &str, problems: &mut Vec<String>) -> Vec<Ipv4Net> {
    let mut ranges = Vec::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let range = item.parse::<Ipv4Net>().or_else(|_| item.parse().map(|address| Ipv4Net::new_assert(address, 32)));
        match range {
            Ok(range) => ranges.push(range.trunc()),
            Err(_) => problems.push(format!("`{name}`: `{item}` is no IPv4 range")),
        }
    }
    ranges
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The object that the vendor's chart writes.
    pub(crate) const CHART: &str = r#"{
      "cniVersion":"0.3.0","name":"pan-cni","type":"pan-cni","log_level":"debug","appinfo_dir":"/var/log/pan-appinfo",
      "mode":"service","cloud":"gke","dpservicename":"pan-ngfw-svc","dpservicenamespace":"kube-system",
      "traffic_object_id":"1","firewall":["pan-fw"],"interfaces":["eth0"],"interfacesip":[""],"interfacesmac":[""],
      "override_mtu":"","fwtrustcidr":"","passiprange":"10.52.0.0/14,10.56.0.0/20","maxpod_failover":"failopen",
      "kubernetes":{"kubeconfig":"/etc/cni/net.d/ZZZ-pan-cni-kubeconfig","cni_bin_dir":"/opt/cni/bin",
                    "exclude_namespaces":[],"security_namespaces":["kube-system"]}}"#;

    pub(crate) fn chart() -> Settings {
        Written::parse(CHART).unwrap().settings().unwrap()
    }

    #[test]
    fn the_charts_object_is_read_as_it_is() {
        let settings = chart();
        assert_eq!(settings.cluster_id.number(), 1);
        assert_eq!(settings.pass_ranges, ["10.52.0.0/14".parse().unwrap(), "10.56.0.0/20".parse().unwrap()]);
        assert_eq!(settings.excluded_namespaces, ["kube-system"]);
        assert_eq!((settings.failure_mode, settings.scope), (FailureMode::Closed, Scope::Annotated));
        assert_eq!(settings.interface.as_deref(), Some("eth0"));
        assert_eq!(settings.override_mtu, None);
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let written = r#"{"traffic_object_id":"2049","override_mtu":"12","failure_mode":"ajar","inspect":"some",
            "passiprange":"10.0.0.0/8, x","interfaces":["eth0","net1"],"mode":"magic","health_check_port":0}"#;
        assert_eq!(
            Written::parse(written).unwrap().settings().unwrap_err(),
            "`traffic_object_id`: 2049 is not a cluster id from 1 to 2048; `override_mtu`: 12 is not from 576 to 65485; \
             `passiprange`: `x` is no IPv4 range; `failure_mode` is `open` or `closed`; `inspect` is `annotated` or `all`; \
             `interfaces` names eth0, net1: one interface of a pod is tunnelled; \
             `health_check_port` is a port from 1 to 65535; `mode` is `service`, `daemonset` or `teardown`; \
             `kubernetes.kubeconfig` is missing: the path of the kubeconfig"
        );
    }
}
