//! The configuration tree: elements, attributes and text, in document order, cheap to snapshot.
//!
//! Children sit behind `Arc`, so cloning a whole configuration is O(1) and an edit copies only the path
//! from the root to the node (candidate and running share everything else; diff skips shared parts).

use std::sync::{Arc, LazyLock};

/// Byte range in the text an element was parsed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset one past the last byte.
    pub end: usize,
}

/// What stands between an element's tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Child {
    /// A nested element.
    Element(Arc<Element>),
    /// Character data, unescaped. White space between elements is not kept.
    Text(Arc<str>),
    /// A comment, without its `<!--` and `-->`.
    Comment(Arc<str>),
}

/// Name and value, unescaped.
pub type Attribute = (Arc<str>, Arc<str>);

/// One element.
#[derive(Clone, Debug, Default)]
pub struct Element {
    /// Tag.
    pub name: Arc<str>,
    /// Attributes in document order, unescaped.
    pub attributes: Vec<Attribute>,
    /// Content in document order.
    pub children: Vec<Child>,
    /// Where it was parsed from. Not part of equality.
    pub span: Option<Span>,
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.attributes == other.attributes && self.children == other.children
    }
}

impl Eq for Element {}

impl Element {
    /// An empty element.
    pub fn new(name: &str) -> Self {
        Self { name: shared(name), ..Self::default() }
    }

    /// `<entry name="...">`.
    pub fn entry(name: &str) -> Self {
        Self { name: shared("entry"), attributes: vec![(shared("name"), name.into())], ..Self::default() }
    }

    /// An element that holds only text.
    pub fn leaf(name: &str, text: &str) -> Self {
        Self { name: shared(name), children: vec![Child::Text(text.into())], ..Self::default() }
    }

    /// Value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| &**key == name).map(|(_, value)| &**value)
    }

    /// Nested elements in order.
    pub fn elements(&self) -> impl Iterator<Item = &Arc<Element>> {
        self.children.iter().filter_map(|child| match child {
            Child::Element(element) => Some(element),
            Child::Text(_) | Child::Comment(_) => None,
        })
    }

    /// First nested element of that tag.
    pub fn child(&self, name: &str) -> Option<&Arc<Element>> {
        self.elements().find(|element| &*element.name == name)
    }

    /// The element reached by a chain of tags, e.g. `["network", "interface"]`.
    pub fn descend(&self, path: &[&str]) -> Option<&Element> {
        let mut here = self;
        for step in path {
            here = here.child(step)?;
        }
        Some(here)
    }

    /// `<entry name="name">` directly below.
    pub fn entry_named(&self, name: &str) -> Option<&Arc<Element>> {
        self.elements().find(|element| &*element.name == "entry" && element.attribute("name") == Some(name))
    }

    /// `<entry>` elements directly below, with their names.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Arc<Element>)> {
        self.elements()
            .filter(|element| &*element.name == "entry")
            .filter_map(|element| element.attribute("name").map(|name| (name, element)))
    }

    /// Texts of the `<member>` elements directly below.
    pub fn members(&self) -> impl Iterator<Item = String> {
        self.elements().filter(|element| &*element.name == "member").map(|element| element.text())
    }

    /// All character data directly below, trimmed.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for child in &self.children {
            if let Child::Text(part) = child {
                text.push_str(part);
            }
        }
        text.trim().to_owned()
    }

    /// The XPath step that names this element among its siblings: `entry[@name='x']`,
    /// `member[text()='x']`, or the tag alone.
    pub fn step(&self) -> String {
        match (&*self.name, self.attribute("name")) {
            ("member", _) => format!("member[text()={}]", quote(&self.text())),
            (tag, Some(name)) => format!("{tag}[@name={}]", quote(name)),
            (tag, None) => tag.to_owned(),
        }
    }
}

/// A tag or attribute name. The three that make up most of a tree are allocated once, so that walking a
/// list of thousands stays in the cache.
pub(crate) fn shared(name: &str) -> Arc<str> {
    static COMMON: LazyLock<[Arc<str>; 3]> = LazyLock::new(|| ["entry", "member", "name"].map(Arc::from));
    COMMON.iter().find(|common| ***common == *name).cloned().unwrap_or_else(|| name.into())
}

/// A string as an XPath literal: in single quotes, in double quotes when it holds a single one, and as
/// `concat(..)` when it holds both.
pub fn quote(text: &str) -> String {
    if !text.contains('\'') {
        return format!("'{text}'");
    }
    if !text.contains('"') {
        return format!("\"{text}\"");
    }
    let pieces: Vec<String> = text.split('\'').map(|piece| format!("'{piece}'")).collect();
    format!("concat({})", pieces.join(r#","'","#))
}
