//! Is the manager's whole configuration fit to be pushed?

use std::collections::BTreeSet;

use super::{Rendered, Variables, origin};
use crate::codes;
use crate::device::{self, Scope};
use crate::diagnostic::{Diagnostic, Severity};
use crate::manager;
use crate::tree::Element;

/// Renders and reads every device, and what no device uses on its own; everything found, each once, with
/// origins in the manager's tree.
pub fn validate_manager(root: &Element) -> Vec<Diagnostic> {
    let mut validation = Validation { root, seen: BTreeSet::new(), diagnostics: Vec::new() };
    let devices = manager::devices(root);
    for device in &devices {
        let variables = Variables::of(root, device.stack.as_deref(), Some(&device.serial));
        match (&device.stack, &device.device_group) {
            (Some(_), _) => {
                let rendered = super::render_device(root, root, &device.serial);
                validation.add(rendered, Scope::Device, &variables);
            }
            // Without a stack it has no zones yet, which is no mistake of the policy.
            (None, Some(group)) => validation.add(super::render_group(root, group), Scope::PolicyOnly, &variables),
            (None, None) => {}
        }
    }
    validate_unused_groups(&mut validation, &devices);
    validate_unused_networks(&mut validation, &devices);
    validation.diagnostics
}

/// Device groups that neither have a device nor a descendant that has one; Shared if there is no group.
fn validate_unused_groups(validation: &mut Validation<'_>, devices: &[manager::DeviceAssignment]) {
    let root = validation.root;
    let groups = manager::device_groups(root);
    let mut used = BTreeSet::new();
    for group in devices.iter().filter_map(|device| device.device_group.as_ref()) {
        used.extend(manager::ancestors(root, group));
        used.insert(group.clone());
    }
    for group in groups.iter().filter(|group| !used.contains(*group)) {
        validation.add(super::render_group(root, group), Scope::PolicyOnly, &Variables::default());
    }
    if groups.is_empty() {
        validation.add(super::render_shared(root), Scope::PolicyOnly, &Variables::default());
    }
}

/// Stacks without a device, and templates that no stack names.
fn validate_unused_networks(validation: &mut Validation<'_>, devices: &[manager::DeviceAssignment]) {
    let root = validation.root;
    let stacks = manager::template_stacks(root);
    let named: BTreeSet<String> = stacks.iter().flat_map(|stack| manager::templates_of(root, stack)).collect();
    for stack in stacks.iter().filter(|stack| !devices.iter().any(|device| device.stack.as_ref() == Some(stack))) {
        let variables = Variables::of(root, Some(stack), None);
        validation.add(super::render_network(root, "template-stack", stack), Scope::Template, &variables);
    }
    for template in manager::templates(root).iter().filter(|template| !named.contains(*template)) {
        let variables = Variables::of_template(root, template);
        validation.add(super::render_network(root, "template", template), Scope::Template, &variables);
    }
}

struct Validation<'r> {
    root: &'r Element,
    /// What was reported already: devices share most of their configuration.
    seen: BTreeSet<(&'static str, String, String)>,
    diagnostics: Vec<Diagnostic>,
}

impl Validation<'_> {
    fn add(&mut self, rendered: Rendered, scope: Scope, variables: &Variables) {
        let report = device::read(&rendered.element, scope);
        let own = rendered.diagnostics.into_iter();
        let read = report.diagnostics.into_iter().map(|diagnostic| {
            let origin = origin::rebase(diagnostic.origin);
            Diagnostic { origin, ..diagnostic }
        });
        for mut diagnostic in own.chain(read) {
            diagnostic.origin = origin::with_variables(diagnostic.origin, self.root, variables);
            // A device group has no variables of its own: they belong to the devices it does not have.
            if scope == Scope::PolicyOnly && diagnostic.code == codes::UNRESOLVED_VARIABLE {
                diagnostic.severity = Severity::Warning;
            }
            // The number of places differs from device to device.
            let message = diagnostic.message.split(" (here and in ").next().unwrap_or_default().to_owned();
            if self.seen.insert((diagnostic.code, diagnostic.origin.xpath.clone(), message)) {
                self.diagnostics.push(diagnostic);
            }
        }
    }
}
