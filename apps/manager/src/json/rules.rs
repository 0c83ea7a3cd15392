//! Why is a rule what it is: audit comments, and the history of one rule. Which rules belong together: groups and tags.

use std::collections::BTreeMap;

use axum::http::Method;
use bartizan_model::edit;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::config::{group_of, refused, tags_of};
use super::problem::Problem;
use super::route::{Access, Call, Done, Json, Nothing, Route};
use super::source::{Place, no_such_node};
use crate::store::from_db;
use crate::times;
use crate::xmlapi::op::rules;

/// Edits that are told when nobody says how many.
const PAGE: usize = 100;
/// Edits that are told at most.
const PAGE_MAX: usize = 1000;
/// Groups, and tags, that are told at most.
const GROUPS_MAX: usize = 1000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::POST,
            "/rules/comment",
            Access::Command("set audit-comment"),
            "Say why a rule is what it is; it is kept with the next commit",
            comment,
        ),
        Route::new(
            Method::GET,
            "/rules/history",
            Access::Command("show config"),
            "The edits and audit comments of a rule, the newest first",
            history,
        ),
        Route::new(
            Method::GET,
            "/rules/groups",
            Access::Config("get"),
            "The groups and the tags of the rules of a rulebase",
            groups,
        ),
    ]
}

/// An audit comment.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CommentBody {
    /// XPath of the rule.
    xpath: Option<String>,
    /// Instead: the words of the command line.
    path: Option<String>,
    /// Why; at most 256 characters.
    comment: String,
}

async fn comment(call: Call<Nothing, CommentBody>) -> Result<Done, Problem> {
    let CommentBody { xpath, path, comment } = call.body;
    let candidate = call.caller.view(&call.app.configuration.snapshot().candidate);
    let xpath = Place::new(None, xpath, path).xpath(&candidate)?;
    rules::add(&call.app, &call.caller, &xpath, &comment).await?;
    Ok(Done)
}

/// Which rule.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HistoryQuery {
    /// XPath of the rule.
    xpath: Option<String>,
    /// Instead: the words of the command line.
    path: Option<String>,
    /// Edits at most, 100 when absent.
    limit: Option<usize>,
}

/// What was done to a rule.
#[derive(JsonSchema, Serialize)]
struct History {
    /// The newest first, as far back as versions are kept.
    events: Vec<Event>,
}

/// An edit or a comment.
#[derive(JsonSchema, Serialize)]
struct Event {
    /// With which version it was committed; nothing while it is pending.
    version: Option<u64>,
    /// When.
    time: String,
    /// By whom.
    admin: String,
    /// `set`, `edit`, `move`, `comment` and so on.
    action: String,
    /// Where.
    xpath: String,
    /// What was written, as XML; the new name or place; or the comment.
    text: String,
}

async fn history(call: Call<HistoryQuery>) -> Result<Json<History>, Problem> {
    let HistoryQuery { xpath, path, limit } = call.query;
    let candidate = call.caller.view(&call.app.configuration.snapshot().candidate);
    let xpath = Place::new(None, xpath, path).xpath(&candidate)?;
    let events = rules::of(&call.app, &call.caller, &xpath, limit.unwrap_or(PAGE).min(PAGE_MAX)).await?;
    let event = |event: crate::rules::history::Event| Event {
        version: event.version.map(from_db),
        time: times::rfc3339(event.time_us),
        admin: event.author,
        action: event.action.to_owned(),
        xpath: event.xpath,
        text: event.text,
    };
    Ok(Json(History { events: events.into_iter().map(event).collect() }))
}

/// How the rules of a rulebase are grouped.
#[derive(JsonSchema, Serialize)]
struct RuleGroups {
    /// XPath of the list.
    xpath: String,
    /// By the tag that they are grouped by, in the order of their first rules; an empty name: rules of no group.
    groups: Vec<RuleCount>,
    /// By their tags, by name.
    tags: Vec<RuleCount>,
}

/// Rules that have something in common.
#[derive(JsonSchema, Serialize)]
struct RuleCount {
    /// What.
    name: String,
    /// How many there are.
    rules: usize,
}

async fn groups(call: Call<Place>) -> Result<Json<RuleGroups>, Problem> {
    let root = call.query.tree(&call.app, &call.caller).await?;
    let xpath = call.query.xpath(&root)?;
    let found = edit::get(&root, &xpath).map_err(refused)?;
    let Some(list) = found.first() else { return Err(no_such_node(&xpath)) };
    let (mut groups, mut tags) = (IndexMap::<String, usize>::new(), BTreeMap::<String, usize>::new());
    for (_, rule) in list.element().entries() {
        *groups.entry(group_of(rule)).or_default() += 1;
        for tag in tags_of(rule) {
            *tags.entry(tag).or_default() += 1;
        }
    }
    let counted = |(name, rules)| RuleCount { name, rules };
    let groups = groups.into_iter().take(GROUPS_MAX).map(counted).collect();
    Ok(Json(RuleGroups {
        xpath: list.xpath.clone(),
        groups,
        tags: tags.into_iter().take(GROUPS_MAX).map(counted).collect(),
    }))
}
