//! What is the answer to a question of the API server?

use bartizan_playbook::attributes::PREFIX;
use bartizan_playbook::cluster_policy::ClusterNetworkPolicy;
use bartizan_playbook::policy::NetworkPolicy;
use bartizan_playbook::{Checked, Problem, check, check_cluster};
use serde_json::{Value, json};

use crate::catalogue::Known;
use crate::labels::Labels;

/// Most problems of one answer.
const PROBLEMS_MAX: usize = 50;

/// What is said of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may come, with something to be told.
    Allowed(Vec<String>),
    /// It may not, for these reasons.
    Refused(Vec<String>),
}

impl Verdict {
    pub(crate) fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }
}

/// Judges what a request wants to put in place.
pub(super) fn judge(cluster: &str, known: &Known, request: &Value) -> Verdict {
    let (object, before) = (&request["object"], &request["oldObject"]);
    let is_cluster_policy = request["kind"]["kind"] == "ClusterNetworkPolicy";
    let is_ours = request["kind"]["kind"] == "NetworkPolicy" || is_cluster_policy;
    let goes = object["metadata"]["deletionTimestamp"].is_string();
    let is_same = !before.is_null() && object["spec"] == before["spec"] && attributes(object).eq(attributes(before));
    let has_attributes = attributes(object).next().is_some();
    // What goes, and what is there already, is nobody's gain to refuse.
    if !is_ours || object.is_null() || goes || is_same || !(has_attributes || is_cluster_policy) {
        return Verdict::Allowed(Vec::new());
    }
    let invalid = |error: serde_json::Error| vec![error.to_string()];
    let read = if is_cluster_policy {
        let read = serde_json::from_value::<ClusterNetworkPolicy>(object.clone()).map_err(invalid);
        read.and_then(|policy| check_cluster(&policy).map_err(|problems| told(&problems)))
    } else {
        let read = serde_json::from_value::<NetworkPolicy>(object.clone()).map_err(invalid);
        read.and_then(|policy| check(&policy).map_err(|problems| told(&problems)))
    };
    match read {
        Ok(policy) => named(cluster, known, request, &policy),
        Err(problems) => Verdict::Refused(problems),
    }
}

/// Whether it may name what it names.
fn named(cluster: &str, known: &Known, request: &Value, policy: &Checked) -> Verdict {
    let mut warnings = told(&policy.closed);
    let Some(catalogue) = &known.catalogue else {
        warnings.push(
            "the manager has not said which profiles exist: whether this names some that do is not known".to_owned(),
        );
        return Verdict::Allowed(warnings);
    };
    let none = Labels::new();
    let labels = known.namespaces.get(request["namespace"].as_str().unwrap_or_default()).unwrap_or(&none);
    let problems = catalogue.review(cluster, labels, policy);
    if problems.is_empty() { Verdict::Allowed(warnings) } else { Verdict::Refused(told(&problems)) }
}

/// Labels and annotations with attributes.
fn attributes(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let maps = ["labels", "annotations"].into_iter().filter_map(|map| object["metadata"][map].as_object());
    maps.flatten().map(|(key, value)| (key.as_str(), value)).filter(|(key, _)| key.starts_with(PREFIX))
}

fn told(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|problem| format!("{}: {}", problem.field, problem.what)).collect()
}

/// The AdmissionReview that goes back.
pub(super) fn answer(question: &Value, verdict: &Verdict) -> Value {
    let mut response = json!({ "uid": question["request"]["uid"], "allowed": verdict.is_allowed() });
    match verdict {
        Verdict::Allowed(warnings) if warnings.is_empty() => {}
        Verdict::Allowed(warnings) => response["warnings"] = json!(warnings),
        Verdict::Refused(problems) => {
            let mut lines: Vec<String> = problems.iter().take(PROBLEMS_MAX).cloned().collect();
            if problems.len() > PROBLEMS_MAX {
                lines.push(format!("and {} more", problems.len() - PROBLEMS_MAX));
            }
            let message = if let [line] = &lines[..] { line.clone() } else { format!("\n- {}", lines.join("\n- ")) };
            response["status"] = json!({ "code": 422, "reason": "Invalid", "message": message });
        }
    }
    json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response })
}

#[cfg(test)]
mod tests {
    use bartizan_playbook::Catalogue;

    use super::*;

    fn known() -> Known {
        let catalogue = json!({ "entries": [{ "name": "shop", "namespace-selector": "team=shop",
            "allow": { "profiles": { "spyware": ["strict"], "virus": ["default"] } } }],
            "known": { "profiles": { "spyware": ["strict", "default"], "virus": ["default"] } } });
        let catalogue: Catalogue = serde_json::from_value(catalogue).unwrap();
        let labels: Labels = [("team".to_owned(), "shop".to_owned())].into();
        Known {
            catalogue: Some(catalogue.into()),
            namespaces: std::sync::Arc::new([("shop".to_owned(), labels)].into()),
        }
    }

    fn request(annotations: &Value, spec: &Value) -> Value {
        json!({ "uid": "7", "kind": { "kind": "NetworkPolicy" }, "namespace": "shop", "name": "web", "operation": "CREATE",
            "object": { "metadata": { "name": "web", "namespace": "shop", "annotations": annotations }, "spec": spec } })
    }

    fn refused(request: &Value) -> Vec<String> {
        match judge("lab", &known(), request) {
            Verdict::Refused(problems) => problems,
            Verdict::Allowed(warnings) => panic!("{warnings:?}"),
        }
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let spec = json!({ "podSelector": {} });
        let found = refused(&request(
            &json!({ "np.panw.com/spyware": "strikt", "np.panw.com/antivirus": "none",
            "np.panw.com/vuln-protection": "strict" }),
            &spec,
        ));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().any(|line| line.contains("did you mean `strict`?")), "{found:?}");
        let spec =
            json!({ "podSelector": {}, "ingress": [{ "ports": [{ "port": 0 }, { "port": 80, "endPort": 7 }] }] });
        let found = refused(&request(&json!({ "np.panw.com/spywear": "strict" }), &spec));
        assert_eq!(found.len(), 3, "{found:?}");
        let whole = json!({ "request": { "uid": "7" } });
        let told = answer(&whole, &Verdict::Refused(found));
        let response = &told["response"];
        assert_eq!(
            (&response["uid"], &response["allowed"], &response["status"]["code"]),
            (&json!("7"), &json!(false), &json!(422))
        );
        assert_eq!(response["status"]["message"].as_str().unwrap().lines().count(), 4);
    }

    #[test]
    fn what_is_good_or_nothing_of_ours_comes_in() {
        let spec = json!({ "podSelector": {} });
        let good = request(&json!({ "np.panw.com/spyware": "strict" }), &spec);
        assert_eq!(judge("lab", &known(), &good), Verdict::Allowed(Vec::new()));
        let unknown = judge("lab", &Known::default(), &good);
        assert!(matches!(unknown, Verdict::Allowed(warnings) if warnings.len() == 1));
        let odd = json!({ "podSelector": {}, "newField": 1 });
        assert!(judge("lab", &known(), &request(&json!({}), &odd)).is_allowed(), "the API server's own matter");
        let mut same = request(&json!({ "np.panw.com/spyware": "gone" }), &spec);
        assert!(!judge("lab", &known(), &same).is_allowed());
        same["oldObject"] = same["object"].clone();
        assert!(judge("lab", &known(), &same).is_allowed(), "it was there before");
        same["oldObject"]["spec"]["policyTypes"] = json!(["Egress"]);
        assert!(!judge("lab", &known(), &same).is_allowed());
        same["object"]["metadata"]["deletionTimestamp"] = json!("2026-11-26T20:00:00Z");
        assert!(judge("lab", &known(), &same).is_allowed(), "it goes");
    }

    #[test]
    fn a_policy_of_the_whole_cluster_is_always_looked_at() {
        let mut request = request(&json!({}), &json!({ "tier": "Admin", "priority": 1001, "subject": {} }));
        request["kind"]["kind"] = json!("ClusterNetworkPolicy");
        request["object"]["metadata"].as_object_mut().unwrap().remove("namespace");
        assert!(refused(&request).len() >= 2);
        request["object"]["spec"] = json!({ "tier": "Admin", "priority": 10, "subject": { "namespaces": {} },
            "ingress": [{ "action": "Deny", "from": [{ "namespaces": {} }] }] });
        assert!(judge("lab", &known(), &request).is_allowed());
    }
}
