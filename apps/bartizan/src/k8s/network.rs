//! Which network does a cluster have, by what runs there, and on whose machines?

use serde_json::Value;

/// A network plugin, known by one of its DaemonSets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plugin {
    /// What people call it.
    pub(super) name: &'static str,
    daemon_set: &'static str,
}

/// Plugins that the node agent is chained behind.
const KNOWN: [Plugin; 12] = [
    Plugin { name: "GKE Dataplane V2", daemon_set: "anetd" },
    Plugin { name: "Cilium", daemon_set: "cilium" },
    Plugin { name: "Calico", daemon_set: "calico-node" },
    Plugin { name: "AWS VPC CNI", daemon_set: "aws-node" },
    Plugin { name: "Azure CNI", daemon_set: "azure-cns" },
    Plugin { name: "OVN-Kubernetes", daemon_set: "ovnkube-node" },
    Plugin { name: "Flannel", daemon_set: "kube-flannel-ds" },
    Plugin { name: "Canal", daemon_set: "rke2-canal" },
    Plugin { name: "Antrea", daemon_set: "antrea-agent" },
    Plugin { name: "kindnet", daemon_set: "kindnet" },
    Plugin { name: "Weave Net", daemon_set: "weave-net" },
    Plugin { name: "kube-router", daemon_set: "kube-router" },
];

/// Whose machines a cluster runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cloud {
    Aws,
    Azure,
    Google,
    OpenShift,
    None,
}

impl Cloud {
    /// By what its nodes say.
    pub(super) fn of(nodes: &[Value]) -> Self {
        let Some(node) = nodes.first() else { return Self::None };
        let labels = node["metadata"]["labels"].as_object();
        if labels.is_some_and(|labels| labels.contains_key("node.openshift.io/os_id")) {
            return Self::OpenShift;
        }
        match node["spec"]["providerID"].as_str().and_then(|id| id.split_once("://")) {
            Some(("aws", _)) => Self::Aws,
            Some(("azure", _)) => Self::Azure,
            Some(("gce", _)) => Self::Google,
            _ => Self::None,
        }
    }

    /// The chart's value `deployTo`.
    pub(super) fn deploy_to(self) -> &'static str {
        match self {
            Self::Aws => "eks",
            Self::Azure => "aks",
            Self::Google => "gke",
            Self::OpenShift => "openshift",
            Self::None => "native",
        }
    }
}

/// The plugins that run, the most telling first.
pub(super) fn plugins(daemon_sets: &[Value]) -> Vec<Plugin> {
    let runs = |name: &str| daemon_sets.iter().any(|set| set["metadata"]["name"] == name);
    KNOWN.into_iter().filter(|plugin| runs(plugin.daemon_set)).collect()
}

/// Does Multus run, which calls other plugins?
pub(super) fn has_multus(daemon_sets: &[Value]) -> bool {
    let names = daemon_sets.iter().filter_map(|set| set["metadata"]["name"].as_str());
    names.into_iter().any(|name| name == "multus" || name.starts_with("kube-multus"))
}

/// A node of GKE Autopilot.
pub(super) fn autopilot(nodes: &[Value]) -> Option<&str> {
    nodes.iter().filter_map(|node| node["metadata"]["name"].as_str()).find(|name| name.starts_with("gk3-"))
}

/// Azure: the resource group of the network that pods get addresses from, as nodes are labelled.
pub(super) fn azure_network_group(nodes: &[Value]) -> Option<&str> {
    let label = "kubernetes.azure.com/podnetwork-resourcegroup";
    nodes.iter().find_map(|node| node["metadata"]["labels"][label].as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cloud_is_known_by_its_nodes() {
        let cloud = |node: Value| Cloud::of(&[node]).deploy_to();
        assert_eq!(cloud(json!({ "spec": { "providerID": "aws:///us-east-1a/i-1" } })), "eks");
        assert_eq!(cloud(json!({ "spec": { "providerID": "azure:///subscriptions/x" } })), "aks");
        assert_eq!(cloud(json!({ "spec": { "providerID": "gce://p/z/n" } })), "gke");
        let labels = json!({ "node.openshift.io/os_id": "rhel" });
        let openshift = json!({ "metadata": { "labels": labels }, "spec": { "providerID": "aws:///a/i" } });
        assert_eq!(cloud(openshift), "openshift");
        assert_eq!(cloud(json!({})), "native");
    }

    #[test]
    fn plugins_are_known_by_their_daemon_sets() {
        let set = |name: &str| json!({ "metadata": { "name": name } });
        let sets = [set("kube-proxy"), set("calico-node"), set("kube-multus-ds")];
        assert_eq!(plugins(&sets).iter().map(|plugin| plugin.name).collect::<Vec<_>>(), ["Calico"]);
        assert!(has_multus(&sets) && !has_multus(&sets[..2]));
    }
}
