//! XML text to a configuration tree and back: is it well formed, and does nothing get lost?
//!
//! Elements, attributes, text and comments survive in their order; white space between elements does
//! not. A DTD, an entity beyond the five of XML, a processing instruction and a text that breaks one of
//! the bounds below are refused: configuration files arrive over the network.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub use write::{escape, write, write_pretty};

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::tree::{Child, Element};

/// Longest text that is parsed, in bytes.
pub const TEXT_BYTES_MAX: usize = 64 << 20;
/// Deepest nesting; the deepest configurations of PAN-OS stay below 40.
pub const DEPTH_MAX: usize = 64;
/// Most elements in one text.
pub const ELEMENTS_MAX: usize = 2_000_000;
/// Most attributes of one element.
pub const ATTRIBUTES_MAX: usize = 64;

/// What the `element` parameter of the XML API holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// Sibling elements, perhaps none.
    Elements(Vec<Element>),
    /// The new text of a leaf.
    Text(String),
}

/// Reads a document with exactly one root. Comments around the root become its first and last children.
pub fn parse(text: &str) -> Result<Element, Diagnostic> {
    let document = read::document(text)?;
    let roots = document.elements().count();
    if roots != 1 {
        return Err(read::refusal(0, text.len(), format!("expected one root element, found {roots}")));
    }
    let mut before = Vec::new();
    let mut after = Vec::new();
    let mut root = None;
    for child in document.children {
        match child {
            Child::Element(element) => root = Some(std::sync::Arc::unwrap_or_clone(element)),
            Child::Comment(_) if root.is_none() => before.push(child),
            Child::Comment(_) => after.push(child),
            Child::Text(_) => return Err(read::refusal(0, text.len(), "text outside of the root element")),
        }
    }
    let Some(mut root) = root else {
        return Err(read::refusal(0, text.len(), "expected one root element, found none"));
    };
    root.children.splice(0..0, before);
    root.children.extend(after);
    Ok(root)
}

/// Reads any number of sibling elements, or plain text, as the XML API sends them. Comments between the
/// siblings are not kept.
pub fn parse_fragment(text: &str) -> Result<Fragment, Diagnostic> {
    let document = read::document(text)?;
    let words = document.text();
    let elements: Vec<Element> = document.elements().map(|element| (**element).clone()).collect();
    match (elements.is_empty(), words.is_empty()) {
        (true, false) => Ok(Fragment::Text(words)),
        (false, false) => Err(read::refusal(0, text.len(), "elements and text are mixed")
            .with_help("send either elements or the text of one leaf")),
        (_, true) => Ok(Fragment::Elements(elements)),
    }
}

/// Line and column of a byte offset, both from one; columns count characters.
pub fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Whether XML 1.0 can carry the character (production 2, `Char`).
fn is_xml_char(char: char) -> bool {
    matches!(char, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// Whether a tag or an attribute can have this name.
fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|first| first.is_alphabetic() || first == '_')
        && chars.all(|char| char.is_alphanumeric() || matches!(char, '_' | '-' | '.' | ':'))
}

/// The code of everything this module refuses.
const CODE: &str = codes::INVALID_XML;
