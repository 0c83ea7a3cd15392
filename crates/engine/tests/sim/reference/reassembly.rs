//! Which fragments wait for which? A list of datagrams, the oldest first, each with all of its parts.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use bartizan_engine::verdict::DropReason;

use super::super::bounds::Fragments;
use super::super::tally::Column;
use super::{SECOND, Time};

/// How long a datagram waits for the rest of it.
const PATIENCE: Time = 30 * SECOND;

/// What a fragment costs besides its bytes.
const COST: usize = 64;

/// A fragment in a frame.
#[derive(Clone, Debug)]
pub(crate) struct Fragment {
    datagram: Name,
    offset: usize,
    data: Vec<u8>,
    more: bool,
    column: Column,
}

/// Interface, addresses, protocol (of IPv4) and identification.
type Name = (String, IpAddr, IpAddr, u8, u32);

/// What becomes of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Waits,
    /// Its datagram is complete.
    Whole,
    No(DropReason),
}

/// A datagram of which something is missing.
#[derive(Clone, Debug)]
struct Datagram {
    name: Name,
    begun: Time,
    parts: Vec<(usize, Vec<u8>)>,
    end: Option<usize>,
    contradictory: bool,
    column: Column,
}

/// All that waits.
#[derive(Clone, Debug)]
pub(crate) struct Reassembly {
    datagrams: Vec<Datagram>,
    bounds: Fragments,
    /// How many fragments were given up, by why.
    pub(crate) given_up: BTreeMap<&'static str, u64>,
    pub(crate) met: Vec<(&'static str, Column)>,
}

impl Fragment {
    /// The fragment that a frame is, if it is one.
    pub(crate) fn read(interface: &str, column: Column, frame: &[u8]) -> Option<Self> {
        let word = |at: usize| usize::from(frame[at]) << 8 | usize::from(frame[at + 1]);
        let (name, field, start, end) = if frame[12..14] == [8, 0] {
            let address = |at: usize| IpAddr::from([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]]);
            let name = (interface.to_owned(), address(26), address(30), frame[23], word(18) as u32);
            (name, word(20) & 0x3fff, 34, 14 + word(16))
        } else {
            let address = |at: usize| -> IpAddr {
                let octets: [u8; 16] = frame[at..at + 16].try_into().expect("16 bytes");
                Ipv6Addr::from(octets).into()
            };
            if frame[20] != 44 {
                return None;
            }
            let identification = (word(58) << 16 | word(60)) as u32;
            let name = (interface.to_owned(), address(22), address(38), 0, identification);
            let field = word(56);
            (name, field >> 3 | (field & 1) << 13, 62, 54 + word(18))
        };
        let fragment = Self {
            datagram: name,
            offset: (field & 0x1fff) * 8,
            data: frame[start..end].to_vec(),
            more: field & 0x2000 != 0,
            column,
        };
        (field != 0).then_some(fragment)
    }
}

impl Datagram {
    fn cost(&self) -> usize {
        self.parts.iter().map(|(_, data)| data.len() + COST).sum()
    }
}

impl Reassembly {
    pub(crate) fn new(bounds: Fragments) -> Self {
        Self { datagrams: Vec::new(), bounds, given_up: BTreeMap::new(), met: Vec::new() }
    }

    /// Whoever waited too long waits no more.
    pub(crate) fn expire(&mut self, now: Time) {
        while self.datagrams.first().is_some_and(|oldest| oldest.begun + PATIENCE <= now) {
            self.give_up_oldest(DropReason::FragmentTimeout);
        }
    }

    /// Another fragment.
    pub(crate) fn add(&mut self, fragment: &Fragment, now: Time) -> Kept {
        self.expire(now);
        let known = self.datagrams.iter().position(|datagram| datagram.name == fragment.datagram);
        if known.is_none() {
            let (interface, source, ..) = &fragment.datagram;
            let same = |other: &&Datagram| (&other.name.0, &other.name.1) == (interface, source);
            if self.datagrams.iter().filter(same).count() >= self.bounds.of_source {
                return Kept::No(DropReason::FragmentSource);
            }
            if self.datagrams.len() >= self.bounds.datagrams {
                self.give_up_oldest(DropReason::FragmentTable);
            }
            self.datagrams.push(Datagram {
                name: fragment.datagram.clone(),
                begun: now,
                parts: Vec::new(),
                end: None,
                contradictory: false,
                column: fragment.column,
            });
        }
        let at = known.unwrap_or(self.datagrams.len() - 1);
        let kept = self.datagrams[at].add(fragment, self.bounds.of_datagram);
        if kept == Kept::Whole {
            self.datagrams.remove(at);
        }
        while self.datagrams.iter().map(Datagram::cost).sum::<usize>() > self.bounds.bytes {
            self.give_up_oldest(DropReason::FragmentMemory);
        }
        kept
    }

    fn give_up_oldest(&mut self, why: DropReason) {
        let lost = self.datagrams.remove(0);
        self.met.push((why.as_str(), lost.column));
        *self.given_up.entry(why.as_str()).or_default() += lost.parts.len() as u64;
    }
}

impl Datagram {
    fn add(&mut self, fragment: &Fragment, most: usize) -> Kept {
        let Fragment { offset, data, more, .. } = fragment;
        let end = offset + data.len();
        if self.contradictory {
            return Kept::No(DropReason::FragmentOverlap);
        }
        if self.parts.contains(&(*offset, data.clone())) {
            return Kept::Waits;
        }
        let end_of = |(offset, data): &(usize, Vec<u8>)| offset + data.len();
        let overlaps = self.parts.iter().any(|part| part.0 < end && *offset < end_of(part));
        let beyond = self.end.is_some_and(|known| end > known || !more)
            || (!more && self.parts.iter().any(|part| end_of(part) > end));
        if overlaps || beyond {
            (self.contradictory, self.parts) = (true, Vec::new());
            return Kept::No(DropReason::FragmentOverlap);
        }
        if self.parts.len() >= most {
            return Kept::No(DropReason::FragmentCount);
        }
        self.parts.push((*offset, data.clone()));
        if !more {
            self.end = Some(end);
        }
        let length = self.parts.iter().map(|(_, data)| data.len()).sum();
        if self.end == Some(length) { Kept::Whole } else { Kept::Waits }
    }
}
