//! When is what pushed by itself? The scheduled pushes of a configuration, read, checked, and their next times.
//!
//! They stand in `scheduled-config-push` of the manager's own entry. PAN-OS has the page but documents no XML
//! for it, so the elements are this project's. Dates and zones are jiff's.

pub(crate) mod run;

use std::collections::BTreeSet;

use bartizan_model::codes::INVALID_SCHEDULE;
use bartizan_model::diagnostic::{Diagnostic, Origin, closest};
use bartizan_model::tree::Element;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::jobs::PushScope;
use crate::jobs::push::PushRequest;
use crate::topology::Topology;

const ENTRY: &str = "/config/devices/entry[@name='localhost.localdomain']";
/// Days that are looked ahead: each kind of schedule recurs within two months.
const DAYS_AHEAD_MAX: usize = 70;
const WEEKDAYS: &[(&str, Weekday)] = &[
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

/// A push that happens by itself.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    /// Name.
    pub(crate) name: String,
    /// It is written down, and nothing happens.
    pub(crate) disabled: bool,
    what: What,
    when: When,
    zone: TimeZone,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Groups { names: Vec<String>, templates: bool },
    Stacks(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum When {
    Once(DateTime),
    Recurring(Days, Time),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Days {
    Every,
    OfWeek(Vec<Weekday>),
    OfMonth(i8),
}

impl Days {
    /// A day that a month does not have is its last one.
    fn has(&self, date: Date) -> bool {
        match self {
            Self::Every => true,
            Self::OfWeek(days) => days.contains(&date.weekday()),
            Self::OfMonth(day) => date.day() == (*day).min(date.days_in_month()),
        }
    }
}

impl Schedule {
    /// The first time after this one.
    pub(crate) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        // A time that a clock change leaves out is as much later, one that it repeats is the first.
        let moment = |at: DateTime| self.zone.to_ambiguous_zoned(at).compatible().ok().map(|zoned| zoned.timestamp());
        match &self.when {
            When::Once(at) => moment(*at).filter(|at| *at > after),
            When::Recurring(days, at) => {
                let first = after.to_zoned(self.zone.clone()).date().yesterday().ok()?;
                let dates = first.series(1.day()).take(DAYS_AHEAD_MAX).filter(|date| days.has(*date));
                dates.filter_map(|date| moment(date.to_datetime(*at))).find(|at| *at > after)
            }
        }
    }

    /// Every time after the first and not after the second.
    pub(crate) fn due(&self, after: Timestamp, until: Timestamp) -> Vec<Timestamp> {
        let mut times = Vec::new();
        let mut last = after;
        while let Some(next) = self.next(last).filter(|next| *next <= until) {
            times.push(next);
            last = next;
        }
        times
    }

    /// What is pushed now.
    pub(crate) fn request(&self, topology: &Topology) -> (PushScope, PushRequest) {
        let (push_type, names, devices, policy, templates): (_, _, BTreeSet<String>, _, _) = match &self.what {
            What::Groups { names, templates } => {
                let groups = topology.groups.iter().filter(|group| names.contains(&group.name));
                let devices = groups.flat_map(|group| &group.devices).cloned().collect();
                ("shared-policy", names, devices, true, *templates)
            }
            What::Stacks(names) => {
                let stacks = topology.stacks.iter().filter(|stack| names.contains(&stack.name));
                ("template-stack", names, stacks.flat_map(|stack| &stack.devices).cloned().collect(), false, true)
            }
        };
        let scope = PushScope { push_type: push_type.to_owned(), name: names.join(", ") };
        (scope, PushRequest { devices, policy, templates, ..PushRequest::default() })
    }
}

/// The scheduled pushes of a configuration that can be understood.
pub(crate) fn all(root: &Element) -> Vec<Schedule> {
    read(root).0
}

/// What is wrong with the scheduled pushes of a configuration.
pub(crate) fn check(root: &Element) -> Vec<Diagnostic> {
    read(root).1
}

fn read(root: &Element) -> (Vec<Schedule>, Vec<Diagnostic>) {
    let own = root.child("devices").and_then(|devices| devices.entries().next()).map(|(_, own)| own);
    let Some(list) = own.and_then(|own| own.child("scheduled-config-push")) else {
        return (Vec::new(), Vec::new());
    };
    let default = own.and_then(|own| own.descend(&["deviceconfig", "system", "timezone"])).map(|zone| zone.text());
    let topology = Topology::read(root);
    let (mut schedules, mut diagnostics) = (Vec::new(), Vec::new());
    for (name, entry) in list.entries() {
        let mut reader = Reader { topology: &topology, mistakes: Vec::new() };
        let schedule = reader.schedule(name, entry, default.as_deref());
        let at = |(step, message): (&str, String)| {
            let origin = Origin::xpath(format!("{ENTRY}/scheduled-config-push/entry[@name='{name}']{step}"));
            Diagnostic::error(INVALID_SCHEDULE, origin, message)
        };
        let sound = reader.mistakes.is_empty();
        diagnostics.extend(reader.mistakes.into_iter().map(at));
        schedules.extend(schedule.filter(|_| sound));
    }
    (schedules, diagnostics)
}

struct Reader<'t> {
    topology: &'t Topology,
    /// Where below the entry, and what.
    mistakes: Vec<(&'static str, String)>,
}

impl Reader<'_> {
    fn schedule(&mut self, name: &str, entry: &Element, default_zone: Option<&str>) -> Option<Schedule> {
        let zone = entry.child("timezone").map(|zone| zone.text());
        let zone = self.zone(zone.as_deref().or(default_zone));
        let what = self.what(entry);
        let when = self.when(entry);
        if entry.child("admin").is_some_and(|admin| admin.members().next().is_some()) {
            self.mistake("/admin", "a scheduled push is of everything that is committed, not of some administrators");
        }
        let disabled = entry.child("disabled").is_some_and(|disabled| disabled.text() == "yes");
        Some(Schedule { name: name.to_owned(), disabled, what: what?, when: when?, zone: zone? })
    }

    fn mistake(&mut self, step: &'static str, message: impl Into<String>) {
        self.mistakes.push((step, message.into()));
    }

    fn zone(&mut self, name: Option<&str>) -> Option<TimeZone> {
        let Some(name) = name else { return Some(TimeZone::UTC) };
        let zone = TimeZone::get(name).ok();
        if zone.is_none() {
            self.mistake("/timezone", format!("`{name}` is no time zone; names are like `Europe/Berlin`"));
        }
        zone
    }

    fn what(&mut self, entry: &Element) -> Option<What> {
        let names = |tag: &str| -> Vec<String> {
            let list = entry.child(tag);
            let entries = list.into_iter().flat_map(|list| list.entries()).map(|(name, _)| name.to_owned());
            let members = list.into_iter().flat_map(|list| list.members());
            entries.chain(members).filter(|name| !name.is_empty()).collect()
        };
        let (groups, stacks) = (names("device-group"), names("template-stack"));
        let known: Vec<&str> = self.topology.groups.iter().map(|group| group.name.as_str()).collect();
        self.references("/device-group", "device group", &groups, &known);
        let known: Vec<&str> = self.topology.stacks.iter().map(|stack| stack.name.as_str()).collect();
        self.references("/template-stack", "template stack", &stacks, &known);
        match (groups.is_empty(), stacks.is_empty()) {
            (false, true) => {
                let templates = entry.child("include-template").is_none_or(|include| include.text() != "no");
                Some(What::Groups { names: groups, templates })
            }
            (true, false) => Some(What::Stacks(stacks)),
            (true, true) => {
                self.mistake("", "nothing is pushed: name a `device-group` or a `template-stack`");
                None
            }
            (false, false) => {
                self.mistake("", "device groups and template stacks need a schedule each");
                None
            }
        }
    }

    fn references(&mut self, step: &'static str, kind: &str, names: &[String], known: &[&str]) {
        for name in names.iter().filter(|name| !known.contains(&name.as_str())) {
            let near = closest(name, known.iter().copied());
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            self.mistake(step, format!("{kind} `{name}` does not exist{near}"));
        }
    }

    fn when(&mut self, entry: &Element) -> Option<When> {
        let text = |parent: &Element, tag: &str| parent.child(tag).map(|leaf| leaf.text()).unwrap_or_default();
        if let Some(once) = entry.descend(&["type", "one-time"]) {
            let day = text(once, "date");
            let date = Date::strptime("%Y/%m/%d", &day).ok();
            if date.is_none() {
                self.mistake("/type/one-time/date", format!("`{day}` is no date like `2026/12/24`"));
            }
            let time = self.time("/type/one-time/time", &text(once, "time"));
            return Some(When::Once(date?.to_datetime(time?)));
        }
        let Some(recurring) = entry.descend(&["type", "recurring"]) else {
            self.mistake("/type", "it never happens: set `one-time` or `recurring`");
            return None;
        };
        let kinds = ["daily", "weekly", "monthly"];
        let Some((kind, inside)) = kinds.iter().find_map(|kind| Some((*kind, recurring.child(kind)?))) else {
            self.mistake("/type/recurring", "set one of `daily`, `weekly` and `monthly`");
            return None;
        };
        let days = match kind {
            "weekly" => self.weekdays(inside.child("day-of-week").map(|days| &**days)),
            "monthly" => self.day_of_month(&text(inside, "day-of-month")),
            _ => Some(Days::Every),
        };
        let at = self.time("/type/recurring", &text(inside, "at"));
        Some(When::Recurring(days?, at?))
    }

    fn time(&mut self, step: &'static str, text: &str) -> Option<Time> {
        let time = Time::strptime("%H:%M:%S", text).or_else(|_| Time::strptime("%H:%M", text)).ok();
        if time.is_none() {
            self.mistake(step, format!("`{text}` is no time of the day like `22:30` or `22:30:00`"));
        }
        time
    }

    fn weekdays(&mut self, list: Option<&Element>) -> Option<Days> {
        const STEP: &str = "/type/recurring/weekly/day-of-week";
        let one = list.map(Element::text).filter(|day| !day.is_empty());
        let names: Vec<String> = list.into_iter().flat_map(Element::members).chain(one).collect();
        let mut days = Vec::new();
        for name in &names {
            match WEEKDAYS.iter().find(|(known, _)| known == name) {
                Some((_, day)) => days.push(*day),
                None => self.mistake(STEP, format!("`{name}` is no day like `monday`")),
            }
        }
        if names.is_empty() {
            self.mistake(STEP, "no day is named");
        }
        (!days.is_empty()).then_some(Days::OfWeek(days))
    }

    fn day_of_month(&mut self, text: &str) -> Option<Days> {
        let day = text.parse().ok().filter(|day| (1..=31).contains(day));
        if day.is_none() {
            self.mistake("/type/recurring/monthly/day-of-month", format!("`{text}` is not a number from 1 to 31"));
        }
        day.map(Days::OfMonth)
    }
}

#[cfg(test)]
mod tests {
    use bartizan_model::xml;

    use super::*;

    fn root(entries: &str) -> std::sync::Arc<Element> {
        let text = format!(
            "<config><devices><entry name='localhost.localdomain'><device-group><entry name='branch'/></device-group>\
             <template-stack><entry name='edge'/></template-stack><scheduled-config-push>{entries}</scheduled-config-push>\
             </entry></devices></config>"
        );
        xml::parse(&text).unwrap().into()
    }

    fn schedule(zone: &str, kind: &str) -> Schedule {
        let entry = format!(
            "<entry name='s'><timezone>{zone}</timezone><type>{kind}</type><device-group><entry name='branch'/>\
             </device-group></entry>"
        );
        let root = root(&entry);
        assert_eq!(check(&root), []);
        all(&root).remove(0)
    }

    /// The times of two years from the start of 2026, in UTC.
    fn times(schedule: &Schedule) -> Vec<String> {
        let (from, until) = ("2026-01-01T00:00:00Z".parse().unwrap(), "2028-01-01T00:00:00Z".parse().unwrap());
        schedule.due(from, until).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn once_is_once_in_the_time_of_its_zone() {
        let once = schedule("Asia/Kolkata", "<one-time><date>2026/12/24</date><time>18:00:00</time></one-time>");
        assert_eq!(times(&once), ["2026-12-24T12:30:00Z"]);
        assert_eq!(once.next("2026-12-24T12:30:00Z".parse().unwrap()), None);
    }

    #[test]
    fn every_day_has_one_time_also_when_the_clock_leaves_it_out_or_repeats_it() {
        let daily = times(&schedule("Europe/Berlin", "<recurring><daily><at>02:30</at></daily></recurring>"));
        assert_eq!(daily.len(), 730);
        for (day, expected) in
            [("2026-03-28", "01:30"), ("2026-03-29", "01:30"), ("2026-03-30", "00:30"), ("2026-10-25", "00:30")]
        {
            assert!(daily.contains(&format!("{day}T{expected}:00Z")), "{day}");
        }
    }

    #[test]
    fn weeks_and_months_have_their_days() {
        let weekly = "<recurring><weekly><day-of-week><member>monday</member><member>friday</member></day-of-week>\
                      <at>22:00</at></weekly></recurring>";
        let weekly = times(&schedule("UTC", weekly));
        assert_eq!(weekly[..3], ["2026-01-02T22:00:00Z", "2026-01-05T22:00:00Z", "2026-01-09T22:00:00Z"]);
        let monthly = "<recurring><monthly><day-of-month>31</day-of-month><at>00:00</at></monthly></recurring>";
        let monthly = times(&schedule("UTC", monthly));
        assert_eq!(monthly.len(), 24);
        assert_eq!(monthly[..3], ["2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"]);
    }

    #[test]
    fn all_mistakes_are_told_and_nothing_happens_by_a_wrong_one() {
        let wrong = "<entry name='s'><timezone>Mars/Base</timezone><type><recurring><weekly><day-of-week><member>moonday</member>\
                     </day-of-week><at>25:00</at></weekly></recurring></type><device-group><entry name='brunch'/></device-group>\
                     <admin><member>alice</member></admin></entry><entry name='t'/>";
        let root = root(wrong);
        let messages: Vec<String> = check(&root).into_iter().map(|one| one.message).collect();
        for part in [
            "`Mars/Base` is no time zone",
            "`moonday` is no day",
            "`25:00` is no time of the day",
            "device group `brunch` does not exist; did you mean `branch`?",
            "not of some administrators",
            "nothing is pushed",
            "it never happens",
        ] {
            assert!(messages.iter().any(|message| message.contains(part)), "{part}: {messages:?}");
        }
        assert!(all(&root).is_empty());
    }
}
