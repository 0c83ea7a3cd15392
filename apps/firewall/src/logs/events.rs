//! What has an administrator to know at once: alarms of NAT pools and of zone protection, as log lines.
//!
//! As on PAN-OS, NAT pools speak in the system log, floods and scans in the threat log.

use bartizan_api::fleet::EventLog;
use bartizan_engine::verdict::{Alarm, PoolAlarm, PoolLevel, Threat};
use bartizan_model::device::FloodKind;
use bartizan_policy::tables::Ids;

/// The log of tags that come to addresses and go.
pub const IPTAG: &str = "iptag";

/// The line of the threat log about a flood or a scan, at a time in microseconds since the Unix epoch.
pub fn alarm(alarm: &Alarm, ids: &Ids, time_generated_us: i64) -> EventLog {
    let zone = ids.zones.name(alarm.zone.index()).to_owned();
    let line = EventLog { time_generated_us, log: "threat".to_owned(), ..EventLog::default() };
    match alarm.threat {
        Threat::Flood { kind, rate } => EventLog {
            subtype: "flood".to_owned(),
            severity: "critical".to_owned(),
            event: flood(kind).to_owned(),
            object: kind.as_str().to_owned(),
            description: format!("flood of `{}` by zone `{zone}`: {rate} new flows a second", kind.as_str()),
            from_zone: zone,
            action: "alert".to_owned(),
            ..line
        },
        Threat::Scan { kind, source, destination, targets, action } => EventLog {
            subtype: "scan".to_owned(),
            severity: "medium".to_owned(),
            event: kind.as_str().to_owned(),
            description: format!(
                "{} by zone `{zone}` from {source}, last at {destination}: {targets} targets, action {}",
                kind.as_str(),
                action.as_str()
            ),
            source: source.to_string(),
            destination: destination.to_string(),
            from_zone: zone,
            action: action.as_str().to_owned(),
            ..line
        },
    }
}

/// The line of the system log about a NAT pool that runs dry, or has ports again.
pub fn pool(alarm: &PoolAlarm, time_generated_us: i64) -> EventLog {
    let PoolAlarm { address, protocol, level, used, capacity } = *alarm;
    let (severity, event, what) = match level {
        PoolLevel::High => ("medium", "nat-pool-high", format!("{used} of {capacity} ports are in use")),
        PoolLevel::Exhausted => (
            "high",
            "nat-pool-exhausted",
            format!("no port is left for a new session ({used} of {capacity} in use); add addresses to the pool"),
        ),
        PoolLevel::Normal => {
            ("informational", "nat-pool-normal", format!("ports enough again ({used} of {capacity} in use)"))
        }
    };
    EventLog {
        time_generated_us,
        log: "system".to_owned(),
        subtype: "nat".to_owned(),
        severity: severity.to_owned(),
        event: event.to_owned(),
        object: address.to_string(),
        description: format!("NAT pool address {address}, protocol {protocol}: {what}"),
        ..EventLog::default()
    }
}

/// Whether it only says that something is well again.
pub fn is_good_news(line: &EventLog) -> bool {
    line.severity == "informational"
}

/// The name of a flood in the threat log of PAN-OS.
fn flood(kind: FloodKind) -> &'static str {
    match kind {
        FloodKind::TcpSyn => "TCP Flood",
        FloodKind::Udp => "UDP Flood",
        FloodKind::Icmp => "ICMP Flood",
        FloodKind::Icmpv6 => "ICMPv6 Flood",
        FloodKind::OtherIp => "Other IP Flood",
    }
}

#[cfg(test)]
mod tests {
    use bartizan_engine::verdict::Time;
    use bartizan_model::device::{ScanAction, ScanKind};
    use bartizan_policy::tables::ZoneId;

    use super::*;

    #[test]
    fn a_flood_and_a_scan_name_zone_and_source() {
        let mut ids = Ids::default();
        ids.zones.intern("untrust");
        let flood = Threat::Flood { kind: FloodKind::Udp, rate: 70 };
        let line = alarm(&Alarm { time: Time(0), zone: ZoneId(0), threat: flood }, &ids, 5);
        assert_eq!(
            (&*line.log, &*line.subtype, &*line.event, &*line.from_zone),
            ("threat", "flood", "UDP Flood", "untrust")
        );
        assert_eq!(line.description, "flood of `udp` by zone `untrust`: 70 new flows a second");
        let scan = Threat::Scan {
            kind: ScanKind::TcpPorts,
            source: "198.51.100.9".parse().unwrap(),
            destination: "203.0.113.10".parse().unwrap(),
            targets: 100,
            action: ScanAction::Alert,
        };
        let line = alarm(&Alarm { time: Time(0), zone: ZoneId(0), threat: scan }, &ids, 5);
        assert_eq!((&*line.source, &*line.action, line.time_generated_us), ("198.51.100.9", "alert", 5));
        assert_eq!(
            line.description,
            "SCAN: TCP Port Scan by zone `untrust` from 198.51.100.9, last at 203.0.113.10: 100 targets, action alert"
        );
    }

    #[test]
    fn a_pool_that_runs_dry_is_worse_than_one_that_fills_and_one_that_recovers_is_good_news() {
        let of = |level| {
            let address = "203.0.113.1".parse().unwrap();
            pool(&PoolAlarm { address, protocol: 17, level, used: 9, capacity: 10 }, 0)
        };
        let severities = [PoolLevel::High, PoolLevel::Exhausted, PoolLevel::Normal].map(|level| of(level).severity);
        assert_eq!(severities, ["medium", "high", "informational"]);
        assert!(is_good_news(&of(PoolLevel::Normal)) && !is_good_news(&of(PoolLevel::High)));
        assert_eq!(
            of(PoolLevel::Exhausted).description,
            "NAT pool address 203.0.113.1, protocol 17: no port is left for a new session (9 of 10 in use); add addresses \
             to the pool"
        );
    }
}
