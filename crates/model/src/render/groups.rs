//! Which rules and objects does a device get from its device group, the group's ancestors and Shared?
//!
//! Pre rules from Shared down to the group, post rules from the group up to Shared; an object of a nearer
//! group hides one of the same name farther away.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::missing_parent;
use crate::codes;
use crate::diagnostic::{Diagnostic, Origin};
use crate::edit::is_fixed;
use crate::manager;
use crate::tree::{Child, Element};

/// What a device group and Shared hold for devices, apart from rules.
const OBJECTS: [&str; 18] = [
    "address",
    "address-group",
    "external-list",
    "region",
    "service",
    "service-group",
    "tag",
    "schedule",
    "application",
    "application-group",
    "application-filter",
    "application-status",
    "dynamic-user-group",
    "profiles",
    "profile-group",
    "log-settings",
    "threats",
    "authentication-object",
];
/// Containers that share their names.
const NAME_SPACES: [&[&str]; 2] =
    [&["address", "address-group", "external-list", "region"], &["service", "service-group"]];

/// `<entry name="vsys1">` with everything that is pushed; rules whose target excludes the device are left
/// out, unless no device is meant.
pub(super) fn of_device(
    root: &Element,
    group: &str,
    serial: Option<&str>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Element {
    let groups = manager::container(root, "device-group");
    let mut scopes = Vec::new();
    for name in std::iter::once(group.to_owned()).chain(manager::ancestors(root, group)) {
        if let Some(element) = groups.and_then(|groups| groups.entry_named(&name)) {
            scopes.push(Scope { name: name.clone(), element });
        }
        let parent = manager::parent_device_group(root, &name);
        if let Some(parent) = parent.filter(|parent| groups.is_none_or(|groups| groups.entry_named(parent).is_none())) {
            diagnostics.push(missing_parent(root, &name, &parent));
        }
    }
    scopes.extend(shared(root));
    compose(&scopes, serial)
}

/// The same for what Shared says alone.
pub(super) fn of_shared(root: &Element) -> Element {
    compose(&shared(root).into_iter().collect::<Vec<_>>(), None)
}

/// A device group or Shared.
struct Scope<'a> {
    name: String,
    element: &'a Element,
}

fn shared(root: &Element) -> Option<Scope<'_>> {
    root.child("shared").map(|element| Scope { name: "shared".to_owned(), element })
}

/// `scopes` has the nearest first.
fn compose(scopes: &[Scope<'_>], serial: Option<&str>) -> Element {
    let mut vsys = Element::entry("vsys1");
    for container in OBJECTS {
        let mut merged = Element::new(container);
        for (depth, scope) in scopes.iter().enumerate() {
            if let Some(element) = scope.element.child(container) {
                let hidden = names_above(&scopes[..depth], container);
                add_objects(&mut merged, element, &scope.name, &hidden);
            }
        }
        if !merged.children.is_empty() {
            vsys.children.push(Child::Element(merged.into()));
        }
    }
    let mut pre = Element::new("pre-rulebase");
    for scope in scopes.iter().rev() {
        add_rulebase(&mut pre, scope, "pre-rulebase", serial);
    }
    let mut post = Element::new("post-rulebase");
    for scope in scopes {
        add_rulebase(&mut post, scope, "post-rulebase", serial);
    }
    for rulebase in [pre, post] {
        if !rulebase.children.is_empty() {
            vsys.children.push(Child::Element(rulebase.into()));
        }
    }
    vsys
}

/// Names that nearer scopes use in the name space of a container.
fn names_above(nearer: &[Scope<'_>], container: &str) -> BTreeSet<String> {
    let own = [container];
    let space = NAME_SPACES.into_iter().find(|space| space.contains(&container)).unwrap_or(&own);
    let containers = nearer.iter().flat_map(|scope| space.iter().filter_map(|tag| scope.element.child(tag)));
    containers.flat_map(|container| container.entries().map(|(name, _)| name.to_owned())).collect()
}

/// Objects of device groups in the place of one farther away that is not to be overridden.
pub(super) fn fixed_and_overridden(root: &Element) -> Vec<Diagnostic> {
    let mut fixed: HashMap<(String, String), Vec<String>> = HashMap::new();
    let groups: Vec<(&str, &Element)> = manager::container(root, "device-group")
        .into_iter()
        .flat_map(|groups| groups.entries().map(|(name, element)| (name, &**element)))
        .collect();
    let shared = root.child("shared").map(|element| ("shared", &**element));
    for (scope, element) in groups.iter().copied().chain(shared) {
        for_objects(element, &mut |container, name, object| {
            if is_fixed(object) {
                fixed.entry((container.to_owned(), name.to_owned())).or_default().push(scope.to_owned());
            }
        });
    }
    let mut found = Vec::new();
    if fixed.is_empty() {
        return found;
    }
    for (group, element) in groups {
        let above = manager::ancestors(root, group);
        for_objects(element, &mut |container, name, _| {
            let scopes = fixed.get(&(container.to_owned(), name.to_owned()));
            let Some(scope) = scopes.into_iter().flatten().find(|scope| *scope == "shared" || above.contains(scope))
            else {
                return;
            };
            let base = manager::entry_xpath("device-group", group);
            let xpath = format!("{base}/{container}/{}", Element::entry(name).step());
            let place = if scope == "shared" { scope.clone() } else { format!("device-group `{scope}`") };
            let message = format!(
                "`{name}` of device-group `{group}` would take the place of the one in {place}, which has `disable-override`"
            );
            let help = "delete this one, or give it another name";
            found.push(
                Diagnostic::error(codes::OVERRIDE_DISABLED, Origin::xpath(xpath), message).with_help(help.to_owned()),
            );
        });
    }
    found
}

/// Visits the objects of a device group or Shared: container, name and object.
fn for_objects(scope: &Element, visit: &mut dyn FnMut(&str, &str, &Element)) {
    fn descend(path: &str, container: &Element, visit: &mut dyn FnMut(&str, &str, &Element)) {
        for child in container.elements() {
            match (&*child.name, child.attribute("name")) {
                ("entry", Some(name)) => visit(path, name, child),
                (tag, _) => descend(&format!("{path}/{tag}"), child, visit),
            }
        }
    }
    for tag in OBJECTS {
        if let Some(container) = scope.child(tag) {
            descend(tag, container, visit);
        }
    }
}

/// Adds entries that no nearer scope hides; other nodes (`profiles/virus`) are containers of the same kind.
fn add_objects(merged: &mut Element, source: &Element, scope: &str, hidden: &BTreeSet<String>) {
    for child in source.elements() {
        match (&*child.name, child.attribute("name")) {
            ("entry", Some(name)) if hidden.contains(name) => {}
            ("entry", Some(_)) => merged.children.push(Child::Element(marked(child, scope))),
            (tag, _) => {
                let index = merged
                    .children
                    .iter()
                    .position(|other| matches!(other, Child::Element(other) if &*other.name == tag));
                match index.and_then(|index| merged.children.get_mut(index)) {
                    Some(Child::Element(existing)) => {
                        let inner = existing.entries().map(|(name, _)| name.to_owned()).collect();
                        add_objects(Arc::make_mut(existing), child, scope, &inner);
                    }
                    _ => merged.children.push(Child::Element(marked(child, scope))),
                }
            }
        }
    }
}

fn add_rulebase(rulebase: &mut Element, scope: &Scope<'_>, tag: &str, serial: Option<&str>) {
    let Some(source) = scope.element.child(tag) else { return };
    for kind in source.elements() {
        let Some(rules) = kind.child("rules") else { continue };
        // Of the two default rules the nearest override counts; the others are lists in order.
        let is_override = &*kind.name == "default-security-rules";
        let mut kept = take_rules(rulebase, &kind.name);
        for (name, rule) in rules.entries() {
            let is_hidden = is_override && kept.entry_named(name).is_some();
            if !is_hidden && serial.is_none_or(|serial| applies_to(rule, serial)) {
                kept.children.push(Child::Element(marked(rule, &scope.name)));
            }
        }
        let mut container = Element::new(&kind.name);
        container.children.push(Child::Element(kept.into()));
        rulebase.children.push(Child::Element(container.into()));
    }
}

/// Takes out the rules of a kind that farther or nearer scopes have contributed so far.
fn take_rules(rulebase: &mut Element, kind: &str) -> Element {
    let rules = rulebase.descend(&[kind, "rules"]).cloned().unwrap_or_else(|| Element::new("rules"));
    rulebase.children.retain(|child| !matches!(child, Child::Element(child) if &*child.name == kind));
    rules
}

/// Whether a rule's target includes a device: the listed ones, all others with `negate`, every one without
/// a list.
fn applies_to(rule: &Element, serial: &str) -> bool {
    let Some(target) = rule.child("target") else { return true };
    let listed = manager::listed_devices(target);
    let negated = target.child("negate").is_some_and(|leaf| leaf.text() == "yes");
    listed.is_empty() || listed.iter().any(|device| device == serial) != negated
}

/// Whether an element of a list of rules is one, and for the device.
pub(super) fn is_for(element: &Element, serial: &str) -> bool {
    &*element.name == "entry" && element.attribute("name").is_some() && applies_to(element, serial)
}

/// Devices that some rule names as a target.
pub(super) fn targets(root: &Element) -> HashSet<String> {
    let groups = manager::container(root, "device-group").into_iter().flat_map(Element::elements);
    let bases = groups
        .chain(root.child("shared"))
        .flat_map(|scope| ["pre-rulebase", "post-rulebase"].into_iter().filter_map(|base| scope.child(base)));
    let rules = bases.flat_map(|base| base.elements()).filter_map(|kind| kind.child("rules"));
    let targets = rules.flat_map(|rules| rules.elements()).filter_map(|rule| rule.child("target"));
    targets.flat_map(|target| manager::listed_devices(target)).collect()
}

pub(super) fn marked(element: &Arc<Element>, scope: &str) -> Arc<Element> {
    let mut element = (**element).clone();
    element.attributes.retain(|(name, _)| !matches!(&**name, "ptpl" | "src" | "loc"));
    element.attributes.push(("loc".into(), scope.into()));
    element.into()
}
