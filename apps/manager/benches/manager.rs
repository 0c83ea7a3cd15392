//! How long does a whole manager take: commits, pushes, writes, logs?
//!
//! `cargo bench -p bartizan-manager [-- NAME…]`; a JSON line for each figure, with the floor it is held to. The
//! manager is the real one, in this process, with its database as a file; clients and devices talk to it over TLS.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a bench that cannot be set up has nothing to measure")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the figures are what it is for")]

#[path = "manager/client.rs"]
mod client;
#[path = "manager/commit.rs"]
mod commit;
#[expect(dead_code, reason = "tests and benches share it, and benches need a part of it")]
#[path = "../tests/manager/common.rs"]
mod common;
#[path = "manager/logs.rs"]
mod logs;
#[path = "manager/push.rs"]
mod push;
#[path = "manager/writes.rs"]
mod writes;

use std::time::Duration;

use serde_json::json;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| name.starts_with(wanted.as_str()));
    if is_wanted("commit") {
        runtime.block_on(commit::run());
    }
    if is_wanted("writes") {
        runtime.block_on(writes::run());
    }
    if is_wanted("logs") {
        runtime.block_on(logs::run());
    }
    if is_wanted("push-100") {
        runtime.block_on(push::run(100, 100, 2000.0));
    }
    if is_wanted("push-5000") {
        runtime.block_on(push::run(5000, 5, 30_000.0));
    }
}

/// For whoever watches.
fn progress(what: &str, took: Duration) {
    eprintln!("{what}: {took:?}");
}

/// A line of `target/bench.json`: the 99th percentile, with the median and the largest.
fn percentiles(name: &str, mut times: Vec<Duration>, floor_ms: f64, aim_ms: f64) {
    times.sort();
    let at = |part: f64| {
        let place = (times.len() as f64 * part).ceil() as usize;
        let time = times.get(place.clamp(1, times.len()) - 1).copied().unwrap_or_default();
        (time.as_secs_f64() * 1e6).round() / 1e3
    };
    let p99 = at(0.99);
    println!(
        "{}",
        json!({
            "name": name, "unit": "ms", "value": p99, "p50": at(0.5), "max": at(1.0), "runs": times.len(),
            "floor": floor_ms, "aim": aim_ms, "meets_floor": p99 <= floor_ms,
        })
    );
}
