//! What must be edited so that a configuration says what is declared?
//!
//! Three trees: what is there, what is declared, and what was declared the last time. What is declared is laid over what
//! is there; what was declared the last time and is not any more goes, and nothing else does. A list of members is one
//! value; rules that are declared stand in the declared order among themselves.

use std::sync::Arc;

use bartizan_model::diff::{self, Change};
use bartizan_model::edit::{self, Step};
use bartizan_model::tree::{Child, Element};

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// In an order in which each is possible.
    pub(super) steps: Vec<Step>,
    /// What that changes, for people.
    pub(super) changes: Vec<Change>,
}

/// The way from `there` to what is declared.
///
/// # Errors
/// What stands in the way, all of it.
pub(super) fn plan(there: &Arc<Element>, declared: &Element, before: &Element) -> Result<Plan, Vec<String>> {
    let mut wanted = Element::clone(there);
    prune(&mut wanted, before, Some(declared));
    lay_over(&mut wanted, declared);
    let wanted = Arc::new(wanted);
    let changes = diff::diff(there, &wanted);
    let steps = edit::steps(there, &wanted, &changes)?;
    Ok(Plan { steps, changes })
}

/// Takes out what was declared before and is not declared now. Whether nothing is left.
fn prune(here: &mut Element, before: &Element, declared: Option<&Element>) -> bool {
    let mut gone = Vec::new();
    for old in before.elements() {
        let Some(index) = position(here, old) else { continue };
        let now = declared.and_then(|declared| found(declared, old));
        let Some(Child::Element(child)) = here.children.get_mut(index) else { continue };
        let is_leaf = old.elements().next().is_none();
        let is_gone = match (is_leaf, now) {
            (true, Some(_)) => false,
            (true, None) => child.elements().next().is_none(),
            (false, now) => prune(Arc::make_mut(child), old, now) && now.is_none(),
        };
        if is_gone {
            gone.push(index);
        }
    }
    gone.sort_unstable();
    for index in gone.into_iter().rev() {
        here.children.remove(index);
    }
    here.children.is_empty()
}

/// Makes a tree say what is declared.
fn lay_over(here: &mut Element, declared: &Element) {
    for (name, value) in &declared.attributes {
        if here.attribute(name).is_none() {
            here.attributes.push((name.clone(), value.clone()));
        }
    }
    let is_list_of_members = declared.child("member").is_some();
    if is_list_of_members || declared.elements().next().is_none() {
        // One value.
        if here.text() != declared.text() || members(here) != members(declared) {
            here.children.clone_from(&declared.children);
        }
        return;
    }
    for child in declared.elements() {
        match position(here, child) {
            Some(index) => {
                if let Some(Child::Element(existing)) = here.children.get_mut(index) {
                    let mut next = Element::clone(existing);
                    lay_over(&mut next, child);
                    if next != **existing {
                        *existing = next.into();
                    }
                }
            }
            None => here.children.push(Child::Element(child.clone())),
        }
    }
    if &*declared.name == "rules" {
        put_in_order(here, declared);
    }
}

fn members(element: &Element) -> Vec<String> {
    element.members().collect()
}

/// The entries that are declared take the places that they have, in their declared order.
fn put_in_order(here: &mut Element, declared: &Element) {
    let places: Vec<usize> = declared.elements().filter_map(|child| position(here, child)).collect();
    let ordered: Vec<Child> = places.iter().map(|index| here.children[*index].clone()).collect();
    let mut sorted = places;
    sorted.sort_unstable();
    for (index, child) in sorted.into_iter().zip(ordered) {
        here.children[index] = child;
    }
}

/// The child that means the same node.
fn position(parent: &Element, wanted: &Element) -> Option<usize> {
    parent.children.iter().position(|child| matches!(child, Child::Element(child) if is_same(child, wanted)))
}

fn found<'e>(parent: &'e Element, wanted: &Element) -> Option<&'e Element> {
    parent.elements().find(|child| is_same(child, wanted)).map(|child| &**child)
}

fn is_same(one: &Element, other: &Element) -> bool {
    one.name == other.name && one.step() == other.step()
}

#[cfg(test)]
mod tests {
    use bartizan_model::xml;
    use expect_test::{Expect, expect};

    use super::*;

    fn tree(text: &str) -> Arc<Element> {
        Arc::new(xml::parse(text).unwrap())
    }

    /// What is done, and that doing it once is enough.
    fn check(there: &str, declared: &str, before: &str, expected: &Expect) {
        let (there, declared, before) = (tree(there), tree(declared), tree(before));
        let plan = plan(&there, &declared, &before).unwrap();
        expected.assert_eq(&diff::set_lines(&plan.changes).join("\n"));
        let mut after = there;
        for step in &plan.steps {
            step.play(&mut after).unwrap();
        }
        let again = super::plan(&after, &declared, &declared).unwrap();
        assert_eq!(again, Plan::default(), "{}", xml::write_pretty(&after));
    }

    #[test]
    fn what_is_declared_is_laid_over_what_is_there() {
        check(
            "<config><shared><address><entry name='theirs'><fqdn>t</fqdn></entry></address></shared></config>",
            "<config><shared><address><entry name='ours'><fqdn>o</fqdn></entry></address></shared></config>",
            "<config/>",
            &expect!["set shared address ours fqdn o"],
        );
    }

    #[test]
    fn only_what_was_declared_before_goes() {
        check(
            "<config><shared><address><entry name='theirs'><fqdn>t</fqdn></entry><entry name='ours'><fqdn>o</fqdn></entry></address>\
             <tag><entry name='red'/></tag></shared></config>",
            "<config/>",
            "<config><shared><address><entry name='ours'><fqdn>o</fqdn></entry></address><tag><entry name='red'/></tag></shared></config>",
            &expect![[r#"
                delete shared tag
                delete shared address ours"#]],
        );
    }

    #[test]
    fn lists_are_one_value_and_a_device_group_of_others_stays() {
        let own = |inner: &str| {
            format!(
                "<config><devices><entry name='localhost.localdomain'><device-group>{inner}</device-group></entry></devices></config>"
            )
        };
        check(
            &own(
                "<entry name='branch'><devices><entry name='1'/></devices><address-group><entry name='g'><static><member>a</member>\
                  <member>drift</member></static></entry></address-group></entry>",
            ),
            &own(
                "<entry name='branch'><address-group><entry name='g'><static><member>b</member><member>a</member></static></entry></address-group></entry>",
            ),
            &own(
                "<entry name='branch'><address-group><entry name='g'><static><member>a</member></static></entry></address-group>\
                  <address><entry name='gone-already'/></address></entry>",
            ),
            &expect![[r#"
                delete device-group branch address-group g static drift
                set device-group branch address-group g static b"#]],
        );
    }

    #[test]
    fn rules_stand_in_the_declared_order_among_those_of_others() {
        let rules = |names: &[&str]| {
            let rules: String =
                names.iter().map(|name| format!("<entry name='{name}'><action>allow</action></entry>")).collect();
            format!(
                "<config><shared><pre-rulebase><security><rules>{rules}</rules></security></pre-rulebase></shared></config>"
            )
        };
        check(
            &rules(&["b", "theirs", "a"]),
            &rules(&["a", "b", "c"]),
            "<config/>",
            &expect![[r#"
            move shared pre-rulebase security rules a top
            move shared pre-rulebase security rules theirs after a
            set shared pre-rulebase security rules c action allow"#]],
        );
    }

    #[test]
    fn what_is_referred_to_goes_after_what_refers() {
        let both = "<config><shared><address><entry name='web'><fqdn>w</fqdn></entry></address>\
                    <address-group><entry name='g'><static><member>web</member></static></entry></address-group></shared></config>";
        check(
            both,
            "<config><shared/></config>",
            both,
            &expect![[r#"
            delete shared address
            delete shared address-group"#]],
        );
        let foreign = both.replace("name='g'", "name='theirs'");
        let before = "<config><shared><address><entry name='web'><fqdn>w</fqdn></entry></address></shared></config>";
        let wrong = plan(&tree(&foreign), &tree("<config/>"), &tree(before)).unwrap_err();
        assert!(wrong[0].contains("web cannot be deleted because of references from"), "{wrong:?}");
    }
}
