//! What would a push bring to whom, and who made it?

use std::collections::BTreeSet;

use axum::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::route::{Access, Call, Json, Route};
use crate::selective::scope;
use crate::times;

/// Edits of one page.
const PAGE: usize = 1000;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::new(
        Method::GET,
        "/push/scope",
        Access::Command("show config"),
        "What is committed and not pushed: device groups, stacks, edits and who made them",
        read,
    )]
}

/// Whose edits, and which of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ScopeQuery {
    /// Only those of this administrator.
    admin: Option<String>,
    /// Edits that are left out before the first.
    #[serde(default)]
    offset: usize,
    /// Edits at most, 1000 when absent.
    limit: Option<usize>,
}

/// What a push of everything would bring.
#[derive(JsonSchema, Serialize)]
struct PushScope {
    /// The running version.
    version: u64,
    /// Device groups that have something to push.
    device_groups: Vec<Part>,
    /// Template stacks that have.
    template_stacks: Vec<Part>,
    /// How many edits there are.
    total: usize,
    /// A page of them, the oldest first.
    changes: Vec<Change>,
    /// There are older edits that were not looked at.
    truncated: bool,
}

/// A device group or a stack.
#[derive(JsonSchema, Serialize)]
struct Part {
    /// Its name.
    name: String,
    /// Its devices that lack something.
    devices: Vec<String>,
    /// Those of them that were never pushed; they can only be pushed everything.
    new_devices: Vec<String>,
    /// Who made the edits that they lack.
    admins: Vec<Author>,
}

/// Somebody who made edits.
#[derive(JsonSchema, Serialize)]
struct Author {
    /// Who.
    admin: String,
    /// How many.
    changes: usize,
}

/// An edit that a device lacks.
#[derive(JsonSchema, Serialize)]
struct Change {
    /// `shared`, `device-group`, `template` or `template-stack`.
    kind: String,
    /// Its name; `shared` for Shared.
    location: String,
    /// The object.
    name: String,
    /// Where.
    xpath: String,
    /// `set`, `edit`, `delete` and so on.
    action: String,
    /// Who made it.
    admin: String,
    /// With which version it was committed.
    version: u64,
    /// When it was made.
    time: String,
}

async fn read(call: Call<ScopeQuery>) -> Result<Json<PushScope>, Problem> {
    let ScopeQuery { admin, offset, limit } = call.query;
    let admins: BTreeSet<String> = admin.into_iter().collect();
    let scope = scope::read(&call.app, &call.caller, &admins).await?;
    let total = scope.changes.len();
    let page = scope.changes.into_iter().skip(offset).take(limit.unwrap_or(PAGE));
    let changes = page.map(|change| Change {
        kind: change.kind.to_owned(),
        location: change.location,
        name: change.name,
        xpath: change.xpath,
        action: change.action.to_owned(),
        admin: change.admin,
        version: change.version,
        time: times::rfc3339(change.time_us),
    });
    Ok(Json(PushScope {
        version: scope.version,
        device_groups: parts(scope.groups),
        template_stacks: parts(scope.stacks),
        total,
        changes: changes.collect(),
        truncated: scope.is_cut,
    }))
}

fn parts(parts: Vec<scope::Part>) -> Vec<Part> {
    let parts = parts.into_iter().filter(|part| !part.devices.is_empty());
    let part = |part: scope::Part| Part {
        name: part.name,
        devices: part.devices,
        new_devices: part.new_devices,
        admins: part.admins.into_iter().map(|(admin, changes)| Author { admin, changes }).collect(),
    };
    parts.map(part).collect()
}
