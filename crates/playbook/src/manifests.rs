//! Which cluster, policies and tests does a folder of manifests describe?
//!
//! What a pipeline has before there is a cluster: Namespaces, Pods and workloads, NetworkPolicies, and tests in files that
//! end in `.test.yaml`. Pods get addresses of their own where the files do not tell them. Everything that is wrong in any
//! file is told at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::catalogue::Catalogue;
use crate::check::{check, check_cluster};
use crate::checked::Checked;
use crate::cluster::{Labels, NamedPort, Node, Pod, Snapshot};
use crate::cluster_policy::ClusterNetworkPolicy;
use crate::group::NAME_LABEL;
use crate::policy::{Metadata, NetworkPolicy};
use crate::ports::Protocol;
use crate::problem::Problem;
use crate::trial::Test;

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What it is called in answers.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// What a folder describes.
#[derive(Clone, Debug, Default)]
pub struct Folder {
    /// Its namespaces and pods.
    pub snapshot: Snapshot,
    /// Its policies that have no fault.
    pub policies: Vec<Checked>,
    /// Where each of them is: `namespace/name` and the place of the file.
    pub places: BTreeMap<String, String>,
    /// Its tests.
    pub tests: Vec<Test>,
    /// What is wrong, in the order of files and lines.
    pub problems: Vec<String>,
    /// Objects of other kinds, which say nothing here.
    pub passed_over: BTreeMap<String, usize>,
}

/// The first address of pods whose files name none (RFC 6598, shared address space).
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
/// The version of ClusterNetworkPolicies.
const CLUSTER_POLICY: &str = "policy.networking.k8s.io/v1alpha2";
/// What test files end in.
const TEST_ENDINGS: [&str; 2] = [".test.yaml", ".test.yml"];

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Kind {
    #[serde(rename = "apiVersion")]
    version: String,
    kind: String,
}

#[derive(Deserialize)]
struct Object<S> {
    #[serde(default)]
    metadata: Metadata,
    spec: Option<S>,
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: String,
    #[serde(rename = "podIP")]
    address: String,
    #[serde(rename = "podIPs")]
    addresses: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    ip: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    host_network: bool,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    ports: Vec<ContainerPort>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerPort {
    #[serde(default)]
    name: String,
    container_port: u16,
    protocol: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeObject {
    metadata: Metadata,
    status: NodeStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeStatus {
    addresses: Vec<NodeAddress>,
}

#[derive(Deserialize)]
struct NodeAddress {
    address: String,
}

#[derive(Deserialize)]
struct Workload {
    template: Object<PodSpec>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CronJob {
    job_template: Object<Workload>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tests {
    #[serde(rename = "apiVersion")]
    _version: Option<String>,
    #[serde(rename = "kind")]
    _kind: Option<String>,
    tests: Vec<Test>,
}

impl Folder {
    /// Tells what the policies name and may not; those that do are no more among them.
    pub fn review(&mut self, cluster: &str, catalogue: &Catalogue) {
        let Self { snapshot, policies, places, problems, .. } = self;
        policies.retain(|policy| {
            let labels = snapshot.namespaces.get(&policy.namespace).cloned().unwrap_or_default();
            let found = catalogue.review(cluster, &labels, policy);
            let place = places.get(&policy.full_name()).map_or("", String::as_str);
            problems.extend(found.iter().map(|problem| format!("{place}: {problem}")));
            found.is_empty()
        });
    }
}

/// Reads a folder.
pub fn read(sources: &[Source]) -> Folder {
    let mut reader = Reader::default();
    for source in sources {
        let is_test = TEST_ENDINGS.iter().any(|ending| source.path.ends_with(ending));
        for (line, text) in documents(&source.text) {
            let place = format!("{}:{line}", source.path);
            if is_test { reader.tests(&place, &text) } else { reader.document(&place, &text) }
        }
    }
    reader.finish()
}

/// The documents of a file with the line that each begins in. Each is preceded by as many empty lines, so that the lines
/// that a parser tells are those of the file.
fn documents(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = vec![(1, String::new())];
    for (index, line) in text.lines().enumerate() {
        // A marker at the first column ends a document wherever it stands (YAML 1.2.2, 9.1.2).
        if line == "---" || line.starts_with("--- ") || line == "..." {
            found.push((index + 2, "\n".repeat(index + 1)));
        } else if let Some((_, document)) = found.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    let says_something =
        |text: &str| text.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    found.retain(|(_, document)| says_something(document));
    for (line, document) in &mut found {
        // The place of an object is its first line that says something.
        let first = document.lines().skip(*line - 1).take_while(|line| !says_something(line)).count();
        *line += first;
    }
    found
}

#[derive(Default)]
struct Reader {
    folder: Folder,
    written: BTreeMap<String, String>,
}

impl Reader {
    fn wrong(&mut self, place: &str, what: impl std::fmt::Display) {
        self.folder.problems.push(format!("{place}: {what}"));
    }

    fn parse<T: DeserializeOwned>(&mut self, place: &str, text: &str) -> Option<T> {
        match serde_saphyr::from_str(text) {
            Ok(read) => Some(read),
            Err(error) => {
                let told = error.to_string();
                self.wrong(place, told.lines().next().unwrap_or("cannot be read"));
                None
            }
        }
    }

    fn tests(&mut self, place: &str, text: &str) {
        let Some(read) = self.parse::<Tests>(place, text) else { return };
        for mut test in read.tests {
            test.place = place.to_owned();
            self.folder.tests.push(test);
        }
    }

    fn document(&mut self, place: &str, text: &str) {
        let Some(kind) = self.parse::<Kind>(place, text) else { return };
        if kind.kind == "List" || kind.kind.ends_with("List") {
            #[derive(Deserialize)]
            struct List {
                #[serde(default)]
                items: Vec<Value>,
            }
            let Some(list) = self.parse::<List>(place, text) else { return };
            for (index, item) in list.items.into_iter().enumerate() {
                self.document(&format!("{place} items[{index}]"), &item.to_string());
            }
            return;
        }
        match (kind.kind.as_str(), kind.version.as_str()) {
            ("NetworkPolicy", "networking.k8s.io/v1" | "") => self.policy(place, text),
            ("ClusterNetworkPolicy", CLUSTER_POLICY) => self.cluster_policy(place, text),
            ("Node", _) => self.node(place, text),
            ("Namespace", _) => {
                let Some(namespace) = self.parse::<Object<Value>>(place, text) else { return };
                let name = namespace.metadata.name;
                if self.is_new(place, "Namespace", &name) {
                    self.folder.snapshot.namespaces.insert(name, namespace.metadata.labels);
                }
            }
            ("Pod", _) => {
                let Some(pod) = self.parse::<Object<PodSpec>>(place, text) else { return };
                let (metadata, status) = (pod.metadata.clone(), pod.status.unwrap_or_default());
                self.pod(place, "Pod", &metadata, &pod.metadata.labels, pod.spec, &status);
            }
            ("Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" | "ReplicationController", _) => {
                let Some(object) = self.parse::<Object<Workload>>(place, text) else { return };
                self.workload(place, &kind.kind, &object.metadata, object.spec);
            }
            ("CronJob", _) => {
                let Some(object) = self.parse::<Object<CronJob>>(place, text) else { return };
                let workload = object.spec.and_then(|cron| cron.job_template.spec);
                self.workload(place, "CronJob", &object.metadata, workload);
            }
            ("NetworkPolicy", version) => {
                self.wrong(place, format!("`{version}` has no NetworkPolicy: `networking.k8s.io/v1` has"));
            }
            ("ClusterNetworkPolicy", version) => {
                self.wrong(place, format!("`{version}` has no ClusterNetworkPolicy: `{CLUSTER_POLICY}` has"));
            }
            ("AdminNetworkPolicy" | "BaselineAdminNetworkPolicy", _) => {
                self.wrong(
                    place,
                    format!("{}: is the kind of before: write a ClusterNetworkPolicy of `{CLUSTER_POLICY}`", kind.kind),
                );
            }
            ("", _) => self.wrong(place, "has no `kind`"),
            (other, _) => *self.folder.passed_over.entry(other.to_owned()).or_default() += 1,
        }
    }

    fn is_new(&mut self, place: &str, kind: &str, name: &str) -> bool {
        if name.is_empty() {
            self.wrong(place, format!("{kind}: metadata.name is missing"));
            return false;
        }
        let before = self.written.insert(format!("{kind} {name}"), place.to_owned());
        if let Some(before) = &before {
            self.wrong(place, format!("{kind} {name} is in {before} already"));
        }
        before.is_none()
    }

    fn policy(&mut self, place: &str, text: &str) {
        let Some(policy) = self.parse::<NetworkPolicy>(place, text) else { return };
        self.checked(place, check(&policy));
    }

    fn cluster_policy(&mut self, place: &str, text: &str) {
        let Some(policy) = self.parse::<ClusterNetworkPolicy>(place, text) else { return };
        // In a file, what closes a rule is a fault like any.
        let checked = check_cluster(&policy).and_then(|mut checked| match std::mem::take(&mut checked.closed) {
            closed if closed.is_empty() => Ok(checked),
            closed => Err(closed),
        });
        self.checked(place, checked);
    }

    fn checked(&mut self, place: &str, checked: Result<Checked, Vec<Problem>>) {
        match checked {
            Ok(checked) => {
                let name = checked.full_name();
                if self.is_new(place, &checked.kind().to_string(), &name) {
                    self.folder.places.insert(name, place.to_owned());
                    self.folder.policies.push(checked);
                }
            }
            Err(problems) => problems.iter().for_each(|problem| self.wrong(place, problem)),
        }
    }

    fn node(&mut self, place: &str, text: &str) {
        let Some(node) = self.parse::<NodeObject>(place, text) else { return };
        if !self.is_new(place, "Node", &node.metadata.name) {
            return;
        }
        let mut addresses = BTreeSet::new();
        // Names of hosts are among them.
        addresses.extend(node.status.addresses.iter().filter_map(|told| told.address.parse::<IpAddr>().ok()));
        self.folder.snapshot.nodes.push(Node { name: node.metadata.name, labels: node.metadata.labels, addresses });
    }

    fn workload(&mut self, place: &str, kind: &str, metadata: &Metadata, workload: Option<Workload>) {
        let Some(Workload { template }) = workload else {
            return self.wrong(place, format!("{kind} {}: spec.template is missing", metadata.name));
        };
        self.pod(place, kind, metadata, &template.metadata.labels, template.spec, &Status::default());
    }

    /// A pod, or one for all of a workload.
    fn pod(
        &mut self,
        place: &str,
        kind: &str,
        metadata: &Metadata,
        labels: &Labels,
        spec: Option<PodSpec>,
        status: &Status,
    ) {
        let namespace = namespace_of(metadata);
        let name = format!("{namespace}/{}", metadata.name);
        if !self.is_new(place, kind, &name) {
            return;
        }
        if let Some(other) = self.folder.snapshot.pods.iter().find(|pod| pod.full_name() == name) {
            let what = format!(
                "{kind} {name} has the name of another workload: tests could not tell `{}` apart",
                other.full_name()
            );
            return self.wrong(place, what);
        }
        let spec = spec.unwrap_or_default();
        let mut ports = Vec::new();
        for port in spec.containers.iter().chain(&spec.init_containers).flat_map(|container| &container.ports) {
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            match Protocol::read(protocol) {
                Some(protocol) if !port.name.is_empty() => {
                    ports.push(NamedPort { name: port.name.clone(), protocol, number: port.container_port });
                }
                Some(_) => {}
                None => self.wrong(place, format!("{kind} {name}: `{protocol}` is no protocol of a port")),
            }
        }
        let mut addresses = BTreeSet::new();
        let told = status.addresses.iter().map(|address| &address.ip).chain([&status.address]);
        for text in told.filter(|text| !text.is_empty()) {
            match text.parse::<IpAddr>() {
                Ok(address) => {
                    addresses.insert(address);
                }
                Err(_) => self.wrong(place, format!("{kind} {name}: status: `{text}` is no address")),
            }
        }
        self.folder.snapshot.pods.push(Pod {
            namespace: namespace.to_owned(),
            name: metadata.name.clone(),
            labels: labels.clone(),
            addresses,
            ports,
            host_network: spec.host_network,
            ended: matches!(status.phase.as_str(), "Succeeded" | "Failed"),
        });
    }

    fn finish(mut self) -> Folder {
        let snapshot = &mut self.folder.snapshot;
        let named = snapshot.pods.iter().map(|pod| pod.namespace.clone());
        let named: Vec<String> = named
            .chain(self.folder.policies.iter().map(|policy| policy.namespace.clone()).filter(|name| !name.is_empty()))
            .collect();
        for namespace in named {
            snapshot.namespaces.entry(namespace).or_default();
        }
        for (name, labels) in &mut snapshot.namespaces {
            labels.insert(NAME_LABEL.to_owned(), name.clone());
        }
        snapshot.pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        let taken: BTreeSet<IpAddr> = snapshot.pods.iter().flat_map(|pod| pod.addresses.iter().copied()).collect();
        let mut free =
            (u32::from(FIRST_ADDRESS)..).map(|bits| IpAddr::V4(bits.into())).filter(|address| !taken.contains(address));
        for pod in snapshot.pods.iter_mut().filter(|pod| pod.addresses.is_empty()) {
            pod.addresses.extend(free.next());
        }
        self.folder
    }
}

fn namespace_of(metadata: &Metadata) -> &str {
    if metadata.namespace.is_empty() { "default" } else { &metadata.namespace }
}
