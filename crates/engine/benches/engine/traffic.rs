//! Which packets, sessions and rules do the benches run on?

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bartizan_engine::Engine;
use bartizan_engine::settings::Settings;
use bartizan_engine::verdict::{PeerMessage, Port, Time, Verdict};
use bartizan_packet::answer::{Link, ip_frame};
use bartizan_packet::bytes::put_u16;
use bartizan_packet::checksum;
use bartizan_packet::ethernet;
use bartizan_packet::frame::{Frame, Meta};
use bartizan_packet::parse::{Flags, Parsed, parse};
use bartizan_policy::tables::{Compiled, Flow, Ids, IfaceId};

use crate::{house, lab};

pub(crate) const BURST: usize = 64;
pub(crate) const NOW: Time = Time(1_000_000_000_000);
pub(crate) const TRUST: Port = Port::Data(IfaceId(0));
const UNTRUST: Port = Port::Data(IfaceId(1));
const SERVER_SEQUENCE: u32 = 1000;

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// UDP over IPv4, source NAT.
    Udp4,
    /// TCP over IPv4, source NAT.
    Tcp4,
    /// UDP over IPv6, not translated.
    Udp6,
}

impl Class {
    pub(crate) const ALL: [Self; 3] = [Self::Udp4, Self::Tcp4, Self::Udp6];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Udp4 => "udp4",
            Self::Tcp4 => "tcp4",
            Self::Udp6 => "udp6",
        }
    }

    /// A small packet that opens a session; one flow for each number.
    pub(crate) fn frame(self, flow: u32) -> Vec<u8> {
        self.packet(flow, (1, 0, Flags::SYN))
    }

    /// A small packet of an open session.
    fn later(self, flow: u32) -> Vec<u8> {
        self.packet(flow, (2, SERVER_SEQUENCE + 1, Flags::ACK))
    }

    /// `tcp` is sequence and acknowledgment number and flags, if it is TCP.
    fn packet(self, flow: u32, tcp: (u32, u32, u8)) -> Vec<u8> {
        let port = (1024 + (flow & 0x3fff) as u16).to_be_bytes();
        let host = [(flow >> 20) as u8, 2 + ((flow >> 14) & 63) as u8];
        let (source, destination) = match self {
            Self::Udp4 | Self::Tcp4 => (IpAddr::from([10, 1, host[0], host[1]]), IpAddr::from([198, 51, 100, 9])),
            Self::Udp6 => {
                let last = u16::from_be_bytes(host);
                (
                    IpAddr::from([0x2001, 0xdb8, 1, 0, 0, 0, 0, last]),
                    IpAddr::from([0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 9]),
                )
            }
        };
        let (protocol, field, mut message) = match self {
            Self::Udp4 | Self::Udp6 => (17, 6, [&port[..], &[0, 53, 0, 26, 0, 0], &[7; 18]].concat()),
            Self::Tcp4 => (6, 16, [&port[..], &[1, 187], &segment(tcp)].concat()),
        };
        let value = checksum::transport(source, destination, protocol, &message);
        put_u16(&mut message, field, value);
        let link = Link { source: [2, 1, 1, 1, 1, 1], destination: lab::port_mac("e1") };
        ip_frame(link, source, destination, protocol, 64, &message)
    }
}

/// An engine with so many rules, the last of which allows everything, and both gateways known.
pub(crate) fn engine(rules: u32, sessions_max: usize) -> Engine {
    let mut text = String::new();
    for rule in 1..rules {
        text.push_str(&rule_for(rule));
    }
    text.push_str(&house::rule("all", "any", "any", "allow"));
    let config = house::house(&house::dynamic("trust", "untrust", "192.0.2.64/26"), &text);
    let lab = lab::Lab::with(&config, Settings { sessions_max, ..Settings::default() });
    assert_eq!(lab.port("e1"), TRUST);
    let port = lab.port("e2");
    let mut engine = lab.engine;
    large_pages(&engine);
    for gateway in [IpAddr::from([192, 0, 2, 254]), IpAddr::from([0x2001, 0xdb8, 2, 0, 0, 0, 0, 0xfe])] {
        let mac = lab::neighbor_mac(gateway);
        engine.handle_peer(PeerMessage::Neighbor { port, address: gateway, mac }, NOW);
    }
    engine
}

/// What the firewall does for its workers: the tables are to be in large pages.
#[expect(unsafe_code, reason = "madvise has no counterpart in std")]
fn large_pages(engine: &Engine) {
    const PAGE: usize = 4096;
    for range in engine.large_tables() {
        let (start, end) = (range.start.next_multiple_of(PAGE), range.end / PAGE * PAGE);
        if start < end {
            // SAFETY: the pages lie whole within memory that the engine owns, and the advice changes no content.
            let advised = unsafe {
                rustix::mm::madvise(start as *mut std::ffi::c_void, end - start, rustix::mm::Advice::LinuxHugepage)
            };
            advised.expect("a kernel with large pages");
        }
    }
}

/// A frame from a client, as it leaves.
pub(crate) fn open(engine: &mut Engine, frame: &[u8]) -> Vec<u8> {
    let mut copy = frame.to_vec();
    let verdict = engine.handle_frame(TRUST, &mut Frame::new(&mut copy), NOW);
    assert!(matches!(verdict, Verdict::Transmit(_)), "{verdict:?}");
    copy
}

/// What follows the ports in a TCP header without options.
fn segment((sequence, acknowledgment, flags): (u32, u32, u8)) -> Vec<u8> {
    let numbers = [sequence.to_be_bytes(), acknowledgment.to_be_bytes()].concat();
    [&numbers[..], &[0x50, flags, 0xff, 0xff, 0, 0, 0, 0]].concat()
}

/// The firewall knows where the sender of a frame is.
fn know_client(engine: &mut Engine, frame: &[u8]) {
    let Ok(Parsed::Ip(packet)) = parse(frame, Meta::default()) else { panic!("a packet") };
    let mac = ethernet::source(frame);
    engine.handle_peer(PeerMessage::Neighbor { port: TRUST, address: packet.source, mac }, NOW);
}

/// The server agrees to a connection whose SYN left like this.
fn agree(engine: &mut Engine, syn: &[u8]) {
    let Ok(Parsed::Ip(packet)) = parse(syn, Meta::default()) else { panic!("a packet leaves") };
    let (source, destination) = packet.ports();
    let ports = [destination.to_be_bytes(), source.to_be_bytes()].concat();
    let mut message = [&ports[..], &segment((SERVER_SEQUENCE, 2, Flags::SYN | Flags::ACK))].concat();
    let value = checksum::transport(packet.destination, packet.source, 6, &message);
    put_u16(&mut message, 16, value);
    let link = Link { source: [2, 2, 2, 2, 2, 2], destination: lab::port_mac("e2") };
    let mut frame = ip_frame(link, packet.destination, packet.source, 6, 64, &message);
    let verdict = engine.handle_frame(UNTRUST, &mut Frame::new(&mut frame), NOW);
    assert!(matches!(verdict, Verdict::Transmit(_)), "{verdict:?}");
}

/// An engine with open sessions, and a packet of each.
pub(crate) fn with_sessions(class: Class, flows: usize) -> (Engine, Vec<Vec<u8>>) {
    let mut engine = engine(1, flows);
    let later = |flow| {
        let first = open(&mut engine, &class.frame(flow));
        if class == Class::Tcp4 {
            know_client(&mut engine, &class.frame(flow));
            agree(&mut engine, &first);
        }
        let frame = class.later(flow);
        open(&mut engine, &frame);
        while engine.poll_event().is_some() {}
        frame
    };
    let frames = (0..flows as u32).map(later).collect();
    (engine, frames)
}

/// Where a worker would have a burst: in a ring that it goes round.
pub(crate) struct Copies {
    ring: Vec<[u8; 128]>,
    next: usize,
}

impl Copies {
    pub(crate) fn new() -> Self {
        Self { ring: vec![[0; 128]; 8 * BURST], next: 0 }
    }

    /// Copies a burst of frames into the ring and works on it there.
    pub(crate) fn fill<'f>(
        &mut self,
        mut frame: impl FnMut() -> &'f Vec<u8>,
        work: impl FnOnce(&mut [Frame<'_>]) -> usize,
    ) -> usize {
        let slots = &mut self.ring[self.next..self.next + BURST];
        self.next = (self.next + BURST) % (8 * BURST);
        let mut slots = slots.iter_mut();
        let mut burst: [Frame<'_>; BURST] = std::array::from_fn(|_| {
            let from = frame();
            let slot = slots.next().map_or(&mut [][..], |slot| &mut slot[..from.len()]);
            slot.copy_from_slice(from);
            Frame::new(slot)
        });
        work(&mut burst)
    }
}

pub(crate) fn random(state: &mut u64, below: usize) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize % below
}

/// The source network and destination port of a rule.
fn meant_for(rule: u32) -> (Ipv4Addr, u16) {
    (Ipv4Addr::from_bits(0x0a00_0000 | rule << 8), 1 + (rule % 2000) as u16)
}

fn rule_for(rule: u32) -> String {
    let (network, port) = meant_for(rule);
    format!(
        "<entry name='r{rule}'><from><member>trust</member></from><to><member>untrust</member></to>\
         <source><member>{network}/24</member></source><destination><member>any</member></destination>\
         <application><member>any</member></application><service><member>s{port}</member></service>\
         <action>allow</action></entry>"
    )
}

/// Rules of a source network and a service each, and flows that each meet another of them.
pub(crate) fn many_rules(rules: u32, flows: usize) -> (Arc<Compiled>, Vec<Flow>) {
    let mut text = String::new();
    for rule in 0..rules {
        text.push_str(&rule_for(rule));
    }
    let mut services = String::new();
    for port in 1..=2000 {
        write!(services, "<entry name='s{port}'><protocol><tcp><port>{port}</port></tcp></protocol></entry>")
            .expect("text");
    }
    let config = house::house("", &text).replace("<rulebase>", &format!("<service>{services}</service><rulebase>"));
    let tables = lab::tables(&config, &bartizan_policy::facts::Facts::default(), &mut Ids::default(), 1);
    let mut state = 1;
    let flow = |_| {
        let (network, port) = meant_for(random(&mut state, rules as usize) as u32);
        Flow {
            ingress: IfaceId(0),
            source: IpAddr::V4(Ipv4Addr::from_bits(network.to_bits() | 7)),
            destination: IpAddr::from([198, 51, 100, 9]),
            protocol: 6,
            source_port: 40_000,
            destination_port: port,
        }
    };
    (tables, (0..flows).map(flow).collect())
}
