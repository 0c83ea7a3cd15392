//! Which nodes of a tree match, and where exactly do they stand?

use std::sync::Arc;

use super::{NameTest, Operand, Path, Predicate, Step, XPath};
use crate::tree::{Child, Element};

/// One match.
#[derive(Clone, Debug)]
pub struct Match<'a> {
    /// What matched.
    pub node: Matched<'a>,
    /// The canonical absolute XPath of the node: each step with the predicate that names it.
    pub xpath: String,
    /// Indices into `children` of each ancestor, from the root down.
    pub route: Vec<usize>,
}

/// What an XPath can end at.
#[derive(Clone, Copy, Debug)]
pub enum Matched<'a> {
    /// An element.
    Element(&'a Element),
    /// An attribute of an element: the element, its name and its value.
    Attribute(&'a Element, &'a str, &'a str),
}

impl<'a> Match<'a> {
    /// The element, or the one that carries the attribute.
    pub fn element(&self) -> &'a Element {
        match self.node {
            Matched::Element(element) | Matched::Attribute(element, ..) => element,
        }
    }

    /// As the XML API answers it: the element itself, or `<entry name="x"/>` for `entry/@name`.
    pub fn to_element(&self) -> Element {
        match self.node {
            Matched::Element(element) => element.clone(),
            Matched::Attribute(element, name, value) => Element {
                name: element.name.clone(),
                attributes: vec![(name.into(), value.into())],
                children: Vec::new(),
                span: None,
            },
        }
    }
}

impl XPath {
    /// All matches below a root element, whose own tag the first step names. Those of a union follow one
    /// another in the order of its paths.
    pub fn select<'a>(&self, root: &'a Element) -> Vec<Match<'a>> {
        self.paths.iter().flat_map(|path| path.select(root)).collect()
    }
}

impl Path {
    /// All matches below a root element, in document order.
    pub fn select<'a>(&self, root: &'a Element) -> Vec<Match<'a>> {
        let found = self.locate(root);
        let mut matches = Vec::with_capacity(found.len());
        for Located { element, route, xpath } in found {
            match &self.attribute {
                None => matches.push(Match { node: Matched::Element(element), xpath, route }),
                Some(wanted) => {
                    if let Some((name, value)) = element.attributes.iter().find(|(name, _)| **name == **wanted) {
                        let node = Matched::Attribute(element, name, value);
                        matches.push(Match { node, xpath: format!("{xpath}/@{name}"), route });
                    }
                }
            }
        }
        matches
    }

    /// The elements that the steps select.
    fn locate<'a>(&self, root: &'a Element) -> Vec<Located<'a>> {
        let Some(first) = self.steps.first() else { return Vec::new() };
        let mut here = vec![Located { element: root, route: Vec::new(), xpath: format!("/{}", root.step()) }];
        first.filter(&mut here);
        for step in self.steps.iter().skip(1) {
            let mut next = Vec::new();
            for parent in &here {
                let mut children: Vec<Located<'a>> = parent.children(step);
                step.filter(&mut children);
                next.append(&mut children);
            }
            here = next;
        }
        here
    }
}

struct Located<'a> {
    element: &'a Element,
    route: Vec<usize>,
    xpath: String,
}

impl<'a> Located<'a> {
    /// The children whose tag fits; a single `@name` is looked at before any path is spelled, since
    /// containers hold thousands of entries.
    fn children(&self, step: &Step) -> Vec<Self> {
        let element: &'a Element = self.element;
        let mut found = Vec::new();
        for (index, child) in element.children.iter().enumerate() {
            if let Child::Element(child) = child
                && step.may_accept(child)
            {
                found.push(self.child(index, child));
            }
        }
        found
    }

    fn child(&self, index: usize, child: &'a Arc<Element>) -> Self {
        let mut route = self.route.clone();
        route.push(index);
        Self { element: child, route, xpath: format!("{}/{}", self.xpath, child.step()) }
    }
}

impl Step {
    /// Whether the step accepts the element, as far as that does not depend on its position.
    pub fn accepts(&self, element: &Element) -> bool {
        // Nearly every step names an entry, and lists hold thousands of them.
        if let ("entry", Some(name)) = (&*element.name, self.attribute("name")) {
            return self.fits_tag(element) && element.attribute("name") == Some(name);
        }
        self.fits_tag(element) && self.predicates.iter().all(|predicate| predicate.holds(element, 1, 1))
    }

    fn fits_tag(&self, element: &Element) -> bool {
        match &self.test {
            NameTest::Any => true,
            NameTest::Tag(tag) => **tag == *element.name,
        }
    }

    fn may_accept(&self, element: &Element) -> bool {
        let first_holds = match self.predicates.first() {
            Some(first @ Predicate::Compare { .. }) => first.holds(element, 1, 1),
            _ => true,
        };
        self.fits_tag(element) && first_holds
    }

    /// Predicates one after the other, each counting positions among what the ones before it left.
    fn filter(&self, located: &mut Vec<Located<'_>>) {
        located.retain(|found| self.fits_tag(found.element));
        for predicate in &self.predicates {
            let last = located.len();
            let mut position = 0;
            located.retain(|found| {
                position += 1;
                predicate.holds(found.element, position, last)
            });
        }
    }
}

impl Predicate {
    fn holds(&self, element: &Element, position: usize, last: usize) -> bool {
        match self {
            Self::Compare { operand, value, negated } => operand.any(element, &|text| (text == value) != *negated),
            Self::Exists(operand) => operand.any(element, &|_| true),
            Self::And(parts) => parts.iter().all(|part| part.holds(element, position, last)),
            Self::Or(parts) => parts.iter().any(|part| part.holds(element, position, last)),
            Self::Not(inner) => !inner.holds(element, position, last),
            Self::Position(wanted) => *wanted == position,
            Self::Last => position == last,
        }
    }
}

impl Operand {
    /// Whether one of the operand's values (a path can reach several) satisfies a condition.
    fn any(&self, element: &Element, condition: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::Attribute(name) => element.attribute(name).is_some_and(condition),
            Self::Text => condition(&element.text()),
            Self::Tag => condition(&element.name),
            Self::Path(tags) => path_any(element, tags, condition),
        }
    }
}

fn path_any(element: &Element, tags: &[String], condition: &dyn Fn(&str) -> bool) -> bool {
    match tags.split_first() {
        None => condition(&element.text()),
        Some((tag, rest)) => {
            element.elements().filter(|child| *child.name == **tag).any(|child| path_any(child, rest, condition))
        }
    }
}
