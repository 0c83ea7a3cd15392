//! What processor time does a small packet of an established flow take, whoever's name it is spent in?
//!
//! Frames come as from a network card, at an even rate, and the far end drops them at its door. Counted is the
//! time of the sender, whose system call carries a frame as far as the next queue, of the firewall's threads and
//! of the kernel's own for the network; taken off is what it takes to bring a frame to the forwarder's door.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Forwarder, Row, Running};
use crate::Namespace;

const FRAMES: &str = include_str!("frames.py");
const SECONDS: &str = "2";
/// Client, server, and their ports.
const FLOW: [&str; 4] = ["10.10.1.2", "10.10.2.2", "40000", "7002"];
/// Of the frames that may be lost before a run says nothing.
const LOSS_MAX: f64 = 0.4;
/// Of the frames that are lost at least when a forwarder is as fast as it can be.
const LOSS_FULL: f64 = 0.03;
/// Header and payload of a small datagram.
const DATAGRAM_BYTES: usize = 8 + 18;

/// How fast frames come: looks at the clock before each.
///
/// A worker with time to spare looks for more of them, and one that cannot follow throws frames away that were
/// brought to it: neither is the price of a packet, so the rate is to be near to what the forwarder can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(u32);

/// The least and the most looks that are tried: on a machine where a look takes 28 ns, 5 and 0.1 million frames a second.
const LOOKS: (u32, u32) = (4, 400);

/// The most looks for which a forwarder is full, each try telling whether it is; `None` if it never is.
fn fullest(mut is_full: impl FnMut(Rate) -> Result<bool>) -> Result<Option<Rate>> {
    let (mut full, mut idle) = LOOKS;
    if !is_full(Rate(full))? {
        return Ok(None);
    }
    // To a tenth: one run differs from the next by more.
    while idle > full + (full / 10).max(1) {
        let middle = full.midpoint(idle);
        if is_full(Rate(middle))? { full = middle } else { idle = middle }
    }
    Ok(Some(Rate(full)))
}

/// One run of the sender.
struct Flood {
    sent: f64,
    nanoseconds: f64,
}

impl Row {
    /// The lowest rate at which this forwarder has no time to spare.
    ///
    /// # Errors
    /// When it loses nothing at any rate, or a program reports nothing.
    pub fn full_rate(&self, running: &Running) -> Result<Rate> {
        let rate = fullest(|rate| {
            let (flood, arrived, _) = self.carry(running, rate)?;
            Ok(arrived < flood.sent * (1.0 - LOSS_FULL))
        })?;
        rate.context("the forwarder follows at every rate")
    }

    /// Processor time of a small packet of an established flow between the forwarder's door and the server's, in
    /// nanoseconds, at this rate; `door` is what [`Self::door_ns`] said about it.
    ///
    /// # Errors
    /// When too many are lost, or a program reports nothing.
    pub fn small_packet_ns(&self, running: &Running, rate: Rate, door: f64) -> Result<f64> {
        let (flood, arrived, busy) = self.carry(running, rate)?;
        if arrived < flood.sent * (1.0 - LOSS_MAX) {
            bail!("{arrived} of {} frames arrived", flood.sent);
        }
        Ok((flood.nanoseconds + busy - door * flood.sent) / arrived)
    }

    /// One run: what was sent, how many frames arrived, and the processor time of those in between.
    fn carry(&self, running: &Running, rate: Rate) -> Result<(Flood, f64, f64)> {
        self.take_frames()?;
        let script = self.frames()?;
        let hello = ["python3", &script.to_string_lossy(), "hello"];
        self.client.run(&[&hello[..], &FLOW].concat()).context("the flow is not answered")?;
        drop_small(&self.server, "s0")?;
        let (arrived, busy) = (self.arrived()?, running.busy()?);
        let flood = self.flood(rate)?;
        let (arrived, busy) = (self.arrived()? - arrived, running.busy()? - busy);
        self.server.sh("nft delete table netdev door")?;
        Ok((flood, arrived, busy))
    }

    /// Processor time that the sender spends on a frame which ends at the forwarder's door, in nanoseconds.
    ///
    /// # Errors
    /// When programs for the kernel may not be loaded here, or the sender reports nothing.
    pub fn door_ns(&self, rate: Rate) -> Result<f64> {
        let _running = self.with(Forwarder::Plain)?;
        let script = self.frames()?;
        let words = ["python3", &script.to_string_lossy(), "drop", "f0"];
        let mut door = self.forwarder.spawn(&words, &[], &self.lab.dir().join("door.log"))?;
        door.wait_for("attached", Duration::from_secs(10))?;
        let flood = self.flood(rate)?;
        Ok(flood.nanoseconds / flood.sent)
    }

    /// Lets the forwarder's device take frames that are no socket buffers, as a card's driver does, also where it
    /// has no program.
    fn take_frames(&self) -> Result<()> {
        self.forwarder.sh("ethtool -K f0 gro on")?;
        Ok(())
    }

    fn frames(&self) -> Result<PathBuf> {
        let path = self.lab.dir().join("frames.py");
        std::fs::write(&path, FRAMES)?;
        Ok(path)
    }

    fn flood(&self, rate: Rate) -> Result<Flood> {
        let script = self.frames()?;
        let mac = self.forwarder.run(&["cat", "/sys/class/net/f0/address"])?;
        let (words, looks) = (["python3", &script.to_string_lossy(), "flood", "c0", mac.trim()], rate.0.to_string());
        let said = self.client.run(&[&words[..], &FLOW, &[SECONDS, &looks]].concat())?;
        let mut numbers = said.split_whitespace().map(str::parse::<f64>);
        let mut next = || -> Result<f64> { Ok(numbers.next().with_context(|| format!("the sender said {said}"))??) };
        Ok(Flood { sent: next()?, nanoseconds: next()? })
    }

    fn arrived(&self) -> Result<f64> {
        // What the firewall still holds is on its way within this time.
        std::thread::sleep(Duration::from_millis(50));
        Ok(self.server.run(&["cat", "/sys/class/net/s0/statistics/rx_packets"])?.trim().parse()?)
    }
}

impl Running {
    /// Processor time so far of the firewall's threads, and of the kernel's for network work that found no
    /// other, in nanoseconds.
    fn busy(&self) -> Result<f64> {
        let mut total = 0.0;
        if let Some(firewall) = &self.firewall {
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
}

fn run_time(process: &Path) -> Result<f64> {
    let text = std::fs::read_to_string(process.join("schedstat"))?;
    Ok(text.split_whitespace().next().context("an empty schedstat")?.parse()?)
}

/// The small datagrams of a flood end here; the one that opens the flow does not.
fn drop_small(host: &Namespace, device: &str) -> Result<()> {
    host.sh(&format!(
        "nft 'table netdev door {{ chain in {{ type filter hook ingress device {device} priority filter; \
         udp length {DATAGRAM_BYTES} drop; }}; }}'"
    ))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_rate_is_found_at_which_a_forwarder_is_full() {
        for limit in [4, 5, 17, 60, 399] {
            let mut tries = 0;
            let found = fullest(|rate| {
                tries += 1;
                Ok(rate.0 <= limit)
            });
            let Some(Rate(looks)) = found.unwrap() else { panic!("none for {limit}") };
            assert!(looks <= limit && limit <= looks + looks / 10, "{looks} for {limit}");
            assert!(tries <= 10, "{tries} runs");
        }
        assert_eq!(fullest(|_| Ok(false)).unwrap(), None);
    }
}
