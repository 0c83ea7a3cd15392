//! Which worker does a flow belong to?
//!
//! Both directions of an untranslated flow give the same worker, because addresses and ports are
//! combined by XOR. The arithmetic (load, XOR, shift, modulo) is what a classic-BPF fanout program has,
//! so the kernel can deliver frames to the right worker. The definition, in 32-bit unsigned numbers:
//!
//! ```text
//! fold = XOR of the 32-bit words (network order) of both addresses: 2 words for IPv4, 8 for IPv6
//! if protocol is TCP (6) or UDP (17):  fold ^= source port ^ destination port   (16-bit, zero-extended)
//! fold ^= fold >> 16
//! fold ^= fold >> 8
//! fold ^= fold >> 4
//! worker = fold % workers
//! ```
//!
//! Fragments have no ports but the first, so all of a datagram's go by their addresses alone.
//!
//! Everything else (ARP, NDP, ICMP errors) may go to any worker: the engine answers, or hands over.

use std::net::IpAddr;

use ahash::RandomState;
use hashbrown::HashMap;

use crate::verdict::FlowKey;

/// TCP and UDP: the protocols whose ports take part.
const WITH_PORTS: [u8; 2] = [6, 17];

/// The worker that frames of this flow arrive at. `workers` of 0 counts as 1.
pub fn worker_for(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    source_port: u16,
    destination_port: u16,
    workers: u16,
) -> u16 {
    if workers <= 1 {
        return 0;
    }
    let mut fold = words(source) ^ words(destination);
    if WITH_PORTS.contains(&protocol) {
        fold ^= u32::from(source_port ^ destination_port);
    }
    fold ^= fold >> 16;
    fold ^= fold >> 8;
    fold ^= fold >> 4;
    (fold % u32::from(workers)) as u16
}

/// The worker that puts datagrams between these addresses together.
pub fn fragment_worker_for(source: IpAddr, destination: IpAddr, workers: u16) -> u16 {
    const FRAGMENT: u8 = 44;
    worker_for(source, destination, FRAGMENT, 0, 0, workers)
}

/// Flows that arrive here and belong to another worker, because translation changed their hash.
pub(crate) struct Steering {
    owners: HashMap<FlowKey, u16, RandomState>,
    max: usize,
}

impl Steering {
    pub(crate) fn new(max: usize, seed: u64) -> Self {
        Self { owners: HashMap::with_hasher(RandomState::with_seeds(seed, 7, 8, 9)), max }
    }

    /// Remembers an owner; `false` when the table is full.
    pub(crate) fn add(&mut self, flow: FlowKey, owner: u16) -> bool {
        if self.owners.len() >= self.max && !self.owners.contains_key(&flow) {
            return false;
        }
        self.owners.insert(flow, owner);
        true
    }

    /// Forgets a flow, if it is still that owner's.
    pub(crate) fn remove(&mut self, flow: &FlowKey, owner: u16) {
        if self.owner(flow) == Some(owner) {
            self.owners.remove(flow);
        }
    }

    pub(crate) fn owner(&self, flow: &FlowKey) -> Option<u16> {
        self.owners.get(flow).copied()
    }
}

fn words(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(v4) => v4.to_bits(),
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            (bits >> 96) as u32 ^ (bits >> 64) as u32 ^ (bits >> 32) as u32 ^ bits as u32
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(source: &str, destination: &str, protocol: u8, ports: (u16, u16), workers: u16) -> u16 {
        worker_for(source.parse().unwrap(), destination.parse().unwrap(), protocol, ports.0, ports.1, workers)
    }

    #[test]
    fn both_directions_meet() {
        for port in 1024..2048 {
            let there = worker("10.0.0.5", "192.0.2.9", 6, (port, 443), 7);
            let back = worker("192.0.2.9", "10.0.0.5", 6, (443, port), 7);
            assert_eq!(there, back);
        }
    }

    #[test]
    fn flows_spread() {
        let mut counts = [0_u32; 4];
        for port in 0..4096 {
            counts[usize::from(worker("10.0.0.5", "192.0.2.9", 17, (port, 53), 4))] += 1;
        }
        assert!(counts.iter().all(|count| (512..2048).contains(count)), "{counts:?}");
    }

    #[test]
    fn echo_ignores_its_identifier() {
        assert_eq!(worker("10.0.0.5", "192.0.2.9", 1, (1, 0), 8), worker("10.0.0.5", "192.0.2.9", 1, (2, 0), 8));
    }

    #[test]
    fn the_definition_by_hand() {
        // 10.0.0.5 ^ 192.0.2.9 ^ (40000 ^ 443), then the three folds.
        let mut fold: u32 = 0x0a00_0005 ^ 0xc000_0209 ^ (0x9c40 ^ 0x01bb);
        fold ^= fold >> 16;
        fold ^= fold >> 8;
        fold ^= fold >> 4;
        assert_eq!(u32::from(worker("10.0.0.5", "192.0.2.9", 6, (0x9c40, 0x01bb), 3)), fold % 3);
    }
}
