//! Which profiles, groups, applications, log profiles and schedules may a policy name?
//!
//! The security administrator's answer to what the teams of a cluster write: entries that say which namespaces they are
//! for and what policies there may name, and the names that exist. Without an entry everything that exists may be named.
//! With entries, a policy may name what the entries that are for its namespace allow together, and a namespace that no
//! entry is for may name nothing. `none` and a missing attribute are allowed unless an entry wants a profile.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bartizan_model::diagnostic::closest;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::attributes::{PREFIX, PROFILES};
use crate::checked::Checked;
use crate::cluster::Labels;
use crate::problem::{Kind, Problem, Problems, Reason};
use crate::selector::{LabelSelector, Selector, parse};

/// In an entry, instead of names: everything that exists.
pub const ANY: &str = "any";
/// Names that one message lists; of more it tells how many there are.
const LISTED_MAX: usize = 10;

/// What policies may name.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Catalogue {
    /// What the teams may name. None at all: everything that exists.
    pub entries: Vec<Entry>,
    /// What exists in the device group; a list that is missing here was not told, and nothing is looked up in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known: Option<Names>,
}

/// What the policies of some namespaces may name.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Entry {
    /// Its name, for messages.
    pub name: String,
    /// The clusters it is for; empty means all.
    pub clusters: BTreeSet<String>,
    /// The namespaces it is for; empty means all. In a file also a text as `kubectl -l` takes it.
    #[serde(deserialize_with = "text_or_selector")]
    pub namespace_selector: LabelSelector,
    /// What may be named there; of a list that is missing nothing. [`ANY`] is everything.
    pub allow: Names,
    /// Policies that allow something must name a profile, or a profile group.
    pub require_profile: bool,
}

/// Names of objects, by what they are.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Names {
    /// Profiles, by the element of `profile-setting/profiles`: `virus`, `spyware`, `vulnerability`, …
    pub profiles: BTreeMap<String, BTreeSet<String>>,
    /// Profile groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_groups: Option<BTreeSet<String>>,
    /// Applications, their groups and filters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applications: Option<BTreeSet<String>>,
    /// Log forwarding profiles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_settings: Option<BTreeSet<String>>,
    /// Schedules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedules: Option<BTreeSet<String>>,
}

/// A kind of objects that policies name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    /// Key of the attribute, and element of the configuration.
    Profile(&'static str, &'static str),
    ProfileGroup,
    Application,
    LogSetting,
    Schedule,
}

impl Sort {
    fn all() -> impl Iterator<Item = Self> {
        let others = [Self::ProfileGroup, Self::Application, Self::LogSetting, Self::Schedule];
        PROFILES.into_iter().map(|(key, element)| Self::Profile(key, element)).chain(others)
    }

    fn key(self) -> &'static str {
        match self {
            Self::Profile(key, _) => key,
            Self::ProfileGroup => "profile-group",
            Self::Application => "appid",
            Self::LogSetting => "logprofile",
            Self::Schedule => "schedule",
        }
    }

    fn of(self, names: &Names) -> Option<&BTreeSet<String>> {
        match self {
            Self::Profile(_, element) => names.profiles.get(element),
            Self::ProfileGroup => names.profile_groups.as_ref(),
            Self::Application => names.applications.as_ref(),
            Self::LogSetting => names.log_settings.as_ref(),
            Self::Schedule => names.schedules.as_ref(),
        }
    }

    /// What a policy names of the kind.
    fn named(self, policy: &Checked) -> Vec<&String> {
        let attributes = &policy.attributes;
        match self {
            Self::Profile(_, element) => attributes.profiles.get(element).into_iter().collect(),
            Self::ProfileGroup => attributes.group.iter().collect(),
            Self::Application => attributes.applications.iter().collect(),
            Self::LogSetting => attributes.log.iter().collect(),
            Self::Schedule => attributes.schedule.iter().collect(),
        }
    }
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Profile(_, element) => write!(f, "{element} profile"),
            Self::ProfileGroup => f.write_str("profile group"),
            Self::Application => f.write_str("application"),
            Self::LogSetting => f.write_str("log forwarding profile"),
            Self::Schedule => f.write_str("schedule"),
        }
    }
}

impl Catalogue {
    /// What a policy names and may not: [`Reason::ObjectNotFound`] or [`Reason::NotAllowed`], each with its field.
    ///
    /// `labels` are those of the policy's namespace; they do not matter for a ClusterNetworkPolicy, for which the entries
    /// for all namespaces are.
    pub fn review(&self, cluster: &str, labels: &Labels, policy: &Checked) -> Vec<Problem> {
        let entries = (!self.entries.is_empty())
            .then(|| self.entries.iter().filter(|entry| entry.is_for(cluster, labels, policy)).collect::<Vec<_>>());
        let mut problems = Problems::of(policy.kind(), policy.full_name());
        for sort in Sort::all() {
            let known = self.known.as_ref().and_then(|known| sort.of(known));
            for name in sort.named(policy) {
                let told = Question { sort, name, known, entries: entries.as_deref(), policy }.answer();
                if let Some((reason, what)) = told {
                    problems.tell(reason, place(policy, sort.key()), what);
                }
            }
        }
        let wants = entries.iter().flatten().find(|entry| entry.require_profile);
        let attributes = &policy.attributes;
        let has_profile = attributes.group.is_some() || !attributes.profiles.is_empty();
        if let Some(entry) = wants.filter(|_| policy.allows() && !has_profile) {
            let instead =
                format!("name one by `{PREFIX}profile-group`, `{PREFIX}vuln-protection` or another of the keys");
            let what = format!("names no profile, and entry `{}` of the catalogue wants one: {instead}", entry.name);
            problems.tell(Reason::NotAllowed, "metadata.annotations", what);
        }
        problems.found
    }

    /// What is wrong with the catalogue itself, each with its place.
    pub fn faults(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        for (index, entry) in self.entries.iter().enumerate() {
            let place = format!("entries[{index}]");
            if entry.name.is_empty() {
                found.push(format!("{place}.name: is missing"));
            } else if !seen.insert(&entry.name) {
                found.push(format!("{place}.name: `{}` is the name of an entry before: give it another", entry.name));
            }
            let selector = entry.namespace_selector.compile().err().unwrap_or_default();
            found.extend(selector.into_iter().map(|fault| format!("{place}.namespace-selector.{fault}")));
            found.extend(wrong_elements(&format!("{place}.allow"), &entry.allow));
            found.extend(self.unknown(&format!("{place}.allow"), &entry.allow));
        }
        found.extend(self.known.iter().flat_map(|known| wrong_elements("known", known)));
        found
    }

    /// What an entry allows and does not exist.
    fn unknown(&self, place: &str, allow: &Names) -> Vec<String> {
        let mut found = Vec::new();
        for sort in Sort::all() {
            let known = self.known.as_ref().and_then(|known| sort.of(known));
            let (Some(known), Some(allowed)) = (known, sort.of(allow)) else { continue };
            for name in allowed.iter().filter(|name| *name != ANY && !known.contains(*name)) {
                let near = instead(name, known).unwrap_or_else(|| "there is none".to_owned());
                found.push(format!("{place}: `{name}` is no {sort} that exists: {near}"));
            }
        }
        found
    }
}

impl Entry {
    /// Whether it is for a policy in a namespace with the labels; for a ClusterNetworkPolicy when it is for all
    /// namespaces. A selector that cannot be understood is for nobody.
    fn is_for(&self, cluster: &str, labels: &Labels, policy: &Checked) -> bool {
        let is_cluster = self.clusters.is_empty() || self.clusters.contains(cluster);
        let fits = |selector: Selector| match policy.kind() {
            Kind::NetworkPolicy => selector.matches(labels),
            Kind::ClusterNetworkPolicy => selector.is_everything(),
        };
        is_cluster && self.namespace_selector.compile().is_ok_and(fits)
    }
}

/// May a policy name it?
struct Question<'a> {
    sort: Sort,
    name: &'a String,
    known: Option<&'a BTreeSet<String>>,
    /// Those that are for the policy's namespace; `None` when the catalogue has none at all.
    entries: Option<&'a [&'a Entry]>,
    policy: &'a Checked,
}

impl Question<'_> {
    /// Why not; `None` for yes.
    fn answer(&self) -> Option<(Reason, String)> {
        let Self { sort, name, known, entries, policy } = self;
        let allowed = self.allowed();
        let exists = known.is_none_or(|known| known.contains(*name));
        if exists && allowed.as_ref().is_none_or(|allowed| allowed.contains(*name)) {
            return None;
        }
        let may = match (&allowed, known) {
            (Some(allowed), Some(known)) => allowed.intersection(known).cloned().collect(),
            (Some(allowed), None) => allowed.clone(),
            (None, known) => known.cloned().unwrap_or_default(),
        };
        let near = instead(name, &may);
        if !exists {
            let near = near.unwrap_or_else(|| "none can be named here".to_owned());
            return Some((Reason::ObjectNotFound, format!("`{name}` is no {sort} that exists: {near}")));
        }
        let why = match entries.unwrap_or_default() {
            [] => format!("no entry of the catalogue is for {}", whose(policy)),
            entries => {
                let names: Vec<String> = entries.iter().map(|entry| format!("`{}`", entry.name)).collect();
                let near = near.unwrap_or_else(|| format!("they allow no {sort}"));
                format!("the catalogue's entries for {} are {}; {near}", whose(policy), names.join(", "))
            }
        };
        Some((Reason::NotAllowed, format!("{sort} `{name}` may not be named: {why}")))
    }

    /// What the entries let be named; `None` for everything.
    fn allowed(&self) -> Option<BTreeSet<String>> {
        let lists: Vec<&BTreeSet<String>> =
            self.entries?.iter().filter_map(|entry| self.sort.of(&entry.allow)).collect();
        let allowed: BTreeSet<String> = lists.into_iter().flatten().cloned().collect();
        (!allowed.contains(ANY)).then_some(allowed)
    }
}

/// Whose names are meant, in a message.
fn whose(policy: &Checked) -> String {
    match policy.kind() {
        Kind::NetworkPolicy => format!("namespace `{}`", policy.namespace),
        Kind::ClusterNetworkPolicy => "policies of the whole cluster".to_owned(),
    }
}

/// Where the attribute is written.
fn place(policy: &Checked, key: &str) -> String {
    policy.places.get(key).cloned().unwrap_or_else(|| format!("metadata.annotations[{PREFIX}{key}]"))
}

/// What can be there instead; `None` when nothing can.
fn instead(name: &str, may: &BTreeSet<String>) -> Option<String> {
    if may.is_empty() {
        return None;
    }
    if let Some(near) = closest(name, may.iter().map(String::as_str)) {
        return Some(format!("did you mean `{near}`?"));
    }
    let listed: Vec<String> = may.iter().take(LISTED_MAX).map(|name| format!("`{name}`")).collect();
    let more = may.len() - listed.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("there are {}{more}", listed.join(", ")))
}

/// Keys of `profiles` that are no element.
fn wrong_elements(place: &str, names: &Names) -> Vec<String> {
    let elements = || PROFILES.iter().map(|(_, element)| *element);
    let wrong = names.profiles.keys().filter(|key| !elements().any(|element| element == key.as_str()));
    let told = wrong.map(|key| {
        let meant = PROFILES.iter().find(|(attribute, _)| attribute == key).map(|(_, element)| *element);
        let near = meant.or_else(|| closest(key, elements())).map(|near| format!("did you mean `{near}`?"));
        let near = near.unwrap_or_else(|| format!("they are {}", elements().collect::<Vec<_>>().join(", ")));
        format!("{place}.profiles: `{key}` is no element of `profile-setting/profiles`: {near}")
    });
    told.collect()
}

fn text_or_selector<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LabelSelector, D::Error> {
    struct Either;

    impl<'de> Visitor<'de> for Either {
        type Value = LabelSelector;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a selector as `team=shop`, or with `matchLabels` and `matchExpressions`")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<LabelSelector, E> {
            parse(text).map_err(E::custom)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<LabelSelector, A::Error> {
            LabelSelector::deserialize(MapAccessDeserializer::new(map)).map_err(A::Error::custom)
        }
    }

    deserializer.deserialize_any(Either)
}
