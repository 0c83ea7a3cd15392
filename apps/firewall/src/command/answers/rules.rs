//! How often did rules decide? `show rule-hit-count` and `clear rule-hit-count`.

use bartizan_engine::hits::{Hit, RuleBase};
use bartizan_engine::verdict::Time;
use bartizan_model::device::DeviceConfig;
use bartizan_policy::names::Names;

use super::on_all;
use crate::command::Command;
use crate::command::answer::{Answer, RuleHit, RuleHits};
use crate::firewall::{Firewall, Running};

/// The one virtual system there is.
const VSYS: &str = "vsys1";

/// Rules that end every security rule base.
const DEFAULT_RULES: [&str; 2] = ["intrazone-default", "interzone-default"];

pub(super) async fn hits(command: &Command, firewall: &Firewall) -> Result<Answer, String> {
    let running = firewall.running().ok_or("no configuration is enforced yet")?;
    let (base, rules) = chosen(command, &running)?;
    let ids: Vec<usize> = rules.iter().map(|(_, id)| *id).collect();
    let found =
        on_all(firewall, move |inside| ids.iter().map(|id| inside.engine.hits().of(base, *id)).collect::<Vec<Hit>>());
    let mut sums = vec![Hit::default(); rules.len()];
    for worker in found.await? {
        sums.iter_mut().zip(&worker).for_each(|(sum, hit)| sum.add(hit));
    }
    let seconds = |time: Option<Time>| time.map(|time| firewall.clock().wall(time).as_second());
    let rules = rules.into_iter().zip(sums).map(|((name, _), hit)| RuleHit {
        name,
        count: hit.count,
        first_s: seconds(hit.first),
        last_s: seconds(hit.last),
        reset_s: seconds(hit.reset),
    });
    Ok(Answer::RuleHits(RuleHits { vsys: VSYS, rule_base: base_name(base), rules: rules.collect() }))
}

pub(super) async fn clear(command: &Command, firewall: &Firewall) -> Result<Answer, String> {
    let running = firewall.running().ok_or("no configuration is enforced yet")?;
    let (base, rules) = chosen(command, &running)?;
    let ids: Vec<usize> = rules.iter().map(|(_, id)| *id).collect();
    on_all(firewall, move |inside| inside.engine.clear_hits(base, |id| ids.contains(&id), inside.now)).await?;
    Ok(Answer::RuleHitsCleared(rules.len()))
}

fn base_name(base: RuleBase) -> &'static str {
    match base {
        RuleBase::Security => "security",
        RuleBase::Nat => "nat",
    }
}

/// The rules that are meant, with their ids, in the order of evaluation.
fn chosen(command: &Command, running: &Running) -> Result<(RuleBase, Vec<(String, usize)>), String> {
    if let Some(vsys) = command.value("vsys-name").filter(|vsys| *vsys != VSYS) {
        return Err(format!("there is no virtual system `{vsys}`; known: `{VSYS}`"));
    }
    let ids = running.compiled.ids();
    let (base, names) = match command.value("rule-base") {
        Some("security") => (RuleBase::Security, &ids.rules),
        Some("nat") => (RuleBase::Nat, &ids.nat_rules),
        other => {
            let other = other.unwrap_or_default();
            return Err(format!("rules of `{other}` are not counted; rule bases that are: `security`, `nat`"));
        }
    };
    let mut rules = in_order(&running.config, base, names);
    if let Some(unknown) = command.list.iter().find(|name| !rules.iter().any(|(known, _)| known == *name)) {
        return Err(format!("the {} rule base has no rule `{unknown}`", base_name(base)));
    }
    if !command.list.is_empty() {
        rules.retain(|(name, _)| command.list.contains(name));
    }
    Ok((base, rules))
}

fn in_order(config: &DeviceConfig, base: RuleBase, names: &Names) -> Vec<(String, usize)> {
    let written: Vec<&str> = match base {
        RuleBase::Security => {
            let rules = config.security_rules.iter().map(|rule| rule.name.as_str());
            rules.chain(DEFAULT_RULES).collect()
        }
        RuleBase::Nat => config.nat_rules.iter().map(|rule| rule.name.as_str()).collect(),
    };
    written.into_iter().filter_map(|name| Some((name.to_owned(), names.position(name)?))).collect()
}
