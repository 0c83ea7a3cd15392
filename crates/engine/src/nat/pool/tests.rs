//! Ports of a pool address: all of them, each once, at random, and rested.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::verdict::PoolLevel;

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const PORTS: usize = 64_512;

fn terms(workers: u16, ratio: u8) -> Terms {
    Terms { workers, addresses_max: 8, ports: PORTS as u32, ratio, alarm_percent: 80, rest: 60 * SECOND }
}

fn pools(ratio: u8) -> Pools {
    Pools::new(SharedPools::default(), terms(1, ratio), 0)
}

/// Takes ports at pseudo-random places until there is none.
fn drain(pools: &mut Pools, protocol: u8, mut fits: impl FnMut(u16) -> Fit) -> Vec<u16> {
    let mut random = 1_u64;
    let mut all = Vec::new();
    loop {
        random = random.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
        let Some(lease) = pools.take(&ask(protocol, random, 16), Time(0), &mut fits) else { return all };
        all.push(lease.port);
    }
}

fn ask(protocol: u8, random: u64, tries: usize) -> Ask {
    Ask { address: ADDRESS, protocol, random, tries, alone: false }
}

fn lease(port: u16, protocol: u8) -> Lease {
    Lease { address: ADDRESS, protocol, port, hold: Hold::Session, own: false }
}

#[test]
fn every_port_once_then_none_and_an_alarm_before_and_then() {
    let mut pools = pools(1);
    let all = drain(&mut pools, 17, |_| Fit::Best);
    let distinct: BTreeSet<_> = all.iter().collect();
    assert_eq!((all.len(), distinct.len()), (PORTS, PORTS));
    assert!(all.iter().all(|port| *port >= PORT_MIN));
    let levels: Vec<_> = std::iter::from_fn(|| pools.next_alarm()).map(|alarm| (alarm.level, alarm.used)).collect();
    assert_eq!(levels, [(PoolLevel::High, 51_610), (PoolLevel::Exhausted, 64_512)]);
    assert!(pools.take(&ask(6, 0, 1), Time(0), |_| Fit::Best).is_some(), "another protocol has its own ports");
    pools.give_back(lease(5555, 17), Time(0));
    assert_eq!(pools.take(&ask(17, 1, 1), Time(0), |_| Fit::Best).unwrap().port, 5555);
}

#[test]
fn an_address_gives_out_no_more_ports_than_it_is_allowed() {
    for count in [1, 3, 64, 65, 200] {
        let mut pools = Pools::new(SharedPools::default(), Terms { ports: count, ..terms(1, 1) }, 0);
        let mut all = drain(&mut pools, 17, |_| Fit::Best);
        all.sort_unstable();
        let expected: Vec<u16> = (PORT_MIN..PORT_MIN + count as u16).collect();
        assert_eq!(all, expected);
        let last = std::iter::from_fn(|| pools.next_alarm()).last().unwrap();
        assert_eq!((last.level, last.used, last.capacity), (PoolLevel::Exhausted, count, count));
        all.iter().for_each(|port| pools.give_back(lease(*port, 17), Time(0)));
        pools.expire(Time(61 * SECOND));
        pools.share(2);
        assert_eq!(drain(&mut pools, 17, |_| Fit::Best).len(), 2 * count as usize, "each twice");
    }
}

#[test]
fn the_next_port_cannot_be_guessed() {
    let mut pools = pools(1);
    let mut random = 99_u64;
    let order: Vec<u16> = std::iter::from_fn(|| {
        random = random.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
        Some(pools.take(&ask(17, random, 1), Time(0), |_| Fit::Best)?.port)
    })
    .take(2000)
    .collect();
    let steps: BTreeSet<_> = order.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    assert!(steps.len() > 1800, "{} different steps of 1999", steps.len());
    let blocks: BTreeSet<_> = order.iter().map(|port| place(*port).0).collect();
    assert!(blocks.len() > 200, "they come from {} blocks", blocks.len());
}

#[test]
fn a_tcp_port_rests_and_is_used_before_a_session_is_turned_away() {
    let mut pools = pools(1);
    let all = drain(&mut pools, 6, |_| Fit::Best);
    for port in [all[7], all[8]] {
        pools.give_back(lease(port, 6), Time(0));
    }
    assert_eq!(pools.take(&ask(6, 5, 1), Time(1), |_| Fit::Best).unwrap().port, all[7], "rested longest");
    pools.give_back(lease(all[9], 6), Time(1));
    let due = Time(60 * SECOND + 1);
    pools.expire(due);
    let mut tried = Vec::new();
    pools.take(&ask(6, 5, 2), due, |port| {
        tried.push(port);
        Fit::Usable
    });
    assert_eq!(BTreeSet::from_iter(tried), BTreeSet::from([all[8], all[9]]), "both are idle again");
}

#[test]
fn the_best_of_the_ports_that_were_tried_is_taken() {
    let mut pools = pools(1);
    let fit = |port: u16| if port % 8 == 3 { Fit::Best } else { Fit::Usable };
    assert_eq!(pools.take(&ask(6, 0, 16), Time(0), fit).unwrap().port % 8, 3);
    assert!(pools.take(&ask(6, 0, 16), Time(0), |_| Fit::Usable).is_some());
    assert_eq!(pools.take(&ask(6, 0, 16), Time(0), |_| Fit::Taken), None);
    assert_eq!(pools.shared.usage(|_| true)[0].used, 2);
}

#[test]
fn a_port_serves_as_many_sessions_as_the_ratio_says_where_their_replies_differ() {
    let mut pools = pools(2);
    let first = drain(&mut pools, 17, |_| Fit::Best);
    assert_eq!(first.len(), 2 * PORTS);
    let mut counts = std::collections::BTreeMap::new();
    first.iter().for_each(|port| *counts.entry(*port).or_insert(0) += 1);
    assert!(counts.values().all(|count| *count == 2));
    assert_eq!(first[..PORTS].iter().collect::<BTreeSet<_>>().len(), PORTS, "idle ones first");
    pools.give_back(lease(5555, 17), Time(0));
    assert_eq!(pools.take(&ask(17, 1, 1), Time(0), |_| Fit::Taken), None);
    let again = pools.take(&ask(17, 1, 1), Time(0), |_| Fit::Best).unwrap();
    assert_eq!(again.port, 5555);
}

#[test]
fn workers_never_share_a_port_and_one_may_have_nearly_all_of_them() {
    let shared = SharedPools::default();
    let mut few = Pools::new(shared.clone(), terms(4, 1), 1);
    let mut many = Pools::new(shared, terms(4, 1), 2);
    let mut seen: BTreeSet<u16> = BTreeSet::new();
    for random in 0..10 {
        seen.insert(few.take(&ask(17, random * 7919, 16), Time(0), |_| Fit::Best).unwrap().port);
    }
    let rest = drain(&mut many, 17, |_| Fit::Best);
    assert!(rest.len() > 60_000, "{}", rest.len());
    assert!(rest.iter().all(|port| seen.insert(*port)), "a port was handed out by both");
    for port in rest {
        many.give_back(lease(port, 17), Time(0));
    }
    many.expire(Time(60 * SECOND));
    assert!(drain(&mut few, 17, |_| Fit::Best).len() + 10 == PORTS, "idle blocks came back");
}

#[test]
fn addresses_are_bounded_and_forgotten_when_unused() {
    let shared = SharedPools::default();
    let mut pools = Pools::new(shared, Terms { addresses_max: 1, ..terms(1, 1) }, 0);
    let first = pools.take(&ask(17, 0, 1), Time(0), |_| Fit::Best).unwrap();
    assert_eq!(pools.take(&ask(6, 0, 1), Time(0), |_| Fit::Best), None);
    pools.give_back(first, Time(0));
    assert!(pools.take(&ask(6, 0, 1), Time(0), |_| Fit::Best).is_some());
}

/// What a worker does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A session to one of a few servers.
    Take { protocol: u8, server: u8, random: u64 },
    /// The n-th oldest session is over, at the worker that has it.
    Give(usize),
    /// So many seconds.
    Pass(u8),
}

fn step() -> impl Strategy<Value = (u16, Step)> {
    let step = prop_oneof![
        6 => (prop_oneof![Just(6_u8), Just(17)], 0..3_u8, any::<u64>())
            .prop_map(|(protocol, server, random)| Step::Take { protocol, server, random }),
        3 => (0..500_usize).prop_map(Step::Give),
        1 => (0..90_u8).prop_map(Step::Pass),
    ];
    (0..3_u16, step)
}

proptest! {
    #[test]
    fn no_two_sessions_of_any_worker_look_the_same_to_a_server(
        steps in proptest::collection::vec(step(), 1..400),
        ratio in prop_oneof![Just(1_u8), Just(2), Just(8)],
        first in 0..60_000_u32,
    ) {
        let shared = SharedPools::default();
        // Few ports, so that the workers meet: the others are taken.
        let map = shared.ports(ADDRESS, 6, 8, PORTS as u32).unwrap();
        let udp = shared.ports(ADDRESS, 17, 8, PORTS as u32).unwrap();
        for _ in 0..1000 {
            map.claim((first % 1008) as u16);
            udp.claim((first % 1008) as u16);
        }
        let mut workers: Vec<_> = (0..3).map(|seed| Pools::new(shared.clone(), terms(3, ratio), seed)).collect();
        let mut now = Time(0);
        let mut sessions: Vec<(u16, u8, Lease)> = Vec::new();
        for (worker, step) in steps {
            match step {
                Step::Take { protocol, server, random } => {
                    let mine: BTreeSet<_> = sessions
                        .iter()
                        .filter(|(owner, to, lease)| (*owner, *to, lease.protocol) == (worker, server, protocol))
                        .map(|(_, _, lease)| lease.port)
                        .collect();
                    let fits = |port| if mine.contains(&port) { Fit::Taken } else { Fit::Usable };
                    if let Some(lease) = workers[usize::from(worker)].take(&ask(protocol, random, 16), now, fits) {
                        let seen = sessions.iter().filter(|(_, _, other)| {
                            (other.port, other.protocol) == (lease.port, lease.protocol)
                        });
                        prop_assert!(seen.clone().all(|(_, to, _)| *to != server), "two sessions to one server");
                        prop_assert!(seen.clone().all(|(owner, _, _)| *owner == worker), "a port of two workers");
                        prop_assert!(seen.count() < usize::from(ratio), "more sessions than the ratio");
                        sessions.push((worker, server, lease));
                    }
                }
                Step::Give(at) if !sessions.is_empty() => {
                    let (owner, _, lease) = sessions.remove(at % sessions.len());
                    workers[usize::from(owner)].give_back(lease, now);
                }
                Step::Give(_) => {}
                Step::Pass(seconds) => {
                    now = now.after(u64::from(seconds) * SECOND);
                    workers.iter_mut().for_each(|worker| worker.expire(now));
                }
            }
        }
        for (owner, _, lease) in sessions {
            workers[usize::from(owner)].give_back(lease, now);
        }
        now = now.after(200 * SECOND);
        for worker in &mut workers {
            worker.expire(now);
            prop_assert!(worker.mine.is_empty());
        }
        let back = std::iter::from_fn(|| map.claim(0)).count() + std::iter::from_fn(|| udp.claim(0)).count();
        prop_assert_eq!(back, 16, "blocks came back");
    }
}
