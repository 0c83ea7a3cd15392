//! What do all pods of a node share: which ranges are direct, and which firewall is well?
//!
//! Three maps, pinned in the BPF file system. The plugin makes them and adds what every pod needs before it
//! starts; the node agent keeps them true.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use ipnet::Ipv4Net;
use rustix::fs::statfs;
use rustix::mount::{MountFlags, mount};

use super::bpf::{Kind, Map, Shape};
use super::program::{self, Counter, DIRECT, FIREWALL};
use crate::settings::Settings;

/// Ranges that the map `direct` holds.
const MAXIMUM_RANGES: u32 = 4096;
/// Flows to bypassing ports that are remembered, of all pods; the oldest make room.
const MAXIMUM_FLOWS: u32 = 32768;

const BPF_FILE_SYSTEM: i64 = 0xcafe_4a11;

const DIRECT_SHAPE: Shape = Shape { kind: Kind::LpmTrie, key: 8, value: 4, entries: MAXIMUM_RANGES };
const STATE_SHAPE: Shape = Shape { kind: Kind::Array, key: 4, value: 8, entries: 1 };
const FLOWS_SHAPE: Shape = Shape { kind: Kind::LruHash, key: 16, value: 8, entries: MAXIMUM_FLOWS };
const COUNTERS_SHAPE: Shape = Shape { kind: Kind::PerCpuArray, key: 4, value: 8, entries: Counter::ALL.len() as u32 };

/// Link-local (instance metadata, a node's DNS cache) and loopback.
const ALWAYS_DIRECT: [Ipv4Net; 2] =
    [Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16), Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)];

/// Flags by range.
pub(crate) type Ranges = BTreeMap<Ipv4Net, u32>;

/// The maps of a node.
#[derive(Debug)]
pub(crate) struct Node {
    directory: PathBuf,
    pub(crate) direct: Map,
    pub(crate) state: Map,
}

impl Node {
    /// Opens the maps, or makes them; mounts a BPF file system where there is none.
    ///
    /// # Errors
    /// When the BPF file system cannot be mounted or the kernel refuses a map.
    pub(crate) fn open(directory: &Path) -> Result<Self> {
        let parent = parent(directory)?;
        if !is_bpf(parent)? {
            mount("bpf", parent, "bpf", MountFlags::empty(), None)
                .with_context(|| format!("mount a BPF file system at `{}`", parent.display()))?;
        }
        Self::mounted(directory)
    }

    /// As [`Self::open`], but what a container mounts is not what the node sees: there has to be a BPF file system.
    ///
    /// # Errors
    /// When there is none (the plugin mounts it for the first pod), or the kernel refuses a map.
    pub(crate) fn mounted(directory: &Path) -> Result<Self> {
        let parent = parent(directory)?;
        ensure!(is_bpf(parent)?, "there is no BPF file system at `{}`", parent.display());
        let pods = directory.join("pods");
        std::fs::create_dir_all(&pods).with_context(|| format!("make `{}`", pods.display()))?;
        Ok(Self {
            directory: directory.to_owned(),
            direct: Map::open_or_make(&directory.join("direct"), DIRECT_SHAPE)?,
            state: Map::open_or_make(&directory.join("state"), STATE_SHAPE)?,
        })
    }

    /// The flows to bypassing ports; made when the first pod has such ports.
    pub(crate) fn flows(&self) -> Result<Map> {
        Map::open_or_make(&self.directory.join("flows"), FLOWS_SHAPE)
    }

    /// A pod's counters.
    pub(crate) fn counters(&self, key: &str) -> Result<Map> {
        Map::open_or_make(&counters_path(&self.directory, key), COUNTERS_SHAPE)
    }

    /// Adds ranges; what is there gains flags and loses none.
    pub(crate) fn add(&self, ranges: &Ranges) -> Result<()> {
        let there = self.direct.keys()?;
        for (range, flags) in ranges {
            let key = program::range_key(*range);
            // A look-up finds the longest match; only the range itself counts.
            let had = if there.iter().any(|other| *other == key) { self.flags(&key)? } else { 0 };
            if had & flags != *flags {
                self.direct.set(&key, &(had | flags).to_ne_bytes()).context("add a direct range")?;
            }
        }
        Ok(())
    }

    /// Makes the ranges exactly these. What is to go, goes when it was not wanted the last time either: the plugin may
    /// have added it in between.
    pub(crate) fn reconcile(&self, ranges: &Ranges, before: &Ranges) -> Result<()> {
        let wanted = |ranges: &Ranges, key: &[u8]| ranges.keys().any(|range| program::range_key(*range) == key);
        for key in self.direct.keys()? {
            if !wanted(ranges, &key) && !wanted(before, &key) {
                self.direct.remove(&key)?;
            }
        }
        for (range, flags) in ranges {
            self.direct.set(&program::range_key(*range), &flags.to_ne_bytes()).context("set a direct range")?;
        }
        Ok(())
    }

    /// The endpoint that pods are tunnelled to, while it is well.
    pub(crate) fn endpoint(&self) -> Result<Option<Ipv4Addr>> {
        let value = self.state.get(&[0; 4])?.unwrap_or_default();
        let word = |at: usize| value.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
        Ok(match (word(0), word(4)) {
            (Some(address), Some(well)) if well != 0 => Some(Ipv4Addr::from(address)),
            _ => None,
        })
    }

    /// Every pod's next packet goes there; none: every pod's failure mode holds.
    pub(crate) fn point_at(&self, endpoint: Option<Ipv4Addr>) -> Result<()> {
        if let Some(endpoint) = endpoint {
            self.add(&Ranges::from([(Ipv4Net::new_assert(endpoint, 32), DIRECT | FIREWALL)]))?;
        }
        self.state.set(&[0; 4], &program::state_value(endpoint)).context("set the firewall's state")
    }

    fn flags(&self, key: &[u8; 8]) -> Result<u32> {
        let value = self.direct.get(key)?.unwrap_or_default();
        Ok(value.try_into().map_or(0, u32::from_ne_bytes))
    }
}

/// The ranges that follow from a configuration, the node's addresses and the firewalls' endpoints. A longer
/// prefix hides a shorter one, so it has the shorter one's flags, too.
pub(crate) fn ranges(settings: &Settings, own: &[Ipv4Addr], endpoints: &[Ipv4Addr]) -> Ranges {
    let single = |address: &Ipv4Addr| Ipv4Net::new_assert(*address, 32);
    let direct = ALWAYS_DIRECT.into_iter().chain(settings.pass_ranges.iter().copied()).chain(own.iter().map(single));
    let firewalls = settings.firewall_ranges.iter().copied().chain(endpoints.iter().map(single));
    let listed: Vec<(Ipv4Net, u32)> =
        direct.map(|range| (range, DIRECT)).chain(firewalls.map(|range| (range, DIRECT | FIREWALL))).collect();
    listed
        .iter()
        .map(|(range, _)| {
            let covering = listed.iter().filter(|(other, _)| other.contains(range));
            (*range, covering.fold(0, |flags, (_, more)| flags | more))
        })
        .collect()
}

/// Where a pod's counters are pinned.
pub(crate) fn counters_path(directory: &Path, key: &str) -> PathBuf {
    directory.join("pods").join(key)
}

/// A pod's counters, summed over the processors; none when the pod has none.
pub(crate) fn read_counters(directory: &Path, key: &str) -> Result<Option<BTreeMap<&'static str, u64>>> {
    let Some(map) = Map::open(&counters_path(directory, key), COUNTERS_SHAPE)? else { return Ok(None) };
    let mut sums = BTreeMap::new();
    for (counter, name) in Counter::ALL {
        let each = map.get(&(counter as u32).to_ne_bytes())?.unwrap_or_default();
        let sum = each.chunks_exact(8).filter_map(|bytes| bytes.try_into().ok()).map(u64::from_ne_bytes).sum();
        sums.insert(name, sum);
    }
    Ok(Some(sums))
}

/// Where the BPF file system is mounted.
fn parent(directory: &Path) -> Result<&Path> {
    let parent = directory.parent().context("`bpf_dir` is a folder in a BPF file system")?;
    std::fs::create_dir_all(parent).with_context(|| format!("make `{}`", parent.display()))?;
    Ok(parent)
}

fn is_bpf(path: &Path) -> Result<bool> {
    let found = statfs(path).with_context(|| format!("look at `{}`", path.display()))?;
    Ok(found.f_type == BPF_FILE_SYSTEM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::chart;

    fn told(ranges: &Ranges) -> Vec<String> {
        ranges.iter().map(|(range, flags)| format!("{range} {flags}")).collect()
    }

    #[test]
    fn metadata_dns_cache_pass_ranges_and_node_are_direct() {
        let ranges = ranges(&chart(), &["192.0.2.7".parse().unwrap()], &["198.51.100.1".parse().unwrap()]);
        assert_eq!(
            told(&ranges),
            [
                "10.52.0.0/14 1",
                "10.56.0.0/20 1",
                "127.0.0.0/8 1",
                "169.254.0.0/16 1",
                "192.0.2.7/32 1",
                "198.51.100.1/32 3"
            ]
        );
    }

    /// The longest match is what the kernel looks at.
    #[test]
    fn a_range_has_the_flags_of_those_that_it_hides() {
        let mut settings = chart();
        settings.pass_ranges = vec!["10.0.1.0/28".parse().unwrap()];
        settings.firewall_ranges = vec!["10.0.1.0/24".parse().unwrap()];
        let ranges = ranges(&settings, &["10.0.1.9".parse().unwrap()], &[]);
        assert_eq!(told(&ranges)[..3], ["10.0.1.0/24 3", "10.0.1.0/28 3", "10.0.1.9/32 3"]);
    }
}
