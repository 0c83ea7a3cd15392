//! Why is a rule what it is, and who made it so?
//!
//! An audit comment is an edit that changes nothing: it is pending, committed and reverted like the others, and kept with
//! their version. The history of a rule is every edit that was kept and touches it, followed back through its names.

pub(crate) mod history;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bartizan_model::manager::{LOCALHOST_XPATH, container};
use bartizan_model::tree::Element;

/// Longest audit comment, in characters.
pub(crate) const COMMENT_MAX: usize = 256;
/// Rules without a comment that a refusal names.
const SHOWN_MAX: usize = 20;
/// Where the setting stands below the manager's, or firewall's, own device.
const REQUIRED: [&str; 4] = ["deviceconfig", "setting", "management", "rule-require-audit-comment"];

/// Whether a rule must not change without an audit comment.
fn is_required(root: &Element) -> bool {
    let device = root.child("devices").and_then(|devices| devices.entries().next());
    let setting = device.and_then(|(_, device)| device.descend(&REQUIRED));
    setting.is_some_and(|setting| setting.text() == "yes")
}

/// Why a commit is refused whose rules changed without a comment; `commented` has the rules of its comments. What is
/// running says whether that is asked for.
pub(crate) fn without_comment(running: &Element, tree: &Element, commented: &BTreeSet<String>) -> Vec<String> {
    if !is_required(running) {
        return Vec::new();
    }
    let silent: Vec<String> = changed(running, tree).into_iter().filter(|rule| !commented.contains(rule)).collect();
    if silent.is_empty() {
        return silent;
    }
    let mut lines = vec!["these rules changed, and an audit comment is required that says why:".to_owned()];
    let left_out = silent.len().saturating_sub(SHOWN_MAX);
    lines.extend(silent.into_iter().take(SHOWN_MAX).map(|rule| format!(" {rule}")));
    if left_out > 0 {
        lines.push(format!(" and {left_out} more"));
    }
    lines
}

/// The rules that are new, or not what they were. What both trees share is skipped.
fn changed(before: &Element, after: &Element) -> Vec<String> {
    let (old, new) = (lists(before), lists(after));
    let mut found = Vec::new();
    for (xpath, rules) in &new {
        let known = old.iter().find(|(other, _)| other == xpath).map(|(_, rules)| rules);
        if known.is_some_and(|known| Arc::ptr_eq(known, rules)) {
            continue;
        }
        let known: HashMap<&str, &Arc<Element>> = known.into_iter().flat_map(|known| known.entries()).collect();
        let other = rules
            .entries()
            .filter(|(name, rule)| known.get(name).is_none_or(|old| !Arc::ptr_eq(old, rule) && *old != *rule));
        found.extend(other.map(|(_, rule)| format!("{xpath}/{}", rule.step())));
    }
    found
}

/// Every list of rules with its XPath.
fn lists(root: &Element) -> Vec<(String, &Arc<Element>)> {
    let mut scopes: Vec<(String, &Element)> =
        root.child("shared").map(|shared| ("/config/shared".to_owned(), &**shared)).into_iter().collect();
    for (tag, below) in [("device-group", container(root, "device-group")), ("vsys", container(root, "vsys"))] {
        let entries = below.into_iter().flat_map(Element::entries);
        scopes.extend(entries.map(|(_, entry)| (format!("{LOCALHOST_XPATH}/{tag}/{}", entry.step()), &**entry)));
    }
    let mut found = Vec::new();
    for (xpath, scope) in scopes {
        for base in ["pre-rulebase", "rulebase", "post-rulebase"] {
            for kind in scope.child(base).into_iter().flat_map(|base| base.elements()) {
                found.extend(kind.child("rules").map(|rules| (format!("{xpath}/{base}/{}/rules", kind.name), rules)));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use bartizan_model::{edit, xml};

    use super::*;

    #[test]
    fn rules_that_are_new_or_changed_need_a_comment_when_it_is_asked_for() {
        let group = format!("{LOCALHOST_XPATH}/device-group/entry[@name='dg']/pre-rulebase/security/rules");
        let mut before = Arc::new(xml::parse("<config><shared/></config>").unwrap());
        edit::set(&mut before, &group, "<entry name='a'/><entry name='b'/><entry name='c'/>").unwrap();
        let mut after = before.clone();
        edit::set(&mut after, &format!("{group}/entry[@name='b']"), "<action>deny</action>").unwrap();
        edit::delete(&mut after, &format!("{group}/entry[@name='c']")).unwrap();
        edit::set(&mut after, "/config/shared/post-rulebase/nat/rules", "<entry name='n'/>").unwrap();
        let (b, n) = (format!("{group}/entry[@name='b']"), "/config/shared/post-rulebase/nat/rules/entry[@name='n']");
        let mut rules = changed(&before, &after);
        rules.sort();
        assert_eq!(rules, [b.as_str(), n]);
        assert!(without_comment(&before, &after, &BTreeSet::new()).is_empty(), "nobody asks for one");
        let setting = format!("{LOCALHOST_XPATH}/deviceconfig/setting/management");
        edit::set(&mut before, &setting, "<rule-require-audit-comment>yes</rule-require-audit-comment>").unwrap();
        assert_eq!(without_comment(&before, &after, &BTreeSet::from([b.clone()]))[1..], [format!(" {n}")]);
        assert!(without_comment(&before, &after, &BTreeSet::from([b, n.to_owned()])).is_empty());
    }
}
