//! Two administrators, one candidate.

use bartizan_model::xml;

use super::*;

const D: &str = "/config/devices/entry[@name='localhost.localdomain']";

fn running() -> Arc<Element> {
    let rules = "<pre-rulebase><security><rules><entry name='r1'><action>deny</action></entry></rules></security></pre-rulebase>";
    let text = format!(
        "<config><shared><address><entry name='a'><fqdn>a.example</fqdn></entry></address></shared><devices>\
         <entry name='localhost.localdomain'><device-group><entry name='g'>{rules}</entry><entry name='h'/></device-group>\
         </entry></devices></config>"
    );
    Arc::new(xml::parse(&text).unwrap())
}

fn set(xpath: &str, element: &str) -> Edit {
    Edit::Set { xpath: xpath.to_owned(), element: element.to_owned() }
}

fn address(name: &str, fqdn: &str) -> Edit {
    set(&format!("/config/shared/address/entry[@name='{name}']"), &format!("<fqdn>{fqdn}</fqdn>"))
}

fn rule(name: &str) -> Edit {
    set(
        &format!("{D}/device-group/entry[@name='g']/pre-rulebase/security/rules"),
        &format!("<entry name='{name}'><action>allow</action></entry>"),
    )
}

/// The candidate of these edits, and the journal.
fn edited(edits: &[(&str, Edit)]) -> (Arc<Element>, Vec<JournalLine>) {
    let mut candidate = running();
    let line = |(at, (author, edit)): (usize, &(&str, Edit))| {
        edit.apply(&mut candidate).unwrap();
        let edit = serde_json::to_string(edit).unwrap();
        JournalLine { id: at as i64 + 1, time_us: 0, author: (*author).to_owned(), edit }
    };
    let journal = edits.iter().enumerate().map(line).collect();
    (candidate, journal)
}

fn split_of(edits: &[(&str, Edit)], admin: &str) -> Result<Split, Conflict> {
    let (candidate, journal) = edited(edits);
    let split = split(&running(), &candidate, journal, (&Selection::of_admin(admin), i64::MAX))?;
    assert_eq!(split.candidate, candidate, "nobody's work changes");
    Ok(split)
}

fn selection(text: &str) -> Option<Selection> {
    Selection::read(&xml::parse(&format!("<partial>{text}</partial>")).unwrap()).unwrap()
}

#[test]
fn each_ones_commit_holds_only_its_own_changes() {
    let edits = [("alice", address("b", "b.example")), ("bob", address("c", "c.example")), ("alice", rule("r2"))];
    let split = split_of(&edits, "bob").unwrap();
    let text = xml::write(&split.chosen);
    assert!(text.contains("c.example") && !text.contains("b.example") && !text.contains("r2"), "{text}");
    assert_eq!(split.taken, [2]);
    // His address was the second; alone it is the first, and hers stays before it in the candidate.
    assert_eq!(split.moves.len(), 1, "{:?}", split.moves);
    assert_eq!(split.moves[0].author, "alice");
}

#[test]
fn the_order_of_rules_stays_when_the_later_one_is_committed_first() {
    let edits = [("bob", rule("of-bob")), ("alice", rule("of-alice"))];
    let split = split_of(&edits, "alice").unwrap();
    let order = |tree: &Element| {
        let text = xml::write(tree);
        ["of-bob", "of-alice"].map(|name| text.find(name))
    };
    assert!(matches!(order(&split.chosen), [None, Some(_)]));
    assert!(matches!(order(&split.candidate), [Some(first), Some(second)] if first < second));
    // What is left, committed then, is the order that both saw.
    let mut rest = split.chosen.clone();
    rule("of-bob").apply(&mut rest).unwrap();
    for line in &split.moves {
        serde_json::from_str::<Edit>(&line.edit).unwrap().apply(&mut rest).unwrap();
        assert_eq!(line.author, "bob");
    }
    assert_eq!(order(&rest), order(&split.candidate));
}

#[test]
fn what_two_change_is_a_conflict_that_names_both() {
    let edits = [("bob", address("a", "bob.example")), ("alice", address("a", "alice.example"))];
    let conflict = split_of(&edits, "alice").unwrap_err();
    let text = conflict.0.join("\n");
    for part in ["edit 2 (`set` by `alice`", "edit 1 (`set` by `bob`", "/config/shared/address/entry[@name='a']"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    // The earlier of the two can go first: the later one says what stands there in the end.
    assert!(xml::write(&split_of(&edits, "bob").unwrap().chosen).contains("bob.example"));
}

#[test]
fn what_builds_on_others_work_is_a_conflict() {
    let rename = Edit::Rename { xpath: "/config/shared/address/entry[@name='b']".into(), newname: "c".into() };
    let edits = [("bob", address("b", "b.example")), ("alice", rename)];
    let conflict = split_of(&edits, "alice").unwrap_err();
    assert!(conflict.0[0].starts_with("edit 2 (`rename` by `alice`"), "{conflict:?}");
    let (_, journal) = edited(&edits);
    let conflict = without(&running(), journal, &Selection::of_admin("bob")).unwrap_err();
    assert!(conflict.0[0].contains("depends on an edit that is to be reverted"), "{conflict:?}");
}

#[test]
fn a_revert_undoes_one_administrators_edits() {
    let edits = [("bob", address("b", "b.example")), ("alice", address("c", "c.example"))];
    let (_, journal) = edited(&edits);
    let left = without(&running(), journal, &Selection::of_admin("bob")).unwrap();
    let text = xml::write(&left.candidate);
    assert!(text.contains("c.example") && !text.contains("b.example"), "{text}");
    assert_eq!(left.taken, [1]);
}

#[test]
fn places_tell_edits_apart() {
    let group = |name: &str| set(&format!("{D}/device-group/entry[@name='{name}']/address"), "<entry name='x'/>");
    let (_, journal) = edited(&[
        ("bob", group("g")),
        ("bob", group("h")),
        ("bob", address("b", "b.example")),
        ("bob", set(&format!("{D}/template"), "<entry name='t'/>")),
        ("bob", set(&format!("{D}/deviceconfig/system"), "<hostname>m</hostname>")),
        ("bob", set(D, "<device-group><entry name='k'/></device-group>")),
    ]);
    let held = |text: &str| -> Vec<i64> {
        let Some(selection) = selection(text) else { return vec![-1] };
        journal.iter().filter(|line| is_meant(line, &selection)).map(|line| line.id).collect()
    };
    let others =
        "<no-template/><shared-object>excluded</shared-object><device-and-network>excluded</device-and-network>";
    assert_eq!(held(&format!("<device-group><member>g</member></device-group>{others}")), [1]);
    assert_eq!(held(&format!("<device-group><entry name='h'/></device-group>{others}")), [2]);
    assert_eq!(held("<no-device-group/><no-template/><device-and-network>excluded</device-and-network>"), [3]);
    assert_eq!(held("<policy-and-objects>excluded</policy-and-objects><device-and-network/>"), [4]);
    assert_eq!(held("<no-device-group/><no-template/><shared-object>excluded</shared-object>"), [5]);
    assert_eq!(held(&format!("<device-group><member>k</member></device-group>{others}")), [6]);
    assert_eq!(held("<admin><member>alice</member></admin>"), [0; 0]);
    assert_eq!(held("<description>all</description><log-collector/>"), [-1], "nothing is narrowed");
    let unknown = Selection::read(&xml::parse("<partial><vdom/></partial>").unwrap()).unwrap_err();
    assert_eq!(unknown[0], " commit -> partial -> vdom unexpected here");
}

#[test]
fn an_edit_of_several_places_is_taken_whole_or_not_at_all() {
    let both =
        set(&format!("{D}/device-group"), "<entry name='g'><address/></entry><entry name='h'><address/></entry>");
    let (candidate, journal) = edited(&[("bob", both)]);
    let one = selection("<device-group><member>g</member></device-group>").unwrap();
    let conflict = split(&running(), &candidate, journal.clone(), (&one, i64::MAX)).unwrap_err();
    assert!(conflict.0[0].contains("touches what is selected and what is not"), "{conflict:?}");
    let two = selection("<device-group><member>g</member><member>h</member></device-group>").unwrap();
    assert_eq!(split(&running(), &candidate, journal, (&two, i64::MAX)).unwrap().taken, [1]);
}

#[test]
fn after_a_load_only_everything_can_be_committed() {
    let load = Edit::Load { source: "x".into(), configuration: xml::write(&running()) };
    let conflict = split_of(&[("bob", load.clone()), ("alice", address("b", "b.example"))], "alice").unwrap_err();
    assert!(conflict.0[0].contains("since a load was performed"), "{conflict:?}");
    assert_eq!(split_of(&[("bob", load)], "bob").unwrap().taken, [1]);
}
