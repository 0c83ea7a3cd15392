//! Which rows may match? Sets of row numbers, stored once each, intersected quickly.
//!
//! A class is one set: a summary (one bit per word of 64 rows that is not empty), then the words.

use std::collections::HashMap;

/// Rows per word.
pub(crate) const WORD: usize = 64;

/// Memory of all classes of one rule base. 5,000 rules that share no address need 10 MB; the product of
/// rules and distinct classes is what grows.
pub(crate) const POOL_BYTES_MAX: usize = 1 << 30;

/// The distinct row sets of one rule base.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    words: usize,
    summary: usize,
    data: Vec<u64>,
    count: usize,
    full: bool,
}

/// Builds a pool, finding equal sets by hash.
pub(crate) struct PoolBuilder {
    pool: Pool,
    known: HashMap<u64, u32, ahash::RandomState>,
    hasher: ahash::RandomState,
    bytes_max: usize,
}

impl PoolBuilder {
    pub(crate) fn new(rows: usize, bytes_max: usize) -> Self {
        let words = rows.div_ceil(WORD);
        let hasher = ahash::RandomState::with_seeds(1, 2, 3, 4);
        let pool = Pool { words, summary: words.div_ceil(WORD), data: Vec::new(), count: 0, full: false };
        Self { pool, known: HashMap::with_hasher(hasher.clone()), hasher, bytes_max }
    }

    /// An empty set to fill with [`set`] and [`intern`](Self::intern).
    pub(crate) fn blank(&self) -> Vec<u64> {
        vec![0; self.pool.words]
    }

    /// The class of a set.
    pub(crate) fn intern(&mut self, words: &[u64]) -> u32 {
        let mut hash = self.hasher.hash_one(words);
        while let Some(class) = self.known.get(&hash) {
            if self.pool.class(*class).1 == words {
                return *class;
            }
            hash = hash.wrapping_add(1);
        }
        if (self.pool.data.len() + self.pool.stride()) * size_of::<u64>() > self.bytes_max {
            self.pool.full = true;
            return 0;
        }
        let class = self.pool.count as u32;
        self.known.insert(hash, class);
        self.pool.count += 1;
        let summaries = words
            .chunks(WORD)
            .map(|chunk| chunk.iter().enumerate().fold(0, |bits, (at, word)| bits | (u64::from(*word != 0) << at)));
        self.pool.data.extend(summaries);
        self.pool.data.extend_from_slice(words);
        class
    }

    /// The pool, unless it outgrew its bound.
    pub(crate) fn finish(self) -> Option<Pool> {
        (!self.pool.full).then_some(self.pool)
    }
}

/// Adds a row to a set.
pub(crate) fn set(words: &mut [u64], row: usize) {
    if let Some(word) = words.get_mut(row / WORD) {
        *word |= 1 << (row % WORD);
    }
}

impl Pool {
    fn stride(&self) -> usize {
        self.summary + self.words
    }

    /// Summary and words of a class; empty for a class that does not exist.
    fn class(&self, class: u32) -> (&[u64], &[u64]) {
        let at = class as usize * self.stride();
        let record = self.data.get(at..at + self.stride()).unwrap_or_default();
        record.split_at_checked(self.summary).unwrap_or_default()
    }

    /// The first row that is in all the classes and accepted.
    pub(crate) fn first<const N: usize>(
        &self,
        classes: [u32; N],
        mut accept: impl FnMut(usize) -> bool,
    ) -> Option<usize> {
        let summaries = classes.map(|class| self.class(class).0);
        let words = classes.map(|class| self.class(class).1);
        let meet = |sets: &[&[u64]; N], at: usize| {
            sets.iter().fold(u64::MAX, |bits, set| bits & set.get(at).copied().unwrap_or(0))
        };
        for block in 0..self.summary {
            let mut busy = meet(&summaries, block);
            while busy != 0 {
                let word = block * WORD + busy.trailing_zeros() as usize;
                busy &= busy - 1;
                let mut rows = meet(&words, word);
                while rows != 0 {
                    let row = word * WORD + rows.trailing_zeros() as usize;
                    if accept(row) {
                        return Some(row);
                    }
                    rows &= rows - 1;
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn first_is_the_lowest_common_row(
            rows in 1usize..9000,
            sets in prop::array::uniform3(prop::collection::btree_set(0usize..9000, 0..400)),
            skip in 0usize..3,
        ) {
            let mut builder = PoolBuilder::new(rows, POOL_BYTES_MAX);
            let classes = sets.clone().map(|members| {
                let mut words = builder.blank();
                members.iter().filter(|row| **row < rows).for_each(|row| set(&mut words, *row));
                assert_eq!(builder.intern(&words), builder.intern(&words));
                builder.intern(&words)
            });
            let pool = builder.finish().unwrap();
            let common = sets[0].iter().filter(|row| **row < rows && sets[1].contains(row) && sets[2].contains(row));
            let mut seen = 0;
            let found = pool.first(classes, |_| { seen += 1; seen > skip });
            prop_assert_eq!(found, common.copied().nth(skip));
        }
    }

    #[test]
    fn a_pool_that_outgrows_its_bound_is_refused() {
        let refused = |bytes_max| {
            let mut builder = PoolBuilder::new(100, bytes_max);
            for row in 0..100 {
                let mut words = builder.blank();
                set(&mut words, row);
                builder.intern(&words);
            }
            builder.finish().is_none()
        };
        // One word of summary and two of rows per class.
        assert!(refused(100 * 3 * 8 - 1));
        assert!(!refused(100 * 3 * 8));
    }
}
