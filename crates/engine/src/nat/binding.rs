//! Which translation does a client keep, whatever it talks to?
//!
//! A persistent port (RFC 4787 REQ-1: endpoint-independent mapping) belongs to a client's address and
//! port, an address of a dynamic-IP pool to a client's address; both for as long as it has sessions. The
//! sessions of one client are spread over the workers, so the workers share this. It is asked when such
//! a session opens and ends, never for a packet in between.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ahash::RandomState;

use super::pool::Lease;

/// Locks the persistent ports are spread over.
const SHARDS: usize = 16;

/// Who keeps a translation by which rule. Port and protocol are 0 where only the address counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    pub(crate) rule: u32,
    pub(crate) realm: u16,
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    pub(crate) protocol: u8,
}

/// The translations clients keep, each with its sessions.
pub(crate) struct Bindings {
    ports: [Mutex<HashMap<Client, (Lease, u32)>>; SHARDS],
    hasher: RandomState,
    hosts: Mutex<Hosts>,
}

#[derive(Default)]
struct Hosts {
    bound: HashMap<Client, Bound>,
    taken: BTreeSet<IpAddr>,
    /// Clients that got their address from each pool, so that one without an address left is not searched. A
    /// commit may give a rule another pool: its clients keep their addresses, and are none of the new one's.
    clients: HashMap<PoolId, u128>,
}

/// The addresses of a pool, as a hash.
pub(crate) type PoolId = u64;

/// What a client has of an address.
struct Bound {
    address: IpAddr,
    sessions: u32,
    pool: PoolId,
}

impl Default for Bindings {
    fn default() -> Self {
        Self { ports: Default::default(), hasher: RandomState::with_seeds(13, 14, 15, 16), hosts: Mutex::default() }
    }
}

impl Bindings {
    /// The port the client keeps, or a new one from `make`; counts a session. A port whose address is not
    /// `valid` any more stays with its sessions and is nobody else's: `Err` then.
    pub(crate) fn bind(
        &self,
        client: Client,
        valid: impl FnOnce(IpAddr) -> bool,
        make: impl FnOnce() -> Option<Lease>,
    ) -> Result<Option<Lease>, Outdated> {
        match self.shard(&client).entry(client) {
            Entry::Occupied(mut known) => {
                let (lease, sessions) = known.get_mut();
                if !valid(lease.address) {
                    return Err(Outdated);
                }
                *sessions += 1;
                Ok(Some(*lease))
            }
            Entry::Vacant(vacant) => Ok(make().map(|lease| vacant.insert((lease, 1)).0)),
        }
    }

    /// A session of the client is over; the port, if it was the last one.
    pub(crate) fn unbind(&self, client: Client) -> Option<Lease> {
        let mut shard = self.shard(&client);
        let (lease, sessions) = shard.get_mut(&client)?;
        *sessions -= 1;
        let last = (*sessions == 0).then_some(*lease)?;
        shard.remove(&client);
        Some(last)
    }

    /// The address the client keeps, or the first of a pool's that is nobody's; counts a session.
    pub(crate) fn bind_host(
        &self,
        client: Client,
        (pool, size): (PoolId, u128),
        mut addresses: impl Iterator<Item = IpAddr>,
    ) -> Option<IpAddr> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let Hosts { bound, taken, clients } = &mut *hosts;
        match bound.entry(client) {
            Entry::Occupied(mut known) => {
                known.get_mut().sessions += 1;
                Some(known.get().address)
            }
            Entry::Vacant(vacant) => {
                if clients.get(&pool).is_some_and(|clients| *clients >= size) {
                    return None;
                }
                let address = addresses.find(|address| !taken.contains(address))?;
                taken.insert(address);
                *clients.entry(pool).or_insert(0) += 1;
                vacant.insert(Bound { address, sessions: 1, pool });
                Some(address)
            }
        }
    }

    /// A session of the client is over.
    pub(crate) fn unbind_host(&self, client: Client) {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let Entry::Occupied(mut known) = hosts.bound.entry(client) else { return };
        known.get_mut().sessions -= 1;
        if known.get().sessions > 0 {
            return;
        }
        let Bound { address, pool, .. } = known.remove();
        hosts.taken.remove(&address);
        if let Entry::Occupied(mut clients) = hosts.clients.entry(pool) {
            *clients.get_mut() -= 1;
            if *clients.get() == 0 {
                clients.remove();
            }
        }
    }

    /// How many addresses of those that `chosen` picks are some client's.
    pub(crate) fn hosts(&self, chosen: impl Fn(IpAddr) -> bool) -> usize {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.taken.iter().filter(|address| chosen(**address)).count()
    }

    fn shard(&self, client: &Client) -> MutexGuard<'_, HashMap<Client, (Lease, u32)>> {
        let at = self.hasher.hash_one(client) as usize % SHARDS;
        self.ports[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client's port is of an address that its rule does not translate to any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outdated;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nat::pool::Hold;

    fn client(last: u8) -> Client {
        Client { rule: 1, realm: 0, address: IpAddr::from([10, 0, 0, last]), port: 5000, protocol: 17 }
    }

    fn lease(port: u16) -> Lease {
        Lease { address: IpAddr::from([192, 0, 2, 1]), protocol: 17, port, hold: Hold::Client, own: false }
    }

    #[test]
    fn a_client_keeps_its_port_until_its_last_session_is_over() {
        let bindings = Bindings::default();
        assert_eq!(bindings.bind(client(1), |_| true, || Some(lease(7))), Ok(Some(lease(7))));
        assert_eq!(bindings.bind(client(1), |_| true, || None), Ok(Some(lease(7))));
        assert_eq!(bindings.bind(client(1), |_| false, || None), Err(Outdated));
        assert_eq!(bindings.bind(client(2), |_| true, || None), Ok(None), "no port was left");
        assert_eq!(bindings.unbind(client(1)), None);
        assert_eq!(bindings.unbind(client(1)), Some(lease(7)));
        assert_eq!(bindings.unbind(client(1)), None);
    }

    #[test]
    fn an_address_is_one_clients_at_a_time() {
        let bindings = Bindings::default();
        let pool = || (1..=2).map(|last| IpAddr::from([192, 0, 2, last]));
        let first = bindings.bind_host(client(1), (9, 2), pool());
        let second = bindings.bind_host(client(2), (9, 2), pool());
        assert!(first.is_some() && second.is_some() && first != second);
        assert_eq!(bindings.bind_host(client(3), (9, 2), pool()), None);
        assert_eq!(bindings.bind_host(client(1), (9, 2), pool()), first);
        assert_eq!(bindings.hosts(|_| true), 2);
        bindings.unbind_host(client(1));
        assert_eq!(bindings.bind_host(client(3), (9, 2), pool()), None, "one session is left");
        bindings.unbind_host(client(1));
        assert_eq!(bindings.bind_host(client(3), (9, 2), pool()), first);
    }

    #[test]
    fn clients_of_a_rules_former_pool_are_none_of_its_new_one() {
        let bindings = Bindings::default();
        let address = |last| IpAddr::from([192, 0, 2, last]);
        assert_eq!(bindings.bind_host(client(1), (8, 1), [address(1)].into_iter()), Some(address(1)));
        assert_eq!(bindings.bind_host(client(2), (9, 1), [address(2)].into_iter()), Some(address(2)));
        assert_eq!(bindings.bind_host(client(3), (9, 1), [address(2)].into_iter()), None);
        bindings.unbind_host(client(1));
        assert_eq!(bindings.bind_host(client(3), (9, 1), [address(2)].into_iter()), None);
        bindings.unbind_host(client(2));
        assert_eq!(bindings.bind_host(client(3), (9, 1), [address(2)].into_iter()), Some(address(2)));
    }
}
