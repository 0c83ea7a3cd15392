//! Which schedules are on?
//!
//! Looked at every second. When a rule's schedule ends, the tables without it are in force within that time,
//! and sessions it allowed are asked about again with their next packet.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bartizan_model::device::DeviceConfig;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::warn;

use super::{current, learn};
use crate::firewall::Firewall;

/// How often the clock is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Follows configuration and clock.
pub(super) async fn run(firewall: Arc<Firewall>) {
    let mut followed = firewall.follow();
    let mut told = BTreeSet::new();
    let mut warned = None;
    let mut tick = tokio::time::interval(INTERVAL);
    loop {
        tick.tick().await;
        let Some(running) = current(&mut followed) else { continue };
        let zone = match zone(&running.config) {
            Ok(zone) => zone,
            Err(error) => {
                if warned != running.config.timezone {
                    warn!("time zone: {error}; schedules go by UTC");
                    warned.clone_from(&running.config.timezone);
                }
                TimeZone::UTC
            }
        };
        let on = on(&running.config, &zone, Timestamp::now());
        if on != told {
            told.clone_from(&on);
            learn(&firewall, "schedules", |facts| facts.schedules_on = on).await;
        }
    }
}

/// The device's time zone; UTC when it names none.
///
/// # Errors
/// When no such zone is known here.
pub(super) fn zone(config: &DeviceConfig) -> Result<TimeZone, jiff::Error> {
    config.timezone.as_deref().map_or(Ok(TimeZone::UTC), TimeZone::get)
}

fn on(config: &DeviceConfig, zone: &TimeZone, now: Timestamp) -> BTreeSet<String> {
    let local = zone.to_datetime(now);
    let on = config.schedules.iter().filter(|schedule| schedule.times.is_on(local));
    on.map(|schedule| schedule.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use bartizan_model::device::{Scope, read};
    use bartizan_model::xml::parse;

    use super::*;

    #[test]
    fn the_clock_is_the_devices_own() {
        let text = "<config><devices><entry name='fw'><deviceconfig><system><timezone>Europe/Berlin</timezone></system>\
            </deviceconfig></entry></devices><shared><schedule><entry name='office'><schedule-type><recurring><daily>\
            <member>08:00-17:00</member></daily></recurring></schedule-type></entry></schedule></shared></config>";
        let config = read(&parse(text).unwrap(), Scope::Device).config.unwrap();
        let berlin = zone(&config).unwrap();
        let is_on = |text: &str| on(&config, &berlin, text.parse().unwrap()).contains("office");
        // One hour ahead of UTC in winter, two in summer.
        assert_eq!([is_on("2026-11-26T06:59:59Z"), is_on("2026-11-26T07:00:00Z")], [false, true]);
        assert_eq!([is_on("2026-07-26T05:59:59Z"), is_on("2026-07-26T06:00:00Z")], [false, true]);
        assert!(zone(&DeviceConfig { timezone: Some("Nowhere/Here".into()), ..DeviceConfig::default() }).is_err());
    }
}
