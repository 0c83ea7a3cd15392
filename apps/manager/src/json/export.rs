//! A log as a file, streamed.

use std::io::Error;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Deserialize;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::logs::asked;
use super::problem::Problem;
use super::route::{Access, Answer, Call, Described, Route};
use crate::logs::export::{Export, Format, RECORDS};

/// Parts that wait for a slow reader.
const QUEUE: usize = 2;
/// Exports under way at once.
const EXPORTS_MAX: usize = 8;
static EXPORTS: Semaphore = Semaphore::const_new(EXPORTS_MAX);

pub(super) fn routes() -> Vec<Route> {
    let log = Access::Type("log");
    vec![Route::new(Method::GET, "/logs/{log}/export", log, "A log as a file, in CSV or as lines of JSON", export)]
}

/// Which records, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ExportQuery {
    /// A query of PAN-OS.
    query: Option<String>,
    /// `csv` when absent.
    #[serde(default)]
    format: Format,
    /// Records at most, the oldest: 65535 when absent.
    limit: Option<u64>,
}

/// A file whose end is not known when it begins.
struct File {
    format: Format,
    name: String,
    parts: ReceiverStream<Result<Vec<u8>, Error>>,
}

impl Answer for File {
    fn describe(_: &mut SchemaGenerator) -> Described {
        Described { status: StatusCode::OK, content_type: Some(Format::Csv.content_type()), schema: None }
    }

    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from_stream(self.parts));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.format.content_type()));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // A log's name has no other letters than those of file names.
        if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename={}", self.name)) {
            headers.insert(CONTENT_DISPOSITION, value);
        }
        response
    }
}

async fn export(call: Call<ExportQuery>) -> Result<File, Problem> {
    let place = EXPORTS.try_acquire();
    let place = place.map_err(|_| Problem::busy(format!("{EXPORTS_MAX} exports are under way already")))?;
    let query = asked(&call, call.query.query.as_deref(), true).await?;
    let format = call.query.format;
    let extension = if format == Format::Csv { "csv" } else { "json" };
    let name = format!("{}.{extension}", call.name("log"));
    let mut export = Export::new(query, format, call.query.limit.unwrap_or(RECORDS));
    let (sender, parts) = mpsc::channel(QUEUE);
    let app = call.app.clone();
    tokio::spawn(async move {
        let _place = place;
        loop {
            let part = match export.next(&app).await {
                Ok(Some(part)) => Ok(part),
                Ok(None) => return,
                Err(error) => {
                    tracing::error!("a log cannot be exported any more: {error:#}");
                    // The file breaks off, so that nobody takes it for the whole.
                    Err(Error::other("the log cannot be read"))
                }
            };
            let is_last = part.is_err();
            if sender.send(part).await.is_err() || is_last {
                return;
            }
        }
    });
    Ok(File { format, name, parts: ReceiverStream::new(parts) })
}
