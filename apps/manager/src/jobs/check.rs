//! What is wrong with a configuration, or worth knowing?
//!
//! The whole of it is checked, and for every kind of device that has a place in it the rendered configuration is
//! compiled as the firewall will do. What was found last is remembered: of a configuration that differs from that one
//! in security rules only, those rules are looked at, and whatever they can concern. The answers are the same.

use std::sync::{Arc, Mutex};

use bartizan_model::diagnostic::{Diagnostic, Severity};
use bartizan_model::render::Whole;
use bartizan_model::schema;
use bartizan_model::tree::Element;
use bartizan_policy::check::Check;

use crate::automation::{catalogue, settings};
use crate::logs::retention;
use crate::tags::notify;
use crate::{accounts, certificates, coverage, forwarding, lock, schedules};

/// Checks configurations one after the other.
#[derive(Default)]
pub(crate) struct Checker {
    last: Mutex<Option<Checked>>,
}

/// A configuration without errors and what was made of it.
struct Checked {
    root: Arc<Element>,
    whole: Whole,
    /// The compiled form of each class.
    compiled: Vec<Check>,
}

impl Checker {
    /// Everything found about a candidate. `running` is what it is to take the place of.
    pub(crate) fn diagnose(&self, running: &Element, candidate: &Arc<Element>) -> Vec<Diagnostic> {
        let mut diagnostics = diagnose_any(running, candidate);
        diagnostics.extend(forwarding::plan::check(candidate));
        diagnostics.extend(coverage::check(candidate));
        diagnostics.extend(retention::check(candidate));
        diagnostics.extend(schedules::check(candidate));
        diagnostics.extend(notify::check(candidate));
        diagnostics.extend(settings::check(candidate));
        diagnostics.extend(catalogue::check(candidate));
        let mut last = lock(&self.last);
        if let Some(checked) = last.take().and_then(|checked| checked.follow(candidate)) {
            diagnostics.extend(checked.whole.diagnostics(candidate));
            if !is_broken(&diagnostics) {
                diagnostics.extend(checked.warnings());
            }
            *last = Some(checked);
            return diagnostics;
        }
        let whole = Whole::new(candidate);
        diagnostics.extend(whole.diagnostics(candidate));
        if is_broken(&diagnostics) {
            return diagnostics;
        }
        let mut compiled = Vec::new();
        let mut is_right = true;
        for class in &whole.classes {
            let Some(config) = &class.config else { continue };
            match Check::new(config.clone()) {
                Ok(check) => compiled.push(check),
                Err(errors) => {
                    is_right = false;
                    diagnostics.extend(errors.into_iter().map(|error| class.at_manager(error, candidate)));
                }
            }
        }
        let checked = Checked { root: candidate.clone(), whole, compiled };
        diagnostics.extend(checked.warnings());
        *last = Some(checked).filter(|_| is_right);
        diagnostics
    }
}

impl Checked {
    /// The same of another configuration, if it is near enough.
    fn follow(mut self, candidate: &Arc<Element>) -> Option<Self> {
        let changes = self.whole.follow(&self.root, candidate)?;
        for (check, splices) in self.compiled.iter_mut().zip(changes) {
            for splice in splices {
                if !check.replace(splice.from, splice.removed, &splice.rules) {
                    return None;
                }
            }
        }
        self.root = candidate.clone();
        Some(self)
    }

    /// What compiling says.
    fn warnings(&self) -> Vec<Diagnostic> {
        let classes = self.whole.classes.iter().filter(|class| class.config.is_some());
        let of_class = classes.zip(&self.compiled).flat_map(|(class, check)| {
            check.warnings().into_iter().map(|warning| class.at_manager(warning, &self.root))
        });
        of_class.collect()
    }
}

/// What is found about a manager's configuration, and a firewall's own.
pub(super) fn diagnose_any(running: &Element, candidate: &Element) -> Vec<Diagnostic> {
    let mut diagnostics = schema::warnings(running, candidate);
    diagnostics.extend(accounts::check(candidate));
    diagnostics.extend(certificates::check::check(candidate));
    diagnostics
}

fn is_broken(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
}

#[cfg(test)]
mod tests;
