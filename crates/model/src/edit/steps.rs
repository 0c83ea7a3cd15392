//! Which edits bring one tree to another?
//!
//! What is put comes first and what goes comes last, and of that first what nothing refers to. But an entry whose uuid
//! another one is to have goes before that. A list of members is one value.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Destination, EditError, code};
use crate::diff::{Change, ChangeKind};
use crate::tree::Element;
use crate::xml;

/// One edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The node becomes this one, or is made.
    Put {
        /// Which.
        xpath: String,
        /// The node as XML.
        element: String,
    },
    /// The node goes.
    Delete {
        /// Which.
        xpath: String,
    },
    /// An entry goes behind another one, or to the top.
    Move {
        /// Which.
        xpath: String,
        /// The other one.
        follows: Option<String>,
    },
}

impl Step {
    /// Canonical XPath of the node.
    pub fn xpath(&self) -> &str {
        match self {
            Self::Put { xpath, .. } | Self::Delete { xpath } | Self::Move { xpath, .. } => xpath,
        }
    }

    /// Does it to a tree; whether that is another one then.
    ///
    /// # Errors
    /// When it is refused.
    pub fn play(&self, tree: &mut Arc<Element>) -> Result<bool, EditError> {
        let outcome = match self {
            Self::Put { xpath, element } => super::edit(tree, xpath, element),
            Self::Delete { xpath } => super::delete(tree, xpath),
            Self::Move { xpath, follows: Some(name) } => {
                super::move_entry(tree, xpath, &Destination::After(name.clone()))
            }
            Self::Move { xpath, follows: None } => match super::move_entry(tree, xpath, &Destination::Top) {
                // The first one already, as when the others before it went.
                Err(error) if error.code == code::NOT_POSSIBLE => return Ok(false),
                outcome => outcome,
            },
        };
        Ok(outcome?.changed)
    }
}

/// The steps from `there` to `wanted`, which differ by `changes` ([`diff`](crate::diff::diff) of both).
///
/// # Errors
/// What stands in the way, all of it.
pub fn steps(there: &Arc<Element>, wanted: &Element, changes: &[Change]) -> Result<Vec<Step>, Vec<String>> {
    let mut tree = there.clone();
    let mut steps: Vec<Step> = Vec::new();
    let mut wrong = Vec::new();
    // What refuses to go is still there when its uuid is asked for, which is then refused.
    let mut freed = BTreeSet::new();
    for change in in_the_way(changes) {
        let step = Step::Delete { xpath: change.xpath.clone() };
        if step.play(&mut tree).is_ok() {
            freed.insert(change.xpath.as_str());
            steps.push(step);
        }
    }
    let is_within_freed = |xpath: &str| {
        let above = freed.range(..=xpath).next_back();
        above.is_some_and(|freed| xpath.strip_prefix(freed).is_some_and(|rest| rest.starts_with('/')))
    };
    for change in changes {
        if is_within_freed(&change.xpath) {
            continue;
        }
        let is_freed = freed.contains(change.xpath.as_str());
        let is_entry = change.new.as_ref().is_some_and(|new| &*new.name == "entry");
        let step = match (change.kind, &change.new) {
            _ if list_of(change).is_some() => match whole_list(change, wanted) {
                Some(step) if !steps.contains(&step) => step,
                _ => continue,
            },
            (ChangeKind::Added | ChangeKind::Changed, Some(new)) => put(&change.xpath, new),
            (ChangeKind::Moved, Some(_)) if is_entry && !is_freed => placed(change),
            _ => continue,
        };
        match step.play(&mut tree) {
            Ok(true) => steps.push(step),
            Ok(false) => {}
            Err(error) => wrong.extend(error.lines),
        }
        // A new entry is the last one until it is brought to its place.
        if is_entry && (change.kind == ChangeKind::Added || is_freed) {
            let step = if is_freed { placed_as(change, wanted) } else { placed(change) };
            if step.play(&mut tree) == Ok(true) {
                steps.push(step);
            }
        }
    }
    let is_gone = |change: &&Change| {
        let is_left = !freed.contains(change.xpath.as_str()) && !is_within_freed(&change.xpath);
        change.kind == ChangeKind::Removed && list_of(change).is_none() && is_left
    };
    let gone = changes.iter().filter(is_gone).rev();
    let mut left: Vec<Step> = gone.map(|change| Step::Delete { xpath: change.xpath.clone() }).collect();
    loop {
        let count = left.len();
        let mut refused = Vec::new();
        left.retain(|step| match step.play(&mut tree) {
            Ok(_) => {
                steps.push(step.clone());
                false
            }
            Err(error) => {
                refused.extend(error.lines);
                true
            }
        });
        if left.len() == count {
            wrong.extend(refused);
            break;
        }
    }
    if wrong.is_empty() { Ok(steps) } else { Err(wrong) }
}

/// Entries whose uuid another entry is to have, or that are to have another one: to put it would keep theirs.
fn in_the_way(changes: &[Change]) -> impl Iterator<Item = &Change> {
    let is_new = |change: &&Change| matches!(change.kind, ChangeKind::Added | ChangeKind::Changed);
    let new_uuid = |change: &Change| change.new.as_ref()?.attribute("uuid").map(str::to_owned);
    let wanted: BTreeSet<String> = changes.iter().filter(is_new).filter_map(new_uuid).collect();
    changes.iter().filter(move |change| {
        let uuid = change.old.as_ref().and_then(|old| old.attribute("uuid"));
        let Some(uuid) = uuid.filter(|_| matches!(change.kind, ChangeKind::Removed | ChangeKind::Changed)) else {
            return false;
        };
        match change.new.as_ref().and_then(|new| new.attribute("uuid")) {
            Some(new) => new != uuid,
            None => wanted.contains(uuid),
        }
    })
}

/// An entry behind the one that it follows in the tree that is wanted.
fn placed_as(change: &Change, wanted: &Element) -> Step {
    let step = change.new.as_ref().map(|new| new.step()).unwrap_or_default();
    let list = change.xpath.strip_suffix(&step).and_then(|list| list.strip_suffix('/'));
    let list = list.and_then(|list| Some(super::get(wanted, list).ok()?.first()?.to_element()));
    let name = change.new.as_ref().and_then(|new| new.attribute("name").map(str::to_owned));
    let mut follows = None;
    for entry in list.iter().flat_map(|list| list.elements()) {
        let this = entry.attribute("name").map(str::to_owned);
        if this == name {
            break;
        }
        follows = this;
    }
    Step::Move { xpath: change.xpath.clone(), follows }
}

fn placed(change: &Change) -> Step {
    Step::Move { xpath: change.xpath.clone(), follows: change.follows.clone() }
}

/// XPath of the list, of a change of a member.
fn list_of(change: &Change) -> Option<&str> {
    change.xpath.rsplit_once("/member[").map(|(list, _)| list)
}

/// A list of members is one value.
fn whole_list(change: &Change, wanted: &Element) -> Option<Step> {
    let list = list_of(change)?;
    let found = super::get(wanted, list).ok()?;
    Some(put(list, found.first()?.element()))
}

fn put(xpath: &str, element: &Element) -> Step {
    Step::Put { xpath: xpath.to_owned(), element: xml::write(element) }
}
