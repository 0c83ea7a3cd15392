//! How does one packet go through both firewalls?

use bartizan_engine::verdict::{DropReason, Port, Verdict};
use bartizan_packet::frame::{HEADROOM_BYTES, Meta};

use super::super::frames::{Packet, frame};
use super::super::generate::{interface_name, interface_number, own_mac};
use super::super::offload::Offload;
use super::super::pieces::{Shape, cut};
use super::super::random::Random;
use super::super::reference::reassembly::{Fragment, Kept};
use super::super::reference::{Answer, Expected};
use super::super::tally::Column;
use super::super::tunnels::LOWER;
use super::wire::wire;
use super::workers::Raw;
use super::{Mac, World};

/// The frames of a packet.
struct Pieces {
    frames: Vec<Vec<u8>>,
    /// What of them is a fragment that waits for others, beside each.
    fragments: Vec<Option<Fragment>>,
    /// A fragment in a packet that is in fragments itself.
    inside: Option<Fragment>,
    /// The longest IP packet among them, without what is around it.
    longest: usize,
    /// They make a packet.
    whole: bool,
    /// It is one frame.
    alone: bool,
}

/// Why a fragment is dropped by where fragments wait, and by nobody before.
const OF_REASSEMBLY: [DropReason; 5] = [
    DropReason::FragmentOverlap,
    DropReason::FragmentCount,
    DropReason::FragmentSource,
    DropReason::FragmentTable,
    DropReason::FragmentMemory,
];

/// Why new flows are dropped for how many there are.
const OF_FLOODS: [DropReason; 5] = [
    DropReason::FloodTcpSyn,
    DropReason::FloodUdp,
    DropReason::FloodIcmp,
    DropReason::FloodIcmpv6,
    DropReason::FloodOtherIp,
];

impl World {
    /// One packet through both firewalls, whole or in fragments. What left, if it was forwarded.
    pub(super) fn inject(
        &mut self,
        random: &mut Random,
        interface: &str,
        station: Mac,
        packet: &Packet,
    ) -> Result<Option<(String, Packet)>, String> {
        let reference = &mut self.reference;
        if reference.concerns_unseen(packet) || reference.counts_late() || reference.may_be_full() {
            return Ok(None);
        }
        let tunnel = self.network.tunnel.filter(|_| reference.header.is_some());
        reference.column = Column::new(packet.source.is_ipv6(), tunnel);
        self.tally.packets += 1;
        self.log.push(format!("{:9.3} {interface} {packet:?}", self.now as f64 / 1e9));
        let mut pieces = self.pieces(random, interface, station, packet);
        let wire = wire(&self.tables, interface);
        let (last, fragment) = (pieces.frames.pop().expect("a frame"), pieces.fragments.pop().flatten());
        for (bytes, fragment) in pieces.frames.into_iter().zip(pieces.fragments) {
            self.swallow(wire, bytes, [fragment.as_ref(), None])?;
        }
        let completes = fragment.as_ref().is_none_or(|fragment| self.completes(fragment));
        if !pieces.whole || !completes {
            return self.swallow(wire, last, [fragment.as_ref(), pieces.inside.as_ref()]).map(|()| None);
        }
        // Headers of tunnels go into the room in front, if there is any.
        let headroom = if random.percent(50) { HEADROOM_BYTES as u16 } else { 0 };
        let mut meta = Meta { vlan: wire.1, headroom, ..Meta::default() };
        let mut last = last;
        let offload = self.offload(random, packet, pieces.alone);
        let at = last.len().saturating_sub(packet.bytes().len());
        offload.apply(&mut last, at, packet, &mut meta);
        self.reference.segment_bytes = offload.segment_bytes;
        if offload.segment_bytes > 0 {
            pieces.longest = pieces.longest.min(packet.header_bytes() + usize::from(offload.segment_bytes));
        }
        let joined = self.reassembled();
        let (verdict, first) = self.deliver(Raw { port: wire.0, meta, bytes: last })?;
        if let Some(fragment) = fragment.filter(|_| self.reassembled() > joined) {
            self.reference.reassembly.add(&fragment, self.now);
        }
        if let Verdict::Drop(reason) = verdict {
            self.met(reason.as_str());
            self.log.push(format!("            dropped: {}", reason.as_str()));
        }
        self.reference.protection.flooded = OF_FLOODS.iter().any(|reason| verdict == Verdict::Drop(*reason));
        let expected = self.reference.packet(interface, station, packet, pieces.longest);
        if let Some(chance) = self.reference.protection.chance.take() {
            self.tally.dice(self.reference.protection.flooded, chance);
        }
        if self.reference.ambiguous {
            return Ok(None);
        }
        let context = |text: String| format!("{text}\n  verdict {verdict:?}\n  expected {expected:?}");
        let sent = self.drain(first).map_err(context)?;
        self.log.extend(sent.iter().map(|sent| format!("            -> {} {:?}", sent.interface, sent.packet)));
        if let Some(reason) = self.reference.named.filter(|reason| verdict != Verdict::Drop(*reason)) {
            return Err(context(format!("it is to be dropped as {}", reason.as_str())));
        }
        if verdict == Verdict::Drop(DropReason::NatCollision)
            && (self.reference.opens || !matches!(expected, Expected::Drop(Answer::Nothing)))
        {
            let may = self.reference.collide(&expected);
            return if may { Ok(None) } else { Err(context("no other session is in the way".into())) };
        }
        if verdict == Verdict::Drop(DropReason::NatPoolExhausted) {
            let may = self.reference.run_dry(&expected);
            return if may { Ok(None) } else { Err(context("there are addresses left".into())) };
        }
        self.judge(interface, station, packet, &expected, sent).map_err(context)
    }

    /// What of a packet its sender left to a network card. What is around it and summed was summed with it.
    fn offload(&mut self, random: &mut Random, packet: &Packet, alone: bool) -> Offload {
        let summed = self.network.tunnel.is_some_and(|tunnel| tunnel.v6) && self.reference.header.is_some();
        if !alone || summed {
            return Offload::default();
        }
        let offload = Offload::some(random, packet, self.network.tunnel.is_none());
        if offload.segment_bytes > 0 {
            self.met("left to the card to cut");
        } else if offload.checksum {
            self.met("left to the card to sum");
        }
        offload
    }

    /// The frames that a packet comes in.
    fn pieces(&mut self, random: &mut Random, interface: &str, station: Mac, packet: &Packet) -> Pieces {
        let own = own_mac(interface);
        let column = self.reference.column;
        let mut frames = vec![frame(own, station, packet)];
        let cut = cut(random, own, station, packet, self.tally.in_fragments as u16);
        let mut whole = true;
        if let Some((shape, fragments)) = cut {
            self.tally.in_fragments += 1;
            self.met("packet in fragments");
            self.log.push(format!("            in {} fragments, {shape:?}", fragments.len()));
            (frames, whole) = (fragments, shape == Shape::Whole);
        }
        let longest = frames.iter().map(Vec::len).fold(0, usize::max) - 14;
        self.reference.in_fragments = frames.len() > 1;
        let mut fragments: Vec<_> = frames.iter().map(|bytes| Fragment::read(interface, column, bytes)).collect();
        let mut inside = None;
        if let (Some(tunnel), Some(header)) = (self.network.tunnel, self.reference.header) {
            let side = interface_number(interface).expect("a side");
            let (shape, wrapped) = self.wrap(random, |inner| tunnel.wrap(side, header, inner), &frames);
            if let Some(shape) = shape {
                let lower = interface_name(LOWER);
                let column = Column { v6: tunnel.v6, ..Column::default() };
                inside = fragments.pop().flatten();
                fragments = wrapped.iter().map(|bytes| Fragment::read(&lower, column, bytes)).collect();
                whole &= shape == Shape::Whole;
            }
            frames = wrapped;
        }
        let alone = frames.len() == 1;
        Pieces { frames, fragments, inside, longest, whole, alone }
    }

    /// A fragment that does not complete its datagram, or one in another that it does complete.
    fn swallow(
        &mut self,
        (port, vlan): (Port, u16),
        bytes: Vec<u8>,
        [fragment, inside]: [Option<&Fragment>; 2],
    ) -> Result<(), String> {
        let meta = Meta { vlan, ..Meta::default() };
        let joined = self.reassembled();
        let (verdict, _) = self.deliver(Raw { port, meta, bytes })?;
        let sent = self.drain(None)?.len();
        if let Verdict::Drop(reason) = verdict {
            self.met(reason.as_str());
            self.log.push(format!("            a fragment dropped: {}", reason.as_str()));
        }
        let alone = match verdict {
            Verdict::Consumed => Kept::Waits,
            Verdict::Drop(reason) if OF_REASSEMBLY.contains(&reason) => Kept::No(reason),
            // Somebody before refused it.
            Verdict::Drop(_) if sent == 0 => {
                if let Some(fragment) = fragment.filter(|_| self.reassembled() > joined) {
                    self.reference.reassembly.add(fragment, self.now);
                }
                return Ok(());
            }
            _ => return Err(format!("a fragment alone came to {verdict:?}, {sent} frames left")),
        };
        if sent > 0 {
            return Err(format!("a fragment alone made {sent} frames leave"));
        }
        let Some(fragment) = fragment.filter(|_| self.engines.len() == 1) else { return Ok(()) };
        let mut kept = self.reference.reassembly.add(fragment, self.now);
        if let (Kept::Whole, Some(inside)) = (kept, inside) {
            kept = self.reference.reassembly.add(inside, self.now);
        }
        if kept == alone { Ok(()) } else { Err(format!("a fragment came to {alone:?} instead of {kept:?}")) }
    }

    /// Whether a fragment completes its datagram, if nobody refuses it.
    fn completes(&self, fragment: &Fragment) -> bool {
        self.engines.len() > 1 || self.reference.reassembly.clone().add(fragment, self.now) == Kept::Whole
    }

    fn reassembled(&self) -> u64 {
        self.engines.iter().map(|engine| engine.counters().datagrams_reassembled).sum()
    }

    /// As many fragments were given up as should have been.
    pub(super) fn compare_fragments(&self) -> Result<(), String> {
        let [engine] = &self.engines[..] else { return Ok(()) };
        for reason in [DropReason::FragmentTimeout, DropReason::FragmentTable, DropReason::FragmentMemory] {
            let right = self.reference.reassembly.given_up.get(reason.as_str()).copied().unwrap_or(0);
            let found = engine.counters().dropped(reason);
            if right != found {
                return Err(format!("{found} fragments were given up as {}, not {right}", reason.as_str()));
            }
        }
        Ok(())
    }
}
