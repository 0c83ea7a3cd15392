//! What does the plugin answer to the runtime? The verbs of CNI 1.1.0.

mod add;
mod rest;

use serde_json::{Value, json};

use crate::invocation::{Container, Verb};
use crate::settings::Written;

/// Versions of a result that can be given.
pub(crate) const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// What goes to standard output, and how the process ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) failed: bool,
}

/// Why a call failed. Codes below 100 are the specification's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    code: Code,
    message: String,
}

/// The number that a runtime sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Code {
    IncompatibleVersion = 1,
    UnknownContainer = 3,
    InvalidEnvironment = 4,
    UnreadableConfiguration = 6,
    InvalidConfiguration = 7,
    TryAgain = 11,
    NotAvailable = 50,
    /// What the pod or its namespace asks for cannot be done.
    Annotation = 100,
    /// The kernel or the node refused.
    Datapath = 101,
    /// What ADD made is no longer there (CHECK).
    Changed = 102,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Answers a call of the runtime.
pub(crate) fn answer(command: &str, text: &str, variable: impl Fn(&str) -> Option<String>) -> Answer {
    let version = serde_json::from_str::<Value>(text).ok();
    let version = version.and_then(|value| Some(value.get("cniVersion")?.as_str()?.to_owned()));
    match run(command, text, variable) {
        Ok(text) => Answer { text, failed: false },
        Err(failure) => Answer { text: told(&failure, version.as_deref()), failed: true },
    }
}

/// Answers when standard input could not be read.
pub(crate) fn unreadable(error: &std::io::Error) -> Answer {
    let failure = Failure::new(Code::UnreadableConfiguration, format!("standard input cannot be read: {error}"));
    Answer { text: told(&failure, None), failed: true }
}

fn run(command: &str, text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<String, Failure> {
    let Some(verb) = Verb::parse(command) else {
        return Err(Failure::new(Code::InvalidEnvironment, format!("unknown CNI_COMMAND: {command}")));
    };
    if verb == Verb::Version {
        let version = serde_json::from_str::<Value>(text).ok();
        let version = version.as_ref().and_then(|value| value.get("cniVersion")?.as_str()).unwrap_or(VERSIONS[4]);
        return Ok(json!({"cniVersion": version, "supportedVersions": VERSIONS}).to_string());
    }
    let written = Written::parse(text).map_err(|error| Failure::new(Code::UnreadableConfiguration, error))?;
    if !VERSIONS.contains(&written.cni_version.as_str()) {
        let message = format!("`cniVersion`: `{}` is none of {}", written.cni_version, VERSIONS.join(", "));
        return Err(Failure::new(Code::IncompatibleVersion, message));
    }
    let container = || Container::read(verb, variable).map_err(|error| Failure::new(Code::InvalidEnvironment, error));
    let settings = || written.settings().map_err(|error| Failure::new(Code::InvalidConfiguration, error));
    match verb {
        Verb::Add => add::add(&written, &settings()?, &container()?),
        Verb::Del => rest::del(&written.places(), &container()?),
        Verb::Check => rest::check(&settings()?, &container()?),
        Verb::Gc => rest::gc(&written),
        Verb::Status => rest::status(&settings()?),
        Verb::Version => Ok(None),
    }
    .map(|text| text.unwrap_or_default())
}

fn told(failure: &Failure, version: Option<&str>) -> String {
    let version = version.filter(|version| VERSIONS.contains(version)).unwrap_or(VERSIONS[4]);
    json!({"cniVersion": version, "code": failure.code as u32, "msg": failure.message, "details": ""}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::CHART;

    fn call(command: &str, text: &str) -> String {
        answer(command, text, |_| None).text
    }

    #[test]
    fn version_needs_no_configuration_and_names_all_that_are_spoken() {
        let versions = r#""supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]"#;
        assert_eq!(call("VERSION", r#"{"cniVersion":"1.0.0"}"#), format!(r#"{{"cniVersion":"1.0.0",{versions}}}"#));
        assert_eq!(call("VERSION", ""), format!(r#"{{"cniVersion":"1.1.0",{versions}}}"#));
    }

    /// The vendor's plugin answers "unknown CNI_COMMAND: STATUS", and every node goes NotReady.
    #[test]
    fn status_is_answered_and_fails_only_where_the_configuration_is_unusable() {
        assert_eq!(answer("STATUS", CHART, |_| None), Answer { text: String::new(), failed: false });
        let broken = CHART.replace(r#""traffic_object_id":"1""#, r#""traffic_object_id":"0""#);
        let answer = answer("STATUS", &broken, |_| None);
        assert!(answer.failed);
        assert!(answer.text.contains("0 is not a cluster id from 1 to 2048"), "{}", answer.text);
    }

    #[test]
    fn failures_are_in_the_lists_version_and_say_what_to_write() {
        let text = CHART.replace("0.3.0", "1.0.0");
        let told: Value = serde_json::from_str(&call("ADD", &text)).unwrap();
        assert_eq!((&told["cniVersion"], &told["code"]), (&json!("1.0.0"), &json!(4)));
        assert_eq!(told["msg"], "`CNI_CONTAINERID` is missing");
        assert!(call("ADD", &CHART.replace("0.3.0", "2.0.0")).contains(r#""code":1,"#));
        assert!(call("ADD", "{").contains(r#""code":6,"#));
        assert!(call("EAT", CHART).contains("unknown CNI_COMMAND: EAT"));
    }
}
