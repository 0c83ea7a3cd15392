//! Why does this flow fare as it does? In the operator's words, one sentence per stage.
//!
//! The stages come from [`decide_traced`], so that what is explained is what is enforced.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bartizan_model::device::Action;
use bartizan_model::diagnostic::Origin;

use crate::classifier::{Field, Query};
use crate::decide::{Trace, Translated, decide_traced};
use crate::nat;
use crate::routing::{Hop, State};
use crate::security::{Idle, Rule};
use crate::tables::{
    Among, Compiled, Decision, DropCause, Flow, Forward, IfaceId, NoService, Route, RouterId, RuleId, RuleVerdict,
    Service, SourceNat, Step, ZoneId,
};
use crate::tunnels::Way;

/// Rules that did not match and are told one by one; the rest is counted.
const TOLD_MAX: usize = 5;

/// What became of a flow, and why.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What the rules say.
    pub decision: Decision,
    /// What the firewall itself does with a flow that the rules let through to one of its own addresses;
    /// `None` for all others.
    pub host: Option<Result<Service, NoService>>,
    /// Stage by stage.
    pub steps: Vec<Step>,
}

/// Decides one flow and says why, stage by stage.
pub fn explain(tables: &Compiled, flow: &Flow) -> Explanation {
    let mut story = Story { tables, flow, from: None, steps: Vec::new() };
    let decision = decide_traced(tables, flow, &mut story);
    let host = story.host(&decision);
    story.outcome(&decision, host);
    Explanation { decision, host, steps: story.steps }
}

/// Why an own address drops a flow as `local-service`.
pub fn no_service(reason: NoService) -> String {
    match reason {
        NoService::NotOffered => {
            "the firewall's own addresses answer nothing but ping and the health checks at TCP ports 80 and 443".into()
        }
        NoService::Disabled(service) => {
            format!("the interface has no management profile that offers `{}`", service.as_str())
        }
        NoService::NotPermitted(service) => {
            format!("the management profile offers `{}`, but not to this source", service.as_str())
        }
        NoService::Translated => "what NAT translates is not answered at the firewall's own addresses".into(),
    }
}

struct Story<'a> {
    tables: &'a Compiled,
    flow: &'a Flow,
    from: Option<ZoneId>,
    steps: Vec<Step>,
}

impl Trace for Story<'_> {
    fn ingress(&mut self, zone: ZoneId, router: RouterId) {
        self.from = Some(zone);
        let (tables, flow) = (self.tables, self.flow);
        let text = format!(
            "`{}` is in zone `{}` and router `{}`",
            tables.interface_name(flow.ingress),
            tables.zone_name(zone),
            tables.router_name(router)
        );
        self.say("ingress", text, None);
    }

    fn original_route(&mut self, router: RouterId, destination: IpAddr, route: Route, zone: Option<ZoneId>) {
        self.hops(router, destination, route);
        let Some(zone) = zone else { return };
        let text = format!("NAT rules see destination zone `{}`", self.tables.zone_name(zone));
        self.say("zone", text, None);
    }

    fn nat(&mut self, to: Option<ZoneId>, egress: Option<IfaceId>, translated: Option<&Translated>) {
        let query = self.query(to);
        let position = translated.and_then(|found| {
            self.tables.nat.rules.iter().position(|rule| rule.id == found.rule && rule.reverse == found.reverse)
        });
        let missed = position.unwrap_or(self.tables.nat.rules.len());
        let misses = self.tables.nat.rules.iter().take(missed).map(|rule| {
            let name = self.tables.nat_rule_name(rule.id);
            (name, &rule.origin, self.nat_miss(rule, &query, egress))
        });
        self.missed("nat", misses.collect());
        match (translated, position.and_then(|at| self.tables.nat.rules.get(at))) {
            (Some(found), Some(rule)) => {
                let text = self.translation(found, rule);
                self.say("nat", text, Some(&rule.origin));
            }
            _ => self.say("nat", "no NAT rule matches, addresses stay as they are".into(), None),
        }
    }

    fn route(&mut self, router: RouterId, destination: IpAddr, route: Route) {
        self.hops(router, destination, route);
    }

    fn security(&mut self, from: ZoneId, to: ZoneId, rule: RuleId, verdict: RuleVerdict) {
        let query = self.query(Some(to));
        let table = &self.tables.security;
        let zones = format!("from zone `{}` to zone `{}`", self.tables.zone_name(from), self.tables.zone_name(to));
        let position = table.position(rule).unwrap_or(0);
        let ruled = table.rules.iter().position(|rule| rule.idle.is_none() && rule.misses(&query).is_empty());
        let before = ruled.unwrap_or(table.rules.len());
        let misses: Vec<_> = table.rules.iter().take(before).map(|rule| self.security_miss(rule, &query)).collect();
        self.missed("security", misses);
        if ruled.is_none() {
            self.closest(&query);
        }
        let action = verdict.action.as_str();
        let name = self.tables.rule_name(rule);
        let text = match ruled {
            Some(_) => format!("{zones}: rule `{name}` ({position} of {}) says {action}", table.len()),
            None => format!("{zones}: default rule `{name}` ({position} of {}) decides: {action}", table.len()),
        };
        let origin = self.tables.rule(rule).map(|info| info.origin).filter(|origin| **origin != Origin::default());
        self.say("security", text, origin);
    }
}

impl<'a> Story<'a> {
    fn say(&mut self, stage: &'static str, text: String, origin: Option<&Origin>) {
        self.steps.push(Step { stage, text, origin: origin.cloned() });
    }

    fn query(&self, to: Option<ZoneId>) -> Query {
        Query {
            from: self.from.unwrap_or_default(),
            to,
            source: self.flow.source,
            destination: self.flow.destination,
            protocol: self.flow.protocol,
            source_port: self.flow.source_port,
            destination_port: self.flow.destination_port,
        }
    }

    /// One sentence for each router asked.
    /// What the tunnel does that the packet comes out of.
    fn way(&self) -> Option<Way> {
        Some(self.tables.interface(self.flow.ingress)?.tunnel.as_ref()?.way)
    }

    fn hops(&mut self, router: RouterId, destination: IpAddr, end: Route) {
        let tables = self.tables;
        let came = tables.interface(self.flow.ingress).and_then(|interface| interface.tunnel.as_ref());
        if let (Some(tunnel), Route::Via { iface, .. }) = (came, end)
            && tunnel.way == Way::Routed
            && iface == tunnel.other
        {
            let to = tables.interface_name(iface);
            let text = format!("{destination} is within the cluster: leaves by `{to}`, back to the pod's node");
            self.say("route", text, None);
            return;
        }
        if let (Some(Way::Wire | Way::Hairpin), Route::Via { iface, .. }) = (self.way(), end) {
            let [from, to] = [self.flow.ingress, iface].map(|iface| tables.interface_name(iface));
            self.say("route", format!("what comes by `{from}` leaves by `{to}`, whatever the routes say"), None);
            return;
        }
        let mut asked = Vec::new();
        tables
            .routers
            .walk(router, destination, &Among::of(self.flow), |router, position| asked.push((router, position)));
        for (router, position) in asked {
            let name = tables.router_name(router);
            let Some(entry) = position.and_then(|position| tables.routers.entry(router, position)) else {
                self.say("route", format!("router `{name}` has no route to {destination}"), None);
                continue;
            };
            let leads = match entry.hop {
                Some(Hop::Local(iface)) => {
                    format!("{destination} is the firewall's own address on `{}`", tables.interface_name(iface))
                }
                Some(Hop::Attached(iface)) => {
                    format!("{} is attached to `{}`", entry.destination, tables.interface_name(iface))
                }
                Some(Hop::Gateway(iface, gateway)) => {
                    format!(
                        "route `{}` ({}) leads to {gateway} on `{}`",
                        entry.name,
                        entry.destination,
                        tables.interface_name(iface)
                    )
                }
                Some(Hop::Router(next)) => {
                    format!(
                        "route `{}` ({}) leads on to router `{}`",
                        entry.name,
                        entry.destination,
                        tables.router_name(next)
                    )
                }
                Some(Hop::Discard) | None => format!("route `{}` ({}) discards", entry.name, entry.destination),
            };
            let leads = match entry.state {
                State::Equal => format!("{leads}, chosen for this flow among routes of equal cost"),
                State::Active | State::Idle | State::Down => leads,
            };
            let origin = Some(&entry.origin).filter(|origin| **origin != Origin::default());
            self.say("route", format!("router `{name}`: {leads}"), origin);
        }
        if end == Route::Loop {
            self.say("route", format!("{destination} crosses too many routers"), None);
        }
    }

    fn translation(&self, found: &Translated, rule: &nat::Rule) -> String {
        let name = self.tables.nat_rule_name(found.rule);
        let direction = if found.reverse { " (reverse direction)" } else { "" };
        if rule.exempts() {
            return format!("rule `{name}` matches and translates nothing");
        }
        let source = found.source.as_ref().map(|source| match source {
            SourceNat::Static { address } => format!("source becomes {address}"),
            SourceNat::DynamicIpAndPort { pool, persistent } => {
                let keeps = if *persistent { ", which the client keeps for all destinations" } else { "" };
                match one_of(&pool.ranges) {
                    Some(address) => format!("source becomes {address} with a new port{keeps}"),
                    None => "source would become an interface's address, which it has not got yet".into(),
                }
            }
            SourceNat::DynamicIp { pool, fallback } => {
                let address = one_of(pool).unwrap_or_default();
                let else_ = fallback.as_ref().and_then(|pool| one_of(&pool.ranges));
                let else_ = else_.map(|address| format!(", or {address} with a new port when all are taken"));
                format!("source becomes {address}, one for each client{}", else_.unwrap_or_default())
            }
        });
        let destination = found.destination.map(|destination| match destination.port {
            Some(port) => format!("destination becomes {} port {port}", destination.address),
            None => format!("destination becomes {}", destination.address),
        });
        let effects: Vec<_> = destination.into_iter().chain(source).collect();
        format!("rule `{name}`{direction}: {}", effects.join(", "))
    }

    fn nat_miss(&self, rule: &nat::Rule, query: &Query, egress: Option<IfaceId>) -> String {
        if let Some(idle) = &rule.idle {
            return reason_idle(idle);
        }
        match rule.misses(query).first() {
            Some(field) => self.reason(*field, query, false),
            None => match (rule.to_interface, egress) {
                (Some(only), Some(egress)) => {
                    let name = |id| self.tables.interface_name(id);
                    format!("it is for packets out by `{}`, not `{}`", name(only), name(egress))
                }
                _ => "the packet is not routed out by its interface".into(),
            },
        }
    }

    fn security_miss(&self, rule: &'a Rule, query: &Query) -> (&'a str, &'a Origin, String) {
        let reason = match &rule.idle {
            Some(idle) => reason_idle(idle),
            None => match rule.misses(query).first() {
                Some(field) => self.reason(*field, query, rule.intrazone()),
                None => "an earlier rule decided".into(),
            },
        };
        (self.tables.rule_name(rule.id), &rule.origin, reason)
    }

    fn reason(&self, field: Field, query: &Query, intrazone: bool) -> String {
        let zone = |zone: ZoneId| format!("`{}`", self.tables.zone_name(zone));
        let to = || query.to.map_or_else(|| "none".into(), zone);
        match field {
            Field::From => format!("source zone is {}", zone(query.from)),
            Field::To => format!("destination zone is {}", to()),
            Field::Kind if intrazone => format!("it is for flows inside a zone, this one goes to {}", to()),
            Field::Kind => "it is for flows between zones, this one stays inside".into(),
            Field::Source => format!("source is {}", query.source),
            Field::Destination => format!("destination is {}", query.destination),
            Field::Service => format!("service is {}", service(query)),
        }
    }

    /// Tells the first rules that did not match, and sums up the others by reason.
    fn missed(&mut self, stage: &'static str, misses: Vec<(&str, &Origin, String)>) {
        for (name, origin, reason) in misses.iter().take(TOLD_MAX) {
            self.say(stage, format!("rule `{name}` does not match: {reason}"), Some(origin));
        }
        let mut rest: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, _, reason) in misses.iter().skip(TOLD_MAX) {
            *rest.entry(reason).or_default() += 1;
        }
        if rest.is_empty() {
            return;
        }
        let mut counts: Vec<_> = rest.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let total: usize = counts.iter().map(|(_, count)| count).sum();
        let reasons: Vec<_> =
            counts.iter().take(TOLD_MAX).map(|(reason, count)| format!("{count} because {reason}")).collect();
        self.say(stage, format!("{total} more rules do not match: {}", reasons.join(", ")), None);
    }

    /// When only a default rule is left: which rule would match if one thing, or the fewest, were different.
    fn closest(&mut self, query: &Query) {
        let active = self.tables.security.rules.iter().filter(|rule| rule.idle.is_none());
        let candidates = active.map(|rule| (rule.misses(query), rule));
        let Some((misses, rule)) = candidates.min_by_key(|(misses, _)| misses.len()) else { return };
        let reasons: Vec<_> = misses.iter().map(|field| self.reason(*field, query, rule.intrazone())).collect();
        let name = self.tables.rule_name(rule.id);
        let text = format!("no rule of the rulebase matches; closest: `{name}`, but {}", reasons.join(" and "));
        self.say("security", text, Some(&rule.origin));
    }

    /// What the own address does with a flow that the rules let through to it.
    fn host(&mut self, decision: &Decision) -> Option<Result<Service, NoService>> {
        let Decision::Ruled(forward) = decision else { return None };
        let Route::Local { iface } = forward.route else { return None };
        if forward.verdict.action != Action::Allow {
            return None;
        }
        let interface = self.tables.interface(iface)?;
        let answer = if forward.source_nat.is_some() || forward.destination_nat.is_some() {
            Err(NoService::Translated)
        } else {
            interface.service(self.flow.source, self.flow.protocol, self.flow.destination_port)
        };
        let text = match answer {
            Ok(service) => format!("`{}` answers `{}` for this source", interface.name, service.as_str()),
            Err(reason) => format!("`{}` does not answer: {}", interface.name, no_service(reason)),
        };
        self.say("host", text, None);
        Some(answer)
    }

    fn outcome(&mut self, decision: &Decision, host: Option<Result<Service, NoService>>) {
        let text = match decision {
            Decision::Ruled(_) if matches!(host, Some(Err(_))) => {
                "dropped by the firewall itself (`local-service`), although the rule allows it".into()
            }
            Decision::Ruled(forward) => self.forwarded(forward),
            Decision::Dropped(cause) => {
                let reason = match cause {
                    DropCause::NoZone => {
                        let name = self.tables.interface_name(self.flow.ingress);
                        format!("interface `{name}` does not exist or is in no zone")
                    }
                    DropCause::NoRouter => {
                        format!("interface `{}` is in no router", self.tables.interface_name(self.flow.ingress))
                    }
                    DropCause::NoRoute => "there is no route to the destination".into(),
                    DropCause::RouteDiscard => "the route to the destination discards".into(),
                    DropCause::RouterLoop => "the destination crosses too many routers".into(),
                    DropCause::NoEgressZone => "the outgoing interface is in no zone".into(),
                };
                format!("dropped: {reason}")
            }
        };
        self.say("result", text, None);
    }

    fn forwarded(&self, forward: &Forward) -> String {
        let action = forward.verdict.action;
        let rule = self.tables.rule_name(forward.rule);
        if action != Action::Allow {
            return format!("refused ({}) by rule `{rule}`", action.as_str());
        }
        let moved = forward.destination_nat.is_some_and(|nat| nat.address != self.flow.destination);
        match forward.route {
            Route::Local { iface } => {
                format!("delivered to the firewall itself on `{}`", self.tables.interface_name(iface))
            }
            Route::Via { .. } if self.way() == Some(Way::Hairpin) && moved => {
                "dropped by the firewall itself (`hairpin-translated`), although the rule allows it".into()
            }
            Route::Via { iface, .. } if self.way() == Some(Way::Hairpin) => {
                format!(
                    "delivered into the tunnel of {} by `{}`",
                    self.flow.destination,
                    self.tables.interface_name(iface)
                )
            }
            Route::Via { iface, next_hop, .. } => {
                format!("forwarded out by `{}` to {next_hop}", self.tables.interface_name(iface))
            }
            Route::Discard | Route::None | Route::Loop => "dropped".into(),
        }
    }
}

/// The addresses of a pool in words; `None` when it has none.
fn one_of(ranges: &[(IpAddr, IpAddr)]) -> Option<String> {
    match *ranges {
        [] => None,
        [(first, last)] if first == last => Some(first.to_string()),
        [(first, _), .., (_, last)] | [(first, last)] => Some(format!("one of {first} to {last}")),
    }
}

fn reason_idle(idle: &Idle) -> String {
    match idle {
        Idle::Disabled => "it is disabled".into(),
        Idle::Unevaluated(criterion) => format!("{criterion} cannot be evaluated"),
        Idle::OffSchedule(schedule) => format!("its schedule `{schedule}` is off"),
    }
}

fn service(query: &Query) -> String {
    match query.protocol {
        1 | 58 => "ICMP, which only service any includes".into(),
        6 => format!("tcp {} from port {}", query.destination_port, query.source_port),
        17 => format!("udp {} from port {}", query.destination_port, query.source_port),
        132 => format!("sctp {} from port {}", query.destination_port, query.source_port),
        other => format!("IP protocol {other}, which only service any includes"),
    }
}
