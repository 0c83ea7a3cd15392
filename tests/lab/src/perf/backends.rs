//! The same row of hosts by each way that frames can come by, beside the kernel: TCP, round trips, and what a
//! small packet costs.
//!
//! On veth pairs only: there is no zero-copy, and XDP switches off the peers' segmentation offload, so the
//! kernel is measured with and without it.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{Forwarder, Row, Running};

const ROUNDS: usize = 3;
const KERNEL: Forwarder = Forwarder::Kernel { rules: 0 };
const AF_PACKET: Forwarder = Forwarder::With { options: &["--io", "af-packet"] };
const AF_XDP: Forwarder = Forwarder::With { options: &["--io", "af-xdp"] };
const AF_PACKET_LATENCY: Forwarder = Forwarder::With { options: &["--io", "af-packet", "--latency"] };
const AF_XDP_LATENCY: Forwarder = Forwarder::With { options: &["--io", "af-xdp", "--latency"] };

/// UDP of a small frame: 22 bytes of payload make 64 with all headers.
const SMALL_PAYLOAD_BYTES: &str = "22";
/// Offered so that nobody is overrun: what is lost would be charged to what is not.
const SMALL_BITS_PER_SECOND: &str = "15M";
const SMALL_SECONDS: f64 = 3.0;
/// Of small packets that may be lost before a run says nothing.
const SMALL_LOSS_MAX: f64 = 0.05;

/// All figures, each with its ratio to the kernel in the same run.
///
/// # Errors
/// When a forwarder does not come up or a program reports nothing.
pub fn figures(row: &Row) -> Result<Vec<Value>> {
    let mut figures = Vec::new();
    let kernel = "kernel conntrack + masquerade";
    let [packet, plain] = row.medians([AF_PACKET, KERNEL], |row, _| row.tcp_gigabits())?;
    figures.push(figure("tcp-1-stream-af-packet", (packet, "Gbit/s"), (kernel, plain), Goal::AtLeast(0.75, 1.0)));
    row.offloads("off")?;
    let [xdp, plain] = row.medians([AF_XDP, KERNEL], |row, _| row.tcp_gigabits())?;
    let peer = "kernel conntrack + masquerade, the hosts' segmentation offload off";
    figures.push(figure("tcp-1-stream-af-xdp", (xdp, "Gbit/s"), (peer, plain), Goal::AtLeast(0.6, 1.0)));
    row.offloads("on")?;
    let sides = [KERNEL, AF_PACKET, AF_PACKET_LATENCY, AF_XDP, AF_XDP_LATENCY];
    let names = ["af-packet", "af-packet-latency", "af-xdp", "af-xdp-latency"];
    let [plain, rest @ ..] = row.medians(sides, Row::echo_microseconds)?;
    for (name, (value, (floor, aim))) in
        names.iter().zip(rest.into_iter().zip([(4.0, 2.5), (2.2, 1.5), (4.0, 2.5), (2.2, 1.5)]))
    {
        let name = format!("echo-round-trip-{name}");
        figures.push(figure(&name, (value, "us"), (kernel, plain), Goal::AtMost(floor, aim)));
    }
    row.offloads("on")?;
    let [plain, packet, xdp] = row.medians([KERNEL, AF_PACKET, AF_XDP], Row::small_packet_nanoseconds)?;
    figures.push(figure("cpu-64-byte-af-packet", (packet, "ns"), (kernel, plain), Goal::AtMost(2.0, 1.3)));
    figures.push(figure("cpu-64-byte-af-xdp", (xdp, "ns"), (kernel, plain), Goal::AtMost(1.0, 0.6)));
    row.offloads("on")?;
    Ok(figures)
}

/// A ratio to reach, and one to aim for.
#[derive(Clone, Copy)]
enum Goal {
    AtLeast(f64, f64),
    AtMost(f64, f64),
}

fn figure(name: &str, (value, unit): (f64, &str), (peer_name, peer): (&str, f64), goal: Goal) -> Value {
    let ratio = value / peer;
    let (floor, aim, meets) = match goal {
        Goal::AtLeast(floor, aim) => (floor, aim, ratio >= floor),
        Goal::AtMost(floor, aim) => (floor, aim, ratio <= floor),
    };
    let round = |number: f64| (number * 1000.0).round() / 1000.0;
    json!({
        "name": name, "value": round(value), "unit": unit, "peer": format!("{peer_name} = {} {unit}", round(peer)),
        "ratio": round(ratio), "floor": floor, "aim": aim, "meets_floor": meets,
    })
}

impl Row {
    /// The sides in turn, several times; the median of each.
    fn medians<const N: usize>(
        &self,
        sides: [Forwarder; N],
        measure: impl Fn(&Self, &Running) -> Result<f64>,
    ) -> Result<[f64; N]> {
        let mut all = [const { Vec::new() }; N];
        for _ in 0..ROUNDS {
            for (side, values) in sides.iter().zip(&mut all) {
                let running = self.with(*side)?;
                values.push(measure(self, &running).with_context(|| format!("measure {side:?}"))?);
            }
        }
        Ok(all.map(|mut values| {
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
        }))
    }

    /// Switches the hosts' segmentation offload; XDP at the other end leaves it off.
    fn offloads(&self, state: &str) -> Result<()> {
        self.client.sh(&format!("ethtool -K c0 tso {state} gso {state}"))?;
        self.server.sh(&format!("ethtool -K s0 tso {state} gso {state}"))?;
        Ok(())
    }

    /// Round trip of an echo, median.
    fn echo_microseconds(&self, _: &Running) -> Result<f64> {
        let report = self.client.run(&["ping", "-n", "-i", "0.002", "-c", "1000", "10.10.2.2"])?;
        let mut times: Vec<f64> = report
            .lines()
            .filter_map(|line| line.split_once("time=")?.1.split_whitespace().next()?.parse().ok())
            .collect();
        if times.len() < 900 {
            bail!("{} of 1000 echoes came back", times.len());
        }
        times.sort_by(f64::total_cmp);
        Ok(times[times.len() / 2] * 1000.0)
    }

    /// Processor time that a small packet takes on its way through all three hosts, their programs included:
    /// the same for every forwarder, so that a difference is the forwarder's.
    fn small_packet_nanoseconds(&self, running: &Running) -> Result<f64> {
        let before = busy(running)?;
        let seconds = SMALL_SECONDS.to_string();
        let words = ["iperf3", "-c", "10.10.2.2", "-u", "-J", "-t", &seconds];
        let words = [&words[..], &["-b", SMALL_BITS_PER_SECOND, "-l", SMALL_PAYLOAD_BYTES]].concat();
        let report: Value = serde_json::from_str(&self.client.run(&words)?)?;
        let forwarder = busy(running)? - before;
        let number = |path: &str| report.pointer(path).and_then(Value::as_f64).with_context(|| format!("no {path}"));
        let (sent, lost) = (number("/end/sum/packets")?, number("/end/sum/lost_packets")?);
        if lost > sent * SMALL_LOSS_MAX {
            bail!("{lost} of {sent} packets were lost");
        }
        let programs =
            number("/end/cpu_utilization_percent/host_total")? + number("/end/cpu_utilization_percent/remote_total")?;
        Ok((programs / 100.0 * SMALL_SECONDS * 1e9 + forwarder) / (sent - lost))
    }
}

/// Processor time of the forwarder, in nanoseconds: its own threads', and that of the kernel's threads for
/// network work that found no other.
fn busy(running: &Running) -> Result<f64> {
    let mut total = 0.0;
    if let Some(firewall) = &running.firewall {
        for thread in std::fs::read_dir(format!("/proc/{}/task", firewall.id()?))?.flatten() {
            total += run_time(&thread.path())?;
        }
    }
    for process in std::fs::read_dir("/proc")?.flatten() {
        let path = process.path();
        if std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name.starts_with("ksoftirqd/")) {
            total += run_time(&path)?;
        }
    }
    Ok(total)
}

fn run_time(process: &std::path::Path) -> Result<f64> {
    let text = std::fs::read_to_string(process.join("schedstat"))?;
    Ok(text.split_whitespace().next().context("an empty schedstat")?.parse()?)
}
