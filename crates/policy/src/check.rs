//! Which warnings does a configuration have after some of its security rules changed?
//!
//! What a commit asks again and again: the tables were compiled once, and each change is a rule or a few. [`Check`]
//! keeps the tables of that time; rules that changed since stand beside them, and a look-up asks both. Whether
//! another rule is still reached follows from the look-ups that showed it (`shadow::Proof`), so that only rules whose
//! look-ups the change can answer otherwise are looked at again. The warnings are those of [`compile`] and
//! [`shadow::warnings`], in another order.
//!
//! [`compile`]: crate::compile::compile

use std::ops::Deref;
use std::sync::Arc;

use bartizan_model::device::{DeviceConfig, SecurityRule, Validated};
use bartizan_model::diagnostic::Diagnostic;

use crate::bits::POOL_BYTES_MAX;
use crate::classifier::Query;
use crate::compile::compile_device;
use crate::decide::ZoneFlow;
use crate::facts::Facts;
use crate::names::Ids;
use crate::objects::{Index, Objects};
use crate::security::{Rule, Zones, resolve};
use crate::shadow::{self, Budget, Example, Naming, Proof, Reach, RuleBase};
use crate::tables::{Compiled, RuleId, ZoneId};

/// Rules beside the tables; with more of them the tables are made anew.
const BESIDE_MAX: usize = 256;
/// Address ranges of all rules beside the tables.
const RANGES_MAX: usize = 100_000;
/// Bytes of rule tables that leave no doubt that some more rules stay within the bound.
const TABLES_MAX: usize = POOL_BYTES_MAX / 4;

/// A configuration that was compiled, and the security rules that it has by now.
pub struct Check {
    config: Config,
    index: Index,
    ids: Ids,
    tables: Compiled,
    /// What compiling says about anything but security rules.
    rest: Vec<Diagnostic>,
    rules: Vec<Entry>,
    /// Where the rules of the tables are now.
    places: Vec<Option<u32>>,
    /// Places of the rules beside the tables, in order.
    beside: Vec<usize>,
}

/// [`Validated`], or what tests of this crate have.
type Config = Arc<dyn Deref<Target = DeviceConfig> + Send + Sync>;

/// A rule as it is now.
struct Entry {
    source: Arc<SecurityRule>,
    form: Form,
    /// What resolving it says.
    noted: Vec<Diagnostic>,
    answer: Answer,
    /// Look-ups beside the first.
    extra: usize,
}

enum Form {
    /// As in the tables, at this place there.
    Table(u32),
    Beside(Box<Rule>),
}

/// Whether it is ever reached, and how that is known.
enum Answer {
    /// It takes no part.
    Idle,
    /// The first flow that comes to mind reaches it.
    First(ZoneFlow),
    Proven(Box<(Reach, bool, Proof)>),
}

impl Check {
    /// Compiles a configuration.
    ///
    /// # Errors
    /// As [`compile`](crate::compile::compile).
    pub fn new(config: Arc<Validated>) -> Result<Self, Vec<Diagnostic>> {
        Self::of(config)
    }

    fn of(config: Config) -> Result<Self, Vec<Diagnostic>> {
        let mut ids = Ids::default();
        let mut noted = Vec::new();
        let mut tables = compile_device(&config, &Facts::default(), &mut ids, 1, None, &mut noted)?;
        let form = |at: usize| Form::Table(at as u32);
        let mut rules: Vec<Entry> = config
            .security_rules
            .iter()
            .enumerate()
            .map(|(at, rule)| Entry {
                source: Arc::clone(rule),
                form: form(at),
                noted: Vec::new(),
                answer: Answer::Idle,
                extra: 0,
            })
            .collect();
        let mut rest: Vec<Option<Diagnostic>> = std::mem::take(&mut tables.warnings).into_iter().map(Some).collect();
        for (at, range) in noted {
            if let (Some(rule), Some(about)) = (rules.get_mut(at), rest.get_mut(range)) {
                rule.noted = about.iter_mut().filter_map(Option::take).collect();
            }
        }
        let places = (0..rules.len()).map(|at| Some(at as u32)).collect();
        let index = Index::new(&config);
        let rest = rest.into_iter().flatten().collect();
        let mut check = Self { config, index, ids, tables, rest, rules, places, beside: Vec::new() };
        let mut budget = Budget::default();
        for at in 0..check.rules.len() {
            check.ask(at, &mut budget);
        }
        Ok(check)
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Puts rules in the place of `removed` ones from place `from` on. They are known to be right. `false` when it takes
    /// a new compilation to tell what that means; this value is of no use any more then.
    #[must_use]
    pub fn replace(&mut self, from: usize, removed: usize, inserted: &[Arc<SecurityRule>]) -> bool {
        let Some(gone) = self.rules.get(from..from + removed) else { return false };
        let gone: Vec<RuleId> = (from..from + gone.len()).filter_map(|at| Some(self.rule(at)?.id)).collect();
        let Some(new) = self.resolve(inserted) else { return false };
        let (end, shift) = (from + new.len(), new.len() != removed);
        for entry in self.rules.splice(from..from + removed, new) {
            if let Form::Table(at) = entry.form
                && let Some(place) = self.places.get_mut(at as usize)
            {
                *place = None;
            }
        }
        if shift {
            for (at, entry) in self.rules.iter().enumerate().skip(end) {
                if let Form::Table(table) = entry.form
                    && let Some(place) = self.places.get_mut(table as usize)
                {
                    *place = Some(at as u32);
                }
            }
        }
        let is_beside = |(at, entry): (usize, &Entry)| matches!(entry.form, Form::Beside(_)).then_some(at);
        self.beside = self.rules.iter().enumerate().filter_map(is_beside).collect();
        let ranges = |at: &usize| self.rule(*at).map_or(0, ranges_of);
        if self.beside.len() > BESIDE_MAX
            || self.beside.iter().map(ranges).sum::<usize>() > RANGES_MAX
            || self.tables.security.bytes() > TABLES_MAX
        {
            return false;
        }
        self.ask_again(from, end, &gone)
    }

    /// All warnings.
    pub fn warnings(&self) -> Vec<Diagnostic> {
        let mut warnings = self.rest.clone();
        let mut undecided = 0;
        for (at, entry) in self.rules.iter().enumerate() {
            warnings.extend_from_slice(&entry.noted);
            let Answer::Proven(proven) = &entry.answer else { continue };
            undecided += usize::from(proven.1);
            if let (Reach::Shadowed(by), Some(rule)) = (&proven.0, self.rule(at)) {
                let called = Naming {
                    rule: |id: RuleId| self.ids.rules.name(id.index()),
                    zone: |id: ZoneId| self.ids.zones.name(id.index()),
                };
                warnings.push(shadow::warning(rule.id, by, Example::of(self, at), &rule.origin, &called));
            }
        }
        warnings.extend(shadow::undecided_warning(undecided));
        warnings
    }

    fn resolve(&mut self, rules: &[Arc<SecurityRule>]) -> Option<Vec<Entry>> {
        let facts = Facts::default();
        let mut objects = Objects::with(&self.config, &facts, Some(&self.index));
        let known = self.config.zones.iter().map(|zone| &*zone.name).collect();
        let zones = Zones { names: &self.ids.zones, known };
        let mut entries = Vec::with_capacity(rules.len());
        for source in rules {
            let mut noted = Vec::new();
            let id = RuleId(self.ids.rules.intern(&source.name) as u32);
            let rule = resolve(source, id, &zones, &mut objects, &mut noted).ok()?;
            let form = Form::Beside(Box::new(rule));
            entries.push(Entry { source: Arc::clone(source), form, noted, answer: Answer::Idle, extra: 0 });
        }
        Some(entries)
    }

    /// Finds out about the rules in `from..end`, which are new, and those behind them that this can concern. `false`
    /// when the bound on look-ups for all rules would be felt.
    fn ask_again(&mut self, from: usize, end: usize, gone: &[RuleId]) -> bool {
        let mut concerned: Vec<usize> = (from..end).collect();
        let new: Vec<&Rule> = (from..end).filter_map(|at| self.rule(at)).filter(|rule| rule.idle.is_none()).collect();
        let takes = |flow: &ZoneFlow| {
            let query = flow.query();
            new.iter().any(|rule| rule.rows.iter().any(|row| row.accepts(&query)))
        };
        for (at, entry) in self.rules.iter().enumerate().skip(end) {
            let is_concerned = match &entry.answer {
                Answer::Idle => false,
                Answer::First(flow) => takes(flow),
                Answer::Proven(proven) => {
                    let Proof { lookups, is_cut } = &proven.2;
                    *is_cut
                        || lookups
                            .iter()
                            .any(|(flow, found)| found.is_some_and(|found| gone.contains(&found)) || takes(flow))
                }
            };
            if is_concerned {
                concerned.push(at);
            }
        }
        let mut budget = Budget::default();
        for at in concerned {
            self.ask(at, &mut budget);
        }
        Budget::is_ample(self.rules.iter().map(|entry| entry.extra).sum())
    }

    fn ask(&mut self, at: usize, budget: &mut Budget) {
        let (mut answer, mut extra) = (Answer::Idle, 0);
        if self.rule(at).is_some_and(|rule| rule.idle.is_none()) {
            let mut proof = Proof::default();
            let (reach, is_intricate, steps) = budget.reach(self, at, &mut proof);
            extra = steps;
            answer = match reach {
                Reach::Flow(flow) if proof.lookups.len() == 1 => Answer::First(flow),
                reach => Answer::Proven(Box::new((reach, is_intricate, proof))),
            };
        }
        if let Some(entry) = self.rules.get_mut(at) {
            (entry.answer, entry.extra) = (answer, extra);
        }
    }

    /// The rule at a place, as it was handed in.
    pub fn source(&self, at: usize) -> Option<&Arc<SecurityRule>> {
        self.rules.get(at).map(|entry| &entry.source)
    }
}

impl RuleBase for Check {
    fn zones(&self) -> usize {
        self.ids.zones.len()
    }

    fn rule(&self, at: usize) -> Option<&Rule> {
        match &self.rules.get(at)?.form {
            Form::Table(table) => self.tables.security.rules.get(*table as usize),
            Form::Beside(rule) => Some(rule),
        }
    }

    fn matching(&self, query: &Query) -> Option<(usize, &Rule)> {
        let place = |table: usize| self.places.get(table).copied().flatten();
        let in_tables = self.tables.security.matching_of(query, |table| place(table).is_some());
        let in_tables = in_tables.and_then(place).map(|at| at as usize);
        let matches = |at: &&usize| {
            let rule = self.rule(**at).filter(|rule| rule.idle.is_none());
            rule.is_some_and(|rule| rule.rows.iter().any(|row| row.accepts(query)))
        };
        let beside = self.beside.iter().find(matches).copied();
        let at = in_tables.into_iter().chain(beside).min()?;
        Some((at, self.rule(at)?))
    }
}

fn ranges_of(rule: &Rule) -> usize {
    let sets = rule.rows.iter().flat_map(|row| [&row.source, &row.destination]);
    sets.map(|set| set.v4.as_slice().len() + set.v6.as_slice().len()).sum()
}

#[cfg(test)]
#[path = "check/tests.rs"]
mod tests;
