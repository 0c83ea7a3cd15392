//! `bartizan apply`: the candidate says what files declare, and no more of what they declared before.
//!
//! Files ending in `.xml` hold a `<config>` with the parts that are declared, files ending in `.set` lines that begin
//! with `set`. What was declared the last time is kept by the manager as the saved configuration `apply.OWNER`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bartizan_model::edit::Step;
use bartizan_model::tree::Element;
use bartizan_model::words::Line;
use bartizan_model::{diff, edit, xml};
use hyper::Method;
use serde_json::{Value, json};

use super::arguments::{Apply, Form, Waiting};
use super::client::Client;
use super::configuration::{line_of, read, tree};
use super::jobs::{end, remark};
use super::output::{print, yaml};
use super::plan::{Plan, plan};
use crate::{DIFFERENCES, Failure, USAGE, VALIDATION};

/// Edits in one request.
const EDITS_MAX: usize = 20_000;

/// Does it.
pub(super) async fn apply(arguments: &Apply) -> Result<(), Failure> {
    let client = Client::new(&arguments.common.server)?;
    let there = tree(&client, "candidate").await?;
    let declared = declared(&arguments.file, &there)?;
    let record = format!("apply.{}", arguments.owner);
    let before = client.find("/config", &[("source", &format!("saved:{record}")), ("xml", "true")]).await?;
    let before = before.as_ref().map(read).transpose()?.unwrap_or_else(|| Arc::new(Element::new("config")));
    let plan = plan(&there, &declared, &before).map_err(|lines| {
        let lines: Vec<String> = lines.iter().map(|line| format!("error: {}", line.trim())).collect();
        Failure::new(VALIDATION, lines.join("\n"))
    })?;
    let output = arguments.common.output;
    show(&plan, arguments)?;
    if arguments.dry_run {
        return if plan.steps.is_empty() { Ok(()) } else { Err(Failure::new(DIFFERENCES, "")) };
    }
    if plan.steps.len() > EDITS_MAX {
        return Err(Failure::new(
            1,
            format!("error: {} edits, at most {EDITS_MAX} are made at once", plan.steps.len()),
        ));
    }
    if !plan.steps.is_empty() {
        let edits: Vec<Value> = plan.steps.iter().map(to_json).collect();
        client.ask(Method::POST, "/config/edits", Some(&json!({ "edits": edits }))).await?;
    }
    if *before != declared {
        let path = format!("/saved/{record}");
        client.ask(Method::PUT, &path, Some(&json!({ "configuration": xml::write(&declared) }))).await?;
    }
    if !arguments.commit {
        return Ok(());
    }
    let who = client.get("/session", &[]).await?;
    let body = json!({ "description": arguments.description, "only": { "admins": [who["user"]] } });
    let ordered = client.ask(Method::POST, "/commit", Some(&body)).await?;
    if ordered["job"].is_null() {
        return remark("there is nothing to commit", output);
    }
    let waiting = Waiting { wait: true, timeout: arguments.timeout };
    end(&client, &arguments.common, &ordered["job"], waiting).await
}

fn show(plan: &Plan, arguments: &Apply) -> Result<(), Failure> {
    let lines = diff::set_lines(&plan.changes);
    let answer = json!({ "changes": lines, "edits": plan.steps.len(), "dry_run": arguments.dry_run });
    match arguments.common.output {
        Form::Json => print(&answer.to_string()),
        Form::Yaml => print(&yaml(&answer)?),
        Form::Table if lines.is_empty() => print("nothing to do"),
        Form::Table => {
            print(&lines.join("\n"))?;
            let done = if arguments.dry_run { "would be made" } else { "are made" };
            print(&format!("{} edit(s) {done}", plan.steps.len()))
        }
    }
}

fn to_json(step: &Step) -> Value {
    match step {
        Step::Put { xpath, element } => json!({ "action": "edit", "xpath": xpath, "element": element }),
        Step::Delete { xpath } => json!({ "action": "delete", "xpath": xpath }),
        Step::Move { xpath, follows: Some(name) } => {
            json!({ "action": "move", "xpath": xpath, "place": "after", "other": name })
        }
        Step::Move { xpath, follows: None } => json!({ "action": "move", "xpath": xpath, "place": "top" }),
    }
}

/// What all files declare together; every mistake is told with its file and line.
fn declared(place: &Path, there: &Arc<Element>) -> Result<Element, Failure> {
    let mut root = Arc::new(Element::new("config"));
    let mut wrong = Vec::new();
    let files = files(place)?;
    if files.is_empty() {
        return Err(Failure::new(
            USAGE,
            format!("error: `{}` has no file ending in `.xml` or `.set`", place.display()),
        ));
    }
    for path in files {
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Failure::new(1, format!("error: read `{}`: {error}", path.display())))?;
        let mistakes = match path.extension().is_some_and(|extension| extension == "xml") {
            true => add_xml(&mut root, &text),
            false => add_lines(&mut root, there, &text),
        };
        wrong.extend(mistakes.into_iter().map(|mistake| format!("error: {}{mistake}", path.display())));
    }
    if wrong.is_empty() { Ok(Arc::unwrap_or_clone(root)) } else { Err(Failure::new(VALIDATION, wrong.join("\n"))) }
}

/// Files to read, by name.
fn files(place: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: std::io::Error| Failure::new(1, format!("error: read `{}`: {error}", place.display()));
    if std::fs::metadata(place).map_err(failed)?.is_file() {
        return Ok(vec![place.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(place).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() && !is_hidden {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "xml" || extension == "set") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn add_xml(root: &mut Arc<Element>, text: &str) -> Vec<String> {
    let read = match xml::parse(text) {
        Ok(read) if &*read.name == "config" => read,
        Ok(read) => return vec![format!(": its root is `{}`, not `config`", read.name)],
        Err(diagnostic) => {
            let (line, column) = xml::line_column(text, diagnostic.origin.span.map_or(0, |span| span.start));
            return vec![format!(":{line}:{column}: {}", diagnostic.message)];
        }
    };
    let inner: String = read.elements().map(|child| xml::write(child)).collect();
    edit::set(root, "/config", &inner).err().map(|error| format!(": {error}")).into_iter().collect()
}

fn add_lines(root: &mut Arc<Element>, there: &Arc<Element>, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // What the schema does not know may be known from what is declared, or from what is there.
        let mistake = match line_of(root, line).or_else(|error| line_of(there, line).map_err(|_| error)) {
            Ok(Line::Set { xpath, element }) => edit::set(root, &xpath, &element).err().map(|error| error.to_string()),
            Ok(_) => Some("only `set` declares something".to_owned()),
            Err(error) => Some(error.to_string()),
        };
        wrong.extend(mistake.map(|mistake| format!(":{}: {mistake}", number + 1)));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_both_kinds_declare_together_and_all_mistakes_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("a.set", "# ours\nset shared address web fqdn web.example\n\nset shared tag red\n");
        std::fs::create_dir(folder.path().join("more")).unwrap();
        write(
            "more/b.xml",
            "<config><shared><address><entry name='dns'><fqdn>d.example</fqdn></entry></address></shared></config>",
        );
        write("readme.md", "not ours");
        let there = Arc::new(Element::new("config"));
        let tree = declared(folder.path(), &there).unwrap();
        let text = xml::write(&tree);
        assert_eq!(
            text,
            "<config><shared><address><entry name=\"web\"><fqdn>web.example</fqdn></entry><entry name=\"dns\">\
                          <fqdn>d.example</fqdn></entry></address><tag><entry name=\"red\"/></tag></shared></config>"
        );
        write("c.set", "set shared adress x\ndelete shared tag red\n");
        write("d.xml", "<config>\n<shared>");
        write("e.xml", "<shared/>");
        let wrong = declared(folder.path(), &there).unwrap_err();
        assert_eq!(wrong.code, VALIDATION);
        for part in ["c.set:1: word 3: `adress` is not known", "c.set:2: only `set`", "d.xml:", "its root is `shared`"]
        {
            assert!(wrong.text.contains(part), "{part}: {}", wrong.text);
        }
        assert_eq!(declared(tempfile::tempdir().unwrap().path(), &there).unwrap_err().code, USAGE);
    }
}
