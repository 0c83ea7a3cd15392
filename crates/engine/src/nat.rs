//! Which addresses and ports does a new session leave with?
//!
//! Owns the port pools; never touches bytes. A pool that runs dry is a drop with
//! [`DropReason::NatPoolExhausted`], not an error: the next packet may succeed.

pub(crate) mod pool;

use std::net::{IpAddr, Ipv4Addr};

use bartizan_packet::rewrite::Tuple;
use bartizan_policy::tables::{Forward, SourceNat};

use crate::engine::Engine;
use crate::key::{Key, reverse};
use crate::nat::pool::{Fit, Lease};
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
/// Token addresses in 198.18.0.0/15 from [`TOKENS`] on.
const TOKENS_SPAN: u32 = (1 << 17) - 512;

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
        let protocol = key.protocol();
        let translation = match &forward.source_nat {
            None => Translation { tuple, lease: None },
            Some(SourceNat::Static { address }) => {
                tuple.source = *address;
                Translation { tuple, lease: None }
            }
            Some(SourceNat::DynamicIpAndPort { pool }) if has_ports(protocol) => {
                let start = self.sticky(key.tuple().source);
                self.lease(tuple, protocol, egress_realm, |try_| pool_address(pool, start, try_))?
            }
            // Without ports there is one flow per address: a second one collides.
            Some(SourceNat::DynamicIpAndPort { pool }) => {
                let start = self.sticky(key.tuple().source);
                let Some(address) = pool_address(pool, start, 0) else { return drop(DropReason::NatPoolExhausted) };
                tuple.source = address;
                Translation { tuple, lease: None }
            }
        };
        let family = key.tuple().source.is_ipv4();
        if translation.tuple.source.is_ipv4() != family || translation.tuple.destination.is_ipv4() != family {
            translation.lease.into_iter().for_each(|lease| self.pools.give_back(lease));
            return drop(DropReason::UnsupportedProtocol);
        }
        let server = reverse(egress_realm, protocol, &translation.tuple);
        if server == *key || self.is_taken(&server) {
            translation.lease.into_iter().for_each(|lease| self.pools.give_back(lease));
            return drop(DropReason::NatCollision);
        }
        Ok(translation)
    }

    /// A source by which the host's own TCP sees one client and no other.
    pub(crate) fn token(&mut self, destination: Ipv4Addr, port: u16, realm: u16) -> Staged<Translation> {
        let tuple = Tuple {
            source: destination.into(),
            destination: destination.into(),
            source_port: 0,
            destination_port: port,
        };
        let first = u32::from(self.settings.worker) * TOKEN_ADDRESSES;
        let start = self.random();
        self.lease(tuple, bartizan_packet::parse::TCP, realm, |try_| {
            let offset = first + (start.wrapping_add(try_ as u64) % u64::from(TOKEN_ADDRESSES)) as u32;
            Some(IpAddr::V4(Ipv4Addr::from_bits(TOKENS + offset % TOKENS_SPAN)))
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
        protocol: u8,
        realm: u16,
        address: impl Fn(usize) -> Option<IpAddr>,
    ) -> Staged<Translation> {
        let workers = self.settings.workers.max(1);
        let worker = self.settings.worker;
        if let Some(lease) = self.reopened.filter(|lease| lease.protocol == protocol)
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
            let random = self.random();
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
            let tries = PORT_TRIES * usize::from(workers);
            if let Some(lease) = self.pools.take(address, protocol, random, tries, fits) {
                tuple.source_port = lease.port;
                return Ok(Translation { tuple, lease: Some(lease) });
            }
        }
        drop(DropReason::NatPoolExhausted)
    }

    /// One client keeps its pool address (RFC 4787 REQ-2), as far as there are ports.
    fn sticky(&self, client: IpAddr) -> u64 {
        std::hash::BuildHasher::hash_one(&ahash::RandomState::with_seeds(self.settings.seed, 10, 11, 12), client)
    }
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
                IpAddr::V6(v6) => std::net::Ipv6Addr::from_bits(v6.to_bits().wrapping_add(offset)).into(),
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
