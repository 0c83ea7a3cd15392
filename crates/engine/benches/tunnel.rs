//! What do the headers of a load balancer's tunnel cost the engine?
//!
//! `cargo bench -p bartizan-engine --bench tunnel` prints a JSON object a line: processor time and allocations
//! of an established UDP packet, plain and behind an AWS header. Quote the minimum. The goal is 0.7 of the
//! packets that are forwarded plainly, better 0.9.

#![expect(clippy::print_stdout, reason = "figures are what a bench is for")]

use std::net::IpAddr;

use bartizan_engine::Engine;
use bartizan_engine::settings::Settings;
use bartizan_engine::verdict::{PeerMessage, Port};
use bartizan_packet::answer::{Link, ip_frame};
use bartizan_packet::bytes::put_u16;
use bartizan_packet::checksum;
use bartizan_packet::ethernet;
use bartizan_packet::geneve::{self, AWS};
use bartizan_packet::vxlan::Vni;

use self::measure::established;
use self::traffic::{NOW, open};

#[path = "../tests/counting/mod.rs"]
mod counting;
#[path = "../tests/scenarios/house.rs"]
#[expect(dead_code, reason = "shared with the scenarios, which use more of it")]
mod house;
#[path = "../tests/scenarios/lab.rs"]
#[expect(dead_code, reason = "shared with the scenarios, which use more of it")]
mod lab;
#[path = "engine/measure.rs"]
mod measure;
#[path = "engine/traffic.rs"]
#[expect(dead_code, reason = "shared with the other bench, which uses more of it")]
mod traffic;

const FLOWS: u32 = 10_000;

fn main() {
    // Cargo adds `--bench`.
    let asked = std::env::args().skip(1).find(|word| word != "--bench").unwrap_or_default();
    for (name, tunnel) in [("forwarded/udp4/10000", false), ("geneve-in-and-out/udp4/10000", true)] {
        if name.contains(&asked) {
            let frame = if tunnel { geneve_frame } else { plain_frame };
            let frames: Vec<Vec<u8>> = (0..FLOWS).map(frame).collect();
            opened(name, engine(tunnel, FLOWS as usize), &frames);
        }
    }
}

/// A firewall that forwards from `ethernet1/1` to `ethernet1/2`, or is the wire behind a load balancer on
/// `ethernet1/1`.
fn engine(tunnel: bool, sessions_max: usize) -> Engine {
    let object = "<traffic-object><entry name='apps'><vpc><vpce-id>any</vpce-id><network>\
                  <logical-router>lr</logical-router><zone-ingress>trust</zone-ingress><interface>\
                  <member>ethernet1/1</member></interface></network></vpc></entry></traffic-object><rulebase>";
    let plain = house::house("", &house::rule("all", "any", "any", "allow"));
    let config = if tunnel { plain.replace("<rulebase>", object) } else { plain };
    let lab = lab::Lab::with(&config, Settings { sessions_max, ..Settings::default() });
    let mut engine = lab.engine;
    let gateway = IpAddr::from([192, 0, 2, 254]);
    let port = lab.tables.interface_id("ethernet1/2").map(Port::Data).expect("the house has it");
    engine.handle_peer(PeerMessage::Neighbor { port, address: gateway, mac: lab::neighbor_mac(gateway) }, NOW);
    engine
}

/// A UDP packet of 60 bytes on the wire; one flow for each number.
fn plain_frame(flow: u32) -> Vec<u8> {
    let (source, destination) = (IpAddr::from([10, 1, 0, 2 + (flow >> 14) as u8]), IpAddr::from([198, 51, 100, 9]));
    let mut message = [1024 + (flow & 0x3fff) as u16, 53, 26, 0].map(u16::to_be_bytes).concat();
    message.extend([7; 18]);
    let value = checksum::transport(source, destination, 17, &message);
    put_u16(&mut message, 6, value);
    let link = Link { source: [2, 1, 1, 1, 1, 1], destination: lab::port_mac("e1") };
    ip_frame(link, source, destination, 17, 64, &message)
}

/// The same as AWS's load balancer sends it: 68 bytes more.
fn geneve_frame(flow: u32) -> Vec<u8> {
    let cookie = flow.to_be_bytes();
    let options: [(u16, u8, &[u8]); 3] = [(AWS, 1, &[1; 8]), (AWS, 2, &[2; 8]), (AWS, 3, &cookie)];
    let header = geneve::header(ethernet::IPV4, Vni::default(), &options).expect("short options");
    let mut message = [49_152 + (flow & 0x3fff) as u16, 6081, 8 + 40 + 46, 0].map(u16::to_be_bytes).concat();
    message.extend(header);
    message.extend(&plain_frame(flow)[ethernet::HEADER_BYTES..]);
    let link = Link { source: [2, 1, 1, 1, 1, 1], destination: lab::port_mac("e1") };
    ip_frame(link, IpAddr::from([10, 1, 0, 9]), IpAddr::from([10, 1, 0, 1]), 17, 64, &message)
}

/// Opens a session for each of the frames first.
fn opened(name: &str, mut engine: Engine, frames: &[Vec<u8>]) {
    frames.iter().for_each(|frame| drop(open(&mut engine, frame)));
    established(name, engine, frames);
}
