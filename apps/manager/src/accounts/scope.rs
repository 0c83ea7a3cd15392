//! Which parts of the configuration may an administrator see, and which may he change?
//!
//! A scope is a tree of places, each with an access; what is below a place has the same unless a deeper place says
//! otherwise. Reading goes through [`Scope::view`], the tree without what is hidden. Changes are judged by what they
//! did, not by what was asked: [`Scope::overstepped`] compares the trees before and after, and skips what they share.

use std::collections::BTreeMap;
use std::sync::Arc;

use bartizan_model::tree::{Attribute, Child, Element, quote};
use bartizan_model::xpath::{NameTest, XPath};

/// Places that a refusal names; more are counted only.
const PLACES_SHOWN: usize = 20;

/// What may be done with a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Access {
    /// It is not there.
    #[default]
    Hidden,
    /// It is shown.
    Read,
    /// It can be changed.
    Write,
}

/// Tag, and the name of an entry.
type Key = (String, Option<String>);

/// Places and their access.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    top: Place,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Place {
    access: Option<Access>,
    below: BTreeMap<Key, Place>,
}

impl Place {
    /// The place of a child, if there is one of its own. One without a name stands for every entry that has none.
    fn of(&self, child: &Element) -> Option<&Place> {
        if self.below.is_empty() {
            return None;
        }
        let tag = || child.name.to_string();
        let named = child.attribute("name").and_then(|name| self.below.get(&(tag(), Some(name.to_owned()))));
        named.or_else(|| self.below.get(&(tag(), None)))
    }
}

impl Scope {
    /// Gives a place at least this access.
    pub(crate) fn allow(&mut self, steps: &[(&str, Option<&str>)], access: Access) {
        let place = self.place(steps);
        place.access = place.access.max(Some(access));
    }

    /// Gives a place this access, whatever it had.
    pub(crate) fn put(&mut self, steps: &[(&str, Option<&str>)], access: Access) {
        self.place(steps).access = Some(access);
    }

    fn place(&mut self, steps: &[(&str, Option<&str>)]) -> &mut Place {
        steps.iter().fold(&mut self.top, |place, (tag, name)| {
            place.below.entry(((*tag).to_owned(), name.map(str::to_owned))).or_default()
        })
    }

    /// Gives the place of an XPath this access.
    ///
    /// # Errors
    /// When it is no path of tags and names of entries below `/config`.
    pub(crate) fn put_xpath(&mut self, xpath: &str, access: Access) -> Result<(), String> {
        let parsed = XPath::parse(xpath).map_err(|error| error.to_string())?;
        let path = parsed.single().filter(|path| path.attribute.is_none());
        let path = path.ok_or_else(|| "it names several paths or an attribute".to_owned())?;
        let mut steps = Vec::new();
        for step in &path.steps {
            let NameTest::Tag(tag) = &step.test else { return Err("`*` is no place".to_owned()) };
            let name = step.attribute("name");
            if name.is_none() && !step.predicates.is_empty() {
                return Err("only `[@name='…']` names a place".to_owned());
            }
            steps.push((tag.as_str(), name));
        }
        match steps.first() {
            Some(("config", None)) => self.put(&steps, access),
            _ => return Err("it does not begin with `/config`".to_owned()),
        }
        Ok(())
    }

    /// A configuration without what is hidden; what is shown whole is shared, not copied.
    pub(crate) fn view(&self, root: &Arc<Element>) -> Arc<Element> {
        let top = self.top.of(root);
        let shown = top.and_then(|place| pruned(root, place, Access::Hidden));
        shown.unwrap_or_else(|| Arc::new(Element { children: Vec::new(), ..Element::clone(root) }))
    }

    /// What may be done at an XPath: the least of what it names.
    pub(crate) fn access(&self, xpath: &str) -> Access {
        let Ok(parsed) = XPath::parse(xpath) else { return Access::Hidden };
        let of = |path: &bartizan_model::xpath::Path| {
            let mut access = Access::Hidden;
            let mut place = Some(&self.top);
            for step in &path.steps {
                let Some(tag) = step.name() else { break };
                let name = step.attribute("name").map(str::to_owned);
                place = place.and_then(|place| {
                    let exact = place.below.get(&(tag.to_owned(), name.clone()));
                    exact.or_else(|| place.below.get(&(tag.to_owned(), None)))
                });
                match place {
                    Some(place) => access = place.access.unwrap_or(access),
                    None => break,
                }
            }
            access
        };
        parsed.paths.iter().map(of).min().unwrap_or_default()
    }

    /// The places that differ between two configurations although this scope does not allow to change them, as
    /// XPaths; empty when all is well.
    pub(crate) fn overstepped(&self, before: &Arc<Element>, after: &Arc<Element>) -> Vec<String> {
        let mut found = Found::default();
        let none = Place::default();
        let place = self.top.of(after).unwrap_or(&none);
        compare(Some(before), Some(after), place, Access::Hidden, "", &mut found);
        if found.more > 0 {
            found.places.push(format!("and {} more", found.more));
        }
        found.places
    }
}

/// `None` when nothing of it is shown.
fn pruned(element: &Arc<Element>, place: &Place, inherited: Access) -> Option<Arc<Element>> {
    let access = place.access.unwrap_or(inherited);
    if place.below.is_empty() {
        return (access >= Access::Read).then(|| element.clone());
    }
    let children: Vec<Child> = element
        .children
        .iter()
        .filter_map(|child| match child {
            Child::Element(child) => match place.of(child) {
                Some(place) => pruned(child, place, access).map(Child::Element),
                None => (access >= Access::Read).then(|| Child::Element(child.clone())),
            },
            Child::Text(_) | Child::Comment(_) => (access >= Access::Read).then(|| child.clone()),
        })
        .collect();
    let shown = access >= Access::Read || !children.is_empty();
    shown.then(|| Arc::new(Element { children, ..Element::clone(element) }))
}

#[derive(Default)]
struct Found {
    places: Vec<String>,
    more: usize,
}

impl Found {
    fn push(&mut self, place: String) {
        if self.places.len() < PLACES_SHOWN {
            self.places.push(place);
        } else {
            self.more += 1;
        }
    }
}

fn compare(
    before: Option<&Arc<Element>>,
    after: Option<&Arc<Element>>,
    place: &Place,
    inherited: Access,
    parent: &str,
    found: &mut Found,
) {
    if let (Some(before), Some(after)) = (before, after)
        && Arc::ptr_eq(before, after)
    {
        return;
    }
    let Some(either) = after.or(before) else { return };
    let access = place.access.unwrap_or(inherited);
    let here = format!("{parent}/{}", step(either));
    if place.below.is_empty() {
        if access != Access::Write && before != after {
            found.push(here);
        }
        return;
    }
    if access != Access::Write && own(before, place) != own(after, place) {
        let differing = differing(before, after, place);
        if differing.is_empty() {
            found.push(here.clone());
        }
        differing.into_iter().for_each(|child| found.push(format!("{here}/{child}")));
    }
    // A child of the one that is compared with the child of the other in the same place.
    let mut done: Vec<&Arc<Element>> = Vec::new();
    for child in before.into_iter().flat_map(|element| element.elements()) {
        if let Some(place) = place.of(child) {
            let other = after.and_then(|after| same(after, child));
            done.extend(other);
            compare(Some(child), other, place, access, &here, found);
        }
    }
    for child in after.into_iter().flat_map(|element| element.elements()) {
        if let Some(place) = place.of(child)
            && !done.iter().any(|other| Arc::ptr_eq(other, child))
        {
            compare(None, Some(child), place, access, &here, found);
        }
    }
}

/// Attributes and children.
type Own<'a> = (Vec<&'a Attribute>, Vec<&'a Child>);

/// What an element has that no deeper place decides about: attributes and the other children, in their order.
fn own<'a>(element: Option<&'a Arc<Element>>, place: &Place) -> Own<'a> {
    let Some(element) = element else { return Default::default() };
    let children = element.children.iter().filter(|child| match child {
        Child::Element(child) => place.of(child).is_none(),
        Child::Text(_) => true,
        Child::Comment(_) => false,
    });
    // A container or an entry that has to be there for what is allowed below it is nobody's change.
    let attributes = element.attributes.iter().filter(|(name, _)| &**name != "name");
    (attributes.collect(), children.collect())
}

/// The children that no deeper place decides about and that the other side does not have like that.
fn differing(before: Option<&Arc<Element>>, after: Option<&Arc<Element>>, place: &Place) -> Vec<String> {
    let mut steps = Vec::new();
    for (one, other) in [(before, after), (after, before)] {
        for child in one.into_iter().flat_map(|element| element.elements()).filter(|child| place.of(child).is_none()) {
            let step = step(child);
            if other.and_then(|other| same(other, child)) != Some(child) && !steps.contains(&step) {
                steps.push(step);
            }
        }
    }
    steps
}

fn same<'a>(parent: &'a Element, child: &Element) -> Option<&'a Arc<Element>> {
    match child.attribute("name") {
        Some(name) => parent.elements().find(|other| other.name == child.name && other.attribute("name") == Some(name)),
        None => parent.child(&child.name),
    }
}

fn step(element: &Element) -> String {
    match element.attribute("name") {
        Some(name) => format!("{}[@name={}]", element.name, quote(name)),
        None => element.name.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use bartizan_model::xml;

    use super::*;

    const CONFIG: &str = "<config><shared><address><entry name=\"a\"/></address><admin-role><entry name=\"r\"/>\
        </admin-role></shared><devices><entry name=\"l\"><device-group><entry name=\"east\"><address/></entry>\
        <entry name=\"west\"><address/></entry></device-group></entry></devices></config>";
    const GROUPS: [(&str, Option<&str>); 4] =
        [("config", None), ("devices", None), ("entry", Some("l")), ("device-group", None)];

    fn tree(text: &str) -> Arc<Element> {
        Arc::new(xml::parse(text).unwrap())
    }

    fn east() -> Scope {
        let mut scope = Scope::default();
        scope.put_xpath("/config/shared", Access::Read).unwrap();
        scope.put_xpath("/config/shared/admin-role", Access::Hidden).unwrap();
        scope.allow(&[&GROUPS[..], &[("entry", Some("east"))]].concat(), Access::Write);
        scope.allow(&[&GROUPS[..], &[("entry", Some("north"))]].concat(), Access::Write);
        scope
    }

    #[test]
    fn what_is_hidden_is_not_in_the_view() {
        let shown = xml::write(&east().view(&tree(CONFIG)));
        for (part, there) in [("east", true), ("west", false), ("name=\"a\"", true), ("admin-role", false)] {
            assert_eq!(shown.contains(part), there, "{part}: {shown}");
        }
        assert_eq!(xml::write(&Scope::default().view(&tree(CONFIG))).trim(), "<config/>");
    }

    #[test]
    fn changes_outside_of_what_may_be_written_are_named() {
        let before = tree(CONFIG);
        let east_address = "<entry name=\"east\"><address/>";
        for (from, to, refused) in [
            (east_address, "<entry name=\"east\"><address><entry name=\"n\"/></address>", &[][..]),
            ("<entry name=\"east\"><address/></entry>", "", &[]),
            ("<entry name=\"east\">", "<entry name=\"north\"/><entry name=\"east\">", &[]),
            ("<entry name=\"west\"><address/>", "<entry name=\"west\">", &["entry[@name='west']"]),
            ("<entry name=\"west\">", "<entry name=\"south\"/><entry name=\"west\">", &["entry[@name='south']"]),
            ("<entry name=\"a\"/>", "", &["shared"]),
            ("<entry name=\"r\"/>", "", &["admin-role"]),
            ("<config>", "<config><panorama/>", &["/config/panorama"]),
            ("<config>", "<config version=\"1\">", &["/config"]),
        ] {
            let after = tree(&CONFIG.replacen(from, to, 1));
            let found = east().overstepped(&before, &after);
            assert_eq!(found.len(), refused.len(), "{from} → {to}: {found:?}");
            assert!(found.iter().zip(refused).all(|(found, part)| found.contains(part)), "{found:?}");
        }
        assert!(east().overstepped(&before, &tree(CONFIG)).is_empty(), "equal, but not shared");
    }

    #[test]
    fn the_first_group_can_be_made_where_no_list_was() {
        let before = tree("<config><devices><entry name=\"l\"/></devices></config>");
        let after = tree(
            "<config><devices><entry name=\"l\"><device-group><entry name=\"east\"/></device-group></entry></devices></config>",
        );
        assert!(east().overstepped(&before, &after).is_empty());
    }

    #[test]
    fn an_xpath_has_the_access_of_its_deepest_place() {
        let groups = "/config/devices/entry[@name='l']/device-group";
        for (xpath, access) in [
            ("/config/shared/address", Access::Read),
            ("/config/shared/admin-role/entry[@name='r']", Access::Hidden),
            (&*format!("{groups}/entry[@name='east']/address"), Access::Write),
            (&*format!("{groups}/entry[@name='west']/address"), Access::Hidden),
            (groups, Access::Hidden),
            ("/config/shared | /config/panorama", Access::Hidden),
            ("what", Access::Hidden),
        ] {
            assert_eq!(east().access(xpath), access, "{xpath}");
        }
    }

    #[test]
    fn a_place_is_a_path_of_tags_and_names() {
        for (xpath, reason) in [
            ("/config/*", "is no place"),
            ("/config/shared/address/entry[@uuid='1']", "names a place"),
            ("/config/shared | /config/panorama", "several paths"),
            ("/other", "does not begin"),
        ] {
            assert!(Scope::default().put_xpath(xpath, Access::Read).unwrap_err().contains(reason), "{xpath}");
        }
    }
}
