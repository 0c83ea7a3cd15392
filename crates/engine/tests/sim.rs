//! Does the engine do what a naive firewall does? Ten thousand small worlds, each from a seed.
//!
//! `BARTIZAN_SIM_SEED=17 cargo test -p bartizan-engine --test sim` runs one scenario again;
//! `BARTIZAN_SIM_COUNT` runs more or fewer of them. Most have a tunnel: of pods, or of a cloud's load balancer.

use std::collections::BTreeSet;

#[path = "sim/bounds.rs"]
mod bounds;
#[path = "sim/frames.rs"]
mod frames;
#[path = "sim/generate.rs"]
mod generate;
#[path = "sim/host.rs"]
mod host;
#[path = "sim/offload.rs"]
mod offload;
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

const SCENARIOS: u64 = 10_000;
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
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4)) as u64;
    let part = |at: u64| seeds.clone().filter(move |seed| seed % threads == at);
    let parts: Vec<Result<Tally, (u64, Failure)>> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|at| scope.spawn(move || run_all(part(at)))).collect();
        running.into_iter().map(|thread| thread.join().expect("no panic in a scenario")).collect()
    });
    let mut total = Tally::default();
    let first = parts.iter().filter_map(|part| part.as_ref().err()).min_by_key(|(seed, _)| *seed);
    if let Some((seed, failure)) = first {
        report(*seed, failure);
    }
    parts.iter().flatten().for_each(|tally| total.add(tally));
    let count = seeds.end - seeds.start;
    println!("{count} scenarios: {total}");
    let gaps = total.gaps();
    assert!(count < SCENARIOS || gaps.is_empty(), "what should be covered is not:\n  {}", gaps.join("\n  "));
}

/// Runs scenarios until one fails.
fn run_all(seeds: impl Iterator<Item = u64>) -> Result<Tally, (u64, Failure)> {
    let mut total = Tally::default();
    for seed in seeds {
        total.add(&run(seed, EVENTS, &BTreeSet::new()).map_err(|failure| (seed, failure))?);
    }
    Ok(total)
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
