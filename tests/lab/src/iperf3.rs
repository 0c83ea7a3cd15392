//! Does bulk get through? One run of iperf3, asked for again when it did not come to its end.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::Namespace;
use crate::process::eventually;

/// How long is tried: on a machine with other work a run of a second may report nothing.
const LIMIT: Duration = Duration::from_secs(30);

/// The report of a run of one second to `server`, in which more than so many bytes arrived.
///
/// # Errors
/// When no run carries that much, with the last report.
pub fn carried(client: &Namespace, server: &str, options: &[&str], bytes_min: u64) -> Result<Value> {
    let words = [&["iperf3", "-J", "-t", "1", "-c", server][..], options].concat();
    eventually("iperf3", LIMIT, || {
        let report: Value = serde_json::from_str(&client.run(&words)?).context("read iperf3's report")?;
        let end = &report["end"];
        let sum = if end["sum_received"].is_object() { &end["sum_received"] } else { &end["sum"] };
        ensure!(sum["bytes"].as_u64() > Some(bytes_min), "{server} {options:?}: {end}");
        Ok(report)
    })
}
