//! Which rows may match? Sets of row slots, stored once each, intersected quickly.
//!
//! A set is cut into leaves of [`LEAF_ROWS`] slots, one cache line of bits each; equal leaves are stored once.
//! A class is one set: a summary (one bit for each leaf that is not empty) and the numbers of those leaves.
//! Sets of neighbouring classes differ in few rows, so they share all but a leaf or two.

use ahash::RandomState;
use hashbrown::HashTable;

/// Slots per word.
pub(crate) const WORD: usize = 64;
/// Words per leaf.
const LEAF_WORDS: usize = 8;
/// Slots per leaf.
pub(crate) const LEAF_ROWS: usize = LEAF_WORDS * WORD;

/// Memory of all classes of one rule base. A class of few rows needs about 100 bytes, and one more for
/// each 128 rows that are for any address.
pub(crate) const POOL_BYTES_MAX: usize = 1 << 30;

/// One cache line of slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(align(64))]
struct Leaf([u64; LEAF_WORDS]);

impl Leaf {
    const EMPTY: Self = Self([0; LEAF_WORDS]);
}

/// Set in a record's first word when the class holds every row.
const EVERY: u64 = 1 << 63;

/// The distinct row sets of one field.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    /// Words of a summary.
    summary: usize,
    leaves: Vec<Leaf>,
    /// For each class the place of its first member, then its summary.
    records: Vec<u64>,
    /// Leaf numbers.
    members: Vec<u32>,
}

/// One class, ready to be intersected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Set<'p> {
    summary: &'p [u64],
    members: &'p [u32],
    leaves: &'p [Leaf],
}

impl Pool {
    /// The set of a class; `None` for a class that does not exist.
    pub(crate) fn set(&self, class: u32) -> Option<Set<'_>> {
        let stride = self.summary + 1;
        let (first, summary) = self.records.get(class as usize * stride..)?.get(..stride)?.split_first()?;
        let members = self.members.get((first & !EVERY) as usize..)?;
        Some(Set { summary, members, leaves: &self.leaves })
    }

    /// Whether the class holds every row, so that intersecting with it changes nothing.
    pub(crate) fn is_every(&self, class: u32) -> bool {
        self.records.get(class as usize * (self.summary + 1)).is_some_and(|first| first & EVERY != 0)
    }

    /// Memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.leaves) + size_of_val(&*self.records) + size_of_val(&*self.members)
    }
}

impl Set<'_> {
    fn leaf(&self, word: usize, bit: u64) -> Leaf {
        let before: u32 = self.summary.iter().take(word).map(|bits| bits.count_ones()).sum();
        let here = self.summary.get(word).map_or(0, |bits| (bits & (bit - 1)).count_ones());
        let number = self.members.get((before + here) as usize).map(|number| *number as usize);
        number.and_then(|number| self.leaves.get(number)).copied().unwrap_or(Leaf::EMPTY)
    }
}

/// Which slot is which row. Rows that are alike in which of their fields are wide lie together, so that in
/// each group some field leaves few rows; each group begins with a new leaf and keeps the order of its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Order {
    /// The row in each slot; [`Order::NONE`] where a group ends before its leaf.
    pub(crate) rows: Vec<u32>,
    /// For each leaf, the first leaf of the next group.
    ends: Vec<u32>,
}

impl Order {
    /// No row.
    pub(crate) const NONE: u32 = u32::MAX;

    /// From each row's group.
    pub(crate) fn new(groups: &[u64]) -> Self {
        let mut sorted: Vec<u32> = (0..groups.len() as u32).collect();
        let group = |row: u32| groups.get(row as usize).copied();
        sorted.sort_by_key(|row| group(*row));
        let mut order = Self::default();
        for chunk in sorted.chunk_by(|a, b| group(*a) == group(*b)) {
            order.rows.extend_from_slice(chunk);
            order.rows.resize(order.rows.len().next_multiple_of(LEAF_ROWS), Self::NONE);
            let end = order.rows.len() / LEAF_ROWS;
            order.ends.resize(end, end as u32);
        }
        order
    }

    /// Rows with their slots.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (usize, usize)> {
        self.rows.iter().enumerate().filter(|(_, row)| **row != Self::NONE).map(|(slot, row)| (slot, *row as usize))
    }

    /// The first row that is in all the sets and accepted.
    pub(crate) fn first(&self, sets: &[Set<'_>], accept: impl Fn(usize) -> bool) -> Option<usize> {
        let mut best = Self::NONE;
        let mut group_end = 0;
        for word in 0..self.ends.len().div_ceil(WORD) {
            let mut busy = sets.iter().fold(u64::MAX, |bits, set| bits & set.summary.get(word).copied().unwrap_or(0));
            while busy != 0 {
                let leaf = word * WORD + busy.trailing_zeros() as usize;
                let bit = busy & busy.wrapping_neg();
                busy &= busy - 1;
                // Within a group the first is found already; elsewhere only an earlier row is of interest.
                if leaf < group_end || self.rows.get(leaf * LEAF_ROWS).is_none_or(|first| *first > best) {
                    continue;
                }
                if let Some(row) = self.first_in_leaf(sets, word, bit, leaf, &accept) {
                    best = best.min(row);
                    group_end = self.ends.get(leaf).map_or(usize::MAX, |end| *end as usize);
                }
            }
        }
        (best != Self::NONE).then_some(best as usize)
    }

    fn first_in_leaf(
        &self,
        sets: &[Set<'_>],
        word: usize,
        bit: u64,
        leaf: usize,
        accept: &impl Fn(usize) -> bool,
    ) -> Option<u32> {
        let mut common = [u64::MAX; LEAF_WORDS];
        for set in sets {
            let mut left = 0;
            for (word, other) in common.iter_mut().zip(set.leaf(word, bit).0) {
                *word &= other;
                left |= *word;
            }
            if left == 0 {
                return None;
            }
        }
        for (at, mut rows) in common.into_iter().enumerate() {
            while rows != 0 {
                let slot = leaf * LEAF_ROWS + at * WORD + rows.trailing_zeros() as usize;
                rows &= rows - 1;
                if let Some(row) = self.rows.get(slot)
                    && accept(*row as usize)
                {
                    return Some(*row);
                }
            }
        }
        None
    }
}

/// Builds a pool from a set that is changed little by little.
pub(crate) struct PoolBuilder {
    pool: Pool,
    bytes_max: usize,
    full: bool,
    rows: usize,
    hasher: RandomState,
    known_leaves: HashTable<u32>,
    known_classes: HashTable<(u64, u32)>,
    /// The set as it is now, and as it was when the last class was taken.
    current: Vec<Leaf>,
    numbers: Vec<u32>,
    summary: Vec<u64>,
    /// Exclusive or of one hash for each leaf that is not empty.
    hash: u64,
    /// Slots that are in.
    held: usize,
    /// Leaves that changed since.
    changed: Vec<u32>,
    changed_bits: Vec<u64>,
}

/// The number of no leaf.
const NO_LEAF: u32 = u32::MAX;

impl PoolBuilder {
    /// For sets over the slots of `order`, within `bytes_max` bytes.
    pub(crate) fn new(order: &Order, bytes_max: usize) -> Self {
        let leaves = order.ends.len();
        let summary = leaves.div_ceil(WORD);
        Self {
            pool: Pool { summary, ..Pool::default() },
            bytes_max,
            full: false,
            rows: order.slots().count(),
            hasher: RandomState::with_seeds(1, 2, 3, 4),
            known_leaves: HashTable::new(),
            known_classes: HashTable::new(),
            current: vec![Leaf::EMPTY; leaves],
            numbers: vec![NO_LEAF; leaves],
            summary: vec![0; summary],
            hash: 0,
            held: 0,
            changed: Vec::new(),
            changed_bits: vec![0; summary],
        }
    }

    /// Puts the slots in or, where they are in, out.
    pub(crate) fn toggle(&mut self, word: usize, bits: u64) {
        let leaf = word / LEAF_WORDS;
        let Some(words) = self.current.get_mut(leaf) else { return };
        words.0[word % LEAF_WORDS] ^= bits;
        if let Some(marks) = self.changed_bits.get_mut(leaf / WORD)
            && *marks & (1 << (leaf % WORD)) == 0
        {
            *marks |= 1 << (leaf % WORD);
            self.changed.push(leaf as u32);
        }
    }

    /// The class of the set as it is now.
    pub(crate) fn class(&mut self) -> u32 {
        for leaf in std::mem::take(&mut self.changed) {
            let at = leaf as usize;
            self.changed_bits[at / WORD] &= !(1 << (at % WORD));
            let number = self.leaf(self.current[at]);
            let before = self.pool.leaves.get(self.numbers[at] as usize).map_or(0, |leaf| ones(&leaf.0));
            self.held = self.held + ones(&self.current[at].0) - before;
            self.hash ^= self.weight(leaf, self.numbers[at]) ^ self.weight(leaf, number);
            self.numbers[at] = number;
            let bit = 1 << (at % WORD);
            match number {
                NO_LEAF => self.summary[at / WORD] &= !bit,
                _ => self.summary[at / WORD] |= bit,
            }
        }
        let (numbers, pool) = (&self.numbers, &self.pool);
        let stride = pool.summary + 1;
        let same = |(hash, class): &(u64, u32)| {
            let record = &pool.records[*class as usize * stride..][..stride];
            let first = (record[0] & !EVERY) as usize;
            *hash == self.hash
                && record[1..] == self.summary
                && numbers.iter().filter(|number| **number != NO_LEAF).eq(&pool.members[first..][..ones(&self.summary)])
        };
        if let Some((_, class)) = self.known_classes.find(self.hash, same) {
            return *class;
        }
        self.add()
    }

    fn add(&mut self) -> u32 {
        let class = (self.pool.records.len() / (self.pool.summary + 1)) as u32;
        let more = ones(&self.summary) * size_of::<u32>() + (self.pool.summary + 1) * size_of::<u64>();
        self.full |= self.pool.bytes() + more > self.bytes_max;
        if self.full {
            return 0;
        }
        let every = if self.held == self.rows { EVERY } else { 0 };
        self.pool.records.push(self.pool.members.len() as u64 | every);
        self.pool.records.extend_from_slice(&self.summary);
        self.pool.members.extend(self.numbers.iter().filter(|number| **number != NO_LEAF));
        self.known_classes.insert_unique(self.hash, (self.hash, class), |(hash, _)| *hash);
        class
    }

    fn weight(&self, leaf: u32, number: u32) -> u64 {
        if number == NO_LEAF { 0 } else { self.hasher.hash_one((leaf, number)) }
    }

    fn leaf(&mut self, leaf: Leaf) -> u32 {
        if leaf == Leaf::EMPTY || self.full {
            return NO_LEAF;
        }
        let (leaves, hasher) = (&mut self.pool.leaves, &self.hasher);
        let hash = hasher.hash_one(leaf);
        if let Some(number) = self.known_leaves.find(hash, |number| leaves[*number as usize] == leaf) {
            return *number;
        }
        let number = leaves.len() as u32;
        leaves.push(leaf);
        self.known_leaves.insert_unique(hash, number, |number| hasher.hash_one(leaves[*number as usize]));
        number
    }

    /// The pool, unless it outgrew its bound.
    pub(crate) fn finish(self) -> Option<Pool> {
        let mut pool = self.pool;
        pool.leaves.shrink_to_fit();
        pool.records.shrink_to_fit();
        pool.members.shrink_to_fit();
        (!self.full).then_some(pool)
    }
}

fn ones(words: &[u64]) -> usize {
    words.iter().map(|bits| bits.count_ones() as usize).sum()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn toggle(builder: &mut PoolBuilder, slots: impl Iterator<Item = usize>) {
        slots.for_each(|slot| builder.toggle(slot / WORD, 1 << (slot % WORD)));
    }

    proptest! {
        #[test]
        fn first_is_the_lowest_common_row(
            rows in 1usize..60_000,
            sets in prop::array::uniform3(prop::collection::btree_set(0usize..60_000, 0..400)),
            groups in 1u64..9,
            from in 0usize..60_000,
        ) {
            // Every set once more in each group, so that they meet often enough.
            let sets = sets.map(|set| {
                let low = set.iter().map(|row| row % 1000);
                set.iter().copied().chain(low).filter(|row| *row < rows).collect::<BTreeSet<_>>()
            });
            let group = |row: usize| (row as u64).wrapping_mul(0x9e37_79b9) >> 20 & 0xff;
            let order = Order::new(&(0..rows).map(|row| group(row) % groups).collect::<Vec<_>>());
            let mut builder = PoolBuilder::new(&order, POOL_BYTES_MAX);
            let classes = sets.clone().map(|members| {
                let slots = || order.slots().filter(|(_, row)| members.contains(row)).map(|(slot, _)| slot);
                toggle(&mut builder, slots());
                let class = builder.class();
                toggle(&mut builder, slots());
                let empty = builder.class();
                toggle(&mut builder, slots());
                assert_eq!(builder.class(), class);
                toggle(&mut builder, slots());
                assert_eq!(builder.class(), empty);
                class
            });
            let pool = builder.finish().unwrap();
            let common = sets[0].iter().copied().find(|row| sets[1].contains(row) && sets[2].contains(row) && *row >= from);
            let found = order.first(&classes.map(|class| pool.set(class).unwrap()), |row| row >= from);
            prop_assert_eq!(found, common);
        }
    }

    #[test]
    fn a_pool_that_outgrows_its_bound_is_refused() {
        let order = Order::new(&[0; 100]);
        let fill = |bytes_max| {
            let mut builder = PoolBuilder::new(&order, bytes_max);
            for row in 0..100 {
                toggle(&mut builder, [row].into_iter());
                builder.class();
            }
            builder.finish()
        };
        // One leaf, two words of record and one member per class.
        let bytes = 100 * (64 + 16 + 4);
        assert_eq!(fill(bytes).map(|pool| pool.bytes()), Some(bytes));
        assert!(fill(bytes - 1).is_none());
    }

    #[test]
    fn a_class_knows_whether_it_holds_every_row() {
        let order = Order::new(&[0, 1, 0]);
        let mut builder = PoolBuilder::new(&order, POOL_BYTES_MAX);
        toggle(&mut builder, order.slots().map(|(slot, _)| slot));
        let every = builder.class();
        toggle(&mut builder, [0].into_iter());
        let some = builder.class();
        let pool = builder.finish().unwrap();
        assert_eq!([pool.is_every(every), pool.is_every(some), pool.is_every(9)], [true, false, false]);
    }
}
