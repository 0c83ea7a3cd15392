//! Which session does this flow belong to?
//!
//! Sessions and their records live in two slabs of the same positions; an index of keyed hashes finds
//! them by either direction. Index entries carry half of the hash, so that a probe touches the slab only
//! for the session it wants. All three have their room from the start: the kernel gives memory when it
//! is first used, and no growth ever copies a table while packets wait.

use std::ops::{self, Range};

use ahash::RandomState;

use crate::index::Index;
use crate::key::Key;
use crate::session::{Direction, Record, Session};
use crate::verdict::SessionView;

/// Position of a session in the slab.
pub(crate) type Slot = u32;

/// Slots are 31 bits, because an index entry keeps the direction beside them; the index wants one spare.
const SLOTS_MAX: usize = (1 << 31) - 1;

/// The session table of one worker.
pub(crate) struct Table {
    /// Slot, and the direction in the lowest bit.
    index: Index,
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
            index: Index::new(max * 2),
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
        let found = self.index.find(self.hash(key), |target| {
            let (slot, direction) = split(target);
            self.is_at(slot, direction, key)
        });
        found.map(split)
    }

    /// What the index knows a flow by.
    #[inline]
    pub(crate) fn hash(&self, key: &Key) -> u32 {
        (self.hasher.hash_one(key) >> 32) as u32
    }

    /// Reads ahead where the index says what flows have this hash; the result means nothing.
    #[inline]
    pub(crate) fn touch_index(&self, hash: u32) -> u32 {
        self.index.touch(hash)
    }

    /// Where the flow with this hash may be: another one may have the same.
    #[inline]
    pub(crate) fn guess(&self, hash: u32) -> Option<(Slot, Direction)> {
        self.index.find(hash, |_| true).map(split)
    }

    /// Reads a session ahead, all of its cache lines; the result means nothing.
    #[inline]
    pub(crate) fn touch(&self, slot: Slot) -> u64 {
        let session = &self[slot];
        session.sides[0].counts.0 ^ session.sides[1].counts.0 ^ session.last.0
    }

    /// The session that is or was in a slot.
    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> Option<&Session> {
        self.slots.get(slot as usize)
    }

    /// Whether a flow is this direction of the session in a slot.
    #[inline]
    pub(crate) fn is_at(&self, slot: Slot, direction: Direction, key: &Key) -> bool {
        self.slots.get(slot as usize).is_some_and(|session| session.sides[direction.index()].key == *key)
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
            let found_room = self.index.insert(hash, join(slot, direction));
            debug_assert!(found_room, "the index has room for both directions of every session");
        }
        slot
    }

    pub(crate) fn remove(&mut self, slot: Slot) {
        for direction in [Direction::ClientToServer, Direction::ServerToClient] {
            let hash = self.hash(&self[slot].sides[direction.index()].key);
            self.index.remove(hash, join(slot, direction));
        }
        self[slot].live = false;
        self.free.push(slot);
    }

    /// Where the index and the two slabs lie.
    pub(crate) fn memory(&self) -> [Range<usize>; 3] {
        [self.index.memory(), room_of(&self.slots), room_of(&self.records)]
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
}

/// The addresses of a vector's room.
pub(crate) fn room_of<T>(vector: &Vec<T>) -> Range<usize> {
    let start = vector.as_ptr().addr();
    start..start + vector.capacity() * size_of::<T>()
}

#[inline]
fn join(slot: Slot, direction: Direction) -> u32 {
    slot << 1 | direction.index() as u32
}

#[inline]
fn split(target: u32) -> (Slot, Direction) {
    (target >> 1, if target & 1 == 0 { Direction::ClientToServer } else { Direction::ServerToClient })
}

impl ops::Index<Slot> for Table {
    type Output = Session;

    #[inline]
    fn index(&self, slot: Slot) -> &Session {
        &self.slots[slot as usize]
    }
}

impl ops::IndexMut<Slot> for Table {
    #[inline]
    fn index_mut(&mut self, slot: Slot) -> &mut Session {
        &mut self.slots[slot as usize]
    }
}
