//! What does a NAT rule mean once its names are resolved?

use std::net::IpAddr;
use std::sync::Arc;

use bartizan_model::codes::{NAT_SIZE_MISMATCH, NAT_WITHOUT_ADDRESS, UNKNOWN_INTERFACE};
use bartizan_model::device::{Distribution, NatRule, PortPool, RuleKind, SourceTranslation};
use bartizan_model::diagnostic::Diagnostic;

use super::{DestinationAction, NatTable, Pools, Rule, Shift, SourceAction, Spread, Target};
use crate::classifier::Row;
use crate::codes;
use crate::names::Names;
use crate::objects::{Addresses, Objects};
use crate::ports::Ports;
use crate::ranges::{AddressSet, Ranges as RangeSet};
use crate::routing::build::link_local;
use crate::security::{Idle, Zones};
use crate::tables::{IfaceId, Interface, NatRuleId, Ranges};

/// Addresses of a dynamic-IP pool at most, as on PAN-OS (32000 there).
const DYNAMIC_IP_MAX: u128 = 32_768;

/// Destinations one rule spreads flows over at most.
const SPREAD_MAX: u128 = 1024;

/// What NAT rules refer to.
pub(crate) struct Context<'c, 'a> {
    pub(crate) zones: &'c Zones<'c>,
    pub(crate) objects: &'c mut Objects<'a>,
    pub(crate) interfaces: &'c [Option<Interface>],
    pub(crate) interface_ids: &'c dyn Fn(&str) -> Option<IfaceId>,
    pub(crate) names: &'c mut Names,
    pub(crate) diagnostics: &'c mut Vec<Diagnostic>,
    /// Somebody tries to find out what is not known yet.
    pub(crate) gathered: bool,
}

/// Resolves the rule base; a reverse rule follows the bidirectional rule that implies it. Errors go to the
/// diagnostics and leave the rule out; `None` when the tables would outgrow their bound.
pub(crate) fn compile<'a>(rules: &'a [NatRule], mut context: Context<'_, 'a>) -> Option<NatTable> {
    let mut compiled = Vec::with_capacity(rules.len());
    for rule in rules {
        match context.rule(rule) {
            Ok(rule) => compiled.extend(rule),
            Err(error) => context.diagnostics.push(error),
        }
    }
    super::suggest::reverse_rules(&compiled, context.names, context.diagnostics);
    NatTable::new(compiled, context.zones.names.len())
}

/// The families a rule is for.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Families {
    v4: bool,
    v6: bool,
}

impl Families {
    const BOTH: Self = Self { v4: true, v6: true };

    fn of(ip: IpAddr) -> Self {
        Self { v4: ip.is_ipv4(), v6: ip.is_ipv6() }
    }

    fn and(self, other: Self) -> Self {
        Self { v4: self.v4 && other.v4, v6: self.v6 && other.v6 }
    }

    fn keep(self, set: &Arc<AddressSet>) -> Arc<AddressSet> {
        if self == Self::BOTH {
            return Arc::clone(set);
        }
        let v4 = if self.v4 { set.v4.clone() } else { RangeSet::none() };
        let v6 = if self.v6 { set.v6.clone() } else { RangeSet::none() };
        Arc::new(AddressSet { v4, v6 })
    }
}

fn error(code: &'static str, rule: &NatRule, message: &str) -> Diagnostic {
    Diagnostic::error(code, rule.origin.clone(), format!("NAT rule `{}`: {message}", rule.name))
}

/// Size of a range less one.
fn extent((first, last): (IpAddr, IpAddr)) -> u128 {
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => u128::from(last.to_bits().wrapping_sub(first.to_bits())),
        (IpAddr::V6(first), IpAddr::V6(last)) => last.to_bits().wrapping_sub(first.to_bits()),
        _ => u128::MAX,
    }
}

impl<'a> Context<'_, 'a> {
    /// The rule, followed by its reverse if it has one.
    fn rule(&mut self, rule: &'a NatRule) -> Result<Vec<Rule>, Diagnostic> {
        let origin = &rule.origin;
        let id = NatRuleId(self.names.intern(&rule.name) as u32);
        let source = self.objects.address_list(&rule.source, origin)?;
        let destination = self.objects.address_list(&rule.destination, origin)?;
        let ports = self.objects.service_list(rule.service.as_slice(), origin)?;
        let from = self.zones.list(&rule.from, origin)?;
        let to = self.zones.list(&rule.to, origin)?;
        let to_interface = rule.to_interface.as_deref().filter(|name| *name != "any");
        let to_interface = to_interface.map(|name| self.interface(name, rule).map(|(id, _)| id)).transpose()?;
        let mut idle = rule.disabled.then_some(Idle::Disabled);
        for list in [&source, &destination] {
            if let Some(never) = self.warn_unknown(rule, list) {
                idle.get_or_insert(never);
            } else if list.set.is_none() {
                idle.get_or_insert_with(|| Idle::Unevaluated("a list that has no address now".into()));
            }
        }
        let mut compiled = Rule {
            id,
            origin: origin.clone(),
            rows: Vec::new(),
            to_interface,
            source: SourceAction::Keep,
            destination: None,
            reverse: false,
            idle,
            claims: Vec::new(),
            to: to.clone(),
        };
        // A rule that cannot match for want of its addresses has nothing to translate.
        let families = if matches!(compiled.idle, Some(Idle::Unevaluated(_))) {
            Families::BOTH
        } else {
            self.translations(rule, &mut compiled, &source.set, &destination.set)?
        };
        let row = |ports: &Arc<Ports>| Row {
            from: from.clone(),
            to: to.clone(),
            kind: RuleKind::Universal,
            source: families.keep(&source.set),
            destination: families.keep(&destination.set),
            ports: Arc::clone(ports),
        };
        compiled.rows = ports.iter().map(row).collect();
        let reverse = self.reverse(rule, &compiled, &source.set, &destination.set);
        Ok([Some(compiled), reverse].into_iter().flatten().collect())
    }

    /// Fills in what the rule translates; returns the families it can do so for.
    fn translations(
        &mut self,
        rule: &'a NatRule,
        compiled: &mut Rule,
        source: &Arc<AddressSet>,
        destination: &Arc<AddressSet>,
    ) -> Result<Families, Diagnostic> {
        let (action, mut families) = self.source(rule, source, &mut compiled.claims)?;
        compiled.source = action;
        if let Some(translation) = &rule.destination_translation {
            let (target, theirs) = match translation.distribution {
                Some(distribution) => self.spread(&translation.address, distribution, rule, compiled)?,
                None => self.one(&translation.address, rule, destination)?,
            };
            families = families.and(theirs);
            compiled.destination = Some(DestinationAction { target, port: translation.port });
            // A rule that never matches for want of its destinations still says what its own address is.
            if matches!(compiled.idle, Some(Idle::Unevaluated(_))) {
                return Ok(families);
            }
            if !destination.is_all() {
                compiled.claims.extend(families.keep(destination).ranges());
            }
        }
        if families.keep(source).is_none() || families.keep(destination).is_none() {
            let message = "original and translated addresses are of different families, so it would never match";
            return Err(error(codes::NAT_FAMILY_MISMATCH, rule, message));
        }
        Ok(families)
    }

    fn source(
        &mut self,
        rule: &'a NatRule,
        original: &Arc<AddressSet>,
        claims: &mut Vec<(IpAddr, IpAddr)>,
    ) -> Result<(SourceAction, Families), Diagnostic> {
        match &rule.source_translation {
            None => Ok((SourceAction::Keep, Families::BOTH)),
            Some(SourceTranslation::DynamicIpAndPort { pool, persistent }) => {
                let (pools, families) = self.port_pool(pool, rule, claims)?;
                Ok((SourceAction::Ports { pools, persistent: *persistent }, families))
            }
            Some(SourceTranslation::DynamicIp { addresses, fallback }) => {
                let (pools, families) = self.pool(addresses, rule, claims)?;
                let size = |ranges: &[(IpAddr, IpAddr)]| {
                    ranges.iter().fold(0_u128, |sum, range| sum.saturating_add(extent(*range)).saturating_add(1))
                };
                if size(&pools.v4).max(size(&pools.v6)) > DYNAMIC_IP_MAX {
                    let message = format!("a dynamic-IP pool has {DYNAMIC_IP_MAX} addresses at most");
                    return Err(error(NAT_SIZE_MISMATCH, rule, &message)
                        .with_help("translate to fewer addresses, or use `dynamic-ip-and-port`"));
                }
                let fallback = fallback.as_ref().map(|pool| self.port_pool(pool, rule, claims)).transpose()?;
                let fallback = fallback.map(|(pools, _)| pools);
                Ok((SourceAction::Hosts { pools, fallback }, families))
            }
            Some(SourceTranslation::Static { address, .. }) => {
                let translated = self.range(address, rule)?;
                let families = Families::of(translated.0);
                let originals = families.keep(original).ranges();
                let [range] = originals[..] else {
                    let message =
                        "a static source translation needs one original source: an address, a network or a range";
                    return Err(error(NAT_SIZE_MISMATCH, rule, message));
                };
                if extent(range) != extent(translated) {
                    let message = "original and translated source are of different sizes";
                    return Err(error(NAT_SIZE_MISMATCH, rule, message));
                }
                claims.push(translated);
                let shift = Shift { original: Some(range.0), translated: translated.0 };
                Ok((SourceAction::Static(shift), families))
            }
        }
    }

    /// The addresses of a pool of ports.
    fn port_pool(
        &mut self,
        pool: &'a PortPool,
        rule: &NatRule,
        claims: &mut Vec<(IpAddr, IpAddr)>,
    ) -> Result<(Pools, Families), Diagnostic> {
        let (interface, address) = match pool {
            PortPool::Addresses(names) => return self.pool(names, rule, claims),
            PortPool::Interface { interface, address } => (interface, address),
        };
        let (_, holder) = self.interface(interface, rule)?;
        let (dhcp, autoconf) = (holder.dhcp, holder.autoconf);
        let wanted = |own: &IpAddr| address.is_none_or(|address| address.addr() == *own) && !link_local(*own);
        let own = || holder.addresses.iter().map(|own| own.addr()).filter(wanted);
        let one = |ip: Option<IpAddr>| ip.map(|ip| (ip, ip)).into_iter().collect::<Ranges>();
        let (v4, v6) = (one(own().find(IpAddr::is_ipv4)), one(own().find(IpAddr::is_ipv6)));
        let mut families = Families { v4: !v4.is_empty(), v6: !v6.is_empty() };
        if v4.is_empty() && v6.is_empty() {
            if let Some(address) = address {
                let message = format!("`{address}` is not an address of `{interface}`");
                return Err(error(NAT_WITHOUT_ADDRESS, rule, &message));
            }
            let message = format!(
                "NAT rule `{}`: `{interface}` has no address yet; until it has, flows of this rule are dropped",
                rule.name
            );
            self.diagnostics.push(Diagnostic::warning(NAT_WITHOUT_ADDRESS, rule.origin.clone(), message));
            families.v4 = dhcp || !autoconf;
        }
        // Flows of a family whose address is yet to be learned are dropped until it is.
        families = Families { v4: families.v4 || dhcp, v6: families.v6 || autoconf };
        Ok((Pools { v4, v6, of_interface: true }, families))
    }

    /// Addresses that are named.
    fn pool(
        &mut self,
        names: &'a [String],
        rule: &NatRule,
        claims: &mut Vec<(IpAddr, IpAddr)>,
    ) -> Result<(Pools, Families), Diagnostic> {
        let pool = self.known(names, rule)?;
        let (v4, v6): (Vec<_>, Vec<_>) = pool.ranges().into_iter().partition(|(first, _)| first.is_ipv4());
        claims.extend(pool.ranges());
        let families = Families { v4: !v4.is_empty(), v6: !v6.is_empty() };
        Ok((Pools { v4: v4.into(), v6: v6.into(), of_interface: false }, families))
    }

    /// A destination for each original one.
    fn one(
        &mut self,
        address: &'a String,
        rule: &NatRule,
        original: &Arc<AddressSet>,
    ) -> Result<(Target, Families), Diagnostic> {
        let translated = self.range(address, rule)?;
        let shift = shift(original, translated).ok_or_else(|| {
            let message = "original and translated destination are of different sizes";
            error(NAT_SIZE_MISMATCH, rule, message)
                .with_help("translate to a single address, or to a range as large as the original one")
        })?;
        Ok((Target::One(shift), Families::of(translated.0)))
    }

    /// Several destinations for all flows; those that are not known yet are left out.
    fn spread(
        &mut self,
        address: &'a String,
        distribution: Distribution,
        rule: &NatRule,
        compiled: &mut Rule,
    ) -> Result<(Target, Families), Diagnostic> {
        let list = self.objects.address_list(std::slice::from_ref(address), &rule.origin)?;
        if let Some(never) = self.warn_unknown(rule, &list) {
            compiled.idle.get_or_insert(never);
        }
        let ranges = list.set.ranges();
        let total = ranges.iter().fold(0_u128, |sum, range| sum.saturating_add(extent(*range)).saturating_add(1));
        if total > SPREAD_MAX {
            let message = format!("`{address}` stands for more than {SPREAD_MAX} destinations");
            return Err(error(NAT_SIZE_MISMATCH, rule, &message).with_help("name the servers one by one"));
        }
        let members: Vec<IpAddr> = ranges.into_iter().flat_map(members).collect();
        let (v4, v6): (Vec<_>, Vec<_>) = members.into_iter().partition(IpAddr::is_ipv4);
        let mut families = Families { v4: !v4.is_empty(), v6: !v6.is_empty() };
        if v4.is_empty() && v6.is_empty() {
            families = Families::BOTH;
        }
        Ok((Target::Spread(Spread { v4: v4.into(), v6: v6.into(), distribution }), families))
    }

    /// The rule that a bidirectional static translation implies for flows from outside: from any zone, to
    /// the rule's destination zone, for the translated addresses.
    fn reverse(
        &mut self,
        rule: &NatRule,
        compiled: &Rule,
        source: &Arc<AddressSet>,
        destination: &Arc<AddressSet>,
    ) -> Option<Rule> {
        let Some(SourceTranslation::Static { bidirectional: true, .. }) = rule.source_translation else { return None };
        let SourceAction::Static(Shift { original: Some(original), translated }) = compiled.source else { return None };
        let outside = [*compiled.claims.first()?];
        let families = Families::of(translated);
        if rule.service.as_deref().is_some_and(|service| service != "any") {
            let message = format!("NAT rule `{}`: the reverse direction is translated for every service", rule.name);
            self.diagnostics.push(Diagnostic::warning(codes::NAT_REVERSE_SERVICE, rule.origin.clone(), message));
        }
        debug_assert!(families.keep(source).contains(original));
        Some(Rule {
            rows: vec![Row {
                from: None,
                to: compiled.to.clone(),
                kind: RuleKind::Universal,
                source: families.keep(destination),
                destination: Arc::new(AddressSet::of(&outside)),
                ports: Arc::new(Ports::Any),
            }],
            to_interface: None,
            source: SourceAction::Keep,
            destination: Some(DestinationAction {
                target: Target::One(Shift { original: Some(translated), translated: original }),
                port: None,
            }),
            reverse: true,
            claims: Vec::new(),
            ..compiled.clone()
        })
    }

    fn interface(&self, name: &str, rule: &NatRule) -> Result<(IfaceId, &Interface), Diagnostic> {
        let id = (self.interface_ids)(name);
        id.and_then(|id| Some((id, self.interfaces.get(id.index())?.as_ref()?)))
            .ok_or_else(|| error(UNKNOWN_INTERFACE, rule, &format!("`{name}` is not a known interface")))
    }

    /// A list whose addresses must all be known.
    fn known(&mut self, names: &'a [String], rule: &NatRule) -> Result<Arc<AddressSet>, Diagnostic> {
        let list = self.objects.address_list(names, &rule.origin)?;
        match list.unknown.first() {
            Some(unknown) => {
                let message = format!("cannot translate to {}, which is not resolved", unknown.member);
                Err(error(codes::NAT_TRANSLATED_ADDRESS, rule, &message))
            }
            None if list.set.is_all() || list.set.is_none() => {
                Err(error(codes::NAT_TRANSLATED_ADDRESS, rule, "the translated address stands for no or every address"))
            }
            None => Ok(list.set),
        }
    }

    /// A name or literal that must stand for one range of one family.
    fn range(&mut self, name: &'a String, rule: &NatRule) -> Result<(IpAddr, IpAddr), Diagnostic> {
        match self.known(std::slice::from_ref(name), rule)?.ranges()[..] {
            [range] => Ok(range),
            _ => {
                let message = format!("`{name}` must be one address, network or range to translate to");
                Err(error(codes::NAT_TRANSLATED_ADDRESS, rule, &message))
            }
        }
    }

    /// Warns about members that are not known; the reason never to match when no other member is left.
    fn warn_unknown(&mut self, rule: &NatRule, list: &Addresses) -> Option<Idle> {
        let unknown = list.unknown.first()?;
        let member = &unknown.member;
        let never = list.set.is_none();
        let effect = if never { "never matches" } else { "matches only its other addresses" };
        let message = format!("NAT rule `{}`: {member} has no known address, so the rule {effect}", rule.name);
        if self.gathered || !unknown.pending {
            self.diagnostics.push(Diagnostic::warning(codes::UNRESOLVED_ADDRESS, rule.origin.clone(), message));
        }
        never.then(|| Idle::Unevaluated(member.clone()))
    }
}

/// The addresses of a range of one family.
fn members((first, last): (IpAddr, IpAddr)) -> Vec<IpAddr> {
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            (first.to_bits()..=last.to_bits()).map(|bits| std::net::Ipv4Addr::from_bits(bits).into()).collect()
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            (first.to_bits()..=last.to_bits()).map(|bits| std::net::Ipv6Addr::from_bits(bits).into()).collect()
        }
        _ => Vec::new(),
    }
}

/// How one original set maps onto a translated range; `None` when the sizes do not fit.
fn shift(original: &Arc<AddressSet>, translated: (IpAddr, IpAddr)) -> Option<Shift> {
    if translated.0 == translated.1 {
        return Some(Shift { original: None, translated: translated.0 });
    }
    match Families::of(translated.0).keep(original).ranges()[..] {
        [range] if extent(range) == extent(translated) => {
            Some(Shift { original: Some(range.0), translated: translated.0 })
        }
        _ => None,
    }
}
