//! Which security rule has its say about a flow?

use std::collections::HashSet;
use std::sync::Arc;

use bartizan_model::codes::UNKNOWN_ZONE;
use bartizan_model::device::{Action, DefaultRule, RuleKind, SecurityRule, ServiceTimeouts};
use bartizan_model::diagnostic::{Diagnostic, Origin};

use crate::classifier::{Classifier, Field, Query, Row};
use crate::codes;
use crate::names::Names;
use crate::objects::{Addresses, Objects, TimedPorts, Unknown};
use crate::ports::Ports;
use crate::ranges::AddressSet;
use crate::tables::{RuleId, RuleInfo, RuleVerdict, ZoneId};

/// A rule after names were resolved.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) id: RuleId,
    pub(crate) origin: Origin,
    pub(crate) verdict: RuleVerdict,
    pub(crate) rows: Vec<Row>,
    /// Some of its addresses change by themselves: names, lists, dynamic groups.
    pub(crate) varies: bool,
    /// Why no flow is matched against the rule.
    pub(crate) idle: Option<Idle>,
    /// Idle times of its services.
    timeouts: Arc<[TimedPorts]>,
}

/// Why a rule takes no part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Idle {
    /// Switched off by the administrator.
    Disabled,
    /// It would allow by criteria that cannot be evaluated.
    Unevaluated(String),
    /// Its schedule is off now, or nobody says that it is on.
    OffSchedule(String),
}

/// The rule base.
#[derive(Clone, Debug)]
pub(crate) struct SecurityTable {
    pub(crate) rules: Vec<Rule>,
    pub(crate) intrazone: Rule,
    pub(crate) interzone: Rule,
    /// The rule of each row of the classifier.
    row_rules: Vec<u32>,
    classifier: Classifier,
    /// Position in `rules` by [`RuleId`], one past the end for ids of earlier generations.
    positions: Vec<u32>,
}

/// Name of the rule for flows inside a zone.
pub(crate) const INTRAZONE_DEFAULT: &str = "intrazone-default";
/// Name of the rule for flows between zones.
pub(crate) const INTERZONE_DEFAULT: &str = "interzone-default";

/// The zones of a list; `None` for any.
pub(crate) type ZoneList = Option<Arc<[ZoneId]>>;

/// What rules refer to besides objects.
pub(crate) struct Zones<'a> {
    pub(crate) names: &'a Names,
    /// Zones of this generation.
    pub(crate) known: HashSet<&'a str>,
}

impl Zones<'_> {
    /// A list as written in a rule; the empty list is any.
    pub(crate) fn list(&self, names: &[String], origin: &Origin) -> Result<ZoneList, Diagnostic> {
        if names.is_empty() || names.iter().any(|name| name == "any") {
            return Ok(None);
        }
        let id = |name: &String| {
            let id = self.names.position(name).filter(|_| self.known.contains(&**name));
            let message = || format!("`{name}` is not a known zone");
            id.map(|id| ZoneId(id as u16)).ok_or_else(|| Diagnostic::error(UNKNOWN_ZONE, origin.clone(), message()))
        };
        names.iter().map(id).collect::<Result<_, _>>().map(Some)
    }
}

/// A rule by its place, and which diagnostics are about it.
pub(crate) type Noted = (usize, std::ops::Range<usize>);

/// Resolves the rule base. Errors go to `diagnostics` and leave the rule out; `None` when the tables would
/// outgrow their bound. Tables of the generation before stay in use where no rule changed.
pub(crate) fn compile<'a>(
    rules: &'a [Arc<SecurityRule>],
    (intrazone, interzone): (&DefaultRule, &DefaultRule),
    zones: &Zones<'_>,
    objects: &mut Objects<'a>,
    names: &mut Names,
    (diagnostics, noted): (&mut Vec<Diagnostic>, &mut Vec<Noted>),
    previous: Option<&SecurityTable>,
) -> Option<SecurityTable> {
    let mut compiled = Vec::with_capacity(rules.len());
    for (at, rule) in rules.iter().enumerate() {
        let id = RuleId(names.intern(&rule.name) as u32);
        let before = diagnostics.len();
        match resolve(rule, id, zones, objects, diagnostics) {
            Ok(rule) => compiled.push(rule),
            Err(error) => diagnostics.push(error),
        }
        if diagnostics.len() > before {
            noted.push((at, before..diagnostics.len()));
        }
    }
    let mut default = |name: &str, rule: &DefaultRule| Rule {
        id: RuleId(names.intern(name) as u32),
        origin: rule.origin.clone(),
        verdict: RuleVerdict {
            action: rule.action,
            icmp_unreachable: false,
            log_start: rule.log_start,
            log_end: rule.log_end,
        },
        rows: Vec::new(),
        varies: false,
        idle: None,
        timeouts: Arc::new([]),
    };
    let defaults = (default(INTRAZONE_DEFAULT, intrazone), default(INTERZONE_DEFAULT, interzone));
    table(compiled, defaults, zones.names.len(), names.len(), previous)
}

fn table(
    rules: Vec<Rule>,
    (intrazone, interzone): (Rule, Rule),
    zones: usize,
    ids: usize,
    previous: Option<&SecurityTable>,
) -> Option<SecurityTable> {
    let (mut rows, mut row_rules) = (Vec::new(), Vec::new());
    let mut positions = vec![u32::MAX; ids];
    for (at, rule) in rules.iter().enumerate() {
        if let Some(position) = positions.get_mut(rule.id.index()).filter(|position| **position == u32::MAX) {
            *position = at as u32;
        }
        if rule.idle.is_none() {
            rows.extend(&rule.rows);
            row_rules.resize(rows.len(), at as u32);
        }
    }
    let classifier = Classifier::new(&rows, zones, previous.map(|previous| &previous.classifier))?;
    Some(SecurityTable { rules, intrazone, interzone, row_rules, classifier, positions })
}

pub(crate) fn resolve<'a>(
    rule: &'a SecurityRule,
    id: RuleId,
    zones: &Zones<'_>,
    objects: &mut Objects<'a>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Rule, Diagnostic> {
    let origin = &rule.origin;
    let facts = objects.facts();
    let allow = rule.action == Action::Allow;
    let mut idle = match &rule.unevaluated[..] {
        [first, ..] if allow => Some(Idle::Unevaluated(first.clone())),
        _ => None,
    };
    let mut varies = false;
    let mut side = |names: &'a [String], negate: bool| -> Result<Arc<AddressSet>, Diagnostic> {
        let list = objects.address_list(names, origin)?;
        varies |= list.varies;
        let (set, unevaluated) = evaluable(objects, &list, negate, allow);
        if let Some(unknown) = unevaluated {
            // What is not known yet is worth a word only where somebody tries to find out.
            if facts.gathered || !unknown.pending {
                diagnostics.push(unknown_member(rule, unknown, negate, list.set.is_none()));
            }
            if allow && negate {
                idle.get_or_insert_with(|| Idle::Unevaluated(unknown.member.clone()));
            }
        }
        Ok(set)
    };
    let source = side(&rule.source, rule.negate_source)?;
    let destination = side(&rule.destination, rule.negate_destination)?;
    if let Some(schedule) = rule.schedule.as_ref().filter(|schedule| !facts.schedules_on.contains(*schedule)) {
        idle = Some(Idle::OffSchedule(schedule.clone()));
    }
    if rule.disabled {
        idle = Some(Idle::Disabled);
    }
    let ports = objects.service_list(&rule.service, origin)?;
    let (from, to) = (zones.list(&rule.from, origin)?, zones.list(&rule.to, origin)?);
    let row = |ports: &Arc<Ports>| Row {
        from: from.clone(),
        to: to.clone(),
        kind: rule.kind,
        source: Arc::clone(&source),
        destination: Arc::clone(&destination),
        ports: Arc::clone(ports),
    };
    let verdict = RuleVerdict {
        action: rule.action,
        icmp_unreachable: rule.icmp_unreachable,
        log_start: rule.log_start,
        log_end: rule.log_end,
    };
    let timeouts = objects.service_timeouts(&rule.service, origin);
    Ok(Rule { id, origin: origin.clone(), verdict, rows: ports.iter().map(row).collect(), varies, idle, timeouts })
}

/// The addresses a list may be taken for when some are not known, and the first of those. What this
/// version cannot know never widens what is allowed: an allow rule goes by the addresses that are known and
/// never matches when it negates, any other rule takes the list for any. What is not known yet (a name, a
/// list that was never fetched) is no address, as on PAN-OS: an allow rule is as careful as before, a refusal
/// refuses nothing by it until it is known, which the warning says. To refuse everything until a name server
/// answers would cut off what the rule was never about.
fn evaluable<'l>(
    objects: &mut Objects<'_>,
    list: &'l Addresses,
    negate: bool,
    allow: bool,
) -> (Arc<AddressSet>, Option<&'l Unknown>) {
    let unknown = list.unknown.iter().find(|unknown| !unknown.pending).or(list.unknown.first());
    let any = unknown.is_some_and(|unknown| !unknown.pending) && !allow;
    let set = match (any, negate) {
        (true, _) => objects.every(),
        (false, true) => objects.complement(&list.set),
        (false, false) => Arc::clone(&list.set),
    };
    (set, unknown)
}

fn unknown_member(rule: &SecurityRule, unknown: &Unknown, negate: bool, none: bool) -> Diagnostic {
    let effect = match (rule.action == Action::Allow, unknown.pending, negate) {
        (true, _, true) => "so the rule never matches",
        (false, false, _) => "so the rule matches any address there",
        (false, true, true) => "so the rule does not except it",
        (false, true, false) => "so the rule refuses nothing by it until it has one",
        (_, _, false) if none => "so the rule never matches",
        (_, _, false) => "so the rule matches only its other addresses",
    };
    let state = if unknown.pending { "has no known address yet" } else { "is not resolved by this version" };
    let message = format!("rule `{}`: {} {state}, {effect}", rule.name, unknown.member);
    Diagnostic::warning(codes::UNRESOLVED_ADDRESS, rule.origin.clone(), message)
}

impl SecurityTable {
    /// The rule that decides; a default rule when no other matches.
    pub(crate) fn decide(&self, query: &Query) -> &Rule {
        self.matching(query).map_or_else(|| self.default_rule(query), |(_, rule)| rule)
    }

    /// As [`Self::matching`], among the rules that `accept` takes.
    pub(crate) fn matching_of(&self, query: &Query, accept: impl Fn(usize) -> bool) -> Option<usize> {
        let rule_of = |row: usize| self.row_rules.get(row).map(|at| *at as usize);
        rule_of(self.classifier.first(query, |row| rule_of(row).is_some_and(&accept))?)
    }

    /// The rule that matches, with its place from 0; `None` where a default rule decides.
    pub(crate) fn matching(&self, query: &Query) -> Option<(usize, &Rule)> {
        let row = self.classifier.first(query, |_| true)?;
        let at = *self.row_rules.get(row)? as usize;
        Some((at, self.rules.get(at)?))
    }

    pub(crate) fn default_rule(&self, query: &Query) -> &Rule {
        if query.to == Some(query.from) { &self.intrazone } else { &self.interzone }
    }

    /// Place of a rule from 1, the default rules after all others.
    pub(crate) fn position(&self, id: RuleId) -> Option<usize> {
        if let Some(at) = self.positions.get(id.index()).filter(|at| **at != u32::MAX) {
            return Some(*at as usize + 1);
        }
        let defaults = [&self.intrazone, &self.interzone];
        defaults.iter().position(|rule| rule.id == id).map(|at| self.rules.len() + 1 + at)
    }

    pub(crate) fn info(&self, id: RuleId) -> Option<RuleInfo<'_>> {
        let position = self.position(id)?;
        let rule = match position.checked_sub(self.rules.len() + 1) {
            None => self.rules.get(position - 1)?,
            Some(0) => &self.intrazone,
            Some(_) => &self.interzone,
        };
        Some(RuleInfo { position, verdict: Some(rule.verdict), origin: &rule.origin })
    }

    /// Memory of the look-up tables.
    pub(crate) fn bytes(&self) -> usize {
        self.classifier.bytes()
    }

    /// How many rules there are, default rules included.
    pub(crate) fn len(&self) -> usize {
        self.rules.len() + 2
    }
}

impl Rule {
    /// How long a silent session lives by the service it is of.
    pub(crate) fn timeouts(&self, query: &Query) -> ServiceTimeouts {
        let accepts =
            |timed: &&TimedPorts| timed.ports.accept(query.protocol, query.source_port, query.destination_port);
        self.timeouts.iter().find(accepts).map_or_else(ServiceTimeouts::default, |timed| timed.timeouts)
    }

    /// The fields that keep a flow from matching, by the row that comes closest; empty when it matches.
    pub(crate) fn misses(&self, query: &Query) -> Vec<Field> {
        let rows = self.rows.iter().map(|row| row.misses(query).collect::<Vec<_>>());
        rows.min_by_key(Vec::len).unwrap_or_else(|| vec![Field::Service])
    }

    /// Whether the rule is only for flows inside a zone.
    pub(crate) fn intrazone(&self) -> bool {
        self.rows.first().is_some_and(|row| row.kind == RuleKind::Intrazone)
    }
}
