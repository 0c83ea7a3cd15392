//! Which firewall attributes does a policy carry?
//!
//! Labels `np.panw.com/KEY` with one value, as they are in use, and annotations of the same keys, which may have lists and
//! what a label's value cannot hold. Nothing under the prefix is passed over.

use std::collections::{BTreeMap, BTreeSet};

use bartizan_model::diagnostic::closest;

use crate::policy::Metadata;
use crate::problem::Problems;

/// What the keys begin with.
pub const PREFIX: &str = "np.panw.com/";

/// The profiles of a rule: the key, and the element of `profile-setting/profiles`.
pub const PROFILES: [(&str, &str); 8] = [
    ("antivirus", "virus"),
    ("spyware", "spyware"),
    ("vuln-protection", "vulnerability"),
    ("urlfiltering", "url-filtering"),
    ("fileblocking", "file-blocking"),
    ("datafiltering", "data-filtering"),
    ("wildfire", "wildfire-analysis"),
    ("ai-security", "ai-security"),
];
/// The other keys.
const OTHERS: [&str; 6] = ["appid", "profile-group", "logprofile", "action", "schedule", "dry-run"];
/// What `action` may be: `allow`, and what refuses.
const ACTIONS: [&str; 6] = ["allow", "deny", "drop", "reset-client", "reset-server", "reset-both"];
/// No profile, as a value.
const NONE: &str = "none";
/// Longest name of a profile, application or schedule (PAN-OS 11.1).
const NAME_MAX: usize = 63;

/// What the rules of a policy carry besides who, whom and which port.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attributes {
    /// Applications; empty means any.
    pub applications: BTreeSet<String>,
    /// Profiles by the element of `profile-setting/profiles`; never together with [`Attributes::group`].
    pub profiles: BTreeMap<&'static str, String>,
    /// A profile group.
    pub group: Option<String>,
    /// The log forwarding profile.
    pub log: Option<String>,
    /// How the rules refuse, if they refuse.
    pub refuse: Option<String>,
    /// The schedule.
    pub schedule: Option<String>,
    /// The policy is translated, and not enforced.
    pub dry_run: bool,
}

impl Attributes {
    /// The attributes, and where each is written, by its key.
    pub(crate) fn read(metadata: &Metadata, problems: &mut Problems) -> (Self, BTreeMap<String, String>) {
        let mut values: BTreeMap<&str, (String, Vec<&str>)> = BTreeMap::new();
        for (place, map) in [("labels", &metadata.labels), ("annotations", &metadata.annotations)] {
            for (name, value) in map {
                let Some(key) = name.strip_prefix(PREFIX) else { continue };
                let field = format!("metadata.{place}[{name}]");
                let words: Vec<&str> = if place == "labels" { vec![value.trim()] } else { list(value) };
                if !is_known(key) {
                    let keys: Vec<&str> = PROFILES.iter().map(|(key, _)| *key).chain(OTHERS).collect();
                    let near = closest(key, keys.iter().copied()).map(|near| format!("did you mean `{near}`?"));
                    let near = near.unwrap_or_else(|| format!("the keys are {}", keys.join(", ")));
                    problems.add(field, format!("`{key}` is no attribute of a firewall rule: {near}"));
                } else if words.is_empty() || words.iter().any(|word| word.is_empty()) {
                    problems.add(field, format!("has no value; leave it out, or write `{NONE}` for no profile"));
                } else if let Some((other, before)) = values.get(key) {
                    if *before != words {
                        problems.add(field, format!("is `{value}`, but {other} is `{}`: keep one", before.join(",")));
                    }
                } else {
                    values.insert(key, (field, words));
                }
            }
        }
        let places = values.iter().map(|(key, (field, _))| ((*key).to_owned(), field.clone())).collect();
        (Self::of(values, problems), places)
    }

    fn of(values: BTreeMap<&str, (String, Vec<&str>)>, problems: &mut Problems) -> Self {
        let mut read = Self::default();
        for (key, (field, words)) in &values {
            for word in words.iter().filter(|word| word.len() > NAME_MAX) {
                problems.add(field, format!("`{word}` is longer than a name can be: {NAME_MAX} characters"));
            }
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            for word in words.iter().filter(|word| !word.chars().all(fits)) {
                problems.add(
                    field,
                    format!("`{word}` is no name of an object: they have letters, digits, `-`, `_` and `.`"),
                );
            }
            if *key == "appid" {
                let some = words.iter().filter(|word| **word != "any");
                read.applications = some.map(|word| (*word).to_owned()).collect();
                if words.contains(&"any") && words.len() > 1 {
                    problems.add(field, "names `any` beside others: keep one of them");
                }
                continue;
            }
            let [word] = words[..] else {
                problems.add(field, format!("takes one value, not {}: {}", words.len(), words.join(", ")));
                continue;
            };
            let named = (word != NONE).then(|| word.to_owned());
            match *key {
                "profile-group" => read.group = named,
                "logprofile" => read.log = named,
                "schedule" => read.schedule = named,
                "action" if ACTIONS.contains(&word) => read.refuse = named.filter(|word| word != "allow"),
                "action" => problems.add(field, format!("`{word}` is no action: it is one of {}", ACTIONS.join(", "))),
                "dry-run" => match word {
                    "true" | "yes" => read.dry_run = true,
                    "false" | "no" => {}
                    _ => problems.add(field, format!("`{word}` is neither `true` nor `false`")),
                },
                profile => {
                    let element = PROFILES.iter().find(|(key, _)| *key == profile).map(|(_, element)| *element);
                    read.profiles.extend(element.zip(named));
                }
            }
        }
        if read.group.is_some() && !read.profiles.is_empty() {
            let field = values.get("profile-group").map_or("metadata", |(field, _)| field);
            problems.add(field, "a rule has a profile group or profiles of its own, not both: keep one of them");
        }
        read
    }

    /// What a rule carries that refuses.
    pub(crate) fn of_a_refusal(&self) -> Self {
        let Self { applications, log, refuse, schedule, .. } = self.clone();
        Self { applications, log, refuse, schedule, ..Self::default() }
    }

    /// The same for those flows alone that another policy means; `None` when no application is in both.
    pub(crate) fn within(&self, outer: &Self) -> Option<Self> {
        Some(Self { applications: self.common(outer)?, ..self.clone() })
    }

    /// What is refused of what `source` allows; `None` when no application is in both.
    pub(crate) fn refuses(&self, source: &Self) -> Option<Self> {
        let schedule = self.schedule.clone().or_else(|| source.schedule.clone());
        Some(Self { applications: self.common(source)?, schedule, ..self.clone() })
    }

    /// The applications of both; `None` when there are none, which is not the same as any.
    fn common(&self, other: &Self) -> Option<BTreeSet<String>> {
        match (self.applications.is_empty(), other.applications.is_empty()) {
            (true, _) => Some(other.applications.clone()),
            (_, true) => Some(self.applications.clone()),
            _ => {
                let both: BTreeSet<String> = self.applications.intersection(&other.applications).cloned().collect();
                (!both.is_empty()).then_some(both)
            }
        }
    }

    /// What a flow gets that both of two policies allow; `None` when no application is in both. Where both name
    /// another profile, group, log profile or schedule, the one of the destination's policy (`self`) stays.
    pub(crate) fn and(&self, source: &Self) -> Option<Self> {
        let applications = self.common(source)?;
        let mut profiles = self.profiles.clone();
        if self.group.is_none() {
            for (element, name) in &source.profiles {
                profiles.entry(element).or_insert_with(|| name.clone());
            }
        }
        let group = self.group.clone().or_else(|| source.group.clone().filter(|_| profiles.is_empty()));
        Some(Self {
            applications,
            profiles,
            group,
            log: self.log.clone().or_else(|| source.log.clone()),
            refuse: None,
            schedule: self.schedule.clone().or_else(|| source.schedule.clone()),
            dry_run: false,
        })
    }

    /// How much is looked at: rules that look at more go before others that allow the same.
    pub(crate) fn weight(&self) -> usize {
        self.profiles.len() + usize::from(self.group.is_some()) * PROFILES.len()
    }
}

fn is_known(key: &str) -> bool {
    OTHERS.contains(&key) || PROFILES.iter().any(|(known, _)| *known == key)
}

/// The words of an annotation: with commas or spaces between them.
fn list(value: &str) -> Vec<&str> {
    value.split([',', ' ', '\n', '\t']).filter(|word| !word.is_empty()).collect()
}
