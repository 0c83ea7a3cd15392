//! What is different between two configurations?

use axum::http::Method;
use bartizan_model::diff::{self, Change, ChangeKind};
use bartizan_model::words;
use bartizan_model::xml::write_pretty;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::route::{Access, Call, Json, Route};
use super::source::Source;
use super::tree::View;

/// Differences of one page.
const PAGE: usize = 500;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::new(
        Method::GET,
        "/config/diff",
        Access::Command("show config"),
        "What two configurations differ in",
        differ,
    )]
}

/// Which configurations are compared, and how that is shown.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DiffQuery {
    /// The older one, `running` when absent; a source as for `/config`.
    from: Option<String>,
    /// The newer one, `candidate` when absent.
    to: Option<String>,
    /// How the changes are shown.
    #[serde(default)]
    form: Form,
    /// Only changes at XPaths that begin like this.
    below: Option<String>,
    /// Changes that are left out before the first.
    #[serde(default)]
    offset: usize,
    /// Changes at most, 500 when absent.
    limit: Option<usize>,
}

/// How changes are shown.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Form {
    /// As nodes.
    #[default]
    Tree,
    /// As XML, with `-` and `+`.
    Xml,
    /// As lines of the command line.
    Set,
    /// As lines before and after, beside one another.
    Side,
}

/// What is different.
#[derive(JsonSchema, Serialize)]
struct Difference {
    /// The older configuration.
    from: String,
    /// The newer one.
    to: String,
    /// How many changes there are.
    total: usize,
    /// A page of them.
    changes: Vec<Changed>,
}

/// One difference, at the highest node that is wholly new, gone or another one.
#[derive(JsonSchema, Serialize)]
struct Changed {
    /// Where.
    xpath: String,
    /// The same as words of the command line.
    path: String,
    /// What happened.
    kind: Kind,
    /// Name of the entry (or text of the member) that an added or moved one follows now; without it, it is the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    follows: Option<String>,
    /// With `form=tree`: the node before.
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<View>,
    /// With `form=tree`: the node now.
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<View>,
    /// With `form=xml` and `form=set`: the change as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// With `form=side`: the lines before.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<Vec<String>>,
    /// With `form=side`: the lines now.
    #[serde(skip_serializing_if = "Option::is_none")]
    right: Option<Vec<String>>,
}

/// What happened to a node.
#[derive(Clone, Copy, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// Its text or its attributes are others.
    Changed,
    /// It stands elsewhere among its siblings.
    Moved,
}

async fn differ(call: Call<DiffQuery>) -> Result<Json<Difference>, Problem> {
    let from = call.query.from.clone().unwrap_or_else(|| "running".to_owned());
    let to = call.query.to.clone().unwrap_or_else(|| "candidate".to_owned());
    let old = Source::parse(&from)?.tree(&call.app, &call.caller).await?;
    let new = Source::parse(&to)?.tree(&call.app, &call.caller).await?;
    let changes = tokio::task::spawn_blocking(move || diff::diff(&old, &new)).await.map_err(anyhow::Error::from)?;
    let below = call.query.below.as_deref().unwrap_or_default();
    let changes: Vec<Change> = changes.into_iter().filter(|change| change.xpath.starts_with(below)).collect();
    let total = changes.len();
    let page = changes.into_iter().skip(call.query.offset).take(call.query.limit.unwrap_or(PAGE));
    let changes = page.map(|change| show(change, call.query.form)).collect();
    Ok(Json(Difference { from, to, total, changes }))
}

fn show(change: Change, form: Form) -> Changed {
    let text = match form {
        Form::Xml => Some(diff::unified(std::slice::from_ref(&change))),
        Form::Set => Some(diff::set_lines(std::slice::from_ref(&change)).join("\n")),
        Form::Tree | Form::Side => None,
    };
    let side = |element: &Option<_>| {
        (form == Form::Side).then(|| element.iter().flat_map(|element: &std::sync::Arc<_>| lines(element)).collect())
    };
    let (left, right) = (side(&change.old), side(&change.new));
    let node = |element| (form == Form::Tree).then_some(element).flatten().map(View::whole);
    Changed {
        path: words::of_xpath(&change.xpath),
        xpath: change.xpath,
        kind: match change.kind {
            ChangeKind::Added => Kind::Added,
            ChangeKind::Removed => Kind::Removed,
            ChangeKind::Changed => Kind::Changed,
            ChangeKind::Moved => Kind::Moved,
        },
        follows: change.follows,
        old: node(change.old),
        new: node(change.new),
        text,
        left,
        right,
    }
}

fn lines(element: &bartizan_model::tree::Element) -> Vec<String> {
    write_pretty(element).lines().map(str::to_owned).collect()
}
