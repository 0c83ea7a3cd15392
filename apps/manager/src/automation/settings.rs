//! What becomes of the policies of which cluster? The administrator's settings.
//!
//! They stand in the running configuration, an entry for each cluster, below `plugins/kubernetes/policy-automation`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bartizan_model::codes;
use bartizan_model::diagnostic::{Diagnostic, Origin};
use bartizan_model::manager::{self, LOCALHOST_XPATH};
use bartizan_model::registered::is_cluster_name;
use bartizan_model::tree::{Element, quote};
use bartizan_playbook::Ranges;
use bartizan_playbook::change::Place;

/// Who makes the edits of runs. Nobody logs in under this name.
pub(crate) const AUTHOR: &str = "automation";
/// How long changes are gathered for one run, in milliseconds, where runs commit by themselves.
const WINDOW_MS: u64 = 50;
/// The same where somebody looks at them first.
const WINDOW_HELD_MS: u64 = 2000;
/// Longest window, in milliseconds.
const WINDOW_MAX_MS: u64 = 600_000;
/// Most rules of a cluster, unless it says otherwise.
pub(crate) const RULES_MAX: usize = 20_000;
/// Most that it may say.
const RULES_LIMIT: usize = 65_000;

/// What is done about a generated object that somebody changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Drift {
    /// It becomes what it was.
    Heal,
    /// It stays as it is, until the policy it is of changes.
    Keep,
    /// It is told, and stays until the next run.
    #[default]
    Report,
}

/// The settings of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The device group that gets the rules.
    pub(crate) device_group: String,
    /// Zones of the rules; empty means any.
    pub(crate) zones: Vec<String>,
    /// Where the rules go when there are none yet.
    pub(crate) place: Place,
    /// Runs commit by themselves; otherwise somebody approves first.
    pub(crate) auto_commit: bool,
    /// How long changes are gathered for one run.
    pub(crate) window: Duration,
    /// Pods that no policy is about may talk.
    pub(crate) allow_the_rest: bool,
    /// Addresses of pods: who has one and is not known yet, waits.
    pub(crate) pods: Ranges,
    /// Most rules.
    pub(crate) rules_max: usize,
    /// Services become service objects.
    pub(crate) service_objects: bool,
    /// Whoever told or asked for a change does not approve it.
    pub(crate) four_eyes: bool,
    /// What is done about drift.
    pub(crate) drift: Drift,
    /// Nothing is done at all.
    pub(crate) disabled: bool,
}

/// The settings of all clusters, and what is wrong with some.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// By cluster; those with an error are not there.
    pub(crate) clusters: BTreeMap<String, Settings>,
    found: Vec<Diagnostic>,
}

fn plugin(root: &Element) -> Option<&Element> {
    manager::container(root, "plugins")?.child("kubernetes").map(|plugin| &**plugin)
}

/// Entries of a list of the plugin.
pub(super) fn entries<'a>(root: &'a Element, list: &str) -> impl Iterator<Item = (&'a str, &'a Element)> {
    let list = plugin(root).and_then(|plugin| plugin.child(list));
    list.into_iter().flat_map(|list| list.entries()).map(|(name, entry)| (name, &**entry))
}

pub(super) fn text(entry: &Element, name: &str) -> Option<String> {
    entry.child(name).map(|child| child.text().trim().to_owned()).filter(|text| !text.is_empty())
}

pub(super) fn members(entry: &Element, name: &str) -> Vec<String> {
    entry.child(name).map(|list| list.members().collect()).unwrap_or_default()
}

impl Read {
    /// Reads a manager's configuration.
    pub(crate) fn of(root: &Element) -> Self {
        let mut read = Self::default();
        let groups: BTreeSet<String> = manager::device_groups(root).into_iter().collect();
        for (cluster, entry) in entries(root, "policy-automation") {
            let base =
                format!("{LOCALHOST_XPATH}/plugins/kubernetes/policy-automation/entry[@name={}]", quote(cluster));
            let mut reader = Reader { entry, base, found: Vec::new() };
            let settings = reader.settings(cluster, &groups);
            if reader.found.is_empty() {
                read.clusters.insert(cluster.to_owned(), settings);
            }
            read.found.append(&mut reader.found);
        }
        read
    }
}

struct Reader<'a> {
    entry: &'a Element,
    base: String,
    found: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn wrong(&mut self, code: &'static str, element: &str, message: String, help: &str) {
        let at = if element.is_empty() { self.base.clone() } else { format!("{}/{element}", self.base) };
        self.found.push(Diagnostic::error(code, Origin::xpath(at), message).with_help(help));
    }

    fn settings(&mut self, cluster: &str, groups: &BTreeSet<String>) -> Settings {
        if !is_cluster_name(cluster) {
            let message = format!("`{cluster}` is no name of a cluster");
            self.wrong(codes::INVALID_NAME, "", message, "it is 1 to 20 of A-Z a-z 0-9 _ -");
        }
        let device_group = text(self.entry, "device-group").unwrap_or_default();
        if device_group.is_empty() {
            let message = format!("the policies of cluster `{cluster}` have no device group");
            self.wrong(codes::MISSING_MEMBER, "device-group", message, "name the device group that gets the rules");
        } else if !groups.contains(&device_group) {
            let message = format!("device group `{device_group}` of cluster `{cluster}` does not exist");
            self.wrong(codes::UNKNOWN_DEVICE_GROUP, "device-group", message, "name one that does, or make it");
        }
        let auto_commit = self.flag("auto-commit", false);
        let window_ms = if auto_commit { WINDOW_MS } else { WINDOW_HELD_MS };
        let rules_max = self.number("rules-max", RULES_MAX as u64, RULES_LIMIT as u64);
        Settings {
            device_group,
            zones: members(self.entry, "zone"),
            place: self.place(),
            auto_commit,
            window: Duration::from_millis(self.number("batch-window", window_ms, WINDOW_MAX_MS)),
            allow_the_rest: self.flag("allow-the-rest", true),
            pods: self.pods(),
            rules_max: usize::try_from(rules_max).unwrap_or(RULES_MAX),
            service_objects: self.flag("service-objects", false),
            four_eyes: self.flag("four-eyes", false),
            drift: self.drift(),
            disabled: self.flag("disabled", false),
        }
    }

    fn flag(&mut self, name: &str, otherwise: bool) -> bool {
        match text(self.entry, name).as_deref() {
            None => otherwise,
            Some("yes") => true,
            Some("no") => false,
            Some(other) => {
                self.wrong(
                    codes::INVALID_ENUM,
                    name,
                    format!("`{other}` is neither `yes` nor `no`"),
                    "write one of them",
                );
                otherwise
            }
        }
    }

    fn number(&mut self, name: &str, otherwise: u64, most: u64) -> u64 {
        let Some(text) = text(self.entry, name) else { return otherwise };
        match text.parse::<u64>() {
            Ok(number) if number <= most => number,
            Ok(_) | Err(_) => {
                let message = format!("`{text}` is no number from 0 to {most}");
                self.wrong(codes::INVALID_NUMBER, name, message, "leave it out for the usual one");
                otherwise
            }
        }
    }

    fn pods(&mut self) -> Ranges {
        let texts = members(self.entry, "pod-cidr");
        if !texts.is_empty() && text(self.entry, "allow-the-rest").as_deref() == Some("no") {
            let message = "with `allow-the-rest` no there is no group of all known pods".to_owned();
            self.wrong(
                codes::CHOICE,
                "pod-cidr",
                message,
                "leave one of the two out: the rules behind refuse unknown pods",
            );
        }
        Ranges::read(texts.iter().map(String::as_str)).unwrap_or_else(|wrong| {
            let message = format!("`{}` is no prefix", wrong.join("`, `"));
            self.wrong(codes::INVALID_ADDRESS, "pod-cidr", message, "write it as `10.244.0.0/16`");
            Ranges::default()
        })
    }

    fn place(&mut self) -> Place {
        let Some(place) = self.entry.child("place") else { return Place::default() };
        let mut choices = place.elements().map(|choice| (&*choice.name, choice.text().trim().to_owned()));
        match (choices.next(), choices.next()) {
            (Some(("top", _)), None) => Place::Top,
            (Some(("bottom", _)) | None, None) => Place::Bottom,
            (Some(("before", rule)), None) if !rule.is_empty() => Place::Before(rule),
            (Some(("after", rule)), None) if !rule.is_empty() => Place::After(rule),
            _ => {
                let help = "it has one of `top`, `bottom`, `before` and `after`, the last two with a rule's name";
                self.wrong(codes::CHOICE, "place", "where the rules go cannot be read".to_owned(), help);
                Place::default()
            }
        }
    }

    fn drift(&mut self) -> Drift {
        match text(self.entry, "drift").as_deref() {
            Some("heal") => Drift::Heal,
            Some("keep") => Drift::Keep,
            None | Some("report") => Drift::Report,
            Some(other) => {
                let message = format!("`{other}` is none of `heal`, `keep` and `report`");
                self.wrong(codes::INVALID_ENUM, "drift", message, "write one of them");
                Drift::default()
            }
        }
    }
}

/// What is wrong with the settings of a candidate.
pub(crate) fn check(root: &Element) -> Vec<Diagnostic> {
    let Read { clusters, mut found } = Read::of(root);
    if clusters.is_empty() {
        return found;
    }
    let users = root.descend(&["mgt-config", "users"]);
    if users.is_some_and(|users| users.entry_named(AUTHOR).is_some()) {
        let at = Origin::xpath(format!("/config/mgt-config/users/entry[@name='{AUTHOR}']"));
        let message = format!("`{AUTHOR}` is who makes the edits of policy automation, and no administrator");
        found
            .push(Diagnostic::error(codes::INVALID_NAME, at, message).with_help("give the administrator another name"));
    }
    for (cluster, settings) in &clusters {
        let base = format!("{LOCALHOST_XPATH}/plugins/kubernetes/policy-automation/entry[@name={}]", quote(cluster));
        if settings.four_eyes && settings.auto_commit {
            let message =
                format!("runs of cluster `{cluster}` wait for approval: `four-eyes` goes before `auto-commit`");
            let at = Origin::xpath(format!("{base}/auto-commit"));
            found.push(Diagnostic::warning(codes::CHOICE, at, message).with_help("keep one of the two"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use bartizan_model::xml;

    use super::*;

    fn with(entry: &str) -> Element {
        let text = format!(
            "<config><devices><entry name='localhost.localdomain'><device-group><entry name='dg'/></device-group><plugins>\
             <kubernetes><policy-automation>{entry}</policy-automation></kubernetes></plugins></entry></devices></config>"
        );
        xml::parse(&text).unwrap()
    }

    fn told(root: &Element) -> Vec<String> {
        check(root).into_iter().map(|one| format!("{} {}", one.code, one.message)).collect()
    }

    #[test]
    fn what_is_not_said_is_held_for_the_administrator() {
        let root = with("<entry name='prod'><device-group>dg</device-group></entry>");
        let read = Read::of(&root);
        let settings = &read.clusters["prod"];
        assert!(!settings.auto_commit && settings.allow_the_rest && !settings.disabled && !settings.four_eyes);
        assert_eq!((settings.window, settings.rules_max), (Duration::from_secs(2), RULES_MAX));
        assert_eq!((settings.drift, &settings.place), (Drift::Report, &Place::Bottom));
        assert!(told(&root).is_empty());
    }

    #[test]
    fn all_is_read_and_everything_wrong_is_told_at_once() {
        let root = with(
            "<entry name='prod'><device-group>dg</device-group><zone><member>pods</member></zone><place><before>last</before>\
             </place><auto-commit>yes</auto-commit><batch-window>250</batch-window><allow-the-rest>no</allow-the-rest>\
             <rules-max>10</rules-max><drift>heal</drift><disabled>yes</disabled><service-objects>yes</service-objects></entry>",
        );
        let read = Read::of(&root);
        let settings = &read.clusters["prod"];
        assert_eq!((&*settings.zones, &settings.place), (&["pods".to_owned()][..], &Place::Before("last".to_owned())));
        assert_eq!((settings.window, settings.rules_max), (Duration::from_millis(250), 10));
        assert!(settings.auto_commit && !settings.allow_the_rest && settings.disabled && settings.service_objects);
        assert_eq!(settings.drift, Drift::Heal);

        let wrong = with(
            "<entry name='a b'><device-group>gone</device-group><place><top/><bottom/></place><auto-commit>true</auto-commit>\
             <rules-max>many</rules-max><drift>undo</drift><allow-the-rest>no</allow-the-rest>\
             <pod-cidr><member>10.244/16</member></pod-cidr></entry>",
        );
        let found = told(&wrong);
        assert_eq!(found.len(), 8, "{found:?}");
        assert!(Read::of(&wrong).clusters.is_empty());
    }
}
