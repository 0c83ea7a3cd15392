//! The web page: which file does a browser get, and what may it do?
//!
//! The page is built from `web/` by `make web`, and is in the program (a debug build reads it from the folder at each
//! request). A program that was built without it says so at `/`. Nothing here knows who asks: the files are the same
//! for everybody, and what is secret comes by the JSON API.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use rust_embed::RustEmbed;

use crate::random;

#[derive(RustEmbed)]
#[folder = "../../web/dist"]
struct Built;

/// The page that every address of the page begins with; the script in it reads the rest of the address.
const INDEX: &str = "index.html";
/// What stands in the index where the number of this answer belongs.
const NONCE: &str = "__NONCE__";
/// Files whose names change with their contents.
const FOREVER: &str = "assets/";

const ABSENT: &str = "<!doctype html>
<html lang=\"en\"><meta charset=\"utf-8\"><title>Bartizan</title>
<h1>This manager was built without its web page</h1>
<p>Run <code>make web</code> in its source, then build it again. The JSON API is at
<a href=\"/api/v1/openapi.json\">/api/v1</a>, the XML API at /api/.</p>
</html>
";

/// What is at a path that is none of the APIs'.
pub(crate) async fn answer(method: Method, uri: axum::http::Uri, headers: HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    page(uri.path(), &headers, &|name| Built::get(name).map(|file| file.data))
}

type Files<'a> = &'a dyn Fn(&str) -> Option<Cow<'static, [u8]>>;

fn page(path: &str, headers: &HeaderMap, files: Files<'_>) -> Response {
    let name = path.trim_start_matches('/');
    if name == "api" || name.starts_with("api/") || name.starts_with("bartizan.fleet") {
        return plain(StatusCode::NOT_FOUND);
    }
    if let Some(kind) = kind_of(name).filter(|_| name != INDEX) {
        return file(name, kind, accepts(headers, ACCEPT_ENCODING, "br"), files)
            .unwrap_or_else(|| plain(StatusCode::NOT_FOUND));
    }
    // Whoever looks for holes in other programs gets no page for it.
    if !path.is_empty() && path != "/" && !accepts(headers, ACCEPT, "text/html") {
        return plain(StatusCode::NOT_FOUND);
    }
    index(files)
}

/// Media types of the files that a build makes; what has none of these endings is no file.
fn kind_of(name: &str) -> Option<&'static str> {
    let kind = match name.rsplit_once('.')?.1 {
        "css" => "text/css; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "ico" => "image/x-icon",
        "js" => "text/javascript; charset=utf-8",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "txt" => "text/plain; charset=utf-8",
        "woff2" => "font/woff2",
        _ => return None,
    };
    Some(kind)
}

fn accepts(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let text = headers.get_all(name);
    let mut words = text.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    words.any(|one| {
        let mut parts = one.split(';').map(str::trim);
        parts.next() == Some(word) && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

fn file(name: &str, kind: &'static str, brotli: bool, files: Files<'_>) -> Option<Response> {
    let packed = if brotli { files(&format!("{name}.br")) } else { None };
    let is_packed = packed.is_some();
    let mut response = Response::new(body(packed.or_else(|| files(name))?));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let age = if name.starts_with(FOREVER) { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(age));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    if is_packed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("br"));
    }
    Some(response)
}

fn body(bytes: Cow<'static, [u8]>) -> Body {
    match bytes {
        Cow::Borrowed(bytes) => Body::from(bytes),
        Cow::Owned(bytes) => Body::from(bytes),
    }
}

fn index(files: Files<'_>) -> Response {
    // The component library makes style elements while it runs; they are let in by a number of this answer alone.
    let nonce = random::alphanumeric(24);
    let (status, text) = match files(INDEX) {
        Some(text) => (StatusCode::OK, String::from_utf8_lossy(&text).replace(NONCE, &nonce)),
        None => (StatusCode::SERVICE_UNAVAILABLE, ABSENT.to_owned()),
    };
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self'; font-src 'self'; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert("x-frame-options", HeaderValue::from_static("DENY"));
    response
}

fn plain(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(name: &str) -> Option<Cow<'static, [u8]>> {
        let text: &'static [u8] = match name {
            "index.html" => b"<meta name=csp content=__NONCE__><script src=/assets/main-1a2b.js></script>",
            "assets/main-1a2b.js" => b"plain",
            "assets/main-1a2b.js.br" => b"packed",
            "favicon.svg" => b"<svg/>",
            _ => return None,
        };
        Some(Cow::Borrowed(text))
    }

    fn browser() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("text/html,application/xhtml+xml,*/*;q=0.8"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate, br, zstd"));
        headers
    }

    async fn text(response: Response) -> String {
        use http_body_util::BodyExt as _;
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    fn header(response: &Response, name: &str) -> String {
        response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    #[tokio::test]
    async fn addresses_of_the_page_get_the_index_with_a_number_of_their_own() {
        let mut seen = std::collections::BTreeSet::new();
        for path in ["/", "/index.html", "/policies/security", "/monitor/logs/traffic"] {
            let response = page(path, &browser(), &built);
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(header(&response, "cache-control"), "no-store");
            let policy = header(&response, "content-security-policy");
            assert!(!policy.contains("unsafe"), "{policy}");
            let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned();
            assert!(text(response).await.contains(&format!("content={nonce}>")));
            assert!(seen.insert(nonce));
        }
    }

    #[tokio::test]
    async fn files_come_packed_to_who_can_unpack_them_and_are_kept_forever() {
        let response = page("/assets/main-1a2b.js", &browser(), &built);
        assert_eq!(header(&response, "content-encoding"), "br");
        assert_eq!(header(&response, "cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(header(&response, "content-type"), "text/javascript; charset=utf-8");
        assert_eq!(text(response).await, "packed");

        let mut headers = browser();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("br;q=0, gzip"));
        let response = page("/assets/main-1a2b.js", &headers, &built);
        assert_eq!(header(&response, "content-encoding"), "");
        assert_eq!(text(response).await, "plain");

        let response = page("/favicon.svg", &browser(), &built);
        assert_eq!(header(&response, "cache-control"), "no-cache");
        assert_eq!(text(response).await, "<svg/>");
    }

    #[tokio::test]
    async fn what_is_no_address_of_the_page_is_not_found() {
        for path in ["/assets/gone.js", "/api/v2", "/bartizan.fleet.v2.Fleet/Attach"] {
            assert_eq!(page(path, &browser(), &built).status(), StatusCode::NOT_FOUND, "{path}");
        }
        assert_eq!(page("/wp-login.php", &HeaderMap::new(), &built).status(), StatusCode::NOT_FOUND);
        assert_eq!(page("/../Cargo.toml", &HeaderMap::new(), &built).status(), StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn without_the_page_the_program_says_how_to_build_it() {
        let response = page("/", &browser(), &|_| None);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(text(response).await.contains("make web"));
    }

    #[tokio::test]
    async fn a_page_is_only_read() {
        let response = answer(Method::POST, "/".parse().unwrap(), HeaderMap::new()).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(header(&response, "allow"), "GET, HEAD");
    }
}
