//! Does the engine do what a naive firewall does? Eight thousand small worlds, each from a seed.
//!
//! `BARTIZAN_SIM_SEED=17 cargo test -p bartizan-engine --test sim` runs one scenario again;
//! `BARTIZAN_SIM_COUNT` runs more or fewer of them. Most have a tunnel: of pods, or of a cloud's load balancer.

use std::collections::BTreeSet;

#[path = "sim/frames.rs"]
mod frames;
#[path = "sim/generate.rs"]
mod generate;
#[path = "sim/host.rs"]
mod host;
#[path = "sim/pieces.rs"]
mod pieces;
#[path = "sim/random.rs"]
mod random;
#[path = "sim/reference.rs"]
mod reference;
#[path = "sim/tally.rs"]
mod tally;
#[path = "sim/traffic.rs"]
mod traffic;
#[path = "sim/tunnels.rs"]
mod tunnels;
#[path = "sim/world.rs"]
mod world;

use tally::Tally;
use world::{Failure, run};

const SCENARIOS: u64 = 8_000;
const EVENTS: usize = 60;

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("`{name}` must be a number, not `{value}`")))
}

#[test]
fn the_engine_agrees_with_the_reference() {
    let seeds = match (number("BARTIZAN_SIM_SEED"), number("BARTIZAN_SIM_COUNT")) {
        (Some(seed), count) => seed..seed + count.unwrap_or(1),
        (None, count) => 0..count.unwrap_or(SCENARIOS),
    };
    let mut total = Tally::default();
    for seed in seeds.clone() {
        match run(seed, EVENTS, &BTreeSet::new()) {
            Ok(tally) => total.add(&tally),
            Err(failure) => report(seed, &failure),
        }
    }
    println!("{} scenarios: {total:?}", seeds.end - seeds.start);
}

/// Leaves out what is not needed to fail, and tells the rest.
fn report(seed: u64, first: &Failure) -> ! {
    let events = first.event + 1;
    let mut without = BTreeSet::new();
    let mut shortest: Option<Failure> = None;
    for event in (0..first.event).rev() {
        without.insert(event);
        match run(seed, events.min(EVENTS), &without) {
            Err(failure) => shortest = Some(failure),
            Ok(_) => {
                without.remove(&event);
            }
        }
    }
    let failure = shortest.as_ref().unwrap_or(first);
    panic!(
        "seed {seed}, event {} of {EVENTS}:\n{}\n\nconfiguration:\n{}\n\nwhat happened:\n{}\n\n\
         again with BARTIZAN_SIM_SEED={seed}",
        failure.event,
        failure.message,
        failure.config,
        failure.log.join("\n"),
    );
}
