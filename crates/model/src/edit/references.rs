//! Who refers to this object?
//!
//! A table says where each kind of object is defined and where it is used, relative to a *space*: a part
//! of the tree whose names are looked up together (Shared, a device group, a vsys, the network settings
//! of a firewall or template). A use means the nearest definition along the space's chain.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::place::{self, Place};
use super::{EditError, code};
use crate::device::interface_name;
use crate::manager;
use crate::tree::{Child, Element};

/// Indices into `children` from the root down.
type Route = Vec<usize>;

/// Which spaces hold a kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Policy,
    Network,
    Manager,
}

/// Where one kind of object is defined and used.
struct Table {
    level: Level,
    defined: &'static [&'static str],
    used: &'static [&'static str],
}

const TABLES: &[Table] = &[
    // Addresses, address groups, external lists and regions: one name space.
    Table {
        level: Level::Policy,
        defined: &["address/entry", "address-group/entry", "external-list/entry", "region/entry"],
        used: &[
            "address-group/entry/static/member",
            "*/*/rules/entry/source/member",
            "*/*/rules/entry/destination/member",
            "*/nat/rules/entry/source-translation/*/translated-address",
            "*/nat/rules/entry/source-translation/*/translated-address/member",
            "*/nat/rules/entry/source-translation/dynamic-ip/fallback/translated-address/member",
            "*/nat/rules/entry/destination-translation/translated-address",
            "*/nat/rules/entry/dynamic-destination-translation/translated-address",
        ],
    },
    // Services and service groups: one name space.
    Table {
        level: Level::Policy,
        defined: &["service/entry", "service-group/entry"],
        used: &["service-group/entry/members/member", "*/*/rules/entry/service/member", "*/nat/rules/entry/service"],
    },
    // Tags.
    Table {
        level: Level::Policy,
        defined: &["tag/entry"],
        used: &["*/entry/tag/member", "*/*/rules/entry/tag/member", "*/*/rules/entry/group-tag"],
    },
    // Zones.
    Table {
        level: Level::Network,
        defined: &["vsys/entry/zone/entry"],
        used: &[
            "vsys/entry/*/*/rules/entry/from/member",
            "vsys/entry/*/*/rules/entry/to/member",
            "vsys/entry/traffic-object/entry/*/network/zone-ingress",
            "vsys/entry/traffic-object/entry/*/network/zone-egress",
        ],
    },
    // Interfaces of every type.
    Table {
        level: Level::Network,
        defined: &[
            "network/interface/ethernet/entry",
            "network/interface/ethernet/entry/layer3/units/entry",
            "network/interface/aggregate-ethernet/entry",
            "network/interface/loopback/units/entry",
            "network/interface/tunnel/units/entry",
            "network/interface/vlan/units/entry",
        ],
        used: &[
            "vsys/entry/zone/entry/network/*/member",
            "vsys/entry/import/network/interface/member",
            "network/virtual-router/entry/interface/member",
            "network/virtual-router/entry/routing-table/*/static-route/entry/interface",
            "network/logical-router/entry/vrf/entry/interface/member",
            "network/logical-router/entry/vrf/entry/routing-table/*/static-route/entry/interface",
            "vsys/entry/*/nat/rules/entry/to-interface",
            "vsys/entry/traffic-object/entry/*/network/interface/member",
            "vsys/entry/*/nat/rules/entry/source-translation/*/interface-address/interface",
            "vsys/entry/*/nat/rules/entry/source-translation/dynamic-ip/fallback/interface-address/interface",
        ],
    },
    // Interface management profiles.
    Table {
        level: Level::Network,
        defined: &["network/profiles/interface-management-profile/entry"],
        used: &[
            "network/interface/*/entry/layer3/interface-management-profile",
            "network/interface/*/entry/layer3/units/entry/interface-management-profile",
            "network/interface/*/units/entry/interface-management-profile",
        ],
    },
    // Zone protection profiles.
    Table {
        level: Level::Network,
        defined: &["network/profiles/zone-protection-profile/entry"],
        used: &["vsys/entry/zone/entry/network/zone-protection-profile"],
    },
    // Virtual and logical routers.
    Table {
        level: Level::Network,
        defined: &["network/virtual-router/entry", "network/logical-router/entry"],
        used: &[
            "network/virtual-router/entry/routing-table/*/static-route/entry/nexthop/next-vr",
            "network/logical-router/entry/vrf/entry/routing-table/*/static-route/entry/nexthop/next-lr",
            "vsys/entry/import/network/virtual-router/member",
            "vsys/entry/import/network/logical-router/member",
            "vsys/entry/traffic-object/entry/*/network/logical-router",
            "vsys/entry/traffic-object/entry/*/network/virtual-router",
        ],
    },
    // Templates.
    Table {
        level: Level::Manager,
        defined: &["devices/entry/template/entry"],
        used: &[
            "devices/entry/template-stack/entry/templates/member",
            "devices/entry/device-group/entry/reference-templates/member",
        ],
    },
    // Template stacks.
    Table {
        level: Level::Manager,
        defined: &["devices/entry/template-stack/entry"],
        used: &[
            "devices/entry/device-group/entry/reference-templates/member",
            "devices/entry/scheduled-config-push/entry/template-stack/member",
        ],
    },
    // Device groups.
    Table {
        level: Level::Manager,
        defined: &["devices/entry/device-group/entry"],
        used: &[
            "readonly/devices/entry/device-group/entry/parent-dg",
            "devices/entry/scheduled-config-push/entry/device-group/member",
        ],
    },
];

/// Canonical XPaths of everything that refers to the object at an XPath; empty when nothing does or when
/// the XPath names no object of a known kind.
pub fn users(root: &Element, xpath: &str) -> Vec<String> {
    let place = super::single(xpath).and_then(|path| Place::existing(root, &path));
    place.map(|place| uses_of(root, &place).iter().map(|route| xpath_at(root, route)).collect()).unwrap_or_default()
}

/// Names that the element at an XPath may refer to, the nearest first; empty when it is no reference that is known. The
/// element, or a list's next member, need not be there yet.
pub fn names_for(root: &Element, xpath: &str) -> Vec<String> {
    let Ok(place) = super::single(xpath).and_then(|path| Place::find(root, &path)) else { return Vec::new() };
    let spaces = spaces(root);
    let within = |space: &&Space<'_>| place.xpath.starts_with(&format!("{}/", space.xpath));
    let mut names = Vec::new();
    for space in spaces.iter().filter(within) {
        let below: Vec<&str> = place.tags.iter().skip(space.route.len() + 1).map(String::as_str).collect();
        for table in TABLES.iter().filter(|table| table.level == space.level) {
            let member = [below.as_slice(), &["member"]].concat();
            if !table.used.iter().any(|used| fits(used, &below) || fits(used, &member)) {
                continue;
            }
            let chain = space.chain.iter().filter_map(|xpath| spaces.iter().find(|other| other.xpath == *xpath));
            for space in std::iter::once(space).chain(chain) {
                let defined = table.defined.iter().flat_map(|path| matches(space.element, path));
                for name in defined.filter_map(|(_, entry)| entry.attribute("name")) {
                    if !names.iter().any(|known| known == name) {
                        names.push(name.to_owned());
                    }
                }
            }
        }
    }
    names
}

/// Whether a path of tags with `*` is this one.
fn fits(pattern: &str, tags: &[&str]) -> bool {
    let pattern: Vec<&str> = pattern.split('/').collect();
    pattern.len() == tags.len() && pattern.iter().zip(tags).all(|(one, tag)| *one == "*" || one == tag)
}

/// Routes of the elements whose text names the object at the place.
pub(super) fn uses_of(root: &Element, place: &Place) -> Vec<Route> {
    let Ok(name) = place.entry_name() else { return Vec::new() };
    let spaces = spaces(root);
    let mut found = Vec::new();
    for (home, table) in definitions_at(&spaces, place) {
        for space in spaces.iter().filter(|space| space.level == table.level) {
            if nearest(&spaces, space, table, name).is_some_and(|nearest| nearest.route == home.route) {
                found.extend(uses(space, table, name));
            }
        }
    }
    found
}

/// Makes uses of the old name say the new one.
pub(super) fn point_to(root: &mut Arc<Element>, users: &[Route], old: &str, new: &str) {
    for route in users {
        if let Some(element) = place::element_at_mut(root, route) {
            debug_assert!(same_name(&element.text(), old));
            super::merge::set_text(element, new);
        }
    }
}

/// Refuses a removal after which something names an object that is gone.
pub(super) fn check_removed(before: &Element, after: &Element, removed: &[Route]) -> Result<(), EditError> {
    let spaces_before = spaces(before);
    let spaces_after = spaces(after);
    let mut names: Vec<(&Table, BTreeSet<&str>)> = Vec::new();
    for table in TABLES {
        let mut gone = BTreeSet::new();
        for space in spaces_before.iter().filter(|space| space.level == table.level) {
            for route in removed {
                collect_removed(space, table, route, &mut gone);
            }
        }
        if !gone.is_empty() {
            names.push((table, gone));
        }
    }
    for (table, gone) in names {
        for name in gone {
            let mut lines = Vec::new();
            for space in spaces_after.iter().filter(|space| space.level == table.level) {
                // What does not resolve now and did before is what the removal would break.
                if nearest(&spaces_after, space, table, name).is_some() {
                    continue;
                }
                let did = spaces_before
                    .iter()
                    .find(|other| other.xpath == space.xpath && other.level == space.level)
                    .is_some_and(|space| nearest(&spaces_before, space, table, name).is_some());
                if did {
                    lines.extend(uses(space, table, name).iter().map(|route| format!(" {}", arrows(after, route))));
                }
            }
            if !lines.is_empty() {
                lines.insert(0, format!(" {name} cannot be deleted because of references from:"));
                return Err(EditError { code: code::REFERENCED, lines });
            }
        }
    }
    Ok(())
}

/// A part of the tree whose names are looked up together.
struct Space<'a> {
    level: Level,
    element: &'a Element,
    route: Route,
    xpath: String,
    /// XPaths of the farther spaces, the nearest first.
    chain: Vec<String>,
}

fn spaces(root: &Element) -> Vec<Space<'_>> {
    let mut spaces = Vec::new();
    let whole = Space {
        level: Level::Manager,
        element: root,
        route: Vec::new(),
        xpath: format!("/{}", root.step()),
        chain: Vec::new(),
    };
    let config_paths = ["devices/entry/template/entry/config", "devices/entry/template-stack/entry/config"];
    let configs: Vec<(Route, &Element)> = config_paths.iter().flat_map(|path| matches(root, path)).collect();
    add_config(&mut spaces, &whole);
    for (route, element) in configs {
        let xpath = xpath_at(root, &route);
        add_config(&mut spaces, &Space { level: Level::Manager, element, route, xpath, chain: Vec::new() });
    }
    for (route, element) in matches(root, "devices/entry/device-group/entry") {
        let xpath = xpath_at(root, &route);
        let parent = xpath.len() - element.step().len();
        let line = manager::ancestors(root, element.attribute("name").unwrap_or_default());
        let ancestors = line.iter().map(|name| format!("{}{}", &xpath[..parent], Element::entry(name).step()));
        let chain = ancestors.chain(["/config/shared".to_owned()]).collect();
        spaces.push(Space { level: Level::Policy, element, route, xpath, chain });
    }
    spaces.push(whole);
    spaces
}

/// The spaces of a firewall-shaped tree.
fn add_config<'a>(spaces: &mut Vec<Space<'a>>, config: &Space<'a>) {
    let shared = format!("{}/shared", config.xpath);
    let pushed: Vec<String> = matches(config.element, "panorama/vsys/entry")
        .iter()
        .map(|(_, entry)| format!("{}/panorama/vsys/{}", config.xpath, entry.step()))
        .collect();
    let mut add = |path: &str, level: Level, chain: Vec<String>| {
        for (relative, element) in matches(config.element, path) {
            let xpath = format!("{}{}", config.xpath, xpath_below(config.element, &relative));
            let route = config.route.iter().copied().chain(relative).collect();
            spaces.push(Space { level, element, route, xpath, chain: chain.clone() });
        }
    };
    add("devices/entry", Level::Network, Vec::new());
    add("devices/entry/vsys/entry", Level::Policy, [shared.clone()].into_iter().chain(pushed).collect());
    add("panorama/vsys/entry", Level::Policy, vec![shared]);
    add("shared", Level::Policy, Vec::new());
}

/// The space that a name used in `space` is defined in.
fn nearest<'s, 'a>(spaces: &'s [Space<'a>], space: &'s Space<'a>, table: &Table, name: &str) -> Option<&'s Space<'a>> {
    if defines(space, table, name) {
        return Some(space);
    }
    space
        .chain
        .iter()
        .filter_map(|xpath| spaces.iter().find(|other| other.xpath == *xpath && other.level == table.level))
        .find(|other| defines(other, table, name))
}

fn defines(space: &Space<'_>, table: &Table, name: &str) -> bool {
    table
        .defined
        .iter()
        .any(|path| any(space.element, path, &|entry| entry.attribute("name").is_some_and(|own| same_name(own, name))))
}

/// Spaces and tables for which the place is a definition.
fn definitions_at<'s, 'a>(spaces: &'s [Space<'a>], place: &Place) -> Vec<(&'s Space<'a>, &'static Table)> {
    let mut found = Vec::new();
    for space in spaces.iter().filter(|space| place.route.starts_with(&space.route)) {
        let relative: Vec<&str> = place.tags.iter().skip(space.route.len() + 1).map(String::as_str).collect();
        for table in TABLES.iter().filter(|table| table.level == space.level) {
            if table.defined.iter().any(|path| path.split('/').eq(relative.iter().copied())) {
                found.push((space, table));
            }
        }
    }
    found
}

fn uses(space: &Space<'_>, table: &Table, name: &str) -> Vec<Route> {
    let mut found = Vec::new();
    for path in table.used {
        for (relative, element) in matches(space.element, path) {
            let is_leaf = element.elements().next().is_none();
            if is_leaf && same_name(&element.text(), name) {
                found.push(space.route.iter().copied().chain(relative).collect());
            }
        }
    }
    found
}

/// Names that a space loses when the element at `route` is removed.
fn collect_removed<'a>(space: &Space<'a>, table: &Table, route: &Route, gone: &mut BTreeSet<&'a str>) {
    if space.route.starts_with(route) {
        let all = table.defined.iter().flat_map(|path| matches(space.element, path));
        gone.extend(all.filter_map(|(_, entry)| entry.attribute("name")));
    } else if let Some(relative) = route.strip_prefix(space.route.as_slice()) {
        for path in table.defined {
            let path: Vec<&str> = path.split('/').collect();
            let mut here = space.element;
            let mut depth = 0;
            for index in relative {
                let Some(Child::Element(child)) = here.children.get(*index) else { break };
                if path.get(depth).is_none_or(|tag| **tag != *child.name) {
                    break;
                }
                here = child;
                depth += 1;
            }
            if depth < relative.len() {
                continue;
            }
            let rest = path[depth..].join("/");
            gone.extend(matches(here, &rest).iter().filter_map(|(_, entry)| entry.attribute("name")));
        }
    }
}

/// Interfaces have two spellings; nothing else begins like one.
fn same_name(one: &str, other: &str) -> bool {
    one == other || one.starts_with("eth") && other.starts_with("eth") && interface_name(one) == interface_name(other)
}

/// All elements below that a path of tags (with `*`) leads to.
fn matches<'a>(element: &'a Element, path: &str) -> Vec<(Route, &'a Element)> {
    let mut found = vec![(Route::new(), element)];
    for tag in path.split('/').filter(|tag| !tag.is_empty()) {
        let mut next = Vec::new();
        for (route, element) in found {
            for (index, child) in element.children.iter().enumerate() {
                if let Child::Element(child) = child
                    && (tag == "*" || *child.name == *tag)
                {
                    let mut route = route.clone();
                    route.push(index);
                    next.push((route, &**child));
                }
            }
        }
        found = next;
    }
    found
}

/// Whether one of the elements that a path of tags leads to satisfies a condition.
fn any(element: &Element, path: &str, condition: &dyn Fn(&Element) -> bool) -> bool {
    let (tag, rest) = path.split_once('/').unwrap_or((path, ""));
    let mut children = element.elements().filter(|child| *child.name == *tag);
    if rest.is_empty() {
        children.any(|child| condition(child))
    } else {
        children.any(|child| any(child, rest, condition))
    }
}

fn xpath_at(root: &Element, route: &[usize]) -> String {
    format!("/{}{}", root.step(), xpath_below(root, route))
}

fn xpath_below(element: &Element, route: &[usize]) -> String {
    let mut xpath = String::new();
    let mut here = element;
    for index in route {
        let Some(Child::Element(child)) = here.children.get(*index) else { break };
        xpath.push('/');
        xpath.push_str(&child.step());
        here = child;
    }
    xpath
}

/// The path as PAN-OS words it: names of entries and tags, joined by arrows.
fn arrows(root: &Element, route: &[usize]) -> String {
    let mut words = Vec::new();
    let mut here = root;
    for index in route {
        let Some(Child::Element(child)) = here.children.get(*index) else { break };
        match (&*child.name, child.attribute("name")) {
            ("entry", Some(manager::LOCALHOST)) | ("devices" | "member", _) => {}
            ("entry", Some(name)) => words.push(name.to_owned()),
            (tag, _) => words.push(tag.to_owned()),
        }
        here = child;
    }
    words.join(" -> ")
}
