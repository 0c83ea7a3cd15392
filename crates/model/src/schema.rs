//! Is a value one that the vendor's schema allows, and which elements exclude one another?
//!
//! `schema/table.txt` says what PAN-OS has: made by `scripts/schema-table` from public facts; `schema/own.txt` what these
//! do not have: the plugin for Kubernetes, traffic objects, and elements of ours. A kind of object begins with `kind NAME`,
//! its places follow (`at` and the tags from the root on), and then its elements, indented by two spaces for each level:
//! `|1` in front of a branch of a choice, the tag, and what it holds. `node` holds elements; `text`, `int` and `float` have
//! bounds `LEAST..MOST`, of characters or of the number; `bool` is `yes` or `no`; `enum` lists its words. What the table
//! does not know is not looked at.

mod facts;
mod table;
mod walk;

use std::collections::HashSet;
use std::sync::Arc;

use self::table::{Bounds, Rule, Schema};
use crate::codes;
use crate::diagnostic::{Diagnostic, Origin};
use crate::tree::{Element, quote};
use crate::xpath::{NameTest, XPath};
pub use facts::{Facts, Field, Kind, facts};
pub(crate) use walk::Position;

/// Violations that are told at once.
pub const VIOLATIONS_MAX: usize = 100;
/// Characters of a value that are repeated in a message.
const SHOWN_MAX: usize = 64;

/// What a sealed value begins with, as an encrypted one of PAN-OS does.
pub const SEALED: &str = "-AQ==";
/// Bytes that sealing adds: the nonce and the tag of AES-256-GCM.
const SEALED_EXTRA: usize = 12 + 16;

/// A value that the schema does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Canonical XPath of the element.
    pub xpath: String,
    /// What is wrong, in the form of PAN-OS: ` web -> description can be at most ...`.
    pub line: String,
}

/// What is wrong with the parts of `after` that `before` does not share with it, at most [`VIOLATIONS_MAX`] of it.
///
/// Both are trees from the root `config` on. What stood there already is not told again, so that the rest can be
/// edited.
pub fn check(before: Option<&Element>, after: &Element) -> Vec<Violation> {
    let schema = Schema::get();
    let mut walk = Walk { schema, xpath: Vec::new(), variables: false, found: Vec::new() };
    if let Some(root) = schema.root(&after.name) {
        walk.element(root, before, after);
    }
    walk.found
}

/// The same as warnings, for what was not written but loaded: the table has facts of some versions only, and a whole
/// configuration is not to be turned away for a word that another version knows.
pub fn warnings(before: &Element, after: &Element) -> Vec<Diagnostic> {
    check(Some(before), after)
        .into_iter()
        .map(|violation| Diagnostic::warning(codes::SCHEMA, Origin::xpath(violation.xpath), violation.line.trim()))
        .collect()
}

/// The words that the element at an XPath may hold; none when others are allowed or the schema has no such element.
pub fn keywords(xpath: &str) -> Vec<&'static str> {
    match rule_at(xpath) {
        Some(Rule::Flag) => vec!["yes", "no"],
        Some(Rule::Words(words)) => words.clone(),
        Some(_) | None => Vec::new(),
    }
}

fn rule_at(xpath: &str) -> Option<&'static Rule> {
    node_at(xpath).map(|node| Schema::get().rule(node))
}

/// The schema's node of the element that an XPath names, whatever its predicates.
fn node_at(xpath: &str) -> Option<usize> {
    let schema = Schema::get();
    let path = XPath::parse(xpath).ok()?.paths.into_iter().next()?;
    let mut tags = path.steps.iter().map(|step| match &step.test {
        NameTest::Tag(tag) => Some(tag.as_str()),
        NameTest::Any => None,
    });
    let root = schema.root(tags.next()??)?;
    tags.try_fold(root, |node, tag| schema.child(node, tag?))
}

/// The branches of the choice that `tag` belongs to as a child of the element with this path of tags; empty when it
/// is no choice.
pub(crate) fn branches(path: &[&str], tag: &str) -> &'static [&'static str] {
    Schema::get().branches(path, tag)
}

struct Walk {
    schema: &'static Schema,
    /// Steps of the element that is looked at.
    xpath: Vec<String>,
    /// Whether values may be variables, which have values only on a device.
    variables: bool,
    found: Vec<Violation>,
}

impl Walk {
    fn element(&mut self, node: usize, before: Option<&Element>, after: &Element) {
        if self.found.len() >= VIOLATIONS_MAX {
            return;
        }
        let variables = self.variables;
        self.variables |= self.xpath.last().is_some_and(|tag| tag == "template" || tag == "template-stack");
        self.xpath.push(after.step());
        if after.elements().next().is_some() {
            self.choices(node, before, after);
            self.children(node, before, after);
        } else if before.is_none_or(|before| before.text() != after.text()) {
            self.value(self.schema.rule(node), &after.text());
        }
        self.xpath.pop();
        self.variables = variables;
    }

    fn children(&mut self, node: usize, before: Option<&Element>, after: &Element) {
        let mut shared: Option<HashSet<*const Element>> = None;
        let mut old = before.into_iter().flat_map(Element::elements);
        for child in after.elements() {
            let here = old.next();
            if here.is_some_and(|here| Arc::ptr_eq(here, child)) {
                continue;
            }
            let Some(inner) = self.schema.child(node, &child.name) else { continue };
            let mut same = here.filter(|here| here.name == child.name && here.attributes == child.attributes);
            if same.is_none() && here.is_some() | shared.is_some() {
                // Behind an entry that was removed or put in, what is shared stands at another place.
                let shared = shared
                    .get_or_insert_with(|| before.into_iter().flat_map(Element::elements).map(Arc::as_ptr).collect());
                if shared.contains(&Arc::as_ptr(child)) {
                    continue;
                }
            }
            if same.is_none() && !matches!(&*child.name, "entry" | "member") {
                same = before.and_then(|before| before.child(&child.name));
            }
            self.element(inner, same.map(|same| &**same), child);
        }
    }

    /// Two branches of a choice at once.
    fn choices(&mut self, node: usize, before: Option<&Element>, after: &Element) {
        for (at, child) in after.elements().enumerate() {
            let branches = self.schema.branches_of(node, &child.name);
            let other = after
                .elements()
                .take(if branches.is_empty() { 0 } else { at })
                .find(|other| other.name != child.name && branches.contains(&&*other.name));
            let Some(other) = other else { continue };
            let stood = |tag: &str| before.is_some_and(|before| before.child(tag).is_some());
            if !(stood(&child.name) && stood(&other.name)) {
                self.tell(format!("has both {} and {}, which exclude one another", other.name, child.name));
            }
        }
    }

    fn value(&mut self, rule: &Rule, text: &str) {
        // An element without text says that it is there; what it lacks is found when it is used.
        if text.is_empty() || (self.variables && text.starts_with('$')) {
            return;
        }
        let shown = || {
            let mut short: String = text.chars().take(SHOWN_MAX).collect();
            if short.len() < text.len() {
                short.push('…');
            }
            quote(&short)
        };
        match rule {
            Rule::Any | Rule::Node => {}
            Rule::Text(bounds) => {
                if let Some(length) = length_of(text)
                    && let Some(limit) = bounds.broken_by(length as f64)
                {
                    self.tell(format!("can be {limit} characters, but current length: {length}"));
                }
            }
            Rule::Integer(bounds) => match text.parse::<i64>() {
                Ok(number) => self.number(bounds, number as f64, &shown()),
                Err(_) => self.tell(format!("{} is not a whole number", shown())),
            },
            Rule::Number(bounds) => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => self.number(bounds, number, &shown()),
                Ok(_) | Err(_) => self.tell(format!("{} is not a number", shown())),
            },
            Rule::Flag if !matches!(text, "yes" | "no") => self.tell(format!("{} is not 'yes' or 'no'", shown())),
            Rule::Words(words) if !words.contains(&text) => {
                let words: Vec<String> = words.iter().map(|word| quote(word)).collect();
                self.tell(format!("{} is not an allowed keyword; it is one of {}", shown(), words.join(", ")));
            }
            Rule::Flag | Rule::Words(_) => {}
        }
    }

    fn number(&mut self, bounds: &Bounds, number: f64, shown: &str) {
        if let Some(limit) = bounds.broken_by(number) {
            self.tell(format!("{shown} is out of range, it can be {limit}"));
        }
    }

    fn tell(&mut self, what: String) {
        let from = self.xpath.len().saturating_sub(3).max(1);
        let names: Vec<&str> = self.xpath[from..].iter().map(|step| name_of(step)).collect();
        let xpath = format!("/{}", self.xpath.join("/"));
        self.found.push(Violation { xpath, line: format!(" {} {what}", names.join(" -> ")) });
    }
}

/// What PAN-OS calls a step in its messages: the name of an entry, the tag of anything else.
fn name_of(step: &str) -> &str {
    let quoted = step.strip_prefix("entry[@name=").and_then(|rest| rest.strip_suffix(']'));
    match quoted {
        Some(quoted) => quoted.trim_matches(['\'', '"']),
        None if step.starts_with("member[") => "member",
        None => step,
    }
}

/// Characters of a text, bytes of what was sealed; nothing for what PAN-OS encrypted, which has a digest in front.
fn length_of(text: &str) -> Option<usize> {
    let Some(sealed) = text.strip_prefix(SEALED) else {
        return Some(text.chars().count());
    };
    let digits = sealed.trim_end_matches('=');
    Some((digits.len() * 3 / 4).saturating_sub(SEALED_EXTRA)).filter(|_| !digits.contains('='))
}

#[cfg(test)]
mod tests;
