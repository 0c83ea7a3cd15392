//! Which tunnel do packets of a scenario come through, and how do they look on the wire?
//!
//! Built and read byte by byte; shares no code with the engine. The two sides of a scenario's traffic object
//! are interfaces like others, with numbers of their own.

use std::net::IpAddr;

use super::frames::{Body, Mac, Packet};
use super::generate::{host, interface_name};
use super::random::Random;

/// The interface that the tunnel comes in by.
pub(crate) const LOWER: usize = 9;
/// The side of the traffic object that packets come by, and the other one.
pub(crate) const INGRESS: usize = 20;
pub(crate) const EGRESS: usize = 21;
/// The one of a cluster by which packets come that are for the pod whose tunnel they come out of.
pub(crate) const HAIRPIN: usize = 22;

/// Name of the traffic object.
const NAME: &str = "t";

/// The inner stations of tunnels that carry Ethernet: who sends, and who is meant to receive.
pub(crate) const STATION: Mac = [2, 0, 0, 0, 0, 2];
const GATEWAY: Mac = [2, 0, 0, 0, 0, 1];
pub(crate) const PEER_MAC: Mac = [2, 0xdd, 0, 0, 0, 9];

const CLUSTER_PORT: u16 = 6080;
const GENEVE_PORT: u16 = 6081;
/// Ports and networks of Azure's pair: where packets come by the ingress side, and by the other.
const AZURE: [(u16, u32); 2] = [(10_801, 801), (10_800, 800)];
const CLUSTER_ID: u32 = 7;
const WITHIN: &str = "<cluster-cidr><member>172.16.1.0/24</member><member>fd01:0:0:1::/64</member></cluster-cidr>";
const NESTED_PORT: u16 = 33_000;

/// What is around the packets of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tunnel {
    pub(crate) kind: Kind,
    /// The outer addresses are of IPv6.
    pub(crate) v6: bool,
    /// Of a cluster: the hosts that are far behind the first interface are within it.
    pub(crate) within: bool,
}

/// Whose tunnel it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// VXLAN from pods, routed.
    Cluster,
    /// The same through AWS's load balancer.
    Nested,
    /// GENEVE from AWS or Google Cloud: everything goes back, or it is routed.
    Aws {
        overlay: bool,
    },
    Google {
        overlay: bool,
    },
    /// A pair of VXLAN networks: what comes by one goes back by the other.
    Azure,
}

/// What is chosen anew now and then of the headers around a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) peer: u8,
    /// The pod that the packet is for, if it comes out of that one's tunnel.
    pub(crate) pod: Option<IpAddr>,
    pub(crate) source_port: u16,
    /// What the load balancer knows a flow by; in GENEVE only.
    pub(crate) cookie: u32,
}

/// A packet that came out of the engine, without what was around it.
pub(crate) struct Unwrapped {
    /// The side it left by.
    pub(crate) side: usize,
    pub(crate) header: Header,
    /// Whom the inner frame is for, and the inner IP packet in a frame.
    pub(crate) frame: Vec<u8>,
}

impl Tunnel {
    /// A tunnel in some scenarios.
    pub(crate) fn some(random: &mut Random) -> Option<Self> {
        let overlay = random.percent(50);
        let kind = match random.below(6) {
            0 => Kind::Cluster,
            1 => Kind::Nested,
            2 | 3 => Kind::Aws { overlay },
            4 => Kind::Google { overlay },
            _ => Kind::Azure,
        };
        let tunnel = Self { kind, v6: random.percent(30), within: random.percent(50) };
        random.percent(60).then_some(tunnel)
    }

    /// The traffic object as it is configured.
    pub(crate) fn object(self, router: usize, [ingress, egress]: [usize; 2]) -> String {
        let network = format!(
            "<network><virtual-router>vr{router}</virtual-router><zone-ingress>z{ingress}</zone-ingress>\
             <zone-egress>z{egress}</zone-egress><interface><member>{}</member></interface></network>",
            interface_name(LOWER)
        );
        let overlay = |yes| if yes { "<overlay-routing>yes</overlay-routing>" } else { "" };
        let tunnel = match self.kind {
            Kind::Cluster | Kind::Nested => {
                let within = if self.within { WITHIN } else { "" };
                format!("<k8s-cluster><cluster-id>{CLUSTER_ID}</cluster-id>{within}{network}</k8s-cluster>")
            }
            Kind::Aws { overlay: routed } => format!("<vpc><vpce-id>any</vpce-id>{}{network}</vpc>", overlay(routed)),
            Kind::Google { overlay: routed } => format!("<gcp-nsi>{}{network}</gcp-nsi>", overlay(routed)),
            Kind::Azure => {
                let [external, internal] = AZURE.map(|(port, _)| port);
                format!(
                    "<azure-gwlb><internal-port>{internal}</internal-port><external-port>{external}</external-port>\
                     {network}</azure-gwlb>"
                )
            }
        };
        format!("<traffic-object><entry name='{NAME}'>{tunnel}</entry></traffic-object>")
    }

    /// The side by which packets come that would come by this one: only Azure's sides look different.
    pub(crate) fn side(self, interface: usize) -> usize {
        if interface == EGRESS && self.kind != Kind::Azure { INGRESS } else { interface }
    }

    /// Headers of a new flow.
    pub(crate) fn header(self, random: &mut Random) -> Header {
        let geneve = !matches!(self.kind, Kind::Cluster | Kind::Azure);
        let cookie = if geneve { random.next() as u32 } else { 0 };
        Header { peer: 20 + random.below(3) as u8, pod: None, source_port: 50_000 + random.below(4) as u16, cookie }
    }

    /// Whether a pod of a family can be behind it.
    pub(crate) fn has_pods(self, v6: bool) -> bool {
        match self.kind {
            Kind::Cluster => self.v6 == v6,
            Kind::Nested => true,
            Kind::Aws { .. } | Kind::Google { .. } | Kind::Azure => false,
        }
    }

    /// Headers of a packet that comes out of the tunnel of the pod it is for.
    pub(crate) fn of_pod(self, header: Header, pod: IpAddr) -> Header {
        Header { peer: if self.is_bare() { 0 } else { header.peer }, pod: Some(pod), ..header }
    }

    /// No load balancer's headers are around the pods'.
    pub(crate) fn is_bare(self) -> bool {
        self.kind == Kind::Cluster
    }

    /// The firewall's end of it.
    pub(crate) fn own(self) -> IpAddr {
        self.end(1)
    }

    /// How much longer than the inner packet the outer one is.
    pub(crate) fn overhead(self, header: Header) -> usize {
        let vxlan = 8 + 14;
        let nested = if header.pod.is_some_and(|pod| pod.is_ipv6()) { 40 } else { 20 };
        let ip = if self.v6 { 40 } else { 20 };
        ip + 8
            + match self.kind {
                Kind::Cluster | Kind::Azure => vxlan,
                Kind::Aws { .. } => 8 + 12 + 12 + 8,
                Kind::Google { .. } => 8 + 12 + 8 + 16,
                Kind::Nested => 8 + 12 + 12 + 8 + nested + 8 + vxlan,
            }
    }

    /// Whom an inner frame is for that only passes, behind the headers it came with.
    pub(crate) fn passes_to(self, header: Option<Header>) -> Mac {
        let to_pod = header.is_some_and(|header| header.pod.is_some());
        match self.kind {
            Kind::Azure => GATEWAY,
            Kind::Cluster | Kind::Nested if !to_pod => GATEWAY,
            Kind::Cluster | Kind::Nested | Kind::Aws { .. } | Kind::Google { .. } => STATION,
        }
    }

    /// The packet that carries an inner frame by one side.
    pub(crate) fn wrap(self, side: usize, header: Header, inner: &[u8]) -> Packet {
        let kind = u16::from_be_bytes([inner[12], inner[13]]);
        // What a pod gets was for its station already.
        let stations = if header.pod.is_some() { [&STATION, &GATEWAY] } else { [&GATEWAY, &STATION] };
        let ethernet = [stations[0], stations[1], &inner[12..]].concat();
        let payload = match self.kind {
            Kind::Cluster | Kind::Azure => [&vxlan(self.network(side).1)[..], &ethernet].concat(),
            Kind::Aws { .. } | Kind::Google { .. } => [&self.geneve(header, kind)[..], &inner[14..]].concat(),
            Kind::Nested => {
                let ends = nested_ends(header.pod);
                let nested = udp(ends, [NESTED_PORT, CLUSTER_PORT], [&vxlan(CLUSTER_ID), &ethernet[..]]);
                let kind = if ends[0].is_ipv4() { 0x0800 } else { 0x86dd };
                [&self.geneve(header, kind)[..], &nested.bytes()].concat()
            }
        };
        let peer = header.pod.filter(|_| self.is_bare()).unwrap_or_else(|| self.end(header.peer));
        let ends = [peer, self.end(1)];
        udp(ends, [header.source_port, self.network(side).0], [&payload, &[]])
    }

    /// What is in a frame that left, if it is one of the tunnel's.
    ///
    /// # Errors
    /// What of it is not as it has to be.
    pub(crate) fn unwrap(self, bytes: &[u8]) -> Result<Option<Unwrapped>, String> {
        let mut sides = [INGRESS, EGRESS].into_iter();
        let outer = match Packet::read(&bytes[14..]) {
            Ok(outer) if outer.source == self.end(1) => outer,
            _ => return Ok(None),
        };
        let Body::Udp { source, destination, summed } = outer.body else { return Ok(None) };
        let Some(side) = sides.find(|side| self.network(*side).0 == destination) else { return Ok(None) };
        if bytes[..6] != PEER_MAC || summed != self.v6 {
            return Err(format!("a tunnel packet to {:02x?}, summed: {summed}", &bytes[..6]));
        }
        let known = (20..=22).find(|peer| self.end(*peer) == outer.destination);
        let pod = Some(outer.destination).filter(|_| known.is_none() && self.is_bare());
        let peer = known.or(pod.map(|_| 0)).ok_or_else(|| format!("a tunnel packet to {}", outer.destination))?;
        let mut header = Header { peer, pod, source_port: source, cookie: 0 };
        let payload = &outer.payload[..];
        let short = || format!("a tunnel packet with {} bytes", payload.len());
        let frame = match self.kind {
            Kind::Cluster | Kind::Azure => after(payload, &vxlan(self.network(side).1))?.to_vec(),
            Kind::Aws { .. } | Kind::Google { .. } | Kind::Nested => {
                let at = if matches!(self.kind, Kind::Google { .. }) { 8 + 12 + 4 } else { 8 + 4 };
                let cookie = payload.get(at..at + 4).ok_or_else(short)?;
                header.cookie = u32::from_be_bytes(cookie.try_into().map_err(|_| short())?);
                let kind = u16::from_be_bytes([payload[2], payload[3]]);
                let inside = after(payload, &self.geneve(header, kind))?;
                if self.kind == Kind::Nested {
                    let (pod, frame) = nested(inside)?;
                    header.pod = pod;
                    frame
                } else {
                    ethernet(kind, inside)
                }
            }
        };
        let stations = [[GATEWAY, STATION].concat(), [STATION, GATEWAY].concat()];
        let kind = if frame.get(14).ok_or_else(short)? >> 4 == 4 { [8, 0] } else { [0x86, 0xdd] };
        if frame[12..14] != kind || !stations.iter().any(|both| *both == frame[..12]) {
            return Err(format!("the inner Ethernet header is {:02x?}", &frame[..14]));
        }
        Ok(Some(Unwrapped { side, header, frame }))
    }

    /// UDP port and VXLAN network of a side.
    fn network(self, side: usize) -> (u16, u32) {
        match self.kind {
            Kind::Cluster => (CLUSTER_PORT, CLUSTER_ID),
            Kind::Nested | Kind::Aws { .. } | Kind::Google { .. } => (GENEVE_PORT, 0),
            Kind::Azure => AZURE[usize::from(side == EGRESS)],
        }
    }

    /// An address on the network of the interface that the tunnel comes in by.
    fn end(self, number: u8) -> IpAddr {
        host(LOWER, false, number.into(), self.v6)
    }

    fn geneve(self, header: Header, kind: u16) -> Vec<u8> {
        let cookie = header.cookie.to_be_bytes();
        let options: [(u16, u8, &[u8]); 3] = match self.kind {
            Kind::Google { .. } => [(0x0132, 3, &[3; 8]), (0x0132, 1, &cookie), (0x0132, 2, &[1; 12])],
            _ => [(0x0108, 3, &cookie), (0x0108, 1, &[3; 8]), (0x0108, 2, &[1; 8])],
        };
        let mut bytes = Vec::new();
        for (class, option, data) in options {
            bytes.extend(class.to_be_bytes());
            bytes.extend([option, data.len() as u8 / 4]);
            bytes.extend(data);
        }
        let mut header = vec![bytes.len() as u8 / 4, 0];
        header.extend(kind.to_be_bytes());
        header.extend([0; 4]);
        [header, bytes].concat()
    }
}

/// The innermost frame of what the load balancer carries for a pod, and the pod if its headers name one.
fn nested(inside: &[u8]) -> Result<(Option<IpAddr>, Vec<u8>), String> {
    let packet = Packet::read(inside)?;
    let pod = Some(packet.destination).filter(|pod| *pod != nested_ends(None)[0]);
    let [_, balancer] = nested_ends(pod);
    let answer = Body::Udp { source: CLUSTER_PORT, destination: NESTED_PORT, summed: packet.source.is_ipv6() };
    if packet.source != balancer || packet.body != answer {
        return Err(format!("{packet:?} inside of the tunnel"));
    }
    Ok((pod, after(&packet.payload, &vxlan(CLUSTER_ID))?.to_vec()))
}

fn after<'b>(bytes: &'b [u8], header: &[u8]) -> Result<&'b [u8], String> {
    bytes.strip_prefix(header).ok_or_else(|| {
        format!("the tunnel header is {:02x?}, not {header:02x?}", &bytes[..bytes.len().min(header.len())])
    })
}

fn vxlan(network: u32) -> [u8; 8] {
    let [_, a, b, c] = network.to_be_bytes();
    [8, 0, 0, 0, a, b, c, 0]
}

fn ethernet(kind: u16, packet: &[u8]) -> Vec<u8> {
    [&STATION[..], &GATEWAY, &kind.to_be_bytes(), packet].concat()
}

/// A pod, or some one, and the load balancer's endpoint.
fn nested_ends(pod: Option<IpAddr>) -> [IpAddr; 2] {
    let pod = pod.unwrap_or([10, 200, 0, 7].into());
    let balancer = if pod.is_ipv4() { [10, 200, 9, 9].into() } else { [0xfd00, 0, 0, 200, 0, 0, 0, 9].into() };
    [pod, balancer]
}

fn udp([source, destination]: [IpAddr; 2], ports: [u16; 2], payload: [&[u8]; 2]) -> Packet {
    let body = Body::Udp { source: ports[0], destination: ports[1], summed: source.is_ipv6() };
    let payload = payload.concat();
    Packet { source, destination, ttl: 33, class: 0, fragmentable: false, body, mss: 0, payload }
}
