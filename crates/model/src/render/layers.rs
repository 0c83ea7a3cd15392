//! How do the templates of a stack become one configuration?
//!
//! The stack's own settings lie on top, then its templates in their order; the first layer that has a
//! node wins. Entries of one name are merged node by node; a list of members is one node.

use std::sync::Arc;

use super::missing_template;
use crate::choices;
use crate::diagnostic::Diagnostic;
use crate::manager::{self, LOCALHOST};
use crate::tree::{Child, Element};

/// The configuration of a stack before variables get their values.
pub(super) fn of_stack(root: &Element, stack: &str, diagnostics: &mut Vec<Diagnostic>) -> Element {
    let mut config = Element::new("config");
    let entry = manager::container(root, "template-stack").and_then(|stacks| stacks.entry_named(stack));
    if let Some(own) = entry.and_then(|entry| entry.child("config")) {
        lay_below(&mut config, own, &Mark { template: stack, is_stack: true }, &mut Vec::new());
    }
    let templates = manager::container(root, "template");
    for name in manager::templates_of(root, stack) {
        match templates.and_then(|templates| templates.entry_named(&name)) {
            Some(template) => {
                if let Some(layer) = template.child("config") {
                    lay_below(&mut config, layer, &Mark { template: &name, is_stack: false }, &mut Vec::new());
                }
            }
            None => diagnostics.push(missing_template(root, stack, &name)),
        }
    }
    config
}

/// One template alone.
pub(super) fn of_template(root: &Element, name: &str) -> Element {
    let mut config = Element::new("config");
    let template = manager::container(root, "template").and_then(|templates| templates.entry_named(name));
    if let Some(layer) = template.and_then(|template| template.child("config")) {
        lay_below(&mut config, layer, &Mark { template: name, is_stack: false }, &mut Vec::new());
    }
    config
}

/// Who contributes a layer.
struct Mark<'m> {
    template: &'m str,
    is_stack: bool,
}

impl Mark<'_> {
    fn put_on(&self, element: &mut Element) {
        element.attributes.retain(|(name, _)| !matches!(&**name, "ptpl" | "src" | "loc"));
        element.attributes.push(("ptpl".into(), self.template.into()));
        if self.is_stack {
            element.attributes.push(("src".into(), "stack".into()));
        }
    }
}

/// Adds what `layer` has and `above` has not. `path` holds the tags from the root to `above`, without it.
fn lay_below(above: &mut Element, layer: &Element, mark: &Mark<'_>, path: &mut Vec<String>) {
    path.push(above.name.to_string());
    let is_union = path.ends_with(&["import".to_owned(), "network".to_owned(), above.name.to_string()]);
    let has_members = above.child("member").is_some();
    let tags: Vec<&str> = path.iter().map(String::as_str).collect();
    let mut added = Vec::new();
    for child in layer.elements() {
        let is_member = &*child.name == "member";
        // A list is one node, except for what a vsys imports: each template imports its own interfaces.
        let is_there = is_member && above.members().any(|text| text == child.text());
        if is_there || (is_member && has_members && !is_union) {
            continue;
        }
        match position(above, child) {
            Some(index) if !is_member => {
                if let Some(Child::Element(existing)) = above.children.get_mut(index) {
                    lay_below(Arc::make_mut(existing), child, mark, &mut tags_of(&tags));
                }
            }
            _ => {
                let branches = choices::branches(&tags, &child.name);
                if !above.elements().any(|other| other.name != child.name && branches.contains(&&*other.name)) {
                    added.push(child);
                }
            }
        }
    }
    for child in added {
        let mut child = (**child).clone();
        // Every template calls its one device the same, whatever it was called when it was written.
        if &*child.name == "entry" && tags.last() == Some(&"devices") && tags.len() == 2 {
            child.attributes = vec![("name".into(), LOCALHOST.into())];
        }
        mark.put_on(&mut child);
        above.children.push(Child::Element(child.into()));
    }
    path.pop();
}

fn tags_of(tags: &[&str]) -> Vec<String> {
    tags.iter().map(|tag| (*tag).to_owned()).collect()
}

/// The child of `above` that means the same node. The one device of a template is the same whatever its name.
fn position(above: &Element, child: &Element) -> Option<usize> {
    let is_device = &*above.name == "devices";
    above.children.iter().position(|other| match other {
        Child::Element(other) => {
            other.name == child.name && (is_device || other.attribute("name") == child.attribute("name"))
        }
        Child::Text(_) | Child::Comment(_) => false,
    })
}
