//! `make soak`: mixed traffic through a firewall for `MINUTES`, and a judgement on its memory and sessions.
//!
//! `soak BINARY MINUTES`. Ends with 1 and every complaint when memory is not flat or something is left.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use bartizan_lab::soak::soak;

/// Samples in a run.
const SAMPLES: u32 = 60;

#[expect(clippy::print_stdout, reason = "the figures are for a person")]
fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [binary, minutes] = arguments.as_slice() else { anyhow::bail!("usage: soak BINARY MINUTES") };
    let minutes: f64 = minutes.parse().with_context(|| format!("`{minutes}` is no number of minutes"))?;
    let time = Duration::from_secs_f64(minutes * 60.0);
    let report = soak(Path::new(binary), time, time / SAMPLES, |sample| {
        println!("{:7.1} s  {:8.0} KiB  {:7} sessions", sample.second, sample.resident_kib, sample.sessions);
    })?;
    println!(
        "{} sessions opened ({} connections, {} questions), {} left, {} without a port; memory grew by {:.0} KiB \
         after the warm-up",
        report.opened, report.connections, report.questions, report.left, report.without_port, report.growth_kib
    );
    report.judge()
}
