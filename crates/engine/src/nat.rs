//! Which addresses and ports does a new session leave with?
//!
//! Owns the choice; ports come from `pool.rs`, what a client keeps from `binding.rs`, and neither touches
//! bytes. A pool that runs dry is a drop with [`DropReason::NatPoolExhausted`], not an error: the next
//! packet may succeed.

pub(crate) mod binding;
pub(crate) mod pool;
pub(crate) mod shared;
pub(crate) mod spread;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bartizan_packet::rewrite::Tuple;
use bartizan_policy::tables::{Forward, NatRuleId, PortPool, SourceNat};

use crate::engine::Engine;
use crate::key::{Key, reverse};
use crate::nat::binding::{Client, Outdated};
use crate::nat::pool::{Ask, Fit, Hold, Lease};
use crate::pipeline::{Staged, drop};
use crate::session::Kind;
use crate::verdict::{DropReason, EndReason};

/// Addresses of a pool that are tried for one session.
const ADDRESS_TRIES: usize = 8;
/// Free ports that are looked at for one whose replies arrive at this worker, per worker.
const PORT_TRIES: usize = 8;
/// Addresses a worker draws tokens for local services from.
const TOKEN_ADDRESSES: u32 = 16;
/// First token address: 198.18.1.0, beyond the host's own neighbourhood.
const TOKENS: u32 = 0xc612_0100;
/// First token address over IPv6: 2001:2:0:1::, beyond the host's own neighbourhood.
const TOKENS_V6: u128 = 0x2001_0002_0000_0001 << 64;
/// Token addresses in 198.18.0.0/15 from [`TOKENS`] on; as many over IPv6.
const TOKENS_SPAN: u32 = (1 << 17) - 512;

/// What kind of port a session wants.
#[derive(Clone, Copy, Debug)]
struct Want {
    protocol: u8,
    /// By which the replies come in.
    realm: u16,
    hold: Hold,
    own: bool,
}

/// What a session's packets say after translation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Translation {
    pub(crate) tuple: Tuple,
    pub(crate) lease: Option<Lease>,
}

impl Engine {
    /// Translates a new flow by the rule's decision; replies will come in at `egress_realm`.
    pub(crate) fn translate(&mut self, key: &Key, forward: &Forward, egress_realm: u16) -> Staged<Translation> {
        let mut tuple = key.tuple();
        if let Some(destination) = &forward.destination_nat {
            tuple.destination = destination.address;
            tuple.destination_port = destination.port.unwrap_or(tuple.destination_port);
        }
        let translation = match &forward.source_nat {
            None => Translation { tuple, lease: None },
            Some(SourceNat::Static { address }) => {
                tuple.source = *address;
                Translation { tuple, lease: None }
            }
            Some(SourceNat::DynamicIpAndPort { pool, persistent }) => {
                let keeper = persistent.then_some(forward.nat_rule).flatten();
                self.port_of(pool, tuple, key, egress_realm, keeper)?
            }
            Some(SourceNat::DynamicIp { pool, fallback }) => {
                match (self.address_of(pool, key, forward.nat_rule), fallback) {
                    (Some(lease), _) => {
                        tuple.source = lease.address;
                        Translation { tuple, lease: Some(lease) }
                    }
                    (None, Some(pool)) => self.port_of(pool, tuple, key, egress_realm, None)?,
                    (None, None) => return drop(DropReason::NatPoolExhausted),
                }
            }
        };
        let family = key.tuple().source.is_ipv4();
        let server = reverse(egress_realm, key.protocol(), &translation.tuple);
        let reason =
            if translation.tuple.source.is_ipv4() != family || translation.tuple.destination.is_ipv4() != family {
                DropReason::UnsupportedProtocol
            } else if server == *key || self.is_taken(&server) {
                DropReason::NatCollision
            } else {
                return Ok(translation);
            };
        if let Some(lease) = translation.lease {
            self.release(lease, key, forward.nat_rule);
        }
        drop(reason)
    }

    /// What a session had is free again, unless others of its client have it too. `key` is the client's.
    pub(crate) fn release(&mut self, lease: Lease, key: &Key, rule: Option<NatRuleId>) {
        match (lease.hold, rule) {
            (Hold::Session, _) => self.pools.give_back(lease, self.now),
            (Hold::Client, Some(rule)) => {
                if let Some(last) = self.settings.nat.bindings().unbind(client(key, rule)) {
                    self.pools.give_back(last, self.now);
                }
            }
            (Hold::Host, Some(rule)) => self.settings.nat.bindings().unbind_host(host(key, rule)),
            // A translation that a client keeps comes from a rule.
            (Hold::Client | Hold::Host, None) | (Hold::Address, _) => {}
        }
    }

    /// A port of a pool: the one that the client keeps by a rule (`keeper`), or its own.
    fn port_of(
        &mut self,
        pool: &PortPool,
        mut tuple: Tuple,
        key: &Key,
        realm: u16,
        keeper: Option<NatRuleId>,
    ) -> Staged<Translation> {
        let protocol = key.protocol();
        let start = self.sticky(key.tuple().source);
        if !has_ports(protocol) {
            // Without ports there is one flow per address: a second one collides.
            let Some(address) = pool_address(&pool.ranges, start, 0) else {
                return drop(DropReason::NatPoolExhausted);
            };
            tuple.source = address;
            // The session ends with the interface's address.
            let lease = Lease { address, protocol, port: 0, hold: Hold::Address, own: true };
            return Ok(Translation { tuple, lease: pool.of_interface.then_some(lease) });
        }
        let address = |try_| pool_address(&pool.ranges, start, try_);
        let terms = |hold| Want { protocol, realm, hold, own: pool.of_interface };
        let Some(rule) = keeper else { return self.lease(tuple, terms(Hold::Session), address) };
        let shared = self.settings.nat.clone();
        let bound = shared.bindings().bind(
            client(key, rule),
            |kept| pool.contains(kept),
            || self.lease(tuple, terms(Hold::Client), address).ok()?.lease,
        );
        match bound {
            Ok(Some(lease)) => {
                tuple.source = lease.address;
                tuple.source_port = lease.port;
                Ok(Translation { tuple, lease: Some(lease) })
            }
            Ok(None) => drop(DropReason::NatPoolExhausted),
            // Older sessions end with their address; until then the client's new ones have ports of their own.
            Err(Outdated) => self.lease(tuple, terms(Hold::Session), address),
        }
    }

    /// The address that a client has to itself.
    fn address_of(&self, pool: &[(IpAddr, IpAddr)], key: &Key, rule: Option<NatRuleId>) -> Option<Lease> {
        let start = self.sticky(key.tuple().source);
        let addresses = (0..).map_while(|try_| pool_address(pool, start, try_));
        let size = pool.iter().map(|range| size(*range)).fold(0_u128, u128::saturating_add);
        let hasher = ahash::RandomState::with_seeds(self.settings.nat.seed(), 13, 14, 15);
        let id = std::hash::BuildHasher::hash_one(&hasher, pool);
        let address = self.settings.nat.bindings().bind_host(host(key, rule?), (id, size), addresses)?;
        Some(Lease { address, protocol: key.protocol(), port: 0, hold: Hold::Host, own: false })
    }

    /// A source by which the host's own TCP sees one client and no other.
    pub(crate) fn token(&mut self, destination: IpAddr, port: u16, realm: u16) -> Staged<Translation> {
        let tuple = Tuple { source: destination, destination, source_port: 0, destination_port: port };
        let first = u32::from(self.settings.worker) * TOKEN_ADDRESSES;
        let start = self.random();
        let want = Want { protocol: bartizan_packet::parse::TCP, realm, hold: Hold::Session, own: false };
        self.lease(tuple, want, |try_| {
            let offset = first + (start.wrapping_add(try_ as u64) % u64::from(TOKEN_ADDRESSES)) as u32;
            let offset = offset % TOKENS_SPAN;
            Some(match destination {
                IpAddr::V4(_) => Ipv4Addr::from_bits(TOKENS + offset).into(),
                IpAddr::V6(_) => Ipv6Addr::from_bits(TOKENS_V6 + u128::from(offset)).into(),
            })
        })
    }

    /// Whether a flow belongs to a session that goes on; one that is over, or only remembered as refused, makes
    /// way for the replies of one that is allowed.
    fn is_taken(&mut self, server: &Key) -> bool {
        let Some((slot, _)) = self.table.find(server) else { return false };
        let over = self.table[slot].expires() <= self.now;
        if over || self.table[slot].kind == Kind::Refused {
            self.end(slot, EndReason::AgedOut);
            return false;
        }
        true
    }

    fn lease(
        &mut self,
        mut tuple: Tuple,
        want: Want,
        address: impl Fn(usize) -> Option<IpAddr>,
    ) -> Staged<Translation> {
        let Want { protocol, realm, hold, own } = want;
        let workers = self.settings.workers.max(1);
        let worker = self.settings.worker;
        let reopened = self.reopened.filter(|lease| lease.protocol == protocol && lease.hold != Hold::Host);
        if let Some(lease) = reopened.map(|lease| Lease { hold, own, ..lease })
            && (0..ADDRESS_TRIES).any(|try_| address(try_) == Some(lease.address))
        {
            tuple.source = lease.address;
            tuple.source_port = lease.port;
            if !self.table.contains(&reverse(realm, protocol, &tuple)) && self.pools.take_again(lease) {
                return Ok(Translation { tuple, lease: Some(lease) });
            }
        }
        for try_ in 0..ADDRESS_TRIES {
            let Some(address) = address(try_) else { break };
            tuple.source = address;
            let tries = PORT_TRIES * usize::from(workers);
            let ask = Ask { address, protocol, random: self.random(), tries, alone: hold == Hold::Client };
            let table = &self.table;
            let fits = |port| {
                let server = reverse(realm, protocol, &Tuple { source_port: port, ..tuple });
                if table.contains(&server) {
                    Fit::Taken
                } else if server.worker(workers) == worker {
                    Fit::Best
                } else {
                    Fit::Usable
                }
            };
            if let Some(lease) = self.pools.take(&ask, self.now, fits) {
                tuple.source_port = lease.port;
                return Ok(Translation { tuple, lease: Some(Lease { hold, own, ..lease }) });
            }
        }
        drop(DropReason::NatPoolExhausted)
    }

    /// One client keeps its pool address (RFC 4787 REQ-2), at whichever worker, as far as there are ports.
    fn sticky(&self, client: IpAddr) -> u64 {
        let hasher = ahash::RandomState::with_seeds(self.settings.nat.seed(), 10, 11, 12);
        std::hash::BuildHasher::hash_one(&hasher, client)
    }
}

/// Who keeps a port by a rule.
fn client(key: &Key, rule: NatRuleId) -> Client {
    let flow = key.flow();
    Client { rule: rule.0, realm: flow.realm, address: flow.source, port: flow.source_port, protocol: flow.protocol }
}

/// Who keeps an address by a rule.
fn host(key: &Key, rule: NatRuleId) -> Client {
    Client { port: 0, protocol: 0, ..client(key, rule) }
}

fn has_ports(protocol: u8) -> bool {
    // SCTP has ports, but its checksum covers the whole packet: only its addresses are translated.
    matches!(protocol, 1 | 6 | 17 | 58)
}

/// The `try_`-th address of a pool, counting from `start` and going round; `None` after the last.
fn pool_address(pool: &[(IpAddr, IpAddr)], start: u64, try_: usize) -> Option<IpAddr> {
    let total = pool.iter().map(|range| size(*range)).fold(0_u128, u128::saturating_add);
    if try_ as u128 >= total {
        return None;
    }
    let mut offset = (u128::from(start) + try_ as u128) % total;
    for range in pool {
        let count = size(*range);
        if offset < count {
            return Some(match range.0 {
                IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits().wrapping_add(offset as u32)).into(),
                IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits().wrapping_add(offset)).into(),
            });
        }
        offset -= count;
    }
    None
}

fn size((first, last): (IpAddr, IpAddr)) -> u128 {
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => u128::from(last.to_bits().saturating_sub(first.to_bits())) + 1,
        (IpAddr::V6(first), IpAddr::V6(last)) => last.to_bits().saturating_sub(first.to_bits()).saturating_add(1),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_walked_round_once() {
        let range = |first: &str, last: &str| (first.parse().unwrap(), last.parse().unwrap());
        let pool = [range("192.0.2.1", "192.0.2.2"), range("198.51.100.7", "198.51.100.7")];
        let walk: Vec<_> = (0..4).map(|try_| pool_address(&pool, 1, try_).map(|address| address.to_string())).collect();
        assert_eq!(walk, [Some("192.0.2.2".into()), Some("198.51.100.7".into()), Some("192.0.2.1".into()), None]);
    }
}
