//! May the chart be installed in this cluster, and is what was installed ready?

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::arguments::{Common, Preflight};
use super::asked::{CONFIG_MAP, Scope};
use super::cluster::{Cluster, Refusal, other_contexts};
use super::endpoints::{Endpoint, SERVICE, endpoints, zone};
use super::findings::{Finding, State, tell};
use super::network::{Cloud, autopilot, azure_network_group, has_multus, plugins};
use crate::Failure;

/// The oldest minor version of Kubernetes 1 that clouds still have, and the oldest that the chart is for.
const SUPPORTED: u64 = 30;
const OLDEST: u64 = 20;

/// How long another cluster of the kubeconfig may take for its answers.
const PATIENCE: Duration = Duration::from_secs(5);

/// What an installation makes: API group, resource, whether it is in the namespace.
const MADE: [(&str, &str, bool); 11] = [
    ("apps", "daemonsets", true),
    ("", "configmaps", true),
    ("", "services", true),
    ("", "serviceaccounts", true),
    ("", "secrets", true),
    ("discovery.k8s.io", "endpointslices", true),
    ("rbac.authorization.k8s.io", "roles", true),
    ("rbac.authorization.k8s.io", "rolebindings", true),
    ("rbac.authorization.k8s.io", "clusterroles", false),
    ("rbac.authorization.k8s.io", "clusterrolebindings", false),
    ("apiextensions.k8s.io", "customresourcedefinitions", false),
];

/// What a cluster was found to have.
struct Facts {
    version: Value,
    nodes: Vec<Value>,
    daemon_sets: Vec<Value>,
    missing_rights: Vec<String>,
    place: Option<Value>,
    writable: Result<(), Refusal>,
    scope: Option<Scope>,
    slices: Vec<Value>,
    /// Contexts whose cluster has the same id, and those that could not be asked.
    same_id: Vec<String>,
    unasked: usize,
}

/// Has the cluster looked at.
pub(super) async fn run(arguments: &Preflight) -> Result<(), Failure> {
    let common = &arguments.common;
    let facts = gather(arguments).await?;
    let findings = judge(&facts, &common.namespace, arguments.cluster_id);
    tell(&findings, common.output, &json!({ "namespace": common.namespace }))
}

async fn gather(arguments: &Preflight) -> Result<Facts, Failure> {
    let common = &arguments.common;
    let (cluster, namespace) = (Cluster::reach(common).await?, &*common.namespace);
    let mut missing_rights = Vec::new();
    for (group, resource, inside) in MADE {
        let place = if inside { namespace } else { "" };
        if !cluster.may("create", group, resource, place).await? {
            missing_rights.push(format!("create {resource}{}", if inside { "" } else { " (cluster)" }));
        }
    }
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "bartizan-preflight", "namespace": namespace } });
    let scope = scope(&cluster, namespace).await?;
    let id = arguments.cluster_id.or_else(|| scope.as_ref().map(|scope| scope.cluster_id));
    let (same_id, unasked) = same_id(&cluster, common, id).await?;
    Ok(Facts {
        version: cluster.find("/version").await?.unwrap_or_default(),
        nodes: cluster.list("/api/v1/nodes").await?,
        daemon_sets: cluster.list("/apis/apps/v1/daemonsets").await?,
        missing_rights,
        place: cluster.find(&format!("/api/v1/namespaces/{namespace}")).await?,
        writable: cluster.try_out(&format!("/api/v1/namespaces/{namespace}/configmaps"), &map).await?,
        slices: slices(&cluster, namespace).await?,
        scope,
        same_id,
        unasked,
    })
}

/// What the installed plugin is configured with.
pub(super) async fn scope(cluster: &Cluster, namespace: &str) -> Result<Option<Scope>, Failure> {
    let map = cluster.find(&format!("/api/v1/namespaces/{namespace}/configmaps/{CONFIG_MAP}")).await?;
    Ok(Scope::read(map.as_ref()))
}

/// The endpoint slices of the chart's namespace, of whichever version the cluster has.
pub(super) async fn slices(cluster: &Cluster, namespace: &str) -> Result<Vec<Value>, Failure> {
    let label = format!("labelSelector=kubernetes.io%2Fservice-name%3D{SERVICE}");
    let mut found = Vec::new();
    for version in ["v1", "v1beta1"] {
        let path = format!("/apis/discovery.k8s.io/{version}/namespaces/{namespace}/endpointslices?{label}");
        found = cluster.list(&path).await?;
        if !found.is_empty() {
            break;
        }
    }
    Ok(found)
}

/// Other contexts of the kubeconfig whose cluster has this id, and how many could not be asked. A context that leads to
/// the same cluster is none.
async fn same_id(cluster: &Cluster, common: &Common, id: Option<u16>) -> Result<(Vec<String>, usize), Failure> {
    let (mut same, mut unasked) = (Vec::new(), 0);
    let (Some(id), own) = (id, identity(cluster).await?) else { return Ok((same, unasked)) };
    for context in other_contexts(common) {
        let answer = async {
            let other = Cluster::at(common, Some(&context)).await?;
            Ok::<_, Failure>((identity(&other).await?, scope(&other, &common.namespace).await?))
        };
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok((who, Some(scope)))) if who != own && scope.cluster_id == id => same.push(context),
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => unasked += 1,
        }
    }
    Ok((same, unasked))
}

/// What no other cluster has: the identity of its oldest namespace.
async fn identity(cluster: &Cluster) -> Result<Option<String>, Failure> {
    let place = cluster.find("/api/v1/namespaces/kube-system").await?;
    Ok(place.and_then(|place| place["metadata"]["uid"].as_str().map(str::to_owned)))
}

fn judge(facts: &Facts, namespace: &str, wanted_id: Option<u16>) -> Vec<Finding> {
    let cloud = Cloud::of(&facts.nodes);
    let mut findings = vec![
        version(&facts.version),
        autopilot_finding(&facts.nodes),
        rights(&facts.missing_rights),
        writable(facts, namespace),
        network(&facts.daemon_sets, cloud),
    ];
    if cloud == Cloud::Azure {
        findings.push(azure(facts));
    }
    findings.push(cluster_id(facts, wanted_id));
    findings.push(agents(facts, namespace));
    let found = endpoints(&facts.slices);
    findings.push(ready(&found, facts.scope.is_some()));
    if found.iter().any(|endpoint| !endpoint.zone.is_empty()) {
        findings.push(zones(&found, &facts.nodes));
    }
    findings
}

fn version(version: &Value) -> Finding {
    let said = version["gitVersion"].as_str().unwrap_or_default();
    let minor = version["minor"].as_str().unwrap_or_default().trim_end_matches(|sign: char| !sign.is_ascii_digit());
    match minor.parse::<u64>() {
        Ok(minor) if minor >= SUPPORTED => Finding::ok("version", format!("Kubernetes {said}")),
        Ok(minor) if minor >= OLDEST => Finding::new(
            "version",
            State::Warning,
            format!("Kubernetes {said} is older than 1.{SUPPORTED}"),
            format!("upgrade the cluster: the chart is checked against 1.{SUPPORTED} and later"),
        ),
        Ok(_) => Finding::new(
            "version",
            State::Failed,
            format!("Kubernetes {said} is older than 1.{OLDEST}"),
            "upgrade the cluster",
        ),
        Err(_) => {
            Finding::new("version", State::Unknown, "the cluster does not say which version of Kubernetes it is", "")
        }
    }
}

fn autopilot_finding(nodes: &[Value]) -> Finding {
    match autopilot(nodes) {
        Some(node) => Finding::new(
            "autopilot",
            State::Failed,
            format!("node `{node}` is one of GKE Autopilot, which admits no changes in kube-system and no host paths"),
            "use a GKE Standard cluster",
        ),
        None => Finding::ok("autopilot", "not GKE Autopilot"),
    }
}

fn rights(missing: &[String]) -> Finding {
    if missing.is_empty() {
        return Finding::ok("rights", "you may make every object of the chart");
    }
    let text = format!("you may not {}", missing.join(", "));
    Finding::new("rights", State::Failed, text, "install as a cluster administrator (`cluster-admin`)")
}

fn writable(facts: &Facts, namespace: &str) -> Finding {
    if facts.place.is_none() {
        return Finding::new(
            "namespace",
            State::Failed,
            format!("there is no namespace `{namespace}`"),
            format!("make it: `kubectl create namespace {namespace}`"),
        );
    }
    match &facts.writable {
        Ok(()) => Finding::ok("namespace", format!("`{namespace}` can be written")),
        Err(refusal) => Finding::new(
            "namespace",
            State::Failed,
            format!("`{namespace}` refuses a ConfigMap: {} ({})", refusal.message, refusal.code),
            "install into another namespace by the chart's value `namespace`, if the platform keeps this one to itself",
        ),
    }
}

fn network(daemon_sets: &[Value], cloud: Cloud) -> Finding {
    let names: Vec<&str> = plugins(daemon_sets).iter().map(|plugin| plugin.name).collect();
    let deploy_to = cloud.deploy_to();
    if has_multus(daemon_sets) && cloud != Cloud::OpenShift {
        return Finding::new(
            "network",
            State::Warning,
            format!("Multus calls the plugins here, behind {}", known(&names)),
            "if Multus is the first of each node's CNI configurations, name its delegate by the chart's value \
             `cni.confName`",
        );
    }
    if names.is_empty() {
        return Finding::new(
            "network",
            State::Warning,
            "no network plugin that is known by its DaemonSet",
            format!("the node agent is chained behind whichever there is; `deployTo` is `{deploy_to}`"),
        );
    }
    Finding::ok("network", format!("{}; `deployTo` is `{deploy_to}`", names.join(" and ")))
}

fn known(names: &[&str]) -> String {
    if names.is_empty() { "one that is not known".to_owned() } else { names.join(" and ") }
}

fn azure(facts: &Facts) -> Finding {
    let help = "Azure portal: Kubernetes services, the cluster, Settings, Networking: Azure CNI with \"Bring your own \
                Azure virtual network\"";
    if !plugins(&facts.daemon_sets).iter().any(|plugin| plugin.name == "Azure CNI") {
        let text = "the cluster does not have Azure CNI";
        return Finding::new("azure network", State::Failed, text, help);
    }
    match azure_network_group(&facts.nodes) {
        Some(group) if group.to_ascii_uppercase().starts_with("MC_") => Finding::new(
            "azure network",
            State::Failed,
            format!("pods are in a virtual network that Azure manages (resource group `{group}`)"),
            help,
        ),
        Some(group) => Finding::ok(
            "azure network",
            format!("Azure CNI in a virtual network of your own (resource group `{group}`)"),
        ),
        None => Finding::new(
            "azure network",
            State::Unknown,
            "Azure CNI; whose the virtual network is cannot be seen from inside of the cluster",
            help,
        ),
    }
}

fn cluster_id(facts: &Facts, wanted: Option<u16>) -> Finding {
    let Some(id) = wanted.or_else(|| facts.scope.as_ref().map(|scope| scope.cluster_id)) else {
        return Finding::new("cluster id", State::Unknown, "no chart is installed", "name the id by `--cluster-id`");
    };
    if !(1..=2048).contains(&id) {
        let text = format!("the installed chart has the id {id}");
        return Finding::new("cluster id", State::Failed, text, "`clusterid` is 1 to 2048");
    }
    if !facts.same_id.is_empty() {
        return Finding::new(
            "cluster id",
            State::Failed,
            format!("{id} is the id of {}, too", facts.same_id.join(", ")),
            "give each cluster a `clusterid` of its own: firewalls tell them apart by it",
        );
    }
    let text = match facts.unasked {
        0 => format!("{id}"),
        many => format!("{id}; {many} other contexts of the kubeconfig could not be asked"),
    };
    Finding::ok("cluster id", text)
}

fn agents(facts: &Facts, namespace: &str) -> Finding {
    let ours = |set: &&Value| set["metadata"]["name"] == "pan-cni" && set["metadata"]["namespace"] == namespace;
    let Some(set) = facts.daemon_sets.iter().find(ours) else {
        return Finding::new("node agents", State::Unknown, "not installed", "");
    };
    let count = |name: &str| set["status"][name].as_u64().unwrap_or_default();
    let (desired, ready, nodes) = (count("desiredNumberScheduled"), count("numberReady"), facts.nodes.len() as u64);
    if ready < desired {
        return Finding::new(
            "node agents",
            State::Failed,
            format!("{ready} of {desired} are ready"),
            format!("`kubectl get pods -n {namespace} -o wide | grep pan-cni`; their log says what they wait for"),
        );
    }
    if desired < nodes {
        return Finding::new(
            "node agents",
            State::Warning,
            format!("on {desired} of {nodes} nodes; pods of the others are not inspected"),
            "see the chart's `nodeSelector` and `tolerations`",
        );
    }
    Finding::ok("node agents", format!("{ready} of {desired} are ready"))
}

fn ready(found: &[Endpoint], installed: bool) -> Finding {
    if found.is_empty() {
        return match installed {
            true => Finding::new(
                "endpoints",
                State::Failed,
                format!("`{SERVICE}` has no endpoint"),
                "write the firewalls' addresses into the chart's `endpoints`; firewalls in the cluster are endpoints when \
                 they are ready",
            ),
            false => Finding::new("endpoints", State::Unknown, "not installed", ""),
        };
    }
    let silent: Vec<&str> = found.iter().filter(|one| one.silent).map(|one| &*one.address).collect();
    if !silent.is_empty() {
        return Finding::new(
            "endpoints",
            State::Failed,
            format!(
                "the slice does not say of {} that it is ready; Cilium ignores such an endpoint",
                silent.join(", ")
            ),
            "set `conditions: {ready: true, serving: true}`, as the chart does",
        );
    }
    let there: Vec<&str> = found.iter().filter(|one| one.ready).map(|one| &*one.address).collect();
    if there.is_empty() {
        let text = format!("none of {} is ready", found.len());
        return Finding::new("endpoints", State::Failed, text, "see the firewalls' pods or the load balancer");
    }
    Finding::ok("endpoints", there.join(", "))
}

fn zones(found: &[Endpoint], nodes: &[Value]) -> Finding {
    let covered: BTreeSet<&str> = found.iter().filter(|one| one.ready).map(|one| &*one.zone).collect();
    let there: BTreeSet<&str> = nodes.iter().map(zone).filter(|zone| !zone.is_empty()).collect();
    let bare: Vec<&str> = there.difference(&covered).copied().collect();
    if bare.is_empty() {
        let all: Vec<&str> = there.into_iter().collect();
        return Finding::ok("zones", format!("an endpoint in each: {}", all.join(", ")));
    }
    Finding::new(
        "zones",
        State::Warning,
        format!("no endpoint in {}: traffic of pods there goes to another zone", bare.join(", ")),
        "add `endpointsN` and `endpointsNzone` for each",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let node = |name: &str, zone: &str| json!({ "metadata": { "name": name, "labels": { "topology.kubernetes.io/zone": zone } } });
        Facts {
            version: json!({ "minor": "33+", "gitVersion": "v1.33.1-eks" }),
            nodes: vec![node("n1", "a"), node("n2", "b")],
            daemon_sets: vec![
                json!({ "metadata": { "name": "calico-node", "namespace": "calico-system" } }),
                json!({ "metadata": { "name": "pan-cni", "namespace": "kube-system" },
                    "status": { "desiredNumberScheduled": 2, "numberReady": 2 } }),
            ],
            missing_rights: Vec::new(),
            place: Some(json!({})),
            writable: Ok(()),
            scope: Some(Scope { cluster_id: 7, ..Scope::default() }),
            slices: vec![json!({ "metadata": { "labels": { "kubernetes.io/service-name": SERVICE } }, "endpoints": [
                { "addresses": ["10.0.0.1"], "conditions": { "ready": true }, "zone": "a" },
                { "addresses": ["10.0.0.2"], "conditions": { "ready": true }, "zone": "b" }] })],
            same_id: Vec::new(),
            unasked: 0,
        }
    }

    fn state_of(facts: &Facts, check: &str) -> (State, String) {
        let findings = judge(facts, "kube-system", None);
        let finding = findings.into_iter().find(|finding| finding.check == check).unwrap();
        (finding.state, format!("{} / {}", finding.text, finding.help))
    }

    #[test]
    fn a_good_cluster_has_nothing_to_find() {
        let findings = judge(&facts(), "kube-system", None);
        let bad: Vec<_> = findings.iter().filter(|finding| finding.state != State::Ok).collect();
        assert_eq!(bad, Vec::<&Finding>::new());
        assert_eq!(findings.len(), 9);
    }

    #[test]
    fn each_prerequisite_that_is_missing_is_named_with_what_to_do() {
        let check = |check: &str, state: State, words: &str, change: &dyn Fn(&mut Facts)| {
            let mut facts = facts();
            change(&mut facts);
            let (found, text) = state_of(&facts, check);
            assert!(found == state && text.contains(words), "{check}: {found:?} {text}");
        };
        check("version", State::Warning, "older than 1.30", &|facts| facts.version["minor"] = json!("29"));
        check("version", State::Failed, "older than 1.20", &|facts| facts.version["minor"] = json!("19"));
        check("version", State::Unknown, "does not say", &|facts| facts.version = json!({}));
        check("autopilot", State::Failed, "GKE Standard", &|facts| {
            facts.nodes[1]["metadata"]["name"] = json!("gk3-pool-1");
        });
        check("rights", State::Failed, "you may not create secrets", &|facts| {
            facts.missing_rights = vec!["create secrets".to_owned()];
        });
        check("namespace", State::Failed, "kubectl create namespace", &|facts| facts.place = None);
        check("namespace", State::Failed, "denied by policy (403)", &|facts| {
            facts.writable = Err(Refusal { code: 403, message: "denied by policy".to_owned() });
        });
        check("network", State::Warning, "no network plugin that is known", &|facts| {
            facts.daemon_sets.remove(0);
        });
        check("network", State::Warning, "cni.confName", &|facts| {
            facts.daemon_sets.push(json!({ "metadata": { "name": "kube-multus-ds" } }));
        });
        check("cluster id", State::Failed, "7 is the id of west, too", &|facts| {
            facts.same_id = vec!["west".to_owned()]
        });
        check("node agents", State::Failed, "1 of 2 are ready", &|facts| {
            facts.daemon_sets[1]["status"]["numberReady"] = json!(1);
        });
        check("node agents", State::Warning, "on 2 of 3 nodes", &|facts| facts.nodes.push(json!({})));
        check("endpoints", State::Failed, "has no endpoint", &|facts| facts.slices.clear());
        check("endpoints", State::Failed, "Cilium ignores", &|facts| {
            facts.slices[0]["endpoints"][0]["conditions"] = json!({});
        });
        check("endpoints", State::Failed, "none of 1 is ready", &|facts| {
            facts.slices[0]["endpoints"] = json!([{ "addresses": ["10.0.0.1"], "conditions": { "ready": false } }]);
        });
        check("zones", State::Warning, "no endpoint in b", &|facts| {
            facts.slices[0]["endpoints"].as_array_mut().unwrap().pop();
        });
    }

    #[test]
    fn azure_is_asked_whose_network_it_is() {
        let mut facts = facts();
        for node in &mut facts.nodes {
            node["spec"]["providerID"] = json!("azure:///subscriptions/x");
        }
        assert_eq!(state_of(&facts, "azure network").0, State::Failed);
        facts.daemon_sets.push(json!({ "metadata": { "name": "azure-cns", "namespace": "kube-system" } }));
        assert_eq!(state_of(&facts, "azure network").0, State::Unknown);
        let label = "kubernetes.azure.com/podnetwork-resourcegroup";
        facts.nodes[0]["metadata"]["labels"][label] = json!("MC_apps_east");
        let (state, text) = state_of(&facts, "azure network");
        assert!(state == State::Failed && text.contains("Bring your own"), "{text}");
        facts.nodes[0]["metadata"]["labels"][label] = json!("networks");
        assert_eq!(state_of(&facts, "azure network").0, State::Ok);
    }

    #[test]
    fn before_the_chart_is_installed_its_parts_are_unknown() {
        let mut facts = facts();
        facts.daemon_sets.pop();
        facts.slices.clear();
        facts.scope = None;
        for check in ["node agents", "endpoints", "cluster id"] {
            assert_eq!(state_of(&facts, check).0, State::Unknown, "{check}");
        }
        assert!(judge(&facts, "kube-system", Some(9)).iter().any(|finding| finding.text == "9"));
    }
}
