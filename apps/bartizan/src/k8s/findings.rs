//! What was looked at, how it is, and what to do about it?

use serde::Serialize;
use serde_json::{Value, json};

use crate::remote::arguments::Form;
use crate::remote::output::{list, table, word, write};
use crate::{FAILURE, Failure};

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// It works, but not for long, or not everywhere.
    Warning,
    /// It cannot work.
    Failed,
    /// It could not be looked at.
    Unknown,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What.
    pub(super) check: &'static str,
    /// How it is.
    pub(super) state: State,
    /// What was seen.
    pub(super) text: String,
    /// What to do; empty when there is nothing to do.
    pub(super) help: String,
}

impl Finding {
    pub(super) fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, state: State::Ok, text: text.into(), help: String::new() }
    }

    pub(super) fn new(check: &'static str, state: State, text: impl Into<String>, help: impl Into<String>) -> Self {
        Self { check, state, text: text.into(), help: help.into() }
    }
}

/// Writes findings; something that cannot work decides about the exit code.
pub(super) fn tell(findings: &[Finding], form: Form, of: &Value) -> Result<(), Failure> {
    let mut answer = of.clone();
    answer["checks"] = json!(findings);
    write(&answer, form, text)?;
    if findings.iter().any(|finding| finding.state == State::Failed) {
        return Err(Failure::new(FAILURE, ""));
    }
    Ok(())
}

fn text(answer: &Value) -> String {
    let checks = list(answer, "checks");
    let rows = checks.iter().map(|check| ["check", "state", "text"].map(|name| word(&check[name])).to_vec());
    let mut text = table(&["check", "state", "found"], rows);
    for check in checks {
        if let Some(help) = check["help"].as_str().filter(|help| !help.is_empty()) {
            text += &format!("\nhelp: {}: {help}", word(&check["check"]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_stands_under_the_table_and_a_failure_decides() {
        let findings = [
            Finding::ok("version", "1.36"),
            Finding::new("rights", State::Failed, "create daemonsets is missing", "ask an administrator"),
        ];
        let shown = text(&json!({ "checks": findings }));
        assert_eq!(
            shown,
            "CHECK    STATE   FOUND\nversion  ok      1.36\nrights   failed  create daemonsets is missing\n\
             help: rights: ask an administrator"
        );
        assert_eq!(tell(&findings, Form::Json, &json!({})).unwrap_err().code, FAILURE);
        tell(&findings[..1], Form::Json, &json!({})).unwrap();
    }
}
