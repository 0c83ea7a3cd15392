//! What may stand at a place: which fields does a form have there, and what may each hold?

use super::table::{Bounds, Rule, Schema};

/// What an element holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// The table does not say more.
    Any,
    /// Elements, each at most once.
    Node,
    /// Entries, each with a name of its own.
    List,
    /// Members: texts in an order.
    Members,
    /// Text of so many characters.
    Text {
        /// Fewest characters.
        least: Option<f64>,
        /// Most characters.
        most: Option<f64>,
    },
    /// A whole number.
    Integer {
        /// The smallest one.
        least: Option<f64>,
        /// The largest one.
        most: Option<f64>,
    },
    /// A number.
    Number {
        /// The smallest one.
        least: Option<f64>,
        /// The largest one.
        most: Option<f64>,
    },
    /// `yes` or `no`.
    Flag,
    /// One of these words.
    Words(Vec<&'static str>),
}

/// One element that another one may hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its tag.
    pub tag: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it is a branch of the choice of the element around it, of which there is one at a time.
    pub is_branch: bool,
}

/// What the schema knows of a place.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// What stands there.
    pub kind: Kind,
    /// What may stand below: of a list, what an entry of it may hold.
    pub fields: Vec<Field>,
}

/// The facts about the element that an XPath names; `None` when the schema has no such element.
pub fn facts(xpath: &str) -> Option<Facts> {
    let schema = Schema::get();
    let node = super::node_at(xpath)?;
    let kind = kind(schema, node);
    let inner = if kind == Kind::List { schema.child(node, "entry")? } else { node };
    let hidden = |tag: &str| matches!(tag, "entry" | "member");
    let fields = schema.children(inner).into_iter().filter(|(tag, ..)| !hidden(tag));
    let fields = fields.map(|(tag, node, is_branch)| Field { tag, kind: self::kind(schema, node), is_branch });
    Some(Facts { kind, fields: fields.collect() })
}

fn kind(schema: &Schema, node: usize) -> Kind {
    if schema.child(node, "entry").is_some() {
        return Kind::List;
    }
    if schema.child(node, "member").is_some() {
        return Kind::Members;
    }
    match schema.rule(node) {
        Rule::Any => Kind::Any,
        Rule::Node => Kind::Node,
        Rule::Text(Bounds { least, most }) => Kind::Text { least: *least, most: *most },
        Rule::Integer(Bounds { least, most }) => Kind::Integer { least: *least, most: *most },
        Rule::Number(Bounds { least, most }) => Kind::Number { least: *least, most: *most },
        Rule::Flag => Kind::Flag,
        Rule::Words(words) => Kind::Words(words.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_an_address_are_those_of_a_form() {
        let list = facts("/config/shared/address").unwrap();
        assert_eq!(list.kind, Kind::List);
        let entry = facts("/config/shared/address/entry[@name='web']").unwrap();
        assert_eq!(entry.fields, list.fields);
        let field = |tag: &str| list.fields.iter().find(|field| field.tag == tag).unwrap();
        assert!(field("fqdn").is_branch && field("ip-netmask").is_branch && !field("description").is_branch);
        assert!(
            matches!(field("description").kind, Kind::Text { most: Some(1023.0), .. }),
            "{:?}",
            field("description")
        );
        assert_eq!(field("tag").kind, Kind::Members);
    }

    #[test]
    fn a_place_that_the_schema_does_not_have_has_no_facts() {
        assert_eq!(facts("/config/shared/no-such-thing"), None);
        assert_eq!(facts("not an xpath"), None);
    }
}
