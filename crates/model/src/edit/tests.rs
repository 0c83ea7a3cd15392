//! Do writes have the semantics of PAN-OS, and does a refused one change nothing?

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::xml::{parse, write};

fn tree(text: &str) -> Arc<Element> {
    Arc::new(parse(text).unwrap())
}

const OBJECTS: &str = "<config><shared><address><entry name='a'><ip-netmask>10.0.0.1</ip-netmask></entry>\
    <entry name='b'><fqdn>b</fqdn><tag><member>x</member></tag></entry></address></shared></config>";

/// Applies an edit to [`OBJECTS`] and shows the part below `<address>`, or the refusal.
fn after(edit: impl FnOnce(&mut Arc<Element>) -> Result<Outcome, EditError>) -> String {
    let mut root = tree(OBJECTS);
    let before = write(&root);
    match edit(&mut root) {
        Ok(_) => {
            let text = write(&root);
            let inner = text.strip_prefix("<config><shared><address>").unwrap_or(&text);
            inner.strip_suffix("</address></shared></config>").unwrap_or(inner).to_owned()
        }
        Err(error) => {
            assert_eq!(write(&root), before, "a refused edit changed the tree");
            format!("{} {}", error.code, error.lines.join("|"))
        }
    }
}

const A: &str = "/config/shared/address/entry[@name='a']";
const B: &str = "/config/shared/address/entry[@name='b']";
const ADDRESS: &str = "/config/shared/address";
const A_TEXT: &str = "<entry name=\"a\"><ip-netmask>10.0.0.1</ip-netmask></entry>";
const B_TEXT: &str = "<entry name=\"b\"><fqdn>b</fqdn><tag><member>x</member></tag></entry>";

#[test]
fn set_merges_by_the_rules() {
    for (xpath, element, expected) in [
        // A leaf, by its parent and by itself.
        (
            A,
            "<ip-netmask>10.0.0.9</ip-netmask>",
            format!("<entry name=\"a\"><ip-netmask>10.0.0.9</ip-netmask></entry>{B_TEXT}"),
        ),
        (
            &format!("{A}/ip-netmask"),
            " 10.0.0.9 ",
            format!("<entry name=\"a\"><ip-netmask>10.0.0.9</ip-netmask></entry>{B_TEXT}"),
        ),
        // Another branch of the choice, by its parent and by itself.
        (A, "<fqdn>a</fqdn>", format!("<entry name=\"a\"><fqdn>a</fqdn></entry>{B_TEXT}")),
        (&format!("{A}/fqdn"), "a", format!("<entry name=\"a\"><fqdn>a</fqdn></entry>{B_TEXT}")),
        // Siblings in one fragment, at the container.
        (
            ADDRESS,
            "<entry name='c'><fqdn>c</fqdn></entry>\n<!-- n --><entry name='a'><description>d</description></entry>",
            format!(
                "<entry name=\"a\"><ip-netmask>10.0.0.1</ip-netmask><description>d</description></entry>{B_TEXT}<entry name=\"c\"><fqdn>c</fqdn></entry>"
            ),
        ),
        // Members are a set that keeps its order.
        (
            &format!("{B}/tag"),
            "<member>y</member><member>x</member><member>y</member>",
            format!("{A_TEXT}<entry name=\"b\"><fqdn>b</fqdn><tag><member>x</member><member>y</member></tag></entry>"),
        ),
        (
            &format!("{B}/tag/member[text()='z']"),
            "",
            format!("{A_TEXT}<entry name=\"b\"><fqdn>b</fqdn><tag><member>x</member><member>z</member></tag></entry>"),
        ),
        // An entry by its name, an empty container, attributes that are never stored.
        (
            "/config/shared/address/entry[@name='c']",
            "<tag/>",
            format!("{A_TEXT}{B_TEXT}<entry name=\"c\"><tag/></entry>"),
        ),
        (
            ADDRESS,
            "<entry name='a' admin='x' dirtyId='8' time='t' loc='shared' src='tpl' ptpl='T' panorama='true'/>",
            format!("{A_TEXT}{B_TEXT}"),
        ),
        // What is there already.
        (A, "<ip-netmask>10.0.0.1</ip-netmask>", format!("{A_TEXT}{B_TEXT}")),
    ] {
        assert_eq!(after(|root| set(root, xpath, element)), expected, "{xpath} {element}");
    }
}

#[test]
fn set_creates_every_missing_step() {
    let mut root = tree("<config/>");
    let outcome =
        set(&mut root, "/config/devices/entry/vsys/entry[@name='vsys1']/address", "<entry name='a'/>").unwrap();
    assert_eq!(
        outcome.xpaths,
        ["/config/devices/entry[@name='localhost.localdomain']/vsys/entry[@name='vsys1']/address"]
    );
    assert_eq!(
        write(&root),
        "<config><devices><entry name=\"localhost.localdomain\"><vsys><entry name=\"vsys1\"><address><entry name=\"a\"/>\
         </address></entry></vsys></entry></devices></config>"
    );
}

#[test]
fn what_cannot_be_set_is_refused_and_changes_nothing() {
    let long = format!("<entry name='{}'/>", "x".repeat(64));
    for (xpath, element, expected) in [
        (
            A,
            "<ip-netmask>1</ip-netmask><fqdn>x</fqdn>",
            "12  address -> entry -> fqdn unexpected here| address -> entry is invalid".to_owned(),
        ),
        (ADDRESS, "text", "12  shared -> address has unexpected text.".to_owned()),
        (A, "text", "12  address -> entry has unexpected text.".to_owned()),
        (ADDRESS, "<entry name='c'>text</entry>", "12  address -> entry has unexpected text.".to_owned()),
        (A, "<entry name='a'/>", "12  address -> entry -> a unexpected here| address -> entry is invalid".to_owned()),
        (
            ADDRESS,
            long.as_str(),
            format!("12  {} can be at most 63 characters, but current length: 64", "x".repeat(64)),
        ),
        (ADDRESS, "<entry/>", "12  address -> '' is not a valid name".to_owned()),
        (
            ADDRESS,
            "<entry",
            "12  the element cannot be read: syntax error: tag not closed: `>` not found before end of input"
                .to_owned(),
        ),
        (
            "/config/shared/address/entry",
            "<tag/>",
            "8 more than one node matches below /config/shared/address".to_owned(),
        ),
        (
            "/config/*[@name='x']",
            "<tag/>",
            "13 no node below /config matches, and the xpath does not say what to create".to_owned(),
        ),
        (
            "address",
            "<tag/>",
            "6 expected an absolute path, beginning with `/`, found `a` at character 1 of the xpath".to_owned(),
        ),
        ("/other", "<tag/>", "6 the xpath does not begin with `/config`".to_owned()),
        ("/config/a|/config/b", "<tag/>", "6 `/config/a|/config/b` does not name one element".to_owned()),
    ] {
        assert_eq!(after(|root| set(root, xpath, element)), expected, "{xpath} {element}");
    }
}

#[test]
fn edit_replaces_or_creates_and_keeps_the_uuid() {
    assert_eq!(
        after(|root| edit(root, A, "<entry name='a'><fqdn>a</fqdn></entry>")),
        format!("<entry name=\"a\"><fqdn>a</fqdn></entry>{B_TEXT}")
    );
    assert_eq!(
        after(|root| edit(root, &format!("{A}/fqdn"), "<fqdn>a</fqdn>")),
        format!("<entry name=\"a\"><fqdn>a</fqdn></entry>{B_TEXT}")
    );
    assert_eq!(
        after(|root| edit(root, "/config/shared/address/entry[@name='c']", "<entry name='c'><fqdn>c</fqdn></entry>")),
        format!("{A_TEXT}{B_TEXT}<entry name=\"c\"><fqdn>c</fqdn></entry>")
    );
    assert_eq!(
        after(|root| edit(root, &format!("{B}/tag"), "<tag><member>q</member></tag>")),
        format!("{A_TEXT}<entry name=\"b\"><fqdn>b</fqdn><tag><member>q</member></tag></entry>")
    );
    for (xpath, element) in
        [(A, "<entry name='z'/>"), (A, "<fqdn>x</fqdn>"), (A, "<entry name='a'/><entry name='a'/>"), (A, "x"), (A, "")]
    {
        assert!(after(|root| edit(root, xpath, element)).starts_with("12 "), "{element}");
    }

    let uuid = "2f8a1d57-0000-4000-8000-00000000000a";
    let rules =
        format!("<config><rules><entry name='r' uuid='{uuid}'><from/></entry><entry name='s'/></rules></config>");
    let mut root = tree(&rules);
    edit(&mut root, "/config/rules/entry[@name='r']", "<entry name='r'><to/></entry>").unwrap();
    assert!(write(&root).contains(&format!("<entry name=\"r\" uuid=\"{uuid}\"><to/></entry>")));
    let taken =
        edit(&mut root, "/config/rules/entry[@name='s']", &format!("<entry name='s' uuid='{uuid}'/>")).unwrap_err();
    assert_eq!(taken.lines, [format!(" s -> uuid '{uuid}' is already in use")]);
    edit(&mut root, "/config/rules/entry[@name='s']", "<entry name='s' uuid='nonsense'/>").unwrap();
    assert!(write(&root).contains("<entry name=\"s\"/>"));
    // The whole list comes back with the uuids it was read with.
    edit(&mut root, "/config/rules", &format!("<rules><entry name='s'/><entry name='r' uuid='{uuid}'/></rules>"))
        .unwrap();
    assert_eq!(
        write(&root),
        format!("<config><rules><entry name=\"s\"/><entry name=\"r\" uuid=\"{uuid}\"/></rules></config>")
    );
}

#[test]
fn delete_removes_all_matches() {
    assert_eq!(after(|root| delete(root, A)), B_TEXT);
    assert_eq!(
        after(|root| delete(root, &format!("{A}|{B}/tag/member[text()='x']"))),
        "<entry name=\"b\"><fqdn>b</fqdn><tag/></entry>"
    );
    assert_eq!(
        after(|root| delete(root, "/config/shared/address/entry[@name='a' or @name='b']")),
        "<config><shared><address/></shared></config>"
    );
    assert_eq!(after(|root| delete(root, "/config/shared/address/entry[@name='z']")), format!("{A_TEXT}{B_TEXT}"));
    assert!(after(|root| delete(root, "/config")).starts_with("6 "));
    assert!(after(|root| delete(root, &format!("{A}/@name"))).starts_with("6 "));
}

const GROUPS: &str = "<config><readonly><devices><entry name='localhost.localdomain'><device-group>\
    <entry name='child'><parent-dg>parent</parent-dg></entry></device-group></entry></devices></readonly>\
    <shared><address><entry name='web'><fqdn>w</fqdn></entry><entry name='lonely'><fqdn>l</fqdn></entry></address></shared>\
    <devices><entry name='localhost.localdomain'><device-group>\
    <entry name='parent'><address><entry name='db'><fqdn>d</fqdn></entry></address></entry>\
    <entry name='child'><address-group><entry name='all'><static><member>web</member><member>db</member></static></entry></address-group>\
    <pre-rulebase><security><rules><entry name='r'><source><member>all</member></source><destination><member>web</member></destination></entry></rules></security></pre-rulebase></entry>\
    <entry name='other'><address><entry name='web'><fqdn>o</fqdn></entry></address>\
    <pre-rulebase><security><rules><entry name='r'><source><member>web</member></source></entry></rules></security></pre-rulebase></entry>\
    </device-group><template><entry name='t'><config><devices><entry name='localhost.localdomain'>\
    <network><interface><ethernet><entry name='ethernet1/1'><layer3/></entry></ethernet></interface></network>\
    <vsys><entry name='vsys1'><zone><entry name='trust'><network><layer3><member>eth1/1</member></layer3></network></entry></zone></entry></vsys>\
    </entry></devices></config></entry></template>\
    <template-stack><entry name='s'><templates><member>t</member></templates></entry></template-stack></entry></devices></config>";

const DEVICE: &str = "/config/devices/entry[@name='localhost.localdomain']";

#[test]
fn what_is_referred_to_cannot_be_deleted() {
    let refusal = |xpath: &str| {
        let mut root = tree(GROUPS);
        let before = root.clone();
        match delete(&mut root, xpath) {
            Ok(_) => "deleted".to_owned(),
            Err(error) => {
                assert!(Arc::ptr_eq(&root, &before), "a refused edit changed the tree");
                format!("{}{}", error.code, error.lines.join("|"))
            }
        }
    };
    let group = |name: &str| format!("{DEVICE}/device-group/entry[@name='{name}']");
    assert_eq!(
        refusal("/config/shared/address/entry[@name='web']"),
        "10 web cannot be deleted because of references from:| device-group -> child -> address-group -> all -> static\
         | device-group -> child -> pre-rulebase -> security -> rules -> r -> destination"
    );
    assert_eq!(refusal("/config/shared/address/entry[@name='lonely']"), "deleted");
    assert_eq!(
        refusal(&format!("{}/address/entry[@name='db']", group("parent"))),
        "10 db cannot be deleted because of references from:| device-group -> child -> address-group -> all -> static"
    );
    // The farther object of the same name takes over.
    assert_eq!(refusal(&format!("{}/address/entry[@name='web']", group("other"))), "deleted");
    // With everything that refers to it.
    assert_eq!(refusal(&group("other")), "deleted");
    assert_eq!(
        refusal(&group("parent")),
        "10 db cannot be deleted because of references from:| device-group -> child -> address-group -> all -> static"
    );
    assert_eq!(
        refusal(&format!("{DEVICE}/template/entry[@name='t']")),
        "10 t cannot be deleted because of references from:| template-stack -> s -> templates"
    );
    let network = format!("{DEVICE}/template/entry[@name='t']/config/devices/entry/network");
    assert_eq!(
        refusal(&format!("{network}/interface/ethernet/entry[@name='ethernet1/1']")),
        "10 ethernet1/1 cannot be deleted because of references from:| template -> t -> config -> vsys -> vsys1 -> zone -> trust -> network -> layer3"
    );
    assert!(refusal(&network).starts_with("10 ethernet1/1"));
    assert_eq!(
        refusal(&format!("{DEVICE}/template-stack/entry[@name='s']|{DEVICE}/template/entry[@name='t']")),
        "deleted"
    );
}

#[test]
fn references_follow_a_rename_where_they_mean_the_object() {
    let mut root = tree(GROUPS);
    let outcome = rename(&mut root, "/config/shared/address/entry[@name='web']", "www").unwrap();
    assert_eq!(outcome.xpaths, ["/config/shared/address/entry[@name='www']"]);
    let text = write(&root);
    assert!(text.contains("<static><member>www</member><member>db</member></static>"), "{text}");
    assert!(text.contains("<destination><member>www</member></destination>"), "{text}");
    // The other group has its own `web`.
    assert!(text.contains("<source><member>web</member></source>"), "{text}");
    let taken = rename(&mut root, "/config/shared/address/entry[@name='www']", "lonely").unwrap_err();
    assert_eq!(
        (taken.code, taken.lines.join("|").as_str()),
        (12, " address -> lonely 'lonely' is already in use| address is invalid")
    );
    assert_eq!(rename(&mut root, "/config/shared/address/entry[@name='zz']", "x").unwrap_err().code, 13);
    let groups = users(&root, "/config/shared/address/entry[@name='www']");
    assert_eq!(groups.len(), 2);
}

#[test]
fn clone_copies_without_the_uuid() {
    let mut root = tree(
        "<config><shared><rules><entry name='r' uuid='2f8a1d57-0000-4000-8000-00000000000a'><from/></entry></rules></shared></config>",
    );
    clone(&mut root, "/config/shared/rules", "/config/shared/rules/entry[@name='r']", "s").unwrap();
    assert!(write(&root).contains("</entry><entry name=\"s\"><from/></entry>"));
    assert_eq!(
        clone(&mut root, "/config/shared/rules", "/config/shared/rules/entry[@name='r']", "s").unwrap_err().code,
        12
    );
    assert_eq!(
        clone(&mut root, "/config/shared/tag", "/config/shared/rules/entry[@name='r']", "t").unwrap_err().code,
        12
    );
    assert_eq!(
        clone(&mut root, "/config/shared/rules", "/config/shared/rules/entry[@name='x']", "t").unwrap_err().code,
        13
    );
}

#[test]
fn entries_move_within_their_list() {
    let moved = |name: &str, place: &str, dst: Option<&str>| {
        let mut root =
            tree("<config><rules><!--c--><entry name='a'/><entry name='b'/><entry name='c'/></rules></config>");
        let destination = Destination::parse(place, dst)?;
        move_entry(&mut root, &format!("/config/rules/entry[@name='{name}']"), &destination)?;
        let names: Vec<String> = root.child("rules").unwrap().entries().map(|(name, _)| name.to_owned()).collect();
        Ok(names.join(""))
    };
    let text = |result: Result<String, EditError>| result.unwrap_or_else(|error| format!("{} {error}", error.code));
    for (name, place, dst, expected) in [
        ("c", "top", Some("top"), "cab"),
        ("a", "bottom", None, "bca"),
        ("c", "before", Some("b"), "acb"),
        ("a", "after", Some("b"), "bac"),
        ("a", "before", Some("c"), "bac"),
        ("a", "before", Some("b"), "abc"),
        ("c", "after", Some("a"), "acb"),
        ("a", "top", None, "14 `a` is already at the top"),
        ("c", "bottom", None, "14 `c` is already at the bottom"),
        ("a", "before", Some("a"), "14 `a` cannot be moved next to itself"),
        ("a", "before", Some("z"), "13 `z` is not in the list that `a` is moved in"),
        ("z", "top", None, "13 No such node: /config/rules/entry[@name='z']"),
        ("a", "before", None, "12 `before` needs `dst`, the name of an entry"),
        ("a", "aside", None, "12 `aside` is not one of `top`, `bottom`, `before`, `after`"),
    ] {
        assert_eq!(text(moved(name, place, dst)), expected, "{name} {place} {dst:?}");
    }
}

#[test]
fn an_edit_copies_only_the_path_to_the_node() {
    let running = tree(GROUPS);
    let mut candidate = running.clone();
    set(&mut candidate, "/config/shared/address", "<entry name='new'><fqdn>n</fqdn></entry>").unwrap();
    let devices = |root: &Arc<Element>| root.child("devices").unwrap().clone();
    assert!(Arc::ptr_eq(&devices(&running), &devices(&candidate)));
    assert!(running.descend(&["shared", "address"]).unwrap().entry_named("new").is_none());
}

#[test]
fn reads_say_whether_there_is_something() {
    let root = tree(OBJECTS);
    assert_eq!(get(&root, "/config/shared/address/entry").unwrap().len(), 2);
    assert_eq!(get(&root, "/config/nothing").unwrap().len(), 0);
    assert_eq!(show(&root, "/config/nothing").unwrap_err().lines, ["No such node"]);
    assert_eq!(show(&root, "nonsense").unwrap_err().code, 6);
}

proptest! {
    #[test]
    fn setting_twice_is_setting_once(
        names in proptest::collection::vec("[ab]", 1..4),
        branch in "ip-netmask|fqdn|ip-range",
        text in "[a-c]{1,3}",
    ) {
        let element: String = names.iter().map(|name| format!("<entry name='{name}'><{branch}>{text}</{branch}></entry>")).collect();
        let mut once = tree(OBJECTS);
        set(&mut once, ADDRESS, &element).unwrap();
        let mut twice = once.clone();
        let outcome = set(&mut twice, ADDRESS, &element).unwrap();
        prop_assert!(!outcome.changed);
        prop_assert_eq!(&once, &twice);
        for (_, entry) in once.descend(&["shared", "address"]).unwrap().entries() {
            prop_assert_eq!(entry.elements().filter(|child| &*child.name != "tag").count(), 1);
        }
    }
}

const TWO_GROUPS: &str = "<config><shared><address><entry name='s'><fqdn>s.example</fqdn></entry></address></shared><devices>\
    <entry name='localhost.localdomain'><device-group>\
    <entry name='east'><address><entry name='a'><fqdn>a.example</fqdn></entry><entry name='b'><fqdn>b.example</fqdn></entry>\
    </address><address-group><entry name='g'><static><member>a</member></static></entry></address-group>\
    <pre-rulebase><security><rules><entry name='r1' uuid='u-1'/><entry name='r2'/></rules></security></pre-rulebase></entry>\
    <entry name='west'><address><entry name='b'><fqdn>other.example</fqdn></entry></address></entry>\
    </device-group></entry></devices></config>";
const EAST: &str = "/config/devices/entry[@name='localhost.localdomain']/device-group/entry[@name='east']";
const WEST: &str = "/config/devices/entry[@name='localhost.localdomain']/device-group/entry[@name='west']";

fn select(list: &str, names: &[&str]) -> Vec<Selected> {
    vec![Selected { source: list.to_owned(), names: names.iter().map(|name| (*name).to_owned()).collect() }]
}

#[test]
fn entries_move_to_where_all_that_need_them_see_them() {
    let mut root = Arc::new(parse(TWO_GROUPS).unwrap());
    let addresses = format!("{EAST}/address");
    // The group in east sees Shared.
    multi_move(&mut root, "/config/shared/address", &select(&addresses, &["a"]), false).unwrap();
    let text = write(&root);
    assert_eq!(text.matches("a.example").count(), 1);
    assert!(text.find("a.example") < text.find("device-group"), "{text}");
    // In west it would not.
    let before = root.clone();
    let error = multi_move(&mut root, &format!("{WEST}/address"), &select("/config/shared/address", &["a"]), false);
    let error = error.unwrap_err();
    assert_eq!(error.code, code::REFERENCED);
    assert_eq!(error.lines[1], " device-group -> east -> address-group -> g -> static");
    let taken = multi_move(&mut root, &format!("{WEST}/address"), &select(&addresses, &["b"]), false).unwrap_err();
    assert!(taken.lines[0].contains("'b' is already in use"), "{taken:?}");
    assert_eq!(root, before, "a refused move changes nothing");
    let both = select(&addresses, &["b", "nobody"]);
    let all = multi_move(&mut root, &format!("{WEST}/address"), &both, true).unwrap_err();
    let first = multi_move(&mut root, &format!("{WEST}/address"), &both, false).unwrap_err();
    assert!(all.lines.len() > first.lines.len(), "{all:?} {first:?}");
}

#[test]
fn rules_move_with_their_uuid_and_copies_get_free_names() {
    let mut root = Arc::new(parse(TWO_GROUPS).unwrap());
    let (pre, post) = (format!("{EAST}/pre-rulebase/security/rules"), format!("{WEST}/post-rulebase/security/rules"));
    multi_move(&mut root, &post, &select(&pre, &["r2", "r1"]), false).unwrap();
    let text = write(&root);
    assert!(text.contains("<rules><entry name=\"r2\"/><entry name=\"r1\" uuid=\"u-1\"/></rules>"), "{text}");
    multi_clone(&mut root, &post, &select(&post, &["r1"]), false).unwrap();
    multi_clone(&mut root, &post, &select(&post, &["r1"]), false).unwrap();
    let text = write(&root);
    assert!(text.contains("<entry name=\"r1-1\"/><entry name=\"r1-2\"/></rules>"), "{text}");
    let other = multi_clone(&mut root, &format!("{WEST}/post-rulebase/nat/rules"), &select(&post, &["r1"]), false);
    assert!(other.unwrap_err().lines[0].contains("does not hold the same kind of entries"));
    assert!(multi_clone(&mut root, &post, &[], false).is_err());
}

#[test]
fn a_reference_may_name_what_its_device_group_sees() {
    let root = parse(TWO_GROUPS).unwrap();
    let rule = format!("{EAST}/pre-rulebase/security/rules/entry[@name='r1']");
    assert_eq!(names_for(&root, &format!("{rule}/source")), ["a", "b", "g", "s"]);
    assert_eq!(names_for(&root, &format!("{rule}/source/member[text()='new']")), ["a", "b", "g", "s"]);
    assert_eq!(names_for(&root, "/config/shared/address-group/entry[@name='n']/static"), ["s"]);
    assert_eq!(names_for(&root, &format!("{rule}/description")), Vec::<String>::new());
    assert_eq!(names_for(&root, "no xpath"), Vec::<String>::new());
}
