//! How does a difference read?
//!
//! As XML under its XPath, or as lines of the operator's command line.

use std::fmt::Write;

use super::{Change, ChangeKind};
use crate::tree::Element;
use crate::words::{of_xpath as words, word};
use crate::xml::write_pretty;

/// Lines that begin with `@@` and the XPath, then `-` for what was and `+` for what is.
pub fn unified(changes: &[Change]) -> String {
    let mut text = String::new();
    for change in changes {
        let word = match change.kind {
            ChangeKind::Added => "added",
            ChangeKind::Removed => "removed",
            ChangeKind::Changed => "changed",
            ChangeKind::Moved => "moved",
        };
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "@@ {} ({word})", change.xpath);
        match change.kind {
            ChangeKind::Added | ChangeKind::Removed => {
                push_xml(&mut text, '-', change.old.as_deref());
                push_xml(&mut text, '+', change.new.as_deref());
            }
            ChangeKind::Changed => {
                push_xml(&mut text, '-', change.old.as_deref().map(without_children).as_ref());
                push_xml(&mut text, '+', change.new.as_deref().map(without_children).as_ref());
            }
            ChangeKind::Moved => {}
        }
    }
    text
}

/// `set`, `delete` and `move` lines that make the old version into the new one, in the form of the PAN-OS
/// command line.
pub fn set_lines(changes: &[Change]) -> Vec<String> {
    let mut lines = Vec::new();
    for change in changes {
        let path = words(&change.xpath);
        match (change.kind, &change.old, &change.new) {
            (ChangeKind::Removed, ..) => lines.push(format!("delete {path}")),
            (ChangeKind::Added, _, Some(new)) => push_set(&mut lines, &path, new),
            (ChangeKind::Changed, _, Some(new)) => push_leaf(&mut lines, &path, new),
            (ChangeKind::Moved, ..) => {
                let place = change.follows.as_deref().map_or("top".to_owned(), |name| format!("after {}", word(name)));
                lines.push(format!("move {path} {place}"));
            }
            (ChangeKind::Added | ChangeKind::Changed, _, None) => {}
        }
    }
    // The command line knows only one device and does not name it.
    lines.iter().map(|line| line.replacen(" devices localhost.localdomain ", " ", 1)).collect()
}

fn push_xml(text: &mut String, sign: char, element: Option<&Element>) {
    for line in element.map(write_pretty).unwrap_or_default().lines() {
        text.push(sign);
        text.push_str(line);
        text.push('\n');
    }
}

/// The element's own text and attributes: what differs below it is a change of its own.
fn without_children(element: &Element) -> Element {
    let text = element.text();
    let mut own = if text.is_empty() { Element::new(&element.name) } else { Element::leaf(&element.name, &text) };
    own.attributes = element.attributes.clone();
    own
}

/// One line per leaf; `path` already names the element.
fn push_set(lines: &mut Vec<String>, path: &str, element: &Element) {
    let members: Vec<String> = element.members().map(|member| word(&member)).collect();
    if !members.is_empty() {
        lines.push(format!("set {path} [ {} ]", members.join(" ")));
    }
    let mut has_inner = !members.is_empty();
    for child in element.elements().filter(|child| &*child.name != "member") {
        has_inner = true;
        let step = child.attribute("name").filter(|_| &*child.name == "entry").unwrap_or(&child.name);
        push_set(lines, &format!("{path} {}", word(step)), child);
    }
    if !has_inner {
        push_leaf(lines, path, element);
    }
}

fn push_leaf(lines: &mut Vec<String>, path: &str, element: &Element) {
    let text = element.text();
    // A member's own text is the last word of its path already.
    if text.is_empty() || &*element.name == "member" {
        lines.push(format!("set {path}"));
    } else {
        lines.push(format!("set {path} {}", word(&text)));
    }
}
