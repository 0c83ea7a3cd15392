//! What did all scenarios together meet? Here is the table of what the simulation covers.
//!
//! A line is something that engine and reference both do; its columns are the address families, plain and inside
//! of each tunnel. A whole run fails if a line is not met in a column where it has to be, or if something was met
//! that has no line: what the table says is covered, is.

#[path = "tally/lines.rs"]
mod lines;

use std::collections::BTreeMap;
use std::fmt;

use self::lines::LINES;
use super::tunnels::{Kind, Tunnel};

/// What is around packets, whose families are those of the packets in it.
const NAMES: [&str; 6] = ["plain", "vxlan", "nested", "aws", "gcp", "azure"];

/// Where something was met.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Column {
    pub(crate) v6: bool,
    pub(crate) around: Option<Kind>,
}

impl Column {
    /// Of a packet that comes in by a tunnel or not.
    pub(crate) fn new(v6: bool, tunnel: Option<Tunnel>) -> Self {
        Self { v6, around: tunnel.map(|tunnel| tunnel.kind) }
    }

    fn position(self) -> usize {
        let around = match self.around {
            None => 0,
            Some(Kind::Cluster) => 1,
            Some(Kind::Nested) => 2,
            Some(Kind::Aws { .. }) => 3,
            Some(Kind::Google { .. }) => 4,
            Some(Kind::Azure) => 5,
        };
        around * 2 + usize::from(self.v6)
    }
}

/// What a scenario did, for the summary.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) packets: usize,
    /// Packets that came in fragments, and packets around others that did.
    pub(crate) in_fragments: usize,
    pub(crate) outer_fragments: usize,
    pub(crate) commits: usize,
    pub(crate) refused_configs: usize,
    met: BTreeMap<&'static str, [u64; 12]>,
    /// Of new flows between the rates of a random early drop: how many were dropped, how many of them are to be
    /// expected, and the variance of that.
    pub(crate) early: (f64, f64, f64),
}

impl Tally {
    /// Something was met.
    pub(crate) fn note(&mut self, what: &'static str, column: Column) {
        self.met.entry(what).or_default()[column.position()] += 1;
    }

    /// A new flow was dropped, or not, although the chance was this.
    pub(crate) fn dice(&mut self, dropped: bool, chance: f64) {
        self.early.0 += f64::from(u8::from(dropped));
        self.early.1 += chance;
        self.early.2 += chance * (1.0 - chance);
    }

    /// Adds another scenario's.
    pub(crate) fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.in_fragments += other.in_fragments;
        self.outer_fragments += other.outer_fragments;
        self.commits += other.commits;
        self.refused_configs += other.refused_configs;
        for (what, counts) in &other.met {
            let mine = self.met.entry(what).or_default();
            mine.iter_mut().zip(counts).for_each(|(mine, count)| *mine += count);
        }
        self.early.0 += other.early.0;
        self.early.1 += other.early.1;
        self.early.2 += other.early.2;
    }

    /// What a whole run should have met and did not, and what it met that nobody expects.
    pub(crate) fn gaps(&self) -> Vec<String> {
        let mut gaps = Vec::new();
        for (what, columns) in LINES {
            let counts = self.met.get(what).copied().unwrap_or_default();
            let missing = (0..12).filter(|at| columns & 1 << at != 0 && counts[*at] == 0);
            gaps.extend(missing.map(|at| format!("`{what}` was not met {}", name(at))));
        }
        let unknown = self.met.keys().filter(|what| LINES.iter().all(|(line, _)| line != *what));
        gaps.extend(unknown.map(|what| format!("`{what}` was met and has no line")));
        let (dropped, expected, variance) = self.early;
        if (dropped - expected).abs() > 6.0 * variance.sqrt() + 1.0 {
            gaps.push(format!("{dropped} new flows were dropped early, {expected:.0} are to be expected"));
        }
        gaps
    }
}

/// Words for a column.
fn name(position: usize) -> String {
    format!("{} {}", NAMES[position / 2], if position.is_multiple_of(2) { "IPv4" } else { "IPv6" })
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { packets, commits, refused_configs, early, .. } = self;
        writeln!(f, "{packets} packets, {commits} commits, {refused_configs} configurations refused")?;
        writeln!(f, "{} new flows dropped early of {:.0} expected", early.0, early.1)?;
        write!(f, "{:34}", "")?;
        NAMES.iter().try_for_each(|around| write!(f, " {:>9} {:>8}", format!("{around} v4"), "v6"))?;
        for (what, counts) in &self.met {
            write!(f, "\n{what:34}")?;
            counts.chunks(2).try_for_each(|both| write!(f, " {:>9} {:>8}", both[0], both[1]))?;
        }
        Ok(())
    }
}
