//! `bartizan get`, `set`, `delete`, `diff` and `export`.

use std::sync::Arc;

use bartizan_model::tree::Element;
use bartizan_model::words::word;
use bartizan_model::{diff as difference, words, xml};
use hyper::Method;
use serde_json::{Value, json};

use super::arguments::{Diff, Export, ExportForm, Get, Words};
use super::client::Client;
use super::output::{list, print, table, write as write_answer, yaml};
use crate::{DIFFERENCES, Failure};

/// Changes that are shown at once.
const CHANGES: &str = "100000";

/// Reads nodes; nothing there is a failure.
pub(super) async fn get(arguments: &Get) -> Result<(), Failure> {
    let client = Client::new(&arguments.common.server)?;
    let path = line(&arguments.words);
    let xpath = arguments.xpath.as_deref().unwrap_or_default();
    let parameters = [("source", arguments.source.as_str()), ("path", &path), ("xpath", xpath)];
    let nodes = client.get("/config", &parameters).await?;
    if list(&nodes, "nodes").is_empty() {
        let place = if path.is_empty() { xpath } else { &path };
        return Err(Failure::new(1, format!("error: nothing is at `{place}`")));
    }
    write_answer(&nodes, arguments.common.output, |nodes| {
        let mut rows = Vec::new();
        for node in list(nodes, "nodes") {
            leaves(&node["node"], node["path"].as_str().unwrap_or_default(), &mut rows);
        }
        table(&["path", "value"], rows)
    })
}

/// A row for each value below a node.
fn leaves(node: &Value, path: &str, rows: &mut Vec<Vec<String>>) {
    let children: Vec<&Value> = list(node, "children").iter().filter(|child| child["tag"].is_string()).collect();
    let (members, inner): (Vec<_>, Vec<_>) = children.into_iter().partition(|child| child["tag"] == "member");
    if !members.is_empty() {
        let values: Vec<&str> = members.iter().filter_map(|member| member["text"].as_str()).collect();
        rows.push(vec![path.to_owned(), values.join(", ")]);
    } else if inner.is_empty() {
        rows.push(vec![path.to_owned(), node["text"].as_str().unwrap_or_default().to_owned()]);
    }
    for child in inner {
        let step = child["attributes"]["name"].as_str().filter(|_| child["tag"] == "entry").or(child["tag"].as_str());
        leaves(child, &format!("{path} {}", word(step.unwrap_or_default())), rows);
    }
}

/// One line of edits.
pub(super) async fn write(verb: &str, arguments: &Words) -> Result<(), Failure> {
    let client = Client::new(&arguments.server)?;
    let text = format!("{verb} {}", line(&arguments.words));
    let edited = client.ask(Method::POST, "/config/edits", Some(&json!({ "lines": [text] }))).await?;
    match edited["results"][0].as_str() {
        Some("absent") => Err(Failure::new(1, "error: there is nothing to delete")),
        Some(result) => print(result),
        None => Err(Failure::new(1, "error: the manager did not say what it did")),
    }
}

/// Words of the shell as a line; `[` and `]` stay what they are.
fn line(parts: &[String]) -> String {
    let quoted = parts.iter().map(|part| if matches!(&**part, "[" | "]") { part.clone() } else { word(part) });
    quoted.collect::<Vec<_>>().join(" ")
}

/// What two configurations differ in.
pub(super) async fn diff(arguments: &Diff) -> Result<(), Failure> {
    let client = Client::new(&arguments.common.server)?;
    let form = if arguments.set { "set" } else { "xml" };
    let parameters = [("from", &*arguments.from), ("to", &arguments.to), ("form", form), ("limit", CHANGES)];
    let found = client.get("/config/diff", &parameters).await?;
    write_answer(&found, arguments.common.output, |found| {
        list(found, "changes")
            .iter()
            .filter_map(|change| change["text"].as_str())
            .map(str::trim_end)
            .collect::<Vec<_>>()
            .join("\n")
    })?;
    // The differences are the answer; the code says that there are some.
    if found["total"] == 0 { Ok(()) } else { Err(Failure::new(DIFFERENCES, "")) }
}

/// A whole configuration.
pub(super) async fn export(arguments: &Export) -> Result<(), Failure> {
    let client = Client::new(&arguments.server)?;
    match arguments.output {
        ExportForm::Json | ExportForm::Yaml => {
            let nodes = client.get("/config", &[("source", &arguments.source)]).await?;
            let node = &nodes["nodes"][0]["node"];
            match arguments.output {
                ExportForm::Yaml => print(&yaml(node)?),
                _ => print(&serde_json::to_string_pretty(node).map_err(anyhow::Error::from)?),
            }
        }
        ExportForm::Xml => print(&xml::write_pretty(&*tree(&client, &arguments.source).await?)),
        ExportForm::Set => {
            let tree = tree(&client, &arguments.source).await?;
            let nothing = Arc::new(Element::new("config"));
            print(&difference::set_lines(&difference::diff(&nothing, &tree)).join("\n"))
        }
    }
}

/// A configuration of the manager.
pub(super) async fn tree(client: &Client, source: &str) -> Result<Arc<Element>, Failure> {
    let nodes = client.get("/config", &[("source", source), ("xml", "true")]).await?;
    read(&nodes)
}

/// The tree of an answer.
pub(super) fn read(nodes: &Value) -> Result<Arc<Element>, Failure> {
    let text = nodes["nodes"][0]["xml"].as_str().unwrap_or("<config/>");
    let root = xml::parse(text)
        .map_err(|diagnostic| Failure::new(1, format!("error: the manager's configuration: {diagnostic}")))?;
    Ok(Arc::new(root))
}

/// The node that a line of a file means, and what it does to a tree.
pub(super) fn line_of(root: &Element, text: &str) -> Result<words::Line, words::WordError> {
    words::line(root, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_shell_become_a_line() {
        let words = ["shared", "address", "two words", "tag", "[", "a", "]"].map(str::to_owned);
        assert_eq!(line(&words), "shared address \"two words\" tag [ a ]");
    }

    #[test]
    fn values_are_rows() {
        let node = json!({ "tag": "entry", "attributes": { "name": "web" }, "children": [
            { "tag": "ip-netmask", "text": "10.0.0.1" }, { "comment": "c" },
            { "tag": "tag", "children": [{ "tag": "member", "text": "a" }, { "tag": "member", "text": "b" }] } ] });
        let mut rows = Vec::new();
        leaves(&node, "shared address web", &mut rows);
        assert_eq!(rows, [["shared address web ip-netmask", "10.0.0.1"], ["shared address web tag", "a, b"]]);
    }
}
