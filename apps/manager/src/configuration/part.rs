//! What does loading a part of another configuration edit?
//!
//! One node of it becomes, or becomes part of, one node of the candidate: a single edit, so it is journalled, locked,
//! judged by roles and committed by parts like any other.

use std::collections::HashSet;
use std::sync::Arc;

use bartizan_model::tree::{Child, Element};
use bartizan_model::xml;
use bartizan_model::xpath::XPath;

use super::edit::{Edit, EditFailure};
use crate::xmlapi::reply::code;

/// Rule bases of a firewall and of a manager hold the same.
const RULE_BASES: [&str; 3] = ["rulebase", "pre-rulebase", "post-rulebase"];

/// How the two nodes come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// What is loaded wins, what it does not say stays.
    Merge,
    /// What is there goes.
    Replace,
    /// What is there stays and wins; entries and members that are not there come behind it.
    Append,
}

impl Mode {
    /// As it is written.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "merge" => Some(Self::Merge),
            "replace" => Some(Self::Replace),
            "append" => Some(Self::Append),
            _ => None,
        }
    }
}

/// The edit that loads the node at `from` in `source` into the node at `to`; an XPath may do without `/config`.
///
/// # Errors
/// When one of the XPaths does not name one node, or the two are not of one kind.
pub(crate) fn edit(
    candidate: &Element,
    source: &Element,
    (from, to): (&str, &str),
    mode: Mode,
) -> Result<Edit, EditFailure> {
    let (from, to) = (absolute(from), absolute(to));
    let found = read(&from)?.select(source);
    let node = match found.as_slice() {
        [one] => one.element(),
        [] => {
            return Err(failure(
                code::NOT_PRESENT,
                vec![format!("{from} is not in the configuration that is loaded from")],
            ));
        }
        many => {
            let line = format!("{from} names {} nodes; name the list that holds them, or one of them", many.len());
            return Err(failure(code::INVALID_OBJECT, vec![line]));
        }
    };
    let target = read(&to)?;
    let last = target.single().and_then(|path| path.steps.last());
    let Some(tag) = last.and_then(|step| step.name()) else {
        return Err(failure(code::INVALID_OBJECT, vec![format!("{to} does not name one node")]));
    };
    let are_rule_bases = RULE_BASES.contains(&tag) && RULE_BASES.contains(&&*node.name);
    if tag != &*node.name && !are_rule_bases {
        let line = format!("`{}` cannot be loaded into `{tag}`: {from} and {to} are not of one kind", node.name);
        return Err(failure(code::INVALID_OBJECT, vec![line]));
    }
    let present = target.select(candidate);
    let present = match present.as_slice() {
        [one] => Some(one.element()),
        _ => None,
    };
    let mut taken = HashSet::new();
    uuids(candidate, present, &mut taken);
    let mut new = Element { name: tag.into(), children: node.children.clone(), ..Element::default() };
    if let Some(name) = last.and_then(|step| step.attribute("name")) {
        new.attributes.push(("name".into(), name.into()));
    }
    without_uuids(&mut new, &taken);
    let inner = |element: &Element| -> String {
        let elements: String = element.elements().map(|child| xml::write(child)).collect();
        if elements.is_empty() { xml::escape(&element.text()) } else { elements }
    };
    Ok(match (mode, present) {
        (Mode::Replace, _) => Edit::Replace { xpath: to, element: xml::write(&new) },
        (Mode::Append, Some(present)) => {
            if present.elements().next().is_none() && !present.text().is_empty() {
                let line = format!("{to} is a value, to which nothing can be appended; `replace` it");
                return Err(failure(code::INVALID_OBJECT, vec![line]));
            }
            keep_absent(&mut new, present);
            Edit::Set { xpath: to, element: inner(&new) }
        }
        (Mode::Merge | Mode::Append, _) => Edit::Set { xpath: to, element: inner(&new) },
    })
}

/// With `/config` before it.
fn absolute(xpath: &str) -> String {
    let bare = xpath.trim().trim_end_matches('/');
    match bare.strip_prefix('/').unwrap_or(bare) {
        "config" => "/config".to_owned(),
        bare if bare.starts_with("config/") => format!("/{bare}"),
        bare => format!("/config/{bare}"),
    }
}

fn read(xpath: &str) -> Result<XPath, EditFailure> {
    XPath::parse(xpath).map_err(|error| failure(6, vec![format!("{xpath}: {error}")]))
}

fn failure(code: u16, lines: Vec<String>) -> EditFailure {
    EditFailure { code, lines }
}

/// Of a node that is appended, what is not there.
fn keep_absent(new: &mut Element, present: &Element) {
    let is_there = |child: &Element| {
        present.elements().any(|other| {
            other.name == child.name
                && match &*child.name {
                    "member" => other.text() == child.text(),
                    _ => other.attribute("name") == child.attribute("name"),
                }
        })
    };
    let mut kept = Vec::new();
    for child in std::mem::take(&mut new.children) {
        match child {
            Child::Element(child) if is_there(&child) => {
                // A container of both: what is below it is appended there.
                let deeper = present.child(&child.name).filter(|other| {
                    child.attribute("name").is_none()
                        && child.elements().next().is_some()
                        && other.elements().next().is_some()
                });
                if let Some(other) = deeper {
                    let mut child = Element::clone(&child);
                    keep_absent(&mut child, other);
                    if !child.children.is_empty() {
                        kept.push(Child::Element(Arc::new(child)));
                    }
                }
            }
            child => kept.push(child),
        }
    }
    new.children = kept;
}

/// The uuids of a tree but for one node, which a copy cannot have as well.
fn uuids(element: &Element, but: Option<&Element>, found: &mut HashSet<String>) {
    if but.is_some_and(|but| std::ptr::eq(but, element)) {
        return;
    }
    found.extend(element.attribute("uuid").map(str::to_owned));
    for child in element.elements() {
        uuids(child, but, found);
    }
}

fn without_uuids(element: &mut Element, taken: &HashSet<String>) {
    if taken.is_empty() {
        return;
    }
    element.attributes.retain(|(name, value)| &**name != "uuid" || !taken.contains(&**value));
    for child in &mut element.children {
        if let Child::Element(child) = child {
            without_uuids(Arc::make_mut(child), taken);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "<config><shared><address><entry name=\"a\"><fqdn>new.example</fqdn></entry><entry name=\"c\"><fqdn>c.example</fqdn></entry></address></shared>\
        <devices><entry name=\"localhost.localdomain\"><vsys><entry name=\"vsys1\"><rulebase><security><rules>\
        <entry name=\"r\" uuid=\"11111111-1111-1111-1111-111111111111\"><action>deny</action></entry></rules></security></rulebase></entry></vsys></entry></devices></config>";
    const CANDIDATE: &str = "<config><shared><address><entry name=\"a\"><fqdn>old.example</fqdn><description>d</description></entry><entry name=\"b\"><fqdn>b.example</fqdn></entry></address>\
        <pre-rulebase><security><rules><entry name=\"own\" uuid=\"11111111-1111-1111-1111-111111111111\"/></rules></security></pre-rulebase></shared></config>";

    fn loaded(from: &str, to: &str, mode: Mode) -> Result<String, String> {
        let (source, mut candidate) = (xml::parse(SOURCE).unwrap(), Arc::new(xml::parse(CANDIDATE).unwrap()));
        let edit = edit(&candidate, &source, (from, to), mode).map_err(|failure| failure.lines.join("; "))?;
        edit.apply(&mut candidate).map_err(|failure| failure.lines.join("; "))?;
        Ok(xml::write(candidate.descend(&["shared", "address"]).unwrap()))
    }

    #[test]
    fn a_list_is_merged_replaced_or_appended_to() {
        let list = |mode| loaded("shared/address", "/config/shared/address", mode).unwrap();
        let (a, b) = ("<entry name=\"a\"><fqdn>", "<entry name=\"b\"><fqdn>b.example</fqdn></entry>");
        let c = "<entry name=\"c\"><fqdn>c.example</fqdn></entry>";
        assert_eq!(
            list(Mode::Merge),
            format!("<address>{a}new.example</fqdn><description>d</description></entry>{b}{c}</address>")
        );
        assert_eq!(list(Mode::Replace), format!("<address>{a}new.example</fqdn></entry>{c}</address>"));
        assert_eq!(
            list(Mode::Append),
            format!("<address>{a}old.example</fqdn><description>d</description></entry>{b}{c}</address>")
        );
        let one = loaded(
            "/config/shared/address/entry[@name='a']",
            "/config/shared/address/entry[@name='copy']",
            Mode::Replace,
        );
        assert!(one.unwrap().ends_with("<entry name=\"copy\"><fqdn>new.example</fqdn></entry></address>"));
    }

    #[test]
    fn rules_of_a_firewall_become_rules_of_a_manager_and_no_uuid_is_there_twice() {
        let (source, mut candidate) = (xml::parse(SOURCE).unwrap(), Arc::new(xml::parse(CANDIDATE).unwrap()));
        let from = "devices/entry/vsys/entry[@name='vsys1']/rulebase";
        let edit = edit(&candidate, &source, (from, "/config/shared/post-rulebase"), Mode::Merge).unwrap();
        edit.apply(&mut candidate).unwrap();
        let rules = candidate.descend(&["shared", "post-rulebase", "security", "rules"]).unwrap();
        assert_eq!(xml::write(rules), "<rules><entry name=\"r\"><action>deny</action></entry></rules>");
    }

    #[test]
    fn what_is_not_of_one_kind_or_not_there_is_refused() {
        for (from, to, reason) in [
            ("shared/service", "shared/service", "/config/shared/service is not in the configuration"),
            ("shared/address/entry", "shared/address", "names 2 nodes"),
            ("shared/address", "shared/tag", "`address` cannot be loaded into `tag`"),
            ("shared/[", "shared/tag", "/config/shared/["),
        ] {
            let refused = loaded(from, to, Mode::Merge).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
    }
}
