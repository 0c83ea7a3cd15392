//! What of an object of the cluster has to do with tags and rules?
//!
//! Objects are read into these at the door; the rest of them is let go.

use std::net::IpAddr;
use std::sync::Arc;

use bartizan_playbook::Protocol;
use bartizan_playbook::cluster::NamedPort;
use k8s_openapi::api::core::v1;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{DynamicObject, ObjectMeta};
use serde::Deserialize;
use serde_json::Value;

use crate::labels::Labels;
use crate::tags::Workload;

/// Sends the pods of a namespace, or a pod, through a firewall.
const FIREWALL: &str = "paloaltonetworks.com/firewall";
/// Addresses of all interfaces of a pod, written by Multus.
const NETWORK_STATUS: &str = "k8s.v1.cni.cncf.io/network-status";
/// Names the service of an endpoint slice.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// What kind of object it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A pod.
    Pod,
    /// A service.
    Service,
    /// A part of a service's endpoints.
    Slice,
    /// A node.
    Node,
    /// A namespace.
    Namespace,
    /// A NetworkPolicy.
    Policy,
    /// A ClusterNetworkPolicy.
    ClusterPolicy,
}

impl Kind {
    /// Those that the tags of addresses depend on.
    pub const OF_TAGS: [Self; 5] = [Self::Pod, Self::Service, Self::Slice, Self::Node, Self::Namespace];

    /// In the plural, as the API has it.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Pod => "pods",
            Self::Service => "services",
            Self::Slice => "endpointslices",
            Self::Node => "nodes",
            Self::Namespace => "namespaces",
            Self::Policy => "networkpolicies",
            Self::ClusterPolicy => "clusternetworkpolicies",
        }
    }
}

/// Which object it is; nodes, namespaces and ClusterNetworkPolicies are in no namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// An object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A pod.
    Pod(Pod),
    /// A service.
    Service(Service),
    /// A part of a service's endpoints.
    Slice(Slice),
    /// A node.
    Node(Node),
    /// A namespace.
    Namespace(Namespace),
    /// A policy of either kind, as it was written.
    Policy(Arc<Value>),
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its addresses; none when it has ended, or uses those of its node.
    pub addresses: Vec<IpAddr>,
    /// Addresses of its further interfaces.
    pub interfaces: Vec<(String, IpAddr)>,
    /// Its labels.
    pub labels: Labels,
    /// What it belongs to.
    pub owner: Option<(Workload, String)>,
    /// Its named ports, of all containers.
    pub ports: Vec<NamedPort>,
    /// It is in the cluster's own network, and has not ended.
    pub in_cluster: bool,
}

/// A service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Its addresses within the cluster.
    pub addresses: Vec<IpAddr>,
    /// Its addresses outside of it.
    pub external: Vec<IpAddr>,
    /// Its labels.
    pub labels: Labels,
    /// Its ports; of one that is only another name, none.
    pub ports: Vec<ServicePort>,
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name; of the only one it may be empty.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number at the service's address.
    pub number: u16,
    /// Where it leads at the pods behind.
    pub target: Behind,
    /// Its number at the nodes.
    pub node: Option<u16>,
}

/// A port of the pods behind a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behind {
    /// That number.
    Number(u16),
    /// Each pod's port of some name; endpoint slices have the numbers.
    Name,
}

/// A port of endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    /// Name of the service's port.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
    pub number: u16,
}

/// A part of a service's endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// Name of the service.
    pub service: String,
    /// Addresses, and the pod that has it.
    pub endpoints: Vec<(IpAddr, Option<String>)>,
    /// Their ports.
    pub ports: Vec<SlicePort>,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its addresses.
    pub internal: Vec<IpAddr>,
    /// Its addresses outside of the cluster's network.
    pub external: Vec<IpAddr>,
    /// Its labels.
    pub labels: Labels,
}

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Whether its annotation sends its pods through a firewall.
    pub is_protected: bool,
    /// Its labels.
    pub labels: Labels,
}

/// What the interface of a pod says of itself.
#[derive(Deserialize)]
struct Interface {
    #[serde(default)]
    interface: String,
    #[serde(default)]
    ips: Vec<String>,
    #[serde(default)]
    default: bool,
}

/// What is read of an endpoint slice of any version.
#[derive(Deserialize)]
struct RawSlice {
    #[serde(default)]
    endpoints: Option<Vec<RawEndpoint>>,
    #[serde(default)]
    ports: Option<Vec<RawPort>>,
}

#[derive(Deserialize)]
struct RawPort {
    name: Option<String>,
    protocol: Option<String>,
    port: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEndpoint {
    #[serde(default)]
    addresses: Vec<String>,
    target_ref: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    name: String,
}

/// Reads an object of the API.
pub trait Read {
    /// What of it matters.
    fn read(self) -> Object;
}

impl Read for v1::Pod {
    fn read(self) -> Object {
        let owner = self.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        let owner = owner.and_then(|owner| Some((Workload::of_kind(&owner.kind)?, owner.name.clone())));
        let labels = self.metadata.labels.clone().unwrap_or_default();
        let on_host = self.spec.as_ref().and_then(|spec| spec.host_network) == Some(true);
        let status = self.status.unwrap_or_default();
        let has_ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        let ports = self.spec.as_ref().map(named_ports).unwrap_or_default();
        if on_host || has_ended {
            return Object::Pod(Pod { labels, owner, ports, ..Pod::default() });
        }
        let all = status.pod_ips.iter().flatten().map(|one| one.ip.as_str()).chain(status.pod_ip.as_deref());
        let mut addresses: Vec<IpAddr> = all.filter_map(|ip| ip.parse().ok()).collect();
        addresses.sort();
        addresses.dedup();
        let interfaces = interfaces(&self.metadata);
        Object::Pod(Pod { addresses, interfaces, labels, owner, ports, in_cluster: true })
    }
}

fn named_ports(spec: &v1::PodSpec) -> Vec<NamedPort> {
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    let named = ports.filter_map(|port| {
        let name = port.name.clone().filter(|name| !name.is_empty())?;
        let protocol = protocol(port.protocol.as_deref())?;
        Some(NamedPort { name, protocol, number: u16::try_from(port.container_port).ok()? })
    });
    named.collect()
}

fn interfaces(metadata: &ObjectMeta) -> Vec<(String, IpAddr)> {
    let text = metadata.annotations.as_ref().and_then(|all| all.get(NETWORK_STATUS));
    let told: Vec<Interface> = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let further = told.into_iter().filter(|one| !one.default && !one.interface.is_empty());
    let addresses = further.flat_map(|one| {
        let name = one.interface;
        one.ips.into_iter().filter_map(move |ip| Some((name.clone(), ip.parse().ok()?)))
    });
    addresses.collect()
}

impl Read for v1::Service {
    fn read(self) -> Object {
        let labels = self.metadata.labels.unwrap_or_default();
        let mut spec = self.spec.unwrap_or_default();
        let ports = service_ports(&mut spec);
        // A service without an address of its own says `None`.
        let own = spec.cluster_ips.unwrap_or_default().into_iter().chain(spec.cluster_ip);
        let balancer = self.status.and_then(|status| status.load_balancer).and_then(|balancer| balancer.ingress);
        let ingress = balancer.unwrap_or_default().into_iter().filter_map(|one| one.ip);
        let external = spec.external_ips.unwrap_or_default().into_iter().chain(ingress);
        Object::Service(Service { addresses: parsed(own), external: parsed(external), labels, ports })
    }
}

fn service_ports(spec: &mut v1::ServiceSpec) -> Vec<ServicePort> {
    if spec.type_.as_deref() == Some("ExternalName") {
        return Vec::new();
    }
    let port = |port: v1::ServicePort| {
        let number = u16::try_from(port.port).ok()?;
        let target = match port.target_port {
            None => Behind::Number(number),
            // A zero, which the API server does not let through, would be no port.
            Some(IntOrString::Int(target)) => u16::try_from(target).map_or(Behind::Name, Behind::Number),
            Some(IntOrString::String(_)) => Behind::Name,
        };
        let node = port.node_port.and_then(|node| u16::try_from(node).ok()).filter(|node| *node > 0);
        let (name, protocol) = (port.name.unwrap_or_default(), protocol(port.protocol.as_deref())?);
        Some(ServicePort { name, protocol, number, target, node })
    };
    spec.ports.take().unwrap_or_default().into_iter().filter_map(port).collect()
}

impl Read for v1::Node {
    fn read(self) -> Object {
        let addresses = self.status.and_then(|status| status.addresses).unwrap_or_default();
        let of = |kind: &str| parsed(addresses.iter().filter(|one| one.type_ == kind).map(|one| one.address.clone()));
        let labels = self.metadata.labels.unwrap_or_default();
        Object::Node(Node { internal: of("InternalIP"), external: of("ExternalIP"), labels })
    }
}

impl Read for v1::Namespace {
    fn read(self) -> Object {
        let value = self.metadata.annotations.as_ref().and_then(|all| all.get(FIREWALL));
        let is_protected = value.is_some_and(|value| value.starts_with("pan-fw"));
        Object::Namespace(Namespace { is_protected, labels: self.metadata.labels.unwrap_or_default() })
    }
}

/// An endpoint slice, of whichever version the cluster has.
pub(crate) fn slice(object: DynamicObject) -> Object {
    let service = object.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_NAME)).cloned();
    let raw: RawSlice = serde_json::from_value(object.data).unwrap_or(RawSlice { endpoints: None, ports: None });
    let mut endpoints = Vec::new();
    for endpoint in raw.endpoints.unwrap_or_default() {
        let pod = endpoint.target_ref.filter(|target| target.kind == "Pod").map(|target| target.name);
        endpoints.extend(parsed(endpoint.addresses).into_iter().map(|address| (address, pod.clone())));
    }
    let port = |port: RawPort| {
        let (protocol, number) = (protocol(port.protocol.as_deref())?, u16::try_from(port.port?).ok()?);
        Some(SlicePort { name: port.name.unwrap_or_default(), protocol, number })
    };
    let ports = raw.ports.unwrap_or_default().into_iter().filter_map(port).collect();
    Object::Slice(Slice { service: service.unwrap_or_default(), endpoints, ports })
}

/// A protocol as Kubernetes spells it; TCP when it says none.
fn protocol(text: Option<&str>) -> Option<Protocol> {
    Protocol::read(text.unwrap_or("TCP"))
}

fn parsed(texts: impl IntoIterator<Item = String>) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = texts.into_iter().filter_map(|text| text.parse().ok()).collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;

    fn read<T: Read + DeserializeOwned>(value: Value) -> Object {
        serde_json::from_value::<T>(value).unwrap().read()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_pod_has_its_addresses_as_long_as_it_runs() {
        let pod = |phase: &str, on_host: bool| {
            json!({
                "metadata": {
                    "name": "web-1", "namespace": "shop", "labels": { "app": "web" },
                    "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": true }],
                    "annotations": { NETWORK_STATUS: "[{\"name\":\"cbr0\",\"interface\":\"eth0\",\"ips\":[\"10.0.0.1\"],\"default\":true},\
                        {\"name\":\"sriov\",\"interface\":\"net1\",\"ips\":[\"192.168.7.1\",\"x\"]}]" }
                },
                "spec": { "hostNetwork": on_host, "containers": [
                    { "name": "main", "ports": [{ "name": "http", "containerPort": 8080 }, { "containerPort": 9 }] },
                    { "name": "dns", "ports": [{ "name": "dns", "containerPort": 53, "protocol": "UDP" }] }] },
                "status": { "phase": phase, "podIP": "10.0.0.1", "podIPs": [{ "ip": "10.0.0.1" }, { "ip": "fd00::1" }] }
            })
        };
        let owner = Some((Workload::ReplicaSet, "web".to_owned()));
        let labels: Labels = [("app".to_owned(), "web".to_owned())].into();
        let port = |name: &str, protocol, number| NamedPort { name: name.to_owned(), protocol, number };
        let ports = vec![port("http", Protocol::Tcp, 8080), port("dns", Protocol::Udp, 53)];
        let running = Pod {
            addresses: vec![ip("10.0.0.1"), ip("fd00::1")],
            interfaces: vec![("net1".to_owned(), ip("192.168.7.1"))],
            labels: labels.clone(),
            owner: owner.clone(),
            ports: ports.clone(),
            in_cluster: true,
        };
        assert_eq!(read::<v1::Pod>(pod("Running", false)), Object::Pod(running));
        let ended = Object::Pod(Pod { labels, owner, ports, ..Pod::default() });
        for (phase, on_host) in [("Succeeded", false), ("Failed", false), ("Running", true)] {
            assert_eq!(read::<v1::Pod>(pod(phase, on_host)), ended);
        }
    }

    #[test]
    fn services_and_nodes_tell_what_is_inside_and_what_is_outside() {
        let service = json!({
            "metadata": { "name": "web", "namespace": "shop" },
            "spec": { "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"], "externalIPs": ["198.51.100.1"], "ports": [
                { "name": "web", "port": 80, "targetPort": "http", "nodePort": 30080 }, { "port": 53, "protocol": "UDP" },
                { "port": 81, "targetPort": 8081 }, { "port": 7, "protocol": "GRE" }] },
            "status": { "loadBalancer": { "ingress": [{ "ip": "203.0.113.5" }, { "hostname": "lb.example" }] } }
        });
        let port = |name: &str, protocol, number, target, node| ServicePort {
            name: name.to_owned(),
            protocol,
            number,
            target,
            node,
        };
        let expected = Service {
            ports: vec![
                port("web", Protocol::Tcp, 80, Behind::Name, Some(30080)),
                port("", Protocol::Udp, 53, Behind::Number(53), None),
                port("", Protocol::Tcp, 81, Behind::Number(8081), None),
            ],
            addresses: vec![ip("10.96.0.7")],
            external: vec![ip("198.51.100.1"), ip("203.0.113.5")],
            labels: Labels::new(),
        };
        assert_eq!(read::<v1::Service>(service), Object::Service(expected));
        let headless = json!({ "metadata": { "name": "db" }, "spec": { "clusterIP": "None", "clusterIPs": ["None"],
            "type": "ExternalName", "ports": [{ "port": 5432 }] } });
        assert_eq!(read::<v1::Service>(headless), Object::Service(Service::default()));
        let node = json!({ "metadata": { "name": "n1", "labels": { "pool": "a" } }, "status": { "addresses": [
            { "type": "InternalIP", "address": "192.0.2.1" }, { "type": "Hostname", "address": "n1" },
            { "type": "ExternalIP", "address": "203.0.113.9" } ] } });
        let labels: Labels = [("pool".to_owned(), "a".to_owned())].into();
        let expected = Node { internal: vec![ip("192.0.2.1")], external: vec![ip("203.0.113.9")], labels };
        assert_eq!(read::<v1::Node>(node), Object::Node(expected));
        for (value, is_protected) in [("pan-fw", true), ("none", false)] {
            let namespace = json!({ "metadata": { "name": "shop", "annotations": { FIREWALL: value }, "labels": { "team": "a" } } });
            let labels = [("team".to_owned(), "a".to_owned())].into();
            assert_eq!(read::<v1::Namespace>(namespace), Object::Namespace(Namespace { is_protected, labels }));
        }
    }

    #[test]
    fn slices_of_both_versions_are_read() {
        let old = json!({ "apiVersion": "discovery.k8s.io/v1beta1", "kind": "EndpointSlice",
            "metadata": { "name": "web-x", "namespace": "shop", "labels": { SERVICE_NAME: "web" } }, "addressType": "IPv4",
            "endpoints": [{ "addresses": ["10.0.0.1"], "topology": { "kubernetes.io/hostname": "n1" },
                "targetRef": { "kind": "Pod", "namespace": "shop", "name": "web-1" } }, { "addresses": ["192.0.2.8"] }],
            "ports": [{ "name": "web", "port": 8080, "protocol": "TCP" }, { "name": null, "port": null }] });
        let endpoints = vec![(ip("10.0.0.1"), Some("web-1".to_owned())), (ip("192.0.2.8"), None)];
        let ports = vec![SlicePort { name: "web".to_owned(), protocol: Protocol::Tcp, number: 8080 }];
        let expected = Object::Slice(Slice { service: "web".to_owned(), endpoints, ports });
        assert_eq!(slice(serde_json::from_value(old).unwrap()), expected);
        let empty = json!({ "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": { "name": "x" },
            "addressType": "IPv4", "endpoints": null });
        assert_eq!(slice(serde_json::from_value(empty).unwrap()), Object::Slice(Slice::default()));
    }
}
