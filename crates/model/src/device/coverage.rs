//! Which part of the configuration is stored and does nothing?
//!
//! `enforced.txt` lists every element this version gives a meaning to; whatever else stands in the tree
//! is reported, once per kind of element, together with elements that stand twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::context::Context;
use super::node::Node;
use crate::codes;
use crate::diagnostic::{Diagnostic, Origin, closest};

/// The list. A line is a tag, indented by two spaces below its parent. `tag = value`: without effect
/// while it holds that value, reported otherwise. `tag ?`: without effect unless `enable` below is `yes`.
/// `tag ! text`: always reported, with what then happens. `tag **`: everything below is documentation for
/// people or reported by its reader. `entry[name]`: only the entry of that name. `@part` starts a reusable
/// part and `+part` inserts it.
const ENFORCED: &str = include_str!("enforced.txt");

static KNOWN: LazyLock<Known> = LazyLock::new(|| Known::parse(ENFORCED));

/// Reports everything in the tree that is not on the list.
pub(super) fn check(context: &mut Context, root: &Node<'_>) {
    let mut unknown = BTreeMap::new();
    walk(context, root, &KNOWN, &mut unknown);
    for (_, Unknown { origin, tag, places, near, effect }) in unknown {
        let elsewhere = match places {
            1 => String::new(),
            2 => " (here and in 1 more place)".to_owned(),
            _ => format!(" (here and in {} more places)", places - 1),
        };
        let mut diagnostic = Diagnostic::warning(
            codes::NOT_ENFORCED,
            origin,
            format!("`{tag}` is stored but not enforced{effect}{elsewhere}"),
        );
        diagnostic.help = near.map(|near| format!("did you mean `{near}`?"));
        context.diagnostics.push(diagnostic);
    }
}

/// A kind of element that is not on the list.
struct Unknown {
    /// The first one.
    origin: Origin,
    tag: String,
    places: usize,
    near: Option<String>,
    /// What happens instead, with a colon before it.
    effect: String,
}

#[derive(Clone, Debug, Default)]
struct Known {
    children: BTreeMap<String, Known>,
    /// The value at which the element has no effect.
    status: Status,
}

#[derive(Clone, Debug, Default)]
enum Status {
    #[default]
    Enforced,
    /// The value at which the element has no effect.
    Neutral(String),
    UnlessEnabled,
    /// What happens instead.
    Reported(String),
    EverythingBelow,
}

fn walk(context: &mut Context, node: &Node<'_>, known: &Known, unknown: &mut BTreeMap<String, Unknown>) {
    check_twice(context, node);
    for child in node.children() {
        let named = format!("{}[{}]", child.tag(), child.name());
        let Some(known) = known.children.get(&named).or_else(|| known.children.get(child.tag())) else {
            let near = closest(child.tag(), known.children.keys().map(String::as_str));
            note(unknown, &child, near.filter(|near| *near != child.tag()), "");
            continue;
        };
        match &known.status {
            Status::Enforced => walk(context, &child, known, unknown),
            Status::Neutral(neutral) if child.text() == *neutral => {}
            Status::UnlessEnabled if child.element().child("enable").is_none_or(|leaf| leaf.text() != "yes") => {}
            Status::Neutral(_) | Status::UnlessEnabled => note(unknown, &child, None, ""),
            Status::Reported(effect) => note(unknown, &child, None, effect),
            Status::EverythingBelow => {}
        }
    }
}

fn note(unknown: &mut BTreeMap<String, Unknown>, node: &Node<'_>, near: Option<&str>, effect: &str) {
    // Entries of unsupported kinds differ by what they are, everything else by its schema path.
    let path = node.tags().join("/");
    let tag = match node.tag() {
        "entry" => node.element().step(),
        tag => tag.to_owned(),
    };
    unknown.entry(path).and_modify(|unknown| unknown.places += 1).or_insert_with(|| Unknown {
        origin: node.origin(),
        tag,
        places: 1,
        near: near.map(str::to_owned),
        effect: if effect.is_empty() { String::new() } else { format!(": {effect}") },
    });
}

/// Entries of one name, members of one text and other elements of one tag stand once.
fn check_twice(context: &mut Context, node: &Node<'_>) {
    let mut seen = BTreeSet::new();
    for child in node.children() {
        let step = child.element().step();
        if seen.insert(step) {
            continue;
        }
        match child.tag() {
            "entry" => {
                let message = format!("`{}` is already in use", child.name());
                context.error(codes::DUPLICATE_NAME, &child, message);
                context.help("rename or remove one of the two");
            }
            "member" => {
                let message = format!("`{}` stands in the list twice", child.text());
                context.warning(codes::DUPLICATE_MEMBER, &child, message);
            }
            tag => {
                let message = format!("`{tag}` stands here twice");
                context.error(codes::DUPLICATE_ELEMENT, &child, message);
                context.help("keep one of the two; only the first is read");
            }
        }
    }
}

impl Known {
    fn parse(text: &str) -> Self {
        let mut parts: BTreeMap<&str, Known> = BTreeMap::new();
        let mut part = "";
        let mut path: Vec<String> = Vec::new();
        for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix('@') {
                part = name;
                path.clear();
                continue;
            }
            let depth = (line.len() - line.trim_start().len()) / 2;
            path.truncate(depth);
            let line = line.trim();
            if let Some(name) = line.strip_prefix('+') {
                let inserted = parts.get(name).cloned().unwrap_or_default();
                parts.entry(part).or_default().at(&path).children.extend(inserted.children);
                continue;
            }
            let (tag, status) = if let Some((tag, neutral)) = line.split_once(" = ") {
                (tag, Status::Neutral(neutral.to_owned()))
            } else if let Some((tag, effect)) = line.split_once(" ! ") {
                (tag, Status::Reported(effect.to_owned()))
            } else if let Some(tag) = line.strip_suffix(" ?") {
                (tag, Status::UnlessEnabled)
            } else if let Some(tag) = line.strip_suffix(" **") {
                (tag, Status::EverythingBelow)
            } else {
                (line, Status::Enforced)
            };
            let known = Known { status, ..Known::default() };
            parts.entry(part).or_default().at(&path).children.insert(tag.to_owned(), known);
            path.push(tag.to_owned());
        }
        parts.remove("config").unwrap_or_default()
    }

    fn at(&mut self, path: &[String]) -> &mut Known {
        path.iter().fold(self, |here, tag| here.children.entry(tag.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::KNOWN;

    #[test]
    fn the_list_reaches_the_far_corners() {
        let reach = |path: &str| path.split(' ').try_fold(&*KNOWN, |here, tag| here.children.get(tag)).is_some();
        assert!(reach("devices entry network interface ethernet entry layer3 ip entry"));
        assert!(reach("devices entry vsys entry[vsys1] rulebase security rules entry from member"));
        assert!(reach("panorama vsys entry[vsys1] pre-rulebase nat rules entry source-translation"));
        assert!(reach("shared address entry ip-netmask"));
        assert!(!reach("devices entry network ike"));
    }
}
