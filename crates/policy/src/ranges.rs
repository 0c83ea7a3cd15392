//! Which addresses or ports are in a set, and which entry of a table covers a key?
//!
//! [`Ranges`] is a set; [`Cuts`] maps every key to a number by the elementary interval it falls into.
//! Both work alike on ports, IPv4 and IPv6 addresses.

mod pages;

use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

use self::pages::Pages;

/// An unsigned number that is an address or a port.
pub(crate) trait Key: Copy + Ord + Debug {
    const MIN: Self;
    const MAX: Self;
    fn after(self) -> Option<Self>;
    fn before(self) -> Option<Self>;
    /// The key as an IPv4 address, if it is one.
    fn v4(self) -> Option<u32>;
}

macro_rules! key {
    ($int:ty, $v4:expr) => {
        impl Key for $int {
            const MIN: Self = <$int>::MIN;
            const MAX: Self = <$int>::MAX;

            fn after(self) -> Option<Self> {
                self.checked_add(1)
            }

            fn before(self) -> Option<Self> {
                self.checked_sub(1)
            }

            #[inline]
            fn v4(self) -> Option<u32> {
                let v4: fn($int) -> Option<u32> = $v4;
                v4(self)
            }
        }
    };
}

key!(u16, |_| None);
key!(u32, Some);
key!(u128, |_| None);

/// A key that is an IP address.
pub(crate) trait Address: Key {
    fn of(ip: IpAddr) -> Option<Self>;
    fn ip(self) -> IpAddr;
    /// The part of a set that is of this family.
    fn ranges_of(set: &AddressSet) -> &Ranges<Self>;
}

impl Address for u32 {
    fn of(ip: IpAddr) -> Option<Self> {
        match ip {
            IpAddr::V4(ip) => Some(ip.to_bits()),
            IpAddr::V6(_) => None,
        }
    }

    fn ip(self) -> IpAddr {
        Ipv4Addr::from_bits(self).into()
    }

    fn ranges_of(set: &AddressSet) -> &Ranges<Self> {
        &set.v4
    }
}

impl Address for u128 {
    fn of(ip: IpAddr) -> Option<Self> {
        match ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(ip) => Some(ip.to_bits()),
        }
    }

    fn ip(self) -> IpAddr {
        Ipv6Addr::from_bits(self).into()
    }

    fn ranges_of(set: &AddressSet) -> &Ranges<Self> {
        &set.v6
    }
}

/// A set of keys as inclusive ranges: sorted, disjoint, none touching the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Ranges<K>(Vec<(K, K)>);

impl<K: Key> Ranges<K> {
    pub(crate) fn new(mut ranges: Vec<(K, K)>) -> Self {
        ranges.retain(|(first, last)| first <= last);
        ranges.sort_unstable();
        let mut merged: Vec<(K, K)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(open) if open.1.after().is_none_or(|next| first <= next) => open.1 = open.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    pub(crate) fn all() -> Self {
        Self(vec![(K::MIN, K::MAX)])
    }

    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn as_slice(&self) -> &[(K, K)] {
        &self.0
    }

    pub(crate) fn is_all(&self) -> bool {
        matches!(self.0[..], [(first, last)] if first == K::MIN && last == K::MAX)
    }

    pub(crate) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains(&self, key: K) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= key);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, last)| key <= *last)
    }

    pub(crate) fn complement(&self) -> Self {
        let mut gaps = Vec::with_capacity(self.0.len() + 1);
        let mut from = Some(K::MIN);
        for (first, last) in &self.0 {
            if let (Some(from), Some(before)) = (from, first.before()) {
                gaps.push((from, before));
            }
            from = last.after();
        }
        gaps.extend(from.map(|from| (from, K::MAX)));
        Self::new(gaps)
    }

    /// The part of the set inside one range.
    pub(crate) fn within(&self, (low, high): (K, K)) -> Self {
        Self::new(self.0.iter().map(|(first, last)| ((*first).max(low), (*last).min(high))).collect())
    }

    /// The keys that are in both sets.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let (mut own, mut others) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut both = Vec::new();
        while let (Some(a), Some(b)) = (own.peek(), others.peek()) {
            let (first, last) = (a.0.max(b.0), a.1.min(b.1));
            if first <= last {
                both.push((first, last));
            }
            match a.1 < b.1 {
                true => own.next(),
                false => others.next(),
            };
        }
        Self(both)
    }

    /// Without the keys of another set.
    pub(crate) fn without(&self, other: &Self) -> Self {
        self.intersection(&other.complement())
    }
}

/// A set of addresses of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct AddressSet {
    pub(crate) v4: Ranges<u32>,
    pub(crate) v6: Ranges<u128>,
}

impl AddressSet {
    pub(crate) fn all() -> Self {
        Self { v4: Ranges::all(), v6: Ranges::all() }
    }

    /// The union of ranges; a range whose ends are of different families holds nothing.
    pub(crate) fn of(ranges: &[(IpAddr, IpAddr)]) -> Self {
        fn family<K: Address>(ranges: &[(IpAddr, IpAddr)]) -> Ranges<K> {
            Ranges::new(ranges.iter().filter_map(|(first, last)| Some((K::of(*first)?, K::of(*last)?))).collect())
        }
        Self { v4: family(ranges), v6: family(ranges) }
    }

    pub(crate) fn union(sets: &[Arc<Self>]) -> Self {
        Self {
            v4: Ranges::new(sets.iter().flat_map(|set| set.v4.as_slice()).copied().collect()),
            v6: Ranges::new(sets.iter().flat_map(|set| set.v6.as_slice()).copied().collect()),
        }
    }

    pub(crate) fn complement(&self) -> Self {
        Self { v4: self.v4.complement(), v6: self.v6.complement() }
    }

    pub(crate) fn is_all(&self) -> bool {
        self.v4.is_all() && self.v6.is_all()
    }

    pub(crate) fn is_none(&self) -> bool {
        self.v4.is_none() && self.v6.is_none()
    }

    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.v4.contains(ip.to_bits()),
            IpAddr::V6(ip) => self.v6.contains(ip.to_bits()),
        }
    }

    /// The ranges as addresses, IPv4 first.
    pub(crate) fn ranges(&self) -> Vec<(IpAddr, IpAddr)> {
        fn family<K: Address>(ranges: &Ranges<K>) -> impl Iterator<Item = (IpAddr, IpAddr)> + '_ {
            ranges.as_slice().iter().map(|(first, last)| (first.ip(), last.ip()))
        }
        family(&self.v4).chain(family(&self.v6)).collect()
    }
}

/// First and last address of a network.
pub(crate) fn ends(network: IpNet) -> (IpAddr, IpAddr) {
    (network.network(), network.broadcast())
}

/// Keys looked at in one step of a search: one cache line of IPv4 addresses.
const FANOUT: usize = 16;

/// A total map from keys to numbers, constant on intervals. It is searched as a tree of [`FANOUT`] keys a
/// node, so that a hundred thousand intervals take five steps, each on neighbouring keys; for IPv4 addresses
/// there are [`Pages`] beside it, if they do not take too much memory.
#[derive(Clone, Debug)]
pub(crate) struct Cuts<K> {
    /// First key of each interval; the first is `K::MIN`.
    starts: Vec<K>,
    values: Vec<u32>,
    /// The levels of the tree from the root down: the last has the starts, each other one the first key of
    /// each node of the next. The last node of a level is filled up with `K::MAX`.
    levels: Vec<Vec<[K; FANOUT]>>,
    pages: Option<Pages>,
}

impl<K: Key> Cuts<K> {
    /// From the start of each interval in rising order; the first must start at `K::MIN`. Neighbours of
    /// equal value become one.
    pub(crate) fn new(intervals: impl IntoIterator<Item = (K, u32)>) -> Self {
        let (mut starts, mut values) = (Vec::new(), Vec::new());
        for (start, value) in intervals {
            if values.last() != Some(&value) {
                starts.push(start);
                values.push(value);
            }
        }
        starts.shrink_to_fit();
        values.shrink_to_fit();
        let mut levels = vec![nodes(&starts)];
        while let Some(lowest) = levels.last().filter(|nodes| nodes.len() > 1) {
            let firsts: Vec<K> = lowest.iter().map(|node| node[0]).collect();
            levels.push(nodes(&firsts));
        }
        levels.reverse();
        let pages = Pages::new(&starts.iter().filter_map(|start| start.v4()).collect::<Vec<_>>(), &values);
        Self { starts, values, levels, pages }
    }

    /// The value of the interval that holds the key.
    #[inline]
    pub(crate) fn find(&self, key: K) -> u32 {
        // Most fields of most rule bases do not distinguish at all.
        if let [value] = self.values[..] {
            return value;
        }
        if let (Some(pages), Some(address)) = (&self.pages, key.v4()) {
            return pages.find(address);
        }
        self.search(key)
    }

    fn search(&self, key: K) -> u32 {
        let mut at = 0;
        for level in &self.levels {
            // Filling counts only for `K::MAX`, whose interval is the last.
            let Some(node) = level.get(at).or_else(|| level.last()) else { return u32::MAX };
            // In the width of the keys, so that they are compared by fours.
            let reached: u32 = node.iter().map(|start| u32::from(*start <= key)).sum();
            at = at.min(level.len() - 1) * FANOUT + reached.saturating_sub(1) as usize;
        }
        self.values.get(at).or_else(|| self.values.last()).copied().unwrap_or(u32::MAX)
    }

    /// First key and value of each interval.
    pub(crate) fn intervals(&self) -> impl Iterator<Item = (K, u32)> {
        self.starts.iter().copied().zip(self.values.iter().copied())
    }

    /// First key of each interval.
    pub(crate) fn starts(&self) -> &[K] {
        &self.starts
    }

    /// Memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        let levels: usize = self.levels.iter().map(|level| size_of_val(&**level)).sum();
        let pages = self.pages.as_ref().map_or(0, Pages::bytes);
        levels + pages + size_of_val(&*self.starts) + size_of_val(&*self.values)
    }
}

fn nodes<K: Key>(keys: &[K]) -> Vec<[K; FANOUT]> {
    let node = |keys: &[K]| std::array::from_fn(|at| keys.get(at).copied().unwrap_or(K::MAX));
    keys.chunks(FANOUT).map(node).collect()
}

/// Longest prefix match: of the ranges that hold a key, the innermost one's value; `none` elsewhere.
/// The ranges are prefixes, so that any two are nested or disjoint, and no two are equal.
pub(crate) fn innermost<K: Key>(mut prefixes: Vec<(K, K, u32)>, none: u32) -> Cuts<K> {
    prefixes.sort_unstable_by_key(|(first, last, _)| (*first, std::cmp::Reverse(*last)));
    let mut intervals: Vec<(K, u32)> = vec![(K::MIN, none)];
    let mut open: Vec<(K, u32)> = Vec::new();
    let mut emit = |start: K, value: u32| match intervals.last_mut() {
        Some(previous) if previous.0 == start => previous.1 = value,
        _ => intervals.push((start, value)),
    };
    let close = |open: &mut Vec<(K, u32)>, before: Option<K>, emit: &mut dyn FnMut(K, u32)| {
        while let Some((last, _)) = open.last().copied()
            && before.is_none_or(|first| last < first)
        {
            open.pop();
            if let Some(next) = last.after() {
                emit(next, open.last().map_or(none, |(_, value)| *value));
            }
        }
    };
    for (first, last, value) in prefixes {
        close(&mut open, Some(first), &mut emit);
        emit(first, value);
        open.push((last, value));
    }
    close(&mut open, None, &mut emit);
    Cuts::new(intervals)
}

#[cfg(test)]
mod tests {
    use ipnet::{Ipv4Net, Ipv6Net};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn touching_ranges_become_one_and_the_complement_of_the_complement_is_the_set() {
        let set = Ranges::new(vec![(20u16, 30), (10, 19), (40, 40), (5, 3)]);
        assert_eq!(set.as_slice(), [(10, 30), (40, 40)]);
        assert_eq!(set.complement().as_slice(), [(0, 9), (31, 39), (41, u16::MAX)]);
        assert_eq!(set.complement().complement(), set);
        assert!(Ranges::<u16>::none().complement().is_all());
        assert!(Ranges::<u16>::all().complement().is_none());
        assert_eq!(set.without(&Ranges::new(vec![(15, 15), (40, 50)])).as_slice(), [(10, 14), (16, 30)]);
    }

    fn naive_longest(prefixes: &[IpNet], ip: IpAddr) -> u32 {
        let matching = prefixes.iter().enumerate().filter(|(_, prefix)| prefix.contains(&ip));
        matching.max_by_key(|(_, prefix)| prefix.prefix_len()).map_or(u32::MAX, |(at, _)| at as u32)
    }

    fn check_innermost<K: Address>(mut prefixes: Vec<IpNet>, probes: Vec<IpAddr>) {
        prefixes.sort_unstable();
        prefixes.dedup();
        let numbered = prefixes.iter().enumerate().filter_map(|(at, prefix)| {
            let (first, last) = ends(*prefix);
            Some((K::of(first)?, K::of(last)?, at as u32))
        });
        let table = innermost::<K>(numbered.collect(), u32::MAX);
        let edges = prefixes.iter().flat_map(|prefix| [ends(*prefix).0, ends(*prefix).1]);
        for ip in probes.iter().copied().chain(edges.clone()) {
            assert_eq!(table.find(K::of(ip).unwrap()), naive_longest(&prefixes, ip), "{ip} in {prefixes:?}");
        }
        for edge in edges.filter_map(K::of) {
            for ip in edge.before().into_iter().chain(edge.after()).map(K::ip) {
                assert_eq!(table.find(K::of(ip).unwrap()), naive_longest(&prefixes, ip), "{ip} in {prefixes:?}");
            }
        }
    }

    // Few distinct top bits, so that prefixes nest; every length, so that /0 and hosts occur.
    fn v4() -> impl Strategy<Value = u32> {
        prop_oneof![any::<u32>(), (0u32..4, any::<u16>()).prop_map(|(top, low)| top << 30 | u32::from(low))]
    }

    fn v6() -> impl Strategy<Value = u128> {
        prop_oneof![any::<u128>(), (0u128..4, any::<u32>()).prop_map(|(top, low)| top << 126 | u128::from(low))]
    }

    proptest! {
        #[test]
        fn longest_prefix_match_equals_a_scan_v4(
            prefixes in prop::collection::vec((v4(), 0u8..=32), 0..200),
            probes in prop::collection::vec(v4(), 0..50),
        ) {
            let net = |(bits, len)| Ipv4Net::new(Ipv4Addr::from_bits(bits), len).unwrap().trunc().into();
            check_innermost::<u32>(prefixes.into_iter().map(net).collect(), probes.into_iter().map(u32::ip).collect());
        }

        #[test]
        fn longest_prefix_match_equals_a_scan_v6(
            prefixes in prop::collection::vec((v6(), 0u8..=128), 0..100),
            probes in prop::collection::vec(v6(), 0..50),
        ) {
            let net = |(bits, len)| Ipv6Net::new(Ipv6Addr::from_bits(bits), len).unwrap().trunc().into();
            check_innermost::<u128>(prefixes.into_iter().map(net).collect(), probes.into_iter().map(u128::ip).collect());
        }

        #[test]
        fn sets_agree_with_their_ranges(ranges in prop::collection::vec((0u16..300, 0u16..300), 0..20), key in 0u16..301) {
            let set = Ranges::new(ranges.clone());
            let naive = ranges.iter().any(|(first, last)| (first..=last).contains(&&key));
            prop_assert_eq!(set.contains(key), naive);
            prop_assert_eq!(set.complement().contains(key), !naive);
        }
    }
}
