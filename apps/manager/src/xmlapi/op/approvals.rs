//! `show approvals`, `request approval approve` and `request approval refuse`: the four-eyes option. All are extensions.

use std::collections::BTreeSet;

use bartizan_model::tree::Element;

use super::super::element::{Build as _, element, entry, leaf};
use super::super::reply::Reply;
use crate::accounts::Caller;
use crate::app::App;
use crate::approvals;
use crate::times;

/// `show approvals`: the newest first.
pub(super) async fn show(app: &App) -> Reply {
    let rows = match app.store.approvals().await {
        Ok(rows) => rows,
        Err(error) => return Reply::internal(&error),
    };
    let entries = rows.iter().map(|row| {
        let authors: BTreeSet<String> = serde_json::from_str(&row.authors).unwrap_or_default();
        entry(&row.id.to_string())
            .leaf("kind", &row.kind)
            .leaf("state", &row.state)
            .leaf("requester", &row.requester)
            .with(element("authors").with_all(authors.iter().map(|author| leaf("member", author))))
            .leaf("time", &times::date_time(row.created_us))
            .leaf("decided-by", &row.decided_by)
            .leaf("decided", &row.decided_us.map(times::date_time).unwrap_or_default())
            .leaf("comment", &row.comment)
            .with(element("summary").with_all(row.summary.lines().map(|line| leaf("line", line))))
    });
    Reply::result(element("result").with(element("approvals").with_all(entries)))
}

/// `request approval approve|refuse id N [comment C]`
pub(super) async fn decide(app: &App, caller: &Caller, command: &Element, is_approved: bool) -> Reply {
    let word = if is_approved { "approve" } else { "refuse" };
    let named = |tag: &str| super::argument(command.descend(&["approval", word, tag])).unwrap_or_default();
    let id = named("id");
    match approvals::decide(app, caller, &id, is_approved, &named("comment")).await {
        Ok(()) => Reply::line(&format!("approval {id} is {}", if is_approved { "given" } else { "refused" })),
        Err(refusal) => refusal.into(),
    }
}
