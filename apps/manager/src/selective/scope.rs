//! What would a push bring to whom, and who made it?
//!
//! For every device group and stack: the edits that were committed since its devices were pushed last, and that touch
//! it. A page or a script preselects what has some, of everybody or of one administrator.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bartizan_model::manager;
use bartizan_model::xpath::XPath;

use super::Standing;
use crate::accounts::{Caller, Right};
use crate::app::App;
use crate::configuration::edit::Edit;
use crate::configuration::partial::place::{Place, places};
use crate::store::side_versions::CommittedEdit;
use crate::store::{from_db, to_db};
use crate::topology::Topology;

/// Edits that are looked at, the newest ones.
const EDITS_MAX: usize = 20_000;

/// What is committed and not pushed.
#[derive(Clone, Debug, Default)]
pub(crate) struct PushScope {
    /// The running version.
    pub(crate) version: u64,
    /// Device groups, in the order of the configuration.
    pub(crate) groups: Vec<Part>,
    /// Template stacks.
    pub(crate) stacks: Vec<Part>,
    /// The edits, the oldest first.
    pub(crate) changes: Vec<Change>,
    /// There are more edits than were looked at.
    pub(crate) is_cut: bool,
}

/// A device group or a stack.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    /// Name.
    pub(crate) name: String,
    /// Its devices that lack edits which touch it, or were never pushed.
    pub(crate) devices: Vec<String>,
    /// Those of them that were never pushed: they get everything.
    pub(crate) new_devices: Vec<String>,
    /// Who made the edits, and how many of them.
    pub(crate) admins: BTreeMap<String, usize>,
}

/// An edit that some device lacks.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// `shared`, `device-group`, `template` or `template-stack`.
    pub(crate) kind: &'static str,
    /// Of which; `shared` for Shared.
    pub(crate) location: String,
    /// The object, or the last step of the XPath.
    pub(crate) name: String,
    /// Where.
    pub(crate) xpath: String,
    /// `set`, `edit` and so on.
    pub(crate) action: &'static str,
    /// Who.
    pub(crate) admin: String,
    /// With which version it was committed.
    pub(crate) version: u64,
    /// When it was made.
    pub(crate) time_us: i64,
}

/// An edit with what it touches.
struct Touching {
    line: CommittedEdit,
    edit: Edit,
    places: Vec<Place>,
}

/// What devices have: the number in the inventory of their policy and of their templates.
type Pushed = HashMap<String, (Option<i64>, Option<i64>)>;

/// What somebody may push of what is not pushed, of these administrators alone if there are some.
pub(crate) async fn read(app: &App, caller: &Caller, admins: &BTreeSet<String>) -> anyhow::Result<PushScope> {
    let snapshot = app.configuration.snapshot();
    let root = snapshot.running.clone();
    let topology = Topology::read(&root).within(caller.role.reach(Right::Commit).as_ref());
    let devices = app.store.devices().await?.into_iter();
    let pushed: Pushed =
        devices.map(|device| (device.serial, (device.policy_version, device.template_version))).collect();
    let mut standings: HashMap<i64, Standing> = HashMap::new();
    for number in numbers(&pushed) {
        // What is not kept any more lacks everything.
        standings.insert(number, Standing::of(app, number).await.unwrap_or_default());
    }
    let until = to_db(snapshot.version);
    let after = standings.values().map(|standing| standing.origin).min().unwrap_or(until);
    let mut edits = app.store.committed_edits(after, until, EDITS_MAX + 1).await?;
    let is_cut = edits.len() > EDITS_MAX;
    if is_cut {
        edits.remove(0);
    }
    let wanted = edits.into_iter().filter(|line| admins.is_empty() || admins.contains(&line.author));
    let edits: Vec<Touching> = wanted
        .filter_map(|line| {
            let edit: Edit = serde_json::from_str(&line.edit).ok()?;
            caller.may_see(edit.xpath()).then(|| Touching { places: places(&edit), edit, line })
        })
        .collect();
    let mut reading = Reading { edits: &edits, standings: &standings, changed: BTreeSet::new() };
    let mut scope = PushScope { version: snapshot.version, is_cut, ..PushScope::default() };
    for group in &topology.groups {
        let above = manager::ancestors(&root, &group.name);
        let has = |serial: &String| pushed.get(serial).and_then(|(policy, _)| *policy);
        scope.groups.push(reading.part(&group.name, &group.devices, has, |place| match place {
            Place::Shared | Place::Everything | Place::DeviceGroup(None) => true,
            Place::DeviceGroup(Some(name)) => *name == group.name || above.contains(name),
            Place::Template(_) | Place::Stack(_) | Place::DeviceAndNetwork => false,
        }));
    }
    for stack in &topology.stacks {
        let has = |serial: &String| pushed.get(serial).and_then(|(_, templates)| *templates);
        scope.stacks.push(reading.part(&stack.name, &stack.devices, has, |place| match place {
            Place::Everything | Place::Template(None) | Place::Stack(None) => true,
            Place::Template(Some(name)) => stack.templates.contains(name),
            Place::Stack(Some(name)) => *name == stack.name,
            Place::Shared | Place::DeviceGroup(_) | Place::DeviceAndNetwork => false,
        }));
    }
    scope.changes = reading.changed.iter().flat_map(|at| edits[*at].changes()).collect();
    Ok(scope)
}

fn numbers(pushed: &Pushed) -> BTreeSet<i64> {
    pushed.values().flat_map(|(policy, templates)| [*policy, *templates]).flatten().collect()
}

/// What is compared.
struct Reading<'e> {
    edits: &'e [Touching],
    standings: &'e HashMap<i64, Standing>,
    /// Edits that some device lacks.
    changed: BTreeSet<usize>,
}

impl Reading<'_> {
    /// A group or a stack: `has` gives the number of what a device has, `touches` tells what is about it.
    fn part(
        &mut self,
        name: &str,
        devices: &[String],
        has: impl Fn(&String) -> Option<i64>,
        touches: impl Fn(&Place) -> bool,
    ) -> Part {
        let touching: Vec<usize> =
            (0..self.edits.len()).filter(|at| self.edits[*at].places.iter().any(&touches)).collect();
        let mut part = Part { name: name.to_owned(), ..Part::default() };
        let mut missing = BTreeSet::new();
        let mut of_standing: HashMap<i64, bool> = HashMap::new();
        for serial in devices {
            let Some((number, standing)) = has(serial).and_then(|number| Some((number, self.standings.get(&number)?)))
            else {
                part.devices.push(serial.clone());
                part.new_devices.push(serial.clone());
                continue;
            };
            let lacks = *of_standing.entry(number).or_insert_with(|| {
                let lacking: Vec<usize> =
                    touching.iter().copied().filter(|at| standing.lacks(&self.edits[*at].line)).collect();
                missing.extend(lacking.iter().copied());
                !lacking.is_empty()
            });
            if lacks {
                part.devices.push(serial.clone());
            }
        }
        for at in &missing {
            *part.admins.entry(self.edits[*at].line.author.clone()).or_default() += 1;
        }
        self.changed.extend(missing);
        part
    }
}

impl Touching {
    fn changes(&self) -> impl Iterator<Item = Change> {
        self.places.iter().filter_map(|place| {
            let (kind, location) = located(place)?;
            Some(Change {
                kind,
                location,
                name: object(self.edit.xpath()),
                xpath: self.edit.xpath().to_owned(),
                action: self.edit.name(),
                admin: self.line.author.clone(),
                version: from_db(self.line.version),
                time_us: self.line.time_us,
            })
        })
    }
}

/// What a place is called; nothing for what no device gets.
pub(crate) fn located(place: &Place) -> Option<(&'static str, String)> {
    let named = |name: &Option<String>| name.clone().unwrap_or_default();
    match place {
        Place::Shared | Place::Everything => Some(("shared", "shared".to_owned())),
        Place::DeviceGroup(name) => Some(("device-group", named(name))),
        Place::Template(name) => Some(("template", named(name))),
        Place::Stack(name) => Some(("template-stack", named(name))),
        Place::DeviceAndNetwork => None,
    }
}

/// The name of the last entry of an XPath, or its last tag.
fn object(xpath: &str) -> String {
    let Ok(parsed) = XPath::parse(xpath) else { return xpath.to_owned() };
    let steps = parsed.paths.first().map(|path| path.steps.as_slice()).unwrap_or_default();
    let name = steps.iter().rev().find_map(|step| step.attribute("name"));
    name.or_else(|| steps.last().and_then(|step| step.name())).unwrap_or_default().to_owned()
}
