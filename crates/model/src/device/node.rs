//! Where in the tree is the reader, and who wrote this node?
//!
//! A [`Node`] is an element together with its ancestors, so that a diagnostic can name its place; the
//! XPath is spelled only when somebody asks.

use std::rc::Rc;

use crate::diagnostic::Origin;
use crate::render::origin::mark_of;
use crate::tree::Element;

/// An element and the way to it from the root.
#[derive(Clone, Debug)]
pub(super) struct Node<'a>(Rc<Inner<'a>>);

#[derive(Debug)]
struct Inner<'a> {
    element: &'a Element,
    parent: Option<Node<'a>>,
}

impl<'a> Node<'a> {
    pub(super) fn root(element: &'a Element) -> Self {
        Self(Rc::new(Inner { element, parent: None }))
    }

    pub(super) fn element(&self) -> &'a Element {
        self.0.element
    }

    pub(super) fn parent(&self) -> Option<&Node<'a>> {
        self.0.parent.as_ref()
    }

    /// The node of an element that stands directly below this one.
    pub(super) fn below(&self, element: &'a Element) -> Self {
        Self(Rc::new(Inner { element, parent: Some(self.clone()) }))
    }

    pub(super) fn child(&self, tag: &str) -> Option<Self> {
        self.element().child(tag).map(|element| self.below(element))
    }

    pub(super) fn descend(&self, path: &[&str]) -> Option<Self> {
        path.iter().try_fold(self.clone(), |here, tag| here.child(tag))
    }

    pub(super) fn children(&self) -> impl Iterator<Item = Self> + '_ {
        self.element().elements().map(|element| self.below(element))
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Self> + '_ {
        self.children().filter(|child| child.tag() == "entry")
    }

    /// Entries below a chain of tags; none when the chain breaks.
    pub(super) fn entries_at(&self, path: &[&str]) -> Vec<Self> {
        self.descend(path).map(|container| container.entries().collect()).unwrap_or_default()
    }

    pub(super) fn members(&self) -> impl Iterator<Item = Self> + '_ {
        self.children().filter(|child| child.tag() == "member")
    }

    pub(super) fn tag(&self) -> &'a str {
        &self.element().name
    }

    /// The `name` attribute, empty when it is absent.
    pub(super) fn name(&self) -> &'a str {
        self.element().attribute("name").unwrap_or_default()
    }

    pub(super) fn text(&self) -> String {
        self.element().text()
    }

    pub(super) fn origin(&self) -> Origin {
        Origin { xpath: self.xpath(), span: self.element().span, owner: self.owner() }
    }

    pub(super) fn xpath(&self) -> String {
        let mut steps = Vec::new();
        let mut here = Some(self);
        while let Some(node) = here {
            steps.push(node.element().step());
            here = node.parent();
        }
        steps.iter().rev().fold(String::new(), |path, step| path + "/" + step)
    }

    /// Tags from below `ancestor`'s depth to here, without predicates: the schema path.
    pub(super) fn tags(&self) -> Vec<&'a str> {
        let mut tags = Vec::new();
        let mut here = Some(self);
        while let Some(node) = here {
            tags.push(node.tag());
            here = node.parent();
        }
        tags.reverse();
        tags
    }

    /// The template or device group that the nearest marked ancestor names.
    fn owner(&self) -> Option<String> {
        let mut here = Some(self);
        while let Some(node) = here {
            let mark = mark_of(node.element());
            if mark.is_some() {
                return mark;
            }
            here = node.parent();
        }
        None
    }
}
