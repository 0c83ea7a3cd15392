//! Zone protection as it is told: per zone, what is on and what it did; and who is blocked.

use std::fmt::Write;

use bartizan_model::tree::Element;
use serde::Serialize;

use super::table::table;
use super::xml::{leaves, node};

/// `show zone-protection`
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ZoneProtection {
    /// The zone.
    pub zone: String,
    /// Its profile; empty when it has none.
    pub profile: String,
    /// Limits of new flows.
    pub floods: Vec<FloodRow>,
    /// Scans.
    pub scans: Vec<ScanRow>,
    /// What headers must not say.
    pub checks: Vec<CheckRow>,
    /// Packets dropped because their source is blocked.
    pub blocked: u64,
}

/// New flows of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct FloodRow {
    /// `tcp-syn`, `udp`, ...
    pub kind: &'static str,
    /// Whether it is limited.
    pub enabled: bool,
    /// `red` or `syn-cookies`.
    pub action: &'static str,
    /// New flows a second above which there is an alarm.
    pub alarm_rate: u32,
    /// Above which something is done.
    pub activate_rate: u32,
    /// Above which all are dropped.
    pub maximal_rate: u32,
    /// New flows in the last second.
    pub current: u32,
    /// Packets dropped since the start.
    pub dropped: u64,
}

/// Scans of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ScanRow {
    /// Threat id of PAN-OS.
    pub id: u32,
    /// What it is called.
    pub name: &'static str,
    /// Whether it is looked for.
    pub enabled: bool,
    /// What follows.
    pub action: &'static str,
    /// Seconds that are looked at together.
    pub interval_s: u32,
    /// Targets that make a scan.
    pub threshold: u32,
    /// Scans found since the start.
    pub found: u64,
}

/// One check of headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CheckRow {
    /// The setting's name.
    pub name: &'static str,
    /// Whether it stands below `ipv6`.
    pub ipv6: bool,
    /// Whether it is on.
    pub enabled: bool,
    /// Packets dropped since the start.
    pub dropped: u64,
}

/// A line of `show dos-block-table`
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Block {
    /// Zone its packets come in by.
    pub zone: String,
    /// Who is blocked.
    pub source: String,
    /// Only towards this host; empty for all.
    pub destination: String,
    /// The scan it is for.
    pub scan: &'static str,
    /// Seconds that are left.
    pub remaining_s: u64,
}

const RULE: &str = "------------------------------------------------------------------------------------------";

pub(super) fn zones_text(zones: &[ZoneProtection]) -> String {
    if zones.is_empty() {
        return "no zone has a protection profile\n".to_owned();
    }
    zones.iter().map(zone_text).collect()
}

fn zone_text(zone: &ZoneProtection) -> String {
    let profile = if zone.profile.is_empty() { "(none)" } else { &zone.profile };
    let mut text = format!("{RULE}\nZone {}, vsys vsys1, profile {profile}\n{RULE}\n", zone.zone);
    for flood in &zone.floods {
        let action = if flood.enabled { format!(" ({})", flood.action) } else { String::new() };
        let _ = writeln!(text, "{:44}enabled: {}{action}", flood.kind, yes_no(flood.enabled));
        if flood.enabled {
            let FloodRow { alarm_rate, activate_rate, maximal_rate, current, dropped, .. } = flood;
            let _ = writeln!(
                text,
                "  alarm rate: {alarm_rate} cps, activate rate: {activate_rate} cps, maximal rate: {maximal_rate} cps\n  \
                 current: {current} cps, packet dropped: {dropped}"
            );
        }
    }
    for scan in &zone.scans {
        let _ = write!(text, "{:44}enabled: {}", scan.name, yes_no(scan.enabled));
        if scan.enabled {
            let ScanRow { action, interval_s, threshold, found, .. } = scan;
            let _ = write!(text, ", {action} from {threshold} in {interval_s} s, found: {found}");
        }
        text.push('\n');
    }
    let _ = writeln!(text, "{:44}packet dropped: {}", "blocked sources", zone.blocked);
    for (title, ipv6) in [("IPv(4/6) and IPv4 packet filter:", false), ("IPv6 packet filter:", true)] {
        let _ = writeln!(text, "{title}");
        for check in zone.checks.iter().filter(|check| check.ipv6 == ipv6) {
            let name = format!("{}:", check.name);
            let _ = writeln!(text, "  {name:42}enabled: {}, packet dropped: {}", yes_no(check.enabled), check.dropped);
        }
    }
    text
}

pub(super) fn blocks_text(blocks: &[Block]) -> String {
    if blocks.is_empty() {
        return "nobody is blocked\n".to_owned();
    }
    let rows = blocks.iter().map(|one| {
        let destination = if one.destination.is_empty() { "any" } else { &one.destination };
        let remaining = format!("{} s", one.remaining_s);
        vec![one.zone.clone(), one.source.clone(), destination.to_owned(), one.scan.to_owned(), remaining]
    });
    table(&["ZONE", "SOURCE", "DESTINATION", "REASON", "REMAINING"], rows.collect())
}

pub(super) fn zones_xml(zones: &[ZoneProtection]) -> Vec<Element> {
    zones.iter().map(zone_xml).collect()
}

fn zone_xml(zone: &ZoneProtection) -> Element {
    let floods = zone.floods.iter().map(|one| {
        node(
            "entry",
            leaves(&[
                ("name", one.kind.to_owned()),
                ("enabled", yes_no(one.enabled).to_owned()),
                ("action", one.action.to_owned()),
                ("alarm-rate", one.alarm_rate.to_string()),
                ("activate-rate", one.activate_rate.to_string()),
                ("maximal-rate", one.maximal_rate.to_string()),
                ("current", one.current.to_string()),
                ("dropped", one.dropped.to_string()),
            ]),
        )
    });
    let scans = zone.scans.iter().map(|one| {
        node(
            "entry",
            leaves(&[
                ("name", one.id.to_string()),
                ("enabled", yes_no(one.enabled).to_owned()),
                ("action", one.action.to_owned()),
                ("interval", one.interval_s.to_string()),
                ("threshold", one.threshold.to_string()),
                ("found", one.found.to_string()),
            ]),
        )
    });
    let checks = zone.checks.iter().map(|one| {
        let enabled = yes_no(one.enabled).to_owned();
        let fields = [("name", one.name.to_owned()), ("enabled", enabled), ("dropped", one.dropped.to_string())];
        node("entry", leaves(&fields))
    });
    let mut all =
        leaves(&[("zone", zone.zone.clone()), ("vsys", "vsys1".to_owned()), ("profile", zone.profile.clone())]);
    all.push(node("flood", floods.collect()));
    all.push(node("scan", scans.collect()));
    all.push(node("packet", checks.collect()));
    all.extend(leaves(&[("blocked", zone.blocked.to_string())]));
    node("entry", all)
}

pub(super) fn blocks_xml(blocks: &[Block]) -> Vec<Element> {
    let entry = |one: &Block| {
        node(
            "entry",
            leaves(&[
                ("zone", one.zone.clone()),
                ("src", one.source.clone()),
                ("dst", one.destination.clone()),
                ("reason", one.scan.to_owned()),
                ("remaining", one.remaining_s.to_string()),
            ]),
        )
    };
    blocks.iter().map(entry).collect()
}

fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use super::super::{Answer, Form};
    use super::*;

    fn zone() -> ZoneProtection {
        let flood = FloodRow {
            kind: "tcp-syn",
            enabled: true,
            action: "red",
            alarm_rate: 10,
            activate_rate: 20,
            maximal_rate: 30,
            current: 7,
            dropped: 5,
        };
        let scan = ScanRow {
            id: 8001,
            name: "SCAN: TCP Port Scan",
            enabled: true,
            action: "block",
            interval_s: 2,
            threshold: 100,
            found: 1,
        };
        ZoneProtection {
            zone: "untrust".into(),
            profile: "edge".into(),
            floods: vec![flood, FloodRow { kind: "udp", ..FloodRow::default() }],
            scans: vec![scan],
            checks: vec![CheckRow { name: "discard-ip-spoof", ipv6: false, enabled: true, dropped: 3 }],
            blocked: 9,
        }
    }

    #[test]
    fn a_zone_says_what_is_on_and_what_it_did() {
        let answer = Answer::ZoneProtection(vec![zone()]);
        let text = answer.render(Form::Text);
        for line in [
            "Zone untrust, vsys vsys1, profile edge",
            "  alarm rate: 10 cps, activate rate: 20 cps, maximal rate: 30 cps",
            "  current: 7 cps, packet dropped: 5",
            "SCAN: TCP Port Scan                         enabled: yes, block from 100 in 2 s, found: 1",
            "  discard-ip-spoof:                         enabled: yes, packet dropped: 3",
        ] {
            assert!(text.lines().any(|one| one == line), "`{line}` is not in\n{text}");
        }
        let xml = answer.render(Form::Xml);
        assert!(xml.contains("<entry><name>discard-ip-spoof</name><enabled>yes</enabled><dropped>3</dropped></entry>"));
        assert_eq!(Answer::ZoneProtection(vec![]).render(Form::Text), "no zone has a protection profile\n");
    }

    #[test]
    fn a_blocked_source_has_its_time_left() {
        let block = Block {
            zone: "untrust".into(),
            source: "198.51.100.9".into(),
            destination: String::new(),
            scan: "SCAN: Host Sweep",
            remaining_s: 17,
        };
        let text = Answer::Blocks(vec![block]).render(Form::Text);
        assert_eq!(text.lines().nth(1), Some("untrust  198.51.100.9  any          SCAN: Host Sweep  17 s"));
        assert_eq!(Answer::Blocks(vec![]).render(Form::Text), "nobody is blocked\n");
    }
}
