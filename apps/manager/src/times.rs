//! How are times written in answers? As PAN-OS does, in UTC.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `2026/11/22 10:00:00`
pub(crate) fn date_time(time_us: i64) -> String {
    format("%Y/%m/%d %H:%M:%S", time_us)
}

/// `10:00:00`
pub(crate) fn clock(time_us: i64) -> String {
    format("%H:%M:%S", time_us)
}

/// `Sun Nov 22 10:00:00 2026`
pub(crate) fn system(time_us: i64) -> String {
    format("%a %b %e %H:%M:%S %Y", time_us)
}

/// `Sun Nov 22 10:00:00 UTC 2026`
pub(crate) fn unix_date(time_us: i64) -> String {
    format("%a %b %e %H:%M:%S UTC %Y", time_us)
}

/// `2026-11-22T10:00:00.25Z`, for answers in JSON (RFC 3339).
pub(crate) fn rfc3339(time_us: i64) -> String {
    Timestamp::from_microsecond(time_us).map_or_else(|_| String::new(), |time| time.to_string())
}

/// `Nov 22 10:00:00 2026 GMT`, from seconds since the Unix epoch.
pub(crate) fn certificate_date(time_s: i64) -> String {
    format("%b %e %H:%M:%S %Y GMT", time_s.saturating_mul(1_000_000))
}

/// `0 days, 1:02:03`
pub(crate) fn uptime(seconds: u64) -> String {
    format!("{} days, {}:{:02}:{:02}", seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

/// Reads `2026/11/22 10:00:00` or `2026/11/22` as microseconds since the Unix epoch.
pub(crate) fn parse_date_time(text: &str) -> Option<i64> {
    let text = text.trim();
    let at = jiff::civil::DateTime::strptime("%Y/%m/%d %H:%M:%S", text)
        .or_else(|_| jiff::civil::Date::strptime("%Y/%m/%d", text).map(|date| date.at(0, 0, 0, 0)))
        .ok()?;
    Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond())
}

fn format(form: &str, time_us: i64) -> String {
    Timestamp::from_microsecond(time_us).map_or_else(|_| String::new(), |time| time.strftime(form).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_panos_writes_them() {
        let time = parse_date_time("2026/11/22 10:02:03").unwrap();
        assert_eq!(date_time(time), "2026/11/22 10:02:03");
        assert_eq!(clock(time), "10:02:03");
        assert_eq!(unix_date(time), "Sun Nov 22 10:02:03 UTC 2026");
        assert_eq!(system(time), "Sun Nov 22 10:02:03 2026");
        assert_eq!(rfc3339(time + 250_000), "2026-11-22T10:02:03.25Z");
        assert_eq!(uptime(93_784), "1 days, 2:03:04");
        assert_eq!(parse_date_time("22.11.2026"), None);
    }
}
