//! Which port of a pool address does a new session get?
//!
//! One worker's blocks of ports (see `shared.rs` for how it comes by them). An idle port is taken at
//! random (RFC 6056), first from a spread of blocks, so that who sees one port cannot guess the next. A
//! TCP port rests after its session, because the server behind it remembers the connection for a while;
//! resting ports are used before a session is turned away. With oversubscription a port may serve several
//! sessions, as long as their replies can be told apart; idle ports go first.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashMap;

use super::shared::{BLOCK_PORTS, BLOCKS, PORT_MIN, PortMap, SharedPools, place};
use crate::settings::SECOND;
use crate::verdict::{PoolAlarm, Time};

/// Blocks of an address that all workers together hold as soon as they use it: a quarter.
const SPREAD: u16 = 256;
/// Blocks a worker holds at least, of an address it uses.
const SPREAD_MIN: u16 = 8;
/// A block with fewer idle ports is crowded.
const CROWDED: u32 = 32;
/// Nanoseconds between two looks for ports that have rested.
const EXPIRE_EVERY: u64 = SECOND;
/// Alarms that wait to be told at most.
const ALARMS_MAX: usize = 64;
/// Resting ports that are looked at for one session.
const RESTING_TRIES: usize = 16;
/// Ports in use that are looked at for one session that may share them.
const SHARED_TRIES: usize = 256;
/// TCP: its ports rest.
const TCP: u8 = 6;

/// A port in use by a session; given back when the session is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) address: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) port: u16,
    pub(crate) hold: Hold,
    /// The address is an interface's: the session ends with it.
    pub(crate) own: bool,
}

/// Whose a lease is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// The session's.
    Session,
    /// The client's: all of its sessions with the same port use it.
    Client,
    /// The client's, and the address is all it is about.
    Host,
    /// Nobody's: an address without a port, which others have, too.
    Address,
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

/// What a session asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) address: IpAddr,
    pub(crate) protocol: u8,
    /// Where to begin looking.
    pub(crate) random: u64,
    /// Ports to look at for one that fits best.
    pub(crate) tries: usize,
    /// The port is never shared.
    pub(crate) alone: bool,
}

/// What all pools go by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// How many workers there are.
    pub(crate) workers: u16,
    /// Addresses in use at most, per protocol.
    pub(crate) addresses_max: usize,
    /// Ports of an address, per protocol.
    pub(crate) ports: u32,
    /// Sessions that may use a port at once.
    pub(crate) ratio: u8,
    /// Percent of an address's ports that raise the alarm.
    pub(crate) alarm_percent: u32,
    /// Nanoseconds a TCP port rests.
    pub(crate) rest: u64,
}

/// The ports this worker has of all pool addresses.
pub(crate) struct Pools {
    shared: SharedPools,
    mine: HashMap<(IpAddr, u8), Ports, RandomState>,
    pub(crate) terms: Terms,
    /// When the first port has rested, or an address may be out of use.
    next_due: Option<Time>,
    alarms: Vec<PoolAlarm>,
}

/// The ports this worker has of one address.
struct Ports {
    map: Arc<PortMap>,
    blocks: Vec<Block>,
    /// Where each block is in `blocks`, from 1; 0 for those of others.
    places: Box<[u16]>,
    /// In the order in which they have rested.
    resting: VecDeque<(Time, u16)>,
}

/// A block of this worker's.
struct Block {
    number: u16,
    /// Ports in use by fewer sessions than may use them, a bit each.
    shareable: u64,
    /// Ports in use that are never shared, a bit each.
    alone: u64,
    /// Sessions beyond the first, of each port.
    more: [u8; BLOCK_PORTS as usize],
}

impl Pools {
    pub(crate) fn new(shared: SharedPools, terms: Terms, seed: u64) -> Self {
        let mine = HashMap::with_hasher(RandomState::with_seeds(seed, 1, 2, 3));
        Self { shared, mine, terms, next_due: None, alarms: Vec::new() }
    }

    /// A port that `fits`, or one that is usable if none fits better within the tries. `None` when the
    /// address has no port left that may be used.
    pub(crate) fn take(&mut self, ask: &Ask, now: Time, mut fits: impl FnMut(u16) -> Fit) -> Option<Lease> {
        let terms = self.terms;
        let Ask { address, protocol, random, .. } = *ask;
        let ports = self.ports(address, protocol, random, now)?;
        ports.wake(now);
        let found = ports.find(ask, terms.ratio, &mut fits);
        let alarm = match found {
            Some(_) => ports.map.count(terms.ratio, terms.alarm_percent),
            None => ports.map.exhausted(terms.ratio),
        };
        self.raise(alarm);
        found.map(|port| Lease { address, protocol, port, hold: Hold::Session, own: false })
    }

    /// This very port, if it is idle or rests.
    pub(crate) fn take_again(&mut self, lease: Lease) -> bool {
        let terms = self.terms;
        let Some(ports) = self.mine.get_mut(&(lease.address, lease.protocol)) else { return false };
        let (block, bit) = place(lease.port);
        if ports.block(lease.port).is_none() {
            return false;
        }
        // It is nearly always the last that was given back.
        if let Some(at) = ports.resting.iter().rposition(|(_, port)| *port == lease.port) {
            ports.resting.remove(at);
        } else if ports.map.idle(block) & bit != 0 {
            ports.map.take(lease.port);
        } else {
            return false;
        }
        ports.first(lease.port, terms.ratio, lease.hold == Hold::Client);
        let alarm = ports.map.count(terms.ratio, terms.alarm_percent);
        self.raise(alarm);
        true
    }

    /// A session does not need its port any more; that of a TCP session rests. The port may be of another
    /// worker's block.
    pub(crate) fn give_back(&mut self, lease: Lease, now: Time) {
        let terms = self.terms;
        let Some(ports) = self.ports(lease.address, lease.protocol, 0, now) else { return };
        let alarm = ports.map.uncount(terms.ratio, terms.alarm_percent);
        let due = now.after(terms.rest);
        match ports.one_less(lease.port) {
            true => {}
            false if lease.protocol == TCP => ports.resting.push_back((due, lease.port)),
            false => ports.map.release(lease.port),
        }
        // Blocks that are not needed any more are given back then, too.
        self.next_due.get_or_insert(due);
        self.raise(alarm);
    }

    /// Ends the rest of ports, and gives back blocks of addresses out of use.
    pub(crate) fn expire(&mut self, now: Time) {
        if self.next_due.is_none_or(|due| due > now) {
            return;
        }
        let spread = spread(&self.terms);
        let mut next_due: Option<Time> = None;
        for ports in self.mine.values_mut() {
            ports.wake(now);
            ports.shrink(if ports.in_use() { spread } else { 0 });
            let due = ports.resting.front().map(|(due, _)| *due);
            next_due = [next_due, due].into_iter().flatten().min();
        }
        self.mine.retain(|_, ports| !ports.is_empty());
        self.next_due = next_due.map(|due| due.max(now.after(EXPIRE_EVERY)));
    }

    /// So many sessions may use a port from now on.
    pub(crate) fn share(&mut self, ratio: u8) {
        if ratio != self.terms.ratio {
            self.terms.ratio = ratio;
            self.mine.values_mut().for_each(|ports| ports.share(ratio));
        }
    }

    /// When [`Self::expire`] has something to do.
    pub(crate) fn next_due(&self) -> Option<Time> {
        self.next_due
    }

    /// An alarm that nobody has been told of.
    pub(crate) fn next_alarm(&mut self) -> Option<PoolAlarm> {
        (!self.alarms.is_empty()).then(|| self.alarms.remove(0))
    }

    fn raise(&mut self, alarm: Option<PoolAlarm>) {
        if self.alarms.len() < ALARMS_MAX {
            self.alarms.extend(alarm);
        }
    }

    /// The ports of an address. One out of use makes room for a new one, if there is none.
    fn ports(&mut self, address: IpAddr, protocol: u8, random: u64, now: Time) -> Option<&mut Ports> {
        let Terms { addresses_max, ports: count, .. } = self.terms;
        let known = self.mine.contains_key(&(address, protocol));
        if !known {
            if self.mine.len() >= addresses_max {
                self.mine.retain(|_, ports| {
                    ports.shrink(if ports.in_use() { usize::MAX } else { 0 });
                    !ports.is_empty()
                });
                if self.mine.len() >= addresses_max {
                    return None;
                }
            }
            let map = self.shared.ports(address, protocol, addresses_max, count)?;
            let mut ports = Ports::new(map);
            ports.spread_out(spread(&self.terms), random);
            self.mine.insert((address, protocol), ports);
            self.next_due.get_or_insert(now.after(self.terms.rest));
        }
        self.mine.get_mut(&(address, protocol))
    }
}

/// Blocks that a worker holds of an address it uses, even if it has few sessions.
fn spread(terms: &Terms) -> usize {
    usize::from((SPREAD / terms.workers.max(1)).max(SPREAD_MIN))
}

/// The best port that was offered so far.
struct Choice<'f, F> {
    fits: &'f mut F,
    left: usize,
    port: Option<u16>,
}

impl<F: FnMut(u16) -> Fit> Choice<'_, F> {
    /// Whether it is decided.
    fn offer(&mut self, port: u16) -> bool {
        self.left = self.left.saturating_sub(1);
        match (self.fits)(port) {
            Fit::Best => {
                self.port = Some(port);
                return true;
            }
            Fit::Usable => {
                self.port.get_or_insert(port);
            }
            Fit::Taken => {}
        }
        self.left == 0
    }
}

/// Offers the ports of a block whose bits are set, from a random one on; whether it is decided.
fn offer_bits<F: FnMut(u16) -> Fit>(block: u16, bits: u64, random: u64, choice: &mut Choice<'_, F>) -> bool {
    let turn = (random & 63) as u32;
    let mut bits = bits.rotate_right(turn);
    while bits != 0 {
        let bit = (bits.trailing_zeros() + turn) % 64;
        if choice.offer(PORT_MIN + block * BLOCK_PORTS + bit as u16) {
            return true;
        }
        bits &= bits - 1;
    }
    false
}

impl Ports {
    fn new(map: Arc<PortMap>) -> Self {
        let places = vec![0; usize::from(BLOCKS)].into();
        Self { map, blocks: Vec::new(), places, resting: VecDeque::new() }
    }

    fn find<F: FnMut(u16) -> Fit>(&mut self, ask: &Ask, ratio: u8, fits: &mut F) -> Option<u16> {
        let Ask { random, tries, alone, .. } = *ask;
        self.make_room(random);
        let mut choice = Choice { fits, left: tries, port: None };
        let decided = self.offer_idle(random, &mut choice);
        if !decided && choice.port.is_none() {
            // Nothing idle was left: another block, if there is one.
            if self.claim(random) {
                self.offer_block(self.blocks.len() - 1, random, &mut choice);
            }
        }
        if let Some(port) = choice.port {
            self.map.take(port);
            self.first(port, ratio, alone);
            return Some(port);
        }
        if let Some(port) = self.find_resting(&mut choice) {
            self.first(port, ratio, alone);
            return Some(port);
        }
        if alone { None } else { self.find_shared(ratio, random, &mut choice) }
    }

    /// Claims another block while that costs nobody anything.
    fn make_room(&mut self, random: u64) {
        if self.blocks.is_empty() {
            self.claim(random);
        } else if self.map.is_plentiful() {
            let at = (random >> 32) as usize % self.blocks.len();
            if self.map.idle(self.blocks[at].number).count_ones() < CROWDED {
                self.claim(random);
            }
        }
    }

    fn claim(&mut self, random: u64) -> bool {
        let Some(number) = self.map.claim((random % u64::from(BLOCKS)) as u16) else { return false };
        self.blocks.push(Block { number, shareable: 0, alone: 0, more: [0; BLOCK_PORTS as usize] });
        self.places[usize::from(number)] = self.blocks.len() as u16;
        true
    }

    fn spread_out(&mut self, count: usize, random: u64) {
        let mut start = random;
        while self.blocks.len() < count && self.map.is_plentiful() && self.claim(start) {
            start = start.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) >> 1;
        }
    }

    /// Offers the idle ports of all blocks, from a random one on; whether it is decided.
    fn offer_idle<F: FnMut(u16) -> Fit>(&self, random: u64, choice: &mut Choice<'_, F>) -> bool {
        let count = self.blocks.len();
        let first = (random >> 16) as usize % count.max(1);
        (0..count).any(|step| self.offer_block((first + step) % count, random, choice))
    }

    fn offer_block<F: FnMut(u16) -> Fit>(&self, at: usize, random: u64, choice: &mut Choice<'_, F>) -> bool {
        let block = self.blocks[at].number;
        offer_bits(block, self.map.idle(block), random, choice)
    }

    /// The port that has rested longest.
    fn find_resting<F: FnMut(u16) -> Fit>(&mut self, choice: &mut Choice<'_, F>) -> Option<u16> {
        for _ in 0..RESTING_TRIES.min(self.resting.len()) {
            let (due, port) = self.resting.pop_front()?;
            if self.block(port).is_some() && (choice.fits)(port) != Fit::Taken {
                return Some(port);
            }
            self.resting.push_front((due, port));
            self.resting.rotate_left(1);
        }
        None
    }

    /// A port that serves others already.
    fn find_shared<F: FnMut(u16) -> Fit>(&mut self, ratio: u8, random: u64, choice: &mut Choice<'_, F>) -> Option<u16> {
        if ratio <= 1 {
            return None;
        }
        choice.left = SHARED_TRIES;
        let count = self.blocks.len();
        let first = (random >> 16) as usize % count.max(1);
        for step in 0..count {
            let block = &self.blocks[(first + step) % count];
            if offer_bits(block.number, block.shareable, random, choice) {
                break;
            }
        }
        let port = choice.port?;
        let (_, bit) = place(port);
        let block = self.block(port)?;
        let more = &mut block.more[bit.trailing_zeros() as usize];
        *more += 1;
        if *more + 1 >= ratio {
            block.shareable &= !bit;
        }
        Some(port)
    }

    /// A port has its first session.
    fn first(&mut self, port: u16, ratio: u8, alone: bool) {
        let (_, bit) = place(port);
        let Some(block) = self.block(port) else { return };
        if alone {
            block.alone |= bit;
        } else if ratio > 1 {
            block.shareable |= bit;
        }
    }

    /// So many sessions may use a port from now on.
    fn share(&mut self, ratio: u8) {
        for block in &mut self.blocks {
            let full = block.more.iter().enumerate().filter(|(_, more)| **more + 1 >= ratio);
            let full = full.fold(0, |bits, (bit, _)| bits | 1 << bit);
            block.shareable = self.map.all(block.number) & !(self.map.idle(block.number) | block.alone | full);
        }
    }

    /// A port has one session less; whether others use it still.
    fn one_less(&mut self, port: u16) -> bool {
        let (_, bit) = place(port);
        let Some(block) = self.block(port) else { return false };
        let more = &mut block.more[bit.trailing_zeros() as usize];
        if *more > 0 {
            *more -= 1;
            block.shareable |= bit;
            return true;
        }
        block.shareable &= !bit;
        block.alone &= !bit;
        false
    }

    /// The block of a port, if it is this worker's.
    fn block(&mut self, port: u16) -> Option<&mut Block> {
        let (number, _) = place(port);
        let at = self.places.get(usize::from(number)).copied().unwrap_or(0);
        self.blocks.get_mut(usize::from(at).checked_sub(1)?)
    }

    /// Ports that have rested are idle again.
    fn wake(&mut self, now: Time) {
        while let Some((_, port)) = self.resting.pop_front_if(|(due, _)| *due <= now) {
            self.map.release(port);
        }
    }

    /// Gives back blocks without a port in use, down to so many.
    fn shrink(&mut self, keep: usize) {
        let (map, mut left) = (&self.map, self.blocks.len());
        if left <= keep {
            return;
        }
        self.blocks.retain(|block| {
            let goes = left > keep && map.idle(block.number) == map.all(block.number);
            if goes {
                map.give_back(block.number);
                left -= 1;
            }
            !goes
        });
        self.places.fill(0);
        for (at, block) in self.blocks.iter().enumerate() {
            self.places[usize::from(block.number)] = at as u16 + 1;
        }
    }

    /// Whether some port of its blocks is in use, or rests.
    fn in_use(&self) -> bool {
        self.blocks.iter().any(|block| self.map.idle(block.number) != self.map.all(block.number))
    }

    /// Whether there is nothing to remember.
    fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.resting.is_empty()
    }
}

#[cfg(test)]
mod tests;
