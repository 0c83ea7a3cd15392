//! Which service objects do the services of a cluster become?
//!
//! One for each port of a service, in the device group of the cluster's rules: by the names of Panorama's plugin,
//! `NAMESPACE-SERVICE-TYPE-PORT-HASH`, where the type is `port`, `targetPort` or `nodePort`. They carry the owner's tag as
//! everything that is generated. Administrators' rules may name them: what somebody names stays until nobody does.

use std::collections::HashSet;

use bartizan_model::tree::{Child, Element};
use bartizan_playbook::change::Change;
use bartizan_playbook::{Objects, Protocol};

use super::plan::{name_of, place};
use super::told::{Told, ToldService};
use crate::store::hex_digest;

/// Service objects of a cluster.
const SERVICES_MAX: usize = 20_000;
/// Characters of a name.
const NAME_MAX: usize = 63;
/// Digits of the hash.
const HASH: usize = 8;
/// Services of rules begin so, and no namespace does.
const OF_RULES: &str = "np.";

/// Adds the service objects to what the device group is to have; how many were left out because there are too many.
pub(super) fn add(objects: &mut Objects, cluster: &str, told: &Told) -> usize {
    let mut left_out = 0;
    let before = objects.services.len();
    for service in &told.services {
        for port in &service.ports {
            let Some(protocol) = Protocol::read(&port.protocol) else { continue };
            if objects.services.len() - before >= SERVICES_MAX {
                left_out += 1;
                continue;
            }
            let kind = port.kind.as_str();
            let name = name(cluster, service, kind, protocol, port.number);
            let description = format!("{kind} of service {} in {}", service.name, service.namespace);
            let entry = entry(&name, protocol, port.number, &description, &objects.owner);
            objects.services.insert(name, entry);
        }
    }
    left_out
}

/// A name that says what it is as far as there is room, and is another one for anything else.
fn name(cluster: &str, service: &ToldService, kind: &str, protocol: Protocol, number: u16) -> String {
    let ToldService { namespace, name, .. } = service;
    let whole = format!("{cluster}/{namespace}/{name}/{kind}/{}/{number}", protocol.tag());
    let hash = &hex_digest(whole.as_bytes())[..HASH];
    let end = format!("-{kind}-{number}-{hash}");
    let mut begin = format!("{namespace}-{name}");
    // Names of Kubernetes are ASCII; whatever else somebody tells is cut between characters.
    while begin.len() + end.len() > NAME_MAX {
        begin.pop();
    }
    begin + &end
}

fn entry(name: &str, protocol: Protocol, number: u16, description: &str, owner: &str) -> Element {
    let node = |mut element: Element, children: Vec<Element>| {
        element.children.extend(children.into_iter().map(|child| Child::Element(child.into())));
        element
    };
    let port = node(Element::new(protocol.tag()), vec![Element::leaf("port", &number.to_string())]);
    node(
        Element::entry(name),
        vec![
            node(Element::new("protocol"), vec![port]),
            Element::leaf("description", description),
            node(Element::new("tag"), vec![Element::leaf("member", owner)]),
        ],
    )
}

/// These changes without the deletion of service objects that somebody names, and of the tag that they carry; nothing when
/// nobody does.
pub(super) fn without_named(changes: &[Change], trees: [&Element; 2]) -> Option<Vec<Change>> {
    let names = changes.iter().filter(|change| is_left_over(change)).map(|change| name_of(place(change)).to_owned());
    let goes: HashSet<String> = names.collect();
    if goes.is_empty() {
        return None;
    }
    let mut named = HashSet::new();
    trees.into_iter().for_each(|tree| look_for(tree, &goes, &mut named));
    if named.is_empty() {
        return None;
    }
    let stays = |change: &&Change| {
        let is_named = is_left_over(change) && named.contains(name_of(place(change)));
        !is_named && !is_of_tag(change)
    };
    Some(changes.iter().filter(stays).cloned().collect())
}

/// These changes without those that have waited for nobody to name an object of a service that is gone: that nobody does any
/// more is no edit of it, and it goes with the next run.
pub(super) fn besides_left_over(changes: &[Change]) -> impl Iterator<Item = &Change> {
    let has_some = changes.iter().any(is_left_over);
    changes.iter().filter(move |change| !(has_some && (is_left_over(change) || is_of_tag(change))))
}

fn is_of_tag(change: &Change) -> bool {
    matches!(change, Change::Delete { xpath } if xpath.contains("/tag/entry["))
}

/// Whether a change is that the object of a service that is gone goes.
fn is_left_over(change: &Change) -> bool {
    let Change::Delete { xpath } = change else { return false };
    xpath.contains("/service/entry[") && !name_of(xpath).starts_with(OF_RULES)
}

/// The names that stand somewhere as a text.
fn look_for(element: &Element, names: &HashSet<String>, found: &mut HashSet<String>) {
    for child in &element.children {
        match child {
            Child::Element(child) => look_for(child, names, found),
            Child::Text(text) => {
                if let Some(name) = names.get(text.trim()) {
                    found.insert(name.clone());
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use bartizan_model::xml;
    use serde_json::json;

    use super::*;

    fn told(ports: serde_json::Value, name: &str) -> Told {
        serde_json::from_value(json!({"services": [{"namespace": "shop", "name": name, "ports": ports}]})).unwrap()
    }

    #[test]
    fn each_port_is_an_object_whose_name_is_its_own() {
        let mut objects = Objects { owner: "k8s-np.c".to_owned(), ..Objects::default() };
        let ports = json!([{"kind": "port", "protocol": "UDP", "number": 53}, {"kind": "port", "protocol": "TCP", "number": 53},
            {"kind": "nodePort", "protocol": "SCTP", "number": 30053}, {"kind": "port", "protocol": "GRE", "number": 1}]);
        assert_eq!(add(&mut objects, "c", &told(ports.clone(), "dns")), 0);
        let names: Vec<&String> = objects.services.keys().collect();
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(names[0].starts_with("shop-dns-nodePort-30053-") && names[1].starts_with("shop-dns-port-53-"));
        let (name, udp) = objects.services.iter().find(|(_, one)| one.descend(&["protocol", "udp"]).is_some()).unwrap();
        assert_eq!(
            xml::write(udp),
            format!(
                "<entry name=\"{name}\"><protocol><udp><port>53</port></udp></protocol><description>port of service dns in shop\
                 </description><tag><member>k8s-np.c</member></tag></entry>"
            )
        );
        // Two clusters may have one device group.
        let mut other = Objects::default();
        add(&mut other, "d", &told(ports.clone(), "dns"));
        assert!(other.services.keys().all(|name| !objects.services.contains_key(name)));
        let mut long = Objects::default();
        add(&mut long, "c", &told(ports, &"x".repeat(63)));
        assert!(long.services.len() == 3 && long.services.keys().all(|name| name.len() == NAME_MAX), "{long:?}");
    }

    #[test]
    fn what_somebody_names_stays_with_its_tag() {
        let delete = |xpath: &str| Change::Delete { xpath: format!("/config/dg/{xpath}") };
        let all = || {
            vec![
                delete("service/entry[@name='shop-web-port-80-1']"),
                delete("service/entry[@name='shop-web-port-81-2']"),
                delete("service/entry[@name='np.c.tcp-80']"),
                delete("tag/entry[@name='k8s-np.c']"),
            ]
        };
        let tree = |name: &str| {
            xml::parse(&format!(
                "<config><service-group><entry name='g'><members><member>{name}</member></members></entry>\
                </service-group></config>"
            ))
            .unwrap()
        };
        let (empty, used) = (tree("other"), tree("shop-web-port-80-1"));
        assert_eq!(without_named(&all(), [&empty, &empty]), None);
        for trees in [[&empty, &used], [&used, &empty]] {
            let left = without_named(&all(), trees).unwrap();
            assert_eq!(left, all()[1..3], "the tag is needed by what stays");
        }
        assert_eq!(without_named(&all()[2..], [&used, &used]), None, "no service object goes");
        assert_eq!(besides_left_over(&all()).cloned().collect::<Vec<_>>(), all()[2..3]);
        assert_eq!(besides_left_over(&all()[2..]).count(), 2);
    }

    #[test]
    fn there_are_so_many_at_most() {
        let ports: Vec<_> =
            (1..=20_010_u16).map(|number| json!({"kind": "port", "protocol": "TCP", "number": number})).collect();
        let mut objects = Objects::default();
        assert_eq!(add(&mut objects, "c", &told(ports.into(), "many")), 10);
        assert_eq!(objects.services.len(), SERVICES_MAX);
    }
}
