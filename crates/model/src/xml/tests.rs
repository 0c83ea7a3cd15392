//! Is every tree read back as it was written, and is bad text refused with its place?

use std::sync::Arc;

use proptest::prelude::*;

use super::{DEPTH_MAX, Fragment, line_column, parse, parse_fragment, write, write_pretty};
use crate::tree::{Child, Element};

#[test]
fn text_attributes_comments_and_order_survive() {
    let text = "<config version=\"1\"><!-- a --><b name=\"x &amp; y\">1 &lt; 2</b><c/><b/></config>";
    assert_eq!(write(&parse(text).unwrap()), text);
}

#[test]
fn white_space_between_elements_cdata_prolog_and_byte_order_mark_are_read() {
    let root = parse("\u{feff}<?xml version=\"1.0\"?>\n<a>\n  <b><![CDATA[x < y]]></b>\n</a>\n").unwrap();
    assert_eq!(write(&root), "<a><b>x &lt; y</b></a>");
}

#[test]
fn spans_are_byte_offsets_into_the_whole_text() {
    let text = "\u{feff}<a>é<b>x</b></a>";
    let root = parse(text).unwrap();
    let span = root.child("b").unwrap().span.unwrap();
    assert_eq!(&text[span.start..span.end], "<b>x</b>");
    let span = root.span.unwrap();
    assert_eq!(&text[span.start..span.end], "<a>é<b>x</b></a>");
}

#[test]
fn bad_text_is_refused_with_its_place() {
    for (text, message, line) in [
        ("<a>\n<b></a>", "ill-formed document: expected `</b>`, but `</a>` was found", 2),
        ("<a>\n<b>", "`<b>` is not closed", 2),
        ("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "a document type definition is not read", 1),
        ("<a>\n&x;</a>", "unknown entity `&x;`", 2),
        ("<a/><b/>", "expected one root element, found 2", 1),
        ("", "expected one root element, found 0", 1),
        ("<a>&#1;</a>", "the control character 0x01 is not allowed", 1),
        ("<a><1/></a>", "`1` cannot be the name of an element or attribute", 1),
        ("<a><?php x?></a>", "processing instructions are not read", 1),
        ("x<a/>", "text outside of the root element", 1),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(error.message, message, "{text}");
        assert_eq!(line_column(text, error.origin.span.unwrap().start).0, line, "{text}");
    }
    let inside = parse("<config><entry name='x'>&y;</entry></config>").unwrap_err();
    assert_eq!(inside.origin.xpath, "/config/entry[@name='x']");
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
    assert!(parse(&nested(DEPTH_MAX)).is_ok());
    let error = parse(&nested(DEPTH_MAX + 1)).unwrap_err();
    assert_eq!(error.message, "elements are nested deeper than 64");
}

#[test]
fn a_fragment_is_siblings_or_text() {
    let elements = |text| match parse_fragment(text).unwrap() {
        Fragment::Elements(elements) => elements.iter().map(write).collect::<Vec<_>>().join(" "),
        Fragment::Text(text) => format!("text {text}"),
    };
    assert_eq!(elements("  <a/>\n<b>x</b> "), "<a/> <b>x</b>");
    assert_eq!(elements("<?xml version='1.0'?><a/>"), "<a/>");
    assert_eq!(elements(" <!-- nothing --> "), "");
    assert_eq!(elements(" 10.0.0.1 &amp; more "), "text 10.0.0.1 & more");
    assert!(parse_fragment("<a/>x").is_err());
}

#[test]
fn pretty_text_reads_back_the_same() {
    let root = parse("<a><b>x<c/></b><!--n--><d><e/></d></a>").unwrap();
    let pretty = write_pretty(&root);
    assert_eq!(pretty, "<a>\n  <b>x<c/></b>\n  <!--n-->\n  <d>\n    <e/>\n  </d>\n</a>\n");
    assert_eq!(parse(&pretty).unwrap(), root);
}

#[test]
fn lines_and_columns_count_from_one() {
    assert_eq!(line_column("ab\ncd", 0), (1, 1));
    assert_eq!(line_column("aé\ncd", 4), (2, 1));
    assert_eq!(line_column("aé\ncd", 99), (2, 3));
    assert_eq!(line_column("é", 1), (1, 1));
}

fn text() -> impl Strategy<Value = String> {
    // Not only white space, which is not kept on its own.
    "[ -~\t\n\ré€]{0,8}[!-~][ -~\t\n\r]{0,4}"
}

fn element() -> impl Strategy<Value = Element> {
    let attributes = proptest::collection::btree_map("[a-z][a-z-]{0,4}", "[ -~\t\n\ré\u{85}]{0,6}", 0..3);
    let leaf = ("[a-z_][a-z0-9._-]{0,5}", attributes.clone(), text())
        .prop_map(|(name, attributes, text)| build(&name, attributes, vec![Child::Text(text.into())]));
    leaf.prop_recursive(4, 24, 5, move |inner| {
        let child = prop_oneof![
            4 => inner.prop_map(|element| Child::Element(Arc::new(element))),
            1 => "[a-z ]{0,6}".prop_map(|text| Child::Comment(text.into())),
        ];
        ("[a-z_][a-z0-9._-]{0,5}", attributes.clone(), proptest::collection::vec(child, 0..5))
            .prop_map(|(name, attributes, children)| build(&name, attributes, children))
    })
}

fn build(name: &str, attributes: std::collections::BTreeMap<String, String>, children: Vec<Child>) -> Element {
    let attributes = attributes.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
    Element { name: name.into(), attributes, children, span: None }
}

proptest! {
    #[test]
    fn every_tree_is_read_back_as_it_was_written(root in element()) {
        prop_assert_eq!(&parse(&write(&root)).unwrap(), &root);
        prop_assert_eq!(&parse(&write_pretty(&root)).unwrap(), &root);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[<>/a!&;=\"'\\[\\]? -]{0,40}") {
        if let Ok(root) = parse(&text) {
            prop_assert_eq!(parse(&write(&root)).unwrap(), root);
        }
    }
}
