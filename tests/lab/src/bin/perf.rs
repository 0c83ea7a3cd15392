//! `make bench`: the namespace harness. Compares Bartizan with the kernel's conntrack + NAT in one run.
//!
//! `perf BINARY ENGINE_BENCH_OUTPUT JSON`. Every comparison alternates the two sides three times and
//! takes medians; quote ratios, not single figures.

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

/// What a ratio is held to, the higher the better: a floor to reach and an aim.
#[derive(Clone, Copy)]
struct Goal {
    floor: f64,
    aim: f64,
}

/// A figure for `target/bench.json`.
fn figure(name: &str, (value, unit): (f64, &str), (peer_name, peer): (&str, f64), goal: Goal) -> Value {
    let ratio = value / peer;
    let Goal { floor, aim } = goal;
    json!({
        "name": name, "value": round(value), "unit": unit, "peer": format!("{peer_name} = {} {unit}", round(peer)),
        "ratio": round(ratio), "floor": floor, "aim": aim, "meets_floor": ratio >= floor,
    })
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn network_figures(binary: &Path) -> Result<Vec<Value>> {
    let row = Row::new(binary)?;
    let (kernel, ours) = (Forwarder::Kernel { rules: 0 }, Forwarder::Bartizan { rules: 1 });
    let (many_kernel, many_ours) = (Forwarder::Kernel { rules: 5000 }, Forwarder::Bartizan { rules: 5000 });
    let tcp = alternate(&row, &[ours, kernel], Row::tcp_gigabits)?;
    let rate = alternate(&row, &[ours, kernel, many_ours, many_kernel], Row::connections_per_second)?;
    let [tcp_ours, tcp_kernel] = tcp[..] else { anyhow::bail!("two sides were measured") };
    let [rate_ours, rate_kernel, rate_many, rate_many_kernel] = rate[..] else {
        anyhow::bail!("four sides were measured")
    };
    let at_least = |floor, aim| Goal { floor, aim };
    let kernel = "kernel conntrack + masquerade";
    Ok(vec![
        figure("tcp-1-stream-nat", (tcp_ours, "Gbit/s"), (kernel, tcp_kernel), at_least(0.75, 1.0)),
        figure("connection-rate-nat", (rate_ours, "1/s"), (kernel, rate_kernel), at_least(0.75, 0.95)),
        figure(
            "connection-rate-nat-5000-rules",
            (rate_many, "1/s"),
            ("kernel with 5000 linear rules", rate_many_kernel),
            at_least(3.0, 5.0),
        ),
        figure(
            "connection-rate-5000-rules-vs-1",
            (rate_many, "1/s"),
            ("ours with 1 rule", rate_ours),
            at_least(0.95, 1.0),
        ),
    ])
}

fn alternate(row: &Row, sides: &[Forwarder], measure: impl Fn(&Row) -> Result<f64>) -> Result<Vec<f64>> {
    let mut all = vec![Vec::new(); sides.len()];
    for _ in 0..ROUNDS {
        for (side, values) in sides.iter().zip(&mut all) {
            let running = row.with(*side)?;
            values.push(measure(row).with_context(|| format!("measure {side:?}"))?);
            drop(running);
        }
    }
    Ok(all.into_iter().map(median).collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
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
