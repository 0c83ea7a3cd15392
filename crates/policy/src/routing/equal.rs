//! Which of several routes of equal cost does a flow take?
//!
//! Rendezvous hashing: each path scores each flow, and the best score wins. A path that goes away moves
//! only its own flows, and one that comes back takes only its share.

use std::net::IpAddr;

use crate::tables::{Among, IfaceId};

/// What of a flow the choice depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Source,
    Addresses,
    /// Addresses and ports.
    Flow,
}

/// Routes of one prefix that are in force together.
#[derive(Clone, Debug)]
pub(crate) struct Equal {
    /// At least two, best first.
    pub(crate) members: Vec<Member>,
    pub(crate) input: Input,
    pub(crate) seed: u32,
}

/// One of several routes.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Its position in the table.
    pub(crate) position: usize,
    pub(crate) interface: IfaceId,
    pub(crate) weight: u8,
    pub(crate) identity: u64,
}

impl Equal {
    /// The position of the route taken.
    pub(crate) fn choose(&self, among: &Among) -> usize {
        let first = self.members.first().map_or(0, |member| member.position);
        match among {
            Among::First => first,
            Among::Interface(wanted) => {
                let by = self.members.iter().find(|member| member.interface == *wanted);
                by.map_or(first, |member| member.position)
            }
            Among::Flow { source, destination, source_port, destination_port } => {
                let mut flow = mix(u64::from(self.seed), *source);
                if self.input != Input::Source {
                    flow = mix(flow, *destination);
                }
                if self.input == Input::Flow {
                    flow = scramble(flow ^ (u64::from(*source_port) << 16 | u64::from(*destination_port)));
                }
                let score = |member: &Member| score(scramble(flow ^ member.identity), member.weight);
                let scored = self.members.iter().map(|member| (score(member), member.position));
                scored.max_by(|left, right| left.0.total_cmp(&right.0)).map_or(first, |(_, at)| at)
            }
        }
    }
}

/// Number of a path that is the same whenever and on whichever firewall it is configured: of its
/// interface's name and its gateway.
pub(crate) fn identity(interface: &str, gateway: Option<IpAddr>) -> u64 {
    let name = interface.bytes().fold(0, |hash, byte| scramble(hash ^ u64::from(byte)));
    gateway.map_or(name, |gateway| mix(name, gateway))
}

/// Weighted rendezvous score: with a uniform hash each path wins in proportion to its weight.
fn score(hash: u64, weight: u8) -> f64 {
    // The top 53 bits, moved into the open interval (0, 1).
    let uniform = ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -f64::from(weight) / uniform.ln()
}

fn mix(hash: u64, address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(ip) => scramble(hash ^ u64::from(ip.to_bits())),
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            scramble(scramble(hash ^ (bits >> 64) as u64) ^ bits as u64)
        }
    }
}

/// Finalizer of splitmix64 (Steele, Lea and Flood 2014): each bit of the input changes half of the output.
fn scramble(value: u64) -> u64 {
    let mut value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn equal(weights: &[u8], input: Input) -> Equal {
        let member = |(at, weight): (usize, &u8)| Member {
            position: at,
            interface: IfaceId(at as u16),
            weight: *weight,
            identity: identity(&format!("ethernet1/{at}"), Some(Ipv4Addr::new(10, 0, at as u8, 254).into())),
        };
        let members = weights.iter().enumerate().map(member).collect();
        Equal { members, input, seed: 7 }
    }

    fn flow(number: u32) -> Among {
        Among::Flow {
            source: Ipv4Addr::from_bits(0x0a00_0000 | number >> 4).into(),
            destination: Ipv4Addr::new(192, 0, 2, 1).into(),
            source_port: 1024 + (number & 15) as u16,
            destination_port: 443,
        }
    }

    fn shares(equal: &Equal) -> Vec<f64> {
        let mut counts = vec![0.0; equal.members.len()];
        for number in 0..20_000 {
            counts[equal.choose(&flow(number))] += 1.0 / 20_000.0;
        }
        counts
    }

    #[test]
    fn each_path_gets_its_share() {
        for share in shares(&equal(&[100; 4], Input::Flow)) {
            assert!((share - 0.25).abs() < 0.02, "{share}");
        }
        let weighted = shares(&equal(&[200, 100, 100], Input::Flow));
        assert!((weighted[0] - 0.5).abs() < 0.02, "{weighted:?}");
        assert!((weighted[1] - 0.25).abs() < 0.02, "{weighted:?}");
    }

    #[test]
    fn a_path_that_goes_away_moves_only_its_own_flows() {
        let all = equal(&[100; 4], Input::Flow);
        let mut fewer = all.clone();
        fewer.members.remove(2);
        for number in 0..5_000 {
            let (before, after) = (all.choose(&flow(number)), fewer.choose(&flow(number)));
            assert!(before == 2 || before == after, "flow {number} moved from {before} to {after}");
        }
    }

    #[test]
    fn the_algorithm_says_what_the_choice_depends_on() {
        let by_source = equal(&[100; 4], Input::Source);
        let by_addresses = equal(&[100; 4], Input::Addresses);
        for number in (0..1_600).step_by(16) {
            for port in 1..16 {
                assert_eq!(by_source.choose(&flow(number)), by_source.choose(&flow(number + port)));
                assert_eq!(by_addresses.choose(&flow(number)), by_addresses.choose(&flow(number + port)));
            }
        }
    }

    #[test]
    fn replies_prefer_the_interface_they_must_leave_by() {
        let equal = equal(&[100; 3], Input::Flow);
        assert_eq!(equal.choose(&Among::First), 0);
        assert_eq!(equal.choose(&Among::Interface(IfaceId(2))), 2);
        assert_eq!(equal.choose(&Among::Interface(IfaceId(9))), 0);
    }
}
