//! Which ports of pool addresses are in use, by whichever worker?
//!
//! What workers share of NAT: a port belongs to a block of 64, and a block to the worker that claimed it.
//! Only that worker gives out its ports, so no tuple is handed out twice although nobody waits for
//! another: a claim is one atomic bit. The lock around the map is taken when a worker meets an address
//! for the first time.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::binding::Bindings;
use crate::verdict::{PoolAlarm, PoolLevel, PoolUse};

/// First port given out: below are services.
pub(crate) const PORT_MIN: u16 = 1024;
/// Ports of a block.
pub(crate) const BLOCK_PORTS: u16 = 64;
/// Blocks of an address: all ports from [`PORT_MIN`] to 65535.
pub(crate) const BLOCKS: u16 = 1008;
/// Ports of an address.
pub(crate) const PORTS: u32 = BLOCKS as u32 * BLOCK_PORTS as u32;

/// Claim words of 64 blocks each.
const WORDS: usize = (BLOCKS as usize).div_ceil(64);

/// In percent of an address's ports: how far below the alarm its end is, so that an address at the limit
/// does not raise it again and again.
const ALARM_HYSTERESIS: u32 = 10;

/// What the workers of one firewall share of NAT. Clones are the same one.
#[derive(Clone, Default)]
pub struct SharedPools(Arc<Shared>);

#[derive(Default)]
struct Shared {
    seed: u64,
    ports: Mutex<BTreeMap<(IpAddr, u8), Arc<PortMap>>>,
    bindings: Bindings,
}

impl std::fmt::Debug for SharedPools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedPools").finish_non_exhaustive()
    }
}

impl SharedPools {
    /// Nothing in use. The seed is the secret by which clients are shared out among the addresses of a pool:
    /// random in production.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Shared { seed, ..Shared::default() }))
    }

    pub(crate) fn seed(&self) -> u64 {
        self.0.seed
    }

    /// The ports of an address and protocol, so many if they are not known yet; an address out of use makes room
    /// for a new one. `None` when more than `max` are in use.
    pub(crate) fn ports(&self, address: IpAddr, protocol: u8, max: usize, ports: u32) -> Option<Arc<PortMap>> {
        let count = ports;
        let mut ports = self.0.ports.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = ports.get(&(address, protocol)) {
            return Some(Arc::clone(known));
        }
        if ports.len() >= max {
            ports.retain(|_, map| Arc::strong_count(map) > 1);
            if ports.len() >= max {
                return None;
            }
        }
        let map = Arc::new(PortMap::new(address, protocol, count));
        ports.insert((address, protocol), Arc::clone(&map));
        Some(map)
    }

    pub(crate) fn bindings(&self) -> &Bindings {
        &self.0.bindings
    }

    /// How many addresses that clients have to themselves are in use, of those that `chosen` picks.
    pub fn hosts_in_use(&self, chosen: impl Fn(IpAddr) -> bool) -> usize {
        self.bindings().hosts(chosen)
    }

    /// How much of each address is in use, of those that `chosen` picks.
    pub fn usage(&self, chosen: impl Fn(IpAddr) -> bool) -> Vec<PoolUse> {
        let ports = self.0.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let chosen = ports.iter().filter(|((address, _), _)| chosen(*address));
        chosen
            .map(|(&(address, protocol), map)| PoolUse {
                address,
                protocol,
                used: map.used.load(Ordering::Relaxed),
                taken: map.taken.load(Ordering::Relaxed),
                level: PoolLevel::of(map.level.load(Ordering::Relaxed)),
            })
            .collect()
    }
}

/// The ports of one address and protocol.
pub(crate) struct PortMap {
    address: IpAddr,
    protocol: u8,
    /// How many ports are given out: from [`PORT_MIN`] on.
    ports: u32,
    /// A bit for each block: some worker's.
    claimed: [AtomicU64; WORDS],
    unclaimed: AtomicU32,
    /// A word for each block, a bit for each port that is neither in use nor resting.
    idle: Box<[AtomicU64]>,
    /// Sessions that have a port here.
    used: AtomicU32,
    /// Sessions that had one since the map was made.
    taken: AtomicU64,
    level: AtomicU8,
}

impl PortMap {
    fn new(address: IpAddr, protocol: u8, ports: u32) -> Self {
        let ports = ports.clamp(1, PORTS);
        let blocks = ports.div_ceil(u32::from(BLOCK_PORTS));
        let claimed = std::array::from_fn(|word| {
            let blocks = (blocks as usize).saturating_sub(word * 64).min(64);
            AtomicU64::new(if blocks == 64 { 0 } else { u64::MAX << blocks })
        });
        let idle = (0..BLOCKS).map(|block| AtomicU64::new(all_of(block, ports))).collect();
        Self {
            address,
            protocol,
            ports,
            claimed,
            unclaimed: AtomicU32::new(blocks),
            idle,
            used: AtomicU32::new(0),
            taken: AtomicU64::new(0),
            level: AtomicU8::new(PoolLevel::Normal as u8),
        }
    }

    /// The first block from `start` on that is nobody's, going round; it is the caller's then.
    pub(crate) fn claim(&self, start: u16) -> Option<u16> {
        if self.unclaimed.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let first = usize::from(start % BLOCKS);
        for step in 0..=WORDS {
            let word = (first / 64 + step) % WORDS;
            let mut mask = u64::MAX;
            if step == 0 {
                mask <<= first % 64;
            } else if step == WORDS {
                mask = !(mask << (first % 64));
            }
            let mut seen = self.claimed[word].load(Ordering::Relaxed);
            while !seen & mask != 0 {
                let bit = 1 << (!seen & mask).trailing_zeros();
                seen = self.claimed[word].fetch_or(bit, Ordering::Acquire);
                if seen & bit == 0 {
                    self.unclaimed.fetch_sub(1, Ordering::Relaxed);
                    return Some((word * 64) as u16 + bit.trailing_zeros() as u16);
                }
            }
        }
        None
    }

    /// The block is nobody's again. Only its owner may say so, when all of its ports are idle.
    pub(crate) fn give_back(&self, block: u16) {
        self.claimed[usize::from(block / 64)].fetch_and(!(1 << (block % 64)), Ordering::Release);
        self.unclaimed.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether most blocks are nobody's.
    pub(crate) fn is_plentiful(&self) -> bool {
        self.unclaimed.load(Ordering::Relaxed) > self.ports / u32::from(BLOCK_PORTS) / 2
    }

    /// The ports that a block has, a bit each.
    pub(crate) fn all(&self, block: u16) -> u64 {
        all_of(block, self.ports)
    }

    /// The idle ports of a block, a bit each.
    pub(crate) fn idle(&self, block: u16) -> u64 {
        self.idle.get(usize::from(block)).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Takes an idle port out of a block of the caller's.
    pub(crate) fn take(&self, port: u16) {
        let (block, bit) = place(port);
        if let Some(word) = self.idle.get(usize::from(block)) {
            word.fetch_and(!bit, Ordering::Relaxed);
        }
    }

    /// The port may be given out again, by the owner of its block.
    pub(crate) fn release(&self, port: u16) {
        let (block, bit) = place(port);
        if let Some(word) = self.idle.get(usize::from(block)) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// One session more; the alarm, if this is the one that raises it.
    pub(crate) fn count(&self, ratio: u8, percent: u32) -> Option<PoolAlarm> {
        let used = self.used.fetch_add(1, Ordering::Relaxed) + 1;
        self.taken.fetch_add(1, Ordering::Relaxed);
        let capacity = self.ports * u32::from(ratio);
        let high = u64::from(used) * 100 >= u64::from(capacity) * u64::from(percent);
        (high && self.turn(PoolLevel::Normal, PoolLevel::High)).then(|| self.alarm(PoolLevel::High, used, capacity))
    }

    /// One session less; the end of an alarm, if this is the one that ends it.
    pub(crate) fn uncount(&self, ratio: u8, percent: u32) -> Option<PoolAlarm> {
        let used = self.used.fetch_sub(1, Ordering::Relaxed).saturating_sub(1);
        let capacity = self.ports * u32::from(ratio);
        let low = u64::from(used) * 100 < u64::from(capacity) * u64::from(percent.saturating_sub(ALARM_HYSTERESIS));
        let over = low
            && (self.turn(PoolLevel::High, PoolLevel::Normal) || self.turn(PoolLevel::Exhausted, PoolLevel::Normal));
        over.then(|| self.alarm(PoolLevel::Normal, used, capacity))
    }

    /// There was no port left for a session; the alarm, if nobody raised it before.
    pub(crate) fn exhausted(&self, ratio: u8) -> Option<PoolAlarm> {
        let new =
            self.turn(PoolLevel::Normal, PoolLevel::Exhausted) || self.turn(PoolLevel::High, PoolLevel::Exhausted);
        let (used, capacity) = (self.used.load(Ordering::Relaxed), self.ports * u32::from(ratio));
        new.then(|| self.alarm(PoolLevel::Exhausted, used, capacity))
    }

    fn alarm(&self, level: PoolLevel, used: u32, capacity: u32) -> PoolAlarm {
        PoolAlarm { address: self.address, protocol: self.protocol, level, used, capacity }
    }

    fn turn(&self, from: PoolLevel, to: PoolLevel) -> bool {
        // Nearly always it is at another level; looking is cheaper than trying.
        self.level.load(Ordering::Relaxed) == from as u8
            && self.level.compare_exchange(from as u8, to as u8, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// The ports of a block, a bit each, if an address has so many.
fn all_of(block: u16, ports: u32) -> u64 {
    match ports.saturating_sub(u32::from(block) * u32::from(BLOCK_PORTS)) {
        0 => 0,
        left if left >= u32::from(BLOCK_PORTS) => u64::MAX,
        left => (1 << left) - 1,
    }
}

/// Block of a port, and its bit there.
pub(crate) fn place(port: u16) -> (u16, u64) {
    let position = port.saturating_sub(PORT_MIN);
    (position / BLOCK_PORTS, 1 << (position % BLOCK_PORTS))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_block_is_claimed_once_by_however_many() {
        let map = PortMap::new(IpAddr::from([192, 0, 2, 1]), 6, PORTS);
        let claim = |first: u16| {
            let mut mine = Vec::new();
            while let Some(block) = map.claim(first.wrapping_add(mine.len() as u16 * 7)) {
                mine.push(block);
            }
            mine
        };
        let all: Vec<u16> = std::thread::scope(|scope| {
            let claim = &claim;
            let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || claim(thread * 300))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let distinct: BTreeSet<_> = all.iter().collect();
        assert_eq!((all.len(), distinct.len()), (usize::from(BLOCKS), usize::from(BLOCKS)));
        map.give_back(77);
        assert_eq!((map.claim(500), map.claim(0)), (Some(77), None));
    }

    #[test]
    fn an_alarm_is_raised_once_and_over_well_below() {
        let map = PortMap::new(IpAddr::from([192, 0, 2, 1]), 6, PORTS);
        let limit = PORTS * 8 / 10 + 1;
        let raised: Vec<_> = (0..PORTS).filter_map(|_| map.count(1, 80)).collect();
        assert_eq!(raised, [map.alarm(PoolLevel::High, limit, PORTS)]);
        assert_eq!(map.exhausted(1).map(|alarm| alarm.level), Some(PoolLevel::Exhausted));
        assert_eq!(map.exhausted(1), None);
        let over: Vec<_> = (0..PORTS).filter_map(|_| map.uncount(1, 80)).collect();
        assert_eq!(over, [map.alarm(PoolLevel::Normal, PORTS * 7 / 10, PORTS)]);
        assert!((0..limit).any(|_| map.count(1, 80).is_some()), "and can be raised again");
    }
}
