//! Answers about names, lists, tags and dynamic groups.

use std::net::IpAddr;

use bartizan_model::tree::{Child, Element};
use serde::Serialize;

use super::table::{pairs, table};
use crate::gather::lists::ListDetail;
use crate::gather::names::NameRow;
use crate::gather::tags::TaggedRow;

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Gathered {
    /// `request system fqdn show`
    Names(Vec<NameRow>),
    /// `request system external-list show`
    List(Box<ListDetail>),
    /// `show object registered-ip`
    Registered(Vec<TaggedRow>),
    /// `show object dynamic-address-group`
    Groups(Vec<Group>),
    /// Something was begun.
    Begun(String),
}

/// A dynamic address group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its filter.
    pub filter: String,
    /// Registered addresses whose tags fit.
    pub registered: Vec<IpAddr>,
    /// Address objects whose tags fit.
    pub objects: Vec<String>,
}

impl Gathered {
    /// For people.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Names(names) => table(
                &["NAME", "ADDRESSES", "RESOLVED", "AGAIN IN", "PROBLEM"],
                names
                    .iter()
                    .map(|one| {
                        let addresses =
                            if one.addresses.is_empty() { "not resolved".into() } else { list(&one.addresses) };
                        let (again, error) = (format!("{} s", one.refresh_s), one.error.clone().unwrap_or_default());
                        vec![one.name.clone(), addresses, one.resolved.clone(), again, error]
                    })
                    .collect(),
            ),
            Self::List(one) => {
                let mut text = pairs(&[
                    ("list", one.name.clone()),
                    ("source", one.source.clone()),
                    ("fetched", one.fetched.clone()),
                    ("next", one.next.clone()),
                    ("members", one.total_valid.to_string()),
                    ("lines that are no address", one.total_invalid.to_string()),
                    ("problem", one.error.clone().unwrap_or_else(|| "none".to_owned())),
                ]);
                one.valid.iter().for_each(|member| text += &format!("{member}\n"));
                one.invalid.iter().for_each(|bad| text += &format!("line {} is no address: {}\n", bad.line, bad.text));
                text
            }
            Self::Registered(rows) => table(
                &["ADDRESS", "PERSISTENT", "TAGS"],
                rows.iter()
                    .map(|one| {
                        let tags = one.tags.iter().map(|(tag, left)| match left {
                            Some(left) => format!("{tag} ({left} s)"),
                            None => tag.clone(),
                        });
                        let tags: Vec<_> = tags.collect();
                        let persistent = if one.persistent { "yes" } else { "no" };
                        vec![one.address.to_string(), persistent.to_owned(), tags.join(", ")]
                    })
                    .collect(),
            ),
            Self::Groups(groups) => table(
                &["GROUP", "FILTER", "REGISTERED", "OBJECTS"],
                groups
                    .iter()
                    .map(|one| {
                        vec![one.name.clone(), one.filter.clone(), list(&one.registered), one.objects.join(", ")]
                    })
                    .collect(),
            ),
            Self::Begun(text) => format!("{text}\n"),
        }
    }

    /// As PAN-OS answers.
    pub(super) fn xml(&self) -> Vec<Element> {
        match self {
            Self::Names(names) => names.iter().map(name).collect(),
            Self::List(one) => vec![external_list(one)],
            Self::Registered(rows) => {
                let count = Element::leaf("count", &rows.len().to_string());
                rows.iter().map(registered).chain([count]).collect()
            }
            Self::Groups(groups) => vec![node("dyn-addr-grp", groups.iter().map(group).collect())],
            Self::Begun(text) => vec![Element::leaf("msg", text)],
        }
    }
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn node(name: &str, children: Vec<Element>) -> Element {
    let mut element = Element::new(name);
    element.children.extend(children.into_iter().map(|child| Child::Element(child.into())));
    element
}

fn with(mut element: Element, attributes: &[(&str, &str)]) -> Element {
    element.attributes.extend(attributes.iter().map(|(name, value)| ((*name).into(), (*value).into())));
    element
}

fn members(name: &str, texts: impl Iterator<Item = String>) -> Element {
    node(name, texts.map(|text| Element::leaf("member", &text)).collect())
}

fn name(one: &NameRow) -> Element {
    let mut children = vec![
        members("addresses", one.addresses.iter().map(ToString::to_string)),
        Element::leaf("resolved", &one.resolved),
        Element::leaf("refresh-in", &one.refresh_s.to_string()),
    ];
    children.extend(one.error.as_ref().map(|error| Element::leaf("error", error)));
    with(node("entry", children), &[("name", &one.name)])
}

fn external_list(one: &ListDetail) -> Element {
    let bad = one.invalid.iter().map(|bad| format!("line {}: {}", bad.line, bad.text));
    let mut children = vec![
        Element::leaf("name", &one.name),
        Element::leaf("source", &one.source),
        Element::leaf("last-refresh", &one.fetched),
        Element::leaf("next-refresh", &one.next),
        Element::leaf("total-valid", &one.total_valid.to_string()),
        Element::leaf("total-invalid", &one.total_invalid.to_string()),
        members("valid-members", one.valid.iter().map(ToString::to_string)),
        members("invalid-members", bad),
    ];
    children.extend(one.error.as_ref().map(|error| Element::leaf("error", error)));
    node("external-list", children)
}

fn registered(one: &TaggedRow) -> Element {
    let tags = one.tags.iter().map(|(tag, left)| match left {
        Some(left) => with(Element::leaf("member", tag), &[("timeout", &left.to_string())]),
        None => Element::leaf("member", tag),
    });
    let entry = node("entry", vec![node("tag", tags.collect())]);
    let flag = |set: bool| if set { "1" } else { "0" };
    let (agent, persistent) = (flag(one.from_manager), flag(one.persistent));
    with(entry, &[("ip", &one.address.to_string()), ("from_agent", agent), ("persistent", persistent)])
}

fn group(one: &Group) -> Element {
    let registered = one.registered.iter().map(|ip| (ip.to_string(), "registered-ip"));
    let objects = one.objects.iter().map(|name| (name.clone(), "address-object"));
    let entries =
        registered.chain(objects).map(|(name, kind)| with(Element::new("entry"), &[("name", &name), ("type", kind)]));
    let children = vec![
        Element::leaf("vsys", "vsys1"),
        Element::leaf("group-name", &one.name),
        Element::leaf("filter", &one.filter),
        node("member-list", entries.collect()),
    ];
    node("entry", children)
}

#[cfg(test)]
mod tests {
    use bartizan_model::xml::write;
    use expect_test::expect;

    use super::*;

    fn xml(answer: &Gathered) -> String {
        answer.xml().iter().map(write).collect()
    }

    #[test]
    fn registered_addresses_and_groups_are_told_as_clients_read_them() {
        let tags = vec![("web".to_owned(), None), ("test".to_owned(), Some(7))];
        let rows = vec![TaggedRow { address: "10.0.0.1".parse().unwrap(), persistent: true, from_manager: true, tags }];
        expect![[r#"<entry ip="10.0.0.1" from_agent="1" persistent="1"><tag><member>web</member><member timeout="7">test</member></tag></entry><count>1</count>"#]]
            .assert_eq(&xml(&Gathered::Registered(rows)));
        let group = Group {
            name: "pods".into(),
            filter: "'web'".into(),
            registered: vec!["10.0.0.1".parse().unwrap()],
            objects: vec!["host".into()],
        };
        expect![[r#"<dyn-addr-grp><entry><vsys>vsys1</vsys><group-name>pods</group-name><filter>'web'</filter><member-list><entry name="10.0.0.1" type="registered-ip"/><entry name="host" type="address-object"/></member-list></entry></dyn-addr-grp>"#]]
            .assert_eq(&xml(&Gathered::Groups(vec![group])));
    }

    #[test]
    fn a_name_that_does_not_resolve_is_told_so() {
        let row = NameRow {
            name: "a.example".into(),
            addresses: vec![],
            resolved: "never".into(),
            refresh_s: 4,
            error: Some("no name server answered".into()),
        };
        expect![[r#"
            NAME       ADDRESSES     RESOLVED  AGAIN IN  PROBLEM
            a.example  not resolved  never     4 s       no name server answered
        "#]]
        .assert_eq(&Gathered::Names(vec![row]).text());
    }
}
