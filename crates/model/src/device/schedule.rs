//! Schedules: when is a rule on?
//!
//! Times are of the device's clock in its own time zone. A range ends before its last minute, except that
//! `23:59` is the end of the day; one that ends before it begins goes on into the next day.

use jiff::civil::{Date, DateTime, Time, Weekday};

use super::context::{Context, NAME_LENGTH_MAX};
use super::node::Node;
use super::{DeviceConfig, Schedule};
use crate::{choices, codes};

/// When a schedule is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Times {
    /// Every day in these ranges.
    Daily(Vec<Hours>),
    /// On each day of the week, from Monday, in these ranges.
    Weekly(Box<[Vec<Hours>; 7]>),
    /// In these ranges, once.
    Once(Vec<(DateTime, DateTime)>),
}

/// A range of the day: from, until.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// First moment.
    pub from: Time,
    /// First moment after; at or before `from`, it is of the next day. `None` for the end of the day.
    pub until: Option<Time>,
}

const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

impl Hours {
    fn parse(text: &str) -> Option<Self> {
        let (from, until) = text.split_once('-')?;
        let (from, until) = (time(from)?, time(until)?);
        Some(Self { from, until: Some(until).filter(|until| *until != Time::constant(23, 59, 0, 0)) })
    }

    fn overnight(self) -> bool {
        self.until.is_some_and(|until| until <= self.from)
    }

    /// Whether the moment is in the part that lies on the day the range begins.
    fn today(self, now: Time) -> bool {
        now >= self.from && (self.overnight() || self.until.is_none_or(|until| now < until))
    }

    /// Whether the moment is in the part that lies on the day after.
    fn since_yesterday(self, now: Time) -> bool {
        self.overnight() && self.until.is_some_and(|until| now < until)
    }
}

impl Times {
    /// Whether the schedule is on at this moment of the device's local time.
    pub fn is_on(&self, now: DateTime) -> bool {
        let day = |weekday: Weekday| usize::from(weekday.to_monday_zero_offset().unsigned_abs());
        let today = day(now.weekday());
        let (before, here): (&[Hours], &[Hours]) = match self {
            Self::Once(ranges) => return ranges.iter().any(|(from, until)| (*from..*until).contains(&now)),
            Self::Daily(ranges) => (ranges, ranges),
            Self::Weekly(days) => (&days[(today + 6) % 7], &days[today]),
        };
        here.iter().any(|hours| hours.today(now.time())) || before.iter().any(|hours| hours.since_yesterday(now.time()))
    }
}

fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| text.parse::<i8>().ok().filter(|_| text.len() == 2 && !text.contains(['+', '-']));
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

/// `2026/12/24@18:00-2026/12/26@23:59`
fn once(text: &str) -> Option<(DateTime, DateTime)> {
    let moment = |text: &str| {
        let (date, clock) = text.split_once('@')?;
        let mut parts = date.split('/');
        let (year, month, day) =
            (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let date = Date::new(year, month, day).ok().filter(|_| parts.next().is_none())?;
        Some(date.to_datetime(time(clock)?))
    };
    let (from, until) = text.split_once('-')?;
    let (from, mut until) = (moment(from)?, moment(until)?);
    if until.time() == Time::constant(23, 59, 0, 0) {
        until = until.date().tomorrow().ok()?.to_datetime(Time::midnight());
    }
    (from < until).then_some((from, until))
}

/// Reads the schedules of all scopes, the nearest first.
pub(super) fn read(context: &mut Context, config: &mut DeviceConfig, scopes: &[Node<'_>]) {
    for node in scopes.iter().flat_map(|scope| scope.entries_at(&["schedule"])) {
        let Some(name) = context.entry_name(&node, NAME_LENGTH_MAX) else { continue };
        if config.schedules.iter().any(|known| known.name == name) {
            continue;
        }
        let times = times(context, &node).unwrap_or_else(|| {
            context.error(codes::MISSING_MEMBER, &node, format!("schedule `{name}` has no times"));
            context.help("give it `schedule-type/recurring/daily`, `.../weekly` or `schedule-type/non-recurring`");
            Times::Once(Vec::new())
        });
        config.schedules.push(Schedule { name, origin: node.origin(), times });
    }
}

fn times(context: &mut Context, node: &Node<'_>) -> Option<Times> {
    let kind = context.choice(&node.child("schedule-type")?, choices::SCHEDULE)?;
    if kind.tag() == "non-recurring" {
        let form = "a time from and until, e.g. `2026/12/24@18:00-2026/12/26@23:59`";
        return Some(Times::Once(ranges(context, &kind, once, form)));
    }
    let branch = context.choice(&kind, choices::SCHEDULE_RECURRING)?;
    let form = "a range of the day, e.g. `08:00-17:30`";
    if branch.tag() == "daily" {
        return Some(Times::Daily(ranges(context, &branch, Hours::parse, form)));
    }
    let days =
        DAYS.map(|day| branch.child(day).map(|day| ranges(context, &day, Hours::parse, form)).unwrap_or_default());
    Some(Times::Weekly(Box::new(days)))
}

fn ranges<T>(context: &mut Context, list: &Node<'_>, parse: impl Fn(&str) -> Option<T>, form: &str) -> Vec<T> {
    let mut ranges = Vec::new();
    for member in list.members() {
        let text = member.text();
        if context.is_variable(&member, &text) {
            continue;
        }
        match parse(text.trim()) {
            Some(range) => ranges.push(range),
            None => context.error(codes::INVALID_SCHEDULE, &member, format!("`{text}` is not {form}")),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn daily(text: &str) -> Times {
        Times::Daily(vec![Hours::parse(text).unwrap()])
    }

    #[test]
    fn a_day_begins_and_ends_where_it_says() {
        let at = |hour, minute| date(2026, 11, 26).at(hour, minute, 59, 0);
        let office = daily("08:00-17:00");
        assert_eq!(
            [at(7, 59), at(8, 0), at(16, 59), at(17, 0)].map(|now| office.is_on(now)),
            [false, true, true, false]
        );
        let all = daily("00:00-23:59");
        assert_eq!([at(0, 0), at(23, 59)].map(|now| all.is_on(now)), [true, true]);
        let night = daily("22:00-06:00");
        assert_eq!(
            [at(21, 59), at(22, 0), at(5, 59), at(6, 0)].map(|now| night.is_on(now)),
            [false, true, true, false]
        );
    }

    #[test]
    fn a_night_that_began_on_friday_ends_on_saturday() {
        let mut days: [Vec<Hours>; 7] = Default::default();
        days[4] = vec![Hours::parse("22:00-02:00").unwrap()];
        let weekly = Times::Weekly(Box::new(days));
        // 27 November 2026 is a Friday.
        let on = |day, hour| weekly.is_on(date(2026, 11, day).at(hour, 0, 0, 0));
        assert_eq!([on(27, 1), on(27, 22), on(28, 1), on(28, 2), on(28, 22)], [false, true, true, false, false]);
    }

    #[test]
    fn once_is_once() {
        let times = Times::Once(vec![once("2028/02/28@18:00-2028/02/29@23:59").unwrap()]);
        let on = |month, day, hour| times.is_on(date(2028, month, day).at(hour, 30, 0, 0));
        assert_eq!([on(2, 28, 17), on(2, 28, 18), on(2, 29, 23), on(3, 1, 0)], [false, true, true, false]);
        for wrong in ["2026/02/29@00:00-2026/03/01@00:00", "2026/01/02@00:00-2026/01/01@00:00", "2026/01/02", "x"] {
            assert_eq!(once(wrong), None, "{wrong}");
        }
        for wrong in ["8:00-9:00", "24:00-25:00", "08:00", "+8:00-09:00", ""] {
            assert_eq!(Hours::parse(wrong), None, "{wrong}");
        }
    }
}
