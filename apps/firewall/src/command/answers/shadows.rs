//! Which rules are shadowed, and which flow reaches a rule?

use bartizan_policy::decide::ZoneFlow;
use bartizan_policy::shadow::{self, Reach};
use bartizan_policy::tables::{Compiled, RuleId};

use crate::command::Command;
use crate::command::answer::{Answer, Shadowed, Shadows};

/// Answers `show shadow-warning`, for all rules or for one.
pub(super) fn shadows(command: &Command, tables: &Compiled) -> Result<Answer, String> {
    let named = |rule: RuleId, by: &[RuleId]| Shadowed {
        rule: tables.rule_name(rule).to_owned(),
        by: by.iter().map(|rule| tables.rule_name(*rule).to_owned()).collect(),
    };
    let Some(name) = command.value("rule") else {
        let found = shadow::shadows(tables);
        let shadowed = found.shadowed.iter().map(|(rule, by)| named(*rule, by)).collect();
        return Ok(Answer::Shadows(Shadows { shadowed, undecided: found.undecided, reached_by: None }));
    };
    let id = tables.ids().rules.position(name).map(|at| RuleId(at as u32));
    let found = id.and_then(|id| Some((id, shadow::reach(tables, id)?)));
    let (id, reach) = found.ok_or_else(|| format!("there is no security rule `{name}`"))?;
    Ok(Answer::Shadows(match reach {
        Reach::Flow(flow) => Shadows { reached_by: Some(text(tables, &flow)), ..Shadows::default() },
        Reach::Shadowed(by) => Shadows { shadowed: vec![named(id, &by)], ..Shadows::default() },
        Reach::Undecided => Shadows { undecided: 1, ..Shadows::default() },
    }))
}

fn text(tables: &Compiled, flow: &ZoneFlow) -> String {
    let zone = |zone| tables.zone_name(zone);
    let ports = match flow.protocol {
        6 | 17 | 132 => format!(" source-port {} destination-port {}", flow.source_port, flow.destination_port),
        _ => String::new(),
    };
    format!(
        "from {} to {} source {} destination {} protocol {}{ports}",
        zone(flow.from),
        zone(flow.to),
        flow.source,
        flow.destination,
        flow.protocol
    )
}
