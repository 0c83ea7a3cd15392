//! Does the firewall's memory stay flat under hours of mixed traffic, and is nothing left afterwards?

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::perf::{Forwarder, Row, probe_program};
use crate::process::eventually;
use crate::{Namespace, Process};

/// Share of the samples that may still be growth to the working size.
const WARM_UP: f64 = 0.25;
/// Growth of resident memory over the rest of the run that is taken for noise: pages that a table touches
/// for the first time, an allocator's arenas. A leak of 100 bytes a session is ten times this.
const GROWTH_MAX_KIB: f64 = 2048.0;
/// Ports of an address that source NAT deals out. More connections than these to one server, and more datagrams,
/// prove that ports come back.
const PORTS: u64 = 65_536 - 1024;
/// How long a program may take to end after the traffic.
const LAST_WAIT: Duration = Duration::from_secs(10);
/// How long the longest-lived sessions may still be there when the traffic is over: TCP of a killed client.
const LEFT: Duration = Duration::from_secs(180);

/// Frames no host would send: half of them noise, half a packet with bytes changed.
const JUNK: &str = r#"
import os, random, socket, sys, time
device, mac, seconds = sys.argv[1], bytes.fromhex(sys.argv[2].replace(":", "")), float(sys.argv[3])
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind((device, 0))
ip = bytes.fromhex("4500002c000140004006000a0a0a01020a0a02020400005000000001000000005002ffff0000000002040102")
end = time.time() + seconds
while time.time() < end:
    if random.random() < 0.5:
        body = bytearray(os.urandom(random.randrange(1, 200)))
    else:
        body = bytearray(ip)
        for _ in range(random.randrange(1, 6)):
            body[random.randrange(len(body))] = random.randrange(256)
    kind = random.choice([b"\x08\x00", b"\x08\x00", b"\x86\xdd", b"\x08\x06", b"\x81\x00", os.urandom(2)])
    s.send(mac + os.urandom(6) + kind + bytes(body))
    time.sleep(0.002)
"#;

/// How large the firewall was at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Since the traffic began.
    pub second: f64,
    /// Resident memory.
    pub resident_kib: f64,
    /// Sessions in the table.
    pub sessions: u64,
}

/// What became of a soak.
#[derive(Clone, Debug)]
pub struct Report {
    /// In the order of time.
    pub samples: Vec<Sample>,
    /// Growth of resident memory after the warm-up, by the line that fits the samples best.
    pub growth_kib: f64,
    /// Sessions opened.
    pub opened: u64,
    /// TCP connections to one port of the server.
    pub connections: u64,
    /// Datagrams to one port of the server, each of a flow of its own.
    pub questions: u64,
    /// Sessions at the end, after the last time-out.
    pub left: u64,
    /// New sessions for which no port was left.
    pub without_port: u64,
}

impl Report {
    /// Whether all is as it should be.
    ///
    /// # Errors
    /// With everything that is not.
    pub fn judge(&self) -> Result<()> {
        let mut complaints = Vec::new();
        if self.growth_kib > GROWTH_MAX_KIB {
            complaints.push(format!("memory grew by {:.0} KiB after the warm-up", self.growth_kib));
        }
        if self.left != 0 {
            complaints.push(format!("{} sessions are left after {LEFT:?} without traffic", self.left));
        }
        if self.without_port != 0 {
            complaints.push(format!("{} sessions found no port: ports do not come back", self.without_port));
        }
        for (number, what) in [(self.connections, "connections"), (self.questions, "questions")] {
            if number <= PORTS {
                complaints.push(format!(
                    "{number} {what} do not prove that ports come back: more than {PORTS} do, in 3 minutes or more"
                ));
            }
        }
        if complaints.is_empty() { Ok(()) } else { bail!(complaints.join("; ")) }
    }
}

/// Sends everything through a firewall for so long, looking every `interval`; `seen` gets each sample.
///
/// # Errors
/// When a part of the lab does not come up, or the firewall ends.
pub fn soak(binary: &Path, time: Duration, interval: Duration, mut seen: impl FnMut(&Sample)) -> Result<Report> {
    let row = Row::new(binary)?;
    let running = row.with(Forwarder::Bartizan { rules: 100, options: &[] })?;
    let firewall = Firewall { row: &row, process: running.firewall().context("a firewall runs")? };
    let mut traffic = Traffic::start(&row, time)?;
    let start = Instant::now();
    let mut samples = Vec::new();
    while start.elapsed() < time {
        std::thread::sleep(interval);
        if start.elapsed() + LAST_WAIT < time {
            traffic.check()?;
        }
        let sample = Sample {
            second: start.elapsed().as_secs_f64(),
            resident_kib: firewall.resident_kib()?,
            sessions: firewall.counter("sessions-active")?,
        };
        seen(&sample);
        samples.push(sample);
    }
    let [connections, questions] = ["connections", "questions"].map(|name| traffic.said(name));
    drop(traffic);
    let _ = eventually("all sessions time out", LEFT, || match firewall.counter("sessions-active")? {
        0 => Ok(()),
        left => bail!("{left} are left"),
    });
    Ok(Report {
        growth_kib: growth(&samples),
        samples,
        opened: firewall.counter("sessions-created")?,
        connections: connections?,
        questions: questions?,
        left: firewall.counter("sessions-active")?,
        without_port: firewall.counter("nat-pool-exhausted")?,
    })
}

/// All kinds of traffic at once; they end by themselves, or when dropped.
struct Traffic(Vec<(&'static str, Process)>);

impl Traffic {
    fn start(row: &Row, time: Duration) -> Result<Self> {
        let seconds = time.as_secs().to_string();
        let script = row.dir().join("junk.py");
        std::fs::write(&script, JUNK)?;
        let log = |name: &str| -> PathBuf { row.dir().join(format!("{name}.log")) };
        let mac = mac_of(row.forwarder(), "f0")?;
        let probe = probe_program()?;
        let commands: [(&Namespace, &'static str, Vec<&str>); 9] = [
            (row.server(), "tcp-server", vec!["iperf3", "--server", "-p", "5201"]),
            (row.server(), "reverse-server", vec!["iperf3", "--server", "-p", "5202"]),
            (row.server(), "echo", vec![&probe, "echo", "10.10.2.2:7000"]),
            (row.client(), "tcp", vec!["iperf3", "-c", "10.10.2.2", "-t", &seconds, "-b", "100M"]),
            (
                row.client(),
                "reverse",
                vec!["iperf3", "-c", "10.10.2.2", "-p", "5202", "-t", &seconds, "-b", "50M", "-R"],
            ),
            (row.client(), "connections", vec![&probe, "connect", "10.10.2.2:80", "500", &seconds]),
            (row.client(), "questions", vec![&probe, "ask", "10.10.2.2:7000", "400", &seconds]),
            (row.client(), "one-flow", vec![&probe, "flood", "10.10.2.2:7000", "5000", &seconds]),
            (row.client(), "junk", vec!["python3", script.to_str().context("a path in UTF-8")?, "c0", &mac, &seconds]),
        ];
        let mut running = Vec::new();
        for (host, name, words) in &commands {
            running.push((*name, host.spawn(words, &[], &log(name))?));
            // Servers first.
            std::thread::sleep(Duration::from_millis(300));
        }
        Ok(Self(running))
    }

    /// Whether all of it still runs.
    fn check(&mut self) -> Result<()> {
        for (name, process) in &mut self.0 {
            if !process.is_running() {
                bail!("the traffic `{name}` ended early: {}", process.output());
            }
        }
        Ok(())
    }

    /// The numbers that a probe printed at its end, added up.
    fn said(&mut self, name: &str) -> Result<u64> {
        let (_, process) =
            self.0.iter_mut().find(|(one, _)| *one == name).with_context(|| format!("no traffic `{name}`"))?;
        process.wait(LAST_WAIT)?;
        let said = process.output();
        let numbers = said.split_whitespace().map(|word| word.parse::<u64>());
        numbers.sum::<Result<u64, _>>().with_context(|| format!("`{name}` said: {said}"))
    }
}

fn mac_of(host: &Namespace, device: &str) -> Result<String> {
    Ok(host.run(&["cat", &format!("/sys/class/net/{device}/address")])?.trim().to_owned())
}

struct Firewall<'a> {
    row: &'a Row,
    process: &'a Process,
}

impl Firewall<'_> {
    fn resident_kib(&self) -> Result<f64> {
        let path = format!("/proc/{}/status", self.process.id()?);
        let status = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS line")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// A counter of the engine; one that never happened is not listed.
    fn counter(&self, name: &str) -> Result<u64> {
        let answer = self.row.ask(&["show", "counter", "global", "--json"])?;
        let answer: serde_json::Value = serde_json::from_str(&answer)?;
        Ok(find(&answer, name).unwrap_or(0))
    }
}

/// The number under a name, or in the object that has the name, wherever it is.
fn find(value: &serde_json::Value, name: &str) -> Option<u64> {
    use serde_json::Value;
    match value {
        Value::Array(all) => all.iter().find_map(|one| find(one, name)),
        Value::Object(fields) => {
            if let Some(number) = fields.get(name).and_then(Value::as_u64) {
                return Some(number);
            }
            let named = fields.values().any(|field| field.as_str() == Some(name));
            let number = fields.values().find_map(Value::as_u64).filter(|_| named);
            number.or_else(|| fields.values().find_map(|field| find(field, name)))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Growth over the time after the warm-up, by least squares.
fn growth(samples: &[Sample]) -> f64 {
    let settled = samples.get((samples.len() as f64 * WARM_UP) as usize..).unwrap_or_default();
    let (Some(first), Some(last)) = (settled.first(), settled.last()) else { return 0.0 };
    let count = settled.len() as f64;
    let mean = |of: fn(&Sample) -> f64| settled.iter().map(of).sum::<f64>() / count;
    let (time, size) = (mean(|sample| sample.second), mean(|sample| sample.resident_kib));
    let spread: f64 = settled.iter().map(|sample| (sample.second - time).powi(2)).sum();
    if spread == 0.0 {
        return 0.0;
    }
    let common: f64 = settled.iter().map(|sample| (sample.second - time) * (sample.resident_kib - size)).sum();
    common / spread * (last.second - first.second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(size: impl Fn(f64) -> f64) -> Vec<Sample> {
        (0..100).map(f64::from).map(|second| Sample { second, resident_kib: size(second), sessions: 9 }).collect()
    }

    #[test]
    fn growth_is_a_slope_after_the_warm_up() {
        assert!(growth(&samples(|second| 50_000.0 + second * 100.0)) > 7000.0);
        let levelled = samples(|second| 50_000.0 + second.min(20.0) * 1000.0);
        assert!(growth(&levelled).abs() < 1.0);
        let noisy = samples(|second| 50_000.0 + (second % 7.0) * 100.0);
        assert!(growth(&noisy).abs() < 200.0);
        assert_eq!(growth(&[]), 0.0);
    }

    #[test]
    fn every_complaint_is_made() {
        let bad = Report {
            samples: Vec::new(),
            growth_kib: 9e9,
            opened: 0,
            connections: 64_512,
            questions: 7,
            left: 3,
            without_port: 2,
        };
        let text = bad.judge().unwrap_err().to_string();
        for complaint in [
            "memory grew",
            "3 sessions are left",
            "2 sessions found no port",
            "64512 connections do not prove",
            "7 questions do not prove",
        ] {
            assert!(text.contains(complaint), "{text}");
        }
        let (connections, questions) = (64_513, 64_513);
        assert!(Report { growth_kib: 0.0, left: 0, without_port: 0, connections, questions, ..bad }.judge().is_ok());
    }

    #[test]
    fn a_counter_is_found_by_its_name() {
        let answer = serde_json::json!({"counters": [{"name": "a-b", "value": 3}, {"name": "c", "value": 0}], "d": 4});
        assert_eq!(find(&answer, "a-b"), Some(3));
        assert_eq!(find(&answer, "d"), Some(4));
        assert_eq!(find(&answer, "e"), None);
    }
}
