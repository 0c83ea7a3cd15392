//! The configuration tree as JSON: nothing is lost, and it can be read back.
//!
//! `{"tag": "entry", "attributes": {"name": "web"}, "children": [{"tag": "fqdn", "text": "web.example"}]}`. `text`
//! stands for `children` with one text. Children are elements, texts (JSON strings) and comments, in their order.

use std::sync::Arc;

use bartizan_model::tree::{Child, Element};
use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Deserialize, Serialize, Serializer};

/// An element.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Node {
    /// Its tag.
    tag: String,
    /// Its attributes in their order.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    attributes: IndexMap<String, String>,
    /// Its text, when it holds nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// What it holds, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    children: Vec<Content>,
    /// How many elements it holds that are not shown, because of `depth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    more: Option<usize>,
}

/// What stands in an element.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(untagged)]
enum Content {
    /// An element.
    Element(Node),
    /// A comment.
    Comment(Comment),
    /// A text beside elements.
    Text(String),
}

/// A comment.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct Comment {
    /// Without its `<!--` and `-->`.
    comment: String,
}

impl Node {
    /// The element.
    pub(crate) fn to_element(&self) -> Element {
        let shared = |text: &String| text.as_str().into();
        let attributes = self.attributes.iter().map(|(name, value)| (shared(name), shared(value)));
        let text = self.text.iter().map(|text| Child::Text(text.as_str().into()));
        let children = self.children.iter().map(|content| match content {
            Content::Element(node) => Child::Element(node.to_element().into()),
            Content::Comment(comment) => Child::Comment(shared(&comment.comment)),
            Content::Text(text) => Child::Text(shared(text)),
        });
        Element {
            name: shared(&self.tag),
            attributes: attributes.collect(),
            children: text.chain(children).collect(),
            span: None,
        }
    }
}

/// An element of the tree that is written as a [`Node`] without being copied.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// What is shown.
    pub(crate) element: Arc<Element>,
    /// Levels of elements below it that are shown.
    pub(crate) depth: usize,
}

impl View {
    /// All of an element.
    pub(crate) fn whole(element: Arc<Element>) -> Self {
        Self { element, depth: usize::MAX }
    }
}

impl JsonSchema for View {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Node::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        Node::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Node::json_schema(generator)
    }
}

impl Serialize for View {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Shown { element: &self.element, depth: self.depth }.serialize(serializer)
    }
}

struct Shown<'e> {
    element: &'e Element,
    depth: usize,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { element, depth } = *self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("tag", &*element.name)?;
        if !element.attributes.is_empty() {
            map.serialize_entry("attributes", &Attributes(element))?;
        }
        match element.children.as_slice() {
            [] => {}
            [Child::Text(text)] => map.serialize_entry("text", &**text)?,
            children if depth == 0 => map.serialize_entry("more", &children.len())?,
            children => map.serialize_entry("children", &Children { children, depth: depth - 1 })?,
        }
        map.end()
    }
}

struct Attributes<'e>(&'e Element);

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.attributes.iter().map(|(name, value)| (&**name, &**value)))
    }
}

struct Children<'e> {
    children: &'e [Child],
    depth: usize,
}

impl Serialize for Children<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.children.len()))?;
        for child in self.children {
            match child {
                Child::Element(element) => list.serialize_element(&Shown { element, depth: self.depth })?,
                Child::Text(text) => list.serialize_element(&**text)?,
                Child::Comment(text) => list.serialize_element(&Comment { comment: text.to_string() })?,
            }
        }
        list.end()
    }
}

#[cfg(test)]
mod tests {
    use bartizan_model::xml;

    use super::*;

    fn json(text: &str, depth: usize) -> String {
        serde_json::to_string(&View { element: xml::parse(text).unwrap().into(), depth }).unwrap()
    }

    #[test]
    fn nothing_is_lost_on_the_way_there_and_back() {
        for text in [
            "<a/>",
            "<a z='1' y='2'>text &amp; more</a>",
            "<rules><!--first--><entry name='b'/><entry name='a'/><entry name='b'/><!--last--></rules>",
            "<a><b>x</b>beside<b>y</b></a>",
        ] {
            let element = xml::parse(text).unwrap();
            let node: Node = serde_json::from_str(&json(text, usize::MAX)).unwrap();
            assert_eq!(node.to_element(), element, "{text}");
            // The type that is documented writes the same.
            assert_eq!(serde_json::to_string(&node).unwrap(), json(text, usize::MAX));
        }
    }

    #[test]
    fn what_is_too_deep_is_counted() {
        assert_eq!(
            json("<a><b><c/><d/></b><e>t</e></a>", 1),
            r#"{"tag":"a","children":[{"tag":"b","more":2},{"tag":"e","text":"t"}]}"#
        );
    }

    #[test]
    fn a_node_with_a_member_that_is_not_known_is_refused() {
        assert!(serde_json::from_str::<Node>(r#"{"tag":"a","txt":"b"}"#).is_err());
        assert!(serde_json::from_str::<Node>(r#"{"tag":"a","children":[{"remark":"b"}]}"#).is_err());
    }
}
