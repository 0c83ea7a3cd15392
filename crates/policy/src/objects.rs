//! Which addresses and ports does a list of names and literals in a rule stand for?

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use bartizan_model::codes::{GROUP_CYCLE, INVALID_FILTER, UNKNOWN_ADDRESS, UNKNOWN_SERVICE};
use bartizan_model::device::{AddressValue, DeviceConfig, GROUP_DEPTH_MAX, GroupMembers, ServiceTimeouts};
use bartizan_model::diagnostic::{Diagnostic, Origin};
use bartizan_model::tag_filter::TagFilter;

use crate::facts::Facts;
use crate::ports::{PortTerm, Ports};
use crate::ranges::{AddressSet, ends};

/// What a list of addresses stands for.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    /// The addresses that are known.
    pub(crate) set: Arc<AddressSet>,
    /// Members whose addresses are not known.
    pub(crate) unknown: Arc<[Unknown]>,
    /// Some of them change by themselves.
    pub(crate) varies: bool,
}

/// A member whose addresses are not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unknown {
    /// E.g. ``FQDN object `www` ``.
    pub(crate) member: String,
    /// They will be, once the name resolves or the list was fetched; otherwise this version cannot know.
    pub(crate) pending: bool,
}

/// Where in a configuration the objects of a name are, for those who look names up again and again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    addresses: HashMap<String, usize>,
    address_groups: HashMap<String, usize>,
    services: HashMap<String, usize>,
    service_groups: HashMap<String, usize>,
}

impl Index {
    pub(crate) fn new(config: &DeviceConfig) -> Self {
        fn owned<'n>(names: impl Iterator<Item = &'n str>) -> HashMap<String, usize> {
            nearest(names).into_iter().map(|(name, at)| (name.to_owned(), at)).collect()
        }
        Self {
            addresses: owned(config.addresses.iter().map(|entry| &*entry.name)),
            address_groups: owned(config.address_groups.iter().map(|entry| &*entry.name)),
            services: owned(config.services.iter().map(|entry| &*entry.name)),
            service_groups: owned(config.service_groups.iter().map(|entry| &*entry.name)),
        }
    }
}

/// Places by name.
enum Places<'a> {
    Own(HashMap<&'a str, usize>),
    Of(&'a HashMap<String, usize>),
}

impl Places<'_> {
    fn get(&self, name: &str) -> Option<usize> {
        match self {
            Self::Own(places) => places.get(name).copied(),
            Self::Of(places) => places.get(name).copied(),
        }
    }
}

/// What has a tag: a cluster has thousands of addresses and of groups, and a group asks for few of the addresses.
struct Tagged<'a> {
    /// Places of address objects, of those that their names lead to.
    objects: HashMap<&'a str, Vec<usize>>,
    addresses: Vec<(IpAddr, Vec<&'a str>)>,
    /// Places of these.
    registered: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Tagged<'a> {
    fn new(config: &'a DeviceConfig, places: &Places<'_>, facts: &'a Facts) -> Self {
        let mut objects: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, object) in config.addresses.iter().enumerate() {
            if object.tags.is_empty() || places.get(&object.name) != Some(at) {
                continue;
            }
            object.tags.iter().for_each(|tag| objects.entry(tag).or_default().push(at));
        }
        let addresses: Vec<(IpAddr, Vec<&str>)> =
            facts.tags.iter().map(|(ip, tags)| (*ip, tags.iter().map(String::as_str).collect())).collect();
        let mut registered: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, (_, tags)) in addresses.iter().enumerate() {
            tags.iter().for_each(|tag| registered.entry(tag).or_default().push(at));
        }
        Self { objects, addresses, registered }
    }
}

/// Which of so many may belong to a group, in order.
fn candidates(tagged: &HashMap<&str, Vec<usize>>, filter: &TagFilter, count: usize) -> Vec<usize> {
    let Some(tags) = filter.any_of() else { return (0..count).collect() };
    let mut found: Vec<usize> = tags.iter().filter_map(|tag| tagged.get(tag)).flatten().copied().collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The objects of a configuration by name, with what was already expanded.
pub(crate) struct Objects<'a> {
    config: &'a DeviceConfig,
    facts: &'a Facts,
    external_lists: HashSet<&'a str>,
    addresses: Places<'a>,
    address_groups: Places<'a>,
    services: Places<'a>,
    service_groups: Places<'a>,
    members: HashMap<&'a str, Addresses>,
    lists: HashMap<&'a [String], Addresses>,
    negated: HashMap<usize, Arc<AddressSet>>,
    /// Made when the first dynamic group asks.
    tagged: Option<Tagged<'a>>,
    every: Arc<AddressSet>,
    service_lists: HashMap<&'a [String], Arc<[Arc<Ports>]>>,
    every_service: Arc<[Arc<Ports>]>,
    /// Whether any service has idle times of its own.
    timed: bool,
    no_timeouts: Arc<[TimedPorts]>,
}

/// A name as the facts have it: lower case, without a final dot.
pub(crate) fn dns_name(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// A name or literal that stands for nothing; `model` refuses these, so this is the second line of defence.
fn unresolved(code: &'static str, kind: &str, name: &str, origin: &Origin) -> Diagnostic {
    Diagnostic::error(code, origin.clone(), format!("`{name}` is not a known {kind}"))
}

/// The first entry of each name: the nearest scope's.
fn nearest<'a>(names: impl Iterator<Item = &'a str>) -> HashMap<&'a str, usize> {
    let mut index = HashMap::new();
    for (at, name) in names.enumerate() {
        index.entry(name).or_insert(at);
    }
    index
}

impl<'a> Objects<'a> {
    pub(crate) fn new(config: &'a DeviceConfig, facts: &'a Facts) -> Self {
        Self::with(config, facts, None)
    }

    /// With the index of `config`, if it is at hand.
    pub(crate) fn with(config: &'a DeviceConfig, facts: &'a Facts, index: Option<&'a Index>) -> Self {
        fn places<'a>(known: Option<&'a HashMap<String, usize>>, names: impl Iterator<Item = &'a str>) -> Places<'a> {
            known.map_or_else(|| Places::Own(nearest(names)), Places::Of)
        }
        Self {
            config,
            facts,
            external_lists: config.external_lists.iter().map(|list| &*list.name).collect(),
            addresses: places(index.map(|index| &index.addresses), config.addresses.iter().map(|entry| &*entry.name)),
            address_groups: places(
                index.map(|index| &index.address_groups),
                config.address_groups.iter().map(|entry| &*entry.name),
            ),
            services: places(index.map(|index| &index.services), config.services.iter().map(|entry| &*entry.name)),
            service_groups: places(
                index.map(|index| &index.service_groups),
                config.service_groups.iter().map(|entry| &*entry.name),
            ),
            members: HashMap::new(),
            lists: HashMap::new(),
            negated: HashMap::new(),
            tagged: None,
            every: Arc::new(AddressSet::all()),
            service_lists: HashMap::new(),
            every_service: Arc::new([Arc::new(Ports::Any)]),
            timed: config.services.iter().any(|service| service.timeouts != ServiceTimeouts::default()),
            no_timeouts: Arc::new([]),
        }
    }

    /// What is known besides the configuration.
    pub(crate) fn facts(&self) -> &'a Facts {
        self.facts
    }

    /// Every address.
    pub(crate) fn every(&self) -> Arc<AddressSet> {
        Arc::clone(&self.every)
    }

    /// A list as written in a rule; the empty list is any.
    pub(crate) fn address_list(&mut self, names: &'a [String], origin: &Origin) -> Result<Addresses, Diagnostic> {
        if names.is_empty() || names.iter().any(|name| name == "any") {
            return Ok(Addresses { set: self.every(), unknown: Arc::new([]), varies: false });
        }
        if let [name] = names {
            return self.address(name, origin, 0);
        }
        if let Some(list) = self.lists.get(names) {
            return Ok(list.clone());
        }
        let list = self.union(names, origin, 0)?;
        self.lists.insert(names, list.clone());
        Ok(list)
    }

    /// The addresses that are not in the set, shared between rules that negate the same set.
    pub(crate) fn complement(&mut self, set: &Arc<AddressSet>) -> Arc<AddressSet> {
        // A set seen here stays alive in `members` or `lists`, so its address stays its own.
        let known = self.negated.entry(Arc::as_ptr(set) as usize);
        Arc::clone(known.or_insert_with(|| Arc::new(set.complement())))
    }

    fn union(&mut self, names: &'a [String], origin: &Origin, depth: usize) -> Result<Addresses, Diagnostic> {
        let mut sets = Vec::with_capacity(names.len());
        let mut unknown = Vec::new();
        let mut varies = false;
        for name in names {
            let member = self.address(name, origin, depth)?;
            sets.push(member.set);
            unknown.extend_from_slice(&member.unknown);
            varies |= member.varies;
        }
        Ok(Addresses { set: Arc::new(AddressSet::union(&sets)), unknown: unknown.into(), varies })
    }

    /// One name or literal.
    pub(crate) fn address(&mut self, name: &'a str, origin: &Origin, depth: usize) -> Result<Addresses, Diagnostic> {
        if let Some(known) = self.members.get(name) {
            return Ok(known.clone());
        }
        let found = if let Some(object) = self.addresses.get(name).and_then(|at| self.config.addresses.get(at)) {
            self.value(name, &object.value)
        } else if let Some(group) = self.address_groups.get(name).and_then(|at| self.config.address_groups.get(at)) {
            if depth >= GROUP_DEPTH_MAX {
                let message = format!("address group `{name}` contains itself, or groups nest too deeply");
                return Err(Diagnostic::error(GROUP_CYCLE, group.origin.clone(), message));
            }
            match &group.members {
                GroupMembers::Static(names) => self.union(names, &group.origin, depth + 1)?,
                GroupMembers::Dynamic(filter) => self.dynamic(filter, &group.origin)?,
            }
        } else if self.external_lists.contains(name) {
            self.list(name)
        } else {
            let literal = AddressValue::parse(name);
            let literal = literal
                .ok_or_else(|| unresolved(UNKNOWN_ADDRESS, "address, address group or literal", name, origin))?;
            self.value(name, &literal)
        };
        self.members.insert(name, found.clone());
        Ok(found)
    }

    fn value(&self, name: &str, value: &AddressValue) -> Addresses {
        let unknown = |kind: &str, pending| Some(Unknown { member: format!("{kind} object `{name}`"), pending });
        let (ranges, unknown) = match value {
            AddressValue::Prefix(prefix) => (vec![ends(*prefix)], None),
            AddressValue::Range(first, last) => (vec![(*first, *last)], None),
            AddressValue::Fqdn(fqdn) => match self.facts.names.get(&dns_name(fqdn)) {
                Some(known) if !known.is_empty() => (known.iter().map(|ip| (*ip, *ip)).collect(), None),
                _ => (vec![], unknown("FQDN", true)),
            },
            AddressValue::Wildcard(_) => (vec![], unknown("wildcard", false)),
        };
        let varies = matches!(value, AddressValue::Fqdn(_));
        Addresses { set: Arc::new(AddressSet::of(&ranges)), unknown: unknown.into_iter().collect(), varies }
    }

    fn list(&self, name: &str) -> Addresses {
        let known = self.facts.lists.get(name);
        let ranges: Vec<_> = known.into_iter().flatten().copied().map(ends).collect();
        let unknown = Unknown { member: format!("external list `{name}`"), pending: true };
        let unknown = known.is_none().then_some(unknown).into_iter().collect();
        Addresses { set: Arc::new(AddressSet::of(&ranges)), unknown, varies: true }
    }

    fn dynamic(&mut self, filter: &str, origin: &Origin) -> Result<Addresses, Diagnostic> {
        let filter = TagFilter::parse(filter).map_err(|error| {
            Diagnostic::error(INVALID_FILTER, origin.clone(), format!("filter `{filter}`: {error}"))
        })?;
        let config = self.config;
        let tagged = self.tagged.take().unwrap_or_else(|| Tagged::new(config, &self.addresses, self.facts));
        let mut sets = Vec::new();
        let mut unknown = Vec::new();
        for at in candidates(&tagged.objects, &filter, config.addresses.len()) {
            let Some(object) = config.addresses.get(at) else { continue };
            let is_visible = || self.addresses.get(&object.name) == Some(at);
            if filter.matches(&object.tags) && is_visible() {
                let member = self.value(&object.name, &object.value);
                sets.push(member.set);
                unknown.extend_from_slice(&member.unknown);
            }
        }
        let registered = candidates(&tagged.registered, &filter, tagged.addresses.len());
        let registered = registered.into_iter().filter_map(|at| tagged.addresses.get(at));
        let registered: Vec<_> =
            registered.filter(|(_, tags)| filter.matches(tags)).map(|(ip, _)| (*ip, *ip)).collect();
        self.tagged = Some(tagged);
        sets.push(Arc::new(AddressSet::of(&registered)));
        Ok(Addresses { set: Arc::new(AddressSet::union(&sets)), unknown: unknown.into(), varies: true })
    }

    /// A list as written in a rule, as the rows it makes; the empty list, `any` and `application-default`
    /// are any (the last because a rule that names applications is never evaluated by its services, see
    /// `unevaluated`).
    pub(crate) fn service_list(
        &mut self,
        names: &'a [String],
        origin: &Origin,
    ) -> Result<Arc<[Arc<Ports>]>, Diagnostic> {
        if names.is_empty() || names.iter().any(|name| name == "any" || name == "application-default") {
            return Ok(Arc::clone(&self.every_service));
        }
        if let Some(known) = self.service_lists.get(names) {
            return Ok(Arc::clone(known));
        }
        let mut found = Expansion::default();
        for name in names {
            self.service(name, origin, 0, &mut found)?;
        }
        let rows: Arc<[_]> = Ports::of(&found.terms).into_iter().map(Arc::new).collect();
        self.service_lists.insert(names, Arc::clone(&rows));
        Ok(rows)
    }

    /// The idle times that services of a list have, with the ports that each is about. The list is known to be
    /// right.
    pub(crate) fn service_timeouts(&self, names: &[String], origin: &Origin) -> Arc<[TimedPorts]> {
        if !self.timed {
            return Arc::clone(&self.no_timeouts);
        }
        let mut found = Expansion::default();
        for name in names {
            // `any` is no service; what does not resolve was told before.
            let _ = self.service(name, origin, 0, &mut found);
        }
        let timed = |(term, timeouts): (PortTerm, ServiceTimeouts)| {
            let ports = Ports::of(&[term]).pop()?;
            (timeouts != ServiceTimeouts::default()).then_some(TimedPorts { ports, timeouts })
        };
        found.terms.into_iter().zip(found.timeouts).filter_map(timed).collect()
    }

    fn service<'n>(
        &'n self,
        name: &'n str,
        origin: &Origin,
        depth: usize,
        found: &mut Expansion<'n>,
    ) -> Result<(), Diagnostic> {
        if !found.seen.insert(name) {
            return Ok(());
        }
        if let Some(service) = self.services.get(name).and_then(|at| self.config.services.get(at)) {
            found.terms.push(PortTerm::new(service));
            found.timeouts.push(service.timeouts);
            return Ok(());
        }
        let Some(group) = self.service_groups.get(name).and_then(|at| self.config.service_groups.get(at)) else {
            return Err(unresolved(UNKNOWN_SERVICE, "service or service group", name, origin));
        };
        if depth >= GROUP_DEPTH_MAX {
            let message = format!("service groups nest too deeply at `{name}`");
            return Err(Diagnostic::error(GROUP_CYCLE, group.origin.clone(), message));
        }
        group.members.iter().try_for_each(|member| self.service(member, &group.origin, depth + 1, found))
    }
}

/// Ports whose sessions have idle times of their own.
#[derive(Clone, Debug)]
pub(crate) struct TimedPorts {
    pub(crate) ports: Ports,
    pub(crate) timeouts: ServiceTimeouts,
}

/// The services of one list while its groups are expanded; each name counts once.
#[derive(Default)]
struct Expansion<'n> {
    terms: Vec<PortTerm>,
    /// One for each of the terms.
    timeouts: Vec<ServiceTimeouts>,
    seen: HashSet<&'n str>,
}

#[cfg(test)]
mod tests {
    use bartizan_model::device::{
        Address, AddressGroup, ExternalList, Recurring, Service, ServiceGroup, ServiceProtocol,
    };
    use expect_test::{Expect, expect};

    use super::*;

    fn address(name: &str, value: &str, tags: &[&str]) -> Address {
        let value = match value.strip_prefix("fqdn ") {
            Some(name) => AddressValue::Fqdn(name.into()),
            None => AddressValue::Prefix(value.parse().unwrap()),
        };
        Address {
            name: name.into(),
            origin: Origin::default(),
            value,
            tags: tags.iter().map(|tag| (*tag).into()).collect(),
        }
    }

    fn group(name: &str, members: &[&str]) -> AddressGroup {
        let members = GroupMembers::Static(members.iter().map(|member| (*member).into()).collect());
        AddressGroup { name: name.into(), origin: Origin::xpath(format!("/group/{name}")), members }
    }

    fn list(name: &str) -> ExternalList {
        ExternalList {
            name: name.into(),
            origin: Origin::default(),
            url: "http://lists.example/".into(),
            exceptions: Vec::new(),
            recurring: Recurring::Hourly,
        }
    }

    /// What was learned; `nowhere` was asked for and has no address.
    fn facts() -> Facts {
        let ips = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let tags = |ip: &str, tags: &[&str]| (ip.parse().unwrap(), tags.iter().map(|tag| (*tag).to_owned()).collect());
        Facts {
            names: [
                ("cdn.example".to_owned(), ips(&["192.0.2.1", "192.0.2.2", "2001:db8::1"])),
                ("nowhere.example".to_owned(), ips(&[])),
            ]
            .into(),
            lists: [("blocked".to_owned(), vec!["198.51.100.0/24".parse().unwrap()])].into(),
            tags: [tags("10.244.0.7", &["k8s.pod"]), tags("10.244.0.8", &["k8s.pod", "k8s.old"])].into(),
            ..Facts::default()
        }
    }

    fn config() -> DeviceConfig {
        let mut config = DeviceConfig {
            addresses: vec![
                address("web-1", "10.0.0.5/32", &["web", "test"]),
                address("web-2", "10.0.0.6/32", &["web"]),
                address("net", "10.1.2.3/16", &[]),
                address("site", "fqdn www.example.com", &["web"]),
                address("cdn", "fqdn CDN.example.", &[]),
                address("nowhere", "fqdn nowhere.example", &[]),
                // Shadowed by the nearer object of the same name.
                address("web-1", "192.168.0.1/32", &["web"]),
            ],
            address_groups: vec![
                group("all", &["webs", "net"]),
                group("webs", &["web-1", "web-2"]),
                group("loop", &["loop"]),
            ],
            ..DeviceConfig::default()
        };
        let dynamic = GroupMembers::Dynamic("'web' and not 'test'".into());
        config.address_groups.push(AddressGroup { name: "tagged".into(), origin: Origin::default(), members: dynamic });
        let pods = GroupMembers::Dynamic("'k8s.pod' and not 'k8s.old'".into());
        config.address_groups.push(AddressGroup { name: "pods".into(), origin: Origin::default(), members: pods });
        config.external_lists = ["blocked", "not-fetched"].map(list).into();
        config
    }

    fn check(list: &[&str], expected: Expect) {
        let config = config();
        let names: Vec<String> = list.iter().map(|name| (*name).into()).collect();
        let facts = facts();
        let mut objects = Objects::new(&config, &facts);
        let text = match objects.address_list(&names, &Origin::xpath("/rule")) {
            Ok(found) => {
                let ranges = found.set.ranges();
                let ranges = ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect::<Vec<_>>().join(" ");
                if found.unknown.is_empty() {
                    ranges
                } else {
                    let unknown: Vec<_> = found.unknown.iter().map(|unknown| &*unknown.member).collect();
                    format!("{ranges} unknown: {}", unknown.join(", "))
                }
            }
            Err(diagnostic) => diagnostic.to_string(),
        };
        expected.assert_eq(&text);
    }

    #[test]
    fn address_lists_expand() {
        check(&[], expect!["0.0.0.0-255.255.255.255 ::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]);
        check(&["all"], expect!["10.0.0.5-10.0.0.6 10.1.0.0-10.1.255.255"]);
        check(&["10.0.0.7", "webs", "2001:db8::/126"], expect!["10.0.0.5-10.0.0.7 2001:db8::-2001:db8::3"]);
        check(&["10.0.0.9-10.0.1.1"], expect!["10.0.0.9-10.0.1.1"]);
        check(&["tagged"], expect!["10.0.0.6-10.0.0.6 unknown: FQDN object `site`"]);
    }

    #[test]
    fn what_was_learned_stands_for_addresses() {
        check(&["cdn"], expect!["192.0.2.1-192.0.2.2 2001:db8::1-2001:db8::1"]);
        check(&["nowhere"], expect![" unknown: FQDN object `nowhere`"]);
        check(&["blocked"], expect!["198.51.100.0-198.51.100.255"]);
        check(&["not-fetched", "blocked"], expect!["198.51.100.0-198.51.100.255 unknown: external list `not-fetched`"]);
        check(&["pods"], expect!["10.244.0.7-10.244.0.7"]);
    }

    #[test]
    fn address_lists_that_stand_for_nothing_are_refused() {
        check(
            &["web-9"],
            expect![[r#"
            error[unknown-address]: `web-9` is not a known address, address group or literal
              --> /rule"#]],
        );
        check(
            &["loop"],
            expect![[r#"
            error[group-cycle]: address group `loop` contains itself, or groups nest too deeply
              --> /group/loop"#]],
        );
        check(
            &["10.0.0.9-10.0.0.1"],
            expect![[r#"
            error[unknown-address]: `10.0.0.9-10.0.0.1` is not a known address, address group or literal
              --> /rule"#]],
        );
    }

    #[test]
    fn service_groups_nest_and_source_ports_default_to_any() {
        let service = |name: &str, port, source_ports| Service {
            name: name.into(),
            origin: Origin::default(),
            protocol: ServiceProtocol::Tcp,
            ports: vec![(port, port)],
            source_ports,
            timeouts: ServiceTimeouts::default(),
        };
        let group = |name: &str, member: &str| ServiceGroup {
            name: name.into(),
            origin: Origin::default(),
            members: vec![member.into()],
        };
        let config = DeviceConfig {
            services: vec![service("ssh", 22, vec![(1024, 65535)]), service("web", 80, vec![])],
            service_groups: (0..GROUP_DEPTH_MAX + 8)
                .map(|level| group(&format!("level-{level}"), &format!("level-{}", level + 1)))
                .chain([group("outer", "inner"), group("inner", "web")])
                .collect(),
            ..DeviceConfig::default()
        };
        let list = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).into()).collect();
            Objects::new(&config, &Facts::default()).service_list(&names, &Origin::default())
        };
        let rows = list(&["ssh", "outer"]).unwrap();
        let accept = |source, destination| rows.iter().any(|ports| ports.accept(6, source, destination));
        assert_eq!([accept(1024, 22), accept(1023, 22), accept(1, 80), accept(1024, 81)], [true, false, true, false]);
        assert!(matches!(*list(&["ssh", "application-default"]).unwrap()[0], Ports::Any));
        assert_eq!(list(&["level-0"]).unwrap_err().code, GROUP_CYCLE);
        assert_eq!(list(&["nope"]).unwrap_err().code, UNKNOWN_SERVICE);
    }
}
