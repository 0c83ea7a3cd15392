//! Which rules of a device did an edit of the manager's tree change?
//!
//! Trees share what an edit did not touch, so two of them are compared by identity. When they differ in the security
//! rules of device groups and Shared alone, a device's [`Standing`] follows by reading the rules that changed; anything
//! else asks for a whole validation.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::variables::holds_variable;
use super::{Variables, groups, origin, render_device};
use crate::device::{self, SecurityRule, Validated};
use crate::diagnostic::Diagnostic;
use crate::manager::{self, DeviceAssignment};
use crate::tree::{Child, Element};

/// Rules that may differ in one list before a whole validation is the shorter way.
const CHANGES_MAX: usize = 200;
/// How far ahead the rule is looked for that both lists have again.
const LOOK_AHEAD: usize = 64;

/// A device that was rendered and read without an error, and what it was rendered from.
#[derive(Debug)]
pub(super) struct Standing {
    serial: String,
    /// In the order of evaluation.
    segments: Vec<Segment>,
    config: Arc<Validated>,
    read: device::Standing,
    variables: Variables,
    /// What rendering says.
    rendered: Vec<Diagnostic>,
}

/// The security rules of one scope in one of the pushed rule bases.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// `pre-rulebase` or `post-rulebase`.
    rulebase: &'static str,
    /// A device group, or `shared`.
    scope: String,
    container: Option<Arc<Element>>,
    /// What stands in it, and whether it is a rule that is for the device.
    rules: Vec<(Arc<Element>, bool)>,
}

/// Rules that take the place of others of a device.
#[derive(Clone, Debug)]
pub struct Splice {
    /// Place of the first, from 0.
    pub from: usize,
    /// How many go.
    pub removed: usize,
    /// What comes.
    pub rules: Vec<Arc<SecurityRule>>,
}

/// A device as it was read for the first time.
#[derive(Debug)]
pub(super) struct Found {
    /// With origins in the manager's tree.
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) config: Option<Arc<Validated>>,
    /// If the next configuration may follow from it.
    pub(super) standing: Option<Standing>,
    pub(super) variables: Variables,
}

impl Standing {
    /// Renders and reads a device that has a stack.
    pub(super) fn find(root: &Element, serial: &str) -> Found {
        let rendered = render_device(root, root, serial);
        let assignment = super::assignment(root, serial);
        let stack = assignment.as_ref().and_then(|device| device.stack.clone());
        let variables = Variables::of(root, stack.as_deref(), Some(serial));
        let group = assignment.and_then(|device| device.device_group);
        let segments = group.map(|group| segments(root, &group, Some(serial))).unwrap_or_default();
        let elements = pushed_rules(&rendered.element);
        let (report, read) = device::Standing::new(&rendered.element, &elements);
        let diagnostics = all_at_manager(&rendered.diagnostics, report.diagnostics, root, &variables);
        let config = report.config.map(Arc::new);
        let is_whole = segments.iter().map(Segment::count).sum::<usize>() == elements.len();
        let standing = config.clone().zip(read).filter(|_| is_whole).map(|(config, read)| Self {
            serial: serial.to_owned(),
            segments,
            config,
            read,
            variables: variables.clone(),
            rendered: rendered.diagnostics,
        });
        Found { diagnostics, config, standing, variables }
    }

    /// Everything that validating the device says, with origins in the manager's tree.
    pub(super) fn diagnostics(&self, root: &Element) -> Vec<Diagnostic> {
        all_at_manager(&self.rendered, self.read.diagnostics(), root, &self.variables)
    }

    /// Follows to a tree that differs in security rules only, see [`only_rules_differ`]; what that changes, the last
    /// place first. `None` when only a whole validation tells what it means: this value is of no use any more.
    pub(super) fn follow(&mut self, root: &Element) -> Option<Vec<Splice>> {
        let mut reads = Vec::new();
        let mut before = 0;
        for segment in &mut self.segments {
            let count = segment.count();
            let new = container(root, &segment.scope, segment.rulebase);
            if !is_same(segment.container.as_ref(), new.as_ref()) {
                let children: Vec<&Arc<Element>> = new.iter().flat_map(|rules| rules.elements()).collect();
                let changes = differences(&segment.rules, &children)?;
                for (old, inserted) in &changes {
                    let gone = &segment.rules[old.clone()];
                    if gone.iter().any(|(rule, _)| holds_variable(rule)) {
                        return None;
                    }
                    let from = before + count_of(&segment.rules[..old.start]);
                    let mut rules = Vec::new();
                    for rule in children[inserted.clone()].iter().filter(|rule| groups::is_for(rule, &self.serial)) {
                        let marked = groups::marked(rule, &segment.scope);
                        let alone = !holds_variable(rule);
                        rules.push(self.read.read_rule(&self.config, &marked, segment.rulebase).filter(|_| alone)?);
                    }
                    reads.push((from, count_of(gone), rules));
                }
                for (old, inserted) in changes.into_iter().rev() {
                    let rules =
                        children[inserted].iter().map(|rule| (Arc::clone(rule), groups::is_for(rule, &self.serial)));
                    segment.rules.splice(old, rules);
                }
                segment.container = new;
            }
            before += count;
        }
        reads.reverse();
        let splices = reads.iter().map(|(from, removed, rules)| Splice {
            from: *from,
            removed: *removed,
            rules: rules.iter().map(|read| Arc::clone(&read.rule)).collect(),
        });
        let splices = splices.collect();
        self.read.replace(reads).then_some(splices)
    }
}

impl Segment {
    fn count(&self) -> usize {
        count_of(&self.rules)
    }

    /// Whether the tree has the same rules there.
    pub(super) fn stands_in(&self, root: &Element) -> bool {
        is_same(self.container.as_ref(), container(root, &self.scope, self.rulebase).as_ref())
    }
}

fn count_of(rules: &[(Arc<Element>, bool)]) -> usize {
    rules.iter().filter(|(_, is_for)| *is_for).count()
}

fn is_same(old: Option<&Arc<Element>>, new: Option<&Arc<Element>>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => Arc::ptr_eq(old, new),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// The rules that a device of a group gets, or the group alone.
pub(super) fn segments(root: &Element, group: &str, serial: Option<&str>) -> Vec<Segment> {
    let mut scopes = vec![group.to_owned()];
    scopes.extend(manager::ancestors(root, group));
    scopes.push("shared".to_owned());
    let segment = |scope: &String, rulebase| {
        let container = container(root, scope, rulebase);
        let rules = container.iter().flat_map(|rules| rules.elements());
        let is_for = |rule: &Element| serial.is_none_or(|serial| groups::is_for(rule, serial));
        let rules = rules.map(|rule| (Arc::clone(rule), is_for(rule))).collect();
        Segment { rulebase, scope: scope.clone(), container, rules }
    };
    let pre = scopes.iter().rev().map(|scope| segment(scope, "pre-rulebase"));
    let post = scopes.iter().map(|scope| segment(scope, "post-rulebase"));
    pre.chain(post).collect()
}

fn container(root: &Element, scope: &str, rulebase: &str) -> Option<Arc<Element>> {
    let scope = match scope {
        "shared" => root.child("shared"),
        group => manager::container(root, "device-group")?.entry_named(group),
    };
    scope?.child(rulebase)?.child("security")?.child("rules").cloned()
}

/// The elements of a rendered device's pushed security rules.
fn pushed_rules(rendered: &Element) -> Vec<Arc<Element>> {
    let vsys = rendered.descend(&["panorama", "vsys"]).and_then(|vsys| vsys.entry_named("vsys1"));
    let bases = vsys.into_iter().flat_map(|vsys| ["pre-rulebase", "post-rulebase"].map(|base| vsys.child(base)));
    let rules = bases.flatten().filter_map(|base| base.descend(&["security", "rules"]));
    rules.flat_map(|rules| rules.elements().cloned().collect::<Vec<_>>()).collect()
}

/// What rendering says stands in the manager's tree already; what reading says is about the device's.
fn all_at_manager(
    rendered: &[Diagnostic],
    read: impl IntoIterator<Item = Diagnostic>,
    root: &Element,
    variables: &Variables,
) -> Vec<Diagnostic> {
    let read =
        read.into_iter().map(|diagnostic| Diagnostic { origin: origin::rebase(diagnostic.origin), ..diagnostic });
    let found = rendered.iter().cloned().chain(read);
    found
        .map(|diagnostic| {
            let origin = origin::with_variables(diagnostic.origin, root, variables);
            Diagnostic { origin, ..diagnostic }
        })
        .collect()
}

/// Ranges of the one list that the other has replaced, in order; `None` when there are too many.
fn differences(old: &[(Arc<Element>, bool)], new: &[&Arc<Element>]) -> Option<Vec<(Range<usize>, Range<usize>)>> {
    let is_same =
        |at: usize, to: usize| old.get(at).zip(new.get(to)).is_some_and(|((old, _), new)| Arc::ptr_eq(old, new));
    let mut changes: Vec<(Range<usize>, Range<usize>)> = Vec::new();
    let (mut at, mut to, mut changed) = (0, 0, 0);
    while at < old.len() || to < new.len() {
        if is_same(at, to) {
            (at, to) = (at + 1, to + 1);
            continue;
        }
        let ahead = (1..=LOOK_AHEAD).find_map(|ahead| {
            let (inserted, gone) = (is_same(at, to + ahead), is_same(at + ahead, to));
            (inserted || gone).then_some(if inserted { (0, ahead) } else { (ahead, 0) })
        });
        let (gone, inserted) = ahead.unwrap_or((1, 1));
        let (gone, inserted) = (gone.min(old.len() - at), inserted.min(new.len() - to));
        changed += gone + inserted;
        if changed > CHANGES_MAX {
            return None;
        }
        changes.push((at..at + gone, to..to + inserted));
        (at, to) = (at + gone, to + inserted);
    }
    Some(changes)
}

/// Whether two trees differ in security rules of device groups and Shared, and in what is no part of any device, only.
pub(super) fn only_rules_differ(old: &Element, new: &Element) -> bool {
    let rules = |old: &Element, new: &Element| same_but(old, new, |tag, _, _| tag == "rules");
    let rulebase =
        |old: &Element, new: &Element| same_but(old, new, |tag, old, new| tag == "security" && rules(old, new));
    let scope = |old: &Element, new: &Element| {
        same_but(old, new, |tag, old, new| matches!(tag, "pre-rulebase" | "post-rulebase") && rulebase(old, new))
    };
    let groups = |old: &Element, new: &Element| same_but(old, new, |_, old, new| scope(old, new));
    let device =
        |old: &Element, new: &Element| same_but(old, new, |tag, old, new| tag == "device-group" && groups(old, new));
    same_but(old, new, |tag, old, new| match tag {
        "devices" => same_but(old, new, |_, old, new| device(old, new)),
        "shared" => scope(old, new),
        // Administrators.
        "mgt-config" => same_but(old, new, |tag, _, _| tag != "devices"),
        _ => false,
    })
}

/// Whether two elements have the same children, apart from those of one tag for which `inner` says that it is no matter.
fn same_but(old: &Element, new: &Element, inner: impl Fn(&str, &Element, &Element) -> bool) -> bool {
    old.name == new.name
        && old.attributes == new.attributes
        && old.children.len() == new.children.len()
        && old.children.iter().zip(&new.children).all(|pair| match pair {
            (Child::Element(old), Child::Element(new)) => {
                Arc::ptr_eq(old, new) || (old.name == new.name && inner(&old.name, old, new))
            }
            (old, new) => old == new,
        })
}

/// Devices that get the same, by what tells them apart: stack (of `template_root`), group (of `root`), and themselves
/// where they have variables of their own or are the target of a rule.
pub fn classes(root: &Element, template_root: &Element) -> Vec<Vec<DeviceAssignment>> {
    let targets = groups::targets(root);
    let mut devices: BTreeMap<String, DeviceAssignment> = BTreeMap::new();
    for device in manager::devices(root) {
        devices.insert(device.serial.clone(), DeviceAssignment { stack: None, ..device });
    }
    for DeviceAssignment { serial, stack, .. } in manager::devices(template_root) {
        let device = DeviceAssignment { serial: serial.clone(), ..DeviceAssignment::default() };
        devices.entry(serial).or_insert(device).stack = stack;
    }
    let stacks = manager::container(template_root, "template-stack");
    let own: HashSet<(&str, &str)> = stacks
        .into_iter()
        .flat_map(Element::entries)
        .filter_map(|(stack, element)| Some((stack, element.child("devices")?)))
        .flat_map(|(stack, devices)| {
            let with_variables = devices.entries().filter(|(_, device)| device.child("variable").is_some());
            with_variables.map(move |(serial, _)| (stack, serial))
        })
        .collect();
    let mut classes: Vec<Vec<DeviceAssignment>> = Vec::new();
    let mut places = HashMap::new();
    for device in devices.into_values() {
        let has_own =
            device.stack.as_ref().is_some_and(|stack| own.contains(&(stack.as_str(), device.serial.as_str())));
        let serial = (has_own || targets.contains(&device.serial)).then(|| device.serial.clone());
        let place = *places.entry((device.stack.clone(), device.device_group.clone(), serial)).or_insert_with(|| {
            classes.push(Vec::new());
            classes.len() - 1
        });
        if let Some(class) = classes.get_mut(place) {
            class.push(device);
        }
    }
    classes
}
