//! How does one go down the schema tag by tag?

use super::table::{Rule, Schema};

/// An element of the schema.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position(usize);

impl Position {
    /// The root element of that tag.
    pub(crate) fn root(tag: &str) -> Option<Self> {
        Schema::get().root(tag).map(Self)
    }

    /// The child of that tag.
    pub(crate) fn child(self, tag: &str) -> Option<Self> {
        Schema::get().child(self.0, tag).map(Self)
    }

    /// Tags of the children.
    pub(crate) fn tags(self) -> impl Iterator<Item = &'static str> {
        Schema::get().children(self.0).into_iter().map(|(tag, ..)| tag)
    }

    /// Whether it holds a text.
    pub(crate) fn is_leaf(self) -> bool {
        *Schema::get().rule(self.0) != Rule::Node && Schema::get().children(self.0).is_empty()
    }
}
