//! Which parameters does a request carry, wherever its client put them?
//!
//! Query, urlencoded body and multipart form are one list; of a name that is in several places the body's
//! value counts.

use axum::body::to_bytes;
use axum::extract::{FromRequest as _, Multipart, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Largest body.
pub(crate) const BODY_MAX: usize = 32 << 20;
/// Bodies up to this size are read at once; larger ones wait for one of a few places, so that strangers
/// cannot fill the memory.
const SMALL_BODY_MAX: u64 = 1 << 20;
static LARGE_BODIES: Semaphore = Semaphore::const_new(8);

/// The parameters of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parameters {
    body: Vec<(String, String)>,
    query: Vec<(String, String)>,
    /// The multipart part called `file`.
    pub(crate) file: Option<File>,
}

/// A file of a multipart form.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    /// What its sender calls it.
    pub(crate) name: String,
    /// Its content.
    pub(crate) text: String,
}

impl Parameters {
    /// Reads them all; an error says what is wrong with the body.
    pub(crate) async fn read(request: Request) -> Result<Self, String> {
        let query = decode(request.uri().query().unwrap_or_default().as_bytes());
        let _place = place(is_large(&request)).await?;
        let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if content_type.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("multipart/form-data")) {
            let quoted = content_type.and_then(quote_boundary);
            let mut request = request;
            if let Some(quoted) = quoted {
                request.headers_mut().insert(CONTENT_TYPE, quoted);
            }
            return Self { query, ..Self::default() }.read_multipart(request).await;
        }
        Ok(Self { body: decode(&all(request).await?), query, file: None })
    }

    /// A parameter's value.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let find = |list: &'_ [(String, String)]| list.iter().position(|(key, _)| key == name);
        match find(&self.body) {
            Some(index) => Some(&self.body[index].1),
            None => find(&self.query).map(|index| self.query[index].1.as_str()),
        }
    }

    async fn read_multipart(mut self, request: Request) -> Result<Self, String> {
        let complain = |error: &dyn std::fmt::Display| format!("the multipart form cannot be read: {error}");
        let mut form = Multipart::from_request(request, &()).await.map_err(|error| complain(&error))?;
        while let Some(field) = form.next_field().await.map_err(|error| complain(&error))? {
            let name = field.name().unwrap_or_default().to_owned();
            let file_name = field.file_name().map(str::to_owned);
            let text = field.text().await.map_err(|error| complain(&error))?;
            if name == "file" || file_name.is_some() {
                self.file = Some(File { name: file_name.unwrap_or_default(), text });
            } else {
                self.body.push((name, text));
            }
        }
        Ok(self)
    }
}

/// The whole body; an error says what is wrong with it.
pub(crate) async fn read_body(request: Request) -> Result<Vec<u8>, String> {
    let _place = place(is_large(&request)).await?;
    all(request).await
}

/// Waits for a place when the body is large.
async fn place(is_large: bool) -> Result<Option<SemaphorePermit<'static>>, String> {
    match is_large {
        true => LARGE_BODIES.acquire().await.map(Some).map_err(|error| error.to_string()),
        false => Ok(None),
    }
}

/// Whether the body is large, or of unknown length.
fn is_large(request: &Request) -> bool {
    let length: Option<u64> = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let has_body = length.is_some_and(|length| length > 0) || request.headers().contains_key("transfer-encoding");
    match length {
        Some(length) => length > SMALL_BODY_MAX,
        None => has_body || request.method() != axum::http::Method::GET,
    }
}

async fn all(request: Request) -> Result<Vec<u8>, String> {
    let body = to_bytes(request.into_body(), BODY_MAX).await;
    let complain = |error| format!("the body cannot be read (at most {BODY_MAX} bytes are accepted): {error}");
    body.map(Into::into).map_err(complain)
}

/// The content type of a multipart form with its boundary in quotes; `None` when it is, or there is none.
///
/// pan-python's boundaries are Base64 text, whose `/` would have to be in quotes (RFC 2045, 5.1) and is not.
fn quote_boundary(kind: &str) -> Option<HeaderValue> {
    let (before, boundary) = kind.split_once("boundary=")?;
    let (boundary, after) = boundary.find(';').map_or((boundary, ""), |end| boundary.split_at(end));
    let boundary = boundary.trim();
    if boundary.contains(['"', '\\']) {
        return None;
    }
    HeaderValue::from_str(&format!("{before}boundary=\"{boundary}\"{after}")).ok()
}

/// For tests and for callers inside the manager.
impl<const N: usize> From<[(&str, &str); N]> for Parameters {
    fn from(pairs: [(&str, &str); N]) -> Self {
        let body = pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { body, ..Self::default() }
    }
}

/// The pairs of an urlencoded text.
pub(crate) fn decode(text: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(text).into_owned().collect()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[tokio::test]
    async fn a_form_is_read_whatever_its_boundary_and_whether_it_is_in_quotes() {
        for (written, boundary) in [
            ("boundary=X", "X"),
            ("boundary=\"a b\"", "a b"),
            ("boundary=____+/Zz09; charset=utf-8", "____+/Zz09"),
            ("charset=utf-8; boundary=a/b+c", "a/b+c"),
        ] {
            let body = format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"n\"\r\n\r\ntext\r\n--{boundary}--\r\n"
            );
            let request = Request::builder()
                .method("POST")
                .header("content-type", format!("multipart/form-data; {written}"))
                .header("content-length", body.len())
                .body(Body::from(body))
                .unwrap();
            let file = Parameters::read(request).await.map(|parameters| parameters.file.unwrap());
            assert_eq!(file.map(|file| (file.name, file.text)), Ok(("n".into(), "text".into())), "{written}");
        }
    }
}
