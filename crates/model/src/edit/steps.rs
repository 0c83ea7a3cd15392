//! Which edits bring one tree to another?
//!
//! What is put comes first and what goes comes last, and of that first what nothing refers to. A list of members is one
//! value.

use std::sync::Arc;

use super::{Destination, EditError};
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
            Self::Move { xpath, follows } => {
                let to = follows.as_ref().map_or(Destination::Top, |name| Destination::After(name.clone()));
                super::move_entry(tree, xpath, &to)
            }
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
    for change in changes {
        let is_entry = change.new.as_ref().is_some_and(|new| &*new.name == "entry");
        let step = match (change.kind, &change.new) {
            _ if list_of(change).is_some() => match whole_list(change, wanted) {
                Some(step) if !steps.contains(&step) => step,
                _ => continue,
            },
            (ChangeKind::Added | ChangeKind::Changed, Some(new)) => put(&change.xpath, new),
            (ChangeKind::Moved, Some(_)) if is_entry => placed(change),
            _ => continue,
        };
        match step.play(&mut tree) {
            Ok(_) => steps.push(step),
            Err(error) => wrong.extend(error.lines),
        }
        // A new entry is the last one until it is brought to its place.
        if change.kind == ChangeKind::Added && is_entry {
            let step = placed(change);
            if step.play(&mut tree) == Ok(true) {
                steps.push(step);
            }
        }
    }
    let is_gone = |change: &&Change| change.kind == ChangeKind::Removed && list_of(change).is_none();
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
