//! Where in a manager's tree are device groups, templates, stacks and devices, and how do they hang
//! together?

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::Element;
use crate::tree::quote;

/// The one device that a manager's tree has below `/config/devices`.
pub const LOCALHOST: &str = "localhost.localdomain";
/// XPath of that device.
pub const LOCALHOST_XPATH: &str = "/config/devices/entry[@name='localhost.localdomain']";
/// Device groups below Shared that PAN-OS allows in one line of descent; a longer line is a loop.
const ANCESTORS_MAX: usize = 16;

/// One managed device and what it is assigned to.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceAssignment {
    /// Serial number.
    pub serial: String,
    /// Template stack.
    pub stack: Option<String>,
    /// Device group.
    pub device_group: Option<String>,
}

/// All managed devices: those registered below `mgt-config/devices` and those that a group or a stack
/// names, by serial number.
pub fn devices(root: &Element) -> Vec<DeviceAssignment> {
    let mut found: BTreeMap<String, DeviceAssignment> = BTreeMap::new();
    for (serial, _) in entries(root.descend(&["mgt-config", "devices"])) {
        found.entry(serial.to_owned()).or_default();
    }
    for (stack, element) in entries(container(root, "template-stack")) {
        for serial in listed_devices(element) {
            found.entry(serial).or_default().stack.get_or_insert_with(|| stack.to_owned());
        }
    }
    for (group, element) in entries(container(root, "device-group")) {
        for serial in listed_devices(element) {
            found.entry(serial).or_default().device_group.get_or_insert_with(|| group.to_owned());
        }
    }
    found.into_iter().map(|(serial, assignment)| DeviceAssignment { serial, ..assignment }).collect()
}

/// Names of the device groups in document order.
pub fn device_groups(root: &Element) -> Vec<String> {
    names(container(root, "device-group"))
}

/// Names of the templates in document order.
pub fn templates(root: &Element) -> Vec<String> {
    names(container(root, "template"))
}

/// Names of the template stacks in document order.
pub fn template_stacks(root: &Element) -> Vec<String> {
    names(container(root, "template-stack"))
}

/// Templates of a stack, the one that wins first.
pub fn templates_of(root: &Element, stack: &str) -> Vec<String> {
    container(root, "template-stack")
        .and_then(|stacks| stacks.entry_named(stack))
        .and_then(|stack| stack.child("templates"))
        .map(|list| list.members().collect())
        .unwrap_or_default()
}

/// Parent of a device group; none for one directly below Shared. It is kept in the read-only part of the tree, as on
/// PAN-OS, where `request move-dg` changes it.
pub fn parent_device_group(root: &Element, group: &str) -> Option<String> {
    let parent = parents_container(root)?.entry_named(group)?.child("parent-dg")?.text();
    (!parent.is_empty() && parent != "shared").then_some(parent)
}

/// Ancestors of a device group, the nearest first, without Shared. A loop is cut.
pub fn ancestors(root: &Element, group: &str) -> Vec<String> {
    let mut line = Vec::new();
    let mut here = parent_device_group(root, group);
    while let Some(parent) = here {
        if parent == group || line.contains(&parent) || line.len() == ANCESTORS_MAX {
            break;
        }
        here = parent_device_group(root, &parent);
        line.push(parent);
    }
    line
}

/// Device groups whose parent is this one.
pub fn children(root: &Element, group: &str) -> Vec<String> {
    device_groups(root).into_iter().filter(|child| parent_device_group(root, child).as_deref() == Some(group)).collect()
}

/// Device groups below this one, at any depth.
pub fn descendants(root: &Element, group: &str) -> BTreeSet<String> {
    device_groups(root).into_iter().filter(|child| ancestors(root, child).iter().any(|name| name == group)).collect()
}

/// XPath of the entry that holds a device group's parent.
pub fn parent_xpath(group: &str) -> String {
    format!("/config/readonly/devices/entry[@name='{LOCALHOST}']/device-group/entry[@name={}]/parent-dg", quote(group))
}

/// XPath of a device group, template or template stack (`kind` is its container's tag).
pub fn entry_xpath(kind: &str, name: &str) -> String {
    format!("{LOCALHOST_XPATH}/{kind}/entry[@name={}]", quote(name))
}

/// `device-group`, `template` or `template-stack` of the manager's own device.
pub fn container<'a>(root: &'a Element, kind: &str) -> Option<&'a Element> {
    device_entry(root.child("devices")?)?.child(kind).map(|element| &**element)
}

/// The device of a tree: `localhost.localdomain`, or whatever the first entry is called.
pub(crate) fn device_entry(devices: &Element) -> Option<&Element> {
    devices.entries().next().map(|(_, element)| &**element)
}

fn parents_container(root: &Element) -> Option<&Element> {
    device_entry(root.descend(&["readonly", "devices"])?)?.child("device-group").map(|element| &**element)
}

/// Serial numbers below `devices`, as entries or as members.
pub(crate) fn listed_devices(element: &Element) -> Vec<String> {
    let Some(list) = element.child("devices") else { return Vec::new() };
    list.entries().map(|(name, _)| name.to_owned()).chain(list.members()).collect()
}

fn entries(container: Option<&Element>) -> impl Iterator<Item = (&str, &Element)> {
    container.into_iter().flat_map(|container| container.entries().map(|(name, element)| (name, &**element)))
}

fn names(container: Option<&Element>) -> Vec<String> {
    entries(container).map(|(name, _)| name.to_owned()).collect()
}
