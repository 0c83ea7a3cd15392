//! Which firewall serves this node best?
//!
//! Pure: EndpointSlices and what health checks found come in, a choice goes out. One on this node beats one in its
//! zone, and that any other. A firewall that is in use stays so while nothing nearer is well: sessions live there.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::Ipv4Addr;

use serde::Deserialize;

/// Endpoints that are asked and listed; more are not looked at.
pub(crate) const MAXIMUM: usize = 64;

/// An EndpointSlice of `discovery.k8s.io`, v1 or v1beta1.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Slice {
    address_type: String,
    endpoints: Option<Vec<Written>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Written {
    addresses: Vec<String>,
    conditions: Conditions,
    zone: Option<String>,
    node_name: Option<String>,
    hints: Option<Hints>,
    /// v1beta1
    topology: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Conditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Hints {
    for_zones: Vec<ZoneHint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ZoneHint {
    name: String,
}

/// A firewall that takes tunnels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) address: Ipv4Addr,
    pub(crate) node: Option<String>,
    /// Zones that it is for: the hints, else where it is.
    pub(crate) zones: Vec<String>,
}

/// This node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Here<'a> {
    pub(crate) node: &'a str,
    pub(crate) zone: Option<&'a str>,
}

/// How near a firewall is; nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Nearness {
    Node,
    Zone,
    Elsewhere,
}

/// The firewall that pods are tunnelled to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) address: Ipv4Addr,
    pub(crate) nearness: Nearness,
}

impl Nearness {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Zone => "zone",
            Self::Elsewhere => "elsewhere",
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.nearness {
            Nearness::Node => "on this node",
            Nearness::Zone => "in this zone",
            Nearness::Elsewhere => "not known to be in this zone",
        };
        write!(f, "{} ({place})", self.address)
    }
}

/// The endpoints of all slices, sorted, once each.
pub(crate) fn endpoints<'a>(slices: impl Iterator<Item = &'a Slice>) -> Vec<Endpoint> {
    let mut found: Vec<Endpoint> = slices
        .filter(|slice| slice.address_type.is_empty() || slice.address_type.starts_with("IP"))
        .flat_map(|slice| slice.endpoints.iter().flatten())
        .filter(|written| usable(&written.conditions))
        .flat_map(|written| {
            written.addresses.iter().filter_map(|text| text.parse().ok()).map(|address| endpoint(written, address))
        })
        .collect();
    found.sort_by_key(|endpoint| endpoint.address);
    found.dedup_by_key(|endpoint| endpoint.address);
    found.truncate(MAXIMUM);
    found
}

/// What is not said is taken for good, as Kubernetes has it: the health check decides.
fn usable(conditions: &Conditions) -> bool {
    conditions.ready.unwrap_or(true) && conditions.serving.unwrap_or(true) && !conditions.terminating.unwrap_or(false)
}

fn endpoint(written: &Written, address: Ipv4Addr) -> Endpoint {
    let label = |name: &str| written.topology.as_ref().and_then(|topology| topology.get(name).cloned());
    let hinted: Vec<String> =
        written.hints.iter().flat_map(|hints| &hints.for_zones).map(|zone| zone.name.clone()).collect();
    let own = written.zone.clone().or_else(|| label("topology.kubernetes.io/zone"));
    Endpoint {
        address,
        node: written.node_name.clone().or_else(|| label("kubernetes.io/hostname")),
        zones: if hinted.is_empty() { own.into_iter().collect() } else { hinted },
    }
}

/// The best firewall that is well.
pub(crate) fn choose(
    endpoints: &[Endpoint],
    well: &BTreeMap<Ipv4Addr, bool>,
    here: &Here<'_>,
    current: Option<Ipv4Addr>,
) -> Option<Choice> {
    let candidates = endpoints.iter().filter(|endpoint| well.get(&endpoint.address) == Some(&true));
    let best = candidates.min_by_key(|endpoint| {
        // Nodes spread over firewalls that are equally near.
        let mut spread = DefaultHasher::new();
        (here.node, endpoint.address).hash(&mut spread);
        (nearness(endpoint, here), current != Some(endpoint.address), spread.finish())
    })?;
    Some(Choice { address: best.address, nearness: nearness(best, here) })
}

fn nearness(endpoint: &Endpoint, here: &Here<'_>) -> Nearness {
    if endpoint.node.as_deref() == Some(here.node) {
        Nearness::Node
    } else if here.zone.is_some_and(|zone| endpoint.zones.iter().any(|other| other == zone)) {
        Nearness::Zone
    } else {
        Nearness::Elsewhere
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(slices: &[Value]) -> Vec<Endpoint> {
        let slices: Vec<Slice> = slices.iter().map(|slice| serde_json::from_value(slice.clone()).unwrap()).collect();
        endpoints(slices.iter())
    }

    fn chosen(endpoints: &[Endpoint], down: &[&str], current: Option<&str>) -> String {
        let well = endpoints
            .iter()
            .map(|endpoint| (endpoint.address, !down.iter().any(|down| down.parse() == Ok(endpoint.address))));
        let here = Here { node: "n1", zone: Some("a") };
        let current = current.map(|current| current.parse().unwrap());
        choose(endpoints, &well.collect(), &here, current)
            .map_or_else(|| "none".to_owned(), |choice| choice.to_string())
    }

    fn zoned(address: &str, zone: &str) -> Value {
        json!({"addresses": [address], "conditions": {"ready": true, "serving": true}, "zone": zone,
               "hints": {"forZones": [{"name": zone}]}})
    }

    #[test]
    fn a_zones_own_firewall_comes_first_and_others_by_health() {
        let slice = json!({"addressType": "IPv4", "endpoints": [zoned("10.0.0.1", "a"), zoned("10.0.0.2", "b")]});
        let endpoints = read(&[slice]);
        assert_eq!(chosen(&endpoints, &[], None), "10.0.0.1 (in this zone)");
        assert_eq!(chosen(&endpoints, &["10.0.0.1"], Some("10.0.0.1")), "10.0.0.2 (not known to be in this zone)");
        assert_eq!(chosen(&endpoints, &[], Some("10.0.0.2")), "10.0.0.1 (in this zone)", "and back");
        assert_eq!(chosen(&endpoints, &["10.0.0.1", "10.0.0.2"], None), "none");
    }

    #[test]
    fn a_firewall_on_the_node_itself_is_the_nearest() {
        let mut own = zoned("10.0.0.9", "b");
        own["nodeName"] = json!("n1");
        let endpoints = read(&[json!({"addressType": "IPv4", "endpoints": [zoned("10.0.0.1", "a"), own]})]);
        assert_eq!(chosen(&endpoints, &[], None), "10.0.0.9 (on this node)");
    }

    #[test]
    fn what_is_in_use_stays_in_use_among_equals() {
        let slice = json!({"endpoints": [zoned("10.0.0.1", "a"), zoned("10.0.0.2", "a"), zoned("10.0.0.3", "a")]});
        let endpoints = read(&[slice]);
        for current in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
            assert_eq!(chosen(&endpoints, &[], Some(current)), format!("{current} (in this zone)"));
        }
    }

    /// An endpoint that says nothing of its conditions is ignored by some data planes, and all traffic is lost.
    #[test]
    fn empty_conditions_mean_ready() {
        let slice = json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {}}]});
        assert_eq!(chosen(&read(&[slice]), &[], None), "10.0.0.1 (not known to be in this zone)");
    }

    #[test]
    fn what_is_not_ready_or_goes_is_left_out() {
        let with = |conditions: Value| json!({"addresses": ["10.0.0.1"], "conditions": conditions});
        let slice =
            json!({"endpoints": [with(json!({"ready": false})), with(json!({"ready": null, "terminating": true}))]});
        assert!(read(&[slice]).is_empty());
        assert!(read(&[json!({"addressType": "IPv6", "endpoints": [{"addresses": ["fd00::1"]}]})]).is_empty());
        assert!(read(&[json!({"endpoints": null})]).is_empty());
    }

    #[test]
    fn the_older_version_has_its_zone_in_the_topology() {
        let slice = json!({"addressType": "IPv4", "endpoints": [
            {"addresses": ["10.0.0.1"], "topology": {"topology.kubernetes.io/zone": "a"}},
            {"addresses": ["10.0.0.2"], "topology": {"kubernetes.io/hostname": "n1"}}]});
        let endpoints = read(&[slice]);
        assert_eq!(chosen(&endpoints, &["10.0.0.2"], None), "10.0.0.1 (in this zone)");
        assert_eq!(chosen(&endpoints, &[], None), "10.0.0.2 (on this node)");
    }
}
