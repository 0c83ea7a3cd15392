//! What does the JSON API say when it refuses? Problem details of RFC 9457, with everything that is wrong at once.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bartizan_model::diagnostic::{Diagnostic, Severity};
use bartizan_model::words::WordError;
use schemars::JsonSchema;
use serde::Serialize;

use crate::accounts::LoginError;
use crate::configuration::ApplyError;
use crate::refusal::Refusal;
use crate::xmlapi::reply::code;

/// What a client waits before it tries again when the manager has no room.
const RETRY_AFTER_S: &str = "5";

/// A refusal (RFC 9457).
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct Problem {
    /// Which kind of refusal: `urn:bartizan:problem:` and a word that stays.
    #[serde(rename = "type")]
    kind: String,
    /// The kind in words.
    title: String,
    /// The status of the HTTP answer.
    status: u16,
    /// What is wrong this time.
    detail: String,
    /// Everything that is wrong, one by one.
    errors: Vec<Complaint>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Default, JsonSchema, Serialize)]
pub(crate) struct Complaint {
    /// What is wrong.
    pub(crate) message: String,
    /// Code of `docs/diagnostics.md`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// Where in the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) xpath: Option<String>,
    /// Which parameter or member of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parameter: Option<String>,
    /// Which edit of the request, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) edit: Option<usize>,
    /// What to do instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) help: Option<String>,
}

impl Complaint {
    /// One about a parameter or a member of the request.
    pub(crate) fn of_parameter(name: &str, message: impl Into<String>) -> Self {
        Self { message: message.into(), parameter: Some(name.to_owned()), ..Self::default() }
    }

    fn line(line: &str) -> Self {
        Self { message: line.trim().to_owned(), ..Self::default() }
    }
}

impl Problem {
    /// A refusal of one kind.
    pub(crate) fn new(status: StatusCode, word: &str, title: &str, errors: Vec<Complaint>) -> Self {
        let detail = errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join("; ");
        let kind = format!("urn:bartizan:problem:{word}");
        Self { kind, title: title.to_owned(), status: status.as_u16(), detail, errors }
    }

    /// HTTP 400: a parameter is missing or wrong.
    pub(crate) fn parameter(name: &str, message: impl Into<String>) -> Self {
        Self::of_request(vec![Complaint::of_parameter(name, message)])
    }

    /// HTTP 400: several of them.
    pub(crate) fn of_request(errors: Vec<Complaint>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid-request", "the request cannot be read", errors)
    }

    /// HTTP 404.
    pub(crate) fn not_found(message: impl AsRef<str>) -> Self {
        let errors = vec![Complaint::line(message.as_ref())];
        Self::new(StatusCode::NOT_FOUND, "not-found", "there is no such thing", errors)
    }

    /// HTTP 403: known, and not allowed.
    pub(crate) fn forbidden(message: impl AsRef<str>) -> Self {
        let errors = vec![Complaint::line(message.as_ref())];
        Self::new(StatusCode::FORBIDDEN, "forbidden", "the role does not allow it", errors)
    }

    /// HTTP 503: no room at this moment.
    pub(crate) fn busy(message: impl AsRef<str>) -> Self {
        let errors = vec![Complaint::line(message.as_ref())];
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "there is no room at this moment", errors)
    }

    /// HTTP 422: it would take too long.
    pub(crate) fn late(message: impl AsRef<str>) -> Self {
        let errors = vec![Complaint::line(message.as_ref())];
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "too-much", "that is too much at once", errors)
    }

    /// HTTP 412: what the caller has seen is not there any more.
    pub(crate) fn changed(edit: usize, lines: &[String]) -> Self {
        let errors = lines.iter().map(|line| Complaint { edit: Some(edit), ..Complaint::line(line) }).collect();
        Self::new(StatusCode::PRECONDITION_FAILED, "changed-meanwhile", "somebody changed it meanwhile", errors)
    }

    /// HTTP 422: the configuration itself is wrong.
    pub(crate) fn of_findings(findings: Vec<Finding>) -> Self {
        let complaint = |finding: Finding| Complaint {
            message: finding.message,
            code: Some(finding.code),
            xpath: Some(finding.xpath),
            help: finding.help,
            ..Complaint::default()
        };
        let errors = findings.into_iter().filter(|finding| finding.severity == FindingSeverity::Error).map(complaint);
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(status, "invalid-configuration", "the configuration is refused", errors.collect())
    }

    /// On the wire.
    pub(crate) fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Strings and numbers: nothing in it can fail to serialise.
        let mut response = Response::new(Body::from(serde_json::to_vec(&self).unwrap_or_default()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"bartizan\""));
        }
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        response
    }
}

/// Status, word and title for a code of the XML API.
fn of_code(code: u16) -> (StatusCode, &'static str, &'static str) {
    match code {
        code::BAD_REQUEST => (StatusCode::BAD_REQUEST, "invalid-request", "the request cannot be read"),
        6 => (StatusCode::BAD_REQUEST, "invalid-xpath", "the xpath cannot be read"),
        8 => (StatusCode::CONFLICT, "not-unique", "more than one node is meant"),
        10 => (StatusCode::CONFLICT, "referenced", "something refers to it"),
        code::NOT_PRESENT | 13 => (StatusCode::NOT_FOUND, "not-found", "there is no such thing"),
        code::INVALID_OBJECT => (StatusCode::UNPROCESSABLE_ENTITY, "invalid-object", "the content is refused"),
        code::NOT_POSSIBLE => (StatusCode::CONFLICT, "not-possible", "it is not possible now"),
        code::DENIED => (StatusCode::CONFLICT, "denied", "it is not allowed now"),
        code::UNAUTHORIZED => (StatusCode::FORBIDDEN, "forbidden", "the role does not allow it"),
        code::INVALID_COMMAND | code::MALFORMED_COMMAND => {
            (StatusCode::UNPROCESSABLE_ENTITY, "invalid-command", "the command is not understood")
        }
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "the manager is at fault"),
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, word, title) = of_code(refusal.code);
        Self::new(status, word, title, refusal.lines.iter().map(|line| Complaint::line(line)).collect())
    }
}

impl From<ApplyError> for Problem {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Store(error) => Refusal::internal(&format!("{error:#}")).into(),
            ApplyError::Edit { index, failure } => {
                let (status, word, title) = of_code(failure.code);
                let complaint = |line: &String| Complaint { edit: Some(index), ..Complaint::line(line) };
                Self::new(status, word, title, failure.lines.iter().map(complaint).collect())
            }
        }
    }
}

impl From<LoginError> for Problem {
    fn from(error: LoginError) -> Self {
        let errors = vec![Complaint::line(&error.to_string())];
        let title = "it is not known who asks";
        match error {
            LoginError::Internal(error) => Refusal::internal(&error).into(),
            LoginError::Throttled { .. } => Self::new(StatusCode::TOO_MANY_REQUESTS, "throttled", title, errors),
            LoginError::Invalid | LoginError::Expired { .. } => {
                Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", title, errors)
            }
        }
    }
}

impl From<WordError> for Problem {
    fn from(error: WordError) -> Self {
        Self::parameter("path", error.to_string())
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        Refusal::from(error).into()
    }
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        Refusal::from(error).into()
    }
}

/// A diagnostic of the configuration.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct Finding {
    /// `error`, `warning` or `info`.
    severity: FindingSeverity,
    /// Code of `docs/diagnostics.md`.
    code: String,
    /// What is wrong.
    message: String,
    /// Where in the manager's configuration; empty when it is nowhere.
    xpath: String,
    /// The template or device group that wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// What to do instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

/// How much it weighs.
#[derive(Clone, Copy, Debug, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FindingSeverity {
    /// The configuration is refused.
    Error,
    /// It is accepted, and something looks unintended.
    Warning,
    /// Worth knowing.
    Info,
}

impl From<&Diagnostic> for Finding {
    fn from(diagnostic: &Diagnostic) -> Self {
        Self {
            severity: match diagnostic.severity {
                Severity::Error => FindingSeverity::Error,
                Severity::Warning => FindingSeverity::Warning,
                Severity::Info => FindingSeverity::Info,
            },
            code: diagnostic.code.to_owned(),
            message: diagnostic.message.clone(),
            xpath: diagnostic.origin.xpath.clone(),
            owner: diagnostic.origin.owner.clone(),
            help: diagnostic.help.clone(),
        }
    }
}
