//! What is different between two versions of a configuration?
//!
//! Parts that both trees share are skipped without a look, so a comparison costs what was changed, not
//! what is there.

#[cfg(test)]
mod tests;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::tree::{Child, Element};
pub use text::{set_lines, unified};

/// One difference, at the highest node that is wholly new, gone or replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Canonical XPath of the node.
    pub xpath: String,
    /// What happened to it.
    pub kind: ChangeKind,
    /// The node before; none when it was added.
    pub old: Option<Arc<Element>>,
    /// The node now; none when it was removed.
    pub new: Option<Arc<Element>>,
    /// Name of the entry (or text of the member) that an added or moved one now follows; none when it is the first.
    pub follows: Option<String>,
}

/// What happened to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// Its text or its attributes are different.
    Changed,
    /// It stands elsewhere among its siblings.
    Moved,
}

/// All differences, in the order of the new tree with removed nodes before what is left of their parent.
pub fn diff(old: &Arc<Element>, new: &Arc<Element>) -> Vec<Change> {
    let mut changes = Vec::new();
    compare(old, new, &format!("/{}", new.step()), &mut changes);
    changes
}

fn compare(old: &Arc<Element>, new: &Arc<Element>, xpath: &str, changes: &mut Vec<Change>) {
    if Arc::ptr_eq(old, new) {
        return;
    }
    if old.text() != new.text() || stored(old) != stored(new) {
        changes.push(Change {
            xpath: xpath.to_owned(),
            kind: ChangeKind::Changed,
            old: Some(old.clone()),
            new: Some(new.clone()),
            follows: None,
        });
    }
    let before = by_step(old);
    let after = by_step(new);
    for (step, child) in steps(old) {
        if !after.contains_key(&step) {
            push(changes, format!("{xpath}/{step}"), ChangeKind::Removed, (Some(child), None), None);
        }
    }
    let moved = moved(old, new, &before, &after);
    let mut follows: Option<String> = None;
    for (step, child) in steps(new) {
        let path = format!("{xpath}/{step}");
        match before.get(&step) {
            None => {
                let place = follows.as_ref().filter(|_| matches!(&*child.name, "entry" | "member"));
                push(changes, path, ChangeKind::Added, (None, Some(child)), place);
            }
            Some(earlier) => {
                if moved.contains(&step) {
                    let both = (Some(*earlier), Some(child));
                    push(changes, path.clone(), ChangeKind::Moved, both, follows.as_ref());
                }
                compare(earlier, child, &path, changes);
            }
        }
        follows = Some(child.attribute("name").map_or_else(|| child.text(), str::to_owned));
    }
}

fn push(
    changes: &mut Vec<Change>,
    xpath: String,
    kind: ChangeKind,
    (old, new): (Option<&Arc<Element>>, Option<&Arc<Element>>),
    follows: Option<&String>,
) {
    changes.push(Change { xpath, kind, old: old.cloned(), new: new.cloned(), follows: follows.cloned() });
}

/// Attributes other than those that say who last touched a node.
fn stored(element: &Element) -> BTreeMap<&str, &str> {
    let volatile = ["admin", "dirtyId", "time"];
    let attributes = element.attributes.iter().map(|(name, value)| (&**name, &**value));
    attributes.filter(|(name, _)| !volatile.contains(name)).collect()
}

/// Children with the step that names each; the second of the same step is `step[2]`, and so on, so that
/// a tree with repetitions is compared one by one.
fn steps(element: &Element) -> impl Iterator<Item = (String, &Arc<Element>)> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    element.elements().map(move |child| {
        let step = child.step();
        let count = seen.entry(step.clone()).or_default();
        *count += 1;
        if *count == 1 { (step, child) } else { (format!("{step}[{count}]"), child) }
    })
}

fn by_step(element: &Element) -> BTreeMap<String, &Arc<Element>> {
    steps(element).collect()
}

/// Entries and members that changed their order among those that are in both: all but the longest run
/// that kept it. The order of other elements means nothing.
fn moved(
    old: &Element,
    new: &Element,
    before: &BTreeMap<String, &Arc<Element>>,
    after: &BTreeMap<String, &Arc<Element>>,
) -> BTreeSet<String> {
    let listed = |element: &Element| {
        let is_listed =
            |child: &Child| matches!(child, Child::Element(child) if matches!(&*child.name, "entry" | "member"));
        element.children.iter().any(is_listed)
    };
    if !listed(old) || !listed(new) {
        return BTreeSet::new();
    }
    let kept = |element: &Element, other: &BTreeMap<String, &Arc<Element>>| -> Vec<String> {
        steps(element).map(|(step, _)| step).filter(|step| other.contains_key(step)).collect()
    };
    let old_order = kept(old, after);
    let new_order = kept(new, before);
    if old_order == new_order {
        return BTreeSet::new();
    }
    let position: BTreeMap<&String, usize> = old_order.iter().enumerate().map(|(index, step)| (step, index)).collect();
    let sequence: Vec<usize> = new_order.iter().filter_map(|step| position.get(step).copied()).collect();
    let stayed = longest_increasing(&sequence);
    let moved = sequence.iter().filter(|index| !stayed.contains(index));
    moved.filter_map(|index| old_order.get(*index).cloned()).collect()
}

/// Values of one longest increasing subsequence.
fn longest_increasing(sequence: &[usize]) -> BTreeSet<usize> {
    // Indices of the smallest last value of a run of each length, and each value's predecessor.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = vec![None; sequence.len()];
    for (index, value) in sequence.iter().enumerate() {
        let length = ends.partition_point(|end| sequence[*end] < *value);
        before[index] = length.checked_sub(1).map(|shorter| ends[shorter]);
        if length == ends.len() {
            ends.push(index);
        } else {
            ends[length] = index;
        }
    }
    let mut run = BTreeSet::new();
    let mut here = ends.last().copied();
    while let Some(index) = here {
        run.insert(sequence[index]);
        here = before[index];
    }
    run
}
