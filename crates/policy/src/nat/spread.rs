//! Which of several translated destinations does a new session go to?
//!
//! By a property of the flow where the rule says so: the same answer on every worker and after every
//! commit, and when an address comes or goes only its own flows move (rendezvous hashing), but for
//! `ip-modulo`, whose arithmetic is the vendor's. `round-robin` and `least-sessions` depend on what went
//! before: whoever asks knows that.

use std::net::IpAddr;

use bartizan_model::device::Distribution;

use super::Spread;
use crate::decide::Choose;
use crate::tables::NatRuleId;

impl Spread {
    /// The destination; `None` when there is none of the family.
    pub(crate) fn pick<C: Choose>(
        &self,
        rule: NatRuleId,
        source: IpAddr,
        destination: IpAddr,
        choose: &mut C,
    ) -> Option<IpAddr> {
        let members = if destination.is_ipv4() { &self.v4 } else { &self.v6 };
        if let Some(kept) = choose.keep(rule).filter(|kept| members.contains(kept)) {
            return Some(kept);
        }
        let best = |weight: &dyn Fn(IpAddr) -> u64| members.iter().copied().max_by_key(|member| weight(*member));
        match self.distribution {
            Distribution::SourceIpHash => best(&|member| mix(bits(source), bits(member))),
            Distribution::IpHash => best(&|member| mix(bits(source).rotate_left(64) ^ bits(destination), bits(member))),
            Distribution::IpModulo => {
                let folded = bits(source) ^ bits(destination);
                members.get((folded % members.len().max(1) as u128) as usize).copied()
            }
            Distribution::RoundRobin | Distribution::LeastSessions => {
                choose.member(rule, self.distribution, members).or_else(|| members.first().copied())
            }
        }
    }
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Mixes two addresses into a number that says nothing about either (splitmix64's finaliser).
fn mix(a: u128, b: u128) -> u64 {
    let fold = |value: u128| (value >> 64) as u64 ^ value as u64;
    let mut z = fold(a).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ fold(b).wrapping_mul(0xd134_2543_de82_ef95);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;

    use super::*;
    use crate::decide::Unmoved;

    fn spread(members: u8, distribution: Distribution) -> Spread {
        let v4 = (1..=members).map(|last| IpAddr::from([10, 9, 0, last])).collect();
        Spread { v4, v6: [].into(), distribution }
    }

    fn targets(spread: &Spread) -> Vec<IpAddr> {
        let vip = IpAddr::from([192, 0, 2, 1]);
        let clients = (0..1000_u32).map(|client| IpAddr::from(Ipv4Addr::from_bits(0x0a01_0000 + client * 7)));
        clients.map(|client| spread.pick(NatRuleId(0), client, vip, &mut Unmoved).unwrap()).collect()
    }

    #[test]
    fn hashes_share_evenly_and_move_only_the_flows_of_the_member_that_went() {
        for distribution in [Distribution::SourceIpHash, Distribution::IpHash] {
            let before = targets(&spread(5, distribution));
            let mut counts: BTreeMap<IpAddr, u32> = BTreeMap::new();
            before.iter().for_each(|target| *counts.entry(*target).or_default() += 1);
            assert!(counts.len() == 5 && counts.values().all(|count| (120..280).contains(count)), "{counts:?}");
            let after = targets(&spread(4, distribution));
            let gone = IpAddr::from([10, 9, 0, 5]);
            assert!(before.iter().zip(&after).all(|(before, after)| before == after || *before == gone));
        }
    }

    #[test]
    fn modulo_is_the_arithmetic_of_its_name() {
        let spread = spread(3, Distribution::IpModulo);
        let (client, vip): (u32, u32) = (0x0a01_0005, 0xc000_0201);
        let picked = spread.pick(
            NatRuleId(0),
            Ipv4Addr::from_bits(client).into(),
            Ipv4Addr::from_bits(vip).into(),
            &mut Unmoved,
        );
        assert_eq!(picked, Some(spread.v4[((client ^ vip) % 3) as usize]));
    }

    #[test]
    fn a_family_without_members_has_no_destination() {
        let v6 = "2001:db8::1".parse().unwrap();
        assert_eq!(spread(3, Distribution::IpHash).pick(NatRuleId(0), v6, v6, &mut Unmoved), None);
    }
}
