//! What does the manager's tree mean for one firewall?
//!
//! The stack's templates are laid over one another, variables get their values, the device group's line
//! of descent contributes rules and objects; the outcome is a firewall-shaped tree for
//! [`crate::device::read`]. Its nodes carry `ptpl` (template) or `loc` (device group), from which
//! diagnostics know who wrote them; [`origin::to_manager`] leads back to the manager's own tree.

mod effective;
mod groups;
mod layers;
pub mod origin;
mod standing;
#[cfg(test)]
mod tests;
mod validate;
mod variables;

use std::sync::Arc;

use crate::codes;
use crate::diagnostic::{Diagnostic, Origin, Severity};
use crate::manager;
pub use crate::manager::{DeviceAssignment, device_groups, devices, template_stacks, templates};
use crate::tree::{Child, Element};
pub use effective::{Effective, Overridden, Supplied, Value};
pub use layers::with_local;
pub use standing::{Splice, classes};
pub use validate::{Class, Whole, validate_manager};
pub(crate) use variables::Variables;
pub use variables::{is_variable, variable_fits};

/// The effective configuration of one device, all policy and network settings.
///
/// `root` supplies device groups and Shared, `template_root` templates and stacks: they may be different
/// versions of the manager's configuration, or the same. Errors are those of the manager's tree:
/// templates and parents that are missing, and variables without a value.
pub fn render(root: &Element, template_root: &Element, serial: &str) -> Result<Element, Vec<Diagnostic>> {
    let Rendered { element, diagnostics } = render_device(root, template_root, serial);
    if diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
        return Err(diagnostics);
    }
    Ok(element)
}

/// What a stack's own settings and its templates make, before variables get their values. Each node names its owner by
/// `ptpl`, and `src` when it is the stack. A template that is missing is left out.
pub fn render_stack(root: &Element, stack: &str) -> Element {
    let mut config = layers::of_stack(root, stack, &mut Vec::new());
    origin::spread(&mut config);
    config
}

/// A rendered tree together with what is wrong about it.
struct Rendered {
    element: Element,
    diagnostics: Vec<Diagnostic>,
}

fn render_device(root: &Element, template_root: &Element, serial: &str) -> Rendered {
    let stack = assignment(template_root, serial).and_then(|device| device.stack);
    let group = assignment(root, serial).and_then(|device| device.device_group);
    let mut diagnostics = Vec::new();
    let mut config = match &stack {
        Some(stack) => layers::of_stack(template_root, stack, &mut diagnostics),
        None => Element::new("config"),
    };
    if let Some(group) = &group {
        add_policy(&mut config, groups::of_device(root, group, Some(serial), &mut diagnostics));
    }
    let variables = Variables::of(template_root, stack.as_deref(), Some(serial));
    diagnostics.extend(variables.check());
    variables.fill(&mut config, &mut diagnostics);
    Rendered { element: config, diagnostics }
}

/// Policy and objects of a device group alone.
fn render_group(root: &Element, group: &str) -> Rendered {
    let mut config = Element::new("config");
    let mut diagnostics = Vec::new();
    add_policy(&mut config, groups::of_device(root, group, None, &mut diagnostics));
    Rendered { element: config, diagnostics }
}

/// Policy and objects of Shared alone.
fn render_shared(root: &Element) -> Rendered {
    let mut config = Element::new("config");
    add_policy(&mut config, groups::of_shared(root));
    Rendered { element: config, diagnostics: Vec::new() }
}

/// A stack, or a template that is in none, without a device. What a variable without a value means is
/// only known per device, so that is not judged here.
fn render_network(root: &Element, kind: &str, name: &str) -> Rendered {
    let mut diagnostics = Vec::new();
    let (mut config, variables) = if kind == "template-stack" {
        (layers::of_stack(root, name, &mut diagnostics), Variables::of(root, Some(name), None))
    } else {
        (layers::of_template(root, name), Variables::of_template(root, name))
    };
    diagnostics.extend(variables.check());
    variables.fill(&mut config, &mut Vec::new());
    Rendered { element: config, diagnostics }
}

fn add_policy(config: &mut Element, vsys: Element) {
    let mut panorama = Element::new("panorama");
    let mut container = Element::new("vsys");
    container.children.push(Child::Element(Arc::new(vsys)));
    panorama.children.push(Child::Element(Arc::new(container)));
    config.children.push(Child::Element(Arc::new(panorama)));
}

fn assignment(root: &Element, serial: &str) -> Option<DeviceAssignment> {
    devices(root).into_iter().find(|device| device.serial == serial)
}

/// A reference of the manager's own tree that leads nowhere.
fn missing(code: &'static str, xpath: String, message: String, name: &str, known: &[String]) -> Diagnostic {
    let diagnostic = Diagnostic::error(code, Origin::xpath(xpath), message);
    match crate::diagnostic::closest(name, known.iter().map(String::as_str)) {
        Some(near) => diagnostic.with_help(format!("did you mean `{near}`?")),
        None => diagnostic,
    }
}

/// A template that a stack names and that is not there.
fn missing_template(root: &Element, stack: &str, template: &str) -> Diagnostic {
    let member = Element::leaf("member", template).step();
    let xpath = format!("{}/templates/{member}", manager::entry_xpath("template-stack", stack));
    let message = format!("no template `{template}` is defined");
    missing(codes::UNKNOWN_TEMPLATE, xpath, message, template, &templates(root))
}

/// A parent that a device group names and that is not there.
fn missing_parent(root: &Element, group: &str, parent: &str) -> Diagnostic {
    let message = format!("device group `{group}` has the parent `{parent}`, which is not defined");
    let others: Vec<String> = device_groups(root).into_iter().filter(|name| name != group).collect();
    missing(codes::UNKNOWN_DEVICE_GROUP, manager::parent_xpath(group), message, parent, &others)
}
