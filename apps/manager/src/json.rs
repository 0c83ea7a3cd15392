//! The JSON API below `/api/v1`: what is there, and whom does it answer?
//!
//! The routes are one table (`routes` and what it gathers); the OpenAPI document is made from it. An endpoint names the
//! request of the XML API that needs the same rights, so both APIs have one table of rights
//! (`xmlapi/endpoints.rs`), and does its work by the same functions.

mod acc;
mod administrators;
mod approvals;
mod automation;
mod candidate;
mod config;
mod devices;
mod diff;
mod edits;
mod enrolment;
mod events;
mod export;
mod jobs;
mod logs;
mod metrics;
mod openapi;
mod orders;
mod places;
mod policies;
mod problem;
mod push_scope;
mod route;
mod rules;
mod session;
mod source;
mod system;
mod tags;
mod tree;

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Extension, Path, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use serde_json::Value;

use crate::accounts::{Caller, Door, Right};
use crate::app::App;
use crate::http::Peer;
use crate::http::parameters::{BODY_MAX, read_body};
use crate::store::now_us;
use crate::xmlapi::endpoints::{COMMANDS, CONFIG_ACTIONS, Need, TYPES, need_of};
use crate::xmlapi::{self, why_no_role, why_not, why_not_whole};
use problem::{Complaint, Problem};
pub use route::Access;
use route::{Call, Json, Nothing, Raw, Route};

/// Where the API begins.
const PREFIX: &str = "/api/v1";

static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(routes);
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| openapi::document(&ROUTES));

/// Method, path and access of every endpoint.
pub fn endpoints() -> Vec<(String, String, Access)> {
    ROUTES.iter().map(|route| (route.method.to_string(), format!("{PREFIX}{}", route.path), route.access)).collect()
}

fn routes() -> Vec<Route> {
    let own =
        Route::new(Method::GET, "/openapi.json", Access::Open, "This document", async |_: Call<Nothing, Nothing>| {
            Ok::<_, Problem>(Json(DOCUMENT.clone()))
        });
    [
        vec![own],
        session::routes(),
        config::routes(),
        diff::routes(),
        candidate::routes(),
        jobs::routes(),
        devices::routes(),
        places::routes(),
        push_scope::routes(),
        approvals::routes(),
        rules::routes(),
        system::routes(),
        administrators::routes(),
        edits::routes(),
        orders::routes(),
        enrolment::routes(),
        logs::routes(),
        export::routes(),
        acc::routes(),
        tags::routes(),
        policies::routes(),
        automation::routes(),
    ]
    .concat()
}

/// The router of all endpoints.
pub(crate) fn router() -> Router<Arc<App>> {
    let mut router = Router::new();
    for route in ROUTES.iter() {
        let Ok(method) = MethodFilter::try_from(route.method.clone()) else { continue };
        let answer = move |State(app): State<Arc<App>>,
                           Extension(peer): Extension<Peer>,
                           Path(names): Path<Vec<(String, String)>>,
                           request: Request| async move {
            answer(route, app, &peer, names, request).await.unwrap_or_else(Problem::into_response)
        };
        router = router.route(&format!("{PREFIX}{}", route.path), on(method, answer));
    }
    let nothing = async || Problem::not_found("there is no such endpoint; see /api/v1/openapi.json").into_response();
    router
        .route(&format!("{PREFIX}/{{*rest}}"), axum::routing::any(nothing))
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .merge(metrics::router())
}

async fn no_such_method(method: Method) -> Response {
    let message = format!("the endpoint does not take {method}; see /api/v1/openapi.json");
    let errors = vec![Complaint { message, ..Complaint::default() }];
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "the method is not allowed", errors).into_response()
}

async fn answer(
    route: &Route,
    app: Arc<App>,
    peer: &Peer,
    names: Vec<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let key = key(request.headers());
    let headers = request.headers().clone();
    let caller = admit(&app, peer, &headers, route.access).await?;
    let uri = request.uri().clone();
    let is_json =
        request.headers().get(CONTENT_TYPE).is_none_or(|kind| kind.as_bytes().starts_with(b"application/json"));
    let read = tokio::time::timeout(xmlapi::BODY_TIMEOUT, read_body(request)).await;
    let body = match read {
        Ok(body) => body.map_err(|why| Problem::parameter("body", why))?,
        Err(_) => return Err(Problem::parameter("body", "the body did not arrive in time")),
    };
    // Anything else could be sent by a form of a foreign page.
    if !body.is_empty() && !is_json {
        let message = "the body must be JSON: send `Content-Type: application/json`".to_owned();
        let errors = vec![Complaint { message, parameter: Some("body".to_owned()), ..Complaint::default() }];
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", "the body is no JSON", errors));
    }
    let handler = route.handler.clone();
    handler(Raw { app, caller, key, names, uri, body }).await
}

/// Who asks, when they may.
async fn admit(app: &App, peer: &Peer, headers: &HeaderMap, access: Access) -> Result<Caller, Problem> {
    if access == Access::Open {
        return Ok(Caller::nobody(peer.address.ip()));
    }
    let caller = xmlapi::who(app, peer, key(headers).as_deref(), headers).await?;
    let caller = Caller { door: Door::Json, ..caller };
    match why_no_role(&caller).or_else(|| refusal(&caller, access)) {
        Some(why) => Err(Problem::forbidden(why)),
        None => {
            app.accounts.presence.note(&caller, now_us());
            Ok(caller)
        }
    }
}

/// An API key: `X-PAN-KEY`, or a bearer token.
fn key(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text(AUTHORIZATION.as_str()).and_then(|header| {
        let (scheme, token) = header.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    text("x-pan-key").or(bearer).map(str::to_owned)
}

/// `None`, or why the caller may not make the request of the XML API that an endpoint names.
fn refusal(caller: &Caller, access: Access) -> Option<String> {
    let (list, name, right) = match access {
        Access::Open | Access::Known => return None,
        Access::Config(action) => (CONFIG_ACTIONS, action, Some(Right::Config)),
        Access::Type(kind) => (TYPES, kind, Right::ALL.iter().copied().find(|right| right.tag() == kind)),
        Access::Command(command) => (COMMANDS, command, Some(Right::Operate)),
    };
    // What is not in the table is for nobody.
    let (Some(need), Some(right)) = (need_of(list, name), right) else {
        return Some(format!("`{name}` is not in the table of requests"));
    };
    let editing = || match (access, need) {
        (Access::Command(_), Need::Editing) => why_not(caller, Right::Config, need),
        _ => None,
    };
    why_not(caller, right, need).or_else(editing).or_else(|| why_not_whole(caller, name))
}
