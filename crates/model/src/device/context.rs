//! What has been found wrong so far, and how is one value read?
//!
//! Every helper reports a bad value where it stands and goes on, so that all mistakes appear at once.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::Scope;
use super::node::Node;
use super::value;
use crate::codes;
use crate::diagnostic::{Diagnostic, Severity, closest};

/// Longest name of most objects in PAN-OS.
pub(super) const NAME_LENGTH_MAX: usize = 63;

/// The diagnostics of one reading.
pub(super) struct Context {
    pub(super) scope: Scope,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Interfaces with an address that was refused: what depends on it is not judged.
    pub(super) doubtful: BTreeSet<String>,
    suggestions_left: usize,
}

/// Unknown names that get a "did you mean": each is compared with every known name, and nobody reads the
/// thousandth proposal.
const SUGGESTIONS_MAX: usize = 32;

impl Context {
    pub(super) fn new(scope: Scope) -> Self {
        Self { scope, diagnostics: Vec::new(), doubtful: BTreeSet::new(), suggestions_left: SUGGESTIONS_MAX }
    }

    pub(super) fn error(&mut self, code: &'static str, at: &Node<'_>, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::error(code, at.origin(), message));
    }

    pub(super) fn warning(&mut self, code: &'static str, at: &Node<'_>, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::warning(code, at.origin(), message));
    }

    /// Adds advice to the latest diagnostic.
    pub(super) fn help(&mut self, help: impl Into<String>) {
        if let Some(last) = self.diagnostics.last_mut() {
            last.help = Some(help.into());
        }
    }

    /// An unknown name, with the closest of the known ones as advice.
    pub(super) fn unknown<'k>(
        &mut self,
        code: &'static str,
        at: &Node<'_>,
        message: String,
        name: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) {
        self.error(code, at, message);
        if let Some(near) = self.suggestion(name, known) {
            self.help(format!("did you mean `{near}`?"));
        }
    }

    /// Whether anybody asked for the closest of many names.
    pub(super) fn has_suggested(&self) -> bool {
        self.suggestions_left < SUGGESTIONS_MAX
    }

    /// The closest known name, while there are not too many unknown ones.
    pub(super) fn suggestion<'k>(&mut self, name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
        self.suggestions_left = self.suggestions_left.checked_sub(1)?;
        closest(name, known)
    }

    /// Reports text that is still a variable; such a value is not judged any further.
    pub(super) fn is_variable(&mut self, at: &Node<'_>, text: &str) -> bool {
        if !text.starts_with('$') {
            return false;
        }
        let mut diagnostic =
            Diagnostic::error(codes::UNRESOLVED_VARIABLE, at.origin(), format!("variable `{text}` has no value here"))
                .with_help("define it in the template, in the stack, or for this device in the stack");
        if self.scope == Scope::Template {
            diagnostic.severity = Severity::Warning;
        }
        self.diagnostics.push(diagnostic);
        true
    }

    /// The name of an entry, or nothing when it cannot be one.
    pub(super) fn entry_name(&mut self, at: &Node<'_>, length_max: usize) -> Option<String> {
        let name = at.name();
        if self.is_variable(at, name) {
            return None;
        }
        let message = if name.is_empty() {
            "an entry has no name".to_owned()
        } else if name.chars().count() > length_max {
            format!("`{name}` can be at most {length_max} characters, but current length: {}", name.chars().count())
        } else if name.trim() != name || name.chars().any(char::is_control) {
            format!("name `{}` starts or ends with white space or holds a control character", name.escape_debug())
        } else if matches!(name, "any" | "none" | "application-default") {
            format!("`{name}` is a reserved word")
        } else {
            return Some(name.to_owned());
        };
        self.error(codes::INVALID_NAME, at, message);
        None
    }

    /// Text of a leaf below, unless it is absent, empty or an unresolved variable.
    pub(super) fn text(&mut self, parent: &Node<'_>, tag: &str) -> Option<String> {
        let leaf = parent.child(tag)?;
        let text = leaf.text();
        (!text.is_empty() && !self.is_variable(&leaf, &text)).then_some(text)
    }

    /// `yes` or `no` in a leaf below; nothing when the leaf is absent or wrong.
    pub(super) fn yes_no(&mut self, parent: &Node<'_>, tag: &str) -> Option<bool> {
        self.word(parent, tag, &[("yes", true), ("no", false)])
    }

    /// One of a few words in a leaf below.
    pub(super) fn word<T: Copy>(&mut self, parent: &Node<'_>, tag: &str, words: &[(&str, T)]) -> Option<T> {
        let leaf = parent.child(tag)?;
        let text = leaf.text();
        if self.is_variable(&leaf, &text) {
            return None;
        }
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let list = known.join("`, `");
            self.unknown(codes::INVALID_ENUM, &leaf, format!("`{text}` is not one of `{list}`"), &text, known);
        }
        found
    }

    /// A number in a leaf below, within a range.
    pub(super) fn number<T: TryFrom<u32>>(
        &mut self,
        parent: &Node<'_>,
        tag: &str,
        range: RangeInclusive<u32>,
    ) -> Option<T> {
        let leaf = parent.child(tag)?;
        let text = leaf.text();
        if self.is_variable(&leaf, &text) {
            return None;
        }
        let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten();
        match number.filter(|number| range.contains(number)).and_then(|number| T::try_from(number).ok()) {
            Some(number) => Some(number),
            None => {
                let (low, high) = (range.start(), range.end());
                self.error(codes::INVALID_NUMBER, &leaf, format!("`{text}` is not a number from {low} to {high}"));
                None
            }
        }
    }

    /// The branch that is set among those that exclude one another; two branches are an error and the
    /// first one is read.
    pub(super) fn choice<'a>(&mut self, parent: &Node<'a>, branches: &[&str]) -> Option<Node<'a>> {
        let set: Vec<Node<'a>> = parent.children().filter(|child| branches.contains(&child.tag())).collect();
        if let [first, second, ..] = set.as_slice()
            && first.tag() != second.tag()
        {
            let message = format!("`{}` and `{}` exclude one another", first.tag(), second.tag());
            self.error(codes::CHOICE, second, message);
            self.help("keep one of the two");
        }
        set.into_iter().next()
    }

    /// Ports in a leaf below.
    pub(super) fn ports(&mut self, parent: &Node<'_>, tag: &str) -> Option<Vec<(u16, u16)>> {
        let leaf = parent.child(tag)?;
        let text = leaf.text();
        if self.is_variable(&leaf, &text) {
            return None;
        }
        let ports = value::ports(&text);
        if ports.is_none() {
            self.error(codes::INVALID_PORT, &leaf, format!("`{text}` is not a list of ports"));
            self.help("write numbers from 0 to 65535 and ranges, e.g. `80,443,8000-8099`");
        }
        ports
    }
}
