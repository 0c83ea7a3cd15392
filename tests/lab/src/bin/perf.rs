//! `make bench`: the namespace harness. Compares Bartizan with the kernel's conntrack + NAT in one run.
//!
//! `perf BINARY ENGINE_BENCH_OUTPUT JSON`. Every comparison alternates its sides in three rounds; ratios are
//! those of one round, told with their spread. Quote ratios, not single figures.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use bartizan_lab::perf::{Forwarder, Row};
use serde_json::{Value, json};

const ROUNDS: usize = 3;

#[expect(clippy::print_stdout, reason = "the figures are for a person, too")]
fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [binary, engine, output] = arguments.as_slice() else {
        anyhow::bail!("usage: perf BINARY ENGINE_BENCH_OUTPUT JSON")
    };
    let mut figures = engine_figures(&std::fs::read_to_string(engine)?);
    figures.extend(network_figures(Path::new(binary))?);
    let mut file = std::fs::File::create(output).with_context(|| format!("write `{output}`"))?;
    for figure in &figures {
        writeln!(file, "{figure}")?;
        println!("{figure}");
    }
    Ok(())
}

/// What a ratio is held to: a floor to reach and an aim.
#[derive(Clone, Copy)]
enum Goal {
    /// The higher the better.
    AtLeast { floor: f64, aim: f64 },
    /// The lower the better.
    AtMost { floor: f64, aim: f64 },
}

impl Goal {
    fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast { floor, .. } => ratio >= floor,
            Self::AtMost { floor, .. } => ratio <= floor,
        }
    }

    fn numbers(self) -> (f64, f64) {
        match self {
            Self::AtLeast { floor, aim } | Self::AtMost { floor, aim } => (floor, aim),
        }
    }
}

/// One side's values, one for each round.
struct Side {
    name: &'static str,
    values: Vec<f64>,
}

/// A figure for `target/bench.json`: two sides in the same rounds, their ratio in each, the middle one and
/// the spread.
fn figure(name: &str, unit: &str, ours: &Side, peer: &Side, goal: Goal) -> Value {
    let ratios: Vec<f64> = ours.values.iter().zip(&peer.values).map(|(ours, peer)| ours / peer).collect();
    let (least, ratio, most) = spread(&ratios);
    let (floor, aim) = goal.numbers();
    let value = |side: &Side| spread(&side.values).1;
    json!({
        "name": name, "value": round(value(ours)), "unit": unit,
        "peer": format!("{} = {} {unit}", peer.name, round(value(peer))),
        "ratio": round(ratio), "spread": [round(least), round(most)],
        "floor": floor, "aim": aim, "meets_floor": goal.is_met(ratio),
    })
}

/// The least, the middle and the largest.
fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |position: usize| sorted.get(position).copied().unwrap_or(f64::NAN);
    (at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1)))
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

const PLAIN: (&str, Forwarder) = ("kernel, forwarding only", Forwarder::Plain);
const KERNEL: (&str, Forwarder) = ("kernel conntrack + masquerade", Forwarder::Kernel { rules: 0 });
const KERNEL_5000: (&str, Forwarder) = ("kernel with 5000 linear rules", Forwarder::Kernel { rules: 5000 });
const OURS: (&str, Forwarder) = ("ours with 1 rule", Forwarder::Bartizan { rules: 1 });
const OURS_5000: (&str, Forwarder) = ("ours with 5000 rules", Forwarder::Bartizan { rules: 5000 });
const OURS_50000: (&str, Forwarder) = ("ours with 50000 rules", Forwarder::Bartizan { rules: 50_000 });

fn network_figures(binary: &Path) -> Result<Vec<Value>> {
    let row = Row::new(binary)?;
    let at_least = |floor, aim| Goal::AtLeast { floor, aim };
    let at_most = |floor, aim| Goal::AtMost { floor, aim };

    let [ours, kernel, plain] = alternate(&row, [OURS, KERNEL, PLAIN], Row::tcp_gigabits)?;
    let mut figures = vec![
        figure("tcp-1-stream-nat", "Gbit/s", &ours, &kernel, at_least(0.75, 1.0)),
        figure("tcp-1-stream-plain", "Gbit/s", &ours, &plain, at_least(0.5, 0.9)),
    ];
    let sides = [OURS, KERNEL, OURS_5000, KERNEL_5000, OURS_50000];
    let [ours, kernel, many, many_kernel, most] = alternate(&row, sides, Row::connections_per_second)?;
    figures.extend([
        figure("connection-rate-nat", "1/s", &ours, &kernel, at_least(0.75, 0.95)),
        figure("connection-rate-nat-5000-rules", "1/s", &many, &many_kernel, at_least(3.0, 5.0)),
        figure("connection-rate-5000-rules-vs-1", "1/s", &many, &ours, at_least(0.95, 1.0)),
        figure("connection-rate-50000-rules-vs-1", "1/s", &most, &ours, at_least(0.95, 1.0)),
    ]);
    for (name, pause_us, goal) in
        [("udp-round-trip-busy", 0, at_most(2.2, 1.5)), ("udp-round-trip-waiting", 2000, at_most(4.0, 2.5))]
    {
        let [ours, kernel] = alternate(&row, [OURS, KERNEL], |row| row.round_trip_us(pause_us))?;
        figures.push(figure(name, "us", &ours, &kernel, goal));
    }
    Ok(figures)
}

/// Measures each side in turn, round by round.
fn alternate<const N: usize>(
    row: &Row,
    sides: [(&'static str, Forwarder); N],
    measure: impl Fn(&Row) -> Result<f64>,
) -> Result<[Side; N]> {
    let mut all = sides.map(|(name, _)| Side { name, values: Vec::new() });
    for _ in 0..ROUNDS {
        for ((name, forwarder), side) in sides.iter().zip(&mut all) {
            let running = row.with(*forwarder)?;
            side.values.push(measure(row).with_context(|| format!("measure {name}"))?);
            drop(running);
        }
    }
    Ok(all)
}

/// Reads the lines of the engine's micro-benches; those with a goal become figures.
fn engine_figures(lines: &str) -> Vec<Value> {
    let benches: Vec<Value> = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let find = |name: &str| benches.iter().find(|bench| bench["bench"] == name);
    [
        ("established/udp4/256", 60.0, 35.0),
        ("established/udp4/1000000", 150.0, 70.0),
        ("memory/1000000-sessions", 400.0, 256.0),
    ]
    .into_iter()
    .filter_map(|(name, floor, aim)| {
        let bench = find(name)?;
        let value = bench["min"].as_f64()?;
        let mut figure = bench.clone();
        figure["floor"] = json!(floor);
        figure["aim"] = json!(aim);
        figure["meets_floor"] = json!(value <= floor);
        Some(figure)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_that_of_one_round() {
        let side = |name, values: [f64; 3]| Side { name, values: values.into() };
        let (ours, peer) = (side("ours", [10.0, 30.0, 20.0]), side("theirs", [20.0, 30.0, 50.0]));
        let figure = figure("x", "1/s", &ours, &peer, Goal::AtLeast { floor: 0.6, aim: 1.0 });
        assert_eq!((&figure["ratio"], &figure["meets_floor"]), (&json!(0.5), &json!(false)), "{figure}");
        assert_eq!(figure["spread"], json!([0.4, 1.0]));
        assert!(Goal::AtMost { floor: 2.0, aim: 1.0 }.is_met(1.9));
        assert!(!Goal::AtMost { floor: 2.0, aim: 1.0 }.is_met(2.1));
    }

    #[test]
    fn the_engines_figures_are_held_to_their_goals() {
        let lines = "\
   Compiling nothing
{\"bench\":\"established/udp4/256\",\"unit\":\"ns\",\"min\":50.00,\"median\":51.00,\"max\":80.00,\"allocations\":0}
{\"bench\":\"parse/udp4\",\"unit\":\"ns\",\"min\":9.00,\"median\":9.10,\"max\":9.90,\"allocations\":0}
";
        let figures = engine_figures(lines);
        assert_eq!(figures.len(), 1, "{figures:?}");
        assert_eq!(figures[0]["meets_floor"], true);
        assert_eq!(figures[0]["min"], 50.0);
    }
}
