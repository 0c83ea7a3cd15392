//! What is in the external dynamic lists?
//!
//! Each list is fetched over HTTP or HTTPS when it is first seen and then as often as it says, within bounds
//! of time and size. The last good copy is kept on disk and stays in force while the server is away or
//! sends something that is no list.

mod fetch;
pub mod text;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bartizan_model::device::{DeviceConfig, ExternalList, Recurring};
use futures_util::StreamExt;
use ipnet::IpNet;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::Serialize;
use tokio::sync::Notify;
use tracing::{info, warn};

use self::text::{BadLine, Parsed, parse};
use super::schedules::zone;
use super::{current, learn, lock, moment};
use crate::firewall::Firewall;
use crate::hex;

/// Lists that are fetched at a time.
const FETCHES_MAX: usize = 4;
/// First pause after a failure; it doubles up to the list's own interval.
const RETRY_MIN: Duration = Duration::from_secs(30);
/// Longest pause after a failure.
const RETRY_MAX: Duration = Duration::from_secs(3600);
/// How often the clock is looked at while nothing is due.
const IDLE: Duration = Duration::from_secs(30);

/// The lists of the running configuration.
#[derive(Debug)]
pub struct Lists {
    directory: PathBuf,
    known: Mutex<BTreeMap<String, Known>>,
    wake: Notify,
}

/// One list.
#[derive(Clone, Debug)]
struct Known {
    written: ExternalList,
    content: Option<Arc<Parsed>>,
    fetched: Option<Timestamp>,
    failures: u32,
    error: Option<String>,
    due: Timestamp,
}

/// The answer to `request system external-list show`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListDetail {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub source: String,
    /// When it was fetched last.
    pub fetched: String,
    /// When it will be fetched next.
    pub next: String,
    /// Why the last attempt came to nothing.
    pub error: Option<String>,
    /// How many members it has.
    pub total_valid: usize,
    /// Lines that are no address.
    pub total_invalid: usize,
    /// Its members, the exceptions left out.
    pub valid: Vec<IpNet>,
    /// The first of the lines that are no address.
    pub invalid: Vec<BadLine>,
}

impl Lists {
    /// With the copies that are kept in this directory.
    pub fn open(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), known: Mutex::default(), wake: Notify::new() }
    }

    /// What is known of one list.
    ///
    /// # Errors
    /// When there is no such list; the message names those there are.
    pub fn detail(&self, name: &str) -> Result<ListDetail, String> {
        let known = lock(&self.known);
        let list = known.get(name).ok_or_else(|| unknown(name, &known))?;
        let content = list.content.as_deref();
        Ok(ListDetail {
            name: name.to_owned(),
            source: list.written.url.clone(),
            fetched: moment(list.fetched),
            next: moment(Some(list.due)),
            error: list.error.clone(),
            total_valid: list.members().len(),
            total_invalid: content.map_or(0, |content| content.bad_total),
            valid: list.members(),
            invalid: content.map(|content| content.bad.clone()).unwrap_or_default(),
        })
    }

    /// Fetches a list at once.
    ///
    /// # Errors
    /// When there is no such list.
    pub fn refresh(&self, name: &str) -> Result<(), String> {
        let mut known = lock(&self.known);
        if !known.contains_key(name) {
            return Err(unknown(name, &known));
        }
        known.entry(name.to_owned()).and_modify(|list| list.due = Timestamp::UNIX_EPOCH);
        self.wake.notify_one();
        Ok(())
    }

    /// Follows the configuration. A list that is new, or comes from elsewhere now, is due at once and begins
    /// with the copy on disk; lists that are gone are forgotten, with their copies.
    fn follow(&self, config: &DeviceConfig) {
        let mut known = lock(&self.known);
        let wanted: BTreeMap<&str, &ExternalList> =
            config.external_lists.iter().rev().map(|list| (&*list.name, list)).collect();
        known.retain(|name, list| {
            let stays = wanted.get(&**name).is_some_and(|wanted| wanted.url == list.written.url);
            if !stays {
                // A copy that stays behind is of no use, and does no harm.
                let _ = fs::remove_file(self.path(&list.written));
            }
            stays
        });
        for (name, written) in wanted {
            known.entry(name.to_owned()).or_insert_with(|| self.begin(written)).written = written.clone();
        }
    }

    fn begin(&self, written: &ExternalList) -> Known {
        let path = self.path(written);
        let kept = fs::read_to_string(&path).ok();
        let fetched = fs::metadata(&path).and_then(|metadata| metadata.modified()).ok();
        Known {
            written: written.clone(),
            content: kept.map(|text| Arc::new(parse(&text))),
            fetched: fetched.and_then(|at| Timestamp::try_from(at).ok()),
            failures: 0,
            error: None,
            due: Timestamp::UNIX_EPOCH,
        }
    }

    /// Named after what it is a copy of, so that no name of a list is a name of a file.
    fn path(&self, list: &ExternalList) -> PathBuf {
        self.directory.join(hex::sha256(&format!("{}\n{}", list.name, list.url)))
    }

    fn due(&self, now: Timestamp) -> Vec<ExternalList> {
        lock(&self.known).values().filter(|list| list.due <= now).map(|list| list.written.clone()).collect()
    }

    fn next(&self) -> Option<Timestamp> {
        lock(&self.known).values().map(|list| list.due).min()
    }

    fn take_in(&self, written: &ExternalList, fetched: Result<String, String>, now: Timestamp, zone: &TimeZone) {
        let parsed = fetched.and_then(|text| {
            let parsed = parse(&text);
            // An error page in the place of a list must not empty it.
            if parsed.members.is_empty() && parsed.bad_total > 0 {
                return Err(format!("none of the {} lines is an address", parsed.bad_total));
            }
            Ok((parsed, text))
        });
        let mut known = lock(&self.known);
        let Some(list) = known.get_mut(&written.name).filter(|list| list.written.url == written.url) else { return };
        match parsed {
            Ok((parsed, text)) => {
                if let Err(error) = keep(&self.directory, &self.path(written), &text) {
                    warn!("external list `{}` cannot be kept on disk: {error}", written.name);
                }
                info!(
                    "external list `{}`: {} members, {} lines that are no address",
                    written.name,
                    parsed.members.len(),
                    parsed.bad_total
                );
                list.error = parsed.full.then(|| format!("the list has more than {} members", text::MEMBERS_MAX));
                list.content = Some(Arc::new(parsed));
                list.fetched = Some(now);
                list.failures = 0;
                list.due = next(list.written.recurring, now, zone);
            }
            Err(error) => {
                warn!("external list `{}` from {}: {error}; the last good copy stays", written.name, written.url);
                let pause = RETRY_MIN.saturating_mul(1 << list.failures.min(8)).min(RETRY_MAX);
                let retry = now.checked_add(pause).unwrap_or(now);
                list.due = retry.min(next(list.written.recurring, now, zone));
                list.failures = list.failures.saturating_add(1);
                list.error = Some(error);
            }
        }
    }

    fn facts(&self) -> BTreeMap<String, Vec<IpNet>> {
        let known = lock(&self.known);
        let had = known.iter().filter(|(_, list)| list.content.is_some());
        had.map(|(name, list)| (name.clone(), list.members())).collect()
    }
}

impl Known {
    fn members(&self) -> Vec<IpNet> {
        let members = self.content.iter().flat_map(|content| &content.members);
        members.filter(|member| !self.written.exceptions.contains(member)).copied().collect()
    }
}

fn unknown(name: &str, known: &BTreeMap<String, Known>) -> String {
    let names: Vec<_> = known.keys().map(|name| format!("`{name}`")).collect();
    format!("there is no external list of addresses `{name}`; known: {}", names.join(", "))
}

/// Writes beside and renames, so that the copy is whole.
fn keep(directory: &Path, path: &Path, text: &str) -> std::io::Result<()> {
    fs::create_dir_all(directory)?;
    let beside = path.with_extension("new");
    fs::write(&beside, text)?;
    fs::rename(&beside, path)
}

/// When a list is fetched again.
fn next(recurring: Recurring, now: Timestamp, zone: &TimeZone) -> Timestamp {
    let after = |seconds: i64| now.checked_add(Span::new().seconds(seconds)).unwrap_or(Timestamp::MAX);
    let fits: &dyn Fn(jiff::civil::Date) -> bool = match &recurring {
        Recurring::FiveMinute => return after(300),
        Recurring::Hourly => return after(3600),
        Recurring::Daily { .. } => &|_| true,
        Recurring::Weekly { day, .. } => {
            let day = *day;
            &move |date| date.weekday().to_monday_zero_offset() == i8::try_from(day).unwrap_or(0)
        }
        Recurring::Monthly { day, .. } => {
            let day = *day;
            &move |date| date.day() == i8::try_from(day).unwrap_or(1)
        }
    };
    let hour = match recurring {
        Recurring::Daily { hour } | Recurring::Weekly { hour, .. } | Recurring::Monthly { hour, .. } => hour,
        Recurring::FiveMinute | Recurring::Hourly => 0,
    };
    let hour = i8::try_from(hour).unwrap_or(0);
    // The 31st comes at least every 62 days.
    let days = zone.to_datetime(now).date().series(Span::new().days(1)).take(63);
    let moments = days
        .filter(|date| fits(*date))
        .filter_map(|date| Some(date.at(hour, 0, 0, 0).to_zoned(zone.clone()).ok()?.timestamp()));
    moments.into_iter().find(|moment| *moment > now).unwrap_or_else(|| after(86_400))
}

/// Keeps the lists fetched, as long as the firewall runs.
pub(super) async fn run(firewall: Arc<Firewall>) {
    let mut followed = firewall.follow();
    let Some(gatherers) = firewall.gatherers() else { return };
    let lists = &gatherers.lists;
    let client = fetch::Client::new();
    let mut told = BTreeMap::new();
    let mut local = TimeZone::UTC;
    loop {
        if let Some(running) = current(&mut followed) {
            tokio::task::block_in_place(|| lists.follow(&running.config));
            local = zone(&running.config).unwrap_or(TimeZone::UTC);
        }
        // What was kept on disk is in force before anything is fetched.
        tell(&firewall, lists, &mut told).await;
        let due = lists.due(Timestamp::now());
        if !due.is_empty() {
            let client = &client;
            let fetches = futures_util::stream::iter(due).map(|list| async move {
                let text = client.get(&list.url).await;
                (list, text)
            });
            let mut fetches = std::pin::pin!(fetches.buffer_unordered(FETCHES_MAX));
            while let Some((list, text)) = fetches.next().await {
                tokio::task::block_in_place(|| lists.take_in(&list, text, Timestamp::now(), &local));
            }
            tell(&firewall, lists, &mut told).await;
        }
        let wait = lists.next().map(|next| next.duration_since(Timestamp::now()).unsigned_abs());
        tokio::select! {
            () = tokio::time::sleep(wait.unwrap_or(IDLE).clamp(Duration::from_millis(100), IDLE)) => {}
            () = lists.wake.notified() => {}
            _ = followed.changed() => {}
        }
    }
}

async fn tell(firewall: &Firewall, lists: &Lists, told: &mut BTreeMap<String, Vec<IpNet>>) {
    let facts = lists.facts();
    if facts != *told {
        told.clone_from(&facts);
        learn(firewall, "external lists", |all| all.lists = facts).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(url: &str) -> ExternalList {
        ExternalList {
            name: "bad/../list".to_owned(),
            origin: Default::default(),
            url: url.to_owned(),
            exceptions: vec!["192.0.2.9/32".parse().unwrap()],
            recurring: Recurring::Hourly,
        }
    }

    fn config(url: &str) -> DeviceConfig {
        DeviceConfig { external_lists: vec![list(url)], ..DeviceConfig::default() }
    }

    #[test]
    fn the_last_good_copy_outlives_failures_and_restarts() {
        let directory = tempfile::tempdir().unwrap();
        let (url, now, utc) = ("http://lists.example/", Timestamp::now(), TimeZone::UTC);
        let lists = Lists::open(directory.path());
        lists.follow(&config(url));
        assert!(lists.facts().is_empty());
        assert_eq!(lists.due(now).len(), 1);
        lists.take_in(&list(url), Ok("192.0.2.1\n192.0.2.9\nrubbish\n".to_owned()), now, &utc);
        let members = |lists: &Lists| lists.facts()["bad/../list"].iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(members(&lists), ["192.0.2.1/32"]);
        assert!(lists.due(now).is_empty());
        for failed in [Err("refused".to_owned()), Ok("<html>\noops\n</html>\n".to_owned())] {
            lists.take_in(&list(url), failed, now, &utc);
            assert_eq!(members(&lists), ["192.0.2.1/32"]);
        }
        let shown = lists.detail("bad/../list").unwrap();
        assert_eq!(shown.error.as_deref(), Some("none of the 3 lines is an address"));
        assert_eq!((shown.total_valid, shown.total_invalid, shown.invalid[0].line), (1, 1, 3));
        assert_eq!(lists.next(), Some(now + Span::new().seconds(60)));

        let again = Lists::open(directory.path());
        again.follow(&config(url));
        assert_eq!(members(&again), ["192.0.2.1/32"]);
        // From elsewhere it is another list.
        again.follow(&config("http://elsewhere.example/"));
        assert!(again.facts().is_empty());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        assert!(again.detail("other").unwrap_err().contains("known: `bad/../list`"));
        assert!(again.refresh("other").is_err());
    }

    #[test]
    fn the_next_time_is_of_the_devices_clock() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let now: Timestamp = "2026-11-26T05:10:00Z".parse().unwrap();
        let at = |recurring| next(recurring, now, &berlin).to_string();
        assert_eq!(at(Recurring::FiveMinute), "2026-11-26T05:15:00Z");
        assert_eq!(at(Recurring::Hourly), "2026-11-26T06:10:00Z");
        assert_eq!(at(Recurring::Daily { hour: 6 }), "2026-11-27T05:00:00Z");
        assert_eq!(at(Recurring::Daily { hour: 7 }), "2026-11-26T06:00:00Z");
        // 26 November 2026 is a Thursday.
        assert_eq!(at(Recurring::Weekly { day: 3, hour: 6 }), "2026-12-03T05:00:00Z");
        assert_eq!(at(Recurring::Monthly { day: 31, hour: 0 }), "2026-12-30T23:00:00Z");
    }
}
