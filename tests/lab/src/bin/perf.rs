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

/// A figure for `target/bench.json`. `floor` and `aim` are ratios to the peer, or absolute where there
/// is none; `better` says which direction is good.
fn figure(
    name: &str,
    (value, unit): (f64, &str),
    peer: Option<(&str, f64)>,
    (floor, aim): (f64, f64),
    higher_is_better: bool,
) -> Value {
    let ratio = peer.map(|(_, peer)| value / peer);
    let judged = ratio.unwrap_or(value);
    let meets = if higher_is_better { judged >= floor } else { judged <= floor };
    json!({
        "name": name, "value": round(value), "unit": unit, "peer": peer.map(|(name, value)| format!("{name} = {}", round(value))),
        "ratio": ratio.map(round), "floor": floor, "aim": aim, "meets_floor": meets,
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
    Ok(vec![
        figure(
            "tcp-1-stream-nat",
            (tcp_ours, "Gbit/s"),
            Some(("kernel conntrack + masquerade", tcp_kernel)),
            (0.75, 1.0),
            true,
        ),
        figure(
            "connection-rate-nat",
            (rate_ours, "1/s"),
            Some(("kernel conntrack + masquerade", rate_kernel)),
            (0.75, 0.95),
            true,
        ),
        figure(
            "connection-rate-nat-5000-rules",
            (rate_many, "1/s"),
            Some(("kernel with 5000 linear rules", rate_many_kernel)),
            (3.0, 5.0),
            true,
        ),
        figure(
            "connection-rate-5000-rules-vs-1",
            (rate_many, "1/s"),
            Some(("ours with 1 rule", rate_ours)),
            (0.95, 1.0),
            true,
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

/// Reads the medians of the engine's micro-benches out of divan's table.
fn engine_figures(table: &str) -> Vec<Value> {
    let wanted = [
        ("established", "256", "engine-ns-per-packet-256-flows", (60.0, 40.0)),
        ("established", "1000000", "engine-ns-per-packet-1m-flows", (150.0, 80.0)),
    ];
    let mut group = String::new();
    let mut figures = Vec::new();
    for line in table.lines() {
        let name: String =
            line.chars().skip_while(|c| "│├╰─ ".contains(*c)).take_while(|c| !c.is_whitespace()).collect();
        let columns: Vec<&str> = line.split('│').map(str::trim).collect();
        let median = columns.iter().rev().nth(3).and_then(|cell| nanoseconds(cell));
        match median {
            None => group = name,
            Some(median) => {
                for (bench, argument, figure_name, goals) in wanted {
                    if group == bench && name == argument {
                        figures.push(figure(figure_name, (median, "ns"), None, goals, false));
                    }
                }
            }
        }
    }
    figures
}

fn nanoseconds(cell: &str) -> Option<f64> {
    let (number, unit) = cell.split_once(' ')?;
    let scale = match unit {
        "ns" => 1.0,
        "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * scale)
}
