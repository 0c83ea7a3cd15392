//! Which edits take edits back?
//!
//! Found by what is different, so whatever was done can be taken back: moves, renamings that references followed, what
//! was copied elsewhere. Each goes with the digest of what it is about to replace: what somebody else changed since
//! stays, and the undoing is refused.

use std::sync::Arc;

use bartizan_model::diff;
use bartizan_model::edit::{self, Step};
use bartizan_model::tree::Element;
use bartizan_model::xml;

use crate::store::hex_digest;

/// Edits that take others back, at most.
const STEPS_MAX: usize = 2000;
/// Bytes of the elements that they bring back, at most.
const BYTES_MAX: usize = 1 << 20;

/// One of the edits, and the digest of the node that it is for; none of a move, which leaves the node as it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Back {
    pub(crate) step: Step,
    pub(crate) digest: Option<String>,
}

/// The edits that bring `after` back to `before`; nothing when there are too many, or there is no way back.
pub(crate) fn back(before: &Arc<Element>, after: &Arc<Element>) -> Option<Vec<Back>> {
    let changes = diff::diff(after, before);
    if changes.len() > STEPS_MAX {
        return None;
    }
    let mut tree = after.clone();
    let mut bytes = 0;
    let mut told = Vec::new();
    for step in edit::steps(after, before, &changes).ok()? {
        if let Step::Put { element, .. } = &step {
            bytes += element.len();
        }
        let digest = match step {
            Step::Put { .. } | Step::Delete { .. } => Some(digest_of(&tree, step.xpath())?),
            Step::Move { .. } => None,
        };
        step.play(&mut tree).ok()?;
        told.push(Back { step, digest });
    }
    let is_back = bytes <= BYTES_MAX && told.len() <= STEPS_MAX && diff::diff(&tree, before).is_empty();
    is_back.then_some(told)
}

/// As an edit's `if_digest` has it: empty for a node that is not there.
fn digest_of(tree: &Element, xpath: &str) -> Option<String> {
    let found = edit::get(tree, xpath).ok()?;
    Some(found.first().map(|node| hex_digest(xml::write(&node.to_element()).as_bytes())).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use bartizan_model::edit::Destination;
    use proptest::prelude::*;

    use super::*;

    const RULES: &str = "/config/shared/pre-rulebase/security/rules";
    const ROOT: &str = "<config><shared><address><entry name='web'><fqdn>w</fqdn></entry></address>\
        <address-group><entry name='g'><static><member>web</member></static></entry></address-group>\
        <pre-rulebase><security><rules><entry name='a'><action>allow</action></entry><entry name='b' uuid='7ae7a3f0-4c38-4f1e-9a57-0a3c5d2f1b11'><source>\
        <member>web</member><member>g</member></source></entry><entry name='c'/></rules></security></pre-rulebase></shared></config>";

    fn root() -> Arc<Element> {
        Arc::new(xml::parse(ROOT).unwrap())
    }

    fn rule(name: &str) -> String {
        format!("{RULES}/entry[@name='{name}']")
    }

    /// Plays it as the manager would, with its expectations.
    fn undo(tree: &mut Arc<Element>, told: &[Back]) -> Result<(), String> {
        for Back { step, digest } in told {
            let now = digest_of(tree, step.xpath());
            if digest.is_some() && now != *digest {
                return Err(step.xpath().to_owned());
            }
            step.play(tree).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    #[test]
    fn a_renaming_goes_back_with_its_references_and_a_deleted_rule_to_its_place() {
        let before = root();
        let mut after = before.clone();
        edit::rename(&mut after, "/config/shared/address/entry[@name='web']", "www").unwrap();
        edit::delete(&mut after, &rule("b")).unwrap();
        edit::clone(&mut after, RULES, &rule("a"), "a-1").unwrap();
        edit::move_entry(&mut after, &rule("c"), &Destination::Top).unwrap();
        let told = back(&before, &after).unwrap();
        undo(&mut after, &told).unwrap();
        assert_eq!(xml::write(&after), xml::write(&before));
    }

    #[test]
    fn an_entry_that_is_first_once_others_went_is_not_moved_there() {
        let before = root();
        let mut after = before.clone();
        edit::delete(&mut after, &rule("c")).unwrap();
        edit::rename(&mut after, &rule("b"), "c").unwrap();
        edit::move_entry(&mut after, &rule("a"), &Destination::Bottom).unwrap();
        let told = back(&before, &after).unwrap();
        undo(&mut after, &told).unwrap();
        assert_eq!(xml::write(&after), xml::write(&before));
    }

    #[test]
    fn what_somebody_else_changed_since_is_in_the_way() {
        let before = root();
        let mut after = before.clone();
        edit::set(&mut after, &format!("{}/description", rule("a")), "mine").unwrap();
        let told = back(&before, &after).unwrap();
        edit::set(&mut after, &format!("{}/action", rule("a")), "deny").unwrap();
        let mut theirs = after.clone();
        undo(&mut theirs, &told).unwrap();
        assert!(xml::write(&theirs).contains("<entry name=\"a\"><action>deny</action></entry>"), "another field");
        edit::set(&mut after, &format!("{}/description", rule("a")), "theirs").unwrap();
        assert_eq!(undo(&mut after, &told).unwrap_err(), format!("{}/description", rule("a")));
    }

    #[test]
    fn too_much_is_not_told() {
        let before = root();
        let mut after = before.clone();
        let many: String = (0..=STEPS_MAX).map(|number| format!("<entry name='n{number}'/>")).collect();
        edit::set(&mut after, RULES, &many).unwrap();
        assert_eq!(back(&before, &after), None);
    }

    proptest! {
        #[test]
        fn any_edits_are_taken_back(edits in proptest::collection::vec((0..6_u8, 0..4_usize, 0..4_usize), 1..12)) {
            let before = root();
            let mut after = before.clone();
            let names = ["a", "b", "c", "d"];
            for (kind, one, other) in edits {
                let (one, other) = (names[one], names[other]);
                // One that is refused changes nothing.
                let _ = match kind {
                    0 => edit::set(&mut after, &format!("{}/tag", rule(one)), &format!("<member>{other}</member>")),
                    1 => edit::delete(&mut after, &rule(one)),
                    2 => edit::move_entry(&mut after, &rule(one), &Destination::Before(other.to_owned())),
                    3 => edit::rename(&mut after, &rule(one), other),
                    4 => edit::clone(&mut after, RULES, &rule(one), other),
                    _ => edit::edit(&mut after, &rule(one), &format!("<entry name='{one}'><action>{other}</action></entry>")),
                };
            }
            let told = back(&before, &after).unwrap();
            undo(&mut after, &told).unwrap();
            prop_assert_eq!(xml::write(&after), xml::write(&before));
        }
    }
}
