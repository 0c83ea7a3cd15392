//! Where are the firewalls, by the cluster's endpoint slices?

use serde_json::Value;

/// The service that stands for the firewalls.
pub(super) const SERVICE: &str = "pan-ngfw-svc";

/// A firewall's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) address: String,
    pub(super) zone: String,
    pub(super) ready: bool,
    /// The slice says nothing of readiness, which some data planes take for "not ready".
    pub(super) silent: bool,
}

/// The endpoints of slices, of either version of the API.
pub(super) fn endpoints(slices: &[Value]) -> Vec<Endpoint> {
    let ours = slices.iter().filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == SERVICE);
    let each = ours.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
    each.flat_map(|endpoint| {
        let conditions = &endpoint["conditions"];
        let zone = endpoint["zone"].as_str().or_else(|| endpoint["topology"]["topology.kubernetes.io/zone"].as_str());
        let addresses = endpoint["addresses"].as_array().into_iter().flatten().filter_map(Value::as_str);
        addresses.map(move |address| Endpoint {
            address: address.to_owned(),
            zone: zone.unwrap_or_default().to_owned(),
            ready: conditions["ready"] != false,
            silent: conditions["ready"].is_null(),
        })
    })
    .collect()
}

/// A node's zone; empty when it has none.
pub(super) fn zone(node: &Value) -> &str {
    let labels = &node["metadata"]["labels"];
    let old = "failure-domain.beta.kubernetes.io/zone";
    labels["topology.kubernetes.io/zone"].as_str().or_else(|| labels[old].as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_versions_are_read_and_a_silent_slice_is_told_apart() {
        let labels = json!({ "kubernetes.io/service-name": "pan-ngfw-svc" });
        let slices = [
            json!({ "metadata": { "labels": labels }, "endpoints": [
                { "addresses": ["10.0.0.1"], "conditions": { "ready": true }, "zone": "a" },
                { "addresses": ["10.0.0.2"], "conditions": {}, "topology": { "topology.kubernetes.io/zone": "b" } },
                { "addresses": ["10.0.0.3"], "conditions": { "ready": false } }] }),
            json!({ "metadata": { "labels": { "kubernetes.io/service-name": "web" } },
                "endpoints": [{ "addresses": ["10.9.9.9"] }] }),
        ];
        let found = endpoints(&slices);
        let seen: Vec<_> = found.iter().map(|one| (&*one.address, &*one.zone, one.ready, one.silent)).collect();
        assert_eq!(
            seen,
            [("10.0.0.1", "a", true, false), ("10.0.0.2", "b", true, true), ("10.0.0.3", "", false, false)]
        );
    }
}
