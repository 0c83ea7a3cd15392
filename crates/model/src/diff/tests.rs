//! Does a difference say what was changed, and nothing else?

use std::sync::Arc;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{diff, set_lines, unified};
use crate::edit::{self, Destination};
use crate::tree::Element;
use crate::xml::parse;

const TREE: &str = "<config><shared><address><entry name='a'><ip-netmask>10.0.0.1</ip-netmask></entry>\
    <entry name='b c'><fqdn>b</fqdn><tag><member>x</member></tag></entry></address></shared>\
    <rules><entry name='r1'/><entry name='r2'/><entry name='r3'/><entry name='r4'/></rules></config>";

fn check(edit: impl FnOnce(&mut Arc<Element>), changes: Expect, lines: Expect) {
    let old = Arc::new(parse(TREE).unwrap());
    let mut new = old.clone();
    edit(&mut new);
    let found = diff(&old, &new);
    changes.assert_eq(&unified(&found));
    lines.assert_eq(&set_lines(&found).join("\n"));
}

#[test]
fn each_edit_is_one_change() {
    check(
        |root| {
            edit::set(root, "/config/shared/address/entry[@name='a']/ip-netmask", "10.0.0.2").unwrap();
            edit::set(root, "/config/shared/address/entry[@name='b c']/tag", "<member>y z</member>").unwrap();
            edit::set(
                root,
                "/config/shared/address/entry[@name='new']",
                "<fqdn>n</fqdn><tag><member>x</member><member>y</member></tag>",
            )
            .unwrap();
            edit::delete(root, "/config/shared/address/entry[@name='b c']/fqdn").unwrap();
            edit::move_entry(root, "/config/rules/entry[@name='r4']", &Destination::Top).unwrap();
            edit::move_entry(root, "/config/rules/entry[@name='r1']", &Destination::Bottom).unwrap();
            edit::set(root, "/config/devices/entry/device-group/entry[@name='g']", "<description>d</description>")
                .unwrap();
        },
        expect![[r#"
            @@ /config/shared/address/entry[@name='a']/ip-netmask (changed)
            -<ip-netmask>10.0.0.1</ip-netmask>
            +<ip-netmask>10.0.0.2</ip-netmask>
            @@ /config/shared/address/entry[@name='b c']/fqdn (removed)
            -<fqdn>b</fqdn>
            @@ /config/shared/address/entry[@name='b c']/tag/member[text()='y z'] (added)
            +<member>y z</member>
            @@ /config/shared/address/entry[@name='new'] (added)
            +<entry name="new">
            +  <fqdn>n</fqdn>
            +  <tag>
            +    <member>x</member>
            +    <member>y</member>
            +  </tag>
            +</entry>
            @@ /config/rules/entry[@name='r4'] (moved)
            @@ /config/rules/entry[@name='r1'] (moved)
            @@ /config/devices (added)
            +<devices>
            +  <entry name="localhost.localdomain">
            +    <device-group>
            +      <entry name="g">
            +        <description>d</description>
            +      </entry>
            +    </device-group>
            +  </entry>
            +</devices>
        "#]],
        expect![[r#"
            set shared address a ip-netmask 10.0.0.2
            delete shared address "b c" fqdn
            set shared address "b c" tag "y z"
            set shared address new fqdn n
            set shared address new tag [ x y ]
            move rules r4 top
            move rules r1 after r3
            set device-group g description d"#]],
    );
}

#[test]
fn the_same_tree_has_no_changes() {
    check(|_| {}, expect![[""]], expect![[""]]);
    let one = Arc::new(parse(TREE).unwrap());
    let other = Arc::new(parse(TREE).unwrap());
    assert_eq!(diff(&one, &other), []);
}

#[test]
fn who_touched_a_node_is_no_change() {
    let one = Arc::new(parse("<config><a admin='x' time='1'/></config>").unwrap());
    let other = Arc::new(parse("<config><a admin='y' dirtyId='2'/></config>").unwrap());
    assert_eq!(diff(&one, &other), []);
}

proptest! {
    #[test]
    fn only_what_left_its_order_is_moved(names in Just((0..8).collect::<Vec<usize>>()).prop_shuffle()) {
        let list = |names: &[usize]| {
            let entries: String = names.iter().map(|name| format!("<entry name='{name}'/>")).collect();
            Arc::new(parse(&format!("<config>{entries}</config>")).unwrap())
        };
        let sorted: Vec<usize> = (0..8).collect();
        let changes = diff(&list(&sorted), &list(&names));
        // Without the moved ones the order is the old one, and no change is reported for equal orders.
        let stays = |name: &usize| !changes.iter().any(|change| change.xpath.contains(&format!("'{name}'")));
        let kept: Vec<usize> = names.iter().copied().filter(stays).collect();
        prop_assert!(kept.is_sorted());
        prop_assert_eq!(changes.is_empty(), names == sorted);
    }
}

#[test]
fn repeated_elements_are_compared_one_by_one() {
    let text = "<config><entry>x</entry><entry>y</entry><member>z</member><member>z</member></config>";
    let root = Arc::new(parse(text).unwrap());
    let again = Arc::new(parse(text).unwrap());
    assert_eq!(diff(&root, &again), []);
    let shorter = parse("<config><entry>x</entry><member>z</member></config>").unwrap();
    let gone: Vec<String> = diff(&root, &Arc::new(shorter)).into_iter().map(|change| change.xpath).collect();
    assert_eq!(gone, ["/config/entry[2]", "/config/member[text()='z'][2]"]);
}
