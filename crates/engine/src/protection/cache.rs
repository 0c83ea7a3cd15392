//! What is remembered of many, when not all of them can be?
//!
//! A table of fixed size: an entry has four places, and a new one that finds them taken replaces the one
//! that was not used for the longest time. Nobody can make it grow, and nobody pays for a clean-up.

use std::hash::Hash;

use ahash::RandomState;

use crate::verdict::Time;

/// Places of one entry.
const WAYS: usize = 4;

/// See the module.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    places: Vec<Option<Entry<K, V>>>,
    hasher: RandomState,
}

#[derive(Clone, Debug)]
struct Entry<K, V> {
    key: K,
    used: Time,
    value: V,
}

impl<K: Clone + Eq + Hash, V: Clone> Cache<K, V> {
    /// A table without places.
    pub(crate) fn new(seed: u64) -> Self {
        Self { places: Vec::new(), hasher: RandomState::with_seeds(seed, 20, 21, 22) }
    }

    /// Makes room for about this many entries; what was in it is kept only if it has that room already.
    pub(crate) fn reserve(&mut self, entries: usize) {
        let wanted = entries.div_ceil(WAYS).next_power_of_two() * WAYS;
        if entries > 0 && self.places.len() != wanted {
            self.places = vec![None; wanted];
        }
    }

    /// The value of a key; a new one from `fresh`. `None` for a table without places. The flag says that
    /// another entry, which `matters`, had to go for it.
    pub(crate) fn entry(
        &mut self,
        key: &K,
        now: Time,
        fresh: V,
        matters: impl Fn(&V) -> bool,
    ) -> Option<(&mut V, bool)> {
        let bucket = self.bucket(key)?;
        let places = self.places.get_mut(bucket..bucket + WAYS)?;
        let known = places.iter().position(|place| place.as_ref().is_some_and(|entry| entry.key == *key));
        let at = known.or_else(|| (0..WAYS).min_by_key(|at| places[*at].as_ref().map(|entry| entry.used)))?;
        let mut evicted = false;
        if known.is_none() {
            evicted = places[at].as_ref().is_some_and(|entry| matters(&entry.value));
            places[at] = Some(Entry { key: key.clone(), used: now, value: fresh });
        }
        let entry = places[at].as_mut()?;
        entry.used = now;
        Some((&mut entry.value, evicted))
    }

    /// The value of a key, if it is known.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let bucket = self.bucket(key)?;
        let places = self.places.get(bucket..bucket + WAYS)?;
        let mut entries = places.iter().flatten();
        entries.find(|entry| entry.key == *key).map(|entry| &entry.value)
    }

    /// All entries.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.places.iter().flatten().map(|entry| (&entry.key, &entry.value))
    }

    /// Forgets the entries that `chosen` picks; gives back how many.
    pub(crate) fn forget(&mut self, mut chosen: impl FnMut(&K, &V) -> bool) -> usize {
        let mut forgotten = 0;
        for place in &mut self.places {
            if place.as_ref().is_some_and(|entry| chosen(&entry.key, &entry.value)) {
                *place = None;
                forgotten += 1;
            }
        }
        forgotten
    }

    fn bucket(&self, key: &K) -> Option<usize> {
        let buckets = self.places.len() / WAYS;
        // A power of two, see `reserve`.
        (buckets > 0).then(|| (self.hasher.hash_one(key) as usize & (buckets - 1)) * WAYS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_makes_way() {
        let mut cache = Cache::new(1);
        assert!(cache.entry(&1, Time(0), 'a', |_| true).is_none(), "a table without places");
        cache.reserve(4);
        for key in 0..4 {
            let (value, evicted) = cache.entry(&key, Time(key), 'a', |_| true).unwrap();
            assert_eq!((*value, evicted), ('a', false));
        }
        *cache.entry(&0, Time(10), 'x', |_| true).unwrap().0 = 'b';
        let (_, evicted) = cache.entry(&4, Time(11), 'c', |_| true).unwrap();
        assert!(evicted);
        let known = [0, 1, 2, 4].map(|key| cache.get(&key).copied());
        assert_eq!(known, [Some('b'), None, Some('a'), Some('c')]);
        let (_, evicted) = cache.entry(&5, Time(12), 'd', |_| false).unwrap();
        assert!(!evicted, "what does not matter is not missed");
        cache.reserve(3);
        assert_eq!(cache.iter().count(), 4, "room it has already");
        assert_eq!((cache.forget(|key, _| *key == 4), cache.get(&4)), (1, None));
    }
}
