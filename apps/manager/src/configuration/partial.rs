//! Which pending edits does a partial commit or revert mean, and what is left of the candidate after it?
//!
//! The journal knows who made each edit, in which order. Those that are meant are played over the running
//! configuration and become the new one; the rest, played over that, must give the candidate of before, or
//! somebody's work would change without being asked. Where only the order of entries differs, moves are
//! added to the rest; anything else is a conflict, which names both edits and changes nothing.

pub(crate) mod place;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use bartizan_model::diff::{self, Change, ChangeKind};
use bartizan_model::tree::Element;

use self::place::{Place, places};
use super::edit::Edit;
use crate::accounts::Caller;
use crate::store::versions::JournalLine;

/// How often the order of what is left is looked at again after it was put right.
const ORDER_ROUNDS_MAX: usize = 8;
/// Differences that a conflict tells.
const DIFFERENCES_SHOWN: usize = 10;

/// Names of one kind, or all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Names {
    #[default]
    All,
    Only(BTreeSet<String>),
}

impl Names {
    fn hold(&self, name: Option<&str>) -> bool {
        match (self, name) {
            (Self::All, _) => true,
            (Self::Only(names), Some(name)) => names.contains(name),
            // An edit of all of them.
            (Self::Only(_), None) => false,
        }
    }
}

/// Which pending edits are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Of these administrators; `None` for all.
    admins: Option<BTreeSet<String>>,
    device_groups: Names,
    templates: Names,
    stacks: Names,
    shared: bool,
    device_and_network: bool,
}

impl Selection {
    /// Those of one administrator.
    pub(crate) fn of_admin(name: &str) -> Self {
        Self { admins: Some(BTreeSet::from([name.to_owned()])), ..Self::everything() }
    }

    /// What of a selection somebody may ask for: whose role is for a part of the configuration has only the own edits.
    ///
    /// # Errors
    /// When others are named.
    pub(crate) fn within(selection: Option<Self>, caller: &Caller) -> Result<Option<Self>, String> {
        if caller.role.scope().is_none() {
            return Ok(selection);
        }
        let mut selection = selection.unwrap_or_else(Self::everything);
        let other = selection.admins.iter().flatten().find(|name| **name != caller.name);
        if let Some(other) = other {
            return Err(format!("the edits of `{other}` are not in reach of the role of `{}`", caller.name));
        }
        selection.admins = Some(BTreeSet::from([caller.name.clone()]));
        Ok(Some(selection))
    }

    fn everything() -> Self {
        Self {
            admins: None,
            device_groups: Names::All,
            templates: Names::All,
            stacks: Names::All,
            shared: true,
            device_and_network: true,
        }
    }

    /// Reads `<partial>`; `None` when it does not narrow anything.
    ///
    /// # Errors
    /// The chain of lines about the first element that is not known.
    pub(crate) fn read(partial: &Element) -> Result<Option<Self>, Vec<String>> {
        let mut selection = Self::everything();
        for child in partial.elements() {
            let excluded = matches!(&*child.text(), "" | "excluded");
            match &*child.name {
                "description" => {}
                "admin" => selection.admins = Some(names(child)).filter(|names| !names.is_empty()),
                "device-group" => selection.device_groups = only(child),
                "template" => selection.templates = only(child),
                "template-stack" => selection.stacks = only(child),
                "no-device-group" => selection.device_groups = Names::Only(BTreeSet::new()),
                "no-template" => selection.templates = Names::Only(BTreeSet::new()),
                "no-template-stack" => selection.stacks = Names::Only(BTreeSet::new()),
                "shared-object" => selection.shared &= !excluded,
                "device-and-network" => selection.device_and_network &= !excluded,
                "policy-and-objects" if excluded => {
                    selection.shared = false;
                    selection.device_groups = Names::Only(BTreeSet::new());
                }
                "policy-and-objects" => {}
                // There is none of these here, so they neither add nor leave out anything.
                "log-collector"
                | "log-collector-group"
                | "wildfire-appliance"
                | "wildfire-appliance-cluster"
                | "no-log-collector"
                | "no-log-collector-group"
                | "no-wildfire-appliance"
                | "no-wildfire-appliance-cluster"
                | "no-vsys" => {}
                other => {
                    let line = format!(" commit -> partial -> {other} unexpected here");
                    return Err(vec![
                        line,
                        " commit -> partial  is unexpected".into(),
                        " commit  is unexpected".into(),
                    ]);
                }
            }
        }
        Ok((selection != Self::everything()).then_some(selection))
    }

    /// Whether an edit is meant.
    ///
    /// # Errors
    /// When only a part of it is.
    pub(crate) fn holds(&self, line: &JournalLine, edit: &Edit) -> Result<bool, Conflict> {
        if self.admins.as_ref().is_some_and(|admins| !admins.contains(&line.author)) {
            return Ok(false);
        }
        let places = places(edit);
        let held = places.iter().filter(|place| self.holds_place(place)).count();
        if held != 0 && held != places.len() {
            return Err(Conflict(vec![
                format!("{} touches what is selected and what is not", describe(line, edit)),
                "select all that it touches, or leave all of it out".to_owned(),
            ]));
        }
        Ok(held != 0)
    }

    fn holds_place(&self, place: &Place) -> bool {
        match place {
            Place::Shared => self.shared,
            Place::DeviceGroup(name) => self.device_groups.hold(name.as_deref()),
            Place::Template(name) => self.templates.hold(name.as_deref()),
            Place::Stack(name) => self.stacks.hold(name.as_deref()),
            Place::DeviceAndNetwork => self.device_and_network,
            Place::Everything => *self == Self { admins: self.admins.clone(), ..Self::everything() },
        }
    }
}

fn names(list: &Element) -> BTreeSet<String> {
    let entries = list.entries().map(|(name, _)| name.to_owned());
    entries.chain(list.members()).chain(Some(list.text())).filter(|name| !name.is_empty()).collect()
}

/// A list without names is no restriction: there is an element of its own that says "none".
fn only(list: &Element) -> Names {
    let names = names(list);
    if names.is_empty() { Names::All } else { Names::Only(names) }
}

/// Whether a line of the journal is selected, in part or whole.
pub(crate) fn is_meant(line: &JournalLine, selection: &Selection) -> bool {
    serde_json::from_str(&line.edit).is_ok_and(|edit| selection.holds(line, &edit).unwrap_or(true))
}

/// Whether an edit touches a device group, template or stack of that name.
pub(crate) fn touches(edit: &Edit, name: &str) -> bool {
    places(edit).iter().any(|place| match place {
        Place::DeviceGroup(touched) | Place::Template(touched) | Place::Stack(touched) => {
            touched.as_deref().is_none_or(|touched| touched == name)
        }
        Place::Everything => true,
        Place::Shared | Place::DeviceAndNetwork => false,
    })
}

/// Why edits cannot be told apart: what is in the way, and what to do instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conflict(pub(crate) Vec<String>);

/// The candidate in two parts.
#[derive(Debug)]
pub(crate) struct Split {
    /// Running, with the edits that are meant.
    pub(crate) chosen: Arc<Element>,
    /// Their numbers in the journal.
    pub(crate) taken: Vec<i64>,
    /// What the journal holds beside the others afterwards, at its end.
    pub(crate) moves: Vec<JournalLine>,
    /// What the journal then makes of `chosen`: the candidate.
    pub(crate) candidate: Arc<Element>,
}

/// One line of the journal, read.
type Read = (JournalLine, Edit);

/// Tells the edits apart that are `selected`, up to number `end`, for a commit.
///
/// # Errors
/// When the one part depends on the other.
pub(crate) fn split(
    running: &Arc<Element>,
    candidate: &Arc<Element>,
    journal: Vec<JournalLine>,
    (selection, end): (&Selection, i64),
) -> Result<Split, Conflict> {
    let (chosen_edits, rest) = part(journal, selection, end)?;
    if rest.is_empty() {
        // The candidate is just that: running, with all edits of the journal.
        let (taken, whole) = (numbers(&chosen_edits), candidate.clone());
        return Ok(Split { chosen: whole.clone(), taken, moves: Vec::new(), candidate: whole });
    }
    let mut chosen = running.clone();
    play(&mut chosen, &chosen_edits, "is not selected, or was undone")?;
    let mut replayed = chosen.clone();
    play(&mut replayed, &rest, "is selected")?;
    let moves = put_in_order(&mut replayed, candidate, &rest);
    let differences: Vec<Change> =
        diff::diff(&replayed, candidate).into_iter().filter(|change| change.kind != ChangeKind::Moved).collect();
    if !differences.is_empty() {
        return Err(contradiction(&differences, &chosen_edits, &rest));
    }
    Ok(Split { chosen, taken: numbers(&chosen_edits), moves, candidate: replayed })
}

/// What is left when the selected edits are undone.
///
/// # Errors
/// When others depend on them.
pub(crate) fn without(
    running: &Arc<Element>,
    journal: Vec<JournalLine>,
    selection: &Selection,
) -> Result<Split, Conflict> {
    let (chosen_edits, rest) = part(journal, selection, i64::MAX)?;
    let mut candidate = running.clone();
    play(&mut candidate, &rest, "is to be reverted")?;
    Ok(Split { chosen: running.clone(), taken: numbers(&chosen_edits), moves: Vec::new(), candidate })
}

fn numbers(edits: &[Read]) -> Vec<i64> {
    edits.iter().map(|(line, _)| line.id).collect()
}

/// The selected edits and the others, each in their order.
fn part(journal: Vec<JournalLine>, selection: &Selection, end: i64) -> Result<(Vec<Read>, Vec<Read>), Conflict> {
    let (mut chosen, mut rest) = (Vec::new(), Vec::new());
    for line in journal {
        let edit: Edit = serde_json::from_str(&line.edit)
            .map_err(|error| Conflict(vec![format!("edit {} in the journal cannot be read: {error}", line.id)]))?;
        let meant = line.id <= end && selection.holds(&line, &edit)?;
        if meant { &mut chosen } else { &mut rest }.push((line, edit));
    }
    let loaded = chosen.iter().chain(&rest).find(|(_, edit)| matches!(edit, Edit::Load { .. }));
    if let Some((line, edit)) = loaded.filter(|_| !rest.is_empty() && !chosen.is_empty()) {
        return Err(Conflict(vec![
            "Selective commit is blocked since a load was performed, please perform a full commit".to_owned(),
            format!("{} replaced the whole candidate", describe(line, edit)),
        ]));
    }
    Ok((chosen, rest))
}

/// Plays edits; one that does not apply depends on another that `why` says something about.
fn play(tree: &mut Arc<Element>, edits: &[Read], why: &str) -> Result<(), Conflict> {
    for (line, edit) in edits {
        if let Err(failure) = edit.apply(tree) {
            return Err(Conflict(vec![
                format!("{} depends on an edit that {why}:{}", describe(line, edit), failure.lines.join(";")),
                "take both together, or revert one of them".to_owned(),
            ]));
        }
    }
    Ok(())
}

/// Makes the order of entries that of the candidate, and tells how.
fn put_in_order(tree: &mut Arc<Element>, candidate: &Arc<Element>, rest: &[Read]) -> Vec<JournalLine> {
    let mut lines = Vec::new();
    for _ in 0..ORDER_ROUNDS_MAX {
        let moves: Vec<Edit> = diff::diff(tree, candidate).into_iter().filter_map(as_move).collect();
        let moved: Vec<Edit> = moves.into_iter().filter(|edit| edit.apply(tree).is_ok()).collect();
        if moved.is_empty() {
            break;
        }
        lines.extend(moved.iter().filter_map(|edit| {
            let line = owner(rest, edit.xpath())?;
            Some(JournalLine { edit: serde_json::to_string(edit).ok()?, ..line.clone() })
        }));
    }
    lines
}

fn as_move(change: Change) -> Option<Edit> {
    if change.kind != ChangeKind::Moved || &*change.new.as_ref()?.name != "entry" {
        return None;
    }
    let (place, dst) = match change.follows {
        Some(name) => ("after", name),
        None => ("top", String::new()),
    };
    Some(Edit::Move { xpath: change.xpath, r#where: place.to_owned(), dst })
}

/// Whose edit brought an entry where it is, as far as that can be said.
fn owner<'e>(edits: &'e [Read], xpath: &str) -> Option<&'e JournalLine> {
    let container = xpath.rsplit_once("/entry[").map_or(xpath, |(container, _)| container);
    let near = edits.iter().rev().find(|(_, edit)| edit.xpath() == xpath || edit.xpath().starts_with(container));
    near.or(edits.last()).map(|(line, _)| line)
}

/// Both parts change the same thing, the selected one last.
fn contradiction(differences: &[Change], chosen: &[Read], rest: &[Read]) -> Conflict {
    let mut lines = vec!["edits that are selected and others change the same".to_owned()];
    for change in differences.iter().take(DIFFERENCES_SHOWN) {
        let about = |edits: &[Read]| {
            let near = edits.iter().rev().find(|(_, edit)| {
                let xpath = edit.xpath();
                change.xpath.starts_with(xpath) || xpath.starts_with(&change.xpath)
            });
            near.map(|(line, edit)| describe(line, edit))
        };
        let who: Vec<String> = [about(chosen), about(rest)].into_iter().flatten().collect();
        lines.push(format!("{}: {}", change.xpath, who.join(", and ")));
    }
    lines.push("commit both together, or let one of them be reverted first".to_owned());
    Conflict(lines)
}

fn describe(line: &JournalLine, edit: &Edit) -> String {
    format!("edit {} (`{}` by `{}` of {})", line.id, edit.name(), line.author, edit.xpath())
}
