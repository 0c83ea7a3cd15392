//! Which tags are registered for which addresses?
//!
//! They come as PAN-OS `uid-message`s to this firewall, or from its manager, which keeps them for many firewalls; both
//! are matched by dynamic address groups. What is persistent is kept on disk within [`KEEP_INTERVAL`] and outlives a
//! restart; what the manager told stays as it is while the manager is away.

mod managed;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bartizan_api::fleet::{EventLog, RegisteredTags};
use bartizan_model::registered::{Change, Entry, Expiry, Registry, respond};
use bartizan_model::tree::Element;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tracing::{error, warn};

use self::managed::Managed;
use super::{learn, lock};
use crate::firewall::Firewall;
use crate::logs::events::IPTAG;

/// Changes are put in force together when they come within this time of one another.
const LEARN_INTERVAL: Duration = Duration::from_millis(50);
/// Changes are on disk after this time.
const KEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Lines of the IP-tag log that wait to be fetched; the oldest make room.
const EVENTS_MAX: usize = 100_000;

/// The registered addresses.
#[derive(Debug)]
pub struct Tags {
    path: PathBuf,
    known: Mutex<Registry>,
    managed: Mutex<Managed>,
    changed: Notify,
    events: Mutex<VecDeque<EventLog>>,
}

/// An entry in the file.
#[derive(Serialize, Deserialize)]
struct Kept {
    persistent: bool,
    tags: BTreeMap<String, Expiry>,
}

/// A line of `show object registered-ip all`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaggedRow {
    /// Address.
    pub address: IpAddr,
    /// Outlives a restart.
    pub persistent: bool,
    /// The manager keeps it, at least one tag of it.
    pub from_manager: bool,
    /// Its tags, with the seconds they have left.
    pub tags: Vec<(String, Option<i64>)>,
}

impl Tags {
    /// With what is kept in this file, and beside it. A file that cannot be read is told, and left for a look.
    pub fn open(path: &Path) -> Self {
        let known: BTreeMap<IpAddr, Kept> = read(path);
        let entry = |kept: Kept| Entry { persistent: kept.persistent, tags: kept.tags };
        let known = Registry::of(known.into_iter().map(|(address, kept)| (address, entry(kept))).collect());
        Self {
            path: path.to_owned(),
            known: Mutex::new(known),
            managed: Mutex::new(Managed::of(read(&beside(path)))),
            changed: Notify::new(),
            events: Mutex::default(),
        }
    }

    /// What is registered, in the order of addresses.
    pub fn rows(&self, now: Timestamp) -> Vec<TaggedRow> {
        let left = |expiry: Expiry| expiry.map(|at| (at - now.as_second()).max(0));
        let row = |(address, entry): (&IpAddr, &Entry)| TaggedRow {
            address: *address,
            persistent: entry.persistent,
            from_manager: false,
            tags: entry.tags.iter().map(|(tag, expiry)| (tag.clone(), left(*expiry))).collect(),
        };
        let mut rows: BTreeMap<IpAddr, TaggedRow> =
            lock(&self.known).entries().iter().map(|entry| (*entry.0, row(entry))).collect();
        for (address, tags) in lock(&self.managed).tags() {
            let row = rows.entry(*address).or_insert_with(|| TaggedRow {
                address: *address,
                persistent: true,
                from_manager: true,
                tags: Vec::new(),
            });
            row.from_manager = true;
            row.tags.retain(|(tag, _)| !tags.contains(tag));
            row.tags.extend(tags.iter().map(|tag| (tag.clone(), None)));
            row.tags.sort();
        }
        rows.into_values().collect()
    }

    /// Carries out a `uid-message`.
    ///
    /// # Errors
    /// The `uid-response` with what could not be done; everything else was done.
    pub fn update(&self, message: &Element, now: Timestamp) -> Result<Element, Element> {
        let mut changes = Vec::new();
        let mut known = lock(&self.known);
        let response = respond(message, |order| known.carry_out(&order, now.as_second(), &mut changes));
        drop(known);
        self.tell(changes, now);
        self.changed.notify_one();
        response
    }

    /// Takes over what the manager tells.
    pub fn hear(&self, told: RegisteredTags, now: Timestamp) {
        let changes = lock(&self.managed).hear(told);
        self.tell(changes, now);
        self.changed.notify_one();
    }

    /// How many addresses have tags of the manager's.
    pub fn from_manager(&self) -> u64 {
        lock(&self.managed).tags().len() as u64
    }

    /// Forgets what was registered at this firewall; how many addresses that were.
    pub fn clear(&self) -> usize {
        let mut changes = Vec::new();
        let count = lock(&self.known).clear(&mut changes);
        self.tell(changes, Timestamp::now());
        self.changed.notify_one();
        count
    }

    /// Tags of an address.
    pub fn of(&self, address: IpAddr) -> BTreeSet<String> {
        let mut tags = lock(&self.managed).tags().get(&address).cloned().unwrap_or_default();
        if let Some(entry) = lock(&self.known).entries().get(&address) {
            tags.extend(entry.tags.keys().cloned());
        }
        tags
    }

    /// The lines of the IP-tag log since it was asked last.
    pub fn take_events(&self) -> Vec<EventLog> {
        std::mem::take(&mut *lock(&self.events)).into()
    }

    fn tell(&self, changes: Vec<Change>, now: Timestamp) {
        let line = |change: Change| EventLog {
            time_generated_us: now.as_microsecond(),
            log: IPTAG.to_owned(),
            severity: "informational".to_owned(),
            event: if change.came { "register" } else { "unregister" }.to_owned(),
            object: change.tag,
            description: change.timeout_s.to_string(),
            source: change.address.to_string(),
            ..EventLog::default()
        };
        let mut events = lock(&self.events);
        events.extend(changes.into_iter().map(line));
        let too_many = events.len().saturating_sub(EVENTS_MAX);
        events.drain(..too_many);
    }

    /// Lets go what has expired; the time of the next.
    fn expire(&self, now: Timestamp) -> Option<i64> {
        let mut gone = Vec::new();
        let next = lock(&self.known).expire(now.as_second(), &mut gone);
        self.tell(gone, now);
        next
    }

    fn facts(&self) -> BTreeMap<IpAddr, BTreeSet<String>> {
        let mut facts = lock(&self.managed).tags().clone();
        for (address, entry) in lock(&self.known).entries() {
            facts.entry(*address).or_default().extend(entry.tags.keys().cloned());
        }
        facts
    }

    fn keep(&self) -> std::io::Result<()> {
        let kept = |entry: &Entry| Kept { persistent: true, tags: entry.tags.clone() };
        let kept: BTreeMap<IpAddr, Kept> = lock(&self.known)
            .entries()
            .iter()
            .filter(|(_, entry)| entry.persistent)
            .map(|(address, entry)| (*address, kept(entry)))
            .collect();
        write(&self.path, &kept)?;
        let managed = lock(&self.managed).tags().clone();
        write(&beside(&self.path), &managed)
    }
}

/// The file with what the manager told, beside the one with what was registered here.
fn beside(path: &Path) -> PathBuf {
    path.with_file_name("registered-ip-manager.json")
}

fn read<T: Default + DeserializeOwned>(path: &Path) -> T {
    let lost = |error: &dyn std::error::Error| {
        error!("the registered addresses in `{}` cannot be read and are not in force: {error}", path.display());
        T::default()
    };
    match fs::read(path).map(|bytes| serde_json::from_slice(&bytes)) {
        Ok(Ok(known)) => known,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => T::default(),
        Ok(Err(error)) => lost(&error),
        Err(error) => lost(&error),
    }
}

fn write(path: &Path, kept: &impl Serialize) -> std::io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, serde_json::to_vec(kept)?)?;
    fs::rename(&new, path)
}

/// Puts changes in force and on disk, and lets tags expire, as long as the firewall runs.
pub(super) async fn run(firewall: Arc<Firewall>) {
    let Some(gatherers) = firewall.gatherers() else { return };
    let tags = &gatherers.tags;
    let mut told = BTreeMap::new();
    let mut kept = tokio::time::Instant::now();
    let mut unkept = false;
    loop {
        let next = tags.expire(Timestamp::now());
        let facts = tags.facts();
        if facts != told {
            told.clone_from(&facts);
            learn(&firewall, "tags", |all| all.tags = facts).await;
            unkept = true;
        }
        if unkept && kept.elapsed() >= KEEP_INTERVAL {
            if let Err(error) = tokio::task::block_in_place(|| tags.keep()) {
                warn!("the registered addresses cannot be kept on disk: {error}");
            }
            (kept, unkept) = (tokio::time::Instant::now(), false);
        }
        let expiry = next.map(|at| u64::try_from(at - Timestamp::now().as_second()).unwrap_or(0).max(1));
        let expiry = Duration::from_secs(expiry.unwrap_or(3600).min(3600));
        let wait = if unkept { KEEP_INTERVAL.min(expiry) } else { expiry };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = tags.changed.notified() => tokio::time::sleep(LEARN_INTERVAL).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use bartizan_api::fleet::TaggedAddress;
    use bartizan_model::xml::{parse, write};

    use super::*;

    fn message(payload: &str) -> Element {
        parse(&format!(
            "<uid-message><version>2.0</version><type>update</type><payload>{payload}</payload></uid-message>"
        ))
        .unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn tags() -> (tempfile::TempDir, Tags) {
        let directory = tempfile::tempdir().unwrap();
        let tags = Tags::open(&directory.path().join("registered-ip.json"));
        (directory, tags)
    }

    fn told(tags: &Tags) -> String {
        let line =
            |(ip, tags): (IpAddr, BTreeSet<String>)| format!("{ip} {}", tags.into_iter().collect::<Vec<_>>().join(","));
        tags.facts().into_iter().map(line).collect::<Vec<_>>().join("; ")
    }

    fn from_manager(address: &str, tags: &[&str]) -> RegisteredTags {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let address = TaggedAddress { address: address.to_owned(), tags };
        RegisteredTags { addresses: vec![address], ..RegisteredTags::default() }
    }

    const REGISTER: &str = "<register><entry ip='10.0.0.1' persistent='0'><tag><member timeout='60'>web</member><member>test</member></tag>\
        </entry><entry ip='2001:db8::1'><tag><member>web</member></tag></entry></register>";

    #[test]
    fn each_tag_that_comes_or_goes_is_a_line_of_the_log() {
        let (_directory, tags) = tags();
        let answer = tags.update(&message(REGISTER), at(0)).unwrap();
        assert_eq!(write(&answer), "<uid-response><version>2.0</version><payload/></uid-response>");
        assert_eq!(told(&tags), "10.0.0.1 test,web; 2001:db8::1 web");
        assert_eq!(tags.expire(at(59)), Some(at(60).as_second()));
        assert_eq!(tags.rows(at(59))[0].tags, [("test".to_owned(), None), ("web".to_owned(), Some(1))]);
        assert_eq!(tags.expire(at(60)), None);
        tags.hear(from_manager("10.0.0.9", &["pod"]), at(61));
        let line = |line: EventLog| format!("{} {} {} {}", line.event, line.source, line.object, line.description);
        let events: Vec<_> = tags.take_events().into_iter().map(line).collect();
        assert_eq!(
            events,
            [
                "register 10.0.0.1 web 60",
                "register 10.0.0.1 test 0",
                "register 2001:db8::1 web 0",
                "unregister 10.0.0.1 web 0",
                "register 10.0.0.9 pod 0",
            ]
        );
        assert!(tags.take_events().is_empty());
        assert_eq!(tags.clear(), 2);
        assert_eq!(told(&tags), "10.0.0.9 pod");
    }

    #[test]
    fn what_the_manager_keeps_is_there_beside_what_was_registered_here() {
        let (_directory, tags) = tags();
        tags.update(&message(REGISTER), at(0)).unwrap();
        tags.hear(from_manager("10.0.0.1", &["web", "pod"]), at(0));
        tags.hear(from_manager("10.0.0.2", &["pod"]), at(0));
        assert_eq!(told(&tags), "10.0.0.1 pod,test,web; 10.0.0.2 pod; 2001:db8::1 web");
        let row = |row: TaggedRow| format!("{} {} {}", row.address, row.from_manager, row.tags.len());
        let rows: Vec<_> = tags.rows(at(0)).into_iter().map(row).collect();
        assert_eq!(rows, ["10.0.0.1 true 3", "10.0.0.2 true 1", "2001:db8::1 false 1"]);
        // What the firewall heard of `web` ends; what the manager says of it does not.
        tags.expire(at(60));
        assert_eq!(told(&tags), "10.0.0.1 pod,test,web; 10.0.0.2 pod; 2001:db8::1 web");
        tags.hear(from_manager("10.0.0.1", &[]), at(61));
        assert_eq!(told(&tags), "10.0.0.1 test; 10.0.0.2 pod; 2001:db8::1 web");
    }

    #[test]
    fn what_is_persistent_outlives_a_restart() {
        let (directory, tags) = tags();
        tags.update(&message(REGISTER), at(0)).unwrap();
        tags.hear(from_manager("10.0.0.2", &["pod"]), at(0));
        tags.keep().unwrap();
        let path = directory.path().join("registered-ip.json");
        assert_eq!(told(&Tags::open(&path)), "10.0.0.2 pod; 2001:db8::1 web");
        fs::write(&path, "{").unwrap();
        assert_eq!(told(&Tags::open(&path)), "10.0.0.2 pod");
    }
}
