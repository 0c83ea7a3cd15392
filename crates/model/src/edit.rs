//! What does a write of the XML API do to the tree?
//!
//! `set`, `edit`, `override`, `delete`, `rename`, `clone` and `move` with the semantics of PAN-OS. Everything is
//! checked before anything is changed, so that a refused edit leaves the tree as it was. Unchanged parts
//! stay shared with every other copy of the tree.

mod inherit;
mod merge;
mod multi;
mod place;
mod references;
mod steps;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use crate::tree::{Attribute, Child, Element};
use crate::xml::{self, Fragment};
use crate::xpath::{Match, Path, XPath};
pub(crate) use inherit::{OVERRIDE, is_fixed};
pub use inherit::{override_inherited, overriding};
pub use multi::{Selected, multi_clone, multi_move};
use place::Place;
pub use references::{names_for, users};
pub use steps::{Step, steps};

/// Codes of the XML API.
pub mod code {
    /// The XPath cannot be read, or cannot name the target of this action.
    pub const BAD_XPATH: u8 = 6;
    /// Nothing there (a read).
    pub const NOT_PRESENT: u8 = 7;
    /// More than one node where one is required.
    pub const NOT_UNIQUE: u8 = 8;
    /// Something still refers to the object.
    pub const REFERENCED: u8 = 10;
    /// The element is not valid.
    pub const INVALID_OBJECT: u8 = 12;
    /// The object of the action is not there.
    pub const NOT_FOUND: u8 = 13;
    /// The action makes no sense here.
    pub const NOT_POSSIBLE: u8 = 14;
}

/// Attributes that describe a node to a reader and are never stored: clients send back what they read.
const VOLATILE_ATTRIBUTES: [&str; 7] = ["admin", "dirtyId", "time", "loc", "src", "ptpl", "panorama"];

/// A refused edit, in the words of the XML API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditError {
    /// One of [`code`].
    pub code: u8,
    /// Lines of the message.
    pub lines: Vec<String>,
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.lines.join("; ").trim())
    }
}

impl std::error::Error for EditError {}

impl EditError {
    fn new(code: u8, line: impl Into<String>) -> Self {
        Self { code, lines: vec![line.into()] }
    }
}

/// What an edit did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the tree is different now.
    pub changed: bool,
    /// Canonical XPath of the nodes that were written, removed or moved; after a rename, of the new name.
    pub xpaths: Vec<String>,
}

/// Where `move` puts an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// First of its list.
    Top,
    /// Last of its list.
    Bottom,
    /// Before the named entry.
    Before(String),
    /// After the named entry.
    After(String),
}

impl Destination {
    /// The parameters `where` and `dst` of the XML API; `dst` says nothing with `top` and `bottom`.
    pub fn parse(place: &str, dst: Option<&str>) -> Result<Self, EditError> {
        match (place, dst) {
            ("top", _) => Ok(Self::Top),
            ("bottom", _) => Ok(Self::Bottom),
            ("before", Some(dst)) => Ok(Self::Before(dst.to_owned())),
            ("after", Some(dst)) => Ok(Self::After(dst.to_owned())),
            ("before" | "after", None) => {
                Err(EditError::new(code::INVALID_OBJECT, format!(" `{place}` needs `dst`, the name of an entry")))
            }
            _ => Err(EditError::new(
                code::INVALID_OBJECT,
                format!(" `{place}` is not one of `top`, `bottom`, `before`, `after`"),
            )),
        }
    }
}

/// All nodes that match; none is an answer too.
pub fn get<'a>(root: &'a Element, xpath: &str) -> Result<Vec<Match<'a>>, EditError> {
    Ok(parse(xpath)?.select(root))
}

/// All nodes that match; none is an error.
pub fn show<'a>(root: &'a Element, xpath: &str) -> Result<Vec<Match<'a>>, EditError> {
    let found = get(root, xpath)?;
    if found.is_empty() { Err(EditError::new(code::NOT_PRESENT, "No such node")) } else { Ok(found) }
}

/// Merges a fragment into the node, which is created with every missing step.
pub fn set(root: &mut Arc<Element>, xpath: &str, element: &str) -> Result<Outcome, EditError> {
    let path = single(xpath)?;
    let fragment = xml::parse_fragment(element).map_err(|error| invalid_xml(&error))?;
    let mut place = Place::find(root, &path)?;
    merge::check(root, &place, &fragment)?;
    place.create(root);
    let target = place.element_mut(root)?;
    let changed = match fragment {
        Fragment::Text(text) => merge::set_text(target, &text),
        Fragment::Elements(elements) => merge::merge(target, elements, &place.tags),
    };
    Ok(Outcome { changed: changed || place.created, xpaths: vec![place.xpath] })
}

/// Replaces the node by an element of the same tag and name; an absent node is created.
pub fn edit(root: &mut Arc<Element>, xpath: &str, element: &str) -> Result<Outcome, EditError> {
    let path = single(xpath)?;
    let new = match xml::parse_fragment(element).map_err(|error| invalid_xml(&error))? {
        Fragment::Elements(mut elements) if elements.len() == 1 => elements.remove(0),
        Fragment::Elements(_) | Fragment::Text(_) => {
            return Err(EditError::new(code::INVALID_OBJECT, " edit needs exactly one element"));
        }
    };
    let mut place = Place::find(root, &path)?;
    place.check_replacement(&new)?;
    let mut clean = Element::new(&new.name);
    clean.attributes = merge::kept_attributes(&new);
    merge::check_replacement(root, &place, &new)?;
    place.create(root);
    let target = place.element_mut(root)?;
    for kept in ["uuid", OVERRIDE] {
        if clean.attribute(kept).is_none()
            && let Some(attribute) = target.attributes.iter().find(|(name, _)| &**name == kept)
        {
            clean.attributes.push(attribute.clone());
        }
    }
    merge::fill(&mut clean, &new, &place.tags);
    let changed = place.created || *target != clean;
    if changed {
        *target = clean;
    }
    Ok(Outcome { changed, xpaths: vec![place.xpath] })
}

/// Removes every node that matches; nothing to remove is no error. Refused while something outside of
/// the removed nodes refers to one of the removed objects.
pub fn delete(root: &mut Arc<Element>, xpath: &str) -> Result<Outcome, EditError> {
    let parsed = parse(xpath)?;
    if parsed.paths.iter().any(|path| path.attribute.is_some() || path.steps.len() < 2) {
        return Err(EditError::new(code::BAD_XPATH, format!("`{xpath}` does not name an element below the root")));
    }
    let found = parsed.select(root);
    let xpaths: Vec<String> = found.iter().map(|found| found.xpath.clone()).collect();
    let routes: Vec<Vec<usize>> = found.into_iter().map(|found| found.route).collect();
    if routes.is_empty() {
        return Ok(Outcome::default());
    }
    let mut next = root.clone();
    place::remove(&mut next, &routes);
    references::check_removed(root, &next, &routes)?;
    *root = next;
    Ok(Outcome { changed: true, xpaths })
}

/// Gives an entry another name; references follow wherever they meant this entry.
pub fn rename(root: &mut Arc<Element>, xpath: &str, new_name: &str) -> Result<Outcome, EditError> {
    let path = single(xpath)?;
    let place = Place::existing(root, &path)?;
    let old_name = place.entry_name()?.to_owned();
    place.check_name(new_name)?;
    if old_name == new_name {
        return Ok(Outcome { changed: false, xpaths: vec![place.xpath] });
    }
    place.check_free(root, new_name)?;
    let users = references::uses_of(root, &place);
    let entry = place.element_mut(root)?;
    for (name, value) in &mut entry.attributes {
        if &**name == "name" {
            *value = new_name.into();
        }
    }
    references::point_to(root, &users, &old_name, new_name);
    Ok(Outcome { changed: true, xpaths: vec![place.renamed_xpath(new_name)] })
}

/// Appends a copy of the entry at `from` to the container at `xpath`, under another name and without uuid.
pub fn clone(root: &mut Arc<Element>, xpath: &str, from: &str, new_name: &str) -> Result<Outcome, EditError> {
    let source = Place::existing(root, &single(from)?)?;
    source.entry_name()?;
    let mut copy = source.element(root).clone();
    copy.attributes.retain(|(name, _)| &**name != "uuid");
    for (name, value) in &mut copy.attributes {
        if &**name == "name" {
            *value = new_name.into();
        }
    }
    let mut container = Place::find(root, &single(xpath)?)?;
    if container.tags.last() != source.tags.iter().rev().nth(1) {
        let line = format!(" `{xpath}` does not hold the same kind of entries as `{from}`");
        return Err(EditError::new(code::INVALID_OBJECT, line));
    }
    place::check_name(container.tags.last().map_or("", String::as_str), new_name)?;
    if container.existing_element(root).is_some_and(|container| container.entry_named(new_name).is_some()) {
        return Err(place::taken(&container.tags, new_name));
    }
    let path = format!("{}/{}", container.xpath, copy.step());
    container.create(root);
    container.element_mut(root)?.children.push(Child::Element(copy.into()));
    Ok(Outcome { changed: true, xpaths: vec![path] })
}

/// Moves an entry within its list.
pub fn move_entry(root: &mut Arc<Element>, xpath: &str, destination: &Destination) -> Result<Outcome, EditError> {
    let place = Place::existing(root, &single(xpath)?)?;
    let name = place.entry_name()?.to_owned();
    let Some((at, list_route)) = place.route.split_last() else {
        return Err(EditError::new(code::BAD_XPATH, "the root element cannot be moved"));
    };
    let list = place::element_at(root, list_route);
    let order: Vec<usize> = place::entry_positions(list);
    let from = order.iter().position(|index| index == at).unwrap_or_default();
    let to = target_position(list, &order, from, &name, destination)?;
    if from == to {
        return Ok(Outcome { changed: false, xpaths: vec![place.xpath] });
    }
    let list = place::element_at_mut(root, list_route).ok_or_else(|| place::no_such_node(&place.xpath))?;
    let moved = list.children.remove(*at);
    // Positions behind the removed child have moved by one.
    let before = place::entry_positions(list).get(to).copied().unwrap_or(list.children.len());
    list.children.insert(before, moved);
    Ok(Outcome { changed: true, xpaths: vec![place.xpath] })
}

/// Position among the entries after the moved one was taken out.
fn target_position(
    list: &Element,
    order: &[usize],
    from: usize,
    name: &str,
    destination: &Destination,
) -> Result<usize, EditError> {
    let last = order.len().saturating_sub(1);
    let other = |wanted: &String| {
        if wanted == name {
            return Err(EditError::new(code::NOT_POSSIBLE, format!("`{wanted}` cannot be moved next to itself")));
        }
        let position = list.entries().position(|(entry, _)| entry == wanted);
        // Behind the moved entry everything comes one forward.
        position.map(|position| if position > from { position - 1 } else { position }).ok_or_else(|| {
            EditError::new(code::NOT_FOUND, format!("`{wanted}` is not in the list that `{name}` is moved in"))
        })
    };
    match destination {
        Destination::Top if from == 0 => {
            Err(EditError::new(code::NOT_POSSIBLE, format!("`{name}` is already at the top")))
        }
        Destination::Bottom if from == last => {
            Err(EditError::new(code::NOT_POSSIBLE, format!("`{name}` is already at the bottom")))
        }
        Destination::Top => Ok(0),
        Destination::Bottom => Ok(last),
        Destination::Before(wanted) => other(wanted),
        Destination::After(wanted) => other(wanted).map(|position| position + 1),
    }
}

fn parse(xpath: &str) -> Result<XPath, EditError> {
    XPath::parse(xpath).map_err(|error| EditError::new(code::BAD_XPATH, error.to_string()))
}

/// The path of a write: one element, no attribute, no union.
fn single(xpath: &str) -> Result<Path, EditError> {
    match parse(xpath)?.paths.as_slice() {
        [path] if path.attribute.is_none() => Ok(path.clone()),
        _ => Err(EditError::new(code::BAD_XPATH, format!("`{xpath}` does not name one element"))),
    }
}

fn invalid_xml(error: &crate::diagnostic::Diagnostic) -> EditError {
    let place = if error.origin.xpath.is_empty() { String::new() } else { format!(" at {}", error.origin.xpath) };
    EditError::new(code::INVALID_OBJECT, format!(" the element cannot be read: {}{place}", error.message))
}

fn is_stored(attribute: &Attribute) -> bool {
    !VOLATILE_ATTRIBUTES.contains(&&*attribute.0) && (&*attribute.0 != "uuid" || is_uuid(&attribute.1))
}

/// Eight, four, four, four and twelve hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    let lengths = [8, 4, 4, 4, 12];
    let parts: Vec<&str> = text.split('-').collect();
    parts.len() == lengths.len()
        && parts
            .iter()
            .zip(lengths)
            .all(|(part, length)| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
