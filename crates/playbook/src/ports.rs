//! Which ports are in both of two sets?

use std::fmt;

use serde::{Deserialize, Serialize};

/// A protocol with ports.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// All, as Kubernetes spells them.
    pub const NAMES: [(&'static str, Self); 3] = [("TCP", Self::Tcp), ("UDP", Self::Udp), ("SCTP", Self::Sctp)];

    /// As Kubernetes spells it.
    pub fn read(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, protocol)| *protocol)
    }

    /// As a service object spells it.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// Its number (IANA, Assigned Internet Protocol Numbers).
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

/// Ports of one protocol, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    /// The protocol.
    pub protocol: Protocol,
    /// The first port.
    pub low: u16,
    /// The last port.
    pub high: u16,
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.protocol.tag(), self.low)?;
        if self.low == self.high { Ok(()) } else { write!(f, "-{}", self.high) }
    }
}

/// What a rule says of protocol and port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ports {
    /// Every port of every protocol, also of those that have no ports.
    All,
    /// These.
    Of(Vec<PortRange>),
}

impl Ports {
    /// A set of ranges: in order, none touching another.
    pub(crate) fn of(mut ranges: Vec<PortRange>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<PortRange> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(last) if last.protocol == range.protocol && u32::from(range.low) <= u32::from(last.high) + 1 => {
                    last.high = last.high.max(range.high);
                }
                _ => merged.push(range),
            }
        }
        Self::Of(merged)
    }

    /// What is in both; `None` for nothing.
    pub(crate) fn and(&self, other: &Self) -> Option<Self> {
        let (ours, theirs) = match (self, other) {
            (Self::All, ports) | (ports, Self::All) => return Some(ports.clone()),
            (Self::Of(ours), Self::Of(theirs)) => (ours, theirs),
        };
        let mut both = Vec::new();
        for a in ours {
            for b in theirs.iter().filter(|b| b.protocol == a.protocol) {
                let (low, high) = (a.low.max(b.low), a.high.min(b.high));
                if low <= high {
                    both.push(PortRange { protocol: a.protocol, low, high });
                }
            }
        }
        (!both.is_empty()).then(|| Self::of(both))
    }
}
