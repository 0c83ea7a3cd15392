//! `set audit-comment`, `show config list audit-comments` and `show config rule-history`: why is a rule what it is?

use bartizan_model::tree::Element;

use super::super::element::{Build as _, element};
use super::super::reply::{Reply, code};
use crate::accounts::Caller;
use crate::accounts::scope::Access;
use crate::app::App;
use crate::configuration::edit::{Edit, rule_at};
use crate::refusal::Refusal;
use crate::rules::{COMMENT_MAX, history};
use crate::times;

/// Edits of one rule that are told.
const EVENTS_MAX: usize = 1000;

/// `set audit-comment xpath X comment C`: it goes to the config log with the next commit.
pub(super) async fn comment(app: &App, caller: &Caller, command: &Element) -> Reply {
    let named = |tag: &str| command.descend(&["audit-comment", tag]).map(Element::text).unwrap_or_default();
    match add(app, caller, &named("xpath"), &named("comment")).await {
        Ok(()) => Reply::done(),
        Err(refusal) => refusal.into(),
    }
}

/// Notes why a rule is what it is.
pub(crate) async fn add(app: &App, caller: &Caller, xpath: &str, comment: &str) -> Result<(), Refusal> {
    let length = comment.chars().count();
    if length == 0 || length > COMMENT_MAX {
        let line = format!("an audit comment has 1 to {COMMENT_MAX} characters, not {length}");
        return Err(Refusal::new(code::INVALID_OBJECT, [line]));
    }
    let xpath = rule_at(&caller.view(&app.configuration.snapshot().candidate), xpath)?;
    if caller.role.scope().is_some_and(|scope| scope.access(&xpath) < Access::Write) {
        let line = format!("the role of `{}` does not allow to change {xpath}", caller.name);
        return Err(Refusal::new(code::DENIED, [line]));
    }
    app.configuration.apply(caller, vec![Edit::AuditComment { xpath, comment: comment.to_owned() }]).await?;
    Ok(())
}

/// `show config list audit-comments [xpath X]`: those that are not committed.
pub(super) async fn pending(app: &App, caller: &Caller, command: &Element) -> Reply {
    let named = command.descend(&["config", "list", "audit-comments", "xpath"]).map(Element::text);
    let candidate = caller.view(&app.configuration.snapshot().candidate);
    let wanted = named.filter(|xpath| !xpath.is_empty()).map(|xpath| rule_at(&candidate, &xpath).unwrap_or(xpath));
    let lines = match app.store.audit_comments_until(i64::MAX).await {
        Ok(lines) => lines,
        Err(error) => return Reply::internal(&error),
    };
    let mut result = element("result");
    let mut previous = String::new();
    for line in lines.iter().rev() {
        let Ok(Edit::AuditComment { xpath, comment }) = serde_json::from_str(&line.edit) else { continue };
        if wanted.as_ref().is_some_and(|wanted| *wanted != xpath) || !caller.may_see(&xpath) {
            continue;
        }
        let entry = element("entry")
            .leaf("xpath", &xpath)
            .leaf("dirtyId", &line.id.to_string())
            .leaf("comment", &comment)
            .leaf("prevdirtyId", &previous)
            .leaf("admin", &line.author);
        previous = line.id.to_string();
        result = result.with(entry);
    }
    Reply::result(result)
}

/// `show config rule-history xpath X`: the edits that touched it, the newest first.
pub(super) async fn show(app: &App, caller: &Caller, command: &Element) -> Reply {
    let xpath = command.descend(&["config", "rule-history", "xpath"]).map(Element::text).unwrap_or_default();
    let events = match of(app, caller, &xpath, EVENTS_MAX).await {
        Ok(events) => events,
        Err(refusal) => return refusal.into(),
    };
    let entries = events.iter().map(|event| {
        element("entry")
            .leaf("version", &event.version.map(|version| version.to_string()).unwrap_or_default())
            .leaf("time", &times::date_time(event.time_us))
            .leaf("admin", &event.author)
            .leaf("action", event.action)
            .leaf("xpath", &event.xpath)
            .leaf(if event.action == "comment" { "comment" } else { "change" }, &event.text)
    });
    Reply::result(element("result").with(element("rule-history").with_all(entries)))
}

/// The history of a rule that somebody may see.
pub(crate) async fn of(app: &App, caller: &Caller, xpath: &str, max: usize) -> Result<Vec<history::Event>, Refusal> {
    // One that was deleted has a history, too.
    let candidate = caller.view(&app.configuration.snapshot().candidate);
    let xpath = rule_at(&candidate, xpath).unwrap_or_else(|_| xpath.to_owned());
    if !caller.may_see(&xpath) {
        return Err(Refusal::new(code::NOT_PRESENT, ["No such node"]));
    }
    Ok(history::read(app, &xpath, max).await?)
}
