//! Reading configurations: nodes, pages of long lists, what may stand where, and who uses an object.

use std::sync::Arc;

use axum::http::Method;
use bartizan_model::tree::Element;
use bartizan_model::{edit, schema, words, xml};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::route::{Access, Call, Json, Nothing, Route};
use super::source::{Place, no_such_node};
use super::tree::View;
use crate::configuration::edit::EditFailure;
use crate::refusal::Refusal;
use crate::store::hex_digest;

/// Entries of one page.
const PAGE: usize = 100;
/// Most entries of one page.
const PAGE_MAX: usize = 5000;
/// Names that are offered at once.
const NAMES_MAX: usize = 1000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/config", Access::Config("get"), "Nodes of a configuration", nodes),
        Route::new(Method::GET, "/config/entries", Access::Config("get"), "A page of the entries of a list", entries),
        Route::new(Method::GET, "/config/schema", Access::Config("complete"), "What may stand at a place", facts),
        Route::new(Method::GET, "/config/users", Access::Config("get"), "What refers to an object", users),
    ]
}

/// Which nodes, and how they are shown.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NodesQuery {
    /// `candidate` (when absent), `running`, `version:N`, `saved:NAME`, `device:SERIAL` (what running gives a device),
    /// `candidate-device:SERIAL`, `candidate-stack:NAME` (what its templates make, each node with its owner), or
    /// `pushed:SERIAL` (what it was pushed last).
    source: Option<String>,
    /// XPath of the nodes.
    xpath: Option<String>,
    /// Instead: the words of the command line, e.g. `device-group branch address web`.
    path: Option<String>,
    /// Levels below the node that are shown; all when absent.
    depth: Option<usize>,
    /// As XML text instead of a tree.
    #[serde(default)]
    xml: bool,
}

/// Nodes that were found.
#[derive(JsonSchema, Serialize)]
pub(super) struct Nodes {
    /// The nodes; none is an answer too.
    nodes: Vec<Found>,
}

/// A node with its place.
#[derive(JsonSchema, Serialize)]
pub(super) struct Found {
    /// Its XPath.
    xpath: String,
    /// The same as words of the command line.
    path: String,
    /// SHA-256, hex, of the node: what `if_digest` of an edit compares.
    digest: String,
    /// The node.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<View>,
    /// The node as XML.
    #[serde(skip_serializing_if = "Option::is_none")]
    xml: Option<String>,
}

impl Found {
    fn new(xpath: String, element: Arc<Element>, depth: Option<usize>, as_xml: bool) -> Self {
        let text = xml::write(&element);
        Self {
            path: words::of_xpath(&xpath),
            xpath,
            digest: hex_digest(text.as_bytes()),
            node: (!as_xml).then(|| View { element, depth: depth.unwrap_or(usize::MAX) }),
            xml: as_xml.then_some(text),
        }
    }
}

async fn nodes(call: Call<NodesQuery>) -> Result<Json<Nodes>, Problem> {
    let NodesQuery { source, xpath, path, depth, xml } = call.query;
    let place = Place::new(source, xpath, path);
    let root = place.tree(&call.app, &call.caller).await?;
    let xpath = place.xpath(&root)?;
    let found = edit::get(&root, &xpath).map_err(refused)?;
    let shown = found.iter().map(|found| Found::new(found.xpath.clone(), Arc::new(found.to_element()), depth, xml));
    Ok(Json(Nodes { nodes: shown.collect() }))
}

pub(super) fn refused(error: edit::EditError) -> Problem {
    Refusal::from(EditFailure::from(error)).into()
}

/// Which entries of which list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EntriesQuery {
    /// As for `/config`.
    source: Option<String>,
    /// XPath of the list, without `entry`.
    xpath: Option<String>,
    /// Instead: the words of the command line, e.g. `device-group branch address`.
    path: Option<String>,
    /// Entries that are left out before the first.
    #[serde(default)]
    offset: usize,
    /// Entries at most: 100 when absent, up to 5000.
    limit: Option<usize>,
    /// Only entries in whose name or values this text stands, whatever its case.
    search: Option<String>,
    /// Only entries that have this tag.
    tag: Option<String>,
    /// Only rules of the group of this tag; empty: those of no group.
    group: Option<String>,
}

impl EntriesQuery {
    /// Whether an entry is wanted.
    fn holds(&self, name: &str, entry: &Element) -> bool {
        let has = |text: &String| name.to_lowercase().contains(text) || says(entry, text);
        self.search.as_ref().is_none_or(has)
            && self.tag.as_ref().is_none_or(|tag| tags_of(entry).any(|own| own == *tag))
            && self.group.as_ref().is_none_or(|group| group_of(entry) == *group)
    }
}

/// The tags of an object or a rule.
pub(super) fn tags_of(entry: &Element) -> impl Iterator<Item = String> {
    entry.child("tag").into_iter().flat_map(|tag| tag.members())
}

/// The tag that a rule is grouped by; empty when it is not.
pub(super) fn group_of(entry: &Element) -> String {
    entry.child("group-tag").map(|tag| tag.text()).unwrap_or_default()
}

/// A page of a list.
#[derive(JsonSchema, Serialize)]
struct Entries {
    /// XPath of the list.
    xpath: String,
    /// Entries of the list.
    total: usize,
    /// Entries that the search finds.
    matching: usize,
    /// The page.
    entries: Vec<Entry>,
}

/// An entry of a list.
#[derive(JsonSchema, Serialize)]
struct Entry {
    /// Its place in the list, from 0.
    position: usize,
    /// Its name.
    name: String,
    /// The entry.
    #[serde(flatten)]
    found: Found,
}

async fn entries(call: Call<EntriesQuery>) -> Result<Json<Entries>, Problem> {
    let mut query = call.query;
    let place = Place::new(query.source.take(), query.xpath.take(), query.path.take());
    let root = place.tree(&call.app, &call.caller).await?;
    let asked = place.xpath(&root)?;
    let found = edit::get(&root, &asked).map_err(refused)?;
    let Some(list) = found.first() else { return Err(no_such_node(&asked)) };
    query.search = query.search.map(|text| text.to_lowercase()).filter(|text| !text.is_empty());
    let mut page = Entries { xpath: list.xpath.clone(), total: 0, matching: 0, entries: Vec::new() };
    let shown = query.offset..query.offset.saturating_add(query.limit.unwrap_or(PAGE).min(PAGE_MAX));
    for (name, entry) in list.element().entries() {
        if query.holds(name, entry) {
            if shown.contains(&page.matching) {
                let found = Found::new(format!("{}/{}", list.xpath, entry.step()), entry.clone(), None, false);
                page.entries.push(Entry { position: page.total, name: name.to_owned(), found });
            }
            page.matching += 1;
        }
        page.total += 1;
    }
    Ok(Json(page))
}

fn says(element: &Element, text: &str) -> bool {
    element.text().to_lowercase().contains(text) || element.elements().any(|child| says(child, text))
}

/// What may stand at a place.
#[derive(JsonSchema, Serialize)]
struct Facts {
    /// XPath of the place.
    xpath: String,
    /// Whether the schema knows the place.
    known: bool,
    /// What it holds.
    holds: Holds,
    /// The elements that may stand there, or in an entry of the list; of those with `branch` only one.
    fields: Vec<Field>,
    /// Names that can stand there: of a list those it has, of a reference those that it may name.
    names: Vec<String>,
}

/// One field of a form.
#[derive(JsonSchema, Serialize)]
struct Field {
    /// Its tag.
    tag: String,
    /// Whether it is one of several of which only one can be there.
    branch: bool,
    /// What it holds.
    holds: Holds,
}

/// What an element holds.
#[derive(JsonSchema, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Holds {
    /// The schema does not say.
    Any,
    /// Elements.
    Node,
    /// Entries with names.
    List,
    /// Members: texts in an order.
    Members,
    /// Text of so many characters.
    Text {
        /// Fewest characters.
        #[serde(skip_serializing_if = "Option::is_none")]
        least: Option<f64>,
        /// Most characters.
        #[serde(skip_serializing_if = "Option::is_none")]
        most: Option<f64>,
    },
    /// A whole number.
    Integer {
        /// The smallest.
        #[serde(skip_serializing_if = "Option::is_none")]
        least: Option<f64>,
        /// The largest.
        #[serde(skip_serializing_if = "Option::is_none")]
        most: Option<f64>,
    },
    /// A number.
    Number {
        /// The smallest.
        #[serde(skip_serializing_if = "Option::is_none")]
        least: Option<f64>,
        /// The largest.
        #[serde(skip_serializing_if = "Option::is_none")]
        most: Option<f64>,
    },
    /// `yes` or `no`.
    Flag,
    /// One of these words.
    Words {
        /// The words.
        words: Vec<String>,
    },
}

impl From<schema::Kind> for Holds {
    fn from(kind: schema::Kind) -> Self {
        match kind {
            schema::Kind::Any => Self::Any,
            schema::Kind::Node => Self::Node,
            schema::Kind::List => Self::List,
            schema::Kind::Members => Self::Members,
            schema::Kind::Text { least, most } => Self::Text { least, most },
            schema::Kind::Integer { least, most } => Self::Integer { least, most },
            schema::Kind::Number { least, most } => Self::Number { least, most },
            schema::Kind::Flag => Self::Flag,
            schema::Kind::Words(words) => Self::Words { words: words.into_iter().map(str::to_owned).collect() },
        }
    }
}

async fn facts(call: Call<Place>) -> Result<Json<Facts>, Problem> {
    let root = call.query.tree(&call.app, &call.caller).await?;
    let xpath = call.query.xpath(&root)?;
    let found = edit::get(&root, &xpath).map_err(refused)?;
    let listed = found.iter().flat_map(|found| found.element().entries()).map(|(name, _)| name.to_owned());
    let mut names: Vec<String> = listed.take(NAMES_MAX).collect();
    if names.is_empty() {
        names = edit::names_for(&root, &xpath);
        if names.is_empty() {
            names = schema::keywords(&format!("{xpath}/member")).into_iter().map(str::to_owned).collect();
        }
        names.truncate(NAMES_MAX);
    }
    let facts = schema::facts(&xpath);
    let known = facts.is_some();
    let (holds, fields) = facts.map_or((Holds::Any, Vec::new()), |facts| (facts.kind.into(), facts.fields));
    let field =
        |field: schema::Field| Field { tag: field.tag.into(), branch: field.is_branch, holds: field.kind.into() };
    Ok(Json(Facts { xpath, known, holds, fields: fields.into_iter().map(field).collect(), names }))
}

/// What refers to an object.
#[derive(JsonSchema, Serialize)]
struct Users {
    /// XPath of the object.
    xpath: String,
    /// Where it is named.
    users: Vec<User>,
}

/// One reference.
#[derive(JsonSchema, Serialize)]
struct User {
    /// XPath of the element that names the object.
    xpath: String,
    /// The same as words of the command line.
    path: String,
}

async fn users(call: Call<Place, Nothing>) -> Result<Json<Users>, Problem> {
    let root = call.query.tree(&call.app, &call.caller).await?;
    let xpath = call.query.xpath(&root)?;
    if edit::get(&root, &xpath).map_err(refused)?.is_empty() {
        return Err(no_such_node(&xpath));
    }
    let users = edit::users(&root, &xpath).into_iter().map(|xpath| User { path: words::of_xpath(&xpath), xpath });
    Ok(Json(Users { users: users.collect(), xpath }))
}
