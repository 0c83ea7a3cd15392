//! Which nodes does this XPath mean?
//!
//! The part of XPath that clients of the PAN-OS XML API use: absolute child steps, `*`, predicates on
//! `@name`, `@uuid`, `text()` and a nested path (`tag/member='x'`), `and`, `or`, a final `/@name`, and unions. Anything
//! else is refused with its position.

mod parse;
mod select;
#[cfg(test)]
mod tests;

use std::fmt;

pub use select::{Match, Matched};

/// Longest XPath that is read, in bytes; clients name up to a few hundred entries in one predicate.
pub const XPATH_BYTES_MAX: usize = 256 << 10;
/// Most steps of one path.
pub const STEPS_MAX: usize = 64;
/// Most alternatives of one predicate and most paths of one union.
pub const ALTERNATIVES_MAX: usize = 4096;

/// A parsed XPath: one path or a union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XPath {
    /// The paths of the union, one if there is no `|`.
    pub paths: Vec<Path>,
}

/// One absolute path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path {
    /// Steps from the root; the first one is the root element itself.
    pub steps: Vec<Step>,
    /// The path ends in `/@attribute`.
    pub attribute: Option<String>,
}

/// One step with its predicates, all of which must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Tag, or `*`.
    pub test: NameTest,
    /// Predicates in the order written.
    pub predicates: Vec<Predicate>,
}

/// Which tags a step accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameTest {
    /// Every tag.
    Any,
    /// This tag.
    Tag(String),
}

/// A condition on an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Predicate {
    /// `left = 'value'` or `left != 'value'`.
    Compare {
        /// What is compared.
        operand: Operand,
        /// The literal.
        value: String,
        /// `!=`.
        negated: bool,
    },
    /// The operand is there, e.g. `[@loc]` or `[source-translation]`.
    Exists(Operand),
    /// All hold.
    And(Vec<Predicate>),
    /// One holds.
    Or(Vec<Predicate>),
    /// The inner one does not hold.
    Not(Box<Predicate>),
    /// Position among the nodes that the step has selected so far, from one.
    Position(usize),
    /// `last()`.
    Last,
}

/// Left side of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// `@name`.
    Attribute(String),
    /// `text()`.
    Text,
    /// `name()`.
    Tag,
    /// Text of any element reached by these tags: `tag/member`.
    Path(Vec<String>),
}

/// Why an XPath was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XPathError {
    /// Byte offset in the text.
    pub position: usize,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for XPathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at character {} of the xpath", self.message, self.position + 1)
    }
}

impl std::error::Error for XPathError {}

impl XPath {
    /// Reads an XPath.
    pub fn parse(text: &str) -> Result<Self, XPathError> {
        parse::xpath(text)
    }

    /// The path, unless this is a union.
    pub fn single(&self) -> Option<&Path> {
        match self.paths.as_slice() {
            [path] => Some(path),
            _ => None,
        }
    }
}

impl Step {
    /// A tag without predicates.
    pub fn tag(tag: &str) -> Self {
        Self { test: NameTest::Tag(tag.to_owned()), predicates: Vec::new() }
    }

    /// `entry[@name='name']`.
    pub fn entry(name: &str) -> Self {
        let operand = Operand::Attribute("name".to_owned());
        let predicate = Predicate::Compare { operand, value: name.to_owned(), negated: false };
        Self { test: NameTest::Tag("entry".to_owned()), predicates: vec![predicate] }
    }

    /// The tag, unless the step is `*`.
    pub fn name(&self) -> Option<&str> {
        match &self.test {
            NameTest::Any => None,
            NameTest::Tag(tag) => Some(tag),
        }
    }

    /// The value that the only predicate demands of an attribute.
    pub fn attribute(&self, wanted: &str) -> Option<&str> {
        match self.predicates.as_slice() {
            [Predicate::Compare { operand: Operand::Attribute(name), value, negated: false }] if name == wanted => {
                Some(value)
            }
            _ => None,
        }
    }

    /// The text that the only predicate demands.
    pub fn text(&self) -> Option<&str> {
        match self.predicates.as_slice() {
            [Predicate::Compare { operand: Operand::Text, value, negated: false }] => Some(value),
            _ => None,
        }
    }
}
