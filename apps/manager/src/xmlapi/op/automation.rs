//! `show automation` and `request automation …`: runs of playbooks and incidents. All are extensions; the JSON API has more.

use std::sync::Arc;

use bartizan_model::tree::Element;

use super::super::element::{Build as _, element, entry};
use super::super::reply::{Reply, code};
use crate::accounts::Caller;
use crate::app::App;
use crate::automation::orders::{self, Remark, Start};
use crate::refusal::Refusal;
use crate::times;

/// Runs and incidents that are shown.
const SHOWN: i64 = 100;

/// `show automation [cluster C]`: the newest runs, and the incidents that are not closed.
pub(super) async fn show(app: &App, command: &Element) -> Reply {
    let cluster = super::argument(command.descend(&["automation", "cluster"])).unwrap_or_default();
    let runs = app.store.runs((&cluster, ""), i64::MAX, SHOWN).await;
    let incidents = app.store.incidents((&cluster, ""), i64::MAX, SHOWN).await;
    let (runs, incidents) = match (runs, incidents) {
        (Ok(runs), Ok(incidents)) => (runs, incidents),
        (Err(error), _) | (_, Err(error)) => return Reply::internal(&error),
    };
    let runs = runs.iter().map(|run| {
        entry(&run.id.to_string())
            .leaf("cluster", &run.cluster)
            .leaf("playbook", &run.playbook)
            .leaf("state", &run.state)
            .leaf("task", &run.task)
            .leaf("requester", &run.requester)
            .leaf("time", &times::date_time(run.started_us))
            .leaf("error", &run.error)
    });
    let open = incidents.iter().filter(|incident| incident.status != "closed").map(|incident| {
        entry(&incident.id.to_string())
            .leaf("cluster", &incident.cluster)
            .leaf("type", &incident.r#type)
            .leaf("severity", &incident.severity)
            .leaf("status", &incident.status)
            .leaf("owner", &incident.owner)
            .leaf("subject", &incident.subject)
            .leaf("message", &incident.message)
            .leaf("run", &incident.run.to_string())
    });
    let result = element("result").with(element("runs").with_all(runs));
    Reply::result(result.with(element("incidents").with_all(open)))
}

fn number(text: &str, what: &str) -> Result<i64, Refusal> {
    text.parse().map_err(|_| Refusal::new(code::NOT_PRESENT, [format!("{what} {text} not found")]))
}

/// `request automation run playbook P [cluster C] | rerun ID`, `approve id N [reject yes] [comment C]`,
/// `comment id N text T`, `playbook name N`
pub(super) async fn request(app: &Arc<App>, caller: &Caller, command: &Element, verb: &str) -> Reply {
    let named = |tag: &str| super::argument(command.descend(&["automation", verb, tag]));
    let text = |tag: &str| named(tag).unwrap_or_default();
    let done = match verb {
        "run" => match named("rerun") {
            Some(id) => match number(&id, "run") {
                Ok(number) => orders::rerun(app, caller, number, named("task").as_deref())
                    .await
                    .map(|()| format!("run {id} goes on")),
                Err(refusal) => Err(refusal),
            },
            None => {
                let start = Start { playbook: text("playbook"), cluster: text("cluster"), ..Start::default() };
                orders::start(app, caller, start).await.map(|run| format!("run {run} is made"))
            }
        },
        "approve" => match number(&text("id"), "run") {
            Ok(id) => {
                let is_approved = text("reject") != "yes";
                let decided = orders::decide(app, caller, id, is_approved, &text("comment")).await;
                decided.map(|()| format!("run {id} is {}", if is_approved { "approved" } else { "rejected" }))
            }
            Err(refusal) => Err(refusal),
        },
        "comment" => match number(&text("id"), "incident") {
            Ok(id) => {
                let remark = Remark { comment: named("text"), owner: named("owner"), ..Remark::default() };
                orders::remark(app, caller, id, &remark).await.map(|_| format!("incident {id} is noted"))
            }
            Err(refusal) => Err(refusal),
        },
        _ => orders::write(app, caller, &text("name"), None).await.map(|version| format!("version {version} is used")),
    };
    match done {
        Ok(line) => Reply::line(&line),
        Err(refusal) => refusal.into(),
    }
}
