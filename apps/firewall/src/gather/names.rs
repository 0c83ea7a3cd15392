//! Which addresses are behind the names of FQDN objects?
//!
//! Names are asked for with the host's own resolver settings, IPv4 and IPv6 apart. An answer is good for its
//! time to live, held between a floor and a ceiling. That a name does not exist is an answer; that nobody
//! answers is not: the last good addresses stay, and the question is asked again with growing pauses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bartizan_model::device::{AddressValue, DeviceConfig};
use futures_util::StreamExt;
use hickory_resolver::TokioResolver;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::Notify;
use tracing::warn;

use super::{current, learn, lock, moment};
use crate::firewall::Firewall;

/// An answer is kept at least this long, as on PAN-OS.
const TTL_MIN: Duration = Duration::from_secs(30);
/// An answer is kept at most this long.
const TTL_MAX: Duration = Duration::from_secs(24 * 3600);
/// First pause after a failure; it doubles.
const RETRY_MIN: Duration = Duration::from_secs(2);
/// Longest pause after a failure.
const RETRY_MAX: Duration = Duration::from_secs(300);
/// Names that are asked for at a time.
const QUERIES_MAX: usize = 16;
/// Addresses of one family that are kept of a name; more are left out and told, as on PAN-OS.
pub const ADDRESSES_MAX: usize = 32;
/// A question takes no longer than this, whatever the resolver does.
const QUERY_LIMIT: Duration = Duration::from_secs(15);
/// How often the host's resolver settings are looked at while nothing is due.
const IDLE: Duration = Duration::from_secs(60);

/// The names of the running configuration.
#[derive(Debug, Default)]
pub struct Names {
    known: Mutex<BTreeMap<String, Name>>,
    wake: Notify,
}

/// One name.
#[derive(Clone, Debug)]
struct Name {
    v4: BTreeSet<IpAddr>,
    v6: BTreeSet<IpAddr>,
    resolved: Option<Timestamp>,
    failures: u32,
    error: Option<String>,
    due: Instant,
}

/// A line of `request system fqdn show`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NameRow {
    /// The name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// When it was resolved last.
    pub resolved: String,
    /// Seconds until it is asked for again.
    pub refresh_s: u64,
    /// Why the last question had no good answer.
    pub error: Option<String>,
}

/// What one question came to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// The addresses, good this long.
    Known(BTreeSet<IpAddr>, Duration),
    /// Nobody answered, or not with sense.
    Failed(String),
}

impl Names {
    /// What is known.
    pub fn rows(&self) -> Vec<NameRow> {
        let now = Instant::now();
        let row = |(name, known): (&String, &Name)| NameRow {
            name: name.clone(),
            addresses: known.v4.union(&known.v6).copied().collect(),
            resolved: moment(known.resolved),
            refresh_s: known.due.saturating_duration_since(now).as_secs(),
            error: known.error.clone(),
        };
        lock(&self.known).iter().map(row).collect()
    }

    /// Asks for every name again at once; how many there are.
    pub fn refresh(&self) -> usize {
        let mut known = lock(&self.known);
        known.values_mut().for_each(|name| name.due = Instant::now());
        self.wake.notify_one();
        known.len()
    }

    /// Follows the configuration: new names are due at once, names that are gone are forgotten.
    fn follow(&self, config: &DeviceConfig, now: Instant) {
        let wanted = wanted(config);
        let mut known = lock(&self.known);
        known.retain(|name, _| wanted.contains(name));
        for name in wanted {
            known.entry(name).or_insert_with(|| Name {
                v4: BTreeSet::new(),
                v6: BTreeSet::new(),
                resolved: None,
                failures: 0,
                error: None,
                due: now,
            });
        }
    }

    fn due(&self, now: Instant) -> Vec<String> {
        lock(&self.known).iter().filter(|(_, name)| name.due <= now).map(|(name, _)| name.clone()).collect()
    }

    fn next(&self) -> Option<Instant> {
        lock(&self.known).values().map(|name| name.due).min()
    }

    fn take_in(&self, name: &str, [v4, v6]: [Outcome; 2], now: Instant) {
        let mut known = lock(&self.known);
        let Some(entry) = known.get_mut(name) else { return };
        let mut good_for = TTL_MAX;
        let mut errors = Vec::new();
        for (outcome, addresses) in [(v4, &mut entry.v4), (v6, &mut entry.v6)] {
            match outcome {
                Outcome::Known(found, ttl) => {
                    if found.len() > ADDRESSES_MAX {
                        errors.push(format!("{} addresses, of which {ADDRESSES_MAX} are used", found.len()));
                    }
                    *addresses = found.into_iter().take(ADDRESSES_MAX).collect();
                    good_for = good_for.min(ttl.clamp(TTL_MIN, TTL_MAX));
                    entry.resolved = Some(Timestamp::now());
                }
                Outcome::Failed(error) => {
                    good_for = good_for.min(pause(entry.failures));
                    errors.push(error);
                }
            }
        }
        entry.failures = if errors.is_empty() { 0 } else { entry.failures.saturating_add(1) };
        entry.due = now + good_for;
        if entry.v4.is_empty() && entry.v6.is_empty() && errors.is_empty() {
            errors.push("the name has no address".to_owned());
        }
        errors.dedup();
        let error = (!errors.is_empty()).then(|| errors.join("; "));
        if error != entry.error
            && let Some(error) = &error
        {
            warn!("name `{name}`: {error}");
        }
        entry.error = error;
    }

    fn facts(&self) -> BTreeMap<String, BTreeSet<IpAddr>> {
        let known = lock(&self.known);
        let asked = known.iter().filter(|(_, name)| name.resolved.is_some());
        asked.map(|(name, known)| (name.clone(), known.v4.union(&known.v6).copied().collect())).collect()
    }
}

/// How long to wait after so many failures in a row.
fn pause(failures: u32) -> Duration {
    RETRY_MIN.saturating_mul(1 << failures.min(10)).min(RETRY_MAX)
}

fn wanted(config: &DeviceConfig) -> BTreeSet<String> {
    let names = config.addresses.iter().filter_map(|address| match &address.value {
        AddressValue::Fqdn(name) => Some(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()),
        AddressValue::Prefix(_) | AddressValue::Range(..) | AddressValue::Wildcard(_) => None,
    });
    names.collect()
}

/// Keeps the names known, as long as the firewall runs.
pub(super) async fn run(firewall: Arc<Firewall>) {
    let mut followed = firewall.follow();
    let Some(gatherers) = firewall.gatherers() else { return };
    let names = &gatherers.names;
    let mut told = BTreeMap::new();
    loop {
        if let Some(running) = current(&mut followed) {
            names.follow(&running.config, Instant::now());
        }
        let due = names.due(Instant::now());
        if !due.is_empty() {
            ask_all(names, due).await;
        }
        let facts = names.facts();
        if facts != told {
            told.clone_from(&facts);
            learn(&firewall, "names", |all| all.names = facts).await;
        }
        let wait = names.next().map_or(IDLE, |next| next.saturating_duration_since(Instant::now()).min(IDLE));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = names.wake.notified() => {}
            _ = followed.changed() => {}
        }
    }
}

async fn ask_all(names: &Names, due: Vec<String>) {
    // The host's settings may have changed since the last time.
    let resolver = TokioResolver::builder_tokio().map_err(|error| error.to_string()).and_then(|mut builder| {
        let options = builder.options_mut();
        // Times to live are minded here.
        options.cache_size = 0;
        builder.build().map_err(|error| error.to_string())
    });
    let resolver = &resolver;
    let answers = futures_util::stream::iter(due).map(|name| async move {
        let outcomes = match resolver {
            Ok(resolver) => resolve(resolver, &name).await,
            Err(error) => {
                let failed = || Outcome::Failed(format!("the host's resolver settings cannot be used: {error}"));
                [failed(), failed()]
            }
        };
        (name, outcomes)
    });
    let mut answers = std::pin::pin!(answers.buffer_unordered(QUERIES_MAX));
    while let Some((name, outcomes)) = answers.next().await {
        names.take_in(&name, outcomes, Instant::now());
    }
}

async fn resolve(resolver: &TokioResolver, name: &str) -> [Outcome; 2] {
    // With its final dot the name is asked for as it is, without the host's search list.
    let name = format!("{name}.");
    let name = &name;
    let family = |kind| async move {
        match tokio::time::timeout(QUERY_LIMIT, resolver.lookup(name.as_str(), kind)).await {
            Ok(Ok(answer)) => {
                let addresses = answer.answers().iter().filter_map(|record| match &record.data {
                    RData::A(ip) => Some(IpAddr::V4(ip.0)),
                    RData::AAAA(ip) => Some(IpAddr::V6(ip.0)),
                    _ => None,
                });
                Outcome::Known(addresses.collect(), answer.valid_until().saturating_duration_since(Instant::now()))
            }
            Ok(Err(error)) => failure(&error),
            Err(_) => Outcome::Failed("no name server answered".to_owned()),
        }
    };
    let (v4, v6) = tokio::join!(family(RecordType::A), family(RecordType::AAAA));
    [v4, v6]
}

/// That there is no such name or no such record is an answer.
fn failure(error: &NetError) -> Outcome {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none))
            if matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError) =>
        {
            Outcome::Known(BTreeSet::new(), Duration::from_secs(none.negative_ttl.unwrap_or(0).into()))
        }
        other => Outcome::Failed(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(addresses: &[&str], ttl_s: u64) -> Outcome {
        Outcome::Known(addresses.iter().map(|ip| ip.parse().unwrap()).collect(), Duration::from_secs(ttl_s))
    }

    fn none() -> Outcome {
        known(&[], 0)
    }

    fn names(config: &[&str]) -> (Names, Instant) {
        let (names, now) = (Names::default(), Instant::now());
        let addresses = config.iter().map(|name| bartizan_model::device::Address {
            name: (*name).to_owned(),
            origin: Default::default(),
            value: AddressValue::Fqdn((*name).to_owned()),
            tags: Vec::new(),
        });
        names.follow(&DeviceConfig { addresses: addresses.collect(), ..DeviceConfig::default() }, now);
        (names, now)
    }

    #[test]
    fn the_time_to_live_has_a_floor_and_a_ceiling() {
        let (names, now) = names(&["A.example."]);
        assert_eq!(names.due(now), ["a.example"]);
        for (ttl, seconds) in [(0, 30), (300, 300), (1_000_000, 86400)] {
            names.take_in("a.example", [known(&["192.0.2.1"], ttl), known(&["2001:db8::1"], 1_000_000)], now);
            assert_eq!(names.next(), Some(now + Duration::from_secs(seconds)));
        }
        assert_eq!(names.facts()["a.example"].len(), 2);
    }

    #[test]
    fn the_last_good_answer_stays_while_nobody_answers() {
        let (names, now) = names(&["a.example"]);
        names.take_in("a.example", [known(&["192.0.2.1"], 60), known(&["2001:db8::1"], 60)], now);
        let failed = || [Outcome::Failed("timeout".into()), Outcome::Failed("timeout".into())];
        for seconds in [2, 4, 8] {
            names.take_in("a.example", failed(), now);
            assert_eq!(names.next(), Some(now + Duration::from_secs(seconds)));
        }
        assert_eq!(names.rows()[0].error.as_deref(), Some("timeout"));
        assert_eq!(names.facts()["a.example"].len(), 2);
        // One family answers, the other keeps what it had.
        names.take_in("a.example", [known(&["192.0.2.9"], 60), Outcome::Failed("refused".into())], now);
        let addresses: Vec<_> = names.facts()["a.example"].iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["192.0.2.9", "2001:db8::1"]);
        assert_eq!(pause(99), RETRY_MAX);
    }

    #[test]
    fn a_name_that_is_gone_has_no_address_and_says_so() {
        let (names, now) = names(&["a.example", "b.example"]);
        assert!(names.facts().is_empty());
        names.take_in("a.example", [known(&["192.0.2.1"], 60), none()], now);
        names.take_in("a.example", [none(), none()], now);
        assert_eq!(names.facts(), [("a.example".to_owned(), BTreeSet::new())].into());
        assert_eq!(names.rows()[0].error.as_deref(), Some("the name has no address"));
        names.follow(&DeviceConfig::default(), now);
        assert_eq!((names.rows(), names.refresh()), (Vec::new(), 0));
    }

    #[test]
    fn more_addresses_than_are_kept_are_told() {
        let (names, now) = names(&["a.example"]);
        let many: Vec<String> = (0..40).map(|at| format!("192.0.2.{at}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        names.take_in("a.example", [known(&many, 60), none()], now);
        assert_eq!(names.facts()["a.example"].len(), ADDRESSES_MAX);
        assert_eq!(names.rows()[0].error.as_deref(), Some("40 addresses, of which 32 are used"));
    }
}
