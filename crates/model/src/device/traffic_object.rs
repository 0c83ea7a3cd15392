//! Traffic objects: which zones and router do packets out of a tunnel belong to?
//!
//! `k8s-cluster` and `vpc` are the vendor's. `gcp-nsi` and `azure-gwlb` are ours, named after the vendor's
//! commands `request plugins vm_series gcp nsi inspect` and `azure-gwlb-inspect`; so are `overlay-routing`,
//! which the vendor keeps outside of the configuration, `interface`, `cluster-cidr`, and the `vpce-id` `any`.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::context::{Context, NAME_LENGTH_MAX};
use super::interface::network_value;
use super::node::Node;
use super::value::interface_name;
use super::{DeviceConfig, InterfaceKind, Scope};
use crate::diagnostic::Origin;
use crate::{choices, codes};

/// UDP port of the CNI plugin's VXLAN.
pub const CLUSTER_PORT: u16 = 6080;
/// UDP port of GENEVE.
pub const GENEVE_PORT: u16 = 6081;
/// Cluster ids of the CNI plugin.
const CLUSTER_IDS: std::ops::RangeInclusive<u32> = 1..=2048;
/// Google Cloud's network ids have 28 bits.
const NETWORK_IDS: std::ops::RangeInclusive<u32> = 0..=0x0fff_ffff;
const VNIS: std::ops::RangeInclusive<u32> = 0..=0x00ff_ffff;
/// Microsoft's sample of a gateway load balancer's tunnel interfaces.
const AZURE_INTERNAL: (u16, u32) = (2000, 800);
const AZURE_EXTERNAL: (u16, u32) = (2001, 801);

/// What packets out of one tunnel belong to.
#[derive(Clone, Debug)]
pub struct TrafficObject {
    /// Name.
    pub name: String,
    /// Where it is written.
    pub origin: Origin,
    /// Which tunnel.
    pub kind: TrafficKind,
    /// The router that inner packets belong to.
    pub router: String,
    /// Zone they come from.
    pub zone_ingress: String,
    /// Zone they go to when they leave by the tunnel.
    pub zone_egress: String,
    /// Interfaces by which the tunnel may come in; empty for the router's Ethernet interfaces.
    pub interfaces: Vec<String>,
    /// Of a cluster: addresses of its services, pods and nodes, which its nodes know how to reach.
    pub within: Vec<IpNet>,
}

/// Which tunnel a traffic object is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrafficKind {
    /// VXLAN from the pods of a cluster.
    K8sCluster {
        /// Cluster id: the VXLAN network identifier.
        cluster_id: u32,
    },
    /// GENEVE from an AWS Gateway Load Balancer.
    Vpc {
        /// VPC endpoint; `None` for all that no other object names.
        endpoint: Option<u64>,
        /// Inner packets are routed; those that would leave by the tunnel's interface go back into it.
        overlay_routing: bool,
    },
    /// GENEVE from Google Cloud's in-band intercept.
    GcpNsi {
        /// Network of the intercepted instance; `None` for all that no other object names.
        network: Option<u32>,
        /// As for `Vpc`.
        overlay_routing: bool,
    },
    /// The VXLAN pair of an Azure gateway load balancer, each with UDP port and network identifier.
    AzureGwlb {
        /// The side of the protected machines.
        internal: (u16, u32),
        /// The side of their peers.
        external: (u16, u32),
    },
}

impl TrafficKind {
    /// `cluster-id 7`, `vpce-0a1b…`, as `show traffic-objects` prints it.
    pub fn describe(self) -> String {
        match self {
            Self::K8sCluster { cluster_id } => format!("cluster-id {cluster_id}"),
            Self::Vpc { endpoint: Some(endpoint), .. } => format!("vpce-0{endpoint:016x}"),
            Self::Vpc { endpoint: None, .. } => "any vpc endpoint".to_owned(),
            Self::GcpNsi { network: Some(network), .. } => format!("network-id {network}"),
            Self::GcpNsi { network: None, .. } => "any network".to_owned(),
            Self::AzureGwlb { internal, external } => {
                format!("vni {}/{} ports {}/{}", internal.1, external.1, internal.0, external.0)
            }
        }
    }
}

/// Reads the traffic objects of a vsys; zones, interfaces and routers are known by now.
pub(super) fn read(context: &mut Context, config: &mut DeviceConfig, vsys: &Node<'_>) {
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    for node in vsys.entries_at(&["traffic-object"]) {
        let Some(object) = object(context, config, &node) else { continue };
        for tunnel in tunnels(object.kind) {
            if let Some(other) = owners.insert(tunnel.clone(), object.name.clone()) {
                let message = format!("`{}` and `{other}` are both for {tunnel}", object.name);
                context.error(codes::DUPLICATE_TUNNEL, &node, message);
                context.help("remove one of the two, or give it another id");
            }
        }
        if context.scope == Scope::Device {
            warn_anywhere(context, config, &node, &object);
        }
        config.traffic_objects.push(object);
    }
}

fn object(context: &mut Context, config: &DeviceConfig, node: &Node<'_>) -> Option<TrafficObject> {
    let name = context.entry_name(node, NAME_LENGTH_MAX)?;
    let Some(choice) = context.choice(node, choices::TRAFFIC_OBJECT) else {
        context.error(codes::MISSING_MEMBER, node, format!("traffic object `{name}` says no tunnel"));
        context.help("write `k8s-cluster`, `vpc`, `gcp-nsi` or `azure-gwlb`");
        return None;
    };
    let kind = kind(context, &choice);
    let Some(network) = choice.child("network") else {
        context.error(codes::MISSING_MEMBER, &choice, format!("traffic object `{name}` has no `network`"));
        context.help("write a `logical-router` and a `zone-ingress` below `network`");
        return None;
    };
    context.choice(&network, choices::ANY_ROUTER);
    let router = router(context, config, &network);
    let ingress = zone(context, config, &network, "zone-ingress");
    if network.child("zone-ingress").is_none() {
        context.error(codes::MISSING_MEMBER, &network, format!("traffic object `{name}` has no `zone-ingress`"));
    }
    let egress = if network.child("zone-egress").is_some() {
        zone(context, config, &network, "zone-egress")
    } else {
        ingress.clone()
    };
    let interfaces = interfaces(context, config, &network);
    let within = within(context, config, &choice);
    Some(TrafficObject {
        name,
        origin: node.origin(),
        kind: kind?,
        router: router?,
        zone_ingress: ingress?,
        zone_egress: egress?,
        interfaces,
        within,
    })
}

fn within(context: &mut Context, config: &DeviceConfig, choice: &Node<'_>) -> Vec<IpNet> {
    let members = choice.child("cluster-cidr").map(|list| list.members().collect::<Vec<_>>()).unwrap_or_default();
    members.iter().filter_map(|member| network_value(context, config, member, &member.text())).collect()
}

fn kind(context: &mut Context, choice: &Node<'_>) -> Option<TrafficKind> {
    let overlay_routing = context.yes_no(choice, "overlay-routing").unwrap_or(false);
    match choice.tag() {
        "k8s-cluster" => {
            if choice.child("cluster-id").is_none() {
                context.error(codes::MISSING_MEMBER, choice, "a cluster without `cluster-id`");
                context.help("write the plugin's `clusterid`, a number from 1 to 2048");
            }
            Some(TrafficKind::K8sCluster { cluster_id: context.number(choice, "cluster-id", CLUSTER_IDS)? })
        }
        "vpc" => Some(TrafficKind::Vpc { endpoint: endpoint(context, choice)?, overlay_routing }),
        "gcp-nsi" => {
            let all = choice.child("network-id").is_none_or(|leaf| leaf.text() == "any");
            let network = if all { None } else { Some(context.number(choice, "network-id", NETWORK_IDS)?) };
            Some(TrafficKind::GcpNsi { network, overlay_routing })
        }
        _ => {
            let side = |context: &mut Context, name: &str, default: (u16, u32)| {
                let port = context.number(choice, &format!("{name}-port"), 1..=65535);
                let id = context.number(choice, &format!("{name}-id"), VNIS);
                (port.unwrap_or(default.0), id.unwrap_or(default.1))
            };
            let internal = side(context, "internal", AZURE_INTERNAL);
            let external = side(context, "external", AZURE_EXTERNAL);
            if [internal.0, external.0].contains(&GENEVE_PORT) {
                context.error(codes::INVALID_PORT, choice, format!("port {GENEVE_PORT} is GENEVE's"));
                context.help("use the ports of the load balancer's tunnel interfaces, e.g. 2000 and 2001");
            }
            Some(TrafficKind::AzureGwlb { internal, external })
        }
    }
}

/// The digits of a VPC endpoint id are its number; the first of seventeen is 0.
fn endpoint(context: &mut Context, choice: &Node<'_>) -> Option<Option<u64>> {
    let Some(leaf) = choice.child("vpce-id") else {
        context.error(codes::MISSING_MEMBER, choice, "a VPC without `vpce-id`");
        context.help("write the id of the load balancer's endpoint, or `any`");
        return None;
    };
    let text = leaf.text();
    if text == "any" {
        return Some(None);
    }
    if context.is_variable(&leaf, &text) {
        return None;
    }
    let digits = text.strip_prefix("vpce-0").filter(|digits| digits.len() == 16);
    let number = digits
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .and_then(|digits| u64::from_str_radix(digits, 16).ok());
    if number.is_none() {
        context.error(codes::INVALID_NAME, &leaf, format!("`{text}` is not the id of a VPC endpoint"));
        context.help("write `vpce-` and 17 hexadecimal digits of which the first is 0, or `any`");
    }
    Some(Some(number?))
}

fn router(context: &mut Context, config: &DeviceConfig, network: &Node<'_>) -> Option<String> {
    let tag = if network.child("logical-router").is_some() { "logical-router" } else { "virtual-router" };
    let Some(leaf) = network.child(tag) else {
        context.error(codes::MISSING_MEMBER, network, "no `logical-router` says where inner packets are routed");
        return None;
    };
    let name = context.text(network, tag)?;
    if context.scope == Scope::Device && config.router(&name).is_none() {
        let known = config.routers.iter().map(|router| router.name.as_str());
        let message = format!("no router `{name}` is configured");
        context.unknown(codes::UNKNOWN_ROUTER, &leaf, message, &name, known);
        return None;
    }
    Some(name)
}

fn zone(context: &mut Context, config: &DeviceConfig, network: &Node<'_>, tag: &str) -> Option<String> {
    let name = context.text(network, tag)?;
    if context.scope == Scope::Device
        && config.zone(&name).is_none()
        && let Some(leaf) = network.child(tag)
    {
        let known = config.zones.iter().map(|zone| zone.name.as_str());
        context.unknown(codes::UNKNOWN_ZONE, &leaf, format!("no zone `{name}` is configured"), &name, known);
        return None;
    }
    Some(name)
}

fn interfaces(context: &mut Context, config: &DeviceConfig, network: &Node<'_>) -> Vec<String> {
    let Some(list) = network.child("interface") else { return Vec::new() };
    let mut names = Vec::new();
    for member in list.members() {
        let text = member.text();
        let name = interface_name(&text);
        if context.is_variable(&member, &text) {
            continue;
        }
        let known = config.interface(&name).is_some_and(|interface| interface.kind != InterfaceKind::Loopback);
        if context.scope == Scope::Device && !known {
            let known = config.interfaces.iter().map(|interface| interface.name.as_str());
            let message = format!("no interface `{text}` by which a tunnel could come in is configured");
            context.unknown(codes::UNKNOWN_INTERFACE, &member, message, &name, known);
        }
        names.push(name);
    }
    names
}

/// How the tunnels of a kind are told apart.
fn tunnels(kind: TrafficKind) -> Vec<String> {
    let vxlan = |(port, vni): (u16, u32)| format!("VXLAN network {vni} on port {port}");
    match kind {
        TrafficKind::K8sCluster { cluster_id } => vec![vxlan((CLUSTER_PORT, cluster_id))],
        TrafficKind::AzureGwlb { internal, external } => vec![vxlan(internal), vxlan(external)],
        TrafficKind::Vpc { .. } | TrafficKind::GcpNsi { .. } => vec![kind.describe()],
    }
}

/// Whoever reaches an interface can put packets into a tunnel that is accepted there.
fn warn_anywhere(context: &mut Context, config: &DeviceConfig, node: &Node<'_>, object: &TrafficObject) {
    if !object.interfaces.is_empty() {
        return;
    }
    let Some(router) = config.router(&object.router) else { return };
    let ethernet = router
        .interfaces
        .iter()
        .filter(|name| config.interface(name).is_some_and(|interface| interface.kind != InterfaceKind::Loopback));
    let mut zones: Vec<_> = ethernet.filter_map(|name| config.zone_of(name)).map(|zone| &zone.name).collect();
    zones.sort();
    zones.dedup();
    if zones.len() > 1 {
        let message = format!(
            "traffic object `{}` accepts its tunnel by every interface of router `{}`, in {} zones",
            object.name,
            object.router,
            zones.len()
        );
        context.warning(codes::TUNNEL_ANYWHERE, node, message);
        context.help("name the interface the tunnel comes in by below `network/interface`");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::read;
    use crate::xml::parse;

    const AZURE: &str = include_str!("../../tests/fixtures/azure-firewall.xml");

    /// The reference configuration with these traffic objects; the codes of what is wrong, or the objects.
    fn with(objects: &str) -> Result<Vec<TrafficObject>, Vec<&'static str>> {
        assert_eq!(AZURE.matches("<rulebase>").count(), 1);
        let text = AZURE.replace("<rulebase>", &format!("<traffic-object>{objects}</traffic-object><rulebase>"));
        let report = read(&parse(&text).unwrap(), Scope::Device);
        let codes: Vec<_> = report.diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
        if codes.is_empty() { Ok(report.config.unwrap().traffic_objects.clone()) } else { Err(codes) }
    }

    fn entry(name: &str, tunnel: &str) -> String {
        let network = "<network><logical-router>vr-private</logical-router><zone-ingress>trust</zone-ingress>\
                       <zone-egress>untrust</zone-egress></network>";
        let close = tunnel.rfind("</").unwrap_or_default();
        let (settings, end) = tunnel.split_at(close);
        format!("<entry name='{name}'>{settings}{network}{end}</entry>")
    }

    #[test]
    fn the_four_tunnels_are_read_with_their_defaults() {
        let text = [
            entry("pods", "<k8s-cluster><cluster-id>7</cluster-id></k8s-cluster>"),
            entry("vpc", "<vpc><vpce-id>vpce-00a1b2c3d4e5f6071</vpce-id><overlay-routing>yes</overlay-routing></vpc>"),
            entry("rest", "<vpc><vpce-id>any</vpce-id></vpc>"),
            entry("gcp", "<gcp-nsi><network-id>4660</network-id></gcp-nsi>"),
            entry("gwlb", "<azure-gwlb><internal-port>10800</internal-port></azure-gwlb>"),
        ];
        let objects = with(&text.concat()).unwrap();
        let kinds: Vec<_> = objects.iter().map(|object| object.kind.describe()).collect();
        let expected = [
            "cluster-id 7",
            "vpce-00a1b2c3d4e5f6071",
            "any vpc endpoint",
            "network-id 4660",
            "vni 800/801 ports 10800/2001",
        ];
        assert_eq!(kinds, expected);
        assert!(matches!(objects[1].kind, TrafficKind::Vpc { overlay_routing: true, .. }));
        assert_eq!((objects[0].zone_ingress.as_str(), objects[0].zone_egress.as_str()), ("trust", "untrust"));
    }

    #[test]
    fn mistakes_are_named() {
        let code = |text: &str| with(text).unwrap_err();
        let cluster = "<k8s-cluster><cluster-id>7</cluster-id></k8s-cluster>";
        assert_eq!(code(&(entry("a", cluster) + &entry("b", cluster))), [codes::DUPLICATE_TUNNEL]);
        let too_high = cluster.replace('7', "2049");
        assert_eq!(code(&entry("a", &too_high)), [codes::INVALID_NUMBER]);
        assert_eq!(code(&entry("a", "<vpc><vpce-id>vpce-1234</vpce-id></vpc>")), [codes::INVALID_NAME]);
        assert_eq!(code(&entry("a", "<vpc></vpc>")), [codes::MISSING_MEMBER]);
        assert_eq!(
            code("<entry name='a'><k8s-cluster><cluster-id>7</cluster-id></k8s-cluster></entry>"),
            [codes::MISSING_MEMBER]
        );
        assert_eq!(code("<entry name='a'/>"), [codes::MISSING_MEMBER]);
        assert_eq!(code(&entry("a", cluster).replace("vr-private", "vr-privat")), [codes::UNKNOWN_ROUTER]);
        assert_eq!(code(&entry("a", cluster).replace("untrust", "untrusted")), [codes::UNKNOWN_ZONE]);
        let named =
            entry("a", cluster).replace("</network>", "<interface><member>ethernet1/9</member></interface></network>");
        assert_eq!(code(&named), [codes::UNKNOWN_INTERFACE]);
        let geneve = "<azure-gwlb><external-port>6081</external-port></azure-gwlb>";
        assert_eq!(code(&entry("a", geneve)), [codes::INVALID_PORT]);
    }

    #[test]
    fn a_tunnel_that_any_zone_could_forge_is_a_warning() {
        let network = "<interface><ethernet><entry name='ethernet1/1'><layer3><ip><entry name='10.0.1.4/24'/></ip>\
             </layer3></entry><entry name='ethernet1/2'><layer3><ip><entry name='10.0.2.4/24'/></ip></layer3></entry>\
             </ethernet></interface><logical-router><entry name='lr'><vrf><entry name='default'><interface>\
             <member>ethernet1/1</member><member>ethernet1/2</member></interface></entry></vrf></entry></logical-router>";
        let zone = |name: &str, member: &str| {
            format!("<entry name='{name}'><network><layer3><member>{member}</member></layer3></network></entry>")
        };
        let object = |interface: &str| {
            format!(
                "<config><devices><entry name='localhost.localdomain'><network>{network}</network><vsys>\
                 <entry name='vsys1'><zone>{}{}</zone><traffic-object><entry name='a'><k8s-cluster>\
                 <cluster-id>7</cluster-id><network><logical-router>lr</logical-router>\
                 <zone-ingress>in</zone-ingress>{interface}</network></k8s-cluster></entry></traffic-object>\
                 </entry></vsys></entry></devices></config>",
                zone("in", "ethernet1/1"),
                zone("out", "ethernet1/2")
            )
        };
        let codes = |text: String| {
            let report = read(&parse(&text).unwrap(), Scope::Device);
            report.diagnostics.iter().map(|diagnostic| diagnostic.code).collect::<Vec<_>>()
        };
        assert_eq!(codes(object("")), [codes::TUNNEL_ANYWHERE]);
        assert!(codes(object("<interface><member>ethernet1/1</member></interface>")).is_empty());
    }
}
