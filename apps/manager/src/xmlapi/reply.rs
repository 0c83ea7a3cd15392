//! Which bytes does a client get?
//!
//! The envelopes of the PAN-OS XML API, to the letter where clients look: no XML prolog, always an
//! attribute on `response`, HTTP 200 for every application error.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bartizan_model::tree::Element;
use bartizan_model::xml;

use super::element::{Build, element, leaf};
use crate::refusal::Refusal;

/// Codes of the XML API.
pub(crate) mod code {
    /// A parameter is missing or illegal.
    pub(crate) const BAD_REQUEST: u16 = 400;
    /// Not authenticated.
    pub(crate) const FORBIDDEN: u16 = 403;
    /// The manager is at fault.
    pub(crate) const INTERNAL: u16 = 2;
    /// Nothing is there.
    pub(crate) const NOT_PRESENT: u16 = 7;
    /// Refused by its content.
    pub(crate) const INVALID_OBJECT: u16 = 12;
    /// Not possible now.
    pub(crate) const NOT_POSSIBLE: u16 = 14;
    /// Not allowed.
    pub(crate) const DENIED: u16 = 15;
    /// The role does not allow it.
    pub(crate) const UNAUTHORIZED: u16 = 16;
    /// No such operational command.
    pub(crate) const INVALID_COMMAND: u16 = 17;
    /// The command is not XML.
    pub(crate) const MALFORMED_COMMAND: u16 = 18;
    /// Data, or a job.
    pub(crate) const DATA: u16 = 19;
    /// Done.
    pub(crate) const DONE: u16 = 20;
    /// It is not what it was when it was read; the XML API cannot ask for that.
    pub(crate) const CHANGED: u16 = 412;
}

/// An answer, not yet on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// HTTP status.
    pub(crate) status: u16,
    /// XML, unless it is a file.
    pub(crate) body: Vec<u8>,
    /// Offered as a file of that name.
    pub(crate) file: Option<String>,
    /// The job that was made.
    pub(crate) job: Option<u64>,
    /// Why it is refused.
    pub(crate) refusal: Option<Refusal>,
}

impl Reply {
    /// A whole `<response>`.
    pub(crate) fn xml(response: &Element) -> Self {
        Self { status: 200, body: xml::write(response).into(), file: None, job: None, refusal: None }
    }

    /// `<response status="success">` around a `<result>`.
    pub(crate) fn result(result: Element) -> Self {
        Self::xml(&element("response").attr("status", "success").with(result))
    }

    /// The same with code 19.
    pub(crate) fn data(result: Element) -> Self {
        Self::xml(&success(code::DATA).with(result))
    }

    /// `<result>` with text.
    pub(crate) fn text(text: &str) -> Self {
        Self::result(leaf("result", text))
    }

    /// What `get` found, with counts.
    pub(crate) fn found(nodes: Vec<Arc<Element>>) -> Self {
        if nodes.is_empty() {
            return Self::xml(&success(code::NOT_PRESENT).with(element("result")));
        }
        let count = nodes.len().to_string();
        let result = element("result").attr("total-count", &count).attr("count", &count);
        Self::data(nodes.into_iter().fold(result, Build::share))
    }

    /// A change was made.
    pub(crate) fn done() -> Self {
        Self::message(code::DONE, "command succeeded")
    }

    /// Success with a text that stands directly in `<msg>`.
    pub(crate) fn message(code: u16, text: &str) -> Self {
        Self::xml(&success(code).leaf("msg", text))
    }

    /// Success with a text in `<msg><line>`.
    pub(crate) fn line(text: &str) -> Self {
        let response = element("response").attr("status", "success");
        Self::xml(&response.with(element("msg").leaf("line", text)))
    }

    /// A job was made.
    pub(crate) fn job(id: u64, text: &str) -> Self {
        let result = element("result").with(element("msg").leaf("line", text)).leaf("job", &id.to_string());
        Self { job: Some(id), ..Self::data(result) }
    }

    /// Refused: an application error.
    pub(crate) fn error<L: AsRef<str>>(code: u16, lines: &[L]) -> Self {
        let refusal = Refusal::new(code, lines.iter().map(AsRef::as_ref));
        Self { refusal: Some(refusal), ..Self::xml(&error_element(code, lines)) }
    }

    /// HTTP 400.
    pub(crate) fn bad_request(text: &str) -> Self {
        Self::http_error(code::BAD_REQUEST, text)
    }

    /// HTTP 403.
    pub(crate) fn forbidden(text: &str) -> Self {
        Self::http_error(code::FORBIDDEN, text)
    }

    /// HTTP 403 for an authenticated caller.
    pub(crate) fn unauthorized(text: &str) -> Self {
        Self { status: 403, ..Self::error(code::UNAUTHORIZED, &[text]) }
    }

    /// The manager's own fault. The cause goes to the log, not to the client.
    pub(crate) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::error(code::INTERNAL, &["internal error; the manager's log says more"])
    }

    /// A file.
    pub(crate) fn file(name: &str, body: impl Into<Vec<u8>>) -> Self {
        // Clients take no more than these characters from the header.
        let name =
            name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' });
        Self { status: 200, body: body.into(), file: Some(name.collect()), job: None, refusal: None }
    }

    /// What a firewall answered, as it is.
    pub(crate) fn passed_on(status: u16, body: Vec<u8>, file: Option<String>) -> Self {
        let refusal = refusal_in(&body);
        Self { status, body, file, job: None, refusal }
    }

    fn http_error(status: u16, text: &str) -> Self {
        let response = element("response").attr("status", "error").attr("code", &status.to_string());
        let response = response.with(element("result").leaf("msg", text));
        Self { status, refusal: Some(Refusal::new(status, [text])), ..Self::xml(&response) }
    }

    /// The XML.
    pub(crate) fn into_text(self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// On the wire.
    pub(crate) fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        let kind = if self.file.is_some() { "application/octet-stream" } else { "application/xml; charset=UTF-8" };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(name) = self.file
            && let Ok(value) = HeaderValue::from_str(&format!("attachment; filename={name}"))
        {
            headers.insert(CONTENT_DISPOSITION, value);
        }
        response
    }
}

/// Why a whole response says that something is refused.
fn refusal_in(body: &[u8]) -> Option<Refusal> {
    if !body.starts_with(b"<response status=\"error\"") {
        return None;
    }
    let response = xml::parse(std::str::from_utf8(body).ok()?).ok()?;
    let code = response.attribute("code").and_then(|code| code.parse().ok()).unwrap_or(code::INVALID_OBJECT);
    let message = response.child("msg");
    let lines = message.into_iter().flat_map(|message| message.elements()).map(|line| match line.elements().next() {
        Some(inner) => xml::write(inner),
        None => line.text(),
    });
    let lines: Vec<String> = lines.collect();
    Some(Refusal::new(code, lines.iter().map(String::as_str)))
}

/// `<response status="success" code="...">`
pub(crate) fn success(code: u16) -> Element {
    element("response").attr("status", "success").attr("code", &code.to_string())
}

/// `<response status="error" code="...">` with lines.
pub(crate) fn error_element<L: AsRef<str>>(code: u16, lines: &[L]) -> Element {
    let message = element("msg").with_all(lines.iter().map(|line| leaf("line", line.as_ref())));
    element("response").attr("status", "error").attr("code", &code.to_string()).with(message)
}
