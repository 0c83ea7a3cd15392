//! Do words mean what an operator means by them, and do the lines of a difference come back as what they say?

use std::sync::Arc;

use super::{Line, line, of_xpath, xpath};
use crate::edit::{self, Destination};
use crate::tree::Element;
use crate::{diff, xml};

const ROOT: &str = "<config><shared/><devices><entry name='localhost.localdomain'><device-group><entry name='branch'/>\
                    </device-group><plugins><ours><list><entry name='a'/></list><word>x</word></ours></plugins></entry></devices></config>";

fn root() -> Arc<Element> {
    Arc::new(xml::parse(ROOT).unwrap())
}

fn set(text: &str) -> (String, String) {
    match line(&root(), text).unwrap() {
        Line::Set { xpath, element } => (xpath, element),
        other => panic!("{other:?}"),
    }
}

#[test]
fn words_lead_to_entries_members_and_leaves() {
    let own = "/config/devices/entry[@name='localhost.localdomain']";
    let (path, element) = set("set shared address web ip-netmask 10.0.0.1/32");
    assert_eq!((&*path, &*element), ("/config/shared/address/entry[@name='web']/ip-netmask", "10.0.0.1/32"));
    let (path, element) = set("set device-group branch address \"two words\" tag [ a \"b c\" ]");
    assert_eq!(path, format!("{own}/device-group/entry[@name='branch']/address/entry[@name='two words']/tag"));
    assert_eq!(element, "<member>a</member><member>b c</member>");
    let (_, element) = set("set shared address web description \"a < b\"");
    assert_eq!(element, "a &lt; b");
    // What the schema does not know is known from the tree.
    let (path, _) = set("set plugins ours list b");
    assert_eq!(path, format!("{own}/plugins/ours/list/entry[@name='b']"));
    let (path, element) = set("set plugins ours word y");
    assert_eq!((path, &*element), (format!("{own}/plugins/ours/word"), "y"));
    let (path, element) = set("set plugins kubernetes policy-automation prod place after base");
    assert_eq!(path, format!("{own}/plugins/kubernetes/policy-automation/entry[@name='prod']/place/after"));
    assert_eq!(element, "base");
}

#[test]
fn a_mistake_names_its_word() {
    for (text, word, part) in [
        ("sett shared", 1, "did you mean `set`?"),
        ("set shared adress web", 3, "did you mean `address`?"),
        ("set shared address web description two words", 7, "nothing can follow the value `two`"),
        ("set shared address web tag [ a", 6, "several as `[ a b ]`"),
        ("set shared address web description \"open", 6, "the quote is not closed"),
        ("move shared address web", 5, "`top`, `bottom`"),
        ("set plugins theirs x", 3, "`theirs` is not known"),
        ("delete shared address web tag a b", 7, "nothing can follow here"),
        ("", 1, "the line is empty"),
    ] {
        let error = line(&root(), text).unwrap_err();
        assert!(error.word == word && error.message.contains(part), "{text}: {error}");
    }
}

#[test]
fn an_xpath_and_its_words_are_the_same_place() {
    let path = "/config/devices/entry[@name='localhost.localdomain']/device-group/entry[@name='branch']/address/entry[@name='a b']";
    assert_eq!(of_xpath(path), "devices localhost.localdomain device-group branch address \"a b\"");
    let words = ["devices", "localhost.localdomain", "device-group", "branch", "address", "a b"];
    assert_eq!(xpath(&root(), &words).as_deref(), Ok(path));
    assert_eq!(xpath(&root(), &words[2..]).as_deref(), Ok(path));
    assert_eq!(xpath(&root(), &[]).as_deref(), Ok("/config"));
}

fn play(tree: &mut Arc<Element>, text: &str) {
    match line(tree, text).unwrap_or_else(|error| panic!("{text}: {error}")) {
        Line::Set { xpath, element } => edit::set(tree, &xpath, &element),
        Line::Delete { xpath } => edit::delete(tree, &xpath),
        Line::Move { xpath, place, other } => {
            edit::move_entry(tree, &xpath, &Destination::parse(&place, Some(&other)).unwrap())
        }
        Line::Rename { xpath, name } => edit::rename(tree, &xpath, &name),
    }
    .unwrap_or_else(|error| panic!("{text}: {error}"));
}

#[test]
fn the_lines_of_a_difference_make_the_new_tree_of_the_old_one() {
    let old = root();
    let new = "<config><shared><address><entry name='web'><ip-netmask>10.0.0.1</ip-netmask><tag><member>b</member>\
               <member>a</member></tag><description>it's \"new\" &amp; [ odd ]</description></entry><entry name='n'/></address>\
               <tag><entry name='a'/><entry name='b'/></tag>\
               <pre-rulebase><security><rules><entry name='one'><from><member>any</member></from><action>allow</action></entry>\
               </rules></security></pre-rulebase></shared><devices><entry name='localhost.localdomain'><device-group>\
               <entry name='branch'><devices><entry name='0001'/></devices></entry></device-group><template><entry name='t'>\
               <config><devices><entry name='localhost.localdomain'><network><interface><ethernet><entry name='ethernet1/1'>\
               <layer3><ip><entry name='$in'/></ip></layer3></entry></ethernet></interface></network></entry></devices></config>\
               </entry></template></entry></devices></config>";
    let new = Arc::new(xml::parse(new).unwrap());
    for (from, to) in [(&old, &new), (&new, &old)] {
        if from.descend(&["shared", "address"]).is_none() {
            let mut tree = from.clone();
            for text in diff::set_lines(&diff::diff(from, to)) {
                play(&mut tree, &text);
            }
            assert_eq!(diff::diff(&tree, to), [], "{}", xml::write_pretty(&tree));
        } else {
            // What the schema and the tree no longer know cannot be written as words; removing can.
            let mut tree = from.clone();
            let lines = diff::set_lines(&diff::diff(from, to));
            for text in lines.iter().filter(|line| line.starts_with("delete")) {
                play(&mut tree, text);
            }
            assert!(tree.descend(&["shared", "address"]).is_none());
        }
    }
}
