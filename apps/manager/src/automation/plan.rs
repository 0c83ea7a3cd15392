//! Which edits bring the running configuration to what is wanted?
//!
//! They are planned against what runs, not against the candidate: what administrators have not committed is theirs.

use std::collections::BTreeMap;
use std::sync::Arc;

use bartizan_model::edit::Destination;
use bartizan_model::manager;
use bartizan_model::tree::Element;
use bartizan_playbook::Objects;
use bartizan_playbook::change::{Change, plan};

use super::services;
use super::settings::Settings;
use super::state::Cluster;
use crate::app::App;
use crate::configuration::difference;
use crate::configuration::edit::Edit;
use crate::lock;
use crate::store::hex_digest;

/// Lines about changes that a step keeps.
const LINES_MAX: usize = 500;
/// Bytes of a difference that a step keeps.
const TEXT_MAX: usize = 256 << 10;

/// The edits, and what they are good for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Planned {
    /// In the order in which they must be made.
    pub(crate) changes: Vec<Change>,
    /// SHA-256, hex, of them.
    pub(crate) digest: String,
}

/// What was planned last for a cluster, and of what.
pub(super) struct Kept {
    running: Arc<Element>,
    objects: Arc<Objects>,
    settings: Settings,
    placed: String,
    kept: BTreeMap<String, String>,
    planned: Arc<Planned>,
}

/// Plans them, unless that was done already; computing takes a thread of its own.
pub(super) async fn planned(
    app: &App,
    running: &Arc<Element>,
    cluster: &Arc<Cluster>,
    settings: &Settings,
    objects: Arc<Objects>,
) -> anyhow::Result<Result<Arc<Planned>, Vec<String>>> {
    let is_of_this = |known: &&Kept| {
        Arc::ptr_eq(&known.running, running)
            && Arc::ptr_eq(&known.objects, &objects)
            && known.settings == *settings
            && known.placed == cluster.placed
            && known.kept == cluster.kept
    };
    if let Some(known) = lock(&app.automation.plans).get(&cluster.name).filter(is_of_this) {
        return Ok(Ok(known.planned.clone()));
    }
    let (tree, of, by, wanted) = (running.clone(), cluster.clone(), settings.clone(), objects.clone());
    let planned = match tokio::task::spawn_blocking(move || make(&tree, &of, &by, &wanted)).await? {
        Ok(planned) => Arc::new(planned),
        Err(lines) => return Ok(Err(lines)),
    };
    let known = Kept {
        running: running.clone(),
        objects,
        settings: settings.clone(),
        placed: cluster.placed.clone(),
        kept: cluster.kept.clone(),
        planned: planned.clone(),
    };
    lock(&app.automation.plans).insert(cluster.name.clone(), known);
    Ok(Ok(planned))
}

/// Plans them.
///
/// # Errors
/// Why there are none: names that are somebody else's, a device group that is not there.
fn make(running: &Element, cluster: &Cluster, settings: &Settings, objects: &Objects) -> Result<Planned, Vec<String>> {
    let mut changes = Vec::new();
    let group_of = |name: &str| manager::container(running, "device-group")?.entry_named(name).cloned();
    if !cluster.placed.is_empty()
        && cluster.placed != settings.device_group
        && let Some(old) = group_of(&cluster.placed)
    {
        let nothing = Objects { owner: objects.owner.clone(), ..Objects::default() };
        let xpath = manager::entry_xpath("device-group", &cluster.placed);
        changes.extend(plan(&old, &xpath, &nothing, &settings.place).map_err(lines)?);
    }
    let group = group_of(&settings.device_group)
        .ok_or_else(|| vec![format!("device group `{}` is not in the running configuration", settings.device_group)])?;
    let xpath = manager::entry_xpath("device-group", &settings.device_group);
    changes.extend(plan(&group, &xpath, objects, &settings.place).map_err(lines)?);
    changes.retain(|change| !is_kept(cluster, objects, change));
    let digest = hex_digest(format!("{changes:?}").as_bytes());
    Ok(Planned { changes, digest })
}

fn lines<T: ToString>(conflicts: Vec<T>) -> Vec<String> {
    conflicts.iter().map(ToString::to_string).collect()
}

/// Where a change is.
pub(crate) fn place(change: &Change) -> &str {
    match change {
        Change::Set { xpath, .. }
        | Change::Edit { xpath, .. }
        | Change::Move { xpath, .. }
        | Change::Delete { xpath } => xpath,
    }
}

/// Whether somebody edited this object, and it stays so because what it is to be did not change since.
fn is_kept(cluster: &Cluster, objects: &Objects, change: &Change) -> bool {
    cluster.kept.get(place(change)).is_some_and(|digest| *digest == wanted_digest(objects, place(change)))
}

/// Digest of what an object is to be; of one that is not wanted, of nothing.
pub(crate) fn wanted_digest(objects: &Objects, xpath: &str) -> String {
    let name = name_of(xpath);
    let rule = objects.rules.iter().find(|(rule, _)| rule == name).map(|(_, rule)| rule);
    let object = match () {
        () if xpath.contains("/rules/entry[") => rule,
        () if xpath.contains("/address/entry[") => objects.addresses.get(name),
        () if xpath.contains("/address-group/entry[") => objects.groups.get(name),
        () if xpath.contains("/service/entry[") => objects.services.get(name),
        () => objects.tags.get(name),
    };
    object.map(|object| hex_digest(bartizan_model::xml::write(object).as_bytes())).unwrap_or_default()
}

/// The name in an XPath that ends in an entry.
pub(crate) fn name_of(xpath: &str) -> &str {
    let last = xpath.rsplit_once("/entry[@name=").map_or(xpath, |(_, last)| last);
    last.trim_end_matches(']').trim_matches(['\'', '"'])
}

/// What kind of object an XPath means, for people.
fn kind_of(xpath: &str) -> &'static str {
    const KINDS: [(&str, &str); 4] = [
        ("/rules/entry[", "rule"),
        ("/address-group/entry[", "address group"),
        ("/address/entry[", "address"),
        ("/service/entry[", "service"),
    ];
    KINDS.into_iter().find(|(part, _)| xpath.contains(part)).map_or("tag", |(_, kind)| kind)
}

/// A change in words.
pub(crate) fn line(change: &Change) -> String {
    let (sign, more) = match change {
        Change::Set { .. } => ("+", String::new()),
        Change::Edit { .. } => ("~", String::new()),
        Change::Delete { .. } => ("-", String::new()),
        Change::Move { to, .. } => (
            ">",
            match to {
                Destination::Top => " to the top".to_owned(),
                Destination::Bottom => " to the bottom".to_owned(),
                Destination::Before(other) => format!(" before {other}"),
                Destination::After(other) => format!(" after {other}"),
            },
        ),
    };
    format!("{sign} {} {}{more}", kind_of(place(change)), name_of(place(change)))
}

impl Planned {
    /// The same without deleting service objects that somebody names in one of these trees; nothing when nobody does.
    pub(crate) fn sparing(&self, trees: [&Element; 2]) -> Option<Self> {
        let changes = services::without_named(&self.changes, trees)?;
        let digest = hex_digest(format!("{changes:?}").as_bytes());
        Some(Self { changes, digest })
    }

    /// The edits of the candidate.
    pub(crate) fn edits(&self) -> Vec<Edit> {
        let edit = |change: &Change| match change.clone() {
            Change::Set { xpath, content } => Edit::Set { xpath, element: content },
            Change::Edit { xpath, entry } => Edit::Replace { xpath, element: entry },
            Change::Delete { xpath } => Edit::Delete { xpath },
            Change::Move { xpath, to } => {
                let (place, dst) = match to {
                    Destination::Top => ("top", String::new()),
                    Destination::Bottom => ("bottom", String::new()),
                    Destination::Before(other) => ("before", other),
                    Destination::After(other) => ("after", other),
                };
                Edit::Move { xpath, r#where: place.to_owned(), dst }
            }
        };
        self.changes.iter().map(edit).collect()
    }

    /// The changes in words, as many as are kept.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.changes.iter().take(LINES_MAX).map(line).collect();
        if self.changes.len() > LINES_MAX {
            lines.push(format!("and {} more", self.changes.len() - LINES_MAX));
        }
        lines
    }

    /// The difference that the edits make, for whoever approves them.
    pub(crate) fn text(&self, running: &Arc<Element>) -> String {
        let mut after = running.clone();
        for edit in self.edits() {
            // One that is refused is told when it is made.
            let _ = edit.apply(&mut after);
        }
        let mut text = difference(running, &after, false);
        if text.len() > TEXT_MAX {
            let mut end = TEXT_MAX;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push_str("\n… and more");
        }
        text
    }
}
