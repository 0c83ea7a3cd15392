//! Which fragments wait for which, and for how long?
//!
//! Bounded in datagrams, datagrams of one source, fragments of one datagram, and bytes. What is full makes
//! room by giving up the oldest datagram: fragments of one datagram come close together, so whoever fills the
//! store pushes out mostly what is incomplete for good.
//!
//! Fragments that overlap spoil their datagram, and what still comes of it (RFC 5722; the same for IPv4).
//! Exact copies are ignored.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ahash::RandomState;
use bartizan_packet::fragment::{Piece, finish_whole, mark_congestion, met_congestion};
use bartizan_packet::parse::Packet;
use hashbrown::HashMap;

use crate::counters::Counters;
use crate::settings::Limits;
use crate::verdict::{DropReason, Port, Time};

/// What keeping one fragment costs besides its bytes.
const FRAGMENT_COST: usize = 64;

/// What the fragments of one datagram have in common. Those that come by different ports do not meet: nobody
/// in one zone completes a datagram of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id {
    port: Port,
    source: IpAddr,
    destination: IpAddr,
    /// Part of it for IPv4 only.
    protocol: u8,
    identification: u32,
}

impl Id {
    pub(crate) fn of(port: Port, packet: &Packet, piece: &Piece) -> Self {
        Self {
            port,
            source: packet.source,
            destination: packet.destination,
            protocol: if packet.is_v4() { packet.protocol } else { 0 },
            identification: piece.identification,
        }
    }
}

/// A datagram put together.
#[derive(Clone, Debug)]
pub(crate) struct Whole {
    /// The frame.
    pub(crate) bytes: Vec<u8>,
    /// The longest of its fragments, as an IP packet.
    pub(crate) fragment_bytes: u16,
}

/// The data of one fragment.
struct Part {
    offset: usize,
    bytes: Vec<u8>,
}

impl Part {
    fn end(&self) -> usize {
        self.offset + self.bytes.len()
    }
}

/// A datagram of which something is missing.
struct Datagram {
    age: Age,
    /// In order, without overlap.
    parts: Vec<Part>,
    /// Headers, from the first fragment.
    head: Option<Vec<u8>>,
    /// Where it ends, from the last one.
    end: Option<usize>,
    fragment_bytes: u16,
    /// One of its fragments met congestion.
    congested: bool,
    /// Its fragments contradict one another.
    spoiled: bool,
    cost: usize,
}

/// When a datagram began, and which one it is of those that began then.
type Age = (Time, u64);

/// The fragments of one worker.
pub(crate) struct Reassembly {
    datagrams: HashMap<Id, Datagram, RandomState>,
    by_age: BTreeMap<Age, Id>,
    /// How many datagrams of one source at one port.
    sources: HashMap<(Port, IpAddr), usize, RandomState>,
    whole: Option<Whole>,
    begun: u64,
    cost: usize,
    limits: Limits,
    timeout: u64,
}

impl Reassembly {
    pub(crate) fn new(limits: Limits, timeout: u64, seed: u64) -> Self {
        Self {
            datagrams: HashMap::with_hasher(RandomState::with_seeds(seed, 13, 14, 15)),
            by_age: BTreeMap::new(),
            sources: HashMap::with_hasher(RandomState::with_seeds(seed, 16, 17, 18)),
            whole: None,
            begun: 0,
            cost: 0,
            limits,
            timeout,
        }
    }

    /// Keeps one fragment. If it was the last one missing, [`Reassembly::take_whole`] has the datagram.
    pub(crate) fn add(
        &mut self,
        id: Id,
        piece: &Piece,
        frame: &[u8],
        packet: &Packet,
        now: Time,
        counters: &mut Counters,
    ) -> Result<(), DropReason> {
        self.expire(now, counters);
        let data = frame.get(piece.data..piece.end).unwrap_or_default();
        if !self.datagrams.contains_key(&id) {
            self.begin(id, now, counters)?;
        }
        let Some(datagram) = self.datagrams.get_mut(&id) else { return Err(DropReason::FragmentTable) };
        if datagram.spoiled {
            return Err(DropReason::FragmentOverlap);
        }
        let at = datagram.parts.partition_point(|part| part.offset < piece.offset);
        if datagram.parts.get(at).is_some_and(|part| part.offset == piece.offset && part.bytes == data) {
            counters.fragments_repeated += 1;
            return Ok(());
        }
        if datagram.contradicts(at, piece, data.len()) {
            counters.drop_packets(DropReason::FragmentOverlap, datagram.parts.len() as u64);
            self.cost -= datagram.spoil();
            return Err(DropReason::FragmentOverlap);
        }
        if datagram.parts.len() >= self.limits.fragments_per_datagram {
            return Err(DropReason::FragmentCount);
        }
        let cost = data.len() + FRAGMENT_COST;
        datagram.cost += cost;
        self.cost += cost;
        datagram.parts.insert(at, Part { offset: piece.offset, bytes: data.to_vec() });
        datagram.fragment_bytes = datagram.fragment_bytes.max(packet.ip_bytes() as u16);
        datagram.congested |= met_congestion(frame, packet);
        if piece.offset == 0 {
            datagram.head = Some(piece.head(frame, packet));
        }
        if !piece.more {
            datagram.end = Some(piece.offset + data.len());
        }
        if datagram.is_complete() {
            self.whole = self.remove(&id).and_then(Datagram::into_whole);
        }
        while self.cost > self.limits.fragment_bytes {
            self.give_up_oldest(DropReason::FragmentMemory, counters);
        }
        Ok(())
    }

    /// The datagram that the last fragment completed.
    pub(crate) fn take_whole(&mut self) -> Option<Whole> {
        self.whole.take()
    }

    /// Gives up what waited too long.
    pub(crate) fn expire(&mut self, now: Time, counters: &mut Counters) {
        while self.next_due().is_some_and(|due| due <= now) {
            self.give_up_oldest(DropReason::FragmentTimeout, counters);
        }
    }

    /// When [`Reassembly::expire`] has something to do.
    pub(crate) fn next_due(&self) -> Option<Time> {
        self.by_age.first_key_value().map(|((begun, _), _)| begun.after(self.timeout))
    }

    fn begin(&mut self, id: Id, now: Time, counters: &mut Counters) -> Result<(), DropReason> {
        let of_source = self.sources.get(&(id.port, id.source)).copied().unwrap_or(0);
        if of_source >= self.limits.fragment_datagrams_per_source {
            return Err(DropReason::FragmentSource);
        }
        if self.datagrams.len() >= self.limits.fragment_datagrams {
            self.give_up_oldest(DropReason::FragmentTable, counters);
        }
        if self.datagrams.len() >= self.limits.fragment_datagrams {
            return Err(DropReason::FragmentTable);
        }
        self.begun += 1;
        let age = (now, self.begun);
        let datagram = Datagram {
            age,
            parts: Vec::new(),
            head: None,
            end: None,
            fragment_bytes: 0,
            congested: false,
            spoiled: false,
            cost: 0,
        };
        self.datagrams.insert(id, datagram);
        self.by_age.insert(age, id);
        *self.sources.entry((id.port, id.source)).or_insert(0) += 1;
        Ok(())
    }

    fn give_up_oldest(&mut self, reason: DropReason, counters: &mut Counters) {
        let Some((_, id)) = self.by_age.pop_first() else { return };
        if let Some(datagram) = self.remove(&id) {
            counters.drop_packets(reason, datagram.parts.len() as u64);
        }
    }

    fn remove(&mut self, id: &Id) -> Option<Datagram> {
        let datagram = self.datagrams.remove(id)?;
        self.by_age.remove(&datagram.age);
        self.cost -= datagram.cost;
        let source = (id.port, id.source);
        if let Some(count) = self.sources.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&source);
            }
        }
        Some(datagram)
    }
}

impl Datagram {
    /// Whether a fragment that would come `at` this place overlaps others, or ends elsewhere than they say.
    fn contradicts(&self, at: usize, piece: &Piece, length: usize) -> bool {
        let end = piece.offset + length;
        let overlaps = self.parts.get(at).is_some_and(|next| next.offset < end)
            || at.checked_sub(1).is_some_and(|before| self.parts[before].end() > piece.offset);
        let known_end = self.end.is_some_and(|known| end > known || !piece.more);
        let beyond = !piece.more && self.parts.last().is_some_and(|last| last.end() > end);
        overlaps || known_end || beyond
    }

    /// Forgets the data, but not that it was contradictory; what that frees.
    fn spoil(&mut self) -> usize {
        self.spoiled = true;
        self.parts = Vec::new();
        self.head = None;
        std::mem::take(&mut self.cost)
    }

    fn is_complete(&self) -> bool {
        let mut reached = 0;
        let gapless = self.parts.iter().all(|part| {
            let follows = part.offset == reached;
            reached = part.end();
            follows
        });
        gapless && self.head.is_some() && self.end == Some(reached)
    }

    fn into_whole(self) -> Option<Whole> {
        let mut bytes = self.head?;
        bytes.reserve_exact(self.end.unwrap_or(0));
        self.parts.iter().for_each(|part| bytes.extend_from_slice(&part.bytes));
        if self.congested {
            mark_congestion(&mut bytes);
        }
        finish_whole(&mut bytes);
        Some(Whole { bytes, fragment_bytes: self.fragment_bytes })
    }
}
