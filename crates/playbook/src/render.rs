//! How are the rules written in a configuration?

use std::collections::BTreeMap;
use std::sync::Arc;

use bartizan_model::tree::{Child, Element};

use crate::names;
use crate::ports::{PortRange, Ports};
use crate::rules::{End, Plan, Rule};

/// Objects of a device group, by name; rules in order. Each carries the owner's tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// The tag that all of them carry.
    pub owner: String,
    /// `tag`.
    pub tags: BTreeMap<String, Element>,
    /// `address`: the DNS names that rules mean.
    pub addresses: BTreeMap<String, Element>,
    /// `address-group`.
    pub groups: BTreeMap<String, Element>,
    /// `service`.
    pub services: BTreeMap<String, Element>,
    /// `pre-rulebase/security/rules`.
    pub rules: Vec<(String, Element)>,
}

impl Plan {
    /// The objects of the rules.
    pub fn render(&self) -> Objects {
        let owner = names::owner(&self.settings.cluster);
        let mut objects = Objects { owner: owner.clone(), ..Objects::default() };
        let comment = leaf("comments", &format!("Made of the NetworkPolicies of {}", self.settings.cluster));
        objects.tags.insert(owner.clone(), with(Element::entry(&owner), [comment]));
        for (name, group) in self.groups() {
            let dynamic = with(Element::new("dynamic"), [leaf("filter", &format!("'{name}'"))]);
            let description = leaf("description", &names::description(group.to_string()));
            let entry = with(Element::entry(&name), [dynamic, description, members("tag", [owner.as_str()])]);
            objects.groups.insert(name, entry);
        }
        for rule in &self.rules {
            for part in &rule.destination {
                if let End::Domain(domain) = part {
                    let name = names::domain(&self.settings.cluster, domain);
                    let parts = [leaf("fqdn", domain), members("tag", [owner.as_str()])];
                    objects.addresses.entry(name.clone()).or_insert_with(|| with(Element::entry(&name), parts));
                }
            }
            if let Ports::Of(ranges) = &rule.ports {
                for range in ranges {
                    let name = self.service(range);
                    objects.services.entry(name.clone()).or_insert_with(|| service(&name, range, &owner));
                }
            }
            objects.rules.push((rule.name.clone(), self.rule(rule, &owner)));
        }
        objects
    }

    fn service(&self, range: &PortRange) -> String {
        format!("np.{}.{range}", self.settings.cluster)
    }

    fn rule(&self, rule: &Rule, owner: &str) -> Element {
        // Pods are in the cluster's zones; what else an end means may be in any.
        let zones = |end: &[End]| -> Vec<&str> {
            let is_pods = |part: &End| matches!(part, End::Pods(_));
            let within = !end.is_empty() && end.iter().all(is_pods);
            self.settings.zones.iter().filter(|_| within).map(String::as_str).collect()
        };
        let services: Vec<String> = match &rule.ports {
            Ports::All => Vec::new(),
            Ports::Of(ranges) => ranges.iter().map(|range| self.service(range)).collect(),
        };
        let attributes = &rule.attributes;
        let mut parts = vec![
            members_or_any("from", zones(&rule.source)),
            members_or_any("to", zones(&rule.destination)),
            members_or_any("source", self.end(&rule.source).iter().map(String::as_str)),
            members_or_any("destination", self.end(&rule.destination).iter().map(String::as_str)),
            members("source-user", ["any"]),
            members("category", ["any"]),
            members_or_any("application", attributes.applications.iter().map(String::as_str)),
            members_or_any("service", services.iter().map(String::as_str)),
            leaf("action", &rule.action),
        ];
        if let Some(group) = &attributes.group {
            parts.push(with(Element::new("profile-setting"), [members("group", [group.as_str()])]));
        } else if !attributes.profiles.is_empty() {
            let profiles = attributes.profiles.iter().map(|(element, name)| members(element, [name.as_str()]));
            parts.push(with(Element::new("profile-setting"), [with(Element::new("profiles"), profiles)]));
        }
        parts.extend(attributes.log.as_deref().map(|log| leaf("log-setting", log)));
        parts.extend(attributes.schedule.as_deref().map(|schedule| leaf("schedule", schedule)));
        parts.push(leaf("description", &rule.description));
        parts.push(members("tag", [owner]));
        with(Element::entry(&rule.name), parts)
    }

    fn end(&self, parts: &[End]) -> Vec<String> {
        let mut found = Vec::new();
        for part in parts {
            match part {
                End::Pods(tagged) => found.push(tagged.tag.clone()),
                End::Domain(domain) => found.push(names::domain(&self.settings.cluster, domain)),
                End::Block(block) => found.extend(block.prefixes().iter().map(ToString::to_string)),
            }
        }
        found
    }
}

fn service(name: &str, range: &PortRange, owner: &str) -> Element {
    let PortRange { protocol, low, high } = range;
    let port = if low == high { low.to_string() } else { format!("{low}-{high}") };
    let protocol = with(Element::new(protocol.tag()), [leaf("port", &port)]);
    with(Element::entry(name), [with(Element::new("protocol"), [protocol]), members("tag", [owner])])
}

pub(crate) fn leaf(name: &str, text: &str) -> Element {
    Element::leaf(name, text)
}

pub(crate) fn with(mut element: Element, children: impl IntoIterator<Item = Element>) -> Element {
    element.children.extend(children.into_iter().map(|child| Child::Element(Arc::new(child))));
    element
}

pub(crate) fn members<'a>(name: &str, texts: impl IntoIterator<Item = &'a str>) -> Element {
    with(Element::new(name), texts.into_iter().map(|text| leaf("member", text)))
}

pub(crate) fn members_or_any<'a>(name: &str, texts: impl IntoIterator<Item = &'a str>) -> Element {
    let mut texts = texts.into_iter().peekable();
    if texts.peek().is_none() { members(name, ["any"]) } else { members(name, texts) }
}
