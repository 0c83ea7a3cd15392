//! Is there a rule that may be wanted beside those there are?

use bartizan_model::diagnostic::Diagnostic;

use super::{Rule, SourceAction};
use crate::codes::NAT_REVERSE_SUGGESTED;
use crate::names::Names;

/// Says of each static source translation that works one way only that it does, and how to change that. Replies
/// need no rule, so this is for whom it concerns.
pub(crate) fn reverse_rules(rules: &[Rule], names: &Names, diagnostics: &mut Vec<Diagnostic>) {
    for rule in rules.iter().filter(|rule| rule.idle.is_none() && !rule.reverse) {
        let (SourceAction::Static(shift), [outside, ..]) = (&rule.source, &rule.claims[..]) else { continue };
        let leads_back = |other: &Rule| {
            other.destination.is_some() && other.rows.iter().any(|row| row.destination.contains(outside.0))
        };
        let Some(original) = shift.original.filter(|_| !rules.iter().any(leads_back)) else { continue };
        let name = names.name(rule.id.index());
        let message = format!(
            "NAT rule `{name}` gives `{original}` the address `{}` outside, but no rule leads new flows to that \
             address back, so that nobody outside can open one",
            outside.0
        );
        let help = "if somebody should, set `bi-directional` to `yes`; replies need no rule";
        diagnostics.push(Diagnostic::info(NAT_REVERSE_SUGGESTED, rule.origin.clone(), message).with_help(help));
    }
}
