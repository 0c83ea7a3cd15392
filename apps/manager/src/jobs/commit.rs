//! How does the candidate become the running configuration?
//!
//! It is checked as a whole (`check.rs`). All diagnostics are reported at once; an error refuses the commit.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use bartizan_model::diagnostic::{Diagnostic, Severity};
use bartizan_model::tree::Element;

use super::{Job, Outcome, check};
use crate::accounts::Caller;
use crate::app::App;
use crate::approvals;
use crate::configuration::edit::Edit;
use crate::configuration::partial::{Selection, Split};
use crate::configuration::{PartialError, Snapshot};
use crate::device::local_text;
use crate::forwarding;
use crate::rules;
use crate::store::audit::AuditLine;
use crate::store::versions::JournalLine;

/// Lines of diagnostics a job keeps.
const LINES_MAX: usize = 1000;

/// What is to be committed or checked.
#[derive(Clone, Debug)]
pub(crate) struct CommitRequest {
    /// Who asks.
    pub(crate) caller: Caller,
    /// What the asker writes about it.
    pub(crate) comment: String,
    /// Only these edits; `None` for all.
    pub(crate) selection: Option<Selection>,
    /// Only check.
    pub(crate) validate_only: bool,
    /// Somebody approved it by another way than the four-eyes option, where that asks for it.
    pub(crate) is_looked_at: bool,
}

/// Does it.
pub(super) async fn run(app: &Arc<App>, id: u64, request: CommitRequest) {
    let begun = Instant::now();
    let snapshot = app.configuration.snapshot();
    let selected = match &request.selection {
        None => Ok(None),
        Some(selection) => app.configuration.split(&snapshot, selection).await.map(|split| Some((selection, split))),
    };
    let selected = match selected {
        Ok(selected) => selected,
        Err(error) => return refuse(app, id, &request, error.lines(), Vec::new()).await,
    };
    let (tree, count) = match &selected {
        None => (snapshot.candidate.clone(), snapshot.pending),
        Some((_, split)) => (split.chosen.clone(), split.taken.len()),
    };
    // The role may have been made smaller since the edits.
    let places =
        request.caller.role.scope().map(|scope| scope.overstepped(&snapshot.running, &tree)).unwrap_or_default();
    if !places.is_empty() {
        let mut details = vec![format!("the role of `{}` does not allow to change:", request.caller.name)];
        details.extend(places);
        return refuse(app, id, &request, details, Vec::new()).await;
    }
    let (errors, mut warnings) = match check(app, &snapshot.running, &tree).await {
        Ok(checked) => checked,
        Err(error) => (vec![format!("the check of the configuration failed: {error:#}")], Vec::new()),
    };
    let mut errors = errors;
    match commented(app, &snapshot, selected.as_ref().map(|(_, split)| split)).await {
        Ok(commented) => errors.extend(rules::without_comment(&snapshot.running, &tree, &commented)),
        Err(error) => errors.push(format!("the audit comments cannot be read: {error}")),
    }
    let milliseconds = |begun: Instant| format!("{:.1} ms", begun.elapsed().as_secs_f64() * 1000.0);
    if !errors.is_empty() {
        let mut details = vec!["Validation Error:".to_owned()];
        details.extend(errors);
        if request.selection.is_some() {
            details
                .push(" only some of the pending edits were looked at: what is missing may be part of others".into());
        }
        return refuse(app, id, &request, details, warnings).await;
    }
    if let Err(who) = app.jobs.pass(id) {
        return refuse(app, id, &request, vec![format!("cancelled by {who}: nothing was committed")], warnings).await;
    }
    if request.validate_only {
        let details =
            vec!["Configuration is valid".to_owned(), format!("Checked {count} edit(s) in {}", milliseconds(begun))];
        return finish(app, id, Outcome::Ok, details, warnings).await;
    }
    let split = selected.as_ref().map(|(_, split)| split);
    let approval = match request.is_looked_at {
        true => Ok(Ok(None)),
        false => approvals::for_commit(app, &request.caller, &request.comment, &snapshot, split).await,
    };
    let approval = match approval {
        Ok(Ok(approval)) => approval,
        Ok(Err(lines)) => return refuse(app, id, &request, lines, warnings).await,
        Err(error) => {
            let line = format!("whether the commit needs an approval cannot be told: {error:#}");
            return refuse(app, id, &request, vec![line], warnings).await;
        }
    };
    match enforce(app, &tree).await {
        Ok(more) => warnings.extend(more),
        Err(errors) => return refuse(app, id, &request, errors, warnings).await,
    }
    warnings.sort();
    warnings.dedup();
    // Stored with the version, so that after a crash the job tells the truth.
    let mut done = None;
    let record = |version: u64| {
        let mut job = Job::clone(&*app.jobs.job(id)?);
        let took = format!("Committed version {version} in {}", milliseconds(begun));
        job.details = vec!["Configuration committed successfully".to_owned(), took];
        job.warnings = warnings.clone();
        job.finish(Outcome::Ok);
        Some((id, done.insert(job).to_json()))
    };
    let line = audit_line(&request, "Succeeded");
    match app.configuration.commit(&snapshot, selected, (&line, &request.comment), record).await {
        Ok(_) => {
            if let Some(approval) = approval
                && let Err(error) = app.store.use_approval(approval).await
            {
                tracing::error!(%error, approval, "an approval stays that was used");
            }
            if let Err(error) = app.configuration.locks.release(&request.caller.name).await {
                tracing::error!(%error, "the locks of an administrator who committed stay");
            }
            if let Some(job) = done {
                app.jobs.put(job);
            }
        }
        Err(error) => {
            let mut lines = error.lines();
            lines.extend(enforce(app, &snapshot.running).await.err().unwrap_or_default());
            refuse(app, id, &request, lines, warnings).await;
        }
    }
}

/// The rules that the edits to be committed have an audit comment for.
async fn commented(app: &App, snapshot: &Snapshot, split: Option<&Split>) -> sqlx::Result<BTreeSet<String>> {
    let lines = app.store.audit_comments_until(snapshot.journal_end()).await?;
    let taken = lines.into_iter().filter(|line| split.is_none_or(|split| split.taken.contains(&line.id)));
    let rule = |line: JournalLine| match serde_json::from_str(&line.edit) {
        Ok(Edit::AuditComment { xpath, .. }) => Some(xpath),
        Ok(_) | Err(_) => None,
    };
    Ok(taken.filter_map(rule).collect())
}

/// Where this is a firewall's own: puts its configuration in force, which is when it is known to be possible. The
/// warnings, or why nothing has changed.
async fn enforce(app: &App, tree: &Element) -> Result<Vec<String>, Vec<String>> {
    let Some(device) = &app.device else { return Ok(Vec::new()) };
    match device.enforce(local_text(tree)).await {
        Ok(warnings) => Ok(lines(&warnings, Severity::Warning, LINES_MAX)),
        Err(diagnostics) => Err(lines(&diagnostics, Severity::Error, LINES_MAX)),
    }
}

async fn refuse(app: &App, id: u64, request: &CommitRequest, mut details: Vec<String>, warnings: Vec<String>) {
    details.push(if request.validate_only { "Validation failed" } else { "Commit failed" }.to_owned());
    if !request.validate_only {
        let line = audit_line(request, "Failed");
        if let Err(error) = app.store.add_audit(&[line]).await {
            tracing::error!(%error, "the config log cannot be written");
        }
    }
    finish(app, id, Outcome::Fail, details, warnings).await;
}

/// A diagnostic as lines: what PAN-OS would say, then where and what to do instead.
pub(super) fn lines(diagnostics: &[Diagnostic], severity: Severity, count_max: usize) -> Vec<String> {
    let mut lines: Vec<String> =
        diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).map(line).collect();
    lines.sort();
    lines.dedup();
    let left_out = lines.len().saturating_sub(count_max);
    lines.truncate(count_max);
    if left_out > 0 {
        lines.push(format!("and {left_out} more"));
    }
    lines
}

fn line(diagnostic: &Diagnostic) -> String {
    let mut line = format!(" {} [{}]", diagnostic.message, diagnostic.code);
    if !diagnostic.origin.xpath.is_empty() {
        line = format!("{line} --> {}", diagnostic.origin.xpath);
    }
    if let Some(owner) = &diagnostic.origin.owner {
        line = format!("{line} ({owner})");
    }
    if let Some(help) = &diagnostic.help {
        line = format!("{line}; help: {help}");
    }
    line
}

/// Everything found about the candidate, or about what a commit of the selected edits would make of it.
pub(crate) async fn findings(app: &App, selection: Option<&Selection>) -> Result<Vec<Diagnostic>, PartialError> {
    let snapshot = app.configuration.snapshot();
    let tree = match selection {
        None => snapshot.candidate.clone(),
        Some(selection) => app.configuration.split(&snapshot, selection).await?.chosen,
    };
    Ok(diagnostics(app, &snapshot.running, &tree).await?)
}

/// Errors and warnings of the candidate, as lines.
async fn check(app: &App, running: &Arc<Element>, tree: &Arc<Element>) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let diagnostics = diagnostics(app, running, tree).await?;
    let lines = |severity| lines(&diagnostics, severity, LINES_MAX);
    let notes = [lines(Severity::Warning), lines(Severity::Info)].concat();
    Ok((lines(Severity::Error), notes))
}

/// Computing takes a thread of its own. What a firewall's own configuration means, the firewall knows.
async fn diagnostics(app: &App, running: &Arc<Element>, tree: &Arc<Element>) -> anyhow::Result<Vec<Diagnostic>> {
    let (before, after) = (running.clone(), tree.clone());
    let Some(device) = &app.device else {
        let checker = app.checker.clone();
        let mut found = tokio::task::spawn_blocking(move || checker.diagnose(&before, &after)).await?;
        found.retain(|diagnostic| !forwarding::plan::is_done(diagnostic));
        return Ok(found);
    };
    let mut found = tokio::task::spawn_blocking(move || check::diagnose_any(&before, &after)).await?;
    found.extend(device.check(local_text(tree)).await);
    Ok(found)
}

async fn finish(app: &App, id: u64, outcome: Outcome, details: Vec<String>, warnings: Vec<String>) {
    app.jobs
        .finish(id, outcome, |job| {
            job.details = details;
            job.warnings = warnings;
        })
        .await;
}

fn audit_line(request: &CommitRequest, result: &str) -> AuditLine {
    let line = request.caller.did("commit", "/config");
    AuditLine { result: result.into(), after: request.comment.clone(), ..line }
}
