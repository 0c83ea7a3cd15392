//! The four-eyes option: what waits for somebody else's approval.

use axum::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::route::{Access, Call, Done, Json, Nothing, Route};
use crate::approvals::decide;
use crate::times;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/approvals",
            Access::Command("show approvals"),
            "Commits and pushes that wait for somebody else's approval, and what became of others",
            all,
        ),
        Route::new(
            Method::POST,
            "/approvals/{id}/approve",
            Access::Command("request approval approve"),
            "Approve what somebody else made",
            approve,
        ),
        Route::new(
            Method::POST,
            "/approvals/{id}/refuse",
            Access::Command("request approval refuse"),
            "Refuse it",
            refuse,
        ),
    ]
}

/// Requests for approval.
#[derive(JsonSchema, Serialize)]
struct Approvals {
    /// The newest first.
    approvals: Vec<Approval>,
}

/// A request for approval.
#[derive(JsonSchema, Serialize)]
struct Approval {
    /// Its number.
    id: i64,
    /// `commit` or `push`.
    kind: String,
    /// `pending`, `approved`, `refused`, or `used`: approved and done.
    state: String,
    /// Who wants it done.
    requester: String,
    /// Whose edits they are.
    authors: Vec<String>,
    /// What it is about.
    summary: Vec<String>,
    /// Since when.
    time: String,
    /// Who decided.
    decided_by: Option<String>,
    /// When.
    decided: Option<String>,
    /// What was said about it.
    comment: String,
}

async fn all(call: Call) -> Result<Json<Approvals>, Problem> {
    let approval = |row: crate::store::approvals::Approval| Approval {
        id: row.id,
        kind: row.kind,
        state: row.state,
        requester: row.requester,
        authors: serde_json::from_str(&row.authors).unwrap_or_default(),
        summary: row.summary.lines().map(str::to_owned).collect(),
        time: times::rfc3339(row.created_us),
        decided_by: Some(row.decided_by).filter(|name| !name.is_empty()),
        decided: row.decided_us.map(times::rfc3339),
        comment: row.comment,
    };
    let rows = call.app.store.approvals().await?;
    Ok(Json(Approvals { approvals: rows.into_iter().map(approval).collect() }))
}

/// What is said about a decision.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Decision {
    /// Why.
    #[serde(default)]
    comment: String,
}

async fn approve(call: Call<Nothing, Decision>) -> Result<Done, Problem> {
    decide(&call.app, &call.caller, call.name("id"), true, &call.body.comment).await?;
    Ok(Done)
}

async fn refuse(call: Call<Nothing, Decision>) -> Result<Done, Problem> {
    decide(&call.app, &call.caller, call.name("id"), false, &call.body.comment).await?;
    Ok(Done)
}
