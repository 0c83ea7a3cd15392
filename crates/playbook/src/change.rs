//! Which edits bring a device group to the wanted objects, and touch nothing else?
//!
//! What carries the owner's tag is ours; everything else is not, whatever its name. Objects come before the rules that
//! use them and go after. Of the rules that are there and stay, the longest run that is in order already does not move.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bartizan_model::edit::Destination;
use bartizan_model::tree::{Attribute, Child, Element, quote};
use bartizan_model::xml;

use crate::render::Objects;

/// Where the rules of a device group are.
const RULES: &[&str] = &["pre-rulebase", "security", "rules"];

/// One edit of the XML API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new entry: its XPath and what is in it.
    Set {
        /// XPath of the entry.
        xpath: String,
        /// Its content.
        content: String,
    },
    /// An entry that becomes another.
    Edit {
        /// XPath of the entry.
        xpath: String,
        /// The whole entry.
        entry: String,
    },
    /// A rule goes elsewhere.
    Move {
        /// XPath of the rule.
        xpath: String,
        /// Where to.
        to: Destination,
    },
    /// An entry goes.
    Delete {
        /// XPath of the entry.
        xpath: String,
    },
}

/// Where the rules go when there are none yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Before all others.
    Top,
    /// After all others.
    #[default]
    Bottom,
    /// Before a rule of the administrator.
    Before(String),
    /// After a rule of the administrator.
    After(String),
}

/// A name that is needed belongs to somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// XPath of what is there.
    pub xpath: String,
    /// The tag that it does not have.
    pub owner: String,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} has the name of a generated object, and not its tag `{}`: rename or delete it, or give it the tag if it is \
             to be replaced",
            self.xpath, self.owner
        )
    }
}

/// The edits, in the order in which they must be made.
///
/// `group` is the device group's entry, `xpath` its XPath.
///
/// # Errors
/// Every name that is taken; then there are no edits at all.
pub fn plan(group: &Element, xpath: &str, wanted: &Objects, place: &Place) -> Result<Vec<Change>, Vec<Conflict>> {
    let mut planner =
        Planner { xpath, owner: &wanted.owner, conflicts: Vec::new(), before: Vec::new(), after: Vec::new() };
    planner.objects(group, &["tag"], &wanted.tags);
    planner.objects(group, &["service"], &wanted.services);
    planner.objects(group, &["address"], &wanted.addresses);
    planner.objects(group, &["address-group"], &wanted.groups);
    planner.rules(group, &wanted.rules, place);
    if !planner.conflicts.is_empty() {
        return Err(planner.conflicts);
    }
    planner.after.reverse();
    planner.before.append(&mut planner.after);
    Ok(planner.before)
}

struct Planner<'a> {
    xpath: &'a str,
    owner: &'a str,
    conflicts: Vec<Conflict>,
    before: Vec<Change>,
    /// Deletions, last first.
    after: Vec<Change>,
}

impl Planner<'_> {
    fn entry(&self, path: &[&str], name: &str) -> String {
        format!("{}/{}/entry[@name={}]", self.xpath, path.join("/"), quote(name))
    }

    /// A tag object is the owner's when it is the owner's tag.
    fn is_ours(&self, path: &[&str], name: &str, entry: &Element) -> bool {
        if path == ["tag"] {
            return name == self.owner;
        }
        entry.child("tag").is_some_and(|tags| tags.members().any(|tag| tag == self.owner))
    }

    fn objects(&mut self, group: &Element, path: &[&str], wanted: &BTreeMap<String, Element>) {
        let there: BTreeMap<&str, &Element> =
            group.descend(path).into_iter().flat_map(Element::entries).map(|(name, entry)| (name, &**entry)).collect();
        for (name, entry) in wanted {
            self.bring(path, name, entry, there.get(name.as_str()).copied());
        }
        for (name, entry) in there {
            if !wanted.contains_key(name) && self.is_ours(path, name, entry) {
                self.after.push(Change::Delete { xpath: self.entry(path, name) });
            }
        }
    }

    fn bring(&mut self, path: &[&str], name: &str, wanted: &Element, there: Option<&Element>) {
        match there {
            None => {
                let content = wanted.elements().map(|child| xml::write(child)).collect();
                self.before.push(Change::Set { xpath: self.entry(path, name), content });
            }
            Some(entry) if !self.is_ours(path, name, entry) => {
                self.conflicts.push(Conflict { xpath: self.entry(path, name), owner: self.owner.to_owned() });
            }
            Some(entry) if same(entry, wanted) => {}
            Some(entry) => {
                let xpath = self.entry(path, name);
                let mut wanted = wanted.clone();
                wanted.attributes.extend(entry.attributes.iter().filter(|(name, _)| &**name == "uuid").cloned());
                self.before.push(Change::Edit { xpath, entry: xml::write(&wanted) });
            }
        }
    }

    fn rules(&mut self, group: &Element, wanted: &[(String, Element)], place: &Place) {
        let there: Vec<(&str, &Element)> =
            group.descend(RULES).into_iter().flat_map(Element::entries).map(|(name, entry)| (name, &**entry)).collect();
        let position: BTreeMap<&str, usize> =
            there.iter().enumerate().map(|(position, (name, _))| (*name, position)).collect();
        let names: BTreeSet<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
        for (name, entry) in &there {
            if !names.contains(name) && self.is_ours(RULES, name, entry) {
                self.after.push(Change::Delete { xpath: self.entry(RULES, name) });
            }
        }
        let stays = longest_run(wanted.iter().map(|(name, _)| position.get(name.as_str()).copied()));
        // What the list will be like once the edits so far are made: the end matters, because there a new rule lands.
        let mut last = there.last().map(|(name, _)| *name);
        let mut previous: Option<&str> = None;
        for (index, (name, rule)) in wanted.iter().enumerate() {
            let known = position.get(name.as_str()).map(|position| there[*position].1);
            self.bring(RULES, name, rule, known);
            if stays.contains(&index) {
                previous = Some(name);
                continue;
            }
            let to = match previous {
                Some(previous) => Some(Destination::After(previous.to_owned())),
                None => match stays.first() {
                    Some(first) => Some(Destination::Before(wanted[*first].0.clone())),
                    None => destination(place),
                },
            };
            let is_end = match &to {
                None | Some(Destination::Bottom) => true,
                Some(Destination::After(other)) => last == Some(other.as_str()),
                Some(Destination::Top | Destination::Before(_)) => there.is_empty() && last.is_none(),
            };
            // A new rule lands at the end by itself.
            let lands_right = known.is_none() && is_end;
            if let Some(to) = to
                && !lands_right
            {
                self.before.push(Change::Move { xpath: self.entry(RULES, name), to });
            }
            if is_end {
                last = Some(name);
            } else if last == Some(name) {
                // It went elsewhere; that nobody is known to be last costs a move at most.
                last = None;
            }
            previous = Some(name);
        }
    }
}

fn destination(place: &Place) -> Option<Destination> {
    match place {
        Place::Top => Some(Destination::Top),
        Place::Bottom => Some(Destination::Bottom),
        Place::Before(name) => Some(Destination::Before(name.clone())),
        Place::After(name) => Some(Destination::After(name.clone())),
    }
}

/// Indices of the longest run of places that rise, of those that have one.
fn longest_run(places: impl Iterator<Item = Option<usize>>) -> BTreeSet<usize> {
    // For each length, the index at which the run of that length with the lowest last place ends.
    let mut ends: Vec<(usize, usize)> = Vec::new();
    let mut before: BTreeMap<usize, Option<usize>> = BTreeMap::new();
    for (index, place) in places.enumerate() {
        let Some(place) = place else { continue };
        let length = ends.partition_point(|(end, _)| *end < place);
        before.insert(index, length.checked_sub(1).map(|shorter| ends[shorter].1));
        match ends.get_mut(length) {
            Some(end) => *end = (place, index),
            None => ends.push((place, index)),
        }
    }
    let mut run = BTreeSet::new();
    let mut next = ends.last().map(|(_, index)| *index);
    while let Some(index) = next {
        run.insert(index);
        next = before.get(&index).copied().flatten();
    }
    run
}

/// Attributes that say nothing of what an entry means.
const BESIDES: [&str; 8] = ["uuid", "admin", "dirtyId", "time", "loc", "src", "ptpl", "panorama"];

/// Whether both mean the same: the order of elements and what the manager notes at them do not matter.
fn same(a: &Element, b: &Element) -> bool {
    let means = |(name, _): &&Attribute| !BESIDES.contains(&&**name);
    let has_all = |one: &Element, other: &Element| {
        one.attributes.iter().filter(means).all(|attribute| other.attributes.contains(attribute))
    };
    if a.name != b.name || !has_all(a, b) || !has_all(b, a) || text(a) != text(b) {
        return false;
    }
    // As a rule they are written in the same order.
    if a.elements().count() != b.elements().count() {
        return false;
    }
    if a.elements().zip(b.elements()).all(|(one, other)| same(one, other)) {
        return true;
    }
    let mut rest: Vec<&Element> = b.elements().map(|child| &**child).collect();
    a.elements().all(|child| {
        let found = rest.iter().position(|other| same(child, other));
        found.map(|found| rest.swap_remove(found)).is_some()
    })
}

/// The text of an element itself.
fn text(element: &Element) -> Cow<'_, str> {
    let mut texts =
        element.children.iter().filter_map(|child| if let Child::Text(text) = child { Some(&**text) } else { None });
    match (texts.next(), texts.next()) {
        (first, None) => Cow::Borrowed(first.unwrap_or_default()),
        (first, second) => first.into_iter().chain(second).chain(texts).collect(),
    }
}
