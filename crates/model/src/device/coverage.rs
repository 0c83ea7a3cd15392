//! Which part of the configuration is stored and does nothing?
//!
//! `enforced.txt` lists every element this version gives a meaning to; whatever else stands in the tree
//! is reported, once per kind of element, together with elements that stand twice.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::context::Context;
use super::node::Node;
use super::standing::{Covered, Notes, Parts};
use crate::codes;
use crate::diagnostic::{Diagnostic, Origin, closest};
use crate::tree::{Child, Element};

/// The list. A line is a tag, indented by two spaces below its parent. `tag = value`: without effect
/// while it holds that value, reported otherwise. `tag ?`: without effect unless `enable` below is `yes`.
/// `tag ! text`: always reported, with what then happens. `tag **`: everything below is documentation for
/// people or reported by its reader. `entry[name]`: only the entry of that name. `@part` starts a reusable
/// part and `+part` inserts it.
const ENFORCED: &str = include_str!("enforced.txt");

static KNOWN: LazyLock<Known> = LazyLock::new(|| Known::parse(ENFORCED));

/// Reports everything in the tree that is not on the list. `parts` gets what each security rule contributed, in the
/// order of the tree, and apart from that what anything else did.
pub(super) fn check(context: &mut Context, root: &Node<'_>, mut parts: Option<&mut Parts>) {
    let mut unknown = Unknowns::new();
    let before = context.diagnostics.len();
    let mut of_rules = parts.is_some().then(Vec::new);
    walk(context, root, &KNOWN, &mut unknown, &mut of_rules);
    if let Some(parts) = &mut parts {
        let of_rules = of_rules.unwrap_or_default();
        let mut from = before;
        for covered in &of_rules {
            parts.rest.extend_from_slice(&context.diagnostics[from..covered.diagnostics.start]);
            from = covered.diagnostics.end;
        }
        parts.rest.extend_from_slice(&context.diagnostics[from..]);
        for covered in of_rules {
            let diagnostics = context.diagnostics[covered.diagnostics].to_vec();
            parts.covered.push((covered.rule, diagnostics, covered.notes));
        }
        // What is in rules is known by its path.
        let rest = unknown.iter().filter(|(path, _)| !is_in_rule(path));
        parts.rest.extend(rest.map(|(_, unknown)| unknown.diagnostic()));
    }
    context.diagnostics.extend(unknown.values().map(Unknown::diagnostic));
}

/// What one rule of the pushed rule bases contributes: what stands in it twice, and what is not on the list.
pub(super) fn check_rule(context: &mut Context, rule: &Node<'_>) -> Notes {
    let mut unknown = Unknowns::new();
    let tags = rule.tags();
    let known = tags.iter().skip(1).try_fold(&*KNOWN, |known, tag| {
        known.children.get(*tag).or_else(|| known.children.get(&format!("{tag}[vsys1]")))
    });
    if let Some(known) = known {
        walk(context, rule, known, &mut unknown, &mut None);
    }
    unknown.into_iter().collect()
}

/// What several rules contribute together.
pub(super) fn merged<'n>(notes: impl Iterator<Item = &'n (String, Unknown)>) -> Vec<Diagnostic> {
    let mut unknown: BTreeMap<&str, Unknown> = BTreeMap::new();
    for (path, note) in notes {
        unknown.entry(path).and_modify(|known| known.places += note.places).or_insert_with(|| note.clone());
    }
    unknown.values().map(Unknown::diagnostic).collect()
}

type Unknowns = BTreeMap<String, Unknown>;

fn is_in_rule(path: &str) -> bool {
    RULES.iter().any(|rules| path.strip_prefix(rules).is_some_and(|rest| rest.starts_with('/')))
}

/// Where the entries of pushed security rules are.
const RULES: [&str; 2] = [
    "config/panorama/vsys/entry/pre-rulebase/security/rules/entry",
    "config/panorama/vsys/entry/post-rulebase/security/rules/entry",
];

/// A kind of element that is not on the list.
#[derive(Clone, Debug)]
pub(super) struct Unknown {
    /// The first one.
    origin: Origin,
    tag: String,
    places: usize,
    near: Option<String>,
    /// What happens instead, with a colon before it.
    effect: String,
}

impl Unknown {
    fn diagnostic(&self) -> Diagnostic {
        let Self { tag, effect, .. } = self;
        let elsewhere = match self.places {
            1 => String::new(),
            2 => " (here and in 1 more place)".to_owned(),
            places => format!(" (here and in {} more places)", places - 1),
        };
        let message = format!("`{tag}` is stored but not enforced{effect}{elsewhere}");
        let mut diagnostic = Diagnostic::warning(codes::NOT_ENFORCED, self.origin.clone(), message);
        diagnostic.help = self.near.as_ref().map(|near| format!("did you mean `{near}`?"));
        diagnostic
    }
}

#[derive(Clone, Debug, Default)]
struct Known {
    children: BTreeMap<String, Known>,
    /// Some children are for entries of one name only.
    has_named: bool,
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

/// `of_rules`: each security rule apart, where somebody wants that.
fn walk(
    context: &mut Context,
    node: &Node<'_>,
    known: &Known,
    unknown: &mut Unknowns,
    of_rules: &mut Option<Vec<Covered>>,
) {
    check_twice(context, node);
    let are_rules = of_rules.is_some() && node.tag() == "rules" && {
        let path = node.tags().join("/") + "/entry";
        RULES.contains(&path.as_str())
    };
    for child in node.children() {
        let Some(known) = known.child(&child) else {
            let near = closest(child.tag(), known.children.keys().map(String::as_str));
            note(unknown, &child, near.filter(|near| *near != child.tag()), "");
            continue;
        };
        if let Some(of_rules) = of_rules.as_mut().filter(|_| are_rules) {
            let before = context.diagnostics.len();
            let mut own = Unknowns::new();
            walk(context, &child, known, &mut own, &mut None);
            of_rules.push(Covered {
                rule: std::ptr::from_ref(child.element()),
                diagnostics: before..context.diagnostics.len(),
                notes: own.clone().into_iter().collect(),
            });
            for (path, note) in own {
                unknown.entry(path).and_modify(|known| known.places += note.places).or_insert(note);
            }
            continue;
        }
        match &known.status {
            Status::Enforced => walk(context, &child, known, unknown, of_rules),
            Status::Neutral(neutral) if child.text() == *neutral => {}
            Status::UnlessEnabled if child.element().child("enable").is_none_or(|leaf| leaf.text() != "yes") => {}
            Status::Neutral(_) | Status::UnlessEnabled => note(unknown, &child, None, ""),
            Status::Reported(effect) => note(unknown, &child, None, effect),
            Status::EverythingBelow => {}
        }
    }
}

fn note(unknown: &mut Unknowns, node: &Node<'_>, near: Option<&str>, effect: &str) {
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
    if node.element().elements().nth(1).is_none() {
        return;
    }
    let mut seen = BTreeSet::new();
    for element in node.element().elements() {
        let is_new = match &*element.name {
            "member" => seen.insert(("member", None, text(element))),
            tag => seen.insert((tag, element.attribute("name"), Cow::Borrowed(""))),
        };
        if is_new {
            continue;
        }
        let child = node.below(element);
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

/// The text of an element, as [`Element::text`] gives it.
fn text(element: &Element) -> Cow<'_, str> {
    let mut texts =
        element.children.iter().filter_map(|child| if let Child::Text(text) = child { Some(&**text) } else { None });
    match (texts.next(), texts.next()) {
        (Some(_), Some(_)) => Cow::Owned(element.text()),
        (first, _) => Cow::Borrowed(first.unwrap_or_default().trim()),
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
                let here = parts.entry(part).or_default().at(&path);
                here.has_named |= inserted.has_named;
                here.children.extend(inserted.children);
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
            let here = parts.entry(part).or_default().at(&path);
            here.has_named |= tag.ends_with(']');
            here.children.insert(tag.to_owned(), known);
            path.push(tag.to_owned());
        }
        parts.remove("config").unwrap_or_default()
    }

    /// What is known of a child: as an entry of its name before as one of its tag.
    fn child(&self, child: &Node<'_>) -> Option<&Known> {
        let named = self.has_named.then(|| self.children.get(&format!("{}[{}]", child.tag(), child.name())));
        named.flatten().or_else(|| self.children.get(child.tag()))
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
