//! `make bench`: the namespace harness. Compares Bartizan with the kernel's conntrack + NAT in one run.
//!
//! `perf BINARY ENGINE_BENCH_OUTPUT JSON`. Every comparison alternates the two sides three times and
//! takes medians; quote ratios, not single figures.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use bartizan_lab::perf::{Forwarder, Row, backends};
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
    figures.extend(backends::figures(&Row::new(Path::new(binary))?)?);
    let mut file = std::fs::File::create(output).with_context(|| format!("write `{output}`"))?;
    for figure in &figures {
        writeln!(file, "{figure}")?;
        println!("{figure}");
    }
    Ok(())
}

/// What a figure is held to: its ratio to the peer, or the value itself; a floor to reach and an aim.
#[derive(Clone, Copy)]
enum Goal {
    /// The ratio, the higher the better.
    RatioAtLeast { floor: f64, aim: f64 },
    /// The value, the lower the better.
    ValueAtMost { floor: f64, aim: f64 },
}

/// A figure for `target/bench.json`.
fn figure(name: &str, (value, unit): (f64, &str), (peer_name, peer): (&str, f64), goal: Goal) -> Value {
    let ratio = value / peer;
    let (floor, aim, meets) = match goal {
        Goal::RatioAtLeast { floor, aim } => (floor, aim, ratio >= floor),
        Goal::ValueAtMost { floor, aim } => (floor, aim, value <= floor),
    };
    json!({
        "name": name, "value": round(value), "unit": unit, "peer": format!("{peer_name} = {} {unit}", round(peer)),
        "ratio": round(ratio), "floor": floor, "aim": aim, "meets_floor": meets,
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
    let at_least = |floor, aim| Goal::RatioAtLeast { floor, aim };
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

/// Reads the engine's micro-benches out of divan's table: the median rate stands in the line below each
/// row. The peer is the bench that only moves the same frames through memory.
fn engine_figures(table: &str) -> Vec<Value> {
    let mut rows: Vec<(String, f64)> = Vec::new();
    let (mut group, mut row) = (String::new(), String::new());
    for line in table.lines() {
        let columns: Vec<&str> = line.trim_end().rsplitn(6, '│').collect();
        let [_, _, _, median, _, first] = columns[..] else { continue };
        let name: String =
            first.chars().skip_while(|c| "│├╰─ ".contains(*c)).take_while(|c| !c.is_whitespace()).collect();
        match nanoseconds_per_item(median.trim()) {
            Some(nanoseconds) => rows.push((format!("{group}/{row}"), nanoseconds)),
            None if median.trim().is_empty() => group = name,
            None => row = name,
        }
    }
    let find = |name: &str| rows.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
    [("256", (60.0, 40.0)), ("1000000", (150.0, 80.0))]
        .into_iter()
        .filter_map(|(flows, (floor, aim))| {
            let engine = find(&format!("established/{flows}"))?;
            let memory = find(&format!("established_baseline/{flows}"))?;
            let name = format!("engine-established-{flows}-flows");
            let peer = ("moving the same frames through memory", memory);
            Some(figure(&name, (engine, "ns/packet"), peer, Goal::ValueAtMost { floor, aim }))
        })
        .collect()
}

/// `15.15 Mitem/s` as nanoseconds for one.
fn nanoseconds_per_item(cell: &str) -> Option<f64> {
    let (number, unit) = cell.split_once(' ')?;
    let scale = match unit {
        "item/s" => 1.0,
        "Kitem/s" => 1e3,
        "Mitem/s" => 1e6,
        "Gitem/s" => 1e9,
        _ => return None,
    };
    Some(1e9 / (number.parse::<f64>().ok()? * scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_rate_of_the_engine_is_read_from_the_table() {
        let table = "\
engine                   fastest       │ slowest       │ median        │ mean          │ samples │ iters
├─ established                         │               │               │               │         │
│  ╰─ 256                67.26 µs      │ 109.6 µs      │ 67.57 µs      │ 69.62 µs      │ 30      │ 30
│                        15.22 Mitem/s │ 9.341 Mitem/s │ 20 Mitem/s    │ 14.7 Mitem/s  │         │
╰─ established_baseline                │               │               │               │         │
   ╰─ 256                1.526 µs      │ 1.541 µs      │ 1.532 µs      │ 1.531 µs      │ 30      │ 60
                         670.7 Mitem/s │ 664.1 Mitem/s │ 500 Mitem/s   │ 668.5 Mitem/s │         │
";
        let figures = engine_figures(table);
        assert_eq!(figures.len(), 1, "{figures:?}");
        assert_eq!(figures[0]["value"], 50.0);
        assert_eq!(figures[0]["ratio"], 25.0);
        assert_eq!(figures[0]["meets_floor"], true);
    }
}
