//! The candidate, what made it, the versions before it, and configurations under a name.

use axum::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::route::{Access, Call, Json, Route};
use crate::configuration::edit::Edit;
use crate::locks::LockKind;
use crate::store::from_db;
use crate::times;

/// Edits of one page.
const CHANGES: usize = 1000;
/// Versions that are listed.
const VERSIONS: u32 = 100;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/candidate",
            Access::Command("check pending-changes"),
            "What is pending, and who locks",
            state,
        ),
        Route::new(
            Method::GET,
            "/candidate/changes",
            Access::Command("show config"),
            "The edits since the last commit",
            changes,
        ),
        Route::new(
            Method::GET,
            "/versions",
            Access::Command("show config"),
            "Configurations that were committed",
            versions,
        ),
        Route::new(Method::GET, "/saved", Access::Command("show config"), "Configurations under a name", saved),
        Route::new(
            Method::GET,
            "/locks",
            Access::Command("show config-locks"),
            "Who keeps others from editing or committing",
            locks,
        ),
    ]
}

/// The candidate.
#[derive(JsonSchema, Serialize)]
struct State {
    /// Number of the running configuration.
    version: u64,
    /// Changes with every edit, commit and revert.
    revision: String,
    /// Edits that are not committed.
    pending: usize,
    /// Who made them.
    authors: Vec<String>,
}

async fn state(call: Call) -> Result<Json<State>, Problem> {
    let snapshot = call.app.configuration.snapshot();
    let authors = call.app.store.journal_authors().await?;
    let revision = snapshot.revision();
    Ok(Json(State { version: snapshot.version, revision, pending: snapshot.pending, authors }))
}

/// Which edits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ChangesQuery {
    /// Only those of this administrator.
    author: Option<String>,
    /// Edits that are left out before the first.
    #[serde(default)]
    offset: usize,
    /// Edits at most, 1000 when absent.
    limit: Option<usize>,
}

/// The edits of the candidate.
#[derive(JsonSchema, Serialize)]
struct Changes {
    /// How many there are.
    total: usize,
    /// A page of them, the oldest first.
    changes: Vec<Pending>,
}

/// One edit of the candidate.
#[derive(JsonSchema, Serialize)]
struct Pending {
    /// Its number.
    id: i64,
    /// When it was made.
    time: String,
    /// Who made it.
    author: String,
    /// `set`, `edit`, `delete` and so on.
    action: String,
    /// Where.
    xpath: String,
    /// `shared-object`, `device-group`, `template`, `template-stack` or `device-and-network`.
    component: String,
}

async fn changes(call: Call<ChangesQuery>) -> Result<Json<Changes>, Problem> {
    let ChangesQuery { author, offset, limit } = call.query;
    let lines = call.app.store.journal(usize::MAX).await?;
    let wanted = lines.iter().filter(|line| author.as_ref().is_none_or(|author| *author == line.author));
    let pending = wanted.filter_map(|line| {
        let edit: Edit = serde_json::from_str(&line.edit).ok()?;
        call.caller.may_see(edit.xpath()).then(|| Pending {
            id: line.id,
            time: times::rfc3339(line.time_us),
            author: line.author.clone(),
            action: edit.name().to_owned(),
            xpath: edit.xpath().to_owned(),
            component: edit.component().to_owned(),
        })
    });
    let all: Vec<Pending> = pending.collect();
    let total = all.len();
    let changes = all.into_iter().skip(offset).take(limit.unwrap_or(CHANGES)).collect();
    Ok(Json(Changes { total, changes }))
}

/// How many versions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct VersionsQuery {
    /// Versions at most, 100 when absent.
    limit: Option<u32>,
}

/// Configurations that were committed.
#[derive(JsonSchema, Serialize)]
struct Versions {
    /// The newest first.
    versions: Vec<Version>,
}

/// One of them.
#[derive(JsonSchema, Serialize)]
struct Version {
    /// Its number.
    version: u64,
    /// When it was committed.
    time: String,
    /// By whom.
    author: String,
    /// The description of the commit.
    description: String,
    /// SHA-256, hex, of its text.
    digest: String,
}

async fn versions(call: Call<VersionsQuery>) -> Result<Json<Versions>, Problem> {
    let lines = call.app.store.versions(call.query.limit.unwrap_or(VERSIONS)).await?;
    let version = |line: crate::store::versions::VersionLine| Version {
        version: from_db(line.number),
        time: times::rfc3339(line.time_us),
        author: line.author,
        description: line.comment,
        digest: line.digest,
    };
    Ok(Json(Versions { versions: lines.into_iter().map(version).collect() }))
}

/// Configurations under a name.
#[derive(JsonSchema, Serialize)]
struct SavedList {
    /// By name.
    saved: Vec<Saved>,
}

/// One of them.
#[derive(JsonSchema, Serialize)]
struct Saved {
    /// Its name.
    name: String,
    /// When it was saved.
    time: String,
    /// By whom.
    author: String,
}

async fn saved(call: Call) -> Result<Json<SavedList>, Problem> {
    let lines = call.app.store.snapshots().await?;
    let saved = lines.into_iter().map(|line| Saved {
        name: line.name,
        time: times::rfc3339(line.time_us),
        author: line.author,
    });
    Ok(Json(SavedList { saved: saved.collect() }))
}

/// All locks.
#[derive(JsonSchema, Serialize)]
struct LockList {
    /// Those on editing first.
    locks: Vec<Lock>,
}

/// One lock.
#[derive(JsonSchema, Serialize)]
struct Lock {
    /// `config` keeps others from editing, `commit` from committing.
    kind: String,
    /// A device group, template or stack, or `shared` for everything.
    scope: String,
    /// Who holds it.
    admin: String,
    /// Since when.
    since: String,
    /// Why.
    comment: String,
}

async fn locks(call: Call) -> Result<Json<LockList>, Problem> {
    let locks = &call.app.configuration.locks;
    let rows = [LockKind::Config, LockKind::Commit].into_iter().flat_map(|kind| locks.list(kind));
    let lock = |row: crate::store::locks::LockRow| Lock {
        kind: row.kind,
        scope: row.scope,
        admin: row.admin,
        since: times::rfc3339(row.created_us),
        comment: row.comment,
    };
    Ok(Json(LockList { locks: rows.map(lock).collect() }))
}
