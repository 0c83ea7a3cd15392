//! Which configuration does the world have, and what is known besides?

use std::sync::Arc;

use bartizan_model::device::{self, Scope, Validated};
use bartizan_model::xml;
use bartizan_policy::compile::compile;
use bartizan_policy::facts::{Facts, RouteName};
use bartizan_policy::tables::{Compiled, Ids};

use super::super::generate::{Network, config};
use super::super::random::Random;
use super::super::tally::Tally;

/// Configurations tried until one is accepted: random routers often send packets in circles.
const CONFIG_TRIES: u64 = 50;

/// What is known at this moment besides the configuration.
fn facts(config: &Validated, random: &mut Random) -> Facts {
    let mut facts = Facts::default();
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

fn load(text: &str, ids: &mut Ids, random: &mut Random, generation: u64) -> Option<Loaded> {
    let report = device::read(&xml::parse(text).expect("XML"), Scope::Device);
    let config = report.config?;
    let facts = facts(&config, random);
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
) -> (String, Loaded) {
    let base = 1_000_000 + commit * CONFIG_TRIES * 2;
    // Every other commit changes the rules only.
    let plan = 1_000_000 + (commit / 2 * 2) * CONFIG_TRIES * 2;
    for attempt in 0..CONFIG_TRIES {
        let mut routing = Random::new(seed, plan + attempt);
        let text = config(&mut routing, &mut Random::new(seed, base + CONFIG_TRIES + attempt), network);
        let mut random = Random::new(seed, base + CONFIG_TRIES + attempt + 1_000_000_000);
        if let Some(loaded) = load(&text, ids, &mut random, commit) {
            return (text, loaded);
        }
        tally.refused_configs += 1;
    }
    panic!("seed {seed}: no configuration was accepted for commit {commit}");
}
