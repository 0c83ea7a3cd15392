//! Which value does a `$variable` have for this device?
//!
//! The device's own value in the stack comes before the stack's, that before the templates' in their
//! order. A variable stands for a whole text or the whole name of an entry.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::choices;
use crate::codes;
use crate::device::{AddressValue, interface_name};
use crate::diagnostic::{Diagnostic, Origin, closest};
use crate::manager;
use crate::tree::{Child, Element};

/// Elements whose text is for people and never a variable.
const FREE_TEXT: [&str; 4] = ["description", "comment", "comments", "login-banner"];

/// Variables that are visible to one device (or stack, or template).
#[derive(Clone, Debug, Default)]
pub(crate) struct Variables {
    known: BTreeMap<String, Variable>,
}

#[derive(Clone, Debug, Default)]
struct Variable {
    /// The branch below `type`.
    kind: String,
    /// Nothing when every definition says `None`.
    value: Option<String>,
    origin: Origin,
}

impl Variables {
    /// Variables of a stack, and of a device in it.
    pub(crate) fn of(root: &Element, stack: Option<&str>, serial: Option<&str>) -> Self {
        let mut variables = Self::default();
        let Some(stack) = stack else { return variables };
        let stacks = manager::container(root, "template-stack");
        if let Some(entry) = stacks.and_then(|stacks| stacks.entry_named(stack)) {
            let xpath = manager::entry_xpath("template-stack", stack);
            let device = serial.and_then(|serial| entry.child("devices")?.entry_named(serial));
            if let Some(device) = device {
                variables.add(device, &format!("{xpath}/devices/{}", device.step()));
            }
            variables.add(entry, &xpath);
        }
        for name in manager::templates_of(root, stack) {
            variables.add_template(root, &name);
        }
        variables
    }

    /// Variables of one template.
    pub(crate) fn of_template(root: &Element, name: &str) -> Self {
        let mut variables = Self::default();
        variables.add_template(root, name);
        variables
    }

    fn add_template(&mut self, root: &Element, name: &str) {
        let templates = manager::container(root, "template");
        if let Some(template) = templates.and_then(|templates| templates.entry_named(name)) {
            self.add(template, &manager::entry_xpath("template", name));
        }
    }

    /// Adds the definitions of a holder; what is known already comes first.
    fn add(&mut self, holder: &Element, xpath: &str) {
        let Some(container) = holder.child("variable") else { return };
        for (name, entry) in container.entries() {
            let Some(branch) = entry.child("type").and_then(|kind| kind.elements().next().cloned()) else { continue };
            let text = branch.text();
            let value = (!text.is_empty() && text != "None").then_some(text);
            let origin = Origin {
                xpath: format!("{xpath}/variable/{}/type/{}", entry.step(), branch.name),
                span: branch.span,
                owner: None,
            };
            let variable = Variable { kind: branch.name.to_string(), value, origin };
            let known = self.known.entry(name.to_owned()).or_default();
            if known.value.is_none() {
                *known = variable;
            }
        }
    }

    /// The value of `$name`.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.known.get(name)?.value.as_deref()
    }

    /// Whether some value is part of a text.
    pub(crate) fn occur_in(&self, text: &str) -> bool {
        self.known.values().filter_map(|variable| variable.value.as_deref()).any(|value| text.contains(value))
    }

    /// XPath of the definition that gives `$name` its value.
    pub(super) fn definition(&self, name: &str) -> Option<&str> {
        self.known.get(name).map(|variable| variable.origin.xpath.as_str())
    }

    /// Values that do not fit the type of their variable.
    pub(crate) fn check(&self) -> Vec<Diagnostic> {
        let mut diagnostics = Vec::new();
        for (name, Variable { kind, value, origin }) in &self.known {
            let Some(value) = value else { continue };
            if !variable_fits(kind, value) {
                let message = format!("`{value}` of variable `{name}` does not fit its type `{kind}`");
                diagnostics.push(Diagnostic::error(codes::VARIABLE_TYPE, origin.clone(), message));
            }
        }
        diagnostics
    }

    /// Puts values in the place of variables and reports those that have none.
    pub(crate) fn fill(&self, config: &mut Element, diagnostics: &mut Vec<Diagnostic>) {
        let origin = Origin::xpath(format!("/{}", config.name));
        self.fill_element(config, &origin, diagnostics);
    }

    fn fill_element(&self, element: &mut Element, origin: &Origin, diagnostics: &mut Vec<Diagnostic>) {
        if FREE_TEXT.contains(&&*element.name) {
            return;
        }
        for (name, value) in &mut element.attributes {
            if &**name == "name"
                && let Some(filled) = self.replacement(value, origin, diagnostics)
            {
                *value = filled.into();
            }
        }
        for child in &mut element.children {
            match child {
                Child::Element(child) if holds_variable(child) => {
                    let origin = child_origin(origin, child);
                    self.fill_element(Arc::make_mut(child), &origin, diagnostics);
                }
                Child::Text(text) => {
                    if let Some(filled) = self.replacement(text.trim(), origin, diagnostics) {
                        *text = filled.into();
                    }
                }
                Child::Element(_) | Child::Comment(_) => {}
            }
        }
    }

    fn replacement(&self, text: &str, origin: &Origin, diagnostics: &mut Vec<Diagnostic>) -> Option<String> {
        if !is_variable(text) {
            return None;
        }
        if let Some(value) = self.value(text) {
            return Some(value.to_owned());
        }
        let origin = super::origin::rebase(origin.clone());
        let near = closest(text, self.known.keys().map(String::as_str).filter(|known| *known != text));
        let help = match near {
            Some(near) if !self.known.contains_key(text) => format!("did you mean `{near}`?"),
            _ => "define it in the template, in the stack, or for this device in the stack".to_owned(),
        };
        let message = format!("variable `{text}` has no value here");
        diagnostics.push(Diagnostic::error(codes::UNRESOLVED_VARIABLE, origin, message).with_help(help));
        None
    }
}

/// Whether a text is `$` and a name.
pub fn is_variable(text: &str) -> bool {
    text.strip_prefix('$').is_some_and(|name| {
        !name.is_empty() && name.chars().all(|char| char.is_alphanumeric() || matches!(char, '_' | '-' | '.'))
    })
}

/// Whether something below has to be replaced: most of a tree stays shared.
pub(super) fn holds_variable(element: &Element) -> bool {
    element.attribute("name").is_some_and(is_variable)
        || element.children.iter().any(|child| match child {
            Child::Element(child) => holds_variable(child),
            Child::Text(text) => is_variable(text.trim()),
            Child::Comment(_) => false,
        })
}

fn child_origin(parent: &Origin, child: &Element) -> Origin {
    let owner = super::origin::mark_of(child).or_else(|| parent.owner.clone());
    Origin { xpath: format!("{}/{}", parent.xpath, child.step()), span: child.span, owner }
}

/// Whether a value can stand where a variable of this type does.
pub fn variable_fits(kind: &str, value: &str) -> bool {
    let number = |max: u32| value.parse::<u32>().is_ok_and(|number| number <= max);
    match kind {
        "ip-netmask" => AddressValue::parse(value).is_some_and(|value| matches!(value, AddressValue::Prefix(_))),
        "ip-range" => AddressValue::parse(value).is_some_and(|value| matches!(value, AddressValue::Range(..))),
        "fqdn" => !value.contains(char::is_whitespace) && value.len() <= 255,
        "interface" => {
            let name = interface_name(value);
            name.starts_with(|first: char| first.is_ascii_alphabetic()) && name.contains(['/', '.'])
        }
        "group-id" => number(63),
        "device-priority" => number(255),
        "device-id" => number(1),
        "as-number" => {
            number(u32::MAX)
                || value.split_once('.').is_some_and(|(a, b)| a.parse::<u16>().is_ok() && b.parse::<u16>().is_ok())
        }
        "egress-max" => value.parse::<f64>().is_ok_and(|rate| rate >= 0.0),
        _ => choices::VARIABLE.contains(&kind),
    }
}
