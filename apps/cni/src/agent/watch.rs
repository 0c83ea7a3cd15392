//! What is there of a kind, and what changes? List, watch from there on, list again when the server has forgotten.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Shared;
use crate::api::{Client, Metadata, Refusal};

/// How long a watch lasts before it is opened anew: a connection that died in silence is noticed then.
const WATCH: Duration = Duration::from_secs(120);
const BACK_OFF: [u64; 6] = [1, 2, 4, 8, 16, 30];
/// One object on a line.
const MAXIMUM_LINE: u64 = 8 * 1024 * 1024;

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    items: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
}

/// How a watch ended that was not broken.
enum Ended {
    /// In time: go on from this version.
    At(String),
    /// The server has forgotten the version.
    Forgotten,
}

/// Follows a kind for ever. Of several paths (versions of an API) the first that exists is taken.
pub(super) fn follow<T: DeserializeOwned>(
    shared: &Shared,
    what: &str,
    paths: &[String],
    selector: &str,
    mut changed: impl FnMut(&BTreeMap<String, T>),
) {
    let mut failures = 0;
    let mut said = String::new();
    loop {
        let mut heard = false;
        let result = follow_once(shared, paths, selector, |objects| {
            heard = true;
            changed(objects);
        });
        if heard {
            failures = 0;
            said.clear();
        }
        if let Err(error) = result {
            shared.trouble(&format!("{what} cannot be watched"), &mut said, &error);
            std::thread::sleep(Duration::from_secs(BACK_OFF[failures]));
            failures = (failures + 1).min(BACK_OFF.len() - 1);
        }
    }
}

/// Ends without an error when everything has to be listed again.
fn follow_once<T: DeserializeOwned>(
    shared: &Shared,
    paths: &[String],
    selector: &str,
    mut changed: impl FnMut(&BTreeMap<String, T>),
) -> Result<()> {
    let (path, list) = list(&shared.environment.client()?, paths, selector)?;
    let mut objects = BTreeMap::new();
    for item in list.items.unwrap_or_default() {
        keep(&mut objects, item)?;
    }
    let mut version = list.metadata.version;
    changed(&objects);
    loop {
        // A new client: the token may have rotated.
        match watch(&shared.environment.client()?, path, selector, version, &mut objects, &mut changed)? {
            Ended::At(at) => version = at,
            Ended::Forgotten => return Ok(()),
        }
    }
}

fn list<'a>(client: &Client, paths: &'a [String], selector: &str) -> Result<(&'a str, List)> {
    for path in paths {
        if let Some(list) = client.get(&format!("{path}?{selector}"))? {
            return Ok((path, list));
        }
    }
    bail!("the API server has no {}", paths.join(" and no "))
}

fn watch<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    selector: &str,
    mut version: String,
    objects: &mut BTreeMap<String, T>,
    changed: &mut impl FnMut(&BTreeMap<String, T>),
) -> Result<Ended> {
    let seconds = WATCH.as_secs();
    let path = format!(
        "{path}?{selector}&watch=true&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds={seconds}"
    );
    let mut stream = match client.watch(&path, WATCH + Duration::from_secs(10)) {
        Ok(stream) => stream,
        Err(error) if error.downcast_ref::<Refusal>().is_some_and(|refusal| refusal.status == 410) => {
            return Ok(Ended::Forgotten);
        }
        Err(error) => return Err(error),
    };
    loop {
        let mut line = Vec::new();
        let read = stream.by_ref().take(MAXIMUM_LINE).read_until(b'\n', &mut line).context("read a watch")?;
        if read == 0 {
            return Ok(Ended::At(version));
        }
        let event: Event = serde_json::from_slice(&line).context("read a watch")?;
        if event.kind == "ERROR" {
            if event.object["code"] == 410 {
                return Ok(Ended::Forgotten);
            }
            bail!("the watch ended: {}", event.object["message"].as_str().unwrap_or("no reason is given"));
        }
        if let Some(at) = event.object["metadata"]["resourceVersion"].as_str() {
            at.clone_into(&mut version);
        }
        match event.kind.as_str() {
            "ADDED" | "MODIFIED" => keep(objects, event.object)?,
            "DELETED" => drop(objects.remove(&name(&event.object))),
            _ => continue,
        }
        changed(objects);
    }
}

fn keep<T: DeserializeOwned>(objects: &mut BTreeMap<String, T>, object: Value) -> Result<()> {
    let name = name(&object);
    let object = serde_json::from_value(object).with_context(|| format!("read `{name}`"))?;
    objects.insert(name, object);
    Ok(())
}

fn name(object: &Value) -> String {
    let field = |name: &str| object["metadata"][name].as_str().unwrap_or_default();
    format!("{}/{}", field("namespace"), field("name"))
}
