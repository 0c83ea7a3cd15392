//! Who may use the manager, who does at this time, and by which keys?

use axum::http::Method;
use schemars::JsonSchema;
use serde::Serialize;

use super::problem::Problem;
use super::route::{Access, Call, Done, Json, Route};
use super::session::role_word;
use crate::accounts::{Caller, Role, is_verifiable};
use crate::store::{digest, hex, now_us};
use crate::times::rfc3339;

pub(super) fn routes() -> Vec<Route> {
    let keys = Access::Command("request api-key expire");
    vec![
        Route::new(
            Method::GET,
            "/administrators",
            Access::Config("get"),
            "Who may log in, and as what",
            administrators,
        ),
        Route::new(
            Method::GET,
            "/administrators/present",
            Access::Command("show admins"),
            "Who made a request a short while ago",
            present,
        ),
        Route::new(Method::GET, "/api-keys", keys, "API keys: the own ones, or for a superuser all", api_keys),
        Route::new(Method::DELETE, "/api-keys/{id}", keys, "End an API key", end_key),
    ]
}

/// Administrators.
#[derive(JsonSchema, Serialize)]
struct Administrators {
    /// In the order of the candidate.
    administrators: Vec<Administrator>,
}

/// An administrator of the candidate.
#[derive(JsonSchema, Serialize)]
struct Administrator {
    /// Name.
    name: String,
    /// The role: `superuser`, `superreader`, `custom`, `limited` (to a part of the configuration) or `unsupported`.
    role: String,
    /// The admin role of a `custom` one.
    profile: Option<String>,
    /// Whether there is a password that can be verified in the configuration.
    password: bool,
}

async fn administrators(call: Call) -> Result<Json<Administrators>, Problem> {
    let candidate = call.app.configuration.snapshot().candidate.clone();
    let visible = call.caller.view(&candidate);
    let users = visible.descend(&["mgt-config", "users"]);
    let administrator = |(name, user): (&str, &std::sync::Arc<bartizan_model::tree::Element>)| Administrator {
        name: name.to_owned(),
        role: role_word(&Role::of(&candidate, user)).to_owned(),
        profile: user.descend(&["permissions", "role-based", "custom", "profile"]).map(|profile| profile.text()),
        password: user.child("phash").is_some_and(|phash| is_verifiable(&phash.text())),
    };
    let administrators = users.into_iter().flat_map(|users| users.entries()).map(administrator).collect();
    Ok(Json(Administrators { administrators }))
}

/// Who uses the manager.
#[derive(JsonSchema, Serialize)]
struct PresentList {
    /// Those who made a request within the last quarter of an hour, by name.
    present: Vec<PresentAdministrator>,
}

/// Somebody who uses it.
#[derive(JsonSchema, Serialize)]
struct PresentAdministrator {
    /// Name.
    name: String,
    /// Where the requests come from.
    host: String,
    /// `JSONAPI`, by which the page asks too, or `XMLAPI`.
    client: String,
    /// When the first of them came.
    since: String,
    /// When the last one came.
    last: String,
}

async fn present(call: Call) -> Result<Json<PresentList>, Problem> {
    let list = call.app.accounts.presence.list(now_us()).into_iter().map(|one| PresentAdministrator {
        name: one.name,
        host: one.host.to_string(),
        client: one.door.as_str().to_owned(),
        since: rfc3339(one.since_us),
        last: rfc3339(one.last_us),
    });
    Ok(Json(PresentList { present: list.collect() }))
}

/// API keys.
#[derive(JsonSchema, Serialize)]
struct ApiKeys {
    /// The one that was used last first, 1000 at most.
    keys: Vec<ApiKeyState>,
}

/// An API key, without its secret.
#[derive(JsonSchema, Serialize)]
struct ApiKeyState {
    /// What it is called when it is ended: a digest.
    id: String,
    /// Whose it is.
    administrator: String,
    /// When it was made.
    created: String,
    /// When it was used last, to the hour.
    used: String,
    /// Whether this request was made with it.
    own: bool,
}

/// Whose keys a caller may see and end; `None` for everybody's.
fn whose(caller: &Caller) -> Option<&str> {
    (caller.role != Role::Superuser).then_some(caller.name.as_str())
}

async fn api_keys(call: Call) -> Result<Json<ApiKeys>, Problem> {
    let own = call.key.as_ref().map(|key| digest(key.as_bytes()).to_vec());
    let rows = call.app.store.keys(whose(&call.caller)).await?;
    let key = |row: crate::store::accounts::KeyRow| ApiKeyState {
        id: hex(&row.digest),
        own: own.as_ref() == Some(&row.digest),
        administrator: row.administrator,
        created: rfc3339(row.created_us),
        used: rfc3339(row.used_us),
    };
    Ok(Json(ApiKeys { keys: rows.into_iter().map(key).collect() }))
}

async fn end_key(call: Call) -> Result<Done, Problem> {
    let id = call.name("id");
    let missing = || Problem::not_found("there is no such key, or it is somebody else's");
    let keys = call.app.store.keys(whose(&call.caller)).await?;
    let key = keys.into_iter().find(|key| hex(&key.digest) == id).ok_or_else(missing)?;
    if call.app.store.end_key_of(&key.digest).await? == 0 {
        return Err(missing());
    }
    let line = call.caller.did("request", format!("api-key expire one of {}", key.administrator));
    call.app.store.add_audit(&[line]).await?;
    Ok(Done)
}
