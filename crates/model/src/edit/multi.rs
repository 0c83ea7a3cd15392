//! How do entries get into another list, of another device group, of Shared, or behind instead of before?

use std::sync::Arc;

use super::place::{self, Place};
use super::{EditError, Outcome, code, references, single};
use crate::tree::{Child, Element};

/// Names that are tried for a copy whose name is taken.
const SUFFIXES_MAX: usize = 1000;

/// Entries of one list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// XPath of the list.
    pub source: String,
    /// Their names.
    pub names: Vec<String>,
}

/// Appends entries to the list at `xpath`, in their order, and takes them out where they were. Refused when a
/// name is taken there, or something that refers to one of them could not see it any more.
///
/// # Errors
/// The first reason, or all of them with `all_errors`; nothing is changed then.
pub fn multi_move(
    root: &mut Arc<Element>,
    xpath: &str,
    selected: &[Selected],
    all_errors: bool,
) -> Result<Outcome, EditError> {
    let mut next = root.clone();
    let outcome = copy_all(&mut next, xpath, selected, all_errors, true)?;
    let mut routes = Vec::new();
    for (source, name) in each(selected) {
        routes.push(Place::existing(&next, &single(&entry_of(source, name))?)?.route);
    }
    let before = next.clone();
    place::remove(&mut next, &routes);
    let refused =
        routes.iter().filter_map(|route| references::check_removed(&before, &next, std::slice::from_ref(route)).err());
    collect(refused, all_errors)?;
    *root = next;
    Ok(outcome)
}

/// Appends copies of entries to the list at `xpath`, in their order; one whose name is taken there gets `-1`
/// behind it, or the next number that is free.
///
/// # Errors
/// The first reason, or all of them with `all_errors`; nothing is changed then.
pub fn multi_clone(
    root: &mut Arc<Element>,
    xpath: &str,
    selected: &[Selected],
    all_errors: bool,
) -> Result<Outcome, EditError> {
    let mut next = root.clone();
    let outcome = copy_all(&mut next, xpath, selected, all_errors, false)?;
    *root = next;
    Ok(outcome)
}

fn each(selected: &[Selected]) -> impl Iterator<Item = (&str, &str)> {
    selected.iter().flat_map(|one| one.names.iter().map(|name| (one.source.as_str(), name.as_str())))
}

fn entry_of(list: &str, name: &str) -> String {
    format!("{}/{}", list.trim_end_matches('/'), Element::entry(name).step())
}

/// Fails with the first error, or with all of them.
fn collect(errors: impl Iterator<Item = EditError>, all_errors: bool) -> Result<(), EditError> {
    let mut errors = errors.take(if all_errors { usize::MAX } else { 1 });
    let Some(mut first) = errors.next() else { return Ok(()) };
    first.lines.extend(errors.flat_map(|error| error.lines));
    Err(first)
}

fn copy_all(
    root: &mut Arc<Element>,
    xpath: &str,
    selected: &[Selected],
    all_errors: bool,
    moved: bool,
) -> Result<Outcome, EditError> {
    if each(selected).next().is_none() {
        return Err(EditError::new(code::INVALID_OBJECT, " selected-list is missing 'member'"));
    }
    let (mut errors, mut xpaths) = (Vec::new(), Vec::new());
    for (source, name) in each(selected) {
        match copy(root, xpath, (source, name), moved) {
            Ok(xpath) => xpaths.push(xpath),
            Err(error) => errors.push(error),
        }
    }
    collect(errors.into_iter(), all_errors)?;
    Ok(Outcome { changed: true, xpaths })
}

fn copy(root: &mut Arc<Element>, xpath: &str, (list, name): (&str, &str), moved: bool) -> Result<String, EditError> {
    let source = Place::existing(root, &single(&entry_of(list, name))?)?;
    let mut container = Place::find(root, &single(xpath)?)?;
    let kind = |tags: &[String]| tags.iter().rev().take(2).cloned().collect::<Vec<_>>();
    let source_list = source.tags.split_last().map(|(_, list)| list).unwrap_or_default();
    // Rules are told apart by their rule base, everything else by its list.
    let depth = if container.tags.last().is_some_and(|tag| tag == "rules") { 2 } else { 1 };
    if kind(&container.tags)[..depth.min(container.tags.len())] != kind(source_list)[..depth.min(source_list.len())] {
        let line = format!(" `{xpath}` does not hold the same kind of entries as `{list}`");
        return Err(EditError::new(code::INVALID_OBJECT, line));
    }
    let mut copied = source.element(root).clone();
    let holds = |name: &str| container.existing_element(root).is_some_and(|list| list.entry_named(name).is_some());
    let free = match (holds(name), moved) {
        (false, _) => name.to_owned(),
        (true, true) => return Err(place::taken(&container.tags, name)),
        (true, false) => (1..SUFFIXES_MAX)
            .map(|number| format!("{name}-{number}"))
            .find(|name| !holds(name))
            .ok_or_else(|| place::taken(&container.tags, name))?,
    };
    place::check_name(container.tags.last().map_or("", String::as_str), &free)?;
    if !moved {
        copied.attributes.retain(|(name, _)| &**name != "uuid");
    }
    for (key, value) in &mut copied.attributes {
        if &**key == "name" {
            *value = free.as_str().into();
        }
    }
    let path = format!("{}/{}", container.xpath, copied.step());
    container.create(root);
    container.element_mut(root)?.children.push(Child::Element(copied.into()));
    Ok(path)
}
