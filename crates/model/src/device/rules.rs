//! What do security and NAT rules have in common: zones, addresses, services, names?

use std::collections::BTreeMap;

use super::context::{Context, NAME_LENGTH_MAX};
use super::node::Node;
use super::objects::Objects;
use super::{DeviceConfig, Scope};
use crate::codes;

/// What a rule can refer to.
pub(super) struct Known<'k> {
    pub(super) config: &'k DeviceConfig,
    pub(super) objects: &'k Objects,
}

/// Rules of one kind from several rulebases in the order of evaluation, each name once.
pub(super) fn in_order<'a>(context: &mut Context, rulebases: &[Node<'a>], kind: &str) -> Vec<Node<'a>> {
    let mut owners: BTreeMap<&str, Node<'a>> = BTreeMap::new();
    let mut rules = Vec::new();
    for node in rulebases.iter().flat_map(|rulebase| rulebase.entries_at(&[kind, "rules"])) {
        if context.entry_name(&node, NAME_LENGTH_MAX).is_none() {
            continue;
        }
        match owners.get(node.name()) {
            None => {
                owners.insert(node.name(), node.clone());
                rules.push(node);
            }
            Some(other) => {
                // Twice in one rulebase is reported for every kind of entry.
                if other.parent().map(Node::xpath) != node.parent().map(Node::xpath) {
                    let message = format!("{kind} rule `{}` is already in use at {}", node.name(), other.xpath());
                    context.error(codes::DUPLICATE_NAME, &node, message);
                    context.help("rule names are unique over pre, local and post rules; rename one of the two");
                }
            }
        }
    }
    rules
}

/// Members of a list that must be there; `any` gives the empty list.
pub(super) fn members<'a>(context: &mut Context, rule: &Node<'a>, tag: &str) -> Vec<Node<'a>> {
    let list = rule.child(tag);
    let members: Vec<Node<'a>> = list.iter().flat_map(|list| list.members().collect::<Vec<_>>()).collect();
    if members.is_empty() {
        context.error(
            codes::MISSING_MEMBER,
            list.as_ref().unwrap_or(rule),
            format!("rule `{}` has no `{tag}`", rule.name()),
        );
        context.help(format!("write `<{tag}><member>any</member></{tag}>` to match every one"));
    }
    without_any(context, members)
}

/// Members of a list that may be absent.
pub(super) fn optional_members<'a>(context: &mut Context, rule: &Node<'a>, tag: &str) -> Vec<Node<'a>> {
    let members = rule.child(tag).map(|list| list.members().collect()).unwrap_or_default();
    without_any(context, members)
}

fn without_any<'a>(context: &mut Context, members: Vec<Node<'a>>) -> Vec<Node<'a>> {
    let Some(any) = members.iter().find(|member| member.text() == "any") else { return members };
    if members.iter().any(|member| member.text() != "any") {
        context.error(codes::ANY_NOT_ALONE, any, "`any` stands together with other members");
        context.help("keep `any`, or the others");
    }
    Vec::new()
}

impl Known<'_> {
    /// Zones of a rule.
    pub(super) fn zones(&self, context: &mut Context, rule: &Node<'_>, tag: &str) -> Vec<String> {
        let members = members(context, rule, tag);
        let check = |context: &mut Context, member: &Node<'_>, text: &str| {
            if context.scope == Scope::Device && self.config.zone(text).is_none() {
                let known = self.config.zones.iter().map(|zone| zone.name.as_str());
                context.unknown(codes::UNKNOWN_ZONE, member, format!("no zone `{text}` is configured"), text, known);
            }
        };
        texts(context, &members, check)
    }

    /// Addresses of a rule: names or literals.
    pub(super) fn addresses(&self, context: &mut Context, members: &[Node<'_>]) -> Vec<String> {
        texts(context, members, |context, member, text| self.objects.check_address(context, member, text))
    }

    /// Services of a rule.
    pub(super) fn services(&self, context: &mut Context, members: &[Node<'_>]) -> Vec<String> {
        texts(context, members, |context, member, text| self.objects.check_service(context, member, text))
    }
}

fn texts(context: &mut Context, members: &[Node<'_>], check: impl Fn(&mut Context, &Node<'_>, &str)) -> Vec<String> {
    let mut texts = Vec::new();
    for member in members {
        let text = member.text();
        if !context.is_variable(member, &text) {
            check(context, member, &text);
            texts.push(text);
        }
    }
    texts
}
