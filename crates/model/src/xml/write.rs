//! How is this tree spelled?
//!
//! No prolog: clients of the XML API stumble over one. What XML cannot carry (control characters, `--`
//! in a comment) can only come from code, never from a parsed text, and is replaced.

use std::fmt::Write;

use super::is_xml_char;
use crate::tree::{Child, Element};

/// Compact, on one line.
pub fn write(element: &Element) -> String {
    let mut out = String::new();
    push_element(&mut out, element, None);
    out
}

/// One element per line, indented by two spaces, a newline at the end.
pub fn write_pretty(element: &Element) -> String {
    let mut out = String::new();
    push_element(&mut out, element, Some(0));
    out.push('\n');
    out
}

/// A text as it stands between tags.
pub fn escape(text: &str) -> String {
    let mut out = String::new();
    push_escaped(&mut out, text, false);
    out
}

/// `indent` is the depth when pretty; text keeps its white space, so an element with text stays on one line.
fn push_element(out: &mut String, element: &Element, indent: Option<usize>) {
    out.push('<');
    out.push_str(&element.name);
    for (name, value) in &element.attributes {
        out.push(' ');
        out.push_str(name);
        out.push_str("=\"");
        push_escaped(out, value, true);
        out.push('"');
    }
    if element.children.is_empty() {
        out.push_str("/>");
        return;
    }
    out.push('>');
    let has_text = element.children.iter().any(|child| matches!(child, Child::Text(_)));
    let inner = if has_text { None } else { indent.map(|depth| depth + 1) };
    for child in &element.children {
        push_break(out, inner);
        match child {
            Child::Element(element) => push_element(out, element, inner),
            Child::Text(text) => push_escaped(out, text, false),
            Child::Comment(text) => push_comment(out, text),
        }
    }
    if inner.is_some() {
        push_break(out, indent);
    }
    out.push_str("</");
    out.push_str(&element.name);
    out.push('>');
}

fn push_break(out: &mut String, indent: Option<usize>) {
    if let Some(depth) = indent {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    }
}

fn push_comment(out: &mut String, text: &str) {
    let mut last = ' ';
    out.push_str("<!--");
    for char in text.chars() {
        if char == '-' && last == '-' {
            out.push(' ');
        }
        last = if is_xml_char(char) { char } else { char::REPLACEMENT_CHARACTER };
        out.push(last);
    }
    if last == '-' {
        out.push(' ');
    }
    out.push_str("-->");
}

fn push_escaped(out: &mut String, text: &str, attribute: bool) {
    for char in text.chars() {
        match char {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' if attribute => out.push_str("&quot;"),
            // A parser turns these into spaces or newlines unless they are references.
            '\r' => out.push_str("&#13;"),
            '\n' | '\t' if attribute => {
                // Writing to a `String` cannot fail.
                let _ = write!(out, "&#{};", u32::from(char));
            }
            char if is_xml_char(char) => out.push(char),
            _ => out.push(char::REPLACEMENT_CHARACTER),
        }
    }
}
