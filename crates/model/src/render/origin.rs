//! Where in the manager's tree was a node of a rendered device written?

use std::sync::Arc;

use super::Variables;
use crate::diagnostic::Origin;
use crate::manager;
use crate::tree::{Child, Element, quote};
use crate::xpath::XPath;

/// Where the pushed part of a rendered tree stands.
const PUSHED: &str = "/config/panorama/vsys/entry[@name='vsys1']";

/// The origin in the manager's tree of an origin in a device's rendered tree. Names that a variable
/// supplied are spelled as the variable again, as far as the manager's tree tells.
pub fn to_manager(origin: Origin, template_root: &Element, serial: Option<&str>) -> Origin {
    let stack = serial.and_then(|serial| super::assignment(template_root, serial)?.stack);
    let variables = Variables::of(template_root, stack.as_deref(), serial);
    with_variables(rebase(origin), template_root, &variables)
}

/// Puts the path of the template or device group before the path in the device.
pub(super) fn rebase(origin: Origin) -> Origin {
    let Some(owner) = origin.owner.as_deref() else { return origin };
    let named = |kind: &str| owner.strip_prefix(kind)?.strip_prefix(" `")?.strip_suffix('`').map(str::to_owned);
    let xpath = if let Some(name) = named("template stack") {
        Some(format!("{}{}", manager::entry_xpath("template-stack", &name), origin.xpath))
    } else if let Some(name) = named("template") {
        Some(format!("{}{}", manager::entry_xpath("template", &name), origin.xpath))
    } else if let Some(name) = named("device-group") {
        let rest = origin.xpath.strip_prefix(PUSHED);
        rest.map(|rest| format!("{}{rest}", manager::entry_xpath("device-group", &name)))
    } else {
        origin.xpath.strip_prefix(PUSHED).map(|rest| format!("/config/shared{rest}"))
    };
    Origin { xpath: xpath.unwrap_or(origin.xpath), ..origin }
}

/// The owner that an element's own attributes name.
pub(crate) fn mark_of(element: &Element) -> Option<String> {
    if let Some(template) = element.attribute("ptpl") {
        let kind = if element.attribute("src") == Some("stack") { "template stack" } else { "template" };
        return Some(format!("{kind} `{template}`"));
    }
    match element.attribute("loc")? {
        "shared" => Some("shared".to_owned()),
        group => Some(format!("device-group `{group}`")),
    }
}

/// Has every element name the owner that it has by what is around it.
pub(super) fn spread(element: &mut Element) {
    let is_owner = |name: &str| matches!(name, "ptpl" | "src");
    let owner: Vec<_> = element.attributes.iter().filter(|(name, _)| is_owner(name)).cloned().collect();
    for child in &mut element.children {
        let Child::Element(child) = child else { continue };
        let child = Arc::make_mut(child);
        if child.attribute("ptpl").is_none() {
            child.attributes.extend(owner.iter().cloned());
        }
        spread(child);
    }
}

/// Follows the path in the manager's tree; where a step is not there, an entry or member whose variable has that
/// value is meant.
pub(super) fn with_variables(origin: Origin, root: &Element, variables: &Variables) -> Origin {
    // Most paths are spelled without a variable's value, and following one looks at every sibling.
    if !variables.occur_in(&origin.xpath) {
        return origin;
    }
    let Ok(path) = XPath::parse(&origin.xpath) else { return origin };
    let Some(path) = path.single() else { return origin };
    let mut xpath = String::new();
    let mut here = Some(root);
    for (depth, step) in path.steps.iter().enumerate() {
        let next = match here {
            Some(root) if depth == 0 => Some(root).filter(|root| step.accepts(root)),
            Some(parent) => parent.elements().find(|child| step.accepts(child)).map(|child| &**child).or_else(|| {
                let wanted = step.attribute("name").or(step.text())?;
                parent.elements().map(|child| &**child).find(|child| {
                    let own = child.attribute("name").map_or_else(|| child.text(), str::to_owned);
                    step.name() == Some(&child.name) && variables.value(&own) == Some(wanted)
                })
            }),
            None => None,
        };
        xpath.push('/');
        match (next, step.name(), step.attribute("name"), step.text()) {
            (Some(element), ..) => xpath.push_str(&element.step()),
            (None, Some(tag), Some(name), _) => xpath.push_str(&format!("{tag}[@name={}]", quote(name))),
            (None, Some(tag), None, Some(text)) => xpath.push_str(&format!("{tag}[text()={}]", quote(text))),
            (None, Some(tag), None, None) => xpath.push_str(tag),
            (None, None, ..) => return origin,
        }
        here = next;
    }
    Origin { xpath, ..origin }
}
