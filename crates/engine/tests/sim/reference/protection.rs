//! What does a zone's protection profile refuse? Counted from lists of everything that ever came.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bartizan_model::device::{Check, DeviceConfig, ScanAction, ScanKind, ZoneProtection};

use super::super::frames::{ACK, Body, Packet, SYN};
use super::{SECOND, Time};

/// A zone's name, whose targets are counted, and which of its hosts if it is about ports.
type Scanner = (String, ScanKind, IpAddr, Option<IpAddr>);

/// What becomes of a new flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Pass,
    /// When it brings back a cookie.
    Cookie,
    Drop,
}

/// All that is remembered for the profiles.
#[derive(Clone, Debug, Default)]
pub(crate) struct Protection {
    /// When new flows came, by zone and kind of flood.
    arrivals: BTreeMap<(String, usize), Vec<Time>>,
    /// Since when targets are counted, and which.
    targets: BTreeMap<Scanner, (Time, BTreeSet<(IpAddr, u16)>)>,
    /// By zone, source and destination, and until when.
    blocks: Vec<(String, IpAddr, Option<IpAddr>, Time)>,
    /// The engine dropped the packet at hand for a flood: that counts where the dice decide.
    pub(crate) flooded: bool,
    /// How likely it was that they drop it.
    pub(crate) chance: Option<f64>,
}

/// The profile of a zone.
pub(crate) fn profile<'a>(config: &'a DeviceConfig, zone: &str) -> Option<&'a ZoneProtection> {
    let name = config.zones.iter().find(|known| known.name == zone)?.protection.as_ref()?;
    config.zone_protections.iter().find(|known| known.name == *name)
}

/// Whether what a packet says of itself is refused.
pub(crate) fn refuses(profile: &ZoneProtection, packet: &Packet, fragments: bool) -> bool {
    let icmp = matches!(packet.body, Body::Echo { .. } | Body::Error { .. });
    let syn = |kind: u8| {
        matches!(packet.body, Body::Tcp { flags, .. } if flags & (SYN | ACK) == kind) && !packet.payload.is_empty()
    };
    let ip_bytes = packet.bytes().len() - if packet.source.is_ipv4() { 20 } else { 40 };
    [
        (Check::Fragment, fragments),
        (Check::SynWithData, syn(SYN)),
        (Check::SynAckWithData, syn(SYN | ACK)),
        (Check::IcmpFragment, fragments && icmp),
        (Check::IcmpLarge, icmp && ip_bytes > 1024),
        (Check::IcmpError, matches!(packet.body, Body::Error { .. })),
        (Check::PingZeroId, matches!(packet.body, Body::Echo { identifier: 0, .. })),
    ]
    .iter()
    .any(|(check, has)| *has && profile.checks.contains(*check))
}

impl Protection {
    pub(crate) fn blocks(&self, zone: &str, packet: &Packet, now: Time) -> bool {
        self.blocks.iter().any(|(name, source, destination, until)| {
            name == zone
                && *source == packet.source
                && destination.is_none_or(|host| host == packet.destination)
                && *until > now
        })
    }

    /// Whether a new flow may come in; where cookies are given, and the client has proven where it is or not.
    pub(crate) fn admits(
        &mut self,
        zone: &str,
        profile: &ZoneProtection,
        packet: &Packet,
        now: Time,
        (gives, proven): (bool, bool),
    ) -> Admission {
        let opening = matches!(packet.body, Body::Tcp { flags, .. } if flags & (SYN | ACK) == SYN);
        let flood = if proven { Admission::Pass } else { self.flood(zone, profile, packet, now) };
        match flood {
            Admission::Cookie if gives && opening => Admission::Cookie,
            Admission::Pass | Admission::Cookie if self.is_no_scan(zone, profile, packet, now) => Admission::Pass,
            _ => Admission::Drop,
        }
    }

    fn flood(&mut self, zone: &str, profile: &ZoneProtection, packet: &Packet, now: Time) -> Admission {
        let kind = match (&packet.body, packet.source) {
            (Body::Tcp { .. }, _) => 0,
            (Body::Udp { .. }, _) => 1,
            (Body::Echo { .. } | Body::Error { .. }, IpAddr::V4(_)) => 2,
            (Body::Echo { .. } | Body::Error { .. }, IpAddr::V6(_)) => 3,
            (Body::Other(_), _) => 4,
        };
        let Some(flood) = profile.floods[kind] else { return Admission::Pass };
        let arrivals = self.arrivals.entry((zone.to_owned(), kind)).or_default();
        arrivals.push(now);
        let second = now / SECOND;
        let of = |wanted: u64| arrivals.iter().filter(|time| **time / SECOND == wanted).count() as u64;
        // The part of the second before that is not a second ago.
        let rate = of(second) + of(second - 1) * (SECOND - now % SECOND) / SECOND;
        let (activate, maximal) = (u64::from(flood.activate), u64::from(flood.maximal));
        if rate > maximal {
            Admission::Drop
        } else if activate > 0 && rate <= activate {
            Admission::Pass
        } else if flood.syn_cookies {
            Admission::Cookie
        } else {
            // From none at the first rate to all at the second.
            self.chance = Some((rate - activate) as f64 / maximal.saturating_sub(activate).max(1) as f64);
            if self.flooded { Admission::Drop } else { Admission::Pass }
        }
    }

    fn is_no_scan(&mut self, zone: &str, profile: &ZoneProtection, packet: &Packet, now: Time) -> bool {
        let tuple = packet.tuple();
        let ports = match packet.body {
            Body::Tcp { .. } => Some(ScanKind::TcpPorts),
            Body::Udp { .. } => Some(ScanKind::UdpPorts),
            _ => None,
        };
        let mut admitted = true;
        for (kind, destination, port) in
            [(ports, Some(packet.destination), tuple.destination_port), (Some(ScanKind::Hosts), None, 0)]
        {
            let Some(kind) = kind else { continue };
            let Some(scan) = profile.scans[kind as usize] else { continue };
            let interval = u64::from(scan.interval_s) * SECOND;
            let scanner = (zone.to_owned(), kind, packet.source, destination);
            let (start, targets) = self.targets.entry(scanner).or_insert((now, BTreeSet::new()));
            if now - *start >= interval {
                (*start, *targets) = (now, BTreeSet::new());
            }
            targets.insert((packet.destination, port));
            if (targets.len() as u32) < scan.threshold {
                continue;
            }
            let (destination, until) = match scan.action {
                ScanAction::Allow | ScanAction::Alert => continue,
                ScanAction::Block => (destination, *start + interval),
                ScanAction::BlockIp { by_destination, duration_s } => {
                    (by_destination.then_some(packet.destination), now + u64::from(duration_s) * SECOND)
                }
            };
            self.blocks.push((zone.to_owned(), packet.source, destination, until));
            admitted = false;
        }
        admitted
    }
}
