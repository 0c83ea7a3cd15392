//! Does a pod ask to be inspected, by its annotations, its namespace's and the plugin's configuration?

use serde_json::Value;

/// The annotation that asks for it.
pub(super) const ANNOTATION: &str = "paloaltonetworks.com/firewall";
/// Another that asks for it, by naming which ranges.
const SUBNETS: &str = "paloaltonetworks.com/subnetfirewall";
/// Where the plugin's configuration is.
pub(super) const CONFIG_MAP: &str = "pan-cni-config";

/// What of the plugin's configuration decides about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// All pods but those that say `none`.
    pub(super) all: bool,
    /// Values of the annotation that are accepted.
    pub(super) accepted: Vec<String>,
    /// Namespaces that never are.
    pub(super) excluded: Vec<String>,
    /// The cluster's id; 0 when it is not known.
    pub(super) cluster_id: u16,
}

/// What a pod asks for, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To be inspected.
    Yes(String),
    /// Not to be.
    No(String),
    /// Something that the plugin does not understand.
    Mistaken(String),
}

impl Scope {
    /// Of the ConfigMap; nothing when there is none.
    pub(super) fn read(map: Option<&Value>) -> Option<Self> {
        let text = map?["data"]["cni_network_config"].as_str()?;
        let config: Value = serde_json::from_str(text).ok()?;
        let texts = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let id = &config["traffic_object_id"];
        let id = id.as_str().map_or_else(|| id.as_u64(), |text| text.parse().ok());
        Some(Self {
            all: config["inspect"] == "all",
            accepted: texts(&config["firewall"]),
            excluded: ["exclude_namespaces", "security_namespaces"]
                .into_iter()
                .flat_map(|name| texts(&config["kubernetes"][name]))
                .collect(),
            cluster_id: id.and_then(|id| u16::try_from(id).ok()).unwrap_or_default(),
        })
    }

    /// What a pod asks for.
    pub(super) fn of(&self, pod: &Value, namespace: Option<&Value>) -> Asked {
        let place = pod["metadata"]["namespace"].as_str().unwrap_or_default();
        if pod["spec"]["hostNetwork"] == true {
            return Asked::No("it is in its node's network".to_owned());
        }
        if self.excluded.iter().any(|one| one == place) {
            return Asked::No(format!("the namespace `{place}` is excluded by the chart, or its own"));
        }
        let first = |name: &str| {
            let of_place = namespace.map(|namespace| &namespace["metadata"]["annotations"][name]);
            let own = pod["metadata"]["annotations"][name].as_str().map(|value| (value.trim(), "pod"));
            own.or(of_place.and_then(Value::as_str).map(|value| (value.trim(), "namespace")))
        };
        match first(ANNOTATION) {
            Some(("none", whose)) => Asked::No(format!("`{ANNOTATION}: none` on the {whose}")),
            Some((value, whose)) if self.accepts(value) => {
                Asked::Yes(format!("`{ANNOTATION}: {value}` on the {whose}"))
            }
            Some((value, whose)) => Asked::Mistaken(format!("`{ANNOTATION}: {value}` on the {whose} is not accepted")),
            None if first(SUBNETS).is_some() => Asked::Yes(format!("`{SUBNETS}` on it or its namespace")),
            None if self.all => Asked::Yes("the chart inspects all pods".to_owned()),
            None => Asked::No(format!("no `{ANNOTATION}: pan-fw` on the pod or its namespace")),
        }
    }

    fn accepts(&self, value: &str) -> bool {
        if self.accepted.is_empty() {
            value.starts_with("pan-fw")
        } else {
            self.accepted.iter().any(|one| one == value)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(inspect: &str, pod: Value, namespace: Value) -> Asked {
        let config = json!({ "inspect": inspect, "firewall": ["pan-fw"], "traffic_object_id": "7",
            "kubernetes": { "exclude_namespaces": ["vault"], "security_namespaces": ["kube-system"] } });
        let map = json!({ "data": { "cni_network_config": config.to_string() } });
        let scope = Scope::read(Some(&map)).unwrap();
        assert_eq!(scope.cluster_id, 7);
        scope.of(&pod, Some(&namespace))
    }

    #[test]
    fn the_pods_annotation_beats_the_namespaces_and_that_beats_the_chart() {
        let pod = |value: &str| json!({ "metadata": { "namespace": "shop", "annotations": { ANNOTATION: value } } });
        let (plain, excluded) =
            (json!({ "metadata": { "namespace": "shop" } }), json!({ "metadata": { "namespace": "vault" } }));
        let host = json!({ "metadata": { "namespace": "shop" }, "spec": { "hostNetwork": true } });
        let place = json!({ "metadata": { "annotations": { ANNOTATION: "pan-fw" } } });
        assert!(matches!(asked("annotated", plain.clone(), place.clone()), Asked::Yes(by) if by.contains("namespace")));
        assert!(matches!(asked("annotated", pod("none"), place.clone()), Asked::No(_)));
        assert!(matches!(asked("annotated", pod("pan-fw"), json!({})), Asked::Yes(by) if by.contains("pod")));
        assert!(matches!(asked("annotated", pod("panfw"), place.clone()), Asked::Mistaken(_)));
        assert!(matches!(asked("annotated", plain.clone(), json!({})), Asked::No(_)));
        let ranges = json!({ "metadata": { "annotations": { SUBNETS: "shop/ranges" } } });
        assert!(matches!(asked("annotated", plain.clone(), ranges), Asked::Yes(_)));
        let own = json!({ "metadata": { "namespace": "kube-system", "annotations": { ANNOTATION: "pan-fw" } } });
        assert!(matches!(asked("annotated", own, json!({})), Asked::No(_)));
        assert!(matches!(asked("all", plain, json!({})), Asked::Yes(_)));
        assert!(matches!(asked("all", excluded, json!({})), Asked::No(_)));
        assert!(matches!(asked("all", host, place), Asked::No(why) if why.contains("node's network")));
    }
}
