//! Which ports of a pool address are free?
//!
//! Each worker owns a slice of 1024-65535, so that workers never ask one another. One bit per port.

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

/// The ports of all pool addresses that are this worker's to give.
pub(crate) struct Pools {
    in_use: HashMap<(IpAddr, u8), Ports, RandomState>,
    addresses_max: usize,
    first: u16,
    count: u16,
}

struct Ports {
    taken: Box<[u64]>,
    used: u16,
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
        }
    }

    /// The first free port from a random one on that `fits`; a free one that does not fit as well,
    /// after `tries`. `None` when the address has no free port left that may be used.
    pub(crate) fn take(
        &mut self,
        address: IpAddr,
        protocol: u8,
        random: u64,
        tries: usize,
        mut fits: impl FnMut(u16) -> Fit,
    ) -> Option<Lease> {
        let known = self.in_use.contains_key(&(address, protocol));
        if !known && self.in_use.len() >= self.addresses_max {
            return None;
        }
        let count = usize::from(self.count);
        if count == 0 {
            return None;
        }
        let ports = self.in_use.entry((address, protocol)).or_insert_with(|| Ports::new(count));
        let mut second_best = None;
        let mut from = (random % count as u64) as usize;
        for _ in 0..tries {
            let Some(candidate) = ports.next_free(from, count) else { break };
            match fits(self.first + candidate as u16) {
                Fit::Best => {
                    second_best = Some(candidate);
                    break;
                }
                Fit::Usable => {
                    second_best.get_or_insert(candidate);
                }
                Fit::Taken => {}
            }
            from = (candidate + 1) % count;
        }
        let chosen = second_best?;
        ports.take(chosen);
        Some(Lease { address, protocol, port: self.first + chosen as u16 })
    }

    pub(crate) fn give_back(&mut self, lease: Lease) {
        let Some(ports) = self.in_use.get_mut(&(lease.address, lease.protocol)) else { return };
        ports.give_back(usize::from(lease.port.saturating_sub(self.first)));
        if ports.used == 0 {
            self.in_use.remove(&(lease.address, lease.protocol));
        }
    }

    /// Ports in use, over all addresses.
    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.in_use.values().map(|ports| usize::from(ports.used)).sum()
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
    fn new(count: usize) -> Self {
        Self { taken: vec![0; count.div_ceil(64)].into(), used: 0 }
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
