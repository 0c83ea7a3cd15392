//! Which rules do the policies of a cluster become, and what is wrong with those that become none?
//!
//! A policy with a fault does not stop the others. Its last form without one stays in force, if that still has none;
//! otherwise the policy is left out whole, so that there is never a part of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bartizan_model::xml;
use bartizan_playbook::{self as playbook, Catalogue, Checked, Group, Objects, Plan};
use serde_json::Value;

use super::settings::Settings;
use super::told::{CLUSTER_NETWORK_POLICY, Fault, Key, Manifest, NETWORK_POLICY, Told};
use crate::store::hex_digest;

/// Reason of a policy without a fault.
pub(crate) const TRANSLATED: &str = "Translated";
/// Reason of a policy that is only to be looked at.
pub(crate) const DRY_RUN: &str = "DryRun";

/// What became of a policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    /// It has no fault.
    pub(crate) is_good: bool,
    /// Reason of its condition.
    pub(crate) reason: String,
    /// Why, for people.
    pub(crate) message: String,
    /// Its form of before is what the rules are of.
    pub(crate) is_kept: bool,
    /// Names of its rules.
    pub(crate) rules: Vec<String>,
    /// SHA-256, hex, of their text.
    pub(crate) trace: String,
}

/// What became of all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Translated {
    /// What the device group is to have.
    pub(crate) objects: Arc<Objects>,
    /// SHA-256, hex, of that.
    pub(crate) digest: String,
    /// The groups that its rules speak of, by the tag of their members.
    pub(crate) groups: BTreeMap<String, Group>,
    /// By policy.
    pub(crate) verdicts: BTreeMap<Key, Verdict>,
    /// Why there are no rules at all, if there are none because of that.
    pub(crate) too_many: Option<String>,
    /// Ports of services that became no service object, because there are too many.
    pub(crate) services_left_out: usize,
}

/// SHA-256, hex, of objects whose rules are written so.
fn digest(objects: &Objects, rules: &[String]) -> String {
    let entries = objects.tags.values().chain(objects.addresses.values());
    let entries = entries.chain(objects.groups.values()).chain(objects.services.values());
    let mut text: String = entries.map(xml::write).collect();
    rules.iter().for_each(|rule| text.push_str(rule));
    hex_digest(text.as_bytes())
}

/// Translates everything; `before` has the last forms without a fault.
pub(crate) fn translate(
    cluster: &str,
    told: &Told,
    settings: Option<&Settings>,
    catalogue: &Catalogue,
    before: &BTreeMap<Key, Arc<Value>>,
) -> Translated {
    let mut verdicts = BTreeMap::new();
    let none = BTreeMap::new();
    let reviewed = |written: &Manifest| {
        let labels = told.namespaces.get(&written.key.namespace).unwrap_or(&none);
        review(cluster, labels, catalogue, written)
    };
    // A fault is judged by what the cluster allows now, also of the form of before.
    let outcomes: Vec<(&Arc<Manifest>, Result<(), Fault>)> =
        told.written().map(|written| (written, reviewed(written))).collect();
    let kept = |(written, outcome): &(&Arc<Manifest>, Result<(), Fault>)| {
        let old = before.get(&written.key).filter(|_| outcome.is_err())?;
        let old = Manifest::new(&written.key.kind, Arc::clone(old));
        reviewed(&old).is_ok().then_some(old)
    };
    let kept: Vec<Option<Manifest>> = outcomes.iter().map(kept).collect();
    let mut policies: Vec<&Checked> = Vec::new();
    for ((written, outcome), kept) in outcomes.into_iter().zip(&kept) {
        let checked = if outcome.is_ok() { Some(&**written) } else { kept.as_ref() };
        policies.extend(checked.and_then(|manifest| manifest.checked().ok()));
        let verdict = match outcome {
            Ok(()) => {
                let Ok(policy) = written.checked() else { continue };
                let reason = if policy.attributes.dry_run { DRY_RUN } else { TRANSLATED };
                // What is closed of it is nothing that stops it.
                let closed: Vec<String> =
                    policy.closed.iter().map(|problem| format!("{}: {}", problem.field, problem.what)).collect();
                let (reason, message) = (reason.to_owned(), closed.join("; "));
                Verdict { is_good: true, reason, message, ..Verdict::default() }
            }
            Err(Fault { reason, mut message }) => {
                message.push_str(if kept.is_some() {
                    "; what was enforced before stays in force"
                } else {
                    "; it is left out whole"
                });
                Verdict { reason, message, is_kept: kept.is_some(), ..Verdict::default() }
            }
        };
        verdicts.insert(written.key.clone(), verdict);
    }
    // Without any policy nothing is left of what was made of them.
    let is_empty = verdicts.is_empty();
    let own = playbook::Settings {
        cluster: cluster.to_owned(),
        zones: settings.map(|settings| settings.zones.clone()).unwrap_or_default(),
        allow_the_rest: !is_empty && settings.is_none_or(|settings| settings.allow_the_rest),
        rules_max: settings.map_or(super::settings::RULES_MAX, |settings| settings.rules_max),
    };
    let plan = match playbook::translate(&own, &policies, &told.snapshot()) {
        Ok(plan) => plan,
        Err(too_many) => {
            let told = too_many.to_string();
            for verdict in verdicts.values_mut().filter(|verdict| verdict.is_good) {
                *verdict = Verdict { reason: "TooMany".to_owned(), message: told.clone(), ..Verdict::default() };
            }
            return Translated { verdicts, too_many: Some(told), ..Translated::default() };
        }
    };
    let mut objects = plan.render();
    let settings_in_use = settings.filter(|_| !is_empty);
    let waiting = settings_in_use.map_or(0, |settings| plan.refuse_unknown(&mut objects, &settings.pods));
    let mut left_out = 0;
    if settings.is_some_and(|settings| settings.service_objects) {
        left_out = super::services::add(&mut objects, cluster, told);
    }
    if is_empty && objects.services.is_empty() {
        objects.tags.clear();
    }
    let rules: Vec<String> = objects.rules.iter().map(|(_, rule)| xml::write(rule)).collect();
    attribute(&plan, (&objects, waiting), &rules, &mut verdicts);
    let groups = plan.groups().into_iter().filter(|_| !is_empty).map(|(tag, group)| (tag, group.clone())).collect();
    Translated {
        digest: digest(&objects, &rules),
        objects: objects.into(),
        groups,
        verdicts,
        too_many: None,
        services_left_out: left_out,
    }
}

/// Whether a policy has no fault, and names what it may.
fn review(
    cluster: &str,
    labels: &BTreeMap<String, String>,
    catalogue: &Catalogue,
    written: &Manifest,
) -> Result<(), Fault> {
    let checked = written.checked().map_err(Clone::clone)?;
    let problems = catalogue.review(cluster, labels, checked);
    if problems.is_empty() { Ok(()) } else { Err(Fault::of(&problems)) }
}

/// Tells each policy which rules are of it. Those that refuse what nobody allows are of all, and not told; those that make
/// unknown pods wait, so many, stand before the plan's.
fn attribute(
    plan: &Plan,
    (objects, waiting): (&Objects, usize),
    written: &[String],
    verdicts: &mut BTreeMap<Key, Verdict>,
) {
    let mut texts: BTreeMap<Key, String> = BTreeMap::new();
    let rules = objects.rules.iter().zip(written).skip(waiting);
    for (rule, ((name, _), text)) in plan.rules.iter().zip(rules) {
        for key in origins(&rule.description) {
            if let Some(verdict) = verdicts.get_mut(&key) {
                verdict.rules.push(name.clone());
                texts.entry(key).or_default().push_str(text);
            }
        }
    }
    for (key, text) in texts {
        if let Some(verdict) = verdicts.get_mut(&key) {
            verdict.trace = hex_digest(text.as_bytes());
        }
    }
}

/// The policies that a rule's description names: `NetworkPolicy shop/web UID spec.ingress[0] and NetworkPolicy …`.
fn origins(description: &str) -> Vec<Key> {
    let mut found: Vec<Key> = Vec::new();
    for part in description.split(" and ") {
        let mut words = part.split(' ');
        let (Some(kind), Some(name)) = (words.next(), words.next()) else { continue };
        let (namespace, name) = match kind {
            NETWORK_POLICY => name.split_once('/').unwrap_or_default(),
            CLUSTER_NETWORK_POLICY => ("", name),
            _ => continue,
        };
        let key = Key { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() };
        if !found.contains(&key) {
            found.push(key);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(name: &str, spec: Value, annotations: Value) -> Value {
        json!({"metadata": {"name": name, "namespace": "shop", "uid": name, "generation": 1, "annotations": annotations},
            "spec": spec})
    }

    fn told(policies: Vec<Value>) -> Told {
        serde_json::from_value(
            json!({"namespaces": {"shop": {"kubernetes.io/metadata.name": "shop"}}, "policies": policies}),
        )
        .unwrap()
    }

    fn run(told: &Told, before: &BTreeMap<Key, Arc<Value>>) -> Translated {
        translate("c1", told, None, &Catalogue { entries: Vec::new(), known: Some(known()) }, before)
    }

    fn known() -> bartizan_playbook::catalogue::Names {
        let profiles = BTreeMap::from([("spyware".to_owned(), ["strict".to_owned()].into())]);
        bartizan_playbook::catalogue::Names { profiles, ..Default::default() }
    }

    fn key(name: &str) -> Key {
        Key { kind: NETWORK_POLICY.to_owned(), namespace: "shop".to_owned(), name: name.to_owned() }
    }

    #[test]
    fn each_policy_knows_its_rules_and_one_with_a_fault_stops_no_other() {
        let good = policy("good", json!({"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]}), json!({}));
        let bad = policy("bad", json!({"podSelector": {}, "ingres": []}), json!({}));
        let odd = policy("odd", json!({"podSelector": {}, "ingress": [{}]}), json!({"np.panw.com/spyware": "stric"}));
        let dry = policy("dry", json!({"podSelector": {}, "ingress": [{}]}), json!({"np.panw.com/dry-run": "true"}));
        let whole = told(vec![good.clone(), bad, odd, dry]);
        let translated = run(&whole, &BTreeMap::new());
        let verdict = |name: &str| translated.verdicts[&key(name)].clone();
        assert!(verdict("good").is_good && verdict("good").rules.len() == 1 && !verdict("good").trace.is_empty());
        assert!(verdict("good").rules[0].starts_with("np.c1.shop.good.i0."), "{:?}", verdict("good"));
        assert!(
            verdict("bad").reason == "Invalid" && verdict("bad").message.contains("ingres"),
            "{:?}",
            verdict("bad")
        );
        assert!(verdict("bad").message.ends_with("it is left out whole"));
        assert_eq!(verdict("odd").reason, "ObjectNotFound");
        assert!(verdict("odd").message.contains("did you mean `strict`?"), "{:?}", verdict("odd"));
        assert!(verdict("dry").is_good && verdict("dry").reason == DRY_RUN && verdict("dry").rules.is_empty());

        // What was good before stays.
        let before = policy("bad", json!({"podSelector": {}, "ingress": [{}]}), json!({}));
        let before = BTreeMap::from([(key("bad"), Arc::new(before))]);
        let kept = run(&whole, &before);
        let bad = &kept.verdicts[&key("bad")];
        assert!(bad.is_kept && bad.rules.len() == 1 && bad.message.ends_with("stays in force"), "{bad:?}");
        assert_ne!(kept.digest, translated.digest);
        assert_eq!(run(&whole, &BTreeMap::new()).digest, translated.digest);
    }

    #[test]
    fn a_policy_of_the_whole_cluster_has_rules_and_tells_what_it_closes() {
        let spec = json!({"tier": "Admin", "priority": 1, "subject": {"namespaces": {}},
            "ingress": [{"action": "Deny", "from": [{"namespaces": {}}]}, {"action": "Accept", "from": [{"later": 1}]}]});
        let mut guard = json!({"metadata": {"name": "guard", "uid": "u"}, "spec": spec});
        let whole = |guard: &Value| -> Told {
            serde_json::from_value(json!({"namespaces": {"shop": {}}, "cluster_policies": [guard]})).unwrap()
        };
        let key = Key { kind: CLUSTER_NETWORK_POLICY.to_owned(), namespace: String::new(), name: "guard".to_owned() };
        let verdict = &run(&whole(&guard), &BTreeMap::new()).verdicts[&key];
        assert!(verdict.is_good && verdict.rules.len() == 1, "{verdict:?}");
        assert!(verdict.message.starts_with("spec.ingress[1].from[0].later: is not known"), "{verdict:?}");
        guard["spec"]["tear"] = json!(1);
        let verdict = &run(&whole(&guard), &BTreeMap::new()).verdicts[&key];
        assert!(!verdict.is_good && verdict.message.contains("unknown field `tear`"), "{verdict:?}");
    }

    fn settings(of: &str) -> Option<Settings> {
        let xml = format!(
            "<config><devices><entry name='localhost.localdomain'><device-group><entry name='dg'/></device-group><plugins>\
             <kubernetes><policy-automation><entry name='c1'><device-group>dg</device-group>{of}</entry></policy-automation>\
             </kubernetes></plugins></entry></devices></config>"
        );
        super::super::settings::Read::of(&xml::parse(&xml).unwrap()).clusters.remove("c1")
    }

    #[test]
    fn rules_that_make_unknown_pods_wait_are_of_no_policy() {
        let spec = json!({"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]});
        let whole = told(vec![policy("web", spec, json!({}))]);
        let settings = settings("<pod-cidr><member>10.244.0.0/16</member></pod-cidr>");
        let translated = translate("c1", &whole, settings.as_ref(), &Catalogue::default(), &BTreeMap::new());
        assert!(translated.objects.rules[0].0.starts_with("np.c1.unknown-out"), "{:?}", translated.objects.rules);
        let rules = &translated.verdicts[&key("web")].rules;
        assert!(rules.len() == 1 && rules[0].starts_with("np.c1.shop.web.i0."), "{rules:?}");
    }

    #[test]
    fn too_many_rules_are_none() {
        let spec = json!({"podSelector": {}, "ingress": [{}, {"ports": [{"port": 1}]}, {"ports": [{"port": 2}]}]});
        let whole = told(vec![policy("p", spec, json!({}))]);
        let settings = settings("<rules-max>2</rules-max>");
        let translated = translate("c1", &whole, settings.as_ref(), &Catalogue::default(), &BTreeMap::new());
        assert!(translated.too_many.is_some() && translated.objects.rules.is_empty());
        assert_eq!(translated.verdicts[&key("p")].reason, "TooMany");
    }
}
