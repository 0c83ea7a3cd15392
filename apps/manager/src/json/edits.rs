//! Editing the candidate: any number of edits, all of them or none.

use std::sync::Arc;

use axum::http::Method;
use bartizan_model::edit::Step;
use bartizan_model::tree::Element;
use bartizan_model::words::{self, Line};
use bartizan_model::xml;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::{Complaint, Problem};
use super::route::{Access, Call, Json, Nothing, Route};
use super::source::Place;
use super::tree::Node;
use crate::accounts::Caller;
use crate::configuration::ApplyError;
use crate::configuration::edit::{Applied, Edit, Entries};
use crate::configuration::undo::{self, Back};
use crate::xmlapi::reply::code;

/// Edits in one request.
const EDITS_MAX: usize = 20_000;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::new(
        Method::POST,
        "/config/edits",
        Access::Config("multi-config"),
        "Edit the candidate, all or nothing",
        edit,
    )]
}

/// Edits of the candidate.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Edits {
    /// In their order.
    #[serde(default)]
    edits: Vec<Asked>,
    /// Lines of the command line, behind the edits: `set shared address web ip-netmask 10.0.0.1`, `delete`, `move`,
    /// `rename`. Empty ones, and those that begin with `#`, say nothing.
    #[serde(default)]
    lines: Vec<String>,
    /// Tell the edits that take these back.
    #[serde(default)]
    undo: bool,
}

/// One edit. `xpath` or `path` names its node.
#[derive(Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// What is done.
    action: Action,
    /// XPath of the node; of `clone`, `multi-move` and `multi-clone` the list that gets the entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    xpath: Option<String>,
    /// Instead: the words of the command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// `set`: the elements that the node gets, as XML. `edit`, `override`: the node, as XML.
    #[serde(skip_serializing_if = "Option::is_none")]
    element: Option<String>,
    /// `set`: the elements that the node gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<Vec<Node>>,
    /// `edit`, `override`: the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Node>,
    /// `set`: the text of a leaf.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// `rename` and `clone`: the new name.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// `clone`: XPath of the entry that is copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// `move`: where to.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<MovePlace>,
    /// `move`: the entry that `before` and `after` mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    other: Option<String>,
    /// `multi-move` and `multi-clone`: which entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<Vec<Chosen>>,
    /// The digest that the node had when it was read, or nothing for a node that was not there: somebody else's change
    /// is not overwritten.
    #[serde(skip_serializing_if = "Option::is_none")]
    if_digest: Option<String>,
}

/// What an edit does.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    /// Merge.
    #[default]
    Set,
    /// Replace, or make.
    Edit,
    /// Put a node of its own in the place of an inherited one: in a stack, a device group. `delete` brings that back.
    Override,
    /// Remove.
    Delete,
    /// Give an entry another name; references follow.
    Rename,
    /// Copy an entry.
    Clone,
    /// Bring an entry to another place in its list.
    Move,
    /// Bring entries into another list.
    MultiMove,
    /// Copy entries into another list.
    MultiClone,
}

/// A place in a list.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
enum MovePlace {
    /// First.
    Top,
    /// Last.
    Bottom,
    /// Before another one.
    Before,
    /// After another one.
    After,
}

/// Entries of a list.
#[derive(Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
struct Chosen {
    /// XPath of the list.
    list: String,
    /// Names.
    names: Vec<String>,
}

/// What edits did.
#[derive(JsonSchema, Serialize)]
struct Edited {
    /// Of each edit, in their order.
    results: Vec<EditResult>,
    /// The revision of the candidate.
    revision: String,
    /// Edits that are not committed.
    pending: usize,
    /// With `undo`: the edits that take these back, as `edits` of the next request; nothing when they are too many.
    #[serde(skip_serializing_if = "Option::is_none")]
    undo: Option<Vec<Asked>>,
}

/// What one edit did.
#[derive(Clone, Copy, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
enum EditResult {
    /// The candidate is another one.
    Changed,
    /// The candidate said so already.
    Unchanged,
    /// There was nothing to remove.
    Absent,
}

async fn edit(call: Call<Nothing, Edits>) -> Result<Json<Edited>, Problem> {
    let count = call.body.edits.len() + call.body.lines.len();
    if count > EDITS_MAX {
        let message = format!("{count} edits in one request, at most {EDITS_MAX} are taken");
        return Err(Problem::parameter("edits", message));
    }
    let call_edits = call.body.edits.len();
    let mut edits = Vec::new();
    // Which of the caller's edits each one is; an expectation belongs to the edit that it stands before.
    let mut numbers = Vec::new();
    for (number, asked) in call.body.edits.into_iter().enumerate() {
        let root = call.caller.view(&call.app.configuration.snapshot().candidate);
        let xpath = Place::new(None, asked.xpath.clone(), asked.path.clone()).xpath(&root)?;
        if let Some(digest) = &asked.if_digest {
            edits.push(Edit::Expect { xpath: xpath.clone(), digest: digest.clone() });
            numbers.push(None);
        }
        let read = asked.into_edit(xpath);
        edits.push(read.map_err(|(name, what)| Problem::parameter(&format!("edits[{number}].{name}"), what))?);
        numbers.push(Some(number));
    }
    let root = call.caller.view(&call.app.configuration.snapshot().candidate);
    for (number, edit) in lines(root, &edits, &call.body.lines)? {
        edits.push(edit);
        numbers.push(Some(call_edits + number));
    }
    let done = call.app.configuration.apply_telling(&call.caller, edits).await.map_err(|error| match error {
        ApplyError::Edit { index, failure } => {
            // An expectation is told as the edit behind it.
            let number = numbers.iter().skip(index).flatten().next().copied().unwrap_or(index);
            if failure.code == code::CHANGED {
                Problem::changed(number, &failure.lines)
            } else {
                ApplyError::Edit { index: number, failure }.into()
            }
        }
        error @ ApplyError::Store(_) => error.into(),
    })?;
    let results =
        done.results.into_iter().zip(&numbers).filter(|(_, number)| number.is_some()).map(
            |(applied, _)| match applied {
                Applied::Changed => EditResult::Changed,
                Applied::Unchanged => EditResult::Unchanged,
                Applied::Absent => EditResult::Absent,
            },
        );
    let results = results.collect();
    let undo = if call.body.undo { taken_back(&call.caller, &done.before, &done.after).await? } else { None };
    let snapshot = call.app.configuration.snapshot();
    Ok(Json(Edited { results, revision: snapshot.revision(), pending: snapshot.pending, undo }))
}

/// The edits that take edits back, of what the caller sees.
async fn taken_back(
    caller: &Caller,
    before: &Arc<Element>,
    after: &Arc<Element>,
) -> Result<Option<Vec<Asked>>, Problem> {
    let (before, after) = (caller.view(before), caller.view(after));
    let told = tokio::task::spawn_blocking(move || undo::back(&before, &after)).await.map_err(anyhow::Error::from)?;
    Ok(told.map(|steps| steps.into_iter().map(Asked::from).collect()))
}

impl From<Back> for Asked {
    fn from(Back { step, digest }: Back) -> Self {
        let xpath = Some(step.xpath().to_owned());
        let asked = match step {
            Step::Put { element, .. } => Self { action: Action::Edit, element: Some(element), ..Self::default() },
            Step::Delete { .. } => Self { action: Action::Delete, ..Self::default() },
            Step::Move { follows, .. } => {
                let place = if follows.is_some() { MovePlace::After } else { MovePlace::Top };
                Self { action: Action::Move, place: Some(place), other: follows, ..Self::default() }
            }
        };
        Self { xpath, if_digest: digest, ..asked }
    }
}

/// The edits that lines mean, with their numbers; each is read in the tree that those before it make.
fn lines(mut root: Arc<Element>, before: &[Edit], texts: &[String]) -> Result<Vec<(usize, Edit)>, Problem> {
    let (mut edits, mut wrong) = (Vec::new(), Vec::new());
    if !texts.is_empty() {
        before.iter().for_each(|edit| drop(edit.apply(&mut root)));
    }
    for (number, text) in texts.iter().enumerate() {
        if text.trim().is_empty() || text.trim_start().starts_with('#') {
            continue;
        }
        let edit = match words::line(&root, text) {
            Ok(Line::Set { xpath, element }) => Edit::Set { xpath, element },
            Ok(Line::Delete { xpath }) => Edit::Delete { xpath },
            Ok(Line::Move { xpath, place, other }) => Edit::Move { xpath, r#where: place, dst: other },
            Ok(Line::Rename { xpath, name }) => Edit::Rename { xpath, newname: name },
            Err(error) => {
                wrong.push(Complaint::of_parameter(&format!("lines[{number}]"), format!("{error}: {text}")));
                continue;
            }
        };
        // What is refused is told when all of them are made.
        let _ = edit.apply(&mut root);
        edits.push((number, edit));
    }
    if wrong.is_empty() { Ok(edits) } else { Err(Problem::of_request(wrong)) }
}

type Mistake = (&'static str, &'static str);

impl Asked {
    /// What is there that the action would pass over in silence.
    fn stray(&self) -> Option<Mistake> {
        let members: [(bool, &[Action], Mistake); 9] = [
            (
                self.node.is_some(),
                &[Action::Edit, Action::Override],
                ("node", "only `edit` and `override` take a node; `set` takes the elements below it, as `nodes`"),
            ),
            (self.nodes.is_some(), &[Action::Set], ("nodes", "only `set` takes elements; give the node, as `node`")),
            (self.text.is_some(), &[Action::Set], ("text", "only `set` takes a text; give the node, as `node`")),
            (
                self.element.is_some(),
                &[Action::Set, Action::Edit, Action::Override],
                ("element", "only `set`, `edit` and `override` take XML"),
            ),
            (self.name.is_some(), &[Action::Rename, Action::Clone], ("name", "only `rename` and `clone` take a name")),
            (self.from.is_some(), &[Action::Clone], ("from", "only `clone` copies an entry")),
            (self.place.is_some(), &[Action::Move], ("place", "only `move` takes a place")),
            (self.other.is_some(), &[Action::Move], ("other", "only `move` takes another entry")),
            (
                self.entries.is_some(),
                &[Action::MultiMove, Action::MultiClone],
                ("entries", "only `multi-move` and `multi-clone` take entries"),
            ),
        ];
        let stray = members.into_iter().find(|(given, actions, _)| *given && !actions.contains(&self.action));
        stray.map(|(.., mistake)| mistake)
    }

    /// The edit; a mistake names its member.
    fn into_edit(self, xpath: String) -> Result<Edit, Mistake> {
        if let Some(mistake) = self.stray() {
            return Err(mistake);
        }
        let name = self.name.ok_or(("name", "the new name is missing"));
        let entries = self.entries.ok_or(("entries", "the entries are missing")).map(|entries| {
            entries.into_iter().map(|one| Entries { source: one.list, names: one.names }).collect::<Vec<_>>()
        });
        Ok(match self.action {
            Action::Set => {
                let element = match (self.element, self.nodes, self.text) {
                    (Some(element), None, None) => element,
                    (None, Some(nodes), None) => nodes.iter().map(|node| xml::write(&node.to_element())).collect(),
                    (None, None, Some(text)) => xml::escape(&text),
                    (None, None, None) => String::new(),
                    _ => return Err(("element", "give one of `element`, `nodes` and `text`")),
                };
                Edit::Set { xpath, element }
            }
            Action::Edit | Action::Override => {
                let element = match (self.element, self.node) {
                    (Some(element), None) => element,
                    (None, Some(node)) => xml::write(&node.to_element()),
                    _ => return Err(("node", "give the node, as `node` or as `element`")),
                };
                match self.action {
                    Action::Edit => Edit::Replace { xpath, element },
                    _ => Edit::Override { xpath, element, is_checked: false },
                }
            }
            Action::Delete => Edit::Delete { xpath },
            Action::Rename => Edit::Rename { xpath, newname: name? },
            Action::Clone => {
                let from = self.from.ok_or(("from", "the entry that is copied is missing"))?;
                Edit::Clone { xpath, from, newname: name? }
            }
            Action::Move => {
                let place = self.place.ok_or(("place", "`top`, `bottom`, `before` or `after` is missing"))?;
                let other = || self.other.clone().ok_or(("other", "the other entry is missing"));
                let (place, dst) = match place {
                    MovePlace::Top => ("top", String::new()),
                    MovePlace::Bottom => ("bottom", String::new()),
                    MovePlace::Before => ("before", other()?),
                    MovePlace::After => ("after", other()?),
                };
                Edit::Move { xpath, r#where: place.to_owned(), dst }
            }
            Action::MultiMove => Edit::MultiMove { xpath, selected: entries?, all_errors: true },
            Action::MultiClone => Edit::MultiClone { xpath, selected: entries?, all_errors: true },
        })
    }
}
