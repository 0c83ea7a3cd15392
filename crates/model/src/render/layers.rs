//! How do the templates of a stack become one configuration?
//!
//! The stack's own settings lie on top, then its templates in their order; the first layer that has a
//! node wins. Entries of one name are merged node by node, unless one overrides the others; a list of members is one node. On a firewall its own
//! configuration lies above all of that, by the same rules ([`with_local`]).

use std::sync::Arc;

use super::missing_template;
use crate::choices;
use crate::diagnostic::Diagnostic;
use crate::edit::OVERRIDE;
use crate::manager::{self, LOCALHOST};
use crate::tree::{Child, Element};

/// The container of what a manager pushed for a virtual system.
const PUSHED: &str = "panorama";

/// The configuration of a stack before variables get their values.
pub(super) fn of_stack(root: &Element, stack: &str, diagnostics: &mut Vec<Diagnostic>) -> Element {
    let mut config = Element::new("config");
    let entry = manager::container(root, "template-stack").and_then(|stacks| stacks.entry_named(stack));
    if let Some(own) = entry.and_then(|entry| entry.child("config")) {
        lay_below(&mut config, own, &Mark::of(stack, true), &mut Vec::new());
    }
    let templates = manager::container(root, "template");
    for name in manager::templates_of(root, stack) {
        match templates.and_then(|templates| templates.entry_named(&name)) {
            Some(template) => {
                if let Some(layer) = template.child("config") {
                    lay_below(&mut config, layer, &Mark::of(&name, false), &mut Vec::new());
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
        lay_below(&mut config, layer, &Mark::of(name, false), &mut Vec::new());
    }
    config
}

/// What a firewall does: its own configuration above what its manager pushed. Policy and objects that were pushed stand
/// below `panorama`, apart from its own; everything else of its own wins node by node.
pub fn with_local(local: &Element, pushed: &Element) -> Element {
    let mut config = local.clone();
    config.children.retain(|child| !matches!(child, Child::Element(child) if &*child.name == PUSHED));
    lay_below(&mut config, pushed, &Mark { attributes: Vec::new(), is_rendered: true }, &mut Vec::new());
    config
}

/// Who contributes a layer: a template or stack, or whoever the nearest marked element of the layer names.
#[derive(Clone)]
struct Mark {
    attributes: Vec<(Arc<str>, Arc<str>)>,
    is_rendered: bool,
}

impl Mark {
    fn of(template: &str, is_stack: bool) -> Self {
        let mut attributes = vec![("ptpl".into(), template.into())];
        if is_stack {
            attributes.push(("src".into(), "stack".into()));
        }
        Self { attributes, is_rendered: false }
    }

    /// Whose the children of an element of the layer are.
    fn below(&self, element: &Element) -> Self {
        let own: Vec<_> = element.attributes.iter().filter(|(name, _)| is_mark(name)).cloned().collect();
        if self.is_rendered && !own.is_empty() { Self { attributes: own, is_rendered: true } } else { self.clone() }
    }

    fn put_on(&self, element: &mut Element) {
        let is_marked = element.attributes.iter().any(|(name, _)| is_mark(name));
        if self.is_rendered && is_marked {
            return;
        }
        element.attributes.retain(|(name, _)| !is_mark(name));
        element.attributes.extend(self.attributes.iter().cloned());
    }
}

fn is_mark(attribute: &str) -> bool {
    matches!(attribute, "ptpl" | "src" | "loc")
}

/// Adds what `layer` has and `above` has not. `path` holds the tags from the root to `above`, without it.
fn lay_below(above: &mut Element, layer: &Element, mark: &Mark, path: &mut Vec<String>) {
    path.push(above.name.to_string());
    let mark = &mark.below(layer);
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
                if let Some(Child::Element(existing)) = above.children.get_mut(index)
                    && existing.attribute(OVERRIDE).is_none()
                {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Scope, read};
    use crate::xml::{parse, write};

    fn device(inner: &str) -> Element {
        let open = "<config><devices><entry name=\"localhost.localdomain\">";
        parse(&format!("{open}{inner}</entry></devices></config>")).unwrap()
    }

    #[test]
    fn what_is_the_devices_own_wins_node_by_node_and_what_was_pushed_keeps_its_owner() {
        let local = device(
            "<deviceconfig><system><hostname>own</hostname></system></deviceconfig>\
             <network><interface><ethernet><entry name=\"ethernet1/1\"><layer3><dhcp-client/></layer3></entry></ethernet></interface></network>",
        );
        let pushed = parse(
            "<config><devices ptpl=\"base\"><entry name=\"localhost.localdomain\">\
             <deviceconfig><system><hostname>pushed</hostname><timezone>UTC</timezone></system></deviceconfig>\
             <network><interface><ethernet><entry name=\"ethernet1/1\"><layer3><ip><entry name=\"10.0.0.1/24\"/></ip>\
             <mtu ptpl=\"s\" src=\"stack\">1400</mtu></layer3></entry></ethernet></interface></network></entry></devices>\
             <panorama><vsys><entry name=\"vsys1\"><tag><entry name=\"a\" loc=\"shared\"/></tag></entry></vsys></panorama></config>",
        )
        .unwrap();
        assert_eq!(
            write(&with_local(&local, &pushed)),
            "<config><devices><entry name=\"localhost.localdomain\"><deviceconfig><system><hostname>own</hostname>\
             <timezone ptpl=\"base\">UTC</timezone></system></deviceconfig><network><interface><ethernet>\
             <entry name=\"ethernet1/1\"><layer3><dhcp-client/><mtu ptpl=\"s\" src=\"stack\">1400</mtu></layer3></entry>\
             </ethernet></interface></network></entry></devices><panorama><vsys><entry name=\"vsys1\"><tag>\
             <entry name=\"a\" loc=\"shared\"/></tag></entry></vsys></panorama></config>"
        );
    }

    #[test]
    fn rules_are_pre_local_post_and_a_name_may_stand_in_one_of_them_only() {
        let rule = |name: &str| {
            let any = ["from", "to", "source", "destination", "application", "service"]
                .map(|tag| format!("<{tag}><member>any</member></{tag}>"));
            format!("<entry name=\"{name}\">{}<action>deny</action></entry>", any.concat())
        };
        let rules =
            |tag: &str, name: &str| format!("<{tag}><security><rules>{}</rules></security></{tag}>", rule(name));
        let local =
            |name: &str| device(&format!("<vsys><entry name=\"vsys1\">{}</entry></vsys>", rules("rulebase", name)));
        let pushed = parse(&format!(
            "<config><panorama><vsys><entry name=\"vsys1\">{}{}</entry></vsys></panorama></config>",
            rules("pre-rulebase", "first"),
            rules("post-rulebase", "last"),
        ))
        .unwrap();
        let report = read(&with_local(&local("own"), &pushed), Scope::Device);
        let config = report.config.unwrap();
        let names: Vec<_> = config.security_rules.iter().map(|rule| rule.name.as_str()).collect();
        assert_eq!(names, ["first", "own", "last"]);
        let report = read(&with_local(&local("last"), &pushed), Scope::Device);
        assert!(report.config.is_none());
        assert!(
            report.diagnostics.iter().any(|one| one.message.contains("`last` is already in use")),
            "{:?}",
            report.diagnostics
        );
        // What stands where only a manager writes is not the device's own.
        let usurped = parse(&write(&pushed).replace("first", "usurped")).unwrap();
        assert_eq!(write(&with_local(&usurped, &pushed)), write(&pushed));
    }
}
