//! Which configuration does the world have, and what is known besides?

use std::net::IpAddr;
use std::sync::Arc;

use bartizan_model::device::{self, AddressValue, Scope, Validated};
use bartizan_model::xml;
use bartizan_policy::compile::compile;
use bartizan_policy::facts::{Facts, Learned, RouteName};
use bartizan_policy::tables::{Compiled, Ids};
use ipnet::IpNet;

use super::super::generate::{DHCP, GATEWAY, Network, address, config, host, interface_name};
use super::super::random::Random;
use super::super::tally::Tally;

/// Configurations tried until one is accepted: random routers often send packets in circles.
const CONFIG_TRIES: u64 = 50;

/// What is known at this moment besides the configuration.
fn facts(config: &Validated, network: &Network, random: &mut Random) -> Facts {
    let mut facts = Facts::default();
    let some = |random: &mut Random| -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        for _ in 0..random.below(4) {
            let v6 = random.percent(25);
            addresses.push(address(random, network, v6));
        }
        addresses
    };
    for object in &config.addresses {
        if let AddressValue::Fqdn(name) = &object.value
            && random.percent(70)
        {
            facts.names.insert(name.clone(), some(random).into_iter().collect());
        }
    }
    for list in &config.external_lists {
        if random.percent(70) {
            let mut networks = Vec::new();
            for ip in some(random) {
                let bits = 4 * random.below(3) as u8;
                let host = IpNet::from(ip);
                networks.push(IpNet::new(ip, host.max_prefix_len() - bits).map_or(host, |network| network.trunc()));
            }
            facts.lists.insert(list.name.clone(), networks);
        }
    }
    for host in some(random) {
        let tags = ["red", "blue"].into_iter().filter(|_| random.percent(60)).map(str::to_owned);
        facts.tags.insert(host, tags.collect());
    }
    facts.schedules_on.extend(config.schedules.iter().filter(|_| random.percent(60)).map(|one| one.name.clone()));
    let number = [1, 1, 2].get(random.below(4));
    if let Some(number) = number.filter(|_| network.dhcp) {
        let lease = format!("10.0.{DHCP}.{number}/24").parse().expect("a network");
        let learned = Learned { addresses: vec![lease], gateways: vec![host(DHCP, false, GATEWAY, false)] };
        facts.interfaces.insert(interface_name(DHCP), learned);
    }
    for router in &config.routers {
        for route in router.routes.iter().filter(|route| route.path_monitor.is_some()) {
            if random.percent(50) {
                let v6 = route.destination.addr().is_ipv6();
                let name = RouteName { router: router.name.clone(), v6, route: route.name.clone() };
                facts.routes_down.insert(name);
            }
        }
    }
    facts
}

/// An accepted configuration with what was known of the world.
pub(super) struct Loaded {
    pub(super) config: Validated,
    pub(super) facts: Facts,
    pub(super) tables: Arc<Compiled>,
}

fn load(text: &str, network: &Network, ids: &mut Ids, random: &mut Random, generation: u64) -> Option<Loaded> {
    let report = device::read(&xml::parse(text).expect("XML"), Scope::Device);
    let config = report.config?;
    let facts = facts(&config, network, random);
    let tables = compile(&config, &facts, ids, generation).ok()?;
    Some(Loaded { config, facts, tables: Arc::new(tables) })
}

/// The configuration of a commit.
pub(super) fn new_config(
    seed: u64,
    commit: u64,
    network: &Network,
    ids: &mut Ids,
    tally: &mut Tally,
    before: Option<&str>,
) -> (String, Loaded) {
    let mut random = Random::new(seed, 2_000_000_000 + commit);
    // Some do not change the configuration, only what is known besides.
    if let Some(text) = before.filter(|_| random.percent(30))
        && let Some(loaded) = load(text, network, ids, &mut random, commit)
    {
        return (text.to_owned(), loaded);
    }
    let base = 1_000_000 + commit * CONFIG_TRIES * 2;
    // Every other commit changes the rules only.
    let plan = 1_000_000 + (commit / 2 * 2) * CONFIG_TRIES * 2;
    for attempt in 0..CONFIG_TRIES {
        let mut routing = Random::new(seed, plan + attempt);
        let text = config(&mut routing, &mut Random::new(seed, base + CONFIG_TRIES + attempt), network);
        let mut random = Random::new(seed, base + CONFIG_TRIES + attempt + 1_000_000_000);
        if let Some(loaded) = load(&text, network, ids, &mut random, commit) {
            return (text, loaded);
        }
        tally.refused_configs += 1;
    }
    panic!("seed {seed}: no configuration was accepted for commit {commit}");
}
