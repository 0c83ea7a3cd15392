//! Which session does this flow belong to?
//!
//! Sessions and their records live in two slabs of the same positions; an index of keyed hashes finds
//! them by either direction. Index entries carry half of the hash, so that a probe touches the slab only
//! for the session it wants. All three have their room from the start: the kernel gives memory when it
//! is first used, and no growth ever copies a table while packets wait.

use std::ops::{Index, IndexMut};

use ahash::RandomState;
use hashbrown::HashTable;

use crate::key::Key;
use crate::session::{Direction, Record, Session};
use crate::verdict::SessionView;

/// Position of a session in the slab.
pub(crate) type Slot = u32;

/// Slots are 31 bits, because an index entry keeps the direction beside them.
const SLOTS_MAX: usize = 1 << 31;

#[derive(Clone, Copy)]
struct Entry {
    hash: u32,
    /// Slot, and the direction in the lowest bit.
    target: u32,
}

impl Entry {
    fn slot(self) -> usize {
        (self.target >> 1) as usize
    }

    fn direction(self) -> Direction {
        if self.target & 1 == 0 { Direction::ClientToServer } else { Direction::ServerToClient }
    }
}

/// The session table of one worker.
pub(crate) struct Table {
    index: HashTable<Entry>,
    slots: Vec<Session>,
    records: Vec<Record>,
    free: Vec<Slot>,
    hasher: RandomState,
    max: usize,
}

impl Table {
    pub(crate) fn new(max: usize, seed: u64) -> Self {
        let max = max.min(SLOTS_MAX);
        Self {
            index: HashTable::with_capacity(max * 2),
            slots: Vec::with_capacity(max),
            records: Vec::with_capacity(max),
            free: Vec::new(),
            hasher: RandomState::with_seeds(seed, !seed, seed.rotate_left(17), seed.rotate_left(41)),
            max,
        }
    }

    /// The session of a flow, and which direction of it the flow is.
    #[inline]
    pub(crate) fn find(&self, key: &Key) -> Option<(Slot, Direction)> {
        let hash = self.hash(key);
        let entry = self.index.find(spread(hash), |entry| entry.hash == hash && self.matches(*entry, key))?;
        Some((entry.target >> 1, entry.direction()))
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.find(key).is_some()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.max
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Slots ever used: the bound for walking them.
    pub(crate) fn slots(&self) -> Slot {
        self.slots.len() as Slot
    }

    /// Takes a session in; the caller has checked that there is room and that its keys are new.
    pub(crate) fn insert(&mut self, session: Session, record: Record) -> Slot {
        let slot = match self.free.pop() {
            Some(slot) => {
                self[slot] = session;
                *self.record_mut(slot) = record;
                slot
            }
            None => {
                self.slots.push(session);
                self.records.push(record);
                (self.slots.len() - 1) as Slot
            }
        };
        for &direction in self[slot].kind.directions() {
            let hash = self.hash(&self[slot].sides[direction.index()].key);
            let entry = Entry { hash, target: slot << 1 | direction.index() as u32 };
            self.index.insert_unique(spread(hash), entry, |entry| spread(entry.hash));
        }
        slot
    }

    pub(crate) fn remove(&mut self, slot: Slot) {
        for direction in [Direction::ClientToServer, Direction::ServerToClient] {
            let hash = self.hash(&self[slot].sides[direction.index()].key);
            let target = slot << 1 | direction.index() as u32;
            if let Ok(entry) = self.index.find_entry(spread(hash), |entry| entry.target == target) {
                entry.remove();
            }
        }
        self[slot].live = false;
        self.free.push(slot);
    }

    /// All sessions as they are shown.
    pub(crate) fn views(&self) -> impl Iterator<Item = SessionView> {
        let live = self.slots.iter().zip(&self.records).filter(|(session, _)| session.live);
        live.map(|(session, record)| session.view(record))
    }

    pub(crate) fn view(&self, slot: Slot) -> SessionView {
        self[slot].view(self.record(slot))
    }

    pub(crate) fn record(&self, slot: Slot) -> &Record {
        &self.records[slot as usize]
    }

    pub(crate) fn record_mut(&mut self, slot: Slot) -> &mut Record {
        &mut self.records[slot as usize]
    }

    #[inline]
    fn matches(&self, entry: Entry, key: &Key) -> bool {
        self.slots.get(entry.slot()).is_some_and(|session| session.sides[entry.direction().index()].key == *key)
    }

    #[inline]
    fn hash(&self, key: &Key) -> u32 {
        (self.hasher.hash_one(key) >> 32) as u32
    }
}

/// The index wants 64 bits: buckets from the low, tags from the high ones.
#[inline]
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Index<Slot> for Table {
    type Output = Session;

    #[inline]
    fn index(&self, slot: Slot) -> &Session {
        &self.slots[slot as usize]
    }
}

impl IndexMut<Slot> for Table {
    #[inline]
    fn index_mut(&mut self, slot: Slot) -> &mut Session {
        &mut self.slots[slot as usize]
    }
}
