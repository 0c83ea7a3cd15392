//! What becomes of a configuration that a firewall or a manager of the vendor saved?
//!
//! A manager's is loaded as it is. A firewall's has no place in a manager's tree: it becomes a template and a device
//! group. Before either, a report tells what would be enforced.

use std::collections::BTreeMap;
use std::sync::Arc;

use bartizan_model::codes;
use bartizan_model::device::{self, Scope};
use bartizan_model::diagnostic::{Diagnostic, Severity};
use bartizan_model::tree::{Child, Element};

const LOCAL: &str = "localhost.localdomain";
/// What of a firewall's virtual system, or of its shared part, a device group holds.
const OBJECTS: [&str; 15] = [
    "address",
    "address-group",
    "application",
    "application-filter",
    "application-group",
    "dynamic-user-group",
    "external-list",
    "profile-group",
    "profiles",
    "region",
    "schedule",
    "service",
    "service-group",
    "tag",
    "threats",
];
/// Lists of objects and rules that a report counts, below any place that can hold them.
const COUNTED: [&[&str]; 18] = [
    &["address"],
    &["address-group"],
    &["application"],
    &["application-group"],
    &["external-list"],
    &["profile-group"],
    &["schedule"],
    &["service"],
    &["service-group"],
    &["tag"],
    &["zone"],
    &["security", "rules"],
    &["nat", "rules"],
    &["decryption", "rules"],
    &["pbf", "rules"],
    &["qos", "rules"],
    &["application-override", "rules"],
    &["ethernet"],
];

/// What a report tells.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Whether it is a firewall's.
    pub(crate) is_firewall: bool,
    /// Objects, rules and interfaces by list.
    pub(crate) counts: BTreeMap<String, usize>,
    /// What stops a commit, or has to be looked at.
    pub(crate) attention: Vec<Diagnostic>,
    /// What is kept, and does nothing.
    pub(crate) stored: Vec<Diagnostic>,
}

/// Whether the configuration is one of a firewall: it has virtual systems, and neither device groups nor templates.
pub(crate) fn is_firewall(root: &Element) -> bool {
    let Some(own) = own(root) else { return false };
    own.child("vsys").is_some()
        && ["device-group", "template", "template-stack"].iter().all(|tag| own.child(tag).is_none())
}

fn own(root: &Element) -> Option<&Arc<Element>> {
    root.child("devices")?.entry_named(LOCAL)
}

impl Report {
    /// Looks at a whole configuration. `diagnose` is the check of a manager's.
    pub(crate) fn new(root: &Arc<Element>, diagnose: impl FnOnce(&Arc<Element>) -> Vec<Diagnostic>) -> Self {
        let is_firewall = is_firewall(root);
        let mut report = Self { is_firewall, ..Self::default() };
        let diagnostics = if is_firewall { device::read(root, Scope::Device).diagnostics } else { diagnose(root) };
        for diagnostic in diagnostics {
            let stored = diagnostic.severity == Severity::Warning && diagnostic.code == codes::NOT_ENFORCED;
            if stored { &mut report.stored } else { &mut report.attention }.push(diagnostic);
        }
        count(root, &mut Vec::new(), &mut report.counts);
        report
    }
}

fn count<'a>(element: &'a Element, path: &mut Vec<&'a str>, counts: &mut BTreeMap<String, usize>) {
    for child in element.elements() {
        path.push(&child.name);
        let list = COUNTED.iter().find(|list| path.ends_with(list));
        let entries = list.map_or(0, |_| child.entries().count());
        match list {
            Some(list) if entries > 0 => *counts.entry(list.join(" ")).or_default() += entries,
            // An object holds none of them.
            Some(_) => {}
            None => count(child, path, counts),
        }
        path.pop();
    }
}

/// A firewall's configuration in the places of a manager.
#[derive(Debug)]
pub(crate) struct Moved {
    /// What the template's `config` holds.
    pub(crate) template: Element,
    /// What the device group holds.
    pub(crate) group: Element,
    /// What could not be moved as it is.
    pub(crate) notes: Vec<String>,
}

/// Divides a firewall's configuration: objects and rules (which become pre-rules) go to the device group, of shared
/// objects those whose names the virtual system does not have; everything else goes to the template.
///
/// # Errors
/// When it is none, or has several virtual systems.
pub(crate) fn divide(root: &Element) -> Result<Moved, String> {
    if !is_firewall(root) {
        return Err(
            "it is no configuration of a firewall: it has no virtual system, or it has device groups or templates"
                .to_owned(),
        );
    }
    let own = own(root).ok_or_else(|| format!("it has no device `{LOCAL}`"))?;
    let systems: Vec<_> = own.child("vsys").into_iter().flat_map(|systems| systems.entries()).collect();
    let [(system, vsys)] = systems.as_slice() else {
        return Err(format!("it has {} virtual systems; one can be brought over at a time", systems.len()));
    };
    let mut notes = Vec::new();
    let mut group = Element::new("entry");
    let mut kept = Element::entry(system);
    for child in vsys.elements() {
        match &*child.name {
            "rulebase" => group
                .children
                .push(Child::Element(Arc::new(Element { name: "pre-rulebase".into(), ..Element::clone(child) }))),
            name if OBJECTS.contains(&name) => group.children.push(Child::Element(child.clone())),
            "log-settings" => {
                let (profiles, rest) = split(child, "profiles");
                group.children.extend(profiles.map(Child::Element));
                kept.children.extend(rest.map(Child::Element));
            }
            _ => kept.children.push(Child::Element(child.clone())),
        }
    }
    let mut shared = Element::new("shared");
    for child in root.child("shared").into_iter().flat_map(|shared| shared.elements()) {
        if OBJECTS.contains(&&*child.name) {
            merge(&mut group, child, &mut notes);
        } else {
            shared.children.push(Child::Element(child.clone()));
        }
    }
    let mut device = Element::entry(LOCAL);
    for child in own.elements() {
        if &*child.name == "vsys" {
            let systems = Element { children: vec![Child::Element(Arc::new(kept.clone()))], ..Element::new("vsys") };
            device.children.push(Child::Element(Arc::new(systems)));
        } else {
            device.children.push(Child::Element(child.clone()));
        }
    }
    let devices = Element { children: vec![Child::Element(Arc::new(device))], ..Element::new("devices") };
    let mut template = Element::new("config");
    template.children.extend(root.child("mgt-config").cloned().map(Child::Element));
    template.children.push(Child::Element(Arc::new(devices)));
    if !shared.children.is_empty() {
        template.children.push(Child::Element(Arc::new(shared)));
    }
    Ok(Moved { template, group, notes })
}

/// The child of that name in a copy of its parent, and the parent without it.
fn split(parent: &Arc<Element>, tag: &str) -> (Option<Arc<Element>>, Option<Arc<Element>>) {
    let is = |child: &Child| matches!(child, Child::Element(child) if &*child.name == tag);
    let with =
        |children: Vec<Child>| (!children.is_empty()).then(|| Arc::new(Element { children, ..Element::clone(parent) }));
    let (of, rest) = parent.children.iter().cloned().partition(is);
    (with(of), with(rest))
}

/// Adds a list of shared objects to a group. What the group has under the same name stays.
fn merge(group: &mut Element, list: &Arc<Element>, notes: &mut Vec<String>) {
    let at = group.children.iter().position(|child| matches!(child, Child::Element(child) if child.name == list.name));
    let Some(at) = at else {
        group.children.push(Child::Element(list.clone()));
        return;
    };
    let Child::Element(present) = &group.children[at] else { return };
    let mut merged = Element::clone(present);
    for child in list.elements() {
        match child.attribute("name") {
            Some(name) if present.entry_named(name).is_some() => {
                if present.entry_named(name) != Some(child) {
                    notes.push(format!("shared {} `{name}` gave way to the one of the virtual system", list.name));
                }
            }
            // Lists of profiles by kind.
            None if present.child(&child.name).is_some() => merge(&mut merged, child, notes),
            _ => merged.children.push(Child::Element(child.clone())),
        }
    }
    group.children[at] = Child::Element(Arc::new(merged));
}

#[cfg(test)]
mod tests {
    use bartizan_model::xml;

    use super::*;

    const FIREWALL: &str = "<config><mgt-config><users/></mgt-config><shared><address><entry name=\"a\"><fqdn>shared.example</fqdn></entry>\
        <entry name=\"b\"><fqdn>b.example</fqdn></entry></address><certificate><entry name=\"c\"/></certificate></shared><devices>\
        <entry name=\"localhost.localdomain\"><network><interface><ethernet><entry name=\"ethernet1/1\"><layer3/></entry></ethernet></interface></network>\
        <vsys><entry name=\"vsys1\"><zone><entry name=\"trust\"/></zone><address><entry name=\"a\"><fqdn>own.example</fqdn></entry></address>\
        <log-settings><profiles><entry name=\"p\"/></profiles><syslog><entry name=\"s\"/></syslog></log-settings>\
        <rulebase><security><rules><entry name=\"r\"/></rules></security></rulebase></entry></vsys></entry></devices></config>";

    #[test]
    fn a_firewall_becomes_a_template_and_a_group() {
        let moved = divide(&xml::parse(FIREWALL).unwrap()).unwrap();
        let (template, group) = (xml::write(&moved.template), xml::write(&moved.group));
        for (part, in_template, in_group) in [
            ("ethernet1/1", true, false),
            ("trust", true, false),
            ("name=\"c\"", true, false),
            ("name=\"s\"", true, false),
            ("mgt-config", true, false),
            ("own.example", false, true),
            ("b.example", false, true),
            ("shared.example", false, false),
            ("pre-rulebase", false, true),
            ("name=\"p\"", false, true),
        ] {
            assert_eq!(
                (template.contains(part), group.contains(part)),
                (in_template, in_group),
                "{part}: {template} {group}"
            );
        }
        assert_eq!(moved.notes, ["shared address `a` gave way to the one of the virtual system"]);
    }

    #[test]
    fn what_is_no_firewall_is_refused() {
        for (from, to, reason) in [
            ("<vsys>", "<template/><vsys>", "no configuration of a firewall"),
            ("<vsys>", "<vsys><entry name=\"vsys2\"/>", "2 virtual systems"),
        ] {
            let error = divide(&xml::parse(&FIREWALL.replacen(from, to, 1)).unwrap()).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_report_counts_and_sorts() {
        let report = Report::new(&Arc::new(xml::parse(FIREWALL).unwrap()), |_| unreachable!("it is a firewall's"));
        assert!(report.is_firewall);
        let counts: Vec<_> = report.counts.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
        assert_eq!(counts, [("address", 3), ("ethernet", 1), ("security rules", 1), ("zone", 1)]);
        assert!(report.stored.iter().all(|one| one.code == codes::NOT_ENFORCED) && !report.stored.is_empty());
        assert!(
            report.attention.iter().any(|one| one.origin.xpath.contains("entry[@name='r']")),
            "{:?}",
            report.attention
        );
    }
}
