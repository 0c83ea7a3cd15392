//! Where in the session table may a flow with this hash be?
//!
//! Buckets of one cache line, so that a look-up misses the cache once and a burst of look-ups can miss
//! it all at once ([`Index::touch`]). A bucket holds seven entries and says how many that belong into it
//! are in later ones. Its size is fixed: it never grows, and entries never move.

use std::ops::Range;

use crate::table::room_of;

/// Words of a bucket: hashes, how many entries went on to the next bucket, targets, one unused.
const WORDS: usize = 16;
const ENTRIES: usize = 7;
const ENTRIES_AND_ONE: usize = ENTRIES + 1;
const OVERFLOW: usize = 7;
const TARGETS: usize = 8;
/// A bucket is so full on average, at most, when the table is: 5 of 7 entries.
const FILL: usize = 5;

/// Targets by the hash of what is looked for. Several targets may have the same hash.
pub(crate) struct Index {
    /// Zeroes from the allocator, which touches them as little as we do. A target is kept plus one.
    words: Vec<u32>,
    /// First word that is at the start of a cache line.
    start: usize,
    buckets: usize,
}

impl Index {
    /// Room for so many entries; more still find one, slowly.
    pub(crate) fn new(entries_max: usize) -> Self {
        let buckets = entries_max.div_ceil(FILL) + 1;
        let words = vec![0; (buckets + 1) * WORDS];
        let line = WORDS * size_of::<u32>();
        let start = (line - words.as_ptr().addr() % line) % line / size_of::<u32>();
        Self { words, start, buckets }
    }

    /// Where it lies.
    pub(crate) fn memory(&self) -> Range<usize> {
        room_of(&self.words)
    }

    /// Brings the bucket of a hash nearer; the result means nothing.
    #[inline]
    pub(crate) fn touch(&self, hash: u32) -> u32 {
        self.bucket(self.home(hash))[OVERFLOW]
    }

    /// The first target with this hash that `matches`.
    #[inline]
    pub(crate) fn find(&self, hash: u32, mut matches: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        for _ in 0..self.buckets {
            let bucket = self.bucket(at);
            let mut equal = alike(bucket, hash);
            while equal != 0 {
                let target = bucket[TARGETS + equal.trailing_zeros() as usize % ENTRIES_AND_ONE];
                if target != 0 && matches(target - 1) {
                    return Some(target - 1);
                }
                equal &= equal - 1;
            }
            if bucket[OVERFLOW] == 0 {
                return None;
            }
            at = self.after(at);
        }
        None
    }

    /// Adds an entry; `false` when there is no room at all.
    pub(crate) fn insert(&mut self, hash: u32, target: u32) -> bool {
        let home = self.home(hash);
        let mut at = home;
        for _ in 0..self.buckets {
            let bucket = self.bucket_mut(at);
            if let Some(entry) = (0..ENTRIES).find(|entry| bucket[TARGETS + entry] == 0) {
                bucket[entry] = hash;
                bucket[TARGETS + entry] = target + 1;
                self.count(home, at, 1);
                return true;
            }
            at = self.after(at);
        }
        false
    }

    /// Takes an entry out; `false` when there is none like it.
    pub(crate) fn remove(&mut self, hash: u32, target: u32) -> bool {
        let home = self.home(hash);
        let mut at = home;
        for _ in 0..self.buckets {
            let bucket = self.bucket_mut(at);
            let found = (0..ENTRIES).find(|entry| bucket[*entry] == hash && bucket[TARGETS + entry] == target + 1);
            if let Some(entry) = found {
                bucket[TARGETS + entry] = 0;
                self.count(home, at, -1);
                return true;
            }
            if bucket[OVERFLOW] == 0 {
                return false;
            }
            at = self.after(at);
        }
        false
    }

    /// One entry more or less of those that were pushed on by the buckets from `home` to before `end`.
    fn count(&mut self, home: usize, end: usize, change: i32) {
        let mut at = home;
        while at != end {
            let overflow = &mut self.bucket_mut(at)[OVERFLOW];
            *overflow = overflow.saturating_add_signed(change);
            at = self.after(at);
        }
    }

    #[inline]
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.buckets as u64) >> 32) as usize
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.buckets { 0 } else { at + 1 }
    }

    #[inline]
    fn bucket(&self, at: usize) -> &[u32; WORDS] {
        &self.words[self.start..].as_chunks().0[at]
    }

    #[inline]
    fn bucket_mut(&mut self, at: usize) -> &mut [u32; WORDS] {
        &mut self.words[self.start..].as_chunks_mut().0[at]
    }
}

/// The entries of a bucket with this hash, a bit each; an unused one may be among them.
#[inline]
fn alike(bucket: &[u32; WORDS], hash: u32) -> u32 {
    let equal = (0..ENTRIES_AND_ONE).fold(0, |bits, entry| bits | u32::from(bucket[entry] == hash) << entry);
    equal & ((1 << ENTRIES) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(state: &mut u64) -> u32 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 32) as u32
    }

    #[test]
    fn buckets_are_cache_lines() {
        let index = Index::new(1000);
        assert_eq!(std::ptr::from_ref(index.bucket(0)).addr() % 64, 0);
        assert_eq!(index.bucket(index.buckets - 1).len(), WORDS);
    }

    #[test]
    fn it_finds_what_a_list_finds() {
        const ENTRIES_MAX: usize = 500;
        let (mut index, mut list, mut state) = (Index::new(ENTRIES_MAX), Vec::new(), 1);
        for step in 0..40_000 {
            // Few hashes, so that buckets overflow; sometimes all that is left is taken out.
            let hash = random(&mut state) & 0xf000_000f;
            let emptying = step / 4000 % 2 == 1;
            if list.len() < ENTRIES_MAX && (!emptying || random(&mut state).is_multiple_of(4)) {
                let target = random(&mut state) >> 1;
                assert!(index.insert(hash, target));
                list.push((hash, target));
            } else if !list.is_empty() {
                let (hash, target) = list.swap_remove(random(&mut state) as usize % list.len());
                assert!(index.remove(hash, target));
                assert!(list.contains(&(hash, target)) || !index.remove(hash, target));
            }
            let mut found = Vec::new();
            index.find(hash, |target| {
                found.push(target);
                false
            });
            let mut expected: Vec<_> = list.iter().filter(|entry| entry.0 == hash).map(|entry| entry.1).collect();
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "step {step}");
        }
        for (hash, target) in list {
            assert!(index.remove(hash, target));
        }
        assert!((0..index.buckets).all(|at| index.bucket(at)[OVERFLOW] == 0), "nothing is left behind");
    }

    #[test]
    fn a_full_index_refuses() {
        let mut index = Index::new(1);
        let room = (0..1000).take_while(|target| index.insert(7, *target)).count();
        assert_eq!(room, index.buckets * ENTRIES);
        assert_eq!(index.find(7, |target| target == 13), Some(13));
        assert_eq!(index.find(8, |_| true), None);
        assert!(!index.remove(8, 13));
    }
}
