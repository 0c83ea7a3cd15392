//! Security rules: who may talk to whom?

use std::sync::Arc;

use super::context::Context;
use super::node::Node;
use super::rules::{self, Known};
use super::standing::RuleRead;
use super::{Action, DefaultRule, DeviceConfig, RuleKind, SecurityRule};
use crate::codes;

const ACTIONS: [(&str, Action); 6] = [
    ("allow", Action::Allow),
    ("deny", Action::Deny),
    ("drop", Action::Drop),
    ("reset-client", Action::ResetClient),
    ("reset-server", Action::ResetServer),
    ("reset-both", Action::ResetBoth),
];
const KINDS: [(&str, RuleKind); 3] =
    [("universal", RuleKind::Universal), ("intrazone", RuleKind::Intrazone), ("interzone", RuleKind::Interzone)];
/// Criteria that may be absent and cannot be evaluated yet unless they are `any`.
const CRITERIA: [&str; 10] = [
    "category",
    "source-user",
    "source-hip",
    "destination-hip",
    "hip-profiles",
    "source-device",
    "destination-device",
    "source-imei",
    "source-imsi",
    "source-nw-slice",
];

/// Reads the rules of all rulebases in the order of evaluation. `parts` gets what each contributed.
pub(super) fn read(
    context: &mut Context,
    known: &Known<'_>,
    rulebases: &[Node<'_>],
    mut parts: Option<&mut Vec<RuleRead>>,
) -> Vec<Arc<SecurityRule>> {
    let nodes = rules::in_order(context, rulebases, "security");
    let read = |node: &Node<'_>| {
        let before = context.diagnostics.len();
        let rule = Arc::new(rule(context, known, node));
        if let Some(parts) = &mut parts {
            let diagnostics = context.diagnostics[before..].to_vec();
            parts.push(RuleRead { rule: Arc::clone(&rule), diagnostics, notes: Vec::new() });
        }
        rule
    };
    nodes.iter().map(read).collect()
}

pub(super) fn rule(context: &mut Context, known: &Known<'_>, node: &Node<'_>) -> SecurityRule {
    known.objects.tags(context, node);
    let from = known.zones(context, node, "from");
    let to = known.zones(context, node, "to");
    let source = rules::members(context, node, "source");
    let destination = rules::members(context, node, "destination");
    let mut rule = SecurityRule {
        name: node.name().to_owned(),
        origin: node.origin(),
        disabled: context.yes_no(node, "disabled").unwrap_or(false),
        kind: context.word(node, "rule-type", &KINDS).unwrap_or_default(),
        from,
        to,
        source: known.addresses(context, &source),
        negate_source: context.yes_no(node, "negate-source").unwrap_or(false),
        destination: known.addresses(context, &destination),
        negate_destination: context.yes_no(node, "negate-destination").unwrap_or(false),
        service: services(context, known, node),
        schedule: schedule(context, known, node),
        unevaluated: Vec::new(),
        action: context.word(node, "action", &ACTIONS).unwrap_or_default(),
        icmp_unreachable: context.yes_no(node, "icmp-unreachable").unwrap_or(false),
        log_start: context.yes_no(node, "log-start").unwrap_or(false),
        log_end: context.yes_no(node, "log-end").unwrap_or(true),
    };
    read_criteria(context, node, &mut rule);
    for (negated, tag, members) in [
        (rule.negate_source, "source", rule.source.clone()),
        (rule.negate_destination, "destination", rule.destination.clone()),
    ] {
        if negated {
            check_negated(context, known, node, &mut rule, tag, &members);
        }
    }
    rule
}

/// `application-default` asks for the standard ports of the application; while no application is
/// evaluated, that is every port, and the application itself was reported.
fn services(context: &mut Context, known: &Known<'_>, node: &Node<'_>) -> Vec<String> {
    let members = rules::members(context, node, "service");
    if let [only] = members.as_slice()
        && only.text() == "application-default"
    {
        return Vec::new();
    }
    if let Some(default) = members.iter().find(|member| member.text() == "application-default") {
        context.error(codes::ANY_NOT_ALONE, default, "`application-default` stands together with other services");
        context.help("keep `application-default`, or the others");
        return Vec::new();
    }
    known.services(context, &members)
}

/// The name of a schedule; `none` is none.
fn schedule(context: &mut Context, known: &Known<'_>, node: &Node<'_>) -> Option<String> {
    let name = context.text(node, "schedule").filter(|name| name != "none")?;
    if known.config.schedule(&name).is_none()
        && let Some(leaf) = node.child("schedule")
    {
        let message = format!("no schedule `{name}` is visible here");
        let known = known.config.schedules.iter().map(|schedule| schedule.name.as_str());
        context.unknown(codes::UNKNOWN_SCHEDULE, &leaf, message, &name, known);
    }
    Some(name)
}

fn read_criteria(context: &mut Context, node: &Node<'_>, rule: &mut SecurityRule) {
    let applications = rules::members(context, node, "application");
    note_criterion(context, node, rule, "application", &applications);
    for tag in CRITERIA {
        let members = rules::optional_members(context, node, tag);
        note_criterion(context, node, rule, tag, &members);
    }
    // Which tags a device has is not known yet, so a rule for tagged devices is a rule with a criterion.
    if let Some(target) = node.child("target") {
        let tags = rules::optional_members(context, &target, "tags");
        note_criterion(context, node, rule, "target tags", &tags);
    }
}

fn note_criterion(context: &mut Context, node: &Node<'_>, rule: &mut SecurityRule, tag: &str, values: &[Node<'_>]) {
    let Some(first) = values.first() else { return };
    let at = if first.tag() == "member" { first.parent().unwrap_or(node) } else { first };
    let words: Vec<String> = values.iter().map(Node::text).collect();
    let words = words.join("`, `");
    let effect =
        if rule.action == Action::Allow { "the rule allows nothing" } else { "the rule matches as if it named none" };
    let message = format!("{tag} `{words}` of rule `{}` is not evaluated yet: {effect}", rule.name);
    context.warning(codes::NOT_ENFORCED, at, message);
    context.help(format!("use `any` for `{tag}` if the rule is to be enforced by its other criteria"));
    rule.unevaluated.push(format!("{tag} {}", words.replace('`', "")));
}

fn check_negated(
    context: &mut Context,
    known: &Known<'_>,
    node: &Node<'_>,
    rule: &mut SecurityRule,
    tag: &str,
    members: &[String],
) {
    let negation = node.child(&format!("negate-{tag}")).unwrap_or_else(|| node.clone());
    if members.is_empty() {
        // A missing or wrong list was reported for what it is.
        if node.child(tag).is_some_and(|list| list.members().any(|member| member.text() == "any")) {
            context.error(codes::NEGATED_ANY, &negation, format!("`negate-{tag}` of `any` matches nothing"));
            context.help(format!("name addresses in `{tag}`, or set `negate-{tag}` to `no`"));
        }
        return;
    }
    // Everything but an address that is not known would let that address through.
    if let Some(partial) = members.iter().find(|name| known.objects.is_partial(name))
        && rule.action == Action::Allow
    {
        let message = format!(
            "`{partial}` cannot be resolved by this version, so rule `{}`, which excludes it, allows nothing",
            rule.name
        );
        context.warning(codes::NOT_ENFORCED, &negation, message);
        rule.unevaluated.push(format!("negated {tag} {partial}"));
    }
}

/// Reads overrides of the two default rules; the first place that overrides a rule wins.
pub(super) fn read_defaults(context: &mut Context, config: &mut DeviceConfig, rulebases: &[Node<'_>]) {
    config.intrazone_default = DefaultRule { action: Action::Allow, ..DefaultRule::default() };
    // Without an override nothing says that refusals stay unseen, so they are logged.
    config.interzone_default = DefaultRule { action: Action::Deny, log_end: true, ..DefaultRule::default() };
    let mut seen: Vec<&str> = Vec::new();
    for node in rulebases.iter().flat_map(|rulebase| rulebase.entries_at(&["default-security-rules", "rules"])) {
        let rule = match node.name() {
            "intrazone-default" => &mut config.intrazone_default,
            "interzone-default" => &mut config.interzone_default,
            other => {
                let known = ["intrazone-default", "interzone-default"];
                let message = format!("`{other}` is no default security rule");
                context.unknown(codes::UNKNOWN_RULE, &node, message, other, known);
                continue;
            }
        };
        if !seen.contains(&node.name()) {
            seen.push(node.name());
            let action = context.word(&node, "action", &ACTIONS).unwrap_or(rule.action);
            *rule = DefaultRule {
                origin: node.origin(),
                action,
                log_start: context.yes_no(&node, "log-start").unwrap_or(false),
                log_end: context.yes_no(&node, "log-end").unwrap_or(action != Action::Allow),
            };
        }
    }
}
