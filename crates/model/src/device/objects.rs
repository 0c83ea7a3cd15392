//! Addresses, services, their groups and tags: what do the names in rules stand for?
//!
//! Scopes are read from the nearest to the farthest; a name that a nearer scope has is shadowed and left
//! out, so that a look-up by name is unambiguous afterwards.

use std::collections::{BTreeMap, BTreeSet};

use super::context::{Context, NAME_LENGTH_MAX};
use super::node::Node;
use super::{
    Address, AddressGroup, AddressValue, DeviceConfig, GroupMembers, Service, ServiceGroup, ServiceProtocol,
    ServiceTimeouts, Tag,
};
use super::{external_list, value};
use crate::diagnostic::Origin;
use crate::tag_filter::TagFilter;
use crate::{choices, codes};

/// Longest tag of PAN-OS.
const TAG_LENGTH_MAX: usize = 127;
/// Deepest nesting of groups; expanding them stays cheap.
pub const GROUP_DEPTH_MAX: usize = 64;

/// Names that rules and groups can use.
#[derive(Debug, Default)]
pub(super) struct Objects {
    addresses: BTreeSet<String>,
    services: BTreeSet<String>,
    tags: BTreeSet<String>,
    /// External lists that hold no addresses and regions, by name: they can be used, and match nothing yet.
    lists: BTreeMap<String, &'static str>,
    /// Names of objects and groups that hold an address which this version cannot know.
    partial: BTreeSet<String>,
}

/// Reads the objects of all scopes, the nearest first.
pub(super) fn read(context: &mut Context, config: &mut DeviceConfig, scopes: &[Node<'_>]) -> Objects {
    let mut objects = Objects::default();
    for scope in scopes {
        read_tags(context, config, &mut objects, scope);
    }
    let mut address_groups = Vec::new();
    let mut service_groups = Vec::new();
    for scope in scopes {
        address_groups.extend(read_addresses(context, config, &mut objects, scope));
        service_groups.extend(read_services(context, config, &mut objects, scope));
    }
    for service in predefined_services() {
        if objects.services.insert(service.name.clone()) {
            config.services.push(service);
        }
    }
    for node in address_groups {
        read_address_group(context, config, &objects, &node);
    }
    for node in service_groups {
        read_service_group(context, config, &objects, &node);
    }
    check_address_cycles(context, config);
    check_service_cycles(context, config);
    objects.partial = partial_names(config, &objects);
    add_empty_groups(config, &objects);
    objects
}

impl Objects {
    /// Whether the name stands, in whole or in part, for addresses that this version cannot know.
    pub(super) fn is_partial(&self, name: &str) -> bool {
        self.partial.contains(name) || self.lists.contains_key(name) || is_predefined_region(name)
    }

    /// Reports the text of a rule's or group's member unless it is an address object, a group, or a literal.
    pub(super) fn check_address(&self, context: &mut Context, member: &Node<'_>, text: &str) {
        if self.addresses.contains(text) || AddressValue::parse(text).is_some() {
            return;
        }
        let list = self.lists.get(text).copied();
        if let Some(kind) = list.or(is_predefined_region(text).then_some("region")) {
            let message = format!("{kind} `{text}` is stored but not enforced: it matches no address yet");
            context.warning(codes::NOT_ENFORCED, member, message);
            return;
        }
        if value::resembles_address(text) {
            context.error(codes::INVALID_ADDRESS, member, format!("`{text}` is not an address, prefix or range"));
            context.help("write e.g. `10.0.0.5`, `10.0.0.0/24` or `10.0.0.5-10.0.0.9`");
            return;
        }
        let message = format!("`{text}` is no address, address group or literal that is visible here");
        context.unknown(codes::UNKNOWN_ADDRESS, member, message, text, self.addresses.iter().map(String::as_str));
    }

    /// Reports the text of a member unless it is a service or a service group.
    pub(super) fn check_service(&self, context: &mut Context, member: &Node<'_>, text: &str) {
        if self.services.contains(text) {
            return;
        }
        let message = format!("`{text}` is no service or service group that is visible here");
        context.unknown(codes::UNKNOWN_SERVICE, member, message, text, self.services.iter().map(String::as_str));
    }

    /// Tags below `<tag>`, with a warning for those that no scope defines.
    pub(super) fn tags(&self, context: &mut Context, node: &Node<'_>) -> Vec<String> {
        let Some(list) = node.child("tag") else { return Vec::new() };
        for member in list.members() {
            let text = member.text();
            if !self.tags.contains(&text) && !context.is_variable(&member, &text) {
                context.warning(codes::UNKNOWN_TAG, &member, format!("no tag `{text}` is defined"));
                let near = context.suggestion(&text, self.tags.iter().map(String::as_str));
                context.help(
                    near.map_or("define it as a `tag` object".to_owned(), |near| format!("did you mean `{near}`?")),
                );
            }
        }
        list.element().members().collect()
    }
}

/// Two capital letters are a predefined region of PAN-OS (ISO 3166 countries).
pub(super) fn is_predefined_region(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Objects with an unknown address, and the groups that hold one.
fn partial_names(config: &DeviceConfig, objects: &Objects) -> BTreeSet<String> {
    let unknown = |address: &&Address| matches!(address.value, AddressValue::Wildcard(_));
    let addresses: Vec<&Address> = config.addresses.iter().filter(unknown).collect();
    let mut partial: BTreeSet<String> = addresses.iter().map(|address| address.name.clone()).collect();
    let mut holders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut found = Vec::new();
    for group in &config.address_groups {
        match &group.members {
            GroupMembers::Static(members) => {
                for member in members {
                    holders.entry(member).or_default().push(&group.name);
                }
                if members.iter().any(|member| partial.contains(member) || objects.is_partial(member)) {
                    found.push(group.name.as_str());
                }
            }
            GroupMembers::Dynamic(filter) => {
                let filter = TagFilter::parse(filter);
                if filter.is_ok_and(|filter| addresses.iter().any(|address| filter.matches(&address.tags))) {
                    found.push(&group.name);
                }
            }
        }
    }
    while let Some(name) = found.pop() {
        if partial.insert(name.to_owned()) {
            found.extend(holders.get(name).into_iter().flatten());
        }
    }
    partial
}

/// Lists and regions that are used become groups without members, so that they resolve to no address.
fn add_empty_groups(config: &mut DeviceConfig, objects: &Objects) {
    for name in objects.lists.keys() {
        config.address_groups.push(empty_group(name));
    }
}

/// A group that matches nothing.
pub(super) fn empty_group(name: &str) -> AddressGroup {
    AddressGroup { name: name.to_owned(), origin: Origin::default(), members: GroupMembers::Static(Vec::new()) }
}

/// A region that stands in a rule or group without being defined.
pub(super) fn predefined_regions(config: &DeviceConfig) -> BTreeSet<String> {
    let members = config.address_groups.iter().filter_map(|group| match &group.members {
        GroupMembers::Static(members) => Some(members),
        GroupMembers::Dynamic(_) => None,
    });
    let security = config.security_rules.iter().flat_map(|rule| rule.source.iter().chain(&rule.destination));
    let nat = config.nat_rules.iter().flat_map(|rule| rule.source.iter().chain(&rule.destination));
    members.flatten().chain(security).chain(nat).filter(|name| is_predefined_region(name)).cloned().collect()
}

fn read_tags(context: &mut Context, config: &mut DeviceConfig, objects: &mut Objects, scope: &Node<'_>) {
    for node in scope.entries_at(&["tag"]) {
        if let Some(name) = context.entry_name(&node, TAG_LENGTH_MAX)
            && objects.tags.insert(name.clone())
        {
            config.tags.push(Tag { name, origin: node.origin() });
        }
    }
}

/// Reads address objects and returns the nodes of groups, whose members may be defined farther on.
fn read_addresses<'a>(
    context: &mut Context,
    config: &mut DeviceConfig,
    objects: &mut Objects,
    scope: &Node<'a>,
) -> Vec<Node<'a>> {
    let mut own = BTreeSet::new();
    let mut groups = Vec::new();
    for node in scope.entries_at(&["address"]) {
        let Some(name) = context.entry_name(&node, NAME_LENGTH_MAX) else { continue };
        let value = address_value(context, &node);
        let tags = objects.tags(context, &node);
        let shadowed = objects.addresses.contains(&name);
        own.insert(name.clone());
        if let (Some(value), false) = (value, shadowed) {
            config.addresses.push(Address { name, origin: node.origin(), value, tags });
        }
    }
    let mut group_names = BTreeSet::new();
    for node in scope.entries_at(&["address-group"]) {
        let Some(name) = context.entry_name(&node, NAME_LENGTH_MAX) else { continue };
        if own.contains(&name) {
            context.error(codes::DUPLICATE_NAME, &node, format!("`{name}` is already in use by an address"));
            context.help("addresses and address groups share their names; rename one of the two");
        } else if !objects.addresses.contains(&name) && group_names.insert(name) {
            groups.push(node);
        }
    }
    for (container, kind) in [("external-list", "external list"), ("region", "region")] {
        for node in scope.entries_at(&[container]) {
            let name = node.name().to_owned();
            if objects.addresses.contains(&name) || own.contains(&name) || group_names.contains(&name) {
                continue;
            }
            if container == "external-list" && external_list::read(context, config, &node).is_some() {
                own.insert(name);
            } else {
                objects.lists.insert(name, kind);
            }
        }
    }
    objects.addresses.extend(own);
    objects.addresses.extend(group_names);
    groups
}

fn address_value(context: &mut Context, node: &Node<'_>) -> Option<AddressValue> {
    let Some(kind) = context.choice(node, choices::ADDRESS) else {
        context.error(codes::MISSING_MEMBER, node, format!("address `{}` has no value", node.name()));
        context.help("give it one of `ip-netmask`, `ip-range`, `ip-wildcard` and `fqdn`");
        return None;
    };
    let text = kind.text();
    if context.is_variable(&kind, &text) {
        return None;
    }
    let (value, form) = match kind.tag() {
        "ip-netmask" => (value::prefix(&text).map(AddressValue::Prefix), "an address or prefix, e.g. `10.0.0.0/24`"),
        "ip-range" => (
            AddressValue::parse(&text).filter(|value| matches!(value, AddressValue::Range(..))),
            "a range, e.g. `10.0.0.5-10.0.0.9`",
        ),
        "fqdn" => (value::is_fqdn(&text).then(|| AddressValue::Fqdn(text.clone())), "a DNS name"),
        _ => (
            value::is_wildcard(&text).then(|| AddressValue::Wildcard(text.clone())),
            "an address with a wildcard mask, e.g. `10.0.0.0/0.0.255.0`",
        ),
    };
    if value.is_none() {
        context.error(codes::INVALID_ADDRESS, &kind, format!("`{text}` is not {form}"));
    }
    value
}

fn read_address_group(context: &mut Context, config: &mut DeviceConfig, objects: &Objects, node: &Node<'_>) {
    objects.tags(context, node);
    let members = match context.choice(node, choices::ADDRESS_GROUP) {
        Some(list) if list.tag() == "static" => {
            for member in list.members() {
                let text = member.text();
                if !context.is_variable(&member, &text) {
                    objects.check_address(context, &member, &text);
                }
            }
            GroupMembers::Static(list.element().members().collect())
        }
        Some(dynamic) => {
            let filter = dynamic.child("filter");
            let text = filter.as_ref().map(Node::text).unwrap_or_default();
            if let Err(error) = TagFilter::parse(&text) {
                let at = filter.as_ref().unwrap_or(&dynamic);
                context.error(codes::INVALID_FILTER, at, format!("the filter is not understood: {error}"));
                context.help("write tags in quotes, joined by `and`, `or`, `not` and parentheses");
            }
            GroupMembers::Dynamic(text)
        }
        None => {
            context.error(codes::MISSING_MEMBER, node, format!("address group `{}` has no members", node.name()));
            context.help("give it `static` members or a `dynamic` filter");
            return;
        }
    };
    config.address_groups.push(AddressGroup { name: node.name().to_owned(), origin: node.origin(), members });
}

/// Reads services and returns the nodes of groups.
fn read_services<'a>(
    context: &mut Context,
    config: &mut DeviceConfig,
    objects: &mut Objects,
    scope: &Node<'a>,
) -> Vec<Node<'a>> {
    let mut own = BTreeSet::new();
    let mut groups = Vec::new();
    for node in scope.entries_at(&["service"]) {
        let Some(name) = context.entry_name(&node, NAME_LENGTH_MAX) else { continue };
        objects.tags(context, &node);
        let service = service(context, &node);
        let shadowed = objects.services.contains(&name);
        own.insert(name);
        if let (Some(service), false) = (service, shadowed) {
            config.services.push(service);
        }
    }
    let mut group_names = BTreeSet::new();
    for node in scope.entries_at(&["service-group"]) {
        let Some(name) = context.entry_name(&node, NAME_LENGTH_MAX) else { continue };
        if own.contains(&name) {
            context.error(codes::DUPLICATE_NAME, &node, format!("`{name}` is already in use by a service"));
            context.help("services and service groups share their names; rename one of the two");
        } else if !objects.services.contains(&name) && group_names.insert(name) {
            groups.push(node);
        }
    }
    objects.services.extend(own);
    objects.services.extend(group_names);
    groups
}

fn service(context: &mut Context, node: &Node<'_>) -> Option<Service> {
    let kinds = [("tcp", ServiceProtocol::Tcp), ("udp", ServiceProtocol::Udp), ("sctp", ServiceProtocol::Sctp)];
    let branch = node.child("protocol").and_then(|protocol| context.choice(&protocol, choices::SERVICE));
    let Some(branch) = branch else {
        context.error(codes::MISSING_MEMBER, node, format!("service `{}` has no protocol", node.name()));
        context.help("give it `protocol/tcp/port` or `protocol/udp/port`");
        return None;
    };
    let (_, protocol) = kinds.into_iter().find(|(tag, _)| *tag == branch.tag())?;
    if branch.child("port").is_none() {
        context.error(codes::MISSING_MEMBER, &branch, format!("service `{}` has no `port`", node.name()));
    }
    let ports = context.ports(&branch, "port");
    let source_ports = context.ports(&branch, "source-port").unwrap_or_default();
    let timeouts = service_timeouts(context, &branch);
    Some(Service {
        name: node.name().to_owned(),
        origin: node.origin(),
        protocol,
        ports: ports?,
        source_ports,
        timeouts,
    })
}

/// `override/yes` of a service, seconds in the ranges of PAN-OS.
fn service_timeouts(context: &mut Context, protocol: &Node<'_>) -> ServiceTimeouts {
    let Some(own) = protocol.child("override").and_then(|choice| choice.child("yes")) else {
        return ServiceTimeouts::default();
    };
    let mut seconds = |tag: &str, most| context.number(&own, tag, 1..=most).unwrap_or(0);
    ServiceTimeouts {
        idle: seconds("timeout", 604_800),
        half_closed: seconds("halfclose-timeout", 604_800),
        time_wait: seconds("timewait-timeout", 600),
    }
}

fn read_service_group(context: &mut Context, config: &mut DeviceConfig, objects: &Objects, node: &Node<'_>) {
    objects.tags(context, node);
    let Some(list) = node.child("members").filter(|list| list.members().next().is_some()) else {
        context.error(codes::MISSING_MEMBER, node, format!("service group `{}` has no members", node.name()));
        return;
    };
    for member in list.members() {
        let text = member.text();
        if !context.is_variable(&member, &text) {
            objects.check_service(context, &member, &text);
        }
    }
    let members = list.element().members().collect();
    config.service_groups.push(ServiceGroup { name: node.name().to_owned(), origin: node.origin(), members });
}

/// What PAN-OS ships: `service-http` is TCP 80 and 8080, `service-https` is TCP 443.
fn predefined_services() -> [Service; 2] {
    [("service-http", vec![(80, 80), (8080, 8080)]), ("service-https", vec![(443, 443)])].map(|(name, ports)| Service {
        name: name.to_owned(),
        origin: Origin::xpath(format!("/config/predefined/service/entry[@name='{name}']")),
        protocol: ServiceProtocol::Tcp,
        ports,
        source_ports: Vec::new(),
        timeouts: ServiceTimeouts::default(),
    })
}

fn check_address_cycles(context: &mut Context, config: &DeviceConfig) {
    let groups = config.address_groups.iter().map(|group| {
        let members = match &group.members {
            GroupMembers::Static(members) => members.as_slice(),
            GroupMembers::Dynamic(_) => &[],
        };
        (group.name.as_str(), members, &group.origin)
    });
    check_cycles(context, "address group", groups.collect());
}

fn check_service_cycles(context: &mut Context, config: &DeviceConfig) {
    let groups =
        config.service_groups.iter().map(|group| (group.name.as_str(), group.members.as_slice(), &group.origin));
    check_cycles(context, "service group", groups.collect());
}

/// Peels off groups whose member groups are all peeled; what stays contains cycles. Not recursive, since
/// a chain can be as long as the configuration.
fn check_cycles(context: &mut Context, kind: &str, groups: Vec<(&str, &[String], &Origin)>) {
    let by_name: BTreeMap<&str, usize> = groups.iter().enumerate().map(|(index, (name, ..))| (*name, index)).collect();
    let inner: Vec<Vec<usize>> = groups
        .iter()
        .map(|(_, members, _)| members.iter().filter_map(|name| by_name.get(name.as_str()).copied()).collect())
        .collect();
    let mut outer = vec![Vec::new(); groups.len()];
    for (group, members) in inner.iter().enumerate() {
        members.iter().for_each(|member| outer[*member].push(group));
    }
    let mut waiting: Vec<usize> = inner.iter().map(Vec::len).collect();
    let mut depth = vec![1; groups.len()];
    let mut ready: Vec<usize> = (0..groups.len()).filter(|group| waiting[*group] == 0).collect();
    let mut peeled = vec![false; groups.len()];
    loop {
        while let Some(group) = ready.pop() {
            peeled[group] = true;
            for parent in &outer[group] {
                depth[*parent] = depth[*parent].max(depth[group] + 1);
                waiting[*parent] -= 1;
                if waiting[*parent] == 0 {
                    ready.push(*parent);
                }
            }
        }
        let Some(start) = peeled.iter().position(|done| !done) else { break };
        let cycle = cycle_from(start, &inner, &peeled);
        let names: Vec<&str> = cycle.iter().chain(cycle.first()).map(|group| groups[*group].0).collect();
        let origin = groups[cycle[0]].2.clone();
        let message = format!("{kind} `{}` contains itself: `{}`", names[0], names.join("` > `"));
        context.diagnostics.push(crate::diagnostic::Diagnostic::error(codes::GROUP_CYCLE, origin, message));
        // The cycle is reported; what only depends on it is not.
        ready.push(cycle[0]);
        waiting[cycle[0]] = usize::MAX;
    }
    for (group, depth) in depth.iter().enumerate().filter(|(_, depth)| **depth == GROUP_DEPTH_MAX + 1) {
        let (name, _, origin) = groups[group];
        let message = format!("{kind} `{name}` is nested {depth} deep, at most {GROUP_DEPTH_MAX} are followed");
        context.diagnostics.push(crate::diagnostic::Diagnostic::error(codes::GROUP_CYCLE, origin.clone(), message));
    }
}

/// The cycle that is reached by following unpeeled members, beginning with its smallest index.
fn cycle_from(start: usize, inner: &[Vec<usize>], peeled: &[bool]) -> Vec<usize> {
    let mut path = vec![start];
    let mut position = BTreeMap::from([(start, 0)]);
    let mut here = start;
    while let Some(next) = inner[here].iter().copied().find(|member| !peeled[*member]) {
        if let Some(first) = position.get(&next) {
            let mut cycle = path.split_off(*first);
            let smallest = (0..cycle.len()).min_by_key(|index| cycle[*index]).unwrap_or(0);
            cycle.rotate_left(smallest);
            return cycle;
        }
        position.insert(next, path.len());
        path.push(next);
        here = next;
    }
    path
}
