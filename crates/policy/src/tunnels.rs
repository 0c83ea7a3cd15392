//! Which traffic object does a tunnel packet belong to, and where do the packets out of it go?
//!
//! A traffic object is two interfaces that are no ports: packets come out of the tunnel by the first and
//! leave into it by the second, so that zones, rules and logs need not know of tunnels. The two sides of an
//! Azure gateway load balancer are one object: what comes by one leaves by the other. A cluster has a third
//! interface, by which packets come that are on their way to a pod: its node handed them to the firewall first.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use bartizan_model::device::traffic_object::{CLUSTER_PORT, GENEVE_PORT};
use bartizan_model::device::{DeviceConfig, TrafficKind, TrafficObject};
use ipnet::IpNet;

use crate::names::Ids;
use crate::tables::{Compiled, IfaceId, Interface, Route, RouterId, ZoneId};

/// Realms from here on are traffic objects, below are routers.
pub const FIRST_REALM: u16 = 0x8000;
/// Traffic objects that can have an id of their own.
pub const OBJECTS_MAX: usize = 0x7ffe;

/// What the inner packets of a traffic object's interface do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Leave by the other interface, unrouted: the firewall is a wire.
    Wire,
    /// Are routed; what would leave by the interface of the tunnel leaves by the other one instead.
    Overlay,
    /// Are routed; what is for the cluster itself goes back into the tunnel.
    Routed,
    /// Leave by the other interface, into the tunnel of the pod that they came from and are for.
    Hairpin,
}

/// The tunnel behind an interface that is no port.
#[derive(Clone, Debug)]
pub struct Tunnel {
    /// Where its packets go.
    pub way: Way,
    /// The object's other interface.
    pub other: IfaceId,
    /// Of an interface whose packets come from pods: the one by which packets come that are for such a pod.
    pub hairpin: Option<IfaceId>,
    /// Of an interface whose packets come from pods: addresses within the cluster. Only the pod's own node knows where a
    /// service leads, and it may track connections: packets to them go back to it, by the pod.
    pub within: Arc<[IpNet]>,
    /// Within what its addresses are unique: sessions of two objects never meet.
    pub realm: u16,
    /// Ports by which the tunnel may come in.
    pub lower: Arc<[IfaceId]>,
    /// UDP port and VXLAN network of packets that leave by this interface, where they differ from those
    /// that came in.
    pub leaves_as: Option<(u16, u32)>,
}

/// A traffic object as `show traffic-objects` lists it.
#[derive(Clone, Debug)]
pub struct Object {
    /// Name.
    pub name: Arc<str>,
    /// `cluster-id 7`.
    pub tunnel: String,
    /// Where its packets come in.
    pub ingress: IfaceId,
    /// Where packets leave into it.
    pub egress: IfaceId,
    /// Where packets come by that are on their way to a pod.
    pub hairpin: Option<IfaceId>,
}

impl Object {
    /// All of its interfaces.
    pub fn sides(&self) -> impl Iterator<Item = IfaceId> + use<> {
        [Some(self.ingress), Some(self.egress), self.hairpin].into_iter().flatten()
    }
}

/// Why a tunnel packet belongs to no traffic object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unmapped {
    /// VXLAN network on this UDP port.
    Vni(u16, u32),
    /// AWS VPC endpoint.
    VpcEndpoint(u64),
    /// Google Cloud network.
    Network(u32),
    /// GENEVE that says neither.
    Unnamed,
}

/// All traffic objects.
#[derive(Clone, Debug, Default)]
pub struct Tunnels {
    objects: Vec<Object>,
    vxlan: BTreeMap<(u16, u32), IfaceId>,
    endpoints: BTreeMap<u64, IfaceId>,
    any_endpoint: Option<IfaceId>,
    networks: BTreeMap<u32, IfaceId>,
    any_network: Option<IfaceId>,
    ports: Vec<u16>,
    /// Some object is a cluster, so that GENEVE may carry its VXLAN.
    clusters: bool,
}

impl Tunnels {
    /// Whether packets to this UDP port of an own address are opened, and as what: `true` for GENEVE.
    #[inline]
    pub fn port(&self, port: u16) -> Option<bool> {
        self.ports.contains(&port).then_some(port == GENEVE_PORT)
    }

    /// Whether an inner packet to this UDP port is opened too.
    pub fn nests(&self, port: u16) -> bool {
        self.clusters && port == CLUSTER_PORT
    }

    /// The interface of a VXLAN network.
    ///
    /// # Errors
    /// When no traffic object is for it.
    #[inline]
    pub fn vxlan(&self, port: u16, vni: u32) -> Result<IfaceId, Unmapped> {
        self.vxlan.get(&(port, vni)).copied().ok_or(Unmapped::Vni(port, vni))
    }

    /// The interface of an AWS endpoint or a Google Cloud network, whichever GENEVE options named.
    ///
    /// # Errors
    /// When no traffic object is for it.
    #[inline]
    pub fn geneve(&self, endpoint: Option<u64>, network: Option<u32>) -> Result<IfaceId, Unmapped> {
        match (endpoint, network) {
            (Some(endpoint), _) => {
                self.endpoints.get(&endpoint).copied().or(self.any_endpoint).ok_or(Unmapped::VpcEndpoint(endpoint))
            }
            (None, Some(network)) => {
                self.networks.get(&network).copied().or(self.any_network).ok_or(Unmapped::Network(network))
            }
            (None, None) => Err(Unmapped::Unnamed),
        }
    }

    /// The objects, in the order of the configuration.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }
}

impl Compiled {
    /// The traffic objects of this generation.
    pub fn tunnels(&self) -> &Tunnels {
        &self.tunnels
    }
}

/// Where packets that came by an interface go, when the router says `route`: out of a tunnel not
/// necessarily there.
pub(crate) fn way(ingress: &Interface, router: RouterId, destination: IpAddr, route: impl Fn() -> Route) -> Route {
    let Some(tunnel) = &ingress.tunnel else { return route() };
    let back = Route::Via { iface: tunnel.other, next_hop: destination, router };
    match tunnel.way {
        Way::Wire | Way::Hairpin => back,
        Way::Routed if tunnel.within.iter().any(|range| range.contains(&destination)) => back,
        Way::Routed => route(),
        Way::Overlay => match route() {
            Route::Via { iface, .. } if tunnel.lower.contains(&iface) => back,
            route => route,
        },
    }
}

/// Names of an object's interfaces: ingress, egress, and the third one of a cluster.
pub(crate) fn interface_names(object: &TrafficObject) -> impl Iterator<Item = String> {
    let sides: &[&str] = match object.kind {
        TrafficKind::K8sCluster { .. } => &["ingress", "egress", "hairpin"],
        TrafficKind::Vpc { .. } | TrafficKind::GcpNsi { .. } | TrafficKind::AzureGwlb { .. } => &["ingress", "egress"],
    };
    sides.iter().map(|side| format!("{}.{side}", object.name))
}

/// Notes which clusters are behind the objects' interfaces; all names have their ids.
pub(crate) fn note_clusters(objects: &[TrafficObject], ids: &mut Ids) {
    for object in objects {
        let cluster = match object.kind {
            TrafficKind::K8sCluster { cluster_id } => Some(cluster_id),
            TrafficKind::Vpc { .. } | TrafficKind::GcpNsi { .. } | TrafficKind::AzureGwlb { .. } => None,
        };
        for name in interface_names(object) {
            let Some(id) = interface_id(ids, &name) else { continue };
            match cluster {
                Some(cluster) => ids.clusters.insert(id.index(), cluster),
                None => ids.clusters.remove(&id.index()),
            };
        }
    }
}

/// Adds the objects' interfaces to those of the configuration; all names have their ids.
pub(crate) fn compile(config: &DeviceConfig, ids: &Ids, interfaces: &mut [Option<Interface>]) -> Tunnels {
    let mut tunnels = Tunnels::default();
    for written in &config.traffic_objects {
        let mut sides = interface_names(written).map(|name| interface_id(ids, &name));
        let (Some(Some(ingress)), Some(Some(egress)), hairpin) = (sides.next(), sides.next(), sides.next().flatten())
        else {
            continue;
        };
        let Some(realm) = ids.traffic_objects.position(&written.name) else { continue };
        let router = ids.routers.position(&written.router).map(|at| RouterId(at as u16));
        let zone = |name: &str| ids.zones.position(name).map(|at| ZoneId(at as u16));
        let (way, leave_as) = match written.kind {
            TrafficKind::K8sCluster { .. } => (Way::Routed, [None; 2]),
            TrafficKind::Vpc { overlay_routing, .. } | TrafficKind::GcpNsi { overlay_routing, .. } => {
                (if overlay_routing { Way::Overlay } else { Way::Wire }, [None; 2])
            }
            TrafficKind::AzureGwlb { internal, external } => (Way::Wire, [Some(external), Some(internal)]),
        };
        let lower: Arc<[IfaceId]> = if written.interfaces.is_empty() {
            ethernet_of(interfaces, router)
        } else {
            written.interfaces.iter().filter_map(|name| interface_id(ids, name)).collect()
        };
        let within: Arc<[IpNet]> = written.within.iter().map(IpNet::trunc).collect();
        let none: Arc<[IpNet]> = Arc::default();
        let [leaves_in, leaves_out] = leave_as;
        let ends = [
            Some((ingress, way, egress, &written.zone_ingress, leaves_in, hairpin)),
            Some((egress, way, ingress, &written.zone_egress, leaves_out, None)),
            hairpin.map(|id| (id, Way::Hairpin, egress, &written.zone_ingress, None, None)),
        ];
        for (id, way, other, zone_name, leaves_as, hairpin) in ends.into_iter().flatten() {
            let realm = FIRST_REALM + realm as u16;
            let within = Arc::clone(if id == ingress { &within } else { &none });
            let tunnel = Tunnel { way, other, hairpin, within, realm, lower: Arc::clone(&lower), leaves_as };
            let interface = Interface {
                name: ids.interfaces.name(id.index()).into(),
                loopback: true,
                zone: zone(zone_name),
                router,
                tunnel: Some(tunnel),
                ..Interface::default()
            };
            if let Some(slot) = interfaces.get_mut(id.index()) {
                *slot = Some(interface);
            }
        }
        tunnels.add(written.kind, ingress, egress);
        tunnels.objects.push(Object {
            name: written.name.as_str().into(),
            tunnel: written.kind.describe(),
            ingress,
            egress,
            hairpin,
        });
    }
    tunnels
}

impl Tunnels {
    fn add(&mut self, kind: TrafficKind, ingress: IfaceId, egress: IfaceId) {
        match kind {
            TrafficKind::K8sCluster { cluster_id } => {
                self.vxlan.insert((CLUSTER_PORT, cluster_id), ingress);
                self.clusters = true;
                self.open(CLUSTER_PORT);
                self.open(GENEVE_PORT);
            }
            TrafficKind::Vpc { endpoint: Some(endpoint), .. } => {
                self.endpoints.insert(endpoint, ingress);
                self.open(GENEVE_PORT);
            }
            TrafficKind::Vpc { endpoint: None, .. } => {
                self.any_endpoint = Some(ingress);
                self.open(GENEVE_PORT);
            }
            TrafficKind::GcpNsi { network: Some(network), .. } => {
                self.networks.insert(network, ingress);
                self.open(GENEVE_PORT);
            }
            TrafficKind::GcpNsi { network: None, .. } => {
                self.any_network = Some(ingress);
                self.open(GENEVE_PORT);
            }
            TrafficKind::AzureGwlb { internal, external } => {
                self.vxlan.insert(external, ingress);
                self.vxlan.insert(internal, egress);
                self.open(internal.0);
                self.open(external.0);
            }
        }
    }

    fn open(&mut self, port: u16) {
        if !self.ports.contains(&port) {
            self.ports.push(port);
        }
    }
}

fn interface_id(ids: &Ids, name: &str) -> Option<IfaceId> {
    ids.interfaces.position(name).map(|at| IfaceId(at as u16))
}

fn ethernet_of(interfaces: &[Option<Interface>], router: Option<RouterId>) -> Arc<[IfaceId]> {
    let ports = interfaces.iter().enumerate().filter_map(|(at, slot)| Some((IfaceId(at as u16), slot.as_ref()?)));
    ports.filter(|(_, interface)| !interface.loopback && interface.router == router).map(|(id, _)| id).collect()
}
