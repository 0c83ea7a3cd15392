//! Which devices belong to which device groups and template stacks?
//!
//! Read from a manager's configuration tree each time; names are as written, nothing is checked here.

use std::collections::{BTreeMap, BTreeSet};

use bartizan_model::tree::Element;

/// A device group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeviceGroup {
    /// Name.
    pub(crate) name: String,
    /// The group above it; none is directly below `shared`.
    pub(crate) parent: Option<String>,
    /// Serials of its own devices.
    pub(crate) devices: Vec<String>,
}

/// A template stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TemplateStack {
    /// Name.
    pub(crate) name: String,
    /// Templates, the winning one first.
    pub(crate) templates: Vec<String>,
    /// Serials of its devices.
    pub(crate) devices: Vec<String>,
}

/// Groups, templates and stacks of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Topology {
    /// Device groups in document order.
    pub(crate) groups: Vec<DeviceGroup>,
    /// Template names in document order.
    pub(crate) templates: Vec<String>,
    /// Stacks in document order.
    pub(crate) stacks: Vec<TemplateStack>,
    /// Serials in `mgt-config/devices`.
    pub(crate) managed: Vec<String>,
}

impl Topology {
    /// Reads them.
    pub(crate) fn read(root: &Element) -> Self {
        let localhost = localhost(root);
        let below = |name: &str| localhost.and_then(|entry| entry.child(name));
        let parents = parents(root);
        let groups = below("device-group").into_iter().flat_map(|groups| groups.entries()).map(|(name, group)| {
            DeviceGroup { name: name.to_owned(), parent: parents.get(name).cloned(), devices: devices(group) }
        });
        let stacks = below("template-stack").into_iter().flat_map(|stacks| stacks.entries()).map(|(name, stack)| {
            TemplateStack {
                name: name.to_owned(),
                templates: stack.child("templates").map(|list| list.members().collect()).unwrap_or_default(),
                devices: devices(stack),
            }
        });
        Self {
            groups: groups.collect(),
            templates: below("template").map(|list| names(list)).unwrap_or_default(),
            stacks: stacks.collect(),
            managed: root.descend(&["mgt-config", "devices"]).map(names).unwrap_or_default(),
        }
    }

    /// A device's group.
    pub(crate) fn group_of(&self, serial: &str) -> Option<&DeviceGroup> {
        self.groups.iter().find(|group| group.devices.iter().any(|device| device == serial))
    }

    /// A device's stack.
    pub(crate) fn stack_of(&self, serial: &str) -> Option<&TemplateStack> {
        self.stacks.iter().find(|stack| stack.devices.iter().any(|device| device == serial))
    }

    /// Every serial that is named anywhere.
    pub(crate) fn serials(&self) -> BTreeSet<&str> {
        let grouped = self.groups.iter().flat_map(|group| &group.devices);
        let stacked = self.stacks.iter().flat_map(|stack| &stack.devices);
        grouped.chain(stacked).chain(&self.managed).map(String::as_str).collect()
    }

    /// Serials that have something to enforce.
    pub(crate) fn placed(&self) -> BTreeSet<&str> {
        let grouped = self.groups.iter().flat_map(|group| &group.devices);
        let stacked = self.stacks.iter().flat_map(|stack| &stack.devices);
        grouped.chain(stacked).map(String::as_str).collect()
    }
}

/// `/config/devices/entry[@name='localhost.localdomain']`, or whatever its name is.
pub(crate) fn localhost(root: &Element) -> Option<&Element> {
    root.child("devices")?.entries().next().map(|(_, entry)| &**entry)
}

fn devices(parent: &Element) -> Vec<String> {
    parent.child("devices").map(|list| names(list)).unwrap_or_default()
}

fn names(list: &Element) -> Vec<String> {
    list.entries().map(|(name, _)| name.to_owned()).collect()
}

/// The hierarchy lives in `/config/readonly`.
fn parents(root: &Element) -> BTreeMap<String, String> {
    let groups = root
        .child("readonly")
        .and_then(|readonly| localhost(readonly))
        .and_then(|entry| entry.child("device-group"));
    groups
        .into_iter()
        .flat_map(|groups| groups.entries())
        .filter_map(|(name, group)| Some((name.to_owned(), group.child("parent-dg")?.text())))
        .filter(|(_, parent)| !parent.is_empty())
        .collect()
}
