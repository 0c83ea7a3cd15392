//! How much of each log is kept, and how long?
//!
//! `deviceconfig/setting/management/quota-settings` of the manager: a share of the space for logs (`disk-quota`), and
//! days (`log-expiration-period`). What is not said there has the usual bounds.

use bartizan_model::codes;
use bartizan_model::diagnostic::{Diagnostic, Origin};
use bartizan_model::tree::Element;

use crate::logs::query::Log;

const HOME: &str =
    "/config/devices/entry[@name='localhost.localdomain']/deviceconfig/setting/management/quota-settings";
const QUOTA: &str = "disk-quota";
const PERIOD: &str = "log-expiration-period";
/// Share of the space that the traffic log has, in percent, when nothing is said.
const TRAFFIC_QUOTA: f64 = 50.0;
/// Days that may be asked for, as on PAN-OS.
const DAYS: std::ops::RangeInclusive<i64> = 1..=2000;
const DAY_US: i64 = 86_400_000_000;

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Records of the traffic log.
    pub(crate) rows_max: u64,
    /// Bytes of the traffic log on the disk.
    pub(crate) bytes_max: u64,
    /// The traffic log's records that came before may go.
    pub(crate) traffic_since_us: i64,
    /// The same of logs of events.
    pub(crate) events_since_us: Vec<(&'static str, i64)>,
}

impl Bounds {
    /// By the running configuration. `rows_max` and `storage` (bytes for all logs) are how the manager is set up.
    pub(crate) fn read(running: &Element, rows_max: u64, storage: u64, now_us: i64) -> Self {
        let quota = number(running, QUOTA, "traffic").filter(|quota| (0.0..=100.0).contains(quota));
        let share = quota.unwrap_or(TRAFFIC_QUOTA) / 100.0;
        let since = |log: &str| {
            let days = number(running, PERIOD, log).map(|days| days as i64).filter(|days| DAYS.contains(days));
            days.map(|days| now_us - days * DAY_US)
        };
        let events = Log::ALL.iter().filter(|(_, log)| log.is_of_events());
        Self {
            rows_max,
            bytes_max: (storage as f64 * share) as u64,
            traffic_since_us: since("traffic").unwrap_or(i64::MIN),
            events_since_us: events.filter_map(|(name, _)| Some((*name, since(name)?))).collect(),
        }
    }
}

/// What about it in a candidate is wrong, or kept without being done.
pub(crate) fn check(candidate: &Element) -> Vec<Diagnostic> {
    let mut wrong = Vec::new();
    for (list, is_right, wanted) in [
        (
            QUOTA,
            &(|text: &str| text.parse().is_ok_and(|quota: f64| (0.0..=100.0).contains(&quota)))
                as &dyn Fn(&str) -> bool,
            "a share in percent such as `25` or `12.5`",
        ),
        (PERIOD, &|text: &str| text.parse().is_ok_and(|days| DAYS.contains(&days)), "a number of days from 1 to 2000"),
    ] {
        let Some(settings) = settings(candidate).and_then(|settings| settings.child(list)) else { continue };
        for setting in settings.elements().filter(|setting| !setting.text().is_empty()) {
            let at = Origin::xpath(format!("{HOME}/{list}/{}", setting.name));
            if !is_right(&setting.text()) {
                let message = format!("`{}` of `{list}/{}` is not {wanted}", setting.text(), setting.name);
                wrong.push(Diagnostic::error(codes::INVALID_NUMBER, at, message));
            } else if !is_done(list, &setting.name) {
                let message =
                    format!("`{list}/{}` is stored but bounds nothing: that log has a fixed bound", setting.name);
                wrong.push(Diagnostic::warning(codes::NOT_ENFORCED, at, message));
            }
        }
    }
    wrong
}

fn is_done(list: &str, log: &str) -> bool {
    log == "traffic" || list == PERIOD && Log::named(log).is_some_and(Log::is_of_events)
}

fn settings(root: &Element) -> Option<&Element> {
    let own = root.child("devices").and_then(|devices| devices.entry_named("localhost.localdomain"))?;
    own.descend(&["deviceconfig", "setting", "management", "quota-settings"])
}

fn number(root: &Element, list: &str, log: &str) -> Option<f64> {
    settings(root)?.descend(&[list, log])?.text().parse().ok()
}

#[cfg(test)]
mod tests {
    use bartizan_model::xml;

    use super::*;

    fn root(settings: &str) -> Element {
        let text = format!(
            "<config><devices><entry name=\"localhost.localdomain\"><deviceconfig><setting><management><quota-settings>\
             {settings}</quota-settings></management></setting></deviceconfig></entry></devices></config>"
        );
        xml::parse(&text).unwrap()
    }

    #[test]
    fn the_settings_of_panos_bound_the_logs() {
        let told = root(
            "<disk-quota><traffic>12.5</traffic></disk-quota><log-expiration-period><traffic>7</traffic>\
             <threat>30</threat></log-expiration-period>",
        );
        let bounds = Bounds::read(&told, 9, 8000, 100 * DAY_US);
        assert_eq!((bounds.rows_max, bounds.bytes_max, bounds.traffic_since_us), (9, 1000, 93 * DAY_US));
        assert_eq!(bounds.events_since_us, [("threat", 70 * DAY_US)]);
        assert!(check(&told).is_empty());
        let usual = Bounds::read(&root(""), 9, 8000, 0);
        assert_eq!((usual.bytes_max, usual.traffic_since_us, usual.events_since_us.len()), (4000, i64::MIN, 0));
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_what_bounds_nothing_a_warning() {
        let told = check(&root(
            "<disk-quota><traffic>much</traffic><threat>5</threat></disk-quota><log-expiration-period>\
             <traffic>3000</traffic><config>5</config></log-expiration-period>",
        ));
        let told: Vec<_> = told.iter().map(|one| (one.code, one.message.as_str())).collect();
        assert_eq!(
            told,
            [
                ("invalid-number", "`much` of `disk-quota/traffic` is not a share in percent such as `25` or `12.5`"),
                ("not-enforced", "`disk-quota/threat` is stored but bounds nothing: that log has a fixed bound"),
                ("invalid-number", "`3000` of `log-expiration-period/traffic` is not a number of days from 1 to 2000"),
                (
                    "not-enforced",
                    "`log-expiration-period/config` is stored but bounds nothing: that log has a fixed bound"
                ),
            ]
        );
    }
}
