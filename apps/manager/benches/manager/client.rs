//! A client that keeps its connection, as automation does.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use crate::common::{Server, between};

pub(crate) struct Client {
    sender: http1::SendRequest<Full<Bytes>>,
    key: String,
}

impl Client {
    pub(crate) async fn connect(server: &Server) -> Self {
        let stream = server.connect(None, b"http/1.1").await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender, key: server.key.clone() }
    }

    /// The body of the answer.
    pub(crate) async fn ask(&mut self, parameters: &[(&str, &str)]) -> String {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        let request = hyper::Request::post("/api/")
            .header("host", "manager.bartizan")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-pan-key", &self.key)
            .body(Full::new(Bytes::from(form)))
            .unwrap();
        self.sender.ready().await.unwrap();
        let response = self.sender.send_request(request).await.unwrap();
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    pub(crate) async fn set(&mut self, xpath: &str, element: &str) {
        let parameters = [("type", "config"), ("action", "set"), ("xpath", xpath), ("element", element)];
        let body = self.ask(&parameters).await;
        assert!(body.contains("command succeeded"), "set {xpath}: {body}");
    }

    /// Commits, and polls until the job is finished.
    pub(crate) async fn commit(&mut self) -> String {
        let body = self.ask(&[("type", "commit"), ("cmd", "<commit/>")]).await;
        let job = between(&body, "<job>", "</job>").to_owned();
        self.finished(&job, Duration::from_millis(1)).await
    }

    /// Polls a job until it is finished.
    pub(crate) async fn finished(&mut self, job: &str, pause: Duration) -> String {
        let command = format!("<show><jobs><id>{job}</id></jobs></show>");
        loop {
            let body = self.ask(&[("type", "op"), ("cmd", &command)]).await;
            if body.contains("<status>FIN</status>") {
                assert!(body.contains("<result>OK</result>"), "{}", &body[..2000.min(body.len())]);
                return body;
            }
            tokio::time::sleep(pause).await;
        }
    }
}
