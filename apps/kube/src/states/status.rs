//! What is written of a policy, and what of it is worth an Event?

use serde_json::{Value, json};

use crate::manager::{Condition, PolicyState, Standing};

/// Most names of rules in a state.
const RULES_MAX: usize = 100;
/// Most firewalls in a state.
const DEVICES_MAX: usize = 100;
/// Most characters of a note (the API server's bound for Events is 1024 bytes).
const NOTE_MAX: usize = 900;
/// Reasons why something is not so, of which nobody has to do anything: it will be, or is not to be.
const CALM: [&str; 3] = ["Pending", "DryRun", "NotTranslated"];

/// An Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// `Normal` or `Warning`.
    pub(super) kind: &'static str,
    /// `Translated`, `Held`, `Enforced` or `Failed`.
    pub(super) reason: &'static str,
    /// For a person.
    pub(super) note: String,
}

/// The status of a policy's state, as a merge patch. There is no empty text in it: an API server (1.20) takes one for null,
/// and refuses.
pub(super) fn of(policy: &PolicyState, standing: &Standing) -> Value {
    let filled = |mut one: Value| {
        if let Some(fields) = one.as_object_mut() {
            fields.retain(|_, value| *value != json!(""));
        }
        one
    };
    let condition = |condition: &Condition| {
        filled(json!({ "type": condition.kind, "status": condition.status, "reason": condition.reason,
            "message": condition.message, "lastTransitionTime": condition.since, "observedGeneration": policy.generation }))
    };
    let device = |device: &crate::manager::Device| {
        filled(json!({ "serial": device.serial, "name": device.name, "digest": device.digest,
            "enforced": device.enforced }))
    };
    json!({
        "observedGeneration": policy.generation,
        "conditions": policy.conditions.iter().map(condition).collect::<Vec<_>>(),
        "rules": policy.rules.iter().take(RULES_MAX).collect::<Vec<_>>(),
        "ruleCount": policy.rules.len(),
        "incident": policy.incident,
        "run": policy.run,
        "devices": standing.devices.iter().take(DEVICES_MAX).map(device).collect::<Vec<_>>(),
        "deviceCount": standing.devices.len(),
    })
}

/// What happened to a policy since that status, if anything of note did: one Event for all of it.
pub(super) fn event(before: Option<&Value>, policy: &PolicyState, standing: &Standing) -> Option<Told> {
    let told = judged(policy, standing)?;
    let was = before.and_then(|before| seen(before, policy, standing));
    (was != Some(told.clone())).then_some(told)
}

/// What was said of a status, by what is written there.
fn seen(before: &Value, policy: &PolicyState, standing: &Standing) -> Option<Told> {
    if before["observedGeneration"] != json!(policy.generation) || before["incident"] != json!(policy.incident) {
        return None;
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let condition = |one: &Value| Condition {
        kind: text(&one["type"]),
        status: text(&one["status"]),
        reason: text(&one["reason"]),
        message: text(&one["message"]),
        since: text(&one["lastTransitionTime"]),
    };
    let conditions = before["conditions"].as_array().into_iter().flatten().map(condition).collect();
    let rules = vec![String::new(); before["ruleCount"].as_u64().and_then(|count| count.try_into().ok()).unwrap_or(0)];
    judged(&PolicyState { conditions, rules, ..policy.clone() }, standing)
}

/// The one thing that matters most of it.
fn judged(policy: &PolicyState, standing: &Standing) -> Option<Told> {
    let of = |kind: &str| policy.conditions.iter().find(|condition| condition.kind == kind);
    let incident = policy.incident.as_ref().map(|incident| format!(" (incident {incident})")).unwrap_or_default();
    let told = |kind, reason, note: String| {
        Some(Told { kind, reason, note: note.chars().take(NOTE_MAX).collect::<String>() + &incident })
    };
    let failed = policy.conditions.iter().find(|condition| {
        condition.status == "False" && condition.reason != "Held" && !CALM.contains(&condition.reason.as_str())
    });
    if let Some(failed) = failed {
        let note = format!("{}: {}: {}", failed.kind, failed.reason, failed.message);
        return told("Warning", "Failed", note);
    }
    let committed = of("Committed");
    if let Some(held) = committed.filter(|committed| committed.reason == "Held") {
        return told("Normal", "Held", held.message.clone());
    }
    let rules = policy.rules.len();
    if of("Enforced").is_some_and(|enforced| enforced.status == "True") {
        return told("Normal", "Enforced", format!("{rules} rules on {} firewalls", standing.devices.len()));
    }
    // It is on its way: what is next will be said.
    let is_on_its_way = committed.is_some_and(|committed| committed.status == "True" || committed.reason == "Pending");
    let translated = of("Translated").filter(|translated| translated.status == "True" && !is_on_its_way)?;
    told("Normal", "Translated", format!("{rules} rules: {}", translated.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(conditions: &[(&str, &str, &str)]) -> PolicyState {
        let condition = |(kind, status, reason): &(&str, &str, &str)| Condition {
            kind: (*kind).to_owned(),
            status: (*status).to_owned(),
            reason: (*reason).to_owned(),
            message: "why".to_owned(),
            since: "2026-11-26T20:00:00Z".to_owned(),
        };
        PolicyState {
            kind: "NetworkPolicy".to_owned(),
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            uid: "u".to_owned(),
            generation: 1,
            conditions: conditions.iter().map(condition).collect(),
            rules: vec!["np.c.shop.web.i0.0".to_owned()],
            incident: Some("7".to_owned()),
            run: None,
        }
    }

    fn enforced() -> PolicyState {
        policy(&[
            ("Translated", "True", "Translated"),
            ("Committed", "True", "Committed"),
            ("Enforced", "True", "Enforced"),
        ])
    }

    #[test]
    fn one_event_says_what_matters_most() {
        let standing = Standing::default();
        let told = |policy: &PolicyState| event(None, policy, &standing).map(|told| (told.reason, told.note));
        let held = policy(&[
            ("Translated", "True", "Translated"),
            ("Committed", "False", "Held"),
            ("Enforced", "Unknown", "Pending"),
        ]);
        assert_eq!(told(&held), Some(("Held", "why (incident 7)".to_owned())));
        assert_eq!(told(&enforced()), Some(("Enforced", "1 rules on 0 firewalls (incident 7)".to_owned())));
        let dry = policy(&[
            ("Translated", "True", "DryRun"),
            ("Committed", "False", "DryRun"),
            ("Enforced", "False", "DryRun"),
        ]);
        assert_eq!(told(&dry), Some(("Translated", "1 rules: why (incident 7)".to_owned())));
        let failed = policy(&[("Translated", "False", "NotAllowed"), ("Committed", "False", "NotTranslated")]);
        assert_eq!(told(&failed), Some(("Failed", "Translated: NotAllowed: why (incident 7)".to_owned())));
        let pending = policy(&[("Translated", "True", "Translated"), ("Committed", "Unknown", "Pending")]);
        assert_eq!(told(&pending), None, "what is next will be said");
    }

    #[test]
    fn what_was_said_is_not_said_again_unless_something_changed() {
        let standing = Standing::default();
        let written = of(&enforced(), &standing);
        assert_eq!(event(Some(&written), &enforced(), &standing), None);
        let mut again = enforced();
        again.generation = 2;
        assert!(event(Some(&written), &again, &standing).is_some());
        let lost = policy(&[
            ("Translated", "True", "Translated"),
            ("Committed", "True", "Committed"),
            ("Enforced", "False", "DeviceOffline"),
        ]);
        assert_eq!(event(Some(&written), &lost, &standing).map(|told| told.kind), Some("Warning"));
    }

    #[test]
    fn a_state_is_bounded() {
        let mut many = enforced();
        many.rules = (0..1000).map(|at| format!("r{at}")).collect();
        let written = of(&many, &Standing::default());
        assert_eq!((written["rules"].as_array().map(Vec::len), &written["ruleCount"]), (Some(RULES_MAX), &json!(1000)));
        many.conditions.first_mut().unwrap().status = "False".to_owned();
        many.conditions.first_mut().unwrap().message = "x".repeat(5000);
        assert!(event(None, &many, &Standing::default()).unwrap().note.len() <= 1024);
    }
}
