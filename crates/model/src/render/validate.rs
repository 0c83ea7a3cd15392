//! Is the manager's whole configuration fit to be pushed?

use std::collections::BTreeSet;
use std::sync::Arc;

use super::standing::{self, Segment, Splice, Standing};
use super::{Rendered, Variables, groups, origin};
use crate::codes;
use crate::device::{self, Scope, Validated};
use crate::diagnostic::{Diagnostic, Severity};
use crate::manager;
use crate::tree::Element;

/// Renders and reads every device, and what no device uses on its own; everything found, each once, with
/// origins in the manager's tree.
pub fn validate_manager(root: &Element) -> Vec<Diagnostic> {
    Whole::new(root).diagnostics(root)
}

/// A manager's configuration that was validated.
#[derive(Debug)]
pub struct Whole {
    /// Devices with a stack; those that are alike are one class.
    pub classes: Vec<Class>,
    /// Rules of device groups without such a device.
    unused: Vec<Segment>,
    /// What is said about anything but the classes.
    rest: Vec<Diagnostic>,
}

/// Devices whose configurations are alike.
#[derive(Debug)]
pub struct Class {
    /// One of them.
    pub serial: String,
    /// What they get, if it is right.
    pub config: Option<Arc<Validated>>,
    standing: Option<Standing>,
    /// What the validation said.
    found: Vec<Diagnostic>,
    variables: Variables,
}

impl Whole {
    /// Validates a configuration.
    pub fn new(root: &Element) -> Self {
        let mut whole = Self { classes: Vec::new(), unused: Vec::new(), rest: Vec::new() };
        let mut validation = Validation { root, found: Vec::new() };
        for class in standing::classes(root, root) {
            let Some(device) = class.first() else { continue };
            match (&device.stack, &device.device_group) {
                (Some(_), _) => {
                    let found = Standing::find(root, &device.serial);
                    whole.classes.push(Class {
                        serial: device.serial.clone(),
                        config: found.config,
                        standing: found.standing,
                        found: found.diagnostics,
                        variables: found.variables,
                    });
                }
                // Without a stack it has no zones yet, which is no mistake of the policy.
                (None, Some(group)) => {
                    validation.add(super::render_group(root, group), Scope::PolicyOnly, &Variables::default());
                    whole.unused.extend(standing::segments(root, group, None));
                }
                (None, None) => {}
            }
        }
        let devices = manager::devices(root);
        validate_unused_groups(&mut validation, &devices, &mut whole.unused);
        validate_unused_networks(&mut validation, &devices);
        validation.found.extend(groups::fixed_and_overridden(root));
        whole.rest = validation.found;
        whole
    }

    /// Follows from the tree `old` to the tree `new`; the rules that changed, by class. `None` when only a whole
    /// validation tells what the difference means: this value is of no use any more.
    pub fn follow(&mut self, old: &Element, new: &Element) -> Option<Vec<Vec<Splice>>> {
        if !standing::only_rules_differ(old, new) || !self.unused.iter().all(|segment| segment.stands_in(new)) {
            return None;
        }
        self.classes.iter_mut().map(|class| class.standing.as_mut()?.follow(new)).collect()
    }

    /// Everything found, each once.
    pub fn diagnostics(&self, root: &Element) -> Vec<Diagnostic> {
        // Devices share most of their configuration.
        let mut seen = BTreeSet::new();
        let of_classes = self.classes.iter().flat_map(|class| match &class.standing {
            Some(standing) => standing.diagnostics(root),
            None => class.found.clone(),
        });
        let mut diagnostics = Vec::new();
        for diagnostic in of_classes.chain(self.rest.iter().cloned()) {
            // The number of places differs from device to device.
            let message = diagnostic.message.split(" (here and in ").next().unwrap_or_default().to_owned();
            if seen.insert((diagnostic.code, diagnostic.origin.xpath.clone(), message)) {
                diagnostics.push(diagnostic);
            }
        }
        diagnostics
    }
}

impl Class {
    /// A diagnostic about the configuration, with its origin in the manager's tree.
    pub fn at_manager(&self, diagnostic: Diagnostic, root: &Element) -> Diagnostic {
        let origin = origin::with_variables(origin::rebase(diagnostic.origin), root, &self.variables);
        Diagnostic { origin, ..diagnostic }
    }
}

/// Device groups that neither have a device nor a descendant that has one; Shared if there is no group.
fn validate_unused_groups(
    validation: &mut Validation<'_>,
    devices: &[manager::DeviceAssignment],
    rules: &mut Vec<Segment>,
) {
    let root = validation.root;
    let groups = manager::device_groups(root);
    let mut used = BTreeSet::new();
    for group in devices.iter().filter_map(|device| device.device_group.as_ref()) {
        used.extend(manager::ancestors(root, group));
        used.insert(group.clone());
    }
    for group in groups.iter().filter(|group| !used.contains(*group)) {
        validation.add(super::render_group(root, group), Scope::PolicyOnly, &Variables::default());
        rules.extend(standing::segments(root, group, None));
    }
    if groups.is_empty() {
        rules.extend(standing::segments(root, "shared", None));
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
    found: Vec<Diagnostic>,
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
            self.found.push(diagnostic);
        }
    }
}
