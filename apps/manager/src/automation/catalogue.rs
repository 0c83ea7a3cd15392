//! What may the policies of a cluster name?
//!
//! The security administrator's entries of the running configuration, and the names that exist where the rules go: in the
//! device group, in those above it, in Shared, and those that PAN-OS brings along.

use std::collections::{BTreeMap, BTreeSet};

use bartizan_model::codes;
use bartizan_model::diagnostic::{Diagnostic, Origin};
use bartizan_model::manager::{self, LOCALHOST_XPATH};
use bartizan_model::tree::{Element, quote};
use bartizan_playbook::attributes::PROFILES;
use bartizan_playbook::catalogue::{Catalogue, Entry, Names};
use bartizan_playbook::parse_selector;

use super::settings::{entries, members, text};

/// Profiles that every PAN-OS has (administrator's guide 11.1, "Security Profiles").
const BROUGHT_ALONG: [(&str, &[&str]); 6] = [
    ("virus", &["default"]),
    ("spyware", &["default", "strict"]),
    ("vulnerability", &["default", "strict"]),
    ("url-filtering", &["default"]),
    ("file-blocking", &["basic file blocking", "strict file blocking"]),
    ("wildfire-analysis", &["default"]),
];

/// The catalogue of a cluster whose rules go to that device group, if it has one.
pub(crate) fn read(root: &Element, cluster: &str, device_group: Option<&str>) -> Catalogue {
    let (all, _) = catalogue(root);
    let entries = all.into_iter().filter(|entry| entry.clusters.is_empty() || entry.clusters.contains(cluster));
    Catalogue { entries: entries.collect(), known: device_group.map(|group| known(root, group)) }
}

fn catalogue(root: &Element) -> (Vec<Entry>, Vec<Diagnostic>) {
    let mut found = Vec::new();
    let mut read = Vec::new();
    for (name, entry) in entries(root, "policy-catalogue") {
        let base = format!("{LOCALHOST_XPATH}/plugins/kubernetes/policy-catalogue/entry[@name={}]", quote(name));
        let selector = match parse_selector(&text(entry, "namespace-selector").unwrap_or_default()) {
            Ok(selector) => selector,
            Err(why) => {
                let at = Origin::xpath(format!("{base}/namespace-selector"));
                let message = format!("the namespaces of catalogue entry `{name}` cannot be told: {why}");
                let help = "write it as `kubectl -l` takes it: `team=shop,env in (a,b)`";
                found.push(Diagnostic::error(codes::INVALID_FILTER, at, message).with_help(help));
                continue;
            }
        };
        let list = |tag: &str| entry.child(tag).map(|list| list.members().collect::<BTreeSet<String>>());
        let profiles = entry.child("profiles").into_iter().flat_map(|profiles| profiles.elements());
        let allow = Names {
            profiles: profiles.map(|list| (list.name.to_string(), list.members().collect())).collect(),
            profile_groups: list("profile-group"),
            applications: list("application"),
            log_settings: list("log-setting"),
            schedules: list("schedule"),
        };
        for element in allow.profiles.keys().filter(|element| !PROFILES.iter().any(|(_, known)| known == element)) {
            let at = Origin::xpath(format!("{base}/profiles/{element}"));
            let message = format!("`{element}` of catalogue entry `{name}` is no kind of profile");
            let kinds: Vec<&str> = PROFILES.iter().map(|(_, element)| *element).collect();
            let help = format!("they are {}", kinds.join(", "));
            found.push(Diagnostic::error(codes::INVALID_ENUM, at, message).with_help(help));
        }
        let require_profile = match text(entry, "require-profile").as_deref() {
            None | Some("no") => false,
            Some("yes") => true,
            Some(other) => {
                let at = Origin::xpath(format!("{base}/require-profile"));
                let message = format!("`{other}` is neither `yes` nor `no`");
                found.push(Diagnostic::error(codes::INVALID_ENUM, at, message).with_help("write one of them"));
                true
            }
        };
        read.push(Entry {
            name: name.to_owned(),
            clusters: members(entry, "cluster").into_iter().collect(),
            namespace_selector: selector,
            allow,
            require_profile,
        });
    }
    (read, found)
}

/// What is wrong with the entries of a candidate.
pub(crate) fn check(root: &Element) -> Vec<Diagnostic> {
    catalogue(root).1
}

/// The names that exist for the rules of a device group.
fn known(root: &Element, group: &str) -> Names {
    let groups = manager::container(root, "device-group");
    let chain: Vec<&Element> = std::iter::once(group.to_owned())
        .chain(manager::ancestors(root, group))
        .filter_map(|name| groups?.entry_named(&name).map(|entry| &**entry))
        .chain(root.child("shared").map(|shared| &**shared))
        .chain(root.child("predefined").map(|predefined| &**predefined))
        .collect();
    let names = |path: &[&str]| -> BTreeSet<String> {
        let lists = chain.iter().filter_map(|place| place.descend(path));
        lists.flat_map(Element::entries).map(|(name, _)| name.to_owned()).collect()
    };
    let mut profiles: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (_, element) in PROFILES {
        let brought = BROUGHT_ALONG.iter().filter(|(kind, _)| *kind == element).flat_map(|(_, names)| names.iter());
        let mut all = names(&["profiles", element]);
        all.extend(brought.map(|name| (*name).to_owned()));
        profiles.insert(element.to_owned(), all);
    }
    Names {
        profiles,
        profile_groups: Some(names(&["profile-group"])),
        // The list of predefined applications is not part of the configuration: any may be named.
        applications: None,
        log_settings: Some(names(&["log-settings", "profiles"])),
        schedules: Some(names(&["schedule"])),
    }
}

#[cfg(test)]
mod tests {
    use bartizan_model::xml;

    use super::*;

    const CONFIG: &str = "<config><shared><log-settings><profiles><entry name='siem'/></profiles></log-settings></shared>\
        <readonly><devices><entry name='localhost.localdomain'><device-group><entry name='dg'><parent-dg>up</parent-dg></entry>\
        </device-group></entry></devices></readonly><devices><entry name='localhost.localdomain'><device-group>\
        <entry name='up'><profile-group><entry name='house'/></profile-group></entry>\
        <entry name='dg'><profiles><spyware><entry name='own'/></spyware></profiles></entry>\
        <entry name='other'><schedule><entry name='night'/></schedule></entry></device-group><plugins><kubernetes>\
        <policy-catalogue><entry name='shop'><cluster><member>prod</member></cluster><namespace-selector>team=shop,env in (a,b)\
        </namespace-selector><profiles><spyware><member>own</member></spyware></profiles><require-profile>yes</require-profile>\
        </entry><entry name='bad'><namespace-selector>team==(</namespace-selector></entry>\
        <entry name='odd'><profiles><virii><member>x</member></virii></profiles></entry>\
        </policy-catalogue></kubernetes></plugins></entry></devices></config>";

    #[test]
    fn names_come_from_the_group_those_above_and_shared() {
        let root = xml::parse(CONFIG).unwrap();
        let read = read(&root, "prod", Some("dg"));
        let known = read.known.unwrap();
        assert_eq!(known.profiles["spyware"], BTreeSet::from(["default", "own", "strict"].map(str::to_owned)));
        assert_eq!(known.profile_groups, Some(BTreeSet::from(["house".to_owned()])));
        assert_eq!(known.log_settings, Some(BTreeSet::from(["siem".to_owned()])));
        assert_eq!(known.schedules, Some(BTreeSet::new()), "that of another group is out of reach");
        let names: Vec<_> = read.entries.iter().map(|entry| (&*entry.name, entry.require_profile)).collect();
        assert_eq!(names, [("shop", true), ("odd", false)]);
        assert_eq!(super::read(&root, "test", None).entries.len(), 1, "the first one is for another cluster");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let found: Vec<String> = check(&xml::parse(CONFIG).unwrap())
            .into_iter()
            .map(|one| format!("{} {}", one.code, one.message))
            .collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("invalid-filter the namespaces of catalogue entry `bad`"), "{found:?}");
        assert!(found[1].starts_with("invalid-enum `virii` of catalogue entry `odd`"), "{found:?}");
    }
}
