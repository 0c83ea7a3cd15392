//! Which devices belong to which device groups and template stacks?
//!
//! A table made from a manager's configuration tree; names are as written, nothing is checked here.

use std::collections::BTreeMap;

use bartizan_model::manager::{self, DeviceAssignment};
use bartizan_model::tree::Element;

use crate::accounts::rights::Reach;

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

/// Groups, templates, stacks and devices of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Topology {
    /// Device groups in document order.
    pub(crate) groups: Vec<DeviceGroup>,
    /// Template names in document order.
    pub(crate) templates: Vec<String>,
    /// Stacks in document order.
    pub(crate) stacks: Vec<TemplateStack>,
    /// Every device that is named anywhere, by serial.
    pub(crate) devices: BTreeMap<String, DeviceAssignment>,
}

impl Topology {
    /// Reads them.
    pub(crate) fn read(root: &Element) -> Self {
        let devices = manager::devices(root);
        let of = |chosen: &dyn Fn(&DeviceAssignment) -> bool| -> Vec<String> {
            devices.iter().filter(|device| chosen(device)).map(|device| device.serial.clone()).collect()
        };
        let groups = manager::device_groups(root).into_iter().map(|name| DeviceGroup {
            parent: manager::parent_device_group(root, &name),
            devices: of(&|device| device.device_group.as_ref() == Some(&name)),
            name,
        });
        let stacks = manager::template_stacks(root).into_iter().map(|name| TemplateStack {
            templates: manager::templates_of(root, &name),
            devices: of(&|device| device.stack.as_ref() == Some(&name)),
            name,
        });
        Self {
            groups: groups.collect(),
            templates: manager::templates(root),
            stacks: stacks.collect(),
            devices: devices.into_iter().map(|device| (device.serial.clone(), device)).collect(),
        }
    }

    /// What of it somebody may handle.
    pub(crate) fn within(mut self, reach: Option<&Reach>) -> Self {
        let Some(reach) = reach else { return self };
        self.groups.retain(|group| reach.groups.contains(&group.name));
        self.templates.retain(|name| reach.templates.contains(name));
        self.stacks.retain(|stack| reach.templates.contains(&stack.name));
        self.devices.retain(|serial, _| reach.devices.contains(serial));
        self
    }

    /// The group of a device.
    pub(crate) fn group_of(&self, serial: &str) -> Option<&str> {
        self.devices.get(serial)?.device_group.as_deref()
    }

    /// The stack of a device.
    pub(crate) fn stack_of(&self, serial: &str) -> Option<&str> {
        self.devices.get(serial)?.stack.as_deref()
    }
}
