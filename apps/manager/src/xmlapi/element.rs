//! How are answers put together?

use std::sync::Arc;

use bartizan_model::tree::{Child, Element};

/// An empty element.
pub(crate) fn element(name: &str) -> Element {
    Element::new(name)
}

/// An element with text; without children when the text is empty.
pub(crate) fn leaf(name: &str, text: &str) -> Element {
    if text.is_empty() { Element::new(name) } else { Element::leaf(name, text) }
}

/// `<entry name="...">`
pub(crate) fn entry(name: &str) -> Element {
    Element::entry(name)
}

/// Adds to an element and hands it back.
pub(crate) trait Build: Sized {
    /// An attribute.
    #[must_use]
    fn attr(self, name: &str, value: &str) -> Self;
    /// A child that exists already.
    #[must_use]
    fn share(self, child: Arc<Element>) -> Self;
    /// A child.
    #[must_use]
    fn with(self, child: Element) -> Self {
        self.share(Arc::new(child))
    }
    /// A child with text.
    #[must_use]
    fn leaf(self, name: &str, text: &str) -> Self {
        self.with(leaf(name, text))
    }
    /// Children.
    #[must_use]
    fn with_all(self, children: impl IntoIterator<Item = Element>) -> Self {
        children.into_iter().fold(self, Build::with)
    }
}

impl Build for Element {
    fn attr(mut self, name: &str, value: &str) -> Self {
        self.attributes.push((name.into(), value.into()));
        self
    }

    fn share(mut self, child: Arc<Element>) -> Self {
        self.children.push(Child::Element(child));
        self
    }
}
