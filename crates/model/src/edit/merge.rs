//! How does a fragment become part of a node?

use std::collections::HashMap;
use std::sync::Arc;

use super::place::{self, Place};
use super::{EditError, code, is_stored};
use crate::choices;
use crate::tree::{Attribute, Child, Element};
use crate::xml::{DEPTH_MAX, Fragment};

/// Whether a fragment can be merged into the place; nothing is changed yet.
pub(super) fn check(root: &Element, place: &Place, fragment: &Fragment) -> Result<(), EditError> {
    let existing = place.existing_element(root);
    match fragment {
        Fragment::Text(_) => check_text(existing, &place.tags),
        Fragment::Elements(elements) => {
            let elements: Vec<&Element> = elements.iter().collect();
            Checker { root, replaced: None }.elements(existing, &elements, &mut place.tags.clone())
        }
    }
}

/// Whether an element can take the place of what is there.
pub(super) fn check_replacement(root: &Element, place: &Place, new: &Element) -> Result<(), EditError> {
    let checker = Checker { root, replaced: place.existing_element(root) };
    checker.uuid(None, new)?;
    let inner: Vec<&Element> = new.elements().map(|child| &**child).collect();
    if !new.text().is_empty() {
        if !inner.is_empty() {
            return Err(unexpected_text(&place.tags));
        }
        return check_text(None, &place.tags);
    }
    checker.elements(None, &inner, &mut place.tags.clone())
}

fn unexpected_text(path: &[String]) -> EditError {
    EditError::new(code::INVALID_OBJECT, format!(" {} has unexpected text.", tail(path)))
}

fn check_text(existing: Option<&Element>, path: &[String]) -> Result<(), EditError> {
    let is_config = match path {
        // The root, or the configuration in a template; elsewhere, as in a log format, it is a leaf.
        [tag] => tag == "config",
        [.., parent, tag] => tag == "config" && parent == "entry",
        [] => false,
    };
    let is_container = is_config
        || path.last().is_some_and(|tag| tag == "entry")
        || existing.is_some_and(|element| element.elements().next().is_some());
    if !is_container {
        return Ok(());
    }
    Err(unexpected_text(path))
}

struct Checker<'r> {
    root: &'r Element,
    /// What the new element takes the place of: its uuids are free.
    replaced: Option<&'r Element>,
}

impl Checker<'_> {
    fn elements(
        &self,
        existing: Option<&Element>,
        elements: &[&Element],
        path: &mut Vec<String>,
    ) -> Result<(), EditError> {
        if path.len() > DEPTH_MAX {
            return Err(EditError::new(code::INVALID_OBJECT, format!(" {} is nested too deeply", tail(path))));
        }
        let mut branch: Option<&str> = None;
        let entries = existing.filter(|_| elements.len() >= INDEXED_MIN).map(entries_of);
        for element in elements {
            let tag = &*element.name;
            let parent: Vec<&str> = path.iter().map(String::as_str).collect();
            let unexpected = |what: &str| EditError {
                code: code::INVALID_OBJECT,
                lines: vec![
                    format!(" {} -> {what} unexpected here", tail(path)),
                    format!(" {} is invalid", tail(path)),
                ],
            };
            // No element of PAN-OS holds entries in an entry; clients that send this meant the container.
            if tag == "entry" && path.last().is_some_and(|parent| parent == "entry") {
                return Err(unexpected(element.attribute("name").unwrap_or("entry")));
            }
            let branches = choices::branches(&parent, tag);
            if !branches.is_empty() {
                if branch.is_some_and(|other| other != tag && branches.contains(&other)) {
                    return Err(unexpected(tag));
                }
                branch = Some(tag);
            }
            let here =
                existing.and_then(|parent| match parent.children.get(find(parent, element, entries.as_ref())?) {
                    Some(Child::Element(child)) => Some(&**child),
                    _ => None,
                });
            if tag == "entry" {
                place::check_name(
                    path.last().map_or("", String::as_str),
                    element.attribute("name").unwrap_or_default(),
                )?;
                self.uuid(here, element)?;
            }
            path.push(tag.to_owned());
            if element.elements().next().is_some() {
                if !element.text().is_empty() {
                    return Err(unexpected_text(path));
                }
                let inner: Vec<&Element> = element.elements().map(|child| &**child).collect();
                self.elements(here, &inner, path)?;
            } else if !element.text().is_empty() {
                check_text(here, path)?;
            }
            path.pop();
        }
        Ok(())
    }

    /// A uuid that another entry has cannot be taken.
    fn uuid(&self, existing: Option<&Element>, element: &Element) -> Result<(), EditError> {
        let Some(uuid) = element.attribute("uuid").filter(|uuid| super::is_uuid(uuid)) else { return Ok(()) };
        if existing.and_then(|existing| existing.attribute("uuid")) == Some(uuid) || !self.has_uuid(self.root, uuid) {
            return Ok(());
        }
        let name = element.attribute("name").unwrap_or_default();
        Err(EditError::new(code::INVALID_OBJECT, format!(" {name} -> uuid '{uuid}' is already in use")))
    }

    fn has_uuid(&self, element: &Element, uuid: &str) -> bool {
        if self.replaced.is_some_and(|replaced| std::ptr::eq(replaced, element)) {
            return false;
        }
        element.attribute("uuid") == Some(uuid) || element.elements().any(|child| self.has_uuid(child, uuid))
    }
}

/// Replaces the text of a leaf; whether it is another one now.
pub(super) fn set_text(target: &mut Element, text: &str) -> bool {
    if target.text() == text {
        return false;
    }
    target.children.retain(|child| !matches!(child, Child::Text(_)));
    if !text.is_empty() {
        target.children.push(Child::Text(text.into()));
    }
    true
}

/// Merges checked elements into a node; whether anything is different now.
pub(super) fn merge(target: &mut Element, elements: Vec<Element>, path: &[String]) -> bool {
    merge_all(target, elements.iter(), &mut path.to_vec())
}

/// Entries of a node by name, for whoever looks up many.
type Entries = HashMap<Arc<str>, usize>;

/// Entries that come at once, from which on a node's own are looked up by name.
const INDEXED_MIN: usize = 16;

fn entries_of(parent: &Element) -> Entries {
    let mut entries = Entries::with_capacity(parent.children.len());
    for (at, child) in parent.children.iter().enumerate() {
        if let Child::Element(element) = child
            && &*element.name == "entry"
            && let Some((_, name)) = element.attributes.iter().find(|(key, _)| &**key == "name")
        {
            entries.entry(name.clone()).or_insert(at);
        }
    }
    entries
}

fn merge_all<'e>(parent: &mut Element, elements: impl Iterator<Item = &'e Element>, path: &mut Vec<String>) -> bool {
    let elements: Vec<&Element> = elements.collect();
    let mut entries = (elements.len() >= INDEXED_MIN).then(|| entries_of(parent));
    let mut changed = false;
    for element in elements {
        changed |= merge_child(parent, element, path, &mut entries);
    }
    changed
}

/// Fills a new node with the content of a checked one: what the rules of a merge drop is dropped, and
/// siblings that mean the same node become one.
pub(super) fn fill(target: &mut Element, source: &Element, path: &[String]) {
    let mut path = path.to_vec();
    fill_at(target, source, &mut path);
}

fn fill_at(target: &mut Element, source: &Element, path: &mut Vec<String>) {
    let mut entries = (source.children.len() >= INDEXED_MIN).then(|| entries_of(target));
    for child in &source.children {
        match child {
            Child::Element(element) => {
                merge_child(target, element, path, &mut entries);
            }
            // Text next to elements was refused.
            Child::Text(text) => target.children.push(Child::Text(text.trim().into())),
            Child::Comment(text) => target.children.push(Child::Comment(text.clone())),
        }
    }
}

fn merge_child(
    parent: &mut Element,
    incoming: &Element,
    path: &mut Vec<String>,
    entries: &mut Option<Entries>,
) -> bool {
    let tags: Vec<&str> = path.iter().map(String::as_str).collect();
    let branches = choices::branches(&tags, &incoming.name);
    let removed = place::remove_branches(parent, branches, &incoming.name);
    if removed && entries.is_some() {
        *entries = Some(entries_of(parent));
    }
    path.push(incoming.name.to_string());
    let changed = match find(parent, incoming, entries.as_ref()) {
        None => {
            let mut new =
                Element { name: incoming.name.clone(), attributes: kept_attributes(incoming), ..Element::default() };
            fill_at(&mut new, incoming, path);
            if let (Some(entries), "entry", Some((_, name))) =
                (entries, &*new.name, new.attributes.iter().find(|(key, _)| &**key == "name"))
            {
                entries.insert(name.clone(), parent.children.len());
            }
            parent.children.push(Child::Element(new.into()));
            true
        }
        Some(index) if is_merged(parent, index, incoming) => false,
        Some(index) => match &mut parent.children[index] {
            Child::Element(existing) => merge_into(Arc::make_mut(existing), incoming, path),
            Child::Text(_) | Child::Comment(_) => false,
        },
    };
    path.pop();
    changed || removed
}

fn merge_into(existing: &mut Element, incoming: &Element, path: &mut Vec<String>) -> bool {
    let mut changed = false;
    for (name, value) in kept_attributes(incoming) {
        match existing.attributes.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) if *known == value => {}
            Some((_, known)) => {
                *known = value;
                changed = true;
            }
            None => {
                existing.attributes.push((name, value));
                changed = true;
            }
        }
    }
    let is_leaf = existing.elements().next().is_none();
    if incoming.elements().next().is_none() && is_leaf {
        return set_text(existing, &incoming.text()) || changed;
    }
    merge_all(existing, incoming.elements().map(|element| &**element), path) || changed
}

/// Whether merging would change nothing: then nothing is copied.
fn is_merged(parent: &Element, index: usize, incoming: &Element) -> bool {
    matches!(&parent.children[index], Child::Element(existing) if **existing == *incoming)
}

/// The child that an incoming element means: entries by name, members by text, others by tag.
fn find(parent: &Element, incoming: &Element, entries: Option<&Entries>) -> Option<usize> {
    if let (Some(entries), "entry", Some(name)) = (entries, &*incoming.name, incoming.attribute("name")) {
        return entries.get(name).copied();
    }
    let text = if &*incoming.name == "member" { Some(incoming.text()) } else { None };
    parent.children.iter().position(|child| match child {
        Child::Element(element) if element.name == incoming.name => match (&*incoming.name, &text) {
            ("entry", _) => element.attribute("name") == incoming.attribute("name"),
            (_, Some(text)) => element.text() == *text,
            _ => true,
        },
        _ => false,
    })
}

/// Attributes that are stored.
pub(super) fn kept_attributes(element: &Element) -> Vec<Attribute> {
    element.attributes.iter().filter(|attribute| is_stored(attribute)).cloned().collect()
}

/// The end of a path as PAN-OS words it: `address -> web`.
fn tail(path: &[String]) -> String {
    let start = path.len().saturating_sub(2);
    path[start..].join(" -> ")
}
