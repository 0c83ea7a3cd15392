//! What happens to this flow?
//!
//! Ingress zone, NAT rule by the original destination's route, route of the translated destination,
//! egress zone, security rule by the original addresses, source translation: in this order, here and
//! nowhere else. [`Trace`] hears each stage; the engine passes [`Silent`], which costs nothing.

use std::net::IpAddr;

use bartizan_model::device::Distribution;

use crate::classifier::Query;
use crate::tables::{
    Among, Compiled, Decision, DestinationNat, DropCause, Flow, Forward, IfaceId, Interface, NatRuleId, Route,
    RouterId, RuleId, RuleVerdict, SourceNat, ZoneId,
};

/// Hears what each stage found. Every method may be left out.
pub trait Trace {
    /// The ingress interface's zone and router.
    fn ingress(&mut self, _zone: ZoneId, _router: RouterId) {}

    /// Where the destination as written in the packet leads, and the zone there: what NAT rules match on.
    fn original_route(&mut self, _router: RouterId, _destination: IpAddr, _route: Route, _zone: Option<ZoneId>) {}

    /// The NAT rule that matched, and what it does.
    fn nat(&mut self, _to: Option<ZoneId>, _egress: Option<IfaceId>, _translated: Option<&Translated>) {}

    /// Where the packet goes. Heard only when destination NAT changed the destination.
    fn route(&mut self, _router: RouterId, _destination: IpAddr, _route: Route) {}

    /// The zones the security rules are asked for, and the rule that had its say.
    fn security(&mut self, _from: ZoneId, _to: ZoneId, _rule: RuleId, _verdict: RuleVerdict) {}
}

/// The trace that hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Trace for Silent {}

/// Knows what a choice among several translated destinations depends on, besides the flow.
pub trait Choose {
    /// The destination that the flow has already, if it has one.
    fn keep(&self, _rule: NatRuleId) -> Option<IpAddr> {
        None
    }

    /// The next of `members`, for `round-robin` and `least-sessions`; the first when there is no reason for
    /// any.
    fn member(&mut self, _rule: NatRuleId, _distribution: Distribution, _members: &[IpAddr]) -> Option<IpAddr> {
        None
    }
}

/// Nothing went before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unmoved;

impl Choose for Unmoved {}

/// What a NAT rule makes of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translated {
    /// The rule.
    pub rule: NatRuleId,
    /// The rule is bidirectional, and this is its reverse direction.
    pub reverse: bool,
    /// New source.
    pub source: Option<SourceNat>,
    /// New destination.
    pub destination: Option<DestinationNat>,
}

/// Decides one flow, as if it were the first.
pub fn decide(tables: &Compiled, flow: &Flow) -> Decision {
    decide_traced(tables, flow, &mut Silent)
}

/// Decides one flow and tells how, as if it were the first.
pub fn decide_traced<T: Trace>(tables: &Compiled, flow: &Flow, trace: &mut T) -> Decision {
    decide_among(tables, flow, trace, &mut Unmoved)
}

/// Decides one flow by what went before, and tells how.
pub fn decide_among<T: Trace, C: Choose>(tables: &Compiled, flow: &Flow, trace: &mut T, choose: &mut C) -> Decision {
    match walk(tables, flow, trace, choose) {
        Ok(forward) => Decision::Ruled(forward),
        Err(cause) => Decision::Dropped(cause),
    }
}

fn walk<T: Trace, C: Choose>(
    tables: &Compiled,
    flow: &Flow,
    trace: &mut T,
    choose: &mut C,
) -> Result<Forward, DropCause> {
    let ingress = tables.interface(flow.ingress).ok_or(DropCause::NoZone)?;
    let from = ingress.zone.ok_or(DropCause::NoZone)?;
    let router = ingress.router.ok_or(DropCause::NoRouter)?;
    trace.ingress(from, router);

    let among = Among::of(flow);
    let original = tables.way(ingress, router, flow.destination, &among);
    let egress = interface_of(original);
    let original_zone = zone_of(tables, egress);
    trace.original_route(router, flow.destination, original, original_zone);

    let query = |to| Query {
        from,
        to,
        source: flow.source,
        destination: flow.destination,
        protocol: flow.protocol,
        source_port: flow.source_port,
        destination_port: flow.destination_port,
    };
    let translated = translate(tables, &query(original_zone), egress, choose);
    trace.nat(original_zone, egress, translated.as_ref());

    let destination_nat = translated.as_ref().and_then(|translated| translated.destination);
    let route = match destination_nat {
        Some(nat) if nat.address != flow.destination => {
            let route = tables.way(ingress, router, nat.address, &among);
            trace.route(router, nat.address, route);
            route
        }
        _ => original,
    };
    let egress = match route {
        Route::Local { iface } | Route::Via { iface, .. } => iface,
        Route::Discard => return Err(DropCause::RouteDiscard),
        Route::None => return Err(DropCause::NoRoute),
        Route::Loop => return Err(DropCause::RouterLoop),
    };
    let to = zone_of(tables, Some(egress)).ok_or(DropCause::NoEgressZone)?;

    let asked = query(Some(to));
    let rule = tables.security.decide(&asked);
    let timeouts = rule.timeouts(&asked);
    trace.security(from, to, rule.id, rule.verdict);
    let (nat_rule, source_nat) = match translated {
        Some(translated) => (Some(translated.rule), translated.source),
        None => (None, None),
    };
    Ok(Forward {
        from,
        to,
        nat_rule,
        source_nat,
        destination_nat,
        route,
        rule: rule.id,
        verdict: rule.verdict,
        timeouts,
    })
}

fn translate<C: Choose>(
    tables: &Compiled,
    query: &Query,
    egress: Option<IfaceId>,
    choose: &mut C,
) -> Option<Translated> {
    let rule = tables.nat.first(query, egress)?;
    Some(Translated {
        rule: rule.id,
        reverse: rule.reverse,
        source: rule.source_nat(query.source),
        destination: rule.destination_nat(query, choose),
    })
}

fn interface_of(route: Route) -> Option<IfaceId> {
    match route {
        Route::Local { iface } | Route::Via { iface, .. } => Some(iface),
        Route::Discard | Route::None | Route::Loop => None,
    }
}

fn zone_of(tables: &Compiled, iface: Option<IfaceId>) -> Option<ZoneId> {
    iface.and_then(|iface| tables.interface(iface)).and_then(|Interface { zone, .. }| *zone)
}

/// A flow between zones given by name, as `test security-policy-match` and `test nat-policy-match` ask.
#[derive(Clone, Copy, Debug)]
pub struct ZoneFlow {
    /// Source zone.
    pub from: ZoneId,
    /// Destination zone: after destination NAT for security rules, of the original destination for NAT
    /// rules.
    pub to: ZoneId,
    /// Source address.
    pub source: IpAddr,
    /// Destination address, before NAT.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
}

impl ZoneFlow {
    pub(crate) fn query(&self) -> Query {
        Query {
            from: self.from,
            to: Some(self.to),
            source: self.source,
            destination: self.destination,
            protocol: self.protocol,
            source_port: self.source_port,
            destination_port: self.destination_port,
        }
    }
}

/// The security rule for a flow between two zones.
pub fn security_match(tables: &Compiled, flow: &ZoneFlow) -> (RuleId, RuleVerdict) {
    let rule = tables.security.decide(&flow.query());
    (rule.id, rule.verdict)
}

/// The NAT rule for a flow between two zones; `egress` is asked by rules for one outgoing interface.
pub fn nat_match(tables: &Compiled, flow: &ZoneFlow, egress: Option<IfaceId>) -> Option<Translated> {
    translate(tables, &flow.query(), egress, &mut Unmoved)
}
