//! What is a tag called?
//!
//! The names are those of Panorama's plugin for Kubernetes, so that its filters of dynamic address groups go on to match.
//! A name that is too long is cut and ends with a hash of the whole, so that two long ones do not become one.

pub use bartizan_model::registered::POLICY_TAGS_MAX;
use bartizan_model::registered::{TAG_CHARS_MAX, is_cluster_name};
use sha2::{Digest as _, Sha256};

/// Tags of one address besides those of policies; of more, the last by [`Rank`] are left out.
pub const TAGS_MAX: usize = 32;
/// Hex digits of the hash at the end of a name that was cut, behind a `-`.
const HASH_CHARS: usize = 8;

/// Which tags stay when an address would have too many: the smaller ones. What the cluster itself says comes first, what
/// users write comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// Of a namespace, or of nodes.
    Place,
    /// Of a service.
    Service,
    /// Of a workload.
    Workload,
    /// Of a further interface.
    Interface,
    /// Of a label selector.
    Selector,
    /// Of a label.
    Label,
}

/// A tag with its rank.
pub type Tag = (Rank, String);

/// A kind of workload that owns pods and has tags of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// `ds_`
    DaemonSet,
    /// `rs_`
    ReplicaSet,
    /// `ss_`
    StatefulSet,
}

impl Workload {
    /// By the `kind` of an owner.
    pub fn of_kind(kind: &str) -> Option<Self> {
        match kind {
            "DaemonSet" => Some(Self::DaemonSet),
            "ReplicaSet" => Some(Self::ReplicaSet),
            "StatefulSet" => Some(Self::StatefulSet),
            _ => None,
        }
    }
}

/// The tags of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    cluster: String,
    base: String,
}

impl Names {
    /// Of a cluster with that name.
    ///
    /// # Errors
    /// When a cluster cannot be called so.
    pub fn of_cluster(name: &str) -> Result<Self, String> {
        if is_cluster_name(name) {
            return Ok(Self { cluster: name.to_owned(), base: format!("k8s.cl_{name}") });
        }
        Err(format!("`{name}` is no name for a cluster: it has 1 to 20 of A-Z a-z 0-9 _ -"))
    }

    /// The cluster's name.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Of every address in a namespace.
    pub fn namespace(&self, namespace: &str) -> Tag {
        self.tag(Rank::Place, &format!("ns_{namespace}"))
    }

    /// Of the pods of a workload.
    pub fn workload(&self, namespace: &str, kind: Workload, name: &str) -> Tag {
        let prefix = match kind {
            Workload::DaemonSet => "ds",
            Workload::ReplicaSet => "rs",
            Workload::StatefulSet => "ss",
        };
        self.tag(Rank::Workload, &format!("ns_{namespace}.{prefix}_{name}"))
    }

    /// Of a service's addresses within the cluster, and of the pods behind it.
    pub fn service(&self, namespace: &str, name: &str) -> Tag {
        self.tag(Rank::Service, &format!("ns_{namespace}.svc_{name}"))
    }

    /// Of a service's addresses outside of the cluster.
    pub fn external_service(&self, namespace: &str, name: &str) -> Tag {
        self.tag(Rank::Service, &format!("ns_{namespace}.exsvc_{name}"))
    }

    /// Of the nodes' addresses within the cluster's network.
    pub fn nodes(&self) -> Tag {
        self.tag(Rank::Place, "nodes")
    }

    /// Of the nodes' addresses outside of it.
    pub fn external_nodes(&self) -> Tag {
        self.tag(Rank::Place, "ex_nodes")
    }

    /// Of the addresses of a pod's further interface.
    pub fn interface(&self, namespace: &str, interface: &str) -> Tag {
        self.tag(Rank::Interface, &format!("ns_{namespace}.if_{interface}"))
    }

    /// Of what has a label.
    pub fn label(&self, namespace: &str, key: &str, value: &str) -> Tag {
        self.tag(Rank::Label, &format!("ns_{namespace}.{key}.{value}"))
    }

    /// Of what a label selector selects.
    pub fn selector(&self, name: &str) -> Tag {
        self.tag(Rank::Selector, name)
    }

    fn tag(&self, rank: Rank, rest: &str) -> Tag {
        (rank, fit(format!("{}.{rest}", self.base)))
    }
}

/// The name itself, or a shorter one that stands for it.
fn fit(name: String) -> String {
    if name.chars().count() <= TAG_CHARS_MAX {
        return name;
    }
    let hash = Sha256::digest(name.as_bytes());
    let cut: String = name.chars().take(TAG_CHARS_MAX - HASH_CHARS - 1).collect();
    let hash: String = hash.iter().take(HASH_CHARS / 2).map(|byte| format!("{byte:02x}")).collect();
    format!("{cut}-{hash}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn names() -> Names {
        Names::of_cluster("aks-cluster").unwrap()
    }

    #[test]
    fn tags_are_named_as_panorama_names_them() {
        let names = names();
        let all = [
            names.namespace("sample-app"),
            names.workload("sample-app", Workload::DaemonSet, "agent"),
            names.workload("sample-app", Workload::ReplicaSet, "web-7d9"),
            names.workload("sample-app", Workload::StatefulSet, "db"),
            names.service("sample-app", "web"),
            names.external_service("sample-app", "web"),
            names.nodes(),
            names.external_nodes(),
            names.interface("sample-app", "net1"),
            names.label("sample-app", "tier", "backend"),
            names.label("sample-app", "app.kubernetes.io/name", "web"),
            names.selector("pci"),
        ];
        assert_eq!(
            all.map(|(_, tag)| tag),
            [
                "k8s.cl_aks-cluster.ns_sample-app",
                "k8s.cl_aks-cluster.ns_sample-app.ds_agent",
                "k8s.cl_aks-cluster.ns_sample-app.rs_web-7d9",
                "k8s.cl_aks-cluster.ns_sample-app.ss_db",
                "k8s.cl_aks-cluster.ns_sample-app.svc_web",
                "k8s.cl_aks-cluster.ns_sample-app.exsvc_web",
                "k8s.cl_aks-cluster.nodes",
                "k8s.cl_aks-cluster.ex_nodes",
                "k8s.cl_aks-cluster.ns_sample-app.if_net1",
                "k8s.cl_aks-cluster.ns_sample-app.tier.backend",
                "k8s.cl_aks-cluster.ns_sample-app.app.kubernetes.io/name.web",
                "k8s.cl_aks-cluster.pci",
            ]
        );
    }

    #[test]
    fn a_cluster_has_a_short_name_without_dots() {
        for wrong in ["", "a.b", "prod west", "a-name-of-21-letters-"] {
            assert!(Names::of_cluster(wrong).is_err(), "{wrong}");
        }
        assert!(Names::of_cluster("a-name-of-20-letters").is_ok());
    }

    proptest! {
        #[test]
        fn every_tag_fits_and_long_ones_stay_apart(
            namespace in "[a-z]([-a-z0-9]{0,61}[a-z0-9])?",
            key in "([a-z.]{1,80}/)?[a-z0-9]([-A-Za-z0-9_.]{0,61}[a-z0-9])?",
            values in prop::collection::btree_set("[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", 1..20),
        ) {
            let names = names();
            let tags: BTreeSet<String> =
                values.iter().map(|value| names.label(&namespace, &key, value).1).collect();
            prop_assert_eq!(tags.len(), values.len(), "two became one");
            for (tag, value) in tags.iter().zip(&values) {
                prop_assert!(tag.chars().count() <= TAG_CHARS_MAX);
                prop_assert!(tag.starts_with("k8s.cl_aks-cluster.ns_"));
                let whole = format!("k8s.cl_aks-cluster.ns_{namespace}.{key}.{value}");
                prop_assert!(whole.len() > TAG_CHARS_MAX || tags.contains(&whole));
            }
        }
    }
}
