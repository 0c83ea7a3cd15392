//! How is one endpoint of the JSON API written down?
//!
//! A [`Route`] is its method, its path, whom it answers, and a handler. The types that the handler takes and gives back
//! are those of the OpenAPI document: there is no second description.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Query;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::Response;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use crate::accounts::Caller;
use crate::app::App;

/// Whom an endpoint answers: whoever may make a request of the XML API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Open,
    /// Every administrator who has a role.
    Known,
    /// Who may make this action of `type=config`.
    Config(&'static str),
    /// Who may make requests of this `type`.
    Type(&'static str),
    /// Who may give this operational command.
    Command(&'static str),
}

/// No parameters, or no body.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// One request, read.
pub(crate) struct Call<Q = Nothing, B = Nothing> {
    /// The manager.
    pub(crate) app: Arc<App>,
    /// Who asks; of an open endpoint nobody.
    pub(crate) caller: Caller,
    /// The API key that was shown.
    pub(crate) key: Option<String>,
    /// Parameters.
    pub(crate) query: Q,
    /// Body.
    pub(crate) body: B,
    names: Vec<(String, String)>,
}

impl<Q, B> Call<Q, B> {
    /// What stands in the path in the place of `{name}`.
    pub(crate) fn name(&self, name: &str) -> &str {
        self.names.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The same as a number.
    pub(crate) fn number(&self, name: &str) -> Result<u64, Problem> {
        let text = self.name(name);
        text.parse().map_err(|_| Problem::not_found(format!("`{text}` is no number")))
    }
}

/// One request, not read yet.
pub(super) struct Raw {
    pub(super) app: Arc<App>,
    pub(super) caller: Caller,
    pub(super) key: Option<String>,
    pub(super) names: Vec<(String, String)>,
    pub(super) uri: Uri,
    pub(super) body: Vec<u8>,
}

type Answered = Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send>>;
type Describe = fn(&mut SchemaGenerator) -> Schema;

/// An endpoint.
#[derive(Clone)]
pub(crate) struct Route {
    pub(super) method: Method,
    /// Below `/api/v1`.
    pub(super) path: &'static str,
    pub(super) access: Access,
    pub(super) summary: &'static str,
    pub(super) query: Describe,
    pub(super) body: Describe,
    pub(super) answer: fn(&mut SchemaGenerator) -> Described,
    pub(super) handler: Arc<dyn Fn(Raw) -> Answered + Send + Sync>,
}

impl Route {
    /// An endpoint with that handler.
    pub(crate) fn new<Q, B, A, F, Fut>(
        method: Method,
        path: &'static str,
        access: Access,
        summary: &'static str,
        handler: F,
    ) -> Self
    where
        Q: DeserializeOwned + JsonSchema + Send + 'static,
        B: DeserializeOwned + JsonSchema + Send + 'static,
        A: Answer + 'static,
        F: Fn(Call<Q, B>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<A, Problem>> + Send + 'static,
    {
        let run = move |raw: Raw| -> Answered {
            let handler = handler.clone();
            Box::pin(async move {
                let call = read::<Q, B>(raw)?;
                handler(call).await.map(Answer::into_response)
            })
        };
        Self {
            method,
            path,
            access,
            summary,
            query: |generator| inline::<Q>(generator),
            body: |generator| generator.subschema_for::<B>(),
            answer: A::describe,
            handler: Arc::new(run),
        }
    }

    /// Whether it takes a body.
    pub(super) fn takes_body(&self) -> bool {
        matches!(self.method, Method::POST | Method::PUT | Method::PATCH)
    }
}

fn inline<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    T::json_schema(generator)
}

fn read<Q: DeserializeOwned, B: DeserializeOwned>(raw: Raw) -> Result<Call<Q, B>, Problem> {
    let Query(query) =
        Query::<Q>::try_from_uri(&raw.uri).map_err(|error| Problem::parameter("query", error.body_text()))?;
    // Whoever says nothing means the defaults.
    let text: &[u8] = if raw.body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { &raw.body };
    let body = serde_json::from_slice(text).map_err(|error| Problem::parameter("body", error.to_string()))?;
    Ok(Call { app: raw.app, caller: raw.caller, key: raw.key, query, body, names: raw.names })
}

/// What an endpoint answers, for the document.
pub(crate) struct Described {
    pub(super) status: StatusCode,
    pub(super) content_type: Option<&'static str>,
    pub(super) schema: Option<Schema>,
}

/// An answer.
pub(crate) trait Answer {
    /// Its shape.
    fn describe(generator: &mut SchemaGenerator) -> Described;
    /// On the wire.
    fn into_response(self) -> Response;
}

/// HTTP 200 with JSON.
pub(crate) struct Json<T>(pub(crate) T);
/// HTTP 201 with JSON.
pub(crate) struct Created<T>(pub(crate) T);
/// HTTP 202 with JSON: it goes on.
pub(crate) struct Accepted<T>(pub(crate) T);
/// HTTP 204.
pub(crate) struct Done;

macro_rules! json_answer {
    ($name:ident, $status:ident) => {
        impl<T: Serialize + JsonSchema> Answer for $name<T> {
            fn describe(generator: &mut SchemaGenerator) -> Described {
                let schema = Some(generator.subschema_for::<T>());
                Described { status: StatusCode::$status, content_type: Some("application/json"), schema }
            }

            fn into_response(self) -> Response {
                json(StatusCode::$status, &self.0)
            }
        }
    };
}

json_answer!(Json, OK);
json_answer!(Created, CREATED);
json_answer!(Accepted, ACCEPTED);

impl Answer for Done {
    fn describe(_: &mut SchemaGenerator) -> Described {
        Described { status: StatusCode::NO_CONTENT, content_type: None, schema: None }
    }

    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    }
}

fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => {
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = status;
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(error) => Problem::from(anyhow::Error::from(error)).into_response(),
    }
}
