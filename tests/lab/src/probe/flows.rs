//! Many flows at once from made-up sources: who of them is answered, and does each look different from outside?

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bartizan_packet::answer::{Link, ip_frame};
use bartizan_packet::bytes::put_u16;
use bartizan_packet::checksum;
use bartizan_packet::ethernet::{self, Mac};
use bartizan_packet::frame::Meta;
use bartizan_packet::parse::{Parsed, UDP, parse};
use smoltcp::phy::{Device, Medium, RawSocket, RxToken, TxToken};
use smoltcp::time::Instant as PhyInstant;

use crate::say;

/// Silence after which news is told.
const SILENCE: Duration = Duration::from_millis(200);
/// Sources from which the flows come, in ports of each address.
const FIRST_PORT: u16 = 10_000;
const PORTS: u32 = 20_000;
/// Datagrams sent before answers are looked for, and how long they are waited for at most.
const SALVO: u32 = 64;
const PAUSE: Duration = Duration::from_millis(20);
/// Times that unanswered flows are tried at most; one that brings no answer is the last one.
const ROUNDS: u32 = 20;
const PAYLOAD_BYTES: usize = 18;
const UDP_HEADER_BYTES: usize = 8;

/// Sends every datagram back, for ever. Its first four bytes are the number of a flow; after each spell of traffic
/// a line tells how many sources there were, how many of them two flows had, and how many flows had two.
pub(super) fn record(at: SocketAddr) -> Result<String> {
    let socket = UdpSocket::bind(at).with_context(|| format!("bind {at}"))?;
    socket.set_read_timeout(Some(SILENCE))?;
    let (mut flows, mut sources) = (HashMap::new(), HashMap::new());
    let (mut shared, mut moved, mut news) = (0, 0, false);
    let mut buffer = [0; 64];
    say("listening");
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((length, source)) => {
                let Some(number) = number(&buffer[..length]) else { continue };
                news = true;
                shared += u32::from(flows.insert(source, number).is_some_and(|before| before != number));
                moved += u32::from(sources.insert(number, source).is_some_and(|before| before != source));
                let _ = socket.send_to(&buffer[..length], source);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if std::mem::take(&mut news) {
                    say(&format!("{} sources, {shared} shared, {moved} flows moved", flows.len()));
                }
            }
            // A reset of somebody who is gone is no reason to stop.
            Err(_) => {}
        }
    }
}

/// Opens so many flows by raw frames, from addresses of which the host knows nothing, and tries those without an answer
/// again; how many were answered, and how many answers were another flow's.
pub(super) fn many(
    device: &str,
    gateway: &str,
    from: Ipv4Addr,
    to: SocketAddrV4,
    flows: u32,
) -> Result<(usize, usize)> {
    let own = std::fs::read_to_string(format!("/sys/class/net/{device}/address"))?;
    let link = Link { source: mac(own.trim())?, destination: mac(gateway)? };
    let mut port = RawSocket::new(device, Medium::Ethernet).with_context(|| format!("open `{device}`"))?;
    let mut answered = vec![false; flows as usize];
    let mut wrong = 0;
    for _ in 0..ROUNDS {
        let open: Vec<u32> = (0..flows).filter(|flow| !answered[*flow as usize]).collect();
        for salvo in open.chunks(SALVO as usize) {
            for flow in salvo {
                send(&mut port, &datagram(link, source(from, *flow), to, *flow));
            }
            wrong += collect(&mut port, link.source, from, to, (PAUSE, salvo), &mut answered);
        }
        wrong += collect(&mut port, link.source, from, to, (SILENCE, &open), &mut answered);
        if open.iter().all(|flow| !answered[*flow as usize]) {
            break;
        }
    }
    Ok((answered.into_iter().filter(|answered| *answered).count(), wrong))
}

/// Marks the flows that are answered, for a time or until those that were `asked` are; the number of answers that are
/// another flow's.
fn collect(
    port: &mut RawSocket,
    own: Mac,
    from: Ipv4Addr,
    to: SocketAddrV4,
    (time, asked): (Duration, &[u32]),
    answered: &mut [bool],
) -> usize {
    let end = Instant::now() + time;
    let mut wrong = 0;
    loop {
        while let Some((token, _)) = port.receive(PhyInstant::now()) {
            token.consume(|frame| {
                let Some((flow, destination)) = answer(frame, own, to) else { return };
                match answered.get_mut(flow as usize) {
                    Some(answered) if destination == source(from, flow) => *answered = true,
                    _ => wrong += 1,
                }
            });
        }
        if Instant::now() >= end || asked.iter().all(|flow| answered[*flow as usize]) {
            return wrong;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// The flow that a frame answers, and whom it is for.
fn answer(frame: &[u8], own: Mac, to: SocketAddrV4) -> Option<(u32, SocketAddrV4)> {
    if ethernet::destination(frame) != own {
        return None;
    }
    let Ok(Parsed::Ip(packet)) = parse(frame, Meta::default()) else { return None };
    let (source_port, port) = packet.ports();
    if packet.protocol != UDP || (packet.source, source_port) != (IpAddr::V4(*to.ip()), to.port()) {
        return None;
    }
    let IpAddr::V4(destination) = packet.destination else { return None };
    let payload = frame.get(packet.transport + UDP_HEADER_BYTES..packet.end)?;
    Some((number(payload)?, SocketAddrV4::new(destination, port)))
}

fn source(from: Ipv4Addr, flow: u32) -> SocketAddrV4 {
    let address = Ipv4Addr::from(u32::from(from) + flow / PORTS);
    SocketAddrV4::new(address, FIRST_PORT + (flow % PORTS) as u16)
}

fn datagram(link: Link, from: SocketAddrV4, to: SocketAddrV4, flow: u32) -> Vec<u8> {
    let length = (UDP_HEADER_BYTES + PAYLOAD_BYTES) as u16;
    let mut message = [from.port().to_be_bytes(), to.port().to_be_bytes(), length.to_be_bytes(), [0; 2]].concat();
    message.extend(flow.to_be_bytes());
    message.resize(usize::from(length), 0);
    let (source, destination) = ((*from.ip()).into(), (*to.ip()).into());
    let sum = checksum::transport(source, destination, UDP, &message);
    put_u16(&mut message, 6, sum);
    ip_frame(link, source, destination, UDP, 64, &message)
}

fn number(payload: &[u8]) -> Option<u32> {
    payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

fn mac(text: &str) -> Result<Mac> {
    let bytes: Vec<u8> = text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>()?;
    bytes.try_into().ok().with_context(|| format!("`{text}` is no MAC address"))
}

fn send(port: &mut RawSocket, frame: &[u8]) {
    if let Some(token) = port.transmit(PhyInstant::now()) {
        token.consume(frame.len(), |bytes| bytes.copy_from_slice(frame));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_its_flow_and_whom_it_is_for() {
        let link = Link { source: mac("02:00:00:00:00:01").unwrap(), destination: mac("02:00:00:00:00:02").unwrap() };
        let server = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 2), 7000);
        let client = source(Ipv4Addr::new(10, 0, 9, 1), 45_007);
        assert_eq!(client.to_string(), "10.0.9.3:15007");
        let sent = datagram(link, server, client, 45_007);
        assert_eq!(answer(&sent, link.destination, server), Some((45_007, client)));
        assert_eq!(answer(&sent, link.source, server), None, "a frame of its own");
        assert!(mac("02:00").is_err());
    }
}
