//! Who is on the links of a replay: the interface's own station, and its neighbours?

use std::collections::HashMap;
use std::net::IpAddr;

use anyhow::{Result, bail};
use bartizan_engine::verdict::Port;
use bartizan_packet::arp::{Arp, Operation};
use bartizan_packet::ethernet::{self, Mac};
use bartizan_packet::frame::Meta;
use bartizan_packet::ndp;
use bartizan_packet::parse::{Parsed, parse};

use crate::port::pcap::Capture;
use crate::port::{Batch, Receiver as _};

/// Neighbours whose MAC is remembered from the captures.
const NEIGHBORS_MAX: usize = 65_536;

/// The MAC of the station that received a capture: the one that speaks ARP or NDP for an own address, else
/// the one destination of all frames, else the one end that all frames share. `None` when nobody is
/// spoken to.
///
/// # Errors
/// When the capture is broken, or several stations come into question.
pub(super) fn station(capture: &mut Capture, own: Vec<IpAddr>) -> Result<Option<Mac>> {
    let mut guess = Guess::default();
    while capture.peek()?.is_some() {
        let mut batch = Batch::new();
        capture.receive(&mut batch);
        for mut slot in batch.into_slots() {
            let Some(frame) = slot.frame() else { continue };
            if let Some((address, mac)) = announced(frame.view())
                && own.contains(&address)
            {
                return Ok(Some(mac));
            }
            guess.look(frame.view());
        }
        capture.release();
    }
    guess.answer()
}

/// Who says about itself, in ARP or NDP, that it has which address.
fn announced(frame: &[u8]) -> Option<(IpAddr, Mac)> {
    match parse(frame, Meta::default()) {
        Ok(Parsed::Arp) => {
            let arp = Arp::read(frame)?;
            Some((IpAddr::V4(arp.sender), arp.sender_mac))
        }
        Ok(Parsed::Ip(packet)) => match ndp::Message::read(frame, &packet)? {
            ndp::Message::Advertisement { target, mac: Some(mac), .. } => Some((IpAddr::V6(target), mac)),
            ndp::Message::Solicitation { mac: Some(mac), .. } => Some((packet.source, mac)),
            _ => None,
        },
        _ => None,
    }
}

#[derive(Default)]
struct Guess {
    /// Stations that are an end of every frame so far; `None` before the first.
    ends: Option<Vec<Mac>>,
    /// The destination of every frame so far.
    destination: Option<Mac>,
    several_destinations: bool,
}

impl Guess {
    fn look(&mut self, frame: &[u8]) {
        if frame.len() < ethernet::HEADER_BYTES
            || !matches!(ethernet::kind(frame), ethernet::IPV4 | ethernet::IPV6)
            || ethernet::is_group(ethernet::destination(frame))
        {
            return;
        }
        let (to, from) = (ethernet::destination(frame), ethernet::source(frame));
        self.several_destinations |= self.destination.is_some_and(|known| known != to);
        self.destination.get_or_insert(to);
        self.ends.get_or_insert_with(|| vec![to, from]).retain(|mac| [to, from].contains(mac));
    }

    fn answer(&self) -> Result<Option<Mac>> {
        match (self.ends.as_deref(), self.destination) {
            (None, _) => Ok(None),
            (_, Some(to)) if !self.several_destinations => Ok(Some(to)),
            (Some([mac]), _) => Ok(Some(*mac)),
            (Some([]), _) => bail!("the capture has frames between other stations than the interface"),
            (Some(_), _) => {
                bail!("the capture has both directions between two stations, and either may be the interface")
            }
        }
    }
}

/// The stations that answer the engine's questions.
#[derive(Default)]
pub(super) struct Neighbors {
    seen: HashMap<(Port, IpAddr), Mac>,
}

impl Neighbors {
    /// A packet from this address came from this station.
    pub(super) fn saw(&mut self, port: Port, address: IpAddr, station: Mac) {
        if self.seen.len() < NEIGHBORS_MAX {
            self.seen.entry((port, address)).or_insert(station);
        }
    }

    /// The answer to a neighbour question; `None` when the frame is none.
    pub(super) fn answer(&self, port: Port, frame: &[u8]) -> Option<Vec<u8>> {
        match parse(frame, Meta::default()) {
            Ok(Parsed::Arp) => {
                let arp = Arp::read(frame)?;
                let mac = self.mac(port, IpAddr::V4(arp.target));
                (arp.operation == Operation::Request && arp.sender != arp.target).then(|| arp.reply(mac))
            }
            Ok(Parsed::Ip(packet)) => match ndp::Message::read(frame, &packet)? {
                ndp::Message::Solicitation { target, mac: Some(asker) } => {
                    let IpAddr::V6(source) = packet.source else { return None };
                    Some(ndp::advertise(self.mac(port, IpAddr::V6(target)), asker, source, target))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The MAC the captures know, else one made of the address.
    fn mac(&self, port: Port, address: IpAddr) -> Mac {
        if let Some(mac) = self.seen.get(&(port, address)) {
            return *mac;
        }
        let low = match address {
            IpAddr::V4(v4) => v4.to_bits(),
            IpAddr::V6(v6) => v6.to_bits() as u32,
        };
        let [a, b, c, d] = low.to_be_bytes();
        [0x02, 0xbe, a, b, c, d]
    }
}
