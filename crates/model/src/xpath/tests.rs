//! Do the XPaths of real clients select what they mean?

use proptest::prelude::*;

use super::{STEPS_MAX, XPATH_BYTES_MAX, XPath};
use crate::xml::{parse, write};

const TREE: &str = r#"<config><shared><address>
    <entry name="a"><ip-netmask>10.0.0.1</ip-netmask><tag><member>web</member><member>x</member></tag></entry>
    <entry name="b" uuid="u-1"><ip-netmask>10.0.0.2</ip-netmask></entry>
    <entry name="it's &quot;c&quot;/&amp;"><fqdn>c</fqdn></entry>
</address><tag><entry name="web"/></tag></shared>
<devices><entry name="localhost.localdomain"><vsys><entry name="vsys1"/></vsys><network/></entry></devices></config>"#;

fn select(xpath: &str) -> Vec<String> {
    let root = parse(TREE).unwrap();
    XPath::parse(xpath).unwrap().select(&root).into_iter().map(|found| found.xpath).collect()
}

#[test]
fn the_paths_of_clients_select_what_they_mean() {
    let address = "/config/shared/address";
    for (xpath, expected) in [
        ("/config/shared/address/entry[@name='a']", vec!["entry[@name='a']"]),
        ("/config/shared/address/entry[@name=\"b\"]/", vec!["entry[@name='b']"]),
        (
            "/config/shared/address/entry[@name=concat('it',\"'\",'s \"c\"/&')]",
            vec![r#"entry[@name=concat('it',"'",'s "c"/&')]"#],
        ),
        (
            "/config/shared/address/entry[@name='a' or @name='b' or @name='z']",
            vec!["entry[@name='a']", "entry[@name='b']"],
        ),
        ("/config/shared/address/entry[@uuid='u-1']", vec!["entry[@name='b']"]),
        ("/config/shared/address/entry[( tag/member = 'web')]", vec!["entry[@name='a']"]),
        (
            "/config/shared/address/entry[@name='a'][tag/member='web' and ip-netmask='10.0.0.1']",
            vec!["entry[@name='a']"],
        ),
        ("/config/shared/address/entry[@name='a'][tag/member='db']", vec![]),
        (
            "/config/shared/address/entry[@name='a']/tag/member[text()='x']",
            vec!["entry[@name='a']/tag/member[text()='x']"],
        ),
        (
            "/config/shared/address/entry[@name='a']/tag/member[text()='x' or text()='web']",
            vec!["entry[@name='a']/tag/member[text()='web']", "entry[@name='a']/tag/member[text()='x']"],
        ),
        (
            "/config/shared/address/entry/@name",
            vec![
                "entry[@name='a']/@name",
                "entry[@name='b']/@name",
                r#"entry[@name=concat('it',"'",'s "c"/&')]/@name"#,
            ],
        ),
        ("/config/shared/address/entry[2]", vec!["entry[@name='b']"]),
        ("/config/shared/address/entry[last()]/fqdn", vec![r#"entry[@name=concat('it',"'",'s "c"/&')]/fqdn"#]),
        (
            "/config/shared/address/entry[not(tag)][@name!='b']/fqdn",
            vec![r#"entry[@name=concat('it',"'",'s "c"/&')]/fqdn"#],
        ),
        ("/config/shared/*[name()!='tag']/entry[@name='a']", vec!["entry[@name='a']"]),
        ("/config/shared/nothing/entry", vec![]),
        ("/other", vec![]),
    ] {
        let expected: Vec<String> = expected.into_iter().map(|rest| format!("{address}/{rest}")).collect();
        assert_eq!(select(xpath), expected, "{xpath}");
    }
    assert_eq!(select("/config/devices/entry/*").len(), 2);
    assert_eq!(
        select("/config/devices/entry/vsys/entry"),
        ["/config/devices/entry[@name='localhost.localdomain']/vsys/entry[@name='vsys1']"]
    );
    assert_eq!(select("/config/shared/tag/entry|/config/devices/entry/network").len(), 2);
}

#[test]
fn a_final_attribute_answers_bare_elements() {
    let root = parse(TREE).unwrap();
    let found = XPath::parse("/config/shared/address/entry[@name='a']/@name").unwrap();
    let answer: Vec<String> = found.select(&root).iter().map(|found| write(&found.to_element())).collect();
    assert_eq!(answer, ["<entry name=\"a\"/>"]);
}

#[test]
fn what_is_not_understood_is_refused_with_its_place() {
    for (xpath, message) in [
        ("", "expected an absolute path, beginning with `/`, found the end at character 1 of the xpath"),
        ("config", "expected an absolute path, beginning with `/`, found `c` at character 1 of the xpath"),
        ("/", "expected the root element, e.g. `/config`, found the end at character 2 of the xpath"),
        ("//entry", "`//` is not supported: write every step at character 2 of the xpath"),
        ("/config[@name=x]", "expected a text in quotes, found `x` at character 15 of the xpath"),
        ("/config[@name='x]", "the quote is not closed at character 15 of the xpath"),
        ("/config[@name='x'", "expected `]`, found the end at character 18 of the xpath"),
        ("/config/1", "expected a name, found `1` at character 9 of the xpath"),
        ("/config x", "expected `/` or the end, found `x` at character 9 of the xpath"),
        ("/config[0]", "expected a position from 1, found `0` at character 9 of the xpath"),
    ] {
        assert_eq!(XPath::parse(xpath).unwrap_err().to_string(), message, "{xpath}");
    }
}

#[test]
fn size_and_depth_are_bounded() {
    assert!(XPath::parse(&format!("/{}", "a".repeat(XPATH_BYTES_MAX))).is_err());
    assert!(XPath::parse(&"/a".repeat(STEPS_MAX)).is_ok());
    assert!(XPath::parse(&"/a".repeat(STEPS_MAX + 1)).is_err());
    assert!(XPath::parse(&format!("/a[{}", "(".repeat(100_000))).is_err());
    assert!(XPath::parse(&format!("/a[{}", "not(".repeat(20_000))).is_err());
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "[/a@é\\[\\]()'\"|=! .*0-9nortx]{0,40}") {
        let _ = XPath::parse(&text);
    }

    #[test]
    fn a_canonical_path_selects_the_node_it_came_from(name in "[ -~é]{1,12}") {
        let mut root = crate::tree::Element::new("config");
        root.children.push(crate::tree::Child::Element(crate::tree::Element::entry(&name).into()));
        let xpath = format!("/config/{}", crate::tree::Element::entry(&name).step());
        let found = XPath::parse(&xpath).unwrap();
        prop_assert_eq!(found.select(&root).len(), 1);
        prop_assert_eq!(&found.select(&root)[0].xpath, &xpath);
    }
}
