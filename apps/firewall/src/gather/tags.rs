//! Which tags are registered for which addresses?
//!
//! They come as PAN-OS `uid-message`s, from the manager or by the control socket, and are matched by dynamic
//! address groups. What is persistent is kept on disk within [`KEEP_INTERVAL`] and outlives a restart.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bartizan_api::fleet::EventLog;
use bartizan_model::tree::{Child, Element};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tracing::{error, warn};

use super::{learn, lock};
use crate::firewall::Firewall;
use crate::logs::events::IPTAG;

/// Addresses with tags.
pub const ADDRESSES_MAX: usize = 100_000;
/// Tags of one address, as on PAN-OS.
pub const TAGS_MAX: usize = 64;
/// Longest tag, as on PAN-OS.
const TAG_CHARS_MAX: usize = 127;
/// Longest timeout: 30 days, as on PAN-OS.
const TIMEOUT_S_MAX: i64 = 2_592_000;
/// Changes are put in force together when they come within this time of one another.
const LEARN_INTERVAL: Duration = Duration::from_millis(50);
/// Changes are on disk after this time.
const KEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Lines of the IP-tag log that wait to be fetched; the oldest make room.
const EVENTS_MAX: usize = 100_000;

/// When a tag goes by itself, in seconds since the Unix epoch; `None` for never.
type Expiry = Option<i64>;

/// An address with its tags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// Outlives a restart.
    persistent: bool,
    tags: BTreeMap<String, Expiry>,
}

/// The registered addresses.
#[derive(Debug)]
pub struct Tags {
    path: PathBuf,
    known: Mutex<BTreeMap<IpAddr, Entry>>,
    changed: Notify,
    events: Mutex<VecDeque<EventLog>>,
}

/// What became of a tag: its address, itself, whether it came, and its timeout in seconds.
type Change = (IpAddr, String, bool, i64);

/// A line of `show object registered-ip all`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaggedRow {
    /// Address.
    pub address: IpAddr,
    /// Outlives a restart.
    pub persistent: bool,
    /// Its tags, with the seconds they have left.
    pub tags: Vec<(String, Option<i64>)>,
}

impl Tags {
    /// With what is kept in this file. A file that cannot be read is told, and left for a look.
    pub fn open(path: &Path) -> Self {
        let known = match fs::read(path).map(|bytes| serde_json::from_slice(&bytes)) {
            Ok(Ok(known)) => known,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Ok(Err(error)) => lost(path, &error),
            Err(error) => lost(path, &error),
        };
        Self { path: path.to_owned(), known: Mutex::new(known), changed: Notify::new(), events: Mutex::default() }
    }

    /// What is registered, in the order of addresses.
    pub fn rows(&self, now: Timestamp) -> Vec<TaggedRow> {
        let left = |expiry: Expiry| expiry.map(|at| (at - now.as_second()).max(0));
        let row = |(address, entry): (&IpAddr, &Entry)| TaggedRow {
            address: *address,
            persistent: entry.persistent,
            tags: entry.tags.iter().map(|(tag, expiry)| (tag.clone(), left(*expiry))).collect(),
        };
        lock(&self.known).iter().map(row).collect()
    }

    /// Carries out a `uid-message`.
    ///
    /// # Errors
    /// The `uid-response` with what could not be done; everything else was done.
    pub fn update(&self, message: &Element, now: Timestamp) -> Result<Element, Element> {
        // Some clients put the payload inside the type.
        let payload = message.descend(&["payload"]).or_else(|| message.descend(&["type", "payload"]));
        let mut problems = Vec::new();
        let mut changes = Vec::new();
        let mut known = lock(&self.known);
        for part in payload.into_iter().flat_map(|payload| payload.elements()) {
            let mut entries = Vec::new();
            for entry in part.elements() {
                let done = match &*part.name {
                    "register" => register(&mut known, entry, now, &mut changes),
                    "unregister" => unregister(&mut known, entry, &mut changes),
                    other => Err(format!("`{other}` is not supported: only addresses can be registered")),
                };
                if let Err(message) = done {
                    let mut problem = Element::new("entry");
                    problem.attributes = entry.attributes.clone();
                    problem.attributes.retain(|(name, _)| &**name == "ip");
                    // Parsers of clients expect the message to be the last attribute.
                    problem.attributes.push(("message".into(), message.as_str().into()));
                    entries.push(problem);
                }
            }
            if !entries.is_empty() {
                problems.push(node(&part.name, entries));
            }
        }
        drop(known);
        self.tell(changes, now);
        self.changed.notify_one();
        let failed = !problems.is_empty();
        let response = node("uid-response", vec![Element::leaf("version", "2.0"), node("payload", problems)]);
        if failed { Err(response) } else { Ok(response) }
    }

    /// Forgets everything.
    pub fn clear(&self) -> usize {
        let known = std::mem::take(&mut *lock(&self.known));
        let gone = |(address, entry): (&IpAddr, &Entry)| {
            entry.tags.keys().map(|tag| (*address, tag.clone(), false, 0)).collect::<Vec<_>>()
        };
        self.tell(known.iter().flat_map(gone).collect(), Timestamp::now());
        self.changed.notify_one();
        known.len()
    }

    /// The lines of the IP-tag log since it was asked last.
    pub fn take_events(&self) -> Vec<EventLog> {
        std::mem::take(&mut *lock(&self.events)).into()
    }

    fn tell(&self, changes: Vec<Change>, now: Timestamp) {
        let line = |(address, tag, came, timeout): Change| EventLog {
            time_generated_us: now.as_microsecond(),
            log: IPTAG.to_owned(),
            severity: "informational".to_owned(),
            event: if came { "register" } else { "unregister" }.to_owned(),
            object: tag,
            description: timeout.to_string(),
            source: address.to_string(),
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
        let mut known = lock(&self.known);
        known.retain(|address, entry| {
            entry.tags.retain(|tag, expiry| {
                let stays = expiry.is_none_or(|at| at > now.as_second());
                if !stays {
                    gone.push((*address, tag.clone(), false, 0));
                }
                stays
            });
            !entry.tags.is_empty()
        });
        self.tell(gone, now);
        known.values().flat_map(|entry| entry.tags.values().flatten()).min().copied()
    }

    fn facts(&self) -> BTreeMap<IpAddr, BTreeSet<String>> {
        lock(&self.known).iter().map(|(ip, entry)| (*ip, entry.tags.keys().cloned().collect())).collect()
    }

    fn keep(&self) -> std::io::Result<()> {
        let mut kept = lock(&self.known).clone();
        kept.retain(|_, entry| entry.persistent);
        let beside = self.path.with_extension("new");
        fs::write(&beside, serde_json::to_vec(&kept)?)?;
        fs::rename(&beside, &self.path)
    }
}

fn lost(path: &Path, error: &dyn std::error::Error) -> BTreeMap<IpAddr, Entry> {
    error!("the registered addresses in `{}` cannot be read and are not in force: {error}", path.display());
    BTreeMap::new()
}

fn node(name: &str, children: Vec<Element>) -> Element {
    let mut element = Element::new(name);
    element.children.extend(children.into_iter().map(|child| Child::Element(child.into())));
    element
}

fn address(entry: &Element) -> Result<IpAddr, String> {
    let text = entry.attribute("ip").unwrap_or_default();
    text.parse().map_err(|_| format!("`{text}` is not an address"))
}

/// Tags of an entry with their timeouts in seconds.
fn tags(entry: &Element) -> Result<Vec<(String, Option<i64>)>, String> {
    let mut tags = Vec::new();
    for member in entry.child("tag").into_iter().flat_map(|tags| tags.elements()) {
        let tag = member.text().trim().to_owned();
        if tag.is_empty() || tag.chars().count() > TAG_CHARS_MAX {
            return Err(format!("a tag has 1 to {TAG_CHARS_MAX} characters"));
        }
        let timeout = match member.attribute("timeout").map(str::parse) {
            None | Some(Ok(0)) => None,
            Some(Ok(seconds)) if (0..=TIMEOUT_S_MAX).contains(&seconds) => Some(seconds),
            Some(_) => return Err(format!("a timeout is a number of seconds from 0 to {TIMEOUT_S_MAX}")),
        };
        tags.push((tag, timeout));
    }
    Ok(tags)
}

fn register(
    known: &mut BTreeMap<IpAddr, Entry>,
    entry: &Element,
    now: Timestamp,
    changes: &mut Vec<Change>,
) -> Result<(), String> {
    let (ip, tags) = (address(entry)?, tags(entry)?);
    if tags.is_empty() {
        return Err("there is no tag to register".to_owned());
    }
    if known.len() >= ADDRESSES_MAX && !known.contains_key(&ip) {
        return Err(format!("{ADDRESSES_MAX} addresses are registered, which is as many as there can be"));
    }
    let mut new = known.get(&ip).cloned().unwrap_or_default();
    let mut again = None;
    let mut came = Vec::new();
    for (tag, timeout) in tags {
        let expiry = timeout.map(|seconds| now.as_second() + seconds);
        // A tag that is there with no end in sight stays so; a timeout begins anew.
        if new.tags.get(&tag).is_some_and(|known| known.is_none() && expiry.is_none()) {
            again = Some(tag);
            continue;
        }
        came.push((ip, tag.clone(), true, timeout.unwrap_or(0)));
        new.tags.insert(tag, expiry);
    }
    if new.tags.len() > TAGS_MAX {
        return Err(format!("an address has at most {TAGS_MAX} tags"));
    }
    new.persistent = entry.attribute("persistent") != Some("0");
    known.insert(ip, new);
    changes.extend(came);
    again.map_or(Ok(()), |tag| Err(format!("tag {tag} already exists, ignore")))
}

fn unregister(known: &mut BTreeMap<IpAddr, Entry>, entry: &Element, changes: &mut Vec<Change>) -> Result<(), String> {
    let (ip, tags) = (address(entry)?, tags(entry)?);
    if tags.is_empty() {
        let gone = known.remove(&ip).ok_or_else(|| format!("ip {ip} does not exist, ignore unreg"))?;
        changes.extend(gone.tags.into_keys().map(|tag| (ip, tag, false, 0)));
        return Ok(());
    }
    let mut missing = None;
    let mut empty = false;
    for (tag, _) in tags {
        let Some(tags) = known.get_mut(&ip).map(|entry| &mut entry.tags) else {
            missing = Some(tag);
            continue;
        };
        match tags.remove(&tag) {
            Some(_) => changes.push((ip, tag, false, 0)),
            None => missing = Some(tag),
        }
        empty = tags.is_empty();
    }
    if empty {
        known.remove(&ip);
    }
    missing.map_or(Ok(()), |tag| Err(format!("tag {tag} does not exist, ignore unreg")))
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

    const REGISTER: &str = "<register><entry ip='10.0.0.1' persistent='0'><tag><member timeout='60'>web</member><member>test</member></tag>\
        </entry><entry ip='2001:db8::1'><tag><member>web</member></tag></entry></register>";

    #[test]
    fn tags_come_go_and_expire() {
        let (_directory, tags) = tags();
        let answer = tags.update(&message(REGISTER), at(0)).unwrap();
        assert_eq!(write(&answer), "<uid-response><version>2.0</version><payload/></uid-response>");
        assert_eq!(told(&tags), "10.0.0.1 test,web; 2001:db8::1 web");
        assert_eq!(tags.expire(at(59)), Some(at(60).as_second()));
        assert_eq!(tags.rows(at(59))[0].tags, [("test".to_owned(), None), ("web".to_owned(), Some(1))]);
        assert_eq!(tags.expire(at(60)), None);
        assert_eq!(told(&tags), "10.0.0.1 test; 2001:db8::1 web");
        let gone = "<unregister><entry ip='10.0.0.1'><tag><member>test</member></tag></entry><entry ip='2001:db8::1'/></unregister>";
        tags.update(&message(gone), at(61)).unwrap();
        assert_eq!(told(&tags), "");
        let line = |line: EventLog| format!("{} {} {} {}", line.event, line.source, line.object, line.description);
        let events: Vec<_> = tags.take_events().into_iter().map(line).collect();
        assert_eq!(
            events,
            [
                "register 10.0.0.1 web 60",
                "register 10.0.0.1 test 0",
                "register 2001:db8::1 web 0",
                "unregister 10.0.0.1 web 0",
                "unregister 10.0.0.1 test 0",
                "unregister 2001:db8::1 web 0",
            ]
        );
        assert!(tags.take_events().is_empty());
    }

    #[test]
    fn what_cannot_be_done_is_told_and_the_rest_is_done() {
        let (_directory, tags) = tags();
        tags.update(&message(REGISTER), at(0)).unwrap();
        let payload = "<register><entry ip='2001:db8::1'><tag><member>web</member><member>new</member></tag></entry>\
            <entry ip='10.0.0.x'><tag><member>web</member></tag></entry><entry ip='10.0.0.3'/></register>\
            <unregister><entry ip='10.0.0.1'><tag><member>no</member></tag></entry></unregister>\
            <login><entry name='bob' ip='10.0.0.3'/></login>";
        let refusal = write(&tags.update(&message(payload), at(0)).unwrap_err());
        for expected in [
            r#"<register><entry ip="2001:db8::1" message="tag web already exists, ignore"/>"#,
            r#"<entry ip="10.0.0.x" message="`10.0.0.x` is not an address"/>"#,
            r#"<entry ip="10.0.0.3" message="there is no tag to register"/></register>"#,
            r#"<unregister><entry ip="10.0.0.1" message="tag no does not exist, ignore unreg"/></unregister>"#,
            r#"<login><entry ip="10.0.0.3" message="`login` is not supported: only addresses can be registered"/></login>"#,
        ] {
            assert!(refusal.contains(expected), "{expected}\n{refusal}");
        }
        assert_eq!(told(&tags), "10.0.0.1 test,web; 2001:db8::1 new,web");
    }

    #[test]
    fn addresses_and_tags_are_bounded() {
        let (_directory, tags) = tags();
        let many: String = (0..=TAGS_MAX).map(|at| format!("<member>t{at}</member>")).collect();
        let register =
            |ip: &str, tags: &str| format!("<register><entry ip='{ip}'><tag>{tags}</tag></entry></register>");
        assert!(tags.update(&message(&register("10.0.0.1", &many)), at(0)).is_err());
        let mut known = lock(&tags.known);
        let entry = Entry { persistent: true, tags: [("t".to_owned(), None)].into() };
        known.extend((0..ADDRESSES_MAX as u32).map(|at| (IpAddr::V4(at.into()), entry.clone())));
        drop(known);
        assert!(tags.update(&message(&register("10.0.0.1", "<member>t</member>")), at(0)).is_err());
        assert_eq!(tags.clear(), ADDRESSES_MAX);
        let long = "x".repeat(TAG_CHARS_MAX + 1);
        for wrong in [format!("<member>{long}</member>"), "<member timeout='-1'>t</member>".into()] {
            assert!(tags.update(&message(&register("10.0.0.1", &wrong)), at(0)).is_err());
        }
    }

    #[test]
    fn what_is_persistent_outlives_a_restart() {
        let (directory, tags) = tags();
        tags.update(&message(REGISTER), at(0)).unwrap();
        tags.keep().unwrap();
        let path = directory.path().join("registered-ip.json");
        assert_eq!(told(&Tags::open(&path)), "2001:db8::1 web");
        fs::write(&path, "{").unwrap();
        assert_eq!(told(&Tags::open(&path)), "");
    }
}
