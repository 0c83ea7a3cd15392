//! Which NAT rule is for a flow, and what does it make of its addresses?

pub(crate) mod build;
mod spread;
mod suggest;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bartizan_model::device::Distribution;
use bartizan_model::diagnostic::Origin;

use crate::classifier::{Classifier, Field, Query, Row};
use crate::decide::Choose;
use crate::security::{Idle, ZoneList};
use crate::tables::{DestinationNat, IfaceId, NatRuleId, PortPool, Ranges, RuleInfo, RulePool, SourceNat};

/// Addresses of both families.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pools {
    pub(crate) v4: Ranges,
    pub(crate) v6: Ranges,
    pub(crate) of_interface: bool,
}

impl Pools {
    fn of(&self, client: IpAddr) -> &Ranges {
        if client.is_ipv4() { &self.v4 } else { &self.v6 }
    }

    fn ports(&self, client: IpAddr) -> PortPool {
        PortPool { ranges: Arc::clone(self.of(client)), of_interface: self.of_interface }
    }
}

/// A rule after names were resolved, or the reverse of a bidirectional one.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) id: NatRuleId,
    pub(crate) origin: Origin,
    pub(crate) rows: Vec<Row>,
    /// Only for flows whose original destination is routed out by this interface.
    pub(crate) to_interface: Option<IfaceId>,
    pub(crate) source: SourceAction,
    pub(crate) destination: Option<DestinationAction>,
    /// Implied by the bidirectional rule before it.
    pub(crate) reverse: bool,
    pub(crate) idle: Option<Idle>,
    /// Addresses the firewall answers for in ARP and NDP where they are attached.
    pub(crate) claims: Vec<(IpAddr, IpAddr)>,
    pub(crate) to: ZoneList,
}

/// What a rule does to the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SourceAction {
    Keep,
    Ports { pools: Pools, persistent: bool },
    Hosts { pools: Pools, fallback: Option<Pools> },
    Static(Shift),
}

/// What a rule does to the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DestinationAction {
    pub(crate) target: Target,
    pub(crate) port: Option<u16>,
}

/// Where a rule leads flows to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    One(Shift),
    Spread(Spread),
}

/// Several translated destinations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spread {
    pub(crate) v4: Arc<[IpAddr]>,
    pub(crate) v6: Arc<[IpAddr]>,
    pub(crate) distribution: Distribution,
}

/// One range of addresses onto another of equal size, or anything onto one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shift {
    /// First address of the original range; `None` when everything becomes `translated`.
    pub(crate) original: Option<IpAddr>,
    /// First address of the translated range.
    pub(crate) translated: IpAddr,
}

impl Shift {
    fn apply(&self, ip: IpAddr) -> IpAddr {
        match (self.original, self.translated, ip) {
            (None, translated, _) => translated,
            (Some(IpAddr::V4(first)), IpAddr::V4(translated), IpAddr::V4(ip)) => {
                let offset = ip.to_bits().wrapping_sub(first.to_bits());
                Ipv4Addr::from_bits(translated.to_bits().wrapping_add(offset)).into()
            }
            (Some(IpAddr::V6(first)), IpAddr::V6(translated), IpAddr::V6(ip)) => {
                let offset = ip.to_bits().wrapping_sub(first.to_bits());
                Ipv6Addr::from_bits(translated.to_bits().wrapping_add(offset)).into()
            }
            // Rows of a rule accept only the family it translates.
            _ => ip,
        }
    }
}

/// Protocols whose destination port a rule can change.
const PORT_PROTOCOLS: [u8; 3] = [6, 17, 132];

impl Rule {
    /// What becomes of a source.
    pub(crate) fn source_nat(&self, source: IpAddr) -> Option<SourceNat> {
        match &self.source {
            SourceAction::Keep => None,
            SourceAction::Static(shift) => Some(SourceNat::Static { address: shift.apply(source) }),
            SourceAction::Ports { pools, persistent } => {
                Some(SourceNat::DynamicIpAndPort { pool: pools.ports(source), persistent: *persistent })
            }
            SourceAction::Hosts { pools, fallback } => {
                let fallback = fallback.as_ref().map(|pools| pools.ports(source));
                let fallback = fallback.filter(|pool| !pool.ranges.is_empty());
                Some(SourceNat::DynamicIp { pool: Arc::clone(pools.of(source)), fallback })
            }
        }
    }

    /// Its pools, if it has any.
    pub(crate) fn pools(&self) -> Option<RulePool<'_>> {
        let (kind, ports, hosts) = match &self.source {
            SourceAction::Keep | SourceAction::Static(_) => return None,
            SourceAction::Ports { pools, persistent: false } => ("Dynamic IP/Port", Some(pools), None),
            SourceAction::Ports { pools, persistent: true } => ("Persistent Dynamic IP/Port", Some(pools), None),
            SourceAction::Hosts { pools, fallback } => ("Dynamic IP", fallback.as_ref(), Some(pools)),
        };
        Some(RulePool { rule: self.id, kind, ports: families(ports), hosts: families(hosts) })
    }

    /// What becomes of a destination.
    pub(crate) fn destination_nat<C: Choose>(&self, query: &Query, choose: &mut C) -> Option<DestinationNat> {
        let action = self.destination.as_ref()?;
        let port = action.port.filter(|_| PORT_PROTOCOLS.contains(&query.protocol));
        Some(match &action.target {
            Target::One(shift) => DestinationNat { address: shift.apply(query.destination), port, spread: None },
            Target::Spread(spread) => {
                let address = spread.pick(self.id, query.source, query.destination, choose)?;
                DestinationNat { address, port, spread: Some(spread.distribution) }
            }
        })
    }

    /// The fields that keep a flow from matching, by the row that comes closest; empty when it matches
    /// (but for `to_interface`).
    pub(crate) fn misses(&self, query: &Query) -> Vec<Field> {
        let rows = self.rows.iter().map(|row| row.misses(query).collect::<Vec<_>>());
        rows.min_by_key(Vec::len).unwrap_or_else(|| vec![Field::Service])
    }

    /// Whether it only keeps flows from being translated by later rules.
    pub(crate) fn exempts(&self) -> bool {
        self.source == SourceAction::Keep && self.destination.is_none()
    }
}

fn families(pools: Option<&Pools>) -> Vec<&Ranges> {
    pools.map_or_else(Vec::new, |pools| vec![&pools.v4, &pools.v6])
}

/// The rule base.
#[derive(Clone, Debug)]
pub(crate) struct NatTable {
    pub(crate) rules: Vec<Rule>,
    /// The rule of each row of the classifier.
    row_rules: Vec<u32>,
    classifier: Classifier,
}

impl NatTable {
    /// `None` when the tables would outgrow their bound.
    pub(crate) fn new(rules: Vec<Rule>, zones: usize) -> Option<Self> {
        let (mut rows, mut row_rules) = (Vec::new(), Vec::new());
        for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.idle.is_none()) {
            rows.extend(&rule.rows);
            row_rules.resize(rows.len(), at as u32);
        }
        let classifier = Classifier::new(&rows, zones, None)?;
        Some(Self { rules, row_rules, classifier })
    }

    /// The first rule for a flow whose original destination is routed out by `egress`.
    pub(crate) fn first(&self, query: &Query, egress: Option<IfaceId>) -> Option<&Rule> {
        let rule = |row: usize| self.row_rules.get(row).and_then(|at| self.rules.get(*at as usize));
        let leaves = |row| rule(row).is_some_and(|rule| rule.to_interface.is_none_or(|only| egress == Some(only)));
        self.classifier.first(query, leaves).and_then(rule)
    }

    pub(crate) fn info(&self, id: NatRuleId) -> Option<RuleInfo<'_>> {
        let written = self.rules.iter().filter(|rule| !rule.reverse);
        let found = written.zip(1..).find(|(rule, _)| rule.id == id);
        found.map(|(rule, position)| RuleInfo { position, verdict: None, origin: &rule.origin })
    }
}
