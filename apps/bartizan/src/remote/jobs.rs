//! `bartizan validate`, `commit`, `push`, `rollback` and `jobs`: a job's end decides about the exit code.

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};

use super::arguments::{Commit, Common, Form, Jobs, Push, Rollback, Server, Waiting};
use super::client::Client;
use super::output::{list, print, table, word, write};
use crate::{Failure, PARTIAL, TIMEOUT, VALIDATION};

/// Seconds that one request waits.
const WAIT_S: u64 = 60;

/// Checks the candidate.
pub(super) async fn validate(server: &Server, output: Form) -> Result<(), Failure> {
    let client = Client::new(server)?;
    let checked = client.ask(Method::POST, "/validate", Some(&json!({}))).await?;
    write(&checked, output, |checked| {
        let finding = |finding: &Value| {
            let mut text =
                format!("{}[{}]: {}", word(&finding["severity"]), word(&finding["code"]), word(&finding["message"]));
            for (before, name) in [("\n  --> ", "xpath"), ("\n  help: ", "help")] {
                if let Some(value) = finding[name].as_str().filter(|value| !value.is_empty()) {
                    text += &format!("{before}{value}");
                }
            }
            text
        };
        let mut lines: Vec<String> = list(checked, "findings").iter().map(finding).collect();
        lines.push(
            if checked["valid"] == true { "the candidate is valid" } else { "the candidate is refused" }.to_owned(),
        );
        lines.join("\n")
    })?;
    if checked["valid"] == true { Ok(()) } else { Err(Failure::new(VALIDATION, "")) }
}

/// Commits.
pub(super) async fn commit(arguments: &Commit) -> Result<(), Failure> {
    let client = Client::new(&arguments.common.server)?;
    let mut body = json!({ "description": arguments.description });
    if !arguments.admins.is_empty() {
        body["only"]["admins"] = json!(arguments.admins);
    }
    if !arguments.device_groups.is_empty() {
        let nothing: [&str; 0] = [];
        body["only"]["device_groups"] = json!(arguments.device_groups);
        body["only"]["templates"] = json!(nothing);
        body["only"]["template_stacks"] = json!(nothing);
        body["only"]["shared"] = json!(false);
        body["only"]["device_and_network"] = json!(false);
    }
    let ordered = client.ask(Method::POST, "/commit", Some(&body)).await?;
    if ordered["job"].is_null() {
        return write(&ordered, arguments.common.output, |_| "there is nothing to commit".to_owned());
    }
    end(&client, &arguments.common, &ordered["job"], arguments.waiting).await
}

/// Pushes.
pub(super) async fn push(arguments: &Push) -> Result<(), Failure> {
    let client = Client::new(&arguments.common.server)?;
    let body = json!({
        "device_groups": arguments.groups,
        "template_stack": arguments.stack,
        "template": arguments.template,
        "devices": arguments.devices,
        "include_templates": !arguments.without_templates,
        "validate_only": arguments.validate_only,
        "description": arguments.description,
    });
    let ordered = client.ask(Method::POST, "/push", Some(&body)).await?;
    end(&client, &arguments.common, &ordered["job"], arguments.waiting).await
}

/// Loads an older version and commits that.
pub(super) async fn rollback(arguments: &Rollback) -> Result<(), Failure> {
    let client = Client::new(&arguments.common.server)?;
    let candidate = client.get("/candidate", &[]).await?;
    if candidate["pending"] != 0 && !arguments.force {
        let text = format!(
            "error: {} edit(s) are pending and would be lost: commit or revert them first, or give `--force`",
            candidate["pending"]
        );
        return Err(Failure::new(1, text));
    }
    let running = candidate["version"].as_u64().unwrap_or_default();
    let version = arguments.version.unwrap_or(running.saturating_sub(1));
    client.ask(Method::POST, "/candidate/load", Some(&json!({ "source": format!("version:{version}") }))).await?;
    let body = json!({ "description": format!("rollback to version {version}") });
    let ordered = client.ask(Method::POST, "/commit", Some(&body)).await?;
    let waiting = Waiting { wait: true, timeout: arguments.timeout };
    end(&client, &arguments.common, &ordered["job"], waiting).await
}

/// Lists jobs, or tells, waits for or cancels one.
pub(super) async fn jobs(arguments: &Jobs) -> Result<(), Failure> {
    let client = Client::new(&arguments.common.server)?;
    let Some(id) = arguments.id else {
        let state = if arguments.pending { "pending" } else { "" };
        let jobs = client.get("/jobs", &[("state", state)]).await?;
        return write(&jobs, arguments.common.output, |jobs| {
            let names = ["id", "kind", "user", "state", "result", "progress", "enqueued", "description"];
            let row = |job: &Value| names.iter().map(|name| word(&job[*name])).collect();
            table(&names, list(jobs, "jobs").iter().map(row))
        });
    };
    let path = format!("/jobs/{id}");
    let job = match arguments.cancel {
        true => client.ask(Method::DELETE, &path, None).await?,
        false => client.get(&path, &[]).await?,
    };
    match arguments.cancel {
        true => write(&job, arguments.common.output, show),
        false => end(&client, &arguments.common, &job, arguments.waiting).await,
    }
}

/// Shows a job, when it has ended if that is wanted; how it ended is the outcome.
pub(super) async fn end(client: &Client, common: &Common, job: &Value, waiting: Waiting) -> Result<(), Failure> {
    let until = Instant::now() + Duration::from_secs(waiting.timeout);
    let mut job = job.clone();
    while waiting.wait && job["state"] != "done" {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            write(&job, common.output, show)?;
            let text = format!(
                "error: job {} has not ended within {} s; it goes on: `bartizan jobs {} --wait`",
                job["id"], waiting.timeout, job["id"]
            );
            return Err(Failure::new(TIMEOUT, text));
        }
        let seconds = left.as_secs().clamp(1, WAIT_S).to_string();
        job = client.get(&format!("/jobs/{}", job["id"]), &[("wait", &seconds)]).await?;
    }
    write(&job, common.output, show)?;
    match outcome(&job) {
        0 => Ok(()),
        code => Err(Failure::new(code, "")),
    }
}

/// The exit code that a job's end deserves.
fn outcome(job: &Value) -> u8 {
    if job["result"] != "failed" {
        return 0;
    }
    let devices = list(job, "devices");
    let good = devices.iter().filter(|device| device["result"] == "ok").count();
    let is_refused =
        list(job, "details").iter().any(|line| line.as_str().is_some_and(|line| line.starts_with("Validation")));
    match (good, is_refused) {
        (0, true) => VALIDATION,
        (0, false) => 1,
        _ => PARTIAL,
    }
}

fn show(job: &Value) -> String {
    let mut lines =
        vec![format!("job {} ({}): {}, {}", job["id"], word(&job["kind"]), word(&job["state"]), word(&job["result"]))];
    for name in ["details", "warnings"] {
        let text = list(job, name).iter().filter_map(Value::as_str);
        lines
            .extend(text.map(|line| format!("  {}{}", if name == "warnings" { "warning: " } else { "" }, line.trim())));
    }
    let devices = list(job, "devices");
    if !devices.is_empty() {
        let row = |device: &Value| {
            let said = ["errors", "notes"].iter().flat_map(|name| list(device, name)).filter_map(Value::as_str);
            let said = said.map(str::trim).collect::<Vec<_>>().join("; ");
            vec![word(&device["serial"]), word(&device["hostname"]), word(&device["result"]), said]
        };
        lines.push(table(&["serial", "hostname", "result", "says"], devices.iter().map(row)));
    }
    lines.join("\n")
}

/// A line that is no answer but a remark.
pub(super) fn remark(text: &str, output: Form) -> Result<(), Failure> {
    if output == Form::Table { print(text) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_tells_how_a_job_ended() {
        let device = |result: &str| json!({ "result": result });
        for (job, code) in [
            (json!({ "result": "ok", "devices": [] }), 0),
            (json!({ "result": "pending" }), 0),
            (json!({ "result": "failed", "details": ["Validation Error:", " x"] }), VALIDATION),
            (json!({ "result": "failed", "details": ["cancelled by admin"] }), 1),
            (json!({ "result": "failed", "devices": [device("ok"), device("failed")] }), PARTIAL),
            (json!({ "result": "failed", "devices": [device("failed")] }), 1),
        ] {
            assert_eq!(outcome(&job), code, "{job}");
        }
    }
}
