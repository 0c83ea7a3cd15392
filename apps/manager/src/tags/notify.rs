//! Which firewalls hear of a cluster's tags?
//!
//! As with Panorama's plugin for Kubernetes: a monitoring definition names a cluster and a notify group, which is a list of
//! device groups. Tags that are of no cluster are for every firewall. Tags of the groups of a cluster's policies are for the
//! device group that the rules are made in, whatever the definitions say: its rules mean nothing without them.

use std::collections::{BTreeMap, BTreeSet};

use bartizan_model::codes;
use bartizan_model::diagnostic::{Diagnostic, Origin};
use bartizan_model::manager::{self, LOCALHOST_XPATH};
use bartizan_model::registered::{is_cluster_name, is_policy_tag};
use bartizan_model::tree::{Element, quote};

/// What one firewall hears of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    /// Clusters, and whether it hears of addresses that are only known within them.
    clusters: BTreeMap<String, bool>,
    /// Clusters whose policies it enforces.
    policies: BTreeSet<String>,
}

/// A monitoring definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    /// Its name.
    pub(crate) name: String,
    /// The cluster.
    pub(crate) cluster: String,
    /// Device groups, with those below them.
    pub(crate) groups: BTreeSet<String>,
    /// Tags of addresses within the cluster are told, too.
    pub(crate) internal: bool,
}

/// Who hears of what, by a configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notified {
    /// Definitions that are enabled.
    pub(crate) definitions: Vec<Definition>,
    /// Scopes by serial number.
    devices: BTreeMap<String, Scope>,
    /// Cluster ids that a traffic object is for.
    traffic_objects: BTreeSet<i64>,
}

impl Scope {
    #[cfg(test)]
    pub(super) fn of_clusters(names: &[&str]) -> Self {
        Self { clusters: names.iter().map(|name| ((*name).to_owned(), true)).collect(), ..Self::default() }
    }

    /// Whether it hears of that tag. `source` is the tag's cluster, or empty.
    pub(super) fn includes(&self, source: &str, tag: &str) -> bool {
        if is_policy_tag(tag) {
            return self.policies.contains(source);
        }
        source.is_empty() || self.clusters.get(source).is_some_and(|internal| *internal || is_external(tag))
    }

    /// Whether it hears of some tags of a source.
    pub(super) fn includes_some_of(&self, source: &str) -> bool {
        source.is_empty() || self.clusters.contains_key(source) || self.policies.contains(source)
    }
}

impl Notified {
    /// Reads a manager's configuration.
    pub(crate) fn read(root: &Element) -> Self {
        let definitions = definitions(root);
        let mut devices: BTreeMap<String, Scope> = BTreeMap::new();
        let traffic_objects = traffic_objects(root);
        let policies = policy_groups(root);
        if definitions.is_empty() && policies.is_empty() {
            return Self { traffic_objects, ..Self::default() };
        }
        for device in manager::devices(root) {
            let Some(group) = device.device_group else { continue };
            for (cluster, _) in policies.iter().filter(|(_, groups)| groups.contains(&group)) {
                devices.entry(device.serial.clone()).or_default().policies.insert(cluster.clone());
            }
            for definition in definitions.iter().filter(|definition| definition.groups.contains(&group)) {
                let clusters = &mut devices.entry(device.serial.clone()).or_default().clusters;
                let internal = clusters.entry(definition.cluster.clone()).or_default();
                *internal |= definition.internal;
            }
        }
        Self { definitions, devices, traffic_objects }
    }

    /// What a firewall hears of.
    pub(crate) fn scope(&self, serial: &str) -> Scope {
        self.devices.get(serial).cloned().unwrap_or_default()
    }

    /// Device groups that hear of a cluster.
    pub(crate) fn groups(&self, cluster: &str) -> BTreeSet<String> {
        let of = self.definitions.iter().filter(|definition| definition.cluster == cluster);
        of.flat_map(|definition| definition.groups.iter().cloned()).collect()
    }

    /// Firewalls that hear of a cluster.
    pub(crate) fn devices(&self, cluster: &str) -> impl Iterator<Item = &str> {
        let hears = move |scope: &Scope| scope.clusters.contains_key(cluster);
        self.devices.iter().filter(move |(_, scope)| hears(scope)).map(|(serial, _)| serial.as_str())
    }

    /// Whether a traffic object of some template is for tunnels with that id.
    pub(crate) fn has_traffic_object(&self, cluster_id: i64) -> bool {
        self.traffic_objects.contains(&cluster_id)
    }
}

/// Whether the address of a tag is known outside of its cluster: those of load balancers, and the nodes' external ones.
fn is_external(tag: &str) -> bool {
    let mut parts = tag.split('.').skip(2);
    let first = parts.next().unwrap_or_default();
    first == "ex_nodes" || (first.starts_with("ns_") && parts.next().is_some_and(|part| part.starts_with("exsvc_")))
}

fn plugin(root: &Element) -> Option<&Element> {
    manager::container(root, "plugins")?.child("kubernetes").map(|plugin| &**plugin)
}

fn text(element: &Element, name: &str) -> String {
    element.child(name).map(|child| child.text().trim().to_owned()).unwrap_or_default()
}

fn definitions(root: &Element) -> Vec<Definition> {
    let Some(plugin) = plugin(root) else { return Vec::new() };
    let notify_groups = plugin.descend(&["setup", "notify-group"]);
    let definition = |(name, entry): (&str, &std::sync::Arc<Element>)| {
        if text(entry, "enable") == "no" {
            return None;
        }
        let group = notify_groups.and_then(|groups| groups.entry_named(&text(entry, "notify-group")))?;
        let members: Vec<String> = group.child("device-group").map(|list| list.members().collect()).unwrap_or_default();
        let mut groups: BTreeSet<String> = members.iter().flat_map(|name| manager::descendants(root, name)).collect();
        groups.extend(members);
        let internal = text(group, "share-internal-tags") != "no";
        Some(Definition { name: name.to_owned(), cluster: text(entry, "cluster"), groups, internal })
    };
    plugin.child("monitoring-definition").into_iter().flat_map(|list| list.entries()).filter_map(definition).collect()
}

/// Clusters, and the device groups that get their policies' rules, with those below them.
fn policy_groups(root: &Element) -> BTreeMap<String, BTreeSet<String>> {
    let settings = plugin(root).and_then(|plugin| plugin.child("policy-automation"));
    let of = |(cluster, entry): (&str, &std::sync::Arc<Element>)| {
        let group = text(entry, "device-group");
        let mut groups: BTreeSet<String> = manager::descendants(root, &group).into_iter().collect();
        groups.insert(group);
        (cluster.to_owned(), groups)
    };
    settings.into_iter().flat_map(|list| list.entries()).map(of).collect()
}

fn traffic_objects(root: &Element) -> BTreeSet<i64> {
    let mut found = BTreeSet::new();
    let kinds = ["template", "template-stack"].into_iter().filter_map(|kind| manager::container(root, kind));
    let devices = kinds
        .flat_map(|templates| templates.entries())
        .filter_map(|(_, template)| template.descend(&["config", "devices"]))
        .flat_map(|devices| devices.entries());
    let objects = devices
        .filter_map(|(_, device)| device.child("vsys"))
        .flat_map(|vsys| vsys.entries())
        .filter_map(|(_, vsys)| vsys.child("traffic-object"))
        .flat_map(|objects| objects.entries());
    for (_, object) in objects {
        let id = object.descend(&["k8s-cluster", "cluster-id"]).map(Element::text);
        found.extend(id.and_then(|id| id.trim().parse::<i64>().ok()));
    }
    found
}

/// What of the monitoring definitions brings no tag anywhere.
pub(crate) fn check(root: &Element) -> Vec<Diagnostic> {
    let Some(plugin) = plugin(root) else { return Vec::new() };
    let mut found = Vec::new();
    let base = format!("{LOCALHOST_XPATH}/plugins/kubernetes");
    let notify_groups = plugin.descend(&["setup", "notify-group"]);
    let known = manager::device_groups(root);
    for (name, group) in notify_groups.into_iter().flat_map(Element::entries) {
        let members: Vec<String> = group.child("device-group").map(|list| list.members().collect()).unwrap_or_default();
        let at = || Origin::xpath(format!("{base}/setup/notify-group/entry[@name={}]/device-group", quote(name)));
        if members.is_empty() {
            let message = format!("notify group `{name}` lists no device group: it notifies nobody");
            found.push(Diagnostic::warning(codes::MISSING_MEMBER, at(), message));
        }
        for member in members.iter().filter(|member| !known.contains(member)) {
            let message = format!("device group `{member}` of notify group `{name}` does not exist");
            found.push(Diagnostic::warning(codes::UNKNOWN_DEVICE_GROUP, at(), message));
        }
    }
    for (name, entry) in plugin.child("monitoring-definition").into_iter().flat_map(|list| list.entries()) {
        let at =
            |what: &str| Origin::xpath(format!("{base}/monitoring-definition/entry[@name={}]/{what}", quote(name)));
        let (cluster, group) = (text(entry, "cluster"), text(entry, "notify-group"));
        if !is_cluster_name(&cluster) {
            let message = format!(
                "monitoring definition `{name}` names no cluster: `{cluster}` is not 1 to 20 of A-Z a-z 0-9 _ -"
            );
            found.push(Diagnostic::warning(codes::INVALID_NAME, at("cluster"), message));
        }
        if notify_groups.is_none_or(|groups| groups.entry_named(&group).is_none()) {
            let message = format!("monitoring definition `{name}` notifies `{group}`, which is no notify group");
            let help = "add it below `plugins/kubernetes/setup/notify-group`";
            found.push(Diagnostic::warning(codes::MISSING_MEMBER, at("notify-group"), message).with_help(help));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use bartizan_model::xml;

    use super::*;

    const CONFIG: &str = "<config><readonly><devices><entry name='localhost.localdomain'><device-group>\
        <entry name='shops'><parent-dg>cloud</parent-dg></entry></device-group></entry></devices></readonly>\
        <devices><entry name='localhost.localdomain'>\
        <device-group><entry name='cloud'><devices><entry name='1'/></devices></entry><entry name='shops'><devices>\
        <entry name='2'/></devices></entry><entry name='other'><devices><entry name='3'/></devices></entry></device-group>\
        <template><entry name='t'><config><devices><entry name='localhost.localdomain'><vsys><entry name='vsys1'>\
        <traffic-object><entry name='o'><k8s-cluster><cluster-id>7</cluster-id></k8s-cluster></entry></traffic-object>\
        </entry></vsys></entry></devices></config></entry></template>\
        <plugins><kubernetes><setup><notify-group><entry name='all'><device-group><member>cloud</member></device-group></entry>\
        <entry name='outside'><device-group><member>other</member><member>gone</member></device-group>\
        <share-internal-tags>no</share-internal-tags></entry></notify-group></setup><monitoring-definition>\
        <entry name='one'><cluster>prod</cluster><notify-group>all</notify-group></entry>\
        <entry name='two'><cluster>prod</cluster><notify-group>outside</notify-group><enable>yes</enable></entry>\
        <entry name='off'><cluster>test</cluster><notify-group>all</notify-group><enable>no</enable></entry>\
        <entry name='bad'><cluster>a.b</cluster><notify-group>none</notify-group></entry>\
        </monitoring-definition><policy-automation><entry name='prod'><device-group>cloud</device-group></entry>\
        </policy-automation></kubernetes></plugins></entry></devices></config>";

    #[test]
    fn a_definition_reaches_the_firewalls_of_its_groups_and_of_those_below() {
        let notified = Notified::read(&xml::parse(CONFIG).unwrap());
        let heard = |serial: &str, tag: &str| notified.scope(serial).includes("prod", tag);
        for serial in ["1", "2"] {
            assert!(heard(serial, "k8s.cl_prod.ns_shop"), "{serial}");
        }
        assert!(!heard("3", "k8s.cl_prod.ns_shop"));
        assert!(heard("3", "k8s.cl_prod.ns_shop.exsvc_web") && heard("3", "k8s.cl_prod.ex_nodes"));
        assert!(!heard("4", "k8s.cl_prod.ex_nodes"));
        assert!(!notified.scope("1").includes("test", "k8s.cl_test.nodes"), "not enabled");
        let policy = "np.prod.0123456789abcdef";
        assert!(heard("1", policy) && heard("2", policy) && !heard("3", policy), "only where the rules are");
        assert!(notified.scope("4").includes("", "web"));
        assert_eq!(notified.groups("prod").len(), 4);
        assert_eq!(notified.devices("prod").collect::<Vec<_>>(), ["1", "2", "3"]);
        assert!(notified.has_traffic_object(7) && !notified.has_traffic_object(8));
    }

    #[test]
    fn what_leads_nowhere_is_told_with_its_place() {
        let told: Vec<String> = check(&xml::parse(CONFIG).unwrap()).iter().map(|one| one.message.clone()).collect();
        assert_eq!(
            told,
            [
                "device group `gone` of notify group `outside` does not exist",
                "monitoring definition `bad` names no cluster: `a.b` is not 1 to 20 of A-Z a-z 0-9 _ -",
                "monitoring definition `bad` notifies `none`, which is no notify group",
            ]
        );
    }
}
