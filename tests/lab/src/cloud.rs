//! A cloud's load balancer, as strict as the real ones: what it hands to a firewall must come back as it went.
//!
//! [`Balancer`] is the logic, on packets; [`run`] moves them between raw interfaces of a namespace: the sides
//! whose traffic is inspected, and `appliance`, where the firewall is. It adds options and cookies, keeps a flow
//! on the UDP port it chose, and drops whatever comes back with another header, another port or another flow.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use bartizan_packet::answer::{Link, ip_frame};
use bartizan_packet::bytes::{put_u16, u16_at};
use bartizan_packet::ethernet::{self, Mac};
use bartizan_packet::frame::Meta;
use bartizan_packet::geneve::{self, AWS, GOOGLE};
use bartizan_packet::parse::{Packet, Parsed, UDP, parse};
use bartizan_packet::vxlan::{self, Vni};
use smoltcp::phy::{Device, Medium, RawSocket, RxToken, TxToken, wait};
use smoltcp::time::Instant;

use crate::say;

/// UDP port of GENEVE.
const GENEVE: u16 = 6081;
/// Azure's tunnel interfaces: UDP port and network.
const INTERNAL: (u16, u32) = (2000, 800);
const EXTERNAL: (u16, u32) = (2001, 801);

/// The endpoint of what comes by [`Side::Consumer`] and [`Side::Service`]: `vpce-00a1b2c3d4e5f6071`.
pub const AWS_ENDPOINT: u64 = 0x0a1b_2c3d_4e5f_6071;
/// The network of Google's intercepted instances.
pub const GOOGLE_NETWORK: u32 = 4660;

/// Addresses of the balancer's stations; every lab has these.
pub const CONSUMER_MAC: Mac = [2, 0xc, 0, 0, 0, 1];
/// The host on the service's side.
pub const SERVICE_MAC: Mac = [2, 0xc, 0, 0, 0, 2];
/// The firewall's first interface.
pub const APPLIANCE_MAC: Mac = [2, 0xc, 0, 0, 0, 3];
/// The balancer itself, on all of its interfaces.
pub const BALANCER_MAC: Mac = [2, 0xc, 0, 0, 0, 9];

/// Whose load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// AWS Gateway Load Balancer.
    Aws,
    /// Google Cloud in-band intercept.
    Google,
    /// Azure gateway load balancer.
    Azure,
}

/// A side whose traffic is inspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The protected machines.
    Consumer,
    /// Their peers.
    Service,
    /// The network interface of an AWS endpoint: what came by it leaves by it, in both directions.
    Endpoint(u64),
}

impl Side {
    fn endpoint(self) -> u64 {
        match self {
            Self::Endpoint(endpoint) => endpoint,
            Self::Consumer | Self::Service => AWS_ENDPOINT,
        }
    }
}

/// A conversation, whichever end speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Conversation {
    protocol: u8,
    ends: [(IpAddr, u16); 2],
}

impl Conversation {
    fn of(packet: &Packet) -> Self {
        let (source, destination) = packet.ports();
        let mut ends = [(packet.source, source), (packet.destination, destination)];
        if matches!(packet.protocol, 1 | 58) {
            // An echo is told by its identifier.
            ends = [(packet.source, source), (packet.destination, source)];
        }
        ends.sort();
        Self { protocol: packet.protocol, ends }
    }
}

#[derive(Clone, Debug)]
struct Flow {
    port: u16,
    /// GENEVE headers of the two directions, by the side that sends.
    headers: HashMap<Side, Vec<u8>>,
}

/// The load balancer's state.
#[derive(Debug)]
pub struct Balancer {
    provider: Provider,
    /// Its address, and the firewall's.
    ends: (Ipv4Addr, Ipv4Addr),
    /// First three bytes of the consumers' addresses.
    consumers: [u8; 3],
    /// By endpoint: one conversation may come by two of them.
    flows: HashMap<(u64, Conversation), Flow>,
}

impl Balancer {
    /// One at `own` with the firewall `appliance` as its only target; consumers have addresses of
    /// `consumers`/24.
    pub fn new(provider: Provider, own: Ipv4Addr, appliance: Ipv4Addr, consumers: [u8; 3]) -> Self {
        Self { provider, ends: (own, appliance), consumers, flows: HashMap::new() }
    }

    /// A packet of one side, an Ethernet frame, as it is sent to the firewall. Nothing for what is not IP.
    pub fn intercept(&mut self, from: Side, frame: &[u8]) -> Option<Vec<u8>> {
        let Ok(Parsed::Ip(packet)) = parse(frame, Meta::default()) else { return None };
        let conversation = Conversation::of(&packet);
        let number = self.flows.len() as u32;
        let flow = self.flows.entry((from.endpoint(), conversation)).or_insert_with(|| Flow {
            port: 49_152 + (number.wrapping_mul(7919) % 16_384) as u16,
            headers: HashMap::new(),
        });
        let port = flow.port;
        let inner = frame.get(packet.network..packet.end)?;
        let kind = ethernet::kind(frame);
        let (to, payload) = match self.provider {
            Provider::Aws | Provider::Google => {
                let header = match flow.headers.get(&from) {
                    Some(header) => header.clone(),
                    None => {
                        let header = options(self.provider, number, from, kind)?;
                        flow.headers.insert(from, header.clone());
                        header
                    }
                };
                (GENEVE, [header.as_slice(), inner].concat())
            }
            Provider::Azure => {
                let (port, vni) = if from == Side::Service { EXTERNAL } else { INTERNAL };
                (port, [vxlan::header(Vni::new(vni)?).as_slice(), frame.get(..packet.end)?].concat())
            }
        };
        Some(self.outer((port, to), &payload))
    }

    /// A frame from the firewall: the packet inside, and the side it goes to. Nothing for what is no tunnel.
    ///
    /// # Errors
    /// Why it is dropped.
    pub fn take_back(&mut self, frame: &[u8]) -> Result<Option<(Side, Vec<u8>)>, String> {
        let Ok(Parsed::Ip(outer)) = parse(frame, Meta::default()) else { return Ok(None) };
        let (port, to) = outer.ports();
        let tunnel = match self.provider {
            Provider::Azure => [INTERNAL.0, EXTERNAL.0].contains(&to),
            Provider::Aws | Provider::Google => to == GENEVE,
        };
        if outer.protocol != UDP || !tunnel {
            return Ok(None);
        }
        let (own, appliance) = self.ends;
        if (outer.source, outer.destination) != (appliance.into(), own.into()) {
            return Err(format!("{} sends to {} instead of {appliance} to {own}", outer.source, outer.destination));
        }
        let payload = frame.get(outer.transport + 8..outer.end).unwrap_or_default();
        let (inner, header, endpoint) = match self.provider {
            Provider::Azure => self.azure_back(to, payload)?,
            Provider::Aws | Provider::Google => {
                let geneve = geneve::Geneve::read(payload).map_err(|bad| format!("GENEVE: {bad:?}"))?;
                let facts = geneve.facts().map_err(|bad| format!("GENEVE option: {bad:?}"))?;
                let (header, packet) = payload.split_at(geneve.header_bytes());
                let mut inner = ethernet::frame([0; 6], [0; 6], geneve.protocol, packet.len());
                inner.extend_from_slice(packet);
                (inner, header, facts.aws_endpoint.unwrap_or(AWS_ENDPOINT))
            }
        };
        let Ok(Parsed::Ip(packet)) = parse(&inner, Meta::default()) else { return Err("the inner packet".into()) };
        let flow = self.flows.get(&(endpoint, Conversation::of(&packet)));
        let flow = flow.ok_or_else(|| {
            let (from, to) = (packet.source, packet.destination);
            format!("a flow that was never sent by endpoint {endpoint:016x}: {from} {:?} > {to}", packet.ports())
        })?;
        if flow.port != port {
            return Err(format!("port {port} instead of {}", flow.port));
        }
        if self.provider != Provider::Azure && !flow.headers.values().any(|sent| sent == header) {
            return Err(format!("another header: {header:02x?} instead of {:02x?}", flow.headers));
        }
        if checksum(&inner, &packet) != 0 {
            return Err(format!("a wrong checksum inside, of protocol {}", packet.protocol));
        }
        Ok(Some((self.side_of(endpoint, packet.destination), inner)))
    }

    fn azure_back<'f>(&self, to: u16, payload: &'f [u8]) -> Result<(Vec<u8>, &'f [u8], u64), String> {
        let vni = vxlan::read(payload).map_err(|bad| format!("VXLAN: {bad:?}"))?.number();
        if ![INTERNAL, EXTERNAL].contains(&(to, vni)) {
            return Err(format!("network {vni} on port {to}"));
        }
        let inner = payload.get(vxlan::HEADER_BYTES..).unwrap_or_default();
        let Ok(Parsed::Ip(packet)) = parse(inner, Meta::default()) else { return Err("the inner packet".into()) };
        // What came by the one tunnel comes back by the other.
        let expected =
            if self.side_of(AWS_ENDPOINT, packet.destination) == Side::Consumer { INTERNAL } else { EXTERNAL };
        if (to, vni) != expected {
            return Err(format!("port {to} instead of {}", expected.0));
        }
        if ethernet::destination(inner) != BALANCER_MAC {
            return Err("another inner Ethernet header".into());
        }
        Ok((inner.to_vec(), &[], AWS_ENDPOINT))
    }

    fn side_of(&self, endpoint: u64, address: IpAddr) -> Side {
        match address {
            _ if endpoint != AWS_ENDPOINT => Side::Endpoint(endpoint),
            IpAddr::V4(v4) if v4.octets().starts_with(&self.consumers) => Side::Consumer,
            _ => Side::Service,
        }
    }

    fn outer(&self, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
        let mut message = [ports.0.to_be_bytes(), ports.1.to_be_bytes(), [0; 2], [0; 2]].concat();
        message.extend_from_slice(payload);
        let length = message.len() as u16;
        put_u16(&mut message, 4, length);
        let link = Link { source: BALANCER_MAC, destination: APPLIANCE_MAC };
        ip_frame(link, self.ends.0.into(), self.ends.1.into(), UDP, 64, &message)
    }
}

/// The GENEVE header of a flow's direction; the order of the options changes from flow to flow.
fn options(provider: Provider, number: u32, from: Side, kind: u16) -> Option<Vec<u8>> {
    let endpoint = from.endpoint().to_be_bytes();
    let attachment = (0x0077_0000_u64 + u64::from(number)).to_be_bytes();
    let cookie = (number.wrapping_mul(0x9e37_79b9) ^ 0x00c0_0c1e).to_be_bytes();
    let network = (GOOGLE_NETWORK << 4 | u32::from(from == Side::Service)).to_be_bytes();
    let mut all: Vec<(u16, u8, &[u8])> = match provider {
        Provider::Aws => vec![(AWS, 1, &endpoint), (AWS, 2, &attachment), (AWS, 3, &cookie)],
        _ => vec![(GOOGLE, 1, &network), (GOOGLE, 2, &attachment), (GOOGLE, 3, &endpoint)],
    };
    all.rotate_left(number as usize % 3);
    geneve::header(kind, Vni::default(), &all)
}

/// 0 when the transport checksum of a frame is right.
fn checksum(frame: &[u8], packet: &Packet) -> u16 {
    let message = frame.get(packet.transport..packet.end).unwrap_or_default();
    match packet.protocol {
        1 => bartizan_packet::checksum::checksum(message),
        UDP if u16_at(message, 6) == 0 => 0,
        6 | UDP => bartizan_packet::checksum::transport(packet.source, packet.destination, packet.protocol, message),
        _ => 0,
    }
}

/// A side, the interface it is behind, and the station there that what comes back is sent to.
pub type Place = (&'static str, Side, Mac);

/// Two machines that speak with each other, and the load balancer between them.
pub const PEERS: [Place; 2] = [("consumer", Side::Consumer, CONSUMER_MAC), ("service", Side::Service, SERVICE_MAC)];

/// Moves packets until the process is ended. Prints `ready`, and `dropped: …` for each violation.
///
/// # Errors
/// When an interface cannot be opened.
pub fn run(balancer: Balancer, places: &[Place]) -> Result<()> {
    // So that the host itself does not answer tunnel packets with ICMP errors.
    let _ports = [GENEVE, INTERNAL.0, EXTERNAL.0].map(|port| UdpSocket::bind(("0.0.0.0", port)));
    let balancer = Arc::new(Mutex::new(balancer));
    let (opened, all_open) = std::sync::mpsc::channel();
    for (name, from, _) in places.iter().copied() {
        let balancer = Arc::clone(&balancer);
        let opened = opened.clone();
        std::thread::spawn(move || {
            let (mut port, mut out) = match open(name).and_then(|port| Ok((port, open("appliance")?))) {
                Ok(both) => both,
                Err(error) => return drop(opened.send(Err(error))),
            };
            let _ = opened.send(Ok(()));
            let ended = each_frame(&mut port, |frame| {
                let sent = lock(&balancer).intercept(from, frame);
                if let Some(sent) = sent {
                    send(&mut out, &sent);
                }
            });
            say(&format!("dropped: `{name}` ended: {ended:?}"));
        });
    }
    for _ in places {
        all_open.recv().context("a thread ended before it was ready")??;
    }
    let mut appliance = open("appliance")?;
    let mut sides = Vec::new();
    for (name, side, mac) in places {
        sides.push((*side, open(name)?, *mac));
    }
    say("ready");
    each_frame(&mut appliance, |frame| {
        let back = lock(&balancer).take_back(frame);
        match back {
            Ok(None) => {}
            Ok(Some((to, mut inner))) => {
                for (side, port, mac) in &mut sides {
                    if *side == to {
                        ethernet::address(&mut inner, *mac, BALANCER_MAC);
                        send(port, &inner);
                    }
                }
            }
            Err(why) => say(&format!("dropped: {why}")),
        }
    })
}

fn lock(balancer: &Mutex<Balancer>) -> std::sync::MutexGuard<'_, Balancer> {
    balancer.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn open(name: &str) -> Result<RawSocket> {
    RawSocket::new(name, Medium::Ethernet).with_context(|| format!("open a raw socket on `{name}`"))
}

fn send(port: &mut RawSocket, frame: &[u8]) {
    if let Some(token) = port.transmit(Instant::now()) {
        token.consume(frame.len(), |bytes| bytes.copy_from_slice(frame));
    }
}

/// Every frame that is for the balancer; a raw socket also hears what its host sends.
fn each_frame(port: &mut RawSocket, mut handle: impl FnMut(&[u8])) -> Result<()> {
    loop {
        wait(port.as_raw_fd(), None).context("wait for frames")?;
        while let Some((token, _)) = port.receive(Instant::now()) {
            token.consume(|frame| {
                if ethernet::destination(frame) == BALANCER_MAC {
                    handle(frame);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(from: &str, to: &str, ports: (u16, u16)) -> Vec<u8> {
        let message = [ports.0.to_be_bytes(), ports.1.to_be_bytes(), 8_u16.to_be_bytes(), [0; 2]].concat();
        let link = Link { source: CONSUMER_MAC, destination: BALANCER_MAC };
        ip_frame(link, from.parse().unwrap(), to.parse().unwrap(), UDP, 64, &message)
    }

    fn balancer(provider: Provider) -> Balancer {
        Balancer::new(provider, Ipv4Addr::new(10, 0, 1, 9), Ipv4Addr::new(10, 0, 1, 4), [10, 0, 0])
    }

    /// What a firewall that only turns packets would send.
    fn turned(frame: &[u8], other: Option<(u16, u32)>) -> Vec<u8> {
        use bartizan_packet::tunnel::{Capsule, Encapsulation, Turn};
        let Ok(Parsed::Ip(outer)) = parse(frame, Meta::default()) else { panic!("not IP") };
        let kind = if other.is_some() { Encapsulation::Vxlan } else { Encapsulation::Geneve };
        let mut bytes = frame.to_vec();
        let other = other.map(|(port, vni)| (port, Vni::new(vni).unwrap()));
        let capsule = Capsule::open(frame, &outer, kind).unwrap();
        capsule.turn(&mut bytes, outer.end, Turn { other, inner_addresses: false });
        bytes
    }

    #[test]
    fn what_comes_back_unchanged_is_taken_and_all_else_is_not() {
        let mut balancer = balancer(Provider::Aws);
        let frame = packet("10.0.0.10", "198.51.100.10", (4000, 53));
        let back = turned(&balancer.intercept(Side::Consumer, &frame).unwrap(), None);
        let (side, inner) = balancer.take_back(&back).unwrap().unwrap();
        assert_eq!((side, &inner[14..]), (Side::Service, &frame[14..]));
        let mut damaged = |at: usize, what: &str| {
            let mut bytes = back.clone();
            bytes[at] ^= 1;
            let error = balancer.take_back(&bytes).unwrap_err();
            assert!(error.contains(what), "{error}");
        };
        damaged(14 + 20 + 1, "port");
        damaged(14 + 20 + 8 + 8 + 6, "never sent by endpoint 0a1b2d3d4e5f6071");
        damaged(14 + 20 + 8 + 8 + 12 + 6, "another header");
        damaged(14 + 20 + 8 + 40 + 20 + 1, "never sent");
    }

    #[test]
    fn a_conversation_by_two_endpoints_is_two_flows() {
        let mut balancer = balancer(Provider::Aws);
        let frame = packet("10.20.0.10", "10.30.0.10", (4000, 53));
        let sent = [7, 8].map(|endpoint| balancer.intercept(Side::Endpoint(endpoint), &frame).unwrap());
        assert_ne!(sent[0], sent[1]);
        for (frame, endpoint) in sent.iter().zip([7, 8]) {
            let (side, _) = balancer.take_back(&turned(frame, None)).unwrap().unwrap();
            assert_eq!(side, Side::Endpoint(endpoint));
        }
    }

    #[test]
    fn azure_wants_the_other_tunnel() {
        let mut balancer = balancer(Provider::Azure);
        let frame = packet("198.51.100.10", "10.0.0.10", (4000, 53));
        let sent = balancer.intercept(Side::Service, &frame).unwrap();
        let (side, inner) = balancer.take_back(&turned(&sent, Some(INTERNAL))).unwrap().unwrap();
        assert_eq!((side, inner.as_slice()), (Side::Consumer, frame.as_slice()));
        assert!(balancer.take_back(&turned(&sent, Some(EXTERNAL))).unwrap_err().contains("instead of 2000"));
    }
}
