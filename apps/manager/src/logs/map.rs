//! Who speaks with whom, and may they? The flows of the traffic log, from what an address is to what the other one is.
//!
//! An address is what its registered tags say: of a Kubernetes cluster its service, its workload or its namespace, otherwise
//! its first tag, and itself when it has none. What is least becomes one for each zone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use bartizan_model::registered::is_policy_tag;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::filter::protocol_name;
use super::query::{Log, Query};
use super::report::CLUSTER;
use super::summary::{Sums, sums, within};
use crate::store::Store;
use crate::store::slices::groups::{Column, Group, Grouping, NoGroups};
use crate::tags::Tags;

/// Places and ways that are told apart while the log is read; what comes later is counted with its zone.
const PLACES_MAX: usize = 20_000;
const WAYS_MAX: usize = 100_000;
/// Addresses of one end of a way that its query names.
const ADDRESSES_MAX: usize = 40;
/// Ports and rules of a way that are counted.
const DETAILS_MAX: usize = 64;
/// Ports and rules that are told.
const DETAILS_TOLD: usize = 8;
/// Ways that are told.
const WAYS_TOLD: usize = 200;

/// The fields that flows are grouped by.
const KEYS: [Column; 9] = [
    Column::Address("source_key"),
    Column::Address("destination_key"),
    Column::Plain("from_zone"),
    Column::Plain("to_zone"),
    Column::Plain("protocol"),
    Column::Plain("destination_port"),
    Column::Plain("rule"),
    Column::Plain("action"),
    CLUSTER,
];

/// What an address is shown as.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "MapLevel")]
pub(crate) enum Level {
    /// Its namespace.
    Namespace,
    /// Its service, or its workload, or its namespace.
    #[default]
    Service,
    /// Itself.
    Address,
}

/// What a place is.
#[derive(Clone, Copy, Debug, JsonSchema, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "MapPlaceKind")]
pub(crate) enum Kind {
    /// A namespace.
    Namespace,
    /// A service.
    Service,
    /// What owns pods.
    Workload,
    /// The nodes of a cluster.
    Nodes,
    /// Addresses with a registered tag.
    Tag,
    /// An address.
    Address,
    /// What is not told apart, of a zone.
    Others,
}

/// A place by what tells it from others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Place {
    kind: Kind,
    cluster: String,
    name: String,
}

/// Places and the ways between them.
#[derive(Debug, Default)]
pub(crate) struct Map {
    /// The largest first.
    pub(crate) places: Vec<Placed>,
    /// The largest first.
    pub(crate) ways: Vec<Way>,
    /// Places that were counted with their zones, as far as they were told apart.
    pub(crate) places_left_out: usize,
    /// Ways that are not among these.
    pub(crate) ways_left_out: usize,
}

/// A place of the map.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "MapPlace")]
pub(crate) struct Placed {
    /// What it is.
    kind: Kind,
    /// Its name: `NAMESPACE/SERVICE`, a tag, an address; of others their zone.
    name: String,
    /// The Kubernetes cluster that it is in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    cluster: String,
    /// Zones that its packets came from or went to.
    zones: BTreeSet<String>,
    /// Sessions that it took part in.
    sessions: i64,
}

/// A way from one place to another.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "MapWay")]
pub(crate) struct Way {
    /// Number of the place that began, in the list of places.
    from: usize,
    /// Number of the other one.
    to: usize,
    /// Sessions.
    sessions: i64,
    /// Those of them that were not allowed.
    refused: i64,
    /// Bytes, in both directions.
    bytes: i64,
    /// Protocols and ports, those with most sessions first.
    ports: Vec<String>,
    /// Rules, those with most sessions first.
    rules: Vec<Ruled>,
    /// A query of the traffic log for these sessions.
    query: String,
    /// Whether it finds all of them: of very many addresses some are named.
    complete: bool,
}

/// A rule that decided about a way.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "MapRule")]
pub(crate) struct Ruled {
    /// Its name.
    rule: String,
    /// What it did.
    action: String,
    /// With how many sessions.
    sessions: i64,
}

#[derive(Debug, Default)]
struct Between {
    sums: Sums,
    ports: BTreeMap<(i64, i64), i64>,
    rules: BTreeMap<(String, String), i64>,
    sources: BTreeSet<String>,
    destinations: BTreeSet<String>,
    has_more: bool,
}

impl Between {
    fn absorb(&mut self, other: Self) {
        self.sums.add(other.sums);
        self.has_more |= other.has_more;
        for (port, sessions) in other.ports {
            count(&mut self.ports, port, sessions);
        }
        for (rule, sessions) in other.rules {
            count(&mut self.rules, rule, sessions);
        }
        for source in other.sources {
            self.has_more |= !name(&mut self.sources, source);
        }
        for destination in other.destinations {
            self.has_more |= !name(&mut self.destinations, destination);
        }
    }
}

fn count<K: Ord>(counted: &mut BTreeMap<K, i64>, key: K, sessions: i64) {
    if counted.len() < DETAILS_MAX || counted.contains_key(&key) {
        *counted.entry(key).or_default() += sessions;
    }
}

/// Whether there was room for it.
fn name(named: &mut BTreeSet<String>, address: String) -> bool {
    named.contains(&address) || named.len() < ADDRESSES_MAX && named.insert(address)
}

/// What addresses are.
pub(crate) struct Names<'a> {
    tags: Option<&'a Tags>,
    level: Level,
    clusters: HashMap<String, String>,
    known: HashMap<(String, String), Place>,
}

impl<'a> Names<'a> {
    /// By these tags; without them every address is itself.
    pub(crate) fn new(tags: Option<&'a Tags>, level: Level) -> Self {
        let clusters = tags.map(Tags::clusters).unwrap_or_default().into_iter();
        let clusters = clusters.map(|(cluster, ..)| (cluster.row.cluster_id.to_string(), cluster.row.name)).collect();
        Self { tags, level, clusters, known: HashMap::new() }
    }

    /// What an address is that came with this number of a cluster.
    fn place(&mut self, address: &str, cluster_id: &str) -> Place {
        let key = (address.to_owned(), cluster_id.to_owned());
        if let Some(place) = self.known.get(&key) {
            return place.clone();
        }
        let cluster = self.clusters.get(cluster_id).map(String::as_str);
        let tags = match (self.tags, address.parse::<IpAddr>()) {
            (Some(tags), Ok(address)) => tags.of_address(address, cluster),
            _ => Vec::new(),
        };
        let place = place_of(address, &tags, self.level);
        if self.known.len() < PLACES_MAX {
            self.known.insert(key, place.clone());
        }
        place
    }
}

/// What an address is by its tags, each with the cluster that told it.
fn place_of(address: &str, tags: &[(String, String)], level: Level) -> Place {
    let itself = || Place { kind: Kind::Address, cluster: String::new(), name: address.to_owned() };
    if level == Level::Address {
        return itself();
    }
    let mut best: Option<(usize, Place)> = None;
    for (cluster, tag) in tags.iter().filter(|(_, tag)| !is_policy_tag(tag)) {
        let Some((rank, kind, name)) = meaning(cluster, tag, level) else { continue };
        if best.as_ref().is_none_or(|(known, _)| rank < *known) {
            best = Some((rank, Place { kind, cluster: cluster.clone(), name }));
        }
    }
    best.map_or_else(itself, |(_, place)| place)
}

/// What a tag says, and how much that counts: the least counts most.
fn meaning(cluster: &str, tag: &str, level: Level) -> Option<(usize, Kind, String)> {
    let Some(rest) = tag.strip_prefix(&format!("k8s.cl_{cluster}.")).filter(|_| !cluster.is_empty()) else {
        return cluster.is_empty().then(|| (5, Kind::Tag, tag.to_owned()));
    };
    if matches!(rest, "nodes" | "ex_nodes") {
        return Some((4, Kind::Nodes, "nodes".to_owned()));
    }
    let place = rest.strip_prefix("ns_")?;
    let Some((namespace, what)) = place.split_once('.') else {
        return Some((3, Kind::Namespace, place.to_owned()));
    };
    if level == Level::Namespace {
        return None;
    }
    let (kind, name) = what.split_once('_')?;
    match kind {
        "svc" => Some((0, Kind::Service, format!("{namespace}/{name}"))),
        "exsvc" => Some((1, Kind::Service, format!("{namespace}/{name}"))),
        // A deployment's replica set is called like it, with a hash.
        "rs" => {
            let name = name.rsplit_once('-').map_or(name, |(deployment, _)| deployment);
            Some((2, Kind::Workload, format!("{namespace}/{name}")))
        }
        "ds" | "ss" => Some((2, Kind::Workload, format!("{namespace}/{name}"))),
        _ => None,
    }
}

/// Reads the map from the traffic log, with so many places.
///
/// # Errors
/// When the store cannot be read.
pub(crate) async fn read(
    store: &Store,
    query: Query,
    times: (i64, i64),
    mut names: Names<'_>,
    places_told: usize,
) -> sqlx::Result<Map> {
    let query = within(query, times.0, times.1);
    let grouping = Grouping { keys: KEYS.to_vec(), sums: sums(Log::Traffic) };
    let mut drawn = Drawn::default();
    let each = |group: Group| {
        drawn.add(&mut names, group);
        true
    };
    match store.each_group(&query, &grouping, each).await {
        // `each` never has too many.
        Ok(()) | Err(NoGroups::TooMany) => {}
        Err(NoGroups::Store(error)) => return Err(error),
    }
    Ok(drawn.map(places_told))
}

/// The map while it is drawn.
#[derive(Default)]
struct Drawn {
    places: HashMap<Place, (BTreeSet<String>, i64)>,
    ways: HashMap<(Place, Place), Between>,
}

fn others(zone: &str) -> Place {
    Place { kind: Kind::Others, cluster: String::new(), name: zone.to_owned() }
}

impl Drawn {
    fn add(&mut self, names: &mut Names<'_>, (texts, added): Group) {
        let [source, destination, from_zone, to_zone, protocol, port, rule, action, cluster] = &texts[..] else {
            return;
        };
        let added = Sums { lines: added[0], bytes: added[1], refused: added[2] };
        let mut from = names.place(source, cluster);
        let mut to = names.place(destination, cluster);
        for (place, zone) in [(&mut from, from_zone), (&mut to, to_zone)] {
            if self.places.len() >= PLACES_MAX && !self.places.contains_key(&*place) {
                *place = others(zone);
            }
        }
        let mut way = (from, to);
        if self.ways.len() >= WAYS_MAX && !self.ways.contains_key(&way) {
            way = (others(from_zone), others(to_zone));
        }
        for (place, zone) in [(&way.0, from_zone), (&way.1, to_zone)] {
            let (zones, sessions) = self.places.entry(place.clone()).or_default();
            *sessions += added.lines;
            if !zone.is_empty() && zones.len() < DETAILS_MAX {
                zones.insert(zone.clone());
            }
        }
        let ends = |address: &String| BTreeSet::from([address.clone()]);
        let port = (protocol.parse().unwrap_or_default(), port.parse().unwrap_or_default());
        self.ways.entry(way).or_default().absorb(Between {
            sums: added,
            ports: BTreeMap::from([(port, added.lines)]),
            rules: BTreeMap::from([((rule.clone(), action.clone()), added.lines)]),
            sources: ends(source),
            destinations: ends(destination),
            has_more: false,
        });
    }

    /// The largest places, and what is left of each zone as one.
    fn map(self, places_told: usize) -> Map {
        let mut largest: Vec<(&Place, i64)> =
            self.places.iter().map(|(place, (_, sessions))| (place, *sessions)).collect();
        largest.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let kept: BTreeSet<Place> = largest.iter().take(places_told).map(|(place, _)| (*place).clone()).collect();
        let left_out = largest.len().saturating_sub(places_told);
        let folded = |place: &Place| match kept.contains(place) {
            true => place.clone(),
            false => others(self.places.get(place).and_then(|(zones, _)| zones.first()).map_or("", String::as_str)),
        };
        let mut places: HashMap<Place, (BTreeSet<String>, i64)> = HashMap::new();
        for (place, (zones, sessions)) in &self.places {
            let (all, sum) = places.entry(folded(place)).or_default();
            all.extend(zones.iter().cloned());
            *sum += sessions;
        }
        let mut ways: HashMap<(Place, Place), Between> = HashMap::new();
        for ((from, to), between) in self.ways {
            let way = (folded(&from), folded(&to));
            ways.entry(way).or_default().absorb(between);
        }
        let mut places: Vec<_> = places.into_iter().collect();
        places.sort_unstable_by(|a, b| b.1.1.cmp(&a.1.1).then_with(|| a.0.cmp(&b.0)));
        let numbers: HashMap<&Place, usize> =
            places.iter().enumerate().map(|(index, (place, _))| (place, index)).collect();
        let mut told: Vec<Way> = ways
            .into_iter()
            .filter_map(|((from, to), between)| Some(way(*numbers.get(&from)?, *numbers.get(&to)?, between)))
            .collect();
        told.sort_unstable_by_key(|way| (std::cmp::Reverse(way.sessions), way.from, way.to));
        let ways_left_out = told.len().saturating_sub(WAYS_TOLD);
        told.truncate(WAYS_TOLD);
        let placed = |(place, (zones, sessions)): (Place, (BTreeSet<String>, i64))| Placed {
            kind: place.kind,
            name: place.name,
            cluster: place.cluster,
            zones,
            sessions,
        };
        Map { places: places.into_iter().map(placed).collect(), ways: told, places_left_out: left_out, ways_left_out }
    }
}

fn way(from: usize, to: usize, between: Between) -> Way {
    let Sums { lines, bytes, refused } = between.sums;
    let ports = most(between.ports).into_iter().map(|((protocol, port), _)| match port {
        0 => protocol_name(protocol),
        port => format!("{}/{port}", protocol_name(protocol)),
    });
    let rules = most(between.rules).into_iter().map(|((rule, action), sessions)| Ruled { rule, action, sessions });
    let query = [("addr.src", &between.sources), ("addr.dst", &between.destinations)].map(|(field, addresses)| {
        let each: Vec<String> = addresses.iter().map(|address| format!("( {field} in {address} )")).collect();
        if each.len() == 1 { each.concat() } else { format!("( {} )", each.join(" or ")) }
    });
    Way {
        from,
        to,
        sessions: lines,
        refused,
        bytes,
        ports: ports.collect(),
        rules: rules.collect(),
        query: query.join(" and "),
        complete: !between.has_more,
    }
}

/// Those with most sessions, the largest first.
fn most<K: Ord>(counted: BTreeMap<K, i64>) -> Vec<(K, i64)> {
    let mut all: Vec<(K, i64)> = counted.into_iter().collect();
    all.sort_by_key(|(_, sessions)| std::cmp::Reverse(*sessions));
    all.truncate(DETAILS_TOLD);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(texts: &[&str]) -> Vec<(String, String)> {
        let cluster = |tag: &str| if tag.starts_with("k8s.") { "prod".to_owned() } else { String::new() };
        texts.iter().map(|tag| (cluster(tag), (*tag).to_owned())).collect()
    }

    #[test]
    fn an_address_is_what_its_tags_say() {
        let pod = tags(&[
            "k8s.cl_prod.ns_shop",
            "k8s.cl_prod.ns_shop.app.web",
            "k8s.cl_prod.ns_shop.rs_web-5d8f7c9b6d",
            "k8s.cl_prod.ns_shop.svc_web",
            "web-team",
        ]);
        let name = |tags: &[(String, String)], level| {
            let place = place_of("10.0.0.1", tags, level);
            format!("{:?} {} {}", place.kind, place.cluster, place.name)
        };
        assert_eq!(name(&pod, Level::Service), "Service prod shop/web");
        assert_eq!(name(&pod[..3], Level::Service), "Workload prod shop/web");
        assert_eq!(name(&pod[..2], Level::Service), "Namespace prod shop");
        assert_eq!(name(&pod, Level::Namespace), "Namespace prod shop");
        assert_eq!(name(&pod, Level::Address), "Address  10.0.0.1");
        assert_eq!(name(&pod[4..], Level::Service), "Tag  web-team");
        assert_eq!(name(&tags(&["k8s.cl_prod.nodes"]), Level::Service), "Nodes prod nodes");
        assert_eq!(name(&[], Level::Service), "Address  10.0.0.1");
    }

    fn flow(source: &str, destination: &str, port: &str, action: &str, sessions: i64) -> Group {
        let texts = [source, destination, "a", "b", "6", port, "r", action, ""];
        let refused = if action == "allow" { 0 } else { sessions };
        (texts.map(str::to_owned).to_vec(), [sessions, 10 * sessions, refused, 0])
    }

    #[test]
    fn the_largest_places_are_told_and_the_others_with_their_zone() {
        let (mut drawn, mut names) = (Drawn::default(), Names::new(None, Level::Service));
        drawn.add(&mut names, flow("10.0.0.1", "10.0.1.1", "443", "allow", 9));
        drawn.add(&mut names, flow("10.0.0.1", "10.0.1.1", "22", "deny", 2));
        drawn.add(&mut names, flow("10.0.0.2", "10.0.1.1", "443", "allow", 1));
        drawn.add(&mut names, flow("10.0.0.3", "10.0.1.1", "443", "allow", 1));
        let map = drawn.map(2);
        let places: Vec<_> = map.places.iter().map(|place| (place.name.as_str(), place.sessions)).collect();
        assert_eq!(places, [("10.0.1.1", 13), ("10.0.0.1", 11), ("a", 2)]);
        assert_eq!((map.places_left_out, map.ways.len()), (2, 2));
        let (first, second) = (&map.ways[0], &map.ways[1]);
        assert_eq!((first.from, first.to, first.sessions, first.refused, first.bytes), (1, 0, 11, 2, 110));
        assert_eq!(first.ports, ["tcp/443", "tcp/22"]);
        assert_eq!(first.query, "( addr.src in 10.0.0.1 ) and ( addr.dst in 10.0.1.1 )");
        assert_eq!(
            second.query,
            "( ( addr.src in 10.0.0.2 ) or ( addr.src in 10.0.0.3 ) ) and ( addr.dst in 10.0.1.1 )"
        );
        assert!(first.complete && second.complete);
    }

    #[test]
    fn a_way_of_very_many_addresses_says_that_its_query_is_not_whole() {
        let (mut drawn, mut names) = (Drawn::default(), Names::new(None, Level::Service));
        for last in 0..=ADDRESSES_MAX {
            drawn.add(&mut names, flow(&format!("2001:db8::{last:x}"), "10.0.1.1", "443", "allow", 1));
        }
        let map = drawn.map(1);
        assert_eq!((map.ways.len(), map.ways[0].complete), (1, false));
        assert!(crate::logs::filter::parse(&map.ways[0].query, Log::Traffic.fields()).is_ok());
    }
}
