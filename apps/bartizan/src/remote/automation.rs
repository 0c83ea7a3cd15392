//! `bartizan automation …`: runs of playbooks and incidents, as they are and as people have them.

use std::io::Read as _;

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::arguments::Common;
use super::client::Client;
use super::output::{list, print, table, word, write};
use crate::Failure;

/// What of the automation is asked for.
#[derive(Debug, Subcommand)]
pub(crate) enum Automation {
    /// Runs, the newest first.
    Runs(Listing),
    /// A run: every task with what came of it, and the difference that waits for approval.
    Show(Number),
    /// Approve what a run waits for.
    Approve(Decision),
    /// Reject it.
    Reject(Decision),
    /// Have a run that failed go on.
    Rerun(Rerun),
    /// Run a playbook.
    Run(Run),
    /// Incidents, the newest first.
    Incidents(Listing),
    /// An incident with its timeline.
    Incident(Number),
    /// Comment an incident, or change what it is.
    Comment(Comment),
    /// Give an incident to an administrator.
    Assign(Assign),
    /// Playbooks, or the text of one.
    Playbooks(Playbooks),
}

/// Which runs or incidents.
#[derive(Args, Debug)]
pub(crate) struct Listing {
    #[command(flatten)]
    common: Common,

    /// Only those of this cluster.
    #[arg(long, value_name = "NAME", default_value = "")]
    cluster: String,

    /// Only those in this state.
    #[arg(long, value_name = "STATE", default_value = "")]
    state: String,

    /// At most so many.
    #[arg(short, value_name = "N", default_value_t = 20)]
    number: u32,
}

/// Which one.
#[derive(Args, Debug)]
pub(crate) struct Number {
    #[command(flatten)]
    common: Common,

    /// Its number.
    #[arg(value_name = "ID")]
    id: u64,
}

/// A decision about a run.
#[derive(Args, Debug)]
pub(crate) struct Decision {
    #[command(flatten)]
    common: Common,

    /// The run.
    #[arg(value_name = "ID")]
    id: u64,

    /// Why.
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
}

/// Which run goes on, and where.
#[derive(Args, Debug)]
pub(crate) struct Rerun {
    #[command(flatten)]
    common: Common,

    /// The run.
    #[arg(value_name = "ID")]
    id: u64,

    /// From this task instead of the one that failed.
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
}

/// What is to be run.
#[derive(Args, Debug)]
pub(crate) struct Run {
    #[command(flatten)]
    common: Common,

    /// The playbook.
    #[arg(value_name = "PLAYBOOK")]
    playbook: String,

    /// The cluster.
    #[arg(long, value_name = "NAME", default_value = "")]
    cluster: String,

    /// What it is told, e.g. `version=12`; may be given several times.
    #[arg(long = "input", value_name = "NAME=VALUE")]
    inputs: Vec<String>,
}

/// What is said of an incident.
#[derive(Args, Debug)]
pub(crate) struct Comment {
    #[command(flatten)]
    common: Common,

    /// The incident.
    #[arg(value_name = "ID")]
    id: u64,

    /// What is said.
    #[arg(value_name = "TEXT")]
    text: Option<String>,

    /// Who takes care of it.
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,

    /// `info`, `warning` or `error`.
    #[arg(long, value_name = "SEVERITY")]
    severity: Option<String>,

    /// `open` or `closed`.
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
}

/// Whose an incident is.
#[derive(Args, Debug)]
pub(crate) struct Assign {
    #[command(flatten)]
    common: Common,

    /// The incident.
    #[arg(value_name = "ID")]
    id: u64,

    /// The administrator.
    #[arg(value_name = "NAME")]
    owner: String,
}

/// Which playbook, and what of it.
#[derive(Args, Debug)]
pub(crate) struct Playbooks {
    #[command(flatten)]
    common: Common,

    /// One playbook: its text.
    #[arg(value_name = "NAME")]
    name: Option<String>,

    /// Have the text of standard input used from now on.
    #[arg(long, requires = "name", conflicts_with = "restore")]
    write: bool,

    /// Use the program's own again.
    #[arg(long, requires = "name")]
    restore: bool,
}

/// Has it done.
pub(super) async fn run(automation: Automation) -> Result<(), Failure> {
    match automation {
        Automation::Runs(listing) => {
            let columns = ["id", "cluster", "playbook", "state", "task", "requester", "started", "error"];
            all(&listing, "runs", &columns).await
        }
        Automation::Incidents(listing) => {
            let columns = ["id", "cluster", "type", "severity", "status", "owner", "subject", "message", "run"];
            all(&listing, "incidents", &columns).await
        }
        Automation::Show(number) => {
            let run = one(&number, "runs").await?;
            write(&run, number.common.output, show)
        }
        Automation::Incident(number) => {
            let incident = one(&number, "incidents").await?;
            write(&incident, number.common.output, timeline)
        }
        Automation::Approve(decision) => decide(&decision, "approve").await,
        Automation::Reject(decision) => decide(&decision, "reject").await,
        Automation::Rerun(rerun) => {
            let path = format!("/automation/runs/{}/rerun", rerun.id);
            Client::new(&rerun.common.server)?.ask(Method::POST, &path, Some(&json!({ "task": rerun.task }))).await?;
            print(&format!("run {} goes on", rerun.id))
        }
        Automation::Run(run) => start(&run).await,
        Automation::Comment(comment) => {
            let Comment { common, id, text, owner, severity, status } = comment;
            let said = json!({ "comment": text, "owner": owner, "severity": severity, "status": status });
            remark(&common, id, &said).await
        }
        Automation::Assign(Assign { common, id, owner }) => remark(&common, id, &json!({ "owner": owner })).await,
        Automation::Playbooks(playbooks) => self::playbooks(&playbooks).await,
    }
}

async fn all(listing: &Listing, kind: &str, columns: &[&str]) -> Result<(), Failure> {
    let client = Client::new(&listing.common.server)?;
    let number = listing.number.to_string();
    let query = [("cluster", listing.cluster.as_str()), ("state", listing.state.as_str()), ("limit", number.as_str())];
    let found = client.get(&format!("/automation/{kind}"), &query).await?;
    write(&found, listing.common.output, |found| {
        let row = |one: &Value| columns.iter().map(|name| word(&one[*name])).collect();
        table(columns, list(found, kind).iter().map(row))
    })
}

async fn one(number: &Number, kind: &str) -> Result<Value, Failure> {
    Client::new(&number.common.server)?.get(&format!("/automation/{kind}/{}", number.id), &[]).await
}

fn show(detail: &Value) -> String {
    let run = &detail["run"];
    let mut lines = vec![format!(
        "run {} of playbook {} (version {}) for cluster {}: {} at {}",
        run["id"],
        word(&run["playbook"]),
        run["version"],
        word(&run["cluster"]),
        word(&run["state"]),
        word(&run["task"])
    )];
    if let Some(error) = run["error"].as_str().filter(|error| !error.is_empty()) {
        lines.push(format!("  error: {error}"));
    }
    let row = |step: &Value| {
        let said = match step["error"].as_str().filter(|error| !error.is_empty()) {
            Some(error) => error.to_owned(),
            None => short(&step["outputs"]),
        };
        vec![step["number"].to_string(), word(&step["task"]), word(&step["state"]), word(&step["started"]), said]
    };
    lines.push(table(&["step", "task", "state", "started", "says"], list(detail, "steps").iter().map(row)));
    // The last difference is what is approved.
    let text = list(detail, "steps").iter().rev().find_map(|step| step["outputs"]["text"].as_str());
    if let Some(text) = text.filter(|text| !text.is_empty() && run["state"] == "waiting") {
        lines.push(text.to_owned());
    }
    lines.join("\n")
}

/// What came of a task, without what is long.
fn short(outputs: &Value) -> String {
    let members = outputs.as_object().into_iter().flatten();
    let plain = members.filter(|(name, value)| !value.is_array() && !value.is_object() && *name != "text");
    plain.map(|(name, value)| format!("{name}={}", word(value))).collect::<Vec<_>>().join(" ")
}

fn timeline(detail: &Value) -> String {
    let incident = &detail["incident"];
    let head = format!(
        "incident {} ({}, {}): {}, {}\n  {}",
        incident["id"],
        word(&incident["type"]),
        word(&incident["severity"]),
        word(&incident["status"]),
        word(&incident["subject"]),
        word(&incident["message"])
    );
    let columns = ["time", "who", "kind", "text"];
    let row = |line: &Value| columns.iter().map(|name| word(&line[*name])).collect();
    format!("{head}\n{}", table(&columns, list(detail, "timeline").iter().map(row)))
}

async fn decide(decision: &Decision, verb: &str) -> Result<(), Failure> {
    let path = format!("/automation/runs/{}/{verb}", decision.id);
    let body = json!({ "comment": decision.comment });
    Client::new(&decision.common.server)?.ask(Method::POST, &path, Some(&body)).await?;
    let done = if verb == "approve" { "approved" } else { "rejected" };
    print(&format!("run {} is {done}", decision.id))
}

async fn start(run: &Run) -> Result<(), Failure> {
    let mut inputs = Map::new();
    for input in &run.inputs {
        let Some((name, value)) = input.split_once('=') else {
            return Err(Failure::new(2, format!("error: `{input}` is no input: write NAME=VALUE")));
        };
        let value = value.parse::<i64>().map_or_else(|_| Value::String(value.to_owned()), Value::from);
        inputs.insert(name.to_owned(), value);
    }
    let body = json!({ "playbook": run.playbook, "cluster": run.cluster, "inputs": inputs });
    let started = Client::new(&run.common.server)?.ask(Method::POST, "/automation/runs", Some(&body)).await?;
    write(&started, run.common.output, |started| format!("run {} is made", started["run"]))
}

async fn remark(common: &Common, id: u64, said: &Value) -> Result<(), Failure> {
    let path = format!("/automation/incidents/{id}");
    let incident = Client::new(&common.server)?.ask(Method::POST, &path, Some(said)).await?;
    write(&incident, common.output, |incident| {
        format!(
            "incident {id}: {}, {}, owner {}",
            word(&incident["status"]),
            word(&incident["severity"]),
            word(&incident["owner"])
        )
    })
}

async fn playbooks(arguments: &Playbooks) -> Result<(), Failure> {
    let client = Client::new(&arguments.common.server)?;
    let Some(name) = &arguments.name else {
        let found = client.get("/automation/playbooks", &[]).await?;
        return write(&found, arguments.common.output, |found| {
            let columns = ["name", "version", "author", "time"];
            let row = |one: &Value| columns.iter().map(|name| word(&one[*name])).collect();
            table(&columns, list(found, "playbooks").iter().map(row))
        });
    };
    let path = format!("/automation/playbooks/{name}");
    if arguments.write || arguments.restore {
        let written = if arguments.write {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(anyhow::Error::from)?;
            client.ask(Method::PUT, &path, Some(&json!({ "text": text }))).await?
        } else {
            client.ask(Method::DELETE, &path, None).await?
        };
        return write(&written, arguments.common.output, |written| {
            format!("version {} of {name} is used", written["version"])
        });
    }
    let found = client.get(&path, &[]).await?;
    write(&found, arguments.common.output, |found| {
        list(found, "playbooks").first().and_then(|one| one["text"].as_str()).unwrap_or_default().to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_waits_shows_its_tasks_and_the_difference() {
        let step = |number: u8, task: &str, state: &str, outputs: Value| json!({ "number": number, "task": task, "state": state, "outputs": outputs, "error": "", "started": "t" });
        let diff = json!({ "changes": 2, "lines": ["+ rule a"], "text": "+ <entry name=\"a\"/>" });
        let detail = json!({
            "run": { "id": 7, "playbook": "apply", "version": 1, "cluster": "prod", "state": "waiting", "task": "approve", "error": "" },
            "steps": [step(1, "diff", "done", diff), step(2, "approve", "waiting", json!({}))],
        });
        let shown = show(&detail);
        assert!(
            shown.starts_with("run 7 of playbook apply (version 1) for cluster prod: waiting at approve\n"),
            "{shown}"
        );
        assert!(shown.contains("changes=2") && shown.ends_with("+ <entry name=\"a\"/>"), "{shown}");
    }
}
