//! Who goes through many ports or hosts, and is not heard for that?
//!
//! Two tables count: one has how many different targets a source met in its window, the other which ones.
//! A third has the sources that are blocked. All are bounded; what had to make way is counted.

use std::net::IpAddr;

use ahash::RandomState;
use bartizan_model::device::{Scan, ScanAction, ScanKind};
use bartizan_packet::parse::{Layer4, Packet, UDP};
use bartizan_policy::tables::ZoneId;
use hashbrown::HashSet;

use super::cache::Cache;
use crate::settings::{Limits, SECOND};
use crate::verdict::Time;

/// Whose targets are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Scanner {
    zone: ZoneId,
    kind: ScanKind,
    source: IpAddr,
    /// The host whose ports are scanned; `None` for a sweep of hosts.
    destination: Option<IpAddr>,
}

/// One of the targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Target {
    scanner: Scanner,
    host: IpAddr,
    port: u16,
}

/// The targets of an interval.
#[derive(Clone, Copy, Debug)]
struct Window {
    start: Time,
    targets: u32,
    told: bool,
}

/// Whose packets are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Blocked {
    pub(crate) zone: ZoneId,
    pub(crate) source: IpAddr,
    /// Only those to this host.
    pub(crate) destination: Option<IpAddr>,
}

/// Why, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) kind: ScanKind,
    pub(crate) until: Time,
}

/// What a packet has done by being a scan's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) kind: ScanKind,
    pub(crate) targets: u32,
    pub(crate) action: ScanAction,
    /// The first time in this window.
    pub(crate) news: bool,
    /// Whom to block until when, if the action says so.
    pub(crate) block: Option<(IpAddr, Option<IpAddr>, Time)>,
}

/// All scans of all zones, on one worker.
#[derive(Debug)]
pub(crate) struct Scans {
    windows: Cache<Scanner, Window>,
    targets: Cache<Target, Time>,
    blocks: Cache<Blocked, Block>,
    /// When the last block ends: beyond that nobody is looked for.
    blocking_until: Time,
    /// Entries that had to make way while they were needed.
    pub(crate) evicted: u64,
    pub(crate) blocks_evicted: u64,
}

impl Scans {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            windows: Cache::new(seed),
            targets: Cache::new(!seed),
            blocks: Cache::new(seed.rotate_left(32)),
            blocking_until: Time(0),
            evicted: 0,
            blocks_evicted: 0,
        }
    }

    /// Makes the tables; called when a configuration looks for scans.
    pub(crate) fn reserve(&mut self, limits: &Limits) {
        self.windows.reserve(limits.scan_sources);
        self.targets.reserve(limits.scan_targets);
        self.blocks.reserve(limits.blocked_sources);
    }

    /// Counts the first packet of a flow; the scans that it completes, of ports and of hosts. One of `workers`
    /// sees only its share of the targets.
    pub(crate) fn watch(
        &mut self,
        zone: ZoneId,
        scans: &[Option<Scan>; ScanKind::ALL.len()],
        packet: &Packet,
        workers: u16,
        now: Time,
    ) -> [Option<Found>; 2] {
        let ports = match packet.layer4 {
            Layer4::Tcp(_) => Some(ScanKind::TcpPorts),
            Layer4::Ports { .. } if packet.protocol == UDP => Some(ScanKind::UdpPorts),
            _ => None,
        };
        let (_, port) = packet.ports();
        let watched = [(ports, Some(packet.destination), port), (Some(ScanKind::Hosts), None, 0)];
        watched.map(|(kind, destination, port)| {
            let kind = kind?;
            let scan = scans[kind as usize]?;
            let scanner = Scanner { zone, kind, source: packet.source, destination };
            let target = Target { scanner, host: packet.destination, port };
            let found = self.count(&scan, target, workers, now);
            found.filter(|found| found.action != ScanAction::Allow)
        })
    }

    /// Whether packets of somebody are dropped at all.
    #[inline]
    pub(crate) fn is_blocking(&self, now: Time) -> bool {
        now < self.blocking_until
    }

    /// Whether a packet is dropped.
    pub(crate) fn blocked(&self, zone: ZoneId, packet: &Packet, now: Time) -> bool {
        let alone = Blocked { zone, source: packet.source, destination: None };
        let towards = Blocked { destination: Some(packet.destination), ..alone };
        [alone, towards].iter().any(|key| self.blocks.get(key).is_some_and(|block| block.until > now))
    }

    pub(crate) fn block(&mut self, key: Blocked, block: Block, now: Time) {
        let Some((place, evicted)) = self.blocks.entry(&key, now, block, |old| old.until > now) else { return };
        place.until = place.until.max(block.until);
        self.blocks_evicted += u64::from(evicted);
        self.blocking_until = self.blocking_until.max(block.until);
    }

    /// Blocks that last.
    pub(crate) fn blocks(&self, now: Time) -> impl Iterator<Item = (&Blocked, &Block)> {
        self.blocks.iter().filter(move |(_, block)| block.until > now)
    }

    /// Ends blocks; gives back how many. What their sources did before does not count any more.
    pub(crate) fn unblock(&mut self, mut chosen: impl FnMut(&Blocked, &Block) -> bool, now: Time) -> usize {
        let mut sources = HashSet::with_hasher(RandomState::with_seeds(now.0, 23, 24, 25));
        let mut ended = 0;
        self.blocks.forget(|key, block| {
            let gone = chosen(key, block);
            if gone && block.until > now {
                ended += 1;
                sources.insert((key.zone, key.source));
            }
            gone
        });
        self.windows.forget(|scanner, _| sources.contains(&(scanner.zone, scanner.source)));
        ended
    }

    fn count(&mut self, scan: &Scan, target: Target, workers: u16, now: Time) -> Option<Found> {
        let interval = u64::from(scan.interval_s) * SECOND;
        let fresh = Window { start: now, targets: 0, told: false };
        let running = |window: &Window| now.since(window.start) < interval;
        let (window, evicted) = self.windows.entry(&target.scanner, now, fresh, running)?;
        self.evicted += u64::from(evicted);
        if !running(window) {
            *window = fresh;
        }
        let (seen, evicted) = self.targets.entry(&target, now, Time(0), |seen| now.since(*seen) < interval)?;
        self.evicted += u64::from(evicted);
        // A time of 0 is that of a new entry.
        if seen.0 == 0 || *seen < window.start {
            window.targets = window.targets.saturating_add(1);
        }
        *seen = now.max(Time(1));
        let share = scan.threshold.div_ceil(u32::from(workers.max(1))).max(2);
        if window.targets < share {
            return None;
        }
        let news = !std::mem::replace(&mut window.told, true);
        let Scanner { kind, source, destination, .. } = target.scanner;
        let block = match scan.action {
            ScanAction::Allow | ScanAction::Alert => None,
            ScanAction::Block => Some((source, destination, window.start.after(interval))),
            ScanAction::BlockIp { by_destination, duration_s } => {
                let towards = by_destination.then_some(target.host);
                Some((source, towards, now.after(u64::from(duration_s) * SECOND)))
            }
        };
        Some(Found { kind, targets: window.targets, action: scan.action, news, block })
    }
}
