//! Which node does a write mean, and what has to be created for it?

use std::sync::Arc;

use super::{EditError, code};
use crate::choices;
use crate::manager::LOCALHOST;
use crate::tree::{Child, Element};
use crate::xpath::{Path, Step};

/// The target of a write: the part of its path that exists, and the elements that are missing.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Indices into `children`, from the root down to the last element that exists.
    pub(super) route: Vec<usize>,
    /// Elements to create below it, each inside the one before.
    missing: Vec<Element>,
    /// Tags from the root to the target.
    pub(super) tags: Vec<String>,
    /// Canonical XPath of the target.
    pub(super) xpath: String,
    /// Name of the target if it is an entry.
    name: Option<String>,
    /// Whether [`Place::create`] added something.
    pub(super) created: bool,
}

impl Place {
    /// The target of a `set` or `edit`, existing or not.
    pub(super) fn find(root: &Element, path: &Path) -> Result<Self, EditError> {
        let mut steps = path.steps.iter();
        let mut place = Self {
            route: Vec::new(),
            missing: Vec::new(),
            tags: vec![root.name.to_string()],
            xpath: format!("/{}", root.step()),
            name: None,
            created: false,
        };
        if !steps.next().is_some_and(|first| first.accepts(root)) {
            return Err(EditError::new(code::BAD_XPATH, format!("the xpath does not begin with `/{}`", root.name)));
        }
        let mut here = Some(root);
        for step in steps {
            here = place.descend(here, step)?;
        }
        Ok(place)
    }

    /// The target of an action on something that must be there.
    pub(super) fn existing(root: &Element, path: &Path) -> Result<Self, EditError> {
        let place = Self::find(root, path)?;
        if place.missing.is_empty() {
            return Ok(place);
        }
        Err(no_such_node(&place.xpath))
    }

    fn descend<'e>(&mut self, here: Option<&'e Element>, step: &Step) -> Result<Option<&'e Element>, EditError> {
        let found = here.map(|element| self.existing_child(element, step)).transpose()?.flatten();
        if let Some((index, child)) = found {
            self.route.push(index);
            self.note(child);
            return Ok(Some(child));
        }
        let new = self.new_element(step)?;
        self.note(&new);
        self.missing.push(new);
        Ok(None)
    }

    fn note(&mut self, element: &Element) {
        self.tags.push(element.name.to_string());
        self.xpath.push('/');
        self.xpath.push_str(&element.step());
        self.name = if &*element.name == "entry" { element.attribute("name").map(str::to_owned) } else { None };
    }

    fn existing_child<'e>(&self, element: &'e Element, step: &Step) -> Result<Option<(usize, &'e Element)>, EditError> {
        if let (Some("entry"), Some(name)) = (step.name(), step.attribute("name")) {
            let is_meant = |child: &Child| matches!(child, Child::Element(child) if &*child.name == "entry" && child.attribute("name") == Some(name));
            let index = element.children.iter().position(is_meant);
            return Ok(index.and_then(|index| Some((index, child_at(element, index)?))));
        }
        let mut found = None;
        for (index, child) in element.children.iter().enumerate() {
            let Child::Element(child) = child else { continue };
            if !step.accepts(child) {
                continue;
            }
            if found.is_some() {
                let line = format!("more than one node matches below {}", self.xpath);
                return Err(EditError::new(code::NOT_UNIQUE, line));
            }
            found = Some((index, &**child));
            // One name or one tag: whatever follows is a duplicate and means the same node.
            if step.predicates.is_empty() && &*child.name != "entry" {
                break;
            }
        }
        Ok(found)
    }

    /// The element that a step names well enough to be created.
    fn new_element(&self, step: &Step) -> Result<Element, EditError> {
        let parent = self.tags.last().map_or("", String::as_str);
        match (step.name(), step.attribute("name"), step.text()) {
            (Some("entry"), Some(name), _) => {
                check_name(parent, name)?;
                Ok(Element::entry(name))
            }
            (Some("member"), _, Some(text)) => Ok(Element::leaf("member", text)),
            (Some("entry"), None, None) if parent == "devices" && step.predicates.is_empty() => {
                Ok(Element::entry(LOCALHOST))
            }
            (Some(tag), None, None) if step.predicates.is_empty() && !matches!(tag, "entry" | "member") => {
                Ok(Element::new(tag))
            }
            _ => {
                let line = format!("no node below {} matches, and the xpath does not say what to create", self.xpath);
                Err(EditError::new(code::NOT_FOUND, line))
            }
        }
    }

    /// Creates what is missing. A new branch of a choice removes the others.
    pub(super) fn create(&mut self, root: &mut Arc<Element>) {
        let missing = std::mem::take(&mut self.missing);
        for element in missing {
            self.created = true;
            let depth = self.route.len() + 1;
            let path: Vec<&str> = self.tags.iter().take(depth).map(String::as_str).collect();
            let branches = choices::branches(&path, &element.name);
            let Some(parent) = element_at_mut(root, &self.route) else { return };
            remove_branches(parent, branches, &element.name);
            self.route.push(parent.children.len());
            parent.children.push(Child::Element(element.into()));
        }
    }

    /// The target, which exists.
    pub(super) fn element<'e>(&self, root: &'e Element) -> &'e Element {
        element_at(root, &self.route)
    }

    /// The target if it exists.
    pub(super) fn existing_element<'e>(&self, root: &'e Element) -> Option<&'e Element> {
        self.missing.is_empty().then(|| element_at(root, &self.route))
    }

    /// The target, copied out of what other trees share.
    pub(super) fn element_mut<'e>(&self, root: &'e mut Arc<Element>) -> Result<&'e mut Element, EditError> {
        element_at_mut(root, &self.route).ok_or_else(|| no_such_node(&self.xpath))
    }

    /// Name of the target, which must be an entry.
    pub(super) fn entry_name(&self) -> Result<&str, EditError> {
        let line = || format!("{} is not an entry with a name", self.xpath);
        self.name.as_deref().ok_or_else(|| EditError::new(code::BAD_XPATH, line()))
    }

    /// Whether the target, an entry, can have this name.
    pub(super) fn check_name(&self, name: &str) -> Result<(), EditError> {
        check_name(self.tags.iter().rev().nth(1).map_or("", String::as_str), name)
    }

    /// Whether no sibling of the target has this name.
    pub(super) fn check_free(&self, root: &Element, name: &str) -> Result<(), EditError> {
        let parent = element_at(root, self.route.split_last().map_or(&[], |(_, rest)| rest));
        if parent.entry_named(name).is_none() {
            return Ok(());
        }
        Err(taken(&self.tags[..self.tags.len().saturating_sub(1)], name))
    }

    /// Whether an `edit` can put this element here: same tag, same name, same text of a member.
    pub(super) fn check_replacement(&self, new: &Element) -> Result<(), EditError> {
        let same_tag = self.tags.last().is_some_and(|tag| **tag == *new.name);
        let same_name = self.name.is_none() || self.name.as_deref() == new.attribute("name");
        if same_tag && same_name {
            return Ok(());
        }
        let line = format!(" edit of {} cannot put `{}` in its place", self.xpath, new.step());
        Err(EditError::new(code::INVALID_OBJECT, line))
    }

    /// The canonical XPath under another name.
    pub(super) fn renamed_xpath(&self, name: &str) -> String {
        let parent = self.xpath.len() - self.name.as_deref().map_or(0, |old| Element::entry(old).step().len());
        format!("{}{}", &self.xpath[..parent], Element::entry(name).step())
    }
}

/// An action on something that is not there.
pub(super) fn no_such_node(xpath: &str) -> EditError {
    EditError::new(code::NOT_FOUND, format!("No such node: {xpath}"))
}

/// Longest name of an entry, by its container.
fn name_length_max(container: &str) -> usize {
    match container {
        "interface-management-profile" | "zone-protection-profile" => 31,
        "tag" => 127,
        _ => 63,
    }
}

/// Containers whose entries are objects and rules with the usual limit on names.
const NAMED: [&str; 15] = [
    "address",
    "address-group",
    "service",
    "service-group",
    "tag",
    "zone",
    "rules",
    "interface-management-profile",
    "zone-protection-profile",
    "virtual-router",
    "logical-router",
    "static-route",
    "device-group",
    "template",
    "template-stack",
];

/// Whether an entry of a container can have this name.
pub(super) fn check_name(container: &str, name: &str) -> Result<(), EditError> {
    if name.is_empty() || name.trim() != name || name.chars().any(char::is_control) {
        let line = format!(" {container} -> '{}' is not a valid name", name.escape_debug());
        return Err(EditError::new(code::INVALID_OBJECT, line));
    }
    let (length, max) = (name.chars().count(), name_length_max(container));
    if NAMED.contains(&container) && length > max {
        let line = format!(" {name} can be at most {max} characters, but current length: {length}");
        return Err(EditError::new(code::INVALID_OBJECT, line));
    }
    Ok(())
}

/// A name is already in use.
pub(super) fn taken(container: &[String], name: &str) -> EditError {
    let container = container.last().map_or("", String::as_str);
    let lines = vec![format!(" {container} -> {name} '{name}' is already in use"), format!(" {container} is invalid")];
    EditError { code: code::INVALID_OBJECT, lines }
}

/// Removes the branches of a choice other than `keep`; whether there were any.
pub(super) fn remove_branches(parent: &mut Element, branches: &[&str], keep: &str) -> bool {
    if branches.is_empty() {
        return false;
    }
    let excluded = |child: &Child| match child {
        Child::Element(element) => &*element.name != keep && branches.contains(&&*element.name),
        Child::Text(_) | Child::Comment(_) => false,
    };
    let before = parent.children.len();
    if parent.children.iter().any(excluded) {
        parent.children.retain(|child| !excluded(child));
    }
    parent.children.len() < before
}

/// Indices of the entries among the children.
pub(super) fn entry_positions(list: &Element) -> Vec<usize> {
    let is_entry = |child: &Child| matches!(child, Child::Element(element) if &*element.name == "entry");
    list.children.iter().enumerate().filter(|(_, child)| is_entry(child)).map(|(index, _)| index).collect()
}

/// The element that a route leads to. A route always comes from the tree it is used on; a step that is
/// not there ends it.
pub(super) fn element_at<'e>(root: &'e Element, route: &[usize]) -> &'e Element {
    route.iter().fold(root, |here, index| match here.children.get(*index) {
        Some(Child::Element(child)) => child,
        _ => here,
    })
}

fn child_at(element: &Element, index: usize) -> Option<&Element> {
    match element.children.get(index)? {
        Child::Element(child) => Some(child),
        Child::Text(_) | Child::Comment(_) => None,
    }
}

/// Like [`element_at`], copying what other trees share; nothing when the route leads nowhere.
pub(super) fn element_at_mut<'e>(root: &'e mut Arc<Element>, route: &[usize]) -> Option<&'e mut Element> {
    let here = Arc::make_mut(root);
    let Some((index, rest)) = route.split_first() else { return Some(here) };
    match here.children.get_mut(*index) {
        Some(Child::Element(child)) => element_at_mut(child, rest),
        Some(Child::Text(_) | Child::Comment(_)) | None => None,
    }
}

/// Removes the elements at these routes, which come from the tree they are used on.
pub(super) fn remove(root: &mut Arc<Element>, routes: &[Vec<usize>]) {
    // From the back, so that no removal shifts what is still to be removed.
    let mut routes: Vec<&Vec<usize>> = routes.iter().collect();
    routes.sort_unstable();
    routes.dedup();
    for route in routes.into_iter().rev() {
        if let Some((index, parent)) = route.split_last()
            && let Some(parent) = element_at_mut(root, parent)
            && *index < parent.children.len()
        {
            parent.children.remove(*index);
        }
    }
}
