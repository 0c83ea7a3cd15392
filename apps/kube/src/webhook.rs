//! Is a policy good enough to be let into the cluster?
//!
//! The API server asks before it takes a policy (AdmissionReview, `admission.k8s.io/v1`), by TLS. What the manager would
//! refuse later is refused at once, with everything that is wrong in one answer. Policies without attributes are the API
//! server's own matter.

mod review;
mod serve;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::catalogue::Known;
use crate::health::Status;
pub(crate) use review::Verdict;

/// Largest question: an object has at most 1.5 MiB at the API server, and stands in it twice.
const QUESTION_MAX: usize = 8 << 20;

/// Where questions are answered, and as whom.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens.
    pub listen: std::net::SocketAddr,
    /// The certificate with those above it, PEM; read again when it has changed.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

/// What answers go by.
#[derive(Debug, Default)]
pub(crate) struct Basis {
    /// Name of the cluster.
    pub(crate) cluster: String,
    known: Mutex<Known>,
}

impl Basis {
    pub(crate) fn of_cluster(name: &str) -> Self {
        Self { cluster: name.to_owned(), ..Self::default() }
    }

    /// Changes what is known.
    pub(crate) fn learn(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Answers until it is dropped.
pub(crate) async fn run(
    settings: Settings,
    listener: TcpListener,
    basis: Arc<Basis>,
    status: Arc<Status>,
) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/validate", post(validate))
        .layer(DefaultBodyLimit::max(QUESTION_MAX))
        .with_state((basis, status));
    serve::run(&settings, listener, router).await
}

async fn validate(State((basis, status)): State<(Arc<Basis>, Arc<Status>)>, body: Bytes) -> Response {
    let question: Value = match serde_json::from_slice(&body) {
        Ok(question) => question,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("no AdmissionReview: {error}\n")).into_response(),
    };
    let known = basis.known();
    let verdict = review::judge(&basis.cluster, &known, &question["request"]);
    status.reviewed(verdict.is_allowed());
    if let Verdict::Refused(problems) = &verdict {
        let object = &question["request"];
        tracing::info!(
            kind = object["kind"]["kind"].as_str().unwrap_or_default(),
            namespace = object["namespace"].as_str().unwrap_or_default(),
            name = object["name"].as_str().unwrap_or_default(),
            problems = problems.len(),
            "a policy is refused"
        );
    }
    let text = review::answer(&question, &verdict).to_string();
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}
