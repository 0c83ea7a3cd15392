//! Which ports of a pool address are free?
//!
//! Each worker owns a slice of 1024-65535, so that workers never ask one another. One bit per port. Ports
//! are given out in a secret order (RFC 6056) that comes back to one only after all others: the server
//! behind it may remember its last connection for minutes.

use std::net::IpAddr;

use ahash::RandomState;
use hashbrown::HashMap;

/// First port given out: below are services.
pub(crate) const PORT_MIN: u16 = 1024;

/// A port in use by a session; given back when the session is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) address: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) port: u16,
}

/// Ports tried in the secret order before the next free one is taken, as happens when few are left.
const ORDERLY_TRIES: usize = 64;

/// The ports of all pool addresses that are this worker's to give.
pub(crate) struct Pools {
    in_use: HashMap<(IpAddr, u8), Ports, RandomState>,
    addresses_max: usize,
    first: u16,
    count: u16,
    order: Order,
}

struct Ports {
    taken: Box<[u64]>,
    used: u16,
    /// How far the secret order was followed.
    cursor: usize,
}

impl Pools {
    pub(crate) fn new(worker: u16, workers: u16, addresses_max: usize, seed: u64) -> Self {
        let all = u32::from(u16::MAX - PORT_MIN) + 1;
        let count = all / u32::from(workers.max(1));
        let first = u32::from(PORT_MIN) + count * u32::from(worker);
        Self {
            in_use: HashMap::with_hasher(RandomState::with_seeds(seed, 1, 2, 3)),
            addresses_max,
            first: first.min(u32::from(u16::MAX)) as u16,
            count: count as u16,
            order: Order::new(count, seed),
        }
    }

    /// The next free port that `fits`; one that is usable, if none fits better within `tries`. `None`
    /// when the address has no free port left that may be used.
    pub(crate) fn take(
        &mut self,
        address: IpAddr,
        protocol: u8,
        random: u64,
        tries: usize,
        mut fits: impl FnMut(u16) -> Fit,
    ) -> Option<Lease> {
        let (first, count) = (self.first, usize::from(self.count));
        let order = self.order;
        let ports = self.ports(address, protocol, random)?;
        let mut second_best = None;
        let mut left = tries;
        let mut consider = |candidate: usize| {
            left = left.saturating_sub(1);
            match fits(first + candidate as u16) {
                Fit::Best => second_best = Some(candidate),
                Fit::Usable => {
                    second_best.get_or_insert(candidate);
                    return left == 0;
                }
                Fit::Taken => return left == 0,
            }
            true
        };
        let done = ports.walk_in_order(&order, count, &mut consider);
        if !done {
            ports.walk_from(order.position(ports.cursor % count), count, &mut consider);
        }
        let chosen = second_best?;
        ports.take(chosen);
        Some(Lease { address, protocol, port: first + chosen as u16 })
    }

    /// This very port, if it is free.
    pub(crate) fn take_again(&mut self, lease: Lease) -> bool {
        let Some(position) = lease.port.checked_sub(self.first).filter(|position| *position < self.count) else {
            return false;
        };
        let Some(ports) = self.ports(lease.address, lease.protocol, 0) else { return false };
        if ports.is_taken(usize::from(position)) {
            return false;
        }
        ports.take(usize::from(position));
        true
    }

    pub(crate) fn give_back(&mut self, lease: Lease) {
        if let Some(ports) = self.in_use.get_mut(&(lease.address, lease.protocol)) {
            ports.give_back(usize::from(lease.port.saturating_sub(self.first)));
        }
    }

    /// The ports of an address. One out of use makes room for a new one, if there is none.
    fn ports(&mut self, address: IpAddr, protocol: u8, random: u64) -> Option<&mut Ports> {
        let count = usize::from(self.count);
        if count == 0 {
            return None;
        }
        if !self.in_use.contains_key(&(address, protocol)) && self.in_use.len() >= self.addresses_max {
            self.in_use.retain(|_, ports| ports.used > 0);
            if self.in_use.len() >= self.addresses_max {
                return None;
            }
        }
        let start = (random % count as u64) as usize;
        Some(self.in_use.entry((address, protocol)).or_insert_with(|| Ports::new(count, start)))
    }

    /// Ports in use, over all addresses.
    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.in_use.values().map(|ports| usize::from(ports.used)).sum()
    }
}

/// A secret permutation of the ports: four rounds of a Feistel network over the next even power of two,
/// walked until it hits the range.
#[derive(Clone, Copy)]
struct Order {
    keys: [u64; 4],
    half_bits: u32,
    count: u32,
}

impl Order {
    fn new(count: u32, seed: u64) -> Self {
        let bits = u32::BITS - count.max(2).saturating_sub(1).leading_zeros();
        let key = |round: u64| seed.wrapping_add(round).wrapping_mul(0xd134_2543_de82_ef95) | 1;
        Self { keys: [key(1), key(2), key(3), key(4)], half_bits: bits.div_ceil(2), count }
    }

    /// The `index`-th port, as a position in the slice. `index` is below the number of ports.
    fn position(&self, index: usize) -> usize {
        let mut value = index as u32;
        loop {
            value = self.shuffle(value);
            if value < self.count {
                return value as usize;
            }
        }
    }

    fn shuffle(&self, value: u32) -> u32 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for key in self.keys {
            let mixed = (u64::from(right) + 1).wrapping_mul(key);
            let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (left, right) = (right, left ^ ((mixed >> 40) as u32 & mask));
        }
        left << self.half_bits | right
    }
}

/// How well a port suits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// Replies arrive at this worker.
    Best,
    /// Replies have to be steered here.
    Usable,
    /// The flow with this port exists already.
    Taken,
}

impl Ports {
    fn new(count: usize, cursor: usize) -> Self {
        Self { taken: vec![0; count.div_ceil(64)].into(), used: 0, cursor }
    }

    /// Offers the free ports in the secret order, as far as they are near. `true` when one was accepted.
    fn walk_in_order(&mut self, order: &Order, count: usize, accept: &mut impl FnMut(usize) -> bool) -> bool {
        for _ in 0..ORDERLY_TRIES {
            let candidate = order.position(self.cursor);
            self.cursor = (self.cursor + 1) % count;
            if !self.is_taken(candidate) && accept(candidate) {
                return true;
            }
        }
        false
    }

    /// Offers the free ports from a place on.
    fn walk_from(&self, mut from: usize, count: usize, accept: &mut impl FnMut(usize) -> bool) {
        while let Some(candidate) = self.next_free(from, count) {
            if accept(candidate) {
                return;
            }
            from = (candidate + 1) % count;
        }
    }

    fn is_taken(&self, position: usize) -> bool {
        self.taken.get(position / 64).is_none_or(|word| word & 1 << (position % 64) != 0)
    }

    /// The first free position from `from` on, going round once.
    fn next_free(&self, from: usize, count: usize) -> Option<usize> {
        if usize::from(self.used) >= count {
            return None;
        }
        let words = self.taken.len();
        for step in 0..=words {
            let word = (from / 64 + step) % words;
            let mut free = !self.taken[word];
            if step == 0 {
                free &= u64::MAX << (from % 64);
            } else if step == words {
                free &= !(u64::MAX << (from % 64));
            }
            while free != 0 {
                let position = word * 64 + free.trailing_zeros() as usize;
                if position < count {
                    return Some(position);
                }
                free &= free - 1;
            }
        }
        None
    }

    fn take(&mut self, position: usize) {
        self.taken[position / 64] |= 1 << (position % 64);
        self.used += 1;
    }

    fn give_back(&mut self, position: usize) {
        let bit = 1 << (position % 64);
        if let Some(word) = self.taken.get_mut(position / 64).filter(|word| **word & bit != 0) {
            *word &= !bit;
            self.used -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn every_port_once_then_none() {
        let mut pools = Pools::new(0, 1, 8, 0);
        let mut seen = BTreeSet::new();
        while let Some(lease) = pools.take(ADDRESS, 6, seen.len() as u64 * 7919, 1, |_| Fit::Best) {
            assert!(lease.port >= PORT_MIN);
            assert!(seen.insert(lease.port), "port {} given out twice", lease.port);
        }
        assert_eq!(seen.len(), 64_512);
        assert!(pools.take(ADDRESS, 17, 0, 1, |_| Fit::Best).is_some(), "another protocol has its own ports");
        pools.give_back(Lease { address: ADDRESS, protocol: 6, port: 5555 });
        assert_eq!(pools.take(ADDRESS, 6, 1, 1, |_| Fit::Best).unwrap().port, 5555);
    }

    #[test]
    fn a_port_comes_back_after_all_others() {
        let mut pools = Pools::new(2, 16, 8, 77);
        let mut order = Vec::new();
        for _ in 0..64_512 / 16 {
            let lease = pools.take(ADDRESS, 6, 5, 1, |_| Fit::Best).unwrap();
            pools.give_back(lease);
            order.push(lease.port);
        }
        let distinct: BTreeSet<_> = order.iter().collect();
        assert_eq!(distinct.len(), order.len(), "a port came back before its turn");
        let steps: BTreeSet<_> = order.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
        assert!(steps.len() > 1000, "the order can be guessed: {} different steps", steps.len());
    }

    #[test]
    fn the_same_port_again_if_it_is_free() {
        let mut pools = Pools::new(0, 1, 8, 0);
        let lease = pools.take(ADDRESS, 6, 0, 1, |_| Fit::Best).unwrap();
        assert!(!pools.take_again(lease));
        pools.give_back(lease);
        assert!(pools.take_again(lease));
        assert!(!pools.take_again(Lease { port: 80, ..lease }), "not a port to give");
    }

    #[test]
    fn workers_do_not_overlap() {
        let mut seen = BTreeSet::new();
        for worker in 0..5 {
            let mut pools = Pools::new(worker, 5, 8, 0);
            while let Some(lease) = pools.take(ADDRESS, 6, 0, 1, |_| Fit::Best) {
                assert!(seen.insert(lease.port), "port {} belongs to two workers", lease.port);
            }
        }
        assert_eq!(seen.len(), 64_512 / 5 * 5);
    }

    #[test]
    fn the_best_fit_wins_and_a_taken_one_never() {
        let mut pools = Pools::new(0, 1, 8, 0);
        let fit = |port: u16| if port % 8 == 3 { Fit::Best } else { Fit::Usable };
        assert_eq!(pools.take(ADDRESS, 6, 0, 16, fit).unwrap().port % 8, 3);
        assert!(pools.take(ADDRESS, 6, 0, 16, |_| Fit::Usable).is_some());
        assert_eq!(pools.take(ADDRESS, 6, 0, 16, |_| Fit::Taken), None);
        assert_eq!(pools.used(), 2);
    }

    #[test]
    fn addresses_are_bounded_and_forgotten_when_unused() {
        let mut pools = Pools::new(0, 1, 1, 0);
        let lease = pools.take(ADDRESS, 6, 0, 1, |_| Fit::Best).unwrap();
        assert_eq!(pools.take(ADDRESS, 17, 0, 1, |_| Fit::Best), None);
        pools.give_back(lease);
        assert!(pools.take(ADDRESS, 17, 0, 1, |_| Fit::Best).is_some());
    }
}
