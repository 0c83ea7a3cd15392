//! Which edits made a rule what it is?

use bartizan_model::tree::Element;
use bartizan_model::xml;
use bartizan_model::xpath::XPath;

use crate::app::App;
use crate::configuration::edit::{Edit, Entries};
use crate::store::versions::JournalLine;

/// Edits that name the rule and are looked at.
const EDITS_MAX: usize = 5000;
/// Names of a rule that are followed.
const NAMES_MAX: usize = 20;
/// Characters of an edit that are told.
const TEXT_MAX: usize = 4000;

/// Something that was done to a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// With which version it was committed; nothing while it is pending.
    pub(crate) version: Option<i64>,
    /// Number of the edit.
    pub(crate) id: i64,
    /// When.
    pub(crate) time_us: i64,
    /// By whom.
    pub(crate) author: String,
    /// `set`, `move`, ... and `comment`.
    pub(crate) action: &'static str,
    /// Which node was named.
    pub(crate) xpath: String,
    /// What was written there, or the comment.
    pub(crate) text: String,
}

/// Tags and names from the root; the one device has no name here.
type Steps = Vec<(String, Option<String>)>;

/// The edits that touched a rule, the newest first.
///
/// # Errors
/// When the database cannot be read.
pub(crate) async fn read(app: &App, xpath: &str, count_max: usize) -> anyhow::Result<Vec<Event>> {
    let Some(mut here) = steps(xpath) else { return Ok(Vec::new()) };
    let mut events = Vec::new();
    let mut before = i64::MAX;
    let pending = app.store.journal(usize::MAX).await?.into_iter().rev();
    let pending: Vec<_> = pending.map(|line| (None, line)).collect();
    for _ in 0..NAMES_MAX {
        let Some((_, Some(name))) = here.last().cloned() else { break };
        let kept = app.store.edits_that_name(&name, before, EDITS_MAX).await?;
        let kept = kept.into_iter().map(|edit| {
            let line = JournalLine { id: edit.id, time_us: edit.time_us, author: edit.author, edit: edit.edit };
            (Some(edit.version), line)
        });
        let mut was_renamed = false;
        for (version, line) in pending.iter().filter(|(_, line)| line.id < before).cloned().chain(kept) {
            let Ok(edit) = serde_json::from_str::<Edit>(&line.edit) else { continue };
            let Some(earlier) = touches(&edit, &here) else { continue };
            events.push(Event {
                version,
                id: line.id,
                time_us: line.time_us,
                author: line.author,
                action: edit.name(),
                xpath: edit.xpath().to_owned(),
                text: text(&edit),
            });
            if events.len() >= count_max {
                return Ok(events);
            }
            if earlier != here {
                (here, before, was_renamed) = (earlier, line.id, true);
                break;
            }
        }
        if !was_renamed {
            break;
        }
    }
    Ok(events)
}

/// Nothing when an edit is not about the rule; else where the rule was before it.
fn touches(edit: &Edit, rule: &Steps) -> Option<Steps> {
    if let Edit::Load { .. } = edit {
        return Some(rule.clone());
    }
    let at = steps(edit.xpath())?;
    let (list, last) = rule.split_at(rule.len() - 1);
    let name = last[0].1.as_deref().unwrap_or_default();
    let is = match edit {
        Edit::Rename { newname, .. } => {
            let (parent, _) = at.split_at(at.len() - 1);
            if parent == list && newname == name {
                return Some(at);
            }
            false
        }
        Edit::Clone { newname, .. } => at == list && newname == name,
        Edit::MultiMove { selected, .. } | Edit::MultiClone { selected, .. } => {
            let holds = |one: &Entries| one.names.iter().any(|other| other == name);
            let from = selected.iter().find(|one| holds(one)).and_then(|one| steps(&one.source));
            match from {
                Some(mut from) if at == list => {
                    from.push(last[0].clone());
                    return Some(from);
                }
                from => from.is_some_and(|from| from == list) && matches!(edit, Edit::MultiMove { .. }),
            }
        }
        Edit::Delete { .. } => rule.starts_with(&at) || at.starts_with(rule),
        Edit::Set { element, .. } => at.starts_with(rule) || holds(&format!("<f>{element}</f>"), &at, rule),
        Edit::Replace { element, .. } | Edit::Override { element, .. } => {
            at.starts_with(rule) || holds(element, &at, rule)
        }
        Edit::Move { .. } | Edit::AuditComment { .. } => at == *rule,
        Edit::Expect { .. } | Edit::Load { .. } => false,
    };
    is.then(|| rule.clone())
}

/// Whether what is written at a place above the rule has the rule in it.
fn holds(text: &str, at: &Steps, rule: &Steps) -> bool {
    if !rule.starts_with(at) {
        return false;
    }
    let Ok(root) = xml::parse(text) else { return false };
    let mut here: Option<&Element> = Some(&root);
    for (tag, name) in &rule[at.len()..] {
        here = here.and_then(|parent| {
            let mut children = parent.elements().map(|child| &**child);
            // The one device has no name here.
            children.find(|child| {
                &*child.name == tag.as_str() && (name.is_none() || child.attribute("name") == name.as_deref())
            })
        });
    }
    here.is_some()
}

fn steps(xpath: &str) -> Option<Steps> {
    let parsed = XPath::parse(xpath).ok()?;
    let path = parsed.single()?;
    let mut steps = Steps::new();
    for step in &path.steps {
        let is_device = steps.last().is_some_and(|(tag, _)| tag == "devices") && steps.len() == 2;
        let name = step.attribute("name").filter(|_| !is_device);
        steps.push((step.name()?.to_owned(), name.map(str::to_owned)));
    }
    (!steps.is_empty()).then_some(steps)
}

fn text(edit: &Edit) -> String {
    let text = match edit {
        Edit::Set { element, .. } | Edit::Replace { element, .. } | Edit::Override { element, .. } => element.clone(),
        Edit::AuditComment { comment, .. } => comment.clone(),
        Edit::Rename { newname, .. } | Edit::Clone { newname, .. } => newname.clone(),
        Edit::Move { r#where: place, dst, .. } => format!("{place} {dst}").trim_end().to_owned(),
        Edit::Load { source, .. } => source.clone(),
        Edit::MultiMove { .. } | Edit::MultiClone { .. } | Edit::Delete { .. } | Edit::Expect { .. } => String::new(),
    };
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
