//! What does a configuration say after some of its security rules changed?
//!
//! [`Standing`] remembers of a reading without errors what each security rule contributed to it, and what rules are
//! read against. A rule that changed is read alone; everything else stands. What such a reading cannot tell is left
//! to a whole one, so that the diagnostics are always those of [`read`](super::read), in another order.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::context::{Context, NAME_LENGTH_MAX};
use super::coverage::{self, Unknown};
use super::node::Node;
use super::objects::{self, Objects};
use super::rules::Known;
use super::{DeviceConfig, Report, Scope, SecurityRule, read_noting, security};
use crate::diagnostic::{Diagnostic, Severity};
use crate::tree::Element;

/// What is not enforced, by path of tags.
pub(super) type Notes = Vec<(String, Unknown)>;

/// One security rule as it was read.
#[derive(Clone, Debug)]
pub struct RuleRead {
    /// What it says.
    pub rule: Arc<SecurityRule>,
    /// What is to be said about it.
    pub(super) diagnostics: Vec<Diagnostic>,
    /// What of it is not enforced, by path of tags.
    pub(super) notes: Notes,
}

/// The parts of a reading.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) objects: Objects,
    /// What is said about anything but security rules.
    pub(super) rest: Vec<Diagnostic>,
    pub(super) rules: Vec<RuleRead>,
    /// What stands in rules twice or is not enforced, in the order of the tree.
    pub(super) covered: Vec<(*const Element, Vec<Diagnostic>, Notes)>,
}

/// What a walk found in one rule.
#[derive(Debug)]
pub(super) struct Covered {
    pub(super) rule: *const Element,
    pub(super) diagnostics: Range<usize>,
    pub(super) notes: Notes,
}

/// A device's configuration that was read without an error.
#[derive(Debug)]
pub struct Standing {
    objects: Objects,
    rest: Vec<Diagnostic>,
    rules: Vec<RuleRead>,
    /// How many rules have a name.
    names: HashMap<String, usize>,
}

impl Standing {
    /// Reads a configuration as [`read`](super::read) does. `rules` are the elements of its security rules in the order
    /// of evaluation. No standing when there are errors, or rules that are not among those.
    pub fn new(root: &Element, rules: &[Arc<Element>]) -> (Report, Option<Self>) {
        let mut parts = Parts::default();
        let report = read_noting(root, Scope::Device, Some(&mut parts));
        let Parts { objects, rest, rules: mut read, covered } = parts;
        let is_same = read.len() == rules.len()
            && covered.len() == rules.len()
            && covered.iter().zip(rules).all(|(covered, rule)| covered.0 == Arc::as_ptr(rule));
        if report.config.is_none() || !is_same {
            return (report, None);
        }
        let mut names = HashMap::with_capacity(read.len());
        for (rule, (_, diagnostics, notes)) in read.iter_mut().zip(covered) {
            rule.diagnostics.extend(diagnostics);
            rule.notes = notes;
            *names.entry(rule.rule.name.clone()).or_default() += 1;
        }
        (report, Some(Self { objects, rest, rules: read, names }))
    }

    /// Reads one rule of a pushed rule base (`pre-rulebase` or `post-rulebase`) against the configuration that was read.
    /// `None` when only a whole reading tells what it means.
    pub fn read_rule(&self, config: &DeviceConfig, rule: &Element, rulebase: &str) -> Option<RuleRead> {
        let above = ["config", "panorama", "vsys"].map(Element::new);
        let vsys = Element::entry("vsys1");
        let below = [rulebase, "security", "rules"].map(Element::new);
        let root = Node::root(&above[0]).below(&above[1]).below(&above[2]).below(&vsys);
        let node = below.iter().fold(root, |node, element| node.below(element)).below(rule);
        let mut context = Context::new(Scope::Device);
        context.entry_name(&node, NAME_LENGTH_MAX)?;
        let known = Known { config, objects: &self.objects };
        let read = security::rule(&mut context, &known, &node);
        let mut addresses = read.source.iter().chain(&read.destination);
        if addresses.any(|name| objects::is_predefined_region(name) && config.address_group(name).is_none()) {
            return None;
        }
        let notes = coverage::check_rule(&mut context, &node);
        let is_wrong = context.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
        let is_alone = !is_wrong && !context.has_suggested();
        is_alone.then(|| RuleRead { rule: Arc::new(read), diagnostics: context.diagnostics, notes })
    }

    /// Puts rules in the place of others: a place from 0, how many go, and what comes, the last place first. `false` when
    /// a name is not unique then; this value is of no use any more.
    #[must_use]
    pub fn replace(&mut self, splices: Vec<(usize, usize, Vec<RuleRead>)>) -> bool {
        let mut added = Vec::new();
        for (from, removed, rules) in splices {
            added.extend(rules.iter().map(|read| Arc::clone(&read.rule)));
            if from + removed > self.rules.len() {
                return false;
            }
            for gone in self.rules.splice(from..from + removed, rules) {
                if let Some(count) = self.names.get_mut(&gone.rule.name) {
                    *count -= 1;
                }
            }
        }
        added.iter().all(|rule| {
            let count = self.names.entry(rule.name.clone()).or_default();
            *count += 1;
            *count == 1
        })
    }

    /// All that is to be said.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        let of_rules = self.rules.iter().flat_map(|rule| &rule.diagnostics);
        let notes = coverage::merged(self.rules.iter().flat_map(|rule| &rule.notes));
        self.rest.iter().chain(of_rules).cloned().chain(notes).collect()
    }
}
