//! At which MAC is a neighbour, and what waits until that is known?
//!
//! ARP and NDP share one table per worker. A question is asked three times, a second apart; a neighbour
//! that does not answer is not asked again for a while. A known one in use is asked again every minute,
//! so that a gateway that moved is found; one out of use is forgotten.

use std::net::IpAddr;

use ahash::RandomState;
use bartizan_packet::ethernet::Mac;
use bartizan_packet::frame::Meta;
use hashbrown::HashMap;

use crate::settings::{Limits, SECOND};
use crate::verdict::{Port, Time};

/// Time between two questions (RFC 4861's RETRANS_TIMER).
const RETRY: u64 = SECOND;
/// Questions before giving up (RFC 4861's MAX_MULTICAST_SOLICIT).
const TRIES: u8 = 3;
/// How long a neighbour that did not answer is left alone.
const NEGATIVE: u64 = 3 * SECOND;
/// How long an answer is trusted.
const TRUSTED: u64 = 60 * SECOND;

/// A remembered position in the table; stale once the neighbour was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NeighborRef {
    index: u32,
    version: u32,
}

impl NeighborRef {
    pub(crate) const NONE: Self = Self { index: u32::MAX, version: 0 };
}

/// A frame that waits for its neighbour's MAC; its own source MAC is already set.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) bytes: Vec<u8>,
    pub(crate) meta: Meta,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    /// Asked so many times.
    Asking(u8),
    /// Known, and asked again so many times.
    Known(u8),
    Permanent,
    Silent,
}

struct Neighbor {
    port: Port,
    address: IpAddr,
    mac: Mac,
    state: State,
    version: u32,
    used: bool,
    due: Time,
    waiting: Vec<Waiting>,
}

/// What a look-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Its MAC.
    Known(NeighborRef, Mac),
    /// It was asked before: wait.
    Asked(NeighborRef),
    /// Nobody asked so far: ask, and wait.
    Unasked(NeighborRef),
    /// It does not answer.
    Silent,
    /// No room to remember another neighbour.
    Full,
}

/// What the caller has to do about a neighbour whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Ask (again).
    Ask(Port, IpAddr),
    /// It did not answer: so many frames were waiting.
    GaveUp(usize),
}

/// All neighbours of one worker.
pub(crate) struct Neighbors {
    index: HashMap<(Port, IpAddr), u32, RandomState>,
    entries: Vec<Neighbor>,
    free: Vec<u32>,
    waiting_bytes: usize,
    limits: Limits,
    next_due: Option<Time>,
}

impl Neighbors {
    pub(crate) fn new(limits: Limits, seed: u64) -> Self {
        Self {
            index: HashMap::with_hasher(RandomState::with_seeds(seed, 4, 5, 6)),
            entries: Vec::new(),
            free: Vec::new(),
            waiting_bytes: 0,
            limits,
            next_due: None,
        }
    }

    /// The MAC of a neighbour found before, if it is still known.
    #[inline]
    pub(crate) fn mac(&mut self, reference: NeighborRef) -> Option<Mac> {
        let neighbor = self.entries.get_mut(reference.index as usize)?;
        if neighbor.version != reference.version || !matches!(neighbor.state, State::Known(_) | State::Permanent) {
            return None;
        }
        neighbor.used = true;
        Some(neighbor.mac)
    }

    /// Looks a neighbour up; one that nobody asked for becomes asked for.
    pub(crate) fn find(&mut self, port: Port, address: IpAddr, now: Time) -> Found {
        let Some(index) = self.index.get(&(port, address)).copied().or_else(|| self.add(port, address)) else {
            return Found::Full;
        };
        let neighbor = &mut self.entries[index as usize];
        let reference = NeighborRef { index, version: neighbor.version };
        neighbor.used = true;
        match neighbor.state {
            State::Known(_) | State::Permanent => Found::Known(reference, neighbor.mac),
            State::Asking(_) => Found::Asked(reference),
            State::Silent => Found::Silent,
            State::Free => {
                neighbor.state = State::Asking(1);
                self.set_due(index, now.after(RETRY));
                Found::Unasked(reference)
            }
        }
    }

    /// All neighbours, with the MAC of those that are known.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Port, IpAddr, Option<Mac>)> {
        self.entries.iter().filter(|neighbor| neighbor.state != State::Free).map(|neighbor| {
            let known = matches!(neighbor.state, State::Known(_) | State::Permanent);
            (neighbor.port, neighbor.address, known.then_some(neighbor.mac))
        })
    }

    /// Whether a neighbour is known or asked for.
    pub(crate) fn knows(&self, port: Port, address: IpAddr) -> bool {
        self.index.contains_key(&(port, address))
    }

    /// Keeps a frame until the neighbour is known. `false` when there is no room.
    pub(crate) fn wait(&mut self, reference: NeighborRef, frame: Waiting) -> bool {
        let Some(neighbor) = self.entries.get_mut(reference.index as usize) else { return false };
        let bytes = self.waiting_bytes + frame.bytes.len();
        if neighbor.waiting.len() >= self.limits.waiting_per_neighbor || bytes > self.limits.waiting_bytes {
            return false;
        }
        self.waiting_bytes = bytes;
        neighbor.waiting.push(frame);
        true
    }

    /// A neighbour said where it is. Gives back the frames that waited for it; `None` when this was
    /// known already, or the neighbour is new and there is no room.
    pub(crate) fn learn(&mut self, port: Port, address: IpAddr, mac: Mac, now: Time) -> Option<Vec<Waiting>> {
        let index = self.index.get(&(port, address)).copied().or_else(|| self.add(port, address))?;
        let neighbor = &mut self.entries[index as usize];
        if neighbor.state == State::Permanent {
            return None;
        }
        let news = neighbor.mac != mac || !matches!(neighbor.state, State::Known(_));
        neighbor.mac = mac;
        neighbor.state = State::Known(0);
        let waiting = std::mem::take(&mut neighbor.waiting);
        self.waiting_bytes -= waiting.iter().map(|frame| frame.bytes.len()).sum::<usize>();
        self.set_due(index, now.after(TRUSTED));
        news.then_some(waiting)
    }

    /// A neighbour that is where it is, without asking.
    pub(crate) fn fix(&mut self, port: Port, address: IpAddr, mac: Mac) {
        let Some(index) = self.index.get(&(port, address)).copied().or_else(|| self.add(port, address)) else { return };
        let neighbor = &mut self.entries[index as usize];
        neighbor.mac = mac;
        neighbor.state = State::Permanent;
    }

    /// Forgets all neighbours behind a port; gives back how many frames waited for them.
    pub(crate) fn forget_port(&mut self, port: Port) -> usize {
        let mut lost = 0;
        for index in 0..self.entries.len() {
            if self.entries[index].port == port && self.entries[index].state != State::Free {
                lost += self.forget(index as u32);
            }
        }
        lost
    }

    /// One neighbour whose time has come.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<Due> {
        if self.next_due.is_none_or(|due| due > now) {
            return None;
        }
        for index in 0..self.entries.len() as u32 {
            let neighbor = &self.entries[index as usize];
            if !neighbor.is_timed() || neighbor.due > now {
                continue;
            }
            if let Some(due) = self.expire(index, now) {
                return Some(due);
            }
        }
        self.next_due = self.entries.iter().filter(|entry| entry.is_timed()).map(|entry| entry.due).min();
        None
    }

    /// When `pop_due` may have something.
    pub(crate) fn next_due(&self) -> Option<Time> {
        self.next_due
    }

    fn expire(&mut self, index: u32, now: Time) -> Option<Due> {
        let neighbor = &mut self.entries[index as usize];
        let (port, address) = (neighbor.port, neighbor.address);
        match neighbor.state {
            State::Asking(tries) if tries < TRIES => {
                neighbor.state = State::Asking(tries + 1);
                neighbor.due = now.after(RETRY);
                Some(Due::Ask(port, address))
            }
            State::Asking(_) => {
                neighbor.state = State::Silent;
                neighbor.due = now.after(NEGATIVE);
                let waiting = std::mem::take(&mut neighbor.waiting);
                self.waiting_bytes -= waiting.iter().map(|frame| frame.bytes.len()).sum::<usize>();
                Some(Due::GaveUp(waiting.len()))
            }
            State::Known(tries) if tries < TRIES && (neighbor.used || tries > 0) => {
                neighbor.state = State::Known(tries + 1);
                neighbor.used = false;
                neighbor.due = now.after(RETRY);
                Some(Due::Ask(port, address))
            }
            State::Known(_) | State::Silent => {
                self.forget(index);
                None
            }
            State::Free | State::Permanent => None,
        }
    }

    fn add(&mut self, port: Port, address: IpAddr) -> Option<u32> {
        if self.free.is_empty() && self.entries.len() >= self.limits.neighbors {
            let idle = self.entries.iter().position(|entry| {
                entry.state == State::Silent || (matches!(entry.state, State::Known(_)) && !entry.used)
            })?;
            self.forget(idle as u32);
        }
        let neighbor = Neighbor {
            port,
            address,
            mac: [0; 6],
            state: State::Free,
            version: 0,
            used: false,
            due: Time(0),
            waiting: Vec::new(),
        };
        let index = match self.free.pop() {
            Some(index) => {
                let version = self.entries[index as usize].version;
                self.entries[index as usize] = Neighbor { version, ..neighbor };
                index
            }
            None => {
                self.entries.push(neighbor);
                (self.entries.len() - 1) as u32
            }
        };
        self.index.insert((port, address), index);
        Some(index)
    }

    fn forget(&mut self, index: u32) -> usize {
        let neighbor = &mut self.entries[index as usize];
        self.index.remove(&(neighbor.port, neighbor.address));
        neighbor.state = State::Free;
        neighbor.version = neighbor.version.wrapping_add(1);
        let waiting = std::mem::take(&mut neighbor.waiting);
        self.waiting_bytes -= waiting.iter().map(|frame| frame.bytes.len()).sum::<usize>();
        self.free.push(index);
        waiting.len()
    }

    fn set_due(&mut self, index: u32, due: Time) {
        self.entries[index as usize].due = due;
        self.next_due = Some(self.next_due.map_or(due, |next| next.min(due)));
    }
}

impl Neighbor {
    fn is_timed(&self) -> bool {
        !matches!(self.state, State::Free | State::Permanent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bartizan_policy::tables::IfaceId;

    const PORT: Port = Port::Data(IfaceId(1));
    const GATEWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const MAC: Mac = [2, 0, 0, 0, 0, 9];

    fn table(neighbors: usize) -> Neighbors {
        Neighbors::new(Limits { neighbors, waiting_per_neighbor: 2, waiting_bytes: 100, ..Limits::default() }, 7)
    }

    fn seconds(n: u64) -> Time {
        Time(n * SECOND)
    }

    fn frame(length: usize) -> Waiting {
        Waiting { bytes: vec![0; length], meta: Meta::default() }
    }

    #[test]
    fn three_questions_then_silence_then_again() {
        let mut table = table(8);
        let Found::Unasked(reference) = table.find(PORT, GATEWAY, seconds(0)) else { panic!() };
        assert!(table.wait(reference, frame(60)));
        assert!(!table.wait(reference, frame(60)), "over the byte limit");
        assert!(table.wait(reference, frame(40)));
        assert!(!table.wait(reference, frame(0)), "over the frame limit");
        assert_eq!(table.pop_due(Time(SECOND - 1)), None);
        assert_eq!(table.pop_due(seconds(1)), Some(Due::Ask(PORT, GATEWAY)));
        assert_eq!(table.pop_due(seconds(1)), None);
        assert_eq!(table.pop_due(seconds(2)), Some(Due::Ask(PORT, GATEWAY)));
        assert_eq!(table.pop_due(seconds(3)), Some(Due::GaveUp(2)));
        assert_eq!(table.find(PORT, GATEWAY, seconds(4)), Found::Silent);
        assert_eq!(table.pop_due(seconds(6)), None);
        assert!(matches!(table.find(PORT, GATEWAY, seconds(6)), Found::Unasked(_)));
    }

    #[test]
    fn an_answer_frees_the_frames_and_is_asked_for_again_when_used() {
        let mut table = table(8);
        let Found::Unasked(reference) = table.find(PORT, GATEWAY, seconds(0)) else { panic!() };
        assert!(table.wait(reference, frame(60)));
        assert_eq!(table.learn(PORT, GATEWAY, MAC, seconds(0)).unwrap().len(), 1);
        assert!(table.learn(PORT, GATEWAY, MAC, seconds(0)).is_none());
        assert_eq!(table.mac(reference), Some(MAC));
        assert_eq!(table.pop_due(seconds(60)), Some(Due::Ask(PORT, GATEWAY)));
        assert_eq!(table.mac(reference), Some(MAC), "known while being asked again");
        assert_eq!(table.pop_due(seconds(61)), Some(Due::Ask(PORT, GATEWAY)));
        assert_eq!(table.pop_due(seconds(62)), Some(Due::Ask(PORT, GATEWAY)));
        assert_eq!(table.pop_due(seconds(63)), None);
        assert_eq!(table.mac(reference), None, "forgotten");
    }

    #[test]
    fn a_full_table_makes_room_only_from_the_idle() {
        let mut table = table(1);
        assert!(matches!(table.find(PORT, GATEWAY, seconds(0)), Found::Unasked(_)));
        let other = IpAddr::from([10, 0, 0, 2]);
        assert_eq!(table.find(PORT, other, seconds(0)), Found::Full);
        for second in 1..=3 {
            assert!(table.pop_due(seconds(second)).is_some());
        }
        assert!(matches!(table.find(PORT, other, seconds(3)), Found::Unasked(_)));
    }
}
