//! Which records does a report add up, by what, and over which time?
//!
//! Reports are the queries of PAN-OS's custom reports: fields to group by and to add up, a period, a condition, and how
//! many groups. Those that have a name of their own are in a table here.

use bartizan_model::diagnostic::closest;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};

use super::filter::{self, Filter, Kind, Operator, Value};
use super::query::{Log, Query};
use crate::store::Store;
use crate::store::slices::groups::{Column, Group, Grouping, NoGroups, SUMS_MAX};

const SECOND_US: i64 = 1_000_000;
const HOUR_US: i64 = 3600 * SECOND_US;
/// Fields that a report groups by.
const FIELDS_MAX: usize = 4;
/// Groups that are told, when nothing is said.
const TOP: usize = 10;
/// Groups that may be asked for.
const TOP_MAX: usize = 500;

/// A report to be made.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// What it is called.
    pub(crate) name: String,
    /// Its headline.
    pub(crate) caption: String,
    /// The database that was asked for, as PAN-OS calls it.
    pub(crate) database: String,
    /// First and last second, since the Unix epoch.
    pub(crate) seconds: (i64, i64),
    log: Log,
    filter: Filter,
    /// The field that the others are grouped under, and how many groups of it.
    group_by: Option<usize>,
    /// Names and columns.
    keys: Vec<(String, Column)>,
    values: Vec<(String, &'static str)>,
    sort: usize,
    top: usize,
}

/// What is asked for, in the words of PAN-OS.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) caption: String,
    pub(crate) database: String,
    pub(crate) aggregate_by: Vec<String>,
    pub(crate) group_by: String,
    pub(crate) values: Vec<String>,
    pub(crate) sort_by: String,
    pub(crate) period: String,
    pub(crate) start: String,
    pub(crate) end: String,
    pub(crate) query: String,
    pub(crate) top: String,
}

/// A line of a report: fields and their values.
pub(crate) type Line = Vec<(String, String)>;

/// A report that has a name: database, fields, values, condition, headline.
type Named = (&'static str, &'static str, &'static [&'static str], &'static [&'static str], &'static str, &'static str);

const TRAFFIC_VALUES: &[&str] = &["bytes", "sessions", "packets"];
const SUMMARY_VALUES: &[&str] = &["nbytes", "nsess", "npkts"];
const DENIED: &str = "(action neq allow)";

/// Reports of a period that the caller chooses (`dynamic`).
const DYNAMIC: &[Named] = &[
    ("top-applications-summary", "appstat", &["name"], SUMMARY_VALUES, "", "Top applications"),
    ("top-app-summary", "trsum", &["app"], TRAFFIC_VALUES, "", "Top applications"),
    ("top-applications-trsum", "trsum", &["app"], TRAFFIC_VALUES, "", "Top applications"),
    ("top-src-summary", "trsum", &["src"], TRAFFIC_VALUES, "", "Top sources"),
    ("top-dst-summary", "trsum", &["dst"], TRAFFIC_VALUES, "", "Top destinations"),
    ("top-rule-summary", "trsum", &["rule"], TRAFFIC_VALUES, "", "Top rules"),
    ("top-ingress-zones-summary", "trsum", &["from"], TRAFFIC_VALUES, "", "Top ingress zones"),
    ("top-egress-zones-summary", "trsum", &["to"], TRAFFIC_VALUES, "", "Top egress zones"),
    ("top-ingress-interfaces-summary", "traffic", &["inbound_if"], TRAFFIC_VALUES, "", "Top ingress interfaces"),
    ("top-egress-interfaces-summary", "traffic", &["outbound_if"], TRAFFIC_VALUES, "", "Top egress interfaces"),
    ("top-attacks-acc", "thsum", &["threatid", "severity"], &["count"], "", "Top attacks"),
    ("top-attackers-summary", "thsum", &["src"], &["count"], "", "Top attackers"),
    ("top-victims-summary", "thsum", &["dst"], &["count"], "", "Top victims"),
];

/// Reports of the last calendar day (`predefined`).
const PREDEFINED: &[Named] = &[
    ("top-applications", "trsum", &["app"], TRAFFIC_VALUES, "", "Top applications"),
    ("top-sources", "trsum", &["src"], TRAFFIC_VALUES, "", "Top sources"),
    ("top-destinations", "trsum", &["dst"], TRAFFIC_VALUES, "", "Top destinations"),
    ("top-rules", "trsum", &["rule"], TRAFFIC_VALUES, "", "Top rules"),
    ("top-connections", "trsum", &["src", "dst"], TRAFFIC_VALUES, "", "Top connections"),
    ("top-ingress-interfaces", "traffic", &["inbound_if"], TRAFFIC_VALUES, "", "Top ingress interfaces"),
    ("top-egress-interfaces", "traffic", &["outbound_if"], TRAFFIC_VALUES, "", "Top egress interfaces"),
    ("top-denied-sources", "traffic", &["src"], &["sessions", "bytes"], DENIED, "Top denied sources"),
    ("top-denied-destinations", "traffic", &["dst"], &["sessions", "bytes"], DENIED, "Top denied destinations"),
    ("top-denied-applications", "traffic", &["app"], &["sessions", "bytes"], DENIED, "Top denied applications"),
    ("bandwidth-trend", "traffic", &["hour-of-receive_time"], TRAFFIC_VALUES, "", "Bandwidth trend"),
    ("top-attacks", "thsum", &["threatid", "severity"], &["count"], "", "Top attacks"),
    ("top-attackers", "thsum", &["src"], &["count"], "", "Top attackers"),
    ("top-victims", "thsum", &["dst"], &["count"], "", "Top victims"),
];

/// The id of a Kubernetes cluster; empty for none.
pub(crate) const CLUSTER: Column = Column::Plain("coalesce(CAST(nullif(cluster_id, 0) AS TEXT), '')");

/// Fields to group the traffic log by.
const TRAFFIC_KEYS: &[(&str, Column)] = &[
    ("action", Column::Plain("action")),
    ("app", Column::Plain("application")),
    ("day-of-receive_time", Column::Time("received_us", 24 * HOUR_US)),
    ("dport", Column::Plain("destination_port")),
    ("dst", Column::Address("destination_key")),
    ("dst_tags", Column::Plain("destination_tags")),
    ("from", Column::Plain("from_zone")),
    ("hour-of-receive_time", Column::Time("received_us", HOUR_US)),
    ("inbound_if", Column::Plain("inbound_interface")),
    ("k8s_cluster_id", CLUSTER),
    ("name", Column::Plain("application")),
    ("nat_rule", Column::Plain("nat_rule")),
    ("natdst", Column::Address("nat_destination_key")),
    ("natsrc", Column::Address("nat_source_key")),
    ("outbound_if", Column::Plain("outbound_interface")),
    ("proto", Column::Plain("protocol")),
    ("quarter-hour-of-receive_time", Column::Time("received_us", HOUR_US / 4)),
    ("rule", Column::Plain("rule")),
    ("serial", Column::Plain("serial")),
    ("session_end_reason", Column::Plain("session_end_reason")),
    ("sport", Column::Plain("source_port")),
    ("src", Column::Address("source_key")),
    ("src_tags", Column::Plain("source_tags")),
    ("subtype", Column::Plain("subtype")),
    ("to", Column::Plain("to_zone")),
];

/// Fields of the traffic log that are added up.
const TRAFFIC_SUMS: &[(&str, &str)] = &[
    ("bytes", "bytes_sent + bytes_received"),
    ("bytes_received", "bytes_received"),
    ("bytes_sent", "bytes_sent"),
    ("count", "1"),
    ("elapsed", "elapsed_s"),
    ("nbytes", "bytes_sent + bytes_received"),
    ("npkts", "packets_sent + packets_received"),
    ("nsess", "1"),
    ("packets", "packets_sent + packets_received"),
    ("pkts_received", "packets_received"),
    ("pkts_sent", "packets_sent"),
    ("repeatcnt", "1"),
    ("sessions", "1"),
];

/// Fields to group the threat log by.
const THREAT_KEYS: &[(&str, Column)] = &[
    ("action", Column::Plain("action")),
    ("day-of-receive_time", Column::Time("received_us", 24 * HOUR_US)),
    ("dst", Column::Address("destination_key")),
    ("from", Column::Plain("from_zone")),
    ("hour-of-receive_time", Column::Time("received_us", HOUR_US)),
    ("serial", Column::Plain("serial")),
    ("severity", Column::Plain("severity")),
    ("severity-of-threatid", Column::Plain("severity")),
    ("src", Column::Address("source_key")),
    ("subtype", Column::Plain("subtype")),
    ("threatid", Column::Plain("event")),
    ("tid", Column::Plain("event")),
];

/// Fields of the threat log that are added up.
const THREAT_SUMS: &[(&str, &str)] = &[("count", "1"), ("repeatcnt", "1"), ("sessions", "1")];

impl Wanted {
    /// A report of the caller's period that has a name.
    pub(crate) fn dynamic(name: &str) -> Option<Self> {
        Self::named(DYNAMIC, name)
    }

    /// A report of the last calendar day that has a name.
    pub(crate) fn predefined(name: &str) -> Option<Self> {
        Some(Self { period: "last-calendar-day".to_owned(), ..Self::named(PREDEFINED, name)? })
    }

    fn named(table: &[Named], name: &str) -> Option<Self> {
        let (name, database, keys, values, query, caption) = table.iter().find(|(known, ..)| *known == name)?;
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Some(Self {
            name: (*name).to_owned(),
            caption: (*caption).to_owned(),
            database: (*database).to_owned(),
            aggregate_by: owned(keys),
            values: owned(values),
            query: (*query).to_owned(),
            ..Self::default()
        })
    }

    /// The names there are, for whoever asked for another one.
    pub(crate) fn names(predefined: bool) -> impl Iterator<Item = &'static str> {
        if predefined { PREDEFINED } else { DYNAMIC }.iter().map(|(name, ..)| *name)
    }
}

impl Report {
    /// Reads what is wanted.
    ///
    /// # Errors
    /// What of it cannot be had.
    pub(crate) fn new(wanted: &Wanted, now_us: i64) -> Result<Self, String> {
        let (log, keys, sums) = match wanted.database.trim_start_matches("panorama-") {
            "traffic" | "trsum" | "appstat" => (Log::Traffic, keys_of(Log::Traffic), TRAFFIC_SUMS),
            "threat" | "thsum" => (Log::Threat, keys_of(Log::Threat), THREAT_SUMS),
            other => {
                return Err(format!(
                    "there is no database `{other}`; `traffic`, `trsum`, `appstat`, `threat` and `thsum` are"
                ));
            }
        };
        let mut names: Vec<&String> = wanted.aggregate_by.iter().collect();
        let mut group_by = None;
        if !wanted.group_by.is_empty() {
            names.retain(|name| **name != wanted.group_by);
            names.insert(0, &wanted.group_by);
            group_by = Some(0);
        }
        if names.is_empty() || names.len() > FIELDS_MAX {
            return Err(format!(
                "`aggregate-by` and `group-by` name {} fields, 1 to {FIELDS_MAX} are possible",
                names.len()
            ));
        }
        let keys = names.into_iter().map(|name| Ok((name.clone(), find(keys, name, "grouped by")?)));
        let keys = keys.collect::<Result<Vec<_>, String>>()?;
        let mut values = Vec::new();
        for name in &wanted.values {
            values.push((name.clone(), find(sums, name, "added up")?));
        }
        if values.is_empty() {
            values.push(("repeatcnt".to_owned(), "1"));
        }
        if values.len() > SUMS_MAX {
            return Err(format!("`values` names {} fields, at most {SUMS_MAX} are added up", values.len()));
        }
        let sort = match wanted.sort_by.as_str() {
            "" => 0,
            name => {
                let place = values.iter().position(|(known, _)| known == name);
                place.ok_or_else(|| format!("`sortby` is `{name}`, which is not one of the values"))?
            }
        };
        let top = match wanted.top.as_str() {
            "" => TOP,
            text => text
                .parse()
                .ok()
                .filter(|top| (1..=TOP_MAX).contains(top))
                .ok_or_else(|| format!("`topn` is `{text}`, which is not a number from 1 to {TOP_MAX}"))?,
        };
        let seconds = seconds(wanted, now_us)?;
        let time = |operator, time| Filter::Compare(Kind::Time("received_us"), operator, Value::Number(time));
        let filter = Filter::And(vec![
            time(Operator::AtLeast, seconds.0 * SECOND_US),
            time(Operator::AtMost, seconds.1 * SECOND_US + SECOND_US - 1),
            filter::parse(&wanted.query, log.fields())?,
        ]);
        Ok(Self {
            name: wanted.name.clone(),
            caption: if wanted.caption.is_empty() { wanted.name.clone() } else { wanted.caption.clone() },
            database: wanted.database.clone(),
            seconds,
            log,
            filter,
            group_by,
            keys,
            values,
            sort,
            top,
        })
    }

    /// Makes it.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn make(&self, store: &Store) -> Result<Vec<Line>, NoGroups> {
        let query = Query::after(self.log, self.filter.clone(), 0, i64::MAX, 0);
        let grouping = Grouping {
            keys: self.keys.iter().map(|(_, column)| *column).collect(),
            sums: self.values.iter().map(|(_, sum)| *sum).collect(),
        };
        let mut groups = store.log_groups(&query, &grouping).await?;
        groups.sort_unstable_by(|a, b| b.1[self.sort].cmp(&a.1[self.sort]).then_with(|| a.0.cmp(&b.0)));
        if self.group_by.is_some() {
            groups = under(groups, self.sort, self.top);
        } else {
            groups.truncate(self.top);
        }
        Ok(groups.into_iter().map(|group| self.line(group)).collect())
    }

    fn line(&self, (texts, sums): Group) -> Line {
        let protocol = |text: String| text.parse().map_or(text, filter::protocol_name);
        let keys = self
            .keys
            .iter()
            .zip(texts)
            .map(|((name, _), text)| (name.clone(), if name == "proto" { protocol(text) } else { text }));
        let values = self.values.iter().zip(sums).map(|((name, _), sum)| (name.clone(), sum.to_string()));
        keys.chain(values).collect()
    }
}

/// The largest groups of the first field, and the largest ones within each.
fn under(groups: Vec<Group>, sort: usize, top: usize) -> Vec<Group> {
    let mut outer: Vec<(String, i64, Vec<Group>)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for group in groups {
        let name = group.0.first().cloned().unwrap_or_default();
        let place = *places.entry(name.clone()).or_insert_with(|| {
            outer.push((name, 0, Vec::new()));
            outer.len() - 1
        });
        outer[place].1 += group.1[sort];
        if outer[place].2.len() < top {
            outer[place].2.push(group);
        }
    }
    outer.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    outer.truncate(top);
    outer.into_iter().flat_map(|(_, _, groups)| groups).collect()
}

/// Fields to group a log by; none where it cannot be grouped.
pub(super) fn keys_of(log: Log) -> &'static [(&'static str, Column)] {
    match log {
        Log::Traffic => TRAFFIC_KEYS,
        Log::Threat => THREAT_KEYS,
        Log::System | Log::Config | Log::IpTag => &[],
    }
}

pub(super) fn find<T: Copy>(known: &[(&'static str, T)], name: &str, how: &str) -> Result<T, String> {
    let found = known.iter().find(|(known, _)| *known == name).map(|(_, found)| *found);
    found.ok_or_else(|| match closest(name, known.iter().map(|(name, _)| *name)) {
        Some(close) => format!("`{name}` cannot be {how} in this log; did you mean `{close}`?"),
        None => format!("`{name}` cannot be {how} in this log"),
    })
}

/// First and last second of the time that is asked for.
fn seconds(wanted: &Wanted, now_us: i64) -> Result<(i64, i64), String> {
    if !wanted.start.is_empty() || !wanted.end.is_empty() {
        let read = |name: &str, text: &str| {
            let time = crate::times::parse_date_time(text).map(|time| time / SECOND_US);
            time.ok_or_else(|| format!("`{name}` is `{text}`, which is not a time such as `2026/11/22 08:00:00`"))
        };
        let (start, end) = (read("start-time", &wanted.start)?, read("end-time", &wanted.end)?);
        return if start <= end { Ok((start, end)) } else { Err("`end-time` is before `start-time`".to_owned()) };
    }
    let now = now_us / SECOND_US;
    let back = |seconds: i64| Ok((now - seconds + 1, now));
    match wanted.period.as_str() {
        "last-60-seconds" => back(60),
        "last-15-minutes" => back(900),
        "" | "last-hour" => back(3600),
        "last-6-hrs" => back(6 * 3600),
        "last-12-hrs" | "last-12-hours" => back(12 * 3600),
        "last-24-hrs" => back(24 * 3600),
        "last-7-days" => back(7 * 86_400),
        "last-30-days" => back(30 * 86_400),
        calendar => {
            let known = calendar_seconds(calendar, now);
            known.ok_or_else(|| format!("`period` is `{calendar}`, which is none: write `last-hour`, `last-24-hrs`, `last-7-days`, `last-30-days`, `last-calendar-day`, `last-calendar-week` or `last-calendar-month`, or give `start-time` and `end-time`"))
        }
    }
}

/// Whole days, weeks (from Sunday on) and months before today, in UTC.
fn calendar_seconds(period: &str, now: i64) -> Option<(i64, i64)> {
    let today = Timestamp::from_second(now).ok()?.to_zoned(TimeZone::UTC).start_of_day().ok()?;
    let days = |count: i64, end: &Zoned| Some((end.checked_sub(count.days()).ok()?, end.clone()));
    let (start, end) = match period {
        "last-calendar-day" => days(1, &today)?,
        "last-7-calendar-days" => days(7, &today)?,
        "last-30-calendar-days" => days(30, &today)?,
        "last-calendar-week" => {
            let since = i64::from(today.weekday().since(Weekday::Sunday));
            days(7, &today.checked_sub(since.days()).ok()?)?
        }
        "last-calendar-month" => {
            let end = today.first_of_month().ok()?;
            (end.checked_sub(1.month()).ok()?, end)
        }
        _ => return None,
    };
    Some((start.timestamp().as_second(), end.timestamp().as_second() - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(name: &str) -> (String, String) {
        // A Thursday.
        let now = crate::times::parse_date_time("2026/11/26 17:15:00").unwrap();
        let wanted = Wanted { period: name.to_owned(), ..Wanted::default() };
        let (start, end) = seconds(&wanted, now).unwrap();
        (crate::times::date_time(start * SECOND_US), crate::times::date_time(end * SECOND_US))
    }

    #[test]
    fn periods_are_those_of_panos() {
        let both = |start: &str, end: &str| (start.to_owned(), end.to_owned());
        assert_eq!(period("last-hour"), both("2026/11/26 16:15:01", "2026/11/26 17:15:00"));
        assert_eq!(period("last-calendar-day"), both("2026/11/25 00:00:00", "2026/11/25 23:59:59"));
        assert_eq!(period("last-calendar-week"), both("2026/11/15 00:00:00", "2026/11/21 23:59:59"));
        assert_eq!(period("last-calendar-month"), both("2026/10/01 00:00:00", "2026/10/31 23:59:59"));
    }

    #[test]
    fn what_cannot_be_reported_is_told_by_its_name() {
        let refused = |change: fn(&mut Wanted)| {
            let mut wanted = Wanted::dynamic("top-src-summary").unwrap();
            change(&mut wanted);
            Report::new(&wanted, 0).unwrap_err()
        };
        assert!(refused(|wanted| wanted.database = "urlsum".into()).starts_with("there is no database `urlsum`"));
        assert!(refused(|wanted| wanted.aggregate_by = vec!["srcc".into()]).ends_with("did you mean `src`?"));
        assert!(refused(|wanted| wanted.aggregate_by.clear()).contains("name 0 fields"));
        assert!(refused(|wanted| wanted.values = vec!["threats".into()]).starts_with("`threats` cannot be added up"));
        assert!(refused(|wanted| wanted.sort_by = "count".into()).contains("not one of the values"));
        assert!(refused(|wanted| wanted.top = "0".into()).contains("from 1 to 500"));
        assert!(refused(|wanted| wanted.period = "always".into()).starts_with("`period` is `always`"));
        assert!(refused(|wanted| wanted.start = "2026/01/01".into()).starts_with("`end-time` is ``"));
        assert!(refused(|wanted| wanted.query = "(a eq b)".into()).contains("at character 2"));
        for (name, ..) in DYNAMIC {
            Report::new(&Wanted::dynamic(name).unwrap(), 0).unwrap();
        }
        for (name, ..) in PREDEFINED {
            Report::new(&Wanted::predefined(name).unwrap(), 0).unwrap();
        }
    }

    #[test]
    fn groups_stand_under_the_largest_of_their_first_field() {
        let group = |a: &str, b: &str, sum| (vec![a.to_owned(), b.to_owned()], [sum, 0, 0, 0]);
        let groups =
            vec![group("x", "1", 9), group("y", "1", 8), group("y", "2", 7), group("z", "1", 6), group("y", "3", 1)];
        let found: Vec<_> = under(groups, 0, 2).into_iter().map(|(texts, _)| texts.concat()).collect();
        assert_eq!(found, ["y1", "y2", "x1"]);
    }
}
