//! `save config to NAME`, `load config from NAME`, parts of either, `delete config saved NAME`, `show config saved`, and files that
//! are imported and exported.

use std::sync::Arc;

use bartizan_model::tree::{Child, Element};
use bartizan_model::xml;

use super::super::config::config_result;
use super::super::element::{Build as _, element, entry};
use super::super::reply::{Reply, code};
use super::argument;
use crate::accounts::Caller;
use crate::app::App;
use crate::configuration::edit::Edit;
use crate::configuration::part::{self, Mode};
use crate::configuration::partial::Selection;
use crate::refusal::Refusal;
use crate::store::snapshots::SNAPSHOTS_MAX;
use crate::times;

/// Longest name (PAN-OS: file names of saved configurations have at most 32 characters; longer ones do no harm).
const NAME_MAX: usize = 63;
/// The name of what is running.
pub(crate) const RUNNING: &str = "running-config.xml";
/// The name under which `save config` without one saves.
const UNNAMED: &str = ".snapshot.xml";

/// `save config to NAME`: the candidate.
pub(super) async fn save(app: &App, caller: &Caller, command: &Element) -> Reply {
    let Some(config) = command.child("config") else {
        return Reply::error(code::INVALID_COMMAND, &["invalid client cli"]);
    };
    let partial = config.child("partial");
    let to = config.child("to").or_else(|| partial.and_then(|partial| partial.child("to")));
    let name = argument(to.map(|to| &**to)).unwrap_or_else(|| UNNAMED.to_owned());
    let mut partial = partial.map(|partial| Element::clone(partial)).unwrap_or_else(|| element("partial"));
    partial.children.retain(|child| !matches!(child, Child::Element(child) if &*child.name == "to"));
    let selection = match Selection::read(&partial) {
        Ok(selection) => selection,
        Err(lines) => return Reply::error(code::INVALID_OBJECT, &lines),
    };
    match keep_candidate(app, caller, &name, selection.as_ref()).await {
        Ok(()) => Reply::line(&format!("Config saved to {name}")),
        Err(refusal) => refusal.into(),
    }
}

/// Keeps the candidate under a name, or what is running with the edits that are selected.
pub(crate) async fn keep_candidate(
    app: &App,
    caller: &Caller,
    name: &str,
    selection: Option<&Selection>,
) -> Result<(), Refusal> {
    let snapshot = app.configuration.snapshot();
    let tree = match selection {
        None => snapshot.candidate.clone(),
        Some(selection) => app.configuration.split(&snapshot, selection).await?.chosen,
    };
    keep(app, caller, name, &xml::write(&tree)).await
}

/// `load config partial from NAME from-xpath X to-xpath Y mode merge|replace|append`; `version N` instead of `from`.
pub(super) async fn load_part(app: &App, caller: &Caller, partial: &Element) -> Reply {
    let named = |tag: &str| argument(partial.child(tag).map(|child| &**child));
    let (name, source) = match (named("from"), named("version")) {
        (Some(name), None) => (name.clone(), read(app, &name).await),
        (None, Some(number)) => (format!("version {number}"), read_version(app, &number).await),
        _ => {
            let line = "load config partial needs `from NAME` or `version N`; `show config saved` lists the names";
            return Reply::error(code::INVALID_COMMAND, &[line]);
        }
    };
    let (Some(from), Some(to)) = (named("from-xpath"), named("to-xpath")) else {
        let line = "load config partial needs `from-xpath` and `to-xpath`: what is loaded, and into what";
        return Reply::error(code::INVALID_COMMAND, &[line]);
    };
    let word = named("mode").unwrap_or_default();
    let Some(mode) = Mode::parse(&word) else {
        let line = format!("`{word}` is no mode; there are `merge`, `replace` and `append`");
        return Reply::error(code::INVALID_COMMAND, &[line]);
    };
    let loaded = match source {
        Ok(source) => load_part_of(app, caller, (&name, &source), (&from, &to), mode).await,
        Err(refusal) => Err(refusal),
    };
    match loaded {
        Ok(()) => Reply::line(&format!("Config loaded from {name}: {from} into {to}")),
        Err(refusal) => refusal.into(),
    }
}

/// A node of a configuration comes into the candidate; `name` says which configuration that is.
pub(crate) async fn load_part_of(
    app: &App,
    caller: &Caller,
    (name, source): (&str, &Element),
    (from, to): (&str, &str),
    mode: Mode,
) -> Result<(), Refusal> {
    let edit = part::edit(&app.configuration.snapshot().candidate, source, (from, to), mode)?;
    app.configuration.apply(caller, vec![edit]).await?;
    super::note(app, caller, "load", format!("{to}: {from} of {name}")).await;
    Ok(())
}

/// A version by its number.
pub(super) async fn read_version(app: &App, number: &str) -> Result<Arc<Element>, Refusal> {
    let missing = || Refusal::new(code::NOT_PRESENT, [format!("version `{number}` not found")]);
    app.configuration.version(number.parse().map_err(|_| missing())?).await?.ok_or_else(missing)
}

/// `type=import&category=configuration`: a file of that name.
pub(in crate::xmlapi) async fn import(app: &App, caller: &Caller, name: &str, text: &str) -> Reply {
    match keep_text(app, caller, name, text).await {
        Ok(()) => Reply::line(&format!("{name} saved.")),
        Err(refusal) => refusal.into(),
    }
}

/// Keeps a text under a name, when it is a configuration.
pub(crate) async fn keep_text(app: &App, caller: &Caller, name: &str, text: &str) -> Result<(), Refusal> {
    match xml::parse(text) {
        Ok(root) if &*root.name == "config" => keep(app, caller, name, text).await,
        Ok(root) => {
            let line = format!("{name} is no configuration: its root is `{}`, not `config`", root.name);
            Err(Refusal::new(code::INVALID_OBJECT, [line]))
        }
        Err(diagnostic) => Err(Refusal::new(code::INVALID_OBJECT, [format!("{name} cannot be read: {diagnostic}")])),
    }
}

/// Keeps a configuration under a name.
pub(crate) async fn keep(app: &App, caller: &Caller, name: &str, text: &str) -> Result<(), Refusal> {
    if let Some(why) = refused(name) {
        return Err(Refusal::new(code::INVALID_OBJECT, [why]));
    }
    let sealed = app.secrets.seal_within(text, "").map_err(|error| Refusal::internal(&error))?;
    if !app.store.save_snapshot(name, &caller.name, sealed.as_deref().unwrap_or(text)).await? {
        let line = format!("{SNAPSHOTS_MAX} configurations are saved, more are not kept");
        return Err(Refusal::new(code::NOT_POSSIBLE, [line, "delete one with `delete config saved NAME`".to_owned()]));
    }
    Ok(())
}

fn refused(name: &str) -> Option<String> {
    if name == RUNNING {
        return Some(format!("{RUNNING} is what is running; choose another name"));
    }
    if name.chars().count() > NAME_MAX {
        let length = name.chars().count();
        return Some(format!("{name} can be at most {NAME_MAX} characters, but current length: {length}"));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ' ');
    let stranger = name.chars().find(|c| !allowed(*c));
    stranger.map(|c| format!("`{c}` cannot be part of a file name; letters, digits, `.`, `_`, `-` and blanks can"))
}

/// `load config from NAME`: it becomes the candidate.
pub(super) async fn load(app: &App, caller: &Caller, name: &str) -> Reply {
    let tree = match read(app, name).await {
        Ok(tree) => tree,
        Err(refusal) => return refusal.into(),
    };
    match load_tree(app, caller, name, &tree).await {
        Ok(()) => Reply::line(&format!("Config loaded from {name}")),
        Err(refusal) => refusal.into(),
    }
}

/// A configuration becomes the candidate; `source` says what it is.
pub(crate) async fn load_tree(app: &App, caller: &Caller, source: &str, tree: &Element) -> Result<(), Refusal> {
    let edit = Edit::Load { source: source.to_owned(), configuration: xml::write(tree) };
    app.configuration.apply(caller, vec![edit]).await?;
    Ok(())
}

/// `delete config saved NAME`
pub(super) async fn delete(app: &App, command: &Element) -> Reply {
    let saved = command.descend(&["config", "saved"]);
    let name = argument(saved).unwrap_or_default();
    match forget(app, &name).await {
        Ok(()) => Reply::line(&format!("{name} deleted")),
        Err(refusal) => refusal.into(),
    }
}

/// Forgets what was kept under a name.
pub(crate) async fn forget(app: &App, name: &str) -> Result<(), Refusal> {
    match app.store.delete_snapshot(name).await? {
        true => Ok(()),
        false => Err(missing(app, name).await),
    }
}

/// `show config saved NAME`; without a name the list of them.
pub(super) async fn show(app: &App, caller: &Caller, command: &Element) -> Reply {
    if let Some(name) = argument(command.descend(&["config", "saved"])) {
        return read(app, &name).await.map_or_else(Reply::from, |tree| config_result(caller.view(&tree)));
    }
    match app.store.snapshots().await {
        Ok(lines) => {
            let entries = lines.iter().map(|line| {
                entry(&line.name).leaf("time", &times::date_time(line.time_us)).leaf("admin", &line.author)
            });
            Reply::result(element("result").with(element("saved").with_all(entries)))
        }
        Err(error) => Reply::internal(&error),
    }
}

/// A saved configuration, or what is running.
pub(crate) async fn read(app: &App, name: &str) -> Result<Arc<Element>, Refusal> {
    if name == RUNNING {
        return Ok(app.configuration.snapshot().running.clone());
    }
    let Some(text) = app.store.snapshot(name).await? else { return Err(missing(app, name).await) };
    let root = xml::parse(&text);
    root.map(Arc::new).map_err(|diagnostic| Refusal::new(code::INVALID_OBJECT, [diagnostic.to_string()]))
}

async fn missing(app: &App, name: &str) -> Refusal {
    let known: Vec<String> =
        app.store.snapshots().await.unwrap_or_default().into_iter().map(|line| line.name).collect();
    let near = bartizan_model::diagnostic::closest(name, known.iter().map(String::as_str));
    let help = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Refusal::new(code::NOT_PRESENT, [format!("{name} is not a saved configuration{help}")])
}
