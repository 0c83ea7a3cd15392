//! Which of several equal routes? Written from the documentation of the choice: every path scores the
//! flow, weighted, and the best score wins.

use std::net::IpAddr;

use bartizan_model::device::{Ecmp, EcmpAlgorithm};

use super::super::frames::Tuple;

/// What chooses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Among<'a> {
    Flow(&'a Tuple),
    Interface(&'a str),
}

/// A path: interface, and gateway if there is one.
pub(crate) type Path = (String, Option<IpAddr>);

/// The position of the path that is taken, of those of equal cost in the order they are written.
pub(crate) fn choose(ecmp: &Ecmp, paths: &[Path], among: Among<'_>) -> usize {
    let mut different: Vec<usize> = Vec::new();
    for (at, path) in paths.iter().enumerate() {
        if different.len() < usize::from(ecmp.paths_max) && different.iter().all(|known| paths[*known] != *path) {
            different.push(at);
        }
    }
    match among {
        Among::Interface(name) => different.into_iter().find(|at| paths[*at].0 == name).unwrap_or(0),
        Among::Flow(flow) => {
            let mut best = (0, f64::MIN);
            for at in different {
                let uniform = ((hash(ecmp, flow, &paths[at]) >> 11) as f64 + 0.5) / 2f64.powi(53);
                let score = f64::from(weight(ecmp, &paths[at].0)) / -uniform.ln();
                // Of two equal scores the later path has it.
                if score >= best.1 {
                    best = (at, score);
                }
            }
            best.0
        }
    }
}

fn weight(ecmp: &Ecmp, interface: &str) -> u8 {
    match &ecmp.algorithm {
        EcmpAlgorithm::Weighted(weights) => {
            weights.iter().find(|(name, _)| name == interface).map_or(100, |(_, weight)| *weight)
        }
        _ => 100,
    }
}

fn hash(ecmp: &Ecmp, flow: &Tuple, path: &Path) -> u64 {
    let (addresses, ports, seed) = match &ecmp.algorithm {
        EcmpAlgorithm::IpModulo => (2, false, 0),
        EcmpAlgorithm::IpHash { ports: true, seed, .. } => (2, true, *seed),
        EcmpAlgorithm::IpHash { source_only, seed, .. } => (if *source_only { 1 } else { 2 }, false, *seed),
        EcmpAlgorithm::Weighted(_) | EcmpAlgorithm::Balanced => (2, true, 0),
    };
    let mut words: Vec<u64> = [flow.source, flow.destination].into_iter().take(addresses).flat_map(words).collect();
    if ports {
        words.push(u64::from(flow.source_port) * 65536 + u64::from(flow.destination_port));
    }
    let flow = words.into_iter().fold(u64::from(seed), |hash, word| mixed(hash ^ word));
    let name = path.0.bytes().fold(0, |hash, byte| mixed(hash ^ u64::from(byte)));
    let path = path.1.into_iter().flat_map(self::words).fold(name, |hash, word| mixed(hash ^ word));
    mixed(flow ^ path)
}

fn words(address: IpAddr) -> Vec<u64> {
    match address {
        IpAddr::V4(ip) => vec![u64::from(u32::from(ip))],
        IpAddr::V6(ip) => vec![(u128::from(ip) >> 64) as u64, u128::from(ip) as u64],
    }
}

/// One step of splitmix64.
fn mixed(value: u64) -> u64 {
    let a = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let b = (a ^ (a >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let c = (b ^ (b >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    c ^ (c >> 31)
}
