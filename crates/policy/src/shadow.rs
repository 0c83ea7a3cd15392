//! Which security rules never have a say, because rules before them take all their flows?
//!
//! A flow of the rule is looked up. If the rule itself answers, the flow is the proof that it can be reached.
//! If a rule before it does, all that rule takes is put aside, and a flow of what is left is looked up; when
//! nothing is left the rule is shadowed by those that answered. So a rule costs a look-up or two, however
//! many rules there are, and a rule that is shadowed by several together is found as well.
//!
//! What was asked to find that out is remembered as a [`Proof`], so that after a change of other rules it is known
//! whether the answer can be another one (`check.rs`).
//!
//! Members whose addresses change by themselves (names, lists, dynamic groups) are any address for the rule
//! that is checked, and a rule that has them shadows nothing.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use bartizan_model::device::RuleKind;
use bartizan_model::diagnostic::{Diagnostic, Origin};

use crate::bits::WORD;
use crate::classifier::{Query, Row};
use crate::codes;
use crate::decide::ZoneFlow;
use crate::ports::{PROTOCOLS, Ports};
use crate::ranges::{Address, AddressSet, Ranges};
use crate::security::Rule;
use crate::tables::{Compiled, RuleId, ZoneId};

/// Look-ups for one rule before it is left undecided.
const STEPS_MAX: usize = 1000;
/// Look-ups for one check of a whole rule base beside one for each rule.
const EXTRA_STEPS_MAX: usize = 500_000;
/// Pieces that are left of a rule before it is left undecided.
const PIECES_MAX: usize = 1000;
/// Rules that are named in a warning.
const NAMED_MAX: usize = 5;

/// What can reach a rule.
#[derive(Clone, Debug)]
pub enum Reach {
    /// This flow, for one.
    Flow(ZoneFlow),
    /// Nothing: these rules before it take everything.
    Shadowed(Vec<RuleId>),
    /// Not known: it is off, stands for no flow at all, or was too intricate to be decided.
    Undecided,
}

/// What was found in a rule base.
#[derive(Clone, Debug, Default)]
pub struct Shadows {
    /// Rules that nothing can reach, each with those that take its flows.
    pub shadowed: Vec<(RuleId, Vec<RuleId>)>,
    /// Active rules that were too intricate to be decided, or came after the check's bound.
    pub undecided: usize,
}

/// A rule base in which rules are looked for.
pub(crate) trait RuleBase {
    /// How many zones have ids.
    fn zones(&self) -> usize;
    /// The rule at a place from 0.
    fn rule(&self, at: usize) -> Option<&Rule>;
    /// The rule that matches, with its place.
    fn matching(&self, query: &Query) -> Option<(usize, &Rule)>;
}

impl RuleBase for Compiled {
    fn zones(&self) -> usize {
        self.ids().zones.len()
    }

    fn rule(&self, at: usize) -> Option<&Rule> {
        self.security.rules.get(at)
    }

    fn matching(&self, query: &Query) -> Option<(usize, &Rule)> {
        self.security.matching(query)
    }
}

/// Look-ups that led to an answer: as long as each gives the same rule, the answer is the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proof {
    /// Flows, and the rules that take them.
    pub(crate) lookups: Vec<(ZoneFlow, Option<RuleId>)>,
    /// More look-ups than are remembered.
    pub(crate) is_cut: bool,
}

/// Look-ups of one proof that are remembered.
const PROOF_MAX: usize = 32;

impl Proof {
    fn matching<'b, B: RuleBase>(&mut self, base: &'b B, flow: &ZoneFlow) -> Option<(usize, &'b Rule)> {
        let found = base.matching(&flow.query());
        if self.lookups.len() < PROOF_MAX {
            self.lookups.push((*flow, found.map(|(_, rule)| rule.id)));
        } else {
            self.is_cut = true;
        }
        found
    }
}

/// What is left of the bound on look-ups for a whole rule base.
pub(crate) struct Budget {
    left: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: EXTRA_STEPS_MAX }
    }
}

impl Budget {
    /// Checks one rule within the bound; whether it was too intricate, and the look-ups beside the first.
    pub(crate) fn reach<B: RuleBase>(&mut self, base: &B, at: usize, proof: &mut Proof) -> (Reach, bool, usize) {
        let mut steps = STEPS_MAX.min(self.left);
        let before = steps;
        let reach = reach_of(base, at, &mut steps, proof);
        let extra = (before - steps).saturating_sub(1).min(self.left);
        self.left -= extra;
        let is_intricate = matches!(reach, Reach::Undecided) && steps == 0;
        (reach, is_intricate, extra)
    }

    /// Whether so many look-ups leave every rule its full share.
    pub(crate) fn is_ample(extra: usize) -> bool {
        extra + STEPS_MAX < EXTRA_STEPS_MAX
    }
}

/// Checks every rule.
pub fn shadows(tables: &Compiled) -> Shadows {
    let mut found = Shadows::default();
    let mut budget = Budget::default();
    for (at, rule) in tables.security.rules.iter().enumerate().filter(|(_, rule)| rule.idle.is_none()) {
        let (reach, is_intricate, _) = budget.reach(tables, at, &mut Proof::default());
        match reach {
            Reach::Flow(_) => {}
            Reach::Shadowed(by) => found.shadowed.push((rule.id, by)),
            Reach::Undecided => found.undecided += usize::from(is_intricate),
        }
    }
    found
}

/// Checks one rule; `None` when this generation has no such rule.
pub fn reach(tables: &Compiled, rule: RuleId) -> Option<Reach> {
    let at = tables.security.rules.iter().position(|known| known.id == rule)?;
    Some(reach_of(tables, at, &mut STEPS_MAX.clone(), &mut Proof::default()))
}

/// One warning for each shadowed rule, and one if the check did not decide about all.
pub fn warnings(tables: &Compiled) -> Vec<Diagnostic> {
    let Shadows { shadowed, undecided } = shadows(tables);
    let places: HashMap<RuleId, usize> =
        tables.security.rules.iter().enumerate().map(|(at, rule)| (rule.id, at)).collect();
    let origin = |rule| tables.rule(rule).map(|info| info.origin.clone()).unwrap_or_default();
    let warning = |(rule, by): &(RuleId, Vec<RuleId>)| {
        let example = places.get(rule).and_then(|at| Example::of(tables, *at));
        let names = Naming { rule: |id| tables.rule_name(id), zone: |id| tables.zone_name(id) };
        warning(*rule, by, example, &origin(*rule), &names)
    };
    shadowed.iter().map(warning).chain(undecided_warning(undecided)).collect()
}

/// A flow of a shadowed rule, and the rule before it that takes it.
pub(crate) struct Example {
    flow: ZoneFlow,
    taken_by: RuleId,
}

impl Example {
    /// One of the rule at a place; none when its first rows have no flows of IPv4.
    pub(crate) fn of<B: RuleBase>(base: &B, at: usize) -> Option<Self> {
        let zones = base.zones();
        let first = |row: &Row| Some((first_flow(row, zones)?, matches!(*row.ports, Ports::Any)));
        let (mut flow, is_any) = base.rule(at)?.rows.iter().find_map(first)?;
        if is_any {
            // What is any is best shown by what everybody knows.
            flow = ZoneFlow { protocol: TCP, source_port: 49152, destination_port: 443, ..flow };
        }
        let (before, rule) = base.matching(&flow.query())?;
        (before < at).then_some(Self { flow, taken_by: rule.id })
    }
}

/// How rules and zones are called.
pub(crate) struct Naming<R, Z> {
    pub(crate) rule: R,
    pub(crate) zone: Z,
}

/// What is said of a shadowed rule.
pub(crate) fn warning<'n>(
    rule: RuleId,
    by: &[RuleId],
    example: Option<Example>,
    origin: &Origin,
    called: &Naming<impl Fn(RuleId) -> &'n str, impl Fn(ZoneId) -> &'n str>,
) -> Diagnostic {
    let name_of = &called.rule;
    let names: Vec<_> = by.iter().take(NAMED_MAX).map(|id| format!("`{}`", name_of(*id))).collect();
    let more = by.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let (name, names) = (name_of(rule), names.join(", "));
    let shown = example.map_or_else(String::new, |Example { flow, taken_by }| {
        let ZoneFlow { from, to, source, destination, protocol, destination_port, .. } = flow;
        let what = match protocol {
            TCP => format!("tcp to port {destination_port}"),
            UDP => format!("udp to port {destination_port}"),
            other => format!("protocol {other}"),
        };
        let (from, to) = ((called.zone)(from), (called.zone)(to));
        format!("; `{}` takes {what} from {source} in `{from}` to {destination} in `{to}`, for one", name_of(taken_by))
    });
    Diagnostic::warning(
        codes::SHADOWED_RULE,
        origin.clone(),
        format!("rule `{name}` never matches: {names}{more} before it take all its flows"),
    )
    .with_help(format!("move the rule up, or remove it{shown}"))
}

/// What is said of rules that were not decided about, if there are any.
pub(crate) fn undecided_warning(undecided: usize) -> Option<Diagnostic> {
    let message = || format!("whether {undecided} rules are shadowed was not decided: the check has a bound");
    (undecided > 0).then(|| Diagnostic::warning(codes::SHADOWED_RULE, Origin::default(), message()))
}

fn reach_of<B: RuleBase>(base: &B, at: usize, steps: &mut usize, proof: &mut Proof) -> Reach {
    let Some(rule) = base.rule(at).filter(|rule| rule.idle.is_none()) else { return Reach::Undecided };
    let zones = base.zones();
    // Most rules are reached by the first flow that comes to mind.
    let first = rule.rows.first().and_then(|row| first_flow(row, zones));
    if let Some(flow) = first.filter(|flow| proof.matching(base, flow).is_some_and(|(found, _)| found == at)) {
        *steps = steps.saturating_sub(1);
        return Reach::Flow(flow);
    }
    let mut by = BTreeSet::new();
    let v4 = family::<u32, B>(base, at, regions(rule, zones, rule.varies), &mut by, (steps, proof));
    let found = match v4 {
        Found::Covered => family::<u128, B>(base, at, regions(rule, zones, rule.varies), &mut by, (steps, proof)),
        found => found,
    };
    match found {
        Found::Reached(query) => Reach::Flow(query),
        // A rule that stands for no flow was taken nothing away from.
        Found::Covered if !by.is_empty() => {
            Reach::Shadowed(by.into_iter().filter_map(|at| Some(base.rule(at)?.id)).collect())
        }
        Found::Covered | Found::Undecided => Reach::Undecided,
    }
}

enum Found {
    Covered,
    Reached(ZoneFlow),
    Undecided,
}

fn family<K: Address, B: RuleBase>(
    base: &B,
    at: usize,
    mut open: Vec<Region<K>>,
    by: &mut BTreeSet<usize>,
    (steps, proof): (&mut usize, &mut Proof),
) -> Found {
    let zones = base.zones();
    while let Some(region) = open.pop() {
        if *steps == 0 || open.len() > PIECES_MAX {
            *steps = 0;
            return Found::Undecided;
        }
        *steps -= 1;
        let Some(flow) = region.flow(zones) else { continue };
        match proof.matching(base, &flow) {
            Some((before, rule)) if before < at && !rule.varies => {
                by.insert(before);
                let mut pieces = vec![region];
                for taken in regions(rule, zones, false) {
                    pieces = pieces.into_iter().flat_map(|piece| piece.without(&taken)).collect();
                }
                open.extend(pieces);
            }
            // What takes the flow now may not take it later.
            Some((before, _)) if before < at => return Found::Undecided,
            _ => return Found::Reached(flow),
        }
    }
    Found::Covered
}

/// The lowest IPv4 flow of a row.
fn first_flow(row: &Row, zones: usize) -> Option<ZoneFlow> {
    let every = || (0..zones).map(|zone| ZoneId(zone as u16));
    let listed = |zones: &Option<std::sync::Arc<[ZoneId]>>| match zones {
        Some(zones) => zones.to_vec(),
        None => every().collect(),
    };
    let (froms, tos) = (listed(&row.from), listed(if row.kind == RuleKind::Intrazone { &row.from } else { &row.to }));
    let (from, to) = froms.iter().find_map(|from| Some((*from, *tos.iter().find(|to| row.takes(*from, **to))?)))?;
    let ip = |set: &AddressSet| set.v4.as_slice().first().map(|(first, _)| first.ip());
    let (protocol, source_port, destination_port) = match &*row.ports {
        Ports::Any => (OTHER_NUMBER, 0, 0),
        Ports::Of { source, destination } => {
            let (ports, (number, _)) = destination.iter().zip(PROTOCOLS).find(|(ports, _)| !ports.is_none())?;
            (number, source.as_slice().first()?.0, ports.as_slice().first()?.0)
        }
    };
    let (source, destination) = (ip(&row.source)?, ip(&row.destination)?);
    Some(ZoneFlow { from, to, source, destination, protocol, source_port, destination_port })
}

/// Flows of one family, as a product of sets.
#[derive(Clone, Debug)]
struct Region<K> {
    /// Pairs of zones, a bit each, by source zone.
    pairs: Vec<u64>,
    /// A bit for each of [`PROTOCOLS`], and the next for all other protocols.
    protocols: u8,
    source: Ranges<K>,
    destination: Ranges<K>,
    source_ports: Ranges<u16>,
    ports: Ranges<u16>,
}

/// Protocols without ports, as a bit beside those of [`PROTOCOLS`].
const OTHER: u8 = 1 << PROTOCOLS.len();
/// One of them: GRE.
const OTHER_NUMBER: u8 = 47;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// The flows a rule is for; with `any` its addresses are taken for all of them.
fn regions<K: Address>(rule: &Rule, zones: usize, any: bool) -> Vec<Region<K>> {
    let addresses = |set: &AddressSet| if any { Ranges::all() } else { K::ranges_of(set).clone() };
    let mut regions = Vec::new();
    for row in &rule.rows {
        let region = |protocols, source_ports: &Ranges<u16>, ports: &Ranges<u16>| Region {
            pairs: pairs(row, zones),
            protocols,
            source: addresses(&row.source),
            destination: addresses(&row.destination),
            source_ports: source_ports.clone(),
            ports: ports.clone(),
        };
        match &*row.ports {
            Ports::Any => regions.push(region(OTHER * 2 - 1, &Ranges::all(), &Ranges::all())),
            Ports::Of { source, destination } => {
                let used = destination.iter().enumerate().filter(|(_, ports)| !ports.is_none());
                regions.extend(used.map(|(place, ports)| region(1 << place, source, ports)));
            }
        }
    }
    regions.retain(|region| !region.is_empty());
    regions
}

fn pairs(row: &Row, zones: usize) -> Vec<u64> {
    let mut pairs = vec![0; (zones * zones).div_ceil(WORD)];
    for from in 0..zones {
        for to in 0..zones {
            if row.takes(ZoneId(from as u16), ZoneId(to as u16)) {
                let bit = from * zones + to;
                pairs[bit / WORD] |= 1 << (bit % WORD);
            }
        }
    }
    pairs
}

impl<K: Address> Region<K> {
    fn is_empty(&self) -> bool {
        self.pairs.iter().all(|word| *word == 0)
            || self.protocols == 0
            || self.source.is_none()
            || self.destination.is_none()
            || self.source_ports.is_none()
            || self.ports.is_none()
    }

    /// One of its flows.
    fn flow(&self, zones: usize) -> Option<ZoneFlow> {
        let (word, bits) = self.pairs.iter().enumerate().find(|(_, bits)| **bits != 0)?;
        let pair = word * WORD + bits.trailing_zeros() as usize;
        let place = self.protocols.trailing_zeros() as usize;
        let protocol = PROTOCOLS.get(place).map_or(OTHER_NUMBER, |(number, _)| *number);
        let port = |ports: &Ranges<u16>| ports.as_slice().first().map(|(first, _)| *first);
        let ip = |set: &Ranges<K>| -> Option<IpAddr> { set.as_slice().first().map(|(first, _)| first.ip()) };
        Some(ZoneFlow {
            from: ZoneId((pair / zones) as u16),
            to: ZoneId((pair % zones) as u16),
            source: ip(&self.source)?,
            destination: ip(&self.destination)?,
            protocol,
            source_port: if protocol == OTHER_NUMBER { 0 } else { port(&self.source_ports)? },
            destination_port: if protocol == OTHER_NUMBER { 0 } else { port(&self.ports)? },
        })
    }

    /// The flows that are not in the other region, in disjoint pieces: those that differ in the first field,
    /// those that are alike in it and differ in the second, and so on.
    fn without(self, other: &Self) -> Vec<Self> {
        let both: Vec<u64> = self.pairs.iter().zip(&other.pairs).map(|(own, other)| own & other).collect();
        let common = Self {
            protocols: self.protocols & other.protocols,
            source: self.source.intersection(&other.source),
            destination: self.destination.intersection(&other.destination),
            source_ports: self.source_ports.intersection(&other.source_ports),
            ports: self.ports.intersection(&other.ports),
            pairs: both,
        };
        if common.is_empty() {
            return vec![self];
        }
        let apart = self.pairs.iter().zip(&other.pairs).map(|(own, other)| own & !other).collect();
        let mut pieces = vec![Self { pairs: apart, ..self.clone() }];
        let mut rest = Self { pairs: common.pairs, ..self };
        pieces.push(Self { protocols: rest.protocols & !other.protocols, ..rest.clone() });
        rest.protocols = common.protocols;
        pieces.push(Self { source: rest.source.without(&other.source), ..rest.clone() });
        rest.source = common.source;
        pieces.push(Self { destination: rest.destination.without(&other.destination), ..rest.clone() });
        rest.destination = common.destination;
        pieces.push(Self { source_ports: rest.source_ports.without(&other.source_ports), ..rest.clone() });
        rest.source_ports = common.source_ports;
        pieces.push(Self { ports: rest.ports.without(&other.ports), ..rest });
        pieces.retain(|piece| !piece.is_empty());
        pieces
    }
}

impl Row {
    /// Whether flows from one zone to the other are for the row.
    fn takes(&self, from: ZoneId, to: ZoneId) -> bool {
        let holds =
            |zones: &Option<std::sync::Arc<[ZoneId]>>, zone| zones.as_ref().is_none_or(|zones| zones.contains(&zone));
        holds(&self.from, from)
            && match self.kind {
                RuleKind::Universal => holds(&self.to, to),
                RuleKind::Intrazone => from == to,
                RuleKind::Interzone => from != to && holds(&self.to, to),
            }
    }
}

#[cfg(test)]
#[path = "shadow/tests.rs"]
pub(crate) mod tests;
