//! How is a text fetched from a web server, without waiting or reading for ever?

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{LOCATION, USER_AGENT};
use hyper::{Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// From the first packet to the last byte.
const LIMIT: Duration = Duration::from_secs(60);
/// Longest list.
const BYTES_MAX: usize = 16 << 20;
/// Other places that a server may send to, one after the other.
const REDIRECTS_MAX: usize = 3;

/// Fetches texts. Certificates are checked against the host's authorities.
pub(super) struct Client {
    http: Result<legacy::Client<HttpsConnector<HttpConnector>, Empty<Bytes>>, String>,
}

impl Client {
    pub(super) fn new() -> Self {
        let connector = HttpsConnectorBuilder::new().with_native_roots();
        let http = connector.map_err(|error| format!("the host has no certificate authorities: {error}"));
        let http = http.map(|connector| {
            let connector = connector.https_or_http().enable_http1().build();
            legacy::Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector)
        });
        Self { http }
    }

    /// The body of a successful answer.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(super) async fn get(&self, url: &str) -> Result<String, String> {
        let text = tokio::time::timeout(LIMIT, self.follow(url)).await;
        text.unwrap_or_else(|_| Err(format!("it did not arrive within {} s", LIMIT.as_secs())))
    }

    async fn follow(&self, url: &str) -> Result<String, String> {
        let http = self.http.as_ref().map_err(Clone::clone)?;
        let mut uri: Uri = url.parse().map_err(|error| format!("`{url}` is no address: {error}"))?;
        for _ in 0..=REDIRECTS_MAX {
            let agent = concat!("bartizan/", env!("CARGO_PKG_VERSION"));
            let request = Request::get(uri.clone()).header(USER_AGENT, agent).body(Empty::new());
            let request = request.map_err(|error| error.to_string())?;
            let response = http.request(request).await.map_err(|error| chain(&error))?;
            if response.status().is_redirection() {
                let place = response.headers().get(LOCATION).and_then(|place| place.to_str().ok());
                uri = elsewhere(&uri, place.ok_or("the server sends elsewhere, without saying where")?)?;
                continue;
            }
            if !response.status().is_success() {
                return Err(format!("the server answers {}", response.status()));
            }
            let body = Limited::new(response.into_body(), BYTES_MAX).collect().await;
            let body = body.map_err(|error| chain(&*error))?.to_bytes();
            return Ok(String::from_utf8_lossy(&body).into_owned());
        }
        Err(format!("the server sends elsewhere more than {REDIRECTS_MAX} times"))
    }
}

/// Where a server sends to: another server, or a path on the same one. Never from HTTPS to HTTP.
fn elsewhere(from: &Uri, place: &str) -> Result<Uri, String> {
    let to: Uri =
        place.parse().map_err(|error| format!("the server sends to `{place}`, which is no address: {error}"))?;
    let mut parts = to.into_parts();
    if parts.authority.is_none() {
        parts.authority = from.authority().cloned();
        parts.scheme = from.scheme().cloned();
    }
    let to = Uri::from_parts(parts).map_err(|error| format!("the server sends to `{place}`: {error}"))?;
    if from.scheme_str() == Some("https") && to.scheme_str() != Some("https") {
        return Err(format!("the server sends from HTTPS to `{place}`"));
    }
    Ok(to)
}

/// An error with its causes.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        text += &format!(": {one}");
        cause = one.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one connection after the other with these bytes; returns where.
    async fn server(answers: Vec<Vec<u8>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(&answer).await;
            }
        });
        format!("http://{address}/list")
    }

    fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
        format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
            .into_bytes()
    }

    #[tokio::test]
    async fn a_list_is_fetched_and_redirects_are_followed() {
        let moved = answer("302 Found", "location: /elsewhere\r\n", "");
        let url = server(vec![moved, answer("200 OK", "", "192.0.2.1\n")]).await;
        assert_eq!(Client::new().get(&url).await.unwrap(), "192.0.2.1\n");
    }

    #[tokio::test]
    async fn what_is_no_list_is_told_in_words() {
        let client = Client::new();
        let url = server(vec![answer("404 Not Found", "", "no")]).await;
        assert_eq!(client.get(&url).await.unwrap_err(), "the server answers 404 Not Found");
        let moved = answer("302 Found", "location: /again\r\n", "");
        let url = server(vec![moved; REDIRECTS_MAX + 1]).await;
        assert_eq!(client.get(&url).await.unwrap_err(), "the server sends elsewhere more than 3 times");
        let mut long = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", BYTES_MAX + 1).into_bytes();
        long.resize(long.len() + BYTES_MAX + 1, b'x');
        let url = server(vec![long]).await;
        assert!(client.get(&url).await.unwrap_err().contains("length limit"));
        assert!(client.get("http://127.0.0.1:1/").await.unwrap_err().contains("refused"));
    }

    #[test]
    fn nobody_is_sent_from_https_to_http() {
        let from: Uri = "https://lists.example/a".parse().unwrap();
        assert_eq!(elsewhere(&from, "/b").unwrap().to_string(), "https://lists.example/b");
        assert!(elsewhere(&from, "http://lists.example/b").is_err());
        assert!(elsewhere(&from, "http://[x").is_err());
    }
}
