//! How does the candidate become the running configuration?
//!
//! It is checked as a whole (`check.rs`). All diagnostics are reported at once; an error refuses the commit.

use std::sync::Arc;
use std::time::Instant;

use bartizan_model::diagnostic::{Diagnostic, Severity};
use bartizan_model::tree::Element;

use super::{Job, Outcome};
use crate::accounts::Caller;
use crate::app::App;
use crate::configuration::PartialError;
use crate::configuration::partial::Selection;
use crate::forwarding;
use crate::store::audit::AuditLine;

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
    let (errors, warnings) = match check(app, &snapshot.running, &tree).await {
        Ok(checked) => checked,
        Err(error) => (vec![format!("the check of the configuration failed: {error:#}")], Vec::new()),
    };
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
    if request.validate_only {
        let details =
            vec!["Configuration is valid".to_owned(), format!("Checked {count} edit(s) in {}", milliseconds(begun))];
        return finish(app, id, Outcome::Ok, details, warnings).await;
    }
    let details = |version: u64| {
        vec![
            "Configuration committed successfully".to_owned(),
            format!("Committed version {version} in {}", milliseconds(begun)),
        ]
    };
    // Stored with the version, so that after a crash the job tells the truth; the time it took is known
    // only afterwards.
    let record = |version: u64| {
        let mut job = Job::clone(&*app.jobs.job(id)?);
        job.details = details(version);
        job.warnings.clone_from(&warnings);
        job.finish(Outcome::Ok);
        Some((id, job.to_json()))
    };
    let signed = (request.caller.name.as_str(), request.comment.as_str());
    match app.configuration.commit(&snapshot, selected, signed, record).await {
        Ok(version) => {
            let details = details(version);
            log(app, &request, "Succeeded").await;
            if let Err(error) = app.configuration.locks.release(&request.caller.name).await {
                tracing::error!(%error, "the locks of an administrator who committed stay");
            }
            finish(app, id, Outcome::Ok, details, warnings).await;
        }
        Err(error) => refuse(app, id, &request, error.lines(), warnings).await,
    }
}

async fn refuse(app: &App, id: u64, request: &CommitRequest, mut details: Vec<String>, warnings: Vec<String>) {
    details.push(if request.validate_only { "Validation failed" } else { "Commit failed" }.to_owned());
    if !request.validate_only {
        log(app, request, "Failed").await;
    }
    finish(app, id, Outcome::Fail, details, warnings).await;
}

/// A diagnostic as lines: what PAN-OS would say, then where and what to do instead.
pub(super) fn lines(diagnostics: &[Diagnostic], severity: Severity, count_max: usize) -> Vec<String> {
    let told = |diagnostic: &&Diagnostic| diagnostic.severity == severity && !forwarding::plan::is_done(diagnostic);
    let mut lines: Vec<String> = diagnostics.iter().filter(told).map(line).collect();
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
    let (checker, running) = (app.checker.clone(), snapshot.running.clone());
    let found = tokio::task::spawn_blocking(move || checker.diagnose(&running, &tree)).await;
    Ok(found.map_err(anyhow::Error::from)?)
}

/// Errors and warnings of the candidate, as lines. Computing takes a thread of its own.
async fn check(app: &App, running: &Arc<Element>, tree: &Arc<Element>) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let (checker, running, tree) = (app.checker.clone(), running.clone(), tree.clone());
    tokio::task::spawn_blocking(move || {
        let diagnostics = checker.diagnose(&running, &tree);
        let lines = |severity| lines(&diagnostics, severity, LINES_MAX);
        let notes = [lines(Severity::Warning), lines(Severity::Info)].concat();
        (lines(Severity::Error), notes)
    })
    .await
    .map_err(Into::into)
}

async fn finish(app: &App, id: u64, outcome: Outcome, details: Vec<String>, warnings: Vec<String>) {
    app.jobs
        .finish(id, outcome, |job| {
            job.details = details;
            job.warnings = warnings;
        })
        .await;
}

async fn log(app: &App, request: &CommitRequest, result: &str) {
    let line = AuditLine {
        admin: request.caller.name.clone(),
        host: request.caller.host.to_string(),
        client: request.caller.door.as_str().into(),
        cmd: "commit".into(),
        path: "/config".into(),
        result: result.into(),
        after: request.comment.clone(),
        ..AuditLine::default()
    };
    if let Err(error) = app.store.add_audit(&[line]).await {
        tracing::error!(%error, "the config log cannot be written");
    }
}
