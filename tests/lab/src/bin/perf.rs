//! `make bench`: the namespace harness. Compares Bartizan with the kernel's conntrack + NAT in one run.
//!
//! `perf BINARY ENGINE_BENCH_OUTPUT JSON [NAME…]`; with names, only comparisons whose name begins like one of
//! them. Every comparison alternates its sides in rounds, every other one backwards; ratios are those of one
//! round, told with their spread. Quote ratios, not single figures.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use bartizan_lab::perf::{Forwarder, Row, Running};
use serde_json::{Value, json};

/// Rounds of a figure.
const ROUNDS: usize = 5;
/// Of a figure that differs by a fifth from one round to the next where this was measured.
const SMALL_ROUNDS: usize = 15;

#[expect(clippy::print_stdout, reason = "the figures are for a person, too")]
fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [binary, engine, output, names @ ..] = arguments.as_slice() else {
        anyhow::bail!("usage: perf BINARY ENGINE_BENCH_OUTPUT JSON [NAME…]")
    };
    let mut file = std::fs::File::create(output).with_context(|| format!("write `{output}`"))?;
    let mut tell = |figures: Vec<Value>| -> Result<()> {
        for figure in figures {
            writeln!(file, "{figure}")?;
            println!("{figure}");
        }
        Ok(())
    };
    tell(engine_figures(&std::fs::read_to_string(engine)?))?;
    let row = Row::new(Path::new(binary))?;
    for (name, compare) in COMPARISONS {
        if names.is_empty() || names.iter().any(|wanted| name.starts_with(wanted.as_str())) {
            tell(compare(&row).with_context(|| format!("compare {name}"))?)?;
        }
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
const KERNEL_5000: (&str, Forwarder) =
    ("kernel with the same 5000 rules, one by one", Forwarder::Kernel { rules: 5000 });
const OURS: (&str, Forwarder) = ours("ours with 1 rule", 1, &[]);
const OURS_5000: (&str, Forwarder) = ours("ours with 5000 rules", 5000, &[]);
const OURS_50000: (&str, Forwarder) = ours("ours with 50000 rules", 50_000, &[]);
const LATENCY: (&str, Forwarder) = ours("ours with --latency", 1, &["--latency"]);
const XDP: (&str, Forwarder) = ours("ours by AF_XDP", 1, &["--io", "af-xdp"]);
const XDP_ALONE: (&str, Forwarder) =
    ours("ours by AF_XDP, a worker for the one queue", 1, &["--io", "af-xdp", "--workers", "1"]);
const PACKET_ALONE: (&str, Forwarder) =
    ours("ours by AF_PACKET with one worker", 1, &["--io", "af-packet", "--workers", "1"]);
const XDP_LATENCY: (&str, Forwarder) = ours("ours by AF_XDP with --latency", 1, &["--io", "af-xdp", "--latency"]);

const fn ours(name: &'static str, rules: usize, options: &'static [&'static str]) -> (&'static str, Forwarder) {
    (name, Forwarder::Bartizan { rules, options })
}

const fn at_least(floor: f64, aim: f64) -> Goal {
    Goal::AtLeast { floor, aim }
}

const fn at_most(floor: f64, aim: f64) -> Goal {
    Goal::AtMost { floor, aim }
}

/// Makes the figures of one comparison.
type Compare = fn(&Row) -> Result<Vec<Value>>;

/// What is measured beside the kernel.
const COMPARISONS: [(&str, Compare); 6] = [
    ("tcp", tcp),
    ("tcp-af-xdp", tcp_by_xdp),
    ("connection-rate", connection_rate),
    ("udp-round-trip", round_trip),
    ("udp-round-trip-waiting", round_trip_waiting),
    ("cpu-64-byte", small_packets),
];

/// One stream, with the machine's congestion control and with cubic: BBR paces, so that the kernel is not at its
/// limit.
fn tcp(row: &Row) -> Result<Vec<Value>> {
    let [ours, kernel, plain] = alternate(row, [OURS, KERNEL, PLAIN], |row, _| row.tcp_gigabits(None))?;
    let [cubic, kernel_cubic] = alternate(row, [OURS, KERNEL], |row, _| row.tcp_gigabits(Some("cubic")))?;
    Ok(vec![
        figure("tcp-1-stream-nat", "Gbit/s", &ours, &kernel, at_least(0.75, 1.0)),
        figure("tcp-1-stream-plain", "Gbit/s", &ours, &plain, at_least(0.5, 0.9)),
        figure("tcp-1-stream-nat-cubic", "Gbit/s", &cubic, &kernel_cubic, at_least(0.75, 1.0)),
    ])
}

/// XDP switches the hosts' segmentation offload off, so the kernel is measured without it, too.
fn tcp_by_xdp(row: &Row) -> Result<Vec<Value>> {
    row.offloads("off")?;
    let [ours, kernel] = alternate(row, [XDP, KERNEL], |row, _| row.tcp_gigabits(None))?;
    row.offloads("on")?;
    Ok(vec![figure("tcp-1-stream-nat-af-xdp", "Gbit/s", &ours, &kernel, at_least(0.6, 1.0))])
}

fn connection_rate(row: &Row) -> Result<Vec<Value>> {
    let sides = [OURS, KERNEL, OURS_5000, KERNEL_5000, OURS_50000];
    let [ours, kernel, many, many_kernel, most] = alternate(row, sides, |row, _| row.connections_per_second())?;
    Ok(vec![
        figure("connection-rate-nat", "1/s", &ours, &kernel, at_least(0.75, 0.95)),
        figure("connection-rate-nat-5000-rules", "1/s", &many, &many_kernel, at_least(3.0, 5.0)),
        figure("connection-rate-5000-rules-vs-1", "1/s", &many, &ours, at_least(0.95, 1.0)),
        figure("connection-rate-50000-rules-vs-1", "1/s", &most, &ours, at_least(0.9, 1.0)),
    ])
}

/// One question after the other.
fn round_trip(row: &Row) -> Result<Vec<Value>> {
    let sides = [LATENCY, KERNEL, OURS, XDP_LATENCY];
    let [busy, kernel, adaptive, xdp] = alternate(row, sides, |row, _| row.round_trip_us(0))?;
    Ok(vec![
        figure("udp-round-trip-busy", "us", &busy, &kernel, at_most(2.2, 1.3)),
        figure("udp-round-trip-adaptive", "us", &adaptive, &kernel, at_most(2.2, 1.3)),
        figure("udp-round-trip-busy-af-xdp", "us", &xdp, &kernel, at_most(2.2, 1.3)),
    ])
}

/// A question when everybody sleeps.
fn round_trip_waiting(row: &Row) -> Result<Vec<Value>> {
    let [ours, kernel, xdp] = alternate(row, [OURS, KERNEL, XDP], |row, _| row.round_trip_us(2000))?;
    Ok(vec![
        figure("udp-round-trip-waiting", "us", &ours, &kernel, at_most(4.0, 2.0)),
        figure("udp-round-trip-waiting-af-xdp", "us", &xdp, &kernel, at_most(4.0, 2.0)),
    ])
}

fn small_packets(row: &Row) -> Result<Vec<Value>> {
    let mut figures = Vec::new();
    for (name, ours, goal) in [
        ("cpu-64-byte-af-packet", PACKET_ALONE, at_most(2.0, 1.3)),
        ("cpu-64-byte-af-xdp", XDP_ALONE, at_most(1.0, 0.6)),
    ] {
        let rate = row.full_rate(&row.with(ours.1)?)?;
        let door = |row: &Row| row.door_ns(rate);
        let measure = |row: &Row, running: &Running, door: f64| row.small_packet_ns(running, rate, door);
        let [ours, kernel] = alternate_after(row, SMALL_ROUNDS, [ours, KERNEL], door, measure)?;
        figures.push(figure(name, "ns", &ours, &kernel, goal));
    }
    Ok(figures)
}

/// Measures each side in turn, round by round, there and back again.
fn alternate<const N: usize>(
    row: &Row,
    sides: [(&'static str, Forwarder); N],
    measure: impl Fn(&Row, &Running) -> Result<f64>,
) -> Result<[Side; N]> {
    alternate_after(row, ROUNDS, sides, |_| Ok(()), |row, running, ()| measure(row, running))
}

/// The same, with something measured each time before the side is in place: a machine's speed changes within minutes.
fn alternate_after<T, const N: usize>(
    row: &Row,
    rounds: usize,
    sides: [(&'static str, Forwarder); N],
    before: impl Fn(&Row) -> Result<T>,
    measure: impl Fn(&Row, &Running, T) -> Result<f64>,
) -> Result<[Side; N]> {
    let mut all = sides.map(|(name, _)| Side { name, values: Vec::new() });
    for round in 0..rounds {
        for turn in 0..N {
            let at = if round % 2 == 0 { turn } else { N - 1 - turn };
            let (name, forwarder) = sides[at];
            let before = before(row)?;
            let running = row.with(forwarder).with_context(|| format!("put {name} in place"))?;
            all[at].values.push(measure(row, &running, before).with_context(|| format!("measure {name}"))?);
        }
    }
    Ok(all)
}

/// Reads the lines of the engine's micro-benches; those with a goal become figures.
fn engine_figures(lines: &str) -> Vec<Value> {
    let benches: Vec<Value> = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let find = |name: &str| benches.iter().find(|bench| bench["bench"] == name);
    let least = |name: &str| find(name)?["min"].as_f64();
    let alone = [
        ("established/udp4/256", 60.0, 35.0),
        ("established/udp4/1000000", 150.0, 70.0),
        ("first-match/5000", 150.0, 60.0),
        ("first-match/50000", 400.0, 120.0),
        ("memory/1000000-sessions", 400.0, 256.0),
    ]
    .into_iter()
    .filter_map(|(name, floor, aim)| {
        let value = least(name)?;
        let mut figure = find(name)?.clone();
        figure["floor"] = json!(floor);
        figure["aim"] = json!(aim);
        figure["meets_floor"] = json!(value <= floor);
        Some(figure)
    });
    let (geneve, plain) = ("geneve-in-and-out/udp4/10000", "forwarded/udp4/10000");
    let tunnel = least(geneve).zip(least(plain)).map(|(geneve_ns, plain_ns)| {
        let ratio = plain_ns / geneve_ns;
        let goal = at_least(0.7, 0.9);
        let (floor, aim) = goal.numbers();
        json!({
            "name": geneve, "value": geneve_ns, "unit": "ns", "peer": format!("{plain} = {plain_ns} ns"),
            "ratio": round(ratio), "floor": floor, "aim": aim, "meets_floor": goal.is_met(ratio),
        })
    });
    alone.chain(tunnel).collect()
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

    #[test]
    fn a_tunnels_price_is_told_beside_that_of_plain_packets() {
        let lines = "\
{\"bench\":\"forwarded/udp4/10000\",\"unit\":\"ns\",\"min\":40.00,\"median\":51.00,\"max\":80.00,\"allocations\":0}
{\"bench\":\"geneve-in-and-out/udp4/10000\",\"unit\":\"ns\",\"min\":50.00,\"median\":60.0,\"max\":80.0,\"allocations\":0}
";
        let figures = engine_figures(lines);
        assert_eq!(figures.len(), 1, "{figures:?}");
        assert_eq!((&figures[0]["ratio"], &figures[0]["meets_floor"]), (&json!(0.8), &json!(true)));
    }
}
