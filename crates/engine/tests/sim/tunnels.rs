//! Is a packet out of a tunnel treated as one that came by an interface?
//!
//! Two engines of one seed in one world: the clients of the first are on `ethernet1/1`, those of the second
//! behind a tunnel that ends at `ethernet1/9`, whose traffic object has the zone and router of `ethernet1/1`.
//! Whatever leaves must be the same, what goes to the clients inside of the tunnel, behind a header that came
//! from there. The reference judges the first; this judges the second by the first.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use bartizan_engine::verdict::{DropReason, Port, Time, Verdict};
use bartizan_engine::{Engine, Settings};
use bartizan_model::device::{self, Scope};
use bartizan_model::xml;
use bartizan_packet::answer::{Link, ip_frame};
use bartizan_packet::ethernet;
use bartizan_packet::frame::{Frame, HEADROOM_BYTES, Meta};
use bartizan_packet::geneve::{self, AWS, GOOGLE};
use bartizan_packet::parse::{Packet as Parse, Parsed, UDP, parse, parse_as};
use bartizan_packet::tunnel::{Capsule, Carries, Encapsulation, checksum_is_right};
use bartizan_packet::vxlan::{self, Vni};
use bartizan_policy::compile::compile;
use bartizan_policy::facts::Facts;
use bartizan_policy::tables::{Compiled, Ids};

use super::frames::{Body, Mac, Packet, frame, join, neighbor_answer};
use super::generate::{Network, config, interface_name};
use super::random::Random;
use super::traffic::Conversation;

const SECOND: u64 = 1_000_000_000;
const EVENTS: usize = 60;
/// The interface the tunnel ends at.
const LOWER: usize = 9;
const PEER_MAC: Mac = [2, 0xdd, 0, 0, 0, 9];

/// How the clients' packets come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tunnel {
    /// From pods, over either family.
    Cluster {
        v6: bool,
    },
    /// From pods, through AWS's load balancer.
    Nested,
    /// Overlay routing.
    Aws,
    Google,
}

const TUNNELS: [Tunnel; 5] =
    [Tunnel::Cluster { v6: false }, Tunnel::Cluster { v6: true }, Tunnel::Nested, Tunnel::Aws, Tunnel::Google];

impl Tunnel {
    fn object(self, router: &str, zone: &str) -> String {
        let network = format!(
            "<network><virtual-router>{router}</virtual-router><zone-ingress>{zone}</zone-ingress>\
             <interface><member>ethernet1/{LOWER}</member></interface></network>"
        );
        let tunnel = match self {
            Self::Cluster { .. } | Self::Nested => {
                format!("<k8s-cluster><cluster-id>7</cluster-id>{network}</k8s-cluster>")
            }
            Self::Aws => {
                format!("<vpc><vpce-id>any</vpce-id><overlay-routing>yes</overlay-routing>{network}</vpc>")
            }
            Self::Google => format!("<gcp-nsi><overlay-routing>yes</overlay-routing>{network}</gcp-nsi>"),
        };
        format!("<traffic-object><entry name='t'>{tunnel}</entry></traffic-object>")
    }

    /// Whether answers may come by any way, so that odd packets find their session as they do without tunnel.
    fn is_routed(self) -> bool {
        matches!(self, Self::Cluster { .. } | Self::Nested)
    }

    fn outer(self) -> Encapsulation {
        match self {
            Self::Cluster { .. } => Encapsulation::Vxlan,
            Self::Nested | Self::Aws | Self::Google => Encapsulation::Geneve,
        }
    }

    /// The tunnel header of a conversation, and the frame of a packet in it.
    fn wrap(self, conversation: usize, packet: &[u8], kind: u16) -> (Vec<u8>, Vec<u8>) {
        let vxlan = [vxlan::header(Vni::new(7).expect("24 bits")).as_slice(), &ether(kind, packet)].concat();
        let cookie = (conversation as u32).to_be_bytes();
        let options: [(u16, u8, &[u8]); 3] = match self {
            Self::Google => [(GOOGLE, 3, &[3; 8]), (GOOGLE, 1, &cookie), (GOOGLE, 2, &[1; 12])],
            _ => [(AWS, 3, &cookie), (AWS, 1, &[3; 8]), (AWS, 2, &[1; 8])],
        };
        let geneve = |kind| geneve::header(kind, Vni::default(), &options).expect("short options");
        let (header, payload) = match self {
            Self::Cluster { .. } => (vxlan[..8].to_vec(), vxlan),
            Self::Aws | Self::Google => (geneve(kind), [geneve(kind), packet.to_vec()].concat()),
            Self::Nested => {
                let nested = udp(("10.200.0.7", "10.200.9.9"), (6000, 6080), &vxlan);
                (geneve(ethernet::IPV4), [geneve(ethernet::IPV4), nested[14..].to_vec()].concat())
            }
        };
        let port = if matches!(self, Self::Cluster { .. }) { 6080 } else { 6081 };
        let ends = match self {
            Self::Cluster { v6: true } => ("fd09::9", "fd09::1"),
            _ => ("192.168.9.9", "192.168.9.1"),
        };
        (header, udp(ends, (5000 + conversation as u16, port), &payload))
    }
}

fn ether(kind: u16, packet: &[u8]) -> Vec<u8> {
    let mut bytes = ethernet::frame([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], kind, packet.len());
    bytes.extend_from_slice(packet);
    bytes
}

fn udp((source, destination): (&str, &str), ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let (source, destination): (IpAddr, IpAddr) =
        (source.parse().expect("an address"), destination.parse().expect("an address"));
    let length = (8 + payload.len()) as u16;
    let mut message = [ports.0, ports.1, length, 0].map(u16::to_be_bytes).concat();
    message.extend_from_slice(payload);
    let sum = bartizan_packet::checksum::transport(source, destination, UDP, &message);
    message[6..8].copy_from_slice(&sum.max(1).to_be_bytes());
    if sum == 0 {
        message[6..8].fill(0xff);
    }
    let link = Link { source: PEER_MAC, destination: own_mac(LOWER) };
    ip_frame(link, source, destination, UDP, 33, &message)
}

fn own_mac(interface: usize) -> Mac {
    [2, 0xee, 0, 0, 0, interface as u8]
}

/// The MAC of whoever has an address.
fn mac(ip: IpAddr) -> Mac {
    match ip {
        IpAddr::V4(ip) => [&[2], ip.octets().as_slice(), &[4]].concat().try_into().expect("six bytes"),
        IpAddr::V6(ip) => [&[6], &ip.octets()[11..]].concat().try_into().expect("six bytes"),
    }
}

/// An engine and what left it.
struct Twin {
    engine: Engine,
    tables: Arc<Compiled>,
    /// Tunnel headers and ports that came in.
    headers: BTreeSet<(Vec<u8>, (u16, u16))>,
}

impl Twin {
    fn new(text: &str, seed: u64, network: &Network) -> Option<Self> {
        let config = device::read(&xml::parse(text).expect("XML"), Scope::Device).config?;
        let tables = Arc::new(compile(&config, &Facts::default(), &mut Ids::default(), 1).ok()?);
        let mut engine = Engine::new(Settings { sessions_max: 4096, seed, ..Settings::default() });
        for at in (1..=network.interfaces).chain([LOWER]) {
            engine.attach(Port::Data(tables.interface_id(&interface_name(at))?), own_mac(at));
        }
        engine.install(Arc::clone(&tables), Time(10 * SECOND));
        Some(Self { engine, tables, headers: BTreeSet::new() })
    }

    /// One frame in; the verdict, and whatever left.
    fn handle(
        &mut self,
        interface: usize,
        bytes: &[u8],
        tunnel: Option<Tunnel>,
        now: Time,
    ) -> (Verdict, Vec<String>, Option<(String, Packet)>) {
        let id = self.tables.interface_id(&interface_name(interface)).expect("a configured interface");
        let mut buffer = vec![0xee; HEADROOM_BYTES];
        buffer.extend_from_slice(bytes);
        let mut frame = Frame { bytes: &mut buffer, meta: Meta { headroom: HEADROOM_BYTES as u16, ..Meta::default() } };
        let verdict = self.engine.handle_frame(Port::Data(id), &mut frame, now);
        let start = usize::from(frame.meta.headroom);
        let first = match verdict {
            Verdict::Transmit(port) => Some((port, buffer.split_off(start))),
            _ => None,
        };
        let left = self.drain(first, tunnel, now);
        let lines = left.iter().map(|(interface, packet)| format!("{interface} {packet:?}")).collect();
        (verdict, lines, left.into_iter().next())
    }

    fn drain(&mut self, first: Option<(Port, Vec<u8>)>, tunnel: Option<Tunnel>, now: Time) -> Vec<(String, Packet)> {
        let mut frames: Vec<_> = first.into_iter().collect();
        while let Some(transmit) = self.engine.poll_transmit() {
            match neighbor_answer(&transmit.bytes, mac) {
                Some((_, mut answer)) => {
                    let _ = self.engine.handle_frame(transmit.port, &mut Frame::new(&mut answer), now);
                }
                None => frames.push((transmit.port, transmit.bytes)),
            }
        }
        while self.engine.poll_event().is_some() {}
        let lower = self.tables.interface_id(&interface_name(LOWER)).expect("configured");
        let clients = self.tables.interface_id(&interface_name(1)).expect("configured");
        let frames = frames.into_iter().map(|(port, bytes)| match tunnel {
            Some(tunnel) if port == Port::Data(lower) => (Port::Data(clients), self.unwrap(tunnel, &bytes)),
            _ => (port, bytes),
        });
        let joined = join(frames.collect()).expect("fragments in order");
        joined.into_iter().map(|(port, (bytes, _))| self.read(port, &bytes)).collect()
    }

    fn read(&self, port: Port, bytes: &[u8]) -> (String, Packet) {
        let Port::Data(id) = port else { panic!("a frame for the host") };
        let mut packet = Packet::read(&bytes[14..]).expect("a packet");
        // The firewall speaks to a client with the address of the interface its packets came by.
        if let Body::Error { .. } = packet.body {
            for (here, there) in [("192.168.9.1", "10.0.1.1"), ("fd09::1", "fd00:0:0:1::1")] {
                if packet.source == here.parse::<IpAddr>().expect("an address") {
                    packet.source = there.parse().expect("an address");
                }
            }
        }
        (self.tables.interface_name(id).to_owned(), packet)
    }

    /// The inner frame of a tunnel packet, whose headers are checked.
    fn unwrap(&self, tunnel: Tunnel, bytes: &[u8]) -> Vec<u8> {
        let Ok(Parsed::Ip(outer)) = parse(bytes, Meta::default()) else { panic!("not IP") };
        assert!(checksum_is_right(bytes, &outer), "outer checksum");
        assert_eq!(ethernet::destination(bytes), PEER_MAC);
        let mut capsule = Capsule::open(bytes, &outer, tunnel.outer()).expect("a tunnel packet");
        let header = bytes[outer.transport + 8..capsule.inner].to_vec();
        assert!(self.headers.contains(&(header, outer.ports())), "a header that never came in");
        if tunnel == Tunnel::Nested {
            let base = capsule.inner_network() - 14;
            let Ok(Parsed::Ip(inside)) = parse_as(&bytes[base..], ethernet::IPV4, Meta::default()) else {
                panic!("not IP inside");
            };
            assert_eq!(inside.ports(), (6080, 6000), "the flow the balancer knows");
            let inside = Parse {
                network: inside.network + base,
                transport: inside.transport + base,
                end: inside.end + base,
                ..inside
            };
            capsule = capsule.open_nested(bytes, &inside, Encapsulation::Vxlan).expect("VXLAN");
        }
        let kind = match capsule.carries {
            Carries::Ethernet => ethernet::kind(&bytes[capsule.inner..]),
            Carries::Ip(kind) => kind,
        };
        ether(kind, &bytes[capsule.inner_network()..outer.end])
    }

    /// The session table without what the tunnel changes: realms and names of interfaces.
    fn sessions(&self) -> Vec<String> {
        let flow = |flow: &bartizan_engine::verdict::FlowKey| {
            format!(
                "{} {}:{} {}:{}",
                flow.protocol, flow.source, flow.source_port, flow.destination, flow.destination_port
            )
        };
        let mut all: Vec<_> = self
            .engine
            .sessions()
            .map(|one| {
                let rule = one.rule.map(|rule| self.tables.rule_name(rule).to_owned());
                let zones = [one.from, one.to].map(|zone| zone.map(|zone| self.tables.zone_name(zone).to_owned()));
                let (client, server) = (flow(&one.client), flow(&one.server));
                format!(
                    "{client} / {server} {:?} {rule:?} {zones:?} {:?} {:?} {:?}",
                    one.state, one.sent, one.received, one.expires
                )
            })
            .collect();
        all.sort();
        all
    }
}

/// The configuration of a scenario, for both engines but the traffic object; and zone and router of `ethernet1/1`.
fn text(seed: u64, network: &Network) -> Option<(String, String, String)> {
    let mut text = config(&mut Random::new(seed, 2), &mut Random::new(seed, 3), network);
    for at in 0..4 {
        // Its checks and counts know interfaces apart.
        text = text.replace(&format!("<zone-protection-profile>p{at}</zone-protection-profile>"), "");
    }
    let entry = "<entry name='ethernet1/1'><layer3>";
    let at = text.find(entry)? + entry.len();
    let rest = text[at..].to_owned();
    let rest = match rest.strip_prefix("<mtu>") {
        Some(mtu) => mtu.split_once("</mtu>")?.1.to_owned(),
        None => rest,
    };
    // No limit but those of the other interfaces.
    let text = format!("{}<mtu>9000</mtu>{rest}", &text[..at]);
    let lower = format!(
        "<ethernet><entry name='ethernet1/{LOWER}'><layer3><mtu>9216</mtu><ip><entry name='192.168.9.1/24'/></ip><ipv6>\
         <enabled>yes</enabled><address><entry name='fd09::1/64'/></address></ipv6></layer3></entry>"
    );
    let text = text.replacen("<ethernet>", &lower, 1).replacen(
        "<zone>",
        &format!(
            "<zone><entry name='z9'><network><layer3><member>ethernet1/{LOWER}</member></layer3></network></entry>"
        ),
        1,
    );
    let parsed = device::read(&xml::parse(&text).ok()?, Scope::Device).config?;
    let zone = parsed.zone_of("ethernet1/1")?.name.clone();
    let router = parsed.router_of("ethernet1/1")?.name.clone();
    // The tunnel's interface is in the same router: its objects' addresses are local there.
    let place = text.find(&format!("<entry name='{router}'>"))?;
    let place = place + text[place..].find("<member>")?;
    let text = format!("{}<member>ethernet1/{LOWER}</member>{}", &text[..place], &text[place..]);
    Some((text, zone, router))
}

/// Runs a scenario; how many packets it compared.
pub(crate) fn run(seed: u64) -> Result<usize, String> {
    let network = Network::new(&mut Random::new(seed, 1));
    let tunnel = TUNNELS[seed as usize % TUNNELS.len()];
    let Some((text, zone, router)) = text(seed, &network) else { return Ok(0) };
    let with = text.replacen("<rulebase>", &format!("{}<rulebase>", tunnel.object(&router, &zone)), 1);
    let (Some(mut plain), Some(mut tunnelled)) = (Twin::new(&text, seed, &network), Twin::new(&with, seed, &network))
    else {
        return Ok(0);
    };
    let mut now = Time(10 * SECOND);
    let mut conversations: Vec<Conversation> = Vec::new();
    let mut compared = 0;
    // What clients sent into the tunnel: the same by a port is a packet of nobody there, and of the client's
    // session without tunnel.
    let mut inside = BTreeSet::new();
    let mut log = Vec::new();
    for event in 0..EVENTS {
        let mut random = Random::new(seed, 1000 + event as u64);
        let (at, next) = match random.below(100) {
            0..=39 => {
                let earlier: &[Conversation] = if tunnel.is_routed() { &conversations } else { &[] };
                let conversation = Conversation::open(&mut random, &network, earlier);
                let next = conversation.start();
                conversations.push(conversation);
                (conversations.len() - 1, next)
            }
            40..=93 if !conversations.is_empty() => {
                let at = random.below(conversations.len());
                let Some(next) = conversations[at].next(&mut random) else { continue };
                (at, next)
            }
            _ => {
                now = Time(now.0 + SECOND * (1 + random.next() % 20));
                let mut left = Vec::new();
                for (twin, tunnel) in [(&mut plain, None), (&mut tunnelled, Some(tunnel))] {
                    twin.engine.handle_timeout(now);
                    left.push(format!("{:?}", twin.drain(None, tunnel, now)));
                }
                if left[0] != left[1] {
                    return Err(format!("event {event}, time goes on:\n{}\n{}", left[0], left[1]));
                }
                continue;
            }
        };
        let conversation = &conversations[at];
        let (interface, station) = match (&conversation.seen, next.from_client) {
            (_, true) => (conversation.ingress, conversation.station),
            (Some((interface, _)), false) => {
                (interface.trim_start_matches("ethernet1/").parse().expect("a number"), [2, 0xdd, 0, 0, 0, 1])
            }
            (None, false) => continue,
        };
        // Without tunnel such a packet may meet the session of another client of the same router.
        let stray = matches!(next.packet.body, Body::Echo { reply: true, .. }) && next.from_client;
        if stray && !tunnel.is_routed() {
            continue;
        }
        let by_tunnel = next.from_client && interface == 1;
        if by_tunnel {
            inside.insert(next.packet.tuple());
        } else if inside.contains(&next.packet.tuple()) {
            continue;
        }
        let bytes = frame(own_mac(interface), station, &next.packet);
        let (verdict, expected, first) = plain.handle(interface, &bytes, None, now);
        let (found_verdict, found) = if by_tunnel {
            let kind = ethernet::kind(&bytes);
            let (header, wrapped) = tunnel.wrap(at, &bytes[14..], kind);
            let Ok(Parsed::Ip(outer)) = parse(&wrapped, Meta::default()) else { panic!("not IP") };
            tunnelled.headers.insert((header, outer.ports()));
            let (verdict, lines, _) = tunnelled.handle(LOWER, &wrapped, Some(tunnel), now);
            (verdict, lines)
        } else {
            let (verdict, lines, _) = tunnelled.handle(interface, &bytes, Some(tunnel), now);
            (verdict, lines)
        };
        log.push(format!(
            "{event} by {interface}{}: {:?}: {verdict:?} {found_verdict:?}",
            if by_tunnel { "t" } else { "" },
            next.packet
        ));
        // Without tunnel nobody finds a client that has an address which the firewall answers for.
        if expected.is_empty() && plain.engine.neighbors().any(|(_, _, mac)| mac.is_none()) {
            return Ok(compared);
        }
        let collision = Verdict::Drop(DropReason::NatCollision);
        if verdict == collision || found_verdict == collision {
            // Behind a tunnel a client's flow is in nobody's way.
            return Ok(compared);
        }
        let (mut one, mut other) = (expected.clone(), found.clone());
        one.sort();
        other.sort();
        let dropped = |verdict| if let Verdict::Drop(reason) = verdict { Some(reason) } else { None };
        if one != other || dropped(verdict) != dropped(found_verdict) {
            return Err(format!(
                "{tunnel:?}, event {event}, by {interface}: {:?}\nplain {verdict:?}:\n  {}\ntunnel {found_verdict:?}:\n  {}",
                next.packet,
                one.join("\n  "),
                other.join("\n  ")
            ) + "\nafter\n"
                + &log.join("\n"));
        }
        let (sessions, others) = (plain.sessions(), tunnelled.sessions());
        if sessions != others {
            return Err(format!(
                "{tunnel:?}, event {event}, by {interface}: {:?}: sessions\n  {}\nbehind the tunnel\n  {}",
                next.packet,
                sessions.join("\n  "),
                others.join("\n  ")
            ));
        }
        compared += 1;
        if let Some((interface, seen)) = first.filter(|(_, seen)| seen.destination != next.packet.source) {
            conversations[at].passed(&next, &interface, &seen);
        }
    }
    Ok(compared)
}
